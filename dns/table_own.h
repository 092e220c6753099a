/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the table of names share: table.c (records, look-up, changes), table_life.c (readers, memory, walks,
 * taking over). Internal to dns.
 */
#pragma once

#include <string.h>

#include "dns/arena.h"
#include "dns/table.h"

#define MAGIC     UINT64_C(0x3130656d616e746e)
#define NONE      0u
#define WAS       1u
#define SLOTS_MIN 4096u
#define READERS   64
#define BELOW     0x40u
#define ROUND     0x80u
#define SETS      0x1fu
#define LONG_TTL  0xffffu
#define SETS_ROOM (DNS_DATA_MAX + 1024)

struct slots { /* what readers look into; replaced whole */
	uint64_t *v;
	uint64_t n;
};

struct dns_reader {
	struct dns_table *t;
	uint64_t epoch; /* 0: outside */
	bool taken;
} __attribute__((aligned(64))); /* a cache line each */

struct retired {
	uint32_t at, bytes;
	uint64_t epoch;
};

struct dns_table {
	struct arena a;
	struct slots pair[2], *slots; /* `slots` is one of the pair */
	struct dns_reader readers[READERS];
	uint64_t epoch;
	struct retired *retired;
	size_t n_retired, first_retired, cap_retired;
	size_t used, dead, names; /* slots with a record; that were used */
	uint64_t *hole;           /* of the search that found nothing: where it goes */
	uint8_t scratch[SETS_ROOM];
};

/* Bytes of a record without the padding of its block; 0: not within `left`. And of one that is whole. */
size_t dns_record_bytes(const uint8_t *r, size_t left);
size_t dns_record_size(const uint8_t *r);
/* No slot leads there any more: its memory is taken again once no reader looks. */
void dns_table_retire(struct dns_table *t, uint32_t at);

static inline uint32_t head_of(const uint8_t *r)
{
	uint32_t v;

	memcpy(&v, r, 4);
	return v;
}

static inline size_t name_len(const uint8_t *r)
{
	return head_of(r) & 0xff;
}

static inline bool of_this_round(const struct dns_table *t, const uint8_t *r)
{
	return ((r[4] & ROUND) != 0) == (t->a.head->round != 0);
}
