/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans of load balancers: what a frontend's port wants of a VNet's router, as elements of the sets that
 * lib/kernel/nft_balance.c's rules look into. Pure: no I/O. Each function appends to a list that belongs to
 * one owner; two owners may want the same element.
 */
#pragma once

#include "lb/slots.h"

/* A load-balancing rule on one frontend: where new flows go. */
struct lb_port {
	uint32_t vnet_ns;
	struct ip front;
	bool inner;       /* an internal frontend: for what does not come from the gateway */
	uint8_t proto;    /* 6, 17; 0: all protocols and ports, `inner` only */
	uint16_t port;    /* 0 with proto 0 */
	uint16_t to_port; /* of the backends */
	enum kobj_hash hash;
	uint32_t idle_min; /* minutes, 1 to 127, after which an idle TCP connection is forgotten */
	bool reset;        /* and segments of unknown ones are answered with a reset */
	const struct slots *slots; /* backends, all of the frontend's family */
	/* A public frontend of a VNet on several nodes: numbers of the nodes of slots->v, then of slots->known, 0 unknown; and of the
	 * VNet's home. NULL: it is on one. */
	const uint32_t *nodes;
	uint32_t home;
};
void lb_plan_port(const struct lb_port *p, struct kset *to);
/* The public address of such frontends. */
void lb_plan_spread(uint32_t vnet_ns, const struct ip *front, struct kset *to);

/* One port of an inbound NAT rule, on one backend. */
struct lb_nat {
	uint32_t vnet_ns;
	struct ip front, to;
	bool inner;
	uint8_t proto; /* 6 or 17 */
	uint16_t port, to_port;
};
void lb_plan_nat(const struct lb_nat *p, struct kset *to);

/* Flows of the protocol (6, 17; 0: those without ports) that the backend begins leave by the frontend's address,
 * from ports `first` to `last`, when nothing else says how. Both addresses of one family. */
struct lb_out {
	uint32_t vnet_ns;
	struct ip backend, front;
	uint8_t proto;
	uint16_t first, last;
};
void lb_plan_out(const struct lb_out *p, struct kset *to);

/* A port of a frontend whose flows keep its address as their destination, at groups' own ports. */
struct lb_float {
	uint32_t vnet_ns;
	struct ip front;
	uint8_t proto; /* 6 or 17; 0: all protocols and ports */
	uint16_t port;
	uint32_t number; /* of the frontend in its VNet, 1 to 65535 */
};
void lb_plan_float(const struct lb_float *p, struct kset *to);
/* The group of that number, whose address is `own`, gets them so. */
void lb_plan_float_at(const struct lb_float *p, uint32_t group, const struct ip *own,
                      struct kset *to);
