/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The controller of NGroups. See ngroup.h.
 */
#include "netd/ngroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/balancer.h"
#include "netd/ngroup_parts.h"
#include "netd/profile.h"

#define MAKE_MAX   100  /* members begun at a stretch */
#define RETRY_MS   3000 /* after a member could not be made */
#define PATIENCE_S 600  /* a new member that is not ready by then has failed, */
#define UNWELL_S   60   /* and one that was there before an update */

struct ngroup {
	struct resource *r;
	struct resource **v; /* members */
	int64_t *since;      /* when each was first seen not ready; 0: it is */
	size_t n, cap;
	bool dirty;
	int64_t retry_ms;   /* 0: nothing to try again */
	struct err refused; /* why a member could not be made; msg "" when they can */
	int64_t waits_ms;   /* until something is due without an event: a pause, patience */
};

static struct ngroup **all;
static size_t n_all;
static struct loop_timer *timer;

static json_t *rollout_of(const struct resource *r)
{
	return json_object_get(r->status, "rollout");
}

static bool rolling(const struct resource *r)
{
	return strcmp(model_str(rollout_of(r), "state"), "Running") == 0;
}

static int64_t wall(void)
{
	return clock_system.wall_ms(&clock_system);
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

static void save(struct resource *r)
{
	table_save(&r, 1, control_saved, NULL);
}

static void touch(struct ngroup *g);

/* ---- members ---- */

static void add_member(struct ngroup *g, struct resource *m)
{
	for (size_t i = 0; i < g->n; i++) {
		if (g->v[i] == m) {
			return;
		}
	}
	if (g->n == g->cap) {
		g->cap = g->cap ? g->cap * 2 : 16;
		g->v = realloc(g->v, g->cap * sizeof(struct resource *));
		g->since = realloc(g->since, g->cap * sizeof(*g->since));
		if (!g->v || !g->since) {
			abort();
		}
	}
	g->since[g->n] = 0;
	g->v[g->n++] = m;
}

static struct ngroup *of_member(const struct resource *m)
{
	const char *key = model_str(m->status, "orchestrator");
	const struct resource *r = *key ? table_get(key) : NULL;

	return r ? r->ngroup : NULL;
}

/* Somebody else deleted it: that is one less, unless the count is to be kept. */
static void lost_member(struct ngroup *g, const struct resource *m)
{
	json_t *elastic = model_at(g->r->doc, "properties.elasticProfile");
	json_int_t n = json_integer_value(json_object_get(elastic, "desiredCount"));

	if (json_object_get(m->status, "retired") || ng_standby(g->r) ||
	    json_is_true(json_object_get(elastic, "maintainDesiredCount")) || n == 0 ||
	    g->r->deleting) {
		return;
	}
	json_object_set_new(elastic, "desiredCount", json_integer(n - 1));
	g->r->etag++;
	save(g->r);
}

void ngroup_member(struct resource *m, bool there)
{
	struct ngroup *g = of_member(m);

	if (!g) {
		return;
	}
	if (there) {
		add_member(g, m);
		if (m->deleting && !json_object_get(m->status, "counted")) {
			lost_member(g, m);
			json_object_set_new(m->status, "counted", json_true());
		}
	} else {
		for (size_t i = 0; i < g->n; i++) {
			if (g->v[i] == m) {
				g->v[i] = g->v[--g->n];
				g->since[i] = g->since[g->n];
			}
		}
	}
	touch(g);
}

/* The zone with the fewest members. */
static const char *next_zone(const struct ngroup *g)
{
	json_t *zones = ng_zones(g->r), *x;
	size_t i, least = SIZE_MAX;
	const char *best = "";

	json_array_foreach(zones, i, x)
	{
		const char *zone = json_string_value(x);
		size_t n = 0;

		for (size_t k = 0; k < g->n; k++) {
			n += !g->v[k]->deleting &&
			     strcmp(json_string_value(json_array_get(
					    json_object_get(g->v[k]->doc, "zones"), 0))
			                    ? json_string_value(json_array_get(
						      json_object_get(g->v[k]->doc, "zones"), 0))
			                    : "",
			            zone) == 0;
		}
		if (n < least) {
			least = n;
			best = zone;
		}
	}
	return best;
}

static int make_member(struct ngroup *g, const char *template, struct err *e)
{
	char uuid[37], key[600], name[80], id[800];
	struct change change = { 0 };
	struct model_id parts;

	random_uuid(&random_system, uuid);
	snprintf(name, sizeof(name), "%.27s%s", ng_prefix(g->r), uuid);
	snprintf(key, sizeof(key), "%.*s", (int)(strstr(g->r->id, "/providers/") - g->r->id),
	         g->r->id);
	snprintf(id, sizeof(id), "%s/providers/Microsoft.ContainerInstance/containerGroups/%s", key,
	         name);
	json_auto_t *doc = ng_member(g->r, name, next_zone(g), e);
	if (!doc || model_id_parse(id, &parts) < 0) {
		return -1;
	}
	json_auto_t *status = json_pack("{s:s, s:s, s:o, s:i, s:I}", "orchestrator", g->r->key,
	                                "template", template, "pools", ng_pools(g->r), "grace",
	                                (int)ng_grace(g->r), "madeAt", (json_int_t)wall());
	change.status = status;
	if (change_put(&parts, id, doc, nobody, NULL, &change, e) < 0) {
		return -1;
	}
	crash_point(CRASH_NGROUP_MADE);
	add_member(g, change.r);
	balancer_group(change.r, true);
	return 0;
}

static void delete_member(struct resource *m)
{
	/* Noted before its deletion is stored: a restart must not take it for somebody else's. */
	json_object_set_new(m->status, "retired", json_true());
	group_delete(m, nobody, NULL);
	crash_point(CRASH_NGROUP_DELETED);
}

/* Its flows have ended: the new template comes. */
static void update_member(struct resource *m)
{
	struct ngroup *g = of_member(m);
	struct change change = { 0 };
	struct err e = ERR_INIT;
	struct model_id parts;

	if (!g || m->deleting || model_id_parse(m->id, &parts) < 0) {
		return;
	}
	AUTO_FREE char *template = ng_template(g->r), *id = strdup(m->id);
	json_auto_t *doc = ng_member(
		g->r, m->name,
		json_string_value(json_array_get(json_object_get(m->doc, "zones"), 0)), &e);
	json_auto_t *status = json_pack("{s:s, s:n, s:I, s:i}", "template", template, "updating",
	                                "madeAt", (json_int_t)wall(), "grace", (int)ng_grace(g->r));
	change.status = status;
	if (!doc || change_put(&parts, id, doc, nobody, NULL, &change, &e) < 0) {
		json_t *x = rollout_of(g->r);

		log_warn("ngroup.update", LOG_STR("id", m->id), LOG_STR("error", e.msg));
		json_object_set_new(x, "state", json_string("Failed"));
		json_object_set_new(x, "error", json_string(e.msg));
		json_object_del(m->status, "updating");
		group_restore_flows(m);
		save(g->r);
	}
	crash_point(CRASH_NGROUP_UPDATED);
	touch(g);
}

static void begin_update(struct resource *m)
{
	json_object_set_new(m->status, "updating", json_true());
	save(m);
	group_withdraw(m, update_member);
}

/* ---- rolling updates ---- */

static void set_time(json_t *x, const char *name)
{
	char now[40];

	clock_format(wall(), now, sizeof(now));
	json_object_set_new(x, name, json_string(now));
}

static void begin_rollout(struct ngroup *g, const char *template)
{
	json_t *x = json_pack("{s:s, s:s, s:s, s:b}", "state", "Running", "lastAction", "Start",
	                      "template", template, "open", 0);

	set_time(x, "startTime");
	set_time(x, "lastActionTime");
	json_object_set_new(g->r->status, "rollout", x);
	log_info("ngroup.rollout", LOG_STR("id", g->r->id), LOG_STR("template", template));
}

static void end_rollout(struct ngroup *g, const char *state, const char *error)
{
	json_t *x = rollout_of(g->r);

	json_object_set_new(x, "state", json_string(state));
	json_object_del(x, "open");
	set_time(x, "endTime");
	if (error) {
		json_object_set_new(x, "error", json_string(error));
	}
	log_info("ngroup.rollout", LOG_STR("id", g->r->id), LOG_STR("state", state));
	save(g->r);
}

/* ---- what is next ---- */

static void describe(struct ngroup *g, const char *template, struct rollout_member *v)
{
	int64_t now = clock_system.now_ms(&clock_system);

	for (size_t i = 0; i < g->n; i++) {
		const struct resource *m = g->v[i];

		v[i] = (struct rollout_member){
			.current = strcmp(model_str(m->status, "template"), template) == 0,
			.ready = group_takes_flows(m) && balancer_has(m),
			.leaving = m->deleting,
			.updating = json_is_true(json_object_get(m->status, "updating")),
			.age = (uint64_t)json_integer_value(json_object_get(m->status, "serial"))
		};
		g->since[i] = v[i].ready ? 0 : g->since[i] ? g->since[i] : now;
		v[i].failed = !v[i].ready &&
		              (strcmp(group_state(m), "Failed") == 0 ||
		               now - g->since[i] > 1000 * (v[i].current ? PATIENCE_S : UNWELL_S));
	}
}

/* The operation that clients poll ends when all members have started, or cannot. */
static void settle(struct ngroup *g)
{
	const char *state = ngroup_state(g->r);
	struct err e = ERR_INIT;

	if (strcmp(state, "Succeeded") == 0) {
		operation_end(g->r->key, NULL);
	} else if (strcmp(state, "Failed") == 0) {
		const char *why = model_str(rollout_of(g->r), "error");

		err_set_at(&e, ERR_CONFLICT, g->refused.msg[0] ? g->refused.code : "NGroupFailed",
		           "", "%s",
		           g->refused.msg[0] ? g->refused.msg
		           : *why            ? why
		                             : "Container groups of the NGroup did not start.");
		operation_end(g->r->key, &e);
	}
}

static void make_members(struct ngroup *g, size_t n, const char *template)
{
	struct err e = ERR_INIT;

	if (g->retry_ms) {
		return;
	}
	g->refused = e;
	for (size_t i = 0; i < n && i < MAKE_MAX; i++) {
		if (make_member(g, template, &e) < 0) {
			log_warn("ngroup.member", LOG_STR("id", g->r->id), LOG_STR("error", e.msg));
			g->refused = e;
			g->retry_ms = clock_system.now_ms(&clock_system) + RETRY_MS;
			return;
		}
	}
	if (n > MAKE_MAX) {
		touch(g);
	}
}

static void act(struct ngroup *g, const struct rollout_step *s, const char *template,
                int64_t pause_ms)
{
	json_t *x = rollout_of(g->r);
	bool running = rolling(g->r);
	struct resource **take = calloc(g->n + 1, sizeof(struct resource *));
	size_t n = s->n_delete + s->n_update;

	for (size_t i = 0; take && i < n; i++) {
		take[i] = g->v[s->order[i]];
	}
	if (running && (s->make || s->n_update) && !json_is_true(json_object_get(x, "open"))) {
		json_object_set_new(x, "open", json_true());
		save(g->r);
		crash_point(CRASH_NGROUP_BATCH);
	}
	make_members(g, s->make, template);
	for (size_t i = 0; take && i < n; i++) {
		(s->n_delete ? delete_member : begin_update)(take[i]);
	}
	free(take);
	if (s->batch_done) {
		json_object_set_new(x, "open", json_false());
		json_object_set_new(x, "pauseUntil", json_integer(wall() + pause_ms));
		save(g->r);
		touch(g);
	} else if (s->done) {
		end_rollout(g, "Completed", NULL);
		touch(g);
	} else if (s->unhealthy) {
		end_rollout(g, "Failed", "Too many container groups are not healthy.");
		touch(g);
	}
}

static void finish_deletion(struct ngroup *g)
{
	for (size_t i = 0; i < g->n; i++) {
		if (!g->v[i]->deleting) {
			delete_member(g->v[i]);
		}
	}
	if (g->n == 0) {
		change_remove(g->r); /* frees g by ngroup_gone() */
	}
}

static bool group_deleting(const struct resource *r)
{
	char key[600];

	table_group_key(r->id, key, sizeof(key));
	const struct resource *rg = table_get(key);
	return rg && rg->deleting;
}

static void evaluate(struct ngroup *g)
{
	struct rollout r = { .state = ROLLOUT_NONE };
	struct rollout_step s;
	int64_t pause_ms, until = json_integer_value(model_at(rollout_of(g->r), "pauseUntil"));
	AUTO_FREE struct rollout_member *v = calloc(g->n + 1, sizeof(*v));
	AUTO_FREE size_t *order = calloc(g->n + 1, sizeof(*order));

	g->dirty = false;
	g->waits_ms = 0;
	if (g->r->deleting || group_deleting(g->r)) {
		finish_deletion(g);
		return;
	}
	if (!v || !order || plane.stopped) {
		return;
	}
	AUTO_FREE char *template = ng_template(g->r);
	describe(g, template, v);
	ng_settings(g->r, &r, &pause_ms);
	r.state = rolling(g->r) ? ROLLOUT_RUNNING : ROLLOUT_NONE;
	r.paused = wall() < until;
	rollout_next(&r, v, g->n, json_is_true(model_at(rollout_of(g->r), "open")), order, &s);
	if (r.paused) {
		g->waits_ms = clock_system.now_ms(&clock_system) + until - wall();
	}
	act(g, &s, template, pause_ms);
	settle(g);
}

static void on_timer(void *arg)
{
	(void)arg;
	for (size_t i = n_all; i-- > 0;) {
		if (i < n_all && all[i]->dirty) {
			evaluate(all[i]);
		}
	}
}

static void touch(struct ngroup *g)
{
	g->dirty = true;
	timer = timer ? timer : loop_timer_new(plane.loop, on_timer, NULL);
	if (!loop_timer_running(timer)) {
		loop_timer_start(timer, 1);
	}
}

void ngroup_retry(int64_t now_ms)
{
	static int64_t looked_ms;
	bool look = now_ms - looked_ms >= 5000; /* patience with members has no event */

	looked_ms = look ? now_ms : looked_ms;
	for (size_t i = 0; i < n_all; i++) {
		struct ngroup *g = all[i];

		if (g->retry_ms && g->retry_ms <= now_ms) {
			g->retry_ms = 0;
			touch(g);
		} else if (look || (g->waits_ms && g->waits_ms <= now_ms)) {
			touch(g);
		}
	}
}

/* ---- from outside ---- */

static struct ngroup *make(struct resource *r)
{
	if (r->ngroup) {
		return r->ngroup;
	}
	all = realloc(all, (n_all + 1) * sizeof(struct ngroup *));
	r->ngroup = calloc(1, sizeof(*r->ngroup));
	if (!all || !r->ngroup) {
		abort();
	}
	r->ngroup->r = r;
	all[n_all++] = r->ngroup;
	return r->ngroup;
}

void ngroup_change(struct resource *r)
{
	struct ngroup *g = make(r);
	const struct resource *p = ng_profile(r);
	json_int_t wanted = ng_revision(r);
	bool manual = !ng_standby(r) &&
	              !model_is(r->doc, "properties.updateProfile.updateMode", "Rolling");

	json_object_set_new(r->status, "profileRevision",
	                    json_integer(wanted ? wanted
	                                 : p    ? profile_revision(p)
	                                        : 0));
	AUTO_FREE char *template = ng_template(r);
	const char *was = model_str(r->status, "template");
	if (strcmp(was, template) != 0) {
		if (*was && !manual && g->n > 0) {
			begin_rollout(g, template);
		}
		json_object_set_new(r->status, "template", json_string(template));
	}
	g->retry_ms = 0;
	touch(g);
}

void ngroup_load(void)
{
	for (size_t i = 0; i < plane.n; i++) {
		if (ngroup_is(plane.v[i])) {
			touch(make(plane.v[i]));
		}
	}
	for (size_t i = 0; i < plane.n; i++) {
		struct resource *m = plane.v[i];
		struct ngroup *g = m->group ? of_member(m) : NULL;

		if (!g) {
			continue;
		}
		add_member(g, m);
		if (json_is_true(json_object_get(m->status, "updating")) && !m->deleting) {
			group_withdraw(m, update_member); /* it was on its way */
		}
	}
}

void ngroup_gone(struct resource *r)
{
	struct ngroup *g = r->ngroup;

	for (size_t i = 0; g && i < n_all; i++) {
		if (all[i] == g) {
			all[i] = all[--n_all];
		}
	}
	if (g) {
		free(g->v);
		free(g->since);
		free(g);
		r->ngroup = NULL;
	}
}

void ngroup_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg)
{
	r->deleting = true;
	change_save(r, reply, arg);
	touch(make(r));
}

void ngroup_action(struct resource *r, const char *action,
                   void (*reply)(void *arg, const struct err *e), void *arg)
{
	struct ngroup *g = make(r);

	for (size_t i = 0; i < g->n; i++) {
		if (!g->v[i]->deleting) {
			group_action(g->v[i], action, nobody, NULL);
		}
	}
	change_save(r, reply, arg);
	touch(g);
}

bool ngroup_cancel(struct resource *r)
{
	json_t *x = rollout_of(r);

	if (!rolling(r)) {
		return false;
	}
	json_object_set_new(x, "lastAction", json_string("Cancel"));
	set_time(x, "lastActionTime");
	end_rollout(make(r), "Canceled", NULL);
	touch(r->ngroup);
	return true;
}

/* ---- standby pools ---- */

struct resource *ngroup_ready(const struct resource *pool)
{
	const struct ngroup *g = pool->ngroup;
	AUTO_FREE char *template = ng_template(pool);

	for (size_t i = 0; g && i < g->n; i++) {
		struct resource *m = g->v[i];

		if (!m->deleting && group_takes_flows(m) &&
		    strcmp(model_str(m->status, "template"), template) == 0) {
			return m;
		}
	}
	return NULL;
}

void ngroup_release(struct resource *m)
{
	struct ngroup *g = of_member(m);

	json_object_set_new(m->status, "retired", json_true());
	if (g) {
		ngroup_member(m, false);
	}
	json_object_del(m->status, "retired");
}

void ngroup_return(struct resource *m)
{
	ngroup_member(m, true);
}

json_t *ngroup_count(const struct resource *r)
{
	const struct ngroup *g = r->ngroup;
	int running = 0, creating = 0, deleting = 0;

	for (size_t i = 0; g && i < g->n; i++) {
		deleting += g->v[i]->deleting;
		running += !g->v[i]->deleting && group_takes_flows(g->v[i]);
		creating += !g->v[i]->deleting && !group_takes_flows(g->v[i]);
	}
	return json_pack("{s:i, s:i, s:i}", "Running", running, "Creating", creating, "Deleting",
	                 deleting);
}

/* ---- views ---- */

const char *ngroup_state(const struct resource *r)
{
	const struct ngroup *g = r->ngroup;
	size_t desired = (size_t)ng_wanted(r), alive = 0, well = 0, bad = 0;

	if (r->deleting) {
		return "Deleting";
	}
	if (ng_standby(r)) { /* how many are ready is told by its runtimeViews */
		return "Succeeded";
	}
	for (size_t i = 0; g && i < g->n; i++) {
		const char *state = group_state(g->v[i]);

		alive += !g->v[i]->deleting;
		well += strcmp(state, "Succeeded") == 0 &&
		        !json_is_true(json_object_get(g->v[i]->status, "updating"));
		bad += strcmp(state, "Failed") == 0;
	}
	if (rolling(r)) {
		return "Updating";
	}
	if (g && g->refused.msg[0] && alive < desired) {
		return "Failed";
	}
	if (strcmp(model_str(rollout_of(r), "state"), "Failed") == 0 ||
	    (bad > 0 && well + bad >= desired)) {
		return "Failed";
	}
	return alive == desired && well == desired ? "Succeeded"
	       : rollout_of(r) || well > 0         ? "Updating"
	                                           : "Creating";
}

json_t *ngroup_view_rollout(const struct resource *r)
{
	const struct ngroup *g = r->ngroup;
	const json_t *x = rollout_of(r);
	const char *template = model_str(x, "template"), *state = model_str(x, "state");
	int good = 0, bad = 0, left = 0;

	if (!x) {
		return NULL;
	}
	for (size_t i = 0; g && i < g->n; i++) {
		const struct resource *m = g->v[i];
		bool now = strcmp(model_str(m->status, "template"), template) == 0;

		if (m->deleting) {
			continue;
		}
		good += now && group_takes_flows(m);
		bad += now && strcmp(group_state(m), "Failed") == 0;
		left += !now;
	}
	json_t *progress =
		json_pack("{s:s, s:s, s:{s:i, s:i, s:i}}", "state", state, "startTime",
	                  model_str(x, "startTime"), "containerGroupsUpdateSummary",
	                  "succeededCount", good, "failedCount", bad, "pendingCount", left);
	if (*model_str(x, "endTime")) {
		json_object_set(progress, "endTime", json_object_get(x, "endTime"));
	}
	if (*model_str(x, "error")) {
		json_object_set_new(progress, "error",
		                    json_pack("{s:s, s:s}", "code", "RollingUpdateFailed",
		                              "message", model_str(x, "error")));
	}
	return json_pack("{s:O?, s:o, s:s, s:s}", "profile",
	                 model_at(r->doc, "properties.containerGroupProfiles"), "progress",
	                 progress, "lastAction", model_str(x, "lastAction"), "lastActionTime",
	                 model_str(x, "lastActionTime"));
}
