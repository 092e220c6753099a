/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See slots.h.
 */
#include "lb/slots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/own.h"

#define EACH      100 /* slots a backend, at least */
#define SMALL_MAX 9   /* backends that 64 slots are enough for */

void slots_fini(struct slots *s)
{
	free(s->v);
	free(s->slot);
	*s = (struct slots){ 0 };
}

/* ---- size ---- */

/* Backends of the smallest weight that would have the same shares. */
static size_t equals(const struct slots_member *v, size_t n)
{
	size_t sum = 0, least = SLOTS_WEIGHT_MAX;

	for (size_t i = 0; i < n; i++) {
		sum += v[i].weight;
		least = v[i].weight < least ? v[i].weight : least;
	}
	return n ? (sum + least - 1) / least : 0;
}

static unsigned size_for(size_t n)
{
	unsigned i = n > SMALL_MAX;

	while (i + 1 < KOBJ_SIZES && i > 0 && (size_t)kobj_sizes[i] < n * EACH) {
		i++;
	}
	return i;
}

static unsigned next_size(const struct slots *was, const struct slots_member *v, size_t n)
{
	size_t e = equals(v, n);
	unsigned need = size_for(e), shrunk = size_for(e * 2);

	if (!was->n) {
		return need;
	}
	return need > was->size ? need : shrunk < was->size ? shrunk : was->size;
}

/* ---- shares ---- */

struct share {
	size_t low;  /* floor of its share */
	size_t rest; /* remainder, in parts of the sum of weights */
	size_t has;  /* slots that lead to it already */
	size_t target;
};

/* Who gets one more: first those that have it already, then those with the larger remainder. */
static int before(const struct share *a, const struct share *b)
{
	bool ka = a->has > a->low, kb = b->has > b->low;

	if (ka != kb) {
		return ka;
	}
	return a->rest > b->rest;
}

static bool set_targets(struct share *s, const struct slots_member *v, size_t n, size_t m)
{
	AUTO_FREE size_t *order = calloc(n, sizeof(*order));
	size_t sum = 0, left = m, k = 0;

	if (!order) {
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		sum += v[i].weight;
	}
	for (size_t i = 0; i < n; i++) {
		s[i].low = m * v[i].weight / sum;
		s[i].rest = m * v[i].weight % sum;
		s[i].target = s[i].low;
		left -= s[i].low;
	}
	for (size_t i = 0; i < n; i++) { /* stable insertion: those with a remainder, best first */
		size_t at = k;

		if (!s[i].rest) {
			continue;
		}
		while (at > 0 && before(&s[i], &s[order[at - 1]])) {
			at--;
		}
		memmove(&order[at + 1], &order[at], (k - at) * sizeof(*order));
		order[at] = i;
		k++;
	}
	for (size_t i = 0; i < k && left > 0; i++, left--) {
		s[order[i]].target++;
	}
	return true;
}

static size_t index_of(const struct slots_member *v, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_compare(&v[i].ip, ip) == 0) {
			return i;
		}
	}
	return SLOTS_NONE;
}

/* The former table's slots in the new one's size and numbering; counts them. */
static bool carry(const struct slots *was, struct slots *to, struct share *s)
{
	uint32_t m = kobj_sizes[to->size], old = kobj_sizes[was->size];
	AUTO_FREE uint16_t *now = calloc(was->n + 1, sizeof(*now));

	if (!now) {
		return false;
	}
	for (size_t i = 0; i < was->n; i++) {
		now[i] = (uint16_t)index_of(to->v, to->n, &was->v[i].ip);
	}
	for (uint32_t i = 0; i < m; i++) {
		/* The hash is scaled to the size, so that slots of one are ranges of the other. */
		uint16_t had = was->n ? was->slot[(uint64_t)i * old / m] : SLOTS_NONE;

		to->slot[i] = had == SLOTS_NONE ? SLOTS_NONE : now[had];
		if (to->slot[i] != SLOTS_NONE) {
			s[to->slot[i]].has++;
		}
	}
	return true;
}

/* Takes from those that have too much, gives to those that have too little. */
static void level(struct slots *to, struct share *s)
{
	uint32_t m = kobj_sizes[to->size];
	size_t next = 0;

	for (uint32_t i = 0; i < m; i++) {
		uint16_t *at = &to->slot[i];

		if (*at != SLOTS_NONE && s[*at].has > s[*at].target) {
			s[*at].has--;
			*at = SLOTS_NONE;
		}
	}
	for (uint32_t i = 0; i < m; i++) {
		if (to->slot[i] != SLOTS_NONE) {
			continue;
		}
		while (s[next % to->n].has >=
		       s[next % to->n].target) { /* the sums agree: one is found */
			next++;
		}
		to->slot[i] = (uint16_t)(next % to->n);
		s[next++ % to->n].has++;
	}
}

int slots_next(const struct slots *was, const struct slots_member *v, size_t n, struct slots *to)
{
	*to = (struct slots){ .size = next_size(was, v, n), .n = n };
	if (n == 0) {
		to->size = was->size;
		return 0;
	}
	AUTO_FREE struct share *s = calloc(n, sizeof(*s));
	to->v = calloc(n, sizeof(*to->v));
	to->slot = calloc(kobj_sizes[to->size], sizeof(*to->slot));
	if (n >= SLOTS_NONE || !s || !to->v || !to->slot) {
		slots_fini(to);
		return -1;
	}
	memcpy(to->v, v, n * sizeof(*v));
	if (!carry(was, to, s) || !set_targets(s, v, n, kobj_sizes[to->size])) {
		slots_fini(to);
		return -1;
	}
	level(to, s);
	return 0;
}

size_t slots_moved(const struct slots *a, const struct slots *b)
{
	const struct slots *big = a->size > b->size ? a : b;
	uint32_t m = kobj_sizes[big->size];
	size_t moved = 0;

	for (uint32_t i = 0; i < m; i++) {
		const struct slots_member *x, *y;

		x = a->n ? &a->v[a->slot[(uint64_t)i * kobj_sizes[a->size] / m]] : NULL;
		y = b->n ? &b->v[b->slot[(uint64_t)i * kobj_sizes[b->size] / m]] : NULL;
		moved += y && (!x || ip_compare(&x->ip, &y->ip) != 0);
	}
	return moved;
}

/* ---- text ---- */

char *slots_print(const struct slots *s)
{
	static const char digits[] = "0123456789abcdef";
	AUTO_BUF struct buf b = { 0 };
	char text[IP_TEXT], *room;

	buf_addf(&b, "%u ", s->size);
	for (size_t i = 0; i < s->n; i++) {
		buf_addf(&b, "%s%s*%u", i ? "," : "", ip_format(&s->v[i].ip, text), s->v[i].weight);
	}
	buf_addf(&b, " ");
	size_t len = s->n ? kobj_sizes[s->size] * 4u : 0;
	if (len && (room = buf_room(&b, len))) {
		for (uint32_t i = 0; i < kobj_sizes[s->size]; i++) {
			for (int k = 0; k < 4; k++) {
				*room++ = digits[s->slot[i] >> (12 - 4 * k) & 15];
			}
		}
		b.len += len;
	}
	return b.failed ? NULL : strndup(b.len ? (const char *)b.data : "", b.len);
}

static bool scan_members(const char *p, const char *end, struct slots *to)
{
	struct err e = ERR_INIT;
	size_t cap = 1;

	for (const char *c = p; c < end; c++) {
		cap += *c == ',';
	}
	to->v = calloc(cap, sizeof(*to->v));
	while (to->v && p < end) {
		char text[IP_TEXT];
		size_t len = strcspn(p, "*");
		struct slots_member *m = &to->v[to->n];

		if (len == 0 || len >= sizeof(text)) {
			return false;
		}
		snprintf(text, sizeof(text), "%.*s", (int)len, p);
		unsigned long weight = strtoul(p + len + 1, (char **)(uintptr_t)&p, 10);
		if (ip_parse(text, &m->ip, &e) < 0 || weight < 1 || weight > SLOTS_WEIGHT_MAX ||
		    (*p != ',' && *p != ' ')) {
			return false;
		}
		m->weight = (uint16_t)weight;
		to->n++;
		p += *p == ',';
	}
	return to->v && to->n < SLOTS_NONE;
}

static bool scan(const char *text, struct slots *to)
{
	char *end;
	unsigned long size = strtoul(text, &end, 10);

	if (*end != ' ' || size >= KOBJ_SIZES) {
		return false;
	}
	to->size = (unsigned)size;
	const char *members = end + 1, *hex = strchr(members, ' ');
	if (!hex || !scan_members(members, hex, to)) {
		return false;
	}
	uint32_t m = to->n ? kobj_sizes[size] : 0;
	if (strlen(++hex) != (size_t)m * 4) {
		return false;
	}
	to->slot = m ? calloc(m, sizeof(*to->slot)) : NULL;
	for (uint32_t i = 0; to->slot && i < m; i++) {
		char digits[5] = { hex[0], hex[1], hex[2], hex[3], 0 };

		to->slot[i] = (uint16_t)strtoul(digits, &end, 16);
		hex += 4;
		if (*end || to->slot[i] >= to->n) {
			return false;
		}
	}
	return !m || to->slot;
}

bool slots_scan(const char *text, struct slots *to)
{
	*to = (struct slots){ 0 };
	if (scan(text, to)) {
		return true;
	}
	slots_fini(to);
	return false;
}
