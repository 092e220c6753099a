/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What GET returns: the document as it was sent and what the service adds. See plane.h.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/gateway.h"
#include "netd/guest.h"
#include "netd/ngroup.h"
#include "netd/plane.h"
#include "netd/profile.h"
#include "netd/refused.h"
#include "netd/routing.h"
#include "netd/security.h"
#include "netd/zone.h"

json_t *view_subscription(const char *id)
{
	AUTO_FREE char *low = table_key(id);
	char path[200];

	snprintf(path, sizeof(path), "/subscriptions/%.150s", low);
	const struct resource *x = table_get(path);
	const char *name = x ? model_str(x->doc, "displayName") : "";
	json_t *view =
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "id", path, "subscriptionId", low,
	                  "tenantId", plane.config->tenant_id, "displayName", *name ? name : low,
	                  "state", "Enabled", "subscriptionPolicies", "spendingLimit", "Off");
	if (x && json_object_get(x->doc, "tags")) {
		json_object_set(view, "tags", json_object_get(x->doc, "tags"));
	}
	return view;
}

json_t *view_child(const struct resource *r, const char *type, const char *name)
{
	struct resource only = *r;
	json_t *x, *list = json_array(), *found = NULL;
	char path[120];
	size_t i;

	/* A parent with that part alone, so that a thousand others are not copied. */
	snprintf(path, sizeof(path), "properties.%s", type);
	json_array_foreach(model_at(r->doc, path), i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			json_array_append(list, x);
		}
	}
	only.doc = json_pack("{s:{s:o}}", "properties", type, list);
	/* A load balancer's parts tell of each other. */
	json_t *view = view_resource(balancer_is(r) ? r : &only);
	json_decref(only.doc);
	json_array_foreach(model_at(view, path), i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			found = json_incref(x);
		}
	}
	if (found) {
		json_object_set(found, "etag", json_object_get(view, "etag"));
	}
	json_decref(view);
	return found;
}

/* One in a subnet has an address, also when its document says nothing of it: its containers' ports are reached by it. */
static json_t *private_address(json_t *props)
{
	json_t *ports = json_array(), *ip, *x;
	size_t i;

	json_array_foreach(json_object_get(props, "containers"), i, x)
	{
		json_array_extend(ports, model_at(x, "properties.ports"));
	}
	ip = json_pack("{s:s, s:o}", "type", "Private", "ports", ports);
	json_object_set_new(props, "ipAddress", ip);
	return ip;
}

/* A container as Azure tells of it; of one that the runtime has not spoken of yet, that it waits. */
static json_t *container_view(const json_t *state, bool guest)
{
	json_t *view = state   ? json_deep_copy(state)
	               : guest ? json_pack("{s:i, s:{s:s}}", "restartCount", 0, "currentState",
	                                   "state", "Running")
	                       : json_pack("{s:i, s:{s:s, s:s}}", "restartCount", 0, "currentState",
	                                   "state", "Waiting", "detailStatus", "ContainerCreating");

	if (!json_object_get(view, "events")) {
		json_object_set_new(view, "events", json_array());
	}
	return view;
}

static void view_group(const struct resource *r, json_t *props)
{
	json_t *view = json_object(), *ip = json_object_get(props, "ipAddress"), *x;
	const json_t *states = json_object_get(r->status, "containers");
	const char *state = group_state(r);
	size_t i;

	json_object_set_new(
		view, "state",
		json_string(*model_str(r->status, "evicted") ? model_str(r->status, "evicted")
	                    : json_is_true(json_object_get(r->status, "stopped")) ? "Stopped"
	                    : strcmp(state, "Succeeded") == 0                     ? "Running"
	                                                                          : "Pending"));
	json_t *events = json_object_get(r->status, "events");
	json_object_set_new(view, "events", events ? json_deep_copy(events) : json_array());
	json_object_set_new(props, "instanceView", view);
	if (!ip && json_array_size(json_object_get(props, "subnetIds"))) {
		ip = private_address(props);
	}
	const struct resource *ngroup = table_get(model_str(r->status, "orchestrator"));
	if (ngroup) {
		json_object_set_new(props, "orchestratorId", json_string(ngroup->id));
	}
	if (ip) {
		const char *own = model_is(ip, "type", "Public") ? "pub4" : "ip4";

		if (*model_str(r->status, own)) {
			json_object_set(ip, "ip", json_object_get(r->status, own));
		}
		if (*model_str(r->status, "fqdn")) {
			json_object_set(ip, "fqdn", json_object_get(r->status, "fqdn"));
		}
	}
	json_array_foreach(json_object_get(props, "containers"), i, x)
	{
		json_t *c = json_object_get(states, model_str(x, "name"));

		json_object_set_new(json_object_get(x, "properties"), "instanceView",
		                    container_view(c, guest_of(r) != NULL));
	}
}

/* A subnet in use has the link that Azure shows; it never keeps anybody from deleting it. */
static void view_subnet(const struct resource *vnet, const json_t *subnet, json_t *props)
{
	json_t *x;
	size_t i;

	json_object_set_new(props, "provisioningState", json_string("Succeeded"));
	json_array_foreach(json_object_get(props, "delegations"), i, x)
	{
		json_t *p = json_object_get(x, "properties");

		json_object_set_new(p, "provisioningState", json_string("Succeeded"));
		json_object_set_new(p, "actions",
		                    json_pack("[s]", "Microsoft.Network/virtualNetworks/subnets/"
		                                     "action"));
	}
	if (network_subnet_used(vnet, model_str(subnet, "name"))) {
		json_object_set_new(
			props, "serviceAssociationLinks",
			json_pack("[{s:s, s:{s:s, s:s, s:b}}]", "name", "acisal", "properties",
		                  "provisioningState", "Succeeded", "linkedResourceType",
		                  "Microsoft.ContainerInstance/containerGroups", "allowDelete", 1));
	}
}

/* Of public addresses and their prefixes: what they were given, and who uses it. */
static void view_address(const struct resource *r, json_t *props)
{
	const char *name;
	json_t *x;

	if (*model_str(r->status, "address") || *model_str(r->status, "ipPrefix")) {
		const struct resource *nat = routing_nat_of(r);

		if (nat) {
			json_object_set_new(props, "natGateway", json_pack("{s:s}", "id", nat->id));
		}
	}
	if (*model_str(r->status, "ipPrefix")) {
		json_object_set(props, "ipPrefix", json_object_get(r->status, "ipPrefix"));
		json_t *list = json_array();
		json_object_foreach(json_object_get(r->status, "used"), name, x)
		{
			json_array_append_new(list, json_pack("{s:O}", "id", x));
		}
		json_object_set_new(props, "publicIPAddresses", list);
	}
	if (*model_str(r->status, "address")) {
		json_object_set(props, "ipAddress", json_object_get(r->status, "address"));
	}
	if (*model_str(r->status, "fqdn")) {
		json_object_set(json_object_get(props, "dnsSettings"), "fqdn",
		                json_object_get(r->status, "fqdn"));
	}
}

json_t *view_resource(const struct resource *r)
{
	if (r->type == model_type_find("Microsoft.Resources/subscriptions")) {
		return view_subscription(r->name);
	}
	json_t *doc = json_deep_copy(r->doc), *props = json_object_get(doc, "properties"), *x;
	const char *state = r->deleting           ? "Deleting"
	                    : refused_concerns(r) ? "Failed"
	                                          : group_state(r);
	char etag[64];
	size_t i;

	if (!props) {
		props = json_object();
		json_object_set_new(doc, "properties", props);
	}
	json_object_set_new(doc, "id", json_string(r->id));
	json_object_set_new(doc, "name", json_string(r->name));
	json_object_set_new(doc, "type", json_string(r->type->name));
	json_object_set_new(props, "provisioningState", json_string(state));
	if (r->group) {
		view_group(r, props);
		return doc;
	}
	if (strstr(r->type->name, "Network/")) {
		snprintf(etag, sizeof(etag), "W/\"%llu\"", (unsigned long long)r->etag);
		json_object_set_new(doc, "etag", json_string(etag));
	}
	if (strncmp(r->type->name, ZONE_TYPE, sizeof(ZONE_TYPE) - 1) == 0) {
		zone_view(r, doc);
		return doc;
	}
	if (strstr(r->type->name, "/virtualNetworks")) {
		routing_view_vnet(r, props);
	}
	json_array_foreach(json_object_get(props, "subnets"), i, x)
	{
		char id[1400];

		snprintf(id, sizeof(id), "%s/subnets/%s", r->id, model_str(x, "name"));
		json_object_set_new(x, "id", json_string(id));
		json_object_set_new(x, "type",
		                    json_string("Microsoft.Network/virtualNetworks/subnets"));
		view_subnet(r, x, json_object_get(x, "properties"));
	}
	if (balancer_is(r)) {
		balancer_view(r, props);
	} else if (strcmp(r->type->name, PROFILE_OF_GROUPS) == 0) {
		profile_view(r, props);
	} else if (ngroup_is(r)) {
		json_object_set_new(props, "provisioningState", json_string(ngroup_state(r)));
	}
	if (strstr(r->type->name, "/networkSecurityGroups")) {
		security_view(r, props);
	}
	if (strstr(r->type->name, "/virtualNetworkGateways") ||
	    strstr(r->type->name, "/connections")) {
		gateway_view(r, props);
	}
	if (strstr(r->type->name, "/routeTables") || strstr(r->type->name, "/natGateways")) {
		routing_view(r, props);
	}
	view_address(r, props);
	return doc;
}
