/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See arena.h. Blocks up to 512 bytes come in steps of a unit, larger ones in powers of two; what is
 * given back is taken again by the same class.
 */
#include "dns/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALL 512u
#define TOTAL (ARENA_BYTES + 2 * SLOTS_BYTES)

static unsigned class_of(size_t bytes)
{
	if (bytes <= SMALL) {
		return (unsigned)((bytes + UNIT - 1) / UNIT);
	}
	return SMALL / UNIT + (unsigned)(64 - __builtin_clzll(bytes - 1)) - 9;
}

size_t arena_room(size_t bytes)
{
	if (bytes <= SMALL) {
		return bytes < 12 ? 12 : (bytes + UNIT - 1) / UNIT * UNIT;
	}
	return (size_t)1 << (64 - __builtin_clzll(bytes - 1));
}

int arena_open(struct arena *a, int fd, struct err *e)
{
	memset(a, 0, sizeof(*a));
	a->own_fd = fd < 0;
	a->fd = fd < 0 ? memfd_create("names", MFD_CLOEXEC) : fd;
	if (a->fd < 0 || ftruncate(a->fd, (off_t)TOTAL) < 0) {
		arena_close(a);
		return err_set(e, ERR_NO_MEMORY, errno, "table of names");
	}
	void *p = mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, a->fd, 0);
	if (p == MAP_FAILED) {
		arena_close(a);
		return err_set(e, ERR_NO_MEMORY, errno, "table of names");
	}
	a->base = p;
	a->head = p;
	a->slots[0] = (uint64_t *)(void *)(a->base + ARENA_BYTES);
	a->slots[1] = (uint64_t *)(void *)(a->base + ARENA_BYTES + SLOTS_BYTES);
	return 0;
}

void arena_close(struct arena *a)
{
	if (a->base) {
		munmap(a->base, TOTAL);
	}
	if (a->own_fd && a->fd >= 0) {
		close(a->fd);
	}
	a->base = NULL;
	a->fd = -1;
}

uint32_t arena_take(struct arena *a, size_t bytes)
{
	size_t room = arena_room(bytes);
	uint32_t *list = &a->free_list[class_of(room)], at = *list;

	if (at) {
		memcpy(list, arena_at(a, at), sizeof(*list));
		a->free_bytes -= room;
		return at;
	}
	if ((uint64_t)a->head->end * UNIT + room > ARENA_BYTES) {
		return 0;
	}
	at = a->head->end;
	a->head->end += (uint32_t)(room / UNIT);
	return at;
}

void arena_give(struct arena *a, uint32_t at, size_t bytes)
{
	size_t room = arena_room(bytes);
	uint32_t *list = &a->free_list[class_of(room)];

	memcpy(arena_at(a, at), list, sizeof(*list));
	*list = at;
	a->free_bytes += room;
}

void arena_clear_slots(struct arena *a, unsigned place)
{
	(void)!fallocate(a->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                 (off_t)(ARENA_BYTES + place * SLOTS_BYTES), (off_t)SLOTS_BYTES);
}

void arena_read_ahead(const struct arena *a)
{
	size_t bytes = (size_t)a->head->end * UNIT;

	(void)!madvise(a->base, bytes, MADV_POPULATE_READ); /* Linux 5.14; else page by page */
	(void)!madvise(a->slots[a->head->slots & 1], (size_t)(a->head->slots >> 1) * 8,
	               MADV_POPULATE_READ);
}
