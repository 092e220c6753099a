/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A load beside transactions under way: it sees each whole or not at all, and its errors are its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/loop.h"
#include "lib/store/store.h"
#include "tests/test.h"

#define TXNS 4000

struct seen {
	long a, b;
};

static int take(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct seen *s = arg;

	(void)rev;
	*(strcmp(key, "a") == 0 ? &s->a : &s->b) = atol(value);
	return 0;
}

static void written(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	assert_null(e);
	++*(int *)arg;
}

static void test_whole_transactions(void **state)
{
	char dir[] = "/tmp/netd-store.XXXXXX", text[32], command[80];
	struct err e = ERR_INIT;
	struct seen s = { 0 };
	int done = 0, loads = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	struct loop *l = loop_new();
	struct store *store = store_open(dir, l, &e);
	assert_non_null(store);
	for (int i = 1; i <= TXNS; i++) {
		snprintf(text, sizeof(text), "%d", i);
		store_submit(store,
		             (const struct store_op[]){ { .key = "a", .value = text },
		                                        { .key = "b", .value = text } },
		             2, written, &done);
		if (i % 8 == 0) {
			assert_int_equal(store_load(store, take, &s, &e), 0);
			assert_int_equal(s.a, s.b);
			loads++;
		}
	}
	store_close(store);
	assert_int_equal(done, TXNS);
	assert_int_equal(loads, TXNS / 8);
	loop_free(l);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_transactions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
