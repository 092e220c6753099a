/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See tc.h. libbpf loads; binding is tc's rtnetlink, by libmnl like all else here (libbpf 1.1 binds to single
 * devices only, no block of them).
 */
#include "lib/kernel/tc.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/mnl.h"

#define HANDLE 1u
#define NAME   "netd"

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

void tc_quiet(void)
{
	libbpf_set_print(quiet);
}

struct bpf_object *tc_load(const void *elf, size_t size, const char *what, struct err *e)
{
	tc_quiet();
	struct bpf_object *o = bpf_object__open_mem(elf, size, NULL);

	if (!o || bpf_object__load(o) < 0) {
		err_set(e, ERR_SYSTEM, errno, "load %s", what);
		bpf_object__close(o);
		return NULL;
	}
	return o;
}

int tc_program(const struct bpf_object *o, const char *name, struct tc_program *to, struct err *e)
{
	const struct bpf_program *p = bpf_object__find_program_by_name(o, name);
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	to->fd = p ? bpf_program__fd(p) : -1;
	if (to->fd < 0 || bpf_obj_get_info_by_fd(to->fd, &info, &size) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "program '%s' in the kernel", name);
	}
	memcpy(to->tag, info.tag, TC_TAG);
	to->id = info.id;
	return 0;
}

static struct tcmsg *begin(struct nl_batch *b, uint16_t type, uint16_t flags, uint32_t index,
                           uint32_t parent, struct nlmsghdr **ret)
{
	struct tcmsg *t;

	*ret = nl_batch_begin(b, type, flags, sizeof(*t), (void **)&t);
	if (!*ret) {
		return NULL;
	}
	t->tcm_family = AF_UNSPEC;
	t->tcm_ifindex = (int)index;
	t->tcm_parent = parent;
	return t;
}

void tc_put_qdisc(struct nl_batch *b, uint32_t index, uint32_t block)
{
	struct nlmsghdr *h;
	struct tcmsg *t = begin(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, TC_H_CLSACT, &h);

	if (!t) {
		return;
	}
	t->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	if (block) {
		mnl_attr_put_u32(h, TCA_INGRESS_BLOCK, block);
	}
	nl_batch_end(b, block ? 0 : EEXIST); /* it may be there for others' sake */
}

void tc_drop_qdisc(struct nl_batch *b, uint32_t index)
{
	struct nlmsghdr *h;

	if (begin(b, RTM_DELQDISC, 0, index, TC_H_CLSACT, &h)) {
		nl_batch_end(b, NL_FORGIVE_ABSENT);
	}
}

void tc_put_filter(struct nl_batch *b, uint32_t index, uint32_t parent, const struct tc_program *p)
{
	struct nlmsghdr *h;
	struct tcmsg *t = begin(b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, index, parent, &h);

	if (!t) {
		return;
	}
	t->tcm_handle = HANDLE;
	t->tcm_info = TC_H_MAKE(TC_PREFERENCE << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(h, TCA_KIND, "bpf");
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);
	mnl_attr_put_u32(h, TCA_BPF_FD, (uint32_t)p->fd);
	mnl_attr_put_strz(h, TCA_BPF_NAME, NAME);
	mnl_attr_put_u32(h, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(h, options);
	nl_batch_end(b, 0);
}

void tc_put_redirect(struct nl_batch *b, uint32_t index, uint32_t to, uint32_t preference)
{
	struct {
		struct tc_u32_sel sel;
		struct tc_u32_key key; /* nothing of the packet matters */
	} all = { .sel = { .flags = TC_U32_TERMINAL, .nkeys = 1 } };
	struct tc_mirred how = { .action = TC_ACT_STOLEN,
		                 .eaction = TCA_EGRESS_REDIR,
		                 .ifindex = to };
	struct nlmsghdr *h;
	struct tcmsg *t = begin(b, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, index, TC_IN, &h);

	if (!t) {
		return;
	}
	t->tcm_info = TC_H_MAKE(preference << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(h, TCA_KIND, "u32");
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);
	mnl_attr_put(h, TCA_U32_SEL, sizeof(all), &all);
	struct nlattr *actions = mnl_attr_nest_start(h, TCA_U32_ACT);
	struct nlattr *first = mnl_attr_nest_start(h, 1);
	mnl_attr_put_strz(h, TCA_ACT_KIND, "mirred");
	struct nlattr *parms = mnl_attr_nest_start(h, TCA_ACT_OPTIONS);
	mnl_attr_put(h, TCA_MIRRED_PARMS, sizeof(how), &how);
	mnl_attr_nest_end(h, parms);
	mnl_attr_nest_end(h, first);
	mnl_attr_nest_end(h, actions);
	mnl_attr_nest_end(h, options);
	nl_batch_end(b, 0);
}

struct led {
	uint32_t preference;
	bool found;
};

static int on_led(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	struct led *l = arg;

	l->found = l->found || TC_H_MAJ(t->tcm_info) >> 16 == l->preference;
	return 0;
}

static void not_led(void *arg)
{
	((struct led *)arg)->found = false;
}

bool tc_is_led(struct nl_sock *rt, uint32_t index, uint32_t preference)
{
	struct tcmsg t = { .tcm_ifindex = (int)index, .tcm_parent = TC_IN };
	struct led l = { preference, false };
	struct err ignored = ERR_INIT;

	return nl_dump(rt, RTM_GETTFILTER, &t, sizeof(t), on_led, not_led, &l, &ignored) == 0 &&
	       l.found;
}

void tc_drop_filter(struct nl_batch *b, uint32_t index, uint32_t parent, uint32_t preference)
{
	struct nlmsghdr *h;
	struct tcmsg *t = begin(b, RTM_DELTFILTER, 0, index, parent, &h);

	if (t) {
		t->tcm_info = TC_H_MAKE(preference << 16, htons(ETH_P_ALL));
		nl_batch_end(b, NL_FORGIVE_NO_QDISC);
	}
}

struct search {
	const struct tc_program *program;
	bool mine, found;
};

static int on_filter(const struct nlmsghdr *h, void *arg)
{
	struct search *f = arg;
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *options = tc_attr(h, TCA_OPTIONS);

	if (!options || TC_H_MAJ(t->tcm_info) >> 16 != TC_PREFERENCE) {
		return 0;
	}
	mnl_attr_for_each_nested(a, options)
	{
		uint16_t type = f->mine ? TCA_BPF_ID : TCA_BPF_TAG, size = f->mine ? 4 : TC_TAG;
		const void *is = f->mine ? (const void *)&f->program->id : f->program->tag;

		if (mnl_attr_get_type(a) == type && mnl_attr_get_payload_len(a) == size &&
		    memcmp(mnl_attr_get_payload(a), is, size) == 0) {
			f->found = true;
		}
	}
	return 0;
}

static void begin_anew(void *arg)
{
	((struct search *)arg)->found = false;
}

bool tc_is_bound(struct nl_sock *rt, uint32_t index, uint32_t parent, const struct tc_program *p,
                 bool mine)
{
	struct tcmsg t = { .tcm_ifindex = (int)index, .tcm_parent = parent };
	struct search f = { .program = p, .mine = mine };
	struct err ignored = ERR_INIT; /* no such device, or nothing at it */

	return nl_dump(rt, RTM_GETTFILTER, &t, sizeof(t), on_filter, begin_anew, &f, &ignored) ==
	               0 &&
	       f.found;
}

static int on_any(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	*(bool *)arg = true;
	return 0;
}

static void none_yet(void *arg)
{
	*(bool *)arg = false;
}

void tc_tidy(struct nl_sock *rt, uint32_t index)
{
	static const uint32_t parents[] = { TC_IN, TC_OUT };
	struct err ignored = ERR_INIT;
	struct nl_batch b = { 0 };
	bool any = false;

	for (size_t i = 0; i < 2 && !any; i++) {
		struct tcmsg t = { .tcm_ifindex = (int)index, .tcm_parent = parents[i] };

		(void)!nl_dump(rt, RTM_GETTFILTER, &t, sizeof(t), on_any, none_yet, &any, &ignored);
	}
	if (!any) {
		tc_drop_qdisc(&b, index);
		(void)!nl_batch_send(rt, &b, NULL, NULL, &ignored);
		nl_batch_fini(&b);
	}
}

const struct nlattr *tc_attr(const struct nlmsghdr *h, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct tcmsg))
	{
		if (mnl_attr_get_type(a) == type) {
			return a;
		}
	}
	return NULL;
}
