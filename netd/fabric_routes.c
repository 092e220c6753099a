/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans of routing tables, peerings and gateways. See fabric.h and vnet/plan.h.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/config.h"
#include "netd/fabric_parts.h"
#include "netd/gateway.h"
#include "netd/home.h"
#include "netd/message.h"

static bool in_space(const struct resource *v, const struct ip *ip)
{
	static struct ip_prefix all[FABRIC_VTAG_MAX];
	size_t n = vnet_space(v, all, FABRIC_VTAG_MAX);

	for (size_t i = 0; i < n; i++) {
		if (all[i].ip.family == ip->family && ip_prefix_contains(&all[i], ip)) {
			return true;
		}
	}
	return false;
}

/* The device that leads from VNet `v` to a gateway; false: not yet. */
static bool to_gateway(const struct gateway_path *path, struct plan_route *to)
{
	uint32_t hub = path->hub ? table_number(path->hub) : 0;

	if (!path->given || (hub && !fabric_sent(hub))) {
		to->hop = PLAN_HOP_NONE;
		return false;
	}
	to->hop = PLAN_HOP_DEVICE;
	vnet_peer_via(to->prefix.ip.family, &to->via);
	if (hub) {
		vnet_peer_device(hub, to->dev);
	} else {
		vnet_given_device(path->given, to->dev);
	}
	return true;
}

/* How a packet reaches an appliance from VNet `v`; what has no way is dropped. */
static void to_appliance(struct resource *v, const struct ip *hop, struct plan_route *to)
{
	const struct resource *g = network_group_at(table_number(v), hop);
	struct routing_peer peer;

	to->hop = PLAN_HOP_NONE;
	if (g) {
		to->hop = PLAN_HOP_DEVICE;
		to->via = *hop;
		snprintf(to->dev, sizeof(to->dev), "br%u", network_bridge_of(g));
		return;
	}
	for (size_t i = 0; routing_peer(v, i, &peer); i++) {
		uint32_t n = table_number(peer.vnet);

		if (in_space(peer.vnet, hop) && subnet_any(n)) {
			*to = (struct plan_route){ .prefix = to->prefix, .hop = PLAN_HOP_DEVICE };
			vnet_peer_via(hop->family, &to->via);
			vnet_peer_device(n, to->dev);
			return;
		}
	}
}

static struct plan_route plan_route(struct resource *v, const struct routing_route *r,
                                    const struct gateway_path *path)
{
	struct plan_route to = { .prefix = r->prefix, .hop = PLAN_HOP_NEXT };

	if (strcasecmp(r->type, "None") == 0) {
		to.hop = PLAN_HOP_NONE;
	} else if (strcasecmp(r->type, "VirtualNetworkGateway") == 0) {
		(void)to_gateway(path, &to);
	} else if (strcasecmp(r->type, "Internet") == 0) {
		to.hop = PLAN_HOP_INTERNET;
	} else if (strcasecmp(r->type, "VirtualAppliance") == 0) {
		to_appliance(v, &r->hop, &to);
	}
	return to;
}

static bool has_prefix(const struct plan_route *v, size_t n, const struct ip_prefix *p)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].prefix.len == p->len && ip_compare(&v[i].prefix.ip, &p->ip) == 0) {
			return true;
		}
	}
	return false;
}

/* What the VNet's own routes decide stays so below a wider route of another's; so does where an
 * administrator lets link-local addresses lead. */
static size_t add_throws(const struct resource *v, struct plan_route *to, size_t n, size_t max)
{
	static struct ip_prefix own[FABRIC_VTAG_MAX];
	size_t m = gateway_holes(v, own, FABRIC_VTAG_MAX - CONFIG_TARGETS_MAX);

	for (size_t i = 0; i < plane.config->n_targets; i++) {
		own[m++] = (struct ip_prefix){ plane.config->targets[i].to, 32 };
	}
	for (size_t i = 0; i < m && n < max; i++) {
		if (!has_prefix(to, n, &own[i])) {
			to[n++] = (struct plan_route){ .prefix = own[i], .hop = PLAN_HOP_NEXT };
		}
	}
	return n;
}

static struct ip_prefix learned[LEARNED_MAX];

/* Routes learned by a gateway, but for those that are in `to` already: a user's goes first. */
static size_t add_learned(size_t n_learned, const struct gateway_path *path, struct plan_route *to,
                          size_t n, size_t max)
{
	size_t users = n;

	for (size_t i = 0; i < n_learned && n < max; i++) {
		struct plan_route r = { .prefix = learned[i] };

		if (!has_prefix(to, users, &r.prefix) && to_gateway(path, &r)) {
			to[n++] = r;
		}
	}
	return n;
}

static bool propagates(const struct resource *table)
{
	return !table ||
	       !json_is_true(model_at(table->doc, "properties.disableBgpRoutePropagation"));
}

bool fabric_routed(const struct resource *v, const struct resource *table)
{
	struct gateway_path path;

	return table || gateway_routes(v, learned, 1, &path) > 0;
}

void fabric_plan_table(const struct subnet *s, struct resource *v, const struct resource *table)
{
	static struct routing_route routes[ROUTING_ROUTES_MAX];
	static struct plan_route plan[ROUTING_ROUTES_MAX + LEARNED_MAX + FABRIC_VTAG_MAX];
	struct gateway_path path;
	size_t n = table ? routing_routes(table, routes, ROUTING_ROUTES_MAX) : 0;
	size_t m = gateway_routes(v, learned, LEARNED_MAX, &path);
	struct kset set = { 0 };

	for (size_t i = 0; i < n; i++) {
		plan[i] = plan_route(v, &routes[i], &path);
	}
	if (propagates(table)) {
		n = add_learned(m, &path, plan, n, ARRAY_N(plan));
	}
	n = add_throws(v, plan, n, ARRAY_N(plan));
	vnet_plan_routes(s->vnet, KOBJ_TABLE_BASE + s->id, plan, n, &set);
	fabric_put(fabric_owner(s->id, s->vnet), s->vnet, &set);
}

/* ---- peerings ---- */

/* Routes of the peer's subnets whose next hop is an appliance of this VNet: packets come with their
 * own destination, so that this side has to know the way too. */
static size_t appliance_routes(struct resource *v, struct resource *peer, struct plan_route *to,
                               size_t max)
{
	static struct routing_route routes[ROUTING_ROUTES_MAX];
	uint32_t number = table_number(peer);
	const struct subnet *s;
	size_t n = 0;

	for (size_t i = subnet_first(number); (s = subnet_at(i)) && s->vnet == number; i++) {
		const struct resource *t = vnet_subnet_ref(peer, s->id, "routeTable");
		size_t m = t ? routing_routes(t, routes, ROUTING_ROUTES_MAX) : 0;

		for (size_t k = 0; k < m; k++) {
			struct plan_route r = { .prefix = routes[k].prefix };

			if (strcasecmp(routes[k].type, "VirtualAppliance") != 0 ||
			    !in_space(v, &routes[k].hop) || has_prefix(to, n, &r.prefix) ||
			    n == max) {
				continue;
			}
			to_appliance(v, &routes[k].hop, &r);
			to[n++] = r;
		}
	}
	return n;
}

/* The peer may use the gateway here: what it has learned is reached from there too. */
static size_t transit_routes(struct resource *v, const struct resource *peer, struct plan_route *to,
                             size_t n, size_t max)
{
	struct resource *guest;
	struct gateway_path path;

	for (size_t i = 0; gateway_guest(v, i, &guest); i++) {
		if (guest == peer) {
			size_t m = gateway_routes(v, learned, LEARNED_MAX, &path);

			return path.hub ? n : add_learned(m, &path, to, n, max);
		}
	}
	return n;
}

static void plan_peer_side(struct resource *v, const struct routing_peer *p)
{
	static struct ip_prefix own[FABRIC_VTAG_MAX], other[FABRIC_VTAG_MAX],
		holes[FABRIC_VTAG_MAX];
	static struct plan_route more[ROUTING_ROUTES_MAX + LEARNED_MAX];
	uint32_t number = table_number(v), peer = table_number(p->vnet);
	struct gateway_path path;
	struct kset set = { 0 };
	size_t n = appliance_routes(v, p->vnet, more, ROUTING_ROUTES_MAX);

	n = transit_routes(v, p->vnet, more, n, ARRAY_N(more));
	size_t m = gateway_routes(v, learned, LEARNED_MAX, &path);
	vnet_plan_peer(
		&(struct plan_peer){ .vnet_ns = number,
	                             .peer_ns = peer,
	                             .mtu = fabric_mtu(),
	                             .prefixes = other,
	                             .n_prefixes = vnet_space(p->vnet, other, FABRIC_VTAG_MAX),
	                             .own = own,
	                             .n_own = vnet_space(v, own, FABRIC_VTAG_MAX),
	                             .forwarded = p->forwarded,
	                             .more = more,
	                             .n_more = n,
	                             .learned = learned,
	                             .n_learned = path.hub == p->vnet ? m : 0,
	                             .holes = holes,
	                             .n_holes = gateway_holes(v, holes, FABRIC_VTAG_MAX) },
		&set);
	fabric_put(fabric_owner(peer, number), number, &set);
}

/* Both sides, the one with the link first. */
void fabric_plan_peers(struct resource *v)
{
	struct routing_peer p, back;

	for (size_t i = 0; routing_peer(v, i, &p); i++) {
		uint32_t number = table_number(v), peer = table_number(p.vnet);

		if (!subnet_any(peer) || !fabric_sent(peer) || home_of(peer) != home_of(number) ||
		    !routing_peer_back(v, p.vnet, &back)) {
			continue; /* nobody there; it plans both sides when it comes */
		}
		back.vnet = v;
		if (number < peer) {
			plan_peer_side(v, &p);
			plan_peer_side(p.vnet, &back);
		} else {
			plan_peer_side(p.vnet, &back);
			plan_peer_side(v, &p);
		}
	}
}

/* ---- gateways ---- */

void fabric_plan_gateway(struct resource *v)
{
	static struct ip_prefix space[FABRIC_VTAG_MAX], holes[FABRIC_VTAG_MAX];
	struct gateway_path path;
	struct resource *guest;
	struct kset set = { 0 };
	size_t m = gateway_routes(v, learned, LEARNED_MAX, &path);
	size_t n = vnet_space(v, space, FABRIC_VTAG_MAX);

	if (!path.given || path.hub || home_of(table_number(v)) != node_own()) {
		return;
	}
	for (size_t i = 0; gateway_guest(v, i, &guest); i++) {
		n += vnet_space(guest, space + n, FABRIC_VTAG_MAX - n);
	}
	vnet_plan_given(&(struct plan_given){ .vnet_ns = table_number(v),
	                                      .given_ns = path.given,
	                                      .mtu = fabric_mtu(),
	                                      .space = space,
	                                      .n_space = n,
	                                      .learned = learned,
	                                      .n_learned = m,
	                                      .holes = holes,
	                                      .n_holes = gateway_holes(v, holes, FABRIC_VTAG_MAX) },
	                &set);
	fabric_put(fabric_owner(path.given, table_number(v)), table_number(v), &set);
}
