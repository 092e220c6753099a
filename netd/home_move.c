/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * VNets and groups that go to another node: of one that is drained, and of one that is lost. See home.h.
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
#include "netd/roster.h"
#include "netd/routing.h"
#include "netd/spare.h"
#include "netd/spot.h"
#include "netd/subnet.h"
#include "netd/zone.h"

#define SWEEP_MS 250
#define SET_MAX  1000 /* VNets that are peered with each other */
#define UNTOLD   "its node has another version of netd than control, and cannot be told"

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

/* Those that have their home where the first has: they go together. */
static void keep_together(struct set *s)
{
	const struct node *home = home_of(s->v[0]);
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (home_of(s->v[i]) == home) {
			s->v[n++] = s->v[i];
		}
	}
	s->n = n;
}

static bool has(const struct set *s, uint32_t vnet)
{
	for (size_t i = 0; vnet && i < s->n; i++) {
		if (s->v[i] == vnet) {
			return true;
		}
	}
	return false;
}

/* Is it a group on the node (NULL: one that was removed) in one of the VNets? */
static bool moves(const struct set *s, const struct resource *r, const struct node *from)
{
	return r->group && group_node(r->group) == from && has(s, group_vnet(r->group));
}

/* Groups stay where they are while their VNet's home goes, unless the node is drained, or they are bound to the home. */
static bool stays(const struct resource *r, const struct node *from, const struct node *to,
                  bool drains)
{
	return (!drains || guest_of(r)) && from && fabric_linked(from) && fabric_linked(to) &&
	       !home_binds(group_vnet(r->group), r->doc);
}

/* It would go on with what another has by then. */
static bool is_untold(const struct node *n)
{
	return n && node_unlike(n) && !node_lost(n);
}

/* What holds it where it is; NULL: nothing. */
static const char *held_by(const struct set *s, const struct node *from, const struct node *to,
                           bool drains)
{
	struct gateway own;

	if (is_untold(from)) {
		return UNTOLD;
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct resource *v = table_numbered(s->v[i]);

		if (v && gateway_of(v, &own) && to != node_own()) {
			return "a namespace that the administrator gave leads into it there";
		}
	}
	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *r = plane.v[i];

		if (from && moves(s, r, from) && guest_of(r) &&
		    (!to || !stays(r, from, to, drains))) {
			return "a runtime made groups in it there";
		}
	}
	return NULL;
}

static void amounts(const struct set *s, const struct node *from, double to[2])
{
	to[0] = to[1] = 0;
	for (size_t i = 0; i < plane.n; i++) {
		if (moves(s, plane.v[i], from)) {
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
	drain_moved(vnet);
}

/* Groups that stay where they are have other ways now. */
static void arrive(uint32_t vnet, const struct node *from, const struct node *to)
{
	struct resource *v = table_numbered(vnet);

	if (v) {
		home_note(v, vnet, to);
		table_save(&v, 1, control_saved, NULL);
	}
	fabric_meet(vnet);
	fabric_vnet(vnet);
	group_rehome(vnet, from);
	balancer_probes(vnet, true);
}

/* Where the group goes when its VNet's home is, or (`forced`) is to be, that one; NULL: nowhere is room. */
static struct node *place(const struct group *g, struct node *home, const struct node *from,
                          bool forced)
{
	double wants[2] = { 0 };

	if (!spot_is_out(g->r)) {
		tenant_amounts(g->r->doc, 1, wants);
	}
	if (home && (forced || node_usable(home)) && home_fits(home, wants)) {
		return home;
	}
	return home_binds(group_vnet(g), g->r->doc) ? NULL : home_best(g->r->doc, wants, from);
}

static void settled(struct resource *r);
static void emptied(struct resource *r);

static bool is_leaving(const struct group *g)
{
	return g->withdrawn && (g->withdrawn_done == settled || g->withdrawn_done == emptied);
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

static void begin_anew(struct group *g)
{
	if (is_leaving(g)) {
		group_returns(g);
	}
	if (guest_of(g->r)) { /* its namespace was on a node that was removed */
		group_delete(g->r, nobody, NULL);
	} else {
		group_arrive(g);
	}
}

/* The homes go; `all`: groups there that could stay too. How many stay for want of room, if `drains`; else they go without. */
static unsigned move(const struct set *s, struct node *to, bool all, bool drains)
{
	struct node *from = home_of(s->v[0]);
	unsigned left = 0;

	for (size_t i = 0; i < s->n; i++) {
		log_info("vnet.moved", LOG_NUM("number", s->v[i]),
		         LOG_STR("from", from ? from->name : ""), LOG_STR("to", to->name));
		leave(s->v[i]);
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (!moves(s, plane.v[i], from)) {
			continue;
		}
		if (stays(plane.v[i], from, to, all)) {
			left += all && drains; /* a runtime's */
			continue;
		}
		struct node *n = place(g, to, from, true);
		if (n || !drains) {
			group_leave(g);
			group_set_node(g, n ? n : to);
			g->moving = true;
		} else {
			left++;
		}
	}
	for (size_t i = 0; i < s->n; i++) {
		fabric_move(s->v[i], to);
	}
	for (size_t i = 0; i < s->n; i++) {
		arrive(s->v[i], from, to);
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && g->moving) {
			g->moving = false;
			begin_anew(g);
		}
	}
	return left;
}

int home_move(uint32_t vnet, struct node *to, struct err *e)
{
	static struct set s;
	const struct node *from = home_of(vnet);

	collect(vnet, &s);
	keep_together(&s);
	const char *held = held_by(&s, from, to, false);
	if (held) {
		return err_set(e, ERR_CONFLICT, 0, "The VNet cannot be moved: %s.", held);
	}
	if (from != to) {
		(void)move(&s, to, false, false);
	}
	return 0;
}

/* The first VNet after that number whose home is the node; 0: none. */
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

static int no_room(struct err *e)
{
	return err_set(e, ERR_CONFLICT, 0,
	               "No other node that takes new groups has room for all that is on it.");
}

/* ---- the last group of a branch ---- */

struct ending {
	uint32_t vnet, node;
};

static void on_ways_led(void *arg)
{
	struct ending *x = arg;

	home_branch_ends(x->vnet, x->node, false); /* a group may have come meanwhile */
	(void)home_group(x->vnet, x->node, -1);
	if (subnet_any(x->vnet)) {
		fabric_branches(x->vnet);
	}
	free(x);
}

void home_group_ends(uint32_t vnet, const struct node *n)
{
	if (!n || n == home_of(vnet) || !node_ingress(n) || node_lost(n) ||
	    !node_channel(n, ROLE_ENGINE) || home_groups_on(vnet, n) != 1) {
		return;
	}
	struct ending *x = malloc(sizeof(*x));
	if (!x) {
		abort();
	}
	*x = (struct ending){ vnet, n->number };
	(void)home_group(vnet, n->number, 1); /* as if there were another */
	fabric_leaves(vnet, n);
	fabric_wait(on_ways_led, x);
}

/* ---- groups that leave a node in peace ---- */

/* A group of a branch goes to the VNet's home, or another branch. */
static int move_group(struct group *g, const struct node *from, struct err *e)
{
	struct node *to = place(g, home_of(group_vnet(g)), from, false);

	if (guest_of(g->r) && from) {
		return err_set(e, ERR_CONFLICT, 0,
		               "Container group '%s' cannot be moved: a runtime made it there.",
		               g->r->name);
	}
	if (!to) {
		return no_room(e);
	}
	log_info("group.moved", LOG_STR("id", g->r->id), LOG_STR("from", from ? from->name : ""),
	         LOG_STR("to", to->name));
	home_group_ends(group_vnet(g), from);
	group_leave(g);
	if (group_set_node(g, to)) {
		fabric_branches(group_vnet(g));
	}
	begin_anew(g);
	return 0;
}

/* Its flows have ended, or their time is over: it goes, unless the node takes it back. */
static void emptied(struct resource *r)
{
	const struct node *from = group_node(r->group);
	struct err e = ERR_INIT;

	if (!from || !from->drained) {
		group_restore_flows(r);
	} else if (move_group(r->group, from, &e) < 0) {
		log_warn("group.stays", LOG_STR("id", r->id), LOG_STR("error", e.msg));
		group_restore_flows(r);
	}
}

/* All nodes lead elsewhere by now: what came to it meanwhile is waited for too. */
static void on_settled(void *arg)
{
	struct group *g = group_by_serial((uint32_t)(uintptr_t)arg);

	if (g && !g->deleting && is_leaving(g)) {
		g->draining = g->drained = false;
		group_withdraw(g->r, emptied);
	}
}

static void settled(struct resource *r)
{
	if (json_object_get(r->status, "drainUntil")) {
		fabric_wait(on_settled, (void *)(uintptr_t)group_serial(r->group));
	} else { /* no frontend leads to it */
		emptied(r);
	}
}

/* It takes no more flows, and goes when those that it has have ended. */
static int ask_to_leave(struct group *g, const struct node *from, struct err *e)
{
	if (g->deleting || is_leaving(g)) {
		return 0;
	}
	if (g->withdrawn || guest_of(g->r) ||
	    !place(g, home_of(group_vnet(g)), from, false)) { /* at once, or not at all */
		return move_group(g, from, e);
	}
	group_withdraw(g->r, settled);
	return 0;
}

/* The VNet's home, and those of its peers, go to the node that has room for all its groups there, or else the most. */
static unsigned move_home(uint32_t vnet, const struct node *n, bool all, struct err *e)
{
	static struct set s;
	const double nothing[2] = { 0 };
	double wants[2];

	collect(vnet, &s);
	keep_together(&s);
	amounts(&s, n, wants);
	struct node *to = home_best(NULL, wants, n);
	to = to ? to : home_best(NULL, nothing, n);
	const char *held = held_by(&s, n, to, all);
	if (held) {
		err_set(e, ERR_CONFLICT, 0, "The VNet cannot be moved: %s.", held);
		return 1;
	}
	unsigned left = to ? move(&s, to, all, true) : 1;
	if (left > 0) {
		(void)no_room(e);
	}
	return left;
}

unsigned home_drain(const struct node *n, struct err *e)
{
	bool lost = !n || node_lost(n);
	unsigned left = 0;

	if (is_untold(n)) {
		err_set(e, ERR_CONFLICT, 0, "What is on node '%s' stays there: %s.", n->name,
		        UNTOLD);
		return 1;
	}
	for (uint32_t vnet = 0; (vnet = next_on(n, vnet));) {
		left += move_home(vnet, n, lost, e);
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && group_node(g) == n && home_of(group_vnet(g)) != n) {
			left += (lost ? move_group : ask_to_leave)(g, n, e) < 0;
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

static bool removed = true; /* or control has just begun */

void home_removed(const struct node *n)
{
	home_lost(n);
	removed = true;
}

/* A drain that control's restart cut short, unless the node was uncordoned since. */
static void go_on(struct node *n)
{
	struct err e = ERR_INIT;

	if (n->drains_on && n->drained && node_ready(n) && node_synced(n)) {
		n->drains_on = false;
		(void)home_drain(n, &e);
	}
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
			n->emptied = false;
			go_on(n);
			continue;
		}
		if (!n->fenced) {
			log_warn("node.lost", LOG_STR("name", n->name));
			n->fenced = true;
			hub_lost(n);
			node_save(n);
			fabric_gateways(); /* nobody takes packets from it any more */
		}
		n->emptied = n->emptied || home_drain(n, &e) == 0;
	}
	if (!many && removed) { /* what nodes had that were */
		removed = home_drain(NULL, &e) > 0;
	}
}

/* ---- peers, and gateways ---- */

/* The home of VNets that are to have one: where a namespace was given, or the VNet with most groups has its. */
static struct node *meeting(const struct set *s)
{
	uint32_t most = s->v[0];
	struct gateway own;

	for (size_t i = 0; i < s->n; i++) {
		const struct resource *v = table_numbered(s->v[i]);

		if (v && gateway_of(v, &own)) {
			return node_own();
		}
		most = home_groups(s->v[i]) > home_groups(most) ? s->v[i] : most;
	}
	return home_of(most);
}

/* Nothing that is bound to its home would have to begin anew, and the nodes reach each other. */
static bool may_go(uint32_t vnet, const struct node *to)
{
	const struct node *from = home_of(vnet);

	if (from == to) {
		return true;
	}
	const struct resource *r;
	for (size_t i = 0; (r = roster_at(vnet, i)); i++) {
		if (r->group && group_node(r->group) == from && !stays(r, from, to, false)) {
			return false;
		}
	}
	return from && to && fabric_linked(from) && fabric_linked(to);
}

int home_together(uint32_t a, uint32_t b, const char *at, struct err *e)
{
	static struct set s, more;

	if (!subnet_any(a) || !subnet_any(b)) {
		return 0;
	}
	collect(a, &s); /* with the peers that each has already */
	collect(b, &more);
	for (size_t i = 0; i < more.n; i++) {
		add(&s, more.v[i]);
	}
	const struct node *to = meeting(&s);
	size_t may = 0;
	while (may < s.n && (!to || may_go(s.v[may], to))) {
		may++;
	}
	if (may == s.n) {
		return 0;
	}
	return err_set_at(
		e, ERR_CONFLICT, "VirtualNetworksApart", at,
		"The homes of the two VNets are on different nodes, and one has groups that are bound to it (enableIPForwarding, "
		"floating frontends). Peer them before these groups are made, or have one moved.");
}

int home_to_own(uint32_t vnet, const char *at, struct err *e)
{
	if (!subnet_any(vnet) || may_go(vnet, node_own())) {
		return 0;
	}
	return err_set_at(
		e, ERR_CONFLICT, "VirtualNetworksApart", at,
		"The VNet's home is on another node than the namespace that is given, and has groups that are bound to it "
		"(enableIPForwarding, floating frontends). Have it moved.");
}

static void gather_given(void)
{
	const struct subnet *s;
	struct gateway own;
	uint32_t last = 0;

	for (size_t i = 0; (s = subnet_at(i)); i++) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;

		last = s->vnet;
		if (v && gateway_of(v, &own) && home_of(last) != node_own()) {
			home_gather(last);
		}
	}
}

void home_gather(uint32_t vnet)
{
	static struct set s;

	if (!vnet) {
		gather_given();
		return;
	}
	if (!subnet_any(vnet)) {
		return;
	}
	collect(vnet, &s);
	struct node *to = meeting(&s);
	const struct set all = s;
	for (size_t i = 0; to && i < all.n; i++) {
		const struct set one = { .v = { all.v[i] }, .n = 1 };

		if (home_of(all.v[i]) && home_of(all.v[i]) != to) {
			(void)move(&one, to, false, false);
		}
	}
}
