/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See blocks.h. Pure: no I/O; allocates its table only.
 */
#include "vnet/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"

void blocks_fini(struct blocks *b)
{
	free(b->v);
	*b = (struct blocks){ 0 };
}

struct ip_prefix blocks_around(const struct ip_prefix *range, const struct ip *ip)
{
	uint8_t len = (uint8_t)(ip_bits(ip->family) - BLOCKS_BITS);
	struct ip_prefix block = { *ip, len };

	if (range->len >= len) {
		return *range;
	}
	block.ip.b[ip_bits(ip->family) / 8 - 1] &= (uint8_t) ~(BLOCKS_SIZE - 1);
	return block;
}

static size_t at(const struct blocks *b, const struct ip *first)
{
	size_t lo = 0, hi = b->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ip_compare(&b->v[mid].first, first) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct blocks_one *get(const struct blocks *b, const struct ip_prefix *range,
                              const struct ip *ip)
{
	struct ip_prefix block = blocks_around(range, ip);
	size_t i = at(b, &block.ip);

	return i < b->n && ip_compare(&b->v[i].first, &block.ip) == 0 ? &b->v[i] : NULL;
}

uint32_t blocks_node(const struct blocks *b, const struct ip_prefix *range, const struct ip *ip)
{
	const struct blocks_one *x = get(b, range, ip);

	return x ? x->node : 0;
}

static void own(struct blocks *b, const struct ip *first, uint32_t node)
{
	size_t i = at(b, first);

	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 4;
		b->v = realloc(b->v, b->cap * sizeof(*b->v));
		if (!b->v) {
			abort();
		}
	}
	memmove(&b->v[i + 1], &b->v[i], (b->n - i) * sizeof(*b->v));
	b->v[i] = (struct blocks_one){ .first = *first, .node = node };
	b->n++;
}

static bool any_used(const struct ip_prefix *block, blocks_used_fn used, void *arg)
{
	struct ip ip = block->ip;

	for (uint64_t i = 0; i < ip_prefix_size(block); i++) {
		if (used(arg, &ip)) {
			return true;
		}
		(void)ip_add(&ip, 1);
	}
	return false;
}

bool blocks_claim(struct blocks *b, const struct ip_prefix *range, const struct ip *ip,
                  uint32_t node, blocks_used_fn used, void *arg)
{
	struct ip_prefix block = blocks_around(range, ip);

	if (get(b, range, ip) || any_used(&block, used, arg)) {
		return false;
	}
	own(b, &block.ip, node);
	return true;
}

/* Of the node's own. */
static bool take_own(struct blocks *b, struct ipam *m, uint32_t node, uint32_t tenant,
                     int64_t now_ms, bool rested, struct ip *ret)
{
	for (size_t i = 0; i < b->n; i++) {
		struct ip_prefix block = blocks_around(&m->prefix, &b->v[i].first);
		bool rests;

		if (b->v[i].node != node || b->v[i].full) {
			continue;
		}
		if (ipam_take_oldest(m, &block, tenant, now_ms, rested, ret, &rests)) {
			return true;
		}
		b->v[i].full = !rests;
	}
	return false;
}

/* Of one that nobody has, from where the last address was given on. */
static bool take_new(struct blocks *b, struct ipam *m, uint32_t node, uint32_t tenant,
                     int64_t now_ms, blocks_used_fn used, void *arg, struct ip *ret)
{
	struct ip_prefix block = blocks_around(&m->prefix, &m->cursor);
	uint64_t all = ip_prefix_size(&m->prefix) / ip_prefix_size(&block), tries = b->n + m->n + 2;

	if (!ip_prefix_contains(&m->prefix, &m->cursor)) {
		block = blocks_around(&m->prefix, &m->prefix.ip);
	}
	for (uint64_t i = 0; i < (tries < all ? tries : all); i++) {
		struct ip next = block.ip;
		bool rests;

		if (!get(b, &m->prefix, &block.ip) && !any_used(&block, used, arg) &&
		    ipam_take_oldest(m, &block, tenant, now_ms, true, ret, &rests)) {
			own(b, &block.ip, node);
			m->cursor = ip_prefix_last(&block);
			return true;
		}
		block.ip = ip_add(&next, ip_prefix_size(&block)) &&
		                           ip_prefix_contains(&m->prefix, &next)
		                   ? next
		                   : m->prefix.ip;
	}
	return false;
}

/* Of another node's that has no group in it. */
static bool take_over(struct blocks *b, struct ipam *m, uint32_t node, uint32_t tenant,
                      int64_t now_ms, blocks_used_fn used, void *arg, struct ip *ret)
{
	for (size_t i = 0; i < b->n; i++) {
		struct ip_prefix block = blocks_around(&m->prefix, &b->v[i].first);
		bool rests;

		if (b->v[i].node != node && !any_used(&block, used, arg) &&
		    ipam_take_oldest(m, &block, tenant, now_ms, false, ret, &rests)) {
			b->v[i].node = node;
			b->v[i].full = false;
			return true;
		}
	}
	return false;
}

int blocks_take(struct blocks *b, struct ipam *m, uint32_t node, uint32_t tenant, int64_t now_ms,
                blocks_used_fn used, void *arg, struct ip *ret, bool *claimed, struct err *e)
{
	*claimed = false;
	if (take_own(b, m, node, tenant, now_ms, true, ret)) {
		return 0;
	}
	if (take_new(b, m, node, tenant, now_ms, used, arg, ret)) {
		*claimed = true;
		return 0;
	}
	if (take_own(b, m, node, tenant, now_ms, false, ret)) {
		return 0;
	}
	if (take_over(b, m, node, tenant, now_ms, used, arg, ret)) {
		*claimed = true;
		return 0;
	}
	if (ipam_take(m, NULL, tenant, now_ms, ret, e) < 0) {
		return -1;
	}
	*claimed = blocks_claim(b, &m->prefix, ret, node, used, arg);
	return 0;
}

void blocks_given(struct blocks *b, const struct ip_prefix *range, const struct ip *ip)
{
	struct blocks_one *x = get(b, range, ip);

	if (x) {
		x->full = false;
	}
}

void blocks_drop(struct blocks *b, uint32_t node)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (b->v[i].node != node) {
			b->v[n++] = b->v[i];
		}
	}
	b->n = n;
}

static bool any_in(const struct ip_prefix *p, const struct ip *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ip_prefix_contains(p, &v[i])) {
			return true;
		}
	}
	return false;
}

size_t blocks_without(const struct ip_prefix *block, const struct ip *out, size_t n,
                      struct ip_prefix to[static BLOCKS_SIZE])
{
	size_t count = 0;
	struct ip ip = block->ip;
	uint64_t left = ip_prefix_size(block);

	/* The largest aligned part that has none of them, one after the other. */
	while (left > 0) {
		struct ip_prefix p = { ip, (uint8_t)ip_bits(ip.family) };
		bool none = !any_in(&p, out, n);

		while (none && p.len > block->len) {
			struct ip_prefix wider = { ip, (uint8_t)(p.len - 1) };
			uint64_t size = ip_prefix_size(&wider);

			if (ip_distance(&ip, &block->ip) % size != 0 || any_in(&wider, out, n)) {
				break;
			}
			p = wider;
		}
		if (none) {
			to[count++] = p;
		}
		left -= ip_prefix_size(&p);
		(void)ip_add(&ip, ip_prefix_size(&p));
	}
	return count;
}
