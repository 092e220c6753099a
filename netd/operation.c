/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Long-running operations as clients poll them. An id says whose it is by a MAC under a key of the
 * store, so that a poll after a restart is answered from the resource's own state, and one that
 * nobody was given is not found. What went wrong is remembered for the last few thousand. See
 * plane.h.
 */
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/plane.h"

#define OPERATIONS_MAX 4096
#define NONCE          4 /* bytes of an id: nonce, resource, MAC with UUID's marks in between */
#define RESOURCE       6

struct operation {
	char id[37];
	char *key; /* of the resource */
	int64_t began_ms, ended_ms;
	int state; /* 0 running, 1 succeeded, 2 failed */
	char code[64], message[512];
};

static struct operation operations[OPERATIONS_MAX];
static size_t next_operation;
static unsigned char secret[32];

void operation_secret(const char *hex)
{
	for (size_t i = 0; i < sizeof(secret); i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		secret[i] = (unsigned char)strtoul(two, NULL, 16);
	}
}

/* MAC over the first bytes of an id and the subscription of "/subscriptions/S/...". */
static void sign(const unsigned char id[NONCE + RESOURCE], const char *key,
                 unsigned char to[16 - NONCE - RESOURCE])
{
	unsigned char mac[SHA256_DIGEST_LENGTH];
	unsigned len = sizeof(mac);
	AUTO_BUF struct buf b = { 0 };

	buf_add(&b, id, NONCE + RESOURCE);
	buf_add(&b, key, 15 + strcspn(key + 15, "/"));
	HMAC(EVP_sha256(), secret, sizeof(secret), b.data, b.len, mac, &len);
	memcpy(to, mac, 16 - NONCE - RESOURCE);
}

/* The 16 bytes of an id: RFC 9562 version 8 ("custom"). */
static void compose(const unsigned char nonce[NONCE], const char *key, unsigned char to[16])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)key, strlen(key), sum);
	memcpy(to, nonce, NONCE);
	memcpy(to + NONCE, sum, RESOURCE);
	to[6] = (unsigned char)((to[6] & 0x0f) | 0x80);
	to[8] = (unsigned char)((to[8] & 0x3f) | 0x80);
	sign(to, key, to + NONCE + RESOURCE);
}

static void format(const unsigned char b[16], char to[37])
{
	snprintf(to, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	         b[13], b[14], b[15]);
}

void operation_begin(const char *key, char to[static 37])
{
	struct operation *o = &operations[next_operation++ % OPERATIONS_MAX];
	unsigned char nonce[NONCE], id[16];

	free(o->key);
	memset(o, 0, sizeof(*o));
	random_system.fill(&random_system, nonce, sizeof(nonce));
	compose(nonce, key, id);
	format(id, o->id);
	o->key = strdup(key);
	o->began_ms = clock_system.wall_ms(&clock_system);
	memcpy(to, o->id, 37);
}

void operation_end(const char *key, const struct err *e)
{
	size_t n = next_operation < OPERATIONS_MAX ? next_operation : OPERATIONS_MAX;

	for (size_t i = 0; i < n; i++) {
		struct operation *o = &operations[i];

		if (o->state == 0 && o->key && strcmp(o->key, key) == 0) {
			o->state = e ? 2 : 1;
			o->ended_ms = clock_system.wall_ms(&clock_system);
			if (e) {
				snprintf(o->code, sizeof(o->code), "%s",
				         e->code ? e->code : err_kind_code(e->kind));
				snprintf(o->message, sizeof(o->message), "%s", e->msg);
			}
		}
	}
}

static json_t *view(const struct operation *o)
{
	static const char *const states[] = { "InProgress", "Succeeded", "Failed" };
	json_t *j = json_pack("{s:s*, s:s, s:s}", "id", o->key, "name", o->id, "status",
	                      states[o->state]);
	char when[40];

	if (o->began_ms) {
		clock_format(o->began_ms, when, sizeof(when));
		json_object_set_new(j, "startTime", json_string(when));
	}
	if (o->ended_ms) {
		clock_format(o->ended_ms, when, sizeof(when));
		json_object_set_new(j, "endTime", json_string(when));
	}
	if (o->state == 2) {
		json_object_set_new(
			j, "error",
			json_pack("{s:s, s:s}", "code", o->code, "message", o->message));
	}
	return j;
}

/* Of a former life: the resource tells how far it got; one that is gone was deleted. */
static json_t *recall(const char *id, const char *prefix)
{
	struct operation o = { .state = 1 };
	unsigned char nonce[NONCE], got[16];
	size_t n = strlen(prefix);
	char text[37];

	for (size_t i = 0; i < NONCE; i++) {
		char two[3] = { id[2 * i], id[2 * i + 1], '\0' };

		nonce[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	snprintf(o.id, sizeof(o.id), "%s", id);
	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0; i++) {
		struct resource *r = table_at(i);

		compose(nonce, r->key, got);
		format(got, text);
		if (strcasecmp(text, id) == 0) {
			const char *state = r->deleting ? "Deleting" : group_state(r);

			o.key = r->key;
			o.state =
				strcmp(state, "Failed") == 0 ? 2 : strcmp(state, "Succeeded") == 0;
			snprintf(o.code, sizeof(o.code), "ContainerGroupStartFailed");
			snprintf(o.message, sizeof(o.message),
			         "The container group did not start.");
			return view(&o);
		}
	}
	return NULL;
}

/* Was this id given out by us? Its resource may be gone, its MAC is not. */
static bool genuine(const char *id, const char *key)
{
	unsigned char b[16], mac[16 - NONCE - RESOURCE];
	unsigned v;
	size_t n = 0;

	for (const char *p = id; n < 16; n++, p += 2) {
		p += *p == '-';
		if (sscanf(p, "%2x", &v) != 1) {
			return false;
		}
		b[n] = (unsigned char)v;
	}
	sign(b, key, mac);
	return CRYPTO_memcmp(b + NONCE + RESOURCE, mac, sizeof(mac)) == 0;
}

json_t *operation_get(const char *id, const char *subscription)
{
	size_t n = next_operation < OPERATIONS_MAX ? next_operation : OPERATIONS_MAX;
	char prefix[200];

	if (strlen(id) != 36) {
		return NULL;
	}
	snprintf(prefix, sizeof(prefix), "/subscriptions/%.100s/", subscription);
	AUTO_FREE char *low = table_key(prefix);
	for (size_t i = 0; i < n; i++) {
		const struct operation *o = &operations[i];

		if (o->key && strcasecmp(o->id, id) == 0) {
			return strncmp(o->key, low, strlen(low)) == 0 ? view(o) : NULL;
		}
	}
	json_t *j = recall(id, low);
	if (!j && genuine(id, low)) {
		struct operation gone = { .state = 1 };

		snprintf(gone.id, sizeof(gone.id), "%s", id);
		j = view(&gone);
	}
	return j;
}
