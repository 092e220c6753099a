/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Slot tables: which backend each of a frontend's slots leads to. The next table is made from the last
 * one and who should have a share now, so that as few slots as possible change hands. Pure: memory only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"
#include "lib/kernel/kobj.h"

#define SLOTS_WEIGHT_MAX 100u
#define SLOTS_NONE       UINT16_MAX /* a slot without a backend */
#define SLOTS_FORMERS    6u /* backends that a slot had before, at most: the oldest are forgotten */

struct slots_member {
	struct ip ip;
	uint16_t weight; /* 1 to SLOTS_WEIGHT_MAX */
};

struct slots {
	unsigned size;          /* index into kobj_sizes */
	struct slots_member *v; /* whom slots lead to; order without meaning, no address twice */
	size_t n;
	uint16_t *slot; /* kobj_sizes[size] of them: index into v; NULL while n is 0 */
	/* Whom slots led to before, the latest first: flows of theirs may go on there. */
	struct ip *known;
	size_t n_known;
	uint16_t (*former)
		[SLOTS_FORMERS]; /* a row a slot: indices into known, then SLOTS_NONE; NULL: none has any */
};

void slots_fini(struct slots *s);
/* Makes *to the table that follows *was (zeroed: none before) when `v` share the flows: each has floor or
 * ceil of its weighted share of the slots, and the fewest possible slots lead elsewhere than before. The
 * size is that with at least 100 slots for each backend (ten and more; heavy weights count for several),
 * 64 below; it shrinks only when half of what the smaller one could take is left. A slot of a smaller
 * table becomes several neighbours in a larger one, which the same flows hash to. Whom a slot no longer leads to is its latest former
 * one, also when none is left (n 0). Returns 0, or -1: out of
 * memory, or more than SLOTS_NONE backends; *to is then zeroed. */
int slots_next(const struct slots *was, const struct slots_member *v, size_t n, struct slots *to)
	__attribute__((warn_unused_result));
/* How many slots of the larger of both sizes lead to another backend, or to one where none was. */
size_t slots_moved(const struct slots *a, const struct slots *b);
/* Forgets those former ones that `keeps` is false of. */
void slots_forget(struct slots *s, bool (*keeps)(void *arg, const struct ip *ip), void *arg);
/* The i-th backend that a slot led to before its present one, from 0 on; NULL: no more. */
const struct ip *slots_former(const struct slots *s, uint32_t slot, unsigned i);
/* As text for the store: "0 10.0.0.4*1,10.0.0.5*1 00000001...", and if there are former ones " 10.0.0.6 0000ffff..."; malloc'ed, NULL: out of memory. */
char *slots_print(const struct slots *s);
/* And back; false: it is none, and *to is zeroed. */
bool slots_scan(const char *text, struct slots *to) __attribute__((warn_unused_result));
