/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See shortcut.h.
 */
#include "lib/kernel/shortcut.h"

#include <assert.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/mnl.h"
#include "lib/kernel/rtnl_own.h"
#include "lib/kernel/shortcut_map.h"
#include "lib/kernel/tc.h"

#define BLOCK 110u /* of the gateway's devices */

static_assert(SHORTCUT_UPLINK_INDEX == KOBJ_PEER_INDEX && SHORTCUT_HOST_INDEX == RTNL_HOST_INDEX,
              "the program has the devices' numbers");
TC_ELF(shortcut, BPF_DIR "/shortcut.o");

struct shortcut {
	struct bpf_object *object;
	struct tc_program gateway, uplink;
	int pools, returns;
};

struct shortcut *shortcut_new(struct err *e)
{
	struct shortcut *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_NO_MEMORY, 0, "shortcut: out of memory");
		return NULL;
	}
	s->object = tc_load(shortcut_elf, shortcut_elf_size, "the gateway's shortcut", e);
	if (!s->object || tc_program(s->object, "gateway", &s->gateway, e) < 0 ||
	    tc_program(s->object, "uplink", &s->uplink, e) < 0) {
		shortcut_free(s);
		return NULL;
	}
	s->pools = bpf_object__find_map_fd_by_name(s->object, "pools");
	s->returns = bpf_object__find_map_fd_by_name(s->object, "returns");
	return s;
}

void shortcut_free(struct shortcut *s)
{
	if (s) {
		bpf_object__close(s->object);
		free(s);
	}
}

/* ---- prefixes ---- */

static struct shortcut_prefix key_of(const struct kobj *o)
{
	bool v4 = o->family == 4;
	struct shortcut_prefix key = { .bits = o->plen + (v4 ? 96u : 0u) };

	if (v4) {
		key.addr[10] = key.addr[11] = 0xff;
	}
	memcpy(key.addr + (v4 ? 12 : 0), o->addr, v4 ? 4 : 16);
	return key;
}

static int clear(int map)
{
	struct shortcut_prefix key;
	int rc = 0;

	while (rc == 0 && bpf_map_get_next_key(map, NULL, &key) == 0) {
		rc = bpf_map_delete_elem(map, &key);
	}
	return rc;
}

static int put(int map, const struct kop *op)
{
	struct shortcut_prefix key = key_of(op->o);
	const uint8_t one = 1;

	if (op->verb == KOP_DEL) {
		(void)!bpf_map_delete_elem(map, &key); /* absent is success */
		return 0;
	}
	return bpf_map_update_elem(map, &key, &one, BPF_ANY);
}

static bool is_return(const struct kobj *o)
{
	return o->kind == KOBJ_RULE && o->sub == KOBJ_RULE_RETURN;
}

/* ---- the gateway's devices ---- */

int shortcut_bind(const struct shortcut *s, struct nl_sock *rt, const struct kop *ops, size_t n,
                  struct err *e)
{
	struct nl_batch b = { 0 };
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		const struct kobj *o = ops[i].o;

		if (s && is_return(o) && put(s->returns, &ops[i]) < 0) {
			return err_set(e, ERR_SYSTEM, errno, "sources of the gateway's shortcut");
		}
		if (o->kind != KOBJ_LINK || ops[i].verb == KOP_DEL || o->sub == KOBJ_LINK_LO) {
			continue;
		}
		if (ops[i].verb != KOP_ADD || o->sub == KOBJ_LINK_PEER) {
			tc_drop_qdisc(&b, o->index);
		}
		if (s && (o->flags & KOBJ_SHORTCUT)) {
			tc_put_qdisc(&b, o->index, BLOCK);
			any = true;
		}
	}
	if (any) {
		tc_put_filter(&b, TCM_IFINDEX_MAGIC_BLOCK, BLOCK, &s->gateway);
	}
	int rc = b.n ? nl_batch_send(rt, &b, NULL, NULL, e) : 0;
	nl_batch_fini(&b);
	return rc < 0 ? err_wrap(e, "bind the gateway's shortcut") : 0;
}

static int on_qdisc(const struct nlmsghdr *h, void *arg)
{
	struct kset *to = arg;
	const struct tcmsg *t = mnl_nlmsg_get_payload(h);
	const struct nlattr *block = tc_attr(h, TCA_INGRESS_BLOCK);

	if (!block || mnl_attr_get_payload_len(block) != 4 || mnl_attr_get_u32(block) != BLOCK) {
		return 0;
	}
	for (size_t i = 0; i < to->n; i++) {
		struct kobj *o = &to->v[i];

		if (o->kind == KOBJ_LINK && o->index == (uint32_t)t->tcm_ifindex) {
			o->flags |= KOBJ_SHORTCUT;
		}
	}
	return 0;
}

static bool has_return(const struct kset *set, const struct shortcut_prefix *key)
{
	for (size_t i = 0; i < set->n; i++) {
		struct shortcut_prefix k =
			is_return(&set->v[i]) ? key_of(&set->v[i]) : (struct shortcut_prefix){ 0 };

		if (memcmp(&k, key, sizeof(k)) == 0) {
			return true;
		}
	}
	return false;
}

/* The sources of the rules that there are, and no others. */
static int know_returns(const struct shortcut *s, const struct kset *rules)
{
	struct shortcut_prefix key, next;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < rules->n; i++) {
		if (is_return(&rules->v[i])) {
			rc = put(s->returns, &(struct kop){ KOP_ADD, &rules->v[i] });
		}
	}
	bool more = bpf_map_get_next_key(s->returns, NULL, &next) == 0;
	while (rc == 0 && more) {
		key = next;
		more = bpf_map_get_next_key(s->returns, &key, &next) == 0;
		rc = has_return(rules, &key) ? 0 : bpf_map_delete_elem(s->returns, &key);
	}
	return rc;
}

static void begin_anew(void *arg)
{
	struct kset *to = arg;

	for (size_t i = 0; i < to->n; i++) {
		if (to->v[i].kind == KOBJ_LINK) {
			to->v[i].flags &= ~KOBJ_SHORTCUT;
		}
	}
}

int shortcut_dump(const struct shortcut *s, bool refused, struct nl_sock *rt, struct kset *to,
                  struct err *e)
{
	struct tcmsg all = { 0 };

	if (s && know_returns(s, to) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "sources of the gateway's shortcut");
	}
	for (size_t i = 0; refused && i < to->n; i++) {
		bool outer = to->v[i].sub == KOBJ_LINK_VETH;

		if (to->v[i].kind == KOBJ_LINK && (outer || to->v[i].sub == KOBJ_LINK_PEER)) {
			to->v[i].flags |= KOBJ_SHORTCUT;
		}
	}
	if (refused ||
	    (s && !tc_is_bound(rt, TCM_IFINDEX_MAGIC_BLOCK, BLOCK, &s->gateway, false))) {
		return 0;
	}
	return nl_dump(rt, RTM_GETQDISC, &all, sizeof(all), on_qdisc, begin_anew, to, e);
}

/* ---- the host's device ---- */

int shortcut_pools(struct shortcut *s, bool anew, const struct kop *ops, size_t n, struct err *e)
{
	int rc = anew ? clear(s->pools) : 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct kobj *o = ops[i].o;

		if (o->kind == KOBJ_ELEM &&
		    (o->sub == KOBJ_SET_POOL4 || o->sub == KOBJ_SET_POOL6)) {
			rc = put(s->pools, &ops[i]);
		}
	}
	return rc < 0 ? err_set(e, ERR_SYSTEM, errno, "prefixes of the uplink's shortcut") : 0;
}

int shortcut_uplink(const struct shortcut *s, struct nl_sock *rt, uint32_t index, struct err *e)
{
	struct nl_batch b = { 0 };

	tc_put_qdisc(&b, index, 0);
	tc_put_filter(&b, index, TC_IN, &s->uplink);
	int rc = nl_batch_send(rt, &b, NULL, NULL, e);
	nl_batch_fini(&b);
	return rc < 0 ? err_wrap(e, "bind the uplink's shortcut") : 0;
}

void shortcut_uplink_off(struct nl_sock *rt, uint32_t index)
{
	struct nl_batch b = { 0 };
	struct err ignored = ERR_INIT; /* the device may have no such filter, or be gone */

	tc_drop_filter(&b, index, TC_IN, TC_PREFERENCE);
	(void)!nl_batch_send(rt, &b, NULL, NULL, &ignored);
	nl_batch_fini(&b);
}

bool shortcut_uplink_is_on(const struct shortcut *s, struct nl_sock *rt, uint32_t index)
{
	return tc_is_bound(rt, index, TC_IN, &s->uplink, true);
}
