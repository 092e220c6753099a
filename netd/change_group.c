/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * PUT of a container group: what the tables of lib/model cannot say of its document, its name, and a ready one of a
 * standby pool in the place of a new one. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/group_parts.h"
#include "netd/guest.h"
#include "netd/home.h"
#include "netd/ngroup.h"
#include "netd/part.h"
#include "netd/standby.h"
#include "netd/zone.h"

/* Azure's own limits of Windows groups (one container, no init containers, no virtual network), and of Confidential ones (Linux). */
static int check_os(const json_t *doc, struct err *e)
{
	static const struct {
		const char *path, *what;
		size_t most;
	} limits[] = {
		{ "properties.containers", "more than one container", 1 },
		{ "properties.initContainers", "init containers", 0 },
		{ "properties.subnetIds", "a virtual network", 0 },
	};

	if (!model_is(doc, "properties.osType", "Windows")) {
		return 0;
	}
	for (size_t i = 0; i < ARRAY_N(limits); i++) {
		if (json_array_size(model_at(doc, limits[i].path)) > limits[i].most) {
			return err_set_at(
				e, ERR_INVALID, "UnsupportedFeatureForOsType", limits[i].path,
				"A Windows container group cannot have %s.", limits[i].what);
		}
	}
	return model_is(doc, "properties.sku", "Confidential")
	               ? err_set_at(e, ERR_INVALID, "UnsupportedFeatureForOsType", "properties.sku",
	                            "Confidential container groups are Linux.")
	               : 0;
}

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
	if (model_is(doc, "properties.ipAddress.type", "Public") && json_array_size(ports) == 0) {
		return err_set_at(e, ERR_INVALID, NULL, "properties.ipAddress.ports",
		                  "A Public address needs at least one port.");
	}
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
	const char *own = r ? model_str(r->status, "ip4") : "";

	if (r && !model_at(r->doc, "properties.ipAddress") && model_is(ip, "type", "Private") &&
	    strcmp(model_str(ip, "ip"), own) == 0) { /* as GET tells it */
		json_object_del(json_object_get(doc, "properties"), "ipAddress");
		return;
	}

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
		network_unname(r);
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

int change_try_group(const char *name, json_t *doc, struct err *e)
{
	const struct model_type *type =
		model_type_find("Microsoft.ContainerInstance/containerGroups");

	return model_check(type, doc, e) < 0 || check_group(name, doc, e) < 0 ? -1
	                                                                      : check_os(doc, e);
}

static void set_status(struct resource *r, json_t *status)
{
	const char *name;
	json_t *x;

	json_object_foreach(status, name, x)
	{
		if (json_is_null(x)) {
			json_object_del(r->status, name);
		} else {
			json_object_set(r->status, name, x);
		}
	}
}

/* A new group is one of a standby pool's, which gets its id and name. */
static int take_standby(struct resource *r, const char *id, const json_t *doc,
                        void (*reply)(void *arg, const struct err *e), void *arg,
                        struct change *ret, struct err *e)
{
	AUTO_FREE char *was = strdup(r->key), *was_id = strdup(r->id);
	json_auto_t *before = json_incref(r->doc);

	if (tenant_room(id, before, doc, e) < 0 ||
	    home_room(group_node(r->group), before, doc, e) < 0) {
		return -1;
	}
	bool registered = zone_group_registered(r);

	ngroup_release(r);
	if (registered) { /* its names are the old id's */
		zone_group(r, false, 0);
	}
	table_rename(r, id);
	r->doc = model_public(r->type, doc);
	home_count(group_node(r->group), before, -1);
	home_count(group_node(r->group), r->doc, 1);
	if (group_name(r, e) < 0) {
		home_count(group_node(r->group), r->doc, -1);
		home_count(group_node(r->group), before, 1);
		table_rename(r, was_id);
		if (registered) {
			zone_group(r, true, 0);
		}
		json_decref(r->doc);
		r->doc = json_incref(before);
		ngroup_return(r);
		return -1;
	}
	tenant_count(id, before, doc);
	json_object_del(r->status, "orchestrator");
	json_object_del(r->status, "template");
	json_object_set_new(r->status, "from", json_string(was));
	*ret = (struct change){ .r = r, .created = true, .pending = true };
	group_adopt(r, was, reply, arg);
	return 0;
}

/* It is on a branch of its VNet: what is done at the home alone it cannot become. */
static int check_bound(const struct resource *r, const json_t *doc, struct err *e)
{
	const char *why = home_binds(group_vnet(r->group), doc);

	return !why || group_node(r->group) == home_of(group_vnet(r->group))
	               ? 0
	               : err_set_at(
				 e, ERR_CONFLICT, "VirtualNetworkApart", "properties",
				 "The container group is on another node than its VNet's home, where it has to be: %s. Delete it "
				 "and create it again, or have the VNet moved to its node.",
				 why);
}

int change_put_group(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                     void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
                     struct err *e)
{
	struct resource *vnet = NULL, *ready = NULL;
	bool made = r == NULL;

	if (r && guest_of(r)) {
		return err_set_at(e, ERR_CONFLICT, "ContainerGroupOfRuntime", "",
		                  "Container group '%s' was made by a runtime through CNI (network "
		                  "%.100s); it can be read and deleted, not changed.",
		                  r->name, model_str(guest_of(r), "network"));
	}
	drop_own_address(r, doc);
	if (check_group(strrchr(id, '/') + 1, doc, e) < 0 || check_os(doc, e) < 0 ||
	    (r && check_update(r, doc, e) < 0)) {
		return -1;
	}
	if (made && standby_find(doc, &ready, e) < 0) {
		return -1;
	}
	if (ready) {
		return take_standby(ready, id, doc, reply, arg, ret, e);
	}
	struct node *node = made ? NULL : group_node(r->group);
	if (tenant_room(id, made ? NULL : r->doc, doc, e) < 0 ||
	    (!made && check_bound(r, doc, e) < 0) ||
	    (!made && home_room(node, r->doc, doc, e) < 0)) {
		return -1;
	}
	tenant_count(id, made ? NULL : r->doc, doc);
	if (made) {
		r = table_add(id, type, model_public(type, doc));
		r->etag = 1;
		set_status(r, ret->status); /* of a guest: what it asked for */
		if (group_name(r, e) < 0 || network_attach(r, &vnet, e) < 0) {
			tenant_count(id, doc, NULL);
			network_unname(r);
			table_remove(r);
			return -1;
		}
	} else {
		json_t *was = json_incref(r->doc), *status = json_deep_copy(r->status);
		uint64_t etag = r->etag;

		change_set(r, doc);
		home_count(node, was, -1);
		home_count(node, doc, 1);
		if (group_name(r, e) < 0) {
			home_count(node, doc, -1);
			home_count(node, was, 1);
			tenant_count(id, doc, was);
			json_decref(r->doc);
			json_decref(r->status);
			r->doc = was;
			r->status = status;
			r->etag = etag;
			return -1;
		}
		if (strcmp(model_str(status, "fqdn"), model_str(r->status, "fqdn")) != 0) {
			group_renamed(r, model_str(status, "fqdn"));
		}
		json_decref(was);
		json_decref(status);
	}
	set_status(r, ret->status);
	if (ret->ns_fd) {
		group_give_namespace(r, *ret->ns_fd);
	}
	*ret = (struct change){ .r = r, .created = made, .pending = true };
	group_apply(r, json_incref(doc), vnet, reply, arg);
	return 0;
}
