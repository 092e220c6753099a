/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What NGroups and their profiles have below them: the latest rolling update and its end, revisions. Answers
 * at once.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/api/http.h"
#include "netd/plane.h"

/* False: it is no such path. */
bool ngroups_request(struct http_request *r, struct resource *x, const struct model_id *id);
/* POST /netd/node/reclaim {"groups", "cpu", "memoryInGB", "noticeSeconds"}: Spot groups make room. The
 * administrator's. */
void ngroups_reclaim(struct http_request *r, const struct caller *who);
