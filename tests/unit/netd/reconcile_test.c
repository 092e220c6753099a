/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the reconciler does where a kernel refuses, is changed by others, or lets go late. Fake kernel, fake clock.
 */
#include "tests/unit/netd/reconcile.h"

#include "lb/plan.h"

static void on_event(void *arg, uint32_t ns, uint32_t index)
{
	reconcile_event(arg, ns, index);
}

static int (*apply_real)(struct kernel *k, uint32_t ns, const struct kop *ops, size_t n,
                         struct err *e);
#define NONE UINT32_MAX
static uint32_t refuses = NONE; /* this namespace */

static int apply_or_not(struct kernel *k, uint32_t ns, const struct kop *ops, size_t n,
                        struct err *e)
{
	return ns == refuses ? err_set(e, ERR_SYSTEM, 1, "namespace %u", ns)
	                     : apply_real(k, ns, ops, n, e);
}

/* What repair cannot make right either is told, with why, until it is right; a change of it is tried before that is said again. */
static void test_refused(void **state)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct want w[OWNERS] = { 0 };
	struct err e = ERR_INIT;
	const char *why = NULL;
	uint32_t ns = 0;
	size_t i = 0;

	(void)state;
	apply_real = k->apply;
	k->apply = apply_or_not;
	plan_base(w);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	assert_false(reconcile_trying(r));
	for (int n = 0; n < 5; n++) {
		assert_int_equal(reconcile_set(r, w[n].owner, w[n].set.v, w[n].set.n, &e), 0);
	}
	refuses = vnet_ns(0);
	assert_int_equal(reconcile_set(r, vnet_ns(0), w[1].set.v, w[1].set.n - 1, &e), -1);
	for (int n = 0; n < REFUSED_AFTER; n++) {
		assert_true(reconcile_trying(r));
		i = 0;
		assert_false(reconcile_refused(r, &i, &ns, &why));
		now_ms += reconcile_repair(r);
	}
	assert_false(reconcile_trying(r));
	i = 0;
	assert_true(reconcile_refused(r, &i, &ns, &why));
	assert_int_equal(ns, vnet_ns(0));
	assert_true(*why);
	assert_false(reconcile_refused(r, &i, &ns, &why));

	/* A change: told as before until it was tried. */
	assert_int_equal(reconcile_set(r, vnet_ns(0), w[1].set.v, w[1].set.n - 2, &e), -1);
	assert_true(reconcile_trying(r));
	i = 0;
	assert_true(reconcile_refused(r, &i, &ns, &why));
	reconcile_repair(r);
	assert_false(reconcile_trying(r));

	struct reconcile_stats s;
	reconcile_stats(r, &s);
	assert_int_equal(s.refused, 1);
	refuses = NONE;
	settle(r);
	i = 0;
	assert_false(reconcile_refused(r, &i, &ns, &why));
	reconcile_stats(r, &s);
	assert_int_equal(s.refused, 0);

	/* A link's inner end waits for the outer one: only who refuses that is told. */
	plan_group(&w[1 + 3 * VNETS], 0);
	const struct want *g = &w[1 + 3 * VNETS];
	assert_int_equal(reconcile_set(r, w[1].owner, w[1].set.v, w[1].set.n, &e), 0);
	assert_int_equal(reconcile_set(r, g->owner, g->set.v, g->set.n, &e), 0);
	refuses = vnet_ns(0);
	for (size_t n = 0; n < g->set.n; n++) {
		if (g->set.v[n].kind == KOBJ_LINK && g->set.v[n].sub == KOBJ_LINK_PEER) {
			kernel_fake_lose(k, &g->set.v[n]);
		}
	}
	reconcile_audit(r);
	for (int n = 0; n < 10 * REFUSED_AFTER; n++) {
		now_ms += reconcile_repair(r);
	}
	i = 0;
	assert_true(reconcile_refused(r, &i, &ns, &why));
	assert_int_equal(ns, vnet_ns(0));
	assert_false(reconcile_refused(r, &i, &ns, &why));
	refuses = NONE;
	settle(r);
	i = 0;
	assert_false(reconcile_refused(r, &i, &ns, &why));

	/* What goes is not refused any more. */
	refuses = vnet_ns(1);
	assert_int_equal(reconcile_set(r, vnet_ns(1), w[4].set.v, w[4].set.n - 1, &e), -1);
	for (int n = 0; n < REFUSED_AFTER; n++) {
		now_ms += reconcile_repair(r);
	}
	reconcile_stats(r, &s);
	assert_int_equal(s.refused, 1);
	for (int n = 4; n < 7; n++) {
		assert_int_equal(reconcile_del(r, w[n].owner, &e), 0);
	}
	i = 0;
	assert_false(reconcile_refused(r, &i, &ns, &why));
	assert_false(reconcile_trying(r));
	refuses = NONE;
	for (int n = 0; n < OWNERS; n++) {
		kset_fini(&w[n].set);
	}
	reconcile_free(r);
	k->free(k);
}

static int (*dump_real)(struct kernel *k, uint32_t ns, struct kset *to, struct err *e);
static const struct kobj *stolen; /* after the next dump of its namespace */

static int dump_and_steal(struct kernel *k, uint32_t ns, struct kset *to, struct err *e)
{
	int rc = dump_real(k, ns, to, e);

	if (stolen && stolen->ns == ns) {
		const struct kobj *o = stolen;

		stolen = NULL;
		kernel_fake_lose(k, o);
	}
	return rc;
}

/* What a stranger takes between the look at a namespace and its repair is seen all the same. */
static void test_taken_during_repair(void **state)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct want w[OWNERS] = { 0 };
	struct err e = ERR_INIT;
	AUTO_BUF struct buf before = { 0 }, after = { 0 };
	const struct kobj *route = NULL;

	(void)state;
	plan_base(w);
	k->watch(k, NULL, on_event, r);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e), 0);
	}
	for (size_t i = 0; i < w[1].set.n; i++) {
		if (w[1].set.v[i].kind == KOBJ_ROUTE && w[1].set.v[i].ns == vnet_ns(0)) {
			route = &w[1].set.v[i];
		}
	}
	assert_non_null(route);
	settle(r);
	text(k, &before);
	dump_real = k->dump;
	k->dump = dump_and_steal;
	stolen = route;
	reconcile_audit(r);
	now_ms += 20000;
	settle(r);
	assert_null(stolen);
	text(k, &after);
	assert_string_equal(buf_str(&before), buf_str(&after));
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

static void assert_leaves_by(struct kernel *k, uint8_t last)
{
	struct buf all = { 0 };
	char line[80];

	snprintf(line, sizeof(line), "outtcp4 10.1.2.4 : 198.18.0.%u 1024-65535\n", last);
	text(k, &all);
	assert_non_null(strstr(buf_str(&all), line));
	assert_ptr_equal(strstr(buf_str(&all), "outtcp4"), strstr(buf_str(&all), line));
	buf_fini(&all);
}

/* A backend of two load balancers leaves by the lower address, in whatever order they come, change and go. */
static void test_wanted_otherwise(void **state)
{
	struct want w[OWNERS] = { 0 };
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct reconcile_stats before, after;
	struct err e = ERR_INIT;
	static const struct {
		uint8_t owner, front, counts; /* front 0: goes */
	} steps[] = { { 0, 5, 5 }, { 1, 7, 5 }, { 1, 3, 3 }, { 1, 9, 5 }, { 0, 8, 8 }, { 2, 2, 2 },
		      { 0, 1, 1 }, { 0, 0, 2 }, { 2, 0, 9 }, { 2, 9, 9 }, { 1, 0, 9 } };

	(void)state;
	plan_base(w);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e), 0);
	}
	for (size_t i = 0; i < ARRAY_N(steps); i++) {
		struct lb_out p = { .vnet_ns = vnet_ns(0),
			            .backend = { 4, { 10, 1, 2, 4 } },
			            .front = { 4, { 198, 18, 0, steps[i].front } },
			            .proto = 6,
			            .first = 1024,
			            .last = 65535 };
		struct kset set = { 0 };

		lb_plan_out(&p, &set);
		reconcile_stats(r, &before);
		assert_int_equal(reconcile_set(r, 500 + steps[i].owner, set.v,
		                               steps[i].front ? set.n : 0, &e),
		                 0);
		assert_leaves_by(k, steps[i].counts);
		reconcile_audit(r);
		settle(r);
		reconcile_stats(r, &after);
		assert_int_equal(after.repairs, before.repairs);
		kset_fini(&set);
	}
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

/* Two load balancers want the same chain of idle times and the same backend's elements: nothing is found to
 * repair while both do, and all stays while one does. */
static void test_wanted_twice(void **state)
{
	struct want w[OWNERS] = { 0 };
	struct kset lb[2] = { 0 };
	struct slots_member backend = { { 4, { 10, 1, 2, 4 } }, 1 };
	struct slots none = { 0 }, slots;
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct reconcile_stats stats;
	struct buf both = { 0 }, one = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	plan_base(w);
	assert_int_equal(slots_next(&none, &backend, 1, &slots), 0);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < 2; i++) {
		struct lb_port p = { .vnet_ns = vnet_ns(0),
			             .front = { 4, { 198, 18, 0, (uint8_t)i } },
			             .inner = true,
			             .proto = 6,
			             .port = 80,
			             .to_port = 80,
			             .idle_min = 4,
			             .slots = &slots };

		assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e), 0);
		lb_plan_port(&p, &lb[i]);
	}
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(reconcile_set(r, 500 + i, lb[i].v, lb[i].n, &e), 0);
		text(k, i ? &both : &one);
	}
	reconcile_audit(r);
	settle(r);
	reconcile_stats(r, &stats);
	assert_int_equal(stats.repairs, 0);
	assert_int_equal(reconcile_del(r, 501, &e), 0);
	buf_clear(&both);
	text(k, &both);
	assert_string_equal(buf_str(&one), buf_str(&both));
	buf_fini(&one);
	buf_fini(&both);
	slots_fini(&slots);
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	kset_fini(&lb[0]);
	kset_fini(&lb[1]);
	reconcile_free(r);
	k->free(k);
}

static bool link_there(struct kernel *k, uint32_t ns, const char *dev)
{
	struct kset have = { 0 };
	struct err e = ERR_INIT;
	bool found = false;

	assert_int_equal(k->dump(k, ns, &have, &e), 0);
	for (size_t i = 0; i < have.n && !found; i++) {
		found = have.v[i].kind == KOBJ_LINK && strcmp(have.v[i].dev, dev) == 0;
	}
	kset_fini(&have);
	return found;
}

static uint64_t audited(struct reconcile *r)
{
	struct reconcile_stats s;

	reconcile_audit(r);
	settle(r);
	reconcile_stats(r, &s);
	return s.repairs;
}

/* Groups go, and the kernel takes their links down later: until then, repair leaves them alone. */
static void test_leaving(void **state)
{
	struct want w[OWNERS] = { 0 };
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct err e = ERR_INIT;
	AUTO_BUF struct buf now = { 0 }, should = { 0 };

	(void)state;
	seed = 7;
	plan_base(w);
	for (unsigned i = 0; i < 6; i++) {
		plan_group(&w[1 + 3 * VNETS + i], i);
	}
	k->watch(k, NULL, on_event, r);
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < OWNERS; i++) {
		assert_true(!w[i].set.n ||
		            reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e) == 0);
	}
	uint64_t before = audited(r);

	kernel_fake_linger(k, true);
	assert_int_equal(reconcile_del(r, 100, &e), 0);
	assert_int_equal(reconcile_del(r, 103, &e), 0);
	now_ms += 9000;
	assert_int_equal(audited(r), before);
	assert_true(link_there(k, vnet_ns(0), "p100"));
	kernel_fake_linger(k, false);
	assert_int_equal(audited(r), before);
	w[1 + 3 * VNETS].set.n = w[1 + 3 * VNETS + 3].set.n = 0;
	text(k, &now);
	replan(w, &should);
	assert_string_equal(buf_str(&now), buf_str(&should));

	/* One that something holds on to is taken down after all. */
	kernel_fake_linger(k, true);
	assert_int_equal(reconcile_del(r, 101, &e), 0);
	assert_int_equal(audited(r), before);
	now_ms += 11000;
	assert_int_equal(audited(r), before + 1);
	assert_false(link_there(k, vnet_ns(1), "p101"));

	/* An engine that begins anew drops what its list does not name. */
	reconcile_free(r);
	r = reconcile_new(k, &clock_fake);
	reconcile_begin(r);
	for (int i = 0; i < OWNERS; i++) {
		bool named = w[i].set.n && w[i].owner != 101 && w[i].owner != 102;

		assert_true(!named ||
		            reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e) == 0);
	}
	assert_int_equal(reconcile_end(r, &e), 0);
	assert_true(link_there(k, vnet_ns(2), "p102"));
	kernel_fake_linger(k, false);
	assert_false(link_there(k, vnet_ns(2), "p102"));
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

static uint32_t gone_ns;

static void on_gone(void *arg, uint32_t ns)
{
	(void)arg;
	gone_ns = ns;
}

/* A runtime's namespace: repaired while it is there, and when it is gone nothing of its group stays, and nobody else waits. */
static void test_guest(void **state)
{
	static const struct ip_prefix prefix = { { 4, { 10, 1, 2 } }, 24 };
	const uint8_t mac[6] = { 6, 0, 0, 0, 0, 1 };
	struct plan_addr a = { .prefix = prefix, .ip = { 4, { 10, 1, 2, 9 } } };
	struct plan_map map = { { 4, { 198, 18, 0, 9 } }, 6, 8080, 80 };
	struct want w[OWNERS] = { 0 };
	struct kset set = { 0 };
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct err e = ERR_INIT;
	struct kobj link = {
		.ns = vnet_ns(0), .kind = KOBJ_LINK, .sub = KOBJ_LINK_VETH, .dev = "p100"
	};
	AUTO_BUF struct buf without = { 0 }, with = { 0 }, now = { 0 };

	(void)state;
	plan_base(w);
	k->watch(k, NULL, on_event, r);
	reconcile_on_gone(r, on_gone, NULL);
	gone_ns = 0;
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e), 0);
	}
	text(k, &without);
	vnet_plan_group(&(struct plan_group){ .ns = 100,
	                                      .vnet_ns = vnet_ns(0),
	                                      .bridge = bridge_id(0, 0),
	                                      .mtu = 1450,
	                                      .guest = true,
	                                      .mac = mac,
	                                      .maps = &map,
	                                      .n_maps = 1,
	                                      .addrs = &a,
	                                      .n_addrs = 1 },
	                &set);
	assert_int_equal(reconcile_set(r, 100, set.v, set.n, &e), 0);
	text(k, &with);
	assert_non_null(strstr(buf_str(&with), "n100"));
	assert_null(strstr(buf_str(&with), "100 link lo")); /* the runtime's */
	assert_int_equal(reconcile_check(r, 100, &e), 0);

	kernel_fake_lose(k, &link);
	assert_int_equal(reconcile_check(r, 100, &e), -1);
	assert_int_equal(e.kind, ERR_NOT_FOUND);
	settle(r);
	text(k, &now);
	assert_string_equal(buf_str(&with), buf_str(&now));
	assert_int_equal(gone_ns, 0);

	/* A restart of the engine, with a list: what is there is taken over. */
	reconcile_begin(r);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(reconcile_set(r, w[i].owner, w[i].set.v, w[i].set.n, &e), 0);
	}
	assert_int_equal(reconcile_set(r, 100, set.v, set.n, &e), 0);
	assert_int_equal(reconcile_end(r, &e), 0);
	buf_clear(&now);
	text(k, &now);
	assert_string_equal(buf_str(&with), buf_str(&now));

	assert_int_equal(k->ns_del(k, 100, KOBJ_NETNS_GUEST, &e), 0);
	reconcile_event(r, vnet_ns(0), 100);
	settle(r);
	assert_int_equal(gone_ns, 100);
	buf_clear(&now);
	text(k, &now);
	assert_string_equal(buf_str(&without), buf_str(&now));
	assert_int_equal(reconcile_check(r, 100, &e), -1);
	assert_int_equal(reconcile_del(r, 100, &e), 0);

	/* One that is detached: its link goes later, and is no difference until then. */
	assert_int_equal(reconcile_set(r, 100, set.v, set.n, &e), 0);
	uint64_t before = audited(r);
	kernel_fake_linger(k, true);
	assert_int_equal(reconcile_del(r, 100, &e), 0);
	assert_int_equal(audited(r), before);
	assert_true(link_there(k, vnet_ns(0), "p100"));
	kernel_fake_linger(k, false);
	assert_false(link_there(k, vnet_ns(0), "p100"));
	kset_fini(&set);
	for (int i = 0; i < OWNERS; i++) {
		kset_fini(&w[i].set);
	}
	reconcile_free(r);
	k->free(k);
}

/* A ruleset that becomes another takes nothing along that other owners have in it. */
static void test_ruleset_changes(void **state)
{
	struct kernel *k = kernel_fake_new();
	struct reconcile *r = reconcile_new(k, &clock_fake);
	struct ip pub = { 4, { 198, 18, 0, 9 } }, other = { 4, { 198, 18, 0, 10 } },
		  member = { 4, { 10, 98, 0, 2 } };
	struct plan_gateway gw = { .mtu = 1500 };
	struct kset set = { 0 }, vnet = { 0 }, have = { 0 };
	struct err e = ERR_INIT;
	size_t sources = 0, members = 0;

	(void)state;
	vnet_plan_gateway(&gw, &set);
	vnet_plan_vnet(&(struct plan_vnet){ .ns = 16, .mtu = 1500 }, &vnet);
	vnet_plan_public(16, &pub, &vnet);
	vnet_plan_public(16, &other, &vnet);
	assert_int_equal(reconcile_set(r, 1, set.v, set.n, &e), 0);
	assert_int_equal(reconcile_set(r, 16, vnet.v, vnet.n, &e), 0);
	kset_fini(&set);
	gw.linked =
		true; /* nodes have come: the gateway's ruleset is another, and the host has one */
	snprintf(gw.underlay, sizeof(gw.underlay), "under0");
	gw.members = &member;
	gw.n_members = 1;
	vnet_plan_gateway(&gw, &set);
	assert_int_equal(reconcile_set(r, 1, set.v, set.n, &e), 0);
	assert_int_equal(k->dump(k, KOBJ_NS_GATEWAY, &have, &e), 0);
	assert_int_equal(k->dump(k, KOBJ_NS_HOST, &have, &e), 0);
	for (size_t i = 0; i < have.n; i++) {
		sources += have.v[i].kind == KOBJ_ELEM && have.v[i].sub == KOBJ_SET_SOURCE4;
		members += have.v[i].kind == KOBJ_ELEM && have.v[i].sub == KOBJ_SET_MEMBER4;
	}
	assert_int_equal(sources, 2);
	assert_int_equal(members, 1);
	kset_fini(&have);
	kset_fini(&set);
	kset_fini(&vnet);
	reconcile_free(r);
	k->free(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_ruleset_changes),
		cmocka_unit_test(test_wanted_twice),
		cmocka_unit_test(test_wanted_otherwise),
		cmocka_unit_test(test_taken_during_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
