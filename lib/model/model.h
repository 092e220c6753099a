/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Resources: one descriptor table a type (types.c) says every property the plane knows, and
 * drives validation, secrets, read-only fields, references and documentation. Documents stay JSON;
 * fields that no table names are kept and returned. Pure: no I/O.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum model_kind {
	MODEL_STRING,
	MODEL_INT,
	MODEL_NUMBER,
	MODEL_BOOL,
	MODEL_ENUM,
	MODEL_IP,
	MODEL_PREFIX,
	MODEL_LABEL,
	MODEL_REF,
	MODEL_OBJECT,
	MODEL_OBJECTS,
	MODEL_STRINGS,
	MODEL_PREFIXES,
	MODEL_IPS,
	MODEL_MAP,
	MODEL_ANY,
};

#define MODEL_REQUIRED 0x01u
#define MODEL_READONLY 0x02u /* dropped from what comes in, filled by the service */
#define MODEL_SECRET   0x04u /* never stored, logged or returned */
#define MODEL_REFUSED  0x08u /* not there yet: an error names it */
#define MODEL_KEPT     0x10u /* kept and returned, without effect here */

struct model_field {
	const char *name;
	enum model_kind kind;
	unsigned flags;
	double min, max; /* numbers: value; strings: length; lists: members; 0,0: any */
	const char *arg; /* ENUM: "A|B"; REF: type */
	const struct model_field *sub; /* OBJECT, OBJECTS */
};

struct model_type {
	const char *name; /* "Microsoft.ContainerInstance/containerGroups" */
	const struct model_field *fields;
	const char *name_rule; /* in words */
	bool top;              /* listed by subscription too */
};
extern const struct model_type model_types[];
const struct model_type *model_type_find(const char *name); /* NULL: no such type; any case */

/* Parses a request body: no duplicate keys, at most 32 levels, an object. */
int model_parse(const char *text, size_t len, json_t **ret, struct err *e)
	__attribute__((warn_unused_result));
/* Checks a document against its type and removes read-only fields and nulls from it. */
int model_check(const struct model_type *t, json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* A copy without the secrets; new reference or NULL. */
json_t *model_public(const struct model_type *t, const json_t *doc);
/* May this be a resource's name? */
bool model_name_ok(const char *name);

/* Value at a dotted path ("properties.ipAddress.type"), borrowed, or NULL. */
json_t *model_at(const json_t *doc, const char *path);
const char *model_str(const json_t *doc, const char *path);            /* "" when absent */
bool model_is(const json_t *doc, const char *path, const char *value); /* any case */

/* A resource id in parts; all point into `room`. */
struct model_id {
	char room[1024];
	const char *subscription, *group, *type, *name, *child_type, *child; /* NULL when absent */
	const char *action; /* of a container or a load balancer's part: ".../containers/C/logs" */
};
/* "/subscriptions/S/resourceGroups/G/providers/P/T/N[/CT/CN]"; any prefix of it. -1 malformed:
 * empty parts, more parts, control characters. */
int model_id_parse(const char *id, struct model_id *to);
/* Prints markdown of all types and fields to standard output. */
void model_document(void);
