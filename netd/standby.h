/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Container groups that are made from a profile, and from a standby pool when a ready one is there: it runs
 * already, and is given the new id. Pools themselves are kept by ngroup.h's controller. The control role's;
 * one thread.
 */
#pragma once

#include "netd/plane.h"

/* What the document of the group `id` (`r`, NULL: a new one) says together with the profile it names, and the
 * pool's subnet: a new reference; NULL with *e when what it names is not there. `doc` itself when it names
 * none, or what `r` was made from and is gone. */
json_t *standby_document(const struct resource *r, const char *id, json_t *doc, struct err *e);
/* The ready group that a new group with this document takes; *ret NULL: there is none, or none is wanted.
 * -1: the document wants to be refused then (StandbyPoolReuseFailed). */
int standby_find(const json_t *doc, struct resource **ret, struct err *e)
	__attribute__((warn_unused_result));
