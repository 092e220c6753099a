/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * DNSSEC signatures made as they are asked for: ECDSA P-256 with SHA-256 (algorithm 13, RFC 6605) over the canonical form
 * of a set (RFC 4034 6.2, 6.3). OpenSSL computes. A signer is one thread's and remembers what it signed last. No I/O.
 */
#pragma once

#include "dns/name.h"
#include "dns/table.h"

#define DNS_KEYS_MAX   8
#define DNS_KEY_ZSK    256u
#define DNS_KEY_KSK    257u
#define DNS_KEY_DATA   68u
#define DNS_DS_DATA    36u
#define DNS_RRSIG_ROOM (18 + DNS_NAME_MAX + 1 + 64)
/* Signatures stay the same that long, seconds; whoever keeps copies needs new ones then. */
#define DNS_SIGN_PERIOD_S 43200u

enum {
	DNS_DS = 43,
	DNS_RRSIG = 46,
	DNS_NSEC = 47,
	DNS_DNSKEY = 48,
	DNS_CDS = 59,
	DNS_CDNSKEY = 60
};

struct dns_key {
	uint16_t flags; /* DNS_KEY_ZSK, DNS_KEY_KSK */
	uint16_t tag;
	bool signs; /* or is only published */
	uint8_t public[64];
	void *pkey; /* OpenSSL's */
};

/* A zone's; never changed once a zone has it. */
struct dns_keys {
	struct dns_key v[DNS_KEYS_MAX];
	size_t n;
};

/* Draws a private key. false: OpenSSL failed. */
bool dns_key_draw(uint8_t private[32]);
/* Makes the key of its private half. false: it is none. */
bool dns_key_load(struct dns_key *k, uint16_t flags, bool signs, const uint8_t private[32]);
void dns_key_fini(struct dns_key *k);
void dns_keys_free(struct dns_keys *k); /* accepts NULL */
/* Does it sign sets of that type? Keys' own sets are for key-signing keys, others for the others (RFC 7344 4.1). */
bool dns_key_signs(const struct dns_key *k, uint16_t type);
/* DNSKEY or CDNSKEY record data. */
void dns_key_data(const struct dns_key *k, uint8_t to[DNS_KEY_DATA]);
/* DS or CDS record data, SHA-256, of a key of the zone. */
void dns_key_ds(const struct dns_key *k, const uint8_t *origin, size_t len,
                uint8_t to[DNS_DS_DATA]);

struct dns_signer;
/* Remembers that many signatures at most (a power of two). NULL: no memory. */
struct dns_signer *dns_signer_new(size_t entries);
void dns_signer_free(struct dns_signer *s);
/* RRSIG record data of a set at a name of the zone into `to`: its length, 0: it failed. Valid from an hour ago for
 * two days and more at `now_s`; the same over twelve hours. */
size_t dns_sign(struct dns_signer *s, const struct dns_key *k, const uint8_t *origin,
                size_t origin_len, const uint8_t *owner, size_t owner_len,
                const struct dns_set *set, uint32_t now_s, uint8_t to[DNS_RRSIG_ROOM]);
