/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Request heads: refused with a status, or taken with a path, a host and one meaning of length.
 */
#include <string.h>

#include "netd/api/http.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct http_request r;
	int64_t length;
	bool close;
	char value[64];

	memset(&r, 0, sizeof(r));
	const uint8_t *end = memmem(data, len, "\r\n\r\n", 4); /* the server cuts there */
	len = end ? (size_t)(end - data) + 4 : len;
	int status = http_parse_head((const char *)data, len, &r, &length, &close);
	MUST(status == 0 || (status >= 400 && status < 600));
	if (status == 0) {
		MUST(r.path[0] == '/' && r.method[0] && length >= -1);
		MUST(!memchr(data, '\0', len) && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
		for (const char *p = r.path; *p; p++) {
			MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
		}
		(void)http_query(&r, "api-version", value, sizeof(value));
		(void)http_query(&r, "$top", value, sizeof(value));
	}
	return 0;
}
