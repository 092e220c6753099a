/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What bpf/shortcut.bpf.c, which runs in the kernel, shares with shortcut.c, which loads it.
 */
#pragma once

#include <linux/types.h>

#define SHORTCUT_POOLS 256

/* A public prefix; IPv4 ones as ::ffff:0:0/96 has them (RFC 4291 section 2.5.5.2). Network order. */
struct shortcut_prefix {
	__u32 bits;
	__u8 addr[16];
};

/* up0 in the gateway's namespace, its link to other nodes, netd0 in the host's. */
#define SHORTCUT_UPLINK_INDEX 2
#define SHORTCUT_NODES_INDEX  3
#define SHORTCUT_HOST_INDEX   7234932
