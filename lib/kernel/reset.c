/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See reset.h.
 */
#include "lib/kernel/reset.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/own.h"
#include "lib/kernel/mnl.h"
#include "lib/kernel/nft.h"

int reset_open(uint8_t family, struct err *e)
{
	AUTO_CLOSE int fd = socket(family == 4 ? AF_INET : AF_INET6,
	                           SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	uint32_t mark = NFT_BIT_RESET;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "socket for resets");
	}
	return take_fd(&fd);
}

static uint32_t sum(uint32_t s, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2) {
		s += (uint32_t)p[i] << 8 | p[i + 1];
	}
	return s;
}

/* RFC 9293, 3.1: over a header of the addresses, too. */
static uint16_t checksum(const struct ip *src, const struct ip *dst, const struct tcphdr *t)
{
	size_t len = src->family == 4 ? 4 : 16;
	uint32_t s = IPPROTO_TCP + sizeof(*t);

	s = sum(sum(sum(s, src->b, len), dst->b, len), t, sizeof(*t));
	while (s >> 16) {
		s = (s & 0xffff) + (s >> 16);
	}
	return htons((uint16_t)~s);
}

static void send_syn(int fd, const struct ip *src, uint16_t sport, const struct ip *dst,
                     uint16_t dport)
{
	struct {
		union {
			struct iphdr v4;
			struct ip6_hdr v6;
		} ip;
		struct tcphdr tcp;
	} p = { 0 };
	struct tcphdr tcp = { .source = htons(sport),
		              .dest = htons(dport),
		              .seq = htonl(1),
		              .doff = 5,
		              .syn = 1,
		              .window = htons(1024) };
	struct sockaddr_in to4 = { .sin_family = AF_INET };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
	bool v4 = src->family == 4;
	size_t head = v4 ? sizeof(p.ip.v4) : sizeof(p.ip.v6);

	tcp.check = checksum(src, dst, &tcp);
	if (v4) {
		p.ip.v4 = (struct iphdr){
			.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP
		};
		p.ip.v4.tot_len = htons((uint16_t)(head + sizeof(tcp)));
		memcpy(&p.ip.v4.saddr, src->b, 4);
		memcpy(&p.ip.v4.daddr, dst->b, 4);
		memcpy(&to4.sin_addr, dst->b, 4);
	} else {
		p.ip.v6.ip6_vfc = 6 << 4;
		p.ip.v6.ip6_plen = htons(sizeof(tcp));
		p.ip.v6.ip6_nxt = IPPROTO_TCP;
		p.ip.v6.ip6_hlim = 64;
		memcpy(&p.ip.v6.ip6_src, src->b, 16);
		memcpy(&p.ip.v6.ip6_dst, dst->b, 16);
		memcpy(&to6.sin6_addr, dst->b, 16);
	}
	memcpy((char *)&p + head, &tcp, sizeof(tcp));
	(void)!sendto(fd, &p, head + sizeof(tcp), MSG_DONTWAIT, v4 ? (void *)&to4 : (void *)&to6,
	              v4 ? sizeof(to4) : sizeof(to6));
}

void reset_send(int fd, const struct kflow *f)
{
	send_syn(fd, &f->dst, f->dport, &f->src, f->sport);
	send_syn(fd, &f->back, f->back_port, &f->to, f->to_port);
}

static void put_key(struct nlmsghdr *h, const struct ip *src, uint16_t sport, const struct ip *dst,
                    uint16_t dport)
{
	size_t len = src->family == 4 ? 4 : 16, n = 0;
	uint16_t ports[2] = { htons(sport), htons(dport) };
	uint8_t key[40] = { 0 };

	for (int i = 0; i < 2; i++) {
		memcpy(key + n, i ? dst->b : src->b, len);
		memcpy(key + n + len, &ports[i], 2);
		n += len + 4;
	}
	struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	struct nlattr *nest = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
	mnl_attr_put(h, NFTA_DATA_VALUE, n, key);
	mnl_attr_nest_end(h, nest);
	mnl_attr_put_u64(h, NFTA_SET_ELEM_TIMEOUT, htobe64(RESET_SECONDS * 1000));
	mnl_attr_nest_end(h, elem);
}

void reset_encode(struct nl_batch *b, const struct kflow *v, size_t n)
{
	for (uint8_t family = 4; family <= 6; family += 2) {
		struct nlmsghdr *h = NULL;
		struct nlattr *list = NULL;
		size_t k = 0;

		for (size_t i = 0; i < n; i++) {
			if (v[i].src.family != family || v[i].proto != IPPROTO_TCP) {
				continue;
			}
			if (!h && (h = nft_msg_begin(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE,
			                             NFPROTO_INET))) {
				mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
				mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET,
				                  family == 4 ? "cut4" : "cut6");
				list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
			}
			if (!h) {
				return;
			}
			put_key(h, &v[i].src, v[i].sport, &v[i].dst, v[i].dport);
			put_key(h, &v[i].to, v[i].to_port, &v[i].back, v[i].back_port);
			if (++k == 100) {
				mnl_attr_nest_end(h, list);
				nl_batch_end(b, 0);
				h = NULL;
				k = 0;
			}
		}
		if (h) {
			mnl_attr_nest_end(h, list);
			nl_batch_end(b, 0);
		}
	}
}
