/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See plan.h and docs/architecture.md for the picture. Pure: no I/O.
 */
#include "vnet/plan.h"

#include <stdio.h>
#include <string.h>

#include "vnet/nsg.h"
#include "vnet/plan_parts.h"

static const uint8_t router_mac[6] = { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc };
static const uint8_t gateway_mac[6] = { 0x02, 0xfe, 0, 0, 0, 1 };
static const uint8_t host_mac[6] = { 0x02, 0xfe, 0, 0, 0, 3 };
static const uint8_t up_mac[6] = { 0x02, 0xfe, 0, 0, 0, 4 };

static const struct ip vnet4 = { 4, { 169, 254, 0, 2 } }, host4 = { 4, { 169, 254, 0, 3 } };
static const struct ip vnet6 = { 6, { 0xfe, 0x80, [15] = 2 } },
		       host6 = { 6, { 0xfe, 0x80, [15] = 3 } };
static const struct ip_prefix linklocal4 = { { 4, { 169, 254 } }, 16 };
/* The gateway asks frontends from there, as from gw4: a link-local address would need a device. */
static const struct ip_prefix outside6 = { { 6, { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 1 } },
	                                   128 };
/* learn.microsoft.com, "What is IP address 168.63.129.16?" */
static const struct ip platform[] = { { 4, { 168, 63, 129, 16 } },
	                              { 6, { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 } } };

struct kobj plan_object(uint32_t ns, enum kobj_kind kind, uint8_t sub, const char *dev)
{
	struct kobj o = { .ns = ns, .kind = (uint8_t)kind, .sub = sub };

	snprintf(o.dev, sizeof(o.dev), "%s", dev);
	return o;
}

static void add_netns(struct kset *to, uint32_t ns, enum kobj_netns type)
{
	struct kobj o = plan_object(ns, KOBJ_NETNS, (uint8_t)type, "");

	kset_add(to, &o);
	if (type != KOBJ_NETNS_GUEST) {
		o = plan_object(ns, KOBJ_LINK, KOBJ_LINK_LO, "lo");
		kset_add(to, &o);
	}
}

void plan_pair(struct kset *to, const struct plan_pair *p)
{
	struct kobj o = plan_object(p->ns, KOBJ_LINK, KOBJ_LINK_VETH, p->dev);

	memcpy(o.mac, p->mac, 6);
	memcpy(o.via, p->peer_mac, 6);
	memcpy(o.master, p->master, KOBJ_NAME);
	o.flags = (p->master[0] ? KOBJ_ISOLATED : 0) |
	          (p->shortcut && p->ns == KOBJ_NS_GATEWAY ? KOBJ_SHORTCUT : 0);
	o.index = p->index;
	o.mtu = p->mtu;
	o.peer_ns = p->peer_ns;
	snprintf(o.peer, sizeof(o.peer), "%s", p->peer);
	kset_add(to, &o);
	o = plan_object(p->peer_ns, KOBJ_LINK, KOBJ_LINK_PEER, p->peer);
	memcpy(o.mac, p->peer_mac, 6);
	o.index = p->peer_index ? p->peer_index : KOBJ_PEER_INDEX;
	o.flags = p->shortcut && p->peer_ns == KOBJ_NS_GATEWAY ? KOBJ_SHORTCUT : 0;
	o.mtu = p->mtu;
	kset_add(to, &o);
}

static void set_addr(struct kobj *o, const struct ip *ip)
{
	o->family = ip->family;
	memcpy(o->addr, ip->b, 16);
}

static void add_addr(struct kset *to, uint32_t ns, const char *dev, const struct ip *ip,
                     uint8_t plen)
{
	struct kobj o = plan_object(ns, KOBJ_ADDR, 0, dev);

	set_addr(&o, ip);
	o.plen = plen;
	kset_add(to, &o);
}

void plan_neigh(struct kset *to, uint32_t ns, const char *dev, const struct ip *ip,
                const uint8_t mac[6])
{
	struct kobj o = plan_object(ns, KOBJ_NEIGH, mac ? 0 : KOBJ_NEIGH_PROXY, dev);

	set_addr(&o, ip);
	if (mac) {
		memcpy(o.mac, mac, 6);
	}
	kset_add(to, &o);
}

/* `via` NULL: on the link itself; `dev` "": unreachable */
void plan_route_add(struct kset *to, uint32_t ns, const struct ip_prefix *dst, const struct ip *via,
                    const char *dev)
{
	enum kobj_route type = !dev[0] ? KOBJ_ROUTE_UNREACHABLE
	                       : via   ? KOBJ_ROUTE_UNICAST
	                               : KOBJ_ROUTE_LINK;
	struct kobj o = plan_object(ns, KOBJ_ROUTE, (uint8_t)type, dev);

	set_addr(&o, &dst->ip);
	o.plen = dst->len;
	if (via) {
		memcpy(o.via, via->b, 16);
	}
	kset_add(to, &o);
}

static void add_default(struct kset *to, uint32_t ns, const struct ip *via, const char *dev)
{
	struct ip_prefix all = { .ip = { .family = via->family } };

	plan_route_add(to, ns, &all, via, dev);
}

static void add_rules(struct kset *to, uint32_t ns)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (uint8_t r = KOBJ_RULE_LOCAL; r <= KOBJ_RULE_MAIN; r++) {
			if (r == KOBJ_RULE_TABLE || r == KOBJ_RULE_SOURCE) {
				continue;
			}
			struct kobj o = plan_object(ns, KOBJ_RULE, r, "");

			o.family = family;
			kset_add(to, &o);
		}
	}
}

/* The set for IPv4 is followed by its twin for IPv6. */
struct kobj plan_elem(uint32_t ns, enum kobj_set set4, const struct ip *ip)
{
	struct kobj o = plan_object(ns, KOBJ_ELEM, (uint8_t)(set4 + (ip->family == 6)), "");

	set_addr(&o, ip);
	return o;
}

static void add_prefix_elem(struct kset *to, uint32_t ns, enum kobj_set set4,
                            const struct ip_prefix *p)
{
	struct kobj o = plan_elem(ns, set4, &p->ip);

	o.plen = p->len;
	kset_add(to, &o);
}

static struct ip_prefix host_prefix(const struct ip *ip)
{
	return (struct ip_prefix){ *ip, (uint8_t)ip_bits(ip->family) };
}

static void plan_uplink(const struct plan_gateway *p, struct kset *to)
{
	struct kobj o = plan_object(KOBJ_NS_HOST, KOBJ_RULESET, KOBJ_RULESET_UPLINK, p->uplink);

	memcpy(o.via, p->hop4.b, 16);
	memcpy(o.addr, p->hop6.b, 16);
	memcpy(o.peer, p->underlay, KOBJ_NAME);
	kset_add(to, &o);
	for (size_t i = 0; p->uplink[0] && i < p->n_pools; i++) {
		add_prefix_elem(to, KOBJ_NS_HOST, KOBJ_SET_POOL4, &p->pools[i]);
	}
	for (size_t i = 0; i < p->n_members; i++) {
		o = plan_elem(KOBJ_NS_HOST, KOBJ_SET_MEMBER4, &p->members[i]);
		kset_add(to, &o);
	}
	for (size_t i = 0; i < p->n_gateways; i++) {
		o = plan_elem(KOBJ_NS_HOST, KOBJ_SET_LINKED4, &p->gateways[i]);
		kset_add(to, &o);
	}
}

void vnet_plan_gateway(const struct plan_gateway *p, struct kset *to)
{
	const uint8_t *mac = p->uplink[0] ? p->uplink_mac : up_mac;
	struct kobj o = plan_object(KOBJ_NS_GATEWAY, KOBJ_RULESET, KOBJ_RULESET_GATEWAY, "");

	add_netns(to, KOBJ_NS_GATEWAY, KOBJ_NETNS_GATEWAY);
	/* up0 has the uplink's own MAC, so that a frame for it is for the gateway, unchanged. */
	plan_pair(to, &(struct plan_pair){ .ns = KOBJ_NS_HOST,
	                                   .peer_ns = KOBJ_NS_GATEWAY,
	                                   .dev = "netd0",
	                                   .index = PLAN_HOST_INDEX,
	                                   .peer = "up0",
	                                   .shortcut = p->shortcut,
	                                   .mac = host_mac,
	                                   .peer_mac = mac,
	                                   .mtu = p->mtu });
	o.index = p->linked ? KOBJ_NODES_INDEX : 0;
	o.flags = p->leaf ? KOBJ_LEAF : 0;
	kset_add(to, &o);
	add_rules(to, KOBJ_NS_GATEWAY);
	add_addr(to, KOBJ_NS_GATEWAY, "lo", &gw4, 32);
	add_addr(to, KOBJ_NS_GATEWAY, "lo", &outside6.ip, outside6.len);
	plan_neigh(to, KOBJ_NS_GATEWAY, "up0", &host4, host_mac);
	plan_neigh(to, KOBJ_NS_GATEWAY, "up0", &host6, host_mac);
	if (!p->leaf) {
		add_default(to, KOBJ_NS_GATEWAY, &host4, "up0");
		add_default(to, KOBJ_NS_GATEWAY, &host6, "up0");
	}
	plan_neigh(to, KOBJ_NS_HOST, "netd0", &gw4, mac);
	plan_neigh(to, KOBJ_NS_HOST, "netd0", &gw6, mac);
	for (int f = 0; f < 2; f++) {
		const struct ip *own = f ? &p->host6 : &p->host4;
		struct ip_prefix one = host_prefix(own);

		if (own->family) { /* it lies in a pool, which is unreachable but for what is given */
			add_addr(to, KOBJ_NS_HOST, "netd0", own, one.len);
			plan_route_add(to, KOBJ_NS_GATEWAY, &one, f ? &host6 : &host4, "up0");
		}
	}
	for (size_t i = 0; i < p->n_pools && !p->leaf; i++) {
		const struct ip_prefix *pool = &p->pools[i];

		if (!p->closed || !p->closed[i]) {
			plan_route_add(to, KOBJ_NS_HOST, pool, pool->ip.family == 4 ? &gw4 : &gw6,
			               "netd0");
		}
		plan_route_add(to, KOBJ_NS_GATEWAY, pool, NULL, "");
	}
	if (p->uplink[0] || p->underlay[0]) {
		plan_uplink(p, to);
	}
}

void vnet_plan_public(uint32_t ns, const struct ip *ip, struct kset *to)
{
	struct ip_prefix one = host_prefix(ip);
	struct kobj source = plan_elem(KOBJ_NS_GATEWAY, KOBJ_SET_SOURCE4, ip);
	char link[KOBJ_NAME] = ""; /* keys are compared with all their bytes */

	snprintf(link, sizeof(link), "v%u", ns);
	memcpy(source.dev, link, KOBJ_NAME);
	kset_add(to, &source);
	plan_route_add(to, KOBJ_NS_GATEWAY, &one, ip->family == 4 ? &vnet4 : &vnet6, link);
	plan_neigh(to, KOBJ_NS_GATEWAY, "up0", ip, NULL);
	source = plan_elem(ns, KOBJ_SET_OWN4, ip);
	kset_add(to, &source);
}

/* Which node has which ports of an address that several leave by. */
static void plan_blocks(const struct plan_vnet *p, const struct ip *ip, struct kset *to)
{
	struct kobj o = plan_elem(p->ns, KOBJ_SET_MUX4, ip),
		    source = plan_elem(KOBJ_NS_GATEWAY, KOBJ_SET_SOURCE4, ip);

	if (p->n_blocks > 0) { /* what others send may leave by this node's uplink */
		kset_add(to, &o);
		plan_node_device(KOBJ_NS_GATEWAY, source.dev);
		kset_add(to, &source);
	}
	for (size_t i = 0; i < p->n_blocks; i++) {
		const struct plan_block *b = &p->blocks[i];

		for (uint32_t port = b->ports.first; port < b->ports.last;
		     port += KOBJ_PORT_BLOCK) {
			o = plan_elem(p->ns, KOBJ_SET_BLOCK4, ip);
			o.index = kobj_node_mark(b->node);
			o.port = (uint16_t)port;
			o.proto = 6;
			kset_add(to, &o);
			o.proto = 17;
			kset_add(to, &o);
		}
	}
}

void vnet_plan_vnet(const struct plan_vnet *p, struct kset *to)
{
	struct kobj o = plan_object(p->ns, KOBJ_RULESET, KOBJ_RULESET_VNET, "");
	char link[KOBJ_NAME] = ""; /* keys are compared with all their bytes */

	snprintf(link, sizeof(link), "v%u", p->ns);
	add_netns(to, p->ns, KOBJ_NETNS_VNET);
	plan_pair(to, &(struct plan_pair){ .ns = KOBJ_NS_GATEWAY,
	                                   .peer_ns = p->ns,
	                                   .dev = link,
	                                   .index = p->ns,
	                                   .peer = "gw0",
	                                   .shortcut = p->shortcut,
	                                   .mac = gateway_mac,
	                                   .peer_mac = vnet_mac,
	                                   .mtu = p->mtu });
	kset_add(to, &o);
	add_rules(to, p->ns);
	add_addr(to, p->ns, "gw0", &vnet4, 32);
	plan_neigh(to, p->ns, "gw0", &gw4, gateway_mac);
	plan_neigh(to, p->ns, "gw0", &gw6, gateway_mac);
	add_default(to, p->ns, &gw4, "gw0");
	add_default(to, p->ns, &gw6, "gw0");
	plan_neigh(to, KOBJ_NS_GATEWAY, link, &vnet4, vnet_mac);
	plan_neigh(to, KOBJ_NS_GATEWAY, link, &vnet6, vnet_mac);
	for (size_t i = 0; p->platform_address && i < 2; i++) {
		add_addr(to, p->ns, "lo", &platform[i], (uint8_t)ip_bits(platform[i].family));
	}
	add_prefix_elem(to, p->ns, KOBJ_SET_CLOSED4, &linklocal4);
	add_prefix_elem(to, p->ns, KOBJ_SET_CLOSED4, &outside6);
	for (size_t i = 0; i < p->n_closed; i++) {
		add_prefix_elem(to, p->ns, KOBJ_SET_CLOSED4, &p->closed[i]);
	}
	for (size_t i = 0; i < p->n_vtag; i++) {
		add_prefix_elem(to, p->ns, KOBJ_SET_VTAG4, &p->vtag[i]);
	}
	for (size_t i = 0; i < p->n_targets; i++) {
		const struct plan_target *t = &p->targets[i];

		o = plan_elem(p->ns, KOBJ_SET_TARGET4, &t->from);
		o.proto = 6;
		o.port = t->port;
		o.via_port = t->to_port;
		memcpy(o.via, t->to.b, 16);
		kset_add(to, &o);
	}
	for (size_t i = 0; i < p->n_shared; i++) {
		vnet_plan_public(p->ns, &p->shared[i], to);
		plan_blocks(p, &p->shared[i], to);
	}
}

void plan_table_rule(struct kset *to, uint32_t ns, const char *dev, uint32_t table)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj o = plan_object(ns, KOBJ_RULE, KOBJ_RULE_TABLE, dev);

		o.family = family;
		o.table = table;
		kset_add(to, &o);
	}
}

/* How those leave who have no public address of their own. */
static void subnet_egress(const struct plan_subnet *p, struct kset *to)
{
	for (size_t i = 0; i < p->n_prefixes; i++) {
		struct kobj o = plan_elem(p->vnet_ns, KOBJ_SET_NATOUT4, &p->prefixes[i].ip);

		o.plen = p->prefixes[i].len;
		if (p->nat) {
			plan_nat_chain(p->nat, o.family, o.peer);
			kset_add(to, &o);
			add_prefix_elem(to, p->vnet_ns, KOBJ_SET_NATSRC4, &p->prefixes[i]);
		}
		for (size_t k = 0; k < p->n_egress; k++) {
			if (p->egress[k].family != p->prefixes[i].ip.family) {
				continue;
			}
			o = plan_elem(p->vnet_ns, KOBJ_SET_SUBOUT4, &p->prefixes[i].ip);
			o.plen = p->prefixes[i].len;
			memcpy(o.via, p->egress[k].b, 16);
			o.via_port = p->ports.last ? p->ports.first : 1024;
			o.index = p->ports.last ? p->ports.last : 65535;
			kset_add(to, &o);
		}
	}
}

/* What its groups on other nodes send takes its routes too. */
static void subnet_remote(const struct plan_subnet *p, struct kset *to)
{
	char dev[KOBJ_NAME];

	plan_node_device(p->vnet_ns, dev);
	for (size_t i = 0; i < p->n_prefixes; i++) {
		struct kobj o = plan_object(p->vnet_ns, KOBJ_RULE, KOBJ_RULE_TABLE, dev);

		set_addr(&o, &p->prefixes[i].ip);
		o.plen = p->prefixes[i].len;
		o.table = p->table;
		kset_add(to, &o);
	}
}

void vnet_plan_subnet(const struct plan_subnet *p, struct kset *to)
{
	char bridge[KOBJ_NAME] = "";

	snprintf(bridge, sizeof(bridge), "br%u", p->bridge);
	struct kobj o = plan_object(p->vnet_ns, KOBJ_LINK, KOBJ_LINK_BRIDGE, bridge);
	memcpy(o.mac, router_mac, 6);
	o.index = p->bridge;
	o.mtu = p->mtu;
	kset_add(to, &o);
	for (size_t i = 0; i < p->n_prefixes; i++) {
		struct ip gw = p->prefixes[i].ip;

		if (ip_add(&gw, 1)) {
			add_addr(to, p->vnet_ns, bridge, &gw, (uint8_t)ip_bits(gw.family));
		}
		/* What the VNet's resolver asks from there takes the subnet's routes. */
		if (p->table && !p->more) {
			o = plan_object(p->vnet_ns, KOBJ_RULE, KOBJ_RULE_SOURCE, "");
			set_addr(&o, &gw);
			o.table = p->table;
			kset_add(to, &o);
		}
		/* Addresses without a group are unreachable rather than asked for: a scan fills no
		 * neighbour table. */
		if (!p->more) {
			plan_route_add(to, p->vnet_ns, &p->prefixes[i], NULL, "");
		}
		if (!p->more && p->nsg) {
			o = plan_elem(p->vnet_ns, KOBJ_SET_IN4, &p->prefixes[i].ip);
			o.plen = p->prefixes[i].len;
			nsg_chain_name(p->nsg, true, o.peer);
			kset_add(to, &o);
		}
	}
	if (p->nsg) {
		o = plan_object(p->vnet_ns, KOBJ_ELEM, KOBJ_SET_OUT, bridge);
		nsg_chain_name(p->nsg, false, o.peer);
		kset_add(to, &o);
	}
	if (p->table) {
		plan_table_rule(to, p->vnet_ns, bridge, p->table);
	}
	if (p->table && p->branches && !p->more) {
		subnet_remote(p, to);
	}
	if (!p->more) {
		subnet_egress(p, to);
	}
}

static void group_public(const struct plan_group *p, const struct plan_addr *a, struct kset *to)
{
	struct kobj o;

	vnet_plan_public(p->vnet_ns, &a->pub, to);
	for (size_t i = 0; i < p->n_ports; i++) {
		o = plan_elem(p->vnet_ns, KOBJ_SET_PUB4, &a->pub);
		o.proto = p->ports[i].proto;
		o.port = o.via_port = p->ports[i].port;
		memcpy(o.via, a->ip.b, 16);
		kset_add(to, &o);
	}
}

static void group_maps(const struct plan_group *p, const struct plan_addr *a, struct kset *to)
{
	for (size_t i = 0; i < p->n_maps; i++) {
		const struct plan_map *m = &p->maps[i];

		if (m->ip.family != a->ip.family) {
			continue;
		}
		struct kobj o = plan_elem(p->vnet_ns, KOBJ_SET_PUB4, &m->ip);
		o.proto = m->proto;
		o.port = m->port;
		o.via_port = m->to_port;
		memcpy(o.via, a->ip.b, 16);
		kset_add(to, &o);
	}
}

/* Name of its own end, and its index there. */
static uint32_t group_device(const struct plan_group *p, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	if (p->guest) {
		snprintf(to, KOBJ_NAME, "n%u", p->ns);
		return p->ns;
	}
	memcpy(to, "eth0", 5);
	return KOBJ_PEER_INDEX;
}

/* Its own end: the address, and the way to all else by the subnet's gateway. */
static void group_inside(const struct plan_group *p, const struct plan_addr *a, const char *dev,
                         struct kset *to)
{
	struct ip_prefix gw_one;
	struct ip gw = a->prefix.ip;

	(void)ip_add(&gw, 1);
	gw_one = host_prefix(&gw);
	add_addr(to, p->ns, dev, &a->ip, a->prefix.len);
	plan_route_add(to, p->ns, &gw_one, NULL, dev);
	plan_neigh(to, p->ns, dev, &gw, router_mac);
	if (!p->no_default) {
		add_default(to, p->ns, &gw, dev);
	} else { /* the subnet, at least */
		plan_route_add(to, p->ns, &a->prefix, &gw, dev);
	}
}

static void group_address(const struct plan_group *p, const struct plan_addr *a,
                          const uint8_t mac[6], const char *port, struct kset *to)
{
	struct ip_prefix one = host_prefix(&a->ip);
	struct ip gw = a->prefix.ip;
	char bridge[KOBJ_NAME], inner[KOBJ_NAME];

	if (!ip_add(&gw, 1)) {
		return;
	}
	snprintf(bridge, sizeof(bridge), "br%u", p->bridge);
	group_device(p, inner);
	group_inside(p, a, inner, to);
	plan_neigh(to, p->vnet_ns, bridge, &a->ip, mac);
	plan_route_add(to, p->vnet_ns, &one, NULL, bridge);
	struct kobj o = plan_elem(p->vnet_ns, KOBJ_SET_PORT4, &a->ip);
	memcpy(o.kmac, mac, 6);
	memcpy(o.dev, port, KOBJ_NAME);
	kset_add(to, &o);
	o = plan_elem(p->vnet_ns, KOBJ_SET_DROPS4, &a->ip);
	kset_add(to, &o);
	if (a->pub.family) {
		o = plan_elem(p->vnet_ns, KOBJ_SET_EGRESS4, &a->ip);
		memcpy(o.via, a->pub.b, 16);
		kset_add(to, &o);
	}
	for (size_t i = 0; i < p->n_asgs; i++) {
		o = plan_object(p->vnet_ns, KOBJ_ITEM,
		                a->ip.family == 4 ? KOBJ_PSET_ADDR4 : KOBJ_PSET_ADDR6, "");
		nsg_asg_name(p->asgs[i], a->ip.family, o.dev);
		set_addr(&o, &a->ip);
		memcpy(o.via, a->ip.b, 16);
		kset_add(to, &o);
	}
	if (a->pub.family) {
		group_public(p, a, to);
	}
	group_maps(p, a, to);
}

void vnet_plan_group(const struct plan_group *p, struct kset *to)
{
	uint8_t mac[6] = { 0x02,
		           0,
		           (uint8_t)(p->ns >> 24),
		           (uint8_t)(p->ns >> 16),
		           (uint8_t)(p->ns >> 8),
		           (uint8_t)p->ns };
	char inner[KOBJ_NAME];
	struct plan_pair pair = { .ns = p->vnet_ns,
		                  .peer_ns = p->ns,
		                  .index = p->ns,
		                  .peer = inner,
		                  .peer_index = group_device(p, inner),
		                  .mac = gateway_mac,
		                  .peer_mac = mac,
		                  .mtu = p->mtu };
	char port[KOBJ_NAME] = "";

	if (p->mac) {
		memcpy(mac, p->mac, 6);
	}
	snprintf(port, sizeof(port), "p%u", p->ns);
	snprintf(pair.master, sizeof(pair.master), "br%u", p->bridge);
	pair.dev = port;
	add_netns(to, p->ns, p->guest ? KOBJ_NETNS_GUEST : KOBJ_NETNS_GROUP);
	plan_pair(to, &pair);
	struct kobj o = plan_object(p->vnet_ns, KOBJ_FDB, 0, port);
	memcpy(o.kmac, mac, 6);
	kset_add(to, &o);
	if (p->rate[0] || p->rate[1]) {
		o = plan_object(p->vnet_ns, KOBJ_RATE, 0, port);
		memcpy(o.via, p->rate, sizeof(p->rate));
		o.index = p->burst[0];
		o.mtu = p->burst[1];
		kset_add(to, &o);
	}
	if (p->tap_queues) {
		o = plan_object(p->ns, KOBJ_TAP, 0, "tap0");
		o.index = p->tap_queues > 1 ? 2 : 1;
		o.mtu = p->mtu;
		o.flags = p->tap_owner;
		kset_add(to, &o);
	}
	if (p->forward) {
		o = plan_object(p->vnet_ns, KOBJ_ELEM, KOBJ_SET_FORWARD, port);
		memcpy(o.kmac, mac, 6);
		kset_add(to, &o);
	}
	for (size_t i = 0; i < p->n_addrs; i++) {
		group_address(p, &p->addrs[i], mac, port, to);
	}
}
