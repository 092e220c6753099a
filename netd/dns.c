/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The dns role: no capabilities, sockets handed in. Reads DNS packets from anyone and control's
 * messages; answers from dns/zone.h. Keeps answering while control is away.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/zone.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/role.h"

#define BATCH       32
#define PACKET_MAX  1232
#define TCP_MAX     100
#define TCP_IDLE_MS 5000

static struct {
	struct loop *loop;
	struct dns_zones *zones;
	struct channel *control;
	int udp, tcp;
	TAILQ_HEAD(conns, conn) conns; /* who asked longest ago first */
	unsigned n_tcp;
	bool serving;
	uint64_t queries, answers, tcp_queries;
} self;

static void on_udp(void *arg)
{
	static uint8_t in[BATCH][PACKET_MAX], out[BATCH][PACKET_MAX];
	static struct sockaddr_storage from[BATCH];
	struct mmsghdr rx[BATCH], tx[BATCH];
	struct iovec iov[BATCH], oiov[BATCH];
	int m = 0;

	(void)arg;
	memset(rx, 0, sizeof(rx));
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ in[i], PACKET_MAX };
		rx[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
			                         .msg_namelen = sizeof(from[i]),
			                         .msg_iov = &iov[i],
			                         .msg_iovlen = 1 };
	}
	int n = recvmmsg(self.udp, rx, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		size_t len =
			dns_answer(self.zones, in[i], rx[i].msg_len, false, out[m], PACKET_MAX);

		self.queries++;
		if (len) {
			oiov[m] = (struct iovec){ out[m], len };
			tx[m].msg_hdr = (struct msghdr){ .msg_name = &from[i],
				                         .msg_namelen = rx[i].msg_hdr.msg_namelen,
				                         .msg_iov = &oiov[m],
				                         .msg_iovlen = 1 };
			m++;
		}
	}
	for (int sent = 0; sent < m;) {
		int k = sendmmsg(self.udp, tx + sent, (unsigned)(m - sent), MSG_DONTWAIT);

		sent += k > 0 ? k : 1; /* one that cannot be sent is dropped, as UDP may */
		self.answers += k > 0 ? (uint64_t)k : 0;
	}
}

/* ---- TCP: bounded in connections, bytes and time; a slow one delays nobody ---- */

struct conn {
	TAILQ_ENTRY(conn) link;
	int fd;
	struct loop_watch *watch;
	struct loop_timer *idle;
	struct buf in;
};

static void conn_free(void *arg)
{
	struct conn *c = arg;

	TAILQ_REMOVE(&self.conns, c, link);
	loop_watch_free(c->watch);
	loop_timer_free(c->idle);
	buf_fini(&c->in);
	close(c->fd);
	free(c);
	self.n_tcp--;
}

/* false: the connection is over */
static bool answer_tcp(struct conn *c)
{
	static uint8_t out[2 + 65535];

	while (c->in.len >= 2) {
		size_t want = (size_t)c->in.data[0] << 8 | c->in.data[1];

		if (c->in.len < want + 2) {
			return true;
		}
		size_t len = dns_answer(self.zones, c->in.data + 2, want, true, out + 2, 65535);
		self.tcp_queries++;
		buf_drop(&c->in, want + 2);
		if (!len) {
			return false;
		}
		out[0] = (uint8_t)(len >> 8);
		out[1] = (uint8_t)len;
		if (send(c->fd, out, len + 2, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len + 2) {
			return false; /* it does not read what it asked for */
		}
		loop_timer_start(c->idle, TCP_IDLE_MS);
		TAILQ_REMOVE(&self.conns, c, link);
		TAILQ_INSERT_TAIL(&self.conns, c, link);
	}
	return true;
}

static void on_conn(void *arg)
{
	struct conn *c = arg;
	void *room = buf_room(&c->in, 4096);
	ssize_t n = room ? recv(c->fd, room, 4096, MSG_DONTWAIT) : 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n > 0) {
		c->in.len += (size_t)n;
	}
	if (n <= 0 || !answer_tcp(c)) {
		conn_free(c);
	}
}

static void on_accept(void *arg)
{
	int fd = accept4(self.tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)arg;
	if (fd < 0) {
		return;
	}
	if (self.n_tcp == TCP_MAX) { /* who stalls keeps nobody out */
		conn_free(TAILQ_FIRST(&self.conns));
	}
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	self.n_tcp++;
	TAILQ_INSERT_TAIL(&self.conns, c, link);
	c->fd = fd;
	c->watch = loop_watch_read(self.loop, fd, on_conn, c);
	c->idle = loop_timer_new(self.loop, conn_free, c);
	loop_timer_start(c->idle, TCP_IDLE_MS);
}

/* ---- control ---- */

static void reply(enum msg_type type, uint64_t request, int ok, const char *text)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	if (type == MSG_DNS_DONE) {
		put_u8(&b, (uint8_t)ok);
	}
	put_str(&b, text);
	channel_send(self.control, type, &b, -1);
	buf_fini(&b);
}

static void name_set(struct reader *r)
{
	uint64_t request = get_u64(r);
	char name[256];
	struct ip addrs[16] = { 0 };
	struct err e = ERR_INIT;

	get_str(r, name, sizeof(name));
	uint8_t n = get_u8(r);
	if (n > 16) {
		r->failed = true;
		return;
	}
	for (int i = 0; i < n; i++) {
		addrs[i].family = get_u8(r);
		for (int k = 0; k < 16; k++) {
			addrs[i].b[k] = get_u8(r);
		}
	}
	if (!reader_done(r)) {
		return;
	}
	int rc = dns_name_set(self.zones, name, addrs, n, &e);
	crash_point(CRASH_DNS_UPDATED);
	reply(MSG_DNS_DONE, request, rc == 0, rc == 0 ? "" : e.msg);
}

/* Not before the first full list: until then packets wait in the sockets, and no name that exists
 * is denied. */
static void serve(void)
{
	if (!self.serving && self.udp >= 0) {
		loop_watch_read(self.loop, self.udp, on_udp, NULL);
		loop_watch_read(self.loop, self.tcp, on_accept, NULL);
		self.serving = true;
	}
}

static void on_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char text[256];

	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	switch ((int)type) {
	case MSG_NAMES_BEGIN:
		dns_names_begin(self.zones);
		break;
	case MSG_NAME_SET:
		name_set(r);
		break;
	case MSG_NAMES_END:
		dns_names_end(self.zones);
		serve();
		reply(MSG_DNS_DONE, get_u64(r), 1, "");
		break;
	case MSG_PING:
		snprintf(text, sizeof(text),
		         "netd_dns_queries_total %llu\nnetd_dns_answers_total %llu\n"
		         "netd_dns_tcp_queries_total %llu\nnetd_dns_names %zu\n",
		         (unsigned long long)self.queries, (unsigned long long)self.answers,
		         (unsigned long long)self.tcp_queries, dns_names_count(self.zones));
		reply(MSG_PONG, get_u64(r), 1, text);
		break;
	default:
		r->failed = true;
		break;
	}
}

void dns_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	char domain[256], host[64];
	struct err e = ERR_INIT;
	struct ip addr = { 0 };
	const char *const suffixes[] = { c->dns_suffix, c->ip_suffix };

	self.loop = l;
	TAILQ_INIT(&self.conns);
	self.zones = dns_zones_new();
	snprintf(host, sizeof(host), "%.*s", (int)strcspn(c->listen_dns, ":"), c->listen_dns);
	(void)!ip_parse(host, &addr, &e);
	for (int i = 0; i < 2; i++) {
		snprintf(domain, sizeof(domain), "%.60s.%.120s", c->region, suffixes[i]);
		if (!self.zones || dns_zones_add(self.zones, domain, &addr, addr.family != 0,
		                                 (uint32_t)c->ttl_s, &e) < 0) {
			log_error("dns.zone", LOG_STR("error", e.msg));
			exit(78);
		}
	}
	self.udp = fds[FD_DNS_UDP];
	self.tcp = fds[FD_DNS_TCP];
	const struct role_peer control = { ROLE_CONTROL, &self.control, on_control };
	role_serve(ROLE_DNS, l, main_fd, &control, 1);
}
