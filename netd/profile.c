/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See profile.h.
 */
#include "netd/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "lib/store/seal.h"

#define REVISIONS_MAX 100 /* kept: the latest ones */

static json_t *revisions(const struct resource *r)
{
	return json_object_get(r->status, "revisions");
}

static json_t *revision_row(const struct resource *r, json_int_t n)
{
	char key[24];

	snprintf(key, sizeof(key), "%lld", (long long)(n ? n : profile_revision(r)));
	return json_object_get(revisions(r), key);
}

json_int_t profile_revision(const struct resource *r)
{
	return json_integer_value(json_object_get(r->status, "revision"));
}

int profile_check(const char *id, const json_t *doc, struct err *e)
{
	static const char *const times[] = { "properties.shutdownGracePeriod",
		                             "properties.timeToLive" };
	const char *name = strrchr(id, '/') + 1;
	json_auto_t *copy = json_deep_copy(doc),
		    *props = json_incref(json_object_get(copy, "properties"));
	int64_t seconds;

	if (strlen(name) > 63) {
		return err_set_at(
			e, ERR_INVALID, "InvalidResourceName", "name",
			"Resource name '%.90s' is invalid: 1 to 63 letters, digits, - and "
			"_.",
			name);
	}
	for (size_t i = 0; i < ARRAY_N(times); i++) {
		const char *text = model_str(doc, times[i]);

		if (*text && (!clock_duration(text, &seconds) || seconds > 86400 * 30)) {
			return err_set_at(e, ERR_INVALID, "InvalidDuration", times[i],
			                  "'%s' is '%.40s'; accepted is an ISO 8601 duration of up "
			                  "to 30 days, like PT30S.",
			                  times[i], text);
		}
	}
	/* What would be wrong with each group is wrong here. */
	json_object_del(props, "shutdownGracePeriod");
	json_object_del(props, "timeToLive");
	return change_try_group("profile", copy, e);
}

void profile_trim(json_t *doc)
{
	static const char *const own[] = {
		"shutdownGracePeriod", "timeToLive", "useKrypton",
		"securityContext",     "revision",   "registeredRevisions"
	};

	for (size_t i = 0; i < ARRAY_N(own); i++) {
		json_object_del(json_object_get(doc, "properties"), own[i]);
	}
}

uint32_t profile_grace(const json_t *doc)
{
	int64_t seconds;

	return clock_duration(model_str(doc, "properties.shutdownGracePeriod"), &seconds)
	               ? (uint32_t)seconds
	               : 0;
}

static void seal_place(const struct resource *r, json_int_t n, char *to, size_t size)
{
	snprintf(to, size, "profile%.1000s/%lld", r->key, (long long)n);
}

void profile_revise(struct resource *r, const json_t *full)
{
	json_t *props = json_object_get(r->doc, "properties"), *all = revisions(r);
	const json_t *last = revision_row(r, 0);
	bool secret = !json_equal(json_object_get(full, "properties"), props);
	json_int_t n = profile_revision(r) + 1;
	char key[24], place[1100];
	struct err e = ERR_INIT;

	if (last && !secret && !json_object_get(last, "sealed") &&
	    json_equal(json_object_get(last, "properties"), props)) {
		return; /* tags, zones: no other template */
	}
	if (!all) {
		all = json_object();
		json_object_set_new(r->status, "revisions", all);
	}
	json_t *row = json_pack("{s:O}", "properties", props);
	if (secret) {
		AUTO_FREE char *text =
			json_dumps(json_object_get(full, "properties"), JSON_COMPACT);

		seal_place(r, n, place, sizeof(place));
		AUTO_FREE char *sealed = text ? seal(text, strlen(text), place, &e) : NULL;
		if (text) {
			explicit_bzero(text, strlen(text));
		}
		json_object_set_new(row, "sealed", json_string(sealed ? sealed : ""));
	}
	snprintf(key, sizeof(key), "%lld", (long long)n);
	json_object_set_new(all, key, row);
	json_object_set_new(r->status, "revision", json_integer(n));
	snprintf(key, sizeof(key), "%lld", (long long)(n - REVISIONS_MAX));
	json_object_del(all, key);
}

json_t *profile_document(const struct resource *r, json_int_t n)
{
	const json_t *row = revision_row(r, n);
	const char *sealed = model_str(row, "sealed");
	char place[1100];
	struct err e = ERR_INIT;
	size_t len;

	if (!row) {
		return NULL;
	}
	json_t *props = NULL;
	if (*sealed) {
		seal_place(r, n ? n : profile_revision(r), place, sizeof(place));
		char *text = unseal(sealed, place, &len, &e);
		if (text) {
			props = json_loads(text, 0, NULL);
			explicit_bzero(text, len);
			free(text);
		} else {
			log_warn("seal.unopened", LOG_STR("id", r->id), LOG_STR("error", e.msg));
		}
	}
	if (!props) {
		props = json_deep_copy(json_object_get(row, "properties"));
	}
	return json_pack("{s:o}", "properties", props);
}

static json_t *numbers(const struct resource *r)
{
	json_t *list = json_array();

	for (json_int_t i = 1; i <= profile_revision(r); i++) {
		if (revision_row(r, i)) {
			json_array_append_new(list, json_integer(i));
		}
	}
	return list;
}

void profile_view(const struct resource *r, json_t *props)
{
	json_object_set(props, "revision", json_object_get(r->status, "revision"));
	json_object_set_new(props, "registeredRevisions", numbers(r));
	json_object_del(props, "provisioningState"); /* a profile has none */
}

json_t *profile_view_revision(const struct resource *r, json_int_t n)
{
	const json_t *row = n ? revision_row(r, n) : NULL;

	if (!row) {
		return NULL;
	}
	json_t *view = view_resource(r),
	       *props = json_deep_copy(json_object_get(row, "properties"));
	json_object_set_new(props, "revision", json_integer(n));
	json_object_set_new(props, "registeredRevisions", numbers(r));
	json_object_set_new(view, "properties", props);
	return view;
}

json_t *profile_view_revisions(const struct resource *r)
{
	json_t *list = json_array();

	for (json_int_t i = 1; i <= profile_revision(r); i++) {
		json_t *view = profile_view_revision(r, i);

		if (view) {
			json_array_append_new(list, view);
		}
	}
	return json_pack("{s:o}", "value", list);
}
