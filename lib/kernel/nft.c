/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nft.h. Elements and dumps; the rules are in nft_rules.c.
 */
#include "lib/kernel/nft.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/mnl.h"
#include "lib/kernel/nft_policy.h"

#define PORT_KEY (NFT_K_DEV | NFT_K_MAC | NFT_K_ADDR)
#define IN_KEY   (NFT_K_ADDR | NFT_K_PREFIX | NFT_D_CHAIN)
#define OUT_KEY  (NFT_K_ADDR | NFT_K_PREFIX | NFT_D_ADDR | NFT_D_PORT | NFT_D_RANGE)
#define PUB_KEY  (NFT_K_ADDR | NFT_K_PORT | NFT_D_ADDR | NFT_D_PORT)
#define SVC_KEY  (NFT_K_ADDR | NFT_K_PORT)
#define BOTH(set, parts)                                                     \
	[KOBJ_SET_##set##4] = { NFPROTO_INET, KOBJ_RULESET_VNET, 4, parts }, \
	[KOBJ_SET_##set##6] = { NFPROTO_INET, KOBJ_RULESET_VNET, 6, parts }

const struct nft_set nft_sets[KOBJ_SET_N] = {
	[KOBJ_SET_PORT4] = { NFPROTO_BRIDGE, KOBJ_RULESET_VNET, 4, PORT_KEY },
	[KOBJ_SET_PORT6] = { NFPROTO_BRIDGE, KOBJ_RULESET_VNET, 6, PORT_KEY },
	[KOBJ_SET_FORWARD] = { NFPROTO_BRIDGE, KOBJ_RULESET_VNET, 0, NFT_K_DEV | NFT_K_MAC },
	BOTH(PUB, PUB_KEY),
	BOTH(TARGET, PUB_KEY),
	BOTH(FRONT, SVC_KEY | NFT_D_MARK),
	BOTH(INNER, SVC_KEY | NFT_D_MARK),
	BOTH(ANY, NFT_K_ADDR | NFT_D_MARK),
	BOTH(SLOT, PUB_KEY | NFT_K_MARK),
	BOTH(ANYSLOT, NFT_K_ADDR | NFT_K_MARK | NFT_D_ADDR),
	BOTH(FLOAT, SVC_KEY | NFT_D_MARK),
	BOTH(ANYFLOAT, NFT_K_ADDR | NFT_D_MARK),
	[KOBJ_SET_IDLE] = { NFPROTO_INET, KOBJ_RULESET_VNET, 0, NFT_K_MARK | NFT_D_CHAIN },
	BOTH(EMPTY, SVC_KEY),
	BOTH(RESET, SVC_KEY),
	BOTH(SELF, NFT_K_ADDR | NFT_K_TWICE),
	BOTH(OUTTCP, NFT_K_ADDR | NFT_D_ADDR | NFT_D_PORT | NFT_D_RANGE),
	BOTH(OUTUDP, NFT_K_ADDR | NFT_D_ADDR | NFT_D_PORT | NFT_D_RANGE),
	BOTH(OUTANY, NFT_K_ADDR | NFT_D_ADDR),
	BOTH(EGRESS, NFT_K_ADDR | NFT_D_ADDR),
	BOTH(SUBOUT, OUT_KEY),
	BOTH(NATOUT, IN_KEY),
	BOTH(NATSRC, NFT_K_ADDR | NFT_K_PREFIX),
	BOTH(NATPUB, NFT_K_ADDR),
	BOTH(OWN, NFT_K_ADDR),
	BOTH(CLOSED, NFT_K_ADDR | NFT_K_PREFIX),
	[KOBJ_SET_OUT] = { NFPROTO_INET, KOBJ_RULESET_VNET, 0, NFT_K_DEV | NFT_D_CHAIN },
	BOTH(IN, IN_KEY),
	[KOBJ_SET_FROM] = { NFPROTO_INET, KOBJ_RULESET_VNET, 0, NFT_K_DEV | NFT_D_CHAIN },
	BOTH(VTAG, NFT_K_ADDR | NFT_K_PREFIX),
	BOTH(REMOTE, NFT_K_ADDR),
	BOTH(HELD, NFT_K_ADDR | NFT_K_PREFIX),
	[KOBJ_SET_APART] = { NFPROTO_INET, KOBJ_RULESET_VNET, 0, NFT_K_FAMILY },
	BOTH(STRAIGHT, NFT_K_ADDR),
	BOTH(SPACE, NFT_K_ADDR | NFT_K_PREFIX),
	BOTH(SPREAD, SVC_KEY | NFT_D_MARK),
	BOTH(MUX, NFT_K_ADDR | NFT_D_MARK),
	BOTH(AWAY, SVC_KEY | NFT_K_MARK | NFT_D_MARK),
	BOTH(FORMER, SVC_KEY | NFT_K_MARK | NFT_D_MARK),
	BOTH(BLOCK, SVC_KEY | NFT_D_MARK),
	BOTH(HERE, NFT_K_ADDR | NFT_K_PREFIX),
	BOTH(DROPS, NFT_K_ADDR | NFT_COUNTED),
	[KOBJ_SET_SOURCE4] = { NFPROTO_INET, KOBJ_RULESET_GATEWAY, 4, NFT_K_DEV | NFT_K_ADDR },
	[KOBJ_SET_SOURCE6] = { NFPROTO_INET, KOBJ_RULESET_GATEWAY, 6, NFT_K_DEV | NFT_K_ADDR },
	[KOBJ_SET_POOL4] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 4, NFT_K_ADDR | NFT_K_PREFIX },
	[KOBJ_SET_POOL6] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 6, NFT_K_ADDR | NFT_K_PREFIX },
	[KOBJ_SET_MEMBER4] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 4, NFT_K_ADDR },
	[KOBJ_SET_MEMBER6] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 6, NFT_K_ADDR },
	[KOBJ_SET_LINKED4] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 4, NFT_K_ADDR },
	[KOBJ_SET_LINKED6] = { NFPROTO_NETDEV, KOBJ_RULESET_UPLINK, 6, NFT_K_ADDR },
};

const uint8_t nft_outside[4] = { 169, 254, 0, 1 };
const uint8_t nft_outside6[16] = { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 1 };

#define KEY_MAX 64

static size_t put(uint8_t *to, size_t n, const void *from, size_t len)
{
	size_t padded = (len + 3) & ~(size_t)3;

	memset(to + n, 0, padded);
	memcpy(to + n, from, len);
	return n + padded;
}

static size_t elem_key(const struct kobj *o, uint8_t to[KEY_MAX])
{
	const struct nft_set *d = &nft_sets[o->sub];
	uint16_t port = htons(o->port);
	size_t n = 0;

	if (d->parts & NFT_K_DEV) {
		n = put(to, n, o->dev, KOBJ_NAME);
	}
	if (d->parts & NFT_K_MAC) {
		n = put(to, n, o->kmac, 6);
	}
	if (d->parts & NFT_K_ADDR) {
		n = put(to, n, o->addr, d->ip == 4 ? 4 : 16);
	}
	if (d->parts & NFT_K_TWICE) {
		n = put(to, n, o->addr, d->ip == 4 ? 4 : 16);
	}
	if (d->parts & NFT_K_FAMILY) { /* alone, and as it is */
		to[0] = o->proto == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
		return 1;
	}
	if (d->parts & NFT_K_PORT) {
		n = put(to, n, &o->proto, 1);
		n = put(to, n, &port, 2);
	}
	if (d->parts & NFT_K_MARK) {
		n = put(to, n, &o->table, 4);
	}
	return n;
}

static size_t elem_data(const struct kobj *o, uint8_t to[KEY_MAX])
{
	const struct nft_set *d = &nft_sets[o->sub];
	uint16_t port = htons(o->via_port), last = htons((uint16_t)o->index);
	size_t n = 0;

	if (d->parts & NFT_D_ADDR) {
		n = put(to, n, o->via, d->ip == 4 ? 4 : 16);
	}
	if (d->parts & NFT_D_PORT) {
		n = put(to, n, &port, 2);
	}
	if (d->parts & NFT_D_RANGE) {
		n = put(to, n, o->via, d->ip == 4 ? 4 : 16);
		n = put(to, n, &last, 2);
	}
	if (d->parts & NFT_D_MARK) {
		n = put(to, n, &o->index, 4);
	}
	return n;
}

static void put_value(struct nlmsghdr *h, uint16_t attr, const uint8_t *data, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(h, attr);

	mnl_attr_put(h, NFTA_DATA_VALUE, len, data);
	mnl_attr_nest_end(h, nest);
}

void nft_put_verdict(struct nlmsghdr *h, int verdict, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(h, NFTA_SET_ELEM_DATA);
	struct nlattr *in = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);

	mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)verdict));
	mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(h, in);
	mnl_attr_nest_end(h, data);
}

const char *nft_get_verdict(const struct nlattr *data)
{
	const struct nlattr *a, *v;

	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_type(a) != NFTA_DATA_VERDICT) {
			continue;
		}
		mnl_attr_for_each_nested(v, a)
		{
			if (mnl_attr_get_type(v) == NFTA_VERDICT_CHAIN) {
				return mnl_attr_get_str(v);
			}
		}
	}
	return "";
}

static void put_elem(struct nlmsghdr *h, const struct kobj *o, bool with_data)
{
	uint8_t key[KEY_MAX], data[KEY_MAX];
	size_t len = elem_key(o, key), dlen = elem_data(o, data);
	struct nlattr *nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM);

	put_value(h, NFTA_SET_ELEM_KEY, key, len);
	if (dlen && with_data) {
		put_value(h, NFTA_SET_ELEM_DATA, data, dlen);
	}
	if (nft_sets[o->sub].parts & NFT_D_CHAIN) {
		nft_put_verdict(h, NFT_JUMP, o->peer);
	}
	mnl_attr_nest_end(h, nest);
	if (nft_sets[o->sub].parts & NFT_K_PREFIX) {
		struct ip_prefix p = { .ip = { .family = o->family }, .len = o->plen };
		memcpy(p.ip.b, o->addr, 16);
		struct ip end = ip_prefix_last(&p);

		if (ip_add(&end, 1)) {
			nest = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
			mnl_attr_put_u32(h, NFTA_SET_ELEM_FLAGS, htonl(NFT_SET_ELEM_INTERVAL_END));
			put_value(h, NFTA_SET_ELEM_KEY, end.b, len);
			mnl_attr_nest_end(h, nest);
		}
	}
}

void nft_elems_encode(struct nl_batch *b, enum kop_verb verb, const struct kobj *const *elems,
                      size_t n)
{
	/* An element takes at most some 200 bytes; a message and its nest at most 64 KiB. */
	static const size_t at_once = 200;

	for (size_t i = 0; i < n; i += at_once) {
		const struct kobj *first = elems[i];
		struct nlmsghdr *h = nft_msg_begin(
			b, verb == KOP_DEL ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
			verb == KOP_DEL ? 0 : NLM_F_CREATE, nft_sets[first->sub].family);

		if (!h) {
			return;
		}
		mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
		mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, kobj_set_name(first->sub));
		struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
		for (size_t k = i; k < n && k < i + at_once; k++) {
			put_elem(h, elems[k], verb != KOP_DEL);
		}
		mnl_attr_nest_end(h, list);
		nl_batch_end(b, 0);
	}
}

static void edge(struct nl_batch *b, uint16_t type)
{
	struct nfgenmsg *nf;

	if (nl_batch_begin(b, type, 0, sizeof(*nf), (void **)&nf)) {
		nf->nfgen_family = AF_UNSPEC;
		nf->version = NFNETLINK_V0;
		nf->res_id = htons(NFNL_SUBSYS_NFTABLES);
		nl_batch_end(b, 0);
	}
}

void nft_batch_begin(struct nl_batch *b)
{
	edge(b, NFNL_MSG_BATCH_BEGIN);
}

void nft_batch_end(struct nl_batch *b)
{
	edge(b, NFNL_MSG_BATCH_END);
}

static void put_families(struct nlmsghdr *h)
{
	static const uint8_t keys[] = { NFPROTO_IPV4, NFPROTO_IPV6 };
	struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);

	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		struct nlattr *one = mnl_attr_nest_start(h, NFTA_LIST_ELEM);

		put_value(h, NFTA_SET_ELEM_KEY, &keys[i], 1);
		mnl_attr_nest_end(h, one);
	}
	mnl_attr_nest_end(h, list);
}

/* The sets "tight" and "full" hold both families, or none. A removal without elements empties. */
void nft_tighten(struct nl_batch *b, unsigned level)
{
	static const char *const sets[] = { "tight", "full" };

	for (unsigned i = 0; i < 2; i++) {
		for (int add = 0; add <= (level > i ? 1 : 0); add++) {
			struct nlmsghdr *h =
				nft_msg_begin(b, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
			                      add ? NLM_F_CREATE : 0, NFPROTO_INET);

			if (!h) {
				return;
			}
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
			mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, sets[i]);
			if (add) {
				put_families(h);
			}
			nl_batch_end(b, 0);
		}
	}
}

/* ---- dump ---- */

struct walk {
	uint32_t ns;
	uint8_t ruleset;
	uint8_t set; /* the set being read */
	struct kset *to;
	struct kset edges; /* interval sets: starts (flags 0) and ends (flags 1) */
	size_t mark;
	uint64_t sum, sum_mark;
	bool found;
	char chain[64]; /* position of a rule in its chain */
	uint8_t family;
	unsigned position;
};

static void walk_reset(void *arg)
{
	struct walk *w = arg;

	w->to->n = w->mark;
	w->sum = w->sum_mark;
	w->edges.n = 0;
	w->chain[0] = '\0';
	w->position = 0;
}

static bool of_ruleset(const struct walk *w, uint8_t family, const char *table)
{
	static const bool has[][NFPROTO_NUMPROTO] = {
		[KOBJ_RULESET_VNET] = { [NFPROTO_BRIDGE] = true, [NFPROTO_INET] = true },
		[KOBJ_RULESET_GATEWAY] = { [NFPROTO_INET] = true, [NFPROTO_ARP] = true },
		[KOBJ_RULESET_UPLINK] = { [NFPROTO_NETDEV] = true },
	};

	return table && strcmp(table, NFT_TABLE) == 0 && family < NFPROTO_NUMPROTO &&
	       has[w->ruleset][family];
}

static uint8_t msg_family(const struct nlmsghdr *h)
{
	return ((const struct nfgenmsg *)mnl_nlmsg_get_payload(h))->nfgen_family;
}

static int on_chain(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	struct nftnl_chain *c = nftnl_chain_alloc();
	char text[128];

	if (!c) {
		return -1;
	}
	if (nftnl_chain_nlmsg_parse(h, c) == 0 &&
	    of_ruleset(w, msg_family(h), nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE))) {
		const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);
		const char *name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);

		w->found = true;
		if (!type && w->ruleset == KOBJ_RULESET_VNET &&
		    nft_policy_chain(w->ns, name, w->to)) {
			nftnl_chain_free(c);
			return 0;
		}
		snprintf(text, sizeof(text), "chain %u %s %s %u %d %u", msg_family(h), name,
		         type ? type : "-", nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM),
		         nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO),
		         nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY));
		w->sum += nft_sum_text(text);
	}
	nftnl_chain_free(c);
	return 0;
}

static int on_set(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	struct nftnl_set *s = nftnl_set_alloc();
	char text[128];

	if (!s) {
		return -1;
	}
	if (nftnl_set_nlmsg_parse(h, s) == 0 &&
	    of_ruleset(w, msg_family(h), nftnl_set_get_str(s, NFTNL_SET_TABLE)) &&
	    !nft_policy_set(w->ns, nftnl_set_get_str(s, NFTNL_SET_NAME),
	                    nftnl_set_get_u32(s, NFTNL_SET_FLAGS),
	                    nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN), w->to)) {
		snprintf(text, sizeof(text), "set %u %s %u %u", msg_family(h),
		         nftnl_set_get_str(s, NFTNL_SET_NAME),
		         nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN),
		         nftnl_set_get_u32(s, NFTNL_SET_FLAGS));
		w->sum += nft_sum_text(text);
		w->found = true;
	}
	nftnl_set_free(s);
	return 0;
}

static int comment_of(const struct nftnl_udata *u, void *arg)
{
	if (nftnl_udata_type(u) == NFTNL_UDATA_RULE_COMMENT) {
		*(const char **)arg = nftnl_udata_get(u);
	}
	return 0;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct nlattr *a, *by[NFTA_RULE_MAX + 1] = { NULL };
	const char *comment = "";
	char text[512];

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) <= NFTA_RULE_MAX) {
			by[mnl_attr_get_type(a)] = a;
		}
	}
	if (!by[NFTA_RULE_TABLE] || !by[NFTA_RULE_CHAIN] ||
	    !of_ruleset(w, msg_family(h), mnl_attr_get_str(by[NFTA_RULE_TABLE]))) {
		return 0;
	}
	const char *chain = mnl_attr_get_str(by[NFTA_RULE_CHAIN]);
	if (strcmp(chain, w->chain) != 0 || msg_family(h) != w->family) {
		snprintf(w->chain, sizeof(w->chain), "%s", chain);
		w->family = msg_family(h);
		w->position = 0;
	}
	if (by[NFTA_RULE_USERDATA]) {
		nftnl_udata_parse(mnl_attr_get_payload(by[NFTA_RULE_USERDATA]),
		                  mnl_attr_get_payload_len(by[NFTA_RULE_USERDATA]), comment_of,
		                  &comment);
	}
	w->found = true;
	if (nft_policy_rule(w->ns, chain, w->position, comment, w->to)) {
		w->position++;
		return 0;
	}
	snprintf(text, sizeof(text), "rule %u %s %u %s", w->family, chain, w->position++, comment);
	w->sum += nft_sum_text(text);
	return 0;
}

static bool take(const uint8_t *key, size_t len, size_t *at, void *to, size_t n)
{
	if (*at + ((n + 3) & ~(size_t)3) > len) {
		return false;
	}
	memcpy(to, key + *at, n);
	*at += (n + 3) & ~(size_t)3;
	return true;
}

static const struct nlattr *value_of(const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == NFTA_DATA_VALUE) {
			return a;
		}
	}
	return NULL;
}

static bool read_key(struct kobj *o, const struct nft_set *d, const struct nlattr *v)
{
	const uint8_t *key = mnl_attr_get_payload(v);
	size_t len = mnl_attr_get_payload_len(v), at = 0;
	uint8_t again[16] = { 0 }, family = 0;
	uint16_t port = 0;
	bool ok = true;

	if (d->parts & NFT_K_FAMILY) {
		ok = len >= 1;
		family = ok ? key[0] : 0;
		o->proto = family == NFPROTO_IPV4 ? 4 : 6;
	}
	if (d->parts & NFT_K_DEV) {
		ok = ok && take(key, len, &at, o->dev, KOBJ_NAME);
	}
	if (d->parts & NFT_K_MAC) {
		ok = ok && take(key, len, &at, o->kmac, 6);
	}
	if (d->parts & NFT_K_ADDR) {
		ok = ok && take(key, len, &at, o->addr, d->ip == 4 ? 4 : 16);
	}
	if (d->parts & NFT_K_TWICE) {
		ok = ok && take(key, len, &at, again, d->ip == 4 ? 4 : 16) &&
		     memcmp(again, o->addr, 16) == 0;
	}
	if (d->parts & NFT_K_PORT) {
		ok = ok && take(key, len, &at, &o->proto, 1) && take(key, len, &at, &port, 2);
		o->port = ntohs(port);
	}
	if (d->parts & NFT_K_MARK) {
		ok = ok && take(key, len, &at, &o->table, 4);
	}
	return ok;
}

static bool read_data(struct kobj *o, const struct nft_set *d, const struct nlattr *v)
{
	const uint8_t *data = mnl_attr_get_payload(v);
	size_t len = mnl_attr_get_payload_len(v), at = 0;
	uint16_t port = 0;
	bool ok = true;

	if (d->parts & NFT_D_ADDR) {
		ok = take(data, len, &at, o->via, d->ip == 4 ? 4 : 16);
	}
	if (d->parts & NFT_D_PORT) {
		ok = ok && take(data, len, &at, &port, 2);
		o->via_port = ntohs(port);
	}
	if (d->parts & NFT_D_RANGE) {
		uint8_t again[16] = { 0 };

		ok = ok && take(data, len, &at, again, d->ip == 4 ? 4 : 16) &&
		     memcmp(again, o->via, 16) == 0 && take(data, len, &at, &port, 2);
		o->index = ntohs(port);
	}
	if (d->parts & NFT_D_MARK) {
		ok = ok && take(data, len, &at, &o->index, 4);
	}
	return ok;
}

static int read_elem(struct walk *w, const struct nlattr *elem)
{
	const struct nft_set *d = &nft_sets[w->set];
	struct kobj o = { .ns = w->ns, .kind = KOBJ_ELEM, .family = d->ip, .sub = w->set };
	const struct nlattr *a, *v;
	uint32_t flags = 0;
	bool ok = false;

	mnl_attr_for_each_nested(a, elem)
	{
		switch (mnl_attr_get_type(a)) {
		case NFTA_SET_ELEM_KEY:
			v = value_of(a);
			ok = v && read_key(&o, d, v);
			break;
		case NFTA_SET_ELEM_DATA:
			v = value_of(a);
			if (d->parts & NFT_D_CHAIN) {
				snprintf(o.peer, sizeof(o.peer), "%.15s", nft_get_verdict(a));
			} else {
				ok = ok && v && read_data(&o, d, v);
			}
			break;
		case NFTA_SET_ELEM_FLAGS:
			flags = ntohl(mnl_attr_get_u32(a));
			break;
		default:
			break;
		}
	}
	if (!ok) {
		return 0;
	}
	if (d->parts & NFT_K_PREFIX) {
		o.flags = flags & NFT_SET_ELEM_INTERVAL_END ? 1 : 0;
		kset_add(&w->edges, &o);
		return w->edges.failed ? -1 : 0;
	}
	kset_add(w->to, &o);
	return w->to->failed ? -1 : 0;
}

static int on_elems(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct nlattr *a, *elem;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS) {
			continue;
		}
		mnl_attr_for_each_nested(elem, a)
		{
			if (read_elem(w, elem) < 0) {
				return -1;
			}
		}
	}
	return 0;
}

static int by_edge(const void *pa, const void *pb)
{
	const struct kobj *a = pa, *b = pb;
	int c = memcmp(a->addr, b->addr, 16);

	return c ? c : (int)b->flags - (int)a->flags; /* an end before the next start */
}

/* Pairs starts with ends; what is no prefix is left with length 0 and so differs from any plan. */
static void join_edges(struct walk *w)
{
	if (w->edges.n > 1) {
		qsort(w->edges.v, w->edges.n, sizeof(*w->edges.v), by_edge);
	}
	for (size_t i = 0; i < w->edges.n; i++) {
		struct kobj o = w->edges.v[i];
		struct ip first = { .family = o.family }, end = first;
		bool found = false;

		if (o.flags) {
			continue; /* the leading end at address zero, or one used already */
		}
		memcpy(first.b, o.addr, 16);
		if (i + 1 < w->edges.n && w->edges.v[i + 1].flags) {
			memcpy(end.b, w->edges.v[i + 1].addr, 16);
		}
		/* From the longest: a shorter one that begins lower may end there, too. */
		for (unsigned len = ip_bits(o.family) + 1; len-- > 0 && !found;) {
			struct ip_prefix p = { first, (uint8_t)len };
			struct ip last = ip_prefix_last(&p);
			bool more = ip_add(&last, 1);

			found = more ? ip_compare(&last, &end) == 0 : end.b[0] == 0;
			o.plen = found ? (uint8_t)len : 0;
		}
		o.flags = 0;
		kset_add(w->to, &o);
	}
	w->edges.n = 0;
}

int nft_dump_elements(struct nl_sock *s, uint8_t family, const char *set,
                      int (*fn)(const struct nlmsghdr *h, void *arg), void (*reset)(void *arg),
                      void *arg, struct err *e)
{
	struct {
		struct nfgenmsg nf;
		struct nlattr table;
		char table_name[8];
		struct nlattr set;
		char set_name[KOBJ_NAME];
	} q = { .nf = { .nfgen_family = family } };

	snprintf(q.table_name, sizeof(q.table_name), "%s", NFT_TABLE);
	snprintf(q.set_name, sizeof(q.set_name), "%s", set);
	q.table =
		(struct nlattr){ sizeof(q.table) + sizeof(q.table_name), NFTA_SET_ELEM_LIST_TABLE };
	q.set = (struct nlattr){ sizeof(q.set) + sizeof(q.set_name), NFTA_SET_ELEM_LIST_SET };
	if (nl_dump(s, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM, &q, sizeof(q), fn, reset,
	            arg, e) < 0) {
		return e->sys == ENOENT && !s->broken ? 0 : -1;
	}
	return 0;
}

static int dump_set(struct nl_sock *s, struct walk *w, struct err *e)
{
	w->mark = w->to->n;
	w->sum_mark = w->sum;
	if (nft_dump_elements(s, nft_sets[w->set].family, kobj_set_name(w->set), on_elems,
	                      walk_reset, w, e) < 0) {
		return -1;
	}
	join_edges(w);
	return 0;
}

int nft_dump(struct nl_sock *s, uint32_t ns, uint8_t ruleset, struct kset *to, struct err *e)
{
	static const struct {
		uint16_t type;
		int (*fn)(const struct nlmsghdr *h, void *arg);
	} asks[] = { { NFT_MSG_GETCHAIN, on_chain },
		     { NFT_MSG_GETSET, on_set },
		     { NFT_MSG_GETRULE, on_rule } };
	struct walk w = { .ns = ns, .ruleset = ruleset, .to = to };
	struct nfgenmsg nf = { .nfgen_family = NFPROTO_UNSPEC };
	size_t from = to->n;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_N(asks); i++) {
		w.mark = to->n;
		w.sum_mark = w.sum;
		rc = nl_dump(s, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | asks[i].type), &nf,
		             sizeof(nf), asks[i].fn, walk_reset, &w, e);
	}
	if (rc == 0 && w.found) {
		struct kobj o = { .ns = ns, .kind = KOBJ_RULESET, .sub = ruleset };

		o.flags = (uint32_t)w.sum;
		o.index = (uint32_t)(w.sum >> 32);
		kset_add(to, &o);
		for (unsigned i = 0; rc == 0 && i < KOBJ_SET_N; i++) {
			if (nft_sets[i].ruleset == ruleset) {
				w.set = (uint8_t)i;
				rc = dump_set(s, &w, e);
			}
		}
	}
	if (rc == 0 && w.found && ruleset == KOBJ_RULESET_VNET) {
		rc = nft_policy_dump(s, ns, from, to, e);
	}
	kset_fini(&w.edges);
	return to->failed ? err_set(e, ERR_NO_MEMORY, 0, "kernel dump: out of memory") : rc;
}
