/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Kernel objects to rtnetlink messages and back. Internal to lib/kernel. libmnl rather than
 * libnl-route: libnl 3.7 has no names for isolated ports, neighbour suppression or
 * IFA_F_NOPREFIXROUTE, and one library serves nftables too.
 */
#pragma once

#include "lib/kernel/kobj.h"
#include "lib/kernel/netlink.h"

/* Adds the message for one step to the batch; links, addresses, neighbours, FDB, routes, rules.
 * `peer_fd` is the namespace of the other end when a veth is made, else -1. Returns the number of
 * messages added. */
int rtnl_encode(struct nl_batch *b, const struct kop *op, int peer_fd);

/* Dumps all kinds that rtnl_encode knows from the socket's namespace into `to`, unsorted. */
int rtnl_dump(struct nl_sock *s, uint32_t ns, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));

/* Routes of the main table, as kernel.h says of `learned`. */
int rtnl_learned(struct nl_sock *s, uint32_t ns, struct kset *to, struct err *e)
	__attribute__((warn_unused_result));

/* Interface index that an rtnetlink event is about, 0 when it cannot be told. */
uint32_t rtnl_event_index(const struct nlmsghdr *h);

/* The interface index that a device of the plane has by its name. */
uint32_t rtnl_device_index(const char *dev);
