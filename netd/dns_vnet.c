/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The resolver of each VNet, at 168.63.129.16 and fd53:a83f:8110::10: sockets that the engine opened in the VNet's
 * router. Which VNet asks is known by the socket, never by an address; what its zones do not know is handed to
 * the VNet's own resolver process (dns_forward.c). See dns_parts.h.
 */
#include "netd/dns_vnet.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"

#define BATCH                 32
#define PACKET_MAX            1232
#define GROUPS                65536 /* buckets of the limit */
#define AGAIN_MS              5     /* the VNet's router may come after its names */
#define AGAIN_MAX             2000
#define EDE_NOT_AUTHORITATIVE 20

struct vnets dns_vnets[DNS_VNETS];
static struct dns_limit *limit;

struct vnet *dns_vnet_find(uint32_t number)
{
	struct vnet *v;

	LIST_FOREACH(v, &dns_vnets[number % DNS_VNETS], link)
	{
		if (v->number == number) {
			return v;
		}
	}
	return NULL;
}

/* ---- queries ---- */

static struct dns_ask ask_of(const struct vnet *v, bool tcp, const struct sockaddr_storage *from)
{
	struct dns_ask a = { .zones = dns_role.zones,
		             .view = dns_view_of(dns_role.zones, v->number),
		             .server = &dns_role.server,
		             .signer = dns_role.signer,
		             .tcp = tcp,
		             .stub = true,
		             .now_s = (uint32_t)time(NULL) };

	dns_client(&a, from);
	return a;
}

/* Azure: 1,000 a second of one machine; what is over is dropped. */
static bool over_limit(const struct vnet *v, const struct dns_ask *a)
{
	uint64_t lo = 0, hi = 0;

	memcpy(&lo, a->client, 8);
	memcpy(&hi, a->client + 8, 8);
	unsigned __int128 m = (unsigned __int128)(lo ^ hi * 31 ^ (uint64_t)v->number << 32) *
	                      UINT64_C(0x9e3779b97f4a7c15);
	return dns_limit_take(limit, (uint64_t)m ^ (uint64_t)(m >> 64), dns_now_ms()) !=
	       DNS_LIMIT_SEND;
}

/* The answer's length; 0: none, or not yet. */
static size_t answer(struct vnet *v, struct dns_ask *a, const struct asker *who,
                     const uint8_t *packet, size_t len, uint8_t *out, size_t room)
{
	if (over_limit(v, a)) {
		dns_counted(&dns_role.counts, COUNT_LIMITED);
		v->limited++;
		return 0;
	}
	v->queries++;
	size_t n = dns_answer(a, packet, len, out, room);
	struct buf log = { 0 };
	dns_log(&log, a, v->number, n);
	dns_log_flush(&log);
	buf_fini(&log);
	if (n && a->elsewhere) {
		if (dns_forward(v, a, who, packet, out, n)) {
			return 0;
		}
		/* Nothing is asked outside: what is known of the chain, or that this is no place for it. */
		if (out[7] == 0) {
			n = dns_answer_error(a, packet, DNS_REFUSED, EDE_NOT_AUTHORITATIVE, out);
		}
	}
	dns_count_answer(&dns_role.counts, a, n);
	return n;
}

static void on_udp(void *arg)
{
	static uint8_t in[BATCH][PACKET_MAX], out[BATCH][PACKET_MAX];
	static struct sockaddr_storage from[BATCH];
	struct mmsghdr rx[BATCH], tx[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct vnet_socket *s = arg;
	int m = 0;

	memset(rx, 0, sizeof(rx));
	memset(tx, 0, sizeof(tx));
	for (int i = 0; i < BATCH; i++) {
		in_iov[i] = (struct iovec){ in[i], PACKET_MAX };
		rx[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
			                         .msg_namelen = sizeof(from[i]),
			                         .msg_iov = &in_iov[i],
			                         .msg_iovlen = 1 };
	}
	int n = recvmmsg(s->fd, rx, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		struct dns_ask a = ask_of(s->vnet, false, &from[i]);
		struct asker who = { .from = from[i],
			             .from_len = rx[i].msg_hdr.msg_namelen,
			             .socket = s };
		size_t len = answer(s->vnet, &a, &who, in[i], rx[i].msg_len, out[i], PACKET_MAX);

		if (len) {
			out_iov[m] = (struct iovec){ out[i], len };
			tx[m].msg_hdr = (struct msghdr){ .msg_name = &from[i],
				                         .msg_namelen = rx[i].msg_hdr.msg_namelen,
				                         .msg_iov = &out_iov[m],
				                         .msg_iovlen = 1 };
			m++;
		}
	}
	for (int sent = 0; sent < m;) {
		int k = sendmmsg(s->fd, tx + sent, (unsigned)(m - sent), MSG_DONTWAIT);

		sent += k > 0 ? k : 1;
	}
}

void dns_vnet_tcp(uint32_t vnet, uint64_t conn, const struct sockaddr_storage *from,
                  const uint8_t *packet, size_t len)
{
	static uint8_t out[65535];
	struct vnet *v = dns_vnet_find(vnet);
	struct asker who = { .conn = conn, .from = *from };

	if (v) {
		struct dns_ask a = ask_of(v, true, from);
		size_t n = answer(v, &a, &who, packet, len, out, sizeof(out));

		if (n) {
			dns_tcp_answer(conn, out, n);
		}
	}
}

/* ---- sockets ---- */

static void close_sockets(struct vnet *v)
{
	for (int i = 0; i < 2; i++) {
		loop_watch_free(v->udp[i].watch);
		if (v->udp[i].fd >= 0) {
			close(v->udp[i].fd);
		}
		v->udp[i] = (struct vnet_socket){ .fd = -1, .vnet = v };
		dns_tcp_free(v->tcp[i]);
		v->tcp[i] = NULL;
	}
}

static void ask_sockets(void *arg)
{
	struct vnet *v = arg;
	struct buf b = { 0 };

	put_u32(&b, v->number);
	channel_send(dns_role.engine, MSG_NAMES_SOCKET_ASK, &b, -1);
	buf_fini(&b);
}

/* Takes fd. */
static void got_socket(struct vnet *v, unsigned kind, int fd)
{
	unsigned six = kind & SOCKET_SIX ? 1 : 0;

	if (fd < 0) {
		if (kind == 0) { /* the router is not there, or not yet */
			loop_timer_start(v->again, v->wait_ms);
			v->wait_ms = v->wait_ms * 2 < AGAIN_MAX ? v->wait_ms * 2 : AGAIN_MAX;
		}
		return;
	}
	v->wait_ms = AGAIN_MS;
	if (kind & SOCKET_TCP) {
		dns_tcp_free(v->tcp[six]);
		v->tcp[six] = dns_tcp_serve(fd, v->number);
		return;
	}
	struct vnet_socket *s = &v->udp[six];
	loop_watch_free(s->watch);
	if (s->fd >= 0) {
		on_udp(s); /* what waits there is answered */
		close(s->fd);
	}
	*s = (struct vnet_socket){ .fd = fd, .vnet = v };
	s->watch = loop_watch_read(dns_role.loop, fd, on_udp, s);
}

void dns_vnet_engine(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	uint32_t number = get_u32(r);
	unsigned kind = type == MSG_NAMES_SOCKET ? get_u8(r) : 0;
	struct vnet *v = reader_done(r) ? dns_vnet_find(number) : NULL;

	(void)arg;
	(void)from;
	if (type == MSG_RESOLVER && v) {
		dns_forward_resolver(v, fd);
		return;
	}
	if (type != MSG_NAMES_SOCKET) {
		r->failed = type != MSG_RESOLVER;
	} else if (v && dns_role.serving) {
		got_socket(v, kind, fd);
		return;
	}
	if (fd >= 0) {
		close(fd);
	}
}

/* The engine is there, or there again: routers may be others. */
void dns_vnet_engine_up(void)
{
	struct vnet *v;

	for (size_t i = 0; i < DNS_VNETS; i++) {
		LIST_FOREACH(v, &dns_vnets[i], link)
		{
			ask_sockets(v);
			dns_forward_engine_up(v);
		}
	}
}

/* ---- VNets ---- */

static struct vnet *vnet_new(uint32_t number)
{
	struct vnet *v = calloc(1, sizeof(*v));

	if (!v) {
		abort();
	}
	if (!limit) {
		limit = dns_limit_new((uint32_t)dns_role.config->dns_group_rate, GROUPS);
	}
	v->number = number;
	v->wait_ms = AGAIN_MS;
	v->again = loop_timer_new(dns_role.loop, ask_sockets, v);
	for (int i = 0; i < 2; i++) {
		v->udp[i] = (struct vnet_socket){ .fd = -1, .vnet = v };
	}
	LIST_INSERT_HEAD(&dns_vnets[number % DNS_VNETS], v, link);
	return v;
}

static void vnet_free(struct vnet *v)
{
	struct buf b = { 0 };

	put_u32(&b, v->number);
	channel_send(dns_role.engine, MSG_NAMES_SOCKET_DROP, &b, -1);
	buf_fini(&b);
	LIST_REMOVE(v, link);
	dns_forward_forget(v);
	close_sockets(v);
	loop_timer_free(v->again);
	buf_fini(&v->config);
	free(v->zones);
	free(v);
}

struct vnet *dns_vnet_set(uint32_t number, bool forwards, const uint8_t *config, size_t len)
{
	struct vnet *v = dns_vnet_find(number);
	bool fresh = !v;

	v = v ? v : vnet_new(number);
	v->listed = true;
	if (v->forwards != forwards || len != v->config.len ||
	    memcmp(config, v->config.data, len) != 0) {
		dns_forward_forget(v); /* the next query begins a resolver that knows */
		v->forwards = forwards;
		buf_clear(&v->config);
		buf_add(&v->config, config, len);
	}
	if (fresh && dns_role.serving) {
		ask_sockets(v);
	}
	return v;
}

void dns_vnet_del(uint32_t number)
{
	struct vnet *v = dns_vnet_find(number);

	if (v) {
		vnet_free(v);
	}
}

void dns_vnets_begin(void)
{
	struct vnet *v;

	for (size_t i = 0; i < DNS_VNETS; i++) {
		LIST_FOREACH(v, &dns_vnets[i], link)
		{
			v->listed = false;
		}
	}
}

void dns_vnets_end(void)
{
	for (size_t i = 0; i < DNS_VNETS; i++) {
		struct vnet *v = LIST_FIRST(&dns_vnets[i]), *next;

		for (; v; v = next) {
			next = LIST_NEXT(v, link);
			if (!v->listed) {
				vnet_free(v);
			}
		}
	}
}
