/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See list.h.
 */
#include "netd/api/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/plane.h"

#define PAGE 1000 /* members of a list at most */

static size_t page_size(struct http_request *r)
{
	char text[32] = "";
	size_t top = http_query(r, "$top", text, sizeof(text)) ? strtoul(text, NULL, 10) : 0;

	return top > 0 && top < PAGE ? top : PAGE;
}

/* Answers a page; `next` is where the following one begins, NULL none. Takes value. */
static void page(struct http_request *r, json_t *value, const char *next)
{
	json_t *body = json_pack("{s:o}", "value", value);
	AUTO_BUF struct buf link = { 0 };

	if (next) {
		buf_addf(&link, "%s://%s%s?api-version=2023-05-01&$top=%zu&$skiptoken=%s",
		         r->tls ? "https" : "http", r->host, r->path, page_size(r), next);
		json_object_set_new(body, "nextLink", json_string(buf_str(&link)));
	}
	api_json(r, 200, "", body);
}

/* A page begins at a key, so that what is made and deleted meanwhile moves nothing. */
void list_resources(struct http_request *r, const struct caller *who, const char *prefix,
                    const char *type)
{
	size_t n = strlen(prefix), left = page_size(r);
	char from[1800], token[1000] = "";
	const char *next = NULL;
	json_t *value = json_array();

	if (!model_type_find(type)) {
		json_decref(value);
		struct err e = ERR_INIT;

		err_set_at(&e, ERR_NOT_FOUND, NULL, NULL, "The Resource '%.300s' was not found.",
		           r->path);
		api_error(r, &e);
		return;
	}
	(void)http_query(r, "$skiptoken", token, sizeof(token));
	snprintf(from, sizeof(from), "%s%s", prefix, token);
	for (size_t i = table_from(from); table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0;
	     i++) {
		const struct resource *x = table_at(i);

		if (strcasecmp(x->type->name, type) != 0 || !caller_sees(who, x->key)) {
			continue;
		}
		if (left-- == 0) {
			next = x->key + n;
			break;
		}
		json_array_append_new(value, view_resource(x));
	}
	page(r, value, next);
}

/* Those that hold something, and those that the caller was given. */
void list_subscriptions(struct http_request *r, const struct caller *who)
{
	json_t *value = json_array(), *ids = json_object(), *x;
	AUTO_FREE char *list = strdup(who->subscriptions);
	char *save = NULL, id[160], token[32] = "";
	size_t left = page_size(r), at = 0;
	const char *key, *next = NULL;

	for (size_t i = table_from("/subscriptions/"); table_at(i);) {
		const char *s = table_at(i)->key + 15;
		char after[200];

		snprintf(id, sizeof(id), "%.*s", (int)strcspn(s, "/"), s);
		if (caller_in(who, id)) {
			json_object_set_new(ids, id, json_true());
		}
		snprintf(after, sizeof(after), "/subscriptions/%s/\x7f", id);
		i = strchr(s, '/') ? table_from(after) : i + 1; /* past all that it holds */
	}
	for (char *s = strtok_r(list, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
		if (*s != '*') {
			json_object_set_new(ids, s, json_true());
		}
	}
	(void)http_query(r, "$skiptoken", token, sizeof(token));
	size_t skip = strtoul(token, NULL, 10);
	json_object_foreach(ids, key, x)
	{
		if (at++ < skip) {
			continue;
		}
		if (left-- == 0) {
			snprintf(token, sizeof(token), "%zu", at - 1);
			next = token;
			break;
		}
		json_array_append_new(value, view_subscription(key));
	}
	json_decref(ids);
	page(r, value, next);
}
