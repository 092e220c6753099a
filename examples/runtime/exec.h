/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Interactive sessions of the example runtime: a process each, between netd's stream and `runc exec` or a
 * container's log (docs/runtime.md, "Sessions").
 */
#pragma once

#include <jansson.h>
#include <sys/types.h>

struct exec_at {
	const char *runc_root, *id; /* of the container */
	const char *dir;            /* where a pid file may be */
	const char *log;
	pid_t pid; /* whose end ends the log */
};

/* Serves netd's "exec" frame in a process of its own, over the stream `fd`, which stays the caller's. 0, or
 * -1: no process. */
int exec_start(const struct exec_at *at, const json_t *frame, int fd);
