/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A VNet as the dns role knows it: its sockets, and what was asked for it elsewhere. Internal to the dns role.
 */
#pragma once

#include <sys/queue.h>

#include "netd/dns_parts.h"

/* Kinds of sockets in MSG_NAMES_SOCKET. */
#define SOCKET_SIX 1u
#define SOCKET_TCP 2u

struct vnet;
struct vnet_socket {
	int fd;
	struct vnet *vnet;
	struct loop_watch *watch;
};

/* Who waits for an answer. */
struct asker {
	struct vnet_socket *socket; /* NULL: a connection */
	uint64_t conn;
	struct sockaddr_storage from;
	socklen_t from_len;
};

struct vnet {
	LIST_ENTRY(vnet) link;
	uint32_t number;
	bool listed, forwards;
	struct buf config; /* of its resolver */
	uint64_t *zones;   /* that it sees, as they were set last */
	unsigned n_zones;
	struct vnet_socket udp[2];
	struct tcp_server *tcp[2];
	struct loop_timer *again;
	int64_t wait_ms;
	uint64_t queries, limited;
	/* its resolver process */
	struct channel *resolver;
	bool starting;
	int64_t failed_ms; /* when it could not be started last */
	int64_t used_ms;
	unsigned n_out; /* questions under way */
};
#define DNS_VNETS 1024
LIST_HEAD(vnets, vnet);
extern struct vnets dns_vnets[DNS_VNETS];    /* by number */
struct vnet *dns_vnet_find(uint32_t number); /* NULL: none */
void dns_vnet_engine_up(void);

/* ---- dns_forward.c ---- */
/* Asks elsewhere what the ask could not say; `begun` is the answer so far. false: not done. */
bool dns_forward(struct vnet *v, const struct dns_ask *a, const struct asker *who,
                 const uint8_t *packet, const uint8_t *begun, size_t begun_len);
/* The engine has begun the VNet's resolver: takes fd (-1: it could not). */
void dns_forward_resolver(struct vnet *v, int fd);
/* Ends the VNet's resolver; who waits is told to try again (SERVFAIL). */
void dns_forward_forget(struct vnet *v);
/* The engine is there again: what it was asked to begin is asked anew. */
void dns_forward_engine_up(struct vnet *v);
