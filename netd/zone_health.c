/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers that know health: a record set of addresses with the metadata "netd-health": "aware" is answered without
 * those that are down, as long as one is left; when all are, with all (who asks may know better). Down is an address of
 * this plane's at which nothing takes flows: a group that is not ready, a frontend without a backend, nobody. Of other
 * addresses nothing is known, and they are answered. In a private zone that several VNets see, an address is down when
 * it is in none of them up. See zone.h.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "netd/balancer.h"
#include "netd/zone.h"
#include "netd/zone_parts.h"

#define KEY      "netd-health"
#define LOOK_MS  250  /* at most so often, after something turned */
#define EVERY_MS 2000 /* and in any case */
#define SPACES   64
#define SHARE    20  /* of control's time, at most one part in so many */
#define SETS_MAX 500 /* of a subscription */

struct aware_address {
	struct ip ip;
	bool known, up; /* while one looks */
	bool down;      /* as it was answered last */
};

/* A record set. */
struct aware {
	uint64_t zone;
	uint32_t tenant; /* whose zone it is; 0: a public one */
	bool fresh;      /* it was asked for since it was told to be */
	char name[300];
	const char *type;
	struct aware_address *v;
	size_t n;
};

static struct aware **sets;
static size_t n_sets;
static struct where by_name; /* of sets: by a digest of zone, name and type */
static bool turned;
static int64_t looked_ms, rest_ms;

void zone_health_turned(void)
{
	turned = true;
}

int zone_health_check(const char *type, const json_t *doc, struct err *e)
{
	const json_t *v = json_object_get(model_at(doc, "properties.metadata"), KEY);

	if (!v || (strcmp(json_string_value(v) ? json_string_value(v) : "", "aware") == 0 &&
	           (strcmp(type, "A") == 0 || strcmp(type, "AAAA") == 0))) {
		return 0;
	}
	return err_set_at(e, ERR_INVALID, "BadRequest", "properties.metadata." KEY,
	                  "'properties.metadata." KEY "' of a record set of type A or AAAA can be "
	                  "'aware': addresses of this plane that are down are left out.");
}

static bool is_aware(const char *type, const json_t *doc)
{
	struct err ignored = ERR_INIT;

	return json_object_get(model_at(doc, "properties.metadata"), KEY) &&
	       zone_health_check(type, doc, &ignored) == 0;
}

/* ---- record sets ---- */

static struct ip digest(uint64_t zone, const char *name, const char *type)
{
	uint8_t text[8 + 300 + 4] = { 0 };
	size_t n = strlen(name) < 300 ? strlen(name) : 300;

	memcpy(text, &zone, 8);
	for (size_t i = 0; i < n; i++) {
		text[8 + i] = (uint8_t)tolower((unsigned char)name[i]);
	}
	memcpy(text + 8 + n, type, strlen(type));
	return where_named(text, 8 + n + strlen(type));
}

static struct aware *set_of(uint64_t zone, const char *name, const char *type)
{
	struct ip at = digest(zone, name, type);
	const struct where_entry *x = NULL;

	while (n_sets > 0 && (x = where_next(&by_name, 0, &at, x))) {
		struct aware *s = (struct aware *)x->value;

		if (s->zone == zone && s->type == type && strcasecmp(s->name, name) == 0) {
			return s;
		}
	}
	return NULL;
}

static struct aware *set_make(uint64_t zone, uint32_t tenant, const char *name, const char *type)
{
	struct aware *s = set_of(zone, name, type), **v;
	struct ip at = digest(zone, name, type);

	if (s) {
		return s;
	}
	s = calloc(1, sizeof(*s));
	v = realloc(sets, (n_sets + 1) * sizeof(struct aware *));
	if (!s || !v) {
		abort();
	}
	*s = (struct aware){ .zone = zone, .tenant = tenant, .type = type };
	strncpy(s->name, name, sizeof(s->name) - 1);
	sets = v;
	sets[n_sets++] = s;
	where_add(&by_name, 0, &at, (uintptr_t)s);
	turned = true; /* one looks soon */
	return s;
}

static void set_drop(struct aware *s)
{
	struct ip at = digest(s->zone, s->name, s->type);
	size_t i = 0;

	while (sets[i] != s) {
		i++;
	}
	sets[i] = sets[--n_sets];
	where_drop(&by_name, 0, &at, (uintptr_t)s);
	free(s->v);
	free(s);
}

void zone_health_forget(uint64_t zone, const char *name, const char *type)
{
	struct aware *s =
		zone_record_type(type) ? set_of(zone, name, zone_record_type(type)) : NULL;

	if (s) {
		set_drop(s);
	}
}

void zone_health_forget_zone(uint64_t zone)
{
	for (size_t i = n_sets; i-- > 0;) {
		if (sets[i]->zone == zone) {
			set_drop(sets[i]);
		}
	}
}

int zone_health_room(struct resource *zone, const char *name, const char *type, const json_t *doc,
                     struct err *e)
{
	uint32_t tenant = tenant_of(zone->id)->number;
	size_t n = 0;

	if (!is_aware(type, doc) || set_of(table_number(zone), name, zone_record_type(type))) {
		return 0;
	}
	for (size_t i = 0; i < n_sets; i++) {
		n += sets[i]->tenant == tenant;
	}
	return n < SETS_MAX ? 0
	                    : err_set_at(e, ERR_CONFLICT, "RecordSetQuotaReached",
	                                 "properties.metadata." KEY,
	                                 "Cannot have more than %d record sets that know health "
	                                 "in this subscription.",
	                                 SETS_MAX);
}

static struct aware_address *address_of(struct aware *s, const struct ip *ip)
{
	for (size_t i = 0; i < s->n; i++) {
		if (ip_compare(&s->v[i].ip, ip) == 0) {
			return &s->v[i];
		}
	}
	return NULL;
}

/* The set's addresses are those of the document; what was known of them stays. */
static void set_addresses(struct aware *s, const json_t *list, const char *key)
{
	size_t n = json_array_size(list);
	struct aware_address *v = calloc(n + 1, sizeof(*v));

	if (!v) {
		abort();
	}
	for (size_t i = 0; i < n; i++) {
		v[i].ip = table_ip(json_array_get(list, i), key);
		const struct aware_address *was = address_of(s, &v[i].ip);
		v[i].down = was && was->down;
	}
	turned = turned || n != s->n;
	free(s->v);
	s->v = v;
	s->n = n;
	s->fresh = true;
}

json_t *zone_health_doc(uint64_t zone, uint32_t tenant, const char *name, const char *type,
                        json_t *doc)
{
	bool six = strcmp(type, "AAAA") == 0;
	const char *list = six ? "aaaaRecords" : "aRecords",
		   *key = six ? "ipv6Address" : "ipv4Address";
	json_t *all = json_object_get(json_object_get(doc, "properties"), list), *x;
	size_t i, left = 0;

	if (!is_aware(type, doc)) {
		zone_health_forget(zone, name, type);
		return json_incref(doc);
	}
	struct aware *s = set_make(zone, tenant, name, zone_record_type(type));
	set_addresses(s, all, key);
	for (i = 0; i < s->n; i++) {
		left += !s->v[i].down;
	}
	if (left == 0 || left == s->n) {
		return json_incref(doc);
	}
	json_t *copy = json_deep_copy(doc), *some = json_array();
	json_array_foreach(all, i, x)
	{
		if (!s->v[i].down) {
			json_array_append(some, x);
		}
	}
	json_object_set_new(json_object_get(copy, "properties"), list, some);
	return copy;
}

/* ---- what is up ---- */

/* An address that is asked about, in a VNet or (0) in public. */
struct asked {
	uint32_t vnet;
	const struct ip *ip;
	struct aware_address *a;
};
static struct asked *asked;
static size_t n_asked;

static int by_place(const void *a, const void *b)
{
	const struct asked *x = a, *y = b;

	return x->vnet != y->vnet ? (x->vnet < y->vnet ? -1 : 1) : ip_compare(x->ip, y->ip);
}

static void ask(uint32_t vnet, struct aware_address *a)
{
	struct asked *v = realloc(asked, (n_asked + 1) * sizeof(*v));

	if (!v) {
		abort();
	}
	asked = v;
	asked[n_asked++] = (struct asked){ vnet, &a->ip, a };
}

static void ask_all(void)
{
	n_asked = 0;
	for (size_t i = 0; i < n_sets; i++) {
		const struct aware *s = sets[i];
		struct zone_link_walk w = { .zone = (uint32_t)s->zone };
		const struct resource *link;

		for (size_t k = 0; k < s->n; k++) {
			s->v[k].known = s->v[k].up = false;
			if (s->tenant == 0) {
				ask(0, &s->v[k]);
			}
		}
		while (s->tenant && (link = zone_next_link(&w))) {
			struct resource *vnet = zone_link_vnet(link);

			for (size_t k = 0; vnet && k < s->n; k++) {
				ask(table_number(vnet), &s->v[k]);
			}
		}
	}
	if (n_asked > 1) {
		qsort(asked, n_asked, sizeof(*asked), by_place);
	}
}

/* Something has that address: does it take flows? */
static void said(uint32_t vnet, const struct ip *ip, bool up)
{
	const struct asked key = { vnet, ip, NULL };
	const struct asked *x =
		n_asked ? bsearch(&key, asked, n_asked, sizeof(key), by_place) : NULL;

	while (x && x > asked && by_place(x - 1, &key) == 0) {
		x--;
	}
	for (; x && x < asked + n_asked && by_place(x, &key) == 0; x++) {
		x->a->known = true;
		x->a->up = x->a->up || up;
	}
}

static void said_front(void *arg, uint32_t vnet, const struct ip *ip, bool up)
{
	(void)arg;
	said(vnet, ip, up);
}

/* Is it within what the plane gives out? */
static bool ours(const struct asked *x)
{
	struct ip_prefix space[SPACES];
	const struct ip_prefix *v = plane.config->pools;
	size_t n = (size_t)plane.config->n_pools;

	if (x->vnet) {
		const struct resource *vnet = table_numbered(x->vnet);

		n = vnet ? vnet_space(vnet, space, SPACES) : 0;
		v = space;
	}
	for (size_t i = 0; i < n; i++) {
		if (ip_prefix_contains(&v[i], x->ip)) {
			return true;
		}
	}
	return false;
}

static void look_public_groups(void)
{
	static const char *const keys[] = { "pub4", "pub6" };
	struct resource *g;

	if (n_asked == 0 || asked[0].vnet != 0) {
		return;
	}
	for (size_t i = 0; (g = table_at(i)); i++) {
		for (int f = 0; g->group && f < 2; f++) {
			struct ip ip = table_ip(g->status, keys[f]);

			if (ip.family) {
				said(0, &ip, !g->deleting && group_takes_flows(g));
			}
		}
	}
}

/* ---- looking ---- */

/* Is the set answered otherwise now? */
static bool settle(struct aware *s)
{
	bool other = false;

	for (size_t k = 0; k < s->n; k++) {
		bool down = s->v[k].known && !s->v[k].up;

		other = other || down != s->v[k].down;
		s->v[k].down = down;
	}
	return other;
}

/* The name is told anew, which asks for the set, if it is still there. */
static void tell(struct aware s)
{
	struct aware *now = set_of(s.zone, s.name, s.type);

	if (!now) {
		return;
	}
	now->fresh = false;
	if (s.tenant == 0) {
		zone_public_again(s.zone, s.name);
	} else {
		zone_name_again((uint32_t)s.zone, s.name);
	}
	now = set_of(s.zone, s.name, s.type);
	if (now && !now->fresh) {
		set_drop(now);
	}
}

static void look(void)
{
	ask_all();
	for (size_t i = 0; i < n_asked; i++) {
		asked[i].a->known = asked[i].a->known || ours(&asked[i]);
		const struct resource *g =
			asked[i].vnet ? network_group_at(asked[i].vnet, asked[i].ip) : NULL;
		if (g) {
			said(asked[i].vnet, asked[i].ip, group_takes_flows(g));
		}
	}
	look_public_groups();
	balancer_fronts(said_front, NULL);
	free(asked);
	asked = NULL;
	n_asked = 0;
}

void zone_health_look(int64_t now_ms)
{
	struct aware *others;
	size_t n = 0;

	if (n_sets == 0 || now_ms - looked_ms < (turned ? LOOK_MS : EVERY_MS) ||
	    now_ms - looked_ms < rest_ms) {
		return;
	}
	looked_ms = now_ms;
	turned = false;
	look();
	others = calloc(n_sets, sizeof(*others));
	for (size_t i = 0; others && i < n_sets; i++) {
		if (settle(sets[i])) {
			others[n++] =
				*sets[i]; /* its name and place, since sets come and go below */
		}
	}
	for (size_t i = 0; i < n; i++) {
		tell(others[i]);
	}
	free(others);
	rest_ms = (clock_system.now_ms(&clock_system) - now_ms) * SHARE;
}
