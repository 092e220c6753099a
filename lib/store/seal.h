/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secrets that have to be kept are stored sealed: authenticated encryption (AES-256-GCM) under a
 * key that lies outside the store. Who copies the database has none of them. Pure but for OpenSSL
 * and getrandom(2).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define SEAL_KEY 32 /* bytes */

/* The key from now on (copied). */
void seal_key(const uint8_t key[static SEAL_KEY]);
/* Text for the store, malloc'ed and the caller's; NULL on error. `place` (the row's key) is bound
 * in: the text opens nowhere else. */
char *seal(const void *secret, size_t len, const char *place, struct err *e);
/* What was sealed for this place: malloc'ed, the caller wipes and frees it, *ret_len bytes and a
 * zero byte behind them. NULL: another key, another place, or spoilt. */
char *unseal(const char *text, const char *place, size_t *ret_len, struct err *e);
