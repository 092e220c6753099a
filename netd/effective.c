/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Effective routes and security rules of a group, as Azure's networkInterfaces show them. See trace.h.
 */
#include <stdio.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/gateway.h"
#include "netd/message.h"
#include "netd/routing.h"
#include "netd/trace.h"

static uint32_t number(const struct resource *r, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, key));
}

static json_t *route_json(const char *name, const char *source, bool active, const char *prefix,
                          const char *type, const char *hop_ip)
{
	json_t *x = json_pack("{s:s, s:s, s:[s], s:s, s:[]}", "source", source, "state",
	                      active ? "Active" : "Invalid", "addressPrefix", prefix, "nextHopType",
	                      type, "nextHopIpAddress");

	if (name) {
		json_object_set_new(x, "name", json_string(name));
	}
	if (hop_ip) {
		json_array_append_new(json_object_get(x, "nextHopIpAddress"), json_string(hop_ip));
	}
	return x;
}

static bool overridden(const struct routing_route *v, size_t n, const char *prefix)
{
	struct err e = ERR_INIT;
	struct ip_prefix p;

	for (size_t i = 0; i < n && ip_prefix_parse(prefix, &p, &e) == 0; i++) {
		if (v[i].prefix.len == p.len && ip_compare(&v[i].prefix.ip, &p.ip) == 0) {
			return true;
		}
	}
	return false;
}

json_t *trace_effective_routes(const struct resource *g)
{
	static struct routing_route routes[ROUTING_ROUTES_MAX];
	static struct ip_prefix learned[LEARNED_MAX];
	uint32_t vnet = number(g, "vnet");
	const struct resource *v = table_numbered(vnet);
	const struct resource *table =
		v ? vnet_subnet_ref(v, number(g, "subnet"), "routeTable") : NULL;
	bool off = table &&
	           json_is_true(model_at(table->doc, "properties.disableBgpRoutePropagation"));
	size_t n = table ? routing_routes(table, routes, ROUTING_ROUTES_MAX) : 0, i;
	struct routing_peer peer;
	struct gateway_path path;
	json_t *list = json_array(), *x;
	char text[IP_TEXT], prefix[IP_TEXT];

	json_array_foreach(model_at(v ? v->doc : NULL, "properties.addressSpace.addressPrefixes"),
	                   i, x)
	{
		const char *p = json_string_value(x);

		json_array_append_new(list, route_json(NULL, "Default", !overridden(routes, n, p),
		                                       p, "VnetLocal", NULL));
	}
	for (size_t k = 0; v && routing_peer(v, k, &peer); k++) {
		json_array_foreach(
			model_at(peer.vnet->doc, "properties.addressSpace.addressPrefixes"), i, x)
		{
			const char *p = json_string_value(x);

			json_array_append_new(list,
			                      route_json(NULL, "Default", !overridden(routes, n, p),
			                                 p, "VNetPeering", NULL));
		}
	}
	bool internet = true;
	size_t m = v && !off ? gateway_routes(v, learned, LEARNED_MAX, &path) : 0;
	for (size_t k = 0; k < m; k++) {
		const char *p = ip_prefix_format(&learned[k], prefix);

		internet = internet && !(learned[k].len == 0 && learned[k].ip.family == 4);
		json_array_append_new(list, route_json(NULL, "VirtualNetworkGateway",
		                                       !overridden(routes, n, p), p,
		                                       "VirtualNetworkGateway", NULL));
	}
	internet = internet && !overridden(routes, n, "0.0.0.0/0");
	json_array_append_new(list,
	                      route_json(NULL, "Default", internet, "0.0.0.0/0", "Internet", NULL));
	for (size_t k = 0; k < n; k++) {
		json_array_append_new(
			list,
			route_json(routes[k].name, "User", true,
		                   ip_prefix_format(&routes[k].prefix, prefix), routes[k].type,
		                   routes[k].hop.family ? ip_format(&routes[k].hop, text) : NULL));
	}
	return json_pack("{s:o}", "value", list);
}

json_t *trace_effective_rules(const struct resource *g)
{
	const struct resource *v = table_numbered(number(g, "vnet"));
	const struct resource *nsg =
		v ? vnet_subnet_ref(v, number(g, "subnet"), "networkSecurityGroup") : NULL;
	json_t *list = json_array(), *rules = json_array(), *x;
	size_t i;

	if (!nsg) {
		json_decref(rules);
		return json_pack("{s:o}", "value", list);
	}
	json_t *view = view_resource(nsg);
	static const char *const parts[] = { "properties.securityRules",
		                             "properties.defaultSecurityRules" };
	for (size_t k = 0; k < ARRAY_N(parts); k++) {
		json_array_foreach(model_at(view, parts[k]), i, x)
		{
			json_t *rule = json_deep_copy(json_object_get(x, "properties"));
			char name[120];

			snprintf(name, sizeof(name), "%s/%s", strrchr(parts[k], '.') + 1,
			         model_str(x, "name"));
			json_object_set_new(rule, "name", json_string(name));
			json_object_del(rule, "provisioningState");
			json_object_del(rule, "description");
			json_array_append_new(rules, rule);
		}
	}
	json_decref(view);
	json_array_append_new(
		list,
		json_pack("{s:{s:s}, s:{s:{s:s}}, s:o}", "networkSecurityGroup", "id", nsg->id,
	                  "association", "subnet", "id",
	                  model_str(json_array_get(model_at(g->doc, "properties.subnetIds"), 0),
	                            "id"),
	                  "effectiveSecurityRules", rules));
	return json_pack("{s:o}", "value", list);
}
