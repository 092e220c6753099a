/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Telling a link where an address is from now on: neighbours that knew it elsewhere send here at once, not when their entry has
 * aged. ARP announcement (RFC 5227, 3) and unsolicited neighbour advertisement (RFC 4861, 7.2.6). Internal to lib/kernel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/kernel/kobj.h"

/* Do the steps make an address be answered for by proxy? */
bool announce_any(const struct kop *v, size_t n);
/* A socket for that in the calling thread's namespace, -1 none. Kept open: closing one waits for all CPUs (RCU). */
int announce_open(void);
/* Announces those addresses, each by its device. Blocks for no answer; what cannot be sent is not: then neighbours ask when they
 * miss it. */
void announce_send(int fd, const struct kop *v, size_t n);
