/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a location offers and what a subscription has used of it. One thread.
 */
#pragma once

#include "lib/model/model.h"
#include "netd/api/http.h"

/* GET .../Microsoft.ContainerInstance/locations/{L}/capabilities, usages or cachedImages; false: none of these. */
bool locations_request(struct http_request *r, const struct model_id *id);
