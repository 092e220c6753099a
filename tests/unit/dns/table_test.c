/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of names against a model, under readers, over a change of process, and its size.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/test.h"
#include "tests/unit/dns/world.h"

#define MODEL 400

static unsigned seed_of(void)
{
	return (unsigned)atoi(getenv("SEED") ? getenv("SEED") : "1");
}

static struct dns_zones *zones_new(int fd, bool want)
{
	struct err e = ERR_INIT;
	bool adopted;
	struct dns_zones *z = dns_zones_new(fd, &adopted, &e);

	assert_non_null(z);
	assert_int_equal(adopted, want);
	return z;
}

/* Names of up to four labels from a few, so that they lie above and below each other. */
static size_t some_name(unsigned *seed, uint8_t *to)
{
	size_t n = 0;

	for (int labels = 1 + rand_r(seed) % 4; labels > 0; labels--) {
		to[n++] = 1;
		to[n++] = (uint8_t)('a' + rand_r(seed) % 4);
	}
	return n;
}

struct model {
	uint8_t name[8];
	size_t len;
	unsigned a; /* number of addresses; 0: absent */
};

static bool under(const struct model *m, const uint8_t *name, size_t len)
{
	return m->a && m->len > len && memcmp(m->name + m->len - len, name, len) == 0;
}

static void check_model(struct dns_zones *z, uint32_t space, const struct model *m, size_t n,
                        const uint8_t *name, size_t len)
{
	struct dns_found f;
	struct dns_set s;
	unsigned own = 0;
	bool below = false;

	for (size_t i = 0; i < n; i++) {
		below = below || under(&m[i], name, len);
		if (m[i].len == len && memcmp(m[i].name, name, len) == 0) {
			own = m[i].a;
		}
	}
	bool there = dns_table_find(dns_zones_table(z), space, name, len, &f);
	assert_int_equal(there, own > 0 || below);
	if (there) {
		assert_int_equal(f.empty, own == 0);
		bool has = dns_found_set(&f, DNS_A, &s);
		assert_int_equal(has, own > 0);
		assert_int_equal(has ? s.count : 0, own);
	}
}

/* Random changes: what exists, with how many records, and what exists for others' sake. */
static void against_a_model(void **state)
{
	static const uint8_t addr[4 * 8] = { 192, 0, 2, 1, 192, 0, 2, 2, 192, 0, 2, 3 };
	int fd = memfd_create("t", 0);
	struct dns_zones *z = zones_new(fd, false);
	struct model m[MODEL] = { 0 };
	unsigned seed = seed_of();
	size_t n = 0;
	struct err e = ERR_INIT;

	(void)state;
	world_zone(z, 7, 0, 0, "example");
	for (int step = 0; step < 60000; step++) {
		uint8_t name[8];
		size_t len = some_name(&seed, name), i = 0;

		while (i < n && (m[i].len != len || memcmp(m[i].name, name, len) != 0)) {
			i++;
		}
		if (i == n) {
			assert_true(n < MODEL);
			m[n].len = len;
			memcpy(m[n++].name, name, len);
		}
		m[i].a = (unsigned)(rand_r(&seed) % 5);
		m[i].a = m[i].a > 3 ? 0 : m[i].a;
		struct dns_set s = { DNS_A, (uint8_t)m[i].a, 60, addr, addr + 4 * m[i].a };
		assert_int_equal(dns_name_put(z, 7, name, len, &s, m[i].a > 0, &e), 0);
		len = some_name(&seed, name);
		check_model(z, dns_zone_numbered(z, 7)->space, m, n, name, len);
		if (step % 9999 == 0) { /* the next process takes it over */
			uint32_t serial = dns_zone_numbered(z, 7)->serial;

			dns_zones_free(z);
			z = zones_new(fd, true);
			assert_int_equal(dns_zone_numbered(z, 7)->serial, serial);
		}
	}
	for (size_t i = 0; i < n; i++) {
		check_model(z, dns_zone_numbered(z, 7)->space, m, n, m[i].name, m[i].len);
	}
	dns_zones_free(z);
	close(fd);
}

static void put_many(struct dns_zones *z, int from, int to)
{
	char name[100];

	for (int i = from; i < to; i++) {
		snprintf(name, sizeof(name), "web%d.h%011x", i, (unsigned)i * 2654435761u);
		world_put(z, 7, name, "A 198.18.0.1");
	}
}

/* ---- readers beside the writer ---- */

struct reading {
	struct dns_zones *z;
	bool stop;
	unsigned wrong, reads;
};

/* Names 0 to 999 are always there; the writer changes them, and makes and removes others around them. */
static void *reader(void *arg)
{
	struct reading *r = arg;
	struct dns_reader *section = dns_reader_new(dns_zones_table(r->z));
	unsigned seed = 3;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		dns_reader_begin(section);
		for (int k = 0; k < 32; k++) {
			int i = rand_r(&seed) % 1000;
			struct dns_found f;
			struct dns_set s;
			uint8_t name[DNS_NAME_MAX];
			char text[100];

			snprintf(text, sizeof(text), "web%d.h%011x", i, (unsigned)i * 2654435761u);
			int len = dns_name_parse(text, name);
			bool ok = dns_table_find(dns_zones_table(r->z),
			                         dns_zone_numbered(r->z, 7)->space, name,
			                         (size_t)len, &f) &&
			          dns_found_set(&f, DNS_A, &s) && s.count == 1 && s.data[0] == 198;
			/* What is above a name is there as long as the name. */
			size_t label = name[0] + 1u;
			ok = ok && dns_table_find(dns_zones_table(r->z),
			                          dns_zone_numbered(r->z, 7)->space, name + label,
			                          (size_t)len - label, &f);
			r->wrong += !ok;
			r->reads++;
		}
		dns_reader_end(section);
	}
	dns_reader_free(section);
	return NULL;
}

static void beside_readers(void **state)
{
	struct reading r = { .z = zones_new(-1, false) };
	pthread_t thread[2];
	unsigned seed = seed_of();
	char name[100], value[60];

	(void)state;
	world_zone(r.z, 7, 0, 0, "example");
	put_many(r.z, 0, 1000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&thread[i], NULL, reader, &r), 0);
	}
	for (int i = 0; i < 200000; i++) {
		int k = rand_r(&seed) % 1000;

		snprintf(name, sizeof(name), "web%d.h%011x", k, (unsigned)k * 2654435761u);
		snprintf(value, sizeof(value), "A 198.18.%d.%d", i / 256 % 256, i % 256);
		world_put(r.z, 7, name, value);
		k = 1000 + rand_r(&seed) % 4000;
		snprintf(name, sizeof(name), "x%d.h%011x", k, (unsigned)(k % 2000) * 2654435761u);
		world_put(r.z, 7, name, rand_r(&seed) % 2 ? "A 198.18.0.9" : "");
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
	}
	assert_int_equal(r.wrong, 0);
	assert_true(r.reads > 0);
	dns_zones_free(r.z);
}

/* Memory that is given back is taken again: the table does not grow by changes. */
static void stays_small(void **state)
{
	struct dns_zones *z = zones_new(-1, false);
	struct dns_table_stats before, after;

	(void)state;
	world_zone(z, 7, 0, 0, "example");
	put_many(z, 0, 20000);
	dns_table_stats(dns_zones_table(z), &before);
	for (int round = 0; round < 20; round++) {
		char name[100], value[60];

		for (int i = 0; i < 20000; i++) {
			snprintf(name, sizeof(name), "web%d.h%011x", i, (unsigned)i * 2654435761u);
			snprintf(value, sizeof(value), "A 198.18.%d.1", round);
			world_put(z, 7, name, value);
		}
		dns_table_reclaim(dns_zones_table(z));
	}
	dns_table_stats(dns_zones_table(z), &after);
	assert_int_equal(after.names, before.names);
	assert_true(after.bytes < before.bytes + before.bytes / 4);
	/* Half a gigabyte for the million would be 500 a name; 80 are wanted at that size. */
	assert_true(before.bytes / 20000 < 110);
	dns_zones_free(z);
}

static void half_a_table(void **state)
{
	int fd = memfd_create("t", 0);
	struct dns_zones *z = zones_new(fd, false);
	uint64_t garbage = UINT64_C(0xfffffff0);

	(void)state;
	world_zone(z, 7, 0, 0, "example");
	put_many(z, 0, 500);
	dns_zones_free(z);
	z = zones_new(fd, true);
	assert_int_equal(dns_names(z), 501);
	dns_zones_free(z);
	/* One slot that leads nowhere: nothing of it is believed. */
	assert_int_equal(pwrite(fd, &garbage, 8, (off_t)(UINT64_C(8) << 30) + 80), 8);
	z = zones_new(fd, false);
	assert_int_equal(dns_names(z), 0);
	dns_zones_free(z);
	close(fd);
}

static void whole_list(void **state)
{
	struct dns_zones *z = zones_new(-1, false);
	struct dns_found f;
	uint8_t name[DNS_NAME_MAX];
	struct err e = ERR_INIT;

	(void)state;
	world_zone(z, 7, 0, 0, "example");
	world_zone(z, 8, 5, 0, "private");
	put_many(z, 0, 1000);
	world_put(z, 8, "a", "A 10.0.0.4");
	dns_list_begin(z);
	world_zone(z, 7, 0, 0, "example");
	put_many(z, 0, 10);
	dns_list_end(z);
	assert_int_equal(dns_names(z), 11);
	assert_null(dns_zone_numbered(z, 8));
	assert_null(dns_view_of(z, 5));
	int len = dns_name_parse("web10.h", name);
	assert_false(dns_table_find(dns_zones_table(z), dns_zone_numbered(z, 7)->space, name,
	                            (size_t)len, &f));
	assert_int_equal(dns_name_put(z, 8, name, 2, NULL, 0, &e), -1);
	dns_zones_free(z);
}

static void names(void **state)
{
	static const struct {
		const char *text, *printed;
		int len;
	} cases[] = { { "a.B.c", "a.b.c", 6 },   { "a.", "a", 2 },
		      { ".", ".", 0 },           { "a\\.b.c", "a\\.b.c", 6 },
		      { "\\000x", "\\000x", 3 }, { "*.x", "*.x", 4 },
		      { "", NULL, -1 },          { "a..b", NULL, -1 },
		      { ".a", NULL, -1 },        { "\\256", NULL, -1 },
		      { "\\25", NULL, -1 } };
	uint8_t wire[DNS_NAME_MAX];
	char text[DNS_NAME_TEXT], longest[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = dns_name_parse(cases[i].text, wire);

		assert_int_equal(n, cases[i].len);
		if (n >= 0) {
			assert_string_equal(dns_name_print(wire, (size_t)n, text),
			                    cases[i].printed);
			assert_true(dns_name_valid(wire, (size_t)n));
		}
	}
	memset(longest, 'a', sizeof(longest));
	longest[63] = longest[127] = longest[191] = '.';
	longest[253] = '\0'; /* 3 labels of 63, one of 61: 254 bytes */
	assert_int_equal(dns_name_parse(longest, wire), 254);
	longest[253] = 'a';
	longest[254] = '\0';
	assert_int_equal(dns_name_parse(longest, wire), -1);
	longest[64] = '\0';
	longest[63] = 'a';
	assert_int_equal(dns_name_parse(longest, wire), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),          cmocka_unit_test(against_a_model),
		cmocka_unit_test(beside_readers), cmocka_unit_test(stays_small),
		cmocka_unit_test(half_a_table),   cmocka_unit_test(whole_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
