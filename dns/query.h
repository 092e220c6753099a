/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The bounded parser of queries: untrusted bytes, every step forward and counted, no compression in a
 * question. Pure: no I/O, no allocation.
 */
#pragma once

#include "dns/name.h"

#define DNS_HEADER     12u
#define DNS_UDP_PLAIN  512u
#define DNS_UDP_MAX    1232u /* dnsflagday.net/2020; RFC 9715 */
#define DNS_COOKIE_MAX 40u

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
	DNS_NOTAUTH = 9,
	DNS_BADVERS = 16,
	DNS_BADCOOKIE = 23
};
#define DNS_DROP (-1)

struct dns_query {
	size_t name_len;     /* without the root's label */
	size_t question_end; /* of the packet; DNS_HEADER: it has no question */
	uint16_t type, class;
	uint8_t opcode;
	bool recursion; /* RD */
	bool edns, dnssec;
	bool compact; /* CO: a name that is missing may be said to be (RFC 9824 5.1) */
	uint8_t edns_version;
	uint16_t edns_size;
	uint32_t serial; /* IXFR: that the other has */
	bool nsid, keepalive;
	size_t tsig_at;             /* where the record that signs it begins; 0: none */
	uint8_t cookie_len;         /* 0: none */
	uint8_t name[DNS_NAME_MAX]; /* lower case */
	uint8_t cookie[DNS_COOKIE_MAX];
};

/* Reads a query. Its rcode: DNS_NOERROR goes on to an answer, anything else is the answer; DNS_DROP: none
 * is deserved (an answer itself, or shorter than a header). What could be read is in *q. */
int dns_query_read(struct dns_query *q, const uint8_t *p, size_t len);

static inline uint16_t dns_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void dns_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void dns_put32(uint8_t *p, uint32_t v)
{
	dns_put16(p, v >> 16);
	dns_put16(p + 2, v & 0xffff);
}
