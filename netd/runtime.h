/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The push socket, control's side: one runtime at a time, frames of a 32-bit big-endian length
 * and a JSON object (docs/runtime.md). A namespace's descriptor comes with the first byte of the
 * frame that names it.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct loop;

/* Serves the listening descriptor. on_hello: a runtime is there, the full list is due;
 * on_message: one of its frames (borrowed); on_gone: it left. */
void runtime_serve(struct loop *l, int fd, void (*on_hello)(void),
                   void (*on_message)(const json_t *m), void (*on_gone)(void));
bool runtime_connected(void);
/* Queues a frame (takes the reference); fd -1: none, else duplicated. */
void runtime_send(json_t *m, int fd);
