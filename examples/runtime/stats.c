/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See stats.h.
 */
#include "examples/runtime/stats.h"

#include <inttypes.h>
#include <stdio.h>

/* The first number in a file of control groups, behind its name if that comes first. */
static bool number(const char *dir, const char *cgroup, const char *file, uint64_t *to)
{
	char path[400];
	int n = 0;

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s/%s", dir, cgroup, file);
	FILE *f = fopen(path, "re");
	if (f) {
		n = fscanf(f, "%*[a-z_ ]%" SCNu64, to);
		if (n < 1) {
			rewind(f);
			n = fscanf(f, "%" SCNu64, to);
		}
		fclose(f);
	}
	return n == 1;
}

bool stats_read(const char *cgroup, uint64_t *cpu_ns, uint64_t *bytes)
{
	if (number("", cgroup, "cpu.stat", cpu_ns)) {
		*cpu_ns *= 1000;
		return number("", cgroup, "memory.current", bytes);
	}
	return number("/cpuacct", cgroup, "cpuacct.usage", cpu_ns) &&
	       number("/memory", cgroup, "memory.usage_in_bytes", bytes);
}
