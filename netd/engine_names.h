/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the engine does for the dns role: sockets in VNets' routers, and resolver processes there. One thread; blocks
 * for a fork.
 */
#pragma once

#include "lib/kernel/kernel.h"
#include "netd/role.h"

/* MSG_NAMES_SOCKET_ASK, MSG_NAMES_SOCKET_DROP, MSG_RESOLVER_ASK: does what it says, and answers. */
void engine_names(const struct config *c, struct kernel *k, struct channel *dns, enum msg_type type,
                  struct reader *r);
/* Routers that were made anew get new sockets, and those of routers that are gone are let go; now and then. */
void engine_names_check(struct kernel *k, struct channel *dns);
/* Resolvers that ended are waited for; the engine calls it when a child ended. */
void engine_names_reap(void);
