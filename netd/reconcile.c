/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See reconcile.h. The state is in reconcile_table.c; here are the steps and the repair.
 */
#include "netd/reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/reconcile_table.h"

#define REPAIR_MS        10 /* at a stretch; changes wait that long */
#define BACKOFF_FIRST_MS 5
#define BACKOFF_MAX_MS   2000
#define GROUP_MS         6 /* a round of all groups takes this long a group: 1 % of a core */
#define ROUND_MIN_MS     3000
#define CALM_MS          10000 /* a namespace without repairs this long starts over */

struct reconcile *reconcile_new(struct kernel *k, const struct clock *clock)
{
	struct reconcile *r = calloc(1, sizeof(*r));

	if (r) {
		r->k = k;
		r->clock = clock;
	}
	return r;
}

void reconcile_free(struct reconcile *r)
{
	if (!r) {
		return;
	}
	for (size_t i = 0; i < r->n_owners; i++) {
		free(r->owners[i].v);
	}
	for (size_t i = 0; i < r->n_spaces; i++) {
		free(r->spaces[i].want);
		kset_fini(&r->spaces[i].owed);
	}
	free(r->owners);
	free(r->spaces);
	free(r);
}

/* ---- marking ---- */

static void mark(struct reconcile *r, struct space *s)
{
	int64_t now = r->clock->now_ms(r->clock);

	if (s->dirty) {
		return;
	}
	if (now - s->last_ms > CALM_MS) {
		s->backoff_ms = 0;
	}
	s->dirty = true;
	s->due_ms = now + s->backoff_ms;
	if (s->backoff_ms > 0) {
		r->k->mute(r->k, s->ns, true); /* we know already; the noise may go on unheard */
	}
}

/* A step that may not have been done. */
static void mark_broken(struct reconcile *r, const struct kop *op)
{
	struct space *s = space_get(r, op->o->ns);

	if (s) {
		s->broken = true;
		if (op->verb == KOP_DEL && s->type == KOBJ_NETNS_GROUP) {
			kset_add(&s->owed, op->o);
		}
		mark(r, s);
	}
}

/* The other end of a pair is in a namespace that reports nothing: it is looked at too. */
static void mark_peer(struct reconcile *r, const struct kobj *link)
{
	struct space *s = link->sub == KOBJ_LINK_VETH ? space_get(r, link->peer_ns) : NULL;

	if (s && s->type == KOBJ_NETNS_GROUP) {
		mark(r, s);
	}
}

/* ---- executing steps ---- */

static const struct kobj *netns_step(const struct kops *ops, uint32_t ns, enum kop_verb verb)
{
	for (size_t i = 0; i < ops->n; i++) {
		const struct kobj *o = ops->v[i].o;

		if (o->kind == KOBJ_NETNS && ops->v[i].verb == verb && o->ns == ns) {
			return o;
		}
	}
	return NULL;
}

enum phase {
	PHASE_REMOVE,
	PHASE_LINKS,
	PHASE_REST,
	PHASE_LAST
};

/* Does the step belong to the phase? Links whose other end's namespace goes are left to it: the
 * kernel tears those down in batches, one by one costs 17 ms each. `going`: some namespace goes. */
static bool in_phase(const struct kops *all, const struct kop *op, enum phase phase, bool going)
{
	bool outer = op->o->kind == KOBJ_LINK && op->o->sub != KOBJ_LINK_PEER &&
	             op->o->sub != KOBJ_LINK_LO;

	if (op->o->kind == KOBJ_NETNS || (going && netns_step(all, op->o->ns, KOP_DEL))) {
		return false;
	}
	if (op->verb == KOP_DEL) {
		if (going && outer && op->o->sub == KOBJ_LINK_VETH &&
		    netns_step(all, op->o->peer_ns, KOP_DEL)) {
			return false;
		}
		return phase == (outer ? PHASE_LAST : PHASE_REMOVE);
	}
	return phase == (outer && op->verb == KOP_ADD ? PHASE_LINKS : PHASE_REST);
}

static bool some_go(const struct kops *ops)
{
	for (size_t i = 0; i < ops->n; i++) {
		if (ops->v[i].o->kind == KOBJ_NETNS && ops->v[i].verb == KOP_DEL) {
			return true;
		}
	}
	return false;
}

/* Steps of one namespace from the i-th on, as one call to the kernel. */
static int run_space(struct reconcile *r, const struct kops *ops, size_t i, enum phase phase,
                     bool going, struct err *e)
{
	struct kops part = { 0 };
	uint32_t ns = ops->v[i].o->ns;
	int rc;

	for (; i < ops->n; i++) {
		if (ops->v[i].o->ns == ns && in_phase(ops, &ops->v[i], phase, going)) {
			kops_add(&part, ops->v[i].verb, ops->v[i].o);
		}
	}
	if (part.failed) {
		rc = err_set(e, ERR_NO_MEMORY, 0, "steps: out of memory");
	} else {
		kops_sort(&part);
		rc = r->k->apply(r->k, ns, part.v, part.n, e);
		r->stats.applied += part.n;
	}
	kops_fini(&part);
	return rc;
}

static int run_phase(struct reconcile *r, const struct kops *ops, enum phase phase, struct err *e)
{
	uint32_t seen[8]; /* an owner touches four namespaces at most, a repair one */
	size_t n_seen = 0;
	bool going = some_go(ops);

	for (size_t i = 0; i < ops->n; i++) {
		uint32_t ns = ops->v[i].o->ns;
		bool was = false;

		for (size_t k = 0; k < n_seen && !was; k++) {
			was = seen[k] == ns;
		}
		if (was || !in_phase(ops, &ops->v[i], phase, going)) {
			continue;
		}
		if (n_seen == ARRAY_N(seen)) {
			return err_set(e, ERR_SYSTEM, 0, "a change touches too many namespaces");
		}
		seen[n_seen++] = ns;
		if (run_space(r, ops, i, phase, going, e) < 0) {
			return -1;
		}
	}
	return 0;
}

static int make_spaces(struct reconcile *r, const struct kops *ops, struct err *e)
{
	for (size_t i = 0; i < ops->n; i++) {
		const struct kobj *o = ops->v[i].o;

		if (o->kind != KOBJ_NETNS || ops->v[i].verb == KOP_DEL) {
			continue;
		}
		struct space *s = space_get(r, o->ns);
		if (s && !s->made) {
			if (r->k->ns_add(r->k, o->ns, o->sub, e) < 0) {
				return -1;
			}
			s->made = true;
		}
	}
	return 0;
}

static int drop_spaces(struct reconcile *r, const struct kops *ops, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < ops->n; i++) {
		const struct kobj *o = ops->v[i].o;

		if (o->kind != KOBJ_NETNS || ops->v[i].verb != KOP_DEL) {
			continue;
		}
		struct space *s = space_get(r, o->ns);
		if (r->k->ns_del(r->k, o->ns, o->sub, e) < 0) {
			rc = -1;
		}
		if (s) {
			space_drop(r, s);
		}
	}
	return rc;
}

static int execute(struct reconcile *r, const struct kops *ops, struct err *e)
{
	if (ops->failed) {
		return err_set(e, ERR_NO_MEMORY, 0, "steps: out of memory");
	}
	if (make_spaces(r, ops, e) < 0) {
		return -1;
	}
	crash_point(CRASH_ENGINE_NAMESPACE);
	if (run_phase(r, ops, PHASE_REMOVE, e) < 0 || run_phase(r, ops, PHASE_LINKS, e) < 0) {
		return -1;
	}
	crash_point(CRASH_ENGINE_LINKS);
	if (run_phase(r, ops, PHASE_REST, e) < 0) {
		return -1;
	}
	crash_point(CRASH_ENGINE_REMOVING);
	return run_phase(r, ops, PHASE_LAST, e);
}

/* ---- owners ---- */

static void diff_owner(const struct kobj *was, size_t n_was, const struct kobj *now, size_t n_now,
                       struct kops *ops)
{
	size_t i = 0, j = 0;

	while (i < n_was || j < n_now) {
		int c = i == n_was ? 1 : j == n_now ? -1 : kobj_compare(&was[i], &now[j]);

		if (c < 0) {
			kops_add(ops, KOP_DEL, &was[i++]);
		} else if (c > 0) {
			kops_add(ops, KOP_ADD, &now[j++]);
		} else {
			if (memcmp(&was[i], &now[j], sizeof(was[i])) != 0) {
				kops_add(ops, KOP_SET, &now[j]);
			}
			i++;
			j++;
		}
	}
}

static int replace(struct reconcile *r, struct owner *o, struct kset *now, struct err *e)
{
	struct kops ops = { 0 };
	struct kobj *was = o->v;
	size_t n_was = o->n;
	int rc = 0;

	for (size_t i = 0; i < n_was; i++) {
		want_remove(r, &was[i]);
	}
	o->v = now->v;
	o->n = now->n;
	*now = (struct kset){ 0 };
	for (size_t i = 0; i < o->n; i++) {
		if (want_add(r, &o->v[i]) < 0) {
			rc = err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory");
		}
	}
	struct kobj *v = o->v; /* the owner's place may move below */
	size_t n = o->n;
	if (rc == 0 && !r->listing) {
		diff_owner(was, n_was, v, n, &ops);
		kops_sort(&ops);
		rc = execute(r, &ops, e);
		if (rc < 0) {
			r->stats.failures++;
			for (size_t i = 0; i < ops.n; i++) {
				mark_broken(r, &ops.v[i]);
			}
		}
		struct err late = ERR_INIT;
		if (drop_spaces(r, &ops, rc < 0 ? &late : e) < 0) {
			rc = -1;
		}
	}
	kops_fini(&ops);
	free(was);
	return rc;
}

int reconcile_set(struct reconcile *r, uint64_t owner, const struct kobj *objects, size_t n,
                  struct err *e)
{
	struct kset now = { 0 };
	struct owner *o;

	for (size_t i = 0; i < n; i++) {
		if (kobj_check(&objects[i], e) < 0) {
			kset_fini(&now);
			return -1;
		}
		kset_add(&now, &objects[i]);
	}
	kset_sort(&now);
	crash_point(CRASH_ENGINE_RECEIVED);
	o = owner_get(r, owner);
	if (!o && !now.failed) {
		o = owner_make(r, owner);
	}
	if (now.failed || !o) {
		kset_fini(&now);
		return err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory");
	}
	o->named = true;
	int rc = replace(r, o, &now, e);
	for (size_t i = 0; rc == 0 && !r->listing && i < n; i++) {
		const struct space *s = space_get(r, objects[i].ns);

		if (s && s->broken) {
			rc = err_set(e, ERR_BUSY, 0, "namespace %u is being repaired", s->ns);
		}
	}
	crash_point(CRASH_ENGINE_APPLIED);
	return rc;
}

int reconcile_del(struct reconcile *r, uint64_t owner, struct err *e)
{
	struct kset none = { 0 };
	struct owner *o = owner_get(r, owner);

	if (!o) {
		return 0;
	}
	int rc = replace(r, o, &none, e);
	size_t i = owner_at(r, owner);
	free(r->owners[i].v);
	memmove(&r->owners[i], &r->owners[i + 1], (r->n_owners - i - 1) * sizeof(*r->owners));
	r->n_owners--;
	crash_point(CRASH_ENGINE_REMOVED);
	return rc;
}

/* ---- comparison with the kernel ---- */

/* Is this one of those that should be gone? */
static bool owed(const struct space *s, const struct kobj *o)
{
	size_t at = want_at(s, o);

	if (at < s->n && kobj_compare(s->want[at], o) == 0) {
		return false; /* wanted again since */
	}
	for (size_t i = 0; i < s->owed.n; i++) {
		if (kobj_compare(&s->owed.v[i], o) == 0) {
			return true;
		}
	}
	return false;
}

/* Steps that make one namespace right; objects that steps point at live in *have. */
static int compare(struct reconcile *r, struct space *s, struct kset *have, struct kops *ops,
                   struct err *e)
{
	if (r->k->dump(r->k, s->ns, have, e) < 0) {
		return -1;
	}
	/* The ruleset differs: it comes anew, with all elements in the same transaction. */
	struct kobj **want = s->want;
	size_t n = s->n, keep = 0;
	struct kops probe = { 0 };
	bool anew = false;

	kobj_diff(want, n, have->v, have->n, false, &probe);
	for (size_t i = 0; i < probe.n; i++) {
		anew = anew || (probe.v[i].o->kind == KOBJ_RULESET);
	}
	kops_fini(&probe);
	for (size_t i = 0; i < have->n; i++) {
		if (!anew || have->v[i].kind != KOBJ_ELEM) {
			have->v[keep++] = have->v[i];
		}
	}
	have->n = keep;
	kobj_diff(want, n, have->v, have->n, s->type != KOBJ_NETNS_GROUP, ops);
	for (size_t i = 0; s->owed.n && i < have->n; i++) {
		if (owed(s, &have->v[i])) {
			kops_add(ops, KOP_DEL, &have->v[i]);
		}
	}
	kops_sort(ops);
	return ops->failed ? err_set(e, ERR_NO_MEMORY, 0, "steps: out of memory") : 0;
}

/* What a repair found, for who debugs: NETD_TRACE_REPAIR=1. */
static void trace(const struct kops *ops)
{
	static const char *const verbs[] = { "remove", "add", "set" };

	if (!getenv("NETD_TRACE_REPAIR")) {
		return;
	}
	for (size_t i = 0; i < ops->n; i++) {
		AUTO_BUF struct buf text = { 0 };

		kobj_format(ops->v[i].o, &text);
		log_info("repair.step", LOG_STR("do", verbs[ops->v[i].verb]),
		         LOG_STR("object", buf_str(&text)));
	}
}

static int repair_space(struct reconcile *r, struct space *s, struct err *e)
{
	struct kset have = { 0 };
	struct kops ops = { 0 };
	uint32_t ns = s->ns;
	int rc = 0;

	if (!s->made && s->type) {
		rc = r->k->ns_add(r->k, s->ns, s->type, e);
		s->made = rc == 0;
	}
	if (rc == 0) {
		rc = compare(r, s, &have, &ops, e);
	}
	if (rc == 0 && ops.n > 0) {
		r->stats.repairs++;
		trace(&ops);
		rc = run_phase(r, &ops, PHASE_LAST, e); /* links that must not be there */
		if (rc == 0) {
			rc = execute(r, &ops, e);
		}
		for (size_t i = 0; i < ops.n; i++) {
			if (ops.v[i].o->kind == KOBJ_LINK && ops.v[i].verb == KOP_ADD) {
				mark_peer(r, ops.v[i].o);
			}
		}
	}
	kops_fini(&ops);
	kset_fini(&have);
	s = space_get(r, ns); /* its place may have moved */
	if (s) {
		s->broken = rc < 0;
		if (rc == 0) {
			kset_fini(&s->owed);
		}
	}
	r->stats.failures += rc < 0;
	return rc;
}

void reconcile_begin(struct reconcile *r)
{
	r->listing = true;
	for (size_t i = 0; i < r->n_owners; i++) {
		r->owners[i].named = false;
	}
}

/* Namespaces that are there and that nobody wants go; those that are wanted are taken over. */
static int adopt(struct reconcile *r, struct err *e)
{
	struct kernel_ns *found = NULL;
	int n = r->k->ns_list(r->k, &found, e), rc = n < 0 ? -1 : 0;
	struct err ignored = ERR_INIT;

	for (int i = 0; i < n; i++) {
		struct space *s = space_get(r, found[i].ns);
		bool wanted = s && s->type == found[i].type;

		if (wanted && !s->made) {
			s->made = r->k->ns_adopt(r->k, s->ns, s->type, &ignored) == 0;
		}
		if ((!wanted || !s->made) &&
		    r->k->ns_del(r->k, found[i].ns, found[i].type, e) < 0) {
			rc = -1;
		}
	}
	free(found);
	return rc;
}

int reconcile_end(struct reconcile *r, struct err *e)
{
	struct err one = ERR_INIT;
	int rc = 0;

	r->listing = false;
	for (size_t i = 0; i < r->n_owners;) {
		struct owner *o = &r->owners[i];

		if (o->named) {
			i++;
			continue;
		}
		for (size_t k = 0; k < o->n; k++) {
			want_remove(r, &o->v[k]);
		}
		free(o->v);
		memmove(o, o + 1, (r->n_owners - i - 1) * sizeof(*o));
		r->n_owners--;
	}
	for (size_t i = 0; i < r->n_spaces;) {
		struct space *s = &r->spaces[i];

		if (s->n == 0 && s->ns != KOBJ_NS_HOST) {
			space_drop(r, s);
		} else {
			i++;
		}
	}
	rc = adopt(r, e);
	for (size_t i = 0; i < r->n_spaces; i++) {
		/* Namespaces first: links need the one at their other end. */
		struct space *s = &r->spaces[i];

		if (!s->made && s->type && r->k->ns_add(r->k, s->ns, s->type, e) == 0) {
			s->made = true;
		}
	}
	r->synced = true;
	for (size_t i = 0; i < r->n_spaces; i++) {
		if (repair_space(r, &r->spaces[i], &one) < 0) {
			*e = one;
			rc = -1;
			mark(r, &r->spaces[i]);
		}
	}
	return rc;
}

bool reconcile_synced(const struct reconcile *r)
{
	return r->synced;
}

void reconcile_event(struct reconcile *r, uint32_t ns, uint32_t index)
{
	struct space *s = space_get(r, ns);
	bool ours = index <= KOBJ_PEER_INDEX;

	if (!s || s->dirty) {
		return;
	}
	for (size_t i = 0; i < s->n && !ours; i++) {
		ours = s->want[i]->kind == KOBJ_LINK && s->want[i]->index == index;
		if (ours) {
			mark_peer(r, s->want[i]);
		}
	}
	s = space_get(r, ns);
	if (ours) {
		mark(r, s);
	}
}

void reconcile_audit_groups(struct reconcile *r, int64_t elapsed_ms)
{
	size_t groups = 0, from = space_at(r, r->next_group);

	for (size_t i = 0; i < r->n_spaces; i++) {
		groups += r->spaces[i].type == KOBJ_NETNS_GROUP;
	}
	int64_t round = (int64_t)groups * GROUP_MS;
	round = round < ROUND_MIN_MS ? ROUND_MIN_MS : round;
	int64_t due = (int64_t)groups * elapsed_ms / round + (groups > 0);
	for (size_t n = r->n_spaces; n > 0 && due > 0; n--, from++) {
		struct space *s = &r->spaces[from % r->n_spaces];

		r->next_group = s->ns + 1;
		if (s->type == KOBJ_NETNS_GROUP) {
			mark(r, s);
			due--;
		}
	}
}

static void repair_due(struct reconcile *r, struct space *s, int64_t now)
{
	struct err e = ERR_INIT;
	uint32_t ns = s->ns;
	uint64_t before = r->stats.repairs;
	bool muted = s->backoff_ms > 0;
	int rc = repair_space(r, s, &e);

	s = space_get(r, ns);
	if (!s) {
		return;
	}
	bool did = r->stats.repairs != before || rc < 0;
	s->dirty = false;
	s->last_ms = now;
	if (did) {
		s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_FIRST_MS;
		if (s->backoff_ms > BACKOFF_MAX_MS) {
			s->backoff_ms = BACKOFF_MAX_MS;
		}
	}
	if (muted) {
		r->k->mute(r->k, ns, false);
	}
	if (rc < 0) {
		mark(r, s);
	}
}

int64_t reconcile_repair(struct reconcile *r)
{
	int64_t now = r->clock->now_ms(r->clock), end = now + REPAIR_MS, next = -1;
	size_t from = space_at(r, r->next_ns);

	/* Round and round, so that one that is always dirty keeps no other waiting. */
	for (size_t n = r->synced ? r->n_spaces : 0; n > 0 && now < end; n--, from++) {
		struct space *s = &r->spaces[from % r->n_spaces];

		r->next_ns = s->ns + 1;
		if (s->dirty && s->due_ms <= now) {
			repair_due(r, s, now);
			now = r->clock->now_ms(r->clock);
		}
	}
	for (size_t i = 0; r->synced && i < r->n_spaces; i++) {
		const struct space *s = &r->spaces[i];
		int64_t wait = s->due_ms > now ? s->due_ms - now : 1;

		if (s->dirty && (next < 0 || wait < next)) {
			next = wait;
		}
	}
	return next;
}

void reconcile_audit(struct reconcile *r)
{
	for (size_t i = 0; i < r->n_spaces; i++) {
		mark(r, &r->spaces[i]);
	}
}

void reconcile_stats(const struct reconcile *r, struct reconcile_stats *to)
{
	*to = r->stats;
	to->owners = r->n_owners;
	to->namespaces = r->n_spaces;
	to->objects = to->pending = 0;
	for (size_t i = 0; i < r->n_spaces; i++) {
		to->objects += r->spaces[i].n;
		to->pending += r->spaces[i].dirty;
	}
}
