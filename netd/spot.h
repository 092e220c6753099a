/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Spot groups: they run while there is room, and give it up with notice. A member of an NGroup is deleted, and
 * made again when there is room; another is stopped, and may be started then. The control role's; one thread.
 */
#pragma once

#include "netd/plane.h"

#define SPOT_NOTICE_S 30

bool spot_is(const json_t *doc);
/* Evicts Spot groups, the youngest first, until that many have gone, or that much cpu and memory (GB) is given
 * up; those on their way count. The ids of those evicted now into `list` (NULL: not wanted). False: there are
 * not so many, and none was touched. */
struct node;
/* `n`: on that node; NULL: on any. */
bool spot_evict(const struct node *n, size_t groups, const double amounts[2], uint32_t notice_s,
                json_t *list);
/* A group that stands on the node may be handed over: there is room, or nobody is on his way out to make some. */
bool spot_fits(const struct node *n);
/* It was stopped, and its room is free. */
bool spot_is_out(const struct resource *r);
/* A stopped one that was evicted is to start again: is there room? Takes it. */
int spot_resume(struct resource *r, struct err *e);
