/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What encoding (rtnl.c) and decoding (rtnl_dump.c) of rtnetlink share. Internal to lib/kernel.
 */
#pragma once

#include <stdint.h>

#define RTNL_PROTO      110u     /* routes and rules of the plane carry this protocol number */
#define RTNL_HOST_INDEX 7234932u /* netd0 in the host's namespace */
#define RTNL_MARK       0x3u     /* guard and NSG bits, both wanted (DESIGN: fail closed) */

struct rtnl_rule {
	uint32_t pref;
	uint32_t mark, mask; /* mask 0: any */
	uint8_t action;
	uint32_t to; /* FR_ACT_GOTO: preference */
	const char *iif;
};
extern const struct rtnl_rule rtnl_rules[]; /* by enum kobj_rule */
