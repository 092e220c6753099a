/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VNets as the engine is told of them: which owners each live VNet has, planned from documents, and
 * what the engine was sent last, so that only what differs goes. See plane.h. One thread.
 */
#pragma once

#include "lib/kernel/kobj.h"

/* Numbers of owners that have none of their own. */
#define OWNER_GATEWAY 1u

/* What the owner should have; taken, empty afterwards. */
void fabric_put(uint64_t owner, struct kset *objects);
/* It should have nothing; absent is fine. */
void fabric_drop(uint64_t owner);
/* All of it anew, to an engine that has come back. */
void fabric_resend(void);

/* Plans the VNet that has this number again: router, security groups, bridges. Not live: does
 * nothing. */
void fabric_vnet(uint32_t vnet);
/* The same for all live VNets; of that tenant (number), 0: of all. */
void fabric_vnets(uint32_t tenant);
/* Its last group has gone. */
void fabric_vnet_gone(uint32_t vnet);

/* What the tag VirtualNetwork stands for in the VNet, sorted, none inside another; NULL: nothing. */
struct resource;
struct ip_prefix;
#define FABRIC_VTAG_MAX 5200 /* prefixes of the VNet, its peers, and what its gateway has learned */
size_t fabric_vtag(const struct resource *vnet, struct ip_prefix *to, size_t max);

/* Calls done once the engine has done all that it was sent so far; at once when it is away: it
 * gets the whole list when it comes back. */
void fabric_wait(void (*done)(void *arg), void *arg);
/* The engine answered, or is gone. */
void fabric_answered(uint64_t request);
void fabric_engine_gone(void);
