/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The real kernel and the fake one, held against each other: the same owners through the same
 * reconcile, the same dumps afterwards; then strangers' hands. Runs in network and mount
 * namespaces of its own (tests/run unshares them).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "lb/plan.h"
#include "lib/base/own.h"
#include "netd/reconcile.h"
#include "tests/test.h"
#include "vnet/nsg.h"
#include "vnet/plan.h"

#define SETS 9

static char dir[] = "/tmp/netd-kernel-test.XXXXXX";
static const struct ip_prefix pools[] = { { { 4, { 198, 18 } }, 24 },
	                                  { { 6, { 0x20, 0x01, 0x0d, 0xb8, 0, 0x12 } }, 64 } };
static const struct ip_prefix subnet[] = { { { 4, { 10, 1 } }, 24 },
	                                   { { 6, { 0xfd, 0, 0, 1 } }, 64 } };

/* A security group with all that a rule can have, and a set of members. */
static void plan_rules(struct kset *to)
{
	struct nsg g = { .id = 42 };
	struct kobj members = { .ns = 16, .kind = KOBJ_SET, .sub = KOBJ_PSET_ADDR4 };
	bool ok = true;

	for (uint16_t i = 0; i < 40; i++) {
		struct nsg_rule *r = nsg_add(&g);
		struct ip_prefix a = { { 4, { 192, 0, (uint8_t)i } }, 24 },
				 b = { { 6, { 0x20, 1, (uint8_t)i } }, 64 },
				 last = { { 4, { 255, 255, 255, (uint8_t)i } }, 32 };

		assert_non_null(r);
		r->priority = (uint16_t)(100 + i);
		r->inbound = i % 3;
		r->allow = i % 2;
		r->proto = i % 4 ? 6 : 0;
		r->side[1].any = true;
		ok = ok && nsg_side_add(&r->side[0], &a) == 0 &&
		     nsg_side_add(&r->side[0], &b) == 0 &&
		     (i % 5 || nsg_side_add(&r->side[0], &last) == 0) &&
		     nsg_ports_add(r, 1, 443, 443) == 0 &&
		     (i % 7 || nsg_ports_add(r, 0, 1024, 65535) == 0);
		if (i == 39) {
			r->side[0].asgs[r->side[0].n_asgs++] = 5;
		}
	}
	assert_true(ok && nsg_add_defaults(&g) == 0);
	nsg_sort(&g);
	vnet_plan_nsg(&g, 16, to);
	for (uint8_t family = 4; family <= 6; family += 2) {
		nsg_asg_name(5, family, members.dev);
		members.sub = family == 4 ? KOBJ_PSET_ADDR4 : KOBJ_PSET_ADDR6;
		kset_add(to, &members);
	}
	nsg_fini(&g);
}

/* NAT gateway, routing table and a peering with another VNet, which has a router and no groups. */
static void plan_routing(struct kset *to)
{
	struct ip nat[] = { { 4, { 198, 18, 0, 210 } },
		            { 4, { 198, 18, 0, 211 } },
		            { 6, { 0x20, 0x01, 0x0d, 0xb8, 0, 0x12, [15] = 0xd0 } } };
	struct ip_prefix other[] = { { { 4, { 10, 2 } }, 16 }, { { 6, { 0xfd, 0, 0, 2 } }, 64 } };
	vnet_plan_vnet(&(struct plan_vnet){ .ns = 20, .mtu = 1450, .platform_address = true }, to);
	vnet_plan_nat(
		&(struct plan_nat){
			.id = 31, .vnet_ns = 16, .idle_s = 240, .addrs = nat, .n_addrs = 3 },
		to);
	for (int i = 0; i < 2; i++) {
		vnet_plan_peer(&(struct plan_peer){ .vnet_ns = i ? 20 : 16,
		                                    .peer_ns = i ? 16 : 20,
		                                    .mtu = 1450,
		                                    .prefixes = i ? subnet : other,
		                                    .n_prefixes = 2,
		                                    .own = i ? other : subnet,
		                                    .n_own = 2,
		                                    .forwarded = i },
		               to);
	}
}

/* The VNet's routers on two other nodes, one reached over IPv4, as this is. */
static void plan_nodes(struct kset *to)
{
	struct plan_router others[] = { { 2, { 4, { 10, 98, 0, 2 } } },
		                        { 4095, { 4, { 10, 98, 15, 255 } } } };
	struct ip_prefix far[] = { { { 4, { 10, 1, 0, 200 } }, 32 },
		                   { { 6, { 0xfd, 0, 0, 1, [15] = 200 } }, 128 } };

	vnet_plan_fabric(&(struct plan_fabric){ .vnet_ns = 16,
	                                        .vni = 0xffffff,
	                                        .mtu = 1450,
	                                        .self = { 1, { 4, { 10, 98, 0, 1 } } },
	                                        .others = others,
	                                        .n_others = 2,
	                                        .space = subnet,
	                                        .n_space = 2 },
	                 to);
	vnet_plan_remote(16, &far[0], 2, to);
	vnet_plan_remote(16, &far[1], 4095, to);
}

static void plan_groups(int groups, struct kset sets[])
{
	for (int i = 0; i < groups; i++) {
		struct plan_addr a[2] = {
			{ .prefix = subnet[0], .ip = subnet[0].ip, .pub = pools[0].ip },
			{ .prefix = subnet[1], .ip = subnet[1].ip, .pub = pools[1].ip }
		};
		struct plan_port ports[] = { { 6, 80 }, { 17, 53 } };

		for (int k = 0; k < 2; k++) {
			assert_true(ip_add(&a[k].ip, 4 + (uint64_t)i));
			assert_true(ip_add(&a[k].pub, 4 + (uint64_t)i));
		}
		vnet_plan_group(&(struct plan_group){ .ns = 32 + (uint32_t)i,
		                                      .vnet_ns = 16,
		                                      .bridge = 17,
		                                      .mtu = 1450,
		                                      .addrs = a,
		                                      .n_addrs = 2,
		                                      .ports = ports,
		                                      .n_ports = 2,
		                                      .forward = i == 0 },
		                &sets[i]);
		for (int k = 0; k < 2; k++) { /* a floating frontend of each family */
			struct lb_float f = { .vnet_ns = 16,
				              .front = a[k].pub,
				              .proto = 6,
				              .port = 80,
				              .number = 1 + (uint32_t)k };

			f.front.b[k ? 15 : 3] = 250;
			lb_plan_float(&f, &sets[i]);
			lb_plan_float_at(&f, 32 + (uint32_t)i, &a[k].ip, &sets[i]);
		}
	}
}

static void plan_all(int groups, struct kset sets[], size_t n)
{
	struct ip shared[] = { { 4, { 198, 18, 0, 200 } } };
	struct ip_prefix closed[] = { subnet[0], subnet[1] };
	/* The bit before the prefix's end is set in some. */
	struct ip_prefix vtag[] = { subnet[0],
		                    subnet[1],
		                    { { 4, { 10, 9 } }, 16 },
		                    { { 4, { 203, 0, 113, 7 } }, 32 },
		                    { { 6, { 0xfd, 0, 0, 9 } }, 64 },
		                    { { 4, { 255, 255, 255 } }, 24 } };
	struct plan_route routes[] = {
		{ { { 4, { 0 } }, 0 }, PLAN_HOP_DEVICE, { 4, { 10, 1, 0, 4 } }, "br17" },
		{ { { 6, { 0 } }, 0 }, PLAN_HOP_NONE, { 0 }, "" },
		{ subnet[0], PLAN_HOP_NEXT, { 0 }, "" },
		{ subnet[1], PLAN_HOP_NEXT, { 0 }, "" },
		{ { { 4, { 203, 0, 113 } }, 24 }, PLAN_HOP_INTERNET, { 0 }, "" },
	};

	assert_true(n >= (size_t)groups + 6);
	vnet_plan_gateway(&(struct plan_gateway){ .pools = pools,
	                                          .n_pools = 2,
	                                          .mtu = 1500,
	                                          .shortcut = true,
	                                          .linked = true,
	                                          .host4 = { 4, { 198, 18, 0, 1 } } },
	                  &sets[0]);
	vnet_plan_vnet(&(struct plan_vnet){ .ns = 16,
	                                    .mtu = 1450,
	                                    .shortcut = true,
	                                    .closed = closed,
	                                    .n_closed = 2,
	                                    .shared = shared,
	                                    .n_shared = 1,
	                                    .vtag = vtag,
	                                    .n_vtag = ARRAY_N(vtag) },
	               &sets[1]);
	plan_rules(&sets[2]);
	plan_routing(&sets[3]);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = 16,
	                                        .bridge = 17,
	                                        .mtu = 1450,
	                                        .prefixes = subnet,
	                                        .n_prefixes = 2,
	                                        .nsg = 42,
	                                        .nat = 31,
	                                        .table = KOBJ_TABLE_BASE + 17,
	                                        .egress = shared,
	                                        .n_egress = 1 },
	                 &sets[4]);
	vnet_plan_routes(16, KOBJ_TABLE_BASE + 17, routes, ARRAY_N(routes), &sets[4]);
	plan_nodes(&sets[5 + groups]);
	plan_groups(groups, &sets[5]);
}

static void dump_text(struct kernel *k, struct buf *to)
{
	struct kernel_ns *found = NULL;
	struct err e = ERR_INIT;
	int n = k->ns_list(k, &found, &e);

	for (uint32_t ns = 0; ns < 64; ns++) {
		struct kset have = { 0 };
		bool there = ns == 0;

		for (int i = 0; i < n; i++) {
			there = there || found[i].ns == ns;
		}
		if (!there) {
			continue;
		}
		if (k->dump(k, ns, &have, &e) < 0) {
			fail_msg("dump %u: %s", ns, e.msg);
		}
		for (size_t i = 0; i < have.n; i++) {
			struct kobj o = have.v[i];

			if (o.kind == KOBJ_LINK) {
				o.peer[0] = '\0';           /* the real dump cannot tell */
			} else if (o.kind == KOBJ_FILTER) { /* it gives the hash */
				buf_addf(to, "%u filter %s %02x%02x %08x\n", o.ns, o.dev, o.addr[2],
				         o.addr[3], o.flags);
				continue;
			}
			if (o.kind == KOBJ_LINK && o.sub == KOBJ_LINK_BRIDGE) {
				o.mtu = 0; /* a bridge takes its smallest port's */
			}
			kobj_format(&o, to);
			buf_addf(to, "\n");
		}
		kset_fini(&have);
	}
	free(found);
}

static void apply_all(struct kernel *k, struct reconcile *r, struct kset *sets, size_t n)
{
	struct err e = ERR_INIT;

	(void)k;
	for (size_t i = 0; i < n; i++) {
		if (reconcile_set(r, i + 1, sets[i].v, sets[i].n, &e) < 0) {
			fail_msg("owner %zu: %s", i + 1, e.msg);
		}
	}
}

static void assert_settled(struct reconcile *r, const char *what)
{
	struct reconcile_stats a, b;

	reconcile_stats(r, &a);
	reconcile_audit(r);
	do {
		reconcile_repair(r);
		reconcile_stats(r, &b);
	} while (b.pending > 0 && b.repairs == a.repairs && b.failures == a.failures);
	if (a.repairs != b.repairs || a.failures != b.failures) {
		fail_msg("%s: a second comparison found differences", what);
	}
}

static struct kernel *real_kernel(void)
{
	struct err e = ERR_INIT;
	struct kernel *k = kernel_linux_new(dir, &e);

	if (!k || kernel_linux_programs(k, &e) < 0) {
		fail_msg("%s", e.msg);
	}
	return k;
}

static void same_as_fake(void **state)
{
	struct kset sets[SETS] = { 0 };
	struct kernel *ks[2] = { real_kernel(), kernel_fake_new() };
	struct buf text[2] = { 0 };
	struct err e = ERR_INIT;

	(void)state;
	plan_all(3, sets, SETS);
	for (int i = 0; i < 2; i++) {
		struct reconcile *r = reconcile_new(ks[i], &clock_system);

		reconcile_begin(r);
		assert_int_equal(reconcile_end(r, &e), 0);
		apply_all(ks[i], r, sets, SETS);
		dump_text(ks[i], &text[i]);
		assert_settled(r, i ? "fake" : "real");
		for (uint64_t o = SETS; o > 0; o--) {
			if (reconcile_del(r, o, &e) < 0) {
				fail_msg("remove owner %d: %s", (int)o, e.msg);
			}
		}
		struct buf left = { 0 };
		usleep(i ? 0 : 300000);
		dump_text(ks[i], &left);
		assert_string_equal(buf_str(&left), "");
		buf_fini(&left);
		reconcile_free(r);
		ks[i]->free(ks[i]);
	}
	assert_string_equal(buf_str(&text[0]), buf_str(&text[1]));
	assert_true(text[0].len > 2000);
	buf_fini(&text[0]);
	buf_fini(&text[1]);
	for (int i = 0; i < SETS; i++) {
		kset_fini(&sets[i]);
	}
}

static struct reconcile *event_target;
static void on_event(void *arg, uint32_t ns, uint32_t index)
{
	(void)arg;
	reconcile_event(event_target, ns, index);
}

static void run(const char *fmt, const char *ns)
{
	char command[512], full[600];

	snprintf(command, sizeof(command), "%s", fmt);
	snprintf(full, sizeof(full), "nsenter --net=%s/ns/%s sh -c '%s'", dir, ns, command);
	assert_int_equal(system(full), 0);
}

/* A stranger's command in one namespace; afterwards one repair must bring everything back. */
static void repaired_after(struct kernel *k, struct reconcile *r, const char *ns, const char *cmd)
{
	struct buf before = { 0 }, after = { 0 };

	dump_text(k, &before);
	run(cmd, ns);
	for (int i = 0; i < 400; i++) { /* the back-off of a namespace grows up to 2 s */
		reconcile_audit(r);
		int64_t wait = reconcile_repair(r);
		buf_clear(&after);
		dump_text(k, &after);
		if (strcmp(buf_str(&before), buf_str(&after)) == 0) {
			break;
		}
		usleep(wait > 0 && wait < 50 ? (useconds_t)wait * 1000 + 1000 : 20000);
	}
	if (!before.len || strcmp(buf_str(&before), buf_str(&after)) != 0) {
		fail_msg("after '%s' in %s:\n%s\ninstead of:\n%s", cmd, ns, buf_str(&after),
		         buf_str(&before));
	}
	buf_fini(&before);
	buf_fini(&after);
}

/* What strangers do, and where. */
static const struct {
	const char *ns, *cmd;
} hands[] = {
	{ "v16", "nft flush ruleset" },
	{ "v16", "nft delete table bridge netd" },
	{ "v16", "nft flush chain inet netd nsg" },
	{ "v16", "nft insert rule inet netd nsg accept" },
	{ "v16", "nft flush set bridge netd port4" },
	{ "v16", "nft flush chain inet netd N2ai" },
	{ "v16", "nft insert rule inet netd N2ai return" },
	{ "v16", "nft add chain inet netd Nmine" },
	{ "v16", "nft delete element inet netd in4 { 10.1.0.0/24 }" },
	{ "v16", "nft delete element inet netd N2ao4 { 18-255 }" },
	{ "v16", "nft flush set inet netd N2ai69s4" },
	{ "v16", "ip link del p32" },
	{ "v16", "tc qdisc del dev p33 clsact" },
	{ "v16", "tc filter del dev p33 ingress" },
	{ "gw", "tc qdisc del dev v16 clsact" },
	{ "gw", "tc filter del block 110" },
	{ "v16", "ip link set br17 down" },
	{ "v16", "ip link del br17" },
	{ "v16", "ip route flush table main" },
	{ "v16", "ip addr flush dev gw0" },
	{ "v16", "ip rule del pref 30" },
	{ "v16", "ip rule del pref 50" },
	{ "v16", "ip route flush table 1017" },
	{ "v16", "ip route add blackhole 10.1.0.4/32 table 1017" },
	{ "v16", "ip route add 192.0.2.0/24 via 169.254.0.1 dev gw0 onlink" },
	{ "v16", "ip link del x20" },
	{ "v16", "ip link del vx16" },
	{ "v16", "ip link set vx16 down" },
	{ "v16", "ip link set vx16 mtu 1300 address 02:00:00:00:00:09" },
	{ "v16", "bridge fdb del 02:ff:00:00:00:02 dev vx16 dst 10.98.0.2" },
	{ "v16", "bridge fdb replace 02:ff:00:00:00:02 dev vx16 dst 10.98.0.9" },
	{ "v16", "bridge fdb append 02:ff:00:00:00:77 dev vx16 dst 10.98.0.9" },
	{ "v16",
	  "ip link del vx16; ip link add name vx16 index 16 type vxlan id 7 dstport 4789 local 10.98.0.1 nolearning" },
	{ "v16",
	  "ip link del vx16; ip link add name vx16 index 16 type vxlan id 16777215 dstport 4789 local 10.98.0.1" },
	{ "v16", "ip route del 10.1.0.200" },
	{ "v20", "ip link set x16 down" },
	{ "v20", "ip -6 route flush table 1016" },
	{ "v20", "ip addr del 168.63.129.16/32 dev lo" },
	{ "v16", "ip neigh flush all nud permanent" },
	{ "v16", "bridge link set dev p33 isolated off" },
	{ "gw", "nft flush ruleset" },
	{ "gw", "ip link del v16" },
	{ "gw", "ip -6 route flush table main" },
	{ "g32", "ip addr flush dev eth0" },
	{ "g32", "ip link set eth0 down" },
	{ "g32", "ip link del eth0" },
	{ "g32", "ip link set lo down" },
	{ "g33", "ip route flush table main" },
};

static void strangers(void **state)
{
	struct kset sets[SETS] = { 0 };
	struct kernel *k = real_kernel();
	struct reconcile *r = reconcile_new(k, &clock_system);
	struct err e = ERR_INIT;

	(void)state;
	plan_all(3, sets, SETS);
	event_target = r;
	(void)on_event;
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	apply_all(k, r, sets, SETS);
	for (size_t i = 0; i < ARRAY_N(hands); i++) {
		repaired_after(k, r, hands[i].ns, hands[i].cmd);
	}
	/* A new engine takes over what stands, and changes nothing but the programs at three ports, whose two
	 * frontends only the engine that bound them knows. */
	reconcile_free(r);
	k->free(k);
	k = real_kernel();
	r = reconcile_new(k, &clock_system);
	reconcile_begin(r);
	apply_all(k, r, sets, SETS);
	if (reconcile_end(r, &e) < 0) {
		fail_msg("take over: %s", e.msg);
	}
	struct reconcile_stats stats;
	reconcile_stats(r, &stats);
	assert_int_equal(stats.applied, 3 * 2);
	/* And one that is told of nothing removes all. */
	reconcile_begin(r);
	assert_int_equal(reconcile_end(r, &e), 0);
	struct kernel_ns *found = NULL;
	assert_int_equal(k->ns_list(k, &found, &e), 0);
	free(found);
	reconcile_free(r);
	k->free(k);
	for (int i = 0; i < SETS; i++) {
		kset_fini(&sets[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_fake),
		                            cmocka_unit_test(strangers) };

	if (!mkdtemp(dir) || mount("tmpfs", dir, "tmpfs", 0, NULL) < 0) {
		return 1;
	}
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return rc;
}
