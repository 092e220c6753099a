/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Server cookies as RFC 9018 has them: version 1, a time, and SipHash-2-4 over both, the client's cookie
 * and address; so that servers that share a secret take each other's. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_COOKIE_SERVER 16u /* bytes of a server cookie; the client's has 8 */

/* The newest secret makes cookies, all of them are good (RFC 7873 7.1: roll-over). */
struct dns_secrets {
	uint8_t key[3][16];
	unsigned n;
};

uint64_t dns_siphash(const uint8_t key[16], const uint8_t *p, size_t n);
/* The server's part for a client's cookie (8 bytes) and address (4 or 16), at `now_s` (RFC 9018 4.3: seconds,
 * of 32 bits). */
void dns_cookie_make(const struct dns_secrets *s, const uint8_t client[8], const uint8_t *addr,
                     size_t addr_len, uint32_t now_s, uint8_t to[DNS_COOKIE_SERVER]);
/* Is the option's value (client's part and server's, 24 bytes) one that was made here, an hour ago at most? */
bool dns_cookie_good(const struct dns_secrets *s, const uint8_t *cookie, size_t len,
                     const uint8_t *addr, size_t addr_len, uint32_t now_s);
