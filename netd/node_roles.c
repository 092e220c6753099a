/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See node.h: what control says to a node, its own or another, is said here.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/carry.h"
#include "netd/fabric.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/refused.h"
#include "netd/runtime.h"

static bool is_own(const struct node *n)
{
	return n == node_own();
}

struct node_role *node_role(struct node *n, uint8_t role)
{
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		if (control_peers[i] == role) {
			return &n->roles[i];
		}
	}
	return NULL;
}

struct channel *node_channel(const struct node *n, enum role role)
{
	if (!n) {
		return NULL;
	}
	if (is_own(n)) {
		return role == ROLE_ENGINE  ? plane.engine
		       : role == ROLE_DNS   ? plane.dns
		       : role == ROLE_PROBE ? plane.probe
		                            : plane.session;
	}
	const struct node_role *r = node_role((struct node *)(uintptr_t)n, (uint8_t)role);
	return r ? r->channel : NULL;
}

bool node_synced(const struct node *n)
{
	return n && (is_own(n) ? plane.engine_synced : n->synced);
}

bool node_ready(const struct node *n)
{
	return strcmp(node_state(n), "Ready") == 0;
}

bool node_lost(const struct node *n)
{
	return strcmp(node_state(n), "NotReady") == 0;
}

bool node_ingress(const struct node *n)
{
	return is_own(n) || n->facts.uplink[0];
}

bool node_unlike(const struct node *n)
{
	bool any = false;

	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		any = any || n->roles[i].unlike;
	}
	return any;
}

void node_asks(struct node *n, enum role role)
{
	struct node_role *r = node_role(n, (uint8_t)role);

	if (r && !r->owes_ms) {
		r->owes_ms = clock_system.now_ms(&clock_system);
	}
}

void node_answers(struct node *n, enum role role, bool more)
{
	struct node_role *r = node_role(n, (uint8_t)role);

	if (!r) {
		return;
	}
	r->owes_ms = more ? clock_system.now_ms(&clock_system) : 0;
	if (r->silent && !more) {
		r->silent = false;
		refused_silent(role, false);
		log_info("role.answers", LOG_STR("node", n->name),
		         LOG_STR("role", roles[role].name));
	}
}

bool node_falls_silent(struct node *n, enum role role, int64_t now_ms)
{
	struct node_role *r = node_role(n, (uint8_t)role);

	if (!r || r->silent || !r->owes_ms || now_ms - r->owes_ms < NODE_LEASE_MS) {
		return false;
	}
	r->silent = true;
	refused_silent(role, true);
	log_error("role.silent", LOG_STR("node", n->name), LOG_STR("role", roles[role].name));
	return true;
}

bool node_silent(const struct node *n, enum role role)
{
	const struct node_role *r = node_role((struct node *)(uintptr_t)n, (uint8_t)role);

	return r && r->silent;
}

bool node_usable(const struct node *n)
{
	return !n->cordoned && !node_silent(n, ROLE_ENGINE) &&
	       (is_own(n) || (node_ready(n) && n->synced && fabric_linked(n) && !node_unlike(n)));
}

void node_capacity(const struct node *n, double to[2])
{
	to[0] = is_own(n) ? (double)plane.config->node_cpu : n->facts.cpu;
	to[1] = is_own(n) ? (double)plane.config->node_memory : n->facts.memory;
}

void node_tell(struct node *n, enum msg_type type, const struct buf *body, int fd)
{
	if (n) {
		n->touched = true;
		channel_send(node_channel(n, ROLE_ENGINE), type, body, is_own(n) ? fd : -1);
	}
}

bool node_runtime(const struct node *n)
{
	return n && (is_own(n) ? runtime_connected() : n->runtime);
}

void node_runtime_send(struct node *n, json_t *m, uint32_t serial, int fd)
{
	if (n && is_own(n)) {
		runtime_send(m, fd);
		return;
	}
	char *text = n && n->runtime ? json_dumps(m, JSON_COMPACT) : NULL;

	json_decref(m);
	if (text) {
		struct buf b = { 0 };

		put_u32(&b, serial);
		buf_add(&b, text, strlen(text));
		stream_send(n->stream, FRAME_RUNTIME, &b);
		explicit_bzero(text, strlen(text)); /* may hold secrets */
		if (b.data) {
			explicit_bzero(b.data, b.len);
		}
		buf_fini(&b);
	}
	free(text);
}

void node_session(struct node *n, json_t *m, uint64_t session, int fd)
{
	AUTO_FREE char *text = json_dumps(m, JSON_COMPACT);
	AUTO_BUF struct buf b = { 0 };

	json_decref(m);
	if (!text || !n->stream) {
		close(fd);
		return;
	}
	put_u64(&b, session);
	buf_add(&b, text, strlen(text));
	stream_send(n->stream, FRAME_SESSION, &b);
	carry_begin(plane.loop, n, n->stream, FRAME_CARRY_DOWN, session, fd);
}
