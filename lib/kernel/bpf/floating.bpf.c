/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Floating IP: a group that has the frontend's address on its loopback gets packets that are for it. The
 * router translates to the group's own address as always, so that routes, security rules, drains and
 * connection tracking know where a flow goes; at the group's port the destination becomes the frontend's
 * again, and in what the group says as the frontend the source becomes its own, before the guard sees it.
 * Both without state. In ICMP errors the packet inside is changed alike, else the sender's socket is not
 * found. What has IPv6 extension headers stays as it is.
 */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/kernel/floating_map.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOATING_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct floating_in);
	__type(value, struct floating_addr);
} fronts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOATING_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct floating_out);
	__type(value, struct floating_addr);
} backends SEC(".maps");

#define SOURCE      true
#define DESTINATION false

/* Where things are in a packet: offsets from its first byte. */
struct place {
	__u32 addr, inner; /* the address that changes, and its twin in the header inside */
	__u32 l4;
	__u8 proto;
	bool first; /* has a transport header */
};

static __u32 checksum_at(__u8 proto)
{
	return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
}

static __u64 checksum_flags(__u8 proto)
{
	return BPF_F_PSEUDO_HDR | (proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
}

/* ---- IPv4 ---- */

static bool is_error4(struct __sk_buff *skb, __u32 at)
{
	__u8 type = 0;

	return bpf_skb_load_bytes(skb, at, &type, 1) == 0 &&
	       (type == 3 || type == 11 || type == 12);
}

/* The header's own checksum takes up the change, so that of the ICMP message around it stays right. */
static int inside4(struct __sk_buff *skb, const struct place *p, __u32 from, __u32 to)
{
	__u32 header = p->l4 + 8, was = 0;

	if (bpf_skb_load_bytes(skb, p->inner, &was, 4) < 0 || was != from) {
		return TC_ACT_UNSPEC;
	}
	bpf_l3_csum_replace(skb, header + offsetof(struct iphdr, check), from, to, 4);
	bpf_skb_store_bytes(skb, p->inner, &to, 4, 0);
	return TC_ACT_UNSPEC;
}

static int change4(struct __sk_buff *skb, const struct place *p, __u32 from, __u32 to)
{
	if (p->first && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)) {
		bpf_l4_csum_replace(skb, p->l4 + checksum_at(p->proto), from, to,
		                    checksum_flags(p->proto) | 4);
	}
	bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), from, to, 4);
	bpf_skb_store_bytes(skb, p->addr, &to, 4, 0);
	return p->first && p->proto == IPPROTO_ICMP && is_error4(skb, p->l4)
	               ? inside4(skb, p, from, to)
	               : TC_ACT_UNSPEC;
}

static bool find4(struct __sk_buff *skb, bool source, struct place *p, __u32 *addr)
{
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.ihl < 5) {
		return false;
	}
	p->l4 = ETH_HLEN + ip.ihl * 4;
	p->proto = ip.protocol;
	p->first = !(ip.frag_off & bpf_htons(0x1fff));
	p->addr =
		ETH_HLEN + (source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
	p->inner = p->l4 + 8 +
	           (source ? offsetof(struct iphdr, daddr) : offsetof(struct iphdr, saddr));
	*addr = source ? ip.saddr : ip.daddr;
	return true;
}

/* ---- IPv6 ---- */

static bool same(const struct floating_addr *a, const struct floating_addr *b)
{
	__u64 x[2], y[2];

	__builtin_memcpy(x, a, 16);
	__builtin_memcpy(y, b, 16);
	return x[0] == y[0] && x[1] == y[1];
}

static int inside6(struct __sk_buff *skb, const struct place *p, struct floating_addr *from,
                   struct floating_addr *to, __s64 change)
{
	struct floating_addr was;
	__u8 type = 0;

	if (bpf_skb_load_bytes(skb, p->l4, &type, 1) < 0 || type < 1 || type > 4 ||
	    bpf_skb_load_bytes(skb, p->inner, &was, 16) < 0 || !same(&was, from)) {
		return TC_ACT_UNSPEC;
	}
	bpf_l4_csum_replace(skb, p->l4 + 2, 0, change, 0);
	bpf_skb_store_bytes(skb, p->inner, to, 16, 0);
	return TC_ACT_UNSPEC;
}

static int change6(struct __sk_buff *skb, const struct place *p, struct floating_addr *from,
                   struct floating_addr *to)
{
	__s64 change = bpf_csum_diff((void *)from, 16, (void *)to, 16, 0);

	bpf_l4_csum_replace(skb, p->l4 + checksum_at(p->proto), 0, change,
	                    checksum_flags(p->proto));
	bpf_skb_store_bytes(skb, p->addr, to, 16, 0);
	return p->proto == IPPROTO_ICMPV6 ? inside6(skb, p, from, to, change) : TC_ACT_UNSPEC;
}

static bool find6(struct __sk_buff *skb, bool source, struct place *p, struct floating_addr *addr)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 ||
	    (ip.nexthdr != IPPROTO_TCP && ip.nexthdr != IPPROTO_UDP &&
	     ip.nexthdr != IPPROTO_ICMPV6)) {
		return false;
	}
	p->l4 = ETH_HLEN + sizeof(ip);
	p->proto = ip.nexthdr;
	p->addr = ETH_HLEN +
	          (source ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr));
	p->inner = p->l4 + 8 +
	           (source ? offsetof(struct ipv6hdr, daddr) : offsetof(struct ipv6hdr, saddr));
	__builtin_memcpy(addr, source ? &ip.saddr : &ip.daddr, 16);
	return true;
}

/* ---- both ---- */

static void map4(struct floating_addr *to, __u32 addr)
{
	__builtin_memset(to, 0, sizeof(*to));
	to->b[10] = to->b[11] = 0xff;
	__builtin_memcpy(to->b + 12, &addr, 4);
}

static bool is4(const struct floating_addr *a)
{
	return a->b[0] == 0 && a->b[10] == 0xff && a->b[11] == 0xff;
}

static __u32 low(const struct floating_addr *a)
{
	__u32 addr;

	__builtin_memcpy(&addr, a->b + 12, 4);
	return addr;
}

/* To the group, by the mark that the router gave. */
SEC("tc") int deliver(struct __sk_buff *skb)
{
	struct floating_in key = { .port = skb->ifindex, .number = skb->mark >> 16 };
	struct floating_addr *front = key.number ? bpf_map_lookup_elem(&fronts, &key) : NULL, own,
			     to;
	struct place p = {};
	__u32 own4 = 0;

	if (!front) {
		return TC_ACT_UNSPEC;
	}
	to = *front;
	if (is4(&to)) {
		return skb->protocol == bpf_htons(ETH_P_IP) && find4(skb, DESTINATION, &p, &own4)
		               ? change4(skb, &p, own4, low(&to))
		               : TC_ACT_UNSPEC;
	}
	return skb->protocol == bpf_htons(ETH_P_IPV6) && find6(skb, DESTINATION, &p, &own)
	               ? change6(skb, &p, &own, &to)
	               : TC_ACT_UNSPEC;
}

/* From the group, by the source. */
SEC("tc") int answer(struct __sk_buff *skb)
{
	struct floating_out key = { .port = skb->ifindex };
	struct floating_addr *own, to;
	struct place p = {};
	__u32 front4 = 0;
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);

	if (v4 && find4(skb, SOURCE, &p, &front4)) {
		map4(&key.front, front4);
	} else if (v4 || skb->protocol != bpf_htons(ETH_P_IPV6) ||
	           !find6(skb, SOURCE, &p, &key.front)) {
		return TC_ACT_UNSPEC;
	}
	own = bpf_map_lookup_elem(&backends, &key);
	if (!own) {
		return TC_ACT_UNSPEC;
	}
	to = *own;
	return v4 ? change4(skb, &p, front4, low(&to)) : change6(skb, &p, &key.front, &to);
}

char _license[] SEC("license") = "GPL";
