/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A plugin's connection, with control's own node (cni.c) or another (relay.c): it sends one frame, and gets one answer. Internal to
 * these. Nothing blocks; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/loop.h"

struct cni_plugin {
	struct loop *loop;
	struct loop_watch *in, *out;
	int fd, ns; /* fd -1: it is gone; ns: the namespace's descriptor, -1: none, or handed on */
	bool answered; /* or is about to be */
	bool whole;    /* its frame is there: texts in it stay where they are */
	struct buf got, answer;
	size_t sent;
	void (*frame)(void *arg, const uint8_t *frame, size_t len);
	void (*ended)(void *arg); /* it has its answer, or is gone; may call cni_plugin_fini() */
	void *arg;
};

/* Nobody is connected: what another node relays. */
void cni_plugin_none(struct cni_plugin *p);
/* Takes the connection. frame() is called once, when it is whole; p->ns is its namespace then. */
void cni_plugin_init(struct cni_plugin *p, struct loop *l, int fd,
                     void (*frame)(void *arg, const uint8_t *frame, size_t len),
                     void (*ended)(void *arg), void *arg);
void cni_plugin_fini(struct cni_plugin *p);
/* The answer: exit status, and what goes to standard output (copied). Of one that is gone: nothing happens, and ended() is not called. */
void cni_plugin_answer(struct cni_plugin *p, uint8_t status, const void *text, size_t len);
