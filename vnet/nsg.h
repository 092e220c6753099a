/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Network security groups: rules as plain data, which rule decides a flow, and the plan that makes
 * the kernel decide the same. Semantics: learn.microsoft.com, "Network security groups": lowest
 * priority number first, the first match decides, each direction by itself. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"
#include "lib/kernel/kobj.h"

#define NSG_DEFAULT_FIRST 65000 /* priorities from here on are the default rules' */
#define NSG_ASGS_MAX      10

struct nsg_ports {
	uint16_t low, high;
};

/* Whom a rule speaks of: any, or whoever one of the others covers. */
struct nsg_side {
	bool any;
	bool vnet;                  /* tag VirtualNetwork */
	bool internet;              /* tag Internet: all that VirtualNetwork is not */
	struct ip_prefix *prefixes; /* both families, in any order */
	size_t n_prefixes;
	uint32_t asgs[NSG_ASGS_MAX]; /* application security groups, by number */
	size_t n_asgs;
};

struct nsg_rule {
	char name[81];
	uint16_t priority;
	bool inbound, allow;
	uint8_t proto;              /* IP protocol number, 1 also for ICMPv6; 0 any */
	struct nsg_side side[2];    /* source, destination */
	struct nsg_ports *ports[2]; /* of each side */
	size_t n_ports[2];          /* 0: all ports, and protocols that have none */
};

struct nsg {
	uint32_t id;        /* its number */
	struct nsg_rule *v; /* both directions, the default rules too; nsg_sort() orders them */
	size_t n;
};

void nsg_fini(struct nsg *g);
/* Appends a rule with nothing set; NULL: out of memory. Valid until the next call. */
struct nsg_rule *nsg_add(struct nsg *g);
/* Appends Azure's six default rules. -1: out of memory. */
int nsg_add_defaults(struct nsg *g);
/* By direction and priority: what nsg_match() and vnet_plan_nsg() expect. */
void nsg_sort(struct nsg *g);
/* Appends to a side, or to its ports. -1: out of memory. */
int nsg_side_add(struct nsg_side *s, const struct ip_prefix *p);
int nsg_ports_add(struct nsg_rule *r, int side, uint16_t low, uint16_t high);

/* A packet that begins a flow, as the rules see it: after DNAT, before SNAT. */
struct nsg_flow {
	bool inbound;
	uint8_t proto;
	struct ip addr[2]; /* source, destination */
	uint16_t port[2];  /* TCP and UDP */
};
/* What tags and application security groups stand for. */
struct nsg_world {
	const struct ip_prefix *vnet;
	size_t n_vnet;
	bool (*member)(void *arg, uint32_t asg, const struct ip *ip); /* NULL: nobody is */
	void *arg;
};
/* The rule that decides; NULL only when there are no default rules. */
const struct nsg_rule *nsg_match(const struct nsg *g, const struct nsg_flow *f,
                                 const struct nsg_world *w);

/* Chains, maps, sets and counters in VNet `ns`; entered by the chains that nsg_chain_name() names.
 * A flow is dispatched by protocol, destination port and, where many rules are left, by address;
 * what remains is a short chain in priority order. */
void vnet_plan_nsg(const struct nsg *g, uint32_t ns, struct kset *to);
void nsg_chain_name(uint32_t id, bool inbound, char to[static KOBJ_NAME]);
/* Name of the set of an application security group's addresses. */
void nsg_asg_name(uint32_t asg, uint8_t family, char to[static KOBJ_NAME]);
