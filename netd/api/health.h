/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * How the plane is: for a supervisor (/healthz), for who waits until it serves (/readyz), for a monitor
 * (/metrics, Prometheus' text format).
 */
#pragma once

#include "netd/api/http.h"

void health_request(struct http_request *r);
