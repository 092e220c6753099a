/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What secondaries of a zone are sent: all of it (AXFR, RFC 5936), or what changed since they looked (IXFR, RFC 1995) from
 * a journal in memory. A transfer is built at one moment, so that it is the zone as it was then. A zone with keys is
 * sent whole and signed, with a chain of NSEC records (RFC 4034 4). The writer's thread. No I/O.
 */
#pragma once

#include "dns/tsig.h"
#include "dns/zone.h"
#include "lib/base/buf.h"

/* Changes of one zone, oldest first; what is over the bound is forgotten from the front. */
struct dns_journal;

/* The key is to be random: who chooses names finds no two that are taken for one. NULL: no memory. */
struct dns_journal *dns_journal_new(uint64_t zone, size_t bytes_max, const uint8_t key[16]);
void dns_journal_free(struct dns_journal *j); /* accepts NULL */
/* A name is about to change; `was`: what it has (NULL: nothing). */
void dns_journal_note(struct dns_journal *j, const uint8_t *name, size_t len,
                      const struct dns_found *was);
/* What the names that were noted since the last commit have now, beside what they had then, leads from serial `from` to
 * `to`: however often one changed, it changed once. */
void dns_journal_commit(struct dns_journal *j, const struct dns_zones *z, const struct dns_zone *c,
                        uint32_t from, uint32_t to);

/* How a transfer is asked for. */
struct dns_transfer {
	uint16_t id, type;       /* DNS_AXFR or DNS_IXFR */
	const uint8_t *question; /* of the packet, to be repeated */
	size_t question_len;
	uint32_t serial;           /* IXFR: that the other has */
	struct tsig *tsig;         /* NULL: unsigned */
	struct dns_signer *signer; /* for a zone with keys; NULL: it is sent without signatures */
	uint64_t now_s;
};

/* Names that a signed zone may have, to be transferred: more would keep the writer for too long. */
#define DNS_TRANSFER_SIGNED_MAX 20000u

/* Appends the whole transfer to `to`: messages, each behind its length (RFC 1035 4.2.2). AXFR where the journal (NULL:
 * none) does not reach back. false: no memory, too many names to sign, or OpenSSL failed; `to` may have grown. */
bool dns_transfer_build(const struct dns_zones *z, const struct dns_zone *c,
                        const struct dns_journal *j, const struct dns_transfer *t, struct buf *to);
