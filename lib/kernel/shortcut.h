/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The programs of bpf/shortcut.bpf.c: loaded once, bound to devices by tc. Routing does the same work
 * without them, only slower: a kernel that refuses them is no error. Internal to lib/kernel.
 *
 * Devices of the gateway share one filter block, so that two dumps tell which of them are bound, however
 * many there are. On the host's device the filter is one of perhaps several: others' come to see what it
 * lets pass.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

struct shortcut;

/* Loads them. NULL with the reason when the kernel refuses. The caller frees it; bound programs stay. */
struct shortcut *shortcut_new(struct err *e);
void shortcut_free(struct shortcut *s);

/* Binds devices of the gateway's namespace, those of the steps that are wanted with KOBJ_SHORTCUT, and
 * releases others; and knows the sources of the steps' rules (KOBJ_RULE_RETURN). s NULL: no step wants it. */
int shortcut_bind(const struct shortcut *s, struct nl_sock *rt, const struct kop *ops, size_t n,
                  struct err *e) __attribute__((warn_unused_result));
/* Sets KOBJ_SHORTCUT at links of a dump of the gateway's namespace that are bound to this program (s NULL: to
 * any); `refused`: at all that could be, since none can be mended. The program has the sources of the rules in it then. */
int shortcut_dump(const struct shortcut *s, bool refused, struct nl_sock *rt, struct kset *to,
                  struct err *e) __attribute__((warn_unused_result));

/* Prefixes that the host's device leads to the gateway: the steps' elements of KOBJ_SET_POOL4 and _POOL6,
 * beside those of before or (anew) instead of them. */
int shortcut_pools(struct shortcut *s, bool anew, const struct kop *ops, size_t n, struct err *e)
	__attribute__((warn_unused_result));
/* Binds the host's device. */
int shortcut_uplink(const struct shortcut *s, struct nl_sock *rt, uint32_t index, struct err *e)
	__attribute__((warn_unused_result));
/* No more; absent is success. */
void shortcut_uplink_off(struct nl_sock *rt, uint32_t index);
/* Is it bound, to this very program? Not when that cannot be told. */
bool shortcut_uplink_is_on(const struct shortcut *s, struct nl_sock *rt, uint32_t index);
