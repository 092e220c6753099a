/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Private DNS over HTTP: record sets that nobody put (registered ones, a new zone's SOA) and lists of record sets and
 * links. PUT, PATCH and DELETE are those of any resource.
 */
#pragma once

#include "lib/model/model.h"
#include "netd/api/http.h"

/* GET of a record set that is not stored, and lists. Answers and returns true, or false: it is not for this. */
bool zones_request(struct http_request *r, const struct model_id *id);
