/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The control role: no capabilities. Loads the store, connects engine, dns, runtime and API, and
 * brings each peer that comes back to the state the store says. See plane.h.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/plane.h"
#include "netd/runtime.h"

#define PING_MS 500

static struct loop_timer *sweep;
static char pongs[2][1024]; /* last counters of engine and dns */
static int64_t pong_ms[2], ping_ms;

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
	buf_fini(&b);
}

static void on_peer(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	char text[1024];
	uint64_t request = get_u64(r);

	(void)arg;
	if (type == MSG_PONG) {
		int i = from == ROLE_DNS;

		get_str(r, pongs[i], sizeof(pongs[i]));
		pong_ms[i] = clock_system.now_ms(&clock_system);
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
		if (reader_done(r)) {
			group_dns_done(request);
		}
	} else {
		r->failed = true;
	}
	if (fd >= 0) {
		close(fd);
	}
}

static void on_peer_closed(void *arg, enum role peer)
{
	struct channel **c = peer == ROLE_ENGINE ? &plane.engine : &plane.dns;

	(void)arg;
	channel_free(*c);
	*c = NULL;
	pong_ms[peer == ROLE_DNS] = 0;
	if (peer == ROLE_ENGINE) {
		plane.engine_synced = false;
	}
}

static void on_main(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t peer = get_u32(r);

	(void)arg;
	(void)from;
	(void)type;
	if (fd < 0 || (peer != ROLE_ENGINE && peer != ROLE_DNS)) {
		return;
	}
	struct channel **c = peer == ROLE_ENGINE ? &plane.engine : &plane.dns;
	channel_free(*c);
	*c = channel_new(plane.loop, fd, ROLE_CONTROL, (enum role)peer, on_peer, on_peer_closed,
	                 NULL);
	if (peer == ROLE_ENGINE) {
		group_engine_up();
	} else {
		group_dns_up();
	}
	ping();
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
	for (size_t i = 0; i < plane.n; i++) {
		struct resource *r = plane.v[i];
		struct err e = ERR_INIT;
		char prefix[700];
		size_t n = strlen(r->key);
		bool left = false;

		if (!r->deleting || r->group || n + 2 > sizeof(prefix)) {
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
	struct err e = ERR_INIT;

	plane.config = c;
	plane.loop = l;
	plane.store = store_open(c->state_dir, l, &e);
	network_start();
	if (!plane.store || store_load(plane.store, table_load, NULL, &e) < 0) {
		log_error("store.refused", LOG_STR("error", e.msg));
		exit(78);
	}
	for (size_t i = 0; i < plane.n; i++) {
		network_restore_public(plane.v[i]);
		if (strstr(plane.v[i]->type->name, "containerGroups")) {
			group_load(plane.v[i]);
		}
	}
	log_info("control.loaded", LOG_NUM("resources", plane.n));
	loop_signal(l, SIGTERM, role_stop, l);
	runtime_serve(l, fds[FD_RUNTIME], group_runtime_up, group_runtime_message,
	              group_runtime_gone);
	sweep = loop_timer_new(l, on_sweep, NULL);
	loop_timer_start(sweep, 50);
	plane.to_main =
		channel_new(l, main_fd, ROLE_CONTROL, ROLE_MAIN, on_main, role_main_closed, l);
	api_start(fds);
	role_ready(plane.to_main);
	loop_run(l);
	store_close(plane.store);
}
