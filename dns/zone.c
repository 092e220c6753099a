/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See zone.h: the table of names. The answer path is in answer.c.
 */
#include "dns/zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/zone_own.h"

uint32_t dns_hash(const uint8_t *name, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	while (len--) {
		h = (h ^ *name++) * UINT64_C(0x100000001b3);
	}
	return (uint32_t)(h ^ h >> 32);
}

struct dns_zones *dns_zones_new(void)
{
	struct dns_zones *z = calloc(1, sizeof(*z));

	if (z) {
		z->n_slots = 1024;
		z->slots = calloc(z->n_slots, sizeof(*z->slots));
		if (!z->slots) {
			free(z);
			return NULL;
		}
	}
	return z;
}

void dns_zones_free(struct dns_zones *z)
{
	if (!z) {
		return;
	}
	for (size_t i = 0; i < z->n_slots; i++) {
		free(z->slots[i]);
	}
	free(z->slots);
	free(z);
}

int dns_wire_name(const char *text, uint8_t to[DNS_NAME_MAX])
{
	size_t n = 0;

	while (*text) {
		size_t label = strcspn(text, ".");

		if (label == 0 || label > 63 || n + label + 2 > DNS_NAME_MAX) {
			return -1;
		}
		to[n++] = (uint8_t)label;
		for (size_t i = 0; i < label; i++) {
			char c = text[i];
			bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			          (c >= '0' && c <= '9') || c == '-' || c == '_';

			if (!ok) {
				return -1;
			}
			to[n++] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		text += label;
		if (*text == '.' && !*++text) {
			return -1;
		}
	}
	to[n++] = 0;
	return (int)n;
}

const struct dns_name *dns_find(const struct dns_zones *z, const uint8_t *name, size_t len)
{
	size_t i = dns_hash(name, len) & (z->n_slots - 1);

	for (; z->slots[i]; i = (i + 1) & (z->n_slots - 1)) {
		const struct dns_name *x = z->slots[i];

		if (x->len == len && memcmp(x->wire, name, len) == 0) {
			return x;
		}
	}
	return NULL;
}

static void place(struct dns_name **slots, size_t n_slots, struct dns_name *x)
{
	size_t i = dns_hash(x->wire, x->len) & (n_slots - 1);

	while (slots[i]) {
		i = (i + 1) & (n_slots - 1);
	}
	slots[i] = x;
}

static int grow(struct dns_zones *z)
{
	size_t n = z->n_slots * 2;
	struct dns_name **slots = calloc(n, sizeof(struct dns_name *));

	if (!slots) {
		return -1;
	}
	for (size_t i = 0; i < z->n_slots; i++) {
		if (z->slots[i]) {
			place(slots, n, z->slots[i]);
		}
	}
	free(z->slots);
	z->slots = slots;
	z->n_slots = n;
	return 0;
}

static struct dns_name *get(struct dns_zones *z, const uint8_t *name, size_t len)
{
	return (struct dns_name *)(uintptr_t)dns_find(z, name, len);
}

static struct dns_name *make(struct dns_zones *z, const uint8_t *name, size_t len)
{
	struct dns_name *x = get(z, name, len);

	if (x) {
		return x;
	}
	if ((z->n_names + 1) * 4 > z->n_slots * 3 && grow(z) < 0) {
		return NULL;
	}
	x = calloc(1, sizeof(*x) + len);
	if (x) {
		x->len = (uint16_t)len;
		memcpy(x->wire, name, len);
		place(z->slots, z->n_slots, x);
		z->n_names++;
	}
	return x;
}

/* Takes a name out; names behind it in its run move up, so that no probe stops too early. */
static void discard(struct dns_zones *z, struct dns_name *x)
{
	size_t mask = z->n_slots - 1, i = dns_hash(x->wire, x->len) & mask;

	while (z->slots[i] != x) {
		i = (i + 1) & mask;
	}
	z->slots[i] = NULL;
	free(x);
	z->n_names--;
	for (i = (i + 1) & mask; z->slots[i]; i = (i + 1) & mask) {
		struct dns_name *move = z->slots[i];

		z->slots[i] = NULL;
		place(z->slots, z->n_slots, move);
	}
}

struct dns_zone *dns_zone_of(const struct dns_zones *z, const uint8_t *name, size_t len)
{
	struct dns_zone *best = NULL;

	for (size_t i = 0; i < z->n_zones; i++) {
		struct dns_zone *c = (struct dns_zone *)(uintptr_t)&z->zones[i];

		if (c->len > len || memcmp(name + len - c->len, c->wire, c->len) != 0) {
			continue;
		}
		/* The suffix must begin at a label. */
		size_t at = 0;
		while (at < len - c->len) {
			at += (size_t)name[at] + 1;
		}
		if (at == len - c->len && (!best || c->len > best->len)) {
			best = c;
		}
	}
	return best;
}

int dns_zones_add(struct dns_zones *z, const char *domain, const struct ip *addrs, size_t n,
                  uint32_t ttl_s, struct err *e)
{
	struct dns_zone *c = &z->zones[z->n_zones];
	char ns[300];
	int len;

	if (z->n_zones == DNS_ZONES_MAX) {
		return err_set(e, ERR_INVALID, 0, "more than %d zones", DNS_ZONES_MAX);
	}
	len = dns_wire_name(domain, c->wire);
	if (len < 0) {
		return err_set(e, ERR_INVALID, 0, "'%.100s' is no domain name", domain);
	}
	c->len = (uint16_t)len;
	c->ttl_s = ttl_s;
	c->serial = 1;
	z->n_zones++;
	if (!make(z, c->wire, c->len)) {
		return err_set(e, ERR_NO_MEMORY, 0, "zone: out of memory");
	}
	get(z, c->wire, c->len)->fixed = true;
	snprintf(ns, sizeof(ns), "ns1.%s", domain);
	if (dns_name_set(z, ns, addrs, n, e) < 0) {
		return -1;
	}
	uint8_t wire[DNS_NAME_MAX];
	len = dns_wire_name(ns, wire);
	struct dns_name *x = make(z, wire, (size_t)len);
	if (x) {
		x->fixed = true;
	}
	return 0;
}

static bool exists(const struct dns_name *x)
{
	return x->fixed || x->n4 || x->n6 || x->below;
}

/* Ancestors up to the zone's apex count what is below them: they exist, without records. */
static int count_ancestors(struct dns_zones *z, const struct dns_zone *c, const uint8_t *name,
                           size_t len, int by)
{
	while (len > c->len) {
		size_t label = (size_t)name[0] + 1;

		name += label;
		len -= label;
		struct dns_name *up = by > 0 ? make(z, name, len) : get(z, name, len);
		if (!up) {
			return -1;
		}
		up->below += (uint32_t)by;
		if (!exists(up)) {
			discard(z, up);
		}
	}
	return 0;
}

static int store(struct dns_zones *z, struct dns_zone *c, const uint8_t *wire, size_t len,
                 const struct ip *addrs, size_t n)
{
	struct dns_name *x = get(z, wire, len);
	bool had = x && (x->n4 || x->n6);

	if (!n && !had) {
		return 0;
	}
	if (n && !had) {
		if (count_ancestors(z, c, wire, len, 1) < 0 || !(x = make(z, wire, len))) {
			return -1;
		}
	}
	x->n4 = x->n6 = 0;
	for (size_t i = 0; i < n; i++) {
		if (addrs[i].family == 4) {
			memcpy(x->a[x->n4++], addrs[i].b, 4);
		} else {
			memcpy(x->aaaa[x->n6++], addrs[i].b, 16);
		}
	}
	x->generation = z->generation;
	c->serial++;
	if (!n) {
		count_ancestors(z, c, wire, len, -1);
		if (!exists(x)) {
			discard(z, x);
		}
	}
	return 0;
}

int dns_name_set(struct dns_zones *z, const char *name, const struct ip *addrs, size_t n,
                 struct err *e)
{
	uint8_t wire[DNS_NAME_MAX];
	int len = dns_wire_name(name, wire);
	struct dns_zone *c = len < 0 ? NULL : dns_zone_of(z, wire, (size_t)len);
	size_t n4 = 0;

	for (size_t i = 0; i < n; i++) {
		n4 += addrs[i].family == 4;
	}
	if (!c || c->len == len || n4 > DNS_ADDRS_MAX || n - n4 > DNS_ADDRS_MAX) {
		return err_set(e, ERR_INVALID, 0, "name '%.200s' cannot be served", name);
	}
	if (store(z, c, wire, (size_t)len, addrs, n) < 0) {
		return err_set(e, ERR_NO_MEMORY, 0, "name: out of memory");
	}
	return 0;
}

void dns_names_begin(struct dns_zones *z)
{
	z->generation++;
}

void dns_names_end(struct dns_zones *z)
{
	for (size_t i = 0; i < z->n_slots; i++) {
		struct dns_name *x = z->slots[i];
		uint8_t wire[DNS_NAME_MAX];

		if (x && !x->fixed && (x->n4 || x->n6) && x->generation != z->generation) {
			size_t len = x->len;

			memcpy(wire, x->wire, len);
			store(z, dns_zone_of(z, wire, len), wire, len, NULL, 0);
			i = (size_t)-1; /* places moved: from the start; rare, after a restart only */
		}
	}
}

size_t dns_names_count(const struct dns_zones *z)
{
	return z->n_names;
}
