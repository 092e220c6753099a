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

/* ---- changes under way ---- */

/* A request that waits until what control knows is stored. */
struct settling {
	struct caller_waits waits;
	struct http_request *r;
};

static void on_settled(void *arg, const struct err *e)
{
	struct settling *s = arg;

	if (e) {
		api_error(s->r, e);
	} else {
		api_serve(s->r);
	}
}

static void on_stored(void *arg, const struct err *e, uint64_t rev)
{
	struct settling *s = arg;

	(void)rev;
	control_stored(e);
	caller_waits_end(&s->waits, e);
	free(s);
}

/* What control knows is ahead of the store while a change is under way, which may never be made: it is not told before. */
static void settle(struct http_request *r)
{
	struct settling *s;
	struct err e = ERR_INIT;

	if (plane.stopped) { /* nobody knows when they end */
		err_set(&e, plane.stopped_kind, 0, "%s", plane.stopped);
		caller_unknown(&e);
		api_error(r, &e);
		return;
	}
	s = malloc(sizeof(*s));
	if (!s) {
		abort();
	}
	s->r = r;
	caller_waits_add(&s->waits, on_settled, s);
	store_submit(plane.store, NULL, 0, on_stored, s);
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
	} else if (who && !store_settled(plane.store) && !puts) { /* of what may not be there */
		settle(r);
	} else {
		api_serve(r);
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
