/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See engine_names.h.
 */
#include "netd/engine_names.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"

static void send_sockets(struct kernel *k, struct channel *dns, uint32_t ns)
{
	static const enum kernel_socket kinds[] = { KERNEL_SOCKET_NAMES_UDP,
		                                    KERNEL_SOCKET_NAMES_TCP };
	struct err e = ERR_INIT;

	for (unsigned i = 0; i < 4; i++) { /* the dns role's bits: 1 IPv6, 2 TCP */
		struct buf b = { 0 };
		AUTO_CLOSE int fd = k->ns_socket(k, ns, i & 1 ? 6 : 4, kinds[i >> 1], &e);

		put_u32(&b, ns);
		put_u8(&b, (uint8_t)i);
		channel_send(dns, MSG_NAMES_SOCKET, &b, fd);
		buf_fini(&b);
		if (fd < 0) {
			return;
		}
	}
}

/* In the child, between fork and exec: only what may be called there. */
static void exec_resolver(const struct config *c, int ns, int fd)
{
	const char *const argv[] = { "netd", "--resolver", c->path ? "--config" : NULL,
		               c->path, NULL };

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

void engine_names(const struct config *c, struct kernel *k, struct channel *dns,
                  enum msg_type type, struct reader *r)
{
	uint32_t vnet = get_u32(r);
	struct buf b = { 0 };

	if (!reader_done(r)) {
		r->failed = true;
	} else if (type == MSG_NAMES_SOCKET_ASK) {
		send_sockets(k, dns, vnet);
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
