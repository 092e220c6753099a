/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See message.h. Touches the socket pair only.
 */
#include "netd/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"

static const struct {
	const char *name;
	uint16_t version;
	uint8_t from, to;
	uint32_t min, max;
} types[] = {
#define X(id, v, from, to, min, max) { #id, v, from, to, min, max },
	MSG_TABLE(X)
#undef X
};

struct head {
	uint16_t type, version;
	uint32_t length;
};

struct pending {
	STAILQ_ENTRY(pending) link;
	int fd;
	size_t len;
	uint8_t data[];
};

struct channel {
	int fd;
	enum role self, peer;
	channel_fn fn;
	channel_closed_fn closed;
	void *arg;
	struct loop_watch *in, *out;
	STAILQ_HEAD(pendings, pending) queue;
	bool busy, dead;
	channel_carry_fn carry; /* NULL: by the descriptor */
	void *carry_arg;
};

static void on_readable(void *arg);
static void on_writable(void *arg);

struct channel *channel_new(struct loop *l, int fd, enum role self, enum role peer, channel_fn fn,
                            channel_closed_fn closed, void *arg)
{
	struct channel *c = calloc(1, sizeof(*c));
	int big = 4 << 20;

	if (!c) {
		abort();
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	*c = (struct channel){
		.fd = fd, .self = self, .peer = peer, .fn = fn, .closed = closed, .arg = arg
	};
	STAILQ_INIT(&c->queue);
	c->in = loop_watch_read(l, fd, on_readable, c);
	c->out = loop_watch_write(l, fd, on_writable, c);
	return c;
}

static void pop(struct channel *c)
{
	struct pending *p = STAILQ_FIRST(&c->queue);

	STAILQ_REMOVE_HEAD(&c->queue, link);
	if (p->fd >= 0) {
		close(p->fd);
	}
	free(p);
}

static void destroy(struct channel *c)
{
	while (!STAILQ_EMPTY(&c->queue)) {
		pop(c);
	}
	free(c);
}

void channel_free(struct channel *c)
{
	if (!c || c->dead) {
		return;
	}
	loop_watch_free(c->in);
	loop_watch_free(c->out);
	if (c->fd >= 0) {
		close(c->fd);
	}
	c->dead = true;
	if (!c->busy) {
		destroy(c);
	}
}

static int send_one(struct channel *c, const void *data, size_t len, int fd)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memset(&u, 0, sizeof(u));
		m.msg_control = u.room;
		m.msg_controllen = sizeof(u.room);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(int));
	}
	ssize_t n;
	do {
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

static void on_writable(void *arg)
{
	struct channel *c = arg;

	while (!STAILQ_EMPTY(&c->queue)) {
		const struct pending *p = STAILQ_FIRST(&c->queue);

		if (send_one(c, p->data, p->len, p->fd) < 0) {
			if (errno == EAGAIN || errno == ENOBUFS) {
				return;
			}
		}
		pop(c);
	}
	loop_watch_enable(c->out, false);
}

void channel_send(struct channel *c, enum msg_type type, const struct buf *body, int fd)
{
	size_t len = body ? body->len : 0;
	struct head h = { (uint16_t)type, types[type].version, (uint32_t)len };

	if (!c || c->dead || (body && body->failed)) {
		return;
	}
	if (c->carry) {
		if (fd < 0) {
			c->carry(c->carry_arg, c->peer, type, types[type].version, body);
		}
		return;
	}
	struct pending *p = malloc(sizeof(*p) + sizeof(h) + len);
	if (!p) {
		return;
	}
	memcpy(p->data, &h, sizeof(h));
	if (len) {
		memcpy(p->data + sizeof(h), body->data, len);
	}
	p->len = sizeof(h) + len;
	p->fd = -1;
	if (STAILQ_EMPTY(&c->queue) && send_one(c, p->data, p->len, fd) == 0) {
		free(p);
		return;
	}
	p->fd = fd >= 0 ? dup(fd) : -1;
	STAILQ_INSERT_TAIL(&c->queue, p, link);
	loop_watch_enable(c->out, true);
}

bool message_may(enum role from, enum role to, uint16_t type, uint16_t version, size_t len)
{
	return type < MSG_N && types[type].version == version && len >= types[type].min &&
	       len <= types[type].max && (types[type].from == from || types[type].from == ROLE_N) &&
	       (types[type].to == to || types[type].to == ROLE_N);
}

uint16_t message_version(enum msg_type type)
{
	return types[type].version;
}

/* FNV-1a. */
static uint32_t fold(uint32_t h, uint32_t v)
{
	for (int i = 0; i < 4; i++) {
		h = (h ^ (v >> 8 * i & 0xff)) * 16777619u;
	}
	return h;
}

uint32_t message_dialect(enum role role)
{
	/* What kinds of objects there are is an engine's affair. */
	const uint32_t objects[] = { sizeof(struct kobj), KOBJ_KIND_N, KOBJ_SET_N, KOBJ_PSET_N };
	uint32_t h = 2166136261u;

	for (uint32_t i = 0; i < MSG_N; i++) {
		enum role other = types[i].from == ROLE_CONTROL ? types[i].to : types[i].from;

		if ((types[i].from == ROLE_CONTROL || types[i].to == ROLE_CONTROL) &&
		    (other == role || other == ROLE_N)) {
			h = fold(fold(fold(h, i), types[i].version), types[i].from);
			h = fold(fold(h, types[i].min), types[i].max);
		}
	}
	for (size_t i = 0; role == ROLE_ENGINE && i < ARRAY_N(objects); i++) {
		h = fold(h, objects[i]);
	}
	return h;
}

static bool allowed(const struct channel *c, const struct head *h, size_t len)
{
	return len == sizeof(*h) + h->length &&
	       message_may(c->peer, c->self, h->type, h->version, h->length);
}

struct channel *channel_carried(enum role self, enum role peer, channel_carry_fn carry,
                                void *carry_arg, channel_fn fn, void *arg)
{
	struct channel *c = calloc(1, sizeof(*c));

	if (!c) {
		abort();
	}
	*c = (struct channel){ .fd = -1,
		               .self = self,
		               .peer = peer,
		               .fn = fn,
		               .arg = arg,
		               .carry = carry,
		               .carry_arg = carry_arg };
	STAILQ_INIT(&c->queue);
	return c;
}

int channel_take(struct channel *c, uint16_t type, uint16_t version, const uint8_t *data,
                 size_t len)
{
	struct reader r = { data, len, false };

	if (!message_may(c->peer, c->self, type, version, len)) {
		return -1;
	}
	c->busy = true;
	c->fn(c->arg, c->peer, (enum msg_type)type, &r, -1);
	c->busy = false;
	bool dead = c->dead;
	if (dead) {
		destroy(c);
	}
	return dead || reader_done(&r) ? 0 : -1;
}

/* 1 a message was handled, 0 nothing there, -1 the channel is over */
static int receive(struct channel *c)
{
	static uint8_t data[sizeof(struct head) + MSG_BODY_MAX];
	struct iovec iov = { data, sizeof(data) };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct msghdr m = { .msg_iov = &iov,
		            .msg_iovlen = 1,
		            .msg_control = u.room,
		            .msg_controllen = sizeof(u.room) };
	AUTO_CLOSE int fd = -1;
	struct head h;

	ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	const struct cmsghdr *cm = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (cm && cm->cmsg_type == SCM_RIGHTS && cm->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(&fd, CMSG_DATA(cm), sizeof(int));
	}
	if (n < (ssize_t)sizeof(h)) {
		return -1;
	}
	memcpy(&h, data, sizeof(h));
	if (!allowed(c, &h, (size_t)n)) {
		log_error("message.refused", LOG_NUM("type", h.type), LOG_NUM("length", n));
		return -1;
	}
	struct reader r = { data + sizeof(h), h.length, false };
	c->fn(c->arg, c->peer, (enum msg_type)h.type, &r, take_fd(&fd));
	if (!c->dead && !reader_done(&r)) {
		log_error("message.malformed", LOG_STR("type", types[h.type].name));
		return -1;
	}
	return 1;
}

static void on_readable(void *arg)
{
	struct channel *c = arg;
	int rc = 1;

	c->busy = true;
	for (int i = 0; i < 64 && rc == 1 && !c->dead; i++) {
		rc = receive(c);
	}
	c->busy = false;
	if (c->dead) {
		destroy(c);
	} else if (rc < 0) {
		loop_watch_enable(c->in, false);
		c->closed(c->arg, c->peer);
	}
}

/* ---- typed payloads ---- */

void put_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void put_u16(struct buf *b, uint16_t v)
{
	buf_add(b, &v, 2);
}

void put_u32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, 4);
}

void put_u64(struct buf *b, uint64_t v)
{
	buf_add(b, &v, 8);
}

void put_str(struct buf *b, const char *s)
{
	size_t n = strnlen(s, UINT16_MAX);

	put_u16(b, (uint16_t)n);
	buf_add(b, s, n);
}

static void get(struct reader *r, void *to, size_t n)
{
	if (r->failed || r->left < n) {
		r->failed = true;
		memset(to, 0, n);
		return;
	}
	memcpy(to, r->p, n);
	r->p += n;
	r->left -= n;
}

uint8_t get_u8(struct reader *r)
{
	uint8_t v;

	get(r, &v, 1);
	return v;
}

uint16_t get_u16(struct reader *r)
{
	uint16_t v;

	get(r, &v, 2);
	return v;
}

uint32_t get_u32(struct reader *r)
{
	uint32_t v;

	get(r, &v, 4);
	return v;
}

uint64_t get_u64(struct reader *r)
{
	uint64_t v;

	get(r, &v, 8);
	return v;
}

void get_str(struct reader *r, char *to, size_t size)
{
	size_t n = get_u16(r);

	if (n >= size) {
		r->failed = true;
		n = 0;
	}
	get(r, to, n);
	to[n] = '\0';
}

const uint8_t *borrow_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->failed || r->left < n) {
		r->failed = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return p;
}

/* Fields of an object in the order of the wire; one list for both directions. */
/* clang-format off */
#define KOBJ_FIELDS(F) \
	F(ns) F(kind) F(family) F(plen) F(sub) F(dev) F(addr) F(kmac) F(port) F(proto) F(table) F(via) F(mac) \
	F(via_port) F(flags) F(index) F(mtu) F(peer_ns) F(master) F(peer)
/* clang-format on */

void put_kobj(struct buf *b, const struct kobj *o)
{
#define F(f) buf_add(b, &o->f, sizeof(o->f));
	KOBJ_FIELDS(F)
#undef F
}

void get_kobj(struct reader *r, struct kobj *o)
{
	memset(o, 0, sizeof(*o));
#define F(f) get(r, &o->f, sizeof(o->f));
	KOBJ_FIELDS(F)
#undef F
}

/* The same for a flow. */
/* clang-format off */
#define FLOW_FIELDS(F) \
	F(proto) F(src.family) F(src.b) F(dst.family) F(dst.b) F(sport) F(dport) F(icmp) F(to.family) \
	F(to.b) F(to_port)
/* clang-format on */

void put_flow(struct buf *b, const struct kflow *f)
{
#define F(x) buf_add(b, &f->x, sizeof(f->x));
	FLOW_FIELDS(F)
#undef F
}

void get_bytes(struct reader *r, uint8_t *to, size_t n)
{
	get(r, to, n);
}

void get_flow(struct reader *r, struct kflow *f)
{
	memset(f, 0, sizeof(*f));
#define F(x) get(r, &f->x, sizeof(f->x));
	FLOW_FIELDS(F)
#undef F
}

/* clang-format off */
#define COUNT_FIELDS(F) \
	F(kind) F(name) F(ip.family) F(ip.b) F(packets) F(bytes) F(back_packets) F(back_bytes)
/* clang-format on */

void put_count(struct buf *b, const struct kcount *c)
{
#define F(x) buf_add(b, &c->x, sizeof(c->x));
	COUNT_FIELDS(F)
#undef F
}

void get_count(struct reader *r, struct kcount *c)
{
	memset(c, 0, sizeof(*c));
#define F(x) get(r, &c->x, sizeof(c->x));
	COUNT_FIELDS(F)
#undef F
	r->failed = r->failed || !memchr(c->name, '\0', sizeof(c->name)) ||
	            (c->ip.family != 0 && c->ip.family != 4 && c->ip.family != 6);
}

bool reader_done(const struct reader *r)
{
	return !r->failed && r->left == 0;
}
