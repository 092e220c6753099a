/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The engine beside the bare kernel calls for the same objects, in one process and in turns: groups
 * are attached through reconcile and by namespace, links and one batch a namespace with nothing
 * in between. Prints "SYSTEM WORK US" lines. Run in network and mount namespaces of its own:
 *   attach_raw DIR PRESENT ROUNDS one-subnet|own-subscription|guest
 * guest: one subnet, in namespaces that a runtime made (CNI), which are made ahead and not timed.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/netns.h"
#include "netd/reconcile.h"
#include "vnet/plan.h"

static struct kernel *k;
static struct reconcile *r;
static bool own, guests, pooled;
static const char *folder;
static int home;
static uint32_t next = KOBJ_NS_FIRST + 8;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int rc, const struct err *e)
{
	if (rc < 0) {
		fprintf(stderr, "attach_raw: %s\n", e->msg);
		exit(1);
	}
}

static const struct ip_prefix prefix = { { 4, { 100, 64 } }, 16 };

static void plan_router(uint32_t vnet, uint32_t subnet, struct kset *to)
{
	vnet_plan_vnet(&(struct plan_vnet){ .ns = vnet, .mtu = 1450 }, to);
	vnet_plan_subnet(&(struct plan_subnet){ .vnet_ns = vnet,
	                                        .bridge = subnet,
	                                        .mtu = 1450,
	                                        .prefixes = &prefix,
	                                        .n_prefixes = 1 },
	                 to);
}

static void plan_group(uint32_t ns, uint32_t vnet, uint32_t subnet, struct kset *to)
{
	struct plan_port port = { 6, 80 };
	struct plan_addr a = { .prefix = prefix, .ip = prefix.ip, .pub = { 4, { 198, 18 } } };

	(void)ip_add(&a.ip, own ? 4 : ns);
	(void)ip_add(&a.pub, ns);
	vnet_plan_group(&(struct plan_group){ .ns = ns,
	                                      .guest = guests,
	                                      .vnet_ns = vnet,
	                                      .bridge = subnet,
	                                      .mtu = 1450,
	                                      .addrs = &a,
	                                      .n_addrs = 1,
	                                      .ports = &port,
	                                      .n_ports = 1 },
	                to);
}

static void plan_spare(uint32_t ns, uint32_t vnet, uint32_t subnet, struct kset *to)
{
	vnet_plan_group(
		&(struct plan_group){ .ns = ns, .vnet_ns = vnet, .bridge = subnet, .mtu = 1450 },
		to);
}

static bool makes_link(const struct kobj *o)
{
	return o->kind == KOBJ_LINK && o->sub != KOBJ_LINK_PEER && o->sub != KOBJ_LINK_LO;
}

/* Here and now, not from the engine's stock. */
static void make_namespace(const struct kobj *o)
{
	struct err e = ERR_INIT;
	char name[24], path[200];

	kobj_ns_name(o->ns, o->sub, name);
	snprintf(path, sizeof(path), "%s/ns/%s", folder, name);
	must(unshare(CLONE_NEWNET), &e);
	must(netns_bind(path, -1, &e), &e);
	must(setns(home, CLONE_NEWNET), &e);
	must(k->ns_adopt(k, o->ns, o->sub, &e), &e); /* sets its sysctls */
}

/* One that a runtime made: the engine is told of it with its descriptor. */
static void give_namespace(uint32_t ns, uint32_t vnet)
{
	struct kernel_guest g = {
		.path = "/proc/self/ns/net", .dev = "eth0", .vnet = vnet, .default4 = true
	};
	socklen_t len = sizeof(g.cookie);
	struct err e = ERR_INIT;

	must(unshare(CLONE_NEWNET), &e);
	AUTO_CLOSE int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, &g.cookie, &len), &e);
	must(setns(home, CLONE_NEWNET), &e);
	must(kernel_linux_guest(k, ns, &g, fd, &e), &e);
}

/* Every namespace's objects in one batch, links first: what a program for this one purpose does. */
static void raw(struct kset *set)
{
	struct err e = ERR_INIT;

	kset_sort(set);
	for (size_t i = 0; i < set->n; i++) {
		if (set->v[i].kind == KOBJ_NETNS && set->v[i].sub != KOBJ_NETNS_GUEST) {
			make_namespace(&set->v[i]);
		}
	}
	for (int links = 1; links >= 0; links--) {
		for (size_t i = 0; i < set->n;) {
			AUTO_FREE struct kop *v = NULL;
			struct kops ops = { 0 };
			uint32_t ns = set->v[i].ns;

			for (; i < set->n && set->v[i].ns == ns; i++) {
				if (set->v[i].kind != KOBJ_NETNS &&
				    makes_link(&set->v[i]) == links) {
					kops_add(&ops, KOP_ADD, &set->v[i]);
				}
			}
			kops_sort(&ops);
			if (ops.n) {
				must(k->apply(k, ns, ops.v, ops.n, &e), &e);
			}
			kops_fini(&ops);
		}
	}
}

static void engine(uint64_t owner, struct kset *set)
{
	struct err e = ERR_INIT;

	must(reconcile_set(r, owner, set->v, set->n, &e), &e);
}

/* What is left of a group when its spare is there. */
static void subtract(struct kset *from, const struct kset *what)
{
	size_t keep = 0;

	for (size_t i = 0; i < from->n; i++) {
		bool there = false;

		for (size_t j = 0; j < what->n; j++) {
			there = there || kobj_compare(&from->v[i], &what->v[j]) == 0;
		}
		if (!there) {
			from->v[keep++] = from->v[i];
		}
	}
	from->n = keep;
}

static double attach(bool by_engine, uint32_t *vnet, uint32_t *subnet)
{
	struct kset router = { 0 }, group = { 0 };
	uint32_t ns;

	if (own || !*vnet) {
		*vnet = next++;
		*subnet = next++;
		plan_router(*vnet, *subnet, &router);
	}
	ns = next++;
	plan_group(ns, *vnet, *subnet, &group);
	if (guests) {
		give_namespace(ns, *vnet);
	}
	if (pooled) { /* made before, and the kernel is quiet again */
		struct kset spare = { 0 };

		plan_spare(ns, *vnet, *subnet, &spare);
		if (router.n) {
			(by_engine ? engine(*vnet, &router) : raw(&router));
			router.n = 0;
		}
		if (by_engine) {
			engine(ns, &spare);
		} else {
			raw(&spare);
			subtract(&group, &spare);
		}
		kset_fini(&spare);
		usleep(5000);
	}
	double start = now_us();
	if (by_engine) {
		if (router.n) {
			engine(*vnet, &router);
		}
		engine(ns, &group);
	} else {
		if (router.n) {
			raw(&router);
		}
		raw(&group);
	}
	double took = now_us() - start;
	kset_fini(&router);
	kset_fini(&group);
	return took;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	uint32_t vnet = 0, subnet = 0;
	struct ip_prefix pool = { { 4, { 198, 18 } }, 15 };
	struct kset gateway = { 0 };

	if (argc != 5 || !(k = kernel_linux_new(argv[1], &e))) {
		fprintf(stderr, "attach_raw DIR PRESENT ROUNDS SHAPE\n");
		return 2;
	}
	folder = argv[1];
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	own = strcmp(argv[4], "own-subscription") == 0;
	guests = strcmp(argv[4], "guest") == 0;
	pooled = strcmp(argv[4], "pooled") == 0;
	r = reconcile_new(k, &clock_system);
	reconcile_begin(r);
	must(reconcile_end(r, &e), &e);
	vnet_plan_gateway(&(struct plan_gateway){ .pools = &pool,
	                                          .n_pools = 1,
	                                          .mtu = 1500,
	                                          .host4 = { 4, { 198, 18, 0, 1 } } },
	                  &gateway);
	engine(1, &gateway);
	for (long i = 0; i < atol(argv[2]); i++) {
		attach(true, &vnet, &subnet);
	}
	for (long i = 0; i < atol(argv[3]); i++) {
		/* In turns, the first one changing: neither has the other's cache to itself. */
		for (int k2 = 0; k2 < 2; k2++) {
			bool e_turn = (i + k2) % 2;
			double us = attach(e_turn, &vnet, &subnet);

			printf("%s %.1f\n", e_turn ? "engine" : "raw", us);
		}
	}
	return 0;
}
