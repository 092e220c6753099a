/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Names in wire format (RFC 1035 3.1): labels, each behind its length. Here they are in lower case and
 * without the root's empty label, so that the length of the root is 0 and a name inside a zone is what
 * stands before the zone's own. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_NAME_MAX  254  /* bytes without the root's label (RFC 1035 2.3.4: 255 with it) */
#define DNS_NAME_TEXT 1020 /* room for any printed name: four characters a byte */
#define DNS_LABEL_MAX 63

/* Text of a master file (RFC 1035 5.1: \. \\ \DDD) to wire; a last dot may be there. "." is the root. The
 * length, or -1 for what is no name: empty or long labels, too long. */
int dns_name_parse(const char *text, uint8_t to[DNS_NAME_MAX]);
/* The name as text, without a last dot; "." is the root. Returns `to`. */
const char *dns_name_print(const uint8_t *name, size_t len, char to[static DNS_NAME_TEXT]);
/* Copies bytes in lower case (RFC 4343: letters of ASCII only). */
void dns_lower(uint8_t *to, const uint8_t *from, size_t n);
/* How many labels. */
unsigned dns_name_labels(const uint8_t *name, size_t len);
/* Does `name` end with `suffix`, at a label? Any name ends with the root. */
bool dns_name_under(const uint8_t *name, size_t len, const uint8_t *suffix, size_t n);
/* Is it well-formed: labels of 1 to 63 bytes that fill `len`, and not longer than a name may be? */
bool dns_name_valid(const uint8_t *name, size_t len);
/* The reverse name (RFC 1035 3.5, 3596 2.5) of an address's first `parts` octets (family 4, of 4) or nibbles (6, of
 * 32): all of them name the address, fewer a zone. Returns the length. */
size_t dns_name_reverse(unsigned family, const uint8_t *addr, unsigned parts,
                        uint8_t to[DNS_NAME_MAX]);
