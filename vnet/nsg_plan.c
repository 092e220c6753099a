/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From a security group's rules to chains. A tree: direction, then family and protocol, then the
 * interval of the destination port, then, where more than LIST_MAX rules are left, the interval of
 * the source or destination address; its leaves are short chains in priority order. Leaves are named
 * by their content, maps and sets by their place: a rule's change makes the leaves it is in anew and
 * turns the maps' elements to them. Pure: no I/O.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "vnet/nsg.h"

#define LIST_MAX  12 /* rules in a chain before addresses are looked at */
#define GROWTH    24 /* a dispatch by address may make a list this many times as long */
#define DEPTH_MAX 2  /* dispatches by address, one below another */
#define FNV       UINT64_C(0x100000001b3)
#define FNV_START UINT64_C(0xcbf29ce484222325)

/* What is known of a rule's side where we are in the tree. */
enum known {
	SIDE_OPEN,  /* nothing */
	SIDE_YES,   /* it matches */
	SIDE_NOT_IP /* its prefixes do not; tags and groups may */
};

struct ref {
	const struct nsg_rule *r;
	uint8_t known[2];
};

struct refs {
	struct ref *v;
	size_t n, cap;
};

/* One value of a dimension where the set of rules changes. */
struct edge {
	uint8_t at[16];
	uint32_t rule; /* index in the list */
	bool begin;
};

struct work {
	const struct nsg *g;
	uint32_t ns;
	struct kset *to;
	uint64_t *seen; /* names of leaves that are there, open addressing; 0 empty */
	size_t n_seen, cap_seen;
	/* where we are */
	bool inbound;
	uint8_t family, proto; /* proto 255: those that no map names */
	bool failed;
};

static void refs_add(struct work *w, struct refs *l, const struct ref *r)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct ref *v = realloc(l->v, cap * sizeof(*v));

		if (!v) {
			w->failed = true;
			return;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *r;
}

static uint64_t mix(uint64_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n--) {
		h = (h ^ *p++) * FNV;
	}
	return h;
}

static void hash_name(char first, uint64_t h, char to[static KOBJ_NAME])
{
	/* Written by hand: a thousand rules have some thousand names. */
	static const char digits[] = "0123456789abcdef";

	memset(to, 0, KOBJ_NAME);
	to[0] = first;
	for (int i = 14; i > 0; i--, h >>= 4) {
		to[i] = digits[h & 15];
	}
}

static void put(struct work *w, enum kobj_kind kind, uint8_t sub, const char *name)
{
	struct kobj o = { .ns = w->ns, .kind = (uint8_t)kind, .sub = sub };

	memcpy(o.dev, name, strnlen(name, KOBJ_NAME - 1));
	kset_add(w->to, &o);
}

/* ---- sides ---- */

static size_t of_family(const struct nsg_side *s, uint8_t family)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_prefixes; i++) {
		n += s->prefixes[i].ip.family == family;
	}
	return n;
}

static bool can_match(const struct nsg_side *s, uint8_t family)
{
	return s->any || s->vnet || s->internet || s->n_asgs || of_family(s, family);
}

/* The side's prefixes of the family, sorted, none inside another; *ret is malloc'ed. */
static size_t side_prefixes(struct work *w, const struct nsg_side *s, struct ip_prefix **ret)
{
	struct ip_prefix *v = calloc(s->n_prefixes + 1, sizeof(*v));
	size_t n = 0;

	*ret = v;
	if (!v) {
		w->failed = true;
		return 0;
	}
	for (size_t i = 0; i < s->n_prefixes; i++) {
		if (s->prefixes[i].ip.family == w->family) {
			v[n++] = s->prefixes[i];
		}
	}
	return ip_prefixes_reduce(v, n);
}

/* "N2ai64s4": the set of a rule's addresses. */
static void set_name(const struct work *w, const struct nsg_rule *r, int side, char to[16])
{
	char text[32], *at = text;

	*at++ = 'N';
	at = kobj_hex(at, w->g->id);
	*at++ = r->inbound ? 'i' : 'o';
	at = kobj_hex(at, r->priority);
	*at++ = side ? 'd' : 's';
	*at++ = (char)('0' + w->family);
	size_t n = (size_t)(at - text);

	if (n >= KOBJ_NAME) { /* of a very large number */
		hash_name('N', mix(FNV_START, text, n), to);
		return;
	}
	memset(to, 0, KOBJ_NAME);
	memcpy(to, text, n);
}

/* One way in which a side may match; fills the filter's half. */
struct term {
	uint8_t side, plen;
	uint8_t value[16];
};

static size_t side_terms(struct work *w, const struct ref *ref, int side,
                         struct term to[static 3 + NSG_ASGS_MAX])
{
	const struct nsg_side *s = &ref->r->side[side];
	size_t n = 0, prefixes = of_family(s, w->family);

	if (s->any || ref->known[side] == SIDE_YES || (s->vnet && s->internet)) {
		to[0] = (struct term){ KOBJ_SIDE_ANY, 0, { 0 } };
		return 1;
	}
	if (prefixes && ref->known[side] == SIDE_OPEN) {
		struct ip_prefix *v;
		size_t left = side_prefixes(w, s, &v);

		to[n] = (struct term){ left == 1 ? KOBJ_SIDE_PREFIX : KOBJ_SIDE_SET, 0, { 0 } };
		if (left == 1) {
			to[n].plen = v[0].len;
			memcpy(to[n].value, v[0].ip.b, 16);
		} else {
			set_name(w, ref->r, side, (char *)to[n].value);
		}
		free(v);
		n++;
	}
	if (s->vnet || s->internet) {
		to[n] = (struct term){ s->vnet ? KOBJ_SIDE_SET : KOBJ_SIDE_NOT_SET, 0, { 0 } };
		memcpy(to[n++].value, w->family == 4 ? "vtag4" : "vtag6", 6);
	}
	for (size_t i = 0; i < s->n_asgs; i++) {
		to[n] = (struct term){ KOBJ_SIDE_SET, 0, { 0 } };
		nsg_asg_name(s->asgs[i], w->family, (char *)to[n++].value);
	}
	return n;
}

/* Does the rule decide whatever comes here? */
static bool decides(const struct ref *ref)
{
	for (int s = 0; s < 2; s++) {
		if (!ref->r->side[s].any && ref->known[s] != SIDE_YES &&
		    !(ref->r->side[s].vnet && ref->r->side[s].internet)) {
			return false;
		}
	}
	return ref->r->n_ports[0] == 0;
}

/* ---- leaves ---- */

static bool leaf_new(struct work *w, uint64_t name)
{
	if (w->n_seen * 2 >= w->cap_seen) {
		size_t cap = w->cap_seen ? w->cap_seen * 2 : 256;
		uint64_t *v = calloc(cap, sizeof(*v));

		if (!v) {
			w->failed = true;
			return false;
		}
		for (size_t i = 0; i < w->cap_seen; i++) {
			size_t at = w->seen[i] & (cap - 1);

			while (w->seen[i] && v[at]) {
				at = (at + 1) & (cap - 1);
			}
			if (w->seen[i]) {
				v[at] = w->seen[i];
			}
		}
		free(w->seen);
		w->seen = v;
		w->cap_seen = cap;
	}
	size_t at = name & (w->cap_seen - 1);
	while (w->seen[at] && w->seen[at] != name) {
		at = (at + 1) & (w->cap_seen - 1);
	}
	bool fresh = !w->seen[at];
	w->seen[at] = name;
	w->n_seen += fresh;
	return fresh;
}

static void filters(struct work *w, const struct ref *ref, struct kset *to)
{
	struct term t[2][3 + NSG_ASGS_MAX];
	size_t n[2] = { side_terms(w, ref, 0, t[0]), side_terms(w, ref, 1, t[1]) };
	size_t sports = ref->r->n_ports[0] ? ref->r->n_ports[0] : 1;

	for (size_t i = 0; i < n[0]; i++) {
		for (size_t k = 0; k < n[1]; k++) {
			for (size_t p = 0; p < sports; p++) {
				struct kobj_filter f = { .position = (uint32_t)to->n,
					                 .op = ref->r->allow ? KOBJ_FILTER_ALLOW
					                                     : KOBJ_FILTER_DENY,
					                 .family = w->family,
					                 .side = { t[0][i].side, t[1][k].side },
					                 .plen = { t[0][i].plen, t[1][k].plen },
					                 .group = w->g->id,
					                 .priority = ref->r->priority,
					                 .inbound = w->inbound };
				struct kobj o;

				memcpy(f.value[0], t[0][i].value, 16);
				memcpy(f.value[1], t[1][k].value, 16);
				if (ref->r->n_ports[0]) {
					f.sport[0] = ref->r->ports[0][p].low;
					f.sport[1] = ref->r->ports[0][p].high;
				}
				kobj_filter_pack(&f, w->ns, "", &o);
				kset_add(to, &o);
			}
		}
	}
}

/* The chain of a list of rules, by its content; its name into `name`. */
static void leaf(struct work *w, const struct ref *v, size_t n, char name[static KOBJ_NAME])
{
	struct kset list = { 0 };
	uint64_t h = FNV_START;

	for (size_t i = 0; i < n; i++) {
		/* The default rules end nearly every list: they are one chain. */
		if (i > 0 && n - i > 1 && v[i].r->priority >= NSG_DEFAULT_FIRST &&
		    v[i - 1].r->priority < NSG_DEFAULT_FIRST) {
			struct kobj_filter f = { .position = (uint32_t)list.n,
				                 .op = KOBJ_FILTER_GOTO };
			struct kobj o;

			leaf(w, v + i, n - i, f.target);
			kobj_filter_pack(&f, w->ns, "", &o);
			kset_add(&list, &o);
			break;
		}
		filters(w, &v[i], &list);
	}
	for (size_t i = 0; i < list.n; i++) {
		h = mix(h, &list.v[i], sizeof(list.v[i]));
	}
	h = (h & UINT64_C(0xffffffffffffff)) | UINT64_C(1) << 63;
	hash_name('L', h, name);
	if (leaf_new(w, h)) {
		put(w, KOBJ_CHAIN, 0, name);
		for (size_t i = 0; i < list.n; i++) {
			memcpy(list.v[i].dev, name, KOBJ_NAME);
			kset_add(w->to, &list.v[i]);
		}
	}
	w->failed = w->failed || list.failed;
	kset_fini(&list);
}

/* ---- dispatch ---- */

static int by_edge(const void *pa, const void *pb)
{
	return memcmp(((const struct edge *)pa)->at, ((const struct edge *)pb)->at, 16);
}

/* A map by intervals, with the chain that looks things up in it. */
struct map {
	char name[KOBJ_NAME];
	uint8_t sub;     /* enum kobj_pset */
	size_t key;      /* bytes */
	uint64_t place;  /* hash of the way here */
	struct kobj run; /* the item that grows while its target stays the same; kind 0: none */
};

static void map_begin(struct work *w, struct map *m, enum kobj_filter_op op)
{
	bool by_ip = op == KOBJ_FILTER_SADDR || op == KOBJ_FILTER_DADDR;
	struct kobj_filter f = { .op = (uint8_t)op, .family = by_ip ? w->family : 0 };
	struct kobj o;

	put(w, KOBJ_SET, m->sub, m->name);
	put(w, KOBJ_CHAIN, 0, m->name);
	memcpy(f.target, m->name, KOBJ_NAME);
	kobj_filter_pack(&f, w->ns, m->name, &o);
	kset_add(w->to, &o);
}

static void map_item(struct work *w, struct map *m, const uint8_t from[16], const uint8_t to[16],
                     const char target[KOBJ_NAME])
{
	if (m->run.kind && memcmp(m->run.peer, target, KOBJ_NAME) == 0) {
		memcpy(m->run.via, to, 16);
		return;
	}
	if (m->run.kind) {
		kset_add(w->to, &m->run);
	}
	m->run = (struct kobj){ .ns = w->ns, .kind = KOBJ_ITEM, .sub = m->sub };
	m->run.family = m->sub == KOBJ_PMAP_ADDR4 ? 4 : m->sub == KOBJ_PMAP_ADDR6 ? 6 : 0;
	memcpy(m->run.dev, m->name, KOBJ_NAME);
	memcpy(m->run.addr, from, 16);
	memcpy(m->run.via, to, 16);
	memcpy(m->run.peer, target, KOBJ_NAME);
}

static void map_end(struct work *w, struct map *m)
{
	if (m->run.kind) {
		kset_add(w->to, &m->run);
	}
}

static void step(uint8_t at[16], size_t key, int by) /* by 1 or -1, with carry */
{
	for (size_t i = key; i-- > 0;) {
		at[i] = (uint8_t)(at[i] + by);
		if (at[i] != (by > 0 ? 0 : 0xff)) {
			return;
		}
	}
}

typedef void (*interval_fn)(struct work *w, void *arg, const uint8_t from[16], const uint8_t to[16],
                            const uint32_t *inside);

/* Calls fn for each interval between edges, with how many prefixes or ranges of each rule cover it. */
static void sweep(struct work *w, struct edge *edges, size_t n, size_t rules, size_t key,
                  interval_fn fn, void *arg)
{
	AUTO_FREE uint32_t *inside = calloc(rules + 1, sizeof(*inside));
	uint8_t from[16] = { 0 }, to[16];

	if (!inside) {
		w->failed = true;
		return;
	}
	qsort(edges, n, sizeof(*edges), by_edge);
	for (size_t i = 0; i <= n;) {
		while (i < n && memcmp(edges[i].at, from, 16) == 0) {
			inside[edges[i].rule] += edges[i].begin ? 1u : UINT32_MAX;
			i++;
		}
		if (i < n) {
			memcpy(to, edges[i].at, 16);
			step(to, key, -1);
		} else {
			memset(to, 0, 16);
			memset(to, 0xff, key);
		}
		fn(w, arg, from, to, inside);
		if (i == n) {
			return;
		}
		memcpy(from, edges[i].at, 16);
	}
}

/* An interval becomes two edges; one that reaches the end of the space has no second. */
static void edge_pair(struct edge *v, size_t *n, uint32_t rule, const uint8_t *first,
                      const uint8_t *last, size_t key)
{
	uint8_t end[16] = { 0 }, zero[16] = { 0 };

	memcpy(end, last, key);
	step(end, key, 1);
	v[*n] = (struct edge){ .rule = rule, .begin = true };
	memcpy(v[(*n)++].at, first, key);
	if (memcmp(end, zero, 16) != 0) {
		v[*n] = (struct edge){ .rule = rule };
		memcpy(v[(*n)++].at, end, key);
	}
}

struct split {
	const struct refs *list;
	struct map map;
	int side, depth;
	size_t intervals, total; /* counted before it is done */
	bool count;
};

static void decide(struct work *w, const struct refs *list, uint64_t place, int depth,
                   char name[static KOBJ_NAME]);

static void address_interval(struct work *w, void *arg, const uint8_t from[16],
                             const uint8_t to[16], const uint32_t *inside)
{
	struct split *s = arg;
	struct refs part = { 0 };
	char target[KOBJ_NAME];

	s->intervals++;
	for (size_t i = 0; i < s->list->n; i++) {
		struct ref ref = s->list->v[i];
		const struct nsg_side *side = &ref.r->side[s->side];

		if (ref.known[s->side] == SIDE_OPEN && !side->any && side->n_prefixes) {
			ref.known[s->side] = inside[i] ? SIDE_YES : SIDE_NOT_IP;
			if (!inside[i] && !side->vnet && !side->internet && !side->n_asgs) {
				continue;
			}
		}
		s->total++;
		if (!s->count) {
			refs_add(w, &part, &ref);
		}
		if (decides(&ref)) {
			break;
		}
	}
	if (!s->count) {
		decide(w, &part, mix(s->map.place, from, 16), s->depth + 1, target);
		map_item(w, &s->map, from, to, target);
	}
	free(part.v);
}

static size_t address_edges(struct work *w, const struct refs *list, int side, struct edge **ret)
{
	size_t most = 0, n = 0;

	for (size_t i = 0; i < list->n; i++) {
		most += list->v[i].r->side[side].n_prefixes * 2;
	}
	struct edge *v = calloc(most + 1, sizeof(*v));
	*ret = v;
	if (!v) {
		w->failed = true;
		return 0;
	}
	for (size_t i = 0; i < list->n; i++) {
		const struct nsg_side *s = &list->v[i].r->side[side];

		for (size_t k = 0; k < s->n_prefixes && !s->any; k++) {
			struct ip last = ip_prefix_last(&s->prefixes[k]);

			if (s->prefixes[k].ip.family == w->family &&
			    list->v[i].known[side] == SIDE_OPEN) {
				edge_pair(v, &n, (uint32_t)i, s->prefixes[k].ip.b, last.b,
				          w->family == 4 ? 4 : 16);
			}
		}
	}
	return n;
}

/* Splits by the side's address where that makes lists shorter; false: it does not. */
static bool by_address(struct work *w, const struct refs *list, int side, uint64_t place, int depth,
                       char name[static KOBJ_NAME])
{
	size_t key = w->family == 4 ? 4 : 16;
	struct split s = { .list = list, .side = side, .depth = depth, .count = true };
	struct edge *edges;
	size_t n = address_edges(w, list, side, &edges);

	if (n > 1) {
		sweep(w, edges, n, list->n, key, address_interval, &s);
	}
	bool worth = n > 1 && s.total / s.intervals * 2 <= list->n &&
	             s.total <= list->n * GROWTH + 4 * s.intervals;
	if (worth) {
		static const uint8_t subs[] = { KOBJ_PMAP_ADDR4, KOBJ_PMAP_ADDR6 };

		s.count = false;
		s.map = (struct map){ .sub = subs[w->family == 6],
			              .key = key,
			              .place = mix(place, &side, sizeof(side)) };
		hash_name('N', s.map.place, s.map.name);
		map_begin(w, &s.map, side ? KOBJ_FILTER_DADDR : KOBJ_FILTER_SADDR);
		sweep(w, edges, n, list->n, key, address_interval, &s);
		map_end(w, &s.map);
		memcpy(name, s.map.name, KOBJ_NAME);
	}
	free(edges);
	return worth;
}

/* The chain that decides among the rules of a list, into `name`. */
static void decide(struct work *w, const struct refs *list, uint64_t place, int depth,
                   char name[static KOBJ_NAME])
{
	int first = w->inbound ? 0 : 1; /* the far side first: there rules differ most */

	if (list->n > LIST_MAX && depth < DEPTH_MAX &&
	    (by_address(w, list, first, place, depth, name) ||
	     by_address(w, list, 1 - first, place, depth, name))) {
		return;
	}
	leaf(w, list->v, list->n, name);
}

/* ---- ports and protocols ---- */

struct ports {
	const struct refs *all;
	struct map map;
};

static void port_interval(struct work *w, void *arg, const uint8_t from[16], const uint8_t to[16],
                          const uint32_t *inside)
{
	struct ports *p = arg;
	struct refs part = { 0 };
	char target[KOBJ_NAME];

	for (size_t i = 0; i < p->all->n; i++) {
		if (inside[i] || p->all->v[i].r->n_ports[1] == 0) {
			refs_add(w, &part, &p->all->v[i]);
			if (decides(&p->all->v[i])) {
				break;
			}
		}
	}
	decide(w, &part, mix(p->map.place, from, 16), 0, target);
	map_item(w, &p->map, from, to, target);
	free(part.v);
}

static bool by_port(struct work *w, const struct refs *all, uint64_t place,
                    char name[static KOBJ_NAME])
{
	struct ports p = { .all = all, .map = { .sub = KOBJ_PMAP_PORT, .key = 2, .place = place } };
	size_t most = 0, n = 0;

	for (size_t i = 0; i < all->n; i++) {
		most += all->v[i].r->n_ports[1] * 2;
	}
	if (most == 0) {
		return false;
	}
	AUTO_FREE struct edge *edges = calloc(most, sizeof(*edges));
	if (!edges) {
		w->failed = true;
		return false;
	}
	for (size_t i = 0; i < all->n; i++) {
		const struct nsg_rule *r = all->v[i].r;

		for (size_t k = 0; k < r->n_ports[1]; k++) {
			uint8_t low[2] = { (uint8_t)(r->ports[1][k].low >> 8),
				           (uint8_t)r->ports[1][k].low };
			uint8_t high[2] = { (uint8_t)(r->ports[1][k].high >> 8),
				            (uint8_t)r->ports[1][k].high };

			edge_pair(edges, &n, (uint32_t)i, low, high, 2);
		}
	}
	hash_name('N', place, p.map.name);
	map_begin(w, &p.map, KOBJ_FILTER_PORT);
	sweep(w, edges, n, all->n, 2, port_interval, &p);
	map_end(w, &p.map);
	memcpy(name, p.map.name, KOBJ_NAME);
	return true;
}

/* The chain for one family and protocol, into `name`. */
static void by_protocol(struct work *w, char name[static KOBJ_NAME])
{
	const uint8_t way[] = { w->inbound, w->family, w->proto };
	bool ports = w->proto == IPPROTO_TCP || w->proto == IPPROTO_UDP;
	uint8_t proto = w->proto == IPPROTO_ICMPV6 ? IPPROTO_ICMP : w->proto;
	uint64_t place = mix(mix(FNV_START, &w->g->id, sizeof(w->g->id)), way, sizeof(way));
	struct refs all = { 0 };

	for (size_t i = 0; i < w->g->n; i++) {
		const struct nsg_rule *r = &w->g->v[i];
		struct ref ref = { r, { SIDE_OPEN, SIDE_OPEN } };

		if (r->inbound != w->inbound || (r->proto && r->proto != proto) ||
		    (!ports && (r->n_ports[0] || r->n_ports[1])) ||
		    !can_match(&r->side[0], w->family) || !can_match(&r->side[1], w->family)) {
			continue;
		}
		refs_add(w, &all, &ref);
		if (decides(&ref) && r->n_ports[1] == 0) {
			break;
		}
	}
	if (!ports || !by_port(w, &all, place, name)) {
		decide(w, &all, place, 0, name);
	}
	free(all.v);
}

/* The sets of rules that name several prefixes. */
static void rule_sets(struct work *w, const struct nsg_rule *r)
{
	for (int side = 0; side < 2; side++) {
		struct ip_prefix *v;
		size_t n = r->side[side].any ? 0 : side_prefixes(w, &r->side[side], &v);
		char name[KOBJ_NAME];

		if (r->side[side].any) {
			continue;
		}
		set_name(w, r, side, name);
		if (n > 1) {
			put(w, KOBJ_SET, w->family == 4 ? KOBJ_PSET_ADDR4 : KOBJ_PSET_ADDR6, name);
		}
		for (size_t i = 0; i < n && n > 1; i++) {
			struct kobj o = { .ns = w->ns,
				          .kind = KOBJ_ITEM,
				          .family = w->family,
				          .sub = w->family == 4 ? KOBJ_PSET_ADDR4
				                                : KOBJ_PSET_ADDR6 };
			struct ip last = ip_prefix_last(&v[i]);

			memcpy(o.dev, name, KOBJ_NAME);
			memcpy(o.addr, v[i].ip.b, 16);
			memcpy(o.via, last.b, 16);
			kset_add(w->to, &o);
		}
		free(v);
	}
}

/* "N2ai4": by protocol, all 256 of them; most have the same list. */
static void plan_family(struct work *w, const char *name)
{
	static const uint8_t protos[] = { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP,
		                          IPPROTO_ESP,  IPPROTO_AH,  IPPROTO_ICMPV6 };
	struct map map = { .sub = KOBJ_PMAP_PROTO, .key = 1 };
	char other[KOBJ_NAME], target[KOBJ_NAME];
	uint8_t from[16] = { 0 }, to[16] = { 0 };
	unsigned next = 0;

	memcpy(map.name, name, KOBJ_NAME);
	map_begin(w, &map, KOBJ_FILTER_PROTO);
	w->proto = 255;
	by_protocol(w, other);
	for (size_t i = 0; i < ARRAY_N(protos); i++) {
		if (protos[i] == (w->family == 4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
			continue;
		}
		if (next < protos[i]) {
			from[0] = (uint8_t)next;
			to[0] = (uint8_t)(protos[i] - 1);
			map_item(w, &map, from, to, other);
		}
		w->proto = from[0] = to[0] = protos[i];
		by_protocol(w, target);
		map_item(w, &map, from, to, target);
		next = protos[i] + 1u;
	}
	from[0] = (uint8_t)next;
	to[0] = 255;
	map_item(w, &map, from, to, other);
	map_end(w, &map);
	for (size_t i = 0; i < w->g->n; i++) {
		if (w->g->v[i].inbound == w->inbound) {
			rule_sets(w, &w->g->v[i]);
		}
	}
}

static void plan_direction(struct work *w)
{
	char entry[KOBJ_NAME];

	nsg_chain_name(w->g->id, w->inbound, entry);
	put(w, KOBJ_CHAIN, 0, entry);
	for (uint32_t f = 0; f < 2; f++) {
		struct kobj_filter go = { .position = f, .op = KOBJ_FILTER_JUMP };
		struct kobj o;

		w->family = go.family = f ? 6 : 4;
		snprintf(go.target, sizeof(go.target), "N%x%c%u", w->g->id, w->inbound ? 'i' : 'o',
		         w->family);
		kobj_filter_pack(&go, w->ns, entry, &o);
		kset_add(w->to, &o);
		plan_family(w, go.target);
	}
	struct kobj_filter close = { .position = 2,
		                     .op = KOBJ_FILTER_CLOSE,
		                     .inbound = w->inbound };
	struct kobj o;
	kobj_filter_pack(&close, w->ns, entry, &o);
	kset_add(w->to, &o);
}

void vnet_plan_nsg(const struct nsg *g, uint32_t ns, struct kset *to)
{
	struct work w = { .g = g, .ns = ns, .to = to };

	for (size_t i = 0; i < g->n; i++) {
		char name[KOBJ_NAME];

		kobj_counter_name(g->id, g->v[i].inbound, g->v[i].priority, name);
		put(&w, KOBJ_COUNTER, 0, name);
	}
	w.inbound = true;
	plan_direction(&w);
	w.inbound = false;
	plan_direction(&w);
	free(w.seen);
	to->failed = to->failed || w.failed;
}
