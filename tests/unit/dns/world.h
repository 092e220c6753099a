/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Zones with names for tests of the answer path.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/answer.h"
#include "dns/record.h"
#include "lib/base/ip.h"

static inline void world_must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "world: %s\n", what);
		abort();
	}
}

/* Text: "A 192.0.2.1;A 192.0.2.2;AAAA 2001:db8::1;CNAME x.example;NS ..;DNAME ..;TXT .." */
static inline void world_put(struct dns_zones *z, uint32_t zone, const char *name,
                             const char *records)
{
	struct dns_sets sets = { 0 };
	struct err e = ERR_INIT;
	uint8_t wire[DNS_NAME_MAX], data[600];
	char *copy = strdup(records), *save = NULL;
	int len = *name ? dns_name_parse(name, wire) : 0;

	for (char *r = strtok_r(copy, ";", &save); r; r = strtok_r(NULL, ";", &save)) {
		char type[16], value[300];
		struct ip ip;
		int n;

		world_must(sscanf(r, "%15s %299[^;]", type, value) == 2, r);
		if (strcmp(type, "A") == 0 || strcmp(type, "AAAA") == 0) {
			world_must(ip_parse(value, &ip, &e) == 0, value);
			dns_sets_add(&sets, ip.family == 4 ? DNS_A : DNS_AAAA, 60, ip.b,
			             ip.family == 4 ? 4 : 16);
		} else if (strcmp(type, "TXT") == 0) {
			n = dns_data_txt(value, data, sizeof(data));
			dns_sets_add(&sets, DNS_TXT, 60, data, (size_t)n);
		} else {
			uint16_t t = strcmp(type, "CNAME") == 0   ? DNS_CNAME
			             : strcmp(type, "DNAME") == 0 ? DNS_DNAME
			             : strcmp(type, "PTR") == 0   ? DNS_PTR
			                                          : DNS_NS;

			n = dns_data_name(value, data);
			world_must(n > 0, value);
			dns_sets_add(&sets, t, 60, data, (size_t)n);
		}
	}
	for (size_t i = 0; i < sets.n; i++) {
		world_must(dns_set_valid(&dns_sets_close(&sets)[i]), records);
	}
	world_must(len >= 0 && dns_name_put(z, zone, wire, (size_t)len, dns_sets_close(&sets),
	                                    sets.n, &e) == 0,
	           name);
	dns_sets_fini(&sets);
	free(copy);
}

static inline void world_zone(struct dns_zones *z, uint32_t zone, uint32_t view, uint8_t flags,
                              const char *origin)
{
	static const uint32_t times[4] = { 3600, 600, 1209600, 5 };
	uint8_t wire[DNS_NAME_MAX], data[600];
	struct dns_sets sets = { 0 };
	struct err e = ERR_INIT;
	int len = dns_name_parse(origin, wire);

	world_must(len >= 0 && dns_zone_put(z, zone, wire, (size_t)len, 1, &e) == 0, origin);
	int n = dns_data_soa("ns1.example", "hostmaster.example", times, data);
	dns_sets_add(&sets, DNS_SOA, 60, data, (size_t)n);
	n = dns_data_name("ns1.example", data);
	dns_sets_add(&sets, DNS_NS, 60, data, (size_t)n);
	world_must(dns_name_put(z, zone, wire, 0, dns_sets_close(&sets), sets.n, &e) == 0, "apex");
	dns_sets_fini(&sets);
	world_must(dns_link_put(z, view, zone, flags, &e) == 0, "link");
}

static inline size_t world_query(uint8_t *to, const char *name, uint16_t type, bool edns)
{
	static const uint8_t head[12] = { 0x12, 0x34, 1, 0, 0, 1 };
	size_t n = 12;

	memcpy(to, head, 12);
	to[11] = edns;
	while (*name) {
		size_t l = strcspn(name, ".");

		to[n++] = (uint8_t)l;
		memcpy(to + n, name, l);
		n += l;
		name += l + (name[l] == '.');
	}
	to[n++] = 0;
	dns_put16(to + n, type);
	dns_put16(to + n + 2, 1);
	n += 4;
	if (edns) {
		static const uint8_t opt[11] = { 0, 0, 41, 4, 208 };

		memcpy(to + n, opt, 11);
		n += 11;
	}
	return n;
}
