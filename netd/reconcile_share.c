/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Fair shares: VNets whose flows use up their budget are tightened. See reconcile.h.
 */
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/reconcile_table.h"

static unsigned level_of(unsigned was, long flows, long budget)
{
	static const long up[] = { 50, 90 };
	unsigned level = 0;

	for (unsigned i = 0; i < ARRAY_N(up); i++) {
		long limit = was > i ? up[i] * 8 / 10 : up[i];

		level += flows > budget / 100 * limit;
	}
	return level;
}

void reconcile_budgets(struct reconcile *r, long budget)
{
	struct err e = ERR_INIT;

	r->stats.flows = r->stats.tight = 0;
	for (size_t i = 0; r->synced && i < r->n_spaces; i++) {
		struct space *s = &r->spaces[i];
		long flows =
			s->type == KOBJ_NETNS_VNET && s->made ? r->k->flows_count(r->k, s->ns) : -1;

		if (flows < 0) {
			continue;
		}
		unsigned level = level_of(s->level, flows, budget);
		r->stats.flows += (uint64_t)flows;
		r->stats.tight += level > 0;
		/* Said again while it lasts: a ruleset that was repaired has forgotten it. */
		if ((level || s->level) && r->k->tighten(r->k, s->ns, level, &e) == 0) {
			if (level != s->level) {
				log_warn("vnet.flows", LOG_NUM("namespace", s->ns),
				         LOG_NUM("flows", flows), LOG_NUM("level", level));
			}
			s->level = level;
		}
	}
}
