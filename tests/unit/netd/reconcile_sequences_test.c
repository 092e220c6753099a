/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * After any sequence of changes, failures and strangers' hands, the kernel is what a full list on
 * an empty kernel would have made of the same plans. Fake kernel, fake clock, seeded.
 */
#include "tests/unit/netd/reconcile.h"

#define STEPS 40

static void on_event(void *arg, uint32_t ns, uint32_t index)
{
	reconcile_event(arg, ns, index);
}

/* Lines of `a` that `b` lacks. */
static void lines_beyond(const char *what, const char *a, const char *b)
{
	for (const char *p = a; *p; p += strcspn(p, "\n") + 1) {
		char line[400];

		snprintf(line, sizeof(line), "%.*s\n", (int)strcspn(p, "\n"), p);
		if (!strstr(b, line)) {
			print_error("%s: %s", what, line);
		}
	}
}

/* One change of one owner, as control would ask for it. */
static void change(struct reconcile *r, struct want *w)
{
	struct err e = ERR_INIT;
	unsigned i = draw(GROUPS);
	struct want *x = &w[1 + 3 * VNETS + i];

	if (x->set.n && draw(3) == 0) {
		x->set.n = 0;
		(void)!reconcile_del(r, x->owner, &e);
	} else {
		plan_group(x, i);
		(void)!reconcile_set(r, x->owner, x->set.v, x->set.n, &e);
	}
}

/* A stranger takes something of ours away. */
static void lose(struct kernel *k, const struct want *w)
{
	const struct want *x = &w[draw(OWNERS)];

	if (x->set.n) {
		const struct kobj *o = &x->set.v[draw((unsigned)x->set.n)];

		if (o->kind != KOBJ_NETNS && o->sub != KOBJ_LINK_LO) {
			kernel_fake_lose(k, o);
		}
	}
}

static void run(bool failures, bool strangers)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct want w[OWNERS] = { 0 };
	struct err e = ERR_INIT;
	unsigned first = seed;

	plan_base(w);
	k->watch(k, NULL, on_event, r);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < OWNERS; i++) {
		if (w[i].set.n) {
			assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e),
			                 0);
		}
	}
	for (int step = 0; step < STEPS; step++) {
		AUTO_BUF struct buf have = { 0 }, should = { 0 };

		if (failures && draw(3) == 0) {
			kernel_fake_fail(k, 1 + draw(3));
		}
		for (unsigned n = draw(4); n; n--) {
			change(r, w);
		}
		if (strangers && draw(2)) {
			lose(k, w);
		}
		kernel_fake_fail(k, 0);
		reconcile_audit(r);
		now_ms += 20000;
		settle(r);
		text(k, &have);
		replan(w, &should);
		if (strcmp(buf_str(&have), buf_str(&should)) != 0) {
			lines_beyond("too much", buf_str(&have), buf_str(&should));
			lines_beyond("missing", buf_str(&should), buf_str(&have));
			fail_msg("seed %u, step %d", first, step);
		}
	}
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

static void sequences(bool failures, bool strangers)
{
	const char *from = getenv("SEED"), *many = getenv("LONG");
	int n = many && *many == '1' ? 400 : 20;

	for (int i = 0; i < n; i++) {
		seed = (unsigned)atoi(from ? from : "1") * 1000 + (unsigned)i;
		run(failures, strangers);
	}
}

static void test_changes(void **state)
{
	(void)state;
	sequences(false, false);
}

static void test_changes_that_fail(void **state)
{
	(void)state;
	sequences(true, false);
}

static void test_strangers(void **state)
{
	(void)state;
	sequences(true, true);
}

/* A set that failed is answered as such until the kernel is right. */
static void test_failed_set_is_not_forgotten(void **state)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct want w[OWNERS] = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	plan_base(w);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	kernel_fake_fail(k, 1);
	assert_int_equal(reconcile_set(r, 1, w[0].set.v, w[0].set.n, &e), -1);
	kernel_fake_fail(k, 0);
	assert_int_equal(reconcile_set(r, 1, w[0].set.v, w[0].set.n, &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	settle(r);
	assert_int_equal(reconcile_set(r, 1, w[0].set.v, w[0].set.n, &e), 0);
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_changes_that_fail),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_failed_set_is_not_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
