/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See reconcile_table.h. Pure: memory only.
 */
#include "netd/reconcile_table.h"

#include <stdlib.h>
#include <string.h>

size_t owner_at(const struct reconcile *r, uint64_t id)
{
	size_t lo = 0, hi = r->n_owners;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->owners[mid].id < id) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct owner *owner_get(struct reconcile *r, uint64_t id)
{
	size_t i = owner_at(r, id);

	return i < r->n_owners && r->owners[i].id == id ? &r->owners[i] : NULL;
}

struct owner *owner_make(struct reconcile *r, uint64_t id)
{
	size_t i = owner_at(r, id);

	if (r->n_owners == r->cap_owners) {
		size_t cap = r->cap_owners ? r->cap_owners * 2 : 64;
		struct owner *v = realloc(r->owners, cap * sizeof(*v));

		if (!v) {
			return NULL;
		}
		r->owners = v;
		r->cap_owners = cap;
	}
	memmove(&r->owners[i + 1], &r->owners[i], (r->n_owners - i) * sizeof(*r->owners));
	r->owners[i] = (struct owner){ .id = id };
	r->n_owners++;
	return &r->owners[i];
}

size_t space_at(const struct reconcile *r, uint32_t ns)
{
	size_t lo = 0, hi = r->n_spaces;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (r->spaces[mid].ns < ns) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct space *space_get(struct reconcile *r, uint32_t ns)
{
	size_t i = space_at(r, ns);

	return i < r->n_spaces && r->spaces[i].ns == ns ? &r->spaces[i] : NULL;
}

struct space *space_make(struct reconcile *r, uint32_t ns)
{
	size_t i = space_at(r, ns);

	if (i < r->n_spaces && r->spaces[i].ns == ns) {
		return &r->spaces[i];
	}
	if (r->n_spaces == r->cap_spaces) {
		size_t cap = r->cap_spaces ? r->cap_spaces * 2 : 64;
		struct space *v = realloc(r->spaces, cap * sizeof(*v));

		if (!v) {
			return NULL;
		}
		r->spaces = v;
		r->cap_spaces = cap;
	}
	memmove(&r->spaces[i + 1], &r->spaces[i], (r->n_spaces - i) * sizeof(*r->spaces));
	r->spaces[i] = (struct space){ .ns = ns, .made = kobj_ns_foreign(ns) };
	r->n_spaces++;
	return &r->spaces[i];
}

int reconcile_keep(struct reconcile *r, uint32_t ns)
{
	return space_make(r, ns) ? 0 : -1;
}

void space_drop(struct reconcile *r, struct space *s)
{
	free(s->want);
	kset_fini(&s->owed);
	memmove(s, s + 1, (size_t)(r->spaces + r->n_spaces - s - 1) * sizeof(*s));
	r->n_spaces--;
}

size_t want_at(const struct space *s, const struct kobj *o)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (kobj_compare(s->want[mid], o) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

bool reconcile_wants(const struct reconcile *r, const struct kobj *o)
{
	size_t i = space_at(r, o->ns);
	const struct space *s = i < r->n_spaces && r->spaces[i].ns == o->ns ? &r->spaces[i] : NULL;
	size_t at = s ? want_at(s, o) : 0;

	return s && at < s->n && kobj_compare(s->want[at], o) == 0;
}

bool reconcile_wants_any(const struct reconcile *r, uint32_t ns, enum kobj_set set)
{
	/* Keys go by kind, family, prefix length, set: the first of each family that may be. */
	static const uint8_t families[] = { 0, 4, 6 };

	for (size_t f = 0; f < sizeof(families); f++) {
		uint8_t family = families[f];
		struct kobj o = {
			.ns = ns, .kind = KOBJ_ELEM, .family = family, .sub = (uint8_t)set
		};
		size_t i = space_at(r, ns);
		const struct space *s =
			i < r->n_spaces && r->spaces[i].ns == ns ? &r->spaces[i] : NULL;
		size_t at = s ? want_at(s, &o) : 0;

		if (s && at < s->n && s->want[at]->kind == KOBJ_ELEM &&
		    s->want[at]->family == family && s->want[at]->sub == set) {
			return true;
		}
	}
	return false;
}

uint32_t reconcile_space(const struct reconcile *r, size_t i)
{
	return i < r->n_spaces ? r->spaces[i].ns : 0;
}

/* Sorted objects of one namespace into its sorted list: merged from the back. */
static int add_run(struct space *s, struct kobj *const *v, size_t n)
{
	if (s->n + n > s->cap) {
		size_t cap = s->cap * 2 > s->n + n ? s->cap * 2 : s->n + n + 16;
		struct kobj **grown = realloc(s->want, cap * sizeof(struct kobj *));

		if (!grown) {
			return -1;
		}
		s->want = grown;
		s->cap = cap;
	}
	for (size_t at = s->n + n, from = s->n; n > 0;) {
		size_t i = want_at(s, v[n - 1]);

		i = i < from ? i : from;
		memmove(&s->want[at - (from - i)], &s->want[i], (from - i) * sizeof(struct kobj *));
		at -= from - i;
		s->n = from = i; /* what lies behind has its place */
		s->want[--at] = v[--n];
		if (v[n]->kind == KOBJ_NETNS) {
			s->type = v[n]->sub;
		}
	}
	return 0;
}

int want_add(struct reconcile *r, struct kobj *const *v, size_t n)
{
	for (size_t i = 0; i < n;) {
		struct space *s = space_make(r, v[i]->ns);
		size_t run = i, had;

		while (run < n && v[run]->ns == v[i]->ns) {
			run++;
		}
		had = s ? s->n : 0;
		if (!s || add_run(s, v + i, run - i) < 0) {
			return -1;
		}
		s->n = had + run - i;
		i = run;
	}
	return 0;
}

void want_remove(struct reconcile *r, struct kobj *const *v, size_t n)
{
	size_t i = 0;

	while (i < n) {
		struct space *s = space_get(r, v[i]->ns);
		uint32_t ns = v[i]->ns;
		size_t keep = s ? want_at(s, v[i]) : 0, at = keep;

		for (; s && at < s->n && i < n && v[i]->ns == ns; at++) {
			size_t k = i;

			while (i < n && v[i]->ns == ns && kobj_compare(v[i], s->want[at]) < 0) {
				k = ++i;
			}
			while (k < n && kobj_compare(v[k], s->want[at]) == 0 &&
			       v[k] != s->want[at]) {
				k++; /* two want the same thing */
			}
			if (k < n && v[k] == s->want[at]) {
				continue;
			}
			s->want[keep++] = s->want[at];
		}
		if (s) {
			memmove(&s->want[keep], &s->want[at], (s->n - at) * sizeof(struct kobj *));
			s->n -= at - keep;
		}
		while (i < n && v[i]->ns == ns) {
			i++;
		}
	}
}

void owner_clear(struct owner *o)
{
	for (size_t i = 0; i < o->n; i++) {
		free(o->v[i]);
	}
	free(o->v);
	o->v = NULL;
	o->n = 0;
}
