/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Structured log: one JSON object a line on standard error. Tenants' strings are values and are
 * escaped; they are never part of a format. Only netd/ logs results of operations.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
	LOG_LEVEL_N,
};

struct log_field {
	const char *name; /* NULL ends the list */
	const char *str;  /* NULL: `num` is the value */
	int64_t num;
};

/* Name that every line carries (the role); static lifetime. Lines above `level` are dropped. */
void log_setup(const char *role, enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields);
/* JSON string escaping of `from` into `to` without quotes; cuts at `size`. Bytes that are not
 * printable ASCII become \u00XX, so a line is ASCII whatever came in. */
void log_escape(char *to, size_t size, const char *from);

#define LOG_STR(n, v)                              \
	{                                          \
		.name = (n), .str = (v) ? (v) : "" \
	}
#define LOG_NUM(n, v)                            \
	{                                        \
		.name = (n), .num = (int64_t)(v) \
	}
#define log_error(ev, ...) log_write(LOG_ERROR, ev, (struct log_field[]){ __VA_ARGS__, { 0 } })
#define log_warn(ev, ...)  log_write(LOG_WARN, ev, (struct log_field[]){ __VA_ARGS__, { 0 } })
#define log_info(ev, ...)  log_write(LOG_INFO, ev, (struct log_field[]){ __VA_ARGS__, { 0 } })
#define log_debug(ev, ...) log_write(LOG_DEBUG, ev, (struct log_field[]){ __VA_ARGS__, { 0 } })
