/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Answers put together from what was begun here and what somebody else said.
 */
#include "dns/splice.h"

#include "tests/test.h"
#include "tests/unit/dns/world.h"

/* Question "a A", and an alias to "b.c". */
static const uint8_t begun[] =
	"\1\2\1\0\0\1\0\1\0\0\0\0\1A\0\0\1\0\1\xc0\x0c\0\5\0\1\0\0\0\1\0\5\1b\1c";
#define BEGUN  sizeof(begun) /* the last zero is the root's label */
#define HEAD   "\0\0\x81\x80\0\1\0\1\0\0\0\0"
#define ASKED  "\1b\1c\0\0\1\0\1"
#define RECORD "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"

static size_t splice(const char *said, size_t len, bool edns, uint8_t *out)
{
	return dns_splice(begun, BEGUN, (const uint8_t *)said, len, edns, 512, out);
}

static void put_together(void **state)
{
	static const char said[] = HEAD ASKED RECORD;
	uint8_t out[512];
	size_t n = splice(said, sizeof(said) - 1, true, out);

	(void)state;
	assert_memory_equal(out, "\1\2\x81\x80\0\1\0\2\0\0\0\1", 12);
	assert_memory_equal(out + 12, begun + 12, BEGUN - 12);
	/* The record's owner is the alias's target, by a pointer into the first record. */
	assert_memory_equal(out + BEGUN, "\xc0\x1f\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", 16);
	assert_memory_equal(out + n - 11, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
	assert_int_equal(n, BEGUN + 16 + 11);
}

static void names_inside(void **state)
{
	/* b.c CNAME x.c, compressed; x.c A */
	static const char said[] =
		"\0\0\x81\x80\0\1\0\2\0\0\0\0" ASKED "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1x\xc0\x0e"
		"\xc0\x21\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1";
	uint8_t out[512];
	size_t n = splice(said, sizeof(said) - 1, false, out);

	(void)state;
	assert_int_equal(out[7], 3);
	assert_memory_equal(out + BEGUN + 2, "\0\5\0\1\0\0\0\x3c\0\5\1x\1c\0", 15);
	assert_memory_equal(out + n - 19, "\1x\1c\0\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1", 19);
}

static void refused(void **state)
{
	static const struct {
		const char *what, *said;
		size_t len;
	} cases[] = {
#define C(what, text) { what, text, sizeof(text) - 1 }
		C("nothing", ""),
		C("a query", "\0\0\1\0\0\1\0\0\0\0\0\0" ASKED),
		C("a pointer to itself", HEAD "\xc0\x0c\0\1\0\1"),
		C("a pointer forwards", HEAD ASKED "\xc0\x40\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"),
		C("a record that ends early",
		  HEAD ASKED "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\5\xc0\0\2\1"),
		C("no record", HEAD ASKED),
		C("two questions", "\0\0\x81\x80\0\2\0\0\0\0\0\0" ASKED ASKED),
		C("a name that leaves its record",
		  HEAD ASKED "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\3xyz\0"),
#undef C
	};
	uint8_t out[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = splice(cases[i].said, cases[i].len, true, out);

		if ((out[3] & 15) != DNS_SERVFAIL || out[7] != 0 || n != 19 + 11) {
			fail_msg("%s: rcode %d, %d answers, %zu bytes", cases[i].what, out[3] & 15,
			         out[7], n);
		}
	}
	assert_int_equal(dns_splice(begun, BEGUN, NULL, 0, false, 512, out), 19);
	assert_int_equal(dns_splice(begun, BEGUN - 1, NULL, 0, false, 512, out), 0);
}

static void truncated(void **state)
{
	char said[1024] = "\0\0\x81\x80\0\1\0\50\0\0\0\0" ASKED;
	size_t n = 12 + 9;
	uint8_t out[512];

	(void)state;
	for (int i = 0; i < 40; i++, n += 16) {
		memcpy(said + n, RECORD, 16);
	}
	size_t len = splice(said, n, true, out);
	assert_true(out[2] & 2);
	assert_int_equal(len, 19 + 11);
	assert_int_equal(out[7], 0);
}

static void other_rcodes(void **state)
{
	static const char said[] =
		"\0\0\x81\x83\0\1\0\0\0\1\0\0" ASKED
		"\xc0\x0e\0\6\0\1\0\0\0\x3c\0\x18\xc0\x0c\xc0\x0e\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";
	uint8_t out[512];

	(void)state;
	splice(said, sizeof(said) - 1, false, out);
	assert_int_equal(out[3] & 15, DNS_NXDOMAIN);
	assert_int_equal(out[7], 1); /* the alias is still true (RFC 2308 2.1) */
	assert_int_equal(out[9], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_together), cmocka_unit_test(names_inside),
		cmocka_unit_test(refused),      cmocka_unit_test(truncated),
		cmocka_unit_test(other_rcodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
