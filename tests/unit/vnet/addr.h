/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses and prefixes from text, for tests.
 */
#pragma once

#include "lib/base/ip.h"
#include "tests/test.h"

static inline struct ip ip(const char *text)
{
	struct ip a;
	struct err e = ERR_INIT;

	assert_int_equal(ip_parse(text, &a, &e), 0);
	return a;
}

static inline struct ip_prefix net(const char *text)
{
	struct ip_prefix p;
	struct err e = ERR_INIT;

	assert_int_equal(ip_prefix_parse(text, &p, &e), 0);
	return p;
}
