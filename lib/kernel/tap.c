/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See tap.h. tun(4) has no way to make a device by rtnetlink: it is made through /dev/net/tun, and is of the namespace
 * of the thread that opens that. The device stays (TUNSETPERSIST); the machine's program attaches to it by name, with
 * one queue, or as many as it likes when there are several (IFF_MULTI_QUEUE), and says itself what it leaves to
 * hardware (IFF_VNET_HDR, TUNSETOFFLOAD).
 */
#include "lib/kernel/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/base/own.h"
#include "lib/kernel/mnl.h"
#include "lib/kernel/tc.h"

#define ETH_INDEX  2u /* of eth0: rtnl.c */
#define TAP_INDEX  3
#define TAP_NAME   "tap0"
#define PREFERENCE (TC_PREFERENCE + 2)

/* ---- making ---- */

static int make_device(struct space *s, const struct kobj *o, struct err *e)
{
	struct ifreq ifr = { 0 };
	int index = TAP_INDEX;

	if (spaces_enter(s, e) < 0) {
		return -1;
	}
	AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int failed = fd < 0 ? errno : 0;
	spaces_home(s->k);
	ifr.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (o->index > 1) {
		ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_MULTI_QUEUE);
	}
	memcpy(ifr.ifr_name, TAP_NAME, sizeof(TAP_NAME));
	if (!failed && (ioctl(fd, TUNSETIFINDEX, &index) < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0 ||
	                (o->flags && ioctl(fd, TUNSETOWNER, (unsigned long)o->flags - 1) < 0) ||
	                ioctl(fd, TUNSETPERSIST, 1) < 0)) {
		failed = errno;
	}
	return failed ? err_set(e, ERR_SYSTEM, failed, "make a tap device") : 0;
}

static void put_up(struct nl_batch *b, uint32_t mtu)
{
	struct ifinfomsg *ifi;
	struct nlmsghdr *h = nl_batch_begin(b, RTM_NEWLINK, 0, sizeof(*ifi), (void **)&ifi);

	if (h) {
		ifi->ifi_index = TAP_INDEX;
		ifi->ifi_flags = ifi->ifi_change = IFF_UP;
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
		nl_batch_end(b, 0);
	}
}

static void drop_device(struct nl_batch *b)
{
	struct ifinfomsg *ifi;

	if (nl_batch_begin(b, RTM_DELLINK, 0, sizeof(*ifi), (void **)&ifi)) {
		ifi->ifi_index = TAP_INDEX;
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

static int put(struct space *s, const struct kobj *o, struct err *e)
{
	struct nl_batch b = { 0 };

	/* What is half there goes first: a machine that uses it has lost its network already. */
	drop_device(&b);
	tc_drop_filter(&b, ETH_INDEX, TC_IN, PREFERENCE);
	int rc = nl_batch_send(&s->rt, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	if (rc < 0 || make_device(s, o, e) < 0) {
		return -1;
	}
	put_up(&b, o->mtu);
	tc_put_qdisc(&b, ETH_INDEX, 0);
	tc_put_qdisc(&b, TAP_INDEX, 0);
	tc_put_redirect(&b, ETH_INDEX, TAP_INDEX, PREFERENCE);
	tc_put_redirect(&b, TAP_INDEX, ETH_INDEX, PREFERENCE);
	rc = nl_batch_send(&s->rt, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	return rc < 0 ? err_wrap(e, "tap device") : 0;
}

static int drop(struct space *s, struct err *e)
{
	struct nl_batch b = { 0 };

	tc_drop_filter(&b, ETH_INDEX, TC_IN, PREFERENCE);
	drop_device(&b);
	int rc = nl_batch_send(&s->rt, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	tc_tidy(&s->rt, ETH_INDEX);
	return rc;
}

int tap_apply(struct space *s, const struct kop *ops, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (ops[i].o->kind == KOBJ_TAP) {
			rc = ops[i].verb == KOP_DEL ? drop(s, e) : put(s, ops[i].o, e);
		}
	}
	return rc;
}

/* ---- what there is ---- */

/* A device that a plan may have made: IFLA_LINKINFO says what kind, and of it how. */
static void read_tun(const struct nlattr *data, struct kobj *to)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_type(a) == IFLA_TUN_MULTI_QUEUE) {
			to->index = mnl_attr_get_u8(a) ? 2 : 1;
		} else if (mnl_attr_get_type(a) == IFLA_TUN_OWNER) {
			to->flags = mnl_attr_get_u32(a) + 1;
		} else if (mnl_attr_get_type(a) == IFLA_TUN_TYPE && mnl_attr_get_u8(a) == IFF_TAP) {
			to->sub = 1;
		}
	}
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *x;
	struct kobj *o = arg;

	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_MTU) {
			o->mtu = mnl_attr_get_u32(a);
		} else if (mnl_attr_get_type(a) == IFLA_LINKINFO) {
			mnl_attr_for_each_nested(x, a)
			{
				if (mnl_attr_get_type(x) == IFLA_INFO_DATA) {
					read_tun(x, o);
				}
			}
		}
	}
	if (!(ifi->ifi_flags & IFF_UP)) {
		o->mtu = 0; /* not as it was made */
	}
	return 0;
}

int tap_dump(struct space *s, struct kset *to, struct err *e)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = TAP_INDEX };
	struct kobj o = { .ns = s->ns, .kind = KOBJ_TAP, .dev = TAP_NAME };
	struct err none = ERR_INIT;

	if (nl_get(&s->rt, RTM_GETLINK, &ifi, sizeof(ifi), on_link, &o, &none) < 0) {
		if (none.sys == ENODEV) {
			return 0;
		}
		*e = none;
		return -1;
	}
	bool whole = o.sub == 1 && tc_is_led(&s->rt, ETH_INDEX, PREFERENCE) &&
	             tc_is_led(&s->rt, TAP_INDEX, PREFERENCE);
	o.sub = 0;
	if (!whole) {
		o.mtu = 0; /* is not wanted like that: it is set anew, or goes */
	}
	kset_add(to, &o);
	return to->failed ? err_set(e, ERR_NO_MEMORY, 0, "tap device: out of memory") : 0;
}
