/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Packets to the answer path, of the public and of a VNet: never an answer to an answer, the query's id, nothing over
 * the limit.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/unit/dns/world.h"

static struct dns_server server = { .nsid = "n", .version = "v", .secrets = { .n = 1 } };

static struct dns_zones *zones(void)
{
	struct err e = ERR_INIT;
	bool adopted;
	struct dns_zones *z = dns_zones_new(-1, &adopted, &e);

	MUST(z);
	world_zone(z, 1, 0, 0, "westeurope.azurecontainer.io");
	world_put(z, 1, "web", "A 192.0.2.2;AAAA 2001::");
	world_put(z, 1, "a.b.c", "A 192.0.2.2;TXT text");
	world_put(z, 1, "web.hash1234", "A 192.0.2.2");
	world_put(z, 1, "c", "CNAME d.westeurope.azurecontainer.io");
	world_put(z, 1, "d", "CNAME c.westeurope.azurecontainer.io");
	world_put(z, 1, "*.x", "A 192.0.2.2");
	world_put(z, 1, "n", "NS a.n.westeurope.azurecontainer.io");
	world_put(z, 1, "a.n", "A 192.0.2.3");
	world_put(z, 1, "o", "DNAME o.o.westeurope.azurecontainer.io");
	world_zone(z, 2, 5, DNS_LINK_FALLBACK, "corp");
	world_put(z, 2, "out", "CNAME example.com");
	return z;
}

static void one(struct dns_zones *z, uint32_t view, bool tcp, const uint8_t *data, size_t len)
{
	static uint8_t out[65535];
	size_t limit = tcp ? sizeof(out) : 1232;
	uint8_t *room = malloc(limit);
	struct dns_ask a = { .zones = z,
		             .view = dns_view_of(z, view),
		             .server = &server,
		             .tcp = tcp,
		             .stub = view != 0,
		             .client_len = 4 };
	size_t n = dns_answer(&a, data, len, room, limit);

	MUST(n <= limit);
	MUST(n == 0 || n >= 12);
	if (n) {
		MUST(len >= 12 && !(data[2] & 0x80));
		MUST(memcmp(room, data, 2) == 0 && room[2] & 0x80);
		MUST(dns_answer_short(&a, data, out) <= 512);
		/* An answer is never answered: no loop between two servers. */
		MUST(dns_answer(&a, room, n, out, limit) == 0);
	}
	free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct dns_zones *z;

	z = z ? z : zones();
	for (int i = 0; i < 4; i++) {
		one(z, i & 2 ? 5 : 0, i & 1, data, len);
	}
	return 0;
}
