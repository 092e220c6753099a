/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See part.h.
 */
#include "netd/part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/gateway.h"
#include "netd/ngroup.h"
#include "netd/profile.h"
#include "netd/routing.h"
#include "netd/ruleset.h"
#include "netd/security.h"

/* What the tables of lib/model cannot say of a document. */
static int check_document(const struct model_type *type, const struct resource *r, const char *id,
                          const json_t *doc, struct err *e)
{
	if (strstr(type->name, "/virtualNetworks") &&
	    strcmp(strrchr(type->name, '/'), "/virtualNetworks") == 0) {
		return network_vnet_check(r, id, doc, e);
	}
	if (strstr(type->name, "/networkSecurityGroups")) {
		return security_check(id, doc, e);
	}
	if (strstr(type->name, "/routeTables")) {
		return routing_check_table(doc, e);
	}
	if (strstr(type->name, "/natGateways")) {
		return routing_check_nat(r, id, doc, e);
	}
	if (strcmp(type->name, LB_TYPE) == 0) {
		return balancer_check(r, id, doc, e);
	}
	if (strcmp(type->name, PROFILE_OF_GROUPS) == 0) {
		return profile_check(id, doc, e);
	}
	if (strcmp(type->name, NGROUP_TYPE) == 0 || strcmp(type->name, STANDBY_TYPE) == 0) {
		return ngroup_check(r, id, doc, e);
	}
	if (strcmp(type->name, RULESET_TYPE) == 0) {
		return ruleset_check(r, id, doc, e);
	}
	if (strcmp(type->name, "Microsoft.Network/virtualNetworkGateways") == 0) {
		return gateway_check(r, id, doc, e);
	}
	if (strcmp(type->name, "Microsoft.Network/connections") == 0) {
		return gateway_check_connection(r, id, doc, e);
	}
	return 0;
}

/* What a document means when it does not say so, so that PUT of what GET returned is no change. */
static void set_presets(const struct model_type *type, json_t *doc)
{
	static const struct {
		const char *type, *name;
		enum {
			EMPTY_LIST,
			FALSE,
			FOUR
		} value;
	} presets[] = {
		{ "/virtualNetworks", "subnets", EMPTY_LIST },
		{ "/virtualNetworks", "virtualNetworkPeerings", EMPTY_LIST },
		{ "/networkSecurityGroups", "securityRules", EMPTY_LIST },
		{ "/routeTables", "routes", EMPTY_LIST },
		{ "/routeTables", "disableBgpRoutePropagation", FALSE },
		{ "/natGateways", "idleTimeoutInMinutes", FOUR },
	};

	for (size_t i = 0; i < ARRAY_N(presets); i++) {
		if (!strstr(type->name, presets[i].type)) {
			continue;
		}
		if (!json_object_get(doc, "properties")) {
			json_object_set_new(doc, "properties", json_object());
		}
		json_t *props = json_object_get(doc, "properties");
		if (!json_object_get(props, presets[i].name)) {
			json_object_set_new(props, presets[i].name,
			                    presets[i].value == EMPTY_LIST ? json_array()
			                    : presets[i].value == FALSE    ? json_false()
			                                                   : json_integer(4));
		}
	}
}

/* The checked document takes its place, with what the service has to give for it. */
static int accept_document(struct resource *r, const json_t *doc, struct err *e)
{
	if (balancer_is(r) && balancer_addresses(r, doc, e) < 0) {
		return -1;
	}
	change_set(r, doc);
	if (strcmp(r->type->name, PROFILE_OF_GROUPS) == 0) {
		profile_revise(r, doc);
	}
	return 0;
}

int part_put_whole(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                   struct change *ret, struct err *e)
{
	set_presets(type, doc);
	if (strcmp(type->name, LB_TYPE) == 0) {
		balancer_presets(doc);
		if (r) {
			balancer_strip(r, doc);
		}
	}
	if (check_document(type, r, id, doc, e) < 0) {
		return -1;
	}
	*ret = (struct change){ .r = r, .created = r == NULL, .pending = true };
	if (r) {
		return accept_document(r, doc, e);
	}
	r = ret->r = table_add(id, type, model_public(type, doc));
	r->etag = 1;
	if (strcmp(type->name, LB_TYPE) == 0 && balancer_addresses(r, doc, e) < 0) {
		balancer_gone(r);
		table_remove(r);
		return -1;
	}
	if (strcmp(type->name, PROFILE_OF_GROUPS) == 0) {
		profile_revise(r, doc);
	}
	return 0;
}

/* The list that a document keeps its parts of a type in; NULL: it has none yet. */
static json_t *parts_of(const json_t *doc, const char *type)
{
	char path[120];

	snprintf(path, sizeof(path), "properties.%s", type);
	return model_at(doc, path);
}

static size_t part_index(const json_t *list, const char *name)
{
	json_t *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			break;
		}
	}
	return i;
}

/* An error about the part names the property in its own document. */
static void retarget(struct err *e, const char *child, size_t i)
{
	char prefix[120], rest[sizeof(e->target)];

	snprintf(prefix, sizeof(prefix), "properties.%s[%zu]", child, i);
	size_t n = strlen(prefix);
	if (strncmp(e->target, prefix, n) == 0) {
		snprintf(rest, sizeof(rest), "%s", e->target[n] == '.' ? e->target + n + 1 : "");
		snprintf(e->target, sizeof(e->target), "%s", *rest ? rest : "properties");
	}
}

/* The list that parts are kept in, made when there is none. */
static json_t *need_list(json_t *doc, const char *child)
{
	json_t *list = parts_of(doc, child);

	if (!list) {
		if (!json_object_get(doc, "properties")) {
			json_object_set_new(doc, "properties", json_object());
		}
		list = json_array();
		json_object_set_new(json_object_get(doc, "properties"), child, list);
	}
	return list;
}

/* In a copy of the parent's document, which takes its place when the whole is right. */
static int edit_copy(struct resource *r, const char *child, json_t *doc, struct change *ret,
                     struct err *e)
{
	json_t *next = json_deep_copy(r->doc), *list = need_list(next, child);
	size_t i = part_index(list, model_str(doc, "name"));
	bool found = i < json_array_size(list);

	if (found) {
		json_array_set(list, i, doc);
	} else {
		json_array_append(list, doc);
	}
	if (balancer_is(r)) {
		balancer_presets(next);
		balancer_strip(r, next);
	}
	int rc = check_document(r->type, r, r->id, next, e);
	rc = rc < 0 ? rc : accept_document(r, next, e);
	if (rc == 0) {
		*ret = (struct change){ .r = r, .created = !found, .pending = true };
	} else {
		retarget(e, child, i);
	}
	json_decref(next);
	return rc;
}

/* In place: of a thousand rules only the new one is read. */
static int edit_rules(struct resource *r, json_t *doc, struct change *ret, struct err *e)
{
	json_t *list = need_list(r->doc, "securityRules");
	size_t i = part_index(list, model_str(doc, "name"));
	bool found = i < json_array_size(list);
	int rc = security_check_rule(r->id, list, i, doc, e);

	if (rc < 0) {
		retarget(e, "securityRules", i);
		return -1;
	}
	if (!found) {
		json_array_append_new(list, json_deep_copy(doc));
		r->etag++;
	} else if (!json_equal(json_array_get(list, i), doc)) {
		json_array_set_new(list, i, json_deep_copy(doc));
		r->etag++;
	}
	*ret = (struct change){ .r = r, .created = !found, .pending = true };
	return rc;
}

int part_put(const struct model_id *id, const char *full, const struct model_type *type,
             json_t *doc, struct change *ret, struct err *e)
{
	AUTO_FREE char *key = table_key(full);
	const char *child = strrchr(type->name, '/') + 1;

	*strrchr(key, '/') = '\0';
	*strrchr(key, '/') = '\0';
	struct resource *r = table_get(key);
	if (!r) {
		return err_set_at(e, ERR_NOT_FOUND, "ParentResourceNotFound", "",
		                  "The resource '%.80s' was not found.", id->name);
	}
	json_object_set_new(doc, "name", json_string(id->child));
	return strcmp(child, "securityRules") == 0 ? edit_rules(r, doc, ret, e)
	                                           : edit_copy(r, child, doc, ret, e);
}

int change_delete_child(struct resource *r, const char *type, const char *name,
                        void (*reply)(void *arg, const struct err *e), void *arg, struct err *e)
{
	json_t *next = json_deep_copy(r->doc), *list = parts_of(next, type);
	size_t i = part_index(list, name);

	if (strcmp(type, "subnets") == 0 && network_subnet_used(r, name)) {
		json_decref(next);
		return err_set_at(e, ERR_INVALID, "InUseSubnetCannotBeDeleted", "",
		                  "Subnet %s is in use and cannot be deleted.", name);
	}
	json_array_remove(list, i);
	int rc = check_document(r->type, r, r->id, next, e);
	rc = rc < 0 ? rc : accept_document(r, next, e);
	if (rc == 0) {
		change_replan(r);
		change_save(r, reply, arg);
	}
	json_decref(next);
	return rc;
}
