/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The names that are answered and the answers, compiled when a name changes: a query is parsed by
 * a small bounded parser, found by one hash probe and answered by copying. Pure: no I/O; one
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"

struct dns_zones;

struct dns_zones *dns_zones_new(void);
void dns_zones_free(struct dns_zones *z);

/* Makes this server authoritative for a domain ("westeurope.azurecontainer.io", without the last
 * dot). The name server is ns1.<domain> with `addrs`; ttl in seconds. */
int dns_zones_add(struct dns_zones *z, const char *domain, const struct ip *addrs, size_t n,
                  uint32_t ttl_s, struct err *e) __attribute__((warn_unused_result));

/* Sets the addresses of a name (inside one of the zones), or removes it with n = 0. At most 16.
 * The zone's serial goes up. ERR_INVALID for a name that is malformed or outside. */
int dns_name_set(struct dns_zones *z, const char *name, const struct ip *addrs, size_t n,
                 struct err *e) __attribute__((warn_unused_result));
/* Generations, for a full list: begin, set what there is, and end removes the rest. */
void dns_names_begin(struct dns_zones *z);
void dns_names_end(struct dns_zones *z);
size_t dns_names_count(const struct dns_zones *z);

/* Answers one query. `limit` is what the transport carries (65535 for TCP; for UDP it is lowered
 * to what the client offers, 1232 at most). Returns the length written to `out` (room for `limit`
 * bytes at least), 0 when the packet deserves no answer (RFC 1035 4.1, RFC 6891, RFC 8482). */
size_t dns_answer(const struct dns_zones *z, const uint8_t *query, size_t len, bool tcp,
                  uint8_t *out, size_t limit);
