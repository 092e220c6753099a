/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See gateway.h.
 */
#include "netd/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/config.h"
#include "netd/fabric.h"
#include "netd/home.h"
#include "netd/routing.h"
#include "netd/subnet.h"

#define GATEWAY_TYPE    "Microsoft.Network/virtualNetworkGateways"
#define CONNECTION_TYPE "Microsoft.Network/connections"

static struct {
	bool there;
	struct ip_prefix *v;
	size_t n;
} learned[CONFIG_GATEWAYS_MAX];

/* ---- who belongs to whom ---- */

/* The VNet's id in that of a gateway's subnet; "" when it is none. malloc'ed. */
static char *vnet_of(const json_t *gateway)
{
	const json_t *first = json_array_get(model_at(gateway, "properties.ipConfigurations"), 0);
	char *id = table_key(model_str(first, "properties.subnet.id"));
	char *end = id ? strstr(id, "/subnets/") : NULL;

	if (end) {
		*end = '\0';
	} else if (id) {
		*id = '\0';
	}
	return id;
}

/* All gateways and connections: few, beside what else there is. */
static struct index {
	struct resource **v;
	size_t n;
} gateways, connections;

static void index_type(struct index *x, const char *name)
{
	const struct model_type *type = model_type_find(name);

	x->n = 0;
	for (size_t i = 0; i < plane.n; i++) {
		if (plane.v[i]->type != type) {
			continue;
		}
		x->v = realloc(x->v, (x->n + 1) * sizeof(struct resource *));
		if (!x->v) {
			abort();
		}
		x->v[x->n++] = plane.v[i];
	}
}

static void index_all(void)
{
	static uint64_t seen;

	if (seen != plane.changes) {
		index_type(&gateways, GATEWAY_TYPE);
		index_type(&connections, CONNECTION_TYPE);
		seen = plane.changes;
	}
}

/* The first of them in the subscription of the id for which fn is true. */
static struct resource *some(const struct index *x,
                             bool (*fn)(const struct resource *x, const char *id), const char *id)
{
	index_all();
	for (size_t i = 0; i < x->n; i++) {
		if (fn(x->v[i], id) && tenant_of(x->v[i]->id) == tenant_of(id)) {
			return x->v[i];
		}
	}
	return NULL;
}

static bool in_vnet(const struct resource *x, const char *id)
{
	AUTO_FREE char *vnet = vnet_of(x->doc);

	return vnet && strcasecmp(vnet, id) == 0;
}

const struct resource *gateway_in(const char *vnet)
{
	return some(&gateways, in_vnet, vnet);
}

static bool of_gateway(const struct resource *x, const char *id)
{
	return strcasecmp(model_str(x->doc, "properties.virtualNetworkGateway1.id"), id) == 0;
}

const struct resource *gateway_connection(const struct resource *gateway)
{
	return some(&connections, of_gateway, gateway->id);
}

/* The last part of the circuit's id is the administrator's name of the namespace. */
static const char *circuit(const json_t *connection)
{
	const char *id = model_str(connection, "properties.peer.id");
	const char *name = strrchr(id, '/');

	return name ? name + 1 : id;
}

/* Index of the namespace that the subscription of `id` may use by that name; -1: none. */
static int given_by(const char *id, const char *name)
{
	const struct config *c = plane.config;

	for (size_t i = 0; i < c->n_gateways; i++) {
		const struct config_gateway *g = &c->gateways[i];

		if (strcasecmp(g->name, name) == 0 &&
		    (strcmp(g->subscription, "*") == 0 ||
		     strcasecmp(g->subscription, tenant_of(id)->id) == 0)) {
			return (int)i;
		}
	}
	return -1;
}

bool gateway_of(const struct resource *vnet, struct gateway *to)
{
	const struct resource *g = vnet ? gateway_in(vnet->id) : NULL;
	const struct resource *c = g ? gateway_connection(g) : NULL;
	int i = c ? given_by(c->id, circuit(c->doc)) : -1;

	if (i < 0 || !learned[i].there) {
		return false;
	}
	to->r = (struct resource *)(uintptr_t)g;
	to->given = KOBJ_NS_GIVEN + (uint32_t)i;
	return true;
}

/* ---- documents ---- */

static int absent(const char *id, const char *from, const char *at, struct err *e)
{
	return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
	                  "Resource %.300s referenced by %.100s was not found.", id,
	                  strrchr(from, '/') + 1);
}

static bool has_subnet(const struct resource *v, const char *id)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(v->doc, "properties.subnets"), i, x)
	{
		if (strcasecmp(model_str(x, "name"), strrchr(id, '/') + 1) == 0) {
			return true;
		}
	}
	return false;
}

static bool uses_remote(const struct resource *v)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(v->doc, "properties.virtualNetworkPeerings"), i, x)
	{
		if (json_is_true(model_at(x, "properties.useRemoteGateways"))) {
			return true;
		}
	}
	return false;
}

int gateway_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	static const char at[] = "properties.ipConfigurations[0].properties.subnet.id";
	const json_t *first = json_array_get(model_at(doc, "properties.ipConfigurations"), 0);
	const char *subnet = model_str(first, "properties.subnet.id"), *name = strrchr(subnet, '/');
	AUTO_FREE char *low = vnet_of(doc);
	const struct resource *v = table_get(low), *other;

	if (!v || tenant_of(v->id) != tenant_of(id) || !has_subnet(v, subnet)) {
		return absent(subnet, id, at, e);
	}
	if (strcasecmp(name + 1, GATEWAY_SUBNET) != 0) {
		return err_set_at(e, ERR_INVALID, "VirtualNetworkGatewaySubnetNameInvalid", at,
		                  "A virtual network gateway's subnet is named " GATEWAY_SUBNET
		                  ", not '%.80s'.",
		                  name + 1);
	}
	if (r) {
		AUTO_FREE char *was = vnet_of(r->doc);

		if (strcmp(was, low) != 0) {
			return err_set_at(e, ERR_INVALID, "PropertyChangeNotAllowed", at,
			                  "The subnet of '%s' cannot be changed; delete and create "
			                  "it again.",
			                  r->name);
		}
	}
	if ((other = gateway_in(v->id)) && other != r) {
		return err_set_at(e, ERR_INVALID, "VirtualNetworkAlreadyHasGateway", at,
		                  "Virtual network %s has the gateway %s already.", v->name,
		                  other->name);
	}
	if (uses_remote(v)) {
		return err_set_at(e, ERR_INVALID, "VnetUsesRemoteGateways", at,
		                  "Virtual network %s uses the gateway of a peer "
		                  "(useRemoteGateways) and can have none of its own.",
		                  v->name);
	}
	return 0;
}

static bool by_circuit(const struct resource *x, const char *name)
{
	return strcasecmp(circuit(x->doc), name) == 0;
}

/* Somebody else's connection to that namespace, in any subscription. */
static const struct resource *taken(const struct resource *r, const char *name)
{
	index_all();
	for (size_t i = 0; i < connections.n; i++) {
		if (connections.v[i] != r && by_circuit(connections.v[i], name)) {
			return connections.v[i];
		}
	}
	return NULL;
}

int gateway_check_connection(const struct resource *r, const char *id, const json_t *doc,
                             struct err *e)
{
	static const char at[] = "properties.virtualNetworkGateway1.id",
			  peer[] = "properties.peer.id";
	const char *to = model_str(doc, at);
	AUTO_FREE char *low = table_key(to);
	const struct resource *g = table_get(low), *other;

	if (!model_is(doc, "properties.connectionType", "ExpressRoute")) {
		return err_set_at(
			e, ERR_INVALID, "ConnectionTypeNotSupported", "properties.connectionType",
			"Connection type %.40s is not offered here: ExpressRoute is, whose "
			"peer names a network that the administrator provides.",
			model_str(doc, "properties.connectionType"));
	}
	if (!g || strcasecmp(g->type->name, GATEWAY_TYPE) != 0 ||
	    tenant_of(g->id) != tenant_of(id)) {
		return absent(to, id, at, e);
	}
	if (given_by(id, circuit(doc)) < 0) {
		return absent(*model_str(doc, peer) ? model_str(doc, peer) : "(none)", id, peer, e);
	}
	AUTO_FREE char *vnet = vnet_of(g->doc);
	const struct resource *v = vnet ? table_get(vnet) : NULL;
	uint32_t number =
		v ? (uint32_t)json_integer_value(json_object_get(v->status, "serial")) : 0;
	if (home_to_own(number, at, e) < 0) {
		return -1;
	}
	if ((other = gateway_connection(g)) && other != r) {
		return err_set_at(e, ERR_INVALID, "VirtualNetworkGatewayConnectionLimitReached", at,
		                  "Gateway %s has the connection %s already.", g->name,
		                  other->name);
	}
	if ((other = taken(r, circuit(doc)))) {
		return err_set_at(e, ERR_CONFLICT, "ExpressRouteCircuitInUse", peer,
		                  "'%.60s' is in use by another connection.", circuit(doc));
	}
	return 0;
}

void gateway_view(const struct resource *r, json_t *props)
{
	struct model_id id;
	json_t *x;
	size_t i;

	if (strcasecmp(r->type->name, CONNECTION_TYPE) == 0) {
		int k = given_by(r->id, circuit(r->doc));

		json_object_set_new(
			props, "connectionStatus",
			json_string(k >= 0 && learned[k].there ? "Connected" : "NotConnected"));
		return;
	}
	json_array_foreach(json_object_get(props, "ipConfigurations"), i, x)
	{
		char text[1400];

		snprintf(text, sizeof(text), "%s/ipConfigurations/%s", r->id,
		         model_id_parse(r->id, &id) == 0 && *model_str(x, "name")
		                 ? model_str(x, "name")
		                 : "default");
		json_object_set_new(x, "id", json_string(text));
		json_object_set_new(json_object_get(x, "properties"), "provisioningState",
		                    json_string("Succeeded"));
	}
}

/* ---- routes ---- */

static bool inside(const struct ip_prefix *p, const struct ip_prefix *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_prefix_covers(&v[i], p)) {
			return true;
		}
	}
	return false;
}

size_t gateway_holes(const struct resource *vnet, struct ip_prefix *to, size_t max)
{
	struct routing_peer p;
	size_t n = vnet_space(vnet, to, max);

	for (size_t i = 0; routing_peer(vnet, i, &p); i++) {
		n += vnet_space(p.vnet, to + n, max - n);
	}
	return n;
}

static void find_path(const struct resource *vnet, struct gateway_path *path)
{
	struct gateway g;
	struct routing_peer p, back;
	bool found = plane.config->n_gateways && gateway_of(vnet, &g);

	*path = (struct gateway_path){ 0 };
	for (size_t i = 0; plane.config->n_gateways && !found && routing_peer(vnet, i, &p); i++) {
		if (p.remote && routing_peer_back(vnet, p.vnet, &back) && back.transit &&
		    gateway_of(p.vnet, &g)) {
			path->hub = p.vnet;
			found = true;
		}
	}
	path->given = found ? g.given : 0;
}

size_t gateway_routes(const struct resource *vnet, struct ip_prefix *to, size_t max,
                      struct gateway_path *path)
{
	static struct ip_prefix holes[FABRIC_VTAG_MAX];
	size_t n = 0;

	find_path(vnet, path);
	if (!path->given) {
		return 0;
	}
	size_t k = path->given - KOBJ_NS_GIVEN, m = gateway_holes(vnet, holes, FABRIC_VTAG_MAX);
	for (size_t i = 0; i < learned[k].n && n < max; i++) {
		if (!inside(&learned[k].v[i], holes, m)) {
			to[n++] = learned[k].v[i];
		}
	}
	return n;
}

bool gateway_guest(const struct resource *vnet, size_t i, struct resource **to)
{
	struct routing_peer p, back;

	for (size_t k = 0; routing_peer(vnet, k, &p); k++) {
		if (p.transit && routing_peer_back(vnet, p.vnet, &back) && back.remote &&
		    i-- == 0) {
			*to = p.vnet;
			return true;
		}
	}
	return false;
}

void gateway_learned(uint32_t ns, bool there, struct reader *r)
{
	uint32_t n = get_u32(r);
	size_t i = ns - KOBJ_NS_GIVEN;

	if (i >= plane.config->n_gateways || n > LEARNED_MAX) {
		r->failed = true;
		return;
	}
	struct ip_prefix *v = calloc(n + 1, sizeof(*v));
	if (!v) {
		abort();
	}
	for (uint32_t k = 0; k < n; k++) {
		v[k].ip.family = get_u8(r);
		v[k].len = get_u8(r);
		get_bytes(r, v[k].ip.b, 16);
		r->failed = r->failed || (v[k].ip.family != 4 && v[k].ip.family != 6) ||
		            v[k].len > ip_bits(v[k].ip.family);
	}
	if (!reader_done(r)) {
		free(v);
		return;
	}
	free(learned[i].v);
	learned[i].v = v;
	learned[i].n = n;
	learned[i].there = there;
	index_all();
	for (size_t k = 0; k < connections.n; k++) {
		const struct resource *c = connections.v[k];

		if (given_by(c->id, circuit(c->doc)) == (int)i) {
			fabric_vnets(tenant_of(c->id)->number, NULL);
			return; /* a namespace has one connection */
		}
	}
}

/* ---- VNets without groups ---- */

void gateway_hold(void)
{
	const struct subnet *s;

	index_all();
	for (size_t i = 0; plane.config->n_gateways && i < gateways.n; i++) {
		AUTO_FREE char *id = vnet_of(gateways.v[i]->doc);
		struct resource *v = table_get(id);

		if (v && gateway_connection(gateways.v[i])) {
			vnet_hold(v, GATEWAY_SUBNET, true);
		}
	}
	size_t n = 0;
	while (subnet_at(n)) {
		n++;
	}
	while (n-- > 0) { /* backwards: one that goes moves those behind it */
		const struct resource *g;
		struct resource *v;

		s = subnet_at(n);
		v = s->held ? table_numbered(s->vnet) : NULL;
		g = v ? gateway_in(v->id) : NULL;
		if (v && !(g && gateway_connection(g))) {
			vnet_hold(v, GATEWAY_SUBNET, false);
		}
	}
}
