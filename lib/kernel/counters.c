/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See counters.h. Attributes as in linux/netfilter/nf_tables.h and linux/if_link.h.
 */
#include "lib/kernel/counters.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/if_link.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "lib/kernel/kobj.h"
#include "lib/kernel/mnl.h"
#include "lib/kernel/nft.h"

/* A growing list; a dump that was interrupted goes back to `mark`. */
struct list {
	struct kcount *v;
	size_t n, cap, mark;
	uint8_t family; /* of the set that is read */
	bool failed;
};

static void list_reset(void *arg)
{
	struct list *l = arg;

	l->n = l->mark;
}

static int list_add(struct list *l, const struct kcount *c)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct kcount *v = realloc(l->v, cap * sizeof(*v));

		if (!v) {
			l->failed = true;
			return -1;
		}
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *c;
	return 0;
}

/* NFTA_COUNTER_*, in a nest */
static void read_counter(const struct nlattr *nest, struct kcount *c)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		uint64_t n = mnl_attr_get_payload_len(a) == 8 ? be64toh(mnl_attr_get_u64(a)) : 0;

		if (mnl_attr_get_type(a) == NFTA_COUNTER_PACKETS) {
			c->packets = n;
		} else if (mnl_attr_get_type(a) == NFTA_COUNTER_BYTES) {
			c->bytes = n;
		}
	}
}

/* An expression (NFTA_EXPR_*): true and its numbers when it is a counter. */
static bool read_expr(const struct nlattr *nest, struct kcount *c)
{
	const struct nlattr *a, *data = NULL;
	const char *name = "";

	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == NFTA_EXPR_NAME) {
			name = mnl_attr_get_str(a);
		} else if (mnl_attr_get_type(a) == NFTA_EXPR_DATA) {
			data = a;
		}
	}
	if (!data || strcmp(name, "counter") != 0) {
		return false;
	}
	read_counter(data, c);
	return true;
}

/* ---- security rules ---- */

static int on_object(const struct nlmsghdr *h, void *arg)
{
	struct kcount c = { .kind = KCOUNT_RULE };
	const struct nlattr *a, *data = NULL;
	const char *table = "";

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(a)) {
		case NFTA_OBJ_TABLE:
			table = mnl_attr_get_str(a);
			break;
		case NFTA_OBJ_NAME:
			snprintf(c.name, sizeof(c.name), "%s", mnl_attr_get_str(a));
			break;
		case NFTA_OBJ_DATA:
			data = a;
			break;
		default:
			break;
		}
	}
	if (strcmp(table, NFT_TABLE) != 0 || c.name[0] != 'c' || !data) {
		return 0;
	}
	read_counter(data, &c);
	return list_add(arg, &c);
}

/* ---- drops of groups ---- */

static void on_key(const struct nlattr *nest, uint8_t family, struct kcount *c)
{
	const struct nlattr *v;

	mnl_attr_for_each_nested(v, nest)
	{
		size_t len = mnl_attr_get_payload_len(v);

		c->ip.family = family;
		memcpy(c->ip.b, mnl_attr_get_payload(v), len < 16 ? len : 16);
	}
}

static int on_element(struct list *l, const struct nlattr *elem)
{
	struct kcount c = { .kind = KCOUNT_DROPS };
	const struct nlattr *a;
	bool counts = false;

	mnl_attr_for_each_nested(a, elem)
	{
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_KEY) {
			on_key(a, l->family, &c);
		} else if (mnl_attr_get_type(a) == NFTA_SET_ELEM_EXPR) {
			counts = read_expr(a, &c);
		}
	}
	return counts ? list_add(l, &c) : 0;
}

static int on_elements(const struct nlmsghdr *h, void *arg)
{
	const struct nlattr *a, *elem;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS) {
			continue;
		}
		mnl_attr_for_each_nested(elem, a)
		{
			if (on_element(arg, elem) < 0) {
				return -1;
			}
		}
	}
	return 0;
}

static int dump_drops(struct nl_sock *s, struct list *l, enum kobj_set set, struct err *e)
{
	l->mark = l->n;
	l->family = nft_sets[set].ip;
	return nft_dump_elements(s, NFPROTO_INET, kobj_set_name((uint8_t)set), on_elements,
	                         list_reset, l, e);
}

/* ---- rules of the ruleset's own ---- */

static int comment_of(const struct nftnl_udata *u, void *arg)
{
	if (nftnl_udata_type(u) == NFTNL_UDATA_RULE_COMMENT) {
		*(const char **)arg = nftnl_udata_get(u);
	}
	return 0;
}

static int on_rule(const struct nlmsghdr *h, void *arg)
{
	struct kcount c = { .kind = KCOUNT_GUARD };
	const struct nlattr *a, *x;
	const char *comment = "", *table = "";
	bool counts = false;

	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		switch (mnl_attr_get_type(a)) {
		case NFTA_RULE_TABLE:
			table = mnl_attr_get_str(a);
			break;
		case NFTA_RULE_USERDATA:
			nftnl_udata_parse(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a),
			                  comment_of, &comment);
			break;
		case NFTA_RULE_EXPRESSIONS:
			mnl_attr_for_each_nested(x, a)
			{
				counts = read_expr(x, &c) || counts;
			}
			break;
		default:
			break;
		}
	}
	size_t n = strcspn(comment, "#"); /* the hash of its content follows */
	if (!counts || strcmp(table, NFT_TABLE) != 0 || n < 2) {
		return 0;
	}
	snprintf(c.name, sizeof(c.name), "%.*s", (int)n - 1, comment);
	return list_add(arg, &c);
}

/* ---- ports ---- */

static int on_link(const struct nlmsghdr *h, void *arg)
{
	struct kcount c = { .kind = KCOUNT_PORT };
	struct rtnl_link_stats64 s = { 0 };
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(a) == IFLA_IFNAME) {
			snprintf(c.name, sizeof(c.name), "%s", mnl_attr_get_str(a));
		} else if (mnl_attr_get_type(a) == IFLA_STATS64) {
			size_t len = mnl_attr_get_payload_len(a);

			memcpy(&s, mnl_attr_get_payload(a), len < sizeof(s) ? len : sizeof(s));
		}
	}
	c.packets = s.rx_packets;
	c.bytes = s.rx_bytes;
	c.back_packets = s.tx_packets;
	c.back_bytes = s.tx_bytes;
	return c.name[0] == 'p' ? list_add(arg, &c) : 0;
}

static int read_rules(struct nl_sock *nft, struct list *l, struct err *e)
{
	struct nfgenmsg nf = { .nfgen_family = NFPROTO_INET };
	struct nfgenmsg all = { .nfgen_family = NFPROTO_UNSPEC };
	int rc = nl_dump(nft, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETOBJ, &nf, sizeof(nf),
	                 on_object, list_reset, l, e);

	for (int i = 0; rc == 0 && i < 2; i++) {
		rc = dump_drops(nft, l, i ? KOBJ_SET_DROPS6 : KOBJ_SET_DROPS4, e);
	}
	l->mark = l->n;
	return rc < 0 ? rc
	              : nl_dump(nft, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, &all, sizeof(all),
	                        on_rule, list_reset, l, e);
}

int counters_dump(struct nl_sock *rt, struct nl_sock *nft, uint32_t what,
                  int (*fn)(void *arg, const struct kcount *c), void *arg, struct err *e)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct list l = { 0 };
	int rc = what == COUNTERS_ALL ? read_rules(nft, &l, e) : 0;

	l.mark = l.n;
	if (rc == 0 && (what == COUNTERS_ALL || what == COUNTERS_PORTS)) {
		rc = nl_dump(rt, RTM_GETLINK, &ifi, sizeof(ifi), on_link, list_reset, &l, e);
	} else if (rc == 0) {
		ifi.ifi_index = (int)what; /* indexes follow from names: rtnl.c */
		rc = nl_get(rt, RTM_GETLINK, &ifi, sizeof(ifi), on_link, &l, e);
	}
	for (size_t i = 0; rc == 0 && i < l.n; i++) {
		if (fn(arg, &l.v[i]) < 0) {
			break;
		}
	}
	free(l.v);
	return l.failed ? err_set(e, ERR_NO_MEMORY, 0, "counters: out of memory") : rc;
}
