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
bool spot_evict(size_t groups, const double amounts[2], uint32_t notice_s, json_t *list);
/* A group that stands may be handed over: there is room, or nobody is on his way out to make some. */
bool spot_fits(void);
/* A stopped one that was evicted is to start again: is there room? Takes it. */
int spot_resume(struct resource *r, struct err *e);
