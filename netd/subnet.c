/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See subnet.h.
 */
#include "netd/subnet.h"

#include <stdlib.h>
#include <string.h>

static struct subnet **subnets; /* sorted by VNet, then by number */
static size_t n_subnets;

static size_t position(uint32_t vnet, uint32_t id)
{
	size_t lo = 0, hi = n_subnets;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct subnet *s = subnets[mid];

		if (s->vnet < vnet || (s->vnet == vnet && s->id < id)) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct subnet *subnet_at(size_t i)
{
	return i < n_subnets ? subnets[i] : NULL;
}

struct subnet *subnet_find(uint32_t vnet, uint32_t id)
{
	struct subnet *s = subnet_at(position(vnet, id));

	return s && s->vnet == vnet && s->id == id ? s : NULL;
}

size_t subnet_first(uint32_t vnet)
{
	return position(vnet, 0);
}

void subnet_asg_add(struct subnet *s, uint32_t asg)
{
	for (size_t i = 0; i < s->n_asgs; i++) {
		if (s->asgs[i] == asg) {
			return;
		}
	}
	uint32_t *v = realloc(s->asgs, (s->n_asgs + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	s->asgs = v;
	v[s->n_asgs++] = asg;
	s->sent = false;
}

bool subnet_any(uint32_t vnet)
{
	const struct subnet *s = subnet_at(position(vnet, 0));

	return s && s->vnet == vnet;
}

struct subnet *subnet_with(uint32_t vnet, const struct ip *ip)
{
	struct subnet *s;

	for (size_t i = subnet_first(vnet); (s = subnet_at(i)) && s->vnet == vnet; i++) {
		if (subnet_range_of(s, ip)) {
			return s;
		}
	}
	return NULL;
}

struct subnet *subnet_make(uint32_t vnet, uint32_t id)
{
	struct subnet *s = subnet_find(vnet, id);
	size_t i = position(vnet, id);

	if (s) {
		return s;
	}
	s = calloc(1, sizeof(*s));
	subnets = realloc(subnets, (n_subnets + 1) * sizeof(struct subnet *));
	if (!s || !subnets) {
		abort();
	}
	*s = (struct subnet){ .vnet = vnet, .id = id };
	subnet_bridge_add(s, id);
	memmove(&subnets[i + 1], &subnets[i], (n_subnets - i) * sizeof(struct subnet *));
	subnets[i] = s;
	n_subnets++;
	return s;
}

static bool same(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_compare(&a->ip, &b->ip) == 0;
}

struct subnet_range *subnet_range_add(struct subnet *s, const struct ip_prefix *p)
{
	for (size_t i = 0; i < s->n_ranges; i++) {
		if (same(&s->ranges[i].prefix, p)) {
			return &s->ranges[i];
		}
	}
	struct subnet_range *v = realloc(s->ranges, (s->n_ranges + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	s->ranges = v;
	v[s->n_ranges] = (struct subnet_range){ .prefix = *p };
	ipam_init(&v[s->n_ranges].ipam, p, 4, 1);
	s->sent = false;
	return &v[s->n_ranges++];
}

void subnet_ranges_keep(struct subnet *s, const struct ip_prefix *v, size_t n)
{
	size_t keep = 0;

	for (size_t i = 0; i < s->n_ranges; i++) {
		bool named = s->ranges[i].groups > 0;

		for (size_t k = 0; k < n && !named; k++) {
			named = same(&s->ranges[i].prefix, &v[k]);
		}
		if (named) {
			s->ranges[keep++] = s->ranges[i];
		} else {
			ipam_fini(&s->ranges[i].ipam);
			blocks_fini(&s->ranges[i].blocks);
		}
	}
	s->n_ranges = keep;
}

struct subnet_range *subnet_range_of(const struct subnet *s, const struct ip *ip)
{
	for (size_t i = 0; i < s->n_ranges; i++) {
		if (s->ranges[i].prefix.ip.family == ip->family &&
		    ip_prefix_contains(&s->ranges[i].prefix, ip)) {
			return &s->ranges[i];
		}
	}
	return NULL;
}

bool subnet_has(const struct subnet *s, uint8_t family)
{
	for (size_t i = 0; i < s->n_ranges; i++) {
		if (s->ranges[i].prefix.ip.family == family) {
			return true;
		}
	}
	return false;
}

size_t subnet_prefixes_of(const struct subnet *s, struct ip_prefix *to, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_ranges && n < max; i++) {
		to[n++] = s->ranges[i].prefix;
	}
	return n;
}

void subnet_free(struct subnet *s)
{
	size_t i = position(s->vnet, s->id);

	memmove(&subnets[i], &subnets[i + 1], (n_subnets - i - 1) * sizeof(struct subnet *));
	n_subnets--;
	for (size_t k = 0; k < s->n_ranges; k++) {
		ipam_fini(&s->ranges[k].ipam);
		blocks_fini(&s->ranges[k].blocks);
	}
	free(s->ranges);
	free(s->bridges);
	free(s->asgs);
	free(s);
}

struct subnet_bridge *subnet_bridge_free(struct subnet *s)
{
	for (size_t i = 0; i < s->n_bridges; i++) {
		if (s->bridges[i].ports < SUBNET_PORTS) {
			return &s->bridges[i];
		}
	}
	return NULL;
}

struct subnet_bridge *subnet_bridge_find(struct subnet *s, uint32_t id)
{
	for (size_t i = 0; i < s->n_bridges; i++) {
		if (s->bridges[i].id == id) {
			return &s->bridges[i];
		}
	}
	return NULL;
}

struct subnet_bridge *subnet_bridge_add(struct subnet *s, uint32_t id)
{
	struct subnet_bridge *v =
		realloc(s->bridges, (s->n_bridges + 1) * sizeof(struct subnet_bridge));

	if (!v) {
		abort();
	}
	s->bridges = v;
	v[s->n_bridges] = (struct subnet_bridge){ .id = id };
	s->sent = false;
	return &v[s->n_bridges++];
}

void subnet_bridge_remove(struct subnet *s, struct subnet_bridge *b)
{
	size_t i = (size_t)(b - s->bridges);

	memmove(b, b + 1, (s->n_bridges - i - 1) * sizeof(*b));
	s->n_bridges--;
}
