/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See names.h.
 */
#include "lib/kernel/names.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/names_map.h"
#include "lib/kernel/tc.h"

#define DEVICES 16

TC_ELF(names, BPF_DIR "/names.o");

struct knames {
	struct bpf_object *object;
	int program, fds[KNAMES_MAPS];
	uint32_t buckets;
	struct names_state *state;
	struct device {
		char name[IF_NAMESIZE];
		int link; /* -1: not held */
		enum knames_mode mode;
	} devices[DEVICES];
	size_t n_devices;
};

static bool load(struct knames *k, struct err *e)
{
	static const char *const maps[KNAMES_MAPS] = {
		[KNAMES_STATE] = "state", [KNAMES_NAMES] = "names"
	};

	tc_quiet();
	k->object = bpf_object__open_mem(names_elf, names_elf_size, NULL);
	struct bpf_map *m = k->object ? bpf_object__find_map_by_name(k->object, "names") : NULL;
	if (!m || bpf_map__set_max_entries(m, k->buckets) < 0 || bpf_object__load(k->object) < 0) {
		err_set(e, ERR_SYSTEM, errno, "load answers in the kernel");
		return false;
	}
	for (int i = 0; i < KNAMES_MAPS; i++) {
		k->fds[i] = bpf_object__find_map_fd_by_name(k->object, maps[i]);
	}
	k->program = bpf_program__fd(bpf_object__find_program_by_name(k->object, "answer"));
	k->state = mmap(NULL, sizeof(*k->state), PROT_READ | PROT_WRITE, MAP_SHARED,
	                k->fds[KNAMES_STATE], 0);
	if (k->state == MAP_FAILED) {
		k->state = NULL;
		err_set(e, ERR_SYSTEM, errno, "map answers in the kernel");
		return false;
	}
	return true;
}

struct knames *knames_new(uint32_t names, uint16_t port, struct err *e)
{
	struct knames *k = calloc(1, sizeof(*k));

	if (!k) {
		err_set(e, ERR_NO_MEMORY, 0, "answers in the kernel: out of memory");
		return NULL;
	}
	for (k->buckets = 1024 / NAMES_WAYS; k->buckets < names / NAMES_WAYS;) {
		k->buckets *= 2;
	}
	if (!load(k, e)) {
		knames_free(k);
		return NULL;
	}
	k->state->mask = k->buckets - 1;
	k->state->port = htons(port);
	return k;
}

void knames_free(struct knames *k)
{
	if (!k) {
		return;
	}
	for (size_t i = 0; i < k->n_devices; i++) {
		if (k->devices[i].link >= 0) {
			close(k->devices[i].link);
		}
	}
	if (k->state) {
		munmap(k->state, sizeof(*k->state));
	}
	bpf_object__close(k->object);
	free(k);
}

int knames_fd(const struct knames *k, enum knames_map which)
{
	return k->fds[which];
}

uint32_t knames_buckets(const struct knames *k)
{
	return k->buckets;
}

int knames_program(const struct knames *k)
{
	return k->program;
}

/* ---- addresses ---- */

void knames_addresses(struct knames *k, const struct ip *v, size_t n)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	n = n < NAMES_ADDRS ? n : NAMES_ADDRS;
	k->state->n_addrs = 0; /* the program passes everything until they are all there */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	for (size_t i = 0; i < n; i++) {
		if (v[i].family == 4) {
			memcpy(k->state->addrs[i], mapped, 12);
			memcpy(k->state->addrs[i] + 12, v[i].b, 4);
		} else {
			memcpy(k->state->addrs[i], v[i].b, 16);
		}
	}
	__atomic_store_n(&k->state->n_addrs, (uint16_t)n, __ATOMIC_RELEASE);
}

size_t knames_device_addresses(const char *dev, struct ip *to, size_t room)
{
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (getifaddrs(&all) < 0) {
		return 0;
	}
	for (const struct ifaddrs *a = all; a && n < room; a = a->ifa_next) {
		const void *sa = a->ifa_addr;

		if (!sa || strcmp(a->ifa_name, dev) != 0) {
			continue;
		}
		if (a->ifa_addr->sa_family == AF_INET) {
			to[n] = (struct ip){ .family = 4 };
			memcpy(to[n++].b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
		} else if (a->ifa_addr->sa_family == AF_INET6) {
			to[n] = (struct ip){ .family = 6 };
			memcpy(to[n++].b, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
		}
	}
	freeifaddrs(all);
	return n;
}

/* ---- devices ---- */

/* Is the device still the one that the link holds? */
static bool holds(const struct device *d)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);

	return d->link >= 0 && bpf_obj_get_info_by_fd(d->link, &info, &size) == 0 &&
	       info.xdp.ifindex != 0 && info.xdp.ifindex == if_nametoindex(d->name);
}

static bool is_veth(const char *dev)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq r = { .ifr_data = (void *)&driver };
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(r.ifr_name, dev, IF_NAMESIZE - 1);
	return fd >= 0 && ioctl(fd, SIOCETHTOOL, &r) == 0 && strcmp(driver.driver, "veth") == 0;
}

static int hold(const struct knames *k, unsigned index, enum knames_mode mode)
{
	DECLARE_LIBBPF_OPTS(bpf_link_create_opts, o,
	                    .flags = mode == KNAMES_NATIVE ? XDP_FLAGS_DRV_MODE
	                                                   : XDP_FLAGS_SKB_MODE);
	return bpf_link_create(k->program, (int)index, BPF_XDP, &o);
}

static struct device *device_of(struct knames *k, const char *dev)
{
	for (size_t i = 0; i < k->n_devices; i++) {
		if (strcmp(k->devices[i].name, dev) == 0) {
			return &k->devices[i];
		}
	}
	if (k->n_devices == DEVICES || strlen(dev) >= IF_NAMESIZE) {
		return NULL;
	}
	struct device *d = &k->devices[k->n_devices++];
	*d = (struct device){ .link = -1 };
	memcpy(d->name, dev, strlen(dev));
	return d;
}

int knames_hold(struct knames *k, const char *dev, enum knames_mode mode, struct err *e)
{
	struct device *d = device_of(k, dev);
	unsigned index = if_nametoindex(dev);

	if (!d) {
		return err_set(e, ERR_LIMIT, 0, "device %s: at most %d, of names that exist", dev,
		               DEVICES);
	}
	if (holds(d)) {
		return 0;
	}
	if (d->link >= 0) {
		close(d->link);
		d->link = -1;
	}
	if (index == 0) {
		return err_set(e, ERR_NOT_FOUND, 0, "there is no device %s", dev);
	}
	errno = 0;
	bool native = mode == KNAMES_NATIVE || (mode == KNAMES_AUTO && !is_veth(dev));
	if (native) {
		d->mode = KNAMES_NATIVE;
		d->link = hold(k, index, d->mode);
	}
	if (d->link < 0 && mode != KNAMES_NATIVE && errno != EBUSY) {
		d->mode = KNAMES_GENERIC;
		d->link = hold(k, index, d->mode);
	}
	if (d->link < 0) {
		return err_set(e, ERR_SYSTEM, errno, "answers in the kernel at %s%s", dev,
		               errno == EBUSY || errno == EEXIST
		                       ? ": it has a program of somebody else's"
		                       : "");
	}
	return 1;
}

enum knames_mode knames_held(const struct knames *k, const char *dev)
{
	for (size_t i = 0; i < k->n_devices; i++) {
		if (strcmp(k->devices[i].name, dev) == 0 && holds(&k->devices[i])) {
			return k->devices[i].mode;
		}
	}
	return KNAMES_AUTO;
}
