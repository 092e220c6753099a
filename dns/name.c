/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See name.h.
 */
#include "dns/name.h"

#include <stdio.h>
#include <string.h>

void dns_lower(uint8_t *to, const uint8_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		to[i] = (uint8_t)((uint8_t)(from[i] - 'A') < 26 ? from[i] | 0x20 : from[i]);
	}
}

/* One byte of a label; moves *p on. -1: a bad escape. */
static int read_byte(const char **p)
{
	const char *s = *p;
	unsigned v = 0;

	if (*s != '\\') {
		*p = s + 1;
		return (uint8_t)*s;
	}
	if (s[1] < '0' || s[1] > '9') {
		*p = s + 2;
		return s[1] ? (uint8_t)s[1] : -1;
	}
	for (int i = 1; i <= 3; i++) {
		if (s[i] < '0' || s[i] > '9') {
			return -1;
		}
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	*p = s + 4;
	return v < 256 ? (int)v : -1;
}

int dns_name_parse(const char *text, uint8_t to[DNS_NAME_MAX])
{
	size_t n = 0;

	if (strcmp(text, ".") == 0) {
		return 0;
	}
	while (*text) {
		size_t label = n++;

		while (*text && *text != '.') {
			int c = read_byte(&text);

			if (c < 0 || n >= DNS_NAME_MAX || n - label > DNS_LABEL_MAX) {
				return -1;
			}
			to[n++] = (uint8_t)c;
		}
		if (n - label == 1 || label >= DNS_NAME_MAX) {
			return -1;
		}
		to[label] = (uint8_t)(n - label - 1);
		dns_lower(to + label + 1, to + label + 1, n - label - 1);
		text += *text == '.';
	}
	return n > 0 ? (int)n : -1;
}

const char *dns_name_print(const uint8_t *name, size_t len, char to[static DNS_NAME_TEXT])
{
	char *p = to;

	for (size_t at = 0; at < len;) {
		size_t end = at + 1 + name[at];

		if (at > 0) {
			*p++ = '.';
		}
		for (at++; at < end && at < len; at++) {
			uint8_t c = name[at];

			if (c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' ||
			    c == '@' || c == '$') {
				*p++ = '\\';
				*p++ = (char)c;
			} else if (c > 0x20 && c < 0x7f) {
				*p++ = (char)c;
			} else {
				p += snprintf(p, 5, "\\%03u", c);
			}
		}
	}
	if (len == 0) {
		*p++ = '.';
	}
	*p = '\0';
	return to;
}

unsigned dns_name_labels(const uint8_t *name, size_t len)
{
	unsigned n = 0;

	for (size_t at = 0; at < len; at += (size_t)name[at] + 1) {
		n++;
	}
	return n;
}

bool dns_name_under(const uint8_t *name, size_t len, const uint8_t *suffix, size_t n)
{
	size_t at = 0;

	if (n > len || memcmp(name + len - n, suffix, n) != 0) {
		return false;
	}
	while (at < len - n) {
		at += (size_t)name[at] + 1;
	}
	return at == len - n;
}

bool dns_name_valid(const uint8_t *name, size_t len)
{
	size_t at = 0;

	while (at < len && name[at] > 0 && name[at] <= DNS_LABEL_MAX) {
		at += (size_t)name[at] + 1;
	}
	return at == len && len <= DNS_NAME_MAX;
}

size_t dns_name_reverse(unsigned family, const uint8_t *addr, unsigned parts,
                        uint8_t to[DNS_NAME_MAX])
{
	static const uint8_t v4[] = "\7in-addr\4arpa", v6[] = "\3ip6\4arpa";
	size_t n = 0;

	while (parts-- > 0) {
		unsigned v =
			family == 4 ? addr[parts] : addr[parts / 2] >> (parts % 2 ? 0 : 4) & 15;
		char text[4];
		int len = snprintf(text, sizeof(text), family == 4 ? "%u" : "%x", v);

		to[n++] = (uint8_t)len;
		memcpy(to + n, text, (size_t)len);
		n += (size_t)len;
	}
	size_t end = family == 4 ? sizeof(v4) - 1 : sizeof(v6) - 1;
	memcpy(to + n, family == 4 ? v4 : v6, end);
	return n + end;
}
