/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Zones that nobody puts (public ones, each VNet's own names and reverse), which zones each VNet sees, and where
 * it forwards what it does not know. See zone.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/zone.h"
#include "lib/base/own.h"
#include "netd/home.h"
#include "netd/ruleset.h"
#include "netd/subnet.h"
#include "netd/zone_parts.h"

#define REVERSE_MAX 512 /* reverse zones of a VNet */
#define SPACE_MAX   64
#define SOA_TTL     60

/* ---- VNets in the kernel ---- */

struct live {
	uint32_t vnet;
	struct ip_prefix space[SPACE_MAX]; /* that it has reverse zones for */
	size_t n_space;
	struct buf view; /* as it was told last */
};

static struct live **lives; /* sorted by VNet */
static size_t n_lives;

static size_t live_at(uint32_t vnet)
{
	size_t lo = 0, hi = n_lives;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (lives[mid]->vnet < vnet) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct live *live_find(uint32_t vnet)
{
	size_t i = live_at(vnet);

	return i < n_lives && lives[i]->vnet == vnet ? lives[i] : NULL;
}

static struct live *live_add(uint32_t vnet)
{
	size_t i = live_at(vnet);
	struct live *l = calloc(1, sizeof(*l));

	lives = realloc(lives, (n_lives + 1) * sizeof(struct live *));
	if (!l || !lives) {
		abort();
	}
	memmove(&lives[i + 1], &lives[i], (n_lives - i) * sizeof(struct live *));
	lives[i] = l;
	l->vnet = vnet;
	n_lives++;
	return l;
}

/* ---- zones of the plane's own ---- */

uint64_t zone_own(uint32_t vnet)
{
	return UINT64_C(1) << 32 | vnet;
}

static uint64_t reverse_number(uint32_t vnet, size_t i)
{
	return (uint64_t)(i + 2) << 32 | vnet;
}

void zone_preset_apex(const uint8_t *origin, size_t len, uint32_t negative_s, struct dns_sets *to)
{
	const uint32_t times[4] = { 3600, 600, 1209600, negative_s };
	char text[DNS_NAME_TEXT], server[1100], mail[1100];
	uint8_t data[600];

	dns_name_print(origin, len, text);
	snprintf(server, sizeof(server), "ns1.%s", text);
	snprintf(mail, sizeof(mail), "hostmaster.%s", text);
	int n = dns_data_soa(server, mail, times, data);
	if (n > 0) {
		dns_sets_add(to, DNS_SOA, SOA_TTL, data, (size_t)n);
	}
	n = dns_data_name(server, data);
	if (n > 0) {
		dns_sets_add(to, DNS_NS, SOA_TTL, data, (size_t)n);
	}
}

/* A zone and what its own name has. */
static void tell_zone(uint64_t number, const uint8_t *origin, size_t len)
{
	struct dns_sets sets = { 0 };
	struct batch b;

	zone_send_zone(number, origin, len);
	zone_preset_apex(origin, len, REGISTERED_NEGATIVE, &sets);
	batch_begin(&b, 0);
	batch_name(&b, number, origin, 0, &sets);
	batch_end(&b);
}

/* ---- reverse zones of a VNet: each ends at an octet, or a nibble ---- */

static unsigned part_bits(uint8_t family)
{
	return family == 4 ? 8 : 4;
}

/* How many zones cover the prefix exactly. */
size_t zone_pieces(const struct ip_prefix *p)
{
	unsigned bits = part_bits(p->ip.family), over = p->len % bits;

	return over ? (size_t)1 << (bits - over) : 1;
}

static unsigned parts_of(const struct ip_prefix *p)
{
	unsigned bits = part_bits(p->ip.family);

	return (p->len + bits - 1) / bits;
}

/* The i-th of them. */
size_t zone_piece_origin(const struct ip_prefix *p, size_t i, uint8_t to[DNS_NAME_MAX])
{
	unsigned parts = parts_of(p);
	struct ip ip = p->ip;

	if (p->ip.family == 4) {
		ip.b[parts - 1] = (uint8_t)(ip.b[parts - 1] + i);
	} else {
		ip.b[(parts - 1) / 2] =
			(uint8_t)(ip.b[(parts - 1) / 2] + (i << ((parts - 1) % 2 ? 0 : 4)));
	}
	return dns_name_reverse(p->ip.family, ip.b, parts, to);
}

/* Which of them has the address. */
static size_t piece_with(const struct ip_prefix *p, const struct ip *ip)
{
	unsigned parts = parts_of(p);

	if (p->ip.family == 4) {
		return (size_t)(ip->b[parts - 1] - p->ip.b[parts - 1]);
	}
	unsigned at = (parts - 1) / 2, shift = (parts - 1) % 2 ? 0 : 4;
	return (size_t)((ip->b[at] >> shift & 15) - (p->ip.b[at] >> shift & 15));
}

bool zone_reverse_at(uint32_t vnet, const struct ip *ip, uint64_t *zone, uint8_t name[DNS_NAME_MAX],
                     size_t *len)
{
	const struct live *l = live_find(vnet);
	uint8_t origin[DNS_NAME_MAX];
	size_t n = 0;

	for (size_t i = 0; l && i < l->n_space; i++) {
		if (ip_prefix_contains(&l->space[i], ip)) {
			size_t k = piece_with(&l->space[i], ip);

			*zone = reverse_number(vnet, n + k);
			*len = dns_name_reverse(ip->family, ip->b, ip->family == 4 ? 4 : 32, name) -
			       zone_piece_origin(&l->space[i], k, origin);
			return n + k < REVERSE_MAX;
		}
		n += zone_pieces(&l->space[i]);
	}
	return false;
}

static void each_reverse(const struct live *l, bool there)
{
	uint8_t origin[DNS_NAME_MAX];
	size_t n = 0;

	for (size_t i = 0; i < l->n_space; i++) {
		for (size_t k = 0; k < zone_pieces(&l->space[i]); k++, n++) {
			if (n >= REVERSE_MAX) {
				return;
			}
			if (there) {
				tell_zone(reverse_number(l->vnet, n), origin,
				          zone_piece_origin(&l->space[i], k, origin));
			} else {
				zone_gone_everywhere(reverse_number(l->vnet, n));
			}
		}
	}
}

/* The VNet's address space: of its document, or of the platform's subnet. */
static size_t space_of(uint32_t vnet, struct ip_prefix to[SPACE_MAX])
{
	const struct resource *v = table_numbered(vnet);
	const struct subnet *s;
	size_t n = 0;

	if (v) {
		return vnet_space(v, to, SPACE_MAX);
	}
	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		n += subnet_prefixes_of(s, to + n, SPACE_MAX - n);
	}
	return n;
}

/* ---- what a VNet sees ---- */

static void put_link(struct buf *b, unsigned *n, uint64_t zone, unsigned flags)
{
	put_u64(b, zone);
	put_u8(b, (uint8_t)flags);
	(*n)++;
}

/* Zones that the tenant linked to the VNet whose view is built. */
static struct linked {
	const struct resource *zone;
	uint8_t flags;
} linked[ZONE_LINKS_MAX];
static size_t n_linked;

static void list_linked(uint32_t vnet)
{
	struct zone_link_walk w = { .vnet = vnet };
	const struct resource *link;

	n_linked = 0;
	while ((link = zone_next_link(&w)) && n_linked < ZONE_LINKS_MAX) {
		const struct resource *z = zone_of(link);
		bool falls = model_is(link->doc, "properties.resolutionPolicy", "NxDomainRedirect");

		if (z && z->zone) {
			linked[n_linked++] = (struct linked){ z, falls ? DNS_LINK_FALLBACK : 0 };
		}
	}
}

/* Does one of them stand in the place of one of ours, or (`around`) around it? */
static bool shadowed(const uint8_t *origin, size_t len, bool around)
{
	for (size_t i = 0; i < n_linked; i++) {
		const struct zone *z = linked[i].zone->zone;

		if ((around || z->len == len) && dns_name_under(origin, len, z->origin, z->len)) {
			return true;
		}
	}
	return false;
}

static bool public_shadowed(void *arg, const uint8_t *origin, size_t len)
{
	(void)arg;
	return shadowed(origin, len, false);
}

static void put_own_links(struct buf *b, unsigned *n, const struct live *l)
{
	uint8_t origin[DNS_NAME_MAX];
	size_t at = 0;
	int len = dns_name_parse(plane.config->vnet_suffix, origin);

	if (len > 0 && !shadowed(origin, (size_t)len, false)) {
		put_link(b, n, zone_own(l->vnet), 0);
	}
	for (size_t i = 0; i < l->n_space; i++) {
		for (size_t k = 0; k < zone_pieces(&l->space[i]) && at < REVERSE_MAX; k++, at++) {
			size_t m = zone_piece_origin(&l->space[i], k, origin);

			if (!shadowed(origin, m, true)) {
				put_link(b, n, reverse_number(l->vnet, at), 0);
			}
		}
	}
	zone_public_links(b, n, public_shadowed, NULL);
}

static void put_servers(struct buf *b, const json_t *list, const char *key)
{
	size_t at = b->len, n = 0, i;
	struct err e = ERR_INIT;
	struct ip ip;
	json_t *x;

	put_u8(b, 0);
	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		const char *text = key ? model_str(x, key) : json_string_value(x);

		if (n < 20 && text && ip_parse(text, &ip, &e) == 0) {
			put_u8(b, ip.family);
			buf_add(b, ip.b, 16);
			n++;
		}
	}
	if (!b->failed) {
		b->data[at] = (uint8_t)n;
	}
}

/* May what is unknown be asked for outside? Where no subnet has a way out, nothing is. */
static bool has_way_out(uint32_t vnet, const struct resource *v)
{
	const struct subnet *s;
	bool out = v == NULL;

	for (size_t i = subnet_first(vnet); v && (s = subnet_at(i)) && s->vnet == vnet; i++) {
		out = out || vnet_default_outbound(v, s->id) ||
		      vnet_subnet_ref(v, s->id, "natGateway");
	}
	return out;
}

/* The addresses that the VNet's resolver asks from: the first of a subnet, its router's; of one with a way out, if
 * there is any. So what it asks is translated, routed and let in as what groups of that subnet ask. */
static void put_sources(struct buf *b, uint32_t vnet, const struct resource *v)
{
	const struct subnet *s, *best = NULL;
	struct ip_prefix some[SUBNET_RANGES_MAX];
	size_t at = b->len, n = 0;
	uint8_t last = 0;

	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		bool out = !v || vnet_default_outbound(v, s->id) ||
		           vnet_subnet_ref(v, s->id, "natGateway");

		if (!best || out) {
			best = s;
		}
		if (out) {
			break;
		}
	}
	put_u8(b, 0);
	size_t m = best ? subnet_prefixes_of(best, some, ARRAY_N(some)) : 0;
	for (size_t i = 0; i < m; i++) {
		if (some[i].ip.family != last && n < 2 && ip_add(&some[i].ip, 1)) {
			last = some[i].ip.family;
			put_u8(b, last);
			buf_add(b, some[i].ip.b, 16);
			n++;
		}
	}
	if (!b->failed) {
		b->data[at] = (uint8_t)n;
	}
}

static void build_view(const struct live *l, struct buf *b)
{
	const struct resource *v = table_numbered(l->vnet);
	const json_t *servers = v ? model_at(v->doc, "properties.dhcpOptions.dnsServers") : NULL;
	unsigned n = 0;

	list_linked(l->vnet);
	put_u32(b, l->vnet);
	put_u8(b, json_array_size(servers) > 0 || ruleset_any(v) || has_way_out(l->vnet, v));
	size_t at = b->len;
	put_u16(b, 0);
	put_own_links(b, &n, l);
	for (size_t i = 0; i < n_linked; i++) {
		put_link(b, &n, table_number((struct resource *)(uintptr_t)linked[i].zone),
		         linked[i].flags);
	}
	put_sources(b, l->vnet, v);
	put_servers(b, servers, NULL);
	ruleset_put(b, v);
	if (!b->failed) {
		b->data[at] = (uint8_t)n;
		b->data[at + 1] = (uint8_t)(n >> 8);
	}
}

/* Zones before who sees them. */
static void send_view(struct live *l)
{
	struct node *home = home_of(l->vnet);
	struct buf b = { 0 };

	build_view(l, &b);
	if (!b.failed && (b.len != l->view.len || memcmp(b.data, l->view.data, b.len) != 0)) {
		for (size_t i = 0; i < n_linked; i++) {
			zone_bring(home, linked[i].zone);
		}
		zone_send_to(home, MSG_VIEW_SET, &b);
		buf_fini(&l->view);
		l->view = b;
		zone_trim(home);
		return;
	}
	buf_fini(&b);
}

void zone_tell_vnets(void)
{
	for (size_t i = 0; i < n_lives; i++) {
		send_view(lives[i]);
	}
}

static void tell_own_zones(struct live *l)
{
	uint8_t origin[DNS_NAME_MAX];
	int len = dns_name_parse(plane.config->vnet_suffix, origin);

	if (len > 0) {
		tell_zone(zone_own(l->vnet), origin, (size_t)len);
	}
	each_reverse(l, true);
}

void zone_tell_vnet(uint32_t vnet)
{
	struct live *l = live_find(vnet);
	struct ip_prefix space[SPACE_MAX] = { 0 };

	if (!subnet_any(vnet)) {
		return;
	}
	size_t n = space_of(vnet, space);
	bool fresh = !l;
	l = l ? l : live_add(vnet);
	if (fresh || n != l->n_space || memcmp(space, l->space, n * sizeof(*space)) != 0) {
		each_reverse(l, false);
		memcpy(l->space, space, sizeof(space));
		l->n_space = n;
		tell_own_zones(l);
		zone_tell_groups(vnet);
	}
	send_view(l);
}

void zone_tell_vnet_gone(uint32_t vnet)
{
	struct live *l = live_find(vnet);
	struct buf b = { 0 };

	if (!l) {
		return;
	}
	put_u32(&b, vnet);
	zone_send_to(home_of(vnet), MSG_VIEW_DEL, &b);
	buf_fini(&b);
	each_reverse(l, false);
	zone_gone_everywhere(zone_own(vnet));
	size_t i = live_at(vnet);
	buf_fini(&l->view);
	free(l);
	n_lives--;
	memmove(&lives[i], &lives[i + 1], (n_lives - i) * sizeof(struct live *));
	zone_trim(home_of(vnet));
}

/* ---- the whole list ---- */

void zone_list_begin(struct node *n)
{
	zone_only(n);
	zone_send_to(n, MSG_NAMES_BEGIN, NULL);
	zone_public_list();
	for (size_t i = 0; i < n_lives; i++) {
		if (home_of(lives[i]->vnet) == n) {
			buf_fini(&lives[i]->view);
			lives[i]->view = (struct buf){ 0 };
			tell_own_zones(lives[i]);
		}
	}
	if (n == node_own()) {
		zone_list_private();
	}
}

/* A signed zone is answered for by the node that has its keys. */
static bool is_signed(void *arg, const uint8_t *origin, size_t len)
{
	char text[DNS_NAME_TEXT];

	(void)arg;
	return zone_keys_any(dns_name_print(origin, len, text));
}

void zone_list_end(struct node *n)
{
	struct buf b = { 0 };

	unsigned zones = 0;

	put_u32(&b, DNS_VIEW_PUBLIC);
	put_u8(&b, 0);
	put_u16(&b, 0);
	zone_public_links(&b, &zones, n == node_own() ? NULL : is_signed, NULL);
	if (!b.failed) {
		b.data[5] = (uint8_t)zones;
		b.data[6] = (uint8_t)(zones >> 8);
	}
	zone_send_to(n, MSG_VIEW_SET, &b);
	buf_fini(&b);
	for (size_t i = 0; i < n_lives; i++) {
		if (home_of(lives[i]->vnet) == n) {
			send_view(lives[i]);
		}
	}
	put_u64(&b, 0);
	zone_send_to(n, MSG_NAMES_END, &b);
	buf_fini(&b);
	zone_only(NULL);
}

/* ---- serials ---- */

#define SERIALS_AHEAD 10000

static uint32_t serial_ceiling;

void zone_serial_load(const json_t *row)
{
	serial_ceiling = (uint32_t)json_integer_value(json_object_get(row, "next"));
}

uint32_t zone_serial_next(void)
{
	uint32_t now = (uint32_t)(clock_system.wall_ms(&clock_system) / 1000);

	return now > serial_ceiling ? now : serial_ceiling;
}

void zone_serial(uint32_t serial)
{
	char row[64];

	if (serial < serial_ceiling) {
		return;
	}
	serial_ceiling = serial + SERIALS_AHEAD;
	snprintf(row, sizeof(row), "{\"next\":%u}", serial_ceiling);
	store_submit(plane.store, &(struct store_op){ .key = "meta/dns-serial", .value = row }, 1,
	             control_saved, NULL);
}
