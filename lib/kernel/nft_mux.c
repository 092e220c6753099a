/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Frontends of a VNet that is on several nodes, in its ruleset. Whichever node a packet comes in by, it goes as it is to the
 * node of its slot's backend, by the same hash and slots that translate it there (nft_balance.c), and before anything is
 * tracked here: the mux has no state. There, what no flow is known for, though it begins none, goes on to the nodes that the
 * slot led to before (as in Beamer, NSDI 2018), one after the other. ICMP errors go where the packet inside belongs. See docs/architecture.md,
 * "Between nodes", and nft_rules.c for what it is built with.
 */
#include <arpa/inet.h> /* before linux/in.h */
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <stdio.h>

#include "lib/base/own.h"
#include "lib/kernel/nft_rules.h"

#define WORDS(family) ((family) == 4 ? 1u : 4u)
#define INNER         8u /* of an ICMP error: the packet that it is about */
/* What no flow is known for goes round the nodes that may know it, with at most so many hops left. With the last ones, none does. */
#define LAST_HOPS 2u
#define HOPS      (KOBJ_FORMERS + 1 + LAST_HOPS)

/* A packet of a flow, or an error about one, whose packet inside comes from the frontend. Options inside hide its ports. */
enum about {
	FLOW4,
	FLOW6,
	ERROR4,
	ERROR6,
	ABOUT_N
};

static uint8_t family_of(enum about a)
{
	return a == FLOW4 || a == ERROR4 ? 4 : 6;
}

static bool is_error(enum about a)
{
	return a >= ERROR4;
}

static void inner(struct nftnl_rule *r, uint32_t off, uint32_t len, uint32_t reg)
{
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, INNER + off, len, reg);
}

/* The frontend, its protocol and port from register 0 on; how many registers. */
static uint32_t front(struct nftnl_rule *r, enum about a)
{
	uint8_t family = family_of(a);
	uint32_t words = WORDS(family);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	if (is_error(a)) {
		inner(r, family == 4 ? 9 : 6, 1, R(words));
		inner(r, family == 4 ? 20 : 40, 2, R(words + 1));
	} else {
		nft_meta(r, NFT_META_L4PROTO, R(words));
		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(words + 1));
	}
	return words + 2;
}

static void map(struct nftnl_rule *r, enum kobj_set set4, enum about a)
{
	nft_lookup_map(r, kobj_set_name((uint8_t)(set4 + (family_of(a) == 6))), R(0), R(0));
}

/* ---- the slot ---- */

static void hash_rule(struct build *w, enum about a, enum kobj_hash hash, uint32_t slots)
{
	static const uint8_t icmp[] = { [4] = IPPROTO_ICMP, [6] = IPPROTO_ICMPV6 };
	struct nftnl_rule *r = nft_rules_rule(w);
	uint8_t family = family_of(a);
	uint32_t words = WORDS(family), n = words + (hash != KOBJ_HASH_SOURCE);

	nft_family(r, family);
	nft_meta(r, NFT_META_L4PROTO, R(0));
	nft_cmp(r, is_error(a) ? NFT_CMP_EQ : NFT_CMP_NEQ, R(0), &icmp[family], 1);
	if (is_error(a)) { /* the client is whom the packet inside was for */
		inner(r, family == 4 ? 16 : 24, family == 4 ? 4 : 16, R(0));
	} else {
		nft_saddr(r, family, R(0));
	}
	if (hash == KOBJ_HASH_FLOW && is_error(a)) {
		inner(r, family == 4 ? 22 : 42, 2, R(words));
	} else if (hash == KOBJ_HASH_FLOW) {
		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(words));
	} else if (hash == KOBJ_HASH_SOURCE_PROTO && is_error(a)) {
		inner(r, family == 4 ? 9 : 6, 1, R(words));
	} else if (hash == KOBJ_HASH_SOURCE_PROTO) {
		nft_meta(r, NFT_META_L4PROTO, R(words));
	}
	nft_hash(r, R(0), 4 * n, slots);
	nft_mark_set(r, R(0));
	nft_rules_end(w, r, "slot of the packet");
}

/* From the class, as the mark, to the slot: one chain a hash and size, as those of new flows. */
static void slot_chains(struct build *w)
{
	static const char *const kinds[KOBJ_HASH_N] = { "flow", "source", "sourceproto" };
	static char names[KOBJ_SIZES * KOBJ_HASH_N][24]; /* the build keeps the last one's */
	struct nftnl_rule *r;

	for (unsigned i = 0; i < KOBJ_SIZES * KOBJ_HASH_N; i++) {
		unsigned size = i % KOBJ_SIZES, hash = i / KOBJ_SIZES;

		snprintf(names[i], sizeof(names[i]), "mux%s%u", kinds[hash], kobj_sizes[size]);
		nft_rules_chain(w, &(struct hook){ .name = names[i] });
		for (enum about a = FLOW4; a < ABOUT_N; a++) {
			hash_rule(w, a, (enum kobj_hash)hash, kobj_sizes[size]);
		}
	}
	nft_rules_chain(w, &(struct hook){ .name = "muxslot" });
	for (unsigned i = 0; i < KOBJ_SIZES * KOBJ_HASH_N; i++) {
		r = nft_rules_rule(w);
		nft_mark_is(r, KOBJ_CLASS_SHAPE,
		            kobj_class(i % KOBJ_SIZES, (enum kobj_hash)(i / KOBJ_SIZES), 0));
		nft_jump(r, NFT_GOTO, names[i]);
		nft_rules_end(w, r, "how flows are shared");
	}
}

/* ---- the mux ---- */

/* ICMP types of errors: unreachable, time exceeded, parameter problem; in version 6 these and "too big" are 1 to 4. */
static void error_match(struct nftnl_rule *r, uint8_t family, unsigned which)
{
	static const uint8_t ends[][2] = { { 3, 3 }, { 11, 12 }, { 1, 4 } };
	const uint8_t *end = ends[family == 4 ? which : 2];

	nft_l4proto(r, family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, R(0));
	nft_cmp(r, NFT_CMP_GTE, R(0), &end[0], 1);
	nft_cmp(r, NFT_CMP_LTE, R(0), &end[1], 1);
}

static const enum about abouts[] = { FLOW4, FLOW6, ERROR4, ERROR6, ERROR4 };

/* The types of errors differ by family; for IPv4 they are two intervals, so two rules. */
static void about_match(struct nftnl_rule *r, unsigned i)
{
	enum about a = abouts[i];

	nft_family(r, family_of(a));
	if (is_error(a)) {
		error_match(r, family_of(a), i == 4);
	}
}

/* What a frontend takes gets its class as the mark, and goes on in the chain. */
static void class_rules(struct build *w, const char *flows, const char *errors, bool unknown)
{
	for (unsigned i = 0; i < ARRAY_N(abouts); i++) {
		struct nftnl_rule *r = nft_rules_rule(w);
		enum about a = abouts[i];

		about_match(r, i);
		if (!is_error(a) && unknown) {
			nft_tcp_goes_on(r);
		}
		if (unknown) {
			static const uint8_t last = LAST_HOPS;

			nft_hops(r, family_of(a), R(0));
			nft_cmp(r, NFT_CMP_GT, R(0), &last, 1);
			nft_ct(r, NFT_CT_STATE, R(0));
			nft_any_bit(r, R(0), 1); /* invalid */
		}
		(void)front(r, a);
		map(r, KOBJ_SET_SPREAD4, a);
		nft_mark_set(r, R(0));
		nft_jump(r, unknown ? NFT_JUMP : NFT_GOTO, is_error(a) ? errors : flows);
		nft_rules_end(w, r, is_error(a) ? "error about a frontend's flow" : "a frontend's");
	}
}

/* By the slot to a node's mark; none: it stays. */
static void slot_rule(struct build *w, enum about a, enum kobj_set set4, const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t n = front(r, a);

	nft_meta(r, NFT_META_MARK, R(n));
	map(r, set4, a);
	nft_mark_set(r, R(0));
	nft_rules_end(w, r, what);
}

/* The mark is a node's: there, also as what no flow is known for, which is what a mux sends. Else it stays. */
static void go_rules(struct build *w, bool untracked)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_meta(r, NFT_META_MARK, R(0));
	nft_any_bit(r, R(0), KOBJ_MARK_NODE);
	if (untracked) {
		nft_notrack(r);
	}
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "it is another");
	r = nft_rules_rule(w);
	nft_mark_none(r);
	nft_rules_end(w, r, "it stays here");
}

#define TO_BACKEND "to the node of the slot's backend"

static void slot_chain(struct build *w, const char *name)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = name });
	r = nft_rules_rule(w);
	nft_jump(r, NFT_JUMP, "muxslot");
	nft_rules_end(w, r, "slot of the packet");
}

/* What comes in: flows, or errors, to their backend's node. */
static void mux_chain(struct build *w, const char *name, enum about a)
{
	slot_chain(w, name);
	slot_rule(w, a, KOBJ_SET_AWAY4, TO_BACKEND);
	slot_rule(w, a + 1, KOBJ_SET_AWAY4, TO_BACKEND);
	go_rules(w, true);
}

static void hops_rule(struct build *w, uint8_t family)
{
	static const uint8_t hops = HOPS;
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_hops(r, family, R(0));
	nft_cmp(r, NFT_CMP_GT, R(0), &hops, 1);
	nft_hops_set(r, family, hops);
	nft_rules_end(w, r, "not for ever");
}

/* What a mux sent, and no flow is known for: to the next node that the slot led to before. */
static void former_chain(struct build *w, const char *name, enum about a)
{
	static const char what[] = "to the next node that the slot led to";

	slot_chain(w, name);
	slot_rule(w, a, KOBJ_SET_FORMER4, what);
	slot_rule(w, a + 1, KOBJ_SET_FORMER4, what);
	hops_rule(w, 4);
	hops_rule(w, 6);
	go_rules(w, false);
}

static void entry_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup_map(r, family == 4 ? "mux4" : "mux6", R(0), R(0));
	nft_mark_set(r, R(0));
	nft_jump(r, NFT_GOTO, "muxfront");
	nft_rules_end(w, r, "for a frontend of several nodes");
}

/* Answers to what groups began by an address that nodes share: each has ports of its own. */
static void block_rules(struct build *w)
{
	for (unsigned i = 0; i < ARRAY_N(abouts); i++) {
		struct nftnl_rule *r = nft_rules_rule(w);

		about_match(r, i);
		nft_port_block(r, R(front(r, abouts[i]) - 1), KOBJ_PORT_BLOCK);
		map(r, KOBJ_SET_BLOCK4, abouts[i]);
		nft_mark_set(r, R(0));
		nft_jump(r, NFT_GOTO, "muxgo");
		nft_rules_end(w, r, "to the node that has the port");
	}
}

/* What is no port of a frontend: NAT gateways and others have the address too, at the VNet's home. */
static void home_rule(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_meta(r, NFT_META_MARK, R(0));
	nft_any_bit(r, R(0), KOBJ_MARK_NODE);
	nft_notrack(r);
	nft_rules_end(w, r, "for something at the VNet's home");
}

/* Sources that are the router's own are dropped and counted with all others (chain NFT_DECIDES), where it has them: on no other node
 * would that be known, and there 168.63.129.16 asks whether backends serve. */
static void own_rules(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_local(r, true);
	nft_mark_none(r);
	nft_verdict(r, NF_ACCEPT);
	nft_rules_end(w, r, "the router's own source");
	for (uint8_t family = 4; family <= 6; family += 2) {
		r = nft_rules_rule(w);
		nft_rules_platform(r, family, true);
		nft_counter(r);
		nft_verdict(r, NF_DROP);
		nft_rules_end(w, r, "the platform's address as a source");
	}
}

/* A VNet on one node pays no more than this. */
static void apart_to(struct build *w, struct nftnl_rule *r, int verdict, const char *chain)
{
	nft_meta(r, NFT_META_NFPROTO, R(0));
	nft_lookup(r, kobj_set_name(KOBJ_SET_APART), R(0));
	nft_jump(r, verdict, chain);
	nft_rules_end(w, r, "the VNet is on several nodes");
}

/* ---- answers ---- */

static void said_rule(struct build *w, uint8_t family, bool own)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	if (own) {
		nft_saddr(r, family, R(0));
	} else {
		nft_ct_original(r, family == 4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, R(0));
	}
	nft_lookup(r, family == 4 ? "own4" : "own6", R(0));
	nft_mark_or(r, KOBJ_MARK_DIRECT);
	nft_rules_end(w, r, "by this node's gateway");
}

static void answer_rule(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_ct_back(r);
	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_any_bit(r, R(0), IPS_DST_NAT);
	nft_jump(r, NFT_JUMP, "answers");
	nft_rules_end(w, r, "answers");
}

/* ---- groups with a public address of their own ---- */

static void straight_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup(r, family == 4 ? "straight4" : "straight6", R(0));
	nft_jump(r, NFT_JUMP, "straight");
	nft_rules_end(w, r, "it has a public address");
}

/* proto 0: what goes to an address of the set; else what comes from one. */
static void return_rule(struct build *w, uint8_t family, uint8_t proto, enum kobj_set set4,
                        const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	if (proto) {
		nft_l4proto(r, proto);
	}
	(proto ? nft_saddr : nft_daddr)(r, family, R(0));
	nft_lookup(r, kobj_set_name((uint8_t)(set4 + (family == 6))), R(0));
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, what);
}

static void inside_rules(struct build *w, uint8_t family)
{
	struct nftnl_rule *r;

	return_rule(w, family, 0, KOBJ_SET_SPACE4, "inside");
	return_rule(w, family, 0, KOBJ_SET_VTAG4, "to peers and the like");
	r = nft_rules_rule(w);
	nft_rules_platform(r, family, false);
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, "the platform's address");
}

/* What leaves the VNet, and not by a NAT gateway, which is at the home. */
static void straight_chain(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "straight" });
	for (uint8_t family = 4; family <= 6; family += 2) {
		inside_rules(w, family);
		return_rule(w, family, IPPROTO_TCP, KOBJ_SET_NATSRC4, "NAT gateway");
		return_rule(w, family, IPPROTO_UDP, KOBJ_SET_NATSRC4, "NAT gateway");
	}
	nft_rules_iif(w, IF_ANY, KOBJ_MARK_DIRECT, -1, "by this node's gateway");
}

/* ---- addresses that nodes share ---- */

/* What has ports, of a subnet whose NAT gateway or default outbound address has some here; but for members that leave by a load
 * balancer's address, at the home, where they have no NAT gateway. */
static void port_rules(struct build *w, uint8_t family, uint8_t proto)
{
	enum kobj_set out4 = proto == IPPROTO_TCP ? KOBJ_SET_OUTTCP4 : KOBJ_SET_OUTUDP4;
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_l4proto(r, proto);
	nft_saddr(r, family, R(0));
	nft_lookup(r, kobj_set_name((uint8_t)(KOBJ_SET_NATSRC4 + (family == 6))), R(0));
	nft_mark_or(r, KOBJ_MARK_DIRECT);
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, "by this node's ports of the NAT gateway");
	r = nft_rules_rule(w);
	nft_family(r, family);
	nft_l4proto(r, proto);
	nft_saddr(r, family, R(0));
	nft_lookup_map(r, kobj_set_name((uint8_t)(out4 + (family == 6))), R(0), R(0));
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, "by the load balancer's address");
	r = nft_rules_rule(w);
	nft_family(r, family);
	nft_l4proto(r, proto);
	nft_mark_or(r, KOBJ_MARK_DIRECT);
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, "by this node's ports");
}

/* A flow stays on the way that it began on, since ports may have come meanwhile: what is known and was not translated here does not come
 * here (here_rule()). */
static void ports_chain(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = "ports" });
	inside_rules(w, 4);
	inside_rules(w, 6);
	r = nft_rules_rule(w);
	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_any_bit(r, R(0), IPS_SRC_NAT);
	nft_mark_or(r, KOBJ_MARK_DIRECT);
	nft_verdict(r, NFT_RETURN);
	nft_rules_end(w, r, "it left by this node");
	for (uint8_t family = 4; family <= 6; family += 2) {
		port_rules(w, family, IPPROTO_TCP);
		port_rules(w, family, IPPROTO_UDP);
	}
}

/* Of what begins, or left by this node before. Not of answers: SRC_NAT is said also of a flow that came in by the home, translated
 * there, and whose client's port conntrack has changed here since another flow had it (nf_nat_core.c, get_unique_tuple()). */
static void here_rule(struct build *w, uint8_t family, bool begins)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_ct_forth(r);
	nft_ct(r, begins ? NFT_CT_STATE : NFT_CT_STATUS, R(0));
	nft_any_bit(r, R(0), begins ? NF_CT_STATE_BIT(IP_CT_NEW) : IPS_SRC_NAT);
	nft_family(r, family);
	nft_saddr(r, family, R(0));
	nft_lookup(r, kobj_set_name((uint8_t)(KOBJ_SET_HERE4 + (family == 6))), R(0));
	nft_jump(r, NFT_JUMP, "ports");
	nft_rules_end(w, r, "this node has ports for it");
}

/* The router's own word on a flow that left by here, but to a group on another node. */
static void sent_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_daddr(r, family, R(0));
	nft_lookup_not(r, family == 4 ? "remote4" : "remote6", R(0));
	nft_lookup_not(r, family == 4 ? "held4" : "held6", R(0));
	nft_ct_forth(r);
	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_any_bit(r, R(0), IPS_SRC_NAT);
	nft_mark_or(r, KOBJ_MARK_DIRECT);
	nft_rules_end(w, r, "by this node's gateway");
}

static void said_chains(struct build *w)
{
	straight_chain(w);
	ports_chain(w);
	nft_rules_chain(w, &(struct hook){ .name = "answers" });
	said_rule(w, 4, false);
	said_rule(w, 6, false);
	nft_rules_chain(
		w, &(struct hook){ "said", "route", NF_INET_LOCAL_OUT, -150, NF_ACCEPT, NULL });
	answer_rule(w);
	sent_rule(w, 4);
	sent_rule(w, 6);
	said_rule(w, 4, true);
	said_rule(w, 6, true);
	nft_rules_errors(w);
}

void nft_rules_mux(struct build *w)
{
	struct nftnl_rule *r;

	said_chains(w);
	slot_chains(w);
	mux_chain(w, "muxflow", FLOW4);
	mux_chain(w, "muxerror", ERROR4);
	former_chain(w, "formerflow", FLOW4);
	former_chain(w, "formererror", ERROR4);
	nft_rules_chain(w, &(struct hook){ .name = "muxgo" });
	go_rules(w, true);
	nft_rules_chain(w, &(struct hook){ .name = "muxfront" });
	own_rules(w);
	class_rules(w, "muxflow", "muxerror", false);
	block_rules(w);
	home_rule(w);
	nft_rules_chain(w, &(struct hook){ .name = "muxenter" });
	for (uint8_t family = 4; family <= 6; family += 2) {
		r = nft_rules_rule(w);
		nft_rules_outside(r, family, true);
		nft_verdict(r, NF_ACCEPT);
		nft_rules_end(w, r, "frontend that is probed");
	}
	entry_rule(w, 4);
	entry_rule(w, 6);
	nft_rules_chain(
		w, &(struct hook){ "mux", "filter", NF_INET_PRE_ROUTING, -290, NF_ACCEPT, NULL });
	r = nft_rules_rule(w);
	nft_iif(r, NFT_CMP_EQ, IF_OUT);
	apart_to(w, r, NFT_GOTO, "muxenter");
	nft_rules_chain(w, &(struct hook){ .name = "formers" });
	nft_rules_cut(w); /* what a flow that was cut here says is for here */
	class_rules(w, "formerflow", "formererror", true);
	nft_rules_chain(w, &(struct hook){ .name = "ways" });
	answer_rule(w);
	straight_rule(w, 4);
	straight_rule(w, 6);
	for (int begins = 0; begins < 2; begins++) {
		here_rule(w, 4, begins);
		here_rule(w, 6, begins);
	}
}

void nft_rules_formers(struct build *w)
{
	apart_to(w, nft_rules_rule(w), NFT_JUMP, "formers");
}

void nft_rules_ways(struct build *w)
{
	apart_to(w, nft_rules_rule(w), NFT_JUMP, "ways");
}
