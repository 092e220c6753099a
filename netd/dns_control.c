/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What control says of names: whole names, zones, views. Everything is checked as if it came from a stranger. See
 * dns_parts.h, and netd/zone_names.c and zone_view.c for the other end.
 *
 * MSG_NAME_SET: request, count, then names: zone (8), length and bytes, number of sets, each: type (2), ttl (4),
 * count (1), bytes (2), data as in dns/table.h. MSG_VIEW_SET: VNet (4), whether it forwards, number of links (2),
 * each: zone (8), flags (1); the rest is what its resolver is told (netd/resolver.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dns/record.h"
#include "dns/transfer.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "netd/dns_vnet.h"

static void reply(enum msg_type type, uint64_t request, int ok, const char *text)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	if (type == MSG_DNS_DONE) {
		put_u8(&b, (uint8_t)ok);
	}
	put_str(&b, text);
	channel_send(dns_role.control, type, &b, -1);
	buf_fini(&b);
}

static const uint8_t *borrow_name(struct reader *r, size_t *len)
{
	*len = get_u8(r);
	const uint8_t *name = borrow_bytes(r, *len);

	if (name && !dns_name_valid(name, *len)) {
		r->failed = true;
	}
	return name;
}

static void one_name(struct reader *r, struct err *e, bool *ok)
{
	uint64_t zone = get_u64(r);
	struct dns_set sets[DNS_SETS_MAX];
	size_t len;
	const uint8_t *name = borrow_name(r, &len);
	unsigned n = get_u8(r);

	for (unsigned i = 0; i < n && !r->failed; i++) {
		struct dns_set s = { .type = get_u16(r) };

		s.ttl_s = get_u32(r);
		s.count = get_u8(r);
		size_t bytes = get_u16(r);

		s.data = borrow_bytes(r, bytes);
		s.end = s.data + bytes;
		if (n > DNS_SETS_MAX || !s.data || !dns_set_valid(&s)) {
			r->failed = true;
			return;
		}
		sets[i] = s;
	}
	if (!r->failed) {
		dns_transfer_note(zone, name, len);
	}
	if (!r->failed && dns_name_put(dns_role.zones, zone, name, len, sets, n, e) < 0) {
		*ok = false;
	}
	if (!r->failed) {
		dns_hot_changed(zone, name, len);
	}
}

static void name_set(struct reader *r)
{
	uint64_t request = get_u64(r);
	unsigned n = get_u16(r);
	struct err e = ERR_INIT;
	bool ok = true;

	for (unsigned i = 0; i < n && !r->failed; i++) {
		one_name(r, &e, &ok);
	}
	if (!reader_done(r)) {
		r->failed = true;
		return;
	}
	dns_table_reclaim(dns_zones_table(dns_role.zones));
	dns_hot_check();
	if (!ok) {
		log_error("dns.name", LOG_STR("error", e.msg));
	}
	if (request) {
		crash_point(CRASH_DNS_UPDATED);
		reply(MSG_DNS_DONE, request, ok, ok ? "" : e.msg);
	}
}

static void zone_set(struct reader *r)
{
	uint64_t zone = get_u64(r);
	uint32_t serial = get_u32(r);
	struct err e = ERR_INIT;
	size_t len;
	const uint8_t *origin = borrow_name(r, &len);

	if (reader_done(r) && dns_zone_put(dns_role.zones, zone, origin, len, serial, &e) < 0) {
		log_error("dns.zone", LOG_STR("error", e.msg));
	}
}

/* Private halves come by a socket pair, and are in this process alone. */
static void zone_keys(struct reader *r)
{
	uint64_t zone = get_u64(r);
	unsigned n = get_u8(r);
	struct dns_keys *keys = n > 0 && n <= DNS_KEYS_MAX ? calloc(1, sizeof(*keys)) : NULL;

	for (unsigned i = 0; keys && i < n; i++) {
		uint16_t flags = get_u16(r);
		bool signs = get_u8(r);
		const uint8_t *private = borrow_bytes(r, 32);

		if (private && dns_key_load(&keys->v[keys->n], flags, signs, private)) {
			keys->n++;
		}
	}
	if (!reader_done(r)) {
		dns_keys_free(keys);
		r->failed = true;
		return;
	}
	dns_zone_keys(dns_role.zones, zone, keys);
	dns_transfer_resign(zone);
}

/* ---- views ---- */

/* Links that were set last, and are not any more, go. */
static void drop_links(uint32_t view, const uint64_t *was, unsigned n_was, const uint64_t *now,
                       unsigned n)
{
	for (unsigned i = 0; i < n_was; i++) {
		bool stays = false;

		for (unsigned j = 0; j < n; j++) {
			stays = stays || now[j] == was[i];
		}
		if (!stays) {
			dns_link_drop(dns_role.zones, view, was[i]);
		}
	}
}

static void view_set(struct reader *r)
{
	uint32_t view = get_u32(r);
	bool forwards = get_u8(r);
	unsigned n = get_u16(r);
	uint64_t *zones = calloc(n + 1, sizeof(*zones));
	struct err e = ERR_INIT;

	for (unsigned i = 0; zones && i < n; i++) {
		zones[i] = get_u64(r);
		uint8_t flags = get_u8(r);

		if (!r->failed && dns_link_put(dns_role.zones, view, zones[i], flags, &e) < 0) {
			log_error("dns.view", LOG_STR("error", e.msg));
		}
		if (!r->failed && view == DNS_VIEW_PUBLIC) {
			dns_transfer_follow(zones[i]);
		}
	}
	size_t left = r->left;
	const uint8_t *rest = borrow_bytes(r, left);
	if (!zones || r->failed || view == DNS_VIEW_PUBLIC) { /* public zones never go */
		free(zones);
		return;
	}
	struct vnet *v = dns_vnet_set(view, forwards, rest, left);
	drop_links(view, v->zones, v->n_zones, zones, n);
	free(v->zones);
	v->zones = zones;
	v->n_zones = n;
}

static void view_del(uint32_t view)
{
	const struct vnet *v = dns_vnet_find(view);

	if (v) {
		drop_links(view, v->zones, v->n_zones, NULL, 0);
		dns_vnet_del(view);
	}
}

/* ---- the whole ---- */

static void pong(uint64_t request)
{
	static const char *const names[COUNT_N] = { "queries",   "answers",      "tcp_queries",
		                                    "nxdomain",  "refused",      "malformed",
		                                    "truncated", "limited",      "cookies",
		                                    "forwarded", "forwards_lost" };
	uint64_t sums[COUNT_N] = { 0 }, hot;
	struct buf b = { 0 };

	dns_workers_add(sums);
	dns_hot_print(&b, &hot);
	sums[COUNT_QUERIES] += hot;
	sums[COUNT_ANSWERS] += hot;
	for (int i = 0; i < COUNT_N; i++) {
		buf_addf(&b, "netd_dns_%s_total %llu\n", names[i],
		         (unsigned long long)(sums[i] + atomic_load(&dns_role.counts.v[i])));
	}
	buf_addf(&b, "netd_dns_names %zu\n", dns_names(dns_role.zones));
	if (buf_str(&b)) {
		reply(MSG_PONG, request, 1, buf_str(&b));
	}
	buf_fini(&b);
}

/* A question that control asks, as the view would be answered. */
static void ask_view(struct reader *r)
{
	static uint8_t out[65535];
	uint64_t token = get_u64(r);
	uint32_t view = get_u32(r);
	size_t len = r->left;
	const uint8_t *packet = borrow_bytes(r, len);
	struct dns_ask a = { .zones = dns_role.zones,
		             .view = dns_view_of(dns_role.zones, view),
		             .server = &dns_role.server,
		             .signer = dns_role.signer,
		             .tcp = true,
		             .stub = view != DNS_VIEW_PUBLIC,
		             .client_len = 4 };
	char target[DNS_NAME_TEXT];
	struct buf b = { 0 };

	if (!packet) {
		return;
	}
	size_t n = dns_answer(&a, packet, len, out, sizeof(out));
	put_u64(&b, token);
	put_u8(&b, a.elsewhere);
	put_str(&b, a.elsewhere ? dns_name_print(a.target, a.target_len, target) : "");
	buf_add(&b, out, n);
	channel_send(dns_role.control, MSG_NAMES_ANSWER, &b, -1);
	buf_fini(&b);
}

/* A zone's names, as a transfer has them. */
static void export_zone(struct reader *r)
{
	uint64_t token = get_u64(r), zone = get_u64(r);
	const struct dns_zone *c = dns_zone_numbered(dns_role.zones, zone);
	uint8_t question[DNS_NAME_MAX + 5] = { 0 };
	struct buf all = { 0 };

	if (c) {
		struct dns_transfer t = { .type = DNS_AXFR,
			                  .question = question,
			                  .question_len = c->len + 5 };

		memcpy(question, c->origin, c->len);
		dns_put16(question + c->len + 1, DNS_AXFR);
		dns_put16(question + c->len + 3, 1);
		(void)dns_transfer_build(dns_role.zones, c, NULL, &t, &all);
	}
	for (size_t at = 0; at == 0 || at < all.len;) {
		size_t n = all.len ? dns_get16(all.data + at) : 0;
		struct buf b = { 0 };

		put_u64(&b, token);
		put_u8(&b, at + 2 + n >= all.len);
		if (n > 0) {
			buf_add(&b, all.data + at + 2, n);
		}
		channel_send(dns_role.control, MSG_NAMES_PART, &b, -1);
		buf_fini(&b);
		at += 2 + n;
	}
	buf_fini(&all);
}

void dns_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	switch ((int)type) {
	case MSG_NAMES_BEGIN:
		dns_list_begin(dns_role.zones);
		dns_vnets_begin();
		break;
	case MSG_ZONE_SET:
		zone_set(r);
		break;
	case MSG_ZONE_KEYS:
		zone_keys(r);
		break;
	case MSG_ZONE_DEL:
		dns_zone_drop(dns_role.zones, get_u64(r));
		break;
	case MSG_NAME_SET:
		name_set(r);
		break;
	case MSG_VIEW_SET:
		view_set(r);
		break;
	case MSG_VIEW_DEL:
		view_del(get_u32(r));
		break;
	case MSG_NAMES_END:
		if (dns_list_end(dns_role.zones) > 0) {
			dns_transfer_forget();
		}
		dns_vnets_end();
		dns_hot_check();
		dns_serve();
		reply(MSG_DNS_DONE, get_u64(r), 1, "");
		break;
	case MSG_NAMES_ASK:
		ask_view(r);
		break;
	case MSG_NAMES_EXPORT:
		export_zone(r);
		break;
	case MSG_PING:
		pong(get_u64(r));
		break;
	default:
		r->failed = true;
		break;
	}
	dns_hot_check();
}
