/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Container groups whose namespace a runtime made (CNI): what their status says of that, as cni.c wrote it at `cni`:
 *   network, runtime, container, ifname   the attachment, in the runtime's words
 *   node                                  number of the node whose runtime it is; absent: that had control first
 *   netns, cookie                         the namespace's path, and what tells it from any other (hexadecimal)
 *   ip                                    addresses that were asked for, a family at most once
 *   mac, defaultRoute                     of the interface; absent: ours, and true
 *   publicIP, pool                        has it a public address, and of which publicIPPrefixes (an id)
 *   ports                                 [{protocol, port, to}]: published ports, and where they lead
 * Part of control.
 */
#pragma once

#include "netd/plane.h"
#include "vnet/plan.h"

#define GUEST_PORTS_MAX 1000

const json_t *guest_of(const struct resource *r); /* NULL: it is no such group */
/* The node whose runtime it is, and its number; NULL: it was removed, or it is no such group. */
struct node *guest_node(const struct resource *r);
uint32_t guest_number(const struct resource *r);
/* The address of that family that was asked for; family 0: none. */
struct ip guest_wish(const struct resource *r, uint8_t family);
bool guest_public(const struct resource *r);
/* The interface's own MAC into `to`; false: the plan's. */
bool guest_mac(const struct resource *r, uint8_t to[6]);
/* Published ports on the group's public address, or else on the one that its VNet's groups share; their number. */
size_t guest_maps(const struct resource *r, struct plan_map to[static GUEST_PORTS_MAX]);
/* May it have its ports and its MAC? ERR_CONFLICT, ERR_INVALID. Its addresses are in its status by then. */
int guest_check(const struct resource *r, struct err *e) __attribute__((warn_unused_result));
/* Takes note of them, or forgets them. */
void guest_place(const struct resource *r, bool there);
/* Tells the engine of the namespace, before the group's objects: `fd` (borrowed) or -1; on another node it is that of the call that is
 * under way there, if it is `held`: the group is being made, or looked at. */
void guest_send(const struct resource *r, int fd, bool held);
