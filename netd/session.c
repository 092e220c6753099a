/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The session role: no capabilities, an own user. Callers come by WebSocket (RFC 6455; libwslay) with a
 * path and a password that control gave them, and get the stream to the runtime. See session.h.
 */
#include "lib/base/session.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/session_parts.h"

#define TICKETS_MAX 5000 /* more than control gives */
#define ACCEPT_MAX  16

struct session_role session_self;
static TAILQ_HEAD(tickets, session_ticket) tickets = TAILQ_HEAD_INITIALIZER(tickets);
static size_t n_tickets;
static int listeners[2]; /* Unix, TLS */

static void forget(struct session_ticket *t)
{
	TAILQ_REMOVE(&tickets, t, link);
	n_tickets--;
}

static void sweep(void)
{
	int64_t now = clock_system.now_ms(&clock_system);
	struct session_ticket *t;

	while ((t = TAILQ_FIRST(&tickets)) && (t->until_ms <= now || n_tickets >= TICKETS_MAX)) {
		forget(t);
		free(t);
	}
}

struct session_ticket *session_redeem(const char *path, const char *peer)
{
	struct session_ticket *t;

	sweep();
	TAILQ_FOREACH(t, &tickets, link)
	{
		if (strcmp(t->path, path) == 0) {
			break;
		}
	}
	if (!t || strcmp(t->peer, peer) != 0) {
		session_self.refused++;
		log_warn("session.refused", LOG_STR("peer", peer),
		         LOG_STR("reason", t ? "the call came from elsewhere" : "no such ticket"));
		return NULL;
	}
	forget(t);
	return t;
}

static void take_ticket(struct reader *r)
{
	struct session_ticket *t = calloc(1, sizeof(*t));

	if (!t) {
		abort();
	}
	t->number = get_u64(r);
	get_bytes(r, (uint8_t *)t->path, 32);
	get_bytes(r, t->hash, sizeof(t->hash));
	get_str(r, t->peer, sizeof(t->peer));
	get_str(r, t->caller, sizeof(t->caller));
	get_str(r, t->what, sizeof(t->what));
	t->until_ms = clock_system.now_ms(&clock_system) + SESSION_TICKET_MS;
	if (!reader_done(r)) {
		free(t);
		return;
	}
	sweep();
	TAILQ_INSERT_TAIL(&tickets, t, link);
	n_tickets++;
}

static void pong(uint64_t request)
{
	char text[512];
	struct buf b = { 0 };

	snprintf(
		text, sizeof(text),
		"netd_sessions %u\nnetd_sessions_opened_total %llu\nnetd_sessions_refused_total %llu\n"
		"netd_session_output_bytes_total %llu\nnetd_session_input_bytes_total %llu\n",
		session_self.open, (unsigned long long)session_self.opened,
		(unsigned long long)session_self.refused, (unsigned long long)session_self.bytes[0],
		(unsigned long long)session_self.bytes[1]);
	put_u64(&b, request);
	put_str(&b, text);
	channel_send(session_self.control, MSG_PONG, &b, -1);
	buf_fini(&b);
}

static void on_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char who[64], why[900];
	uint64_t ticket;

	(void)arg;
	(void)from;
	switch ((int)type) {
	case MSG_SESSION_TICKET:
		take_ticket(r);
		break;
	case MSG_SESSION_STREAM: {
		ticket = get_u64(r);
		bool ok = get_u8(r);

		get_str(r, why, sizeof(why));
		if (reader_done(r) && ok == (fd >= 0)) {
			session_stream(ticket, fd, why);
			fd = -1;
		}
		break;
	}
	case MSG_SESSION_END:
		ticket = get_u64(r);
		get_str(r, who, sizeof(who));
		get_str(r, why, sizeof(why));
		if (reader_done(r)) {
			session_end(ticket, who, why);
		}
		break;
	case MSG_PING:
		pong(get_u64(r));
		break;
	default:
		r->failed = true;
		break;
	}
	if (fd >= 0) {
		close(fd);
	}
}

/* ---- listeners ---- */

static void on_accept(void *arg)
{
	int *listener = arg, fd;

	for (int i = 0; i < ACCEPT_MAX; i++) {
		fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			return;
		}
		session_accept(fd, listener == &listeners[1] ? session_self.tls : NULL);
	}
}

/* A PEM file that the supervisor opened; its own position, since the supervisor's is shared. */
static BIO *file_of(int fd)
{
	static char text[65536];
	ssize_t n = pread(fd, text, sizeof(text), 0);

	return n > 0 ? BIO_new_mem_buf(text, (int)n) : NULL;
}

static SSL_CTX *tls_of(int cert_fd, int key_fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	BIO *bio = file_of(cert_fd);
	X509 *cert = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL, *more;
	bool ok = ctx && cert && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	          SSL_CTX_use_certificate(ctx, cert) == 1;

	while (ok && (more = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		ok = SSL_CTX_add0_chain_cert(ctx, more) == 1;
	}
	ERR_clear_error(); /* the end of the file is one */
	X509_free(cert);
	BIO_free(bio);
	bio = file_of(key_fd);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	ok = ok && key && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	if (!ok) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static void on_control_up(enum role role)
{
	(void)role;
	session_control_gone(); /* another control knows nothing of who waited for the last one */
}

void session_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	const struct role_peer peers[] = { { ROLE_CONTROL, &session_self.control, on_control,
		                             on_control_up } };

	session_self.config = c;
	session_self.loop = l;
	listeners[0] = fds[FD_SESSION_UNIX];
	listeners[1] = fds[FD_SESSION_TLS];
	if (listeners[1] >= 0) {
		session_self.tls = tls_of(fds[FD_TLS_CERT], fds[FD_TLS_KEY]);
		close(fds[FD_TLS_CERT]);
		close(fds[FD_TLS_KEY]);
		if (!session_self.tls) {
			log_error("session.tls", LOG_STR("error", "tls-cert, tls-key: not a PEM "
			                                          "certificate and its key"));
			exit(78);
		}
		loop_watch_read(l, listeners[1], on_accept, &listeners[1]);
	}
	loop_watch_read(l, listeners[0], on_accept, &listeners[0]);
	role_serve(ROLE_SESSION, l, main_fd, peers, 1);
}
