/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a container uses, as its control groups (v1 or v2) tell.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Processor time in nanoseconds since its start, memory in bytes, of the control group of that name. False: it is not
 * there. */
bool stats_read(const char *cgroup, uint64_t *cpu_ns, uint64_t *bytes);
