/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How the plane is: for a supervisor (/healthz), for who waits until it serves (/readyz), for a monitor
 * (/metrics, Prometheus' text format).
 */
#pragma once

#include "netd/api/caller.h"

/* `who` NULL: anybody. What is a tenant's own is told to those who may see it. */
void health_request(struct http_request *r, const struct caller *who);
