/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * When a backend is healthy: consecutive answers, and patience with one that comes and goes. Pure: no
 * clock of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_FLAPS   4      /* changes to down within HEALTH_WINDOW that are one too many */
#define HEALTH_WINDOW  60000  /* ms */
#define HEALTH_HOLD_MS 300000 /* the longest that one that flaps is held down */

struct health {
	unsigned rise, fall; /* consecutive good, bad answers that turn it; at least 1 */
	bool up;
	unsigned run;                /* answers in a row that speak against what it is */
	int64_t downs[HEALTH_FLAPS]; /* when it last went down, latest first; 0 never */
	int64_t hold_ms;             /* how long it is held down; doubles while it flaps */
	int64_t held_until;
};

/* One answer more. True: it has turned, h->up says which way. Going up is put off while it is held. */
bool health_note(struct health *h, bool good, int64_t now_ms);
