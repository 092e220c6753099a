/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See table.h: slots and records.
 *
 * A slot is 8 bytes: the name's hash (upper 32 bits) and the record's offset (0: empty, 1: was used).
 * Its place follows from the hash by multiplication, so that a larger table is filled in the order of
 * the smaller one. A record, in bytes:
 *   4  space << 8 | length of the name
 *   1  number of sets, BELOW, ROUND
 *   n  name
 *   sets, each: type (0: two bytes follow), count, ttl (2; 0xffff: four follow), data
 *   4  at the end, with BELOW: how many names with records are below it (the writer's alone)
 * What readers see of a record never changes; the writer changes the ROUND bit and the last word.
 */
#include "dns/table.h"

#include <stdlib.h>
#include <string.h>

#include "dns/name.h"
#include "dns/table_own.h"

/* ---- hash ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Keyed, since tenants choose names. */
static uint32_t hash(const struct dns_table *t, uint32_t space, const uint8_t *p, size_t n)
{
	const uint64_t *key = t->a.head->key;
	uint64_t h = key[0] ^ ((uint64_t)space << 32 | n), w = 0;

	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&w, p, 8);
		h = mix(h ^ w, key[1]);
	}
	w = 0;
	for (size_t i = 0; i < n; i++) {
		w |= (uint64_t)p[i] << 8 * i;
	}
	h = mix(h ^ w, key[1] ^ UINT64_C(0x9e3779b97f4a7c15));
	return (uint32_t)(h >> 32 ^ h);
}

static uint64_t place_of(const struct slots *s, uint32_t h)
{
	return (uint64_t)h * s->n >> 32;
}

/* ---- records ---- */

/* Reads the set at `p`; returns what follows, NULL: not within `end`. */
static const uint8_t *read_set(const uint8_t *p, const uint8_t *end, struct dns_set *s)
{
	uint16_t v;

	if (end - p < 4) {
		return NULL;
	}
	s->type = p[0];
	s->count = p[1];
	memcpy(&v, p + 2, 2);
	s->ttl_s = v;
	p += 4;
	if (s->type == 0) {
		if (end - p < 2) {
			return NULL;
		}
		memcpy(&s->type, p, 2);
		p += 2;
	}
	if (v == LONG_TTL) {
		if (end - p < 4) {
			return NULL;
		}
		memcpy(&s->ttl_s, p, 4);
		p += 4;
	}
	s->data = p;
	if (s->type == 1 || s->type == 28) {
		size_t n = (size_t)s->count * (s->type == 1 ? 4 : 16);

		if ((size_t)(end - p) < n) {
			return NULL;
		}
		p += n;
	} else {
		for (unsigned i = 0; i < s->count; i++) {
			if (end - p < 2) {
				return NULL;
			}
			memcpy(&v, p, 2);
			if (end - p < 2 + v) {
				return NULL;
			}
			p += 2 + v;
		}
	}
	s->end = p;
	return p;
}

/* Bytes of a record, without the padding; 0: not within `left`. */
size_t dns_record_bytes(const uint8_t *r, size_t left)
{
	struct dns_set s;
	const uint8_t *p = r + 5, *end = r + left;

	if (left < 5 || left - 5 < name_len(r)) {
		return 0;
	}
	p += name_len(r);
	for (unsigned i = r[4] & SETS; i > 0; i--) {
		p = read_set(p, end, &s);
		if (!p) {
			return 0;
		}
	}
	size_t n = ((size_t)(p - r) + 3) / 4 * 4;
	n += r[4] & BELOW ? 4 : 0;
	return n <= left ? n : 0;
}

size_t dns_record_size(const uint8_t *r)
{
	return dns_record_bytes(r, SIZE_MAX / 2);
}

static const uint8_t *sets_end(const uint8_t *r)
{
	const uint8_t *p = r + 5 + name_len(r);
	struct dns_set s;

	for (unsigned i = r[4] & SETS; i > 0; i--) {
		p = read_set(p, p + SETS_ROOM, &s);
	}
	return p;
}

static uint32_t *below_of(uint8_t *r)
{
	return (uint32_t *)(void *)(r + dns_record_size(r) - 4);
}

bool dns_found_next(const struct dns_found *f, size_t *at, struct dns_set *ret)
{
	const uint8_t *r = f->record, *first = r + 5 + name_len(r);
	unsigned i = (unsigned)(*at & 0xff), n = f->empty ? 0 : r[4] & SETS;

	if (i >= n) {
		return false;
	}
	const uint8_t *next = read_set(first + (*at >> 8), first + SETS_ROOM, ret);
	*at = (size_t)(next - first) << 8 | (i + 1);
	return true;
}

bool dns_found_set(const struct dns_found *f, uint16_t type, struct dns_set *ret)
{
	size_t at = 0;

	while (dns_found_next(f, &at, ret)) {
		if (ret->type == type) {
			return true;
		}
	}
	return false;
}

const uint8_t *dns_set_next(struct dns_set *s, uint16_t *len)
{
	const uint8_t *p = s->data;

	if (p >= s->end) {
		return NULL;
	}
	if (s->type == 1 || s->type == 28) {
		*len = s->type == 1 ? 4 : 16;
		s->data = p + *len;
		return p;
	}
	memcpy(len, p, 2);
	s->data = p + 2 + *len;
	return p + 2;
}

/* ---- look-up ---- */

/* Is the record this name's own, or one below it that stands for it? */
static bool matches(const uint8_t *r, uint32_t space, const uint8_t *name, size_t len)
{
	uint32_t h = head_of(r);
	size_t n = h & 0xff, at = 0;

	if (h >> 8 != space || n < len || memcmp(r + 5 + n - len, name, len) != 0) {
		return false;
	}
	while (at < n - len) {
		at += (size_t)r[5 + at] + 1;
	}
	return at == n - len;
}

/* The slot, and in *at where it led when it was read; or NULL, and in *hole (NULL: not wanted) where a
 * new one goes. */
static uint64_t *lookup(const struct dns_table *t, const struct slots *s, uint32_t h,
                        uint32_t space, const uint8_t *name, size_t len, uint32_t *at,
                        uint64_t **hole)
{
	uint64_t *end = s->v + s->n, *x = s->v + place_of(s, h);

	for (;;) {
		uint64_t v = __atomic_load_n(x, __ATOMIC_ACQUIRE);

		if (v == NONE) {
			if (hole && !*hole) {
				*hole = x;
			}
			return NULL;
		}
		if (v == WAS) {
			if (hole && !*hole) {
				*hole = x;
			}
		} else if (v >> 32 == h &&
		           matches(arena_at(&t->a, (uint32_t)v), space, name, len)) {
			*at = (uint32_t)v;
			return x;
		}
		if (++x == end) {
			x = s->v;
		}
	}
}

uint32_t dns_table_hash(const struct dns_table *t, uint32_t space, const uint8_t *name, size_t len)
{
	return hash(t, space, name, len);
}

void dns_table_fetch(const struct dns_table *t, uint32_t h, bool record)
{
	const struct slots *s = __atomic_load_n(&t->slots, __ATOMIC_ACQUIRE);
	const uint64_t *x = s->v + place_of(s, h);

	if (!record) {
		__builtin_prefetch(x);
		return;
	}
	for (int i = 0; i < 8 && x < s->v + s->n;
	     i++, x++) { /* most are found within a cache line */
		uint64_t v = __atomic_load_n(x, __ATOMIC_ACQUIRE);

		if (v >> 32 == h || v == NONE) {
			__builtin_prefetch(arena_at(&t->a, (uint32_t)v));
			return;
		}
	}
}

bool dns_table_find_hashed(const struct dns_table *t, uint32_t h, uint32_t space,
                           const uint8_t *name, size_t len, struct dns_found *ret)
{
	const struct slots *s = __atomic_load_n(&t->slots, __ATOMIC_ACQUIRE);
	uint32_t at;

	if (!lookup(t, s, h, space, name, len, &at, NULL)) {
		return false;
	}
	ret->record = arena_at(&t->a, at);
	ret->empty = name_len(ret->record) != len || (ret->record[4] & SETS) == 0;
	return true;
}

bool dns_table_find(const struct dns_table *t, uint32_t space, const uint8_t *name, size_t len,
                    struct dns_found *ret)
{
	return dns_table_find_hashed(t, hash(t, space, name, len), space, name, len, ret);
}

/* ---- slots ---- */

static void put_slot(uint64_t *x, uint32_t h, uint32_t at)
{
	__atomic_store_n(x, (uint64_t)h << 32 | at, __ATOMIC_RELEASE);
}

static void copy_slots(struct slots *to, const struct slots *from)
{
	for (uint64_t i = 0; i < from->n; i++) {
		uint64_t v = from->v[i];

		if (v > WAS) {
			uint64_t *x = to->v + place_of(to, (uint32_t)(v >> 32));

			while (*x != NONE) {
				x = x + 1 == to->v + to->n ? to->v : x + 1;
			}
			*x = v;
		}
	}
}

/* Into the other place, with room for as many again as half of what is there. */
static bool grow(struct dns_table *t)
{
	struct slots *was = t->slots, *next = &t->pair[was == &t->pair[0]];
	unsigned place = (unsigned)(next - t->pair);
	uint64_t n = (t->used + 1) * 2;

	n = n < SLOTS_MIN ? SLOTS_MIN : n;
	if (n * 8 > SLOTS_BYTES) {
		return false;
	}
	arena_clear_slots(&t->a, place);
	*next = (struct slots){ t->a.slots[place], n };
	copy_slots(next, was);
	t->a.head->slots = n << 1 | place;
	__atomic_store_n(&t->slots, next, __ATOMIC_RELEASE);
	t->dead = 0;
	dns_table_wait(t);
	arena_clear_slots(&t->a, !place);
	return true;
}

static bool room_for(struct dns_table *t, size_t more)
{
	uint64_t taken = t->used + t->dead + more;

	return taken * 4 <= t->slots->n * 3 || grow(t);
}

/* The writer's own search: the slot, or NULL with the place for a new one in t->hole. */
static uint64_t *search(struct dns_table *t, uint32_t h, uint32_t space, const uint8_t *name,
                        size_t len)
{
	uint32_t at;

	t->hole = NULL;
	return lookup(t, t->slots, h, space, name, len, &at, &t->hole);
}

static void fill_hole(struct dns_table *t, uint32_t h, uint32_t at)
{
	t->dead -= *t->hole == WAS;
	t->used++;
	put_slot(t->hole, h, at);
}

static void clear_slot(struct dns_table *t, uint64_t *x)
{
	__atomic_store_n(x, WAS, __ATOMIC_RELEASE);
	t->used--;
	t->dead++;
}

/* ---- building records ---- */

static uint8_t *put_set(uint8_t *p, const struct dns_set *s)
{
	uint16_t ttl = s->ttl_s < LONG_TTL ? (uint16_t)s->ttl_s : LONG_TTL;

	p[0] = s->type < 256 ? (uint8_t)s->type : 0;
	p[1] = s->count;
	memcpy(p + 2, &ttl, 2);
	p += 4;
	if (s->type >= 256) {
		memcpy(p, &s->type, 2);
		p += 2;
	}
	if (ttl == LONG_TTL) {
		memcpy(p, &s->ttl_s, 4);
		p += 4;
	}
	memcpy(p, s->data, (size_t)(s->end - s->data));
	return p + (s->end - s->data);
}

/* What a name's record will be; its sets as they lie in a record. */
struct draft {
	uint32_t space;
	const uint8_t *name;
	size_t len;
	const uint8_t *sets, *sets_end;
	unsigned n;
	bool has_below;
	uint32_t below;
};

/* Offset of the new record, 0: no room. */
static uint32_t build(struct dns_table *t, const struct draft *d)
{
	static const uint8_t zeros[4] = { 0 };
	size_t sets = (size_t)(d->sets_end - d->sets), bytes = 5 + d->len + sets;
	size_t padded = (bytes + 3) / 4 * 4;
	uint32_t head = d->space << 8 | (uint32_t)d->len;
	uint32_t at = arena_take(&t->a, padded + (d->has_below ? 4 : 0));

	if (!at) {
		return 0;
	}
	uint8_t *r = arena_at(&t->a, at);
	memcpy(r, &head, 4);
	r[4] = (uint8_t)(d->n | (d->has_below ? BELOW : 0) | (t->a.head->round ? ROUND : 0));
	memcpy(r + 5, d->name, d->len);
	memcpy(r + 5 + d->len, d->sets, sets);
	memcpy(r + bytes, zeros, padded - bytes);
	if (d->has_below) {
		memcpy(r + padded, &d->below, 4);
	}
	return at;
}

/* ---- names above ---- */

struct above {
	const uint8_t *name;
	size_t len;
};

/* The names above one, inside its zone: the nearest first. */
static size_t names_above(const uint8_t *name, size_t len, struct above to[128])
{
	size_t n = 0;

	for (size_t at = (size_t)name[0] + 1; len > 0 && at < len; at += (size_t)name[at] + 1) {
		to[n++] = (struct above){ name + at, len - at };
	}
	return n;
}

/* Slots that lead to a record that was replaced lead to the new one. */
static void follow(struct dns_table *t, uint32_t space, const uint8_t *name, size_t len,
                   uint32_t was, uint32_t now)
{
	struct above up[128];
	size_t n = names_above(name, len, up);

	for (size_t i = 0; i < n; i++) {
		uint32_t h = hash(t, space, up[i].name, up[i].len);
		uint64_t *x = search(t, h, space, up[i].name, up[i].len);

		if (x && (uint32_t)*x == was) {
			put_slot(x, h, now);
		}
	}
}

/* One more name with records is below `a`. false: no memory. */
static bool count_up(struct dns_table *t, uint32_t space, const struct above *a, uint32_t at)
{
	uint32_t h = hash(t, space, a->name, a->len);
	uint64_t *x = search(t, h, space, a->name, a->len);

	if (!x) {
		fill_hole(t, h, at);
		return true;
	}
	uint32_t was = (uint32_t)*x;
	uint8_t *r = arena_at(&t->a, was);
	bool own = name_len(r) == a->len;
	if (own && r[4] & BELOW) {
		(*below_of(r))++;
		return true;
	}
	const uint8_t *sets = r + 5 + a->len;
	uint32_t next =
		build(t, &(struct draft){ space, a->name, a->len, sets, own ? sets_end(r) : sets,
	                                  own ? r[4] & SETS : 0, true, own ? 1 : 2 });
	if (!next) {
		return false;
	}
	if (own && !of_this_round(t, r)) {
		arena_at(&t->a, next)[4] ^= ROUND; /* its round is not this change's */
	}
	put_slot(x, h, next);
	if (own) {
		follow(t, space, a->name, a->len, was, next);
		dns_table_retire(t, was);
	}
	return true;
}

/* One name less is below `a`. */
static void count_down(struct dns_table *t, uint32_t space, const struct above *a)
{
	uint64_t *x = search(t, hash(t, space, a->name, a->len), space, a->name, a->len);
	uint8_t *r = x ? arena_at(&t->a, (uint32_t)*x) : NULL;

	if (!r) {
		return;
	}
	if (name_len(r) != a->len) {
		clear_slot(t, x);
	} else if (r[4] & BELOW && --*below_of(r) == 0 && (r[4] & SETS) == 0) {
		uint32_t at = (uint32_t)*x;

		clear_slot(t, x);
		dns_table_retire(t, at);
	}
}

/* ---- changes ---- */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, 0, "table of names: no memory");
}

/* A name gets records: its slot may lead to one below it. `x`: its slot, NULL none. */
static int add_name(struct dns_table *t, struct draft *d, bool flat, const uint64_t *x,
                    struct err *e)
{
	struct above up[128];
	size_t n = flat ? 0 : names_above(d->name, d->len, up);
	uint32_t h = hash(t, d->space, d->name, d->len), was = x ? (uint32_t)*x : 0;
	uint8_t *r = was ? arena_at(&t->a, was) : NULL;
	bool own = r && name_len(r) == d->len;

	d->has_below = r != NULL;
	d->below = !r ? 0 : own ? *below_of(r) : 1;
	uint32_t at = build(t, d);
	if (!at) {
		return no_memory(e);
	}
	for (size_t i = 0; i < n; i++) { /* above first: a name is never seen without them */
		if (!count_up(t, d->space, &up[i], at)) {
			while (i-- > 0) {
				count_down(t, d->space, &up[i]);
			}
			dns_table_retire(t, at);
			return no_memory(e);
		}
	}
	uint64_t *slot = search(t, h, d->space, d->name, d->len);
	if (slot) {
		put_slot(slot, h, at);
	} else {
		fill_hole(t, h, at);
	}
	if (own) {
		dns_table_retire(t, was);
	}
	t->names++;
	return 0;
}

/* A name that has records loses them. */
static int drop_name(struct dns_table *t, struct draft *d, bool flat, uint64_t *x, struct err *e)
{
	uint32_t was = (uint32_t)*x, h = (uint32_t)(*x >> 32);
	uint8_t *r = arena_at(&t->a, was);
	struct above up[128];
	size_t n = flat ? 0 : names_above(d->name, d->len, up);

	if (r[4] & BELOW && *below_of(r) > 0) {
		d->has_below = true;
		d->below = *below_of(r);
		uint32_t at = build(t, d);
		if (!at) {
			return no_memory(e);
		}
		put_slot(x, h, at);
	} else {
		clear_slot(t, x);
	}
	for (size_t i = 0; i < n; i++) {
		count_down(t, d->space, &up[i]);
	}
	dns_table_retire(t, was);
	t->names--;
	return 0;
}

static int change_name(struct dns_table *t, struct draft *d, bool flat, uint64_t *x, struct err *e)
{
	uint32_t was = (uint32_t)*x, h = (uint32_t)(*x >> 32);
	uint8_t *r = arena_at(&t->a, was);
	const uint8_t *sets = r + 5 + d->len;

	if ((r[4] & SETS) == d->n && sets_end(r) - sets == d->sets_end - d->sets &&
	    memcmp(sets, d->sets, (size_t)(d->sets_end - d->sets)) == 0) {
		r[4] ^= of_this_round(t, r) ? 0 : ROUND;
		return 0;
	}
	d->has_below = r[4] & BELOW;
	d->below = d->has_below ? *below_of(r) : 0;
	uint32_t at = build(t, d);
	if (!at) {
		return no_memory(e);
	}
	put_slot(x, h, at);
	if (!flat) {
		follow(t, d->space, d->name, d->len, was, at);
	}
	dns_table_retire(t, was);
	return 1;
}

int dns_table_put(struct dns_table *t, uint32_t space, bool flat, const uint8_t *name, size_t len,
                  const struct dns_set *sets, size_t n, struct err *e)
{
	size_t bytes = 0;
	uint8_t *p = t->scratch;

	for (size_t i = 0; i < n && n <= DNS_SETS_MAX; i++) {
		bytes += 10 + (size_t)(sets[i].end - sets[i].data);
	}
	if (n > DNS_SETS_MAX || bytes > DNS_DATA_MAX) {
		return err_set(e, ERR_LIMIT, 0,
		               "a name has at most %d types and %d bytes of records", DNS_SETS_MAX,
		               DNS_DATA_MAX);
	}
	for (size_t i = 0; i < n; i++) {
		p = put_set(p, &sets[i]);
	}
	if (!room_for(t, 130)) {
		return no_memory(e);
	}
	uint64_t *x = search(t, hash(t, space, name, len), space, name, len);
	const uint8_t *r = x ? arena_at(&t->a, (uint32_t)*x) : NULL;
	bool has = r && name_len(r) == len && (r[4] & SETS) > 0;
	struct draft d = { space, name, len, t->scratch, p, (unsigned)n, false, 0 };

	if (!has && n == 0) {
		return 0;
	}
	if (!has) {
		return add_name(t, &d, flat, x, e) < 0 ? -1 : 1;
	}
	if (n == 0) {
		return drop_name(t, &d, flat, x, e) < 0 ? -1 : 1;
	}
	return change_name(t, &d, flat, x, e);
}
