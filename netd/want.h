/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a namespace should have: objects sorted by key, borrowed, several of one key when several owners want
 * it: the first counts, that of the least value. In chunks, so that one more costs the same among ten and
 * among a million. Memory only.
 */
#pragma once

#include "lib/kernel/kobj.h"

#define WANT_CHUNK 256

struct want_chunk {
	size_t n; /* never 0 */
	struct kobj *v[WANT_CHUNK];
};
struct want {
	struct want_chunk **chunks;
	size_t n_chunks, cap, n;
	struct want_place {
		size_t chunk, i;
	} near; /* where the last one came or went: what follows it in order needs no search */
};
/* A place lasts until the next insertion or removal. */

void want_fini(struct want *w);
/* The first whose key is not before that one's, and what is at a place (NULL: the end); the next place. */
struct want_place want_from(const struct want *w, const struct kobj *key);
struct kobj *want_at(const struct want *w, struct want_place p);
struct want_place want_next(const struct want *w, struct want_place p);
/* The one of that key that counts; NULL: none. Remembers where it looked. */
struct kobj *want_get(struct want *w, const struct kobj *key);
int want_insert(struct want *w, struct kobj *o);       /* -1: out of memory */
void want_erase(struct want *w, const struct kobj *o); /* that very object; absent is fine */
/* Those that count, one of each key, *n of them, as an array that the caller frees; NULL: out of memory. */
struct kobj **want_flat(const struct want *w, size_t *n);
