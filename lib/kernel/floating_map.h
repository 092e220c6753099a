/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What bpf/floating.bpf.c, which runs in the kernel, shares with floating.c, which loads it.
 */
#pragma once

#include <linux/types.h>

#define FLOATING_MAX 65536 /* frontends of all ports together */

/* IPv4 as ::ffff:0:0/96 has it (RFC 4291 section 2.5.5.2). Network order. */
struct floating_addr {
	__u8 b[16];
};

/* To a port, by the frontend's number in its VNet, which is in the upper half of the packet's mark. */
struct floating_in {
	__u32 port; /* interface index, which is the group's number */
	__u32 number;
};

/* From a port, by the source. */
struct floating_out {
	__u32 port;
	struct floating_addr front;
};
