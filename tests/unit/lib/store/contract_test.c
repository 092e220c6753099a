/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What store.h promises, of each backend: SQLite always, and etcd when NETD_ETCD has its endpoints (with NETD_ETCD_CA, _CERT, _KEY,
 * _USER and _PASSWORD as they are needed), as tests/lab/etcd_test.py runs it. SEED and ROUNDS are of the random part; ONLY is the
 * name of one test.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/store.h"
#include "tests/test.h"

#define WAIT_MS    60000
#define MODEL_N    40
#define OPEN_TRIES 10

struct place {
	char dir[40], prefix[60];
	struct loop *loop;
	struct store *store;
	enum store_state state;
	bool timeout;
};

/* ---- opening ---- */

static bool is_etcd(void)
{
	return getenv("NETD_ETCD") != NULL;
}

static void on_state(void *arg, enum store_state state, const struct err *e)
{
	struct place *p = arg;

	(void)e;
	p->state = state;
	if (state == STORE_LOST) {
		loop_stop(p->loop);
	}
}

static struct store_etcd etcd_at(struct place *p, const char *name)
{
	return (struct store_etcd){ .endpoints = getenv("NETD_ETCD"),
		                    .ca = getenv("NETD_ETCD_CA"),
		                    .cert = getenv("NETD_ETCD_CERT"),
		                    .key = getenv("NETD_ETCD_KEY"),
		                    .user = getenv("NETD_ETCD_USER"),
		                    .password = getenv("NETD_ETCD_PASSWORD"),
		                    .prefix = p->prefix,
		                    .name = name,
		                    .state = on_state,
		                    .arg = p };
}

static struct store *open_store(struct place *p, const char *name, struct err *e)
{
	struct store_etcd c = etcd_at(p, name);

	return is_etcd() ? store_open_etcd(&c, p->loop, e) : store_open(p->dir, p->loop, e);
}

/* While members die, opening takes more than one try: netd's control tries each second. */
static bool try_open(struct place *p, struct err *e)
{
	for (int i = 0; i < OPEN_TRIES && !p->store; i++) {
		p->store = open_store(p, "node1", e);
		if (!p->store && e->kind != ERR_UNAVAILABLE) {
			break;
		}
	}
	return p->store != NULL;
}

static void open_again(struct place *p)
{
	struct err e = ERR_INIT;

	if (!try_open(p, &e)) {
		fail_msg("%s", e.msg);
	}
}

static int tear_down(void **state);

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct timespec t;

	assert_non_null(p);
	snprintf(p->dir, sizeof(p->dir), "/tmp/netd-contract.XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	clock_gettime(CLOCK_REALTIME, &t);
	snprintf(p->prefix, sizeof(p->prefix), "/test/%d.%ld.%ld/", getpid(), (long)t.tv_sec,
	         t.tv_nsec);
	p->loop = loop_new();
	*state = p;
	struct err e = ERR_INIT;
	if (!try_open(p, &e)) {
		(void)tear_down(state);
		*state = NULL;
		fail_msg("%s", e.msg);
	}
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[80];

	if (!p) { /* it was never set up */
		return 0;
	}
	store_close(p->store);
	loop_free(p->loop);
	snprintf(command, sizeof(command), "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void reopen(struct place *p)
{
	store_close(p->store);
	p->store = NULL;
	open_again(p);
}

static void on_late(void *arg)
{
	struct place *p = arg;

	p->timeout = true;
	loop_stop(p->loop);
}

/* Runs the loop until something stops it. */
static void run(struct place *p)
{
	struct loop_timer *late = loop_timer_new(p->loop, on_late, p);

	loop_timer_start(late, WAIT_MS);
	loop_run(p->loop);
	loop_timer_free(late);
	assert_false(p->timeout);
}

/* ---- transactions that are waited for ---- */

struct result {
	struct place *p;
	bool failed;
	struct err e;
	uint64_t rev;
	int *left, nth, *order; /* order: counts what is done */
};

static void on_done(void *arg, const struct err *e, uint64_t rev)
{
	struct result *r = arg;

	r->failed = e != NULL;
	r->e = e ? *e : r->e;
	r->rev = rev;
	if (r->order) {
		assert_int_equal(*r->order, r->nth);
		++*r->order;
	}
	if (--*r->left == 0) {
		loop_stop(r->p->loop);
	}
}

static struct result submit(struct place *p, const struct store_op *ops, size_t n)
{
	int left = 1;
	struct result r = { .p = p, .left = &left };

	store_submit(p->store, ops, n, on_done, &r);
	assert_int_equal(left, 1); /* not inside the call */
	run(p);
	return r;
}

static uint64_t put(struct place *p, const char *key, const char *value)
{
	struct result r = submit(p, &(struct store_op){ .key = key, .value = value }, 1);

	assert_false(r.failed);
	assert_true(r.rev > 0);
	return r.rev;
}

/* ---- what is there ---- */

struct listing {
	struct place *p;
	struct buf text; /* "key=value " each */
	uint64_t rev;    /* of the last */
	size_t n, stop;
	char last[300];
	bool failed;
};

static int on_pair(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct listing *l = arg;

	assert_true(strcmp(l->last, key) < 0); /* sorted */
	snprintf(l->last, sizeof(l->last), "%.299s", key);
	buf_addf(&l->text, "%s=%.40s ", key, value);
	l->rev = rev;
	return ++l->n == l->stop ? -1 : 0;
}

static void assert_pairs(struct place *p, const char *want)
{
	struct listing l = { 0 };
	struct err e = ERR_INIT;

	assert_int_equal(store_load(p->store, on_pair, &l, &e), 0);
	assert_string_equal(buf_str(&l.text), want);
	buf_fini(&l.text);
}

static void on_range(void *arg, const struct err *e, uint64_t rev)
{
	struct listing *l = arg;

	(void)rev;
	l->failed = e != NULL;
	loop_stop(l->p->loop);
}

static struct listing range(struct place *p, const char *from, const char *to, size_t limit,
                            size_t stop)
{
	struct listing l = { .p = p, .stop = stop };

	store_range(p->store, from, to, limit, on_pair, on_range, &l);
	if (is_etcd()) { /* SQLite answers inside the call: a loop that is stopped before it runs ends at once */
		run(p);
	}
	assert_false(l.failed);
	return l;
}

/* ---- tests ---- */

static void test_pairs(void **state)
{
	struct place *p = *state;

	assert_pairs(p, "");
	uint64_t a = put(p, "a/|x", "1"), b = put(p, "b y", "");
	assert_true(b > a);
	assert_true(put(p, "ü", "\"quoted\"\n\t\\ ü") > b);
	assert_pairs(p, "a/|x=1 b y= ü=\"quoted\"\n\t\\ ü ");
	put(p, "a/|x", "2");
	assert_false(submit(p, &(struct store_op){ .key = "b y" }, 1).failed);
	assert_false(submit(p, &(struct store_op){ .key = "never there" }, 1).failed);
	assert_pairs(p, "a/|x=2 ü=\"quoted\"\n\t\\ ü ");
	reopen(p);
	assert_pairs(p, "a/|x=2 ü=\"quoted\"\n\t\\ ü ");
	assert_true(put(p, "c", "after") > b);
	assert_true(store_current(p->store));
	assert_false(store_readonly(p->store));
}

static void test_comparisons(void **state)
{
	struct place *p = *state;
	struct store_op make = { .key = "k", .value = "1", .expect = true };
	struct result r = submit(p, &make, 1);

	assert_false(r.failed);
	uint64_t first = r.rev;
	r = submit(p, &make, 1); /* it is there */
	assert_true(r.failed);
	assert_int_equal(r.e.kind, ERR_CONFLICT);
	assert_non_null(strstr(r.e.msg, "store: k is at revision "));
	struct store_op pair[] = {
		{ .key = "other", .value = "x" },
		{ .key = "k", .value = "2", .expect = true, .expect_rev = first + 1000 }
	};
	assert_true(submit(p, pair, 2).failed);
	assert_pairs(p, "k=1 "); /* nothing of it */
	pair[1].expect_rev = first;
	r = submit(p, pair, 2);
	assert_false(r.failed);
	assert_pairs(p, "k=2 other=x ");
	assert_true(submit(p, pair, 2).failed); /* its revision is another now */
	struct store_op drop = { .key = "k", .expect = true, .expect_rev = r.rev };
	assert_false(submit(p, &drop, 1).failed);
	assert_true(submit(p, &drop, 1).failed); /* absent */
	assert_false(submit(p, &make, 1).failed);
	assert_pairs(p, "k=1 other=x ");
}

/* Order, transactions without steps, and neighbours of one that is refused. */
static void test_order(void **state)
{
	enum {
		N = 300
	};
	struct place *p = *state;
	static struct result r[N];
	int left = N, order = 0;
	char value[20];

	for (int i = 0; i < N; i++) {
		struct store_op ops[] = { { .key = "same", .value = value },
			                  { .key = i % 3 ? "x" : "y",
			                    .value = value,
			                    .expect = i % 7 == 3,
			                    .expect_rev = UINT64_C(1) << 40 } };

		r[i] = (struct result){ .p = p, .left = &left, .nth = i, .order = &order };
		snprintf(value, sizeof(value), "%d", i);
		store_submit(p->store, ops, i % 5 == 4 ? 0 : 2, on_done, &r[i]);
	}
	run(p);
	for (int i = 0; i < N; i++) {
		assert_int_equal(r[i].failed, i % 7 == 3 && i % 5 != 4);
		assert_true(i == 0 || r[i].failed || r[i - 1].failed || r[i].rev >= r[i - 1].rev);
	}
	assert_pairs(p, "same=298 x=298 y=291 ");
}

static void test_ranges(void **state)
{
	enum {
		N = 2500
	};
	struct place *p = *state;
	static struct result r[N];
	static char keys[N][20];
	int left = N;

	for (int i = 0; i < N; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%s%04d", i % 2 ? "usage/s/" : "r/", i);
		r[i] = (struct result){ .p = p, .left = &left };
		store_submit(p->store, &(struct store_op){ .key = keys[i], .value = "v" }, 1,
		             on_done, &r[i]);
	}
	run(p);
	put(p, "usagf", "behind");
	struct listing l = { 0 };
	struct err e = ERR_INIT;
	assert_int_equal(store_load(p->store, on_pair, &l, &e), 0);
	assert_int_equal(l.n, N / 2 + 1); /* usage is left out */
	assert_string_equal(l.last, "usagf");
	buf_fini(&l.text);

	l = range(p, "usage/", "usage0", SIZE_MAX, 0);
	assert_int_equal(l.n, N / 2);
	assert_string_equal(l.last, "usage/s/2499");
	buf_fini(&l.text);
	l = range(p, "usage/", "usage0", 1100, 0);
	assert_int_equal(l.n, 1100);
	buf_fini(&l.text);
	l = range(p, "usage/s/0003", "usage/s/0009", SIZE_MAX, 2);
	assert_string_equal(buf_str(&l.text), "usage/s/0003=v usage/s/0005=v ");
	buf_fini(&l.text);
	l = range(p, "r/0002", "r/0006", SIZE_MAX, 0);
	assert_string_equal(buf_str(&l.text), "r/0002=v r/0004=v ");
	buf_fini(&l.text);
	l = range(p, "s", "t", SIZE_MAX, 0);
	assert_int_equal(l.n, 0);
	buf_fini(&l.text);
	struct listing two = { .stop = 2 };
	assert_int_equal(store_load(p->store, on_pair, &two, &e), -1);
	buf_fini(&two.text);
	assert_int_equal(e.kind, ERR_UNAVAILABLE);
}

static void test_large(void **state)
{
	struct place *p = *state;
	size_t n = 900000;
	AUTO_FREE char *value = malloc(3 * n + 1);
	int left = 3;
	struct result r[3];

	assert_non_null(value);
	memset(value, 'x', 3 * n);
	value[3 * n] = '\0';
	for (int i = 0; i < 3; i++) {
		r[i] = (struct result){ .p = p, .left = &left };
	}
	store_submit(p->store, &(struct store_op){ .key = "small", .value = "1" }, 1, on_done,
	             &r[0]);
	store_submit(p->store, &(struct store_op){ .key = "huge", .value = value }, 1, on_done,
	             &r[1]);
	store_submit(p->store, &(struct store_op){ .key = "small too", .value = "2" }, 1, on_done,
	             &r[2]);
	run(p);
	assert_false(r[0].failed || r[2].failed);
	assert_int_equal(r[1].failed, is_etcd()); /* --max-request-bytes */
	assert_true(!is_etcd() || r[1].e.kind == ERR_TOO_LARGE);
	value[n] = '\0';
	put(p, "huge", value);
	struct listing l = range(p, "huge", "i", SIZE_MAX, 0);
	assert_int_equal(l.n, 1);
	buf_fini(&l.text);
}

/* ---- following ---- */

struct seen {
	struct place *p;
	struct buf text;
	uint64_t rev;
	size_t n, until; /* changes and marks; stops the loop at so many */
};

static void on_change(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct seen *s = arg;

	assert_true(key == NULL || s->until == 0 || rev >= s->rev || s->rev == 0);
	if (!key) {
		buf_addf(&s->text, "all ");
	} else {
		buf_addf(&s->text, value ? "%s=%s " : "-%s ", key, value);
	}
	s->rev = rev;
	if (++s->n == s->until) {
		loop_stop(s->p->loop);
	}
}

static void test_following(void **state)
{
	struct place *p = *state;
	struct seen s = { .p = p, .until = 3 }, none = { .p = p };

	put(p, "w/1", "a");
	put(p, "x/1", "not followed");
	put(p, "w/2", "b");
	struct store_watch *w = store_watch(p->store, "w/", on_change, &s);
	struct store_watch *other = store_watch(p->store, "z", on_change, &none);
	run(p);
	assert_string_equal(buf_str(&s.text), "w/1=a w/2=b all ");
	buf_clear(&s.text);
	s.rev = 0;
	s.n = 0;
	s.until = 4;
	int left = 3;
	struct result r[3] = { { .p = p, .left = &left },
		               { .p = p, .left = &left },
		               { .p = p, .left = &left } };
	store_submit(p->store, &(struct store_op){ .key = "w/2", .value = "c" }, 1, on_done, &r[0]);
	store_submit(p->store,
	             (struct store_op[]){ { .key = "w/1" }, { .key = "w/3", .value = "d" } }, 2,
	             on_done, &r[1]);
	store_submit(p->store, &(struct store_op){ .key = "w/2" }, 1, on_done, &r[2]);
	while (left > 0 || s.n < 4) {
		run(p);
	}
	assert_true(strcmp(buf_str(&s.text), "w/2=c -w/1 w/3=d -w/2 ") == 0 ||
	            strcmp(buf_str(&s.text), "w/2=c w/3=d -w/1 -w/2 ") == 0);
	assert_true(none.n == 0 || strcmp(buf_str(&none.text), "all ") == 0);
	store_watch_free(w);
	store_watch_free(other);
	put(p, "w/9", "nobody looks");
	assert_int_equal(s.n, 4);
	buf_fini(&s.text);
	buf_fini(&none.text);
}

/* ---- beside a model ---- */

static uint32_t dice;

static uint32_t roll(uint32_t n)
{
	dice = dice * 1664525u + 1013904223u;
	return (dice >> 8) % n;
}

struct model {
	char value[MODEL_N][24];
	uint64_t rev[MODEL_N];
};

static void key_name(char to[16], uint32_t i)
{
	snprintf(to, 16, "m/%02u", i);
}

/* One transaction, which the model says the outcome of; true: it is refused. */
static bool expected(struct model *m, const struct store_op *ops, const uint32_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ops[i].expect && ops[i].expect_rev != m->rev[at[i]]) {
			return true;
		}
	}
	for (size_t i = 0; i < n; i++) {
		snprintf(m->value[at[i]], sizeof(m->value[0]), "%s",
		         ops[i].value ? ops[i].value : "");
		m->rev[at[i]] = ops[i].value ? UINT64_MAX : 0; /* not known until it is answered */
	}
	return false;
}

static void on_model_pair(struct model *m, const char *key, uint64_t rev, const char *value)
{
	unsigned i = (unsigned)atoi(key + 2);

	assert_string_equal(m->value[i], value);
	assert_int_equal(m->rev[i], rev);
	m->rev[i] = 0;
}

static int on_model(void *arg, const char *key, uint64_t rev, const char *value)
{
	on_model_pair(arg, key, rev, value);
	return 0;
}

/* The same, as it is followed. */
struct view {
	struct model m;
	struct place *p;
	bool waits; /* for more */
};

static void on_view(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct view *v = arg;

	if (key) {
		unsigned i = (unsigned)atoi(key + 2);

		assert_true(rev > v->m.rev[i]); /* never back in time */
		v->m.rev[i] = value ? rev : 0;
		snprintf(v->m.value[i], sizeof(v->m.value[0]), "%s", value ? value : "");
	}
	if (v->waits) {
		loop_stop(v->p->loop);
	}
}

static bool is_seen(const struct view *v, const struct model *m)
{
	for (unsigned i = 0; i < MODEL_N; i++) {
		if (v->m.rev[i] != m->rev[i] || strcmp(v->m.value[i], m->value[i]) != 0) {
			return false;
		}
	}
	return true;
}

static void test_model(void **state)
{
	enum {
		BATCH = 20
	};
	struct place *p = *state;
	static struct model m;
	struct view view = { .p = p };
	struct store_watch *watch = store_watch(p->store, "m/", on_view, &view);
	struct err e = ERR_INIT;
	const char *seed = getenv("SEED"), *rounds = getenv("ROUNDS");

	dice = seed ? (uint32_t)atoi(seed) : 1;
	memset(&m, 0, sizeof(m));
	for (int round = 0; round < (rounds ? atoi(rounds) : 60); round++) {
		struct result r[BATCH];
		bool refused[BATCH], used[MODEL_N] = { 0 };
		uint32_t at[BATCH][3];
		size_t size[BATCH];
		bool puts[BATCH][3];
		int left = BATCH, order = 0;

		for (int b = 0; b < BATCH; b++) {
			char keys[3][16], values[3][24];
			struct store_op ops[3];
			size_t n = roll(3) + 1;

			r[b] = (struct result){ .p = p, .left = &left, .nth = b, .order = &order };
			size[b] = n;
			for (size_t i = 0; i < n; i++) {
				at[b][i] = (roll(MODEL_N / 3) * 3 + (uint32_t)i) % MODEL_N;
				key_name(keys[i], at[b][i]);
				snprintf(values[i], sizeof(values[i]), "%d.%d.%u", round, b,
				         roll(100));
				bool known = !used[at[b][i]];
				ops[i] = (struct store_op){ .key = keys[i],
					                    .value = roll(4) ? values[i] : NULL,
					                    .expect = known && roll(2),
					                    .expect_rev = m.rev[at[b][i]] +
					                                  (roll(5) == 0) };
				puts[b][i] = ops[i].value != NULL;
			}
			refused[b] = expected(&m, ops, at[b], n);
			for (size_t i = 0; i < n; i++) {
				used[at[b][i]] |= !refused[b];
			}
			store_submit(p->store, ops, n, on_done, &r[b]);
		}
		run(p);
		for (int b = 0; b < BATCH; b++) {
			assert_int_equal(r[b].failed, refused[b]);
			for (size_t i = 0; i < size[b] && !refused[b]; i++) {
				m.rev[at[b][i]] = puts[b][i] ? r[b].rev : 0;
			}
		}
	}
	view.waits = true;
	while (!is_seen(&view, &m)) {
		run(p);
	}
	store_watch_free(watch);
	struct model was = m;
	int rc = -1;

	reopen(p);
	for (int i = 0; i < OPEN_TRIES && rc < 0; i++) {
		m = was;
		rc = store_load(p->store, on_model, &m, &e);
	}
	assert_int_equal(rc, 0);
	for (unsigned i = 0; i < MODEL_N; i++) {
		assert_int_equal(m.rev[i], 0); /* all were there */
	}
}

/* ---- who holds it: etcd only ---- */

static void on_free(void *arg)
{
	loop_stop(arg);
}

static void test_holder(void **state)
{
	struct place *p = *state, q = *p;
	struct err e = ERR_INIT;

	put(p, "k", "1");
	assert_null(open_store(&q, "node2", &e));
	assert_int_equal(e.kind, ERR_BUSY);
	assert_non_null(strstr(e.msg, "node1"));
	put(p, "k", "2"); /* the attempt changed nothing */

	/* One of the same name takes it at once; who had it is shut out. */
	struct store *again = open_store(&q, "node1", &e);
	assert_non_null(again);
	int left = 1;
	struct result r = { .p = p, .left = &left };
	store_submit(p->store, &(struct store_op){ .key = "k", .value = "too late" }, 1, on_done,
	             &r);
	while (left > 0) {
		run(p);
	}
	assert_true(r.failed);
	assert_int_equal(r.e.kind, ERR_UNAVAILABLE);
	assert_int_equal(p->state, STORE_LOST);
	assert_false(store_current(p->store));
	store_close(p->store);
	p->store = again;
	p->state = STORE_UP;
	assert_pairs(p, "k=2 ");
	put(p, "k", "3");

	/* Another gets it when the lease has ended, and hears of that. */
	store_close(p->store);
	struct store_etcd c = etcd_at(p, "node2");
	struct store_wait *w = store_wait_etcd(&c, p->loop, on_free, p->loop);
	run(p);
	store_wait_free(w);
	p->store = store_open_etcd(&c, p->loop, &e);
	assert_non_null(p->store);
	assert_pairs(p, "k=3 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pairs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_comparisons, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_large, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_following, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_model, set_up, tear_down),
	};
	const struct CMUnitTest of_etcd[] = {
		cmocka_unit_test_setup_teardown(test_holder, set_up, tear_down),
	};

	if (getenv("ONLY")) {
		cmocka_set_test_filter(getenv("ONLY"));
	}
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + (is_etcd() ? cmocka_run_group_tests(of_etcd, NULL, NULL) : 0);
}
