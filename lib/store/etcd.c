/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See store.h: the store in etcd. One transaction of etcd at a time carries all that wait and do not touch each other, each
 * as a transaction inside it, so that order is kept and one that is refused hinders no other. Each begins with a comparison
 * of the fence, a pair that each of them also writes: it executes at most once however often it is sent, and not at all once
 * another process has taken the store. One whose answer was lost is sent again; that this is refused says nothing of the first,
 * so the fence is moved past both of them then.
 *
 *   PREFIX data/KEY   the pairs
 *   PREFIX fence      who took the store, and the number of its last transaction; its revision is what is compared
 *   PREFIX holder     the name of who has it, under a lease
 *   PREFIX outcome/I  the number of the last transaction whose I-th part compared, and was executed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/etcd_own.h"

#define GROUP_STEPS  100     /* steps and comparisons: etcd's --max-txn-ops is 128 by default */
#define GROUP_BYTES  1000000 /* its --max-request-bytes are 1.5 MB */
#define AGAIN_MS     100
#define AGAIN_MAX_MS 1000
#define CLOSE_MS     2000

void etcd_set_state(struct etcd_store *s, enum store_state state, const struct err *e)
{
	if (s->state == state || s->state == STORE_LOST) {
		return;
	}
	s->state = state;
	if (state == STORE_LOST) {
		s->lost = *e;
		loop_timer_start(s->pump, 0);
	}
	if (s->state_fn) {
		s->state_fn(s->arg, state, e);
	}
}

void etcd_lost(struct etcd_store *s)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_UNAVAILABLE, 0, "store: another process has taken the plane over");
	etcd_set_state(s, STORE_LOST, &e);
}

/* ---- documents ---- */

void etcd_key(struct buf *b, const char *prefix, const char *room, const char *key)
{
	AUTO_BUF struct buf full = { 0 };

	buf_addf(&full, "%s%s", prefix, room);
	etcd_put(b, buf_str(&full), key);
}

void etcd_put_compare(struct buf *b, const struct etcd_store *s, const char *room, const char *key,
                      uint64_t rev)
{
	buf_addf(b,
	         "{\"target\":\"MOD\",\"mod_revision\":\"%llu\",\"key\":", (unsigned long long)rev);
	etcd_key(b, s->prefix, room, key);
	buf_addf(b, "}");
}

/* What the fence has after this group, or so many later. */
static void print_number(char to[80], const struct etcd_store *s, unsigned later)
{
	snprintf(to, 80, "%s %llu", s->id, (unsigned long long)s->number + later);
}

static void put_fence(struct buf *b, const struct etcd_store *s, unsigned later)
{
	char value[80];

	print_number(value, s, later);
	buf_addf(b, "{\"request_put\":{\"key\":");
	etcd_key(b, s->prefix, "fence", "");
	buf_addf(b, ",\"value\":");
	etcd_put(b, "", value);
	buf_addf(b, "}}");
}

void etcd_put_fence(struct buf *b, const struct etcd_store *s)
{
	put_fence(b, s, 0);
}

void etcd_put_get(struct buf *b, const struct etcd_store *s, const char *room, const char *key,
                  bool value)
{
	buf_addf(b, "{\"request_range\":{\"keys_only\":%s,\"key\":", value ? "false" : "true");
	etcd_key(b, s->prefix, room, key);
	buf_addf(b, "}}");
}

static void put_step(struct buf *b, const struct etcd_store *s, const struct store_op *op)
{
	buf_addf(b, "{\"request_%s\":{\"key\":", op->value ? "put" : "delete_range");
	etcd_key(b, s->prefix, "data/", op->key);
	if (op->value) {
		buf_addf(b, ",\"value\":");
		etcd_put(b, "", op->value);
	}
	buf_addf(b, "}}");
}

static bool compares(const struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->ops[i].expect) {
			return true;
		}
	}
	return false;
}

/* A transaction inside the group's, the i-th; what it compared is read when a comparison fails. That it was executed is written
 * too: should the answer be lost, nothing else would tell. */
static void put_txn(struct buf *b, const struct etcd_store *s, const struct txn *t, size_t nth)
{
	char value[80], key[24];
	const char *comma = "";

	buf_addf(b, ",{\"request_txn\":{\"compare\":[");
	for (size_t i = 0; i < t->n; i++) {
		if (t->ops[i].expect) {
			buf_addf(b, "%s", comma);
			etcd_put_compare(b, s, "data/", t->ops[i].key, t->ops[i].expect_rev);
			comma = ",";
		}
	}
	buf_addf(b, "],\"success\":[");
	for (size_t i = 0; i < t->n; i++) {
		buf_addf(b, "%s", i ? "," : "");
		put_step(b, s, &t->ops[i]);
	}
	if (compares(t)) {
		print_number(value, s, 0);
		snprintf(key, sizeof(key), "%zu", nth);
		buf_addf(b, ",{\"request_put\":{\"key\":");
		etcd_key(b, s->prefix, "outcome/", key);
		buf_addf(b, ",\"value\":");
		etcd_put(b, "", value);
		buf_addf(b, "}}");
	}
	buf_addf(b, "],\"failure\":[");
	comma = "";
	for (size_t i = 0; i < t->n; i++) {
		if (t->ops[i].expect) {
			buf_addf(b, "%s", comma);
			etcd_put_get(b, s, "data/", t->ops[i].key, false);
			comma = ",";
		}
	}
	buf_addf(b, "]}}");
}

/* The first pair of the i-th answer, a range's; NULL: there was none. */
const json_t *etcd_answer_pair(const json_t *doc, size_t i)
{
	const json_t *r = json_array_get(json_object_get(doc, "responses"), i);

	return json_array_get(json_object_get(json_object_get(r, "response_range"), "kvs"), 0);
}

uint64_t etcd_answer_rev(const json_t *doc)
{
	return etcd_number(json_object_get(doc, "header"), "revision");
}

/* ---- groups ---- */

static size_t cost(const struct txn *t)
{
	size_t n = t->n + compares(t);

	for (size_t i = 0; i < t->n; i++) {
		n += t->ops[i].expect;
	}
	return n;
}

static size_t weight(const struct txn *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		n += 2 * strlen(t->ops[i].key) + (t->ops[i].value ? strlen(t->ops[i].value) : 0) +
		     200;
	}
	return n / 3 * 4;
}

/* Comparisons of a group see what was before it: none may look at, or write, what another writes. */
static bool touches(const struct etcd_store *s, const struct txn *t)
{
	const struct txn *other;

	STAILQ_FOREACH(other, &s->group, link)
	{
		for (size_t i = 0; i < t->n; i++) {
			for (size_t k = 0; k < other->n; k++) {
				if (strcmp(t->ops[i].key, other->ops[k].key) == 0) {
					return true;
				}
			}
		}
	}
	return false;
}

/* Moves what goes together from `in` to `group`; returns the number of steps. */
static size_t gather(struct etcd_store *s)
{
	size_t steps = 0, bytes = 0, n = 0;

	while (!STAILQ_EMPTY(&s->in)) {
		struct txn *t = STAILQ_FIRST(&s->in);

		if (n > 0 && (s->alone_n > 0 || steps + cost(t) > GROUP_STEPS ||
		              bytes + weight(t) > GROUP_BYTES || touches(s, t))) {
			break;
		}
		STAILQ_REMOVE_HEAD(&s->in, link);
		STAILQ_INSERT_TAIL(&s->group, t, link);
		steps += cost(t);
		bytes += weight(t);
		n++;
		s->alone_n -= s->alone_n > 0;
	}
	return steps;
}

static struct etcd_store *of(struct store *s)
{
	return (struct etcd_store *)s; /* `store` is the first member */
}

/* ---- groups, done ---- */

static void group_done(struct etcd_store *s)
{
	struct txns done = STAILQ_HEAD_INITIALIZER(done);

	STAILQ_CONCAT(&done, &s->group);
	s->sending = s->unsure = false;
	s->again_ms = 0;
	txns_done(&s->store, &done);
	loop_timer_start(s->pump, 0);
}

static void fail_all(struct txns *list, const struct err *e)
{
	struct txn *t;

	STAILQ_FOREACH(t, list, link)
	{
		t->failed = true;
		t->err = *e;
	}
}

static void conflict(struct txn *t, const char *key, uint64_t is, uint64_t expected)
{
	t->failed = true;
	err_set(&t->err, ERR_CONFLICT, 0, "store: %s is at revision %llu, not %llu", key,
	        (unsigned long long)is, (unsigned long long)expected);
}

/* Says which comparison failed: what was compared was read. */
static void hold_against(struct txn *t, const json_t *doc)
{
	size_t n = 0;

	for (size_t k = 0; k < t->n; k++) {
		if (t->ops[k].expect) {
			uint64_t is = etcd_number(etcd_answer_pair(doc, n++), "mod_revision");

			if (is != t->ops[k].expect_rev && !t->failed) {
				conflict(t, t->ops[k].key, is, t->ops[k].expect_rev);
			}
		}
	}
}

static void executed(struct etcd_store *s, const json_t *doc)
{
	const json_t *all = json_object_get(doc, "responses");
	struct txn *t;
	size_t i = 1; /* after the fence's */

	s->fence = etcd_answer_rev(doc);
	STAILQ_FOREACH(t, &s->group, link)
	{
		t->rev = s->fence;
		if (t->n > 0) {
			const json_t *r = json_object_get(json_array_get(all, i++), "response_txn");

			if (!json_is_true(json_object_get(r, "succeeded"))) {
				hold_against(t, r);
			}
		}
	}
	group_done(s);
}

/* ---- outcomes that are not known ---- */

static void again(struct etcd_store *s, const struct err *e)
{
	etcd_set_state(s, STORE_DOWN, e);
	s->again_ms = s->again_ms ? s->again_ms * 2 : AGAIN_MS;
	s->again_ms = s->again_ms > AGAIN_MAX_MS ? AGAIN_MAX_MS : s->again_ms;
	loop_timer_start(s->pump, s->again_ms);
}

static void on_look(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;
	char own[80];
	struct txn *t;
	size_t i = 0;

	if (s->state == STORE_LOST) {
		return; /* all that waited was told */
	}
	if (outcome != ETCD_OK) {
		again(s, e);
		return;
	}
	print_number(own, s, 0);
	STAILQ_FOREACH(t, &s->group, link)
	{
		t->rev = s->fence;
		if (compares(t)) {
			AUTO_FREE char *value = etcd_text(etcd_answer_pair(doc, i++), "value");

			if (!value || strcmp(value, own) != 0) {
				t->failed = true;
				err_set(&t->err, ERR_CONFLICT, 0,
				        "store: %s, or another pair, was at another revision",
				        t->ops[0].key);
			}
		}
	}
	s->looking = false;
	group_done(s);
}

/* It was executed: which of those inside were is written. */
static void send_look(struct etcd_store *s)
{
	AUTO_BUF struct buf b = { 0 };
	const char *comma = "";
	struct txn *t;
	size_t nth = 0;

	buf_addf(&b, "{\"success\":[");
	STAILQ_FOREACH(t, &s->group, link)
	{
		char key[24];

		snprintf(key, sizeof(key), "%zu", nth++);
		if (compares(t)) {
			buf_addf(&b, "%s", comma);
			etcd_put_get(&b, s, "outcome/", key, true);
			comma = ",";
		}
	}
	buf_addf(&b, "]}");
	s->looking = true;
	etcd_call(s->http, "/v3/kv/txn", &b, on_look, s);
}

static bool etcd_current(const struct store *store)
{
	const struct etcd_store *s = (const struct etcd_store *)store;

	return s->state != STORE_LOST && clock_system.now_ms(&clock_system) < s->held_until_ms;
}

static void answered(struct etcd_store *s)
{
	etcd_set_state(s, STORE_UP, NULL);
	if (!etcd_current(&s->store)) {
		etcd_hold_renew(s); /* a lease that ran out while it was away */
	}
}

/* None of it was executed. */
static void refused(struct etcd_store *s, const struct err *e)
{
	struct txn *t;

	if (!STAILQ_NEXT(STAILQ_FIRST(&s->group), link)) {
		fail_all(&s->group, e);
		group_done(s);
		return;
	}
	/* One of them is refused: each by itself, in their order. */
	STAILQ_FOREACH(t, &s->group, link)
	{
		s->alone_n++;
	}
	STAILQ_CONCAT(&s->group, &s->in);
	STAILQ_CONCAT(&s->in, &s->group);
	s->sending = s->unsure = false;
	loop_timer_start(s->pump, 0);
}

/* The fence is another: by ourselves, when an answer was lost, or by who has the store now. Says whether it is what it has after
 * this group, or so many later; it is compared from now on. */
static bool fence_is(struct etcd_store *s, const json_t *doc, unsigned later)
{
	const json_t *pair = etcd_answer_pair(doc, 0);
	AUTO_FREE char *value = etcd_text(pair, "value");
	char own[80];

	print_number(own, s, later);
	bool is = value && strcmp(value, own) == 0;

	s->fence = is ? etcd_number(pair, "mod_revision") : s->fence;
	return is;
}

static void on_settled(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;
	bool moved = outcome == ETCD_OK && json_is_true(json_object_get(doc, "succeeded"));

	if (s->state == STORE_LOST) {
		return; /* all that waited was told */
	}
	if (outcome != ETCD_OK) {
		again(s, e);
		return;
	}
	answered(s);
	s->settling = false;
	if (moved || fence_is(s, doc, 1)) {
		s->fence = moved ? etcd_answer_rev(doc) : s->fence;
		s->number++;
		refused(s, &s->refusal);
	} else if (fence_is(s, doc, 0)) {
		send_look(s);
	} else {
		etcd_lost(s);
	}
}

/* The group was sent before, which nobody knows the outcome of, and is refused now: the fence goes on without it. Either that
 * cannot be executed any more then, or it has been. */
static void send_settle(struct etcd_store *s)
{
	AUTO_BUF struct buf b = { 0 };

	buf_addf(&b, "{\"compare\":[");
	etcd_put_compare(&b, s, "fence", "", s->fence);
	buf_addf(&b, "],\"success\":[");
	put_fence(&b, s, 1);
	buf_addf(&b, "],\"failure\":[");
	etcd_put_get(&b, s, "fence", "", true);
	buf_addf(&b, "]}");
	s->settling = true;
	etcd_call(s->http, "/v3/kv/txn", &b, on_settled, s);
}

static void on_group(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;

	if (s->state == STORE_LOST) {
		return; /* all that waited was told */
	}
	if (outcome == ETCD_UNKNOWN) {
		s->unsure = true;
		again(s, e);
		return;
	}
	answered(s);
	if (outcome == ETCD_OK && json_is_true(json_object_get(doc, "succeeded"))) {
		executed(s, doc);
	} else if (outcome == ETCD_OK && fence_is(s, doc, 0)) {
		send_look(s);
	} else if (outcome == ETCD_OK) {
		etcd_lost(s);
	} else if (s->unsure) {
		s->refusal = *e;
		send_settle(s);
	} else {
		refused(s, e);
	}
}

static void send_group(struct etcd_store *s)
{
	AUTO_BUF struct buf b = { 0 };
	struct txn *t;
	size_t nth = 0;

	buf_addf(&b, "{\"compare\":[");
	etcd_put_compare(&b, s, "fence", "", s->fence);
	buf_addf(&b, "],\"success\":[");
	etcd_put_fence(&b, s);
	STAILQ_FOREACH(t, &s->group, link)
	{
		if (t->n > 0) {
			put_txn(&b, s, t, nth);
		}
		nth++;
	}
	buf_addf(&b, "],\"failure\":[");
	etcd_put_get(&b, s, "fence", "", true);
	buf_addf(&b, "]}");
	s->sending = true;
	etcd_call(s->http, "/v3/kv/txn", &b, on_group, s);
}

/* What waits goes, or goes once more. */
static void on_pump(void *arg)
{
	struct etcd_store *s = arg;

	if (s->state == STORE_LOST) {
		STAILQ_CONCAT(&s->group, &s->in);
		fail_all(&s->group, &s->lost);
		if (!STAILQ_EMPTY(&s->group)) {
			group_done(s);
		}
	} else if (s->sending && s->looking) {
		send_look(s);
	} else if (s->sending && s->settling) {
		send_settle(s);
	} else if (s->sending) {
		send_group(s);
	} else if (!STAILQ_EMPTY(&s->in)) {
		s->number++;
		if (gather(s) > 0) {
			send_group(s);
		} else {
			group_done(s);
		}
	}
	if (s->closing && STAILQ_EMPTY(&s->in) && STAILQ_EMPTY(&s->group)) {
		loop_stop(s->loop);
	}
}

static void etcd_submit(struct store *store, const struct store_op *ops, size_t n,
                        store_done_fn done, void *arg)
{
	struct etcd_store *s = of(store);
	struct txn *t = txn_new(ops, n, done, arg);

	STAILQ_INSERT_TAIL(&s->in, t, link);
	if (!s->sending) {
		loop_timer_start(s->pump, 0); /* with all that this turn of the loop submits */
	}
}

/* ---- life ---- */

static void on_finish(void *arg)
{
	struct etcd_store *s = arg;

	loop_stop(s->loop);
}

static void etcd_close(struct store *store)
{
	struct etcd_store *s = of(store);
	struct err e = ERR_INIT;

	if (!STAILQ_EMPTY(&s->in) || !STAILQ_EMPTY(&s->group)) {
		struct loop_timer *finish = loop_timer_new(s->loop, on_finish, s);

		s->closing = true;
		loop_timer_start(finish, CLOSE_MS);
		loop_run(s->loop);
		loop_timer_free(finish);
	}
	err_set(&e, ERR_UNAVAILABLE, 0, "store: closed before etcd answered");
	etcd_hold_end(s);
	s->state = STORE_LOST;
	STAILQ_CONCAT(&s->group, &s->in);
	fail_all(&s->group, &e);
	txns_done(&s->store, &s->group);
	etcd_http_free(s->http);
	loop_timer_free(s->pump);
	free(s->prefix);
	free(s->name);
	free(s);
}

static bool etcd_readonly(const struct store *store)
{
	(void)store;
	return false;
}

static char *copy(const char *text)
{
	char *to = strdup(text ? text : "");

	if (!to) {
		abort();
	}
	return to;
}

struct store *store_open_etcd(const struct store_etcd *c, struct loop *l, struct err *e)
{
	static const struct store_ops ops = { etcd_close, etcd_readonly,  etcd_current,
		                              etcd_load,  etcd_range,     etcd_submit,
		                              etcd_watch, etcd_watch_free };
	struct etcd_http *http = etcd_http_new(c, l, e);
	struct etcd_store *s = http ? calloc(1, sizeof(*s)) : NULL;

	if (!s) {
		etcd_http_free(http);
		return NULL;
	}
	s->store.ops = &ops;
	s->loop = l;
	s->http = http;
	s->prefix = copy(c->prefix);
	s->name = copy(c->name);
	s->state_fn = c->state;
	s->arg = c->arg;
	random_uuid(&random_system, s->id);
	STAILQ_INIT(&s->in);
	STAILQ_INIT(&s->group);
	s->pump = loop_timer_new(l, on_pump, s);
	if (etcd_hold_take(s, e) < 0) {
		s->state_fn = NULL;
		etcd_close(&s->store);
		return NULL;
	}
	return &s->store;
}
