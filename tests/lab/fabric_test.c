/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A VNet over several nodes: two hosts with the plane's own plans in the real kernel, and a third that iproute2 sets up by
 * hand, which is the judge of what goes over the wire, and the stranger. Runs in network and mount namespaces of its own
 * (tests/run unshares them).
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "netd/reconcile.h"
#include "tests/test.h"
#include "vnet/plan.h"

/* VNet 16 is joined over IPv4, VNet 20, with the same addresses, over IPv6. */
static const struct vnet {
	uint32_t ns, vni, mtu;
	uint8_t underlay;
	uint8_t host; /* of node 1's group; node 2's has the next */
} vnets[] = { { 16, 4711, 1450, 4, 11 }, { 20, 4712, 1430, 6, 21 } };
static const struct ip_prefix subnet[] = { { { 4, { 10, 1 } }, 24 },
	                                   { { 6, { 0xfd, 0, 0, 1 } }, 64 } };
static char dir[] = "/tmp/netd-fabric-test.XXXXXX";

static struct ip underlay_of(uint32_t node, uint8_t family)
{
	return family == 4 ? (struct ip){ 4, { 10, 98, 0, (uint8_t)node } }
	                   : (struct ip){ 6, { 0xfd, 0x98, [15] = (uint8_t)node } };
}

static struct ip address(uint8_t family, uint8_t host)
{
	struct ip ip = subnet[family == 6].ip;

	ip.b[family == 6 ? 15 : 3] = host;
	return ip;
}

/* ---- the plans of a node ---- */

static void plan_vnet(const struct vnet *v, uint32_t node, struct kset *to)
{
	struct plan_router others[2];
	struct plan_addr a[2];
	size_t n = 0;

	vnet_plan_vnet(&(struct plan_vnet){ .ns = v->ns, .mtu = 1500, .platform_address = true },
	               to);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = v->ns,
	                                        .bridge = v->ns + 1,
	                                        .mtu = v->mtu,
	                                        .prefixes = subnet,
	                                        .n_prefixes = 2 },
	                 to);
	for (uint32_t i = 1; i <= 3; i++) {
		if (i != node) {
			others[n++] = (struct plan_router){ i, underlay_of(i, v->underlay) };
		}
	}
	vnet_plan_fabric(&(struct plan_fabric){ .vnet_ns = v->ns,
	                                        .vni = v->vni,
	                                        .mtu = v->mtu,
	                                        .self = { node, underlay_of(node, v->underlay) },
	                                        .others = others,
	                                        .n_others = n,
	                                        .space = subnet,
	                                        .n_space = 2 },
	                 to);
	for (uint32_t i = 1; i <= 3; i++) {
		for (int f = 0; f < 2; f++) {
			struct ip ip = address(f ? 6 : 4, (uint8_t)(v->host + i - 1));

			if (i == node) {
				a[f] = (struct plan_addr){ .prefix = subnet[f], .ip = ip };
			} else {
				vnet_plan_remote(
					v->ns,
					&(struct ip_prefix){ ip, (uint8_t)ip_bits(ip.family) }, i,
					to);
			}
		}
	}
	vnet_plan_group(&(struct plan_group){ .ns = v->ns + 16 + node,
	                                      .vnet_ns = v->ns,
	                                      .bridge = v->ns + 1,
	                                      .mtu = v->mtu,
	                                      .addrs = a,
	                                      .n_addrs = 2 },
	                to);
}

/* A node whose members are the nodes 1 to `last`: applied as the engine does, by a process in the node's namespace. */
static void apply(uint32_t node, uint32_t last)
{
	struct ip members[6];
	char path[200];
	size_t n = 0;
	int status;

	for (uint32_t i = 1; i <= last; i++) {
		members[n++] = underlay_of(i, 4);
		members[n++] = underlay_of(i, 6);
	}
	pid_t pid = fork();
	if (pid == 0) {
		struct kset sets[3] = { 0 };
		struct err e = ERR_INIT;

		snprintf(path, sizeof(path), "/run/netns/h%u", node);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
			_exit(1);
		}
		snprintf(path, sizeof(path), "%s/h%u", dir, node);
		(void)!mkdir(path, 0755);
		struct kernel *k = kernel_linux_new(path, &e);
		struct reconcile *r = k ? reconcile_new(k, &clock_system) : NULL;
		if (!r) {
			_exit(2);
		}
		vnet_plan_gateway(&(struct plan_gateway){ .mtu = 1500,
		                                          .underlay = "under0",
		                                          .members = members,
		                                          .n_members = n },
		                  &sets[0]);
		plan_vnet(&vnets[0], node, &sets[1]);
		plan_vnet(&vnets[1], node, &sets[2]);
		reconcile_begin(r);
		for (uint64_t i = 0; i < 3; i++) {
			if (reconcile_set(r, i + 1, sets[i].v, sets[i].n, &e) < 0) {
				fprintf(stderr, "node %u: %s\n", node, e.msg);
				_exit(3);
			}
		}
		if (reconcile_end(r, &e) < 0) {
			fprintf(stderr, "node %u: %s\n", node, e.msg);
			_exit(4);
		}
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_int_equal(status, 0);
}

/* ---- commands ---- */

static int command(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int command(const char *fmt, ...)
{
	char line[2000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return system(line);
}

/* In the group of a VNet on a node; 0: it went well. */
static int in_group(const struct vnet *v, uint32_t node, const char *what)
{
	return command("nsenter --net=%s/h%u/ns/g%u sh -c '%s' >%s/out 2>&1", dir, node,
	               v->ns + 16 + node, what, dir);
}

static void must(int rc, const char *what)
{
	if (rc != 0) {
		command("cat %s/out >&2", dir);
		fail_msg("%s", what);
	}
}

/* Packets of the last counter in what a command printed; -1: there is none. */
static long counter(void)
{
	char line[300], *at;
	long n = -1;

	snprintf(line, sizeof(line), "%s/out", dir);
	FILE *f = fopen(line, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if ((at = strstr(line, "counter packets "))) {
			n = strtol(at + 16, NULL, 10);
		}
	}
	fclose(f);
	return n;
}

/* How often the guard of the underlay has dropped on that node. */
static long dropped(uint32_t node)
{
	command("ip netns exec h%u nft list chain netdev netd underlay >%s/out", node, dir);
	return counter();
}

/* Counts what matches in a namespace of the node's, from now on. */
static void watch(uint32_t node, const char *ns, const char *hook, const char *match)
{
	must(command("nsenter --net=%s/h%u/ns/%s nft \"add table inet watch; delete table inet watch; add table inet watch; "
	             "add chain inet watch c { type filter hook %s priority -400; }; add rule inet watch c %s counter\"",
	             dir, node, ns, hook, match),
	     "watch");
}

static long watched(uint32_t node, const char *ns)
{
	command("nsenter --net=%s/h%u/ns/%s nft list table inet watch >%s/out", dir, node, ns, dir);
	return counter();
}

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || mount("tmpfs", dir, "tmpfs", 0, NULL) < 0 ||
	    (mkdir("/run/netns", 0755) < 0 && access("/run/netns", F_OK) < 0) ||
	    mount("tmpfs", "/run/netns", "tmpfs", 0, NULL) < 0) {
		return -1;
	}
	must(command("ip link add name bridge0 mtu 1500 type bridge && ip link set dev bridge0 up"),
	     "underlay");
	for (unsigned i = 1; i <= 3; i++) {
		must(command("ip netns add h%u && ip -n h%u link set lo up && ip link add name under0 netns h%u type veth peer name h%u && "
		             "ip link set dev h%u master bridge0 up && ip -n h%u link set under0 up && ip -n h%u addr add 10.98.0.%u/24 dev under0 && "
		             "ip -n h%u addr add fd98::%u/64 dev under0 nodad",
		             i, i, i, i, i, i, i, i, i, i),
		     "host");
	}
	apply(1, 2); /* the third is a stranger yet */
	apply(2, 2);
	/* By hand: a router of VNet 16, number 3, and its one address. */
	must(command("ip -n h3 link add name vx mtu 1450 type vxlan id 4711 dstport 4789 local 10.98.0.3 nolearning && "
	             "ip -n h3 link set vx address 02:ff:00:00:00:03 up && ip -n h3 addr add 10.1.0.13/32 dev vx && ip -n h3 addr add 203.0.113.9/32 dev vx && "
	             "for n in 1 2; do bridge -n h3 fdb add 02:ff:00:00:00:0$n dev vx dst 10.98.0.$n && "
	             "ip -n h3 neigh add 169.254.128.$n lladdr 02:ff:00:00:00:0$n dev vx nud permanent || exit 1; done && "
	             "ip -n h3 route add 10.1.0.11 via 169.254.128.1 dev vx onlink && ip -n h3 route add 10.1.0.12 via 169.254.128.2 dev vx onlink"),
	     "by hand");
	return 0;
}

static int end(void **state)
{
	(void)state;
	command("umount -l /run/netns; umount -l %s; rmdir %s", dir, dir);
	return 0;
}

/* ---- tests ---- */

static void groups_reach_each_other(void **state)
{
	(void)state;
	must(in_group(&vnets[0], 1, "ping -n -c 3 -i 0.05 -W 2 10.1.0.12"), "IPv4 over IPv4");
	must(in_group(&vnets[0], 2, "ping -n -c 3 -i 0.05 -W 2 10.1.0.11"), "and back");
	must(in_group(&vnets[0], 1, "ping -n -c 3 -i 0.05 -W 2 fd00:1::c"), "IPv6 over IPv4");
	must(in_group(&vnets[1], 1, "ping -n -c 3 -i 0.05 -W 2 10.1.0.22"), "IPv4 over IPv6");
	must(in_group(&vnets[1], 2, "ping -n -c 3 -i 0.05 -W 2 fd00:1::15"), "IPv6 over IPv6");
}

static void vnets_are_apart(void **state)
{
	(void)state;
	assert_int_not_equal(in_group(&vnets[0], 1, "ping -n -c 1 -W 1 10.1.0.22"), 0);
	assert_int_not_equal(in_group(&vnets[1], 1, "ping -n -c 1 -W 1 10.1.0.12"), 0);
}

/* What fits goes unbroken, what does not is said so, fragments arrive, and a large transfer is whole. */
static void sizes(void **state)
{
	static const char server[] =
		"import socket, hashlib\n"
		"s = socket.create_server((\"\", 7000)); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind((\"\", 7000))\n"
		"u.settimeout(5); s.settimeout(5); print(\"there\", flush=True)\n"
		"d, a = u.recvfrom(9000); u.sendto(d, a)\n"
		"c, _ = s.accept(); h = hashlib.sha256()\n"
		"while b := c.recv(65536): h.update(b)\n"
		"c.sendall(h.digest())\n";
	static const char client[] =
		"import socket, hashlib, os\n"
		"d = os.urandom(4000); u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(3); u.sendto(d, (\"10.1.0.12\", 7000))\n"
		"assert u.recv(9000) == d, \"udp\"\n"
		"d = os.urandom(10 << 20); s = socket.create_connection((\"10.1.0.12\", 7000), 5); s.sendall(d); s.shutdown(1)\n"
		"assert s.recv(64, socket.MSG_WAITALL) == hashlib.sha256(d).digest(), \"tcp\"\n";
	char path[200];

	(void)state;
	must(in_group(&vnets[0], 1, "ping -n -M do -s 1422 -c 1 -W 2 10.1.0.12"), "1,450 bytes");
	must(in_group(&vnets[1], 1, "ping -n -M do -s 1402 -c 1 -W 2 10.1.0.22"),
	     "1,430 bytes over IPv6");
	assert_int_not_equal(in_group(&vnets[0], 1, "ping -n -M do -s 1423 -c 1 -W 1 10.1.0.12"),
	                     0);
	must(in_group(&vnets[0], 1, "ping -n -M dont -s 4000 -c 1 -W 2 10.1.0.12"), "fragments");
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s.py", dir, i ? "client" : "server");
		FILE *f = fopen(path, "we");
		assert_non_null(f);
		fputs(i ? client : server, f);
		fclose(f);
	}
	must(command("nsenter --net=%s/h2/ns/g34 timeout 20 /usr/bin/python3 %s/server.py >%s/there 2>&1 & "
	             "for i in $(seq 100); do grep -q there %s/there 2>/dev/null && break; sleep 0.05; done",
	             dir, dir, dir, dir),
	     "server");
	snprintf(path, sizeof(path), "timeout 20 /usr/bin/python3 %s/client.py", dir);
	must(in_group(&vnets[0], 1, path), "4,000 bytes of UDP, 10 MB of TCP");
}

/* The stranger knows all there is to know, but is no member. */
static void strangers_are_dropped(void **state)
{
	long was = dropped(1);

	(void)state;
	assert_true(was >= 0);
	assert_int_not_equal(
		command("ip netns exec h3 ping -n -c 2 -i 0.1 -W 1 -I 10.1.0.13 10.1.0.11 >/dev/null 2>&1"),
		0);
	assert_true(dropped(1) >= was + 2);
	must(in_group(&vnets[0], 1, "ping -n -c 1 -W 2 10.1.0.12"), "members go on");
}

/* As a member it is one router more, which is believed what it sends on (it may have come in there); to whom is there, or out by the home. */
static void a_router_made_by_hand(void **state)
{
	(void)state;
	apply(1, 3);
	apply(2, 3);
	must(command("ip netns exec h3 ping -n -c 2 -i 0.1 -W 2 -I 10.1.0.13 10.1.0.11 >%s/out 2>&1",
	             dir),
	     "from the third node");
	must(in_group(&vnets[0], 2, "ping -n -c 2 -i 0.1 -W 2 10.1.0.13"), "and to it");
	watch(1, "g33", "input", "ip saddr 203.0.113.9");
	command("ip netns exec h3 ping -n -c 1 -W 1 -I 203.0.113.9 10.1.0.11 >/dev/null 2>&1");
	assert_int_equal(watched(1, "g33"), 1);
	watch(1, "g33", "input", "ip saddr 10.1.0.13");
	command("ip netns exec h3 ping -n -c 1 -W 1 -I 10.1.0.13 10.1.0.11 >/dev/null 2>&1");
	assert_int_equal(watched(1, "g33"), 1);
	/* To the second node's group by the first node: it is not sent round. */
	must(command("ip -n h3 route replace 10.1.0.12 via 169.254.128.1 dev vx onlink"),
	     "a route that is old");
	assert_int_not_equal(
		command("ip netns exec h3 ping -n -c 1 -W 1 -I 10.1.0.13 10.1.0.12 >/dev/null 2>&1"),
		0);
	must(command("ip -n h3 route replace 10.1.0.12 via 169.254.128.2 dev vx onlink"),
	     "the right one");
	must(command("ip netns exec h3 ping -n -c 1 -W 2 -I 10.1.0.13 10.1.0.12 >%s/out 2>&1", dir),
	     "by the right one");
	/* Out of the VNet: the home, which node 1 is, is the way. */
	must(command("ip -n h3 route add 198.51.100.1 via 169.254.128.1 dev vx onlink"), "route");
	watch(1, "v16", "postrouting", "ip daddr 198.51.100.1");
	command("ip netns exec h3 ping -n -c 1 -W 1 -I 10.1.0.13 198.51.100.1 >/dev/null 2>&1");
	assert_int_equal(watched(1, "v16"), 1);
}

/* Without its rules a router passes nothing on, from either side. */
static void closed_without_rules(void **state)
{
	(void)state;
	must(command("nsenter --net=%s/h2/ns/v16 nft flush ruleset", dir), "flush");
	assert_int_not_equal(in_group(&vnets[0], 1, "ping -n -c 1 -W 1 10.1.0.12"), 0);
	assert_int_not_equal(in_group(&vnets[0], 2, "ping -n -c 1 -W 1 10.1.0.11"), 0);
	apply(2, 3);
	must(in_group(&vnets[0], 1, "ping -n -c 1 -W 2 10.1.0.12"), "mended");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(groups_reach_each_other),
		cmocka_unit_test(vnets_are_apart),
		cmocka_unit_test(sizes),
		cmocka_unit_test(strangers_are_dropped),
		cmocka_unit_test(a_router_made_by_hand),
		cmocka_unit_test(closed_without_rules),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
