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
#include "netd/cni.h"
#include "netd/fabric.h"
#include "netd/group_parts.h"
#include "netd/guest.h"
#include "netd/home.h"
#include "netd/meter.h"
#include "netd/ngroup.h"
#include "netd/runtime.h"
#include "netd/spare.h"
#include "netd/spot.h"
#include "netd/zone.h"

#define EVENTS_MAX      20
#define RETRY_MIN_MS    100
#define RETRY_MAX_MS    3000
#define RUNTIME_WAIT_MS 3000

/* One transaction under way, with who waits for it. */
struct commit {
	struct caller_waits waiting;
	struct group *g;
};

static bool retries;     /* some group's attach failed */
static bool room_wanted; /* some group waits for room */

/* ---- helpers ---- */

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

static struct commit *commit_new(struct group *g, void (*reply)(void *arg, const struct err *e),
                                 void *arg)
{
	struct commit *c = malloc(sizeof(*c));

	if (!c) {
		abort();
	}
	c->g = g;
	caller_waits_add(&c->waiting, reply, arg);
	g->commits++;
	return c;
}

/* The transaction ended: answers who waits, gives the group. */
static struct group *commit_end(struct commit *c, const struct err *e)
{
	struct group *g = c->g;

	g->commits--;
	caller_waits_end(&c->waiting, e);
	free(c);
	return g;
}

void group_save(struct group *g)
{
	table_save(&g->r, 1, control_saved, NULL);
}

/* What was begun has ended: clients that poll, and who waits in here. */
static void ended(struct group *g, const struct err *e)
{
	struct group_wait *list = g->waiters;

	g->waiters = NULL;
	operation_end(g->r->key, e);
	while (list) {
		struct group_wait *w = list;

		list = w->next;
		w->fn(w->arg, g->r, e);
		free(w);
	}
}

static void send_group(struct group *g)
{
	if (g->guest) {
		guest_send(g->r, g->ns_fd, !g->attached);
	}
	network_send_group(g->r, group_ask(g, ASK_ATTACH));
}

/* ---- names ---- */

static void send_name(const struct group *g, bool add)
{
	zone_group(g->r, add, group_ask(g, add ? ASK_NAME : ASK_UNNAME));
}

void group_renamed(struct resource *r, const char *was)
{
	if (r->group && *was) {
		zone_public(0, was, NULL, 0, false);
		r->group->named = r->group->naming = false;
	}
}

static bool has_name(const struct group *g)
{
	return *model_str(g->r->status, "fqdn") != '\0' || zone_group_named(g->r);
}

/* ---- what is next ---- */

static void removed(void *arg, const struct err *e, uint64_t rev)
{
	struct group *g = arg;

	(void)rev;
	crash_point(CRASH_CONTROL_REMOVED);
	control_stored(e);
	if (e) { /* still stored, so still there: the next start goes on */
		ended(g, e);
		return;
	}
	if (strcmp(model_str(g->r->status, "evicted"), "Preempted") != 0) {
		tenant_count(g->r->id, g->r->doc, NULL);
	}
	network_unname(g->r);
	network_release(g->r);
	if (g->ns_fd >= 0) {
		close(g->ns_fd);
	}
	json_decref(g->full);
	json_decref(g->kept);
	group_number_drop(g);
	balancer_group(g->r, false);
	ngroup_member(g->r, false);
	cni_place(g->r, false);
	ended(g, NULL);
	meter_forget(g);
	table_remove(g->r);
	free(g);
}

/* A runtime that is away is waited for a little: its containers should end before their network. */
static bool runtime_expected(struct node *n)
{
	int64_t now = clock_system.now_ms(&clock_system);

	if (n && n->runtime_left_ms < 0) { /* netd has just begun: it will be back soon */
		n->runtime_left_ms = now;
	}
	return node_runtime(n) || (n && now - n->runtime_left_ms < RUNTIME_WAIT_MS);
}

static void remove_row(struct group *g)
{
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *usage = meter_take_row(g->r, &key);
	const struct store_op ops[] = { { .key = g->r->key }, { .key = key, .value = usage } };

	store_submit(plane.store, ops, usage ? 2 : 1, removed, g);
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
		group_drain(g);
	}
	if (!g->drained) {
		return; /* drained() goes on */
	}
	if (g->held && !g->stopped && runtime_expected(group_node(g))) {
		if (!g->stop_sent && node_runtime(group_node(g))) {
			group_send_stop(g, true);
			g->stop_sent = true;
		}
		return; /* the runtime's "stopped" goes on, or the end of its time */
	}
	if (!g->detached) {
		crash_point(CRASH_CONTROL_STOPPED);
		if (node_synced(group_node(g))) {
			meter_ask_group(g->r); /* its link goes with what it counted */
			network_drop_group(g->r, group_ask(g, ASK_DETACH));
		}
		return;
	}
	if (!g->removing) {
		g->removing = true;
		crash_point(CRASH_CONTROL_DETACHED);
		remove_row(g);
	}
}

/* Its containers are the runtime's own: it serves from now on. */
static void guest_runs(struct group *g)
{
	g->handed = g->started = true;
	if (!g->ready || !json_object_get(g->r->status, "ready")) {
		g->ready = true;
		json_object_set_new(g->r->status, "ready", json_true());
		balancer_group(g->r, true);
	}
}

void group_advance(struct group *g)
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
	if (g->guest && !g->handed) {
		guest_runs(g);
	}
	if (!g->handed) {
		crash_point(CRASH_CONTROL_ATTACHED);
		g->waits = !spot_fits(group_node(g)) && !g->held;
		room_wanted = room_wanted || g->waits;
		if (node_runtime(group_node(g)) && !g->lost && !g->waits) {
			group_hand_over(g);
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
		ended(g, NULL);
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
		r->group->guest = guest_of(r) != NULL;
		group_number_add(r->group);
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
		ended(g, e);
		return;
	}
	group_advance(g);
}

void group_apply(struct resource *r, json_t *full, struct resource *vnet,
                 void (*reply)(void *arg, const struct err *e), void *arg)
{
	bool update = r->group != NULL;
	struct group *g = make(r);
	struct resource *rows[2] = { r, vnet };

	json_decref(g->full);
	json_decref(g->kept);
	g->kept = NULL;
	g->full = full;
	json_object_set_new(r->status, "generation", json_integer((json_int_t)r->etag));
	if (json_equal(full, r->doc)) {
		json_object_del(r->status, "secretsDue");
		json_object_del(r->status, "secrets");
	} else {
		json_object_set_new(r->status, "secretsDue", json_true());
		json_object_set_new(r->status, "secrets", json_true());
	}
	g->handed = g->started = g->failed = g->lost = g->down = false;
	json_object_del(r->status, "rests"); /* its containers begin anew */
	meter_change(r);
	group_returns(g);
	crash_point(CRASH_CONTROL_ACCEPTED);
	if (!update) {
		g->attached = false;
	}
	/* The kernel's work runs beside the commit, which begins first: whom the message wakes may take this core. */
	table_save(rows, 2, applied, commit_new(g, reply, arg));
	if (node_synced(group_node(g))) {
		send_group(g);
	}
}

static void adopted(void *arg, const struct err *e, uint64_t rev)
{
	crash_point(CRASH_STANDBY_STORED);
	applied(arg, e, rev);
}

void group_adopt(struct resource *r, const char *was, void (*reply)(void *arg, const struct err *e),
                 void *arg)
{
	struct group *g = make(r);

	meter_end(r); /* as who it was */
	meter_begin(r);
	AUTO_FREE char *row = table_row(r);
	struct store_op ops[] = { { .key = was }, { .key = r->key, .value = row } };

	g->handed = g->started = false; /* until the runtime says so by the new id */
	g->named = g->naming = false;
	g->unnamed = !has_name(g);
	crash_point(CRASH_STANDBY_TAKEN);
	store_submit(plane.store, ops, 2, adopted, commit_new(g, reply, arg));
}

static void intended(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	crash_point(CRASH_CONTROL_INTENT);
	control_stored(e);
	struct group *g = commit_end(arg, e);

	if (e) {
		ended(g, e);
		return;
	}
	group_advance(g);
}

void group_wait(struct resource *r, void (*fn)(void *arg, struct resource *r, const struct err *e),
                void *arg)
{
	struct group_wait *w = malloc(sizeof(*w));

	if (!w) {
		abort();
	}
	*w = (struct group_wait){ fn, arg, r->group->waiters };
	r->group->waiters = w;
}

void group_give_namespace(struct resource *r, int fd)
{
	struct group *g = make(r);

	if (g->ns_fd >= 0) {
		close(g->ns_fd);
	}
	g->ns_fd = fd;
}

void group_check_network(struct resource *r, int fd)
{
	struct buf b = { 0 };

	guest_send(r, fd, true);
	if (fd >= 0) {
		close(fd);
	}
	put_u64(&b, group_ask(r->group, ASK_CHECK));
	put_u64(&b, group_serial(r->group));
	node_tell(group_node(r->group), MSG_OWNER_CHECK, &b, -1);
	buf_fini(&b);
}

void group_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct group *g = make(r);

	r->deleting = g->deleting = true;
	meter_end(r);
	ngroup_member(r, true);
	table_save(&r, 1, intended, commit_new(g, reply, arg));
}

void group_load(struct resource *r)
{
	struct group *g = make(r);

	if (strcmp(model_str(r->status, "evicted"), "Preempted") != 0) {
		tenant_count(r->id, NULL, r->doc);
	}
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
	g->held = !g->guest;
	if (meter_restore(r)) {
		group_save(g);
	}
	cni_place(r, true);
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
	json_object_del(r->status, "rests");
	(stop ? meter_end : meter_begin)(r);
	group_event(r, stop ? "Stopping" : "Starting", action);
	if (!stop) {
		g->started = g->ready = false;
	}
	balancer_group(r, true);
	group_tell(g, json_pack("{s:s, s:s}", "type", action, "id", r->key));
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

/* A runtime waits, but not for long, and what was refused is so for good. One that stands is repaired by the engine, or gone, which
 * it tells. */
static void guest_failed(struct group *g, const char *text)
{
	struct err e = ERR_INIT;

	if (g->attached || g->deleting) {
		log_warn("group.attach", LOG_STR("id", g->r->id), LOG_STR("error", text));
	} else if (strncmp(text, GUEST_REFUSED, strlen(GUEST_REFUSED)) == 0 ||
	           g->retry_ms >= RETRY_MAX_MS) {
		g->retry_ms = 0;
		err_set(&e, ERR_SYSTEM, 0, "%s", text);
		ended(g, &e);
	} else {
		attach_failed(g, text);
	}
}

/* True once for each node whose runtime is not waited for any more: what is deleted there goes on. */
static bool nobody_comes(void)
{
	bool some = false;
	struct node *n;

	for (size_t i = 0; (n = node_at(i)); i++) {
		bool waited = runtime_expected(n);

		some = some || (n->runtime_waited && !waited);
		n->runtime_waited = waited;
	}
	return some;
}

void group_retry(int64_t now_ms)
{
	bool left = false;

	bool room = room_wanted; /* those that wait for it, and have it now, go on */

	room_wanted = false;
	retries = nobody_comes() || retries;
	for (size_t i = 0; (retries || room) && i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (g && g->waits && room) {
			group_advance(g); /* or waits on */
		}
		if (g && g->deleting && !runtime_expected(group_node(g))) {
			group_advance(g);
		}
		if (!g || !g->retry_ms || g->deleting) {
			continue;
		}
		left = true;
		if (g->retry_at_ms <= now_ms && node_synced(group_node(g))) {
			g->retry_at_ms = INT64_MAX;
			send_group(g);
		}
	}
	retries = left;
}

/* The engine of the node has its list. */
static void synced(struct node *n)
{
	*(n == node_own() ? &plane.engine_synced : &n->synced) = true;
	if (n->fenced) { /* it has nothing any more that is another's */
		n->fenced = false;
		node_save(n);
		fabric_gateways();
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct group *x = plane.v[i]->group;

		if (!x || group_node(x) != n) {
			continue;
		}
		if (x->deleting) {
			/* Its deletion may have begun after the list was sent: it is asked for again. */
			group_advance(x);
		} else {
			send_group(x); /* for the descriptor */
		}
	}
}

static void attached(struct group *g)
{
	if (!g->attached) {
		g->attached = true;
		balancer_group(g->r, true);
	}
}

/* Nodes that public addresses come in by know the way to the group of that number. */
static void reached(void *serial)
{
	struct group *g = group_by_serial((uint32_t)(uintptr_t)serial);

	if (g) {
		attached(g);
		group_advance(g);
	}
}

void group_engine_done(struct node *n, uint64_t request, bool ok, const char *text, int fd)
{
	enum ask ask = (enum ask)(request >> 56);

	if (ask == ASK_SPARE) {
		spare_done(n, (uint32_t)request, ok);
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	struct group *g = ask == ASK_SYNC ? NULL : group_by_serial((uint32_t)request);

	if (ask == ASK_SYNC) {
		synced(n);
	}
	if (!g || group_node(g) != n) { /* it was moved meanwhile */
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	if (ask == ASK_TAP) {
		if (ok && fd >= 0) {
			if (g->ns_fd >= 0) {
				close(g->ns_fd);
			}
			g->ns_fd = fd;
			fd = -1;
		}
		group_tap_done(g, ok, text);
	} else if (ask == ASK_CHECK) {
		cni_checked(g->r, ok, text);
	} else if (ask == ASK_DETACH) {
		g->detached = true;
	} else if (ask == ASK_ATTACH && ok) {
		if (g->ns_fd >= 0) {
			close(g->ns_fd);
		}
		g->ns_fd = fd;
		fd = -1;
		g->retry_ms = 0;
		if (n == node_own() && home_of(group_vnet(g)) == n &&
		    !home_branch(group_vnet(g), 0)) {
			attached(g);
		} else { /* others have been told the way there */
			fabric_wait(reached, (void *)(uintptr_t)group_serial(g));
			return;
		}
	} else if (ask == ASK_ATTACH && g->guest) {
		guest_failed(g, text);
	} else if (ask == ASK_ATTACH) {
		attach_failed(g, text);
	}
	if (fd >= 0) {
		close(fd);
	}
	group_advance(g);
}

void group_engine_up(struct node *n)
{
	*(n == node_own() ? &plane.engine_synced : &n->synced) = false;
	spare_forget(n);
	node_tell(n, MSG_SYNC_BEGIN, NULL, -1);
}

void group_engine_list(struct node *n)
{
	struct buf b = { 0 };

	fabric_list(n);
	for (size_t i = 0; i < plane.n; i++) {
		const struct group *g = plane.v[i]->group;

		if (!g || g->deleting) {
			continue;
		}
		if (group_node(g) != n) {
			if (node_ingress(n) || home_has(group_vnet(g), n)) {
				network_send_ways(g->r);
			}
			continue;
		}
		if (g->guest) {
			guest_send(g->r, g->ns_fd, !g->attached);
		}
		network_send_group(g->r, 0);
	}
	put_u64(&b, (uint64_t)ASK_SYNC << 56);
	node_tell(n, MSG_SYNC_END, &b, -1);
	buf_fini(&b);
}

void group_dns_done(uint64_t request)
{
	enum ask ask = (enum ask)(request >> 56);
	struct group *g = group_by_serial((uint32_t)request);

	if (!g) {
		return;
	}
	if (ask == ASK_NAME) {
		g->naming = false;
		g->named = true;
	} else if (ask == ASK_UNNAME) {
		g->unnamed = g->deleting;
	}
	group_advance(g);
}

void zone_dns_up(struct node *n)
{
	bool own = n == node_own();

	zone_list_begin(n);
	for (size_t i = 0; i < plane.n; i++) {
		struct group *g = plane.v[i]->group;

		if (!g) {
			network_publish_public(plane.v[i], true);
			continue;
		}
		g->naming = g->naming && !own;
		if (has_name(g) && !g->deleting && !g->down && g->ready) {
			zone_group(g->r, true, own ? group_ask(g, ASK_NAME) : 0);
		} else if (own && g->deleting && !g->unnamed) {
			g->unnamed = true;
			group_advance(g);
			i = (size_t)-1; /* the table may have changed */
			if (plane.n == 0) {
				break;
			}
		}
	}
	zone_list_end(n);
}
