/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * GET of a subscription's usage (docs/accounting.md), and of a group's metrics in the words of Azure Monitor. Answers
 * come when the engine has told what was counted until now. One thread.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/plane.h"

/* Query: from, to (ISO 8601), $skiptoken. */
void usage_request(struct http_request *r, const struct caller *who, const char *subscription);
/* Query: metricnames, timespan, interval, aggregation. */
void metrics_request(struct http_request *r, const struct resource *group);
/* What metrics there are. */
void metrics_definitions(struct http_request *r, const struct resource *group);
