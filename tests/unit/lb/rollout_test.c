/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Rolling updates over random lives of members: what is asked for is done late, in part, or not at all when
 * control dies; still the count is kept, no batch is over its bound, and no old member goes before a new one
 * is ready in its place.
 */
#include "lb/rollout.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

#define MOST 200

struct world {
	struct rollout r;
	struct rollout_member v[MOST];
	size_t n;
	bool open;
	uint64_t births;
	unsigned fail_percent;
	size_t served; /* that were ready when the update began */
};

static void add(struct world *w, bool current)
{
	assert_true(w->n < MOST);
	w->v[w->n++] = (struct rollout_member){ .current = current, .age = w->births++ };
}

static size_t alive(const struct world *w, bool ready_only)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		n += !w->v[i].leaving && (!ready_only || (w->v[i].ready && !w->v[i].updating));
	}
	return n;
}

static size_t batch(const struct world *w)
{
	size_t b = w->r.desired * w->r.batch_percent / 100;

	return b ? b : 1;
}

/* Does what it is told; dies in the middle now and then. */
static void act(struct world *w, const struct rollout_step *s)
{
	for (size_t i = 0; i < s->make; i++) {
		if (rand() % 20 == 0) {
			return;
		}
		add(w, true);
		w->open = w->open || w->r.state == ROLLOUT_RUNNING;
	}
	for (size_t i = 0; i < s->n_delete; i++) {
		if (rand() % 20 == 0) {
			return;
		}
		w->v[s->order[i]].leaving = true;
	}
	for (size_t i = 0; i < s->n_update; i++) {
		if (rand() % 20 == 0) {
			return;
		}
		w->v[s->order[i]].updating = true;
		w->open = true;
	}
	if (s->batch_done) {
		w->open = false;
		w->r.paused = true;
	}
	if (s->unhealthy) {
		w->r.state = ROLLOUT_STOPPING;
		w->open = false;
	}
	if (s->done) {
		w->r.state = ROLLOUT_NONE;
	}
}

static void live(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct rollout_member *m = &w->v[i];

		if (rand() % 3) {
			continue;
		}
		if (m->leaving) {
			w->v[i--] = w->v[--w->n];
		} else if (m->updating) {
			*m = (struct rollout_member){ .current = true, .age = m->age };
		} else if (!m->ready && !m->failed) {
			m->failed = m->current && (unsigned)rand() % 100 < w->fail_percent;
			m->ready = !m->failed;
		}
	}
	w->r.paused = w->r.paused && rand() % 3;
}

static void begin(struct world *w, size_t desired, unsigned percent, bool in_place)
{
	memset(w, 0, sizeof(*w));
	w->r = (struct rollout){ .desired = desired,
		                 .state = ROLLOUT_RUNNING,
		                 .in_place = in_place,
		                 .batch_percent = percent,
		                 .unhealthy_percent = 20,
		                 .unhealthy_updated_percent = 20 };
	for (size_t i = 0; i < desired; i++) {
		add(w, false);
		w->v[i].ready = true;
	}
	w->served = desired;
}

static void run(struct world *w)
{
	size_t order[MOST];

	for (int turn = 0; turn < 3000; turn++) {
		struct rollout_step s;

		rollout_next(&w->r, w->v, w->n, w->open, order, &s);
		act(w, &s);
		assert_true(alive(w, false) <= w->r.desired + batch(w));
		if (w->r.in_place && w->r.state == ROLLOUT_RUNNING && w->fail_percent == 0) {
			assert_true(alive(w, true) + batch(w) >= w->r.desired);
		} else if (!w->r.in_place) {
			assert_true(alive(w, true) >= w->r.desired);
		}
		live(w);
	}
	assert_int_equal(alive(w, false), w->r.desired);
	assert_int_equal(w->n, w->r.desired);
}

static void test_updates_end(void **state)
{
	static const struct {
		size_t desired;
		unsigned percent;
	} rows[] = { { 20, 20 }, { 1, 20 }, { 7, 1 }, { 50, 100 }, { 3, 34 } };

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		srand(i + 1);
		begin(&w, rows[i / 2].desired, rows[i / 2].percent, i % 2);
		run(&w);
		assert_int_equal(w.r.state, ROLLOUT_NONE);
		for (size_t k = 0; k < w.n; k++) {
			assert_true(w.v[k].current && w.v[k].ready);
		}
	}
}

/* With 30 % of the new ones failing it stops in time, and the old ones that are left serve on. */
static void test_failing_update_stops(void **state)
{
	size_t stopped = 0;

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct world w;

		srand(seed);
		begin(&w, 40, 25, false);
		w.fail_percent = 60;
		run(&w);
		stopped += w.r.state == ROLLOUT_STOPPING;
		assert_true(alive(&w, true) >= 40);
	}
	assert_true(stopped >= 19);
}

static void test_scale(void **state)
{
	struct world w;

	(void)state;
	srand(3);
	begin(&w, 10, 20, false);
	w.r.state = ROLLOUT_NONE;
	w.r.desired = 15;
	for (int i = 0; i < 200; i++) {
		size_t order[MOST];
		struct rollout_step s;

		rollout_next(&w.r, w.v, w.n, w.open, order, &s);
		act(&w, &s);
		live(&w);
	}
	assert_int_equal(w.n, 15);
	w.r.desired = 4;
	for (int i = 0; i < 200; i++) {
		size_t order[MOST];
		struct rollout_step s;

		rollout_next(&w.r, w.v, w.n, w.open, order, &s);
		act(&w, &s);
		live(&w);
		assert_true(alive(&w, false) >= 4);
	}
	assert_int_equal(w.n, 4);
}

/* What is not well goes first; of equals the youngest. */
static void test_who_goes(void **state)
{
	struct rollout r = { .desired = 2, .batch_percent = 20 };
	struct rollout_member v[] = { { .ready = true, .current = true, .age = 1 },
		                      { .ready = true, .current = true, .age = 2 },
		                      { .current = true, .age = 0 },
		                      { .ready = true, .current = true, .age = 3 } };
	struct rollout_step s;
	size_t order[4];

	(void)state;
	rollout_next(&r, v, 4, false, order, &s);
	assert_int_equal(s.n_delete, 2);
	assert_int_equal(s.order[0], 2);
	assert_int_equal(s.order[1], 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_updates_end),
		cmocka_unit_test(test_failing_update_stops),
		cmocka_unit_test(test_scale),
		cmocka_unit_test(test_who_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
