/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Records: gathering what a name has into sets (RFC 2181 5), and checking sets that somebody else made.
 * Pure: no I/O.
 */
#pragma once

#include "dns/name.h"
#include "dns/table.h"
#include "lib/base/buf.h"

/* What a name has. Zero-initialised is empty. */
struct dns_sets {
	struct dns_set v[DNS_SETS_MAX];
	struct buf data[DNS_SETS_MAX];
	size_t n;
};

/* One more record; one that is there already is left out. All of a type have the TTL of the first. false: more
 * than a name may have. */
bool dns_sets_add(struct dns_sets *s, uint16_t type, uint32_t ttl_s, const void *data, size_t len);
void dns_sets_clear(struct dns_sets *s);
void dns_sets_fini(struct dns_sets *s);
/* Points `v` at the data; before `v` is handed on. */
const struct dns_set *dns_sets_close(struct dns_sets *s);

/* Is a set whole: as many records as it says, addresses of their length, names where the type has names? */
bool dns_set_valid(const struct dns_set *s);

/* Names inside record data to lower case, where signatures want them so (RFC 4034 6.2, 6840 5.1). */
void dns_data_lower(uint16_t type, uint8_t *data, size_t len);
#define DNS_TYPES_ROOM (256 * 34)
enum dns_owner {
	DNS_OWNER,
	DNS_OWNER_CUT,    /* delegated: only NS and DS are of this zone (RFC 4035 2.3) */
	DNS_OWNER_MISSING /* NXNAME says so (RFC 9824) */
};
/* Types of a name as NSEC tells them (RFC 4034 4.1.2), RRSIG and NSEC among them; `f` NULL: no others. Returns the
 * length. */
size_t dns_data_types(const struct dns_found *f, enum dns_owner owner, uint8_t to[DNS_TYPES_ROOM]);
/* How long a denial is remembered, seconds: the least of a SOA's TTL and its last number (RFC 2308 3, RFC 9077). */
uint32_t dns_negative_ttl(const struct dns_set *soa);
/* A name as record data: with the root's label. Returns its length; -1: no name. */
int dns_data_name(const char *text, uint8_t to[DNS_NAME_MAX + 1]);
/* SOA (RFC 1035 3.3.13): refresh, retry, expire, negative TTL in `times`, seconds. The serial is the zone's own.
 * Returns the length; -1: a name is none. */
int dns_data_soa(const char *server, const char *mail, const uint32_t times[4], uint8_t to[600]);
/* TXT (RFC 1035 3.3.14) of one text: cut into strings of 255 bytes. Returns the length; -1: over `room`. */
int dns_data_txt(const char *text, uint8_t *to, size_t room);
