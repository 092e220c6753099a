/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See health.h.
 */
#include "lb/health.h"

#include <string.h>

#define HOLD_FIRST_MS 10000

static void went_down(struct health *h, int64_t now_ms)
{
	int64_t oldest = h->downs[HEALTH_FLAPS - 1];

	memmove(&h->downs[1], &h->downs[0], sizeof(h->downs) - sizeof(h->downs[0]));
	h->downs[0] = now_ms;
	if (oldest && now_ms - oldest <= HEALTH_WINDOW + h->hold_ms * HEALTH_FLAPS) {
		h->hold_ms = h->hold_ms ? h->hold_ms * 2 : HOLD_FIRST_MS;
		h->hold_ms = h->hold_ms < HEALTH_HOLD_MS ? h->hold_ms : HEALTH_HOLD_MS;
		h->held_until = now_ms + h->hold_ms;
	} else {
		h->hold_ms = 0;
	}
}

bool health_note(struct health *h, bool good, int64_t now_ms)
{
	if (good == h->up) {
		h->run = 0;
		return false;
	}
	h->run++;
	if (h->run < (good ? h->rise : h->fall) || (good && now_ms < h->held_until)) {
		return false;
	}
	h->up = good;
	h->run = 0;
	if (!good) {
		went_down(h, now_ms);
	}
	return true;
}
