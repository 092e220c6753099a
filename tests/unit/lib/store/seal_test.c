/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sealed text opens with its key, in its place, whole; and not otherwise.
 */
#include "lib/store/seal.h"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static const uint8_t one[SEAL_KEY] = { 1, 2, 3 }, two[SEAL_KEY] = { 1, 2, 4 };

static void test_opens(void **state)
{
	struct err e = ERR_INIT;
	static char long_one[100000];

	(void)state;
	seal_key(one);
	for (size_t len = 0; len < sizeof(long_one); len = len * 3 + 1) {
		char *text = seal(long_one, len, "profile/x", &e), *back;
		size_t n = 77;

		assert_non_null(text);
		back = unseal(text, "profile/x", &n, &e);
		assert_non_null(back);
		assert_int_equal(n, len);
		assert_memory_equal(back, long_one, len);
		free(back);
		free(text);
	}
}

static void test_tells_nothing_and_never_repeats(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	seal_key(one);
	char *a = seal("canary", 6, "p", &e), *b = seal("canary", 6, "p", &e);
	assert_null(strstr(a, "canary"));
	assert_string_not_equal(a, b);
	free(a);
	free(b);
}

static void test_refuses(void **state)
{
	struct err e = ERR_INIT;
	size_t n;

	(void)state;
	seal_key(one);
	char *text = seal("secret", 6, "here", &e);
	assert_null(unseal(text, "there", &n, &e));
	assert_int_equal(e.kind, ERR_INVALID);
	seal_key(two);
	assert_null(unseal(text, "here", &n, &e));
	seal_key(one);
	for (size_t i = 0; text[i]; i++) { /* every digit counts */
		char was = text[i];

		text[i] = was == '0' ? '1' : '0';
		assert_null(unseal(text, "here", &n, &e));
		text[i] = was;
	}
	for (size_t len = strlen(text); len-- > 0;) {
		text[len] = '\0';
		assert_null(unseal(text, "here", &n, &e));
	}
	free(text);
	assert_null(unseal("", "here", &n, &e));
	assert_null(unseal("1:zz", "here", &n, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_tells_nothing_and_never_repeats),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
