/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CNI in control: runtimes' calls come by RUN-DIR/cni.sock, which root alone may open, from the plugin (clients/cni). An
 * attachment is a container group whose namespace the runtime made (guest.h); everything else about it is as with any group.
 * Source: CNI specification 1.1.0 (github.com/containernetworking/cni, SPEC.md) and CONVENTIONS.md.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "netd/plane.h"

/* Serves the listening descriptor. A call is a frame: a 32-bit big-endian length, the environment as NAME=VALUE, each with a zero
 * byte behind, one more zero byte, and what came by standard input; the namespace's descriptor comes with its first byte. The answer
 * has a length, the exit status as a byte, and what goes to standard output. */
void cni_serve(struct loop *l, int fd);
/* A call of another node's runtime (relay.c): its number there, whether it has a namespace, its frame behind the length. Always answered,
 * by FRAME_CNI_ANSWER, unless the node is gone by then. */
void cni_relayed(struct node *n, uint64_t id, bool has_ns, const uint8_t *frame, size_t len);
/* Nobody waits for its calls' answers any more; what they began is finished. */
void cni_node_gone(const struct node *n);
/* Reads from a plugin's connection: bytes are appended, a descriptor goes to *ns if that is -1. As recv(2). */
ssize_t cni_receive(int fd, struct buf *got, int *ns);
/* What a frame says of its namespace; 0: nothing. */
uint64_t cni_cookie(const uint8_t *frame, size_t len);
/* A group is there, or not any more; one that is no attachment is passed over. */
void cni_place(struct resource *r, bool there);
/* The namespace of the group of that number, on that node, is gone, and its network with it: no DEL may ever come. */
void cni_gone(const struct node *n, uint32_t number);
/* The node's engine is away: what was asked of it is not answered. */
void cni_engine_gone(const struct node *n);
/* The engine's answer to group_check_network(). */
void cni_checked(const struct resource *r, bool ok, const char *text);
