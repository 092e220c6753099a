/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The probe role: no capabilities, sockets handed in, each of a VNet and bound to the platform's address
 * there. Asks backends what control names, reads what tenants answer, says when one has turned. An answer is
 * read up to its status line, and never long: what a backend says can end its own probe, nothing else.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lb/health.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/role.h"

#define TARGETS_MAX 100000
#define TIMEOUT_MAX 30000 /* ms; LB/load-balancer-custom-probe-overview */
#define TCP_WAIT_MS 5000
#define AGAIN_MS    200
#define ANSWER_MAX  1024 /* bytes until the status line is told */
#define AHEAD       16   /* sockets asked for at once */

enum kind {
	KIND_TCP,
	KIND_HTTP,
	KIND_HTTPS
};

struct target {
	uint64_t id;
	uint32_t ns;
	struct ip ip;
	uint16_t port;
	enum kind kind;
	int64_t interval_ms;
	char *path;
	struct health health;
	char why[64];
	struct loop_timer *timer; /* next probe, or the end of this one */
	bool listed, waits;       /* waits: for a socket */
	TAILQ_ENTRY(target) link; /* among those that wait */
	/* the probe under way; fd -1: none */
	int fd;
	struct loop_watch *in, *out;
	SSL *tls;
	char answer[ANSWER_MAX + 1];
	size_t got, sent;
	int64_t begun_ms;
};

static struct {
	struct loop *loop;
	struct channel *control, *engine;
	struct target **v; /* sorted by id */
	size_t n, cap;
	TAILQ_HEAD(waiting, target) waiting;
	SSL_CTX *tls;
	uint64_t probes, failures, turns;
} self;

static int64_t now(void)
{
	return clock_system.now_ms(&clock_system);
}

/* ---- table ---- */

static size_t place(uint64_t id)
{
	size_t lo = 0, hi = self.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (self.v[mid]->id < id) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct target *find(uint64_t id)
{
	size_t i = place(id);

	return i < self.n && self.v[i]->id == id ? self.v[i] : NULL;
}

static void hang_up(struct target *t)
{
	if (t->fd < 0) {
		return;
	}
	loop_watch_free(t->in);
	loop_watch_free(t->out);
	t->in = t->out = NULL;
	if (t->tls) {
		SSL_free(t->tls);
		t->tls = NULL;
	}
	close(t->fd);
	t->fd = -1;
}

static void unwait(struct target *t)
{
	if (t->waits) {
		TAILQ_REMOVE(&self.waiting, t, link);
		t->waits = false;
	}
}

static void drop(size_t i)
{
	struct target *t = self.v[i];

	unwait(t);
	hang_up(t);
	loop_timer_free(t->timer);
	free(t->path);
	free(t);
	memmove(&self.v[i], &self.v[i + 1], (self.n - i - 1) * sizeof(struct target *));
	self.n--;
}

/* ---- one probe ---- */

static void say(const struct target *t)
{
	struct buf b = { 0 };

	put_u64(&b, t->id);
	put_u8(&b, t->health.up);
	put_str(&b, t->why);
	channel_send(self.control, MSG_PROBE_STATE, &b, -1);
	buf_fini(&b);
}

/* It ended; the next one keeps the interval. */
static void end(struct target *t, bool good, const char *why)
{
	int64_t left = t->begun_ms + t->interval_ms - now();

	hang_up(t);
	self.failures += !good;
	snprintf(t->why, sizeof(t->why), "%s", why);
	if (health_note(&t->health, good, now())) {
		self.turns++;
		say(t);
	}
	loop_timer_start(t->timer, left > 0 ? left : 0);
}

static void on_http(struct target *t)
{
	unsigned status = 0;
	char why[64];

	t->answer[t->got] = '\0';
	if (t->got < ANSWER_MAX && !memchr(t->answer, '\n', t->got)) {
		return;
	}
	/* RFC 9112, 4: "HTTP/1.1 200 OK" */
	if (sscanf(t->answer, "HTTP/1.%*1[01] %3u", &status) != 1 || t->answer[12] == '\0' ||
	    !strchr(" \r\n", t->answer[12])) {
		end(t, false, "the answer is not HTTP");
		return;
	}
	snprintf(why, sizeof(why), "status %u", status);
	end(t, status == 200, why);
}

static void request(const struct target *t, char *to, size_t size)
{
	char host[IP_TEXT];

	ip_format(&t->ip, host);
	snprintf(to, size,
	         "GET %s%s HTTP/1.1\r\nHost: %s%s%s:%u\r\nUser-Agent: Load Balancer Agent\r\n"
	         "Connection: close\r\n\r\n",
	         t->path[0] == '/' ? "" : "/", t->path, t->ip.family == 6 ? "[" : "", host,
	         t->ip.family == 6 ? "]" : "", t->port);
}

/* More to do on a connection that stands: the request out, the answer in. */
static void go_on(struct target *t)
{
	char text[1400];
	ssize_t n;

	request(t, text, sizeof(text));
	size_t len = strlen(text);
	while (t->sent < len) {
		n = t->tls ? SSL_write(t->tls, text + t->sent, (int)(len - t->sent))
		           : send(t->fd, text + t->sent, len - t->sent, MSG_NOSIGNAL);
		if (n <= 0) {
			break;
		}
		t->sent += (size_t)n;
	}
	loop_watch_enable(t->out, t->sent < len && !t->tls);
	while (t->fd >= 0 && t->got < ANSWER_MAX) {
		n = t->tls ? SSL_read(t->tls, t->answer + t->got, (int)(ANSWER_MAX - t->got))
		           : recv(t->fd, t->answer + t->got, ANSWER_MAX - t->got, 0);
		int error = t->tls ? SSL_get_error(t->tls, (int)n) : 0;
		ERR_clear_error();
		if (n > 0) {
			t->got += (size_t)n;
			on_http(t);
		} else if (t->tls ? error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
		                  : n < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		} else {
			end(t, false, "the connection ended before an answer");
		}
	}
}

static void on_in(void *arg)
{
	go_on(arg);
}

static void on_out(void *arg)
{
	struct target *t = arg;
	int error = 0;
	socklen_t len = sizeof(error);

	if (!t->in) { /* the connection stands, or does not */
		if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
			end(t, false,
			    error == ECONNREFUSED ? "connection refused" : "no connection");
			return;
		}
		if (t->kind == KIND_TCP) {
			end(t, true, "connected");
			return;
		}
		t->in = loop_watch_read(self.loop, t->fd, on_in, t);
		if (t->kind == KIND_HTTPS) {
			t->tls = SSL_new(self.tls);
			if (!t->tls || !SSL_set_fd(t->tls, t->fd)) {
				end(t, false, "TLS");
				return;
			}
			SSL_set_connect_state(t->tls);
		}
	}
	go_on(t);
}

static void begin(struct target *t, int fd)
{
	struct sockaddr_storage to;
	socklen_t len = ip_sockaddr(&t->ip, t->port, &to);
	int64_t limit = t->kind == KIND_TCP ? TCP_WAIT_MS : TIMEOUT_MAX;

	t->fd = fd;
	t->got = t->sent = 0;
	self.probes++;
	if (connect(fd, (const struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS) {
		end(t, false, errno == ECONNREFUSED ? "connection refused" : "no connection");
		return;
	}
	t->out = loop_watch_write(self.loop, fd, on_out, t);
	loop_watch_enable(t->out, true);
	limit = t->interval_ms < limit ? t->interval_ms : limit;
	loop_timer_start(t->timer, limit);
}

static void ask_socket(struct target *t)
{
	struct buf b = { 0 };

	put_u32(&b, t->ns);
	put_u8(&b, t->ip.family);
	channel_send(self.engine, MSG_SOCKET_ASK, &b, -1);
	buf_fini(&b);
	TAILQ_INSERT_TAIL(&self.waiting, t, link);
	t->waits = true;
}

static void on_timer(void *arg)
{
	struct target *t = arg;

	if (t->fd >= 0) {
		end(t, false, t->in ? "no answer in time" : "no connection in time");
		return;
	}
	unwait(t); /* the engine is away, or has no such VNet: asked again */
	t->begun_ms = now();
	ask_socket(t);
	loop_timer_start(t->timer, t->interval_ms);
}

/* ---- engine ---- */

static void on_engine(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t ns = get_u32(r);
	uint8_t family = get_u8(r);
	struct target *t;

	(void)arg;
	(void)from;
	if (type != MSG_SOCKET || !reader_done(r)) {
		r->failed = true;
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	TAILQ_FOREACH(t, &self.waiting, link)
	{
		if (t->ns == ns && t->ip.family == family) {
			break;
		}
	}
	if (!t) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	unwait(t);
	if (fd >= 0) {
		begin(t, fd);
	} else { /* the engine has just begun, and does not know the VNet yet: nothing was learned of the backend */
		loop_timer_start(t->timer, AGAIN_MS);
	}
}

/* ---- control ---- */

/* The first comes at once, spread a little, so that a thousand do not come together. */
static int64_t spread(const struct target *t)
{
	return (int64_t)(t->id * UINT64_C(0x9e3779b97f4a7c15) >> 54) *
	       (t->interval_ms < 1000 ? t->interval_ms : 1000) / 1024;
}

static struct target *make(uint64_t id)
{
	struct target *t = calloc(1, sizeof(*t));
	size_t i = place(id);

	if (self.n == self.cap) {
		self.cap = self.cap ? self.cap * 2 : 64;
		self.v = realloc(self.v, self.cap * sizeof(struct target *));
	}
	if (!t || !self.v) {
		abort();
	}
	memmove(&self.v[i + 1], &self.v[i], (self.n - i) * sizeof(struct target *));
	self.v[i] = t;
	self.n++;
	t->id = id;
	t->fd = -1;
	t->timer = loop_timer_new(self.loop, on_timer, t);
	return t;
}

static void set(struct reader *r)
{
	struct target now_is = { .id = get_u64(r), .ns = get_u32(r) };
	char path[1024];

	now_is.ip.family = get_u8(r);
	for (int i = 0; i < 16; i++) {
		now_is.ip.b[i] = get_u8(r);
	}
	now_is.port = get_u16(r);
	now_is.kind = (enum kind)get_u8(r);
	now_is.interval_ms = (int64_t)get_u32(r) * 1000;
	unsigned rise = get_u16(r), fall = get_u16(r);
	bool up = get_u8(r);
	get_str(r, path, sizeof(path));
	if (!reader_done(r) || now_is.kind > KIND_HTTPS || now_is.interval_ms <= 0) {
		r->failed = true;
		return;
	}
	struct target *t = find(now_is.id);
	bool fresh = t == NULL;
	if (fresh && self.n == TARGETS_MAX) {
		return;
	}
	t = t ? t : make(now_is.id);
	t->listed = true;
	t->ns = now_is.ns;
	t->ip = now_is.ip;
	t->port = now_is.port;
	t->kind = now_is.kind;
	t->interval_ms = now_is.interval_ms;
	t->health.rise = rise;
	t->health.fall = fall;
	free(t->path);
	t->path = strdup(path);
	if (fresh) {
		t->health.up = up;
		loop_timer_start(t->timer, spread(t));
	} else if (up != t->health.up) {
		say(t); /* control had not heard it */
	}
}

static void list_end(void)
{
	for (size_t i = self.n; i-- > 0;) {
		if (!self.v[i]->listed) {
			drop(i);
		}
	}
}

static void on_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char text[256];
	struct buf b = { 0 };
	uint64_t id;

	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	switch ((int)type) {
	case MSG_PROBE_SET:
		set(r);
		break;
	case MSG_PROBE_DEL:
		id = get_u64(r);
		if (find(id)) {
			drop(place(id));
		}
		break;
	case MSG_PROBE_BEGIN:
		for (size_t i = 0; i < self.n; i++) {
			self.v[i]->listed = false;
		}
		break;
	case MSG_PROBE_END:
		list_end();
		break;
	case MSG_PING:
		snprintf(text, sizeof(text),
		         "netd_probe_targets %zu\nnetd_probe_probes_total %llu\n"
		         "netd_probe_failures_total %llu\nnetd_probe_turns_total %llu\n",
		         self.n, (unsigned long long)self.probes, (unsigned long long)self.failures,
		         (unsigned long long)self.turns);
		put_u64(&b, get_u64(r));
		put_str(&b, text);
		channel_send(self.control, MSG_PONG, &b, -1);
		buf_fini(&b);
		break;
	default:
		r->failed = true;
		break;
	}
}

void probe_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	const struct role_peer peers[] = { { ROLE_CONTROL, &self.control, on_control, NULL },
		                           { ROLE_ENGINE, &self.engine, on_engine, NULL } };

	(void)c;
	(void)fds;
	self.loop = l;
	TAILQ_INIT(&self.waiting);
	/* As Azure does: the certificate is not checked, the backend's name is not known. */
	self.tls = SSL_CTX_new(TLS_client_method());
	if (!self.tls) {
		log_error("probe.tls", LOG_STR("error", "no TLS client"));
		exit(78);
	}
	role_serve(ROLE_PROBE, l, main_fd, peers, 2);
}
