/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Azure's rule for flows that run: they live on when a rule comes to deny them, unless the security
 * group has flushConnection, or somebody asks for it. See plane.h.
 */
#pragma once

#include "netd/message.h"
#include "netd/plane.h"

/* Ends the flows that rules of the security group deny now, in all VNets where it is used. */
void flush_begin(struct resource *nsg);
/* Flows as the engine lists them: `token` is the security group's number. */
struct node;
void flush_flows(struct node *n, uint32_t token, uint32_t vnet, struct reader *r);
