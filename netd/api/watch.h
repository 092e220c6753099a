/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about the network: ipFlowVerify and nextHop of networkWatchers, effective routes and rules
 * of a container group, addresses and usages of a VNet, and traces. Answers at once.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/api/http.h"
#include "netd/plane.h"

/* A path below the resource `x`, whose last part is `what`; false: no such question. */
bool watch_request(struct http_request *r, const struct caller *who, const struct resource *x,
                   const char *what);
/* POST /netd/trace */
void watch_trace(struct http_request *r, const struct caller *who);
