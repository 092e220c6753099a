/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How members of a load balancer leave: by which frontend, and by which of its ports. An outbound rule with
 * allocatedOutboundPorts gives each member a block of its own, which it keeps while it is a member
 * (status "outbound": rule -> address -> block). See balancer_live.h.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lb/plan.h"
#include "lib/base/own.h"
#include "netd/balancer_live.h"

#define FIRST_PORT 1024u
#define LAST_PORT  65535u

/* Ports that a member may take, of those of several frontends. */
struct out {
	struct ip fronts[LB_OUT_FRONTS_MAX];
	size_t n_fronts;
	uint32_t ports; /* in a block; 0: all ports are everybody's */
	json_t *blocks; /* address -> block; of rules with blocks */
	bool *taken;
	size_t n_blocks; /* of all frontends */
	bool proto[3];   /* TCP, UDP, those without ports */
};

static void add_front(const struct balancer *b, const json_t *front, uint8_t family, struct out *o)
{
	bool inner;
	struct ip ip = lb_front_address(b->r, front, &inner);

	if (!inner && ip.family == family && o->n_fronts < LB_OUT_FRONTS_MAX) {
		o->fronts[o->n_fronts++] = ip;
	}
}

/* By the rule's protocol: all of them with All. */
static void set_protocols(const json_t *rule, struct out *o)
{
	bool tcp = model_is(rule, "properties.protocol", "Tcp"),
	     udp = model_is(rule, "properties.protocol", "Udp");

	o->proto[0] = !udp;
	o->proto[1] = !tcp;
	o->proto[2] = !tcp && !udp;
}

static size_t members_of(const struct balancer *b, const json_t *pool, uint8_t family,
                         struct lb_member *v)
{
	size_t n = pool ? lb_members(b->r, pool, v, LB_MEMBERS_MAX) : 0, m = 0;

	for (size_t i = 0; i < n; i++) {
		if (v[i].ip.family == family && v[i].group) {
			v[m++] = v[i];
		}
	}
	return m;
}

/* Blocks of members that are gone are free. */
static void keep_blocks(struct out *o, const struct lb_member *v, size_t n)
{
	json_auto_t *kept = json_object();

	for (size_t i = 0; i < n; i++) {
		char text[IP_TEXT];
		const json_t *x = json_object_get(o->blocks, ip_format(&v[i].ip, text));
		size_t block = (size_t)json_integer_value(x);

		if (x && block < o->n_blocks && !o->taken[block]) {
			o->taken[block] = true;
			json_object_set_new(kept, text, json_integer((json_int_t)block));
		}
	}
	json_object_clear(o->blocks);
	json_object_update(o->blocks, kept);
}

/* Its block, or the first that is free; more members than blocks share the first ones again. */
static size_t block_of(struct out *o, const struct ip *ip, size_t i)
{
	char text[IP_TEXT];
	const json_t *x = json_object_get(o->blocks, ip_format(ip, text));
	size_t block = 0;

	if (x) {
		return (size_t)json_integer_value(x);
	}
	while (block < o->n_blocks && o->taken[block]) {
		block++;
	}
	if (block == o->n_blocks) {
		return i % o->n_blocks;
	}
	o->taken[block] = true;
	json_object_set_new(o->blocks, text, json_integer((json_int_t)block));
	return block;
}

static void plan(const struct balancer *b, struct out *o, const struct lb_member *v, size_t n,
                 struct kset *to)
{
	size_t each = o->ports ? LB_OUT_PORTS / o->ports : 1; /* blocks of one frontend */

	for (size_t i = 0; i < n && o->n_fronts; i++) {
		size_t block = o->ports ? block_of(o, &v[i].ip, i) : 0;
		uint32_t first = FIRST_PORT + (uint32_t)(block % each) * o->ports;

		struct lb_out p = {
			.vnet_ns = b->vnet,
			.backend = v[i].ip,
			.front = o->fronts[block / each],
			.first = (uint16_t)first,
			.last = (uint16_t)(o->ports ? first + o->ports - 1 : LAST_PORT),
		};
		for (int k = 0; k < 3; k++) {
			static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, 0 };

			p.proto = protos[k];
			if (o->proto[k]) {
				lb_plan_out(&p, to);
			}
		}
	}
}

/* The rule's blocks as they were given, in the row; made when absent. */
static json_t *blocks_of(struct balancer *b, const char *rule, uint8_t family)
{
	json_t *all = json_object_get(b->r->status, "outbound"), *x;
	AUTO_BUF struct buf name = { 0 };

	buf_addf(&name, "%s/%u", rule, family);
	if (!all) {
		all = json_object();
		json_object_set_new(b->r->status, "outbound", all);
	}
	x = json_object_get(all, buf_str(&name));
	if (!x) {
		x = json_object();
		json_object_set_new(all, buf_str(&name), x);
	}
	return x;
}

static void plan_rule(struct balancer *b, const json_t *rule, uint8_t family, struct kset *to)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const json_t *doc = b->r->doc;
	struct out o = { .ports = (uint32_t)json_integer_value(
				 model_at(rule, "properties.allocatedOutboundPorts")) };
	json_t *x;
	size_t i;

	set_protocols(rule, &o);
	json_array_foreach(model_at(rule, "properties.frontendIPConfigurations"), i, x)
	{
		add_front(b, lb_ref(doc, b->r->id, LB_FRONTS, model_str(x, "id")), family, &o);
	}
	size_t n = members_of(b,
	                      lb_ref(doc, b->r->id, LB_POOLS,
	                             model_str(rule, "properties.backendAddressPool.id")),
	                      family, v);
	if (!o.ports || !o.n_fronts) {
		plan(b, &o, v, n, to);
		return;
	}
	o.n_blocks = o.n_fronts * (LB_OUT_PORTS / o.ports);
	o.taken = calloc(o.n_blocks, sizeof(bool));
	o.blocks = blocks_of(b, model_str(rule, "name"), family);
	if (!o.taken) {
		abort();
	}
	json_auto_t *was = json_deep_copy(o.blocks);
	keep_blocks(&o, v, n);
	plan(b, &o, v, n, to);
	free(o.taken);
	if (!json_equal(was, o.blocks)) {
		b->unsaved = true;
	}
}

/* Load-balancing rules whose members leave by them. */
static void plan_rules(struct balancer *b, struct kset *to)
{
	static struct lb_member v[LB_MEMBERS_MAX];
	const json_t *doc = b->r->doc;
	json_t *x, *pool;
	size_t i;

	json_array_foreach(lb_list(doc, LB_RULES), i, x)
	{
		const json_t *front = lb_ref(doc, b->r->id, LB_FRONTS,
		                             model_str(x, "properties.frontendIPConfiguration.id"));

		for (size_t k = 0; !json_is_true(model_at(x, "properties.disableOutboundSnat")) &&
		                   (pool = lb_rule_pool(doc, b->r->id, x, k));
		     k++) {
			for (uint8_t family = 4; family <= 6; family += 2) {
				struct out o = { .proto = { true, true, true } };

				add_front(b, front, family, &o);
				plan(b, &o, v, members_of(b, pool, family, v), to);
			}
		}
	}
}

/* Blocks of rules that are gone go from the row. */
static void forget_rules(struct balancer *b)
{
	json_t *all = json_object_get(b->r->status, "outbound"), *x;
	const char *name;
	void *next;

	json_object_foreach_safe(all, next, name, x)
	{
		AUTO_FREE char *rule = strndup(name, strcspn(name, "/"));

		if (!lb_named(b->r->doc, LB_OUTBOUND, rule, NULL)) {
			json_object_del(all, name);
			b->unsaved = true;
		}
	}
}

void lb_plan_outbound(struct balancer *b, struct kset *to)
{
	struct kset some = { 0 };
	json_t *x;
	size_t i;

	forget_rules(b);

	json_array_foreach(lb_list(b->r->doc, LB_OUTBOUND), i, x)
	{
		plan_rule(b, x, 4, &some);
		plan_rule(b, x, 6, &some);
	}
	plan_rules(b, &some);
	kset_sort(&some);
	for (size_t k = 0; k < some.n; k++) { /* the first that names it counts, one a backend */
		if (k == 0 || kobj_compare(&some.v[k], &some.v[k - 1]) != 0) {
			kset_add(to, &some.v[k]);
		}
	}
	kset_fini(&some);
}
