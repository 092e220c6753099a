/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * DNSSEC keys of public zones: made when a zone is first signed, sealed in the store (dnssec/ORIGIN), rolled over. A
 * zone-signing key is published before it signs, and after it has (RFC 6781 4.1.1.1), all by itself. A key-signing key is
 * rolled by the administrator: both sign, and CDS names the new one once all know it (RFC 7344), until he says that the
 * parent has it. See zone.h.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/sign.h"
#include "lib/base/hex.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "lib/store/seal.h"
#include "netd/zone_parts.h"

#define KEYS_TTL 3600 /* seconds, or half of what keys take to be known everywhere */

enum state {
	PUBLISHED, /* known, signs nothing yet */
	ACTIVE,
	RETIRED /* signs nothing any more, what it signed is still remembered */
};
static const char *const state_names[] = { "published", "active", "retired" };

struct zone_key {
	uint8_t private[32];
	uint16_t flags;
	enum state state;
	int64_t since_s; /* wall clock */
	bool parent;     /* a key-signing key that the parent has, or will have: CDS names it */
};

struct zone_keys {
	char origin[256];
	struct zone_key v[DNS_KEYS_MAX];
	size_t n;
};

static struct zone_keys **all;
static size_t n_all;
static int64_t swept_s;

static int64_t now_s(void)
{
	return clock_system.wall_ms(&clock_system) / 1000;
}

static struct zone_keys *keys_find(const char *origin)
{
	for (size_t i = 0; i < n_all; i++) {
		if (strcmp(all[i]->origin, origin) == 0) {
			return all[i];
		}
	}
	return NULL;
}

static struct zone_keys *keys_make(const char *origin)
{
	struct zone_keys *k = calloc(1, sizeof(*k));

	all = realloc(all, (n_all + 1) * sizeof(struct zone_keys *));
	if (!k || !all) {
		abort();
	}
	snprintf(k->origin, sizeof(k->origin), "%.255s", origin);
	all[n_all++] = k;
	return k;
}

/* ---- store ---- */

/* false: they could not be sealed; `done` is not called. */
static bool save(const struct zone_keys *k, zone_stored_fn *done, void *arg)
{
	json_auto_t *list = json_array(), *row = NULL;
	struct err e = ERR_INIT;
	char key[300], hex[65];

	for (size_t i = 0; i < k->n; i++) {
		const struct zone_key *x = &k->v[i];

		json_array_append_new(list,
		                      json_pack("{s:s, s:i, s:s, s:I, s:b}", "private",
		                                hex_print(x->private, 32, hex), "flags", x->flags,
		                                "state", state_names[x->state], "since",
		                                (json_int_t)x->since_s, "parent", x->parent));
	}
	snprintf(key, sizeof(key), "dnssec/%s", k->origin);
	char *text = json_dumps(list, JSON_COMPACT);
	AUTO_FREE char *sealed = text ? seal(text, strlen(text), key, &e) : NULL;
	if (text) {
		OPENSSL_cleanse(text, strlen(text));
	}
	free(text);
	OPENSSL_cleanse(hex, sizeof(hex));
	if (!sealed) {
		log_error("dnssec.seal", LOG_STR("error", e.msg));
		return false;
	}
	row = json_pack("{s:s}", "sealed", sealed);
	AUTO_FREE char *value = json_dumps(row, JSON_COMPACT);
	store_submit(plane.store, &(struct store_op){ .key = key, .value = value }, 1, done, arg);
	return true;
}

static enum state state_of(const char *name)
{
	return strcmp(name, "active") == 0    ? ACTIVE
	       : strcmp(name, "retired") == 0 ? RETIRED
	                                      : PUBLISHED;
}

void zone_keys_load(const char *origin, const json_t *row)
{
	char key[300];
	struct err e = ERR_INIT;
	size_t len, i;
	json_t *x;

	snprintf(key, sizeof(key), "dnssec/%.255s", origin);
	char *text = unseal(model_str(row, "sealed"), key, &len, &e);
	if (!text) { /* new ones would break the chain of trust: somebody has to decide, by removing the row */
		log_error("dnssec.unopened", LOG_STR("zone", origin), LOG_STR("error", e.msg));
		(void)keys_make(origin);
		return;
	}
	json_auto_t *list = json_loadb(text, len, 0, NULL);
	OPENSSL_cleanse(text, len);
	free(text);
	struct zone_keys *k = keys_make(origin);
	json_array_foreach(list, i, x)
	{
		struct zone_key *to = &k->v[k->n];

		if (k->n < DNS_KEYS_MAX && hex_read(model_str(x, "private"), to->private, 32)) {
			to->flags = (uint16_t)json_integer_value(json_object_get(x, "flags"));
			to->state = state_of(model_str(x, "state"));
			to->since_s = json_integer_value(json_object_get(x, "since"));
			to->parent = json_is_true(json_object_get(x, "parent"));
			k->n++;
		}
	}
}

/* ---- what there is to have ---- */

static bool add_key(struct zone_keys *k, uint16_t flags, enum state state)
{
	struct zone_key *x = &k->v[k->n];

	if (k->n == DNS_KEYS_MAX || !dns_key_draw(x->private)) {
		return false;
	}
	x->flags = flags;
	x->state = state;
	x->since_s = now_s();
	x->parent =
		flags == DNS_KEY_KSK && k->n == 0; /* a later one once it is known: next_parent() */
	k->n++;
	return true;
}

static struct zone_keys *keys_of(const char *origin)
{
	struct zone_keys *k = plane.config->dnssec ? keys_find(origin) : NULL;

	if (!k && plane.config->dnssec) {
		k = keys_make(origin);
		if (!add_key(k, DNS_KEY_KSK, ACTIVE) || !add_key(k, DNS_KEY_ZSK, ACTIVE)) {
			abort();
		}
		(void)save(k, control_saved, NULL);
	}
	return k;
}

bool zone_keys_any(const char *origin)
{
	return keys_of(origin) != NULL;
}

void zone_keys_tell(uint64_t zone, const char *origin)
{
	const struct zone_keys *k = keys_of(origin);
	struct buf b = { 0 };

	put_u64(&b, zone);
	put_u8(&b, k ? (uint8_t)k->n : 0);
	for (size_t i = 0; k && i < k->n; i++) {
		put_u16(&b, k->v[i].flags);
		put_u8(&b, k->v[i].state == ACTIVE);
		buf_add(&b, k->v[i].private, 32);
	}
	zone_send_to(node_own(), MSG_ZONE_KEYS, &b); /* no other node has keys */
	if (!b.failed) {
		OPENSSL_cleanse(b.data, b.len);
	}
	buf_fini(&b);
}

/* DNSKEY, CDS and CDNSKEY of the zone's own name. */
void zone_keys_records(const char *origin, const uint8_t *wire, size_t len, struct dns_sets *to)
{
	const struct zone_keys *k = keys_of(origin);
	uint8_t data[DNS_KEY_DATA], ds[DNS_DS_DATA];
	int64_t half = plane.config->dnssec_spread_s / 2;
	uint32_t ttl = half < KEYS_TTL ? (uint32_t)half : KEYS_TTL;

	for (size_t i = 0; k && i < k->n; i++) {
		struct dns_key key;

		if (!dns_key_load(&key, k->v[i].flags, false, k->v[i].private)) {
			continue;
		}
		dns_key_data(&key, data);
		dns_sets_add(to, DNS_DNSKEY, ttl, data, sizeof(data));
		if (k->v[i].parent) {
			dns_key_ds(&key, wire, len, ds);
			dns_sets_add(to, DNS_CDS, ttl, ds, sizeof(ds));
			dns_sets_add(to, DNS_CDNSKEY, ttl, data, sizeof(data));
		}
		dns_key_fini(&key);
	}
}

/* ---- roll-over ---- */

static void drop_key(struct zone_keys *k, size_t i)
{
	OPENSSL_cleanse(k->v[i].private, 32);
	memmove(&k->v[i], &k->v[i + 1], (k->n - i - 1) * sizeof(k->v[0]));
	k->n--;
}

static void turn(struct zone_key *x, enum state state)
{
	x->state = state;
	x->since_s = now_s();
}

/* A new key-signing key is named to the parent once no old DNSKEY set is remembered: who has the new DS only could not
 * follow that one (RFC 7583 3.3.1). The newest is last. */
static bool next_parent(struct zone_keys *k)
{
	struct zone_key *newest = NULL;

	for (size_t i = 0; i < k->n; i++) {
		if (k->v[i].flags == DNS_KEY_KSK && k->v[i].state == ACTIVE) {
			newest = &k->v[i];
		}
	}
	if (!newest || newest->parent ||
	    now_s() - newest->since_s < plane.config->dnssec_spread_s) {
		return false;
	}
	for (size_t i = 0; i < k->n; i++) {
		k->v[i].parent = &k->v[i] == newest;
	}
	return true;
}

/* One step of the keys, when its time has come. */
static bool step(struct zone_keys *k)
{
	int64_t now = now_s(), life = plane.config->zsk_life_s,
		spread = plane.config->dnssec_spread_s;
	struct zone_key *active = NULL, *next = NULL;

	for (size_t i = 0; i < k->n; i++) {
		struct zone_key *x = &k->v[i];

		if (x->state == RETIRED && now - x->since_s >= spread) {
			drop_key(k, i);
			return true;
		}
		if (x->flags == DNS_KEY_ZSK && x->state == ACTIVE) {
			active = x;
		} else if (x->flags == DNS_KEY_ZSK && x->state == PUBLISHED) {
			next = x;
		}
	}
	if (next_parent(k)) {
		return true;
	}
	if (next && now - next->since_s >= spread) {
		turn(next, ACTIVE);
		if (active) {
			turn(active, RETIRED);
		}
		return true;
	}
	return !next && active && life && now - active->since_s >= life &&
	       add_key(k, DNS_KEY_ZSK, PUBLISHED);
}

void zone_keys_sweep(void)
{
	int64_t now = now_s();

	if (!plane.config->dnssec || now == swept_s || plane.stopped) {
		return;
	}
	swept_s = now;
	for (size_t i = 0; i < n_all; i++) {
		if (all[i]->n > 0 && step(all[i])) {
			(void)save(all[i], control_saved, NULL);
			log_info("dnssec.rollover", LOG_STR("zone", all[i]->origin),
			         LOG_NUM("keys", all[i]->n));
			zone_public_keys(all[i]->origin);
		}
	}
}

int zone_keys_roll(const char *origin, zone_stored_fn *done, void *arg, struct err *e)
{
	struct zone_keys *k = keys_find(origin);
	unsigned ksk = 0;

	for (size_t i = 0; k && i < k->n; i++) {
		ksk += k->v[i].flags == DNS_KEY_KSK && k->v[i].state == ACTIVE;
	}
	if (!k || ksk != 1) {
		return err_set_at(e, k ? ERR_CONFLICT : ERR_NOT_FOUND, NULL, NULL,
		                  k ? "A roll-over is under way: say dsSeen first."
		                    : "The zone is not signed.");
	}
	if (!add_key(k, DNS_KEY_KSK, ACTIVE)) {
		return err_set(e, ERR_SYSTEM, 0, "No key could be made.");
	}
	if (!save(k, done, arg)) {
		return err_set(e, ERR_SYSTEM, 0, "The keys could not be sealed.");
	}
	zone_public_keys(origin);
	return 0;
}

int zone_keys_seen(const char *origin, zone_stored_fn *done, void *arg, struct err *e)
{
	struct zone_keys *k = keys_find(origin);
	struct zone_key *old = NULL, *newest = NULL;

	for (size_t i = 0; k && i < k->n; i++) {
		struct zone_key *x = &k->v[i];

		if (x->flags == DNS_KEY_KSK && x->state == ACTIVE) {
			old = newest;
			newest = x;
		}
	}
	if (!old || !newest->parent) {
		return err_set_at(e, ERR_CONFLICT, NULL, NULL,
		                  old ? "The new key is not known everywhere yet; wait until "
		                        "the zone's CDS record names it."
		                      : "No roll-over is under way.");
	}
	turn(old, RETIRED); /* it goes once nobody remembers the old DS */
	if (!save(k, done, arg)) {
		return err_set(e, ERR_SYSTEM, 0, "The keys could not be sealed.");
	}
	zone_public_keys(origin);
	return 0;
}

json_t *zone_keys_view(const char *origin, const uint8_t *wire, size_t len)
{
	const struct zone_keys *k = keys_find(origin);
	json_t *list = json_array();
	uint8_t ds[DNS_DS_DATA];

	for (size_t i = 0; k && i < k->n; i++) {
		struct dns_key key;
		char hex[65], text[160];

		if (!dns_key_load(&key, k->v[i].flags, false, k->v[i].private)) {
			continue;
		}
		dns_key_ds(&key, wire, len, ds);
		snprintf(text, sizeof(text), "%u 13 2 %s", key.tag, hex_print(ds + 4, 32, hex));
		json_array_append_new(list,
		                      json_pack("{s:i, s:s, s:s, s:I, s:s, s:b}", "tag", key.tag,
		                                "kind", key.flags == DNS_KEY_KSK ? "KSK" : "ZSK",
		                                "state", state_names[k->v[i].state], "since",
		                                (json_int_t)k->v[i].since_s, "ds", text, "parent",
		                                k->v[i].parent));
		dns_key_fini(&key);
	}
	return list;
}
