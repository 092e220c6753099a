/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * DNS forwarding rulesets: which servers a VNet's resolver asks for names under a suffix. Rules and links are parts of
 * the ruleset's document. Sources: the REST specification of Microsoft.Network/dnsForwardingRulesets (2022-07-01);
 * learn.microsoft.com, "Azure DNS Private Resolver endpoints and rulesets".
 */
#pragma once

#include "netd/plane.h"

#define RULESET_TYPE "Microsoft.Network/dnsForwardingRulesets"

/* May this be the document of the ruleset with that id? */
int ruleset_check(const struct resource *r, const char *id, const json_t *doc, struct err *e);
/* It came, or its document changed: VNets are told. */
void ruleset_change(struct resource *r);
void ruleset_gone(const struct resource *r); /* does nothing for other types */
void ruleset_load(void);
/* The rules of the VNet, as its resolver is told them (netd/resolver.h). */
void ruleset_put(struct buf *b, const struct resource *vnet);
/* Does any rule hold for the VNet? */
bool ruleset_any(const struct resource *vnet);
