/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a load balancer wants of the kernel now: who has a share of each rule's flows, and the plan of rules,
 * inbound NAT and outbound addresses. See balancer_live.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb/plan.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/balancer_live.h"
#include "netd/drain.h"
#include "netd/home.h"
#include "netd/zone.h"
#include "vnet/plan.h"

/* ---- who has a share ---- */

static int by_address(const void *a, const void *b)
{
	return ip_compare(&((const struct slots_member *)a)->ip,
	                  &((const struct slots_member *)b)->ip);
}

static bool takes(struct balancer *b, const struct lb_table *t, const json_t *probe,
                  const struct lb_member *m)
{
	if (!lb_ready(m) || m->admin == LB_ADMIN_DOWN) {
		return false;
	}
	if (!probe) {
		return true;
	}
	/* One that was in before this control began is not put out by asking anew. */
	bool was_in = false;
	for (size_t i = 0; !b->settled && i < t->slots.n && !was_in; i++) {
		was_in = ip_compare(&t->slots.v[i].ip, &m->ip) == 0;
	}
	enum lb_health h = lb_target(b, probe, &m->ip, was_in);
	return m->admin == LB_ADMIN_UP || h == LB_UP;
}

/* Those that take flows, sorted, no address twice; all that could when no probe finds one healthy and the
 * probe says that they stay. */
static size_t shares(struct balancer *b, const struct lb_table *t, const json_t *rule,
                     uint8_t family, struct slots_member *to)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const char *id = b->r->id;
	const json_t *probe =
		lb_ref(b->r->doc, id, LB_PROBES, model_str(rule, "properties.probe.id"));
	size_t n = 0, m = 0, out = 0;
	json_t *pool;

	for (size_t i = 0; (pool = lb_rule_pool(b->r->doc, id, rule, i)); i++) {
		m += lb_members(b->r, pool, v + m, LB_MEMBERS_MAX - m);
	}
	for (size_t i = 0; i < m; i++) {
		if (v[i].ip.family == family && takes(b, t, probe, &v[i])) {
			to[n++] = (struct slots_member){ v[i].ip, v[i].weight };
		}
	}
	bool keep = model_is(probe, "properties.noHealthyBackendsBehavior", "AllProbedUp");
	for (size_t i = 0; n == 0 && keep && i < m; i++) {
		if (v[i].ip.family == family && lb_ready(&v[i]) && v[i].admin == LB_ADMIN_NONE) {
			to[out++] = (struct slots_member){ v[i].ip, v[i].weight };
		}
	}
	n = n ? n : out;
	if (n > 1) {
		qsort(to, n, sizeof(*to), by_address);
	}
	for (size_t i = out = 0; i < n; i++) {
		if (i == 0 || ip_compare(&to[i].ip, &to[i - 1].ip) != 0) {
			to[out++] = to[i];
		}
	}
	return out;
}

static bool same_members(const struct slots *s, const struct slots_member *v, size_t n)
{
	for (size_t i = 0; i < n && s->n == n; i++) {
		if (ip_compare(&s->v[i].ip, &v[i].ip) != 0 || s->v[i].weight != v[i].weight) {
			return false;
		}
	}
	return s->n == n;
}

static void note_left(struct lb_table *t, const struct slots *next)
{
	free(t->left);
	t->n_left = 0;
	t->left = calloc(t->slots.n + 1, sizeof(*t->left));
	for (size_t i = 0; t->left && i < t->slots.n; i++) {
		bool stays = false;

		for (size_t k = 0; k < next->n && !stays; k++) {
			stays = ip_compare(&next->v[k].ip, &t->slots.v[i].ip) == 0;
		}
		if (!stays) {
			t->left[t->n_left++] = t->slots.v[i].ip;
		}
	}
}

/* A member that takes no more flows of the rule: one that is out of its pools drains, one that is only
 * unwell or closed keeps its TCP connections, and loses its UDP flows. One that is being deleted drains
 * with its group. */
static void see_off(struct balancer *b, const json_t *rule, const struct lb_port *p,
                    const struct ip *ip)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const struct resource *g = network_group_at(b->vnet, ip);
	struct drain d = { .vnet = b->vnet,
		           .backend = *ip,
		           .front = p->front,
		           .proto = p->proto,
		           .port = p->port };
	uint32_t seconds = 0;
	bool in = false;
	json_t *pool;

	for (size_t i = 0; (pool = lb_rule_pool(b->r->doc, b->r->id, rule, i)); i++) {
		size_t n = lb_members(b->r, pool, v, LB_MEMBERS_MAX);
		json_int_t s =
			json_integer_value(model_at(pool, "properties.drainPeriodInSeconds"));

		for (size_t k = 0; k < n && !in; k++) {
			in = ip_compare(&v[k].ip, ip) == 0;
		}
		seconds = s > seconds ? (uint32_t)s : seconds;
	}
	if (!g) {
		return;
	}
	if (in) {
		drain_forget(&d);
	} else {
		json_int_t grace = json_integer_value(json_object_get(g->status, "grace"));

		drain_begin(&d,
		            seconds     ? seconds
		            : grace > 0 ? (uint32_t)grace
		                        : LB_DRAIN_S,
		            NULL, NULL);
	}
}

/* Name of the table that the rule's flows go by; malloc'ed. */
static char *table_name(const struct resource *r, const json_t *rule, uint8_t family)
{
	const char *probe = strrchr(model_str(rule, "properties.probe.id"), '/');
	AUTO_BUF struct buf name = { 0 };
	json_t *pool;

	for (size_t i = 0; (pool = lb_rule_pool(r->doc, r->id, rule, i)); i++) {
		buf_addf(&name, "%s%s", i ? "," : "", model_str(pool, "name"));
	}
	buf_addf(&name, "|%s|%u", probe ? probe + 1 : "", family);
	return table_key(buf_str(&name));
}

/* NULL: none is made yet. */
static const struct slots *slots_of(const struct resource *r, const json_t *rule, uint8_t family)
{
	const struct balancer *b = r->balancer;
	AUTO_FREE char *key = table_name(r, rule, family);

	for (size_t i = 0; b && i < b->n_tables; i++) {
		if (strcmp(b->tables[i].key, key) == 0) {
			return &b->tables[i].slots;
		}
	}
	return NULL;
}

double lb_share(const struct resource *r, const json_t *rule, const struct ip *ip)
{
	const struct slots *s = slots_of(r, rule, ip->family);
	size_t has = 0;

	for (uint32_t k = 0; s && s->n && k < kobj_sizes[s->size]; k++) {
		has += ip_compare(&s->v[s->slot[k]].ip, ip) == 0;
	}
	return has ? (double)has / kobj_sizes[s->size] : 0;
}

size_t lb_backends(const struct resource *r, const json_t *rule, uint8_t family)
{
	const struct slots *s = slots_of(r, rule, family);

	return s ? s->n : 0;
}

/* Of one node, conntrack there knows them all. */
static bool may_have_flows(void *arg, const struct ip *ip)
{
	const struct balancer *b = arg;

	return b->vnet && home_branch(b->vnet, 0) && network_node_at(b->vnet, ip);
}

/* Rules with the same pools and probe share a table. */
static struct lb_table *table_for(struct balancer *b, const json_t *rule, uint8_t family)
{
	static struct slots_member v[LB_MEMBERS_MAX];
	struct slots next;
	AUTO_FREE char *key = table_name(b->r, rule, family);
	struct lb_table *t = lb_table_make(b, key);
	if (t->used) {
		return t;
	}
	t->used = true;
	size_t n = shares(b, t, rule, family, v);
	if (!same_members(&t->slots, v, n)) {
		if (slots_next(&t->slots, v, n, &next) < 0) {
			abort();
		}
		slots_forget(&next, may_have_flows, b);
		log_info("lb.members", LOG_STR("id", b->r->id), LOG_STR("table", key),
		         LOG_NUM("members", n), LOG_NUM("moved", slots_moved(&t->slots, &next)));
		note_left(t, &next);
		t->changed = true;
		slots_fini(&t->slots);
		t->slots = next;
		lb_table_save(b, t);
		b->turned = true;
		zone_health_turned();
	}
	return t;
}

/* ---- plans ---- */

static enum kobj_hash hash_of(const json_t *rule)
{
	return model_is(rule, "properties.loadDistribution", "SourceIP") ? KOBJ_HASH_SOURCE
	       : model_is(rule, "properties.loadDistribution", "SourceIPProtocol")
	               ? KOBJ_HASH_SOURCE_PROTO
	               : KOBJ_HASH_FLOW;
}

static json_int_t number_at(const json_t *x, const char *path)
{
	return json_integer_value(model_at(x, path));
}

static const json_t *front_of(const struct balancer *b, const json_t *x)
{
	return lb_ref(b->r->doc, b->r->id, LB_FRONTS,
	              model_str(x, "properties.frontendIPConfiguration.id"));
}

static void plan_floating(struct balancer *b, const json_t *rule, const struct lb_port *p,
                          struct kset *to)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const struct lb_float f = { .front = p->front, .proto = p->proto, .port = p->port };
	size_t n = 0;
	json_t *pool;

	for (size_t i = 0; (pool = lb_rule_pool(b->r->doc, b->r->id, rule, i)); i++) {
		n += lb_members(b->r, pool, v + n, LB_MEMBERS_MAX - n);
	}
	lb_plan_floating(b, front_of(b, rule), &f, v, n, to);
}

static uint32_t node_number(const struct balancer *b, const struct ip *ip)
{
	const struct node *n = network_node_at(b->vnet, ip);

	return n ? n->number : 0;
}

/* Where its backends are, and those were that its slots led to; malloc'ed. NULL: all in one place. */
static uint32_t *nodes_of(const struct balancer *b, const struct slots *s)
{
	const struct node *home = home_of(b->vnet);

	if (!b->vnet || !home || !home_branch(b->vnet, 0)) {
		return NULL;
	}
	uint32_t *nodes = calloc(s->n + s->n_known + 1, sizeof(*nodes));
	if (!nodes) {
		abort();
	}
	for (size_t i = 0; i < s->n; i++) {
		nodes[i] = node_number(b, &s->v[i].ip);
	}
	for (size_t i = 0; i < s->n_known; i++) {
		nodes[s->n + i] = node_number(b, &s->known[i]);
	}
	return nodes;
}

static void plan_rule(struct balancer *b, const json_t *rule, struct kset *to)
{
	const json_t *front = front_of(b, rule);
	struct lb_port p = { .vnet_ns = b->vnet };

	p.front = lb_front_address(b->r, front, &p.inner);
	const struct lb_table *t = table_for(b, rule, lb_front_family(front));
	if (!p.front.family) {
		return;
	}
	p.proto = model_is(rule, "properties.protocol", "Tcp")   ? 6
	          : model_is(rule, "properties.protocol", "Udp") ? 17
	                                                         : 0;
	p.port = (uint16_t)number_at(rule, "properties.frontendPort");
	p.to_port = (uint16_t)number_at(rule, "properties.backendPort");
	p.hash = hash_of(rule);
	p.idle_min = (uint32_t)number_at(rule, "properties.idleTimeoutInMinutes");
	p.reset = json_is_true(model_at(rule, "properties.enableTcpReset"));
	p.slots = &t->slots;
	AUTO_FREE uint32_t *nodes = p.inner ? NULL : nodes_of(b, p.slots);
	p.nodes = nodes;
	p.home = nodes ? home_of(b->vnet)->number : 0;
	lb_plan_port(&p, to);
	if (json_is_true(model_at(rule, "properties.enableFloatingIP"))) {
		plan_floating(b, rule, &p, to);
	}
	if (b->vnet && !p.inner && p.proto == 6) {
		lb_outside(b, rule, &p.front, p.port);
	}
	for (size_t i = 0; b->vnet && i < t->n_left; i++) {
		see_off(b, rule, &p, &t->left[i]);
	}
	for (size_t i = 0; b->vnet && t->changed && i < t->slots.n; i++) {
		drain_return(&(struct drain){ .vnet = b->vnet,
		                              .backend = t->slots.v[i].ip,
		                              .front = p.front,
		                              .proto = p.proto,
		                              .port = p.port });
	}
}

uint16_t lb_range_port(const struct resource *r, const char *rule, const struct ip *ip)
{
	AUTO_FREE char *name = table_key(rule);
	char text[IP_TEXT];

	return (uint16_t)json_integer_value(json_object_get(
		json_object_get(json_object_get(r->status, "ranges"), name), ip_format(ip, text)));
}

/* Each member has a port of the range for as long as it is one; the lowest free one when it comes. */
static json_t *assign(struct balancer *b, const json_t *rule, const struct lb_member *v, size_t n,
                      uint8_t family)
{
	AUTO_FREE char *name = table_key(model_str(rule, "name"));
	json_int_t low = number_at(rule, "properties.frontendPortRangeStart"),
		   high = number_at(rule, "properties.frontendPortRangeEnd"), port = low;
	json_t *ranges = json_object_get(b->r->status, "ranges"), *now = json_object(), *had;
	json_auto_t *used = json_object();
	char text[IP_TEXT], digits[24];

	had = ranges ? json_object_get(ranges, name) : NULL;
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < n; i++) {
			json_int_t old =
				json_integer_value(json_object_get(had, ip_format(&v[i].ip, text)));

			if (v[i].ip.family != family || json_object_get(now, text)) {
				continue;
			}
			bool keeps = old >= low && old <= high;
			if (turn == 0 && !keeps) {
				continue;
			}
			while (turn == 1 && port <= high) {
				snprintf(digits, sizeof(digits), "%lld", (long long)port);
				if (!json_object_get(used, digits)) {
					break;
				}
				port++;
			}
			old = turn == 1 ? port : old;
			if (old <= high) {
				snprintf(digits, sizeof(digits), "%lld", (long long)old);
				json_object_set_new(used, digits, json_true());
				json_object_set_new(now, text, json_integer(old));
			}
		}
	}
	if (!json_equal(had, now)) {
		if (!ranges) {
			ranges = json_object();
			json_object_set_new(b->r->status, "ranges", ranges);
		}
		json_object_set(ranges, name, now);
		b->unsaved = true;
	}
	return now;
}

static void plan_nat_floating(struct balancer *b, const json_t *rule, const json_t *front,
                              const struct lb_nat *p, const struct lb_member *m, struct kset *to)
{
	const struct lb_float f = { .front = p->front, .proto = p->proto, .port = p->port };

	if (json_is_true(model_at(rule, "properties.enableFloatingIP")) && p->port == p->to_port) {
		lb_plan_floating(b, front, &f, m, 1, to);
	}
}

static void plan_nat(struct balancer *b, const json_t *rule, struct kset *to)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const json_t *front = front_of(b, rule);
	struct lb_nat p = { .vnet_ns = b->vnet,
		            .to_port = (uint16_t)number_at(rule, "properties.backendPort"),
		            .port = (uint16_t)number_at(rule, "properties.frontendPort"),
		            .to = table_ip(rule, "properties.backendIPAddress") };
	uint8_t family = lb_front_family(front);
	json_auto_t *ports = NULL;
	json_t *pool = lb_ref(b->r->doc, b->r->id, LB_POOLS,
	                      model_str(rule, "properties.backendAddressPool.id"));
	size_t n = pool ? lb_members(b->r, pool, v, LB_MEMBERS_MAX) : 0;
	char text[IP_TEXT];

	p.front = lb_front_address(b->r, front, &p.inner);
	if (pool) {
		ports = assign(b, rule, v, n, family);
	} else {
		v[0] = (struct lb_member){ .ip = p.to };
		n = p.to.family ? 1 : 0;
	}
	for (size_t i = 0; p.front.family && i < n; i++) {
		if (pool) {
			p.port = (uint16_t)json_integer_value(
				json_object_get(ports, ip_format(&v[i].ip, text)));
		}
		p.to = v[i].ip;
		for (p.proto = 6; p.proto <= 17 && p.to.family == family && p.port; p.proto += 11) {
			if (!model_is(rule, "properties.protocol", p.proto == 6 ? "Udp" : "Tcp")) {
				lb_plan_nat(&p, to);
				plan_nat_floating(b, rule, front, &p, &v[i], to);
			}
		}
	}
}

void lb_plan(struct balancer *b, struct kset *to)
{
	const json_t *doc = b->r->doc;
	json_t *x;
	size_t i;
	bool inner;

	json_array_foreach(lb_list(doc, LB_FRONTS), i, x)
	{
		struct ip ip = lb_front_address(b->r, x, &inner);

		if (inner || !ip.family || !b->vnet) {
			continue;
		}
		vnet_plan_public(b->vnet, &ip, to);
		if (home_branch(b->vnet, 0)) {
			lb_plan_spread(b->vnet, &ip, to);
		}
	}
	json_array_foreach(lb_list(doc, LB_RULES), i, x)
	{
		plan_rule(b, x, to);
	}
	json_array_foreach(lb_list(doc, LB_INBOUND), i, x)
	{
		plan_nat(b, x, to);
	}
	lb_plan_outbound(b, to);
	lb_floating_forget(b);
	for (i = 0; i < b->n_tables; i++) {
		free(b->tables[i].left);
		b->tables[i].left = NULL;
		b->tables[i].n_left = 0;
		b->tables[i].changed = false;
	}
}
