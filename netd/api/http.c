/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See http.h: connections, bodies, answers. Runs on the control role's loop.
 */
#include "netd/api/http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/loop.h"

#define HEAD_MAX 16384
#define BODY_MAX (4 << 20)
#define CONN_MAX 1024
#define HEAD_MS  10000
#define BODY_MS  30000
#define IDLE_MS  120000

struct server {
	struct loop *loop;
	SSL_CTX *tls;
	http_fn fn;
	void *arg;
};

enum state {
	READ_HEAD,
	READ_BODY,
	READ_CHUNK_SIZE,
	READ_CHUNK,
	READ_TRAILER,
	ANSWERING
};

struct conn {
	struct server *s;
	struct bufferevent *bev;
	struct loop_timer *deadline;
	struct http_request *r; /* being read or answered */
	enum state state;
	int64_t left;
	bool close, unix_socket, gone;
	uid_t uid;
};

static unsigned n_conns;

static void conn_free(struct conn *c)
{
	if (c->bev) {
		bufferevent_free(c->bev);
		loop_timer_free(c->deadline);
		c->bev = NULL;
		n_conns--;
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
                        size_t len, bool head_only)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n%s", status, reason(status), headers);
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

	c->close = true;
	c->state = READ_HEAD;
	send_answer(c, status, "", body, (size_t)n, false);
	bufferevent_disable(c->bev, EV_READ);
	loop_timer_start(c->deadline, 2000);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->close && c->state != ANSWERING) {
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
	c->state = ANSWERING;
	loop_timer_stop(c->deadline);
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

	buf_fini(&r->body);
	free(r);
	c->r = NULL;
	if (c->gone) {
		free(c);
		return;
	}
	c->state = READ_HEAD;
	send_answer(c, status, headers, body, len, head_only);
	loop_timer_start(c->deadline, IDLE_MS);
	if (c->close) {
		bufferevent_disable(c->bev, EV_READ);
	} else {
		bufferevent_trigger(c->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	}
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
                      void *arg)
{
	struct server *s = arg;
	struct conn *c = n_conns < CONN_MAX ? calloc(1, sizeof(*c)) : NULL;
	struct ucred cred = { .uid = (uid_t)-1 };
	socklen_t cl = sizeof(cred);

	(void)l;
	(void)len;
	if (!c) {
		evutil_closesocket(fd);
		return;
	}
	n_conns++;
	c->s = s;
	c->unix_socket = sa->sa_family == AF_UNIX;
	c->uid = (uid_t)-1;
	if (c->unix_socket && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &cl) == 0) {
		c->uid = cred.uid;
	}
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
}

void http_serve(struct loop *l, int fd, SSL_CTX *tls, http_fn fn, void *arg)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s) {
		abort();
	}
	*s = (struct server){ l, tls, fn, arg };
	if (!evconnlistener_new(loop_base(l), on_accept, s, LEV_OPT_CLOSE_ON_EXEC, 0, fd)) {
		abort();
	}
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
