/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See buf.h. Pure: no I/O.
 */
#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){ 0 };
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

void *buf_room(struct buf *b, size_t len)
{
	size_t want = b->len + len;

	if (b->failed) {
		return NULL;
	}
	if (want > b->cap) {
		size_t cap = b->cap ? b->cap : 256;

		while (cap < want) {
			cap *= 2;
		}
		uint8_t *grown = realloc(b->data, cap);
		if (!grown) {
			b->failed = true;
			return NULL;
		}
		b->data = grown;
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	void *to = buf_room(b, len);

	if (to && len) {
		memcpy(to, data, len);
		b->len += len;
	}
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
		return;
	}
	char *to = buf_room(b, (size_t)n + 1);
	if (to) {
		va_start(ap, fmt);
		vsnprintf(to, (size_t)n + 1, fmt, ap);
		va_end(ap);
		b->len += (size_t)n;
	}
}

void buf_drop(struct buf *b, size_t len)
{
	memmove(b->data, b->data + len, b->len - len);
	b->len -= len;
}

const char *buf_str(struct buf *b)
{
	char *end = buf_room(b, 1);

	if (!end) {
		return NULL;
	}
	*end = '\0';
	return (const char *)b->data;
}
