/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * For tests of the reconciler: plans of a few VNets and groups, what the fake kernel has, and a clock that stands still
 * unless it is waited for.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/reconcile.h"
#include "tests/test.h"
#include "vnet/plan.h"

#define VNETS  3
#define GROUPS 24

static int64_t now_ms;

static inline int64_t fake_now(const struct clock *c)
{
	(void)c;
	return now_ms;
}

static const struct clock clock_fake = { fake_now, fake_now, NULL };
static unsigned seed;

static inline unsigned draw(unsigned below)
{
	return (unsigned)rand_r(&seed) % below;
}

/* What is wanted now: owners 1 (gateway), VNets, bridges, groups; n 0 absent. */
#define OWNERS (1 + 3 * VNETS + GROUPS)
struct want {
	uint64_t owner;
	struct kset set;
};

static inline uint32_t vnet_ns(unsigned v)
{
	return 16 + v * 3;
}

static inline uint32_t bridge_id(unsigned v, unsigned b)
{
	return 17 + v * 3 + b;
}

static inline void plan_base(struct want *w)
{
	static const struct ip_prefix pools[] = { { { 4, { 198, 18 } }, 24 },
		                                  { { 6, { 0x20, 1, 0xd, 0xb8 } }, 64 } };
	static const struct ip_prefix subnet[2] = { { { 4, { 10, 1, 2 } }, 24 },
		                                    { { 6, { 0xfd } }, 64 } };

	w[0].owner = 1;
	vnet_plan_gateway(&(struct plan_gateway){ .pools = pools, .n_pools = 2, .mtu = 1500 },
	                  &w[0].set);
	for (unsigned v = 0; v < VNETS; v++) {
		struct want *x = &w[1 + v * 3];

		x[0].owner = vnet_ns(v);
		vnet_plan_vnet(&(struct plan_vnet){ .ns = vnet_ns(v), .mtu = 1450 }, &x[0].set);
		for (unsigned b = 0; b < 2; b++) {
			x[1 + b].owner = bridge_id(v, b);
			vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = vnet_ns(v),
			                                        .bridge = bridge_id(v, b),
			                                        .more = b > 0,
			                                        .mtu = 1450,
			                                        .prefixes = subnet,
			                                        .n_prefixes = 2 },
			                 &x[1 + b].set);
		}
	}
}

/* A group anew: place, addresses and ports drawn. */
static inline void plan_group(struct want *w, unsigned i)
{
	static const struct ip_prefix subnet[2] = { { { 4, { 10, 1, 2 } }, 24 },
		                                    { { 6, { 0xfd } }, 64 } };
	struct plan_port ports[3] = { { 6, (uint16_t)(1 + draw(3)) },
		                      { 17, (uint16_t)(1 + draw(3)) },
		                      { 6, (uint16_t)(4 + draw(3)) } };
	struct plan_addr a[2] = { { .prefix = subnet[0], .ip = subnet[0].ip },
		                  { .prefix = subnet[1], .ip = subnet[1].ip } };
	unsigned v = i % VNETS; /* a group's place is for life */

	for (int f = 0; f < 2; f++) {
		assert_true(ip_add(&a[f].ip, 4 + i));
	}
	if (draw(2)) {
		a[0].pub = (struct ip){ 4, { 198, 18, 0, (uint8_t)(4 + i) } };
	}
	w->set.n = 0;
	w->owner = 100 + i;
	vnet_plan_group(&(struct plan_group){ .ns = 100 + i,
	                                      .vnet_ns = vnet_ns(v),
	                                      .bridge = bridge_id(v, i / VNETS % 2),
	                                      .mtu = 1450,
	                                      .addrs = a,
	                                      .n_addrs = 1 + draw(2),
	                                      .ports = ports,
	                                      .n_ports = draw(4),
	                                      .forward = draw(4) == 0 },
	                &w->set);
}

static inline void text(struct kernel *k, struct buf *to)
{
	struct kernel_ns *found = NULL;
	struct err e = ERR_INIT;
	int n = k->ns_list(k, &found, &e);

	for (uint32_t ns = 0; ns < 200; ns++) {
		struct kset have = { 0 };
		bool there = ns == 0;

		for (int i = 0; i < n; i++) {
			there = there || found[i].ns == ns;
		}
		if (there && k->dump(k, ns, &have, &e) == 0) {
			for (size_t i = 0; i < have.n; i++) {
				kobj_format(&have.v[i], to);
				buf_addf(to, "\n");
			}
		}
		kset_fini(&have);
	}
	free(found);
}

/* The judge: everything wanted, on an empty kernel, by one full list. */
static inline void replan(const struct want *w, struct buf *to)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct err e = ERR_INIT;

	reconcile_begin(r);
	for (int i = 0; i < OWNERS; i++) {
		if (w[i].set.n) {
			assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e),
			                 0);
		}
	}
	assert_int_equal(reconcile_end(r, &e), 0);
	text(k, to);
	reconcile_free(r);
	k->free(k);
}

/* Until nothing is left to repair. */
static inline void settle(struct reconcile *r)
{
	for (int i = 0; i < 1000; i++) {
		int64_t wait = reconcile_repair(r);

		if (wait < 0) {
			return;
		}
		now_ms += wait + 1;
	}
	fail_msg("repair does not come to rest");
}
