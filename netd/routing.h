/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * routeTables, natGateways and peerings as documents: checks, views, and what plans read. See
 * plane.h. Memory only.
 */
#pragma once

#include "netd/plane.h"
#include "vnet/plan.h"

#define ROUTING_NAT_MAX    16  /* addresses of a NAT gateway, a family */
#define ROUTING_ROUTES_MAX 400 /* of a table */

int routing_check_table(const json_t *doc, struct err *e) __attribute__((warn_unused_result));
int routing_check_nat(const struct resource *r, const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* The peerings in a VNet's document. */
int routing_check_peerings(const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));

/* Public addresses of a NAT gateway, both families. */
size_t routing_nat_addresses(const struct resource *nat, struct ip to[static 2 * ROUTING_NAT_MAX]);
/* Minutes after which it forgets an idle TCP connection. */
uint32_t routing_nat_idle(const struct resource *nat);
/* The NAT gateway that uses a public address or prefix; NULL: none. */
const struct resource *routing_nat_of(const struct resource *r);

/* A user's route, as its table has it. */
struct routing_route {
	const char *name, *type; /* borrowed from the document */
	struct ip_prefix prefix;
	struct ip hop; /* VirtualAppliance */
};
size_t routing_routes(const struct resource *table, struct routing_route *to, size_t max);

/* A connected peering of the VNet: both sides name each other. */
struct routing_peer {
	struct resource *vnet;  /* the other one */
	bool access, forwarded; /* this side's permissions */
	bool transit, remote;   /* its gateway is lent; the other one's is used */
};
/* The i-th connected peering; false at the end. */
bool routing_peer(const struct resource *vnet, size_t i, struct routing_peer *to);

/* The other side of the peering with `peer`. */
bool routing_peer_back(const struct resource *vnet, const struct resource *peer,
                       struct routing_peer *to);

/* Remembers which peerings of the VNet are connected, on both sides: one that loses the other is shown as
 * Disconnected, not as new. */
void routing_note_peers(struct resource *vnet);
void routing_view_vnet(const struct resource *r, json_t *props);
void routing_view(const struct resource *r, json_t *props);
