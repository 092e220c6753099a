/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See rollout.h.
 */
#include "lb/rollout.h"

#include <string.h>

struct count {
	size_t alive, current, old, ready, failed, unwell, pending, waiting, leaving, updating;
};

static void count(const struct rollout_member *v, size_t n, struct count *c)
{
	*c = (struct count){ 0 };
	for (size_t i = 0; i < n; i++) {
		const struct rollout_member *m = &v[i];

		if (m->leaving) {
			c->leaving++;
			continue;
		}
		c->alive++;
		c->current += m->current;
		c->old += !m->current;
		c->updating += m->updating;
		c->ready += m->ready && !m->updating;
		c->failed += m->current && m->failed;
		c->unwell += m->failed;
		c->pending += m->current && !m->ready && !m->failed;
		c->waiting += !m->current && !m->ready && !m->failed && !m->updating;
	}
}

/* Whom to take first: those that left are no choice; then who does least good. */
static int worth(const struct rollout_member *m)
{
	if (m->leaving || m->updating) {
		return 9;
	}
	return (m->ready ? 4 : 0) + (m->current ? 1 : 0);
}

/* Sorted by worth; at the same worth the youngest first (an update takes the oldest first). */
static void choose(const struct rollout_member *v, size_t n, bool old_first, size_t *order)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = i;

		while (at > 0) {
			const struct rollout_member *a = &v[order[at - 1]], *b = &v[i];
			int wa = worth(a), wb = worth(b);
			bool before = wb < wa ||
			              (wb == wa && (old_first ? b->age < a->age : b->age > a->age));

			if (!before) {
				break;
			}
			order[at] = order[at - 1];
			at--;
		}
		order[at] = i;
	}
}

/* Old ones first, the worst of them ahead. */
static void choose_old(const struct rollout_member *v, size_t n, size_t *order)
{
	size_t k = 0;

	choose(v, n, true, order);
	for (size_t i = 0; i < n; i++) { /* a stable partition */
		size_t m = order[i];

		if (!v[m].current && !v[m].leaving && !v[m].updating) {
			memmove(&order[k + 1], &order[k], (i - k) * sizeof(*order));
			order[k++] = m;
		}
	}
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool over(size_t part, size_t whole, unsigned percent)
{
	return whole > 0 && part * 100 > whole * percent;
}

/* In the middle of an update: is it going badly? Judged between batches, when nothing is under way. */
static bool going_badly(const struct rollout *r, const struct count *c)
{
	return over(c->failed, c->current, r->unhealthy_updated_percent) ||
	       over(c->unwell, r->desired, r->unhealthy_percent);
}

/* The batch before is over: is it time for the next one? */
static bool may_begin(const struct rollout *r, const struct count *c, bool open,
                      struct rollout_step *to)
{
	if (open) {
		to->batch_done = true;
	} else if (c->old == 0) {
		to->done = true;
	} else if (going_badly(r, c)) {
		to->unhealthy = true;
	} else {
		return !r->paused && c->waiting == 0;
	}
	return false;
}

/* Moves up to `max` that failed to the front; how many. */
static size_t failed_first(const struct rollout_member *v, size_t n, size_t max, size_t *order)
{
	size_t k = 0;

	for (size_t i = 0; i < n && k < max; i++) {
		size_t m = order[i];

		if (v[m].current && v[m].failed && !v[m].leaving) {
			memmove(&order[k + 1], &order[k], (i - k) * sizeof(*order));
			order[k++] = m;
		}
	}
	return k;
}

static void replace(const struct rollout *r, const struct rollout_member *v, size_t n,
                    const struct count *c, size_t batch, bool open, struct rollout_step *to)
{
	size_t surplus = c->alive > r->desired ? c->alive - r->desired : 0;

	if (c->pending > 0) {
		return;
	}
	if (surplus > 0 && over(c->failed, c->current, r->unhealthy_updated_percent)) {
		to->unhealthy = true;
		return;
	}
	if (surplus > 0) { /* new ones that failed stand for no old one, and go themselves */
		choose_old(v, n, to->order);
		size_t fails = failed_first(v, n, least(c->failed, surplus), to->order);

		to->n_delete = fails + least(surplus - fails, c->old);
		return;
	}
	if (c->leaving > 0) {
		return;
	}
	if (may_begin(r, c, open, to)) {
		to->make = least(batch, c->old);
	}
}

static void in_place(const struct rollout *r, const struct rollout_member *v, size_t n,
                     const struct count *c, size_t batch, bool open, struct rollout_step *to)
{
	if (c->updating > 0 || c->pending > 0) {
		return;
	}
	if (may_begin(r, c, open, to)) {
		choose_old(v, n, to->order);
		to->n_update = least(batch, c->old);
	}
}

void rollout_next(const struct rollout *r, const struct rollout_member *v, size_t n, bool open,
                  size_t *order, struct rollout_step *to)
{
	size_t batch = r->desired * r->batch_percent / 100;
	struct count c;

	*to = (struct rollout_step){ .order = order };
	count(v, n, &c);
	batch = batch ? batch : 1;
	if (c.alive < r->desired) { /* whatever else: as many as are wanted */
		to->make = r->desired - c.alive;
		return;
	}
	if (r->state == ROLLOUT_RUNNING) {
		bool surging = !r->in_place && c.alive <= r->desired + batch && c.current > 0;

		if (c.alive == r->desired || surging) {
			(r->in_place ? in_place : replace)(r, v, n, &c, batch, open, to);
			return;
		}
	}
	if (c.alive > r->desired) {
		/* Scaled in, or an update that stopped: then new ones that never served go first. */
		choose(v, n, false, order);
		to->n_delete = c.alive - r->desired;
	}
}
