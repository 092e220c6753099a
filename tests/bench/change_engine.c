/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Changes of load balancers as the engine does them, in namespaces of its own:
 *   change_engine SERVICES VNETS REPEATS
 * SERVICES services of 4 backends, spread over VNETS VNets; then REPEATS times each: a slot moved, a backend
 * out, in, a service created, deleted. Prints JSON: for each the median and the 99th percentile in
 * microseconds, from the objects that control sends to the kernel having them; the loading time; memory. Then
 * it waits for a line, so that others can look at what stands.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lb/plan.h"
#include "lib/base/own.h"
#include "netd/reconcile.h"
#include "vnet/plan.h"

#define OWNER(i)   (100000u + (uint64_t)(i))
#define FIRST_VNET 16u

static struct kernel *kernel;
static struct reconcile *state;
static unsigned services, vnets, repeats;
static struct slots *tables; /* of each service */

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int rc, const struct err *e)
{
	if (rc < 0) {
		fprintf(stderr, "change_engine: %s\n", e->msg);
		exit(1);
	}
}

static long memory_kb(const char *what)
{
	char line[200];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, what, strlen(what)) == 0) {
			kb = strtol(line + strlen(what), NULL, 10);
		}
	}
	if (f) {
		fclose(f);
	}
	return kb;
}

/* Kernel memory: what is in slabs and vmalloc'ed (hash tables). */
static long kernel_kb(void)
{
	return memory_kb("Slab:") + memory_kb("VmallocUsed:") + memory_kb("Percpu:");
}

static void plan(unsigned i, const struct slots *s, struct kset *to)
{
	struct lb_port p = { .vnet_ns = FIRST_VNET + i % vnets,
		             .front = { 4, { 198, 18, (uint8_t)(i >> 8), (uint8_t)i } },
		             .proto = 6,
		             .port = 80,
		             .to_port = 80,
		             .idle_min = 4,
		             .slots = s };

	lb_plan_port(&p, to);
}

static void next(unsigned i, size_t n, struct slots *to)
{
	struct slots_member v[4];

	for (size_t k = 0; k < n; k++) {
		v[k] = (struct slots_member){
			{ 4, { 10, (uint8_t)(i >> 8), (uint8_t)i, (uint8_t)(k + 4) } }, 1
		};
	}
	if (slots_next(&tables[i], v, n, to) < 0) {
		abort();
	}
}

static void create(unsigned i)
{
	struct kset set = { 0 };
	struct err e = ERR_INIT;

	if (!tables[i].n) {
		struct slots s;

		next(i, 4, &s);
		tables[i] = s;
	}
	plan(i, &tables[i], &set);
	must(reconcile_set(state, OWNER(i), set.v, set.n, &e), &e);
	kset_fini(&set);
}

/* What control sends: the difference of two plans. */
static double change_to(unsigned i, struct slots *now)
{
	struct kset was = { 0 }, is = { 0 }, puts = { 0 }, dels = { 0 };
	struct err e = ERR_INIT;
	size_t a = 0, b = 0;

	plan(i, &tables[i], &was);
	plan(i, now, &is);
	kset_sort(&was);
	kset_sort(&is);
	while (a < was.n || b < is.n) {
		int c = a == was.n ? 1 : b == is.n ? -1 : kobj_compare(&was.v[a], &is.v[b]);

		if (c < 0) {
			kset_add(&dels, &was.v[a++]);
		} else if (c > 0) {
			kset_add(&puts, &is.v[b++]);
		} else {
			if (memcmp(&was.v[a], &is.v[b], sizeof(struct kobj)) != 0) {
				kset_add(&puts, &is.v[b]);
			}
			a++;
			b++;
		}
	}
	double t = now_us();
	must(reconcile_patch(state, OWNER(i), &puts, &dels, false, &e), &e);
	t = now_us() - t;
	slots_fini(&tables[i]);
	tables[i] = *now;
	kset_fini(&was);
	kset_fini(&is);
	kset_fini(&puts);
	kset_fini(&dels);
	return t;
}

static double move_slot(unsigned i)
{
	struct slots s;

	next(i, 4, &s); /* a copy */
	s.slot[7] = (uint16_t)((s.slot[7] + 1) % 4);
	return change_to(i, &s);
}

static double backends(unsigned i, size_t n)
{
	struct slots s;

	next(i, n, &s);
	return change_to(i, &s);
}

static double removed(unsigned i)
{
	struct err e = ERR_INIT;
	double t = now_us();

	must(reconcile_del(state, OWNER(i), &e), &e);
	return now_us() - t;
}

static double created(unsigned i)
{
	double t = now_us();

	create(i);
	return now_us() - t;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, double *v, unsigned n, const char *end)
{
	qsort(v, n, sizeof(*v), by_value);
	printf("\"%s\": [%.1f, %.1f]%s", name, v[n / 2], v[n * 99 / 100], end);
}

static void load(void)
{
	struct err e = ERR_INIT;
	long before = kernel_kb();
	double t = now_us();

	reconcile_begin(state);
	for (unsigned v = 0; v < vnets; v++) {
		struct kset set = { 0 };

		vnet_plan_vnet(&(struct plan_vnet){ .ns = FIRST_VNET + v, .mtu = 1450 }, &set);
		must(reconcile_set(state, FIRST_VNET + v, set.v, set.n, &e), &e);
		kset_fini(&set);
	}
	struct kset gw = { 0 };
	vnet_plan_gateway(&(struct plan_gateway){ .mtu = 1500 }, &gw);
	must(reconcile_set(state, 1, gw.v, gw.n, &e), &e);
	kset_fini(&gw);
	must(reconcile_end(state, &e), &e);
	double ready = now_us();
	long routers = kernel_kb();
	for (unsigned i = 0; i < services; i++) {
		create(i);
	}
	printf("{\"vnets_ms\": %.1f, \"load_ms\": %.1f, \"vnets_kb\": %ld, \"services_kb\": %ld, ",
	       (ready - t) / 1e3, (now_us() - ready) / 1e3, routers - before,
	       kernel_kb() - routers);
}

int main(int argc, char **argv)
{
	static char dir[] = "/tmp/netd-change.XXXXXX";
	struct err e = ERR_INIT;

	if (argc != 4) {
		fprintf(stderr, "usage: change_engine SERVICES VNETS REPEATS\n");
		return 64;
	}
	services = (unsigned)atoi(argv[1]);
	vnets = (unsigned)atoi(argv[2]);
	repeats = (unsigned)atoi(argv[3]);
	tables = calloc(services, sizeof(*tables));
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || !tables ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(dir) ||
	    mount("change", dir, "tmpfs", 0, NULL) < 0) {
		perror("change_engine");
		return 1;
	}
	kernel = kernel_linux_new(dir, &e);
	if (!kernel || !(state = reconcile_new(kernel, &clock_system))) {
		must(-1, &e);
	}
	load();
	double *v[5];
	for (int k = 0; k < 5; k++) {
		v[k] = calloc(repeats, sizeof(double));
	}
	for (unsigned i = 0; i < repeats; i++) {
		unsigned s = (unsigned)((uint64_t)i * 7919 % services);

		v[0][i] = move_slot(s);
		v[1][i] = backends(s, 3);
		v[2][i] = backends(s, 4);
		v[3][i] = removed(s);
		v[4][i] = created(s);
	}
	print("slot", v[0], repeats, ", ");
	print("out", v[1], repeats, ", ");
	print("in", v[2], repeats, ", ");
	print("delete", v[3], repeats, ", ");
	print("create", v[4], repeats, "}\n");
	fflush(stdout);
	printf("%s\n", dir);
	fflush(stdout);
	(void)getchar();
	for (unsigned i = 0; i < vnets; i++) {
		(void)!kernel->ns_del(kernel, FIRST_VNET + i, KOBJ_NETNS_VNET, &e);
	}
	(void)!kernel->ns_del(kernel, KOBJ_NS_GATEWAY, KOBJ_NETNS_GATEWAY, &e);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return 0;
}
