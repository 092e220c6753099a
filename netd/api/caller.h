/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who calls. A caller has subscriptions, a role and a scope, and lives in the store; bearer tokens
 * (hashed, with an expiry) and the peer's user on the Unix socket are ways to become one. Root on
 * the host is the built-in owner of everything. One thread.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "netd/api/http.h"

enum caller_role {
	CALLER_READER,
	CALLER_CONTRIBUTOR,
	CALLER_OWNER
};

struct caller {
	char name[64];
	char *subscriptions; /* lower case, each between spaces; "*" for all */
	char *scope;         /* lower-case id that begins every path they may touch; "" for all */
	enum caller_role role;
	uint32_t uids[8]; /* who they are on the Unix socket; 0 ends */
};

/* Callers and tokens of the store; store_load()'s callback. */
int caller_load(void *arg, const char *key, uint64_t rev, const char *value);
/* NULL: nobody. Valid until the next change of callers. */
const struct caller *caller_of(const struct http_request *r);
/* May they know of this path at all? What they may not know is answered as absent. */
bool caller_sees(const struct caller *c, const char *path);
/* An owner of all subscriptions: the plane's administrator. NULL is allowed. */
bool caller_admin(const struct caller *c);
bool caller_in(const struct caller *c, const char *subscription);
/* Requests below /netd/callers and /netd/tokens; answers them. */
void caller_request(struct http_request *r, const struct caller *c);
