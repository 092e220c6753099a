/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See hex.h.
 */
#include "lib/base/hex.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "0123456789abcdef";

char *hex_print(const void *bytes, size_t len, char *to)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[b[i] >> 4];
		to[2 * i + 1] = digits[b[i] & 15];
	}
	to[2 * len] = '\0';
	return to;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'F') {
		c = (char)(c - 'A' + 'a');
	}
	const char *p = c ? strchr(digits, c) : NULL;

	return p ? (int)(p - digits) : -1;
}

bool hex_read(const char *text, void *bytes, size_t len)
{
	uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0) {
			return false;
		}
		b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
