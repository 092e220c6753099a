/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See node_stream.h. Touches sockets only.
 */
#include "netd/node_stream.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"

#define QUEUE_MAX (32u << 20) /* bytes that wait for a peer that does not read */
#define FINISH_S  5

static const struct {
	enum frame_way way;
	uint32_t min, max;
} frames[FRAME_N] = {
#define X(id, way, min, max) { way, min, max },
	FRAME_TABLE(X)
#undef X
};

struct stream {
	struct bufferevent *bev;
	enum frame_way reads;
	void (*up)(void *arg);
	stream_fn fn;
	stream_closed_fn closed;
	void *arg;
	bool busy, freed, finishing, up_once, choked;
};

void put_facts(struct buf *b, const struct node_facts *f)
{
	put_str(b, f->version);
	put_str(b, f->address);
	put_str(b, f->underlay);
	put_str(b, f->run_dir);
	put_str(b, f->uplink);
	buf_add(b, f->uplink_mac, sizeof(f->uplink_mac));
	put_str(b, f->hop4);
	put_str(b, f->hop6);
	put_u32(b, f->cpu);
	put_u32(b, f->memory);
	put_str(b, f->listen);
}

/* It is told to people, and in documents. */
static bool is_plain(const char *text)
{
	while (*text > ' ' - 1 && *text <= '~') {
		text++;
	}
	return *text == '\0';
}

void get_facts(struct reader *r, struct node_facts *f)
{
	struct ip ip;
	struct err e = ERR_INIT;

	*f = (struct node_facts){ 0 };
	get_str(r, f->version, sizeof(f->version));
	get_str(r, f->address, sizeof(f->address));
	get_str(r, f->underlay, sizeof(f->underlay));
	get_str(r, f->run_dir, sizeof(f->run_dir));
	get_str(r, f->uplink, sizeof(f->uplink));
	get_bytes(r, f->uplink_mac, sizeof(f->uplink_mac));
	get_str(r, f->hop4, sizeof(f->hop4));
	get_str(r, f->hop6, sizeof(f->hop6));
	f->cpu = get_u32(r);
	f->memory = get_u32(r);
	if (r->left > 0) {
		uint16_t port;

		get_str(r, f->listen, sizeof(f->listen));
		r->failed = r->failed ||
		            (f->listen[0] && ip_endpoint_parse(f->listen, 0, &ip, &port, &e) < 0);
	}
	const char *const addresses[] = { f->address, f->hop4, f->hop6 };
	for (size_t i = 0; i < ARRAY_N(addresses); i++) {
		r->failed = r->failed || (addresses[i][0] && ip_parse(addresses[i], &ip, &e) < 0);
	}
	r->failed = r->failed || !is_plain(f->version) || !is_plain(f->underlay) ||
	            !is_plain(f->run_dir) || !is_plain(f->uplink);
	r->left = r->failed ? r->left : 0;
}

int stream_certificates(SSL_CTX *ctx, const char *key, const char *cert, const char *authority,
                        struct err *e)
{
	BIO *texts[] = { BIO_new_mem_buf(key, -1), BIO_new_mem_buf(cert, -1),
		         BIO_new_mem_buf(authority, -1) };
	EVP_PKEY *own = PEM_read_bio_PrivateKey(texts[0], NULL, NULL, NULL);
	X509 *shown = PEM_read_bio_X509(texts[1], NULL, NULL, NULL),
	     *root = PEM_read_bio_X509(texts[2], NULL, NULL, NULL);
	bool good = own && shown && root && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
	            SSL_CTX_use_certificate(ctx, shown) == 1 &&
	            SSL_CTX_use_PrivateKey(ctx, own) == 1 &&
	            SSL_CTX_add1_chain_cert(ctx, root) == 1 &&
	            X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root) == 1;

	X509_free(root);
	X509_free(shown);
	EVP_PKEY_free(own);
	for (size_t i = 0; i < 3; i++) {
		BIO_free(texts[i]);
	}
	if (!good) {
		const char *why = ERR_reason_error_string(ERR_get_error());

		ERR_clear_error();
		return err_set(e, ERR_INVALID, 0, "certificates: %s", why ? why : "refused");
	}
	return 0;
}

static void destroy(struct stream *s)
{
	bufferevent_free(s->bev);
	free(s);
}

void stream_free(struct stream *s)
{
	if (!s || s->freed) {
		return;
	}
	s->freed = true;
	bufferevent_disable(s->bev, EV_READ | EV_WRITE);
	if (!s->busy) {
		destroy(s);
	}
}

/* Tells of the end, unless nobody is to hear of it. */
static void ended(struct stream *s, const char *why)
{
	if (s->finishing) {
		stream_free(s);
	} else if (!s->freed) {
		s->closed(s->arg, why);
	}
}

int frame_head(const uint8_t head[static FRAME_HEAD], enum frame_way way, enum frame_type *type,
               uint32_t *body)
{
	uint32_t len = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 |
	               head[3];
	unsigned t = (unsigned)head[4] << 8 | head[5];

	if (t >= FRAME_N || frames[t].way != way || len < frames[t].min + 2 ||
	    len > frames[t].max + 2) {
		return -1;
	}
	*type = (enum frame_type)t;
	*body = len - 2;
	return 0;
}

/* A whole frame at the head of what was read; false: it is not there yet, or the stream has ended. */
static bool take_frame(struct stream *s, struct evbuffer *in)
{
	unsigned char head[FRAME_HEAD];
	enum frame_type type;
	uint32_t len;

	if (evbuffer_copyout(in, head, FRAME_HEAD) < FRAME_HEAD) {
		return false;
	}
	if (frame_head(head, s->reads, &type, &len) < 0) {
		ended(s, "a frame that is none");
		return false;
	}
	if (evbuffer_get_length(in) < FRAME_HEAD + len) {
		return false;
	}
	evbuffer_drain(in, FRAME_HEAD);
	unsigned char *data = evbuffer_pullup(in, (ssize_t)len);
	struct reader r = { .p = data, .left = data ? len : 0 };
	s->fn(s->arg, type, &r);
	if (!s->freed) {
		evbuffer_drain(in, len);
	}
	return !s->freed && !s->finishing;
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct stream *s = arg;

	s->busy = true;
	while (take_frame(s, bufferevent_get_input(bev))) {
	}
	s->busy = false;
	if (s->freed) {
		destroy(s);
	}
}

static void on_written(struct bufferevent *bev, void *arg)
{
	struct stream *s = arg;

	(void)bev;
	if (s->finishing) {
		stream_free(s);
	}
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct stream *s = arg;
	unsigned long tls = bufferevent_get_openssl_error(bev);
	const char *why = tls ? ERR_reason_error_string(tls) : NULL;
	int sys = EVUTIL_SOCKET_ERROR();

	s->busy = true;
	if (what & BEV_EVENT_CONNECTED) {
		s->up_once = true;
		if (s->up) {
			s->up(s->arg);
		}
	} else if (s->choked) {
		ended(s, "it does not read");
	} else if (why) {
		ended(s, why);
	} else if (what & BEV_EVENT_TIMEOUT) {
		ended(s, "no answer");
	} else if (!s->up_once && sys == 0) {
		ended(s, "it broke the handshake off");
	} else if (what & BEV_EVENT_EOF && s->up_once) {
		ended(s, "the other end closed it");
	} else {
		ended(s, strerror(sys));
	}
	s->busy = false;
	if (s->freed) {
		destroy(s);
	}
}

/* A frame goes when it is there: with Nagle's algorithm (RFC 896) it would wait for what acknowledges the last one, which the other end
 * delays by 40 ms. */
static void at_once(struct bufferevent *bev)
{
	int one = 1;

	(void)!setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static struct stream *begin(struct loop *l, int fd, SSL *ssl, bool accepts, stream_fn fn,
                            stream_closed_fn closed, void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s || !ssl) {
		abort();
	}
	s->bev = bufferevent_openssl_socket_new(loop_base(l), fd, ssl,
	                                        accepts ? BUFFEREVENT_SSL_ACCEPTING
	                                                : BUFFEREVENT_SSL_CONNECTING,
	                                        BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	if (!s->bev) {
		abort();
	}
	bufferevent_openssl_set_allow_dirty_shutdown(s->bev, 1);
	s->reads = accepts ? FRAME_TO_PLANE : FRAME_TO_NODE;
	s->fn = fn;
	s->closed = closed;
	s->arg = arg;
	bufferevent_setcb(s->bev, on_read, on_written, on_event, s);
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
	return s;
}

struct stream *stream_accept(struct loop *l, int fd, SSL_CTX *tls, stream_fn fn,
                             stream_closed_fn closed, void *arg)
{
	struct stream *s = begin(l, fd, SSL_new(tls), true, fn, closed, arg);

	at_once(s->bev);
	return s;
}

struct stream *stream_connect(struct loop *l, const struct ip *ip, uint16_t port, SSL_CTX *tls,
                              void (*up)(void *arg), stream_fn fn, stream_closed_fn closed,
                              void *arg)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = ip_sockaddr(ip, port, &sa);
	struct stream *s = begin(l, -1, SSL_new(tls), false, fn, closed, arg);

	s->up = up;
	if (bufferevent_socket_connect(s->bev, (struct sockaddr *)&sa, (int)len) < 0) {
		destroy(s);
		return NULL;
	}
	at_once(s->bev);
	return s;
}

void stream_send(struct stream *s, enum frame_type type, const struct buf *body)
{
	uint32_t n = 2 + (body ? (uint32_t)body->len : 0);
	unsigned char head[FRAME_HEAD] = { (unsigned char)(n >> 24),   (unsigned char)(n >> 16),
		                           (unsigned char)(n >> 8),    (unsigned char)n,
		                           (unsigned char)(type >> 8), (unsigned char)type };
	struct evbuffer *out = bufferevent_get_output(s->bev);

	if (s->freed || s->finishing || s->choked) {
		return;
	}
	if (evbuffer_get_length(out) >
	    QUEUE_MAX) { /* what is left out would be missed: it begins anew */
		s->choked = true;
		bufferevent_disable(s->bev, EV_READ);
		bufferevent_trigger_event(s->bev, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
		return;
	}
	bufferevent_write(s->bev, head, FRAME_HEAD);
	if (body && body->len > 0) {
		bufferevent_write(s->bev, body->data, body->len);
	}
}

void stream_finish(struct stream *s)
{
	struct timeval soon = { FINISH_S, 0 };

	if (evbuffer_get_length(bufferevent_get_output(s->bev)) == 0) {
		stream_free(s);
		return;
	}
	s->finishing = true;
	bufferevent_disable(s->bev, EV_READ);
	bufferevent_set_timeouts(s->bev, NULL, &soon);
}

SSL *stream_ssl(struct stream *s)
{
	return bufferevent_openssl_get_ssl(s->bev);
}
