/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * publicIPPrefixes: a block of the pools, its addresses given to publicIPAddresses that name it; and
 * networkProfiles, the older way to name a group's subnet. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/plane.h"
#include "netd/routing.h"

#define PREFIX_TYPE  "Microsoft.Network/publicIPPrefixes"
#define PROFILE_TYPE "Microsoft.Network/networkProfiles"

int reference_absent(const char *id, const struct resource *from, const char *at, struct err *e)
{
	return err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
	                  "Resource %.300s referenced by %.100s was not found.", id, from->name);
}

struct resource *reference(const struct resource *from, const char *id, const char *type,
                           const char *at, struct err *e)
{
	AUTO_FREE char *key = table_key(id);
	struct resource *r = table_get(key);

	if (!r || strcasecmp(r->type->name, type) != 0 || tenant_of(r->id) != tenant_of(from->id)) {
		(void)reference_absent(id, from, at, e);
		return NULL; /* a foreign one is answered like one that is not there */
	}
	return r;
}

static bool block_of(const struct resource *r, struct ip_prefix *to)
{
	struct err e = ERR_INIT;
	const char *text = model_str(r->status, "ipPrefix");

	return *text && ip_prefix_parse(text, to, &e) == 0;
}

/* A resource of the subscription that names `r` at `path`, or has an address of it, and whose key does not begin with
 * `except` (NULL: any). */
static const struct resource *user_of(const struct resource *r, const char *path,
                                      const char *except)
{
	size_t skip = except ? strlen(except) : 0;
	const char *end = strchr(r->key + 15, '/');
	size_t n = (size_t)(end - r->key) + 1;
	AUTO_FREE char *prefix = strndup(r->key, n);

	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0; i++) {
		const struct resource *u = table_at(i);

		if ((strcasecmp(model_str(u->doc, path), r->id) == 0 ||
		     strcmp(model_str(u->status, "prefix"), r->key) == 0) &&
		    !(except && strncmp(u->key, except, skip) == 0)) {
			return u;
		}
	}
	return NULL;
}

int prefix_take(struct resource *r, struct err *e)
{
	json_int_t len = json_integer_value(model_at(r->doc, "properties.prefixLength"));
	bool v6 = model_is(r->doc, "properties.publicIPAddressVersion", "IPv6");
	const struct tenant *t = tenant_of(r->id);
	struct ip_prefix block;
	char text[IP_TEXT];

	if (len < (v6 ? 124 : 28) || len > (v6 ? 127 : 31)) {
		return err_set_at(e, ERR_INVALID, "InvalidPublicIpPrefixLength",
		                  "properties.prefixLength",
		                  "A public IP prefix is /28 to /31 (IPv6: /124 to /127), not /%d.",
		                  (int)len);
	}
	if (network_public_block(v6 ? 6 : 4, (uint8_t)len, t->number, &block, e) < 0) {
		return -1;
	}
	json_object_set_new(r->status, "ipPrefix", json_string(ip_prefix_format(&block, text)));
	return 0;
}

void prefix_restore(struct resource *r)
{
	struct ip_prefix block;

	json_object_del(r->status, "used"); /* those who use it say so themselves, next */
	if (block_of(r, &block)) {
		network_public_mark_block(&block, tenant_of(r->id)->number);
	}
}

void prefix_give(const struct resource *r)
{
	struct ip_prefix block;

	if (block_of(r, &block)) {
		struct ip ip = block.ip;

		for (uint64_t i = 0; i < ip_prefix_size(&block); i++) {
			network_public_free(&ip, tenant_of(r->id)->number);
			(void)ip_add(&ip, 1);
		}
	}
}

int prefix_address(struct resource *pip, struct ip *ret, struct err *e)
{
	static const char at[] = "properties.publicIPPrefix.id";

	return prefix_address_for(pip, model_str(pip->doc, at), at, ret, e);
}

int prefix_address_for(struct resource *pip, const char *prefix, const char *at, struct ip *ret,
                       struct err *e)
{
	struct resource *r = reference(pip, prefix, PREFIX_TYPE, at, e);
	struct ip_prefix block;
	char text[IP_TEXT];

	if (!r || !block_of(r, &block)) {
		return -1;
	}
	json_t *used = json_object_get(r->status, "used");
	if (!used) {
		used = json_object();
		json_object_set_new(r->status, "used", used);
	}
	*ret = block.ip;
	for (uint64_t i = 0; i < ip_prefix_size(&block); i++) {
		if (!json_object_get(used, ip_format(ret, text))) {
			json_object_set_new(used, text, json_string(pip->id));
			json_object_set_new(pip->status, "prefix", json_string(r->key));
			return 0;
		}
		(void)ip_add(ret, 1);
	}
	return err_set_at(e, ERR_INVALID, "PublicIpPrefixOutOfIpAddresses", at,
	                  "All addresses of the prefix %s are in use.",
	                  ip_prefix_format(&block, text));
}

/* What the user of a prefix has of it: a publicIPAddresses', or a group's. */
static const char *address_of(const struct resource *user)
{
	static const char *const keys[] = { "address", "pub4", "pub6" };
	const char *text = "";

	for (size_t i = 0; i < ARRAY_N(keys) && !*text; i++) {
		text = model_str(user->status, keys[i]);
	}
	return text;
}

void prefix_restore_user(const struct resource *pip)
{
	struct resource *r = table_get(model_str(pip->status, "prefix"));

	if (r) {
		json_t *used = json_object_get(r->status, "used");

		if (!used) {
			used = json_object();
			json_object_set_new(r->status, "used", used);
		}
		json_object_set_new(used, address_of(pip), json_string(pip->id));
	}
}

bool prefix_address_free(const struct resource *pip)
{
	struct resource *r = table_get(model_str(pip->status, "prefix"));

	if (r) {
		json_object_del(json_object_get(r->status, "used"), address_of(pip));
	}
	return r != NULL;
}

const struct resource *prefix_user(const struct resource *r, const char *except)
{
	static const struct {
		const char *type, *path;
	} users[] = { { PREFIX_TYPE, "properties.publicIPPrefix.id" },
		      { PROFILE_TYPE, "properties.networkProfile.id" } };

	for (size_t i = 0; i < ARRAY_N(users); i++) {
		if (strcasecmp(r->type->name, users[i].type) == 0) {
			return user_of(r, users[i].path, except);
		}
	}
	return NULL;
}

int prefix_unused(const struct resource *r, struct err *e)
{
	const struct resource *user = prefix_user(r, NULL);

	if (!user) {
		return 0;
	}
	if (strcasecmp(r->type->name, PREFIX_TYPE) == 0) {
		return err_set_at(e, ERR_INVALID, "InUsePublicIpPrefixCannotBeDeleted", "",
		                  "Public IP prefix %s can not be deleted since it is still "
		                  "allocated to %s.",
		                  r->name, user->id);
	}
	return err_set_at(e, ERR_INVALID, "NetworkProfileAlreadyInUseWithContainerNics", "",
	                  "Network profile %s is already in use with container nics of %s; "
	                  "cannot update or delete.",
	                  r->name, user->id);
}

int reference_unused(const struct resource *r, struct err *e)
{
	static const struct {
		const char *type, *path, *code;
	} uses[] = {
		{ "/networkSecurityGroups", "properties.networkSecurityGroup",
		  "InUseNetworkSecurityGroupCannotBeDeleted" },
		{ "/routeTables", "properties.routeTable", "InUseRouteTableCannotBeDeleted" },
		{ "/natGateways", "properties.natGateway", "InUseNatGatewayCannotBeDeleted" },
	};
	const struct resource *nat = NULL;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_N(uses) && rc == 0; i++) {
		if (!strstr(r->type->name, uses[i].type)) {
			continue;
		}
		json_t *subnets = vnet_subnets_with(r, uses[i].path);
		if (json_array_size(subnets) > 0) {
			rc = err_set_at(e, ERR_INVALID, uses[i].code, "",
			                "%s cannot be deleted because it is in use by %.300s.",
			                r->name, model_str(json_array_get(subnets, 0), "id"));
		}
		json_decref(subnets);
	}
	if (strstr(r->type->name, "/publicIP")) {
		nat = routing_nat_of(r);
		nat = nat ? nat : balancer_of(r);
	}
	if (nat) {
		rc = err_set_at(e, ERR_INVALID,
		                strstr(r->type->name, "Prefixes")
		                        ? "InUsePublicIpPrefixCannotBeDeleted"
		                        : "PublicIPAddressCannotBeDeleted",
		                "", "%s can not be deleted since it is still allocated to %.300s.",
		                r->name, nat->id);
	}
	return rc;
}

const char *profile_subnet(const struct resource *group, struct err *e)
{
	static const char at[] = "properties.networkProfile.id";
	struct resource *r = reference(group, model_str(group->doc, at), PROFILE_TYPE, at, e);
	const json_t *x =
		r ? json_array_get(model_at(r->doc, "properties."
	                                            "containerNetworkInterfaceConfigurations"),
	                           0)
		  : NULL;

	x = json_array_get(model_at(x, "properties.ipConfigurations"), 0);
	if (r && !*model_str(x, "properties.subnet.id")) {
		err_set_at(e, ERR_INVALID, "InvalidResourceReference", at,
		           "Network profile %s names no subnet.", r->name);
	}
	return r && *model_str(x, "properties.subnet.id") ? model_str(x, "properties.subnet.id")
	                                                  : NULL;
}
