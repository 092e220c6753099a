/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Documents with parts that have paths of their own: subnets, peerings, security rules, routes. A part
 * lives inside its parent's document and is changed with it. See plane.h.
 */
#pragma once

#include "netd/plane.h"

/* PUT of a whole document (`r` NULL: a new one), and of a part. */
int part_put_whole(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                   struct change *ret, struct err *e);
int part_put(const struct model_id *id, const char *full, const struct model_type *type,
             json_t *doc, struct change *ret, struct err *e);

/* ---- what change.c has for it ---- */
/* The document as it is kept; its etag tells of a change. */
void change_set(struct resource *r, const json_t *doc);
/* The kernel's part of a change, beside its commit. */
void change_replan(struct resource *r);
/* ---- change_group.c ---- */
/* PUT of a container group (`r` NULL: new), its document checked by its type. */
int change_put_group(struct resource *r, const char *id, const struct model_type *type, json_t *doc,
                     void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
                     struct err *e);
