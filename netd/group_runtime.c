/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Groups and the runtime: what it is handed, and what it says of them. See group_parts.h, docs/runtime.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/own.h"
#include "netd/api/exec.h"
#include "netd/api/logs.h"
#include "netd/balancer.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/meter.h"
#include "netd/ngroup.h"

static json_t *resolv_conf(const struct group *g)
{
	const json_t *dns = model_at(g->r->doc, "properties.dnsConfig"), *list, *x;
	struct buf b = { 0 };
	size_t i;

	list = json_object_get(dns, "nameServers");
	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		buf_addf(&b, "nameserver %s\n", json_string_value(x));
	}
	if (!dns) {
		buf_addf(&b, "nameserver 168.63.129.16\n");
	}
	if (*model_str(dns, "searchDomains")) {
		buf_addf(&b, "search %s\n", model_str(dns, "searchDomains"));
	}
	if (*model_str(dns, "options")) {
		buf_addf(&b, "options %s\n", model_str(dns, "options"));
	}
	json_t *s = json_string(buf_str(&b));
	buf_fini(&b);
	return s;
}

/* How a virtual machine sets up what eth0 has: it is the host of its addresses, and nobody else is on its link but the gateway. */
static json_t *network_of(const struct group *g)
{
	static const char *const keys[] = { "ip4", "ip6" }, *const prefixes[] = { "prefix4",
		                                                                  "prefix6" };
	json_t *addresses = json_array(), *gateways = json_array();
	uint32_t n = group_serial(g);
	char text[IP_TEXT + 8], mac[18];

	for (int f = 0; f < 2; f++) {
		const char *ip = model_str(g->r->status, keys[f]);
		struct ip_prefix p;
		struct err e = ERR_INIT;

		if (!*ip || ip_prefix_parse(model_str(g->r->status, prefixes[f]), &p, &e) < 0) {
			continue;
		}
		snprintf(text, sizeof(text), "%s/%u", ip, ip_bits(p.ip.family));
		json_array_append_new(addresses, json_string(text));
		(void)ip_add(&p.ip, 1);
		json_array_append_new(gateways, json_string(ip_format(&p.ip, text)));
	}
	snprintf(mac, sizeof(mac), "02:00:%02x:%02x:%02x:%02x", n >> 24 & 255, n >> 16 & 255,
	         n >> 8 & 255, n & 255);
	return json_pack("{s:s, s:i, s:o, s:o}", "mac", mac, "mtu", (int)plane.config->mtu - 50,
	                 "addresses", addresses, "gateways", gateways);
}

void group_hand_over(struct group *g)
{
	char path[200];
	json_t *m, *addresses = json_array();
	static const char *const keys[] = { "ip4", "ip6" };

	/* Tags change the etag, and restart nothing. */
	json_int_t generation = json_integer_value(json_object_get(g->r->status, "generation"));

	snprintf(path, sizeof(path), "%s/ns/g%u", plane.config->run_dir, group_serial(g));
	for (int f = 0; f < 2; f++) {
		if (*model_str(g->r->status, keys[f])) {
			json_array_append(addresses, json_object_get(g->r->status, keys[f]));
		}
	}
	m = json_pack("{s:s, s:s, s:s, s:I, s:s, s:o, s:o, s:O, s:b, s:b}", "type", "group", "id",
	              g->r->key, "name", g->r->name, "generation", generation, "namespace", path,
	              "addresses", addresses, "resolvConf", resolv_conf(g), "group",
	              g->full ? g->full : g->r->doc, "secrets", g->full != NULL, "stopped",
	              g->down);
	json_object_set_new(m, "network", network_of(g));
	if (json_object_get(g->r->status, "tap")) {
		json_object_set_new(m, "tap", json_string("tap0"));
	}
	if (*model_str(g->r->status, "from")) {
		json_object_set(m, "from", json_object_get(g->r->status, "from"));
	}
	node_runtime_send(group_node(g), m, group_serial(g), g->ns_fd);
	if (g->full && node_at(1)) {
		json_decref(g->kept);
		g->kept = g->full;
	} else {
		json_decref(g->full);
	}
	g->full = NULL;
	g->handed = g->held = true;
	if (json_object_get(g->r->status, "secretsDue")) {
		json_object_del(g->r->status, "secretsDue");
		group_save(g);
	}
	if (g->ns_fd >= 0) {
		close(g->ns_fd);
		g->ns_fd = -1;
	}
	crash_point(CRASH_CONTROL_HANDED);
}

void group_send_stop(struct group *g, bool remove)
{
	group_tell(g, json_pack("{s:s, s:s, s:i, s:b, s:O*}", "type", "stop", "id", g->r->key,
	                        "graceSeconds", 30, "remove", remove, "from",
	                        json_object_get(g->r->status, "from")));
}

/* The list: groups that are ready to run come at once, others when their network stands; its end
 * names all, so that the runtime ends what is not ours any more and nothing else. */
void group_runtime_up(struct node *n)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (!g || g->guest || group_node(g) != n) {
			continue;
		}
		json_array_append_new(ids, json_string(g->r->key));
		if (*model_str(g->r->status, "from")) { /* the runtime may know it by that yet */
			json_array_append(ids, json_object_get(g->r->status, "from"));
		}
		if (g->deleting) {
			g->stopped = g->stop_sent = false;
			group_advance(g);
		} else if (g->attached && g->commits == 0 && !g->lost) {
			group_hand_over(g);
		}
	}
	node_runtime_send(n, json_pack("{s:s, s:o}", "type", "listEnd", "ids", ids), 0, -1);
}

/* What the runtime says of containers, with the times when it was first said; a restart's last state stays to be seen. */
static void take_states(struct resource *r, const json_t *told)
{
	json_t *next = json_deep_copy(told), *was = json_object_get(r->status, "containers"), *c;
	const char *name;
	char now[40];

	clock_format(clock_system.wall_ms(&clock_system), now, sizeof(now));
	json_object_foreach(next, name, c)
	{
		json_t *old = json_object_get(was, name),
		       *state = json_object_get(c, "currentState"),
		       *before = json_object_get(old, "currentState");
		bool again = json_integer_value(json_object_get(c, "restartCount")) !=
		             json_integer_value(json_object_get(old, "restartCount"));
		const char *is = model_str(state, "state");
		bool ended = strcmp(is, "Terminated") == 0;

		if (!json_is_object(state)) {
			continue;
		}
		if (before && (again || strcmp(is, model_str(before, "state")) != 0)) {
			json_object_set(c, "previousState", before);
		} else if (before) {
			json_object_update_missing(state, before);
			if (json_object_get(old, "previousState")) {
				json_object_set(c, "previousState",
				                json_object_get(old, "previousState"));
			}
			continue;
		}
		if (ended && *model_str(before, "startTime") && !again) {
			json_object_set(state, "startTime", json_object_get(before, "startTime"));
		}
		if (!json_object_get(state, "startTime") && strcmp(is, "Waiting") != 0) {
			json_object_set_new(state, "startTime", json_string(now));
		}
		if (ended && !json_object_get(state, "finishTime")) {
			json_object_set_new(state, "finishTime", json_string(now));
		}
	}
	json_object_set_new(r->status, "containers", next);
}

/* Have all its containers ended, and will nobody start them again? */
static bool rests(const struct resource *r)
{
	const json_t *told = json_object_get(r->status, "containers"), *c;
	bool failure = model_is(r->doc, "properties.restartPolicy", "OnFailure");
	size_t i;

	if (!failure && !model_is(r->doc, "properties.restartPolicy", "Never")) {
		return false;
	}
	json_array_foreach(model_at(r->doc, "properties.containers"), i, c)
	{
		const json_t *now = json_object_get(json_object_get(told, model_str(c, "name")),
		                                    "currentState");

		if (!model_is(now, "state", "Terminated") ||
		    (failure && json_integer_value(json_object_get(now, "exitCode")) != 0)) {
			return false;
		}
	}
	return i > 0;
}

/* Such a group costs nothing from then on, as in Azure (learn.microsoft.com, "Run containerized tasks with restart policies"). */
static void account(struct group *g)
{
	bool now = rests(g->r);

	if (now == json_is_true(json_object_get(g->r->status, "rests"))) {
		return;
	}
	if (now) {
		json_object_set_new(g->r->status, "rests", json_true());
		meter_end(g->r);
	} else {
		json_object_del(g->r->status, "rests");
		if (!g->down) {
			meter_begin(g->r);
		}
	}
	group_save(g);
}

static void refuse_tap(struct node *n, const char *id, const char *why)
{
	node_runtime_send(n, json_pack("{s:s, s:s, s:s}", "type", "tap", "id", id, "error", why), 0,
	                  -1);
}

/* The runtime wants a tap in the group's namespace, or (queues 0) none; the group is handed over again when it is there. */
static void take_tap(struct node *n, struct group *g, const json_t *m)
{
	const json_t *queues = json_object_get(m, "queues"), *owner = json_object_get(m, "owner");

	if (!json_is_integer(queues) || json_integer_value(queues) < 0 ||
	    json_integer_value(queues) > 256 ||
	    (owner && (!json_is_integer(owner) || json_integer_value(owner) < 0 ||
	               json_integer_value(owner) >= UINT32_MAX))) {
		refuse_tap(n, model_str(m, "id"),
		           "accepted are queues, 0 to 256, and owner, a user's number");
		return;
	}
	if (!g || g->guest || g->deleting) {
		refuse_tap(n, model_str(m, "id"), "no such group");
		return;
	}
	if (json_integer_value(queues) > 0) {
		json_object_set_new(g->r->status, "tap",
		                    json_pack("{s:O, s:O*}", "queues", queues, "owner", owner));
	} else {
		json_object_del(g->r->status, "tap");
	}
	group_save(g);
	network_send_group(g->r, group_ask(g, ASK_TAP));
}

void group_tap_done(struct group *g, bool ok, const char *text)
{
	if (g->deleting || !node_runtime(group_node(g))) {
		return; /* the next runtime is told with all else */
	}
	if (!ok) {
		refuse_tap(group_node(g), g->r->key, text);
	} else if (g->handed) {
		group_hand_over(g);
	}
}

/* A runtime is believed of groups on its node alone. */
void group_runtime_message(struct node *n, const json_t *m)
{
	struct resource *r = table_get(model_str(m, "id"));
	struct group *g = r && r->group && group_node(r->group) == n ? r->group : NULL;
	const char *state = model_str(m, "state");

	if (model_is(m, "type", "logs")) {
		logs_answer(n, m);
		return;
	}
	if (model_is(m, "type", "usage")) {
		if (g) {
			meter_reported(m);
		}
		return;
	}
	if (model_is(m, "type", "exec")) {
		exec_answer(n, m);
		return;
	}
	if (model_is(m, "type", "tap")) {
		take_tap(n, g, m);
		return;
	}
	if (!g || g->guest) {
		return;
	}
	if (json_object_get(m, "containers")) {
		take_states(r, json_object_get(m, "containers"));
		if (!g->deleting) {
			account(g);
		}
	}
	if (*model_str(m, "message")) {
		group_event(r, model_str(m, "event"), model_str(m, "message"));
	}
	if (strcmp(state, "started") == 0) {
		g->started = true;
		ngroup_member(r, true);
	} else if (strcmp(state, "ready") == 0 || strcmp(state, "notReady") == 0) {
		bool now = state[0] == 'r';

		g->started = g->started || now;
		if (g->ready != now || !json_object_get(r->status, "ready")) {
			g->ready = now;
			json_object_set_new(r->status, "ready", json_boolean(now));
			group_save(g);
			balancer_group(r, true);
			ngroup_member(r, true);
		}
	} else if (strcmp(state, "failed") == 0) {
		struct err e = ERR_INIT;

		err_set_at(&e, ERR_SYSTEM, "ContainerGroupStartFailed", "", "%s",
		           model_str(m, "message"));
		g->failed = true;
		operation_end(r->key, &e);
		ngroup_member(r, true);
	} else if (strcmp(state, "stopped") == 0) {
		g->stopped = true;
		g->ready = false;
	}
	group_advance(g);
}

void group_runtime_gone(struct node *n)
{
	n->runtime_left_ms = clock_system.now_ms(&clock_system);
	logs_gone(n);
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && !g->deleting && !g->guest && group_node(g) == n) {
			g->handed =
				false; /* its containers run on; it is told again when it is back */
			if (node_synced(n) && g->attached) {
				network_send_group(g->r, group_ask(g, ASK_ATTACH));
			}
		}
	}
}
