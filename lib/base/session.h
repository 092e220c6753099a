/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What goes over the stream of an interactive session (exec, attach), between netd and a runtime, and in
 * the WebSocket subprotocol that netctl speaks: docs/runtime.md, "Sessions". Constants only.
 */
#pragma once

/* A packet (SEQPACKET): a kind, one byte, and at most SESSION_PACKET bytes. */
#define SESSION_PACKET 32768
enum session_kind {
	SESSION_DATA,   /* input; output */
	SESSION_RESIZE, /* to the runtime: rows, columns, 16 bits each, most significant byte first */
	SESSION_ERROR, /* from it: standard error, where there is no terminal */
	SESSION_EXIT,  /* from it: status, 32 bits, most significant byte first; the last one */
	SESSION_EOF,   /* to it: no input comes any more */
};

/* The WebSocket subprotocol in which each binary message is a packet; without it messages are bytes. */
#define SESSION_PROTOCOL "exec.netd.v1"

/* How long the answer to exec or attach is good for. */
#define SESSION_TICKET_MS 60000
