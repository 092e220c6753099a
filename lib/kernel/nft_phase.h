/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A change of a VNet's security rules, in the order that no packet can tell. Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/kobj.h"

/* A transaction is not one instant to a packet: nft_do_chain() chooses old or new rules when it enters
 * the base chain, and each look-up in a set or map chooses again. A packet that entered with the old
 * rules and finds a new element goes on in a chain that has no rules yet, or looks into a map that is
 * empty already. So what is new is made first, with nothing leading there; then what leads there is
 * turned, in one transaction; then what nothing leads to any more goes. */
enum nft_phase {
	NFT_PHASE_MAKE,
	NFT_PHASE_TURN,
	NFT_PHASE_CLEAR,
	NFT_PHASES
};

/* The phase of each nftables step into phase[0..n-1]; rtnetlink's get NFT_PHASE_TURN. All of them one
 * (NFT_PHASE_TURN) where a ruleset comes or goes as a whole, or a name is both removed and made. False:
 * out of memory. Pure. */
bool nft_phases(const struct kop *ops, size_t n, uint8_t *phase)
	__attribute__((warn_unused_result));
