/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See crash.h. State: which point is armed, and how many passes are left.
 */
#include "lib/base/crash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define X(id, name, text) name,
	CRASH_TABLE(X)
#undef X
};
static const char *const texts[] = {
#define X(id, name, text) text,
	CRASH_TABLE(X)
#undef X
};

static int armed = CRASH_N;
static long left;

void crash_setup(void)
{
	const char *at = getenv("NETD_CRASH_AT");

	if (!at) {
		return;
	}
	size_t len = strcspn(at, ":");
	left = at[len] ? strtol(at + len + 1, NULL, 10) : 1;
	for (int i = 0; i < CRASH_N; i++) {
		if (strlen(names[i]) == len && memcmp(names[i], at, len) == 0) {
			armed = i;
		}
	}
}

void crash_point(enum crash_point p)
{
	if ((int)p == armed && --left <= 0) {
		kill(getpid(), SIGKILL);
	}
}

void crash_print(void)
{
	for (int i = 0; i < CRASH_N; i++) {
		printf("%-22s %s\n", names[i], texts[i]);
	}
}
