/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Roles: one row each says user, capabilities, descriptors, channels. The supervisor (main.c)
 * starts a row by fork and exec of itself; role_enter() is the first thing the new process does.
 */
#pragma once

#include "netd/config.h"
#include "netd/message.h"

/* Descriptors that the supervisor opens once and hands to a role at each start. */
enum role_fd {
	FD_API_UNIX,
	FD_API_TLS,
	FD_RUNTIME,
	FD_CNI,
	FD_DNS_TCP,
	FD_DNS_NAMES, /* memory of the table of names: outlives the role */
	FD_DNS_LOG,   /* of queries; when it is on */
	FD_DNS_UDP,   /* as many as there are workers */
	FD_DNS_UDP_LAST = FD_DNS_UDP + 7,
	FD_SEAL_KEY,
	FD_SESSION_UNIX,
	FD_SESSION_TLS,
	FD_TLS_CERT, /* PEM files, open for reading */
	FD_TLS_KEY,
	FD_NODES,
	FD_N
};

struct role_row {
	const char *name;
	int64_t (*user)(const struct config *c); /* 0: root */
	const unsigned *caps;                    /* kept; ends with ~0u */
	unsigned fds;                            /* bits of enum role_fd */
	unsigned peers;                          /* bits of enum role */
	void (*run)(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
};
extern const struct role_row roles[ROLE_N];
/* Those that control has a channel to, on its own node and on others. */
#define CONTROL_PEERS 4
extern const enum role control_peers[CONTROL_PEERS];

/* Number of the descriptor of the channel to the supervisor; those of the row follow. */
#define ROLE_FD_MAIN 3

/* Drops to the row's user and capabilities, sets no_new_privs. Ends the process on failure. */
void role_enter(enum role role, const struct config *c);
/* A role that this one talks to: the channel there is, the latest, in *at (NULL while there is none). */
struct role_peer {
	enum role role;
	struct channel **at;
	channel_fn on_message;
	void (*on_up)(enum role role); /* it is there, or there again; NULL */
};
/* Serves until SIGTERM or the supervisor's end, and takes the channels to `peers` that the supervisor
 * hands over. Blocks. */
void role_serve(enum role role, struct loop *l, int main_fd, const struct role_peer *peers,
                size_t n);
/* Tells the supervisor that the role serves. */
void role_ready(struct channel *to_main);
/* SIGTERM, or the supervisor's end, stops the loop. */
void role_stop(void *loop);
void role_main_closed(void *loop, enum role peer);

void engine_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
void dns_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
void control_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
void session_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
void probe_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);
