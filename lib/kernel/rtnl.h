/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Kernel objects to rtnetlink messages and back. Internal to lib/kernel. libmnl rather than
 * libnl-route: libnl 3.7 has no names for isolated ports, neighbour suppression or
 * IFA_F_NOPREFIXROUTE, and one library serves nftables too.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

/* Where the other end of a veth goes, or a VXLAN device that is made in the host's namespace. */
struct rtnl_peer {
	int fd;           /* the namespace */
	const char *name; /* of the end there; NULL: as the plan has it */
};
/* Adds the message for one step to the batch; links, addresses, neighbours, FDB, routes, rules.
 * `peer` matters when a veth is made. Returns the number of messages added. */
int rtnl_encode(struct nl_batch *b, const struct kop *op, const struct rtnl_peer *peer);

struct linux_kernel;
struct space;
/* Executes steps to those kinds (the rest is left) in the namespace, whose sockets are open. */
int rtnl_apply(struct linux_kernel *k, struct space *s, const struct kop *ops, size_t n,
               struct err *e) __attribute__((warn_unused_result));

/* Dumps all kinds that rtnl_encode knows from the socket's namespace into `to`, unsorted. In a foreign one, and in a
 * runtime's (`guest`), what is not on our device is left out. */
int rtnl_dump(struct nl_sock *s, uint32_t ns, bool guest, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));

/* Routes of the main table, as kernel.h says of `learned`. */
int rtnl_learned(struct nl_sock *s, uint32_t ns, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));

/* Interface index that an rtnetlink event is about, 0 when it cannot be told. */
uint32_t rtnl_event_index(const struct nlmsghdr *h);

/* The interface index that a device of the plane has by its name. */
uint32_t rtnl_device_index(const char *dev);
