/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Lists in pages: resources of a type, subscriptions. Only what the caller sees.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/api/http.h"

/* Resources of the type whose keys begin with the prefix. */
void list_resources(struct http_request *r, const struct caller *who, const char *prefix,
                    const char *type);
void list_subscriptions(struct http_request *r, const struct caller *who);
