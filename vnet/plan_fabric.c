/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans of what joins a VNet's routers on several nodes. See plan.h. Pure: no I/O.
 */
#include <stdio.h>
#include <string.h>

#include "vnet/plan_parts.h"

/* The device's index is the number in its name, which is nothing else's there: in a VNet its own. */
void plan_node_device(uint32_t ns, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "vx%u", ns == KOBJ_NS_GATEWAY ? KOBJ_NODES_INDEX : ns);
}

/* A router's address and MAC on the device follow from its node's number: 169.254.128.0/17 and fe80::6e65:0:0/96. */
void plan_node_via(uint32_t node, uint8_t family, struct ip *to)
{
	*to = family == 4 ? (struct ip){ 4,
		                         { 169, 254, (uint8_t)(128 | (node >> 8 & 127)),
		                           (uint8_t)node } }
	                  : (struct ip){ 6,
		                         { 0xfe, 0x80, [10] = 0x6e, 0x65, (uint8_t)(node >> 24),
		                           (uint8_t)(node >> 16), (uint8_t)(node >> 8),
		                           (uint8_t)node } };
}

static void mac_of(uint32_t node, uint8_t to[6])
{
	const uint8_t mac[6] = { 0x02,
		                 0xff,
		                 (uint8_t)(node >> 24),
		                 (uint8_t)(node >> 16),
		                 (uint8_t)(node >> 8),
		                 (uint8_t)node };

	memcpy(to, mac, 6);
}

static void plan_router(const struct plan_fabric *p, const char *dev, const struct plan_router *r,
                        struct kset *to)
{
	struct kobj o = plan_object(p->vnet_ns, KOBJ_FDB, 0, dev);
	uint8_t mac[6];

	mac_of(r->node, mac);
	o.family = r->underlay.family;
	memcpy(o.kmac, mac, 6);
	memcpy(o.via, r->underlay.b, 16);
	kset_add(to, &o);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct ip via;

		plan_node_via(r->node, family, &via);
		plan_neigh(to, p->vnet_ns, dev, &via, mac);
	}
}

static void plan_link(const struct plan_fabric *p, uint32_t index, const char *dev, struct kset *to)
{
	struct kobj o = plan_object(p->vnet_ns, KOBJ_LINK, KOBJ_LINK_VXLAN, dev);

	o.family = p->self.underlay.family;
	memcpy(o.addr, p->self.underlay.b, 16);
	o.table = p->vni;
	o.index = index;
	o.mtu = p->mtu;
	mac_of(p->self.node, o.mac);
	kset_add(to, &o);
	for (size_t i = 0; i < p->n_others; i++) {
		plan_router(p, dev, &p->others[i], to);
	}
}

/* Whatever another node lets in: public addresses come in by any. */
static void plan_guard(const struct plan_fabric *p, const char *dev, struct kset *to)
{
	struct plan_guard g = { .ns = p->vnet_ns, .other = p->vnet_ns, .dev = dev };

	plan_guard_source(&g, 0, KOBJ_SIDE_ANY, 0, NULL);
	plan_guard_end(&g, to);
}

/* What a mark sends to a node as it is: a table each, which a rule leads to. Other packets pass these by. */
static void plan_sent_on(const struct plan_fabric *p, const char *dev, struct kset *to)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj rule = plan_object(p->vnet_ns, KOBJ_RULE, KOBJ_RULE_PLAIN, ""),
			    route = plan_object(p->vnet_ns, KOBJ_ROUTE, KOBJ_ROUTE_UNICAST, dev);

		rule.family = route.family = family;
		kset_add(to, &rule);
		rule.sub = KOBJ_RULE_ON;
		kset_add(to, &rule);
		rule.sub = KOBJ_RULE_NODE;
		for (size_t i = 0; i < p->n_others; i++) {
			struct ip via;

			plan_node_via(p->others[i].node, family, &via);
			memcpy(route.via, via.b, 16);
			route.table = rule.table = KOBJ_TABLE_NODES + p->others[i].node;
			kset_add(to, &rule);
			kset_add(to, &route);
		}
	}
}

/* What answers by a public address leaves by this node's gateway, also what the router itself says. */
static void plan_answers(const struct plan_fabric *p, struct kset *to)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj rule = plan_object(p->vnet_ns, KOBJ_RULE, KOBJ_RULE_SAID, ""),
			    route = plan_object(p->vnet_ns, KOBJ_ROUTE, KOBJ_ROUTE_UNICAST, "gw0");

		rule.family = route.family = family;
		rule.table = route.table = KOBJ_TABLE_NODES;
		memcpy(route.via, family == 4 ? gw4.b : gw6.b, 16);
		kset_add(to, &route);
		kset_add(to, &rule);
		rule.sub = KOBJ_RULE_DIRECT;
		kset_add(to, &rule);
	}
}

static void plan_out(const struct plan_fabric *p, uint32_t node, const char *dev, struct kset *to)
{
	for (uint8_t family = 4; node && family <= 6; family += 2) {
		struct ip_prefix all = { .ip = { .family = family } };
		struct ip via;

		plan_node_via(node, family, &via);
		plan_route_add(to, p->vnet_ns, &all, &via, dev);
	}
}

/* Blocks of addresses. An own one's that nobody has is nowhere else. */
static void plan_addrblocks(const struct plan_fabric *p, const char *dev, struct kset *to)
{
	for (size_t i = 0; i < p->n_addrblocks; i++) {
		const struct plan_addrblock *h = &p->addrblocks[i];
		struct kobj o;
		struct ip via;

		if (h->node == p->self.node) {
			plan_route_add(to, p->vnet_ns, &h->prefix, NULL, "");
		} else {
			plan_node_via(h->node, h->prefix.ip.family, &via);
			plan_route_add(to, p->vnet_ns, &h->prefix, &via, dev);
			o = plan_elem(p->vnet_ns, KOBJ_SET_HELD4, &h->prefix.ip);
			o.plen = h->prefix.len;
			kset_add(to, &o);
		}
	}
}

/* What would go back by it is dropped (chain "turn"): a route that is old makes no loop. */
void vnet_plan_fabric(const struct plan_fabric *p, struct kset *to)
{
	char dev[KOBJ_NAME];

	plan_node_device(p->vnet_ns, dev);
	plan_link(p, p->vnet_ns, dev, to);
	plan_guard(p, dev, to);
	for (size_t i = 0; i < p->n_space; i++) {
		struct kobj o = plan_elem(p->vnet_ns, KOBJ_SET_SPACE4, &p->space[i].ip);

		o.plen = p->space[i].len;
		kset_add(to, &o);
	}
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj o = plan_object(p->vnet_ns, KOBJ_ELEM, KOBJ_SET_APART, "");

		o.proto = family;
		kset_add(to, &o);
	}
	plan_sent_on(p, dev, to);
	plan_answers(p, to);
	plan_addrblocks(p, dev, to);
	plan_out(p, p->home, dev, to);
}

void vnet_plan_remote(uint32_t vnet_ns, const struct ip_prefix *prefix, uint32_t node,
                      struct kset *to)
{
	char dev[KOBJ_NAME];
	struct ip via;

	plan_node_device(vnet_ns, dev);
	plan_node_via(node, prefix->ip.family, &via);
	plan_route_add(to, vnet_ns, prefix, &via, dev);
}

void vnet_plan_gateways(const struct plan_fabric *p, uint32_t out, struct kset *to)
{
	char dev[KOBJ_NAME];

	plan_node_device(p->vnet_ns, dev);
	plan_link(p, KOBJ_NODES_INDEX, dev, to);
	plan_out(p, out, dev, to);
}

static void return_table(const struct plan_return *p, const struct ip_prefix *pools, size_t n_pools,
                         struct kset *to)
{
	struct kobj o = plan_object(KOBJ_NS_GATEWAY, KOBJ_ROUTE, KOBJ_ROUTE_UNICAST, "");
	struct ip via;

	plan_node_device(KOBJ_NS_GATEWAY, o.dev);
	plan_node_via(p->node, p->pool.ip.family, &via);
	memcpy(o.via, via.b, 16);
	o.family = p->pool.ip.family;
	o.table = KOBJ_TABLE_NODES + p->node;
	kset_add(to, &o);
	for (size_t i = 0; i < n_pools; i++) {
		struct kobj throw = plan_object(KOBJ_NS_GATEWAY, KOBJ_ROUTE, KOBJ_ROUTE_THROW, "");

		if (pools[i].ip.family == o.family) {
			throw.family = o.family;
			throw.table = o.table;
			throw.plen = pools[i].len;
			memcpy(throw.addr, pools[i].ip.b, 16);
			kset_add(to, &throw);
		}
	}
}

/* A table for each of these nodes. What came from one is not sent on: nodes that hear of a change at different times make no loop. */
void vnet_plan_returns(const struct plan_return *v, size_t n, const struct ip_prefix *pools,
                       size_t n_pools, struct kset *to)
{
	for (size_t i = 0; i < n; i++) {
		struct kobj o = plan_object(KOBJ_NS_GATEWAY, KOBJ_RULE, KOBJ_RULE_RETURN, "");
		bool family = true, table = true; /* the first of it */

		for (size_t k = 0; k < i; k++) {
			bool same = v[k].pool.ip.family == v[i].pool.ip.family;

			family = family && !same;
			table = table && !(same && v[k].node == v[i].node);
		}
		o.family = v[i].pool.ip.family;
		o.plen = v[i].pool.len;
		o.table = KOBJ_TABLE_NODES + v[i].node;
		memcpy(o.addr, v[i].pool.ip.b, 16);
		kset_add(to, &o);
		if (table) {
			return_table(&v[i], pools, n_pools, to);
		}
		if (family) {
			o = plan_object(KOBJ_NS_GATEWAY, KOBJ_RULE, KOBJ_RULE_LINKED, "");
			o.family = v[i].pool.ip.family;
			kset_add(to, &o);
		}
	}
}

static bool has_route(const struct kset *set, const struct kobj *o)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].ns == o->ns && set->v[i].kind == o->kind &&
		    set->v[i].family == o->family && memcmp(set->v[i].addr, o->addr, 16) == 0) {
			return true;
		}
	}
	return false;
}

/* A public address is a host's route in the gateway, to the link of its VNet: vnet_plan_public(). */
void vnet_plan_ways(const struct kset *objects, uint32_t node, bool answers, struct kset *to)
{
	char dev[KOBJ_NAME];

	plan_node_device(KOBJ_NS_GATEWAY, dev);
	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];
		struct ip ip = { .family = o->family }, via;

		if (o->ns != KOBJ_NS_GATEWAY || o->kind != KOBJ_ROUTE || o->dev[0] != 'v' ||
		    o->plen != ip_bits(o->family) || has_route(to, o)) {
			continue;
		}
		memcpy(ip.b, o->addr, 16);
		plan_node_via(node, o->family, &via);
		plan_route_add(to, KOBJ_NS_GATEWAY, &(struct ip_prefix){ ip, o->plen }, &via, dev);
		if (answers) {
			plan_neigh(to, KOBJ_NS_GATEWAY, "up0", &ip, NULL);
		}
		struct kobj source = plan_elem(KOBJ_NS_GATEWAY, KOBJ_SET_SOURCE4, &ip);
		memcpy(source.dev, dev, KOBJ_NAME);
		kset_add(to, &source);
	}
}
