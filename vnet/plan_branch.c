/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A VNet on several nodes: of what its home has, the part that a branch has. See plan.h. Pure: no I/O.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vnet/plan_parts.h"

/* ---- what is at the home alone ---- */

/* Ways in and out, and what is translated there. */
static bool is_way(uint8_t sub)
{
	switch (sub) {
	case KOBJ_SET_PUB4:
	case KOBJ_SET_PUB6:
	case KOBJ_SET_EGRESS4:
	case KOBJ_SET_EGRESS6:
	case KOBJ_SET_OWN4:
	case KOBJ_SET_OWN6:
		return true;
	default:
		return false;
	}
}

/* What leaves the VNet, or floats. */
static bool is_home_elem(uint8_t sub)
{
	switch (sub) {
	case KOBJ_SET_FLOAT4:
	case KOBJ_SET_FLOAT6:
	case KOBJ_SET_ANYFLOAT4:
	case KOBJ_SET_ANYFLOAT6:
	case KOBJ_SET_FROM:
		return true;
	default:
		return is_way(sub) || (sub >= KOBJ_SET_OUTTCP4 && sub <= KOBJ_SET_NATPUB6 &&
		                       sub != KOBJ_SET_NATSRC4 && sub != KOBJ_SET_NATSRC6);
	}
}

static bool is_device(const struct kobj *o, const char *first)
{
	return strncmp(o->dev, first, strlen(first)) == 0;
}

/* Tables of what enters from peers and gateways, which lead to the home alone. */
static bool is_entry(const struct kset *objects, uint32_t table)
{
	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];

		if (o->kind == KOBJ_RULE && o->sub == KOBJ_RULE_TABLE && o->table == table) {
			return !is_device(o, "br");
		}
	}
	return false;
}

static bool same_front(const struct kobj *a, const struct kobj *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, 16) == 0 && a->port == b->port &&
	       a->proto == b->proto;
}

/* Frontends inside the VNet translate where the client is, public ones where the backend is; but for floating ones: the mark that says
 * which it was does not cross. */
struct fronts {
	const struct kobj **v; /* theirs, of classes */
	size_t n;
	const struct kobj *last; /* that was asked for: slots of one follow each other */
	bool was;
	bool floating; /* there are some that do */
};

static bool is_class(const struct kobj *o)
{
	return o->kind == KOBJ_ELEM && ((o->sub >= KOBJ_SET_FRONT4 && o->sub <= KOBJ_SET_ANY6) ||
	                                o->sub == KOBJ_SET_SPREAD4 || o->sub == KOBJ_SET_SPREAD6);
}

/* Has the address public frontends, which are on branches too? */
static bool is_spread(const struct fronts *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i]->sub >= KOBJ_SET_SPREAD4 && f->v[i]->family == o->family &&
		    memcmp(f->v[i]->addr, o->addr, 16) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_floating(const struct kobj *o)
{
	return o->kind == KOBJ_ELEM && o->sub >= KOBJ_SET_FLOAT4 && o->sub <= KOBJ_SET_ANYFLOAT6;
}

static bool floats(const struct kset *objects, const struct kobj *front)
{
	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];

		if (is_floating(o) && same_front(o, front)) {
			return true;
		}
	}
	return false;
}

/* Out of memory: -1. */
static int fronts_of(const struct kset *objects, struct fronts *to)
{
	size_t n = 0;

	bool floating = false;

	for (size_t i = 0; i < objects->n; i++) {
		n += is_class(&objects->v[i]);
		floating = floating || is_floating(&objects->v[i]);
	}
	*to = (struct fronts){ .v = calloc(n + 1, sizeof(struct kobj *)), .floating = floating };
	for (size_t i = 0; to->v && n > 0 && i < objects->n; i++) {
		if (is_class(&objects->v[i]) && !floats(objects, &objects->v[i])) {
			to->v[to->n++] = &objects->v[i];
		}
	}
	return to->v ? 0 : -1;
}

static bool balances(const struct kset *objects, struct fronts *f, const struct kobj *o)
{
	bool slot = o->sub >= KOBJ_SET_SLOT4 && o->sub <= KOBJ_SET_ANYSLOT6;

	if (f->floating && (o->sub == KOBJ_SET_TARGET4 || o->sub == KOBJ_SET_TARGET6)) {
		return !floats(objects, o);
	}
	if (!is_class(o) && !slot) {
		return true;
	}
	if (f->last && same_front(f->last, o)) {
		return f->was;
	}
	f->last = o;
	f->was = false;
	for (size_t i = 0; i < f->n && !f->was; i++) {
		f->was = same_front(f->v[i], o);
	}
	return f->was;
}

/* ---- a VNet's own ---- */

struct branch {
	const struct kset *objects;
	uint32_t vnet_ns, home, self;
	struct plan_ports ports; /* last 0: none */
	bool nat;                /* the owner is a NAT gateway, and the branch has ports */
	struct fronts fronts;
};

/* Is it an address that the branch's groups leave by too? */
static bool is_shared(const struct branch *b, const struct kobj *o)
{
	for (size_t i = 0; b->ports.last && i < b->objects->n; i++) {
		const struct kobj *x = &b->objects->v[i];

		if (x->kind == KOBJ_ELEM && x->sub >= KOBJ_SET_BLOCK4 &&
		    x->sub <= KOBJ_SET_BLOCK6 && x->family == o->family &&
		    memcmp(x->addr, o->addr, 16) == 0) {
			return true;
		}
	}
	return false;
}

/* Does the public address lead to the branch's router on its node? */
static bool comes_here(const struct branch *b, const struct kobj *o)
{
	return is_spread(&b->fronts, o) || is_shared(b, o);
}

static void branch_route(const struct branch *b, const struct kobj *o, struct kset *to)
{
	struct kobj r = *o;
	struct ip via;

	if (!o->table || is_entry(b->objects, o->table)) {
		return; /* all that is not a group's goes to the home: vnet_plan_fabric() */
	}
	/* To the internet: by a group's own address from here, else by the home, whose table has it. */
	if (is_device(o, "gw0")) {
		r.sub = KOBJ_ROUTE_THROW;
		memset(r.dev, 0, sizeof(r.dev));
		memset(r.via, 0, sizeof(r.via));
	} else if (r.sub < KOBJ_ROUTE_UNREACHABLE) {
		plan_node_via(b->home, r.family, &via);
		plan_node_device(r.ns, r.dev);
		r.sub = KOBJ_ROUTE_UNICAST;
		memcpy(r.via, via.b, 16);
	}
	kset_add(to, &r);
}

static bool branch_rule(const struct kobj *o)
{
	return o->sub == KOBJ_RULE_TABLE ? is_device(o, "br") : o->sub != KOBJ_RULE_SOURCE;
}

static void add_once(struct kset *to, const struct kobj *o)
{
	for (size_t i = to->n; i-- > 0;) {
		if (kobj_compare(&to->v[i], o) == 0) {
			return;
		}
	}
	kset_add(to, o);
}

/* How those leave who have no public address of their own, by the branch's ports; of load balancers' members which they are. */
static void branch_leaves(const struct branch *b, const struct kobj *o, struct kset *to)
{
	struct kobj e = *o;

	if (o->sub == KOBJ_SET_SUBOUT4 || o->sub == KOBJ_SET_SUBOUT6) {
		e.via_port = b->ports.first;
		e.index = b->ports.last;
	}
	kset_add(to, &e);
	if (o->sub >= KOBJ_SET_SUBOUT4 && o->sub <= KOBJ_SET_NATOUT6) {
		e = plan_object(b->vnet_ns, KOBJ_ELEM, KOBJ_SET_HERE4 + (o->family == 6), "");
		e.family = o->family;
		e.plen = o->plen;
		memcpy(e.addr, o->addr, 16);
		add_once(to, &e);
	}
}

static bool is_snat(const struct kobj *o)
{
	struct kobj_filter f;

	if (o->kind != KOBJ_FILTER) {
		return false;
	}
	kobj_filter_unpack(o, &f);
	return f.op == KOBJ_FILTER_SNAT;
}

/* A chain is named by its content, and this is another: nat_entry(). */
static void rename_chain(const struct branch *b, char name[KOBJ_NAME])
{
	uint64_t h = name[0] == 'L' ? strtoull(name + 1, NULL, 16) : 0;

	if (name[0] == 'L') {
		h ^= ((uint64_t)b->ports.first << 16 | b->ports.last) *
		     UINT64_C(0x9e3779b97f4a7c15);
		memset(name, 0, KOBJ_NAME);
		snprintf(name, KOBJ_NAME, "L%014llx", (unsigned long long)(h & 0xffffffffffffff));
	}
}

/* Chains of a NAT gateway, by the branch's ports. */
static void branch_nat(const struct branch *b, const struct kobj *o, struct kset *to)
{
	struct kobj e = *o;
	struct kobj_filter f;

	if (is_snat(o)) {
		kobj_filter_unpack(o, &f);
		kobj_filter_set_ports(&f, b->ports.first, b->ports.last);
		kobj_filter_pack(&f, o->ns, o->dev, &e);
	}
	rename_chain(b, e.dev);
	if (o->kind == KOBJ_ITEM) {
		rename_chain(b, e.peer);
	}
	kset_add(to, &e);
}

static void branch_elem(struct branch *b, const struct kobj *o, struct kset *to)
{
	struct kobj e = *o;

	switch (o->sub) {
	case KOBJ_SET_OWN4:
	case KOBJ_SET_OWN6:
		if (comes_here(b, o)) {
			kset_add(to, o);
		}
		break;
	case KOBJ_SET_MUX4:
	case KOBJ_SET_MUX6:
		e.index = kobj_node_mark(b->home);
		if (comes_here(b, o)) {
			kset_add(to, &e);
		}
		break;
	case KOBJ_SET_BLOCK4:
	case KOBJ_SET_BLOCK6:
		e.index = o->index == kobj_node_mark(b->self) ? 0 : o->index;
		if (b->ports.last) {
			kset_add(to, &e);
		}
		break;
	case KOBJ_SET_SUBOUT4:
	case KOBJ_SET_SUBOUT6:
	case KOBJ_SET_NATOUT4:
	case KOBJ_SET_NATOUT6:
	case KOBJ_SET_NATPUB4:
	case KOBJ_SET_NATPUB6:
	case KOBJ_SET_OUTTCP4:
	case KOBJ_SET_OUTTCP6:
	case KOBJ_SET_OUTUDP4:
	case KOBJ_SET_OUTUDP6:
		if (b->ports.last) {
			branch_leaves(b, o, to);
		}
		break;
	case KOBJ_SET_SLOT4:
	case KOBJ_SET_SLOT6: /* of a public frontend: what is elsewhere, a mux sends there */
		if (balances(b->objects, &b->fronts, o) && !kobj_away_mark(o, b->self)) {
			kset_add(to, o);
		}
		break;
	case KOBJ_SET_AWAY4:
	case KOBJ_SET_AWAY6:
		e.index = kobj_away_mark(o, b->self);
		kset_add(to, &e);
		break;
	case KOBJ_SET_FORMER4:
	case KOBJ_SET_FORMER6:
		e.index = kobj_node_mark(kobj_former_next(o, b->self));
		kset_add(to, &e);
		break;
	default:
		if (!is_home_elem(o->sub) && balances(b->objects, &b->fronts, o)) {
			kset_add(to, o);
		}
	}
}

static void branch_note(const struct branch *b, const struct kobj *o, struct kset *to)
{
	struct kobj e = *o;

	if (kobj_note_is(o, b->self)) {
		e.kind = KOBJ_ELEM;
		memset(e.kmac, 0, sizeof(e.kmac));
		kset_add(to, &e);
	}
}

/* In the gateway: the VNet's link, and addresses of frontends. */
static void branch_gateway(const struct branch *b, const struct kobj *o, struct kset *to)
{
	char link[KOBJ_NAME];

	snprintf(link, sizeof(link), "v%u", b->vnet_ns);
	if (o->kind == KOBJ_LINK || (o->kind == KOBJ_NEIGH && strcmp(o->dev, link) == 0)
	            ? strcmp(o->dev, link) == 0
	            : comes_here(b, o)) {
		kset_add(to, o);
	}
}

static void branch_object(struct branch *b, const struct kobj *o, struct kset *to)
{
	bool keep = true;

	switch ((enum kobj_kind)o->kind) {
	case KOBJ_LINK:
		keep = o->sub == KOBJ_LINK_LO || o->sub == KOBJ_LINK_BRIDGE || is_device(o, "gw0");
		break;
	case KOBJ_ADDR:
		keep = is_device(o, "br") || is_device(o, "gw0");
		break;
	case KOBJ_NEIGH:
		keep = is_device(o, "gw0");
		break;
	case KOBJ_FDB:
	case KOBJ_FLOAT:
		keep = false;
		break;
	case KOBJ_ROUTE:
		branch_route(b, o, to);
		keep = false;
		break;
	case KOBJ_RULE:
		keep = branch_rule(o);
		break;
	case KOBJ_ELEM:
		branch_elem(b, o, to);
		keep = false;
		break;
	case KOBJ_NOTE:
		branch_note(b, o, to);
		keep = false;
		break;
	case KOBJ_CHAIN:
	case KOBJ_FILTER:
	case KOBJ_ITEM:
		if (b->nat) {
			branch_nat(b, o, to);
			keep = false;
		}
		break;
	default:
		break;
	}
	if (keep) {
		kset_add(to, o);
	}
}

void vnet_plan_branch(const struct kset *objects, uint32_t vnet_ns, uint32_t home, uint32_t self,
                      struct plan_ports ports, struct kset *to)
{
	struct branch b = {
		.objects = objects, .vnet_ns = vnet_ns, .home = home, .self = self, .ports = ports
	};

	if (fronts_of(objects, &b.fronts) < 0) {
		to->failed = true;
		return;
	}
	for (size_t i = 0; ports.last && i < objects->n && !b.nat; i++) {
		b.nat = is_snat(&objects->v[i]);
	}
	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];

		if (o->ns == vnet_ns) {
			branch_object(&b, o, to);
		} else if (o->ns == KOBJ_NS_GATEWAY) {
			branch_gateway(&b, o, to);
		}
	}
	free(b.fronts.v);
	to->failed = to->failed || objects->failed;
}

/* ---- a group's ---- */

static void remote_route(const struct kobj *o, uint32_t node, struct kset *to)
{
	struct ip_prefix one = { .ip = { .family = o->family }, .len = o->plen };

	memcpy(one.ip.b, o->addr, 16);
	vnet_plan_remote(o->ns, &one, node, to);
}

void vnet_plan_group_part(const struct kset *objects, enum plan_part part, uint32_t vnet_ns,
                          uint32_t node, struct kset *to)
{
	for (size_t i = 0; i < objects->n; i++) {
		const struct kobj *o = &objects->v[i];
		bool elem = o->ns == vnet_ns && o->kind == KOBJ_ELEM;
		bool drops = elem && (o->sub == KOBJ_SET_DROPS4 || o->sub == KOBJ_SET_DROPS6);
		bool member = o->ns == vnet_ns && o->kind == KOBJ_ITEM;

		if (o->ns == vnet_ns && o->kind == KOBJ_ROUTE && part != PLAN_PART_OWN) {
			struct kobj e = plan_object(vnet_ns, KOBJ_ELEM,
			                            KOBJ_SET_REMOTE4 + (o->family == 6), "");

			e.family = o->family;
			memcpy(e.addr, o->addr, 16);
			kset_add(to, &e);
			remote_route(o, node, to);
		} else if (member || part == PLAN_PART_OWN || (part == PLAN_PART_HOME && drops)) {
			kset_add(to, o);
		}
		if (part == PLAN_PART_OWN && elem &&
		    (o->sub == KOBJ_SET_EGRESS4 || o->sub == KOBJ_SET_EGRESS6)) {
			struct kobj e = plan_object(vnet_ns, KOBJ_ELEM,
			                            KOBJ_SET_STRAIGHT4 + (o->family == 6), "");

			e.family = o->family;
			memcpy(e.addr, o->addr, 16);
			kset_add(to, &e);
		}
	}
	to->failed = to->failed || objects->failed;
}
