/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Sessions (exec, attach) of groups on other nodes: packets of a SEQPACKET socket go over the connection between a node and
 * its plane, and come out of one at the other end. An end that is not read holds the other up, never the connection: no more
 * than CARRY_WINDOW bytes of a session are on their way. Both ends are this code; one thread. See lib/base/session.h.
 */
#pragma once

#include "netd/node_stream.h"

#define CARRY_WINDOW 262144

struct loop;

/* From now on the socket is the session's end here; taken. `node`: at whose connection (NULL: the only one), by frames of
 * that type. */
void carry_begin(struct loop *l, const void *node, struct stream *s, enum frame_type type,
                 uint64_t session, int fd);
/* A frame of the other end's; of a session that is over: nothing. -1: it is none, or more than was asked for. */
int carry_frame(const void *node, struct reader *r) __attribute__((warn_unused_result));
/* The connection is gone: all that it carried ends. */
void carry_gone(const void *node);
/* Says at once that the session is over: nothing was begun. */
void carry_refuse(struct stream *s, enum frame_type type, uint64_t session);
