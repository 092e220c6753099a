/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is at an address of a VNet: a table of values by VNet and address, several at one too. Memory only;
 * one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/ip.h"

struct where_entry {
	uint32_t vnet;
	struct ip ip;
	uintptr_t value;
	struct where_entry *next;
};
struct where {
	struct where_entry **slot;
	size_t n, cap;
};

/* A place of its own for any bytes, names say: a digest of them. */
struct ip where_named(const void *bytes, size_t n);
/* The pair is there once, however often it is added. */
void where_add(struct where *w, uint32_t vnet, const struct ip *ip, uintptr_t value);
void where_drop(struct where *w, uint32_t vnet, const struct ip *ip, uintptr_t value);
/* The first entry (after NULL), or the next one, of that address; NULL: no more. Entries last until they
 * are dropped. */
const struct where_entry *where_next(const struct where *w, uint32_t vnet, const struct ip *ip,
                                     const struct where_entry *after);
