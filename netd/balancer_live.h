/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A load balancer's state in memory, shared by balancer.c and balancer_probe.c. Internal to them.
 */
#pragma once

#include <sys/queue.h>

#include "lb/slots.h"
#include "netd/balancer_parts.h"

/* Slots of rules that have the same pools, probe and IP version. */
struct lb_table {
	char *key; /* "pool,pool|probe|4" */
	struct slots slots;
	bool used;
	struct ip *left; /* members that it lost when it was last made, until the plan is done */
	size_t n_left;
	bool changed; /* for as long */
};

/* A group that its NGroup has put into a pool. */
struct lb_joined {
	char *pool; /* name, lower case */
	const struct resource *group;
};

struct lb_target;

struct balancer {
	struct resource *r;
	uint32_t vnet; /* number; 0: in none yet */
	uint64_t sign; /* counts plans */
	struct lb_table *tables;
	size_t n_tables;
	struct lb_joined *joined;
	size_t n_joined;
	struct lb_target **targets;
	size_t n_targets;
	int64_t planned_ms, calmed_ms; /* last plan, and last one that nobody waited for */
	int64_t due_ms;                /* while dirty */
	LIST_ENTRY(balancer) link;     /* while dirty */
	bool dirty;                    /* to be planned soon */
	bool settled;                  /* planned once by this control */
	bool turned;                   /* a table has other members since its NGroups were told */
	bool unsaved;                  /* its status changed while it was planned */
};

/* Plans it again, nobody waits for it: now or, when that was done a moment ago, within 50 ms. */
void lb_touch(struct balancer *b);

/* Between begin and end each backend that rules ask about is named; the others are forgotten. What is
 * known of it: `was_in` says that it took flows before this control began. */
void lb_targets_begin(struct balancer *b);
enum lb_health lb_target(struct balancer *b, const json_t *probe, const struct ip *ip, bool was_in);
/* And each TCP port of a public frontend, which is asked from outside, by the gateway. */
void lb_outside(struct balancer *b, const json_t *rule, const struct ip *ip, uint16_t port);
/* Did it answer: {"now": true, "percent": 99.5} of the last hour or so; null: not known. New reference. */
json_t *lb_available(const struct balancer *b, const json_t *rule, const struct ip *ip);
void lb_targets_end(struct balancer *b);

/* All of them, in no order. */
size_t lb_count(void);
struct balancer *lb_at(size_t i);
/* The table of that name, made when absent; its row into the store. */
struct lb_table *lb_table_make(struct balancer *b, const char *key);
void lb_table_save(const struct balancer *b, const struct lb_table *t);
/* Brings its tables to who takes flows now, and appends what it wants of the kernel. */
void lb_plan(struct balancer *b, struct kset *to);

/* How members leave when nothing else says it; balancer_out.c. */
void lb_plan_outbound(struct balancer *b, struct kset *to);
/* A port of a frontend with enableFloatingIP, and the groups that its flows may reach (of any family; those
 * of the frontend's count). p's VNet and number are filled in. */
struct lb_float;
void lb_plan_floating(struct balancer *b, const json_t *front, const struct lb_float *p,
                      const struct lb_member *v, size_t n, struct kset *to);
/* Numbers of frontends that float no more are free again. */
void lb_floating_forget(struct balancer *b);

/* Addresses of internal frontends: as the document wants them, -1 with *e and nothing changed when one
 * cannot be had; all given back; taken again after a start. */
int lb_front_take(struct balancer *b, const json_t *doc, struct err *e);
void lb_front_give(struct balancer *b);
void lb_front_restore(struct balancer *b);
