/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From query to answer. Reads untrusted bytes with explicit bounds; a question's name takes no
 * compression pointer at all. Pure: no I/O, no allocation.
 */
#include <string.h>

#include "dns/zone_own.h"

enum {
	TYPE_A = 1,
	TYPE_NS = 2,
	TYPE_SOA = 6,
	TYPE_HINFO = 13,
	TYPE_AAAA = 28,
	TYPE_OPT = 41,
	TYPE_IXFR = 251,
	TYPE_AXFR = 252,
	TYPE_ANY = 255
};
enum {
	RCODE_OK = 0,
	RCODE_FORMERR = 1,
	RCODE_NXDOMAIN = 3,
	RCODE_NOTIMP = 4,
	RCODE_REFUSED = 5,
	RCODE_BADVERS = 16
};
#define HEADER      12
#define UDP_DEFAULT 512
#define UDP_MAX     1232 /* DNS flag day 2020 */

struct query {
	uint8_t name[DNS_NAME_MAX]; /* lower case */
	size_t name_len;
	size_t question_end;
	uint16_t type, class;
	bool edns, edns_bad;
	uint8_t edns_version;
	uint16_t edns_size;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* 0, or -1 when the question cannot be read. */
static int read_question(struct query *q, const uint8_t *p, size_t len)
{
	size_t at = HEADER, n = 0;

	for (;;) {
		if (at >= len || p[at] > 63 || n + p[at] + 1 > DNS_NAME_MAX ||
		    at + 1 + p[at] > len) {
			return -1;
		}
		size_t label = p[at];
		q->name[n++] = p[at++];
		for (size_t i = 0; i < label; i++) {
			uint8_t c = p[at++];

			q->name[n++] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
		}
		if (label == 0) {
			break;
		}
	}
	if (at + 4 > len) {
		return -1;
	}
	q->name_len = n;
	q->type = get16(p + at);
	q->class = get16(p + at + 2);
	q->question_end = at + 4;
	return 0;
}

/* Additional section: one OPT at most, at the root; other records are passed over. */
static int read_edns(struct query *q, const uint8_t *p, size_t len, unsigned records)
{
	size_t at = q->question_end;

	while (records--) {
		if (at + 11 > len) {
			return -1;
		}
		if (p[at] != 0) {
			return -1; /* a name here is TSIG or junk: not spoken */
		}
		uint16_t type = get16(p + at + 1), rdlen = get16(p + at + 9);
		if (at + 11 + rdlen > len) {
			return -1;
		}
		if (type == TYPE_OPT) {
			if (q->edns) {
				return -1; /* RFC 6891 6.1.1 */
			}
			q->edns = true;
			q->edns_size = get16(p + at + 3);
			q->edns_version = p[at + 6];
		}
		at += 11u + rdlen;
	}
	return at == len ? 0 : -1;
}

struct out {
	uint8_t *p;
	size_t n, limit;
	unsigned answers, authority, additional;
	bool full;
};

/* One record; its owner is a compression pointer to offset `owner`. */
static uint8_t *record(struct out *o, uint16_t owner, uint16_t type, uint32_t ttl, size_t rdlen)
{
	if (o->n + 12 + rdlen > o->limit) {
		o->full = true;
		return NULL;
	}
	uint8_t *p = o->p + o->n;
	put16(p, 0xc000u | owner);
	put16(p + 2, type);
	put16(p + 4, 1);
	put32(p + 6, ttl);
	put16(p + 10, (unsigned)rdlen);
	o->n += 12 + rdlen;
	return p + 12;
}

static bool put_soa(struct out *o, const struct dns_zone *z, uint16_t apex)
{
	static const uint32_t times[] = { 3600, 600, 1209600, 5 }; /* refresh .. negative TTL */
	uint8_t *p = record(o, apex, TYPE_SOA, z->ttl_s < 5 ? z->ttl_s : 5, 6 + 13 + 20);

	if (!p) {
		return false;
	}
	memcpy(p, "\3ns1", 4);
	put16(p + 4, 0xc000u | apex);
	memcpy(p + 6, "\12hostmaster", 11);
	put16(p + 17, 0xc000u | apex);
	put32(p + 19, z->serial);
	for (int i = 0; i < 4; i++) {
		put32(p + 23 + 4 * i, times[i]);
	}
	return true;
}

static void put_ns(struct out *o, const struct dns_zone *z, uint16_t apex)
{
	uint8_t *p = record(o, apex, TYPE_NS, z->ttl_s, 6);

	if (p) {
		memcpy(p, "\3ns1", 4);
		put16(p + 4, 0xc000u | apex);
		o->answers++;
	}
}

static void put_addrs(struct out *o, const struct dns_zone *z, const struct dns_name *x,
                      uint16_t type)
{
	unsigned n = type == TYPE_A ? x->n4 : x->n6;

	for (unsigned i = 0; i < n && !o->full; i++) {
		uint8_t *p = record(o, HEADER, type, z->ttl_s, type == TYPE_A ? 4 : 16);

		if (p) {
			memcpy(p, type == TYPE_A ? x->a[i] : x->aaaa[i], type == TYPE_A ? 4 : 16);
			o->answers++;
		}
	}
}

/* RFC 8482: ANY gets one synthesized HINFO. */
static void put_any(struct out *o, const struct dns_zone *z)
{
	uint8_t *p = record(o, HEADER, TYPE_HINFO, z->ttl_s, 9);

	if (p) {
		memcpy(p, "\7RFC8482\0", 9);
		o->answers++;
	}
}

static unsigned fill(const struct dns_zones *z, const struct query *q, struct out *o, bool *aa)
{
	const struct dns_zone *c = dns_zone_of(z, q->name, q->name_len);

	if (!c || q->class != 1 || q->type == TYPE_AXFR || q->type == TYPE_IXFR) {
		return RCODE_REFUSED;
	}
	uint16_t apex = (uint16_t)(HEADER + q->name_len - c->len);
	const struct dns_name *x = dns_find(z, q->name, q->name_len);
	*aa = true;
	if (x && (q->type == TYPE_A || q->type == TYPE_AAAA)) {
		put_addrs(o, c, x, q->type);
	} else if (x && q->name_len == c->len && q->type == TYPE_NS) {
		put_ns(o, c, apex);
	} else if (x && q->name_len == c->len && q->type == TYPE_SOA && put_soa(o, c, apex)) {
		o->answers++;
	} else if (x && q->type == TYPE_ANY && (x->n4 || x->n6 || x->fixed)) {
		put_any(o, c);
	}
	if (o->answers == 0 && !o->full && put_soa(o, c, apex)) {
		o->authority++;
	}
	return x ? RCODE_OK : RCODE_NXDOMAIN;
}

static size_t finish(struct out *o, const uint8_t *query, const struct query *q, unsigned rcode,
                     bool aa, unsigned questions)
{
	if (o->full) { /* truncated: the question alone, TC set */
		o->n = q->question_end;
		o->answers = o->authority = 0;
	}
	memcpy(o->p, query, 2);
	o->p[2] = (uint8_t)(0x80 | (query[2] & 0x79) | (aa ? 4 : 0) | (o->full ? 2 : 0));
	o->p[3] = (uint8_t)(rcode & 15);
	put16(o->p + 4, questions);
	put16(o->p + 6, o->answers);
	put16(o->p + 8, o->authority);
	put16(o->p + 10, q->edns ? 1 : 0);
	if (q->edns) {
		uint8_t *p = o->p + o->n;

		memset(p, 0, 11);
		put16(p + 1, TYPE_OPT);
		put16(p + 3, UDP_MAX);
		p[5] = (uint8_t)(rcode >> 4);
		o->n += 11;
	}
	return o->n;
}

size_t dns_answer(const struct dns_zones *z, const uint8_t *query, size_t len, bool tcp,
                  uint8_t *out, size_t limit)
{
	struct query q = { .question_end = HEADER };
	struct out o = { .p = out, .n = HEADER, .limit = limit };
	unsigned rcode;
	bool aa = false;

	if (len < HEADER || (query[2] & 0x80)) {
		return 0; /* too short to answer, or an answer itself */
	}
	if ((query[2] >> 3 & 15) != 0) {
		return finish(&o, query, &q, RCODE_NOTIMP, false, 0);
	}
	if (get16(query + 4) != 1 || get16(query + 6) || get16(query + 8) ||
	    read_question(&q, query, len) < 0 || read_edns(&q, query, len, get16(query + 10)) < 0) {
		q.edns = false;
		return finish(&o, query, &q, RCODE_FORMERR, false, 0);
	}
	if (!tcp) {
		size_t offered = q.edns && q.edns_size > UDP_DEFAULT ? q.edns_size : UDP_DEFAULT;

		o.limit = offered < UDP_MAX ? offered : UDP_MAX;
		o.limit = o.limit < limit ? o.limit : limit;
	}
	memcpy(out + HEADER, query + HEADER, q.question_end - HEADER);
	o.n = q.question_end;
	o.limit -= q.edns ? 11 : 0;
	rcode = q.edns && q.edns_version ? RCODE_BADVERS : fill(z, &q, &o, &aa);
	return finish(&o, query, &q, rcode, aa, 1);
}
