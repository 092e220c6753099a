/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans: what a resource wants of the kernel, as objects. Pure: no I/O, no clock, no store. Each
 * function appends to a list that then belongs to one owner; the same input gives the same list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"
#include "lib/kernel/kobj.h"

/* The node's own part: gateway namespace, link to the host, pools. */
struct plan_gateway {
	const struct ip_prefix *pools; /* public prefixes that lead into the gateway */
	size_t n_pools;
	struct ip host4,
		host6; /* the host's address on netd0, family 0 when none (own pool only) */
	char uplink[KOBJ_NAME]; /* the host's device that is shared; "" none */
	uint8_t uplink_mac[6];
	struct ip hop4, hop6; /* next hops behind it, family 0 none */
	uint32_t mtu;         /* bytes */
	bool shortcut; /* its devices pass its stack by, where the kernel can (KOBJ_SHORTCUT) */
	bool leaf;     /* the way out is another node, and */
	const bool *
		closed; /* of each pool (NULL: none): the host has no route to it, which is what routing daemons announce */
	bool linked; /* it has a link to others: vnet_plan_gateways() */
	/* The host's device that encapsulated packets of other nodes come by, "" none; and who may send those of VNets, and of gateways. */
	char underlay[KOBJ_NAME];
	const struct ip *members, *gateways;
	size_t n_members, n_gateways;
};
void vnet_plan_gateway(const struct plan_gateway *p, struct kset *to);

/* TCP to the link-local `from` leads to `to`; both IPv4. */
struct plan_target {
	struct ip from, to;
	uint16_t port, to_port;
};

/* Ports that those who share an address leave by; last 0: any. */
struct plan_ports {
	uint16_t first, last;
};
/* Those that a branch has, of all addresses that its VNet's groups share: whole blocks of KOBJ_PORT_BLOCK. */
struct plan_block {
	uint32_t node; /* its number */
	struct plan_ports ports;
};

/* A VNet's router on this node. */
struct plan_vnet {
	uint32_t ns; /* its number; also the index of its link in the gateway */
	/* Of that link: the uplink's, so that what is too big for a group is told by the router, which
	 * has public addresses to say it from; the gateway has link-local ones alone. */
	uint32_t mtu;
	bool shortcut;                  /* as the gateway's */
	const struct ip_prefix *closed; /* prefixes its groups may not reach, beside 169.254/16 */
	size_t n_closed;
	const struct ip *shared; /* public addresses that several groups leave by */
	size_t n_shared;
	const struct plan_block *blocks; /* of branches */
	size_t n_blocks;
	bool platform_address;        /* 168.63.129.16 and its twin answer here */
	const struct ip_prefix *vtag; /* what the tag VirtualNetwork stands for here */
	size_t n_vtag;
	const struct plan_target *targets; /* link-local addresses that lead somewhere, TCP */
	size_t n_targets;
};
void vnet_plan_vnet(const struct plan_vnet *p, struct kset *to);
/* A public address that leads to the VNet of that number, and that the VNet may send from. */
void vnet_plan_public(uint32_t ns, const struct ip *ip, struct kset *to);

/* A bridge of a subnet, the first or one more. */
struct plan_subnet {
	uint32_t vnet_ns;
	uint32_t bridge; /* its number */
	bool more;       /* beside another, which has what the subnet needs once */
	uint32_t mtu;
	const struct ip_prefix *prefixes;
	size_t n_prefixes;
	uint32_t nsg;   /* number of its security group, whose plan comes before; 0 none */
	uint32_t nat;   /* the same of its NAT gateway */
	uint32_t table; /* routing table of what enters from it, 0 none: KOBJ_TABLE_BASE + number */
	bool branches;  /* groups of it may be on other nodes */
	const struct ip *egress; /* that groups without another leave by, one a family at most */
	size_t n_egress;
	struct plan_ports ports; /* of these, at the home */
};
void vnet_plan_subnet(const struct plan_subnet *p, struct kset *to);

struct plan_port {
	uint8_t proto; /* 6 or 17 */
	uint16_t port;
};

struct plan_addr {
	struct ip_prefix prefix; /* of the subnet */
	struct ip ip;            /* private address in it */
	struct ip pub;           /* own public address, family 0 none */
};

/* A port of an address that others may have ports of too, and where it leads in the group. */
struct plan_map {
	struct ip ip;
	uint8_t proto; /* 6 or 17 */
	uint16_t port, to_port;
};

/* A VNet's routers on several nodes: a VXLAN device a router, with static entries, so that what goes there is routed, and nothing
 * is learned or flooded (RFC 7348). The router comes before. Nodes are numbered from 1 to PLAN_NODE_MAX. */
#define PLAN_NODE_MAX 32767u
struct plan_router {
	uint32_t node;
	struct ip underlay; /* its address in the network between the nodes */
};
/* Addresses whose groups are on that node, but for those that have a way of their own: vnet_plan_group_part(). */
struct plan_addrblock {
	struct ip_prefix prefix;
	uint32_t node;
};
struct plan_fabric {
	uint32_t vnet_ns;
	uint32_t vni; /* 24 bits, the VNet's alone in the whole plane */
	uint32_t mtu; /* bytes: the underlay's less 50, less 70 where that is IPv6 */
	struct plan_router self;
	const struct plan_router *others; /* of the family of self's underlay */
	size_t n_others;
	const struct ip_prefix *space; /* the VNet's */
	size_t n_space;
	uint32_t home; /* number of the node that has what leads out of the VNet; 0: this one */
	const struct plan_addrblock *addrblocks;
	size_t n_addrblocks;
};
/* A VNet has one home, with peerings, gateways, NAT, probes and names; and a branch on each other node that has groups of it, with their
 * ports, own public addresses, security rules, and frontends. What a branch does not
 * know goes to the home. */
void vnet_plan_fabric(const struct plan_fabric *p, struct kset *to);
/* The gateways' own: public addresses of VNets on other nodes. `vnet_ns` is the gateway's, `space` unused. `out`: number of the
 * node by whose uplink this one's VNets leave and are reached; 0: it has an uplink of its own. Beside vnet_plan_gateway(). */
void vnet_plan_gateways(const struct plan_fabric *p, uint32_t out, struct kset *to);
/* What has a source in a pool leaves the node by the uplink of another, but what is for a pool, which has ways. Beside vnet_plan_gateways(). */
struct plan_return {
	struct ip_prefix pool;
	uint32_t node; /* the other's number */
};
void vnet_plan_returns(const struct plan_return *v, size_t n, const struct ip_prefix *pools,
                       size_t n_pools, struct kset *to);
/* Of the objects of a VNet that is on that node: ways to its public addresses, for the gateway of another, which (`answers`) is
 * asked for them on its uplink. Those that lead into a VNet by what is in *to already are left out. */
void vnet_plan_ways(const struct kset *objects, uint32_t node, bool answers, struct kset *to);
/* A prefix of the VNet's, a group's address say, is on that node. */
void vnet_plan_remote(uint32_t vnet_ns, const struct ip_prefix *prefix, uint32_t node,
                      struct kset *to);
/* Of what an owner that is no group has at the VNet's home (a node's number): the part of a branch on the node `self`. Public frontends
 * are there too, with the VNet's link to that node's gateway; and NAT gateways and default outbound addresses, by the branch's ports
 * (last 0: it has none, and all that leaves goes to the home). */
void vnet_plan_branch(const struct kset *objects, uint32_t vnet_ns, uint32_t home, uint32_t self,
                      struct plan_ports ports, struct kset *to);
/* Of a group's objects (vnet_plan_group()) the part that its own node has, `node`, which is not the home: all, with its public address;
 * the home's; other branches'. */
enum plan_part {
	PLAN_PART_OWN,
	PLAN_PART_HOME,
	PLAN_PART_BRANCH
};
void vnet_plan_group_part(const struct kset *objects, enum plan_part part, uint32_t vnet_ns,
                          uint32_t node, struct kset *to);

/* One group: namespace, port, addresses, public ports. */
struct plan_group {
	uint32_t ns; /* its number; also of its port */
	/* The namespace is of a runtime's making: the group's end there is called "n" and its number, and the
	 * loopback device is the runtime's. */
	bool guest;
	bool no_default;    /* a guest that has its default route by another interface */
	const uint8_t *mac; /* NULL: from its number */
	const struct plan_map *maps;
	size_t n_maps;
	/* Bytes a second to the group and from it, 0 no limit; and how many at once. */
	uint64_t rate[2];
	uint32_t burst[2];
	uint32_t vnet_ns;
	uint32_t bridge; /* that its port is in */
	uint32_t mtu;
	const struct plan_addr *addrs;
	size_t n_addrs;
	const struct plan_port *ports; /* open on the public addresses */
	size_t n_ports;
	bool forward;         /* it may send on what others sent (enableIPForwarding) */
	const uint32_t *asgs; /* application security groups that it belongs to, by number */
	size_t n_asgs;
	uint32_t tap_queues; /* of a tap in its namespace, which has its traffic; 0: none */
	uint32_t tap_owner;  /* number of the user who may attach to it, and 1; 0: root alone */
};
void vnet_plan_group(const struct plan_group *p, struct kset *to);

/* A NAT gateway in a VNet: its addresses, 1 to 16 a family, share the flows. */
struct plan_nat {
	uint32_t id; /* its number */
	uint32_t vnet_ns;
	uint32_t idle_s; /* after which a TCP connection is forgotten */
	const struct ip *addrs;
	size_t n_addrs;
	struct plan_ports ports; /* of these, at the home */
};
void vnet_plan_nat(const struct plan_nat *p, struct kset *to);

/* A routing table: routes of a user's, ahead of the VNet's own. Longest prefix first, whatever the
 * order here; what it does not have goes on to the next rule. */
enum plan_hop {
	PLAN_HOP_NEXT, /* the VNet's own routes decide */
	PLAN_HOP_NONE, /* dropped */
	PLAN_HOP_INTERNET,
	PLAN_HOP_DEVICE, /* `via` on `dev` */
};
struct plan_route {
	struct ip_prefix prefix;
	enum plan_hop hop;
	struct ip via;
	char dev[KOBJ_NAME];
};
void vnet_plan_routes(uint32_t vnet_ns, uint32_t table, const struct plan_route *v, size_t n,
                      struct kset *to);

/* One side of a peering: routes to the other VNet, and which sources may come from it. The side with
 * the smaller number has the link. Both routers come before. */
struct plan_peer {
	uint32_t vnet_ns, peer_ns;
	uint32_t mtu;
	const struct ip_prefix *prefixes; /* the other's space */
	size_t n_prefixes;
	const struct ip_prefix *own; /* this one's: where what enters may go */
	size_t n_own;
	bool forwarded;                /* sources outside the other's space too */
	const struct plan_route *more; /* ways of what enters to appliances or the gateway here */
	size_t n_more;
	const struct ip_prefix
		*learned;              /* what the other has by its gateway, and this VNet uses: */
	size_t n_learned;              /* sources, except */
	const struct ip_prefix *holes; /* these, which are VNets' */
	size_t n_holes;
};
void vnet_plan_peer(const struct plan_peer *p, struct kset *to);
/* The next hop on a peering's device. */
void vnet_peer_via(uint8_t family, struct ip *to);
/* Name of a peering's device in a VNet. */
void vnet_peer_device(uint32_t peer_ns, char to[static KOBJ_NAME]);

/* A gateway: the link to a namespace that an administrator provides, routes back to the VNet there,
 * and which sources may come from it. The router comes before. */
struct plan_given {
	uint32_t vnet_ns, given_ns;
	uint32_t mtu;
	const struct ip_prefix *space; /* that is reached by it: the VNet's, and its guests' */
	size_t n_space;
	const struct ip_prefix *learned; /* sources that may come in, except */
	size_t n_learned;
	const struct ip_prefix *holes; /* these, which are VNets' */
	size_t n_holes;
};
void vnet_plan_given(const struct plan_given *p, struct kset *to);
/* Name of its device in the VNet; the next hop on it is that of a peering. */
void vnet_given_device(uint32_t given_ns, char to[static KOBJ_NAME]);
