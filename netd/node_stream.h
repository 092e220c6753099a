/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Between a node and the plane it belongs to: frames over TLS 1.3. A frame is a 32-bit length of what follows and a 16-bit
 * type, both big-endian, then a body that is written and read by the calls of message.h. A frame of a wrong direction or length
 * ends the connection: neither end trusts the other.
 */
#pragma once

#include <openssl/ssl.h>

#include "lib/base/ip.h"
#include "netd/message.h"

enum frame_way {
	FRAME_TO_PLANE,
	FRAME_TO_NODE,
};

#define FRAME_JSON_MAX (4u << 20) /* as the runtime's own frames: runtime.c */
#define CNI_FRAME_MAX  (4u << 20)
#define FRAME_PACKET   32769u /* kind, SESSION_PACKET bytes: lib/base/session.h */
#define FRAME_MSG      5u     /* bytes before a role's message in its frame */

/* id, way, shortest and longest body in bytes. Nodes of all versions speak by these: a frame that is there does not change, a new one
 * goes last, and is sent to who has said among its facts that it knows it. */
#define FRAME_TABLE(X)                                                                             \
	X(JOIN, FRAME_TO_PLANE, 36, 6000) /* secret, name, request, facts; the one without a */    \
	/* certificate */                                                                          \
	X(JOINED, FRAME_TO_NODE, 20, 10000) /* number, certificate, authority */                   \
	X(REFUSED, FRAME_TO_NODE, 2, 600)   /* why; the connection ends */                         \
	X(HELLO, FRAME_TO_PLANE, 26, 600)   /* facts: put_facts() */                               \
	X(WELCOME, FRAME_TO_NODE, 4, 4)     /* number */                                           \
	X(BEAT, FRAME_TO_PLANE, 8, 8)       /* count */                                            \
	X(BEATEN, FRAME_TO_NODE, 8, 8)      /* the same */                                         \
	X(RENEW, FRAME_TO_PLANE, 20, 5000)  /* request */                                          \
	X(ISSUED, FRAME_TO_NODE, 20, 5000)  /* certificate */                                      \
	X(ROLE_UP, FRAME_TO_PLANE, 5, 5)    /* a role of the node's, new or again; its dialect */  \
	X(TELL, FRAME_TO_NODE, FRAME_MSG, FRAME_MSG + MSG_BODY_MAX)  /* role, type, version: a */  \
	X(SAID, FRAME_TO_PLANE, FRAME_MSG, FRAME_MSG + MSG_BODY_MAX) /* message to it, from it */  \
	X(ROLE_GONE, FRAME_TO_PLANE, 1, 1)                           /* it is away */              \
	X(RUNTIME_UP, FRAME_TO_PLANE, 1, 1) /* 1: the node's runtime is there; 0: it has left */   \
	X(RUNTIME_SAID, FRAME_TO_PLANE, 2, FRAME_JSON_MAX) /* a frame of the runtime's */          \
	X(RUNTIME, FRAME_TO_NODE, 6, FRAME_JSON_MAX)  /* one to it: number of the group whose */   \
						      /* namespace goes along, 0 none; JSON */     \
	X(SESSION, FRAME_TO_NODE, 10, FRAME_JSON_MAX) /* session, JSON: the runtime gets it */     \
						      /* with a stream, carried by the next two */ \
	X(CARRY_DOWN, FRAME_TO_NODE, 9, 9 + FRAME_PACKET) /* session, what, bytes: carry.c */      \
	X(CARRY_UP, FRAME_TO_PLANE, 9, 9 + FRAME_PACKET)                                           \
	X(PLACES, FRAME_TO_NODE, 2, 600)             /* where control may be found: seat.h */      \
	X(CNI, FRAME_TO_PLANE, 9, 9 + CNI_FRAME_MAX) /* call, is there a namespace, its frame: */  \
						     /* cni.h */                                   \
	X(CNI_ANSWER, FRAME_TO_NODE, 9, 9 + CNI_FRAME_MAX) /* call, exit status, output */

enum frame_type {
#define X(id, way, min, max) FRAME_##id,
	FRAME_TABLE(X)
#undef X
	FRAME_N,
};

/* What a frame's first FRAME_HEAD bytes say: its type, and the length of the body behind them; -1: that end sends no such
 * frame. Pure. */
#define FRAME_HEAD 6
int frame_head(const uint8_t head[static FRAME_HEAD], enum frame_way way, enum frame_type *type,
               uint32_t *body);

#define NODE_SERVER   "netd-plane" /* the DNS name in the certificate of the plane's end */
#define NODE_BEAT_MS  2000
#define NODE_LEASE_MS 6000 /* without a beat: the node is lost, or the plane */

/* What a node says of itself. */
struct node_facts {
	char version[32];
	char address[IP_TEXT]; /* that other nodes reach it by; "": as the plane sees it */
	char underlay[16];     /* the device that has this address; "": none has */
	char run_dir[100];     /* where its namespaces are */
	char uplink[16];       /* its own way to the internet, "": by a node that has one */
	uint8_t uplink_mac[6];
	char hop4[IP_TEXT], hop6[IP_TEXT]; /* next hops behind the uplink, "" none */
	uint32_t cpu, memory;              /* cores and GB that its groups may ask for */
	char listen[64]; /* where nodes find control when that is there; "": it does not stand by */
};
/* New ones go last; what is left behind those that get_facts() knows is of a later version, and passed over. */
void put_facts(struct buf *b, const struct node_facts *f);
void get_facts(struct reader *r, struct node_facts *f);

/* The context shows this certificate, and its authority behind it; it believes that authority alone, and TLS 1.3 alone. */
int stream_certificates(SSL_CTX *ctx, const char *key, const char *cert, const char *authority,
                        struct err *e) __attribute__((warn_unused_result));

struct stream;
/* A frame; the stream may be freed inside. */
typedef void (*stream_fn)(void *arg, enum frame_type type, struct reader *r);
/* Once, when the stream has ended: `why` is what happened. The callee frees it. */
typedef void (*stream_closed_fn)(void *arg, const char *why);

/* The plane's end of a connection that was accepted; takes `fd`. */
struct stream *stream_accept(struct loop *l, int fd, SSL_CTX *tls, stream_fn fn,
                             stream_closed_fn closed, void *arg);
/* The node's end: connects, and calls up(arg) when the handshake is done. Never blocks. NULL: no socket. */
struct stream *stream_connect(struct loop *l, const struct ip *ip, uint16_t port, SSL_CTX *tls,
                              void (*up)(void *arg), stream_fn fn, stream_closed_fn closed,
                              void *arg);
/* Queues a frame; `body` may be NULL. */
void stream_send(struct stream *s, enum frame_type type, const struct buf *body);
/* What is queued is sent (5 s at most), then it ends; nothing more is read or told. */
void stream_finish(struct stream *s);
void stream_free(struct stream *s); /* NULL is allowed */
SSL *stream_ssl(struct stream *s);
