/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Workers of the dns role: batches of packets in, batches of answers out. See dns_parts.h.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/base/log.h"
#include "netd/dns_parts.h"

#define BATCH        64
#define PACKET_MAX   1232
#define RRL_NETWORKS 65536

struct worker {
	pthread_t thread;
	int fd;
	struct dns_reader *reader;
	struct dns_limit *limit;
	struct dns_signer *signer;
	struct dns_heat *heat; /* NULL: no name is answered in the kernel */
	struct dns_counts counts;
	int64_t now_ms;
	struct buf log;
	struct mmsghdr rx[BATCH], tx[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct sockaddr_storage from[BATCH];
	struct dns_ask ask[BATCH];
	uint8_t in[BATCH][PACKET_MAX], out[BATCH][PACKET_MAX];
};

static struct worker *workers[8];
static size_t n_workers;

/* The network that asks, and what it is told: one bucket. */
static uint64_t rrl_key(const struct dns_ask *a)
{
	uint64_t net = 0;

	memcpy(&net, a->client, a->client_len == 4 ? 3 : 7);
	unsigned __int128 m =
		(unsigned __int128)(net ^ dns_answer_kind(a)) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* The answer's length, 0 none: as it is, or as the limit wants it. */
static size_t limited(struct worker *w, struct dns_ask *a, int i, size_t len)
{
	if (len == 0 || a->cookie_good) {
		return len;
	}
	switch (dns_limit_take(w->limit, rrl_key(a), w->now_ms)) {
	case DNS_LIMIT_SEND:
		return len;
	case DNS_LIMIT_SHORT:
		dns_counted(&w->counts, COUNT_LIMITED);
		return dns_answer_short(a, w->in[i], w->out[i]);
	default:
		dns_counted(&w->counts, COUNT_LIMITED);
		return 0;
	}
}

static int answer_all(struct worker *w, int n)
{
	int m = 0;

	for (int i = 0; i < n; i++) {
		dns_client(&w->ask[i], &w->from[i]);
		dns_ask_read(&w->ask[i], w->in[i], w->rx[i].msg_len);
	}
	for (int i = 0; i < n; i++) {
		dns_ask_fetch(&w->ask[i]);
	}
	for (int i = 0; i < n; i++) {
		size_t len = dns_ask_answer(&w->ask[i], w->in[i], w->out[i], PACKET_MAX);

		if (w->heat) {
			dns_heat_note(w->heat, &w->ask[i]);
		}
		len = limited(w, &w->ask[i], i, len);
		dns_count_answer(&w->counts, &w->ask[i], len);
		dns_log(&w->log, &w->ask[i], DNS_VIEW_PUBLIC, len);
		if (len) {
			w->out_iov[m] = (struct iovec){ w->out[i], len };
			w->tx[m].msg_hdr.msg_name = &w->from[i];
			w->tx[m].msg_hdr.msg_namelen = w->rx[i].msg_hdr.msg_namelen;
			m++;
		}
	}
	dns_log_flush(&w->log);
	return m;
}

/* Clocks that tell as much as is needed, once a batch. */
static void read_clocks(struct worker *w, const struct dns_view *view, int n)
{
	struct timespec mono, wall;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &mono);
	clock_gettime(CLOCK_REALTIME_COARSE, &wall);
	w->now_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000;
	for (int i = 0; i < n; i++) {
		w->ask[i].view = view;
		w->ask[i].now_s = (uint32_t)wall.tv_sec;
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			w->rx[i].msg_hdr.msg_namelen = sizeof(w->from[i]);
		}
		int n = recvmmsg(w->fd, w->rx, BATCH, MSG_WAITFORONE, NULL);
		if (n <= 0) {
			continue;
		}
		dns_reader_begin(w->reader);
		read_clocks(w, dns_view_of(dns_role.zones, DNS_VIEW_PUBLIC), n);
		int m = answer_all(w, n);
		dns_reader_end(w->reader);
		for (int sent = 0; sent < m;) {
			int k = sendmmsg(w->fd, w->tx + sent, (unsigned)(m - sent), MSG_DONTWAIT);

			sent += k > 0 ? k : 1; /* one that cannot be sent is dropped, as UDP may */
		}
	}
	return NULL;
}

static struct worker *worker_new(int fd)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w || !(w->limit = dns_limit_new((uint32_t)dns_role.config->dns_rate, RRL_NETWORKS)) ||
	    !(w->reader = dns_reader_new(dns_zones_table(dns_role.zones)))) {
		log_error("dns.worker", LOG_STR("error", "no memory"));
		exit(71);
	}
	w->fd = fd;
	w->signer = dns_role.config->dnssec ? dns_signer_new(DNS_SIGNATURES) : NULL;
	w->heat = dns_heat_new();
	(void)fcntl(fd, F_SETFL, 0); /* it waits there */
	for (int i = 0; i < BATCH; i++) {
		w->in_iov[i] = (struct iovec){ w->in[i], PACKET_MAX };
		w->rx[i].msg_hdr = (struct msghdr){ .msg_name = &w->from[i],
			                            .msg_iov = &w->in_iov[i],
			                            .msg_iovlen = 1 };
		w->tx[i].msg_hdr = (struct msghdr){ .msg_iov = &w->out_iov[i], .msg_iovlen = 1 };
		w->ask[i] = (struct dns_ask){ .zones = dns_role.zones,
			                      .server = &dns_role.server,
			                      .signer = w->signer };
	}
	return w;
}

void dns_workers_start(void)
{
	for (size_t i = 0; i < dns_role.n_udp; i++) {
		struct worker *w = worker_new(dns_role.udp[i]);

		if (pthread_create(&w->thread, NULL, work, w) != 0) {
			log_error("dns.worker", LOG_STR("error", "no thread"));
			exit(71);
		}
		workers[n_workers++] = w;
	}
}

void dns_workers_add(uint64_t sums[COUNT_N])
{
	for (size_t i = 0; i < n_workers; i++) {
		for (int k = 0; k < COUNT_N; k++) {
			sums[k] += atomic_load_explicit(&workers[i]->counts.v[k],
			                                memory_order_relaxed);
		}
	}
}
