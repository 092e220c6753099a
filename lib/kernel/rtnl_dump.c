/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rtnetlink dumps to kernel objects. Attributes are read with their size checked; what the kernel
 * makes by itself (local table, link-local addresses, protocol "kernel") is not reported.
 */

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/mnl.h"
#include "lib/kernel/rate.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/rtnl_own.h"

const struct rtnl_rule rtnl_rules[] = {
	[KOBJ_RULE_LOCAL] = { .pref = 10, .action = FR_ACT_TO_TBL, .iif = "lo" },
	[KOBJ_RULE_MARKED] = { .pref = 20,
	                       .mark = RTNL_MARK,
	                       .mask = RTNL_MARK,
	                       .action = FR_ACT_GOTO,
	                       .to = KOBJ_PREF_START },
	[KOBJ_RULE_BLACKHOLE] = { .pref = 30, .action = FR_ACT_BLACKHOLE },
	[KOBJ_RULE_START] = { .pref = KOBJ_PREF_START, .action = FR_ACT_NOP },
	[KOBJ_RULE_TABLE] = { .pref = KOBJ_PREF_TABLE, .action = FR_ACT_TO_TBL, .iif = "" },
	[KOBJ_RULE_SOURCE] = { .pref = KOBJ_PREF_SOURCE, .action = FR_ACT_TO_TBL, .iif = "lo" },
	[KOBJ_RULE_MAIN] = { .pref = KOBJ_PREF_MAIN, .action = FR_ACT_TO_TBL },
	[KOBJ_RULE_PLAIN] = { .pref = 42,
	                      .mask = KOBJ_MARK_NODE,
	                      .action = FR_ACT_GOTO,
	                      .to = KOBJ_PREF_PLAIN },
	[KOBJ_RULE_NODE] = { .pref = 45, .mask = KOBJ_MARK_NODE, .action = FR_ACT_TO_TBL },
	[KOBJ_RULE_ON] = { .pref = KOBJ_PREF_PLAIN, .action = FR_ACT_NOP },
	[KOBJ_RULE_SAID] = { .pref = 4,
	                     .mark = KOBJ_MARK_DIRECT,
	                     .mask = KOBJ_MARK_DIRECT,
	                     .action = FR_ACT_TO_TBL,
	                     .iif = "lo" },
	[KOBJ_RULE_DIRECT] = { .pref = 60,
	                       .mark = KOBJ_MARK_DIRECT,
	                       .mask = KOBJ_MARK_DIRECT,
	                       .action = FR_ACT_TO_TBL },
	[KOBJ_RULE_LINKED] = { .pref = 70, .action = FR_ACT_TO_TBL, .iif = "vx3" },
	[KOBJ_RULE_RETURN] = { .pref = 71, .action = FR_ACT_TO_TBL },
};

#define ATTRS_MAX 96

struct names {
	uint32_t index;
	char name[KOBJ_NAME];
};

struct walk {
	uint32_t ns;
	struct kset *to;
	size_t mark;          /* length of *to when the present dump began */
	char only[KOBJ_NAME]; /* the one device that is ours here; "": all are */
	uint32_t
		guest; /* index of that device in a runtime's namespace, whatever its name; 0: it is none */
	struct names *names;
	size_t n_names, cap_names;
	const struct nlattr *a[ATTRS_MAX];
};

static void walk_reset(void *arg)
{
	struct walk *w = arg;

	w->to->n = w->mark;
}

static void parse(struct walk *w, const struct nlmsghdr *h, size_t extra)
{
	const struct nlattr *a;

	memset(w->a, 0, sizeof(w->a));
	mnl_attr_for_each(a, h, (unsigned)extra)
	{
		if (mnl_attr_get_type(a) < ATTRS_MAX) {
			w->a[mnl_attr_get_type(a)] = a;
		}
	}
}

static uint32_t get_u32(const struct nlattr *a, uint32_t otherwise)
{
	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : otherwise;
}

static void get_bytes(const struct nlattr *a, uint8_t *to, size_t max)
{
	if (a && mnl_attr_get_payload_len(a) <= max) {
		memcpy(to, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	}
}

static void set_name(char to[KOBJ_NAME], const char *from)
{
	size_t n = strnlen(from, KOBJ_NAME - 1);

	memset(to, 0, KOBJ_NAME);
	memcpy(to, from, n);
}

static const char *name_of(const struct walk *w, uint32_t index)
{
	for (size_t i = 0; i < w->n_names; i++) {
		if (w->names[i].index == index) {
			return w->names[i].name;
		}
	}
	/* Ports have the number in their name: a binary look-up would gain nothing measurable. */
	return "?";
}

/* Is that device somebody else's? */
static bool others(const struct walk *w, const char *dev)
{
	return w->only[0] && strcmp(dev, w->only) != 0;
}

static int remember(struct walk *w, uint32_t index, const char *name)
{
	if (w->n_names == w->cap_names) {
		size_t cap = w->cap_names ? w->cap_names * 2 : 64;
		struct names *n = realloc(w->names, cap * sizeof(*n));

		if (!n) {
			return -1;
		}
		w->names = n;
		w->cap_names = cap;
	}
	w->names[w->n_names].index = index;
	set_name(w->names[w->n_names++].name, name);
	return 0;
}

static const struct nlattr *nested(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *a;

	if (!nest) {
		return NULL;
	}
	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == type) {
			return a;
		}
	}
	return NULL;
}

static uint8_t link_type(uint32_t ns, const char *name, const char *kind)
{
	if (strcmp(name, "lo") == 0) {
		return KOBJ_LINK_LO;
	}
	if (strcmp(kind, "bridge") == 0) {
		return KOBJ_LINK_BRIDGE;
	}
	if (strcmp(kind, "vxlan") == 0) {
		return KOBJ_LINK_VXLAN;
	}
	if (strcmp(kind, "veth") != 0) {
		return 0;
	}
	bool inner = (strcmp(name, "netd0") == 0 && ns != KOBJ_NS_HOST) ||
	             strcmp(name, "eth0") == 0 || strcmp(name, "gw0") == 0 ||
	             (strcmp(name, "up0") == 0 && ns == KOBJ_NS_GATEWAY) ||
	             (name[0] == 'x' && rtnl_device_index(name) < ns); /* of a peering */
	return inner ? KOBJ_LINK_PEER : KOBJ_LINK_VETH;
}

/* What cannot be changed is part of its key. */
static void read_vxlan(const struct nlattr *info, struct kobj *o)
{
	const struct nlattr *data = nested(info, IFLA_INFO_DATA),
			    *local4 = nested(data, IFLA_VXLAN_LOCAL),
			    *local6 = nested(data, IFLA_VXLAN_LOCAL6),
			    *port = nested(data, IFLA_VXLAN_PORT),
			    *learns = nested(data, IFLA_VXLAN_LEARNING);

	o->table = get_u32(nested(data, IFLA_VXLAN_ID), 0);
	o->family = local4 ? 4 : local6 ? 6 : 0;
	get_bytes(local4 ? local4 : local6, o->addr, local4 ? 4 : 16);
	if (!port || mnl_attr_get_u16(port) != htons(KOBJ_VXLAN_PORT) ||
	    (learns && mnl_attr_get_u8(learns))) {
		o->table = 0; /* another's of that name: is never wanted */
	}
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_LINK };

	parse(w, h, sizeof(*ifi));
	if (!w->a[IFLA_IFNAME]) {
		return 0;
	}
	bool own = w->guest && (uint32_t)ifi->ifi_index == w->guest;
	const char *name = own ? w->only : mnl_attr_get_str(w->a[IFLA_IFNAME]);
	const struct nlattr *kind = nested(w->a[IFLA_LINKINFO], IFLA_INFO_KIND);
	o.sub = link_type(w->ns, name, kind ? mnl_attr_get_str(kind) : "");
	if (own && o.sub == KOBJ_LINK_VETH) {
		o.sub = KOBJ_LINK_PEER;
	} else if (w->guest) {
		return 0;
	}
	if (remember(w, (uint32_t)ifi->ifi_index, name) < 0) {
		return -1;
	}
	bool up = ifi->ifi_flags & IFF_UP;
	if (o.sub == 0 || others(w, name) || (o.sub == KOBJ_LINK_LO && !up)) {
		return 0;
	}
	set_name(o.dev, name);
	if (o.sub == KOBJ_LINK_VXLAN) {
		read_vxlan(w->a[IFLA_LINKINFO], &o);
	}
	if (o.sub != KOBJ_LINK_LO) {
		o.index = (uint32_t)ifi->ifi_index;
		o.mtu = get_u32(w->a[IFLA_MTU], 0);
		get_bytes(w->a[IFLA_ADDRESS], o.mac, 6);
		const struct nlattr *slave = nested(w->a[IFLA_LINKINFO], IFLA_INFO_SLAVE_DATA);
		const struct nlattr *isolated = nested(slave, IFLA_BRPORT_ISOLATED);
		const struct nlattr *learning = nested(slave, IFLA_BRPORT_LEARNING);
		if (isolated && mnl_attr_get_u8(isolated) && learning &&
		    !mnl_attr_get_u8(learning)) {
			o.flags |= KOBJ_ISOLATED;
		}
		if (!up) {
			o.flags |= 1u << 31; /* never wanted: a link that is down gets set */
		}
		if (w->a[IFLA_MASTER]) {
			/* The bridge may come later in the dump; its name follows from its index. */
			snprintf(o.master, sizeof(o.master), "br%u", get_u32(w->a[IFLA_MASTER], 0));
		}
	}
	kset_add(w->to, &o);
	return w->to->failed ? -1 : 0;
}

static int on_addr(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_ADDR, .plen = ifa->ifa_prefixlen };

	parse(w, h, sizeof(*ifa));
	o.family = ifa->ifa_family == AF_INET ? 4 : 6;
	get_bytes(w->a[IFA_LOCAL] ? w->a[IFA_LOCAL] : w->a[IFA_ADDRESS], o.addr, 16);
	bool loopback =
		o.family == 4 ? o.addr[0] == 127 : o.plen == 128 && o.addr[15] == 1 && !o.addr[0];
	bool linklocal =
		o.family == 6 && o.addr[0] == 0xfe && (o.addr[1] & 0xc0) == 0x80 && o.plen == 64;
	set_name(o.dev, name_of(w, ifa->ifa_index));
	if (loopback || linklocal || others(w, o.dev)) {
		return 0;
	}
	kset_add(w->to, &o);
	return w->to->failed ? -1 : 0;
}

static int on_neigh(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct ndmsg *nd = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_NEIGH };

	parse(w, h, sizeof(*nd));
	set_name(o.dev, name_of(w, (uint32_t)nd->ndm_ifindex));
	if (others(w, o.dev)) {
		return 0;
	}
	if (nd->ndm_family == AF_BRIDGE) {
		bool far = strncmp(o.dev, "vx", 2) == 0 && w->a[NDA_DST];

		if (!(nd->ndm_state & NUD_NOARP) || (!w->a[NDA_MASTER] && !far)) {
			return 0;
		}
		o.kind = KOBJ_FDB;
		get_bytes(w->a[NDA_LLADDR], o.kmac, 6);
		if (far) {
			o.family = mnl_attr_get_payload_len(w->a[NDA_DST]) == 4 ? 4 : 6;
			get_bytes(w->a[NDA_DST], o.via, 16);
		}
	} else {
		bool proxy = nd->ndm_flags & NTF_PROXY;

		if (!proxy && !(nd->ndm_state & NUD_PERMANENT)) {
			return 0;
		}
		o.family = nd->ndm_family == AF_INET ? 4 : 6;
		get_bytes(w->a[NDA_DST], o.addr, 16);
		o.sub = proxy ? KOBJ_NEIGH_PROXY : 0;
		if (!proxy) {
			get_bytes(w->a[NDA_LLADDR], o.mac, 6);
		}
	}
	kset_add(w->to, &o);
	return w->to->failed ? -1 : 0;
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_ROUTE, .plen = rt->rtm_dst_len };

	parse(w, h, sizeof(*rt));
	uint32_t table = get_u32(w->a[RTA_TABLE], rt->rtm_table);
	if ((table != RT_TABLE_MAIN && (table <= KOBJ_TABLE_BASE || w->only[0])) ||
	    rt->rtm_protocol == RTPROT_KERNEL || rt->rtm_protocol == RTPROT_RA ||
	    (rt->rtm_flags & RTM_F_CLONED) || rt->rtm_type == RTN_MULTICAST ||
	    (w->only[0] && rt->rtm_protocol != RTNL_PROTO) ||
	    (w->guest && get_u32(w->a[RTA_OIF], 0) != w->guest)) {
		return 0;
	}
	o.family = rt->rtm_family == AF_INET ? 4 : 6;
	get_bytes(w->a[RTA_DST], o.addr, 16);
	get_bytes(w->a[RTA_GATEWAY], o.via, 16);
	o.table = table == RT_TABLE_MAIN ? 0 : table;
	if (rt->rtm_type == RTN_UNREACHABLE) {
		o.sub = KOBJ_ROUTE_UNREACHABLE;
	} else if (rt->rtm_type == RTN_BLACKHOLE || rt->rtm_type == RTN_THROW) {
		o.sub = rt->rtm_type == RTN_THROW ? KOBJ_ROUTE_THROW : KOBJ_ROUTE_BLACKHOLE;
	} else {
		o.sub = w->a[RTA_GATEWAY] ? KOBJ_ROUTE_UNICAST : KOBJ_ROUTE_LINK;
		set_name(o.dev, name_of(w, get_u32(w->a[RTA_OIF], 0)));
	}
	kset_add(w->to, &o);
	return w->to->failed ? -1 : 0;
}

static bool leads_here(const struct nlattr *hops)
{
	const struct rtnexthop *h = mnl_attr_get_payload(hops);
	int left = (int)mnl_attr_get_payload_len(hops);

	for (; RTNH_OK(h, left); left -= RTNH_ALIGN(h->rtnh_len), h = RTNH_NEXT(h)) {
		if ((uint32_t)h->rtnh_ifindex == RTNL_HOST_INDEX) {
			return true;
		}
	}
	return false;
}

/* Somebody else's route to somewhere else, by one way or several. */
static int on_learned(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct rtmsg *rt = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_ROUTE, .plen = rt->rtm_dst_len };

	parse(w, h, sizeof(*rt));
	if (get_u32(w->a[RTA_TABLE], rt->rtm_table) != RT_TABLE_MAIN ||
	    rt->rtm_protocol == RTNL_PROTO || rt->rtm_type != RTN_UNICAST ||
	    (rt->rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD | RTNH_F_LINKDOWN)) ||
	    get_u32(w->a[RTA_OIF], 0) == RTNL_HOST_INDEX ||
	    (w->a[RTA_MULTIPATH] && leads_here(w->a[RTA_MULTIPATH]))) {
		return 0;
	}
	o.family = rt->rtm_family == AF_INET ? 4 : 6;
	o.sub = KOBJ_ROUTE_UNICAST;
	get_bytes(w->a[RTA_DST], o.addr, 16);
	bool local = o.family == 4 ? (o.addr[0] == 169 && o.addr[1] == 254) || o.addr[0] >= 224 ||
	                                     o.addr[0] == 127
	                           : o.addr[0] >= 0xfe;
	if (!local) {
		kset_add(w->to, &o);
	}
	return w->to->failed ? -1 : 0;
}

static uint8_t rule_type(struct walk *w, const struct fib_rule_hdr *fr)
{
	uint32_t mark = get_u32(w->a[FRA_FWMARK], 0);

	for (uint8_t i = KOBJ_RULE_LOCAL; i < KOBJ_RULE_FOREIGN; i++) {
		const struct rtnl_rule *r = &rtnl_rules[i];
		const char *iif = w->a[FRA_IIFNAME] ? mnl_attr_get_str(w->a[FRA_IIFNAME]) : NULL;
		/* A node's table says what its mark is. */
		uint32_t table = get_u32(w->a[FRA_TABLE], fr->table),
			 wanted = i == KOBJ_RULE_NODE ? (table - KOBJ_TABLE_NODES) << 16 : r->mark;

		if (get_u32(w->a[FRA_PRIORITY], 0) == r->pref && fr->action == r->action &&
		    mark == wanted && get_u32(w->a[FRA_FWMASK], 0) == r->mask && !iif == !r->iif &&
		    (!iif || !*r->iif || strcmp(iif, r->iif) == 0) &&
		    !(fr->flags & FIB_RULE_INVERT)) {
			return i;
		}
	}
	return 0;
}

static uint8_t get_u8_attr(const struct nlattr *a)
{
	return a && mnl_attr_get_payload_len(a) == 1 ? mnl_attr_get_u8(a) : 0;
}

static void get_source(const struct walk *w, struct kobj *o)
{
	const struct nlattr *a = w->a[FRA_SRC];
	size_t n = o->family == 4 ? 4 : 16;

	if (a && mnl_attr_get_payload_len(a) == n) {
		memcpy(o->addr, mnl_attr_get_payload(a), n);
	}
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct fib_rule_hdr *fr = mnl_nlmsg_get_payload(h);
	struct kobj o = { .ns = w->ns, .kind = KOBJ_RULE };

	parse(w, h, sizeof(*fr));
	o.family = fr->family == AF_INET ? 4 : 6;
	o.sub = rule_type(w, fr);
	if (o.sub == KOBJ_RULE_TABLE) {
		o.table = get_u32(w->a[FRA_TABLE], fr->table);
		set_name(o.dev, mnl_attr_get_str(w->a[FRA_IIFNAME]));
		o.plen = fr->src_len;
		get_source(w, &o);
	} else if (o.sub == KOBJ_RULE_SOURCE) {
		o.table = get_u32(w->a[FRA_TABLE], fr->table);
		get_source(w, &o);
	} else if (o.sub == KOBJ_RULE_NODE || o.sub == KOBJ_RULE_SAID ||
	           o.sub == KOBJ_RULE_DIRECT || o.sub == KOBJ_RULE_RETURN) {
		o.table = get_u32(w->a[FRA_TABLE], fr->table);
	}
	if (o.sub == KOBJ_RULE_RETURN) {
		o.plen = fr->src_len;
		get_source(w, &o);
	}
	if (!o.sub &&
	    get_u8_attr(w->a[FRA_PROTOCOL]) != RTPROT_KERNEL) { /* the kernel's own stay */
		o.sub = KOBJ_RULE_FOREIGN;
		o.table = get_u32(w->a[FRA_PRIORITY], 0);
		o.addr[0] = get_u8_attr(w->a[FRA_PROTOCOL]);
		o.addr[1] = fr->action;
	}
	if (o.sub) {
		kset_add(w->to, &o);
	}
	return w->to->failed ? -1 : 0;
}

static uint32_t event_index(const struct nlmsghdr *h)
{
	const void *p = mnl_nlmsg_get_payload(h);
	struct walk w;

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return (uint32_t)((const struct ifinfomsg *)p)->ifi_index;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return ((const struct ifaddrmsg *)p)->ifa_index;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return (uint32_t)((const struct ndmsg *)p)->ndm_ifindex;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		parse(&w, h, sizeof(struct rtmsg));
		return get_u32(w.a[RTA_OIF], 0);
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER: {
		uint32_t index = (uint32_t)((const struct tcmsg *)p)->tcm_ifindex;

		return index == TCM_IFINDEX_MAGIC_BLOCK ? 0 : index;
	}
	default:
		return 0;
	}
}

uint32_t rtnl_event_index(const struct nlmsghdr *h)
{
	return rate_port(event_index(h));
}

struct ask {
	uint16_t type;
	uint8_t family;
	uint8_t proxy;
	size_t extra;
	int (*fn)(const struct nlmsghdr *h, void *arg);
};

static int ask(struct nl_sock *s, struct walk *w, const struct ask *q, struct err *e)
{
	union {
		struct ifinfomsg link;
		struct ifaddrmsg addr;
		struct ndmsg neigh;
		struct rtmsg route;
		struct fib_rule_hdr rule;
	} head;

	memset(&head, 0, sizeof(head));
	*(uint8_t *)&head = q->family; /* every rtnetlink header begins with the family */
	if (q->proxy) {
		head.neigh.ndm_flags = NTF_PROXY;
	}
	w->mark = w->to->n;
	return nl_dump(s, q->type, &head, q->extra, q->fn, walk_reset, w, e);
}

int rtnl_dump(struct nl_sock *s, uint32_t ns, bool guest, struct kset *to, struct err *e)
{
	static const struct ask asks[] = {
		{ RTM_GETLINK, AF_UNSPEC, 0, sizeof(struct ifinfomsg), on_link },
		{ RTM_GETADDR, AF_UNSPEC, 0, sizeof(struct ifaddrmsg), on_addr },
		{ RTM_GETNEIGH, AF_INET, 0, sizeof(struct ndmsg), on_neigh },
		{ RTM_GETNEIGH, AF_INET6, 0, sizeof(struct ndmsg), on_neigh },
		{ RTM_GETNEIGH, AF_INET, 1, sizeof(struct ndmsg), on_neigh },
		{ RTM_GETNEIGH, AF_INET6, 1, sizeof(struct ndmsg), on_neigh },
		{ RTM_GETNEIGH, AF_BRIDGE, 0, sizeof(struct ndmsg), on_neigh },
		{ RTM_GETROUTE, AF_INET, 0, sizeof(struct rtmsg), on_route },
		{ RTM_GETROUTE, AF_INET6, 0, sizeof(struct rtmsg), on_route },
		{ RTM_GETRULE, AF_INET, 0, sizeof(struct fib_rule_hdr), on_rule },
		{ RTM_GETRULE, AF_INET6, 0, sizeof(struct fib_rule_hdr), on_rule },
	};
	struct walk w = { .ns = ns, .to = to, .guest = guest ? ns : 0 };
	int rc = 0;

	if (guest) {
		snprintf(w.only, sizeof(w.only), "n%u", ns);
	} else if (kobj_ns_foreign(ns)) {
		memcpy(w.only, "netd0", 6);
	}
	for (size_t i = 0; rc == 0 && i < sizeof(asks) / sizeof(asks[0]); i++) {
		if (w.only[0] && asks[i].type == RTM_GETRULE) {
			continue;
		}
		rc = ask(s, &w, &asks[i], e);
	}
	free(w.names);
	return rc;
}

int rtnl_learned(struct nl_sock *s, uint32_t ns, struct kset *to, struct err *e)
{
	static const struct ask asks[] = {
		{ RTM_GETROUTE, AF_INET, 0, sizeof(struct rtmsg), on_learned },
		{ RTM_GETROUTE, AF_INET6, 0, sizeof(struct rtmsg), on_learned },
	};
	struct walk w = { .ns = ns, .to = to };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(asks) / sizeof(asks[0]); i++) {
		rc = ask(s, &w, &asks[i], e);
	}
	return rc;
}
