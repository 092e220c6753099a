/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The time that usage is told by: it runs as fast as the clock since boot, which never jumps, and follows the
 * wall clock forward only. So of a second that passed, exactly one is told, whatever is done to the wall
 * clock, and windows that follow each other hold each second once. Pure: no I/O.
 *
 * It is a list of marks: from `at_ms` (since the boot of that id) on, the time is `time_ms` and what passed since; that it
 * was so until `seen_ms` is known.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METER_BOOT 37 /* bytes of a boot's id (boot_id of random(4)) */

struct meter_mark {
	char boot[METER_BOOT];
	int64_t at_ms, time_ms, seen_ms;
};

struct meter_clock {
	struct meter_mark *v;
	size_t n;
};

void meter_clock_fini(struct meter_clock *c);
/* A mark as it was stored, behind those there are. */
void meter_clock_add(struct meter_clock *c, const char *boot, int64_t at_ms, int64_t time_ms,
                     int64_t seen_ms);
/* It is `boot_ms` since `boot`, and the wall clock says `wall_ms`. True: there is a mark more, which must be stored
 * before anybody is told a time. */
bool meter_clock_tell(struct meter_clock *c, const char *boot, int64_t boot_ms, int64_t wall_ms);
/* Until when that boot is known to have lasted; -1: it is not known. */
int64_t meter_clock_seen(const struct meter_clock *c, const char *boot);
/* The time at a moment of a boot; of one that is not known, or of before the first mark: that mark's. */
int64_t meter_clock_time(const struct meter_clock *c, const char *boot, int64_t at_ms);
/* How much of [from, to) of that time is in the stretch between two moments of a boot, in milliseconds. */
int64_t meter_clock_overlap(const struct meter_clock *c, const char *boot, int64_t begin_ms,
                            int64_t end_ms, int64_t from, int64_t to);
/* Marks before the one that holds at `time_ms` are forgotten. */
void meter_clock_prune(struct meter_clock *c, int64_t time_ms);
