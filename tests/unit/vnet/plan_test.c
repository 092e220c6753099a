/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Plans against golden files that a person can read (make golden writes them). Pure: no root.
 */
#include "vnet/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "tests/unit/vnet/addr.h"

static void golden(const char *name, struct kset *set)
{
	struct buf text = { 0 };
	struct err e = ERR_INIT;
	char path[200], have[16384] = "";

	kset_sort(set);
	for (size_t i = 0; i < set->n; i++) {
		if (kobj_check(&set->v[i], &e) < 0) {
			fail_msg("the engine would refuse: %s", e.msg);
		}
		kobj_format(&set->v[i], &text);
		buf_addf(&text, "\n");
	}
	snprintf(path, sizeof(path), "tests/unit/vnet/golden/%s", name);
	const char *mode = getenv("GOLDEN") ? "we" : "re";
	FILE *f = fopen(path, mode);
	assert_non_null(f);
	if (mode[0] == 'w') {
		fwrite(text.data, 1, text.len, f);
	} else {
		have[fread(have, 1, sizeof(have) - 1, f)] = '\0';
		assert_string_equal(buf_str(&text), have);
	}
	fclose(f);
	buf_fini(&text);
	kset_fini(set);
}

static void gateway(void **state)
{
	struct ip_prefix pools[] = { net("192.0.2.64/26"), net("2001:db8:1::/64") };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_gateway(&(struct plan_gateway){ .pools = pools,
	                                          .n_pools = 2,
	                                          .mtu = 1500,
	                                          .shortcut = true,
	                                          .uplink = "eth7",
	                                          .uplink_mac = { 2, 0, 0, 0, 0, 9 },
	                                          .hop4 = ip("192.0.2.1") },
	                  &set);
	golden("gateway.txt", &set);
}

static void group(void **state)
{
	struct ip shared = ip("198.18.0.9");
	struct ip_prefix subnet[] = { net("10.1.0.0/24"), net("fd00:1::/64") };
	struct plan_addr a[] = { { subnet[0], ip("10.1.0.4"), ip("198.18.0.4") },
		                 { subnet[1], ip("fd00:1::4"), { 0 } } };
	struct plan_port ports[] = { { 6, 80 }, { 17, 53 } };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_vnet(&(struct plan_vnet){ .ns = 16,
	                                    .mtu = 1450,
	                                    .shortcut = true,
	                                    .closed = subnet,
	                                    .n_closed = 1,
	                                    .shared = &shared,
	                                    .n_shared = 1,
	                                    .platform_address = true },
	               &set);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = 16,
	                                        .bridge = 17,
	                                        .mtu = 1450,
	                                        .prefixes = subnet,
	                                        .n_prefixes = 2,
	                                        .egress = &shared,
	                                        .n_egress = 1 },
	                 &set);
	vnet_plan_group(&(struct plan_group){ .ns = 18,
	                                      .vnet_ns = 16,
	                                      .bridge = 17,
	                                      .mtu = 1450,
	                                      .addrs = a,
	                                      .n_addrs = 2,
	                                      .ports = ports,
	                                      .n_ports = 2 },
	                &set);
	golden("group.txt", &set);
}

/* In namespaces that a runtime made: the first with a public address and published ports, a second interface without a
 * default route, with a MAC of its choice and a port at an address that others share. */
/* A spare is a group without addresses; the group that takes it adds to that and takes nothing away. */
static void spare_and_machine(void **state)
{
	struct plan_addr a = { net("10.1.0.0/16"), ip("10.1.0.7"), { 0 } };
	struct plan_group p = { .ns = 18, .vnet_ns = 16, .bridge = 17, .mtu = 1450 };
	struct kset spare = { 0 }, whole = { 0 };

	(void)state;
	vnet_plan_group(&p, &spare);
	p.addrs = &a;
	p.n_addrs = 1;
	p.tap_queues = 4;
	p.tap_owner = 64106;
	vnet_plan_group(&p, &whole);
	for (size_t i = 0; i < spare.n; i++) {
		bool found = false;

		for (size_t j = 0; j < whole.n; j++) {
			found = found || (kobj_compare(&spare.v[i], &whole.v[j]) == 0 &&
			                  kobj_same(&spare.v[i], &whole.v[j]));
		}
		assert_true(found);
	}
	golden("machine.txt", &whole);
	kset_fini(&spare);
	kset_fini(&whole);
}

static void guests(void **state)
{
	const uint8_t mac[6] = { 6, 0, 0, 0, 0, 1 };
	struct plan_addr a[] = { { net("10.1.0.0/16"), ip("10.1.0.7"), ip("198.18.0.7") },
		                 { net("fd00::/64"), ip("fd00::7"), { 0 } } },
			 b[] = { { net("10.2.0.0/16"), ip("10.2.0.7"), { 0 } } };
	struct plan_map maps[] = { { ip("198.18.0.7"), 6, 8080, 80 },
		                   { ip("198.18.0.7"), 17, 53, 53 } },
			shared = { ip("198.18.0.9"), 6, 8081, 80 };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_group(&(struct plan_group){ .ns = 18,
	                                      .vnet_ns = 16,
	                                      .bridge = 17,
	                                      .mtu = 1450,
	                                      .guest = true,
	                                      .addrs = a,
	                                      .n_addrs = 2,
	                                      .maps = maps,
	                                      .n_maps = 2 },
	                &set);
	vnet_plan_group(&(struct plan_group){ .ns = 19,
	                                      .vnet_ns = 16,
	                                      .bridge = 17,
	                                      .mtu = 1450,
	                                      .guest = true,
	                                      .no_default = true,
	                                      .mac = mac,
	                                      .addrs = b,
	                                      .n_addrs = 1,
	                                      .maps = &shared,
	                                      .n_maps = 1 },
	                &set);
	golden("guest.txt", &set);
}

/* A subnet with all that it may name, an appliance, and a peering's two sides. */
static void routing(void **state)
{
	struct ip nat[] = { ip("198.18.0.20"), ip("198.18.0.21"), ip("2001:db8::20") };
	struct ip_prefix own[] = { net("10.1.0.0/16") }, peer[] = { net("10.2.0.0/16") };
	struct plan_route routes[] = {
		{ net("0.0.0.0/0"), PLAN_HOP_DEVICE, ip("10.1.0.7"), "br17" },
		{ net("10.1.0.0/16"), PLAN_HOP_NEXT, { 0 }, "" },
		{ net("192.0.2.0/24"), PLAN_HOP_NONE, { 0 }, "" },
		{ net("198.51.100.0/24"), PLAN_HOP_INTERNET, { 0 }, "" },
	};
	struct plan_addr a[] = { { own[0], ip("10.1.0.7"), { 0 } } };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_nat(
		&(struct plan_nat){
			.id = 30, .vnet_ns = 16, .idle_s = 240, .addrs = nat, .n_addrs = 3 },
		&set);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = 16,
	                                        .bridge = 17,
	                                        .mtu = 1450,
	                                        .prefixes = own,
	                                        .n_prefixes = 1,
	                                        .nsg = 42,
	                                        .nat = 30,
	                                        .table = KOBJ_TABLE_BASE + 17 },
	                 &set);
	vnet_plan_routes(16, KOBJ_TABLE_BASE + 17, routes, 4, &set);
	vnet_plan_group(&(struct plan_group){ .ns = 18,
	                                      .vnet_ns = 16,
	                                      .bridge = 17,
	                                      .mtu = 1450,
	                                      .addrs = a,
	                                      .n_addrs = 1,
	                                      .forward = true },
	                &set);
	for (int i = 0; i < 2; i++) {
		vnet_plan_peer(&(struct plan_peer){ .vnet_ns = i ? 20 : 16,
		                                    .peer_ns = i ? 16 : 20,
		                                    .mtu = 1450,
		                                    .prefixes = i ? own : peer,
		                                    .n_prefixes = 1,
		                                    .own = i ? peer : own,
		                                    .n_own = 1,
		                                    .forwarded = i },
		               &set);
	}
	golden("routing.txt", &set);
}

/* A gateway to a given namespace, and a peer that uses it: sources that were learned, but for those
 * that are VNets'. */
static void given(void **state)
{
	struct ip_prefix own[] = { net("10.1.0.0/16") }, peer[] = { net("10.2.0.0/16") };
	struct ip_prefix space[] = { own[0], peer[0] }, holes[] = { peer[0], own[0] };
	struct ip_prefix learned[] = { net("10.0.0.0/8"), net("192.168.50.0/24"),
		                       net("10.9.0.0/16"), net("::/0") };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_given(&(struct plan_given){ .vnet_ns = 16,
	                                      .given_ns = KOBJ_NS_GIVEN + 1,
	                                      .mtu = 1450,
	                                      .space = space,
	                                      .n_space = 2,
	                                      .learned = learned,
	                                      .n_learned = 4,
	                                      .holes = holes,
	                                      .n_holes = 2 },
	                &set);
	vnet_plan_peer(&(struct plan_peer){ .vnet_ns = 20,
	                                    .peer_ns = 16,
	                                    .mtu = 1450,
	                                    .prefixes = own,
	                                    .n_prefixes = 1,
	                                    .own = peer,
	                                    .n_own = 1,
	                                    .learned = learned,
	                                    .n_learned = 2,
	                                    .holes = holes,
	                                    .n_holes = 2 },
	               &set);
	golden("given.txt", &set);
}

/* A VNet's router among those of three nodes, an address on each of the others, and who may reach the host's port. */
static void between_nodes(void **state)
{
	struct ip_prefix space[] = { net("10.1.0.0/16"), net("fd00:1::/48") };
	struct plan_router others[] = { { 2, ip("10.98.0.2") }, { 300, ip("10.98.0.3") } };
	struct ip members[] = { ip("10.98.0.2"), ip("10.98.0.3"), ip("fd98::2") };
	struct ip_prefix far[] = { net("10.1.0.7/32"), net("fd00:1::7/128"), net("10.1.4.0/24") };
	struct plan_addrblock blocks[] = { { net("10.1.2.0/28"), 1 },
		                           { net("10.1.2.16/28"), 300 },
		                           { net("fd00:1::10/124"), 2 } };
	struct kset set = { 0 };

	(void)state;
	vnet_plan_fabric(&(struct plan_fabric){ .vnet_ns = 16,
	                                        .addrblocks = blocks,
	                                        .n_addrblocks = 3,
	                                        .vni = 4711,
	                                        .mtu = 1450,
	                                        .self = { 1, ip("10.98.0.1") },
	                                        .others = others,
	                                        .n_others = 2,
	                                        .space = space,
	                                        .n_space = 2 },
	                 &set);
	vnet_plan_remote(16, &far[0], 2, &set);
	vnet_plan_remote(16, &far[1], 2, &set);
	vnet_plan_remote(16, &far[2], 300, &set);
	vnet_plan_gateway(
		&(struct plan_gateway){
			.mtu = 1500, .underlay = "under0", .members = members, .n_members = 3 },
		&set);
	golden("fabric.txt", &set);
}

/* A public frontend, of whose slot flows may be on nodes 1, 2 and 3; and an address that is a NAT gateway's, say. */
static void public_frontend(struct kobj front, struct kobj slot, struct kset *to)
{
	struct ip pub = ip("203.0.113.20"), other = ip("203.0.113.21");

	memcpy(front.addr, pub.b, 16);
	memcpy(slot.addr, pub.b, 16);
	front.sub = KOBJ_SET_FRONT4;
	kset_add(to, &front);
	kobj_former_add(&slot, 2);
	kset_add(to, &slot);
	slot.table = 1; /* its backend is on node 3; and was on 2 */
	memset(slot.master, 0, sizeof(slot.master));
	kobj_former_add(&slot, 3);
	kset_add(to, &slot);
	slot.table = 2;
	kset_add(to, &slot);
	memset(slot.master, 0, sizeof(slot.master));
	slot.kind = KOBJ_NOTE;
	slot.table = 1;
	slot.via[3] = 8;
	for (uint32_t node = 1; node <= 2; node++) {
		kobj_note_node(&slot, node);
		kset_add(to, &slot);
	}
	slot.kind = KOBJ_ELEM;
	kobj_note_node(&slot, 0);
	front.sub = KOBJ_SET_SPREAD4;
	kset_add(to, &front);
	slot.via_port = 0;
	memset(slot.via, 0, sizeof(slot.via));
	for (slot.table = 0; slot.table < 2; slot.table++) {
		slot.sub = KOBJ_SET_AWAY4;
		memset(slot.master, 0, sizeof(slot.master));
		kobj_former_add(&slot, 2 + slot.table);
		kset_add(to, &slot);
	}
	slot.sub = KOBJ_SET_FORMER4;
	slot.table = 0;
	memset(slot.master, 0, sizeof(slot.master));
	for (uint32_t node = 1; node <= 3; node++) {
		kobj_former_add(&slot, node);
	}
	kset_add(to, &slot);
	front = (struct kobj){ .ns = 16, .kind = KOBJ_ELEM, .sub = KOBJ_SET_MUX4, .family = 4 };
	memcpy(front.addr, pub.b, 16);
	kset_add(to, &front);
	vnet_plan_public(16, &pub, to);
	vnet_plan_public(16, &other, to);
}

/* A subnet with routes, a peering, and frontends. */
static void vnet_of_branches(struct kset *vnet)
{
	struct ip_prefix space[] = { net("10.1.0.0/16") }, sub[] = { net("10.1.0.0/24") },
			 peer[] = { net("10.2.0.0/16") };
	struct plan_route routes[] = { { .prefix = net("0.0.0.0/0"),
		                         .hop = PLAN_HOP_DEVICE,
		                         .via = ip("10.1.0.9"),
		                         .dev = "br17" },
		                       { .prefix = net("192.0.2.0/24"), .hop = PLAN_HOP_INTERNET },
		                       { .prefix = net("198.51.100.0/24"), .hop = PLAN_HOP_NONE } };
	struct kobj front = { .ns = 16,
		              .kind = KOBJ_ELEM,
		              .sub = KOBJ_SET_INNER4,
		              .family = 4,
		              .addr = { 10, 1, 0, 200 },
		              .port = 80,
		              .proto = 6,
		              .index = 1 };
	struct kobj slot = { .ns = 16,
		             .kind = KOBJ_ELEM,
		             .sub = KOBJ_SET_SLOT4,
		             .family = 4,
		             .addr = { 10, 1, 0, 200 },
		             .port = 80,
		             .proto = 6,
		             .via = { 10, 1, 0, 7 },
		             .via_port = 80 };
	struct kobj flt = { .ns = 16,
		            .kind = KOBJ_ELEM,
		            .sub = KOBJ_SET_FLOAT4,
		            .family = 4,
		            .addr = { 10, 1, 0, 201 },
		            .port = 80,
		            .proto = 6,
		            .index = 1u << 16 };

	vnet_plan_vnet(&(struct plan_vnet){ .ns = 16, .mtu = 1500, .platform_address = true },
	               vnet);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = 16,
	                                        .bridge = 17,
	                                        .mtu = 1450,
	                                        .prefixes = sub,
	                                        .n_prefixes = 1,
	                                        .nsg = 30,
	                                        .nat = 31,
	                                        .table = 1017,
	                                        .branches = true },
	                 vnet);
	vnet_plan_routes(16, 1017, routes, 3, vnet);
	vnet_plan_peer(&(struct plan_peer){ .vnet_ns = 16,
	                                    .peer_ns = 20,
	                                    .mtu = 1450,
	                                    .prefixes = peer,
	                                    .n_prefixes = 1,
	                                    .own = space,
	                                    .n_own = 1 },
	               vnet);
	for (int i = 0; i < 2; i++) { /* an internal frontend, a floating one */
		front.addr[3] = slot.addr[3] = (uint8_t)(200 + i);
		kset_add(vnet, &front);
		kset_add(vnet, &slot);
	}
	kset_add(vnet, &flt);
	public_frontend(front, slot, vnet);
}

/* A VNet with a branch: what its home has more, and what of its router, a subnet with routes, a peering and frontends is on the
 * branch, node 2; of a group there, of which the home has the ways in and out, and a third node the address. */
static void branches(void **state)
{
	struct ip_prefix sub = net("10.1.0.0/24");
	struct plan_router home = { 1, ip("10.98.0.1") }, branch = { 2, ip("10.98.0.2") };
	struct plan_addr addr = { sub, ip("10.1.0.7"), ip("203.0.113.9") };
	struct plan_port port = { 6, 80 };
	uint32_t asg = 40;
	struct kset vnet = { 0 }, set = { 0 }, group = { 0 };

	(void)state;
	vnet_of_branches(&vnet);
	vnet_plan_branch(&vnet, 16, 1, 2, (struct plan_ports){ 0 }, &set);
	vnet_plan_fabric(&(struct plan_fabric){ .vnet_ns = 16,
	                                        .vni = 16,
	                                        .mtu = 1450,
	                                        .self = branch,
	                                        .others = &home,
	                                        .n_others = 1,
	                                        .home = 1 },
	                 &set);
	golden("branch.txt", &set);

	vnet_plan_group(&(struct plan_group){ .ns = 50,
	                                      .vnet_ns = 16,
	                                      .bridge = 17,
	                                      .mtu = 1450,
	                                      .addrs = &addr,
	                                      .n_addrs = 1,
	                                      .ports = &port,
	                                      .n_ports = 1,
	                                      .asgs = &asg,
	                                      .n_asgs = 1 },
	                &group);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "group_own.txt", "group_home.txt",
			                             "group_branch.txt" };

		set = (struct kset){ 0 };
		vnet_plan_group_part(&group, (enum plan_part)i, 16, 2, &set);
		golden(names[i], &set);
	}
	kset_fini(&group);
	kset_fini(&vnet);
}

/* A NAT gateway, and an address that a subnet's groups leave by, at the home with its ports, and on one of two branches with its own. */
static void ports_of_branches(void **state)
{
	struct ip addr = ip("203.0.113.31"), def = ip("203.0.113.32");
	struct ip shared[] = { addr, def };
	struct ip_prefix sub = net("10.1.0.0/24"), other = net("10.1.1.0/24");
	struct plan_ports home = { 1024, 33279 }, own = { 33280, 33791 };
	struct plan_block blocks[] = { { 2, own }, { 3, { 33792, 34815 } } };
	struct kset router = { 0 }, nat = { 0 }, subnets = { 0 }, set = { 0 };
	struct plan_subnet s = { .vnet_ns = 16,
		                 .bridge = 17,
		                 .mtu = 1450,
		                 .prefixes = &sub,
		                 .n_prefixes = 1,
		                 .nat = 31,
		                 .egress = &def,
		                 .n_egress = 1,
		                 .ports = home,
		                 .branches = true };

	(void)state;
	vnet_plan_vnet(&(struct plan_vnet){ .ns = 16,
	                                    .mtu = 1500,
	                                    .shared = shared,
	                                    .n_shared = 2,
	                                    .blocks = blocks,
	                                    .n_blocks = 2 },
	               &router);
	vnet_plan_nat(&(struct plan_nat){ .id = 31,
	                                  .vnet_ns = 16,
	                                  .idle_s = 240,
	                                  .addrs = &addr,
	                                  .n_addrs = 1,
	                                  .ports = home },
	              &nat);
	vnet_plan_subnet(&s, &subnets);
	s.prefixes = &other;
	s.bridge = 18;
	s.nat = 0;
	vnet_plan_subnet(&s, &subnets);
	vnet_plan_branch(&router, 16, 1, 2, own, &set);
	vnet_plan_branch(&nat, 16, 1, 2, own, &set);
	vnet_plan_branch(&subnets, 16, 1, 2, own, &set);
	golden("branch_ports.txt", &set);
	for (size_t i = 0; i < nat.n; i++) {
		kset_add(&router, &nat.v[i]);
	}
	for (size_t i = 0; i < subnets.n; i++) {
		kset_add(&router, &subnets.v[i]);
	}
	golden("home_ports.txt", &router);
	kset_fini(&nat);
	kset_fini(&subnets);
}

/* Several rules of a load balancer say of one member how it leaves. */
static void said_twice(void **state)
{
	struct kobj a = { .ns = 16,
		          .kind = KOBJ_ELEM,
		          .sub = KOBJ_SET_OUTTCP4,
		          .family = 4,
		          .addr = { 10, 1, 0, 4 } },
		    b = a;
	struct kset set = { 0 };

	(void)state;
	b.addr[3] = 5;
	for (int i = 0; i < 3; i++) {
		kset_add(&set, &b);
		kset_add(&set, &a);
	}
	kset_sort(&set);
	kset_unique(&set);
	assert_int_equal(set.n, 2);
	assert_memory_equal(&set.v[0], &a, sizeof(a));
	assert_memory_equal(&set.v[1], &b, sizeof(b));
	kset_fini(&set);
}

/* Gateways of two nodes with an uplink and one without, and what the second is told of a VNet that is on the third. */
static void gateways_of_nodes(void **state)
{
	struct ip_prefix pools[] = { net("203.0.113.0/24"), net("2001:db8:1::/64") };
	struct plan_router others[] = { { 1, ip("10.98.0.1") }, { 3, ip("10.98.0.3") } };
	struct ip members[] = { ip("10.98.0.1"), ip("10.98.0.3") };
	struct ip pub = ip("203.0.113.9"), pub6 = ip("2001:db8:1::9");
	struct plan_gateway gw = { .mtu = 1500,
		                   .underlay = "under0",
		                   .linked = true,
		                   .members = members,
		                   .n_members = 2,
		                   .gateways = members,
		                   .n_gateways = 2 };
	struct plan_fabric f = {
		.vnet_ns = KOBJ_NS_GATEWAY, .vni = 1, .mtu = 1500, .others = others
	};
	struct kset set = { 0 }, vnet = { 0 };

	(void)state;
	vnet_plan_public(16, &pub, &vnet);
	vnet_plan_public(16, &pub6, &vnet);
	gw.pools = pools;
	gw.n_pools = 2;
	snprintf(gw.uplink, sizeof(gw.uplink), "wan");
	f.self = (struct plan_router){ 2, ip("10.98.0.2") };
	f.n_others = 2;
	vnet_plan_gateway(&gw, &set);
	vnet_plan_gateways(&f, 0, &set);
	vnet_plan_ways(&vnet, 3, false, &set);
	golden("gateways.txt", &set);

	/* What leaves by others: two pools by one node share its table, IPv6 has another node. */
	struct ip_prefix three[] = { net("203.0.113.0/24"), net("198.51.100.0/25"),
		                     net("2001:db8:1::/64") };
	struct plan_return returns[] = { { three[0], 1 }, { three[1], 1 }, { three[2], 3 } };

	set = (struct kset){ 0 };
	vnet_plan_returns(returns, 3, three, 3, &set);
	golden("returns.txt", &set);

	set = (struct kset){
		0
	}; /* the one without, which leaves by the first; who is asked answers */
	gw = (struct plan_gateway){ .mtu = 1500,
		                    .underlay = "under0",
		                    .linked = true,
		                    .leaf = true,
		                    .members = members,
		                    .n_members = 2,
		                    .gateways = members,
		                    .n_gateways = 1 };
	f.self = (struct plan_router){ 3, ip("10.98.0.3") };
	f.n_others = 1;
	vnet_plan_gateway(&gw, &set);
	vnet_plan_gateways(&f, 1, &set);
	vnet_plan_ways(&vnet, 2, true, &set);
	golden("leaf.txt", &set);
	kset_fini(&vnet);
}

/* The same input gives the same bytes, whatever the stack held before. */
static void pure(void **state)
{
	struct ip shared = ip("198.18.0.9");
	struct kset a = { 0 }, b = { 0 };
	volatile char dirt[8192];

	(void)state;
	vnet_plan_vnet(
		&(struct plan_vnet){ .ns = 16, .mtu = 1450, .shared = &shared, .n_shared = 1 }, &a);
	memset((void *)(uintptr_t)dirt, 0xaa, sizeof(dirt));
	vnet_plan_vnet(
		&(struct plan_vnet){ .ns = 16, .mtu = 1450, .shared = &shared, .n_shared = 1 }, &b);
	assert_int_equal(a.n, b.n);
	for (size_t i = 0; i < a.n; i++) {
		size_t n = strnlen(a.v[i].dev, KOBJ_NAME);

		assert_memory_equal(&a.v[i], &b.v[i], sizeof(a.v[i]));
		while (n < KOBJ_NAME) {
			assert_int_equal(a.v[i].dev[n++], 0);
		}
	}
	kset_fini(&a);
	kset_fini(&b);
}

static void refused(void **state)
{
	struct kobj bad[] = {
		{ .ns = 0, .kind = KOBJ_LINK, .sub = KOBJ_LINK_VETH, .dev = "eth0", .peer = "up0" },
		{ .ns = 0,
		  .kind = KOBJ_ROUTE,
		  .sub = KOBJ_ROUTE_LINK,
		  .dev = "netd0",
		  .family = 4 },
		{ .ns = 0, .kind = KOBJ_RULE, .sub = 1, .family = 4 },
		{ .ns = 0, .kind = KOBJ_RULESET, .sub = KOBJ_RULESET_GATEWAY },
		{ .ns = 7, .kind = KOBJ_NETNS, .sub = KOBJ_NETNS_GROUP },
		{ .ns = 16, .kind = KOBJ_ADDR, .dev = "wlan0", .family = 4 },
		{ .ns = 16, .kind = KOBJ_ADDR, .dev = "eth0", .family = 4, .plen = 33 },
		{ .ns = 16, .kind = 77 },
		{ .ns = 16,
		  .kind = KOBJ_LINK,
		  .sub = KOBJ_LINK_VXLAN,
		  .dev = "vx16",
		  .family = 4,
		  .table = 1u << 24 },
		{ .ns = 16, .kind = KOBJ_LINK, .sub = KOBJ_LINK_VXLAN, .dev = "vx16", .table = 1 },
		{ .ns = 16,
		  .kind = KOBJ_LINK,
		  .sub = KOBJ_LINK_VXLAN,
		  .dev = "br17",
		  .family = 4,
		  .table = 1 },
		{ .ns = 1,
		  .kind = KOBJ_LINK,
		  .sub = KOBJ_LINK_VXLAN,
		  .dev = "vx16",
		  .family = 4,
		  .table = 1 },
		{ .ns = 16, .kind = KOBJ_FDB, .dev = "vx16" },
		{ .ns = 16, .kind = KOBJ_FDB, .dev = "br17", .family = 4 },
		{ .ns = 16, .kind = KOBJ_RULESET, .sub = KOBJ_RULESET_VNET, .peer = "eth9" },
		{ .ns = 16,
		  .kind = KOBJ_RULESET,
		  .sub = KOBJ_RULESET_VNET,
		  .index = KOBJ_NODES_INDEX },
		{ .ns = 1, .kind = KOBJ_RULESET, .sub = KOBJ_RULESET_GATEWAY, .index = 16 },
		{ .ns = 1,
		  .kind = KOBJ_RULESET,
		  .sub = KOBJ_RULESET_GATEWAY,
		  .index = KOBJ_NODES_INDEX,
		  .flags = KOBJ_ISOLATED },
		{ .ns = 1,
		  .kind = KOBJ_LINK,
		  .sub = KOBJ_LINK_VXLAN,
		  .dev = "vx4",
		  .family = 4,
		  .table = 1 },
		{ .ns = 16, .kind = KOBJ_ELEM, .sub = 99 },
	};
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (kobj_check(&bad[i], &e) == 0) {
			fail_msg("object %zu was taken", i);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gateway),
		cmocka_unit_test(group),
		cmocka_unit_test(guests),
		cmocka_unit_test(spare_and_machine),
		cmocka_unit_test(routing),
		cmocka_unit_test(given),
		cmocka_unit_test(between_nodes),
		cmocka_unit_test(branches),
		cmocka_unit_test(ports_of_branches),
		cmocka_unit_test(said_twice),
		cmocka_unit_test(gateways_of_nodes),
		cmocka_unit_test(pure),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
