/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Flows of backends that leave: waited for until they have ended or the time is over, then ended. The
 * engine counts; control asks it while something drains. One thread.
 */
#pragma once

#include "lib/base/ip.h"
#include "netd/message.h"

/* MSG_DRAIN is a VNet, one of these with the question's number above it, and addresses: of the backend, of the frontend (family 0:
 * any), protocol and port of that (0: any). MSG_DRAINED has VNet, mode and number, whether it could be done, and the
 * flows that were alive at each. */
enum drain_mode {
	DRAIN_COUNT,
	DRAIN_CUT,    /* and ends them all: TCP by resets */
	DRAIN_FORGET, /* and forgets UDP flows, and TCP that was reset: they go on elsewhere */
	DRAIN_MODE = 0xff
};

struct drain {
	uint32_t vnet;
	struct ip backend;
	struct ip front; /* family 0: whatever leads to the backend */
	uint8_t proto;   /* with `front`: 6 or 17, and its port; 0: any */
	uint16_t port;
};

/* Begins once the engine has done what it was sent so far: new flows go elsewhere by then. done (or NULL)
 * is called when the flows have ended, at the latest shortly after `seconds`. */
void drain_begin(const struct drain *d, uint32_t seconds, void (*done)(void *arg), void *arg);
/* The backend takes new flows of that frontend's port again: it drains no more, and no flow is ended. */
void drain_return(const struct drain *d);
/* UDP flows to the backend, which is out but not gone, go elsewhere from their next packet on, and so does TCP from a port that was
 * refused there. */
void drain_forget(const struct drain *d);
/* MSG_DRAINED */
struct node;
void drain_answered(const struct node *n, uint32_t vnet, uint32_t mode, struct reader *r);
/* The engine is away: what it was asked, it is asked again. */
void drain_engine_gone(const struct node *n);
void drain_moved(uint32_t vnet); /* to another node: that question is answered by nobody */
/* Flows that ended in time, and that had to be ended, since the start. */
void drain_counts(uint64_t *drained, uint64_t *outlived);
