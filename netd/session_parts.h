/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The session role inside: session.c (tickets, messages of control, listeners) and session_link.c (one
 * caller's connection). Internal to them. One thread; nothing blocks.
 *
 * Control makes a ticket for a call of the API, and keeps what should be run; the role keeps who may come
 * with it. The role never sees a command, a document or a token, and control never a byte of a session.
 *   SESSION_TICKET  number, path (32 digits), SHA-256 of the password, peer, caller, what it is for
 *   SESSION_BEGIN   the caller came: control asks the runtime
 *   SESSION_STREAM  ok, why not; with the stream
 *   SESSION_END     a ticket's session, or (0) all of a caller's, end: why
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "netd/role.h"

/* Who may come, once; what for, in the words of the log. */
struct session_ticket {
	TAILQ_ENTRY(session_ticket) link;
	uint64_t number;
	char path[33], peer[64], caller[64], what[1400];
	uint8_t hash[32]; /* of the password */
	int64_t until_ms;
};

struct session_link; /* a connection */

struct session_role {
	const struct config *config;
	struct loop *loop;
	struct channel *control;
	SSL_CTX *tls;
	uint64_t opened, refused;
	uint64_t bytes[2]; /* to callers, to containers */
	unsigned open;
};
extern struct session_role session_self;

/* ---- session.c ---- */
/* The ticket of that path for who comes from `peer`; it leaves the list and is the caller's to free. NULL:
 * there is none, or it is somebody else's. */
struct session_ticket *session_redeem(const char *path, const char *peer);

/* ---- session_link.c ---- */
/* Takes the connected socket. `tls` NULL: plain. */
void session_accept(int fd, SSL_CTX *tls);
/* The stream of a ticket that session_begin()s; fd -1: there is none, because of `why`. Takes fd. */
void session_stream(uint64_t ticket, int fd, const char *why);
/* Ends a ticket's session, or all of a caller's (ticket 0). */
void session_end(uint64_t ticket, const char *caller, const char *why);
/* Control is gone: who waits for it is told to try again. */
void session_control_gone(void);
