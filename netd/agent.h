/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A node that belongs to another's plane. `netd join TOKEN` gets it a certificate, which lies with its key in
 * STATE-DIR/joined.json; from then on the control role of this node is an agent: it has no store and no API of its own, and is
 * connected to the plane for as long as it runs. See docs/nodes.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/cert.h"
#include "lib/base/err.h"
#include "netd/node_stream.h"
#include "netd/role.h"

#define PLANES_TEXT 520 /* eight of them */

/* What joined.json says. */
struct joined {
	char plane
		[PLANES_TEXT]; /* address:port of the plane's listen-nodes, or several, separated by commas: seat.h */
	char name[CERT_NAME];
	uint32_t number;
	char key[CERT_TEXT], cert[CERT_TEXT]; /* cert "": a join that did not end */
	char authority[CERT_TEXT];
};

/* ---- joined.c ---- */
/* Has this node joined? False also where the file is absent or cannot be read. */
bool joined_there(const struct config *c);
/* May netd start? Not where the file is damaged, or a join did not end: this node would be a plane of its own, unasked. */
int joined_check(const struct config *c, struct err *e) __attribute__((warn_unused_result));
/* Reads the file; ERR_NOT_FOUND: there is none. */
int joined_read(const struct config *c, struct joined *to, struct err *e)
	__attribute__((warn_unused_result));
/* Replaces it as a whole, durable when it returns; control's user has it, nobody else. */
int joined_write(const struct config *c, const struct joined *j, struct err *e)
	__attribute__((warn_unused_result));

/* What this node says of itself to the plane. */
void facts_of(const struct config *c, struct node_facts *to);
/* Where nodes find this one's control: the listener's address, or where that is any, what others reach the node by. ERR_UNSUPPORTED:
 * nowhere. */
int nodes_address(const struct config *c, char to[static 64], struct err *e)
	__attribute__((warn_unused_result));

/* ---- agent.c ---- */
/* The control role of a node that has joined. Serves until SIGTERM or the supervisor's end. */
void agent_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd);

/* For a connection to the plane as that node; the caller frees it. NULL: ERR_… */
SSL_CTX *agent_context(const struct joined *j, struct err *e);

/* ---- join.c: commands, run by root; exit statuses; they block ---- */
int join_run(const struct config *c, const char *token); /* "-": it is read from standard input */
/* It forgets the plane. */
int leave_run(const struct config *c);
