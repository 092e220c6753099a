/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Load balancers as GET shows them: ids, what refers to what, members as they are, health, ports. See
 * balancer.h.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer_live.h"

static void part_id(const struct resource *r, const char *list, const json_t *x,
                    char to[static 1400])
{
	snprintf(to, 1400, "%s/%s/%s", r->id, list, model_str(x, "name"));
}

static void view_parts(const struct resource *r, json_t *props, const char *list)
{
	char id[1400], type[120], etag[64];
	json_t *x;
	size_t i;

	snprintf(type, sizeof(type), "%s/%s", r->type->name, list);
	snprintf(etag, sizeof(etag), "W/\"%llu\"", (unsigned long long)r->etag);
	json_array_foreach(json_object_get(props, list), i, x)
	{
		json_t *p = json_object_get(x, "properties");

		if (!p) {
			p = json_object();
			json_object_set_new(x, "properties", p);
		}
		part_id(r, list, x, id);
		json_object_set_new(x, "id", json_string(id));
		json_object_set_new(x, "type", json_string(type));
		json_object_set_new(x, "etag", json_string(etag));
		json_object_set_new(p, "provisioningState", json_string("Succeeded"));
	}
}

/* Puts [{"id": ...}] of all members of `from` whose property names one of `list` into that one. */
static void link_back(const struct resource *r, json_t *props, const char *list, const char *from,
                      const char *property)
{
	char path[120], id[1400];
	json_t *x, *y;
	size_t i, k;

	snprintf(path, sizeof(path), "properties.%s", property);
	json_array_foreach(json_object_get(props, from), i, x)
	{
		json_t *refs = model_at(x, path);
		bool many = json_is_array(refs);

		part_id(r, from, x, id);
		for (k = 0; k < (many ? json_array_size(refs) : refs != NULL); k++) {
			const json_t *ref = many ? json_array_get(refs, k) : refs;
			const char *name = strrchr(model_str(ref, "id"), '/');
			size_t m;

			json_array_foreach(json_object_get(props, list), m, y)
			{
				json_t *p = json_object_get(y, "properties"), *back;

				if (!name || strcasecmp(name + 1, model_str(y, "name")) != 0) {
					continue;
				}
				if (!(back = json_object_get(p, from))) {
					back = json_array();
					json_object_set_new(p, from, back);
				}
				json_array_append_new(back, json_pack("{s:s}", "id", id));
			}
		}
	}
}

static json_t *mapping(const struct resource *r, const char *pool, const struct ip *ip, bool full)
{
	json_t *list = json_array(), *x;
	size_t i;

	json_array_foreach(lb_list(r->doc, LB_INBOUND), i, x)
	{
		const char *of = strrchr(model_str(x, "properties.backendAddressPool.id"), '/');
		uint16_t port = of && strcasecmp(of + 1, pool) == 0
		                        ? lb_range_port(r, model_str(x, "name"), ip)
		                        : 0;

		if (port) {
			json_t *m = json_pack("{s:s, s:i, s:O}", "inboundNatRuleName",
			                      model_str(x, "name"), "frontendPort", port,
			                      "backendPort", model_at(x, "properties.backendPort"));

			if (full) {
				json_object_set(m, "protocol", model_at(x, "properties.protocol"));
			}
			json_array_append_new(list, m);
		}
	}
	return list;
}

/* Members that joined by their NGroup stand beside those of the document. */
static void view_pool(const struct resource *r, const json_t *pool, json_t *props)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	size_t n = lb_members(r, pool, v, LB_MEMBERS_MAX);
	json_t *list = json_object_get(props, "loadBalancerBackendAddresses");
	const struct resource *vnet = lb_vnet(r);
	char text[IP_TEXT];

	for (size_t i = 0; i < n; i++) {
		json_t *x = v[i].joined ? NULL : json_array_get(list, i);
		json_t *ports = mapping(r, model_str(pool, "name"), &v[i].ip, false);

		if (v[i].joined) {
			x = json_pack("{s:s, s:{s:s}}", "name", v[i].name, "properties",
			              "ipAddress", ip_format(&v[i].ip, text));
			const json_t *subnet = json_array_get(
				model_at(v[i].group->doc, "properties.subnetIds"), 0);
			if (*model_str(subnet, "id")) {
				json_object_set_new(
					json_object_get(x, "properties"), "subnet",
					json_pack("{s:s}", "id", model_str(subnet, "id")));
			} else if (vnet) {
				json_object_set_new(json_object_get(x, "properties"),
				                    "virtualNetwork",
				                    json_pack("{s:s}", "id", vnet->id));
			}
			if (!list) {
				list = json_array();
				json_object_set_new(props, "loadBalancerBackendAddresses", list);
			}
			json_array_append_new(list, x);
		}
		if (x && json_array_size(ports) > 0) {
			json_object_set(json_object_get(x, "properties"),
			                "inboundNatRulesPortMapping", ports);
		}
		json_decref(ports);
	}
}

void balancer_view(const struct resource *r, json_t *props)
{
	static const char *const lists[] = { LB_FRONTS, LB_POOLS,   LB_RULES,
		                             LB_PROBES, LB_INBOUND, LB_OUTBOUND };
	char text[IP_TEXT];
	json_t *x;
	size_t i;
	bool inner;

	for (size_t k = 0; k < ARRAY_N(lists); k++) {
		view_parts(r, props, lists[k]);
	}
	json_array_foreach(json_object_get(props, LB_FRONTS), i, x)
	{
		struct ip ip = lb_front_address(r, x, &inner);

		if (inner && ip.family) {
			json_object_set_new(json_object_get(x, "properties"), "privateIPAddress",
			                    json_string(ip_format(&ip, text)));
		}
	}
	json_array_foreach(json_object_get(props, LB_POOLS), i, x)
	{
		const json_t *pool = lb_named(r->doc, LB_POOLS, model_str(x, "name"), NULL);

		if (pool) {
			view_pool(r, pool, json_object_get(x, "properties"));
		}
	}
	link_back(r, props, LB_FRONTS, LB_RULES, "frontendIPConfiguration");
	link_back(r, props, LB_FRONTS, LB_INBOUND, "frontendIPConfiguration");
	link_back(r, props, LB_FRONTS, LB_OUTBOUND, "frontendIPConfigurations");
	link_back(r, props, LB_POOLS, LB_RULES, "backendAddressPool");
	link_back(r, props, LB_POOLS, LB_RULES, "backendAddressPools");
	link_back(r, props, LB_POOLS, LB_INBOUND, "backendAddressPool");
	link_back(r, props, LB_POOLS, LB_OUTBOUND, "backendAddressPool");
	link_back(r, props, LB_PROBES, LB_RULES, "probe");
}

json_t *balancer_health(const struct resource *r, const char *name)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const json_t *rule = lb_named(r->doc, LB_RULES, name, NULL);
	const char *probe = strrchr(model_str(rule, "properties.probe.id"), '/');
	json_t *list = json_array(), *pool;
	int up = 0, down = 0;
	char text[IP_TEXT], why[64];

	if (!rule) {
		json_decref(list);
		return NULL;
	}
	for (size_t i = 0; (pool = lb_rule_pool(r->doc, r->id, rule, i)); i++) {
		size_t n = lb_members(r, pool, v, LB_MEMBERS_MAX);

		for (size_t k = 0; k < n; k++) {
			enum lb_health h =
				probe ? lb_health_of(r, probe + 1, &v[k].ip, why) : LB_UP;
			bool good = lb_ready(&v[k]) && v[k].admin != LB_ADMIN_DOWN &&
			            (h == LB_UP || v[k].admin == LB_ADMIN_UP);

			if (!probe) {
				snprintf(why, sizeof(why), "no probe");
			}
			up += good;
			down += !good;
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:s, s:s}", "ipAddress",
			                  ip_format(&v[k].ip, text),
			                  "networkInterfaceIPConfigurationId", "", "state",
			                  good ? "Up" : "Down", "reason",
			                  v[k].admin == LB_ADMIN_DOWN ? "adminState is Down"
			                  : v[k].admin == LB_ADMIN_UP ? "adminState is Up"
			                  : !v[k].group      ? "no container group has the address"
			                  : !lb_ready(&v[k]) ? "the container group is not ready"
			                                     : why));
		}
	}
	return json_pack("{s:i, s:i, s:o}", "up", up, "down", down, "loadBalancerBackendAddresses",
	                 list);
}

json_t *balancer_ports(const struct resource *r, const char *pool, const json_t *body)
{
	struct ip ip = table_ip(body, "ipAddress");

	return lb_named(r->doc, LB_POOLS, pool, NULL)
	               ? json_pack("{s:o}", "inboundNatRulePortMappings",
	                           mapping(r, pool, &ip, true))
	               : NULL;
}

/* Members of a rule's pools with the part of its slots that leads to each. */
static json_t *rule_shares(const struct resource *r, const json_t *rule)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	json_auto_t *health = balancer_health(r, model_str(rule, "name"));
	json_t *list = json_array(), *pool;
	const json_t *states = json_object_get(health, "loadBalancerBackendAddresses");
	size_t at = 0;
	char text[IP_TEXT];

	for (size_t i = 0; (pool = lb_rule_pool(r->doc, r->id, rule, i)); i++) {
		size_t n = lb_members(r, pool, v, LB_MEMBERS_MAX);

		for (size_t k = 0; k < n; k++) {
			const json_t *x = json_array_get(states, at++);

			json_array_append_new(
				list, json_pack("{s:s, s:s, s:s, s:s, s:i, s:f}", "name", v[k].name,
			                        "ipAddress", ip_format(&v[k].ip, text), "state",
			                        model_str(x, "state"), "reason",
			                        model_str(x, "reason"), "weight", (int)v[k].weight,
			                        "share", lb_share(r, rule, &v[k].ip)));
		}
	}
	return list;
}

json_t *balancer_shares(const struct resource *r)
{
	json_t *list = json_array(), *x;
	size_t i;

	json_array_foreach(lb_list(r->doc, LB_RULES), i, x)
	{
		bool inner;
		struct ip ip = lb_front_address(
			r,
			lb_ref(r->doc, r->id, LB_FRONTS,
		               model_str(x, "properties.frontendIPConfiguration.id")),
			&inner);

		json_array_append_new(list,
		                      json_pack("{s:s, s:o, s:o}", "name", model_str(x, "name"),
		                                "availability", lb_available(r->balancer, x, &ip),
		                                "members", rule_shares(r, x)));
	}
	return json_pack("{s:o}", "value", list);
}

/* A label's value as Prometheus' text format has it. */
static void add_label(struct buf *to, const char *name, const char *value)
{
	buf_addf(to, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\') {
			buf_addf(to, "\\");
		}
		buf_addf(to, "%c", *value);
	}
	buf_addf(to, "\"");
}

static void add_metric(struct buf *to, const char *name, struct buf *labels, double value)
{
	buf_addf(to, "netd_lb_%s{%s} %g\n", name, buf_str(labels), value);
}

static void rule_metrics(const struct balancer *b, const json_t *rule, struct buf *to)
{
	const json_t *front = lb_ref(b->r->doc, b->r->id, LB_FRONTS,
	                             model_str(rule, "properties.frontendIPConfiguration.id"));
	AUTO_BUF struct buf labels = { 0 };
	char text[IP_TEXT];
	bool inner;
	struct ip ip = lb_front_address(b->r, front, &inner);

	if (!ip.family) {
		return;
	}
	add_label(&labels, "lb", b->r->id);
	add_label(&labels, ",rule", model_str(rule, "name"));
	add_label(&labels, ",frontend", ip_format(&ip, text));
	add_metric(to, "backends", &labels, (double)lb_backends(b->r, rule, ip.family));
	json_auto_t *seen = lb_available(b, rule, &ip);
	if (json_is_object(seen)) {
		add_metric(to, "frontend_up", &labels, json_is_true(json_object_get(seen, "now")));
		add_metric(to, "frontend_availability_percent", &labels,
		           json_number_value(json_object_get(seen, "percent")));
	}
}

void balancer_fronts(void (*fn)(void *arg, uint32_t vnet, const struct ip *ip, bool up), void *arg)
{
	for (size_t i = 0; i < lb_count(); i++) {
		const struct balancer *b = lb_at(i);
		json_t *rule;
		size_t k;

		json_array_foreach(lb_list(b->r->doc, LB_RULES), k, rule)
		{
			const json_t *front =
				lb_ref(b->r->doc, b->r->id, LB_FRONTS,
			               model_str(rule, "properties.frontendIPConfiguration.id"));
			bool inner;
			struct ip ip = lb_front_address(b->r, front, &inner);

			if (ip.family) {
				fn(arg, inner ? b->vnet : 0, &ip,
				   lb_backends(b->r, rule, ip.family) > 0);
			}
		}
	}
}

void balancer_metrics(struct buf *to, bool (*sees)(const void *arg, const char *id),
                      const void *arg)
{
	for (size_t i = 0; i < lb_count(); i++) {
		const struct balancer *b = lb_at(i);
		json_t *x;
		size_t k;

		json_array_foreach(sees(arg, b->r->id) ? lb_list(b->r->doc, LB_RULES) : NULL, k, x)
		{
			rule_metrics(b, x, to);
		}
	}
}
