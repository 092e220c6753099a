/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libmnl's attribute loops narrow a pointer difference inside the macro; here the warning is off
 * for that one expression only. Internal to lib/kernel.
 */
#pragma once

#include <libmnl/libmnl.h>

#pragma GCC diagnostic ignored "-Wconversion"
