/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See spare.h.
 */
#include "netd/spare.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/plane.h"

#define SPARES_MAX  1024 /* of all subnets */
#define SECONDS     10   /* that demand is counted over */
#define DEMAND_MIN  3    /* groups in that time, for any spare at all */
#define REFILL_MS   5    /* after the last group came: it is off the path of the next */
#define FLIGHT_MAX  4    /* that the engine is making */
#define SUBNETS_MAX 256  /* that are counted */

static struct spare {
	uint32_t number, vnet, subnet, bridge;
	bool ready;
} spares[SPARES_MAX];
static size_t n_spares;

/* What a subnet was asked for, second by second. */
static struct demand {
	uint32_t vnet, subnet;
	int64_t second; /* the newest that is counted */
	unsigned v[SECONDS];
} demands[SUBNETS_MAX];
static size_t n_demands;

static struct loop_timer *refill;
static int64_t last_ms; /* a group came */

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

/* ---- demand ---- */

static void turn(struct demand *d, int64_t now)
{
	int64_t second = now / 1000, steps = second - d->second;

	for (int64_t i = 0; i < (steps < SECONDS ? steps : SECONDS); i++) {
		d->v[(size_t)((second - i) % SECONDS)] = 0;
	}
	d->second = second;
}

static unsigned sum(struct demand *d, int64_t now)
{
	unsigned n = 0;

	turn(d, now);
	for (size_t i = 0; i < SECONDS; i++) {
		n += d->v[i];
	}
	return n;
}

static struct demand *demand_of(const struct subnet *s)
{
	for (size_t i = 0; i < n_demands; i++) {
		if (demands[i].vnet == s->vnet && demands[i].subnet == s->id) {
			return &demands[i];
		}
	}
	return NULL;
}

static void count_demand(const struct subnet *s)
{
	struct demand *d = demand_of(s);

	if (!d && n_demands < SUBNETS_MAX) {
		d = &demands[n_demands++];
		*d = (struct demand){ .vnet = s->vnet, .subnet = s->id };
	}
	if (d) {
		turn(d, last_ms);
		d->v[(size_t)(d->second % SECONDS)]++;
	}
}

static unsigned wanted(struct demand *d)
{
	unsigned n = sum(d, now_ms()), most = (unsigned)plane.config->pool_links;

	return n < DEMAND_MIN ? 0 : n < most ? n : most;
}

/* ---- spares ---- */

static void remove_at(size_t i)
{
	memmove(&spares[i], &spares[i + 1], (--n_spares - i) * sizeof(spares[0]));
}

static void drop_at(size_t i)
{
	struct subnet *s = subnet_find(spares[i].vnet, spares[i].subnet);
	uint32_t bridge = spares[i].bridge;

	network_drop_number(spares[i].vnet, spares[i].number);
	remove_at(i);
	if (s) {
		network_port_give(s, bridge);
	}
}

void spare_drop(const struct subnet *s)
{
	struct demand *d = demand_of(s);

	for (size_t i = n_spares; i-- > 0;) {
		if (spares[i].vnet == s->vnet && spares[i].subnet == s->id) {
			drop_at(i);
		}
	}
	if (d) {
		*d = demands[--n_demands];
	}
}

void spare_forget(const struct node *n)
{
	for (size_t i = n_spares; i-- > 0;) {
		const struct spare x = spares[i];
		struct subnet *s = home_of(x.vnet) == n ? subnet_find(x.vnet, x.subnet) : NULL;

		if (s) {
			remove_at(i);
			network_port_give(s, x.bridge);
		}
	}
}

void spare_done(const struct node *n, uint32_t number, bool ok)
{
	for (size_t i = 0; i < n_spares; i++) {
		if (spares[i].number == number && home_of(spares[i].vnet) == n) {
			spares[i].ready = ok;
			if (!ok) { /* whoever comes is told why */
				drop_at(i);
			}
			break;
		}
	}
	if (ok && refill) {
		loop_timer_start(refill, 0);
	}
}

/* One more for the subnet, in a bridge that has room. */
static void make(const struct demand *d)
{
	struct subnet *s = subnet_find(d->vnet, d->subnet);
	struct subnet_bridge *b = s ? subnet_bridge_free(s) : NULL;

	if (!b || n_spares == SPARES_MAX || !home_synced(s->vnet)) {
		return;
	}
	b->ports++;
	struct spare x = { table_serial(), s->vnet, s->id, b->id, false };
	spares[n_spares++] = x;
	network_send_spare(s, x.number, x.bridge, (uint64_t)ASK_SPARE << 56 | x.number);
}

static void on_refill(void *arg)
{
	unsigned flight = 0;
	bool more = false;

	(void)arg;
	if (now_ms() - last_ms < REFILL_MS) {
		loop_timer_start(refill, REFILL_MS);
		return;
	}
	for (size_t i = 0; i < n_spares; i++) {
		flight += !spares[i].ready;
	}
	for (size_t k = 0; k < n_demands; k++) {
		unsigned have = 0, want = wanted(&demands[k]);

		for (size_t i = 0; i < n_spares; i++) {
			have += spares[i].vnet == demands[k].vnet &&
			        spares[i].subnet == demands[k].subnet;
		}
		for (; have < want && flight < FLIGHT_MAX; have++, flight++) {
			make(&demands[k]);
		}
		more = more || have < want;
	}
	if (more && flight < FLIGHT_MAX) { /* else the engine's answer goes on */
		loop_timer_start(refill, REFILL_MS);
	}
}

uint32_t spare_take(struct subnet *s, uint32_t *bridge)
{
	if (!plane.config->pool_links) {
		return 0;
	}
	last_ms = now_ms();
	count_demand(s);
	refill = refill ? refill : loop_timer_new(plane.loop, on_refill, NULL);
	if (!loop_timer_running(refill)) {
		loop_timer_start(refill, REFILL_MS);
	}
	for (size_t i = 0; i < n_spares; i++) {
		struct spare x = spares[i];

		if (x.ready && x.vnet == s->vnet && x.subnet == s->id) {
			remove_at(i);
			*bridge = x.bridge;
			return x.number;
		}
	}
	return 0;
}

void spare_sweep(int64_t now)
{
	for (size_t k = n_demands; k-- > 0;) {
		struct demand *d = &demands[k];

		if (now / 1000 - d->second < SECONDS || sum(d, now) > 0) {
			continue;
		}
		for (size_t i = n_spares; i-- > 0;) {
			if (spares[i].vnet == d->vnet && spares[i].subnet == d->subnet) {
				drop_at(i);
			}
		}
		*d = demands[--n_demands];
	}
}
