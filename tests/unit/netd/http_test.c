/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The request head: what must be taken, and what must be refused (reliability facts 36).
 */
#include "netd/api/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static int parse(const char *text, struct http_request *r)
{
	int64_t length;
	bool close;

	memset(r, 0, sizeof(*r));
	return http_parse_head(text, strlen(text), r, &length, &close);
}

static void taken(void **state)
{
	struct http_request r;
	char v[32];

	(void)state;
	assert_int_equal(parse("PUT //subscriptions/a%20b?api-version=2023-05-01&x=%41 HTTP/1.1\r\n"
	                       "Host: h\r\nContent-Length: 4\r\nIf-Match: *\r\n\r\n",
	                       &r),
	                 0);
	assert_string_equal(r.path, "/subscriptions/a b");
	assert_string_equal(r.method, "PUT");
	assert_string_equal(r.if_match, "*");
	assert_true(http_query(&r, "API-Version", v, sizeof(v)));
	assert_string_equal(v, "2023-05-01");
	assert_true(http_query(&r, "x", v, sizeof(v)));
	assert_string_equal(v, "A");
	assert_false(http_query(&r, "y", v, sizeof(v)));
}

static void upgrades(void **state)
{
	static const struct {
		const char *connection;
		bool upgrades;
	} cases[] = { { "Upgrade", true },
		      { "upgrade", true },
		      { "keep-alive, Upgrade", true },
		      { "keep-alive ,\tupgrade ,x", true },
		      { "keep-alive", false },
		      { "Upgraded", false },
		      { "x upgrade", false },
		      { ",,", false } };
	struct http_request r;
	char text[300];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(
			text, sizeof(text),
			"GET /exec/x HTTP/1.1\r\nHost: h\r\nConnection: %s\r\nUpgrade: websocket\r\n"
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
			"Sec-WebSocket-Protocol: a, b\r\n\r\n",
			cases[i].connection);
		assert_int_equal(parse(text, &r), 0);
		assert_int_equal(r.upgrades, cases[i].upgrades);
		assert_string_equal(r.upgrade, "websocket");
		assert_string_equal(r.ws_key, "dGhlIHNhbXBsZSBub25jZQ==");
		assert_string_equal(r.ws_version, "13");
		assert_string_equal(r.ws_protocol, "a, b");
	}
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n",
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: \001\r\n\r\n",
		"GET /\001 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /%0a HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://x/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct http_request r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(bad[i], &r) == 0) {
			fail_msg("taken: %s", bad[i]);
		}
	}
}

static void garbage(void **state)
{
	static const char good[] = "PUT /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
	unsigned seed = (unsigned)atoi(getenv("SEED") ? getenv("SEED") : "1");
	struct http_request r;
	int64_t length;
	bool close;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		size_t n = (size_t)(rand_r(&seed) % (int)sizeof(good));
		char *text = malloc(n + 1);

		memcpy(text, good, n);
		for (int k = rand_r(&seed) % 4; k > 0 && n; k--) {
			text[(size_t)rand_r(&seed) % n] = (char)rand_r(&seed);
		}
		memset(&r, 0, sizeof(r));
		int rc = http_parse_head(text, n, &r, &length, &close);
		assert_true(rc == 0 || (rc >= 400 && rc < 600));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(taken), cmocka_unit_test(upgrades),
		                            cmocka_unit_test(refused), cmocka_unit_test(garbage) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
