/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What happens to a packet, told from the same documents and plans that the kernel was given: hop by
 * hop, with the rule, route or translation that decides. See plane.h. Memory only.
 */
#pragma once

#include "netd/plane.h"
#include "vnet/nsg.h"

struct trace {
	json_t *hops; /* [{"at", "does", "why"}], new reference; NULL: not wanted */
	bool (*sees)(void *arg, const struct resource *r); /* who may be named; NULL: all */
	void *arg;
	bool passes;
	char where[200]; /* what it came to: "group web", "the internet", or who dropped it */
};

/* The first packet of a flow to an address, from a group's address, or with `from` NULL from outside.
 * ICMP: an echo request, ports 0. */
void trace_flow(const struct ip *src, const struct ip *dst, uint8_t proto, uint16_t sport,
                uint16_t dport, const struct resource *from, struct trace *to);

/* The security rule that decides about a flow of that group; NULL: no security group there. */
const char *trace_rule(const struct resource *group, const struct nsg_flow *f, bool *allow,
                       char name[static 120]);

/* Does that security group deny the flow in the VNet, on its way out of a subnet or into one? What it
 * reads for that is kept until trace_forget(). */
bool trace_denies(struct resource *nsg, uint32_t vnet, const struct nsg_flow *f);
void trace_forget(void);

/* How a group's packets to an address leave its subnet: Azure's next-hop type, `hop` where there is
 * one, `table` the id of the route table that says so ("System Route" else). */
const char *trace_next_hop(const struct resource *group, const struct ip *dst, struct ip *hop,
                           const char **table);

/* What Azure's effective* operations return; new references. */
json_t *trace_effective_routes(const struct resource *group);
json_t *trace_effective_rules(const struct resource *group);

/* The group whose private address that is; in `vnet`, 0: in the only VNet that has it. */
const struct resource *trace_group(const struct ip *ip, uint32_t vnet);
