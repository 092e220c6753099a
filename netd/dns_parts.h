/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the files of the dns role share. One process: the main thread takes control's messages, changes the table
 * of names and serves TCP and VNets; workers, a thread and a socket each, answer public names by UDP and only
 * read.
 */
#pragma once

#include <netinet/in.h>
#include <stdatomic.h>

#include "dns/answer.h"
#include "dns/limit.h"
#include "lib/base/loop.h"
#include "netd/role.h"

#define DNS_SIGNATURES 65536u /* that a thread remembers */

/* Counted by one thread, read by any. */
enum dns_count {
	COUNT_QUERIES,
	COUNT_ANSWERS,
	COUNT_TCP,
	COUNT_NXDOMAIN,
	COUNT_REFUSED,
	COUNT_MALFORMED,
	COUNT_TRUNCATED,
	COUNT_LIMITED, /* short, or not answered */
	COUNT_COOKIES, /* with a good one */
	COUNT_FORWARDED,
	COUNT_LOST, /* of what was forwarded: no answer in time */
	COUNT_N
};
struct dns_counts {
	_Atomic uint64_t v[COUNT_N];
};

struct dns_role {
	const struct config *config;
	struct loop *loop;
	struct dns_zones *zones;
	struct dns_server server;
	struct dns_signer *signer; /* the main thread's */
	struct channel *control, *engine;
	int udp[8], tcp;
	size_t n_udp;
	bool serving;
	int log;                  /* of queries; -1: off */
	struct dns_counts counts; /* the main thread's */
};
extern struct dns_role dns_role;

static inline void dns_counted(struct dns_counts *c, enum dns_count what)
{
	/* One thread adds: no need to lock the bus. */
	atomic_store_explicit(&c->v[what],
	                      atomic_load_explicit(&c->v[what], memory_order_relaxed) + 1,
	                      memory_order_relaxed);
}
/* A query was answered with `len` bytes (0: not at all). */
void dns_count_answer(struct dns_counts *c, const struct dns_ask *a, size_t len);
/* A line of the query log, when it is on: time, VNet (0: the public), who asked, what, by which way, rcode. One thread's
 * lines are kept in `b` until dns_log_flush(). */
void dns_log(struct buf *b, const struct dns_ask *a, uint32_t vnet, size_t len);
void dns_log_flush(struct buf *b);
/* Milliseconds of the monotonic clock, to within a tick. */
int64_t dns_now_ms(void);
/* The address of who asks, into the ask; mapped ones (::ffff:192.0.2.1) as IPv4. */
void dns_client(struct dns_ask *a, const struct sockaddr_storage *from);

/* ---- dns_udp.c ---- */
void dns_workers_start(void);
void dns_workers_add(uint64_t sums[COUNT_N]);

/* ---- dns_hot.c: names that are answered in the kernel ---- */
void dns_hot_begin_role(void);
/* The engine is there, or there again: it is asked for its maps. */
void dns_hot_engine_up(void);
/* A map (taken) of MSG_NAMES_HOT. */
void dns_hot_map(struct reader *r, int fd);
/* A name has changed, before anybody is told; `name` is what stands before the zone's origin. */
void dns_hot_changed(uint64_t zone, const uint8_t *name, size_t len);
/* Something else may have. */
void dns_hot_check(void);
/* A worker's: its own, NULL when nothing is answered in the kernel. */
struct dns_heat *dns_heat_new(void);
/* It has answered; the name may become hot. */
void dns_heat_note(struct dns_heat *h, const struct dns_ask *a);
void dns_hot_print(struct buf *b, uint64_t *answered);

/* ---- dns_tcp.c ---- */
/* Serves a listening socket (taken) until it is freed; `vnet` is DNS_VIEW_PUBLIC or a VNet. */
struct tcp_server;
struct tcp_server *dns_tcp_serve(int fd, uint32_t vnet);
void dns_tcp_free(struct tcp_server *s); /* with its connections; accepts NULL */
/* An answer to what came by a connection, later; one that is gone swallows it. */
void dns_tcp_answer(uint64_t conn, const uint8_t *p, size_t len);

/* ---- dns_transfer.c ---- */
/* A public zone: secondaries, if there are any, follow it from now on. */
void dns_transfer_follow(uint64_t zone);
/* A name is about to change. */
void dns_transfer_note(uint64_t zone, const uint8_t *name, size_t len);
/* The zone has other keys: what was signed is signed anew. */
void dns_transfer_resign(uint64_t zone);
/* Names went without a note: what secondaries ask for next is the whole. */
void dns_transfer_forget(void);
/* AXFR or IXFR, read: appends the messages, each behind its length; false: it may not, or cannot, be. */
bool dns_transfer(struct dns_ask *a, const uint8_t *packet, size_t len, struct buf *to);

/* ---- dns_vnet.c ---- */
/* How a VNet's resolver behaves, of control; `config` is what the resolver process is told. */
struct vnet *dns_vnet_set(uint32_t vnet, bool forwards, const uint8_t *config, size_t len);
void dns_vnet_del(uint32_t vnet);
void dns_vnets_begin(void); /* those that are not set until the end go */
void dns_vnets_end(void);
void dns_vnet_engine(void *arg, enum role from, enum msg_type type, struct reader *r, int fd);
void dns_vnet_engine_gone(void);
/* A query of a group, which came by a connection: answers it, now or later. */
void dns_vnet_tcp(uint32_t vnet, uint64_t conn, const struct sockaddr_storage *from,
                  const uint8_t *packet, size_t len);

/* ---- dns_control.c ---- */
void dns_control(void *arg, enum role from, enum msg_type type, struct reader *r, int fd);
void dns_serve(void);
