/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an NGroup does next: how many members to make, which to delete, which to bring to the new template.
 * Told from what is there, so that it may be asked again after any crash. Pure: no clock of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rollout_member {
	bool current;  /* made from the template as it is now */
	bool ready;    /* takes flows */
	bool failed;   /* not ready, and has been so for too long, or for good */
	bool leaving;  /* being deleted */
	bool updating; /* asked to take the new template in place, not done yet */
	uint64_t age;  /* smaller: older */
};

enum rollout_state {
	ROLLOUT_NONE, /* none is under way: members keep the template they have */
	ROLLOUT_RUNNING,
	ROLLOUT_STOPPING /* it failed or was cancelled: no more batches */
};

struct rollout {
	size_t desired;
	enum rollout_state state;
	bool in_place;
	unsigned batch_percent, unhealthy_percent, unhealthy_updated_percent;
	bool paused; /* the pause between batches is not over */
};

struct rollout_step {
	size_t make;     /* new members, of the current template */
	size_t n_delete; /* members to delete and to update: the first of order[], */
	size_t n_update; /* which are never more than there are */
	bool batch_done; /* a batch has ended: the pause begins */
	bool done;       /* all are current: the update has ended well */
	bool unhealthy;  /* too many are not well: the update has failed */
	size_t *order;   /* indices of members, n of them: whom to take */
};

/* Members in v[0..n-1]; order is the caller's, n long. `open`: a batch was begun and its end not told yet.
 * Never has more than a batch (of desired, rounded down, at least one) under way, nor deletes an old member
 * before a new one is ready in its place. */
void rollout_next(const struct rollout *r, const struct rollout_member *v, size_t n, bool open,
                  size_t *order, struct rollout_step *to);
