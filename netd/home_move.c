/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VNets that go to another node: of one that is drained, and of one that is lost. See home.h.
 */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/drain.h"
#include "netd/fabric.h"
#include "netd/gateway.h"
#include "netd/group_parts.h"
#include "netd/guest.h"
#include "netd/home.h"
#include "netd/routing.h"
#include "netd/spare.h"
#include "netd/spot.h"
#include "netd/subnet.h"
#include "netd/zone.h"

#define SWEEP_MS 250
#define SET_MAX  1000 /* VNets that are peered with each other */

/* ---- a VNet and its peers ---- */

struct set {
	uint32_t v[SET_MAX];
	size_t n;
};

static void add(struct set *s, uint32_t vnet)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i] == vnet) {
			return;
		}
	}
	if (s->n < SET_MAX) {
		s->v[s->n++] = vnet;
	}
}

static void collect(uint32_t vnet, struct set *s)
{
	s->n = 0;
	add(s, vnet);
	for (size_t i = 0; i < s->n; i++) {
		const struct resource *v = table_numbered(s->v[i]);
		struct routing_peer p;

		for (size_t k = 0; v && routing_peer(v, k, &p); k++) {
			if (subnet_any(table_number(p.vnet))) {
				add(s, table_number(p.vnet));
			}
		}
	}
}

static bool has(const struct set *s, const struct resource *r)
{
	uint32_t vnet = r->group ? group_vnet(r->group) : 0;

	for (size_t i = 0; vnet && i < s->n; i++) {
		if (s->v[i] == vnet) {
			return true;
		}
	}
	return false;
}

/* What holds it where it is; NULL: nothing. */
static const char *held_by(const struct set *s)
{
	struct gateway own;

	for (size_t i = 0; i < s->n; i++) {
		const struct resource *v = table_numbered(s->v[i]);

		if (v && gateway_of(v, &own)) {
			return "a namespace that the administrator gave leads into it there";
		}
	}
	for (size_t i = 0; i < plane.n; i++) {
		if (has(s, plane.v[i]) && guest_of(plane.v[i])) {
			return "a runtime made groups in it there";
		}
	}
	return NULL;
}

static void amounts(const struct set *s, double to[2])
{
	to[0] = to[1] = 0;
	for (size_t i = 0; i < plane.n; i++) {
		if (has(s, plane.v[i])) {
			tenant_amounts(plane.v[i]->doc, 1, to);
		}
	}
}

/* ---- moving ---- */

static void leave(uint32_t vnet)
{
	struct subnet *s;

	balancer_probes(vnet, false);
	zone_tell_vnet_gone(vnet);
	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		spare_drop(s);
		s->sent = false;
	}
	group_leave(vnet);
	fabric_drop_vnet(vnet);
	drain_moved(vnet);
}

static void arrive(uint32_t vnet)
{
	struct resource *v = table_numbered(vnet);

	if (v) {
		home_note(v, vnet);
		table_save(&v, 1, control_saved, NULL);
	}
	fabric_vnet(vnet);
	group_arrive(vnet);
	balancer_probes(vnet, true);
}

static void move(const struct set *s, struct node *to)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct node *from = home_of(s->v[i]);

		log_info("vnet.moved", LOG_NUM("number", s->v[i]),
		         LOG_STR("from", from ? from->name : ""), LOG_STR("to", to->name));
		leave(s->v[i]);
	}
	for (size_t i = 0; i < plane.n; i++) {
		if (has(s, plane.v[i]) && !spot_is_out(plane.v[i])) {
			home_count(group_vnet(plane.v[i]->group), plane.v[i]->doc, -1);
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		home_set(s->v[i], to);
	}
	for (size_t i = 0; i < s->n; i++) {
		arrive(s->v[i]);
	}
}

int home_move(uint32_t vnet, struct node *to, struct err *e)
{
	static struct set s;

	collect(vnet, &s);
	const char *held = held_by(&s);
	if (held) {
		return err_set(e, ERR_CONFLICT, 0, "The VNet cannot be moved: %s.", held);
	}
	if (home_of(vnet) != to) {
		move(&s, to);
	}
	return 0;
}

/* The first VNet after that number which is on the node; 0: none. */
static uint32_t next_on(const struct node *n, uint32_t after)
{
	const struct subnet *s;

	for (size_t i = subnet_first(after + 1); (s = subnet_at(i)); i++) {
		if (home_of(s->vnet) == n) {
			return s->vnet;
		}
	}
	return 0;
}

unsigned home_drain(const struct node *n, struct err *e)
{
	static struct set s;
	unsigned left = 0;
	double wants[2];

	for (uint32_t vnet = 0; (vnet = next_on(n, vnet));) {
		collect(vnet, &s);
		amounts(&s, wants);
		struct node *to = home_best(NULL, wants, n);
		if (!to) {
			err_set(e, ERR_CONFLICT, 0, "No other node that takes new groups has room for %g cpu and %g GB.",
			        wants[0], wants[1]);
			left++;
		} else if (home_move(vnet, to, e) < 0) {
			left++;
		}
	}
	return left;
}

/* ---- nodes that are lost ---- */

/* Most of the others silent at once: it is this node that is cut off, and theirs go on by themselves. */
static bool many_lost(void)
{
	size_t others = 0, lost = 0;
	const struct node *n;

	for (size_t i = 0; (n = node_at(i)); i++) {
		others += n != node_own();
		lost += n != node_own() && node_lost(n);
	}
	return others > 1 && 2 * lost > others;
}

void home_sweep(int64_t now_ms)
{
	static int64_t last_ms;
	static bool many;
	struct err e = ERR_INIT;
	struct node *n;

	if (plane.stopped || !node_at(1) || now_ms - last_ms < SWEEP_MS) {
		return;
	}
	last_ms = now_ms;
	if (many != many_lost()) {
		many = !many;
		log_warn("nodes.lost", LOG_NUM("most", many));
	}
	for (size_t i = 0; !many && (n = node_at(i)); i++) {
		if (n == node_own() || !node_lost(n)) {
			continue;
		}
		if (!n->fenced) {
			log_warn("node.lost", LOG_STR("name", n->name));
			n->fenced = true;
			hub_lost(n);
			node_save(n);
			fabric_gateways(); /* nobody takes packets from it any more */
		}
		(void)home_drain(n, &e);
	}
	if (!many) {
		(void)home_drain(NULL, &e); /* of nodes that were removed */
	}
}

int home_together(uint32_t a, uint32_t b, const char *at, struct err *e)
{
	if (!subnet_any(a) || !subnet_any(b) || home_of(a) == home_of(b)) {
		return 0;
	}
	return err_set_at(e, ERR_CONFLICT, "VirtualNetworksApart", at,
	                  "The two VNets have container groups on different nodes; peered VNets are on one "
	                  "node. Peer them before their groups are made, or have one moved.");
}
