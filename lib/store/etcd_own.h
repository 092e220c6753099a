/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the parts of the store in etcd share: etcd.c has its transactions, etcd_hold.c who holds it, etcd_read.c what is read and
 * followed. Internal to lib/store.
 */
#pragma once

#include "lib/store/etcd_http.h"
#include "lib/store/store_own.h"

struct etcd_store {
	struct store store;
	struct loop *loop;
	struct etcd_http *http;
	char *prefix, *name, id[40]; /* id: of this opening */
	void (*state_fn)(void *arg, enum store_state state, const struct err *e);
	void *arg;
	enum store_state state;
	struct err lost;

	/* ---- etcd.c ---- */
	uint64_t fence, number; /* the fence's revision; groups so far */
	struct txns in, group;
	bool sending, looking; /* the group is under way; it was executed, and is looked at */
	bool unsure,
		settling; /* it was sent before, and not answered; what came of that is found out, */
	struct err refusal; /* since it is refused now */
	size_t alone_n;     /* so many go one by one: they were refused together */
	int64_t again_ms;
	struct loop_timer *pump;
	bool closing;

	/* ---- etcd_hold.c ---- */
	uint64_t lease;
	int64_t held_until_ms,
		asked_ms; /* the lease ends not before; when the renewal under way began */
	bool renewing;
	struct loop_timer *renew;
};

void etcd_set_state(struct etcd_store *s, enum store_state state, const struct err *e);

/* The fence is another's. */
void etcd_lost(struct etcd_store *s);

/* ---- documents ---- */

/* The key as etcd has it: prefix, room ("data/", "fence", "holder") and key. */
void etcd_key(struct buf *b, const char *prefix, const char *room, const char *key);
/* Is the pair at that revision? */
void etcd_put_compare(struct buf *b, const struct etcd_store *s, const char *room, const char *key,
                      uint64_t rev);
/* Reads a pair, with its value or without. */
void etcd_put_get(struct buf *b, const struct etcd_store *s, const char *room, const char *key,
                  bool value);
void etcd_put_fence(struct buf *b, const struct etcd_store *s);
/* The pair that the i-th answer of a transaction has; NULL: there was none. */
const json_t *etcd_answer_pair(const json_t *doc, size_t i);
uint64_t etcd_answer_rev(const json_t *doc);

/* ---- etcd_hold.c ---- */

/* Takes the store, and goes on renewing the lease; blocks. */
int etcd_hold_take(struct etcd_store *s, struct err *e) __attribute__((warn_unused_result));
/* Renews the lease now, not at its time. */
void etcd_hold_renew(struct etcd_store *s);
void etcd_hold_end(struct etcd_store *s);

/* ---- etcd_read.c: as store_own.h says ---- */
int etcd_load(struct store *s, store_pair_fn fn, void *arg, struct err *e);
void etcd_range(struct store *s, const char *from, const char *to, size_t limit, store_pair_fn fn,
                store_done_fn done, void *arg);
struct store_watch *etcd_watch(struct store *s, const char *prefix, store_change_fn fn, void *arg);
void etcd_watch_free(struct store_watch *w);
