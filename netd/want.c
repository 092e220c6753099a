/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See want.h.
 */
#include "netd/want.h"

#include <stdlib.h>
#include <string.h>

void want_fini(struct want *w)
{
	for (size_t i = 0; i < w->n_chunks; i++) {
		free(w->chunks[i]);
	}
	free(w->chunks);
	*w = (struct want){ 0 };
}

/* Objects of one key are sorted by where they lie: thousands of owners may want the same. */
static bool before(const struct kobj *x, const struct kobj *key, const struct kobj *self)
{
	int c = kobj_compare(x, key);

	if (c == 0 && self) {
		c = memcmp(x, self, sizeof(*x));
		return c < 0 || (c == 0 && (uintptr_t)x < (uintptr_t)self);
	}
	return c < 0;
}

/* The first that is not before the key, or (`self`) before that very object. */
static struct want_place find(const struct want *w, const struct kobj *key, const struct kobj *self)
{
	size_t lo = 0, hi = w->n_chunks;

	while (lo < hi) { /* the first chunk whose last is not before the key */
		size_t mid = (lo + hi) / 2;
		const struct want_chunk *c = w->chunks[mid];

		if (before(c->v[c->n - 1], key, self)) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	struct want_place p = { .chunk = lo };
	if (lo < w->n_chunks) {
		const struct want_chunk *c = w->chunks[lo];
		size_t to = c->n;

		while (p.i < to) {
			size_t mid = (p.i + to) / 2;

			if (before(c->v[mid], key, self)) {
				p.i = mid + 1;
			} else {
				to = mid;
			}
		}
	}
	return p;
}

struct want_place want_from(const struct want *w, const struct kobj *key)
{
	return find(w, key, NULL);
}

struct kobj *want_at(const struct want *w, struct want_place p)
{
	return p.chunk < w->n_chunks ? w->chunks[p.chunk]->v[p.i] : NULL;
}

struct want_place want_next(const struct want *w, struct want_place p)
{
	return p.i + 1 < w->chunks[p.chunk]->n ? (struct want_place){ p.chunk, p.i + 1 }
	                                       : (struct want_place){ p.chunk + 1, 0 };
}

/* The same, looking first where the last change was, inside one chunk. */
static struct want_place search(const struct want *w, const struct kobj *key,
                                const struct kobj *self)
{
	struct want_place p = w->near;
	const struct want_chunk *c = p.chunk < w->n_chunks ? w->chunks[p.chunk] : NULL;

	for (int turn = 0; c && turn < 2; turn++, p.i++) {
		if (p.i > 0 && p.i < c->n && before(c->v[p.i - 1], key, self) &&
		    !before(c->v[p.i], key, self)) {
			return p;
		}
	}
	return find(w, key, self);
}

struct kobj *want_get(struct want *w, const struct kobj *key)
{
	struct kobj *o;

	w->near = search(w, key, NULL);
	o = want_at(w, w->near);
	return o && kobj_compare(o, key) == 0 ? o : NULL;
}

static struct want_chunk *add_chunk(struct want *w, size_t at)
{
	struct want_chunk *c = malloc(sizeof(*c));

	if (w->n_chunks == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 8;
		struct want_chunk **v =
			c ? realloc(w->chunks, cap * sizeof(struct want_chunk *)) : NULL;

		if (!v) {
			free(c);
			return NULL;
		}
		w->chunks = v;
		w->cap = cap;
	}
	if (c) {
		c->n = 0;
		memmove(&w->chunks[at + 1], &w->chunks[at],
		        (w->n_chunks - at) * sizeof(struct want_chunk *));
		w->chunks[at] = c;
		w->n_chunks++;
	}
	return c;
}

int want_insert(struct want *w, struct kobj *o)
{
	struct want_place p = search(w, o, o);

	if (p.chunk == w->n_chunks && w->n_chunks > 0) { /* behind all */
		p.chunk--;
		p.i = w->chunks[p.chunk]->n;
	}
	w->near = p;
	struct want_chunk *c = w->n_chunks ? w->chunks[p.chunk] : add_chunk(w, 0);
	if (c &&
	    c->n == WANT_CHUNK) { /* in two; at the very end: a new one, for who comes in order */
		size_t half = p.chunk + 1 == w->n_chunks && p.i == c->n ? c->n : c->n / 2;
		struct want_chunk *more = add_chunk(w, p.chunk + 1);

		if (!more) {
			return -1;
		}
		more->n = c->n - half;
		memcpy(more->v, c->v + half, more->n * sizeof(struct kobj *));
		c->n = half;
		if (p.i >= half && (p.i > half || more->n == 0)) {
			p.i -= half;
			c = more;
		}
	}
	if (!c) {
		return -1;
	}
	memmove(&c->v[p.i + 1], &c->v[p.i], (c->n - p.i) * sizeof(struct kobj *));
	c->v[p.i] = o;
	c->n++;
	w->n++;
	return 0;
}

void want_erase(struct want *w, const struct kobj *o)
{
	struct want_place p = search(w, o, o);

	if (want_at(w, p) != o) {
		return;
	}
	w->near = p;
	struct want_chunk *c = w->chunks[p.chunk];
	memmove(&c->v[p.i], &c->v[p.i + 1], (c->n - p.i - 1) * sizeof(struct kobj *));
	c->n--;
	w->n--;
	if (c->n == 0) {
		free(c);
		memmove(&w->chunks[p.chunk], &w->chunks[p.chunk + 1],
		        (w->n_chunks - p.chunk - 1) * sizeof(struct want_chunk *));
		w->n_chunks--;
	}
}

struct kobj **want_flat(const struct want *w, size_t *n)
{
	struct kobj **v = malloc((w->n + 1) * sizeof(struct kobj *));

	*n = 0;
	for (size_t i = 0; v && i < w->n_chunks; i++) {
		for (size_t k = 0; k < w->chunks[i]->n; k++) {
			struct kobj *o = w->chunks[i]->v[k];

			if (*n == 0 || kobj_compare(o, v[*n - 1]) != 0) {
				v[(*n)++] = o;
			}
		}
	}
	return v;
}
