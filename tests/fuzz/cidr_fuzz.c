/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses and prefixes from text: what is accepted is what inet_pton reads, prints back, and
 * obeys the arithmetic.
 */
#include <arpa/inet.h>
#include <string.h>

#include "lib/base/ip.h"
#include "tests/fuzz/fuzz.h"

static void address(const char *text)
{
	struct err e = ERR_INIT;
	struct ip ip, again;
	uint8_t judge[16] = { 0 };
	char printed[IP_TEXT];

	if (ip_parse(text, &ip, &e) < 0) {
		MUST(e.msg[0]);
		MUST(inet_pton(AF_INET, text, judge) != 1); /* all that is one is taken */
		return;
	}
	MUST(inet_pton(ip.family == 4 ? AF_INET : AF_INET6, text, judge) == 1);
	MUST(memcmp(judge, ip.b, ip.family == 4 ? 4 : 16) == 0);
	MUST(ip_parse(ip_format(&ip, printed), &again, &e) == 0 && ip_compare(&ip, &again) == 0);
	again = ip;
	if (ip_add(&again, 1000)) {
		MUST(ip_compare(&ip, &again) < 0 && ip_distance(&again, &ip) == 1000);
	} else {
		MUST(ip_compare(&ip, &again) == 0);
	}
}

static void prefix(const char *text)
{
	struct err e = ERR_INIT;
	struct ip_prefix p, again;
	char printed[IP_TEXT];

	if (ip_prefix_parse(text, &p, &e) < 0) {
		MUST(e.msg[0]);
		return;
	}
	struct ip last = ip_prefix_last(&p), next = last;
	MUST(p.len <= ip_bits(p.ip.family));
	MUST(ip_prefix_parse(ip_prefix_format(&p, printed), &again, &e) == 0);
	MUST(ip_prefix_covers(&p, &again) && ip_prefix_covers(&again, &p));
	MUST(ip_prefix_contains(&p, &p.ip) && ip_prefix_contains(&p, &last));
	MUST(!ip_add(&next, 1) || !ip_prefix_contains(&p, &next));
	uint64_t size = ip_prefix_size(&p), distance = ip_distance(&last, &p.ip);
	MUST(size == UINT64_MAX || distance == size - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = '\0';
	address(text);
	prefix(text);
	free(text);
	return 0;
}
