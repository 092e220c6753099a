/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See routing.h. Error codes are Azure's where one is known.
 */
#include "netd/routing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/gateway.h"
#include "netd/home.h"

#define VNET_TYPE "Microsoft.Network/virtualNetworks"
#define NAT_TYPE  "Microsoft.Network/natGateways"
#define PEERINGS  "properties.virtualNetworkPeerings"

static struct resource *by_id(const char *id, const char *type)
{
	AUTO_FREE char *low = table_key(id);
	struct resource *r = table_get(low);

	return r && strcasecmp(r->type->name, type) == 0 ? r : NULL;
}

static int absent(const char *id, const char *from, const char *at, struct err *e)
{
	return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
	                  "Resource %.300s referenced by %.100s was not found.", id,
	                  strrchr(from, '/') + 1);
}

/* ---- route tables ---- */

/* Routes have no service tags here but Internet's own meaning. */
static int check_route(const json_t *x, const char *at, struct err *e)
{
	const char *prefix = model_str(x, "properties.addressPrefix");
	const char *hop = model_str(x, "properties.nextHopIpAddress");
	bool appliance = model_is(x, "properties.nextHopType", "VirtualAppliance");
	struct err why = ERR_INIT;
	struct ip_prefix p;

	if (!model_name_ok(model_str(x, "name"))) {
		return err_set_at(e, ERR_INVALID, "InvalidResourceName", at,
		                  "A route needs a name: 1 to 80 letters, digits, -_.");
	}
	if (ip_prefix_parse(prefix, &p, &why) < 0) {
		return err_set_at(e, ERR_INVALID, "InvalidAddressPrefixFormat", at,
		                  "Address prefix %.60s of route %s is invalid: %.200s", prefix,
		                  model_str(x, "name"), why.msg);
	}
	if (appliance != (*hop != '\0')) {
		return err_set_at(
			e, ERR_INVALID, "RouteNextHopIpAddress", at,
			appliance ? "Route %s needs nextHopIpAddress: its next hop is a virtual "
				    "appliance."
				  : "Route %s has a nextHopIpAddress, which only "
				    "VirtualAppliance takes.",
			model_str(x, "name"));
	}
	struct ip ip = { 0 };
	if (appliance && (ip_parse(hop, &ip, &why) < 0 || ip.family != p.ip.family)) {
		return err_set_at(e, ERR_INVALID, "RouteNextHopIpAddress", at,
		                  "nextHopIpAddress %.50s of route %s is no IPv%u address.", hop,
		                  model_str(x, "name"), p.ip.family);
	}
	return 0;
}

int routing_check_table(const json_t *doc, struct err *e)
{
	json_t *list = model_at(doc, "properties.routes"), *x, *y;
	size_t i, k;
	char at[80];

	json_array_foreach(list, i, x)
	{
		snprintf(at, sizeof(at), "properties.routes[%zu]", i);
		if (check_route(x, at, e) < 0) {
			return -1;
		}
		json_array_foreach(list, k, y)
		{
			if (k < i && strcasecmp(model_str(x, "name"), model_str(y, "name")) == 0) {
				return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", at,
				                  "Two routes are named '%s'.",
				                  model_str(x, "name"));
			}
			if (k < i && strcmp(model_str(x, "properties.addressPrefix"),
			                    model_str(y, "properties.addressPrefix")) == 0) {
				return err_set_at(e, ERR_INVALID, "RouteConflict", at,
				                  "Route %s conflicts with route %s: routes of a "
				                  "table cannot have the same address prefix.",
				                  model_str(x, "name"), model_str(y, "name"));
			}
		}
	}
	return 0;
}

size_t routing_routes(const struct resource *table, struct routing_route *to, size_t max)
{
	struct err e = ERR_INIT;
	size_t i, n = 0;
	json_t *x;

	json_array_foreach(model_at(table->doc, "properties.routes"), i, x)
	{
		struct routing_route r = { .name = model_str(x, "name"),
			                   .type = model_str(x, "properties.nextHopType"),
			                   .hop = table_ip(x, "properties.nextHopIpAddress") };

		if (n < max &&
		    ip_prefix_parse(model_str(x, "properties.addressPrefix"), &r.prefix, &e) == 0) {
			to[n++] = r;
		}
	}
	return n;
}

/* ---- NAT gateways ---- */

static const struct {
	const char *path, *type;
} nat_lists[] = {
	{ "properties.publicIpAddresses", "Microsoft.Network/publicIPAddresses" },
	{ "properties.publicIpAddressesV6", "Microsoft.Network/publicIPAddresses" },
	{ "properties.publicIpPrefixes", "Microsoft.Network/publicIPPrefixes" },
	{ "properties.publicIpPrefixesV6", "Microsoft.Network/publicIPPrefixes" },
};

static size_t addresses_of(const json_t *doc, struct ip *to, size_t max)
{
	size_t n = 0, k, i;
	json_t *x;

	for (k = 0; k < ARRAY_N(nat_lists); k++) {
		json_array_foreach(model_at(doc, nat_lists[k].path), i, x)
		{
			const struct resource *r = by_id(model_str(x, "id"), nat_lists[k].type);
			struct ip_prefix p = { 0 };
			struct err e = ERR_INIT;

			if (!r) {
				continue;
			}
			if (k < 2) {
				p.ip = table_ip(r->status, "address");
				p.len = (uint8_t)ip_bits(p.ip.family);
			} else if (ip_prefix_parse(model_str(r->status, "ipPrefix"), &p, &e) < 0) {
				continue;
			}
			for (uint64_t left = p.ip.family ? ip_prefix_size(&p) : 0;
			     left > 0 && n < max; left--) {
				to[n++] = p.ip;
				(void)ip_add(&p.ip, 1);
			}
		}
	}
	return n;
}

size_t routing_nat_addresses(const struct resource *nat, struct ip to[static 2 * ROUTING_NAT_MAX])
{
	return addresses_of(nat->doc, to, 2 * ROUTING_NAT_MAX);
}

uint32_t routing_nat_idle(const struct resource *nat)
{
	json_int_t n = json_integer_value(model_at(nat->doc, "properties.idleTimeoutInMinutes"));

	return n > 0 ? (uint32_t)n : 4;
}

/* A resource of the type in the subscription of `of` for which fn is true. */
static const struct resource *some(const char *of, const char *type,
                                   bool (*fn)(const struct resource *x, const char *id),
                                   const char *id)
{
	const struct tenant *t = tenant_of(of);
	const struct resource *x;

	for (size_t i = 0; (x = table_typed(type, i)); i++) {
		if (tenant_of(x->id) == t && fn(x, id)) {
			return x;
		}
	}
	return NULL;
}

static bool nat_names(const struct resource *x, const char *id)
{
	json_t *y;
	size_t i;

	for (size_t k = 0; k < ARRAY_N(nat_lists); k++) {
		json_array_foreach(model_at(x->doc, nat_lists[k].path), i, y)
		{
			if (strcasecmp(model_str(y, "id"), id) == 0) {
				return true;
			}
		}
	}
	return false;
}

const struct resource *routing_nat_of(const struct resource *r)
{
	return some(r->id, NAT_TYPE, nat_names, r->id);
}

static int check_nat_address(const struct resource *nat, const char *id, const struct resource *r,
                             const char *at, bool v6, struct err *e)
{
	const struct resource *user = routing_nat_of(r);

	if (model_is(r->doc, "sku.name", "Basic")) {
		return err_set_at(e, ERR_INVALID, "NatGatewayBasicSkuNotSupported", at,
		                  "NAT gateway %s cannot use %s: Basic public addresses are not "
		                  "supported, Standard ones are.",
		                  strrchr(id, '/') + 1, r->name);
	}
	if (model_is(r->doc, "properties.publicIPAddressVersion", "IPv6") != v6) {
		return err_set_at(e, ERR_INVALID, "NatGatewayIpVersionMismatch", at,
		                  "%s is no IPv%d address or prefix.", r->name, v6 ? 6 : 4);
	}
	if (user && user != nat) {
		return err_set_at(e, ERR_INVALID, "PublicIPAddressInUse", at,
		                  "%s is already used by %.300s.", r->name, user->id);
	}
	return 0;
}

int routing_check_nat(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	struct ip addrs[300];
	size_t count[2] = { 0 }, i;
	char at[80];
	json_t *x;

	for (size_t k = 0; k < ARRAY_N(nat_lists); k++) {
		json_array_foreach(model_at(doc, nat_lists[k].path), i, x)
		{
			snprintf(at, sizeof(at), "%s[%zu].id", nat_lists[k].path, i);
			const struct resource *p = by_id(model_str(x, "id"), nat_lists[k].type);
			if (!p || tenant_of(p->id) != tenant_of(id)) {
				return absent(model_str(x, "id"), id, at, e);
			}
			if (check_nat_address(r, id, p, at, k % 2, e) < 0) {
				return -1;
			}
		}
	}
	size_t n = addresses_of(doc, addrs, ARRAY_N(addrs));
	for (i = 0; i < n; i++) {
		count[addrs[i].family == 6]++;
	}
	if (count[0] > ROUTING_NAT_MAX || count[1] > ROUTING_NAT_MAX) {
		return err_set_at(e, ERR_INVALID, "NatGatewayAddressLimitReached",
		                  "properties.publicIpAddresses",
		                  "A NAT gateway has at most %d IPv4 and %d IPv6 addresses, not "
		                  "%zu and %zu.",
		                  ROUTING_NAT_MAX, ROUTING_NAT_MAX, count[0], count[1]);
	}
	return 0;
}

/* ---- peerings ---- */

static const json_t *space_of(const json_t *doc)
{
	return model_at(doc, "properties.addressSpace.addressPrefixes");
}

static bool overlap(const json_t *a, const json_t *b)
{
	struct err e = ERR_INIT;
	struct ip_prefix p, q;

	for (size_t i = 0; i < json_array_size(a); i++) {
		for (size_t k = 0; k < json_array_size(b); k++) {
			if (ip_prefix_parse(json_string_value(json_array_get(a, i)), &p, &e) == 0 &&
			    ip_prefix_parse(json_string_value(json_array_get(b, k)), &q, &e) == 0 &&
			    ip_prefix_overlaps(&p, &q)) {
				return true;
			}
		}
	}
	return false;
}

static struct resource *remote_of(const json_t *peering)
{
	return by_id(model_str(peering, "properties.remoteVirtualNetwork.id"), VNET_TYPE);
}

/* The peering in `doc` that leads to the VNet of that id. */
static const json_t *towards(const json_t *doc, const char *id)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(doc, PEERINGS), i, x)
	{
		if (strcasecmp(model_str(x, "properties.remoteVirtualNetwork.id"), id) == 0) {
			return x;
		}
	}
	return NULL;
}

/* useRemoteGateways: of one peer, which has a gateway, by a VNet that has none. */
static int check_gateways(const char *id, const json_t *list, size_t i, const struct resource *r,
                          const char *at, struct err *e)
{
	const json_t *x = json_array_get(list, i);

	if (!json_is_true(model_at(x, "properties.useRemoteGateways"))) {
		return 0;
	}
	if (!gateway_in(r->id)) {
		return err_set_at(e, ERR_INVALID, "RemotePeeringHasNoGateways", at,
		                  "Peering %s cannot have useRemoteGateways: the remote virtual "
		                  "network has no gateway.",
		                  model_str(x, "name"));
	}
	if (gateway_in(id)) {
		return err_set_at(e, ERR_INVALID, "VnetHasGatewayCannotUseRemoteGateways", at,
		                  "Peering %s cannot have useRemoteGateways: the virtual network "
		                  "has a gateway of its own.",
		                  model_str(x, "name"));
	}
	for (size_t k = 0; k < i; k++) {
		if (json_is_true(
			    model_at(json_array_get(list, k), "properties.useRemoteGateways"))) {
			return err_set_at(
				e, ERR_INVALID, "OnlyOnePeeringCanUseRemoteGateways", at,
				"Peerings %s and %s both have useRemoteGateways; one can.",
				model_str(json_array_get(list, k), "name"), model_str(x, "name"));
		}
	}
	return 0;
}

int routing_check_peerings(const char *id, const json_t *doc, struct err *e)
{
	json_t *list = model_at(doc, PEERINGS), *x;
	size_t i, k;
	char at[100];

	json_array_foreach(list, i, x)
	{
		const char *remote = model_str(x, "properties.remoteVirtualNetwork.id");
		const struct resource *r = remote_of(x);

		snprintf(at, sizeof(at), PEERINGS "[%zu]", i);
		if (!model_name_ok(model_str(x, "name"))) {
			return err_set_at(e, ERR_INVALID, "InvalidResourceName", at,
			                  "A peering needs a name: 1 to 80 letters, digits, -_.");
		}
		if (strcasecmp(remote, id) == 0) {
			return err_set_at(e, ERR_INVALID, "VnetCannotBePeeredWithItself", at,
			                  "A virtual network cannot be peered with itself.");
		}
		if (!r) { /* deleted since: such a peering stays, disconnected */
			const struct resource *own = by_id(id, VNET_TYPE);

			if (own && towards(own->doc, remote)) {
				continue;
			}
			return absent(remote, id, at, e);
		}
		if (tenant_of(r->id) != tenant_of(id)) {
			return absent(remote, id, at, e);
		}
		if (overlap(space_of(doc), space_of(r->doc))) {
			return err_set_at(e, ERR_INVALID, "VnetAddressSpacesOverlap", at,
			                  "Cannot create or update peering %s: the address spaces "
			                  "of the two virtual networks overlap.",
			                  model_str(x, "name"));
		}
		struct resource *own = by_id(id, VNET_TYPE);
		if (own &&
		    home_together(table_number(own), table_number((struct resource *)(uintptr_t)r),
		                  at, e) < 0) {
			return -1;
		}
		if (check_gateways(id, list, i, r, at, e) < 0) {
			return -1;
		}
		for (k = 0; k < i; k++) {
			const json_t *y = json_array_get(list, k);
			const struct resource *q = remote_of(y);

			if (q == r) {
				return err_set_at(e, ERR_INVALID, "RemoteVnetAlreadyPeered", at,
				                  "Peerings %s and %s lead to the same virtual "
				                  "network.",
				                  model_str(y, "name"), model_str(x, "name"));
			}
			if (q && overlap(space_of(q->doc), space_of(r->doc))) {
				return err_set_at(
					e, ERR_INVALID,
					"VnetAddressSpaceOverlapsWithAlreadyPeeredVnet", at,
					"The address space of %s overlaps with that of %s, which "
					"is already peered.",
					r->name, q->name);
			}
		}
	}
	return 0;
}

bool routing_peer(const struct resource *vnet, size_t i, struct routing_peer *to)
{
	const json_t *list = model_at(vnet->doc, PEERINGS);

	for (size_t k = 0; k < json_array_size(list); k++) {
		const json_t *x = json_array_get(list, k);
		struct resource *r = remote_of(x);

		if (!r || !towards(r->doc, vnet->id) || i-- > 0) {
			continue;
		}
		const json_t *access = model_at(x, "properties.allowVirtualNetworkAccess");
		to->vnet = r;
		to->access = !json_is_false(access);
		to->forwarded = json_is_true(model_at(x, "properties.allowForwardedTraffic"));
		to->transit = json_is_true(model_at(x, "properties.allowGatewayTransit"));
		to->remote = json_is_true(model_at(x, "properties.useRemoteGateways"));
		return true;
	}
	return false;
}

bool routing_peer_back(const struct resource *vnet, const struct resource *peer,
                       struct routing_peer *to)
{
	for (size_t i = 0; routing_peer(peer, i, to); i++) {
		if (to->vnet == vnet) {
			return true;
		}
	}
	return false;
}

/* True when that is new. */
static bool note(struct resource *r, const char *peering)
{
	json_t *noted = json_object_get(r->status, "peered");

	if (!noted) {
		noted = json_object();
		json_object_set_new(r->status, "peered", noted);
	}
	bool had = json_object_get(noted, peering) != NULL;
	json_object_set_new(noted, peering, json_true());
	return !had;
}

void routing_note_peers(struct resource *vnet)
{
	json_t *noted = json_object_get(vnet->status, "peered"), *x, *gone = json_array();
	const char *name;
	size_t i;

	json_array_foreach(model_at(vnet->doc, PEERINGS), i, x)
	{
		struct resource *r = remote_of(x);
		const json_t *back = r ? towards(r->doc, vnet->id) : NULL;

		if (back) {
			(void)note(vnet, model_str(x, "name"));
			if (note(r, model_str(back, "name"))) {
				table_save(&r, 1, control_saved, NULL);
			}
		}
	}
	json_object_foreach(noted, name, x)
	{
		bool there = false;
		json_t *y;

		json_array_foreach(model_at(vnet->doc, PEERINGS), i, y)
		{
			there = there || strcmp(model_str(y, "name"), name) == 0;
		}
		if (!there) {
			json_array_append_new(gone, json_string(name));
		}
	}
	json_array_foreach(gone, i, x)
	{
		json_object_del(noted, json_string_value(x));
	}
	json_decref(gone);
}

/* ---- views ---- */

static void view_parts(const struct resource *r, json_t *list, const char *child)
{
	char id[1400], type[120];
	json_t *x;
	size_t i;

	snprintf(type, sizeof(type), "%s/%s", r->type->name, child);
	json_array_foreach(list, i, x)
	{
		snprintf(id, sizeof(id), "%s/%s/%s", r->id, child, model_str(x, "name"));
		json_object_set_new(x, "id", json_string(id));
		json_object_set_new(x, "type", json_string(type));
		json_object_set_new(json_object_get(x, "properties"), "provisioningState",
		                    json_string("Succeeded"));
	}
}

static void set_default(json_t *props, const char *name, bool value)
{
	if (!json_object_get(props, name)) {
		json_object_set_new(props, name, json_boolean(value));
	}
}

void routing_view_vnet(const struct resource *r, json_t *props)
{
	json_t *list = json_object_get(props, "virtualNetworkPeerings"), *x;
	size_t i;

	if (!list) {
		list = json_array();
		json_object_set_new(props, "virtualNetworkPeerings", list);
	}
	view_parts(r, list, "virtualNetworkPeerings");
	json_array_foreach(list, i, x)
	{
		const struct resource *remote = remote_of(x);
		json_t *p = json_object_get(x, "properties");
		bool both = remote && towards(remote->doc, r->id);
		/* A side that was connected and lost the other one has to be made anew. */
		const json_t *was = model_at(r->status, "peered");
		bool had = was && json_object_get(was, model_str(x, "name"));

		json_object_set_new(p, "peeringState",
		                    json_string(both             ? "Connected"
		                                : remote && !had ? "Initiated"
		                                                 : "Disconnected"));
		json_object_set_new(p, "peeringSyncLevel",
		                    json_string(both ? "FullyInSync" : "RemoteNotInSync"));
		set_default(p, "allowVirtualNetworkAccess", true);
		set_default(p, "allowForwardedTraffic", false);
		set_default(p, "allowGatewayTransit", false);
		set_default(p, "useRemoteGateways", false);
		if (remote) {
			json_t *space = json_deep_copy(json_object_get(
				json_object_get(remote->doc, "properties"), "addressSpace"));

			json_object_set(p, "remoteVirtualNetworkAddressSpace", space);
			json_object_set_new(p, "remoteAddressSpace", space);
		}
	}
}

void routing_view(const struct resource *r, json_t *props)
{
	bool table = strstr(r->type->name, "/routeTables") != NULL;

	if (table) {
		if (!json_object_get(props, "routes")) {
			json_object_set_new(props, "routes", json_array());
		}
		view_parts(r, json_object_get(props, "routes"), "routes");
		set_default(props, "disableBgpRoutePropagation", false);
	} else if (!json_object_get(props, "idleTimeoutInMinutes")) {
		json_object_set_new(props, "idleTimeoutInMinutes", json_integer(4));
	}
	json_object_set_new(
		props, "subnets",
		vnet_subnets_with(r, table ? "properties.routeTable" : "properties.natGateway"));
}
