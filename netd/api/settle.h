/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What control knows is ahead of the store while a change is under way, which may never be made: it is not told before.
 */
#pragma once

#include "netd/api/http.h"

/* Calls fn when all changes that are under way now have ended; answers the request instead when that cannot be told. */
void settle(struct http_request *r, void (*fn)(struct http_request *r));
