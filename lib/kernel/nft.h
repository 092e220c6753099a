/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nftables side of kernel objects: rulesets of constant shape, set elements, dumps. Internal to
 * lib/kernel. A ruleset never depends on tenants: what varies are the elements of its sets.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

/* Where a set lives and what its keys are made of; rows by enum kobj_set. */
struct nft_set {
	uint8_t family;  /* NFPROTO_INET, NFPROTO_BRIDGE, NFPROTO_NETDEV */
	uint8_t ruleset; /* enum kobj_ruleset */
	uint8_t ip;      /* 4 or 6, 0 no address */
	unsigned parts;  /* NFT_K_*, NFT_D_* */
};
#define NFT_K_DEV    0x01u
#define NFT_K_MAC    0x02u
#define NFT_K_ADDR   0x04u
#define NFT_K_PORT   0x08u /* protocol and port */
#define NFT_K_PREFIX 0x10u /* intervals */
#define NFT_D_ADDR   0x20u
#define NFT_D_PORT   0x40u
#define NFT_D_CHAIN  0x80u  /* jumps there */
#define NFT_COUNTED  0x100u /* an element counts what it is found by */
#define NFT_K_TWICE  0x200u /* the address once more */
#define NFT_K_MARK   0x400u
#define NFT_D_MARK   0x800u
#define NFT_K_FAMILY 0x2000u /* of the packet; nothing else is in the key */
#define NFT_D_RANGE  0x1000u /* with NFT_D_ADDR and NFT_D_PORT: ports up to `index` */
extern const struct nft_set nft_sets[KOBJ_SET_N];

#define NFT_TABLE "netd"

extern const uint8_t nft_outside[4],
	nft_outside6[16]; /* the gateway's own addresses, which ask frontends from outside */

/* Bits of a packet's mark in a VNet; routing demands both. */
#define NFT_BIT_GUARD 0x1u  /* the source may come from there */
#define NFT_BIT_NSG   0x2u  /* the security rules let it pass */
#define NFT_BIT_OUT   0x4u  /* one of the rules on its way out allowed it */
#define NFT_BIT_IN    0x8u  /* and one of those on its way in */
#define NFT_BIT_RESET 0x10u /* sent by reset.c */
/* Beside KOBJ_MARK_DIRECT, KOBJ_MARK_NODE; before a packet is tracked, a frontend's class or slot. */

/* A VNet's ruleset comes in two transactions, its deciding chain last: until all sets are there for
 * packets to find (nft_phase.h), that chain drops everything. */
enum nft_part {
	NFT_PART_ALL,
	NFT_PART_REST,   /* all but the rules of the deciding chain */
	NFT_PART_DECIDES /* and those */
};
/* Calls fn for the messages that list a set's elements (nl_dump); an absent set has none. */
int nft_dump_elements(struct nl_sock *s, uint8_t family, const char *set,
                      int (*fn)(const struct nlmsghdr *h, void *arg), void (*reset)(void *arg),
                      void *arg, struct err *e) __attribute__((warn_unused_result));
/* Appends the replacement of a whole ruleset (tables, sets, chains, rules), or a part of it. */
int nft_ruleset_encode(struct nl_batch *b, const struct kobj *ruleset, enum nft_part part,
                       struct err *e);
/* Appends its removal. */
void nft_ruleset_remove(struct nl_batch *b, const struct kobj *ruleset);
/* What a dump's sum must be for the ruleset to stand unchanged. */
uint64_t nft_ruleset_sum(const struct kobj *ruleset);

/* One item of a ruleset as it goes into the sum. */
uint64_t nft_sum_text(const char *text);

/* Appends element steps, all of one set and verb (ADD or DEL). */
void nft_elems_encode(struct nl_batch *b, enum kop_verb verb, const struct kobj *const *elems,
                      size_t n);

/* The verdict of a map's element. */
void nft_put_verdict(struct nlmsghdr *h, int verdict, const char *chain);
/* The chain that an element's data names; "" none. */
const char *nft_get_verdict(const struct nlattr *data);

/* Appends switching a VNet's shares (kernel.h: tighten). */
void nft_tighten(struct nl_batch *b, unsigned level);

/* Begin and end of a transaction. */
void nft_batch_begin(struct nl_batch *b);
void nft_batch_end(struct nl_batch *b);

/* Reads the plane's ruleset of that kind (as a KOBJ_RULESET whose `flags`/`index` hold the sum)
 * and its elements from the socket's namespace; nothing when the tables are absent. */
int nft_dump(struct nl_sock *s, uint32_t ns, uint8_t ruleset, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));

/* Starts a message of the nf_tables subsystem. */
struct nlmsghdr *nft_msg_begin(struct nl_batch *b, uint16_t type, uint16_t flags, uint8_t family);
