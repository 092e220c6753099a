/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What another server said, spliced behind an alias: nothing over the limit, always an answer to our question.
 */
#include <string.h>

#include "dns/splice.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t begun[] =
	"\1\2\1\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\5\0\1\0\0\0\1\0\5\1b\1c";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const size_t limits[] = { 512, 1232, 65535 };

	for (size_t i = 0; i < 3; i++) {
		uint8_t *out = malloc(limits[i]);
		size_t n = dns_splice(begun, sizeof(begun), data, len, i & 1, limits[i], out);

		MUST(n >= 19 && n <= limits[i]);
		MUST(memcmp(out, begun, 2) == 0 && out[2] & 0x80);
		MUST(memcmp(out + 12, begun + 12, 7) == 0);
		free(out);
	}
	return 0;
}
