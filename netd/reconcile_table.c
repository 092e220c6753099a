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
	r->spaces[i] = (struct space){ .ns = ns, .made = ns == KOBJ_NS_HOST };
	r->n_spaces++;
	return &r->spaces[i];
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

int want_add(struct reconcile *r, struct kobj *o)
{
	struct space *s = space_make(r, o->ns);

	if (!s) {
		return -1;
	}
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct kobj **v = realloc(s->want, cap * sizeof(struct kobj *));

		if (!v) {
			return -1;
		}
		s->want = v;
		s->cap = cap;
	}
	size_t i = want_at(s, o);
	memmove(&s->want[i + 1], &s->want[i], (s->n - i) * sizeof(struct kobj *));
	s->want[i] = o;
	s->n++;
	if (o->kind == KOBJ_NETNS) {
		s->type = o->sub;
	}
	return 0;
}

void want_remove(struct reconcile *r, const struct kobj *o)
{
	struct space *s = space_get(r, o->ns);

	for (size_t i = s ? want_at(s, o) : 0; s && i < s->n; i++) {
		if (s->want[i] == o) {
			memmove(&s->want[i], &s->want[i + 1],
			        (s->n - i - 1) * sizeof(struct kobj *));
			s->n--;
			return;
		}
	}
}
