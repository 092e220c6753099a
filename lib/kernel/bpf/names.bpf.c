/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plain questions for hot names are answered where they arrive: A or AAAA, class IN, one question, at most an
 * EDNS record without options; the answer is the one address that the dns role has put into the map. Whatever is
 * else, or asks too often, goes on to the sockets. The answer leaves by the device that the question came by, to
 * the Ethernet address that it came from; what the host's own rules would have said is not asked.
 *
 * The packet is copied into memory of the processor, answered there, and written back. It grows at its head: on
 * veth there is hardly room behind its end (the driver's buffer has the packet's own size, rounded up).
 */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/kernel/names_map.h"

#define INLINE    static inline __attribute__((always_inline))
#define HEADER    12u
#define OPT       11u
#define QUESTION  (NAMES_NAME_MAX + 4)
#define UDP4      (ETH_HLEN + sizeof(struct iphdr))
#define UDP6      (ETH_HLEN + sizeof(struct ipv6hdr))
#define DNS4      (UDP4 + sizeof(struct udphdr))
#define DNS6      (UDP6 + sizeof(struct udphdr))
#define FRAME     (DNS6 + HEADER + QUESTION + OPT) /* what is looked at is no longer than that */
#define LABELS    12
#define TYPE_A    1
#define TYPE_AAAA 28
#define TYPE_OPT  41
#define DO        0x8000u
#define UDP_SIZE  1232
/* What is compared next is this very value, where the kernel's verifier sees it, and no copy. */
#define KEEP(v) __asm__ volatile("" : "+r"(v))

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct names_state);
} state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader knows better */
	__type(key, __u32);
	__type(value, struct names_bucket);
} names SEC(".maps");

/* When a bucket was right (ms, upper half), and thousandths of an answer that are left. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NAMES_LIMITS);
	__type(key, __u32);
	__type(value, __u64);
} limits SEC(".maps");

struct room {
	__u8 frame[512];
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

/* A question that was read. Offsets are from the frame's first byte. */
struct ask {
	__u32 dns, end, len; /* the DNS header; behind the question; behind all */
	__u64 key[2];
	__u64 net; /* that asks: /24, /56 */
	__u16 opt_flags;
	bool edns;
};

INLINE __u16 get16(const __u8 *p)
{
	return (__u16)(p[0] << 8 | p[1]);
}

INLINE void put16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

/* 'A' to 'Z' in eight bytes; lengths of labels are below them. */
INLINE __u64 lower(__u64 x)
{
	const __u64 ones = 0x0101010101010101ULL, low = 0x7f7f7f7f7f7f7f7fULL;
	__u64 seven = x & low;
	__u64 big = (seven + (0x80 - 'A') * ones) & ~(seven + (0x80 - 'Z' - 1) * ones) & ~x &
	            0x8080808080808080ULL;

	return x | big >> 2;
}

INLINE bool is_ours(const struct names_state *s, const __u8 addr[16])
{
	__u64 a[2], b[2];

	__builtin_memcpy(a, addr, 16);
	for (int i = 0; i < NAMES_ADDRS; i++) {
		__builtin_memcpy(b, s->addrs[i], 16);
		if (i < s->n_addrs && a[0] == b[0] && a[1] == b[1]) {
			return true;
		}
	}
	return false;
}

/* The name's length with its root, 0: it is too long, or none. */
INLINE __u64 name_end(const __u8 *name)
{
	__u64 at = 0;

	for (int i = 0; i < LABELS; i++) {
		KEEP(at);
		if (at >= NAMES_NAME_MAX) {
			return 0;
		}
		__u64 label = name[at];
		if (label == 0) {
			return at + 1;
		}
		if (label > 63) {
			return 0;
		}
		at += label + 1;
	}
	return 0;
}

INLINE void hash_name(const struct names_state *s, const __u8 *name, __u32 n, __u16 type,
                      __u64 to[2])
{
	struct names_hash h;

	names_hash_begin(&h, s->key);
	for (__u32 i = 0; i < NAMES_WORDS && i * 8 < n; i++) {
		__u64 w;

		__builtin_memcpy(&w, name + i * 8, 8);
		if (n - i * 8 < 8) {
			w &= (1ULL << (n - i * 8) * 8) - 1;
		}
		names_hash_word(&h, lower(w));
	}
	names_hash_end(&h, n, type, to);
}

/* The DNS message of a frame whose other headers were good. False: not for us. */
INLINE bool read_dns(const struct names_state *s, const __u8 *f, struct ask *a)
{
	const __u8 *p = f + a->dns, *name = p + HEADER;

	/* An answer, another opcode, AA, TC or Z set; one question, and nothing but perhaps EDNS. */
	if (p[2] & 0xfe || p[3] & 0xcf || get16(p + 4) != 1 || get16(p + 6) || get16(p + 8) ||
	    p[10] || p[11] > 1) {
		return false;
	}
	__u64 n = name_end(name);
	KEEP(n);
	if (n == 0 || n > NAMES_NAME_MAX) {
		return false;
	}
	__u16 type = get16(name + n);
	a->end = a->dns + HEADER + (__u32)n + 4;
	a->edns = p[11];
	if ((type != TYPE_A && type != TYPE_AAAA) || get16(name + n + 2) != 1 ||
	    a->end + (a->edns ? OPT : 0) != a->len) {
		return false;
	}
	if (a->edns) {
		const __u8 *o = name + n + 4;

		a->opt_flags = get16(o + 7);
		if (o[0] || get16(o + 1) != TYPE_OPT || o[5] || o[6] || a->opt_flags & ~DO ||
		    get16(o + 9)) {
			return false;
		}
	}
	hash_name(s, name, (__u32)n, type, a->key);
	return true;
}

INLINE bool find(const struct names_state *s, const struct ask *a, __u64 now,
                 struct names_entry *to)
{
	__u32 at = (__u32)a->key[0] & s->mask;
	struct names_bucket *b = bpf_map_lookup_elem(&names, &at);

	for (int i = 0; b && i < NAMES_WAYS; i++) {
		struct names_entry *e = &b->way[i];

		if (e->key[0] != a->key[0]) {
			continue;
		}
		__builtin_memcpy(to, e, sizeof(*to));
		if (to->key[0] != a->key[0] || to->key[1] != a->key[1] || to->epoch != s->epoch ||
		    to->check != names_check(to) || (to->is_signed && a->opt_flags)) {
			return false;
		}
		if (to->used != names_time(now)) { /* seldom written: others read the line */
			e->used = names_time(now);
		}
		return true;
	}
	return false;
}

/* One more answer to that network for that question. Two processors may count one where there were two. */
INLINE bool may(const struct names_state *s, const struct ask *a, __u64 now_ns)
{
	__u64 x = (a->net ^ a->key[1]) * 0x9e3779b97f4a7c15ULL;
	__u32 at = (__u32)(x >> 40) % NAMES_LIMITS, now = (__u32)(now_ns / 1000000);
	__u64 *b = s->rate ? bpf_map_lookup_elem(&limits, &at) : NULL;

	if (!b) {
		return true;
	}
	__u32 age = now - (__u32)(*b >> 32);
	__u64 left = (__u32)*b + (__u64)(age < 1000 ? age : 1000) * s->rate;
	__u64 full = s->rate * 1000ULL;
	left = left < full ? left : full;
	bool yes = left >= 1000;
	*b = (__u64)now << 32 | (__u32)(yes ? left - 1000 : left);
	return yes;
}

/* Into the frame: the answer, and EDNS behind it. Returns by how much it grew. */
INLINE __u32 put_answer(__u8 *f, const struct ask *a, const struct names_entry *e)
{
	__u8 *p = f + a->dns;
	__u8 *r = f + a->end;

	p[2] |= 0x84; /* an answer, with authority */
	p[3] = 0;
	p[7] = 1;
	put16(r, 0xc000 | HEADER); /* the name of the question */
	put16(r + 2, e->len == 4 ? TYPE_A : TYPE_AAAA);
	put16(r + 4, 1);
	__builtin_memcpy(r + 6, &e->ttl, 4);
	put16(r + 10, e->len);
	__builtin_memcpy(r + 12, e->addr, 4);
	if (e->len == 16) {
		__builtin_memcpy(r + 12, e->addr, 16);
	}
	r += e->len == 16 ? 28 : 16;
	if (a->edns) {
		r[0] = 0;
		put16(r + 1, TYPE_OPT);
		put16(r + 3, UDP_SIZE);
		put16(r + 5, 0);
		put16(r + 7, a->opt_flags);
		put16(r + 9, 0);
	}
	return e->len == 16 ? 28 : 16;
}

INLINE __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u32)sum;
}

/* The checksum is over the addresses, which end where UDP begins, and all that follows, with zeros up to a word. */
INLINE void put_udp(__u8 *f, __u32 udp, __u32 addrs, __u32 len)
{
	__u8 ports[4];
	__u32 n = (len - addrs + 3) & ~3u;
	const __u32 none = 0;

	__builtin_memcpy(ports, f + udp, 4);
	__builtin_memcpy(f + udp, ports + 2, 2);
	__builtin_memcpy(f + udp + 2, ports, 2);
	put16(f + udp + 4, len - udp);
	put16(f + udp + 6, 0);
	if (n > 256 || len > 256) {
		return;
	}
	__builtin_memcpy(f + len, &none, 4);
	__s64 sum = bpf_csum_diff(NULL, 0, (__be32 *)(f + addrs), n,
	                          bpf_htonl(IPPROTO_UDP + len - udp));
	__u16 check = (__u16)~fold((__u64)sum);
	check = check ? check : 0xffff;
	__builtin_memcpy(f + udp + 6, &check, 2);
}

INLINE void swap(__u8 *a, __u8 *b, __u32 n)
{
	__u8 t[16];

	__builtin_memcpy(t, a, n);
	__builtin_memcpy(a, b, n);
	__builtin_memcpy(b, t, n);
}

INLINE void count(struct names_state *s, bool answered)
{
	struct names_count *c = &s->counts[bpf_get_smp_processor_id() % NAMES_CPUS];

	__sync_fetch_and_add(answered ? &c->answered : &c->limited, 1);
}

/* Sends the frame of that many bytes in the place of the packet. */
INLINE int send(struct xdp_md *x, __u8 *f, __u32 grown, __u32 len)
{
	if (len > 255 || bpf_xdp_adjust_head(x, -(int)grown) < 0) {
		return XDP_PASS;
	}
	swap(f, f + ETH_ALEN, ETH_ALEN);
	return bpf_xdp_store_bytes(x, 0, f, len) < 0 ? XDP_DROP : XDP_TX;
}

/* What does not depend on the family: by how much the frame grew with its answer; 0: not for us. */
INLINE __u32 answer_dns(struct names_state *s, __u8 *f, struct ask *a)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct names_entry e;

	if (now > s->until_ns || !read_dns(s, f, a) || !find(s, a, now, &e)) {
		return 0;
	}
	bool yes = may(s, a, now);
	count(s, yes);
	return yes ? put_answer(f, a, &e) : 0;
}

INLINE int answer4(struct xdp_md *x, struct names_state *s, __u8 *f, __u32 len)
{
	struct ask a = { .dns = DNS4, .len = len };
	__u64 mapped[2] = { 0 };
	__u8 *ip = f + ETH_HLEN;

	__builtin_memcpy((__u8 *)mapped + 12, ip + 16, 4);
	((__u8 *)mapped)[10] = ((__u8 *)mapped)[11] = 0xff;
	a.net = (__u64)ip[12] << 16 | (__u64)ip[13] << 8 | ip[14];
	if (ip[0] != 0x45 || get16(ip + 2) + ETH_HLEN != len || get16(ip + 6) & 0x3fff ||
	    ip[12] == 0 || ip[12] == 127 || ip[12] >= 224 || get16(f + UDP4 + 4) + UDP4 != len ||
	    !is_ours(s, (__u8 *)mapped)) {
		return XDP_PASS;
	}
	__u32 grown = answer_dns(s, f, &a);
	if (grown == 0) {
		return XDP_PASS;
	}
	len += grown;
	swap(ip + 12, ip + 16, 4);
	put16(ip + 2, len - ETH_HLEN);
	put16(ip + 4, 0);
	put16(ip + 6, 0x4000); /* not to be cut */
	ip[8] = 64;
	put16(ip + 10, 0);
	__u16 check = (__u16)~fold((__u64)bpf_csum_diff(NULL, 0, (__be32 *)ip, 20, 0));
	__builtin_memcpy(ip + 10, &check, 2);
	put_udp(f, UDP4, UDP4 - 8, len);
	return send(x, f, grown, len);
}

INLINE int answer6(struct xdp_md *x, struct names_state *s, __u8 *f, __u32 len)
{
	struct ask a = { .dns = DNS6, .len = len };
	__u8 *ip = f + ETH_HLEN;

	__builtin_memcpy(&a.net, ip + 8, 7);
	a.net ^= 6ULL << 56;
	if (ip[0] >> 4 != 6 || get16(ip + 4) + UDP6 != len || ip[8] == 0 || ip[8] == 0xff ||
	    get16(f + UDP6 + 4) + UDP6 != len || !is_ours(s, ip + 24)) {
		return XDP_PASS;
	}
	__u32 grown = answer_dns(s, f, &a);
	if (grown == 0) {
		return XDP_PASS;
	}
	len += grown;
	swap(ip + 8, ip + 24, 16);
	put16(ip, 0x6000);
	put16(ip + 2, 0);
	put16(ip + 4, len - UDP6);
	ip[7] = 64;
	put_udp(f, UDP6, UDP6 - 32, len);
	return send(x, f, grown, len);
}

/* Is it UDP for the port? Only then it is copied. */
INLINE bool is_dns(const struct xdp_md *x, __u16 port, bool *six)
{
	const __u8 *at = (const __u8 *)(long)x->data, *end = (const __u8 *)(long)x->data_end;
	const struct ethhdr *eth = (const void *)at;

	if (at + DNS4 + HEADER > end || at[0] & 1) {
		return false;
	}
	*six = eth->h_proto == bpf_htons(ETH_P_IPV6);
	if (!*six) {
		const struct udphdr *udp = (const void *)(at + UDP4);

		return eth->h_proto == bpf_htons(ETH_P_IP) && at[ETH_HLEN + 9] == IPPROTO_UDP &&
		       udp->dest == port && udp->source != 0;
	}
	if (at + DNS6 + HEADER > end) {
		return false;
	}
	const struct udphdr *udp = (const void *)(at + UDP6);
	return at[ETH_HLEN + 6] == IPPROTO_UDP && udp->dest == port && udp->source != 0;
}

SEC("xdp") int answer(struct xdp_md *x)
{
	__u64 len = (__u64)x->data_end - (__u64)x->data;
	__u32 zero = 0;
	struct names_state *s = bpf_map_lookup_elem(&state, &zero);
	struct room *r = bpf_map_lookup_elem(&rooms, &zero);
	bool six = false;

	if (!s || !r || !is_dns(x, s->port, &six)) {
		return XDP_PASS;
	}
	KEEP(len);
	if (len < DNS4 + HEADER || len > FRAME) {
		return XDP_PASS;
	}
	if (bpf_xdp_load_bytes(x, 0, r->frame, (__u32)len) < 0) {
		return XDP_PASS;
	}
	return six ? answer6(x, s, r->frame, (__u32)len) : answer4(x, s, r->frame, (__u32)len);
}

char _license[] SEC("license") = "GPL";
