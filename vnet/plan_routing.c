/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans of NAT gateways, routing tables, peerings and gateways to given namespaces. See plan.h.
 * Pure: no I/O.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vnet/nsg.h"
#include "vnet/plan_parts.h"

static const struct ip peer4 = { 4, { 169, 254, 0, 4 } };
static const struct ip peer6 = { 6, { 0xfe, 0x80, [15] = 4 } };

void plan_nat_chain(uint32_t id, uint8_t family, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "N%xg%u", id, family);
}

static void add_named(struct kset *to, uint32_t ns, enum kobj_kind kind, uint8_t sub,
                      const char name[KOBJ_NAME])
{
	struct kobj o = plan_object(ns, kind, sub, "");

	memcpy(o.dev, name, KOBJ_NAME);
	kset_add(to, &o);
}

/* A chain never changes: it is named by its content, and another takes its place. */
static void add_chain(struct kset *to, uint32_t ns, struct kset *filters, char name[KOBJ_NAME])
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < filters->n; i++) {
		const uint8_t *b = (const uint8_t *)&filters->v[i];

		for (size_t k = 0; k < sizeof(struct kobj); k++) {
			h = (h ^ b[k]) * UINT64_C(0x100000001b3);
		}
	}
	memset(name, 0, KOBJ_NAME);
	snprintf(name, KOBJ_NAME, "L%014llx", (unsigned long long)(h & 0xffffffffffffff));
	add_named(to, ns, KOBJ_CHAIN, 0, name);
	for (size_t i = 0; i < filters->n; i++) {
		memcpy(filters->v[i].dev, name, KOBJ_NAME);
		kset_add(to, &filters->v[i]);
	}
	to->failed = to->failed || filters->failed;
	kset_fini(filters);
}

/* The chain that subnets refer to stays; it leads on by a map of one item. */
static void nat_entry(struct kset *to, const struct plan_nat *p, uint8_t family,
                      struct kset *filters)
{
	struct kobj_filter go = { .op = KOBJ_FILTER_PROTO };
	struct kobj o, item = plan_object(p->vnet_ns, KOBJ_ITEM, KOBJ_PMAP_PROTO, "");

	plan_nat_chain(p->id, family, item.dev);
	add_named(to, p->vnet_ns, KOBJ_CHAIN, 0, item.dev);
	add_named(to, p->vnet_ns, KOBJ_SET, KOBJ_PMAP_PROTO, item.dev);
	memcpy(go.target, item.dev, KOBJ_NAME);
	kobj_filter_pack(&go, p->vnet_ns, item.dev, &o);
	kset_add(to, &o);
	item.via[0] = 255;
	add_chain(to, p->vnet_ns, filters, item.peer);
	kset_add(to, &item);
}

void vnet_plan_nat(const struct plan_nat *p, struct kset *to)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kset filters = { 0 };
		uint16_t parts = 0;

		for (size_t i = 0; i < p->n_addrs; i++) {
			parts = (uint16_t)(parts + (p->addrs[i].family == family));
		}
		struct kobj_filter f = { .op = KOBJ_FILTER_IDLE, .family = family };
		struct kobj first;

		kobj_timeout_name(p->idle_s, family, f.target);
		add_named(to, p->vnet_ns, KOBJ_TIMEOUT, 0, f.target);
		kobj_filter_pack(&f, p->vnet_ns, "", &first);
		kset_add(&filters, &first);
		f = (struct kobj_filter){ .op = KOBJ_FILTER_SNAT, .family = family, .position = 1 };
		f.sport[0] = parts;
		kobj_filter_set_ports(&f, p->ports.first, p->ports.last);
		for (size_t i = 0; i < p->n_addrs; i++) {
			struct kobj o;

			if (p->addrs[i].family != family) {
				continue;
			}
			memcpy(f.value[0], p->addrs[i].b, 16);
			f.group = p->id;
			kobj_filter_pack(&f, p->vnet_ns, "", &o);
			kset_add(&filters, &o);
			f.position++;
			f.sport[1]++;
			o = plan_elem(p->vnet_ns, KOBJ_SET_NATPUB4, &p->addrs[i]);
			kset_add(to, &o);
		}
		nat_entry(to, p, family, &filters);
	}
}

void vnet_plan_routes(uint32_t vnet_ns, uint32_t table, const struct plan_route *v, size_t n,
                      struct kset *to)
{
	static const uint8_t types[] = { [PLAN_HOP_NEXT] = KOBJ_ROUTE_THROW,
		                         [PLAN_HOP_NONE] = KOBJ_ROUTE_BLACKHOLE,
		                         [PLAN_HOP_INTERNET] = KOBJ_ROUTE_UNICAST,
		                         [PLAN_HOP_DEVICE] = KOBJ_ROUTE_UNICAST };

	for (size_t i = 0; i < n; i++) {
		bool internet = v[i].hop == PLAN_HOP_INTERNET, device = v[i].hop == PLAN_HOP_DEVICE;
		const struct ip *gw = v[i].prefix.ip.family == 4 ? &gw4 : &gw6;
		struct kobj o = plan_object(vnet_ns, KOBJ_ROUTE, types[v[i].hop],
		                            internet ? "gw0"
		                            : device ? v[i].dev
		                                     : "");

		o.family = v[i].prefix.ip.family;
		memcpy(o.addr, v[i].prefix.ip.b, 16);
		o.plen = v[i].prefix.len;
		o.table = table;
		if (internet || device) {
			memcpy(o.via, internet ? gw->b : v[i].via.b, 16);
		}
		kset_add(to, &o);
	}
}

void vnet_peer_via(uint8_t family, struct ip *to)
{
	*to = family == 4 ? peer4 : peer6;
}

void vnet_peer_device(uint32_t peer_ns, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "x%u", peer_ns);
}

/* ---- sources that may enter by a device ---- */

/* side: enum kobj_side */
void plan_guard_source(struct plan_guard *g, uint8_t family, uint8_t side, uint8_t plen,
                       const void *value)
{
	struct kobj_filter f = { .op = KOBJ_FILTER_GUARD,
		                 .group = g->other,
		                 .position = g->position++,
		                 .family = family,
		                 .side = { side },
		                 .plen = { plen } };
	struct kobj rule;

	if (value) {
		memcpy(f.value[0], value, 16);
	}
	kobj_filter_pack(&f, g->ns, "", &rule);
	kset_add(&g->filters, &rule);
}

void plan_guard_end(struct plan_guard *g, struct kset *to)
{
	struct kobj o = plan_object(g->ns, KOBJ_ELEM, KOBJ_SET_FROM, g->dev);

	add_chain(to, g->ns, &g->filters, o.peer);
	kset_add(to, &o);
}

static void before(struct ip *ip)
{
	for (int i = (int)ip_bits(ip->family) / 8 - 1; i >= 0 && ip->b[i]-- == 0; i--) {
	}
}

static void add_range(struct kset *to, const struct kobj *set, const struct ip *first,
                      const struct ip *last)
{
	struct kobj o = *set;

	o.kind = KOBJ_ITEM;
	o.family = first->family;
	memcpy(o.addr, first->b, 16);
	memcpy(o.via, last->b, 16);
	if (ip_compare(first, last) <= 0) {
		kset_add(to, &o);
	}
}

/* One prefix, without the holes that lie in it (sorted, disjoint). */
static void add_without(struct kset *to, const struct kobj *set, const struct ip_prefix *p,
                        const struct ip_prefix *holes, size_t n)
{
	struct ip first = p->ip, last = ip_prefix_last(p);

	for (size_t i = 0; i < n; i++) {
		struct ip end = holes[i].ip;

		if (!ip_prefix_covers(p, &holes[i])) {
			continue;
		}
		if (ip_compare(&first, &end) < 0) {
			before(&end);
			add_range(to, set, &first, &end);
		}
		first = ip_prefix_last(&holes[i]);
		if (!ip_add(&first, 1)) {
			return;
		}
	}
	add_range(to, set, &first, &last);
}

/* The prefixes without the holes, as a set a family. Out of memory leaves *to failed. */
void plan_guard_set(struct plan_guard *g, const struct ip_prefix *v, size_t n,
                    const struct ip_prefix *holes, size_t n_holes, struct kset *to)
{
	struct ip_prefix *from = calloc(n + n_holes + 1, sizeof(*from)), *without;

	if (!from) {
		to->failed = true;
		return;
	}
	without = from + n;
	memcpy(from, v, n * sizeof(*v));
	memcpy(without, holes, n_holes * sizeof(*holes));
	n = ip_prefixes_reduce(from, n);
	n_holes = ip_prefixes_reduce(without, n_holes);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj set = plan_object(g->ns, KOBJ_SET,
		                              family == 4 ? KOBJ_PSET_ADDR4 : KOBJ_PSET_ADDR6, "");

		snprintf(set.dev, KOBJ_NAME, "N%xw%u", g->other, family);
		kset_add(to, &set);
		for (size_t i = 0; i < n; i++) {
			if (from[i].ip.family == family) {
				add_without(to, &set, &from[i], without, n_holes);
			}
		}
		plan_guard_source(g, family, KOBJ_SIDE_SET, 0, set.dev);
	}
	free(from);
}

/* ---- peerings ---- */

/* Whose packets may enter from the peer: its own, what it has by its gateway, or with `forwarded`
 * anybody's. */
static void peer_guard(const struct plan_peer *p, const char *dev, struct kset *to)
{
	struct plan_guard g = { .ns = p->vnet_ns, .other = p->peer_ns, .dev = dev };

	for (size_t i = 0; i < p->n_prefixes && !p->forwarded; i++) {
		plan_guard_source(&g, p->prefixes[i].ip.family, KOBJ_SIDE_PREFIX,
		                  p->prefixes[i].len, p->prefixes[i].ip.b);
	}
	if (p->forwarded) {
		plan_guard_source(&g, 0, KOBJ_SIDE_ANY, 0, NULL);
	} else if (p->n_learned) {
		plan_guard_set(&g, p->learned, p->n_learned, p->holes, p->n_holes, to);
	}
	plan_guard_end(&g, to);
}

/* What enters by `dev` goes on to these by the VNet's own routes, by `more`, or nowhere. */
void plan_entry_table(uint32_t ns, const char *dev, uint32_t table, const struct ip_prefix *own,
                      size_t n_own, const struct plan_route *more, size_t n_more, struct kset *to)
{
	struct plan_route next = { .hop = PLAN_HOP_NEXT };

	plan_table_rule(to, ns, dev, table);
	for (size_t i = 0; i < n_own; i++) {
		next.prefix = own[i];
		vnet_plan_routes(ns, table, &next, 1, to);
	}
	vnet_plan_routes(ns, table, more, n_more, to);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct plan_route none = { .prefix = { .ip = { .family = family } },
			                   .hop = PLAN_HOP_NONE };
		bool given = false;

		for (size_t i = 0; i < n_more; i++) {
			given = given ||
			        (more[i].prefix.len == 0 && more[i].prefix.ip.family == family);
		}
		if (!given) {
			vnet_plan_routes(ns, table, &none, 1, to);
		}
	}
}

void vnet_plan_peer(const struct plan_peer *p, struct kset *to)
{
	char dev[KOBJ_NAME], other[KOBJ_NAME];
	uint32_t table = KOBJ_TABLE_BASE + p->peer_ns;

	vnet_peer_device(p->peer_ns, dev);
	vnet_peer_device(p->vnet_ns, other);
	if (p->vnet_ns < p->peer_ns) {
		plan_pair(to, &(struct plan_pair){ .ns = p->vnet_ns,
		                                   .peer_ns = p->peer_ns,
		                                   .dev = dev,
		                                   .index = p->peer_ns,
		                                   .peer = other,
		                                   .peer_index = p->vnet_ns,
		                                   .mac = vnet_mac,
		                                   .peer_mac = vnet_mac,
		                                   .mtu = p->mtu });
	}
	plan_neigh(to, p->vnet_ns, dev, &peer4, vnet_mac);
	plan_neigh(to, p->vnet_ns, dev, &peer6, vnet_mac);
	for (size_t i = 0; i < p->n_prefixes; i++) {
		plan_route_add(to, p->vnet_ns, &p->prefixes[i],
		               p->prefixes[i].ip.family == 4 ? &peer4 : &peer6, dev);
	}
	peer_guard(p, dev, to);
	/* Not transitive: what enters goes to this VNet, or nowhere. */
	plan_entry_table(p->vnet_ns, dev, table, p->own, p->n_own, p->more, p->n_more, to);
}

/* ---- gateways to given namespaces ---- */

void vnet_given_device(uint32_t given_ns, char to[static KOBJ_NAME])
{
	memset(to, 0, KOBJ_NAME);
	snprintf(to, KOBJ_NAME, "y%u", given_ns);
}

void vnet_plan_given(const struct plan_given *p, struct kset *to)
{
	struct plan_guard g = { .ns = p->vnet_ns, .other = p->given_ns };
	char dev[KOBJ_NAME];

	vnet_given_device(p->given_ns, dev);
	g.dev = dev;
	plan_pair(to, &(struct plan_pair){ .ns = p->vnet_ns,
	                                   .peer_ns = p->given_ns,
	                                   .dev = dev,
	                                   .index = p->given_ns,
	                                   .peer = "netd0",
	                                   .peer_index = PLAN_HOST_INDEX,
	                                   .mac = vnet_mac,
	                                   .peer_mac = vnet_mac,
	                                   .mtu = p->mtu });
	for (uint8_t family = 4; family <= 6; family += 2) {
		const struct ip *via = family == 4 ? &peer4 : &peer6;
		bool any = false;

		for (size_t i = 0; i < p->n_space; i++) {
			if (p->space[i].ip.family == family) {
				plan_route_add(to, p->given_ns, &p->space[i], via, "netd0");
				any = true;
			}
		}
		if (any) { /* IPv6 may be off there */
			plan_neigh(to, p->given_ns, "netd0", via, vnet_mac);
			plan_neigh(to, p->vnet_ns, dev, via, vnet_mac);
		}
	}
	plan_guard_set(&g, p->learned, p->n_learned, p->holes, p->n_holes, to);
	plan_guard_end(&g, to);
	plan_entry_table(p->vnet_ns, dev, KOBJ_TABLE_BASE + p->given_ns, p->space, p->n_space, NULL,
	                 0, to);
}
