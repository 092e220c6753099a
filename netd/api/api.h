/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers of the API: JSON bodies and ARM errors. See api.c for the routes, front.c for what comes before them.
 */
#pragma once

#include <jansson.h>

#include "lib/base/err.h"
#include "netd/api/http.h"

/* Answers with a body (taken; may be NULL). `headers`: whole lines ending in CRLF, or "". */
void api_json(struct http_request *r, int status, const char *headers, json_t *body);
/* Answers {"error": {code, message, target?}} with the kind's status. */
void api_error(struct http_request *r, const struct err *e);
/* Leads an authenticated request to what it asks for. */
void api_serve(struct http_request *r);
/* The request's body as an object, or NULL: it was answered. New reference. */
json_t *api_body(struct http_request *r);
