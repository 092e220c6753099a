/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A way through the gateway that crosses no queue. What the gateway would only route goes from one
 * pair of devices straight to the inner end of the next (bpf_redirect_peer, Linux 5.10): no second
 * softirq, no hooks, no routing rules (but see leaves_elsewhere()). Routes and neighbours are the kernel's own, asked for each packet
 * (bpf_fib_lookup), so there is no state here to go wrong. Whatever is not plain goes the gateway's usual
 * way, where the ruleset decides and counts: options, a TTL at its end, sources that are not the VNet's,
 * addresses without a route, packets that are too big. A hop that is passed by does not show in a
 * traceroute. Ethernet addresses stay as they were: the receiver's check of them was at the first device.
 */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "lib/kernel/shortcut_map.h"

#define AF_INET  2
#define AF_INET6 10

/* Of destinations that cross to the gateway; and of sources that leave by another node's. */
struct prefixes {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, SHORTCUT_POOLS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct shortcut_prefix);
	__type(value, __u8);
} pools SEC(".maps"), returns SEC(".maps");

/* The addresses of a packet, by family (0: none that is plain). */
struct ends {
	__u8 family;
	struct bpf_fib_lookup to;
	__u32 from[4];
};

/* Unicast beyond the link. The gateway's own addresses are link-local, or unique local ones; the lookup of
 * routes below does not ask the local table. */
static bool far4(__be32 addr)
{
	__u32 a = bpf_ntohl(addr);

	return a >> 24 != 0 && a >> 24 != 127 && a >> 16 != 0xa9fe && a < 0xe0000000;
}

static bool far6(const struct in6_addr *a)
{
	return a->s6_addr[0] != 0 && a->s6_addr[0] < 0xfc;
}

static bool read4(const struct iphdr *ip, struct ends *p)
{
	if (ip->version != 4 || ip->ihl != 5 || ip->ttl < 2 || !far4(ip->saddr) ||
	    !far4(ip->daddr)) {
		return false;
	}
	p->family = AF_INET;
	p->to.l4_protocol = ip->protocol;
	p->to.ipv4_src = ip->saddr;
	p->to.ipv4_dst = ip->daddr;
	p->from[0] = ip->saddr;
	return true;
}

static bool read6(const struct ipv6hdr *ip, struct ends *p)
{
	if (ip->version != 6 || ip->hop_limit < 2 || !far6(&ip->saddr) || !far6(&ip->daddr)) {
		return false;
	}
	p->family = AF_INET6;
	p->to.l4_protocol = ip->nexthdr;
	__builtin_memcpy(p->to.ipv6_src, &ip->saddr, 16);
	__builtin_memcpy(p->to.ipv6_dst, &ip->daddr, 16);
	__builtin_memcpy(p->from, &ip->saddr, 16);
	return true;
}

static bool read(const struct __sk_buff *skb, struct ends *p)
{
	const void *at = (const void *)(long)skb->data, *end = (const void *)(long)skb->data_end;
	const struct ethhdr *eth = at;
	const void *ip = eth + 1;

	if (skb->pkt_type != PACKET_HOST || skb->vlan_present || ip > end) {
		return false;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		return ip + sizeof(struct iphdr) <= end && read4(ip, p);
	}
	return eth->h_proto == bpf_htons(ETH_P_IPV6) && ip + sizeof(struct ipv6hdr) <= end &&
	       read6(ip, p);
}

/* The device behind which the source is, by the routes that lead to it. */
static __u32 home(struct __sk_buff *skb, const struct ends *p)
{
	struct bpf_fib_lookup back = { .family = p->family, .ifindex = skb->ifindex, .tot_len = 1 };

	if (p->family == AF_INET) {
		back.ipv4_dst = p->from[0];
	} else {
		__builtin_memcpy(back.ipv6_dst, p->from, 16);
	}
	return bpf_fib_lookup(skb, &back, sizeof(back), BPF_FIB_LOOKUP_DIRECT) ==
	                       BPF_FIB_LKUP_RET_SUCCESS
	               ? back.ifindex
	               : 0;
}

static struct shortcut_prefix key_of(__u8 family, const void *addr)
{
	struct shortcut_prefix key = { .bits = 128 };

	if (family == AF_INET) {
		key.addr[10] = key.addr[11] = 0xff;
		__builtin_memcpy(key.addr + 12, addr, 4);
	} else {
		__builtin_memcpy(key.addr, addr, 16);
	}
	return key;
}

/* Would it leave by the uplink here, though a routing rule, which was not asked, sends its source by another node's? */
static bool leaves_elsewhere(const struct ends *p)
{
	struct shortcut_prefix key;

	if (p->to.ifindex != SHORTCUT_UPLINK_INDEX) {
		return false;
	}
	key = key_of(p->family, p->from);
	return bpf_map_lookup_elem(&returns, &key);
}

/* At what enters the gateway's devices. */
SEC("tc") int gateway(struct __sk_buff *skb)
{
	struct ends p = {};

	if (!read(skb, &p)) {
		return TC_ACT_UNSPEC;
	}
	p.to.family = p.family;
	p.to.ifindex = skb->ifindex;
	if (bpf_fib_lookup(skb, &p.to, sizeof(p.to), BPF_FIB_LOOKUP_DIRECT) !=
	            BPF_FIB_LKUP_RET_SUCCESS ||
	    p.to.ifindex == skb->ifindex ||
	    p.to.ifindex == SHORTCUT_NODES_INDEX || /* it has no inner end */
	    (skb->ifindex != SHORTCUT_UPLINK_INDEX && home(skb, &p) != skb->ifindex) ||
	    leaves_elsewhere(&p)) {
		return TC_ACT_UNSPEC;
	}
	skb->mark = 0; /* a namespace's marks are its own */
	return (int)bpf_redirect_peer(p.to.ifindex, 0);
}

/* At the host's device: what is for a public address crosses to the gateway. */
SEC("tc") int uplink(struct __sk_buff *skb)
{
	struct ends p = {};
	struct shortcut_prefix key;

	if (!read(skb, &p)) {
		return TC_ACT_UNSPEC;
	}
	key = key_of(p.family, p.family == AF_INET ? (void *)&p.to.ipv4_dst : p.to.ipv6_dst);
	if (!bpf_map_lookup_elem(&pools, &key)) {
		return TC_ACT_UNSPEC;
	}
	skb->mark = 0;
	return (int)bpf_redirect_peer(SHORTCUT_HOST_INDEX, 0);
}

char _license[] SEC("license") = "GPL";
