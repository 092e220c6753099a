/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See yaml.h; libyaml does the reading.
 */
#include "clients/netctl/yaml.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define DEPTH_MAX 32

static json_t *bad(struct err *e, const yaml_event_t *ev, const char *what)
{
	err_set(e, ERR_INVALID, 0, "line %zu, column %zu: %s", ev->start_mark.line + 1,
	        ev->start_mark.column + 1, what);
	return NULL;
}

static bool has_zero(const yaml_event_t *ev)
{
	return memchr(ev->data.scalar.value, '\0', ev->data.scalar.length) != NULL;
}

/* NULL: a number that JSON does not have. */
static json_t *scalar(const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	char *end;

	if (ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
		return json_string(s);
	}
	if (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0) {
		return json_null();
	}
	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
		return json_boolean(s[0] == 't');
	}
	if (strspn(s, "+-0123456789") == strlen(s)) {
		errno = 0;
		long long n = strtoll(s, &end, 10);
		if (!errno && !*end && end != s) {
			return json_integer(n);
		}
	} else if (strspn(s, "+-0123456789.eE") == strlen(s)) {
		double d = strtod(s, &end);
		if (!*end && end != s) {
			return json_real(d);
		}
	}
	return json_string(s);
}

static json_t *node(yaml_parser_t *p, yaml_event_t *ev, int depth, struct err *e);

static bool next(yaml_parser_t *p, yaml_event_t *ev, struct err *e)
{
	if (yaml_parser_parse(p, ev)) {
		return true;
	}
	err_set(e, ERR_INVALID, 0, "line %zu, column %zu: %s", p->problem_mark.line + 1,
	        p->problem_mark.column + 1, p->problem ? p->problem : "not YAML");
	return false;
}

static json_t *mapping(yaml_parser_t *p, int depth, struct err *e)
{
	json_t *o = json_object();
	yaml_event_t ev;

	for (;;) {
		if (!next(p, &ev, e)) {
			break;
		}
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return o;
		}
		const char *name =
			ev.type == YAML_SCALAR_EVENT ? (char *)ev.data.scalar.value : NULL;
		if (!name || has_zero(&ev) || json_object_get(o, name)) {
			bad(e, &ev,
			    !name || has_zero(&ev) ? "a key must be a plain text"
			                           : "this key is there twice");
			yaml_event_delete(&ev);
			break;
		}
		yaml_event_t value;
		json_t *v = next(p, &value, e) ? node(p, &value, depth + 1, e) : NULL;
		int rc = v ? json_object_set_new(o, name, v) : -1;
		yaml_event_delete(&ev);
		if (rc < 0) {
			break;
		}
	}
	json_decref(o);
	return NULL;
}

static json_t *sequence(yaml_parser_t *p, int depth, struct err *e)
{
	json_t *a = json_array();
	yaml_event_t ev;

	while (next(p, &ev, e)) {
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return a;
		}
		json_t *v = node(p, &ev, depth + 1, e);
		if (!v) {
			break;
		}
		json_array_append_new(a, v);
	}
	json_decref(a);
	return NULL;
}

/* Takes the event. */
static json_t *node(yaml_parser_t *p, yaml_event_t *ev, int depth, struct err *e)
{
	json_t *v = NULL;

	if (depth > DEPTH_MAX) {
		bad(e, ev, "nested too deep");
	} else if (ev->type == YAML_SCALAR_EVENT) {
		v = has_zero(ev) ? NULL : scalar(ev);
		if (!v) {
			bad(e, ev, has_zero(ev) ? "a zero byte in a text" : "a number too large");
		}
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		v = mapping(p, depth, e);
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		v = sequence(p, depth, e);
	} else {
		bad(e, ev, "anchors and aliases are not accepted");
	}
	yaml_event_delete(ev);
	return v;
}

json_t *yaml_to_json(const char *text, size_t len, struct err *e)
{
	yaml_parser_t p;
	yaml_event_t ev;
	json_t *doc = NULL;

	if (!yaml_parser_initialize(&p)) {
		err_set(e, ERR_NO_MEMORY, 0, "YAML: out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&p, (const unsigned char *)text, len);
	while (!doc && next(&p, &ev, e)) {
		if (ev.type == YAML_STREAM_START_EVENT || ev.type == YAML_DOCUMENT_START_EVENT) {
			yaml_event_delete(&ev);
		} else if (ev.type == YAML_STREAM_END_EVENT) {
			bad(e, &ev, "the document is empty");
			yaml_event_delete(&ev);
			break;
		} else {
			doc = node(&p, &ev, 0, e);
			break;
		}
	}
	yaml_parser_delete(&p);
	return doc;
}

void yaml_print(const json_t *v, int indent)
{
	const char *key;
	json_t *x;
	size_t i;

	if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, key, x)
		{
			bool nested = json_object_size(x) || json_array_size(x);

			printf("%*s%s:%s", indent, "", key, nested ? "\n" : " ");
			yaml_print(x, indent + 2);
		}
	} else if (json_is_array(v) && json_array_size(v)) {
		json_array_foreach(v, i, x)
		{
			bool nested = json_object_size(x) || json_array_size(x);

			printf("%*s-%s", indent, "", nested ? "\n" : " ");
			yaml_print(x, indent + 2);
		}
	} else {
		char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

		puts(text ? text : "null");
		free(text);
	}
	if (json_is_object(v) && !json_object_size(v)) {
		puts("{}");
	}
}
