/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Connections that a namespace tracks: listing them and forgetting some. Internal to lib/kernel but
 * for struct kflow. Entries are deleted by their tuple only, never in bulk: what is tracked no more is
 * a new flow to the rules.
 */
#pragma once

#include <stdbool.h>

#include "lib/base/ip.h"
#include "lib/kernel/netlink.h"

/* A flow as it began, and where it goes after translation; ports in host order, 0 for ICMP. */
struct kflow {
	uint8_t proto;
	struct ip src, dst; /* of the first packet */
	uint16_t sport, dport;
	uint8_t icmp[2]; /* type and code; the id is in sport */
	struct ip to;    /* destination after DNAT: where replies come from */
	uint16_t to_port;
	/* Not in messages between roles: */
	struct ip back; /* source after SNAT: where replies go to */
	uint16_t back_port;
	uint8_t state;   /* TCP: enum tcp_conntrack */
	uint32_t left_s; /* until it is forgotten when nothing comes */
	uint32_t status; /* IPS_ASSURED and the like */
};

/* Are both ends of it still at it? A TCP connection until both have said that they are done, another flow
 * while packets came in the last seconds. */
bool conntrack_lives(const struct kflow *f);

/* The entry that a message is about. */
void conntrack_read(const struct nlmsghdr *h, struct kflow *to);
/* Calls fn for each entry of the socket's namespace; fn returns -1 to stop. */
int conntrack_dump(struct nl_sock *s, int (*fn)(void *arg, const struct kflow *f), void *arg,
                   struct err *e) __attribute__((warn_unused_result));
/* Appends the deletion of the entry; absent is success. */
void conntrack_delete(struct nl_batch *b, const struct kflow *f);
