/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * virtualNetworks and their subnets as documents: which prefixes may be, what may change under
 * groups, the numbers that the kernel's objects are named by. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/addrblock.h"
#include "netd/balancer.h"
#include "netd/gateway.h"
#include "netd/home.h"
#include "netd/plane.h"
#include "netd/routing.h"
#include "netd/subnet.h"

#define ACI "Microsoft.ContainerInstance/containerGroups"

static uint32_t number(const json_t *status, const char *path)
{
	return (uint32_t)json_integer_value(model_at(status, path));
}

size_t vnet_subnet_prefixes(const json_t *subnet, struct ip_prefix *to, size_t max)
{
	const json_t *list = model_at(subnet, "properties.addressPrefixes");
	const char *one = model_str(subnet, "properties.addressPrefix");
	struct err e = ERR_INIT;
	size_t n = 0;

	for (size_t i = 0; i <= json_array_size(list) && n < max; i++) {
		const char *text = i == 0 ? one : json_string_value(json_array_get(list, i - 1));

		n += text && *text && ip_prefix_parse(text, &to[n], &e) == 0;
	}
	return n;
}

/* The first of each family. */
static void subnet_prefixes(const json_t *subnet, struct ip_prefix to[2])
{
	struct ip_prefix all[17];
	size_t n = vnet_subnet_prefixes(subnet, all, ARRAY_N(all));

	memset(to, 0, 2 * sizeof(*to));
	for (size_t i = 0; i < n; i++) {
		if (!to[all[i].ip.family == 6].ip.family) {
			to[all[i].ip.family == 6] = all[i];
		}
	}
}

static bool reserved(const struct ip_prefix *p)
{
	static const struct ip_prefix never[] = {
		{ { 4, { 224 } }, 4 },
		{ { 4, { 127 } }, 8 },
		{ { 4, { 169, 254 } }, 16 },
		{ { 4, { 168, 63, 129, 16 } }, 32 },
		{ { 4, { 255, 255, 255, 255 } }, 32 },
		{ { 4, { 0 } }, 8 },
		{ { 6, { 0xfe, 0x80 } }, 10 },
		{ { 6, { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 } }, 128 },
		{ { 6, { 0xff } }, 8 },
	};

	for (size_t i = 0; i < ARRAY_N(never); i++) {
		if (ip_prefix_overlaps(p, &never[i])) {
			return true;
		}
	}
	return false;
}

static int check_space(const json_t *list, struct err *e)
{
	struct ip_prefix a, b;
	char at[80];

	for (size_t i = 0; i < json_array_size(list); i++) {
		snprintf(at, sizeof(at), "properties.addressSpace.addressPrefixes[%zu]", i);
		if (ip_prefix_parse(json_string_value(json_array_get(list, i)), &a, e) < 0) {
			return -1;
		}
		if (reserved(&a) || a.len < (a.ip.family == 4 ? 2 : 16)) {
			return err_set_at(
				e, ERR_INVALID, "AddressPrefixNotAllowed", at,
				"Address prefix %s is too large or contains reserved addresses.",
				json_string_value(json_array_get(list, i)));
		}
		for (size_t k = 0; k < i; k++) {
			if (ip_prefix_parse(json_string_value(json_array_get(list, k)), &b, e) ==
			            0 &&
			    ip_prefix_overlaps(&a, &b)) {
				return err_set_at(
					e, ERR_INVALID, "AddressSpacePrefixesOverlap", at,
					"Address prefixes of the virtual network overlap.");
			}
		}
	}
	return 0;
}

static int check_subnet(const json_t *doc, size_t i, struct err *e)
{
	const json_t *subnet = json_array_get(model_at(doc, "properties.subnets"), i);
	const json_t *space = model_at(doc, "properties.addressSpace.addressPrefixes");
	struct ip_prefix mine[2], other[2], whole;
	char at[80];

	snprintf(at, sizeof(at), "properties.subnets[%zu]", i);
	subnet_prefixes(subnet, mine);
	if (!model_name_ok(model_str(subnet, "name")) ||
	    (!mine[0].ip.family && !mine[1].ip.family)) {
		return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", at,
		                  "A subnet needs a name and an address prefix.");
	}
	for (int f = 0; f < 2; f++) {
		bool inside = !mine[f].ip.family;

		for (size_t k = 0; k < json_array_size(space) && !inside; k++) {
			inside = ip_prefix_parse(json_string_value(json_array_get(space, k)),
			                         &whole, e) == 0 &&
			         ip_prefix_covers(&whole, &mine[f]);
		}
		if (!inside || mine[f].len > (f ? 64 : 29)) {
			return err_set_at(
				e, ERR_INVALID,
				inside ? "InvalidSubnetPrefixLength" : "NetcfgInvalidSubnet", at,
				"Subnet '%s' is not valid in the virtual network: its prefix must "
				"lie inside the address space, /29 or larger (IPv6: /64).",
				model_str(subnet, "name"));
		}
	}
	for (size_t k = 0; k < i; k++) {
		const json_t *o = json_array_get(model_at(doc, "properties.subnets"), k);

		subnet_prefixes(o, other);
		if (strcasecmp(model_str(o, "name"), model_str(subnet, "name")) == 0) {
			return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", at,
			                  "Two subnets are named '%s'.", model_str(o, "name"));
		}
		for (int f = 0; f < 2; f++) {
			if (mine[f].ip.family && other[f].ip.family &&
			    ip_prefix_overlaps(&mine[f], &other[f])) {
				return err_set_at(e, ERR_INVALID, "NetcfgSubnetRangesOverlap", at,
				                  "Subnet '%s' overlaps with subnet '%s'.",
				                  model_str(subnet, "name"), model_str(o, "name"));
			}
		}
	}
	return 0;
}

/* The subnet's number in the kernel, 0 before its first group. */
static uint32_t subnet_number(const struct resource *vnet, const char *name)
{
	AUTO_FREE char *low = table_key(name);

	return (uint32_t)json_integer_value(
		json_object_get(model_at(vnet->status, "subnets"), low));
}

unsigned network_subnet_groups(const struct resource *vnet, const char *name)
{
	const struct subnet *s =
		subnet_find(number(vnet->status, "serial"), subnet_number(vnet, name));

	return s ? s->groups : 0;
}

bool network_subnet_room(const struct resource *vnet, const char *name)
{
	const struct subnet *s =
		subnet_find(number(vnet->status, "serial"), subnet_number(vnet, name));
	bool has[2] = { false, false }, room[2] = { false, false };

	for (size_t i = 0; s && i < s->n_ranges; i++) {
		const struct subnet_range *r = &s->ranges[i];
		uint64_t size = ip_prefix_size(&r->prefix);
		unsigned kept = r->ipam.first + r->ipam.last;
		bool six = r->prefix.ip.family == 6;

		has[six] = true;
		room[six] = room[six] || (size > kept && r->groups < size - kept);
	}
	return has[0] == room[0] && has[1] == room[1];
}

bool network_subnet_used(const struct resource *vnet, const char *name)
{
	return network_subnet_groups(vnet, name) > 0 || balancer_in(vnet, name) != NULL;
}

static json_t *subnet_named(const json_t *doc, const char *name);

json_t *vnet_subnet(const struct resource *vnet, const char *name)
{
	return subnet_named(vnet->doc, name);
}

static json_t *subnet_named(const json_t *doc, const char *name)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(doc, "properties.subnets"), i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			return x;
		}
	}
	return NULL;
}

static const json_t *subnet_by_number(const struct resource *vnet, uint32_t n)
{
	const char *name;
	json_t *x;

	json_object_foreach(model_at(vnet->status, "subnets"), name, x)
	{
		if ((uint32_t)json_integer_value(x) == n) {
			return subnet_named(vnet->doc, name);
		}
	}
	return NULL;
}

struct resource *vnet_subnet_ref(const struct resource *vnet, uint32_t subnet, const char *what)
{
	char path[100];

	snprintf(path, sizeof(path), "properties.%s.id", what);
	const json_t *doc = subnet_by_number(vnet, subnet);
	AUTO_FREE char *low = table_key(doc ? model_str(doc, path) : "");
	return *low ? table_get(low) : NULL;
}

const char *vnet_property(const struct resource *r)
{
	static const char *const of[][2] = { { "Microsoft.Network/networkSecurityGroups",
		                               "networkSecurityGroup" },
		                             { "Microsoft.Network/routeTables", "routeTable" },
		                             { "Microsoft.Network/natGateways", "natGateway" } };

	for (size_t k = 0; k < ARRAY_N(of); k++) {
		if (strcmp(r->type->name, of[k][0]) == 0) {
			return of[k][1];
		}
	}
	return NULL;
}

uint32_t vnet_using(const struct resource *r, const char *property, size_t *i)
{
	const struct subnet *s;
	uint32_t last = *i > 0 && (s = subnet_at(*i - 1)) ? s->vnet : 0; /* told already */

	while ((s = subnet_at((*i)++))) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;

		if (v && vnet_subnet_ref(v, s->id, property) == r) {
			return s->vnet;
		}
	}
	(*i)--;
	return 0;
}

size_t vnet_space(const struct resource *v, struct ip_prefix *to, size_t max)
{
	struct err e = ERR_INIT;
	size_t n = 0, i;
	json_t *x;

	json_array_foreach(model_at(v->doc, "properties.addressSpace.addressPrefixes"), i, x)
	{
		if (n < max && ip_prefix_parse(json_string_value(x), &to[n], &e) == 0) {
			n++;
		}
	}
	return n;
}

bool vnet_default_outbound(const struct resource *vnet, uint32_t subnet)
{
	const json_t *doc = vnet ? subnet_by_number(vnet, subnet) : NULL;

	return !doc || (!*model_str(doc, "properties.natGateway.id") &&
	                !json_is_false(model_at(doc, "properties.defaultOutboundAccess")));
}

json_t *vnet_subnets_with(const struct resource *r, const char *path)
{
	json_t *list = json_array(), *x;
	char prefix[200], at[100], id[1400];
	size_t i;

	snprintf(at, sizeof(at), "%s.id", path);
	snprintf(prefix, sizeof(prefix), "%.*s/", (int)(strchr(r->key + 15, '/') - r->key), r->key);
	for (size_t k = table_from(prefix);
	     table_at(k) && strncmp(table_at(k)->key, prefix, strlen(prefix)) == 0; k++) {
		const struct resource *v = table_at(k);

		if (strcasecmp(v->type->name, "Microsoft.Network/virtualNetworks") != 0) {
			continue;
		}
		json_array_foreach(model_at(v->doc, "properties.subnets"), i, x)
		{
			if (strcasecmp(model_str(x, at), r->id) == 0) {
				snprintf(id, sizeof(id), "%s/subnets/%s", v->id,
				         model_str(x, "name"));
				json_array_append_new(list, json_pack("{s:s}", "id", id));
			}
		}
	}
	return list;
}

static bool delegated(const json_t *subnet)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(subnet, "properties.delegations"), i, x)
	{
		if (model_is(x, "properties.serviceName", ACI)) {
			return true;
		}
	}
	return false;
}

/* Services that Azure delegates subnets to; groups want the first. */
static int check_delegations(const json_t *subnet, const char *at, struct err *e)
{
	static const char *const known[] = {
		ACI,
		"Microsoft.ApiManagement/service",
		"Microsoft.App/environments",
		"Microsoft.AzureCosmosDB/clusters",
		"Microsoft.Batch/batchAccounts",
		"Microsoft.Databricks/workspaces",
		"Microsoft.DBforMySQL/flexibleServers",
		"Microsoft.DBforMySQL/servers",
		"Microsoft.DBforPostgreSQL/flexibleServers",
		"Microsoft.DBforPostgreSQL/serversv2",
		"Microsoft.DelegatedNetwork/controller",
		"Microsoft.HardwareSecurityModules/dedicatedHSMs",
		"Microsoft.LabServices/labplans",
		"Microsoft.Logic/integrationServiceEnvironments",
		"Microsoft.Netapp/volumes",
		"Microsoft.Network/dnsResolvers",
		"Microsoft.Network/managedResolvers",
		"Microsoft.PowerPlatform/vnetaccesslinks",
		"Microsoft.ServiceFabricMesh/networks",
		"Microsoft.Sql/managedInstances",
		"Microsoft.Sql/servers",
		"Microsoft.StreamAnalytics/streamingJobs",
		"Microsoft.Web/serverFarms",
	};
	json_t *x;
	size_t i;

	json_array_foreach(model_at(subnet, "properties.delegations"), i, x)
	{
		const char *name = model_str(x, "properties.serviceName");
		bool found = false;

		for (size_t k = 0; k < ARRAY_N(known) && !found; k++) {
			found = strcasecmp(known[k], name) == 0;
		}
		if (!found) {
			return err_set_at(e, ERR_INVALID, "InvalidServiceNameOnDelegation", at,
			                  "Invalid service name '%.80s' on delegation: " ACI
			                  " is what container groups need.",
			                  name);
		}
	}
	return 0;
}

/* Does a subnet of another VNet use the NAT gateway? */
static bool elsewhere(const char *id, const struct resource *nat)
{
	json_t *list = vnet_subnets_with(nat, "properties.natGateway"), *x;
	size_t i, n = strlen(id);
	bool found = false;

	json_array_foreach(list, i, x)
	{
		const char *subnet = model_str(x, "id");

		found = found || strncasecmp(subnet, id, n) != 0 || subnet[n] != '/';
	}
	json_decref(list);
	return found;
}

/* A subnet with groups in it stays, and stays as it is. */
static int check_used(const struct resource *r, const json_t *doc, struct err *e)
{
	struct ip_prefix now[17];
	json_t *x;
	size_t i;

	json_array_foreach(model_at(r->doc, "properties.subnets"), i, x)
	{
		const char *name = model_str(x, "name");
		const json_t *next = subnet_named(doc, name);
		const struct subnet *s =
			subnet_find(number(r->status, "serial"), subnet_number(r, name));

		if (!s) {
			continue;
		}
		if (!next) {
			return err_set_at(e, ERR_INVALID, "InUseSubnetCannotBeDeleted",
			                  "properties.subnets",
			                  "Subnet %s is in use and cannot be deleted.", name);
		}
		size_t n = vnet_subnet_prefixes(next, now, ARRAY_N(now));
		bool whole = s->groups == 0 || delegated(next);
		for (size_t k = 0; k < s->n_ranges; k++) {
			bool there = s->ranges[k].groups == 0;

			for (size_t l = 0; l < n && !there; l++) {
				there = now[l].len == s->ranges[k].prefix.len &&
				        ip_compare(&now[l].ip, &s->ranges[k].prefix.ip) == 0;
			}
			whole = whole && there;
		}
		if (!whole) {
			return err_set_at(
				e, ERR_INVALID, "InUseSubnetCannotBeUpdated", "properties.subnets",
				"Subnet %s is in use: its delegation and the prefixes that "
				"groups are in cannot be changed.",
				name);
		}
	}
	return 0;
}

/* Live subnets have the prefixes of their document, and those that groups are in. */
void vnet_ranges(struct resource *r)
{
	struct ip_prefix now[17];
	json_t *x;
	size_t i;

	json_array_foreach(model_at(r->doc, "properties.subnets"), i, x)
	{
		struct subnet *s = subnet_find(number(r->status, "serial"),
		                               subnet_number(r, model_str(x, "name")));
		size_t n = vnet_subnet_prefixes(x, now, ARRAY_N(now));

		for (size_t k = 0; s && k < n; k++) {
			(void)subnet_range_add(s, &now[k]);
		}
		if (s) {
			subnet_ranges_keep(s, now, n);
		}
	}
}

/* What a subnet names must be there, and the subscription's. */
static int check_refs(const char *id, const json_t *doc, struct err *e)
{
	static const struct {
		const char *path, *type;
	} refs[] = {
		{ "properties.networkSecurityGroup.id", "Microsoft.Network/networkSecurityGroups" },
		{ "properties.routeTable.id", "Microsoft.Network/routeTables" },
		{ "properties.natGateway.id", "Microsoft.Network/natGateways" },
	};
	json_t *x;
	size_t i;
	char at[140];

	json_array_foreach(model_at(doc, "properties.subnets"), i, x)
	{
		for (size_t k = 0; k < ARRAY_N(refs); k++) {
			const char *to = model_str(x, refs[k].path);
			AUTO_FREE char *low = table_key(to);
			const struct resource *t = *to ? table_get(low) : NULL;

			snprintf(at, sizeof(at), "properties.subnets[%zu].%s", i, refs[k].path);
			if (*to && (!t || strcasecmp(t->type->name, refs[k].type) != 0 ||
			            tenant_of(t->id) != tenant_of(id))) {
				return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
				                  "Resource %.300s referenced by %.100s was not "
				                  "found.",
				                  to, strrchr(id, '/') + 1);
			}
			if (t && strstr(refs[k].type, "/natGateways") && elsewhere(id, t)) {
				return err_set_at(
					e, ERR_INVALID,
					"NatGatewayCannotBeUsedBySubnetsBelongingToDifferent"
					"VirtualNetworks",
					at,
					"NAT gateway %s is used by subnets of another virtual "
					"network.",
					t->name);
			}
		}
		snprintf(at, sizeof(at), "properties.subnets[%zu].properties.delegations", i);
		if (check_delegations(x, at, e) < 0) {
			return -1;
		}
	}
	return 0;
}

int network_vnet_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	size_t n = json_array_size(model_at(doc, "properties.subnets"));

	if (check_space(model_at(doc, "properties.addressSpace.addressPrefixes"), e) < 0) {
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (check_subnet(doc, i, e) < 0) {
			return -1;
		}
	}
	if (check_refs(id, doc, e) < 0 || routing_check_peerings(id, doc, e) < 0) {
		return -1;
	}
	const struct resource *gateway = r ? gateway_in(r->id) : NULL;
	if (gateway && !subnet_named(doc, GATEWAY_SUBNET)) {
		return err_set_at(
			e, ERR_INVALID, "InUseSubnetCannotBeDeleted", "properties.subnets",
			"Subnet " GATEWAY_SUBNET " is in use by %.300s and cannot be deleted.",
			gateway->id);
	}
	return r ? check_used(r, doc, e) : 0;
}

const struct resource *network_vnet_user(const struct resource *vnet, const char *except)
{
	size_t n = except ? strlen(except) : 0;
	bool is = strstr(vnet->type->name, "virtualNetworks") != NULL;
	uint32_t serial = is ? number(vnet->status, "serial") : 0;

	for (size_t i = 0; serial && i < plane.n; i++) {
		const struct resource *g = plane.v[i];

		if (g->group && number(g->status, "vnet") == serial &&
		    !(except && strncmp(g->key, except, n) == 0)) {
			return g;
		}
	}
	return NULL;
}

/* Numbers for the VNet and its subnets, where they have none yet. */
static void number_vnet(struct resource *r)
{
	json_t *had = model_at(r->status, "subnets"), *now = json_object(), *x;
	size_t i;

	(void)table_number(r);
	json_array_foreach(model_at(r->doc, "properties.subnets"), i, x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "name"));
		json_t *n = json_object_get(had, low);

		json_object_set_new(now, low, n ? json_incref(n) : json_integer(table_serial()));
	}
	json_object_set_new(r->status, "subnets", now);
}

int network_vnet_subnet(const struct resource *g, const char *id, struct resource **vnet,
                        struct subnet **ret, struct err *e)
{
	static const char at[] = "properties.subnetIds[0].id";
	AUTO_FREE char *whole = strdup(id);
	struct model_id parts;
	struct ip_prefix prefix[17];

	if (model_id_parse(id, &parts) < 0 || !parts.child ||
	    strcasecmp(parts.child_type, "subnets") != 0) {
		return err_set_at(e, ERR_INVALID, "LinkedInvalidPropertyId", at,
		                  "Property id '%.200s' is not a subnet's id.", id);
	}
	*strcasestr(whole, "/subnets/") = '\0';
	struct resource *v = reference(g, whole, "Microsoft.Network/virtualNetworks", at, e);
	const json_t *found = v ? subnet_named(v->doc, parts.child) : NULL;
	if (!found) { /* a foreign one is answered like one that is not there */
		return reference_absent(id, g, at, e);
	}
	if (!delegated(found)) {
		return err_set_at(e, ERR_INVALID, "SubnetMissingRequiredDelegation", at,
		                  "Subnet missing required delegation '" ACI
		                  "' for container group '%s'.",
		                  g->name);
	}
	number_vnet(v);
	size_t n = vnet_subnet_prefixes(found, prefix, ARRAY_N(prefix));
	*ret = subnet_make(number(v->status, "serial"), subnet_number(v, parts.child));
	for (size_t i = 0; i < n; i++) {
		(void)subnet_range_add(*ret, &prefix[i]);
	}
	(*ret)->shared = table_ip(v->status, "shared");
	*vnet = v;
	return 0;
}

int vnet_subnet_check(const char *from, const char *id, const char *at, struct err *e)
{
	AUTO_FREE char *key = table_key(id);
	char *cut = strstr(key, "/subnets/");

	if (cut) {
		*cut = '\0';
	}
	const struct resource *v = cut ? table_get(key) : NULL;
	const json_t *subnet =
		v && tenant_of(v->id) == tenant_of(from) ? vnet_subnet(v, cut + 9) : NULL;
	if (!subnet) {
		return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
		                  "Subnet %.300s was not found.", id);
	}
	return delegated(subnet) ? 0
	                         : err_set_at(e, ERR_INVALID, "SubnetMissingRequiredDelegation", at,
	                                      "Subnet missing required delegation '" ACI "'.");
}

void vnet_hold(struct resource *v, const char *name, bool held)
{
	struct ip_prefix prefix[17];
	const json_t *doc = subnet_named(v->doc, name);
	struct subnet *s = subnet_find(number(v->status, "serial"), subnet_number(v, name));

	if (!doc || held == (s && s->held)) {
		return;
	}
	if (!held) {
		s->held = false;
		if (s->groups == 0) {
			network_subnet_gone(s);
		}
		return;
	}
	number_vnet(v);
	uint32_t vnet = number(v->status, "serial");
	struct err e = ERR_INIT;
	struct node *n = NULL;
	home_restore(v, vnet);
	if (!subnet_any(vnet) && !json_object_get(v->status, "node") &&
	    home_choose(vnet, false, NULL, NULL, &n, &e) == 0) {
		home_note(v, vnet, n);
	}
	table_save(&v, 1, control_saved, NULL);
	size_t count = vnet_subnet_prefixes(doc, prefix, ARRAY_N(prefix));
	s = subnet_make(number(v->status, "serial"), subnet_number(v, name));
	for (size_t i = 0; i < count; i++) {
		(void)subnet_range_add(s, &prefix[i]);
	}
	s->held = true;
}

static struct subnet *subnet_called(const struct resource *v, const char *name)
{
	return subnet_find(number(v->status, "serial"), subnet_number(v, name));
}

int vnet_address_take(struct resource *v, const char *name, const struct ip *want, uint8_t family,
                      struct ip *ret, struct err *e)
{
	struct subnet *s = subnet_called(v, name);
	struct subnet_range *r = s && want->family ? subnet_range_of(s, want) : NULL;
	int64_t now = clock_system.now_ms(&clock_system);

	for (size_t i = 0; s && i < s->n_ranges; i++) {
		struct subnet_range *x = &s->ranges[i];

		if (x->prefix.ip.family != family || (r && x != r)) {
			continue;
		}
		if (ipam_take(&x->ipam, want->family ? want : NULL, tenant_of(v->id)->number, now,
		              ret, e) == 0) {
			x->groups++;
			addrblock_note(s->vnet, ret, NULL);
			return 0;
		}
	}
	return e->msg[0] ? -1 : err_set(e, ERR_INVALID, 0, "no such address in the subnet");
}

void vnet_address_give(struct resource *v, const char *name, const struct ip *ip)
{
	struct subnet *s = subnet_called(v, name);
	struct subnet_range *r = s ? subnet_range_of(s, ip) : NULL;

	if (r) {
		ipam_give(&r->ipam, ip, tenant_of(v->id)->number,
		          clock_system.now_ms(&clock_system) + plane.config->rest_s * 1000);
		blocks_given(&r->blocks, &r->prefix, ip);
		r->groups--;
		addrblock_note(s->vnet, ip, NULL);
	}
}
