/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See answer.h.
 */
#include "dns/answer.h"

#include <string.h>

#include "dns/out.h"
#include "dns/record.h"

#define HOPS_MAX 9 /* aliases in a chain, and the name itself */

enum ede {
	EDE_NONE = -1,
	EDE_NOT_AUTHORITATIVE = 20,
	EDE_INVALID_QUERY_TYPE = 30
};

struct answer {
	struct dns_ask *a;
	struct out o;
	bool aa;
	int ede;
	/* the name that is looked for, and where it stands in the packet */
	const uint8_t *name;
	size_t len, at;
};

/* ---- records ---- */

/* Owner: the current name without its first `skip` bytes. */
static bool put_owner(struct answer *x, size_t skip)
{
	return out_name(&x->o, x->name + skip, x->len - skip, x->at + skip);
}

static void put_set(struct answer *x, size_t skip, const struct dns_set *set, unsigned *section)
{
	struct dns_set s = *set;
	const uint8_t *data;
	uint16_t n;

	while (!x->o.full && (data = dns_set_next(&s, &n))) {
		if (put_owner(x, skip) && out_record(&x->o, s.type, s.ttl_s, data, n)) {
			(*section)++;
		}
	}
}

/* ---- signatures ---- */

static bool signs(const struct answer *x, const struct dns_zone *c)
{
	return x->a->q.dnssec && x->a->signer && __atomic_load_n(&c->keys, __ATOMIC_ACQUIRE);
}

/* RRSIG of a set of the zone that was just put, at the current name without its first `skip` bytes. */
static void put_signatures(struct answer *x, const struct dns_zone *c, size_t skip,
                           const struct dns_set *set, uint32_t ttl, unsigned *section)
{
	const struct dns_keys *keys = __atomic_load_n(&c->keys, __ATOMIC_ACQUIRE);
	uint8_t data[DNS_RRSIG_ROOM];

	for (size_t i = 0; keys && i < keys->n && !x->o.full; i++) {
		if (!dns_key_signs(&keys->v[i], set->type)) {
			continue;
		}
		size_t n = dns_sign(x->a->signer, &keys->v[i], c->origin, c->len, x->name + skip,
		                    x->len - skip, set, x->a->now_s, data);
		if (n == 0) {
			x->a->rcode = DNS_SERVFAIL;
		} else if (put_owner(x, skip) &&
		           out_record(&x->o, DNS_RRSIG, ttl, data, (uint16_t)n)) {
			(*section)++;
		}
	}
}

/* A set of the zone, signed when that is wanted. */
static void put_zone_set(struct answer *x, const struct dns_zone *c, size_t skip,
                         const struct dns_set *set, unsigned *section)
{
	put_set(x, skip, set, section);
	if (signs(x, c)) {
		put_signatures(x, c, skip, set, set->ttl_s, section);
	}
}

/* ---- denials ---- */

/* The zone's SOA (RFC 2308 3: in a denial, with the negative TTL). */
static void put_soa(struct answer *x, const struct dns_zone *c, bool denial, unsigned *section)
{
	struct dns_found f;
	struct dns_set s;
	uint16_t n;

	if (!dns_table_find(dns_zones_table(x->a->zones), c->space, c->origin, 0, &f) ||
	    !dns_found_set(&f, DNS_SOA, &s)) {
		return;
	}
	uint32_t negative = dns_negative_ttl(&s);
	const uint8_t *data = dns_set_next(&s, &n);
	if (!data || n < 20 || !put_owner(x, x->len - c->len)) {
		return;
	}
	uint32_t ttl = denial ? negative : s.ttl_s;
	if (!out_record(&x->o, DNS_SOA, ttl, data, n)) {
		return;
	}
	dns_put32(x->o.p + x->o.n - 20, __atomic_load_n(&c->serial, __ATOMIC_ACQUIRE));
	(*section)++;
	if (signs(x, c) && n <= 600) {
		uint8_t copy[602];
		struct dns_set set = { DNS_SOA, 1, s.ttl_s, copy, copy + 2 + n };

		memcpy(copy, &n, 2);
		memcpy(copy + 2, x->o.p + x->o.n - n, n);
		put_signatures(x, c, x->len - c->len, &set, ttl, section);
	}
}

/* Compact denial (RFC 9824): an NSEC record of the name alone, made as it is asked for. `f`: what there is; NULL:
 * no records. */
static void put_nsec(struct answer *x, const struct dns_zone *c, size_t skip,
                     const struct dns_found *f, enum dns_owner owner)
{
	uint8_t data[2 + 2 + DNS_NAME_MAX + 1 + DNS_TYPES_ROOM];
	const uint8_t *name = x->name + skip;
	size_t len = x->len - skip;
	struct dns_found apex;
	struct dns_set soa;
	uint32_t ttl = 0;
	uint16_t n;

	if (!signs(x, c) || x->o.full) {
		return;
	}
	if (len + 2 > DNS_NAME_MAX) { /* no name is left that follows it */
		x->a->rcode = DNS_SERVFAIL;
		return;
	}
	if (dns_table_find(dns_zones_table(x->a->zones), c->space, c->origin, 0, &apex) &&
	    dns_found_set(&apex, DNS_SOA, &soa)) {
		ttl = dns_negative_ttl(&soa);
	}
	memcpy(data + 2, "\1\0", 2);
	memcpy(data + 4, name, len);
	data[4 + len] = 0;
	n = (uint16_t)(len + 3);
	n = (uint16_t)(n + dns_data_types(f, owner, data + 2 + n));
	memcpy(data, &n, 2);
	struct dns_set set = { DNS_NSEC, 1, ttl, data, data + 2 + n };
	put_set(x, skip, &set, &x->o.authority);
	put_signatures(x, c, skip, &set, ttl, &x->o.authority);
}

/* Addresses of name servers that are inside the zone. */
static void put_glue(struct answer *x, const struct dns_zone *c, const struct dns_set *servers)
{
	struct dns_set s = *servers, addr;
	const uint8_t *data;
	uint16_t n;

	while (!x->o.full && (data = dns_set_next(&s, &n))) {
		static const uint16_t types[] = { DNS_A, DNS_AAAA };
		uint8_t name[DNS_NAME_MAX];
		struct dns_found f;
		size_t len = n - 1u; /* without the root's label */

		if (n < 1 || len > DNS_NAME_MAX) {
			continue;
		}
		dns_lower(name, data, len);
		if (!dns_name_under(name, len, c->origin, c->len) ||
		    !dns_table_find(dns_zones_table(x->a->zones), c->space, name, len - c->len,
		                    &f)) {
			continue;
		}
		struct answer glue = *x; /* at its own name, which the packet may not have yet */
		glue.name = name;
		glue.len = len;
		glue.at = SIZE_MAX / 2;
		for (int i = 0; i < 2; i++) {
			if (dns_found_set(&f, types[i], &addr)) {
				put_set(&glue, 0, &addr, &glue.o.additional);
			}
		}
		x->o = glue.o;
	}
}

/* ---- what answers for names below it ---- */

enum step {
	STEP_DONE,
	STEP_ON,     /* nothing of that kind: go on with the name itself */
	STEP_FOLLOW, /* the name is another now */
};

/* A DNAME (RFC 6672): itself, and the alias that follows from it. */
static enum step follow_dname(struct answer *x, const struct dns_zone *c, size_t skip,
                              const struct dns_set *set)
{
	struct dns_set s = *set;
	uint8_t alias[DNS_NAME_MAX + 1];
	uint16_t n;
	const uint8_t *to = dns_set_next(&s, &n);

	if (!to || n < 1 || n > DNS_NAME_MAX + 1) {
		return STEP_DONE;
	}
	put_zone_set(x, c, skip, set, &x->o.answers);
	if (skip + n > DNS_NAME_MAX + 1) {
		x->a->rcode = 6; /* YXDOMAIN: RFC 6672 2.2 */
		return STEP_DONE;
	}
	memcpy(alias, x->name, skip);
	memcpy(alias + skip, to, n);
	if (!put_owner(x, 0) ||
	    !out_record(&x->o, DNS_CNAME, set->ttl_s, alias, (uint16_t)(skip + n))) {
		return STEP_DONE;
	}
	x->o.answers++;
	x->at = x->o.n - (skip + n);
	x->len = skip + n - 1u;
	dns_lower(x->a->target, alias, x->len);
	x->name = x->a->target;
	return STEP_FOLLOW;
}

/* Whether what is delegated is signed: its DS, or that there is none. */
static void put_delegation(struct answer *x, const struct dns_zone *c, size_t skip,
                           const struct dns_found *f)
{
	struct dns_set ds;

	if (dns_found_set(f, DNS_DS, &ds)) {
		if (signs(x, c)) {
			put_zone_set(x, c, skip, &ds, &x->o.authority);
		}
	} else {
		put_nsec(x, c, skip, f, DNS_OWNER_CUT);
	}
}

/* Where the name's labels begin, the first first, the zone's own name last; how many. */
static size_t labels_of(const struct answer *x, size_t rel, size_t to[128])
{
	size_t n = 0, at = 0;

	for (; at < rel; at += (size_t)x->name[at] + 1) {
		to[n++] = at;
	}
	to[n++] = at;
	return n;
}

/* From below the zone's own name down to the one asked for: delegations (RFC 1034 4.3.2) and DNAMEs. */
static enum step from_above(struct answer *x, const struct dns_zone *c)
{
	size_t offsets[128], rel = x->len - c->len, n = labels_of(x, rel, offsets);
	struct dns_found f;
	struct dns_set s;

	while (n-- > 0) { /* the zone's own name may have a DNAME */
		size_t at = offsets[n];

		if (!dns_table_find(dns_zones_table(x->a->zones), c->space, x->name + at, rel - at,
		                    &f)) {
			if (at < rel) {
				break; /* below what does not exist, nothing does */
			}
			continue;
		}
		if (f.empty) {
			continue;
		}
		if (at > 0 && dns_found_set(&f, DNS_DNAME, &s)) {
			return follow_dname(x, c, at, &s);
		}
		bool parent =
			at == 0 && x->a->q.type == 43; /* DS is the parent's: RFC 4035 3.1.4.1 */
		if (at < rel && !parent && dns_found_set(&f, DNS_NS, &s)) {
			x->aa = x->o.answers > 0;
			put_set(x, at, &s, &x->o.authority);
			put_delegation(x, c, at, &f);
			put_glue(x, c, &s);
			return STEP_DONE;
		}
	}
	return STEP_ON;
}

/* RFC 4592: the closest name that exists has "*" below it. */
static bool find_wild(const struct answer *x, const struct dns_zone *c, struct dns_found *f)
{
	const struct dns_table *t = dns_zones_table(x->a->zones);
	size_t offsets[128], rel = x->len - c->len, n = labels_of(x, rel, offsets) - 1, at = rel;
	uint8_t wild[DNS_NAME_MAX] = { 1, '*' };

	/* From the zone's own name down, as far as names exist; the first is known not to. */
	while (n-- > 1 && dns_table_find(t, c->space, x->name + offsets[n], rel - offsets[n], f)) {
		at = offsets[n];
	}
	if (rel - at > sizeof(wild) - 2) {
		return false;
	}
	memcpy(wild + 2, x->name + at, rel - at);
	return dns_table_find(t, c->space, wild, rel - at + 2, f);
}

/* ---- the name itself ---- */

/* What may stand beside an alias, and does not follow it (RFC 2181 10.1, RFC 4034 3 and 4). */
static bool beside_alias(uint16_t type)
{
	return type == DNS_RRSIG || type == DNS_NSEC;
}

static enum step at_name(struct answer *x, const struct dns_zone *c, const struct dns_found *f)
{
	uint16_t type = x->a->q.type;
	struct dns_set s;
	size_t at = 0;

	/* IXFR by UDP: the SOA alone says to ask by TCP (RFC 1995 2). */
	if ((type == DNS_SOA || type == DNS_IXFR) && x->len == c->len) {
		put_soa(x, c, false, &x->o.answers);
		return STEP_DONE;
	}
	if (!f->empty && type == DNS_ANY) { /* RFC 8482 4.1: one of what there is */
		while (dns_found_next(f, &at, &s)) {
			if (s.type != DNS_SOA) {
				put_zone_set(x, c, 0, &s, &x->o.answers);
				return STEP_DONE;
			}
		}
	}
	if (dns_found_set(f, type, &s)) {
		put_zone_set(x, c, 0, &s, &x->o.answers);
		return STEP_DONE;
	}
	if (beside_alias(type) || !dns_found_set(f, DNS_CNAME, &s)) {
		put_soa(x, c, true, &x->o.authority); /* NODATA */
		bool cut = x->len > c->len && dns_found_set(f, DNS_NS, &s);
		put_nsec(x, c, 0, f->empty ? NULL : f, cut ? DNS_OWNER_CUT : DNS_OWNER);
		return STEP_DONE;
	}
	put_set(x, 0, &s, &x->o.answers);
	size_t end = x->o.n;
	if (signs(x, c)) {
		put_signatures(x, c, 0, &s, s.ttl_s, &x->o.answers);
	}
	uint16_t n;
	const uint8_t *to = dns_set_next(&s, &n);
	if (x->o.full || !to || n < 1 || n > DNS_NAME_MAX + 1) {
		return STEP_DONE;
	}
	x->at = end - n;
	x->len = n - 1u;
	dns_lower(x->a->target, to, x->len);
	x->name = x->a->target;
	return STEP_FOLLOW;
}

/* What is not in a zone here, or is missing in one that does not mind: a stub's is asked for elsewhere. */
static enum step leave(struct answer *x)
{
	struct dns_ask *a = x->a;

	if (a->stub) {
		a->elsewhere = true;
		if (x->name != a->target) {
			memcpy(a->target, x->name, x->len);
		}
		a->target_len = x->len;
	} else if (x->o.answers == 0) {
		a->rcode = DNS_REFUSED;
		x->ede = EDE_NOT_AUTHORITATIVE;
		x->aa = false;
	}
	return STEP_DONE;
}

static enum step one_step(struct answer *x)
{
	struct dns_ask *a = x->a;
	const struct dns_table *t = dns_zones_table(a->zones);
	bool first = x->name == a->q.name;
	uint8_t flags = a->first_flags;
	const struct dns_zone *c = a->first;
	struct dns_found f;

	if (!first) {
		c = a->view ? dns_zone_find(a->zones, a->view, x->name, x->len, &flags) : NULL;
	}

	if (!c) {
		return leave(x);
	}
	a->zone = c;
	x->aa = true;
	if (a->q.dnssec && __atomic_load_n(&c->dnskey, __ATOMIC_ACQUIRE) && !signs(x, c)) {
		a->rcode = DNS_SERVFAIL; /* the keys are not here yet: unsigned would be bogus */
		x->aa = false;
		return STEP_DONE;
	}
	if (a->q.type == DNS_IXFR && x->len > c->len &&
	    !a->stub) { /* no zone begins there (RFC 1995 4) */
		a->rcode = DNS_NOTAUTH;
		x->aa = false;
		return STEP_DONE;
	}
	uint32_t special = __atomic_load_n(&c->special, __ATOMIC_ACQUIRE);
	if (special) {
		enum step s = from_above(x, c);

		if (s != STEP_ON) {
			return s;
		}
	}
	uint32_t h = first ? a->hash : dns_table_hash(t, c->space, x->name, x->len - c->len);
	if (dns_table_find_hashed(t, h, c->space, x->name, x->len - c->len, &f)) {
		return at_name(x, c, &f);
	}
	if (special && x->len > c->len && find_wild(x, c, &f)) {
		a->wild = true;
		return at_name(x, c, &f);
	}
	if (flags & DNS_LINK_FALLBACK && a->stub) {
		return leave(x);
	}
	a->rcode = signs(x, c) && !a->q.compact ? DNS_NOERROR : DNS_NXDOMAIN;
	put_soa(x, c, true, &x->o.authority);
	put_nsec(x, c, 0, NULL, DNS_OWNER_MISSING);
	return STEP_DONE;
}

/* ---- class CH (RFC 4892) ---- */

static void chaos(struct answer *x)
{
	static const struct {
		uint8_t name[16];
		size_t len;
		bool version;
	} names[] = { { "\7version\4bind", 13, true },
		      { "\7version\6server", 15, true },
		      { "\10hostname\4bind", 14, false },
		      { "\2id\6server", 10, false } };
	const struct dns_server *s = x->a->server;
	uint8_t text[65];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *v = names[i].version ? s->version : s->nsid;
		size_t n = strlen(v);

		if (!*v || x->len != names[i].len || memcmp(x->name, names[i].name, x->len) != 0 ||
		    (x->a->q.type != DNS_TXT && x->a->q.type != DNS_ANY)) {
			continue;
		}
		text[0] = (uint8_t)n;
		memcpy(text + 1, v, n);
		if (put_owner(x, 0) && out_record(&x->o, DNS_TXT, 0, text, (uint16_t)(n + 1))) {
			dns_put16(x->o.p + x->o.n - n - 1 - 8, 3); /* its class */
			x->o.answers++;
			x->aa = true;
		}
		return;
	}
	x->a->rcode = DNS_REFUSED;
}

/* ---- the whole ---- */

static void fill(struct answer *x)
{
	const struct dns_query *q = &x->a->q;

	if (q->question_end == DNS_HEADER) {
		return; /* it wanted a cookie */
	}
	if (q->class == 3) {
		chaos(x);
		return;
	}
	if (q->class != 1) {
		x->a->rcode = DNS_REFUSED;
		x->ede = EDE_NOT_AUTHORITATIVE;
		return;
	}
	if (q->type == DNS_AXFR || (q->type == DNS_IXFR && x->a->tcp)) { /* of who may, elsewhere */
		x->a->rcode = x->a->tcp ? DNS_REFUSED : DNS_NOTIMP;
		return;
	}
	if (q->type == DNS_NXNAME) { /* RFC 9824 3.4 */
		x->a->rcode = DNS_FORMERR;
		x->ede = EDE_INVALID_QUERY_TYPE;
		return;
	}
	uint32_t seen[HOPS_MAX];
	for (int hop = 0; hop < HOPS_MAX && !x->o.full; hop++) {
		seen[hop] = dns_table_hash(dns_zones_table(x->a->zones), 0, x->name, x->len);
		for (int i = 0; i < hop; i++) {
			if (seen[i] == seen[hop]) { /* aliases in a ring: one turn says it all */
				return;
			}
		}
		if (one_step(x) != STEP_FOLLOW) {
			return;
		}
	}
	x->a->rcode = x->o.full ? x->a->rcode : DNS_SERVFAIL; /* too long a chain */
}

/* Room for the OPT record and its options. */
static size_t opt_room(const struct dns_ask *a)
{
	const struct dns_query *q = &a->q;
	size_t nsid = q->nsid && a->server->nsid[0] ? 4 + strlen(a->server->nsid) : 0;

	return q->edns ? 11 + nsid + (q->cookie_len ? 28 : 0) + (q->keepalive && a->tcp ? 6 : 0) + 6
	               : 0;
}

static void put_option(struct out *o, unsigned code, const void *data, size_t n)
{
	uint8_t *p = o->p + o->n;

	dns_put16(p, code);
	dns_put16(p + 2, (unsigned)n);
	memcpy(p + 4, data, n);
	o->n += 4 + n;
}

static void put_opt(struct answer *x)
{
	const struct dns_ask *a = x->a;
	const struct dns_query *q = &a->q;
	struct out *o = &x->o;
	uint8_t *p = o->p + o->n, word[2], cookie[24];
	size_t begin = o->n + 11;

	memset(p, 0, 11);
	dns_put16(p + 1, DNS_OPT);
	dns_put16(p + 3, DNS_UDP_MAX);
	p[5] = (uint8_t)(a->rcode >> 4);
	p[7] = q->dnssec && q->edns_version == 0 ? 0x80 : 0;
	o->n = begin;
	if (q->nsid && a->server->nsid[0]) {
		put_option(o, 3, a->server->nsid, strlen(a->server->nsid));
	}
	if (q->cookie_len) {
		memcpy(cookie, q->cookie, 8);
		dns_cookie_make(&a->server->secrets, q->cookie, a->client, a->client_len, a->now_s,
		                cookie + 8);
		put_option(o, 10, cookie, sizeof(cookie));
	}
	if (q->keepalive && a->tcp) {
		dns_put16(word, a->server->idle_ds);
		put_option(o, 11, word, 2);
	}
	if (x->ede != EDE_NONE) {
		dns_put16(word, (unsigned)x->ede);
		put_option(o, 15, word, 2);
	}
	dns_put16(p + 9, (unsigned)(o->n - begin));
}

static size_t finish(struct answer *x, const uint8_t *packet, bool question)
{
	struct dns_ask *a = x->a;
	struct out *o = &x->o;

	a->truncated = o->full;
	if (o->full || !question) { /* truncated: the question alone, TC set */
		o->n = question ? a->q.question_end : DNS_HEADER;
		o->answers = o->authority = o->additional = 0;
	}
	memcpy(o->p, packet, 2);
	o->p[2] = (uint8_t)(0x80 | (packet[2] & 0x79) | (x->aa ? 4 : 0) | (o->full ? 2 : 0));
	o->p[3] = (uint8_t)((a->rcode & 15) | (a->stub ? 0x80 : 0));
	dns_put16(o->p + 4, question && a->q.question_end > DNS_HEADER);
	dns_put16(o->p + 6, o->answers);
	dns_put16(o->p + 8, o->authority);
	dns_put16(o->p + 10, o->additional + (a->q.edns && !a->elsewhere));
	if (a->q.edns && !a->elsewhere) { /* what is added to goes without, so far */
		put_opt(x);
	}
	return a->q.tsig_at && !a->elsewhere ? tsig_sign(&a->tsig, o->p, o->n, a->now_s) : o->n;
}

static struct answer begin(struct dns_ask *a, const uint8_t *packet, uint8_t *out, size_t limit)
{
	struct answer x = { .a = a,
		            .o = { .p = out, .n = a->q.question_end, .limit = limit },
		            .ede = EDE_NONE,
		            .name = a->q.name,
		            .len = a->q.name_len,
		            .at = DNS_HEADER };

	memcpy(out + DNS_HEADER, packet + DNS_HEADER, a->q.question_end - DNS_HEADER);
	return x;
}

void dns_ask_read(struct dns_ask *a, const uint8_t *packet, size_t len)
{
	a->read = dns_query_read(&a->q, packet, len);
	a->length = len;
	if (a->stub && a->q.tsig_at) { /* groups have no keys */
		a->q.tsig_at = 0;
		a->read = DNS_FORMERR;
	}
	a->first = NULL;
	a->first_flags = 0;
	if (a->read == DNS_NOERROR && a->view && a->q.class == 1) {
		a->first =
			dns_zone_find(a->zones, a->view, a->q.name, a->q.name_len, &a->first_flags);
	}
	if (a->first) {
		const struct dns_table *t = dns_zones_table(a->zones);

		a->hash = dns_table_hash(t, a->first->space, a->q.name,
		                         a->q.name_len - a->first->len);
		dns_table_fetch(t, a->hash, false);
	}
}

void dns_ask_fetch(const struct dns_ask *a)
{
	if (a->first) {
		dns_table_fetch(dns_zones_table(a->zones), a->hash, true);
	}
}

size_t dns_answer(struct dns_ask *a, const uint8_t *packet, size_t len, uint8_t *out, size_t limit)
{
	dns_ask_read(a, packet, len);
	return dns_ask_answer(a, packet, out, limit);
}

size_t dns_ask_answer(struct dns_ask *a, const uint8_t *packet, uint8_t *out, size_t limit)
{
	a->cookie_good = a->wild = a->elsewhere = false;
	a->zone = NULL;
	if (a->read == DNS_DROP) {
		return 0;
	}
	a->rcode = a->read;
	if (a->read != DNS_NOERROR && a->read != DNS_BADVERS) {
		a->q.question_end = DNS_HEADER;
		struct answer x = begin(a, packet, out, limit);
		return finish(&x, packet, false);
	}
	if (a->q.cookie_len) {
		a->cookie_good = dns_cookie_good(&a->server->secrets, a->q.cookie, a->q.cookie_len,
		                                 a->client, a->client_len, a->now_s);
	}
	if (!a->tcp) {
		size_t offered = a->q.edns && a->q.edns_size > DNS_UDP_PLAIN ? a->q.edns_size
		                                                             : DNS_UDP_PLAIN;

		offered = offered < DNS_UDP_MAX ? offered : DNS_UDP_MAX;
		limit = offered < limit ? offered : limit;
	}
	if (a->q.tsig_at) {
		limit -= TSIG_ROOM;
		if (tsig_check(&a->tsig, a->server->keys, a->server->n_keys, packet, a->length,
		               a->q.tsig_at, a->now_s) < 0) {
			a->rcode = DNS_FORMERR;
			a->q.tsig_at = 0;
		} else if (a->tsig.error) {
			a->rcode = DNS_NOTAUTH;
		}
	}
	struct answer x = begin(a, packet, out, limit - opt_room(a));
	if (a->rcode == DNS_NOERROR) {
		fill(&x);
	}
	return finish(&x, packet, true);
}

size_t dns_answer_short(struct dns_ask *a, const uint8_t *packet, uint8_t *out)
{
	struct answer x = begin(a, packet, out, DNS_UDP_PLAIN);

	a->rcode = a->q.cookie_len && a->q.edns ? DNS_BADCOOKIE : DNS_NOERROR;
	x.o.full = a->rcode == DNS_NOERROR;
	return finish(&x, packet, true);
}

size_t dns_answer_error(struct dns_ask *a, const uint8_t *packet, int rcode, int ede, uint8_t *out)
{
	struct answer x = begin(a, packet, out, DNS_UDP_PLAIN);

	a->elsewhere = false;
	a->rcode = rcode;
	x.ede = ede;
	return finish(&x, packet, true);
}

uint64_t dns_answer_kind(const struct dns_ask *a)
{
	uint64_t h = UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(a->rcode + 1);

	if (a->zone && (a->rcode == DNS_NXDOMAIN || a->wild)) {
		return h ^ (uint64_t)a->zone->number << 20;
	}
	if (a->rcode == DNS_NOERROR) {
		for (size_t i = 0; i < a->q.name_len; i++) {
			h = (h ^ a->q.name[i]) * UINT64_C(0x100000001b3);
		}
		h ^= (uint64_t)a->q.type << 48;
	}
	return h;
}
