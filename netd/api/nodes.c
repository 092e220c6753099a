/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See nodes.h.
 */
#include "netd/api/nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "lib/model/model.h"
#include "netd/api/api.h"
#include "netd/home.h"
#include "netd/plane.h"

#define TOKEN_S     3600
#define TOKEN_MAX_S (7 * 86400)

static void answered(void *arg, const struct err *e)
{
	struct http_request *r = arg;

	if (e) {
		api_error(r, e);
	} else {
		http_reply(r, 204, "", NULL, 0);
	}
}

/* ---- tokens ---- */

struct drawn {
	struct http_request *r;
	char text[NODE_TOKEN_TEXT];
	int64_t until_ms;
};

static void token_stored(void *arg, const struct err *e)
{
	struct drawn *d = arg;
	char until[40];

	if (e) {
		api_error(d->r, e);
	} else {
		clock_format(d->until_ms, until, sizeof(until));
		api_json(d->r, 201, "",
		         json_pack("{s:s, s:s}", "token", d->text, "expires", until));
	}
	explicit_bzero(d->text, sizeof(d->text));
	free(d);
}

/* A word of a token's, "" where it is absent. */
static int word(const json_t *doc, const char *key, char to[static CERT_NAME], struct err *e)
{
	const json_t *v = json_object_get(doc, key);
	const char *text = v ? json_string_value(v) : "";

	if (!text || strlen(text) >= CERT_NAME || (*text && !model_name_ok(text))) {
		return err_set_at(e, ERR_INVALID, NULL, key,
		                  "'%s': accepted are 1 to 63 letters, digits and -_.()", key);
	}
	snprintf(to, CERT_NAME, "%s", text);
	return 0;
}

static int read_token(const json_t *doc, struct node_token *t, struct err *e)
{
	static const char *const known[] = { "name", "zone", "faultDomain", "seconds" };
	const json_t *seconds = json_object_get(doc, "seconds");
	int64_t s = seconds ? json_integer_value(seconds) : TOKEN_S;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)doc, key, v)
	{
		bool found = false;

		for (size_t i = 0; i < 4; i++) {
			found = found || strcmp(key, known[i]) == 0;
		}
		if (!found) {
			return err_set_at(
				e, ERR_INVALID, NULL, key,
				"'%.60s' is unknown: accepted are name, zone, faultDomain "
				"and seconds",
				key);
		}
	}
	if (s < 1 || s > TOKEN_MAX_S) {
		return err_set_at(e, ERR_INVALID, NULL, "seconds",
		                  "'seconds': accepted is a number from 1 to %d", TOKEN_MAX_S);
	}
	t->until_ms = clock_system.wall_ms(&clock_system) + s * 1000;
	return word(doc, "name", t->name, e) < 0 || word(doc, "zone", t->zone, e) < 0
	               ? -1
	               : word(doc, "faultDomain", t->domain, e);
}

static void draw(struct http_request *r)
{
	struct err e = ERR_INIT;
	struct node_token t = { 0 };
	json_t *doc = r->body.len ? api_body(r) : json_object();

	if (!doc) {
		return;
	}
	struct drawn *d = calloc(1, sizeof(*d));
	if (!d) {
		abort();
	}
	d->r = r;
	if (read_token(doc, &t, &e) < 0 || node_token(&t, d->text, token_stored, d, &e) < 0) {
		api_error(r, &e);
		free(d);
	} else {
		d->until_ms = t.until_ms;
	}
	json_decref(doc);
}

/* ---- nodes ---- */

static void list(struct http_request *r)
{
	json_t *value = json_array();

	for (size_t i = 0; node_at(i); i++) {
		json_array_append_new(value, node_view(node_at(i)));
	}
	api_json(r, 200, "", json_pack("{s:o}", "value", value));
}

struct drain_wish {
	struct http_request *r;
	char node[CERT_NAME];
};

static struct drain_wish *drain_new(struct http_request *r, const struct node *n)
{
	struct drain_wish *d = calloc(1, sizeof(*d));

	if (!d) {
		abort();
	}
	d->r = r;
	snprintf(d->node, sizeof(d->node), "%s", n->name);
	return d;
}

/* It takes no new groups from now on: those that it has go elsewhere. */
static void cordoned(void *arg, const struct err *e)
{
	struct drain_wish *d = arg;
	const struct node *n = node_find(d->node);
	struct err why = ERR_INIT;

	if (e) {
		api_error(d->r, e);
	} else if (n && home_drain(n, &why) > 0) {
		api_error(d->r, &why);
	} else {
		http_reply(d->r, 204, "", NULL, 0);
	}
	free(d);
}

/* The node gets a VNet: {"virtualNetwork": its id}. */
static void take(struct http_request *r, struct node *n)
{
	struct err e = ERR_INIT;
	json_t *doc = api_body(r);

	if (!doc) {
		return;
	}
	AUTO_FREE char *key = table_key(model_str(doc, "virtualNetwork"));
	struct resource *v = table_get(key);
	json_decref(doc);
	if (!v || strcmp(v->type->name, "Microsoft.Network/virtualNetworks") != 0) {
		err_set_at(&e, ERR_INVALID, NULL, "virtualNetwork",
		           "'virtualNetwork': accepted is the id of one that is there.");
	} else if (!node_ready(n) || !node_synced(n)) {
		err_set(&e, ERR_CONFLICT, 0, "Node '%s' is not ready.", n->name);
	} else if (home_move(table_number(v), n, &e) == 0) {
		http_reply(r, 204, "", NULL, 0);
		return;
	}
	api_error(r, &e);
}

static void of_node(struct http_request *r, const char *rest)
{
	char name[CERT_NAME] = "";
	struct err e = ERR_INIT;
	size_t len = strcspn(rest, "/");
	const char *action = rest[len] ? rest + len + 1 : "";
	bool posts = strcmp(r->method, "POST") == 0;

	if (len < sizeof(name)) {
		memcpy(name, rest, len);
	}
	struct node *n = node_find(name);
	if (!n) {
		err_set(&e, ERR_NOT_FOUND, 0, "Node '%.80s' was not found.", name);
		api_error(r, &e);
	} else if (!*action && strcmp(r->method, "GET") == 0) {
		api_json(r, 200, "", node_view(n));
	} else if (!*action && strcmp(r->method, "DELETE") == 0) {
		if (node_remove(n, answered, r, &e) < 0) {
			api_error(r, &e);
		}
	} else if (posts && (strcmp(action, "cordon") == 0 || strcmp(action, "uncordon") == 0)) {
		node_cordon(n, action[0] == 'c', false, answered, r);
	} else if (posts && strcmp(action, "drain") == 0) {
		node_cordon(n, true, true, cordoned, drain_new(r, n));
	} else if (posts && strcmp(action, "take") == 0) {
		take(r, n);
	} else {
		err_set(&e, ERR_METHOD, 0,
		        "Accepted are GET and DELETE of a node, and POST of its 'cordon', "
		        "'uncordon', 'drain' and 'take'.");
		api_error(r, &e);
	}
}

void nodes_request(struct http_request *r, const struct caller *c)
{
	struct err e = ERR_INIT;
	bool tokens = strcmp(r->path, "/netd/join-tokens") == 0;

	if (!caller_admin(c)) {
		err_set(&e, ERR_FORBIDDEN, 0,
		        "Nodes are managed by an owner of all subscriptions; '%s' is not one.",
		        c->name);
		api_error(r, &e);
	} else if (tokens && strcmp(r->method, "POST") == 0) {
		draw(r);
	} else if (!tokens && r->path[11] == '/') {
		of_node(r, r->path + 12);
	} else if (!tokens && strcmp(r->method, "GET") == 0) {
		list(r);
	} else {
		err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
		api_error(r, &e);
	}
}
