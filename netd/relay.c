/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See relay.h.
 */
#include "netd/relay.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/cni.h"
#include "netd/cni_plugin.h"

#define CALLS_MAX 4096u

struct call {
	LIST_ENTRY(call) link;
	struct cni_plugin plugin;
	uint64_t id, cookie;
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
	cni_plugin_fini(&c->plugin);
	free(c);
}

static void answer(struct call *c, uint8_t status, const void *text, size_t len)
{
	c->asked = false;
	cni_plugin_answer(&c->plugin, status, text, len);
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
		if (c->plugin.ns >= 0 && c->cookie == cookie) {
			return c->plugin.ns;
		}
	}
	return -1;
}

static void on_frame(void *arg, const uint8_t *frame, size_t len)
{
	struct call *c = arg;
	AUTO_BUF struct buf b = { 0 };

	if (!self.plane) {
		refuse(c);
		return;
	}
	c->asked = true;
	c->id = ++self.last;
	c->cookie = cni_cookie(frame, len);
	put_u64(&b, c->id);
	put_u8(&b, c->plugin.ns >= 0);
	buf_add(&b, frame, len);
	stream_send(self.plane, FRAME_CNI, &b);
}

/* A plugin that has gone is passed over by its answer: control goes on with its work, and the runtime's DEL finds it. */
static void on_ended(void *arg)
{
	call_free(arg);
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
	LIST_INSERT_HEAD(&self.calls, c, link);
	self.n++;
	cni_plugin_init(&c->plugin, self.loop, fd, on_frame, on_ended, c);
}

void relay_serve(struct loop *l, int listener)
{
	self.loop = l;
	self.listener = listener;
	LIST_INIT(&self.calls);
	loop_watch_read(l, listener, on_accept, NULL);
}
