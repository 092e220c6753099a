/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The answer path, byte by byte, and under garbage.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/zone.h"
#include "tests/test.h"

static struct dns_zones *zones(void)
{
	struct dns_zones *z = dns_zones_new();
	struct ip ns = { 4, { 192, 0, 2, 2 } },
		  web[2] = { { 4, { 198, 18, 0, 4 } }, { 6, { 0x20, 1, [15] = 4 } } };
	struct err e = ERR_INIT;

	assert_non_null(z);
	assert_int_equal(dns_zones_add(z, "westeurope.azurecontainer.io", &ns, 1, 60, &e), 0);
	assert_int_equal(dns_name_set(z, "web.hash.westeurope.azurecontainer.io", web, 2, &e), 0);
	return z;
}

static size_t query(uint8_t *to, const char *name, uint16_t type, bool edns)
{
	static const uint8_t head[12] = { 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
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
	to[n++] = (uint8_t)(type >> 8);
	to[n++] = (uint8_t)type;
	to[n++] = 0;
	to[n++] = 1;
	if (edns) {
		static const uint8_t opt[11] = { 0, 0, 41, 4, 208 };

		memcpy(to + n, opt, 11);
		n += 11;
	}
	return n;
}

/* rcode, answers, authority, flags of the answer to a name and type */
static void expect(const struct dns_zones *z, const char *name, uint16_t type, int rcode,
                   int answers, int authority)
{
	uint8_t q[512], a[65535];
	size_t len = query(q, name, type, false), n = dns_answer(z, q, len, false, a, sizeof(a));

	assert_true(n >= 12);
	assert_memory_equal(a, q, 2);
	assert_true(a[2] & 0x80);
	assert_int_equal(a[3] & 15, rcode);
	assert_int_equal(a[7], answers);
	assert_int_equal(a[9], authority);
	assert_memory_equal(a + 12, q + 12, len - 12); /* the question as asked, case too */
}

static void answers(void **state)
{
	struct dns_zones *z = zones();
	struct err e = ERR_INIT;

	(void)state;
	expect(z, "web.hash.westeurope.azurecontainer.io", 1, 0, 1, 0);
	expect(z, "WEB.Hash.westEurope.azurecontainer.io", 28, 0, 1, 0);
	expect(z, "web.hash.westeurope.azurecontainer.io", 16, 0, 0, 1); /* NODATA */
	expect(z, "hash.westeurope.azurecontainer.io", 1, 0, 0, 1);      /* exists, empty */
	expect(z, "nope.hash.westeurope.azurecontainer.io", 1, 3, 0, 1); /* NXDOMAIN */
	expect(z, "westeurope.azurecontainer.io", 6, 0, 1, 0);
	expect(z, "westeurope.azurecontainer.io", 2, 0, 1, 0);
	expect(z, "web.hash.westeurope.azurecontainer.io", 255, 0, 1, 0);
	expect(z, "westeurope.azurecontainer.io", 252, 5, 0, 0);
	expect(z, "example.com", 1, 5, 0, 0);
	expect(z, "xwesteurope.azurecontainer.io", 1, 5, 0, 0);
	assert_int_equal(dns_name_set(z, "web.hash.westeurope.azurecontainer.io", NULL, 0, &e), 0);
	expect(z, "web.hash.westeurope.azurecontainer.io", 1, 3, 0, 1);
	expect(z, "hash.westeurope.azurecontainer.io", 1, 3, 0, 1);
	assert_int_equal(dns_name_set(z, "outside.example.com", NULL, 0, &e), -1);
	dns_zones_free(z);
}

static void full_list(void **state)
{
	struct dns_zones *z = zones();
	struct ip ip = { 4, { 198, 18, 0, 9 } };
	struct err e = ERR_INIT;
	char name[100];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%d.h%d.westeurope.azurecontainer.io", i, i % 7);
		assert_int_equal(dns_name_set(z, name, &ip, 1, &e), 0);
	}
	expect(z, "n4999.h1.westeurope.azurecontainer.io", 1, 0, 1, 0);
	dns_names_begin(z);
	assert_int_equal(dns_name_set(z, "n7.h0.westeurope.azurecontainer.io", &ip, 1, &e), 0);
	dns_names_end(z);
	expect(z, "n7.h0.westeurope.azurecontainer.io", 1, 0, 1, 0);
	expect(z, "n8.h1.westeurope.azurecontainer.io", 1, 3, 0, 1);
	assert_int_equal(dns_names_count(z), 4); /* apex, ns1, h0, n7.h0 */
	dns_zones_free(z);
}

static void edns_and_bad(void **state)
{
	struct dns_zones *z = zones();
	uint8_t q[600], a[65535];
	size_t len = query(q, "web.hash.westeurope.azurecontainer.io", 1, true);

	(void)state;
	size_t n = dns_answer(z, q, len, false, a, sizeof(a));
	assert_int_equal(a[11], 1);
	assert_int_equal(a[n - 8] << 8 | a[n - 7], 1232);
	q[len - 5] = 1; /* EDNS version 1 */
	n = dns_answer(z, q, len, false, a, sizeof(a));
	assert_int_equal(a[n - 6], 1); /* BADVERS */
	q[2] = 0x81;
	assert_int_equal(dns_answer(z, q, len, false, a, sizeof(a)), 0);
	q[2] = 0x29;
	dns_answer(z, q, len, false, a, sizeof(a));
	assert_int_equal(a[3] & 15, 4);
	q[2] = 1;
	q[12] = 0xc0; /* a compression pointer as question */
	q[13] = 12;
	dns_answer(z, q, len, false, a, sizeof(a));
	assert_int_equal(a[3] & 15, 1);
	dns_zones_free(z);
}

static void garbage(void **state)
{
	struct dns_zones *z = zones();
	unsigned seed = (unsigned)atoi(getenv("SEED") ? getenv("SEED") : "1");
	uint8_t good[600];
	size_t len = query(good, "web.hash.westeurope.azurecontainer.io", 1, true);

	(void)state;
	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)(rand_r(&seed) % (int)(len + 1));
		uint8_t *q = malloc(n + 1),
			*a = malloc(512); /* exact sizes: ASan watches the ends */

		memcpy(q, good, n);
		for (int k = rand_r(&seed) % 4; k > 0 && n; k--) {
			q[(size_t)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
		}
		assert_true(dns_answer(z, q, n, false, a, 512) <= 512);
		free(q);
		free(a);
	}
	dns_zones_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(answers), cmocka_unit_test(full_list),
		                            cmocka_unit_test(edns_and_bad),
		                            cmocka_unit_test(garbage) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
