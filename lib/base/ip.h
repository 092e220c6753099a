/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * IPv4 and IPv6 addresses and prefixes: parsing, printing, arithmetic. Strict by design: no
 * leading zeros, no host bits in a prefix, no scope ids, no IPv4-mapped shortcuts. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sockaddr_storage;

#define IP_TEXT 50 /* room for any printed address or prefix */

struct ip {
	uint8_t family; /* 4, 6, or 0 for none */
	uint8_t b[16];  /* network order; IPv4 uses the first four, the rest is zero */
};

struct ip_prefix {
	struct ip ip;
	uint8_t len; /* 0..32 or 0..128 */
};

unsigned ip_bits(uint8_t family);
/* Text to address; ERR_INVALID says what was wrong. */
int ip_parse(const char *text, struct ip *ret, struct err *e) __attribute__((warn_unused_result));
/* "10.0.0.0/16". Host bits, a missing or oversized length are ERR_INVALID. */
int ip_prefix_parse(const char *text, struct ip_prefix *ret, struct err *e)
	__attribute__((warn_unused_result));
/* "192.0.2.1:53" or "[2001:db8::1]:53", the port 1 to 65535. Without one (an IPv6 address then needs no brackets)
 * it is `preset`; preset 0: there must be one. ERR_INVALID. */
int ip_endpoint_parse(const char *text, uint16_t preset, struct ip *ret, uint16_t *port,
                      struct err *e) __attribute__((warn_unused_result));
/* The socket address, port in host order; returns its length. */
unsigned ip_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *to);
const char *ip_format(const struct ip *ip, char to[static IP_TEXT]);
const char *ip_prefix_format(const struct ip_prefix *p, char to[static IP_TEXT]);
/* Order: family, then the address as a number. */
int ip_compare(const struct ip *a, const struct ip *b);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip *ip);
/* Sorts, and leaves out what lies inside another; returns how many remain. */
size_t ip_prefixes_reduce(struct ip_prefix *v, size_t n);
bool ip_prefix_covers(const struct ip_prefix *outer, const struct ip_prefix *inner);
bool ip_prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
/* ip + n with carry; false when it leaves the address space (*ip is then unchanged). */
bool ip_add(struct ip *ip, uint64_t n);
/* The last address of a prefix. */
struct ip ip_prefix_last(const struct ip_prefix *p);
/* How many addresses the prefix has; UINT64_MAX when 2^64 or more. */
uint64_t ip_prefix_size(const struct ip_prefix *p);
/* a - b as a number (same family, a >= b); UINT64_MAX when it does not fit. */
uint64_t ip_distance(const struct ip *a, const struct ip *b);
