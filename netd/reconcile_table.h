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
	bool broken;     /* the last attempt to make it right failed */
	int64_t due_ms;  /* when repair may run */
	int64_t last_ms; /* last repair */
	int64_t backoff_ms;
	struct want want;
	struct kset
		owed; /* what a failed change should have removed from a group, where the rest is
	                     the tenant's and nothing else tells */
};

struct reconcile {
	struct kernel *k;
	const struct clock *clock;
	struct owner *owners; /* sorted by id */
	size_t n_owners, cap_owners;
	struct space *spaces; /* sorted by ns */
	size_t n_spaces, cap_spaces;
	bool listing, synced;
	uint32_t next_ns;    /* where repair goes on */
	uint32_t next_group; /* and the audit of groups */
	struct reconcile_stats stats;
};

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
/* Forgets it and moves those behind. */
void space_drop(struct reconcile *r, struct space *s);
/* Borrows the objects, sorted by key, until space_unwant(); -1: out of memory. */
int space_want(struct reconcile *r, struct kobj *const *v, size_t n);
/* The same objects, sorted by key; absent ones are passed over. */
void space_unwant(struct reconcile *r, struct kobj *const *v, size_t n);
/* Frees the owner's objects; nobody borrows them any more. */
void owner_clear(struct owner *o);

/* What a repair found, for who debugs: NETD_TRACE_REPAIR=1. */
void reconcile_trace(const struct kops *ops);
