/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * State of reconcile.c: owners with their objects, namespaces with sorted pointers into those.
 * Internal to the engine. Pointers to owners and spaces last until the next one is made or dropped.
 */
#pragma once

#include "netd/reconcile.h"
#include "netd/want.h"

struct owner {
	uint64_t id;
	struct kobj **v; /* sorted by key, each malloc'ed */
	size_t n;
	bool named; /* in the full list that is coming in */
};

struct space {
	uint32_t ns;
	uint8_t type; /* enum kobj_netns; 0 host, or not told yet */
	bool made;
	bool dirty;
	unsigned level;  /* of tightened shares, VNets only */
	bool broken;     /* the last attempt to make it right failed: */
	unsigned failed; /* so many repairs in a row, and why (malloc'ed) */
	char *why;
	unsigned tries; /* a change of it failed: so many repairs are to come before that is told */
	int64_t due_ms; /* when repair may run */
	int64_t last_ms; /* last repair */
	int64_t backoff_ms;
	struct want want;
	struct kset
		owed; /* what a failed change should have removed from a group, where the rest is
	                     the tenant's and nothing else tells */
};

/* A group's namespace, or a runtime's, that was dropped a moment ago. */
struct leaving {
	uint32_t ns;
	int64_t until_ms;
};

struct reconcile {
	struct kernel *k;
	const struct clock *clock;
	struct owner *owners; /* sorted by id */
	size_t n_owners, cap_owners;
	struct space *spaces; /* sorted by ns */
	size_t n_spaces, cap_spaces;
	size_t failing; /* of them broken */
	struct leaving *leaving;
	size_t n_leaving, cap_leaving;
	bool listing, synced;
	uint32_t next_ns;    /* where repair goes on */
	uint32_t next_group; /* and the audit of groups */
	void (*on_gone)(void *arg, uint32_t ns);
	void *gone_arg;
	struct reconcile_stats stats;
};

/* Is the inside of it a tenant's: what is not ours stays? */
static inline bool space_tenants(const struct space *s)
{
	return s->type == KOBJ_NETNS_GROUP || s->type == KOBJ_NETNS_GUEST;
}

/* Where an owner is, or would be. */
size_t owner_at(const struct reconcile *r, uint64_t id);
/* NULL when absent. */
struct owner *owner_get(struct reconcile *r, uint64_t id);
/* A new one; NULL: out of memory. */
struct owner *owner_make(struct reconcile *r, uint64_t id);
/* Where a namespace is, or would be. */
size_t space_at(const struct reconcile *r, uint32_t ns);
/* NULL when absent. */
struct space *space_get(struct reconcile *r, uint32_t ns);
/* That one, made when absent; NULL: out of memory. */
struct space *space_make(struct reconcile *r, uint32_t ns);
/* The same at once: a change of it failed. */
void space_again(struct reconcile *r, struct space *s);
/* What it holds is let go; it is to be forgotten. */
void space_fini(struct space *s);
/* It was repaired, or (not NULL) that failed; for want of what another namespace's repair brings, which is told of that one. */
void space_tried(struct reconcile *r, struct space *s, const struct err *e, bool awaits);
/* Forgets it and moves those behind. */
void space_drop(struct reconcile *r, struct space *s);
/* Borrows the objects, sorted by key, until space_unwant(); -1: out of memory. */
int space_want(struct reconcile *r, struct kobj *const *v, size_t n);
/* The same objects, sorted by key; absent ones are passed over. */
void space_unwant(struct reconcile *r, struct kobj *const *v, size_t n);
/* The namespace is to be compared with what is wanted, soon. */
void space_mark(struct reconcile *r, struct space *s);
/* Steps of a repair make links anew. When that is since a runtime's namespace behind one is gone, its owner's wants are
 * dropped: true, and the steps' objects are gone with them. */
bool reconcile_let_go(struct reconcile *r, const struct kops *ops);
/* A ruleset that becomes another is made anew: what is wanted in it, by whomever, comes along with it. */
void steps_refill(struct reconcile *r, struct kops *ops);
/* Frees the owner's objects; nobody borrows them any more. */
void owner_clear(struct owner *o);

/* Steps that make one namespace right; objects that steps point at live in *have. What is only waiting for the kernel to take it
 * down with a dropped namespace is right. -1: it cannot be told. */
int reconcile_compare(struct reconcile *r, struct space *s, struct kset *have, struct kops *ops,
                      struct err *e) __attribute__((warn_unused_result));
/* Does one of the steps want the inner end of a link? That comes with the outer one, by the repair of the namespace that this
 * is in. */
bool reconcile_awaits_link(const struct kops *ops);
/* The kernel is to drop that namespace; a group's takes its link in the VNet along, later. */
int reconcile_drop_ns(struct reconcile *r, uint32_t ns, uint8_t type, struct err *e)
	__attribute__((warn_unused_result));

/* What a repair found, for who debugs: NETD_TRACE_REPAIR=1. */
void reconcile_trace(const struct kops *ops);
