/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The engine role: root with two capabilities. Reads the kernel and control's messages, nothing
 * else. What control wants goes through reconcile; drift is repaired from here.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "netd/engine_flows.h"
#include "netd/engine_hot.h"
#include "netd/engine_names.h"
#include "netd/reconcile.h"
#include "netd/role.h"

#define AUDIT_MS    30000
#define ROUND_MS    250
#define BUDGET_MS   500
#define OBJECTS_MAX 1100

static struct {
	const struct config *config;
	struct loop *loop;
	struct kernel *kernel;
	struct reconcile *state;
	struct channel *control, *probe, *dns;
	struct loop_timer *repair, *audit, *round, *budget;
	long flows; /* budget of a VNet */
	bool watching;
	struct given {
		struct kset routes;
		bool there, told;
		bool heard; /* something changed there since it was looked at */
	} given[CONFIG_GATEWAYS_MAX];
	size_t n_given;
	uint64_t ping; /* of control, not answered yet; 0: none */
	int64_t ping_ms;
	struct buf refused; /* as control was told last */
} self;

static void done(uint64_t request, int rc, const struct err *e, int fd)
{
	struct buf b = { 0 };

	put_u64(&b, request);
	put_u8(&b, rc == 0);
	put_str(&b, rc == 0 ? "" : e->msg);
	channel_send(self.control, MSG_ENGINE_DONE, &b, fd);
	buf_fini(&b);
	if (rc < 0) {
		log_error("engine.failed", LOG_STR("error", e->msg));
	}
}

/* Namespaces that the kernel does not let be made right, when that has changed: how many, number and why of each. */
static void tell_refused(void)
{
	struct reconcile_stats s;
	struct buf b = { 0 };
	const char *why;
	uint32_t ns;
	size_t i = 0;

	bool any = reconcile_refused(self.state, &i, &ns, &why);
	if (!any && self.refused.len == 0) {
		return;
	}
	reconcile_stats(self.state, &s);
	put_u64(&b, s.refused);
	for (size_t n = 0; n < REFUSED_MAX && any; n++) {
		char text[REFUSED_TEXT];

		snprintf(text, sizeof(text), "%s", why);
		put_u32(&b, ns);
		put_str(&b, text);
		any = reconcile_refused(self.state, &i, &ns, &why);
	}
	if (b.len != self.refused.len || memcmp(b.data, self.refused.data, b.len) != 0) {
		channel_send(self.control, MSG_ENGINE_REFUSED, &b, -1);
		buf_clear(&self.refused);
		buf_add(&self.refused, s.refused ? b.data : NULL, s.refused ? b.len : 0);
	}
	buf_fini(&b);
}

static void pong(uint64_t request)
{
	struct reconcile_stats s;
	struct buf b = { 0 };
	char text[600];

	reconcile_stats(self.state, &s);
	snprintf(
		text, sizeof(text),
		"netd_engine_owners %llu\nnetd_engine_objects %llu\nnetd_engine_namespaces %llu\n"
		"netd_engine_steps_total %llu\nnetd_engine_repairs_total %llu\n"
		"netd_engine_failures_total %llu\nnetd_engine_pending %llu\nnetd_engine_refused %llu\n"
		"netd_engine_flows %llu\nnetd_engine_vnets_tightened %llu\n"
		"netd_engine_idle_resets_total %llu\n",
		(unsigned long long)s.owners, (unsigned long long)s.objects,
		(unsigned long long)s.namespaces, (unsigned long long)s.applied,
		(unsigned long long)s.repairs, (unsigned long long)s.failures,
		(unsigned long long)s.pending, (unsigned long long)s.refused,
		(unsigned long long)s.flows, (unsigned long long)s.tight,
		(unsigned long long)engine_resets());
	put_u64(&b, request);
	put_str(&b, text);
	channel_send(self.control, MSG_PONG, &b, -1);
	buf_fini(&b);
}

/* Control asks whether all that it sent is done. What failed is tried again before that is answered, so that who made the change
 * can be told if the kernel refuses it. */
static void answer(bool anyway)
{
	if (self.ping && (anyway || !reconcile_trying(self.state))) {
		tell_refused();
		pong(self.ping);
		self.ping = 0;
	}
}

static void ping(uint64_t request)
{
	if (request == 0) { /* about the counters alone */
		pong(0);
		return;
	}
	/* The answer to a later one is one to those before it. */
	self.ping_ms = self.ping ? self.ping_ms : clock_system.now_ms(&clock_system);
	self.ping = request;
	answer(false);
}

static void schedule(void)
{
	int64_t wait = reconcile_repair(self.state);

	if (wait >= 0) {
		loop_timer_start(self.repair, wait);
	}
	answer(false);
}

static void on_repair(void *arg)
{
	(void)arg;
	schedule();
}

static void on_event(void *arg, uint32_t ns, uint32_t index)
{
	(void)arg;
	reconcile_event(self.state, ns, index);
	loop_timer_start(self.repair, 0);
	if (ns >= KOBJ_NS_GIVEN && ns - KOBJ_NS_GIVEN < self.n_given) {
		self.given[ns - KOBJ_NS_GIVEN].heard = true;
	}
}

static void on_audit(void *arg)
{
	(void)arg;
	reconcile_audit(self.state);
	schedule();
	engine_names_check(self.kernel, self.dns);
	loop_timer_start(self.audit, AUDIT_MS);
}

static void on_round(void *arg)
{
	(void)arg;
	reconcile_audit_groups(self.state, ROUND_MS);
	schedule();
	tell_refused();
	answer(clock_system.now_ms(&clock_system) - self.ping_ms >= ROUND_MS);
	loop_timer_start(self.round, ROUND_MS);
}

/* ---- given namespaces ---- */

/* Routes of one, each prefix once; *there: is it? -1: cannot be told now. */
static int look(size_t i, struct kset *to, bool *there)
{
	uint32_t ns = KOBJ_NS_GIVEN + (uint32_t)i;
	struct err e = ERR_INIT;
	size_t n = 0;

	*there = self.kernel->learned(self.kernel, ns, to, &e) == 0;
	if (to->failed || (!*there && e.kind != ERR_NOT_FOUND)) {
		return -1;
	}
	for (size_t k = 0; k < to->n; k++) {
		if (n == 0 || kobj_compare(&to->v[n - 1], &to->v[k]) != 0) {
			to->v[n++] = to->v[k];
		}
	}
	if (n > LEARNED_MAX) {
		log_warn("gateway.routes", LOG_NUM("number", ns), LOG_NUM("routes", n),
		         LOG_NUM("limit", LEARNED_MAX));
		n = LEARNED_MAX;
	}
	to->n = n;
	return 0;
}

/* Number, is it there, how many routes, then family, prefix length and address of each. */
static void tell_learned(size_t i, const struct kset *routes, bool there)
{
	struct buf b = { 0 };

	put_u32(&b, KOBJ_NS_GIVEN + (uint32_t)i);
	put_u32(&b, there);
	put_u32(&b, (uint32_t)routes->n);
	for (size_t k = 0; k < routes->n; k++) {
		put_u8(&b, routes->v[k].family);
		put_u8(&b, routes->v[k].plen);
		buf_add(&b, routes->v[k].addr, 16);
	}
	channel_send(self.control, MSG_LEARNED, &b, -1);
	buf_fini(&b);
}

static void learn(size_t i)
{
	struct given *g = &self.given[i];
	struct kset now = { 0 };
	bool there;

	g->heard = false;
	if (look(i, &now, &there) < 0 ||
	    (g->told && there == g->there && now.n == g->routes.n &&
	     (now.n == 0 || memcmp(now.v, g->routes.v, now.n * sizeof(struct kobj)) == 0))) {
		kset_fini(&now);
		return;
	}
	if (there != g->there) {
		log_info("gateway.namespace", LOG_NUM("number", KOBJ_NS_GIVEN + i),
		         LOG_NUM("there", there));
	}
	kset_fini(&g->routes);
	g->routes = now;
	g->there = there;
	g->told = true;
	tell_learned(i, &g->routes, there);
}

/* Control is a new one: it is told all, before it says what should be. */
static void learn_all(void)
{
	for (size_t i = 0; i < self.n_given; i++) {
		self.given[i].told = false;
		learn(i);
		if (!self.given[i].told) {
			tell_learned(i, &self.given[i].routes, self.given[i].there);
			self.given[i].told = true;
		}
	}
}

static void on_budget(void *arg)
{
	static unsigned turn;
	bool all = ++turn % 4 == 0; /* also those that say nothing: they may be others now */

	(void)arg;
	for (size_t i = 0; i < self.n_given && reconcile_synced(self.state); i++) {
		if (all || self.given[i].heard) {
			learn(i);
		}
	}
	reconcile_budgets(self.state, self.flows);
	if (reconcile_synced(self.state)) {
		engine_flow_ends(self.kernel, self.state);
	}
	if (all) {
		engine_hot_check();
	}
	loop_timer_start(self.budget, BUDGET_MS);
}

/* What was wrong with the last one: told by the answer to its group's objects, which follow. */
static struct err guest_wrong;
static uint32_t guest_refused;

/* A namespace that a runtime made: number, VNet, cookie, device, path. */
static void guest(struct reader *r, int fd)
{
	struct kernel_guest g = { 0 };
	uint32_t ns = get_u32(r);
	struct err e = ERR_INIT;

	g.vnet = get_u32(r);
	g.cookie = get_u64(r);
	(void)get_u8(r); /* for the agent: guest_send() */
	g.default4 = get_u8(r);
	g.default6 = get_u8(r);
	get_str(r, g.dev, sizeof(g.dev));
	get_str(r, g.path, sizeof(g.path));
	if (reader_done(r) && kernel_linux_guest(self.kernel, ns, &g, fd, &e) < 0) {
		guest_refused = ns;
		guest_wrong = e;
		err_wrap(&guest_wrong, GUEST_REFUSED);
	}
}

static void owner_set(struct reader *r)
{
	static struct kobj objects[OBJECTS_MAX];
	uint64_t request = get_u64(r), owner = get_u64(r);
	bool want_fd = get_u8(r);
	uint32_t n = get_u32(r), group = 0, brought = 0;
	struct err e = ERR_INIT;
	int rc, fd = -1;

	if (n > OBJECTS_MAX) {
		r->failed = true;
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		get_kobj(r, &objects[i]);
		if (objects[i].kind == KOBJ_NETNS && objects[i].sub == KOBJ_NETNS_GROUP) {
			group = objects[i].ns;
		} else if (objects[i].kind == KOBJ_NETNS && objects[i].sub == KOBJ_NETNS_GUEST) {
			brought = objects[i].ns;
		}
	}
	if (!reader_done(r)) {
		return;
	}
	if (brought && guest_refused == brought) { /* before anything is done for it */
		e = guest_wrong;
		rc = -1;
	} else {
		rc = reconcile_set(self.state, owner, objects, n, &e);
	}
	if (rc == 0 && want_fd && group && reconcile_synced(self.state)) {
		fd = self.kernel->ns_fd(self.kernel, group, &e);
		rc = fd < 0 ? -1 : 0;
	}
	if (brought && rc == 0) { /* else it is tried again, or given up */
		kernel_linux_guest_settled(self.kernel, brought);
	}
	done(request, rc, &e, fd);
	if (fd >= 0) {
		close(fd);
	}
	if (rc < 0) {
		loop_timer_start(self.repair, 0);
	}
}

static void on_gone(void *arg, uint32_t ns)
{
	struct buf b = { 0 };

	(void)arg;
	put_u64(&b, ns);
	channel_send(self.control, MSG_GUEST_GONE, &b, -1);
	buf_fini(&b);
}

/* Parts of one owner's change follow each other; another owner's first part begins anew. */
static void owner_part(struct reader *r)
{
	static struct kset puts, dels;
	static uint64_t of;
	uint64_t request = get_u64(r), owner = get_u64(r);
	uint8_t flags = get_u8(r);
	uint32_t n = get_u32(r);
	struct err e = ERR_INIT;

	if (n > PART_MAX || (owner != of && !(flags & PART_FIRST))) {
		r->failed = true;
		return;
	}
	if (flags & PART_FIRST) {
		of = owner;
		kset_fini(&puts);
		kset_fini(&dels);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint8_t verb = get_u8(r);
		struct kobj o;

		get_kobj(r, &o);
		kset_add(verb == KOP_DEL ? &dels : &puts, &o);
	}
	if (!reader_done(r) || !(flags & PART_LAST)) {
		return;
	}
	int rc = reconcile_patch(self.state, owner, &puts, &dels, flags & PART_WHOLE, &e);
	engine_flow_ends_now(self.kernel, self.state, &puts);
	kset_fini(&puts);
	kset_fini(&dels);
	done(request, rc, &e, -1);
	if (rc < 0) {
		loop_timer_start(self.repair, 0);
	}
}

/* ---- flows ---- */

struct listing {
	uint32_t token, ns;
	struct buf b;
	uint32_t n;
};

static void listing_begin(struct listing *l)
{
	buf_clear(&l->b);
	l->n = 0;
	put_u32(&l->b, l->token);
	put_u32(&l->b, l->ns);
}

static int list_flow(void *arg, const struct kflow *f)
{
	struct listing *l = arg;

	if (l->n == 0) {
		put_u8(&l->b, 0);
	}
	put_flow(&l->b, f);
	if (++l->n == FLOWS_MAX) {
		channel_send(self.control, MSG_FLOW_LIST, &l->b, -1);
		listing_begin(l);
	}
	return l->b.failed ? -1 : 0;
}

static void list_flows(struct reader *r)
{
	struct listing l = { .token = get_u32(r), .ns = get_u32(r) };
	struct err e = ERR_INIT;

	listing_begin(&l);
	if (self.kernel->flows(self.kernel, l.ns, list_flow, &l, &e) < 0) {
		log_warn("engine.flows", LOG_STR("error", e.msg));
	}
	if (l.n > 0) {
		channel_send(self.control, MSG_FLOW_LIST, &l.b, -1);
		listing_begin(&l);
	}
	put_u8(&l.b, 1);
	channel_send(self.control, MSG_FLOW_LIST, &l.b, -1);
	buf_fini(&l.b);
}

static int list_count(void *arg, const struct kcount *c)
{
	struct listing *l = arg;

	if (l->n == 0) {
		put_u8(&l->b, 0);
	}
	put_count(&l->b, c);
	if (++l->n == COUNTS_MAX) {
		channel_send(self.control, MSG_COUNTER_LIST, &l->b, -1);
		listing_begin(l);
	}
	return l->b.failed ? -1 : 0;
}

/* The last message says that all was read; it stays away when it could not be. */
static void list_counters(struct reader *r)
{
	struct listing l = { .token = get_u32(r), .ns = get_u32(r) };
	uint32_t what = get_u32(r); /* lib/kernel/counters.h */
	struct err e = ERR_INIT;

	listing_begin(&l);
	int rc = self.kernel->counters(self.kernel, l.ns, what, list_count, &l, &e);
	if (l.n > 0) {
		channel_send(self.control, MSG_COUNTER_LIST, &l.b, -1);
		listing_begin(&l);
	}
	if (rc == 0) {
		put_u8(&l.b, 1);
		channel_send(self.control, MSG_COUNTER_LIST, &l.b, -1);
	} else {
		/* A port alone is asked for as it goes: it may be gone. */
		log_write(what == COUNTERS_ALL || what == COUNTERS_PORTS ? LOG_WARN : LOG_DEBUG,
		          "engine.counters",
		          (struct log_field[]){ LOG_STR("error", e.msg), { 0 } });
	}
	buf_fini(&l.b);
}

static void delete_flows(struct reader *r)
{
	static struct kflow v[FLOWS_MAX];
	uint32_t ns = get_u32(r);
	struct err e = ERR_INIT;
	size_t n = 0;

	while (r->left && n < FLOWS_MAX && !r->failed) {
		get_flow(r, &v[n++]);
	}
	if (reader_done(r) && ns >= KOBJ_NS_FIRST &&
	    self.kernel->flows_del(self.kernel, ns, v, n, &e) < 0) {
		log_warn("engine.flows", LOG_STR("error", e.msg));
	}
}

static void sync_end(uint64_t request)
{
	struct err e = ERR_INIT;

	if (!self.watching) { /* before all is compared: what happens meanwhile is heard afterwards */
		self.kernel->watch(self.kernel, self.loop, on_event, NULL);
		self.watching = true;
	}
	int rc = reconcile_end(self.state, &e);
	loop_timer_start(self.repair, 1);
	done(request, rc, &e, -1);
}

static void on_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	struct err e = ERR_INIT;
	uint64_t request, owner;
	int rc;

	(void)arg;
	(void)from;
	if (type == MSG_GUEST) {
		guest(r, fd);
	}
	if (fd >= 0) {
		close(fd);
	}
	switch ((int)type) {
	case MSG_GUEST:
		break;
	case MSG_OWNER_CHECK:
		request = get_u64(r);
		owner = get_u64(r);
		rc = reconcile_check(self.state, owner, &e);
		kernel_linux_guest_settled(self.kernel, (uint32_t)owner);
		done(request, rc, &e, -1);
		if (rc < 0) {
			loop_timer_start(self.repair, 0);
		}
		break;
	case MSG_OWNER_SET:
		owner_set(r);
		break;
	case MSG_OWNER_PART:
		owner_part(r);
		break;
	case MSG_FLOWS:
		list_flows(r);
		break;
	case MSG_DRAIN:
		engine_drain(self.kernel, self.control, r);
		break;
	case MSG_COUNTERS:
		list_counters(r);
		break;
	case MSG_FLOWS_DEL:
		delete_flows(r);
		break;
	case MSG_OWNER_DEL:
		request = get_u64(r);
		rc = reconcile_del(self.state, get_u64(r), &e);
		done(request, rc, &e, -1);
		break;
	case MSG_LEARN:
		learn_all();
		break;
	case MSG_SYNC_BEGIN: /* control, or the way there, is a new one: it has heard nothing, and asked nothing */
		buf_clear(&self.refused);
		self.ping = 0;
		reconcile_begin(self.state);
		break;
	case MSG_SYNC_END:
		sync_end(get_u64(r));
		break;
	case MSG_PING:
		ping(get_u64(r));
		break;
	default:
		r->failed = true;
		break;
	}
}

/* A socket in a VNet, bound to the platform's address there. */
static void on_probe(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t ns = get_u32(r);
	uint8_t family = get_u8(r);
	struct buf b = { 0 };
	struct err e = ERR_INIT;

	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	if (type != MSG_SOCKET_ASK || !reader_done(r) || (family != 4 && family != 6)) {
		r->failed = true;
		return;
	}
	put_u32(&b, ns);
	put_u8(&b, family);
	fd = self.kernel->ns_socket(self.kernel, ns, family, KERNEL_SOCKET_PROBE, &e);
	channel_send(self.probe, MSG_SOCKET, &b, fd);
	buf_fini(&b);
	if (fd >= 0) {
		close(fd);
	}
}

static void on_dns(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	(void)arg;
	(void)from;
	if (fd >= 0) {
		close(fd);
	}
	if (type == MSG_NAMES_HOT_ASK) {
		engine_hot_tell(self.dns);
	} else {
		engine_names(self.config, self.kernel, self.dns, type, r);
	}
}

static void on_child(void *arg)
{
	(void)arg;
	engine_names_reap();
}

void engine_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	struct err e = ERR_INIT;

	(void)fds;
	self.config = c;
	self.loop = l;
	self.kernel = kernel_linux_new(c->run_dir, &e);
	if (!self.kernel || !(self.state = reconcile_new(self.kernel, &clock_system))) {
		log_error("engine.start", LOG_STR("error", e.msg));
		exit(71);
	}
	reconcile_on_gone(self.state, on_gone, NULL);
	if (c->bpf && kernel_linux_programs(self.kernel, &e) < 0) {
		log_warn("engine.programs", LOG_STR("without", e.msg));
	}
	engine_hot_begin(c);
	for (self.n_given = 0; self.n_given < c->n_gateways; self.n_given++) {
		uint32_t ns = KOBJ_NS_GIVEN + (uint32_t)self.n_given;

		if (kernel_linux_give(self.kernel, ns, c->gateways[self.n_given].path, &e) < 0 ||
		    reconcile_keep(self.state, ns) < 0) {
			log_error("engine.start", LOG_STR("error", e.msg));
			exit(71);
		}
	}
	self.repair = loop_timer_new(l, on_repair, NULL);
	self.audit = loop_timer_new(l, on_audit, NULL);
	loop_timer_start(self.audit, AUDIT_MS);
	self.round = loop_timer_new(l, on_round, NULL);
	loop_timer_start(self.round, ROUND_MS);
	self.flows = (long)c->flows;
	self.budget = loop_timer_new(l, on_budget, NULL);
	loop_timer_start(self.budget, BUDGET_MS);
	loop_signal(l, SIGCHLD, on_child, NULL);
	const struct role_peer peers[] = { { ROLE_CONTROL, &self.control, on_control, NULL },
		                           { ROLE_PROBE, &self.probe, on_probe, NULL },
		                           { ROLE_DNS, &self.dns, on_dns, NULL } };
	role_serve(ROLE_ENGINE, l, main_fd, peers, 3);
}
