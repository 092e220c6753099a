/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See carry.h.
 */
#include "netd/carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/base/session.h"

enum what {
	CARRY_PACKET,
	CARRY_MORE, /* so many bytes were taken */
	CARRY_END,
};

struct packet {
	STAILQ_ENTRY(packet) link;
	size_t n;
	uint8_t data[];
};

struct end {
	LIST_ENTRY(end) link;
	const void *node;
	struct stream *s;
	enum frame_type type;
	uint64_t session;
	int fd;
	struct loop_watch *in, *out;
	size_t away;  /* bytes that the other end has not taken yet */
	size_t taken; /* here, since that was said */
	size_t held;  /* in the queue */
	STAILQ_HEAD(packets, packet) queue;
	bool over; /* the other end is: what is held goes out, then this one is */
};
static LIST_HEAD(ends, end) ends = LIST_HEAD_INITIALIZER(ends);

static void say(struct stream *s, enum frame_type type, uint64_t session, enum what what,
                const void *data, size_t n)
{
	AUTO_BUF struct buf b = { 0 };

	put_u64(&b, session);
	put_u8(&b, (uint8_t)what);
	buf_add(&b, data, n);
	stream_send(s, type, &b);
}

static void forget(struct end *x)
{
	struct packet *p;

	LIST_REMOVE(x, link);
	loop_watch_free(x->in);
	loop_watch_free(x->out);
	close(x->fd);
	while ((p = STAILQ_FIRST(&x->queue))) {
		STAILQ_REMOVE_HEAD(&x->queue, link);
		free(p);
	}
	free(x);
}

static void on_in(void *arg)
{
	struct end *x = arg;
	uint8_t data[SESSION_PACKET + 1];

	while (x->away < CARRY_WINDOW) {
		ssize_t n = recv(x->fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		}
		if (n <= 0) {
			say(x->s, x->type, x->session, CARRY_END, NULL, 0);
			forget(x);
			return;
		}
		x->away += (size_t)n;
		say(x->s, x->type, x->session, CARRY_PACKET, data, (size_t)n);
	}
	loop_watch_enable(x->in, false); /* until some of it was taken */
}

static void took(struct end *x, size_t n)
{
	x->taken += n;
	if (x->taken >= CARRY_WINDOW / 4 && !x->over) {
		uint32_t all = (uint32_t)x->taken;

		say(x->s, x->type, x->session, CARRY_MORE, &all, sizeof(all));
		x->taken = 0;
	}
}

/* 1: it went; 0: not now; -1: nobody takes it any more. */
static int pass(struct end *x, const uint8_t *data, size_t n)
{
	ssize_t sent = send(x->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent < 0) {
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
	}
	took(x, n);
	return 1;
}

static void on_out(void *arg)
{
	struct end *x = arg;
	struct packet *p;

	while ((p = STAILQ_FIRST(&x->queue))) {
		int rc = pass(x, p->data, p->n);

		if (rc == 0) {
			return;
		}
		x->held -= p->n;
		STAILQ_REMOVE_HEAD(&x->queue, link);
		free(p);
	}
	loop_watch_enable(x->out, false);
	if (x->over) {
		forget(x);
	}
}

void carry_begin(struct loop *l, const void *node, struct stream *s, enum frame_type type,
                 uint64_t session, int fd)
{
	struct end *x = calloc(1, sizeof(*x));

	if (!x) {
		abort();
	}
	*x = (struct end){ .node = node, .s = s, .type = type, .session = session, .fd = fd };
	STAILQ_INIT(&x->queue);
	LIST_INSERT_HEAD(&ends, x, link);
	x->out = loop_watch_write(l, fd, on_out, x);
	x->in = loop_watch_read(l, fd, on_in, x);
	loop_watch_enable(x->out, false);
}

static int take_packet(struct end *x, const uint8_t *data, size_t n)
{
	int rc = STAILQ_EMPTY(&x->queue) ? pass(x, data, n) : 0;

	if (n > SESSION_PACKET + 1 || x->held + n > 2 * CARRY_WINDOW) {
		return -1;
	}
	if (rc != 0) { /* one that is closed here is told by reading it */
		return 0;
	}
	struct packet *p = malloc(sizeof(*p) + n);
	if (!p) {
		abort();
	}
	p->n = n;
	memcpy(p->data, data, n);
	x->held += n;
	STAILQ_INSERT_TAIL(&x->queue, p, link);
	loop_watch_enable(x->out, true);
	return 0;
}

int carry_frame(const void *node, struct reader *r)
{
	uint64_t session = get_u64(r);
	uint8_t what = get_u8(r);
	struct end *x;
	int rc = 0;

	LIST_FOREACH(x, &ends, link)
	{
		if (x->node == node && x->session == session) {
			break;
		}
	}
	if (r->failed || what > CARRY_END) {
		return -1;
	}
	if (!x || x->over) {
		r->left = 0;
		return 0;
	}
	if (what == CARRY_PACKET && r->left > 0) {
		rc = take_packet(x, r->p, r->left);
	} else if (what == CARRY_MORE) {
		uint32_t n = get_u32(r);

		x->away -= n < x->away ? n : x->away;
		loop_watch_enable(x->in, true);
	} else if (what == CARRY_END && x->held > 0) {
		x->over = true;
		loop_watch_enable(x->in, false);
	} else if (what == CARRY_END) {
		forget(x);
	}
	r->left = 0;
	return rc;
}

void carry_gone(const void *node)
{
	struct end *x, *next;

	for (x = LIST_FIRST(&ends); x; x = next) {
		next = LIST_NEXT(x, link);
		if (x->node == node) {
			forget(x);
		}
	}
}

void carry_refuse(struct stream *s, enum frame_type type, uint64_t session)
{
	say(s, type, session, CARRY_END, NULL, 0);
}
