/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See agent.h: a node that has joined, connected to its plane. What the kernel has stays as it is while the plane is away.
 */
#include "netd/agent.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/base/words.h"
#include "netd/api/api.h"
#include "netd/carry.h"
#include "netd/fabric.h"
#include "netd/relay.h"
#include "netd/runtime.h"
#include "netd/seat.h"

#define RETRY_MIN_MS     200
#define RETRY_MAX_MS     5000
#define RETRY_SEVERAL_MS 500   /* between nodes that may have control: one of them has, soon */
#define ANSWER_MS        1500  /* until who has control has said so */
#define REFUSED_MS       30000 /* before one that was refused asks again */
#define RENEW_LOOK_MS    1000
#define RENEW_AGAIN_MS   60000

static struct channel *channels[CONTROL_PEERS]; /* to the node's other roles */

static struct {
	const struct config *config;
	struct loop *loop;
	struct joined j;
	size_t place;          /* of those of j.plane, */
	char at[64];           /* this one */
	struct cert_says says; /* of its certificate */
	struct stream *plane;
	struct loop_timer *retry, *beat, *lease, *withdraws, *answer;
	bool welcome;
	char refused[600]; /* why, the last time */
	int64_t retry_ms, heard_ms, beat_ms, renew_ms;
	uint64_t beats;
} self;

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

/* ---- the connection ---- */

static void connect_plane(void *arg);

/* Where control may be found: the next one, round and round. Are there several? */
static bool next_place(void)
{
	if (!words_listed(self.j.plane, ++self.place, self.at, sizeof(self.at))) {
		self.place = 0;
		(void)words_listed(self.j.plane, 0, self.at, sizeof(self.at));
	}
	return strchr(self.j.plane, ',') != NULL;
}

static void on_closed(void *arg, const char *why)
{
	(void)arg;
	carry_gone(NULL);
	relay_connected(NULL);
	stream_free(self.plane);
	self.plane = NULL;
	loop_timer_stop(self.beat);
	loop_timer_stop(self.answer);
	if (self.welcome || self.retry_ms == RETRY_MIN_MS) {
		log_warn("plane.away", LOG_STR("at", self.at), LOG_STR("why", why));
	}
	self.welcome = false;
	bool several = next_place();
	loop_timer_start(self.retry, self.retry_ms);
	self.retry_ms *= 2;
	if (self.retry_ms > (several ? RETRY_SEVERAL_MS : RETRY_MAX_MS)) {
		self.retry_ms = several ? RETRY_SEVERAL_MS : RETRY_MAX_MS;
	}
}

static void on_up(void *arg)
{
	struct node_facts facts;
	AUTO_BUF struct buf b = { 0 };

	(void)arg;
	facts_of(self.config, &facts);
	put_facts(&b, &facts);
	stream_send(self.plane, FRAME_HELLO, &b);
}

static void renew(void)
{
	char request[CERT_TEXT];
	struct err e = ERR_INIT;
	AUTO_BUF struct buf b = { 0 };

	self.renew_ms = now_ms();
	if (cert_request(self.j.key, request, &e) < 0) {
		log_error("node.renew", LOG_STR("error", e.msg));
		return;
	}
	put_str(&b, request);
	stream_send(self.plane, FRAME_RENEW, &b);
}

/* It is worth something, and kept, before the old one is given up. */
static void on_issued(struct reader *r)
{
	struct joined j = self.j;
	struct cert_says says;
	struct err e = ERR_INIT;

	get_str(r, j.cert, sizeof(j.cert));
	if (!reader_done(r) || cert_read(j.cert, &says, &e) < 0 ||
	    strcmp(says.key, self.says.key) != 0 || joined_write(self.config, &j, &e) < 0) {
		log_error("node.renew", LOG_STR("error", e.msg[0] ? e.msg : "another's key"));
	} else {
		self.j = j;
		self.says = says;
		log_info("node.renewed", LOG_NUM("until", says.until_s));
	}
	explicit_bzero(&j, sizeof(j));
}

/* ---- namespaces that the runtime is to have ---- */

static struct held {
	uint32_t serial; /* of the group */
	int fd;
} * held;
static size_t n_held;

static void let_go(uint32_t serial)
{
	for (size_t i = 0; i < n_held; i++) {
		if (held[i].serial == serial) {
			close(held[i].fd);
			held[i] = held[--n_held];
			return;
		}
	}
}

/* Until the plane says that the runtime gets it; the plane has no use for a descriptor of this node's. */
static void hold(uint32_t serial, int fd)
{
	let_go(serial);
	struct held *v = realloc(held, (n_held + 1) * sizeof(*v));

	if (!v) {
		abort();
	}
	held = v;
	held[n_held++] = (struct held){ serial, fd };
}

static int held_fd(uint32_t serial)
{
	for (size_t i = 0; i < n_held; i++) {
		if (held[i].serial == serial) {
			return held[i].fd;
		}
	}
	return -1;
}

/* ---- messages between the plane and the node's roles ---- */

static void say_up(enum role role)
{
	AUTO_BUF struct buf b = { 0 };

	if (self.welcome) {
		put_u8(&b, (uint8_t)role);
		put_u32(&b, message_dialect(role));
		stream_send(self.plane, FRAME_ROLE_UP, &b);
	}
}

/* ---- the way in ---- */

#define ROUTES_MAX 512

/* Routes of the host's to pools, as the plane gave them: what routing daemons announce. */
static struct kobj routes[ROUTES_MAX];
static size_t n_routes;

/* A change of the gateway's: which of them came or went? */
static void note_routes(const struct buf *body)
{
	struct reader r = { body->data, body->len, false };
	struct kobj o;

	(void)get_u64(&r);
	if (get_u64(&r) != OWNER_GATEWAY) {
		return;
	}
	uint8_t flags = get_u8(&r);
	uint32_t n = get_u32(&r);
	n_routes = flags & PART_WHOLE && flags & PART_FIRST ? 0 : n_routes;
	for (uint32_t i = 0; i < n && !r.failed; i++) {
		uint8_t verb = get_u8(&r);
		size_t k = 0;

		get_kobj(&r, &o);
		if (r.failed || o.ns != KOBJ_NS_HOST || o.kind != KOBJ_ROUTE) {
			continue;
		}
		while (k < n_routes && kobj_compare(&routes[k], &o) != 0) {
			k++;
		}
		if (verb == KOP_DEL && k < n_routes) {
			routes[k] = routes[--n_routes];
		} else if (verb != KOP_DEL && k < ROUTES_MAX) {
			routes[k] = o;
			n_routes += k == n_routes;
		}
	}
}

/* The node was removed from the plane, or the administrator wants it to let nothing in that long after the plane was heard of. Preset
 * is that it stays: the plane may be what is away, not this node. The plane's list brings the routes back. */
static void withdraw(void *arg)
{
	struct buf b = { 0 };

	(void)arg;
	if (n_routes == 0) {
		return;
	}
	log_warn("node.withdraws", LOG_NUM("routes", n_routes));
	put_u64(&b, 0);
	put_u64(&b, OWNER_GATEWAY);
	put_u8(&b, PART_FIRST | PART_LAST);
	put_u32(&b, (uint32_t)n_routes);
	for (size_t i = 0; i < n_routes; i++) {
		put_u8(&b, KOP_DEL);
		put_kobj(&b, &routes[i]);
	}
	channel_send(channels[0], MSG_OWNER_PART, &b, -1); /* the engine's: control_peers */
	buf_fini(&b);
	n_routes = 0;
}

/* The namespace of a group that a runtime's call is making, or looks at: guest_send(). */
static int guest_namespace(struct reader body)
{
	(void)get_u32(&body);
	(void)get_u32(&body);
	uint64_t cookie = get_u64(&body);
	return get_u8(&body) ? relay_namespace(cookie) : -1;
}

/* A message to one of them: the plane is believed no further than a control of this node would be. */
static void on_tell(struct reader *r)
{
	uint8_t role = get_u8(r);
	uint16_t type = get_u16(r), version = get_u16(r);
	struct buf body = { .data = (uint8_t *)(uintptr_t)r->p, .len = r->left };

	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		if (control_peers[i] == role &&
		    message_may(ROLE_CONTROL, role, type, version, r->left)) {
			if (type == MSG_OWNER_DEL) {
				struct reader head = *r;

				(void)get_u64(&head);
				let_go((uint32_t)get_u64(&head)); /* of a group, if any */
			}
			while (type == MSG_SYNC_BEGIN &&
			       n_held > 0) { /* it has others, or none, from now on */
				let_go(held[0].serial);
			}
			if (type == MSG_OWNER_PART) {
				note_routes(&body);
			}
			channel_send(channels[i], (enum msg_type)type, &body,
			             type == MSG_GUEST ? guest_namespace(*r) : -1);
			return;
		}
	}
	log_warn("plane.message", LOG_NUM("role", role), LOG_NUM("type", type));
}

static void on_role(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	AUTO_BUF struct buf b = { 0 };

	(void)arg;
	if (fd >= 0 && type == MSG_ENGINE_DONE && r->left >= 8) {
		struct reader head = *r;

		hold((uint32_t)get_u64(&head), fd);
		fd = -1;
	}
	if (self.welcome &&
	    fd < 0) { /* what else comes with a descriptor is this node's own affair */
		put_u8(&b, (uint8_t)from);
		put_u16(&b, (uint16_t)type);
		put_u16(&b, message_version(type));
		buf_add(&b, r->p, r->left);
		stream_send(self.plane, FRAME_SAID, &b);
	}
	r->left = 0;
	if (fd >= 0) {
		close(fd);
	}
}

/* ---- the runtime ---- */

static void say_runtime(bool there)
{
	AUTO_BUF struct buf b = { 0 };

	if (self.welcome) {
		put_u8(&b, there);
		stream_send(self.plane, FRAME_RUNTIME_UP, &b);
	}
}

static void on_runtime_hello(void)
{
	say_runtime(true);
}

static void on_runtime_gone(void)
{
	say_runtime(false);
}

static void on_runtime_said(const json_t *m)
{
	char *text = self.welcome ? json_dumps(m, JSON_COMPACT) : NULL;
	struct buf b = { 0 };

	if (text) {
		buf_add(&b, text, strlen(text));
		stream_send(self.plane, FRAME_RUNTIME_SAID, &b);
	}
	buf_fini(&b);
	free(text);
}

/* A frame for the runtime; a group's comes with its namespace. */
static void on_runtime_told(struct reader *r)
{
	uint32_t serial = get_u32(r);
	json_t *m = json_loadb((const char *)r->p, r->left, JSON_REJECT_DUPLICATES, NULL);
	char path[200];

	r->left = 0;
	if (!json_is_object(m)) {
		log_warn("plane.runtime", LOG_STR("error", "a frame that is no JSON object"));
	} else if (serial) {
		snprintf(path, sizeof(path), "%s/ns/g%u", self.config->run_dir, serial);
		json_object_set_new(m, "namespace", json_string(path));
		runtime_send(json_incref(m), held_fd(serial));
		let_go(serial);
	} else {
		runtime_send(json_incref(m), -1);
	}
	json_decref(m);
}

/* A session: the runtime gets one end of a stream, the plane has the other. */
static void on_session(struct reader *r)
{
	uint64_t session = get_u64(r);
	json_t *m = json_loadb((const char *)r->p, r->left, JSON_REJECT_DUPLICATES, NULL);
	int pair[2];

	r->left = 0;
	if (!json_is_object(m) || !runtime_connected() ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		carry_refuse(self.plane, FRAME_CARRY_UP, session);
	} else {
		runtime_send(json_incref(m), pair[0]);
		close(pair[0]);
		carry_begin(self.loop, NULL, self.plane, FRAME_CARRY_UP, session, pair[1]);
	}
	json_decref(m);
}

static void on_welcome(uint32_t number)
{
	log_info("plane.reached", LOG_STR("at", self.at), LOG_NUM("number", number));
	self.welcome = true;
	relay_connected(self.plane);
	loop_timer_stop(self.answer);
	self.refused[0] = '\0';
	self.retry_ms = RETRY_MIN_MS;
	loop_timer_start(self.beat, 0);
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		if (channels[i]) {
			say_up(control_peers[i]);
		}
	}
	if (runtime_connected()) {
		say_runtime(true);
	}
}

/* Control may be there too, from now on. */
static void on_places(struct reader *r)
{
	struct joined j = self.j;
	struct err e = ERR_INIT;

	get_str(r, j.plane, sizeof(j.plane));
	if (!reader_done(r) || strcmp(j.plane, self.j.plane) == 0) {
		return;
	}
	if (joined_write(self.config, &j, &e) < 0) {
		log_error("plane.places", LOG_STR("error", e.msg));
	}
	self.j = j;
	self.place = 0; /* who says so is the first */
	explicit_bzero(&j, sizeof(j));
}

static void on_frame(void *arg, enum frame_type type, struct reader *r)
{
	(void)arg;
	self.heard_ms = now_ms();
	if (type == FRAME_REFUSED) {
		withdraw(NULL);
		get_str(r, self.refused, sizeof(self.refused));
		log_error("plane.refused", LOG_STR("why", self.refused));
		self.retry_ms = REFUSED_MS;
		on_closed(NULL, self.refused);
		return;
	}
	loop_timer_start(self.lease, NODE_LEASE_MS);
	if (self.config->withdraw_s) {
		loop_timer_start(self.withdraws, self.config->withdraw_s * 1000);
	}
	if (type == FRAME_WELCOME) {
		on_welcome(get_u32(r));
	} else if (type == FRAME_TELL) {
		on_tell(r);
	} else if (type == FRAME_ISSUED) {
		on_issued(r);
	} else if (type == FRAME_RUNTIME) {
		on_runtime_told(r);
	} else if (type == FRAME_CNI_ANSWER) {
		relay_answer(r);
	} else if (type == FRAME_PLACES) {
		on_places(r);
	} else if (type == FRAME_SESSION) {
		on_session(r);
	} else if (type == FRAME_CARRY_DOWN && carry_frame(NULL, r) < 0) {
		log_warn("plane.session", LOG_STR("error", "a packet that is none"));
	}
}

/* A third of its life is left for the plane to be away in. */
static bool is_old(void)
{
	int64_t now_s = clock_system.wall_ms(&clock_system) / 1000,
		life = self.says.until_s - self.says.from_s - CERT_EARLY_S;

	return now_s >= self.says.until_s - life / 3 &&
	       (!self.renew_ms || now_ms() - self.renew_ms >= RENEW_AGAIN_MS ||
	        life < 3 * RENEW_AGAIN_MS / 1000);
}

static void on_beat(void *arg)
{
	AUTO_BUF struct buf b = { 0 };

	(void)arg;
	if (now_ms() - self.heard_ms >= NODE_LEASE_MS) {
		on_closed(NULL, "no word from it");
		return;
	}
	if (now_ms() - self.beat_ms >= NODE_BEAT_MS) {
		self.beat_ms = now_ms();
		put_u64(&b, ++self.beats);
		stream_send(self.plane, FRAME_BEAT, &b);
	}
	if (is_old()) {
		renew();
	}
	loop_timer_start(self.beat, RENEW_LOOK_MS);
}

/* The plane takes this node for lost: what it says afterwards is heard by a new connection, with the whole list. */
static void on_lease(void *arg)
{
	(void)arg;
	if (self.plane && self.welcome) {
		on_closed(NULL, "no word from it");
	}
}

SSL_CTX *agent_context(const struct joined *j, struct err *e)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (!tls || stream_certificates(tls, j->key, j->cert, j->authority, e) < 0 ||
	    X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(tls), NODE_SERVER, 0) != 1) {
		SSL_CTX_free(tls);
		return NULL;
	}
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	return tls;
}

static void on_no_answer(void *arg)
{
	on_closed(arg, "no answer");
}

static void connect_plane(void *arg)
{
	struct err e = ERR_INIT;
	struct ip ip;
	uint16_t port;
	SSL_CTX *tls = agent_context(&self.j, &e);

	(void)arg;
	self.heard_ms = now_ms();
	if (tls && ip_endpoint_parse(self.at, 0, &ip, &port, &e) == 0) {
		self.plane =
			stream_connect(self.loop, &ip, port, tls, on_up, on_frame, on_closed, NULL);
	}
	SSL_CTX_free(tls); /* the connection has it */
	loop_timer_start(self.answer, strchr(self.j.plane, ',') ? ANSWER_MS : NODE_LEASE_MS);
	if (!self.plane) {
		on_closed(NULL, e.msg);
	}
}

/* ---- its own API: there is none ---- */

static void on_request(void *arg, struct http_request *r)
{
	struct err e = ERR_INIT;
	bool ready = strcmp(r->path, "/readyz") == 0;

	(void)arg;
	if (strcmp(r->path, "/healthz") == 0 || ready) {
		api_json(r, ready && !self.welcome ? 503 : 200, "",
		         json_pack("{s:b, s:s, s:s, s:s*}", "plane", self.welcome, "at", self.at,
		                   "node", self.j.name, "refused",
		                   self.refused[0] ? self.refused : NULL));
		return;
	}
	err_set(&e, ERR_UNAVAILABLE, 0,
	        "This is node '%s' of a plane; the plane's API is that of the node at %s.",
	        self.j.name, self.at);
	api_error(r, &e);
}

static void serve_api(const int fds[FD_N])
{
	struct err e = ERR_INIT;

	http_serve(self.loop, fds[FD_API_UNIX], NULL, on_request, NULL);
	if (fds[FD_API_TLS] >= 0) {
		SSL_CTX *tls = http_tls(self.config->tls_cert, self.config->tls_key, &e);

		if (!tls) {
			log_error("tls.refused", LOG_STR("error", e.msg));
			exit(78);
		}
		http_serve(self.loop, fds[FD_API_TLS], tls, on_request, NULL);
	}
}

/* ---- life ---- */

void agent_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	struct role_peer peers[CONTROL_PEERS];
	struct err e = ERR_INIT;

	self.config = c;
	self.loop = l;
	self.retry_ms = RETRY_MIN_MS;
	if (joined_read(c, &self.j, &e) < 0 || cert_read(self.j.cert, &self.says, &e) < 0) {
		log_error("joined.refused", LOG_STR("error", e.msg));
		exit(78);
	}
	log_info("agent.start", LOG_STR("node", self.j.name), LOG_STR("plane", self.j.plane));
	self.retry = loop_timer_new(l, connect_plane, NULL);
	self.beat = loop_timer_new(l, on_beat, NULL);
	self.lease = loop_timer_new(l, on_lease, NULL);
	self.withdraws = loop_timer_new(l, withdraw, NULL);
	self.answer = loop_timer_new(l, on_no_answer, NULL);
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		peers[i] = (struct role_peer){ control_peers[i], &channels[i], on_role, say_up };
	}
	serve_api(fds);
	runtime_serve(l, fds[FD_RUNTIME], on_runtime_hello, on_runtime_said, on_runtime_gone);
	(void)words_listed(self.j.plane, 0, self.at, sizeof(self.at));
	relay_serve(l, fds[FD_CNI]);
	seat_watch(c, l, fds[FD_NODES]);
	connect_plane(NULL);
	role_serve(ROLE_CONTROL, l, main_fd, peers, CONTROL_PEERS);
}
