/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See http.h: connections, bodies, answers. Runs on the control role's loop.
 */
#include "netd/api/http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/loop.h"

#define HEAD_MAX    16384
#define BODY_MAX    (4 << 20)
#define CONN_MAX    1024 /* a listener's; the one that has waited longest makes room */
#define ACCEPT_MAX  16
#define HEAD_MS     10000
#define BODY_MS     30000
#define IDLE_MS     120000
#define DISCARD_MS  2000
#define DISCARD_MAX (32 << 20) /* bytes */

struct server {
	struct loop *loop;
	int fd; /* listens */
	SSL_CTX *tls;
	http_fn fn;
	void *arg;
	TAILQ_HEAD(conns, conn) waiting; /* for their next request or its rest, longest first */
	unsigned n;
};

enum state {
	READ_HEAD,
	READ_BODY,
	READ_CHUNK_SIZE,
	READ_CHUNK,
	READ_TRAILER,
	ANSWERING,
	DISCARD /* refused: the rest is read and dropped, else the refusal would be lost */
};

struct conn {
	TAILQ_ENTRY(conn) link; /* while not ANSWERING */
	struct server *s;
	struct bufferevent *bev;
	struct loop_timer *deadline;
	struct http_request *r; /* being read or answered */
	enum state state;
	int64_t left;
	bool close, unix_socket, gone;
	uid_t uid;
	char peer[64];
};

static void conn_free(struct conn *c)
{
	if (c->bev) {
		bufferevent_free(c->bev);
		loop_timer_free(c->deadline);
		c->bev = NULL;
		c->s->n--;
		if (c->state != ANSWERING) {
			TAILQ_REMOVE(&c->s->waiting, c, link);
		}
	}
	if (c->r && c->state == ANSWERING) {
		c->gone = true; /* the handler still has the request; http_reply() frees */
		return;
	}
	if (c->r) {
		buf_fini(&c->r->body);
		free(c->r);
	}
	free(c);
}

static void on_deadline(void *arg)
{
	conn_free(arg);
}

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} table[] = { { 200, "OK" },
		      { 201, "Created" },
		      { 202, "Accepted" },
		      { 204, "No Content" },
		      { 400, "Bad Request" },
		      { 401, "Unauthorized" },
		      { 403, "Forbidden" },
		      { 404, "Not Found" },
		      { 405, "Method Not Allowed" },
		      { 409, "Conflict" },
		      { 412, "Precondition Failed" },
		      { 413, "Content Too Large" },
		      { 414, "URI Too Long" },
		      { 429, "Too Many Requests" },
		      { 501, "Not Implemented" },
		      { 503, "Service Unavailable" },
		      { 507, "Insufficient Storage" } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].status == status) {
			return table[i].text;
		}
	}
	return "Error";
}

static void send_answer(struct conn *c, int status, const char *headers, const char *body,
                        size_t len, bool head_only, const char *id)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nx-ms-request-id: %s\r\n%s", status,
	                    reason(status), id, headers);
	if (status != 204) {
		evbuffer_add_printf(out,
		                    "Content-Type: application/json; charset=utf-8\r\n"
		                    "Content-Length: %zu\r\n",
		                    len);
	}
	evbuffer_add_printf(out, "%s\r\n", c->close ? "Connection: close\r\n" : "");
	if (!head_only && status != 204 && len) {
		evbuffer_add(out, body, len);
	}
}

static void refuse(struct conn *c, int status)
{
	char body[256];
	int n = snprintf(
		body, sizeof(body),
		"{\"error\":{\"code\":\"%s\",\"message\":\"The HTTP request is malformed or too "
		"large.\"}}",
		status == 413 ? "RequestContentTooLarge" : "BadRequest");

	char id[37];
	random_uuid(&random_system, id);
	c->close = true;
	c->state = DISCARD;
	c->left = DISCARD_MAX;
	send_answer(c, status, "", body, (size_t)n, false, id);
	loop_timer_start(c->deadline, DISCARD_MS);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	if (evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
		return; /* libevent calls once before anything was written */
	}
	if (c->state == DISCARD) {
		shutdown(bufferevent_getfd(c->bev), SHUT_WR); /* nothing more comes from here */
	} else if (c->close && c->state != ANSWERING) {
		conn_free(c);
	}
}

static bool more(struct conn *c);

static void on_read(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	while (c->state != ANSWERING && more(c)) {
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) {
		conn_free(arg);
	}
}

static void dispatch(struct conn *c)
{
	TAILQ_REMOVE(&c->s->waiting, c, link);
	c->state = ANSWERING;
	loop_timer_stop(c->deadline);
	random_uuid(&random_system, c->r->id);
	c->s->fn(c->s->arg, c->r);
}

static bool read_head(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	size_t have = evbuffer_get_length(in);

	if (end.pos < 0) {
		/* Bare line feeds never end a head: refuse them now rather than at the deadline. */
		struct evbuffer_ptr lf = evbuffer_search(in, "\n\n", 2, NULL);

		if (have > HEAD_MAX || lf.pos >= 0) {
			refuse(c, have > HEAD_MAX ? 413 : 400);
		}
		return false;
	}
	size_t len = (size_t)end.pos + 4;
	c->r = calloc(1, sizeof(*c->r));
	if (!c->r || len > HEAD_MAX) {
		free(c->r);
		c->r = NULL;
		refuse(c, 413);
		return false;
	}
	c->r->conn = c;
	c->r->unix_socket = c->unix_socket;
	c->r->tls = c->s->tls != NULL;
	c->r->uid = c->uid;
	memcpy(c->r->peer, c->peer, sizeof(c->peer));
	const char *text = (const char *)evbuffer_pullup(in, (ssize_t)len);
	int status = http_parse_head(text, len, c->r, &c->left, &c->close);
	evbuffer_drain(in, len);
	if (status == 0 && c->left > BODY_MAX) {
		status = 413;
	}
	if (status) {
		free(c->r);
		c->r = NULL;
		refuse(c, status);
		return false;
	}
	loop_timer_start(c->deadline, BODY_MS);
	c->state = c->left < 0 ? READ_CHUNK_SIZE : READ_BODY;
	return true;
}

/* Moves up to c->left bytes into the body; true when all are there. */
static bool take_body(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t n = evbuffer_get_length(in);

	n = n < (size_t)c->left ? n : (size_t)c->left;
	void *room = buf_room(&c->r->body, n + 1);
	if (!room) {
		refuse(c, 413);
		return false;
	}
	evbuffer_remove(in, room, n);
	c->r->body.len += n;
	c->left -= (int64_t)n;
	return c->left == 0;
}

static bool read_chunk_size(struct conn *c)
{
	size_t len;
	char *line = evbuffer_readln(bufferevent_get_input(c->bev), &len, EVBUFFER_EOL_CRLF_STRICT);
	char *end = line;

	if (!line) {
		if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 64) {
			refuse(c, 400);
		}
		return false;
	}
	bool ok = len > 0 && len <= 8 && strspn(line, "0123456789abcdefABCDEF") == len;
	c->left = ok ? strtol(line, &end, 16) : -1;
	free(line);
	if (!ok || c->left + (int64_t)c->r->body.len > BODY_MAX) {
		refuse(c, ok ? 413 : 400);
		return false;
	}
	c->state = c->left ? READ_CHUNK : READ_TRAILER;
	c->left += c->left ? 2 : 0; /* the CRLF behind the bytes */
	return true;
}

static bool more(struct conn *c)
{
	switch (c->state) {
	case READ_HEAD:
		return read_head(c);
	case READ_BODY:
		if (c->left == 0 || take_body(c)) {
			dispatch(c);
		}
		return false;
	case READ_CHUNK_SIZE:
		return read_chunk_size(c);
	case READ_CHUNK:
		if (!take_body(c)) {
			return false;
		}
		if (memcmp(c->r->body.data + c->r->body.len - 2, "\r\n", 2) != 0) {
			refuse(c, 400);
			return false;
		}
		c->r->body.len -= 2;
		c->state = READ_CHUNK_SIZE;
		return true;
	case READ_TRAILER: {
		size_t len;
		char *line = evbuffer_readln(bufferevent_get_input(c->bev), &len,
		                             EVBUFFER_EOL_CRLF_STRICT);

		free(line);
		if (line && len == 0) {
			dispatch(c);
		} else if (line) {
			refuse(c, 400); /* trailers are not spoken */
		}
		return false;
	}
	case DISCARD: {
		struct evbuffer *in = bufferevent_get_input(c->bev);

		c->left -= (int64_t)evbuffer_get_length(in);
		evbuffer_drain(in, evbuffer_get_length(in));
		if (c->left < 0) {
			conn_free(c);
		}
		return false;
	}
	case ANSWERING:
		return false;
	}
	return false;
}

void http_reply(struct http_request *r, int status, const char *headers, const char *body,
                size_t len)
{
	struct conn *c = r->conn;
	bool head_only = strcmp(r->method, "HEAD") == 0;
	char id[37];

	if (r->hold && r->hold(r, status, headers, body, len)) {
		return;
	}
	memcpy(id, r->id, sizeof(id));
	buf_fini(&r->body);
	free(r);
	c->r = NULL;
	if (c->gone) {
		free(c);
		return;
	}
	c->state = READ_HEAD;
	TAILQ_INSERT_TAIL(&c->s->waiting, c, link);
	send_answer(c, status, headers, body, len, head_only, id);
	loop_timer_start(c->deadline, IDLE_MS);
	if (c->close) {
		bufferevent_disable(c->bev, EV_READ);
	} else {
		bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	}
}

/* Slow and idle clients do not keep others out; those of root go last. False: all are at work. */
static bool make_room(struct server *s)
{
	struct conn *c;

	if (s->n < CONN_MAX) {
		return true;
	}
	TAILQ_FOREACH(c, &s->waiting, link)
	{
		if (!(c->unix_socket && c->uid == 0)) {
			break;
		}
	}
	c = c ? c : TAILQ_FIRST(&s->waiting);
	if (c) {
		conn_free(c);
	}
	return c != NULL;
}

void http_peer(int fd, char to[64])
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa), cl = sizeof(struct ucred);
	struct ucred cred = { .uid = (uid_t)-1 };
	char host[48];

	snprintf(to, 64, "unknown");
	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0) {
		return;
	}
	if (sa.ss_family == AF_UNIX) {
		(void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cl);
		snprintf(to, 64, "uid %u", cred.uid);
	} else if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), NULL, 0,
	                       NI_NUMERICHOST) == 0) {
		bool mapped = strncmp(host, "::ffff:", 7) == 0 && strchr(host, '.');

		snprintf(to, 64, "%s", mapped ? host + 7 : host); /* IPv4 by a socket of both */
	}
}

static bool accept_one(struct server *s)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa), cl;
	struct ucred cred = { .uid = (uid_t)-1 };
	int fd = accept4(s->fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		return false;
	}
	struct conn *c = make_room(s) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		close(fd);
		return true;
	}
	s->n++;
	c->s = s;
	TAILQ_INSERT_TAIL(&s->waiting, c, link);
	c->unix_socket = sa.ss_family == AF_UNIX;
	c->uid = (uid_t)-1;
	cl = sizeof(cred);
	if (c->unix_socket && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cl) == 0) {
		c->uid = cred.uid;
	}
	http_peer(fd, c->peer);
	c->bev = s->tls ? bufferevent_openssl_socket_new(loop_base(s->loop), fd, SSL_new(s->tls),
	                                                 BUFFEREVENT_SSL_ACCEPTING,
	                                                 BEV_OPT_CLOSE_ON_FREE |
	                                                         BEV_OPT_DEFER_CALLBACKS)
	                : bufferevent_socket_new(loop_base(s->loop), fd,
	                                         BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	c->deadline = loop_timer_new(s->loop, on_deadline, c);
	loop_timer_start(c->deadline, HEAD_MS);
	bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 256 * 1024);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return true;
}

/* A few at a time: what make_room() closed is closed by the loop, so a flood of connections must
 * not keep it from turning. */
static void on_accept(void *arg)
{
	for (int i = 0; i < ACCEPT_MAX && accept_one(arg); i++) {
	}
}

void http_serve(struct loop *l, int fd, SSL_CTX *tls, http_fn fn, void *arg)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s) {
		abort();
	}
	*s = (struct server){ .loop = l, .tls = tls, .fn = fn, .arg = arg, .fd = fd };
	TAILQ_INIT(&s->waiting);
	loop_watch_read(l, fd, on_accept, s);
}

SSL_CTX *http_tls(const char *cert, const char *key, struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
	    SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		err_set(e, ERR_INVALID, 0, "tls-cert %s, tls-key %s: %s", cert, key,
		        ERR_reason_error_string(ERR_get_error()));
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}
