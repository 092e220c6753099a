/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Many nodes in one process, for `make bench-scale` and sim_test.py: each joins a plane by a token of its own (a line of standard
 * input each), is connected by TLS as any node, and has the engine's reconciliation over the fake kernel; its other roles and its
 * runtime say yes to everything. Further lines: "?", the counters, and "l", what the kernels have, each answered by a line of
 * JSON; "c NODE MS", the node's connection is cut for that long. Ends with its input.
 *   sim_nodes COUNT [UPLINKS]      so many of them, the first ones, have an uplink of their own
 */
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/cert.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/kernel/kernel.h"
#include "lib/model/model.h"
#include "netd/drain.h"
#include "netd/node_stream.h"
#include "netd/reconcile.h"

#define RETRY_MS 200
#define AT_ONCE  3 /* that join: the plane takes 8 strangers of one address */

struct sim {
	unsigned i;
	char name[CERT_NAME], key[CERT_TEXT], cert[CERT_TEXT], authority[CERT_TEXT], secret[200];
	struct ip ip;
	uint16_t port;
	struct stream *stream;
	struct loop_timer *beat, *retry, *hang;
	struct kernel *kernel;
	struct reconcile *state;
	struct loop_timer *repair;
	struct kset puts, dels; /* of a change in parts */
	uint64_t beats;
	bool joined, welcome, synced;
	bool deaf; /* connected, and silent */
};
static struct sim *sims;
static size_t n_sims, next_join;
static struct loop *loop;
static struct {
	uint64_t messages, bytes, failed, groups, stopped, frames;
	int64_t last_ms; /* of the last change that a kernel took */
} count;

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

static void send_frame(const struct sim *s, enum frame_type type, const struct buf *body)
{
	if (s->stream) { /* not cut off */
		stream_send(s->stream, type, body);
	}
}

/* ---- what roles say ---- */

static void say(struct sim *s, enum role from, enum msg_type type, const struct buf *body)
{
	AUTO_BUF struct buf b = { 0 };

	put_u8(&b, (uint8_t)from);
	put_u16(&b, (uint16_t)type);
	put_u16(&b, message_version(type));
	buf_add(&b, body->data, body->len);
	send_frame(s, FRAME_SAID, &b);
}

static void on_repair(void *arg)
{
	struct sim *s = arg;
	int64_t wait = reconcile_repair(s->state);

	if (wait >= 0) {
		loop_timer_start(s->repair, wait);
	}
}

static void done(struct sim *s, uint64_t request, uint64_t owner, int rc, const struct err *e)
{
	AUTO_BUF struct buf b = { 0 };

	put_u64(&b, request);
	put_u8(&b, rc == 0);
	put_str(&b, rc == 0 ? "" : e->msg);
	say(s, ROLE_ENGINE, MSG_ENGINE_DONE, &b);
	if (rc < 0 && count.failed++ < 5) {
		fprintf(stderr, "sim_nodes: %s: owner %llu/%llu: %s\n", s->name,
		        (unsigned long long)(owner >> 32), (unsigned long long)(owner & UINT32_MAX),
		        e->msg);
	}
	if (rc < 0) {
		loop_timer_start(s->repair, 0);
	}
	if (getenv("SIM_TRACE")) {
		fprintf(stderr, "%lld %s: %llu/%llu %s\n", (long long)now_ms(), s->name,
		        (unsigned long long)(owner >> 32), (unsigned long long)(owner & UINT32_MAX),
		        rc == 0 ? "ok" : e->msg);
	}
	count.last_ms = now_ms();
}

static void owner_set(struct sim *s, struct reader *r)
{
	uint64_t request = get_u64(r), owner = get_u64(r);
	struct kset set = { 0 };
	struct err e = ERR_INIT;

	(void)get_u8(r);
	for (uint32_t n = get_u32(r); n > 0 && !r->failed; n--) {
		struct kobj o;

		get_kobj(r, &o);
		kset_add(&set, &o);
	}
	done(s, request, owner, reconcile_set(s->state, owner, set.v, set.n, &e), &e);
	kset_fini(&set);
}

static void owner_part(struct sim *s, struct reader *r)
{
	uint64_t request = get_u64(r), owner = get_u64(r);
	uint8_t flags = get_u8(r);
	uint32_t n = get_u32(r);
	struct err e = ERR_INIT;

	if (flags & PART_FIRST) {
		kset_fini(&s->puts);
		kset_fini(&s->dels);
	}
	for (; n > 0 && !r->failed; n--) {
		uint8_t verb = get_u8(r);
		struct kobj o;

		get_kobj(r, &o);
		kset_add(verb == KOP_DEL ? &s->dels : &s->puts, &o);
	}
	if (flags & PART_LAST) {
		done(s, request, owner,
		     reconcile_patch(s->state, owner, &s->puts, &s->dels, flags & PART_WHOLE, &e),
		     &e);
		kset_fini(&s->puts);
		kset_fini(&s->dels);
	}
}

/* No flows: whoever drains has none. */
static void drained(struct sim *s, struct reader *r)
{
	AUTO_BUF struct buf b = { 0 };
	uint32_t vnet = get_u32(r), mode = get_u32(r);

	put_u32(&b, vnet);
	put_u32(&b, mode);
	put_u8(&b, 1);
	for (size_t n = r->left / 37; n > 0; n--) { /* two addresses, protocol, port: drain.c */
		put_u32(&b, 0);
	}
	say(s, ROLE_ENGINE, MSG_DRAINED, &b);
}

static void engine(struct sim *s, enum msg_type type, struct reader *r)
{
	AUTO_BUF struct buf b = { 0 };
	struct err e = ERR_INIT;
	uint64_t request, owner;

	switch (type) {
	case MSG_OWNER_SET:
		owner_set(s, r);
		break;
	case MSG_OWNER_PART:
		owner_part(s, r);
		break;
	case MSG_OWNER_DEL:
		request = get_u64(r);
		owner = get_u64(r);
		done(s, request, owner, reconcile_del(s->state, owner, &e), &e);
		break;
	case MSG_SYNC_BEGIN:
		reconcile_begin(s->state);
		break;
	case MSG_SYNC_END:
		s->synced = true;
		done(s, get_u64(r), 0, reconcile_end(s->state, &e), &e);
		break;
	case MSG_DRAIN:
		drained(s, r);
		break;
	case MSG_FLOWS:
	case MSG_COUNTERS: /* token, namespace; that was all */
		put_u32(&b, get_u32(r));
		put_u32(&b, get_u32(r));
		put_u8(&b, 1);
		say(s, ROLE_ENGINE, type == MSG_FLOWS ? MSG_FLOW_LIST : MSG_COUNTER_LIST, &b);
		break;
	default:
		break;
	}
}

static void on_tell(struct sim *s, struct reader *r)
{
	AUTO_BUF struct buf b = { 0 };
	enum role role = (enum role)get_u8(r);
	enum msg_type type = (enum msg_type)get_u16(r);
	uint64_t first;

	(void)get_u16(r);
	count.messages++;
	count.bytes += r->left;
	if (type == MSG_PING) {
		put_u64(&b, get_u64(r));
		put_str(&b, "");
		say(s, role, MSG_PONG, &b);
	} else if (role == ROLE_ENGINE) {
		engine(s, type, r);
	} else if (role == ROLE_DNS && (type == MSG_NAME_SET || type == MSG_NAMES_END) &&
	           (first = get_u64(r))) {
		put_u64(&b, first);
		put_u8(&b, 1);
		put_str(&b, "");
		say(s, role, MSG_DNS_DONE, &b);
	} else if (role == ROLE_PROBE && type == MSG_PROBE_SET) {
		put_u64(&b, get_u64(r));
		put_u8(&b, 1);
		put_str(&b, "");
		say(s, role, MSG_PROBE_STATE, &b);
	}
	r->left = 0;
}

/* ---- its runtime ---- */

static void state(struct sim *s, const char *id, const char *is)
{
	json_t *m = json_pack("{s:s, s:s, s:s}", "type", "state", "id", id, "state", is);
	AUTO_FREE char *text = json_dumps(m, JSON_COMPACT);
	AUTO_BUF struct buf b = { 0 };

	buf_add(&b, text, strlen(text));
	send_frame(s, FRAME_RUNTIME_SAID, &b);
	json_decref(m);
}

static void on_runtime(struct sim *s, struct reader *r)
{
	(void)get_u32(r);
	json_t *m = json_loadb((const char *)r->p, r->left, 0, NULL);

	r->left = 0;
	if (model_is(m, "type", "group")) {
		count.groups++;
		state(s, model_str(m, "id"), "started");
		state(s, model_str(m, "id"), "ready");
	} else if (model_is(m, "type", "stop")) {
		count.stopped++;
		state(s, model_str(m, "id"), "stopped");
	}
	json_decref(m);
}

/* ---- connections ---- */

static void connect_sim(struct sim *s);

static size_t n_uplinks;

static void facts(const struct sim *s, struct buf *b)
{
	struct node_facts f = { .version = "sim",
		                .underlay = "under0",
		                .run_dir = "/run/sim",
		                .cpu = 100000,
		                .memory = 100000 };

	snprintf(f.address, sizeof(f.address), "10.98.%u.%u", 1 + s->i / 250, 1 + s->i % 250);
	if (s->i < n_uplinks) {
		snprintf(f.uplink, sizeof(f.uplink), "eth0");
		snprintf(f.hop4, sizeof(f.hop4), "192.88.%u.1", 1 + s->i % 250);
	}
	put_facts(b, &f);
}

static void on_up(void *arg)
{
	struct sim *s = arg;
	char request[CERT_TEXT];
	struct err e = ERR_INIT;
	AUTO_BUF struct buf b = { 0 };

	if (s->joined) {
		facts(s, &b);
		send_frame(s, FRAME_HELLO, &b);
		return;
	}
	if (cert_request(s->key, request, &e) < 0) {
		abort();
	}
	put_str(&b, s->secret);
	put_str(&b, s->name);
	put_str(&b, request);
	facts(s, &b);
	send_frame(s, FRAME_JOIN, &b);
}

static void on_beat(void *arg)
{
	struct sim *s = arg;
	AUTO_BUF struct buf b = { 0 };

	put_u64(&b, ++s->beats);
	send_frame(s, FRAME_BEAT, &b);
	loop_timer_start(s->beat, NODE_BEAT_MS);
}

static void on_welcome(struct sim *s)
{
	static const enum role there[] = { ROLE_ENGINE, ROLE_DNS, ROLE_PROBE, ROLE_SESSION };

	s->welcome = true;
	for (size_t i = 0; i < ARRAY_N(there); i++) {
		AUTO_BUF struct buf b = { 0 };

		put_u8(&b, (uint8_t)there[i]);
		put_u32(&b, message_dialect(there[i]));
		send_frame(s, FRAME_ROLE_UP, &b);
	}
	AUTO_BUF struct buf b = { 0 };
	put_u8(&b, 1);
	send_frame(s, FRAME_RUNTIME_UP, &b);
	loop_timer_start(s->beat, (int64_t)(s->i % NODE_BEAT_MS));
}

static void on_joined(struct sim *s, struct reader *r)
{
	(void)get_u32(r);
	get_str(r, s->cert, sizeof(s->cert));
	get_str(r, s->authority, sizeof(s->authority));
	s->joined = true;
	stream_free(s->stream);
	connect_sim(s);
	if (next_join < n_sims) {
		connect_sim(&sims[next_join++]);
	}
}

static void on_frame(void *arg, enum frame_type type, struct reader *r)
{
	struct sim *s = arg;
	char why[600];

	count.frames++;
	if (s->deaf) {
		r->left = 0;
		return;
	}
	if (type == FRAME_REFUSED) {
		get_str(r, why, sizeof(why));
		fprintf(stderr, "sim_nodes: %s: refused: %s\n", s->name, why);
		exit(1);
	} else if (type == FRAME_JOINED) {
		on_joined(s, r);
	} else if (type == FRAME_WELCOME) {
		(void)get_u32(r);
		on_welcome(s);
	} else if (type == FRAME_TELL) {
		on_tell(s, r);
	} else if (type == FRAME_RUNTIME) {
		on_runtime(s, r);
	} else {
		r->left = 0;
	}
}

/* Its kernel stays as it is. */
static void cut(struct sim *s, int64_t for_ms)
{
	stream_free(s->stream);
	s->stream = NULL;
	s->welcome = s->synced = s->deaf = false;
	loop_timer_stop(s->hang);
	loop_timer_stop(s->beat);
	loop_timer_start(s->retry, for_ms);
}

static void on_closed(void *arg, const char *why)
{
	struct sim *s = arg;

	(void)why;
	cut(s, RETRY_MS);
}

/* It answers nothing from now on, and then its connection ends. */
static void hang(struct sim *s, int64_t for_ms)
{
	if (s->welcome && !s->deaf) {
		s->deaf = true;
		loop_timer_stop(s->beat);
		loop_timer_start(s->hang, for_ms);
	}
}

static void on_hung(void *arg)
{
	cut(arg, RETRY_MS);
}

static void retry(void *arg)
{
	connect_sim(arg);
}

static void connect_sim(struct sim *s)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	struct err e = ERR_INIT;

	if (!tls ||
	    (s->joined && stream_certificates(tls, s->key, s->cert, s->authority, &e) < 0)) {
		fprintf(stderr, "sim_nodes: %s\n", e.msg);
		exit(1);
	}
	s->stream = stream_connect(loop, &s->ip, s->port, tls, on_up, on_frame, on_closed, s);
	SSL_CTX_free(tls);
	if (!s->stream) {
		loop_timer_start(s->retry, RETRY_MS);
	}
}

/* ---- life ---- */

static void make(struct sim *s, unsigned i)
{
	char line[500], *save = NULL, *at;
	struct err e = ERR_INIT;

	if (!fgets(line, sizeof(line), stdin)) {
		exit(2);
	}
	line[strcspn(line, "\n")] = '\0';
	(void)strtok_r(line, "/", &save);
	at = strtok_r(NULL, "/", &save);
	(void)strtok_r(NULL, "/", &save);
	*s = (struct sim){ .i = i, .kernel = kernel_fake_new() };
	snprintf(s->secret, sizeof(s->secret), "%s", strtok_r(NULL, "/", &save));
	snprintf(s->name, sizeof(s->name), "sim%u", i);
	s->state = reconcile_new(s->kernel, &clock_system);
	s->beat = loop_timer_new(loop, on_beat, s);
	s->retry = loop_timer_new(loop, retry, s);
	s->hang = loop_timer_new(loop, on_hung, s);
	s->repair = loop_timer_new(loop, on_repair, s);
	if (!at || ip_endpoint_parse(at, 0, &s->ip, &s->port, &e) < 0 || cert_key(s->key, &e) < 0) {
		fprintf(stderr, "sim_nodes: token %u: %s\n", i, e.msg);
		exit(2);
	}
}

static void say_counters(void)
{
	struct reconcile_stats all = { 0 };
	unsigned welcome = 0, synced = 0;

	for (size_t i = 0; i < n_sims; i++) {
		struct reconcile_stats s;

		reconcile_stats(sims[i].state, &s);
		all.owners += s.owners;
		all.objects += s.objects;
		all.failures += s.failures;
		all.pending += s.pending;
		welcome += sims[i].welcome;
		synced += sims[i].synced;
	}
	printf("{\"welcome\": %u, \"synced\": %u, \"messages\": %llu, \"bytes\": %llu, \"failed\": %llu, \"pending\": %llu, \"groups\": %llu, \"stopped\": %llu, "
	       "\"owners\": %llu, \"objects\": %llu, \"last_ms\": %lld, \"now_ms\": %lld}\n",
	       welcome, synced, (unsigned long long)count.messages, (unsigned long long)count.bytes,
	       (unsigned long long)count.failed, (unsigned long long)all.pending,
	       (unsigned long long)count.groups, (unsigned long long)count.stopped,
	       (unsigned long long)all.owners, (unsigned long long)all.objects,
	       (long long)count.last_ms, (long long)now_ms());
}

/* By which address, and which of its ports, those leave who have none of their own. */
static json_t *leaves_by(const struct kobj *o)
{
	struct ip ip = { .family = o->family };
	char text[IP_TEXT];

	memcpy(ip.b, o->via, 16);
	return json_pack("[i, s, i, i]", (int)o->ns, ip_format(&ip, text), (int)o->via_port,
	                 (int)o->index);
}

/* A route of a VNet's router to a part of a subnet: prefix, device ("": none), and the number of the node that it leads to. */
static json_t *route_of(const struct kobj *o)
{
	struct ip_prefix p = { { .family = 4 }, o->plen };
	char text[IP_TEXT];

	memcpy(p.ip.b, o->addr, 16);
	return json_pack("[i, s, s, i]", (int)o->ns, ip_prefix_format(&p, text), o->dev,
	                 strncmp(o->dev, "vx", 2) == 0 ? (o->via[2] & 127) << 8 | o->via[3] : 0);
}

static json_t *remote_of(const struct kobj *o)
{
	struct ip_prefix p = { { .family = 4 }, o->sub == KOBJ_SET_HELD4 ? o->plen : 32 };
	char text[IP_TEXT];

	memcpy(p.ip.b, o->addr, 16);
	return json_pack("[i, s]", (int)o->ns, ip_prefix_format(&p, text));
}

/* The addresses of groups' own ends, with their VNet: where a group's port is. */
static json_t *kernel_of(const struct sim *s)
{
	json_t *groups = json_array(), *vnets = json_array(), *routes = json_array(),
	       *ports = json_array(), *remote = json_array();
	struct kernel_ns *v = NULL;
	struct err e = ERR_INIT;
	int n = s->kernel->ns_list(s->kernel, &v, &e);

	for (int i = 0; i < n; i++) {
		struct kset set = { 0 };

		if (v[i].ns < KOBJ_NS_FIRST || s->kernel->dump(s->kernel, v[i].ns, &set, &e) < 0) {
			continue;
		}
		json_array_append_new(v[i].type == KOBJ_NETNS_VNET ? vnets : groups,
		                      json_integer(v[i].ns));
		for (size_t k = 0; k < set.n; k++) {
			const struct kobj *o = &set.v[k];

			if (v[i].type == KOBJ_NETNS_VNET && o->kind == KOBJ_ROUTE &&
			    o->family == 4 && o->plen >= 28 && !o->table) {
				json_array_append_new(routes, route_of(o));
			} else if (o->kind == KOBJ_ELEM &&
			           (o->sub == KOBJ_SET_REMOTE4 || o->sub == KOBJ_SET_HELD4)) {
				json_array_append_new(remote, remote_of(o));
			} else if (o->kind == KOBJ_ELEM && o->sub == KOBJ_SET_SUBOUT4) {
				json_array_append_new(ports, leaves_by(o));
			}
		}
		kset_fini(&set);
	}
	free(v);
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "node", s->name, "groups", groups,
	                 "vnets", vnets, "routes", routes, "ports", ports, "remote", remote);
}

static void say_kernels(void)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n_sims; i++) {
		json_array_append_new(all, kernel_of(&sims[i]));
	}
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static void on_line(void *arg)
{
	char line[100];
	unsigned i, ms;

	(void)arg;
	if (!fgets(line, sizeof(line), stdin)) {
		loop_stop(loop);
	} else if (line[0] == 'l') {
		say_kernels();
	} else if (sscanf(line, "c %u %u", &i, &ms) == 2 && i < n_sims) {
		cut(&sims[i], ms);
	} else if (sscanf(line, "d %u %u", &i, &ms) == 2 && i < n_sims) {
		hang(&sims[i], ms);
	} else {
		say_counters();
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct rlimit files = { 65536, 65536 };

	n_sims = argc >= 2 ? strtoul(argv[1], NULL, 10) : 0;
	n_uplinks = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	sims = n_sims > 0 && n_sims <= 4000 ? calloc(n_sims, sizeof(*sims)) : NULL;
	if (!sims) {
		fprintf(stderr, "usage: sim_nodes COUNT (1 to 4000), tokens on standard input\n");
		return 2;
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdin, NULL, _IONBF, 0);
	loop = loop_new();
	for (size_t i = 0; i < n_sims; i++) {
		make(&sims[i], (unsigned)i);
	}
	while (next_join < n_sims && next_join < AT_ONCE) {
		connect_sim(&sims[next_join++]);
	}
	(void)loop_watch_read(loop, STDIN_FILENO, on_line, NULL);
	loop_run(loop);
	return 0;
}
