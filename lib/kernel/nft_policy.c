/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nft_policy.h. Touches netlink batches and dumps only.
 */
#include "lib/kernel/nft_policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_cttimeout.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/mnl.h"
#include "lib/kernel/nft.h"
#include "lib/kernel/nft_expr.h"

/* nft's numbers of datatypes; see nft_rules.c. */
enum {
	DT_IPV4 = 7,
	DT_IPV6 = 8,
	DT_PROTO = 12,
	DT_SERVICE = 13,
};
#define DT_VERDICT NFT_DATA_VERDICT

static const struct {
	uint32_t key_type, key_len;
	bool map;
} psets[KOBJ_PSET_N] = {
	[KOBJ_PSET_ADDR4] = { DT_IPV4, 4, false },  [KOBJ_PSET_ADDR6] = { DT_IPV6, 16, false },
	[KOBJ_PMAP_ADDR4] = { DT_IPV4, 4, true },   [KOBJ_PMAP_ADDR6] = { DT_IPV6, 16, true },
	[KOBJ_PMAP_PORT] = { DT_SERVICE, 2, true }, [KOBJ_PMAP_PROTO] = { DT_PROTO, 1, true },
};

static uint32_t pset_flags(uint8_t sub)
{
	return NFT_SET_INTERVAL | (psets[sub].map ? NFT_SET_MAP : 0u);
}

/* Does it begin as names that plans give to that kind do? (kobj.c checks those) */
static bool ours(const char *name, const char *first)
{
	return name && name[0] && strchr(first, name[0]) && strlen(name) < KOBJ_NAME;
}

/* ---- steps to messages ---- */

static void put_names(struct nl_batch *b, uint16_t type, const char *name, uint16_t table_attr,
                      uint16_t name_attr, int forgive)
{
	struct nlmsghdr *h = nft_msg_begin(b, type, 0, NFPROTO_INET);

	if (h) {
		mnl_attr_put_strz(h, table_attr, NFT_TABLE);
		mnl_attr_put_strz(h, name_attr, name);
		nl_batch_end(b, forgive);
	}
}

static void counter(struct nl_batch *b, uint16_t type, const char *name)
{
	struct nlmsghdr *h =
		nft_msg_begin(b, type, type == NFT_MSG_NEWOBJ ? NLM_F_CREATE : 0, NFPROTO_INET);

	if (!h) {
		return;
	}
	mnl_attr_put_strz(h, NFTA_OBJ_TABLE, NFT_TABLE);
	mnl_attr_put_strz(h, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(h, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	if (type == NFT_MSG_NEWOBJ) {
		mnl_attr_nest_end(h, mnl_attr_nest_start(h, NFTA_OBJ_DATA));
	}
	nl_batch_end(b, type == NFT_MSG_DELOBJ ? ENOENT : 0);
}

/* linux/netfilter/nfnetlink_cttimeout.h: TCP's states, in seconds; others stay as they are. */
static void timeout(struct nl_batch *b, uint16_t type, const char *name)
{
	struct nlmsghdr *h =
		nft_msg_begin(b, type, type == NFT_MSG_NEWOBJ ? NLM_F_CREATE : 0, NFPROTO_INET);
	uint32_t seconds;
	uint8_t family;

	if (!h || !kobj_timeout_read(name, &seconds, &family)) {
		return;
	}
	mnl_attr_put_strz(h, NFTA_OBJ_TABLE, NFT_TABLE);
	mnl_attr_put_strz(h, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(h, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_CT_TIMEOUT));
	if (type == NFT_MSG_NEWOBJ) {
		struct nlattr *data = mnl_attr_nest_start(h, NFTA_OBJ_DATA), *policy;

		mnl_attr_put_u16(h, NFTA_CT_TIMEOUT_L3PROTO,
		                 htons(family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6));
		mnl_attr_put_u8(h, NFTA_CT_TIMEOUT_L4PROTO, IPPROTO_TCP);
		policy = mnl_attr_nest_start(h, NFTA_CT_TIMEOUT_DATA);
		mnl_attr_put_u32(h, CTA_TIMEOUT_TCP_ESTABLISHED, htonl(seconds));
		mnl_attr_nest_end(h, policy);
		mnl_attr_nest_end(h, data);
	}
	nl_batch_end(b, type == NFT_MSG_DELOBJ ? ENOENT : 0);
}

static void add_set(struct nl_batch *b, const struct kobj *o, uint32_t id)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *h = nft_msg_begin(b, NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET);

	if (!s || !h) {
		abort();
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, NFT_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, o->dev);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, psets[o->sub].key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, psets[o->sub].key_len);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, pset_flags(o->sub));
	if (psets[o->sub].map) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, DT_VERDICT);
	}
	nftnl_set_nlmsg_build_payload(h, s);
	nl_batch_end(b, 0);
	nftnl_set_free(s);
}

static void add_chain(struct nl_batch *b, const struct kobj *o)
{
	struct nlmsghdr *h = nft_msg_begin(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET);

	if (h) {
		mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, NFT_TABLE);
		mnl_attr_put_strz(h, NFTA_CHAIN_NAME, o->dev);
		nl_batch_end(b, 0);
	}
}

static void side(struct nftnl_rule *r, const struct kobj_filter *f, int i)
{
	if (f->side[i] == KOBJ_SIDE_ANY) {
		return;
	}
	(i ? nft_daddr : nft_saddr)(r, f->family, R(0));
	if (f->side[i] == KOBJ_SIDE_PREFIX) {
		nft_prefix(r, R(0), f->family, f->value[i], f->plen[i]);
	} else if (f->side[i] == KOBJ_SIDE_SET) {
		nft_lookup(r, (const char *)f->value[i], R(0));
	} else {
		nft_lookup_not(r, (const char *)f->value[i], R(0));
	}
}

static void matches(struct nftnl_rule *r, const struct kobj_filter *f)
{
	char name[KOBJ_NAME];

	if (f->family) {
		nft_family(r, f->family);
	}
	side(r, f, 0);
	side(r, f, 1);
	if (f->sport[1]) {
		uint16_t low = htons(f->sport[0]), high = htons(f->sport[1]);

		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(0));
		nft_cmp(r, NFT_CMP_GTE, R(0), &low, 2);
		nft_cmp(r, NFT_CMP_LTE, R(0), &high, 2);
	}
	kobj_counter_name(f->group, f->inbound, f->priority, name);
	nft_counter_named(r, name);
	if (f->op == KOBJ_FILTER_ALLOW) {
		nft_mark_or(r, f->inbound ? NFT_BIT_IN : NFT_BIT_OUT);
		nft_verdict(r, NFT_RETURN);
	} else {
		nft_jump(r, NFT_GOTO, f->inbound ? "deniedin" : "denied");
	}
}

/* Addresses of a NAT gateway share its flows; learn.microsoft.com, "Azure NAT Gateway resource". */
static void snat(struct nftnl_rule *r, const struct kobj_filter *f)
{
	uint16_t ports[2];

	if (f->sport[0] > 1) {
		nft_flow_part(r, f->family, f->sport[0], f->sport[1]);
	}
	nft_address(r, R(0), f->value[0], f->family == 4 ? 4 : 16);
	kobj_filter_ports(f, ports);
	if (!ports[1]) {
		nft_nat(r, NFT_NAT_SNAT, f->family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
		return;
	}
	for (uint32_t i = 0; i < 2; i++) {
		uint16_t port = htons(ports[i]);

		nft_address(r, R(4 + i), (const uint8_t *)&port, sizeof(port));
	}
	nft_snat_range(r, f->family, (uint32_t[]){ R(0), R(4), R(0), R(5) },
	               NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

static void idle(struct nftnl_rule *r, const struct kobj_filter *f)
{
	nft_family(r, f->family);
	nft_l4proto(r, IPPROTO_TCP);
	nft_timeout_named(r, f->target);
}

static void guard(struct nftnl_rule *r, const struct kobj_filter *f)
{
	if (f->family) {
		nft_family(r, f->family);
	}
	side(r, f, 0);
	nft_mark_or(r, NFT_BIT_GUARD);
}

/* Whatever becomes of a chain meanwhile, what nothing allowed does not pass. */
static void close_rule(struct nftnl_rule *r, const struct kobj_filter *f)
{
	nft_meta(r, NFT_META_MARK, R(0));
	nft_no_bit(r, R(0), f->inbound ? NFT_BIT_IN : NFT_BIT_OUT);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
}

static void dispatch(struct nftnl_rule *r, const struct kobj_filter *f)
{
	switch ((enum kobj_filter_op)f->op) {
	case KOBJ_FILTER_PROTO:
		nft_meta(r, NFT_META_L4PROTO, R(0));
		break;
	case KOBJ_FILTER_PORT:
		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(0));
		break;
	case KOBJ_FILTER_SADDR:
		nft_saddr(r, f->family, R(0));
		break;
	default:
		nft_daddr(r, f->family, R(0));
		break;
	}
	nft_lookup_map(r, f->target, R(0), NFT_REG_VERDICT);
}

static void add_rule(struct nl_batch *b, const struct kobj *o)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	struct nlmsghdr *h =
		nft_msg_begin(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, NFPROTO_INET);
	struct kobj_filter f;
	char comment[48];

	if (!r || !u || !h) {
		abort();
	}
	kobj_filter_unpack(o, &f);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, NFT_TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, o->dev);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (f.op == KOBJ_FILTER_ALLOW || f.op == KOBJ_FILTER_DENY) {
		matches(r, &f);
		snprintf(comment, sizeof(comment), "rule %u #%08x", f.priority, o->flags);
	} else if (f.op == KOBJ_FILTER_GOTO || f.op == KOBJ_FILTER_JUMP) {
		if (f.family) {
			nft_family(r, f.family);
		}
		nft_jump(r, f.op == KOBJ_FILTER_GOTO ? NFT_GOTO : NFT_JUMP, f.target);
		snprintf(comment, sizeof(comment), "#%08x", o->flags);
	} else if (f.op == KOBJ_FILTER_CLOSE) {
		close_rule(r, &f);
		snprintf(comment, sizeof(comment), "#%08x", o->flags);
	} else if (f.op >= KOBJ_FILTER_GUARD) {
		(f.op == KOBJ_FILTER_SNAT ? snat : f.op == KOBJ_FILTER_GUARD ? guard : idle)(r, &f);
		snprintf(comment, sizeof(comment), "#%08x", o->flags);
	} else {
		dispatch(r, &f);
		snprintf(comment, sizeof(comment), "#%08x", o->flags);
	}
	nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment);
	nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
	                    nftnl_udata_buf_len(u));
	nftnl_rule_nlmsg_build_payload(h, r);
	nl_batch_end(b, 0);
	nftnl_udata_buf_free(u);
	nftnl_rule_free(r);
}

/* Chains are emptied before any goes: they refer to each other. Rules go with their chain alone:
 * a chain never changes, another takes its place. */
void nft_policy_remove(struct nl_batch *b, const struct kop *ops, size_t n)
{
	static const uint8_t order[] = { KOBJ_FILTER, KOBJ_CHAIN, KOBJ_SET, KOBJ_COUNTER,
		                         KOBJ_TIMEOUT };

	for (size_t pass = 0; pass < ARRAY_N(order); pass++) {
		for (size_t i = 0; i < n; i++) {
			const struct kobj *o = ops[i].o;
			uint8_t kind = order[pass] == KOBJ_FILTER ? KOBJ_CHAIN : order[pass];

			if (ops[i].verb != KOP_DEL || o->kind != kind) {
				continue;
			}
			if (order[pass] == KOBJ_FILTER) {
				put_names(b, NFT_MSG_DELRULE, o->dev, NFTA_RULE_TABLE,
				          NFTA_RULE_CHAIN, ENOENT);
			} else if (kind == KOBJ_CHAIN) {
				put_names(b, NFT_MSG_DELCHAIN, o->dev, NFTA_CHAIN_TABLE,
				          NFTA_CHAIN_NAME, ENOENT);
			} else if (kind == KOBJ_SET) {
				put_names(b, NFT_MSG_DELSET, o->dev, NFTA_SET_TABLE, NFTA_SET_NAME,
				          ENOENT);
			} else {
				(kind == KOBJ_COUNTER ? counter : timeout)(b, NFT_MSG_DELOBJ,
				                                           o->dev);
			}
		}
	}
}

void nft_policy_add(struct nl_batch *b, const struct kop *ops, size_t n)
{
	static const uint8_t order[] = { KOBJ_SET, KOBJ_COUNTER, KOBJ_TIMEOUT, KOBJ_CHAIN,
		                         KOBJ_FILTER };
	uint32_t id = 1000; /* of a set within the transaction; the ruleset's own are below */

	for (size_t pass = 0; pass < ARRAY_N(order); pass++) {
		for (size_t i = 0; i < n; i++) {
			const struct kobj *o = ops[i].o;

			if (ops[i].verb == KOP_DEL || o->kind != order[pass]) {
				continue;
			}
			switch (o->kind) {
			case KOBJ_SET:
				add_set(b, o, id++);
				break;
			case KOBJ_COUNTER:
				counter(b, NFT_MSG_NEWOBJ, o->dev);
				break;
			case KOBJ_TIMEOUT:
				timeout(b, NFT_MSG_NEWOBJ, o->dev);
				break;
			case KOBJ_CHAIN:
				add_chain(b, o);
				break;
			default:
				add_rule(b, o);
				break;
			}
		}
	}
}

/* ---- items ---- */

static void put_key(struct nlmsghdr *h, const struct kobj *o, const uint8_t *at, uint32_t flags)
{
	struct nlattr *nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM), *in;

	if (flags) {
		mnl_attr_put_u32(h, NFTA_SET_ELEM_FLAGS, htonl(flags));
	}
	in = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
	mnl_attr_put(h, NFTA_DATA_VALUE, psets[o->sub].key_len, at);
	mnl_attr_nest_end(h, in);
	if (psets[o->sub].map && !flags) {
		nft_put_verdict(h, NFT_GOTO, o->peer);
	}
	mnl_attr_nest_end(h, nest);
}

/* What comes after `via`; false: nothing does. */
static bool after(const struct kobj *o, uint8_t to[16])
{
	memcpy(to, o->via, 16);
	for (int i = (int)psets[o->sub].key_len - 1; i >= 0; i--) {
		if (++to[i]) {
			return true;
		}
	}
	return false;
}

static size_t put_items(struct nl_batch *b, const struct kop *ops, size_t n, bool removals)
{
	const struct kobj *first = ops[0].o;
	struct nlmsghdr *h = nft_msg_begin(b, removals ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
	                                   removals ? 0 : NLM_F_CREATE, NFPROTO_INET);
	size_t used = 0;
	uint8_t end[16];

	if (!h) {
		return n;
	}
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, first->dev);
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	while (used < n && used < 200 && strcmp(ops[used].o->dev, first->dev) == 0) {
		const struct kobj *o = ops[used++].o;

		put_key(h, o, o->addr, 0);
		if (after(o, end)) {
			put_key(h, o, end, NFT_SET_ELEM_INTERVAL_END);
		}
	}
	mnl_attr_nest_end(h, list);
	nl_batch_end(b, 0);
	return used;
}

void nft_policy_items(struct nl_batch *b, const struct kop *ops, size_t n, bool removals)
{
	AUTO_FREE struct kop *run = calloc(n + 1, sizeof(*run));
	size_t m = 0;

	if (!run) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (ops[i].o->kind == KOBJ_ITEM && (ops[i].verb == KOP_DEL) == removals) {
			run[m++] = ops[i];
		}
	}
	for (size_t i = 0; i < m;) {
		i += put_items(b, run + i, m - i, removals);
	}
}

/* ---- dump ---- */

static void named(uint32_t ns, enum kobj_kind kind, uint8_t sub, const char *name, struct kset *to)
{
	struct kobj o = { .ns = ns, .kind = (uint8_t)kind, .sub = sub };

	snprintf(o.dev, sizeof(o.dev), "%.15s", name);
	kset_add(to, &o);
}

bool nft_policy_set(uint32_t ns, const char *name, uint32_t flags, uint32_t key_len,
                    struct kset *to)
{
	if (!ours(name, "Na")) {
		return false;
	}
	for (uint8_t sub = 1; sub < KOBJ_PSET_N; sub++) {
		if (psets[sub].key_len == key_len && pset_flags(sub) == flags) {
			named(ns, KOBJ_SET, sub, name, to);
			return true;
		}
	}
	return false;
}

bool nft_policy_chain(uint32_t ns, const char *name, struct kset *to)
{
	if (!ours(name, "NLI")) {
		return false;
	}
	named(ns, KOBJ_CHAIN, 0, name, to);
	return true;
}

bool nft_policy_rule(uint32_t ns, const char *chain, uint32_t position, const char *comment,
                     struct kset *to)
{
	const char *hash = strrchr(comment, '#');
	struct kobj_filter f = { .position = position };
	struct kobj o;

	if (!ours(chain, "NLI")) {
		return false;
	}
	kobj_filter_pack(&f, ns, chain, &o);
	o.flags = hash ? (uint32_t)strtoul(hash + 1, NULL, 16) : 0;
	kset_add(to, &o);
	return true;
}

struct items {
	uint32_t ns;
	const struct kobj *set;
	struct kset *to;
	struct kset edges; /* flags 1: an end */
	size_t mark;
};

static void items_reset(void *arg)
{
	struct items *w = arg;

	w->to->n = w->mark;
	w->edges.n = 0;
}

static void read_item(struct items *w, const struct nlattr *elem)
{
	uint8_t sub = w->set->sub;
	struct kobj o = { .ns = w->ns, .kind = KOBJ_ITEM, .sub = sub };
	const struct nlattr *a, *v;
	uint32_t flags = 0;

	memcpy(o.dev, w->set->dev, KOBJ_NAME);
	if (sub == KOBJ_PSET_ADDR4 || sub == KOBJ_PMAP_ADDR4) {
		o.family = 4;
	} else if (sub == KOBJ_PSET_ADDR6 || sub == KOBJ_PMAP_ADDR6) {
		o.family = 6;
	}
	mnl_attr_for_each_nested(a, elem)
	{
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_KEY) {
			mnl_attr_for_each_nested(v, a)
			{
				size_t len = mnl_attr_get_payload_len(v);
				memcpy(o.addr, mnl_attr_get_payload(v), len < 16 ? len : 16);
			}
		} else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_DATA) {
			snprintf(o.peer, sizeof(o.peer), "%.15s", nft_get_verdict(a));
		} else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_FLAGS) {
			flags = ntohl(mnl_attr_get_u32(a));
		}
	}
	o.flags = flags & NFT_SET_ELEM_INTERVAL_END ? 1 : 0;
	kset_add(&w->edges, &o);
}

static int on_items(const struct nlmsghdr *h, void *arg)
{
	struct items *w = arg;
	const struct nlattr *a, *elem;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS) {
			mnl_attr_for_each_nested(elem, a)
			{
				read_item(w, elem);
			}
		}
	}
	return w->to->failed || w->edges.failed ? -1 : 0;
}

static int by_edge(const void *pa, const void *pb)
{
	const struct kobj *a = pa, *b = pb;
	int c = memcmp(a->addr, b->addr, 16);

	return c ? c : (int)b->flags - (int)a->flags; /* an end before the next start */
}

/* The one before an end is the interval's last. */
static void before(const uint8_t end[16], uint32_t len, uint8_t to[16])
{
	memcpy(to, end, 16);
	for (int i = (int)len - 1; i >= 0; i--) {
		if (to[i]--) {
			return;
		}
	}
}

static void join(struct items *w)
{
	uint32_t len = psets[w->set->sub].key_len;

	if (w->edges.n > 1) {
		qsort(w->edges.v, w->edges.n, sizeof(*w->edges.v), by_edge);
	}
	for (size_t i = 0; i < w->edges.n; i++) {
		struct kobj o = w->edges.v[i];

		if (o.flags) {
			continue;
		}
		if (i + 1 < w->edges.n) {
			before(w->edges.v[i + 1].addr, len, o.via);
		} else {
			memset(o.via, 0xff, len);
		}
		kset_add(w->to, &o);
	}
	w->edges.n = 0;
}

static int dump_items(struct nl_sock *s, struct items *w, struct err *e)
{
	w->mark = w->to->n;
	if (nft_dump_elements(s, NFPROTO_INET, w->set->dev, on_items, items_reset, w, e) < 0) {
		return -1;
	}
	join(w);
	return 0;
}

struct counters {
	uint32_t ns;
	struct kset *to;
	size_t mark;
};

static void counters_reset(void *arg)
{
	struct counters *w = arg;

	w->to->n = w->mark;
}

static int on_counter(const struct nlmsghdr *h, void *arg)
{
	struct counters *w = arg;
	const struct nlattr *a;
	const char *table = "", *name = "";

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == NFTA_OBJ_TABLE) {
			table = mnl_attr_get_str(a);
		} else if (mnl_attr_get_type(a) == NFTA_OBJ_NAME) {
			name = mnl_attr_get_str(a);
		}
	}
	if (strcmp(table, NFT_TABLE) == 0 && (name[0] == 'c' || name[0] == 't')) {
		named(w->ns, name[0] == 'c' ? KOBJ_COUNTER : KOBJ_TIMEOUT, 0, name, w->to);
	}
	return w->to->failed ? -1 : 0;
}

int nft_policy_dump(struct nl_sock *s, uint32_t ns, size_t from, struct kset *to, struct err *e)
{
	struct nfgenmsg nf = { .nfgen_family = NFPROTO_INET };
	struct counters c = { ns, to, to->n };
	struct items w = { .ns = ns, .to = to };
	size_t n = to->n;
	int rc = nl_dump(s, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ, &nf, sizeof(nf), on_counter,
	                 counters_reset, &c, e);

	for (size_t i = from; rc == 0 && i < n; i++) {
		struct kobj set = to->v[i]; /* the list grows meanwhile */

		if (set.kind == KOBJ_SET) {
			w.set = &set;
			rc = dump_items(s, &w, e);
		}
	}
	kset_fini(&w.edges);
	return rc;
}
