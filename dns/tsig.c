/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See tsig.h.
 */
#include "dns/tsig.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "dns/query.h"
#include "dns/zone.h"

#define FUDGE_S   300 /* RFC 8945 10 */
#define CLASS_ANY 255

static const struct {
	const char *name;
	const uint8_t wire[14]; /* with the root's label */
	size_t len, mac;
} algorithms[] = {
	[TSIG_SHA256] = { "hmac-sha256", "\13hmac-sha256", 13, 32 },
	[TSIG_SHA384] = { "hmac-sha384", "\13hmac-sha384", 13, 48 },
	[TSIG_SHA512] = { "hmac-sha512", "\13hmac-sha512", 13, 64 },
};

int tsig_algorithm(const char *name, enum tsig_algorithm *ret)
{
	for (unsigned i = 0; i < 3; i++) {
		if (strcasecmp(name, algorithms[i].name) == 0) {
			*ret = (enum tsig_algorithm)i;
			return 0;
		}
	}
	return -1;
}

/* ---- what is signed ---- */

/* A computation with the key; NULL: OpenSSL has none. Freed by mac_end(). */
static EVP_MAC_CTX *mac_begin(const struct tsig_key *k)
{
	static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *c = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(
					"digest", (char *)(uintptr_t)digests[k->algorithm], 0),
		                OSSL_PARAM_construct_end() };

	EVP_MAC_free(hmac);
	if (c && EVP_MAC_init(c, k->secret, k->secret_len, params) != 1) {
		EVP_MAC_CTX_free(c);
		c = NULL;
	}
	return c;
}

/* The length of the result, 0: it failed. */
static size_t mac_end(EVP_MAC_CTX *c, uint8_t to[EVP_MAX_MD_SIZE])
{
	size_t n = 0;

	if (EVP_MAC_final(c, to, &n, EVP_MAX_MD_SIZE) != 1) {
		n = 0;
	}
	EVP_MAC_CTX_free(c);
	return n;
}

static void add16(EVP_MAC_CTX *c, unsigned v)
{
	uint8_t b[2];

	dns_put16(b, v);
	EVP_MAC_update(c, b, 2);
}

static void add_time(EVP_MAC_CTX *c, uint64_t s)
{
	add16(c, (unsigned)(s >> 32));
	add16(c, (unsigned)(s >> 16) & 0xffff);
	add16(c, (unsigned)s & 0xffff);
}

static void add_before(EVP_MAC_CTX *c, const uint8_t *mac, size_t len)
{
	if (len) {
		add16(c, (unsigned)len);
		EVP_MAC_update(c, mac, len);
	}
}

/* The record's own fields; of later messages of an exchange only the time (RFC 8945 5.3.1). */
static void add_variables(EVP_MAC_CTX *c, const struct tsig *t, uint64_t time_s, unsigned fudge,
                          unsigned error, const uint8_t *other, size_t other_len)
{
	EVP_MAC_update(c, t->key_name, t->key_name_len);
	EVP_MAC_update(c, (const uint8_t *)"", 1);
	add16(c, CLASS_ANY);
	add16(c, 0);
	add16(c, 0);
	EVP_MAC_update(c, t->algorithm, t->algorithm_len);
	add_time(c, time_s);
	add16(c, fudge);
	add16(c, error);
	add16(c, (unsigned)other_len);
	EVP_MAC_update(c, other, other_len);
}

/* ---- a record that came ---- */

struct record {
	uint64_t time_s;
	unsigned fudge, error;
	const uint8_t *mac, *other;
	size_t mac_len, other_len;
};

/* A name without pointers, lower case, with its root's label; what follows it; NULL: malformed. */
static const uint8_t *read_name(const uint8_t *p, const uint8_t *end, uint8_t *to, size_t room,
                                size_t *len)
{
	size_t n = 0;

	while (p + n < end && p[n] != 0 && p[n] <= DNS_LABEL_MAX) {
		n += p[n] + 1u;
	}
	if (p + n >= end || p[n] != 0 || n + 1 > room) {
		return NULL;
	}
	dns_lower(to, p, n + 1);
	*len = n;
	return p + n + 1;
}

static bool read_record(struct tsig *t, const uint8_t *p, const uint8_t *end, struct record *r)
{
	uint8_t name[DNS_NAME_MAX + 1];

	p = read_name(p, end, name, sizeof(name), &t->key_name_len);
	if (!p || end - p < 10 || dns_get16(p) != DNS_TSIG || dns_get16(p + 2) != CLASS_ANY ||
	    dns_get16(p + 8) != end - p - 10) {
		return false;
	}
	memcpy(t->key_name, name, t->key_name_len);
	p = read_name(p + 10, end, t->algorithm, sizeof(t->algorithm), &t->algorithm_len);
	if (!p || end - p < 16) {
		return false;
	}
	t->algorithm_len++; /* with its root's label, as it is signed */
	r->time_s =
		(uint64_t)dns_get16(p) << 32 | (uint64_t)dns_get16(p + 2) << 16 | dns_get16(p + 4);
	r->fudge = dns_get16(p + 6);
	r->mac_len = dns_get16(p + 8);
	r->mac = p + 10;
	p += 10;
	if ((size_t)(end - p) < r->mac_len + 6 || r->mac_len > TSIG_MAC_MAX) {
		return false;
	}
	p += r->mac_len;
	t->id = dns_get16(p);
	r->error = dns_get16(p + 2);
	r->other_len = dns_get16(p + 4);
	r->other = p + 6;
	return (size_t)(end - p) == 6 + r->other_len;
}

static const struct tsig_key *find_key(const struct tsig *t, const struct tsig_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct tsig_key *k = &keys[i];

		if (k->name_len == t->key_name_len &&
		    memcmp(k->name, t->key_name, k->name_len) == 0 &&
		    t->algorithm_len == algorithms[k->algorithm].len &&
		    memcmp(t->algorithm, algorithms[k->algorithm].wire, t->algorithm_len) == 0) {
			return k;
		}
	}
	return NULL;
}

/* The signature of the message up to `at`, as it was before the record was put behind it. */
static bool signature_good(const struct tsig *t, const uint8_t *message, size_t at,
                           const struct record *r)
{
	uint8_t head[DNS_HEADER], mac[EVP_MAX_MD_SIZE];
	EVP_MAC_CTX *c = mac_begin(t->key);

	if (!c) {
		return false;
	}
	memcpy(head, message, DNS_HEADER);
	dns_put16(head, t->id);
	dns_put16(head + 10, dns_get16(head + 10) - 1u);
	EVP_MAC_update(c, head, DNS_HEADER);
	EVP_MAC_update(c, message + DNS_HEADER, at - DNS_HEADER);
	add_variables(c, t, r->time_s, r->fudge, r->error, r->other, r->other_len);
	size_t len = mac_end(c, mac);
	return r->mac_len <= len && r->mac_len > 0 && CRYPTO_memcmp(mac, r->mac, r->mac_len) == 0;
}

int tsig_check(struct tsig *t, const struct tsig_key *keys, size_t n_keys, const uint8_t *message,
               size_t len, size_t at, uint64_t now_s)
{
	struct record r;

	memset(t, 0, sizeof(*t));
	if (!read_record(t, message + at, message + len, &r)) {
		t->error = TSIG_FORMERR;
		return -1;
	}
	t->first = true;
	t->time_s = r.time_s;
	t->key = find_key(t, keys, n_keys);
	if (!t->key) {
		t->error = TSIG_BADKEY;
		return 0;
	}
	size_t whole = algorithms[t->key->algorithm].mac;
	if (r.mac_len > whole ||
	    (r.mac_len < whole && r.mac_len < (whole / 2 < 10 ? 10 : whole / 2))) {
		t->error = TSIG_FORMERR; /* RFC 8945 5.2.2.1 */
		return -1;
	}
	if (!signature_good(t, message, at, &r)) {
		t->error = TSIG_BADSIG;
		t->key = NULL;
		return 0;
	}
	memcpy(t->mac, r.mac, r.mac_len);
	t->mac_len = r.mac_len;
	if (now_s > r.time_s + FUDGE_S || now_s + FUDGE_S < r.time_s) {
		t->error = TSIG_BADTIME;
	} else if (r.mac_len < whole) { /* we want whole ones (5.2.4) */
		t->error = TSIG_BADTRUNC;
	}
	return 0;
}

/* ---- a record of ours ---- */

void tsig_begin(struct tsig *t, const struct tsig_key *key)
{
	memset(t, 0, sizeof(*t));
	t->key = key;
	t->first = true;
	memcpy(t->key_name, key->name, key->name_len);
	t->key_name_len = key->name_len;
	t->algorithm_len = algorithms[key->algorithm].len;
	memcpy(t->algorithm, algorithms[key->algorithm].wire, t->algorithm_len);
}

/* The new signature, which the next message of the exchange is bound to. */
static void make_mac(struct tsig *t, const uint8_t *message, size_t len, uint64_t time_s,
                     const uint8_t *other, size_t other_len)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	EVP_MAC_CTX *c = mac_begin(t->key);

	if (c) {
		add_before(c, t->mac, t->mac_len);
		EVP_MAC_update(c, message, len);
		if (t->first) {
			add_variables(c, t, time_s, FUDGE_S, t->error, other, other_len);
		} else {
			add_time(c, time_s);
			add16(c, FUDGE_S);
		}
	}
	t->mac_len = c ? mac_end(c, mac) : 0;
	memcpy(t->mac, mac, t->mac_len);
	t->first = false;
}

size_t tsig_sign(struct tsig *t, uint8_t *message, size_t len, uint64_t now_s)
{
	bool late = t->error == TSIG_BADTIME;
	uint64_t time_s = late ? t->time_s : now_s;
	uint8_t *p = message + len, other[6];
	size_t other_len = late ? 6 : 0, mac_len = 0;

	dns_put16(other, (unsigned)(now_s >> 32));
	dns_put32(other + 2, (uint32_t)now_s);
	if (t->key) {
		make_mac(t, message, len, time_s, other, other_len);
		mac_len = t->mac_len;
	}
	memcpy(p, t->key_name, t->key_name_len);
	p += t->key_name_len;
	*p++ = 0;
	dns_put16(p, DNS_TSIG);
	dns_put16(p + 2, CLASS_ANY);
	dns_put32(p + 4, 0);
	dns_put16(p + 8, (unsigned)(t->algorithm_len + 16 + mac_len + other_len));
	p += 10;
	memcpy(p, t->algorithm, t->algorithm_len);
	p += t->algorithm_len;
	dns_put16(p, (unsigned)(time_s >> 32));
	dns_put32(p + 2, (uint32_t)time_s);
	dns_put16(p + 6, FUDGE_S);
	dns_put16(p + 8, (unsigned)mac_len);
	memcpy(p + 10, t->mac, mac_len);
	p += 10 + mac_len;
	memcpy(p, message, 2);
	dns_put16(p + 2, t->error);
	dns_put16(p + 4, (unsigned)other_len);
	memcpy(p + 6, other, other_len);
	p += 6 + other_len;
	dns_put16(message + 10, dns_get16(message + 10) + 1u);
	return (size_t)(p - message);
}
