/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Messages between roles: one table of types, one channel over a SEQPACKET socket pair. A message
 * of a wrong version, direction or length is refused and ends the channel: roles do not trust
 * each other. Payloads are written and read by the same typed calls; a reader that leaves bytes
 * over has failed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/kernel/conntrack.h"
#include "lib/kernel/counters.h"
#include "lib/kernel/kobj.h"

struct loop;

/* Roles, in the order of their start. MAIN supervises. */
enum role {
	ROLE_MAIN,
	ROLE_ENGINE,
	ROLE_DNS,
	ROLE_PROBE,
	ROLE_SESSION,
	ROLE_CONTROL,
	ROLE_N,
	ROLE_RESOLVER, /* one a VNet, of the engine's making (resolver.h) */
};

/* A change in parts: request, owner, flags, count, then count times a verb (enum kop_verb) and an
 * object. It happens with the last part. */
#define PART_FIRST   1u
#define PART_LAST    2u
#define PART_WHOLE   4u /* what is not put goes */
#define PART_MAX     1000u
#define FLOWS_MAX    2000u /* in a message */
#define COUNTS_MAX   1000u
#define DRAINS_MAX   2000u
#define REFUSED_MAX  16u
#define REFUSED_TEXT 400   /* bytes of each one's reason */
#define LEARNED_MAX  4000u /* routes of a given namespace; Azure takes as many by private peering */

/* What the engine's answer begins with when nothing was tried, and trying again is of no use. */
#define GUEST_REFUSED "refused"

/* id, version, from, to, shortest and longest payload in bytes. Nodes of other versions know a message by its number, so new ones
 * go last; and a version is another when the payload is read in another way, the objects in it too (enum kobj_netns and the like). */
#define MSG_BODY_MAX 180000u
#define MSG_TABLE(X)                                                                              \
	X(PEER, 1, ROLE_MAIN, ROLE_N, 4, 4)         /* a new channel to a role, with fd */        \
	X(RELINK, 1, ROLE_CONTROL, ROLE_MAIN, 4, 4) /* the channel to that role broke */          \
	X(READY, 1, ROLE_N, ROLE_MAIN, 0, 0)        /* the role serves */                         \
	X(OWNER_SET, 4, ROLE_CONTROL, ROLE_ENGINE, 21, MSG_BODY_MAX)                              \
	X(OWNER_PART, 3, ROLE_CONTROL, ROLE_ENGINE, 21, MSG_BODY_MAX) /* see owner_part() */      \
	X(OWNER_DEL, 1, ROLE_CONTROL, ROLE_ENGINE, 16, 16)                                        \
	X(SYNC_BEGIN, 1, ROLE_CONTROL, ROLE_ENGINE, 0, 0)                                         \
	X(SYNC_END, 1, ROLE_CONTROL, ROLE_ENGINE, 8, 8)                                           \
	X(OWNER_CHECK, 1, ROLE_CONTROL, ROLE_ENGINE, 16, 16)                                      \
	X(GUEST, 2, ROLE_CONTROL, ROLE_ENGINE, 23, 400)   /* see engine's guest(); maybe fd */    \
	X(GUEST_GONE, 1, ROLE_ENGINE, ROLE_CONTROL, 8, 8) /* number of the group */               \
	X(FLOWS, 1, ROLE_CONTROL, ROLE_ENGINE, 8, 8)      /* token, namespace */                  \
	X(FLOW_LIST, 1, ROLE_ENGINE, ROLE_CONTROL, 9, MSG_BODY_MAX) /* token, ns, last, flows */  \
	X(FLOWS_DEL, 1, ROLE_CONTROL, ROLE_ENGINE, 4, MSG_BODY_MAX) /* namespace, flows */        \
	X(DRAIN, 2, ROLE_CONTROL, ROLE_ENGINE, 8, MSG_BODY_MAX)     /* see drain.h */             \
	X(DRAINED, 2, ROLE_ENGINE, ROLE_CONTROL, 9, MSG_BODY_MAX)   /* the same, with counts */   \
	X(COUNTERS, 2, ROLE_CONTROL, ROLE_ENGINE, 12, 12)           /* token, namespace, what */  \
	X(COUNTER_LIST, 1, ROLE_ENGINE, ROLE_CONTROL, 9, MSG_BODY_MAX) /* token, ns, last */      \
	X(LEARN, 1, ROLE_CONTROL, ROLE_ENGINE, 0, 0) /* tell of every given namespace */          \
	X(LEARNED, 1, ROLE_ENGINE, ROLE_CONTROL, 12, MSG_BODY_MAX) /* see learn() */              \
	X(ENGINE_DONE, 1, ROLE_ENGINE, ROLE_CONTROL, 10, 1024) /* request, ok, text; maybe fd */  \
	X(NAMES_BEGIN, 1, ROLE_CONTROL, ROLE_DNS, 0, 0)                                           \
	X(ZONE_SET, 1, ROLE_CONTROL, ROLE_DNS, 13, 300) /* number, serial, origin */              \
	X(ZONE_KEYS, 1, ROLE_CONTROL, ROLE_DNS, 9, 300) /* zone, count: flags, signs, private */  \
	X(ZONE_DEL, 1, ROLE_CONTROL, ROLE_DNS, 8, 8)                                              \
	X(NAME_SET, 2, ROLE_CONTROL, ROLE_DNS, 10, MSG_BODY_MAX) /* see dns_control.c */          \
	X(VIEW_SET, 1, ROLE_CONTROL, ROLE_DNS, 8, MSG_BODY_MAX)  /* the same */                   \
	X(VIEW_DEL, 1, ROLE_CONTROL, ROLE_DNS, 4, 4)                                              \
	X(NAMES_SOCKET_ASK, 1, ROLE_DNS, ROLE_ENGINE, 4, 4) /* VNet */                            \
	X(NAMES_SOCKET, 1, ROLE_ENGINE, ROLE_DNS, 5, 5)     /* VNet, kind; the socket or none */  \
	X(NAMES_HOT_ASK, 1, ROLE_DNS, ROLE_ENGINE, 0, 0)    /* the maps of hot names */           \
	X(NAMES_HOT, 1, ROLE_ENGINE, ROLE_DNS, 5, 5)        /* which, buckets; the map */         \
	X(NAMES_END, 1, ROLE_CONTROL, ROLE_DNS, 8, 8)                                             \
	X(DNS_DONE, 1, ROLE_DNS, ROLE_CONTROL, 10, 1024)                                          \
	X(PROBE_BEGIN, 1, ROLE_CONTROL, ROLE_PROBE, 0, 0)                                         \
	X(PROBE_SET, 1, ROLE_CONTROL, ROLE_PROBE, 43, 1200) /* see balancer_probe.c */            \
	X(PROBE_DEL, 1, ROLE_CONTROL, ROLE_PROBE, 8, 8)                                           \
	X(PROBE_END, 1, ROLE_CONTROL, ROLE_PROBE, 0, 0)                                           \
	X(PROBE_STATE, 1, ROLE_PROBE, ROLE_CONTROL, 11, 100) /* target, up, why */                \
	X(SOCKET_ASK, 1, ROLE_PROBE, ROLE_ENGINE, 5, 5)      /* VNet, family */                   \
	X(SOCKET, 1, ROLE_ENGINE, ROLE_PROBE, 5, 5) /* the same, with the socket or none */       \
	X(PING, 1, ROLE_CONTROL, ROLE_N, 8, 8)                                                    \
	X(NAMES_SOCKET_DROP, 1, ROLE_DNS, ROLE_ENGINE, 4, 4) /* VNet */                           \
	X(RESOLVER_ASK, 1, ROLE_DNS, ROLE_ENGINE, 4, 4)      /* VNet */                           \
	X(RESOLVER, 1, ROLE_ENGINE, ROLE_DNS, 4, 4) /* VNet; the channel to its resolver */       \
	X(RESOLVER_CONFIG, 1, ROLE_DNS, ROLE_RESOLVER, 3, MSG_BODY_MAX)                           \
	X(RESOLVE, 1, ROLE_DNS, ROLE_RESOLVER, 26, 70000)                                         \
	X(RESOLVED, 1, ROLE_RESOLVER, ROLE_DNS, 8, 70000)                                         \
	X(SERIAL, 1, ROLE_DNS, ROLE_CONTROL, 8, 8)       /* a public zone's has come so far */    \
	X(NAMES_ASK, 1, ROLE_CONTROL, ROLE_DNS, 29, 600) /* token, view, query */                 \
	X(NAMES_ANSWER, 1, ROLE_DNS, ROLE_CONTROL, 11,                                            \
	  MSG_BODY_MAX)                                            /* token, elsewhere, target */ \
	X(NAMES_EXPORT, 1, ROLE_CONTROL, ROLE_DNS, 16, 16)         /* token, zone */              \
	X(NAMES_PART, 1, ROLE_DNS, ROLE_CONTROL, 9, MSG_BODY_MAX)  /* token, last, message */     \
	X(SESSION_TICKET, 1, ROLE_CONTROL, ROLE_SESSION, 60, 3000) /* see session.h */            \
	X(SESSION_BEGIN, 1, ROLE_SESSION, ROLE_CONTROL, 8, 8)      /* ticket: its caller came */  \
	X(SESSION_STREAM, 1, ROLE_CONTROL, ROLE_SESSION, 11, 1024) /* ticket, ok, why; stream */  \
	X(SESSION_END, 1, ROLE_CONTROL, ROLE_SESSION, 4, 1024)     /* ticket or 0, caller, why */ \
	X(PONG, 1, ROLE_N, ROLE_CONTROL, 8, 4096)                  /* request, counters */        \
	X(ENGINE_REFUSED, 1, ROLE_ENGINE, ROLE_CONTROL, 8, 7000)   /* see refused.h */

enum msg_type {
#define X(id, v, from, to, min, max) MSG_##id,
	MSG_TABLE(X)
#undef X
	MSG_N,
};

struct channel;
struct reader {
	const uint8_t *p;
	size_t left;
	bool failed;
};

/* `fd` is -1, or a descriptor that the handler takes. */
typedef void (*channel_fn)(void *arg, enum role from, enum msg_type type, struct reader *r, int fd);
typedef void (*channel_closed_fn)(void *arg, enum role peer);

/* Takes `fd`. `self` and `peer` say which rows are allowed. Freed by the caller, also from inside
 * `closed`, which is called once when the other end is gone or broke the rules. */
struct channel *channel_new(struct loop *l, int fd, enum role self, enum role peer, channel_fn fn,
                            channel_closed_fn closed, void *arg);
void channel_free(struct channel *c); /* accepts NULL */
/* A channel whose other end is on another node: what is sent goes to carry(), with the type's version, and what comes from
 * there is given to channel_take(). No descriptor crosses: a message that has one is not sent. */
typedef void (*channel_carry_fn)(void *arg, enum role peer, enum msg_type type, uint16_t version,
                                 const struct buf *body);
struct channel *channel_carried(enum role self, enum role peer, channel_carry_fn carry,
                                void *carry_arg, channel_fn fn, void *arg);
/* -1: no such message may come by this channel, or its handler left something of it. */
int channel_take(struct channel *c, uint16_t type, uint16_t version, const uint8_t *data,
                 size_t len) __attribute__((warn_unused_result));
/* May that role send another such a message, of that many bytes? And what is its version? */
bool message_may(enum role from, enum role to, uint16_t type, uint16_t version, size_t len);
uint16_t message_version(enum msg_type type);
/* What control and that role say to each other, as a number: with another one they do not understand each other. Pure. */
uint32_t message_dialect(enum role role);
/* Queues a message when the socket is full; never blocks. `fd` (or -1) is duplicated. A channel
 * that is NULL or closed swallows the message: its peer gets a full list when it comes back. */
void channel_send(struct channel *c, enum msg_type type, const struct buf *body, int fd);

void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_str(struct buf *b, const char *s); /* at most 65,535 bytes */
void put_flow(struct buf *b, const struct kflow *f);
void put_count(struct buf *b, const struct kcount *c);
void put_kobj(struct buf *b, const struct kobj *o);
uint8_t get_u8(struct reader *r);
uint16_t get_u16(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
/* Bytes where they lie in the message; NULL: not so many. */
const uint8_t *borrow_bytes(struct reader *r, size_t n);
/* Into `to`; fails when it does not fit. */
void get_str(struct reader *r, char *to, size_t size);
void get_flow(struct reader *r, struct kflow *f);
void get_count(struct reader *r, struct kcount *c);
void get_bytes(struct reader *r, uint8_t *to, size_t n);
void get_kobj(struct reader *r, struct kobj *o);
/* Everything read, nothing left, no failure? */
bool reader_done(const struct reader *r);
