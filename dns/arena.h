/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The memory of the table of names: records by offset, and two places for its slots, in one memfd that
 * is as large as it can ever be and has pages only where it was written. Internal to dns.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define ARENA_BYTES (UINT64_C(8) << 30) /* records; offsets are in units of 4 bytes */
#define SLOTS_BYTES (UINT64_C(4) << 30) /* each of the two places of slots */
#define ARENA_FIRST 1024u               /* units: offset of the first record, behind the head */
#define UNIT        4u

struct arena_head {
	uint64_t magic;
	uint64_t key[2]; /* of the hash */
	uint64_t
		slots; /* number of those in use, times two, and their place: one word, stored at once */
	uint32_t end;   /* units; nothing was ever beyond */
	uint32_t round; /* 0 or 1 */
};

struct arena {
	struct arena_head *head;
	uint8_t *base;
	uint64_t *slots[2];
	int fd;
	bool own_fd;
	uint32_t free_list[160]; /* by class; 0 none */
	uint64_t free_bytes;
};

int arena_open(struct arena *a, int fd, struct err *e);
void arena_close(struct arena *a);
/* Room for `bytes`: its offset, 0 when there is none. */
uint32_t arena_take(struct arena *a, size_t bytes);
void arena_give(struct arena *a, uint32_t at, size_t bytes);
/* How much room `bytes` take. */
size_t arena_room(size_t bytes);
/* Forgets what the place of slots holds; its pages go back to the kernel. */
void arena_clear_slots(struct arena *a, unsigned place);

/* All of it will be read now. */
void arena_read_ahead(const struct arena *a);

static inline uint8_t *arena_at(const struct arena *a, uint32_t at)
{
	return a->base + (size_t)at * UNIT;
}
