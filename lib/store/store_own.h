/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a backend of the store provides. Internal to lib/store.
 */
#pragma once

#include <sys/queue.h>

#include "lib/store/store.h"

/* Of DIR/netd.db (PRAGMA user_version): this program's, and that of a file whose pairs are in etcd now. */
#define STORE_SCHEMA 2
#define STORE_MOVED  1000000

/* As store.h says of the functions of these names. */
struct store_ops {
	void (*close)(struct store *s);
	bool (*readonly)(const struct store *s);
	bool (*current)(const struct store *s);
	int (*load)(struct store *s, store_pair_fn fn, void *arg, struct err *e);
	void (*range)(struct store *s, const char *from, const char *to, size_t limit,
	              store_pair_fn fn, store_done_fn done, void *arg);
	void (*submit)(struct store *s, const struct store_op *ops, size_t n, store_done_fn done,
	               void *arg);
	struct store_watch *(*watch)(struct store *s, const char *prefix, store_change_fn fn,
	                             void *arg);
	void (*watch_free)(struct store_watch *w);
};

struct store {
	const struct store_ops *ops;
	size_t waiting; /* transactions that were submitted, and not told of */
};

struct store_watch {
	struct store *store;
};

/* A transaction that waits, with copies of its strings. */
struct txn {
	STAILQ_ENTRY(txn) link;
	struct store_op *ops;
	size_t n;
	store_done_fn done;
	void *arg;
	bool failed;
	struct err err;
	uint64_t rev;
};
STAILQ_HEAD(txns, txn);

struct txn *txn_new(const struct store_op *ops, size_t n, store_done_fn done, void *arg);
/* Calls `done` of each in order, and frees them. */
void txns_done(struct store *s, struct txns *list);
