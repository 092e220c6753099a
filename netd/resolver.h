/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The resolver of one VNet: a process of its own, without rights, in the network namespace of the VNet's router, so
 * that what it asks takes the VNet's routes and is held against its security rules, and no two tenants share a cache.
 * The engine begins it when the dns role has the first question for it; it ends when the dns role lets go of it.
 *
 * MSG_RESOLVER_CONFIG: number of addresses to ask from (1), each family (1) and address (16); number of servers (1),
 * each family (1) and address (16): where everything goes (none: from the
 * root servers on); number of rules (2), each the name's length and bytes, number of servers (1), each family, address and port (2).
 * MSG_RESOLVE: id (8), type (2), flags (1), limit (2), the name's length and bytes, then the answer so far.
 * MSG_RESOLVED: id (8), the whole answer.
 */
#pragma once

#include "netd/role.h"

#define RESOLVE_EDNS   1u
#define RESOLVE_DNSSEC 2u

/* Serves on `fd`, a channel to the dns role, until its end. Blocks. */
int resolver_run(const struct config *c, int fd);
