/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See seal.h. Text: "1:" and the hexadecimal of nonce, ciphertext and tag.
 */
#include "lib/store/seal.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/hex.h"
#include "lib/base/own.h"

#define NONCE   12 /* random: 2^32 seals under one key stay safe (NIST SP 800-38D 8.3) */
#define TAG     16
#define LEN_MAX (1u << 20)

static uint8_t the_key[SEAL_KEY];

void seal_key(const uint8_t key[static SEAL_KEY])
{
	memcpy(the_key, key, SEAL_KEY);
}

static void context_free(EVP_CIPHER_CTX **c)
{
	EVP_CIPHER_CTX_free(*c);
}
#define AUTO_CONTEXT __attribute__((cleanup(context_free)))

char *seal(const void *secret, size_t len, const char *place, struct err *e)
{
	AUTO_CONTEXT EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	AUTO_FREE uint8_t *raw = malloc(NONCE + len + TAG);
	char *text = malloc(2 + 2 * (NONCE + len + TAG) + 1);
	int n;

	if (!c || !raw || !text || len > LEN_MAX) {
		free(text);
		err_set(e, ERR_NO_MEMORY, 0, "seal: no memory for %zu bytes", len);
		return NULL;
	}
	random_system.fill(&random_system, raw, NONCE);
	if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, the_key, raw) != 1 ||
	    EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)place, (int)strlen(place)) != 1 ||
	    EVP_EncryptUpdate(c, raw + NONCE, &n, secret, (int)len) != 1 ||
	    EVP_EncryptFinal_ex(c, raw + NONCE + len, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, raw + NONCE + len) != 1) {
		free(text);
		err_set(e, ERR_SYSTEM, 0, "seal: OpenSSL refuses");
		return NULL;
	}
	memcpy(text, "1:", 2);
	hex_print(raw, NONCE + len + TAG, text + 2);
	return text;
}

char *unseal(const char *text, const char *place, size_t *ret_len, struct err *e)
{
	size_t digits = strlen(text) < 2 ? 0 : strlen(text) - 2, all = digits / 2;
	AUTO_CONTEXT EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	AUTO_FREE uint8_t *raw = malloc(all + 1);
	size_t len = all < NONCE + TAG ? 0 : all - NONCE - TAG;
	uint8_t *secret = malloc(len + 1);
	int n;

	if (c && raw && secret && strncmp(text, "1:", 2) == 0 && digits % 2 == 0 &&
	    all >= NONCE + TAG && len <= LEN_MAX && hex_read(text + 2, raw, all) &&
	    EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, the_key, raw) == 1 &&
	    EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)place, (int)strlen(place)) == 1 &&
	    EVP_DecryptUpdate(c, secret, &n, raw + NONCE, (int)len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, raw + NONCE + len) == 1 &&
	    EVP_DecryptFinal_ex(c, secret + len, &n) == 1) {
		secret[len] = '\0';
		*ret_len = len;
		return (char *)secret;
	}
	if (secret) {
		explicit_bzero(secret, len); /* not vouched for: nobody's to read */
	}
	free(secret);
	err_set(e, ERR_INVALID, 0, "%s: sealed under another key, for another place, or spoilt",
	        place);
	return NULL;
}
