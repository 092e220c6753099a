/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What differs between a namespace and what is wanted of it. See reconcile_table.h.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/reconcile_table.h"

#define LEAVES_MS 10000 /* what the kernel has not taken down by then is taken down by repair */

int reconcile_drop_ns(struct reconcile *r, uint32_t ns, uint8_t type, struct err *e)
{
	int64_t now = r->clock->now_ms(r->clock);
	size_t n = 0;

	if (r->k->ns_del(r->k, ns, type, e) < 0) {
		return -1;
	}
	if (type != KOBJ_NETNS_GROUP && type != KOBJ_NETNS_GUEST) {
		return 0;
	}
	for (size_t i = 0; i < r->n_leaving; i++) {
		if (r->leaving[i].until_ms > now && r->leaving[i].ns != ns) {
			r->leaving[n++] = r->leaving[i];
		}
	}
	r->n_leaving = n;
	if (n == r->cap_leaving) {
		size_t cap = n ? n * 2 : 16;
		struct leaving *v = realloc(r->leaving, cap * sizeof(*v));

		if (!v) {
			return 0; /* then repair takes its link down */
		}
		r->leaving = v;
		r->cap_leaving = cap;
	}
	r->leaving[r->n_leaving++] = (struct leaving){ ns, now + LEAVES_MS };
	return 0;
}

/* A group's link in its VNet has the group's number, and goes along with the group's namespace, in the kernel's own time; out of a
 * runtime's, kernel_linux's reaper takes it. Both have one batch for many: by a repair, each costs the engine 17 ms. */
static bool leaves(struct reconcile *r, const struct kobj *link, int64_t now)
{
	if (link->kind != KOBJ_LINK || link->sub != KOBJ_LINK_VETH || space_get(r, link->index)) {
		return false;
	}
	for (size_t i = r->n_leaving; i-- > 0;) {
		if (r->leaving[i].ns == link->index) {
			return r->leaving[i].until_ms > now;
		}
	}
	return false;
}

static void leave_leaving(struct reconcile *r, struct kops *ops)
{
	int64_t now = r->clock->now_ms(r->clock);
	size_t n = 0;

	for (size_t i = 0; i < ops->n; i++) {
		if (ops->v[i].verb != KOP_DEL || !leaves(r, ops->v[i].o, now)) {
			ops->v[n++] = ops->v[i];
		}
	}
	ops->n = n;
}

/* Is this one of those that should be gone? */
static bool owed(struct space *s, const struct kobj *o)
{
	if (want_get(&s->want, o)) {
		return false; /* wanted again since */
	}
	for (size_t i = 0; i < s->owed.n; i++) {
		if (kobj_compare(&s->owed.v[i], o) == 0) {
			return true;
		}
	}
	return false;
}

/* Can the steps not be done one by one? Whole chains, sets and counters can come and go; in a chain that
 * stays, rules have an order, and what is not as it was is a stranger's work. */
static bool needs_anew(const struct kops *ops)
{
	for (size_t i = 0; i < ops->n; i++) {
		const struct kop *op = &ops->v[i];
		bool with = false; /* its chain comes, or goes, too */

		if (op->o->kind == KOBJ_RULESET ||
		    (op->verb == KOP_SET && op->o->kind > KOBJ_RULESET &&
		     op->o->kind < KOBJ_ELEM)) {
			return true;
		}
		for (size_t k = 0; op->o->kind == KOBJ_FILTER && k < ops->n && !with; k++) {
			with = ops->v[k].o->kind == KOBJ_CHAIN && ops->v[k].verb == op->verb &&
			       strcmp(ops->v[k].o->dev, op->o->dev) == 0;
		}
		if (op->o->kind == KOBJ_FILTER && !with) {
			return true;
		}
	}
	return false;
}

int reconcile_compare(struct reconcile *r, struct space *s, struct kset *have, struct kops *ops,
                      struct err *e)
{
	if (r->k->dump(r->k, s->ns, have, e) < 0) {
		/* A given one that is away: nothing of ours is there. */
		return e->kind == ERR_NOT_FOUND && kobj_ns_foreign(s->ns) ? 0 : -1;
	}
	/* The ruleset differs: it comes anew, with all that is in it. */
	size_t n, keep = 0;
	AUTO_FREE struct kobj **want = want_flat(&s->want, &n);
	struct kops probe = { 0 };

	if (!want) {
		return err_set(e, ERR_NO_MEMORY, 0, "steps: out of memory");
	}

	kobj_diff(want, n, have->v, have->n, true, &probe);
	bool anew = !space_tenants(s) && needs_anew(&probe);
	kops_fini(&probe);
	for (size_t i = 0; i < have->n; i++) {
		if (!anew || have->v[i].kind < KOBJ_RULESET) {
			have->v[keep++] = have->v[i];
		}
	}
	have->n = keep;
	kobj_diff(want, n, have->v, have->n, !space_tenants(s), ops);
	leave_leaving(r, ops);
	for (size_t i = 0; s->owed.n && i < have->n; i++) {
		if (owed(s, &have->v[i])) {
			kops_add(ops, KOP_DEL, &have->v[i]);
		}
	}
	kops_sort(ops);
	return ops->failed ? err_set(e, ERR_NO_MEMORY, 0, "steps: out of memory") : 0;
}

bool reconcile_awaits_link(const struct kops *ops)
{
	for (size_t i = 0; i < ops->n; i++) {
		const struct kobj *o = ops->v[i].o;

		if (ops->v[i].verb == KOP_ADD && o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_PEER) {
			return true;
		}
	}
	return false;
}
