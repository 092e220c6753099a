/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Ending TCP connections that are tracked no more. Conntrack tells no sequence numbers, and a reset without
 * them is refused; so both ends are sent a SYN in the other one's name, which neither can take: each answers
 * with an acknowledgement of where it is (RFC 5961, 4), and the ruleset, which knows the flow's addresses
 * for a moment (sets cut4 and cut6), answers that with a reset that fits. Nothing is read here. Internal to
 * lib/kernel.
 */
#pragma once

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/kernel/conntrack.h"

#define RESET_SECONDS 10 /* that addresses are known after a flow was cut */

/* A socket that sends whole packets of the calling thread's namespace, untracked; the caller closes it. */
int reset_open(uint8_t family, struct err *e);
/* The two SYNs; what cannot be sent is not. */
void reset_send(int fd, const struct kflow *f);
/* Appends the elements that make the ruleset answer for the flows, both directions. */
void reset_encode(struct nl_batch *b, const struct kflow *v, size_t n);
