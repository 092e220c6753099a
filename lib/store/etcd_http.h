/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Calls of etcd's JSON gateway by libcurl: several endpoints, TLS, password tokens, deadlines; answers in parts (watches).
 * Internal to lib/store.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct loop;
struct store_etcd;
struct etcd_http;

enum etcd_outcome {
	ETCD_OK,
	ETCD_REFUSED, /* nothing was done, and nothing will be if it is sent again */
	ETCD_UNKNOWN  /* it may have been done, or may still be */
};

/* The document is NULL but for ETCD_OK, the error but for the others; both are the caller's no longer than the call. */
typedef void (*etcd_done_fn)(void *arg, enum etcd_outcome outcome, json_t *doc,
                             const struct err *e);

/* Strings are copied. ERR_INVALID: no endpoint, or one that is no URL. */
struct etcd_http *etcd_http_new(const struct store_etcd *c, struct loop *l, struct err *e);
/* Ends calls that are under way: their callbacks get ETCD_UNKNOWN. NULL is allowed. */
void etcd_http_free(struct etcd_http *h);

/* Posts the document (its buffer is taken) to a path like "/v3/kv/txn"; ends within ETCD_CALL_MS. `done` is called from the loop. */
void etcd_call(struct etcd_http *h, const char *path, struct buf *body, etcd_done_fn done,
               void *arg);
/* The same, waiting; tries each endpoint once. *doc is the caller's, NULL but for ETCD_OK. */
enum etcd_outcome etcd_call_wait(struct etcd_http *h, const char *path, struct buf *body,
                                 json_t **doc, struct err *e);
#define ETCD_CALL_MS    2000
#define ETCD_CONNECT_MS 1000

/* A call whose answer does not end: each document of it goes to `part`, which returns -1 when it wants no more. `end` is called
 * once, from the loop, unless etcd_stream_free() comes first. */
struct etcd_stream;
struct etcd_stream *etcd_stream(struct etcd_http *h, const char *path, struct buf *body,
                                int (*part)(void *arg, json_t *doc),
                                void (*end)(void *arg, const struct err *e), void *arg);
void etcd_stream_free(struct etcd_stream *s); /* NULL is allowed; not inside `part` */

/* The member that is asked now gave no useful answer: the next one from now on. */
void etcd_next(struct etcd_http *h);

/* ---- what documents are made of ---- */

/* "base64" of the prefix and the text, with the quotes. */
void etcd_put(struct buf *to, const char *prefix, const char *text);
/* A member's bytes as text, decoded; NULL: there is none, or it is no text. malloc'ed. */
char *etcd_text(const json_t *o, const char *member);
/* A 64-bit number, which JSON has as a string; 0 when absent. */
uint64_t etcd_number(const json_t *o, const char *member);
