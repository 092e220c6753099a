/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Load balancing in a VNet's ruleset: the same chains and rules whatever the number of frontends,
 * which are elements. A new flow to a frontend gets the frontend's class as its conntrack mark, by
 * the class an idle time and a chain, there by a hash its slot as the mark, and by the slot its
 * backend. One chain a backend pool would not be flat: adding an element that jumps makes the kernel
 * walk all of them. See nft_rules.c for what it is built with.
 */
#include <arpa/inet.h> /* before linux/in.h */
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <stdio.h>

#include "lib/kernel/nft_rules.h"

#define WORDS(family) ((family) == 4 ? 1u : 4u)
#define REJECT_RATE   1000
#define NFT_ERRORS    3u /* that are said: port unreachable, too big, time exceeded */

static const char *name_of(enum kobj_set set4, uint8_t family)
{
	return kobj_set_name((uint8_t)(set4 + (family == 6)));
}

/* Destination, protocol and port (or source and its port) from register 0 on; how many registers. */
static uint32_t service(struct nftnl_rule *r, uint8_t family, bool source)
{
	uint32_t words = WORDS(family);

	(source ? nft_saddr : nft_daddr)(r, family, R(0));
	nft_meta(r, NFT_META_L4PROTO, R(words));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, source ? 0 : 2, 2, R(words + 1));
	return words + 2;
}

static void inside(struct nftnl_rule *r)
{
	nft_iif(r, NFT_CMP_NEQ, IF_OUT);
}

void nft_rules_public(struct nftnl_rule *r, const struct build *w, uint8_t family, bool across)
{
	nft_iif(r, NFT_CMP_EQ, across ? w->o->ns : IF_OUT);
	nft_family(r, family);
	if (across) {
		nft_saddr(r, family, R(0));
		nft_lookup_not(r, name_of(KOBJ_SET_SPACE4, family), R(0));
	}
}

/* ---- to a backend ---- */

static void class_rule(struct build *w, uint8_t family, enum kobj_set set4, bool across,
                       const char *what)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	if (set4 == KOBJ_SET_FRONT4) {
		nft_rules_public(r, w, family, across);
	} else {
		inside(r);
		nft_family(r, family);
	}
	if (set4 == KOBJ_SET_ANY4) {
		nft_ct_mark_is(r, UINT32_MAX, 0);
		nft_daddr(r, family, R(0));
	} else {
		(void)service(r, family, false);
	}
	nft_lookup_map(r, name_of(set4, family), R(0), R(0));
	nft_ct_mark_set(r, R(0));
	nft_rules_end(w, r, what);
}

static void hash_rule(struct build *w, uint8_t family, enum kobj_hash hash, uint32_t slots)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = WORDS(family);

	nft_family(r, family);
	nft_saddr(r, family, R(0));
	if (hash == KOBJ_HASH_FLOW) {
		nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(words));
	} else if (hash == KOBJ_HASH_SOURCE_PROTO) {
		nft_meta(r, NFT_META_L4PROTO, R(words));
	}
	nft_hash(r, R(0), 4 * (words + (hash != KOBJ_HASH_SOURCE)), slots);
	nft_ct_mark_set(r, R(0));
	nft_rules_end(w, r, "slot of the flow");
}

static void slot_rule(struct build *w, uint8_t family, bool any)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = WORDS(family), at = words;

	nft_family(r, family);
	if (any) {
		nft_daddr(r, family, R(0));
	} else {
		at = service(r, family, false);
	}
	nft_ct(r, NFT_CT_MARK, R(at));
	nft_lookup_map(r, name_of(any ? KOBJ_SET_ANYSLOT4 : KOBJ_SET_SLOT4, family), R(0), R(0));
	nft_nat(r, NFT_NAT_DNAT, family, R(0), any ? 0 : R(words), 0);
	nft_rules_end(w, r, "backend of the slot");
}

static void chain_name(unsigned size, unsigned hash, char to[static 24])
{
	static const char *const kinds[KOBJ_HASH_N] = { "flow", "source", "sourceproto" };

	snprintf(to, 24, "%s%u", kinds[hash], kobj_sizes[size]);
}

void nft_rules_balance(struct build *w)
{
	static char names[KOBJ_SIZES * KOBJ_HASH_N][24]; /* the build keeps the last one's */
	struct nftnl_rule *r;

	nft_rules_chain(w, &(struct hook){ .name = "slots" });
	for (int i = 0; i < 4; i++) {
		slot_rule(w, i & 1 ? 6 : 4, i & 2);
	}
	for (unsigned i = 0; i < KOBJ_SIZES * KOBJ_HASH_N; i++) {
		unsigned size = i % KOBJ_SIZES, hash = i / KOBJ_SIZES;

		chain_name(size, hash, names[i]);
		nft_rules_chain(w, &(struct hook){ .name = names[i] });
		hash_rule(w, 4, (enum kobj_hash)hash, kobj_sizes[size]);
		hash_rule(w, 6, (enum kobj_hash)hash, kobj_sizes[size]);
		r = nft_rules_rule(w);
		nft_jump(r, NFT_GOTO, "slots");
		nft_rules_end(w, r, "to its backend");
	}
	nft_rules_chain(w, &(struct hook){ .name = "balance" });
	r = nft_rules_rule(w);
	nft_ct_mark_vmap(r, KOBJ_CLASS_IDLE, "idle");
	nft_rules_end(w, r, "idle time");
	for (unsigned i = 0; i < KOBJ_SIZES * KOBJ_HASH_N; i++) {
		r = nft_rules_rule(w);
		nft_ct_mark_is(r, KOBJ_CLASS_SHAPE,
		               kobj_class(i % KOBJ_SIZES, (enum kobj_hash)(i / KOBJ_SIZES), 0));
		nft_jump(r, NFT_GOTO, names[i]);
		nft_rules_end(w, r, "how flows are shared");
	}
}

void nft_rules_frontends(struct build *w)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		class_rule(w, family, KOBJ_SET_FRONT4, false, "public frontend");
		class_rule(w, family, KOBJ_SET_FRONT4, true, "public frontend, by a mux");
		class_rule(w, family, KOBJ_SET_INNER4, false, "internal frontend");
		class_rule(w, family, KOBJ_SET_ANY4, false, "internal frontend, all ports");
	}
	struct nftnl_rule *r = nft_rules_rule(w);
	static const uint32_t zero;
	nft_ct(r, NFT_CT_MARK, R(0));
	nft_cmp(r, NFT_CMP_NEQ, R(0), &zero, 4);
	nft_jump(r, NFT_GOTO, "balance");
	nft_rules_end(w, r, "to one of its backends");
}

/* ---- without a backend ---- */

/* Both ends of a flow that is not known any more. */
static void reset_rule(struct build *w, uint8_t family, bool from_backend)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	if (from_backend) {
		inside(r);
	}
	nft_family(r, family);
	(void)service(r, family, from_backend);
	nft_lookup(r, name_of(KOBJ_SET_RESET4, family), R(0));
	nft_limit(r, REJECT_RATE);
	nft_counter(r);
	nft_reject_tcp(r);
	nft_rules_end(w, r, "flow that its frontend does not know");
}

/* A flow that was cut a moment ago, whatever its frontend says of resets. */
static void cut_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = WORDS(family);

	nft_family(r, family);
	nft_l4proto(r, IPPROTO_TCP);
	nft_saddr(r, family, R(0));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(words));
	nft_daddr(r, family, R(words + 1));
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(2 * words + 1));
	nft_lookup(r, family == 4 ? "cut4" : "cut6", R(0));
	nft_counter(r);
	nft_reject_tcp(r);
	nft_rules_end(w, r, "flow that was cut");
}

void nft_rules_untracked(struct build *w)
{
	struct nftnl_rule *r;

	nft_rules_chain(
		w, &(struct hook){ "sent", "filter", NF_INET_LOCAL_OUT, -300, NF_ACCEPT, NULL });
	r = nft_rules_rule(w);
	nft_meta(r, NFT_META_MARK, R(0));
	nft_any_bit(r, R(0), NFT_BIT_RESET);
	nft_notrack(r);
	nft_rules_end(w, r, "ends of flows are asked where they are");
}

void nft_rules_cut(struct build *w)
{
	cut_rule(w, 4);
	cut_rule(w, 6);
}

void nft_rules_resets(struct build *w)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		cut_rule(w, family);
		reset_rule(w, family, false);
		reset_rule(w, family, true);
	}
}

void nft_rules_empty(struct build *w)
{
	for (int i = 0; i < 4; i++) {
		uint8_t family = i & 1 ? 6 : 4;
		struct nftnl_rule *r = nft_rules_rule(w);

		nft_family(r, family);
		if (!(i & 2)) {
			nft_l4proto(r, IPPROTO_TCP);
		}
		(void)service(r, family, false);
		nft_lookup(r, name_of(KOBJ_SET_EMPTY4, family), R(0));
		nft_limit(r, REJECT_RATE);
		nft_counter(r);
		(i & 2 ? nft_reject_port : nft_reject_tcp)(r);
		nft_rules_end(w, r, "frontend without a backend");
	}
}

/* An ICMP error of the router's own: it has no public address to say it from, nor has a mux, which knows no flow. The one that was asked
 * says so, which is the destination of the packet inside. */
static void error_match(struct nftnl_rule *r, uint8_t family, unsigned which)
{
	static const uint8_t errors[2][NFT_ERRORS][2] = { { { 3, 3 }, { 3, 4 }, { 11, 0 } },
		                                          { { 1, 4 }, { 2, 0 }, { 3, 0 } } };
	bool v6 = family == 6;

	nft_family(r, family);
	nft_local(r, true);
	nft_l4proto(r, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), errors[v6][which], 2);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, v6 ? 32 : 24, v6 ? 16 : 4, R(0));
}

void nft_rules_answers(struct build *w)
{
	for (unsigned i = 0; i < 2 * NFT_ERRORS; i++) {
		struct nftnl_rule *r = nft_rules_rule(w);
		uint8_t family = i % 2 ? 6 : 4;

		error_match(r, family, i / 2);
		nft_saddr_set(r, family, R(0));
		nft_verdict(r, NF_ACCEPT);
		nft_rules_end(w, r, "the frontend says that it has no backend, or what is too big");
	}
}

void nft_rules_errors(struct build *w)
{
	for (unsigned i = 0; i < 2 * NFT_ERRORS; i++) {
		struct nftnl_rule *r = nft_rules_rule(w);
		uint8_t family = i % 2 ? 6 : 4;

		error_match(r, family, i / 2);
		nft_lookup(r, name_of(KOBJ_SET_OWN4, family), R(0));
		nft_mark_or(r, KOBJ_MARK_DIRECT);
		nft_rules_end(w, r, "by this node's gateway");
	}
}

/* ---- floating ---- */

static void number_rule(struct build *w, uint8_t family, bool any)
{
	struct nftnl_rule *r = nft_rules_rule(w);
	uint32_t words = WORDS(family);

	nft_family(r, family);
	nft_ct_original(r, family == 4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, R(0));
	if (!any) {
		nft_meta(r, NFT_META_L4PROTO, R(words));
		nft_ct_original(r, NFT_CT_PROTO_DST, R(words + 1));
	}
	nft_lookup_map(r, name_of(any ? KOBJ_SET_ANYFLOAT4 : KOBJ_SET_FLOAT4, family), R(0), R(0));
	nft_ct_mark_set(r, R(0));
	nft_rules_end(w, r, "number of a floating frontend");
}

void nft_rules_floating(struct build *w)
{
	nft_rules_chain(w, &(struct hook){ .name = "floating" });
	for (int i = 0; i < 4; i++) {
		number_rule(w, i & 1 ? 6 : 4, i & 2);
	}
}

/* The group's port makes the frontend's address of it again: floating.h. */
void nft_rules_to_floating(struct build *w)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_oif(r, NFT_CMP_NEQ, IF_OUT);
	nft_ct_forth(r);
	nft_mark_from_ct(r, KOBJ_FLOAT_MASK);
	nft_rules_end(w, r, "for a floating frontend");
}

/* ---- outbound ---- */

/* A backend that its own frontend leads to: it sees the frontend as the client. */
static void self_rule(struct build *w, uint8_t family)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_family(r, family);
	nft_ct(r, NFT_CT_STATUS, R(0));
	nft_any_bit(r, R(0), IPS_DST_NAT);
	nft_saddr(r, family, R(0));
	nft_daddr(r, family, R(WORDS(family)));
	nft_lookup(r, name_of(KOBJ_SET_SELF4, family), R(0));
	nft_ct_original(r, family == 4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6, R(0));
	nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, 0);
	nft_rules_end(w, r, "backend that reaches itself");
}

/* proto 0: those without ports. */
static void out_rule(struct build *w, uint8_t family, uint8_t proto)
{
	struct nftnl_rule *r = nft_rules_rule(w);

	nft_oif(r, NFT_CMP_EQ, IF_OUT);
	nft_family(r, family);
	if (proto) {
		nft_l4proto(r, proto);
	}
	nft_saddr(r, family, R(0));
	nft_lookup_map(r,
	               name_of(proto == IPPROTO_TCP   ? KOBJ_SET_OUTTCP4
	                       : proto == IPPROTO_UDP ? KOBJ_SET_OUTUDP4
	                                              : KOBJ_SET_OUTANY4,
	                       family),
	               R(0), R(0));
	if (proto) {
		nft_snat_data(r, family);
	} else {
		nft_nat(r, NFT_NAT_SNAT, family, R(0), 0, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	}
	nft_rules_end(w, r, "load balancer's outbound address");
}

void nft_rules_backends_out(struct build *w)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		self_rule(w, family);
		out_rule(w, family, IPPROTO_TCP);
		out_rule(w, family, IPPROTO_UDP);
		out_rule(w, family, 0);
	}
}
