/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Address pools. Pure: no root.
 */
#include "vnet/ipam.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/vnet/addr.h"

static void addresses(void **state)
{
	struct ip_prefix p = net("10.0.0.0/29");
	struct ip a, want = ip("10.0.0.6");
	struct err e = ERR_INIT;
	struct ipam m;

	(void)state;
	ipam_init(&m, &p, 4, 1);
	assert_int_equal(ipam_take(&m, NULL, 1, 0, &a, &e), 0);
	assert_int_equal(a.b[3], 4);
	assert_int_equal(ipam_take(&m, &want, 1, 0, &a, &e), 0);
	assert_int_equal(ipam_take(&m, &want, 1, 0, &a, &e), -1);
	assert_int_equal(e.kind, ERR_CONFLICT);
	assert_int_equal(ipam_take(&m, NULL, 1, 0, &a, &e), 0);
	assert_int_equal(a.b[3], 5);
	assert_int_equal(ipam_take(&m, NULL, 1, 0, &a, &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	want = ip("10.0.0.3");
	assert_int_equal(ipam_take(&m, &want, 1, 0, &a, &e), -1);
	assert_int_equal(e.kind, ERR_INVALID);
	a = ip("10.0.0.5");
	ipam_give(&m, &a, 1, 1000); /* rests, and yields since nothing else is free */
	assert_int_equal(ipam_take(&m, NULL, 2, 500, &a, &e), 0);
	assert_int_equal(a.b[3], 5);
	ipam_fini(&m);
}

static void rests(void **state)
{
	struct ip_prefix p = net("10.0.0.0/24");
	struct ip a, b;
	struct err e = ERR_INIT;
	struct ipam m;

	(void)state;
	ipam_init(&m, &p, 4, 1);
	assert_int_equal(ipam_take(&m, NULL, 1, 0, &a, &e), 0);
	ipam_give(&m, &a, 1, 1000);
	for (int i = 0; i < 250; i++) { /* everything else first */
		assert_int_equal(ipam_take(&m, NULL, 2, 500, &b, &e), 0);
		assert_int_not_equal(ip_compare(&a, &b), 0);
	}
	assert_int_equal(ipam_take(&m, NULL, 2, 500, &b, &e), 0);
	assert_int_equal(ip_compare(&a, &b), 0);
	assert_int_equal(ipam_take(&m, NULL, 2, 500, &b, &e), -1);
	ipam_fini(&m);
}

static void prefixes(void **state)
{
	static const char *const bad[] = { "",
		                           "/",
		                           "10.0.0.0",
		                           "10.0.0.0/",
		                           "10.0.0.0/33",
		                           "10.0.0.0/08",
		                           "10.0.0.1/24",
		                           "010.0.0.0/8",
		                           "1.2.3/8",
		                           "0177.0.0.1/32",
		                           "::1/127",
		                           "::/129",
		                           "::ffff:1.2.3.4/128",
		                           "fe80::%eth0/64",
		                           "10.0.0.0/+8",
		                           "10.0.0.0/8 ",
		                           "::/-1" };
	struct ip_prefix p;
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (ip_prefix_parse(bad[i], &p, &e) == 0) {
			fail_msg("taken: %s", bad[i]);
		}
	}
	p = net("0.0.0.0/0");
	struct ip last = ip_prefix_last(&p), top = ip("255.255.255.255");
	assert_int_equal(ip_compare(&last, &top), 0);
	assert_false(ip_add(&top, 1));
	top = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	assert_false(ip_add(&top, 1));
	top = ip("10.0.255.255");
	assert_true(ip_add(&top, 1));
	struct ip next = ip("10.1.0.0");
	assert_int_equal(ip_compare(&top, &next), 0);
	struct ip_prefix outer = net("10.0.0.0/8"), inner = net("10.255.255.255/32"),
			 other = net("11.0.0.0/8");
	assert_true(ip_prefix_covers(&outer, &inner));
	assert_false(ip_prefix_overlaps(&outer, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(addresses), cmocka_unit_test(rests),
		                            cmocka_unit_test(prefixes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
