/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The ruleset of a VNet's router: bridge guard, translation, and the chain that every flow is held
 * against. See nft_rules.c for what it is built with.
 */
#include <arpa/inet.h> /* before linux/in.h */
#include <libnftnl/rule.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/nft_rules.h"

/* ---- VNet: the bridge guard ---- */

static void guard_rule(struct build *w, uint16_t proto, enum kobj_set id, uint32_t off,
                       uint32_t len, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_protocol(r, proto);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_payload(r, NFT_PAYLOAD_LL_HEADER, 6, 6, R(4));
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, off, len, R(6));
	nft_lookup(r, kobj_set_name(id), R(0));
	if (proto != ETH_P_ARP) {
		nft_mark_or(r, BIT_GUARD);
	}
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, what);
}

/* A virtual appliance sends on what others sent (enableIPForwarding). */
static void forward_rule(struct build *w, uint16_t proto)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_protocol(r, proto);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_payload(r, NFT_PAYLOAD_LL_HEADER, 6, 6, R(4));
	nft_lookup(r, "forward", R(0));
	nft_mark_or(r, BIT_GUARD);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "forwarded by an appliance");
}

static void vnet_guard(struct build *w)
{
	nft_rules_table(w, NFPROTO_BRIDGE);
	nft_rules_set(w, KOBJ_SET_PORT4);
	nft_rules_set(w, KOBJ_SET_PORT6);
	nft_rules_set(w, KOBJ_SET_FORWARD);
	nft_rules_chain(w, &(struct hook){ "guard", "filter", 0 /* NF_BR_PRE_ROUTING */, -300,
	                                   NF_DROP, NULL });
	guard_rule(w, ETH_P_IP, KOBJ_SET_PORT4, 12, 4, "own IPv4 source");
	guard_rule(w, ETH_P_IPV6, KOBJ_SET_PORT6, 8, 16, "own IPv6 source");
	guard_rule(w, ETH_P_ARP, KOBJ_SET_PORT4, 14, 4, "own ARP sender");
	forward_rule(w, ETH_P_IP);
	forward_rule(w, ETH_P_IPV6);
	nft_rules_iif(w, IF_ANY, 0, NF_DROP, "not its own source, or no IP");
}

/* ---- VNet: translation and filter ---- */

static const uint8_t platform_address[2][16] = {
	{ 168, 63, 129, 16 },
	{ 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 },
};

static void pub_rule(struct build *w, uint8_t family, bool across)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = family == 4 ? 1 : 4;

	nft_rules_public(r, w, family, across);
	nft_daddr(r, family, R(0));
	nft_meta(r, NFT_META_L4PROTO, R(words));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(words + 1));
	nft_lookup_map(r, family == 4 ? "pub4" : "pub6", R(0), R(0));
	nft_nat(r, NFT_NAT_DNAT, family, R(0), R(words), 0);
	nft_rules_end(w, r, "public port");
}

/* An address inside that leads elsewhere: a link-local one by the administrator's word, a port of an
 * internal frontend by an inbound NAT rule's. */
static void target_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = family == 4 ? 1 : 4;

	nft_iif(r, NFT_CMP_NEQ, IF_OUT);
	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_meta(r, NFT_META_L4PROTO, R(words));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(words + 1));
	nft_lookup_map(r, family == 4 ? "target4" : "target6", R(0), R(0));
	nft_nat(r, NFT_NAT_DNAT, family, R(0), R(words), 0);
	nft_rules_end(w, r, "inside address that leads elsewhere");
}

static void egress_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_oif(r, NFT_CMP_EQ, IF_OUT);
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "egress4" : "egress6", R(0), R(0));
	nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	nft_rules_end(w, r, "egress address");
}

/* Order of egress: NAT gateway, own address, the subnet's. */
static void nat_gateway_rule(struct build *w, uint8_t family, uint8_t proto)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_oif(r, NFT_CMP_EQ, IF_OUT);
	nft_family(r, family);
	nft_l4proto(r, proto);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "natout4" : "natout6", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "NAT gateway");
}

static void subnet_out_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_oif(r, NFT_CMP_EQ, IF_OUT);
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "subout4" : "subout6", R(0), R(0));
	nft_snat_data(r, family);
	nft_rules_end(w, r, "default outbound address");
}

/* What the home's resolver asks a group on another node: the subnet's own address is that node's router too, the platform's is here alone.
 * Security rules have been asked (asks_chain()). */
static void asks_across_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_iif(r, NFT_CMP_EQ, IF_ANY); /* begun here */
	nft_oif(r, NFT_CMP_EQ, w->o->ns);
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_cmp(r, NFT_CMP_NEQ, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
	nft_address(r, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
	nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	nft_rules_end(w, r, "asked of another node");
}

/* A segment of a connection that a NAT gateway does not know, or not any more. */
static void nat_unknown_rule(struct build *w, uint8_t family, bool inside, uint32_t iif)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_iif(r, inside ? NFT_CMP_NEQ : NFT_CMP_EQ, iif);
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
	nft_limit(r, 1000);
	nft_counter(r);
	nft_reject_tcp(r);
	nft_rules_end(w, r, "flow that the NAT gateway does not know");
}

/* What leaves the VNet has a source of its own that is public. */
static void leave_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(
		w, &(struct hook){ "leave", "filter", NF_INET_POST_ROUTING, 200, NF_ACCEPT, NULL });
	nft_rules_to_floating(w);
	r = nft_rules_rule(w);
	nft_oif(r, NFT_CMP_NEQ, IF_OUT);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "stays in the VNet");
	for (uint8_t family = 4; family <= 6; family += 2) {
		r = nft_rules_rule(w);
		nft_family(r, family);
		nft_saddr(r, family, R(0));
		nft_lookup(r, family == 4 ? "own4" : "own6", R(0));
		nft_verdict(r, NF_ACCEPT);
		nft_rules_end(w, r, "own public source");
	}
	nft_rules_answers(w);
	nft_rules_iif(w, IF_ANY, 0, NF_DROP, "private source stays");
}

static void closed_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup(r, family == 4 ? "closed4" : "closed6", R(0));
	nft_jump(r, NFT_GOTO, "closed");
	nft_rules_end(w, r, "closed to groups");
}

/* Dropped, and counted at the group that sent it, or was to have it. */
static void drop_chain(struct build *w, bool in)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = in ? "dropin" : "dropout" });
	for (uint8_t family = 4; family <= 6; family += 2) {
		r = nft_rules_rule(w);
		nft_family(r, family);
		(in ? nft_daddr : nft_saddr)(r, family, R(0));
		nft_lookup(r, family == 4 ? "drops4" : "drops6", R(0));
		nft_rules_end(w, r, in ? "to a group" : "of a group");
	}
	r = nft_rules_rule(w);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "dropped");
}

static void denied_chain(struct build *w, bool in)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = in ? "deniedin" : "denied" });
	r = nft_rules_rule(w);
	nft_counter(r);
	nft_jump(r, NFT_GOTO, in ? "dropin" : "dropout");
	nft_rules_end(w, r, "denied by a security rule");
}

/* Refused with an answer, as far as the rate allows; counted. */
static void closed_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = "closed" });
	r = nft_rules_rule(w);
	nft_counter(r);
	nft_rules_end(w, r, "closed to groups");
	r = nft_rules_rule(w);
	nft_l4proto(r, IPPROTO_TCP);
	nft_limit(r, 100);
	nft_reject_tcp(r);
	nft_rules_end(w, r, "closed to groups");
	r = nft_rules_rule(w);
	nft_limit(r, 100);
	nft_reject(r);
	nft_rules_end(w, r, "closed to groups");
	r = nft_rules_rule(w);
	nft_jump(r, NFT_GOTO, "dropout");
	nft_rules_end(w, r, "closed to groups");
}

void nft_rules_platform(struct nftnl_rule *r, uint8_t family, bool source)
{
	nft_family(r, family);
	(source ? nft_saddr : nft_daddr)(r, family, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
}

/* The platform's address answers to groups: names, and echo. */
static void platform_rule(struct build *w, uint8_t family, uint8_t proto)
{
	uint8_t echo = family == 4 ? 8 : 128;
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_rules_platform(r, family, false);
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
	nft_rules_end(w, r, "the platform's address");
}

/* Where it goes decides which rules it is held against on the way in. */
static void inbound_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "in4" : "in6", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "inbound security rules");
}

#define CT_STATE(state) (1u << ((state) % IP_CT_IS_REPLY + 1))

static void known_rule(struct build *w, bool guarded)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	if (guarded) {
		nft_meta(r, NFT_META_MARK, R(0));
		nft_any_bit(r, R(0), BIT_GUARD);
	}
	nft_ct(r, NFT_CT_STATE, R(0));
	nft_any_bit(r, R(0), CT_STATE(IP_CT_ESTABLISHED) | CT_STATE(IP_CT_RELATED));
	nft_mark_or(r, BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "known flow");
}

static void invalid_rule(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_ct(r, NFT_CT_STATE, R(0));
	nft_any_bit(r, R(0), 1);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "invalid");
}

/* From the gateway comes what a public port takes in; all else was not asked for. */
static void closed_port_rule(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_no_bit(r, R(0), IPS_DST_NAT);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "public port is closed");
}

/* The frontend is asked whether it serves, as backends are: security rules have no say. */
static void probed_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_rules_outside(r, family, true);
	nft_mark_or(r, NFT_BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "frontend that is probed");
}

/* ---- fair shares ---- */

/* New flows of one group, a second; docs/architecture.md says what the steps are for. */
#define FLOWS_RATE  2000
#define FLOWS_BURST 8000
#define FRONT_RATE  10000 /* towards one: a frontend may have few behind it */
#define FRONT_BURST 20000
#define TIGHT_RATE  100
#define FULL_RATE   1000 /* of the whole VNet */

/* Over its share: what a group begins, or what begins towards it from the gateway. */
static void share_rule(struct build *w, uint8_t family, bool inbound, bool tight)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	char set[16];

	snprintf(set, sizeof(set), "%s%s%u", tight ? "tight" : "flows", inbound ? "in" : "out",
	         family);
	nft_family(r, family);
	if (tight) {
		nft_meta(r, NFT_META_NFPROTO, R(0));
		nft_lookup(r, "tight", R(0));
	}
	(inbound ? nft_daddr : nft_saddr)(r, family, R(0));
	nft_over(r, set, R(0),
	         tight     ? TIGHT_RATE
	         : inbound ? FRONT_RATE
	                   : FLOWS_RATE,
	         tight     ? TIGHT_RATE
	         : inbound ? FRONT_BURST
	                   : FLOWS_BURST);
	nft_counter(r);
	nft_jump(r, NFT_GOTO, inbound ? "dropin" : "dropout");
	nft_rules_end(w, r, tight ? "new flows over a tight share" : "new flows over the share");
}

static void shares(struct build *w, bool inbound)
{
	for (int i = 0; i < 4; i++) {
		share_rule(w, i & 1 ? 6 : 4, inbound, i & 2);
	}
	struct nftnl_rule *r = nft_rules_rule(w);
	nft_meta(r, NFT_META_NFPROTO, R(0));
	nft_lookup(r, "full", R(0));
	nft_jump(r, NFT_JUMP, "budget");
	nft_rules_end(w, r, "the VNet's budget is used up");
}

/* One chain, since one rate holds for both directions. */
static void budget_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "budget" });
	struct nftnl_rule *r = nft_rules_rule(w);
	nft_limit_over(r, FULL_RATE);
	nft_counter(r);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "new flows in a VNet whose budget is used up");
}

static void share_sets(struct build *w)
{
	for (int i = 0; i < 8; i++) {
		char set[16];

		snprintf(set, sizeof(set), "%s%s%u", i & 4 ? "tight" : "flows",
		         i & 2 ? "in" : "out", i & 1 ? 6u : 4u);
		nft_rules_dynamic(w, set, i & 1 ? 6 : 4);
	}
	nft_rules_dynamic(w, "tight", 0);
	nft_rules_dynamic(w, "full", 0);
}

/* What a new flow is held against by where it comes from; the last word is NFT_DECIDES'. */
static void enter_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "enter" });
	shares(w, true);
	closed_port_rule(w);
	probed_rule(w, 4);
	probed_rule(w, 6);
}

/* The home of the VNet asks groups on this node whether they serve: security rules have no say, as there. */
static void remote_probe_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
	nft_mark_or(r, BIT_NSG);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "probe of another node");
}

static void platform_rules(struct build *w)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		platform_rule(w, family, IPPROTO_UDP);
		platform_rule(w, family, IPPROTO_TCP);
		platform_rule(w, family, family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	}
	nft_rules_local(w, false, IF_ANY, "router is no host");
}

static void translated_rule(struct build *w, bool is, const char *chain, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_ct(r, NFT_CT_STATUS, R(0));
	(is ? nft_any_bit : nft_no_bit)(r, R(0), IPS_DST_NAT);
	nft_jump(r, NFT_JUMP, chain);
	nft_rules_end(w, r, what);
}

/* From another node of the VNet, which has held it against what is between a group and the world, or the world and a group. */
static void across_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "across" });
	translated_rule(w, true, "enter", "from a node that it came in by");
	remote_probe_rule(w, 4);
	remote_probe_rule(w, 6);
	platform_rules(w);
}

static void begin_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = "begin" });
	r = nft_rules_rule(w);
	nft_iif(r, NFT_CMP_EQ, w->o->ns); /* its index is the VNet's number */
	nft_jump(r, NFT_GOTO, "across");
	nft_rules_end(w, r, "from another node");
	shares(w, false);
	platform_rules(w);
	closed_rule(w, 4);
	closed_rule(w, 6);
	r = nft_rules_rule(w);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_lookup_map(r, "out", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "outbound security rules");
}

/* Segments that begin no connection, of none that is known. */
static void midstream_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "midstream" });
	for (uint8_t family = 4; family <= 6; family += 2) {
		nat_unknown_rule(w, family, false, IF_OUT);
		nat_unknown_rule(w, family, false, w->o->ns); /* a mux sent it here */
		nat_unknown_rule(w, family, true, IF_OUT);
	}
	nft_rules_resets(w);
}

static void leads(struct build *w, uint32_t op, const char *chain, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_iif(r, op, IF_OUT);
	nft_jump(r, NFT_JUMP, chain);
	nft_rules_end(w, r, what);
}

/* Between groups on two other nodes, by way of an appliance here: what answers may go straight, and is not seen. So each packet is
 * held against the rules; those of the two nodes know the flow. */
static void transit_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = "transit" });
	r = nft_rules_rule(w);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_lookup_map(r, "out", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "outbound security rules");
	inbound_rule(w, 4);
	inbound_rule(w, 6);
	nft_rules_iif(w, IF_ANY, BIT_NSG, NF_ACCEPT, "nothing denies it");
}

/* Addresses that are on other nodes: groups by themselves, and blocks. */
static const char *const elsewhere[] = { "remote4", "held4", "remote6", "held6" };
#define ELSEWHERE_N ARRAY_N(elsewhere)

/* The i-th rule of those for a source, or a destination, that is there. */
static struct nftnl_rule *elsewhere_rule(struct build *w, unsigned i, bool source)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint8_t family = i < ELSEWHERE_N / 2 ? 4 : 6;

	nft_family(r, family);
	(source ? nft_saddr : nft_daddr)(r, family, R(0));
	nft_lookup(r, elsewhere[i], R(0));
	return r;
}

static void transit_to_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "transitto" });
	for (unsigned i = 0; i < ELSEWHERE_N; i++) {
		struct nftnl_rule *r = elsewhere_rule(w, i, false);

		nft_jump(r, NFT_GOTO, "transit");
		nft_rules_end(w, r, "from one node to another");
	}
}

static void transit_rules(struct build *w)
{
	for (unsigned i = 0; i < ELSEWHERE_N; i++) {
		struct nftnl_rule *r = elsewhere_rule(w, i, true);

		nft_jump(r, NFT_JUMP, "transitto");
		nft_rules_end(w, r, "from another node");
	}
}

/* To another node, as it is: what is held against it is held there. */
static void sent_on_rule(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_meta(r, NFT_META_MARK, R(0));
	nft_any_bit(r, R(0), KOBJ_MARK_NODE);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "goes on to another node");
}

/* To a group on another node: what is between the two is decided, and counted, there. */
static void remote_rules(struct build *w)
{
	for (unsigned i = 0; i < ELSEWHERE_N; i++) {
		struct nftnl_rule *r = elsewhere_rule(w, i, false);

		nft_mark_or(r, BIT_NSG);
		nft_verdict(r, NF_ACCEPT);
		nft_rules_end(w, r, "to a group on another node");
	}
}

static void decides_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ NFT_DECIDES, "filter", NF_INET_PRE_ROUTING, -50, NF_DROP,
	                                   NULL });
	nft_rules_iif(w, IF_OUT, BIT_GUARD, -1, "the gateway checked the source");
	nft_rules_ways(w);
	known_rule(w, true); /* most packets go no further */
	sent_on_rule(w);
	nft_rules_iif(w, IF_LO, 0, NF_ACCEPT, "own traffic");
	r = nft_rules_rule(w);
	nft_meta(r, NFT_META_IIFNAME, R(0));
	nft_lookup_map(r, "from", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "sources of peerings");
	known_rule(w, false);
	transit_rules(w);
	nft_rules_formers(w);
	r = nft_rules_rule(w);
	nft_tcp_midstream(r);
	nft_jump(r, NFT_JUMP, "midstream");
	nft_rules_end(w, r, "begins no connection");
	invalid_rule(w);
	nft_rules_local(w, true, IF_ANY, "the router's own source");
	translated_rule(w, false, "empty", "nothing translated it");
	translated_rule(w, true, "floating", "to a group");
	leads(w, NFT_CMP_EQ, "enter", "from the gateway");
	leads(w, NFT_CMP_NEQ, "begin", "from inside");
	remote_rules(w);
	inbound_rule(w, 4);
	inbound_rule(w, 6);
	nft_rules_iif(w, IF_ANY, BIT_NSG, NF_ACCEPT, "nothing denies it");
}

/* What the router itself begins, but for the platform's own probes and answers: its resolver asks as a neighbour of
 * the groups in a subnet would, and their security rules decide. */
static void asks_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_ct(r, NFT_CT_STATE, R(0));
	nft_any_bit(r, R(0), CT_STATE(IP_CT_NEW));
	nft_saddr(r, family, R(0));
	nft_cmp(r, NFT_CMP_NEQ, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
	nft_daddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "in4" : "in6", R(0), NFT_REG_VERDICT);
	nft_rules_end(w, r, "inbound security rules");
}

/* What groups may not reach, their resolver does not ask. */
static void asks_closed_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_cmp(r, NFT_CMP_NEQ, R(0), platform_address[family == 6], family == 4 ? 4 : 16);
	nft_ct(r, NFT_CT_STATE, R(0));
	nft_any_bit(r, R(0), CT_STATE(IP_CT_NEW));
	nft_daddr(r, family, R(0));
	nft_lookup(r, family == 4 ? "closed4" : "closed6", R(0));
	nft_jump(r, NFT_GOTO, "closed");
	nft_rules_end(w, r, "closed to groups");
}

static void asks_chain(struct build *w)
{
	nft_rules_chain(w,
	                &(struct hook){ "asks", "filter", NF_INET_LOCAL_OUT, 0, NF_ACCEPT, NULL });
	asks_closed_rule(w, 4);
	asks_closed_rule(w, 6);
	asks_rule(w, 4);
	asks_rule(w, 6);
}

static void vnet_filter(struct build *w)
{
	struct nftnl_rule *r;

	drop_chain(w, false);
	drop_chain(w, true);
	denied_chain(w, false);
	denied_chain(w, true);
	closed_chain(w);
	budget_chain(w);
	midstream_chain(w);
	nft_rules_chain(w, &(struct hook){ .name = "empty" });
	nft_rules_empty(w);
	nft_rules_floating(w);
	enter_chain(w);
	across_chain(w);
	begin_chain(w);
	transit_chain(w);
	transit_to_chain(w);
	decides_chain(w);
	nft_rules_chain(w, &(struct hook){ "turn", "filter", NF_INET_FORWARD, 0, NF_ACCEPT, NULL });
	r = nft_rules_rule(w);
	nft_iif(r, NFT_CMP_EQ, IF_OUT);
	nft_oif(r, NFT_CMP_EQ, IF_OUT);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "no loop through the gateway");
	r = nft_rules_rule(w); /* the link to other nodes: its index is the VNet's number */
	nft_ct(r, NFT_CT_STATUS, R(0)); /* what no flow is known for, a mark sent on */
	nft_no_bit(r, R(0), IPS_SRC_NAT | IPS_DST_NAT);
	nft_iif(r, NFT_CMP_EQ, w->o->ns);
	nft_oif(r, NFT_CMP_EQ, w->o->ns);
	nft_verdict(r, NF_DROP);
	nft_rules_end(w, r, "no loop between nodes");

	asks_chain(w);
	leave_chain(w);
}

void nft_rules_vnet(struct build *w)
{
	vnet_guard(w);
	nft_rules_table(w, NFPROTO_INET);
	for (unsigned s = KOBJ_SET_PUB4; s <= KOBJ_SET_DROPS6; s++) { /* all but the guard's */
		nft_rules_set(w, (enum kobj_set)s);
	}
	share_sets(w);
	nft_rules_cuts(w);
	nft_rules_untracked(w);
	nft_rules_balance(w);
	nft_rules_mux(w);
	nft_rules_chain(
		w, &(struct hook){ "pubin", "nat", NF_INET_PRE_ROUTING, -100, NF_ACCEPT, NULL });
	for (int i = 0; i < 4; i++) {
		pub_rule(w, i & 1 ? 6 : 4, i & 2);
	}
	target_rule(w, 4);
	target_rule(w, 6);
	nft_rules_frontends(w);
	nft_rules_chain(
		w, &(struct hook){ "egress", "nat", NF_INET_POST_ROUTING, 100, NF_ACCEPT, NULL });
	for (uint8_t family = 4; family <= 6; family += 2) {
		nat_gateway_rule(w, family, IPPROTO_TCP);
		nat_gateway_rule(w, family, IPPROTO_UDP);
	}
	egress_rule(w, 4);
	egress_rule(w, 6);
	nft_rules_backends_out(w);
	subnet_out_rule(w, 4);
	subnet_out_rule(w, 6);
	asks_across_rule(w, 4);
	asks_across_rule(w, 6);
	vnet_filter(w);
}
