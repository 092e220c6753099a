/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See reconcile_table.h. Memory only, but for the log of reconcile_trace().
 */
#include "netd/reconcile_table.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"

#define CALM_MS 10000 /* a namespace without repairs this long starts over */

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

void space_mark(struct reconcile *r, struct space *s)
{
	int64_t now = r->clock->now_ms(r->clock);

	if (s->dirty) {
		return;
	}
	if (now - s->last_ms > CALM_MS) {
		s->backoff_ms = 0;
	}
	s->dirty = true;
	s->due_ms = now + s->backoff_ms;
	if (s->backoff_ms > 0) {
		r->k->mute(r->k, s->ns, true); /* we know already; the noise may go on unheard */
	}
}

void space_again(struct reconcile *r, struct space *s)
{
	r->failing += !s->broken;
	s->broken = true;
	s->tries = s->failed < REFUSED_AFTER ? REFUSED_AFTER - s->failed : 1;
	space_mark(r, s);
	s->due_ms = r->clock->now_ms(r->clock);
}

void space_fini(struct space *s)
{
	want_fini(&s->want);
	kset_fini(&s->owed);
	free(s->why);
}

void space_tried(struct reconcile *r, struct space *s, const struct err *e, bool awaits)
{
	r->failing -= s->broken;
	r->failing += e != NULL;
	s->broken = e != NULL;
	s->tries -= s->tries > 0;
	s->tries = e ? s->tries : 0;
	s->failed = e ? s->failed + !awaits : 0;
	free(s->why);
	s->why = e ? strdup(e->msg) : NULL;
	if (!e) {
		kset_fini(&s->owed);
	}
}

bool reconcile_refused(const struct reconcile *r, size_t *i, uint32_t *ns, const char **why)
{
	while (r->failing > 0 && *i < r->n_spaces) {
		const struct space *s = &r->spaces[(*i)++];

		if (s->failed >= REFUSED_AFTER) {
			*ns = s->ns;
			*why = s->why ? s->why : "";
			return true;
		}
	}
	return false;
}

bool reconcile_trying(const struct reconcile *r)
{
	for (size_t i = 0; r->failing > 0 && r->synced && i < r->n_spaces; i++) {
		if (r->spaces[i].tries > 0) {
			return true;
		}
	}
	return false;
}

void space_drop(struct reconcile *r, struct space *s)
{
	r->failing -= s->broken;
	space_fini(s);
	memmove(s, s + 1, (size_t)(r->spaces + r->n_spaces - s - 1) * sizeof(*s));
	r->n_spaces--;
}

bool reconcile_wants(const struct reconcile *r, const struct kobj *o)
{
	size_t i = space_at(r, o->ns);
	struct space *s = i < r->n_spaces && r->spaces[i].ns == o->ns ? &r->spaces[i] : NULL;

	return s && want_get(&s->want, o);
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
		const struct kobj *x = s ? want_at(&s->want, want_from(&s->want, &o)) : NULL;

		if (x && x->kind == KOBJ_ELEM && x->family == family && x->sub == set) {
			return true;
		}
	}
	return false;
}

uint32_t reconcile_space(const struct reconcile *r, size_t i)
{
	return i < r->n_spaces ? r->spaces[i].ns : 0;
}

int space_want(struct reconcile *r, struct kobj *const *v, size_t n)
{
	struct space *s = NULL;

	for (size_t i = 0; i < n; i++) {
		s = s && s->ns == v[i]->ns ? s : space_make(r, v[i]->ns);
		if (!s || want_insert(&s->want, v[i]) < 0) {
			return -1;
		}
		if (v[i]->kind == KOBJ_NETNS) {
			s->type = v[i]->sub;
		}
	}
	return 0;
}

void space_unwant(struct reconcile *r, struct kobj *const *v, size_t n)
{
	struct space *s = NULL;

	for (size_t i = 0; i < n; i++) {
		s = s && s->ns == v[i]->ns ? s : space_get(r, v[i]->ns);
		if (s) {
			want_erase(&s->want, v[i]);
		}
	}
}

/* Steps for what is in the namespace's ruleset give way to one for each that is wanted there. */
static void refill(struct space *s, struct kops *ops)
{
	size_t n, keep = 0;
	AUTO_FREE struct kobj **want = want_flat(&s->want, &n);

	for (size_t i = 0; i < ops->n; i++) {
		if (ops->v[i].o->ns != s->ns || ops->v[i].o->kind <= KOBJ_RULESET) {
			ops->v[keep++] = ops->v[i];
		}
	}
	ops->n = keep;
	ops->failed = ops->failed || !want;
	for (size_t i = 0; want && i < n; i++) {
		if (want[i]->kind > KOBJ_RULESET) {
			kops_add(ops, KOP_ADD, want[i]);
		}
	}
}

void steps_refill(struct reconcile *r, struct kops *ops)
{
	uint32_t spaces
		[8]; /* an owner has rulesets in no more: the host's and the gateway's, or a VNet's */
	size_t n = 0;

	for (size_t i = 0; i < ops->n && n < ARRAY_N(spaces); i++) {
		if (ops->v[i].o->kind == KOBJ_RULESET && ops->v[i].verb != KOP_DEL) {
			spaces[n++] = ops->v[i].o->ns;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct space *s = space_get(r, spaces[i]);

		if (s) {
			refill(s, ops);
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

void reconcile_trace(const struct kops *ops)
{
	static const char *const verbs[] = { "remove", "add", "set", "bind" };

	if (!getenv("NETD_TRACE_REPAIR")) {
		return;
	}
	for (size_t i = 0; i < ops->n; i++) {
		AUTO_BUF struct buf text = { 0 };

		kobj_format(ops->v[i].o, &text);
		log_info("repair.step", LOG_STR("do", verbs[ops->v[i].verb]),
		         LOG_STR("object", buf_str(&text)));
	}
}
