/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The one wrapper of libevent's loop: descriptors, timers, signals, deferred calls. One loop a
 * process; callbacks run on its thread and must not block.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct loop;
struct loop_watch; /* a descriptor */
struct loop_timer;

typedef void (*loop_fn)(void *arg);

/* A new loop; aborts the process when libevent cannot make one (start-up only). */
struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* libevent's own object, for libraries that take one (bufferevent). */
struct event_base *loop_base(struct loop *l);

/* Calls fn while `fd` is readable. The descriptor stays the caller's. */
struct loop_watch *loop_watch_read(struct loop *l, int fd, loop_fn fn, void *arg);
/* Calls fn while `fd` is writable; starts disabled. */
struct loop_watch *loop_watch_write(struct loop *l, int fd, loop_fn fn, void *arg);
void loop_watch_enable(struct loop_watch *w, bool on);
void loop_watch_free(struct loop_watch *w); /* accepts NULL */

/* A timer, not running. */
struct loop_timer *loop_timer_new(struct loop *l, loop_fn fn, void *arg);
/* Calls fn once in `delay_ms`; a running timer is set anew. */
void loop_timer_start(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_running(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* accepts NULL */

/* Calls fn when the process gets the signal. Lives as long as the loop. */
void loop_signal(struct loop *l, int signo, loop_fn fn, void *arg);
