/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See flows.h, and conntrack.h for what is read and written.
 */
#include "lib/kernel/flows.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/kernel/mnl.h"
#include "lib/kernel/netns.h"
#include "lib/kernel/nft.h"
#include "lib/kernel/reset.h"
#include "lib/kernel/spaces.h"

int flows_list(struct kernel *ops, uint32_t ns, int (*fn)(void *arg, const struct kflow *f),
               void *arg, struct err *e)
{
	struct space *s = spaces_need((struct linux_kernel *)ops, ns, e);

	return s && spaces_ready(s, false, e) == 0 ? conntrack_dump(&s->nft, fn, arg, e) : -1;
}

int flows_delete(struct kernel *ops, uint32_t ns, const struct kflow *v, size_t n, struct err *e)
{
	struct space *s = spaces_need((struct linux_kernel *)ops, ns, e);
	int rc = s && spaces_ready(s, false, e) == 0 ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < n;) {
		struct nl_batch b = { 0 };

		for (size_t k = 0; k < 200 && i < n; k++) {
			conntrack_delete(&b, &v[i++]);
		}
		rc = nl_batch_send(&s->nft, &b, NULL, NULL, e);
		nl_batch_fini(&b);
	}
	return rc;
}

long flows_count(struct kernel *ops, uint32_t ns)
{
	struct space *s = spaces_get((struct linux_kernel *)ops, ns);
	struct err e = ERR_INIT;
	long n = -1;

	if (s && s->type == KOBJ_NETNS_VNET && spaces_enter(s, &e) == 0) {
		n = netns_flows();
		spaces_home(s->k);
	}
	return n;
}

static int open_raw(struct space *s, struct err *e)
{
	int rc = 0;

	if (s->raw[0] >= 0) {
		return 0;
	}
	if (spaces_enter(s, e) < 0) {
		return -1;
	}
	for (int i = 0; i < 2 && rc == 0; i++) {
		s->raw[i] = reset_open(i ? 6 : 4, e);
		rc = s->raw[i] < 0 ? -1 : 0;
	}
	spaces_home(s->k);
	return rc;
}

int flows_cut(struct kernel *ops, uint32_t ns, const struct kflow *v, size_t n, struct err *e)
{
	struct space *s = spaces_need((struct linux_kernel *)ops, ns, e);
	struct nl_batch b = { 0 };

	if (!s || s->type != KOBJ_NETNS_VNET) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u is no VNet's", ns);
	}
	if (spaces_ready(s, true, e) < 0 || open_raw(s, e) < 0) {
		return -1;
	}
	nft_batch_begin(&b);
	reset_encode(&b, v, n);
	nft_batch_end(&b);
	int rc = nl_batch_send(&s->nft, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	if (rc < 0 || flows_delete(ops, ns, v, n, e) < 0) {
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		if (v[i].proto == IPPROTO_TCP) {
			reset_send(s->raw[v[i].src.family == 6], &v[i]);
		}
	}
	spaces_echo(s);
	return 0;
}

/* ---- flows that end ---- */

static void on_end(void *arg)
{
	struct space *s = arg;
	char data[16384];

	for (;;) {
		ssize_t n = recv(s->ends.fd, data, sizeof(data), MSG_DONTWAIT);

		if (n < 0 && (errno == EINTR || errno == ENOBUFS)) {
			continue; /* those that were lost end silently */
		}
		if (n <= 0) {
			return;
		}
		int left = (int)n;
		for (const struct nlmsghdr *h = (void *)data; NLMSG_OK(h, (unsigned)left);
		     h = NLMSG_NEXT(h, left)) {
			struct kflow f;

			if (h->nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE) &&
			    h->nlmsg_pid == 0) { /* by itself, not by somebody's hand */
				conntrack_read(h, &f);
				s->on_end(s->end_arg, s->ns, &f);
			}
		}
	}
}

int flows_watch(struct kernel *ops, uint32_t ns,
                void (*fn)(void *arg, uint32_t ns, const struct kflow *f), void *arg, struct err *e)
{
	struct space *s = spaces_need((struct linux_kernel *)ops, ns, e);

	if (!s || s->type != KOBJ_NETNS_VNET || (fn != NULL) == (s->ends.fd >= 0)) {
		return s ? 0 : -1;
	}
	if (!fn) {
		loop_watch_free(s->ends_watch);
		s->ends_watch = NULL;
		nl_close(&s->ends);
		return 0;
	}
	if (spaces_enter(s, e) < 0) {
		return -1;
	}
	int rc = nl_open(&s->ends, NETLINK_NETFILTER, e);
	if (rc == 0) {
		rc = nl_subscribe(&s->ends, NFNLGRP_CONNTRACK_DESTROY, e);
	}
	spaces_home(s->k);
	if (rc < 0) {
		nl_close(&s->ends);
		return -1;
	}
	s->on_end = fn;
	s->end_arg = arg;
	s->ends_watch = loop_watch_read(s->k->loop, s->ends.fd, on_end, s);
	return 0;
}
