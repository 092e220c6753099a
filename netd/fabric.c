/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See fabric.h.
 */
#include "netd/fabric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "lib/base/own.h"
#include "netd/plane.h"
#include "netd/routing.h"
#include "netd/security.h"
#include "netd/subnet.h"
#include "vnet/plan.h"

/* An owner that belongs to a thing in a VNet: its number above the VNet's. */
static uint64_t owner_in(uint32_t number, uint32_t vnet)
{
	return (uint64_t)number << 32 | vnet;
}

/* ---- what the engine has ---- */

struct sent {
	uint64_t owner;
	uint64_t sign; /* of what it was planned from; 0: plan again */
	struct kset set;
	bool used; /* while a VNet is planned */
};
static struct sent *sent;
static size_t n_sent, cap_sent;

static size_t sent_at(uint64_t owner)
{
	size_t lo = 0, hi = n_sent;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sent[mid].owner < owner) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct sent *sent_get(uint64_t owner)
{
	size_t i = sent_at(owner);

	return i < n_sent && sent[i].owner == owner ? &sent[i] : NULL;
}

static struct sent *sent_make(uint64_t owner)
{
	struct sent *s = sent_get(owner);
	size_t i = sent_at(owner);

	if (s) {
		return s;
	}
	if (n_sent == cap_sent) {
		cap_sent = cap_sent ? cap_sent * 2 : 64;
		sent = realloc(sent, cap_sent * sizeof(*sent));
		if (!sent) {
			abort();
		}
	}
	memmove(&sent[i + 1], &sent[i], (n_sent - i) * sizeof(*sent));
	sent[i] = (struct sent){ .owner = owner };
	n_sent++;
	return &sent[i];
}

/* ---- sending ---- */

static void part_begin(struct buf *b, uint64_t owner, uint8_t flags, size_t n)
{
	put_u64(b, 0);
	put_u64(b, owner);
	put_u8(b, flags);
	put_u32(b, (uint32_t)n);
}

static void send_steps(uint64_t owner, const struct kop *v, size_t n, bool whole)
{
	size_t i = 0;

	do {
		size_t some = n - i < PART_MAX ? n - i : PART_MAX;
		struct buf b = { 0 };
		unsigned flags = (i == 0 ? PART_FIRST : 0) | (i + some == n ? PART_LAST : 0) |
		                 (whole ? PART_WHOLE : 0);

		part_begin(&b, owner, (uint8_t)flags, some);
		for (size_t k = i; k < i + some; k++) {
			put_u8(&b, (uint8_t)v[k].verb);
			put_kobj(&b, v[k].o);
		}
		channel_send(plane.engine, MSG_OWNER_PART, &b, -1);
		buf_fini(&b);
		i += some;
	} while (i < n);
}

static void send_whole(const struct sent *s)
{
	struct kops ops = { 0 };

	for (size_t i = 0; i < s->set.n; i++) {
		kops_add(&ops, KOP_ADD, &s->set.v[i]);
	}
	send_steps(s->owner, ops.v, ops.n, true);
	kops_fini(&ops);
}

static void send_difference(uint64_t owner, const struct kset *was, const struct kset *now)
{
	struct kops ops = { 0 };
	size_t i = 0, j = 0;

	while (i < was->n || j < now->n) {
		int c = i == was->n ? 1 : j == now->n ? -1 : kobj_compare(&was->v[i], &now->v[j]);

		if (c < 0) {
			kops_add(&ops, KOP_DEL, &was->v[i++]);
		} else if (c > 0) {
			kops_add(&ops, KOP_ADD, &now->v[j++]);
		} else {
			if (memcmp(&was->v[i], &now->v[j], sizeof(struct kobj)) != 0) {
				kops_add(&ops, KOP_SET, &now->v[j]);
			}
			i++;
			j++;
		}
	}
	if (ops.failed || now->failed) {
		abort();
	}
	if (ops.n > 0) {
		send_steps(owner, ops.v, ops.n, false);
	}
	kops_fini(&ops);
}

void fabric_put(uint64_t owner, struct kset *objects)
{
	struct sent *s = sent_get(owner);
	bool fresh = s == NULL;

	kset_sort(objects);
	if (fresh) {
		s = sent_make(owner);
	}
	struct kset was = s->set;
	s->set = *objects;
	s->used = true;
	*objects = (struct kset){ 0 };
	if (fresh) {
		send_whole(s);
	} else {
		send_difference(owner, &was, &s->set);
	}
	kset_fini(&was);
}

void fabric_drop(uint64_t owner)
{
	struct sent *s = sent_get(owner);
	struct buf b = { 0 };

	if (!s) {
		return;
	}
	kset_fini(&s->set);
	memmove(s, s + 1, (size_t)(sent + n_sent - s - 1) * sizeof(*s));
	n_sent--;
	put_u64(&b, 0);
	put_u64(&b, owner);
	channel_send(plane.engine, MSG_OWNER_DEL, &b, -1);
	buf_fini(&b);
}

void fabric_resend(void)
{
	for (size_t i = 0; i < n_sent; i++) {
		send_whole(&sent[i]);
	}
}

/* ---- plans of a VNet ---- */

#define VTAG_MAX 1100
#define ASGS_MAX 1000

static uint32_t mtu(void)
{
	return (uint32_t)plane.config->mtu - 50;
}

/* VirtualNetwork: the VNet's own space, that of its peers, and the platform's address.
 * learn.microsoft.com, "Virtual network service tags". */
size_t fabric_vtag(const struct resource *v, struct ip_prefix *to, size_t max)
{
	static const char *const platform[] = { "168.63.129.16/32", "fd53:a83f:8110::10/128" };
	struct err e = ERR_INIT;
	struct routing_peer peer;
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
	return n;
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
	static struct ip_prefix tags[VTAG_MAX];
	struct ip shared[SHARED_MAX];
	struct ip_prefix closed[2];
	struct kset set = { 0 };
	size_t n = s->platform ? subnet_prefixes_of(s, closed, ARRAY_N(closed)) : 0;

	vnet_plan_vnet(&(struct plan_vnet){ .ns = s->vnet,
	                                    .mtu = mtu(),
	                                    .closed = closed,
	                                    .n_closed = n,
	                                    .shared = shared,
	                                    .n_shared = shared_addresses(s->vnet, v, shared),
	                                    .platform_address = true,
	                                    .vtag = tags,
	                                    .n_vtag = fabric_vtag(v, tags, VTAG_MAX) },
	               &set);
	fabric_put(s->vnet, &set);
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
		fabric_put(owner_in(numbers[i], vnet), &set);
	}
}

/* The security group's chains in the VNet, planned when its document is another than last time. */
static void plan_security(uint32_t vnet, struct resource *nsg)
{
	static uint32_t asgs[ASGS_MAX];
	uint64_t owner = owner_in(table_number(nsg), vnet);
	struct sent *s = sent_get(owner);

	plan_asgs(vnet, asgs, security_asgs(nsg, asgs, ASGS_MAX));
	if (s && s->sign == nsg->etag) {
		s->used = true;
		return;
	}
	struct nsg g;
	struct kset set = { 0 };
	security_read(nsg, &g);
	vnet_plan_nsg(&g, vnet, &set);
	nsg_fini(&g);
	fabric_put(owner, &set);
	sent_get(owner)->sign = nsg->etag;
}

static void plan_nat(uint32_t vnet, struct resource *nat)
{
	struct ip addrs[2 * ROUTING_NAT_MAX];
	struct kset set = { 0 };

	vnet_plan_nat(&(struct plan_nat){ .id = table_number(nat),
	                                  .vnet_ns = vnet,
	                                  .idle_s = 60 * routing_nat_idle(nat),
	                                  .addrs = addrs,
	                                  .n_addrs = routing_nat_addresses(nat, addrs) },
	              &set);
	fabric_put(owner_in(table_number(nat), vnet), &set);
}

/* ---- routes ---- */

static bool in_space(const struct resource *v, const struct ip *ip)
{
	static struct ip_prefix all[VTAG_MAX];
	size_t n = vnet_space(v, all, VTAG_MAX);

	for (size_t i = 0; i < n; i++) {
		if (all[i].ip.family == ip->family && ip_prefix_contains(&all[i], ip)) {
			return true;
		}
	}
	return false;
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

static struct plan_route plan_route(struct resource *v, const struct routing_route *r)
{
	struct plan_route to = { .prefix = r->prefix, .hop = PLAN_HOP_NEXT };

	if (strcasecmp(r->type, "None") == 0 || strcasecmp(r->type, "VirtualNetworkGateway") == 0) {
		to.hop = PLAN_HOP_NONE; /* a gateway that is not there */
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

/* What the VNet's own routes decide stays so below a wider route of the user's. */
static size_t add_throws(const struct resource *v, struct plan_route *to, size_t n, size_t max)
{
	static struct ip_prefix own[VTAG_MAX];
	size_t m = vnet_space(v, own, VTAG_MAX);
	struct routing_peer peer;

	for (size_t i = 0; routing_peer(v, i, &peer); i++) {
		m += vnet_space(peer.vnet, own + m, VTAG_MAX - m);
	}
	for (size_t i = 0; i < m && n < max; i++) {
		if (!has_prefix(to, n, &own[i])) {
			to[n++] = (struct plan_route){ .prefix = own[i], .hop = PLAN_HOP_NEXT };
		}
	}
	return n;
}

static void plan_table(const struct subnet *s, struct resource *v, const struct resource *table)
{
	static struct routing_route routes[ROUTING_ROUTES_MAX];
	static struct plan_route plan[ROUTING_ROUTES_MAX + VTAG_MAX];
	size_t n = routing_routes(table, routes, ROUTING_ROUTES_MAX);
	struct kset set = { 0 };

	for (size_t i = 0; i < n; i++) {
		plan[i] = plan_route(v, &routes[i]);
	}
	n = add_throws(v, plan, n, ARRAY_N(plan));
	vnet_plan_routes(s->vnet, KOBJ_TABLE_BASE + s->id, plan, n, &set);
	fabric_put(owner_in(s->id, s->vnet), &set);
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

static void plan_peer_side(struct resource *v, const struct routing_peer *p)
{
	static struct ip_prefix own[VTAG_MAX], other[VTAG_MAX];
	static struct plan_route more[ROUTING_ROUTES_MAX];
	uint32_t number = table_number(v), peer = table_number(p->vnet);
	struct kset set = { 0 };

	vnet_plan_peer(&(struct plan_peer){ .vnet_ns = number,
	                                    .peer_ns = peer,
	                                    .mtu = mtu(),
	                                    .prefixes = other,
	                                    .n_prefixes = vnet_space(p->vnet, other, VTAG_MAX),
	                                    .own = own,
	                                    .n_own = vnet_space(v, own, VTAG_MAX),
	                                    .forwarded = p->forwarded,
	                                    .more = more,
	                                    .n_more = appliance_routes(v, p->vnet, more,
	                                                               ARRAY_N(more)) },
	               &set);
	fabric_put(owner_in(peer, number), &set);
}

/* Both sides, the one with the link first. */
static void plan_peers(struct resource *v)
{
	struct routing_peer p, back;

	for (size_t i = 0; routing_peer(v, i, &p); i++) {
		uint32_t number = table_number(v), peer = table_number(p.vnet);
		size_t k = 0;

		if (!subnet_any(peer) || !sent_get(peer)) {
			continue; /* nobody there; it plans both sides when it comes */
		}
		while (routing_peer(p.vnet, k, &back) && back.vnet != v) {
			k++;
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

/* ---- subnets ---- */

static void plan_bridges(const struct subnet *s, const struct plan_subnet *as)
{
	struct plan_subnet p = *as;
	struct ip_prefix some[SUBNET_RANGES_MAX];

	p.vnet_ns = s->vnet;
	p.mtu = mtu();
	p.prefixes = some;
	p.n_prefixes = subnet_prefixes_of(s, some, ARRAY_N(some));
	for (size_t i = 0; i < s->n_bridges; i++) {
		struct kset set = { 0 };

		p.bridge = s->bridges[i].id;
		p.more = s->bridges[i].id != s->id;
		vnet_plan_subnet(&p, &set);
		fabric_put(s->bridges[i].id, &set);
	}
}

static void plan_subnet(const struct subnet *s, struct resource *v)
{
	struct resource *nsg = v ? vnet_subnet_ref(v, s->id, "networkSecurityGroup") : NULL;
	struct resource *nat = v ? vnet_subnet_ref(v, s->id, "natGateway") : NULL;
	struct resource *table = v ? vnet_subnet_ref(v, s->id, "routeTable") : NULL;
	struct plan_subnet p = { .nsg = nsg ? table_number(nsg) : 0,
		                 .nat = nat ? table_number(nat) : 0,
		                 .table = table ? KOBJ_TABLE_BASE + s->id : 0,
		                 .egress = &s->shared };

	p.n_egress = s->shared.family && vnet_default_outbound(v, s->id);
	if (nsg) {
		plan_security(s->vnet, nsg);
	}
	if (nat) {
		plan_nat(s->vnet, nat);
	}
	plan_bridges(s, &p);
	if (table) {
		plan_table(s, v, table);
	}
}

/* Application security groups that groups in the VNet belong to, beside those that rules name. */
static void plan_memberships(const struct subnet *s)
{
	for (size_t i = 0; i < s->n_asgs; i++) {
		plan_asgs(s->vnet, &s->asgs[i], 1);
	}
}

static bool in_vnet(const struct sent *s, uint32_t vnet)
{
	return s->owner >> 32 && (uint32_t)s->owner == vnet;
}

static void drop_unused(uint32_t vnet)
{
	for (size_t i = n_sent; i-- > 0;) {
		if (in_vnet(&sent[i], vnet) && !sent[i].used) {
			fabric_drop(sent[i].owner);
		}
	}
}

void fabric_vnet(uint32_t vnet)
{
	struct resource *v = table_numbered(vnet);
	struct subnet *s;
	bool first = true;

	for (size_t i = 0; i < n_sent; i++) {
		sent[i].used = sent[i].used && !in_vnet(&sent[i], vnet);
	}
	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		if (first) {
			plan_router(s, v);
			if (v) {
				plan_peers(v);
			}
			first = false;
		}
		plan_memberships(s);
		plan_subnet(s, v);
		s->sent = true;
	}
	drop_unused(vnet);
}

void fabric_vnets(uint32_t tenant)
{
	const struct subnet *s;
	uint32_t last = 0;

	for (size_t i = 0; (s = subnet_at(i)); i++) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;

		if (s->vnet != last &&
		    (!tenant || (v && tenant_of(v->id)->number == tenant))) {
			fabric_vnet(s->vnet);
		}
		last = s->vnet;
	}
}

void fabric_vnet_gone(uint32_t vnet)
{
	for (size_t i = 0; i < n_sent; i++) {
		sent[i].used = sent[i].used && !in_vnet(&sent[i], vnet);
	}
	drop_unused(vnet);
	fabric_drop(vnet);
	const struct resource *v = table_numbered(vnet);
	struct routing_peer p;
	for (size_t i = 0; v && routing_peer(v, i, &p); i++) {
		fabric_vnet(table_number(p.vnet)); /* its side of the peering goes too */
	}
}

/* ---- waiting for the engine ---- */

struct waiter {
	STAILQ_ENTRY(waiter) link;
	uint64_t request;
	void (*done)(void *arg);
	void *arg;
};
static STAILQ_HEAD(waiters, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);

void fabric_wait(void (*done)(void *arg), void *arg)
{
	static uint64_t last;
	struct waiter *w = calloc(1, sizeof(*w));
	struct buf b = { 0 };

	if (!w) {
		abort();
	}
	if (!plane.engine) {
		free(w);
		done(arg);
		return;
	}
	*w = (struct waiter){ .request = ++last, .done = done, .arg = arg };
	STAILQ_INSERT_TAIL(&waiters, w, link);
	put_u64(&b, w->request);
	channel_send(plane.engine, MSG_PING, &b, -1); /* answered after what came before */
	buf_fini(&b);
}

void fabric_answered(uint64_t request)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(&waiters)) && w->request <= request) {
		STAILQ_REMOVE_HEAD(&waiters, link);
		w->done(w->arg);
		free(w);
	}
}

void fabric_engine_gone(void)
{
	fabric_answered(UINT64_MAX);
}
