/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PUT and DELETE: from a checked document to a change of the table. Nothing is applied in part: a
 * refused document leaves everything as it was. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/plane.h"

struct pending {
	void (*reply)(void *arg, const struct err *e);
	void *arg;
};

static void stored(void *arg, const struct err *e, uint64_t rev)
{
	struct pending *p = arg;

	(void)rev;
	if (e) {
		free(plane.stopped);
		plane.stopped = strdup(e->msg);
	}
	p->reply(p->arg, e);
	free(p);
}

static void save(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct pending *p = malloc(sizeof(*p));

	if (!p) {
		abort();
	}
	*p = (struct pending){ reply, arg };
	table_save(&r, 1, stored, p);
}

/* The document as it is kept; its etag tells of a change, secrets that came along are one. */
static void set_doc(struct resource *r, const json_t *doc)
{
	json_t *public = model_public(r->type, doc);

	r->etag += !json_equal(public, r->doc) || !json_equal(public, doc);
	json_decref(r->doc);
	r->doc = public;
}

/* ---- container groups ---- */

static int check_group(const char *name, json_t *doc, struct err *e)
{
	const json_t *containers = model_at(doc, "properties.containers"), *x, *p, *q;
	bool ok = strlen(name) <= 63;
	size_t i, k, l;

	for (const char *c = name; *c; c++) {
		ok = ok && ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-');
	}
	if (!ok || name[0] == '-' || name[strlen(name) - 1] == '-') {
		return err_set_at(
			e, ERR_INVALID, "InvalidContainerGroupName", "name",
			"Container group name '%.80s' is invalid: 1 to 63 lower-case letters, "
			"digits and hyphens, no hyphen first or last.",
			name);
	}
	json_array_foreach((json_t *)(uintptr_t)containers, i, x)
	{
		json_array_foreach((json_t *)(uintptr_t)containers, k, p)
		{
			if (k < i && strcasecmp(model_str(x, "name"), model_str(p, "name")) == 0) {
				return err_set_at(e, ERR_INVALID, "DuplicateContainerName",
				                  "properties.containers",
				                  "Two containers are named '%.63s'.",
				                  model_str(x, "name"));
			}
		}
	}
	const json_t *ports = model_at(doc, "properties.ipAddress.ports");
	json_array_foreach((json_t *)(uintptr_t)ports, i, p)
	{
		bool found = false;
		json_int_t port = json_integer_value(json_object_get(p, "port"));

		json_array_foreach((json_t *)(uintptr_t)containers, k, x)
		{
			json_array_foreach(model_at(x, "properties.ports"), l, q)
			{
				found = found ||
				        json_integer_value(json_object_get(q, "port")) == port;
			}
		}
		json_array_foreach((json_t *)(uintptr_t)ports, k, q)
		{
			if (k < i && json_integer_value(json_object_get(q, "port")) == port &&
			    model_is(q, "protocol", "UDP") == model_is(p, "protocol", "UDP")) {
				return err_set_at(e, ERR_INVALID, "DuplicatePort",
				                  "properties.ipAddress.ports",
				                  "Port %d is listed twice.", (int)port);
			}
		}
		if (!found) {
			return err_set_at(
				e, ERR_INVALID, "ContainerPortNotExposed",
				"properties.ipAddress.ports",
				"Port %d of the container group is exposed by none of its "
				"containers.",
				(int)port);
		}
	}
	return 0;
}

/* The address that GET returned is no wish: Azure ignores one for Public. */
static void drop_own_address(const struct resource *r, json_t *doc)
{
	json_t *ip = model_at(doc, "properties.ipAddress");

	if (model_is(ip, "type", "Public") ||
	    (r && !*model_str(r->doc, "properties.ipAddress.ip") &&
	     strcmp(model_str(ip, "ip"), model_str(r->status, "ip4")) == 0)) {
		json_object_del(ip, "ip");
	}
}

/* What cannot change while the group lives (Azure: delete and create). */
static int check_update(const struct resource *r, const json_t *doc, struct err *e)
{
	static const char *const fixed[] = { "properties.osType", "properties.ipAddress.type",
		                             "properties.restartPolicy" };
	json_t *was = model_at(r->doc, "properties.subnetIds"),
	       *now = model_at(doc, "properties.subnetIds");

	for (size_t i = 0; i < ARRAY_N(fixed); i++) {
		if (strcasecmp(model_str(r->doc, fixed[i]), model_str(doc, fixed[i])) != 0) {
			return err_set_at(
				e, ERR_INVALID, "InvalidContainerGroupUpdate", fixed[i],
				"'%s' of an existing container group cannot be changed; delete and "
				"create it again.",
				fixed[i]);
		}
	}
	if (strcasecmp(model_str(json_array_get(was, 0), "id"),
	               model_str(json_array_get(now, 0), "id"))) {
		return err_set_at(e, ERR_INVALID, "InvalidContainerGroupUpdate",
		                  "properties.subnetIds",
		                  "The subnet of an existing container group cannot be changed.");
	}
	return 0;
}

static int group_name(struct resource *r, struct err *e)
{
	const char *label = model_str(r->doc, "properties.ipAddress.dnsNameLabel");
	const char *scope =
		model_str(r->doc, "properties.ipAddress.autoGeneratedDomainNameLabelScope");

	if (!*scope) {
		scope = model_str(r->doc, "properties.ipAddress.dnsNameLabelReusePolicy");
	}
	if (!*label) {
		json_object_del(r->status, "fqdn");
		return 0;
	}
	if (!model_is(r->doc, "properties.ipAddress.type", "Public")) {
		return err_set_at(e, ERR_INVALID, "DnsNameLabelRequiresPublicIP",
		                  "properties.ipAddress.dnsNameLabel",
		                  "A DNS name label needs a Public address.");
	}
	return network_name(r, label, *scope ? scope : "Unsecure", plane.config->dns_suffix, e);
}

static int put_group(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                     void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
                     struct err *e)
{
	struct resource *vnet = NULL;
	bool made = r == NULL;

	drop_own_address(r, doc);
	if (check_group(strrchr(id, '/') + 1, doc, e) < 0 || (r && check_update(r, doc, e) < 0)) {
		return -1;
	}
	if (r && r->deleting) {
		return err_set_at(e, ERR_CONFLICT, "ContainerGroupTransitioning", "",
		                  "The container group '%s' is being deleted, please retry later.",
		                  r->name);
	}
	if (made) {
		r = table_add(id, type, model_public(type, doc));
		r->etag = 1;
		if (group_name(r, e) < 0 || network_attach(r, &vnet, e) < 0) {
			table_remove(r);
			return -1;
		}
	} else {
		json_t *was = json_incref(r->doc), *status = json_deep_copy(r->status);
		uint64_t etag = r->etag;

		set_doc(r, doc);
		if (group_name(r, e) < 0) {
			json_decref(r->doc);
			json_decref(r->status);
			r->doc = was;
			r->status = status;
			r->etag = etag;
			return -1;
		}
		json_decref(was);
		json_decref(status);
	}
	*ret = (struct change){ r, made, true };
	group_apply(r, json_incref(doc), vnet, reply, arg);
	return 0;
}

/* ---- virtual networks ---- */

static int put_vnet(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                    struct change *ret, struct err *e)
{
	if (!json_is_array(model_at(doc, "properties.subnets"))) {
		json_object_set_new(json_object_get(doc, "properties"), "subnets", json_array());
	}
	if (network_vnet_check(r, doc, e) < 0) {
		return -1;
	}
	*ret = (struct change){ r, r == NULL, true };
	if (!r) {
		ret->r = table_add(id, type, model_public(type, doc));
		ret->r->etag = 1;
	} else {
		set_doc(r, doc);
	}
	return 0;
}

/* A subnet is edited inside its VNet's document. */
static int put_subnet(const struct model_id *id, const char *full, json_t *doc, struct change *ret,
                      struct err *e)
{
	AUTO_FREE char *key = table_key(full);
	size_t i;
	json_t *x;

	*strstr(key, "/subnets/") = '\0';
	struct resource *v = table_get(key);
	if (!v) {
		return err_set_at(e, ERR_NOT_FOUND, "ParentResourceNotFound", "",
		                  "The virtual network '%.80s' was not found.", id->name);
	}
	json_t *next = json_deep_copy(v->doc), *list = model_at(next, "properties.subnets");
	json_object_set_new(doc, "name", json_string(id->child));
	bool found = false;
	json_array_foreach(list, i, x)
	{
		if (strcasecmp(model_str(x, "name"), id->child) == 0) {
			json_array_set(list, i, doc);
			found = true;
			break;
		}
	}
	if (!found) {
		json_array_append(list, doc);
	}
	int rc = network_vnet_check(v, next, e);
	if (rc == 0) {
		set_doc(v, next);
		*ret = (struct change){ v, !found, true };
	}
	json_decref(next);
	return rc;
}

/* ---- public addresses ---- */

static int put_public(struct resource *r, const char *id, const struct model_type *type,
                      json_t *doc, struct change *ret, struct err *e)
{
	bool made = r == NULL, v6 = model_is(doc, "properties.publicIPAddressVersion", "IPv6");
	const char *label = model_str(doc, "properties.dnsSettings.domainNameLabel");
	const char *scope = model_str(doc, "properties.dnsSettings.domainNameLabelScope");
	char text[IP_TEXT];
	struct ip ip;

	if (!json_object_get(doc, "properties")) {
		json_object_set_new(doc, "properties", json_object());
	}
	if (made) {
		r = table_add(id, type, model_public(type, doc));
		r->etag = 1;
	}
	if (*label && network_name(r, label, scope, plane.config->ip_suffix, e) < 0) {
		e->code = "DnsRecordInUse";
		if (made) {
			table_remove(r);
		}
		return -1;
	}
	if (made) {
		if (network_public(v6 ? 6 : 4, network_tenant(id), &ip, e) < 0) {
			table_remove(r);
			return -1;
		}
		json_object_set_new(r->status, "address", json_string(ip_format(&ip, text)));
	} else {
		set_doc(r, doc);
	}
	*ret = (struct change){ r, made, true };
	return 0;
}

int change_put(const struct model_id *id, const char *full_id, json_t *doc,
               void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
               struct err *e)
{
	char type_name[200];
	AUTO_FREE char *key = table_key(full_id);
	struct resource *r = table_get(key);

	if (plane.stopped) {
		return err_set(e, ERR_UNAVAILABLE, 0, "Changes are refused: %s", plane.stopped);
	}
	snprintf(type_name, sizeof(type_name), "%s%s%s",
	         id->type ? id->type : "Microsoft.Resources/resourceGroups", id->child ? "/" : "",
	         id->child ? id->child_type : "");
	const struct model_type *type = model_type_find(type_name);
	const char *name = id->child ? id->child : id->type ? id->name : id->group;
	if (!type) {
		return err_set_at(e, ERR_INVALID, "InvalidResourceType", "type",
		                  "The resource type '%.150s' could not be found.", type_name);
	}
	if (!model_name_ok(name)) {
		return err_set_at(e, ERR_INVALID, "InvalidResourceName", "name",
		                  "Resource name '%.90s' is invalid: %s.", name, type->name_rule);
	}
	if (model_check(type, doc, e) < 0) {
		return -1;
	}
	int rc;
	if (strstr(type->name, "containerGroups")) {
		return put_group(r, full_id, type, doc, reply, arg, ret, e);
	}
	if (id->child) {
		rc = put_subnet(id, full_id, doc, ret, e);
	} else if (strstr(type->name, "virtualNetworks")) {
		rc = put_vnet(r, full_id, type, doc, ret, e);
	} else if (strstr(type->name, "publicIPAddresses")) {
		rc = put_public(r, full_id, type, doc, ret, e);
	} else {
		*ret = (struct change){ r, r == NULL, true };
		if (!r) {
			ret->r = table_add(full_id, type, model_public(type, doc));
			ret->r->etag = 1;
		} else {
			set_doc(r, doc);
		}
		rc = 0;
	}
	if (rc == 0) {
		save(ret->r, reply, arg);
	}
	return rc;
}

/* ---- DELETE ---- */

static void gone(void *arg, const struct err *e, uint64_t rev)
{
	stored(arg, e, rev);
}

static void remove_row(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct pending *p = malloc(sizeof(*p));
	struct err e = ERR_INIT;
	struct ip ip;

	if (!p) {
		abort();
	}
	*p = (struct pending){ reply, arg };
	static const char *const held[] = { "address",
		                            "shared" }; /* a public address, a VNet's egress */
	for (size_t i = 0; i < ARRAY_N(held); i++) {
		const char *text = model_str(r->status, held[i]);

		if (*text && ip_parse(text, &ip, &e) == 0) {
			network_public_free(&ip, network_tenant(r->id));
		}
	}
	store_submit(plane.store, &(struct store_op){ .key = r->key }, 1, gone, p);
	table_remove(r);
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

int change_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg,
                  struct err *e)
{
	if (plane.stopped) {
		return err_set(e, ERR_UNAVAILABLE, 0, "Changes are refused: %s", plane.stopped);
	}
	if (strstr(r->type->name, "containerGroups")) {
		group_delete(r, reply, arg);
		return 0;
	}
	json_t *x;
	size_t i;
	json_array_foreach(model_at(r->doc, "properties.subnets"), i, x)
	{
		if (network_subnet_used(r, model_str(x, "name"))) {
			return err_set_at(e, ERR_INVALID, "InUseSubnetCannotBeDeleted", "",
			                  "Subnet %s is in use and cannot be deleted.",
			                  model_str(x, "name"));
		}
	}
	if (strstr(r->type->name, "resourceGroups")) {
		/* What it holds goes first: groups take their time, the rest goes at once. */
		AUTO_FREE char *prefix = malloc(strlen(r->key) + 2);
		bool left = false;

		snprintf(prefix, strlen(r->key) + 2, "%s/", r->key);
		for (i = table_from(prefix);
		     table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0; i++) {
			struct resource *m = table_at(i);

			if (m->group && !m->deleting) {
				group_delete(m, nobody, NULL);
			}
			left = left || m->group;
		}
		r->deleting = true;
		if (left) {
			save(r, reply, arg); /* control.c looks again until nothing is left */
			return 0;
		}
		while (table_at(i = table_from(prefix)) &&
		       strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0) {
			remove_row(table_at(i), nobody, NULL);
		}
	}
	remove_row(r, reply, arg);
	return 0;
}

/* ---- GET ---- */

static void view_group(const struct resource *r, json_t *props)
{
	json_t *view = json_object(), *ip = json_object_get(props, "ipAddress"), *x;
	const json_t *states = json_object_get(r->status, "containers");
	const char *state = group_state(r);
	size_t i;

	json_object_set_new(view, "state",
	                    json_string(json_is_true(json_object_get(r->status, "stopped"))
	                                        ? "Stopped"
	                                : strcmp(state, "Succeeded") == 0 ? "Running"
	                                                                  : "Pending"));
	json_t *events = json_object_get(r->status, "events");
	json_object_set_new(view, "events", events ? json_deep_copy(events) : json_array());
	json_object_set_new(props, "instanceView", view);
	if (ip) {
		const char *own = model_is(ip, "type", "Public") ? "pub4" : "ip4";

		if (*model_str(r->status, own)) {
			json_object_set(ip, "ip", json_object_get(r->status, own));
		}
		if (*model_str(r->status, "fqdn")) {
			json_object_set(ip, "fqdn", json_object_get(r->status, "fqdn"));
		}
	}
	json_array_foreach(json_object_get(props, "containers"), i, x)
	{
		json_t *c = json_object_get(states, model_str(x, "name"));

		if (c) {
			json_object_set(json_object_get(x, "properties"), "instanceView", c);
		}
	}
}

json_t *change_view(const struct resource *r)
{
	json_t *doc = json_deep_copy(r->doc), *props = json_object_get(doc, "properties"), *x;
	const char *state = r->deleting ? "Deleting" : group_state(r);
	char etag[64];
	size_t i;

	if (!props) {
		props = json_object();
		json_object_set_new(doc, "properties", props);
	}
	json_object_set_new(doc, "id", json_string(r->id));
	json_object_set_new(doc, "name", json_string(r->name));
	json_object_set_new(doc, "type", json_string(r->type->name));
	json_object_set_new(props, "provisioningState", json_string(state));
	if (r->group) {
		view_group(r, props);
		return doc;
	}
	if (strstr(r->type->name, "Network/")) {
		snprintf(etag, sizeof(etag), "W/\"%llu\"", (unsigned long long)r->etag);
		json_object_set_new(doc, "etag", json_string(etag));
	}
	json_array_foreach(json_object_get(props, "subnets"), i, x)
	{
		char id[1400];

		snprintf(id, sizeof(id), "%s/subnets/%s", r->id, model_str(x, "name"));
		json_object_set_new(x, "id", json_string(id));
		json_object_set_new(x, "type",
		                    json_string("Microsoft.Network/virtualNetworks/subnets"));
		json_object_set_new(json_object_get(x, "properties"), "provisioningState",
		                    json_string("Succeeded"));
	}
	if (*model_str(r->status, "address")) {
		json_object_set(props, "ipAddress", json_object_get(r->status, "address"));
	}
	if (*model_str(r->status, "fqdn")) {
		json_object_set(json_object_get(props, "dnsSettings"), "fqdn",
		                json_object_get(r->status, "fqdn"));
	}
	return doc;
}
