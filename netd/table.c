/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Resources by key, and their rows in the store. See plane.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/store/seal.h"
#include "netd/balancer.h"
#include "netd/meter.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/ports.h"
#include "netd/storage.h"
#include "netd/zone.h"

#define SERIAL_BLOCK 1000

struct plane plane;

char *table_key(const char *id)
{
	char *key = strdup(id);

	for (char *p = key; p && *p; p++) {
		*p = (char)tolower((unsigned char)*p);
	}
	return key;
}

void table_group_key(const char *id, char *to, size_t size)
{
	struct model_id parts;

	to[0] = '\0';
	if (model_id_parse(id, &parts) == 0 && parts.group) {
		int n = snprintf(to, size, "/subscriptions/%s/resourcegroups/%s",
		                 parts.subscription, parts.group);

		for (int i = 0; i < n && (size_t)i < size; i++) {
			to[i] = (char)tolower((unsigned char)to[i]);
		}
	}
}

size_t table_from(const char *key)
{
	size_t lo = 0, hi = plane.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(plane.v[mid]->key, key) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct resource *table_at(size_t i)
{
	return i < plane.n ? plane.v[i] : NULL;
}

struct resource *table_get(const char *key)
{
	struct resource *r = table_at(table_from(key));

	return r && strcmp(r->key, key) == 0 ? r : NULL;
}

static void insert(struct resource *r, const char *id)
{
	r->id = strdup(id);
	r->key = table_key(id);
	r->name = strrchr(r->id, '/') + 1;
	size_t i = table_from(r->key);
	memmove(&plane.v[i + 1], &plane.v[i], (plane.n - i) * sizeof(struct resource *));
	plane.v[i] = r;
	plane.n++;
	plane.changes++;
}

static void take_out(struct resource *r)
{
	size_t i = table_from(r->key);

	memmove(&plane.v[i], &plane.v[i + 1], (plane.n - i - 1) * sizeof(struct resource *));
	plane.n--;
	plane.changes++;
	free(r->key);
	free(r->id);
}

/* ---- by type ---- */

static struct typed {
	const struct model_type *type;
	struct resource **v;
	size_t n, cap;
} * typed;
static size_t n_typed;

static struct typed *typed_of(const struct model_type *type)
{
	for (size_t i = 0; i < n_typed; i++) {
		if (typed[i].type == type) {
			return &typed[i];
		}
	}
	return NULL;
}

static void typed_add(struct resource *r)
{
	struct typed *t = typed_of(r->type);

	if (!t) {
		typed = realloc(typed, (n_typed + 1) * sizeof(*typed));
		if (!typed) {
			abort();
		}
		t = &typed[n_typed++];
		*t = (struct typed){ .type = r->type };
	}
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->v = realloc(t->v, t->cap * sizeof(struct resource *));
		if (!t->v) {
			abort();
		}
	}
	r->typed = t->n;
	t->v[t->n++] = r;
}

static void typed_drop(const struct resource *r)
{
	struct typed *t = typed_of(r->type);

	if (t) { /* table_add() made it */
		t->v[r->typed] = t->v[--t->n];
		t->v[r->typed]->typed = r->typed;
	}
}

struct resource *table_typed(const char *name, size_t i)
{
	const struct typed *t = typed_of(model_type_find(name));

	return t && i < t->n ? t->v[i] : NULL;
}

struct resource *table_add(const char *id, const struct model_type *type, json_t *doc)
{
	struct resource *r = calloc(1, sizeof(*r));

	if (plane.n == plane.cap) {
		plane.cap = plane.cap ? plane.cap * 2 : 256;
		plane.v = realloc(plane.v, plane.cap * sizeof(struct resource *));
	}
	if (!r || !plane.v) {
		abort();
	}
	r->type = type;
	r->doc = doc;
	r->status = json_object();
	insert(r, id);
	typed_add(r);
	return r;
}

void table_rename(struct resource *r, const char *id)
{
	take_out(r);
	insert(r, id);
}

/* ---- numbers ---- */

/* Resources that kernel objects are named by, container groups left out; sorted by number. */
static struct numbered {
	uint32_t n;
	struct resource *r;
} * numbers;
static size_t n_numbers, cap_numbers;

static size_t number_at(uint32_t n)
{
	size_t lo = 0, hi = n_numbers;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (numbers[mid].n < n) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct resource *table_numbered(uint32_t n)
{
	size_t i = number_at(n);

	return i < n_numbers && numbers[i].n == n ? numbers[i].r : NULL;
}

static void number_add(struct resource *r, uint32_t n)
{
	size_t i = number_at(n);

	if (n_numbers == cap_numbers) {
		cap_numbers = cap_numbers ? cap_numbers * 2 : 64;
		numbers = realloc(numbers, cap_numbers * sizeof(*numbers));
		if (!numbers) {
			abort();
		}
	}
	memmove(&numbers[i + 1], &numbers[i], (n_numbers - i) * sizeof(*numbers));
	numbers[i] = (struct numbered){ n, r };
	n_numbers++;
}

static uint32_t number_of(const struct resource *r)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, "serial"));
}

uint32_t table_number(struct resource *r)
{
	uint32_t n = number_of(r);

	if (!n) {
		n = table_serial();
		json_object_set_new(r->status, "serial", json_integer(n));
		number_add(r, n);
		table_save(&r, 1, control_saved, NULL);
	}
	return n;
}

void table_remove(struct resource *r)
{
	size_t k = number_at(number_of(r));

	if (k < n_numbers && numbers[k].r == r) {
		memmove(&numbers[k], &numbers[k + 1], (n_numbers - k - 1) * sizeof(*numbers));
		n_numbers--;
	}
	typed_drop(r);
	take_out(r);
	json_decref(r->doc);
	json_decref(r->status);
	free(r);
}

char *table_row(const struct resource *r)
{
	json_t *row = json_pack("{s:s, s:s, s:O, s:O, s:I, s:b}", "id", r->id, "type",
	                        r->type->name, "doc", r->doc, "status", r->status, "etag",
	                        (json_int_t)r->etag, "deleting", r->deleting);
	char *text = json_dumps(row, JSON_COMPACT);

	json_decref(row);
	return text;
}

/* The key of operation ids. One that does not open (the sealing key was lost) is drawn anew: polls of
 * before are answered as unknown. */
static void load_operations(const json_t *row)
{
	struct err e = ERR_INIT;
	size_t len;
	char *secret = unseal(model_str(row, "sealed"), "meta/operations", &len, &e);

	plane.signs = secret && operation_secret(secret);
	if (secret) {
		explicit_bzero(secret, len);
	} else {
		log_warn("seal.unopened", LOG_STR("error", e.msg));
	}
	free(secret);
}

int table_load(void *arg, const char *key, uint64_t rev, const char *value)
{
	json_t *row = json_loads(value, 0, NULL);
	const struct model_type *type = model_type_find(model_str(row, "type"));

	(void)arg;
	(void)rev;
	if (strcmp(key, "meta/serial") == 0) {
		plane.next_serial = plane.serial_ceiling =
			(uint32_t)json_integer_value(json_object_get(row, "next"));
	} else if (strcmp(key, "meta/operations") == 0) {
		load_operations(row);
	} else if (strcmp(key, "meta/node") == 0) {
		storage_loaded(row);
	} else if (strncmp(key, "node/", 5) == 0 || strncmp(key, "join/", 5) == 0 ||
	           strcmp(key, "meta/nodes") == 0 || strcmp(key, "meta/authority") == 0) {
		node_load(key, row);
	} else if (strcmp(key, "meta/dns-serial") == 0) {
		zone_serial_load(row);
	} else if (strcmp(key, "meter/clock") == 0) {
		meter_load(row);
	} else if (strncmp(key, "dnssec/", 7) == 0) {
		zone_keys_load(key + 7, row);
	} else if (strncmp(key, "dns/", 4) == 0) {
		zone_public_load(key + 4, row);
	} else if (strncmp(key, "rest/", 5) == 0) {
		network_rest_load(key + 5, row);
	} else if (strncmp(key, "ports/", 6) == 0) {
		ports_load(key, row);
	} else if (strncmp(key, "slots/", 6) == 0) {
		balancer_slots_load(key + 5, row);
	} else if (key[0] == '/' && type) {
		struct resource *r = table_add(model_str(row, "id"), type,
		                               json_incref(json_object_get(row, "doc")));

		json_decref(r->status);
		r->status = json_incref(json_object_get(row, "status"));
		r->etag = (uint64_t)json_integer_value(json_object_get(row, "etag"));
		r->deleting = json_is_true(json_object_get(row, "deleting"));
		if (number_of(r) && !strstr(type->name, "containerGroups")) {
			number_add(r, number_of(r));
		}
	}
	json_decref(row);
	return 0;
}

uint32_t table_serial(void)
{
	char value[64];

	if (plane.next_serial < KOBJ_NS_FIRST) {
		plane.next_serial = KOBJ_NS_FIRST;
	}
	if (plane.next_serial >= plane.serial_ceiling) {
		/* Commits happen in the order of submission: the block is reserved before its first
		 * number is used in a row. */
		plane.serial_ceiling = plane.next_serial + SERIAL_BLOCK;
		snprintf(value, sizeof(value), "{\"next\":%u}", plane.serial_ceiling);
		store_submit(plane.store,
		             &(struct store_op){ .key = "meta/serial", .value = value }, 1,
		             control_saved, NULL);
	}
	return plane.next_serial++;
}

void table_save(struct resource *const *rs, size_t n,
                void (*done)(void *arg, const struct err *e, uint64_t rev), void *arg)
{
	struct store_op ops[4] = { 0 };
	size_t m = 0;

	for (size_t i = 0; i < n && i < 4; i++) {
		if (rs[i]) {
			ops[m].key = rs[i]->key;
			ops[m++].value = table_row(rs[i]);
		}
	}
	store_submit(plane.store, ops, m, done, arg);
	for (size_t i = 0; i < m; i++) {
		free((char *)(uintptr_t)ops[i].value);
	}
}

struct ip table_ip(const json_t *status, const char *key)
{
	struct ip ip = { 0 };
	struct err e = ERR_INIT;
	const char *text = model_str(status, key);

	if (*text && ip_parse(text, &ip, &e) < 0) {
		ip.family = 0;
	}
	return ip;
}
