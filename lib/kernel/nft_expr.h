/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Small verbs over libnftnl's expressions, so that a rule reads like its text. Each appends one
 * or two expressions to the rule. Registers are 32-bit ones from NFT_REG32_00 on; R(0) is the
 * first, R(4) what nft calls "reg 2". Internal to lib/kernel.
 */
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h> /* libnftnl/expr.h needs FILE */

struct nftnl_rule;

#define R(n) ((uint32_t)NFT_REG32_00 + (n))

void nft_meta(struct nftnl_rule *r, uint32_t key, uint32_t reg);
void nft_payload(struct nftnl_rule *r, uint32_t base, uint32_t off, uint32_t len, uint32_t reg);
/* Time to live, or hop limit, into the register; or set to that. */
void nft_hops(struct nftnl_rule *r, uint8_t family, uint32_t reg);
void nft_hops_set(struct nftnl_rule *r, uint8_t family, uint8_t hops);
/* The source address becomes what is in the register. */
void nft_saddr_set(struct nftnl_rule *r, uint8_t family, uint32_t reg);
void nft_ct(struct nftnl_rule *r, uint32_t key, uint32_t reg);
/* Of the flow's first packet: an address (NFT_CT_SRC_IP, NFT_CT_DST_IP and their IPv6 twins), a port
 * (NFT_CT_PROTO_DST). */
void nft_ct_original(struct nftnl_rule *r, uint32_t key, uint32_t reg);
/* The packet goes the way of the flow's first one. */
void nft_ct_forth(struct nftnl_rule *r);
void nft_ct_back(struct nftnl_rule *r); /* or answers it */
/* The packet's mark is the connection's, where that has one of these bits. */
void nft_mark_from_ct(struct nftnl_rule *r, uint32_t mask);
/* Of this packet, not of its connection: (mark & mask) == value; set to what is in the register, or to none. */
void nft_mark_is(struct nftnl_rule *r, uint32_t mask, uint32_t value);
void nft_mark_set(struct nftnl_rule *r, uint32_t reg);
void nft_mark_none(struct nftnl_rule *r);
void nft_notrack(struct nftnl_rule *r);
void nft_ct_mark_set(struct nftnl_rule *r, uint32_t reg);
/* ct mark & mask is the value, or (map) leads on by it. */
void nft_ct_mark_is(struct nftnl_rule *r, uint32_t mask, uint32_t value);
void nft_ct_mark_vmap(struct nftnl_rule *r, uint32_t mask, const char *map);
/* Jenkins hash of len bytes from reg on, below the modulus, into reg. The seed is part of what slots
 * mean: without one the kernel draws another for each rule. */
void nft_hash(struct nftnl_rule *r, uint32_t reg, uint32_t len, uint32_t modulus);
void nft_cmp(struct nftnl_rule *r, uint32_t op, uint32_t reg, const void *data, uint32_t len);
/* Matches when (reg & mask) != 0; 32-bit host order. */
void nft_any_bit(struct nftnl_rule *r, uint32_t reg, uint32_t mask);
void nft_no_bit(struct nftnl_rule *r, uint32_t reg, uint32_t mask); /* none of them */
void nft_lookup(struct nftnl_rule *r, const char *set, uint32_t sreg);
void nft_lookup_not(struct nftnl_rule *r, const char *set, uint32_t sreg);
void nft_lookup_map(struct nftnl_rule *r, const char *set, uint32_t sreg, uint32_t dreg);
void nft_verdict(struct nftnl_rule *r, int verdict); /* NF_ACCEPT, NF_DROP, NFT_RETURN */
void nft_jump(struct nftnl_rule *r, int verdict, const char *chain); /* NFT_JUMP, NFT_GOTO */
void nft_reject(struct nftnl_rule *r);                               /* icmpx admin-prohibited */
void nft_reject_port(struct nftnl_rule *r);                          /* icmpx port-unreachable */
void nft_reject_tcp(struct nftnl_rule *r);                           /* with a RST */
/* At most that many a second match, bursts of as many. */
void nft_limit(struct nftnl_rule *r, uint64_t per_second);
/* Over that many a second for the key in reg (len bytes) match; `set` is made by nft_rules_dynamic(). */
void nft_over(struct nftnl_rule *r, const char *set, uint32_t reg, uint64_t per_second,
              uint32_t burst);
/* All together over that many a second match. */
void nft_limit_over(struct nftnl_rule *r, uint64_t per_second);
/* One of `parts` equal parts of the flows, by their addresses: the `which`th. */
void nft_flow_part(struct nftnl_rule *r, uint8_t family, uint32_t parts, uint32_t which);
void nft_l4proto(struct nftnl_rule *r, uint8_t proto);
/* A TCP segment that does not begin a connection, and is no reset. */
void nft_tcp_midstream(struct nftnl_rule *r);
/* Any but a SYN, with or without more. */
void nft_tcp_goes_on(struct nftnl_rule *r);
void nft_dport(struct nftnl_rule *r, uint16_t port); /* host order */
void nft_counter(struct nftnl_rule *r);
void nft_counter_named(struct nftnl_rule *r, const char *name);
void nft_timeout_named(struct nftnl_rule *r, const char *name); /* ct timeout set */
/* The address in reg lies in the prefix; the register is masked. */
void nft_prefix(struct nftnl_rule *r, uint32_t reg, uint8_t family, const uint8_t *addr,
                uint8_t plen);
void nft_nat(struct nftnl_rule *r, uint32_t type, uint32_t family, uint32_t addr_reg,
             uint32_t port_reg, uint32_t flags); /* port_reg 0: none */
/* To addresses and ports from the first two registers up to the others. */
void nft_snat_range(struct nftnl_rule *r, uint32_t family, const uint32_t reg[static 4],
                    uint32_t flags);
/* The same, by the data of a map: address, port, address, port from register 0 on; ports are drawn. */
void nft_snat_data(struct nftnl_rule *r, uint32_t family);
/* The port in the register becomes the first of its block of that many, a power of two. */
void nft_port_block(struct nftnl_rule *r, uint32_t reg, uint32_t block);
/* The packet's destination, or its source, is an address of the namespace: fib daddr type local. */
void nft_local(struct nftnl_rule *r, bool source);
/* The packet's destination is routed by another device, or none, than that (NFT_CMP_NEQ), by the mark that it has now: fib
 * daddr . mark oif. */
void nft_way(struct nftnl_rule *r, uint32_t op, uint32_t index);
/* A constant into the register. */
void nft_address(struct nftnl_rule *r, uint32_t reg, const uint8_t *addr, uint32_t len);
void nft_fwd(struct nftnl_rule *r, uint32_t ifindex, uint8_t family, const uint8_t *hop);

/* Matches built of the above. */
void nft_iif(struct nftnl_rule *r, uint32_t op, uint32_t index);
void nft_oif(struct nftnl_rule *r, uint32_t op, uint32_t index);
void nft_family(struct nftnl_rule *r, uint8_t family);   /* meta nfproto, inet tables */
void nft_protocol(struct nftnl_rule *r, uint16_t proto); /* meta protocol, ETH_P_*, host order */
void nft_mark_or(struct nftnl_rule *r, uint32_t bits);   /* meta mark set meta mark | bits */
void nft_saddr(struct nftnl_rule *r, uint8_t family, uint32_t reg);
void nft_daddr(struct nftnl_rule *r, uint8_t family, uint32_t reg);
