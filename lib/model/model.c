/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See model.h. Pure: no I/O but model_document()'s printing.
 */
#include "lib/model/model.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/ip.h"

#define DEPTH_MAX 32

static int wrong(struct err *e, const char *path, const char *fmt_want, const char *got)
{
	return err_set_at(e, ERR_INVALID, "InvalidRequestContent", path,
	                  "The request content is invalid: '%s' must be %s, got %.80s.", path,
	                  fmt_want, got);
}

static const char *shown(const json_t *v, char *to, size_t size)
{
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

	snprintf(to, size, "%s", text ? text : "?");
	free(text);
	return to;
}

/* Levels are counted before parsing: the parser recurses. */
static bool too_deep(const char *s, size_t len)
{
	int depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (quoted) {
			quoted = s[i] != '"';
			i += s[i] == '\\'; /* the character behind a backslash ends nothing */
			continue;
		}
		quoted = s[i] == '"';
		depth += s[i] == '{' || s[i] == '[';
		depth -= s[i] == '}' || s[i] == ']';
		if (depth > DEPTH_MAX) {
			return true;
		}
	}
	return false;
}

int model_parse(const char *text, size_t len, json_t **ret, struct err *e)
{
	json_error_t je;

	if (too_deep(text, len)) {
		return err_set_at(e, ERR_INVALID, "InvalidRequestContent", "",
		                  "The request content is nested deeper than %d levels.",
		                  DEPTH_MAX);
	}
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(doc)) {
		json_decref(doc);
		return err_set_at(
			e, ERR_INVALID, "InvalidRequestContent", "",
			"The request content is not a JSON object: line %d, column %d: %.120s.",
			doc ? 1 : je.line, doc ? 1 : je.column,
			doc ? "an object is accepted" : je.text);
	}
	*ret = doc;
	return 0;
}

static bool in_enum(const char *values, const char *v)
{
	size_t n = strlen(v);

	for (const char *p = values; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL) {
		if (strcspn(p, "|") == n && strncasecmp(p, v, n) == 0) {
			return true;
		}
	}
	return false;
}

static bool label_ok(const char *s)
{
	size_t n = strlen(s);

	if (n < 5 || n > 63 || s[0] == '-' || s[n - 1] == '-') {
		return false;
	}
	for (; *s; s++) {
		if (!isalnum((unsigned char)*s) && *s != '-') {
			return false;
		}
	}
	return true;
}

static int check_string(const struct model_field *f, const char *v, const char *path, struct err *e)
{
	struct err why = ERR_INIT;
	struct ip_prefix p;
	struct ip ip;
	char want[200];

	switch (f->kind) {
	case MODEL_ENUM:
		snprintf(want, sizeof(want), "one of %s", f->arg);
		return in_enum(f->arg, v) ? 0 : wrong(e, path, want, v);
	case MODEL_IP:
	case MODEL_IPS:
		return *v && ip_parse(v, &ip, &why) < 0 ? wrong(e, path, "an IP address", v) : 0;
	case MODEL_PREFIX:
	case MODEL_PREFIXES:
		if (ip_prefix_parse(v, &p, &why) < 0) {
			return err_set_at(e, ERR_INVALID, "InvalidAddressPrefixFormat", path, "%s",
			                  why.msg);
		}
		return 0;
	case MODEL_LABEL:
		return !*v || label_ok(v) ? 0
		                          : wrong(e, path,
		                                  "5 to 63 letters, digits and hyphens, no hyphen "
		                                  "first or last",
		                                  v);
	default:
		if (f->max > 0 && ((double)strlen(v) < f->min || (double)strlen(v) > f->max)) {
			snprintf(want, sizeof(want), "%d to %d characters", (int)f->min,
			         (int)f->max);
			return wrong(e, path, want, v);
		}
		return 0;
	}
}

static int check_fields(const struct model_field *fields, json_t *doc, const char *path,
                        struct err *e);

static int check_list(const struct model_field *f, json_t *v, const char *path, struct err *e)
{
	char at[192];
	size_t i;
	json_t *x;

	if (!json_is_array(v)) {
		return wrong(e, path, "an array", "something else");
	}
	if (f->max > 0 && (double)json_array_size(v) > f->max) {
		return wrong(e, path, "a shorter array", "too many members");
	}
	if ((f->flags & MODEL_REQUIRED) && f->min > 0 && json_array_size(v) == 0) {
		return wrong(e, path, "an array with members", "none");
	}
	json_array_foreach(v, i, x)
	{
		snprintf(at, sizeof(at), "%.160s[%zu]", path, i);
		if (f->kind == MODEL_OBJECTS) {
			if (!json_is_object(x)) {
				return wrong(e, at, "an object", "something else");
			}
			if (check_fields(f->sub, x, at, e) < 0) {
				return -1;
			}
		} else if (!json_is_string(x)) {
			return wrong(e, at, "a string", "something else");
		} else if (f->kind != MODEL_STRINGS &&
		           check_string(f, json_string_value(x), at, e) < 0) {
			return -1;
		}
	}
	return 0;
}

static int check_value(const struct model_field *f, json_t *v, const char *path, struct err *e)
{
	char got[100], want[100];
	double n = json_number_value(v);

	switch (f->kind) {
	case MODEL_ANY:
		return 0;
	case MODEL_BOOL:
		return json_is_boolean(v)
		               ? 0
		               : wrong(e, path, "true or false", shown(v, got, sizeof(got)));
	case MODEL_INT:
	case MODEL_NUMBER:
		if (f->kind == MODEL_INT ? !json_is_integer(v) : !json_is_number(v)) {
			return wrong(e, path, "a number", shown(v, got, sizeof(got)));
		}
		if ((f->min != 0 || f->max != 0) && (n < f->min || n > f->max)) {
			snprintf(want, sizeof(want), "a number from %g to %g", f->min, f->max);
			return wrong(e, path, want, shown(v, got, sizeof(got)));
		}
		return 0;
	case MODEL_MAP:
	case MODEL_OBJECT:
		if (!json_is_object(v)) {
			return wrong(e, path, "an object", shown(v, got, sizeof(got)));
		}
		return f->kind == MODEL_OBJECT && f->sub ? check_fields(f->sub, v, path, e) : 0;
	case MODEL_OBJECTS:
	case MODEL_STRINGS:
	case MODEL_PREFIXES:
	case MODEL_IPS:
		return check_list(f, v, path, e);
	default:
		if (!json_is_string(v)) {
			return wrong(e, path, "a string", shown(v, got, sizeof(got)));
		}
		return check_string(f, json_string_value(v), path, e);
	}
}

static int check_fields(const struct model_field *fields, json_t *doc, const char *path,
                        struct err *e)
{
	char at[192];

	for (const struct model_field *f = fields; f->name; f++) {
		json_t *v = json_object_get(doc, f->name);

		snprintf(at, sizeof(at), "%.150s%s%s", path, *path ? "." : "", f->name);
		if (v && (json_is_null(v) || f->flags & MODEL_READONLY)) {
			json_object_del(doc, f->name);
			v = NULL;
		}
		if (!v) {
			if (f->flags & MODEL_REQUIRED) {
				return err_set_at(e, ERR_INVALID, "MissingRequiredProperty", at,
				                  "The required property '%s' is missing.", at);
			}
			continue;
		}
		if (f->flags & MODEL_REFUSED) {
			return err_set_at(e, ERR_INVALID, "FeatureNotSupported", at,
			                  "The property '%s' is not supported yet.", at);
		}
		if (check_value(f, v, at, e) < 0) {
			return -1;
		}
	}
	return 0;
}

int model_check(const struct model_type *t, json_t *doc, struct err *e)
{
	return check_fields(t->fields, doc, "", e);
}

static void strip(const struct model_field *fields, json_t *doc)
{
	size_t i;
	json_t *x;

	for (const struct model_field *f = fields; f->name; f++) {
		json_t *v = json_object_get(doc, f->name);

		if (!v) {
			continue;
		}
		if (f->flags & MODEL_SECRET) {
			if (json_is_object(v)) { /* a secret volume: its file names stay */
				const char *key;
				void *next;
				json_t *ignored;

				json_object_foreach_safe(v, next, key, ignored)
				{
					json_object_set_new(v, key, json_null());
				}
			} else {
				json_object_del(doc, f->name);
			}
		} else if (f->kind == MODEL_OBJECT && f->sub) {
			strip(f->sub, v);
		} else if (f->kind == MODEL_OBJECTS) {
			json_array_foreach(v, i, x)
			{
				strip(f->sub, x);
			}
		}
	}
}

json_t *model_public(const struct model_type *t, const json_t *doc)
{
	json_t *copy = json_deep_copy(doc);

	if (copy) {
		strip(t->fields, copy);
	}
	return copy;
}

bool model_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n < 1 || n > 80 || !isalnum((unsigned char)name[0])) {
		return false;
	}
	for (; *name; name++) {
		if (!isalnum((unsigned char)*name) && !strchr("-_.()", *name)) {
			return false;
		}
	}
	return true;
}

json_t *model_at(const json_t *doc, const char *path)
{
	while (doc && *path) {
		size_t n = strcspn(path, ".");

		doc = json_object_getn(doc, path, n);
		path += n + (path[n] == '.');
	}
	return (json_t *)(uintptr_t)doc;
}

const char *model_str(const json_t *doc, const char *path)
{
	const char *s = json_string_value(model_at(doc, path));

	return s ? s : "";
}

bool model_is(const json_t *doc, const char *path, const char *value)
{
	return strcasecmp(model_str(doc, path), value) == 0;
}

int model_id_parse(const char *id, struct model_id *to)
{
	char *part[12] = { NULL }, *p = to->room;
	int n = 0;

	memset(to, 0, sizeof(*to));
	if ((size_t)snprintf(to->room, sizeof(to->room), "%s", id) >= sizeof(to->room)) {
		return -1;
	}
	for (const char *c = id; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			return -1;
		}
	}
	while (*p == '/') { /* some clients send two at the front */
		p++;
	}
	for (; *p; n++) {
		size_t len = strcspn(p, "/");

		if (n == 12 || len == 0) {
			return -1;
		}
		part[n] = p;
		p += len;
		if (*p) {
			*p++ = '\0';
		}
	}
	if (n < 2 || strcasecmp(part[0], "subscriptions") != 0) {
		return -1;
	}
	to->subscription = part[1];
	int i = 2;
	if (n > i + 1 && strcasecmp(part[i], "resourceGroups") == 0) {
		to->group = part[i + 1];
		i += 2;
	}
	if (n > i + 2 && strcasecmp(part[i], "providers") == 0) {
		part[i + 1][strlen(part[i + 1])] = '/'; /* provider and type in one again */
		to->type = part[i + 1];
		to->name = n > i + 3 ? part[i + 3] : NULL;
		to->child_type = n > i + 4 ? part[i + 4] : NULL;
		to->child = n > i + 5 ? part[i + 5] : NULL;
		if (n == i + 7 && (strcasecmp(to->child_type, "containers") == 0 ||
		                   strcasecmp(to->child_type, "loadBalancingRules") == 0 ||
		                   strcasecmp(to->child_type, "backendAddressPools") == 0)) {
			to->action = part[i + 6];
			i = n;
		} else {
			i = n > i + 6 ? -1 : n;
		}
	}
	return i == n ? 0 : -1;
}

static void document(const struct model_field *fields, const char *path)
{
	char at[200];

	for (const struct model_field *f = fields; f->name; f++) {
		const char *state = f->flags & MODEL_REFUSED    ? "refused"
		                    : f->flags & MODEL_KEPT     ? "kept only"
		                    : f->flags & MODEL_READONLY ? "by the service"
		                                                : "done";

		snprintf(at, sizeof(at), "%.150s%s%s", path, *path ? "." : "", f->name);
		printf("| `%s` | %s%s%s |\n", at, state,
		       f->flags & MODEL_REQUIRED ? ", required" : "",
		       f->flags & MODEL_SECRET ? ", secret" : "");
		if (f->sub) {
			document(f->sub, at);
		}
	}
}

void model_document(void)
{
	printf("# Azure compatibility\n\nGenerated by `netd --compatibility`; do not edit. Properties "
	       "that no line names are kept and returned.\n");
	for (const struct model_type *t = model_types; t->name; t++) {
		printf("\n## %s\n\n| property | state |\n| --- | --- |\n", t->name);
		document(t->fields, "");
	}
}
