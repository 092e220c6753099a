/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keys against the example of RFC 6605, signatures against OpenSSL's own verdict on a text put together by hand.
 */
#include "dns/sign.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "dns/record.h"
#include "dns/zone.h"
#include "tests/test.h"

/* RFC 6605, 6.1 */
static const uint8_t private[] = "\x19\x4e\x92\x9d\x0f\xce\xbb\xec\x42\xe5\x1b\xa6\xb8\x85\x08\xb8"
				 "\x96\x6d\x79\x74\xf6\xcf\x43\xbf\xa2\x4d\x6c\xdf\xc1\x2d\xea\x64";
static const uint8_t public[] = "\x1a\x88\xc8\x86\x15\xd4\x37\xfb\xb8\xbf\x9e\x19\x42\xa1\x92\x9f"
				"\x28\x56\x27\x06\xae\x6c\x2b\xd3\x99\xe7\xb1\xbf\xb6\xd1\xe9\xe7"
				"\x5b\x92\xb4\xaa\x42\x91\x7a\xe1\xc6\x1b\x70\x1e\xf0\x35\xc3\xfe"
				"\x7b\xe3\x00\x9c\xba\xfe\x5a\x2f\x71\x31\x6c\x90\x2d\xcf\x0d\x00";
static const uint8_t digest[] = "\xb4\xc8\xc1\xfe\x2e\x74\x77\x12\x7b\x27\x11\x56\x56\xad\x62\x56"
				"\xf4\x24\x62\x5b\xf5\xc1\xe2\x77\x0c\xe6\xd6\xe3\x7d\xf6\x1d\x17";
#define ORIGIN     "\7example\3net"
#define ORIGIN_LEN (sizeof(ORIGIN) - 1)
#define NOW        1700000000u

static struct dns_key key(uint16_t flags)
{
	struct dns_key k;

	assert_true(dns_key_load(&k, flags, true, private));
	return k;
}

static void a_key(void **state)
{
	struct dns_key k = key(DNS_KEY_KSK);
	uint8_t data[DNS_KEY_DATA], ds[DNS_DS_DATA], zero[32] = { 0 };

	(void)state;
	dns_key_data(&k, data);
	assert_memory_equal(data, "\1\1\3\x0d", 4);
	assert_memory_equal(data + 4, public, 64);
	assert_int_equal(k.tag, 55648);
	dns_key_ds(&k, (const uint8_t *)ORIGIN, ORIGIN_LEN, ds);
	assert_memory_equal(ds, "\xd9\x60\x0d\2", 4);
	assert_memory_equal(ds + 4, digest, 32);
	dns_key_fini(&k);
	assert_false(dns_key_load(&k, DNS_KEY_ZSK, true, zero));
}

static void which_key(void **state)
{
	struct dns_key ksk = key(DNS_KEY_KSK), zsk = key(DNS_KEY_ZSK);

	(void)state;
	assert_true(dns_key_signs(&ksk, DNS_DNSKEY) && dns_key_signs(&ksk, DNS_CDS));
	assert_true(dns_key_signs(&zsk, DNS_A) && dns_key_signs(&zsk, DNS_NSEC));
	assert_false(dns_key_signs(&ksk, DNS_A) || dns_key_signs(&zsk, DNS_DNSKEY));
	zsk.signs = false;
	assert_false(dns_key_signs(&zsk, DNS_A));
	dns_key_fini(&ksk);
	dns_key_fini(&zsk);
}

/* Two addresses, the greater first. */
static const struct dns_set *addresses(struct dns_sets *s)
{
	assert_true(dns_sets_add(s, DNS_A, 300, "\xc0\0\2\x52", 4));
	assert_true(dns_sets_add(s, DNS_A, 300, "\xc0\0\2\x09", 4));
	return dns_sets_close(s);
}

static bool verified(const struct dns_key *k, const void *text, size_t n, const uint8_t *numbers)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t *der = NULL;

	assert_true(ECDSA_SIG_set0(sig, BN_bin2bn(numbers, 32, NULL),
	                           BN_bin2bn(numbers + 32, 32, NULL)));
	int len = i2d_ECDSA_SIG(sig, &der);
	bool good = EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
	            EVP_DigestVerify(c, der, (size_t)len, text, n) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(c);
	ECDSA_SIG_free(sig);
	return good;
}

/* Records are in the order of their data, whatever the order they were put in (RFC 4034 6.3). */
static void a_signature(void **state)
{
	struct dns_key k = key(DNS_KEY_ZSK);
	struct dns_signer *s = dns_signer_new(16);
	struct dns_sets sets = { 0 };
	static const char owner[] = "\1a" ORIGIN;
	static const char head[] = "\0\1\x0d\3\0\0\1\x2c";
	static const char records[] = "\1a" ORIGIN "\0\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\x09"
				      "\1a" ORIGIN "\0\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\x52";
	uint8_t rrsig[DNS_RRSIG_ROOM], text[200];
	size_t n = dns_sign(s, &k, (const uint8_t *)ORIGIN, ORIGIN_LEN, (const uint8_t *)owner,
	                    sizeof(owner) - 1, addresses(&sets), NOW, rrsig);
	size_t begin = 18 + ORIGIN_LEN + 1;

	(void)state;
	assert_int_equal(n, begin + 64);
	assert_memory_equal(rrsig, head, 8);
	assert_memory_equal(rrsig + 16, "\xd9\x5f" ORIGIN,
	                    2 + ORIGIN_LEN + 1); /* flags 256: one less than the RFC's tag */
	memcpy(text, rrsig, begin);
	memcpy(text + begin, records, sizeof(records) - 1);
	assert_true(verified(&k, text, begin + sizeof(records) - 1, rrsig + begin));
	text[begin + 1] ^= 1;
	assert_false(verified(&k, text, begin + sizeof(records) - 1, rrsig + begin));
	dns_sets_fini(&sets);
	dns_signer_free(s);
	dns_key_fini(&k);
}

static void remembered(void **state)
{
	struct dns_key k = key(DNS_KEY_ZSK);
	struct dns_signer *s = dns_signer_new(16);
	struct dns_sets sets = { 0 };
	const struct dns_set *set = addresses(&sets);
	static const char wild[] = "\1*" ORIGIN;
	uint32_t from = NOW - NOW % DNS_SIGN_PERIOD_S;
	uint8_t one[DNS_RRSIG_ROOM], two[DNS_RRSIG_ROOM];
	const uint8_t *origin = (const uint8_t *)ORIGIN, *owner = (const uint8_t *)wild;
	size_t n = dns_sign(s, &k, origin, ORIGIN_LEN, owner, sizeof(wild) - 1, set, from, one);

	(void)state;
	assert_int_equal(one[3], 2); /* without the "*": RFC 4034 3.1.3 */
	dns_sign(s, &k, origin, ORIGIN_LEN, owner, sizeof(wild) - 1, set,
	         from + DNS_SIGN_PERIOD_S - 1, two);
	assert_memory_equal(one, two, n);
	dns_sign(s, &k, origin, ORIGIN_LEN, owner, sizeof(wild) - 1, set, from + DNS_SIGN_PERIOD_S,
	         two);
	assert_memory_not_equal(one, two, n);
	assert_true(memcmp(one + 8, two + 8, 4) < 0); /* it ends later */
	dns_sets_fini(&sets);
	dns_signer_free(s);
	dns_key_fini(&k);
}

static void types(void **state)
{
	uint8_t to[DNS_TYPES_ROOM];

	(void)state;
	/* window 0: RRSIG 46, NSEC 47 in byte 5; NXNAME 128 in byte 16 */
	assert_int_equal(dns_data_types(NULL, DNS_OWNER, to), 8);
	assert_memory_equal(to, "\0\6\0\0\0\0\0\3", 8);
	assert_int_equal(dns_data_types(NULL, DNS_OWNER_MISSING, to), 19);
	assert_memory_equal(to, "\0\x11\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\x80", 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key),       cmocka_unit_test(which_key),
		cmocka_unit_test(a_signature), cmocka_unit_test(remembered),
		cmocka_unit_test(types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
