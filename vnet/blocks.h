/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses of a subnet's prefix in aligned blocks, each a node's: groups get addresses of their node's blocks while it has any, so
 * that other nodes need a route a block rather than one a group. Whose a block is says nothing of what is taken (ipam.h), and an
 * address of one node's block may be another's group's. Pure.
 */
#pragma once

#include "vnet/ipam.h"

#define BLOCKS_BITS 4u /* 16 addresses, or all of a prefix that has fewer */
#define BLOCKS_SIZE (1u << BLOCKS_BITS)

struct blocks {
	struct blocks_one {
		struct ip first;
		uint32_t node; /* its number */
		bool full;     /* nothing was to be had when last looked */
	} * v;                 /* sorted by address */
	size_t n, cap;
};

/* Has a group that address? */
typedef bool (*blocks_used_fn)(void *arg, const struct ip *ip);

void blocks_fini(struct blocks *b);
/* The block of the prefix that has the address. */
struct ip_prefix blocks_around(const struct ip_prefix *range, const struct ip *ip);
/* Whose the address's block is; 0: nobody's. */
uint32_t blocks_node(const struct blocks *b, const struct ip_prefix *range, const struct ip *ip);
/* The address's block is the node's from now on, if it is nobody's and no group has an address of it. True: so it is. */
bool blocks_claim(struct blocks *b, const struct ip_prefix *range, const struct ip *ip,
                  uint32_t node, blocks_used_fn used, void *arg);
/* Takes an address for a group on the node: of its own blocks one that does not rest; of one that is nobody's, which is its own then
 * (*claimed); of its own, or of another node's where no group is; else any, as ipam_take(). */
int blocks_take(struct blocks *b, struct ipam *m, uint32_t node, uint32_t tenant, int64_t now_ms,
                blocks_used_fn used, void *arg, struct ip *ret, bool *claimed, struct err *e)
	__attribute__((warn_unused_result));
/* An address has been given back. */
void blocks_given(struct blocks *b, const struct ip_prefix *range, const struct ip *ip);
/* The node has none any more. */
void blocks_drop(struct blocks *b, uint32_t node);
/* What of the block is left without these addresses, as prefixes in order; at most BLOCKS_SIZE. Returns how many. */
size_t blocks_without(const struct ip_prefix *block, const struct ip *out, size_t n,
                      struct ip_prefix to[static BLOCKS_SIZE]);
