/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The nodes of a plane, as control knows them: who has joined, with what, and who is heard of. A node's row "node/NAME" says
 * which key it has; a token to join, "join/SHA-256 OF ITS SECRET", what it will be. Whether it is alive is in memory only.
 * node.c: rows and tokens. node_hub.c: the listener that nodes connect to. Control's; one thread. See docs/nodes.md.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/cert.h"
#include "lib/base/err.h"
#include "netd/node_stream.h"
#include "netd/role.h"

#define NODES_MAX 4096

struct node {
	char name[CERT_NAME], zone[CERT_NAME], domain[CERT_NAME]; /* domain: that fails as one */
	char key[CERT_PRINT]; /* SHA-256 of its public key; "": it has had control only, and none stands by */
	uint32_t number;   /* from 1, never another's afterwards */
	int64_t joined_ms; /* since 1970 */
	bool cordoned;     /* takes no new groups */
	bool drained;      /* and its way in is not announced */
	bool drains_on;    /* it was being drained when control began: what is on it is to go yet */
	bool emptied;      /* since it was lost: all that was there has gone elsewhere */
	bool fenced; /* lost what it had: no other node takes packets from it, until it is heard of again */
	/* What it said last, and is not stored: */
	struct node_facts facts;
	int64_t seen_ms;       /* by a clock that does not jump; 0: not since control runs */
	int64_t cert_until_s;  /* of the certificate that it showed */
	struct stream *stream; /* NULL: not connected */
	bool synced; /* its engine has all that it should have; control's own: plane.engine_synced */
	bool touched; /* its engine was told something since it was asked how far it is: fabric.c */
	uint64_t asked, answered;
	bool names_touched;                  /* the same of its dns role: zone_node.c */
	LIST_HEAD(node_asks, node_ask) asks; /* what that owes answers to */
	bool runtime;                        /* one is connected there, */
	bool runtime_waited;                 /* it was expected when last looked */
	int64_t runtime_left_ms;             /* or left then; -1: none came yet */
	double used[2];                      /* cpu and GB that groups on it ask for */
	struct node_role {
		struct channel *channel; /* NULL: away, or unlike */
		bool unlike; /* it is of a version that says other things: told nothing, and not heard */
		char counters[4096]; /* as it told them last, and when; 0: not yet */
		int64_t told_ms;
		int64_t owes_ms; /* since when it owes an answer that somebody waits for; 0: it owes none */
		bool silent; /* for as long as a lease: nobody waits for it until it has answered */
	} roles[CONTROL_PEERS]; /* by control_peers */
	json_t *refused; /* what its kernel refuses, by number of the namespace: refused.h; NULL: not known, or nothing */
};

/* ---- node.c ---- */
/* Pairs of the store: "node/", "join/", "meta/authority", "meta/nodes". */
void node_load(const char *key, const json_t *row);
/* Once all is loaded: this node has a row, the plane an authority. */
void node_start(void);

struct node *node_find(const char *name); /* in any case; NULL: none */
struct node *node_at(size_t i);           /* by name; NULL: no more */
struct node *node_own(void);              /* that has control */
struct node *node_first(void);            /* that had it first: what is noted at no node is there */
struct node *node_numbered(uint32_t number); /* NULL: none */
/* Its role's channel; NULL: away, or no such node. */
struct channel *node_channel(const struct node *n, enum role role);
bool node_synced(const struct node *n);
bool node_ready(const struct node *n);
bool node_lost(const struct node *n);    /* silent for longer than its lease */
bool node_ingress(const struct node *n); /* public addresses come in there: it has an uplink */
bool node_usable(const struct node *n);  /* it is there, and takes new groups */
/* Cores and GB that groups may ask for there; 0: no limit. */
void node_capacity(const struct node *n, double to[2]);
/* Tells its engine; a descriptor does not cross nodes. */
void node_tell(struct node *n, enum msg_type type, const struct buf *body, int fd);
/* Its runtime: is there one, and a frame to it (takes the reference); `serial`: number of the group whose namespace goes along,
 * 0 none. On control's own node that is `fd`. */
bool node_runtime(const struct node *n);
/* A session of its runtime's: `m` (taken) asks for it, the socket is its end here (taken). */
void node_session(struct node *n, json_t *m, uint64_t session, int fd);
void node_runtime_send(struct node *n, json_t *m, uint32_t serial, int fd);
/* "Ready", "NotReady" (its lease ran out), "Unknown" (control has just started). Static. */
const char *node_state(const struct node *n);
json_t *node_view(const struct node *n); /* new reference */
/* May a new group be placed on any node? ERR_CONFLICT ServiceUnavailable: no. */
int node_takes_groups(struct err *e);

void node_save(const struct node *n); /* its row; nobody waits */
/* The following change the store; reply(arg, e) is called once it is durable. */
typedef void (*node_reply_fn)(void *arg, const struct err *e);
/* `drained`: cordoned, and public addresses should come in elsewhere. */
void node_cordon(struct node *n, bool cordoned, bool drained, node_reply_fn reply, void *arg);
/* Its credentials are worth nothing from now on. ERR_CONFLICT: control's own. */
int node_remove(struct node *n, node_reply_fn reply, void *arg, struct err *e);

struct node_token {
	char name[CERT_NAME], zone[CERT_NAME], domain[CERT_NAME]; /* "": any name; no zone */
	int64_t until_ms;                                         /* since 1970 */
};
#define NODE_TOKEN_TEXT 300
/* Draws one; its text, of NODE_TOKEN_TEXT bytes, is told once. ERR_UNSUPPORTED: the plane has no listen-nodes. */
int node_token(const struct node_token *t, char to[static NODE_TOKEN_TEXT], node_reply_fn reply,
               void *arg, struct err *e);
/* A node that has a token's secret joins, by its request for a certificate: the number and the certificate it gets, to be told
 * once reply says so. The same key again, within the token's time, gets the same, while the node is not removed. ERR_FORBIDDEN: no such token. */
int node_join(const char *secret, const char *name, const char *request, uint32_t *number,
              char cert[static CERT_TEXT], node_reply_fn reply, void *arg, struct err *e);
/* A new certificate for the key that it has. */
int node_renew(const struct node *n, const char *request, char cert[static CERT_TEXT],
               struct err *e);
/* One for this node, which has control, as other nodes have. */
int node_own_cert(const char *request, char cert[static CERT_TEXT], struct err *e);
/* Could the authority's key be opened, if there is one? */
bool node_opens(void);
/* A certificate for the plane's own end, for a key of its own; and who signed it. */
int node_server(char key[static CERT_TEXT], char cert[static CERT_TEXT], struct err *e);
const char *node_authority(void);

/* Of control_peers; NULL: none that control speaks to. */
struct node_role *node_role(struct node *n, uint8_t role);
bool node_unlike(const struct node *n); /* one of its roles at least */
/* The node's engine or name server was asked what somebody waits for; it answered, and (`more`) owes another answer; or it is away. */
void node_asks(struct node *n, enum role role);
void node_answers(struct node *n, enum role role, bool more);
/* Has it become silent just now? True once. */
bool node_falls_silent(struct node *n, enum role role, int64_t now_ms);
bool node_silent(const struct node *n, enum role role);

/* ---- control.c ---- */
/* A role of the node said something; is there, or there again; is away. */
void control_said(struct node *n, enum role from, enum msg_type type, struct reader *r, int fd);
void control_peer_up(struct node *n, enum role peer);
void control_peer_gone(struct node *n, enum role peer);

/* ---- node_hub.c ---- */
/* Serves the listening descriptor; -1: there is none. */
void hub_serve(int fd);
/* The node was removed: it is told so. */
void hub_drop(struct node *n);
/* Its lease ran out: it comes back by a new connection, and gets all that it should have. */
void hub_lost(struct node *n);
/* Tells all nodes where control may be found from now on. */
void hub_places(void);
/* Asks each role of each node for its counters. */
void hub_ping(void);
/* What they told, and which nodes are there, as lines of Prometheus' text format with the label node. */
void hub_metrics(struct buf *to);
