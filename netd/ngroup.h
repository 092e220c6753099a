/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * NGroups: as many container groups as are wanted, made from a profile, in their load balancer's pools while
 * they are ready; rolling updates. Members are ordinary container groups whose status names the NGroup. What
 * is next is told from what is there (lb/rollout.h), so that any crash is passed over. ngroup.c is the
 * controller, ngroup_doc.c reads documents. The control role's; one thread.
 */
#pragma once

#include "netd/plane.h"

#define NGROUP_TYPE  "Microsoft.ContainerInstance/NGroups"
#define STANDBY_TYPE "Microsoft.StandbyPool/standbyContainerGroupPools"

/* An NGroup, or a standby pool: members whose number is kept, in no load balancer, until somebody takes one. */
bool ngroup_is(const struct resource *r);

int ngroup_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* The document was accepted: its profile's revision is settled, an update begins when it says so. */
void ngroup_change(struct resource *r);
void ngroup_load(void); /* after all resources were loaded */
/* A container group came, changed or (there false) is gone. */
void ngroup_member(struct resource *group, bool there);
/* Deletes all members, then the NGroup itself. */
void ngroup_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg);
void ngroup_gone(struct resource *r); /* its row goes */
/* "start", "stop" or "restart" of all members. */
void ngroup_action(struct resource *r, const char *action,
                   void (*reply)(void *arg, const struct err *e), void *arg);
/* Ends the update that is under way; false: there is none. */
bool ngroup_cancel(struct resource *r);
void ngroup_retry(int64_t now_ms); /* called now and then */

const char *ngroup_state(const struct resource *r);    /* provisioningState */
json_t *ngroup_view_rollout(const struct resource *r); /* new reference; NULL: there was none */
/* A ready member of the standby pool, made as the pool says now; NULL: there is none. */
struct resource *ngroup_ready(const struct resource *pool);
/* It is no member any more; and one again. */
void ngroup_release(struct resource *member);
void ngroup_return(struct resource *member);
/* How many members are in each state: {"Running": n, "Creating": n, "Deleting": n}; new reference. */
json_t *ngroup_count(const struct resource *r);
/* A member's document, as group's of that name; new reference, NULL with *e. */
json_t *ngroup_document(const struct resource *r, const char *name, struct err *e);
/* An NGroup that names the resource (a profile, a subnet's VNet, a load balancer); NULL: none. */
const struct resource *ngroup_of(const struct resource *r);
