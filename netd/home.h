/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Where VNets are: each is on one node as a whole, its home, with its groups, balancers, probes and names. What control tells
 * of a VNet goes to the roles of that node. Kept in the status of the VNet, and of groups that have none. Control's; one thread.
 * See docs/nodes.md, "Placing".
 */
#pragma once

#include <jansson.h>

#include "netd/node.h"

struct resource;

/* The VNet's node; control's own where nothing else was said. NULL: its node was removed. */
struct node *home_of(uint32_t vnet);
/* It is there from now on; the caller tells both nodes. */
void home_set(uint32_t vnet, struct node *n);
/* The VNet is in no kernel any more. */
void home_forget(uint32_t vnet);
/* The node is about to be no more: its VNets are nowhere. */
void home_lost(const struct node *n);
/* Its role's channel there; NULL: away. */
struct channel *home_channel(uint32_t vnet, enum role role);
/* Has the engine there all that it should have? */
bool home_synced(uint32_t vnet);
/* Tells the engine there; a descriptor does not cross nodes. */
void home_tell(uint32_t vnet, enum msg_type type, const struct buf *body, int fd);

/* Where a group of that document may begin: the VNet's node, or for a VNet that is in no kernel (or 0: a platform's to be) the
 * best one; sets the home. ERR_CONFLICT ServiceUnavailable. `here`: on control's own node or nowhere. */
int home_choose(uint32_t vnet, bool live, const json_t *doc, bool here, struct err *e)
	__attribute__((warn_unused_result));
/* Its number into the status of the VNet, or of a group in it; and from there, after a start. */
void home_note(struct resource *r, uint32_t vnet);
void home_restore(const struct resource *r, uint32_t vnet);
/* Is there room for the document `doc` in place of `was` (NULL: it had none) where the VNet is? Spot groups make some. */
int home_room(uint32_t vnet, const json_t *was, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* A group of that document is in the VNet, or (-1) not any more. */
void home_count(uint32_t vnet, const json_t *doc, int sign);
/* A node that takes new groups and has room for that much: of the zone that the document (or NULL) asks for, if there is any,
 * then who has most left. NULL: none. */
struct node *home_best(const json_t *doc, const double wants[2], const struct node *except);

/* ---- home_move.c ---- */
/* Moves the VNet with all that is in it, and those that it is peered with: routers of peered VNets have a link. What is on the
 * old node goes, as soon as that is heard of; containers begin anew. ERR_CONFLICT: a runtime's groups, or a namespace that was
 * given, hold it where it is. */
int home_move(uint32_t vnet, struct node *to, struct err *e) __attribute__((warn_unused_result));
/* All VNets of the node go elsewhere; how many stay, for want of room or since they are held (and why: the last's). */
unsigned home_drain(const struct node *n, struct err *e);
/* VNets of nodes that are lost begin anew elsewhere; now and then. */
void home_sweep(int64_t now_ms);
/* May they be peered? ERR_CONFLICT: they are live, on different nodes. */
int home_together(uint32_t a, uint32_t b, const char *at, struct err *e)
	__attribute__((warn_unused_result));
