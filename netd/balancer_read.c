/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading a loadBalancers document: parts by name and reference, frontends' addresses, members of pools.
 * See balancer.h.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer_parts.h"

bool balancer_is(const struct resource *r)
{
	return strcmp(r->type->name, LB_TYPE) == 0;
}

json_t *lb_list(const json_t *doc, const char *list)
{
	return json_object_get(json_object_get(doc, "properties"), list);
}

json_t *lb_named(const json_t *doc, const char *list, const char *name, size_t *at)
{
	json_t *x;
	size_t i;

	json_array_foreach(lb_list(doc, list), i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			if (at) {
				*at = i;
			}
			return x;
		}
	}
	return NULL;
}

bool balancer_has_pool(const struct resource *r, const char *name)
{
	return lb_named(r->doc, LB_POOLS, name, NULL) != NULL;
}

json_t *lb_ref(const json_t *doc, const char *id, const char *list, const char *ref)
{
	size_t n = strlen(id), m = strlen(list);

	return strncasecmp(ref, id, n) == 0 && ref[n] == '/' &&
	                       strncasecmp(ref + n + 1, list, m) == 0 && ref[n + 1 + m] == '/'
	               ? lb_named(doc, list, ref + n + m + 2, NULL)
	               : NULL;
}

json_t *lb_rule_pool(const json_t *doc, const char *id, const json_t *rule, size_t i)
{
	const char *one = model_str(rule, "properties.backendAddressPool.id");
	json_t *x;
	size_t k;

	if (*one && i-- == 0) {
		return lb_ref(doc, id, LB_POOLS, one);
	}
	json_array_foreach(model_at(rule, "properties.backendAddressPools"), k, x)
	{
		if (strcasecmp(model_str(x, "id"), one) != 0 && i-- == 0) {
			return lb_ref(doc, id, LB_POOLS, model_str(x, "id"));
		}
	}
	return NULL;
}

uint8_t lb_front_family(const json_t *front)
{
	return model_is(front, "properties.privateIPAddressVersion", "IPv6") ? 6 : 4;
}

struct ip lb_front_address(const struct resource *r, const json_t *front, bool *inner)
{
	AUTO_FREE char *pip = table_key(model_str(front, "properties.publicIPAddress.id")),
		       *name = table_key(model_str(front, "name"));
	const struct resource *p = *pip ? table_get(pip) : NULL;

	const json_t *taken = json_object_get(json_object_get(r->status, "fronts"), name);

	*inner = !*pip;
	if (*pip) {
		return p ? table_ip(p->status, "address") : (struct ip){ 0 };
	}
	return table_ip(taken, "ip");
}

static struct resource *vnet_named(const char *id)
{
	AUTO_FREE char *key = table_key(id);
	char *cut = strstr(key, "/subnets/");

	if (cut) {
		*cut = '\0';
	}
	return *key ? table_get(key) : NULL;
}

static struct resource *vnet_of_pool(const json_t *pool)
{
	struct resource *v = vnet_named(model_str(pool, "properties.virtualNetwork.id"));
	json_t *x;
	size_t i;

	json_array_foreach(model_at(pool, "properties.loadBalancerBackendAddresses"), i, x)
	{
		v = v ? v : vnet_named(model_str(x, "properties.subnet.id"));
		v = v ? v : vnet_named(model_str(x, "properties.virtualNetwork.id"));
		if (v) {
			break;
		}
	}
	return v;
}

struct resource *lb_vnet(const struct resource *r)
{
	struct resource *v = NULL;
	json_t *x;
	size_t i;

	json_array_foreach(lb_list(r->doc, LB_FRONTS), i, x)
	{
		v = v ? v : vnet_named(model_str(x, "properties.subnet.id"));
	}
	json_array_foreach(lb_list(r->doc, LB_POOLS), i, x)
	{
		v = v ? v : vnet_of_pool(x);
	}
	return v;
}

const struct resource *balancer_vnet_of(const struct resource *r)
{
	return lb_vnet(r);
}

bool lb_ready(const struct lb_member *m)
{
	return m->group && group_takes_flows(m->group);
}

const struct resource *balancer_in(const struct resource *vnet, const char *subnet)
{
	const char *end = strchr(vnet->key + 15, '/');
	AUTO_FREE char *prefix = strndup(vnet->key, (size_t)(end - vnet->key) + 1);
	size_t n = strlen(vnet->id), k;
	json_t *x;

	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0; i++) {
		const struct resource *r = table_at(i);

		if (!balancer_is(r)) {
			continue;
		}
		json_array_foreach(lb_list(r->doc, LB_FRONTS), k, x)
		{
			const char *id = model_str(x, "properties.subnet.id");

			if (strncasecmp(id, vnet->id, n) == 0 &&
			    strncasecmp(id + n, "/subnets/", 9) == 0 &&
			    (!subnet || strcasecmp(id + n + 9, subnet) == 0)) {
				return r;
			}
		}
	}
	return NULL;
}

/* ---- presets ---- */

static void preset(json_t *x, const char *name, json_t *value)
{
	json_t *p = json_object_get(x, "properties");

	if (!p) {
		p = json_object();
		json_object_set_new(x, "properties", p);
	}
	if (!json_object_get(p, name)) {
		json_object_set(p, name, value);
	}
	json_decref(value);
}

/* As the REST API's responses show them. */
void balancer_presets(json_t *doc)
{
	static const char *const lists[] = { LB_FRONTS,  LB_POOLS,    LB_RULES,         LB_PROBES,
		                             LB_INBOUND, LB_OUTBOUND, "inboundNatPools" };
	json_t *x;
	size_t i;

	for (size_t k = 0; k < ARRAY_N(lists); k++) {
		preset(doc, lists[k], json_array());
	}
	json_array_foreach(lb_list(doc, LB_FRONTS), i, x)
	{
		preset(x, "privateIPAllocationMethod", json_string("Dynamic"));
		preset(x, "privateIPAddressVersion", json_string("IPv4"));
		if (model_is(x, "properties.privateIPAllocationMethod", "Dynamic")) {
			json_object_del(json_object_get(x, "properties"),
			                "privateIPAddress"); /* what GET returned is no wish */
		}
	}
	json_array_foreach(lb_list(doc, LB_RULES), i, x)
	{
		preset(x, "loadDistribution", json_string("Default"));
		preset(x, "backendPort", json_integer(0));
		preset(x, "idleTimeoutInMinutes", json_integer(4));
		preset(x, "enableFloatingIP", json_false());
		preset(x, "enableTcpReset", json_false());
		preset(x, "disableOutboundSnat", json_false());
	}
	json_array_foreach(lb_list(doc, LB_PROBES), i, x)
	{
		preset(x, "intervalInSeconds", json_integer(15));
		preset(x, "numberOfProbes", json_integer(2));
		preset(x, "probeThreshold", json_integer(1));
	}
	json_array_foreach(lb_list(doc, LB_INBOUND), i, x)
	{
		preset(x, "idleTimeoutInMinutes", json_integer(4));
		preset(x, "enableFloatingIP", json_false());
		preset(x, "enableTcpReset", json_false());
	}
	json_array_foreach(lb_list(doc, LB_OUTBOUND), i, x)
	{
		preset(x, "allocatedOutboundPorts", json_integer(0));
		preset(x, "idleTimeoutInMinutes", json_integer(4));
		preset(x, "enableTcpReset", json_false());
	}
}
