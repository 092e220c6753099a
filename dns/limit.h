/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Limits of what is answered. Response rate limiting: equal answers to one network (IPv4 /24, IPv6 /56), so
 * that nobody is flooded through us; of what is over, every second answer is short, "ask by TCP", the others
 * are dropped. And a plain limit a client, for the groups of VNets. A fixed table each, of token buckets
 * that fill with time; two clients that share one share its limit until the next second. One thread. Pure.
 */
#pragma once

#include <stdint.h>

#include "dns/query.h"

struct dns_limit;

enum dns_limit_verdict {
	DNS_LIMIT_SEND,
	DNS_LIMIT_SHORT,
	DNS_LIMIT_DROP
};

/* `rate`: a second, with a burst of as many; 0: everything passes. `size`: buckets, rounded up to a power of
 * two. NULL: no memory. */
struct dns_limit *dns_limit_new(uint32_t rate, uint32_t size);
void dns_limit_free(struct dns_limit *l);
/* One more of that kind; `key` is a hash of what is counted. */
enum dns_limit_verdict dns_limit_take(struct dns_limit *l, uint64_t key, int64_t now_ms);
