/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * GET {id}/counters of a security group (each rule), a container group (its port, what was dropped of
 * it) and a virtual network (what its router dropped, and why). The engine reads the kernel; the
 * answer waits for it. One thread.
 */
#pragma once

#include "netd/api/http.h"
#include "netd/plane.h"

/* Answers later: 200 with the counters, 503 when they cannot be read. Counters begin at zero when their
 * ruleset or port is made anew. */
void counters_request(struct http_request *r, const struct resource *x);
/* MSG_COUNTER_LIST */
void counters_list(uint32_t token, uint32_t vnet, struct reader *r);
