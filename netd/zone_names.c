/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the dns role is told: zones, the names in them, and which VNet sees which. A name is always told
 * whole: what a tenant put there, and what his groups register. See zone.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/zone.h"
#include "lib/base/own.h"
#include "netd/roster.h"
#include "netd/subnet.h"
#include "netd/zone.h"
#include "netd/zone_parts.h"

#define REGISTERED_TTL 10 /* seconds; Azure's */

static struct where groups;           /* registered: by VNet and a digest of the name */
static struct where by_vnet, by_zone; /* links, at no address */
static const struct ip nowhere;

static uint32_t vnet_of(const struct resource *g)
{
	return (uint32_t)json_integer_value(json_object_get(g->status, "vnet"));
}

struct resource *zone_next_link(struct zone_link_walk *w)
{
	w->after = w->vnet ? where_next(&by_vnet, w->vnet, &nowhere, w->after)
	                   : where_next(&by_zone, w->zone, &nowhere, w->after);
	return w->after ? (struct resource *)w->after->value : NULL;
}

static bool link_registers(const struct resource *link)
{
	return json_is_true(model_at(link->doc, "properties.registrationEnabled"));
}

/* ---- what a name has ---- */

static void add_address(struct dns_sets *sets, const struct resource *g, const char *key)
{
	struct ip ip = table_ip(g->status, key);

	if (ip.family) {
		dns_sets_add(sets, ip.family == 4 ? DNS_A : DNS_AAAA, REGISTERED_TTL, ip.b,
		             ip.family == 4 ? 4 : 16);
	}
}

/* Addresses of the VNet's groups of that name. */
static void add_registered(struct dns_sets *sets, uint32_t vnet, const char *name, bool v4, bool v6)
{
	struct ip at = where_named(name, strlen(name));
	const struct where_entry *x = NULL;

	while ((x = where_next(&groups, vnet, &at, x))) {
		const struct resource *g = (const struct resource *)x->value;

		if (strcmp(g->name, name) == 0) {
			if (v4) {
				add_address(sets, g, "ip4");
			}
			if (v6) {
				add_address(sets, g, "ip6");
			}
		}
	}
}

static void add_from_links(struct dns_sets *sets, const struct resource *zone, const char *name,
                           bool v4, bool v6)
{
	struct zone_link_walk w = { .zone = table_number((struct resource *)(uintptr_t)zone) };
	const struct resource *link;

	while ((link = zone_next_link(&w))) {
		struct resource *v = link_registers(link) ? zone_link_vnet(link) : NULL;

		if (v) {
			add_registered(sets, table_number(v), name, v4, v6);
		}
	}
}

static const struct resource *stored(const struct resource *zone, const char *type,
                                     const char *name)
{
	char id[2200];

	snprintf(id, sizeof(id), "%s/%s/%s", zone->key, type, name);
	AUTO_FREE char *key = table_key(id);
	return table_get(key);
}

/* All that a name of a private zone has; what is stored wins over what is registered. `except` is left out. */
static void whole_name(const struct resource *zone, const char *name, const struct resource *except,
                       struct dns_sets *to)
{
	bool alias = false, v4 = true, v6 = true, soa = strcmp(name, "@") == 0;

	for (size_t i = 0; zone_record_types[i]; i++) {
		const char *type = zone_record_types[i];
		const struct resource *r = stored(zone, type, name);

		if (!r || r == except) {
			continue;
		}
		json_auto_t *doc = zone_health_doc(table_number((struct resource *)(uintptr_t)zone),
		                                   tenant_of(zone->id)->number, name, type, r->doc);
		zone_record_data(type, doc, to);
		alias = alias || strcmp(type, "CNAME") == 0;
		v4 = v4 && strcmp(type, "A") != 0;
		v6 = v6 && strcmp(type, "AAAA") != 0;
		soa = soa && strcmp(type, "SOA") != 0;
	}
	if (soa) {
		zone_record_soa(NULL, to);
	}
	if (!alias && (v4 || v6) && zone->zone->registering > 0) {
		add_from_links(to, zone, name, v4, v6);
	}
}

static void tell_name(struct batch *b, const struct resource *zone, const char *name,
                      const struct resource *except)
{
	struct dns_sets sets = { 0 };
	uint8_t wire[DNS_NAME_MAX];
	int n = zone_record_name(name, wire);

	if (n >= 0 && zone->zone) {
		whole_name(zone, name, except, &sets);
		batch_name(b, table_number((struct resource *)(uintptr_t)zone), wire, (size_t)n,
		           &sets);
	}
}

void zone_name_again(uint32_t number, const char *name)
{
	const struct resource *zone = table_numbered(number);
	struct batch b;

	if (zone && zone->zone) {
		batch_begin(&b, 0);
		tell_name(&b, zone, name, NULL);
		batch_end(&b);
	}
}

/* ---- registration ---- */

/* The names that lead back from a group's address. */
static void tell_reverse(struct batch *b, const struct resource *g, const char *key, bool there)
{
	struct ip ip = table_ip(g->status, key);
	uint8_t name[DNS_NAME_MAX], data[DNS_NAME_MAX + 1];
	struct dns_sets sets = { 0 };
	struct zone_link_walk w = { .vnet = vnet_of(g) };
	const struct resource *link;
	char text[700];
	size_t len;
	uint64_t zone;

	if (!ip.family || !zone_reverse_at(vnet_of(g), &ip, &zone, name, &len)) {
		return;
	}
	snprintf(text, sizeof(text), "%s.%s", g->name, plane.config->vnet_suffix);
	int n = dns_data_name(text, data);
	if (there && n > 0) {
		dns_sets_add(&sets, DNS_PTR, REGISTERED_TTL, data, (size_t)n);
	}
	while (there && (link = zone_next_link(&w))) {
		const struct resource *z = link_registers(link) ? zone_of(link) : NULL;

		if (z) {
			snprintf(text, sizeof(text), "%s.%s", g->name, z->name);
			n = dns_data_name(text, data);
			if (n > 0) {
				dns_sets_add(&sets, DNS_PTR, REGISTERED_TTL, data, (size_t)n);
			}
		}
	}
	batch_name(b, zone, name, len, &sets);
}

static void tell_own_name(struct batch *b, const struct resource *g)
{
	struct dns_sets sets = { 0 };
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(g->name, wire);

	if (n > 0) {
		add_registered(&sets, vnet_of(g), g->name, true, true);
		batch_name(b, zone_own(vnet_of(g)), wire, (size_t)n, &sets);
	}
}

bool zone_group_registered(const struct resource *g)
{
	struct ip at = where_named(g->name, strlen(g->name));
	const struct where_entry *x = NULL;

	while ((x = where_next(&groups, vnet_of(g), &at, x))) {
		if (x->value == (uintptr_t)g) {
			return true;
		}
	}
	return false;
}

/* The group's names in its VNet's zones, as they are now. */
static void tell_group(struct batch *b, const struct resource *g, bool there)
{
	struct zone_link_walk w = { .vnet = vnet_of(g) };
	const struct resource *link;

	tell_own_name(b, g);
	while ((link = zone_next_link(&w))) {
		const struct resource *z = link_registers(link) ? zone_of(link) : NULL;

		if (z) {
			tell_name(b, z, g->name, NULL);
		}
	}
	tell_reverse(b, g, "ip4", there);
	tell_reverse(b, g, "ip6", there);
}

bool zone_group_named(const struct resource *g)
{
	return vnet_of(g) != 0;
}

void zone_group(const struct resource *g, bool there, uint64_t request)
{
	static const char *const keys[] = { "pub4", "pub6" };
	struct ip at = where_named(g->name, strlen(g->name)), ips[2];
	struct batch b;
	size_t n = 0;

	batch_begin(&b, request);
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		ips[n] = table_ip(g->status, keys[i]);
		n += ips[n].family != 0;
	}
	zone_public_name(&b, model_str(g->status, "fqdn"), ips, n, there);
	if (vnet_of(g)) {
		(there ? where_add : where_drop)(&groups, vnet_of(g), &at, (uintptr_t)g);
		tell_group(&b, g, there);
	}
	batch_end(&b);
}

/* All groups that are registered in the VNet are told of anew. */
void zone_tell_groups(uint32_t vnet)
{
	const struct resource *g;
	struct batch b;

	batch_begin(&b, 0);
	for (size_t i = 0; (g = roster_at(vnet, i)); i++) {
		if (g->group && zone_group_registered(g)) {
			tell_group(&b, g, true);
		}
	}
	batch_end(&b);
}

/* ---- what was registered, for GET ---- */

json_t *zone_registered_properties(const struct resource *zone, const char *type, const char *name)
{
	bool v4 = strcmp(type, "A") == 0, v6 = strcmp(type, "AAAA") == 0;
	struct dns_sets sets = { 0 };
	json_t *list = json_array();
	char text[IP_TEXT];

	if ((v4 || v6) && zone->zone->registering > 0 && !stored(zone, type, name) &&
	    !stored(zone, "CNAME", name)) {
		add_from_links(&sets, zone, name, v4, v6);
	}
	for (size_t i = 0; i < sets.n; i++) {
		struct dns_set s = dns_sets_close(&sets)[i];
		const uint8_t *data;
		uint16_t n;

		while ((data = dns_set_next(&s, &n))) {
			struct ip ip = { .family = v4 ? 4 : 6 };

			memcpy(ip.b, data, n);
			json_array_append_new(list,
			                      json_pack("{s:s}", v4 ? "ipv4Address" : "ipv6Address",
			                                ip_format(&ip, text)));
		}
	}
	dns_sets_fini(&sets);
	if (json_array_size(list) == 0) {
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:i, s:o}", "ttl", REGISTERED_TTL, v4 ? "aRecords" : "aaaaRecords",
	                 list);
}

json_t *zone_registered_list(const struct resource *zone)
{
	static const char *const types[] = { "A", "AAAA" };
	json_t *list = json_array();
	struct zone_link_walk w = { .zone = table_number((struct resource *)(uintptr_t)zone) };
	const struct resource *link;

	while (zone->zone->registering > 0 && (link = zone_next_link(&w))) {
		struct resource *v = link_registers(link) ? zone_link_vnet(link) : NULL;

		for (size_t i = 0; v && i < plane.n; i++) {
			const struct resource *g = plane.v[i];

			if (!g->group || vnet_of(g) != table_number(v) ||
			    !zone_group_registered(g)) {
				continue;
			}
			for (size_t k = 0; k < ARRAY_N(types); k++) {
				json_t *props = zone_registered_properties(zone, types[k], g->name);

				if (props) {
					json_array_append_new(list,
					                      json_pack("{s:s, s:s}", "type",
					                                types[k], "name", g->name));
					json_decref(props);
				}
			}
		}
	}
	return list;
}

unsigned zone_count_registered(const struct resource *zone)
{
	json_auto_t *list = zone->zone->registering ? zone_registered_list(zone) : NULL;

	return (unsigned)json_array_size(list);
}

/* ---- private zones ---- */

void zone_send_zone(uint64_t number, const uint8_t *origin, size_t len)
{
	struct buf b = { 0 };

	put_u64(&b, number);
	put_u32(&b, zone_serial_next());
	put_u8(&b, (uint8_t)len);
	buf_add(&b, origin, len);
	zone_send(number, MSG_ZONE_SET, &b);
	buf_fini(&b);
}

void zone_tell(const struct resource *zone)
{
	struct batch b;

	zone_send_zone(table_number((struct resource *)(uintptr_t)zone), zone->zone->origin,
	               zone->zone->len);
	batch_begin(&b, 0);
	tell_name(&b, zone, "@", NULL);
	batch_end(&b);
}

void zone_tell_gone(const struct resource *zone)
{
	uint32_t number = table_number((struct resource *)(uintptr_t)zone);

	zone_gone_everywhere(number);
	zone_health_forget_zone(number);
}

void zone_tell_record(const struct resource *r, bool there)
{
	const struct resource *zone = zone_of(r);
	struct batch b;

	if (zone && zone->zone) {
		batch_begin(&b, 0);
		tell_name(&b, zone, r->name, there ? NULL : r);
		batch_end(&b);
		if (!there) {
			zone_health_forget(table_number((struct resource *)(uintptr_t)zone),
			                   r->name, strrchr(r->type->name, '/') + 1);
		}
	}
}

void zone_tell_link(const struct resource *link, bool there)
{
	struct resource *zone = zone_of(link), *vnet = zone_link_vnet(link);
	void (*change)(struct where *, uint32_t, const struct ip *, uintptr_t) =
		there ? where_add : where_drop;

	if (!zone || !vnet) {
		return;
	}
	change(&by_zone, table_number(zone), &nowhere, (uintptr_t)link);
	change(&by_vnet, table_number(vnet), &nowhere, (uintptr_t)link);
	if (!there) { /* out of sight first */
		zone_tell_vnet(table_number(vnet));
	}
	zone_tell_registration(zone, table_number(vnet));
	if (there) {
		zone_tell_vnet(table_number(vnet));
	}
}

static void tell_registered(const struct resource *zone, uint32_t vnet, bool reverse)
{
	struct batch b;

	batch_begin(&b, 0);
	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *g = plane.v[i];

		if (!g->group || vnet_of(g) != vnet || !zone_group_registered(g)) {
			continue;
		}
		tell_name(&b, zone, g->name, NULL);
		if (reverse) {
			tell_reverse(&b, g, "ip4", true);
			tell_reverse(&b, g, "ip6", true);
		}
	}
	batch_end(&b);
}

/* Names that the VNet's groups have, or had, in the zone. */
void zone_tell_registration(const struct resource *zone, uint32_t vnet)
{
	tell_registered(zone, vnet, true);
}

void zone_tell_whole(const struct resource *zone)
{
	char prefix[2000];
	struct batch b;

	zone_tell(zone);
	batch_begin(&b, 0);
	int n = snprintf(prefix, sizeof(prefix), "%s/", zone->key);
	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, (size_t)n) == 0; i++) {
		if (zone_is_record(table_at(i))) {
			tell_name(&b, zone, table_at(i)->name, NULL);
		}
	}
	batch_end(&b);
	struct zone_link_walk w = { .zone = table_number((struct resource *)(uintptr_t)zone) };
	const struct resource *link;
	while ((link = zone_next_link(&w))) {
		struct resource *v = link_registers(link) ? zone_link_vnet(link) : NULL;

		if (v) {
			tell_registered(zone, table_number(v), false);
		}
	}
}

void zone_list_private(void)
{
	struct batch b;

	for (size_t i = 0; i < plane.n; i++) {
		if (zone_is(plane.v[i]) && plane.v[i]->zone) {
			zone_tell(plane.v[i]);
		}
	}
	batch_begin(&b, 0);
	for (size_t i = 0; i < plane.n; i++) {
		const struct resource *zone =
			zone_is_record(plane.v[i]) ? zone_of(plane.v[i]) : NULL;

		if (zone) {
			tell_name(&b, zone, plane.v[i]->name, NULL);
		}
	}
	batch_end(&b);
}
