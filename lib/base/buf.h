/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A growable byte buffer. A failed allocation makes it `failed`: later appends do nothing, and
 * the owner asks once at the end. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	bool failed;
};

void buf_fini(struct buf *b);
/* Empties the buffer and keeps its memory. */
void buf_clear(struct buf *b);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for `len` more bytes; NULL when memory ran out. The caller fills it and adds to b->len. */
void *buf_room(struct buf *b, size_t len);
/* Removes `len` bytes from the front (len <= b->len). */
void buf_drop(struct buf *b, size_t len);
/* The bytes as a string (a zero byte is put behind them, not counted); NULL when failed. */
const char *buf_str(struct buf *b);

#define AUTO_BUF __attribute__((cleanup(buf_fini)))
