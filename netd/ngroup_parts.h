/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading an NGroup's document. Internal to ngroup.c and ngroup_doc.c.
 */
#pragma once

#include "lb/rollout.h"
#include "netd/ngroup.h"

#define NG_GUID_LEN 36

/* How its members are made, as text that differs whenever they would be made differently. malloc'ed. */
char *ng_template(const struct resource *r);
/* The document of a member of that name and place; new reference, NULL with *e. */
json_t *ng_member(const struct resource *r, const char *name, const char *zone, struct err *e);
/* Keys of the pools that members are in; new reference. */
json_t *ng_pools(const struct resource *r);
uint32_t ng_grace(const struct resource *r);
void ng_settings(const struct resource *r, struct rollout *to, int64_t *pause_ms);
bool ng_standby(const struct resource *r);
json_t *ng_zones(const struct resource *r);       /* borrowed */
json_int_t ng_wanted(const struct resource *r);   /* how many members */
json_int_t ng_revision(const struct resource *r); /* that the document asks for; 0: the latest */
const char *ng_prefix(const struct resource *r);
struct resource *ng_profile(const struct resource *r); /* NULL: it is gone */
