/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * networkSecurityGroups and applicationSecurityGroups as documents: checks, default rules, and what
 * plans and the evaluator read. See plane.h. Memory only.
 */
#pragma once

#include "netd/plane.h"
#include "vnet/nsg.h"

/* May this be the document of the group `r` (NULL: a new one, with that id)? */
int security_check(const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* May `rule` be the i-th of the list (its end: one more)? */
int security_check_rule(const char *id, const json_t *list, size_t i, const json_t *rule,
                        struct err *e) __attribute__((warn_unused_result));
/* Its rules, default ones included, sorted; free with nsg_fini(). */
void security_read(struct resource *r, struct nsg *to);
/* What the service adds: ids, default rules, the subnets that use it. */
void security_view(const struct resource *r, json_t *props);
/* Sorted numbers of the application security groups that rules of the document name, at most `max`. */
size_t security_asgs(const struct resource *r, uint32_t *to, size_t max);
/* The application security groups that a container group's document names; their ids are checked. */
int security_members(const struct resource *group, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
