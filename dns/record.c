/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See record.h.
 */
#include "dns/record.h"

#include <string.h>

#include "dns/query.h"
#include "dns/zone.h"

static bool fixed_length(uint16_t type)
{
	return type == DNS_A || type == DNS_AAAA;
}

static bool has_record(const struct dns_set *set, const struct buf *b, const void *data, size_t len)
{
	struct dns_set s = *set;
	const uint8_t *p;
	uint16_t n;

	if (b->len == 0) {
		return false;
	}
	s.data = b->data;
	s.end = b->data + b->len;
	while ((p = dns_set_next(&s, &n))) {
		if (n == len && memcmp(p, data, len) == 0) {
			return true;
		}
	}
	return false;
}

bool dns_sets_add(struct dns_sets *s, uint16_t type, uint32_t ttl_s, const void *data, size_t len)
{
	uint16_t n = (uint16_t)len;
	size_t i = 0;

	while (i < s->n && s->v[i].type != type) {
		i++;
	}
	if (i == DNS_SETS_MAX || len > UINT16_MAX) {
		return false;
	}
	if (i == s->n) {
		s->v[s->n++] = (struct dns_set){ .type = type, .ttl_s = ttl_s };
	}
	if (has_record(&s->v[i], &s->data[i], data, len)) {
		return true;
	}
	if (s->v[i].count == DNS_SET_MAX) {
		return false;
	}
	if (!fixed_length(type)) {
		buf_add(&s->data[i], &n, 2);
	}
	buf_add(&s->data[i], data, len);
	s->v[i].count++;
	return !s->data[i].failed;
}

const struct dns_set *dns_sets_close(struct dns_sets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		s->v[i].data = s->data[i].data;
		s->v[i].end = s->data[i].data + s->data[i].len;
	}
	return s->v;
}

void dns_sets_clear(struct dns_sets *s)
{
	for (size_t i = 0; i < s->n; i++) {
		buf_clear(&s->data[i]);
	}
	s->n = 0;
}

void dns_sets_fini(struct dns_sets *s)
{
	for (size_t i = 0; i < DNS_SETS_MAX; i++) {
		buf_fini(&s->data[i]);
	}
	s->n = 0;
}

/* A name with its root's label that ends within `len`; what follows it, NULL: none. */
static const uint8_t *skip_name(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len && p[n] != 0) {
		n += p[n] + 1u;
	}
	return n < len && dns_name_valid(p, n) ? p + n + 1 : NULL;
}

static bool record_valid(uint16_t type, const uint8_t *p, uint16_t n)
{
	const uint8_t *end = p + n;

	switch (type) {
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_DNAME:
		return skip_name(p, n) == end;
	case DNS_MX:
		return n > 2 && skip_name(p + 2, n - 2u) == end;
	case DNS_SRV:
		return n > 6 && skip_name(p + 6, n - 6u) == end;
	case DNS_SOA:
		p = skip_name(p, n);
		p = p ? skip_name(p, (size_t)(end - p)) : NULL;
		return p && end - p == 20;
	default:
		return true;
	}
}

bool dns_set_valid(const struct dns_set *set)
{
	struct dns_set s = *set;
	const uint8_t *p;
	unsigned count = 0;
	uint16_t n;

	if (fixed_length(s.type)) {
		return s.end - s.data == s.count * (s.type == DNS_A ? 4 : 16) && s.count > 0;
	}
	while (s.end - s.data >= 2) {
		p = dns_set_next(&s, &n);
		if (s.data > s.end || !record_valid(s.type, p, n)) {
			return false;
		}
		count++;
	}
	return s.data == s.end && count == s.count && count > 0 && s.type != 0;
}

int dns_data_name(const char *text, uint8_t to[DNS_NAME_MAX + 1])
{
	int n = dns_name_parse(text, to);

	if (n < 0) {
		return -1;
	}
	to[n] = 0;
	return n + 1;
}

int dns_data_soa(const char *server, const char *mail, const uint32_t times[4], uint8_t to[600])
{
	int n = dns_data_name(server, to), m = n < 0 ? -1 : dns_data_name(mail, to + n);

	if (m < 0) {
		return -1;
	}
	n += m;
	memset(to + n, 0, 4);
	for (int i = 0; i < 4; i++) {
		dns_put32(to + n + 4 + 4 * i, times[i]);
	}
	return n + 20;
}

int dns_data_txt(const char *text, uint8_t *to, size_t room)
{
	size_t left = strlen(text), n = 0;

	do {
		size_t piece = left < 255 ? left : 255;

		if (n + 1 + piece > room) {
			return -1;
		}
		to[n++] = (uint8_t)piece;
		memcpy(to + n, text, piece);
		n += piece;
		text += piece;
		left -= piece;
	} while (left > 0);
	return (int)n;
}

void dns_data_lower(uint16_t type, uint8_t *data, size_t len)
{
	enum {
		MINFO = 14,
		RP = 17,
		AFSDB = 18,
		RT = 21,
		PX = 26,
		NAPTR = 35,
		KX = 36
	};
	size_t from = 0, end = len;

	switch (type) {
	case DNS_SOA:
		end = len > 20 ? len - 20 : 0;
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_DNAME:
	case MINFO:
	case RP:
		break;
	case DNS_MX:
	case AFSDB:
	case RT:
	case PX:
	case KX:
		from = 2;
		break;
	case DNS_SRV:
		from = 6;
		break;
	case NAPTR:
		from = 4;
		for (int i = 0; i < 3 && from < len; i++) { /* flags, services, expression */
			from += data[from] + 1u;
		}
		break;
	default:
		return;
	}
	if (from < end) { /* lengths of labels are below 'A' */
		dns_lower(data + from, data + from, end - from);
	}
}

uint32_t dns_negative_ttl(const struct dns_set *soa)
{
	struct dns_set s = *soa;
	uint16_t n;
	const uint8_t *p = dns_set_next(&s, &n);
	uint32_t minimum =
		p && n >= 20 ? (uint32_t)dns_get16(p + n - 4) << 16 | dns_get16(p + n - 2) : 0;

	return minimum < soa->ttl_s ? minimum : soa->ttl_s;
}

size_t dns_data_types(const struct dns_found *f, enum dns_owner owner, uint8_t to[DNS_TYPES_ROOM])
{
	uint8_t windows[256][32] = { { 0 } };
	uint8_t used[256] = { 0 };
	const uint16_t more[] = { DNS_RRSIG, DNS_NSEC, DNS_NXNAME };
	struct dns_set s;
	size_t at = 0, n = 0;

	for (size_t i = 0; i < (owner == DNS_OWNER_MISSING ? 3u : 2u); i++) {
		windows[0][more[i] / 8] |= (uint8_t)(0x80 >> more[i] % 8);
		used[0] = more[i] / 8 + 1 > used[0] ? (uint8_t)(more[i] / 8 + 1) : used[0];
	}
	while (f && dns_found_next(f, &at, &s)) {
		unsigned w = s.type >> 8, byte = (s.type & 0xff) / 8;

		if (owner == DNS_OWNER_CUT && s.type != DNS_NS && s.type != DNS_DS) {
			continue;
		}
		windows[w][byte] |= (uint8_t)(0x80 >> s.type % 8);
		used[w] = byte + 1 > used[w] ? (uint8_t)(byte + 1) : used[w];
	}
	for (unsigned w = 0; w < 256; w++) {
		if (used[w]) {
			to[n++] = (uint8_t)w;
			to[n++] = used[w];
			memcpy(to + n, windows[w], used[w]);
			n += used[w];
		}
	}
	return n;
}
