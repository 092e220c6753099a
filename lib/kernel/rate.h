/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bandwidth limits at the ports of groups, from objects of the kind KOBJ_RATE: a token bucket (tbf) at the port for what the
 * group gets, and one at a device of its own (ifb, "i" and the group's number) for what it sends, which a filter of the port
 * leads there before the bridge sees it. Both delay, up to 50 ms of the rate, before they drop. Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

/* Interface indexes of devices for what groups send: this and the number, which is smaller. A given namespace's link
 * lies above them (KOBJ_NS_GIVEN). */
#define RATE_BASE 0x20000000u

/* The index of the port that a device, or a port, belongs to; others stay as they are. */
static inline uint32_t rate_port(uint32_t index)
{
	return index >= RATE_BASE && index - RATE_BASE < RATE_BASE ? index - RATE_BASE : index;
}

struct rate;

struct rate *rate_new(void);    /* NULL: out of memory */
void rate_free(struct rate *r); /* what is set stays; NULL is allowed */
/* Executes the KOBJ_RATE steps among those. A port that is not there is passed over. */
int rate_apply(struct rate *r, struct nl_sock *rt, const struct kop *ops, size_t n, struct err *e)
	__attribute__((warn_unused_result));
/* Appends what is set in a VNet's namespace, and takes away what an engine of before left there that nobody wants. */
int rate_dump(struct rate *r, struct nl_sock *rt, uint32_t ns, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));
/* The namespace is gone. */
void rate_forget(struct rate *r, uint32_t ns);
