/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See loop.h. libevent appears here and in the HTTP server's bufferevents only.
 */
#include "lib/base/loop.h"

#include <event2/event.h>
#include <stdlib.h>

#define SIGNALS_MAX 8

struct loop {
	struct event_base *base;
	struct loop_watch *signals[SIGNALS_MAX];
	int n_signals;
};

struct loop_watch {
	struct event *ev;
	loop_fn fn;
	void *arg;
};

struct loop_timer {
	struct event *ev;
	loop_fn fn;
	void *arg;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l || !(l->base = event_base_new())) {
		abort();
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l) {
		return;
	}
	for (int i = 0; i < l->n_signals; i++) {
		loop_watch_free(l->signals[i]);
	}
	event_base_free(l->base);
	free(l);
}

void loop_run(struct loop *l)
{
	event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *l)
{
	event_base_loopbreak(l->base);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

static struct loop_watch *watch_new(struct loop *l, int fd, short what, loop_fn fn, void *arg)
{
	struct loop_watch *w = calloc(1, sizeof(*w));

	if (!w || !(w->ev = event_new(l->base, fd, what, on_watch, w))) {
		abort();
	}
	w->fn = fn;
	w->arg = arg;
	return w;
}

struct loop_watch *loop_watch_read(struct loop *l, int fd, loop_fn fn, void *arg)
{
	struct loop_watch *w = watch_new(l, fd, EV_READ | EV_PERSIST, fn, arg);

	event_add(w->ev, NULL);
	return w;
}

struct loop_watch *loop_watch_write(struct loop *l, int fd, loop_fn fn, void *arg)
{
	return watch_new(l, fd, EV_WRITE | EV_PERSIST, fn, arg);
}

void loop_watch_enable(struct loop_watch *w, bool on)
{
	if (on) {
		event_add(w->ev, NULL);
	} else {
		event_del(w->ev);
	}
}

void loop_watch_free(struct loop_watch *w)
{
	if (w) {
		event_free(w->ev);
		free(w);
	}
}

struct loop_timer *loop_timer_new(struct loop *l, loop_fn fn, void *arg)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t || !(t->ev = evtimer_new(l->base, on_timer, t))) {
		abort();
	}
	t->fn = fn;
	t->arg = arg;
	return t;
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
	struct timeval tv = { .tv_sec = delay_ms / 1000, .tv_usec = (delay_ms % 1000) * 1000 };

	event_add(t->ev, &tv);
}

void loop_timer_stop(struct loop_timer *t)
{
	event_del(t->ev);
}

bool loop_timer_running(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL);
}

void loop_timer_free(struct loop_timer *t)
{
	if (t) {
		event_free(t->ev);
		free(t);
	}
}

void loop_signal(struct loop *l, int signo, loop_fn fn, void *arg)
{
	if (l->n_signals == SIGNALS_MAX) {
		abort();
	}
	struct loop_watch *w = watch_new(l, signo, EV_SIGNAL | EV_PERSIST, fn, arg);
	event_add(w->ev, NULL);
	l->signals[l->n_signals++] = w;
}
