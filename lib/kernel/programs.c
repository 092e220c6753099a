/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See programs.h.
 */
#include "lib/kernel/programs.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>

#include "lib/kernel/floating.h"
#include "lib/kernel/rate.h"
#include "lib/kernel/shortcut.h"
#include "lib/kernel/tap.h"

int programs_new(struct linux_kernel *k)
{
	k->floating = floating_new();
	k->rate = rate_new();
	return k->floating && k->rate ? 0 : -1;
}

void programs_free(struct linux_kernel *k)
{
	shortcut_free(k->shortcut);
	floating_free(k->floating);
	rate_free(k->rate);
}

int programs_apply(struct space *s, const struct kop *ops, size_t n, struct err *e)
{
	if (s->type == KOBJ_NETNS_GATEWAY && !s->k->refused) {
		return shortcut_bind(s->k->shortcut, &s->rt, ops, n, e);
	}
	if (s->type == KOBJ_NETNS_GROUP) {
		return tap_apply(s, ops, n, e);
	}
	if (s->type != KOBJ_NETNS_VNET) {
		return 0;
	}
	int rc = floating_apply(s->k->floating, &s->rt, ops, n, e);
	return rc < 0 ? rc : rate_apply(s->k->rate, &s->rt, ops, n, e);
}

int programs_dump(struct space *s, struct kset *to, struct err *e)
{
	if (s->type == KOBJ_NETNS_VNET) {
		floating_dump(s->k->floating, &s->rt, s->ns, to);
		return rate_dump(s->k->rate, &s->rt, s->ns, to, e);
	}
	if (s->type == KOBJ_NETNS_GROUP) {
		return tap_dump(s, to, e);
	}
	return s->type == KOBJ_NETNS_GATEWAY
	               ? shortcut_dump(s->k->shortcut, s->k->refused, &s->rt, to, e)
	               : 0;
}

void programs_forget(struct linux_kernel *k, uint32_t ns)
{
	floating_forget(k->floating, ns);
	rate_forget(k->rate, ns);
}

int programs_uplink(struct space *s, bool anew, const struct kop *ops, size_t n, struct err *e)
{
	struct shortcut *cut = s->k->shortcut;
	int rc = cut ? shortcut_pools(cut, anew, ops, n, e) : 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct kobj *o = ops[i].o;
		uint32_t index = o->kind == KOBJ_RULESET ? if_nametoindex(o->dev) : 0;

		if (index && (ops[i].verb == KOP_DEL || !cut)) {
			shortcut_uplink_off(&s->rt, index);
		} else if (index) {
			rc = shortcut_uplink(cut, &s->rt, index, e);
		}
	}
	return rc;
}

bool programs_uplink_is_on(struct space *s)
{
	return !s->k->shortcut || !s->ruleset.dev[0] ||
	       shortcut_uplink_is_on(s->k->shortcut, &s->rt, if_nametoindex(s->ruleset.dev));
}

int kernel_linux_programs(struct kernel *ops, struct err *e)
{
	static const struct kobj lo = {
		.kind = KOBJ_LINK, .sub = KOBJ_LINK_PEER, .index = 1, .flags = KOBJ_SHORTCUT
	};
	const struct kop bind = { KOP_SET, &lo };
	struct linux_kernel *k = (struct linux_kernel *)ops; /* ops is the first member */
	struct shortcut *s = shortcut_new(e);
	struct nl_sock rt = NL_SOCK_NONE;

	k->refused = true; /* until all went well */
	if (!s) {
		return -1;
	}
	if (unshare(CLONE_NEWNET) < 0) {
		shortcut_free(s);
		return err_set(e, ERR_SYSTEM, errno, "make a namespace");
	}
	int rc = nl_open(&rt, NETLINK_ROUTE, e);
	rc = rc < 0 ? rc : shortcut_bind(s, &rt, &bind, 1, e);
	nl_close(&rt);
	spaces_home(k);
	if (rc < 0) {
		shortcut_free(s);
		return rc;
	}
	k->shortcut = s;
	k->refused = false;
	return floating_load(k->floating, e);
}
