/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files that plan VNets share: fabric.c (what the engine was sent), fabric_vnet.c (a VNet
 * as a whole), fabric_routes.c (routes, peerings, gateways). Internal to them. One thread.
 */
#pragma once

#include "netd/fabric.h"
#include "netd/plane.h"
#include "netd/routing.h"
#include "netd/subnet.h"
#include "vnet/plan.h"

/* An owner that belongs to a thing in a VNet: its number above the VNet's. */
static inline uint64_t fabric_owner(uint32_t number, uint32_t vnet)
{
	return (uint64_t)number << 32 | vnet;
}

/* Bytes of a link inside a VNet. */
static inline uint32_t fabric_mtu(void)
{
	return (uint32_t)plane.config->mtu - 50;
}

/* Has the engine been sent anything of the owner? */
bool fabric_sent(uint64_t owner);
/* Was it planned from what has this sign? Then it stays, as if it were put again. */
bool fabric_stays(uint64_t owner, uint64_t sign);
void fabric_sign(uint64_t owner, uint64_t sign);
/* Around the planning of a VNet: what is not put between them, and is of a thing in it, goes. */
void fabric_begin(uint32_t vnet);
void fabric_end(uint32_t vnet);

/* Does anything wait for all nodes to have the rest of it? And sends what has waited since before that request to engines. */
bool fabric_holds(void);
void fabric_release(uint64_t request);
/* Number of the last request to engines; fabric_wait.c. */
uint64_t fabric_asked(void);

/* The routing table of a subnet: routes of a user's (table, NULL: none) and of a gateway. */
bool fabric_routed(const struct resource *v, const struct resource *table); /* does it need one? */
void fabric_plan_table(const struct subnet *s, struct resource *v, const struct resource *table);
/* Peerings of the VNet, both sides of each, and its gateway. */
void fabric_plan_peers(struct resource *v);
void fabric_plan_gateway(struct resource *v);
