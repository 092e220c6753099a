/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See hot.h.
 */
#include "dns/hot.h"

#include <string.h>

#include "dns/query.h"
#include "dns/zone.h"

#define REST 2 /* of names_time(): a name that answered since is not replaced */

static void store(uint64_t *to, uint64_t v)
{
	__atomic_store_n(to, v, __ATOMIC_RELEASE);
}

/* The key of a question; false: the program looks at no name of that length. */
static bool key_of(const struct dns_hot *h, const uint8_t *name, size_t len, uint16_t type,
                   uint64_t to[2])
{
	uint8_t room[NAMES_NAME_MAX + 8] = { 0 };
	struct names_hash x;
	uint32_t n = (uint32_t)len + 1;

	if (n > NAMES_NAME_MAX) {
		return false;
	}
	memcpy(room, name, len);
	names_hash_begin(&x, (const __u64 *)h->state->key);
	for (uint32_t i = 0; i < n; i += 8) {
		__u64 w;

		memcpy(&w, room + i, 8);
		names_hash_word(&x, w);
	}
	__u64 key[2];
	names_hash_end(&x, n, type, key);
	to[0] = key[0] ? key[0] : 1; /* 0 is nobody's */
	to[1] = key[1];
	return true;
}

static struct names_entry *find(const struct dns_hot *h, const uint64_t key[2])
{
	struct names_bucket *b = &h->buckets[(uint32_t)key[0] & h->mask];

	for (int i = 0; i < NAMES_WAYS; i++) {
		if (b->way[i].key[0] == key[0]) {
			return &b->way[i];
		}
	}
	return NULL;
}

static bool is_free(const struct dns_hot *h, const struct names_entry *e)
{
	return e->key[0] == 0 || e->epoch != h->state->epoch;
}

/* A place for it: a free one, else the one that rested longest; NULL: all are asked. */
static struct names_entry *place(const struct dns_hot *h, uint64_t key, uint32_t now)
{
	struct names_bucket *b = &h->buckets[(uint32_t)key & h->mask];
	struct names_entry *oldest = NULL;
	uint32_t rest = REST;

	for (int i = 0; i < NAMES_WAYS; i++) {
		struct names_entry *e = &b->way[i];

		if (is_free(h, e)) {
			return e;
		}
		if (now - e->used > rest) {
			rest = now - e->used;
			oldest = e;
		}
	}
	return oldest;
}

/* What the program finds while it is written is not whole: the check says so. */
static void write_entry(struct names_entry *to, const struct names_entry *e)
{
	uint64_t *p = (uint64_t *)(void *)to;
	const uint64_t *v = (const uint64_t *)(const void *)e;

	store(&p[0], 0);
	for (size_t i = 1; i < sizeof(*e) / 8; i++) {
		store(&p[i], v[i]);
	}
	store(&p[0], v[0]);
}

void dns_hot_begin(struct dns_hot *h, struct names_state *state, struct names_bucket *v,
                   uint32_t buckets, const uint64_t key[2], uint32_t rate)
{
	*h = (struct dns_hot){ .state = state, .buckets = v, .mask = buckets - 1 };
	store((uint64_t *)&state->until_ns, 0);
	dns_hot_forget(h);
	state->key[0] = key[0];
	state->key[1] = key[1];
	state->rate = rate;
}

bool dns_hot_put(struct dns_hot *h, const uint8_t *name, size_t len, const uint8_t *addr,
                 size_t bytes, uint32_t ttl_s, bool signs, uint64_t now_ns)
{
	struct names_entry e = { .len = (uint8_t)bytes, .is_signed = signs };
	uint64_t key[2];

	if (!key_of(h, name, len, bytes == 4 ? DNS_A : DNS_AAAA, key)) {
		return false;
	}
	struct names_entry *at = find(h, key);
	if (!at && !(at = place(h, key[0], names_time(now_ns)))) {
		return false;
	}
	h->names += is_free(h, at);
	e.key[0] = key[0];
	e.key[1] = key[1];
	memcpy(e.addr, addr, bytes);
	dns_put32((uint8_t *)&e.ttl, ttl_s);
	e.epoch = h->state->epoch;
	e.used = names_time(now_ns);
	e.check = names_check(&e);
	write_entry(at, &e);
	return true;
}

void dns_hot_drop(struct dns_hot *h, const uint8_t *name, size_t len, const uint8_t *origin,
                  size_t origin_len)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA };
	uint8_t whole[NAMES_NAME_MAX];
	uint64_t key[2];

	if (len + origin_len + 1 > sizeof(whole)) {
		return;
	}
	memcpy(whole, name, len);
	memcpy(whole + len, origin, origin_len);
	for (size_t i = 0; i < 2; i++) {
		struct names_entry *e =
			key_of(h, whole, len + origin_len, types[i], key) ? find(h, key) : NULL;

		if (e) {
			h->names -= !is_free(h, e) && h->names > 0;
			store((uint64_t *)&e->key[0], 0);
		}
	}
}

void dns_hot_forget(struct dns_hot *h)
{
	h->names = 0;
	__atomic_add_fetch(&h->state->epoch, 1, __ATOMIC_RELEASE);
}

void dns_hot_until(struct dns_hot *h, uint64_t ns)
{
	store((uint64_t *)&h->state->until_ns, ns);
}

void dns_hot_counts(const struct dns_hot *h, uint64_t *answered, uint64_t *limited)
{
	*answered = *limited = 0;
	for (size_t i = 0; i < NAMES_CPUS; i++) {
		const struct names_count *c = &h->state->counts[i];

		*answered += __atomic_load_n(&c->answered, __ATOMIC_RELAXED);
		*limited += __atomic_load_n(&c->limited, __ATOMIC_RELAXED);
	}
}
