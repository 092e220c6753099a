/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Private DNS zones, their links and record sets as resources. See zone.h. Sources: the REST specification of
 * Microsoft.Network/privateDnsZones (2024-06-01); learn.microsoft.com, "What is a virtual network link?",
 * "What is the autoregistration feature in Azure DNS private zones?".
 */
#include "netd/zone.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"

#define LABELS_MIN 2
#define LABELS_MAX 34 /* as Azure */

bool zone_is(const struct resource *r)
{
	return strcmp(r->type->name, ZONE_TYPE) == 0;
}

bool zone_is_link(const struct resource *r)
{
	return strcmp(r->type->name, ZONE_TYPE "/virtualNetworkLinks") == 0;
}

bool zone_is_record(const struct resource *r)
{
	size_t n = sizeof(ZONE_TYPE) - 1;

	return strncmp(r->type->name, ZONE_TYPE "/", n + 1) == 0 && !zone_is_link(r);
}

bool zone_path(const struct model_id *id)
{
	return id->type && strcasecmp(id->type, ZONE_TYPE) == 0 && id->child_type &&
	       (strcasecmp(id->child_type, "virtualNetworkLinks") == 0 ||
	        strcasecmp(id->child_type, "ALL") == 0 || zone_record_type(id->child_type));
}

/* The key of a link's or record set's zone: without its last two parts. */
static struct resource *parent_of(const char *key)
{
	AUTO_FREE char *up = table_key(key);

	for (int i = 0; i < 2; i++) {
		char *slash = strrchr(up, '/');

		if (slash) {
			*slash = '\0';
		}
	}
	struct resource *r = table_get(up);
	return r && zone_is(r) ? r : NULL;
}

struct resource *zone_of(const struct resource *r)
{
	return parent_of(r->key);
}

struct resource *zone_link_vnet(const struct resource *link)
{
	AUTO_FREE char *key = table_key(model_str(link->doc, "properties.virtualNetwork.id"));

	return table_get(key);
}

static bool registers(const json_t *doc)
{
	return json_is_true(model_at(doc, "properties.registrationEnabled"));
}

/* ---- in memory ---- */

static void zone_make(struct resource *r)
{
	r->zone = calloc(1, sizeof(*r->zone));
	if (!r->zone) {
		abort();
	}
	int n = dns_name_parse(r->name, r->zone->origin);
	r->zone->len = n > 0 ? (size_t)n : 0;
	(void)table_number(r);
}

/* One more link or record set, or one less. */
static void count(const struct resource *r, int by)
{
	struct resource *z = zone_of(r);

	if (zone_is_record(r)) {
		tenant_of(r->id)->records += (unsigned)by;
	}

	if (z && z->zone && zone_is_link(r)) {
		z->zone->links += (unsigned)by;
		z->zone->registering += registers(r->doc) ? (unsigned)by : 0;
	} else if (z && z->zone) {
		z->zone->records += (unsigned)by;
	}
}

void zone_load(void)
{
	for (size_t i = 0; i < plane.n; i++) {
		if (zone_is(plane.v[i])) {
			zone_make(plane.v[i]);
		}
	}
	for (size_t i = 0; i < plane.n; i++) {
		if (zone_is_link(plane.v[i]) || zone_is_record(plane.v[i])) {
			count(plane.v[i], 1);
		}
		if (zone_is_link(plane.v[i])) {
			zone_tell_link(plane.v[i], true);
		}
	}
}

/* ---- checks ---- */

static int check_zone(const char *name, struct err *e)
{
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(name, wire);
	unsigned labels = n > 0 ? dns_name_labels(wire, (size_t)n) : 0;
	bool ok = labels >= LABELS_MIN && labels <= LABELS_MAX && name[strlen(name) - 1] != '.';

	for (const char *p = name; *p; p++) {
		ok = ok && (isalnum((unsigned char)*p) || strchr("-_.", *p));
	}
	return ok ? 0
	          : err_set_at(e, ERR_INVALID, "InvalidPrivateDnsZoneName", "name",
	                       "The private DNS zone name '%.100s' is invalid: 2 to 34 labels of "
	                       "letters, digits, hyphens and underscores, with dots between.",
	                       name);
}

/* Does another link of the zone lead to the VNet, or does the VNet register in another zone? */
static int check_other_links(const char *full, const struct resource *vnet, bool registering,
                             struct err *e)
{
	AUTO_FREE char *key = table_key(full);
	const struct resource *z = parent_of(full);
	struct zone_link_walk w = { .vnet = table_number((struct resource *)(uintptr_t)vnet) };
	const struct resource *x;
	unsigned n = 0;

	while ((x = zone_next_link(&w))) {
		if (strcmp(x->key, key) == 0) {
			continue;
		}
		n++;
		if (zone_of(x) == z) {
			return err_set_at(e, ERR_CONFLICT, "VirtualNetworkLinkAlreadyExists",
			                  "properties.virtualNetwork.id",
			                  "The virtual network is linked to this zone already, by "
			                  "'%.80s'.",
			                  x->name);
		}
		if (registering && registers(x->doc)) {
			return err_set_at(
				e, ERR_CONFLICT, "VirtualNetworkAlreadyRegistered",
				"properties.registrationEnabled",
				"The virtual network registers in the zone '%.100s' already; it can "
				"do so in one.",
				zone_of(x) ? zone_of(x)->name : "");
		}
	}
	return n < ZONE_LINKS_MAX
	               ? 0
	               : err_set_at(e, ERR_CONFLICT, "VirtualNetworkLinkLimitReached", "",
	                            "A virtual network has at most %u links.", ZONE_LINKS_MAX);
}

static int check_link(const struct resource *r, const struct resource *z, const char *full,
                      const json_t *doc, struct err *e)
{
	static const char at[] = "properties.virtualNetwork.id";
	const char *id = model_str(doc, at);
	struct resource *vnet = reference(z, id, "Microsoft.Network/virtualNetworks", at, e);
	bool on = registers(doc);

	if (!vnet) {
		return -1;
	}
	if (r && strcasecmp(model_str(r->doc, at), id) != 0) {
		return err_set_at(e, ERR_INVALID, "PropertyChangeNotAllowed", at,
		                  "The virtual network of a link cannot be changed; delete and "
		                  "create the link again.");
	}
	if (!r && z->zone->links >= ZONE_LINKS_MAX) {
		return err_set_at(e, ERR_CONFLICT, "VirtualNetworkLinkLimitReached", "",
		                  "A zone has at most %u links.", ZONE_LINKS_MAX);
	}
	if (on && !(r && registers(r->doc)) && z->zone->registering >= ZONE_REGISTER_MAX) {
		return err_set_at(e, ERR_CONFLICT, "VirtualNetworkLinkLimitReached",
		                  "properties.registrationEnabled",
		                  "A zone has at most %u links with registration.",
		                  ZONE_REGISTER_MAX);
	}
	return check_other_links(full, vnet, on, e);
}

/* The zone's record set of that type and name, as stored; NULL: none. */
static struct resource *record_at(const struct resource *z, const char *type, const char *name)
{
	char id[2200];

	snprintf(id, sizeof(id), "%s/%s/%s", z->key, type, name);
	AUTO_FREE char *key = table_key(id);
	return table_get(key);
}

static int check_record(const struct resource *r, struct resource *z, const char *type,
                        const char *name, const json_t *doc, struct err *e)
{
	bool alias = strcmp(type, "CNAME") == 0;

	if (zone_record_check(type, name, doc, e) < 0 ||
	    zone_health_room(z, name, type, doc, e) < 0) {
		return -1;
	}
	uint8_t wire[DNS_NAME_MAX];
	int n = zone_record_name(name, wire);
	if ((size_t)n + z->zone->len > DNS_NAME_MAX) {
		return err_set_at(e, ERR_INVALID, "BadRequest", "name",
		                  "The record set name is too long: with the zone's, a name has at "
		                  "most 253 characters.");
	}
	for (size_t i = 0; zone_record_types[i]; i++) {
		const char *other = zone_record_types[i];

		if (strcmp(other, type) != 0 && (alias || strcmp(other, "CNAME") == 0) &&
		    record_at(z, other, name)) {
			return err_set_at(
				e, ERR_CONFLICT, "CNAMERecordConflict", "",
				"A CNAME record set cannot be beside others: '%.100s' has "
				"one of type %s.",
				name, other);
		}
	}
	if (!r && plane.config->limit_records &&
	    tenant_of(z->id)->records >= plane.config->limit_records) {
		return err_set_at(e, ERR_CONFLICT, "RecordSetQuotaReached", "",
		                  "Cannot create more than %lld record sets for this subscription.",
		                  (long long)plane.config->limit_records);
	}
	if (!r && z->zone->records >= ZONE_RECORDS_MAX) {
		return err_set_at(e, ERR_CONFLICT, "RecordSetLimitReached", "",
		                  "A zone has at most %u record sets.", ZONE_RECORDS_MAX);
	}
	return 0;
}

/* ---- PUT ---- */

static void lower(char *s)
{
	for (; *s; s++) {
		*s = (char)tolower((unsigned char)*s);
	}
}

/* "Global", however it is spelt, is where zones and links are. */
static int check_place(json_t *doc, struct err *e)
{
	const char *at = model_str(doc, "location");

	if (*at && strcasecmp(at, "global") != 0) {
		return err_set_at(e, ERR_INVALID, "LocationNotAvailableForResourceType", "location",
		                  "The location of private DNS zones and their links is 'global', "
		                  "not '%.80s'.",
		                  at);
	}
	json_object_set_new(doc, "location", json_string("global"));
	return 0;
}

/* SOA: the server's name is the service's. */
static void complete_soa(json_t *doc)
{
	json_t *soa = model_at(doc, "properties.soaRecord");
	json_auto_t *preset = zone_record_soa_doc();

	if (soa) {
		json_object_set(soa, "host", model_at(preset, "soaRecord.host"));
	}
}

static struct resource *accept(struct resource *r, const char *id, const struct model_type *type,
                               const json_t *doc)
{
	if (r) {
		change_set(r, doc);
		return r;
	}
	r = table_add(id, type, model_public(type, doc));
	r->etag = 1;
	return r;
}

static int put_child(struct resource *r, struct resource *z, const struct model_id *id,
                     const struct model_type *type, json_t *doc, struct change *ret, struct err *e)
{
	const char *kind = strrchr(type->name, '/') + 1;
	char full[2200];

	snprintf(full, sizeof(full), "%s/%s/%s", z->id, kind, id->child);
	bool made = r == NULL, link = strcmp(kind, "virtualNetworkLinks") == 0;
	bool was = r && registers(r->doc);
	if (!link) {
		lower(full + strlen(z->id) + 1 + strlen(kind));
		complete_soa(doc);
	}
	const char *name = full + strlen(z->id) + strlen(kind) + 2;
	if (link ? check_place(doc, e) < 0 || check_link(r, z, full, doc, e) < 0
	         : check_record(r, z, kind, name, doc, e) < 0) {
		return -1;
	}
	r = accept(r, full, type, doc);
	if (made) {
		count(r, 1);
	} else if (link) {
		z->zone->registering += (unsigned)registers(doc) - (unsigned)was;
	}
	if (link) {
		zone_tell_link(r, true);
	} else {
		zone_tell_record(r, true);
	}
	*ret = (struct change){ .r = r, .created = made, .pending = true };
	return 0;
}

int zone_put(struct resource *r, const struct model_id *id, const char *full,
             const struct model_type *type, json_t *doc, struct change *ret, struct err *e)
{
	bool made = r == NULL;

	if (id->child) {
		struct resource *z = parent_of(full);

		return z ? put_child(r, z, id, type, doc, ret, e)
		         : err_set_at(e, ERR_NOT_FOUND, "ParentResourceNotFound", "",
		                      "The private DNS zone '%.80s' was not found.", id->name);
	}
	if (check_zone(id->name, e) < 0 || check_place(doc, e) < 0) {
		return -1;
	}
	r = accept(r, full, type, doc);
	if (made) {
		zone_make(r);
		zone_tell(r);
	}
	*ret = (struct change){ .r = r, .created = made, .pending = true };
	return 0;
}

/* ---- DELETE ---- */

int zone_removable(const struct resource *r, struct err *e)
{
	if (zone_is(r) && r->zone->links > 0) {
		return err_set_at(
			e, ERR_CONFLICT, "CannotDeleteResource", "",
			"Can not delete resource before nested resources are deleted: the "
			"zone has %u virtual network links.",
			r->zone->links);
	}
	if (zone_is_record(r) && strcmp(r->type->name, ZONE_TYPE "/SOA") == 0) {
		return err_set_at(e, ERR_INVALID, "BadRequest", "",
		                  "The SOA record set goes with its zone.");
	}
	return 0;
}

/* Rows whose keys begin with the zone's. */
static void remove_children(const struct resource *z)
{
	AUTO_FREE char *prefix = NULL;
	struct resource *x;

	if (asprintf(&prefix, "%s/", z->key) < 0) {
		abort();
	}
	size_t n = strlen(prefix);
	while ((x = table_at(table_from(prefix))) && strncmp(x->key, prefix, n) == 0) {
		change_forget(x);
	}
}

void zone_gone(struct resource *r)
{
	if (zone_is(r)) {
		struct zone *gone = r->zone;

		zone_tell_gone(r);
		r->zone = NULL; /* nothing more is told of it */
		remove_children(r);
		free(gone);
	} else if (zone_is_link(r)) {
		zone_tell_link(r, false);
		count(r, -1);
	} else if (zone_is_record(r)) {
		zone_tell_record(r, false);
		count(r, -1);
	} else if (strcmp(r->type->name, "Microsoft.Network/virtualNetworks") == 0) {
		/* Azure: the VNet takes its links, and what was registered, along. */
		struct zone_link_walk w = { .vnet = table_number(r) };
		struct resource *link;

		while ((link = zone_next_link(&w))) {
			change_forget(link);
			w.after = NULL;
		}
	}
}

/* ---- GET ---- */

static void view_zone(const struct resource *r, json_t *props)
{
	static const struct {
		const char *name;
		unsigned max;
	} limits[] = { { "maxNumberOfRecordSets", ZONE_RECORDS_MAX },
		       { "maxNumberOfVirtualNetworkLinks", ZONE_LINKS_MAX },
		       { "maxNumberOfVirtualNetworkLinksWithRegistration", ZONE_REGISTER_MAX } };
	bool soa = record_at(r, "SOA", "@") != NULL;

	for (size_t i = 0; i < ARRAY_N(limits); i++) {
		json_object_set_new(props, limits[i].name, json_integer(limits[i].max));
	}
	unsigned registered = zone_count_registered(r);
	json_object_set_new(props, "numberOfRecordSets",
	                    json_integer(r->zone->records + !soa + registered));
	json_object_set_new(props, "numberOfVirtualNetworkLinks", json_integer(r->zone->links));
	json_object_set_new(props, "numberOfVirtualNetworkLinksWithRegistration",
	                    json_integer(r->zone->registering));
}

static void view_record(const char *zone, const char *name, bool registered, json_t *props)
{
	char fqdn[600];

	snprintf(fqdn, sizeof(fqdn), "%s%s%s.", strcmp(name, "@") == 0 ? "" : name,
	         strcmp(name, "@") == 0 ? "" : ".", zone);
	json_object_set_new(props, "fqdn", json_string(fqdn));
	json_object_set_new(props, "isAutoRegistered", json_boolean(registered));
	json_object_del(props, "provisioningState");
}

void zone_view(const struct resource *r, json_t *doc)
{
	json_t *props = json_object_get(doc, "properties");
	const struct resource *z = zone_of(r);

	if (zone_is(r)) {
		view_zone(r, props);
	} else if (zone_is_link(r)) {
		json_object_set_new(props, "virtualNetworkLinkState", json_string("Completed"));
		if (!json_object_get(props, "registrationEnabled")) {
			json_object_set_new(props, "registrationEnabled", json_false());
		}
		if (!json_object_get(props, "resolutionPolicy")) {
			json_object_set_new(props, "resolutionPolicy", json_string("Default"));
		}
	} else if (z) {
		view_record(z->name, r->name, false, props);
		json_t *soa = json_object_get(props, "soaRecord");
		if (soa) {
			json_object_set_new(soa, "serialNumber", json_integer((json_int_t)r->etag));
		}
	}
}

json_t *zone_view_registered(const struct resource *z, const char *type, const char *name)
{
	json_t *props = zone_registered_properties(z, type, name), *view;
	char id[2200], kind[120];

	if (!props && strcmp(type, "SOA") == 0 && strcmp(name, "@") == 0) {
		props = zone_record_soa_doc(); /* as every zone begins with */
	}
	if (!props) {
		return NULL;
	}
	view_record(z->name, name, strcmp(type, "SOA") != 0, props);
	snprintf(id, sizeof(id), "%s/%s/%s", z->id, type, name);
	snprintf(kind, sizeof(kind), ZONE_TYPE "/%s", type);
	view = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", id, "name", name, "type", kind, "etag",
	                 "W/\"0\"", "properties", props);
	return view;
}
