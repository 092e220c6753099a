/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Namespaces of a runtime's making (CNI). Nothing here holds one: when its last process or mount is gone, the kernel
 * takes our link away with it, and that is how we hear of it. A path may lead to another namespace later (a process id is used
 * again, and so are the inodes of nsfs); SO_NETNS_COOKIE (Linux 5.14) is never used twice. Internal to lib/kernel.
 */
#pragma once

#include "lib/kernel/spaces.h"

/* As struct kernel_guest, and its descriptor while it is being attached; -1: by its path. */
struct guest {
	struct kernel_guest is;
	int fd;
};

/* Opens it; ERR_NOT_FOUND: it is gone, or the path leads to another. ERR_FORBIDDEN: it is one of the plane's. */
int guest_open(const struct space *s, struct err *e);
/* Before the address family is used on its device: IPv6 may be off there. */
void guest_allow_ipv6(const struct space *s);

/* The namespace stays, our link goes: a little later, unless there is no thread for that. */
int guest_leave(struct linux_kernel *k, uint32_t ns, struct err *e)
	__attribute__((warn_unused_result));

/* Links whose namespaces were left: removed in batches by a thread of its own, since one alone costs the caller 17 ms
 * (the kernel waits until no processor can hold it any more). */
struct reaper;
/* The device of that index in the namespace (a descriptor, taken); `home` (borrowed) is the thread's own. False: the caller removes it
 * itself. */
bool reaper_add(struct reaper **r, int home, uint32_t ns, int fd, uint32_t index);
/* Returns when all that was added is gone: a runtime makes an interface anew where it just removed one. False: there was none. */
bool reaper_wait(struct reaper *r);
void reaper_free(struct reaper *r); /* after the last batch; accepts NULL */
