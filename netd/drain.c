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

#define POLL_MS 200

struct waiter {
	STAILQ_ENTRY(waiter) link;
	struct drain d;
	int64_t until_ms;
	void (*done)(void *arg);
	void *arg;
	bool active;  /* new flows go elsewhere */
	bool asked;   /* in the question that is under way */
	bool cutting; /* its time is over */
};
static STAILQ_HEAD(waiters, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);
static struct loop_timer *poll_timer;
static uint32_t asked_vnet; /* of the question that is under way, 0 none */
static const struct node *asked_node;
static uint8_t asked_mode;
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

static void on_poll(void *arg)
{
	int64_t now = clock_system.now_ms(&clock_system);
	struct waiter *w;

	(void)arg;
	if (!asked_vnet) { /* else its answer is on the way */
		STAILQ_FOREACH(w, &waiters, link)
		{
			w->cutting = w->cutting || w->until_ms <= now;
			w->asked = false;
		}
		ask_next();
	}
	if (!STAILQ_EMPTY(&waiters)) {
		loop_timer_start(poll_timer, POLL_MS);
	}
}

/* One question a VNet and mode, one after the other, so that answers need no names. */
static void ask_next(void)
{
	struct waiter *first = NULL, *w;
	struct buf b = { 0 };
	size_t n = 0;

	STAILQ_FOREACH(w, &waiters, link)
	{
		if (!w->active || w->asked || n == DRAINS_MAX ||
		    (first && (w->d.vnet != first->d.vnet || w->cutting != first->cutting))) {
			continue;
		}
		if (!first) {
			first = w;
			put_u32(&b, w->d.vnet);
			put_u8(&b, w->cutting ? DRAIN_CUT : DRAIN_COUNT);
		}
		put_drain(&b, &w->d);
		w->asked = true;
		n++;
	}
	if (first && home_channel(first->d.vnet, ROLE_ENGINE)) {
		asked_vnet = first->d.vnet;
		asked_node = home_of(asked_vnet);
		asked_mode = first->cutting ? DRAIN_CUT : DRAIN_COUNT;
		home_tell(asked_vnet, MSG_DRAIN, &b, -1);
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
	put_u8(&b, DRAIN_FORGET);
	put_drain(&b, d);
	home_tell(d->vnet, MSG_DRAIN, &b, -1); /* after the change: messages keep their order */
	buf_fini(&b);
}

static void end(struct waiter *w, uint32_t live)
{
	char text[IP_TEXT];

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

void drain_answered(uint32_t vnet, uint32_t mode, struct reader *r)
{
	struct waiters over = STAILQ_HEAD_INITIALIZER(over), left = STAILQ_HEAD_INITIALIZER(left);
	bool good = get_u8(r);
	struct waiter *w;

	if (mode == DRAIN_FORGET || vnet != asked_vnet || mode != asked_mode) {
		while (r->left && !r->failed) { /* nobody waits for it */
			(void)get_u32(r);
		}
		return;
	}
	asked_vnet = 0;
	while ((w = STAILQ_FIRST(&waiters))) {
		bool of_it = w->active && w->asked && w->d.vnet == vnet &&
		             w->cutting == (mode == DRAIN_CUT) && r->left >= 4;
		uint32_t live = of_it ? get_u32(r) : 1;

		STAILQ_REMOVE_HEAD(&waiters, link);
		if (of_it && good && (live == 0 || w->cutting)) {
			w->until_ms = live;
			STAILQ_INSERT_TAIL(&over, w, link);
		} else {
			STAILQ_INSERT_TAIL(&left, w, link);
		}
	}
	STAILQ_CONCAT(&waiters, &left);
	while (r->left && !r->failed) {
		(void)get_u32(r);
	}
	while ((w = STAILQ_FIRST(&over))) {
		STAILQ_REMOVE_HEAD(&over, link);
		end(w, (uint32_t)w->until_ms);
	}
	ask_next();
}

void drain_engine_gone(const struct node *n)
{
	asked_vnet = asked_node == n ? 0 : asked_vnet;
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
