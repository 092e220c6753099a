/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The engine's heart: which owner wants which kernel objects, and the one path by which the
 * kernel is made equal to it. Create, update, delete, restart and repair all come through here.
 * Runs over any `struct kernel`; knows no messages. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/kernel/kernel.h"

struct reconcile;

struct reconcile *reconcile_new(struct kernel *k, const struct clock *clock);
void reconcile_free(struct reconcile *r);

/* Makes `objects` (any order, copied, checked) what the owner wants. Steps: namespaces, removals,
 * links, the rest. On an error the namespaces concerned are marked for repair, and what the owner
 * wants is kept: repair goes on trying, and until it succeeds the same set is answered with ERR_BUSY.
 * `owner` is any number but 0. */
int reconcile_set(struct reconcile *r, uint64_t owner, const struct kobj *objects, size_t n,
                  struct err *e) __attribute__((warn_unused_result));
/* The same in parts of what the owner wants: `puts` come or change, `dels` go (their keys count);
 * with `whole` all goes that is not put. Both lists get sorted. */
int reconcile_patch(struct reconcile *r, uint64_t owner, struct kset *puts, struct kset *dels,
                    bool whole, struct err *e) __attribute__((warn_unused_result));
/* The owner wants nothing any more; absent is success. */
int reconcile_del(struct reconcile *r, uint64_t owner, struct err *e)
	__attribute__((warn_unused_result));

/* A full list comes: between begin and end reconcile_set() only takes notes of new owners; end
 * forgets owners that were not named, then compares every namespace with the kernel, removes what
 * nobody wants and makes the rest. Returns 0, or -1 when something remains for repair. */
void reconcile_begin(struct reconcile *r);
int reconcile_end(struct reconcile *r, struct err *e);
/* Has a full list been seen? Before that nothing is removed. */
bool reconcile_synced(const struct reconcile *r);

/* A runtime's namespace (KOBJ_NETNS_GUEST) that is gone: its owner, which has the namespace's number, wants nothing any more
 * from then on, and fn(arg, ns) is told. */
void reconcile_on_gone(struct reconcile *r, void (*fn)(void *arg, uint32_t ns), void *arg);
/* Is all there that the owner wants? ERR_NOT_FOUND names what is not, or is otherwise; ERR_BUSY: it cannot be told now. What is
 * not as it should be gets repaired, but in a runtime's namespace. */
int reconcile_check(struct reconcile *r, uint64_t owner, struct err *e)
	__attribute__((warn_unused_result));

/* Keeps an eye on a given namespace, also while nobody wants anything there. -1: out of memory. */
int reconcile_keep(struct reconcile *r, uint32_t ns) __attribute__((warn_unused_result));

/* Does anybody want that object (its key counts)? And any of that set in the namespace? */
bool reconcile_wants(const struct reconcile *r, const struct kobj *o);
bool reconcile_wants_any(const struct reconcile *r, uint32_t ns, enum kobj_set set);
/* The i-th namespace's number; 0 at the end. */
uint32_t reconcile_space(const struct reconcile *r, size_t i);

/* Somebody changed the kernel (kernel.h: watch): marks the namespace when it concerns us. */
void reconcile_event(struct reconcile *r, uint32_t ns, uint32_t index);
/* Repairs what is due, for some 10 ms at a stretch. Returns the delay in ms until it wants to be
 * called again, -1 for never. */
int64_t reconcile_repair(struct reconcile *r);
/* Namespaces that the kernel does not let be made right: REFUSED_AFTER repairs failed, 35 ms and more after the first; repair goes
 * on. From the *i-th of all on (0 at first) the next one, and what the kernel said last, until the next change or repair; false: no more. */
#define REFUSED_AFTER 4
bool reconcile_refused(const struct reconcile *r, size_t *i, uint32_t *ns, const char **why);
/* Did a change fail that repair has not tried often enough for it to be told as refused? (What strangers do makes nobody wait.) */
bool reconcile_trying(const struct reconcile *r);
/* Marks every namespace, for the periodic audit. */
void reconcile_audit(struct reconcile *r);

/* The same for those groups whose turn it is, `elapsed_ms` after the last call: their namespaces
 * report nothing. A round takes 3 s, or 6 ms a group. */
void reconcile_audit_groups(struct reconcile *r, int64_t elapsed_ms);

/* Watches how many flows each VNet tracks, and tightens its shares of new ones as its budget is used
 * up: at a half each group's, at nine tenths all together; wider again at a fifth less. */
void reconcile_budgets(struct reconcile *r, long budget);

struct reconcile_stats {
	uint64_t owners, objects, namespaces;
	uint64_t applied;  /* steps executed */
	uint64_t repairs;  /* namespaces found different and repaired */
	uint64_t failures; /* repairs and changes that failed */
	uint64_t pending;  /* namespaces marked */
	uint64_t refused;  /* namespaces that reconcile_refused() tells */
	uint64_t flows;    /* that VNets track, when last looked */
	uint64_t tight;    /* VNets whose shares are tightened */
};
void reconcile_stats(const struct reconcile *r, struct reconcile_stats *to);
