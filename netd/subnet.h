/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Subnets with groups in them: their address pools and bridges. One lives from its first group to
 * its last; that of a connected gateway always. Memory only; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vnet/blocks.h"
#include "vnet/ipam.h"

/* The kernel gives a bridge 1,023 ports (BR_MAX_PORTS); a subnet has as many bridges as it needs,
 * which tenants cannot tell: groups are routed, not bridged. */
#define SUBNET_PORTS      512u
#define SUBNET_RANGES_MAX 34 /* a document's 17, and as many that groups are still in */

struct subnet_bridge {
	uint32_t id; /* number; the first has the subnet's */
	unsigned ports;
};

/* One of a subnet's prefixes. */
struct subnet_range {
	struct ip_prefix prefix;
	struct ipam ipam;
	struct blocks blocks; /* of nodes, where there may be several */
	unsigned groups;      /* that have an address of it */
};

struct subnet {
	uint32_t vnet, id; /* numbers */
	unsigned groups;
	struct subnet_range *ranges; /* in the order of the document, both families */
	size_t n_ranges;
	struct ip shared; /* egress of groups without a public address */
	bool platform;
	bool held; /* by a gateway: lives without groups */
	/* Its last guest left: it lives on until then, since containers come and go, and a router costs more than they do.
	 * 0: it has groups, or had none. */
	int64_t idle_until_ms;
	uint32_t tenant; /* who has the shared address of an idle platform subnet */
	bool sent;       /* the engine has it as it is now */
	uint32_t *asgs;  /* application security groups of its groups, by number */
	size_t n_asgs;
	struct subnet_bridge *bridges; /* never none */
	size_t n_bridges;
};

/* NULL when it has no groups. */
struct subnet *subnet_find(uint32_t vnet, uint32_t id);
/* That one, made when absent. */
struct subnet *subnet_make(uint32_t vnet, uint32_t id);
/* The range of that prefix, added when absent. Pointers last until the next one is added. */
struct subnet_range *subnet_range_add(struct subnet *s, const struct ip_prefix *p);
/* Forgets ranges without groups that are none of these. */
void subnet_ranges_keep(struct subnet *s, const struct ip_prefix *v, size_t n);
/* The range that covers the address; NULL: none does. */
struct subnet_range *subnet_range_of(const struct subnet *s, const struct ip *ip);
bool subnet_has(const struct subnet *s, uint8_t family); /* any range of the family? */
/* All prefixes, at most `max`. */
size_t subnet_prefixes_of(const struct subnet *s, struct ip_prefix *to, size_t max);
void subnet_free(struct subnet *s);
/* Has the VNet any subnet here? */
bool subnet_any(uint32_t vnet);
/* The VNet's that covers the address; NULL: none does. */
struct subnet *subnet_with(uint32_t vnet, const struct ip *ip);
/* Where the VNet's begin among all. */
size_t subnet_first(uint32_t vnet);
/* A group of it belongs to that application security group. */
void subnet_asg_add(struct subnet *s, uint32_t asg);
/* The i-th of all, NULL at the end. */
struct subnet *subnet_at(size_t i);

/* A bridge with a port to spare; NULL: all are full. */
struct subnet_bridge *subnet_bridge_free(struct subnet *s);
struct subnet_bridge *subnet_bridge_find(struct subnet *s, uint32_t id);
struct subnet_bridge *subnet_bridge_add(struct subnet *s, uint32_t id);
void subnet_bridge_remove(struct subnet *s, struct subnet_bridge *b);
