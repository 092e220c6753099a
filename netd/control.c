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
#include "netd/meter.h"
#include "netd/ngroup.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/ruleset.h"
#include "netd/runtime.h"
#include "netd/spare.h"
#include "netd/storage.h"
#include "netd/zone.h"

#define PING_MS        500
#define SWEEP_NAMES_MS 1000
#define RELINK_MS      500

static struct loop_timer *sweep, *relink;
#define PEERS CONTROL_PEERS
static char pongs[PEERS][4096]; /* last counters of engine, dns, probe and session */
static int64_t pong_ms[PEERS], ping_ms, swept_ms;
_Static_assert(CONFIG_GATEWAYS_MAX <= 64, "a bit for each given namespace");
static uint64_t
	awaited; /* given namespaces to hear of before the engine is told its list, a bit each */

const char *control_metrics(int i, int64_t *age_ms)
{
	*age_ms = pong_ms[i] ? clock_system.now_ms(&clock_system) - pong_ms[i] : -1;
	return pongs[i];
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

/* The peers: 0 engine, 1 dns, 2 probe, 3 session; PEERS: it is none. */
static unsigned peer_place(uint32_t role)
{
	return role == ROLE_ENGINE    ? 0
	       : role == ROLE_DNS     ? 1
	       : role == ROLE_PROBE   ? 2
	       : role == ROLE_SESSION ? 3
	                              : PEERS;
}

static struct channel **peer_channel(uint32_t role)
{
	return role == ROLE_ENGINE  ? &plane.engine
	       : role == ROLE_DNS   ? &plane.dns
	       : role == ROLE_PROBE ? &plane.probe
	                            : &plane.session;
}

static void on_peer(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char text[4096];
	uint64_t request = get_u64(r);

	(void)arg;
	if (type == MSG_PONG) {
		unsigned i = peer_place(from) % PEERS;

		if (from == ROLE_ENGINE && request) {
			fabric_answered(request);
		}
		get_str(r, pongs[i], sizeof(pongs[i]));
		pong_ms[i] = clock_system.now_ms(&clock_system);
	} else if (type == MSG_FLOW_LIST) {
		flush_flows((uint32_t)request, (uint32_t)(request >> 32), r);
	} else if (type == MSG_DRAINED) {
		drain_answered((uint32_t)request, (uint32_t)(request >> 32), r);
	} else if (type == MSG_COUNTER_LIST) {
		if (!meter_counted((uint32_t)request, r)) {
			counters_list((uint32_t)request, (uint32_t)(request >> 32), r);
		}
	} else if (type == MSG_PROBE_STATE) {
		bool up = get_u8(r);

		get_str(r, text, sizeof(text));
		if (reader_done(r)) {
			balancer_probe_said(request, up, text);
		}
	} else if (type == MSG_NAMES_ANSWER) {
		names_answer(request, r);
	} else if (type == MSG_NAMES_PART) {
		names_part(request, r);
	} else if (type == MSG_GUEST_GONE) {
		cni_gone((uint32_t)request);
	} else if (type == MSG_SESSION_BEGIN) {
		exec_begin(request);
	} else if (type == MSG_SERIAL) {
		zone_serial((uint32_t)request);
	} else if (type == MSG_LEARNED) {
		gateway_learned((uint32_t)request, request >> 32, r);
		uint32_t given = (uint32_t)request - KOBJ_NS_GIVEN;
		if (given < CONFIG_GATEWAYS_MAX && awaited & UINT64_C(1) << given) {
			awaited &= ~(UINT64_C(1) << given); /* told twice counts once */
			if (awaited == 0) {
				group_engine_list();
			}
		}
	} else if (type == MSG_ENGINE_DONE) {
		bool ok = get_u8(r);

		get_str(r, text, sizeof(text));
		if (reader_done(r)) {
			group_engine_done(request, ok, text, fd);
			fd = -1;
		}
	} else if (type == MSG_DNS_DONE) {
		(void)get_u8(r);
		get_str(r, text, sizeof(text));
		if (reader_done(r) && !zone_answered(request)) {
			group_dns_done(request);
		}
	} else {
		r->failed = true;
	}
	if (fd >= 0) {
		close(fd);
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
	pong_ms[peer_place(peer) % PEERS] = 0;
	if (peer == ROLE_DNS) {
		zone_dns_gone();
		names_dns_gone();
	}
	if (peer == ROLE_ENGINE) {
		plane.engine_synced = false;
		fabric_engine_gone();
		drain_engine_gone();
	}
}

static void on_main(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t peer = get_u32(r);

	(void)arg;
	(void)from;
	(void)type;
	if (fd < 0 || peer_place(peer) == PEERS) {
		return;
	}
	struct channel **c = peer_channel(peer);
	channel_free(*c);
	if (peer == ROLE_ENGINE) {
		fabric_engine_gone();
	}
	*c = channel_new(plane.loop, fd, ROLE_CONTROL, (enum role)peer, on_peer, on_peer_closed,
	                 NULL);
	if (plane.blind) { /* an empty list would take everything away */
		log_warn("store.blind", LOG_STR("keeps", roles[peer].name));
	} else if (peer == ROLE_ENGINE) {
		group_engine_up();
		awaited = 0; /* what they lead to is part of the list */
		for (size_t i = 0; i < plane.config->n_gateways; i++) {
			awaited |= UINT64_C(1) << i;
		}
		channel_send(plane.engine, MSG_LEARN, NULL, -1);
		if (awaited == 0) {
			group_engine_list();
		}
	} else if (peer == ROLE_DNS) {
		group_dns_up();
	} else if (peer == ROLE_PROBE) {
		balancer_probe_up();
	}
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

	if (!storage_open(&e) || store_load(plane.store, table_load, NULL, &e) < 0 ||
	    storage_ours(&e) < 0) {
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
	group_retry(now);
	ngroup_retry(now);
	logs_sweep(now);
	exec_sweep(now);
	meter_sweep(now);
	spare_sweep(now);
	zone_public_look(now);
	zone_health_look(now);
	zone_keys_sweep();
	if (!plane.stopped && now - swept_ms >= SWEEP_NAMES_MS) {
		swept_ms = now;
		network_rest_sweep();
		network_idle(0, now);
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct resource *r = plane.v[i];
		struct err e = ERR_INIT;
		char prefix[700];
		size_t n = strlen(r->key);
		bool left = false;

		if (plane.stopped || !r->deleting || r->group || r->ngroup ||
		    n + 2 > sizeof(prefix)) {
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

void control_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	if (joined_there(c)) { /* the plane is another node's */
		agent_run(c, l, fds, main_fd);
		return;
	}
	plane.config = c;
	plane.loop = l;
	network_start();
	read_seal_key(fds[FD_SEAL_KEY]);
	load();
	loop_signal(l, SIGTERM, role_stop, l);
	if (!plane.blind) { /* else a runtime would be told that there is no group */
		runtime_serve(l, fds[FD_RUNTIME], group_runtime_up, group_runtime_message,
		              group_runtime_gone);
	}
	if (!plane.blind) {
		hub_serve(fds[FD_NODES]);
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
