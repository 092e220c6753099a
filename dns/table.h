/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of names: one writer, any number of readers that never lock and never wait. A name is a
 * record in an arena, never changed once it can be found, and an aligned 8-byte slot (tag, offset) that
 * leads to it: a change is one store. Names above others that have no records themselves ("empty
 * non-terminals") have a slot alone while one name is below them: it leads to that name's record.
 *
 * The memory is a memfd. Whoever holds its descriptor can hand it to the next process, which takes the
 * table over as the last store left it.
 *
 * A name is its space (a number of 24 bits: zones number theirs) and the bytes before the zone's own
 * (dns/name.h). One writer: calls that change are not for two threads. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct dns_table;
struct dns_reader;

#define DNS_SPACES   0xfffff0u /* spaces below this are the caller's */
#define DNS_SETS_MAX 31        /* sets of records that a name has at most */
#define DNS_SET_MAX  255       /* records of a set at most */
#define DNS_DATA_MAX 65000     /* bytes of a name's records at most */

/* A set of records as it lies in the table: all of one type. */
struct dns_set {
	uint16_t type;
	uint8_t count;
	uint32_t ttl_s;
	const uint8_t *data,
		*end; /* A: 4 bytes each, AAAA: 16; others: length (2, host order) and bytes */
};

/* What was found: valid until dns_reader_end(). */
struct dns_found {
	const uint8_t *record;
	bool empty; /* no records here: it exists because of names below */
};

/* Is told of a name with records; false ends a walk. */
typedef bool (*dns_walk_fn)(void *arg, uint32_t space, const uint8_t *name, size_t len,
                            const struct dns_found *f);

/* Takes over what `fd` (a memfd, or -1: one of its own) holds, when it is a whole table; else empties
 * it. *adopted says which. `fn` is told of each name that is taken over; when the table turns out not to be
 * whole, that was in vain. `fd` stays the caller's. NULL: no memory. */
struct dns_table *dns_table_new(int fd, dns_walk_fn fn, void *arg, bool *adopted, struct err *e)
	__attribute__((warn_unused_result));
void dns_table_free(struct dns_table *t); /* accepts NULL; what is in the memfd stays */

/* Readers: one for each thread, 64 at most (NULL: too many). Between begin and end what is found stays where it is; the time
 * between them should be short, since memory waits for it. */
struct dns_reader *dns_reader_new(struct dns_table *t);
void dns_reader_free(struct dns_reader *r);
void dns_reader_begin(struct dns_reader *r);
void dns_reader_end(struct dns_reader *r);

/* Is there such a name? Inside a reader's section, or the writer. */
bool dns_table_find(const struct dns_table *t, uint32_t space, const uint8_t *name, size_t len,
                    struct dns_found *ret);
/* The same in steps, for many at once: the name's hash; memory on its way to the cache, first of the slot, then
 * of the record; the look-up. */
uint32_t dns_table_hash(const struct dns_table *t, uint32_t space, const uint8_t *name, size_t len);
void dns_table_fetch(const struct dns_table *t, uint32_t hash, bool record);
bool dns_table_find_hashed(const struct dns_table *t, uint32_t hash, uint32_t space,
                           const uint8_t *name, size_t len, struct dns_found *ret);
/* The set of that type; false: none. */
bool dns_found_set(const struct dns_found *f, uint16_t type, struct dns_set *ret);
/* Walks the sets; `at` begins as 0. */
bool dns_found_next(const struct dns_found *f, size_t *at, struct dns_set *ret);
/* The next record of a set: its bytes; NULL at the end. */
const uint8_t *dns_set_next(struct dns_set *s, uint16_t *len);

/* All that a name has, in the place of what it had; n = 0 removes it. `flat`: names of this space have
 * nothing above them. 1 when something changed, 0 when not; -1 ERR_LIMIT: too much at one name,
 * ERR_NO_MEMORY: then it is as it was. */
int dns_table_put(struct dns_table *t, uint32_t space, bool flat, const uint8_t *name, size_t len,
                  const struct dns_set *sets, size_t n, struct err *e)
	__attribute__((warn_unused_result));

/* A new round: what is not put from now on is stale. */
void dns_table_round(struct dns_table *t);

/* Every name with records, in no order. `stale`: only those that were
 * not put in this round. The name may be changed or removed by `fn`. */
void dns_table_walk(struct dns_table *t, bool stale, dns_walk_fn fn, void *arg);

/* Waits until no reader is in a section that began before the call: microseconds. */
void dns_table_wait(struct dns_table *t);
/* Frees what no reader sees any more; the writer calls it now and then. */
void dns_table_reclaim(struct dns_table *t);
struct dns_table_stats {
	size_t names, slots, bytes; /* names with records; slots in use; bytes of arena and slots */
};
void dns_table_stats(const struct dns_table *t, struct dns_table_stats *to);
