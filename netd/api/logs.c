/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See logs.h.
 */
#include "netd/api/logs.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "lib/model/model.h"
#include "netd/api/api.h"
#include "netd/group_parts.h"
#include "netd/node.h"

#define WAIT_MS  5000
#define TAIL_MAX 100000

struct waiting {
	TAILQ_ENTRY(waiting) link;
	struct http_request *r;
	const struct node *node; /* that was asked */
	json_int_t number;
	int64_t until_ms;
};
static TAILQ_HEAD(waitings, waiting) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static json_int_t next_number;

static void answer_unavailable(struct http_request *r)
{
	struct err e = ERR_INIT;

	err_set_at(&e, ERR_UNAVAILABLE, "ContainerLogsUnavailable", NULL,
	           "The container runtime does not answer now.");
	api_error(r, &e);
}

void logs_request(struct http_request *r, const char *group, const char *container)
{
	char text[32] = "", stamps[8] = "";
	struct err e = ERR_INIT;
	long tail = 0;

	if (http_query(r, "tail", text, sizeof(text))) {
		char *end;

		tail = strtol(text, &end, 10);
		if (*end || tail < 1 || tail > TAIL_MAX) {
			err_set_at(&e, ERR_INVALID, "InvalidQueryParameter", "tail",
			           "'tail' must be a number from 1 to %d.", TAIL_MAX);
			api_error(r, &e);
			return;
		}
	}
	(void)http_query(r, "timestamps", stamps, sizeof(stamps));
	const struct resource *x = table_get(group);
	struct node *n = x && x->group ? group_node(x->group) : NULL;
	if (!node_runtime(n)) {
		answer_unavailable(r);
		return;
	}
	struct waiting *w = malloc(sizeof(*w));
	if (!w) {
		abort();
	}
	*w = (struct waiting){ .r = r,
		               .node = n,
		               .number = ++next_number,
		               .until_ms = clock_system.now_ms(&clock_system) + WAIT_MS };
	TAILQ_INSERT_TAIL(&waiting, w, link);
	group_tell(x->group,
	           json_pack("{s:s, s:s, s:s, s:I, s:b, s:I}", "type", "logs", "id", group,
	                     "container", container, "tail", (json_int_t)tail, "timestamps",
	                     strcasecmp(stamps, "true") == 0, "request", w->number));
}

void logs_answer(const struct node *n, const json_t *m)
{
	json_int_t number = json_integer_value(json_object_get(m, "request"));
	const json_t *content = json_object_get(m, "content");
	struct waiting *w;

	TAILQ_FOREACH(w, &waiting, link)
	{
		if (w->number != number || w->node != n) {
			continue;
		}
		TAILQ_REMOVE(&waiting, w, link);
		if (json_is_string(content)) {
			api_json(w->r, 200, "", json_pack("{s:O}", "content", content));
		} else {
			answer_unavailable(w->r);
		}
		free(w);
		return;
	}
}

static void give_up(struct waiting *w)
{
	TAILQ_REMOVE(&waiting, w, link);
	answer_unavailable(w->r);
	free(w);
}

void logs_sweep(int64_t now_ms)
{
	struct waiting *w;

	while ((w = TAILQ_FIRST(&waiting)) && w->until_ms <= now_ms) {
		give_up(w);
	}
}

void logs_gone(const struct node *n)
{
	struct waiting *w, *next;

	for (w = TAILQ_FIRST(&waiting); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->node == n) {
			give_up(w);
		}
	}
}
