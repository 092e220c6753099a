/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See meter_clock.h.
 */
#include "netd/meter_clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MS 1000 /* the wall clock is ahead by so much: it was set */

void meter_clock_fini(struct meter_clock *c)
{
	free(c->v);
	*c = (struct meter_clock){ 0 };
}

void meter_clock_add(struct meter_clock *c, const char *boot, int64_t at_ms, int64_t time_ms,
                     int64_t seen_ms)
{
	struct meter_mark *v = realloc(c->v, (c->n + 1) * sizeof(*v));

	if (!v) {
		abort();
	}
	c->v = v;
	v[c->n] = (struct meter_mark){ .at_ms = at_ms, .time_ms = time_ms, .seen_ms = seen_ms };
	snprintf(v[c->n++].boot, METER_BOOT, "%s", boot);
}

bool meter_clock_tell(struct meter_clock *c, const char *boot, int64_t boot_ms, int64_t wall_ms)
{
	struct meter_mark *last = c->n ? &c->v[c->n - 1] : NULL;
	bool same = last && strcmp(last->boot, boot) == 0;
	/* What it has come to, this far or as far as the last boot is known to have lasted. */
	int64_t time =
		!last ? wall_ms : last->time_ms + (same ? boot_ms : last->seen_ms) - last->at_ms;

	if (same && wall_ms <= time + STEP_MS) {
		last->seen_ms = boot_ms;
		return false;
	}
	if (same) {
		last->seen_ms = boot_ms;
	}
	meter_clock_add(c, boot, boot_ms, wall_ms > time ? wall_ms : time, boot_ms);
	return true;
}

int64_t meter_clock_seen(const struct meter_clock *c, const char *boot)
{
	int64_t seen = -1;

	for (size_t i = 0; i < c->n; i++) {
		seen = strcmp(c->v[i].boot, boot) == 0 ? c->v[i].seen_ms : seen;
	}
	return seen;
}

int64_t meter_clock_time(const struct meter_clock *c, const char *boot, int64_t at_ms)
{
	const struct meter_mark *m = NULL;

	for (size_t i = 0; i < c->n; i++) {
		bool mine = strcmp(c->v[i].boot, boot) == 0;

		if (mine && (!m || c->v[i].at_ms <= at_ms)) {
			m = &c->v[i];
		}
	}
	if (!m) {
		return c->n ? c->v[0].time_ms : 0;
	}
	return m->time_ms + (at_ms > m->at_ms ? at_ms - m->at_ms : 0);
}

int64_t meter_clock_overlap(const struct meter_clock *c, const char *boot, int64_t begin_ms,
                            int64_t end_ms, int64_t from, int64_t to)
{
	int64_t sum = 0;
	bool first = true;

	for (size_t i = 0; i < c->n; i++) {
		const struct meter_mark *m = &c->v[i];
		bool last = i + 1 == c->n || strcmp(c->v[i + 1].boot, m->boot) != 0;

		if (strcmp(m->boot, boot) != 0) {
			continue;
		}
		/* The part of the stretch that this mark tells the time of. */
		int64_t a = !first && begin_ms < m->at_ms ? m->at_ms : begin_ms;
		int64_t b = !last && end_ms > c->v[i + 1].at_ms ? c->v[i + 1].at_ms : end_ms;

		first = false;
		int64_t x = m->time_ms + a - m->at_ms, y = m->time_ms + b - m->at_ms;
		x = x < from ? from : x;
		y = y > to ? to : y;
		sum += b > a && y > x ? y - x : 0;
	}
	return sum;
}

void meter_clock_prune(struct meter_clock *c, int64_t time_ms)
{
	size_t drop = 0;

	while (drop + 1 < c->n && c->v[drop + 1].time_ms <= time_ms) {
		drop++;
	}
	c->n -= drop;
	memmove(c->v, c->v + drop, c->n * sizeof(*c->v));
}
