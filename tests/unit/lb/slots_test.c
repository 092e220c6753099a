/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Slot tables over random sequences of changes: shares are floor or ceil, moves are the fewest that a
 * count of its own finds, and text leads back to the same table.
 */
#include "lb/slots.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

#define MEMBERS 60

static struct slots_member some[MEMBERS];

static size_t count(const struct slots *s, const struct ip *ip)
{
	size_t n = 0;

	for (uint32_t i = 0; s->n && i < kobj_sizes[s->size]; i++) {
		n += ip_compare(&s->v[s->slot[i]].ip, ip) == 0;
	}
	return n;
}

static size_t weights(const struct slots_member *v, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		sum += v[i].weight;
	}
	return sum;
}

static void check_shares(const struct slots *s)
{
	size_t m = kobj_sizes[s->size], sum = weights(s->v, s->n), all = 0;

	for (size_t i = 0; i < s->n; i++) {
		size_t has = count(s, &s->v[i].ip), low = m * s->v[i].weight / sum;

		assert_in_range(has, low, low + (m * s->v[i].weight % sum != 0));
		all += has;
	}
	assert_int_equal(all, s->n ? m : 0);
}

/* The fewest moves that any table with right shares can have, size unchanged. */
static size_t fewest(const struct slots *was, const struct slots *now)
{
	size_t m = kobj_sizes[now->size], sum = weights(now->v, now->n), kept = 0, over = 0, up = 0,
	       high = m;

	for (size_t i = 0; i < now->n; i++) {
		size_t low = m * now->v[i].weight / sum, has = count(was, &now->v[i].ip);
		bool part = m * now->v[i].weight % sum != 0;

		high -= low;
		up += part && has > low;
		kept += has;
		over += has > low + part ? has - low - part : 0;
	}
	return m - kept + over + (up > high ? up - high : 0);
}

static void test_random_changes(void **state)
{
	struct slots was = { 0 }, now;

	(void)state;
	srand(5);
	for (int round = 0; round < 400; round++) {
		struct slots_member v[MEMBERS];
		size_t n = 0, p = (size_t)rand() % 100;

		for (size_t i = 0; i < MEMBERS; i++) {
			bool had = count(&was, &some[i].ip) > 0;
			/* mostly one comes or goes */
			if ((size_t)rand() % 100 < 4 ? (size_t)rand() % 100 < p : had) {
				v[n] = some[i];
				v[n++].weight = (uint16_t)(round % 3 ? 1 : 1 + rand() % 9);
			}
		}
		assert_int_equal(slots_next(&was, v, n, &now), 0);
		check_shares(&now);
		if (n && was.n && was.size == now.size) {
			assert_int_equal(slots_moved(&was, &now), fewest(&was, &now));
		}
		char *text = slots_print(&now);
		struct slots again;
		assert_non_null(text);
		assert_true(slots_scan(text, &again));
		assert_int_equal(again.n, now.n);
		assert_int_equal(slots_moved(&now, &again), 0);
		free(text);
		slots_fini(&again);
		slots_fini(&was);
		was = now;
	}
	slots_fini(&was);
}

/* To a larger table and back: a hash's slot is scaled, so that its flows stay where they were. */
static void test_growth_keeps_flows(void **state)
{
	struct slots one = { 0 }, two, three;

	(void)state;
	assert_int_equal(slots_next(&(struct slots){ 0 }, some, 9, &one), 0);
	assert_int_equal(kobj_sizes[one.size], 64);
	assert_int_equal(slots_next(&one, some, 10, &two), 0);
	assert_int_equal(kobj_sizes[two.size], 1024);
	/* The newcomer's share, and what 64 slots could not share evenly. */
	assert_in_range(slots_moved(&one, &two), 102, 102 + 1024 / 64 * 9);
	assert_int_equal(slots_next(&two, some, 6, &three), 0);
	assert_int_equal(three.size, two.size); /* no smaller one yet */
	slots_fini(&two);
	assert_int_equal(slots_next(&three, some, 4, &two), 0);
	assert_int_equal(kobj_sizes[two.size], 64);
	check_shares(&two);
	slots_fini(&one);
	slots_fini(&two);
	slots_fini(&three);
}

static void test_sizes(void **state)
{
	static const struct {
		size_t n;
		uint32_t size;
	} rows[] = {
		{ 1, 64 }, { 9, 64 }, { 10, 1024 }, { 11, 4096 }, { 40, 4096 }, { 41, 16384 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slots s;

		assert_int_equal(slots_next(&(struct slots){ 0 }, some, rows[i].n, &s), 0);
		assert_int_equal(kobj_sizes[s.size], rows[i].size);
		slots_fini(&s);
	}
}

static void test_last_goes_and_first_comes(void **state)
{
	struct slots one, none, two;

	(void)state;
	assert_int_equal(slots_next(&(struct slots){ 0 }, some, 3, &one), 0);
	assert_int_equal(slots_next(&one, NULL, 0, &none), 0);
	assert_int_equal(none.n, 0);
	assert_int_equal(slots_next(&none, some + 3, 1, &two), 0);
	assert_int_equal(count(&two, &some[3].ip), 64);
	slots_fini(&one);
	slots_fini(&none);
	slots_fini(&two);
}

static void test_bad_text(void **state)
{
	static const char *const bad[] = {
		"",       "0",      "0 ", "9  ", "0 10.0.0.4*1 00", "0 10.0.0.4*0 ", "0 10.0.0.4 ",
		"0 x*1 ", "0  0000"
	};
	struct slots s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(slots_scan(bad[i], &s));
	}
	assert_true(slots_scan("0  ", &s));
	slots_fini(&s);
}

/* What led where is told beside by a list of hashes' own: for each of the largest table's slots, whom it led to, latest first. */
#define FINEST 65536u
static uint8_t past[FINEST][64];

static void check_formers(const struct slots *s)
{
	uint32_t m = kobj_sizes[s->size];

	for (uint32_t i = 0; i < FINEST; i++) {
		uint32_t slot = (uint32_t)((uint64_t)i * m / FINEST);
		uint8_t now = s->n ? s->v[s->slot[slot]].ip.b[3] : 0;
		bool found = !past[i][0] || past[i][0] == now;

		for (unsigned k = 0; slots_former(s, slot, k);
		     k++) { /* the latest is never lost, and none is said twice */
			found = found || slots_former(s, slot, k)->b[3] == past[i][0];
			assert_int_not_equal(slots_former(s, slot, k)->b[3], now);
			for (unsigned l = 0; l < k; l++) {
				assert_int_not_equal(slots_former(s, slot, l)->b[3],
				                     slots_former(s, slot, k)->b[3]);
			}
		}
		assert_true(found);
		if (now && now != past[i][0]) {
			memmove(past[i] + 1, past[i], sizeof(past[i]) - 1);
			past[i][0] = now;
		}
	}
}

static bool is_even(void *arg, const struct ip *ip)
{
	return *(uint8_t *)arg && ip->b[3] % 2 == 0;
}

static void test_formers(void **state)
{
	struct slots was = { 0 }, now, again;

	(void)state;
	srand(7);
	memset(past, 0, sizeof(past));
	for (int round = 0; round < 40; round++) {
		size_t n = round % 8 == 7 ? 0 : 1 + (size_t)rand() % 5, at = (size_t)rand() % 40;
		char *text;

		assert_int_equal(slots_next(&was, some + at, n, &now), 0);
		check_formers(&now);
		text = slots_print(&now);
		assert_true(slots_scan(text, &again));
		assert_int_equal(again.n_known, now.n_known);
		assert_int_equal(!again.former, !now.former);
		for (uint32_t i = 0; now.former && i < kobj_sizes[now.size]; i++) {
			assert_memory_equal(again.former[i], now.former[i], sizeof(now.former[i]));
		}
		free(text);
		slots_fini(&again);
		slots_fini(&was);
		was = now;
	}
	/* Order: one backend after the other. */
	slots_fini(&was);
	for (int i = 0; i < 9; i++) {
		assert_int_equal(slots_next(&was, some + i, 1, &now), 0);
		slots_fini(&was);
		was = now;
	}
	for (unsigned k = 0; k < SLOTS_FORMERS; k++) {
		assert_int_equal(ip_compare(slots_former(&was, 5, k), &some[7 - k].ip), 0);
	}
	assert_null(slots_former(&was, 5, SLOTS_FORMERS));
	uint8_t odd = 1;
	slots_forget(&was, is_even, &odd);
	for (unsigned k = 0; k < SLOTS_FORMERS / 2; k++) {
		assert_int_equal(ip_compare(slots_former(&was, 9, k), &some[6 - 2 * k].ip), 0);
	}
	assert_null(slots_former(&was, 9, SLOTS_FORMERS / 2));
	odd = 0;
	slots_forget(&was, is_even, &odd);
	assert_null(was.former);
	assert_int_equal(was.n_known, 0);
	for (const char *const *bad =
	             (const char *const[]){ "0   10.0.0.6", "0   10.0.0.6 00", "0   x ffff",
	                                    "0   10.0.0.6,10.0.0.7", NULL };
	     *bad; bad++) {
		assert_false(slots_scan(*bad, &now));
	}
	slots_fini(&was);
}

int main(void)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		some[i] = (struct slots_member){ { i % 4 ? 4 : 6, { 10, 0, 0, (uint8_t)(i + 4) } },
			                         1 };
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formers),
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_growth_keeps_flows),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_last_goes_and_first_comes),
		cmocka_unit_test(test_bad_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
