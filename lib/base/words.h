/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A command line as words, by the quoting rules of the POSIX shell (2.2, Quoting) and nothing else of
 * it: no variables, no patterns, no operators; and lists with commas. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

#define WORDS_MAX 256

/* Splits `text` into at most WORDS_MAX words. *ret gets them, NULL behind the last, in one block that the
 * caller frees with free(). ERR_INVALID: a quote does not end, no word, or too many. */
int words_split(const char *text, char ***ret, size_t *n, struct err *e)
	__attribute__((warn_unused_result));

/* The i-th of a list with commas between, without spaces around, as far as it fits into *to; false: it has fewer. One that is
 * empty has one, which is empty. */
bool words_listed(const char *list, size_t i, char *to, size_t size);
