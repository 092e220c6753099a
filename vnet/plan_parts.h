/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of plans build objects with. Internal to vnet/. Pure.
 */
#pragma once

#include "vnet/plan.h"

/* Ends of the unnumbered links; every pair uses the same, each in namespaces of its own. */
static const uint8_t vnet_mac[6] __attribute__((unused)) = { 0x02, 0xfe, 0, 0, 0, 2 };
static const struct ip gw4 __attribute__((unused)) = { 4, { 169, 254, 0, 1 } };
static const struct ip gw6 __attribute__((unused)) = { 6, { 0xfe, 0x80, [15] = 1 } };

#define PLAN_HOST_INDEX 7234932u /* of netd0, wherever it is */

struct plan_pair {
	uint32_t ns, peer_ns, index, mtu;
	uint32_t peer_index; /* 0: KOBJ_PEER_INDEX */
	const char *dev, *peer;
	const uint8_t *mac, *peer_mac;
	char master[KOBJ_NAME]; /* "" none; else the outer end is an isolated port of it */
	bool shortcut;          /* the end in the gateway has KOBJ_SHORTCUT */
};
/* An object with these and all else zero. */
struct kobj plan_object(uint32_t ns, enum kobj_kind kind, uint8_t sub, const char *dev);
/* Both ends of a veth pair, up. */
void plan_pair(struct kset *to, const struct plan_pair *p);
/* `mac` NULL: answered for by proxy. */
void plan_neigh(struct kset *to, uint32_t ns, const char *dev, const struct ip *ip,
                const uint8_t mac[6]);
/* `via` NULL: on the link itself; `dev` "": unreachable */
void plan_route_add(struct kset *to, uint32_t ns, const struct ip_prefix *dst, const struct ip *via,
                    const char *dev);
/* An element with the address as its key; the set for IPv4 is followed by its twin for IPv6. */
struct kobj plan_elem(uint32_t ns, enum kobj_set set4, const struct ip *ip);
/* What enters by the device is routed by the table, before the main one. */
void plan_table_rule(struct kset *to, uint32_t ns, const char *dev, uint32_t table);
/* Sources that may enter by a device: its chain, which the device leads to. */
struct plan_guard {
	uint32_t ns, other; /* namespace, and the number that its sets are named by */
	const char *dev;
	struct kset filters; /* of its chain */
	uint32_t position;
};
/* side: enum kobj_side */
void plan_guard_source(struct plan_guard *g, uint8_t family, uint8_t side, uint8_t plen,
                       const void *value);
/* The prefixes without the holes, as a set a family. Out of memory leaves *to failed. */
void plan_guard_set(struct plan_guard *g, const struct ip_prefix *v, size_t n,
                    const struct ip_prefix *holes, size_t n_holes, struct kset *to);
void plan_guard_end(struct plan_guard *g, struct kset *to);
/* What enters by `dev` goes on to these by the VNet's own routes, by `more`, or nowhere. */
void plan_entry_table(uint32_t ns, const char *dev, uint32_t table, const struct ip_prefix *own,
                      size_t n_own, const struct plan_route *more, size_t n_more, struct kset *to);
/* The device that leads to other nodes; and address of the router of that node on it. */
void plan_node_device(uint32_t ns, char to[static KOBJ_NAME]);
void plan_node_via(uint32_t node, uint8_t family, struct ip *to);
/* "N2ag4": chain of a NAT gateway. */
void plan_nat_chain(uint32_t id, uint8_t family, char to[static KOBJ_NAME]);
