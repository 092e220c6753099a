/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See zone.h. In the table, spaces from 0 are zones', from VIEWS_FIRST views' (their names are origins,
 * their records links); two more spaces name zones and views by their numbers.
 */
#include "dns/zone.h"

#include <stdlib.h>
#include <string.h>

#define VIEWS_FIRST DNS_ZONES_MAX
#define BY_ZONE     DNS_SPACES       /* number: index, serial, origin */
#define BY_VIEW     (DNS_SPACES + 1) /* number: index */
#define HAS_DNSKEY  0x80000000u /* beside a count of special names, while a table is taken over */
#define TYPE_OWN    65280       /* RFC 6895: private use; never answered */

struct dns_zones {
	struct dns_table *t;
	struct dns_zone **zones; /* by space; room for all, pages for few */
	struct dns_view **views; /* by space - VIEWS_FIRST */
	uint32_t next_zone, next_view;
	size_t own;         /* records that are no names of zones */
	uint32_t *restored; /* special names by space, while a table is taken over */
	uint64_t shape;
};

/* What a record of ours holds: one set, one piece of data. */
static bool read_own(const struct dns_found *f, const uint8_t **data, uint16_t *len)
{
	struct dns_set s;

	return dns_found_set(f, TYPE_OWN, &s) && (*data = dns_set_next(&s, len)) != NULL;
}

static int put_own(struct dns_zones *z, uint32_t space, const uint8_t *name, size_t len,
                   const uint8_t *data, uint16_t n, struct err *e)
{
	uint8_t room[2 + 8 + DNS_NAME_MAX];
	struct dns_found f;
	bool had = dns_table_find(z->t, space, name, len, &f);

	memcpy(room, &n, 2);
	memcpy(room + 2, data, n);
	int rc = dns_table_put(z->t, space, true, name, len,
	                       &(struct dns_set){ TYPE_OWN, 1, 0, room, room + 2 + n }, 1, e);
	z->own += rc >= 0 && !had;
	return rc;
}

static void drop_record(struct dns_zones *z, uint32_t space, bool flat, const uint8_t *name,
                        size_t len)
{
	struct err e = ERR_INIT;
	struct dns_found f;

	z->own -= flat && dns_table_find(z->t, space, name, len, &f);
	(void)!dns_table_put(z->t, space, flat, name, len, NULL, 0, &e);
}

/* ---- zones ---- */

static struct dns_zone *zone_numbered(const struct dns_zones *z, uint64_t number)
{
	struct dns_found f;
	const uint8_t *data;
	uint32_t space;
	uint16_t n;

	if (!dns_table_find(z->t, BY_ZONE, (const uint8_t *)&number, 8, &f) ||
	    !read_own(&f, &data, &n)) {
		return NULL;
	}
	memcpy(&space, data, 4);
	return __atomic_load_n(&z->zones[space], __ATOMIC_ACQUIRE);
}

const struct dns_zone *dns_zone_numbered(const struct dns_zones *z, uint64_t number)
{
	return zone_numbered(z, number);
}

/* Its serial, where a process that takes the table over finds it: in place, since no reader looks there. */
static void keep_serial(struct dns_zones *z, const struct dns_zone *c)
{
	struct dns_found f;
	const uint8_t *data;
	uint16_t n;

	if (dns_table_find(z->t, BY_ZONE, (const uint8_t *)&c->number, 8, &f) &&
	    read_own(&f, &data, &n)) {
		memcpy((uint8_t *)(uintptr_t)data + 4, &c->serial, 4);
	}
}

static int zone_record(struct dns_zones *z, const struct dns_zone *c, struct err *e)
{
	uint8_t data[8 + DNS_NAME_MAX];

	memcpy(data, &c->space, 4);
	memcpy(data + 4, &c->serial, 4);
	memcpy(data + 8, c->origin, c->len);
	return put_own(z, BY_ZONE, (const uint8_t *)&c->number, 8, data, (uint16_t)(8 + c->len), e);
}

static struct dns_zone *zone_new(struct dns_zones *z, uint64_t number, const uint8_t *origin,
                                 size_t len, uint32_t serial)
{
	struct dns_zone *c = calloc(1, sizeof(*c));

	for (uint32_t i = 0; c && i < DNS_ZONES_MAX; i++) {
		uint32_t at = (z->next_zone + i) % DNS_ZONES_MAX;

		if (!z->zones[at]) {
			z->next_zone = at + 1;
			c->number = number;
			c->space = at;
			c->serial = serial;
			c->len = len;
			memcpy(c->origin, origin, len);
			return c;
		}
	}
	free(c);
	return NULL;
}

int dns_zone_put(struct dns_zones *z, uint64_t number, const uint8_t *origin, size_t len,
                 uint32_t serial, struct err *e)
{
	struct dns_zone *c = zone_numbered(z, number);

	if (c && c->len == len && memcmp(c->origin, origin, len) == 0) {
		return zone_record(z, c, e) < 0 ? -1 : 0; /* it belongs to this round */
	}
	if (c) {
		dns_zone_drop(z, number);
	}
	c = zone_new(z, number, origin, len, serial);
	if (!c) {
		return err_set(e, ERR_LIMIT, 0, "more than %u zones", DNS_ZONES_MAX);
	}
	z->shape++;
	__atomic_store_n(&z->zones[c->space], c, __ATOMIC_RELEASE);
	if (zone_record(z, c, e) < 0) {
		z->zones[c->space] = NULL;
		free(c);
		return -1;
	}
	return 0;
}

/* ---- views ---- */

static struct dns_view *view_numbered(const struct dns_zones *z, uint32_t number)
{
	struct dns_found f;
	const uint8_t *data;
	uint32_t at;
	uint16_t n;

	if (!dns_table_find(z->t, BY_VIEW, (const uint8_t *)&number, 4, &f) ||
	    !read_own(&f, &data, &n)) {
		return NULL;
	}
	memcpy(&at, data, 4);
	return __atomic_load_n(&z->views[at], __ATOMIC_ACQUIRE);
}

const struct dns_view *dns_view_of(const struct dns_zones *z, uint32_t number)
{
	return view_numbered(z, number);
}

static struct dns_view *view_make(struct dns_zones *z, uint32_t number, struct err *e)
{
	struct dns_view *v = view_numbered(z, number);
	uint32_t at = z->next_view;

	for (uint32_t i = 0; !v && i < DNS_VIEWS_MAX && z->views[at]; i++) {
		at = (at + 1) % DNS_VIEWS_MAX;
	}
	if (v) {
		at = v->space - VIEWS_FIRST;
	} else if (z->views[at] || !(v = calloc(1, sizeof(*v)))) {
		err_set(e, ERR_NO_MEMORY, 0, "view of names: no memory");
		return NULL;
	} else {
		*v = (struct dns_view){ .number = number, .space = VIEWS_FIRST + at };
		__atomic_store_n(&z->views[at], v, __ATOMIC_RELEASE);
		z->next_view = (at + 1) % DNS_VIEWS_MAX;
	}
	if (put_own(z, BY_VIEW, (const uint8_t *)&number, 4, (const uint8_t *)&at, 4, e) < 0) {
		return NULL;
	}
	return v;
}

static void count_depth(struct dns_view *v, const uint8_t *origin, size_t len, int by)
{
	unsigned d = dns_name_labels(origin, len);
	uint64_t bit = UINT64_C(1) << d % 64;

	v->links += (uint32_t)by;
	v->count[d] += (uint32_t)by;
	if (v->count[d]) {
		__atomic_or_fetch(&v->depths[d / 64], bit, __ATOMIC_RELEASE);
	} else {
		__atomic_and_fetch(&v->depths[d / 64], ~bit, __ATOMIC_RELEASE);
	}
}

int dns_link_put(struct dns_zones *z, uint32_t view, uint64_t zone, uint8_t flags, struct err *e)
{
	const struct dns_zone *c = zone_numbered(z, zone);
	struct dns_found f;
	uint8_t data[5];

	if (!c) {
		return err_set(e, ERR_NOT_FOUND, 0, "there is no zone %llu",
		               (unsigned long long)zone);
	}
	struct dns_view *v = view_make(z, view, e);
	if (!v) {
		return -1;
	}
	bool had = dns_table_find(z->t, v->space, c->origin, c->len, &f);
	memcpy(data, &c->space, 4);
	data[4] = flags;
	int rc = put_own(z, v->space, c->origin, c->len, data, sizeof(data), e);
	if (rc < 0) {
		return -1;
	}
	z->shape += rc > 0;
	if (!had) {
		count_depth(v, c->origin, c->len, 1);
	}
	return 0;
}

static void link_drop(struct dns_zones *z, struct dns_view *v, const uint8_t *origin, size_t len)
{
	z->shape++;
	count_depth(v, origin, len, -1);
	drop_record(z, v->space, true, origin, len);
}

/* The zone that the view sees at just that origin. */
static struct dns_zone *linked(const struct dns_zones *z, const struct dns_view *v,
                               const uint8_t *origin, size_t len, uint8_t *flags)
{
	struct dns_found f;
	const uint8_t *data;
	uint32_t space;
	uint16_t n;

	if (!dns_table_find(z->t, v->space, origin, len, &f) || !read_own(&f, &data, &n)) {
		return NULL;
	}
	memcpy(&space, data, 4);
	*flags = data[4];
	return space >= DNS_ZONES_MAX ? NULL : __atomic_load_n(&z->zones[space], __ATOMIC_ACQUIRE);
}

void dns_link_drop(struct dns_zones *z, uint32_t view, uint64_t zone)
{
	const struct dns_zone *c = zone_numbered(z, zone);
	struct dns_view *v = view_numbered(z, view);
	uint8_t flags;

	if (c && v && linked(z, v, c->origin, c->len, &flags) == c) {
		link_drop(z, v, c->origin, c->len);
	}
}

const struct dns_zone *dns_zone_find(const struct dns_zones *z, const struct dns_view *v,
                                     const uint8_t *name, size_t len, uint8_t *flags)
{
	uint64_t depths[2] = { __atomic_load_n(&v->depths[0], __ATOMIC_ACQUIRE),
		               __atomic_load_n(&v->depths[1], __ATOMIC_ACQUIRE) };
	unsigned d = dns_name_labels(name, len);

	for (size_t at = 0;; at += (size_t)name[at] + 1, d--) {
		if (depths[d / 64] >> d % 64 & 1) {
			const struct dns_zone *c = linked(z, v, name + at, len - at, flags);

			if (c) {
				return c;
			}
		}
		if (at >= len) {
			return NULL;
		}
	}
}

/* ---- names ---- */

static bool type_special(uint16_t type, size_t len)
{
	return (type == DNS_NS && len > 0) || type == DNS_DNAME;
}

static bool name_wild(const uint8_t *name, size_t len)
{
	return len >= 2 && name[0] == 1 && name[1] == '*';
}

static bool found_special(const struct dns_found *f, const uint8_t *name, size_t len)
{
	struct dns_set s;
	size_t at = 0;
	bool special = !f->empty && name_wild(name, len);

	while (!special && dns_found_next(f, &at, &s)) {
		special = type_special(s.type, len);
	}
	return special;
}

static void next_serial(struct dns_zones *z, struct dns_zone *c)
{
	c->changed = false;
	__atomic_add_fetch(&c->serial, 1, __ATOMIC_RELEASE);
	keep_serial(z, c);
}

int dns_name_put(struct dns_zones *z, uint64_t zone, const uint8_t *name, size_t len,
                 const struct dns_set *sets, size_t n, struct err *e)
{
	struct dns_zone *c = zone_numbered(z, zone);
	struct dns_found f;

	if (!c) {
		return err_set(e, ERR_NOT_FOUND, 0, "there is no zone %llu",
		               (unsigned long long)zone);
	}
	bool was = dns_table_find(z->t, c->space, name, len, &f) && found_special(&f, name, len);
	bool is = n > 0 && name_wild(name, len);
	for (size_t i = 0; i < n; i++) {
		is = is || type_special(sets[i].type, len);
	}
	if (is && !was) { /* before it can be found */
		__atomic_add_fetch(&c->special, 1, __ATOMIC_RELEASE);
	}
	int rc = dns_table_put(z->t, c->space, false, name, len, sets, n, e);
	if ((rc < 0 && is && !was) || (rc >= 0 && was && !is)) {
		__atomic_sub_fetch(&c->special, 1, __ATOMIC_RELEASE);
	}
	c->changed = c->changed || rc == 1;
	z->shape += was || is;
	if (rc == 1 && len == 0) {
		bool dnskey = false;

		for (size_t i = 0; i < n; i++) {
			dnskey = dnskey || sets[i].type == DNS_DNSKEY;
		}
		z->shape += c->dnskey != dnskey;
		__atomic_store_n(&c->dnskey, dnskey, __ATOMIC_RELEASE);
	}
	if (c->changed && !c->held) {
		next_serial(z, c);
	}
	return rc < 0 ? -1 : 0;
}

void dns_zone_keys(struct dns_zones *z, uint64_t zone, struct dns_keys *keys)
{
	struct dns_zone *c = zone_numbered(z, zone);
	struct dns_keys *was = keys;

	if (c) {
		was = (struct dns_keys *)(uintptr_t)c->keys;
		z->shape++;
		__atomic_store_n(&c->keys, keys, __ATOMIC_RELEASE);
		dns_table_wait(z->t);
	}
	dns_keys_free(was);
}

void dns_zone_hold(struct dns_zones *z, uint64_t zone)
{
	struct dns_zone *c = zone_numbered(z, zone);

	if (c) {
		c->held = true;
	}
}

void dns_zone_touch(struct dns_zones *z, uint64_t zone)
{
	struct dns_zone *c = zone_numbered(z, zone);

	if (c) {
		c->changed = true;
	}
}

bool dns_zone_commit(struct dns_zones *z, uint64_t zone, uint32_t *from, uint32_t *to)
{
	struct dns_zone *c = zone_numbered(z, zone);

	if (!c || !c->changed) {
		return false;
	}
	*from = c->serial;
	next_serial(z, c);
	*to = c->serial;
	return true;
}

/* ---- removal ---- */

struct sweep {
	struct dns_zones *z;
	uint32_t space; /* of one zone; DNS_SPACES: of all, what is stale */
};

static bool sweep_link(void *arg, uint32_t space, const uint8_t *name, size_t len,
                       const struct dns_found *f)
{
	const struct sweep *s = arg;
	const uint8_t *data;
	uint32_t to;
	uint16_t n;

	if (space < VIEWS_FIRST || space >= DNS_SPACES || !read_own(f, &data, &n)) {
		return true;
	}
	memcpy(&to, data, 4);
	if (s->space == DNS_SPACES || to == s->space) {
		link_drop(s->z, s->z->views[space - VIEWS_FIRST], name, len);
	}
	return true;
}

static bool sweep_name(void *arg, uint32_t space, const uint8_t *name, size_t len,
                       const struct dns_found *f)
{
	const struct sweep *s = arg;
	struct err e = ERR_INIT;

	(void)f;
	if (space >= VIEWS_FIRST || (s->space != DNS_SPACES && space != s->space)) {
		return true;
	}
	if (s->space == DNS_SPACES && s->z->zones[space]) {
		(void)!dns_name_put(s->z, s->z->zones[space]->number, name, len, NULL, 0, &e);
	} else {
		drop_record(s->z, space, false, name, len);
	}
	return true;
}

/* A zone that nothing leads to: readers that still have it are waited for. */
static void zone_free(struct dns_zones *z, struct dns_zone *c)
{
	uint64_t number = c->number;

	drop_record(z, BY_ZONE, true, (const uint8_t *)&number, 8);
	__atomic_store_n(&z->zones[c->space], NULL, __ATOMIC_RELEASE);
	dns_table_wait(z->t);
	dns_keys_free((struct dns_keys *)(uintptr_t)c->keys);
	free(c);
}

/* Links first: a name is never seen to be missing from a zone that goes. */
static void sweep(struct dns_zones *z, uint32_t space)
{
	struct sweep s = { z, space };

	dns_table_walk(z->t, space == DNS_SPACES, sweep_link, &s);
	dns_table_wait(z->t);
	dns_table_walk(z->t, space == DNS_SPACES, sweep_name, &s);
}

void dns_zone_drop(struct dns_zones *z, uint64_t number)
{
	struct dns_zone *c = zone_numbered(z, number);

	if (c) {
		sweep(z, c->space);
		zone_free(z, c);
	}
}

void dns_list_begin(struct dns_zones *z)
{
	dns_table_round(z->t);
}

static bool stale_zone(void *arg, uint32_t space, const uint8_t *name, size_t len,
                       const struct dns_found *f)
{
	struct dns_zones *z = arg;
	uint64_t zone;
	uint32_t number;

	(void)len;
	(void)f;
	if (space == BY_ZONE) {
		memcpy(&zone, name, 8);
		dns_zone_drop(z, zone);
	} else if (space == BY_VIEW) {
		memcpy(&number, name, 4);
		struct dns_view *v = view_numbered(z, number);
		drop_record(z, BY_VIEW, true, name, 4);
		if (v) {
			__atomic_store_n(&z->views[v->space - VIEWS_FIRST], NULL, __ATOMIC_RELEASE);
			dns_table_wait(z->t);
			free(v);
		}
	}
	return true;
}

size_t dns_list_end(struct dns_zones *z)
{
	size_t before = dns_names(z);

	z->shape++;
	sweep(z, DNS_SPACES);
	size_t gone = before - dns_names(z);
	dns_table_walk(z->t, true, stale_zone, z);
	dns_table_reclaim(z->t);
	return gone;
}

/* ---- beginning and end ---- */

static struct dns_view *view_at(struct dns_zones *z, uint32_t at)
{
	if (at < DNS_VIEWS_MAX && !z->views[at] && (z->views[at] = calloc(1, sizeof(**z->views)))) {
		z->views[at]->space = VIEWS_FIRST + at;
	}
	return at < DNS_VIEWS_MAX ? z->views[at] : NULL;
}

static void restore_zone(struct dns_zones *z, uint64_t number, const uint8_t *data, uint16_t n)
{
	uint32_t at, serial;

	memcpy(&at, data, 4);
	memcpy(&serial, data + 4, 4);
	if (at < DNS_ZONES_MAX && n - 8u <= DNS_NAME_MAX) {
		z->next_zone = at;
		struct dns_zone *c = zone_new(z, number, data + 8, n - 8u, serial);
		if (c) {
			z->zones[c->space] = c;
		}
	}
}

/* From a record of the table that is taken over. Names of a zone may come before it. */
static bool restore(void *arg, uint32_t space, const uint8_t *name, size_t len,
                    const struct dns_found *f)
{
	struct dns_zones *z = arg;
	const uint8_t *data;
	uint64_t zone;
	uint16_t n;

	if (space < VIEWS_FIRST) {
		struct dns_set s;

		z->restored[space] += found_special(f, name, len);
		if (len == 0 && dns_found_set(f, DNS_DNSKEY, &s)) {
			z->restored[space] |= HAS_DNSKEY;
		}
		return true;
	}
	z->own++;
	if (space < DNS_SPACES) {
		struct dns_view *v = view_at(z, space - VIEWS_FIRST);

		if (v) {
			count_depth(v, name, len, 1);
		}
		return true;
	}
	if (!read_own(f, &data, &n)) {
		return true;
	}
	if (space == BY_ZONE && len == 8 && n >= 8) {
		memcpy(&zone, name, 8);
		restore_zone(z, zone, data, n);
	} else if (space == BY_VIEW && len == 4 && n == 4) {
		uint32_t at;

		memcpy(&at, data, 4);
		struct dns_view *v = view_at(z, at);
		if (v) {
			memcpy(&v->number, name, 4);
		}
	}
	return true;
}

static void forget_all(struct dns_zones *z)
{
	/* Only what is there is written: pages that were never used stay so. */
	for (uint32_t i = 0; z->zones && i < DNS_ZONES_MAX; i++) {
		if (z->zones[i]) {
			dns_keys_free((struct dns_keys *)(uintptr_t)z->zones[i]->keys);
			free(z->zones[i]);
			z->zones[i] = NULL;
		}
	}
	for (uint32_t i = 0; z->views && i < DNS_VIEWS_MAX; i++) {
		if (z->views[i]) {
			free(z->views[i]);
			z->views[i] = NULL;
		}
	}
}

/* What was taken over is complete, or was nothing. */
static bool begin(struct dns_zones *z, bool adopted, struct err *e)
{
	for (uint32_t i = 0; adopted && i < DNS_ZONES_MAX; i++) {
		if (z->zones[i]) {
			z->zones[i]->special = z->restored[i] & ~HAS_DNSKEY;
			z->zones[i]->dnskey = z->restored[i] & HAS_DNSKEY;
		}
	}
	free(z->restored);
	z->restored = NULL;
	if (!adopted) {
		forget_all(z);
		z->own = z->next_zone = 0;
	}
	return adopted || view_make(z, 0, e);
}

struct dns_zones *dns_zones_new(int fd, bool *adopted, struct err *e)
{
	struct dns_zones *z = calloc(1, sizeof(*z));

	if (z) {
		z->zones = calloc(DNS_ZONES_MAX, sizeof(struct dns_zone *));
		z->views = calloc(DNS_VIEWS_MAX, sizeof(struct dns_view *));
		z->restored = calloc(DNS_ZONES_MAX, sizeof(*z->restored));
	}
	if (!z || !z->zones || !z->views || !z->restored ||
	    !(z->t = dns_table_new(fd, restore, z, adopted, e)) || !begin(z, *adopted, e)) {
		dns_zones_free(z);
		err_set(e, ERR_NO_MEMORY, 0, "names: no memory");
		return NULL;
	}
	return z;
}

void dns_zones_free(struct dns_zones *z)
{
	if (!z) {
		return;
	}
	forget_all(z);
	free(z->restored);
	free(z->zones);
	free(z->views);
	dns_table_free(z->t);
	free(z);
}

struct dns_table *dns_zones_table(const struct dns_zones *z)
{
	return z->t;
}

uint64_t dns_zones_shape(const struct dns_zones *z)
{
	return z->shape;
}

size_t dns_names(const struct dns_zones *z)
{
	struct dns_table_stats s;

	dns_table_stats(z->t, &s);
	return s.names - z->own;
}
