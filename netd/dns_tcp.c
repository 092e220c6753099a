/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * DNS over TCP (RFC 7766): queries one after the other, answers as they come, bounded in connections, bytes and
 * time, so that who stalls keeps nobody out. See dns_parts.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "netd/dns_parts.h"

#define CONNS_MAX   1000
#define CLIENT_MAX  100  /* of one address */
#define PARTIAL_MS  2000 /* for the rest of a query that has begun */
#define READ_BYTES  4096
#define UNSENT_MAX  (256u << 10) /* then no more is read */
#define UNSENT_END  (1u << 20)   /* then it is over */
#define TRANSFER_MS 10000        /* a transfer that does not move */

struct conn {
	TAILQ_ENTRY(conn) link;
	LIST_ENTRY(conn) of_server;
	struct tcp_server *server;
	uint64_t id;
	int fd;
	struct sockaddr_storage from;
	struct loop_watch *in, *out;
	struct loop_timer *timer;
	struct buf got, unsent;
	bool transfers; /* what is unsent may be much */
	bool over;      /* goes as soon as nobody works on it */
};

struct tcp_server {
	int fd;
	uint32_t vnet;
	struct loop_watch *watch;
	LIST_HEAD(of_server, conn) conns;
};

static TAILQ_HEAD(conns, conn) conns = TAILQ_HEAD_INITIALIZER(conns); /* asked longest ago first */
static unsigned n_conns;
static uint64_t next_id = 1;

static int64_t idle_ms(void)
{
	/* Shorter as it gets fuller (RFC 7766 6.2.3). */
	return (int64_t)dns_role.server.idle_ds * 100 / (n_conns > CONNS_MAX / 2 ? 4 : 1);
}

static void conn_free(void *arg)
{
	struct conn *c = arg;

	TAILQ_REMOVE(&conns, c, link);
	LIST_REMOVE(c, of_server);
	loop_watch_free(c->in);
	loop_watch_free(c->out);
	loop_timer_free(c->timer);
	buf_fini(&c->got);
	buf_fini(&c->unsent);
	close(c->fd);
	free(c);
	n_conns--;
}

/* ---- out ---- */

/* false: the connection is over */
static bool flush(struct conn *c)
{
	while (c->unsent.len > 0) {
		ssize_t n = send(c->fd, c->unsent.data, c->unsent.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR) {
				break;
			}
			return false;
		}
		buf_drop(&c->unsent, (size_t)n);
	}
	loop_watch_enable(c->out, c->unsent.len > 0);
	loop_watch_enable(c->in, c->unsent.len < UNSENT_MAX);
	if (c->transfers && c->unsent.len > 0) {
		loop_timer_start(c->timer, TRANSFER_MS); /* as long as it moves */
	}
	c->transfers = c->transfers && c->unsent.len > 0;
	return (c->unsent.len < UNSENT_END || c->transfers) && !c->unsent.failed;
}

static bool send_answer(struct conn *c, const uint8_t *p, size_t len)
{
	uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };

	buf_add(&c->unsent, head, 2);
	buf_add(&c->unsent, p, len);
	return flush(c);
}

static void on_writable(void *arg)
{
	struct conn *c = arg;

	if (!flush(c)) {
		conn_free(c);
	}
}

void dns_tcp_answer(uint64_t id, const uint8_t *p, size_t len)
{
	struct conn *c;

	TAILQ_FOREACH(c, &conns, link)
	{
		if (c->id == id) {
			if (!send_answer(c, p, len)) {
				c->over = true;
				loop_timer_start(c->timer, 0);
			}
			return;
		}
	}
}

/* ---- in ---- */

static bool answer_public(struct conn *c, const uint8_t *packet, size_t len)
{
	static uint8_t out[65535];
	struct dns_ask a = { .zones = dns_role.zones,
		             .view = dns_view_of(dns_role.zones, DNS_VIEW_PUBLIC),
		             .server = &dns_role.server,
		             .signer = dns_role.signer,
		             .tcp = true,
		             .now_s = (uint32_t)time(NULL) };

	dns_client(&a, &c->from);
	dns_ask_read(&a, packet, len);
	if (a.read == DNS_NOERROR && a.q.class == 1 &&
	    (a.q.type == DNS_AXFR || a.q.type == DNS_IXFR) &&
	    dns_transfer(&a, packet, len, &c->unsent)) {
		c->transfers = true;
		dns_count_answer(&dns_role.counts, &a, 1);
		return flush(c);
	}
	size_t n = dns_ask_answer(&a, packet, out, sizeof(out));
	struct buf log = { 0 };
	dns_count_answer(&dns_role.counts, &a, n);
	dns_log(&log, &a, DNS_VIEW_PUBLIC, n);
	dns_log_flush(&log);
	buf_fini(&log);
	return n > 0 && send_answer(c, out, n);
}

/* All queries that are there whole; false: the connection is over. */
static bool answer_all(struct conn *c)
{
	size_t at = 0;
	bool ok = true;

	while (ok && !c->over && c->got.len - at >= 2) {
		const uint8_t *p = c->got.data + at;
		size_t len = (size_t)p[0] << 8 | p[1];

		if (c->got.len - at < len + 2) {
			break;
		}
		at += len + 2;
		dns_counted(&dns_role.counts, COUNT_TCP);
		if (c->server->vnet == DNS_VIEW_PUBLIC) {
			ok = answer_public(c, p + 2, len);
		} else if (len >= DNS_HEADER) {
			dns_vnet_tcp(c->server->vnet, c->id, &c->from, p + 2, len);
		}
	}
	if (at > 0) {
		buf_drop(&c->got, at);
		TAILQ_REMOVE(&conns, c, link);
		TAILQ_INSERT_TAIL(&conns, c, link);
	}
	if (c->over) {
		return false;
	}
	/* A query that has begun has its time from its first byte on. */
	if (at > 0 || c->got.len == 0) {
		loop_timer_start(c->timer, c->got.len > 0 ? PARTIAL_MS : idle_ms());
	}
	return ok;
}

static void on_readable(void *arg)
{
	struct conn *c = arg;
	bool begins = c->got.len == 0;
	void *room = buf_room(&c->got, READ_BYTES);
	ssize_t n = room ? recv(c->fd, room, READ_BYTES, MSG_DONTWAIT) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		conn_free(c);
		return;
	}
	c->got.len += (size_t)n;
	if (begins) {
		loop_timer_start(c->timer, PARTIAL_MS);
	}
	if (!answer_all(c)) {
		conn_free(c);
	}
}

/* ---- connections ---- */

static bool same_client(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	struct dns_ask x = { 0 }, y = { 0 };

	dns_client(&x, a);
	dns_client(&y, b);
	return x.client_len == y.client_len && memcmp(x.client, y.client, x.client_len) == 0;
}

/* Who has most makes room: the client's own oldest one, or the oldest of all. */
static void make_room(const struct tcp_server *s, const struct sockaddr_storage *from)
{
	struct conn *c, *own = NULL;
	unsigned n = 0;

	if (n_conns < CLIENT_MAX) {
		return;
	}
	TAILQ_FOREACH(c, &conns, link)
	{
		if (c->server == s && same_client(&c->from, from)) {
			own = own ? own : c;
			n++;
		}
	}
	if (n >= CLIENT_MAX) {
		conn_free(own);
	} else if (n_conns >= CONNS_MAX) {
		conn_free(TAILQ_FIRST(&conns));
	}
}

static void on_accept(void *arg)
{
	struct tcp_server *s = arg;
	struct sockaddr_storage from = { 0 };
	socklen_t len = sizeof(from);
	int fd = accept4(s->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		return;
	}
	make_room(s, &from);
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	n_conns++;
	TAILQ_INSERT_TAIL(&conns, c, link);
	LIST_INSERT_HEAD(&s->conns, c, of_server);
	c->server = s;
	c->id = next_id++;
	c->fd = fd;
	c->from = from;
	c->in = loop_watch_read(dns_role.loop, fd, on_readable, c);
	c->out = loop_watch_write(dns_role.loop, fd, on_writable, c);
	c->timer = loop_timer_new(dns_role.loop, conn_free, c);
	loop_timer_start(c->timer, idle_ms());
}

struct tcp_server *dns_tcp_serve(int fd, uint32_t vnet)
{
	struct tcp_server *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	s->vnet = vnet;
	LIST_INIT(&s->conns);
	s->watch = loop_watch_read(dns_role.loop, fd, on_accept, s);
	return s;
}

void dns_tcp_free(struct tcp_server *s)
{
	if (!s) {
		return;
	}
	while (!LIST_EMPTY(&s->conns)) {
		conn_free(LIST_FIRST(&s->conns));
	}
	loop_watch_free(s->watch);
	close(s->fd);
	free(s);
}
