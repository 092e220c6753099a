/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * An answer that was begun here (a question, and aliases that lead out of our zones) and what another server said
 * of the last alias, made into one message. The other's bytes are untrusted: names are read with pointers backwards
 * only and a bounded number of them, and written out whole. Pure: no I/O, no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `begun`: header, question, aliases, nothing else. `said`: a response, or NULL (nobody answered: SERVFAIL). The
 * result has `begun`'s id and question, at most `limit` bytes (TC set when something did not fit), and an OPT record
 * when `edns`. Returns its length; `out` has room for `limit`, which is 512 at least. */
size_t dns_splice(const uint8_t *begun, size_t begun_len, const uint8_t *said, size_t said_len,
                  bool edns, size_t limit, uint8_t *out);
