/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See announce.h.
 */
#include "lib/kernel/announce.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <netpacket/packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

struct device {
	char name[KOBJ_NAME];
	int index; /* 0: none */
	uint8_t mac[ETH_ALEN];
};

static void find_device(int fd, const char *name, struct device *d)
{
	struct ifreq ifr = { 0 };

	*d = (struct device){ 0 };
	memcpy(d->name, name, KOBJ_NAME);
	memcpy(ifr.ifr_name, name, KOBJ_NAME);
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) == 0) {
		memcpy(d->mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
		d->index = ioctl(fd, SIOCGIFINDEX, &ifr) == 0 ? ifr.ifr_ifindex : 0;
	}
}

static void send_frame(int fd, const struct device *d, const struct ether_header *head,
                       const void *body, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		                  .sll_ifindex = d->index,
		                  .sll_halen = ETH_ALEN,
		                  .sll_protocol = head->ether_type };
	struct iovec iov[] = { { (void *)(uintptr_t)head, sizeof(*head) },
		               { (void *)(uintptr_t)body, len } };
	struct msghdr m = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2
	};

	memcpy(to.sll_addr, head->ether_dhost, ETH_ALEN);
	(void)!sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A request for the address by the address: what all of ARP takes for a change. */
static void send_arp(int fd, const struct device *d, const uint8_t ip[4])
{
	struct ether_header head = { .ether_dhost = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
		                     .ether_type = htons(ETHERTYPE_ARP) };
	struct ether_arp arp = { .ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
		                             .ar_pro = htons(ETHERTYPE_IP),
		                             .ar_hln = ETH_ALEN,
		                             .ar_pln = 4,
		                             .ar_op = htons(ARPOP_REQUEST) } };

	memcpy(head.ether_shost, d->mac, ETH_ALEN);
	memcpy(arp.arp_sha, d->mac, ETH_ALEN);
	memcpy(arp.arp_spa, ip, 4);
	memcpy(arp.arp_tpa, ip, 4);
	send_frame(fd, d, &head, &arp, sizeof(arp));
}

/* RFC 4443, 2.3. */
static uint16_t checksum(const struct ip6_hdr *ip, const void *body, size_t len)
{
	const uint8_t *parts[] = { (const uint8_t *)&ip->ip6_src, body };
	const size_t sizes[] = { 32, len }; /* both addresses lie together */
	uint32_t s = (uint32_t)len + IPPROTO_ICMPV6;

	for (int k = 0; k < 2; k++) {
		for (size_t i = 0; i < sizes[k]; i += 2) {
			s += (uint32_t)parts[k][i] << 8 | parts[k][i + 1];
		}
	}
	while (s >> 16) {
		s = (s & 0xffff) + (s >> 16);
	}
	return htons((uint16_t)~s);
}

static void send_advertisement(int fd, const struct device *d, const uint8_t ip[16])
{
	static const uint8_t all[16] = { 0xff, 0x02, [15] = 1 };
	struct ether_header head = { .ether_dhost = { 0x33, 0x33, 0, 0, 0, 1 },
		                     .ether_type = htons(ETHERTYPE_IPV6) };
	struct {
		struct ip6_hdr ip;
		struct nd_neighbor_advert na;
		struct nd_opt_hdr option;
		uint8_t mac[ETH_ALEN];
	} p = { .option = { .nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1 } };
	const size_t len = sizeof(p) - sizeof(p.ip);

	memcpy(head.ether_shost, d->mac, ETH_ALEN);
	p.ip.ip6_vfc = 6 << 4;
	p.ip.ip6_plen = htons((uint16_t)len);
	p.ip.ip6_nxt = IPPROTO_ICMPV6;
	p.ip.ip6_hlim = 255;
	memcpy(&p.ip.ip6_src, ip, 16);
	memcpy(&p.ip.ip6_dst, all, 16);
	p.na.nd_na_type = ND_NEIGHBOR_ADVERT;
	p.na.nd_na_flags_reserved = ND_NA_FLAG_ROUTER | ND_NA_FLAG_OVERRIDE;
	memcpy(&p.na.nd_na_target, ip, 16);
	memcpy(p.mac, d->mac, ETH_ALEN);
	p.na.nd_na_cksum = checksum(&p.ip, &p.na, len);
	send_frame(fd, d, &head, &p, sizeof(p));
}

static bool is_new(const struct kop *op)
{
	return op->verb == KOP_ADD && op->o->kind == KOBJ_NEIGH && op->o->sub == KOBJ_NEIGH_PROXY;
}

bool announce_any(const struct kop *v, size_t n)
{
	bool any = false;

	for (size_t i = 0; i < n && !any; i++) {
		any = is_new(&v[i]);
	}
	return any;
}

int announce_open(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: it gets nothing */
}

void announce_send(int fd, const struct kop *v, size_t n)
{
	struct device d = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct kobj *o = v[i].o;

		if (!is_new(&v[i])) {
			continue;
		}
		if (strcmp(d.name, o->dev) != 0) {
			find_device(fd, o->dev, &d);
		}
		if (d.index) {
			(o->family == 4 ? send_arp : send_advertisement)(fd, &d, o->addr);
		}
	}
}
