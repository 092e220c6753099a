/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The real kernel behind kernel.h: namespaces under DIR/ns, netlink sockets opened inside them.
 * setns(2) and unshare(2) are per thread: only the engine's one thread calls this, and it is back
 * home after each call, or the process ends. Owns all sockets and watches it opens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/kernel/announce.h"
#include "lib/kernel/flows.h"
#include "lib/kernel/guest.h"
#include "lib/kernel/kernel.h"
#include "lib/kernel/netlink.h"
#include "lib/kernel/netns.h"
#include "lib/kernel/nft.h"
#include "lib/kernel/nft_phase.h"
#include "lib/kernel/nft_policy.h"
#include "lib/kernel/programs.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/spaces.h"

static struct linux_kernel *self(struct kernel *k)
{
	return (struct linux_kernel *)k; /* ops is the first member */
}

/* ---- events ---- */

/* `echo`: what the engine did itself is to be passed over, and what the kernel made of it (sender 0);
 * what somebody else did at the same moment is not. */
static void read_events(struct space *s, struct nl_sock *from, bool echo)
{
	struct linux_kernel *k = s->k;
	uint32_t own = from == &s->rt_ev ? s->rt.portid : s->nft.portid;
	uint32_t ns = s->ns, last = UINT32_MAX;
	char data[16384];

	for (;;) {
		ssize_t n = recv(from->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0 && errno == ENOBUFS) {
			if (!echo) {
				k->on_event(k->arg, ns, 0); /* messages were lost: compare all */
			}
			continue;
		}
		if (n <= 0) {
			return;
		}
		int left = (int)n;
		for (const struct nlmsghdr *h = (void *)data; NLMSG_OK(h, (unsigned)left);
		     h = NLMSG_NEXT(h, left)) {
			if (echo && (h->nlmsg_pid == 0 || h->nlmsg_pid == own)) {
				continue;
			}
			uint32_t index = from == &s->rt_ev ? rtnl_event_index(h) : 0;

			if (index != last) {
				last = index;
				k->on_event(k->arg, ns, index);
				if (spaces_get(k, ns) != s || from->fd < 0) {
					return; /* the answer was to remove it */
				}
			}
		}
	}
}

void spaces_echo(struct space *s)
{
	if (s->rt_ev.fd >= 0) {
		read_events(s, &s->rt_ev, true);
	}
	if (s->nft_ev.fd >= 0) {
		read_events(s, &s->nft_ev, true);
	}
}

static void on_rt_event(void *arg)
{
	struct space *s = arg;

	read_events(s, &s->rt_ev, false);
}

static void on_nft_event(void *arg)
{
	struct space *s = arg;

	read_events(s, &s->nft_ev, false);
}

static bool has_nft(const struct space *s)
{
	return !spaces_tenants(s) && s->type != KOBJ_NETNS_GIVEN;
}

/* The host's, the gateway's, VNets' and given namespaces only: the kernel walks all sockets that listen
 * anywhere for each event anywhere (netlink_broadcast: a sixth of an attach at 1,000 groups), and
 * what a tenant does in his own should cost nobody else. */
static int open_events_here(struct space *s, struct err *e)
{
	static const unsigned every[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
		                          RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE };
	static const unsigned router[] = { RTNLGRP_NEIGH, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE,
		                           RTNLGRP_TC };
	bool ours = s->type && s->type != KOBJ_NETNS_GIVEN;

	if (nl_open(&s->rt_ev, NETLINK_ROUTE, e) < 0) {
		return -1;
	}
	for (size_t i = 0; i < ARRAY_N(every); i++) {
		if (nl_subscribe(&s->rt_ev, every[i], e) < 0) {
			return -1;
		}
	}
	for (size_t i = 0; ours && i < ARRAY_N(router); i++) {
		if (nl_subscribe(&s->rt_ev, router[i], e) < 0) {
			return -1;
		}
	}
	if (has_nft(s)) {
		if (nl_open(&s->nft_ev, NETLINK_NETFILTER, e) < 0 ||
		    nl_subscribe(&s->nft_ev, NFNLGRP_NFTABLES, e) < 0) {
			return -1;
		}
		s->nft_watch = loop_watch_read(s->k->loop, s->nft_ev.fd, on_nft_event, s);
	}
	s->rt_watch = loop_watch_read(s->k->loop, s->rt_ev.fd, on_rt_event, s);
	return 0;
}

static void close_events(struct space *s)
{
	loop_watch_free(s->rt_watch);
	loop_watch_free(s->nft_watch);
	s->rt_watch = s->nft_watch = NULL;
	nl_close(&s->rt_ev);
	nl_close(&s->nft_ev);
}

/* Sockets that are missing or broken are opened anew, with one visit to the namespace. */
int spaces_ready(struct space *s, bool events, struct err *e)
{
	bool want_rt = s->rt.fd < 0 || s->rt.broken;
	bool want_nft = has_nft(s) && (s->nft.fd < 0 || s->nft.broken);
	bool want_events = events && s->k->loop && s->rt_ev.fd < 0 && !spaces_tenants(s);
	int rc = 0;

	if (s->type == KOBJ_NETNS_GIVEN && !s->inode && !spaces_look(s)) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u is not there", s->ns);
	}
	if (!want_rt && !want_nft && !want_events) {
		return 0;
	}
	if (spaces_enter(s, e) < 0) {
		return -1;
	}
	if (want_rt) {
		nl_close(&s->rt);
		rc = nl_open(&s->rt, NETLINK_ROUTE, e);
	}
	if (rc == 0 && want_nft) {
		nl_close(&s->nft);
		rc = nl_open(&s->nft, NETLINK_NETFILTER, e);
	}
	if (rc == 0 && want_events) {
		rc = open_events_here(s, e);
	}
	spaces_home(s->k);
	return rc;
}

/* ---- namespaces ---- */

/* So that a runtime's namespace can be told from our own. */
static void remember_inode(struct space *s, int fd)
{
	struct stat st;

	s->inode = fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static int linux_ns_adopt(struct kernel *ops, uint32_t ns, uint8_t type, struct err *e)
{
	struct linux_kernel *k = self(ops);
	AUTO_CLOSE int fd = spaces_open(k, ns, type, e);

	if (fd < 0) {
		return -1;
	}
	struct space *s = spaces_get(k, ns);
	if (!s && !(s = spaces_insert(k, ns, type))) {
		return err_set(e, ERR_NO_MEMORY, 0, "namespace %u: out of memory", ns);
	}
	remember_inode(s, fd);
	if (setns(fd, CLONE_NEWNET) == 0) {
		netns_sysctls(type);
		spaces_home(k);
	}
	return 0;
}

/* Gateway and VNets: made here and now. */
static int make_router(struct linux_kernel *k, struct space *s, const char *path, struct err *e)
{
	if (unshare(CLONE_NEWNET) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "make namespace %u", s->ns);
	}
	netns_sysctls(s->type);
	int rc = netns_bind(path, -1, e);
	if (rc == 0) {
		rc = nl_open(&s->rt, NETLINK_ROUTE, e);
	}
	if (rc == 0) {
		rc = nl_open(&s->nft, NETLINK_NETFILTER, e);
	}
	AUTO_CLOSE int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	remember_inode(s, fd);
	spaces_home(k);
	return rc;
}

/* A group's comes from the stock, with its socket open. */
static int take_spare(struct linux_kernel *k, struct space *s, const char *path, struct err *e)
{
	struct netns_spare spare;

	if (!k->stock && !(k->stock = netns_stock_new(e))) {
		return -1;
	}
	if (netns_stock_take(k->stock, &spare, e) < 0) {
		return -1;
	}
	int rc = netns_bind(path, spare.fd, e);
	remember_inode(s, spare.fd);
	close(spare.fd);
	s->rt = spare.rt;
	return rc;
}

static int linux_ns_add(struct kernel *ops, uint32_t ns, uint8_t type, struct err *e)
{
	struct linux_kernel *k = self(ops);
	char path[160];

	struct space *s = spaces_get(k, ns);

	if (type == KOBJ_NETNS_GUEST) {
		return s && s->guest ? 0
		                     : err_set(e, ERR_NOT_FOUND, 0,
		                               "group %u: nobody gave its namespace", ns);
	}
	if (s) {
		return 0;
	}
	spaces_path(k, ns, type, path, sizeof(path));
	s = spaces_insert(k, ns, type);
	if (!s) {
		return err_set(e, ERR_NO_MEMORY, 0, "namespace %u: out of memory", ns);
	}
	int rc = type == KOBJ_NETNS_GROUP ? take_spare(k, s, path, e) : make_router(k, s, path, e);
	if (rc < 0) {
		spaces_forget(k, ns);
	}
	return rc;
}

static bool linux_ns_there(struct kernel *ops, uint32_t ns)
{
	const struct space *s = spaces_get(self(ops), ns);
	struct err e = ERR_INIT;
	AUTO_CLOSE int fd = s && s->guest ? guest_open(s, &e) : -1;

	return fd >= 0;
}

static int linux_ns_del(struct kernel *ops, uint32_t ns, uint8_t type, struct err *e)
{
	struct linux_kernel *k = self(ops);
	char path[160];

	if (type == KOBJ_NETNS_GUEST) {
		return guest_leave(k, ns, e);
	}
	spaces_path(k, ns, type, path, sizeof(path));
	spaces_forget(k, ns);
	programs_forget(k, ns);
	if (netns_clear(path) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "remove %s", path);
	}
	return 0;
}

static int linux_ns_list(struct kernel *ops, struct kernel_ns **ret, struct err *e)
{
	return spaces_list(self(ops), ret, e);
}

static int linux_ns_fd(struct kernel *ops, uint32_t ns, struct err *e)
{
	const struct space *s = spaces_need(self(ops), ns, e);

	if (!s) {
		return -1;
	}
	return s->guest ? guest_open(s, e) : spaces_open(s->k, ns, s->type, e);
}

/* Names: as many packets as may wait for a busy role, none in fragments (RFC 9715). */
static int names_socket(int fd, uint8_t family, enum kernel_socket kind)
{
	int one = 1, big = 1 << 20, off = family == 4 ? IP_PMTUDISC_OMIT : IPV6_PMTUDISC_OMIT;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0) {
		return -1;
	}
	if (kind == KERNEL_SOCKET_NAMES_UDP) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
		setsockopt(fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6,
		           family == 4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, &off, sizeof(off));
	}
	return family == 4 ? 0 : setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
}

static int linux_ns_socket(struct kernel *ops, uint32_t ns, uint8_t family, enum kernel_socket kind,
                           struct err *e)
{
	static const uint8_t platform6[16] = { 0xfd, 0x53, 0xa8, 0x3f, 0x81, 0x10, [15] = 0x10 };
	bool names = kind != KERNEL_SOCKET_PROBE;
	struct sockaddr_in v4 = { .sin_family = AF_INET,
		                  .sin_port = htons(names ? 53 : 0),
		                  .sin_addr.s_addr = htonl(0xa83f8110) }; /* 168.63.129.16 */
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(names ? 53 : 0) };
	const struct sockaddr *from = family == 4 ? (void *)&v4 : (void *)&v6;
	struct space *s = spaces_need(self(ops), ns, e);
	int one = 1, mark = NFT_BIT_GUARD | NFT_BIT_NSG;
	bool outside = s && s->type == KOBJ_NETNS_GATEWAY;

	if (!s || (s->type != KOBJ_NETNS_VNET && !outside) || (outside && names)) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u is no VNet's", ns);
	}
	if (outside) {
		memcpy(&v4.sin_addr, nft_outside, 4);
	}
	memcpy(&v6.sin6_addr, outside ? nft_outside6 : platform6, 16);
	if (spaces_enter(s, e) < 0) {
		return -1;
	}
	int type = kind == KERNEL_SOCKET_NAMES_UDP ? SOCK_DGRAM : SOCK_STREAM;
	AUTO_CLOSE int fd =
		socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	spaces_home(s->k);
	if (fd < 0 || (names && names_socket(fd, family, kind) < 0)) {
		return err_set(e, ERR_SYSTEM, errno, "socket in namespace %u", ns);
	}
	if (!names) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	}
	if (outside && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "mark of a socket in the gateway");
	}
	if (bind(fd, from, family == 4 ? sizeof(v4) : sizeof(v6)) < 0 ||
	    (kind == KERNEL_SOCKET_NAMES_TCP && listen(fd, 128) < 0)) {
		return err_set(e, ERR_SYSTEM, errno, "socket in namespace %u", ns);
	}
	return take_fd(&fd);
}

/* ---- objects ---- */

static uint8_t ruleset_of(const struct space *s)
{
	static const uint8_t by_type[] = {
		KOBJ_RULESET_UPLINK, KOBJ_RULESET_GATEWAY, KOBJ_RULESET_VNET, 0, 0, 0
	};

	return by_type[s->type];
}

/* After a restart it is not known which of a gateway's rulesets is there: the one whose sum this is, if there is any. */
static struct kobj found_ruleset(const struct space *s, uint64_t sum)
{
	static const struct {
		uint32_t index, flags;
	} forms[] = { { 0, 0 }, { KOBJ_NODES_INDEX, 0 }, { KOBJ_NODES_INDEX, KOBJ_LEAF } };
	struct kobj o = { .ns = s->ns, .kind = KOBJ_RULESET, .sub = ruleset_of(s) };

	for (size_t i = 0; o.sub == KOBJ_RULESET_GATEWAY && i < ARRAY_N(forms); i++) {
		o.index = forms[i].index;
		o.flags = forms[i].flags;
		if (nft_ruleset_sum(&o) == sum) {
			break;
		}
	}
	return o;
}

/* A dump gives a ruleset's sum. When it is the sum of what this kind of ruleset is made of, the
 * dump tells the object itself, else something that no plan wants. */
static void judge_rulesets(struct space *s, struct kset *to)
{
	for (size_t i = 0; i < to->n; i++) {
		struct kobj *o = &to->v[i];
		uint64_t sum = (uint64_t)o->index << 32 | o->flags;

		if (o->kind != KOBJ_RULESET) {
			continue;
		}
		/* The uplink's ruleset depends on devices and next hops: after a restart it is made anew, in
		 * one transaction. */
		if (s->type == 0 &&
		    (s->ruleset.kind != KOBJ_RULESET || !programs_uplink_is_on(s))) {
			o->mtu = 1;
			continue;
		}
		*o = s->ruleset.kind == KOBJ_RULESET ? s->ruleset : found_ruleset(s, sum);
		o->mtu = nft_ruleset_sum(o) == sum ? 0 : 1;
	}
}

static int linux_dump(struct kernel *ops, uint32_t ns, struct kset *to, struct err *e)
{
	struct space *s = spaces_need(self(ops), ns, e);

	if (!s || spaces_ready(s, true, e) < 0 ||
	    rtnl_dump(&s->rt, ns, s->guest != NULL, to, e) < 0) {
		return -1;
	}
	if (programs_dump(s, to, e) < 0) {
		return -1;
	}
	if (ruleset_of(s) && nft_dump(&s->nft, ns, ruleset_of(s), to, e) < 0) {
		return -1;
	}
	judge_rulesets(s, to);
	if (spaces_tenants(s)) {
		nl_close(&s->rt); /* a descriptor less for each group at rest; no hold on a guest */
	}
	kset_sort(to);
	return 0;
}

/* Runs of element steps of one set and verb become one message each. */
static void encode_elems(struct nl_batch *b, const struct kop *ops, size_t n, bool removals,
                         const struct kobj **run)
{
	for (size_t i = 0; i < n;) {
		const struct kobj *o = ops[i].o;
		size_t m = 0;
		bool takes = removals ? ops[i].verb != KOP_ADD : ops[i].verb != KOP_DEL;

		if (o->kind != KOBJ_ELEM || !takes) {
			i++;
			continue;
		}
		while (i < n && ops[i].o->kind == KOBJ_ELEM && ops[i].o->sub == o->sub &&
		       (removals ? ops[i].verb != KOP_ADD : ops[i].verb != KOP_DEL)) {
			run[m++] = ops[i++].o;
		}
		nft_elems_encode(b, removals ? KOP_DEL : KOP_ADD, run, m);
	}
}

static int commit_nft(struct space *s, struct nl_batch *b, struct err *e)
{
	nft_batch_end(b);
	int rc = nl_batch_send(&s->nft, b, NULL, NULL, e);

	if (rc < 0) {
		err_wrap(e, "nftables of namespace %u", s->ns);
	}
	return rc;
}

static int send_nft(struct space *s, const struct kop *ops, size_t n, struct err *e)
{
	struct nl_batch b = { 0 };
	AUTO_FREE const struct kobj **run = calloc(n + 1, sizeof(struct kobj *));
	int rc = run ? 0 : err_set(e, ERR_NO_MEMORY, 0, "apply: out of memory");
	bool anew = false;

	nft_batch_begin(&b);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (ops[i].o->kind == KOBJ_RULESET && ops[i].verb != KOP_DEL) {
			rc = nft_ruleset_encode(
				&b, ops[i].o,
				s->type == KOBJ_NETNS_VNET ? NFT_PART_REST : NFT_PART_ALL, e);
			s->ruleset = *ops[i].o;
			anew = true;
		}
	}
	if (rc == 0) {
		encode_elems(&b, ops, n, true, run);
		nft_policy_items(&b, ops, n, true);
		nft_policy_remove(&b, ops, n);
		nft_policy_add(&b, ops, n);
		nft_policy_items(&b, ops, n, false);
		encode_elems(&b, ops, n, false, run);
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (ops[i].o->kind == KOBJ_RULESET && ops[i].verb == KOP_DEL) {
			nft_ruleset_remove(&b, ops[i].o);
		}
	}
	rc = rc < 0 ? rc : commit_nft(s, &b, e);
	rc = rc < 0 || s->type != 0 ? rc : programs_uplink(s, anew, ops, n, e);
	if (rc == 0 && anew && s->type == KOBJ_NETNS_VNET) {
		crash_point(CRASH_ENGINE_RULESET);
		nl_batch_fini(&b);
		nft_batch_begin(&b);
		rc = nft_ruleset_encode(&b, &s->ruleset, NFT_PART_DECIDES, e);
		rc = rc < 0 ? rc : commit_nft(s, &b, e);
	}
	struct err ignored = ERR_INIT;
	if (rc == 0 && anew && s->type == KOBJ_NETNS_VNET && spaces_enter(s, &ignored) == 0) {
		netns_conntrack();
		spaces_home(s->k);
	}
	nl_batch_fini(&b);
	return rc;
}

static int apply_nft(struct space *s, const struct kop *ops, size_t n, struct err *e)
{
	AUTO_FREE struct kop *part = calloc(n + 1, sizeof(*part));
	AUTO_FREE uint8_t *phase = calloc(n + 1, 1);
	int rc = part && phase && nft_phases(ops, n, phase)
	                 ? 0
	                 : err_set(e, ERR_NO_MEMORY, 0, "apply: out of memory");

	bool made = false;
	for (uint8_t now = 0; rc == 0 && now < NFT_PHASES; now++) {
		bool any = false;
		size_t m = 0;

		for (size_t i = 0; i < n; i++) {
			if (phase[i] == now) {
				any = any || ops[i].o->kind >= KOBJ_RULESET;
				part[m++] = ops[i];
			}
		}
		if (any && made && now == NFT_PHASE_TURN) {
			crash_point(CRASH_ENGINE_RULES_MADE);
		} else if (any && made && now == NFT_PHASE_CLEAR) {
			crash_point(CRASH_ENGINE_RULES_TURNED);
		}
		made = made || (any && now == NFT_PHASE_MAKE);
		rc = any ? send_nft(s, part, m, e) : 0;
	}
	return rc;
}

static void say_where(struct space *s, const struct kop *v, size_t n)
{
	struct err e = ERR_INIT;

	if (s->packet < 0 && spaces_enter(s, &e) == 0) {
		s->packet = announce_open();
		spaces_home(s->k);
	}
	if (s->packet >= 0) {
		announce_send(s->packet, v, n);
	}
}

static int linux_apply(struct kernel *ops, uint32_t ns, const struct kop *v, size_t n,
                       struct err *e)
{
	struct linux_kernel *k = self(ops);
	struct space *s = spaces_need(k, ns, e);
	bool has_rt = false, has_nft = false;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		bool nft = v[i].o->kind >= KOBJ_RULESET;

		has_nft = has_nft || nft;
		has_rt = has_rt || !nft;
	}
	if (!s || spaces_ready(s, !spaces_tenants(s), e) < 0) {
		return -1;
	}
	for (size_t i = 0; s->guest && i < n; i++) {
		if (v[i].o->kind == KOBJ_ADDR && v[i].o->family == 6 && v[i].verb == KOP_ADD) {
			guest_allow_ipv6(s);
			break;
		}
	}
	if (has_rt) {
		/* Steps are sorted: removals of nftables objects lie between; pass them over. */
		AUTO_FREE struct kop *rt = calloc(n, sizeof(*rt));
		size_t m = 0;

		if (!rt) {
			return err_set(e, ERR_NO_MEMORY, 0, "apply: out of memory");
		}
		for (size_t i = 0; i < n; i++) {
			if (v[i].o->kind < KOBJ_RULESET) {
				rt[m++] = v[i];
			}
		}
		rc = rtnl_apply(k, s, rt, m, e);
	}
	if (rc == 0 && has_nft) {
		rc = apply_nft(s, v, n, e);
	}
	if (rc == 0 && ns == KOBJ_NS_GATEWAY && has_rt && announce_any(v, n)) {
		say_where(s, v, n);
	}
	if (spaces_tenants(s)) {
		struct err later = ERR_INIT;

		if (rc == 0 && spaces_ready(s, true, &later) < 0) {
			close_events(s);
		}
		nl_close(&s->rt);
	} else {
		spaces_echo(s);
	}
	return rc;
}

static void linux_watch(struct kernel *ops, struct loop *l,
                        void (*fn)(void *arg, uint32_t ns, uint32_t index), void *arg)
{
	struct linux_kernel *k = self(ops);
	struct err e = ERR_INIT;

	k->loop = l;
	k->on_event = fn;
	k->arg = arg;
	for (size_t i = 0; i < k->n; i++) {
		if (spaces_ready(k->spaces[i], true, &e) < 0) {
			fn(arg, k->spaces[i]->ns, 0);
		}
	}
}

static void linux_mute(struct kernel *ops, uint32_t ns, bool muted)
{
	struct space *s = spaces_get(self(ops), ns);
	struct err e = ERR_INIT;

	if (s && muted) {
		close_events(s); /* what piled up goes with the socket */
	} else if (s && spaces_ready(s, true, &e) < 0) {
		close_events(s);
	}
}

static int linux_tighten(struct kernel *ops, uint32_t ns, unsigned level, struct err *e)
{
	struct space *s = spaces_need(self(ops), ns, e);
	struct nl_batch b = { 0 };

	if (!s || spaces_ready(s, true, e) < 0) {
		return -1;
	}
	nft_batch_begin(&b);
	nft_tighten(&b, level);
	nft_batch_end(&b);
	int rc = nl_batch_send(&s->nft, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	spaces_echo(s);
	return rc;
}

static int linux_counters(struct kernel *ops, uint32_t ns, uint32_t what,
                          int (*fn)(void *arg, const struct kcount *c), void *arg, struct err *e)
{
	struct space *s = spaces_need(self(ops), ns, e);
	if (!s || s->type != KOBJ_NETNS_VNET) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u is no VNet's", ns);
	}
	return spaces_ready(s, true, e) < 0 ? -1 : counters_dump(&s->rt, &s->nft, what, fn, arg, e);
}

static int linux_learned(struct kernel *ops, uint32_t ns, struct kset *to, struct err *e)
{
	struct linux_kernel *k = self(ops);
	struct space *s = spaces_need(k, ns, e);

	if (!s || s->type != KOBJ_NETNS_GIVEN) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u was not given", ns);
	}
	ino_t was = s->inode;
	bool there = spaces_look(s);
	if (s->inode != was && k->on_event) {
		k->on_event(k->arg, ns, 0); /* another one, or none: what was ours is gone */
	}
	if (!there) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u is not there", ns);
	}
	if (spaces_ready(s, true, e) < 0 || rtnl_learned(&s->rt, ns, to, e) < 0) {
		return -1;
	}
	kset_sort(to);
	return 0;
}

int kernel_linux_give(struct kernel *ops, uint32_t ns, const char *path, struct err *e)
{
	struct linux_kernel *k = self(ops);

	size_t i = ns - KOBJ_NS_GIVEN;

	if (i >= KOBJ_GIVEN_MAX || strlen(path) >= sizeof(k->given[0])) {
		return err_set(e, ERR_INVALID, 0, "namespace %u, %.200s: out of range", ns, path);
	}
	snprintf(k->given[i], sizeof(k->given[i]), "%s", path);
	if (!spaces_insert(k, ns, KOBJ_NETNS_GIVEN)) {
		return err_set(e, ERR_NO_MEMORY, 0, "namespace %u: out of memory", ns);
	}
	return 0;
}

static void linux_free(struct kernel *ops)
{
	struct linux_kernel *k = self(ops);

	spaces_fini(k);
	netns_stock_free(k->stock);
	reaper_free(k->reaper);
	programs_free(k);
	close(k->home);
	free(k);
}

struct kernel *kernel_linux_new(const char *dir, struct err *e)
{
	struct linux_kernel *k = calloc(1, sizeof(*k));
	char path[128];

	if (!k) {
		err_set(e, ERR_NO_MEMORY, 0, "kernel: out of memory");
		return NULL;
	}
	k->ops = (struct kernel){ linux_ns_add,   linux_ns_adopt, linux_ns_del,    linux_ns_list,
		                  linux_ns_there, linux_ns_fd,    linux_ns_socket, linux_dump,
		                  linux_apply,    linux_watch,    linux_mute,      flows_list,
		                  flows_delete,   flows_cut,      flows_watch,     flows_count,
		                  linux_tighten,  linux_learned,  linux_counters,  linux_free };
	snprintf(k->dir, sizeof(k->dir), "%s", dir);
	snprintf(path, sizeof(path), "%s/ns", dir);
	k->home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (programs_new(k) < 0 || k->home < 0 || (mkdir(path, 0755) < 0 && errno != EEXIST) ||
	    !spaces_insert(k, KOBJ_NS_HOST, 0)) {
		err_set(e, ERR_SYSTEM, errno, "namespaces folder %s", path);
		linux_free(&k->ops);
		return NULL;
	}
	return &k->ops;
}
