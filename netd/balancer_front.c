/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses of internal frontends: taken from their subnets, which stay live meanwhile. See balancer_live.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/balancer_live.h"

/* ---- internal frontends' addresses ---- */

/* "VNET/subnets/NAME" of the id: the VNet, and where the subnet's name begins in `key`. */
static struct resource *split(char *key, char **subnet)
{
	char *cut = strstr(key, "/subnets/");

	if (!cut) {
		return NULL;
	}
	*cut = '\0';
	*subnet = cut + 9;
	return table_get(key);
}

static uint32_t number_of(const struct balancer *b)
{
	return table_number(b->r);
}

/* The subnet stays live while some internal frontend is in it, `except`'s (a number; 0: none's) left out. */
static void let_go(struct resource *v, const char *subnet, uint32_t except)
{
	for (size_t i = 0; i < lb_count(); i++) {
		const struct balancer *b = lb_at(i);
		json_t *fronts = json_object_get(b->r->status, "fronts"), *x;
		const char *name;

		json_object_foreach(fronts, name, x)
		{
			AUTO_FREE char *key = strdup(model_str(x, "subnet"));
			char *other = NULL;

			if (number_of(b) != except && split(key, &other) == v &&
			    strcmp(other, subnet) == 0) {
				return;
			}
		}
	}
	vnet_hold(v, subnet, false);
}

static void give(struct balancer *b, const json_t *held)
{
	AUTO_FREE char *key = strdup(model_str(held, "subnet"));
	struct ip ip = table_ip(held, "ip");
	char *subnet = NULL;
	struct resource *v = split(key, &subnet);

	if (v && ip.family) {
		vnet_address_give(v, subnet, &ip);
		let_go(v, subnet, number_of(b));
	}
}

/* Takes an address for a frontend, unless the one it has is right. */
static int front_address(struct balancer *b, const json_t *front, size_t i, json_t *now,
                         struct err *e)
{
	AUTO_FREE char *name = table_key(model_str(front, "name")),
		       *key = table_key(model_str(front, "properties.subnet.id")),
		       *whole = strdup(key);
	const json_t *had = json_object_get(json_object_get(b->r->status, "fronts"), name);
	struct ip want = { 0 }, has = table_ip(had, "ip"), got;
	char *subnet = NULL, text[IP_TEXT];
	uint8_t family = lb_front_family(front);

	if (model_is(front, "properties.privateIPAllocationMethod", "Static")) {
		want = table_ip(front, "properties.privateIPAddress");
	}
	if (had && strcmp(model_str(had, "subnet"), whole) == 0 && has.family == family &&
	    (!want.family || ip_compare(&want, &has) == 0)) {
		json_object_set(now, name, (json_t *)(uintptr_t)had);
		return 0;
	}
	struct resource *v = split(key, &subnet);
	vnet_hold(v, subnet, true);
	if (vnet_address_take(v, subnet, &want, family, &got, e) < 0) {
		let_go(v, subnet, 0);
		e->kind = ERR_INVALID;
		e->code = "PrivateIPAddressIsAllocated";
		snprintf(e->target, sizeof(e->target),
		         "properties.frontendIPConfigurations[%zu].properties.privateIPAddress", i);
		return -1;
	}
	json_object_set_new(now, name,
	                    json_pack("{s:s, s:s}", "ip", ip_format(&got, text), "subnet", whole));
	return 0;
}

static bool kept(const json_t *now, const json_t *had)
{
	const char *name;
	json_t *x;

	json_object_foreach((json_t *)(uintptr_t)now, name, x)
	{
		if (x == had) {
			return true;
		}
	}
	return false;
}

int lb_front_take(struct balancer *b, const json_t *doc, struct err *e)
{
	json_t *was = json_object_get(b->r->status, "fronts"), *x;
	json_auto_t *now = json_object();
	const char *name;
	size_t i;
	int rc = 0;

	json_array_foreach(lb_list(doc, LB_FRONTS), i, x)
	{
		if (rc == 0 && *model_str(x, "properties.subnet.id")) {
			rc = front_address(b, x, i, now, e);
		}
	}
	json_t *drop = rc == 0 ? was : now; /* what is not kept; or, refused, what was taken */
	json_object_foreach(drop, name, x)
	{
		if (!kept(rc == 0 ? now : was, x)) {
			give(b, x);
		}
	}
	if (rc == 0) {
		json_object_set(b->r->status, "fronts", now);
	}
	return rc;
}

void lb_front_give(struct balancer *b)
{
	const char *name;
	json_t *x;

	json_object_foreach(json_object_get(b->r->status, "fronts"), name, x)
	{
		give(b, x);
	}
}

void lb_front_restore(struct balancer *b)
{
	const char *name;
	json_t *x;

	json_object_foreach(json_object_get(b->r->status, "fronts"), name, x)
	{
		AUTO_FREE char *key = strdup(model_str(x, "subnet"));
		struct ip ip = table_ip(x, "ip"), got;
		struct err e = ERR_INIT;
		char *subnet = NULL;
		struct resource *v = split(key, &subnet);

		if (v) {
			vnet_hold(v, subnet, true);
			(void)!vnet_address_take(v, subnet, &ip, ip.family, &got, &e);
		}
	}
}
