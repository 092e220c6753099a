/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ARM REST: who calls, which resource, which verb; answers as Azure's clients expect them (LRO by
 * Azure-AsyncOperation, ETags, lists, error bodies). Decisions are made in change.c.
 */
#include "netd/api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/api/balancing.h"
#include "netd/api/caller.h"
#include "netd/api/exec.h"
#include "netd/api/list.h"
#include "netd/api/locations.h"
#include "netd/api/logs.h"
#include "netd/api/names.h"
#include "netd/api/ngroups.h"
#include "netd/api/nodes.h"
#include "netd/api/usage.h"
#include "netd/api/watch.h"
#include "netd/api/zones.h"
#include "netd/group_parts.h"
#include "netd/guest.h"
#include "netd/ngroup.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/runtime.h"
#include "netd/spot.h"
#include "netd/zone.h"

/* A call whose answer waits for the store. */
struct call {
	struct http_request *r;
	enum {
		CALL_PUT,      /* 200 or 201 with the resource */
		CALL_ACCEPTED, /* 202 with an operation */
		CALL_DONE,     /* 204 */
		CALL_GONE      /* 200 */
	} answer;
	char key[1200], verb[12];
	bool created;
	uint64_t etag; /* CALL_PUT: of what was put */
	char operation[37];
	char child[100]; /* name of the part that was put, "" none, and its type */
	const char *child_type;
};

void api_json(struct http_request *r, int status, const char *headers, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	http_reply(r, status, headers, text, text ? strlen(text) : 0);
	free(text);
	json_decref(body);
}

void api_error(struct http_request *r, const struct err *e)
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
	api_json(r, err_kind_http(e->kind), err_kind_retryable(e->kind) ? "Retry-After: 1\r\n" : "",
	         json_pack("{s:o}", "error", x));
}

static void refuse(struct http_request *r, enum err_kind kind, const char *code, const char *text)
{
	struct err e = ERR_INIT;

	err_set_at(&e, kind, code, NULL, "%s", text);
	api_error(r, &e);
}

/* ---- answers that waited ---- */

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

static void audit(const struct call *c, const struct err *e)
{
	log_info("audit", LOG_STR("id", c->key), LOG_STR("verb", c->verb),
	         LOG_STR("request", c->r->id),
	         LOG_STR("result", e ? e->code ? e->code : err_kind_code(e->kind) : "ok"));
}

static void on_stored(void *arg, const struct err *e)
{
	struct call *c = arg;
	char headers[1200] = "";
	struct resource *r = table_get(c->key);

	audit(c, e);
	if (c->operation[0]) {
		operation_headers(c, headers, sizeof(headers));
		if (e || !r || !(r->group || r->ngroup || r->deleting)) {
			operation_end(c->key, e);
		}
	}
	if (e) {
		api_error(c->r, e);
	} else if (c->answer == CALL_PUT) {
		json_t *view = !r            ? NULL
		               : c->child[0] ? view_child(r, c->child_type, c->child)
		                             : view_resource(r);
		c->r->stored = r && r->etag == c->etag; /* it is what was put, and no newer one */
		api_json(c->r, c->created ? 201 : 200, headers, view);
	} else {
		c->r->stored = true;
		api_json(c->r,
		         c->answer == CALL_DONE   ? 204
		         : c->answer == CALL_GONE ? 200
		                                  : 202,
		         headers, NULL);
	}
	free(c);
}

/* Refused before anything was stored. */
static void call_refused(struct call *c, const struct err *e)
{
	audit(c, e);
	if (c->operation[0]) {
		operation_end(c->key, e);
	}
	api_error(c->r, e);
	free(c);
}

static struct call *call_new(struct http_request *r, const char *id, bool operation)
{
	struct call *c = calloc(1, sizeof(*c));
	AUTO_FREE char *key = table_key(id);

	if (!c) {
		abort();
	}
	c->r = r;
	snprintf(c->key, sizeof(c->key), "%s", key);
	snprintf(c->verb, sizeof(c->verb), "%s", r->method);
	if (operation) {
		operation_begin(c->key, c->operation);
	}
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
	api_error(r, &e);
}

/* Parts that are changed only by a PUT of the whole, or not at all. */
static const char *fixed_part(const struct model_id *id)
{
	static const struct {
		const char *type, *part;
	} parts[] = {
		{ "Microsoft.Network/networkSecurityGroups", "defaultSecurityRules" },
		{ "Microsoft.Network/loadBalancers", "frontendIPConfigurations" },
		{ "Microsoft.Network/loadBalancers", "loadBalancingRules" },
		{ "Microsoft.Network/loadBalancers", "probes" },
		{ "Microsoft.Network/loadBalancers", "outboundRules" },
	};

	for (size_t i = 0; i < ARRAY_N(parts); i++) {
		if (strcasecmp(id->type, parts[i].type) == 0 &&
		    strcasecmp(id->child_type, parts[i].part) == 0) {
			return parts[i].part;
		}
	}
	return NULL;
}

/* "subnets", "securityRules": parts of a resource's document that have paths of their own, spelt as
 * in the document; NULL: no such thing. */
static const char *part_type(const struct model_id *id)
{
	char name[200];

	snprintf(name, sizeof(name), "%s/%s", id->type, id->child_type);
	const struct model_type *t = model_type_find(name);
	return t ? strrchr(t->name, '/') + 1 : fixed_part(id);
}

/* Record sets change at once: their clients know no operations. */
static bool is_record(const struct model_id *id)
{
	return zone_path(id) && zone_record_type(id->child_type);
}

/* `was`: what the condition in the headers is about; NULL none. */
static void put(struct http_request *r, const struct model_id *id, const struct resource *was,
                json_t *doc)
{
	struct change change = { 0 };
	struct err e = ERR_INIT;
	bool of_parent = id->child && !zone_path(id);
	AUTO_FREE char *whole = strdup(was && !of_parent ? was->id : r->path),
		       *parent = strdup(r->path);

	if (!conditions(r, was)) {
		json_decref(doc);
		return;
	}
	if (of_parent) {
		*strrchr(parent, '/') = '\0';
		*strrchr(parent, '/') = '\0';
	}
	struct call *c = call_new(r, parent, id->group != NULL && !is_record(id));
	if (of_parent) {
		snprintf(c->child, sizeof(c->child), "%s", id->child);
		c->child_type = part_type(id);
	}
	if (change_put(id, whole, doc, on_stored, c, &change, &e) < 0) {
		call_refused(c, &e);
	} else {
		c->created = change.created; /* the answer comes from the loop, later */
		c->etag = change.r->etag;
	}
	json_decref(doc);
}

static void patch(struct http_request *r, const struct model_id *id, struct resource *x,
                  json_t *doc)
{
	const json_t *tags = json_object_get(doc, "tags");
	struct err e = ERR_INIT;

	if (x->ngroup || zone_is_link(x) || zone_is_record(x)) { /* RFC 7396 */
		json_t *whole = json_deep_copy(x->doc);

		json_object_update_recursive(whole, doc);
		json_decref(doc);
		put(r, id, x, whole);
		return;
	}
	if (!conditions(r, x)) {
		json_decref(doc);
		return;
	}
	struct call *c = call_new(r, x->id, false);
	if (change_tags(x, tags ? tags : json_object_get(x->doc, "tags"), on_stored, c, &e) < 0) {
		call_refused(c, &e);
	} else {
		c->etag = x->etag;
	}
	json_decref(doc);
}

static void delete (struct http_request *r, struct resource *x)
{
	struct err e = ERR_INIT;

	if (!conditions(r, x)) {
		return;
	}
	bool record = zone_is_record(x);
	struct call *c = call_new(r, x->id, !record);
	c->answer = record ? CALL_GONE : CALL_ACCEPTED;
	if (x->deleting) { /* answered once what is stored says so */
		change_save(x, on_stored, c);
	} else if (change_delete(x, on_stored, c, &e) < 0) {
		call_refused(c, &e);
	}
}

/* Where its namespace is: for the node's own tools. */
static json_t *place_of(const struct resource *x)
{
	const json_t *cni = guest_of(x), *pub = json_object_get(x->status, "pub4");
	const struct node *n = group_node(x->group);
	bool own = !n || n == node_own();
	char path[256];

	snprintf(path, sizeof(path), "%s/ns/g%lld", own ? plane.config->run_dir : n->facts.run_dir,
	         (long long)json_integer_value(json_object_get(x->status, "serial")));
	return json_pack("{s:s, s:s, s:s, s:O*, s:O*}", "node", n ? n->name : "", "namespace",
	                 cni ? model_str(cni, "netns") : path, "address",
	                 model_str(x->status, "ip4"), "publicAddress", pub, "cni", cni);
}

static void get(struct http_request *r, const struct resource *x)
{
	char headers[128];

	snprintf(headers, sizeof(headers), "ETag: W/\"%llu\"\r\n", (unsigned long long)x->etag);
	json_t *view = view_resource(x);
	if (x->group && r->unix_socket) {
		json_object_set_new(view, "netd", place_of(x));
	}
	api_json(r, 200, headers, view);
}

/* ---- subscriptions ---- */

json_t *api_body(struct http_request *r)
{
	struct err e = ERR_INIT;
	json_t *doc = NULL;

	if (model_parse((const char *)r->body.data, r->body.len, &doc, &e) < 0) {
		api_error(r, &e);
		return NULL;
	}
	return doc;
}

/* DELETE of a subscription that holds nothing. */
static void delete_subscription(struct http_request *r, bool holds)
{
	AUTO_FREE char *key = table_key(r->path);
	struct resource *x = table_get(key);
	struct err e = ERR_INIT;

	if (holds) {
		err_set_at(&e, ERR_CONFLICT, "SubscriptionNotEmpty", NULL,
		           "The subscription holds resources; delete them first.");
		api_error(r, &e);
	} else if (!x) {
		http_reply(r, 204, "", NULL, 0);
	} else if (conditions(r, x)) {
		struct call *c = call_new(r, x->id, false);

		c->answer = CALL_DONE;
		(void)change_delete(x, on_stored, c, &e);
	}
}

static void subscription(struct http_request *r, const struct caller *who,
                         const struct model_id *id)
{
	AUTO_FREE char *key = table_key(r->path);
	char prefix[200];
	struct err e = ERR_INIT;
	json_t *doc;

	snprintf(prefix, sizeof(prefix), "%.180s/", key);
	const struct resource *first = table_at(table_from(prefix)), *x = table_get(key);
	bool holds = first && strncmp(first->key, prefix, strlen(prefix)) == 0;
	bool known = x || holds || strcmp(who->subscriptions, "*") != 0;
	if (strcmp(r->method, "GET") == 0 && known) {
		api_json(r, 200, "", view_subscription(id->subscription));
	} else if (strcmp(r->method, "GET") == 0) {
		err_set_at(&e, ERR_NOT_FOUND, "SubscriptionNotFound", NULL,
		           "The subscription '%.100s' could not be found.", id->subscription);
		api_error(r, &e);
	} else if (who->role != CALLER_OWNER || *who->scope) {
		err_set(&e, ERR_FORBIDDEN, 0, "A subscription is managed by its owner.");
		api_error(r, &e);
	} else if (strcmp(r->method, "PUT") == 0 && (doc = api_body(r))) {
		put(r, id, x, doc);
	} else if (strcmp(r->method, "DELETE") == 0) {
		delete_subscription(r, holds);
	} else if (strcmp(r->method, "PUT") != 0) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	}
}

static void delete_part(struct http_request *r, struct resource *x, const char *type,
                        const char *name)
{
	struct err e = ERR_INIT;

	if (!conditions(r, x)) {
		return;
	}
	struct call *c = call_new(r, x->id, true);
	c->answer = CALL_ACCEPTED;
	if (change_delete_child(x, type, name, on_stored, c, &e) < 0) {
		call_refused(c, &e);
	}
}

/* Parts of a resource's document, with paths of their own. */
static void part(struct http_request *r, const struct model_id *id, const char *type)
{
	AUTO_FREE char *key = table_key(r->path);
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	bool fixed = fixed_part(id) != NULL;
	json_t *doc;

	*strrchr(key, '/') = '\0';
	if (id->child) {
		*strrchr(key, '/') = '\0';
	}
	struct resource *x = table_get(key);
	json_t *view = x && id->child ? view_child(x, type, id->child) : NULL;
	if (fixed && !reads) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here: the whole is put.");
	} else if (id->child && strcmp(r->method, "PUT") == 0) {
		if ((doc = api_body(r))) {
			put(r, id, view ? x : NULL, doc);
		}
	} else if (x && !view && id->child && strcmp(r->method, "DELETE") == 0) {
		http_reply(r, 204, "", NULL, 0);
	} else if (!x || (id->child && !view)) {
		not_found(r, r->path);
	} else if (reads && !id->child) {
		char path[120];

		snprintf(path, sizeof(path), "properties.%s", type);
		view = view_resource(x);
		json_t *list = model_at(view, path);
		api_json(r, 200, "",
		         json_pack("{s:o}", "value", list ? json_incref(list) : json_array()));
	} else if (reads) {
		api_json(r, 200, "", json_incref(view));
	} else if (id->child && strcmp(r->method, "DELETE") == 0) {
		delete_part(r, x, type, id->child);
	} else {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	}
	json_decref(view);
}

/* Start, stop, restart of a container group. */
static void action(struct http_request *r, struct resource *x, const char *what)
{
	static const char *const actions[] = { "start", "restart", "stop" };
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_N(actions); i++) {
		if (strcasecmp(what, actions[i]) != 0) {
			continue;
		}
		bool stop = i == 2;
		if (strcmp(r->method, "POST") != 0) {
			refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
			return;
		}
		struct call *c = call_new(r, x->id, !stop);
		c->answer = stop ? CALL_DONE : CALL_ACCEPTED;
		if (x->deleting) {
			err_set_at(&e, ERR_CONFLICT, "ContainerGroupTransitioning", "",
			           "'%s' is being deleted.", x->name);
			call_refused(c, &e);
		} else if (guest_of(x)) {
			err_set_at(&e, ERR_CONFLICT, "ContainerGroupOfRuntime", "",
			           "'%s' was made by a runtime through CNI, which starts and stops "
			           "it.",
			           x->name);
			call_refused(c, &e);
		} else if (x->group && !stop && spot_resume(x, &e) < 0) {
			call_refused(c, &e);
		} else {
			(x->group ? group_action : ngroup_action)(x, actions[i], on_stored, c);
		}
		return;
	}
	not_found(r, r->path);
}

static void resource(struct http_request *r, const struct model_id *id)
{
	AUTO_FREE char *key = table_key(r->path);
	struct resource *x = table_get(key);

	if (strcmp(r->method, "PUT") == 0) {
		json_t *doc = api_body(r);

		if (doc) {
			put(r, id, x, doc);
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
		json_t *doc = api_body(r);

		if (doc) {
			patch(r, id, x, doc);
		}
	} else {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	}
}

/* ---- routing ---- */

/* GET of a container's logs; POST of exec and attach. */
static void container(struct http_request *r, const struct caller *who, const struct model_id *id)
{
	AUTO_FREE char *key = table_key(r->path);

	*strstr(key, "/containers/") = '\0';
	struct resource *x = table_get(key);
	bool found = false;
	json_t *c;
	size_t i;

	json_array_foreach(x ? model_at(x->doc, "properties.containers") : NULL, i, c)
	{
		found = found || strcasecmp(model_str(c, "name"), id->child) == 0;
	}
	bool logs = id->action && strcasecmp(id->action, "logs") == 0;
	bool exec = id->action && strcasecmp(id->action, "exec") == 0;
	if (!found || !x->group ||
	    !(logs || exec || (id->action && strcasecmp(id->action, "attach") == 0))) {
		not_found(r, r->path);
	} else if (strcmp(r->method, logs ? "GET" : "POST") != 0) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	} else if (logs) {
		logs_request(r, x->key, id->child);
	} else {
		exec_request(r, who, x, id->child, exec);
	}
}

/* What lies below a resource: its parts, actions, logs, operations of a location. */
static void below(struct http_request *r, const struct caller *who, const struct model_id *id)
{
	if (strcasecmp(id->child_type, "containers") == 0 && id->child &&
	    strcasecmp(id->type, "Microsoft.ContainerInstance/containerGroups") == 0) {
		container(r, who, id);
	} else if (strcasecmp(id->child_type, "operations") == 0 && id->child) {
		json_t *op = operation_get(id->child, id->subscription);

		if (op) {
			api_json(r, 200, "Retry-After: 0\r\n", op);
		} else {
			not_found(r, r->path);
		}
	} else if (locations_request(r, id)) {
		return;
	} else if (part_type(id) && id->action) {
		AUTO_FREE char *key = table_key(r->path);

		for (int up = 0; up < 3; up++) { /* its part's type and name, and what is asked */
			*strrchr(key, '/') = '\0';
		}
		const struct resource *x = table_get(key);
		if (x) {
			balancing_request(r, x, id);
		} else {
			not_found(r, r->path);
		}
	} else if (zone_path(id)) {
		if (zones_request(r, id)) {
			return;
		}
		if (id->child) {
			resource(r, id);
		} else {
			not_found(r, r->path);
		}
	} else if (part_type(id)) {
		part(r, id, part_type(id));
	} else if (!id->child || strcasecmp(id->child_type, "revisions") == 0 ||
	           strcasecmp(id->child_type, "runtimeViews") == 0) {
		AUTO_FREE char *key = table_key(r->path);

		for (int up = 0; up < (id->child ? 2 : 1); up++) {
			*strrchr(key, '/') = '\0';
		}
		struct resource *x = table_get(key);
		if (x && (watch_request(r, who, x, id->child_type) ||
		          (!id->child && names_of(r, x, id->child_type)))) {
			return;
		}
		if (x && ngroups_request(r, x, id)) {
			return;
		}
		if (x && (x->group || x->ngroup) && strcmp(x->type->name, STANDBY_TYPE) != 0) {
			action(r, x, id->child_type);
		} else {
			not_found(r, r->path);
		}
	} else {
		not_found(r, r->path);
	}
}

/* May the caller do this here? Answers when not. */
static bool allowed(struct http_request *r, const struct caller *who, const struct model_id *id,
                    bool lists)
{
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
	bool location = id->type && strstr(id->type, "/locations");
	struct err e = ERR_INIT;

	/* A foreign one is answered like one that is not there. */
	if (!caller_in(who, id->subscription) ||
	    (!caller_sees(who, r->path) && !(lists || (reads && location)))) {
		not_found(r, r->path);
		return false;
	}
	if (!tenant_may_ask(tenant_of(id->subscription), clock_system.now_ms(&clock_system))) {
		err_set(&e, ERR_LIMIT, 0,
		        "The subscription sends more than %lld requests a second.",
		        (long long)plane.config->limit_requests);
		api_error(r, &e);
		return false;
	}
	if (!reads && who->role == CALLER_READER) {
		err_set(&e, ERR_FORBIDDEN, 0,
		        "The client '%s' does not have authorization to perform action '%s' over "
		        "scope '%.200s'.",
		        who->name, r->method, r->path);
		api_error(r, &e);
		return false;
	}
	return true;
}

/* GET {group}/providers/microsoft.insights/metrics or metricDefinitions */
static void metrics(struct http_request *r, const char *what)
{
	AUTO_FREE char *key = table_key(r->path);
	const struct resource *x = table_get(key);
	bool values = strcasecmp(what, "metrics") == 0;

	if (!x || !x->group || (!values && strcasecmp(what, "metricDefinitions") != 0)) {
		not_found(r, r->path);
	} else if (strcmp(r->method, "GET") != 0) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	} else {
		(values ? metrics_request : metrics_definitions)(r, x);
	}
}

static void arm(struct http_request *r, const struct caller *who)
{
	struct model_id id;
	char prefix[700];

	AUTO_FREE char *path = strdup(r->path);
	char *tail = strrchr(path, '/');
	bool groups = strcasecmp(tail, "/resourceGroups") == 0; /* the list of them */
	char *insights = strcasestr(path, "/providers/microsoft.insights/");
	char asked[64] = "";

	if (groups) {
		*tail = '\0';
	}
	char *link =
		strcasestr(path, "/providers/Microsoft.ContainerInstance/serviceAssociationLinks/");
	if (link) {
		*link = r->path[link - path] = '\0'; /* the subnet is what counts */
	}
	if (insights) { /* the resource is what counts */
		snprintf(asked, sizeof(asked), "%s", insights + 30);
		*insights = r->path[insights - path] = '\0';
	}
	if (model_id_parse(path, &id) < 0 || (groups && (id.group || id.type))) {
		not_found(r, r->path);
		return;
	}
	bool lists = groups || (id.type && !id.name) || (!id.type && !id.group);
	if (!allowed(r, who, &id, lists)) {
		return;
	}
	if (link) { /* none ever blocks a deletion, so that there is nothing to remove */
		if (strcmp(r->method, "DELETE") == 0) {
			http_reply(r, 204, "", NULL, 0);
		} else {
			refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
		}
		return;
	}
	if (insights) {
		metrics(r, asked);
		return;
	}
	if (id.type && !id.name && strcasecmp(id.type, "Microsoft.ContainerInstance/usage") == 0) {
		usage_request(r, who, id.subscription);
		return;
	}
	table_group_key(r->path, prefix, sizeof(prefix));
	if (!prefix[0]) {
		AUTO_FREE char *low = table_key(id.subscription);

		snprintf(prefix, sizeof(prefix), "/subscriptions/%s", low);
	}
	strncat(prefix, groups ? "/resourcegroups/" : "/", sizeof(prefix) - strlen(prefix) - 1);
	if (lists && (groups || id.type) && strcmp(r->method, "GET") != 0) {
		refuse(r, ERR_METHOD, NULL, "The method is not allowed here.");
	} else if (groups) {
		list_resources(r, who, prefix, "Microsoft.Resources/resourceGroups");
	} else if (lists && id.type) {
		list_resources(r, who, prefix, id.type);
	} else if (lists) {
		subscription(r, who, &id);
	} else if (id.child_type) {
		below(r, who, &id);
	} else {
		resource(r, &id);
	}
}

void api_serve(struct http_request *r)
{
	const struct caller *who = caller_of(r);
	size_t n = strlen(r->path);
	bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;

	if (!who) {
		refuse(r, ERR_UNAUTHENTICATED, NULL,
		       "The request needs a valid bearer token that has not expired.");
		return;
	}
	if (n > 1 && r->path[n - 1] == '/') {
		r->path[n - 1] = '\0';
	}
	size_t len = strlen(r->path);
	if (strncmp(r->path, "/netd/tokens", 12) == 0 ||
	    strncmp(r->path, "/netd/callers", 13) == 0) {
		caller_request(r, who);
	} else if (strncmp(r->path, "/netd/dns/", 10) == 0) {
		names_request(r, who);
	} else if (strcmp(r->path, "/netd/nodes") == 0 ||
	           strncmp(r->path, "/netd/nodes/", 12) == 0 ||
	           strcmp(r->path, "/netd/join-tokens") == 0) {
		nodes_request(r, who);
	} else if (strcmp(r->path, "/netd/node/reclaim") == 0) {
		ngroups_reclaim(r, who);
	} else if (strcmp(r->path, "/netd/trace") == 0) {
		watch_trace(r, who);
	} else if (strcasecmp(r->path, "/subscriptions") == 0 && reads) {
		list_subscriptions(r, who);
	} else if (len > 15 && strncasecmp(r->path, "/subscriptions/", 15) == 0) {
		arm(r, who);
	} else {
		not_found(r, r->path);
	}
}
