/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Logs of containers: the runtime has them, control asks it and passes them on. One thread.
 */
#pragma once

#include <jansson.h>

#include "netd/api/http.h"

/* Answers {"content"} when the runtime has; 503 when it is away or silent for 5 s. Query: tail
 * (lines, 1 to 100,000), timestamps. */
void logs_request(struct http_request *r, const char *group, const char *container);
/* The "logs" frame of that node's runtime. */
struct node;
void logs_answer(const struct node *n, const json_t *m);
/* Those who waited long enough; and for that node's runtime, which has left. */
void logs_sweep(int64_t now_ms);
void logs_gone(const struct node *n);
