/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See exec.h.
 */
#include "netd/api/exec.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/hex.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "lib/base/session.h"
#include "lib/base/words.h"
#include "netd/api/api.h"
#include "netd/group_parts.h"
#include "netd/guest.h"
#include "netd/node.h"
#include "netd/runtime.h"

#define TICKETS_MAX  4096
#define COMMAND_MAX  32768
#define TERMINAL_MAX 10000 /* rows and columns */
#define PASSWORD     24    /* bytes */

struct ticket {
	TAILQ_ENTRY(ticket) link;
	uint64_t number;
	json_t *frame;           /* for the runtime; NULL: it was sent */
	const struct node *node; /* to which one's */
	int64_t until_ms;
};
static TAILQ_HEAD(tickets, ticket) tickets = TAILQ_HEAD_INITIALIZER(tickets);
static size_t n_tickets;

static void drop(struct ticket *t)
{
	TAILQ_REMOVE(&tickets, t, link);
	n_tickets--;
	json_decref(t->frame);
	free(t);
}

static struct ticket *find(uint64_t number)
{
	struct ticket *t;

	TAILQ_FOREACH(t, &tickets, link)
	{
		if (t->number == number) {
			break;
		}
	}
	return t;
}

/* ---- the call ---- */

static int wrong(struct err *e, const char *target, const char *text)
{
	return err_set_at(e, ERR_INVALID, "InvalidRequestContent", target, "'%s' %s.", target,
	                  text);
}

static int size_of(const json_t *doc, const char *key, int preset, struct err *e)
{
	const json_t *x = json_object_get(json_object_get(doc, "terminalSize"), key);
	char at[40];

	if (!x || json_is_null(x)) {
		return preset;
	}
	snprintf(at, sizeof(at), "terminalSize.%s", key);
	if (!json_is_integer(x) || json_integer_value(x) < 0 ||
	    json_integer_value(x) > TERMINAL_MAX) {
		return wrong(e, at, "must be a number from 0 to 10000");
	}
	/* A terminal that knows no size of its own says 0. */
	return json_integer_value(x) ? (int)json_integer_value(x) : preset;
}

/* What the runtime is asked; NULL: *e says what is wrong with the document. */
static json_t *exec_frame(const json_t *doc, struct err *e)
{
	const json_t *command = json_object_get(doc, "command"),
		     *terminal = json_object_get(doc, "terminal"),
		     *size = json_object_get(doc, "terminalSize");
	AUTO_FREE char **v = NULL;
	struct err why = ERR_INIT;
	char text[200];
	size_t n;

	if (!json_is_string(command) || json_string_length(command) > COMMAND_MAX) {
		wrong(e, "command", "must be a command line of at most 32768 bytes");
		return NULL;
	}
	if (words_split(json_string_value(command), &v, &n, &why) < 0) {
		snprintf(text, sizeof(text), "must be a command line: %.100s", why.msg);
		wrong(e, "command", text);
		return NULL;
	}
	if ((terminal && !json_is_boolean(terminal)) ||
	    (size && !json_is_object(size) && !json_is_null(size))) {
		wrong(e, terminal && !json_is_boolean(terminal) ? "terminal" : "terminalSize",
		      "must be an object {\"rows\", \"cols\"}, and 'terminal' true or false");
		return NULL;
	}
	int rows = size_of(doc, "rows", 24, e);
	int cols = rows < 0 ? -1 : size_of(doc, "cols", 80, e);
	if (cols < 0) {
		return NULL;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(list, json_string(v[i]));
	}
	return json_pack("{s:s, s:o, s:b, s:i, s:i}", "verb", "exec", "command", list, "terminal",
	                 !json_is_false(terminal), "rows", rows, "cols", cols);
}

/* Can something be run in it now? */
static int check(const struct resource *x, struct err *e)
{
	if (guest_of(x)) {
		return err_set_at(e, ERR_CONFLICT, "ContainerGroupOfRuntime", "",
		                  "'%s' was made by a runtime through CNI, which alone reaches its "
		                  "containers.",
		                  x->name);
	}
	if (x->deleting || !x->group->started || x->group->down) {
		return err_set_at(e, ERR_CONFLICT, "ContainerNotRunning", "",
		                  "The containers of '%s' do not run now.", x->name);
	}
	if (!node_runtime(group_node(x->group)) || !plane.session) {
		return err_set_at(e, ERR_UNAVAILABLE, "ContainerExecUnavailable", "",
		                  "The container runtime does not answer now.");
	}
	return n_tickets < TICKETS_MAX
	               ? 0
	               : err_set(e, ERR_LIMIT, 0, "%d calls of exec and attach wait already.",
	                         TICKETS_MAX);
}

/* Where the session role listens, as the caller reaches it. */
static int uri(const struct http_request *r, const char *path, char *to, size_t size, struct err *e)
{
	const char *port = strrchr(plane.config->listen_session, ':');
	size_t host = r->host[0] == '[' ? strcspn(r->host, "]") + 1 : strcspn(r->host, ":");

	if (r->unix_socket) {
		snprintf(to, size, "ws+unix://%s/session.sock:/exec/%s", plane.config->run_dir,
		         path);
		return 0;
	}
	if (!port) {
		return err_set_at(e, ERR_UNAVAILABLE, "ContainerExecUnavailable", "",
		                  "The administrator has not set 'listen-session': exec and attach "
		                  "are to be had on the node's Unix socket only.");
	}
	snprintf(to, size, "wss://%.*s%s/exec/%s", (int)host, r->host, port, path);
	return 0;
}

/* Tells the session role who may come, and answers the caller. */
static void issue(struct http_request *r, const struct caller *who, const struct resource *x,
                  const char *container, struct ticket *t, const char *uri_text, const char *path)
{
	uint8_t raw[PASSWORD], hash[SHA256_DIGEST_LENGTH];
	char password[2 * PASSWORD + 1], what[1400];
	struct buf b = { 0 };

	random_system.fill(&random_system, raw, sizeof(raw));
	hex_print(raw, sizeof(raw), password);
	SHA256((const uint8_t *)password, strlen(password), hash);
	snprintf(what, sizeof(what), "%s/containers/%s/%s", x->key, container,
	         model_str(t->frame, "verb"));
	put_u64(&b, t->number);
	buf_add(&b, path, 32);
	buf_add(&b, hash, sizeof(hash));
	put_str(&b, r->peer);
	put_str(&b, who->name);
	put_str(&b, what);
	channel_send(plane.session, MSG_SESSION_TICKET, &b, -1);
	buf_fini(&b);
	log_info("audit", LOG_STR("id", x->key), LOG_STR("verb", model_str(t->frame, "verb")),
	         LOG_STR("container", container), LOG_STR("caller", who->name),
	         LOG_STR("request", r->id), LOG_STR("result", "ok"));
	api_json(r, 200, "Cache-Control: no-store\r\n",
	         json_pack("{s:s, s:s}", "webSocketUri", uri_text, "password", password));
	explicit_bzero(password, sizeof(password));
	explicit_bzero(raw, sizeof(raw));
}

void exec_request(struct http_request *r, const struct caller *who, struct resource *group,
                  const char *container, bool exec)
{
	struct err e = ERR_INIT;
	char path[33], text[512];
	uint8_t raw[16];
	uint64_t number;
	json_t *doc = NULL, *frame = NULL;

	random_system.fill(&random_system, raw, sizeof(raw));
	hex_print(raw, sizeof(raw), path);
	random_system.fill(&random_system, &number, sizeof(number));
	int rc = exec ? model_parse((const char *)r->body.data, r->body.len, &doc, &e) : 0;
	if (rc == 0) {
		frame = exec ? exec_frame(doc, &e) : json_pack("{s:s}", "verb", "attach");
	}
	json_decref(doc);
	if (!frame || check(group, &e) < 0 || uri(r, path, text, sizeof(text), &e) < 0) {
		json_decref(frame);
		api_error(r, &e);
		return;
	}
	struct ticket *t = malloc(sizeof(*t));
	if (!t) {
		abort();
	}
	*t = (struct ticket){ .number = number,
		              .frame = frame,
		              .until_ms = clock_system.now_ms(&clock_system) + SESSION_TICKET_MS };
	json_object_set_new(frame, "type", json_string("exec"));
	json_object_set_new(frame, "id", json_string(group->key));
	json_object_set_new(frame, "container", json_string(container));
	json_object_set_new(frame, "request", json_integer((json_int_t)(number >> 11)));
	TAILQ_INSERT_TAIL(&tickets, t, link);
	n_tickets++;
	issue(r, who, group, container, t, text, path);
}

/* ---- the session ---- */

static void end(uint64_t ticket, const char *caller, const char *why)
{
	struct buf b = { 0 };

	put_u64(&b, ticket);
	put_str(&b, caller);
	put_str(&b, why);
	channel_send(plane.session, MSG_SESSION_END, &b, -1);
	buf_fini(&b);
}

static void answer(uint64_t ticket, const char *why, int fd)
{
	struct buf b = { 0 };

	put_u64(&b, ticket);
	put_u8(&b, why == NULL);
	put_str(&b, why ? why : "");
	channel_send(plane.session, MSG_SESSION_STREAM, &b, fd);
	buf_fini(&b);
}

void exec_begin(uint64_t ticket)
{
	struct ticket *t = find(ticket);
	const struct resource *x = t && t->frame ? table_get(model_str(t->frame, "id")) : NULL;
	struct node *n = x && x->group ? group_node(x->group) : NULL;
	int pair[2];

	if (!node_runtime(n)) {
		answer(ticket, "the container runtime does not answer now", -1);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		answer(ticket, "no descriptor is left", -1);
		return;
	}
	t->node = n;
	if (n == node_own()) {
		runtime_send(TAKE_PTR(t->frame), pair[0]);
		close(pair[0]);
	} else {
		node_session(n, TAKE_PTR(t->frame), ticket, pair[0]);
	}
	answer(ticket, NULL, pair[1]);
	close(pair[1]);
}

void exec_answer(const struct node *n, const json_t *m)
{
	json_int_t request = json_integer_value(json_object_get(m, "request"));
	struct ticket *t;

	TAILQ_FOREACH(t, &tickets, link)
	{
		if (t->node == n && (json_int_t)(t->number >> 11) == request) {
			end(t->number, "", model_str(m, "error"));
			drop(t);
			return;
		}
	}
}

void exec_end(const char *caller)
{
	end(0, caller, "its caller may not call any more");
}

void exec_sweep(int64_t now_ms)
{
	struct ticket *t;

	while ((t = TAILQ_FIRST(&tickets)) && t->until_ms <= now_ms) {
		drop(t);
	}
}
