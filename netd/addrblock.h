/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Blocks of addresses (vnet/blocks.h) that nodes hold in the subnets of a VNet, where a plane has several: groups get addresses of their
 * node's, and other nodes lead a whole block there. What groups have says whose a block is, so nothing of it is stored: after a start the
 * first group in a block has it for its node. Control's; memory only; one thread. See docs/architecture.md, "Between nodes".
 */
#pragma once

#include "netd/node.h"
#include "netd/subnet.h"
#include "vnet/plan.h"

/* Takes an address of the range for a group on the node: `want`, or (NULL) one of its blocks. True in *changed: other nodes are to be told
 * (fabric_links()). Errors as ipam_take(). */
int addrblock_take(const struct subnet *s, struct subnet_range *x, const struct ip *want,
                   const struct node *n, uint32_t tenant, struct ip *got, bool *changed,
                   struct err *e) __attribute__((warn_unused_result));
/* A group on the node has that address again, after a start; before it is at its place (network_place()). */
void addrblock_restore(const struct subnet *s, struct subnet_range *x, const struct ip *ip,
                       const struct node *n);
/* Who holds the address's block in the VNet: its home or a node with groups of it. NULL: nobody. */
const struct node *addrblock_node(uint32_t vnet, const struct ip *ip);
/* Tells the VNet's nodes whose blocks are, now. */
void addrblock_tell(uint32_t vnet);
/* A group, or what is at the home, has come to the address or left it: if its block is another's, nodes are told soon. `n`: the group's
 * node, NULL: no group's. */
void addrblock_note(uint32_t vnet, const struct ip *ip, const struct node *n);
/* The last group of the VNet has left the node. */
void addrblock_left(uint32_t vnet, const struct node *n);

/* What all nodes of the VNet are to know of its blocks: *to lasts until the next call. Returns how many. */
size_t addrblock_list(uint32_t vnet, const struct plan_addrblock **to);
/* Of what another node is to know of a group on `own`, what blocks say already is left out. */
void addrblock_known(uint32_t vnet, const struct node *own, struct kset *set);
