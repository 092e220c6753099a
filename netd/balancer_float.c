/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Floating frontends: their numbers in a VNet, which packets carry to groups' ports, and the groups that may
 * have the frontend's address. Both are kept with the row (status "floating": frontend -> number, address ->
 * group), since connections have the number for as long as they last, and one that has left a pool drains. See
 * balancer_live.h.
 */
#include <stdlib.h>
#include <string.h>

#include "lb/plan.h"
#include "lib/base/own.h"
#include "netd/balancer_live.h"

#define NUMBER_MAX (KOBJ_FLOAT_MASK >> KOBJ_FLOAT_SHIFT)

static json_t *all_of(const struct balancer *b)
{
	return json_object_get(b->r->status, "floating");
}

bool balancer_floats(uint32_t vnet)
{
	for (size_t i = 0; i < lb_count(); i++) {
		if (lb_at(i)->vnet == vnet && json_object_size(all_of(lb_at(i))) > 0) {
			return true;
		}
	}
	return false;
}

/* The lowest that no frontend in the VNet has; 0: there is none. */
static uint32_t free_number(uint32_t vnet)
{
	AUTO_FREE bool *taken = calloc(NUMBER_MAX + 1, sizeof(bool));
	const char *name;
	json_t *x;

	if (!taken) {
		abort();
	}
	for (size_t i = 0; i < lb_count(); i++) {
		json_object_foreach(lb_at(i)->vnet == vnet ? all_of(lb_at(i)) : NULL, name, x)
		{
			taken[json_integer_value(json_object_get(x, "number")) & NUMBER_MAX] = true;
		}
	}
	for (uint32_t n = 1; n <= NUMBER_MAX; n++) {
		if (!taken[n]) {
			return n;
		}
	}
	return 0;
}

/* The frontend's entry in the row, made when absent; NULL: no number is left. */
static json_t *entry_of(struct balancer *b, const json_t *front)
{
	AUTO_FREE char *name = table_key(model_str(front, "name"));
	json_t *all = all_of(b), *x = json_object_get(all, name);
	uint32_t number = x ? 0 : free_number(b->vnet);

	if (x || !number) {
		return x;
	}
	if (!all) {
		all = json_object();
		json_object_set_new(b->r->status, "floating", all);
	}
	x = json_pack("{s:i, s:{}}", "number", number, "at");
	json_object_set_new(all, name, x);
	b->unsaved = true;
	return x;
}

/* Who has the address now; 0: nobody. */
static json_int_t group_at(const struct balancer *b, const struct ip *ip)
{
	const struct resource *g = network_group_at(b->vnet, ip);

	return g ? json_integer_value(json_object_get(g->status, "serial")) : 0;
}

/* Members of now come in, others go when another group, or none, has their address. */
static void take_members(struct balancer *b, json_t *at, const struct lb_member *v, size_t n,
                         uint8_t family)
{
	char text[IP_TEXT];
	const char *name;
	json_t *x;
	void *next;

	json_object_foreach_safe(at, next, name, x)
	{
		struct err e = ERR_INIT;
		struct ip ip;

		if (ip_parse(name, &ip, &e) < 0 || group_at(b, &ip) != json_integer_value(x)) {
			json_object_del(at, name);
			b->unsaved = true;
		}
	}
	for (size_t i = 0; i < n; i++) {
		json_int_t serial = v[i].ip.family == family ? group_at(b, &v[i].ip) : 0;

		if (serial && !json_object_get(at, ip_format(&v[i].ip, text))) {
			json_object_set_new(at, text, json_integer(serial));
			b->unsaved = true;
		}
	}
}

void lb_plan_floating(struct balancer *b, const json_t *front, const struct lb_float *p,
                      const struct lb_member *v, size_t n, struct kset *to)
{
	json_t *x = b->vnet && p->front.family ? entry_of(b, front) : NULL, *at = NULL, *serial;
	struct lb_float q = *p;
	const char *name;

	if (!x) {
		return;
	}
	q.vnet_ns = b->vnet;
	q.number = (uint32_t)json_integer_value(json_object_get(x, "number"));
	lb_plan_float(&q, to);
	at = json_object_get(x, "at");
	take_members(b, at, v, n, p->front.family);
	json_object_foreach(at, name, serial)
	{
		struct err e = ERR_INIT;
		struct ip own;

		if (ip_parse(name, &own, &e) == 0) {
			lb_plan_float_at(&q, (uint32_t)json_integer_value(serial), &own, to);
		}
	}
}

static bool still_floats(const struct balancer *b, const char *name)
{
	static const char *const lists[] = { LB_RULES, LB_INBOUND };
	json_t *x;
	size_t i;

	for (size_t k = 0; k < 2; k++) {
		json_array_foreach(lb_list(b->r->doc, lists[k]), i, x)
		{
			const json_t *front =
				lb_ref(b->r->doc, b->r->id, LB_FRONTS,
			               model_str(x, "properties.frontendIPConfiguration.id"));
			AUTO_FREE char *low = table_key(model_str(front, "name"));

			if (json_is_true(model_at(x, "properties.enableFloatingIP")) &&
			    strcmp(low, name) == 0) {
				return true;
			}
		}
	}
	return false;
}

void lb_floating_forget(struct balancer *b)
{
	json_t *all = all_of(b), *x;
	const char *name;
	void *next;

	json_object_foreach_safe(all, next, name, x)
	{
		if (!still_floats(b, name)) {
			json_object_del(all, name);
			b->unsaved = true;
		}
	}
}
