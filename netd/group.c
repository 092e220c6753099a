/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The life of a container group: stored beside attached, handed to the runtime, named when it is
 * ready; and back in the opposite order. advance() looks at what is true and does what is next;
 * every arrow is a crash point. Also operations, as clients poll them. See plane.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/api/logs.h"
#include "netd/balancer.h"
#include "netd/drain.h"
#include "netd/plane.h"
#include "netd/runtime.h"

#define EVENTS_MAX      20
#define RETRY_MIN_MS    100
#define RETRY_MAX_MS    3000
#define RUNTIME_WAIT_MS 3000
#define DRAIN_S         30

enum ask {
	ASK_NONE,
	ASK_ATTACH,
	ASK_DETACH,
	ASK_NAME,
	ASK_UNNAME,
	ASK_SYNC
};

/* One transaction under way, with who waits for it. */
struct commit {
	struct group *g;
	void (*reply)(void *arg, const struct err *e);
	void *arg;
};

struct group {
	struct resource *r;
	json_t *full; /* document with secrets, until the runtime has it */
	int ns_fd;
	bool attached, handed, started, ready, named, naming;
	bool deleting, unnamed, stopped, detached, removing, failed, down;
	bool lost; /* its secrets, when control ended before the runtime had them */
	bool stop_sent;
	bool draining, drained; /* flows of load balancers */
	bool held; /* the runtime may have it: it was handed over, by this control or one before */
	int64_t retry_ms, retry_at_ms; /* of an attach that failed; 0: it did not */
	unsigned commits; /* under way; the group is as the store says when there are none */
};

static bool retries;                 /* some group's attach failed */
static int64_t runtime_left_ms = -1; /* -1: it was not there yet */

static void advance(struct group *g);

/* ---- helpers ---- */

static uint32_t serial(const struct group *g)
{
	return (uint32_t)json_integer_value(json_object_get(g->r->status, "serial"));
}

static uint64_t ask_id(const struct group *g, enum ask ask)
{
	return (uint64_t)ask << 56 | serial(g);
}

/* Groups by number: answers of engine and dns carry it. New ones come last. */
static struct group **numbered;
static size_t n_numbered, cap_numbered;

static size_t number_at(uint32_t n)
{
	size_t lo = 0, hi = n_numbered;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (serial(numbered[mid]) < n) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct group *by_serial(uint32_t n)
{
	size_t i = number_at(n);

	return i < n_numbered && serial(numbered[i]) == n ? numbered[i] : NULL;
}

static void number_add(struct group *g)
{
	size_t i = number_at(serial(g));

	if (n_numbered == cap_numbered) {
		cap_numbered = cap_numbered ? cap_numbered * 2 : 64;
		numbered = realloc(numbered, cap_numbered * sizeof(struct group *));
		if (!numbered) {
			abort();
		}
	}
	memmove(&numbered[i + 1], &numbered[i], (n_numbered - i) * sizeof(struct group *));
	numbered[i] = g;
	n_numbered++;
}

static void number_drop(const struct group *g)
{
	size_t i = number_at(serial(g));

	memmove(&numbered[i], &numbered[i + 1], (n_numbered - i - 1) * sizeof(struct group *));
	n_numbered--;
}

void group_event(struct resource *r, const char *name, const char *message)
{
	json_t *list = json_object_get(r->status, "events");
	char now[40];

	if (!list) {
		list = json_array();
		json_object_set_new(r->status, "events", list);
	}
	clock_format(clock_system.wall_ms(&clock_system), now, sizeof(now));
	json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "count", 1,
	                                      "firstTimestamp", now, "lastTimestamp", now, "name",
	                                      name, "message", message, "type", "Normal"));
	while (json_array_size(list) > EVENTS_MAX) {
		json_array_remove(list, 0);
	}
}

const char *group_state(const struct resource *r)
{
	const struct group *g = r->group;

	if (!g) {
		return "Succeeded";
	}
	return g->deleting            ? "Deleting"
	       : g->failed || g->lost ? "Failed"
	       : g->started           ? "Succeeded"
	                              : "Creating";
}

bool group_takes_flows(const struct resource *r)
{
	const struct group *g = r->group;

	return g && g->ready && !g->deleting && !g->down;
}

static void save_status(struct group *g)
{
	table_save(&g->r, 1, control_saved, NULL);
}

static struct commit *commit_new(struct group *g, void (*reply)(void *arg, const struct err *e),
                                 void *arg)
{
	struct commit *c = malloc(sizeof(*c));

	if (!c) {
		abort();
	}
	*c = (struct commit){ g, reply, arg };
	g->commits++;
	return c;
}

/* The transaction ended: answers who waits, gives the group. */
static struct group *commit_end(struct commit *c, const struct err *e)
{
	struct group *g = c->g;

	g->commits--;
	c->reply(c->arg, e);
	free(c);
	return g;
}

/* ---- names ---- */

static void send_name(const struct group *g, bool add)
{
	static const char *const keys[] = { "pub4", "pub6" };
	struct ip ips[2];
	size_t n = 0;

	for (size_t i = 0; add && i < ARRAY_N(keys); i++) {
		ips[n] = table_ip(g->r->status, keys[i]);
		n += ips[n].family != 0;
	}
	network_publish(ask_id(g, add ? ASK_NAME : ASK_UNNAME), model_str(g->r->status, "fqdn"),
	                ips, n);
}

void group_renamed(struct resource *r, const char *was)
{
	if (r->group && *was) {
		network_publish(0, was, NULL, 0);
		r->group->named = r->group->naming = false;
	}
}

static bool has_name(const struct group *g)
{
	return *model_str(g->r->status, "fqdn") != '\0';
}

/* ---- runtime ---- */

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

static void hand_over(struct group *g)
{
	char path[200];
	json_t *m, *addresses = json_array();
	static const char *const keys[] = { "ip4", "ip6" };

	/* Tags change the etag, and restart nothing. */
	json_int_t generation = json_integer_value(json_object_get(g->r->status, "generation"));

	snprintf(path, sizeof(path), "%s/ns/g%u", plane.config->run_dir, serial(g));
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
	runtime_send(m, g->ns_fd);
	json_decref(g->full);
	g->full = NULL;
	g->handed = g->held = true;
	if (json_object_get(g->r->status, "secretsDue")) {
		json_object_del(g->r->status, "secretsDue");
		save_status(g);
	}
	if (g->ns_fd >= 0) {
		close(g->ns_fd);
		g->ns_fd = -1;
	}
	crash_point(CRASH_CONTROL_HANDED);
}

static void send_stop(struct group *g, bool remove)
{
	runtime_send(json_pack("{s:s, s:s, s:i, s:b}", "type", "stop", "id", g->r->key,
	                       "graceSeconds", 30, "remove", remove),
	             -1);
}

/* ---- what is next ---- */

static void removed(void *arg, const struct err *e, uint64_t rev)
{
	struct group *g = arg;

	(void)rev;
	crash_point(CRASH_CONTROL_REMOVED);
	control_stored(e);
	if (e) { /* still stored, so still there: the next start goes on */
		operation_end(g->r->key, e);
		return;
	}
	AUTO_FREE char *key = strdup(g->r->key);
	tenant_count(g->r->id, g->r->doc, NULL);
	network_unname(g->r);
	network_release(g->r);
	if (g->ns_fd >= 0) {
		close(g->ns_fd);
	}
	json_decref(g->full);
	number_drop(g);
	balancer_group(g->r, false);
	table_remove(g->r);
	free(g);
	operation_end(key, NULL);
}

/* A runtime that is away is waited for a little: its containers should end before their network. */
static bool runtime_expected(void)
{
	int64_t now = clock_system.now_ms(&clock_system);

	if (runtime_left_ms < 0) { /* netd has just begun: it will be back soon */
		runtime_left_ms = now;
	}
	return runtime_connected() || now - runtime_left_ms < RUNTIME_WAIT_MS;
}

/* ---- flows of load balancers ---- */

static struct group *by_serial(uint32_t n);

static void drained(void *arg)
{
	struct group *g = by_serial((uint32_t)(uintptr_t)arg);

	if (g) {
		g->drained = true;
		advance(g);
	}
}

/* No new flows from now on; its containers are told to stop when the old ones have ended. The end of that
 * time is stored: a restart does not begin it anew. */
static void drain(struct group *g)
{
	int64_t now = clock_system.wall_ms(&clock_system),
		until = json_integer_value(json_object_get(g->r->status, "drainUntil"));
	struct drain d = { .vnet = (uint32_t)json_integer_value(
				   json_object_get(g->r->status, "vnet")) };
	uint32_t seconds;

	if (g->draining) {
		return;
	}
	g->draining = true;
	if (!balancer_leads_to(g->r, &seconds)) {
		g->drained = true;
		return;
	}
	if (!until) {
		json_int_t grace = json_integer_value(json_object_get(g->r->status, "grace"));

		seconds = seconds ? seconds : grace > 0 ? (uint32_t)grace : DRAIN_S;
		json_object_set_new(g->r->status, "drainUntil",
		                    json_integer(now + (int64_t)seconds * 1000));
		save_status(g);
	} else {
		seconds = until > now ? (uint32_t)((until - now + 999) / 1000) : 0;
	}
	d.backend = table_ip(g->r->status, "ip4");
	struct ip ip6 = table_ip(g->r->status, "ip6");
	if (ip6.family && d.backend.family) { /* both families end together, IPv6 first */
		drain_begin(&(struct drain){ .vnet = d.vnet, .backend = ip6 }, seconds, NULL, NULL);
	}
	d.backend = d.backend.family ? d.backend : ip6;
	drain_begin(&d, seconds, drained, (void *)(uintptr_t)serial(g));
}

static void take_down(struct group *g)
{
	if (has_name(g) && !g->unnamed) {
		send_name(g, false);
		if (plane.dns) {
			return; /* group_dns_done() goes on */
		}
		g->unnamed = true; /* a dns role that comes up gets a list without it */
	}
	crash_point(CRASH_CONTROL_UNNAMED);
	if (!g->drained) {
		drain(g);
	}
	if (!g->drained) {
		return; /* drained() goes on */
	}
	if (g->held && !g->stopped && runtime_expected()) {
		if (!g->stop_sent && runtime_connected()) {
			send_stop(g, true);
			g->stop_sent = true;
		}
		return; /* the runtime's "stopped" goes on, or the end of its time */
	}
	if (!g->detached) {
		crash_point(CRASH_CONTROL_STOPPED);
		if (plane.engine_synced) {
			network_drop_group(g->r, ask_id(g, ASK_DETACH));
		}
		return;
	}
	if (!g->removing) {
		g->removing = true;
		crash_point(CRASH_CONTROL_DETACHED);
		store_submit(plane.store, &(struct store_op){ .key = g->r->key }, 1, removed, g);
	}
}

static void advance(struct group *g)
{
	if (g->deleting) {
		if (g->commits == 0) {
			take_down(g);
		}
		return;
	}
	if (g->commits || !g->attached) {
		return;
	}
	if (!g->handed) {
		crash_point(CRASH_CONTROL_ATTACHED);
		if (runtime_connected() && !g->lost) {
			hand_over(g);
		}
		return;
	}
	if (g->ready && has_name(g) && !g->named && !g->naming) {
		g->naming = true;
		send_name(g, true);
	}
	if (g->named && (!g->ready || g->down)) {
		g->named = false;
		send_name(g, false);
	}
	if (g->started && (g->named || !has_name(g) || !g->ready)) {
		crash_point(CRASH_CONTROL_NAMED);
		operation_end(g->r->key, NULL);
	}
}

/* ---- from outside ---- */

static struct group *make(struct resource *r)
{
	if (!r->group) {
		r->group = calloc(1, sizeof(*r->group));
		if (!r->group) {
			abort();
		}
		r->group->r = r;
		r->group->ns_fd = -1;
		number_add(r->group);
	}
	return r->group;
}

static void applied(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	crash_point(CRASH_CONTROL_COMMITTED);
	control_stored(e);
	struct group *g = commit_end(arg, e);

	if (e) { /* not stored: it never was; control starts again from what is */
		operation_end(g->r->key, e);
		return;
	}
	advance(g);
}

void group_apply(struct resource *r, json_t *full, struct resource *vnet,
                 void (*reply)(void *arg, const struct err *e), void *arg)
{
	bool update = r->group != NULL;
	struct group *g = make(r);
	struct resource *rows[2] = { r, vnet };

	json_decref(g->full);
	g->full = full;
	json_object_set_new(r->status, "generation", json_integer((json_int_t)r->etag));
	if (json_equal(full, r->doc)) {
		json_object_del(r->status, "secretsDue");
	} else {
		json_object_set_new(r->status, "secretsDue", json_true());
	}
	g->handed = g->started = g->failed = g->lost = g->down = false;
	crash_point(CRASH_CONTROL_ACCEPTED);
	table_save(rows, 2, applied, commit_new(g, reply, arg));
	if (!update) {
		g->attached = false;
	}
	/* The kernel's work runs beside the commit. */
	if (plane.engine_synced) {
		network_send_group(r, ask_id(g, ASK_ATTACH));
	}
}

static void intended(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	crash_point(CRASH_CONTROL_INTENT);
	control_stored(e);
	struct group *g = commit_end(arg, e);

	if (e) {
		operation_end(g->r->key, e);
		return;
	}
	advance(g);
}

void group_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct group *g = make(r);

	r->deleting = g->deleting = true;
	table_save(&r, 1, intended, commit_new(g, reply, arg));
}

void group_load(struct resource *r)
{
	struct group *g = make(r);

	tenant_count(r->id, NULL, r->doc);
	network_restore(r);
	g->deleting = r->deleting;
	g->down = json_is_true(json_object_get(r->status, "stopped"));
	if (!json_object_get(r->status, "generation")) { /* stored before there was one */
		json_object_set_new(r->status, "generation", json_integer((json_int_t)r->etag));
	}
	/* Until a runtime says otherwise, what was ready is: a restart takes no name away. */
	g->ready = json_is_true(json_object_get(r->status, "ready"));
	if (json_object_get(r->status, "secretsDue") && !g->deleting) {
		/* They were in memory only, and the runtime does not have them. */
		g->lost = true;
		group_event(r, "SecretsLost",
		            "netd ended before the runtime had the group's secrets; send it again");
	}
	/* A deletion asks the runtime, also before it is heard of. */
	g->held = true;
	if (!has_name(g)) {
		g->unnamed = true;
	}
}

void group_action(struct resource *r, const char *action,
                  void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct group *g = make(r);
	bool stop = strcmp(action, "stop") == 0;

	g->down = stop;
	json_object_set_new(r->status, "stopped", json_boolean(stop));
	group_event(r, stop ? "Stopping" : "Starting", action);
	if (!stop) {
		g->started = g->ready = false;
	}
	balancer_group(r, true);
	runtime_send(json_pack("{s:s, s:s}", "type", action, "id", r->key), -1);
	table_save(&r, 1, applied, commit_new(g, reply, arg)); /* advances */
}

/* The engine goes on repairing; it is asked again until the network stands. */
static void attach_failed(struct group *g, const char *text)
{
	if (!g->retry_ms) {
		log_error("group.attach", LOG_STR("id", g->r->id), LOG_STR("error", text));
		group_event(g->r, "AttachFailed", "the network is being repaired");
	}
	g->retry_ms = !g->retry_ms                 ? RETRY_MIN_MS
	              : g->retry_ms < RETRY_MAX_MS ? g->retry_ms * 2
	                                           : g->retry_ms;
	g->retry_at_ms = clock_system.now_ms(&clock_system) + g->retry_ms;
	retries = true;
}

void group_retry(int64_t now_ms)
{
	static bool waited = true;
	bool left = false;

	if (waited != runtime_expected()) {
		waited = !waited;
		retries = retries || !waited;
	}
	for (size_t i = 0; retries && i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && g->deleting && !waited) {
			advance(g);
		}
		if (!g || !g->retry_ms || g->deleting) {
			continue;
		}
		left = true;
		if (g->retry_at_ms <= now_ms && plane.engine_synced) {
			g->retry_at_ms = INT64_MAX;
			network_send_group(g->r, ask_id(g, ASK_ATTACH));
		}
	}
	retries = left;
}

void group_engine_done(uint64_t request, bool ok, const char *text, int fd)
{
	enum ask ask = (enum ask)(request >> 56);
	struct group *g = ask == ASK_SYNC ? NULL : by_serial((uint32_t)request);

	if (ask == ASK_SYNC) {
		plane.engine_synced = true;
		for (size_t i = 0; i < plane.n; i++) {
			struct group *x = plane.v[i]->group;

			if (x && x->deleting) {
				/* Its deletion may have begun after the list was sent: it is asked for again. */
				advance(x);
			} else if (x) {
				network_send_group(x->r,
				                   ask_id(x, ASK_ATTACH)); /* for the descriptor */
			}
		}
	}
	if (!g) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	if (ask == ASK_DETACH) {
		g->detached = true;
	} else if (ask == ASK_ATTACH && ok) {
		if (g->ns_fd >= 0) {
			close(g->ns_fd);
		}
		g->ns_fd = fd;
		fd = -1;
		if (!g->attached) {
			g->attached = true;
			balancer_group(g->r, true);
		}
		g->retry_ms = 0;
	} else if (ask == ASK_ATTACH) {
		attach_failed(g, text);
	}
	if (fd >= 0) {
		close(fd);
	}
	advance(g);
}

void group_engine_up(void)
{
	plane.engine_synced = false;
	channel_send(plane.engine, MSG_SYNC_BEGIN, NULL, -1);
}

void group_engine_list(void)
{
	struct buf b = { 0 };

	network_send_base();
	for (size_t i = 0; i < plane.n; i++) {
		const struct group *g = plane.v[i]->group;

		if (g && !g->deleting) {
			network_send_group(g->r, 0);
		}
	}
	put_u64(&b, (uint64_t)ASK_SYNC << 56);
	channel_send(plane.engine, MSG_SYNC_END, &b, -1);
	buf_fini(&b);
}

void group_dns_done(uint64_t request)
{
	enum ask ask = (enum ask)(request >> 56);
	struct group *g = by_serial((uint32_t)request);

	if (!g) {
		return;
	}
	if (ask == ASK_NAME) {
		g->naming = false;
		g->named = true;
	} else if (ask == ASK_UNNAME) {
		g->unnamed = g->deleting;
	}
	advance(g);
}

void group_dns_up(void)
{
	struct buf b = { 0 };

	channel_send(plane.dns, MSG_NAMES_BEGIN, NULL, -1);
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (!g) {
			network_publish_public(plane.v[i], true);
			continue;
		}
		g->naming = false;
		if (has_name(g) && !g->deleting && !g->down && g->ready) {
			send_name(g, true);
		} else if (g->deleting && !g->unnamed) {
			g->unnamed = true;
			advance(g);
			i = (size_t)-1; /* the table may have changed */
			if (plane.n == 0) {
				break;
			}
		}
	}
	put_u64(&b, 0);
	channel_send(plane.dns, MSG_NAMES_END, &b, -1);
	buf_fini(&b);
}

/* The list: groups that are ready to run come at once, others when their network stands; its end
 * names all, so that the runtime ends what is not ours any more and nothing else. */
void group_runtime_up(void)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (!g) {
			continue;
		}
		json_array_append_new(ids, json_string(g->r->key));
		if (g->deleting) {
			g->stopped = g->stop_sent = false;
			advance(g);
		} else if (g->attached && g->commits == 0 && !g->lost) {
			hand_over(g);
		}
	}
	runtime_send(json_pack("{s:s, s:o}", "type", "listEnd", "ids", ids), -1);
}

void group_runtime_message(const json_t *m)
{
	struct resource *r = table_get(model_str(m, "id"));
	struct group *g = r ? r->group : NULL;
	const char *state = model_str(m, "state");

	if (model_is(m, "type", "logs")) {
		logs_answer(m);
		return;
	}
	if (!g) {
		return;
	}
	if (json_object_get(m, "containers")) {
		json_object_set(r->status, "containers", json_object_get(m, "containers"));
	}
	if (*model_str(m, "message")) {
		group_event(r, model_str(m, "event"), model_str(m, "message"));
	}
	if (strcmp(state, "started") == 0) {
		g->started = true;
	} else if (strcmp(state, "ready") == 0 || strcmp(state, "notReady") == 0) {
		bool now = state[0] == 'r';

		g->started = g->started || now;
		if (g->ready != now || !json_object_get(r->status, "ready")) {
			g->ready = now;
			json_object_set_new(r->status, "ready", json_boolean(now));
			save_status(g);
			balancer_group(r, true);
		}
	} else if (strcmp(state, "failed") == 0) {
		struct err e = ERR_INIT;

		err_set_at(&e, ERR_SYSTEM, "ContainerGroupStartFailed", "", "%s",
		           model_str(m, "message"));
		g->failed = true;
		operation_end(r->key, &e);
	} else if (strcmp(state, "stopped") == 0) {
		g->stopped = true;
		g->ready = false;
	}
	advance(g);
}

void group_runtime_gone(void)
{
	runtime_left_ms = clock_system.now_ms(&clock_system);
	logs_sweep(INT64_MAX);
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && !g->deleting) {
			g->handed =
				false; /* its containers run on; it is told again when it is back */
			if (plane.engine_synced && g->attached) {
				network_send_group(g->r, ask_id(g, ASK_ATTACH));
			}
		}
	}
}
