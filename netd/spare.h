/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Spares: namespaces with their link to a subnet, made ahead of the groups that will have them. A spare is an owner
 * of the engine's like a group, with a group's number and plan, only without addresses: no packet of it passes the
 * guard. The group that takes it is that owner from then on, so attaching is the rest of the same plan. What a
 * group had is never a spare again. They are as many as a subnet needed lately, in memory only: an engine or a control that
 * begins anew has none. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netd/subnet.h"

/* A group comes to the subnet: its number, with a port at *bridge that is counted already; 0: none is ready. Counts as
 * demand in any case. */
uint32_t spare_take(struct subnet *s, uint32_t *bridge);
/* All of the subnet's go. */
void spare_drop(const struct subnet *s);
/* The node's engine begins anew, and has none. */
struct node;
void spare_forget(const struct node *n);
/* The answer of that node's engine about one. */
void spare_done(const struct node *n, uint32_t number, bool ok);
/* Those that nobody wanted for a while go. */
void spare_sweep(int64_t now_ms);
