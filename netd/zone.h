/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Private DNS zones: their documents, records and links to VNets, and what the dns role is told of all
 * names, public ones too. Zones, links and record sets are resources of their own, with rows of their own:
 * a zone of many records costs a record's change no more than one of few.
 * zone.c: documents; zone_record.c: records as documents and as data; zone_names.c: what is answered.
 */
#pragma once

#include "dns/name.h"
#include "dns/record.h"
#include "netd/part.h"
#include "netd/plane.h"
#include "netd/where.h"

#define ZONE_TYPE         "Microsoft.Network/privateDnsZones"
#define ZONE_RECORDS_MAX  100000u /* record sets of a zone (Azure: 25,000) */
#define ZONE_LINKS_MAX    1000u   /* as Azure */
#define ZONE_REGISTER_MAX 100u    /* links with registration; as Azure */

struct node;
/* In memory beside a zone's resource. */
struct zone {
	uint8_t origin[DNS_NAME_MAX];
	size_t len;
	unsigned records, links, registering;
};

/* ---- zone.c ---- */
bool zone_is(const struct resource *r);
bool zone_is_link(const struct resource *r);
bool zone_is_record(const struct resource *r);
/* Is that the path of a link or record set, or of a list of them? */
bool zone_path(const struct model_id *id);
/* PUT of a zone, link or record set (`r` NULL: new). */
int zone_put(struct resource *r, const struct model_id *id, const char *full,
             const struct model_type *type, json_t *doc, struct change *ret, struct err *e);
/* May it go? ERR_CONFLICT CannotDeleteResource. */
int zone_removable(const struct resource *r, struct err *e);
/* Its row is about to go: what depends on it goes before. */
void zone_gone(struct resource *r);
/* After the store was loaded. */
void zone_load(void);
/* What the service adds to the view of a zone, link or record set. */
void zone_view(const struct resource *r, json_t *doc);
/* The zone of a link or record set; NULL: gone. */
struct resource *zone_of(const struct resource *r);
/* The VNet that a link names; NULL: gone. */
struct resource *zone_link_vnet(const struct resource *link);
/* The record set that nobody put: by registration of groups, or a new zone's SOA; NULL: none. New reference. */
json_t *zone_view_registered(const struct resource *zone, const char *type, const char *name);

/* ---- zone_record.c ---- */
/* Checks a record set's document; `name` is relative, "@" the zone's own. */
int zone_record_check(const char *type, const char *name, const json_t *doc, struct err *e);
/* The document's records into `to`. */
void zone_record_data(const char *type, const json_t *doc, struct dns_sets *to);
/* The zone's SOA record: of the document, or as a new zone has it. */
void zone_record_soa(const json_t *doc, struct dns_sets *to);
/* The properties that every zone's SOA document begins with; new reference. */
json_t *zone_record_soa_doc(void);
/* Types of record sets, NULL at the end; and the one of that name in any case. */
extern const char *const zone_record_types[];
const char *zone_record_type(const char *name);
/* A name relative to a zone, as in a record set's path, in wire format; -1: none. */
int zone_record_name(const char *name, uint8_t to[DNS_NAME_MAX]);

/* ---- zone_health.c ---- */
/* The metadata of a record set that has to do with health: is it as it may be? ERR_INVALID. */
int zone_health_check(const char *type, const json_t *doc, struct err *e)
	__attribute__((warn_unused_result));
/* May the zone's owner have one more that knows? ERR_CONFLICT. */
int zone_health_room(struct resource *zone, const char *name, const char *type, const json_t *doc,
                     struct err *e) __attribute__((warn_unused_result));
/* Something may be up that was down, or the other way round. */
void zone_health_turned(void);
/* Sees to it that names are answered with what is up; now and then. */
void zone_health_look(int64_t now_ms);

/* ---- zone_names.c ---- */
/* A group's names begin or end to be answered: its public one, those in zones of its VNet, reverse ones. The dns
 * role's answer carries the request's number. */
void zone_group(const struct resource *g, bool there, uint64_t request);
/* Do its names stand now? */
bool zone_group_registered(const struct resource *g);
/* Does a group have any name to wait for? */
bool zone_group_named(const struct resource *g);
/* ---- zone_keys.c ---- */
void zone_keys_load(const char *origin, const json_t *row);
void zone_keys_sweep(void);
/* Called once a change is durable (e NULL), or the disk refused it. */
typedef void zone_stored_fn(void *arg, const struct err *e, uint64_t rev);
/* A new key-signing key beside the old; and: the parent has its DS (once CDS names it). ERR_CONFLICT, ERR_NOT_FOUND, ERR_SYSTEM: `done` is
 * not called then. */
int zone_keys_roll(const char *origin, zone_stored_fn *done, void *arg, struct err *e);
int zone_keys_seen(const char *origin, zone_stored_fn *done, void *arg, struct err *e);
/* [{"tag", "kind", "state", "since", "ds", "parent"}]; new reference. */
json_t *zone_keys_view(const char *origin, const uint8_t *wire, size_t len);

/* ---- zone_public.c ---- */
/* A public name with these addresses begins or ends to be answered. */
void zone_public(uint64_t request, const char *fqdn, const struct ip *addrs, size_t n, bool there);
/* Did the administrator give the name records? Then it is no label to have. */
bool zone_public_fixed(const char *fqdn);
/* A record set of a public zone, of the administrator: doc NULL removes it. 1: `done` will be called; 0: there was
 * none; -1. */
int zone_public_put(const char *zone, const char *type, const char *name, json_t *doc,
                    zone_stored_fn *done, void *arg, struct err *e);
void zone_public_load(const char *what, json_t *row); /* "ZONE/TYPE/NAME" of the store */
/* Looks whether a zone's file has changed, now and then. */
void zone_public_look(int64_t now_ms);
/* How much of a path is a public zone's name, the longest; 0: it begins with none. */
size_t zone_public_starts(const char *path);
bool zone_public_number(const char *zone, uint64_t *number); /* false: no such zone */
json_t *zone_public_view(void); /* [{"name", "file", "fileRecords"}]; new reference */
/* A zone or its link came or changed, a record set did, or is about to go. */
void zone_tell(const struct resource *zone);
void zone_tell_gone(const struct resource *zone);
void zone_tell_link(const struct resource *link, bool there);
void zone_tell_record(const struct resource *record, bool there);
/* The VNet lives in the kernel as it is now, or not any more. */
void zone_tell_vnet(uint32_t vnet);
void zone_tell_vnet_gone(uint32_t vnet);
/* What VNets forward may have changed. */
void zone_tell_vnets(void);
/* Public zones' serials have come this far; none is used again after a restart. */
void zone_serial(uint32_t serial);
void zone_serial_load(const json_t *row);
/* Between the two, everything that is for that node is told; its dns role has come up. */
void zone_list_begin(struct node *n);
void zone_list_end(struct node *n);
/* Calls fn(arg) once all dns roles answer with what they were told so far; at once when they are away, or silent (node_silent()). */
void zone_wait(void (*fn)(void *arg), void *arg);
/* That node's answered; is away. zone_dns_up(): is there, and is told all; group.c. */
void zone_answered(struct node *n, uint64_t request);
void zone_dns_gone(struct node *n);
void zone_sweep_silent(int64_t now_ms);
void zone_node_gone(const struct node *n); /* it is no more */
void zone_dns_up(struct node *n);
/* Links of a VNet, or of a zone, in no order; NULL at the end. */
struct zone_link_walk {
	uint32_t vnet, zone; /* the number of one, the other 0 */
	const struct where_entry *after;
};
struct resource *zone_next_link(struct zone_link_walk *w);
/* What registration makes of a name in the zone, as a record set's properties; NULL: nothing, or somebody put one
 * of that type or an alias. New reference. */
json_t *zone_registered_properties(const struct resource *zone, const char *type, const char *name);
/* Names that are registered in the zone, [{"type", "name"}]; and how many record sets that makes. */
json_t *zone_registered_list(const struct resource *zone);
unsigned zone_count_registered(const struct resource *zone);
