/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cmocka with what its header needs before it.
 */
#pragma once

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
