/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Namespaces of runtimes in reconcile: what happens when one is gone, and whether all of an owner is there. See
 * reconcile.h and reconcile_table.h.
 */
#include "lib/base/own.h"
#include "netd/reconcile_table.h"

void reconcile_on_gone(struct reconcile *r, void (*fn)(void *arg, uint32_t ns), void *arg)
{
	r->on_gone = fn;
	r->gone_arg = arg;
}

/* A link to a runtime's namespace is missing. When that cannot be found again, it is gone: then all that its owner wanted
 * goes. */
static bool let_go(struct reconcile *r, uint32_t ns)
{
	const struct space *s = space_get(r, ns);
	struct err ignored = ERR_INIT;

	if (!s || s->type != KOBJ_NETNS_GUEST || r->k->ns_there(r->k, ns)) {
		return false;
	}
	(void)!reconcile_del(r, ns, &ignored);
	if (r->on_gone) {
		r->on_gone(r->gone_arg, ns);
	}
	return true;
}

bool reconcile_let_go(struct reconcile *r, const struct kops *ops)
{
	uint32_t gone[64];
	size_t n = 0;

	for (size_t i = 0; i < ops->n && n < ARRAY_N(gone); i++) {
		const struct kobj *o = ops->v[i].o;

		const struct space *s = ops->v[i].verb == KOP_ADD && o->kind == KOBJ_LINK &&
		                                        o->sub == KOBJ_LINK_VETH
		                                ? space_get(r, o->peer_ns)
		                                : NULL;

		if (s && s->type == KOBJ_NETNS_GUEST && !r->k->ns_there(r->k, s->ns)) {
			gone[n++] = o->peer_ns; /* the objects go with their owners */
		}
	}
	bool any = false;
	for (size_t i = 0; i < n; i++) {
		any = let_go(r, gone[i]) || any;
	}
	return any;
}

int reconcile_check(struct reconcile *r, uint64_t owner, struct err *e)
{
	const struct owner *o = owner_get(r, owner);
	struct kset have = { 0 };
	uint32_t ns = UINT32_MAX;
	int rc = 0;

	if (!o || !r->synced || r->listing) {
		return err_set(e, o ? ERR_BUSY : ERR_NOT_FOUND, 0, "owner %llu is not there",
		               (unsigned long long)owner);
	}
	for (size_t i = 0, j = 0; rc == 0 && i < o->n; i++) { /* sorted: namespace by namespace */
		const struct kobj *want = o->v[i];
		AUTO_BUF struct buf text = { 0 };

		if (want->ns != ns) {
			ns = want->ns;
			j = 0;
			kset_fini(&have);
			if (r->k->dump(r->k, ns, &have, e) < 0) {
				kset_fini(&have);
				return -1;
			}
		}
		while (j < have.n && kobj_compare(&have.v[j], want) < 0) {
			j++;
		}
		bool there = j < have.n && kobj_compare(&have.v[j], want) == 0;
		if (want->kind != KOBJ_NETNS && (!there || !kobj_same(want, &have.v[j]))) {
			kobj_format(want, &text);
			rc = err_set(e, ERR_NOT_FOUND, 0, "%s: %s", there ? "changed" : "missing",
			             buf_str(&text));
		}
	}
	kset_fini(&have);
	struct space *s = rc < 0 ? space_get(r, ns) : NULL;
	if (s && s->type != KOBJ_NETNS_GUEST) {
		space_mark(r, s);
	}
	return rc;
}
