/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store: keys, values and one revision that counts up. Writes are transactions, durable
 * before their callback says so, executed in the order of submission. Two backends: SQLite, embedded, and
 * etcd, for planes of more than one node. Callbacks run on the loop's thread, never inside the call that they
 * are given to unless it says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct loop;
struct store;
struct store_watch;

/* ---- opening ---- */

/* Opens or creates DIR/netd.db; blocks. ERR_UNAVAILABLE for a damaged file (PRAGMA quick_check) or a
 * schema from the future: the file is left as it is. An older schema is copied to
 * DIR/netd.db.schema-N and migrated. A file that cannot be written is opened for reading: every
 * transaction then fails. */
struct store *store_open(const char *dir, struct loop *l, struct err *e);

enum store_state {
	STORE_UP, /* transactions are executed */
	STORE_DOWN, /* it cannot be reached: transactions wait, and are executed, once, when it can again */
	STORE_LOST, /* another process holds it now: nothing that waits will be executed. Load again. */
};

/* How etcd 3.4 or later is reached: over its JSON gateway (etcd.io/docs/v3.4/dev-guide/api_grpc_gateway). Strings are copied;
 * NULL or "": none. */
struct store_etcd {
	const char *endpoints; /* URLs, separated by commas; the next is tried when one fails */
	const char *ca, *cert, *key; /* PEM files: who signs the members' certificates; ours */
	const char *user, *password; /* of etcd's authentication */
	const char *prefix; /* of all keys: planes that share an etcd have different ones */
	const char *name;   /* of this node: no two have the same */
	/* Tells of changes of the state; NULL: nobody. */
	void (*state)(void *arg, enum store_state state, const struct err *e);
	void *arg;
};

/* Opens the plane's store in etcd and takes it: one process holds it at a time, as long as it renews a lease of
 * STORE_LEASE_S; one of the same name is followed at once. What a former holder still sends is refused by etcd, since every
 * transaction compares the revision at which it took the store (no lock of etcd's is trusted). Blocks, up to 5 s.
 * ERR_BUSY: another node holds it. ERR_UNAVAILABLE: it cannot be reached. */
struct store *store_open_etcd(const struct store_etcd *c, struct loop *l, struct err *e);
#define STORE_LEASE_S 6

/* Looks each second whether store_open_etcd() would succeed, and calls fn once when it would. */
struct store_wait;
struct store_wait *store_wait_etcd(const struct store_etcd *c, struct loop *l,
                                   void (*fn)(void *arg), void *arg);
void store_wait_free(struct store_wait *w); /* NULL is allowed */

/* Was it opened for reading only? */
bool store_readonly(const struct store *s);
/* Is what was loaded and submitted still the truth: can no other process have changed it since? */
bool store_current(const struct store *s);
/* Has all that was submitted been told of? */
bool store_settled(const struct store *s);
/* Waits for what was submitted (of etcd: up to 2 s, then those fail with ERR_UNAVAILABLE: their outcome is not known), then
 * closes. NULL is allowed. */
void store_close(struct store *s);

/* ---- reading ---- */

/* Gets a pair; returns 0, or -1 to stop. */
typedef int (*store_pair_fn)(void *arg, const char *key, uint64_t rev, const char *value);
/* Tells the end: `e` is NULL when all went well, and `rev` the revision then. */
typedef void (*store_done_fn)(void *arg, const struct err *e, uint64_t rev);

/* Every pair, sorted by key, but for those of "usage/", which grow without end and are read by range; blocks (start
 * only). ERR_UNAVAILABLE also when fn stopped. */
int store_load(struct store *s, store_pair_fn fn, void *arg, struct err *e)
	__attribute__((warn_unused_result));

/* The first `limit` pairs with from <= key < to, sorted by key, then the end; fn may stop, which is no error. SQLite answers
 * inside the call (microseconds a pair), etcd later. A transaction under way is not seen yet. */
void store_range(struct store *s, const char *from, const char *to, size_t limit, store_pair_fn fn,
                 store_done_fn done, void *arg);

/* ---- writing ---- */

struct store_op {
	const char *key;
	const char *value; /* NULL: remove */
	bool expect;       /* compare first: the pair's revision must be expect_rev (0: absent) */
	uint64_t expect_rev;
};

/* Submits a transaction; strings are copied; no key twice. done(arg, e, rev): e is NULL when it is durable;
 * ERR_CONFLICT when a comparison failed, ERR_NO_SPACE or ERR_UNAVAILABLE when the disk refused, ERR_TOO_LARGE or ERR_FORBIDDEN when
 * etcd did. Nothing of a failed transaction is kept. One without steps is done when all before it are.
 * etcd: at most 100 steps and comparisons where its --max-txn-ops is the default. */
void store_submit(struct store *s, const struct store_op *ops, size_t n, store_done_fn done,
                  void *arg);

/* ---- following ---- */

/* A change: `value` is NULL when the pair was removed. With `key` NULL: all that there was at `rev` has been told. */
typedef void (*store_change_fn)(void *arg, const char *key, uint64_t rev, const char *value);

/* Tells all pairs that begin with the prefix, then each change in the order of revisions, whoever made it, for as long as it
 * lives. What cannot be followed (etcd compacted it, a connection was cut, a member went silent) is found by comparing all,
 * which also happens each STORE_COMPARE_S: then states between are left out, and nothing else. No watch is freed inside `fn`.
 * Pairs of "usage/" are not followed. */
struct store_watch *store_watch(struct store *s, const char *prefix, store_change_fn fn, void *arg);
void store_watch_free(struct store_watch *w); /* NULL is allowed */
#define STORE_COMPARE_S 60
