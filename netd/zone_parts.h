/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What zone_names.c (names) and zone_view.c (who sees which zones) share. Internal to netd's zones.
 */
#pragma once

#include "dns/cookie.h"
#include "netd/node.h"
#include "netd/zone.h"

/* Numbers of zones that are nobody's resource: public ones, a VNet's own, and its reverse zones. Those of private
 * zones are their resources'. */
enum {
	ZONE_GROUPS = 1,    /* LABEL.REGION.azurecontainer.io */
	ZONE_ADDRESSES = 2, /* LABEL.REGION.cloudapp.azure.com */
};

#define REGISTERED_NEGATIVE \
	5 /* seconds that a missing name may be remembered: names come in milliseconds */

/* ---- zone_node.c ---- */
/* To each dns role that has the zone; to that node's. */
void zone_send(uint64_t zone, enum msg_type type, const struct buf *body);
void zone_send_to(struct node *n, enum msg_type type, const struct buf *body);
/* The node, another than control's, gets the private zone with all its names, unless it has it. */
void zone_bring(struct node *n, const struct resource *zone);
/* It loses those that no VNet on it is linked to. */
void zone_trim(struct node *n);
void zone_gone_everywhere(uint64_t number);
/* What is said from now on is for that node alone, whose list it is; NULL: for all again. */
void zone_only(struct node *n);

/* Names on their way to dns roles, in as few messages as they fit in. */
struct batch {
	uint64_t request;
	struct batch_part {
		struct node *node;
		struct buf body;
		unsigned names;
	} * v;
	size_t n;
};
void batch_begin(struct batch *b, uint64_t request);
/* All that the name has; the sets are given up. */
void batch_name(struct batch *b, uint64_t zone, const uint8_t *name, size_t len,
                struct dns_sets *sets);
void batch_end(struct batch *b);

/* ---- zone_names.c ---- */
void zone_send_zone(uint64_t number, const uint8_t *origin, size_t len);
void zone_tell_groups(uint32_t vnet);
void zone_tell_registration(const struct resource *zone, uint32_t vnet);
void zone_list_private(void);
void zone_tell_whole(const struct resource *zone); /* itself and all its names */

/* ---- zone_view.c ---- */
uint32_t zone_serial_next(void);  /* that a new zone begins with */
uint64_t zone_own(uint32_t vnet); /* the zone of the VNet's groups' own names */
/* The reverse zone of an address in the VNet, and the name inside it; false: none. */
bool zone_reverse_at(uint32_t vnet, const struct ip *ip, uint64_t *zone, uint8_t name[DNS_NAME_MAX],
                     size_t *len);
/* SOA and NS of a zone that nobody gave others. */
void zone_preset_apex(const uint8_t *origin, size_t len, uint32_t negative_s, struct dns_sets *to);
/* Reverse zones that cover a prefix exactly: how many, and the origin of the i-th. */
size_t zone_pieces(const struct ip_prefix *p);
size_t zone_piece_origin(const struct ip_prefix *p, size_t i, uint8_t to[DNS_NAME_MAX]);

/* ---- zone_keys.c ---- */
/* The dns role gets the keys of a public zone, none when it is not signed. */
void zone_keys_tell(uint64_t zone, const char *origin);
bool zone_keys_any(const char *origin); /* is it signed? */
void zone_keys_records(const char *origin, const uint8_t *wire, size_t len, struct dns_sets *to);

/* ---- zone_file.c ---- */
/* A record of a file. */
struct zone_file_record {
	uint8_t name[DNS_NAME_MAX]; /* inside the zone */
	uint8_t len;
	uint16_t type, n;
	uint32_t ttl_s;
	uint8_t *data;
};
/* Reads a whole master file into *ret, sorted by name; ERR_INVALID names the line that is wrong. Blocks for the disk. */
int zone_file_read(const char *path, const uint8_t *zone, size_t zone_len,
                   struct zone_file_record **ret, size_t *n_ret, struct err *e)
	__attribute__((warn_unused_result));
void zone_file_free(struct zone_file_record *v, size_t n);
int zone_file_order(const void *a, const void *b); /* of two records, by name */

/* ---- zone_health.c ---- */
/* A record set's document as it is answered now, and from now on it is looked after: without addresses that are down.
 * `zone` is the dns role's number, `tenant` its owner's (0: a public zone), `name` relative. New reference. */
json_t *zone_health_doc(uint64_t zone, uint32_t tenant, const char *name, const char *type,
                        json_t *doc);
/* The record set, or all of the zone, is not there any more. */
void zone_health_forget(uint64_t zone, const char *name, const char *type);
void zone_health_forget_zone(uint64_t zone);
/* The name is told anew. */
void zone_name_again(uint32_t zone, const char *name);
void zone_public_again(uint64_t zone, const char *name);

/* ---- zone_catalog.c ---- */
/* What the catalog's own names have; then each member, by its origin. */
void zone_catalog_begin(struct batch *b, uint64_t zone);
void zone_catalog_member(struct batch *b, uint64_t zone, const uint8_t *origin, size_t len);

/* ---- zone_public.c ---- */
bool zone_is_public(uint64_t number);
void zone_public_keys(const char *origin); /* they have changed */
/* A public name's addresses begin or end to be answered, by name and in reverse; "" does nothing. */
void zone_public_name(struct batch *b, const char *fqdn, const struct ip *addrs, size_t n,
                      bool there);
void zone_public_list(void);
/* Links to all public zones, but for those that are hidden (NULL: none is). */
void zone_public_links(struct buf *b, unsigned *n,
                       bool (*hidden)(void *arg, const uint8_t *origin, size_t len), void *arg);
