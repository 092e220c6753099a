/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A message being written: names, by pointer where the packet has them (RFC 1035 4.1.4), and records, never
 * past the limit. Internal to dns.
 */
#pragma once

#include <string.h>

#include "dns/query.h"

struct out {
	uint8_t *p;
	size_t n, limit;
	unsigned answers, authority, additional;
	bool full; /* something did not fit: nothing is written any more */
};

/* The name, which stands at offset `at` of the packet: a pointer, or written out when `at` is beyond what a
 * pointer reaches. */
static inline bool out_name(struct out *o, const uint8_t *name, size_t len, size_t at)
{
	size_t n = at < 0x4000 ? 2 : len + 1;

	if (o->full || o->n + n > o->limit) {
		o->full = true;
		return false;
	}
	if (n == 2 && at < 0x4000) {
		dns_put16(o->p + o->n, 0xc000u | (unsigned)at);
	} else {
		memcpy(o->p + o->n, name, len);
		o->p[o->n + len] = 0;
	}
	o->n += n;
	return true;
}

/* The rest of a record of class IN, behind its owner. */
static inline bool out_record(struct out *o, uint16_t type, uint32_t ttl_s, const uint8_t *data,
                              uint16_t n)
{
	if (o->full || o->n + 10u + n > o->limit) {
		o->full = true;
		return false;
	}
	uint8_t *p = o->p + o->n;
	dns_put16(p, type);
	dns_put16(p + 2, 1);
	dns_put32(p + 4, ttl_s);
	dns_put16(p + 8, n);
	memcpy(p + 10, data, n);
	o->n += 10u + n;
	return true;
}
