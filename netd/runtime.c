/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See runtime.h. Touches its socket only.
 */
#include "netd/runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"

#define FRAME_MAX (4u << 20)

struct frame {
	STAILQ_ENTRY(frame) link;
	int fd;
	size_t at, len;
	uint8_t data[];
};

static struct {
	struct loop *loop;
	int listener, fd;
	bool greeted;
	struct loop_watch *in, *out;
	struct buf got;
	STAILQ_HEAD(frames, frame) queue;
	void (*on_hello)(void);
	void (*on_message)(const json_t *m);
	void (*on_gone)(void);
} self = { .fd = -1 };

/* The first of the queue, wiped: it may hold secrets. */
static void drop_frame(void)
{
	struct frame *f = STAILQ_FIRST(&self.queue);

	STAILQ_REMOVE_HEAD(&self.queue, link);
	if (f->fd >= 0) {
		close(f->fd);
	}
	explicit_bzero(f->data, f->len);
	free(f);
}

static void hang_up(const char *why)
{
	if (self.fd < 0) {
		return;
	}
	log_info("runtime.gone", LOG_STR("reason", why));
	loop_watch_free(self.in);
	loop_watch_free(self.out);
	close(self.fd);
	self.fd = -1;
	self.greeted = false;
	buf_fini(&self.got);
	while (!STAILQ_EMPTY(&self.queue)) {
		drop_frame();
	}
	self.on_gone();
}

static void take_frame(const uint8_t *data, size_t len)
{
	json_t *m = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES, NULL);
	const char *type = json_string_value(json_object_get(m, "type"));

	if (type && strcmp(type, "hello") == 0) {
		if (json_integer_value(json_object_get(m, "version")) != 1) {
			hang_up("its version is not 1");
		} else {
			self.greeted = true;
			runtime_send(json_pack("{s:s, s:i}", "type", "hello", "version", 1), -1);
			self.on_hello();
		}
	} else if (type && self.greeted) {
		self.on_message(m);
	} else {
		hang_up("a frame is no JSON object with a type, or came before hello");
	}
	json_decref(m);
}

static void on_in(void *arg)
{
	void *room = buf_room(&self.got, 65536);
	ssize_t n = room ? recv(self.fd, room, 65536, MSG_DONTWAIT) : 0;

	(void)arg;
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		hang_up("connection closed");
		return;
	}
	self.got.len += (size_t)n;
	while (self.fd >= 0 && self.got.len >= 4) {
		uint32_t len;

		memcpy(&len, self.got.data, 4);
		len = ntohl(len);
		if (len > FRAME_MAX) {
			hang_up("a frame is too long");
			return;
		}
		if (self.got.len < len + 4) {
			return;
		}
		take_frame(self.got.data + 4, len);
		if (self.fd >= 0) {
			buf_drop(&self.got, len + 4);
		}
	}
}

static ssize_t send_part(const struct frame *f)
{
	struct iovec iov = { (void *)(uintptr_t)(f->data + f->at), f->len - f->at };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (f->fd >= 0 && f->at == 0) {
		m.msg_control = u.room;
		m.msg_controllen = sizeof(u.room);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &f->fd, sizeof(int));
	}
	return sendmsg(self.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_out(void *arg)
{
	(void)arg;
	while (!STAILQ_EMPTY(&self.queue)) {
		struct frame *f = STAILQ_FIRST(&self.queue);
		ssize_t n = send_part(f);

		if (n < 0) {
			loop_watch_enable(self.out, true); /* gone ones are noticed by reading */
			return;
		}
		f->at += (size_t)n;
		if (f->at == f->len) {
			drop_frame();
		}
	}
	loop_watch_enable(self.out, false);
}

void runtime_send(json_t *m, int fd)
{
	char *text = json_dumps(m, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	struct frame *f = self.fd >= 0 && n ? malloc(sizeof(*f) + n + 4) : NULL;
	uint32_t be = htonl((uint32_t)n);

	json_decref(m);
	if (f) {
		*f = (struct frame){ .fd = fd >= 0 ? dup(fd) : -1, .len = n + 4 };
		memcpy(f->data, &be, 4);
		memcpy(f->data + 4, text, n);
		STAILQ_INSERT_TAIL(&self.queue, f, link);
		on_out(NULL);
	}
	if (text) {
		explicit_bzero(text, n); /* may hold secrets */
	}
	free(text);
}

static void on_accept(void *arg)
{
	int fd = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)arg;
	if (fd < 0) {
		return;
	}
	if (self.fd >= 0) {
		log_warn("runtime.refused", LOG_STR("reason", "another runtime is connected"));
		close(fd);
		return;
	}
	self.fd = fd;
	self.in = loop_watch_read(self.loop, fd, on_in, NULL);
	self.out = loop_watch_write(self.loop, fd, on_out, NULL);
}

void runtime_serve(struct loop *l, int fd, void (*on_hello)(void),
                   void (*on_message)(const json_t *m), void (*on_gone)(void))
{
	self.loop = l;
	self.listener = fd;
	self.on_hello = on_hello;
	self.on_message = on_message;
	self.on_gone = on_gone;
	STAILQ_INIT(&self.queue);
	loop_watch_read(l, fd, on_accept, NULL);
}

bool runtime_connected(void)
{
	return self.fd >= 0 && self.greeted;
}
