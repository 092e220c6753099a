/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See cookie.h.
 */
#include "dns/cookie.h"

#include <endian.h>
#include <string.h>

#include "lib/kernel/names_map.h"

#define OLD_S   3600 /* RFC 9018 4.3 */
#define AHEAD_S 300

static uint64_t read_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0) {
		v = v << 8 | p[n];
	}
	return v;
}

uint64_t dns_siphash(const uint8_t key[16], const uint8_t *p, size_t n)
{
	uint64_t k0 = read_le(key, 8), k1 = read_le(key + 8, 8), last = (uint64_t)n << 56;
	uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
		          k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t m;

		memcpy(&m, p, 8);
		m = le64toh(m);
		v[3] ^= m;
		SIP_ROUND(v);
		SIP_ROUND(v);
		v[0] ^= m;
	}
	last |= read_le(p, n);
	v[3] ^= last;
	SIP_ROUND(v);
	SIP_ROUND(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++) {
		SIP_ROUND(v);
	}
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The hash over the client's cookie, what stands before the hash in the server's, and the address. */
static void put_hash(const uint8_t key[16], const uint8_t client[8], const uint8_t head[8],
                     const uint8_t *addr, size_t addr_len, uint8_t to[8])
{
	uint8_t text[8 + 8 + 16];

	memcpy(text, client, 8);
	memcpy(text + 8, head, 8);
	memcpy(text + 16, addr, addr_len);
	uint64_t h = dns_siphash(key, text, 16 + addr_len);
	for (int i = 0; i < 8; i++) {
		to[i] = (uint8_t)(h >> 8 * i);
	}
}

void dns_cookie_make(const struct dns_secrets *s, const uint8_t client[8], const uint8_t *addr,
                     size_t addr_len, uint32_t now_s, uint8_t to[DNS_COOKIE_SERVER])
{
	uint8_t head[8] = { 1,
		            0,
		            0,
		            0,
		            (uint8_t)(now_s >> 24),
		            (uint8_t)(now_s >> 16),
		            (uint8_t)(now_s >> 8),
		            (uint8_t)now_s };

	memcpy(to, head, 8);
	put_hash(s->key[0], client, head, addr, addr_len, to + 8);
}

bool dns_cookie_good(const struct dns_secrets *s, const uint8_t *cookie, size_t len,
                     const uint8_t *addr, size_t addr_len, uint32_t now_s)
{
	const uint8_t *head = cookie + 8;
	uint8_t hash[8];

	if (len != 8 + DNS_COOKIE_SERVER || head[0] != 1) {
		return false;
	}
	uint32_t made = (uint32_t)head[4] << 24 | (uint32_t)head[5] << 16 | (uint32_t)head[6] << 8 |
	                head[7];
	int32_t age = (int32_t)(now_s - made);
	if (age > OLD_S || age < -AHEAD_S) {
		return false;
	}
	for (unsigned i = 0; i < s->n; i++) {
		uint8_t differs = 0;

		put_hash(s->key[i], cookie, head, addr, addr_len, hash);
		for (int k = 0; k < 8; k++) { /* in constant time */
			differs |= (uint8_t)(hash[k] ^ head[8 + k]);
		}
		if (!differs) {
			return true;
		}
	}
	return false;
}
