/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See cert.h.
 */
#include "lib/base/cert.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/hex.h"

static void free_key(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void free_x509(X509 **p)
{
	X509_free(*p);
}

static void free_request(X509_REQ **p)
{
	X509_REQ_free(*p);
}

static void free_bio(BIO **p)
{
	BIO_free(*p);
}

#define AUTO_KEY     __attribute__((cleanup(free_key)))
#define AUTO_X509    __attribute__((cleanup(free_x509)))
#define AUTO_REQUEST __attribute__((cleanup(free_request)))
#define AUTO_BIO     __attribute__((cleanup(free_bio)))

static int failed(struct err *e, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	return err_set(e, ERR_INVALID, 0, "%s: %s", what, why ? why : "OpenSSL refused");
}

/* ---- texts ---- */

static int take_text(BIO *from, char to[static CERT_TEXT], struct err *e)
{
	int n = BIO_read(from, to, CERT_TEXT - 1);

	if (n <= 0 || BIO_pending(from) > 0) {
		return err_set(e, ERR_TOO_LARGE, 0, "certificate: more than %d bytes", CERT_TEXT);
	}
	to[n] = '\0';
	return 0;
}

static BIO *reader_of(const char *text)
{
	return BIO_new_mem_buf(text, -1);
}

static EVP_PKEY *key_of(const char *text, struct err *e)
{
	AUTO_BIO BIO *from = reader_of(text);
	EVP_PKEY *key = from ? PEM_read_bio_PrivateKey(from, NULL, NULL, NULL) : NULL;

	if (!key) {
		failed(e, "private key");
	}
	return key;
}

static X509 *certificate_of(const char *text, struct err *e)
{
	AUTO_BIO BIO *from = reader_of(text);
	X509 *x = from ? PEM_read_bio_X509(from, NULL, NULL, NULL) : NULL;

	if (!x) {
		failed(e, "certificate");
	}
	return x;
}

static X509_REQ *request_of(const char *text, struct err *e)
{
	AUTO_BIO BIO *from = reader_of(text);
	X509_REQ *r = from ? PEM_read_bio_X509_REQ(from, NULL, NULL, NULL) : NULL;

	if (!r) {
		failed(e, "certificate request");
	}
	return r;
}

int cert_print(const X509 *x, char to[static CERT_TEXT], struct err *e)
{
	AUTO_BIO BIO *out = BIO_new(BIO_s_mem());

	if (!out || PEM_write_bio_X509(out, x) != 1) {
		return failed(e, "certificate");
	}
	return take_text(out, to, e);
}

/* ---- making ---- */

int cert_key(char to[static CERT_TEXT], struct err *e)
{
	AUTO_KEY EVP_PKEY *key = EVP_EC_gen("P-256");
	AUTO_BIO BIO *out = BIO_new(BIO_s_mem());

	if (!key || !out || PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1) {
		return failed(e, "private key");
	}
	return take_text(out, to, e);
}

static bool is_p256(EVP_PKEY *key)
{
	char group[32];

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	       EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
	       (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

static bool extend(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool good = ext && X509_add_ext(x, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return good;
}

/* What all have: a serial number that nobody guesses (RFC 5280, 4.1.2.2), names, times. */
static bool begin(X509 *x, const char *name, EVP_PKEY *key, int64_t now_s, int64_t life_s)
{
	unsigned char raw[16];
	X509_NAME *subject = X509_get_subject_name(x);

	random_system.fill(&random_system, raw, sizeof(raw));
	raw[0] = (raw[0] & 0x3f) | 0x40; /* positive, and always as long */
	BIGNUM *n = BN_bin2bn(raw, sizeof(raw), NULL);
	bool good = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL;
	BN_free(n);
	return good && X509_set_version(x, X509_VERSION_3) == 1 &&
	       X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
	                                  (const unsigned char *)name, -1, -1, 0) == 1 &&
	       ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(now_s - CERT_EARLY_S)) != NULL &&
	       ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(now_s + life_s)) != NULL &&
	       X509_set_pubkey(x, key) == 1;
}

int cert_authority(const char *key, const char *name, int64_t now_s, int64_t life_s,
                   char to[static CERT_TEXT], struct err *e)
{
	AUTO_KEY EVP_PKEY *own = key_of(key, e);
	AUTO_X509 X509 *x = X509_new();

	if (!own) {
		return -1;
	}
	if (!x || !begin(x, name, own, now_s, life_s) ||
	    X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
	    !extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !extend(x, x, NID_subject_key_identifier, "hash") ||
	    X509_sign(x, own, EVP_sha256()) == 0) {
		return failed(e, "certificate of the authority");
	}
	return cert_print(x, to, e);
}

int cert_request(const char *key, char to[static CERT_TEXT], struct err *e)
{
	AUTO_KEY EVP_PKEY *own = key_of(key, e);
	AUTO_REQUEST X509_REQ *r = X509_REQ_new();
	AUTO_BIO BIO *out = BIO_new(BIO_s_mem());

	if (!own) {
		return -1;
	}
	if (!r || !out || X509_REQ_set_pubkey(r, own) != 1 ||
	    X509_REQ_sign(r, own, EVP_sha256()) == 0 || PEM_write_bio_X509_REQ(out, r) != 1) {
		return failed(e, "certificate request");
	}
	return take_text(out, to, e);
}

int cert_issue(const char *authority, const char *authority_key, const char *request,
               const char *name, enum cert_use use, int64_t now_s, int64_t life_s,
               char to[static CERT_TEXT], struct err *e)
{
	AUTO_X509 X509 *issuer = certificate_of(authority, e);
	AUTO_KEY EVP_PKEY *signs = key_of(authority_key, e);
	AUTO_REQUEST X509_REQ *r = request_of(request, e);
	AUTO_X509 X509 *x = X509_new();
	char alt[CERT_NAME + 8];

	if (!issuer || !signs || !r) {
		return -1;
	}
	EVP_PKEY *key = X509_REQ_get0_pubkey(r);
	if (!key || !is_p256(key) || X509_REQ_verify(r, key) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_INVALID, 0,
		               "certificate request: a key on P-256 that signed it is accepted");
	}
	snprintf(alt, sizeof(alt), "DNS:%s", name);
	if (!x || !begin(x, name, key, now_s, life_s) ||
	    X509_set_issuer_name(x, X509_get_subject_name(issuer)) != 1 ||
	    !extend(x, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
	    !extend(x, issuer, NID_key_usage, "critical,digitalSignature") ||
	    !extend(x, issuer, NID_ext_key_usage,
	            use == CERT_SERVER ? "serverAuth" : "clientAuth") ||
	    !extend(x, issuer, NID_subject_alt_name, alt) ||
	    !extend(x, issuer, NID_subject_key_identifier, "hash") ||
	    !extend(x, issuer, NID_authority_key_identifier, "keyid:always") ||
	    X509_sign(x, signs, EVP_sha256()) == 0) {
		return failed(e, "certificate");
	}
	return cert_print(x, to, e);
}

/* ---- reading ---- */

static int print_of(const EVP_PKEY *key, char to[static CERT_PRINT], struct err *e)
{
	unsigned char digest[32], *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	bool good = n > 0 && EVP_Digest(der, (size_t)n, digest, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	if (!good) {
		return failed(e, "public key");
	}
	hex_print(digest, sizeof(digest), to);
	return 0;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

int cert_says(const X509 *x, struct cert_says *to, struct err *e)
{
	unsigned char digest[32];
	EVP_PKEY *key = X509_get0_pubkey(x);

	*to = (struct cert_says){ .from_s = seconds_of(X509_get0_notBefore(x)),
		                  .until_s = seconds_of(X509_get0_notAfter(x)) };
	int n = X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, to->name,
	                                  sizeof(to->name));
	if (n <= 0 || strlen(to->name) != (size_t)n || !key ||
	    X509_digest(x, EVP_sha256(), digest, NULL) != 1) {
		return failed(e, "certificate");
	}
	hex_print(digest, sizeof(digest), to->print);
	return print_of(key, to->key, e);
}

int cert_read(const char *text, struct cert_says *to, struct err *e)
{
	AUTO_X509 X509 *x = certificate_of(text, e);

	return x ? cert_says(x, to, e) : -1;
}

int cert_request_key(const char *request, char to[static CERT_PRINT], struct err *e)
{
	AUTO_REQUEST X509_REQ *r = request_of(request, e);
	EVP_PKEY *key = r ? X509_REQ_get0_pubkey(r) : NULL;

	return key ? print_of(key, to, e) : r ? failed(e, "certificate request") : -1;
}

bool cert_trusted(X509 *x, const char *authority, enum cert_use use)
{
	struct err ignored = ERR_INIT;
	AUTO_X509 X509 *root = certificate_of(authority, &ignored);
	X509_STORE *roots = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = root && roots && ctx && X509_STORE_add_cert(roots, root) == 1 &&
	            X509_STORE_CTX_init(ctx, roots, x, NULL) == 1 &&
	            X509_STORE_CTX_set_purpose(ctx, use == CERT_SERVER
	                                                    ? X509_PURPOSE_SSL_SERVER
	                                                    : X509_PURPOSE_SSL_CLIENT) == 1 &&
	            X509_verify_cert(ctx) == 1;

	X509_STORE_CTX_free(ctx);
	X509_STORE_free(roots);
	ERR_clear_error();
	return good;
}
