/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Zones, and who sees which: a view is what one kind of asker sees (0: the public; else a VNet's number),
 * and has links to zones. All of it lies in one table of names (dns/table.h), so that a process that
 * takes the table over knows zones and views, too. One writer, readers in their sections.
 */
#pragma once

#include "dns/name.h"
#include "dns/sign.h"
#include "dns/table.h"

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_NXNAME = 128,
	DNS_TSIG = 250,
	DNS_IXFR = 251,
	DNS_AXFR = 252,
	DNS_ANY = 255
};

#define DNS_ZONES_MAX     (1u << 20)
#define DNS_VIEWS_MAX     (1u << 20)
#define DNS_VIEW_PUBLIC   0
#define DNS_LINK_FALLBACK 1u /* a name that is missing there is asked for elsewhere */

struct dns_zones;

/* Readers see it while they are in their section. */
struct dns_zone {
	uint64_t number; /* control's */
	uint32_t space;
	uint32_t serial; /* of its SOA; goes up with each change, or with dns_zone_commit() */
	bool held, changed;
	bool dnskey;                 /* it has DNSKEY records, so that its answers must be signed */
	const struct dns_keys *keys; /* that sign them; NULL: not here, or not yet */
	uint32_t special; /* names that answer for others: wildcards, delegations, DNAMEs */
	size_t len;
	uint8_t origin[DNS_NAME_MAX];
};
struct dns_view {
	uint32_t number, space;
	uint64_t depths[2]; /* a bit for each number of labels that a zone here has */
	uint32_t links, count[128];
};

/* See dns_table_new(). */
struct dns_zones *dns_zones_new(int fd, bool *adopted, struct err *e)
	__attribute__((warn_unused_result));
void dns_zones_free(struct dns_zones *z);
struct dns_table *dns_zones_table(const struct dns_zones *z);

/* Makes a zone, or keeps the one of that number and origin; a new one begins with the serial. Another
 * origin is another zone: the old one's names go. ERR_LIMIT, ERR_NO_MEMORY. */
int dns_zone_put(struct dns_zones *z, uint64_t number, const uint8_t *origin, size_t len,
                 uint32_t serial, struct err *e) __attribute__((warn_unused_result));
/* With its names and links; absent does nothing. */
void dns_zone_drop(struct dns_zones *z, uint64_t number);
/* Lets a view see a zone; `flags`: DNS_LINK_. A zone of the same origin that it saw before is out of its
 * sight. */
int dns_link_put(struct dns_zones *z, uint32_t view, uint64_t zone, uint8_t flags, struct err *e)
	__attribute__((warn_unused_result));
void dns_link_drop(struct dns_zones *z, uint32_t view, uint64_t zone);
/* All that a name of the zone has (`name` is what stands before the origin); see dns_table_put(). The
 * zone's serial goes up with a change. ERR_NOT_FOUND: no such zone. */
int dns_name_put(struct dns_zones *z, uint64_t zone, const uint8_t *name, size_t len,
                 const struct dns_set *sets, size_t n, struct err *e)
	__attribute__((warn_unused_result));

/* The zone's keys (taken; NULL: none any more). Absent zone: they are freed. */
void dns_zone_keys(struct dns_zones *z, uint64_t zone, struct dns_keys *keys);
/* From now on the zone's serial goes up by dns_zone_commit() only; false: there was no change. */
void dns_zone_hold(struct dns_zones *z, uint64_t zone);
/* Its signatures are others now: that is a change, too. */
void dns_zone_touch(struct dns_zones *z, uint64_t zone);
bool dns_zone_commit(struct dns_zones *z, uint64_t zone, uint32_t *from, uint32_t *to);

/* A whole list: between the two, everything is put; what was not put is gone afterwards. */
void dns_list_begin(struct dns_zones *z);
/* Returns how many names that took away. */
size_t dns_list_end(struct dns_zones *z);

/* For readers, and the writer. NULL: none. */
const struct dns_view *dns_view_of(const struct dns_zones *z, uint32_t number);
const struct dns_zone *dns_zone_numbered(const struct dns_zones *z, uint64_t number);
/* The zone with the longest origin that the name is under, as the view sees it. */
const struct dns_zone *dns_zone_find(const struct dns_zones *z, const struct dns_view *v,
                                     const uint8_t *name, size_t len, uint8_t *flags);
/* Is another number after each change by which other names than the one that was put may be answered otherwise: of zones, of
 * what a view sees, of delegations, wildcards, DNAMEs, of keys. The writer's. */
uint64_t dns_zones_shape(const struct dns_zones *z);
/* Names with records in all zones. */
size_t dns_names(const struct dns_zones *z);
