/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Groups by number. See group_parts.h.
 */
#include <stdlib.h>
#include <string.h>

#include "netd/group_parts.h"
#include "netd/home.h"

uint32_t group_serial(const struct group *g)
{
	return (uint32_t)json_integer_value(json_object_get(g->r->status, "serial"));
}

uint32_t group_vnet(const struct group *g)
{
	return (uint32_t)json_integer_value(json_object_get(g->r->status, "vnet"));
}

struct node *group_node(const struct group *g)
{
	return network_node(g->r);
}

void group_tell(const struct group *g, json_t *m)
{
	node_runtime_send(group_node(g), m, 0, -1);
}

uint64_t group_ask(const struct group *g, enum ask ask)
{
	return (uint64_t)ask << 56 | group_serial(g);
}

/* New ones come last. */
static struct group **numbered;
static size_t n_numbered, cap_numbered;

static size_t number_at(uint32_t n)
{
	size_t lo = 0, hi = n_numbered;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (group_serial(numbered[mid]) < n) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct group *group_by_serial(uint32_t n)
{
	size_t i = number_at(n);

	return i < n_numbered && group_serial(numbered[i]) == n ? numbered[i] : NULL;
}

void group_number_add(struct group *g)
{
	size_t i = number_at(group_serial(g));

	if (n_numbered == cap_numbered) {
		cap_numbered = cap_numbered ? cap_numbered * 2 : 64;
		numbered = realloc(numbered, cap_numbered * sizeof(struct group *));
		if (!numbered) {
			abort();
		}
	}
	memmove(&numbered[i + 1], &numbered[i], (n_numbered - i) * sizeof(struct group *));
	numbered[i] = g;
	n_numbered++;
}

void group_number_drop(const struct group *g)
{
	size_t i = number_at(group_serial(g));

	memmove(&numbered[i], &numbered[i + 1], (n_numbered - i - 1) * sizeof(struct group *));
	n_numbered--;
}
