/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A strict HTTP/1.1 server on libevent's bufferevents (plain or OpenSSL). evhttp and
 * libmicrohttpd let through what smuggles requests (docs/architecture.md has the table); since
 * the head must be parsed strictly anyway, only framing and answers are left to do here. One
 * request at a time a connection; heads at most 16 KiB, bodies 4 MiB, both with a deadline.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

struct loop;
struct ssl_ctx_st;

struct http_request {
	char method[12];
	char path[1536];  /* percent-decoded, leading slashes one */
	char query[1024]; /* as sent, without '?' */
	char host[256], authorization[512], if_match[128], if_none_match[128];
	char upgrade[32], ws_key[64], ws_version[8], ws_protocol[128]; /* RFC 6455, section 4.1 */
	bool upgrades;                                                 /* Connection: Upgrade */
	char peer[64]; /* who calls: an address, or "uid N" */
	struct buf body;
	bool unix_socket, tls;
	uid_t uid;   /* of the peer, Unix socket only */
	char id[37]; /* x-ms-request-id of the answer, and of the audit line */
	/* Sees the answer before it is sent; true: it is kept there, and sent later by http_reply() once more, after `hold` was
	 * cleared. NULL: nobody. */
	bool (*hold)(struct http_request *r, int status, const char *headers, const char *body,
	             size_t len);
	bool stored; /* for `hold`: the answer tells of nothing that could still be undone */
	void *conn;
};

/* The handler answers now or later by http_reply(), exactly once; the request lives until then. */
typedef void (*http_fn)(void *arg, struct http_request *r);

/* Serves a listening descriptor. `tls` NULL: plain. Never freed: servers live as long as the
 * process. */
void http_serve(struct loop *l, int fd, struct ssl_ctx_st *tls, http_fn fn, void *arg);
/* TLS 1.2 and up, from PEM files. NULL on error. */
struct ssl_ctx_st *http_tls(const char *cert, const char *key, struct err *e);

/* Who is at the other end of a connected socket: its address, or "uid N". Never blocks. */
void http_peer(int fd, char to[64]);

/* `headers` are whole lines ending in CRLF, or ""; `body` may be NULL. Frees the request. */
void http_reply(struct http_request *r, int status, const char *headers, const char *body,
                size_t len);
/* Decodes %XX; false for bad or control characters, or no room. */
bool http_decode(const char *from, size_t len, char *to, size_t size);
/* Is the word one of a list's, between commas, in whatever case (RFC 9110, section 5.6.1)? `n` bytes of text. */
bool http_has_token(const char *list, size_t n, const char *word);
/* Value of a query parameter, decoded, into `to`; false when absent. */
bool http_query(const struct http_request *r, const char *name, char *to, size_t size);

/* Head parsing alone, for tests and fuzzing: text of `len` bytes that ends in CRLF CRLF. Fills *r,
 * *length (-1: chunked) and *close; 0 or the HTTP status that refuses it. Pure. */
int http_parse_head(const char *text, size_t len, struct http_request *r, int64_t *length,
                    bool *close);
