/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Floating IP at the ports of groups: the programs of bpf/floating.bpf.c and what they look up, from objects
 * of the kind KOBJ_FLOAT. Internal to lib/kernel. What is set is known here, not read back; that a port has
 * lost its programs is seen. Where the kernel refuses the programs, objects are kept and do nothing: flows
 * reach groups under their own address then.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

struct floating;

/* NULL: out of memory. */
struct floating *floating_new(void);
void floating_free(struct floating *f); /* what is bound stays; NULL is allowed */
/* Loads the programs. */
int floating_load(struct floating *f, struct err *e) __attribute__((warn_unused_result));

/* Executes the KOBJ_FLOAT steps among those. A port that is not there is passed over: its group is on its way,
 * and a dump will say that the object is missing. */
int floating_apply(struct floating *f, struct nl_sock *rt, const struct kop *ops, size_t n,
                   struct err *e) __attribute__((warn_unused_result));
/* Appends what is set in a VNet's namespace. */
void floating_dump(struct floating *f, struct nl_sock *rt, uint32_t ns, struct kset *to);
/* The namespace is gone. */
void floating_forget(struct floating *f, uint32_t ns);
