/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Address pools: which addresses are taken, and which rest before another tenant gets them.
 * Allocation walks on from the last one, so that a released address comes back late. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"

struct ipam_entry {
	struct ip ip;
	bool taken;
	uint32_t tenant;       /* who had it */
	int64_t rest_until_ms; /* when another tenant may have it */
};

struct ipam {
	struct ip_prefix prefix;
	unsigned first; /* addresses kept back at the beginning: 4 in subnets (Azure) */
	unsigned last;  /* and at the end: 1 for the broadcast address */
	struct ip cursor;
	struct ipam_entry *v; /* sorted by address */
	size_t n, cap;
};

void ipam_init(struct ipam *m, const struct ip_prefix *prefix, unsigned first, unsigned last);
void ipam_fini(struct ipam *m);
/* Takes `want` (family 0: any free one). ERR_LIMIT when none is left, ERR_CONFLICT when taken,
 * ERR_INVALID when outside or reserved. Addresses at rest yield when nothing else is free. */
int ipam_take(struct ipam *m, const struct ip *want, uint32_t tenant, int64_t now_ms,
              struct ip *ret, struct err *e) __attribute__((warn_unused_result));
/* Takes the free address of the prefix that came back longest ago; `rested`: none that rests, also for the tenant. False: there is
 * none, and *any says whether one rests. */
bool ipam_take_oldest(struct ipam *m, const struct ip_prefix *p, uint32_t tenant, int64_t now_ms,
                      bool rested, struct ip *ret, bool *any);
bool ipam_is_taken(const struct ipam *m, const struct ip *ip);
void ipam_give(struct ipam *m, const struct ip *ip, uint32_t tenant, int64_t rest_until_ms);
/* A free address rests until then; of a taken one nothing changes. */
void ipam_rest(struct ipam *m, const struct ip *ip, uint32_t tenant, int64_t rest_until_ms);
#define IPAM_BLOCKS_MAX 65536 /* tried at most */
/* Takes all of a block of length `len`, aligned; ERR_LIMIT when none is free. Give its addresses back
 * one by one. */
int ipam_take_block(struct ipam *m, uint8_t len, uint32_t tenant, int64_t now_ms,
                    struct ip_prefix *ret, struct err *e) __attribute__((warn_unused_result));
