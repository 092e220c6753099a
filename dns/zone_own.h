/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the table (zone.c) and the answer path (answer.c) share. Internal to dns.
 */
#pragma once

#include "dns/zone.h"

#define DNS_NAME_MAX  255
#define DNS_ZONES_MAX 8
#define DNS_ADDRS_MAX 8

struct dns_name {
	uint16_t len;
	uint8_t n4, n6;
	bool fixed;     /* apex and name server: never removed */
	uint32_t below; /* names under it: it exists even without records (RFC 8020) */
	uint32_t generation;
	uint8_t a[DNS_ADDRS_MAX][4];
	uint8_t aaaa[DNS_ADDRS_MAX][16];
	uint8_t wire[]; /* lower case */
};

struct dns_zone {
	uint8_t wire[DNS_NAME_MAX];
	uint16_t len;
	uint32_t ttl_s;
	uint32_t serial;
};

struct dns_zones {
	struct dns_zone zones[DNS_ZONES_MAX];
	size_t n_zones;
	struct dns_name **slots; /* linear probing, load at most 3/4 */
	size_t n_slots, n_names;
	uint32_t generation;
};

uint32_t dns_hash(const uint8_t *name, size_t len);
/* Text to lower-case wire format; its length, or -1. */
int dns_wire_name(const char *text, uint8_t to[DNS_NAME_MAX]);
const struct dns_name *dns_find(const struct dns_zones *z, const uint8_t *name, size_t len);
struct dns_zone *dns_zone_of(const struct dns_zones *z, const uint8_t *name, size_t len);
