/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Each node's own part: its gateway, and the link between the gateways of nodes, by which what comes in at one reaches the
 * VNets of others. See fabric.h and docs/architecture.md, "Between nodes".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "netd/addrblock.h"
#include "netd/agent.h"
#include "netd/fabric_parts.h"
#include "netd/home.h"

#define OWN_FACTS_MS 1000

/* What the node says of itself; this one asks its kernel once a second at most. */
static const struct node_facts *facts_now(const struct node *n)
{
	static struct node_facts own;
	static int64_t at_ms;
	int64_t now = clock_system.now_ms(&clock_system);

	if (n != node_own()) {
		return &n->facts;
	}
	if (!own.version[0] || now - at_ms >= OWN_FACTS_MS) {
		facts_of(plane.config, &own);
		at_ms = now;
	}
	return &own;
}

/* Its address in the network between the nodes; false: none is known, or no device has it. */
static bool underlay_of(const struct node *n, struct ip *ip)
{
	const struct node_facts *f = facts_now(n);
	struct err e = ERR_INIT;

	return f->underlay[0] && ip_parse(f->address, ip, &e) == 0;
}

bool fabric_linked(const struct node *n)
{
	struct ip theirs, ours;

	return node_own() && underlay_of(n, &theirs) && underlay_of(node_own(), &ours) &&
	       theirs.family == ours.family;
}

/* Of all numbers, those of nodes that have groups or homes of the VNets that `n` has. */
static const bool *neighbours_of(const struct node *n)
{
	static bool near[PLAN_NODE_MAX + 1];
	const struct subnet *s;
	uint32_t last = 0;

	memset(near, 0, sizeof(near));
	for (size_t i = 0; (s = subnet_at(i)); i++) {
		const struct node *x = s->vnet != last ? home_of(s->vnet) : NULL;

		last = s->vnet;
		if (!x || !home_branch(last, 0) || !home_has(last, n)) {
			continue;
		}
		for (size_t k = 0; x; x = home_branch(last, k++)) {
			near[x->number] = true;
		}
	}
	return near;
}

/* The nodes that the gateway of `n` speaks to: one with an uplink to all, others to those that have one; a fenced one lets in what is
 * not its own. Or (`near`) those that its VNets speak to, of which none is fenced. */
static size_t others_of(const struct node *n, uint8_t family, const bool *near,
                        struct plan_router *to)
{
	const struct node *x;
	struct ip ip;
	size_t k = 0;

	for (size_t i = 0; (x = node_at(i)) && k < NODES_MAX; i++) {
		bool fenced = x->fenced && (near || !node_ingress(x));
		bool meets = near ? near[x->number] : node_ingress(n) || node_ingress(x);

		if (x != n && !fenced && meets && underlay_of(x, &ip) && ip.family == family) {
			to[k++] = (struct plan_router){ x->number, ip };
		}
	}
	return k;
}

static void read_uplink(const struct node_facts *f, struct plan_gateway *p)
{
	struct err e = ERR_INIT;

	memcpy(p->uplink, f->uplink, KOBJ_NAME);
	memcpy(p->uplink_mac, f->uplink_mac, 6);
	(void)!(f->hop4[0] && ip_parse(f->hop4, &p->hop4, &e));
	(void)!(f->hop6[0] && ip_parse(f->hop6, &p->hop6, &e));
}

/* Which pools the host's namespace has no route to, and which are left by another node that this one is linked to. */
static size_t returns_of(const struct node *n, const struct plan_fabric *f, struct plan_return *to,
                         bool *closed)
{
	const struct config *c = plane.config;
	size_t count = 0;

	for (size_t i = 0; i < (size_t)c->n_pools; i++) {
		const struct node *at = pool_node(i);

		closed[i] = (n->drained && facts_now(n)->uplink[0]) ||
		            (!c->pool_onlink[i] && at && at != n);
		for (size_t k = 0; c->return_mux && at && at != n && k < f->n_others; k++) {
			if (f->others[k].node == at->number) {
				to[count++] = (struct plan_return){ c->pools[i], at->number };
			}
		}
	}
	return count;
}

void fabric_gateway(const struct node *n)
{
	static struct plan_return returns[CONFIG_POOLS_MAX];
	static bool closed[CONFIG_POOLS_MAX];
	static struct plan_router others[NODES_MAX];
	static struct ip members[NODES_MAX], gateways[NODES_MAX];
	const struct config *c = plane.config;
	struct plan_gateway p = { .mtu = (uint32_t)c->mtu, .shortcut = c->bpf, .closed = closed };
	struct plan_fabric f = { .vnet_ns = KOBJ_NS_GATEWAY,
		                 .vni = KOBJ_NODES_VNI,
		                 .mtu = (uint32_t)c->mtu,
		                 .self = { .node = n->number },
		                 .others = others };
	const struct node_facts *facts = facts_now(n);
	struct kset set = { 0 };
	struct err e = ERR_INIT;
	bool linked = underlay_of(n, &f.self.underlay) && node_at(1);

	if (node_ingress(n)) {
		p.pools = c->pools;
		p.n_pools = (size_t)c->n_pools;
		read_uplink(facts, &p);
	} else {
		p.leaf = true;
	}
	if (n == node_own()) {
		(void)!(c->host4[0] && ip_parse(c->host4, &p.host4, &e));
		(void)!(c->host6[0] && ip_parse(c->host6, &p.host6, &e));
	}
	if (linked) {
		p.n_members = others_of(n, f.self.underlay.family, neighbours_of(n), others);
		for (size_t i = 0; i < p.n_members; i++) {
			members[i] = others[i].underlay;
		}
		memcpy(p.underlay, facts->underlay, sizeof(p.underlay));
		p.members = members;
		p.n_gateways = f.n_others = others_of(n, f.self.underlay.family, NULL, others);
		for (size_t i = 0; i < f.n_others; i++) {
			gateways[i] = others[i].underlay;
		}
		p.gateways = gateways;
	}
	p.linked = linked;
	size_t n_returns = returns_of(n, &f, returns, closed);
	vnet_plan_gateway(&p, &set);
	if (linked) {
		vnet_plan_gateways(&f, p.leaf && node_own() ? node_own()->number : 0, &set);
		vnet_plan_returns(returns, n_returns, c->pools, (size_t)c->n_pools, &set);
	}
	fabric_put_at(OWNER_GATEWAY, n, 0, &set);
}

void fabric_gateway_new(const struct node *n)
{
	const struct node *x;

	if (pools_place()) {
		fabric_gateways();
		return;
	}
	for (size_t i = 0; (x = node_at(i)); i++) {
		if (node_channel(x, ROLE_ENGINE) &&
		    (x == n || node_ingress(n) || node_ingress(x))) {
			fabric_gateway(x);
		}
	}
}

void fabric_gateways(void)
{
	const struct subnet *s;
	const struct node *n;
	uint32_t last = 0;

	(void)pools_place();
	for (size_t i = 0; (n = node_at(i)); i++) {
		if (node_channel(n, ROLE_ENGINE)) {
			fabric_gateway(n);
		}
	}
	for (size_t i = 0; (s = subnet_at(i)); i++) {
		if (s->vnet != last && fabric_sent(s->vnet) && home_branch(s->vnet, 0)) {
			fabric_links(s->vnet);
		}
		last = s->vnet;
	}
}

void fabric_follow(const struct node *n)
{
	if (pools_place()) {
		fabric_gateways();
	}
	fabric_gateway(n);
}

/* ---- a VNet's link between its nodes ---- */

/* The home first, then branches, as far as their addresses are known. */
static size_t nodes_of(uint32_t vnet, const struct node **to, struct plan_router *routers)
{
	const struct node *n = home_of(vnet);
	struct ip ip;
	size_t k = 0;

	for (size_t i = 0; n && k < NODES_MAX; n = home_branch(vnet, i++)) {
		if (underlay_of(n, &ip) && !(n->fenced && k > 0)) {
			to[k] = n;
			routers[k++] = (struct plan_router){ n->number, ip };
		}
	}
	return k;
}

static size_t space_of(uint32_t vnet, struct ip_prefix *to)
{
	const struct resource *v = table_numbered(vnet);
	const struct subnet *s = subnet_at(subnet_first(vnet));

	return v                      ? vnet_space(v, to, FABRIC_VTAG_MAX)
	       : s && s->vnet == vnet ? subnet_prefixes_of(s, to, FABRIC_VTAG_MAX)
	                              : 0;
}

static bool among(const struct node *n, const struct node **v, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (v[i] == n) {
			return true;
		}
	}
	return false;
}

void fabric_links(uint32_t vnet)
{
	static const struct node *nodes[NODES_MAX];
	static struct plan_router routers[NODES_MAX], others[NODES_MAX];
	static struct ip_prefix space[FABRIC_VTAG_MAX];
	uint64_t owner = fabric_owner(OWNER_LINKS, vnet);
	size_t count = nodes_of(vnet, nodes, routers);
	const struct node *n;

	count = count > 1 ? count : 0;
	struct plan_fabric p = { .vnet_ns = vnet,
		                 .vni = vnet,
		                 .mtu = fabric_mtu(),
		                 .others = others,
		                 .space = space,
		                 .n_space = count ? space_of(vnet, space) : 0 };
	p.n_addrblocks = count ? addrblock_list(vnet, &p.addrblocks) : 0;
	for (size_t i = 0; i < count; i++) {
		struct kset set = { 0 };

		p.self = routers[i];
		p.home = i > 0 ? routers[0].node : 0;
		p.n_others = 0;
		for (size_t k = 0; k < count; k++) {
			if (k != i && routers[k].underlay.family == p.self.underlay.family) {
				others[p.n_others++] = routers[k];
			}
		}
		vnet_plan_fabric(&p, &set);
		fabric_put_at(owner, nodes[i], vnet, &set);
	}
	for (size_t i = 0; (n = node_at(i)); i++) {
		if (!among(n, nodes, count)) {
			fabric_drop_at(owner, n);
		}
	}
}

void fabric_meet(uint32_t vnet)
{
	const struct node *n = home_of(vnet);

	for (size_t i = 0; n; n = home_branch(vnet, i++)) {
		if (node_channel(n, ROLE_ENGINE)) {
			fabric_gateway(n);
		}
	}
}

void fabric_list(const struct node *n)
{
	fabric_follow(n);
	fabric_vnets(0, node_ingress(n) ? NULL : n); /* there are ways to all */
	fabric_resend(n);
}

/* Is somebody asked for it who is on control's link? Not for what is routed to some node by name. */
static bool is_asked_for(const struct kobj *o)
{
	const struct config *c = plane.config;
	struct ip ip = { .family = o->family };

	memcpy(ip.b, o->addr, 16);
	for (size_t i = 0; i < (size_t)c->n_pools; i++) {
		if (ip_prefix_contains(&c->pools[i], &ip)) {
			return !c->pool_at[i][0];
		}
	}
	return true;
}

void fabric_unanswered(const struct node *at, struct kset *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct kobj *o = &set->v[i];

		if (o->ns != KOBJ_NS_GATEWAY || o->kind != KOBJ_NEIGH ||
		    o->sub != KOBJ_NEIGH_PROXY || (at == node_own() && is_asked_for(o))) {
			set->v[n++] = *o;
		}
	}
	set->n = n;
}
