/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See query.h.
 */
#include "dns/query.h"

#include <stddef.h>
#include <string.h>

#include "dns/zone.h"

enum option {
	OPTION_NSID = 3,
	OPTION_COOKIE = 10,
	OPTION_KEEPALIVE = 11
};
enum opcode {
	OPCODE_QUERY = 0,
	OPCODE_NOTIFY = 4,
	OPCODE_UPDATE = 5
};
#define FLAG_DO 0x8000u
#define FLAG_CO 0x4000u

/* Labels are copied as they are read; RFC 9267: a question needs no pointers. */
static int read_question(struct dns_query *q, const uint8_t *p, size_t len)
{
	size_t at = DNS_HEADER, n = 0;

	while (at < len && p[at] != 0) {
		size_t label = p[at] + 1u;

		if (label > DNS_LABEL_MAX + 1 || n + label > DNS_NAME_MAX || at + label > len) {
			return DNS_FORMERR;
		}
		at += label;
		n += label;
	}
	if (at + 5 > len) {
		return DNS_FORMERR;
	}
	dns_lower(q->name, p + DNS_HEADER, n); /* lengths are below 'A' */
	q->name_len = n;
	q->type = dns_get16(p + at + 1);
	q->class = dns_get16(p + at + 3);
	q->question_end = at + 5;
	return DNS_NOERROR;
}

/* RFC 6891 6.1.2: those that are not known are passed over. RFC 7873 5.2.2: a cookie of another length is
 * malformed. */
static int read_options(struct dns_query *q, const uint8_t *p, size_t len)
{
	while (len > 0) {
		if (len < 4 || len - 4 < dns_get16(p + 2)) {
			return DNS_FORMERR;
		}
		size_t n = dns_get16(p + 2);

		switch (dns_get16(p)) {
		case OPTION_NSID:
			q->nsid = true;
			break;
		case OPTION_KEEPALIVE:
			q->keepalive = true;
			break;
		case OPTION_COOKIE:
			if (n != 8 && (n < 16 || n > DNS_COOKIE_MAX)) {
				return DNS_FORMERR;
			}
			if (q->cookie_len == 0) {
				memcpy(q->cookie, p + 4, n);
				q->cookie_len = (uint8_t)n;
			}
			break;
		default:
			break;
		}
		p += 4 + n;
		len -= 4 + n;
	}
	return DNS_NOERROR;
}

/* The end of a name without pointers; 0: it is none. */
static size_t name_end(const uint8_t *p, size_t len, size_t at)
{
	while (at < len && p[at] != 0 && p[at] <= DNS_LABEL_MAX) {
		at += p[at] + 1u;
	}
	return at < len && p[at] == 0 ? at + 1 : 0;
}

/* One OPT at most, at the root; a TSIG at the end. Other records at the root are passed over, others at names are not
 * spoken. */
static int read_additional(struct dns_query *q, const uint8_t *p, size_t len, size_t at,
                           unsigned records)
{
	while (records--) {
		size_t name = name_end(p, len, at);

		if (name > 0 && records == 0 && name + 10 <= len &&
		    dns_get16(p + name) == DNS_TSIG) {
			q->tsig_at = at; /* checked by who has the keys (tsig.h) */
			return DNS_NOERROR;
		}
		if (at + 11 > len || p[at] != 0) {
			return DNS_FORMERR;
		}
		uint16_t type = dns_get16(p + at + 1), n = dns_get16(p + at + 9);
		if (at + 11 + n > len) {
			return DNS_FORMERR;
		}
		if (type == DNS_TSIG) {
			return DNS_FORMERR; /* RFC 8945 5.1: the last, or malformed */
		}
		if (type == DNS_OPT) {
			if (q->edns) {
				return DNS_FORMERR; /* RFC 6891 6.1.1 */
			}
			q->edns = true;
			q->edns_size = dns_get16(p + at + 3);
			q->edns_version = p[at + 6];
			q->dnssec = dns_get16(p + at + 7) & FLAG_DO;
			q->compact = dns_get16(p + at + 7) & FLAG_CO;
			if (q->edns_version == 0 &&
			    read_options(q, p + at + 11, n) != DNS_NOERROR) {
				return DNS_FORMERR;
			}
		}
		at += 11u + n;
	}
	return at == len ? DNS_NOERROR : DNS_FORMERR;
}

/* Moves past a name, which may end in a pointer. */
static size_t skip_name(const uint8_t *p, size_t len, size_t at)
{
	while (at < len && p[at] != 0 && p[at] <= DNS_LABEL_MAX) {
		at += p[at] + 1u;
	}
	return at < len && p[at] == 0 ? at + 1 : at + 1 < len && p[at] >= 0xc0 ? at + 2 : len + 1;
}

/* The SOA record of an IXFR query (RFC 1995 3), which begins at `at`: its serial, and what follows it. */
static bool read_soa(const uint8_t *packet, size_t len, size_t at, uint32_t *serial, size_t *end)
{
	at = skip_name(packet, len, at);
	if (at + 10 > len || dns_get16(packet + at) != DNS_SOA) {
		return false;
	}
	size_t n = dns_get16(packet + at + 8);
	if (at + 10 + n > len || n < 22) {
		return false;
	}
	*end = at + 10 + n;
	*serial = (uint32_t)dns_get16(packet + *end - 20) << 16 | dns_get16(packet + *end - 18);
	return true;
}

int dns_query_read(struct dns_query *q, const uint8_t *p, size_t len)
{
	memset(q, 0, offsetof(struct dns_query, name));
	q->question_end = DNS_HEADER;
	if (len < DNS_HEADER || p[2] & 0x80) {
		return DNS_DROP;
	}
	q->opcode = p[2] >> 3 & 15;
	q->recursion = p[2] & 1;
	if (q->opcode == OPCODE_UPDATE || q->opcode == OPCODE_NOTIFY) {
		return DNS_REFUSED;
	}
	if (q->opcode != OPCODE_QUERY) {
		return DNS_NOTIMP;
	}
	unsigned questions = dns_get16(p + 4), more = dns_get16(p + 10), known = dns_get16(p + 8);
	if (questions > 1 || dns_get16(p + 6) ||
	    (questions == 1 && read_question(q, p, len) != DNS_NOERROR)) {
		return DNS_FORMERR; /* RFC 9619 */
	}
	size_t at = q->question_end;
	if (known > 0 &&
	    (known > 1 || q->type != DNS_IXFR || !read_soa(p, len, at, &q->serial, &at))) {
		return DNS_FORMERR;
	}
	if (read_additional(q, p, len, at, more) != DNS_NOERROR) {
		q->edns = false;
		return DNS_FORMERR;
	}
	if (q->edns_version) {
		return DNS_BADVERS;
	}
	if (questions == 0 && !q->cookie_len) {
		return DNS_FORMERR; /* RFC 7873 5.4: without a question, only a cookie is asked for */
	}
	return DNS_NOERROR;
}
