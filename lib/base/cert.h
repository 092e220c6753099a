/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of an authority of one's own (X.509, RFC 5280), on OpenSSL: keys on P-256, requests by PKCS #10 (RFC 2986).
 * All texts are PEM. Nothing here blocks or does I/O, but for getrandom(2).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct x509_st;

#define CERT_TEXT    4096  /* bytes that any text has room in */
#define CERT_NAME    64    /* of a subject, with the zero byte: RFC 5280 allows 64 characters */
#define CERT_EARLY_S 86400 /* how far clocks may differ */
#define CERT_PRINT   65    /* a SHA-256 as hexadecimal digits, with the zero byte */

/* A new private key. The caller wipes it. */
int cert_key(char to[static CERT_TEXT], struct err *e) __attribute__((warn_unused_result));
/* The certificate of an authority that signs itself; `name` is its subject's common name, `now_s` and `life_s` are seconds
 * (since 1970, UTC). It may sign certificates of ends, no authorities. */
int cert_authority(const char *key, const char *name, int64_t now_s, int64_t life_s,
                   char to[static CERT_TEXT], struct err *e) __attribute__((warn_unused_result));
/* What a holder of the key asks for; the names in it are never believed. */
int cert_request(const char *key, char to[static CERT_TEXT], struct err *e)
	__attribute__((warn_unused_result));

enum cert_use {
	CERT_CLIENT,
	CERT_SERVER,
};
/* Signs the key of a request, whose own signature must hold. The subject's common name, and its only DNS name, is `name`. It is
 * valid from CERT_EARLY_S before now_s, since clocks differ. ERR_INVALID: the request is none, or its key is not on P-256. */
int cert_issue(const char *authority, const char *authority_key, const char *request,
               const char *name, enum cert_use use, int64_t now_s, int64_t life_s,
               char to[static CERT_TEXT], struct err *e) __attribute__((warn_unused_result));

struct cert_says {
	char name[CERT_NAME];   /* common name */
	char key[CERT_PRINT];   /* SHA-256 of the public key (SubjectPublicKeyInfo) */
	char print[CERT_PRINT]; /* SHA-256 of the whole certificate */
	int64_t from_s, until_s;
};
/* What a certificate says; whether it may be believed is another question. */
int cert_read(const char *text, struct cert_says *to, struct err *e)
	__attribute__((warn_unused_result));
/* The same of OpenSSL's object, which stays the caller's. */
int cert_says(const struct x509_st *x, struct cert_says *to, struct err *e)
	__attribute__((warn_unused_result));
/* Its text. */
int cert_print(const struct x509_st *x, char to[static CERT_TEXT], struct err *e)
	__attribute__((warn_unused_result));
/* The SHA-256 of a request's public key, as cert_says has it. */
int cert_request_key(const char *request, char to[static CERT_PRINT], struct err *e)
	__attribute__((warn_unused_result));
/* Is `x`, by the clock of OpenSSL, one of that authority's for this use? */
bool cert_trusted(struct x509_st *x, const char *authority, enum cert_use use);
