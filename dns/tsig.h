/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Transaction signatures (RFC 8945): HMAC-SHA256, -384 and -512. OpenSSL computes; the bytes are read and checked here,
 * in the order that section 5.2 wants: key, signature, time, truncation. No I/O but the random source of OpenSSL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/name.h"

#define TSIG_KEYS_MAX 8
#define TSIG_MAC_MAX  64
#define TSIG_ROOM     (2 * (DNS_NAME_MAX + 1) + 26 + TSIG_MAC_MAX + 6) /* a record at most */

enum tsig_algorithm {
	TSIG_SHA256,
	TSIG_SHA384,
	TSIG_SHA512,
};

struct tsig_key {
	uint8_t name[DNS_NAME_MAX]; /* lower case */
	size_t name_len;
	enum tsig_algorithm algorithm;
	uint8_t secret[128];
	size_t secret_len;
};

/* Extended rcodes of TSIG. */
enum tsig_error {
	TSIG_OK = 0,
	TSIG_FORMERR = 1,
	TSIG_BADSIG = 16,
	TSIG_BADKEY = 17,
	TSIG_BADTIME = 18,
	TSIG_BADTRUNC = 22
};

/* A signed exchange: what came, and what the next message is signed with. */
struct tsig {
	const struct tsig_key
		*key; /* NULL: the other's is unknown, so that nothing can be signed */
	enum tsig_error error;
	uint8_t key_name[DNS_NAME_MAX];
	size_t key_name_len;
	uint8_t algorithm[64]; /* as it was named, wire format with the root's label */
	size_t algorithm_len;
	uint64_t time_s;           /* of the other */
	uint16_t id;               /* that was signed */
	uint8_t mac[TSIG_MAC_MAX]; /* the last of the exchange */
	size_t mac_len;
	bool first; /* the next message is the first answer */
};

/* Reads the record that begins at `at` and ends the message, and checks it; t->error says what was wrong. -1: it is no
 * TSIG record, or not the last (FORMERR). `now_s`: wall clock. */
int tsig_check(struct tsig *t, const struct tsig_key *keys, size_t n_keys, const uint8_t *message,
               size_t len, size_t at, uint64_t now_s);
/* Begins an exchange with a message of our own. */
void tsig_begin(struct tsig *t, const struct tsig_key *key);
/* Signs a message of `len` bytes (its ARCOUNT is raised; room for TSIG_ROOM more): the new length. One with an error of
 * key or signature gets a record without one (RFC 8945 5.3.2). */
size_t tsig_sign(struct tsig *t, uint8_t *message, size_t len, uint64_t now_s);
/* "hmac-sha256" and so on; -1: unknown. */
int tsig_algorithm(const char *name, enum tsig_algorithm *ret);
