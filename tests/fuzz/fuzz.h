/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What every target has: an input of any bytes, taken apart by one parser and held to what must be
 * true of it. Built twice: with driver.c (gcc; corpus and seeded mutations, in make check) and with
 * clang's libFuzzer (make fuzz).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)
