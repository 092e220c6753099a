/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Groups behind load balancers: when they take flows, and how they leave. See group_parts.h, drain.h.
 */
#include "netd/balancer.h"
#include "netd/drain.h"
#include "netd/group_parts.h"

#define DRAIN_S 30 /* when neither pool nor profile says */

bool group_takes_flows(const struct resource *r)
{
	const struct group *g = r->group;

	return g && g->ready && !g->deleting && !g->down && !g->withdrawn;
}

static void drained(void *arg)
{
	struct group *g = group_by_serial((uint32_t)(uintptr_t)arg);

	if (!g) {
		return;
	}
	g->drained = true;
	if (g->deleting) {
		group_advance(g);
	} else if (g->withdrawn) {
		g->withdrawn_done(g->r);
	}
}

/* No new flows from now on; its containers are told to stop when the old ones have ended. The end of that
 * time is stored: a restart does not begin it anew. */
void group_drain(struct group *g)
{
	int64_t now = clock_system.wall_ms(&clock_system),
		until = json_integer_value(json_object_get(g->r->status, "drainUntil"));
	struct drain d = { .vnet = (uint32_t)json_integer_value(
				   json_object_get(g->r->status, "vnet")) };
	const json_t *notice = json_object_get(g->r->status, "notice"); /* of an eviction */
	uint32_t seconds;

	if (g->draining) {
		return;
	}
	g->draining = true;
	if (!balancer_leads_to(g->r, &seconds)) {
		g->drained = true;
		return;
	}
	if (!until) {
		json_int_t grace = json_integer_value(json_object_get(g->r->status, "grace"));

		seconds = seconds ? seconds : grace > 0 ? (uint32_t)grace : DRAIN_S;
		if (notice && json_integer_value(notice) < seconds) {
			seconds = (uint32_t)json_integer_value(notice);
		}
		json_object_set_new(g->r->status, "drainUntil",
		                    json_integer(now + (int64_t)seconds * 1000));
		group_save(g);
	} else {
		seconds = until > now ? (uint32_t)((until - now + 999) / 1000) : 0;
	}
	d.backend = table_ip(g->r->status, "ip4");
	struct ip ip6 = table_ip(g->r->status, "ip6");
	if (ip6.family && d.backend.family) { /* both families end together, IPv6 first */
		drain_begin(&(struct drain){ .vnet = d.vnet, .backend = ip6 }, seconds, NULL, NULL);
	}
	d.backend = d.backend.family ? d.backend : ip6;
	drain_begin(&d, seconds, drained, (void *)(uintptr_t)group_serial(g));
}

void group_withdraw(struct resource *r, void (*done)(struct resource *r))
{
	struct group *g = r->group;

	g->withdrawn = true;
	g->withdrawn_done = done;
	group_drain(g);
	if (g->drained) {
		done(r);
	}
}

void group_returns(struct group *g)
{
	if (g->withdrawn) { /* its containers start anew: it is ready when they are */
		g->withdrawn = g->draining = g->drained = g->ready = false;
		json_object_set_new(g->r->status, "ready", json_false());
		json_object_del(g->r->status, "drainUntil");
	}
}

void group_restore_flows(struct resource *r)
{
	struct group *g = r->group;

	g->withdrawn = g->draining = g->drained = false;
	json_object_del(r->status, "drainUntil");
	group_save(g);
	balancer_group(r, true);
}
