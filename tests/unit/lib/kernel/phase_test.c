/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * In which transaction each step of a change of rules is: what is new is made before anything leads
 * there, and goes when nothing does any more. Pure: no root.
 */
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/nft_phase.h"
#include "tests/test.h"

static struct kobj object(enum kobj_kind kind, uint8_t sub, const char *name)
{
	struct kobj o = { .ns = 16, .kind = (uint8_t)kind, .sub = sub };

	memcpy(o.dev, name, strlen(name));
	return o;
}

static void change(void **state)
{
	struct kobj leaf = object(KOBJ_CHAIN, 0, "L2"), old_leaf = object(KOBJ_CHAIN, 0, "L1");
	struct kobj filter = object(KOBJ_FILTER, 0, "L2"),
		    old_filter = object(KOBJ_FILTER, 0, "L1");
	struct kobj map = object(KOBJ_SET, KOBJ_PMAP_PORT, "N9"),
		    old_map = object(KOBJ_SET, KOBJ_PMAP_PORT, "N8");
	struct kobj in_new = object(KOBJ_ITEM, KOBJ_PMAP_PORT, "N9"),
		    in_old = object(KOBJ_ITEM, KOBJ_PMAP_PORT, "N8"),
		    turned = object(KOBJ_ITEM, KOBJ_PMAP_PORT, "N7"),
		    counter = object(KOBJ_COUNTER, 0, "c2ai64"),
		    elem = object(KOBJ_ELEM, KOBJ_SET_IN4, ""),
		    route = object(KOBJ_ROUTE, KOBJ_ROUTE_THROW, "");
	const struct {
		struct kop op;
		uint8_t phase;
	} steps[] = {
		{ { KOP_DEL, &in_old }, NFT_PHASE_CLEAR },
		{ { KOP_DEL, &turned }, NFT_PHASE_TURN },
		{ { KOP_DEL, &old_filter }, NFT_PHASE_CLEAR },
		{ { KOP_DEL, &old_leaf }, NFT_PHASE_CLEAR },
		{ { KOP_DEL, &old_map }, NFT_PHASE_CLEAR },
		{ { KOP_ADD, &route }, NFT_PHASE_TURN },
		{ { KOP_ADD, &map }, NFT_PHASE_MAKE },
		{ { KOP_ADD, &counter }, NFT_PHASE_MAKE },
		{ { KOP_ADD, &leaf }, NFT_PHASE_MAKE },
		{ { KOP_ADD, &filter }, NFT_PHASE_MAKE },
		{ { KOP_SET, &elem }, NFT_PHASE_TURN },
		{ { KOP_ADD, &in_new }, NFT_PHASE_MAKE },
		{ { KOP_ADD, &turned }, NFT_PHASE_TURN },
	};
	struct kop ops[ARRAY_N(steps)];
	uint8_t phase[ARRAY_N(steps)];

	(void)state;
	for (size_t i = 0; i < ARRAY_N(steps); i++) {
		ops[i] = steps[i].op;
	}
	assert_true(nft_phases(ops, ARRAY_N(ops), phase));
	for (size_t i = 0; i < ARRAY_N(steps); i++) {
		assert_int_equal(phase[i], steps[i].phase);
	}
}

/* A ruleset as a whole, or a name of two lives, is one transaction. */
static void whole(void **state)
{
	struct kobj ruleset = object(KOBJ_RULESET, KOBJ_RULESET_VNET, "");
	struct kobj leaf = object(KOBJ_CHAIN, 0, "L2"),
		    map = object(KOBJ_SET, KOBJ_PMAP_PORT, "N9"),
		    other = object(KOBJ_SET, KOBJ_PMAP_ADDR4, "N9");
	struct kop comes[] = { { KOP_ADD, &ruleset }, { KOP_ADD, &leaf } };
	struct kop twice[] = { { KOP_DEL, &map }, { KOP_ADD, &other }, { KOP_ADD, &leaf } };
	uint8_t phase[3];

	(void)state;
	assert_true(nft_phases(comes, 2, phase));
	assert_true(phase[0] == NFT_PHASE_TURN && phase[1] == NFT_PHASE_TURN);
	assert_true(nft_phases(twice, 3, phase));
	assert_true(phase[0] == NFT_PHASE_TURN && phase[1] == NFT_PHASE_TURN &&
	            phase[2] == NFT_PHASE_TURN);
	assert_true(nft_phases(NULL, 0, phase));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(change), cmocka_unit_test(whole) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
