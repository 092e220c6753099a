/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nft_expr.h. Builds libnftnl objects only. Out of memory ends the process: rulesets are
 * built once, at the engine's start.
 */
#include "lib/kernel/nft_expr.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct nftnl_expr *add(struct nftnl_rule *r, const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	if (!x) {
		abort();
	}
	nftnl_rule_add_expr(r, x);
	return x;
}

void nft_meta(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "meta");

	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, reg);
}

void nft_payload(struct nftnl_rule *r, uint32_t base, uint32_t off, uint32_t len, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "payload");

	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, off);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, len);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

void nft_saddr_set(struct nftnl_rule *r, uint8_t family, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "payload");
	bool v4 = family == 4;

	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, v4 ? 12 : 8);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, v4 ? 4 : 16);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_TYPE,
	                   v4 ? NFT_PAYLOAD_CSUM_INET : NFT_PAYLOAD_CSUM_NONE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, v4 ? 10 : 0);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
}

void nft_hops(struct nftnl_rule *r, uint8_t family, uint32_t reg)
{
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, family == 4 ? 8 : 7, 1, reg);
}

void nft_hops_set(struct nftnl_rule *r, uint8_t family, uint8_t hops)
{
	bool v4 = family == 4;

	nft_address(r, R(0), &hops, 1);
	struct nftnl_expr *x = add(r, "payload");
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, v4 ? 8 : 7);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, 1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_SREG, R(0));
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_TYPE,
	                   v4 ? NFT_PAYLOAD_CSUM_INET : NFT_PAYLOAD_CSUM_NONE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, v4 ? 10 : 0);
}

void nft_ct(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "ct");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, reg);
}

void nft_ct_original(struct nftnl_rule *r, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "ct");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, reg);
	nftnl_expr_set_u8(x, NFTNL_EXPR_CT_DIR, IP_CT_DIR_ORIGINAL);
}

static void direction(struct nftnl_rule *r, uint8_t way)
{
	nft_ct(r, NFT_CT_DIRECTION, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &way, 1);
}

void nft_ct_forth(struct nftnl_rule *r)
{
	direction(r, IP_CT_DIR_ORIGINAL);
}

void nft_ct_back(struct nftnl_rule *r)
{
	direction(r, IP_CT_DIR_REPLY);
}

void nft_mark_set(struct nftnl_rule *r, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "meta");

	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_SREG, reg);
}

void nft_mark_from_ct(struct nftnl_rule *r, uint32_t mask)
{
	nft_ct(r, NFT_CT_MARK, R(0));
	nft_any_bit(r, R(0), mask); /* leaves those in the register */
	nft_mark_set(r, R(0));
}

void nft_mark_none(struct nftnl_rule *r)
{
	static const uint8_t zero[4];

	nft_address(r, R(0), zero, sizeof(zero));
	nft_mark_set(r, R(0));
}

void nft_notrack(struct nftnl_rule *r)
{
	add(r, "notrack");
}

void nft_ct_mark_set(struct nftnl_rule *r, uint32_t reg)
{
	struct nftnl_expr *x = add(r, "ct");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, NFT_CT_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_SREG, reg);
}

static void bitwise(struct nftnl_rule *r, uint32_t reg, uint32_t mask, uint32_t xor);

void nft_ct_mark_is(struct nftnl_rule *r, uint32_t mask, uint32_t value)
{
	nft_ct(r, NFT_CT_MARK, R(0));
	if (mask != UINT32_MAX) {
		bitwise(r, R(0), mask, 0);
	}
	nft_cmp(r, NFT_CMP_EQ, R(0), &value, 4);
}

void nft_ct_mark_vmap(struct nftnl_rule *r, uint32_t mask, const char *map)
{
	nft_ct(r, NFT_CT_MARK, R(0));
	bitwise(r, R(0), mask, 0);
	nft_lookup_map(r, map, R(0), NFT_REG_VERDICT);
}

void nft_hash(struct nftnl_rule *r, uint32_t reg, uint32_t len, uint32_t modulus)
{
	struct nftnl_expr *x = add(r, "hash");

	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS);
	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_DREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_LEN, len);
	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_MODULUS, modulus);
	nftnl_expr_set_u32(x, NFTNL_EXPR_HASH_SEED, 0x2a);
}

void nft_cmp(struct nftnl_rule *r, uint32_t op, uint32_t reg, const void *data, uint32_t len)
{
	struct nftnl_expr *x = add(r, "cmp");

	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, data, len);
}

static void bitwise(struct nftnl_rule *r, uint32_t reg, uint32_t mask, uint32_t xor)
{
	struct nftnl_expr *x = add(r, "bitwise");

	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, 4);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, &mask, 4);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, &xor, 4);
}

void nft_mark_is(struct nftnl_rule *r, uint32_t mask, uint32_t value)
{
	nft_meta(r, NFT_META_MARK, R(0));
	bitwise(r, R(0), mask, 0);
	nft_cmp(r, NFT_CMP_EQ, R(0), &value, 4);
}

void nft_any_bit(struct nftnl_rule *r, uint32_t reg, uint32_t mask)
{
	static const uint32_t zero;

	bitwise(r, reg, mask, 0);
	nft_cmp(r, NFT_CMP_NEQ, reg, &zero, 4);
}

void nft_no_bit(struct nftnl_rule *r, uint32_t reg, uint32_t mask)
{
	static const uint32_t zero;

	bitwise(r, reg, mask, 0);
	nft_cmp(r, NFT_CMP_EQ, reg, &zero, 4);
}

static struct nftnl_expr *lookup(struct nftnl_rule *r, const char *set, uint32_t sreg)
{
	struct nftnl_expr *x = add(r, "lookup");

	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, sreg);
	nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, set);
	return x;
}

void nft_lookup(struct nftnl_rule *r, const char *set, uint32_t sreg)
{
	lookup(r, set, sreg);
}

void nft_lookup_not(struct nftnl_rule *r, const char *set, uint32_t sreg)
{
	nftnl_expr_set_u32(lookup(r, set, sreg), NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
}

void nft_lookup_map(struct nftnl_rule *r, const char *set, uint32_t sreg, uint32_t dreg)
{
	nftnl_expr_set_u32(lookup(r, set, sreg), NFTNL_EXPR_LOOKUP_DREG, dreg);
}

void nft_verdict(struct nftnl_rule *r, int verdict)
{
	struct nftnl_expr *x = add(r, "immediate");

	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
}

void nft_jump(struct nftnl_rule *r, int verdict, const char *chain)
{
	struct nftnl_expr *x = add(r, "immediate");

	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, (uint32_t)verdict);
	nftnl_expr_set_str(x, NFTNL_EXPR_IMM_CHAIN, chain);
}

static void object(struct nftnl_rule *r, uint32_t type, const char *name)
{
	struct nftnl_expr *x = add(r, "objref");

	nftnl_expr_set_u32(x, NFTNL_EXPR_OBJREF_IMM_TYPE, type);
	nftnl_expr_set_str(x, NFTNL_EXPR_OBJREF_IMM_NAME, name);
}

void nft_counter_named(struct nftnl_rule *r, const char *name)
{
	object(r, NFT_OBJECT_COUNTER, name);
}

void nft_timeout_named(struct nftnl_rule *r, const char *name)
{
	object(r, NFT_OBJECT_CT_TIMEOUT, name);
}

void nft_prefix(struct nftnl_rule *r, uint32_t reg, uint8_t family, const uint8_t *addr,
                uint8_t plen)
{
	uint32_t len = family == 4 ? 4 : 16;
	uint8_t mask[16] = { 0 }, zero[16] = { 0 }, want[16];

	for (unsigned i = 0; i < plen && i < len * 8; i++) {
		mask[i / 8] |= (uint8_t)(0x80u >> i % 8);
	}
	for (uint32_t i = 0; i < len; i++) {
		want[i] = addr[i] & mask[i];
	}
	if (plen < len * 8) {
		struct nftnl_expr *x = add(r, "bitwise");

		nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, reg);
		nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, reg);
		nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, len);
		nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, mask, len);
		nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, zero, len);
	}
	nft_cmp(r, NFT_CMP_EQ, reg, want, len);
}

void nft_reject(struct nftnl_rule *r)
{
	struct nftnl_expr *x = add(r, "reject");

	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

void nft_reject_port(struct nftnl_rule *r)
{
	struct nftnl_expr *x = add(r, "reject");

	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_PORT_UNREACH);
}

void nft_reject_tcp(struct nftnl_rule *r)
{
	struct nftnl_expr *x = add(r, "reject");

	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, 0);
}

void nft_limit(struct nftnl_rule *r, uint64_t per_second)
{
	struct nftnl_expr *x = add(r, "limit");

	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, per_second);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, (uint32_t)per_second);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
}

static struct nftnl_expr *over(uint64_t per_second, uint32_t burst)
{
	struct nftnl_expr *x = nftnl_expr_alloc("limit");

	if (!x) {
		abort();
	}
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, per_second);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, 1);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, burst);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
	return x;
}

void nft_over(struct nftnl_rule *r, const char *set, uint32_t reg, uint64_t per_second,
              uint32_t burst)
{
	struct nftnl_expr *x = add(r, "dynset");

	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_SREG_KEY, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	nftnl_expr_set_u64(x, NFTNL_EXPR_DYNSET_TIMEOUT, 0);
	nftnl_expr_set_str(x, NFTNL_EXPR_DYNSET_SET_NAME, set);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_FLAGS, NFT_DYNSET_F_EXPR);
	nftnl_expr_add_expr(x, NFTNL_EXPR_DYNSET_EXPRESSIONS, over(per_second, burst));
}

void nft_limit_over(struct nftnl_rule *r, uint64_t per_second)
{
	nftnl_rule_add_expr(r, over(per_second, (uint32_t)per_second));
}

void nft_flow_part(struct nftnl_rule *r, uint8_t family, uint32_t parts, uint32_t which)
{
	uint32_t len = family == 4 ? 4 : 16;

	nft_saddr(r, family, R(0));
	nft_daddr(r, family, R(len / 4));
	nft_hash(r, R(0), len * 2, parts);
	nft_cmp(r, NFT_CMP_EQ, R(0), &which, 4);
}

void nft_l4proto(struct nftnl_rule *r, uint8_t proto)
{
	nft_meta(r, NFT_META_L4PROTO, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &proto, 1);
}

/* A TCP segment with none of the flags. */
static void tcp_without(struct nftnl_rule *r, uint8_t flags)
{
	const uint8_t none = 0;

	nft_l4proto(r, IPPROTO_TCP);
	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, R(0));
	struct nftnl_expr *x = add(r, "bitwise");
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, R(0));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, R(0));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, 1);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, &flags, 1);
	nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, &none, 1);
	nft_cmp(r, NFT_CMP_EQ, R(0), &none, 1);
}

void nft_tcp_midstream(struct nftnl_rule *r)
{
	tcp_without(r, 0x02 | 0x04); /* SYN, RST */
}

void nft_tcp_goes_on(struct nftnl_rule *r)
{
	tcp_without(r, 0x02);
}

void nft_dport(struct nftnl_rule *r, uint16_t port)
{
	uint16_t be = htons(port);

	nft_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &be, 2);
}

void nft_counter(struct nftnl_rule *r)
{
	add(r, "counter");
}

void nft_nat(struct nftnl_rule *r, uint32_t type, uint32_t family, uint32_t addr_reg,
             uint32_t port_reg, uint32_t flags)
{
	struct nftnl_expr *x = add(r, "nat");

	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_TYPE, type);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FAMILY, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_ADDR_MIN, addr_reg);
	if (port_reg) {
		nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, port_reg);
	}
	if (flags) {
		nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FLAGS, flags);
	}
}

void nft_snat_range(struct nftnl_rule *r, uint32_t family, const uint32_t reg[static 4],
                    uint32_t flags)
{
	struct nftnl_expr *x = add(r, "nat");

	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_TYPE, NFT_NAT_SNAT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FAMILY, family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_ADDR_MIN, reg[0]);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, reg[1]);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_ADDR_MAX, reg[2]);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MAX, reg[3]);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FLAGS, flags);
}

void nft_snat_data(struct nftnl_rule *r, uint32_t family)
{
	uint32_t n = family == 4 ? 1 : 4;

	nft_snat_range(r, family, (uint32_t[]){ R(0), R(n), R(n + 1), R(2 * n + 1) },
	               NF_NAT_RANGE_PROTO_RANDOM_FULLY);
}

void nft_port_block(struct nftnl_rule *r, uint32_t reg, uint32_t block)
{
	bitwise(r, reg, htonl((0x10000u - block) << 16), 0);
}

void nft_local(struct nftnl_rule *r, bool source)
{
	static const uint32_t local = RTN_LOCAL;
	struct nftnl_expr *x = add(r, "fib");

	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, source ? NFTA_FIB_F_SADDR : NFTA_FIB_F_DADDR);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &local, 4);
}

void nft_way(struct nftnl_rule *r, uint32_t op, uint32_t index)
{
	struct nftnl_expr *x = add(r, "fib");

	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR | NFTA_FIB_F_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_OIF);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, R(0));
	nft_cmp(r, op, R(0), &index, 4);
}

static void immediate(struct nftnl_rule *r, uint32_t reg, const void *data, uint32_t len)
{
	struct nftnl_expr *x = add(r, "immediate");

	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, reg);
	nftnl_expr_set(x, NFTNL_EXPR_IMM_DATA, data, len);
}

void nft_address(struct nftnl_rule *r, uint32_t reg, const uint8_t *addr, uint32_t len)
{
	immediate(r, reg, addr, len);
}

void nft_fwd(struct nftnl_rule *r, uint32_t ifindex, uint8_t family, const uint8_t *hop)
{
	immediate(r, R(0), &ifindex, 4);
	if (hop) {
		immediate(r, R(4), hop, family == 4 ? 4 : 16);
	}
	struct nftnl_expr *x = add(r, "fwd");
	nftnl_expr_set_u32(x, NFTNL_EXPR_FWD_SREG_DEV, R(0));
	if (hop) {
		nftnl_expr_set_u32(x, NFTNL_EXPR_FWD_SREG_ADDR, R(4));
		nftnl_expr_set_u32(x, NFTNL_EXPR_FWD_NFPROTO,
		                   family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
	}
}

void nft_iif(struct nftnl_rule *r, uint32_t op, uint32_t index)
{
	nft_meta(r, NFT_META_IIF, R(0));
	nft_cmp(r, op, R(0), &index, 4);
}

void nft_oif(struct nftnl_rule *r, uint32_t op, uint32_t index)
{
	nft_meta(r, NFT_META_OIF, R(0));
	nft_cmp(r, op, R(0), &index, 4);
}

void nft_family(struct nftnl_rule *r, uint8_t family)
{
	uint8_t proto = family == 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;

	nft_meta(r, NFT_META_NFPROTO, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &proto, 1);
}

void nft_protocol(struct nftnl_rule *r, uint16_t proto)
{
	uint16_t be = htons(proto);

	nft_meta(r, NFT_META_PROTOCOL, R(0));
	nft_cmp(r, NFT_CMP_EQ, R(0), &be, 2);
}

void nft_mark_or(struct nftnl_rule *r, uint32_t bits)
{
	nft_meta(r, NFT_META_MARK, R(0));
	bitwise(r, R(0), ~bits, bits);
	struct nftnl_expr *x = add(r, "meta");
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_SREG, R(0));
}

void nft_saddr(struct nftnl_rule *r, uint8_t family, uint32_t reg)
{
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, family == 4 ? 12 : 8, family == 4 ? 4 : 16, reg);
}

void nft_daddr(struct nftnl_rule *r, uint8_t family, uint32_t reg)
{
	nft_payload(r, NFT_PAYLOAD_NETWORK_HEADER, family == 4 ? 16 : 24, family == 4 ? 4 : 16,
	            reg);
}
