/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See addrblock.h.
 */
#include "netd/addrblock.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/fabric_parts.h"
#include "netd/home.h"
#include "netd/plane.h"

static bool used(void *arg, const struct ip *ip)
{
	return network_used(*(const uint32_t *)arg, ip);
}

int addrblock_take(const struct subnet *s, struct subnet_range *x, const struct ip *want,
                   const struct node *n, uint32_t tenant, struct ip *got, bool *changed,
                   struct err *e)
{
	int64_t now = clock_system.now_ms(&clock_system);
	uint32_t vnet = s->vnet;
	bool several = plane.config->listen_nodes[0] && n;

	if (several && !want) {
		return blocks_take(&x->blocks, &x->ipam, n->number, tenant, now, used, &vnet, got,
		                   changed, e);
	}
	if (ipam_take(&x->ipam, want, tenant, now, got, e) < 0) {
		return -1;
	}
	*changed = several && blocks_claim(&x->blocks, &x->prefix, got, n->number, used, &vnet);
	return 0;
}

void addrblock_restore(const struct subnet *s, struct subnet_range *x, const struct ip *ip,
                       const struct node *n)
{
	uint32_t vnet = s->vnet;

	if (plane.config->listen_nodes[0] && n) {
		(void)blocks_claim(&x->blocks, &x->prefix, ip, n->number, used, &vnet);
	}
}

static const struct node *holder(uint32_t vnet, uint32_t number)
{
	const struct node *n = number ? node_numbered(number) : NULL;

	return n && home_has(vnet, n) ? n : NULL;
}

const struct node *addrblock_node(uint32_t vnet, const struct ip *ip)
{
	const struct subnet *s = subnet_with(vnet, ip);
	const struct subnet_range *x = s ? subnet_range_of(s, ip) : NULL;

	return x ? holder(vnet, blocks_node(&x->blocks, &x->prefix, ip)) : NULL;
}

/* ---- telling nodes soon: many groups may leave a node at once ---- */

static struct {
	struct loop_timer *timer;
	uint32_t *v;
	size_t n, cap;
} soon;

/* Are there nodes that were told of it? */
static bool is_told(uint32_t vnet)
{
	return fabric_sent(vnet) && home_branch(vnet, 0);
}

void addrblock_tell(uint32_t vnet)
{
	if (is_told(vnet)) {
		fabric_links(vnet);
	}
}

static void on_soon(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < soon.n; i++) {
		addrblock_tell(soon.v[i]);
	}
	soon.n = 0;
}

static void tell_soon(uint32_t vnet)
{
	for (size_t i = 0; i < soon.n; i++) {
		if (soon.v[i] == vnet) {
			return;
		}
	}
	if (soon.n == soon.cap) {
		soon.cap = soon.cap ? soon.cap * 2 : 16;
		soon.v = realloc(soon.v, soon.cap * sizeof(*soon.v));
	}
	if (!soon.timer) {
		soon.timer = loop_timer_new(plane.loop, on_soon, NULL);
	}
	if (!soon.v || !soon.timer) {
		abort();
	}
	soon.v[soon.n++] = vnet;
	loop_timer_start(soon.timer, 0);
}

void addrblock_note(uint32_t vnet, const struct ip *ip, const struct node *n)
{
	const struct node *holds = addrblock_node(vnet, ip);

	if (holds && holds != n && is_told(vnet)) {
		tell_soon(vnet);
	}
}

void addrblock_left(uint32_t vnet, const struct node *n)
{
	struct subnet *s;

	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		for (size_t k = 0; k < s->n_ranges; k++) {
			blocks_drop(&s->ranges[k].blocks, n->number);
		}
	}
}

/* ---- what nodes know ---- */

static struct plan_addrblock *list;
static size_t n_list, cap_list;

/* Groups on other nodes, which have ways of their own, and frontends and the like, which the home has, are left out. */
static void read_block(uint32_t vnet, const struct subnet_range *x, const struct ip *first,
                       const struct node *n)
{
	struct ip_prefix block = blocks_around(&x->prefix, first), parts[BLOCKS_SIZE];
	struct ip ip = *first, out[BLOCKS_SIZE];
	size_t n_out = 0, count;

	for (uint64_t i = 0; i < ip_prefix_size(&block); i++) {
		if (ipam_is_taken(&x->ipam, &ip) && network_node_at(vnet, &ip) != n) {
			out[n_out++] = ip;
		}
		(void)ip_add(&ip, 1);
	}
	if (n_list + BLOCKS_SIZE > cap_list) {
		cap_list = cap_list ? cap_list * 2 : 64;
		list = realloc(list, cap_list * sizeof(*list));
		if (!list) {
			abort();
		}
	}
	count = blocks_without(&block, out, n_out, parts);
	for (size_t k = 0; k < count; k++) {
		list[n_list++] = (struct plan_addrblock){ parts[k], n->number };
	}
}

size_t addrblock_list(uint32_t vnet, const struct plan_addrblock **to)
{
	const struct subnet *s;

	n_list = 0;
	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		for (size_t k = 0; k < s->n_ranges; k++) {
			const struct subnet_range *x = &s->ranges[k];

			for (size_t j = 0; j < x->blocks.n; j++) {
				const struct node *n = holder(vnet, x->blocks.v[j].node);

				if (n) {
					read_block(vnet, x, &x->blocks.v[j].first, n);
				}
			}
		}
	}
	*to = list;
	return n_list;
}

void addrblock_known(uint32_t vnet, const struct node *own, struct kset *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct kobj *o = &set->v[i];
		bool remote = o->kind == KOBJ_ELEM &&
		              (o->sub == KOBJ_SET_REMOTE4 || o->sub == KOBJ_SET_REMOTE6);
		bool way = o->kind == KOBJ_ROUTE && !o->table && o->plen == ip_bits(o->family);
		struct ip ip = { .family = o->family };

		memcpy(ip.b, o->addr, 16);
		const struct node *by =
			o->ns == vnet && (remote || way) ? addrblock_node(vnet, &ip) : NULL;
		if (!by || by != own) {
			set->v[n++] = *o;
		}
	}
	set->n = n;
}
