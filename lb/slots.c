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
	free(s->known);
	free(s->former);
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

static size_t index_of_ip(const struct ip *v, size_t n, const struct ip *ip)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_compare(&v[i], ip) == 0) {
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

/* ---- former ones ---- */

/* While former ones are collected: what numbers of the last table are in the new one. */
struct past {
	const struct slots *was;
	struct slots *to;
	unsigned depth; /* of former ones that are kept */
	uint16_t *now;  /* of its members: in `to`, or SLOTS_NONE; then of its known ones */
	uint16_t *name; /* the same, in to->known */
};

static const struct ip *address(const struct slots *s, size_t i)
{
	return i < s->n ? &s->v[i].ip : &s->known[i - s->n];
}

/* `i` counts members, then known ones. */
static void remember(struct past *p, uint32_t slot, size_t i)
{
	uint16_t *row = p->to->former[slot];
	size_t k = 0;

	if (p->to->n && p->now[i] == p->to->slot[slot]) {
		return; /* it leads there */
	}
	if (p->name[i] == SLOTS_NONE) {
		p->name[i] =
			(uint16_t)index_of_ip(p->to->known, p->to->n_known, address(p->was, i));
	}
	if (p->name[i] == SLOTS_NONE) {
		p->to->known[p->to->n_known] = *address(p->was, i);
		p->name[i] = (uint16_t)p->to->n_known++;
	}
	while (k < SLOTS_FORMERS && row[k] != SLOTS_NONE && row[k] != p->name[i]) {
		k++;
	}
	if (k < SLOTS_FORMERS) {
		row[k] = p->name[i];
	}
}

/* What the slots led to that this one is of, then what those led to before, and so on. */
static void remember_slot(struct past *p, uint32_t slot)
{
	uint64_t m = kobj_sizes[p->to->size], old = kobj_sizes[p->was->size];
	uint64_t first = slot * old / m, end = (slot + 1) * old / m;

	end = end > first ? end : first + 1;
	for (unsigned depth = 0; depth <= p->depth; depth++) {
		for (uint64_t j = first; j < end; j++) {
			uint16_t i = depth == 0       ? p->was->n ? p->was->slot[j] : SLOTS_NONE
			             : p->was->former ? p->was->former[j][depth - 1]
			                              : SLOTS_NONE;

			if (i != SLOTS_NONE) {
				remember(p, slot, depth == 0 ? i : p->was->n + i);
			}
		}
	}
}

static void none_left(struct slots *s)
{
	if (s->n_known == 0) {
		free(s->former);
		free(s->known);
		s->former = NULL;
		s->known = NULL;
	}
}

static bool remember_all(const struct slots *was, struct slots *to)
{
	bool all = was->n + was->n_known <
	           SLOTS_NONE; /* else the present ones alone: more have no number */
	size_t n = was->n + (all ? was->n_known : 0), m = kobj_sizes[to->size];
	AUTO_FREE uint16_t *now = calloc(n + 1, sizeof(*now)), *name = calloc(n + 1, sizeof(*name));
	struct past p = { was, to, all ? SLOTS_FORMERS : 0, now, name };

	if (n == 0) {
		return now && name;
	}
	to->known = calloc(n, sizeof(*to->known));
	to->former = malloc(m * sizeof(*to->former));
	if (!now || !name || !to->known || !to->former) {
		return false;
	}
	memset(to->former, 0xff, m * sizeof(*to->former));
	for (size_t i = 0; i < n; i++) {
		now[i] = (uint16_t)index_of(to->v, to->n, address(was, i));
		name[i] = SLOTS_NONE;
	}
	for (uint32_t i = 0; i < m; i++) {
		remember_slot(&p, i);
	}
	none_left(to);
	return true;
}

void slots_forget(struct slots *s, bool (*keeps)(void *arg, const struct ip *ip), void *arg)
{
	AUTO_FREE uint16_t *name = calloc(s->n_known + 1, sizeof(*name)); /* in what is left */
	size_t n = 0;

	for (size_t i = 0; name && i < s->n_known; i++) {
		bool stays = keeps(arg, &s->known[i]);

		name[i] = stays ? (uint16_t)n : SLOTS_NONE;
		s->known[n] = s->known[i];
		n += stays;
	}
	for (uint32_t i = 0; n > 0 && i < kobj_sizes[s->size]; i++) {
		uint16_t *row = s->former[i];
		size_t left = 0;

		for (size_t k = 0; k < SLOTS_FORMERS && row[k] != SLOTS_NONE; k++) {
			if (name[row[k]] != SLOTS_NONE) {
				row[left++] = name[row[k]];
			}
		}
		while (left < SLOTS_FORMERS) {
			row[left++] = SLOTS_NONE;
		}
	}
	s->n_known = n; /* out of memory: all are forgotten */
	none_left(s);
}

const struct ip *slots_former(const struct slots *s, uint32_t slot, unsigned i)
{
	uint16_t k = s->former && i < SLOTS_FORMERS ? s->former[slot][i] : SLOTS_NONE;

	return k == SLOTS_NONE ? NULL : &s->known[k];
}

int slots_next(const struct slots *was, const struct slots_member *v, size_t n, struct slots *to)
{
	*to = (struct slots){ .size = next_size(was, v, n), .n = n };
	if (n == 0) {
		to->size = was->size;
		if (!remember_all(was, to)) {
			slots_fini(to);
			return -1;
		}
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
	if (!remember_all(was, to)) {
		slots_fini(to);
		return -1;
	}
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

static void print_hex(const uint16_t *v, size_t n, struct buf *to)
{
	static const char digits[] = "0123456789abcdef";
	char *room = n ? buf_room(to, n * 4) : NULL;

	for (size_t i = 0; room && i < n; i++) {
		for (int k = 0; k < 4; k++) {
			*room++ = digits[v[i] >> (12 - 4 * k) & 15];
		}
	}
	to->len += room ? n * 4 : 0;
}

char *slots_print(const struct slots *s)
{
	AUTO_BUF struct buf b = { 0 };
	char text[IP_TEXT];

	buf_addf(&b, "%u ", s->size);
	for (size_t i = 0; i < s->n; i++) {
		buf_addf(&b, "%s%s*%u", i ? "," : "", ip_format(&s->v[i].ip, text), s->v[i].weight);
	}
	buf_addf(&b, " ");
	print_hex(s->slot, s->n ? kobj_sizes[s->size] : 0, &b);
	for (size_t i = 0; i < s->n_known; i++) {
		buf_addf(&b, "%c%s", i ? ',' : ' ', ip_format(&s->known[i], text));
	}
	if (s->former) {
		buf_addf(&b, " ");
		print_hex(s->former[0], (size_t)kobj_sizes[s->size] * SLOTS_FORMERS, &b);
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

/* `n` numbers below `limit`, or (with `none`) SLOTS_NONE. */
static bool scan_hex(const char *hex, size_t n, size_t limit, bool none, uint16_t *to)
{
	for (size_t i = 0; i < n; i++, hex += 4) {
		char digits[5] = { hex[0], hex[1], hex[2], hex[3], 0 }, *end;

		to[i] = (uint16_t)strtoul(digits, &end, 16);
		if (*end || (to[i] >= limit && !(none && to[i] == SLOTS_NONE))) {
			return false;
		}
	}
	return true;
}

/* "10.0.0.6,10.0.0.7 0000ffff..." */
static bool scan_formers(const char *p, struct slots *to)
{
	size_t n = (size_t)kobj_sizes[to->size] * SLOTS_FORMERS, cap = 1;
	struct err e = ERR_INIT;

	for (const char *c = p; *c && *c != ' '; c++) {
		cap += *c == ',';
	}
	to->known = calloc(cap, sizeof(*to->known));
	while (to->known && to->n_known < cap) {
		char text[IP_TEXT];
		size_t len = strcspn(p, ", ");

		if (len == 0 || len >= sizeof(text)) {
			return false;
		}
		snprintf(text, sizeof(text), "%.*s", (int)len, p);
		if (ip_parse(text, &to->known[to->n_known++], &e) < 0 || !p[len]) {
			return false;
		}
		p += len + 1;
	}
	if (!to->known || cap >= SLOTS_NONE || strlen(p) != n * 4) {
		return false;
	}
	to->former = malloc(n * sizeof(uint16_t));
	return to->former && scan_hex(p, n, cap, true, to->former[0]);
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
	size_t m = to->n ? kobj_sizes[size] : 0, len = strcspn(++hex, " ");
	if (len != m * 4) {
		return false;
	}
	to->slot = m ? calloc(m, sizeof(*to->slot)) : NULL;
	return (!m || (to->slot && scan_hex(hex, m, to->n, false, to->slot))) &&
	       (!hex[len] || scan_formers(hex + len + 1, to));
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
