/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which node's dns role is told of what. Control's own has all names. Another has the public ones, without the keys that sign
 * them, those of the VNets that are on it, and of private zones those that such a VNet is linked to. See zone_parts.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/subnet.h"
#include "netd/zone_parts.h"

#define BATCH_BYTES 100000u
#define ASK_ZONES   (UINT64_C(0x5a) << 56)

/* ---- private zones on other nodes ---- */

static struct has {
	const struct node *node;
	uint32_t zone;
} * has;
static size_t n_has;

static const struct node *only; /* while a list is said: to that node alone */

static bool has_zone(const struct node *n, uint64_t zone)
{
	for (size_t i = 0; i < n_has; i++) {
		if (has[i].node == n && has[i].zone == zone) {
			return true;
		}
	}
	return false;
}

static bool wants(const struct node *n, uint64_t zone)
{
	if (zone >> 32 && !zone_is_public(zone)) { /* a VNet's own, or of its addresses */
		return home_of((uint32_t)zone) == n;
	}
	return n == node_own() || zone_is_public(zone) || has_zone(n, zone);
}

/* The next node, from *i on, that is to hear of the zone; NULL: no more. */
static struct node *listener(size_t *i, uint64_t zone)
{
	struct node *n;

	while ((n = node_at((*i)++))) {
		if ((!only || n == only) && node_channel(n, ROLE_DNS) && wants(n, zone)) {
			return n;
		}
	}
	return NULL;
}

void zone_send(uint64_t zone, enum msg_type type, const struct buf *body)
{
	struct node *n;

	for (size_t i = 0; (n = listener(&i, zone));) {
		n->names_touched = true;
		channel_send(node_channel(n, ROLE_DNS), type, body, -1);
	}
}

void zone_send_to(struct node *n, enum msg_type type, const struct buf *body)
{
	if (n && (!only || n == only)) {
		n->names_touched = true;
		channel_send(node_channel(n, ROLE_DNS), type, body, -1);
	}
}

void zone_bring(struct node *n, const struct resource *zone)
{
	uint32_t number = table_number((struct resource *)(uintptr_t)zone);
	const struct node *was = only;

	if (!n || n == node_own() || has_zone(n, number)) {
		return;
	}
	struct has *v = realloc(has, (n_has + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	has = v;
	has[n_has++] = (struct has){ n, number };
	only = n;
	zone_tell_whole(zone);
	only = was;
}

/* Is it linked to a VNet that lives on the node? */
static bool linked_on(const struct node *n, uint32_t zone)
{
	struct zone_link_walk w = { .zone = zone };
	const struct resource *link;

	while ((link = zone_next_link(&w))) {
		struct resource *v = zone_link_vnet(link);

		if (v && subnet_any(table_number(v)) && home_of(table_number(v)) == n) {
			return true;
		}
	}
	return false;
}

void zone_trim(struct node *n)
{
	for (size_t i = n_has; i-- > 0;) {
		struct buf b = { 0 };

		if (has[i].node != n || linked_on(n, has[i].zone)) {
			continue;
		}
		put_u64(&b, has[i].zone);
		zone_send_to(n, MSG_ZONE_DEL, &b);
		buf_fini(&b);
		has[i] = has[--n_has];
	}
}

static void forget_all(const struct node *n)
{
	for (size_t i = n_has; i-- > 0;) {
		if (has[i].node == n) {
			has[i] = has[--n_has];
		}
	}
}

void zone_node_gone(const struct node *n)
{
	forget_all(n);
}

void zone_gone_everywhere(uint64_t number)
{
	struct buf b = { 0 };

	put_u64(&b, number);
	zone_send(number, MSG_ZONE_DEL, &b);
	buf_fini(&b);
	for (size_t i = n_has; i-- > 0;) {
		if (has[i].zone == number) {
			has[i] = has[--n_has];
		}
	}
}

void zone_only(struct node *n)
{
	only = n;
	if (n) { /* it begins anew */
		forget_all(n);
	}
}

/* ---- answers ---- */

/* One node was asked. After a start as many are under way as there are groups. */
struct node_ask {
	LIST_ENTRY(node_ask)
	link, same; /* of its node; of those whose requests have the same bits */
	struct node *node;
	uint64_t request;
};
#define BUCKETS 16384u
static LIST_HEAD(askeds, node_ask) askeds[BUCKETS];

static struct askeds *bucket(uint64_t request)
{
	return &askeds[(request ^ request >> 56) % BUCKETS];
}

struct waiting {
	STAILQ_ENTRY(waiting) link;
	uint64_t request;
	void (*fn)(void *arg);
	void *arg;
};
static STAILQ_HEAD(waitings, waiting) waitings = STAILQ_HEAD_INITIALIZER(waitings);

static void ask(struct node *n, uint64_t request)
{
	struct node_ask *a = malloc(sizeof(*a));

	if (!a) {
		abort();
	}
	node_asks(n, ROLE_DNS);
	*a = (struct node_ask){ .node = n, .request = request };
	LIST_INSERT_HEAD(&n->asks, a, link);
	LIST_INSERT_HEAD(bucket(request), a, same);
}

static void asked_free(struct node_ask *a)
{
	LIST_REMOVE(a, link);
	LIST_REMOVE(a, same);
	free(a);
}

/* Of that node, or (NULL) of any. */
static struct node_ask *asked_find(const struct node *n, uint64_t request)
{
	struct node_ask *a;

	LIST_FOREACH(a, bucket(request), same)
	{
		if (a->request == request && (!n || a->node == n)) {
			break;
		}
	}
	return a;
}

/* All that were asked have answered. */
static void whole(uint64_t request)
{
	struct waiting *w;

	if (request >> 56 != ASK_ZONES >> 56) {
		group_dns_done(request);
		return;
	}
	STAILQ_FOREACH(w, &waitings, link)
	{
		if (w->request == request) {
			STAILQ_REMOVE(&waitings, w, waiting, link);
			w->fn(w->arg);
			free(w);
			return;
		}
	}
}

void zone_answered(struct node *n, uint64_t request)
{
	struct node_ask *a = asked_find(n, request);
	bool waited = a != NULL;

	if (waited) {
		asked_free(a);
	}
	node_answers(n, ROLE_DNS, false); /* any answer tells that it is there */
	if (!LIST_EMPTY(&n->asks)) {
		node_asks(n, ROLE_DNS);
	}
	if (waited && !asked_find(NULL, request)) {
		whole(request);
	}
}

/* The node is waited for no longer; `groups`: neither by groups. */
static void give_up(struct node *n, bool groups)
{
	struct node_ask *a;

	while ((a = LIST_FIRST(&n->asks))) {
		uint64_t request = a->request;
		bool waits = groups || request >> 56 == ASK_ZONES >> 56;

		asked_free(a);
		if (waits && !asked_find(NULL, request)) {
			whole(request);
		}
	}
}

/* It gets the whole list when it comes back. Groups hear of it then, when it is control's own. */
void zone_dns_gone(struct node *n)
{
	give_up(n, n != node_own());
}

void zone_sweep_silent(int64_t now_ms)
{
	struct node *n;

	for (size_t i = 0; (n = node_at(i)); i++) {
		if (node_falls_silent(n, ROLE_DNS, now_ms) || node_silent(n, ROLE_DNS)) {
			give_up(n, true); /* what was asked since, too */
		}
	}
}

void zone_wait(void (*fn)(void *arg), void *arg)
{
	static uint64_t last;
	uint64_t request = ASK_ZONES | (++last & 0xffffffffffffff);
	struct waiting *w = malloc(sizeof(*w));
	struct buf b = { 0 };
	struct node *n;

	if (!w) {
		abort();
	}
	put_u64(&b, request);
	put_u16(&b, 0);
	for (size_t i = 0; (n = node_at(i)); i++) {
		if (n->names_touched && node_channel(n, ROLE_DNS)) {
			n->names_touched = false;
			ask(n, request);
			channel_send(node_channel(n, ROLE_DNS), MSG_NAME_SET, &b, -1);
		}
	}
	buf_fini(&b);
	if (!asked_find(NULL, request)) {
		free(w);
		fn(arg);
		return;
	}
	*w = (struct waiting){ .request = request, .fn = fn, .arg = arg };
	STAILQ_INSERT_TAIL(&waitings, w, link);
}

/* ---- names on their way ---- */

void batch_begin(struct batch *b, uint64_t request)
{
	*b = (struct batch){ .request = request };
}

static void part_begin(struct batch_part *p, uint64_t request)
{
	p->names = 0;
	put_u64(&p->body, request);
	put_u16(&p->body, 0);
}

static void part_send(struct batch_part *p, uint64_t request)
{
	if (!p->body.failed) {
		memcpy(p->body.data, &request, 8); /* as put_u64() writes it */
		p->body.data[8] = (uint8_t)p->names;
		p->body.data[9] = (uint8_t)(p->names >> 8);
		if (request) {
			ask(p->node, request);
		}
		zone_send_to(p->node, MSG_NAME_SET, &p->body);
	}
	buf_fini(&p->body);
}

static struct batch_part *part_of(struct batch *b, struct node *n)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->v[i].node == n) {
			return &b->v[i];
		}
	}
	struct batch_part *v = realloc(b->v, (b->n + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	b->v = v;
	v[b->n] = (struct batch_part){ .node = n };
	part_begin(&v[b->n], b->request);
	return &v[b->n++];
}

static void put_name(struct buf *b, uint64_t zone, const uint8_t *name, size_t len,
                     const struct dns_set *v, size_t n)
{
	put_u64(b, zone);
	put_u8(b, (uint8_t)len);
	buf_add(b, name, len);
	put_u8(b, (uint8_t)n);
	for (size_t i = 0; i < n; i++) {
		size_t bytes = (size_t)(v[i].end - v[i].data);

		put_u16(b, v[i].type);
		put_u32(b, v[i].ttl_s);
		put_u8(b, v[i].count);
		put_u16(b, (uint16_t)bytes);
		buf_add(b, v[i].data, bytes);
	}
}

void batch_name(struct batch *b, uint64_t zone, const uint8_t *name, size_t len,
                struct dns_sets *sets)
{
	const struct dns_set *v = dns_sets_close(sets);
	struct node *n;

	for (size_t i = 0; (n = listener(&i, zone));) {
		struct batch_part *p = part_of(b, n);

		if (p->body.len > BATCH_BYTES || p->names == UINT16_MAX) {
			part_send(p, 0); /* the last one is answered */
			part_begin(p, b->request);
		}
		put_name(&p->body, zone, name, len, v, sets->n);
		p->names++;
	}
	dns_sets_fini(sets);
}

void batch_end(struct batch *b)
{
	if (b->request && node_own() && plane.dns && (!only || only == node_own())) {
		(void)part_of(b, node_own()); /* who asks is answered */
	}
	for (size_t i = 0; i < b->n; i++) {
		part_send(&b->v[i], b->request);
	}
	free(b->v);
}
