/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See limit.h.
 */
#include "dns/limit.h"

#include <stdlib.h>

struct bucket {
	uint32_t tag;
	uint32_t at_ms; /* when `left` was right; wraps */
	uint32_t left;  /* thousandths */
	uint32_t over;  /* answers over the limit in a row */
};

struct dns_limit {
	uint32_t rate, mask;
	struct bucket v[];
};

struct dns_limit *dns_limit_new(uint32_t rate, uint32_t size)
{
	uint32_t n = 16;

	while (n < size) {
		n *= 2;
	}
	struct dns_limit *l = calloc(1, sizeof(*l) + n * sizeof(l->v[0]));
	if (l) {
		l->rate = rate;
		l->mask = n - 1;
	}
	return l;
}

void dns_limit_free(struct dns_limit *l)
{
	free(l);
}

enum dns_limit_verdict dns_limit_take(struct dns_limit *l, uint64_t key, int64_t now_ms)
{
	uint32_t now = (uint32_t)now_ms, tag = (uint32_t)(key >> 32) | 1;
	struct bucket *b = &l->v[key & l->mask];
	uint64_t full = (uint64_t)l->rate * 1000;

	if (l->rate == 0) {
		return DNS_LIMIT_SEND;
	}
	uint32_t age = now - b->at_ms;
	if (b->tag != tag && (b->tag == 0 || age >= 1000)) { /* nobody's, or somebody's of before */
		*b = (struct bucket){ tag, now, (uint32_t)(full < UINT32_MAX ? full : UINT32_MAX),
			              0 };
	} else if (age > 0) {
		uint64_t left = b->left + (uint64_t)(age < 1000 ? age : 1000) * l->rate;

		b->left = (uint32_t)(left < full ? left : full);
		b->at_ms = now;
	}
	if (b->left >= 1000) {
		b->left -= 1000;
		b->over = 0;
		return DNS_LIMIT_SEND;
	}
	return b->over++ % 2 ? DNS_LIMIT_DROP : DNS_LIMIT_SHORT;
}
