/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From query to answer: the name is found in the table of names and its records are copied. Pure: no I/O,
 * no allocation; inside a reader's section (dns/table.h).
 */
#pragma once

#include "dns/cookie.h"
#include "dns/query.h"
#include "dns/tsig.h"
#include "dns/zone.h"

/* What is the same for all queries. */
struct dns_server {
	char nsid[64], version[64]; /* "": not told (RFC 5001; version.bind, RFC 4892) */
	struct dns_secrets secrets;
	struct tsig_key keys[TSIG_KEYS_MAX];
	size_t n_keys;
	uint16_t idle_ds; /* TCP connections are kept that long (RFC 7828), tenths of a second */
};

struct dns_ask {
	/* given */
	const struct dns_zones *zones;
	const struct dns_view *view; /* NULL: sees nothing */
	const struct dns_server *server;
	struct dns_signer *signer; /* of the thread; NULL: nothing is signed */
	bool tcp;
	bool stub;          /* asked by a VNet's group, which wants the end of the chain */
	uint8_t client[16]; /* address of who asks */
	uint8_t client_len; /* 4 or 16 */
	uint32_t now_s;     /* wall clock, for cookies */
	/* between the steps: what the query was read as, its zone, and its name's hash there */
	int read;
	size_t length;
	const struct dns_zone *first;
	uint8_t first_flags;
	uint32_t hash;
	/* told */
	struct dns_query q;
	int rcode;
	bool cookie_good, truncated;
	struct tsig tsig;            /* when q.tsig_at says that it was signed */
	const struct dns_zone *zone; /* that answered last; NULL none */
	bool wild;                   /* by a wildcard: its answers count as one */
	/* A stub's name, or the end of its chain of aliases, is not of a zone here: `target` is to be asked for
	 * elsewhere, and what follows the header and question so far are the aliases that lead to it. */
	bool elsewhere;
	uint8_t target[DNS_NAME_MAX];
	size_t target_len;
};

/* In steps, for a batch: each query is read, then fetched, then answered, so that memory for one is on its way
 * while others are worked on. */
void dns_ask_read(struct dns_ask *a, const uint8_t *packet, size_t len);
void dns_ask_fetch(const struct dns_ask *a);
/* `limit` is what the transport carries (65,535 for TCP; for UDP it is lowered to what
 * the client offers, 1,232 at most). Returns the length written to `out` (room for `limit` bytes at least),
 * 0 when the packet deserves no answer. RFC 1034, 1035, 2308, 4592, 6672, 6891, 7873, 8020, 8482, 8906. */
size_t dns_ask_answer(struct dns_ask *a, const uint8_t *packet, uint8_t *out, size_t limit);
/* All steps for one. */
size_t dns_answer(struct dns_ask *a, const uint8_t *packet, size_t len, uint8_t *out, size_t limit);
/* The short answer to what was read: ask again by TCP; or, to a client with half a cookie,
 * with a whole one (RFC 7873 5.2.3). */
size_t dns_answer_short(struct dns_ask *a, const uint8_t *packet, uint8_t *out);
/* The answer that carries only this rcode and an extended error (RFC 8914; -1 none). */
size_t dns_answer_error(struct dns_ask *a, const uint8_t *packet, int rcode, int ede, uint8_t *out);
/* What answers of one kind have in common, for response rate limiting: name and type of an answer, the zone of
 * a denial, the rcode of others. */
uint64_t dns_answer_kind(const struct dns_ask *a);
