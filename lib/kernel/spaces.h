/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The namespaces that the real kernel (kernel_linux.c) works in: their files, descriptors and
 * sockets, sorted by number. Internal to lib/kernel.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/loop.h"
#include "lib/kernel/kernel.h"
#include "lib/kernel/netlink.h"

struct guest;
struct linux_kernel;
struct reaper;

/* One namespace: the host's, the gateway's, a VNet's, a group's, one that was given, a runtime's. */
struct space {
	struct linux_kernel *k;
	uint32_t ns;
	uint8_t type; /* 0: the host's */
	ino_t inode; /* of its file; KOBJ_NETNS_GIVEN: as the sockets were opened. 0: host, guest */
	struct guest *guest;          /* KOBJ_NETNS_GUEST: guest.h; freed with it */
	struct kobj ruleset;          /* the one last applied, kind 0: none yet */
	struct nl_sock rt, nft;       /* requests */
	struct nl_sock rt_ev, nft_ev; /* events */
	struct loop_watch *rt_watch, *nft_watch;
	struct nl_sock ends; /* flows that end, while somebody asks (flows.c) */
	struct loop_watch *ends_watch;
	void (*on_end)(void *arg, uint32_t ns, const struct kflow *f);
	void *end_arg;
	int raw[2]; /* for resets, IPv4 and IPv6; -1: not yet */
	int packet; /* the gateway's, for announcements: announce.h; the same */
};

struct linux_kernel {
	struct kernel ops;
	char dir[96];
	char given[KOBJ_GIVEN_MAX][160]; /* paths of given namespaces */
	int home;
	struct space **spaces; /* sorted by number */
	size_t n, cap;
	struct netns_stock *stock; /* from the first group on */
	struct reaper *reaper;     /* from the first guest that left */
	struct floating *floating;
	struct rate *rate;
	struct shortcut *shortcut; /* NULL: none */
	bool refused;              /* the kernel has none */
	struct loop *loop;
	void (*on_event)(void *arg, uint32_t ns, uint32_t index);
	void *arg;
};

/* Is the inside somebody else's, so that nothing is listened to there, and what is not ours stays? */
static inline bool spaces_tenants(const struct space *s)
{
	return s->type == KOBJ_NETNS_GROUP || s->type == KOBJ_NETNS_GUEST;
}

struct space *spaces_get(struct linux_kernel *k, uint32_t ns); /* NULL: none */
struct space *spaces_need(struct linux_kernel *k, uint32_t ns, struct err *e);
/* NULL: out of memory */
struct space *spaces_insert(struct linux_kernel *k, uint32_t ns, uint8_t type);
/* Closes what it has open. */
void spaces_forget(struct linux_kernel *k, uint32_t ns);
void spaces_close(struct space *s);
void spaces_fini(struct linux_kernel *k);

/* Where the namespace's file is. */
void spaces_path(const struct linux_kernel *k, uint32_t ns, uint8_t type, char *to, size_t size);
/* Opens that file; refuses whatever is not a network namespace, and a given one that is the host's. */
int spaces_open(const struct linux_kernel *k, uint32_t ns, uint8_t type, struct err *e);
/* Into the namespace, and back home; the process ends when the second is not possible. */
int spaces_enter(const struct space *s, struct err *e);
void spaces_home(const struct linux_kernel *k);
/* Files of the plane's namespaces; *ret is malloc'ed and the caller's; their number or -1. */
int spaces_list(const struct linux_kernel *k, struct kernel_ns **ret, struct err *e);
/* A given namespace may be another than last time, or none: its sockets go then, and with them the
 * last hold on the old one. False: there is none. */
bool spaces_look(struct space *s);

/* kernel_linux.c: opens the namespace's sockets (`events`: those too) that are not open. */
int spaces_ready(struct space *s, bool events, struct err *e);
/* Passes over the events that the engine's own work has made. */
void spaces_echo(struct space *s);
