/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers that know health: a record set of addresses with the metadata "netd-health": "aware" is answered without
 * those that are down, as long as one is left; when all are, with all (who asks may know better). Down is an address of
 * this plane's at which nothing takes flows: a group that is not ready, a frontend without a backend, nobody. Of other
 * addresses nothing is known, and they are answered. In a private zone that several VNets see, an address is down when
 * it is in none of them up. See zone.h.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netd/balancer.h"
#include "netd/zone.h"
#include "netd/zone_parts.h"

#define KEY      "netd-health"
#define LOOK_MS  250  /* at most so often, after something turned */
#define EVERY_MS 2000 /* and in any case */
#define SPACES   64

struct aware_address {
	struct ip ip;
	bool known, up; /* while one looks */
	bool down;      /* as it was answered last */
};

/* A record set. */
struct aware {
	uint64_t zone;
	bool public, fresh; /* fresh: it was asked for since it was told to be */
	char name[300];
	const char *type;
	struct aware_address *v;
	size_t n;
};

static struct aware *sets;
static size_t n_sets;
static bool turned;
static int64_t looked_ms;

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

static struct aware *set_of(uint64_t zone, const char *name, const char *type)
{
	for (size_t i = 0; i < n_sets; i++) {
		if (sets[i].zone == zone && sets[i].type == type &&
		    strcasecmp(sets[i].name, name) == 0) {
			return &sets[i];
		}
	}
	return NULL;
}

static struct aware *set_make(uint64_t zone, bool public, const char *name, const char *type)
{
	struct aware *s = set_of(zone, name, type), *v;

	if (s) {
		return s;
	}
	v = realloc(sets, (n_sets + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	sets = v;
	sets[n_sets] = (struct aware){ .zone = zone, .public = public, .type = type };
	strncpy(sets[n_sets].name, name, sizeof(sets[0].name) - 1);
	turned = true; /* one looks soon */
	return &sets[n_sets++];
}

static void set_drop(struct aware *s)
{
	free(s->v);
	*s = sets[--n_sets];
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

json_t *zone_health_doc(uint64_t zone, bool public, const char *name, const char *type, json_t *doc)
{
	bool six = strcmp(type, "AAAA") == 0;
	const char *list = six ? "aaaaRecords" : "aRecords",
		   *key = six ? "ipv6Address" : "ipv4Address";
	json_t *all = json_object_get(json_object_get(doc, "properties"), list), *x;
	size_t i, left = 0;

	if (!is_aware(type, doc)) {
		return json_incref(doc);
	}
	struct aware *s = set_make(zone, public, name, zone_record_type(type));
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
		struct aware *s = &sets[i];
		struct zone_link_walk w = { .zone = (uint32_t)s->zone };
		const struct resource *link;

		for (size_t k = 0; k < s->n; k++) {
			s->v[k].known = s->v[k].up = false;
			if (s->public) {
				ask(0, &s->v[k]);
			}
		}
		while (!s->public && (link = zone_next_link(&w))) {
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

/* Appends the places in `sets` whose answer is another now. */
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

static void tell(size_t i)
{
	char name[300];
	uint64_t zone = sets[i].zone;

	memcpy(name, sets[i].name, sizeof(name));
	sets[i].fresh = false;
	if (sets[i].public) {
		zone_public_again(zone, name);
	} else {
		zone_name_again((uint32_t)zone, name);
	}
}

void zone_health_look(int64_t now_ms)
{
	int64_t since = now_ms - looked_ms;

	if (n_sets == 0 || since < (turned ? LOOK_MS : EVERY_MS)) {
		return;
	}
	looked_ms = now_ms;
	turned = false;
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
	for (size_t i = n_sets; i-- > 0;) {
		if (settle(&sets[i])) {
			tell(i);
			if (!sets[i].fresh) { /* it is not there any more */
				set_drop(&sets[i]);
			}
		}
	}
	free(asked);
	asked = NULL;
	n_asked = 0;
}
