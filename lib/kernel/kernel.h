/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The kernel as the engine sees it: a table of functions over kernel objects. The real one
 * (kernel_linux) speaks netlink; the fake one keeps sets in memory, for tests and simulation.
 * All calls run on the engine's thread and may block for the kernel's work, up to 5 s a call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/kernel/conntrack.h"
#include "lib/kernel/counters.h"
#include "lib/kernel/kobj.h"

struct loop;

/* A namespace of the plane found under the run folder. */
struct kernel_ns {
	uint32_t ns;
	uint8_t type; /* enum kobj_netns */
};

enum kernel_socket {
	KERNEL_SOCKET_PROBE, /* TCP, port of the kernel's choice; in the gateway: as from outside */
	KERNEL_SOCKET_NAMES_UDP, /* port 53; beside one that is there already */
	KERNEL_SOCKET_NAMES_TCP, /* the same, listening */
};

struct kernel {
	/* Makes the namespace, its file and its sysctls; already there is success. */
	int (*ns_add)(struct kernel *k, uint32_t ns, uint8_t type, struct err *e);
	/* Takes over a namespace that a former engine made. ERR_NOT_FOUND when it is broken. */
	int (*ns_adopt)(struct kernel *k, uint32_t ns, uint8_t type, struct err *e);
	/* Removes the file and lets go of the namespace; absent is success. Its devices vanish a
	 * little later. */
	int (*ns_del)(struct kernel *k, uint32_t ns, uint8_t type, struct err *e);
	/* Namespaces present; *ret is malloc'ed and the caller's; returns their number or -1. */
	int (*ns_list)(struct kernel *k, struct kernel_ns **ret, struct err *e);
	/* Can a runtime's namespace (KOBJ_NETNS_GUEST) be found again? One that cannot may be there all the same: who may read
	 * /proc/PID/ns/net of a container depends on its rights. */
	bool (*ns_there)(struct kernel *k, uint32_t ns);
	/* A descriptor of the namespace for SCM_RIGHTS; the caller closes it. -1 on error. */
	int (*ns_fd)(struct kernel *k, uint32_t ns, struct err *e);
	/* A socket in a VNet's router that does not block, bound to the platform's address there
	 * (168.63.129.16 or its twin): see enum kernel_socket. The caller closes it. -1 on error. */
	int (*ns_socket)(struct kernel *k, uint32_t ns, uint8_t family, enum kernel_socket kind,
	                 struct err *e);
	/* All objects in the namespace that are of the plane's kinds, sorted by key. */
	int (*dump)(struct kernel *k, uint32_t ns, struct kset *to, struct err *e);
	/* Executes sorted steps, all of one namespace: first rtnetlink, then nftables as one
	 * transaction. On failure some of the first may have happened: the caller dumps again. */
	int (*apply)(struct kernel *k, uint32_t ns, const struct kop *ops, size_t n, struct err *e);
	/* Reports what others changed: fn(arg, ns, index) with the interface index concerned, 0 for
	 * nftables and whatever cannot be told. Events of the engine's own calls are not reported,
	 * nor what happens in groups' namespaces. */
	void (*watch)(struct kernel *k, struct loop *l,
	              void (*fn)(void *arg, uint32_t ns, uint32_t index), void *arg);
	/* Stops reading a namespace's events (a noisy tenant) or starts afresh. */
	void (*mute)(struct kernel *k, uint32_t ns, bool muted);
	/* Connections that the namespace tracks, one after the other; fn returns -1 to stop. */
	int (*flows)(struct kernel *k, uint32_t ns, int (*fn)(void *arg, const struct kflow *f),
	             void *arg, struct err *e);
	/* Forgets those; absent ones are passed over. */
	int (*flows_del)(struct kernel *k, uint32_t ns, const struct kflow *v, size_t n,
	                 struct err *e);
	/* The same, and ends TCP connections among them: both ends get a reset (reset.h). */
	int (*flows_cut)(struct kernel *k, uint32_t ns, const struct kflow *v, size_t n,
	                 struct err *e);
	/* Tells of flows that end by themselves in a VNet, as conntrack forgets them: fn(arg, ns, f);
	 * NULL: not any more. */
	int (*flows_watch)(struct kernel *k, uint32_t ns,
	                   void (*fn)(void *arg, uint32_t ns, const struct kflow *f), void *arg,
	                   struct err *e);
	/* Flows that the namespace tracks; -1: none yet. */
	long (*flows_count)(struct kernel *k, uint32_t ns);
	/* Tightens a VNet's shares of new flows: 0 as they are, 1 each group's, 2 all together. */
	int (*tighten)(struct kernel *k, uint32_t ns, unsigned level, struct err *e);
	/* Routes of a given namespace's main table that lead away from the plane, as objects sorted
	 * by key. ERR_NOT_FOUND: the namespace is not there now. */
	int (*learned)(struct kernel *k, uint32_t ns, struct kset *to, struct err *e);
	/* What a VNet's router has counted; counters.h. */
	int (*counters)(struct kernel *k, uint32_t ns, uint32_t what,
	                int (*fn)(void *arg, const struct kcount *c), void *arg, struct err *e);
	void (*free)(struct kernel *k);
};

/* The real kernel. `dir` is the run folder that holds ns/ (made if absent); the namespace of the
 * calling thread becomes the host's. */
struct kernel *kernel_linux_new(const char *dir, struct err *e);

/* Loads the programs that run in the kernel (shortcut.h, floating.h), and tries in a namespace of its own whether
 * they can be bound. Without them the gateway is slower, and floating IP leads to a group's own address.
 * ERR_SYSTEM says what the kernel lacks. */
int kernel_linux_programs(struct kernel *k, struct err *e) __attribute__((warn_unused_result));

/* An administrator's namespace gets one of the KOBJ_GIVEN_MAX numbers from KOBJ_NS_GIVEN; its file may
 * come and go. ERR_INVALID: number or path out of range. */
int kernel_linux_give(struct kernel *k, uint32_t ns, const char *path, struct err *e)
	__attribute__((warn_unused_result));

/* A namespace of a runtime's making, that a group of that number will be in. `fd` is its descriptor (borrowed), -1: it is found
 * by its path. ERR_FORBIDDEN: it is the host's or the plane's own. With a descriptor also ERR_CONFLICT: it has a device of that name,
 * or a default route, already. */
struct kernel_guest {
	char path[256];          /* absolute */
	char dev[KOBJ_NAME];     /* the interface there */
	uint64_t cookie;         /* SO_NETNS_COOKIE of a socket there */
	uint32_t vnet;           /* the VNet that the group's port is in */
	bool default4, default6; /* it gets a default route of that family */
};
int kernel_linux_guest(struct kernel *k, uint32_t ns, const struct kernel_guest *is, int fd,
                       struct err *e) __attribute__((warn_unused_result));
/* It is attached: lets go of its descriptor, the last hold on it. */
void kernel_linux_guest_settled(struct kernel *k, uint32_t ns);

/* The fake. kernel_fake_fail() makes the n-th apply from now on fail (0: never). */
struct kernel *kernel_fake_new(void);
void kernel_fake_fail(struct kernel *k, unsigned nth);
/* A namespace that goes takes the links that lead into it along at once (false, so it begins), or when this is called with false
 * again: Linux takes them down in batches, some ms to seconds later. */
void kernel_fake_linger(struct kernel *k, bool on);
/* A stranger's hand: removes one object, with what hangs on it, and reports the event. */
void kernel_fake_lose(struct kernel *k, const struct kobj *o);
