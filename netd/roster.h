/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which groups a VNet has: what concerns one VNet need not look at all groups. Memory only; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resource;

/* The group is in the VNet, or not any more; said once each. */
void roster_note(uint32_t vnet, const struct resource *group, bool there);
/* The i-th of its groups, in no order; NULL: no more. Places change as groups come and go. */
struct resource *roster_at(uint32_t vnet, size_t i);
