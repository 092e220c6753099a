/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See relay.h.
 */
#include "netd/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/cni.h"

#define CALLS_MAX 4096u

struct call {
	LIST_ENTRY(call) link;
	struct loop_watch *in, *out;
	int fd, ns; /* ns -1: none */
	uint64_t id, cookie;
	struct buf got, answer;
	size_t sent;
	bool asked; /* control has it */
};

static struct {
	struct loop *loop;
	int listener;
	struct stream *plane;
	LIST_HEAD(calls, call) calls;
	unsigned n;
	uint64_t last;
} self;

static void call_free(struct call *c)
{
	LIST_REMOVE(c, link);
	self.n--;
	loop_watch_free(c->in);
	loop_watch_free(c->out);
	close(c->fd);
	if (c->ns >= 0) {
		close(c->ns);
	}
	buf_fini(&c->got);
	buf_fini(&c->answer);
	free(c);
}

static void on_out(void *arg)
{
	struct call *c = arg;
	ssize_t n = send(c->fd, c->answer.data + c->sent, c->answer.len - c->sent,
	                 MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	c->sent += n > 0 ? (size_t)n : 0;
	if (n < 0 || c->sent == c->answer.len) {
		call_free(c);
	}
}

static void answer(struct call *c, uint8_t status, const void *text, size_t len)
{
	c->asked = false;
	put_u32(&c->answer, htonl((uint32_t)len + 1));
	put_u8(&c->answer, status);
	buf_add(&c->answer, text, len);
	loop_watch_enable(c->in, false);
	c->out = loop_watch_write(self.loop, c->fd, on_out, c);
	loop_watch_enable(c->out, true);
}

/* Code 11 of the specification: try again later. */
static void refuse(struct call *c)
{
	static const char text[] =
		"{\"cniVersion\":\"1.0.0\",\"code\":11,\"msg\":\"try again later\","
		"\"details\":\"the plane that this node belongs to is away\"}";

	answer(c, 1, text, sizeof(text) - 1);
}

void relay_connected(struct stream *s)
{
	self.plane = s;
	for (struct call *c = LIST_FIRST(&self.calls), *next; !s && c; c = next) {
		next = LIST_NEXT(c, link);
		if (c->asked) {
			refuse(c);
		}
	}
}

void relay_answer(struct reader *r)
{
	uint64_t id = get_u64(r);
	uint8_t status = get_u8(r);
	struct call *c;

	LIST_FOREACH(c, &self.calls, link)
	{
		if (c->id == id && c->asked) {
			answer(c, status, r->p, r->left);
			break;
		}
	}
	r->left = 0;
}

int relay_namespace(uint64_t cookie)
{
	const struct call *c;

	LIST_FOREACH(c, &self.calls, link)
	{
		if (c->ns >= 0 && c->cookie == cookie) {
			return c->ns;
		}
	}
	return -1;
}

/* A frame is whole. */
static void ask(struct call *c, const uint8_t *frame, size_t len)
{
	AUTO_BUF struct buf b = { 0 };

	if (!self.plane) {
		refuse(c);
		return;
	}
	c->asked = true;
	c->id = ++self.last;
	c->cookie = cni_cookie(frame, len);
	put_u64(&b, c->id);
	put_u8(&b, c->ns >= 0);
	buf_add(&b, frame, len);
	stream_send(self.plane, FRAME_CNI, &b);
}

/* A plugin that has gone is passed over by its answer: control goes on with its work, and the runtime's DEL finds it. */
static void on_in(void *arg)
{
	struct call *c = arg;
	uint32_t len;
	ssize_t n = cni_receive(c->fd, &c->got, &c->ns);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		call_free(c);
		return;
	}
	if (c->asked || c->got.len < 4) {
		return;
	}
	memcpy(&len, c->got.data, 4);
	len = ntohl(len);
	if (len > CNI_FRAME_MAX) {
		call_free(c);
	} else if (c->got.len >= (size_t)len + 4) {
		ask(c, c->got.data + 4, len);
	}
}

static void on_accept(void *arg)
{
	int fd = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct call *c = fd >= 0 && self.n < CALLS_MAX ? calloc(1, sizeof(*c)) : NULL;

	(void)arg;
	if (!c) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	c->fd = fd;
	c->ns = -1;
	LIST_INSERT_HEAD(&self.calls, c, link);
	self.n++;
	c->in = loop_watch_read(self.loop, fd, on_in, c);
}

void relay_serve(struct loop *l, int listener)
{
	self.loop = l;
	self.listener = listener;
	LIST_INIT(&self.calls);
	loop_watch_read(l, listener, on_accept, NULL);
}
