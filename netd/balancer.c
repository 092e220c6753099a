/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Load balancers as they are now: whose members take flows, their slot tables, and the plan of each. A
 * change of a document, a group or a backend's health plans that load balancer again, no other. See
 * balancer.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/balancer_live.h"
#include "netd/balancer_parts.h"
#include "netd/fabric_parts.h"
#include "netd/ngroup.h"
#include "netd/where.h"
#include "netd/zone.h"

#define CALM_MS   50 /* between plans of one load balancer that nobody waits for */
#define GATHER_MS 5  /* after one that somebody waited for: new members answer probes together */

static struct balancer **all;
static size_t n_all, cap_all;
static struct where members; /* load balancers by VNet and address of a document's members */
static LIST_HEAD(marked, balancer) soon = LIST_HEAD_INITIALIZER(soon); /* dirty */
static struct loop_timer *later;
static int64_t later_ms; /* when it ends, while it runs */

static uint32_t number_of(const struct resource *r)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, "serial"));
}

/* ---- slot tables and their rows ---- */

static struct pending_row {
	char *key, *text;
} * pending; /* loaded, until their load balancers are */
static size_t n_pending;

static char *row_key(const struct balancer *b, const struct lb_table *t)
{
	struct buf k = { 0 };

	buf_addf(&k, "slots%s/%s", b->r->key, t->key);
	const char *text = buf_str(&k);
	char *copy = strdup(text ? text : "");
	buf_fini(&k);
	return copy;
}

void lb_table_save(const struct balancer *b, const struct lb_table *t)
{
	AUTO_FREE char *key = row_key(b, t), *text = slots_print(&t->slots);
	json_auto_t *row = json_pack("{s:s}", "slots", text ? text : "");
	AUTO_FREE char *value = json_dumps(row, JSON_COMPACT);

	store_submit(plane.store, &(struct store_op){ .key = key, .value = value }, 1,
	             control_saved, NULL);
}

static void drop_table(struct balancer *b, size_t i)
{
	AUTO_FREE char *key = row_key(b, &b->tables[i]);

	store_submit(plane.store, &(struct store_op){ .key = key }, 1, control_saved, NULL);
	free(b->tables[i].key);
	free(b->tables[i].left);
	slots_fini(&b->tables[i].slots);
	b->tables[i] = b->tables[--b->n_tables];
}

struct lb_table *lb_table_make(struct balancer *b, const char *key)
{
	for (size_t i = 0; i < b->n_tables; i++) {
		if (strcmp(b->tables[i].key, key) == 0) {
			return &b->tables[i];
		}
	}
	b->tables = realloc(b->tables, (b->n_tables + 1) * sizeof(*b->tables));
	if (!b->tables) {
		abort();
	}
	b->tables[b->n_tables] = (struct lb_table){ .key = strdup(key) };
	return &b->tables[b->n_tables++];
}

void balancer_slots_load(const char *key, const json_t *row)
{
	pending = realloc(pending, (n_pending + 1) * sizeof(*pending));
	if (!pending) {
		abort();
	}
	pending[n_pending++] = (struct pending_row){ strdup(key), strdup(model_str(row, "slots")) };
}

static void take_rows(void)
{
	for (size_t i = 0; i < n_pending; i++) {
		char *cut = strrchr(pending[i].key, '/');

		*cut = '\0';
		const struct resource *r = table_get(pending[i].key);
		struct slots s;
		if (r && r->balancer && slots_scan(pending[i].text, &s)) {
			lb_table_make(r->balancer, cut + 1)->slots = s;
		}
		free(pending[i].key);
		free(pending[i].text);
	}
	free(pending);
	pending = NULL;
	n_pending = 0;
}

/* ---- members ---- */

static size_t add_member(struct lb_member *to, size_t n, size_t max, const struct lb_member *m)
{
	if (n < max && m->ip.family) {
		to[n++] = *m;
	}
	return n;
}

size_t lb_members(const struct resource *r, const json_t *pool, struct lb_member *to, size_t max)
{
	const struct balancer *b = r->balancer;
	AUTO_FREE char *name = table_key(model_str(pool, "name"));
	size_t n = 0, i;
	json_t *x;

	json_array_foreach(model_at(pool, "properties.loadBalancerBackendAddresses"), i, x)
	{
		struct lb_member m = { .name = model_str(x, "name"),
			               .ip = table_ip(x, "properties.ipAddress"),
			               .weight = 1 };
		json_int_t weight = json_integer_value(model_at(x, "properties.weight"));

		m.weight = weight ? (uint16_t)weight : 1;
		m.admin = model_is(x, "properties.adminState", "Up")     ? LB_ADMIN_UP
		          : model_is(x, "properties.adminState", "Down") ? LB_ADMIN_DOWN
		                                                         : LB_ADMIN_NONE;
		m.group = b && b->vnet ? network_group_at(b->vnet, &m.ip) : NULL;
		n = add_member(to, n, max, &m);
	}
	for (i = 0; b && i < b->n_joined; i++) {
		const struct resource *g = b->joined[i].group;

		for (int f = 0; f < 2 && strcmp(b->joined[i].pool, name) == 0; f++) {
			n = add_member(
				to, n, max,
				&(struct lb_member){ .name = g->name,
			                             .ip = table_ip(g->status, f ? "ip6" : "ip4"),
			                             .weight = 1,
			                             .group = g,
			                             .joined = true });
		}
	}
	return n;
}

static bool has_joined(const struct balancer *b, const char *pool, const json_t *x)
{
	struct ip ip = table_ip(x, "properties.ipAddress");

	for (size_t i = 0; i < b->n_joined; i++) {
		const struct resource *g = b->joined[i].group;

		if (strcasecmp(b->joined[i].pool, pool) != 0 ||
		    strcasecmp(g->name, model_str(x, "name")) != 0) {
			continue;
		}
		for (int f = 0; f < 2; f++) {
			struct ip own = table_ip(g->status, f ? "ip6" : "ip4");

			if (own.family && ip_compare(&own, &ip) == 0) {
				return true;
			}
		}
	}
	return false;
}

void balancer_strip(const struct resource *r, json_t *doc)
{
	json_t *pool;
	size_t i;

	json_array_foreach(lb_list(doc, LB_POOLS), i, pool)
	{
		json_t *list = model_at(pool, "properties.loadBalancerBackendAddresses");

		for (size_t k = json_array_size(list); r->balancer && k-- > 0;) {
			if (has_joined(r->balancer, model_str(pool, "name"),
			               json_array_get(list, k))) {
				json_array_remove(list, k);
			}
		}
	}
}

static struct where publics; /* balancers by the public addresses that they name */

static struct ip public_named(const char *id)
{
	AUTO_FREE char *key = table_key(id);

	return where_named(key, strlen(key));
}

const struct resource *balancer_of(const struct resource *public)
{
	const struct ip at = public_named(public->id);
	const struct where_entry *x = where_next(&publics, 0, &at, NULL);

	return x ? (const struct resource *)x->value : NULL;
}

static void index_publics(const struct balancer *b, bool there)
{
	json_t *x;
	size_t i;

	json_array_foreach(lb_list(b->r->doc, LB_FRONTS), i, x)
	{
		const char *id = model_str(x, "properties.publicIPAddress.id");
		const struct ip at = public_named(id);

		if (*id) {
			(there ? where_add : where_drop)(&publics, 0, &at, (uintptr_t)b->r);
		}
	}
}

static void index_members(struct balancer *b, bool there)
{
	json_t *pool, *x;
	size_t i, k;

	json_array_foreach(lb_list(b->r->doc, LB_POOLS), i, pool)
	{
		json_array_foreach(model_at(pool, "properties.loadBalancerBackendAddresses"), k, x)
		{
			struct ip ip = table_ip(x, "properties.ipAddress");

			if (ip.family && b->vnet) {
				(there ? where_add : where_drop)(&members, b->vnet, &ip,
				                                 (uintptr_t)b);
			}
		}
	}
}

/* ---- plans ---- */

/* Rules that share pools want the same elements: once is enough. */
static void unique(struct kset *s)
{
	size_t n = 0;

	kset_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		if (n == 0 || kobj_compare(&s->v[n - 1], &s->v[i]) != 0) {
			s->v[n++] = s->v[i];
		}
	}
	s->n = n;
}

static uint32_t vnet_now(const struct balancer *b)
{
	struct resource *v = lb_vnet(b->r);

	return v             ? table_number(v)
	       : b->n_joined ? (uint32_t)json_integer_value(
				       json_object_get(b->joined[0].group->status, "vnet"))
	                     : 0;
}

static void unmark(struct balancer *b)
{
	if (b->dirty) {
		LIST_REMOVE(b, link);
		b->dirty = false;
	}
}

static void evaluate(struct balancer *b)
{
	uint32_t vnet = vnet_now(b);
	struct kset set = { 0 };

	unmark(b);
	b->planned_ms = clock_system.now_ms(&clock_system);
	if (vnet != b->vnet) {
		index_members(b, false);
		if (b->vnet) {
			fabric_drop(fabric_owner(number_of(b->r), b->vnet));
		}
		b->vnet = vnet;
		index_members(b, true);
	}
	for (size_t i = 0; i < b->n_tables; i++) {
		b->tables[i].used = false;
	}
	lb_targets_begin(b);
	lb_plan(b, &set);
	lb_targets_end(b);
	for (size_t i = b->n_tables; i-- > 0;) {
		if (!b->tables[i].used) {
			drop_table(b, i);
		}
	}
	for (size_t i = 0; b->turned && i < b->n_joined; i++) {
		ngroup_member((struct resource *)(uintptr_t)b->joined[i].group, true);
	}
	b->turned = false;
	b->settled = true;
	b->sign++;
	if (vnet && fabric_sent(vnet)) {
		uint64_t owner = fabric_owner(table_number(b->r), vnet);

		unique(&set);
		fabric_put(owner, vnet, &set);
		fabric_sign(owner, b->sign);
	}
	kset_fini(&set);
	if (b->unsaved) {
		b->unsaved = false;
		table_save(&b->r, 1, control_saved, NULL);
	}
}

void balancer_vnet(uint32_t vnet)
{
	for (size_t i = 0; i < n_all; i++) {
		struct balancer *b = all[i];

		if (b->vnet == vnet &&
		    !fabric_stays(fabric_owner(number_of(b->r), vnet), b->sign)) {
			evaluate(b);
		}
	}
}

static void touched(struct balancer *b, int64_t now)
{
	b->calmed_ms = now;
	evaluate(b);
}

static void wake_by(int64_t at_ms, int64_t now)
{
	if (!loop_timer_running(later) || at_ms < later_ms) {
		later_ms = at_ms;
		loop_timer_start(later, at_ms - now);
	}
}

static void on_later(void *arg)
{
	struct marked due = LIST_HEAD_INITIALIZER(due);
	int64_t now = clock_system.now_ms(&clock_system);
	struct balancer *b, *next;

	(void)arg;
	for (b = LIST_FIRST(&soon); b; b = next) {
		next = LIST_NEXT(b, link);
		if (b->due_ms <= now) {
			LIST_REMOVE(b, link);
			LIST_INSERT_HEAD(&due, b, link);
		} else {
			wake_by(b->due_ms, now);
		}
	}
	while ((b = LIST_FIRST(&due))) { /* what is planned leaves the list */
		touched(b, now);
	}
}

size_t lb_count(void)
{
	return n_all;
}

struct balancer *lb_at(size_t i)
{
	return all[i];
}

void lb_touch(struct balancer *b)
{
	int64_t now = clock_system.now_ms(&clock_system);

	if (b->dirty) {
		return;
	}
	if (now - b->planned_ms >= CALM_MS) {
		touched(b, now);
		return;
	}
	b->dirty = true;
	b->due_ms = now + GATHER_MS;
	if (b->due_ms < b->calmed_ms + CALM_MS) {
		b->due_ms = b->calmed_ms + CALM_MS;
	}
	LIST_INSERT_HEAD(&soon, b, link);
	later = later ? later : loop_timer_new(plane.loop, on_later, NULL);
	wake_by(b->due_ms, now);
}

/* ---- coming and going ---- */

static struct balancer *make(struct resource *r)
{
	if (r->balancer) {
		return r->balancer;
	}
	struct balancer *b = calloc(1, sizeof(*b));
	if (n_all == cap_all) {
		cap_all = cap_all ? cap_all * 2 : 64;
		all = realloc(all, cap_all * sizeof(struct balancer *));
	}
	if (!b || !all) {
		abort();
	}
	b->r = r;
	r->balancer = b;
	all[n_all++] = b;
	return b;
}

int balancer_addresses(struct resource *r, const json_t *doc, struct err *e)
{
	return lb_front_take(make(r), doc, e);
}

void balancer_before(struct resource *r)
{
	if (r->balancer) {
		index_members(r->balancer, false);
		index_publics(r->balancer, false);
	}
}

void balancer_change(struct resource *r)
{
	struct balancer *b = make(r);

	index_members(b, true);
	index_publics(b, true);
	for (size_t i = b->n_joined; i-- > 0;) { /* pools that are no more */
		if (!lb_named(r->doc, LB_POOLS, b->joined[i].pool, NULL)) {
			free(b->joined[i].pool);
			b->joined[i] = b->joined[--b->n_joined];
		}
	}
	evaluate(b);
	if (b->vnet && subnet_any(b->vnet) && !fabric_sent(b->vnet)) {
		fabric_vnet(b->vnet); /* it is live by an internal frontend alone */
	}
}

void balancer_gone(struct resource *r)
{
	struct balancer *b = r->balancer;

	if (!b) {
		return;
	}
	index_members(b, false);
	index_publics(b, false);
	if (b->vnet) {
		fabric_drop(fabric_owner(number_of(r), b->vnet));
	}
	while (b->n_tables) {
		drop_table(b, b->n_tables - 1);
	}
	lb_targets_begin(b);
	lb_targets_end(b);
	for (size_t i = 0; i < n_all; i++) {
		if (all[i] == b) {
			all[i] = all[--n_all];
		}
	}
	unmark(b);
	lb_front_give(b);
	for (size_t i = 0; i < b->n_joined; i++) {
		free(b->joined[i].pool);
	}
	free(b->joined);
	free(b->tables);
	free(b);
	r->balancer = NULL;
}

/* ---- groups ---- */

static void join(struct balancer *b, const char *pool, const struct resource *g, bool there)
{
	for (size_t i = 0; i < b->n_joined; i++) {
		if (b->joined[i].group != g || strcmp(b->joined[i].pool, pool) != 0) {
			continue;
		}
		if (!there) {
			free(b->joined[i].pool);
			b->joined[i] = b->joined[--b->n_joined];
		}
		return;
	}
	if (!there) {
		return;
	}
	b->joined = realloc(b->joined, (b->n_joined + 1) * sizeof(*b->joined));
	if (!b->joined) {
		abort();
	}
	b->joined[b->n_joined++] = (struct lb_joined){ strdup(pool), g };
}

/* The load balancer of a pool's key, NULL: it is gone; *name gets the pool's name. Cuts the key. */
static struct balancer *of_pool(char *key, const char **name)
{
	char *end = strrchr(key, '/');

	*name = end + 1;
	*end = '\0';
	*strrchr(key, '/') = '\0';
	const struct resource *r = table_get(key);
	return r ? r->balancer : NULL;
}

/* Calls fn for each load balancer that names the group, or that its NGroup has it in. */
static void each_of(const struct resource *g, void (*fn)(struct balancer *b))
{
	uint32_t vnet = (uint32_t)json_integer_value(json_object_get(g->status, "vnet"));
	const struct where_entry *x = NULL;
	json_t *pool;
	size_t i;

	for (int f = 0; f < 2; f++) {
		struct ip ip = table_ip(g->status, f ? "ip6" : "ip4");

		for (x = NULL; ip.family && (x = where_next(&members, vnet, &ip, x));) {
			fn((struct balancer *)x->value);
		}
	}
	json_array_foreach(json_object_get(g->status, "pools"), i, pool)
	{
		AUTO_FREE char *key = strdup(json_string_value(pool));
		const char *name;
		struct balancer *b = of_pool(key, &name);

		if (b) {
			fn(b);
		}
	}
}

static void join_all(const struct resource *g, bool there)
{
	json_t *pool;
	size_t i;

	json_array_foreach(json_object_get(g->status, "pools"), i, pool)
	{
		AUTO_FREE char *key = strdup(json_string_value(pool));
		const char *name;
		struct balancer *b = of_pool(key, &name);

		if (b) {
			join(b, name, g, there);
		}
	}
}

void balancer_group(const struct resource *g, bool there)
{
	join_all(g, there);
	each_of(g, lb_touch);
	zone_health_turned();
}

/* Does the table cover the pool? Its key begins with their names. */
static bool covers(const struct lb_table *t, const char *pool)
{
	size_t n = strlen(pool);

	for (const char *p = t->key; p && *p != '|'; p = strpbrk(p, ",|")) {
		p += *p == ',';
		if (strncmp(p, pool, n) == 0 && (p[n] == ',' || p[n] == '|')) {
			return true;
		}
	}
	return false;
}

bool balancer_has(const struct resource *g)
{
	json_t *pool;
	size_t i;

	json_array_foreach(json_object_get(g->status, "pools"), i, pool)
	{
		AUTO_FREE char *key = strdup(json_string_value(pool));
		const char *name;
		const struct balancer *b = of_pool(key, &name);

		for (size_t k = 0; b && k < b->n_tables; k++) {
			const struct lb_table *t = &b->tables[k];
			struct ip ip = table_ip(g->status,
			                        t->key[strlen(t->key) - 1] == '6' ? "ip6" : "ip4");
			bool in = !ip.family || !covers(t, name);

			for (size_t m = 0; m < t->slots.n && !in; m++) {
				in = ip_compare(&t->slots.v[m].ip, &ip) == 0;
			}
			if (!in) {
				return false;
			}
		}
	}
	return true;
}

static bool leads;
static uint32_t leads_s;

static void look(struct balancer *b)
{
	json_t *pool;
	size_t i;

	evaluate(b); /* it takes no flows from now on */
	leads = true;
	json_array_foreach(lb_list(b->r->doc, LB_POOLS), i, pool)
	{
		json_int_t s =
			json_integer_value(model_at(pool, "properties.drainPeriodInSeconds"));

		leads_s = s > leads_s ? (uint32_t)s : leads_s;
	}
}

bool balancer_leads_to(const struct resource *g, uint32_t *drain_s)
{
	leads = false;
	leads_s = 0;
	each_of(g, look);
	*drain_s = leads_s;
	return leads;
}

void balancer_load(void)
{
	for (size_t i = 0; i < plane.n; i++) {
		if (balancer_is(plane.v[i])) {
			make(plane.v[i]);
		}
	}
	take_rows();
	for (size_t i = 0; i < plane.n; i++) {
		if (plane.v[i]->group && !plane.v[i]->deleting) {
			join_all(plane.v[i], true);
		}
	}
	for (size_t i = 0; i < n_all; i++) {
		lb_front_restore(all[i]);
		index_publics(all[i], true);
		evaluate(all[i]);
	}
}
