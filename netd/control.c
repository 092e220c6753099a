/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The control role: no capabilities. Loads the store, connects engine, dns, runtime and API, and
 * brings each peer that comes back to the state the store says. See plane.h.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/hex.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/seal.h"
#include "netd/agent.h"
#include "netd/api/counters.h"
#include "netd/api/exec.h"
#include "netd/api/logs.h"
#include "netd/api/names.h"
#include "netd/balancer.h"
#include "netd/cni.h"
#include "netd/drain.h"
#include "netd/fabric.h"
#include "netd/flush.h"
#include "netd/gateway.h"
#include "netd/home.h"
#include "netd/meter.h"
#include "netd/ngroup.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/refused.h"
#include "netd/ruleset.h"
#include "netd/runtime.h"
#include "netd/seat.h"
#include "netd/spare.h"
#include "netd/storage.h"
#include "netd/zone.h"

#define PING_MS        500
#define SWEEP_NAMES_MS 1000
#define RELINK_MS      500

static struct loop_timer *sweep, *relink;
static int64_t ping_ms, swept_ms;
_Static_assert(CONFIG_GATEWAYS_MAX <= 64, "a bit for each given namespace");
static uint64_t
	awaited; /* given namespaces to hear of before the engine is told its list, a bit each */

const char *control_metrics(int i, int64_t *age_ms)
{
	const struct node_role *r = node_own() ? &node_own()->roles[i] : NULL;

	*age_ms = r && r->told_ms ? clock_system.now_ms(&clock_system) - r->told_ms : -1;
	return r ? r->counters : "";
}

static void ping(void)
{
	struct buf b = { 0 };

	put_u64(&b, 0);
	channel_send(plane.engine, MSG_PING, &b, -1);
	channel_send(plane.dns, MSG_PING, &b, -1);
	channel_send(plane.probe, MSG_PING, &b, -1);
	channel_send(plane.session, MSG_PING, &b, -1);
	hub_ping();
	buf_fini(&b);
}

static struct channel **peer_channel(uint32_t role)
{
	return role == ROLE_ENGINE  ? &plane.engine
	       : role == ROLE_DNS   ? &plane.dns
	       : role == ROLE_PROBE ? &plane.probe
	                            : &plane.session;
}

/* What only the node with control may say: of given namespaces, of groups that runtimes made, of sessions and serials. */
static void own_said(enum msg_type type, uint64_t request, struct reader *r)
{
	if (type == MSG_SESSION_BEGIN) {
		exec_begin(request);
	} else if (type == MSG_SERIAL) {
		zone_serial((uint32_t)request);
	} else if (type == MSG_LEARNED) {
		gateway_learned((uint32_t)request, request >> 32, r);
		uint32_t given = (uint32_t)request - KOBJ_NS_GIVEN;
		if (given < CONFIG_GATEWAYS_MAX && awaited & UINT64_C(1) << given) {
			awaited &= ~(UINT64_C(1) << given); /* told twice counts once */
			if (awaited == 0) {
				group_engine_list(node_own());
			}
		}
	} else {
		r->failed = true;
	}
}

/* An answer about a VNet: from a node that it is on, or it is not listened to. */
static void vnet_said(struct node *n, enum msg_type type, uint64_t request, struct reader *r)
{
	uint32_t low = (uint32_t)request, high = (uint32_t)(request >> 32);
	uint32_t vnet = high;

	if (type ==
	    MSG_DRAINED) { /* also of a branch that has gone since it was asked: it is awaited */
		drain_answered(n, low, high, r);
	} else if (!home_has(vnet, n)) {
		r->left = 0;
	} else if (type == MSG_FLOW_LIST) {
		flush_flows(n, low, high, r);
	} else if (!meter_counted(n, low, r)) {
		counters_list(low, high, r);
	}
}

void control_said(struct node *n, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char text[4096];
	uint64_t request = get_u64(r);
	struct node_role *role = n ? node_role(n, (uint8_t)from) : NULL;

	if (type == MSG_PONG && role) {
		if (from == ROLE_ENGINE && request) {
			fabric_answered(n, request);
		}
		get_str(r, role->counters, sizeof(role->counters));
		role->told_ms = clock_system.now_ms(&clock_system);
	} else if (type == MSG_PROBE_STATE) {
		bool up = get_u8(r);

		get_str(r, text, sizeof(text));
		if (reader_done(r)) {
			balancer_probe_said(n, request, up, text);
		}
	} else if (type == MSG_FLOW_LIST || type == MSG_DRAINED || type == MSG_COUNTER_LIST) {
		vnet_said(n, type, request, r);
	} else if (type == MSG_NAMES_ANSWER) {
		names_answer(n, request, r);
	} else if (type == MSG_NAMES_PART) {
		names_part(n, request, r);
	} else if (type == MSG_ENGINE_DONE) {
		bool ok = get_u8(r);

		get_str(r, text, sizeof(text));
		if (reader_done(r)) {
			group_engine_done(n, request, ok, text, fd);
			fd = -1;
		}
	} else if (type == MSG_DNS_DONE) {
		(void)get_u8(r);
		get_str(r, text, sizeof(text));
		if (reader_done(r)) {
			zone_answered(n, request);
		}
	} else if (type == MSG_ENGINE_REFUSED && n) {
		refused_said(n, r);
	} else if (type == MSG_GUEST_GONE && n) {
		cni_gone(n, (uint32_t)request);
	} else if (n == node_own()) {
		own_said(type, request, r);
	} else {
		r->left = 0;
	}
	if (fd >= 0) {
		close(fd);
	}
}

static void on_peer(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	(void)arg;
	control_said(node_own(), from, type, r, fd);
}

void control_peer_up(struct node *n, enum role peer)
{
	if (plane.blind) { /* an empty list would take everything away */
		log_warn("store.blind", LOG_STR("keeps", roles[peer].name));
	} else if (peer == ROLE_ENGINE) {
		group_engine_up(n);
		if (n == node_own()) {
			awaited = 0; /* what they lead to is part of the list */
			for (size_t i = 0; i < plane.config->n_gateways; i++) {
				awaited |= UINT64_C(1) << i;
			}
			channel_send(plane.engine, MSG_LEARN, NULL, -1);
		}
		if (n != node_own() || awaited == 0) {
			group_engine_list(n);
		}
	} else if (peer == ROLE_DNS) {
		zone_dns_up(n);
	} else if (peer == ROLE_PROBE) {
		balancer_probe_up(n);
	}
}

void control_peer_gone(struct node *n, enum role peer)
{
	if (!n) {
		return;
	}
	node_role(n, (uint8_t)peer)->told_ms = 0;
	node_answers(n, peer, false);
	if (peer == ROLE_DNS) {
		zone_dns_gone(n);
		names_dns_gone(n);
	}
	if (peer == ROLE_ENGINE) {
		*(n == node_own() ? &plane.engine_synced : &n->synced) = false;
		fabric_answered(n, UINT64_MAX);
		refused_gone(n);
		drain_engine_gone(n);
		cni_engine_gone(n);
	}
}

/* A role that ended comes back by itself; one that did not is linked anew. */
static void on_relink(void *arg)
{
	(void)arg;
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		struct buf b = { 0 };

		if (*peer_channel(control_peers[i])) {
			continue;
		}
		put_u32(&b, control_peers[i]);
		channel_send(plane.to_main, MSG_RELINK, &b, -1);
		buf_fini(&b);
	}
}

static void on_peer_closed(void *arg, enum role peer)
{
	struct channel **c = peer_channel(peer);

	(void)arg;
	channel_free(*c);
	*c = NULL;
	relink = relink ? relink : loop_timer_new(plane.loop, on_relink, NULL);
	loop_timer_start(relink, RELINK_MS);
	control_peer_gone(node_own(), peer);
}

static void on_main(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t peer = get_u32(r);

	(void)arg;
	(void)from;
	(void)type;
	if (fd < 0 || peer < ROLE_ENGINE || peer > ROLE_SESSION) {
		return;
	}
	struct channel **c = peer_channel(peer);
	channel_free(*c);
	if (peer == ROLE_ENGINE && node_own()) {
		fabric_answered(node_own(), UINT64_MAX);
	}
	*c = channel_new(plane.loop, fd, ROLE_CONTROL, (enum role)peer, on_peer, on_peer_closed,
	                 NULL);
	control_peer_up(node_own(), (enum role)peer);
	ping();
}

/* ---- life ---- */

static void read_seal_key(int fd)
{
	uint8_t key[SEAL_KEY];

	if (pread(fd, key, sizeof(key), 0) != SEAL_KEY) {
		log_error("seal.key", LOG_STR("error", "cannot be read"));
		exit(78);
	}
	seal_key(key);
	explicit_bzero(key, sizeof(key));
	close(fd);
}

static void secret_for_operations(void)
{
	unsigned char raw[32];
	struct err e = ERR_INIT;
	char hex[65], row[400];

	if (plane.signs) {
		return;
	}
	random_system.fill(&random_system, raw, sizeof(raw));
	(void)operation_secret(hex_print(raw, sizeof(raw), hex));
	AUTO_FREE char *sealed = seal(hex, 64, "meta/operations", &e);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(hex, sizeof(hex));
	if (!sealed) {
		log_error("seal.failed", LOG_STR("error", e.msg));
		return;
	}
	snprintf(row, sizeof(row), "{\"sealed\":\"%s\"}", sealed);
	store_submit(plane.store, &(struct store_op){ .key = "meta/operations", .value = row }, 1,
	             control_saved, NULL);
}

static void load(void)
{
	struct err e = ERR_INIT;

	if ((!plane.store && !storage_open(&e)) ||
	    store_load(plane.store, table_load, NULL, &e) < 0 || storage_ours(&e) < 0) {
		storage_blind(&e);
		return;
	}
	storage_probe();
	node_start();
	secret_for_operations();
	meter_start();
	for (size_t i = 0; i < plane.n; i++) {
		network_restore_public(plane.v[i]);
		network_name_restore(plane.v[i]);
		prefix_restore(plane.v[i]);
		if (strstr(plane.v[i]->type->name, "containerGroups")) {
			group_load(plane.v[i]);
		} else if (strcmp(plane.v[i]->type->name, "Microsoft.Network/virtualNetworks") ==
		           0) {
			home_restore(plane.v[i], (uint32_t)json_integer_value(json_object_get(
							 plane.v[i]->status, "serial")));
		}
	}
	for (size_t i = 0; i < plane.n; i++) {
		prefix_restore_user(plane.v[i]);
		if (strcmp(plane.v[i]->type->name, "Microsoft.Network/virtualNetworks") == 0) {
			vnet_ranges(plane.v[i]);
		}
	}
	zone_load();
	ruleset_load();
	gateway_hold();
	balancer_load();
	ngroup_load();
	log_info("control.loaded", LOG_NUM("resources", plane.n));
}

static void swept(void *arg, const struct err *e)
{
	AUTO_FREE char *key = arg;

	operation_end(key, e);
}

/* Resource groups that are being deleted go when the last container group in them is gone. */
static void on_sweep(void *arg)
{
	int64_t now = clock_system.now_ms(&clock_system);

	(void)arg;
	if (now - ping_ms >= PING_MS) {
		ping_ms = now;
		ping();
	}
	storage_look(now);
	seat_look(now);
	group_retry(now);
	ngroup_retry(now);
	logs_sweep(now);
	exec_sweep(now);
	meter_sweep(now);
	spare_sweep(now);
	fabric_sweep(now);
	zone_sweep_silent(now);
	home_sweep(now);
	zone_public_look(now);
	zone_health_look(now);
	zone_keys_sweep();
	if (!plane.stopped && now - swept_ms >= SWEEP_NAMES_MS) {
		swept_ms = now;
		network_rest_sweep();
		network_idle(0, now);
	}
	struct resource *r;
	for (size_t i = 0; (r = table_typed("Microsoft.Resources/resourceGroups", i)); i++) {
		struct err e = ERR_INIT;
		char prefix[700];
		size_t n = strlen(r->key);
		bool left = false;

		if (plane.stopped || !r->deleting || n + 2 > sizeof(prefix)) {
			continue;
		}
		memcpy(prefix, r->key, n);
		memcpy(prefix + n, "/", 2);
		for (size_t k = table_from(prefix);
		     table_at(k) && strncmp(table_at(k)->key, prefix, n + 1) == 0; k++) {
			left = left || table_at(k)->group;
		}
		if (!left && change_delete(r, swept, strdup(r->key), &e) == 0) {
			break;
		}
	}
	loop_timer_start(sweep, 50);
}

static void own_runtime_up(void)
{
	group_runtime_up(node_own());
}

static void own_runtime_said(const json_t *m)
{
	group_runtime_message(node_own(), m);
}

static void own_runtime_gone(void)
{
	group_runtime_gone(node_own());
}

void control_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	bool joined = joined_there(c);

	plane.config = c;
	plane.loop = l;
	if (joined && !seat_take(c)) { /* the plane is another node's */
		agent_run(c, l, fds, main_fd);
		return;
	}
	network_start();
	read_seal_key(fds[FD_SEAL_KEY]);
	load();
	if (joined && plane.blind) {
		agent_run(c, l, fds, main_fd);
		return;
	}
	loop_signal(l, SIGTERM, role_stop, l);
	if (!plane.blind) { /* else a runtime would be told that there is no group */
		runtime_serve(l, fds[FD_RUNTIME], own_runtime_up, own_runtime_said,
		              own_runtime_gone);
	}
	if (!plane.blind) {
		hub_serve(fds[FD_NODES]);
		seat_changed();
	}
	cni_serve(l, fds[FD_CNI]);
	sweep = loop_timer_new(l, on_sweep, NULL);
	loop_timer_start(sweep, 50);
	plane.to_main =
		channel_new(l, main_fd, ROLE_CONTROL, ROLE_MAIN, on_main, role_main_closed, l);
	api_start(fds);
	role_ready(plane.to_main);
	loop_run(l);
	store_close(plane.store);
}
