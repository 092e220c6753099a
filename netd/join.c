/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See agent.h: `netd join TOKEN` and `netd leave`.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hex.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/agent.h"
#include "netd/config.h"
#include "netd/seat.h"

#define PATIENCE_MS 15000
#define EX_CONFIG   78

struct joining {
	const struct config *config;
	struct loop *loop;
	struct stream *stream;
	struct joined j;
	char print[CERT_PRINT], *secret; /* of the token */
	struct err e;
	int rc;
};

/* ---- the token ---- */

/* netd1/ADDRESS:PORT/SHA-256 of the authority's certificate/SECRET */
static int read_token(char *text, struct joining *g, struct ip *ip, uint16_t *port)
{
	char *save = NULL, *kind = strtok_r(text, "/", &save), *at = strtok_r(NULL, "/", &save),
	     *print = strtok_r(NULL, "/", &save);
	unsigned char raw[32];

	g->secret = strtok_r(NULL, "/", &save);
	if (!g->secret || strcmp(kind, "netd1") != 0 || strtok_r(NULL, "/", &save) ||
	    strlen(print) != CERT_PRINT - 1 || !hex_read(print, raw, sizeof(raw)) ||
	    strlen(at) >= sizeof(g->j.plane)) {
		return err_set(
			&g->e, ERR_INVALID, 0,
			"the token is none: accepted is what 'netctl node join-token' prints, "
			"netd1/ADDRESS:PORT/DIGITS/DIGITS");
	}
	memcpy(g->print, print, CERT_PRINT);
	snprintf(g->j.plane, sizeof(g->j.plane), "%s", at);
	return ip_endpoint_parse(at, 0, ip, port, &g->e);
}

/* ---- the plane ---- */

static void end(struct joining *g, int rc)
{
	g->rc = rc;
	loop_stop(g->loop);
}

/* Is the other end the plane of the token? Its authority has the certificate that the token names, and has signed what it
 * shows. The secret is not said before. */
static bool is_plane(SSL *ssl)
{
	struct joining *g = SSL_get_app_data(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	struct cert_says says;

	for (int i = 1; i < sk_X509_num(chain); i++) {
		if (cert_says(sk_X509_value(chain, i), &says, &g->e) == 0 &&
		    strcasecmp(says.print, g->print) == 0 &&
		    cert_print(sk_X509_value(chain, i), g->j.authority, &g->e) == 0) {
			X509 *shown = sk_X509_value(chain, 0);

			return cert_trusted(shown, g->j.authority, CERT_SERVER) &&
			       cert_says(shown, &says, &g->e) == 0 &&
			       strcmp(says.name, NODE_SERVER) == 0;
		}
	}
	return false;
}

static void on_up(void *arg)
{
	struct joining *g = arg;
	SSL *ssl = stream_ssl(g->stream);
	char request[CERT_TEXT];
	struct node_facts facts;
	AUTO_BUF struct buf b = { 0 };

	SSL_set_app_data(ssl, g);
	if (!is_plane(ssl)) {
		err_set(&g->e, ERR_FORBIDDEN, 0,
		        "%s is not the plane of this token: its certificate is another's",
		        g->j.plane);
		end(g, -1);
		return;
	}
	if (cert_request(g->j.key, request, &g->e) < 0) {
		end(g, -1);
		return;
	}
	facts_of(g->config, &facts);
	put_str(&b, g->secret);
	put_str(&b, g->j.name);
	put_str(&b, request);
	put_facts(&b, &facts);
	stream_send(g->stream, FRAME_JOIN, &b);
	explicit_bzero(b.data, b.len);
}

static void on_frame(void *arg, enum frame_type type, struct reader *r)
{
	struct joining *g = arg;
	char why[600], authority[CERT_TEXT];

	if (type == FRAME_REFUSED) {
		get_str(r, why, sizeof(why));
		end(g, err_set(&g->e, ERR_FORBIDDEN, 0, "the plane refused: %s", why));
	} else if (type == FRAME_JOINED) {
		g->j.number = get_u32(r);
		get_str(r, g->j.cert, sizeof(g->j.cert));
		get_str(r, authority, sizeof(authority)); /* the one of the token is believed */
		end(g, reader_done(r) ? 0 : err_set(&g->e, ERR_INVALID, 0, "a wrong answer"));
	}
}

static void on_closed(void *arg, const char *why)
{
	struct joining *g = arg;

	end(g, err_set(&g->e, ERR_UNAVAILABLE, 0, "%s: %s", g->j.plane, why));
}

static void on_late(void *arg)
{
	on_closed(arg, "no answer in 15 s");
}

static int ask(struct joining *g, const struct ip *ip, uint16_t port)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	g->loop = loop_new();
	struct loop_timer *late = loop_timer_new(g->loop, on_late, g);
	loop_timer_start(late, PATIENCE_MS);
	if (!tls || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1) {
		return err_set(&g->e, ERR_SYSTEM, 0, "no TLS");
	}
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL); /* is_plane() does */
	g->stream = stream_connect(g->loop, ip, port, tls, on_up, on_frame, on_closed, g);
	if (!g->stream) {
		return err_set(&g->e, ERR_UNAVAILABLE, errno, "%s", g->j.plane);
	}
	loop_run(g->loop);
	stream_free(g->stream);
	loop_timer_free(late);
	SSL_CTX_free(tls);
	loop_free(g->loop);
	return g->rc;
}

/* ---- commands ---- */

/* A node with groups of a plane of its own keeps them. */
static int check_state(const struct config *c, struct joining *g)
{
	char path[120];
	struct joined was;

	snprintf(path, sizeof(path), "%s/netd.db", c->state_dir);
	if (access(path, F_OK) == 0 || (strcmp(c->store, "sqlite") != 0 && !seat_stands_by(c))) {
		return err_set(
			&g->e, ERR_CONFLICT, 0,
			"this node has a plane of its own (%s); a node that joins another's has "
			"none",
			strcmp(c->store, "sqlite") == 0 ? path : "store = etcd");
	}
	if (joined_read(c, &was, &g->e) < 0) {
		return g->e.kind == ERR_NOT_FOUND ? 0 : -1;
	}
	if (was.cert[0]) {
		return err_set(&g->e, ERR_CONFLICT, 0,
		               "this node is '%s' of the plane at %s; 'netd leave' comes first",
		               was.name, was.plane);
	}
	memcpy(g->j.key, was.key,
	       sizeof(was.key)); /* of a join that did not end: it is said again */
	return 0;
}

static int join(struct joining *g, char *token)
{
	const struct config *c = g->config;
	uid_t user = (uid_t)c->user_control;
	struct ip ip;
	uint16_t port;

	if (geteuid() != 0) {
		return err_set(&g->e, ERR_FORBIDDEN, 0, "must be run as root");
	}
	if (read_token(token, g, &ip, &port) < 0 || check_state(c, g) < 0) {
		return -1;
	}
	if ((mkdir(c->state_dir, 0700) < 0 && errno != EEXIST) ||
	    chown(c->state_dir, user, user) < 0) {
		return err_set(&g->e, ERR_UNAVAILABLE, errno, "%s", c->state_dir);
	}
	snprintf(g->j.name, sizeof(g->j.name), "%s", c->node);
	if ((!g->j.key[0] && cert_key(g->j.key, &g->e) < 0) || joined_write(c, &g->j, &g->e) < 0) {
		return -1;
	}
	return ask(g, &ip, port) < 0 ? -1 : joined_write(c, &g->j, &g->e);
}

int join_run(const struct config *c, const char *token)
{
	struct joining g = { .config = c, .e = ERR_INIT };
	char line[400] = "";

	if (strcmp(token, "-") == 0) {
		token = fgets(line, sizeof(line), stdin) ? line : "";
		line[strcspn(line, "\r\n")] = '\0';
	}
	AUTO_FREE char *text = strdup(token);
	int rc = text ? join(&g, text) : -1;

	if (rc == 0) {
		printf("node '%s' (number %u) belongs to the plane at %s; start netd, or restart it\n",
		       g.j.name, g.j.number, g.j.plane);
	} else {
		fprintf(stderr, "netd: join: %s\n", g.e.msg);
	}
	explicit_bzero(&g.j, sizeof(g.j));
	explicit_bzero(line, sizeof(line));
	return rc == 0 ? 0 : g.e.kind == ERR_UNAVAILABLE ? 75 : EX_CONFIG;
}

int leave_run(const struct config *c)
{
	struct joined j;
	struct err e = ERR_INIT;
	char path[140];
	int rc = joined_read(c, &j, &e);

	snprintf(path, sizeof(path), "%s/joined.json", c->state_dir);
	if ((rc < 0 && e.kind != ERR_INVALID) ||
	    (unlink(path) < 0 && err_set(&e, ERR_UNAVAILABLE, errno, "%s", path) < 0)) {
		fprintf(stderr, "netd: leave: %s\n",
		        e.kind == ERR_NOT_FOUND ? "this node belongs to no other's plane" : e.msg);
		return EX_CONFIG;
	}
	printf("the plane at %s is forgotten; restart netd; 'netctl node remove %s' makes the plane forget this node\n",
	       j.plane, j.name);
	explicit_bzero(&j, sizeof(j));
	return 0;
}
