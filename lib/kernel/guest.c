/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See guest.h.
 */
#include "lib/kernel/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/mnl.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- which one it is ---- */

/* Of the namespace that the socket was opened in; 0: cannot be told. */
static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

/* Has the namespace that the thread is in a default route of that family? (proc(5), /proc/net/route; and
 * /proc/net/ipv6_route, where one that rejects is the kernel's own.) */
static bool has_default(bool six)
{
	FILE *f = fopen(six ? "/proc/thread-self/net/ipv6_route" : "/proc/thread-self/net/route",
	                "re");
	bool found = false;
	char line[300];

	while (f && !found && fgets(line, sizeof(line), f)) {
		unsigned to, mask, len, flags;
		char prefix[40];

		if (six) {
			found = sscanf(line, "%32s %x %*s %*x %*s %*x %*x %*x %x", prefix, &len,
			               &flags) == 3 &&
			        len == 0 && !(flags & 0x200);
		} else {
			found = sscanf(line, "%*s %x %*x %*x %*d %*d %*d %x", &to, &mask) == 2 &&
			        to == 0 && mask == 0;
		}
	}
	if (f) {
		fclose(f);
	}
	return found;
}

/* Is there room for what comes? In the namespace, with a socket there; -1 with *e. */
static int check_room(const struct guest *g, int fd, struct err *e)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, g->is.dev, strlen(g->is.dev));
	if (ioctl(fd, SIOCGIFINDEX, &ifr) == 0) {
		return err_set(e, ERR_CONFLICT, EEXIST, "device %s", g->is.dev);
	}
	if ((g->is.default4 && has_default(false)) || (g->is.default6 && has_default(true))) {
		return err_set(e, ERR_CONFLICT, EEXIST, "default route");
	}
	return 0;
}

/* Is that file one of the plane's own namespaces, or the host's? */
static bool is_own(const struct linux_kernel *k, const struct stat *st)
{
	struct stat home;

	if (fstat(k->home, &home) < 0 || home.st_ino == st->st_ino) {
		return true;
	}
	for (size_t i = 0; i < k->n; i++) {
		if (k->spaces[i]->inode == st->st_ino) {
			return true;
		}
	}
	return false;
}

/* `keep`: something is to be made there; it gets the socket for that. Else NULL. */
static int check(const struct space *s, int fd, struct nl_sock *keep, struct err *e)
{
	const struct guest *g = s->guest;
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC ||
	    ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET || fstat(fd, &st) < 0) {
		return err_set(e, ERR_NOT_FOUND, 0, "%s is no network namespace", g->is.path);
	}
	if (is_own(s->k, &st)) {
		return err_set(e, ERR_FORBIDDEN, 0,
		               "%s is the host's network namespace or one of netd's own",
		               g->is.path);
	}
	if (setns(fd, CLONE_NEWNET) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "enter %s", g->is.path);
	}
	struct nl_sock rt = NL_SOCK_NONE;
	int rc = nl_open(&rt, NETLINK_ROUTE, e);
	if (rc == 0 && cookie_of(rt.fd) != g->is.cookie) {
		rc = err_set(e, ERR_NOT_FOUND, 0, "%s is another namespace now", g->is.path);
	}
	if (rc == 0 && keep) {
		rc = check_room(g, rt.fd, e);
		if (rc < 0 &&
		    reaper_wait(s->k->reaper)) { /* what was in the way was on its way out */
			*e = (struct err)ERR_INIT;
			rc = check_room(g, rt.fd, e);
		}
	}
	if (rc == 0 && keep) {
		*keep = rt;
	} else {
		nl_close(&rt);
	}
	spaces_home(s->k);
	return rc;
}

int guest_open(const struct space *s, struct err *e)
{
	const struct guest *g = s->guest;

	if (g->fd >= 0) {
		return fcntl(g->fd, F_DUPFD_CLOEXEC, 3);
	}
	AUTO_CLOSE int fd = open(g->is.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		return err_set(e, ERR_NOT_FOUND, errno, "open %s", g->is.path);
	}
	return check(s, fd, NULL, e) < 0 ? -1 : take_fd(&fd);
}

/* "0" or "1", of its device; the thread is in the namespace. */
static void disable_ipv6(const struct space *s, const char *value)
{
	char path[100];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", s->guest->is.dev);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)!write(fd, value, 1);
	}
}

void guest_allow_ipv6(const struct space *s)
{
	struct err ignored = ERR_INIT;

	if (spaces_enter(s, &ignored) == 0) {
		disable_ipv6(s, "0");
		spaces_home(s->k);
	}
}

static bool device_name(const char *dev)
{
	size_t n = strnlen(dev, KOBJ_NAME);

	for (const char *c = dev; *c && n < KOBJ_NAME; c++) {
		if (*c <= ' ' || *c >= 0x7f || *c == '/' || *c == ':' || *c == '%') {
			return false;
		}
	}
	return n > 0 && n < KOBJ_NAME && strcmp(dev, ".") != 0 && strcmp(dev, "..") != 0 &&
	       strcmp(dev, "lo") != 0 && strcmp(dev, "all") != 0 && strcmp(dev, "default") != 0;
}

int kernel_linux_guest(struct kernel *ops, uint32_t ns, const struct kernel_guest *is, int fd,
                       struct err *e)
{
	struct linux_kernel *k = (struct linux_kernel *)ops;
	struct space *s = spaces_get(k, ns);
	bool fresh = s == NULL;

	if (ns < KOBJ_NS_FIRST || ns >= KOBJ_NS_GIVEN || (s && s->type != KOBJ_NETNS_GUEST) ||
	    !device_name(is->dev) || is->path[0] != '/' || is->cookie == 0) {
		return err_set(e, ERR_FORBIDDEN, 0, "guest %u: number, path or device out of range",
		               ns);
	}
	if (!s && !(s = spaces_insert(k, ns, KOBJ_NETNS_GUEST))) {
		return err_set(e, ERR_NO_MEMORY, 0, "namespace %u: out of memory", ns);
	}
	int was = s->guest ? s->guest->fd : -1;
	if (!s->guest && !(s->guest = malloc(sizeof(*s->guest)))) {
		spaces_forget(k, ns);
		return err_set(e, ERR_NO_MEMORY, 0, "namespace %u: out of memory", ns);
	}
	*s->guest = (struct guest){ *is, -1 };
	if (was >= 0) { /* of an attempt that failed */
		close(was);
	}
	if (fd >= 0 && check(s, fd, fresh ? &s->rt : NULL, e) < 0) {
		if (fresh) {
			spaces_forget(k, ns);
		}
		return -1;
	}
	s->guest->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	return 0;
}

void kernel_linux_guest_settled(struct kernel *ops, uint32_t ns)
{
	struct space *s = spaces_get((struct linux_kernel *)ops, ns);

	if (s && s->guest && s->guest->fd >= 0) {
		close(s->guest->fd);
		s->guest->fd = -1;
	}
}

/* ---- links that are left ---- */

#define REAP_WAIT_NS \
	100000000 /* that long they gather, and their namespaces may end by themselves */
#define REAP_MAX   4096u
#define REAP_BATCH 32u         /* go at once: nobody else can change links meanwhile */
#define REAP_PAUSE 20000000    /* ns, for others in between, while no more than */
#define REAP_CALM  512u        /* wait */
#define REAP_GROUP 0x6e657464u /* of links, while they wait for their end */

struct reaped {
	uint32_t ns, index;
	int fd;
};

struct reaper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_cond_t idle;
	struct reaped v[REAP_MAX], now[REAP_MAX]; /* that wait, and that the thread works on */
	size_t n;
	int home; /* where the thread is while it has nothing to do: in a VNet's it would keep that alive */
	bool stop, busy;
	unsigned hurry; /* callers that wait */
};

static void mark(struct nl_batch *b, uint32_t index)
{
	struct ifinfomsg *ifi;
	struct nlmsghdr *h = nl_batch_begin(b, RTM_NEWLINK, 0, sizeof(*ifi), (void **)&ifi);

	if (h) {
		ifi->ifi_index = (int)index;
		mnl_attr_put_u32(h, IFLA_GROUP, REAP_GROUP);
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

/* All of one namespace: put into a group, which then goes at once. */
static void reap(const struct reaped *v, size_t n)
{
	struct nl_sock rt = NL_SOCK_NONE;
	struct nl_batch b = { 0 };
	struct err ignored = ERR_INIT;
	struct ifinfomsg *ifi;
	struct nlmsghdr *h;

	if (setns(v[0].fd, CLONE_NEWNET) < 0 || nl_open(&rt, NETLINK_ROUTE, &ignored) < 0) {
		return;
	}
	for (size_t i = 0; i < n; i++) {
		mark(&b, v[i].index);
	}
	h = nl_batch_begin(&b, RTM_DELLINK, 0, sizeof(*ifi), (void **)&ifi);
	if (h) {
		mnl_attr_put_u32(h, IFLA_GROUP, REAP_GROUP);
		nl_batch_end(&b, NL_FORGIVE_ABSENT);
	}
	(void)!nl_batch_send(&rt, &b, NULL, NULL, &ignored);
	nl_batch_fini(&b);
	nl_close(&rt);
}

static int by_ns(const void *pa, const void *pb)
{
	const struct reaped *a = pa, *b = pb;

	return a->ns < b->ns ? -1 : a->ns > b->ns;
}

static void *reap_all(void *arg)
{
	static const struct timespec pause = { .tv_nsec = REAP_PAUSE };
	struct reaper *r = arg;
	struct reaped *now = r->now;

	pthread_mutex_lock(&r->lock);
	while (!r->stop || r->n > 0) {
		if (r->n == 0) {
			pthread_cond_wait(&r->more, &r->lock);
			continue;
		}
		if (!r->stop && !r->hurry) {
			struct timespec until;

			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += REAP_WAIT_NS;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			while (!r->stop && !r->hurry &&
			       pthread_cond_timedwait(&r->more, &r->lock, &until) == 0) {
			}
		}
		r->busy = true;
		size_t n = r->n;
		memcpy(now, r->v, n * sizeof(*now));
		r->n = 0;
		pthread_mutex_unlock(&r->lock);
		qsort(now, n, sizeof(*now), by_ns);
		for (size_t i = 0, k; i < n; i = k) {
			for (k = i + 1; k < n && k - i < REAP_BATCH && now[k].ns == now[i].ns;
			     k++) {
			}
			reap(now + i, k - i);
			if (setns(r->home, CLONE_NEWNET) < 0) {
				abort();
			}
			if (k < n && n < REAP_CALM &&
			    !__atomic_load_n(&r->hurry, __ATOMIC_RELAXED)) {
				nanosleep(&pause, NULL);
			}
		}
		for (size_t i = 0; i < n; i++) {
			close(now[i].fd);
		}
		pthread_mutex_lock(&r->lock);
		r->busy = false;
		pthread_cond_broadcast(&r->idle);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static struct reaper *reaper_new(int home)
{
	struct reaper *r = calloc(1, sizeof(*r));
	sigset_t all, was;

	if (!r) {
		return NULL;
	}
	r->home = home;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->more, NULL);
	pthread_cond_init(&r->idle, NULL);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	int rc = pthread_create(&r->thread, NULL, reap_all, r);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (rc != 0) {
		free(r);
		return NULL;
	}
	return r;
}

bool reaper_add(struct reaper **r, int home, uint32_t ns, int fd, uint32_t index)
{
	bool added = false;

	if (!*r && !(*r = reaper_new(home))) {
		close(fd);
		return false;
	}
	pthread_mutex_lock(&(*r)->lock);
	if ((*r)->n < REAP_MAX) {
		(*r)->v[(*r)->n++] = (struct reaped){ ns, index, fd };
		added = true;
		pthread_cond_signal(&(*r)->more);
	}
	pthread_mutex_unlock(&(*r)->lock);
	if (!added) {
		close(fd);
	}
	return added;
}

bool reaper_wait(struct reaper *r)
{
	bool any = false;

	if (!r) {
		return false;
	}
	pthread_mutex_lock(&r->lock);
	r->hurry++;
	while (r->n > 0 || r->busy) {
		any = true;
		pthread_cond_signal(&r->more);
		pthread_cond_wait(&r->idle, &r->lock);
	}
	r->hurry--;
	pthread_mutex_unlock(&r->lock);
	return any;
}

void reaper_free(struct reaper *r)
{
	if (!r) {
		return;
	}
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->more);
	pthread_cond_destroy(&r->idle);
	free(r);
}

/* A namespace that lives on keeps the device until the reaper comes: until then it must not send by it, as another of its
 * interfaces may lead to the same subnet. Without addresses the kernel has no routes by it (fib_inetaddr_event(), addrconf_ifdown()),
 * and unlike the device's end that waits for no grace period. */
static void fall_silent(const struct space *s)
{
	struct err ignored = ERR_INIT; /* it is gone with all that was in it */
	struct ifreq r = { 0 };

	if (!s->guest || spaces_enter(s, &ignored) < 0) {
		return;
	}
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memcpy(r.ifr_name, s->guest->is.dev, strlen(s->guest->is.dev));
	if (fd >= 0 && ioctl(fd, SIOCGIFINDEX, &r) == 0 && (uint32_t)r.ifr_ifindex == s->ns) {
		r.ifr_ifindex = 0;
		((struct sockaddr_in *)&r.ifr_addr)->sin_family = AF_INET; /* 0.0.0.0: none */
		(void)ioctl(fd, SIOCSIFADDR, &r);
		disable_ipv6(s, "1");
	}
	spaces_home(s->k);
}

int guest_leave(struct linux_kernel *k, uint32_t ns, struct err *e)
{
	const struct space *s = spaces_get(k, ns);
	uint32_t vnet = s && s->guest ? s->guest->is.vnet : 0;
	const struct space *router = spaces_get(k, vnet);
	struct kobj link = { .ns = vnet, .kind = KOBJ_LINK, .sub = KOBJ_LINK_VETH, .index = ns };
	struct kop op = { KOP_DEL, &link };

	if (s) {
		fall_silent(s);
	}
	spaces_forget(k, ns);
	if (!router || router->type != KOBJ_NETNS_VNET) {
		return 0;
	}
	int fd = spaces_open(k, vnet, router->type, e);
	if (fd < 0) {
		return e->kind == ERR_NOT_FOUND ? 0 : -1;
	}
	snprintf(link.dev, sizeof(link.dev), "p%u", ns);
	return reaper_add(&k->reaper, k->home, vnet, fd, ns)
	               ? 0
	               : k->ops.apply(&k->ops, vnet, &op, 1, e);
}
