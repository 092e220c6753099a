/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See roster.h.
 */
#include "netd/roster.h"

#include <stdlib.h>
#include <string.h>

static struct roster {
	uint32_t vnet;
	size_t n, cap;
	struct resource **v;
} * rosters; /* sorted; none is empty */
static size_t n_rosters, cap_rosters;

static size_t place(uint32_t vnet)
{
	size_t lo = 0, hi = n_rosters;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (rosters[mid].vnet < vnet) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct roster *make(uint32_t vnet)
{
	size_t i = place(vnet);

	if (i < n_rosters && rosters[i].vnet == vnet) {
		return &rosters[i];
	}
	if (n_rosters == cap_rosters) {
		cap_rosters = cap_rosters ? cap_rosters * 2 : 64;
		rosters = realloc(rosters, cap_rosters * sizeof(*rosters));
		if (!rosters) {
			abort();
		}
	}
	memmove(&rosters[i + 1], &rosters[i], (n_rosters - i) * sizeof(*rosters));
	rosters[i] = (struct roster){ .vnet = vnet };
	n_rosters++;
	return &rosters[i];
}

static void add(struct roster *r, const struct resource *group)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 8;
		r->v = realloc(r->v, r->cap * sizeof(struct resource *));
		if (!r->v) {
			abort();
		}
	}
	r->v[r->n++] = (struct resource *)(uintptr_t)group;
}

void roster_note(uint32_t vnet, const struct resource *group, bool there)
{
	size_t at = place(vnet);
	struct roster *r;

	if (there) {
		add(make(vnet), group);
		return;
	}
	r = at < n_rosters && rosters[at].vnet == vnet ? &rosters[at] : NULL;
	for (size_t i = 0; r && i < r->n; i++) {
		if (r->v[i] == group) {
			r->v[i] = r->v[--r->n];
			break;
		}
	}
	if (r && r->n == 0) {
		free(r->v);
		memmove(r, r + 1, (--n_rosters - at) * sizeof(*r));
	}
}

struct resource *roster_at(uint32_t vnet, size_t i)
{
	size_t at = place(vnet);

	return at < n_rosters && rosters[at].vnet == vnet && i < rosters[at].n ? rosters[at].v[i]
	                                                                       : NULL;
}
