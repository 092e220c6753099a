/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See trace.h. The order of steps is that of docs/architecture.md, "A packet's way".
 */
#include "netd/trace.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/config.h"
#include "netd/fabric.h"
#include "netd/gateway.h"
#include "netd/message.h"
#include "netd/routing.h"
#include "netd/security.h"
#include "netd/subnet.h"

#define SPACE_MAX 1100

static uint32_t number(const struct resource *r, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, key));
}

static void hop(struct trace *t, const char *at, const char *does, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void hop(struct trace *t, const char *at, const char *does, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (t->hops) {
		json_array_append_new(
			t->hops, json_pack("{s:s, s:s, s:s}", "at", at, "does", does, "why", why));
	}
}

static void ends(struct trace *t, bool passes, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void ends(struct trace *t, bool passes, const char *at, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	hop(t, at, passes ? "delivers" : "drops", "%s", why);
	t->passes = passes;
	snprintf(t->where, sizeof(t->where), "%.199s", why);
}

static const char *name_of(const struct trace *t, const struct resource *g)
{
	return !t->sees || t->sees(t->arg, g) ? g->name : "of another subscription";
}

/* ---- who has an address ---- */

static bool has_ip(const struct resource *g, const char *key4, const char *key6,
                   const struct ip *ip)
{
	struct ip has = table_ip(g->status, ip->family == 6 ? key6 : key4);

	return has.family && ip_compare(&has, ip) == 0;
}

const struct resource *trace_group(const struct ip *ip, uint32_t vnet)
{
	const struct resource *found = NULL;

	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *g = plane.v[i];

		if (!g->group || g->deleting || !has_ip(g, "ip4", "ip6", ip) ||
		    (vnet && number(g, "vnet") != vnet)) {
			continue;
		}
		if (found) {
			return NULL; /* several VNets have it */
		}
		found = g;
	}
	return found;
}

static const struct resource *public_owner(const struct ip *ip)
{
	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *g = plane.v[i];

		if (g->group && !g->deleting && has_ip(g, "pub4", "pub6", ip)) {
			return g;
		}
	}
	return NULL;
}

static bool covers(const struct resource *v, const struct ip *ip)
{
	static struct ip_prefix all[SPACE_MAX];
	size_t n = vnet_space(v, all, SPACE_MAX);

	for (size_t i = 0; i < n; i++) {
		if (all[i].ip.family == ip->family && ip_prefix_contains(&all[i], ip)) {
			return true;
		}
	}
	return false;
}

/* ---- security rules ---- */

static bool is_member(void *arg, uint32_t asg, const struct ip *ip)
{
	const struct resource *g = trace_group(ip, *(const uint32_t *)arg);
	json_t *x;
	size_t i;

	json_array_foreach(model_at(g ? g->doc : NULL, "properties.applicationSecurityGroups"), i,
	                   x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "id"));
		struct resource *a = table_get(low);

		if (a && table_number(a) == asg) {
			return true;
		}
	}
	return false;
}

/* The rule of the subnet's security group; false: it has none. */
static bool decide(const struct subnet *s, const struct nsg_flow *f, struct nsg_rule *ret,
                   const char **group)
{
	static struct ip_prefix tags[FABRIC_VTAG_MAX];
	struct resource *v = table_numbered(s->vnet);
	struct resource *nsg = v ? vnet_subnet_ref(v, s->id, "networkSecurityGroup") : NULL;
	uint32_t vnet = s->vnet;
	struct nsg g;

	if (!nsg) {
		return false;
	}
	struct nsg_world w = { .vnet = tags,
		               .n_vnet = fabric_vtag(v, tags, FABRIC_VTAG_MAX),
		               .member = is_member,
		               .arg = &vnet };
	security_read(nsg, &g);
	const struct nsg_rule *r = nsg_match(&g, f, &w);
	*ret = *r;
	*group = nsg->name;
	nsg_fini(&g);
	return true;
}

static bool rules_pass(struct trace *t, const struct subnet *s, const struct nsg_flow *f)
{
	struct nsg_rule r;
	const char *group;
	const char *way = f->inbound ? "inbound" : "outbound";

	if (!s || !decide(s, f, &r, &group)) {
		return true;
	}
	if (!r.allow) {
		ends(t, false, "router", "%s rule %s (%u) of security group %s denies", way, r.name,
		     r.priority, group);
		return false;
	}
	hop(t, "router", "allows", "%s rule %s (%u) of security group %s", way, r.name, r.priority,
	    group);
	return true;
}

const char *trace_rule(const struct resource *g, const struct nsg_flow *f, bool *allow,
                       char name[static 120])
{
	const struct subnet *s = subnet_find(number(g, "vnet"), number(g, "subnet"));
	struct nsg_rule r;
	const char *group;

	if (!s || !decide(s, f, &r, &group)) {
		return NULL;
	}
	*allow = r.allow;
	snprintf(name, 120, "%s/%s",
	         r.priority >= NSG_DEFAULT_FIRST ? "defaultSecurityRules" : "securityRules",
	         r.name);
	return name;
}

static struct {
	struct nsg g;
	uint32_t vnet;
	struct ip_prefix tags[FABRIC_VTAG_MAX];
	size_t n_tags;
} kept;

void trace_forget(void)
{
	nsg_fini(&kept.g);
	kept.g.id = 0;
}

bool trace_denies(struct resource *nsg, uint32_t vnet, const struct nsg_flow *flow)
{
	struct resource *v = table_numbered(vnet);
	struct nsg_flow f = *flow;

	if (!v) {
		return false;
	}
	if (kept.g.id != table_number(nsg) || kept.vnet != vnet) {
		nsg_fini(&kept.g);
		security_read(nsg, &kept.g);
		kept.vnet = vnet;
		kept.n_tags = fabric_vtag(v, kept.tags, FABRIC_VTAG_MAX);
	}
	struct nsg_world w = {
		.vnet = kept.tags, .n_vnet = kept.n_tags, .member = is_member, .arg = &vnet
	};
	for (int side = 0; side < 2; side++) {
		const struct subnet *s = subnet_with(vnet, &f.addr[side]);

		f.inbound = side;
		if (s && vnet_subnet_ref(v, s->id, "networkSecurityGroup") == nsg &&
		    !nsg_match(&kept.g, &f, &w)->allow) {
			return true;
		}
	}
	return false;
}

/* ---- routes ---- */

/* The user's route that decides, if it is longer than, or as long as, the VNet's own. */
static bool user_route(const struct resource *v, uint32_t subnet, const struct ip *dst,
                       unsigned own_len, struct routing_route *ret, const struct resource **table)
{
	static struct routing_route routes[ROUTING_ROUTES_MAX];
	int best = -1;

	*table = v ? vnet_subnet_ref(v, subnet, "routeTable") : NULL;
	size_t n = *table ? routing_routes(*table, routes, ROUTING_ROUTES_MAX) : 0;
	for (size_t i = 0; i < n; i++) {
		if (routes[i].prefix.ip.family == dst->family &&
		    ip_prefix_contains(&routes[i].prefix, dst) && routes[i].prefix.len >= own_len &&
		    routes[i].prefix.len > best) {
			best = routes[i].prefix.len;
			*ret = routes[i];
		}
	}
	return best >= 0;
}

enum way {
	WAY_NONE,
	WAY_LOCAL,
	WAY_PEER,
	WAY_OUT,
	WAY_APPLIANCE,
	WAY_GATEWAY
};

struct path {
	enum way way;
	struct resource *peer;
	struct resource *hub; /* WAY_GATEWAY: whose gateway, NULL its own */
	struct ip hop;
	const struct resource *table; /* NULL: the VNet's own routes */
	char route[90];
	const char *type; /* as Azure names it */
};

static unsigned longest(const struct resource *v, const struct ip *dst)
{
	static struct ip_prefix all[SPACE_MAX];
	size_t n = v ? vnet_space(v, all, SPACE_MAX) : 0;
	unsigned len = 0;

	for (size_t i = 0; i < n; i++) {
		if (all[i].ip.family == dst->family && ip_prefix_contains(&all[i], dst) &&
		    all[i].len > len) {
			len = all[i].len;
		}
	}
	return len;
}

/* Length of the longest route to the address that the VNet has by a gateway; -1: none. */
static int learned_len(const struct resource *v, const struct ip *dst, struct gateway_path *path)
{
	static struct ip_prefix all[LEARNED_MAX];
	size_t n = gateway_routes(v, all, LEARNED_MAX, path);
	int len = -1;

	for (size_t i = 0; i < n; i++) {
		if (all[i].ip.family == dst->family && ip_prefix_contains(&all[i], dst) &&
		    all[i].len > len) {
			len = all[i].len;
		}
	}
	return len;
}

static void own_way(const struct resource *v, uint32_t vnet, const struct ip *dst, struct path *p)
{
	struct routing_peer peer;

	snprintf(p->route, sizeof(p->route), "system route");
	if (v ? covers(v, dst) : subnet_with(vnet, dst) != NULL) {
		p->way = WAY_LOCAL;
		p->type = "VnetLocal";
		return;
	}
	for (size_t i = 0; v && routing_peer(v, i, &peer); i++) {
		if (covers(peer.vnet, dst)) {
			p->way = WAY_PEER;
			p->type = "VNetPeering";
			p->peer = peer.vnet;
			return;
		}
	}
	p->way = WAY_OUT;
	p->type = "Internet";
}

static struct path way_of(struct resource *v, uint32_t vnet, uint32_t subnet, const struct ip *dst)
{
	struct path p = { 0 };
	struct routing_route r;
	struct routing_peer peer;
	struct gateway_path gw = { 0 };
	unsigned len = longest(v, dst);
	int by_gateway = v ? learned_len(v, dst, &gw) : -1;

	own_way(v, vnet, dst, &p);
	for (size_t i = 0; v && routing_peer(v, i, &peer); i++) {
		unsigned n = longest(peer.vnet, dst);

		len = n > len ? n : len;
	}
	p.hub = gw.hub;
	const struct resource *users = v ? vnet_subnet_ref(v, subnet, "routeTable") : NULL;
	if (by_gateway >= 0 && p.way == WAY_OUT &&
	    !(users &&
	      json_is_true(model_at(users->doc, "properties.disableBgpRoutePropagation")))) {
		len = (unsigned)by_gateway;
		p.way = WAY_GATEWAY;
		p.type = "VirtualNetworkGateway";
		snprintf(p.route, sizeof(p.route), "route learned by the gateway");
	}
	if (!user_route(v, subnet, dst, len, &r, &p.table)) {
		p.table = NULL;
		return p;
	}
	snprintf(p.route, sizeof(p.route), "route %.80s", r.name);
	p.type = r.type;
	if (strcasecmp(r.type, "Internet") == 0) {
		p.way = WAY_OUT;
	} else if (strcasecmp(r.type, "VirtualAppliance") == 0) {
		p.way = WAY_APPLIANCE;
		p.hop = r.hop;
	} else if (strcasecmp(r.type, "VirtualNetworkGateway") == 0) {
		/* A peer's gateway takes on what it has learned. */
		p.way = gw.given && (!gw.hub || by_gateway >= 0) ? WAY_GATEWAY : WAY_NONE;
	} else if (strcasecmp(r.type, "VnetLocal") != 0) {
		p.way = WAY_NONE;
	}
	return p;
}

const char *trace_next_hop(const struct resource *g, const struct ip *dst, struct ip *to,
                           const char **table)
{
	uint32_t vnet = number(g, "vnet");
	struct path p = way_of(table_numbered(vnet), vnet, number(g, "subnet"), dst);

	*to = p.hop;
	*table = p.table ? p.table->id : "System Route";
	return p.way == WAY_PEER ? "VnetLocal" : p.type;
}

/* ---- a packet's way ---- */

static bool is_platform(const struct ip *ip)
{
	static const struct ip platform[] = {
		{ 4, { 168, 63, 129, 16 } },
		{ 6, { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 } },
	};

	return ip_compare(ip, &platform[ip->family == 6]) == 0;
}

static bool gateway_address(const struct subnet *s, const struct ip *ip)
{
	const struct subnet_range *r = subnet_range_of(s, ip);
	struct ip gw = r ? r->prefix.ip : *ip;

	return r && ip_add(&gw, 1) && ip_compare(&gw, ip) == 0;
}

/* Where an administrator lets a link-local address lead; NULL: nowhere. */
static const struct plan_target *target_of(const struct nsg_flow *f)
{
	for (size_t i = 0; f->proto == IPPROTO_TCP && i < plane.config->n_targets; i++) {
		const struct plan_target *t = &plane.config->targets[i];

		if (t->port == f->port[1] && ip_compare(&t->from, &f->addr[1]) == 0) {
			return t;
		}
	}
	return NULL;
}

/* Does the router itself take it? */
static bool to_router(struct trace *t, const struct subnet *s, const struct nsg_flow *f)
{
	const struct ip *dst = &f->addr[1];
	const struct ip_prefix link_local = { { 4, { 169, 254 } }, 16 };

	if (is_platform(dst)) {
		bool names =
			(f->proto == IPPROTO_UDP || f->proto == IPPROTO_TCP) && f->port[1] == 53;
		bool echo = f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6;

		ends(t, names || echo, "router",
		     names || echo ? "the platform's address"
		                   : "the platform's address answers "
		                     "names (port 53) and echo only");
		return true;
	}
	if (s && gateway_address(s, dst)) {
		ends(t, false, "router", "an address of the router, which is no host");
		return true;
	}
	if (dst->family == 4 && ip_prefix_contains(&link_local, dst)) {
		ends(t, false, "router", "link-local addresses are closed to groups");
		return true;
	}
	if (s && s->platform && subnet_range_of(s, dst)) {
		ends(t, false, "router",
		     "groups without a VNet reach each other by public "
		     "addresses only");
		return true;
	}
	return false;
}

/* Into a subnet of the VNet, from anywhere. */
static void arrive(struct trace *t, uint32_t vnet, const struct nsg_flow *flow)
{
	struct nsg_flow f = *flow;
	const struct subnet *s = subnet_with(vnet, &f.addr[1]);
	const struct resource *g = trace_group(&f.addr[1], vnet);

	f.inbound = true;
	if (!rules_pass(t, s, &f)) {
		return;
	}
	if (!g) {
		ends(t, false, "router", "no group has the address");
		return;
	}
	ends(t, true, "group", "%s", name_of(t, g));
}

/* Why a public address that no group has takes nothing in. */
static void closed_address(struct trace *t, const struct ip *ip)
{
	const struct model_type *type = model_type_find("Microsoft.Network/publicIPAddresses");

	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *r = plane.v[i];
		struct ip has = r->type == type ? table_ip(r->status, "address") : (struct ip){ 0 };
		const struct resource *nat;

		if (!has.family || ip_compare(&has, ip) != 0 || (t->sees && !t->sees(t->arg, r))) {
			continue;
		}
		if ((nat = routing_nat_of(r))) {
			ends(t, false, "router",
			     "public address %s is NAT gateway %s's, which takes in what was asked "
			     "for alone",
			     r->name, nat->name);
		} else {
			ends(t, false, "gateway", "public address %s is closed: nothing uses it",
			     r->name);
		}
		return;
	}
	ends(t, false, "gateway", "nobody has the public address");
}

/* From the gateway to a public address. */
static void public_way(struct trace *t, const struct nsg_flow *flow)
{
	const struct resource *g = public_owner(&flow->addr[1]);
	struct nsg_flow f = *flow;
	json_t *x;
	size_t i;

	if (!g) {
		closed_address(t, &flow->addr[1]);
		return;
	}
	json_array_foreach(model_at(g->doc, "properties.ipAddress.ports"), i, x)
	{
		uint8_t proto = model_is(x, "protocol", "UDP") ? IPPROTO_UDP : IPPROTO_TCP;

		if (proto == f.proto &&
		    json_integer_value(json_object_get(x, "port")) == f.port[1]) {
			f.addr[1] = table_ip(g->status, f.addr[1].family == 6 ? "ip6" : "ip4");
			hop(t, "router", "translates",
			    "public port %u of %s to its private address", f.port[1],
			    name_of(t, g));
			arrive(t, number(g, "vnet"), &f);
			return;
		}
	}
	ends(t, false, "router", "public port %u of %s is closed: not in ipAddress.ports",
	     f.port[1], name_of(t, g));
}

static bool in_pools(const struct ip *ip)
{
	for (int64_t i = 0; i < plane.config->n_pools; i++) {
		if (plane.config->pools[i].ip.family == ip->family &&
		    ip_prefix_contains(&plane.config->pools[i], ip)) {
			return true;
		}
	}
	return false;
}

/* Out by the gateway: how the source is translated. */
static void leave(struct trace *t, struct resource *v, const struct subnet *s,
                  const struct nsg_flow *flow, const struct resource *g)
{
	struct nsg_flow f = *flow;
	struct ip addrs[2 * ROUTING_NAT_MAX], own = { 0 };
	const struct resource *nat = v ? vnet_subnet_ref(v, s->id, "natGateway") : NULL;
	bool ports = f.proto == IPPROTO_TCP || f.proto == IPPROTO_UDP;
	char text[IP_TEXT];
	size_t n = nat && ports ? routing_nat_addresses(nat, addrs) : 0, m = 0;

	for (size_t i = 0; i < n; i++) {
		if (addrs[i].family == f.addr[0].family) {
			addrs[m++] = addrs[i];
		}
	}
	if (g) {
		own = table_ip(g->status, f.addr[0].family == 6 ? "pub6" : "pub4");
	}
	if (m) {
		f.addr[0] = addrs[0];
		hop(t, "router", "translates", "source to NAT gateway %s, %zu address%s, %s first",
		    nat->name, m, m == 1 ? "" : "es", ip_format(&addrs[0], text));
	} else if (own.family) {
		f.addr[0] = own;
		hop(t, "router", "translates", "source to its own public address %s",
		    ip_format(&own, text));
	} else if (s->shared.family == f.addr[0].family && vnet_default_outbound(v, s->id)) {
		f.addr[0] = s->shared;
		hop(t, "router", "translates", "source to the default outbound address %s",
		    ip_format(&s->shared, text));
	} else {
		ends(t, false, "router", "no public address to leave by: private sources stay");
		return;
	}
	if (in_pools(&f.addr[1])) {
		hop(t, "gateway", "turns", "a public address of this plane");
		public_way(t, &f);
	} else {
		ends(t, true, "uplink", "the internet");
	}
}

static void from_group(struct trace *t, const struct resource *g, const struct nsg_flow *flow)
{
	struct nsg_flow f = *flow;
	uint32_t vnet = number(g, "vnet");
	struct resource *v = table_numbered(vnet);
	const struct subnet *s = subnet_find(vnet, number(g, "subnet"));
	char text[IP_TEXT];

	hop(t, "group", "sends", "%s, %s", g->name, ip_format(&f.addr[0], text));
	const struct plan_target *target = target_of(&f);
	if (target) {
		f.addr[1] = target->to;
		f.port[1] = target->to_port;
		hop(t, "router", "translates", "the link-local address to %s, port %u",
		    ip_format(&f.addr[1], text), f.port[1]);
	}
	if (!s || to_router(t, s, &f)) {
		return;
	}
	f.inbound = false;
	struct path p = way_of(v, vnet, s->id, &f.addr[1]);
	if (target) {
		p = (struct path){ .way = WAY_OUT, .type = "Internet", .route = "system route" };
	}
	if (!rules_pass(t, s, &f)) {
		return;
	}
	/* Also what takes the long way round by an appliance. */
	f.inbound = true;
	if (!rules_pass(t, subnet_with(vnet, &f.addr[1]), &f)) {
		return;
	}
	hop(t, "router", "routes", "%s%s%s, next hop %s", p.route, p.table ? " of " : "",
	    p.table ? p.table->name : "", p.type);
	switch (p.way) {
	case WAY_LOCAL: {
		const struct resource *to = trace_group(&f.addr[1], vnet);

		ends(t, to != NULL, to ? "group" : "router", "%s",
		     to ? to->name : "no group has the address");
		break;
	}
	case WAY_PEER:
		if (!subnet_any(table_number(p.peer))) {
			ends(t, false, "router", "no group has the address");
			break;
		}
		hop(t, "peering", "carries", "to %s", p.peer->name);
		arrive(t, table_number(p.peer), &f);
		break;
	case WAY_APPLIANCE:
		ends(t, true, "appliance", "%s; what it does with it is its own",
		     ip_format(&p.hop, text));
		break;
	case WAY_GATEWAY:
		if (p.hub) {
			hop(t, "peering", "carries", "to %s", p.hub->name);
		}
		ends(t, true, "gateway", "virtual network gateway %s and beyond",
		     gateway_in((p.hub ? p.hub : v)->id)->name);
		break;
	case WAY_OUT:
		leave(t, v, s, &f, g);
		break;
	default:
		ends(t, false, "router", "%s leads nowhere", p.route);
		break;
	}
}

void trace_flow(const struct ip *src, const struct ip *dst, uint8_t proto, uint16_t sport,
                uint16_t dport, const struct resource *g, struct trace *t)
{
	struct nsg_flow f = { .proto = proto, .addr = { *src, *dst }, .port = { sport, dport } };

	if (g) {
		from_group(t, g, &f);
		return;
	}
	const struct resource *to = in_pools(dst) ? NULL : trace_group(dst, 0);
	struct resource *v = to ? table_numbered(number(to, "vnet")) : NULL;
	struct gateway_path gw;
	if (v && learned_len(v, src, &gw) >= 0) {
		hop(t, "gateway", "brings", "by virtual network gateway %s",
		    gateway_in((gw.hub ? gw.hub : v)->id)->name);
		arrive(t, number(to, "vnet"), &f);
		return;
	}
	hop(t, "uplink", "brings", "from outside");
	public_way(t, &f);
}
