/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See settle.h.
 */
#include "netd/api/settle.h"

#include <stdlib.h>

#include "netd/api/api.h"
#include "netd/plane.h"

struct settling {
	struct caller_waits waits;
	struct http_request *r;
	void (*fn)(struct http_request *r);
};

static void on_settled(void *arg, const struct err *e)
{
	struct settling *s = arg;

	if (e) {
		api_error(s->r, e);
	} else {
		s->fn(s->r);
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

void settle(struct http_request *r, void (*fn)(struct http_request *r))
{
	struct settling *s;
	struct err e = ERR_INIT;

	if (plane.stopped) { /* nobody knows when they end */
		err_set(&e, plane.stopped_kind, 0,
		        "It is not known yet whether changes under way are made: %s",
		        plane.stopped);
		api_error(r, &e);
		return;
	}
	s = malloc(sizeof(*s));
	if (!s) {
		abort();
	}
	*s = (struct settling){ .r = r, .fn = fn };
	caller_waits_add(&s->waits, on_settled, s);
	store_submit(plane.store, NULL, 0, on_stored, s);
}
