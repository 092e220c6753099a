/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Blocks of addresses: whose an address is, where the next one is taken, and a block without some of its addresses.
 */
#include "vnet/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/vnet/addr.h"

/* Groups' addresses. */
static struct ip has[4096];
static size_t n_has;

static bool used(void *arg, const struct ip *a)
{
	(void)arg;
	for (size_t i = 0; i < n_has; i++) {
		if (ip_compare(&has[i], a) == 0) {
			return true;
		}
	}
	return false;
}

static struct {
	struct blocks b;
	struct ipam m;
	int64_t now;
} t;

static void begin(const char *prefix)
{
	struct ip_prefix p = net(prefix);

	blocks_fini(&t.b);
	ipam_fini(&t.m);
	ipam_init(&t.m, &p, 4, 1);
	n_has = 0;
	t.now = 1000;
}

/* A group on the node; "-": none is left. With + behind: the block is new to the node. */
static const char *take(uint32_t node)
{
	static char text[IP_TEXT + 1];
	struct err e = ERR_INIT;
	struct ip got;
	bool claimed;

	if (blocks_take(&t.b, &t.m, node, 1, t.now, used, NULL, &got, &claimed, &e) < 0) {
		assert_int_equal(e.kind, ERR_LIMIT);
		return "-";
	}
	has[n_has++] = got;
	ip_format(&got, text);
	return claimed ? strcat(text, "+") : text;
}

static void give(const char *text)
{
	struct ip a = ip(text);

	for (size_t i = 0; i < n_has; i++) {
		if (ip_compare(&has[i], &a) == 0) {
			has[i] = has[--n_has];
			break;
		}
	}
	ipam_give(&t.m, &a, 1, t.now + 300);
	blocks_given(&t.b, &t.m.prefix, &a);
}

static uint32_t owner(const char *text)
{
	struct ip a = ip(text);

	return blocks_node(&t.b, &t.m.prefix, &a);
}

static void each_its_own(void **state)
{
	(void)state;
	begin("10.1.2.0/24");
	assert_string_equal(take(1), "10.1.2.4+"); /* the first four are the subnet's */
	assert_string_equal(take(2), "10.1.2.16+");
	assert_string_equal(take(1), "10.1.2.5");
	assert_string_equal(take(2), "10.1.2.17");
	for (int i = 6; i < 16; i++) {
		(void)take(1);
	}
	assert_string_equal(take(1), "10.1.2.32+"); /* the first one is full */
	assert_int_equal(owner("10.1.2.1"), 1);
	assert_int_equal(owner("10.1.2.31"), 2);
	assert_int_equal(owner("10.1.2.47"), 1);
	assert_int_equal(owner("10.1.2.48"), 0);
	/* What came back rests while there is another, and is had again afterwards. */
	give("10.1.2.17");
	assert_string_equal(take(2), "10.1.2.18");
	give("10.1.2.6");
	assert_string_equal(take(1), "10.1.2.33");
	t.now += 301;
	assert_string_equal(take(1), "10.1.2.6");
	give("10.1.2.9");
	t.now += 1;
	give("10.1.2.7");
	t.now += 301;
	assert_string_equal(take(1), "10.1.2.9"); /* who came back first */
	assert_string_equal(take(1), "10.1.2.7");
	assert_string_equal(take(1), "10.1.2.34");
}

static void small(void **state)
{
	(void)state;
	begin("10.1.2.0/28"); /* one block: the second node has addresses of it all the same */
	assert_string_equal(take(1), "10.1.2.4+");
	assert_string_equal(take(2), "10.1.2.5");
	for (int i = 6; i < 15; i++) {
		(void)take(2);
	}
	assert_string_equal(take(1), "-");
	give("10.1.2.9");
	assert_string_equal(take(2), "10.1.2.9"); /* rests, but there is no other */
	begin("10.1.2.0/30");
	assert_string_equal(take(1), "-");
	begin("10.1.2.248/29"); /* less than a block */
	assert_string_equal(take(3), "10.1.2.252+");
	assert_int_equal(owner("10.1.2.248"), 3);
	begin("fd00:9::/64");
	assert_string_equal(take(1), "fd00:9::4+");
	assert_string_equal(take(2), "fd00:9::10+");
}

static void taken_over(void **state)
{
	(void)state;
	begin("10.1.2.0/27");
	assert_string_equal(take(1), "10.1.2.4+");
	assert_string_equal(take(2), "10.1.2.16+");
	give("10.1.2.16");
	/* Nobody is in it, so whose it was does not matter when there is no other. */
	assert_string_equal(take(3), "10.1.2.17+");
	assert_int_equal(owner("10.1.2.16"), 3);
	assert_string_equal(take(2), "10.1.2.5"); /* none is left: an address of another's block */
	/* Of a block that has a group in it nobody becomes the owner. */
	blocks_drop(&t.b, 1);
	assert_int_equal(owner("10.1.2.4"), 0);
	struct ip a = ip("10.1.2.9");
	assert_false(blocks_claim(&t.b, &t.m.prefix, &a, 2, used, NULL));
	give("10.1.2.4");
	give("10.1.2.5");
	assert_true(blocks_claim(&t.b, &t.m.prefix, &a, 2, used, NULL));
	assert_false(blocks_claim(&t.b, &t.m.prefix, &a, 4, used, NULL));
	assert_int_equal(owner("10.1.2.4"), 2);
}

/* Any order of coming and going: no address twice, all that are left are found, and blocks are where groups are. */
static void churn(void **state)
{
	(void)state;
	begin("10.1.0.0/23");
	srand(7);
	for (int i = 0; i < 20000; i++) {
		t.now += rand() % 3;
		if (n_has > 0 && rand() % 2) {
			char text[IP_TEXT];

			give(ip_format(&has[(size_t)rand() % n_has], text));
		} else {
			size_t before = n_has;
			const char *got = take(1 + (uint32_t)rand() % 5);

			assert_int_equal(n_has == before, strcmp(got, "-") == 0);
			assert_true(n_has > before || before == 512 - 5);
		}
		for (size_t k = 0; n_has > 1 && k < n_has - 1; k++) {
			assert_int_not_equal(ip_compare(&has[k], &has[n_has - 1]), 0);
		}
	}
	for (size_t k = 1; k < t.b.n; k++) {
		assert_true(ip_compare(&t.b.v[k - 1].first, &t.b.v[k].first) < 0);
	}
}

static void without(void **state)
{
	static const struct {
		const char *block, *out, *left; /* with | behind each */
	} cases[] = {
		{ "10.1.2.16/28", "", "10.1.2.16/28|" },
		{ "10.1.2.16/28", "10.1.2.16|",
		  "10.1.2.17/32|10.1.2.18/31|10.1.2.20/30|10.1.2.24/29|" },
		{ "10.1.2.16/28", "10.1.2.31|",
		  "10.1.2.16/29|10.1.2.24/30|10.1.2.28/31|10.1.2.30/32|" },
		{ "10.1.2.16/28", "10.1.2.20|10.1.2.21|",
		  "10.1.2.16/30|10.1.2.22/31|10.1.2.24/29|" },
		{ "10.1.2.248/31", "10.1.2.248|10.1.2.249|", "" },
		{ "fd00::10/124", "fd00::18|",
		  "fd00::10/125|fd00::19/128|fd00::1a/127|fd00::1c/126|" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ip_prefix block = net(cases[i].block), to[BLOCKS_SIZE];
		struct ip out[BLOCKS_SIZE];
		char list[200], text[300] = "", one[IP_TEXT];
		size_t n = 0;

		snprintf(list, sizeof(list), "%s", cases[i].out);
		for (char *x = strtok(list, "|"); x; x = strtok(NULL, "|")) {
			out[n++] = ip(x);
		}
		n = blocks_without(&block, out, n, to);
		for (size_t k = 0; k < n; k++) {
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s|",
			         ip_prefix_format(&to[k], one));
		}
		assert_string_equal(text, cases[i].left);
	}
	/* Every choice of addresses: as many are left as are not among them. */
	struct ip_prefix block = net("10.1.2.16/28"), to[BLOCKS_SIZE];

	for (unsigned mask = 0; mask < 1u << BLOCKS_SIZE; mask += 7) {
		struct ip out[BLOCKS_SIZE], a = block.ip;
		uint64_t left = 0;
		size_t n = 0;

		for (unsigned k = 0; k < BLOCKS_SIZE; k++) {
			if (mask >> k & 1) {
				out[n++] = a;
			}
			(void)ip_add(&a, 1);
		}
		size_t count = blocks_without(&block, out, n, to);
		for (size_t k = 0; k < count; k++) {
			left += ip_prefix_size(&to[k]);
			for (size_t j = 0; j < n; j++) {
				assert_false(ip_prefix_contains(&to[k], &out[j]));
			}
		}
		assert_int_equal(left, BLOCKS_SIZE - n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_its_own), cmocka_unit_test(small),
		cmocka_unit_test(taken_over),   cmocka_unit_test(churn),
		cmocka_unit_test(without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
