/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the CNI plugin reads of a document that netd has not read yet.
 */
#include "clients/cni/scan.c"

#include <stdlib.h>
#include <string.h>

#include "tests/test.h"

static void strings(void **state)
{
	static const struct {
		const char *json, *value; /* NULL: nothing */
	} cases[] = {
		{ "{\"socket\":\"/run/x\"}", "/run/x" },
		{ " \n{ \"socket\" : \"/run/x\" , \"a\": 1}", "/run/x" },
		{ "{\"a\":{\"socket\":\"/evil\"},\"socket\":\"/run/x\"}", "/run/x" },
		{ "{\"a\":[{\"socket\":\"/evil\"}],\"b\":\"socket\",\"socket\":\"/run/x\"}",
		  "/run/x" },
		{ "{\"a\":\"\\\",\\\"socket\\\":\\\"/evil\",\"socket\":\"/run/x\"}", "/run/x" },
		{ "{\"a\":\"}\",\"b\":\"]\",\"socket\":\"/run/x\"}", "/run/x" },
		{ "{\"a\":1.5e3,\"b\":true,\"c\":null,\"socket\":\"\"}", "" },
		{ "{\"socket\":\"one\",\"socket\":\"two\"}", "one" },
		{ "{\"args\":{\"socket\":\"/evil\"}}", NULL },
		{ "{\"socketPath\":\"/x\"}", NULL },
		{ "{\"socket\":1}", NULL },
		{ "{\"socket\":[\"/x\"]}", NULL },
		{ "{\"socket\":\"/a\\u0000b\"}", NULL },
		{ "{\"socket\":\"/a\nb\"}", NULL },
		{ "{\"socket\":\"0123456789012345678901234567890\"}", NULL }, /* too long */
		{ "{\"socket\":\"/unended", NULL },
		{ "{\"socket\"", NULL },
		{ "{\"socket", NULL },
		{ "{\"a\":{\"b\":[", NULL },
		{ "{\"a\\", NULL },
		{ "[\"socket\",\"/x\"]", NULL },
		{ "\"socket\"", NULL },
		{ "{", NULL },
		{ "", NULL },
		{ NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[24] = "as it was";
		bool got = scan_string(cases[i].json, "socket", to, sizeof(to));

		assert_int_equal(got, cases[i].value != NULL);
		assert_string_equal(to, cases[i].value ? cases[i].value : "as it was");
	}
}

/* Whatever a document is cut to, nothing is read behind its end: each copy ends where its memory does. */
static void cut(void **state)
{
	static const char whole[] = "{\"a\":{\"b\":[1,\"\\\"x\"]},\"socket\":\"/run/x\",\"c\":[]}";

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		char *part = strndup(whole, n), to[24] = "";

		assert_int_equal(scan_string(part, "socket", to, sizeof(to)),
		                 n >= (size_t)(strstr(whole, "run/x\"") - whole) + 6);
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(strings), cmocka_unit_test(cut) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
