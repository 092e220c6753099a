/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See ipam.h. Pure: no I/O; allocates its table only.
 */
#include "vnet/ipam.h"

#include <stdlib.h>
#include <string.h>

void ipam_init(struct ipam *m, const struct ip_prefix *prefix, unsigned first, unsigned last)
{
	*m = (struct ipam){ .prefix = *prefix, .first = first, .last = last, .cursor = prefix->ip };
	(void)ip_add(&m->cursor, first);
}

void ipam_fini(struct ipam *m)
{
	free(m->v);
	*m = (struct ipam){ 0 };
}

static size_t at(const struct ipam *m, const struct ip *ip)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (ip_compare(&m->v[mid].ip, ip) < 0) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct ipam_entry *get(const struct ipam *m, const struct ip *ip)
{
	size_t i = at(m, ip);

	return i < m->n && ip_compare(&m->v[i].ip, ip) == 0 ? &m->v[i] : NULL;
}

static struct ipam_entry *make(struct ipam *m, const struct ip *ip)
{
	size_t i = at(m, ip);

	if (i < m->n && ip_compare(&m->v[i].ip, ip) == 0) {
		return &m->v[i];
	}
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 16;
		struct ipam_entry *v = realloc(m->v, cap * sizeof(*v));

		if (!v) {
			return NULL;
		}
		m->v = v;
		m->cap = cap;
	}
	memmove(&m->v[i + 1], &m->v[i], (m->n - i) * sizeof(*m->v));
	m->v[i] = (struct ipam_entry){ .ip = *ip };
	m->n++;
	return &m->v[i];
}

static bool usable(const struct ipam *m, const struct ip *ip)
{
	struct ip end = ip_prefix_last(&m->prefix);

	return ip_prefix_contains(&m->prefix, ip) && ip_distance(ip, &m->prefix.ip) >= m->first &&
	       ip_distance(&end, ip) >= m->last;
}

static int claim(struct ipam *m, const struct ip *ip, uint32_t tenant, struct ip *ret,
                 struct err *e)
{
	struct ipam_entry *x = make(m, ip);

	if (!x) {
		return err_set(e, ERR_NO_MEMORY, 0, "addresses: out of memory");
	}
	x->taken = true;
	x->tenant = tenant;
	*ret = *ip;
	return 0;
}

int ipam_take(struct ipam *m, const struct ip *want, uint32_t tenant, int64_t now_ms,
              struct ip *ret, struct err *e)
{
	char text[IP_TEXT], net[IP_TEXT];
	struct ip first = m->prefix.ip, resting = { 0 };
	uint64_t size = ip_prefix_size(&m->prefix), tries;

	if (want && want->family) {
		const struct ipam_entry *x = get(m, want);

		if (!usable(m, want)) {
			return err_set(e, ERR_INVALID, 0, "%s is outside %s or reserved there",
			               ip_format(want, text), ip_prefix_format(&m->prefix, net));
		}
		if (x && x->taken) {
			return err_set(e, ERR_CONFLICT, 0, "%s is taken", ip_format(want, text));
		}
		return claim(m, want, tenant, ret, e);
	}
	/* Entries are as many as addresses were ever used: more steps than that find a free one. */
	tries = (uint64_t)m->n + m->first + m->last + 2;
	tries = tries < size ? tries : size;
	for (uint64_t i = 0; i < tries; i++) {
		struct ip ip = m->cursor;
		const struct ipam_entry *x;

		if (!usable(m, &ip)) {
			ip = first;
			if (!ip_add(&ip, m->first) || !usable(m, &ip)) {
				break;
			}
		}
		m->cursor = ip;
		if (!ip_add(&m->cursor, 1)) {
			m->cursor = first;
		}
		x = get(m, &ip);
		if (x && !x->taken && x->rest_until_ms > now_ms && x->tenant != tenant) {
			resting = resting.family ? resting : ip;
			continue;
		}
		if (!x || !x->taken) {
			return claim(m, &ip, tenant, ret, e);
		}
	}
	if (resting.family) {
		return claim(m, &resting, tenant, ret, e);
	}
	return err_set(e, ERR_LIMIT, 0, "%s has no free address",
	               ip_prefix_format(&m->prefix, net));
}

bool ipam_take_oldest(struct ipam *m, const struct ip_prefix *p, uint32_t tenant, int64_t now_ms,
                      bool rested, struct ip *ret, bool *any)
{
	struct ip ip = p->ip, best = { 0 };
	int64_t since = INT64_MAX;
	struct err e = ERR_INIT;

	*any = false;
	for (uint64_t i = 0; i < ip_prefix_size(p) && since > INT64_MIN; i++) {
		const struct ipam_entry *x = get(m, &ip);
		int64_t until = x ? x->rest_until_ms : INT64_MIN;
		bool is_free = usable(m, &ip) && !(x && x->taken), rests = until > now_ms;

		*any = *any || (is_free && rests);
		if (is_free && until < since && !(rests && (rested || x->tenant != tenant))) {
			best = ip;
			since = until;
		}
		(void)ip_add(&ip, 1);
	}
	return best.family && claim(m, &best, tenant, ret, &e) == 0;
}

bool ipam_is_taken(const struct ipam *m, const struct ip *ip)
{
	const struct ipam_entry *x = get(m, ip);

	return x && x->taken;
}

void ipam_give(struct ipam *m, const struct ip *ip, uint32_t tenant, int64_t rest_until_ms)
{
	struct ipam_entry *x = get(m, ip);

	if (x && x->taken) {
		x->taken = false;
		x->tenant = tenant;
		x->rest_until_ms = rest_until_ms;
	}
}

void ipam_rest(struct ipam *m, const struct ip *ip, uint32_t tenant, int64_t rest_until_ms)
{
	struct ipam_entry *x = usable(m, ip) ? make(m, ip) : NULL;

	if (x && !x->taken) {
		x->tenant = tenant;
		x->rest_until_ms = rest_until_ms;
	}
}

int ipam_take_block(struct ipam *m, uint8_t len, uint32_t tenant, int64_t now_ms,
                    struct ip_prefix *ret, struct err *e)
{
	char net[IP_TEXT];
	struct ip_prefix block = { m->prefix.ip, len };
	uint64_t size = ip_prefix_size(&block), blocks = ip_prefix_size(&m->prefix) / size;
	struct ip got;

	for (uint64_t b = 0; b < blocks && b < IPAM_BLOCKS_MAX; b++) {
		struct ip ip = block.ip, end = ip_prefix_last(&block);
		bool is_free = len >= m->prefix.len;

		for (uint64_t i = 0; is_free && i < size; i++) {
			const struct ipam_entry *x = get(m, &ip);

			is_free = usable(m, &ip) &&
			          (!x || (!x->taken &&
			                  (x->rest_until_ms <= now_ms || x->tenant == tenant)));
			(void)ip_add(&ip, 1);
		}
		ip = block.ip;
		for (uint64_t i = 0; is_free && i < size; i++) {
			if (claim(m, &ip, tenant, &got, e) < 0) {
				return -1;
			}
			(void)ip_add(&ip, 1);
		}
		if (is_free) {
			*ret = block;
			return 0;
		}
		if (!ip_add(&end, 1)) {
			break;
		}
		block.ip = end;
	}
	return err_set(e, ERR_LIMIT, 0, "%s has no free block of /%u",
	               ip_prefix_format(&m->prefix, net), len);
}
