/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Accounting: for how long a container group was there, with which cpu and memory, and what went over its
 * network. A period begins and ends with the transaction that says so (PUT, start; stop, DELETE), by the clock of
 * meter_clock.h; it is in the group's status ("meter"), and in rows of its own (usage/SUBSCRIPTION/END/NUMBER) when
 * the group is gone or has many. Also rates of the last hours, in memory. One thread.
 */
#pragma once

#include <jansson.h>

#include "netd/meter_clock.h"
#include "netd/plane.h"

/* The row "meter/clock". */
void meter_load(const json_t *row);
/* After the store was read, before groups are: the clock goes on. */
void meter_start(void);
/* A loaded group that runs has a period; true: its status changed (the machine was started anew). */
bool meter_restore(struct resource *group);

/* Its period begins, with the amounts of its document, or ends; into its status, which the caller stores. Nothing
 * when it is so already, and none begins while its containers have ended for good ("rests" in its status). */
void meter_begin(struct resource *group);
void meter_end(struct resource *group);
/* Another document, the same period unless its amounts differ. */
void meter_change(struct resource *group);
/* A row with the periods that have ended, which leave the status; NULL: none. Both strings are the caller's. Stored in
 * the transaction that the status, or its removal, is stored by. */
char *meter_take_row(struct resource *group, char **key);

/* Asks the engine for the last numbers of a group that is about to be detached. */
void meter_ask_group(const struct resource *group);
/* The same for all groups of a subscription (NULL: of all); they are there when fabric_wait() calls back. */
void meter_ask_all(const char *subscription);
/* The engine's answer; true: it was asked from here. */
struct node;
bool meter_counted(const struct node *n, uint32_t token, struct reader *r);
/* The runtime's "usage" frame: cpu and memory of a group's containers. */
void meter_reported(const json_t *m);
/* Beats, samples, days, old rows. */
void meter_sweep(int64_t now_ms);
void meter_forget(struct group *g); /* what was sampled of it */

/* A period, as it is told. */
struct meter_period {
	const char *id;
	int64_t start, end; /* of what is in the window; that clock's milliseconds */
	int64_t ms;         /* of it that passed */
	bool runs;          /* it has not ended */
	double cpu, memory;
	int64_t bytes_in, bytes_out;
};
/* The time now. */
int64_t meter_now(void);
/* Calls fn for each period of a subscription (lower case) that is in [from, *to), from where `after` says (""; then what
 * fn was given as `place` of the first that it refused by false), then `done` with the same `arg`, perhaps inside this call.
 * *to INT64_MAX: is set to the time now, which is also when periods that run end, so that all of their bytes are told.
 * ERR_UNAVAILABLE: rows cannot be read. */
void meter_periods(const char *subscription, int64_t from, int64_t *to, const char *after,
                   bool (*fn)(void *arg, const struct meter_period *p, const char *place),
                   void (*done)(void *arg, const struct err *e), void *arg);

/* Averages of a minute. */
struct meter_sample {
	int64_t minute; /* since 1970; 0: none */
	float in, out;  /* bytes a second */
	float cpu;      /* thousandths of a core; below 0: nobody said */
	float memory;   /* bytes; the same */
};
#define METER_MINUTES 180
/* Those of a group, METER_MINUTES, in any order; NULL: none yet. */
const struct meter_sample *meter_samples(const struct resource *group);
