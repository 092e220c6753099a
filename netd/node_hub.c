/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See node.h: the listener that nodes connect to. Who has no certificate may join by a token, and nothing else; who has one is
 * the node of its name as long as the node's row says that it has this key.
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/api/http.h"
#include "netd/carry.h"
#include "netd/cni.h"
#include "netd/fabric.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/role.h"
#include "netd/seat.h"

#define STRANGERS_MAX 64 /* connections that have not said who they are, */
#define OF_ONE_MAX    8  /* and of them from one address: over that, who came first goes */
#define DEADLINE_MS   10000

struct conn {
	TAILQ_ENTRY(conn) link;
	struct stream *stream;
	struct node *node; /* NULL: not known yet */
	char peer[64];
	struct loop_timer *deadline;
	bool joins; /* its answer waits for the store */
	bool gone;  /* its other end, meanwhile */
	char cert[CERT_TEXT];
	uint32_t number;
};

static struct {
	SSL_CTX *tls;
	int fd;
	size_t strangers;
	TAILQ_HEAD(conns, conn) conns;
} self = { .conns = TAILQ_HEAD_INITIALIZER(self.conns) };

/* ---- roles of nodes ---- */

static void drop_role(struct node_role *r)
{
	channel_free(r->channel);
	r->channel = NULL;
	r->unlike = false;
	r->told_ms = 0;
}

static void carry(void *arg, enum role peer, enum msg_type type, uint16_t version,
                  const struct buf *body)
{
	struct node *n = arg;
	AUTO_BUF struct buf b = { 0 };

	put_u8(&b, (uint8_t)peer);
	put_u16(&b, (uint16_t)type);
	put_u16(&b, version);
	if (body) {
		buf_add(&b, body->data, body->len);
	}
	stream_send(n->stream, FRAME_TELL, &b);
}

static void on_role(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	control_said(arg, from, type, r, fd);
}

static void on_role_gone(struct node *n, uint8_t name)
{
	struct node_role *r = node_role(n, name);
	bool was = r && r->channel;

	if (r) {
		drop_role(r);
	}
	if (was) {
		control_peer_gone(n, (enum role)name);
	}
}

/* One that would understand a part of its list is told none of it: it would take the rest for what is to go. */
static void on_role_up(struct node *n, uint8_t name, uint32_t dialect)
{
	struct node_role *r = node_role(n, name);

	on_role_gone(n, name);
	if (r && dialect != message_dialect((enum role)name)) {
		r->unlike = true;
		log_warn("node.unlike", LOG_STR("name", n->name), LOG_STR("role", roles[name].name),
		         LOG_STR("version", n->facts.version));
	} else if (r) {
		r->channel = channel_carried(ROLE_CONTROL, (enum role)name, carry, n, on_role, n);
		control_peer_up(n, (enum role)name);
	}
}

static void on_runtime_up(struct node *n, bool up)
{
	if (n->runtime) {
		n->runtime = false;
		group_runtime_gone(n);
	}
	n->runtime = up;
	if (up) {
		group_runtime_up(n);
	}
}

/* -1: it is no JSON object. */
static int on_runtime_said(struct node *n, struct reader *r)
{
	json_t *m = json_loadb((const char *)r->p, r->left, JSON_REJECT_DUPLICATES, NULL);
	bool good = n->runtime && json_is_object(m) && json_is_string(json_object_get(m, "type"));

	r->left = 0;
	if (good) {
		group_runtime_message(n, m);
	}
	json_decref(m);
	return good ? 0 : -1;
}

/* -1: that role may not say this, or is not there; what one says that speaks otherwise is passed over. */
static int on_said(struct node *n, struct reader *r)
{
	struct node_role *role = node_role(n, get_u8(r));
	uint16_t type = get_u16(r), version = get_u16(r);

	if (role && role->unlike) {
		r->left = 0;
		return 0;
	}
	return role && role->channel ? channel_take(role->channel, type, version, r->p, r->left)
	                             : -1;
}

void hub_ping(void)
{
	AUTO_BUF struct buf b = { 0 };

	put_u64(&b, 0);
	for (size_t i = 0; node_at(i); i++) {
		for (size_t k = 0; k < CONTROL_PEERS; k++) {
			channel_send(node_at(i)->roles[k].channel, MSG_PING, &b, -1);
		}
	}
}

#define NAME_CHARS  "abcdefghijklmnopqrstuvwxyz0123456789_"
#define VALUE_CHARS "0123456789.+-e"

/* Is it "name value", or "name{label="x"} value" with one label that is not the node's? Another node is believed no further. */
static bool is_counter(const char *line, size_t len, size_t name)
{
	const char *p = line + name;

	if (name == 0 || strncmp(line, "netd_node_", 10) == 0) {
		return false;
	}
	if (*p == '{') {
		size_t label = strspn(++p, NAME_CHARS);

		if (label == 0 || strncmp(p, "node=", 5) == 0 ||
		    strncmp(p + label, "=\"", 2) != 0) {
			return false;
		}
		p += label + 2;
		p += strspn(p, NAME_CHARS "-");
		if (strncmp(p, "\"}", 2) != 0) {
			return false;
		}
		p += 2;
	}
	size_t value = *p == ' ' ? strspn(p + 1, VALUE_CHARS) : 0;
	return value > 0 && p + 1 + value == line + len;
}

/* The line, with one label more. Comments are left out: the first node's say it all. */
static void add_line(struct buf *to, const char *line, size_t len, const char *node)
{
	size_t name = strspn(line, NAME_CHARS);

	if (!is_counter(line, len, name)) {
		return;
	}
	buf_addf(to, "%.*s{node=\"%s\"", (int)name, line, node);
	if (line[name] == '{') {
		buf_addf(to, ",%.*s\n", (int)(len - name - 1), line + name + 1);
	} else {
		buf_addf(to, "}%.*s\n", (int)(len - name), line + name);
	}
}

void hub_metrics(struct buf *to)
{
	const struct node *n;

	for (size_t i = 0; (n = node_at(i)); i++) {
		buf_addf(to, "netd_node_ready{node=\"%s\"} %d\n", n->name,
		         strcmp(node_state(n), "Ready") == 0);
		buf_addf(
			to,
			"netd_node_cpu_used{node=\"%s\"} %g\nnetd_node_memory_used{node=\"%s\"} %g\n",
			n->name, n->used[0], n->name, n->used[1]);
		for (size_t k = 0; k < CONTROL_PEERS && n != node_own();
		     k++) { /* its own have no label */
			const char *line = n->roles[k].told_ms ? n->roles[k].counters : "";

			while (*line) {
				size_t len = strcspn(line, "\n");

				add_line(to, line, len, n->name);
				line += len + (line[len] == '\n');
			}
		}
	}
}

/* ---- connections ---- */

/* Nothing of it is heard any more, and nothing can be said to it: neither by what waited for one of its roles, and goes on now. */
static void away(struct node *n)
{
	bool was[CONTROL_PEERS], ran = n->runtime;

	n->runtime = false;
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		was[i] = n->roles[i].channel != NULL;
		if (was[i]) {
			drop_role(&n->roles[i]);
		}
	}
	carry_gone(n);
	cni_node_gone(n);
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		if (was[i]) {
			control_peer_gone(n, control_peers[i]);
		}
	}
	if (ran) {
		group_runtime_gone(n);
	}
}

static void forget(struct conn *c)
{
	struct node *gone = NULL;

	self.strangers -= !c->node;
	if (c->node && c->node->stream == c->stream) {
		c->node->stream = NULL;
		gone = c->node;
	}
	loop_timer_free(c->deadline);
	c->deadline = NULL;
	TAILQ_REMOVE(&self.conns, c, link);
	c->gone = true;
	if (!c->joins) {
		free(c);
	}
	if (gone) {
		away(gone);
	}
}

static void on_closed(void *arg, const char *why)
{
	struct conn *c = arg;

	if (c->node) {
		log_warn("node.gone", LOG_STR("name", c->node->name), LOG_STR("why", why));
	}
	stream_free(c->stream);
	forget(c);
}

static void on_deadline(void *arg)
{
	struct conn *c = arg;

	if (!c->node) {
		on_closed(c, "it did not say who it is");
	} else if (clock_system.now_ms(&clock_system) - c->node->seen_ms >= NODE_LEASE_MS) {
		on_closed(c, "no word from it");
	} else {
		loop_timer_start(c->deadline, NODE_LEASE_MS);
	}
}

static void refuse(struct conn *c, const char *why)
{
	AUTO_BUF struct buf b = { 0 };

	log_warn("node.refused", LOG_STR("from", c->peer), LOG_STR("why", why));
	put_str(&b, why);
	stream_send(c->stream, FRAME_REFUSED, &b);
	stream_finish(c->stream);
	forget(c);
}

/* ---- who is it? ---- */

/* The node whose certificate was shown in the handshake, which was verified there. */
static struct node *node_of(struct conn *c, struct err *e)
{
	X509 *x = SSL_get0_peer_certificate(stream_ssl(c->stream));
	struct cert_says says;

	if (!x) {
		err_set(e, ERR_FORBIDDEN, 0, "a certificate is needed");
		return NULL;
	}
	if (cert_says(x, &says, e) < 0) {
		return NULL;
	}
	struct node *n = node_find(says.name);
	if (!n || strcmp(n->key, says.key) != 0) {
		err_set(e, ERR_FORBIDDEN, 0, "node '%s' was removed from the plane", says.name);
		return NULL;
	}
	n->cert_until_s = says.until_s;
	return n;
}

static void send_places(struct node *n)
{
	char places[PLANES_TEXT];
	AUTO_BUF struct buf b = { 0 };

	seat_places(places);
	if (n->stream && strchr(places, ',')) {
		put_str(&b, places);
		stream_send(n->stream, FRAME_PLACES, &b);
	}
}

void hub_places(void)
{
	for (size_t i = 0; node_at(i); i++) {
		send_places(node_at(i));
	}
}

/* The node is there, on this connection and no other. */
static void greet(struct conn *c, struct node *n, const struct node_facts *facts)
{
	AUTO_BUF struct buf b = { 0 };

	for (struct conn *other = TAILQ_FIRST(&self.conns), *next; other; other = next) {
		next = TAILQ_NEXT(other, link);
		if (other != c && other->node == n) {
			on_closed(other, "it connected again");
		}
	}
	self.strangers -= !c->node;
	c->node = n;
	n->stream = c->stream;
	bool fresh = !n->facts.address[0],
	     moved = strcmp(n->facts.address, facts->address[0] ? facts->address : c->peer) != 0 ||
	             strcmp(n->facts.underlay, facts->underlay) != 0,
	     opens = strcmp(n->facts.uplink, facts->uplink) != 0,
	     stands = strcmp(n->facts.listen, facts->listen) != 0;
	n->facts = *facts;
	n->seen_ms = clock_system.now_ms(&clock_system);
	if (!n->facts.address[0]) {
		snprintf(n->facts.address, sizeof(n->facts.address), "%.45s", c->peer);
	}
	if (moved || opens ||
	    stands) { /* kept: the others go on sending there while control begins anew */
		node_save(n);
	}
	if (opens) { /* ways lead in by it, or not any more */
		fabric_opened();
		group_ways(0);
	}
	if (opens || (moved && !fresh)) {
		fabric_gateways();
	} else if (fresh) {
		fabric_gateway_new(n);
	}
	loop_timer_start(c->deadline, NODE_LEASE_MS);
	put_u32(&b, n->number);
	stream_send(c->stream, FRAME_WELCOME, &b);
	if (stands) {
		seat_changed();
	}
	send_places(n);
	log_info("node.there", LOG_STR("name", n->name), LOG_STR("from", c->peer),
	         LOG_STR("version", n->facts.version));
}

/* ---- frames ---- */

static void joined(void *arg, const struct err *e)
{
	struct conn *c = arg;
	AUTO_BUF struct buf b = { 0 };

	c->joins = false;
	if (c->gone) {
		free(c);
		return;
	}
	if (e) {
		refuse(c, e->msg);
		return;
	}
	put_u32(&b, c->number);
	put_str(&b, c->cert);
	put_str(&b, node_authority());
	stream_send(c->stream, FRAME_JOINED, &b);
	stream_finish(c->stream);
	forget(c);
}

static void on_join(struct conn *c, struct reader *r)
{
	char secret[100], name[200], request[CERT_TEXT];
	struct node_facts facts = { 0 };
	struct err e = ERR_INIT;

	get_str(r, secret, sizeof(secret));
	get_str(r, name, sizeof(name));
	get_str(r, request, sizeof(request));
	get_facts(r, &facts);
	if (!reader_done(r) || c->joins) {
		refuse(c, "a request to join that is none");
		return;
	}
	c->joins = true;
	if (node_join(secret, name, request, &c->number, c->cert, joined, c, &e) < 0) {
		c->joins = false;
		refuse(c, e.msg);
	}
	explicit_bzero(secret, sizeof(secret));
}

static void on_renew(struct conn *c, struct reader *r)
{
	char request[CERT_TEXT], cert[CERT_TEXT];
	struct err e = ERR_INIT;
	struct cert_says says;
	AUTO_BUF struct buf b = { 0 };

	get_str(r, request, sizeof(request));
	if (!reader_done(r) || node_renew(c->node, request, cert, &e) < 0) {
		refuse(c, r->failed ? "a request that is none" : e.msg);
		return;
	}
	put_str(&b, cert);
	stream_send(c->stream, FRAME_ISSUED, &b);
	if (cert_read(cert, &says, &e) == 0) {
		c->node->cert_until_s = says.until_s;
	}
	log_info("node.renewed", LOG_STR("name", c->node->name));
}

static void on_cni(struct node *n, struct reader *r)
{
	uint64_t id = get_u64(r);
	bool has_ns = get_u8(r);
	const uint8_t *frame = r->p;
	size_t len = r->left;

	r->left = 0;
	cni_relayed(n, id, has_ns, frame, len);
}

static void on_frame(void *arg, enum frame_type type, struct reader *r)
{
	struct conn *c = arg;
	struct node_facts facts = { 0 };
	struct err e = ERR_INIT;

	if (type == FRAME_JOIN && !c->node) {
		on_join(c, r);
		return;
	}
	if (type == FRAME_HELLO && !c->node) {
		struct node *n = node_of(c, &e);

		get_facts(r, &facts);
		if (!n) {
			refuse(c, e.msg);
		} else if (!reader_done(r)) {
			refuse(c, "a greeting that is none");
		} else {
			greet(c, n, &facts);
		}
		return;
	}
	if (!c->node || type == FRAME_JOIN || type == FRAME_HELLO) {
		refuse(c, "a frame out of turn");
		return;
	}
	c->node->seen_ms = clock_system.now_ms(&clock_system);
	if (type == FRAME_RENEW) {
		on_renew(c, r);
	} else if (type == FRAME_ROLE_UP) {
		uint8_t role = get_u8(r);

		on_role_up(c->node, role, get_u32(r));
	} else if (type == FRAME_ROLE_GONE) {
		on_role_gone(c->node, get_u8(r));
	} else if (type == FRAME_RUNTIME_UP) {
		on_runtime_up(c->node, get_u8(r));
	} else if (type == FRAME_CARRY_UP) {
		if (carry_frame(c->node, r) < 0) {
			refuse(c, "a packet of a session's that is none");
		}
	} else if (type == FRAME_RUNTIME_SAID) {
		if (on_runtime_said(c->node, r) < 0) {
			refuse(c, "a frame of a runtime's that is none");
		}
	} else if (type == FRAME_CNI) {
		on_cni(c->node, r);
	} else if (type == FRAME_SAID) {
		if (on_said(c->node, r) < 0) {
			refuse(c, "a message that no role of a node may send");
		}
	} else {
		AUTO_BUF struct buf b = { 0 };

		put_u64(&b, get_u64(r));
		stream_send(c->stream, FRAME_BEATEN, &b);
	}
}

void hub_drop(struct node *n)
{
	for (struct conn *c = TAILQ_FIRST(&self.conns), *next; c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->node == n) {
			refuse(c, "the node was removed from the plane");
		}
	}
}

void hub_lost(struct node *n)
{
	for (struct conn *c = TAILQ_FIRST(&self.conns), *next; c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->node == n) {
			on_closed(c, "its lease ran out");
		}
	}
}

/* ---- listening ---- */

/* Who holds connections open keeps nobody else out: the oldest stranger goes, of the same address where it has many. */
static void make_room(const char *peer)
{
	struct conn *oldest = NULL, *same = NULL, *c;
	size_t n = 0;

	TAILQ_FOREACH(c, &self.conns, link)
	{
		bool is = !c->node && strcmp(c->peer, peer) == 0;

		oldest = oldest || c->node ? oldest : c;
		same = same || !is ? same : c;
		n += is;
	}
	if (n >= OF_ONE_MAX) {
		on_closed(same, "too many from its address");
	} else if (self.strangers >= STRANGERS_MAX && oldest) {
		on_closed(oldest, "too many that have not said who they are");
	}
}

static void on_accept(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept4(self.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c) {
			close(fd);
			continue;
		}
		http_peer(fd, c->peer);
		make_room(c->peer);
		self.strangers++;
		TAILQ_INSERT_TAIL(&self.conns, c, link);
		c->deadline = loop_timer_new(plane.loop, on_deadline, c);
		loop_timer_start(c->deadline, DEADLINE_MS);
		c->stream = stream_accept(plane.loop, fd, self.tls, on_frame, on_closed, c);
	}
}

static int use_certificates(SSL_CTX *ctx, struct err *e)
{
	char key[CERT_TEXT], cert[CERT_TEXT];

	if (node_server(key, cert, e) < 0) {
		return -1;
	}
	int rc = stream_certificates(ctx, key, cert, node_authority(), e);
	explicit_bzero(key, sizeof(key));
	return rc;
}

void hub_serve(int fd)
{
	struct err e = ERR_INIT;

	self.fd = fd;
	self.tls = fd >= 0 ? SSL_CTX_new(TLS_server_method()) : NULL;
	if (!self.tls) {
		return;
	}
	/* Who has a certificate shows it; one of another authority's, or too old, ends the handshake. */
	SSL_CTX_set_verify(self.tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(self.tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(self.tls, 0); /* each connection shows it anew */
	if (use_certificates(self.tls, &e) < 0) {
		log_error("nodes.tls", LOG_STR("error", e.msg));
		return;
	}
	loop_watch_read(plane.loop, fd, on_accept, NULL);
}
