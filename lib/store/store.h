/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The store: keys, values and one revision that counts up. Writes are transactions, durable
 * before their callback says so; a thread commits them in groups, in the order of submission.
 * SQLite is the embedded backend. Callbacks run on the loop's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct loop;
struct store;

/* Opens or creates DIR/netd.db; blocks. ERR_UNAVAILABLE for a damaged file (PRAGMA quick_check) or a
 * schema from the future: the file is left as it is. An older schema is copied to
 * DIR/netd.db.schema-N and migrated. A file that cannot be written is opened for reading: every
 * transaction then fails. */
struct store *store_open(const char *dir, struct loop *l, struct err *e);
/* Was it opened for reading only? */
bool store_readonly(const struct store *s);
/* Waits for what was submitted, then closes. */
void store_close(struct store *s);

/* Every pair, sorted by key, but for those of "usage/", which grow without end and are read by range; blocks (start
 * only). fn returns 0, or -1 to stop. */
int store_load(struct store *s,
               int (*fn)(void *arg, const char *key, uint64_t rev, const char *value), void *arg,
               struct err *e) __attribute__((warn_unused_result));

/* The first `limit` pairs with from <= key < to, sorted by key; fn as above, but -1 just stops. Blocks for the read
 * (microseconds a pair), not for a transaction under way, which is not seen yet. */
int store_range(struct store *s, const char *from, const char *to, size_t limit,
                int (*fn)(void *arg, const char *key, uint64_t rev, const char *value), void *arg,
                struct err *e) __attribute__((warn_unused_result));

struct store_op {
	const char *key;
	const char *value; /* NULL: remove */
	bool expect;       /* compare first: the pair's revision must be expect_rev (0: absent) */
	uint64_t expect_rev;
};

/* Submits a transaction; strings are copied. done(arg, e, rev): e is NULL when it is durable;
 * ERR_CONFLICT when a comparison failed, ERR_NO_SPACE or ERR_UNAVAILABLE when the disk refused.
 * Nothing of a failed transaction is kept. */
void store_submit(struct store *s, const struct store_op *ops, size_t n,
                  void (*done)(void *arg, const struct err *e, uint64_t rev), void *arg);
