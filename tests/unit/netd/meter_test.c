/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The time that usage is told by: no second twice, none lost, over any jumps, starts and boots.
 */
#include <stdio.h>
#include <stdlib.h>

#include "netd/meter_clock.h"
#include "tests/test.h"

#define STRETCHES 40

static void plain(void **state)
{
	struct meter_clock c = { 0 };

	(void)state;
	assert_true(meter_clock_tell(&c, "a", 1000, 50000));
	assert_false(meter_clock_tell(&c, "a", 2000, 51000));
	assert_false(meter_clock_tell(&c, "a", 3000, 52900)); /* a drift is no jump */
	assert_int_equal(meter_clock_time(&c, "a", 3000), 52000);
	assert_true(meter_clock_tell(&c, "a", 4000, 3653000)); /* set forward by an hour */
	assert_int_equal(meter_clock_time(&c, "a", 4000), 3653000);
	assert_int_equal(meter_clock_time(&c, "a", 3999), 52999);
	assert_false(meter_clock_tell(&c, "a", 5000, 54000)); /* and back: it goes on */
	assert_int_equal(meter_clock_time(&c, "a", 5000), 3654000);
	assert_int_equal(meter_clock_overlap(&c, "a", 2000, 6000, 0, INT64_MAX), 4000);
	assert_int_equal(meter_clock_overlap(&c, "a", 2000, 6000, 0, 100000), 2000);
	assert_int_equal(meter_clock_overlap(&c, "a", 2000, 6000, 100000, INT64_MAX), 2000);
	assert_int_equal(meter_clock_overlap(&c, "b", 2000, 6000, 0, INT64_MAX), 0);
	meter_clock_fini(&c);
}

static void boots(void **state)
{
	struct meter_clock c = { 0 };

	(void)state;
	meter_clock_tell(&c, "a", 1000, 50000);
	meter_clock_tell(&c, "a", 9000, 58000);
	assert_true(meter_clock_tell(&c, "b", 100, 20000)); /* a machine that lost its clock */
	assert_int_equal(meter_clock_time(&c, "b", 100), 58000);
	assert_true(meter_clock_tell(&c, "c", 70, 99000));
	assert_int_equal(meter_clock_time(&c, "c", 80), 99010);
	meter_clock_prune(&c, 99000);
	assert_int_equal(c.n, 1);
	assert_int_equal(meter_clock_time(&c, "c", 80), 99010);
	meter_clock_fini(&c);
}

/* Windows that follow each other hold what passed, once. */
static void random_jumps(void **state)
{
	unsigned seed = (unsigned)atoi(getenv("SEED") ? getenv("SEED") : "1");

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct meter_clock c = { 0 };
		struct {
			char boot[METER_BOOT];
			int64_t begin, end;
		} v[STRETCHES];
		int64_t at = rand_r(&seed) % 100000, wall = 1700000000000, passed = 0, last = 0;
		int boot = 0;

		for (int i = 0; i < STRETCHES; i++) {
			int64_t length = rand_r(&seed) % 20000;

			if (rand_r(&seed) % 8 == 0) {
				boot++;
				at = rand_r(&seed) % 1000;
			}
			snprintf(v[i].boot, METER_BOOT, "boot-%d", boot);
			wall += rand_r(&seed) % 3 == 0 ? rand_r(&seed) % 7200000 - 3600000 : 0;
			v[i].begin = at;
			for (int64_t left = length; left > 0; left -= 1000) {
				meter_clock_tell(&c, v[i].boot, at, wall);
				int64_t now = meter_clock_time(&c, v[i].boot, at);
				assert_true(now >= last); /* never back */
				last = now;
				wall += rand_r(&seed) % 20 == 0 ? rand_r(&seed) % 100000 - 50000
				                                : 0;
				at += left < 1000 ? left : 1000;
				wall += left < 1000 ? left : 1000;
			}
			meter_clock_tell(&c, v[i].boot, at, wall);
			v[i].end = at;
			passed += length;
		}
		int64_t sum = 0, from = 0, to;
		for (; from < INT64_MAX; from = to) {
			to = from == 0              ? c.v[0].time_ms
			     : from > last + 100000 ? INT64_MAX
			                            : from + 1 + rand_r(&seed) % 50000;
			for (int i = 0; i < STRETCHES; i++) {
				sum += meter_clock_overlap(&c, v[i].boot, v[i].begin, v[i].end,
				                           from, to);
			}
		}
		assert_int_equal(sum, passed);
		meter_clock_fini(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(plain), cmocka_unit_test(boots),
		                            cmocka_unit_test(random_jumps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
