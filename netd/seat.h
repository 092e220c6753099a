/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Who has the plane's control, where its store is etcd: the node that holds the store. Others that have joined, and whose
 * configuration has the same store and an address for nodes (listen-nodes), stand by: their control role is an agent as any
 * other's, until nobody holds the store; then one of them takes it, and begins as control does after a restart. A control that is
 * followed by another becomes an agent. All of them tell nodes where they would be found. See docs/nodes.md, "Control".
 */
#pragma once

#include <stdbool.h>

#include "lib/base/err.h"
#include "netd/agent.h"
#include "netd/node.h"

struct config;
struct loop;

/* Is the node configured so that it may have control of a plane that it has joined? */
bool seat_stands_by(const struct config *c);
/* At the start of a node that has joined: may it have control now? Takes the store, as plane.store; blocks up to 5 s. */
bool seat_take(const struct config *c);
/* Is this node, which has taken the store of a plane that it joined, one of that plane's, and can it open what is sealed there?
 * ERR_FORBIDDEN. */
int seat_fits(const struct config *c, struct err *e) __attribute__((warn_unused_result));
/* While an agent: refuses nodes that look for control here (`fd`: the listening descriptor, -1: none), and ends the process once nobody
 * holds the store. */
void seat_watch(const struct config *c, struct loop *l, int fd);

/* Control's, once nodes are served: where nodes find control, this one first, as addresses separated by commas. When others stand by, this
 * node gets a certificate as all nodes have, for when it is followed. */
void seat_places(char to[static PLANES_TEXT]);
/* They may have changed. */
void seat_changed(void);
/* Now and then: while the lease of the store has run out, is another node control? Then this process ends. */
void seat_look(int64_t now_ms);
