/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Exec and attach, control's part: a POST makes a ticket, which the session role redeems when its caller
 * comes by WebSocket; only then is the runtime asked. Tickets are in memory only. One thread.
 */
#pragma once

#include <jansson.h>

#include "netd/api/caller.h"
#include "netd/plane.h"

/* Answers {"webSocketUri", "password"}, good for 60 s, for one connection from where the call came.
 * `exec`: the body names a command, else the container's output is followed. */
void exec_request(struct http_request *r, const struct caller *who, struct resource *group,
                  const char *container, bool exec);
/* The session role: the ticket's caller is there. */
void exec_begin(uint64_t ticket);
/* The runtime's "exec" frame: it cannot. */
struct node;
void exec_answer(const struct node *n, const json_t *m);
/* All sessions of a caller end: they may not call any more. */
void exec_end(const char *caller);
/* Tickets whose time is over. */
void exec_sweep(int64_t now_ms);
