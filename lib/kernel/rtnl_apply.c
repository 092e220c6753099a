/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See rtnl.h: steps to links and what is on them, executed in a namespace.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/guest.h"
#include "lib/kernel/programs.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/spaces.h"

struct run {
	struct linux_kernel *k;
	struct space *s;
	const struct kop *ops;
	struct nl_batch b;
	size_t *step, messages; /* message number → step */
	int *fds;
	size_t n_fds;
};

static void describe(void *arg, size_t i, struct buf *to)
{
	static const char *const verbs[] = { "remove", "add", "set", "bind" };
	const struct run *r = arg;

	buf_addf(to, "%s ", verbs[r->ops[r->step[i]].verb]);
	kobj_format(r->ops[r->step[i]].o, to);
}

static int send_batch(struct run *r, struct nl_sock *to, struct err *e)
{
	int rc = nl_batch_send(to, &r->b, describe, r, e);

	nl_batch_fini(&r->b);
	r->b = (struct nl_batch){ 0 };
	r->messages = 0;
	return rc;
}

static void encode(struct run *r, size_t i, const struct rtnl_peer *peer)
{
	for (int m = rtnl_encode(&r->b, &r->ops[i], peer); m > 0; m--) {
		r->step[r->messages++] = i;
	}
}

/* The namespace's descriptor, open until all is sent; -1 with *e set. */
static int open_space(struct run *r, const struct space *s, struct err *e)
{
	int fd = s->guest ? guest_open(s, e) : spaces_open(s->k, s->ns, s->type, e);

	if (fd >= 0) {
		r->fds[r->n_fds++] = fd;
	}
	return fd;
}

/* A VXLAN device sends from the namespace that it is asked for in (vxlan_newlink(): src_net): the host's, while it lives in the
 * VNet's. Three sends, since order counts: what comes before it, itself, and what makes it come up. */
static int add_vxlan(struct run *r, size_t i, struct err *e)
{
	struct space *host = spaces_need(r->k, KOBJ_NS_HOST, e);
	struct kop up = { KOP_SET, r->ops[i].o };

	if (!host || spaces_ready(host, false, e) < 0 || send_batch(r, &r->s->rt, e) < 0) {
		return -1;
	}
	struct rtnl_peer peer = { open_space(r, r->s, e), NULL };
	if (peer.fd < 0) {
		return -1;
	}
	encode(r, i, &peer);
	if (send_batch(r, &host->rt, e) < 0) {
		return -1;
	}
	for (int m = rtnl_encode(&r->b, &up, &peer); m > 0; m--) {
		r->step[r->messages++] = i;
	}
	return 0;
}

static int add_step(struct run *r, size_t i, struct err *e)
{
	const struct kobj *o = r->ops[i].o;
	struct rtnl_peer peer = { -1, NULL };
	bool adds = o->kind == KOBJ_LINK && r->ops[i].verb == KOP_ADD;

	if (adds && o->sub == KOBJ_LINK_VXLAN) {
		return add_vxlan(r, i, e);
	}
	if (adds && o->sub == KOBJ_LINK_VETH) {
		const struct space *other = spaces_need(r->k, o->peer_ns, e);

		peer.fd = other ? open_space(r, other, e) : -1;
		if (peer.fd < 0) {
			return -1;
		}
		peer.name = other->guest ? other->guest->is.dev : NULL;
	}
	encode(r, i, &peer);
	return 0;
}

int rtnl_apply(struct linux_kernel *k, struct space *s, const struct kop *ops, size_t n,
               struct err *e)
{
	AUTO_FREE size_t *step = calloc(n * 2 + 1, sizeof(*step));
	AUTO_FREE int *fds = calloc(n + 1, sizeof(*fds));
	struct run r = { .k = k, .s = s, .ops = ops, .step = step, .fds = fds };
	int rc = step && fds ? 0 : err_set(e, ERR_NO_MEMORY, 0, "apply: out of memory");

	for (size_t i = 0; rc == 0 && i < n && ops[i].o->kind < KOBJ_RULESET; i++) {
		rc = add_step(&r, i, e);
	}
	if (rc == 0) {
		rc = send_batch(&r, &s->rt, e);
	}
	while (r.n_fds > 0) {
		close(fds[--r.n_fds]);
	}
	nl_batch_fini(&r.b);
	return rc < 0 ? rc : programs_apply(s, ops, n, e);
}
