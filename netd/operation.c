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

#include "dns/cookie.h"
#include "lib/base/hex.h"
#include "lib/base/own.h"
#include "netd/plane.h"

#define OPERATIONS_MAX 4096
#define NONCE \
	4 /* bytes of an id: nonce, resource, MAC with UUID's marks in between; the
                            nonce ends with the place below, where it is remembered */
#define RESOURCE 6

struct operation {
	char id[37];
	char *key;     /* of the resource */
	uint64_t hash; /* of that */
	int64_t began_ms, ended_ms;
	int state; /* 0 running, 1 succeeded, 2 failed */
	char code[64], message[512];
};

static uint64_t hash_of(const char *key)
{
	static const uint8_t zero[16];

	return dns_siphash(zero, (const uint8_t *)key, strlen(key));
}

static struct operation operations[OPERATIONS_MAX];
static uint16_t running[OPERATIONS_MAX]; /* places of those in state 0 */
static size_t n_running;
static size_t next_operation;
static unsigned char secret[32];

bool operation_secret(const char *hex)
{
	return strlen(hex) == 2 * sizeof(secret) && hex_read(hex, secret, sizeof(secret));
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
	char hex[33];

	hex_print(b, 16, hex);
	snprintf(to, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* The bytes of an id as text. */
static bool scan(const char *id, unsigned char to[16])
{
	char hex[33];
	size_t n = 0;

	for (const char *p = id; *p && n < 32; p++) {
		if (*p != '-') {
			hex[n++] = *p;
		}
	}
	return n == 32 && hex_read(hex, to, 16);
}

void operation_begin(const char *key, char to[static 37])
{
	uint16_t place = (uint16_t)(next_operation++ % OPERATIONS_MAX);
	struct operation *o = &operations[place];
	unsigned char nonce[NONCE], id[16];

	for (size_t i = 0; o->key && o->state == 0 && i < n_running; i++) {
		if (running[i] == place) {
			running[i] = running[--n_running];
		}
	}
	free(o->key);
	memset(o, 0, sizeof(*o));
	random_system.fill(&random_system, nonce, sizeof(nonce));
	nonce[2] = (unsigned char)(place >> 8);
	nonce[3] = (unsigned char)place;
	compose(nonce, key, id);
	format(id, o->id);
	o->key = strdup(key);
	o->hash = hash_of(key);
	o->began_ms = clock_system.wall_ms(&clock_system);
	running[n_running++] = place;
	memcpy(to, o->id, 37);
}

void operation_end(const char *key, const struct err *e)
{
	uint64_t hash = hash_of(key); /* thousands may run, of keys that begin alike */

	for (size_t i = 0; i < n_running;) {
		struct operation *o = &operations[running[i]];

		if (o->hash != hash || strcmp(o->key, key) != 0) {
			i++;
			continue;
		}
		running[i] = running[--n_running];
		o->state = e ? 2 : 1;
		o->ended_ms = clock_system.wall_ms(&clock_system);
		if (e) {
			snprintf(o->code, sizeof(o->code), "%s",
			         e->code ? e->code : err_kind_code(e->kind));
			snprintf(o->message, sizeof(o->message), "%s", e->msg);
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
	unsigned char want[16], got[16];
	size_t n = strlen(prefix);

	if (!scan(id, want)) {
		return NULL;
	}
	snprintf(o.id, sizeof(o.id), "%s", id);
	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0; i++) {
		struct resource *r = table_at(i);

		compose(want, r->key, got); /* begins with its nonce */
		if (memcmp(want, got, sizeof(want)) == 0) {
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

	if (!scan(id, b)) {
		return false;
	}
	sign(b, key, mac);
	return CRYPTO_memcmp(b + NONCE + RESOURCE, mac, sizeof(mac)) == 0;
}

json_t *operation_get(const char *id, const char *subscription)
{
	unsigned char b[16];
	char prefix[200];

	if (strlen(id) != 36 || !scan(id, b)) {
		return NULL;
	}
	snprintf(prefix, sizeof(prefix), "/subscriptions/%.100s/", subscription);
	AUTO_FREE char *low = table_key(prefix);
	const struct operation *o = &operations[(b[2] << 8 | b[3]) % OPERATIONS_MAX];
	if (o->key && strcasecmp(o->id, id) == 0) {
		return strncmp(o->key, low, strlen(low)) == 0 ? view(o) : NULL;
	}
	json_t *j = recall(id, low);
	if (!j && genuine(id, low)) {
		struct operation gone = { .state = 1 };

		snprintf(gone.id, sizeof(gone.id), "%s", id);
		j = view(&gone);
	}
	return j;
}
