/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See rtnl.h. Encoding only: builds messages, touches no socket.
 */
#include "lib/kernel/rtnl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/rtnl_own.h"

uint32_t rtnl_device_index(const char *dev)
{
	if (strcmp(dev, "lo") == 0) {
		return 1;
	}
	if (strcmp(dev, "netd0") == 0) {
		return RTNL_HOST_INDEX;
	}
	if (strcmp(dev, "eth0") == 0 || strcmp(dev, "gw0") == 0 || strcmp(dev, "up0") == 0) {
		return KOBJ_PEER_INDEX;
	}
	while (*dev && (*dev < '0' || *dev > '9')) {
		dev++;
	}
	return (uint32_t)strtoul(dev, NULL, 10);
}

static uint8_t af(uint8_t family)
{
	return family == 4 ? AF_INET : AF_INET6;
}

static uint16_t addr_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static bool is_zero(const uint8_t b[16])
{
	static const uint8_t zero[16];

	return memcmp(b, zero, 16) == 0;
}

static struct nlmsghdr *link_begin(struct nl_batch *b, uint16_t flags, uint32_t index, bool up)
{
	struct ifinfomsg *ifi;
	struct nlmsghdr *h = nl_batch_begin(b, RTM_NEWLINK, flags, sizeof(*ifi), (void **)&ifi);

	if (h) {
		ifi->ifi_family = AF_UNSPEC;
		ifi->ifi_index = (int)index;
		ifi->ifi_flags = up ? IFF_UP : 0;
		ifi->ifi_change = up ? IFF_UP : 0;
	}
	return h;
}

static void put_peer(struct nlmsghdr *h, const struct kobj *o, const struct rtnl_peer *to)
{
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload_tail(h);

	/* A peer with IFF_UP here gives ENOTCONN: it comes up in its own namespace. */
	memset(ifi, 0, sizeof(*ifi));
	ifi->ifi_index = (int)rtnl_device_index(o->peer);
	h->nlmsg_len += MNL_ALIGN(sizeof(*ifi));
	mnl_attr_put_strz(h, IFLA_IFNAME, to->name ? to->name : o->peer);
	mnl_attr_put(h, IFLA_ADDRESS, 6, o->via);
	mnl_attr_put_u32(h, IFLA_MTU, o->mtu);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)to->fd);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
}

/* Static, by its entries alone; no "do not fragment" on the outer packet (a smaller path would be a hole); checksums over IPv6 as
 * they are by default. */
static void put_vxlan(struct nlmsghdr *h, const struct kobj *o)
{
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);

	mnl_attr_put_u32(h, IFLA_VXLAN_ID, o->table);
	mnl_attr_put(h, o->family == 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, addr_len(o->family),
	             o->addr);
	mnl_attr_put_u16(h, IFLA_VXLAN_PORT, htons(KOBJ_VXLAN_PORT));
	mnl_attr_put_u8(h, IFLA_VXLAN_LEARNING, 0);
	mnl_attr_nest_end(h, data);
}

static void encode_link_add(struct nl_batch *b, const struct kobj *o, const struct rtnl_peer *peer)
{
	bool vxlan = o->sub == KOBJ_LINK_VXLAN;
	/* One that is asked for in another namespace is made by its last message, up by the next. */
	struct nlmsghdr *h = link_begin(b, NLM_F_CREATE | NLM_F_EXCL, o->index, !vxlan);
	struct nlattr *info;

	if (!h) {
		return;
	}
	mnl_attr_put_strz(h, IFLA_IFNAME, o->dev);
	mnl_attr_put(h, IFLA_ADDRESS, 6, o->mac);
	mnl_attr_put_u32(h, IFLA_MTU, o->mtu);
	if (o->master[0]) {
		mnl_attr_put_u32(h, IFLA_MASTER, rtnl_device_index(o->master));
	}
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	if (o->sub == KOBJ_LINK_BRIDGE) {
		mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
		struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
		mnl_attr_put_u8(h, IFLA_BR_MCAST_SNOOPING, 0);
		mnl_attr_nest_end(h, data);
	} else if (vxlan) {
		mnl_attr_put_strz(h, IFLA_INFO_KIND, "vxlan");
		put_vxlan(h, o);
	} else {
		mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
		put_peer(h, o, peer);
	}
	mnl_attr_nest_end(h, info);
	if (vxlan) {
		mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)peer->fd);
	}
	nl_batch_end(b, 0);
}

static void encode_port(struct nl_batch *b, const struct kobj *o)
{
	static const struct {
		uint16_t attr;
		uint8_t value;
	} flags[] = {
		{ IFLA_BRPORT_ISOLATED, 1 },      { IFLA_BRPORT_LEARNING, 0 },
		{ IFLA_BRPORT_UNICAST_FLOOD, 0 }, { IFLA_BRPORT_MCAST_FLOOD, 0 },
		{ IFLA_BRPORT_BCAST_FLOOD, 0 },   { IFLA_BRPORT_NEIGH_SUPPRESS, 1 },
	};
	struct nlmsghdr *h = link_begin(b, 0, o->index, false);

	if (!h) {
		return;
	}
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_SLAVE_KIND, "bridge");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_SLAVE_DATA);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		mnl_attr_put_u8(h, flags[i].attr, flags[i].value);
	}
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	nl_batch_end(b, 0);
}

static void encode_link_set(struct nl_batch *b, const struct kobj *o)
{
	struct nlmsghdr *h = link_begin(b, 0, rtnl_device_index(o->dev), true);

	if (!h) {
		return;
	}
	if (o->sub != KOBJ_LINK_LO) {
		mnl_attr_put(h, IFLA_ADDRESS, 6, o->mac);
		mnl_attr_put_u32(h, IFLA_MTU, o->mtu);
		if (o->sub != KOBJ_LINK_PEER) {
			mnl_attr_put_u32(h, IFLA_MASTER,
			                 o->master[0] ? rtnl_device_index(o->master) : 0);
		}
	}
	nl_batch_end(b, 0);
}

/* up0 answers for public addresses at once: the kernel waits up to 0.8 s by default, and a namespace
 * has no default of its own (neigh/default is there in the first one only). */
static void encode_proxy_delay(struct nl_batch *b, const struct kobj *o)
{
	static const struct {
		uint8_t family;
		const char *table;
	} tables[] = { { AF_INET, "arp_cache" }, { AF_INET6, "ndisc_cache" } };

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		struct ndtmsg *t;
		struct nlmsghdr *h = nl_batch_begin(b, RTM_SETNEIGHTBL, 0, sizeof(*t), (void **)&t);

		if (!h) {
			return;
		}
		t->ndtm_family = tables[i].family;
		mnl_attr_put_strz(h, NDTA_NAME, tables[i].table);
		struct nlattr *nest = mnl_attr_nest_start(h, NDTA_PARMS);
		mnl_attr_put_u32(h, NDTPA_IFINDEX, rtnl_device_index(o->dev));
		mnl_attr_put_u64(h, NDTPA_PROXY_DELAY, 0);
		mnl_attr_nest_end(h, nest);
		nl_batch_end(b, NL_FORGIVE_ABSENT); /* no IPv6, no table */
	}
}

static void encode_link_del(struct nl_batch *b, const struct kobj *o)
{
	struct ifinfomsg *ifi;

	if (nl_batch_begin(b, RTM_DELLINK, 0, sizeof(*ifi), (void **)&ifi)) {
		ifi->ifi_index = (int)o->index;
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

/* Of a group's link, in a namespace of a runtime's. */
static bool is_guest(const struct kobj *o)
{
	return o->dev[0] == 'n' && o->dev[1] >= '0' && o->dev[1] <= '9';
}

/* No link-local address: the router's guard lets none pass. Before the device is up. */
static void encode_no_linklocal(struct nl_batch *b, const struct kobj *o)
{
	struct nlmsghdr *h = link_begin(b, 0, rtnl_device_index(o->dev), false);

	if (!h) {
		return;
	}
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *in6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, in6);
	mnl_attr_nest_end(h, spec);
	nl_batch_end(b, EAFNOSUPPORT); /* a namespace without IPv6 */
}

static void encode_link(struct nl_batch *b, const struct kop *op, const struct rtnl_peer *peer)
{
	const struct kobj *o = op->o;
	bool inner = o->sub == KOBJ_LINK_LO || o->sub == KOBJ_LINK_PEER;

	if (op->verb == KOP_BIND) {
		return; /* shortcut.h */
	}
	if (op->verb == KOP_DEL) {
		if (!inner) {
			encode_link_del(b, o);
		}
		return;
	}
	if (op->verb == KOP_ADD && !inner) {
		encode_link_add(b, o, peer);
	} else {
		if (is_guest(o)) {
			encode_no_linklocal(b, o);
		}
		encode_link_set(b, o);
	}
	if (strcmp(o->dev, "up0") == 0) {
		encode_proxy_delay(b, o);
	}
	if (o->flags & KOBJ_ISOLATED) {
		encode_port(b, o);
	}
}

static void encode_addr(struct nl_batch *b, const struct kop *op)
{
	const struct kobj *o = op->o;
	bool del = op->verb == KOP_DEL;
	struct ifaddrmsg *ifa;
	struct nlmsghdr *h =
		nl_batch_begin(b, del ? RTM_DELADDR : RTM_NEWADDR,
	                       del ? 0 : NLM_F_CREATE | NLM_F_REPLACE, sizeof(*ifa), (void **)&ifa);

	if (!h) {
		return;
	}
	ifa->ifa_family = af(o->family);
	ifa->ifa_prefixlen = o->plen;
	ifa->ifa_index = rtnl_device_index(o->dev);
	mnl_attr_put(h, IFA_LOCAL, addr_len(o->family), o->addr);
	mnl_attr_put(h, IFA_ADDRESS, addr_len(o->family), o->addr);
	if (!del) {
		mnl_attr_put_u32(h, IFA_FLAGS, IFA_F_NOPREFIXROUTE | IFA_F_NODAD);
	}
	nl_batch_end(b, del ? NL_FORGIVE_ABSENT : 0);
}

static void encode_neigh(struct nl_batch *b, const struct kop *op)
{
	const struct kobj *o = op->o;
	bool del = op->verb == KOP_DEL, fdb = o->kind == KOBJ_FDB;
	struct ndmsg *nd;
	struct nlmsghdr *h =
		nl_batch_begin(b, del ? RTM_DELNEIGH : RTM_NEWNEIGH,
	                       del ? 0 : NLM_F_CREATE | NLM_F_REPLACE, sizeof(*nd), (void **)&nd);

	if (!h) {
		return;
	}
	nd->ndm_ifindex = (int)rtnl_device_index(o->dev);
	if (fdb) {
		nd->ndm_family = AF_BRIDGE;
		nd->ndm_state = o->family ? NUD_NOARP | NUD_PERMANENT : NUD_NOARP;
		nd->ndm_flags = o->family ? NTF_SELF : NTF_MASTER;
		mnl_attr_put(h, NDA_LLADDR, 6, o->kmac);
		if (o->family) {
			mnl_attr_put(h, NDA_DST, addr_len(o->family), o->via);
		}
	} else {
		nd->ndm_family = af(o->family);
		nd->ndm_state = NUD_PERMANENT;
		nd->ndm_flags = o->sub == KOBJ_NEIGH_PROXY ? NTF_PROXY : 0;
		mnl_attr_put(h, NDA_DST, addr_len(o->family), o->addr);
		if (o->sub != KOBJ_NEIGH_PROXY) {
			mnl_attr_put(h, NDA_LLADDR, 6, o->mac);
		}
	}
	nl_batch_end(b, del ? NL_FORGIVE_ABSENT : 0);
}

static void encode_route(struct nl_batch *b, const struct kop *op)
{
	static const uint8_t types[] = { [KOBJ_ROUTE_UNICAST] = RTN_UNICAST,
		                         [KOBJ_ROUTE_LINK] = RTN_UNICAST,
		                         [KOBJ_ROUTE_UNREACHABLE] = RTN_UNREACHABLE,
		                         [KOBJ_ROUTE_BLACKHOLE] = RTN_BLACKHOLE,
		                         [KOBJ_ROUTE_THROW] = RTN_THROW };
	const struct kobj *o = op->o;
	bool del = op->verb == KOP_DEL;
	struct rtmsg *rt;
	/* In a runtime's namespace another's route of that prefix is not ours to replace: ours goes behind it. */
	uint16_t how = NLM_F_CREATE | (is_guest(o) ? NLM_F_APPEND : NLM_F_REPLACE);
	struct nlmsghdr *h = nl_batch_begin(b, del ? RTM_DELROUTE : RTM_NEWROUTE, del ? 0 : how,
	                                    sizeof(*rt), (void **)&rt);

	if (!h) {
		return;
	}
	rt->rtm_family = af(o->family);
	rt->rtm_dst_len = o->plen;
	rt->rtm_table = o->table ? RT_TABLE_UNSPEC : RT_TABLE_MAIN;
	rt->rtm_protocol = del ? RTPROT_UNSPEC : RTNL_PROTO; /* a stranger's goes too */
	rt->rtm_type = types[o->sub];
	rt->rtm_scope = del                         ? RT_SCOPE_NOWHERE
	                : o->sub == KOBJ_ROUTE_LINK ? RT_SCOPE_LINK
	                                            : RT_SCOPE_UNIVERSE;
	if (o->plen) {
		mnl_attr_put(h, RTA_DST, addr_len(o->family), o->addr);
	}
	if (o->table) {
		mnl_attr_put_u32(h, RTA_TABLE, o->table);
	}
	if (o->sub < KOBJ_ROUTE_UNREACHABLE) {
		mnl_attr_put_u32(h, RTA_OIF, rtnl_device_index(o->dev));
	}
	if (!is_zero(o->via)) {
		rt->rtm_flags = RTNH_F_ONLINK;
		mnl_attr_put(h, RTA_GATEWAY, addr_len(o->family), o->via);
	}
	nl_batch_end(b, del ? NL_FORGIVE_ABSENT : is_guest(o) ? EEXIST : 0);
}

/* Found by its preference, and by who made it. */
static void encode_foreign_rule(struct nl_batch *b, const struct kobj *o)
{
	struct fib_rule_hdr *fr;
	struct nlmsghdr *h = nl_batch_begin(b, RTM_DELRULE, 0, sizeof(*fr), (void **)&fr);

	if (!h) {
		return;
	}
	fr->family = af(o->family);
	fr->action = o->addr[1];
	mnl_attr_put_u32(h, FRA_PRIORITY, o->table);
	mnl_attr_put_u8(h, FRA_PROTOCOL, o->addr[0]);
	nl_batch_end(b, NL_FORGIVE_ABSENT);
}

static void encode_rule(struct nl_batch *b, const struct kop *op)
{
	const struct kobj *o = op->o;
	const struct rtnl_rule *r = &rtnl_rules[o->sub];
	bool del = op->verb == KOP_DEL;
	struct fib_rule_hdr *fr;
	struct nlmsghdr *h =
		nl_batch_begin(b, del ? RTM_DELRULE : RTM_NEWRULE,
	                       del ? 0 : NLM_F_CREATE | NLM_F_EXCL, sizeof(*fr), (void **)&fr);

	if (!h) {
		return;
	}
	fr->family = af(o->family);
	fr->action = r->action;
	fr->table = r->action == FR_ACT_TO_TBL && !o->table ? RT_TABLE_MAIN : 0;
	mnl_attr_put_u32(h, FRA_PRIORITY, r->pref);
	mnl_attr_put_u8(h, FRA_PROTOCOL, RTNL_PROTO);
	if (o->table) {
		mnl_attr_put_u32(h, FRA_TABLE, o->table);
	}
	if (r->iif) {
		mnl_attr_put_strz(h, FRA_IIFNAME, *r->iif ? r->iif : o->dev);
	}
	if (o->sub == KOBJ_RULE_SOURCE || o->plen) {
		fr->src_len = o->plen ? o->plen : o->family == 4 ? 32 : 128;
		mnl_attr_put(h, FRA_SRC, o->family == 4 ? 4 : 16, o->addr);
	}
	if (r->mask) {
		mnl_attr_put_u32(h, FRA_FWMARK,
		                 o->sub == KOBJ_RULE_NODE ? (o->table - KOBJ_TABLE_NODES) << 16
		                                          : r->mark);
		mnl_attr_put_u32(h, FRA_FWMASK, r->mask);
	}
	if (r->action == FR_ACT_GOTO) {
		mnl_attr_put_u32(h, FRA_GOTO, r->to);
	}
	nl_batch_end(b, del ? NL_FORGIVE_ABSENT : EEXIST);
}

int rtnl_encode(struct nl_batch *b, const struct kop *op, const struct rtnl_peer *peer)
{
	size_t before = b->n;

	switch ((enum kobj_kind)op->o->kind) {
	case KOBJ_LINK:
		encode_link(b, op, peer);
		break;
	case KOBJ_ADDR:
		encode_addr(b, op);
		break;
	case KOBJ_NEIGH:
	case KOBJ_FDB:
		encode_neigh(b, op);
		break;
	case KOBJ_ROUTE:
		encode_route(b, op);
		break;
	case KOBJ_RULE:
		if (op->o->sub == KOBJ_RULE_FOREIGN) {
			encode_foreign_rule(b, op->o);
		} else {
			encode_rule(b, op);
		}
		break;
	default: /* namespaces and nftables objects */
		break;
	}
	return (int)(b->n - before);
}
