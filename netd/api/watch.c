/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See watch.h. Shapes of questions and answers: Azure REST specifications, networkWatchers,
 * networkInterfaces and virtualNetworks.
 */
#include "netd/api/watch.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/api/counters.h"
#include "netd/balancer.h"
#include "netd/fabric.h"
#include "netd/flush.h"
#include "netd/subnet.h"
#include "netd/trace.h"

static void answer(struct http_request *r, json_t *body)
{
	api_json(r, 200, "", body);
}

static void wrong(struct http_request *r, const char *at, const char *what, const char *got)
{
	struct err e = ERR_INIT;

	err_set_at(&e, ERR_INVALID, "InvalidRequestContent", at, "'%s' must be %s, got '%.80s'.",
	           at, what, got);
	api_error(r, &e);
}

/* ---- values of a body ---- */

static bool need_ip(struct http_request *r, const json_t *doc, const char *name, struct ip *to)
{
	struct err e = ERR_INIT;
	const char *text = model_str(doc, name);

	if (!*text || ip_parse(text, to, &e) < 0) {
		wrong(r, name, "an IP address", text);
		return false;
	}
	return true;
}

/* Azure takes ports as text; numbers are as good. */
static bool need_port(struct http_request *r, const json_t *doc, const char *name, uint16_t *to)
{
	const json_t *x = json_object_get(doc, name);
	const char *text = json_is_string(x) ? json_string_value(x) : "";
	char *end;
	long n = json_is_integer(x) ? (long)json_integer_value(x) : strtol(text, &end, 10);

	if ((!json_is_integer(x) && (!*text || *end)) || n < 0 || n > 65535) {
		wrong(r, name, "a port from 0 to 65535", text);
		return false;
	}
	*to = (uint16_t)n;
	return true;
}

static bool need_proto(struct http_request *r, const json_t *doc, uint8_t family, uint8_t *to)
{
	static const struct {
		const char *name;
		uint8_t number;
	} names[] = { { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "ICMP", IPPROTO_ICMP } };

	for (size_t i = 0; i < ARRAY_N(names); i++) {
		if (model_is(doc, "protocol", names[i].name)) {
			*to = names[i].number == IPPROTO_ICMP && family == 6 ? IPPROTO_ICMPV6
			                                                     : names[i].number;
			return true;
		}
	}
	wrong(r, "protocol", "TCP, UDP or ICMP", model_str(doc, "protocol"));
	return false;
}

/* The group that a body speaks of; the caller sees it. */
static const struct resource *need_target(struct http_request *r, const struct caller *who,
                                          const json_t *doc)
{
	const char *id = model_str(doc, "targetResourceId");
	AUTO_FREE char *key = table_key(id);
	const struct resource *g = table_get(key);
	struct err e = ERR_INIT;

	if (!g || !g->group || !caller_sees(who, key)) {
		err_set_at(&e, ERR_INVALID, "InvalidResourceReference", "targetResourceId",
		           "Resource %.300s was not found, or is no container group.", id);
		api_error(r, &e);
		return NULL;
	}
	return g;
}

/* ---- networkWatchers ---- */

static void flow_verify(struct http_request *r, const struct caller *who, const json_t *doc)
{
	const struct resource *g = need_target(r, who, doc);
	bool inbound = model_is(doc, "direction", "Inbound"), allow = true;
	struct nsg_flow f = { .inbound = inbound };
	int local = inbound ? 1 : 0;
	char name[120] = "";

	if (!g) {
		return;
	}
	if (!inbound && !model_is(doc, "direction", "Outbound")) {
		wrong(r, "direction", "Inbound or Outbound", model_str(doc, "direction"));
		return;
	}
	if (!need_ip(r, doc, "localIPAddress", &f.addr[local]) ||
	    !need_ip(r, doc, "remoteIPAddress", &f.addr[1 - local]) ||
	    !need_proto(r, doc, f.addr[0].family, &f.proto) ||
	    !need_port(r, doc, "localPort", &f.port[local]) ||
	    !need_port(r, doc, "remotePort", &f.port[1 - local])) {
		return;
	}
	if (f.addr[0].family != f.addr[1].family) {
		wrong(r, "remoteIPAddress", "of the same family as localIPAddress",
		      model_str(doc, "remoteIPAddress"));
		return;
	}
	(void)trace_rule(g, &f, &allow, name);
	answer(r, json_pack("{s:s, s:s}", "access", allow ? "Allow" : "Deny", "ruleName", name));
}

static void next_hop(struct http_request *r, const struct caller *who, const json_t *doc)
{
	const struct resource *g = need_target(r, who, doc);
	struct ip src, dst, hop = { 0 };
	const char *table;
	char text[IP_TEXT];

	if (!g || !need_ip(r, doc, "sourceIPAddress", &src) ||
	    !need_ip(r, doc, "destinationIPAddress", &dst)) {
		return;
	}
	const char *type = trace_next_hop(g, &dst, &hop, &table);
	json_t *body = json_pack("{s:s, s:s}", "nextHopType", type, "routeTableId", table);
	if (hop.family) {
		json_object_set_new(body, "nextHopIpAddress", json_string(ip_format(&hop, text)));
	}
	answer(r, body);
}

/* ---- virtualNetworks ---- */

/* Is the address free in the VNet; and a few that are. */
static void availability(struct http_request *r, const struct resource *v)
{
	char text[IP_TEXT] = "";
	struct err e = ERR_INIT;
	struct ip_prefix prefix = { 0 };
	struct ip ip, next;
	json_t *x, *free_ones = json_array();
	size_t i;

	if (!http_query(r, "ipAddress", text, sizeof(text)) || ip_parse(text, &ip, &e) < 0) {
		json_decref(free_ones);
		wrong(r, "ipAddress", "an IP address", text);
		return;
	}
	json_array_foreach(model_at(v->doc, "properties.subnets"), i, x)
	{
		struct ip_prefix some[16];
		size_t n = vnet_subnet_prefixes(x, some, ARRAY_N(some));

		for (size_t k = 0; k < n; k++) {
			if (some[k].ip.family == ip.family && ip_prefix_contains(&some[k], &ip)) {
				prefix = some[k];
			}
		}
	}
	if (!prefix.ip.family) {
		json_decref(free_ones);
		err_set_at(&e, ERR_INVALID, "PrivateIPAddressNotInAnySubnet", "ipAddress",
		           "Private address %s is in no subnet of virtual network %s.", text,
		           v->name);
		api_error(r, &e);
		return;
	}
	struct ip last = ip_prefix_last(&prefix);
	bool reserved = ip_distance(&ip, &prefix.ip) < 4 || ip_compare(&ip, &last) == 0;
	uint32_t vnet = (uint32_t)json_integer_value(json_object_get(v->status, "serial"));
	bool available = !reserved && !(vnet && trace_group(&ip, vnet));
	next = prefix.ip;
	for (uint64_t k = 4; !available && k < 1024 && k + 1 < ip_prefix_size(&prefix) &&
	                     json_array_size(free_ones) < 5;
	     k++) {
		next = prefix.ip;
		if (ip_add(&next, k) && !(vnet && trace_group(&next, vnet))) {
			json_array_append_new(free_ones, json_string(ip_format(&next, text)));
		}
	}
	json_t *body =
		json_pack("{s:b, s:b}", "available", available, "isPlatformReserved", reserved);
	if (available) {
		json_decref(free_ones);
	} else {
		json_object_set_new(body, "availableIPAddresses", free_ones);
	}
	answer(r, body);
}

static void usages(struct http_request *r, const struct resource *v)
{
	json_t *list = json_array(), *x;
	size_t i;

	json_array_foreach(model_at(v->doc, "properties.subnets"), i, x)
	{
		struct ip_prefix some[16];
		size_t n = vnet_subnet_prefixes(x, some, ARRAY_N(some));
		double limit = 0;
		char id[1400];

		for (size_t k = 0; k < n; k++) {
			limit += (double)ip_prefix_size(&some[k]) - 5;
		}
		snprintf(id, sizeof(id), "%s/subnets/%s", v->id, model_str(x, "name"));
		json_array_append_new(
			list,
			json_pack("{s:s, s:i, s:f, s:s, s:{s:s, s:s}}", "id", id, "currentValue",
		                  (int)network_subnet_groups(v, model_str(x, "name")), "limit",
		                  limit, "unit", "Count", "name", "value", "SubnetSpace",
		                  "localizedValue", "Subnet size and usage"));
	}
	answer(r, json_pack("{s:o}", "value", list));
}

static void flushed(void *arg)
{
	http_reply(arg, 204, "", NULL, 0);
}

/* The engine has listed the flows, so that control has told it which to forget. */
static void listed(void *arg)
{
	fabric_wait(flushed, arg);
}

/* ---- routing ---- */

bool watch_request(struct http_request *r, const struct caller *who, const struct resource *x,
                   const char *what)
{
	static const struct {
		const char *type, *what, *method;
	} questions[] = {
		{ "networkWatchers", "ipFlowVerify", "POST" },
		{ "networkWatchers", "nextHop", "POST" },
		{ "containerGroups", "effectiveRouteTable", "POST" },
		{ "containerGroups", "effectiveNetworkSecurityGroups", "POST" },
		{ "virtualNetworks", "checkIPAddressAvailability", "GET" },
		{ "virtualNetworks", "usages", "GET" },
		{ "networkSecurityGroups", "flush", "POST" },
		{ "networkSecurityGroups", "counters", "GET" },
		{ "containerGroups", "counters", "GET" },
		{ "virtualNetworks", "counters", "GET" },
		{ "loadBalancers", "shares", "GET" },
	};
	size_t q = 0;

	while (q < ARRAY_N(questions) &&
	       (strcmp(strchr(x->type->name, '/') + 1, questions[q].type) != 0 ||
	        strcasecmp(what, questions[q].what) != 0)) {
		q++;
	}
	if (q == ARRAY_N(questions)) {
		return false;
	}
	if (strcmp(r->method, questions[q].method) != 0) {
		struct err e = ERR_INIT;

		err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
		api_error(r, &e);
	} else if (q < 2) {
		json_t *doc = api_body(r);

		if (doc) {
			(q == 0 ? flow_verify : next_hop)(r, who, doc);
		}
		json_decref(doc);
	} else if (q < 4) {
		answer(r, q == 2 ? trace_effective_routes(x) : trace_effective_rules(x));
	} else if (q == 10) {
		answer(r, balancer_shares(x));
	} else if (q > 6) {
		counters_request(r, x);
	} else if (q == 6) {
		flush_begin((struct resource *)(uintptr_t)x);
		fabric_wait(listed, r);
	} else {
		(q == 4 ? availability : usages)(r, x);
	}
	return true;
}

static bool visible(void *arg, const struct resource *g)
{
	return caller_sees(arg, g->key);
}

/* {"source", "destination", "protocol", "port", "sourcePort"}: addresses; the source is a group that
 * the caller sees, or an address outside. */
void watch_trace(struct http_request *r, const struct caller *who)
{
	json_t *doc = strcmp(r->method, "POST") == 0 ? api_body(r) : NULL;
	struct trace t = { 0 };
	struct ip src, dst;
	uint16_t port = 0, sport = 49152;
	uint8_t proto;
	struct err e = ERR_INIT;

	if (!doc) {
		if (strcmp(r->method, "POST") != 0) {
			err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
			api_error(r, &e);
		}
		return;
	}
	bool icmp = model_is(doc, "protocol", "ICMP");
	bool ok = need_ip(r, doc, "source", &src) && need_ip(r, doc, "destination", &dst) &&
	          need_proto(r, doc, dst.family, &proto) &&
	          (icmp || need_port(r, doc, "port", &port)) &&
	          (!json_object_get(doc, "sourcePort") || need_port(r, doc, "sourcePort", &sport));
	if (ok && src.family != dst.family) {
		wrong(r, "destination", "of the source's family", model_str(doc, "destination"));
		ok = false;
	}
	const struct resource *g = ok ? trace_group(&src, 0) : NULL;
	AUTO_FREE char *named = table_key(model_str(doc, "group"));
	if (ok && *named) { /* where several VNets have the address */
		g = table_get(named);
	}
	if (ok && !*named && g && !caller_sees(who, g->key)) {
		g = NULL; /* a foreign one is an address outside */
	}
	if (ok && *named && (!g || !g->group || !caller_sees(who, g->key))) {
		err_set_at(&e, ERR_INVALID, "InvalidResourceReference", "group",
		           "The source is no group that the caller sees.");
		api_error(r, &e);
		ok = false;
	}
	if (ok) {
		t = (struct trace){ .hops = json_array(),
			            .sees = visible,
			            .arg = (void *)(uintptr_t)who };
		trace_flow(&src, &dst, proto, icmp ? 0 : sport, port, g, &t);
		answer(r, json_pack("{s:b, s:s, s:o}", "passes", t.passes, "where", t.where, "hops",
		                    t.hops));
	}
	json_decref(doc);
}
