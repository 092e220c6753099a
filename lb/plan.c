/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See plan.h.
 */
#include "lb/plan.h"

#include <stdio.h>
#include <string.h>

#define TCP 6

/* The set for IPv4 is followed by its twin for IPv6. */
static struct kobj element(uint32_t ns, enum kobj_set set4, const struct ip *ip)
{
	struct kobj o = { .ns = ns,
		          .kind = KOBJ_ELEM,
		          .sub = (uint8_t)(set4 + (ip->family == 6)),
		          .family = ip->family };

	memcpy(o.addr, ip->b, 16);
	return o;
}

/* The same of the port's frontend. */
static struct kobj port_element(const struct lb_port *p, enum kobj_set set4)
{
	struct kobj o = element(p->vnet_ns, set4, &p->front);

	o.proto = p->proto;
	o.port = p->port;
	return o;
}

static void add_named(struct kset *to, uint32_t ns, enum kobj_kind kind, const char *name)
{
	struct kobj o = { .ns = ns, .kind = (uint8_t)kind };

	memcpy(o.dev, name, KOBJ_NAME);
	kset_add(to, &o);
}

/* The chain that sets the idle time, and the way there by the minutes in a class. */
static void add_idle(struct kset *to, uint32_t ns, uint32_t minutes)
{
	struct kobj way = { .ns = ns, .kind = KOBJ_ELEM, .sub = KOBJ_SET_IDLE };

	kobj_idle_name(minutes * 60, way.peer);
	way.table = kobj_class(0, KOBJ_HASH_FLOW, minutes) & KOBJ_CLASS_IDLE;
	add_named(to, ns, KOBJ_CHAIN, way.peer);
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct kobj_filter f = { .op = KOBJ_FILTER_IDLE,
			                 .family = family,
			                 .position = family == 6 };
		struct kobj o;

		kobj_timeout_name(minutes * 60, family, f.target);
		add_named(to, ns, KOBJ_TIMEOUT, f.target);
		kobj_filter_pack(&f, ns, way.peer, &o);
		kset_add(to, &o);
	}
	kset_add(to, &way);
}

static void add_slots(const struct lb_port *p, struct kset *to)
{
	bool any = p->proto == 0;
	struct kobj o = element(p->vnet_ns, any ? KOBJ_SET_ANYSLOT4 : KOBJ_SET_SLOT4, &p->front);

	o.proto = p->proto;
	o.port = p->port;
	o.via_port = any ? 0 : p->to_port;
	for (uint32_t i = 0; i < kobj_sizes[p->slots->size]; i++) {
		o.table = i;
		memcpy(o.via, p->slots->v[p->slots->slot[i]].ip.b, 16);
		if (p->nodes) {
			memset(o.master, 0, sizeof(o.master));
			kobj_former_add(&o, p->nodes[p->slots->slot[i]]);
		}
		kset_add(to, &o);
	}
}

/* A mux may know of a change a moment later than the node that it sends to: there, the last backend that the slot led to takes it. */
static void add_notes(const struct lb_port *p, struct kset *to)
{
	const struct slots *s = p->slots;
	struct kobj o = port_element(p, KOBJ_SET_SLOT4);

	o.kind = KOBJ_NOTE;
	o.via_port = p->to_port;
	for (uint32_t i = 0; s->n && s->former && i < kobj_sizes[s->size]; i++) {
		const uint16_t *row = s->former[i];
		struct kobj seen = { 0 };

		o.table = i;
		kobj_former_add(&seen, p->nodes[s->slot[i]]);
		for (size_t k = 0; k < SLOTS_FORMERS && row[k] != SLOTS_NONE; k++) {
			uint32_t node = p->nodes[s->n + row[k]];

			if (node && !kobj_former_has(&seen, node)) {
				kobj_former_add(&seen, node);
				kobj_note_node(&o, node);
				memcpy(o.via, s->known[row[k]].b, 16);
				kset_add(to, &o);
			}
		}
	}
}

/* What concerns each backend: reaching itself, and resets of what it says on unknown flows. */
static void add_backends(const struct lb_port *p, struct kset *to)
{
	for (size_t i = 0; i < p->slots->n; i++) {
		struct kobj o = element(p->vnet_ns, KOBJ_SET_SELF4, &p->slots->v[i].ip);

		if (p->inner) {
			kset_add(to, &o);
		}
		if (p->reset && p->proto == TCP) {
			o = element(p->vnet_ns, KOBJ_SET_RESET4, &p->slots->v[i].ip);
			o.proto = TCP;
			o.port = p->to_port;
			kset_add(to, &o);
		}
	}
}

/* On which node a slot's backend is; when it has none, the last one that flows may still be at. */
static void add_away(const struct lb_port *p, struct kset *to)
{
	const struct slots *s = p->slots;
	struct kobj o = port_element(p, KOBJ_SET_AWAY4);

	for (uint32_t i = 0; i < kobj_sizes[s->size]; i++) {
		uint16_t last = s->former ? s->former[i][0] : SLOTS_NONE;

		memset(o.master, 0, sizeof(o.master));
		kobj_former_add(&o, s->n                 ? p->nodes[s->slot[i]]
		                    : last == SLOTS_NONE ? 0
		                                         : p->nodes[last]);
		o.table = i;
		o.index = kobj_away_mark(&o, p->home);
		kset_add(to, &o);
	}
}

/* Where flows of a slot go on that began when it led elsewhere. */
static void add_formers(const struct lb_port *p, struct kset *to)
{
	const struct slots *s = p->slots;
	struct kobj o = port_element(p, KOBJ_SET_FORMER4);

	for (uint32_t i = 0; s->former && i < kobj_sizes[s->size]; i++) {
		const uint16_t *row = s->former[i];

		memset(o.master, 0, sizeof(o.master));
		kobj_former_add(&o, s->n ? p->nodes[s->slot[i]] : 0);
		for (size_t k = 0; k < SLOTS_FORMERS && row[k] != SLOTS_NONE; k++) {
			kobj_former_add(&o, p->nodes[s->n + row[k]]);
		}
		o.table = i;
		o.index = kobj_node_mark(kobj_former_next(&o, p->home));
		if (kobj_former_next(&o, kobj_former_next(&o, 0))) { /* there are two */
			kset_add(to, &o);
		}
	}
}

/* A mux needs the class also while no backend takes new flows. */
static void add_spread(const struct lb_port *p, struct kset *to)
{
	struct kobj o = port_element(p, KOBJ_SET_SPREAD4);

	o.index = kobj_class(p->slots->size, p->hash, p->idle_min);
	kset_add(to, &o);
	add_away(p, to);
	add_formers(p, to);
	add_notes(p, to);
}

void lb_plan_spread(uint32_t vnet_ns, const struct ip *front, struct kset *to)
{
	struct kobj o = element(vnet_ns, KOBJ_SET_MUX4, front), source;

	kset_add(to, &o);
	source = element(KOBJ_NS_GATEWAY, KOBJ_SET_SOURCE4, front); /* answers of other nodes */
	snprintf(source.dev, sizeof(source.dev), "vx%u", KOBJ_NODES_INDEX);
	kset_add(to, &source);
}

void lb_plan_port(const struct lb_port *p, struct kset *to)
{
	enum kobj_set set4 = p->proto == 0 ? KOBJ_SET_ANY4
	                     : p->inner    ? KOBJ_SET_INNER4
	                                   : KOBJ_SET_FRONT4;
	struct kobj o = element(p->vnet_ns, p->slots->n ? set4 : KOBJ_SET_EMPTY4, &p->front);

	if (!p->slots->n && p->proto == 0) {
		return; /* no port to say no at: the address is nobody's */
	}
	if (p->nodes && (p->slots->n || p->slots->former)) {
		add_spread(p, to);
	}
	o.proto = p->proto;
	o.port = p->port;
	if (p->slots->n) {
		o.index = kobj_class(p->slots->size, p->hash, p->idle_min);
		add_idle(to, p->vnet_ns, p->idle_min);
		add_slots(p, to);
		add_backends(p, to);
	}
	kset_add(to, &o);
	if (p->reset && p->proto == TCP) {
		o = element(p->vnet_ns, KOBJ_SET_RESET4, &p->front);
		o.proto = TCP;
		o.port = p->port;
		kset_add(to, &o);
	}
}

void lb_plan_nat(const struct lb_nat *p, struct kset *to)
{
	struct kobj o = element(p->vnet_ns, p->inner ? KOBJ_SET_TARGET4 : KOBJ_SET_PUB4, &p->front);

	o.proto = p->proto;
	o.port = p->port;
	o.via_port = p->to_port;
	memcpy(o.via, p->to.b, 16);
	kset_add(to, &o);
}

void lb_plan_out(const struct lb_out *p, struct kset *to)
{
	enum kobj_set set4 = p->proto == TCP ? KOBJ_SET_OUTTCP4
	                     : p->proto      ? KOBJ_SET_OUTUDP4
	                                     : KOBJ_SET_OUTANY4;
	struct kobj o = element(p->vnet_ns, set4, &p->backend);

	memcpy(o.via, p->front.b, 16);
	if (p->proto) {
		o.via_port = p->first;
		o.index = p->last;
	}
	kset_add(to, &o);
}

void lb_plan_float(const struct lb_float *p, struct kset *to)
{
	struct kobj o =
		element(p->vnet_ns, p->proto ? KOBJ_SET_FLOAT4 : KOBJ_SET_ANYFLOAT4, &p->front);

	o.proto = p->proto;
	o.port = p->port;
	o.index = p->number << KOBJ_FLOAT_SHIFT;
	kset_add(to, &o);
}

void lb_plan_float_at(const struct lb_float *p, uint32_t group, const struct ip *own,
                      struct kset *to)
{
	struct kobj o = {
		.ns = p->vnet_ns, .kind = KOBJ_FLOAT, .family = own->family, .table = p->number
	};

	snprintf(o.dev, sizeof(o.dev), "p%u", group);
	memcpy(o.addr, p->front.b, 16);
	memcpy(o.via, own->b, 16);
	kset_add(to, &o);
}
