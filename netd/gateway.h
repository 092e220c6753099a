/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * virtualNetworkGateways and their connections: the way from a VNet into a namespace that an
 * administrator provides (configuration key `gateway`), and the routes learned there. See plane.h.
 * Memory only; one thread.
 */
#pragma once

#include "netd/plane.h"

#define GATEWAY_SUBNET "GatewaySubnet"

/* May these be the documents? ERR_INVALID with Azure's code where one is known. */
int gateway_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
int gateway_check_connection(const struct resource *r, const char *id, const json_t *doc,
                             struct err *e) __attribute__((warn_unused_result));

/* The virtualNetworkGateways resource in the VNet of that id, connected or not; NULL: none. */
const struct resource *gateway_in(const char *vnet);
/* The connection of a gateway; NULL: none. */
const struct resource *gateway_connection(const struct resource *gateway);

/* A VNet's own gateway whose connection leads to a namespace that is there. */
struct gateway {
	struct resource *r;
	uint32_t given; /* number of the namespace */
};
bool gateway_of(const struct resource *vnet, struct gateway *to);

/* The gateway that a VNet's routes lead to. */
struct gateway_path {
	struct resource *hub; /* the peer whose gateway it is; NULL: the VNet's own */
	uint32_t given;       /* 0: it has none */
};
/* Routes that the VNet has by its own gateway or by that of a peer, at most `max`; those inside its
 * own or a peer's space are left out, as Azure does. Returns their number. */
size_t gateway_routes(const struct resource *vnet, struct ip_prefix *to, size_t max,
                      struct gateway_path *path);
/* The VNet's own space and that of its peers: at most `max` prefixes, no sources of a gateway's. */
size_t gateway_holes(const struct resource *vnet, struct ip_prefix *to, size_t max);
/* The i-th peer that uses this VNet's gateway; false at the end. */
bool gateway_guest(const struct resource *vnet, size_t i, struct resource **to);

/* VNets with a connection are live without a group too: called after documents were loaded, and after
 * one of a gateway or connection came, changed or went. */
void gateway_hold(void);
/* MSG_LEARNED */
void gateway_learned(uint32_t ns, bool there, struct reader *r);
void gateway_view(const struct resource *r, json_t *props);
