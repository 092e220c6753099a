/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Packets to the answer path: never an answer to an answer, the query's id, nothing over the limit.
 */
#include <string.h>

#include "dns/zone.h"
#include "tests/fuzz/fuzz.h"

static struct dns_zones *zones(void)
{
	static const char *const names[] = { "web", "a.b.c", "web.hash1234", "x-9" };
	struct dns_zones *z = dns_zones_new();
	struct ip ip[2] = { { 4, { 192, 0, 2, 2 } }, { 6, { 0x20, 1 } } };
	struct err e = ERR_INIT;
	char name[200];

	MUST(dns_zones_add(z, "westeurope.azurecontainer.io", ip, 1, 60, &e) == 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s.westeurope.azurecontainer.io", names[i]);
		MUST(dns_name_set(z, name, ip, 2, &e) == 0);
	}
	return z;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct dns_zones *z;
	static uint8_t out[65535];

	z = z ? z : zones();
	for (int tcp = 0; tcp < 2; tcp++) {
		size_t limit = tcp ? sizeof(out) : 1232;
		uint8_t *room = malloc(limit);
		size_t n = dns_answer(z, data, len, tcp, room, limit);

		MUST(n <= limit);
		MUST(n == 0 || n >= 12);
		if (n) {
			MUST(len >= 12 && !(data[2] & 0x80));
			MUST(memcmp(room, data, 2) == 0 && room[2] & 0x80);
			/* An answer is never answered: no loop between two servers. */
			MUST(dns_answer(z, room, n, tcp, out, limit) == 0);
		}
		free(room);
	}
	return 0;
}
