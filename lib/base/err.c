/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See err.h. Pure: no I/O, no allocation, no state.
 */
#include "lib/base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *code;
	int http;
	bool retryable;
} kinds[] = {
	[ERR_INVALID] = { "InvalidRequestContent", 400, false },
	[ERR_UNAUTHENTICATED] = { "AuthenticationFailed", 401, false },
	[ERR_FORBIDDEN] = { "AuthorizationFailed", 403, false },
	[ERR_NOT_FOUND] = { "ResourceNotFound", 404, false },
	[ERR_CONFLICT] = { "Conflict", 409, false },
	[ERR_PRECONDITION] = { "PreconditionFailed", 412, false },
	[ERR_TOO_LARGE] = { "RequestContentTooLarge", 413, false },
	[ERR_LIMIT] = { "TooManyRequests", 429, true },
	[ERR_UNSUPPORTED] = { "UnsupportedMediaType", 415, false },
	[ERR_METHOD] = { "MethodNotAllowed", 405, false },
	[ERR_BUSY] = { "AnotherOperationInProgress", 409, true },
	[ERR_NO_SPACE] = { "InsufficientStorage", 507, true },
	[ERR_UNAVAILABLE] = { "ServiceUnavailable", 503, true },
	[ERR_NO_MEMORY] = { "ServiceUnavailable", 503, true },
	[ERR_SYSTEM] = { "InternalServerError", 500, true },
};
static_assert(sizeof(kinds) / sizeof(kinds[0]) == ERR_N, "a row for every kind");

const char *err_kind_code(enum err_kind kind)
{
	return kinds[kind].code;
}

int err_kind_http(enum err_kind kind)
{
	return kinds[kind].http;
}

bool err_kind_retryable(enum err_kind kind)
{
	return kinds[kind].retryable;
}

static void fill(struct err *e, int sys, const char *fmt, va_list ap)
{
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);

	e->sys = sys;
	if (sys && n >= 0 && (size_t)n < sizeof(e->msg)) {
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", strerror(sys));
	}
}

int err_set(struct err *e, enum err_kind kind, int sys, const char *fmt, ...)
{
	va_list ap;

	e->kind = kind;
	e->code = NULL;
	e->target[0] = '\0';
	va_start(ap, fmt);
	fill(e, sys, fmt, ap);
	va_end(ap);
	return -1;
}

int err_set_at(struct err *e, enum err_kind kind, const char *code, const char *target,
               const char *fmt, ...)
{
	va_list ap;

	e->kind = kind;
	e->code = code;
	snprintf(e->target, sizeof(e->target), "%s", target ? target : "");
	va_start(ap, fmt);
	fill(e, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char was[sizeof(e->msg)];
	va_list ap;
	int n;

	memcpy(was, e->msg, sizeof(was));
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg)) {
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, ": %s", was);
	}
	return -1;
}
