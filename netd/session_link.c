/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A caller's connection: request head, password, then bytes both ways between WebSocket and stream. What
 * is read from one side and not taken by the other is bounded; a side that does not take is not waited
 * for by anybody else. See session_parts.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/session.h"
#include "netd/api/http.h"
#include "netd/session_parts.h"

#define LINKS_MAX   2000
#define HEAD_MAX    16384
#define HEAD_MS     10000
#define PASSWORD_MS 10000
#define BEGIN_MS    10000 /* for control and the runtime */
#define FAREWELL_MS 2000
#define MESSAGE_MAX (1u << 20)
#define OUT_MAX     131072 /* bytes for a caller that wait; then the stream is not read */
#define IN_MAX      131072 /* bytes that are read ahead from a caller */

enum state {
	READ_HEAD,
	READ_PASSWORD,
	BEGINS, /* control and the runtime were asked */
	OPEN,
	LEAVES /* the end was said; the caller's is awaited */
};

struct session_link {
	TAILQ_ENTRY(session_link) link;
	enum state state;
	struct bufferevent *bev;
	struct loop_timer *timer; /* of the state; OPEN: idle and life */
	wslay_event_context_ptr ws;
	struct session_ticket *ticket;
	char peer[64];
	bool framed; /* SESSION_PROTOCOL */
	int stream;
	struct loop_watch *in, *out;
	struct buf held; /* packets for the stream that it did not take: length, packet, ... */
	int64_t began_ms, active_ms;
	uint64_t bytes[2];
	bool ended; /* the exit status came */
};

static TAILQ_HEAD(links, session_link) links = TAILQ_HEAD_INITIALIZER(links);
static unsigned n_links;

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

/* ---- ends ---- */

static void close_stream(struct session_link *l)
{
	if (l->stream >= 0) {
		loop_watch_free(l->in);
		loop_watch_free(l->out);
		close(l->stream);
		l->stream = -1;
		session_self.open--;
	}
	buf_fini(&l->held);
}

static void link_free(struct session_link *l)
{
	close_stream(l);
	TAILQ_REMOVE(&links, l, link);
	n_links--;
	loop_timer_free(l->timer);
	bufferevent_free(l->bev);
	if (l->ws) {
		wslay_event_context_free(l->ws);
	}
	free(l->ticket);
	free(l);
}

static void log_closed(const struct session_link *l, const char *why)
{
	if (l->ticket && l->began_ms) {
		log_info("session.closed", LOG_STR("id", l->ticket->what),
		         LOG_STR("caller", l->ticket->caller), LOG_STR("peer", l->peer),
		         LOG_STR("reason", why), LOG_NUM("ms", now_ms() - l->began_ms),
		         LOG_NUM("output", l->bytes[0]), LOG_NUM("input", l->bytes[1]));
	}
}

/* Sends what wslay has; a caller that does not read keeps it there. */
static void push(struct session_link *l)
{
	if (wslay_event_want_write(l->ws)) {
		(void)wslay_event_send(l->ws);
	}
}

/* Says the end (RFC 6455, 7.4) and waits a little for the caller's. */
static void leave(struct session_link *l, uint16_t code, const char *why)
{
	if (l->state == LEAVES) {
		return;
	}
	log_closed(l, why);
	close_stream(l);
	l->state = LEAVES;
	size_t n = strlen(why);
	(void)wslay_event_queue_close(l->ws, code, (const uint8_t *)why, n < 123 ? n : 123);
	push(l);
	loop_timer_start(l->timer, FAREWELL_MS);
}

static void vanish(struct session_link *l, const char *why)
{
	if (l->state != LEAVES) {
		log_closed(l, why);
	}
	link_free(l);
}

/* ---- stream ---- */

/* False: the stream is gone. */
static bool give(struct session_link *l, const uint8_t *packet, size_t n)
{
	ssize_t sent = l->held.len ? -1 : send(l->stream, packet, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0) {
		return true;
	}
	if (l->held.len == 0 && errno != EAGAIN && errno != ENOBUFS) {
		return false;
	}
	uint32_t len = (uint32_t)n;
	buf_add(&l->held, &len, sizeof(len));
	buf_add(&l->held, packet, n);
	loop_watch_enable(l->out, true);
	return !l->held.failed;
}

static void read_caller(struct session_link *l);

/* The stream takes again. */
static void on_stream_room(void *arg)
{
	struct session_link *l = arg;
	uint32_t n;

	while (l->held.len > 0) {
		memcpy(&n, l->held.data, sizeof(n));
		if (send(l->stream, l->held.data + sizeof(n), n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno != EAGAIN && errno != ENOBUFS) {
				loop_watch_enable(l->out, false); /* reading tells the end */
			}
			return;
		}
		buf_drop(&l->held, sizeof(n) + n);
	}
	loop_watch_enable(l->out, false);
	bufferevent_enable(l->bev, EV_READ);
	read_caller(l);
}

static size_t waiting(const struct session_link *l)
{
	return evbuffer_get_length(bufferevent_get_output(l->bev)) +
	       wslay_event_get_queued_msg_length(l->ws);
}

static void say(struct session_link *l, const uint8_t *data, size_t n)
{
	const struct wslay_event_msg m = { WSLAY_BINARY_FRAME, data, n };

	(void)wslay_event_queue_msg(l->ws, &m);
	push(l);
}

/* One packet of the runtime; false: the session ended with it. */
static bool take_packet(struct session_link *l, const uint8_t *p, size_t n)
{
	char why[40];
	uint32_t status;

	switch ((enum session_kind)p[0]) {
	case SESSION_DATA:
	case SESSION_ERROR:
		l->bytes[0] += n - 1;
		session_self.bytes[0] += n - 1;
		l->active_ms = now_ms();
		if (l->framed) {
			say(l, p, n);
		} else if (n > 1) {
			say(l, p + 1, n - 1);
		}
		return true;
	case SESSION_EXIT:
		if (n == 5) {
			memcpy(&status, p + 1, 4);
			if (l->framed) {
				say(l, p, n);
			}
			snprintf(why, sizeof(why), "exit %u", ntohl(status));
			leave(l, 1000, why);
			return false;
		}
		return true;
	case SESSION_RESIZE:
	case SESSION_EOF:
		return true;
	}
	return true; /* of a later version */
}

static void on_stream(void *arg)
{
	struct session_link *l = arg;
	static uint8_t packet[SESSION_PACKET + 2];

	for (int i = 0; i < 16; i++) {
		if (waiting(l) > OUT_MAX) {
			loop_watch_enable(l->in,
			                  false); /* until the caller took it: on_written() */
			return;
		}
		ssize_t n = recv(l->stream, packet, sizeof(packet), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			return;
		}
		if (n <= 0) {
			leave(l, 1011, "the runtime ended the session");
			return;
		}
		if (n > SESSION_PACKET + 1) {
			leave(l, 1011, "the runtime sent a packet that is too long");
			return;
		}
		if (!take_packet(l, packet, (size_t)n)) {
			return;
		}
	}
}

/* ---- WebSocket ---- */

/* What a caller sent: bytes, or a packet. */
static void take_input(struct session_link *l, const uint8_t *data, size_t n)
{
	uint8_t packet[SESSION_PACKET + 1];

	l->active_ms = now_ms();
	if (l->framed) {
		bool ok = n >= 1 && n <= sizeof(packet) &&
		          (data[0] == SESSION_DATA || (data[0] == SESSION_RESIZE && n == 5) ||
		           (data[0] == SESSION_EOF && n == 1));

		if (!ok) {
			leave(l, 1007, "not a packet of " SESSION_PROTOCOL);
			return;
		}
		l->bytes[1] += n - 1;
		session_self.bytes[1] += n - 1;
		(void)give(l, data, n);
		return;
	}
	l->bytes[1] += n;
	session_self.bytes[1] += n;
	for (size_t at = 0, part; at < n; at += part) {
		part = n - at < SESSION_PACKET ? n - at : SESSION_PACKET;
		packet[0] = SESSION_DATA;
		memcpy(packet + 1, data + at, part);
		if (!give(l, packet, part + 1)) {
			return; /* reading the stream tells its end */
		}
	}
}

static void begin(struct session_link *l)
{
	struct buf b = { 0 };

	put_u64(&b, l->ticket->number);
	channel_send(session_self.control, MSG_SESSION_BEGIN, &b, -1);
	buf_fini(&b);
	l->state = BEGINS;
	loop_timer_start(l->timer, BEGIN_MS);
	if (!session_self.control) {
		leave(l, 1013, "the plane does not answer now");
	}
}

static void check_password(struct session_link *l, const uint8_t *data, size_t n)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256(data, n, hash);
	if (CRYPTO_memcmp(hash, l->ticket->hash, sizeof(hash)) == 0) {
		begin(l);
		return;
	}
	session_self.refused++;
	log_warn("session.refused", LOG_STR("id", l->ticket->what),
	         LOG_STR("caller", l->ticket->caller), LOG_STR("peer", l->peer),
	         LOG_STR("reason", "wrong password"));
	leave(l, 1008, "the password is wrong; it was good for one connection");
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
	struct session_link *l = arg;

	(void)ws;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		if (l->state != LEAVES) {
			log_closed(l, "its caller left");
			close_stream(l);
			l->state = LEAVES;
			loop_timer_start(l->timer, FAREWELL_MS);
		}
	} else if (m->opcode != WSLAY_TEXT_FRAME && m->opcode != WSLAY_BINARY_FRAME) {
		return; /* pings are answered by wslay */
	} else if (l->state == READ_PASSWORD) {
		check_password(l, m->msg, m->msg_length);
	} else if (l->state == OPEN) {
		take_input(l, m->msg, m->msg_length);
	}
}

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *to, size_t n, int flags, void *arg)
{
	struct session_link *l = arg;
	struct evbuffer *in = bufferevent_get_input(l->bev);

	(void)flags;
	/* What cannot go on is left where it is. */
	bool stays = l->state == BEGINS || (l->state == OPEN && l->held.len > 0);
	int got = stays ? 0 : evbuffer_remove(in, to, n);
	if (got <= 0) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	return got;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *data, size_t n, int flags,
                       void *arg)
{
	struct session_link *l = arg;
	struct evbuffer *out = bufferevent_get_output(l->bev);

	(void)flags;
	if (evbuffer_get_length(out) > OUT_MAX || evbuffer_add(out, data, n) < 0) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	return (ssize_t)n;
}

static void read_caller(struct session_link *l)
{
	if (wslay_event_want_read(l->ws) && wslay_event_recv(l->ws) != 0) {
		vanish(l, "its WebSocket failed");
		return;
	}
	push(l);
	if (!wslay_event_want_read(l->ws) && !wslay_event_want_write(l->ws) &&
	    evbuffer_get_length(bufferevent_get_output(l->bev)) == 0) {
		vanish(l, "its WebSocket ended");
	}
}

/* ---- request head ---- */

static void refuse(struct session_link *l, const char *status, const char *text)
{
	evbuffer_add_printf(bufferevent_get_output(l->bev),
	                    "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
	                    "Sec-WebSocket-Version: 13\r\nContent-Length: %zu\r\n"
	                    "Connection: close\r\n\r\n%s\n",
	                    status, strlen(text) + 1, text);
	bufferevent_disable(l->bev, EV_READ);
	l->state = LEAVES;
	loop_timer_start(l->timer, FAREWELL_MS);
}

/* RFC 6455, 4.2.2 */
static void welcome(struct session_link *l, const char *key)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.on_msg_recv_callback = on_message,
	};
	uint8_t sha[SHA_DIGEST_LENGTH];
	char text[128], accept[40];

	snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	SHA1((const uint8_t *)text, strlen(text), sha);
	EVP_EncodeBlock((uint8_t *)accept, sha, sizeof(sha));
	evbuffer_add_printf(bufferevent_get_output(l->bev),
	                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
	                    accept,
	                    l->framed ? "Sec-WebSocket-Protocol: " SESSION_PROTOCOL "\r\n" : "");
	if (wslay_event_context_server_init(&l->ws, &callbacks, l) != 0) {
		abort();
	}
	wslay_event_config_set_max_recv_msg_length(l->ws, MESSAGE_MAX);
	l->state = READ_PASSWORD;
	loop_timer_start(l->timer, PASSWORD_MS);
}

static void take_head(struct session_link *l, const char *text, size_t len)
{
	static struct http_request r; /* one thread */
	int64_t length;
	bool close;

	r = (struct http_request){ 0 };
	int status = http_parse_head(text, len, &r, &length, &close);
	if (status || length != 0) {
		refuse(l, "400 Bad Request", "The HTTP request is malformed.");
	} else if (strcmp(r.method, "GET") != 0 || strncmp(r.path, "/exec/", 6) != 0) {
		refuse(l, "404 Not Found", "Here are the paths that exec and attach answer.");
	} else if (!r.upgrades || strcasecmp(r.upgrade, "websocket") != 0 ||
	           strcmp(r.ws_version, "13") != 0 || strlen(r.ws_key) != 24) {
		refuse(l, "426 Upgrade Required", "Here WebSocket is spoken, version 13.");
	} else if (!(l->ticket = session_redeem(r.path + 6, l->peer))) {
		refuse(l, "404 Not Found",
		       "No such session: it is good for 60 seconds, for one connection from where "
		       "it was asked for.");
	} else {
		l->framed = http_has_token(r.ws_protocol, strlen(r.ws_protocol), SESSION_PROTOCOL);
		welcome(l, r.ws_key);
	}
}

static void read_head(struct session_link *l)
{
	struct evbuffer *in = bufferevent_get_input(l->bev);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);

	if (end.pos < 0) {
		if (evbuffer_get_length(in) > HEAD_MAX) {
			refuse(l, "431 Request Header Fields Too Large", "The head is too long.");
		}
		return;
	}
	size_t len = (size_t)end.pos + 4;
	take_head(l, (const char *)evbuffer_pullup(in, (ssize_t)len), len);
	evbuffer_drain(in, len);
}

/* ---- events ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
	struct session_link *l = arg;

	(void)bev;
	if (l->state == READ_HEAD) {
		read_head(l);
	}
	if (l->ws) {
		read_caller(l);
	}
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct session_link *l = arg;

	if (evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
		return;
	}
	if (!l->ws) {
		if (l->state == LEAVES) {
			link_free(l);
		}
		return;
	}
	push(l);
	if (l->state == OPEN && waiting(l) <= OUT_MAX) {
		loop_watch_enable(l->in, true);
	}
	if (!wslay_event_want_read(l->ws) && !wslay_event_want_write(l->ws) && waiting(l) == 0) {
		vanish(l, "its WebSocket ended");
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
		vanish(arg, "its connection broke");
	}
}

static void on_timer(void *arg)
{
	struct session_link *l = arg;
	int64_t now = now_ms(), idle = session_self.config->session_idle_s * 1000,
		life = session_self.config->session_life_s * 1000;

	if (l->state == OPEN) {
		int64_t idle_at = l->active_ms + idle, life_at = l->began_ms + life;

		if (now >= life_at || now >= idle_at) {
			leave(l, 1000,
			      now >= life_at ? "it has lasted as long as it may"
			                     : "nothing was said for too long");
			return;
		}
		loop_timer_start(l->timer, (idle_at < life_at ? idle_at : life_at) - now);
	} else if (l->state == BEGINS) {
		leave(l, 1013, "the plane does not answer now");
	} else if (l->state == READ_PASSWORD) {
		leave(l, 1008, "no password came");
	} else {
		link_free(l);
	}
}

/* Who has not begun makes room for who comes. */
static bool make_room(void)
{
	struct session_link *l;

	if (n_links < LINKS_MAX) {
		return true;
	}
	TAILQ_FOREACH(l, &links, link)
	{
		if (l->state == READ_HEAD || l->state == LEAVES) {
			link_free(l);
			return true;
		}
	}
	return false;
}

void session_accept(int fd, SSL_CTX *tls)
{
	struct session_link *l = make_room() ? calloc(1, sizeof(*l)) : NULL;
	int one = 1, quiet_s = 60;

	if (!l) {
		close(fd);
		return;
	}
	(void)!setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &quiet_s, sizeof(quiet_s));
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->stream = -1;
	http_peer(fd, l->peer);
	l->bev = tls ? bufferevent_openssl_socket_new(loop_base(session_self.loop), fd,
	                                              SSL_new(tls), BUFFEREVENT_SSL_ACCEPTING,
	                                              BEV_OPT_CLOSE_ON_FREE |
	                                                      BEV_OPT_DEFER_CALLBACKS)
	             : bufferevent_socket_new(loop_base(session_self.loop), fd,
	                                      BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	l->timer = loop_timer_new(session_self.loop, on_timer, l);
	TAILQ_INSERT_TAIL(&links, l, link);
	n_links++;
	loop_timer_start(l->timer, HEAD_MS);
	bufferevent_setcb(l->bev, on_read, on_written, on_event, l);
	bufferevent_setwatermark(l->bev, EV_READ, 0, IN_MAX);
	bufferevent_enable(l->bev, EV_READ | EV_WRITE);
}

/* ---- what control says ---- */

void session_stream(uint64_t ticket, int fd, const char *why)
{
	struct session_link *l;

	TAILQ_FOREACH(l, &links, link)
	{
		if (l->state == BEGINS && l->ticket->number == ticket) {
			break;
		}
	}
	if (!l || fd < 0) {
		if (l) {
			leave(l, 1013, why);
		}
		if (fd >= 0) {
			close(fd); /* the caller left meanwhile: the runtime sees the end */
		}
		return;
	}
	l->state = OPEN;
	l->stream = fd;
	l->in = loop_watch_read(session_self.loop, fd, on_stream, l);
	l->out = loop_watch_write(session_self.loop, fd, on_stream_room, l);
	l->began_ms = l->active_ms = now_ms();
	session_self.open++;
	session_self.opened++;
	log_info("session.opened", LOG_STR("id", l->ticket->what),
	         LOG_STR("caller", l->ticket->caller), LOG_STR("peer", l->peer));
	on_timer(l);
	read_caller(l); /* what came in the meantime */
}

void session_end(uint64_t ticket, const char *caller, const char *why)
{
	struct session_link *l, *next;

	for (l = TAILQ_FIRST(&links); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->ticket && l->ws &&
		    (ticket ? l->ticket->number == ticket
		            : strcasecmp(l->ticket->caller, caller) == 0)) {
			leave(l, ticket ? 1011 : 1008, why);
		}
	}
}

void session_control_gone(void)
{
	struct session_link *l, *next;

	for (l = TAILQ_FIRST(&links); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (l->state == BEGINS) {
			leave(l, 1013, "the plane does not answer now");
		}
	}
}
