/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See zones.h.
 */
#include "netd/api/zones.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/zone.h"

#define PAGE 1000 /* members of a list at most */

/* What a list is of. */
struct list {
	const struct resource *zone;
	const char *type; /* of record sets; NULL all */
	bool links;
	char suffix[300]; /* that names end with; "" any */
	char token[400];  /* what the page begins with, "TYPE/NAME" */
	size_t left;
	json_t *value;
	char next[400];
};

/* One member, which lists are sorted by: "TYPE/NAME". false: the page is full. */
static bool add(struct list *l, const char *type, const char *name, json_t *view)
{
	char at[400];
	size_t n = strlen(name), m = strlen(l->suffix);

	snprintf(at, sizeof(at), "%s/%s", type, name);
	if ((l->type && strcmp(l->type, type) != 0) || strcasecmp(at, l->token) < 0 ||
	    (m > 0 && (n < m || strcasecmp(name + n - m, l->suffix) != 0))) {
		json_decref(view);
		return true;
	}
	if (l->left == 0) {
		snprintf(l->next, sizeof(l->next), "%s", at);
		json_decref(view);
		return false;
	}
	l->left--;
	json_array_append_new(l->value, view);
	return true;
}

static int by_place(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int d = strcmp(model_str(x, "type"), model_str(y, "type"));

	return d ? d : strcmp(model_str(x, "name"), model_str(y, "name"));
}

/* Record sets that nobody put, [{"type", "name"}] in the order of the list. */
static json_t *unstored(const struct resource *zone)
{
	json_t *list = zone_registered_list(zone);
	char key[2200];

	snprintf(key, sizeof(key), "%s/soa/@", zone->key);
	if (!table_get(key)) {
		json_array_append_new(list, json_pack("{s:s, s:s}", "type", "SOA", "name", "@"));
	}
	size_t n = json_array_size(list);
	json_t **v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++) {
		v[i] = json_incref(json_array_get(list, i));
	}
	json_decref(list);
	list = json_array();
	if (v) {
		qsort(v, n, sizeof(*v), by_place);
	}
	for (size_t i = 0; v && i < n; i++) {
		json_array_append_new(list, v[i]);
	}
	free(v);
	return list;
}

static bool add_unstored(struct list *l, const json_t *x)
{
	json_t *view = zone_view_registered(l->zone, model_str(x, "type"), model_str(x, "name"));

	return !view || add(l, model_str(x, "type"), model_str(x, "name"), view);
}

static const char *type_of(const struct resource *r)
{
	return strrchr(r->type->name, '/') + 1;
}

/* Stored ones are sorted by their keys, type and name; the others are put among them. */
static void list_records(struct list *l)
{
	AUTO_FREE char *prefix = NULL;
	json_auto_t *more = unstored(l->zone);
	size_t k = 0;

	if (asprintf(&prefix, "%s/", l->zone->key) < 0) {
		abort();
	}
	size_t n = strlen(prefix);
	for (size_t i = table_from(prefix);; i++) {
		const struct resource *r = table_at(i);

		if (!r || strncmp(r->key, prefix, n) != 0) {
			break;
		}
		if (!zone_is_record(r)) {
			continue;
		}
		for (; k < json_array_size(more); k++) {
			const json_t *x = json_array_get(more, k);
			char at[400];

			snprintf(at, sizeof(at), "%s/%s", model_str(x, "type"),
			         model_str(x, "name"));
			if (strcasecmp(at, r->key + n) > 0) {
				break;
			}
			if (!add_unstored(l, x)) {
				return;
			}
		}
		if (!add(l, type_of(r), r->name, view_resource(r))) {
			return;
		}
	}
	for (; k < json_array_size(more); k++) {
		if (!add_unstored(l, json_array_get(more, k))) {
			return;
		}
	}
}

static void list_links(struct list *l)
{
	char prefix[2200];

	snprintf(prefix, sizeof(prefix), "%s/virtualnetworklinks/", l->zone->key);
	size_t n = strlen(prefix);
	for (size_t i = table_from(prefix);; i++) {
		const struct resource *r = table_at(i);

		if (!r || strncmp(r->key, prefix, n) != 0 ||
		    !add(l, "virtualNetworkLinks", r->name, view_resource(r))) {
			return;
		}
	}
}

static void list(struct http_request *r, const struct resource *zone, const char *kind)
{
	char text[32] = "";
	struct list l = { .zone = zone,
		          .type = zone_record_type(kind),
		          .links = strcasecmp(kind, "virtualNetworkLinks") == 0,
		          .value = json_array() };
	size_t top = http_query(r, "$top", text, sizeof(text)) ? strtoul(text, NULL, 10) : 0;
	AUTO_BUF struct buf link = { 0 };

	l.left = top > 0 && top < PAGE ? top : PAGE;
	(void)http_query(r, "$skiptoken", l.token, sizeof(l.token));
	(void)http_query(r, "$recordsetnamesuffix", l.suffix, sizeof(l.suffix));
	size_t size = l.left;
	if (l.links) {
		list_links(&l);
	} else {
		list_records(&l);
	}
	json_t *body = json_pack("{s:o}", "value", l.value);
	if (l.next[0]) {
		buf_addf(&link, "%s://%s%s?api-version=2024-06-01&$top=%zu",
		         r->tls ? "https" : "http", r->host, r->path, size);
		if (l.suffix[0]) {
			buf_addf(&link, "&$recordsetnamesuffix=%s", l.suffix);
		}
		buf_addf(&link, "&$skiptoken=%s", l.next);
		json_object_set_new(body, "nextLink", json_string(buf_str(&link)));
	}
	api_json(r, 200, "", body);
}

bool zones_request(struct http_request *r, const struct model_id *id)
{
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	AUTO_FREE char *key = table_key(r->path);

	if (!reads || (id->child && table_get(key))) {
		return false;
	}
	for (int up = 0; up < (id->child ? 2 : 1); up++) {
		*strrchr(key, '/') = '\0';
	}
	const struct resource *zone = table_get(key);
	if (!zone || !zone->zone) {
		return false;
	}
	if (!id->child) {
		list(r, zone, id->child_type);
		return true;
	}
	const char *type = zone_record_type(id->child_type);
	AUTO_FREE char *name = table_key(id->child);
	json_t *view = type ? zone_view_registered(zone, type, name) : NULL;
	if (view) {
		api_json(r, 200, "", view);
	}
	return view != NULL;
}
