/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who holds the store in etcd: a pair under a lease keeps others waiting, and the fence (etcd.c) shuts out who had it before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/etcd_own.h"

#define TAKE_TRIES 5
#define RENEW_MS   (STORE_LEASE_S * 1000 / 3)
#define AGAIN_MS   500
#define LOOK_MS    1000
#define BACK_MS    4000 /* that who waits leaves to who has had the store, after etcd was away */

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

/* ---- documents ---- */

static void put_grant(struct buf *b)
{
	buf_addf(b, "{\"TTL\":\"%d\"}", STORE_LEASE_S);
}

/* Holder, then fence. */
static void put_who(struct buf *b, const struct etcd_store *s)
{
	buf_addf(b, "{\"success\":[");
	etcd_put_get(b, s, "holder", "", true);
	buf_addf(b, ",");
	etcd_put_get(b, s, "fence", "", true);
	buf_addf(b, "]}");
}

static void put_holder(struct buf *b, const struct etcd_store *s)
{
	buf_addf(b, "{\"request_put\":{\"lease\":\"%llu\",\"key\":", (unsigned long long)s->lease);
	etcd_key(b, s->prefix, "holder", "");
	buf_addf(b, ",\"value\":");
	etcd_put(b, "", s->name);
	buf_addf(b, "}}");
}

/* If both are still at those revisions: this process, under its lease. */
static void put_take(struct buf *b, const struct etcd_store *s, uint64_t holder, uint64_t fence)
{
	buf_addf(b, "{\"compare\":[");
	etcd_put_compare(b, s, "holder", "", holder);
	buf_addf(b, ",");
	etcd_put_compare(b, s, "fence", "", fence);
	buf_addf(b, "],\"success\":[");
	put_holder(b, s);
	buf_addf(b, ",");
	etcd_put_fence(b, s);
	buf_addf(b, "]}");
}

/* May this node take it? The holder's revision to *rev. */
static int may_take(const char *name, const json_t *doc, uint64_t *rev, struct err *e)
{
	const json_t *pair = etcd_answer_pair(doc, 0);
	AUTO_FREE char *holder = etcd_text(pair, "value");

	*rev = etcd_number(pair, "mod_revision");
	if (*rev && (!holder || strcmp(holder, name) != 0)) {
		return err_set(e, ERR_BUSY, 0, "store: the plane is held by node '%.100s'",
		               holder ? holder : "?");
	}
	return 0;
}

/* ---- taking ---- */

/* Takes it once; *again: something changed meanwhile, or the outcome is not known. */
static int take(struct etcd_store *s, bool *again, struct err *e)
{
	AUTO_BUF struct buf who = { 0 }, put = { 0 };
	json_t *doc = NULL;
	uint64_t holder = 0;

	put_who(&who, s);
	if (etcd_call_wait(s->http, "/v3/kv/txn", &who, &doc, e) != ETCD_OK) {
		return -1;
	}
	int rc = may_take(s->name, doc, &holder, e);
	uint64_t fence = etcd_number(etcd_answer_pair(doc, 1), "mod_revision");
	json_decref(doc);
	if (rc < 0) {
		return -1;
	}
	put_take(&put, s, holder, fence);
	enum etcd_outcome outcome = etcd_call_wait(s->http, "/v3/kv/txn", &put, &doc, e);
	if (outcome == ETCD_OK && json_is_true(json_object_get(doc, "succeeded"))) {
		s->fence = etcd_answer_rev(doc);
	} else {
		*again = outcome != ETCD_REFUSED;
		rc = -1;
		if (outcome == ETCD_OK) {
			err_set(e, ERR_BUSY, 0,
			        "store: another process takes the plane at this moment");
		}
	}
	json_decref(doc);
	return rc;
}

static void on_renew(void *arg);

int etcd_hold_take(struct etcd_store *s, struct err *e)
{
	AUTO_BUF struct buf b = { 0 };
	int64_t began = now_ms();
	json_t *doc = NULL;

	put_grant(&b);
	if (etcd_call_wait(s->http, "/v3/lease/grant", &b, &doc, e) != ETCD_OK) {
		return -1;
	}
	s->lease = etcd_number(doc, "ID");
	json_decref(doc);
	for (int i = 0; i < TAKE_TRIES; i++) {
		bool again = false;

		if (take(s, &again, e) == 0) {
			s->held_until_ms = began + STORE_LEASE_S * 1000;
			s->renew = loop_timer_new(s->loop, on_renew, s);
			loop_timer_start(s->renew, RENEW_MS);
			return 0;
		}
		if (!again) {
			break;
		}
	}
	return -1;
}

/* ---- renewing ---- */

static void not_renewed(struct etcd_store *s, const struct err *e)
{
	s->renewing = false;
	etcd_set_state(s, STORE_DOWN, e);
	loop_timer_start(s->renew, AGAIN_MS);
}

static void renewed(struct etcd_store *s)
{
	s->renewing = false;
	s->held_until_ms = s->asked_ms + STORE_LEASE_S * 1000;
	if (s->again_ms == 0) { /* else the transaction that waits will tell */
		etcd_set_state(s, STORE_UP, NULL);
	}
	loop_timer_start(s->renew, RENEW_MS);
}

static void on_retaken(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;

	if (s->state == STORE_LOST) {
		return;
	}
	if (outcome != ETCD_OK) {
		not_renewed(s, e);
	} else if (json_is_true(json_object_get(doc, "succeeded"))) {
		renewed(s);
	} else {
		etcd_lost(s);
	}
}

/* The lease ran out, and the holder's pair with it. Nobody came between as long as the fence has our name: whoever takes the
 * store writes it. Its revision says nothing here, since a transaction under way changes that. */
static void retake(struct etcd_store *s)
{
	AUTO_BUF struct buf b = { 0 };
	static const char *const ends[][2] = { { "GREATER", " " }, { "LESS", " ~" } };

	buf_addf(&b, "{\"compare\":[");
	for (size_t i = 0; i < ARRAY_N(ends); i++) {
		buf_addf(&b, "%s{\"target\":\"VALUE\",\"result\":\"%s\",\"key\":", i ? "," : "",
		         ends[i][0]);
		etcd_key(&b, s->prefix, "fence", "");
		buf_addf(&b, ",\"value\":");
		etcd_put(&b, s->id, ends[i][1]);
		buf_addf(&b, "}");
	}
	buf_addf(&b, "],\"success\":[");
	put_holder(&b, s);
	buf_addf(&b, "]}");
	etcd_call(s->http, "/v3/kv/txn", &b, on_retaken, s);
}

static void on_granted(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;

	if (s->state == STORE_LOST) {
		return;
	}
	if (outcome == ETCD_OK) {
		s->lease = etcd_number(doc, "ID");
		retake(s);
	} else {
		not_renewed(s, e);
	}
}

static void on_renewed(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct etcd_store *s = arg;
	AUTO_BUF struct buf b = { 0 };

	if (s->state == STORE_LOST) {
		return;
	}
	if (outcome == ETCD_OK && etcd_number(json_object_get(doc, "result"), "TTL") > 0) {
		renewed(s);
	} else if (outcome != ETCD_UNKNOWN) {
		put_grant(&b);
		etcd_call(s->http, "/v3/lease/grant", &b, on_granted, s);
	} else {
		not_renewed(s, e);
	}
}

static void on_renew(void *arg)
{
	struct etcd_store *s = arg;
	AUTO_BUF struct buf b = { 0 };

	s->renewing = true;
	s->asked_ms = now_ms();
	buf_addf(&b, "{\"ID\":\"%llu\"}", (unsigned long long)s->lease);
	etcd_call(s->http, "/v3/lease/keepalive", &b, on_renewed, s);
}

void etcd_hold_renew(struct etcd_store *s)
{
	if (!s->renewing) {
		loop_timer_start(s->renew, 0);
	}
}

void etcd_hold_end(struct etcd_store *s)
{
	AUTO_BUF struct buf b = { 0 };
	struct err e = ERR_INIT;
	json_t *doc = NULL;

	if (s->renew && s->state == STORE_UP) { /* nobody has to wait for the lease's end */
		buf_addf(&b, "{\"ID\":\"%llu\"}", (unsigned long long)s->lease);
		(void)etcd_call_wait(s->http, "/v3/lease/revoke", &b, &doc, &e);
		json_decref(doc);
	}
	loop_timer_free(s->renew);
	s->renew = NULL;
}

/* ---- waiting ---- */

struct store_wait {
	struct etcd_store store; /* its names, and how it is reached */
	struct loop_timer *timer;
	int64_t blind_ms; /* when etcd did not answer last; 0: it always has */
	void (*fn)(void *arg);
	void *arg;
};

/* It could be taken: is there room to write it down? Asked by writing, since an etcd without space answers all else. */
static void put_room(struct buf *b, const struct etcd_store *s, uint64_t fence)
{
	buf_addf(b, "{\"compare\":[");
	etcd_put_compare(b, s, "fence", "", fence);
	buf_addf(b, "],\"success\":[{\"request_put\":{\"key\":");
	etcd_key(b, s->prefix, "room", "");
	buf_addf(b, ",\"value\":");
	etcd_put(b, "", s->name);
	buf_addf(b, "}}]}");
}

static void on_room(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *refused)
{
	struct store_wait *w = arg;

	(void)doc;
	(void)refused;
	if (w->store.closing) {
		return;
	}
	if (outcome == ETCD_OK) {
		w->fn(w->arg);
	} else {
		loop_timer_start(w->timer, LOOK_MS);
	}
}

static void on_who(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *refused)
{
	struct store_wait *w = arg;
	struct err e = ERR_INIT;
	uint64_t rev;

	(void)refused;
	if (w->store.closing) {
		return;
	}
	if (outcome != ETCD_OK) {
		w->blind_ms = now_ms();
	}
	/* Where etcd was away for all, who has had the store is to find it again first: nothing needs to begin anew then. */
	bool back = w->blind_ms && now_ms() - w->blind_ms < BACK_MS;
	if (outcome == ETCD_OK && !back && may_take(w->store.name, doc, &rev, &e) == 0) {
		AUTO_BUF struct buf b = { 0 };

		put_room(&b, &w->store, etcd_number(etcd_answer_pair(doc, 1), "mod_revision"));
		etcd_call(w->store.http, "/v3/kv/txn", &b, on_room, w);
	} else {
		loop_timer_start(w->timer, LOOK_MS);
	}
}

static void on_look(void *arg)
{
	struct store_wait *w = arg;
	AUTO_BUF struct buf b = { 0 };

	put_who(&b, &w->store);
	etcd_call(w->store.http, "/v3/kv/txn", &b, on_who, w);
}

struct store_wait *store_wait_etcd(const struct store_etcd *c, struct loop *l,
                                   void (*fn)(void *arg), void *arg)
{
	struct store_wait *w = calloc(1, sizeof(*w));
	struct err e = ERR_INIT;

	if (!w || !(w->store.prefix = strdup(c->prefix ? c->prefix : "")) ||
	    !(w->store.name = strdup(c->name ? c->name : ""))) {
		abort();
	}
	w->fn = fn;
	w->arg = arg;
	w->timer = loop_timer_new(l, on_look, w);
	w->store.http = etcd_http_new(c, l, &e);
	if (w->store.http) {
		loop_timer_start(w->timer, LOOK_MS);
	}
	return w;
}

void store_wait_free(struct store_wait *w)
{
	if (w) {
		w->store.closing = true;
		etcd_http_free(w->store.http);
		loop_timer_free(w->timer);
		free(w->store.prefix);
		free(w->store.name);
		free(w);
	}
}
