/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See transfer.h.
 */
#include "dns/transfer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "dns/cookie.h"
#include "dns/out.h"
#include "dns/record.h"

#define MESSAGE_MAX 16000u /* pointers reach that far */

/* ---- the journal ---- */

/* Records, each: removed or added (1), length of the name inside the zone (1), name, type (2), ttl (4), length (2),
 * data; removed ones are of the older zone. */
struct batch {
	STAILQ_ENTRY(batch) link;
	uint32_t from, to;
	struct buf gone, come;
};

struct dns_journal {
	uint64_t zone;
	size_t bytes, bytes_max;
	STAILQ_HEAD(batches, batch) batches;
	/* Of the batch under way: names, each with what it had as it was noted first. */
	struct buf noted;
	uint8_t key[16];
	uint64_t *seen; /* hashes of them; 0 free */
	size_t n_seen, cap_seen;
};

struct dns_journal *dns_journal_new(uint64_t zone, size_t bytes_max, const uint8_t key[16])
{
	struct dns_journal *j = calloc(1, sizeof(*j));

	if (j) {
		j->zone = zone;
		j->bytes_max = bytes_max;
		memcpy(j->key, key, sizeof(j->key));
		STAILQ_INIT(&j->batches);
	}
	return j;
}

static void drop_first(struct dns_journal *j)
{
	struct batch *b = STAILQ_FIRST(&j->batches);

	STAILQ_REMOVE_HEAD(&j->batches, link);
	j->bytes -= b->gone.len + b->come.len;
	buf_fini(&b->gone);
	buf_fini(&b->come);
	free(b);
}

static void forget_noted(struct dns_journal *j)
{
	buf_fini(&j->noted);
	j->noted = (struct buf){ 0 };
	free(j->seen);
	j->seen = NULL;
	j->n_seen = j->cap_seen = 0;
}

void dns_journal_free(struct dns_journal *j)
{
	while (j && !STAILQ_EMPTY(&j->batches)) {
		drop_first(j);
	}
	if (j) {
		forget_noted(j);
		free(j);
	}
}

static void note(struct buf *b, const uint8_t *name, size_t len, uint16_t type, uint32_t ttl,
                 const uint8_t *data, uint16_t n)
{
	uint8_t head = (uint8_t)len;

	buf_add(b, &head, 1);
	buf_add(b, name, len);
	buf_add(b, &type, 2);
	buf_add(b, &ttl, 4);
	buf_add(b, &n, 2);
	buf_add(b, data, n);
}

static void see(uint64_t *seen, size_t cap, uint64_t h)
{
	size_t i = h & (cap - 1);

	while (seen[i]) {
		i = (i + 1) & (cap - 1);
	}
	seen[i] = h;
}

/* false: the name was noted in this batch already. */
static bool first_time(struct dns_journal *j, const uint8_t *name, size_t len)
{
	uint64_t h = dns_siphash(j->key, name, len) | 1;

	for (size_t i = h; j->cap_seen && j->seen[i & (j->cap_seen - 1)]; i++) {
		if (j->seen[i & (j->cap_seen - 1)] == h) {
			return false;
		}
	}
	if ((j->n_seen + 1) * 2 > j->cap_seen) {
		size_t cap = j->cap_seen ? j->cap_seen * 2 : 256;
		uint64_t *seen = calloc(cap, sizeof(*seen));

		if (!seen) {
			j->noted.failed = true;
			return false;
		}
		for (size_t i = 0; i < j->cap_seen; i++) {
			if (j->seen[i]) {
				see(seen, cap, j->seen[i]);
			}
		}
		free(j->seen);
		j->seen = seen;
		j->cap_seen = cap;
	}
	see(j->seen, j->cap_seen, h);
	j->n_seen++;
	return true;
}

static void note_all(struct buf *b, const uint8_t *name, size_t len, const struct dns_found *f)
{
	struct dns_set s;
	size_t at = 0;

	while (f && dns_found_next(f, &at, &s)) {
		struct dns_set all = s;
		const uint8_t *data;
		uint16_t n;

		while (s.type != DNS_SOA && (data = dns_set_next(&all, &n))) {
			note(b, name, len, s.type, s.ttl_s, data, n);
		}
	}
}

void dns_journal_note(struct dns_journal *j, const uint8_t *name, size_t len,
                      const struct dns_found *was)
{
	struct buf had = { 0 };
	uint32_t bytes;

	if (!first_time(j, name, len)) {
		return;
	}
	note_all(&had, name, len, was);
	bytes = (uint32_t)had.len;
	uint8_t head = (uint8_t)len;
	buf_add(&j->noted, &head, 1);
	buf_add(&j->noted, name, len);
	buf_add(&j->noted, &bytes, 4);
	buf_add(&j->noted, had.data, had.len);
	j->noted.failed = j->noted.failed || had.failed;
	buf_fini(&had);
}

/* The length of a record as note() writes it. */
static size_t noted_bytes(const uint8_t *p)
{
	uint16_t n;

	memcpy(&n, p + 1 + p[0] + 6, 2);
	return 1u + p[0] + 8u + n;
}

/* Records of `of` that `other` has not. */
static void add_missing(struct buf *to, const struct buf *of, const struct buf *other)
{
	for (size_t i = 0; i < of->len; i += noted_bytes(of->data + i)) {
		size_t n = noted_bytes(of->data + i);
		bool found = false;

		for (size_t k = 0; k < other->len && !found; k += noted_bytes(other->data + k)) {
			found = noted_bytes(other->data + k) == n &&
			        memcmp(other->data + k, of->data + i, n) == 0;
		}
		if (!found) {
			buf_add(to, of->data + i, n);
		}
	}
}

static void compare(struct batch *b, const struct dns_journal *j, const struct dns_zones *z,
                    const struct dns_zone *c)
{
	for (size_t i = 0; i < j->noted.len;) {
		const uint8_t *p = j->noted.data + i, *name = p + 1;
		size_t len = p[0];
		struct buf now = { 0 };
		struct dns_found f;
		uint32_t bytes;

		memcpy(&bytes, name + len, 4);
		struct buf had = { .data = (uint8_t *)(uintptr_t)name + len + 4, .len = bytes };
		if (dns_table_find(dns_zones_table(z), c->space, name, len, &f) && !f.empty) {
			note_all(&now, name, len, &f);
		}
		add_missing(&b->gone, &had, &now);
		add_missing(&b->come, &now, &had);
		b->come.failed = b->come.failed || now.failed;
		buf_fini(&now);
		i += 1 + len + 4 + bytes;
	}
}

void dns_journal_commit(struct dns_journal *j, const struct dns_zones *z, const struct dns_zone *c,
                        uint32_t from, uint32_t to)
{
	struct batch *b = calloc(1, sizeof(*b));

	if (b && !j->noted.failed) {
		compare(b, j, z, c);
	}
	bool lost = !b || j->noted.failed || b->gone.failed || b->come.failed;
	forget_noted(j);
	if (b) {
		b->from = from;
		b->to = to;
		STAILQ_INSERT_TAIL(&j->batches, b, link);
		j->bytes += b->gone.len + b->come.len;
	}
	/* What is lost makes all before it worthless. */
	while (!STAILQ_EMPTY(&j->batches) && (lost || j->bytes > j->bytes_max)) {
		drop_first(j);
	}
}

/* ---- messages ---- */

struct writer {
	const struct dns_zones *zones;
	const struct dns_zone *zone;
	const struct dns_transfer *t;
	struct buf *to;
	struct out o;
	size_t origin_at; /* where the zone's name stands in the message */
	uint8_t message[MESSAGE_MAX + TSIG_ROOM];
	uint8_t soa[600];
	uint16_t soa_len;
	uint32_t soa_ttl, negative_ttl;
	bool first, failed;
	/* a zone with keys */
	const struct dns_keys *keys;
	struct buf names; /* its owners, each behind its length */
	const uint8_t **sorted;
	size_t n_sorted;
};

static void begin_message(struct writer *w)
{
	uint8_t *p = w->message;

	memset(p, 0, DNS_HEADER);
	dns_put16(p, w->t->id);
	p[2] = 0x84; /* answer, authoritative */
	w->o = (struct out){ .p = p, .n = DNS_HEADER, .limit = MESSAGE_MAX };
	w->origin_at = SIZE_MAX;
	if (w->first) {
		memcpy(p + DNS_HEADER, w->t->question, w->t->question_len);
		w->o.n += w->t->question_len;
		w->origin_at = DNS_HEADER;
		dns_put16(p + 4, 1);
	}
}

static void end_message(struct writer *w)
{
	uint8_t head[2];

	dns_put16(w->message + 6, w->o.answers);
	size_t n = w->t->tsig ? tsig_sign(w->t->tsig, w->message, w->o.n, w->t->now_s) : w->o.n;
	dns_put16(head, (unsigned)n);
	buf_add(w->to, head, 2);
	buf_add(w->to, w->message, n);
	w->first = false;
}

static bool try_record(struct writer *w, const uint8_t *name, size_t len, uint16_t type,
                       uint32_t ttl, const uint8_t *data, uint16_t n)
{
	struct out *o = &w->o;
	size_t began = o->n, at = o->n + len;

	if (o->n + len > o->limit) {
		return false;
	}
	memcpy(o->p + o->n, name, len);
	o->n += len;
	if (!out_name(o, w->zone->origin, w->zone->len, w->origin_at) ||
	    !out_record(o, type, ttl, data, n)) {
		o->n = began;
		o->full = false;
		return false;
	}
	if (w->origin_at == SIZE_MAX) {
		w->origin_at = at;
	}
	o->answers++;
	return true;
}

static void put_record(struct writer *w, const uint8_t *name, size_t len, uint16_t type,
                       uint32_t ttl, const uint8_t *data, uint16_t n)
{
	if (!try_record(w, name, len, type, ttl, data, n)) {
		end_message(w);
		begin_message(w);
		w->failed = !try_record(w, name, len, type, ttl, data, n) || w->failed;
	}
}

static void put_set(struct writer *w, const uint8_t *name, size_t len, const struct dns_set *set)
{
	struct dns_set all = *set;
	const uint8_t *data;
	uint16_t n;

	while ((data = dns_set_next(&all, &n))) {
		put_record(w, name, len, set->type, set->ttl_s, data, n);
	}
}

static void put_soa(struct writer *w, uint32_t serial)
{
	dns_put32(w->soa + w->soa_len - 20, serial);
	put_record(w, w->soa, 0, DNS_SOA, w->soa_ttl, w->soa, w->soa_len);
}

static bool put_name(void *arg, uint32_t space, const uint8_t *name, size_t len,
                     const struct dns_found *f)
{
	struct writer *w = arg;
	struct dns_set s;
	size_t at = 0;

	while (space == w->zone->space && dns_found_next(f, &at, &s)) {
		if (s.type != DNS_SOA) {
			put_set(w, name, len, &s);
		}
	}
	return !w->failed;
}

/* ---- a signed zone ---- */

static bool note_owner(void *arg, uint32_t space, const uint8_t *name, size_t len,
                       const struct dns_found *f)
{
	struct writer *w = arg;
	uint8_t head = (uint8_t)len;

	(void)f;
	if (space == w->zone->space) {
		w->failed = w->n_sorted++ >= DNS_TRANSFER_SIGNED_MAX || w->failed;
		buf_add(&w->names, &head, 1);
		buf_add(&w->names, name, len);
	}
	return !w->failed && !w->names.failed;
}

/* Labels from the right (RFC 4034 6.1); names are in lower case. */
static int canonical(const void *pa, const void *pb)
{
	const uint8_t *a = *(const uint8_t *const *)pa, *b = *(const uint8_t *const *)pb;
	const uint8_t *la[128], *lb[128];
	size_t na = 0, nb = 0;

	for (size_t i = 1; i <= a[0]; i += (size_t)a[i] + 1) {
		la[na++] = a + i;
	}
	for (size_t i = 1; i <= b[0]; i += (size_t)b[i] + 1) {
		lb[nb++] = b + i;
	}
	while (na > 0 && nb > 0) {
		const uint8_t *x = la[--na], *y = lb[--nb];
		int d = memcmp(x + 1, y + 1, x[0] < y[0] ? x[0] : y[0]);

		d = d ? d : x[0] - y[0];
		if (d) {
			return d;
		}
	}
	return na > 0 ? 1 : nb > 0 ? -1 : 0;
}

static void put_signatures(struct writer *w, const uint8_t *name, size_t len,
                           const struct dns_set *set)
{
	uint8_t owner[DNS_NAME_MAX], data[DNS_RRSIG_ROOM];

	memcpy(owner, name, len);
	memcpy(owner + len, w->zone->origin, w->zone->len);
	for (size_t i = 0; i < w->keys->n; i++) {
		if (!dns_key_signs(&w->keys->v[i], set->type)) {
			continue;
		}
		size_t n = dns_sign(w->t->signer, &w->keys->v[i], w->zone->origin, w->zone->len,
		                    owner, len + w->zone->len, set, (uint32_t)w->t->now_s, data);
		w->failed = n == 0 || w->failed;
		put_record(w, name, len, DNS_RRSIG, set->ttl_s, data, (uint16_t)n);
	}
}

/* The SOA as a set; `copy` holds it. */
static struct dns_set soa_set(const struct writer *w, uint8_t copy[602])
{
	memcpy(copy, &w->soa_len, 2);
	memcpy(copy + 2, w->soa, w->soa_len);
	return (struct dns_set){ DNS_SOA, 1, w->soa_ttl, copy, copy + 2 + w->soa_len };
}

/* NSEC of the i-th owner: what it has, and who is next; the last leads back (RFC 4034 4.1.1). */
static void put_nsec(struct writer *w, size_t i, const struct dns_found *f, bool cut, size_t next)
{
	const uint8_t *name = w->sorted[i], *to = w->sorted[next];
	uint8_t data[2 + DNS_NAME_MAX + 1 + DNS_TYPES_ROOM];
	size_t n = 2;

	memcpy(data + n, to + 1, to[0]);
	n += to[0];
	memcpy(data + n, w->zone->origin, w->zone->len);
	n += w->zone->len;
	data[n++] = 0;
	n += dns_data_types(f, cut ? DNS_OWNER_CUT : DNS_OWNER, data + n);
	uint16_t len = (uint16_t)(n - 2);
	memcpy(data, &len, 2);
	struct dns_set set = { DNS_NSEC, 1, w->negative_ttl, data, data + n };
	put_set(w, name + 1, name[0], &set);
	put_signatures(w, name + 1, name[0], &set);
}

/* The sets of a name that is this zone's own (not glue); of a delegation the DS alone is signed (RFC 4035 2.2). The
 * SOA itself is sent first and last. */
static void put_own(struct writer *w, const uint8_t *name, const struct dns_found *f, bool cut)
{
	uint8_t copy[602];
	struct dns_set s;
	size_t at = 0;

	while (dns_found_next(f, &at, &s)) {
		if (s.type == DNS_SOA) {
			s = soa_set(w, copy); /* with the serial */
		} else {
			put_set(w, name + 1, name[0], &s);
		}
		if (!cut || s.type == DNS_DS) {
			put_signatures(w, name + 1, name[0], &s);
		}
	}
}

static bool below(const uint8_t *name, const uint8_t *cut)
{
	return cut && name[0] > cut[0] && dns_name_under(name + 1, name[0], cut + 1, cut[0]);
}

static void put_sorted(struct writer *w)
{
	const struct dns_table *t = dns_zones_table(w->zones);
	const uint8_t *cut = NULL;

	for (size_t i = 0; i < w->n_sorted && !w->failed; i++) {
		const uint8_t *name = w->sorted[i];
		size_t next = i + 1;
		struct dns_found f;
		struct dns_set s;

		if (!dns_table_find(t, w->zone->space, name + 1, name[0], &f)) {
			continue;
		}
		if (below(name, cut)) {
			put_name(w, w->zone->space, name + 1, name[0], &f);
			continue;
		}
		bool delegated = name[0] > 0 && dns_found_set(&f, DNS_NS, &s);
		cut = delegated ? name : NULL;
		while (next < w->n_sorted && below(w->sorted[next], cut)) {
			next++;
		}
		put_own(w, name, &f, delegated);
		put_nsec(w, i, &f, delegated, next < w->n_sorted ? next : 0);
	}
}

static void put_signed(struct writer *w)
{
	dns_table_walk(dns_zones_table(w->zones), false, note_owner, w);
	w->sorted = w->failed ? NULL : calloc(w->n_sorted + 1, sizeof(*w->sorted));
	if (!w->sorted || w->names.failed) {
		w->failed = true;
	} else {
		const uint8_t *p = w->names.data;

		for (size_t i = 0; i < w->n_sorted; i++, p += 1 + p[0]) {
			w->sorted[i] = p;
		}
		qsort(w->sorted, w->n_sorted, sizeof(*w->sorted), canonical);
		put_sorted(w);
	}
	free(w->sorted);
	buf_fini(&w->names);
}

/* ---- the transfer ---- */

static void put_noted(struct writer *w, const struct buf *b)
{
	const uint8_t *p = b->data, *end = b->data + b->len;

	while (p < end) {
		size_t len = *p++;
		const uint8_t *name = p;
		uint16_t type, n;
		uint32_t ttl;

		p += len;
		memcpy(&type, p, 2);
		memcpy(&ttl, p + 2, 4);
		memcpy(&n, p + 6, 2);
		put_record(w, name, len, type, ttl, p + 8, n);
		p += 8 + n;
	}
}

/* The first batch from that serial on; NULL: the journal does not reach there. */
static const struct batch *batch_from(const struct dns_journal *j, uint32_t serial)
{
	const struct batch *b;

	STAILQ_FOREACH(b, &j->batches, link)
	{
		if (b->from == serial) {
			return b;
		}
	}
	return NULL;
}

bool dns_transfer_build(const struct dns_zones *z, const struct dns_zone *c,
                        const struct dns_journal *j, const struct dns_transfer *t, struct buf *to)
{
	struct writer *w = calloc(1, sizeof(*w));
	struct dns_found f;
	struct dns_set s;
	const uint8_t *soa = NULL;
	uint32_t serial = c->serial;

	if (!w || !dns_table_find(dns_zones_table(z), c->space, c->origin, 0, &f) ||
	    !dns_found_set(&f, DNS_SOA, &s) || !(soa = dns_set_next(&s, &w->soa_len)) ||
	    w->soa_len > sizeof(w->soa)) {
		free(w);
		return false;
	}
	memcpy(w->soa, soa, w->soa_len);
	w->soa_ttl = s.ttl_s;
	(void)dns_found_set(&f, DNS_SOA, &s); /* from its start again */
	w->negative_ttl = dns_negative_ttl(&s);
	w->zones = z;
	w->zone = c;
	w->t = t;
	w->to = to;
	w->first = true;
	w->keys = t->signer ? c->keys : NULL;
	begin_message(w);
	put_soa(w, serial);
	const struct batch *b =
		t->type == DNS_IXFR && j && !w->keys ? batch_from(j, t->serial) : NULL;
	bool newest = t->type == DNS_IXFR && t->serial == serial; /* one SOA says so */
	for (const struct batch *x = b; x; x = STAILQ_NEXT(x, link)) {
		put_soa(w, x->from);
		put_noted(w, &x->gone);
		put_soa(w, x->to);
		put_noted(w, &x->come);
	}
	if (w->keys && !newest) {
		put_signed(w);
	} else if (!b && !newest) {
		dns_table_walk(dns_zones_table(z), false, put_name, w);
	}
	if (!newest) {
		put_soa(w, serial);
	}
	end_message(w);
	bool ok = !w->failed && !to->failed;
	free(w);
	return ok;
}
