/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a VNet's router has counted: security rules, what was dropped of each group, the groups'
 * ports, and the ruleset's own rules that count. Internal to lib/kernel, but for the struct.
 */
#pragma once

#include "lib/base/ip.h"
#include "lib/kernel/netlink.h"

enum kcount_kind {
	KCOUNT_RULE = 1, /* `name`: kobj_counter_name() of a security rule; flows that began */
	KCOUNT_DROPS,    /* `ip`: a group's address; what rules or shares dropped of or to it */
	KCOUNT_PORT,     /* `name`: a group's device; what it sent, and `back` what it was sent */
	KCOUNT_GUARD,    /* `name`: what a rule of the ruleset's own is for */
};
#define KCOUNT_NAME 64

struct kcount {
	uint8_t kind; /* enum kcount_kind */
	char name[KCOUNT_NAME];
	struct ip ip;
	uint64_t packets, bytes;
	uint64_t back_packets, back_bytes; /* KCOUNT_PORT */
};

/* What is read: all, the ports alone, or the port of one number. */
#define COUNTERS_ALL   0u
#define COUNTERS_PORTS UINT32_MAX

/* Calls fn for each, after all were read; fn returns -1 to stop. May block for the kernel's answers,
 * 5 s each. Counters begin at zero when their ruleset is made anew. */
int counters_dump(struct nl_sock *rt, struct nl_sock *nft, uint32_t what,
                  int (*fn)(void *arg, const struct kcount *c), void *arg, struct err *e)
	__attribute__((warn_unused_result));
