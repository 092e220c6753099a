/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * nftables side of what plans add to a VNet's ruleset: sets and maps, counters, chains, their rules
 * and items (KOBJ_SET to KOBJ_ITEM). Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

/* Appends all such steps, sorted, in an order that one transaction takes: what refers to something
 * goes before it and comes after it. Items come with nft_policy_items(). */
void nft_policy_remove(struct nl_batch *b, const struct kop *ops, size_t n);
void nft_policy_add(struct nl_batch *b, const struct kop *ops, size_t n);
/* Removals, or additions; items know no SET (kops_change). */
void nft_policy_items(struct nl_batch *b, const struct kop *ops, size_t n, bool removals);

/* From a dump's messages to objects; false: not one of ours, nothing is added. */
bool nft_policy_set(uint32_t ns, const char *name, uint32_t flags, uint32_t key_len,
                    struct kset *to);
bool nft_policy_chain(uint32_t ns, const char *name, struct kset *to);
bool nft_policy_rule(uint32_t ns, const char *chain, uint32_t position, const char *comment,
                     struct kset *to);
/* The counters of the namespace, and the items of the sets in `to` from index `from` on. */
int nft_policy_dump(struct nl_sock *s, uint32_t ns, size_t from, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));
