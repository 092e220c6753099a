/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * One string out of a JSON object, without a parser: what the plugin must know before netd has read the document. What is no
 * object, or has other than plain characters there, gives nothing. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The value of a member of the outermost object, when it is a string of printable ASCII without escapes that fits, else *to
 * stays. Of equal members the first. */
bool scan_string(const char *json, const char *name, char *to, size_t size);
