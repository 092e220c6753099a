/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The rulesets of gateway and host uplink, and what all are built with. Their text, as `nft list
 * ruleset` prints it, is in docs/architecture.md. Each rule's comment carries what it is for and
 * a hash of its expressions; a dump that shows other comments, chains or sets is not ours any
 * more, and the ruleset is replaced whole, in one transaction with its elements.
 */
#include "lib/kernel/nft_rules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t nft_sum_text(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++) {
		h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	}
	return h;
}

struct nlmsghdr *nft_msg_begin(struct nl_batch *b, uint16_t type, uint16_t flags, uint8_t family)
{
	struct nfgenmsg *nf;
	struct nlmsghdr *h = nl_batch_begin(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
	                                    sizeof(*nf), (void **)&nf);

	if (h) {
		nf->nfgen_family = family;
		nf->version = NFNETLINK_V0;
	}
	return h;
}

void nft_rules_table(struct build *w, uint8_t family)
{
	static const uint16_t steps[] = { NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWTABLE };

	w->family = family;
	for (size_t i = 0; w->b && w->part != NFT_PART_DECIDES && i < 3; i++) {
		struct nlmsghdr *h = nft_msg_begin(w->b, steps[i], NLM_F_CREATE, family);

		if (h) {
			mnl_attr_put_strz(h, NFTA_TABLE_NAME, NFT_TABLE);
			nl_batch_end(w->b, 0);
		}
	}
}

/* nft's datatype numbers, six bits each in a concatenation. */
enum {
	DT_NFPROTO = 2,
	DT_IPV4 = 7,
	DT_IPV6 = 8,
	DT_ETHER = 9,
	DT_PROTO = 12,
	DT_SERVICE = 13,
	DT_MARK = 19,
	DT_IFNAME = 41
};

static void part(uint32_t *type, uint32_t *len, uint32_t dt, uint32_t bytes)
{
	*type = *type << 6 | dt;
	*len += (bytes + 3) & ~3u;
}

/* nft prints keys and data that are a device or a mark alone by this, and intervals. */
static void hints(struct nftnl_set *s, bool key, bool data, bool interval)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u) {
		abort();
	}
	if (key) {
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, 1);
	}
	if (data) {
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATABYTEORDER, 1);
	}
	if (interval) {
		nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATA_INTERVAL, 1);
	}
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

/* Type and length of a set's key. */
static void key_of(const struct nft_set *d, uint32_t *type, uint32_t *len)
{
	uint32_t ip = d->ip == 4 ? DT_IPV4 : DT_IPV6, ip_len = d->ip == 4 ? 4 : 16;

	if (d->parts & NFT_K_DEV) {
		part(type, len, DT_IFNAME, IFNAMSIZ);
	}
	if (d->parts & NFT_K_MAC) {
		part(type, len, DT_ETHER, 6);
	}
	if (d->parts & NFT_K_ADDR) {
		part(type, len, ip, ip_len);
	}
	if (d->parts & NFT_K_TWICE) {
		part(type, len, ip, ip_len);
	}
	if (d->parts & NFT_K_PORT) {
		part(type, len, DT_PROTO, 1);
		part(type, len, DT_SERVICE, 2);
	}
	if (d->parts & NFT_K_MARK) {
		part(type, len, DT_MARK, 4);
	}
	if (d->parts & NFT_K_FAMILY) { /* one byte: the kernel looks it up in a bitmap */
		*type = DT_NFPROTO;
		*len = 1;
	}
}

void nft_rules_set(struct build *w, enum kobj_set id)
{
	const struct nft_set *d = &nft_sets[id];
	uint32_t kt = 0, kl = 0, dt = 0, dl = 0, ip = d->ip == 4 ? DT_IPV4 : DT_IPV6;
	uint32_t ip_len = d->ip == 4 ? 4 : 16;
	uint32_t flags = d->parts & NFT_K_PREFIX ? NFT_SET_INTERVAL : 0;
	char text[128];

	key_of(d, &kt, &kl);
	if (d->parts & NFT_D_MARK) {
		flags |= NFT_SET_MAP;
		part(&dt, &dl, DT_MARK, 4);
	}
	if (d->parts & NFT_D_ADDR) {
		flags |= NFT_SET_MAP; /* with NFT_K_PREFIX too */
		part(&dt, &dl, ip, ip_len);
	}
	if (d->parts & NFT_D_PORT) {
		part(&dt, &dl, DT_SERVICE, 2);
	}
	if (d->parts & NFT_D_RANGE) {
		dl *= 2; /* the upper ends; the type is the same */
	}
	flags |= d->parts & NFT_D_CHAIN ? NFT_SET_MAP : 0;
	snprintf(text, sizeof(text), "set %u %s %u %u", w->family, kobj_set_name((uint8_t)id), kl,
	         flags);
	w->sum += nft_sum_text(text);
	if (!w->b || w->part == NFT_PART_DECIDES) {
		return;
	}
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *h = nft_msg_begin(w->b, NFT_MSG_NEWSET, NLM_F_CREATE, w->family);
	if (!s || !h) {
		abort();
	}
	nftnl_set_set_str(s, NFTNL_SET_TABLE, NFT_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, kobj_set_name((uint8_t)id));
	nftnl_set_set_u32(s, NFTNL_SET_ID, (uint32_t)id + 1);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, kt);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, kl);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	if (dl) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, dt);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, dl);
	} else if (d->parts & NFT_D_CHAIN) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
	}
	if (!(d->parts & NFT_K_ADDR) || d->parts & (NFT_D_MARK | NFT_D_RANGE)) {
		hints(s, !(d->parts & NFT_K_ADDR), d->parts & NFT_D_MARK, d->parts & NFT_D_RANGE);
	}
	if (d->parts & NFT_COUNTED) {
		struct nftnl_expr *x = nftnl_expr_alloc("counter");

		if (!x) {
			abort();
		}
		nftnl_set_add_expr(s, x);
	}
	nftnl_set_nlmsg_build_payload(h, s);
	nl_batch_end(w->b, 0);
	nftnl_set_free(s);
}

static void timed_set(struct build *w, const char *name, uint32_t type, uint32_t len,
                      uint32_t flags)
{
	static uint32_t id = 500; /* apart from the other sets' */
	char text[128];

	snprintf(text, sizeof(text), "set %u %s %u %u", w->family, name, len, flags);
	w->sum += nft_sum_text(text);
	if (!w->b || w->part == NFT_PART_DECIDES) {
		return;
	}
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *h = nft_msg_begin(w->b, NFT_MSG_NEWSET, NLM_F_CREATE, w->family);
	if (!s || !h) {
		abort();
	}
	id = id == 999 ? 500 : id + 1;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, NFT_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, len);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	if (flags & NFT_SET_EVAL) {
		nftnl_set_set_u64(s, NFTNL_SET_TIMEOUT, 60000);
	}
	nftnl_set_nlmsg_build_payload(h, s);
	nl_batch_end(w->b, 0);
	nftnl_set_free(s);
}

void nft_rules_dynamic(struct build *w, const char *name, uint8_t ip)
{
	if (ip) {
		timed_set(w, name, ip == 4 ? DT_IPV4 : DT_IPV6, ip == 4 ? 4 : 16,
		          NFT_SET_EVAL | NFT_SET_TIMEOUT);
	} else {
		timed_set(w, name, DT_NFPROTO, 1, 0);
	}
}

void nft_rules_cuts(struct build *w)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		uint32_t ip = family == 4 ? DT_IPV4 : DT_IPV6, type = 0, len = 0;

		for (int i = 0; i < 2; i++) {
			part(&type, &len, ip, family == 4 ? 4 : 16);
			part(&type, &len, DT_SERVICE, 2);
		}
		timed_set(w, family == 4 ? "cut4" : "cut6", type, len, NFT_SET_TIMEOUT);
	}
}

void nft_rules_chain(struct build *w, const struct hook *c)
{
	char text[128];

	w->chain = c->name;
	w->position = 0;
	snprintf(text, sizeof(text), "chain %u %s %s %u %d %u", w->family, c->name,
	         c->type ? c->type : "-", c->hook, c->priority, c->policy);
	w->sum += nft_sum_text(text);
	if (!w->b || w->part == NFT_PART_DECIDES) {
		return;
	}
	struct nftnl_chain *n = nftnl_chain_alloc();
	struct nlmsghdr *h = nft_msg_begin(w->b, NFT_MSG_NEWCHAIN, NLM_F_CREATE, w->family);
	if (!n || !h) {
		abort();
	}
	nftnl_chain_set_str(n, NFTNL_CHAIN_TABLE, NFT_TABLE);
	nftnl_chain_set_str(n, NFTNL_CHAIN_NAME, c->name);
	if (c->type) {
		nftnl_chain_set_str(n, NFTNL_CHAIN_TYPE, c->type);
		nftnl_chain_set_u32(n, NFTNL_CHAIN_HOOKNUM, c->hook);
		nftnl_chain_set_s32(n, NFTNL_CHAIN_PRIO, c->priority);
		nftnl_chain_set_u32(n, NFTNL_CHAIN_POLICY, c->policy);
	}
	if (c->device) {
		nftnl_chain_set_str(n, NFTNL_CHAIN_DEV, c->device);
	}
	nftnl_chain_nlmsg_build_payload(h, n);
	nl_batch_end(w->b, 0);
	nftnl_chain_free(n);
}

struct nftnl_rule *nft_rules_rule(struct build *w)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r) {
		abort();
	}
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, NFT_TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, w->chain);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, w->family);
	return r;
}

/* Hash of the rule's expressions as the kernel gets them. */
static uint32_t content_hash(const struct nftnl_rule *r)
{
	char room[4096] = { 0 }; /* padding between attributes counts too */
	struct nlmsghdr *h = mnl_nlmsg_put_header(room);
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	nftnl_rule_nlmsg_build_payload(h, (struct nftnl_rule *)(uintptr_t)r);
	for (const uint8_t *p = mnl_nlmsg_get_payload(h); p < (uint8_t *)room + h->nlmsg_len; p++) {
		sum = (sum ^ *p) * UINT64_C(0x100000001b3);
	}
	return (uint32_t)(sum ^ sum >> 32);
}

void nft_rules_end(struct build *w, struct nftnl_rule *r, const char *what)
{
	char comment[96], text[256];

	snprintf(comment, sizeof(comment), "%s #%08" PRIx32, what, content_hash(r));
	snprintf(text, sizeof(text), "rule %u %s %u %s", w->family, w->chain, w->position++,
	         comment);
	w->sum += nft_sum_text(text);
	bool decides = strcmp(w->chain, NFT_DECIDES) == 0;
	if (w->b && w->part != (decides ? NFT_PART_REST : NFT_PART_DECIDES)) {
		struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
		struct nlmsghdr *h = nft_msg_begin(w->b, NFT_MSG_NEWRULE,
		                                   NLM_F_CREATE | NLM_F_APPEND, w->family);

		if (!u || !h) {
			abort();
		}
		nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment);
		nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
		                    nftnl_udata_buf_len(u));
		nftnl_rule_nlmsg_build_payload(h, r);
		nl_batch_end(w->b, 0);
		nftnl_udata_buf_free(u);
	}
	nftnl_rule_free(r);
}

void nft_rules_iif(struct build *w, uint32_t dev, uint32_t mark, int verdict, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	if (dev) {
		nft_iif(r, NFT_CMP_EQ, dev);
	}
	if (mark) {
		nft_mark_or(r, mark);
	} else if (verdict == NF_DROP) {
		nft_counter(r);
	}
	if (verdict >= 0) {
		nft_verdict(r, verdict);
	}
	nft_rules_end(w, r, what);
}

void nft_rules_local(struct build *w, bool source, uint32_t except, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	if (except) {
		nft_iif(r, NFT_CMP_NEQ, except);
	}
	nft_local(r, source);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, what);
}

void nft_rules_outside(struct nftnl_rule *r, uint8_t family, bool source)
{
	nft_family(r, family);
	(source ? nft_saddr : nft_daddr)(r, family, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), family == 4 ? nft_outside : nft_outside6,
	        family == 4 ? 4 : 16);
}

/* ---- gateway ---- */

static void source_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_saddr(r, family, R(4));
	nft_lookup(r, family == 4 ? "source4" : "source6", R(0));
	nft_mark_or(r, BIT_GUARD | BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "public source of that VNet");
}

/* Answers of frontends to the probe role, which asks them from outside. Groups reach that address by nothing
 * that they begin: link-local ones are closed to them. */
static void answer_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_rules_outside(r, family, false);
	nft_l4proto(r, IPPROTO_TCP);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_saddr(r, family, R(4));
	nft_lookup(r, family == 4 ? "source4" : "source6", R(0));
	nft_mark_or(r, BIT_GUARD | BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "answer of a frontend that is probed");
}

static void nd_match(struct nftnl_rule *r, uint8_t low, uint8_t high)
{
	static const uint8_t icmp6 = IPPROTO_ICMPV6;

	nft_meta(r, NFT_META_L4PROTO, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &icmp6, 1);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, R(0));
	nft_cmp(r, NFT_CMP_GTE, R(0), &low, 1);
	nft_cmp(r, NFT_CMP_LTE, R(0), &high, 1);
}

/* What came from another node and would go back there has an address that no node has any more, or not yet. */
static void turn(struct build *w, uint32_t index)
{
	nft_rules_chain(w, &(struct hook){ "turn", "filter", NF_INET_FORWARD, 0, NF_ACCEPT, NULL });
	struct nftnl_rule *r = nft_rules_rule(w);
	nft_iif(r, NFT_CMP_EQ, index);
	nft_oif(r, NFT_CMP_EQ, index);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "no loop between nodes");
}

static void gateway(struct build *w)
{
	nft_rules_table(w, NFPROTO_INET);
	nft_rules_set(w, KOBJ_SET_SOURCE4);
	nft_rules_set(w, KOBJ_SET_SOURCE6);
	nft_rules_chain(
		w, &(struct hook){ "guard", "filter", NF_INET_PRE_ROUTING, -300, NF_DROP, NULL });
	nft_rules_iif(w, IF_LO, 0, NF_ACCEPT, "own traffic");
	/* Security rules do not judge what the gateway asks; the kernel's own check is of IPv4 alone. */
	nft_rules_local(w, true, IF_ANY, "the gateway's own source");
	struct nftnl_rule *r = nft_rules_rule(w);
	nft_iif(r, NFT_CMP_EQ, IF_OUT);
	nft_family(r, 6);
	nd_match(r, 135, 136);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "neighbour discovery");
	answer_rule(w, 4);
	answer_rule(w, 6);
	nft_rules_local(w, false, IF_OUT, "gateway is no host");
	source_rule(w, 4);
	source_rule(w, 6);
	nft_rules_iif(w, IF_OUT, BIT_GUARD | BIT_NSG, NF_ACCEPT, "from the uplink");
	if (w->o->index && w->o->flags & KOBJ_LEAF) {
		nft_rules_iif(w, w->o->index, BIT_GUARD | BIT_NSG, NF_ACCEPT,
		              "from a node that has an uplink");
		turn(w, w->o->index);
	} else if (
		w->o->index) { /* what it is not the source of, and has come in by another uplink, is for a VNet here */
		nft_rules_iif(w, w->o->index, BIT_GUARD | BIT_NSG, -1, "from another node");
		r = nft_rules_rule(w);
		nft_iif(r, NFT_CMP_EQ, w->o->index);
		nft_way(r, NFT_CMP_NEQ, IF_OUT);
		nft_way(r, NFT_CMP_NEQ, w->o->index);
		nft_verdict(r, NF_ACCEPT);
		nft_rules_end(w, r, "to a VNet here");
	}

	/* ARP asks the routing rules whether an address is to be answered for: it needs the mark too. */
	nft_rules_table(w, NFPROTO_ARP);
	nft_rules_chain(w,
	                &(struct hook){ "ask", "filter", 0 /* NF_ARP_IN */, 0, NF_ACCEPT, NULL });
	nft_rules_iif(w, IF_OUT, BIT_GUARD | BIT_NSG, NF_ACCEPT, "who has a public address");
}

/* ---- uplink: below the host's own forward hook ---- */

static void cross(struct build *w, uint16_t proto, enum kobj_set id, uint32_t base, uint32_t off,
                  uint32_t ifindex, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_protocol(r, proto);
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER) {
		nd_match(r, 135, 135);
	}
	nft_payload(r, base, off, nft_sets[id].ip == 4 ? 4 : 16, R(0));
	nft_lookup(r, kobj_set_name(id), R(0));
	nft_fwd(r, ifindex, 0, NULL);
	nft_rules_end(w, r, what);
}

static void leave(struct build *w, uint16_t proto, uint32_t ifindex, uint8_t family,
                  const uint8_t *hop, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_protocol(r, proto);
	if (proto == ETH_P_IPV6 && !hop) {
		nd_match(r, 135, 136);
	}
	nft_fwd(r, ifindex, family, hop);
	nft_rules_end(w, r, what);
}

/* Encapsulated packets are neither encrypted nor signed (RFC 7348, section 7): they come in from members alone, and by the
 * underlay's device. Later fragments have no port to see, and are nothing without the first. */
static void member_rule(struct build *w, bool six, bool gateways)
{
	static const uint8_t vni[3] = { 0, 0, KOBJ_NODES_VNI };
	enum kobj_set set4 = gateways ? KOBJ_SET_LINKED4 : KOBJ_SET_MEMBER4;
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_protocol(r, six ? ETH_P_IPV6 : ETH_P_IP);
	nft_l4proto(r, IPPROTO_UDP);
	nft_dport(r, KOBJ_VXLAN_PORT);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 12, sizeof(vni), R(0));
	nft_cmp(r, gateways ? NFT_CMP_EQ : NFT_CMP_NEQ, R(0), vni, sizeof(vni));
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, six ? 8 : 12, six ? 16 : 4, R(0));
	nft_lookup(r, kobj_set_name((enum kobj_set)(set4 + six)), R(0));
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, gateways ? "from a gateway of the plane" : "from a node of the plane");
}

static void underlay(struct build *w, const char *dev)
{
	static const uint16_t port = KOBJ_VXLAN_PORT;
	struct nftnl_rule *r;

	nft_rules_chain(
		w, &(struct hook){ "underlay", "filter", NF_NETDEV_INGRESS, -20, NF_ACCEPT, dev });
	for (int i = 0; i < 4; i++) {
		member_rule(w, i & 1, i & 2);
	}
	r = nft_rules_rule(w);
	nft_l4proto(r, IPPROTO_UDP);
	nft_dport(r, port);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "from nobody of the plane");
}

static void uplink(struct build *w)
{
	static const uint8_t none[16];
	const struct kobj *o = w->o;
	uint32_t up = if_nametoindex(o->dev), down = if_nametoindex("netd0");

	nft_rules_table(w, NFPROTO_NETDEV);
	nft_rules_set(w, KOBJ_SET_POOL4);
	nft_rules_set(w, KOBJ_SET_POOL6);
	nft_rules_set(w, KOBJ_SET_MEMBER4);
	nft_rules_set(w, KOBJ_SET_MEMBER6);
	nft_rules_set(w, KOBJ_SET_LINKED4);
	nft_rules_set(w, KOBJ_SET_LINKED6);
	if (o->peer[0]) {
		underlay(w, o->peer);
	}
	if (!o->dev[0]) {
		return;
	}
	nft_rules_chain(
		w, &(struct hook){ "uplink", "filter", NF_NETDEV_INGRESS, -10, NF_ACCEPT, o->dev });
	cross(w, ETH_P_IP, KOBJ_SET_POOL4, NFT_PAYLOAD_NETWORK_HEADER, 16, down, "public address");
	cross(w, ETH_P_IPV6, KOBJ_SET_POOL6, NFT_PAYLOAD_NETWORK_HEADER, 24, down,
	      "public address");
	cross(w, ETH_P_ARP, KOBJ_SET_POOL4, NFT_PAYLOAD_NETWORK_HEADER, 24, down,
	      "who has a public address");
	cross(w, ETH_P_IPV6, KOBJ_SET_POOL6, NFT_PAYLOAD_TRANSPORT_HEADER, 8, down,
	      "who has a public address");

	nft_rules_chain(w, &(struct hook){ "gateway", "filter", NF_NETDEV_INGRESS, -10, NF_ACCEPT,
	                                   "netd0" });
	leave(w, ETH_P_ARP, up, 0, NULL, "the gateway has it");
	leave(w, ETH_P_IPV6, up, 0, NULL, "the gateway has it");
	struct nftnl_rule *r = nft_rules_rule(w);
	nft_local(r, false);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "to this host itself");
	if (memcmp(o->via, none, 16) != 0) {
		leave(w, ETH_P_IP, up, 4, o->via, "to the next hop");
	}
	if (memcmp(o->addr, none, 16) != 0) {
		leave(w, ETH_P_IPV6, up, 6, o->addr, "to the next hop");
	}
}

static void (*const profiles[])(struct build *) = {
	[KOBJ_RULESET_VNET] = nft_rules_vnet,
	[KOBJ_RULESET_GATEWAY] = gateway,
	[KOBJ_RULESET_UPLINK] = uplink,
};

int nft_ruleset_encode(struct nl_batch *b, const struct kobj *ruleset, enum nft_part part,
                       struct err *e)
{
	struct build w = { .b = b, .o = ruleset, .part = part };

	if (ruleset->sub == KOBJ_RULESET_UPLINK && ruleset->dev[0] &&
	    (!if_nametoindex(ruleset->dev) || !if_nametoindex("netd0"))) {
		return err_set(e, ERR_SYSTEM, 0, "uplink device '%s' is not there", ruleset->dev);
	}
	if (ruleset->sub == KOBJ_RULESET_UPLINK && ruleset->peer[0] &&
	    !if_nametoindex(ruleset->peer)) {
		return err_set(e, ERR_SYSTEM, 0, "underlay device '%s' is not there",
		               ruleset->peer);
	}
	profiles[ruleset->sub](&w);
	return 0;
}

uint64_t nft_ruleset_sum(const struct kobj *ruleset)
{
	struct build w = { .o = ruleset };

	profiles[ruleset->sub](&w);
	return w.sum;
}

void nft_ruleset_remove(struct nl_batch *b, const struct kobj *ruleset)
{
	static const uint8_t families[][2] = {
		[KOBJ_RULESET_VNET] = { NFPROTO_BRIDGE, NFPROTO_INET },
		[KOBJ_RULESET_GATEWAY] = { NFPROTO_INET, NFPROTO_ARP },
		[KOBJ_RULESET_UPLINK] = { NFPROTO_NETDEV, 0 },
	};

	for (int i = 0; i < 2 && families[ruleset->sub][i]; i++) {
		struct nlmsghdr *h =
			nft_msg_begin(b, NFT_MSG_DELTABLE, 0, families[ruleset->sub][i]);

		if (h) {
			mnl_attr_put_strz(h, NFTA_TABLE_NAME, NFT_TABLE);
			nl_batch_end(b, ENOENT);
		}
	}
}
