/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The rulesets: bridge guard and VNet router, gateway, host uplink. Their text, as `nft list
 * ruleset` prints it, is in docs/architecture.md. Each rule's comment carries what it is for and
 * a hash of its expressions; a dump that shows other comments, chains or sets is not ours any
 * more, and the ruleset is replaced whole, in one transaction with its elements.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
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

#include "lib/kernel/nft.h"
#include "lib/kernel/nft_expr.h"

#define BIT_GUARD NFT_BIT_GUARD
#define BIT_NSG   NFT_BIT_NSG

/* What one pass over a ruleset produces: messages, or only the sum. */
struct build {
	struct nl_batch *b; /* NULL: sum only */
	const struct kobj *o;
	uint8_t family;
	const char *chain;
	unsigned position;
	uint64_t sum;
};

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

static void table(struct build *w, uint8_t family)
{
	static const uint16_t steps[] = { NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, NFT_MSG_NEWTABLE };

	w->family = family;
	for (size_t i = 0; w->b && i < 3; i++) {
		struct nlmsghdr *h = nft_msg_begin(w->b, steps[i], NLM_F_CREATE, family);

		if (h) {
			mnl_attr_put_strz(h, NFTA_TABLE_NAME, NFT_TABLE);
			nl_batch_end(w->b, 0);
		}
	}
}

/* nft's datatype numbers, six bits each in a concatenation. */
enum {
	DT_IPV4 = 7,
	DT_IPV6 = 8,
	DT_ETHER = 9,
	DT_PROTO = 12,
	DT_SERVICE = 13,
	DT_IFNAME = 41
};

static void part(uint32_t *type, uint32_t *len, uint32_t dt, uint32_t bytes)
{
	*type = *type << 6 | dt;
	*len += (bytes + 3) & ~3u;
}

/* nft prints a key that is a device alone by this. */
static void host_order(struct nftnl_set *s)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u) {
		abort();
	}
	nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, 1);
	nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
	                   nftnl_udata_buf_len(u));
	nftnl_udata_buf_free(u);
}

static void set(struct build *w, enum kobj_set id)
{
	const struct nft_set *d = &nft_sets[id];
	uint32_t kt = 0, kl = 0, dt = 0, dl = 0, ip = d->ip == 4 ? DT_IPV4 : DT_IPV6;
	uint32_t ip_len = d->ip == 4 ? 4 : 16;
	uint32_t flags = d->parts & NFT_K_PREFIX ? NFT_SET_INTERVAL : 0;
	char text[128];

	if (d->parts & NFT_K_DEV) {
		part(&kt, &kl, DT_IFNAME, IFNAMSIZ);
	}
	if (d->parts & NFT_K_MAC) {
		part(&kt, &kl, DT_ETHER, 6);
	}
	if (d->parts & NFT_K_ADDR) {
		part(&kt, &kl, ip, ip_len);
	}
	if (d->parts & NFT_K_PORT) {
		part(&kt, &kl, DT_PROTO, 1);
		part(&kt, &kl, DT_SERVICE, 2);
	}
	if (d->parts & NFT_D_ADDR) {
		flags |= NFT_SET_MAP; /* with NFT_K_PREFIX too */
		part(&dt, &dl, ip, ip_len);
	}
	if (d->parts & NFT_D_PORT) {
		part(&dt, &dl, DT_SERVICE, 2);
	}
	flags |= d->parts & NFT_D_CHAIN ? NFT_SET_MAP : 0;
	snprintf(text, sizeof(text), "set %u %s %u %u", w->family, kobj_set_name((uint8_t)id), kl,
	         flags);
	w->sum += nft_sum_text(text);
	if (!w->b) {
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
	if (!(d->parts & NFT_K_ADDR)) {
		host_order(s);
	}
	nftnl_set_nlmsg_build_payload(h, s);
	nl_batch_end(w->b, 0);
	nftnl_set_free(s);
}

struct hook {
	const char *name;
	const char *type; /* "filter" or "nat"; NULL: jumped to */
	uint32_t hook;
	int32_t priority;
	uint32_t policy;
	const char *device; /* netdev chains */
};

static void chain(struct build *w, const struct hook *c)
{
	char text[128];

	w->chain = c->name;
	w->position = 0;
	snprintf(text, sizeof(text), "chain %u %s %s %u %d %u", w->family, c->name,
	         c->type ? c->type : "-", c->hook, c->priority, c->policy);
	w->sum += nft_sum_text(text);
	if (!w->b) {
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

static struct nftnl_rule *rule(struct build *w)
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

/* Ends a rule; `what` is what it is for. Takes r. */
static void rule_end(struct build *w, struct nftnl_rule *r, const char *what)
{
	char comment[96], text[256];

	snprintf(comment, sizeof(comment), "%s #%08" PRIx32, what, content_hash(r));
	snprintf(text, sizeof(text), "rule %u %s %u %s", w->family, w->chain, w->position++,
	         comment);
	w->sum += nft_sum_text(text);
	if (w->b) {
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

/* ---- VNet: the bridge guard ---- */

static void guard_rule(struct build *w, uint16_t proto, enum kobj_set id, uint32_t off,
                       uint32_t len, const char *what)
{
	struct nftnl_rule *r = rule(w);

	nft_protocol(r, proto);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_payload(r, NFT_PAYLOAD_LL_HEADER, 6, 6, R(4));
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, off, len, R(6));
	nft_lookup(r, kobj_set_name(id), R(0));
	if (proto != ETH_P_ARP) {
		nft_mark_or(r, BIT_GUARD);
	}
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, what);
}

/* A virtual appliance sends on what others sent (enableIPForwarding). */
static void forward_rule(struct build *w, uint16_t proto)
{
	struct nftnl_rule *r = rule(w);

	nft_protocol(r, proto);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_payload(r, NFT_PAYLOAD_LL_HEADER, 6, 6, R(4));
	nft_lookup(r, "forward", R(0));
	nft_mark_or(r, BIT_GUARD);
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, "forwarded by an appliance");
}

static void vnet_guard(struct build *w)
{
	table(w, NFPROTO_BRIDGE);
	set(w, KOBJ_SET_PORT4);
	set(w, KOBJ_SET_PORT6);
	set(w, KOBJ_SET_FORWARD);
	chain(w,
	      &(struct hook){ "guard", "filter", 0 /* NF_BR_PRE_ROUTING */, -300, NF_DROP, NULL });
	guard_rule(w, ETH_P_IP, KOBJ_SET_PORT4, 12, 4, "own IPv4 source");
	guard_rule(w, ETH_P_IPV6, KOBJ_SET_PORT6, 8, 16, "own IPv6 source");
	guard_rule(w, ETH_P_ARP, KOBJ_SET_PORT4, 14, 4, "own ARP sender");
	forward_rule(w, ETH_P_IP);
	forward_rule(w, ETH_P_IPV6);
}

/* ---- VNet: translation and filter ---- */

static void pub_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);
	uint32_t words = family == 4 ? 1 : 4;

	nft_iifname(r, "gw0", false, NFT_CMP_EQ);
	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_meta(r, NFT_META_L4PROTO, R(words));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(words + 1));
	nft_lookup_map(r, family == 4 ? "pub4" : "pub6", R(0), R(0));
	nft_nat(r, NFT_NAT_DNAT, family, R(0), R(words), 0);
	rule_end(w, r, "public port");
}

static void egress_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_oifname(r, "gw0");
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "egress4" : "egress6", R(0), R(0));
	nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	rule_end(w, r, "egress address");
}

/* Order of egress: NAT gateway, own address, the subnet's. */
static void nat_gateway_rule(struct build *w, uint8_t family, uint8_t proto)
{
	struct nftnl_rule *r = rule(w);

	nft_oifname(r, "gw0");
	nft_family(r, family);
	nft_l4proto(r, proto);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "natout4" : "natout6", R(0), NFT_REG_VERDICT);
	rule_end(w, r, "NAT gateway");
}

static void subnet_out_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_oifname(r, "gw0");
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "subout4" : "subout6", R(0), R(0));
	nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	rule_end(w, r, "default outbound address");
}

/* A segment of a connection that a NAT gateway does not know, or not any more. */
static void nat_unknown_rule(struct build *w, uint8_t family, bool inside)
{
	struct nftnl_rule *r = rule(w);

	nft_iifname(r, "gw0", false, inside ? NFT_CMP_NEQ : NFT_CMP_EQ);
	nft_family(r, family);
	if (inside) {
		nft_saddr(r, family, R(0));
		nft_lookup(r, family == 4 ? "natsrc4" : "natsrc6", R(0));
		nft_daddr(r, family, R(0));
		nft_lookup_not(r, family == 4 ? "vtag4" : "vtag6", R(0));
	} else {
		nft_daddr(r, family, R(0));
		nft_lookup(r, family == 4 ? "natpub4" : "natpub6", R(0));
	}
	nft_tcp_midstream(r);
	nft_limit(r, 1000);
	nft_counter(r);
	nft_reject_tcp(r);
	rule_end(w, r, "flow that the NAT gateway does not know");
}

static void leak_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_oifname(r, "gw0");
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup_not(r, family == 4 ? "own4" : "own6", R(0));
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	rule_end(w, r, "private source stays");
}

static void closed_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_iifname(r, "gw0", false, NFT_CMP_NEQ);
	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup(r, family == 4 ? "closed4" : "closed6", R(0));
	nft_jump(r, NFT_GOTO, "closed");
	rule_end(w, r, "closed to groups");
}

/* Refused with an answer, as far as the rate allows; counted. */
static void closed_chain(struct build *w)
{
	struct nftnl_rule *r;

	chain(w, &(struct hook){ .name = "closed" });
	r = rule(w);
	nft_counter(r);
	rule_end(w, r, "closed to groups");
	r = rule(w);
	nft_l4proto(r, IPPROTO_TCP);
	nft_limit(r, 100);
	nft_reject_tcp(r);
	rule_end(w, r, "closed to groups");
	r = rule(w);
	nft_limit(r, 100);
	nft_reject(r);
	rule_end(w, r, "closed to groups");
	r = rule(w);
	nft_verdict(r, NF_DROP);
	rule_end(w, r, "closed to groups");
}

/* The platform's address answers to groups: names, and echo. */
static void platform_rule(struct build *w, uint8_t family, uint8_t proto)
{
	static const uint8_t addr[2][16] = {
		{ 168, 63, 129, 16 },
		{ 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 },
	};
	uint8_t echo = family == 4 ? 8 : 128;
	struct nftnl_rule *r = rule(w);

	nft_iifname(r, "gw0", false, NFT_CMP_NEQ);
	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), addr[family == 6], family == 4 ? 4 : 16);
	nft_l4proto(r, proto);
	if (proto == IPPROTO_TCP || proto == IPPROTO_UDP) {
		nft_dport(r, 53);
	} else {
		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, R(0));
		nft_cmp(r, NFT_CMP_EQ, R(0), &echo, 1);
		nft_limit(r, 1000);
	}
	nft_mark_or(r, BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, "the platform's address");
}

/* Where it goes decides which rules it is held against on the way in. */
static void inbound_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "in4" : "in6", R(0), NFT_REG_VERDICT);
	rule_end(w, r, "inbound security rules");
}

static void ct_rule(struct build *w, uint32_t key, uint32_t bits, int verdict, const char *what)
{
	struct nftnl_rule *r = rule(w);

	nft_ct(r, key, R(0));
	nft_any_bit(r, R(0), bits);
	if (verdict == NF_ACCEPT) {
		nft_mark_or(r, BIT_NSG);
	}
	nft_verdict(r, verdict);
	rule_end(w, r, what);
}

static void iif_rule(struct build *w, const char *dev, uint32_t mark, int verdict, const char *what)
{
	struct nftnl_rule *r = rule(w);

	if (dev) {
		nft_iifname(r, dev, false, NFT_CMP_EQ);
	}
	if (mark) {
		nft_mark_or(r, mark);
	} else if (verdict == NF_DROP) {
		nft_counter(r);
	}
	if (verdict >= 0) {
		nft_verdict(r, verdict);
	}
	rule_end(w, r, what);
}

static void local_rule(struct build *w, const char *except, const char *what)
{
	struct nftnl_rule *r = rule(w);

	if (except) {
		nft_iifname(r, except, false, NFT_CMP_NEQ);
	}
	nft_daddr_local(r);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	rule_end(w, r, what);
}

#define CT_NEW_BITS(state) (1u << ((state) % IP_CT_IS_REPLY + 1))

/* From the gateway comes what a public port takes in; all else was not asked for. */
static void closed_port_rule(struct build *w)
{
	struct nftnl_rule *r = rule(w);

	nft_iifname(r, "gw0", false, NFT_CMP_EQ);
	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_no_bit(r, R(0), IPS_DST_NAT);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	rule_end(w, r, "public port is closed");
}

static void vnet_filter(struct build *w)
{
	struct nftnl_rule *r;

	chain(w, &(struct hook){ .name = "denied" });
	r = rule(w);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	rule_end(w, r, "denied by a security rule");

	closed_chain(w);
	chain(w, &(struct hook){ "nsg", "filter", NF_INET_PRE_ROUTING, -50, NF_DROP, NULL });
	iif_rule(w, "lo", 0, NF_ACCEPT, "own traffic");
	iif_rule(w, "gw0", BIT_GUARD, -1, "the gateway checked the source");
	r = rule(w);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_lookup_map(r, "from", R(0), NFT_REG_VERDICT);
	rule_end(w, r, "sources of peerings");
	ct_rule(w, NFT_CT_STATE, CT_NEW_BITS(IP_CT_ESTABLISHED) | CT_NEW_BITS(IP_CT_RELATED),
	        NF_ACCEPT, "known flow");
	for (uint8_t family = 4; family <= 6; family += 2) {
		nat_unknown_rule(w, family, false);
		nat_unknown_rule(w, family, true);
	}
	ct_rule(w, NFT_CT_STATE, 1, NF_DROP, "invalid");
	for (uint8_t family = 4; family <= 6; family += 2) {
		platform_rule(w, family, IPPROTO_UDP);
		platform_rule(w, family, IPPROTO_TCP);
		platform_rule(w, family, family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	}
	local_rule(w, NULL, "router is no host");
	closed_port_rule(w);
	closed_rule(w, 4);
	closed_rule(w, 6);
	r = rule(w);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_lookup_map(r, "out", R(0), NFT_REG_VERDICT);
	rule_end(w, r, "outbound security rules");
	inbound_rule(w, 4);
	inbound_rule(w, 6);
	iif_rule(w, NULL, BIT_NSG, NF_ACCEPT, "nothing denies it");

	chain(w, &(struct hook){ "turn", "filter", NF_INET_FORWARD, 0, NF_ACCEPT, NULL });
	r = rule(w);
	nft_iifname(r, "gw0", false, NFT_CMP_EQ);
	nft_oifname(r, "gw0");
	nft_verdict(r, NF_DROP);
	rule_end(w, r, "no loop through the gateway");

	chain(w, &(struct hook){ "leak", "filter", NF_INET_POST_ROUTING, 200, NF_ACCEPT, NULL });
	leak_rule(w, 4);
	leak_rule(w, 6);
}

static void vnet(struct build *w)
{
	vnet_guard(w);
	table(w, NFPROTO_INET);
	for (unsigned s = KOBJ_SET_PUB4; s <= KOBJ_SET_VTAG6; s++) { /* all but the guard's */
		set(w, (enum kobj_set)s);
	}
	chain(w, &(struct hook){ "pubin", "nat", NF_INET_PRE_ROUTING, -100, NF_ACCEPT, NULL });
	pub_rule(w, 4);
	pub_rule(w, 6);
	chain(w, &(struct hook){ "egress", "nat", NF_INET_POST_ROUTING, 100, NF_ACCEPT, NULL });
	for (uint8_t family = 4; family <= 6; family += 2) {
		nat_gateway_rule(w, family, IPPROTO_TCP);
		nat_gateway_rule(w, family, IPPROTO_UDP);
	}
	egress_rule(w, 4);
	egress_rule(w, 6);
	subnet_out_rule(w, 4);
	subnet_out_rule(w, 6);
	vnet_filter(w);
}

/* ---- gateway ---- */

static void source_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = rule(w);

	nft_family(r, family);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_saddr(r, family, R(4));
	nft_lookup(r, family == 4 ? "source4" : "source6", R(0));
	nft_mark_or(r, BIT_GUARD | BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, "public source of that VNet");
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

static void gateway(struct build *w)
{
	table(w, NFPROTO_INET);
	set(w, KOBJ_SET_SOURCE4);
	set(w, KOBJ_SET_SOURCE6);
	chain(w, &(struct hook){ "guard", "filter", NF_INET_PRE_ROUTING, -300, NF_DROP, NULL });
	iif_rule(w, "lo", 0, NF_ACCEPT, "own traffic");
	struct nftnl_rule *r = rule(w);
	nft_iifname(r, "up0", false, NFT_CMP_EQ);
	nft_family(r, 6);
	nd_match(r, 135, 136);
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, "neighbour discovery");
	local_rule(w, "up0", "gateway is no host");
	source_rule(w, 4);
	source_rule(w, 6);
	iif_rule(w, "up0", BIT_GUARD | BIT_NSG, NF_ACCEPT, "from the uplink");

	/* ARP asks the routing rules whether an address is to be answered for: it needs the mark too. */
	table(w, NFPROTO_ARP);
	chain(w, &(struct hook){ "ask", "filter", 0 /* NF_ARP_IN */, 0, NF_ACCEPT, NULL });
	iif_rule(w, "up0", BIT_GUARD | BIT_NSG, NF_ACCEPT, "who has a public address");
}

/* ---- uplink: below the host's own forward hook ---- */

static void cross(struct build *w, uint16_t proto, enum kobj_set id, uint32_t base, uint32_t off,
                  uint32_t ifindex, const char *what)
{
	struct nftnl_rule *r = rule(w);

	nft_protocol(r, proto);
	if (base == NFT_PAYLOAD_TRANSPORT_HEADER) {
		nd_match(r, 135, 135);
	}
	nft_payload(r, base, off, nft_sets[id].ip == 4 ? 4 : 16, R(0));
	nft_lookup(r, kobj_set_name(id), R(0));
	nft_fwd(r, ifindex, 0, NULL);
	rule_end(w, r, what);
}

static void leave(struct build *w, uint16_t proto, uint32_t ifindex, uint8_t family,
                  const uint8_t *hop, const char *what)
{
	struct nftnl_rule *r = rule(w);

	nft_protocol(r, proto);
	if (proto == ETH_P_IPV6 && !hop) {
		nd_match(r, 135, 136);
	}
	nft_fwd(r, ifindex, family, hop);
	rule_end(w, r, what);
}

static void uplink(struct build *w)
{
	static const uint8_t none[16];
	const struct kobj *o = w->o;
	uint32_t up = if_nametoindex(o->dev), down = if_nametoindex("netd0");

	table(w, NFPROTO_NETDEV);
	set(w, KOBJ_SET_POOL4);
	set(w, KOBJ_SET_POOL6);
	chain(w, &(struct hook){ "uplink", "filter", NF_NETDEV_INGRESS, -10, NF_ACCEPT, o->dev });
	cross(w, ETH_P_IP, KOBJ_SET_POOL4, NFT_PAYLOAD_NETWORK_HEADER, 16, down, "public address");
	cross(w, ETH_P_IPV6, KOBJ_SET_POOL6, NFT_PAYLOAD_NETWORK_HEADER, 24, down,
	      "public address");
	cross(w, ETH_P_ARP, KOBJ_SET_POOL4, NFT_PAYLOAD_NETWORK_HEADER, 24, down,
	      "who has a public address");
	cross(w, ETH_P_IPV6, KOBJ_SET_POOL6, NFT_PAYLOAD_TRANSPORT_HEADER, 8, down,
	      "who has a public address");

	chain(w, &(struct hook){ "gateway", "filter", NF_NETDEV_INGRESS, -10, NF_ACCEPT, "netd0" });
	leave(w, ETH_P_ARP, up, 0, NULL, "the gateway has it");
	leave(w, ETH_P_IPV6, up, 0, NULL, "the gateway has it");
	struct nftnl_rule *r = rule(w);
	nft_daddr_local(r);
	nft_verdict(r, NF_ACCEPT);
	rule_end(w, r, "to this host itself");
	if (memcmp(o->via, none, 16) != 0) {
		leave(w, ETH_P_IP, up, 4, o->via, "to the next hop");
	}
	if (memcmp(o->addr, none, 16) != 0) {
		leave(w, ETH_P_IPV6, up, 6, o->addr, "to the next hop");
	}
}

static void (*const profiles[])(struct build *) = {
	[KOBJ_RULESET_VNET] = vnet,
	[KOBJ_RULESET_GATEWAY] = gateway,
	[KOBJ_RULESET_UPLINK] = uplink,
};

int nft_ruleset_encode(struct nl_batch *b, const struct kobj *ruleset, struct err *e)
{
	struct build w = { .b = b, .o = ruleset };

	if (ruleset->sub == KOBJ_RULESET_UPLINK &&
	    (!if_nametoindex(ruleset->dev) || !if_nametoindex("netd0"))) {
		return err_set(e, ERR_SYSTEM, 0, "uplink device '%s' is not there", ruleset->dev);
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
