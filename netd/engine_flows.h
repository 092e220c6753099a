/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The engine's work on flows of load balancers: counting and ending those of a backend that leaves, and
 * resets when an idle one is forgotten. One thread; blocks for the kernel's answers.
 */
#pragma once

#include "netd/message.h"
#include "netd/reconcile.h"

/* MSG_DRAIN: does what it says, and answers. */
void engine_drain(struct kernel *k, struct channel *control, struct reader *r);
/* Called now and then: VNets whose frontends want resets are listened to, others are not. */
void engine_flow_ends(struct kernel *k, struct reconcile *state);
/* The same at once for the VNets of objects that were just put: flows are only told of that began while
 * somebody listened. */
void engine_flow_ends_now(struct kernel *k, struct reconcile *state, const struct kset *puts);
/* Flows that were reset because they were idle, since the start. */
uint64_t engine_resets(void);
