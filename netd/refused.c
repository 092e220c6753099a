/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See refused.h.
 */
#include "netd/refused.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "netd/balancer.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/node.h"
#include "netd/plane.h"

static size_t refusing; /* nodes that refuse anything, and those whose engine is silent */

/* Of the namespace: a VNet's or a group's id, else what it is. */
static const char *name_of(const char *key)
{
	uint32_t ns = (uint32_t)strtoul(key, NULL, 10);
	const struct resource *r = table_numbered(ns);

	return r                       ? r->id
	       : ns >= KOBJ_NS_GIVEN   ? "a gateway's namespace"
	       : ns == KOBJ_NS_GATEWAY ? "the node's gateway"
	       : ns == KOBJ_NS_HOST    ? "the node"
	                               : "what was there";
}

/* Can the node have that namespace? It speaks for no other's. */
static bool may_have(const struct node *n, uint32_t ns)
{
	const struct resource *r = table_numbered(ns);

	if (r && r->group) {
		return group_node(r->group) == n;
	}
	return r ? home_has(ns, n) : ns < KOBJ_NS_FIRST || ns - KOBJ_NS_GIVEN < CONFIG_GATEWAYS_MAX;
}

static void keep(struct node *n, json_t *said)
{
	const char *key;
	json_t *x;

	json_object_foreach(said, key, x)
	{
		if (!json_object_get(n->refused, key)) {
			log_error("kernel.refuses", LOG_STR("node", n->name),
			          LOG_STR("resource", name_of(key)),
			          LOG_STR("error", json_string_value(x)));
		}
	}
	json_object_foreach(n->refused, key, x)
	{
		if (said && !json_object_get(said, key)) {
			log_info("kernel.takes", LOG_STR("node", n->name),
			         LOG_STR("resource", name_of(key)));
		}
	}
	refusing -= json_object_size(n->refused) > 0;
	refusing += json_object_size(said) > 0;
	json_decref(n->refused);
	n->refused = said;
}

void refused_said(struct node *n, struct reader *r)
{
	json_t *said = json_object();

	while (r->left && !r->failed) {
		char key[16], text[REFUSED_TEXT];
		uint32_t ns = get_u32(r);

		snprintf(key, sizeof(key), "%u", ns);
		get_str(r, text, sizeof(text));
		if (may_have(n, ns)) {
			json_object_set_new(said, key, json_string(text));
		}
	}
	if (reader_done(r)) {
		keep(n, said);
	} else {
		json_decref(said);
	}
}

void refused_gone(struct node *n)
{
	keep(n, NULL);
}

void refused_silent(enum role role, bool silent)
{
	if (role == ROLE_ENGINE) {
		refusing += silent ? 1 : (size_t)-1;
	}
}

static bool refused_vnet(uint32_t vnet)
{
	const struct node *n;
	char key[16];

	snprintf(key, sizeof(key), "%u", vnet);
	for (size_t i = 0; (n = node_at(i)); i++) {
		if (json_object_get(n->refused, key) ||
		    (node_silent(n, ROLE_ENGINE) && home_has(vnet, n))) {
			return true;
		}
	}
	return false;
}

bool refused_concerns(const struct resource *r)
{
	if (refusing == 0 || strncmp(r->type->name, "Microsoft.Network/", 18) != 0) {
		return false;
	}
	bool is_vnet = strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0;
	const struct resource *in = is_vnet ? r : balancer_is(r) ? balancer_vnet_of(r) : NULL;
	const char *property = vnet_property(r);
	uint32_t vnet;
	size_t i = 0;

	if (in) {
		return refused_vnet(
			(uint32_t)json_integer_value(json_object_get(in->status, "serial")));
	}
	while (property && (vnet = vnet_using(r, property, &i))) {
		if (refused_vnet(vnet)) {
			return true;
		}
	}
	return false;
}

json_t *refused_view(const struct node *n)
{
	json_t *list = json_array(), *x;
	const char *key;

	if (node_silent(n, ROLE_ENGINE)) {
		json_array_append_new(list, json_pack("{s:s, s:s}", "resource", "the node", "error",
		                                      "its engine does not answer"));
	}
	json_object_foreach(n->refused, key, x)
	{
		json_array_append_new(
			list, json_pack("{s:s, s:O}", "resource", name_of(key), "error", x));
	}
	return list;
}
