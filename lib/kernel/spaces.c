/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See spaces.h.
 */
#include "lib/kernel/spaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/guest.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

static size_t find(const struct linux_kernel *k, uint32_t ns)
{
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (k->spaces[mid]->ns < ns) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

struct space *spaces_get(struct linux_kernel *k, uint32_t ns)
{
	size_t i = find(k, ns);

	return i < k->n && k->spaces[i]->ns == ns ? k->spaces[i] : NULL;
}

struct space *spaces_insert(struct linux_kernel *k, uint32_t ns, uint8_t type)
{
	size_t i = find(k, ns);
	struct space *s;

	if (k->n == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 64;
		struct space **v = realloc(k->spaces, cap * sizeof(struct space *));

		if (!v) {
			return NULL;
		}
		k->spaces = v;
		k->cap = cap;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		return NULL;
	}
	*s = (struct space){ .k = k, .ns = ns, .type = type };
	s->rt = s->nft = s->rt_ev = s->nft_ev = s->ends = (struct nl_sock)NL_SOCK_NONE;
	s->raw[0] = s->raw[1] = s->packet = -1;
	memmove(&k->spaces[i + 1], &k->spaces[i], (k->n - i) * sizeof(struct space *));
	k->spaces[i] = s;
	k->n++;
	return s;
}

void spaces_close(struct space *s)
{
	loop_watch_free(s->rt_watch);
	loop_watch_free(s->nft_watch);
	s->rt_watch = s->nft_watch = NULL;
	nl_close(&s->rt);
	nl_close(&s->nft);
	nl_close(&s->rt_ev);
	nl_close(&s->nft_ev);
	loop_watch_free(s->ends_watch);
	s->ends_watch = NULL;
	nl_close(&s->ends);
	for (int i = 0; i < 2; i++) {
		if (s->raw[i] >= 0) {
			close(s->raw[i]);
		}
		s->raw[i] = -1;
	}
	if (s->packet >= 0) {
		close(s->packet);
	}
	s->packet = -1;
}

static void space_free(struct space *s)
{
	spaces_close(s);
	if (s->guest && s->guest->fd >= 0) {
		close(s->guest->fd);
	}
	free(s->guest);
	free(s);
}

void spaces_fini(struct linux_kernel *k)
{
	while (k->n > 0) {
		space_free(k->spaces[--k->n]);
	}
	free(k->spaces);
}

void spaces_forget(struct linux_kernel *k, uint32_t ns)
{
	size_t i = find(k, ns);

	if (i < k->n && k->spaces[i]->ns == ns) {
		space_free(k->spaces[i]);
		memmove(&k->spaces[i], &k->spaces[i + 1], (k->n - i - 1) * sizeof(struct space *));
		k->n--;
	}
}

void spaces_path(const struct linux_kernel *k, uint32_t ns, uint8_t type, char *to, size_t size)
{
	char name[24];

	if (type == KOBJ_NETNS_GIVEN) {
		snprintf(to, size, "%s", k->given[ns - KOBJ_NS_GIVEN]);
		return;
	}
	kobj_ns_name(ns, type, name);
	snprintf(to, size, "%s/ns/%s", k->dir, name);
}

void spaces_home(const struct linux_kernel *k)
{
	if (setns(k->home, CLONE_NEWNET) < 0) {
		abort(); /* in a tenant's namespace by mistake: nothing may run on */
	}
}

/* Opens a namespace's file; refuses whatever is not a network namespace. */
int spaces_open(const struct linux_kernel *k, uint32_t ns, uint8_t type, struct err *e)
{
	char path[160];
	struct statfs fs;

	if (type == 0) {
		return fcntl(k->home, F_DUPFD_CLOEXEC, 3);
	}
	spaces_path(k, ns, type, path, sizeof(path));
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0) {
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, errno, "open %s",
		               path);
	}
	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC ||
	    ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		return err_set(e, ERR_NOT_FOUND, 0, "%s is no network namespace", path);
	}
	struct stat file, home;
	if (type == KOBJ_NETNS_GIVEN &&
	    (fstat(fd, &file) < 0 || fstat(k->home, &home) < 0 || file.st_ino == home.st_ino)) {
		return err_set(e, ERR_NOT_FOUND, 0, "%s is the host's own namespace", path);
	}
	return take_fd(&fd);
}

int spaces_enter(const struct space *s, struct err *e)
{
	AUTO_CLOSE int fd = s->guest ? guest_open(s, e) : spaces_open(s->k, s->ns, s->type, e);

	if (fd < 0) {
		return -1;
	}
	if (setns(fd, CLONE_NEWNET) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "enter namespace %u", s->ns);
	}
	return 0;
}

static bool parse_name(const char *name, struct kernel_ns *to)
{
	char *end;

	if (strcmp(name, "gw") == 0) {
		*to = (struct kernel_ns){ KOBJ_NS_GATEWAY, KOBJ_NETNS_GATEWAY };
		return true;
	}
	if ((name[0] != 'v' && name[0] != 'g') || name[1] < '1' || name[1] > '9') {
		return false;
	}
	unsigned long n = strtoul(name + 1, &end, 10);
	*to = (struct kernel_ns){ (uint32_t)n,
		                  name[0] == 'v' ? KOBJ_NETNS_VNET : KOBJ_NETNS_GROUP };
	return *end == '\0' && n >= KOBJ_NS_FIRST && n <= INT32_MAX;
}

int spaces_list(const struct linux_kernel *k, struct kernel_ns **ret, struct err *e)
{
	struct kernel_ns *v = NULL, one;
	size_t n = 0, cap = 0;
	char path[160];

	snprintf(path, sizeof(path), "%s/ns", k->dir);
	DIR *d = opendir(path);
	if (!d) {
		return err_set(e, ERR_SYSTEM, errno, "read %s", path);
	}
	for (const struct dirent *entry; (entry = readdir(d));) {
		if (!parse_name(entry->d_name, &one)) {
			continue;
		}
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			struct kernel_ns *grown = realloc(v, cap * sizeof(*v));
			if (!grown) {
				free(v);
				closedir(d);
				return err_set(e, ERR_NO_MEMORY, 0, "namespaces: out of memory");
			}
			v = grown;
		}
		v[n++] = one;
	}
	closedir(d);
	*ret = v;
	return (int)n;
}

struct space *spaces_need(struct linux_kernel *k, uint32_t ns, struct err *e)
{
	struct space *s = spaces_get(k, ns);

	if (!s) {
		err_set(e, ERR_NOT_FOUND, 0, "namespace %u is not there", ns);
	}
	return s;
}

bool spaces_look(struct space *s)
{
	struct err e = ERR_INIT;
	struct stat st;
	AUTO_CLOSE int fd = spaces_open(s->k, s->ns, s->type, &e);
	ino_t now = fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;

	if (now != s->inode) {
		spaces_close(s);
		s->inode = now;
	}
	return now != 0;
}
