/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Netlink sockets, batches and dumps on libmnl. Every wait has a deadline (5 s); a socket whose
 * conversation broke is `broken` and must be closed. A socket stays in the network namespace in
 * which it was opened. Blocks for the kernel's work.
 */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct nl_sock {
	int fd; /* -1: closed */
	uint32_t portid;
	uint32_t seq;
	bool broken;
};

#define NL_SOCK_NONE     \
	{                \
		.fd = -1 \
	}

/* Opens a socket of `protocol` (NETLINK_ROUTE, NETLINK_NETFILTER) in the calling thread's
 * namespace. */
int nl_open(struct nl_sock *s, int protocol, struct err *e) __attribute__((warn_unused_result));
void nl_close(struct nl_sock *s);
/* Joins a multicast group and makes reads non-blocking. */
int nl_subscribe(struct nl_sock *s, unsigned group, struct err *e);

/* Messages that go to the kernel in one send. */
struct nl_batch {
	struct buf buf;
	struct nlmsghdr *open; /* the message being written */
	size_t n;
	bool failed;
};

void nl_batch_fini(struct nl_batch *b);
/* Begins a message with `extra` bytes of family header (zeroed; returned through *ret_extra).
 * Attributes follow by mnl_attr_put* on the result; a message takes at most 64 KiB. NULL when out
 * of memory. */
struct nlmsghdr *nl_batch_begin(struct nl_batch *b, uint16_t type, uint16_t flags, size_t extra,
                                void **ret_extra);
/* Ends it; `forgive` is an errno whose answer counts as success for this message (0: none), or
 * NL_FORGIVE_ABSENT for a removal: whatever says that the object or its device is gone. */
#define NL_FORGIVE_ABSENT   0x10000
#define NL_FORGIVE_NO_QDISC 0x20000 /* of a filter: or its qdisc is (EINVAL) */
void nl_batch_end(struct nl_batch *b, int forgive);

/* Sends all and waits until the kernel answered. The first error that was not forgiven is
 * returned; describe(arg, i, to) puts the i-th message into words for it (may be NULL). */
int nl_batch_send(struct nl_sock *s, struct nl_batch *b,
                  void (*describe)(void *arg, size_t i, struct buf *to), void *arg, struct err *e)
	__attribute__((warn_unused_result));

/* Dumps: sends `type` with a family header and calls fn for each answer. A dump that the kernel
 * marks as interrupted (NLM_F_DUMP_INTR) is thrown away: `reset(arg)` is called and it is asked
 * again, ten times at most. fn returns 0, or -1 to give up (out of memory). */
int nl_dump(struct nl_sock *s, uint16_t type, const void *extra, size_t extra_len,
            int (*fn)(const struct nlmsghdr *h, void *arg), void (*reset)(void *arg), void *arg,
            struct err *e) __attribute__((warn_unused_result));
/* Asks for one object, by what the family header says; fn is called once. ERR_SYSTEM with the kernel's errno
 * when there is none. */
int nl_get(struct nl_sock *s, uint16_t type, const void *extra, size_t extra_len,
           int (*fn)(const struct nlmsghdr *h, void *arg), void *arg, struct err *e)
	__attribute__((warn_unused_result));
