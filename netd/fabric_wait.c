/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Waiting until the engines of all nodes have what they were told. See fabric.h.
 */
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/own.h"
#include "netd/fabric_parts.h"
#include "netd/node.h"

static uint64_t asked; /* number of the last request to engines */

uint64_t fabric_asked(void)
{
	return asked;
}

struct waiter {
	STAILQ_ENTRY(waiter) link;
	uint64_t request;
	bool releases; /* what waits now; and is called when that is done too */
	void (*done)(void *arg);
	void *arg;
};
static STAILQ_HEAD(waiters, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);

/* Has every engine answered what it was asked up to then? A question that was asked later is answered later. */
static bool answered(uint64_t request)
{
	const struct node *n;

	for (size_t i = 0; (n = node_at(i)); i++) {
		if (n->answered < (n->asked < request ? n->asked : request) &&
		    !node_silent(n, ROLE_ENGINE)) {
			return false;
		}
	}
	return true;
}

static void finish(struct waiter *w)
{
	if (w->releases) {
		fabric_release(w->request);
		fabric_wait(w->done, w->arg);
	} else {
		w->done(w->arg);
	}
	free(w);
}

void fabric_wait(void (*done)(void *arg), void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));
	struct buf b = { 0 };
	struct node *n;

	if (!w) {
		abort();
	}
	*w = (struct waiter){
		.request = ++asked, .releases = fabric_holds(), .done = done, .arg = arg
	};
	put_u64(&b, w->request);
	for (size_t i = 0; (n = node_at(i)); i++) {
		if (n->touched && node_channel(n, ROLE_ENGINE)) {
			n->touched = false;
			n->asked = w->request;
			node_asks(n, ROLE_ENGINE);
			/* Answered after what came before. */
			channel_send(node_channel(n, ROLE_ENGINE), MSG_PING, &b, -1);
		}
	}
	buf_fini(&b);
	if (answered(w->request)) {
		finish(w);
		return;
	}
	STAILQ_INSERT_TAIL(&waiters, w, link);
}

static void finish_all(void)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(&waiters)) && answered(w->request)) {
		STAILQ_REMOVE_HEAD(&waiters, link);
		finish(w);
	}
}

void fabric_answered(struct node *n, uint64_t request)
{
	n->answered = request < n->asked ? request : n->asked;
	node_answers(n, ROLE_ENGINE, n->answered < n->asked);
	finish_all();
}

void fabric_sweep(int64_t now_ms)
{
	struct node *n;
	bool any = false;

	for (size_t i = 0; (n = node_at(i)); i++) {
		if (!node_synced(n)) { /* a whole list takes what it takes */
			node_answers(n, ROLE_ENGINE, n->answered < n->asked);
		}
		any = node_falls_silent(n, ROLE_ENGINE, now_ms) || any;
	}
	if (any) {
		finish_all();
	}
}
