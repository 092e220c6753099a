/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hot names, as a program in the kernel answers them (lib/kernel/names_map.h): a cache of answers beside the table of
 * names, in memory that is shared with it. One writer, which is the table's: a name that changes is dropped before
 * anybody hears that it did, and all at once go when zones, cuts or keys do. Nothing that is not put again is answered
 * for longer than the writer lives. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/kernel/names_map.h"

struct dns_hot {
	struct names_state *state;
	struct names_bucket *buckets;
	uint32_t mask;
	size_t names; /* that were put and not dropped since the last dns_hot_forget(), about */
};

/* Begins with nothing; `buckets`, a power of two, are what the program has. The key is to be random. */
void dns_hot_begin(struct dns_hot *h, struct names_state *state, struct names_bucket *v,
                   uint32_t buckets, const uint64_t key[2], uint32_t rate);
/* The answer to a plain question: one address of `bytes` (4, 16). `name` is lower case, without the root's label.
 * `signs`: to who wants signatures it is another one. False: the name is too long, or others are asked as much. */
bool dns_hot_put(struct dns_hot *h, const uint8_t *name, size_t len, const uint8_t *addr,
                 size_t bytes, uint32_t ttl_s, bool signs, uint64_t now_ns);
/* The name's answers go; absent does nothing. It may come in two pieces, as a zone has it. */
void dns_hot_drop(struct dns_hot *h, const uint8_t *name, size_t len, const uint8_t *origin,
                  size_t origin_len);
void dns_hot_forget(struct dns_hot *h);
/* Answers are given until then (CLOCK_MONOTONIC, ns). */
void dns_hot_until(struct dns_hot *h, uint64_t ns);
/* Of all processors. */
void dns_hot_counts(const struct dns_hot *h, uint64_t *answered, uint64_t *limited);
