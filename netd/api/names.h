/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about names: what a VNet, or the public, is answered; a zone as a master file; the administrator's records in
 * public zones. The dns role is asked, and answers later.
 */
#pragma once

#include "netd/api/caller.h"
#include "netd/node.h"
#include "netd/plane.h"

/* /netd/dns/...: the administrator's. */
void names_request(struct http_request *r, const struct caller *who);
/* GET {VNet}/dnsLookup?name=&type=, GET {private zone}/zoneFile; false: it is not for this. */
bool names_of(struct http_request *r, const struct resource *x, const char *what);
/* Answers of that node's dns role; it is away. */
void names_answer(const struct node *n, uint64_t token, struct reader *r);
void names_part(const struct node *n, uint64_t token, struct reader *r);
void names_dns_gone(const struct node *n);
