/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * loadBalancers: from documents, groups and health to what a VNet's router does with a frontend's flows.
 * The control role's; one thread. balancer.c keeps what is live, balancer_check.c says what a document may
 * be, balancer_read.c reads one, balancer_view.c shows it. See lb/ for slots and plans.
 */
#pragma once

#include "netd/plane.h"

#define LB_TYPE "Microsoft.Network/loadBalancers"

bool balancer_is(const struct resource *r);
bool balancer_has_pool(const struct resource *r, const char *name);
/* May this be the document? ERR_INVALID with Azure's code where one is known. */
int balancer_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* Fills in what the document means when it does not say so. */
void balancer_presets(json_t *doc);
/* Members that GET showed beside the document's own, because they joined by their NGroup, go from it. */
void balancer_strip(const struct resource *r, json_t *doc);
/* Gives the document's internal frontends their addresses (written into status), before it takes its
 * place; ERR_INVALID when one is taken: nothing is changed then. */
int balancer_addresses(struct resource *r, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* Around a change of the document. */
void balancer_before(struct resource *r);
void balancer_change(struct resource *r);
void balancer_gone(struct resource *r);
/* After all resources were loaded; the groups' membership follows. */
void balancer_load(void);
/* Plans those in the VNet, between fabric_begin() and fabric_end(). */
void balancer_vnet(uint32_t vnet);
/* The group may take flows now, or not any more; or its addresses came (`there`) or go. */
void balancer_group(const struct resource *group, bool there);
/* Calls fn for each frontend of each rule: its address in the VNet, or (0) in public; does a backend take its flows? */
void balancer_fronts(void (*fn)(void *arg, uint32_t vnet, const struct ip *ip, bool up), void *arg);
/* The row "slots/KEY" of the store. */
void balancer_slots_load(const char *key, const json_t *row);
/* Has the VNet floating frontends (enableFloatingIP)? */
bool balancer_floats(uint32_t vnet);
/* The VNet that it is in; NULL: none. */
const struct resource *balancer_vnet_of(const struct resource *r);
/* Who names that public address or prefix; NULL: nobody. */
const struct resource *balancer_of(const struct resource *public);
/* One with an internal frontend in the VNet (`subnet` NULL), or that subnet of it; NULL: none. */
const struct resource *balancer_in(const struct resource *vnet, const char *subnet);

/* Do all frontends of the pools that its NGroup put it in lead to the group? True where there is none. */
bool balancer_has(const struct resource *group);
/* Do frontends lead to the group, which takes no more flows now? Their pools' longest drain time into
 * *drain_s, 0: they say none. */
bool balancer_leads_to(const struct resource *group, uint32_t *drain_s);
/* The probe role is there and wants its list; it says something of a backend (MSG_PROBE_STATE). */
struct node;
/* Those of the VNet, at the node that it is on: asked, or not any more. */
void balancer_probes(uint32_t vnet, bool asked);
void balancer_probe_up(const struct node *n);
void balancer_probe_said(const struct node *n, uint64_t target, bool up, const char *why);

/* What GET shows beside the document. */
void balancer_view(const struct resource *r, json_t *props);
/* POST of loadBalancingRules/R/health, of backendAddressPools/P/queryInboundNatRulePortMapping (the body is
 * about one address); new references, NULL: there is no such rule or pool. */
json_t *balancer_health(const struct resource *r, const char *rule);
json_t *balancer_ports(const struct resource *r, const char *pool, const json_t *body);
/* Rules with their members, and the share of flows that each gets: ours, for `netctl describe`. */
json_t *balancer_shares(const struct resource *r);
/* Frontends that the caller may see, for /metrics: backends with a share; is it reached from outside, and for
 * how much of the last hour was it. */
void balancer_metrics(struct buf *to, bool (*sees)(const void *arg, const char *id),
                      const void *arg);
