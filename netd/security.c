/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See security.h. Error codes are Azure's (github.com/Azure/azure-rest-api-specs, Network).
 */
#include "netd/security.h"

#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"

#define ASG_TYPE  "Microsoft.Network/applicationSecurityGroups"
#define RULES     "properties.securityRules"
#define RULES_MAX 1000
#define ADDRESSES 4000 /* of a side, over all rules (Azure: the same) */

static const char *const sides[] = { "source", "destination" };

/* A property of a side: "AddressPrefix" of the source is sourceAddressPrefix. */
enum word {
	PREFIX,
	PREFIXES,
	PORT,
	PORTS,
	ASGS
};

static json_t *of_side(const json_t *rule, int side, enum word what)
{
	static const char *const names[2][5] = {
		{ "sourceAddressPrefix", "sourceAddressPrefixes", "sourcePortRange",
		  "sourcePortRanges", "sourceApplicationSecurityGroups" },
		{ "destinationAddressPrefix", "destinationAddressPrefixes", "destinationPortRange",
		  "destinationPortRanges", "destinationApplicationSecurityGroups" },
	};

	return json_object_get(json_object_get(rule, "properties"), names[side][what]);
}

static const char *text_of(const json_t *x)
{
	return json_is_string(x) ? json_string_value(x) : "";
}

/* The values of a property that is there as one and as a list; calls fn for each. */
static int each(const json_t *rule, int side, enum word one, enum word many,
                int (*fn)(void *arg, const char *text, bool listed, struct err *e), void *arg,
                struct err *e)
{
	const char *single = text_of(of_side(rule, side, one));
	json_t *list = of_side(rule, side, many), *x;
	size_t i;

	if (*single && fn(arg, single, false, e) < 0) {
		return -1;
	}
	json_array_foreach(list, i, x)
	{
		if (fn(arg, json_string_value(x), true, e) < 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- one value ---- */

struct at {
	struct nsg_rule *r; /* what is read goes there */
	int side;
	const char *name; /* of the rule, for errors */
	const char *where;
	size_t n;
};

static int add_ports(void *arg, const char *text, bool listed, struct err *e)
{
	struct at *a = arg;
	char *end;
	unsigned long low, high;

	(void)listed;
	a->n++;
	if (strcmp(text, "*") == 0) {
		return nsg_ports_add(a->r, a->side, 0, 65535);
	}
	low = high = strtoul(text, &end, 10);
	bool ok = isdigit((unsigned char)text[0]);
	if (ok && *end == '-') {
		ok = isdigit((unsigned char)end[1]);
		high = strtoul(end + 1, &end, 10);
	}
	if (!ok || *end || low > high || high > 65535) {
		return err_set_at(e, ERR_INVALID, "SecurityRuleInvalidPortRange", a->where,
		                  "Security rule '%s' has invalid Port range. Value provided: "
		                  "%.40s. Value should be an integer OR integer range with '-' "
		                  "delimiter. Valid range 0-65535.",
		                  a->name, text);
	}
	return nsg_ports_add(a->r, a->side, (uint16_t)low, (uint16_t)high);
}

/* An address, a prefix or a service tag. */
static int add_address(void *arg, const char *text, bool listed, struct err *e)
{
	struct at *a = arg;
	struct nsg_side *s = &a->r->side[a->side];
	struct err ignored = ERR_INIT;
	struct ip_prefix p = { 0 };

	a->n++;
	if (strcmp(text, "*") == 0 || strcasecmp(text, "Any") == 0) {
		s->any = true;
		return 0;
	}
	if (strcasecmp(text, "VirtualNetwork") == 0) {
		s->vnet = true;
		return 0;
	}
	if (strcasecmp(text, "Internet") == 0) {
		s->internet = true;
		return 0;
	}
	if (ip_parse(text, &p.ip, &ignored) == 0) {
		p.len = (uint8_t)ip_bits(p.ip.family);
		return nsg_side_add(s, &p);
	}
	if (strchr(text, '/') && ip_prefix_parse(text, &p, &ignored) == 0) {
		return nsg_side_add(s, &p);
	}
	const struct config_tag *tag = config_tag(plane.config, text);
	for (size_t i = 0; tag && i < tag->n; i++) {
		if (nsg_side_add(s, &tag->prefixes[i]) < 0) {
			return -1;
		}
	}
	(void)listed;
	if (!tag) {
		return err_set_at(e, ERR_INVALID, "SecurityRuleInvalidAddressPrefix", a->where,
		                  "Security rule '%s' has invalid Address prefix. Value provided: "
		                  "%.80s. Accepted: *, an address, a prefix without host bits, "
		                  "VirtualNetwork, AzureLoadBalancer, Internet, or a service tag "
		                  "of this region's table.",
		                  a->name, text);
	}
	return 0;
}

static uint8_t protocol(const json_t *rule)
{
	static const struct {
		const char *name;
		uint8_t number;
	} names[] = { { "Tcp", IPPROTO_TCP },
		      { "Udp", IPPROTO_UDP },
		      { "Icmp", IPPROTO_ICMP },
		      { "Esp", IPPROTO_ESP },
		      { "Ah", IPPROTO_AH } };

	const char *name = model_str(rule, "properties.protocol");
	for (size_t i = 0; i < ARRAY_N(names); i++) {
		if (strcasecmp(name, names[i].name) == 0) {
			return names[i].number;
		}
	}
	return 0;
}

/* A range that is all ports is none at all: it goes for protocols without ports too. */
static void widen(struct nsg_rule *r, int side)
{
	for (size_t i = 0; i < r->n_ports[side]; i++) {
		if (r->ports[side][i].low == 0 && r->ports[side][i].high == 65535) {
			r->n_ports[side] = 0;
		}
	}
}

static int add_asgs(struct nsg_rule *r, int side, const json_t *rule, const char *owner,
                    const char *where, struct err *e)
{
	json_t *list = of_side(rule, side, ASGS), *x;
	size_t i;

	json_array_foreach(list, i, x)
	{
		AUTO_FREE char *low = table_key(model_str(x, "id"));
		struct resource *a = table_get(low);

		if (!a || strcasecmp(a->type->name, ASG_TYPE) != 0 ||
		    tenant_of(a->id) != tenant_of(owner)) {
			return err_set_at(e, ERR_INVALID, "InvalidResourceReference", where,
			                  "Resource %.300s referenced by %.100s was not found.",
			                  model_str(x, "id"), strrchr(owner, '/') + 1);
		}
		r->side[side].asgs[r->side[side].n_asgs++] = table_number(a);
	}
	return 0;
}

/* One rule's document into `r`. `owner`: id of its security group. */
static int read_rule(struct nsg_rule *r, const char *owner, const json_t *rule, const char *where,
                     struct err *e)
{
	snprintf(r->name, sizeof(r->name), "%.80s", model_str(rule, "name"));
	r->priority = (uint16_t)json_integer_value(model_at(rule, "properties.priority"));
	r->inbound = model_is(rule, "properties.direction", "Inbound");
	r->allow = model_is(rule, "properties.access", "Allow");
	r->proto = protocol(rule);
	for (int s = 0; s < 2; s++) {
		struct at a = { r, s, r->name, where, 0 }, p = a;

		if (each(rule, s, PREFIX, PREFIXES, add_address, &a, e) < 0 ||
		    each(rule, s, PORT, PORTS, add_ports, &p, e) < 0 ||
		    add_asgs(r, s, rule, owner, where, e) < 0) {
			return -1;
		}
		if (a.n == 0 && r->side[s].n_asgs == 0) {
			return err_set_at(e, ERR_INVALID, "SecurityRuleParameterMissing", where,
			                  "Security rule '%s' needs %sAddressPrefix, "
			                  "%sAddressPrefixes or %sApplicationSecurityGroups.",
			                  r->name, sides[s], sides[s], sides[s]);
		}
		if (a.n && r->side[s].n_asgs) {
			return err_set_at(e, ERR_INVALID,
			                  "SecurityRuleParameterContainsUnsupportedValue", where,
			                  "Security rule '%s' names both addresses and application "
			                  "security groups as its %s.",
			                  r->name, sides[s]);
		}
		if (p.n == 0) {
			return err_set_at(e, ERR_INVALID, "SecurityRuleParameterMissing", where,
			                  "Security rule '%s' needs %sPortRange or %sPortRanges.",
			                  r->name, sides[s], sides[s]);
		}
		if (*text_of(of_side(rule, s, PREFIX)) &&
		    json_array_size(of_side(rule, s, PREFIXES))) {
			return err_set_at(e, ERR_INVALID,
			                  "SecurityRuleParameterContainsUnsupportedValue", where,
			                  "Security rule '%s' has both %sAddressPrefix and "
			                  "%sAddressPrefixes; one is accepted.",
			                  r->name, sides[s], sides[s]);
		}
		widen(r, s);
	}
	return 0;
}

/* ---- whole documents ---- */

static int read_rules(const char *owner, const json_t *doc, struct nsg *to, struct err *e)
{
	json_t *x;
	size_t i;
	char where[80];

	json_array_foreach(model_at(doc, RULES), i, x)
	{
		struct nsg_rule *r = nsg_add(to);

		snprintf(where, sizeof(where), "properties.securityRules[%zu]", i);
		if (!r) {
			return err_set(e, ERR_NO_MEMORY, 0, "security rules: out of memory");
		}
		if (read_rule(r, owner, x, where, e) < 0) {
			return -1;
		}
	}
	return 0;
}

static int by_place(const void *pa, const void *pb)
{
	const struct nsg_rule *a = *(struct nsg_rule *const *)pa,
			      *b = *(struct nsg_rule *const *)pb;

	if (a->inbound != b->inbound) {
		return a->inbound ? -1 : 1;
	}
	return (int)a->priority - (int)b->priority;
}

static int by_name(const void *pa, const void *pb)
{
	return strcasecmp((*(struct nsg_rule *const *)pa)->name,
	                  (*(struct nsg_rule *const *)pb)->name);
}

static int check_together(const struct nsg *g, struct err *e)
{
	AUTO_FREE struct nsg_rule **v = calloc(g->n + 1, sizeof(struct nsg_rule *));
	size_t addresses[2] = { 0 };

	for (size_t i = 0; v && i < g->n; i++) {
		v[i] = &g->v[i];
		addresses[0] += g->v[i].side[0].n_prefixes;
		addresses[1] += g->v[i].side[1].n_prefixes;
		if (!model_name_ok(g->v[i].name)) {
			return err_set_at(e, ERR_INVALID, "InvalidResourceName", RULES,
			                  "Security rule name '%s' is invalid: 1 to 80 letters, "
			                  "digits, -_.",
			                  g->v[i].name);
		}
	}
	if (!v) {
		return err_set(e, ERR_NO_MEMORY, 0, "security rules: out of memory");
	}
	if (addresses[0] > ADDRESSES || addresses[1] > ADDRESSES) {
		return err_set_at(e, ERR_INVALID, "SecurityRuleAddressLimitReached", RULES,
		                  "The rules of a network security group name at most %d source "
		                  "and %d destination addresses, not %zu and %zu.",
		                  ADDRESSES, ADDRESSES, addresses[0], addresses[1]);
	}
	qsort(v, g->n, sizeof(*v), by_place);
	for (size_t i = 1; i < g->n; i++) {
		if (by_place(&v[i - 1], &v[i]) == 0) {
			return err_set_at(e, ERR_INVALID, "SecurityRuleConflict", RULES,
			                  "Security rule %s conflicts with rule %s. Rules cannot "
			                  "have the same Priority and Direction.",
			                  v[i]->name, v[i - 1]->name);
		}
	}
	qsort(v, g->n, sizeof(*v), by_name);
	for (size_t i = 1; i < g->n; i++) {
		if (by_name(&v[i - 1], &v[i]) == 0) {
			return err_set_at(e, ERR_INVALID, "InvalidRequestFormat", RULES,
			                  "Two security rules are named '%s'.", v[i]->name);
		}
	}
	return 0;
}

int security_check(const char *id, const json_t *doc, struct err *e)
{
	struct nsg g = { 0 };
	int rc = read_rules(id, doc, &g, e);

	if (rc == 0) {
		rc = check_together(&g, e);
	}
	nsg_fini(&g);
	return rc;
}

/* How many addresses a rule's document names on a side, tags with theirs. */
static size_t addresses_named(const json_t *rule, int side)
{
	return json_array_size(of_side(rule, side, PREFIXES)) +
	       (*text_of(of_side(rule, side, PREFIX)) != '\0');
}

int security_check_rule(const char *id, const json_t *list, size_t i, const json_t *rule,
                        struct err *e)
{
	struct nsg g = { 0 };
	size_t k, named[2] = { addresses_named(rule, 0), addresses_named(rule, 1) };
	json_t *x;
	char where[80];

	snprintf(where, sizeof(where), "properties.securityRules[%zu]", i);
	if (i >= RULES_MAX) {
		return err_set_at(e, ERR_INVALID, "SecurityRuleLimitReached", where,
		                  "A network security group has at most %d rules.", RULES_MAX);
	}
	struct nsg_rule *r = nsg_add(&g);
	int rc = r ? read_rule(r, id, rule, where, e)
	           : err_set(e, ERR_NO_MEMORY, 0, "security rules: out of memory");
	nsg_fini(&g);
	json_array_foreach((json_t *)(uintptr_t)list, k, x)
	{
		const json_t *p = json_object_get(x, "properties");

		if (rc < 0 || k == i) {
			continue;
		}
		named[0] += addresses_named(x, 0);
		named[1] += addresses_named(x, 1);
		if (json_equal(json_object_get(p, "priority"),
		               model_at(rule, "properties.priority")) &&
		    model_is(x, "properties.direction", model_str(rule, "properties.direction"))) {
			rc = err_set_at(e, ERR_INVALID, "SecurityRuleConflict", where,
			                "Security rule %s conflicts with rule %s. Rules cannot "
			                "have the same Priority and Direction.",
			                model_str(rule, "name"), model_str(x, "name"));
		}
	}
	if (rc == 0 && (named[0] > ADDRESSES || named[1] > ADDRESSES)) {
		rc = err_set_at(e, ERR_INVALID, "SecurityRuleAddressLimitReached", where,
		                "The rules of a network security group name at most %d addresses a "
		                "side.",
		                ADDRESSES);
	}
	return rc;
}

void security_read(struct resource *r, struct nsg *to)
{
	struct err e = ERR_INIT;

	*to = (struct nsg){ .id = table_number(r) };
	/* A rule that no longer reads (a tag was taken out of the table) matches nothing by what is
	 * missing; the rules before and after it count. */
	json_t *x;
	size_t i;
	json_array_foreach(model_at(r->doc, RULES), i, x)
	{
		struct nsg_rule *rule = nsg_add(to);

		if (!rule) {
			abort();
		}
		(void)!read_rule(rule, r->id, x, RULES, &e);
	}
	if (nsg_add_defaults(to) < 0) {
		abort();
	}
	nsg_sort(to);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

size_t security_asgs(const struct resource *r, uint32_t *to, size_t max)
{
	json_t *rule, *x;
	size_t i, k, n = 0, keep = 0;

	json_array_foreach(model_at(r->doc, RULES), i, rule)
	{
		for (int s = 0; s < 2; s++) {
			json_array_foreach(of_side(rule, s, ASGS), k, x)
			{
				AUTO_FREE char *low = table_key(model_str(x, "id"));
				struct resource *a = table_get(low);

				if (a && n < max) {
					to[n++] = table_number(a);
				}
			}
		}
	}
	qsort(to, n, sizeof(*to), by_number);
	for (i = 0; i < n; i++) {
		if (keep == 0 || to[keep - 1] != to[i]) {
			to[keep++] = to[i];
		}
	}
	return keep;
}

int security_members(const struct resource *group, const json_t *doc, struct err *e)
{
	json_t *x;
	size_t i;
	char at[80];

	json_array_foreach(model_at(doc, "properties.applicationSecurityGroups"), i, x)
	{
		snprintf(at, sizeof(at), "properties.applicationSecurityGroups[%zu].id", i);
		if (!reference(group, model_str(x, "id"), ASG_TYPE, at, e)) {
			return -1;
		}
	}
	return 0;
}

/* ---- view ---- */

static void view_rules(const struct resource *r, json_t *list, const char *child)
{
	char id[1400], type[120];
	json_t *x;
	size_t i;

	snprintf(type, sizeof(type), "Microsoft.Network/networkSecurityGroups/%s", child);
	json_array_foreach(list, i, x)
	{
		snprintf(id, sizeof(id), "%s/%s/%s", r->id, child, model_str(x, "name"));
		json_object_set_new(x, "id", json_string(id));
		json_object_set_new(x, "type", json_string(type));
		json_object_set_new(json_object_get(x, "properties"), "provisioningState",
		                    json_string("Succeeded"));
	}
}

static const char *tag_of(const struct nsg_side *s)
{
	return s->any        ? "*"
	       : s->vnet     ? "VirtualNetwork"
	       : s->internet ? "Internet"
	                     : "AzureLoadBalancer";
}

static json_t *default_rules(void)
{
	struct nsg g = { 0 };
	json_t *list = json_array();

	if (nsg_add_defaults(&g) < 0) {
		abort();
	}
	for (size_t i = 0; i < g.n; i++) {
		const struct nsg_rule *d = &g.v[i];

		json_array_append_new(
			list,
			json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s}}",
		                  "name", d->name, "properties", "description", d->name, "protocol",
		                  "*", "sourcePortRange", "*", "destinationPortRange", "*",
		                  "sourceAddressPrefix", tag_of(&d->side[0]),
		                  "destinationAddressPrefix", tag_of(&d->side[1]), "access",
		                  d->allow ? "Allow" : "Deny", "direction",
		                  d->inbound ? "Inbound" : "Outbound", "priority", (int)d->priority,
		                  "provisioningState", "Succeeded"));
	}
	nsg_fini(&g);
	return list;
}

void security_view(const struct resource *r, json_t *props)
{
	json_t *rules = json_object_get(props, "securityRules"), *defaults = default_rules();

	if (!rules) {
		rules = json_array();
		json_object_set_new(props, "securityRules", rules);
	}
	view_rules(r, rules, "securityRules");
	view_rules(r, defaults, "defaultSecurityRules");
	json_object_set_new(props, "defaultSecurityRules", defaults);
	json_object_set_new(props, "subnets",
	                    vnet_subnets_with(r, "properties.networkSecurityGroup"));
}
