/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nft_phase.h. Pure: no I/O.
 */
#include "lib/kernel/nft_phase.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"

struct names {
	const char **v;
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strncmp(*(const char *const *)a, *(const char *const *)b, KOBJ_NAME);
}

static bool has(const struct names *l, const char *name)
{
	return l->n && bsearch(&name, l->v, l->n, sizeof(*l->v), by_name) != NULL;
}

/* Names of the sets, or of the chains, that the verb is about. */
static bool gather(const struct kop *ops, size_t n, enum kobj_kind kind, bool removals,
                   struct names *to)
{
	to->v = calloc(n + 1, sizeof(*to->v));
	if (!to->v) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (ops[i].o->kind == kind && (ops[i].verb == KOP_DEL) == removals) {
			to->v[to->n++] = ops[i].o->dev;
		}
	}
	if (to->n > 1) {
		qsort(to->v, to->n, sizeof(*to->v), by_name);
	}
	return true;
}

static bool overlap(const struct names *a, const struct names *b)
{
	for (size_t i = 0; i < a->n; i++) {
		if (has(b, a->v[i])) {
			return true;
		}
	}
	return false;
}

static uint8_t phase_of(const struct kop *op, const struct names *made, const struct names *gone)
{
	bool del = op->verb == KOP_DEL;

	switch (op->o->kind) {
	case KOBJ_SET:
	case KOBJ_COUNTER:
	case KOBJ_TIMEOUT:
	case KOBJ_CHAIN:
	case KOBJ_FILTER:
		return del ? NFT_PHASE_CLEAR : NFT_PHASE_MAKE;
	case KOBJ_ITEM:
		if (del && has(gone, op->o->dev)) {
			return NFT_PHASE_CLEAR;
		}
		return !del && has(made, op->o->dev) ? NFT_PHASE_MAKE : NFT_PHASE_TURN;
	case KOBJ_ELEM: /* slots of a larger table are there before its class leads there */
		if (op->o->sub >= KOBJ_SET_SLOT4 && op->o->sub <= KOBJ_SET_ANYSLOT6) {
			return del                   ? NFT_PHASE_CLEAR
			       : op->verb == KOP_ADD ? NFT_PHASE_MAKE
			                             : NFT_PHASE_TURN;
		}
		return NFT_PHASE_TURN;
	default:
		return NFT_PHASE_TURN;
	}
}

bool nft_phases(const struct kop *ops, size_t n, uint8_t *phase)
{
	struct names sets[2] = { 0 }, chains[2] = { 0 }; /* made, gone */
	bool whole = false, ok = true;

	for (size_t i = 0; i < n; i++) {
		whole = whole || ops[i].o->kind == KOBJ_RULESET;
	}
	for (int del = 0; del < 2; del++) {
		ok = ok && gather(ops, n, KOBJ_SET, del, &sets[del]) &&
		     gather(ops, n, KOBJ_CHAIN, del, &chains[del]);
	}
	whole = whole || overlap(&sets[0], &sets[1]) || overlap(&chains[0], &chains[1]);
	for (size_t i = 0; ok && i < n; i++) {
		phase[i] = whole ? NFT_PHASE_TURN : phase_of(&ops[i], &sets[0], &sets[1]);
	}
	for (int del = 0; del < 2; del++) {
		free(sets[del].v);
		free(chains[del].v);
	}
	return ok;
}
