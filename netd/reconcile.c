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
		owner_clear(&r->owners[i]);
	}
	for (size_t i = 0; i < r->n_spaces; i++) {
		space_fini(&r->spaces[i]);
	}
	free(r->owners);
	free(r->spaces);
	free(r->leaving);
	free(r);
}

/* ---- marking ---- */

/* A step that may not have been done. */
static void mark_broken(struct reconcile *r, const struct kop *op)
{
	struct space *s = space_get(r, op->o->ns);

	if (s) {
		if (op->verb == KOP_DEL && s->type == KOBJ_NETNS_GROUP) {
			kset_add(&s->owed, op->o);
		}
		space_again(r, s);
	}
}

/* The other end of a pair is in a namespace that reports nothing: it is looked at too. */
static void mark_peer(struct reconcile *r, const struct kobj *link)
{
	struct space *s = link->sub == KOBJ_LINK_VETH ? space_get(r, link->peer_ns) : NULL;

	if (s && (space_tenants(s) || s->ns >= KOBJ_NS_GIVEN)) {
		space_mark(r, s);
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

/* Is the link left to its other end's namespace, which goes? The kernel tears those down in batches, one by one costs 17 ms each.
 * Not VNets': they may come again at once, by the same name, before it has. */
static bool goes_along(const struct kops *all, const struct kobj *link)
{
	const struct kobj *ns =
		link->sub == KOBJ_LINK_VETH ? netns_step(all, link->peer_ns, KOP_DEL) : NULL;

	return ns && ns->sub != KOBJ_NETNS_VNET;
}

/* Does the step belong to the phase? `going`: some namespace goes. */
static bool in_phase(const struct kops *all, const struct kop *op, enum phase phase, bool going)
{
	bool outer = op->o->kind == KOBJ_LINK && op->o->sub != KOBJ_LINK_PEER &&
	             op->o->sub != KOBJ_LINK_LO;

	if (op->o->kind == KOBJ_NETNS || (going && netns_step(all, op->o->ns, KOP_DEL))) {
		return false;
	}
	if (op->o->kind >= KOBJ_RULESET) {
		return phase == PHASE_REST; /* one transaction, with what goes */
	}
	if (op->verb == KOP_DEL) {
		if (going && outer && goes_along(all, op->o)) {
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
		if (reconcile_drop_ns(r, o->ns, o->sub, e) < 0) {
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

/* A change of one owner: what goes, what comes, and the list that stands afterwards. Objects that
 * stay the same keep their place in memory. */
struct turn {
	struct kobj **now;         /* the new list */
	struct kobj **gone, **new; /* out of it and into it, sorted by key */
	size_t n, n_gone, n_new;
	struct kops ops;
	bool failed;
};

static void turn_fini(struct turn *t)
{
	for (size_t i = 0; i < t->n_gone; i++) {
		free(t->gone[i]);
	}
	free(t->gone);
	free(t->new);
	free(t->now);
	kops_fini(&t->ops);
}

/* `was`: what it replaces, or NULL. */
static void come(struct turn *t, const struct kobj *was, const struct kobj *o)
{
	struct kobj *copy = malloc(sizeof(*copy));

	if (!copy) {
		t->failed = true;
		return;
	}
	*copy = *o;
	t->now[t->n++] = copy;
	t->new[t->n_new++] = copy;
	if (was) {
		kops_change(&t->ops, was, copy);
	} else {
		kops_add(&t->ops, KOP_ADD, copy);
	}
}

/* Merges sorted `puts` and `dels` (or, with `whole`, all that is not put) into what the owner has. */
static void turn_make(struct turn *t, const struct owner *o, const struct kset *puts,
                      const struct kset *dels, bool whole)
{
	size_t i = 0, j = 0, d = 0;

	*t = (struct turn){ 0 };
	t->now = calloc(o->n + puts->n + 1, sizeof(struct kobj *));
	t->new = calloc(puts->n + 1, sizeof(struct kobj *));
	t->gone = calloc(o->n + 1, sizeof(struct kobj *));
	if (!t->now || !t->new || !t->gone) {
		t->failed = true;
		return;
	}
	while (i < o->n || j < puts->n) {
		int c = i == o->n ? 1 : j == puts->n ? -1 : kobj_compare(o->v[i], &puts->v[j]);

		if (c > 0) {
			come(t, NULL, &puts->v[j++]);
		} else if (c == 0 && memcmp(o->v[i], &puts->v[j], sizeof(struct kobj)) == 0) {
			t->now[t->n++] = o->v[i++];
			j++;
		} else if (c == 0) {
			t->gone[t->n_gone++] = o->v[i];
			come(t, o->v[i++], &puts->v[j++]);
		} else {
			while (d < dels->n && kobj_compare(&dels->v[d], o->v[i]) < 0) {
				d++;
			}
			if (whole || (d < dels->n && kobj_compare(&dels->v[d], o->v[i]) == 0)) {
				t->gone[t->n_gone++] = o->v[i];
				kops_add(&t->ops, KOP_DEL, o->v[i]);
			} else {
				t->now[t->n++] = o->v[i];
			}
			i++;
		}
	}
	t->failed = t->failed || t->ops.failed;
}

/* What another owner wants too is there already, and stays; where they want different things of it, want.h says
 * whose counts. */
static void leave_shared(struct reconcile *r, struct kops *ops)
{
	size_t n = 0;

	for (size_t i = 0; i < ops->n; i++) {
		struct kop op = ops->v[i];
		struct space *s = space_get(r, op.o->ns);
		const struct kobj *other = s ? want_get(&s->want, op.o) : NULL;
		bool counts = !other || memcmp(op.o, other, sizeof(*other)) < 0;

		if (!other) {
			ops->v[n++] = op;
		} else if (counts || op.verb == KOP_SET) {
			bool its = counts && op.verb != KOP_DEL;

			ops->v[n++] = (struct kop){ KOP_SET, its ? op.o : other };
		}
	}
	ops->n = n;
}

static int turn_run(struct reconcile *r, struct owner *o, struct turn *t, struct err *e)
{
	int rc = 0;

	space_unwant(r, t->gone, t->n_gone);
	leave_shared(r, &t->ops);
	free(o->v);
	o->v = t->now;
	o->n = t->n;
	t->now = NULL;
	if (space_want(r, t->new, t->n_new) < 0) {
		rc = err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory");
	}
	if (rc == 0 && !r->listing) {
		steps_refill(r, &t->ops);
		kops_sort(&t->ops);
		rc = execute(r, &t->ops, e);
		if (rc < 0) {
			r->stats.failures++;
			for (size_t i = 0; i < t->ops.n; i++) {
				mark_broken(r, &t->ops.v[i]);
			}
		}
		struct err late = ERR_INIT;
		if (drop_spaces(r, &t->ops, rc < 0 ? &late : e) < 0) {
			rc = -1;
		}
	}
	return rc;
}

static int change(struct reconcile *r, uint64_t owner, const struct kset *puts,
                  const struct kset *dels, bool whole, struct err *e)
{
	struct owner *o = owner_get(r, owner);
	struct turn t;
	int rc;

	if (!o && !(o = owner_make(r, owner))) {
		return err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory");
	}
	o->named = true;
	turn_make(&t, o, puts, dels, whole);
	if (t.failed) {
		for (size_t i = 0; i < t.n_new; i++) {
			free(t.new[i]);
		}
		t.n_gone = 0;
		rc = err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory");
	} else {
		rc = turn_run(r, o, &t, e);
	}
	for (size_t i = 0; rc == 0 && !r->listing && i < puts->n; i++) {
		struct space *s = space_get(r, puts->v[i].ns);

		if (s && s->broken) {
			space_again(r, s);
			rc = err_set(e, ERR_BUSY, 0, "namespace %u is being repaired", s->ns);
		}
	}
	turn_fini(&t);
	return rc;
}

int reconcile_patch(struct reconcile *r, uint64_t owner, struct kset *puts, struct kset *dels,
                    bool whole, struct err *e)
{
	for (size_t i = 0; i < puts->n; i++) {
		if (kobj_check(&puts->v[i], e) < 0) {
			return -1;
		}
	}
	kset_sort(puts);
	kset_sort(dels);
	crash_point(CRASH_ENGINE_RECEIVED);
	int rc = puts->failed || dels->failed ? err_set(e, ERR_NO_MEMORY, 0, "owner: out of memory")
	                                      : change(r, owner, puts, dels, whole, e);
	crash_point(CRASH_ENGINE_APPLIED);
	return rc;
}

int reconcile_set(struct reconcile *r, uint64_t owner, const struct kobj *objects, size_t n,
                  struct err *e)
{
	struct kset puts = { 0 }, none = { 0 };

	for (size_t i = 0; i < n; i++) {
		kset_add(&puts, &objects[i]);
	}
	int rc = reconcile_patch(r, owner, &puts, &none, true, e);
	kset_fini(&puts);
	return rc;
}

int reconcile_del(struct reconcile *r, uint64_t owner, struct err *e)
{
	const struct kset none = { 0 };

	if (!owner_get(r, owner)) {
		return 0;
	}
	int rc = change(r, owner, &none, &none, true, e);
	size_t i = owner_at(r, owner);
	owner_clear(&r->owners[i]);
	memmove(&r->owners[i], &r->owners[i + 1], (r->n_owners - i - 1) * sizeof(*r->owners));
	r->n_owners--;
	crash_point(CRASH_ENGINE_REMOVED);
	return rc;
}

/* ---- repair ---- */

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
		rc = reconcile_compare(r, s, &have, &ops, e);
	}
	while (rc == 0 && reconcile_let_go(r, &ops)) {
		kops_fini(&ops);
		kset_fini(&have);
		s = space_get(r, ns);
		rc = s ? reconcile_compare(r, s, &have, &ops, e) : 0;
	}
	if (rc == 0 && ops.n > 0) {
		r->stats.repairs++;
		reconcile_trace(&ops);
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
	bool awaits = reconcile_awaits_link(&ops);
	kops_fini(&ops);
	kset_fini(&have);
	s = space_get(r, ns); /* its place may have moved */
	if (s) {
		space_tried(r, s, rc < 0 ? e : NULL, awaits);
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
		    reconcile_drop_ns(r, found[i].ns, found[i].type, e) < 0) {
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
		space_unwant(r, o->v, o->n);
		owner_clear(o);
		memmove(o, o + 1, (r->n_owners - i - 1) * sizeof(*o));
		r->n_owners--;
	}
	for (size_t i = 0; i < r->n_spaces;) {
		struct space *s = &r->spaces[i];

		if (s->want.n == 0 && !kobj_ns_foreign(s->ns)) {
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
		if (r->spaces[i].type != KOBJ_NETNS_GUEST &&
		    repair_space(r, &r->spaces[i], &one) < 0) {
			*e = one;
			rc = -1;
			space_mark(r, &r->spaces[i]);
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
	/* In a given namespace all but our link is others'. */
	bool ours = ns >= KOBJ_NS_GIVEN ? index == 0 : index <= KOBJ_PEER_INDEX;

	if (!s || s->dirty) {
		return;
	}
	const struct kobj first = { .ns = ns, .kind = KOBJ_LINK }, *o;
	struct want_place p = want_from(&s->want, &first);
	for (; !ours && (o = want_at(&s->want, p)) && o->kind == KOBJ_LINK;
	     p = want_next(&s->want, p)) {
		ours = o->index == index;
		if (ours) {
			mark_peer(r, o);
		}
	}
	s = space_get(r, ns);
	if (ours) {
		space_mark(r, s);
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
			space_mark(r, s);
			due--;
		}
	}
}

static void repair_due(struct reconcile *r, struct space *s, int64_t now)
{
	struct err e = ERR_INIT;
	uint32_t ns = s->ns;
	uint64_t before = r->stats.repairs;

	/* Before it is looked at: what others do meanwhile marks it again. */
	s->dirty = false;
	s->last_ms = now;
	if (s->backoff_ms > 0) {
		r->k->mute(r->k, ns, false);
	}
	int rc = repair_space(r, s, &e);

	s = space_get(r, ns);
	if (!s) {
		return;
	}
	if (r->stats.repairs != before || rc < 0) {
		s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_FIRST_MS;
		if (s->backoff_ms > BACKOFF_MAX_MS) {
			s->backoff_ms = BACKOFF_MAX_MS;
		}
	}
	if (rc < 0) {
		space_mark(r, s);
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
		if (r->spaces[i].type !=
		    KOBJ_NETNS_GUEST) { /* there, other plugins may follow ours */
			space_mark(r, &r->spaces[i]);
		}
	}
}

void reconcile_stats(const struct reconcile *r, struct reconcile_stats *to)
{
	*to = r->stats;
	to->owners = r->n_owners;
	to->namespaces = r->n_spaces;
	to->objects = to->pending = to->refused = 0;
	for (size_t i = 0; i < r->n_spaces; i++) {
		to->objects += r->spaces[i].want.n;
		to->pending += r->spaces[i].dirty;
		to->refused += r->spaces[i].failed >= REFUSED_AFTER;
	}
}
