/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ports of the addresses that groups of a VNet share to leave by (NAT gateways, default outbound addresses), where the VNet is on
 * several nodes: each node has some of its own, so that any node can send an answer to who it is for, and groups leave by the
 * uplink of the node that they are on. With `nat-by-node` the home has the lower half of the ports for good; branches are
 * given blocks of the upper half, and keep them. Kept in the store as "ports/VNET". Control's; one thread. See docs/nodes.md, "Ways in
 * and out".
 */
#pragma once

#include <jansson.h>

#include "netd/node.h"
#include "vnet/plan.h"

/* The first port that is not the home's. */
#define PORTS_BRANCHES 33280u
#define PORTS_BLOCKS   ((0x10000u - PORTS_BRANCHES) / KOBJ_PORT_BLOCK)

/* A pair "ports/…" of the store. */
void ports_load(const char *key, const json_t *row);
/* Branches of the VNet that have none are given some, while there are any; once that is durable, the VNet is planned again. Those of
 * nodes that have nothing of the VNet are given to others only when no more are left. */
void ports_give(uint32_t vnet);
/* The VNet is in no kernel any more. */
void ports_forget(uint32_t vnet);
/* The home's; last 0: any, without `nat-by-node`. */
struct plan_ports ports_home(void);
/* Those of a branch on the node; last 0: it has none, or its node no uplink. */
struct plan_ports ports_of(uint32_t vnet, const struct node *n);
/* Those of all branches, into `to`; how many. */
size_t ports_blocks(uint32_t vnet, struct plan_block *to, size_t max);
