/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a loadBalancers document may be. See balancer.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer_parts.h"
#include "netd/home.h"
#include "netd/routing.h"

/* What is being checked, and where in it. */
struct check {
	const struct resource *r; /* NULL: a new one */
	const char *id;
	const json_t *doc;
	struct err *e;
	char at[160];
};

static int wrong(struct check *c, const char *code, const char *property, const char *text)
{
	char at[300];

	snprintf(at, sizeof(at), "%s%s%s", c->at, *property ? "." : "", property);
	return err_set_at(c->e, ERR_INVALID, code, at, "%s: %s", at, text);
}

static void place(struct check *c, const char *list, size_t i)
{
	snprintf(c->at, sizeof(c->at), "properties.%s[%zu]", list, i);
}

/* Was the name in the set already, in any case? It is now. */
static bool seen(json_t *set, const char *name)
{
	AUTO_FREE char *low = table_key(name);
	bool had = json_object_get(set, low) != NULL;

	json_object_set_new(set, low, json_true());
	return had;
}

static int check_names(struct check *c)
{
	static const char *const lists[] = { LB_FRONTS, LB_POOLS,   LB_RULES,
		                             LB_PROBES, LB_INBOUND, LB_OUTBOUND };

	for (size_t k = 0; k < ARRAY_N(lists); k++) {
		json_auto_t *names = json_object();
		json_t *x;
		size_t i;

		json_array_foreach(lb_list(c->doc, lists[k]), i, x)
		{
			place(c, lists[k], i);
			if (!model_name_ok(model_str(x, "name"))) {
				return wrong(c, "InvalidResourceName", "name",
				             "1 to 80 letters, digits, -_. are accepted");
			}
			if (seen(names, model_str(x, "name"))) {
				return wrong(c, "DuplicateResourceName", "name",
				             "another one in the list has the same name");
			}
		}
	}
	return json_array_size(lb_list(c->doc, "inboundNatPools")) == 0
	               ? 0
	               : err_set_at(c->e, ERR_INVALID, "FeatureNotSupported",
	                            "properties.inboundNatPools",
	                            "inboundNatPools are not supported: inboundNatRules with "
	                            "frontendPortRangeStart, frontendPortRangeEnd and "
	                            "backendAddressPool are.");
}

/* ---- frontends ---- */

static int check_public(struct check *c, const char *id, uint8_t family)
{
	static const char at[] = "properties.publicIPAddress.id";
	AUTO_FREE char *key = table_key(id), *own = table_key(c->id);
	const struct resource *pip = table_get(key), *nat, *user;

	if (!pip || strcasecmp(pip->type->name, "Microsoft.Network/publicIPAddresses") != 0 ||
	    tenant_of(pip->id) != tenant_of(c->id)) {
		return wrong(c, "InvalidResourceReference", at, "there is no such public address");
	}
	nat = routing_nat_of(pip);
	user = balancer_of(pip);
	if (nat || (user && strcmp(user->key, own) != 0)) {
		return wrong(c, "PublicIPAddressInUse", at, "it is used by another resource");
	}
	if (model_is(pip->doc, "properties.publicIPAddressVersion", "IPv6") != (family == 6)) {
		return wrong(c, "PublicIPAddressVersionMismatch", at,
		             "its version is not that of privateIPAddressVersion");
	}
	return 0;
}

static int check_subnet(struct check *c, const json_t *front)
{
	static const char at[] = "properties.subnet.id";
	const char *id = model_str(front, at);
	AUTO_FREE char *key = table_key(id);
	char *cut = strstr(key, "/subnets/");
	struct ip ip = table_ip(front, "properties.privateIPAddress");

	if (cut) {
		*cut = '\0';
	}
	const struct resource *v = cut ? table_get(key) : NULL;
	if (!v || tenant_of(v->id) != tenant_of(c->id) || !vnet_subnet(v, cut + 9)) {
		return wrong(c, "InvalidResourceReference", at, "there is no such subnet");
	}
	if (model_is(front, "properties.privateIPAllocationMethod", "Static") && !ip.family) {
		return wrong(c, "MissingRequiredProperty", "properties.privateIPAddress",
		             "a Static address has to be named");
	}
	if (ip.family && ip.family != lb_front_family(front)) {
		return wrong(c, "PrivateIPAddressVersionMismatch", "properties.privateIPAddress",
		             "its version is not that of privateIPAddressVersion");
	}
	struct ip_prefix own[17];
	size_t n = vnet_subnet_prefixes(vnet_subnet(v, cut + 9), own, ARRAY_N(own));
	bool inside = false, has = false;
	for (size_t i = 0; i < n; i++) {
		has = has || own[i].ip.family == lb_front_family(front);
		inside = inside || (ip.family && ip_prefix_contains(&own[i], &ip));
	}
	if (!has) {
		return wrong(c, "PrivateIPAddressNotInSubnet", at,
		             "the subnet has no prefix of the frontend's IP version");
	}
	return inside || !ip.family
	               ? 0
	               : wrong(c, "PrivateIPAddressNotInSubnet", "properties.privateIPAddress",
	                       "the address is not in the subnet");
}

static int check_fronts(struct check *c)
{
	json_t *x;
	size_t i;

	json_array_foreach(lb_list(c->doc, LB_FRONTS), i, x)
	{
		const char *pip = model_str(x, "properties.publicIPAddress.id");
		const char *subnet = model_str(x, "properties.subnet.id");

		place(c, LB_FRONTS, i);
		if (!*pip == !*subnet) {
			return wrong(c, "InvalidFrontendIPConfiguration", "properties",
			             "either publicIPAddress or subnet is accepted");
		}
		if ((*pip ? check_public(c, pip, lb_front_family(x)) : check_subnet(c, x)) < 0) {
			return -1;
		}
		for (size_t k = 0; *pip && k < i; k++) {
			if (strcasecmp(model_str(json_array_get(lb_list(c->doc, LB_FRONTS), k),
			                         "properties.publicIPAddress.id"),
			               pip) == 0) {
				return wrong(c, "PublicIPAddressInUse",
				             "properties.publicIPAddress.id",
				             "another frontend has the same address");
			}
		}
	}
	return 0;
}

/* ---- pools ---- */

static int check_backend(struct check *c, const json_t *pool, size_t i, json_t *names)
{
	const json_t *list = model_at(pool, "properties.loadBalancerBackendAddresses"),
		     *x = json_array_get(list, i);
	struct ip ip = table_ip(x, "properties.ipAddress");
	char at[100];

	snprintf(at, sizeof(at), "properties.loadBalancerBackendAddresses[%zu]", i);
	if (!ip.family) {
		return wrong(c, "LoadBalancerBackendAddressIpAddressRequired", at,
		             "ipAddress is required");
	}
	static const char *const never[] = { "0.0.0.0/8",   "127.0.0.0/8",   "169.254.0.0/16",
		                             "224.0.0.0/3", "::/127",        "fe80::/10",
		                             "ff00::/8",    "::ffff:0:0/96", "168.63.129.16/32" };
	for (size_t k = 0; k < ARRAY_N(never); k++) {
		struct ip_prefix p;
		struct err e = ERR_INIT;

		if (ip_prefix_parse(never[k], &p, &e) == 0 && ip_prefix_contains(&p, &ip)) {
			return wrong(c, "LoadBalancerBackendAddressIpAddressInvalid", at,
			             "ipAddress is not one that a backend can have");
		}
	}
	char text[IP_TEXT];
	if (seen(names, model_str(x, "name")) | seen(names, ip_format(&ip, text))) {
		return wrong(c, "LoadBalancerBackendAddressesMustBeUnique", at,
		             "another member has the same name or ipAddress");
	}
	return 0;
}

/* The VNet that an id is of, or lies in: key into `to`. */
static void vnet_key(const char *id, char *to, size_t size)
{
	AUTO_FREE char *key = table_key(id);
	char *cut = strstr(key, "/subnets/");

	if (cut) {
		*cut = '\0';
	}
	snprintf(to, size, "%s", key);
}

/* All that names a VNet names the same one. */
static int same_vnet(struct check *c, const char *id, const char *property, char known[static 700])
{
	char key[700];

	if (!*id) {
		return 0;
	}
	vnet_key(id, key, sizeof(key));
	const struct resource *v = table_get(key);
	if (!v || strcasecmp(v->type->name, "Microsoft.Network/virtualNetworks") != 0 ||
	    tenant_of(v->id) != tenant_of(c->id)) {
		return wrong(c, "InvalidResourceReference", property,
		             "there is no such virtual network");
	}
	if (*known && strcmp(known, key) != 0) {
		return wrong(
			c, "LoadBalancerBackendAddressPoolVnetMismatch", property,
			"frontends and backends of a load balancer are in one virtual network");
	}
	snprintf(known, 700, "%s", key);
	return 0;
}

static int check_pools(struct check *c)
{
	char known[700] = "", at[120];
	json_t *x, *y;
	size_t i, k;

	json_array_foreach(lb_list(c->doc, LB_FRONTS), i, x)
	{
		place(c, LB_FRONTS, i);
		if (same_vnet(c, model_str(x, "properties.subnet.id"), "properties.subnet.id",
		              known) < 0) {
			return -1;
		}
	}
	json_array_foreach(lb_list(c->doc, LB_POOLS), i, x)
	{
		place(c, LB_POOLS, i);
		if (same_vnet(c, model_str(x, "properties.virtualNetwork.id"),
		              "properties.virtualNetwork.id", known) < 0) {
			return -1;
		}
		const json_t *list = model_at(x, "properties.loadBalancerBackendAddresses");
		json_auto_t *names = json_object();
		json_array_foreach((json_t *)(uintptr_t)list, k, y)
		{
			if (check_backend(c, x, k, names) < 0) {
				return -1;
			}
			for (int s = 0; s < 2; s++) {
				snprintf(at, sizeof(at),
				         "properties.loadBalancerBackendAddresses[%zu].properties."
				         "%s.id",
				         k, s ? "subnet" : "virtualNetwork");
				if (same_vnet(c,
				              model_str(y, s ? "properties.subnet.id"
				                             : "properties.virtualNetwork.id"),
				              at, known) < 0) {
					return -1;
				}
			}
		}
		if (json_array_size(list) > 0 && !*known) {
			return wrong(
				c, "LoadBalancerBackendAddressPoolVnetRequired", "properties",
				"the pool's or an address's virtualNetwork or subnet says where "
				"addresses are");
		}
	}
	return 0;
}

/* ---- probes ---- */

/* Ports that a browser would not ask either; LB/load-balancer-custom-probe-overview. */
static int check_probes(struct check *c)
{
	static const int never[] = { 19, 21, 25, 70, 110, 119, 143, 220, 993 };
	json_t *x;
	size_t i;

	json_array_foreach(lb_list(c->doc, LB_PROBES), i, x)
	{
		bool tcp = model_is(x, "properties.protocol", "Tcp");
		json_int_t port = json_integer_value(model_at(x, "properties.port"));
		const char *path = model_str(x, "properties.requestPath");

		place(c, LB_PROBES, i);
		if (!tcp && !*path) {
			return wrong(c, "ProbeRequestPathRequired", "properties.requestPath",
			             "a probe of protocol Http or Https has a path");
		}
		for (const char *p = path; *p; p++) {
			if ((unsigned char)*p <= ' ' || *p == 0x7f) {
				return wrong(c, "InvalidRequestPath", "properties.requestPath",
				             "spaces and control characters are not accepted");
			}
		}
		for (size_t k = 0; !tcp && k < ARRAY_N(never); k++) {
			if (port == never[k]) {
				return wrong(c, "InvalidProbePort", "properties.port",
				             "HTTP probes to this port are not accepted");
			}
		}
	}
	return 0;
}

/* ---- rules ---- */

static int need(struct check *c, const json_t *x, const char *property, const char *list)
{
	char at[120];

	snprintf(at, sizeof(at), "properties.%s.id", property);
	const char *ref = model_str(x, at);
	return !*ref || lb_ref(c->doc, c->id, list, ref)
	               ? 0
	               : wrong(c, "InvalidResourceReference", at,
	                       "this load balancer has no such part");
}

static int need_list(struct check *c, const json_t *x, const char *property, const char *list)
{
	char path[120], at[160];
	json_t *y;
	size_t i;

	snprintf(path, sizeof(path), "properties.%s", property);
	json_array_foreach(model_at(x, path), i, y)
	{
		snprintf(at, sizeof(at), "%s[%zu].id", path, i);
		if (!lb_ref(c->doc, c->id, list, model_str(y, "id"))) {
			return wrong(c, "InvalidResourceReference", at,
			             "this load balancer has no such part");
		}
	}
	return 0;
}

static bool inner_front(struct check *c, const json_t *x)
{
	const json_t *f = lb_ref(c->doc, c->id, LB_FRONTS,
	                         model_str(x, "properties.frontendIPConfiguration.id"));

	return *model_str(f, "properties.subnet.id") != '\0';
}

static json_int_t number_at(const json_t *x, const char *path)
{
	return json_integer_value(model_at(x, path));
}

static int check_rule(struct check *c, const json_t *x)
{
	bool all = model_is(x, "properties.protocol", "All");
	json_int_t front = number_at(x, "properties.frontendPort"),
		   back = number_at(x, "properties.backendPort");

	if (need(c, x, "frontendIPConfiguration", LB_FRONTS) < 0 ||
	    need(c, x, "backendAddressPool", LB_POOLS) < 0 || need(c, x, "probe", LB_PROBES) < 0 ||
	    need_list(c, x, "backendAddressPools", LB_POOLS) < 0) {
		return -1;
	}
	if (all != (front == 0) || (all && back != 0)) {
		return wrong(c, "LoadBalancingRuleProtocolPortMismatch", "properties.frontendPort",
		             "protocol All goes with ports 0, and only with those");
	}
	if (!all && back == 0) {
		return wrong(c, "MissingRequiredProperty", "properties.backendPort",
		             "1 to 65535 is accepted");
	}
	if (all && !inner_front(c, x)) {
		return wrong(c, "LoadBalancingRuleHAPortsOnPublicFrontend", "properties.protocol",
		             "protocol All (HA ports) is for internal frontends");
	}
	if (json_is_true(model_at(x, "properties.enableFloatingIP")) && back && back != front) {
		return wrong(c, "LoadBalancingRuleFloatingIPPortMismatch", "properties.backendPort",
		             "with enableFloatingIP backendPort is frontendPort");
	}
	return 0;
}

static int check_inbound(struct check *c, const json_t *x)
{
	json_int_t port = number_at(x, "properties.frontendPort"),
		   low = number_at(x, "properties.frontendPortRangeStart"),
		   high = number_at(x, "properties.frontendPortRangeEnd");
	bool pool = *model_str(x, "properties.backendAddressPool.id"),
	     to = model_at(x, "properties.backendIPAddress") != NULL;

	if (need(c, x, "frontendIPConfiguration", LB_FRONTS) < 0 ||
	    need(c, x, "backendAddressPool", LB_POOLS) < 0) {
		return -1;
	}
	if ((port != 0) == (low != 0 || high != 0)) {
		return wrong(c, "InboundNatRulePortsInvalid", "properties.frontendPort",
		             "either frontendPort, or frontendPortRangeStart and "
		             "frontendPortRangeEnd are accepted");
	}
	if (low > high || (high != 0 && low == 0)) {
		return wrong(c, "InboundNatRulePortRangeInvalid", "properties.frontendPortRangeEnd",
		             "a range ends where it starts or above");
	}
	if ((high != 0) != pool || (pool && to)) {
		return wrong(c, "InboundNatRuleBackendPoolInvalid", "properties.backendAddressPool",
		             "a range of ports goes with a backendAddressPool, a single port with "
		             "backendIPAddress");
	}
	return 0;
}

/* Azure's own rules for allocation; LB/outbound-rules. */
static int check_outbound(struct check *c, const json_t *x)
{
	json_int_t ports = number_at(x, "properties.allocatedOutboundPorts");
	json_t *rule, *f;
	size_t i, k;

	if (need(c, x, "backendAddressPool", LB_POOLS) < 0 ||
	    need_list(c, x, "frontendIPConfigurations", LB_FRONTS) < 0) {
		return -1;
	}
	if (ports % 8 != 0) {
		return wrong(c, "OutboundRuleAllocatedPortsInvalid",
		             "properties.allocatedOutboundPorts", "a multiple of 8 is accepted");
	}
	const json_t *pool = lb_ref(c->doc, c->id, LB_POOLS,
	                            model_str(x, "properties.backendAddressPool.id")),
		     *members = model_at(pool, "properties.loadBalancerBackendAddresses"),
		     *fronts = model_at(x, "properties.frontendIPConfigurations");
	if (json_array_size(fronts) > LB_OUT_FRONTS_MAX ||
	    (json_int_t)json_array_size(members) * ports >
	            (json_int_t)(LB_OUT_PORTS * json_array_size(fronts))) {
		return wrong(c, "OutboundRuleAllocatedPortsExceeded",
		             "properties.allocatedOutboundPorts",
		             "the pool's members would have more than the 64,000 ports of each "
		             "frontend (16 at most)");
	}
	json_array_foreach(model_at(x, "properties.frontendIPConfigurations"), i, f)
	{
		const char *id = model_str(f, "id");

		if (*model_str(lb_ref(c->doc, c->id, LB_FRONTS, id), "properties.subnet.id")) {
			return wrong(c, "OutboundRuleRequiresPublicFrontend",
			             "properties.frontendIPConfigurations",
			             "outbound rules have public frontends");
		}
		json_array_foreach(lb_list(c->doc, LB_RULES), k, rule)
		{
			if (strcasecmp(model_str(rule, "properties.frontendIPConfiguration.id"),
			               id) == 0 &&
			    !json_is_true(model_at(rule, "properties.disableOutboundSnat"))) {
				return wrong(c, "OutboundRuleConflictsWithLoadBalancingRule",
				             "properties.frontendIPConfigurations",
				             "rules that share the frontend have "
				             "disableOutboundSnat set");
			}
		}
	}
	return 0;
}

/* ---- no port twice ---- */

struct claim {
	const char *front, *list;
	size_t i;
	bool tcp, udp;
	json_int_t low, high;
};

static void claim_of(const json_t *x, struct claim *to)
{
	bool all = model_is(x, "properties.protocol", "All");
	json_int_t port = number_at(x, "properties.frontendPort"),
		   start = number_at(x, "properties.frontendPortRangeStart");

	to->front = model_str(x, "properties.frontendIPConfiguration.id");
	to->tcp = all || model_is(x, "properties.protocol", "Tcp");
	to->udp = all || model_is(x, "properties.protocol", "Udp");
	to->low = port ? port : start;
	to->high = port ? port : number_at(x, "properties.frontendPortRangeEnd");
	if (to->low == 0) { /* HA ports */
		to->high = 65535;
	}
}

static int by_port(const void *pa, const void *pb)
{
	const struct claim *a = pa, *b = pb;
	int rc = strcasecmp(a->front, b->front);

	return rc ? rc : a->low < b->low ? -1 : a->low > b->low;
}

/* Sorted claims of one protocol: does one reach into the next? */
static int check_neighbours(struct check *c, const struct claim *v, size_t n, bool udp)
{
	const struct claim *last = NULL;

	for (size_t i = 0; i < n; i++) {
		if (!(udp ? v[i].udp : v[i].tcp)) {
			continue;
		}
		if (last && strcasecmp(last->front, v[i].front) == 0 && last->high >= v[i].low) {
			place(c, v[i].list, v[i].i);
			return wrong(c, "RulesUseSameFrontendPortProtocol",
			             "properties.frontendPort",
			             "another rule has this frontend, protocol and port");
		}
		last = &v[i];
	}
	return 0;
}

static int check_claims(struct check *c)
{
	static const char *const lists[] = { LB_RULES, LB_INBOUND };
	size_t n = 0, i, all = 1;
	json_t *x;

	for (size_t k = 0; k < ARRAY_N(lists); k++) {
		all += json_array_size(lb_list(c->doc, lists[k]));
	}
	AUTO_FREE struct claim *v = calloc(all, sizeof(*v));
	for (size_t k = 0; v && k < ARRAY_N(lists); k++) {
		json_array_foreach(lb_list(c->doc, lists[k]), i, x)
		{
			v[n].list = lists[k];
			v[n].i = i;
			claim_of(x, &v[n++]);
		}
	}
	if (!v) {
		return err_set(c->e, ERR_NO_MEMORY, 0, "load balancer: out of memory");
	}
	qsort(v, n, sizeof(*v), by_port);
	return check_neighbours(c, v, n, false) < 0 ? -1 : check_neighbours(c, v, n, true);
}

/* Which frontend a packet came to is a mark, which no packet has between nodes. */
static int check_floating(struct check *c)
{
	static const char *const lists[] = { LB_RULES, LB_INBOUND };
	struct resource as = { .id = (char *)(uintptr_t)c->id, .doc = (json_t *)(uintptr_t)c->doc };
	const struct resource *v = lb_vnet(&as);
	uint32_t vnet = v ? (uint32_t)json_integer_value(json_object_get(v->status, "serial")) : 0;
	json_t *x;
	size_t i;

	if (!vnet || !home_branch(vnet, 0)) {
		return 0;
	}
	for (size_t k = 0; k < ARRAY_N(lists); k++) {
		json_array_foreach(lb_list(c->doc, lists[k]), i, x)
		{
			if (json_is_true(model_at(x, "properties.enableFloatingIP"))) {
				place(c, lists[k], i);
				return err_set_at(
					c->e, ERR_CONFLICT, "VirtualNetworkApart", c->at,
					"A floating frontend needs all groups of its VNet on one node; those of '%.60s' are on "
					"several. Make the rule before the groups, or have the VNet's other nodes drained.",
					v->name);
			}
		}
	}
	return 0;
}

int balancer_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	static const struct {
		const char *list;
		int (*fn)(struct check *c, const json_t *x);
	} parts[] = { { LB_RULES, check_rule },
		      { LB_INBOUND, check_inbound },
		      { LB_OUTBOUND, check_outbound } };
	struct check c = { .r = r, .id = id, .doc = doc, .e = e };

	if (model_is(doc, "sku.name", "Gateway") || model_is(doc, "sku.tier", "Global")) {
		return err_set_at(e, ERR_INVALID, "FeatureNotSupported", "sku",
		                  "Load balancers of SKU Basic and Standard, tier Regional, are "
		                  "supported.");
	}
	if (check_names(&c) < 0 || check_fronts(&c) < 0 || check_pools(&c) < 0 ||
	    check_probes(&c) < 0) {
		return -1;
	}
	for (size_t k = 0; k < ARRAY_N(parts); k++) {
		json_t *x;
		size_t i;

		json_array_foreach(lb_list(doc, parts[k].list), i, x)
		{
			place(&c, parts[k].list, i);
			if (parts[k].fn(&c, x) < 0) {
				return -1;
			}
		}
	}
	return check_floating(&c) < 0 ? -1 : check_claims(&c);
}
