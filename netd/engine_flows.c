/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See engine_flows.h.
 */
#include "netd/engine_flows.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/drain.h"

/* ---- backends that leave ---- */

struct watched {
	struct ip to, front; /* front: family 0, any */
	uint8_t proto;
	uint16_t port;
	uint32_t live;
};

struct draining {
	uint8_t mode;
	struct watched *v;
	size_t n;
	struct kflow *end; /* to be ended */
	size_t n_end, cap_end;
};

/* What goes to a backend that is out from its next packet on. TCP that a reset ended is remembered for ten seconds: a client that
 * was refused and uses its port again would be refused again (nf_conntrack_proto_tcp.c opens an entry anew only when
 * the reset came from the client). */
static bool is_forgotten(const struct kflow *f)
{
	return f->proto == IPPROTO_UDP ||
	       (f->proto == IPPROTO_TCP && f->state == TCP_CONNTRACK_CLOSE);
}

static int on_flow(void *arg, const struct kflow *f)
{
	struct draining *d = arg;
	bool ends = d->mode == DRAIN_CUT || (d->mode == DRAIN_FORGET && is_forgotten(f));

	if (!(f->status & IPS_DST_NAT)) {
		return 0;
	}
	for (size_t i = 0; i < d->n; i++) {
		struct watched *w = &d->v[i];

		if (ip_compare(&w->to, &f->to) != 0 ||
		    (w->front.family &&
		     (ip_compare(&w->front, &f->dst) != 0 ||
		      (w->port && (w->port != f->dport || w->proto != f->proto))))) {
			continue;
		}
		w->live += conntrack_lives(f);
		if (!ends) {
			return 0;
		}
		if (d->n_end == d->cap_end) {
			d->cap_end = d->cap_end ? d->cap_end * 2 : 64;
			d->end = realloc(d->end, d->cap_end * sizeof(*d->end));
			if (!d->end) {
				return -1;
			}
		}
		d->end[d->n_end++] = *f;
		return 0;
	}
	return 0;
}

static void get_ip(struct reader *r, struct ip *to)
{
	to->family = get_u8(r);
	for (int i = 0; i < 16; i++) {
		to->b[i] = get_u8(r);
	}
}

void engine_drain(struct kernel *k, struct channel *control, struct reader *r)
{
	static struct watched v[DRAINS_MAX];
	struct draining d = { .v = v };
	struct err e = ERR_INIT;
	struct buf b = { 0 };
	uint32_t ns = get_u32(r);

	uint32_t mode = get_u32(r);

	d.mode = mode & DRAIN_MODE;
	while (r->left && !r->failed && d.n < DRAINS_MAX) {
		struct watched *w = &v[d.n++];

		*w = (struct watched){ 0 };
		get_ip(r, &w->to);
		get_ip(r, &w->front);
		w->proto = get_u8(r);
		w->port = get_u16(r);
	}
	if (!reader_done(r) || d.mode > DRAIN_FORGET) {
		r->failed = true;
		return;
	}
	int rc = k->flows(k, ns, on_flow, &d, &e);
	if (rc == 0 && d.n_end > 0) {
		rc = (d.mode == DRAIN_CUT ? k->flows_cut : k->flows_del)(k, ns, d.end, d.n_end, &e);
	}
	if (rc < 0 && e.kind != ERR_NOT_FOUND) {
		log_warn("engine.drain", LOG_STR("error", e.msg));
	}
	put_u32(&b, ns);
	put_u32(&b, mode);
	put_u8(&b, rc == 0 || e.kind == ERR_NOT_FOUND);
	for (size_t i = 0; i < d.n; i++) {
		put_u32(&b, v[i].live);
	}
	channel_send(control, MSG_DRAINED, &b, -1);
	buf_fini(&b);
	free(d.end);
}

/* ---- idle flows ---- */

static struct {
	struct kernel *kernel;
	struct reconcile *state;
	uint64_t resets;
} self;

static void on_end(void *arg, uint32_t ns, const struct kflow *f)
{
	struct kobj o = { .ns = ns,
		          .kind = KOBJ_ELEM,
		          .sub = f->dst.family == 6 ? KOBJ_SET_RESET6 : KOBJ_SET_RESET4,
		          .family = f->dst.family,
		          .proto = IPPROTO_TCP,
		          .port = f->dport };
	struct err e = ERR_INIT;

	(void)arg;
	memcpy(o.addr, f->dst.b, 16);
	if (f->proto != IPPROTO_TCP || f->state != TCP_CONNTRACK_ESTABLISHED ||
	    !reconcile_wants(self.state, &o)) {
		return;
	}
	self.resets++;
	if (self.kernel->flows_cut(self.kernel, ns, f, 1, &e) < 0) {
		log_warn("engine.reset", LOG_STR("error", e.msg));
	}
}

static void listen_in(uint32_t ns)
{
	bool wants = reconcile_wants_any(self.state, ns, KOBJ_SET_RESET4) ||
	             reconcile_wants_any(self.state, ns, KOBJ_SET_RESET6);
	struct err e = ERR_INIT;

	if (ns >= KOBJ_NS_FIRST && ns < KOBJ_NS_GIVEN) {
		(void)!self.kernel->flows_watch(self.kernel, ns, wants ? on_end : NULL, NULL, &e);
	}
}

void engine_flow_ends(struct kernel *k, struct reconcile *state)
{
	uint32_t ns;

	self.kernel = k;
	self.state = state;
	for (size_t i = 0; (ns = reconcile_space(state, i)) || i == 0; i++) {
		listen_in(ns);
	}
}

void engine_flow_ends_now(struct kernel *k, struct reconcile *state, const struct kset *puts)
{
	uint32_t last = 0;

	self.kernel = k;
	self.state = state;
	for (size_t i = 0; i < puts->n; i++) {
		const struct kobj *o = &puts->v[i];

		if (o->kind == KOBJ_ELEM && o->ns != last &&
		    (o->sub == KOBJ_SET_RESET4 || o->sub == KOBJ_SET_RESET6)) {
			last = o->ns;
			listen_in(last);
		}
	}
}

uint64_t engine_resets(void)
{
	return self.resets;
}
