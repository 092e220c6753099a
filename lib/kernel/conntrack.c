/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See conntrack.h. Attributes as in linux/netfilter/nfnetlink_conntrack.h.
 */
#include "lib/kernel/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/kernel/mnl.h"

struct tuple {
	struct ip src, dst;
	uint16_t sport, dport;
	uint8_t proto, icmp[2];
};

static void read_ip(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		uint16_t type = mnl_attr_get_type(a);
		bool v6 = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST;
		struct ip *to = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC ? &t->src : &t->dst;
		size_t len = mnl_attr_get_payload_len(a);

		to->family = v6 ? 6 : 4;
		memcpy(to->b, mnl_attr_get_payload(a), len < 16 ? len : 16);
	}
}

static void read_proto(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		switch (mnl_attr_get_type(a)) {
		case CTA_PROTO_NUM:
			t->proto = mnl_attr_get_u8(a);
			break;
		case CTA_PROTO_SRC_PORT:
		case CTA_PROTO_ICMP_ID:
		case CTA_PROTO_ICMPV6_ID:
			t->sport = ntohs(mnl_attr_get_u16(a));
			break;
		case CTA_PROTO_DST_PORT:
			t->dport = ntohs(mnl_attr_get_u16(a));
			break;
		case CTA_PROTO_ICMP_TYPE:
		case CTA_PROTO_ICMPV6_TYPE:
			t->icmp[0] = mnl_attr_get_u8(a);
			break;
		case CTA_PROTO_ICMP_CODE:
		case CTA_PROTO_ICMPV6_CODE:
			t->icmp[1] = mnl_attr_get_u8(a);
			break;
		default:
			break;
		}
	}
}

static void read_tuple(const struct nlattr *nest, struct tuple *t)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == CTA_TUPLE_IP) {
			read_ip(a, t);
		} else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO) {
			read_proto(a, t);
		}
	}
}

struct walk {
	int (*fn)(void *arg, const struct kflow *f);
	void *arg;
};

static uint8_t read_state(const struct nlattr *info)
{
	const struct nlattr *a, *b;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) != CTA_PROTOINFO_TCP) {
			continue;
		}
		mnl_attr_for_each_nested(b, a)
		{
			if (mnl_attr_get_type(b) == CTA_PROTOINFO_TCP_STATE) {
				return mnl_attr_get_u8(b);
			}
		}
	}
	return 0;
}

#define UDP_QUIET_S 5 /* without a packet that long, a flow without connection has ended */

bool conntrack_lives(const struct kflow *f)
{
	/* As netns_conntrack() sets them, and the kernel's own for streams. */
	uint32_t patience = f->proto != IPPROTO_UDP ? 10 : f->status & IPS_ASSURED ? 120 : 20;

	if (f->proto == IPPROTO_TCP) {
		return f->state >= TCP_CONNTRACK_SYN_SENT && f->state <= TCP_CONNTRACK_LAST_ACK;
	}
	return f->left_s + UDP_QUIET_S > patience;
}

void conntrack_read(const struct nlmsghdr *h, struct kflow *to)
{
	struct tuple orig = { 0 }, reply = { 0 };
	const struct nlattr *a;

	*to = (struct kflow){ 0 };
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG) {
			read_tuple(a, &orig);
		} else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY) {
			read_tuple(a, &reply);
		} else if (mnl_attr_get_type(a) == CTA_PROTOINFO) {
			to->state = read_state(a);
		} else if (mnl_attr_get_type(a) == CTA_TIMEOUT) {
			to->left_s = ntohl(mnl_attr_get_u32(a));
		} else if (mnl_attr_get_type(a) == CTA_STATUS) {
			to->status = ntohl(mnl_attr_get_u32(a));
		}
	}
	to->proto = orig.proto;
	to->src = orig.src;
	to->dst = orig.dst;
	to->sport = orig.sport;
	to->dport = orig.dport;
	memcpy(to->icmp, orig.icmp, 2);
	to->to = reply.src;
	to->to_port = reply.sport;
	to->back = reply.dst;
	to->back_port = reply.dport;
}

static int on_entry(const struct nlmsghdr *h, void *arg)
{
	const struct walk *w = arg;
	struct kflow f;

	conntrack_read(h, &f);
	return w->fn(w->arg, &f);
}

static void nothing(void *arg)
{
	(void)arg; /* an entry told twice is no harm */
}

int conntrack_dump(struct nl_sock *s, int (*fn)(void *arg, const struct kflow *f), void *arg,
                   struct err *e)
{
	struct nfgenmsg nf = { .nfgen_family = AF_UNSPEC };
	struct walk w = { fn, arg };

	return nl_dump(s, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, &nf, sizeof(nf), on_entry,
	               nothing, &w, e);
}

static void put_ip(struct nlmsghdr *h, const struct kflow *f)
{
	struct nlattr *nest = mnl_attr_nest_start(h, CTA_TUPLE_IP);
	size_t len = f->src.family == 4 ? 4 : 16;

	mnl_attr_put(h, len == 4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, len, f->src.b);
	mnl_attr_put(h, len == 4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, len, f->dst.b);
	mnl_attr_nest_end(h, nest);
}

static void put_proto(struct nlmsghdr *h, const struct kflow *f)
{
	struct nlattr *nest = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);

	mnl_attr_put_u8(h, CTA_PROTO_NUM, f->proto);
	if (f->proto == IPPROTO_ICMP) {
		mnl_attr_put_u16(h, CTA_PROTO_ICMP_ID, htons(f->sport));
		mnl_attr_put_u8(h, CTA_PROTO_ICMP_TYPE, f->icmp[0]);
		mnl_attr_put_u8(h, CTA_PROTO_ICMP_CODE, f->icmp[1]);
	} else if (f->proto == IPPROTO_ICMPV6) {
		mnl_attr_put_u16(h, CTA_PROTO_ICMPV6_ID, htons(f->sport));
		mnl_attr_put_u8(h, CTA_PROTO_ICMPV6_TYPE, f->icmp[0]);
		mnl_attr_put_u8(h, CTA_PROTO_ICMPV6_CODE, f->icmp[1]);
	} else {
		mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(f->sport));
		mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(f->dport));
	}
	mnl_attr_nest_end(h, nest);
}

void conntrack_delete(struct nl_batch *b, const struct kflow *f)
{
	struct nfgenmsg *nf;
	struct nlmsghdr *h = nl_batch_begin(b, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0,
	                                    sizeof(*nf), (void **)&nf);

	if (!h) {
		return;
	}
	nf->nfgen_family = f->src.family == 4 ? AF_INET : AF_INET6;
	nf->version = NFNETLINK_V0;
	struct nlattr *nest = mnl_attr_nest_start(h, CTA_TUPLE_ORIG);
	put_ip(h, f);
	put_proto(h, f);
	mnl_attr_nest_end(h, nest);
	nl_batch_end(b, ENOENT);
}
