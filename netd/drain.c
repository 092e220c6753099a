/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See drain.h.
 */
#include "netd/drain.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/fabric.h"
#include "netd/home.h"
#include "netd/plane.h"

#define POLL_MS     200
#define POLL_MAX_MS 2000
#define POLL_SHARE  10 /* many flows take long to count: nodes do so a tenth of the time */

struct waiter {
	STAILQ_ENTRY(waiter) link;
	struct drain d;
	int64_t until_ms;
	void (*done)(void *arg);
	void *arg;
	bool active;   /* new flows go elsewhere */
	bool asked;    /* in the question that is under way */
	bool untold;   /* some node could not say it */
	uint32_t live; /* flows, as far as nodes have answered */
	bool cutting;  /* its time is over */
	bool back;     /* it takes new flows again */
};
static STAILQ_HEAD(waiters, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);
static struct loop_timer *poll_timer;
static uint32_t asked_vnet;                 /* of the question that is under way, 0 none */
static uint32_t asked_mode;                 /* with its number */
static const struct node *asked[NODES_MAX]; /* who has not answered it yet */
static size_t n_asked;
static int64_t counting_ms, counted_ms; /* the round's beginning; how long the last one took */
static uint64_t n_drained, n_outlived;

static void ask_next(void);

static void put_ip(struct buf *b, const struct ip *ip)
{
	put_u8(b, ip->family);
	buf_add(b, ip->b, 16);
}

static void put_drain(struct buf *b, const struct drain *d)
{
	put_ip(b, &d->backend);
	put_ip(b, &d->front);
	put_u8(b, d->proto);
	put_u16(b, d->port);
}

/* Those that are back, while no answer names waiters by their order. */
static void let_go(void)
{
	struct waiters left = STAILQ_HEAD_INITIALIZER(left);
	struct waiter *w;

	while ((w = STAILQ_FIRST(&waiters))) {
		STAILQ_REMOVE_HEAD(&waiters, link);
		if (w->back && w->active) {
			free(w);
		} else {
			STAILQ_INSERT_TAIL(&left, w, link);
		}
	}
	STAILQ_CONCAT(&waiters, &left);
}

/* Until flows are counted again, or the time of one is over. */
static int64_t pause_ms(int64_t now)
{
	int64_t pause = counted_ms * POLL_SHARE;
	struct waiter *w;

	pause = pause < POLL_MS ? POLL_MS : pause > POLL_MAX_MS ? POLL_MAX_MS : pause;
	STAILQ_FOREACH(w, &waiters, link)
	{
		if (w->until_ms - now < pause) {
			pause = w->until_ms - now < POLL_MS ? POLL_MS : w->until_ms - now;
		}
	}
	return pause;
}

static void on_poll(void *arg)
{
	int64_t now = clock_system.now_ms(&clock_system);
	struct waiter *w;

	(void)arg;
	if (!asked_vnet) { /* else its answer is on the way */
		counting_ms = now;
		let_go();
		STAILQ_FOREACH(w, &waiters, link)
		{
			w->cutting = w->cutting || w->until_ms <= now;
			w->asked = false;
		}
		ask_next();
	}
	if (!STAILQ_EMPTY(&waiters)) {
		loop_timer_start(poll_timer, pause_ms(now));
	}
}

static uint32_t next_number(void)
{
	static uint32_t number;

	return ++number << 8;
}

/* All nodes that the VNet is on: a flow is translated where it came in. */
static bool ask_nodes(uint32_t vnet, const struct buf *b)
{
	struct node *n = home_of(vnet);

	n_asked = 0;
	for (size_t i = 0; n && n_asked < NODES_MAX; n = home_branch(vnet, i++)) {
		if (node_channel(n, ROLE_ENGINE)) {
			asked[n_asked++] = n;
			node_tell(n, MSG_DRAIN, b, -1);
		}
	}
	return n_asked > 0;
}

static bool no_longer_asked(const struct node *n)
{
	for (size_t i = 0; i < n_asked; i++) {
		if (asked[i] == n) {
			asked[i] = asked[--n_asked];
			return true;
		}
	}
	return false;
}

/* One question a VNet and mode, one after the other, so that answers need no names. */
static void ask_next(void)
{
	struct waiter *first = NULL, *w;
	struct buf b = { 0 };
	uint32_t mode = 0;
	size_t n = 0;

	STAILQ_FOREACH(w, &waiters, link)
	{
		if (!w->active || w->asked || w->back || n == DRAINS_MAX ||
		    (first && (w->d.vnet != first->d.vnet || w->cutting != first->cutting))) {
			continue;
		}
		if (!first) {
			first = w;
			mode = next_number() | (w->cutting ? DRAIN_CUT : DRAIN_COUNT);
			put_u32(&b, w->d.vnet);
			put_u32(&b, mode);
		}
		put_drain(&b, &w->d);
		w->asked = true;
		w->untold = false;
		w->live = 0;
		n++;
	}
	if (first && ask_nodes(first->d.vnet, &b)) {
		asked_vnet = first->d.vnet;
		asked_mode = mode;
	}
	buf_fini(&b);
}

static void started(void *arg)
{
	struct waiter *w = arg;

	w->active = true;
	loop_timer_start(poll_timer, 0);
}

void drain_begin(const struct drain *d, uint32_t seconds, void (*done)(void *arg), void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));

	if (!w) {
		abort();
	}
	*w = (struct waiter){ .d = *d,
		              .until_ms =
		                      clock_system.now_ms(&clock_system) + (int64_t)seconds * 1000,
		              .done = done,
		              .arg = arg };
	poll_timer = poll_timer ? poll_timer : loop_timer_new(plane.loop, on_poll, NULL);
	STAILQ_INSERT_TAIL(&waiters, w, link);
	fabric_wait(started, w);
}

void drain_forget(const struct drain *d)
{
	struct buf b = { 0 };

	put_u32(&b, d->vnet);
	put_u32(&b, DRAIN_FORGET);
	put_drain(&b, d);
	(void)home_tell_all(d->vnet, MSG_DRAIN,
	                    &b); /* after the change: messages keep their order */
	buf_fini(&b);
}

void drain_return(const struct drain *d)
{
	struct waiter *w;

	STAILQ_FOREACH(w, &waiters, link)
	{
		w->back = w->back ||
		          (!w->done && w->d.vnet == d->vnet && w->d.proto == d->proto &&
		           w->d.port == d->port && ip_compare(&w->d.backend, &d->backend) == 0 &&
		           ip_compare(&w->d.front, &d->front) == 0);
	}
}

static void end(struct waiter *w, uint32_t live)
{
	char text[IP_TEXT];

	if (w->back) {
		free(w);
		return;
	}
	n_drained += live == 0;
	n_outlived += live;
	log_info("lb.drained", LOG_STR("backend", ip_format(&w->d.backend, text)),
	         LOG_NUM("outlived", live));
	if (!w->cutting) {
		/* Nobody speaks, but conntrack remembers UDP for two minutes: a client's next flow from the
		 * same port would be led here. */
		drain_forget(&w->d);
	}
	if (w->done) {
		w->done(w->arg);
	}
	free(w);
}

/* What one node says of those that were asked about, in the order of the question. */
static void read_answer(uint32_t vnet, uint32_t mode, struct reader *r)
{
	bool good = get_u8(r);
	struct waiter *w;

	STAILQ_FOREACH(w, &waiters, link)
	{
		if (w->active && w->asked && w->d.vnet == vnet &&
		    w->cutting == ((mode & DRAIN_MODE) == DRAIN_CUT)) {
			w->untold = w->untold || !good || r->left < 4;
			w->live += r->left >= 4 ? get_u32(r) : 0;
		}
	}
}

/* All nodes have answered. */
static void conclude(uint32_t vnet, uint32_t mode)
{
	struct waiters over = STAILQ_HEAD_INITIALIZER(over), left = STAILQ_HEAD_INITIALIZER(left);
	struct waiter *w;

	asked_vnet = 0;
	counted_ms = clock_system.now_ms(&clock_system) - counting_ms;
	while ((w = STAILQ_FIRST(&waiters))) {
		bool of_it = w->active && w->asked && w->d.vnet == vnet &&
		             w->cutting == ((mode & DRAIN_MODE) == DRAIN_CUT);

		STAILQ_REMOVE_HEAD(&waiters, link);
		if (of_it && !w->untold && (w->live == 0 || w->cutting)) {
			STAILQ_INSERT_TAIL(&over, w, link);
		} else {
			STAILQ_INSERT_TAIL(&left, w, link);
		}
	}
	STAILQ_CONCAT(&waiters, &left);
	while ((w = STAILQ_FIRST(&over))) {
		STAILQ_REMOVE_HEAD(&over, link);
		end(w, w->live);
	}
	ask_next();
}

void drain_answered(const struct node *n, uint32_t vnet, uint32_t mode, struct reader *r)
{
	bool awaited = asked_vnet && vnet == asked_vnet && mode == asked_mode && no_longer_asked(n);

	if (awaited) {
		read_answer(vnet, mode, r);
	}
	while (r->left && !r->failed) { /* nobody waits for it */
		(void)get_u8(r);
	}
	if (awaited && n_asked == 0) {
		conclude(vnet, mode);
	}
}

void drain_engine_gone(const struct node *n)
{
	asked_vnet = no_longer_asked(n) ? 0 : asked_vnet; /* asked again */
}

void drain_moved(uint32_t vnet)
{
	asked_vnet = asked_vnet == vnet ? 0 : asked_vnet;
}

void drain_counts(uint64_t *drained, uint64_t *outlived)
{
	*drained = n_drained;
	*outlived = n_outlived;
}
