/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A VNet's plans: router, security groups, NAT gateways, subnets. See fabric.h and vnet/plan.h.
 */
#include <string.h>

#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/config.h"
#include "netd/fabric_parts.h"
#include "netd/gateway.h"
#include "netd/home.h"
#include "netd/ports.h"
#include "netd/security.h"
#include "netd/zone.h"

#define ASGS_MAX 1000

/* VirtualNetwork: the VNet's own space, that of its peers, what its gateway has learned, and the
 * platform's address; learn.microsoft.com, "Virtual network service tags". A default route that was
 * learned is left out: the tag's default rules would let the whole internet in. */
size_t fabric_vtag(const struct resource *v, struct ip_prefix *to, size_t max)
{
	static const char *const platform[] = { "168.63.129.16/32", "fd53:a83f:8110::10/128" };
	struct err e = ERR_INIT;
	struct routing_peer peer;
	struct gateway_path path;
	size_t n = 0;

	if (!v) {
		return 0;
	}
	for (size_t i = 0; i < ARRAY_N(platform); i++) {
		n += ip_prefix_parse(platform[i], &to[n], &e) == 0;
	}
	n += vnet_space(v, to + n, max - n);
	for (size_t i = 0; routing_peer(v, i, &peer); i++) {
		if (peer.access) {
			n += vnet_space(peer.vnet, to + n, max - n);
		}
	}
	size_t m = gateway_routes(v, to + n, max - n, &path);
	for (size_t i = n; i < n + m;) {
		if (to[i].len == 0) {
			to[i] = to[n + --m];
		} else {
			i++;
		}
	}
	return ip_prefixes_reduce(to, n + m);
}

#define SHARED_MAX 256

/* Public addresses that several groups of the VNet leave by. */
static size_t shared_addresses(uint32_t vnet, const struct resource *v, struct ip *to)
{
	const struct subnet *s;
	size_t n = 0;

	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		struct ip some[2 * ROUTING_NAT_MAX];
		const struct resource *nat = v ? vnet_subnet_ref(v, s->id, "natGateway") : NULL;
		size_t m = nat ? routing_nat_addresses(nat, some) : 0;

		if (s->shared.family) {
			some[m++ % ARRAY_N(some)] = s->shared;
		}
		for (size_t k = 0; k < m && k < ARRAY_N(some); k++) {
			bool had = false;

			for (size_t l = 0; l < n; l++) {
				had = had || ip_compare(&to[l], &some[k]) == 0;
			}
			if (!had && n < SHARED_MAX) {
				to[n++] = some[k];
			}
		}
	}
	return n;
}

static void plan_router(const struct subnet *s, const struct resource *v)
{
	static struct ip_prefix tags[FABRIC_VTAG_MAX];
	static struct plan_block blocks[PORTS_BLOCKS];
	struct ip shared[SHARED_MAX];
	struct ip_prefix closed[2];
	struct kset set = { 0 };
	size_t n = s->platform ? subnet_prefixes_of(s, closed, ARRAY_N(closed)) : 0;

	vnet_plan_vnet(&(struct plan_vnet){ .ns = s->vnet,
	                                    .shortcut = plane.config->bpf,
	                                    .mtu = (uint32_t)plane.config->mtu,
	                                    .closed = closed,
	                                    .n_closed = n,
	                                    .shared = shared,
	                                    .n_shared = shared_addresses(s->vnet, v, shared),
	                                    .blocks = blocks,
	                                    .n_blocks = ports_blocks(s->vnet, blocks, PORTS_BLOCKS),
	                                    .platform_address = true,
	                                    .targets = plane.config->targets,
	                                    .n_targets = plane.config->n_targets,
	                                    .vtag = tags,
	                                    .n_vtag = fabric_vtag(v, tags, FABRIC_VTAG_MAX) },
	               &set);
	fabric_put(s->vnet, s->vnet, &set);
}

static void plan_asgs(uint32_t vnet, const uint32_t *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct kobj o = { .ns = vnet, .kind = KOBJ_SET };
		struct kset set = { 0 };

		for (uint8_t family = 4; family <= 6; family += 2) {
			o.sub = family == 4 ? KOBJ_PSET_ADDR4 : KOBJ_PSET_ADDR6;
			nsg_asg_name(numbers[i], family, o.dev);
			kset_add(&set, &o);
		}
		fabric_put(fabric_owner(numbers[i], vnet), vnet, &set);
	}
}

/* The security group's chains in the VNet, planned when its document is another than last time. */
static void plan_security(uint32_t vnet, struct resource *nsg)
{
	static uint32_t asgs[ASGS_MAX];
	uint64_t owner = fabric_owner(table_number(nsg), vnet);

	plan_asgs(vnet, asgs, security_asgs(nsg, asgs, ASGS_MAX));
	if (fabric_stays(owner, nsg->etag)) {
		return;
	}
	struct nsg g;
	struct kset set = { 0 };
	security_read(nsg, &g);
	vnet_plan_nsg(&g, vnet, &set);
	nsg_fini(&g);
	fabric_put(owner, vnet, &set);
	fabric_sign(owner, nsg->etag);
}

static void plan_nat(uint32_t vnet, struct resource *nat)
{
	struct ip addrs[2 * ROUTING_NAT_MAX];
	struct kset set = { 0 };

	vnet_plan_nat(&(struct plan_nat){ .id = table_number(nat),
	                                  .vnet_ns = vnet,
	                                  .idle_s = 60 * routing_nat_idle(nat),
	                                  .addrs = addrs,
	                                  .n_addrs = routing_nat_addresses(nat, addrs),
	                                  .ports = ports_home() },
	              &set);
	fabric_put(fabric_owner(table_number(nat), vnet), vnet, &set);
}

/* ---- subnets ---- */

static void plan_bridges(const struct subnet *s, const struct plan_subnet *as)
{
	struct plan_subnet p = *as;
	struct ip_prefix some[SUBNET_RANGES_MAX];

	p.vnet_ns = s->vnet;
	p.mtu = fabric_mtu();
	p.prefixes = some;
	p.n_prefixes = subnet_prefixes_of(s, some, ARRAY_N(some));
	for (size_t i = 0; i < s->n_bridges; i++) {
		struct kset set = { 0 };

		p.bridge = s->bridges[i].id;
		p.more = s->bridges[i].id != s->id;
		vnet_plan_subnet(&p, &set);
		fabric_put(s->bridges[i].id, s->vnet, &set);
	}
}

static void plan_subnet(const struct subnet *s, struct resource *v)
{
	struct resource *nsg = v ? vnet_subnet_ref(v, s->id, "networkSecurityGroup") : NULL;
	struct resource *nat = v ? vnet_subnet_ref(v, s->id, "natGateway") : NULL;
	struct resource *table = v ? vnet_subnet_ref(v, s->id, "routeTable") : NULL;
	bool routed = v && fabric_routed(v, table);
	struct plan_subnet p = { .nsg = nsg ? table_number(nsg) : 0,
		                 .nat = nat ? table_number(nat) : 0,
		                 .table = routed ? KOBJ_TABLE_BASE + s->id : 0,
		                 .egress = &s->shared,
		                 .ports = ports_home(),
		                 .branches = home_branch(s->vnet, 0) != NULL };

	p.n_egress = s->shared.family && vnet_default_outbound(v, s->id);
	if (nsg) {
		plan_security(s->vnet, nsg);
	}
	if (nat) {
		plan_nat(s->vnet, nat);
	}
	plan_bridges(s, &p);
	if (routed) {
		fabric_plan_table(s, v, table);
	}
}

/* Application security groups that groups in the VNet belong to, beside those that rules name. */
static void plan_memberships(const struct subnet *s)
{
	for (size_t i = 0; i < s->n_asgs; i++) {
		plan_asgs(s->vnet, &s->asgs[i], 1);
	}
}

void fabric_vnet(uint32_t vnet)
{
	struct resource *v = table_numbered(vnet);
	struct subnet *s;
	struct resource *guest;
	bool first = true, fresh = !fabric_sent(vnet);

	ports_give(vnet);
	fabric_begin(vnet);
	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		if (first) {
			plan_router(s, v);
			if (v) {
				fabric_plan_peers(v);
				fabric_plan_gateway(v);
			}
			first = false;
		}
		plan_memberships(s);
		plan_subnet(s, v);
		s->sent = true;
	}
	balancer_vnet(vnet);
	fabric_end(vnet);
	fabric_links(vnet);
	zone_tell_vnet(vnet);
	for (size_t i = 0; v && fresh && fabric_sent(vnet) && gateway_guest(v, i, &guest); i++) {
		fabric_vnet(table_number(guest)); /* its routes lead here now */
	}
}

void fabric_vnets(uint32_t tenant, const struct node *n)
{
	const struct subnet *s;
	uint32_t last = 0;

	for (size_t i = 0; (s = subnet_at(i)); i++) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;

		if (s->vnet != last && (!tenant || (v && tenant_of(v->id)->number == tenant)) &&
		    (!n || home_has(s->vnet, n))) {
			fabric_vnet(s->vnet);
		}
		last = s->vnet;
	}
}

void fabric_vnet_gone(uint32_t vnet)
{
	fabric_begin(vnet);
	fabric_end(vnet);
	fabric_drop(fabric_owner(OWNER_LINKS, vnet));
	fabric_drop(vnet); /* the router takes along what is in it */
	zone_tell_vnet_gone(vnet);
	const struct resource *v = table_numbered(vnet);
	struct routing_peer p;
	for (size_t i = 0; v && routing_peer(v, i, &p); i++) {
		fabric_vnet(table_number(p.vnet)); /* its side of the peering goes too */
	}
}
