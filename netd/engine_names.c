/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See engine_names.h.
 */
#include "netd/engine_names.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"

/* The sockets of a VNet's router stay open here, too: a dns role that comes back gets the same, with what came to them
 * meanwhile. Kinds are the dns role's bits: 1 IPv6, 2 TCP. */
struct kept {
	uint32_t vnet;
	ino_t inode; /* of the router's namespace */
	int fd[4];
};

static struct kept *kept;
static size_t n_kept;

static struct kept *kept_find(uint32_t vnet)
{
	for (size_t i = 0; i < n_kept; i++) {
		if (kept[i].vnet == vnet) {
			return &kept[i];
		}
	}
	return NULL;
}

static void kept_drop(struct kept *x)
{
	for (int i = 0; x && i < 4; i++) {
		close(x->fd[i]);
	}
	if (x) {
		*x = kept[--n_kept];
	}
}

/* The router's namespace as it is now; 0: none. */
static ino_t inode_of(struct kernel *k, uint32_t vnet)
{
	struct err e = ERR_INIT;
	AUTO_CLOSE int fd = k->ns_fd(k, vnet, &e);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static struct kept *kept_make(struct kernel *k, uint32_t vnet, ino_t inode)
{
	struct kept x = { .vnet = vnet, .inode = inode };
	struct err e = ERR_INIT;

	for (unsigned i = 0; i < 4; i++) {
		x.fd[i] =
			k->ns_socket(k, vnet, i & 1 ? 6 : 4,
		                     i & 2 ? KERNEL_SOCKET_NAMES_TCP : KERNEL_SOCKET_NAMES_UDP, &e);
		if (x.fd[i] < 0) {
			while (i-- > 0) {
				close(x.fd[i]);
			}
			return NULL;
		}
	}
	struct kept *v = realloc(kept, (n_kept + 1) * sizeof(*v));
	if (!v) {
		abort();
	}
	kept = v;
	kept[n_kept] = x;
	return &kept[n_kept++];
}

static void send_socket(struct channel *dns, uint32_t vnet, unsigned kind, int fd)
{
	struct buf b = { 0 };

	put_u32(&b, vnet);
	put_u8(&b, (uint8_t)kind);
	channel_send(dns, MSG_NAMES_SOCKET, &b, fd);
	buf_fini(&b);
}

static void send_sockets(struct kernel *k, struct channel *dns, uint32_t vnet)
{
	ino_t inode = inode_of(k, vnet);
	struct kept *x = kept_find(vnet);

	if (x && x->inode != inode) {
		kept_drop(x);
		x = NULL;
	}
	if (!x && inode) {
		x = kept_make(k, vnet, inode);
	}
	if (!x) {
		send_socket(dns, vnet, 0, -1);
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		send_socket(dns, vnet, i, x->fd[i]);
	}
}

void engine_names_check(struct kernel *k, struct channel *dns)
{
	for (size_t i = 0; i < n_kept; i++) {
		uint32_t vnet = kept[i].vnet;
		ino_t inode = inode_of(k, vnet);

		if (inode == 0) {
			kept_drop(&kept[i--]);
		} else if (inode != kept[i].inode) {
			send_sockets(k, dns, vnet);
		}
	}
}

/* In the child, between fork and exec: only what may be called there. */
static void exec_resolver(const struct config *c, int ns, int fd)
{
	const char *const argv[] = { "netd", "--resolver", c->path ? "--config" : NULL, c->path,
		                     NULL };

	if (setns(ns, CLONE_NEWNET) < 0) {
		_exit(71);
	}
	dup2(fd, ROLE_FD_MAIN);
	if (fd == ROLE_FD_MAIN) {
		fcntl(fd, F_SETFD, 0);
	}
	execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
	_exit(71);
}

/* The channel to a resolver in that namespace, which has begun; -1: it has not. */
static int start_resolver(const struct config *c, struct kernel *k, uint32_t vnet)
{
	struct err e = ERR_INIT;
	AUTO_CLOSE int ns = k->ns_fd(k, vnet, &e);
	int pair[2];

	if (ns < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		log_warn("resolver.start", LOG_STR("error", e.msg));
		return -1;
	}
	pid_t pid = fork();
	if (pid == 0) {
		exec_resolver(c, ns, pair[1]);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return -1;
	}
	log_info("resolver.started", LOG_NUM("vnet", vnet), LOG_NUM("pid", pid));
	return pair[0];
}

void engine_names(const struct config *c, struct kernel *k, struct channel *dns, enum msg_type type,
                  struct reader *r)
{
	uint32_t vnet = get_u32(r);
	struct buf b = { 0 };

	if (!reader_done(r)) {
		r->failed = true;
	} else if (type == MSG_NAMES_SOCKET_ASK) {
		send_sockets(k, dns, vnet);
	} else if (type == MSG_NAMES_SOCKET_DROP) {
		kept_drop(kept_find(vnet));
	} else if (type == MSG_RESOLVER_ASK) {
		AUTO_CLOSE int fd = start_resolver(c, k, vnet);

		put_u32(&b, vnet);
		channel_send(dns, MSG_RESOLVER, &b, fd);
		buf_fini(&b);
	} else {
		r->failed = true;
	}
}

void engine_names_reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		log_info("resolver.ended", LOG_NUM("pid", pid));
	}
}
