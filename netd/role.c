/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See role.h: the table of roles, and how a process becomes one.
 */
#include "netd/role.h"

#include <cap-ng.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/loop.h"

static int64_t root(const struct config *c)
{
	(void)c;
	return 0;
}

static int64_t control_user(const struct config *c)
{
	return c->user_control;
}

static int64_t dns_user(const struct config *c)
{
	return c->user_dns;
}

static int64_t probe_user(const struct config *c)
{
	return c->user_probe;
}

static int64_t session_user(const struct config *c)
{
	return c->user_session;
}

#define BIT(n) (1u << (n))
#define CAPS(...)           \
	(const unsigned[])  \
	{                   \
		__VA_ARGS__ \
	}

const struct role_row roles[ROLE_N] = {
	[ROLE_MAIN] = { .name = "main", .user = root },
	/* NET_ADMIN: netlink; SYS_ADMIN: setns, unshare, mount; NET_RAW: resets (lib/kernel/reset.h),
	 * which are only sent; NET_BIND_SERVICE: port 53 in VNets; SETUID, SETGID, SETPCAP: a resolver that it begins gives up all it has. */
	[ROLE_ENGINE] = { "engine", root,
	                  CAPS(CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE,
	                       CAP_SETUID, CAP_SETGID, CAP_SETPCAP, ~0u),
	                  0, BIT(ROLE_CONTROL) | BIT(ROLE_PROBE) | BIT(ROLE_DNS), engine_run },
	[ROLE_DNS] = { "dns", dns_user, CAPS(~0u),
	               BIT(FD_DNS_TCP) | BIT(FD_DNS_NAMES) | BIT(FD_DNS_LOG) |
	                       (BIT(FD_DNS_UDP_LAST + 1) - BIT(FD_DNS_UDP)),
	               BIT(ROLE_CONTROL) | BIT(ROLE_ENGINE), dns_run },
	[ROLE_PROBE] = { "probe", probe_user, CAPS(~0u), 0, BIT(ROLE_CONTROL) | BIT(ROLE_ENGINE),
	                 probe_run },
	[ROLE_SESSION] = { "session", session_user, CAPS(~0u),
	                   BIT(FD_SESSION_UNIX) | BIT(FD_SESSION_TLS) | BIT(FD_TLS_CERT) |
	                           BIT(FD_TLS_KEY),
	                   BIT(ROLE_CONTROL), session_run },
	[ROLE_CONTROL] = { "control", control_user, CAPS(~0u),
	                   BIT(FD_API_UNIX) | BIT(FD_API_TLS) | BIT(FD_RUNTIME) | BIT(FD_CNI) |
	                           BIT(FD_SEAL_KEY) | BIT(FD_NODES),
	                   BIT(ROLE_ENGINE) | BIT(ROLE_DNS) | BIT(ROLE_PROBE) | BIT(ROLE_SESSION),
	                   control_run },
};

const enum role control_peers[CONTROL_PEERS] = { ROLE_ENGINE, ROLE_DNS, ROLE_PROBE, ROLE_SESSION };

static int64_t resolver_user(const struct config *c)
{
	return c->user_resolver;
}

/* Not the supervisor's to start. */
static const struct role_row resolver = { "resolver", resolver_user, CAPS(~0u), 0, 0, NULL };

static void must(int rc, const char *what)
{
	if (rc != 0) {
		perror(what);
		exit(71); /* EX_OSERR */
	}
}

void role_enter(enum role role, const struct config *c)
{
	const struct role_row *row = role == ROLE_RESOLVER ? &resolver : &roles[role];
	gid_t id = (gid_t)row->user(c);
	struct rlimit none = { 0, 0 }, files = { 65536, 65536 };

	if (role != ROLE_RESOLVER) { /* which lives as long as the dns role wants it */
		must(prctl(PR_SET_PDEATHSIG, 9), "death signal");
	}
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none);
	capng_clear(CAPNG_SELECT_BOTH);
	for (const unsigned *cap = row->caps; *cap != ~0u; cap++) {
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		             *cap);
	}
	if (id != 0) {
		must(capng_change_id((int)id, (int)id, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING),
		     "change user");
		if (role != ROLE_RESOLVER) { /* a change of user clears it */
			must(prctl(PR_SET_PDEATHSIG, 9), "death signal");
		}
	} else {
		must(setgroups(0, NULL), "drop groups");
		must(capng_apply(CAPNG_SELECT_BOTH), "drop capabilities");
	}
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
	must(prctl(PR_SET_DUMPABLE, 0), "not dumpable");
}

void role_ready(struct channel *to_main)
{
	channel_send(to_main, MSG_READY, NULL, -1);
}

void role_stop(void *loop)
{
	loop_stop(loop);
}

void role_main_closed(void *loop, enum role peer)
{
	(void)peer;
	loop_stop(loop);
}

struct link {
	enum role role;
	struct loop *loop;
	const struct role_peer *peers;
	size_t n;
};

static void peer_closed(void *arg, enum role peer)
{
	struct link *l = arg;

	for (size_t i = 0; i < l->n; i++) {
		if (l->peers[i].role == peer) {
			channel_free(*l->peers[i].at);
			*l->peers[i].at = NULL;
		}
	}
}

static void main_closed(void *arg, enum role peer)
{
	struct link *l = arg;

	role_main_closed(l->loop, peer);
}

static void on_peer(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	struct link *l = arg;
	uint32_t peer = type == MSG_PEER ? get_u32(r) : ROLE_N;

	(void)from;
	for (size_t i = 0; i < l->n && fd >= 0; i++) {
		const struct role_peer *p = &l->peers[i];

		if (p->role == peer) {
			channel_free(*p->at);
			*p->at = channel_new(l->loop, fd, l->role, p->role, p->on_message,
			                     peer_closed, l);
			fd = -1;
			if (p->on_up) {
				p->on_up(p->role);
			}
		}
	}
	if (fd >= 0) {
		close(fd);
	}
}

void role_serve(enum role role, struct loop *l, int main_fd, const struct role_peer *peers,
                size_t n)
{
	struct link link = { role, l, peers, n };
	struct channel *to_main =
		channel_new(l, main_fd, role, ROLE_MAIN, on_peer, main_closed, &link);

	loop_signal(l, SIGTERM, role_stop, l);
	role_ready(to_main);
	loop_run(l);
}
