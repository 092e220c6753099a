/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Making network namespaces: sysctls, files, and a small stock of ready ones for groups.
 */
#pragma once

#include <stdint.h>

#include "lib/kernel/netlink.h"

#define NETNS_STOCK 16u

/* Sets what a namespace of the type (enum kobj_netns) needs, in the calling thread's. Settings that
 * this kernel lacks are passed over. */
void netns_sysctls(uint8_t type);
/* In the calling thread's namespace, once connections are tracked there. A TCP segment in the middle
 * of a connection that is not known begins none: else the other side's late acknowledgement would
 * take up again what a security group has ended. Flows without an answer are forgotten soon. */
void netns_conntrack(void);
/* How many flows the calling thread's namespace tracks; -1: it tracks none. */
long netns_flows(void);
/* Takes away what stands at a path of ours: a crash left it, or a stranger put it there. Absent is
 * success; -1 with errno. */
int netns_clear(const char *path);
/* Makes the file and binds namespace `ns` to it (a descriptor; -1: the calling thread's). */
int netns_bind(const char *path, int ns, struct err *e);

/* A group's namespace, made and open. The taker closes both. */
struct netns_spare {
	int fd;
	struct nl_sock rt;
};
struct netns_stock;
/* Begins to keep NETNS_STOCK spares, in a thread of its own. NULL with *e on error. */
struct netns_stock *netns_stock_new(struct err *e);
/* One of them; waits for the next when the stock is empty (under 1 ms). -1: none can be made. */
int netns_stock_take(struct netns_stock *p, struct netns_spare *to, struct err *e);
void netns_stock_free(struct netns_stock *p); /* accepts NULL; ends the thread and the spares */
