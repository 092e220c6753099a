/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ARM REST: who calls, which resource, which verb; answers as Azure's clients expect them (LRO by
 * Azure-AsyncOperation, ETags, lists, error bodies). Decisions are made in change.c.
 */
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/api/http.h"
#include "netd/plane.h"
#include "netd/runtime.h"

#define ANSWER_MS 5000 /* a role that has not answered this long is not ready */

/* A call whose answer waits for the store. */
struct call {
	struct http_request *r;
	char key[1200], location[100];
	bool created, deleted;
	char operation[37];
	char child[100]; /* name of the subnet, when one was put */
};

static void reply_json(struct http_request *r, int status, const char *headers, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	http_reply(r, status, headers, text, text ? strlen(text) : 0);
	free(text);
	json_decref(body);
}

static void reply_error(struct http_request *r, const struct err *e)
{
	json_t *x = json_pack("{s:s, s:s}", "code", e->code ? e->code : err_kind_code(e->kind),
	                      "message", e->msg);

	if (!x) { /* a message that is not UTF-8 */
		x = json_pack("{s:s, s:s}", "code", err_kind_code(e->kind), "message",
		              "Invalid request.");
	}
	if (e->target[0]) {
		json_object_set_new(x, "target", json_string(e->target));
	}
	reply_json(r, err_kind_http(e->kind),
	           err_kind_retryable(e->kind) ? "Retry-After: 1\r\n" : "",
	           json_pack("{s:o}", "error", x));
}

static void refuse(struct http_request *r, enum err_kind kind, const char *code, const char *text)
{
	struct err e = ERR_INIT;

	err_set_at(&e, kind, code, NULL, "%s", text);
	reply_error(r, &e);
}

/* ---- who calls ---- */

struct token {
	char hash[65], subscription[64];
	int64_t expires_ms;
};
static struct token tokens[256];
static size_t n_tokens;

static void token_hash(const char *token, char to[65])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)token, strlen(token), sum);
	for (int i = 0; i < 32; i++) {
		snprintf(to + 2 * i, 3, "%02x", sum[i]);
	}
}

static int load_token(void *arg, const char *key, uint64_t rev, const char *value)
{
	json_t *row = strncmp(key, "token/", 6) == 0 ? json_loads(value, 0, NULL) : NULL;

	(void)arg;
	(void)rev;
	if (row && n_tokens < ARRAY_N(tokens)) {
		struct token *t = &tokens[n_tokens++];

		snprintf(t->hash, sizeof(t->hash), "%s", key + 6);
		snprintf(t->subscription, sizeof(t->subscription), "%s",
		         model_str(row, "subscription"));
		t->expires_ms = json_integer_value(json_object_get(row, "expires"));
	}
	json_decref(row);
	return 0;
}

/* The subscription that the caller may touch, "*" for all, NULL for nobody. */
static const char *caller(const struct http_request *r)
{
	char hash[65];

	if (r->unix_socket && r->uid == 0) {
		return "*";
	}
	if (strncasecmp(r->authorization, "Bearer ", 7) != 0) {
		return NULL;
	}
	token_hash(r->authorization + 7, hash);
	for (size_t i = 0; i < n_tokens; i++) {
		if (CRYPTO_memcmp(tokens[i].hash, hash, 64) == 0 &&
		    tokens[i].expires_ms > clock_system.wall_ms(&clock_system)) {
			return tokens[i].subscription;
		}
	}
	return NULL;
}

static void token_stored(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	if (e) {
		reply_error(arg, e);
	} else {
		reply_json(arg, 201, "", json_pack("{s:s}", "status", "created"));
	}
}

/* POST /netd/tokens {"token","subscription","seconds"}: root on this host only. */
static void create_token(struct http_request *r)
{
	struct err e = ERR_INIT;
	json_t *doc = NULL;
	char key[80] = "token/", value[200];

	if (!r->unix_socket || r->uid != 0) {
		refuse(r, ERR_FORBIDDEN, NULL, "Tokens are made by root on the host.");
		return;
	}
	if (model_parse((const char *)r->body.data, r->body.len, &doc, &e) < 0) {
		reply_error(r, &e);
		return;
	}
	if (strlen(model_str(doc, "token")) < 16 || n_tokens == ARRAY_N(tokens)) {
		refuse(r, ERR_INVALID, NULL,
		       "A token has at least 16 characters; at most 256 exist.");
		json_decref(doc);
		return;
	}
	struct token *t = &tokens[n_tokens++];
	int64_t seconds = json_integer_value(json_object_get(doc, "seconds"));
	token_hash(model_str(doc, "token"), t->hash);
	snprintf(t->subscription, sizeof(t->subscription), "%.60s", model_str(doc, "subscription"));
	t->expires_ms =
		clock_system.wall_ms(&clock_system) + (seconds > 0 ? seconds : 86400) * 1000;
	snprintf(key + 6, sizeof(key) - 6, "%s", t->hash);
	json_t *row = json_pack("{s:s, s:I}", "subscription", t->subscription, "expires",
	                        (json_int_t)t->expires_ms);
	AUTO_FREE char *text = json_dumps(row, JSON_COMPACT);
	snprintf(value, sizeof(value), "%s", text);
	json_decref(row);
	json_decref(doc);
	store_submit(plane.store, &(struct store_op){ .key = key, .value = value }, 1, token_stored,
	             r);
}

/* ---- answers that waited ---- */

static json_t *child_view(const struct resource *r, const char *name)
{
	json_t *doc = change_view(r), *x, *found = NULL;
	size_t i;

	json_array_foreach(model_at(doc, "properties.subnets"), i, x)
	{
		if (strcasecmp(model_str(x, "name"), name) == 0) {
			found = json_incref(x);
		}
	}
	json_decref(doc);
	return found;
}

static void operation_headers(const struct call *c, char *to, size_t size)
{
	struct model_id id;

	if (model_id_parse(c->key, &id) < 0) {
		to[0] = '\0';
		return;
	}
	const char *provider = strstr(c->key, "microsoft.network") ? "Microsoft.Network"
	                                                           : "Microsoft.ContainerInstance";
	snprintf(
		to, size,
		"Azure-AsyncOperation: %s://%s/subscriptions/%s/providers/%s/locations/%s/operations/%s"
		"?api-version=2023-05-01\r\nRetry-After: 0\r\n",
		c->r->tls ? "https" : "http", c->r->host, id.subscription, provider,
		plane.config->region, c->operation);
}

static void on_stored(void *arg, const struct err *e)
{
	struct call *c = arg;
	char headers[1200] = "";
	struct resource *r = table_get(c->key);

	if (e) {
		operation_end(c->key, e);
		reply_error(c->r, e);
	} else if (c->deleted) {
		operation_headers(c, headers, sizeof(headers));
		if (!r) {
			operation_end(c->key, NULL);
		}
		reply_json(c->r, 202, headers, NULL);
	} else {
		operation_headers(c, headers, sizeof(headers));
		if (r && !r->group) {
			operation_end(c->key, NULL);
		}
		json_t *view = r ? (c->child[0] ? child_view(r, c->child) : change_view(r)) : NULL;
		reply_json(c->r, c->created ? 201 : 200, headers, view);
	}
	log_info("audit", LOG_STR("id", c->key), LOG_STR("verb", c->deleted ? "DELETE" : "PUT"),
	         LOG_STR("result", e ? err_kind_code(e->kind) : "ok"));
	free(c);
}

static void row_stored(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	on_stored(arg, e);
}

static struct call *call_new(struct http_request *r, const char *id)
{
	struct call *c = calloc(1, sizeof(*c));
	AUTO_FREE char *key = table_key(id);

	if (!c) {
		abort();
	}
	c->r = r;
	snprintf(c->key, sizeof(c->key), "%s", key);
	return c;
}

/* ---- verbs on one resource ---- */

/* If-Match and If-None-Match against the resource's etag; false: answered with 412. */
static bool conditions(struct http_request *r, const struct resource *x)
{
	char etag[64] = "";

	if (x) {
		snprintf(etag, sizeof(etag), "W/\"%llu\"", (unsigned long long)x->etag);
	}
	if ((r->if_match[0] &&
	     (!x || (strcmp(r->if_match, "*") != 0 && strcmp(r->if_match, etag) != 0))) ||
	    (strcmp(r->if_none_match, "*") == 0 && x)) {
		refuse(r, ERR_PRECONDITION, NULL,
		       "The condition in the request headers is not satisfied.");
		return false;
	}
	return true;
}

static void not_found(struct http_request *r, const char *id)
{
	struct err e = ERR_INIT;

	err_set_at(&e, ERR_NOT_FOUND, NULL, NULL, "The Resource '%.300s' was not found.", id);
	reply_error(r, &e);
}

static void put(struct http_request *r, const struct model_id *id, json_t *doc)
{
	struct change change = { 0 };
	struct err e = ERR_INIT;
	AUTO_FREE char *key = table_key(r->path);
	struct resource *was = table_get(key);
	char group[600];

	table_group_key(r->path, group, sizeof(group));
	if (id->type && !table_get(group)) {
		err_set_at(&e, ERR_NOT_FOUND, "ResourceGroupNotFound", NULL,
		           "Resource group '%.100s' could not be found.", id->group);
		reply_error(r, &e);
		json_decref(doc);
		return;
	}
	if (!conditions(r, was)) {
		json_decref(doc);
		return;
	}
	struct call *c = call_new(r, r->path);
	if (id->child) {
		snprintf(c->child, sizeof(c->child), "%s", id->child);
		*strstr(c->key, "/subnets/") = '\0';
	}
	operation_begin(c->key, c->operation);
	if (change_put(id, was ? was->id : r->path, doc, on_stored, c, &change, &e) < 0) {
		operation_end(c->key, &e);
		reply_error(r, &e);
		free(c);
	} else {
		c->created = change.created; /* the answer comes from the loop, later */
	}
	json_decref(doc);
}

static void patch(struct http_request *r, struct resource *x, const struct model_id *id,
                  json_t *doc)
{
	json_t *next = json_deep_copy(x->doc), *tags = json_object_get(doc, "tags");

	if (tags) {
		json_object_set(next, "tags", tags);
	}
	json_decref(doc);
	if (x->group) { /* tags alone: containers run on */
		json_decref(x->doc);
		x->doc = next;
		x->etag++;
		table_save(&x, 1, row_stored, call_new(r, r->path));
		return;
	}
	put(r, id, next);
}

static void delete (struct http_request *r, struct resource *x)
{
	struct err e = ERR_INIT;

	if (!conditions(r, x)) {
		return;
	}
	struct call *c = call_new(r, x->id);
	c->deleted = true;
	operation_begin(c->key, c->operation);
	if (x->deleting) { /* answered once what is stored says so */
		table_save(&x, 1, row_stored, c);
	} else if (change_delete(x, on_stored, c, &e) < 0) {
		operation_end(c->key, &e);
		reply_error(r, &e);
		free(c);
	}
}

static void get(struct http_request *r, const struct resource *x)
{
	char headers[128];

	snprintf(headers, sizeof(headers), "ETag: W/\"%llu\"\r\n", (unsigned long long)x->etag);
	json_t *view = change_view(x);
	if (x->group && r->unix_socket) { /* the node's own tools see where the namespace is */
		char path[200];

		snprintf(path, sizeof(path), "%s/ns/g%lld", plane.config->run_dir,
		         (long long)json_integer_value(json_object_get(x->status, "serial")));
		json_object_set_new(view, "netd",
		                    json_pack("{s:s, s:s}", "node", "local", "namespace", path));
	}
	reply_json(r, 200, headers, view);
}

static void list(struct http_request *r, const char *prefix, const char *type)
{
	json_t *value = json_array();
	size_t n = strlen(prefix);

	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, n) == 0; i++) {
		if (strcasecmp(table_at(i)->type->name, type) == 0) {
			json_array_append_new(value, change_view(table_at(i)));
		}
	}
	reply_json(r, 200, "", json_pack("{s:o}", "value", value));
}

static json_t *body_of(struct http_request *r)
{
	struct err e = ERR_INIT;
	json_t *doc = NULL;

	if (model_parse((const char *)r->body.data, r->body.len, &doc, &e) < 0) {
		reply_error(r, &e);
		return NULL;
	}
	return doc;
}

static void subnet(struct http_request *r, const struct model_id *id)
{
	AUTO_FREE char *key = table_key(r->path);
	char *cut = strstr(key, "/subnets");

	if (!cut || strcasecmp(id->child_type, "subnets") != 0) {
		not_found(r, r->path);
		return;
	}
	*cut = '\0';
	struct resource *v = table_get(key);
	json_t *view = v && id->child ? child_view(v, id->child) : NULL;
	if (!v || (id->child && !view && strcmp(r->method, "PUT") != 0)) {
		if (v && strcmp(r->method, "DELETE") == 0) {
			http_reply(r, 204, "", NULL, 0);
		} else {
			not_found(r, r->path);
		}
	} else if (!id->child) {
		json_decref(view);
		view = change_view(v);
		reply_json(r, 200, "",
		           json_pack("{s:O}", "value", model_at(view, "properties.subnets")));
	} else if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0) {
		reply_json(r, 200, "", json_incref(view));
	} else if (strcmp(r->method, "PUT") == 0) {
		json_t *doc = body_of(r);
		if (doc) {
			put(r, id, doc);
		}
	} else if (strcmp(r->method, "DELETE") == 0 && network_subnet_used(v, id->child)) {
		refuse(r, ERR_INVALID, "InUseSubnetCannotBeDeleted",
		       "The subnet is in use and cannot be deleted.");
	} else if (strcmp(r->method, "DELETE") == 0) {
		size_t i;
		json_t *x, *subnets = model_at(v->doc, "properties.subnets");

		json_array_foreach(subnets, i, x)
		{
			if (strcasecmp(model_str(x, "name"), id->child) == 0) {
				json_array_remove(subnets, i);
				break;
			}
		}
		struct call *c = call_new(r, v->id);
		c->deleted = true;
		operation_begin(c->key, c->operation);
		operation_end(c->key, NULL);
		v->etag++;
		table_save(&v, 1, row_stored, c);
	} else {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	}
	json_decref(view);
}

static void action(struct http_request *r, struct resource *x, const char *what)
{
	struct call *c;

	if (strcmp(r->method, "POST") != 0) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
		return;
	}
	if (strcasecmp(what, "stop") == 0) {
		group_action(x, "stop");
		http_reply(r, 204, "", NULL, 0);
	} else if (strcasecmp(what, "start") == 0 || strcasecmp(what, "restart") == 0) {
		c = call_new(r, x->id);
		c->deleted = true; /* 202 with an operation */
		operation_begin(c->key, c->operation);
		group_action(x, strcasecmp(what, "start") == 0 ? "start" : "restart");
		on_stored(c, NULL);
	} else {
		not_found(r, r->path);
	}
}

static void resource(struct http_request *r, const struct model_id *id)
{
	AUTO_FREE char *key = table_key(r->path);
	struct resource *x = table_get(key);

	if (strcmp(r->method, "PUT") == 0) {
		json_t *doc = body_of(r);

		if (doc) {
			put(r, id, doc);
		}
	} else if (!x && strcmp(r->method, "DELETE") == 0) {
		http_reply(r, 204, "", NULL, 0);
	} else if (!x) {
		not_found(r, r->path);
	} else if (strcmp(r->method, "HEAD") == 0 && !id->type) {
		http_reply(r, 204, "", NULL, 0);
	} else if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0) {
		get(r, x);
	} else if (strcmp(r->method, "DELETE") == 0) {
		delete (r, x);
	} else if (strcmp(r->method, "PATCH") == 0) {
		json_t *doc = body_of(r);

		if (doc) {
			patch(r, x, id, doc);
		}
	} else {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	}
}

/* ---- health ---- */

static void health(struct http_request *r)
{
	AUTO_BUF struct buf b = { 0 };
	int64_t age[2];
	const char *engine = control_metrics(0, &age[0]), *dns = control_metrics(1, &age[1]);
	bool ready = plane.engine_synced && plane.dns && !plane.stopped && age[0] >= 0 &&
	             age[0] < ANSWER_MS && age[1] >= 0 && age[1] < ANSWER_MS;

	if (strcmp(r->path, "/metrics") == 0) {
		buf_addf(
			&b,
			"%s%snetd_resources %zu\nnetd_requests_total %llu\nnetd_runtime_connected %d\n",
			engine, dns, plane.n, (unsigned long long)plane.requests,
			runtime_connected());
		http_reply(r, 200, "", buf_str(&b), b.len);
		return;
	}
	reply_json(r, strcmp(r->path, "/healthz") == 0 || ready ? 200 : 503, "",
	           json_pack("{s:b, s:b, s:b, s:b, s:s*}", "engine", plane.engine_synced, "dns",
	                     plane.dns != NULL, "store", !plane.stopped, "runtime",
	                     runtime_connected(), "refused", plane.stopped));
}

/* ---- routing ---- */

static void arm(struct http_request *r, const char *who)
{
	struct model_id id;
	char prefix[700];

	AUTO_FREE char *path = strdup(r->path);
	char *tail = strrchr(path, '/');
	bool groups = strcasecmp(tail, "/resourceGroups") == 0; /* the list of them */

	if (groups) {
		*tail = '\0';
	}
	if (model_id_parse(path, &id) < 0 || (groups && (id.group || id.type))) {
		not_found(r, r->path);
		return;
	}
	if (strcmp(who, "*") != 0 && strcasecmp(who, id.subscription) != 0) {
		not_found(r, r->path); /* a foreign one is answered like one that is not there */
		return;
	}
	table_group_key(r->path, prefix, sizeof(prefix));
	if (!prefix[0]) {
		AUTO_FREE char *low = table_key(id.subscription);

		snprintf(prefix, sizeof(prefix), "/subscriptions/%s", low);
	}
	strncat(prefix, "/", sizeof(prefix) - strlen(prefix) - 1);
	if (groups) {
		strncat(prefix, "resourcegroups/", sizeof(prefix) - strlen(prefix) - 1);
		list(r, prefix, "Microsoft.Resources/resourceGroups");
	} else if (id.child_type && strcasecmp(id.child_type, "operations") == 0 && id.child) {
		json_t *op = operation_get(id.child, id.subscription);

		if (op) {
			reply_json(r, 200, "Retry-After: 0\r\n", op);
		} else {
			not_found(r, r->path);
		}
	} else if (!id.type && !id.group) {
		reply_json(r, 200, "",
		           json_pack("{s:s, s:s, s:s, s:s}", "id", r->path, "subscriptionId",
		                     id.subscription, "state", "Enabled", "tenantId",
		                     plane.config->tenant_id));
	} else if (id.type && !id.name) {
		list(r, prefix, id.type);
	} else if (id.child_type && strstr(id.type, "irtualNetworks")) {
		subnet(r, &id);
	} else if (id.child_type && !id.child) {
		AUTO_FREE char *key = table_key(r->path);

		*strrchr(key, '/') = '\0';
		struct resource *x = table_get(key);
		if (x && x->group) {
			action(r, x, id.child_type);
		} else {
			not_found(r, r->path);
		}
	} else if (id.child_type) {
		not_found(r, r->path);
	} else {
		resource(r, &id);
	}
}

static void on_request(void *arg, struct http_request *r)
{
	const char *who = caller(r);
	size_t n = strlen(r->path);

	(void)arg;
	plane.requests++;
	if (strcmp(r->path, "/healthz") == 0 || strcmp(r->path, "/readyz") == 0 ||
	    strcmp(r->path, "/metrics") == 0) {
		health(r);
		return;
	}
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	if (plane.blind || (plane.stopped && !reads)) {
		struct err e = ERR_INIT;

		(void)control_refuse(&e);
		reply_error(r, &e);
		return;
	}
	if (!who) {
		refuse(r, ERR_UNAUTHENTICATED, NULL, "The request needs a valid bearer token.");
		return;
	}
	if (n > 1 && r->path[n - 1] == '/') {
		r->path[n - 1] = '\0';
	}
	size_t len = strlen(r->path);
	if (strcmp(r->path, "/netd/tokens") == 0 && strcmp(r->method, "POST") == 0) {
		create_token(r);
	} else if (len > 15 && strncasecmp(r->path, "/subscriptions/", 15) == 0) {
		arm(r, who);
	} else {
		not_found(r, r->path);
	}
}

void api_start(const int fds[FD_N])
{
	struct err e = ERR_INIT;

	if (!plane.blind && store_load(plane.store, load_token, NULL, &e) < 0) {
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
