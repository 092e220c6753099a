/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See store.h. Leads to the backend that a store was opened with.
 */
#include "lib/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "lib/store/store_own.h"

bool store_readonly(const struct store *s)
{
	return s->ops->readonly(s);
}

bool store_current(const struct store *s)
{
	return s->ops->current(s);
}

bool store_settled(const struct store *s)
{
	return s->waiting == 0;
}

void store_close(struct store *s)
{
	if (s) {
		s->ops->close(s);
	}
}

int store_load(struct store *s, store_pair_fn fn, void *arg, struct err *e)
{
	return s->ops->load(s, fn, arg, e);
}

void store_range(struct store *s, const char *from, const char *to, size_t limit, store_pair_fn fn,
                 store_done_fn done, void *arg)
{
	s->ops->range(s, from, to, limit, fn, done, arg);
}

void store_submit(struct store *s, const struct store_op *ops, size_t n, store_done_fn done,
                  void *arg)
{
	s->waiting++;
	s->ops->submit(s, ops, n, done, arg);
}

struct store_watch *store_watch(struct store *s, const char *prefix, store_change_fn fn, void *arg)
{
	return s->ops->watch(s, prefix, fn, arg);
}

void store_watch_free(struct store_watch *w)
{
	if (w) {
		w->store->ops->watch_free(w);
	}
}

/* ---- transactions ---- */

struct txn *txn_new(const struct store_op *ops, size_t n, store_done_fn done, void *arg)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (!t || !(t->ops = calloc(n ? n : 1, sizeof(*ops)))) {
		abort();
	}
	t->n = n;
	t->done = done;
	t->arg = arg;
	for (size_t i = 0; i < n; i++) {
		t->ops[i] = ops[i];
		t->ops[i].key = strdup(ops[i].key);
		t->ops[i].value = ops[i].value ? strdup(ops[i].value) : NULL;
		if (!t->ops[i].key || (ops[i].value && !t->ops[i].value)) {
			abort();
		}
	}
	return t;
}

static void txn_free(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free((char *)(uintptr_t)t->ops[i].key);
		free((char *)(uintptr_t)t->ops[i].value);
	}
	free(t->ops);
	free(t);
}

void txns_done(struct store *s, struct txns *list)
{
	while (!STAILQ_EMPTY(list)) {
		struct txn *t = STAILQ_FIRST(list);

		STAILQ_REMOVE_HEAD(list, link);
		s->waiting--;
		if (t->done) {
			t->done(t->arg, t->failed ? &t->err : NULL, t->rev);
		}
		txn_free(t);
	}
}
