/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Subnets and their bridges: found again by number, a bridge more when one is full, nothing kept
 * of one that ended.
 */
#include "netd/subnet.h"

#include "tests/test.h"

static const struct ip_prefix v4 = { { 4, { 10, 1 } }, 16 }, other = { { 4, { 10, 2 } }, 16 },
			      six = { { 6, { 0xfd } }, 64 };

static void test_table(void **state)
{
	struct subnet *v[100];

	(void)state;
	for (uint32_t i = 0; i < 100; i++) { /* in no order */
		v[i] = subnet_make(16 + i * 37 % 10, 1000 + i * 37 % 100);
	}
	for (uint32_t i = 0; i < 100; i++) {
		assert_ptr_equal(subnet_find(16 + i * 37 % 10, 1000 + i * 37 % 100), v[i]);
	}
	assert_null(subnet_find(16, 1));
	assert_true(subnet_any(20));
	assert_false(subnet_any(26));
	assert_false(subnet_any(15));
	for (uint32_t i = 0; i < 100; i++) {
		subnet_free(v[i]);
	}
	assert_null(subnet_at(0));
	assert_false(subnet_any(20));
}

static void test_prefix_of_an_ended_one_is_forgotten(void **state)
{
	(void)state;
	struct subnet *s = subnet_make(16, 17);
	(void)subnet_range_add(s, &v4);
	subnet_free(s);
	s = subnet_make(16, 17);
	assert_int_equal(s->n_ranges, 0);
	subnet_free(s);
}

static void test_ranges(void **state)
{
	struct subnet *s = subnet_make(16, 17);
	struct ip ip = { 4, { 10, 2, 0, 9 } };

	(void)state;
	subnet_range_add(s, &v4)->groups = 1;
	(void)subnet_range_add(s, &other);
	(void)subnet_range_add(s, &six);
	(void)subnet_range_add(s, &v4);
	assert_int_equal(s->n_ranges, 3);
	assert_int_equal(subnet_range_of(s, &ip)->prefix.ip.b[1], 2);
	assert_true(subnet_has(s, 6));
	subnet_ranges_keep(s, &six, 1); /* what a group is in stays */
	assert_int_equal(s->n_ranges, 2);
	assert_null(subnet_range_of(s, &ip));
	subnet_free(s);
}

static void test_bridges(void **state)
{
	struct subnet *s = subnet_make(16, 17);

	(void)state;
	assert_int_equal(subnet_bridge_free(s)->id, 17);
	s->bridges[0].ports = SUBNET_PORTS - 1;
	assert_int_equal(subnet_bridge_free(s)->id, 17);
	s->bridges[0].ports++;
	assert_null(subnet_bridge_free(s));
	subnet_bridge_add(s, 99);
	assert_int_equal(subnet_bridge_free(s)->id, 99);
	s->bridges[0].ports--; /* the first has room again */
	assert_int_equal(subnet_bridge_free(s)->id, 17);
	subnet_bridge_remove(s, subnet_bridge_find(s, 99));
	assert_null(subnet_bridge_find(s, 99));
	assert_int_equal(s->n_bridges, 1);
	subnet_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_prefix_of_an_ended_one_is_forgotten),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_bridges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
