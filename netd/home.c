/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See home.h.
 */
#include "netd/home.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/agent.h"
#include "netd/balancer.h"
#include "netd/fabric.h"
#include "netd/gateway.h"
#include "netd/group_parts.h"
#include "netd/routing.h"
#include "netd/spot.h"
#include "netd/subnet.h"

struct home {
	uint32_t vnet;
	struct node *node; /* NULL: it was removed */
};
static struct home *homes; /* sorted; of those that were said */
static size_t n_homes, cap_homes;
static uint64_t turns; /* changes of homes and branches */

static size_t place(uint32_t vnet)
{
	size_t lo = 0, hi = n_homes;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (homes[mid].vnet < vnet) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct node *home_of(uint32_t vnet)
{
	size_t i = place(vnet);

	return i < n_homes && homes[i].vnet == vnet ? homes[i].node : node_first();
}

void home_set(uint32_t vnet, struct node *n)
{
	size_t i = place(vnet);

	turns++;
	if (i < n_homes && homes[i].vnet == vnet) {
		homes[i].node = n;
		return;
	}
	if (n_homes == cap_homes) {
		cap_homes = cap_homes ? cap_homes * 2 : 64;
		homes = realloc(homes, cap_homes * sizeof(*homes));
		if (!homes) {
			abort();
		}
	}
	memmove(&homes[i + 1], &homes[i], (n_homes - i) * sizeof(*homes));
	homes[i] = (struct home){ vnet, n };
	n_homes++;
}

void home_forget(uint32_t vnet)
{
	size_t i = place(vnet);

	turns++;
	if (i < n_homes && homes[i].vnet == vnet) {
		memmove(&homes[i], &homes[i + 1], (--n_homes - i) * sizeof(*homes));
	}
}

void home_lost(const struct node *n)
{
	turns++;
	for (size_t i = 0; i < n_homes; i++) {
		homes[i].node = homes[i].node == n ? NULL : homes[i].node;
	}
}

struct channel *home_channel(uint32_t vnet, enum role role)
{
	return node_channel(home_of(vnet), role);
}

bool home_synced(uint32_t vnet)
{
	return node_synced(home_of(vnet));
}

unsigned home_tell_all(uint32_t vnet, enum msg_type type, const struct buf *body)
{
	unsigned told = 0;

	for (struct node *n = home_of(vnet); n; n = home_branch(vnet, told++)) {
		node_tell(n, type, body, -1);
	}
	return told;
}

static void note(struct resource *r, const char *key, const struct node *n)
{
	if (n) {
		json_object_set_new(r->status, key, json_integer(n->number));
	} else {
		json_object_del(r->status, key);
	}
}

void home_note(struct resource *r, uint32_t vnet, const struct node *n)
{
	const struct node *home = home_of(vnet);

	note(r, "node", n);
	note(r, "home", home != n ? home : NULL);
}

/* One that was removed meanwhile: the VNet is nowhere until it is moved. */
void home_restore(const struct resource *r, uint32_t vnet)
{
	const json_t *home = json_object_get(r->status, "home");
	uint32_t number =
		(uint32_t)json_integer_value(home ? home : json_object_get(r->status, "node"));

	if (number && vnet && !subnet_any(vnet)) {
		home_set(vnet, node_numbered(number));
	}
}

void home_count(struct node *n, const json_t *doc, int sign)
{
	if (n) {
		tenant_amounts(doc, sign, n->used);
	}
}

/* ---- branches ---- */

static struct branch {
	uint32_t vnet, node;
	unsigned groups;
	bool ends; /* what comes in there for others is led to the home */
} * branches;      /* sorted; of homes too */
static size_t n_branches, cap_branches;

static size_t branch_place(uint32_t vnet, uint32_t node)
{
	size_t lo = 0, hi = n_branches;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct branch *b = &branches[mid];

		if (b->vnet < vnet || (b->vnet == vnet && b->node < node)) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

bool home_group(uint32_t vnet, uint32_t node, int sign)
{
	turns++;
	size_t i = branch_place(vnet, node);
	struct branch *b = i < n_branches ? &branches[i] : NULL;

	if (b && b->vnet == vnet && b->node == node) {
		b->groups += (unsigned)sign;
		if (b->groups > 0) {
			return false;
		}
		memmove(b, b + 1, (--n_branches - i) * sizeof(*b));
		return true;
	}
	if (sign < 0) {
		return false;
	}
	if (n_branches == cap_branches) {
		cap_branches = cap_branches ? cap_branches * 2 : 64;
		branches = realloc(branches, cap_branches * sizeof(*branches));
		if (!branches) {
			abort();
		}
	}
	memmove(&branches[i + 1], &branches[i], (n_branches - i) * sizeof(*b));
	branches[i] = (struct branch){ .vnet = vnet, .node = node, .groups = 1 };
	n_branches++;
	return true;
}

/* Asked for one after the other, each is found where the last one was: a VNet may have a thousand. */
static struct {
	uint64_t at; /* turns */
	uint32_t vnet;
	size_t i, k;
} walk;

struct node *home_branch(uint32_t vnet, size_t i)
{
	const struct node *home = home_of(vnet);
	bool goes_on = walk.at == turns && walk.vnet == vnet && walk.i + 1 == i;
	size_t k = goes_on ? walk.k + 1 : branch_place(vnet, 0), left = goes_on ? 0 : i;

	for (; k < n_branches && branches[k].vnet == vnet; k++) {
		struct node *n = node_numbered(branches[k].node);

		if (n && n != home && left-- == 0) {
			walk.at = turns;
			walk.vnet = vnet;
			walk.i = i;
			walk.k = k;
			return n;
		}
	}
	return NULL;
}

unsigned home_groups(uint32_t vnet)
{
	unsigned n = 0;

	for (size_t k = branch_place(vnet, 0); k < n_branches && branches[k].vnet == vnet; k++) {
		n += branches[k].groups;
	}
	return n;
}

static struct branch *branch_of(uint32_t vnet, uint32_t node)
{
	size_t i = branch_place(vnet, node);

	return i < n_branches && branches[i].vnet == vnet && branches[i].node == node ? &branches[i]
	                                                                              : NULL;
}

unsigned home_groups_on(uint32_t vnet, const struct node *n)
{
	const struct branch *b = branch_of(vnet, n->number);

	return b ? b->groups : 0;
}

void home_branch_ends(uint32_t vnet, uint32_t node, bool ends)
{
	struct branch *b = branch_of(vnet, node);

	if (b) {
		b->ends = ends;
	}
}

bool home_branch_is_ending(uint32_t vnet, const struct node *n)
{
	const struct branch *b = branch_of(vnet, n->number);

	return b && b->ends;
}

bool home_has(uint32_t vnet, const struct node *n)
{
	return n && (home_of(vnet) == n || home_groups_on(vnet, n) > 0);
}

/* ---- choosing ---- */

/* A node that may have one more group of that size; *left gets the smaller part of it that would be left: of what the machine has,
 * where it has no limit. */
static bool fits(const struct node *n, const double wants[2], double *left)
{
	static struct node_facts own;
	double has[2];
	bool fit = true;

	if (!own.cpu) {
		facts_of(plane.config, &own);
	}
	node_capacity(n, has);
	*left = 1;
	for (int k = 0; k < 2; k++) {
		double all = has[k] > 0 ? has[k] : k ? own.memory : own.cpu;
		double part = all > 0 ? (all - n->used[k] - wants[k]) / all : 1;

		fit = fit && (has[k] <= 0 || part >= 0);
		*left = part < *left ? part : *left;
	}
	return fit;
}

bool home_fits(const struct node *n, const double wants[2])
{
	double left;

	return fits(n, wants, &left);
}

static int no_room(const double wants[2], const char *why, struct err *e)
{
	return err_set_at(e, ERR_CONFLICT, "ServiceUnavailable", "",
	                  "The requested resource is not available in the location '%s' at this "
	                  "moment: %g cpu and %g GB were requested; %s.",
	                  plane.config->region, wants[0], wants[1], why);
}

/* Routers of peered VNets have a link: they are on one node. False: its peers are on several. */
static bool beside_peers(const struct resource *v, struct node **to)
{
	struct routing_peer p;
	struct gateway own;

	if (v && gateway_of(v, &own)) { /* the namespace that was given is there */
		*to = node_own();
	}
	for (size_t i = 0; v && routing_peer(v, i, &p); i++) {
		uint32_t peer = table_number(p.vnet);

		if (!subnet_any(peer)) {
			continue;
		}
		if (*to && home_of(peer) != *to) {
			return false;
		}
		*to = home_of(peer);
	}
	return true;
}

static bool in_zone(const struct node *n, const json_t *doc)
{
	const json_t *zones = json_object_get(doc, "zones");

	const char *zone = json_string_value(json_array_get(zones, 0));

	return !zone || strcmp(zone, n->zone) == 0;
}

struct node *home_best(const json_t *doc, const double wants[2], const struct node *except)
{
	struct node *found = NULL, *n;
	double most = 0, left;
	bool zoned = false;

	for (size_t i = 0; (n = node_at(i)); i++) {
		if (n == except || !node_usable(n) || !fits(n, wants, &left)) {
			continue;
		}
		bool zone = in_zone(n, doc);

		if (!found || (zone && !zoned) ||
		    (zone == zoned &&
		     (left > most || (left == most && n->number < found->number)))) {
			found = n;
			most = left;
			zoned = zone;
		}
	}
	return found;
}

/* Room for that much more on the node: there is, or Spot groups make it, and it is waited for (spot_fits()). */
static bool has_room(const struct node *n, const json_t *doc, const double more[2])
{
	double left, has[2], over[2];

	if (fits(n, more, &left)) {
		return true;
	}
	node_capacity(n, has);
	for (int k = 0; k < 2; k++) {
		over[k] = has[k] > 0 ? n->used[k] + more[k] - has[k] : 0;
	}
	return !spot_is(doc) && spot_evict(n, 0, over, SPOT_NOTICE_S, NULL);
}

int home_room(const struct node *n, const json_t *was, const json_t *doc, struct err *e)
{
	double more[2] = { 0 };

	tenant_amounts(doc, 1, more);
	tenant_amounts(was, -1, more);
	return !n || (more[0] <= 0 && more[1] <= 0) || has_room(n, doc, more)
	               ? 0
	               : no_room(more, "the node that it is on has no room", e);
}

const char *home_binds(uint32_t vnet, const json_t *doc)
{
	return json_is_true(model_at(doc, "properties.enableIPForwarding"))
	               ? "it forwards what others send (enableIPForwarding)"
	       : vnet >= 1u << 24      ? "the VNet's number is too high for a link between nodes"
	       : balancer_floats(vnet) ? "a load balancer in its VNet has floating frontends"
	                               : NULL;
}

static bool takes(struct node *n, const json_t *doc, const double wants[2], bool evict)
{
	double left;

	return node_usable(n) && (evict ? has_room(n, doc, wants) : fits(n, wants, &left));
}

/* The node of a group whose VNet has a home: that, or a branch. Spot groups make room where there is none without. */
static int choose_node(uint32_t vnet, const json_t *doc, struct node *here, const double wants[2],
                       struct node **to, struct err *e)
{
	struct node *home = home_of(vnet), *n;
	const char *bound = home_binds(vnet, doc);
	bool alone = bound || here || !node_at(1) || (home && !fabric_linked(home));

	if (!home) {
		return no_room(wants, "its VNet's node was removed, and it has no other yet", e);
	}
	*to = here ? here : home;
	if (here && *to != home && (bound || !fabric_linked(home) || !fabric_linked(*to))) {
		return no_room(wants,
		               bound ? bound
		                     : "its VNet is on another node than the runtime that asks",
		               e);
	}
	if (!doc || (alone && !(*to)->cordoned && has_room(*to, doc, wants))) {
		return 0;
	}
	if (alone) {
		return no_room(wants,
		               (*to)->cordoned ? "the node that its VNet is on takes no new groups"
		               : bound         ? bound
		                               : "the node that its VNet is on has no room",
		               e);
	}
	bool even = strcmp(plane.config->placement, "even") == 0 && doc;
	for (int evict = 0; evict < 2; evict++) {
		if (!even && takes(home, doc, wants, evict) && in_zone(home, doc)) {
			return 0;
		}
		n = evict ? NULL : home_best(doc, wants, NULL);
		if (n && (even || in_zone(n, doc) || !takes(home, doc, wants, false))) {
			*to = n;
			return 0;
		}
		if (takes(home, doc, wants, evict)) {
			return 0;
		}
		for (size_t i = 0; evict && (n = node_at(i)); i++) {
			if (takes(n, doc, wants, true)) {
				*to = n;
				return 0;
			}
		}
	}
	return no_room(wants, "no node that takes new groups has room", e);
}

/* Its home, once it has one. */
static int choose_home(uint32_t vnet, const json_t *doc, struct node *here, const double wants[2],
                       struct node **to, struct err *e)
{
	struct node *n = here;

	if (!beside_peers(vnet ? table_numbered(vnet) : NULL, &n)) {
		return no_room(wants, "the VNets that its VNet is peered with are on several nodes",
		               e);
	}
	if (n && doc && !here && (n->cordoned || !has_room(n, doc, wants))) {
		home_set(vnet, n); /* beside its peers, if need be without a group */
		return choose_node(vnet, doc, here, wants, to, e);
	}
	n = n ? n : home_best(doc, wants, NULL);
	for (size_t i = 0; !n && node_at(i); i++) {
		n = node_usable(node_at(i)) && has_room(node_at(i), doc, wants) ? node_at(i) : NULL;
	}
	if (!n) {
		return no_room(wants, "no node that takes new groups has room", e);
	}
	if (here && doc && !has_room(n, doc, wants)) {
		return no_room(wants, "the runtime's node has no room", e);
	}
	home_set(vnet, n);
	*to = n;
	return 0;
}

int home_choose(uint32_t vnet, bool live, const json_t *doc, struct node *here, struct node **to,
                struct err *e)
{
	double wants[2] = { 0 };

	tenant_amounts(doc, 1, wants);
	return (live ? choose_node : choose_home)(vnet, doc, here, wants, to, e);
}
