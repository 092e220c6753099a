/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of rulesets share: building one message after the other, or only the sum. Internal
 * to lib/kernel.
 */
#pragma once

#include "lib/kernel/nft.h"
#include "lib/kernel/nft_expr.h"

#define BIT_GUARD NFT_BIT_GUARD
#define BIT_NSG   NFT_BIT_NSG

/* Devices by index, which is compared in a fraction of what a name takes: every packet passes these. */
#define IF_ANY 0u
#define IF_LO  1u
#define IF_OUT KOBJ_PEER_INDEX /* a VNet's gw0, the gateway's up0: inner ends */

#define NFT_DECIDES "nsg" /* the chain that every new flow is held against */

/* What one pass over a ruleset produces: messages, or only the sum. */
struct build {
	struct nl_batch *b; /* NULL: sum only */
	const struct kobj *o;
	enum nft_part part;
	uint8_t family;
	const char *chain;
	unsigned position;
	uint64_t sum;
};

struct hook {
	const char *name;
	const char *type; /* "filter", "nat" or "route"; NULL: jumped to */
	uint32_t hook;
	int32_t priority;
	uint32_t policy;
	const char *device; /* netdev chains */
};

void nft_rules_table(struct build *w, uint8_t family);
void nft_rules_set(struct build *w, enum kobj_set id);
void nft_rules_chain(struct build *w, const struct hook *c);
/* A set that rules fill: by address (ip 4 or 6) with a minute's memory, or (ip 0) by family, for the
 * engine's own switches. No plan knows its elements. */
void nft_rules_dynamic(struct build *w, const char *name, uint8_t ip);
/* Sets of flows by source and destination, elements with a time of their own (reset.h). */
void nft_rules_cuts(struct build *w);
/* A rule of the chain begun last; nft_rules_end() sends it. */
struct nftnl_rule *nft_rules_rule(struct build *w);
/* `what` is what it is for. Takes r. */
void nft_rules_end(struct build *w, struct nftnl_rule *r, const char *what);

/* By device (IF_ANY, or its index): marks with bits, or gives a verdict (-1: none), or both; drops are counted. */
void nft_rules_iif(struct build *w, uint32_t dev, uint32_t mark, int verdict, const char *what);
/* Drops what is for an address of the namespace itself, or from one. Not from the device `except`. */
void nft_rules_local(struct build *w, bool source, uint32_t except, const char *what);

/* The packet's source, or its destination, is the address that the gateway asks frontends from. */
void nft_rules_outside(struct nftnl_rule *r, uint8_t family, bool source);

/* The packet came in by the gateway; or (`across`) by another node's, and from there by the link between nodes: then its source is
 * outside the VNet, whose own groups ask public addresses by the home's gateway. */
void nft_rules_public(struct nftnl_rule *r, const struct build *w, uint8_t family, bool across);

/* The packet is for 168.63.129.16, or its twin; or comes from there. */
void nft_rules_platform(struct nftnl_rule *r, uint8_t family, bool source);

/* The ruleset of a VNet's router. */
void nft_rules_vnet(struct build *w);

/* Parts of it that balance load (nft_balance.c): chains that the other ones lead to; rules of the chain
 * that translates what enters, of the one that decides (segments of unknown flows; frontends without a
 * backend), and of the one that translates what leaves. */
void nft_rules_balance(struct build *w);
void nft_rules_frontends(struct build *w);
void nft_rules_resets(struct build *w);
void nft_rules_cut(struct build *w);       /* those of them that come before the muxes' */
void nft_rules_untracked(struct build *w); /* a chain for what reset.c sends */
void nft_rules_empty(struct build *w);
void nft_rules_answers(struct build *w); /* what those say, in the chain of what leaves; */
void nft_rules_errors(
	struct build *w); /* and by which gateway, in the chain of what the router says */
void nft_rules_floating(struct build *w); /* a chain for new flows: what number the frontend has */
void nft_rules_to_floating(struct build *w); /* in the chain of what leaves: to a group's port */
void nft_rules_backends_out(struct build *w);

/* VNets on several nodes (nft_mux.c): chains that send to the node of a slot's backend what comes in by the gateway, and mark what leaves by
 * it; rules of the chain that decides: for what no flow is known for, and for what leaves. */
void nft_rules_mux(struct build *w);
void nft_rules_formers(struct build *w);
void nft_rules_ways(struct build *w);
