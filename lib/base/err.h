/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The error object that every fallible function fills. It lives on the caller's stack and
 * allocates nothing, so that running out of memory can be reported too. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>

/* What went wrong, as far as behaviour depends on it. One table (err.c) maps a kind to its text,
 * its HTTP status and whether the same request may succeed later. */
enum err_kind {
	ERR_INVALID,
	ERR_UNAUTHENTICATED,
	ERR_FORBIDDEN,
	ERR_NOT_FOUND,
	ERR_CONFLICT,
	ERR_PRECONDITION,
	ERR_TOO_LARGE,
	ERR_LIMIT,
	ERR_UNSUPPORTED,
	ERR_METHOD,
	ERR_BUSY,
	ERR_NO_SPACE,
	ERR_UNAVAILABLE,
	ERR_NO_MEMORY,
	ERR_SYSTEM,
	ERR_N,
};

struct err {
	enum err_kind kind;
	int sys;          /* errno where a system call failed, else 0 */
	const char *code; /* ARM error code with static lifetime, or NULL for the kind's default */
	char target[192]; /* JSON path or field at fault, "" when none */
	char msg[512];
};

#define ERR_INIT                   \
	{                          \
		.kind = ERR_SYSTEM \
	}

/* Sets *e and returns -1. `sys` is an errno whose text is appended, or 0. */
int err_set(struct err *e, enum err_kind kind, int sys, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), cold));

/* The same with an ARM code (static string) and the field at fault (copied; may be NULL). */
int err_set_at(struct err *e, enum err_kind kind, const char *code, const char *target,
               const char *fmt, ...) __attribute__((format(printf, 5, 6), cold));

/* Puts "context: " before the message of *e; returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/* Default ARM code of a kind, its HTTP status, whether a retry can help. */
const char *err_kind_code(enum err_kind kind);
int err_kind_http(enum err_kind kind);
bool err_kind_retryable(enum err_kind kind);
