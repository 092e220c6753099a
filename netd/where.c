/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See where.h: a hash table with chains.
 */
#include "netd/where.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "dns/cookie.h"

static size_t place(const struct where *w, uint32_t vnet, const struct ip *ip)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ vnet;

	for (int i = 0; i < 16; i++) {
		h = (h ^ ip->b[i]) * UINT64_C(0x100000001b3);
	}
	return (size_t)(h ^ h >> 32) & (w->cap - 1);
}

static bool at(const struct where_entry *x, uint32_t vnet, const struct ip *ip)
{
	return x->vnet == vnet && ip_compare(&x->ip, ip) == 0;
}

static void grow(struct where *w)
{
	struct where now = { .cap = w->cap ? w->cap * 2 : 64, .n = w->n };

	now.slot = calloc(now.cap, sizeof(struct where_entry *));
	if (!now.slot) {
		abort();
	}
	for (size_t i = 0; i < w->cap; i++) {
		struct where_entry *x = w->slot[i], *next;

		for (; x; x = next) {
			size_t to = place(&now, x->vnet, &x->ip);

			next = x->next;
			x->next = now.slot[to];
			now.slot[to] = x;
		}
	}
	free(w->slot);
	*w = now;
}

struct ip where_named(const void *bytes, size_t n)
{
	static const uint8_t keys[2][16] = { { 1 }, { 2 } };
	struct ip ip = { .family = 6 };

	for (int i = 0; i < 2; i++) {
		uint64_t h = dns_siphash(keys[i], bytes, n);

		memcpy(ip.b + 8 * i, &h, 8);
	}
	return ip;
}

void where_add(struct where *w, uint32_t vnet, const struct ip *ip, uintptr_t value)
{
	const struct where_entry *x = NULL;

	while ((x = where_next(w, vnet, ip, x))) {
		if (x->value == value) {
			return;
		}
	}
	if (w->n >= w->cap) {
		grow(w);
	}
	struct where_entry *new = malloc(sizeof(*new));
	size_t to = place(w, vnet, ip);
	if (!new) {
		abort();
	}
	*new = (struct where_entry){ vnet, *ip, value, w->slot[to] };
	w->slot[to] = new;
	w->n++;
}

void where_drop(struct where *w, uint32_t vnet, const struct ip *ip, uintptr_t value)
{
	struct where_entry **x = w->cap ? &w->slot[place(w, vnet, ip)] : NULL;

	while (x && *x) {
		struct where_entry *gone = *x;

		if (at(gone, vnet, ip) && gone->value == value) {
			*x = gone->next;
			free(gone);
			w->n--;
			return;
		}
		x = &gone->next;
	}
}

const struct where_entry *where_next(const struct where *w, uint32_t vnet, const struct ip *ip,
                                     const struct where_entry *after)
{
	const struct where_entry *x = after    ? after->next
	                              : w->cap ? w->slot[place(w, vnet, ip)]
	                                       : NULL;

	while (x && !at(x, vnet, ip)) {
		x = x->next;
	}
	return x;
}
