/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VNets as the engine is told of them: which owners each live VNet has, planned from documents, and
 * what the engine was sent last, so that only what differs goes. See plane.h. One thread.
 */
#pragma once

#include "lib/kernel/kobj.h"

/* Numbers of owners that have none of their own. */
#define OWNER_GATEWAY 1u
#define OWNER_LINKS   2u /* in a VNet: its link to other nodes */

struct node;
/* What the owner, of that VNet, should have at the home; taken, empty afterwards. Nodes that public addresses come in by get the ways
 * there, branches their part. */
void fabric_put(uint64_t owner, uint32_t vnet, struct kset *objects);
/* The same of an owner that is the node's own, or (vnet not 0) the VNet's own part of one there; and no more. */
void fabric_put_at(uint64_t owner, const struct node *n, uint32_t vnet, struct kset *objects);
void fabric_drop_at(uint64_t owner, const struct node *n);
/* Of a group's objects, the parts of all nodes but its own (NULL: it is removed), which is sent otherwise: appended to `to`. */
void fabric_group(uint64_t owner, uint32_t vnet, const struct node *own, const struct kset *objects,
                  struct kset *to);
/* A node lets public addresses in that did not, or not any more: ways to all of VNets; groups' are group_ways(). */
void fabric_opened(void);
/* The node is to be no branch of the VNet in a moment: what comes in there for its public addresses goes to its home from now on. Others
 * take what the node sends until fabric_branches(); so wait for it (fabric_wait()) in between. */
void fabric_leaves(uint32_t vnet, const struct node *n);
/* The VNet has a branch that it had not, or not any more: router, rules and frontends come there, or go; with the links between its
 * nodes, and its groups' parts. */
void fabric_branches(uint32_t vnet);
/* Gateways of the VNet's nodes: these take its packets from each other. */
void fabric_meet(uint32_t vnet);
/* Links between the VNet's nodes, as they are now. */
void fabric_links(uint32_t vnet);
/* The VNet's home is that node from now on: what it had, if it was a branch, becomes what the home has had. Plan it then. */
void fabric_move(uint32_t vnet, struct node *to);
/* It should have nothing; absent is fine. */
void fabric_drop(uint64_t owner);
/* All that the node should have anew, to an engine that has come back. */
void fabric_resend(const struct node *n);
/* Who has a public address is answered by control's own node alone, wherever the VNet is, and not when it is in a pool at some node by
 * name: of what another has, what answers is left out. */
void fabric_unanswered(const struct node *n, struct kset *set);
/* Can its gateway and that of control's node reach each other, as far as their addresses say? */
bool fabric_linked(const struct node *n);
/* Plans the node's gateway again; and those of all that are there: one came, went, or has another address. */
void fabric_gateway(const struct node *n);
void fabric_gateways(void);
/* The same, of those that one speaks to which has no VNets yet. */
void fabric_gateway_new(const struct node *n);
/* The node's, also when it is away; and all, if a pool is at another node now. */
void fabric_follow(const struct node *n);
/* All that is not a group's, for an engine that has come up. */
void fabric_list(const struct node *n);
/* The node is about to be no more. */
void fabric_forget(const struct node *n);

/* Plans the VNet that has this number again: router, security groups, bridges. Not live: does
 * nothing. */
void fabric_vnet(uint32_t vnet);
/* The same for all live VNets; of that tenant (number), 0: of all; that the node has a part of, NULL: all. */
void fabric_vnets(uint32_t tenant, const struct node *n);
/* Its last group has gone. */
void fabric_vnet_gone(uint32_t vnet);

/* What the tag VirtualNetwork stands for in the VNet, sorted, none inside another; NULL: nothing. */
struct resource;
struct ip_prefix;
#define FABRIC_VTAG_MAX 5200 /* prefixes of the VNet, its peers, and what its gateway has learned */
size_t fabric_vtag(const struct resource *vnet, struct ip_prefix *to, size_t max);

/* Calls done once the engines have done all that they were sent so far; at once when they are away: they get the whole list
 * when they come back. One that answers nothing for as long as a lease is waited for no longer (node_silent()). */
void fabric_wait(void (*done)(void *arg), void *arg);
void fabric_sweep(int64_t now_ms);
/* The node's engine answered, or (UINT64_MAX) is gone. */
void fabric_answered(struct node *n, uint64_t request);
