/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A container group's state in memory, shared by group.c (its life), group_number.c (groups by number),
 * group_runtime.c (what the runtime is told and says) and group_flows.c (flows of load balancers). Internal
 * to them.
 */
#pragma once

#include "netd/plane.h"

enum ask {
	ASK_NONE,
	ASK_ATTACH,
	ASK_DETACH,
	ASK_NAME,
	ASK_UNNAME,
	ASK_CHECK,
	ASK_TAP,   /* of a virtual machine */
	ASK_SPARE, /* spare.h: no group's yet */
	ASK_SYNC
};

/* Somebody who waits until the group runs, has failed, or is gone. */
struct group_wait {
	void (*fn)(void *arg, struct resource *r, const struct err *e);
	void *arg;
	struct group_wait *next;
};

struct group {
	struct resource *r;
	json_t *full; /* document with secrets, until the runtime has it */
	json_t *kept; /* the same afterwards, where there are other nodes: should its own be lost */
	int ns_fd;
	bool attached, handed, started, ready, named, naming;
	bool deleting, unnamed, stopped, detached, removing, failed, down;
	bool lost; /* its secrets, when control ended before the runtime had them */
	bool stop_sent;
	bool draining, drained; /* flows of load balancers */
	bool waits;             /* for room that Spot groups make */
	bool withdrawn;         /* it takes no flows: an update in place comes */
	void (*withdrawn_done)(struct resource *r);
	bool held; /* the runtime may have it: it was handed over, by this control or one before */
	int64_t retry_ms, retry_at_ms; /* of an attach that failed; 0: it did not */
	bool moving;                   /* to another node: home_move.c */
	bool guest; /* a runtime made its namespace, and knows of its containers by itself: guest.h */
	struct group_wait *waiters;
	struct group_samples *samples; /* meter_sample.c; NULL: none yet */
	unsigned commits; /* under way; the group is as the store says when there are none */
};

/* Does what is next; group.c. */
void group_advance(struct group *g);
void group_save(struct group *g); /* its status; nobody waits */

/* Where it is, and its VNet's number. NULL: on a node that was removed. */
struct node *group_node(const struct group *g);
uint32_t group_vnet(const struct group *g);
/* Tells the runtime there; takes the reference. */
void group_tell(const struct group *g, json_t *m);

/* It is about to leave its node, is on another from now on (true: the VNet has a branch more or less by that), and has come there: its
 * containers begin anew. */
void group_leave(struct group *g);
bool group_set_node(struct group *g, struct node *to);
void group_arrive(struct group *g);
/* Its VNet has another home than that one: groups that stay where they are have another way out. */
void group_rehome(uint32_t vnet, const struct node *from);

/* Groups by number: answers of engine and dns carry it. */
uint32_t group_serial(const struct group *g);
uint64_t group_ask(const struct group *g, enum ask ask);
struct group *group_by_serial(uint32_t n); /* NULL: none */
void group_number_add(struct group *g);
void group_number_drop(const struct group *g);

void group_hand_over(struct group *g);
/* The engine's answer about its tap. */
void group_tap_done(struct group *g, bool ok, const char *text);
void group_send_stop(struct group *g, bool remove);

/* Begins to drain; g->drained says that it is done, group_advance() is called then. */
void group_drain(struct group *g);
/* A new document is about to be handed over. */
void group_returns(struct group *g);
