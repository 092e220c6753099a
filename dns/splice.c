/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See splice.h.
 */
#include "dns/splice.h"

#include "dns/out.h"
#include "dns/zone.h"

#define POINTERS_MAX 126 /* RFC 9267: a name of 127 labels has no more */
#define OPT_BYTES    11u

struct in {
	const uint8_t *p;
	size_t len, at;
};

/* Reads a name at in->at, written out into `to` without the root's label; moves past it. -1: malformed. */
static int read_name(struct in *in, uint8_t to[DNS_NAME_MAX])
{
	size_t at = in->at, floor = at, n = 0;
	bool jumped = false;

	for (int hops = 0;;) {
		if (at >= in->len) {
			return -1;
		}
		uint8_t c = in->p[at];
		if (c >= 0xc0) {
			if (at + 2 > in->len || ++hops > POINTERS_MAX) {
				return -1;
			}
			size_t to_at = (size_t)(c & 0x3f) << 8 | in->p[at + 1];
			if (!jumped) {
				in->at = at + 2;
				jumped = true;
			}
			if (to_at >= floor) { /* backwards only, and further each time */
				return -1;
			}
			at = floor = to_at;
			continue;
		}
		if (c == 0) {
			in->at = jumped ? in->at : at + 1;
			return (int)n;
		}
		if (c > DNS_LABEL_MAX || at + 1 + c > in->len || n + 1 + c > DNS_NAME_MAX) {
			return -1;
		}
		memcpy(to + n, in->p + at, (size_t)c + 1);
		n += (size_t)c + 1;
		at += (size_t)c + 1;
	}
}

/* Where the target of the aliases so far stands in the message, to which pointers may lead. */
struct target {
	uint8_t name[DNS_NAME_MAX];
	size_t len, at;
};

/* How many bytes stand before the first name in a type's data, and how many names there are (RFC 3597 4: types of
 * RFC 1035 may be compressed, others are copied). */
static bool data_names(uint16_t type, size_t *before, int *names)
{
	*before = type == DNS_MX ? 2 : type == DNS_SRV ? 6 : 0;
	*names = type == DNS_SOA ? 2 : 1;
	return type == DNS_NS || type == DNS_CNAME || type == DNS_PTR || type == DNS_MX ||
	       type == DNS_SRV || type == DNS_SOA || type == DNS_DNAME;
}

/* The data of a record at in->at, `n` bytes, into `to`; -1: malformed. */
static int read_data(struct in *in, uint16_t type, size_t n, uint8_t *to, size_t room)
{
	size_t before, end = in->at + n, m = 0;
	int names;

	if (!data_names(type, &before, &names)) {
		if (n > room) {
			return -1;
		}
		memcpy(to, in->p + in->at, n);
		in->at = end;
		return (int)n;
	}
	if (n < before) {
		return -1;
	}
	memcpy(to, in->p + in->at, before);
	in->at += before;
	m = before;
	for (; names > 0; names--) {
		int len = read_name(in, to + m);

		if (len < 0 || in->at > end) {
			return -1;
		}
		m += (size_t)len;
		to[m++] = 0;
	}
	memcpy(to + m, in->p + in->at, end - in->at);
	m += end - in->at;
	in->at = end;
	return (int)m;
}

/* One record from `in` to `o`; false: malformed. Other classes are left out. */
static bool copy_record(struct in *in, struct out *o, const struct target *t, unsigned *count)
{
	static uint8_t data[65535 + 600];
	uint8_t owner[DNS_NAME_MAX], low[DNS_NAME_MAX];
	int len = read_name(in, owner);

	if (len < 0 || in->at + 10 > in->len) {
		return false;
	}
	const uint8_t *p = in->p + in->at;
	uint16_t type = dns_get16(p), class = dns_get16(p + 2), n = dns_get16(p + 8);
	uint32_t ttl = (uint32_t)dns_get16(p + 4) << 16 | dns_get16(p + 6);
	in->at += 10;
	if (in->at + n > in->len) {
		return false;
	}
	int m = read_data(in, type, n, data, sizeof(data));
	if (m < 0 || m > UINT16_MAX) {
		return false;
	}
	if (class != 1) {
		return true;
	}
	dns_lower(low, owner, (size_t)len);
	bool same = (size_t)len == t->len && memcmp(low, t->name, t->len) == 0;
	if (out_name(o, owner, (size_t)len, same ? t->at : SIZE_MAX) &&
	    out_record(o, type, ttl & 0x7fffffff, data, (uint16_t)m)) {
		(*count)++;
	}
	return true;
}

/* The name that the last alias leads to, or the question's. false: `begun` is not what it should be. */
static bool find_target(const uint8_t *begun, size_t len, struct target *t, size_t *question_end)
{
	struct in in = { begun, len, DNS_HEADER };
	uint8_t name[DNS_NAME_MAX];
	int n = len >= DNS_HEADER ? read_name(&in, name) : -1;

	if (n < 0 || in.at + 4 > len) {
		return false;
	}
	t->at = DNS_HEADER;
	t->len = (size_t)n;
	*question_end = in.at + 4;
	in.at = *question_end;
	for (unsigned i = dns_get16(begun + 6); i > 0; i--) {
		uint8_t owner[DNS_NAME_MAX];

		if (read_name(&in, owner) < 0 || in.at + 10 > len) {
			return false;
		}
		uint16_t type = dns_get16(begun + in.at), data = dns_get16(begun + in.at + 8);
		in.at += 10;
		struct in at = in;
		n = type == DNS_CNAME ? read_name(&at, name) : n;
		if (n < 0 || in.at + data > len) {
			return false;
		}
		if (type == DNS_CNAME) {
			t->at = in.at;
			t->len = (size_t)n;
		}
		in.at += data;
	}
	dns_lower(t->name, name, t->len);
	return in.at == len;
}

/* Passes over the other's question. */
static bool skip_question(struct in *in)
{
	uint8_t name[DNS_NAME_MAX];

	if (in->len < DNS_HEADER || !(in->p[2] & 0x80) || dns_get16(in->p + 4) > 1) {
		return false;
	}
	in->at = DNS_HEADER;
	if (dns_get16(in->p + 4) == 1) {
		if (read_name(in, name) < 0 || in->at + 4 > in->len) {
			return false;
		}
		in->at += 4;
	}
	return true;
}

static bool copy_said(struct in *in, struct out *o, const struct target *t)
{
	if (!skip_question(in)) {
		return false;
	}
	for (unsigned i = dns_get16(in->p + 6); i > 0 && !o->full; i--) {
		if (!copy_record(in, o, t, &o->answers)) {
			return false;
		}
	}
	for (unsigned i = dns_get16(in->p + 8); i > 0 && !o->full; i--) {
		if (!copy_record(in, o, t, &o->authority)) {
			return false;
		}
	}
	return true;
}

size_t dns_splice(const uint8_t *begun, size_t begun_len, const uint8_t *said, size_t said_len,
                  bool edns, size_t limit, uint8_t *out)
{
	struct out o = { .p = out, .n = begun_len, .limit = limit - (edns ? OPT_BYTES : 0) };
	struct in in = { said, said_len, 0 };
	struct target t;
	size_t question_end;
	unsigned rcode = DNS_SERVFAIL;

	if (begun_len > o.limit || !find_target(begun, begun_len, &t, &question_end)) {
		return 0;
	}
	memcpy(out, begun, begun_len);
	o.answers = dns_get16(begun + 6);
	if (said && copy_said(&in, &o, &t)) {
		rcode = said[3] & 15;
	} else {
		o.full = false;
		o.n = question_end;
		o.answers = o.authority = 0;
	}
	if (o.full) {
		o.n = question_end;
		o.answers = o.authority = 0;
	}
	out[2] = (uint8_t)(0x80 | (begun[2] & 0x79) | (o.full ? 2 : 0));
	out[3] = (uint8_t)(0x80 | rcode);
	dns_put16(out + 6, o.answers);
	dns_put16(out + 8, o.authority);
	dns_put16(out + 10, edns);
	if (edns) {
		memset(out + o.n, 0, OPT_BYTES);
		dns_put16(out + o.n + 1, DNS_OPT);
		dns_put16(out + o.n + 3, DNS_UDP_MAX);
		o.n += OPT_BYTES;
	}
	return o.n;
}
