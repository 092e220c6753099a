/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See ruleset.h.
 */
#include "netd/ruleset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/name.h"
#include "lib/base/own.h"
#include "netd/message.h"
#include "netd/zone.h"

#define LINKS_MAX   500 /* as Azure */
#define RULES_MAX   1000
#define TARGETS_MAX 6
#define LABELS_MAX  34

static struct resource **rulesets;
static size_t n_rulesets;

/* ---- checks ---- */

static int wrong(struct err *e, const char *list, size_t i, const char *property, const char *why)
{
	char at[160];

	snprintf(at, sizeof(at), "properties.%s[%zu].properties.%s", list, i, property);
	return err_set_at(e, ERR_INVALID, "BadRequest", at, "'%s' %s.", at, why);
}

static int check_rule(const json_t *rules, size_t i, struct err *e)
{
	const json_t *rule = json_array_get(rules, i),
		     *targets = model_at(rule, "properties.targetDnsServers"), *x;
	const char *domain = model_str(rule, "properties.domainName");
	uint8_t wire[DNS_NAME_MAX];
	int n = dns_name_parse(domain, wire);
	unsigned labels = n > 0 ? dns_name_labels(wire, (size_t)n) : 0;
	struct err why = ERR_INIT;
	struct ip ip;
	size_t k;

	if (n < 0 || labels == 1 || labels > LABELS_MAX) {
		return wrong(e, "forwardingRules", i, "domainName",
		             "must be '.' or a name of 2 to 34 labels, like 'corp.example.'");
	}
	if (json_array_size(targets) == 0 || json_array_size(targets) > TARGETS_MAX) {
		return wrong(e, "forwardingRules", i, "targetDnsServers",
		             "must have 1 to 6 servers");
	}
	json_array_foreach((json_t *)(uintptr_t)targets, k, x)
	{
		if (ip_parse(model_str(x, "ipAddress"), &ip, &why) < 0) {
			return wrong(e, "forwardingRules", i, "targetDnsServers.ipAddress",
			             "must be IP addresses");
		}
	}
	for (k = 0; k < i; k++) {
		uint8_t other[DNS_NAME_MAX];
		int m = dns_name_parse(model_str(json_array_get(rules, k), "properties.domainName"),
		                       other);

		if (m == n && memcmp(wire, other, (size_t)n) == 0) {
			return wrong(e, "forwardingRules", i, "domainName",
			             "is another rule's already");
		}
	}
	return 0;
}

static bool linked(const struct resource *r, const char *vnet)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(r->doc, "properties.virtualNetworkLinks"), i, x)
	{
		if (strcasecmp(model_str(x, "properties.virtualNetwork.id"), vnet) == 0) {
			return true;
		}
	}
	return false;
}

static int check_link(const struct resource *r, const char *id, const json_t *links, size_t i,
                      struct err *e)
{
	const char *vnet = model_str(json_array_get(links, i), "properties.virtualNetwork.id");
	struct resource self = { .id = (char *)(uintptr_t)id };
	char at[160];

	snprintf(at, sizeof(at), "properties.virtualNetworkLinks[%zu].properties.virtualNetwork.id",
	         i);
	if (!reference(&self, vnet, "Microsoft.Network/virtualNetworks", at, e)) {
		return -1;
	}
	for (size_t k = 0; k < n_rulesets; k++) {
		if (rulesets[k] != r && linked(rulesets[k], vnet)) {
			return err_set_at(e, ERR_CONFLICT, "VirtualNetworkLinkAlreadyExists", at,
			                  "The virtual network is linked to the ruleset '%.80s' "
			                  "already; it can be linked to one.",
			                  rulesets[k]->name);
		}
	}
	return 0;
}

int ruleset_check(const struct resource *r, const char *id, const json_t *doc, struct err *e)
{
	const json_t *rules = model_at(doc, "properties.forwardingRules"),
		     *links = model_at(doc, "properties.virtualNetworkLinks");

	if (json_array_size(rules) > RULES_MAX || json_array_size(links) > LINKS_MAX) {
		return err_set_at(e, ERR_INVALID, "BadRequest", "properties",
		                  "A ruleset has at most %d rules and %d links.", RULES_MAX,
		                  LINKS_MAX);
	}
	for (size_t i = 0; i < json_array_size(rules); i++) {
		if (check_rule(rules, i, e) < 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < json_array_size(links); i++) {
		if (check_link(r, id, links, i, e) < 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- which there are ---- */

void ruleset_change(struct resource *r)
{
	size_t i = 0;

	if (strcmp(r->type->name, RULESET_TYPE) != 0) {
		return;
	}
	while (i < n_rulesets && rulesets[i] != r) {
		i++;
	}
	if (i == n_rulesets) {
		rulesets = realloc(rulesets, (n_rulesets + 1) * sizeof(struct resource *));
		if (!rulesets) {
			abort();
		}
		rulesets[n_rulesets++] = r;
	}
	zone_tell_vnets();
}

void ruleset_gone(const struct resource *r)
{
	for (size_t i = 0; i < n_rulesets; i++) {
		if (rulesets[i] == r) {
			rulesets[i] = rulesets[--n_rulesets];
			zone_tell_vnets();
			return;
		}
	}
}

void ruleset_load(void)
{
	for (size_t i = 0; i < plane.n; i++) {
		ruleset_change(plane.v[i]);
	}
}

/* ---- what a VNet forwards ---- */

static const struct resource *ruleset_of(const struct resource *vnet)
{
	for (size_t i = 0; vnet && i < n_rulesets; i++) {
		if (linked(rulesets[i], vnet->id)) {
			return rulesets[i];
		}
	}
	return NULL;
}

static bool enabled(const json_t *rule)
{
	return !model_is(rule, "properties.forwardingRuleState", "Disabled");
}

bool ruleset_any(const struct resource *vnet)
{
	const struct resource *r = ruleset_of(vnet);
	json_t *x;
	size_t i;

	json_array_foreach(r ? model_at(r->doc, "properties.forwardingRules") : NULL, i, x)
	{
		if (enabled(x)) {
			return true;
		}
	}
	return false;
}

static void put_rule(struct buf *b, const json_t *rule)
{
	const json_t *targets = model_at(rule, "properties.targetDnsServers"), *x;
	uint8_t wire[DNS_NAME_MAX];
	struct err e = ERR_INIT;
	struct ip ip;
	size_t i;
	int n = dns_name_parse(model_str(rule, "properties.domainName"), wire);

	put_u8(b, (uint8_t)n);
	buf_add(b, wire, (size_t)n);
	put_u8(b, (uint8_t)json_array_size(targets));
	json_array_foreach((json_t *)(uintptr_t)targets, i, x)
	{
		json_int_t port = json_integer_value(json_object_get(x, "port"));

		(void)!ip_parse(model_str(x, "ipAddress"), &ip, &e);
		put_u8(b, ip.family);
		buf_add(b, ip.b, 16);
		put_u16(b, port ? (uint16_t)port : 53);
	}
}

void ruleset_put(struct buf *b, const struct resource *vnet)
{
	const struct resource *r = ruleset_of(vnet);
	size_t at = b->len, n = 0, i;
	json_t *x;

	put_u16(b, 0);
	json_array_foreach(r ? model_at(r->doc, "properties.forwardingRules") : NULL, i, x)
	{
		if (enabled(x)) {
			put_rule(b, x);
			n++;
		}
	}
	if (!b->failed) {
		b->data[at] = (uint8_t)n;
		b->data[at + 1] = (uint8_t)(n >> 8);
	}
}
