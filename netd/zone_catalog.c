/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The catalog of the public zones (RFC 9432, version 2): secondaries that follow it serve a zone from the moment that it
 * is there, and no list is kept twice. It is nobody's to resolve: its name server is "invalid" (section 4), it has no
 * keys.
 */
#include <stdio.h>
#include <string.h>

#include "dns/zone.h"
#include "netd/zone_parts.h"

#define TTL_S 0 /* nobody is to keep it (section 4: any value does) */

static void put(struct batch *b, uint64_t zone, const char *name, uint16_t type,
                const uint8_t *data, int n)
{
	struct dns_sets sets = { 0 };
	uint8_t wire[DNS_NAME_MAX];
	int len = dns_name_parse(name, wire);

	if (len > 0 && n > 0) {
		dns_sets_add(&sets, type, TTL_S, data, (size_t)n);
		batch_name(b, zone, wire, (size_t)len, &sets);
	}
}

void zone_catalog_begin(struct batch *b, uint64_t zone)
{
	static const uint32_t times[4] = { 60, 10, 2147483646, 0 };
	static const uint8_t here[1] = { 0 };
	struct dns_sets sets = { 0 };
	uint8_t data[600];
	int n = dns_data_soa("invalid", "invalid", times, data);

	dns_sets_add(&sets, DNS_SOA, TTL_S, data, (size_t)n);
	n = dns_data_name("invalid", data);
	dns_sets_add(&sets, DNS_NS, TTL_S, data, (size_t)n);
	batch_name(b, zone, here, 0, &sets);
	n = dns_data_txt("2", data, sizeof(data));
	put(b, zone, "version", DNS_TXT, data, n);
}

/* A member's label stays the same for as long as it is the same zone (section 4.1): made of its name. */
void zone_catalog_member(struct batch *b, uint64_t zone, const uint8_t *origin, size_t len)
{
	static const uint8_t key[16] = "zones of netd";
	uint8_t data[DNS_NAME_MAX + 1];
	char name[64];

	snprintf(name, sizeof(name), "%016llx.zones",
	         (unsigned long long)dns_siphash(key, origin, len));
	memcpy(data, origin, len);
	data[len] = 0;
	put(b, zone, name, DNS_PTR, data, (int)len + 1);
}
