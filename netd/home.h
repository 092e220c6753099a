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
/* The VNet after that number that is on the node; 0: no more. Of those that were said. */
uint32_t home_next(const struct node *n, uint32_t after);
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
/* A group of that document is in the VNet, or (-1) not any more. */
void home_count(uint32_t vnet, const json_t *doc, int sign);
/* Moves the VNet with all that is in it; what is on its old node goes, as soon as that is heard of. Containers begin anew. */
void home_move(uint32_t vnet, struct node *to);
