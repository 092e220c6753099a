/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What an object may be: see kobj_check() in kobj.h. The engine does as control says within these bounds alone. Pure.
 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/kobj.h"

static bool name_is(const char *dev, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(dev, prefix, n) != 0 || !dev[n]) {
		return false;
	}
	for (dev += n; *dev; dev++) {
		if (!isdigit((unsigned char)*dev)) {
			return false;
		}
	}
	return true;
}

/* The end of a group's link in a namespace that a runtime made. */
static bool guest_device(const char *dev, uint32_t ns)
{
	return ns >= KOBJ_NS_FIRST && name_is(dev, "n") && strtoul(dev + 1, NULL, 10) == ns;
}

/* Devices that belong to the plane, by the kind of namespace they are in. */
static bool own_device(const struct kobj *o)
{
	const char *d = o->dev;

	if (kobj_ns_foreign(o->ns)) {
		return strcmp(d, "netd0") == 0;
	}
	if (o->ns == KOBJ_NS_GATEWAY) {
		return strcmp(d, "up0") == 0 || strcmp(d, "lo") == 0 || name_is(d, "v") ||
		       strcmp(d, "vx3") == 0; /* KOBJ_NODES_INDEX */
	}
	return strcmp(d, "lo") == 0 || strcmp(d, "eth0") == 0 || strcmp(d, "gw0") == 0 ||
	       name_is(d, "vx") || name_is(d, "br") || name_is(d, "p") || name_is(d, "x") ||
	       name_is(d, "y") || guest_device(d, o->ns);
}

static int refuse(const struct kobj *o, struct err *e, const char *what)
{
	AUTO_BUF struct buf text = { 0 };

	kobj_format(o, &text);
	return err_set(e, ERR_FORBIDDEN, 0, "%s: %s", buf_str(&text), what);
}

static int check_shape(const struct kobj *o, struct err *e)
{
	static const uint8_t subs[] = { KOBJ_NETNS_GUEST,
		                        KOBJ_LINK_VXLAN,
		                        0,
		                        KOBJ_NEIGH_PROXY,
		                        0,
		                        KOBJ_ROUTE_THROW,
		                        KOBJ_RULE_RETURN,
		                        0,
		                        0,
		                        0,
		                        KOBJ_RULESET_UPLINK,
		                        KOBJ_PSET_N - 1,
		                        0,
		                        0,
		                        0,
		                        0,
		                        KOBJ_SET_N - 1,
		                        KOBJ_PSET_N - 1,
		                        0 };
	static_assert(ARRAY_N(subs) == KOBJ_KIND_N, "a limit for every kind");

	if (o->kind >= KOBJ_NOTE || o->sub > subs[o->kind] ||
	    memchr(o->dev, '\0', KOBJ_NAME) == NULL || memchr(o->peer, '\0', KOBJ_NAME) == NULL ||
	    (o->kind != KOBJ_FILTER && memchr(o->master, '\0', KOBJ_NAME) == NULL)) {
		return err_set(e, ERR_FORBIDDEN, 0, "object: kind, type or name out of range");
	}
	if (o->family != 0 && o->family != 4 && o->family != 6) {
		return err_set(e, ERR_FORBIDDEN, 0, "object: family %u", o->family);
	}
	if (o->kind == KOBJ_NETNS && o->sub == KOBJ_NETNS_GIVEN) {
		return err_set(e, ERR_FORBIDDEN, 0, "object: a given namespace is no object");
	}
	if (o->plen > (o->family ? ip_bits(o->family) : 0)) {
		return err_set(e, ERR_FORBIDDEN, 0, "object: prefix length %u", o->plen);
	}
	return 0;
}

/* Names that plans give: N and L for chains and sets, I for chains of idle times, a for members of application security groups,
 * c for counters; nothing of the ruleset's own begins so. */
static int check_policy(const struct kobj *o)
{
	static const char *const first[] = {
		[KOBJ_SET] = "Na",    [KOBJ_COUNTER] = "c",  [KOBJ_TIMEOUT] = "t",
		[KOBJ_CHAIN] = "NLI", [KOBJ_FILTER] = "NLI", [KOBJ_ITEM] = "Na"
	};
	struct kobj_filter f;
	uint16_t ports[2];
	bool ok = o->ns >= KOBJ_NS_FIRST && o->dev[0] && strchr(first[o->kind], o->dev[0]);

	for (const char *c = o->dev; *c; c++) {
		ok = ok && isalnum((unsigned char)*c);
	}
	if (o->kind == KOBJ_ITEM && memcmp(o->addr, o->via, sizeof(o->addr)) > 0) {
		return -1; /* from, to */
	}
	if (o->kind == KOBJ_SET || o->kind == KOBJ_ITEM) {
		return ok && o->sub ? 0 : -1;
	}
	if (o->kind == KOBJ_TIMEOUT) {
		uint32_t seconds;
		uint8_t family;

		return ok && kobj_timeout_read(o->dev, &seconds, &family) ? 0 : -1;
	}
	if (o->kind != KOBJ_FILTER) {
		return ok ? 0 : -1;
	}
	kobj_filter_unpack(o, &f);
	ok = ok && f.op >= KOBJ_FILTER_PROTO && f.op <= KOBJ_FILTER_SNAT &&
	     (f.family == 0 || f.family == 4 || f.family == 6);
	if (f.op == KOBJ_FILTER_SNAT) {
		kobj_filter_ports(&f, ports);
		return ok && f.family && f.sport[1] < f.sport[0] && ports[0] <= ports[1] ? 0 : -1;
	}
	ok = ok && f.sport[0] <= f.sport[1];
	for (int i = 0; i < 2 && ok; i++) {
		unsigned bits = f.family ? ip_bits(f.family) : 0;

		ok = f.side[i] == KOBJ_SIDE_ANY ||
		     (f.side[i] == KOBJ_SIDE_PREFIX ? f.plen[i] <= bits
		                                    : f.side[i] <= KOBJ_SIDE_NOT_SET && f.family &&
		                                              memchr(f.value[i], 0, 16));
	}
	return ok ? 0 : -1;
}

/* In which namespaces it may be. */
static int check_place(const struct kobj *o, struct err *e)
{
	if (o->ns == KOBJ_NS_HOST) {
		/* In the host's namespace: one device, routes over it, one netdev table. */
		bool route = o->kind == KOBJ_ROUTE && o->plen > 0;
		bool ruleset = o->kind == KOBJ_RULESET && o->sub == KOBJ_RULESET_UPLINK;

		if (!(route || ruleset || o->kind == KOBJ_LINK || o->kind == KOBJ_ADDR ||
		      o->kind == KOBJ_NEIGH ||
		      (o->kind == KOBJ_ELEM && o->sub >= KOBJ_SET_POOL4))) {
			return refuse(o, e, "not allowed in the host's namespace");
		}
	} else if (o->ns > KOBJ_NS_GATEWAY && o->ns < KOBJ_NS_FIRST) {
		return refuse(o, e, "no such namespace");
	} else if (kobj_ns_foreign(o->ns)) {
		/* In a given one: the end of a link, and what is on it. */
		bool link = o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_PEER;
		bool route =
			o->kind == KOBJ_ROUTE && o->plen > 0 && o->sub < KOBJ_ROUTE_UNREACHABLE;

		if ((!link && !route && o->kind != KOBJ_NEIGH) ||
		    o->ns >= KOBJ_NS_GIVEN + KOBJ_GIVEN_MAX || o->table) {
			return refuse(o, e, "not allowed in a given namespace");
		}
	}
	bool returns = o->ns == KOBJ_NS_GATEWAY && o->table > KOBJ_TABLE_NODES &&
	               (o->kind == KOBJ_ROUTE || o->sub == KOBJ_RULE_RETURN);

	if (o->kind == KOBJ_RULE && o->ns != KOBJ_NS_GATEWAY &&
	    (o->sub == KOBJ_RULE_LINKED || o->sub == KOBJ_RULE_RETURN)) {
		return refuse(o, e, "the gateway alone sends public sources to other nodes");
	}
	if ((o->kind == KOBJ_ROUTE || o->kind == KOBJ_RULE) && o->table && !returns &&
	    (o->ns < KOBJ_NS_FIRST || o->table <= KOBJ_TABLE_BASE)) {
		return refuse(o, e, "table is not the plane's");
	}
	return 0;
}

/* What is at a group's port, or in its namespace. */
static int check_port(const struct kobj *o, struct err *e)
{
	if (o->kind == KOBJ_TAP && (o->ns < KOBJ_NS_FIRST || strcmp(o->dev, "tap0") != 0 ||
	                            o->index < 1 || o->index > 2)) {
		return refuse(o, e, "not a group's tap device");
	}
	if (o->kind == KOBJ_RATE && (o->ns < KOBJ_NS_FIRST || !name_is(o->dev, "p"))) {
		return refuse(o, e, "not a group's port");
	}
	if (o->kind == KOBJ_FLOAT &&
	    (o->ns < KOBJ_NS_FIRST || !name_is(o->dev, "p") || !o->family || !o->table ||
	     o->table > KOBJ_FLOAT_MASK >> KOBJ_FLOAT_SHIFT)) {
		return refuse(o, e, "not a frontend at a group's port");
	}
	return 0;
}

/* What leads to other nodes. */
static int check_nodes(const struct kobj *o, struct err *e)
{
	if (o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_VXLAN &&
	    (o->ns < KOBJ_NS_GATEWAY || !name_is(o->dev, "vx") ||
	     (o->ns == KOBJ_NS_GATEWAY && strcmp(o->dev, "vx3") != 0) || !o->family || !o->table ||
	     o->table >= 1u << 24)) {
		return refuse(o, e, "not a link of a VNet's, or the gateway's, to other nodes");
	}
	if (o->kind == KOBJ_RULESET && o->peer[0] && o->sub != KOBJ_RULESET_UPLINK) {
		return refuse(o, e, "the host alone has an underlay");
	}
	if (o->kind == KOBJ_RULESET && (o->index || o->flags) &&
	    (o->sub != KOBJ_RULESET_GATEWAY || o->index != KOBJ_NODES_INDEX ||
	     (o->flags & ~KOBJ_LEAF))) {
		return refuse(o, e, "the gateway alone has a link to all nodes");
	}
	if (o->kind == KOBJ_FDB && (o->family != 0) != name_is(o->dev, "vx")) {
		return refuse(o, e, "a node's address goes with a link to other nodes");
	}
	return 0;
}

int kobj_check(const struct kobj *o, struct err *e)
{
	bool needs_dev = (o->kind >= KOBJ_LINK && o->kind <= KOBJ_FDB) ||
	                 (o->kind == KOBJ_RULE && o->sub == KOBJ_RULE_TABLE) ||
	                 (o->kind == KOBJ_ROUTE && o->sub < KOBJ_ROUTE_UNREACHABLE);

	if (check_shape(o, e) < 0 || check_place(o, e) < 0 || check_port(o, e) < 0 ||
	    check_nodes(o, e) < 0) {
		return -1;
	}
	if (((o->kind >= KOBJ_SET && o->kind <= KOBJ_FILTER) || o->kind == KOBJ_ITEM) &&
	    check_policy(o) < 0) {
		return refuse(o, e, "not a rule, set, chain or counter of a security group");
	}
	if (needs_dev && !own_device(o)) {
		return refuse(o, e, "device is not the plane's");
	}
	if (o->kind == KOBJ_LINK && o->master[0] && !name_is(o->master, "br")) {
		return refuse(o, e, "bridge is not the plane's");
	}
	if (o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_VETH &&
	    (strcmp(o->peer, "eth0") != 0 && strcmp(o->peer, "gw0") != 0 &&
	     strcmp(o->peer, "up0") != 0 && strcmp(o->peer, "netd0") != 0 &&
	     !name_is(o->peer, "x") && !guest_device(o->peer, o->peer_ns))) {
		return refuse(o, e, "peer name is not the plane's");
	}
	return 0;
}
