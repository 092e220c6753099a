/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The plane's nodes, for its administrator: /netd/nodes and /netd/join-tokens. See docs/nodes.md.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/api/http.h"

/* Answers the request. */
void nodes_request(struct http_request *r, const struct caller *c);
