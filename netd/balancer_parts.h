/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of load balancers share. Internal to them. Pointers into documents last as long as those.
 */
#pragma once

#include "lb/slots.h"
#include "netd/balancer.h"

/* Lists of a document. */
#define LB_FRONTS   "frontendIPConfigurations"
#define LB_POOLS    "backendAddressPools"
#define LB_RULES    "loadBalancingRules"
#define LB_PROBES   "probes"
#define LB_INBOUND  "inboundNatRules"
#define LB_OUTBOUND "outboundRules"

json_t *lb_list(const json_t *doc, const char *list); /* borrowed; NULL: none */
/* The member of a list by its name, in any case; its place into *at when given. */
json_t *lb_named(const json_t *doc, const char *list, const char *name, size_t *at);
/* The member that an id names, when it is one of the load balancer `id`. */
json_t *lb_ref(const json_t *doc, const char *id, const char *list, const char *ref);
/* The i-th pool of a rule (backendAddressPool, then backendAddressPools, none twice); NULL: no more. */
json_t *lb_rule_pool(const json_t *doc, const char *id, const json_t *rule, size_t i);
uint8_t lb_front_family(const json_t *front);

/* Its address, as given or taken; family 0: it has none yet. */
struct ip lb_front_address(const struct resource *r, const json_t *front, bool *inner);
/* The VNet that its backends and internal frontends are in; NULL: none is named. */
struct resource *lb_vnet(const struct resource *r);

/* A backend as a pool has it. */
struct lb_member {
	const char *name;
	struct ip ip;
	uint16_t weight;
	enum {
		LB_ADMIN_NONE,
		LB_ADMIN_UP,
		LB_ADMIN_DOWN
	} admin;
	const struct resource *group; /* who has the address; NULL: nobody */
	bool joined;                  /* by its NGroup, not by the document */
};
/* Members of a pool: of the document, then those that joined; at most `max`. */
size_t lb_members(const struct resource *r, const json_t *pool, struct lb_member *to, size_t max);
#define LB_MEMBERS_MAX    8192
#define LB_OUT_PORTS      64000u /* that outbound rules give away, of each frontend; Azure's number */
#define LB_OUT_FRONTS_MAX 16
#define LB_DRAIN_S        30 /* when neither pool nor profile says */

/* What a probe has said of a backend. */
enum lb_health {
	LB_UNKNOWN,
	LB_DOWN,
	LB_UP
};
enum lb_health lb_health_of(const struct resource *r, const char *probe, const struct ip *ip,
                            char why[static 64]);
/* Is the group able to take flows? */
bool lb_ready(const struct lb_member *m);
/* The port of a range that leads to the backend; 0: none. */
uint16_t lb_range_port(const struct resource *r, const char *rule, const struct ip *ip);
/* The part of a rule's slots that leads to the backend, 0 to 1. */
double lb_share(const struct resource *r, const json_t *rule, const struct ip *ip);
/* How many backends have one. */
size_t lb_backends(const struct resource *r, const json_t *rule, uint8_t family);
