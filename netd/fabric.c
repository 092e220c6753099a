/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See fabric.h.
 */
#include "netd/fabric.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/addrblock.h"
#include "netd/fabric_parts.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/ports.h"

/* ---- what the engine has ---- */

struct sent {
	uint64_t owner;
	uint32_t at;   /* number of the node that has it; 0: the home of */
	uint32_t vnet; /* this VNet */
	uint64_t sign; /* of what it was planned from; 0: plan again */
	struct kset set;
	bool used; /* while a VNet is planned */
	/* What it should have by now, but for what waits for all nodes to have the rest (held_back()), since that request. */
	bool held;
	uint64_t held_at;
	struct kset later;
};
static struct sent *sent;
static size_t n_sent, cap_sent;

static size_t sent_at(uint64_t owner, uint32_t at)
{
	size_t lo = 0, hi = n_sent;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sent[mid].owner < owner || (sent[mid].owner == owner && sent[mid].at < at)) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct sent *sent_get(uint64_t owner, uint32_t at)
{
	size_t i = sent_at(owner, at);

	return i < n_sent && sent[i].owner == owner && sent[i].at == at ? &sent[i] : NULL;
}

static struct sent *sent_make(uint64_t owner, uint32_t at)
{
	struct sent *s = sent_get(owner, at);
	size_t i = sent_at(owner, at);

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
	sent[i] = (struct sent){ .owner = owner, .at = at };
	n_sent++;
	return &sent[i];
}

/* What a node was sent as a branch is what the home was sent (at 0), now that it is that; or the other way. */
static void sent_rename(size_t i, uint32_t at)
{
	struct sent s = sent[i];

	memmove(&sent[i], &sent[i + 1], (--n_sent - i) * sizeof(*sent));
	struct sent *to = sent_make(s.owner, at);
	*to = s;
	to->at = at;
	to->sign = 0;
}

/* Who is told of it; NULL: nobody now. */
static struct node *node_of(const struct sent *s)
{
	return s->at ? node_numbered(s->at) : home_of(s->vnet);
}

/* ---- sending ---- */

static void part_begin(struct buf *b, uint64_t owner, uint8_t flags, size_t n)
{
	put_u64(b, 0);
	put_u64(b, owner);
	put_u8(b, flags);
	put_u32(b, (uint32_t)n);
}

static void send_steps(const struct sent *s, const struct kop *v, size_t n, bool whole)
{
	size_t i = 0;

	do {
		size_t some = n - i < PART_MAX ? n - i : PART_MAX;
		struct buf b = { 0 };
		unsigned flags = (i == 0 ? PART_FIRST : 0) | (i + some == n ? PART_LAST : 0) |
		                 (whole ? PART_WHOLE : 0);

		part_begin(&b, s->owner, (uint8_t)flags, some);
		for (size_t k = i; k < i + some; k++) {
			put_u8(&b, (uint8_t)v[k].verb);
			put_kobj(&b, v[k].o);
		}
		node_tell(node_of(s), MSG_OWNER_PART, &b, -1);
		buf_fini(&b);
		i += some;
	} while (i < n);
}

static void send_whole(const struct sent *s)
{
	struct kops ops = { 0 };

	for (size_t i = 0; i < s->set.n; i++) {
		if (s->set.v[i].kind != KOBJ_NOTE) {
			kops_add(&ops, KOP_ADD, &s->set.v[i]);
		}
	}
	send_steps(s, ops.v, ops.n, true);
	kops_fini(&ops);
}

static void send_difference(const struct sent *s, const struct kset *was)
{
	const struct kset *now = &s->set;
	struct kops ops = { 0 };
	size_t i = 0, j = 0;

	while (i < was->n || j < now->n) {
		int c = i == was->n ? 1 : j == now->n ? -1 : kobj_compare(&was->v[i], &now->v[j]);
		const struct kobj *o = c < 0 ? &was->v[i] : &now->v[j];

		if (o->kind == KOBJ_NOTE) {
			i += c <= 0;
			j += c >= 0;
			continue;
		}

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
		send_steps(s, ops.v, ops.n, false);
	}
	kops_fini(&ops);
}

/* ---- what waits ---- */

/* A mux may send to a node only what that one knows of: backends of the slot there, and those that it led to before. So where slots lead
 * from now on is told when all nodes have the rest. */
static bool waits(const struct kobj *o)
{
	return o->kind == KOBJ_ELEM && (o->sub == KOBJ_SET_AWAY4 || o->sub == KOBJ_SET_AWAY6);
}

static size_t n_held;

/* Of what it should have, all but changes of what waits, into *now; false: there are none. Both sorted. */
static bool held_back(const struct kset *was, const struct kset *next, struct kset *now)
{
	size_t i = 0, j = 0;
	bool any = false;

	while (i < was->n || j < next->n) {
		int c = i == was->n ? 1 : j == next->n ? -1 : kobj_compare(&was->v[i], &next->v[j]);
		const struct kobj *old = c <= 0 ? &was->v[i++] : NULL,
				  *new = c >= 0 ? &next->v[j++] : NULL;
		bool hold = old && waits(old) && !(new &&memcmp(old, new, sizeof(*old)) == 0);

		any = any || hold;
		if (hold) {
			kset_add(now, old);
		} else if (new) {
			kset_add(now, new);
		}
	}
	if (now->failed) {
		abort();
	}
	return any;
}

static void unhold(struct sent *s)
{
	n_held -= s->held;
	s->held = false;
	kset_fini(&s->later);
}

bool fabric_holds(void)
{
	return n_held > 0;
}

void fabric_release(uint64_t request)
{
	for (size_t i = 0; n_held > 0 && i < n_sent; i++) {
		struct sent *s = &sent[i];

		if (s->held && s->held_at < request) {
			struct kset was = s->set;

			s->set = s->later;
			s->later = (struct kset){ 0 };
			unhold(s);
			send_difference(s, &was);
			kset_fini(&was);
		}
	}
}

static void nothing(void *arg)
{
	(void)arg;
}

/* Nobody may be waiting for what was planned. */
static void on_soon(void *arg)
{
	(void)arg;
	if (n_held > 0) {
		fabric_wait(nothing, NULL);
	}
}

static void hold(struct sent *s, struct kset *later)
{
	static struct loop_timer *soon;

	soon = soon ? soon : loop_timer_new(plane.loop, on_soon, NULL);
	if (!loop_timer_running(soon)) {
		loop_timer_start(soon, 0);
	}
	n_held += !s->held;
	s->held = true;
	s->held_at = fabric_asked();
	s->later = *later;
}

/* What it has, or is to have in a moment. */
static const struct kset *planned(const struct sent *s)
{
	return s->held ? &s->later : &s->set;
}

static void put(uint64_t owner, uint32_t at, uint32_t vnet, struct kset *objects)
{
	struct sent *s = sent_get(owner, at);
	bool fresh = s == NULL;
	struct kset now = { 0 };

	kset_sort(objects);
	kset_unique(objects);
	if (fresh) {
		s = sent_make(owner, at);
		s->vnet = vnet;
	}
	struct kset was = s->set;
	unhold(s);
	s->used = true;
	if (!fresh && held_back(&was, objects, &now)) {
		s->set = now;
		hold(s, objects);
	} else {
		s->set = *objects;
		kset_fini(&now);
	}
	*objects = (struct kset){ 0 };
	if (fresh) {
		send_whole(s);
	} else {
		send_difference(s, &was);
	}
	kset_fini(&was);
}

static void forget(struct sent *s)
{
	unhold(s);
	kset_fini(&s->set);
	memmove(s, s + 1, (size_t)(sent + n_sent - s - 1) * sizeof(*s));
	n_sent--;
}

static void drop(struct sent *s)
{
	struct buf b = { 0 };

	put_u64(&b, 0);
	put_u64(&b, s->owner);
	node_tell(node_of(s), MSG_OWNER_DEL, &b, -1);
	buf_fini(&b);
	forget(s);
}

/* What that node has of an owner beside where it is as a whole; empty: nothing. */
static void put_part(uint64_t owner, const struct node *n, uint32_t vnet, struct kset *set)
{
	struct sent *s = sent_get(owner, n->number);

	if (set->n > 0 || set->failed) {
		put(owner, n->number, vnet, set);
	} else if (s) {
		drop(s);
	}
	kset_fini(set);
}

/* Ways to public addresses that are on that node, the VNet's home or a group's own, for another that lets them in. */
static void add_ways(const struct kset *objects, const struct node *at, const struct node *n,
                     struct kset *to)
{
	if (at && n != at && node_ingress(n)) {
		vnet_plan_ways(objects, at->number, n == node_own(), to);
		fabric_unanswered(n, to);
	}
}

/* The nodes that have parts of what is the VNet's: where public addresses come in, its home, its branches. Of thousands few. */
static size_t concerned(uint32_t vnet, const struct node **to)
{
	const struct node *home = home_of(vnet), *n;
	size_t count = 0;

	for (size_t i = 0; (n = node_at(i)); i++) {
		if (n == home || node_ingress(n)) {
			to[count++] = n;
		}
	}
	for (size_t i = 0; (n = home_branch(vnet, i)); i++) {
		if (!node_ingress(n)) {
			to[count++] = n;
		}
	}
	return count;
}

/* Others have nothing of the owner any more. */
static void drop_others(uint64_t owner, const struct node **nodes, size_t count)
{
	for (size_t i = sent_at(owner, 1); i < n_sent && sent[i].owner == owner;) {
		size_t k = 0;

		while (k < count && nodes[k]->number != sent[i].at) {
			k++;
		}
		if (k == count) {
			drop(&sent[i]);
		} else {
			i++;
		}
	}
}

/* Of `from` what is not in `to` yet, by its key. */
static void merge(const struct kset *from, struct kset *to)
{
	size_t n = to->n;

	for (size_t i = 0; i < from->n; i++) {
		size_t k = 0;

		while (k < n && kobj_compare(&to->v[k], &from->v[i]) != 0) {
			k++;
		}
		if (k == n) {
			kset_add(to, &from->v[i]);
		}
	}
	to->failed = to->failed || from->failed;
}

/* The part of a branch. */
static void branch_part(uint32_t vnet, const struct node *home, const struct node *n,
                        const struct kset *objects, struct kset *to)
{
	struct kset part = { 0 };

	if (home_branch_is_ending(vnet, n)) {
		add_ways(objects, home, n, to);
	}
	vnet_plan_branch(objects, vnet, home->number, n->number, ports_of(vnet, n), &part);
	fabric_unanswered(n, &part);
	merge(&part, to);
	kset_fini(&part);
}

/* The parts of other nodes: where public addresses come in, and branches. */
static void spread(uint64_t owner, uint32_t vnet, const struct kset *objects)
{
	static const struct node *nodes[NODES_MAX];
	const struct node *home = home_of(vnet);
	size_t count = concerned(vnet, nodes);

	for (size_t i = 0; i < count; i++) {
		struct kset set = { 0 };

		if (nodes[i] == home) {
			continue;
		}
		if (home && home_has(vnet, nodes[i])) {
			branch_part(vnet, home, nodes[i], objects, &set);
		}
		add_ways(objects, home, nodes[i], &set);
		put_part(owner, nodes[i], vnet, &set);
	}
	drop_others(owner, nodes, count);
}

/* Of a group that is on `own`, the part of another node. */
static void group_part(uint32_t vnet, const struct node *own, const struct node *n,
                       const struct kset *objects, struct kset *to)
{
	const struct node *home = home_of(vnet);

	add_ways(objects, own, n, to);
	if (own && own != home && n == home) {
		vnet_plan_group_part(objects, PLAN_PART_HOME, vnet, own->number, to);
	} else if (own && n != home && home_has(vnet, n)) {
		vnet_plan_group_part(objects, PLAN_PART_BRANCH, vnet, own->number, to);
	}
	addrblock_known(vnet, own, to);
}

void fabric_group(uint64_t owner, uint32_t vnet, const struct node *own, const struct kset *objects,
                  struct kset *to)
{
	static const struct node *nodes[NODES_MAX];
	const struct node *home = home_of(vnet);
	size_t count = concerned(vnet, nodes);
	struct sent *s = own ? sent_get(owner, own->number) : NULL;

	if (s) { /* it is whole there now */
		forget(s);
	}
	for (size_t i = 0; i < count; i++) {
		struct kset set = { 0 };

		if (nodes[i] != own) {
			group_part(vnet, own, nodes[i], objects, &set);
			put_part(owner, nodes[i], vnet, &set);
		}
	}
	drop_others(owner, nodes, count);
	if (own == home) {
		for (size_t i = 0; i < objects->n; i++) {
			kset_add(to, &objects->v[i]);
		}
	} else if (own) {
		vnet_plan_group_part(objects, PLAN_PART_OWN, vnet, own->number, to);
	}
}

void fabric_put(uint64_t owner, uint32_t vnet, struct kset *objects)
{
	fabric_unanswered(home_of(vnet), objects);
	put(owner, 0, vnet, objects);
	const struct kset set = *planned(sent_get(owner, 0)); /* its place may move */
	spread(owner, vnet, &set);
}

void fabric_opened(void)
{
	size_t n = n_sent;
	AUTO_FREE uint64_t *owners = calloc(n + 1, sizeof(*owners)); /* places move as parts come */

	if (!owners) {
		abort();
	}
	for (size_t i = 0; i < n; i++) {
		owners[i] = sent[i].at ? 0 : sent[i].owner;
	}
	for (size_t i = 0; i < n; i++) {
		const struct sent *s = owners[i] ? sent_get(owners[i], 0) : NULL;

		if (s) {
			const struct kset set = *planned(s);

			spread(s->owner, s->vnet, &set);
		}
	}
}

/* Is it of the VNet, rather than a way to a public address of one that is elsewhere? */
static bool is_here(const struct kobj *o, const struct sent *s)
{
	char link[KOBJ_NAME];

	snprintf(link, sizeof(link), "v%u", s->vnet);
	return o->ns != KOBJ_NS_GATEWAY || strcmp(o->dev, link) == 0;
}

/* What comes in there for the VNet's public addresses goes to the home from now on, rather than into the router that goes. `leaving`
 * NULL: wherever it is no branch any more. */
static void lead_home(uint32_t vnet, const struct node *leaving)
{
	for (size_t i = 0; i < n_sent; i++) {
		const struct sent *s = &sent[i], *home = sent_get(s->owner, 0);
		const struct node *n = node_numbered(s->at);
		struct kset set = { 0 };

		if (s->vnet != vnet || !n || !home ||
		    (leaving ? n != leaving : home_has(vnet, n))) {
			continue;
		}
		add_ways(planned(home), home_of(vnet), n, &set);
		bool ways = set.n > 0;
		merge(planned(s), &set);
		if (ways) {
			put_part(s->owner, n, vnet, &set);
		}
		kset_fini(&set);
	}
}

/* Others lead to its chains. */
static bool has_chains(const struct kset *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].kind == KOBJ_CHAIN) {
			return true;
		}
	}
	return false;
}

/* Those of the VNet that lead to chains, or (`chains`) that have some and the router. */
static void end_parts(uint32_t vnet, bool chains)
{
	for (size_t i = n_sent; i-- > 0;) {
		const struct sent *s = &sent[i];
		const struct node *n = node_numbered(s->at);
		struct kset ways = { 0 };

		if (s->vnet != vnet || !n || home_has(vnet, n) ||
		    (!chains && (has_chains(&s->set) || s->owner == vnet))) {
			continue;
		}
		for (size_t k = 0; k < s->set.n; k++) {
			if (!is_here(&s->set.v[k], s)) {
				kset_add(&ways, &s->set.v[k]);
			}
		}
		if (ways.n < s->set.n) {
			put_part(s->owner, n, vnet, &ways);
		}
		kset_fini(&ways);
	}
}

/* What is not a branch any more loses all of the VNet, what others refer to last; ways to public addresses stay. */
static void end_branches(uint32_t vnet)
{
	fabric_release(UINT64_MAX);
	lead_home(vnet, NULL);
	end_parts(vnet, false);
	end_parts(vnet, true);
}

void fabric_leaves(uint32_t vnet, const struct node *n)
{
	home_branch_ends(vnet, n->number, true);
	lead_home(vnet, n);
}

void fabric_branches(uint32_t vnet)
{
	end_branches(vnet);
	for (size_t i = 0; i < n_sent; i++) {
		if (sent[i].vnet == vnet) {
			sent[i].sign =
				0; /* what is as it was comes there too, each after what it refers to */
		}
	}
	fabric_meet(vnet);
	fabric_vnet(vnet);
	group_ways(vnet);
}

/* Is it a group's, or the link? These are of the node that they are sent to, not of the VNet's home. */
static bool is_nodes(const struct sent *s)
{
	return s->owner == fabric_owner(OWNER_LINKS, s->vnet) ||
	       (s->owner >> 32 == 0 && group_by_serial((uint32_t)s->owner));
}

/* What the new home had as a branch is what the home has had; and what the old one had is what a branch has, if it is one now. The
 * difference follows when it is planned. */
void fabric_move(uint32_t vnet, struct node *to)
{
	const struct node *from = home_of(vnet);
	size_t n = n_sent;
	fabric_release(UINT64_MAX);
	AUTO_FREE uint64_t *owners = calloc(n + 1, sizeof(*owners));

	if (!owners) {
		abort();
	}
	for (size_t i = n = 0; i < n_sent; i++) {
		const struct sent *s = &sent[i];

		if (s->vnet == vnet && !is_nodes(s) && (n == 0 || owners[n - 1] != s->owner)) {
			owners[n++] = s->owner;
		}
	}
	home_set(vnet, to);
	bool branch = from && home_has(vnet, from);
	for (size_t i = n_sent; !branch && from && i-- > 0;) {
		if (sent[i].vnet == vnet && sent[i].at == from->number) {
			drop(&sent[i]);
		}
	}
	for (size_t i = n; i-- > 0;) { /* the router, which has the least number, goes last */
		struct sent *had = sent_get(owners[i], 0);

		if (had && from) { /* ways there are of the same owner, but the home had none */
			sent_rename((size_t)(had - sent), from->number);
			if (!branch) {
				drop(sent_get(owners[i], from->number));
			}
		} else if (had) {
			forget(had);
		}
		if ((had = sent_get(owners[i], to->number))) {
			sent_rename((size_t)(had - sent), 0);
		}
	}
}

void fabric_put_at(uint64_t owner, const struct node *n, uint32_t vnet, struct kset *objects)
{
	put(owner, n->number, vnet, objects);
}

void fabric_drop_at(uint64_t owner, const struct node *n)
{
	struct sent *s = sent_get(owner, n->number);

	if (s) {
		drop(s);
	}
}

void fabric_drop(uint64_t owner)
{
	size_t i;

	while (i = sent_at(owner, 0), i < n_sent && sent[i].owner == owner) {
		drop(&sent[i]);
	}
}

void fabric_resend(const struct node *n)
{
	for (size_t i = 0; i < n_sent; i++) {
		if (node_of(&sent[i]) == n) {
			send_whole(&sent[i]);
		}
	}
}

void fabric_forget(const struct node *n)
{
	for (size_t i = n_sent; i-- > 0;) {
		if (sent[i].at == n->number) {
			forget(&sent[i]);
		}
	}
}

/* ---- what planning asks ---- */

bool fabric_sent(uint64_t owner)
{
	return sent_get(owner, 0) != NULL;
}

bool fabric_stays(uint64_t owner, uint64_t sign)
{
	struct sent *s = sent_get(owner, 0);
	bool stays = s && s->sign == sign;

	if (stays) {
		s->used = true;
	}
	return stays;
}

void fabric_sign(uint64_t owner, uint64_t sign)
{
	sent_get(owner, 0)->sign = sign;
}

static bool in_vnet(const struct sent *s, uint32_t vnet)
{
	return !s->at && s->owner >> 32 && (uint32_t)s->owner == vnet;
}

void fabric_begin(uint32_t vnet)
{
	for (size_t i = 0; i < n_sent; i++) {
		sent[i].used = sent[i].used && !in_vnet(&sent[i], vnet);
	}
}

void fabric_end(uint32_t vnet)
{
	for (size_t i = n_sent; i-- > 0;) {
		if (in_vnet(&sent[i], vnet) && !sent[i].used) {
			fabric_drop(sent[i].owner);
			i = i < n_sent ? i : n_sent; /* its ways went too */
		}
	}
}
