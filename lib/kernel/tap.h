/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A tap device in a group's namespace, for runtimes that run virtual machines, from an object of the kind KOBJ_TAP: what
 * reaches eth0 goes to the tap as it is, and what the machine sends goes out by eth0 (two tc filters; nothing is looked
 * at). The machine has eth0's MAC and addresses. Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/spaces.h"

/* Executes the KOBJ_TAP steps among those. */
int tap_apply(struct space *s, const struct kop *ops, size_t n, struct err *e)
	__attribute__((warn_unused_result));
/* Appends the tap, when all of it is there. */
int tap_dump(struct space *s, struct kset *to, struct err *e) __attribute__((warn_unused_result));
