/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What runs in the kernel at devices, as the real kernel (kernel_linux.c) has it do: the gateway's shortcut and
 * floating IP. Internal to lib/kernel. kernel_linux_programs() loads them.
 */
#pragma once

#include "lib/kernel/spaces.h"

int programs_new(struct linux_kernel *k); /* -1: out of memory */
void programs_free(struct linux_kernel *k);

/* After the devices of those steps were made or set: what they want at them. */
int programs_apply(struct space *s, const struct kop *ops, size_t n, struct err *e)
	__attribute__((warn_unused_result));
/* What a dump of rtnetlink does not tell. */
int programs_dump(struct space *s, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));
/* The host's device leads to the gateway by the uplink's ruleset, and before that by the shortcut: steps of its
 * nftables, `anew`: with the ruleset. */
int programs_uplink(struct space *s, bool anew, const struct kop *ops, size_t n, struct err *e)
	__attribute__((warn_unused_result));
/* Is it bound? True where there is none. */
bool programs_uplink_is_on(struct space *s);
/* A namespace is gone. */
void programs_forget(struct linux_kernel *k, uint32_t ns);
