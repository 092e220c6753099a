/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See seat.h.
 */
#include "netd/seat.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/base/words.h"
#include "netd/config.h"
#include "netd/plane.h"
#include "netd/storage.h"

#define EX_TEMPFAIL 75
#define LOOK_MS     1000 /* between questions whether another is control */
#define CERT_LOOK_S 60

bool seat_stands_by(const struct config *c)
{
	return strcmp(c->store, "etcd") == 0 && c->listen_nodes[0];
}

bool seat_take(const struct config *c)
{
	struct err e = ERR_INIT;

	if (!seat_stands_by(c)) {
		return false;
	}
	if (!storage_open(&e)) {
		log_info("seat.stands-by", LOG_STR("why", e.msg));
		return false;
	}
	log_info("seat.taken", LOG_STR("node", c->node));
	return true;
}

int seat_fits(const struct config *c, struct err *e)
{
	struct joined j;
	struct cert_says says;
	const struct node *n = node_find(c->node);
	int rc = joined_read(c, &j, e);

	if (rc == 0 && cert_read(j.cert, &says, e) < 0) {
		rc = -1;
	} else if (rc == 0 && (!n || strcmp(n->key, says.key) != 0)) {
		rc = err_set(e, ERR_FORBIDDEN, 0,
		             "store: its plane has no node '%.60s' with this node's key", c->node);
	} else if (rc == 0 && !node_opens()) {
		rc = err_set(e, ERR_FORBIDDEN, 0,
		             "store: %s.key is not the one that its secrets are sealed under: copy "
		             "that of a node that has control",
		             c->state_dir);
	}
	explicit_bzero(&j, sizeof(j));
	return rc;
}

/* ---- standing by ---- */

static void on_vacant(void *arg)
{
	(void)arg;
	log_warn("seat.vacant", LOG_STR("node", plane.config->node));
	_exit(EX_TEMPFAIL); /* this role begins anew, as control if it is the first */
}

static void on_caller(void *arg)
{
	int fd;

	while ((fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		close(fd); /* at once, so that it asks the next */
	}
}

void seat_watch(const struct config *c, struct loop *l, int fd)
{
	static int listener;
	char password[256];
	struct store_etcd etcd;
	struct err e = ERR_INIT;

	if (fd >= 0) {
		listener = fd;
		loop_watch_read(l, fd, on_caller, &listener);
	}
	if (!seat_stands_by(c) || plane.blind) {
		return;
	}
	if (storage_etcd(c, &etcd, password, &e) < 0) {
		log_error("seat.refused", LOG_STR("error", e.msg));
		return;
	}
	(void)store_wait_etcd(&etcd, l, on_vacant, NULL);
	explicit_bzero(password, sizeof(password));
}

/* ---- being control ---- */

static struct {
	char places[PLANES_TEXT]; /* as nodes were told last */
	struct joined own;        /* cert "": not made */
	int64_t cert_until_s, looked_ms;
	struct stream *asks; /* another, whether it is control */
	size_t next;
} self;

void seat_places(char to[static PLANES_TEXT])
{
	struct err e = ERR_INIT;
	char own[64] = "";
	const struct node *n;
	size_t len;

	(void)!nodes_address(plane.config, own, &e);
	len = (size_t)snprintf(to, PLANES_TEXT, "%s", own);
	for (size_t i = 0; seat_stands_by(plane.config) && (n = node_at(i)); i++) {
		size_t more = strlen(n->facts.listen);

		if (n != node_own() && more && len + more + 2 < PLANES_TEXT) {
			len += (size_t)snprintf(to + len, PLANES_TEXT - len, ",%s",
			                        n->facts.listen);
		}
	}
}

static int make_own(struct err *e)
{
	struct joined *j = &self.own;
	struct node *n = node_own();
	char request[CERT_TEXT];
	struct cert_says says;
	struct err none = ERR_INIT;

	if (!j->key[0] && joined_read(plane.config, j, &none) < 0) {
		*j = (struct joined){ 0 };
	}
	if ((!j->key[0] && cert_key(j->key, e) < 0) || cert_request(j->key, request, e) < 0 ||
	    node_own_cert(request, j->cert, e) < 0 || cert_read(j->cert, &says, e) < 0) {
		return -1;
	}
	snprintf(j->plane, sizeof(j->plane), "%s", self.places);
	snprintf(j->name, sizeof(j->name), "%s", n->name);
	snprintf(j->authority, sizeof(j->authority), "%s", node_authority());
	j->number = n->number;
	self.cert_until_s = says.until_s;
	if (strcmp(n->key, says.key) != 0) {
		memcpy(n->key, says.key, sizeof(n->key));
		node_save(n);
	}
	return joined_write(plane.config, j, e);
}

void seat_changed(void)
{
	char places[PLANES_TEXT];
	struct err e = ERR_INIT;

	seat_places(places);
	if (strcmp(places, self.places) == 0 || !node_own()) {
		return;
	}
	memcpy(self.places, places, sizeof(places));
	if (strchr(places, ',') && make_own(&e) < 0) {
		log_error("seat.certificate", LOG_STR("error", e.msg));
	}
	hub_places();
}

/* ---- is another control? ---- */

static void on_closed(void *arg, const char *why)
{
	(void)arg;
	(void)why;
	stream_free(self.asks);
	self.asks = NULL;
}

static void on_up(void *arg)
{
	struct node_facts facts;
	AUTO_BUF struct buf b = { 0 };

	(void)arg;
	facts_of(plane.config, &facts);
	put_facts(&b, &facts);
	stream_send(self.asks, FRAME_HELLO, &b);
}

static void on_frame(void *arg, enum frame_type type, struct reader *r)
{
	(void)arg;
	r->left = 0;
	if (type == FRAME_WELCOME) {
		log_warn("seat.followed", LOG_STR("by", "another node has control"));
		_exit(EX_TEMPFAIL); /* an agent, from now on */
	}
	on_closed(NULL, "refused");
}

static void ask_next(void)
{
	struct err e = ERR_INIT;
	struct ip ip;
	uint16_t port;
	char at[64];

	if (!words_listed(self.places, ++self.next, at, sizeof(at))) { /* the first is this one's */
		self.next = 0;
		return;
	}
	SSL_CTX *tls = agent_context(&self.own, &e);
	if (tls && ip_endpoint_parse(at, 0, &ip, &port, &e) == 0) {
		self.asks = stream_connect(plane.loop, &ip, port, tls, on_up, on_frame, on_closed,
		                           NULL);
	}
	SSL_CTX_free(tls);
}

void seat_look(int64_t now_ms)
{
	struct err e = ERR_INIT;

	if (!self.own.cert[0] || now_ms - self.looked_ms < LOOK_MS) {
		return;
	}
	self.looked_ms = now_ms;
	int64_t left_s = self.cert_until_s - clock_system.wall_ms(&clock_system) / 1000;
	if (left_s < plane.config->node_cert_s / 3 && make_own(&e) < 0) {
		log_error("seat.certificate", LOG_STR("error", e.msg));
		self.cert_until_s += CERT_LOOK_S;
	}
	on_closed(NULL, "no answer");
	if (!store_current(plane.store)) {
		ask_next();
	}
}
