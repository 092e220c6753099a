/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See netns.h. The stock has a thread of its own: making a namespace is a third of an attach, needs
 * nothing of the engine's, and uses the other core. It touches nothing but its queue.
 */
#include "lib/kernel/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/kobj.h"

#define NETNS_STOCK_LOW 12u
#define QUIET_NS        10000000

static void write_sysctl(const char *path, const char *value)
{
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* Absent ones (no IPv6, no br_netfilter) have nothing to switch off. */
	if (fd >= 0 && write(fd, value, strlen(value)) < 0) {
		return;
	}
}

#define V4 "/proc/sys/net/ipv4/"
#define V6 "/proc/sys/net/ipv6/"
#define BR "/proc/sys/net/bridge/bridge-nf-call-"

void netns_sysctls(uint8_t type)
{
	static const char *const every[][2] = {
		{ V4 "conf/all/accept_redirects", "0" },
		{ V4 "conf/default/accept_redirects", "0" },
		{ V6 "conf/all/accept_ra", "0" },
		{ V6 "conf/default/accept_ra", "0" },
		{ V6 "conf/default/accept_redirects", "0" },
		{ V6 "conf/default/accept_dad", "0" },
		/* No link-local addresses, the plane's neighbours are permanent; by default of the
		 * namespace, since kernel 6.18 refuses IFLA_AF_SPEC while a link is made. */
		{ V6 "conf/default/addr_gen_mode", "1" },
	};
	static const char *const router[][2] = {
		{ V4 "ip_forward", "1" },
		{ V6 "conf/all/forwarding", "1" },
		{ V4 "conf/all/send_redirects", "0" },
		{ V4 "conf/default/send_redirects", "0" },
		{ V4 "conf/all/rp_filter", "0" },
		{ V4 "conf/default/rp_filter", "0" },
		{ V6 "conf/default/proxy_ndp", "1" },
		{ BR "iptables", "0" },
		{ BR "ip6tables", "0" },
		{ BR "arptables", "0" },
	};

	for (size_t i = 0; i < ARRAY_N(every); i++) {
		write_sysctl(every[i][0], every[i][1]);
	}
	for (size_t i = 0; type != KOBJ_NETNS_GROUP && i < ARRAY_N(router); i++) {
		write_sysctl(router[i][0], router[i][1]);
	}
	if (type == KOBJ_NETNS_VNET) {
		/* Sources are the guard's and the ruleset's work: the kernel's own check looks every
		 * packet up twice. */
		write_sysctl(V4 "conf/all/accept_local", "1");
		netns_conntrack();
	}
}

#define CT "/proc/sys/net/netfilter/nf_conntrack_"

void netns_conntrack(void)
{
	static const char *const settings[][2] = {
		{ CT "tcp_loose", "0" },
		{ CT "tcp_timeout_syn_sent", "20" },
		{ CT "tcp_timeout_syn_recv", "20" },
		{ CT "udp_timeout", "20" },
		{ CT "icmp_timeout", "10" },
		{ CT "icmpv6_timeout", "10" },
		{ CT "generic_timeout", "60" },
	};

	for (size_t i = 0; i < ARRAY_N(settings); i++) {
		write_sysctl(settings[i][0], settings[i][1]);
	}
}

long netns_flows(void)
{
	AUTO_CLOSE int fd = open(CT "count", O_RDONLY | O_CLOEXEC);
	char text[24] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strtol(text, NULL, 10) : -1;
}

/* ---- paths ---- */

int netns_clear(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) {
		return -1;
	}
	return unlink(path) < 0 && errno != ENOENT ? -1 : 0;
}

int netns_bind(const char *path, int ns, struct err *e)
{
	char from[40];
	const int how = O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	AUTO_CLOSE int fd = open(path, how, 0444);

	if (fd < 0 && errno == EEXIST && netns_clear(path) == 0) {
		fd = open(path, how, 0444);
	}
	if (fd < 0) {
		return err_set(e, ERR_SYSTEM, errno, "make %s", path);
	}
	snprintf(from, sizeof(from), ns < 0 ? "/proc/thread-self/ns/net" : "/proc/self/fd/%d", ns);
	if (mount(from, path, "none", MS_BIND, NULL) < 0) {
		err_set(e, ERR_SYSTEM, errno, "bind namespace to %s", path);
		unlink(path);
		return -1;
	}
	return 0;
}

/* ---- the stock ---- */

struct netns_stock {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct netns_spare v[NETNS_STOCK];
	size_t n;
	bool stop, failed;
	struct err why;
};

static void spare_close(struct netns_spare *s)
{
	close(s->fd);
	nl_close(&s->rt);
}

/* The calling thread moves into the namespace it makes. */
static int make_spare(struct netns_spare *to, struct err *e)
{
	*to = (struct netns_spare){ -1, NL_SOCK_NONE };
	if (unshare(CLONE_NEWNET) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "make a namespace");
	}
	netns_sysctls(KOBJ_NETNS_GROUP);
	to->fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (to->fd < 0) {
		return err_set(e, ERR_SYSTEM, errno, "open a namespace");
	}
	if (nl_open(&to->rt, NETLINK_ROUTE, e) < 0) {
		close(to->fd);
		return -1;
	}
	return 0;
}

/* Waits until nobody took one for a while, or few are left. */
static void quiet(struct netns_stock *p)
{
	size_t n;

	do {
		struct timespec until;

		n = p->n;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += QUIET_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&p->changed, &p->lock, &until);
	} while (!p->stop && p->n != n && p->n >= NETNS_STOCK_LOW);
}

static void *keep_stock(void *arg)
{
	struct netns_stock *p = arg;
	struct netns_spare spare;
	struct err e;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		if (p->n == NETNS_STOCK || p->failed) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		if (p->n >= NETNS_STOCK_LOW && !p->stop) {
			quiet(p); /* who has just taken one is at work: not on its locks and core */
			if (p->stop || p->n == NETNS_STOCK) {
				continue;
			}
		}
		pthread_mutex_unlock(&p->lock);
		e = (struct err)ERR_INIT;
		int rc = make_spare(&spare, &e);
		pthread_mutex_lock(&p->lock);
		if (rc == 0) {
			p->v[p->n++] = spare;
		} else {
			p->failed = true;
			p->why = e;
		}
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct netns_stock *netns_stock_new(struct err *e)
{
	struct netns_stock *p = calloc(1, sizeof(*p));
	sigset_t all, was;

	if (!p) {
		err_set(e, ERR_NO_MEMORY, 0, "stock of namespaces: out of memory");
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &was);
	int rc = pthread_create(&p->thread, NULL, keep_stock, p);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (rc != 0) {
		free(p);
		err_set(e, ERR_SYSTEM, rc, "stock of namespaces: thread");
		return NULL;
	}
	return p;
}

int netns_stock_take(struct netns_stock *p, struct netns_spare *to, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	while (p->n == 0 && !p->failed) {
		pthread_cond_wait(&p->changed, &p->lock);
	}
	if (p->n > 0) {
		*to = p->v[--p->n];
	} else { /* the next one who asks has it tried again */
		*e = p->why;
		p->failed = false;
		rc = -1;
	}
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void netns_stock_free(struct netns_stock *p)
{
	if (!p) {
		return;
	}
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	while (p->n > 0) {
		spare_close(&p->v[--p->n]);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	free(p);
}
