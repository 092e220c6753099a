/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See rate.h. (nft's limit has a bucket of a second at least, and what only drops takes a TCP flow to a quarter of its rate:
 * docs/performance.md.)
 */
#include "lib/kernel/rate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/mnl.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/tc.h"

#define PREFERENCE       \
	(TC_PREFERENCE + \
	 1) /* behind floating IP's: what goes to the device comes back behind all filters */
#define DELAY_MS 50u /* of the rate, that may wait */
#define NS       1000000000ull
#define TICK_NS  64u /* PSCHED_SHIFT 6: tc's unit of time */

struct rate {
	struct kset set; /* in no order */
};

struct rate *rate_new(void)
{
	return calloc(1, sizeof(struct rate));
}

void rate_free(struct rate *r)
{
	if (r) {
		kset_fini(&r->set);
		free(r);
	}
}

/* Both ways of an object: bytes a second, bytes at once. */
struct way {
	uint32_t index; /* where the bucket is */
	uint64_t rate;
	uint32_t burst;
};

static void ways(const struct kobj *o, struct way to[2])
{
	uint32_t port = rtnl_device_index(o->dev);
	uint64_t rates[2];

	memcpy(rates, o->via, sizeof(rates));
	to[0] = (struct way){ port, rates[0], o->index };
	to[1] = (struct way){ RATE_BASE + port, rates[1], o->mtu };
}

/* ---- messages ---- */

static struct nlmsghdr *qdisc(struct nl_batch *b, uint16_t type, uint16_t flags, uint32_t index)
{
	struct tcmsg *t;
	struct nlmsghdr *h = nl_batch_begin(b, type, flags, sizeof(*t), (void **)&t);

	if (h) {
		t->tcm_family = AF_UNSPEC;
		t->tcm_ifindex = (int)index;
		t->tcm_parent = TC_H_ROOT;
	}
	return h;
}

static void put_bucket(struct nl_batch *b, const struct way *w)
{
	struct nlmsghdr *h = qdisc(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, w->index);
	uint64_t wait = w->rate * DELAY_MS / 1000 + w->burst;
	struct tc_tbf_qopt q = {
		.rate = { .linklayer = TC_LINKLAYER_ETHERNET,
		          .rate = w->rate < UINT32_MAX ? (uint32_t)w->rate : UINT32_MAX },
		.limit = wait < UINT32_MAX ? (uint32_t)wait : UINT32_MAX,
	};

	if (!h) {
		return;
	}
	mnl_attr_put_strz(h, TCA_KIND, "tbf");
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);
	mnl_attr_put(h, TCA_TBF_PARMS, sizeof(q), &q);
	mnl_attr_put_u32(h, TCA_TBF_BURST, w->burst);
	if (w->rate >= UINT32_MAX) {
		mnl_attr_put_u64(h, TCA_TBF_RATE64, w->rate);
	}
	mnl_attr_nest_end(h, options);
	nl_batch_end(b, 0);
}

static void drop_bucket(struct nl_batch *b, uint32_t index)
{
	if (qdisc(b, RTM_DELQDISC, 0, index)) {
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

/* The device by which a port's packets are delayed; already there is success. */
static void put_device(struct nl_batch *b, uint32_t port)
{
	char name[IFNAMSIZ];
	struct ifinfomsg *ifi;
	struct nlmsghdr *h = nl_batch_begin(b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*ifi),
	                                    (void **)&ifi);

	if (!h) {
		return;
	}
	ifi->ifi_index = (int)(RATE_BASE + port);
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	snprintf(name, sizeof(name), "i%u", port);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "ifb");
	mnl_attr_nest_end(h, info);
	nl_batch_end(b, EEXIST);
}

static void drop_device(struct nl_batch *b, uint32_t port)
{
	struct ifinfomsg *ifi;

	if (nl_batch_begin(b, RTM_DELLINK, 0, sizeof(*ifi), (void **)&ifi)) {
		ifi->ifi_index = (int)(RATE_BASE + port);
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

/* ---- setting ---- */

static struct kobj *find(struct rate *r, const struct kobj *o)
{
	for (size_t i = 0; i < r->set.n; i++) {
		if (kobj_compare(&r->set.v[i], o) == 0) {
			return &r->set.v[i];
		}
	}
	return NULL;
}

static int send_all(struct nl_sock *rt, struct nl_batch *b, const struct kobj *o, struct err *e)
{
	int rc = nl_batch_send(rt, b, NULL, NULL, e);

	nl_batch_fini(b);
	if (rc < 0 && e->sys == ENODEV) {
		return 0; /* its group is on its way: a dump will say that this is missing */
	}
	return rc < 0 ? err_wrap(e, "bandwidth limit at %s", o->dev) : 0;
}

/* Takes away what the group sends' way: in this order no packet is lost. */
static void drop_way_out(struct nl_batch *b, uint32_t port)
{
	tc_drop_filter(b, port, TC_IN, PREFERENCE);
	drop_device(b, port);
}

static int put(struct rate *r, struct nl_sock *rt, const struct kobj *o, struct err *e)
{
	uint32_t port = rtnl_device_index(o->dev);
	struct kobj *was = find(r, o);
	struct nl_batch b = { 0 };
	struct way w[2];

	ways(o, w);
	if (w[0].rate) {
		put_bucket(&b, &w[0]);
	} else {
		drop_bucket(&b, w[0].index);
	}
	tc_drop_filter(&b, port, TC_IN, PREFERENCE);
	if (w[1].rate) {
		put_device(&b, port);
		put_bucket(&b, &w[1]);
		tc_put_qdisc(&b, port, 0);
		tc_put_redirect(&b, port, RATE_BASE + port, PREFERENCE);
	} else {
		drop_device(&b, port);
	}
	if (send_all(rt, &b, o, e) < 0) {
		return -1;
	}
	if (was) {
		*was = *o;
	} else {
		kset_add(&r->set, o);
	}
	return r->set.failed ? err_set(e, ERR_NO_MEMORY, 0, "bandwidth limits: out of memory") : 0;
}

static int drop(struct rate *r, struct nl_sock *rt, const struct kobj *o, struct err *e)
{
	uint32_t port = rtnl_device_index(o->dev);
	struct kobj *was = find(r, o);
	struct nl_batch b = { 0 };

	if (was) {
		*was = r->set.v[--r->set.n];
	}
	drop_way_out(&b, port);
	drop_bucket(&b, port);
	int rc = send_all(rt, &b, o, e);
	tc_tidy(rt, port);
	return rc;
}

int rate_apply(struct rate *r, struct nl_sock *rt, const struct kop *ops, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (ops[i].o->kind == KOBJ_RATE) {
			rc = ops[i].verb == KOP_DEL ? drop(r, rt, ops[i].o, e)
			                            : put(r, rt, ops[i].o, e);
		}
	}
	return rc;
}

void rate_forget(struct rate *r, uint32_t ns)
{
	for (size_t i = 0; i < r->set.n;) {
		if (r->set.v[i].ns == ns) {
			r->set.v[i] = r->set.v[--r->set.n];
		} else {
			i++;
		}
	}
}

/* ---- what there is ---- */

struct bucket {
	uint32_t index;
	uint64_t rate;
	uint64_t buffer_ns;
	bool wanted;
};

struct found {
	struct bucket *v;
	size_t n, cap;
};

static void none_yet(void *arg)
{
	((struct found *)arg)->n = 0;
}

static void read_options(const struct nlattr *options, struct bucket *to)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, options)
	{
		if (mnl_attr_get_type(a) == TCA_TBF_PARMS &&
		    mnl_attr_get_payload_len(a) >= sizeof(struct tc_tbf_qopt)) {
			const struct tc_tbf_qopt *q = mnl_attr_get_payload(a);

			to->rate = to->rate ? to->rate : q->rate.rate;
			to->buffer_ns = (uint64_t)q->buffer * TICK_NS;
		} else if (mnl_attr_get_type(a) == TCA_TBF_RATE64) {
			to->rate = mnl_attr_get_u64(a);
		}
	}
}

static int on_qdisc(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	const struct nlattr *kind = tc_attr(h, TCA_KIND), *options = tc_attr(h, TCA_OPTIONS);
	struct found *f = arg;

	if (!kind || !options || strcmp(mnl_attr_get_str(kind), "tbf") != 0 ||
	    t->tcm_parent != TC_H_ROOT) {
		return 0;
	}
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 16;
		struct bucket *v = realloc(f->v, cap * sizeof(*v));

		if (!v) {
			return -1;
		}
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n] = (struct bucket){ .index = (uint32_t)t->tcm_ifindex };
	read_options(options, &f->v[f->n++]);
	return 0;
}

/* tc keeps bursts as time, rounded. */
static bool is_right(const struct bucket *b, const struct way *w)
{
	uint64_t want = w->burst * NS / w->rate, off = want / 50 + 2 * TICK_NS;

	return b->rate == w->rate && b->buffer_ns + off >= want && b->buffer_ns <= want + off;
}

static bool is_set(struct found *f, struct nl_sock *rt, const struct kobj *o)
{
	struct way w[2];
	bool ok = true;

	ways(o, w);
	for (int i = 0; i < 2; i++) {
		bool found = false;

		for (size_t k = 0; k < f->n; k++) {
			if (f->v[k].index == w[i].index && w[i].rate) {
				f->v[k].wanted = true;
				found = is_right(&f->v[k], &w[i]);
			}
		}
		ok = ok && found == (w[i].rate != 0);
	}
	return ok && (!w[1].rate || tc_is_led(rt, w[0].index, PREFERENCE));
}

int rate_dump(struct rate *r, struct nl_sock *rt, uint32_t ns, struct kset *to, struct err *e)
{
	struct found f = { 0 };
	struct tcmsg t = { 0 };
	struct err none = ERR_INIT;
	int rc = nl_dump(rt, RTM_GETQDISC, &t, sizeof(t), on_qdisc, none_yet, &f, &none);

	if (rc < 0 && none.kind == ERR_NO_MEMORY) {
		*e = none;
		free(f.v);
		return -1;
	}
	for (size_t i = 0; i < r->set.n;) {
		struct kobj *o = &r->set.v[i];

		if (o->ns != ns) {
			i++;
		} else if (is_set(&f, rt, o)) {
			kset_add(to, o);
			i++;
		} else {
			*o = r->set.v[--r->set.n];
		}
	}
	for (size_t i = 0; i < f.n; i++) { /* of an engine of before: set anew, or taken away */
		uint32_t port = rate_port(f.v[i].index);
		struct kobj o = { .ns = ns, .kind = KOBJ_RATE };
		bool told = f.v[i].wanted;

		snprintf(o.dev, sizeof(o.dev), "p%u", port);
		for (size_t k = 0; k < to->n; k++) {
			told = told || kobj_compare(&to->v[k], &o) == 0;
		}
		if (!told) {
			kset_add(to, &o);
		}
	}
	free(f.v);
	return to->failed ? err_set(e, ERR_NO_MEMORY, 0, "bandwidth limits: out of memory") : 0;
}
