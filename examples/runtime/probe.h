/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Readiness of a container: its readinessProbe, by HTTP from inside the group's namespace or by a
 * command in the container. A probe runs in a process of its own, so that none holds the others up.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct probe {
	const json_t *spec; /* readinessProbe; NULL: ready as soon as it runs */
	pid_t pid;          /* of the one that is asking, 0 none */
	int64_t due_ms;
	int good, bad; /* in a row */
	bool ready;
};

/* Where to ask. */
struct probe_at {
	const char *netns, *address; /* path; address of the group */
	const char *runc_root, *id;  /* of the container */
};

/* From now on, for a container that has just begun to run. */
void probe_begin(struct probe *p, const json_t *container, int64_t now_ms);
/* Asks when it is time. */
void probe_step(struct probe *p, const struct probe_at *at, int64_t now_ms);
/* The process ended with this status. */
void probe_ended(struct probe *p, int status, int64_t now_ms);
