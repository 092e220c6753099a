/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PUT and DELETE: from a checked document to a change of the table. Nothing is applied in part: a
 * refused document leaves everything as it was. See plane.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/fabric.h"
#include "netd/flush.h"
#include "netd/gateway.h"
#include "netd/home.h"
#include "netd/ngroup.h"
#include "netd/part.h"
#include "netd/plane.h"
#include "netd/routing.h"
#include "netd/ruleset.h"
#include "netd/standby.h"
#include "netd/zone.h"

/* A transaction under way, with who waits for it: the store and, beside it, the engine. */
struct pending {
	struct caller_waits waiting;
	char *key; /* of the resource; its name becomes visible with the answer */
	struct err e;
	bool failed, stored, applied;
};

/* ---- who waits for the store ---- */

static LIST_HEAD(waitings, caller_waits) waitings = LIST_HEAD_INITIALIZER(waitings);

void caller_waits_add(struct caller_waits *w, void (*reply)(void *arg, const struct err *e),
                      void *arg)
{
	*w = (struct caller_waits){ .reply = reply, .arg = arg };
	LIST_INSERT_HEAD(&waitings, w, link);
}

void caller_waits_end(struct caller_waits *w, const struct err *e)
{
	if (!w->told) {
		w->reply(w->arg, e);
	}
	LIST_REMOVE(w, link);
}

void caller_unknown(struct err *e)
{
	err_wrap(e, "It is not known yet whether changes under way are made");
}

void callers_unknown(const struct err *why)
{
	struct err e = *why;
	struct caller_waits *w;

	caller_unknown(&e);
	LIST_FOREACH(w, &waitings, link)
	{
		if (!w->told) {
			w->told = true;
			w->reply(w->arg, &e);
		}
	}
}

/* ---- a change under way ---- */

static void finish(struct pending *p)
{
	if (!p->stored || !p->applied) {
		return;
	}
	const struct resource *r = table_get(p->key);

	if (!p->failed && r && !r->group) {
		network_publish_public(r, true);
	}
	caller_waits_end(&p->waiting, p->failed ? &p->e : NULL);
	free(p->key);
	free(p);
}

static void stored(void *arg, const struct err *e, uint64_t rev)
{
	struct pending *p = arg;

	(void)rev;
	control_stored(e);
	p->stored = true;
	if (e) {
		p->e = *e;
		p->failed = true;
	}
	finish(p);
}

static void applied(void *arg)
{
	struct pending *p = arg;

	p->applied = true;
	finish(p);
}

static struct pending *pending_new(const struct resource *r,
                                   void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct pending *p = malloc(sizeof(*p));

	if (!p) {
		abort();
	}
	*p = (struct pending){ .key = strdup(r->key) };
	caller_waits_add(&p->waiting, reply, arg);
	return p;
}

/* What a change has to reach before it is answered: the kernel, or the names that are answered. */
static void (*wait_for(const struct resource *r))(void (*fn)(void *arg), void *arg)
{
	return zone_is(r) || zone_is_link(r) || zone_is_record(r) ||
	                       strcmp(r->type->name, RULESET_TYPE) == 0
	               ? zone_wait
	               : fabric_wait;
}

void change_save(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct pending *p = pending_new(r, reply, arg);

	table_save(&r, 1, stored, p);
	wait_for(r)(applied, p);
}

/* Types of documents that plans of VNets are made from. */
static bool in_plans(const struct resource *r)
{
	static const char *const types[] = {
		"virtualNetworks", "networkSecurityGroups", "applicationSecurityGroups",
		"routeTables",     "natGateways",           "virtualNetworkGateways",
		"connections"
	};

	for (size_t i = 0; i < ARRAY_N(types); i++) {
		if (strncmp(r->type->name, "Microsoft.Network/", 18) == 0 &&
		    strcmp(r->type->name + 18, types[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* What a subnet refers to concerns its VNets; all else may concern any of the subscription. */
static void replan_users(struct resource *r)
{
	const char *property = vnet_property(r);
	uint32_t vnet;
	size_t i = 0;

	while (property && (vnet = vnet_using(r, property, &i))) {
		fabric_vnet(vnet);
	}
	if (property) {
		return;
	}
	fabric_vnets(tenant_of(r->id)->number, NULL);
}

/* The kernel's part of a change runs beside its commit. */
/* A VNet that changes, or goes, keeps no subnet for containers that may come. */
static void end_idle(const struct resource *r)
{
	uint32_t n = (uint32_t)json_integer_value(json_object_get(r->status, "serial"));

	if (n && strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0) {
		network_idle(n, 0);
	}
}

void change_replan(struct resource *r)
{
	uint32_t vnet = (uint32_t)json_integer_value(json_object_get(r->status, "serial"));

	end_idle(r);
	if (strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0) {
		routing_note_peers(r);
		vnet_ranges(r);
	}
	ruleset_change(r);
	if (balancer_is(r)) {
		balancer_change(r);
	} else if (ngroup_is(r)) {
		ngroup_change(r);
	}
	if (in_plans(r)) {
		gateway_hold();
		if (strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0) {
			home_gather(vnet);
		} else if (strcmp(r->type->name, "Microsoft.Network/virtualNetworkGateways") == 0 ||
		           strcmp(r->type->name, "Microsoft.Network/connections") == 0) {
			home_gather(0);
		}
		replan_users(r);
	}
	if (json_is_true(model_at(r->doc, "properties.flushConnection"))) {
		flush_begin(r); /* after the rules: messages keep their order */
	}
}

/* The document as it is kept; its etag tells of a change, secrets that came along are one. */
void change_set(struct resource *r, const json_t *doc)
{
	json_t *public = model_public(r->type, doc);

	balancer_before(r);
	r->etag += !json_equal(public, r->doc) || !json_equal(public, doc);
	json_decref(r->doc);
	r->doc = public;
}

/* ---- public addresses and prefixes ---- */

static bool is_v6(const json_t *doc)
{
	return model_is(doc, "properties.publicIPAddressVersion", "IPv6");
}

/* What cannot change while the address or prefix lives. */
static int check_fixed(const struct resource *r, const json_t *doc, struct err *e)
{
	static const char version[] = "properties.publicIPAddressVersion",
			  prefix[] = "properties.publicIPPrefix.id",
			  length[] = "properties.prefixLength";
	const json_t *was = model_at(r->doc, length), *now = model_at(doc, length);
	const char *at = is_v6(r->doc) != is_v6(doc) ? version
	                 : strcasecmp(model_str(r->doc, prefix), model_str(doc, prefix)) != 0
	                         ? prefix
	                 : was && !json_equal(was, now) ? length
	                                                : NULL;

	return at ? err_set_at(e, ERR_INVALID, "PropertyChangeNotAllowed", at,
	                       "'%s' of '%s' cannot be changed; delete and create it again.", at,
	                       r->name)
	          : 0;
}

/* The name that the document asks for; what it had is given up. */
static int public_name(struct resource *r, const json_t *doc, struct err *e)
{
	const char *label = model_str(doc, "properties.dnsSettings.domainNameLabel");
	const char *scope = model_str(doc, "properties.dnsSettings.domainNameLabelScope");
	AUTO_FREE char *was = strdup(model_str(r->status, "fqdn"));

	if (*label && network_name(r, label, scope, plane.config->ip_suffix, e) < 0) {
		e->code = e->kind == ERR_INVALID ? "DnsRecordInUse" : e->code;
		snprintf(e->target, sizeof(e->target), "properties.dnsSettings.domainNameLabel");
		return -1;
	}
	if (!*label) {
		network_unname(r);
		json_object_del(r->status, "fqdn");
	}
	if (*was && strcmp(was, model_str(r->status, "fqdn")) != 0) {
		zone_public(0, was, NULL, 0, false);
	}
	return 0;
}

static int put_public(struct resource *r, const char *id, const struct model_type *type,
                      json_t *doc, struct change *ret, struct err *e)
{
	bool made = r == NULL;
	char text[IP_TEXT];
	struct ip ip;

	if (!json_object_get(doc, "properties")) {
		json_object_set_new(doc, "properties", json_object());
	}
	if (!made) {
		if (check_fixed(r, doc, e) < 0 || public_name(r, doc, e) < 0) {
			return -1;
		}
		change_set(r, doc);
		*ret = (struct change){ .r = r, .pending = true };
		return 0;
	}
	r = table_add(id, type, model_public(type, doc));
	r->etag = 1;
	if (public_name(r, doc, e) < 0 ||
	    (*model_str(doc, "properties.publicIPPrefix.id")
	             ? prefix_address(r, &ip, e)
	             : network_public(is_v6(doc) ? 6 : 4, tenant_of(id)->number, &ip, e)) < 0) {
		network_unname(r);
		table_remove(r);
		return -1;
	}
	json_object_set_new(r->status, "address", json_string(ip_format(&ip, text)));
	*ret = (struct change){ .r = r, .created = true, .pending = true };
	return 0;
}

static int put_prefix(struct resource *r, const char *id, const struct model_type *type,
                      json_t *doc, struct change *ret, struct err *e)
{
	bool made = r == NULL;

	if (!made) {
		if (check_fixed(r, doc, e) < 0) {
			return -1;
		}
		change_set(r, doc);
	} else {
		r = table_add(id, type, model_public(type, doc));
		r->etag = 1;
		if (prefix_take(r, e) < 0) {
			table_remove(r);
			return -1;
		}
	}
	*ret = (struct change){ .r = r, .created = made, .pending = true };
	return 0;
}

/* ---- PUT ---- */

/* "West Europe" and "westeurope" are one place. */
static bool same_place(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, " ");
		b += strspn(b, " ");
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b)) {
			return false;
		}
		if (!*a) {
			return true;
		}
	}
}

/* Is there a resource group that takes it, and does it stay where it is? */
static int check_place(const struct resource *r, const struct model_id *id, const char *full_id,
                       const json_t *doc, struct err *e)
{
	char key[600];

	table_group_key(full_id, key, sizeof(key));
	const struct resource *group = *key ? table_get(key) : NULL;
	if (id->type && !group) {
		return err_set_at(e, ERR_NOT_FOUND, "ResourceGroupNotFound", NULL,
		                  "Resource group '%.100s' could not be found.", id->group);
	}
	if (group && group->deleting) {
		return err_set_at(e, ERR_CONFLICT, "ResourceGroupBeingDeleted", NULL,
		                  "The resource group '%.100s' is being deleted; it takes no "
		                  "changes until it is gone.",
		                  id->group);
	}
	if (r && r->deleting) {
		return err_set_at(e, ERR_CONFLICT, "ContainerGroupTransitioning", "",
		                  "The container group '%s' is being deleted, please retry later.",
		                  r->name);
	}
	const char *was = r ? model_str(r->doc, "location") : "", *now = model_str(doc, "location");
	if (*was && *now && !same_place(was, now)) {
		return err_set_at(
			e, ERR_CONFLICT,
			id->type ? "InvalidResourceLocation" : "InvalidResourceGroupLocation",
			"location", "'%s' exists in location '%s' and cannot move to '%s'.",
			r->name, was, now);
	}
	return 0;
}

static const struct model_type *type_of(const struct model_id *id, struct err *e)
{
	char name[200];

	snprintf(name, sizeof(name), "%s%s%s",
	         id->type    ? id->type
	         : id->group ? "Microsoft.Resources/resourceGroups"
	                     : "Microsoft.Resources/subscriptions",
	         id->child ? "/" : "", id->child ? id->child_type : "");
	const struct model_type *type = model_type_find(name);
	if (!type) {
		err_set_at(e, ERR_INVALID, "InvalidResourceType", "type",
		           "The resource type '%.150s' could not be found.", name);
	}
	return type;
}

int change_put(const struct model_id *id, const char *full_id, json_t *doc,
               void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
               struct err *e)
{
	AUTO_FREE char *key = table_key(full_id);
	struct resource *r = table_get(key);
	const struct model_type *type = type_of(id, e);
	const char *name = id->child   ? id->child
	                   : id->type  ? id->name
	                   : id->group ? id->group
	                               : id->subscription;

	if (!type || check_place(r, id, full_id, doc, e) < 0) {
		return -1;
	}
	bool record = zone_path(id) && zone_record_type(id->child_type);
	if ((!record && !model_name_ok(name)) || !model_name_ok(id->subscription)) {
		name = model_name_ok(name) ? id->subscription : name;
		return err_set_at(e, ERR_INVALID, "InvalidResourceName", "name",
		                  "Resource name '%.90s' is invalid: %s.", name, type->name_rule);
	}
	if (strstr(type->name, "/containerGroups")) {
		json_auto_t *whole = standby_document(r, full_id, doc, e);

		return !whole || model_check(type, whole, e) < 0
		               ? -1
		               : change_put_group(r, full_id, type, whole, reply, arg, ret, e);
	}
	if (model_check(type, doc, e) < 0) {
		return -1;
	}
	int rc;
	if (zone_path(id) || strcmp(type->name, ZONE_TYPE) == 0) {
		rc = zone_put(r, id, full_id, type, doc, ret, e);
	} else if (id->child) {
		rc = part_put(id, full_id, type, doc, ret, e);
	} else if (strstr(type->name, "publicIPAddresses")) {
		rc = put_public(r, full_id, type, doc, ret, e);
	} else if (strstr(type->name, "publicIPPrefixes")) {
		rc = put_prefix(r, full_id, type, doc, ret, e);
	} else {
		rc = part_put_whole(r, full_id, type, doc, ret, e);
	}
	if (rc == 0) {
		change_replan(ret->r);
		change_save(ret->r, reply, arg);
	}
	return rc;
}

int change_tags(struct resource *r, const json_t *tags,
                void (*reply)(void *arg, const struct err *e), void *arg, struct err *e)
{
	struct model_id id;
	json_t *next = json_deep_copy(r->doc);
	int rc = model_id_parse(r->id, &id);

	json_object_set(next, "tags", (json_t *)(uintptr_t)tags);
	if (rc < 0 || check_place(r, &id, r->id, next, e) < 0 ||
	    model_check(r->type, next, e) < 0) {
		json_decref(next);
		return -1;
	}
	change_set(r, next);
	json_decref(next);
	change_save(r, reply, arg);
	return 0;
}

/* ---- DELETE ---- */

static void remove_row(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	static const char *const held[] = { "address",
		                            "shared" }; /* a public address, a VNet's egress */
	struct pending *p = pending_new(r, reply, arg);
	bool of_prefix = prefix_address_free(r);

	end_idle(r);
	balancer_gone(r);
	ngroup_gone(r);
	zone_gone(r);
	ruleset_gone(r);
	network_publish_public(r, false);
	network_unname(r);
	prefix_give(r);
	for (size_t i = 0; i < ARRAY_N(held) && !of_prefix; i++) {
		struct ip ip = table_ip(r->status, held[i]);

		if (ip.family) {
			network_public_free(&ip, tenant_of(r->id)->number);
		}
	}
	bool connection = strcmp(r->type->name, "Microsoft.Network/connections") == 0;
	uint32_t tenant = tenant_of(r->id)->number;
	void (*wait)(void (*fn)(void *arg), void *arg) = wait_for(r);
	store_submit(plane.store, &(struct store_op){ .key = r->key }, 1, stored, p);
	table_remove(r);
	if (connection) {
		gateway_hold();
		fabric_vnets(tenant, NULL);
	}
	wait(applied, p);
}

static void removed(void *arg, const struct err *e)
{
	AUTO_FREE char *key = arg;

	operation_end(key, e);
}

void change_remove(struct resource *r)
{
	remove_row(r, removed, strdup(r->key));
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

void change_forget(struct resource *r)
{
	remove_row(r, nobody, NULL);
}

/* Does anything of the resource group serve somebody outside it? */
static int check_group_free(const char *prefix, struct err *e)
{
	size_t n = strlen(prefix);

	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0; i++) {
		const struct resource *m = table_at(i);
		const struct resource *user = network_vnet_user(m, prefix);

		user = user ? user : prefix_user(m, prefix);
		if (user) {
			return err_set_at(e, ERR_CONFLICT, "ResourceGroupDeletionBlocked", m->id,
			                  "The resource group cannot be deleted: %.150s is used by "
			                  "%.250s.",
			                  m->name, user->id);
		}
	}
	return 0;
}

/* What it holds goes first: groups take their time, the rest goes at once. */
static int delete_group(struct resource *r, void (*reply)(void *arg, const struct err *e),
                        void *arg, struct err *e)
{
	size_t n = strlen(r->key) + 1, i;
	AUTO_FREE char *prefix = malloc(n + 1);
	bool left = false;

	snprintf(prefix, n + 1, "%s/", r->key);
	if (check_group_free(prefix, e) < 0) {
		return -1;
	}
	for (i = table_from(prefix); table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0;
	     i++) {
		struct resource *m = table_at(i);

		if (m->group && !m->deleting) {
			group_delete(m, nobody, NULL);
		}
		left = left || m->group;
	}
	r->deleting = true;
	if (left) {
		change_save(r, reply, arg); /* control.c looks again until nothing is left */
		return 0;
	}
	while (table_at(i = table_from(prefix)) && strncmp(table_at(i)->key, prefix, n) == 0) {
		remove_row(table_at(i), nobody, NULL);
	}
	remove_row(r, reply, arg);
	return 0;
}

int change_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg,
                  struct err *e)
{
	const struct resource *user = network_vnet_user(r, NULL);

	if (r->group || strstr(r->type->name, "containerGroups")) {
		group_delete(r, reply, arg);
		return 0;
	}
	if (ngroup_is(r)) {
		ngroup_delete(r, reply, arg);
		return 0;
	}
	if (strstr(r->type->name, "resourceGroups")) {
		return delete_group(r, reply, arg, e);
	}
	if (!user && strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0) {
		user = gateway_in(r->id);
		user = user ? user : balancer_in(r, NULL);
	} else if (!user &&
	           strcmp(r->type->name, "Microsoft.Network/virtualNetworkGateways") == 0 &&
	           (user = gateway_connection(r))) {
		return err_set_at(
			e, ERR_INVALID, "VirtualNetworkGatewayHasConnections", "",
			"Gateway %s is in use by connection %.300s and cannot be deleted.", r->name,
			user->id);
	}
	if (user) {
		return err_set_at(e, ERR_INVALID, "InUseSubnetCannotBeDeleted", "",
		                  "The virtual network is in use by %.300s and cannot be deleted.",
		                  user->id);
	}
	user = ngroup_of(r);
	if (user) {
		return err_set_at(e, ERR_CONFLICT, "ResourceInUseByNGroup", "",
		                  "%s is in use by %.300s and cannot be deleted.", r->name,
		                  user->id);
	}
	if (zone_removable(r, e) < 0 || prefix_unused(r, e) < 0 || reference_unused(r, e) < 0) {
		return -1;
	}
	remove_row(r, reply, arg);
	return 0;
}
