/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where VNets are: each has one node, its home, which has its ways in and out, balancers, probes and names; what control tells
 * of these goes to the roles of that node. Its groups are there too, or on other nodes, where it has a branch then. Kept in the
 * status of the VNet and of groups. Control's; one thread. See docs/nodes.md, "Placing".
 */
#pragma once

#include <jansson.h>

#include "netd/node.h"

struct resource;

/* The VNet's node; control's own where nothing else was said. NULL: its node was removed. */
struct node *home_of(uint32_t vnet);
/* It is there from now on; the caller tells both nodes. */
void home_set(uint32_t vnet, struct node *n);
/* A group of it is on the node of that number, or (-1) not any more. True: it is the first there, or was the last. */
bool home_group(uint32_t vnet, uint32_t node, int sign);
/* A group of it there is about to be counted no more: if it is the last, and packets for others come in there, the branch stays until these
 * are led home. */
void home_group_ends(uint32_t vnet, const struct node *n);
/* What comes in for others by the branch on the node of that number is led home, or not any more; and is it? */
void home_branch_ends(uint32_t vnet, uint32_t node, bool ends);
bool home_branch_is_ending(uint32_t vnet, const struct node *n);
/* Is the node its home, or has it groups of it? */
bool home_has(uint32_t vnet, const struct node *n);
/* How many groups it has, on all nodes. */
unsigned home_groups(uint32_t vnet);
unsigned home_groups_on(uint32_t vnet, const struct node *n); /* of these, on that node */
/* Its branches: the i-th node that has groups of it and is not its home; NULL: no more. */
struct node *home_branch(uint32_t vnet, size_t i);
/* The VNet is in no kernel any more. */
void home_forget(uint32_t vnet);
/* The node is about to be no more: its VNets are nowhere, until home_sweep(). */
void home_removed(const struct node *n);
void home_lost(const struct node *n); /* its part in home.c */
/* Its role's channel there; NULL: away. */
struct channel *home_channel(uint32_t vnet, enum role role);
/* Has the engine there all that it should have? */
bool home_synced(uint32_t vnet);
/* Tells the engines of the home and all branches; how many these are. */
unsigned home_tell_all(uint32_t vnet, enum msg_type type, const struct buf *body);

/* Where a group of that document (NULL: none, a frontend) may begin: of a VNet that is in no kernel (or 0: a platform's to be) the
 * best node, which becomes its home; else its home, or a branch when that has no room, or is not in the zone that the
 * document asks for. ERR_CONFLICT ServiceUnavailable. `here`: on that node or nowhere (NULL: on any). */
int home_choose(uint32_t vnet, bool live, const json_t *doc, struct node *here, struct node **to,
                struct err *e) __attribute__((warn_unused_result));
/* NULL: groups of the VNet of that document may be on branches; else what binds them to its home. */
const char *home_binds(uint32_t vnet, const json_t *doc);
/* The home's number into the status of the VNet; or the node of a group into its own, with the home where that is another. And
 * from there, after a start. */
void home_note(struct resource *r, uint32_t vnet, const struct node *n);
void home_restore(const struct resource *r, uint32_t vnet);
/* Is there room on the node (NULL: it was removed) for the document `doc` in place of `was` (NULL: it had none)? Spot groups make
 * some. */
int home_room(const struct node *n, const json_t *was, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* A group of that document is on the node, or (-1) not any more. */
void home_count(struct node *n, const json_t *doc, int sign);
/* Has the node room for that much, without that any group makes some? */
bool home_fits(const struct node *n, const double wants[2]);
/* A node that takes new groups and has room for that much: of the zone that the document (or NULL) asks for, if there is any,
 * then who has most left. NULL: none. */
struct node *home_best(const json_t *doc, const double wants[2], const struct node *except);

/* ---- home_move.c ---- */
/* Moves the VNet's home, and the homes of those that it is peered with (routers of peered VNets have a link). Groups stay where they
 * are, but for those that are bound to the home (home_binds()): their containers begin anew. ERR_CONFLICT: a namespace that was
 * given, or such groups of a runtime's, hold it where it is. */
int home_move(uint32_t vnet, struct node *to, struct err *e) __attribute__((warn_unused_result));
/* All that is on the node (NULL: on nodes that were removed) goes elsewhere; how many VNets and groups stay, for want of room or since
 * they are held (and why: the last's). From a node that is not lost, homes go at once, with what is bound to them; other groups take no
 * more flows of load balancers, and go when those that they have ended, or their drain's time is over (group_withdraw()); one that no
 * frontend leads to goes at once. A node that is uncordoned meanwhile keeps them. */
unsigned home_drain(const struct node *n, struct err *e);
/* What is on nodes that are lost begins anew elsewhere; now and then. */
void home_sweep(int64_t now_ms);
/* May they be peered? ERR_CONFLICT: their homes are on different nodes, and neither can go to the other's without that groups begin
 * anew. And may the VNet's home come to control's own node, where a namespace was given for it? */
int home_to_own(uint32_t vnet, const char *at, struct err *e) __attribute__((warn_unused_result));
/* It has other peers: its home and theirs are on one node from now on. 0: namespaces were given, of all VNets that these lead to. */
void home_gather(uint32_t vnet);
int home_together(uint32_t a, uint32_t b, const char *at, struct err *e)
	__attribute__((warn_unused_result));
