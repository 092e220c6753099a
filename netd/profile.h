/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * containerGroupProfiles: templates of container groups, each change a revision that stays. A revision's
 * secrets are sealed. The control role's; one thread.
 */
#pragma once

#include "netd/plane.h"

#define PROFILE_OF_GROUPS "Microsoft.ContainerInstance/containerGroupProfiles"

/* May this be the document? */
int profile_check(const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* The document (`full`: with its secrets) was accepted: a revision more, when it says something else. */
void profile_revise(struct resource *r, const json_t *full);
/* A revision's document with its secrets (0: the latest); new reference, NULL: there is none. */
json_t *profile_document(const struct resource *r, json_int_t revision);
/* Takes from a profile's document what groups do not have. */
void profile_trim(json_t *doc);
json_int_t profile_revision(const struct resource *r); /* the latest */
/* The profile as it was; new reference, NULL: no such revision. And all of them. */
json_t *profile_view_revision(const struct resource *r, json_int_t revision);
json_t *profile_view_revisions(const struct resource *r);
void profile_view(const struct resource *r, json_t *props);
/* How long a group of it has to end, in seconds; 0: it does not say. */
uint32_t profile_grace(const json_t *doc);
