/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bytes as lower-case hexadecimal text and back. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Writes 2 * len digits and a zero byte to `to`; returns it. */
char *hex_print(const void *bytes, size_t len, char *to);
/* Reads exactly `len` bytes from the first 2 * len characters; false when one is no digit. */
bool hex_read(const char *text, void *bytes, size_t len);
