/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What every request passes before its route (api.c): health, a store that cannot take changes, who asks, and changes under way.
 */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "netd/api/api.h"
#include "netd/api/caller.h"
#include "netd/api/health.h"
#include "netd/plane.h"

/* ---- changes under way ----
 *
 * What control knows is ahead of the store while changes are under way, which may never be made: an answer waits for those that
 * it could tell of, all that were submitted before it was given. */

/* A request with its answer (hold()), or one whose turn has not come (queue()). */
struct held {
	struct caller_waits waits;
	struct http_request *r;
	int status;
	char *headers;
	struct buf body;
};

static void on_told(void *arg, const struct err *e)
{
	struct held *h = arg;

	if (e) {
		api_error(h->r, e);
	} else {
		http_reply(h->r, h->status, h->headers, (const char *)h->body.data, h->body.len);
	}
}

static void on_settled(void *arg, const struct err *e, uint64_t rev)
{
	struct held *h = arg;

	(void)rev;
	control_stored(e);
	caller_waits_end(&h->waits, e);
	buf_fini(&h->body);
	free(h->headers);
	free(h);
}

static struct held *held_new(struct http_request *r, void (*reply)(void *arg, const struct err *e))
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h) {
		abort();
	}
	h->r = r;
	caller_waits_add(&h->waits, reply, h);
	return h;
}

/* Nobody knows when they end. */
static void unknown(struct http_request *r)
{
	struct err e = ERR_INIT;

	err_set(&e, plane.stopped_kind, 0, "%s", plane.stopped);
	caller_unknown(&e);
	api_error(r, &e);
}

/* See http.h. From 500 on it is the store that refused, or a failure: that tells of no change, and must not wait for one. */
static bool hold(struct http_request *r, int status, const char *headers, const char *body,
                 size_t len)
{
	if (r->stored || status >= 500 || store_settled(plane.store)) {
		return false;
	}
	r->hold = NULL;
	if (plane.stopped) {
		unknown(r);
		return true;
	}
	struct held *h = held_new(r, on_told);
	h->status = status;
	h->headers = strdup(headers);
	buf_add(&h->body, body, len);
	if (!h->headers || h->body.failed) {
		abort();
	}
	store_submit(plane.store, NULL, 0, on_settled, h);
	return true;
}

static void serve(struct http_request *r)
{
	r->hold = hold;
	api_serve(r);
}

static void on_turn(void *arg, const struct err *e)
{
	struct held *h = arg;

	if (e) {
		api_error(h->r, e);
	} else {
		serve(h->r);
	}
}

/* Begins once the changes under way are made: deletions and actions find what was asked for before them. */
static void queue(struct http_request *r)
{
	store_submit(plane.store, NULL, 0, on_settled, held_new(r, on_turn));
}

/* ---- requests ---- */

static void on_request(void *arg, struct http_request *r)
{
	const struct caller *who = caller_of(r);
	struct err e = ERR_INIT;

	(void)arg;
	plane.requests++;
	if (strcmp(r->path, "/healthz") == 0 || strcmp(r->path, "/readyz") == 0 ||
	    strcmp(r->path, "/metrics") == 0) {
		health_request(r, who);
		return;
	}
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	bool puts = strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0;
	if (plane.blind || (plane.stopped && !reads) || !store_current(plane.store)) {
		(void)control_refuse(&e);
		api_error(r, &e);
	} else if (!who) {
		api_serve(r);
	} else if (reads || puts || store_settled(plane.store)) {
		serve(r);
	} else {
		queue(r);
	}
}

void api_start(const int fds[FD_N])
{
	struct err e = ERR_INIT;

	if (!plane.blind && store_load(plane.store, caller_load, NULL, &e) < 0) {
		log_error("tokens.load", LOG_STR("error", e.msg));
	}
	http_serve(plane.loop, fds[FD_API_UNIX], NULL, on_request, NULL);
	if (fds[FD_API_TLS] >= 0) {
		SSL_CTX *tls = http_tls(plane.config->tls_cert, plane.config->tls_key, &e);

		if (!tls) {
			log_error("tls.refused", LOG_STR("error", e.msg));
			exit(78);
		}
		http_serve(plane.loop, fds[FD_API_TLS], tls, on_request, NULL);
	}
}
