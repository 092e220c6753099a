/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Addresses with ports, as configuration and requests write them.
 */
#include "lib/base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "tests/test.h"

static void endpoints(void **state)
{
	static const struct {
		const char *text;
		uint16_t preset;
		const char *ip; /* NULL: refused */
		uint16_t port;
	} cases[] = {
		{ "192.0.2.1:53", 0, "192.0.2.1", 53 },
		{ "192.0.2.1:65535", 0, "192.0.2.1", 65535 },
		{ "[2001:db8::1]:53", 0, "2001:db8::1", 53 },
		{ "[::]:1", 0, "::", 1 },
		{ "192.0.2.1", 53, "192.0.2.1", 53 },
		{ "192.0.2.1:54", 53, "192.0.2.1", 54 },
		{ "[2001:db8::1]", 53, "2001:db8::1", 53 },
		{ "2001:db8::1", 53, "2001:db8::1", 53 },
		{ "2001:db8::1:53", 53, "2001:db8::1:53", 53 },
		{ "192.0.2.1", 0, NULL, 0 },
		{ "2001:db8::1:53", 0, NULL, 0 },
		{ "[2001:db8::1]", 0, NULL, 0 },
		{ "", 53, NULL, 0 },
		{ ":53", 0, NULL, 0 },
		{ "[]:53", 0, NULL, 0 },
		{ "[::1:53", 0, NULL, 0 },
		{ "[::1]53", 0, NULL, 0 },
		{ "[192.0.2.1]:53", 0, NULL, 0 },
		{ "192.0.2.1:", 53, NULL, 0 },
		{ "192.0.2.1:0", 53, NULL, 0 },
		{ "192.0.2.1:053", 53, NULL, 0 },
		{ "192.0.2.1:+53", 53, NULL, 0 },
		{ "192.0.2.1:65536", 53, NULL, 0 },
		{ "192.0.2.1:4294967349", 53, NULL, 0 },
		{ "192.0.2.1:53 ", 53, NULL, 0 },
		{ "localhost:53", 0, NULL, 0 },
		{ "[::ffff:192.0.2.1]:53", 0, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		struct ip ip = { 0 };
		uint16_t port = 0;
		char text[IP_TEXT];
		int rc = ip_endpoint_parse(cases[i].text, cases[i].preset, &ip, &port, &e);

		if (!cases[i].ip) {
			assert_int_equal(rc, -1);
			assert_int_equal(e.code, ERR_INVALID);
			assert_int_equal(ip.family, 0); /* nothing was written */
			continue;
		}
		assert_int_equal(rc, 0);
		assert_string_equal(ip_format(&ip, text), cases[i].ip);
		assert_int_equal(port, cases[i].port);
	}
}

/* The C library reads back what was meant. */
static void sockets(void **state)
{
	static const struct ip v4 = { 4, { 192, 0, 2, 1 } },
			       v6 = { 6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
	struct sockaddr_storage sa;
	char text[INET6_ADDRSTRLEN];

	(void)state;
	assert_int_equal(ip_sockaddr(&v4, 53, &sa), sizeof(struct sockaddr_in));
	assert_int_equal(sa.ss_family, AF_INET);
	assert_int_equal(ntohs(((struct sockaddr_in *)&sa)->sin_port), 53);
	inet_ntop(AF_INET, &((struct sockaddr_in *)&sa)->sin_addr, text, sizeof(text));
	assert_string_equal(text, "192.0.2.1");
	assert_int_equal(ip_sockaddr(&v6, 53, &sa), sizeof(struct sockaddr_in6));
	assert_int_equal(sa.ss_family, AF_INET6);
	assert_int_equal(ntohs(((struct sockaddr_in6 *)&sa)->sin6_port), 53);
	inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&sa)->sin6_addr, text, sizeof(text));
	assert_string_equal(text, "2001:db8::1");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(endpoints),
		                            cmocka_unit_test(sockets) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
