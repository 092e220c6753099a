/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hot names, the engine's part: the program that answers them (lib/kernel/names.h) is loaded, and held at the devices that
 * the configuration names, as they come and go; the dns role gets its maps. Nothing of it is needed: without, the
 * sockets answer. One thread; blocks for the kernel's work.
 */
#pragma once

#include "netd/role.h"

/* Loads, when a device is configured; warns when the kernel refuses. */
void engine_hot_begin(const struct config *c);
/* Devices and addresses may be others; every now and then. */
void engine_hot_check(void);
/* MSG_NAMES_HOT_ASK: the maps, if there are any. */
void engine_hot_tell(struct channel *dns);
