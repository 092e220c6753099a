/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See role.h: the table of roles, and how a process becomes one.
 */
#include "netd/role.h"

#include <cap-ng.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

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

#define BIT(n) (1u << (n))
#define CAPS(...)           \
	(const unsigned[])  \
	{                   \
		__VA_ARGS__ \
	}

const struct role_row roles[ROLE_N] = {
	[ROLE_MAIN] = { .name = "main", .user = root },
	/* NET_ADMIN: netlink; SYS_ADMIN: setns, unshare, mount. */
	[ROLE_ENGINE] = { "engine", root, CAPS(CAP_NET_ADMIN, CAP_SYS_ADMIN, ~0u), 0,
	                  BIT(ROLE_CONTROL), engine_run },
	[ROLE_DNS] = { "dns", dns_user, CAPS(~0u), BIT(FD_DNS_UDP) | BIT(FD_DNS_TCP),
	               BIT(ROLE_CONTROL), dns_run },
	[ROLE_CONTROL] = { "control", control_user, CAPS(~0u),
	                   BIT(FD_API_UNIX) | BIT(FD_API_TLS) | BIT(FD_RUNTIME),
	                   BIT(ROLE_ENGINE) | BIT(ROLE_DNS), control_run },
};

static void must(int rc, const char *what)
{
	if (rc != 0) {
		perror(what);
		exit(71); /* EX_OSERR */
	}
}

void role_enter(enum role role, const struct config *c)
{
	const struct role_row *row = &roles[role];
	gid_t id = (gid_t)row->user(c);
	struct rlimit none = { 0, 0 }, files = { 65536, 65536 };

	must(prctl(PR_SET_PDEATHSIG, 9), "death signal");
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
		must(prctl(PR_SET_PDEATHSIG, 9), "death signal"); /* a change of user clears it */
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
