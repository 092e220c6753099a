/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Command lines as the POSIX shell quotes them.
 */
#include "lib/base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static void split(void **state)
{
	static const struct {
		const char *text, *words; /* with | between; NULL: refused */
	} cases[] = {
		{ "sh", "sh" },
		{ "  ls   -l\t/\n", "ls|-l|/" },
		{ "sh -c 'echo  a b'", "sh|-c|echo  a b" },
		{ "echo \"a  b\" c\\ d", "echo|a  b|c d" },
		{ "echo 'it'\\''s'", "echo|it's" },
		{ "echo \"a\\\"b\\n\"", "echo|a\"b\\n" },
		{ "echo '' x", "echo||x" },
		{ "a\"b\"'c'", "abc" },
		{ "echo $HOME *", "echo|$HOME|*" },
		{ "end\\", "end\\" },
		{ "", NULL },
		{ " \t\n", NULL },
		{ "sh 'x", NULL },
		{ "sh \"x", NULL },
		{ "sh \"x\\\"", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = ERR_INIT;
		char **v = NULL, text[200] = "";
		size_t n = 0;
		int rc = words_split(cases[i].text, &v, &n, &e);

		assert_int_equal(rc, cases[i].words ? 0 : -1);
		if (rc < 0) {
			assert_true(e.msg[0] != '\0');
			continue;
		}
		for (size_t k = 0; k < n; k++) {
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			         k ? "|" : "", v[k]);
		}
		assert_null(v[n]);
		assert_string_equal(text, cases[i].words);
		free(v);
	}
}

static void many(void **state)
{
	char text[2 * (WORDS_MAX + 1) + 1] = "", **v;
	struct err e = ERR_INIT;
	size_t n;

	(void)state;
	for (int i = 0; i <= WORDS_MAX; i++) {
		memcpy(text + 2 * i, "x ", 3);
	}
	assert_int_equal(words_split(text, &v, &n, &e), -1);
	text[2 * WORDS_MAX] = '\0';
	assert_int_equal(words_split(text, &v, &n, &e), 0);
	assert_int_equal(n, WORDS_MAX);
	assert_string_equal(v[WORDS_MAX - 1], "x");
	free(v);
}

static void listed(void **state)
{
	static const struct {
		const char *list, *words; /* with | behind each */
	} cases[] = {
		{ "", "|" },
		{ "a", "a|" },
		{ "a,b", "a|b|" },
		{ " a , b c ", "a|b c|" },
		{ ",", "||" },
		{ "a,,b", "a||b|" },
		{ "abcdefgh,x", "abcdefg|x|" }, /* as far as there is room */
	};
	char word[8];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[64] = "";

		for (size_t k = 0; words_listed(cases[i].list, k, word, sizeof(word)); k++) {
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s|", word);
		}
		assert_string_equal(text, cases[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(split), cmocka_unit_test(many),
		                            cmocka_unit_test(listed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
