/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about load balancers: health of a rule's backends, ports of an inbound NAT rule. Answers at
 * once.
 */
#pragma once

#include "netd/api/http.h"
#include "netd/plane.h"

/* ".../loadBalancers/L/loadBalancingRules/R/health" and the like; `x` is the load balancer. */
void balancing_request(struct http_request *r, const struct resource *x, const struct model_id *id);
