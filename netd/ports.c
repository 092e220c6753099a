/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See ports.h.
 */
#include "netd/ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/config.h"
#include "netd/fabric.h"
#include "netd/home.h"
#include "netd/plane.h"

#define FIRST_PORT 1024u
#define SHARE_MAX  7u /* blocks that a branch is given at most: 3,584 ports of each address */

struct share {
	uint32_t vnet, node;
	uint8_t first, n; /* blocks, from PORTS_BRANCHES on */
	bool durable;
};
static struct share *shares; /* sorted by VNet */
static size_t n_shares, cap_shares;

static size_t place(uint32_t vnet)
{
	size_t lo = 0, hi = n_shares;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (shares[mid].vnet < vnet) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static void add(const struct share *s)
{
	size_t i = place(s->vnet + 1);

	if (n_shares == cap_shares) {
		cap_shares = cap_shares ? cap_shares * 2 : 16;
		shares = realloc(shares, cap_shares * sizeof(*shares));
		if (!shares) {
			abort();
		}
	}
	memmove(&shares[i + 1], &shares[i], (n_shares - i) * sizeof(*shares));
	shares[i] = *s;
	n_shares++;
}

static void drop(size_t i)
{
	memmove(&shares[i], &shares[i + 1], (--n_shares - i) * sizeof(*shares));
}

static struct share *share_of(uint32_t vnet, uint32_t node)
{
	for (size_t i = place(vnet); i < n_shares && shares[i].vnet == vnet; i++) {
		if (shares[i].node == node) {
			return &shares[i];
		}
	}
	return NULL;
}

/* ---- rows ---- */

static void key_of(uint32_t vnet, char to[static 24])
{
	snprintf(to, 24, "ports/%u", vnet);
}

void ports_load(const char *key, const json_t *row)
{
	uint32_t vnet = (uint32_t)strtoul(key + strlen("ports/"), NULL, 10);
	const json_t *x;
	size_t i;

	json_array_foreach(json_object_get((json_t *)(uintptr_t)row, "blocks"), i, x)
	{
		int node, first, n;

		if (json_unpack((json_t *)(uintptr_t)x, "[i,i,i]", &node, &first, &n) == 0 &&
		    first >= 0 && n > 0 && first + n <= (int)PORTS_BLOCKS) {
			add(&(struct share){ .vnet = vnet,
			                     .node = (uint32_t)node,
			                     .first = (uint8_t)first,
			                     .n = (uint8_t)n,
			                     .durable = true });
		}
	}
}

struct saved {
	uint32_t vnet;
	uint32_t nodes[PORTS_BLOCKS]; /* whose shares it was about */
	size_t n;
};

static void on_saved(void *arg, const struct err *e, uint64_t rev)
{
	struct saved *w = arg;

	(void)rev;
	control_stored(e);
	for (size_t i = 0; i < w->n; i++) {
		struct share *s = share_of(w->vnet, w->nodes[i]);

		if (s && !s->durable && e) { /* asked for again with the next plan */
			drop((size_t)(s - shares));
		} else if (s) {
			s->durable = true;
		}
	}
	if (!e) {
		fabric_vnet(w->vnet);
	}
	free(w);
}

static void save(uint32_t vnet)
{
	struct saved *w = calloc(1, sizeof(*w));
	json_auto_t *row = json_pack("{s:[]}", "blocks");
	char key[24];

	if (!w) {
		abort();
	}
	w->vnet = vnet;
	for (size_t i = place(vnet); i < n_shares && shares[i].vnet == vnet; i++) {
		const struct share *s = &shares[i];

		json_array_append_new(json_object_get(row, "blocks"),
		                      json_pack("[i,i,i]", (int)s->node, (int)s->first, (int)s->n));
		w->nodes[w->n++] = s->node;
	}
	AUTO_FREE char *text = json_dumps(row, JSON_COMPACT);
	key_of(vnet, key);
	store_submit(plane.store, &(struct store_op){ .key = key, .value = text }, 1, on_saved, w);
}

/* ---- giving ---- */

static bool is_shared(void)
{
	return plane.config->listen_nodes[0] && plane.config->nat_by_node;
}

/* Blocks that nobody has, as a bit each. */
static uint64_t free_blocks(uint32_t vnet)
{
	uint64_t left = (UINT64_C(1) << PORTS_BLOCKS) - 1;

	for (size_t i = place(vnet); i < n_shares && shares[i].vnet == vnet; i++) {
		left &= ~(((UINT64_C(1) << shares[i].n) - 1) << shares[i].first);
	}
	return left;
}

/* Of nodes that have nothing of the VNet now. */
static bool take_back(uint32_t vnet)
{
	size_t n = n_shares;

	for (size_t i = place(vnet); i < n_shares && shares[i].vnet == vnet;) {
		if (home_has(vnet, node_numbered(shares[i].node))) {
			i++;
		} else {
			drop(i);
		}
	}
	return n_shares < n;
}

/* The first that are free beside each other, an eighth of what is left: a VNet may get many branches. */
static bool give(uint32_t vnet, const struct node *n)
{
	uint64_t left = free_blocks(vnet);
	unsigned count = (unsigned)__builtin_popcountll(left), want = count / 8, at = 0, got = 0;

	want = want > SHARE_MAX ? SHARE_MAX : want < 1 ? 1 : want;
	while (at < PORTS_BLOCKS && !(left >> at & 1)) {
		at++;
	}
	while (got < want && left >> (at + got) & 1) {
		got++;
	}
	if (got == 0) {
		return false;
	}
	add(&(struct share){
		.vnet = vnet, .node = n->number, .first = (uint8_t)at, .n = (uint8_t)got });
	return true;
}

void ports_give(uint32_t vnet)
{
	const struct node *n;
	bool any = false;

	for (size_t i = 0; is_shared() && (n = home_branch(vnet, i)); i++) {
		if (!share_of(vnet, n->number)) {
			any = give(vnet, n) || (take_back(vnet) && give(vnet, n)) || any;
		}
	}
	if (any) {
		save(vnet);
	}
}

void ports_forget(uint32_t vnet)
{
	size_t i = place(vnet);
	char key[24];

	if (i >= n_shares || shares[i].vnet != vnet) {
		return;
	}
	while (i < n_shares && shares[i].vnet == vnet) {
		drop(i);
	}
	key_of(vnet, key);
	store_submit(plane.store, &(struct store_op){ .key = key }, 1, control_saved, NULL);
}

/* ---- asking ---- */

static struct plan_ports ports_in(const struct share *s)
{
	return (struct plan_ports){
		.first = (uint16_t)(PORTS_BRANCHES + s->first * KOBJ_PORT_BLOCK),
		.last = (uint16_t)(PORTS_BRANCHES + (s->first + s->n) * KOBJ_PORT_BLOCK - 1)
	};
}

struct plan_ports ports_home(void)
{
	return is_shared() ? (struct plan_ports){ FIRST_PORT, PORTS_BRANCHES - 1 }
	                   : (struct plan_ports){ 0 };
}

struct plan_ports ports_of(uint32_t vnet, const struct node *n)
{
	const struct share *s = is_shared() && node_ingress(n) ? share_of(vnet, n->number) : NULL;

	return s && s->durable ? ports_in(s) : (struct plan_ports){ 0 };
}

size_t ports_blocks(uint32_t vnet, struct plan_block *to, size_t max)
{
	const struct node *n;
	size_t count = 0;

	for (size_t i = 0; count < max && (n = home_branch(vnet, i)); i++) {
		struct plan_ports p = ports_of(vnet, n);

		if (p.last) {
			to[count++] = (struct plan_block){ n->number, p };
		}
	}
	return count;
}
