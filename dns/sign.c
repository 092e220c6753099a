/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See sign.h.
 */
#include "dns/sign.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "dns/cookie.h"
#include "dns/query.h"
#include "dns/zone.h"

#define ALGORITHM 13
#define BEFORE_S  3600u   /* clocks of others are late */
#define VALID_S   172800u /* Azure: two days for data */
#define CANONICAL (DNS_DATA_MAX + (size_t)DNS_SET_MAX * (DNS_NAME_MAX + 16))

/* ---- keys ---- */

bool dns_key_draw(uint8_t private[32])
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	BIGNUM *n = NULL;
	bool ok = k && EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_PRIV_KEY, &n) == 1 &&
	          BN_bn2binpad(n, private, 32) == 32;

	BN_clear_free(n);
	EVP_PKEY_free(k);
	return ok;
}

/* The public point of a private number, uncompressed. */
static bool public_of(const BIGNUM *private, uint8_t to[65])
{
	EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *p = g ? EC_POINT_new(g) : NULL;
	bool ok = p && EC_POINT_mul(g, p, private, NULL, NULL, NULL) == 1 &&
	          EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, to, 65, NULL) == 65;

	EC_POINT_free(p);
	EC_GROUP_free(g);
	return ok;
}

/* RFC 4034, appendix B. */
static uint16_t tag_of(const uint8_t data[DNS_KEY_DATA])
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < DNS_KEY_DATA; i++) {
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	}
	return (uint16_t)(sum + (sum >> 16));
}

bool dns_key_load(struct dns_key *k, uint16_t flags, bool signs, const uint8_t private[32])
{
	BIGNUM *n = BN_bin2bn(private, 32, NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	EVP_PKEY *pkey = NULL;
	OSSL_PARAM *params = NULL;
	uint8_t point[65], data[DNS_KEY_DATA];
	bool ok = n && b && c && public_of(n, point) &&
	          OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
	          OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, n) &&
	          OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 65) &&
	          (params = OSSL_PARAM_BLD_to_param(b)) && EVP_PKEY_fromdata_init(c) == 1 &&
	          EVP_PKEY_fromdata(c, &pkey, EVP_PKEY_KEYPAIR, params) == 1;

	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_BLD_free(b);
	BN_clear_free(n);
	if (ok) {
		*k = (struct dns_key){ .flags = flags, .signs = signs, .pkey = pkey };
		memcpy(k->public, point + 1, 64);
		dns_key_data(k, data);
		k->tag = tag_of(data);
	}
	return ok;
}

void dns_key_fini(struct dns_key *k)
{
	EVP_PKEY_free(k->pkey);
	k->pkey = NULL;
}

void dns_keys_free(struct dns_keys *k)
{
	for (size_t i = 0; k && i < k->n; i++) {
		dns_key_fini(&k->v[i]);
	}
	free(k);
}

bool dns_key_signs(const struct dns_key *k, uint16_t type)
{
	bool own = type == DNS_DNSKEY || type == DNS_CDS || type == DNS_CDNSKEY;

	return k->signs && k->flags == (own ? DNS_KEY_KSK : DNS_KEY_ZSK);
}

void dns_key_data(const struct dns_key *k, uint8_t to[DNS_KEY_DATA])
{
	dns_put16(to, k->flags);
	to[2] = 3;
	to[3] = ALGORITHM;
	memcpy(to + 4, k->public, 64);
}

void dns_key_ds(const struct dns_key *k, const uint8_t *origin, size_t len, uint8_t to[DNS_DS_DATA])
{
	uint8_t text[DNS_NAME_MAX + 1 + DNS_KEY_DATA];

	memcpy(text, origin, len);
	text[len] = 0;
	dns_key_data(k, text + len + 1);
	dns_put16(to, k->tag);
	to[2] = ALGORITHM;
	to[3] = 2;
	SHA256(text, len + 1 + DNS_KEY_DATA, to + 4);
}

/* ---- the canonical form ---- */

#define WAYS 8u
/* What was signed, in places that a hash leads to: with one alone, a third of the room would already make names drive each
 * other out. */
struct remembered {
	uint64_t key[WAYS]; /* 0 none */
	uint8_t signature[WAYS][64];
	uint32_t next; /* that is replaced */
};

struct dns_signer {
	uint8_t hash_key[16];
	size_t mask;
	struct remembered *v;
	uint8_t text[CANONICAL];
};

struct dns_signer *dns_signer_new(size_t entries)
{
	struct dns_signer *s = calloc(1, sizeof(*s));

	entries = entries < WAYS ? 1 : entries / WAYS;
	if (!s || !(s->v = calloc(entries, sizeof(*s->v)))) {
		free(s);
		return NULL;
	}
	s->mask = entries - 1;
	if (RAND_bytes(s->hash_key, sizeof(s->hash_key)) != 1) {
		dns_signer_free(s);
		return NULL;
	}
	return s;
}

void dns_signer_free(struct dns_signer *s)
{
	if (s) {
		free(s->v);
		free(s);
	}
}

struct piece {
	const uint8_t *p;
	uint16_t n;
};

static int by_data(const void *pa, const void *pb)
{
	const struct piece *a = pa, *b = pb;
	int d = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);

	return d ? d : a->n - b->n;
}

/* The set's records behind what is in s->text already; the new length, 0: too long. */
static size_t add_records(struct dns_signer *s, size_t at, const uint8_t *owner, size_t owner_len,
                          const struct dns_set *set)
{
	struct piece v[DNS_SET_MAX];
	struct dns_set all = *set;
	const uint8_t *data;
	size_t n = 0;
	uint16_t len;

	while (n < DNS_SET_MAX && (data = dns_set_next(&all, &len))) {
		v[n++] = (struct piece){ data, len };
	}
	qsort(v, n, sizeof(v[0]), by_data);
	for (size_t i = 0; i < n; i++) {
		if (at + owner_len + 11 + v[i].n > sizeof(s->text)) {
			return 0;
		}
		memcpy(s->text + at, owner, owner_len);
		at += owner_len;
		s->text[at++] = 0;
		dns_put16(s->text + at, set->type);
		dns_put16(s->text + at + 2, 1);
		dns_put32(s->text + at + 4, set->ttl_s);
		dns_put16(s->text + at + 8, v[i].n);
		memcpy(s->text + at + 10, v[i].p, v[i].n);
		at += 10u + v[i].n;
	}
	return at;
}

/* The signature of `n` bytes, as DNS has it: two numbers of 32 bytes (RFC 6605 4). */
static bool sign_text(const struct dns_key *k, const uint8_t *text, size_t n, uint8_t to[64])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t der[80];
	const uint8_t *p = der;
	size_t len = sizeof(der);
	ECDSA_SIG *sig = NULL;
	bool ok = c && EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
	          EVP_DigestSign(c, der, &len, text, n) == 1 &&
	          (sig = d2i_ECDSA_SIG(NULL, &p, (long)len)) &&
	          BN_bn2binpad(ECDSA_SIG_get0_r(sig), to, 32) == 32 &&
	          BN_bn2binpad(ECDSA_SIG_get0_s(sig), to + 32, 32) == 32;

	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(c);
	return ok;
}

/* The signature of what is in s->text, remembered or made; NULL: it failed. */
static const uint8_t *signature_of(struct dns_signer *s, const struct dns_key *k, size_t n)
{
	uint64_t h = dns_siphash(s->hash_key, s->text, n) | 1;
	struct remembered *r = &s->v[h >> 20 & s->mask];

	for (unsigned i = 0; i < WAYS; i++) {
		if (r->key[i] == h) {
			return r->signature[i];
		}
	}
	unsigned at = r->next++ % WAYS;
	r->key[at] = 0;
	if (!sign_text(k, s->text, n, r->signature[at])) {
		return NULL;
	}
	r->key[at] = h;
	return r->signature[at];
}

size_t dns_sign(struct dns_signer *s, const struct dns_key *k, const uint8_t *origin,
                size_t origin_len, const uint8_t *owner, size_t owner_len,
                const struct dns_set *set, uint32_t now_s, uint8_t to[DNS_RRSIG_ROOM])
{
	uint32_t base = now_s - now_s % DNS_SIGN_PERIOD_S;
	unsigned labels = dns_name_labels(owner, owner_len);

	labels -= owner_len >= 2 && owner[0] == 1 && owner[1] == '*'; /* RFC 4034 3.1.3 */
	dns_put16(to, set->type);
	to[2] = ALGORITHM;
	to[3] = (uint8_t)labels;
	dns_put32(to + 4, set->ttl_s);
	dns_put32(to + 8, base + DNS_SIGN_PERIOD_S + VALID_S);
	dns_put32(to + 12, base - BEFORE_S);
	dns_put16(to + 16, k->tag);
	memcpy(to + 18, origin, origin_len);
	to[18 + origin_len] = 0;
	size_t head = 18 + origin_len + 1;
	memcpy(s->text, to, head);
	size_t n = add_records(s, head, owner, owner_len, set);
	if (n == 0) {
		return 0;
	}
	const uint8_t *signature = signature_of(s, k, n);
	if (!signature) {
		return 0;
	}
	memcpy(to + head, signature, 64);
	return head + 64;
}
