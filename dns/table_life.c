/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See table.h and table_own.h: readers, memory that they may still see, walks, beginning and end.
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dns/name.h"
#include "dns/table_own.h"

/* ---- memory that readers may still see ---- */

struct dns_reader *dns_reader_new(struct dns_table *t)
{
	for (size_t i = 0; i < READERS; i++) {
		struct dns_reader *r = &t->readers[i];
		bool free_one = false;

		if (__atomic_compare_exchange_n(&r->taken, &free_one, true, false, __ATOMIC_ACQ_REL,
		                                __ATOMIC_RELAXED)) {
			r->t = t;
			return r;
		}
	}
	return NULL;
}

void dns_reader_free(struct dns_reader *r)
{
	if (r) {
		__atomic_store_n(&r->taken, false, __ATOMIC_RELEASE);
	}
}

void dns_reader_begin(struct dns_reader *r)
{
	uint64_t now = __atomic_load_n(&r->t->epoch, __ATOMIC_ACQUIRE);

	__atomic_store_n(&r->epoch, now, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* before any slot is read */
}

void dns_reader_end(struct dns_reader *r)
{
	__atomic_store_n(&r->epoch, 0, __ATOMIC_RELEASE);
}

/* The oldest epoch that a reader is in. */
static uint64_t oldest(const struct dns_table *t)
{
	uint64_t min = UINT64_MAX;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (size_t i = 0; i < READERS; i++) {
		uint64_t e = __atomic_load_n(&t->readers[i].epoch, __ATOMIC_ACQUIRE);

		min = e && e < min ? e : min;
	}
	return min;
}

void dns_table_reclaim(struct dns_table *t)
{
	uint64_t min;

	__atomic_add_fetch(&t->epoch, 1, __ATOMIC_SEQ_CST);
	min = oldest(t);
	while (t->first_retired < t->n_retired) {
		const struct retired *x = &t->retired[t->first_retired];

		if (x->epoch >= min) {
			return;
		}
		arena_give(&t->a, x->at, x->bytes);
		t->first_retired++;
	}
	t->first_retired = t->n_retired = 0;
}

void dns_table_wait(struct dns_table *t)
{
	uint64_t now = __atomic_add_fetch(&t->epoch, 1, __ATOMIC_SEQ_CST);

	while (oldest(t) < now) {
		sched_yield();
	}
}

void dns_table_retire(struct dns_table *t, uint32_t at)
{
	if (t->n_retired - t->first_retired >= 4096) {
		dns_table_reclaim(t);
	}
	if (t->n_retired == t->cap_retired && t->first_retired > t->cap_retired / 2) {
		t->n_retired -= t->first_retired;
		memmove(t->retired, t->retired + t->first_retired,
		        t->n_retired * sizeof(*t->retired));
		t->first_retired = 0;
	}
	if (t->n_retired == t->cap_retired) {
		size_t n = t->cap_retired ? t->cap_retired * 2 : 8192;
		struct retired *p = realloc(t->retired, n * sizeof(*p));

		if (!p) {
			return; /* lost until the next start */
		}
		t->retired = p;
		t->cap_retired = n;
	}
	t->retired[t->n_retired++] =
		(struct retired){ at, (uint32_t)dns_record_size(arena_at(&t->a, at)), t->epoch };
}

/* ---- rounds and walks ---- */

/* Memory of records and slots that are about to be read is on its way ahead of time. */
#define AHEAD 24

static void fetch_ahead(const struct dns_table *t, const struct slots *s, uint64_t i)
{
	uint64_t v = i + AHEAD < s->n ? s->v[i + AHEAD] : 0;

	if ((uint64_t)(uint32_t)v * UNIT < ARENA_BYTES) {
		__builtin_prefetch(arena_at(&t->a, (uint32_t)v));
	}
}

void dns_table_round(struct dns_table *t)
{
	t->a.head->round = !t->a.head->round;
}

void dns_table_walk(struct dns_table *t, bool stale, dns_walk_fn fn, void *arg)
{
	struct slots *s = t->slots;

	for (uint64_t i = 0; i < s->n; i++) {
		uint64_t v = s->v[i];
		const uint8_t *r = v > WAS ? arena_at(&t->a, (uint32_t)v) : NULL;
		uint8_t name[DNS_NAME_MAX + 1];

		fetch_ahead(t, s, i);
		if (!r || (r[4] & SETS) == 0 || (stale && of_this_round(t, r))) {
			continue;
		}
		uint32_t space = head_of(r) >> 8;
		size_t n = name_len(r);
		if (n > 0 && dns_table_hash(t, space, r + 5, n) != (uint32_t)(v >> 32)) {
			continue; /* stands for a name above it */
		}
		struct dns_found f = { r, false };
		memcpy(name, r + 5, n);
		if (!fn(arg, space, name, n, &f)) {
			return;
		}
		if (t->slots != s) { /* it grew: places moved; rare */
			s = t->slots;
			i = (uint64_t)-1;
		}
	}
}

void dns_table_stats(const struct dns_table *t, struct dns_table_stats *to)
{
	to->names = t->names;
	to->slots = t->used;
	to->bytes = (size_t)t->a.head->end * UNIT + (size_t)t->slots->n * 8;
}

/* ---- beginning and end ---- */

/* Marks where records begin; false: a slot leads out of the arena. */
static bool mark_records(struct dns_table *t, uint64_t *bits)
{
	uint32_t end = t->a.head->end;

	for (uint64_t i = 0; i < t->slots->n; i++) {
		uint64_t v = t->slots->v[i];
		uint32_t at = (uint32_t)v;

		if (v <= WAS) {
			t->dead += v == WAS;
			continue;
		}
		if (at < ARENA_FIRST || at >= end) {
			return false;
		}
		t->used++;
		bits[at / 64] |= UINT64_C(1) << at % 64;
	}
	return t->used + t->dead < t->slots->n;
}

/* What no slot leads to is free again. */
static void give_gap(struct dns_table *t, uint32_t from, uint32_t to)
{
	while (to - from >= 3) {
		uint32_t n = to - from < 128 ? to - from : 128;

		arena_give(&t->a, from, (size_t)n * UNIT);
		from += n;
	}
}

/* The records in the order they lie in, each whole and behind the one before. */
static bool read_records(struct dns_table *t, const uint64_t *bits, dns_walk_fn fn, void *arg)
{
	uint32_t end = t->a.head->end, free_from = ARENA_FIRST;

	for (uint32_t w = ARENA_FIRST / 64; w <= end / 64; w++) {
		for (uint64_t left = bits[w]; left; left &= left - 1) {
			uint32_t at = w * 64 + (uint32_t)__builtin_ctzll(left);
			const uint8_t *r = arena_at(&t->a, at);
			size_t n = dns_record_bytes(r, (size_t)(end - at) * UNIT);
			uint32_t space = head_of(r) >> 8;

			/* Spaces of the table's owner may have names that are none. */
			if (n == 0 || at < free_from ||
			    (space < DNS_SPACES && !dns_name_valid(r + 5, name_len(r)))) {
				return false;
			}
			give_gap(t, free_from, at);
			free_from = at + (uint32_t)(arena_room(n) / UNIT);
			if (r[4] & SETS) {
				t->names++;
				fn(arg, space, r + 5, name_len(r), &(struct dns_found){ r, false });
			}
		}
	}
	if (free_from > end) {
		return false;
	}
	give_gap(t, free_from, end);
	return true;
}

/* Is what was left behind whole? */
static bool adopt(struct dns_table *t, dns_walk_fn fn, void *arg)
{
	struct arena_head *h = t->a.head;
	unsigned place = h->slots & 1;
	uint64_t n_slots = h->slots >> 1;
	bool ok = h->magic == MAGIC && n_slots >= SLOTS_MIN && n_slots <= SLOTS_BYTES / 8 &&
	          h->end >= ARENA_FIRST && (uint64_t)h->end * UNIT <= ARENA_BYTES;
	uint64_t *bits = ok ? calloc(h->end / 64 + 1, 8) : NULL;

	if (!bits) {
		return false;
	}
	t->slots = &t->pair[place];
	*t->slots = (struct slots){ t->a.slots[place], n_slots };
	arena_read_ahead(&t->a);
	ok = mark_records(t, bits) && read_records(t, bits, fn, arg);
	free(bits);
	return ok;
}

static void begin_empty(struct dns_table *t)
{
	struct arena_head *h = t->a.head;

	arena_clear_slots(&t->a, 0);
	arena_clear_slots(&t->a, 1);
	*h = (struct arena_head){ .magic = MAGIC, .slots = SLOTS_MIN << 1, .end = ARENA_FIRST };
	if (getrandom(h->key, sizeof(h->key), 0) != sizeof(h->key)) {
		abort();
	}
	h->key[1] |= 1;
	t->slots = &t->pair[0];
	*t->slots = (struct slots){ t->a.slots[0], SLOTS_MIN };
	t->used = t->dead = t->names = 0;
	memset(t->a.free_list, 0, sizeof(t->a.free_list));
	t->a.free_bytes = 0;
}

struct dns_table *dns_table_new(int fd, dns_walk_fn fn, void *arg, bool *adopted, struct err *e)
{
	struct dns_table *t = aligned_alloc(64, (sizeof(*t) + 63) / 64 * 64);

	if (!t) {
		err_set(e, ERR_NO_MEMORY, 0, "table of names");
		return NULL;
	}
	memset(t, 0, sizeof(*t));
	if (arena_open(&t->a, fd, e) < 0) {
		free(t);
		return NULL;
	}
	t->epoch = 1;
	*adopted = adopt(t, fn, arg);
	if (!*adopted) {
		begin_empty(t);
	}
	return t;
}

void dns_table_free(struct dns_table *t)
{
	if (t) {
		arena_close(&t->a);
		free(t->retired);
		free(t);
	}
}
