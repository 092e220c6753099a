/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Time and random numbers as values that are passed in: tests and the simulation replace them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock {
	/* Milliseconds that never jump (CLOCK_BOOTTIME); for timers and deadlines. */
	int64_t (*now_ms)(const struct clock *c);
	/* Milliseconds since 1970 UTC; for what people read and for rests that outlive a boot. */
	int64_t (*wall_ms)(const struct clock *c);
	void *arg;
};

struct random {
	void (*fill)(const struct random *r, void *to, size_t len);
	void *arg;
};

extern const struct clock clock_system;
extern const struct random random_system; /* getrandom(2); aborts if the kernel has none */

/* "2026-11-24T00:18:08.123Z" into `to` (at least 32 bytes). */
void clock_format(int64_t wall_ms, char *to, size_t size);
/* Milliseconds since 1970 of "2026-11-24T00:18:08Z", with or without a fraction, with Z, an offset or
 * neither (UTC, as az sends it); false: it is
 * none. */
bool clock_parse(const char *text, int64_t *wall_ms);
/* Seconds of an ISO 8601 duration without years and months ("PT1M30S", "P1D"); false: it is none. */
bool clock_duration(const char *text, int64_t *seconds);
/* A random UUID (version 4), 36 characters and a zero byte. */
void random_uuid(const struct random *r, char to[static 37]);
