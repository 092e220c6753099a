/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CNI's calls on a node that has joined a plane: control answers them, the namespaces stay here. A call goes to control as it came
 * (cni.c); until it is answered, its namespace is held for the engine's message about the group. The agent's; one thread.
 */
#pragma once

#include <stdint.h>

#include "lib/base/loop.h"
#include "netd/node_stream.h"

/* Serves the listening descriptor of CNI's socket. */
void relay_serve(struct loop *l, int listener);
/* Control is reached by that connection, or (NULL) is away: runtimes are told to try again, calls under way too. */
void relay_connected(struct stream *s);
/* A FRAME_CNI_ANSWER. */
void relay_answer(struct reader *r);
/* The namespace, by its cookie, of a call that is not answered yet; borrowed. -1: none. */
int relay_namespace(uint64_t cookie);
