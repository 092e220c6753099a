/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hot names: what bpf/names.bpf.c, which answers in the kernel, shares with names.c, which loads it, and with the dns
 * role, which keeps the names (dns/hot.h). Three maps, arrays that are mapped into the role's memory: a change is a
 * few stores, and nobody asks the kernel.
 */
#pragma once

#include <linux/types.h>

#define NAMES_NAME_MAX 96u /* bytes of a name, with the root's; longer ones go to the sockets */
#define NAMES_WORDS    (NAMES_NAME_MAX / 8)
#define NAMES_WAYS     4
#define NAMES_LIMITS   65536u /* networks and names that are counted */
#define NAMES_ADDRS    8
#define NAMES_CPUS     64u /* that count apart; more share */

/* The answer to one question: one address. A cache line. */
struct names_entry {
	__u64 key[2];  /* of the question, by names_hash(); 0: none here */
	__u64 addr[2]; /* as on the wire; IPv4 in the first four bytes */
	__u32 ttl;     /* network order */
	__u8 len;      /* of the address: 4 or 16 */
	__u8 is_signed;
	__u16 zero;
	__u32 epoch; /* in which it was made; of another, it is none */
	__u32 used;  /* when it answered last, by names_time() */
	__u64 check; /* names_check(): the program sees no half of a change */
	__u64 zero2;
};
struct names_bucket {
	struct names_entry way[NAMES_WAYS];
};

struct names_count {
	__u64 answered, limited; /* limited: passed to the sockets, which limit as they do */
	__u64 zero[6];           /* a cache line each */
};

struct names_state {
	__u64 key[2];   /* of the hash; the dns role's, as what follows */
	__u64 until_ns; /* CLOCK_MONOTONIC: the role was alive then; later nothing is answered */
	__u32 epoch;
	__u32 mask; /* buckets less one; the loader's, as what follows */
	__u32 rate; /* equal answers a second to a network; 0: no limit */
	__u16 port; /* network order */
	__u16 n_addrs;
	__u8 addrs[NAMES_ADDRS][16]; /* that are answered at; IPv4 as ::ffff:0:0/96 has it */
	struct names_count counts[NAMES_CPUS];
};

/* About a second. */
static inline __u32 names_time(__u64 ns)
{
	return (__u32)(ns >> 30);
}

static inline __u64 names_rotl(__u64 x, unsigned n)
{
	return x << n | x >> (64 - n);
}

/* No two of an entry's words can change, or be another entry's, and this stays: but by a chance of 2^-64. */
static inline __u64 names_check(const struct names_entry *e)
{
	__u64 rest = (__u64)e->ttl << 32 | (__u64)e->len << 8 | e->is_signed;
	__u64 x = e->key[0] ^ 0x9e3779b97f4a7c15ULL;

	x = (x ^ names_rotl(e->key[1], 17)) * 0xff51afd7ed558ccdULL;
	x = (x ^ e->addr[0] ^ x >> 29) * 0xc4ceb9fe1a85ec53ULL;
	x = (x ^ e->addr[1] ^ x >> 31) * 0xff51afd7ed558ccdULL;
	x = (x ^ rest ^ x >> 32) * 0xc4ceb9fe1a85ec53ULL;
	x = (x ^ e->epoch ^ x >> 30) * 0xff51afd7ed558ccdULL;
	return x ^ x >> 32;
}

#define SIP_ROUND(v)                                      \
	do {                                              \
		(v)[0] += (v)[1];                         \
		(v)[1] = names_rotl((v)[1], 13) ^ (v)[0]; \
		(v)[0] = names_rotl((v)[0], 32);          \
		(v)[2] += (v)[3];                         \
		(v)[3] = names_rotl((v)[3], 16) ^ (v)[2]; \
		(v)[0] += (v)[3];                         \
		(v)[3] = names_rotl((v)[3], 21) ^ (v)[0]; \
		(v)[2] += (v)[1];                         \
		(v)[1] = names_rotl((v)[1], 17) ^ (v)[2]; \
		(v)[2] = names_rotl((v)[2], 32);          \
	} while (0)

struct names_hash {
	__u64 v[4];
};

/* SipHash-2-4 with 128 bits (Aumasson, Bernstein 2012) over words of 8 bytes: begin, each word, end. Who does not
 * know the key finds no two names that are alike: the hash stands for the name. */
static inline void names_hash_begin(struct names_hash *h, const __u64 key[2])
{
	h->v[0] = key[0] ^ 0x736f6d6570736575ULL;
	h->v[1] = key[1] ^ 0x646f72616e646f6dULL ^ 0xee;
	h->v[2] = key[0] ^ 0x6c7967656e657261ULL;
	h->v[3] = key[1] ^ 0x7465646279746573ULL;
}

static inline void names_hash_word(struct names_hash *h, __u64 word)
{
	h->v[3] ^= word;
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	h->v[0] ^= word;
}

/* `n`: bytes that the words held, as SipHash has it in the last word's upper byte; `type`: of the question. */
static inline void names_hash_end(struct names_hash *h, __u32 n, __u16 type, __u64 to[2])
{
	names_hash_word(h, (__u64)n << 56 | type);
	h->v[2] ^= 0xee;
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	to[0] = h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
	h->v[1] ^= 0xdd;
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	SIP_ROUND(h->v);
	to[1] = h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}
