/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Public zones: those of groups' and addresses' labels, the reverse zones of the pools, and what the administrator adds,
 * by master files (key dns-zone, zone_file.c) or over the API. See zone.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "dns/zone.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/zone_parts.h"

#define LOOK_MS     2000 /* how often files are looked at */
#define REVERSE_MAX 1024 /* reverse zones of all pools */

#define REVERSE \
	(UINT64_C(1) << 63) /* numbers of reverse zones, and of those that only a file names */
#define FILED   (UINT64_C(1) << 62)
#define CATALOG (UINT64_C(1) << 61)

struct public_zone {
	uint64_t number;
	uint8_t origin[DNS_NAME_MAX];
	size_t len;
	const char *path; /* NULL: no file */
	struct timespec changed;
	off_t size;
	struct zone_file_record *v; /* of the file, sorted by name */
	size_t n;
};

static struct public_zone *zones;
static size_t n_zones;
static int64_t looked_ms;

/* ---- records that were put over the API ---- */

struct put {
	uint64_t zone;
	char name[300]; /* as in a path, "@" the zone's own */
	const char *type;
	json_t *doc;
};
static struct put *given;
static size_t n_given;

/* ---- which zones there are ---- */

static struct public_zone *zone_add(uint64_t number, const uint8_t *origin, size_t len)
{
	struct public_zone *v = realloc(zones, (n_zones + 1) * sizeof(*v));

	if (!v) {
		abort();
	}
	zones = v;
	zones[n_zones] = (struct public_zone){ .number = number, .len = len };
	memcpy(zones[n_zones].origin, origin, len);
	return &zones[n_zones++];
}

static struct public_zone *zone_at(const uint8_t *origin, size_t len)
{
	for (size_t i = 0; i < n_zones; i++) {
		if (zones[i].len == len && memcmp(zones[i].origin, origin, len) == 0) {
			return &zones[i];
		}
	}
	return NULL;
}

/* The zone with the longest origin that the name is under, and is not. */
static struct public_zone *zone_around(const uint8_t *name, size_t len)
{
	struct public_zone *best = NULL;

	for (size_t i = 0; i < n_zones; i++) {
		if (len > zones[i].len &&
		    dns_name_under(name, len, zones[i].origin, zones[i].len) &&
		    (!best || zones[i].len > best->len)) {
			best = &zones[i];
		}
	}
	return best;
}

/* IPv4 pools below /24 as RFC 2317 has it: "64/26" before the /24's name. */
static void add_classless(const struct ip_prefix *p)
{
	uint8_t origin[DNS_NAME_MAX + 16];
	int n = snprintf((char *)origin + 1, 16, "%u/%u", p->ip.b[3], p->len);
	struct ip_prefix around = { p->ip, 24 };

	origin[0] = (uint8_t)n;
	around.ip.b[3] = 0;
	size_t len = (size_t)n + 1;
	len += dns_name_reverse(4, around.ip.b, 3, origin + len);
	if (!zone_at(origin, len)) {
		(void)zone_add(REVERSE | n_zones, origin, len);
	}
}

static void add_reverse(const struct ip_prefix *p)
{
	uint8_t origin[DNS_NAME_MAX];

	if (p->ip.family == 4 && p->len > 24) {
		add_classless(p);
		return;
	}
	for (size_t i = 0; i < zone_pieces(p) && n_zones < REVERSE_MAX; i++) {
		size_t len = zone_piece_origin(p, i, origin);

		if (!zone_at(origin, len)) {
			(void)zone_add(REVERSE | n_zones, origin, len);
		}
	}
}

static void add_suffix(uint64_t number, const char *suffix)
{
	uint8_t origin[DNS_NAME_MAX];
	char text[300];

	snprintf(text, sizeof(text), "%s.%s", plane.config->region, suffix);
	int n = dns_name_parse(text, origin);
	if (n > 0) {
		(void)zone_add(number, origin, (size_t)n);
	}
}

static void list_zones(void)
{
	if (n_zones > 0) {
		return;
	}
	add_suffix(ZONE_GROUPS, plane.config->dns_suffix);
	add_suffix(ZONE_ADDRESSES, plane.config->ip_suffix);
	for (int i = 0; i < plane.config->n_pools; i++) {
		add_reverse(&plane.config->pools[i]);
	}
	for (size_t i = 0; i < plane.config->n_zone_files; i++) {
		uint8_t origin[DNS_NAME_MAX];
		int n = dns_name_parse(plane.config->zone_files[i].origin, origin);
		struct public_zone *z = n > 0 ? zone_at(origin, (size_t)n) : NULL;

		if (n > 0 && !z) {
			z = zone_add(FILED | n_zones, origin, (size_t)n);
		}
		if (z) {
			z->path = plane.config->zone_files[i].path;
		}
	}
	uint8_t catalog[DNS_NAME_MAX];
	int n = dns_name_parse(plane.config->dns_catalog, catalog);
	if (plane.config->dns_catalog[0] && n > 0 && !zone_at(catalog, (size_t)n)) {
		(void)zone_add(CATALOG, catalog, (size_t)n);
	}
}

/* ---- what a name of a public zone has ---- */

static bool has_type(const struct dns_sets *s, uint16_t type)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i].type == type) {
			return true;
		}
	}
	return false;
}

/* The first record of that name in the file; z->n: none. */
static size_t file_at(const struct public_zone *z, const uint8_t *name, size_t len)
{
	struct zone_file_record key = { .len = (uint8_t)len };
	size_t lo = 0, hi = z->n;

	memcpy(key.name, name, len);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (zone_file_order(&z->v[mid], &key) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo < z->n && zone_file_order(&z->v[lo], &key) == 0 ? lo : z->n;
}

/* What the administrator gave it. */
static void fixed_name(const struct public_zone *z, const uint8_t *name, size_t len,
                       struct dns_sets *to)
{
	for (size_t i = file_at(z, name, len);
	     i < z->n && z->v[i].len == len && memcmp(z->v[i].name, name, len) == 0; i++) {
		dns_sets_add(to, z->v[i].type, z->v[i].ttl_s, z->v[i].data, z->v[i].n);
	}
	for (size_t i = 0; i < n_given; i++) {
		uint8_t wire[DNS_NAME_MAX];
		int n = given[i].zone == z->number ? zone_record_name(given[i].name, wire) : -1;

		if (n >= 0 && (size_t)n == len && memcmp(wire, name, len) == 0) {
			json_auto_t *doc = zone_health_doc(z->number, 0, given[i].name,
			                                   given[i].type, given[i].doc);
			zone_record_data(given[i].type, doc, to);
		}
	}
}

/* The address of the name server itself, as it listens. */
static bool own_address(struct ip *ip)
{
	struct err e = ERR_INIT;
	uint16_t port;

	return ip_endpoint_parse(plane.config->listen_dns, 0, ip, &port, &e) == 0;
}

static const uint8_t ns1[] = { 3, 'n', 's', '1' };

/* What every zone has, where the administrator did not say otherwise. */
static void preset_name(const struct public_zone *z, size_t len, const uint8_t *name,
                        struct dns_sets *to)
{
	uint32_t negative = plane.config->ttl_s < 5 ? (uint32_t)plane.config->ttl_s : 5;
	struct ip ip;

	if (len == 0) {
		struct dns_sets preset = { 0 };

		zone_preset_apex(z->origin, z->len, negative, &preset);
		const struct dns_set *v = dns_sets_close(&preset);
		for (size_t i = 0; i < preset.n; i++) {
			struct dns_set s = v[i];
			const uint8_t *data;
			uint16_t n;

			while (!has_type(to, s.type) && (data = dns_set_next(&s, &n))) {
				dns_sets_add(to, v[i].type, v[i].ttl_s, data, n);
				break; /* one SOA, one name server */
			}
		}
		dns_sets_fini(&preset);
		char text[DNS_NAME_TEXT];
		zone_keys_records(dns_name_print(z->origin, z->len, text), z->origin, z->len, to);
	} else if (len == sizeof(ns1) && memcmp(name, ns1, len) == 0 && to->n == 0 &&
	           own_address(&ip)) {
		dns_sets_add(to, ip.family == 4 ? DNS_A : DNS_AAAA, (uint32_t)plane.config->ttl_s,
		             ip.b, ip.family == 4 ? 4 : 16);
	}
}

static void tell_fixed(struct batch *b, const struct public_zone *z, const uint8_t *name,
                       size_t len)
{
	struct dns_sets sets = { 0 };

	fixed_name(z, name, len, &sets);
	preset_name(z, len, name, &sets);
	batch_name(b, z->number, name, len, &sets);
}

static void tell_catalog(const struct public_zone *z)
{
	struct batch b;

	zone_send_zone(z->number, z->origin, z->len);
	batch_begin(&b, 0);
	zone_catalog_begin(&b, z->number);
	for (size_t i = 0; i < n_zones; i++) {
		if (&zones[i] != z) {
			zone_catalog_member(&b, z->number, zones[i].origin, zones[i].len);
		}
	}
	batch_end(&b);
}

static void tell_zone(const struct public_zone *z)
{
	struct batch b;
	char text[DNS_NAME_TEXT];

	if (z->number == CATALOG) {
		tell_catalog(z);
		return;
	}
	zone_send_zone(z->number, z->origin, z->len);
	zone_keys_tell(z->number, dns_name_print(z->origin, z->len, text));
	batch_begin(&b, 0);
	tell_fixed(&b, z, z->origin, 0);
	tell_fixed(&b, z, ns1, sizeof(ns1));
	for (size_t i = 0; i < z->n; i++) {
		if (i == 0 || zone_file_order(&z->v[i - 1], &z->v[i]) != 0) {
			tell_fixed(&b, z, z->v[i].name, z->v[i].len);
		}
	}
	for (size_t i = 0; i < n_given; i++) {
		uint8_t wire[DNS_NAME_MAX];
		int n = given[i].zone == z->number ? zone_record_name(given[i].name, wire) : -1;

		if (n >= 0) {
			tell_fixed(&b, z, wire, (size_t)n);
		}
	}
	batch_end(&b);
}

/* ---- files that changed ---- */

static void tell_difference(const struct public_zone *z, const struct zone_file_record *was,
                            size_t n_was)
{
	struct batch b;

	batch_begin(&b, 0);
	for (size_t i = 0; i < n_was; i++) {
		if (i == 0 || zone_file_order(&was[i - 1], &was[i]) != 0) {
			tell_fixed(&b, z, was[i].name, was[i].len);
		}
	}
	for (size_t i = 0; i < z->n; i++) {
		if (i == 0 || zone_file_order(&z->v[i - 1], &z->v[i]) != 0) {
			tell_fixed(&b, z, z->v[i].name, z->v[i].len);
		}
	}
	batch_end(&b);
}

static void look(bool tell)
{
	list_zones();
	for (size_t i = 0; i < n_zones; i++) {
		struct public_zone *z = &zones[i];
		struct err e = ERR_INIT;
		struct stat st;

		if (!z->path || stat(z->path, &st) < 0 ||
		    (st.st_size == z->size && st.st_mtim.tv_sec == z->changed.tv_sec &&
		     st.st_mtim.tv_nsec == z->changed.tv_nsec)) {
			continue;
		}
		struct zone_file_record *was = z->v;
		size_t n_was = z->n;
		z->size = st.st_size;
		z->changed = st.st_mtim;
		if (zone_file_read(z->path, z->origin, z->len, &z->v, &z->n, &e) <
		    0) { /* what was read before stays */
			log_error("dns.file", LOG_STR("error", e.msg));
			continue;
		}
		log_info("dns.file", LOG_STR("path", z->path), LOG_NUM("records", z->n));
		if (tell) {
			tell_difference(z, was, n_was);
		}
		zone_file_free(was, n_was);
	}
}

void zone_public_look(int64_t now_ms)
{
	if (now_ms - looked_ms >= LOOK_MS) {
		looked_ms = now_ms;
		look(true);
	}
}

/* ---- names with addresses ---- */

static void tell_reverse(struct batch *b, const struct ip *ip, const char *fqdn, bool there)
{
	uint8_t name[DNS_NAME_MAX + 16], data[DNS_NAME_MAX + 1];
	size_t len = dns_name_reverse(ip->family, ip->b, ip->family == 4 ? 4 : 32, name);
	const struct public_zone *z = zone_around(name, len);
	struct dns_sets sets = { 0 };

	if (!z && ip->family == 4) { /* RFC 2317: the last octet before the pool's zone */
		size_t label = name[0] + 1u;

		for (size_t i = 0; i < n_zones && !z; i++) {
			unsigned first, bits;
			char text[DNS_NAME_TEXT];

			if (zones[i].len > len - label &&
			    dns_name_under(zones[i].origin, zones[i].len, name + label,
			                   len - label) &&
			    sscanf(dns_name_print(zones[i].origin, zones[i].len, text), "%u/%u",
			           &first, &bits) == 2 &&
			    bits <= 32 &&
			    (unsigned)ip->b[3] >> (32 - bits) == first >> (32 - bits)) {
				z = &zones[i];
			}
		}
		len = z ? label : 0;
	} else if (z) {
		len -= z->len;
	}
	if (!z || len == 0) {
		return;
	}
	fixed_name(z, name, len, &sets);
	int n = there && sets.n == 0 ? dns_data_name(fqdn, data) : -1;
	if (n > 0) {
		dns_sets_add(&sets, DNS_PTR, (uint32_t)plane.config->ttl_s, data, (size_t)n);
	}
	batch_name(b, z->number, name, len, &sets);
}

void zone_public_name(struct batch *b, const char *fqdn, const struct ip *addrs, size_t n,
                      bool there)
{
	uint8_t name[DNS_NAME_MAX];
	struct dns_sets sets = { 0 };
	int len = dns_name_parse(fqdn, name);

	list_zones();
	const struct public_zone *z = len > 0 ? zone_around(name, (size_t)len) : NULL;
	if (!z) {
		return;
	}
	for (size_t i = 0; there && i < n; i++) {
		dns_sets_add(&sets, addrs[i].family == 4 ? DNS_A : DNS_AAAA,
		             (uint32_t)plane.config->ttl_s, addrs[i].b,
		             addrs[i].family == 4 ? 4 : 16);
	}
	batch_name(b, z->number, name, (size_t)len - z->len, &sets);
	for (size_t i = 0; i < n; i++) {
		tell_reverse(b, &addrs[i], fqdn, there);
	}
}

void zone_public(uint64_t request, const char *fqdn, const struct ip *addrs, size_t n, bool there)
{
	struct batch b;

	batch_begin(&b, request);
	zone_public_name(&b, fqdn, addrs, n, there);
	batch_end(&b);
}

bool zone_public_fixed(const char *fqdn)
{
	uint8_t name[DNS_NAME_MAX];
	struct dns_sets sets = { 0 };
	int len = dns_name_parse(fqdn, name);

	list_zones();
	const struct public_zone *z = len > 0 ? zone_around(name, (size_t)len) : NULL;
	if (z) {
		fixed_name(z, name, (size_t)len - z->len, &sets);
		preset_name(z, (size_t)len - z->len, name, &sets);
	}
	bool fixed = sets.n > 0;
	dns_sets_fini(&sets);
	return fixed;
}

/* ---- over the API ---- */

int zone_public_put(const char *origin, const char *type, const char *name, json_t *doc,
                    zone_stored_fn *done, void *arg, struct err *e)
{
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(origin, wire);
	char key[800];
	struct batch b;

	list_zones();
	const struct public_zone *z = n > 0 ? zone_at(wire, (size_t)n) : NULL;
	if (!z) {
		return err_set_at(e, ERR_NOT_FOUND, NULL, NULL,
		                  "'%.100s' is no public zone of this server.", origin);
	}
	if (z->number == CATALOG) {
		return err_set_at(e, ERR_INVALID, "BadRequest", NULL,
		                  "'%.100s' is the catalog of the public zones, which the server "
		                  "writes itself.",
		                  origin);
	}
	if (doc && zone_record_check(type, name, doc, e) < 0) {
		return -1;
	}
	size_t i = 0;
	while (i < n_given && (given[i].zone != z->number || strcmp(given[i].type, type) != 0 ||
	                       strcasecmp(given[i].name, name) != 0)) {
		i++;
	}
	if (i == n_given && !doc) {
		return 0;
	}
	if (i == n_given) {
		struct put *v = realloc(given, (n_given + 1) * sizeof(*v));

		if (!v) {
			abort();
		}
		given = v;
		given[n_given++] = (struct put){ .zone = z->number, .type = type };
		snprintf(given[i].name, sizeof(given[i].name), "%.299s", name);
	}
	json_decref(given[i].doc);
	given[i].doc = json_incref(doc);
	if (!doc) {
		given[i] = given[--n_given];
		zone_health_forget(z->number, name, type);
	}
	snprintf(key, sizeof(key), "dns/%.255s/%s/%.300s", origin, type, name);
	AUTO_FREE char *low = table_key(key), *row = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	store_submit(plane.store, &(struct store_op){ .key = low, .value = row }, 1, done, arg);
	n = zone_record_name(name, wire);
	batch_begin(&b, 0);
	tell_fixed(&b, z, wire, (size_t)n);
	batch_end(&b);
	return 1;
}

void zone_public_load(const char *what, json_t *row)
{
	AUTO_FREE char *copy = strdup(what);
	char *type = strchr(copy, '/'), *name = type ? strchr(type + 1, '/') : NULL;
	uint8_t wire[DNS_NAME_MAX];

	if (!name) {
		return;
	}
	*type++ = *name++ = '\0';
	list_zones();
	int n = dns_name_parse(copy, wire);
	const struct public_zone *z = n > 0 ? zone_at(wire, (size_t)n) : NULL;
	struct put *v =
		z && zone_record_type(type) ? realloc(given, (n_given + 1) * sizeof(*v)) : NULL;
	if (v) {
		given = v;
		given[n_given] = (struct put){ .zone = z->number,
			                       .type = zone_record_type(type),
			                       .doc = json_incref(row) };
		snprintf(given[n_given].name, sizeof(given[n_given].name), "%s", name);
		n_given++;
	}
}

void zone_public_again(uint64_t zone, const char *name)
{
	uint8_t wire[DNS_NAME_MAX];
	int n = zone_record_name(name, wire);
	struct batch b;

	for (size_t i = 0; n >= 0 && i < n_zones; i++) {
		if (zones[i].number == zone) {
			batch_begin(&b, 0);
			tell_fixed(&b, &zones[i], wire, (size_t)n);
			batch_end(&b);
		}
	}
}

/* ---- the whole list ---- */

bool zone_is_public(uint64_t number)
{
	return number == ZONE_GROUPS || number == ZONE_ADDRESSES || number >= CATALOG;
}

void zone_public_list(void)
{
	look(false);
	for (size_t i = 0; i < n_zones; i++) {
		tell_zone(&zones[i]);
	}
}

void zone_public_links(struct buf *b, unsigned *n,
                       bool (*hidden)(void *arg, const uint8_t *origin, size_t len), void *arg)
{
	list_zones();
	for (size_t i = 0; i < n_zones; i++) {
		if (!hidden || !hidden(arg, zones[i].origin, zones[i].len)) {
			put_u64(b, zones[i].number);
			put_u8(b, 0);
			(*n)++;
		}
	}
}

json_t *zone_public_view(void)
{
	json_t *list = json_array();
	char text[DNS_NAME_TEXT];

	list_zones();
	for (size_t i = 0; i < n_zones; i++) {
		json_array_append_new(list,
		                      json_pack("{s:s, s:s, s:i}", "name",
		                                dns_name_print(zones[i].origin, zones[i].len, text),
		                                "file", zones[i].path ? zones[i].path : "",
		                                "fileRecords", (int)zones[i].n));
	}
	return list;
}

size_t zone_public_starts(const char *path)
{
	char text[DNS_NAME_TEXT];
	size_t best = 0;

	list_zones();
	for (size_t i = 0; i < n_zones; i++) {
		size_t n = strlen(dns_name_print(zones[i].origin, zones[i].len, text));

		if (n > best && strncasecmp(path, text, n) == 0 &&
		    (path[n] == '/' || path[n] == '\0')) {
			best = n;
		}
	}
	return best;
}

bool zone_public_number(const char *origin, uint64_t *number)
{
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(origin, wire);

	list_zones();
	const struct public_zone *z = n > 0 ? zone_at(wire, (size_t)n) : NULL;
	if (z) {
		*number = z->number;
	}
	return z != NULL;
}

/* Keys first, then the records that name them: nothing is said to be signed that is not. */
void zone_public_keys(const char *origin)
{
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(origin, wire);
	const struct public_zone *z = n > 0 ? zone_at(wire, (size_t)n) : NULL;
	struct batch b;

	if (z && z->number != CATALOG) {
		zone_keys_tell(z->number, origin);
		batch_begin(&b, 0);
		tell_fixed(&b, z, z->origin, 0);
		batch_end(&b);
	}
}
