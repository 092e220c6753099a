/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See caller.h. Rows: caller/NAME {name, subscriptions, role, scope, uids} and token/HASH {caller,
 * expires}; a token itself is kept nowhere.
 */
#include "netd/api/caller.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/hex.h"
#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/api/exec.h"
#include "netd/plane.h"

#define BATCH       50
#define CALLERS_MAX 65536
#define TOKEN_MIN   16 /* characters */
#define TOKEN_DAYS  30
#define SECONDS_MAX (10LL * 366 * 86400)
#define SHOWN       12 /* characters of a hash that name a token */

struct token {
	char hash[65], caller[64];
	int64_t expires_ms;
};

static struct caller **callers; /* each on its own: who asks stays where they are */
static struct token *tokens;
static size_t n_callers, n_tokens;

static const char *const roles_by_name[] = { "reader", "contributor", "owner" };
static char everywhere[] = "*", nowhere[] = "";
static const struct caller root = {
	.name = "root", .subscriptions = everywhere, .scope = nowhere, .role = CALLER_OWNER
};

static void hash_of(const char *token, char to[65])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)token, strlen(token), sum);
	hex_print(sum, sizeof(sum), to);
}

static struct caller *caller_find(const char *name)
{
	for (size_t i = 0; i < n_callers; i++) {
		if (strcasecmp(callers[i]->name, name) == 0) {
			return callers[i];
		}
	}
	return NULL;
}

static void take_caller(const json_t *row)
{
	struct caller *c = caller_find(model_str(row, "name"));
	AUTO_BUF struct buf list = { 0 };
	const json_t *x, *uids = json_object_get(row, "uids");
	size_t i;

	if (!c) {
		callers = realloc(callers, (n_callers + 1) * sizeof(struct caller *));
		c = calloc(1, sizeof(*c));
		if (!callers || !c) {
			abort();
		}
		callers[n_callers++] = c;
	} else {
		free(c->subscriptions);
		free(c->scope);
	}
	*c = (struct caller){ 0 };
	snprintf(c->name, sizeof(c->name), "%s", model_str(row, "name"));
	json_array_foreach(json_object_get(row, "subscriptions"), i, x)
	{
		buf_addf(&list, "%s%s ", i ? "" : " ", json_string_value(x));
	}
	c->subscriptions = table_key(strcmp(buf_str(&list), " * ") == 0 ? "*" : buf_str(&list));
	c->scope = table_key(model_str(row, "scope"));
	for (int k = 0; k < 3; k++) {
		c->role = model_is(row, "role", roles_by_name[k]) ? (enum caller_role)k : c->role;
	}
	for (i = 0; i < json_array_size(uids) && i < ARRAY_N(c->uids); i++) {
		c->uids[i] = (uint32_t)json_integer_value(json_array_get(uids, i));
	}
}

static void drop_caller(struct caller *c)
{
	for (size_t i = 0; i < n_callers; i++) {
		if (callers[i] == c) {
			callers[i] = callers[--n_callers];
			break;
		}
	}
	free(c->subscriptions);
	free(c->scope);
	free(c);
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct token *)a)->hash, ((const struct token *)b)->hash, 64);
}

static struct token *token_find(const char *hash)
{
	struct token key;

	snprintf(key.hash, sizeof(key.hash), "%s", hash);
	return n_tokens ? bsearch(&key, tokens, n_tokens, sizeof(key), by_hash) : NULL;
}

static void take_token(const char *hash, const json_t *row)
{
	tokens = realloc(tokens, (n_tokens + 1) * sizeof(*tokens));
	if (!tokens) {
		abort();
	}
	struct token *t = &tokens[n_tokens++];
	snprintf(t->hash, sizeof(t->hash), "%s", hash);
	snprintf(t->caller, sizeof(t->caller), "%s", model_str(row, "caller"));
	t->expires_ms = json_integer_value(json_object_get(row, "expires"));
	qsort(tokens, n_tokens, sizeof(*tokens), by_hash);
}

int caller_load(void *arg, const char *key, uint64_t rev, const char *value)
{
	bool caller = strncmp(key, "caller/", 7) == 0, token = strncmp(key, "token/", 6) == 0;
	json_t *row = caller || token ? json_loads(value, 0, NULL) : NULL;

	(void)arg;
	(void)rev;
	if (caller) {
		take_caller(row);
	} else if (token) {
		take_token(key + 6, row);
	}
	json_decref(row);
	return 0;
}

const struct caller *caller_of(const struct http_request *r)
{
	char hash[65];

	if (strncasecmp(r->authorization, "Bearer ", 7) == 0) {
		hash_of(r->authorization + 7, hash);
		const struct token *t = token_find(hash);

		return t && t->expires_ms > clock_system.wall_ms(&clock_system)
		               ? caller_find(t->caller)
		               : NULL;
	}
	if (!r->unix_socket) {
		return NULL;
	}
	if (r->uid == 0) {
		return &root;
	}
	for (size_t i = 0; i < n_callers; i++) {
		for (size_t k = 0; k < ARRAY_N(callers[i]->uids) && callers[i]->uids[k]; k++) {
			if (callers[i]->uids[k] == r->uid) {
				return callers[i];
			}
		}
	}
	return NULL;
}

bool caller_in(const struct caller *c, const char *subscription)
{
	char word[200];

	snprintf(word, sizeof(word), " %.190s ", subscription);
	AUTO_FREE char *low = table_key(word);
	return c->subscriptions[0] == '*' || strstr(c->subscriptions, low);
}

/* Is `path` the scope or below it? */
static bool below(const char *scope, const char *path)
{
	size_t n = strlen(scope);

	return n == 0 || (strncasecmp(path, scope, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

bool caller_sees(const struct caller *c, const char *path)
{
	struct model_id id;

	return model_id_parse(path, &id) == 0 && caller_in(c, id.subscription) &&
	       below(c->scope, path);
}

/* ---- /netd/callers, /netd/tokens ---- */

bool caller_admin(const struct caller *c)
{
	return c && c->role == CALLER_OWNER && c->subscriptions[0] == '*' && !c->scope[0];
}

/* What one may give away: nothing that one does not have. */
static bool covers(const struct caller *who, const struct caller *c)
{
	AUTO_FREE char *list = strdup(c->subscriptions);
	char *save = NULL;
	bool all = c->subscriptions[0] != '*' || who->subscriptions[0] == '*';

	for (char *s = strtok_r(list, " ", &save); all && s && *s != '*';
	     s = strtok_r(NULL, " ", &save)) {
		all = caller_in(who, s);
	}
	return all && who->role == CALLER_OWNER && below(who->scope, c->scope);
}

static json_t *view_caller(const struct caller *c)
{
	AUTO_FREE char *list = strdup(c->subscriptions);
	json_t *subscriptions = json_array(), *uids = json_array();
	char *save = NULL;

	for (char *s = strtok_r(list, " ", &save); s; s = strtok_r(NULL, " ", &save)) {
		json_array_append_new(subscriptions, json_string(s));
	}
	for (size_t i = 0; i < ARRAY_N(c->uids) && c->uids[i]; i++) {
		json_array_append_new(uids, json_integer(c->uids[i]));
	}
	return json_pack("{s:s, s:o, s:s, s:s, s:o}", "name", c->name, "subscriptions",
	                 subscriptions, "role", roles_by_name[c->role], "scope", c->scope, "uids",
	                 uids);
}

static json_t *view_token(const struct token *t)
{
	char when[40];

	clock_format(t->expires_ms, when, sizeof(when));
	return json_pack("{s:s%, s:s, s:s}", "id", t->hash, (size_t)SHOWN, "caller", t->caller,
	                 "expires", when);
}

static void written(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	control_stored(e);
	if (e) {
		api_error(arg, e);
	} else {
		http_reply(arg, 204, "", NULL, 0);
	}
}

static int wrong(struct err *e, const char *target, const char *accepted)
{
	return err_set_at(e, ERR_INVALID, "InvalidRequestContent", target,
	                  "The request content is invalid: '%s' must be %s.", target, accepted);
}

static int check_caller(const json_t *doc, struct err *e)
{
	const json_t *list = json_object_get(doc, "subscriptions"), *x,
		     *uids = json_object_get(doc, "uids");
	const char *role = model_str(doc, "role"), *name = model_str(doc, "name");
	size_t i;

	if (!model_name_ok(name) || strlen(name) > 63 || strcasecmp(name, "root") == 0) {
		return wrong(e, "name", "1 to 63 letters, digits, -_.(), and not root");
	}
	if (json_array_size(list) < 1 || json_array_size(list) > 1000) {
		return wrong(e, "subscriptions", "a list of 1 to 1000 ids, or [\"*\"]");
	}
	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		const char *s = json_string_value(x);

		if (!s || !*s || strlen(s) > 100 || strpbrk(s, " /") ||
		    (*s == '*' && json_array_size(list) > 1)) {
			return wrong(e, "subscriptions", "a list of 1 to 1000 ids, or [\"*\"]");
		}
	}
	if (strcasecmp(role, "reader") != 0 && strcasecmp(role, "contributor") != 0 &&
	    strcasecmp(role, "owner") != 0) {
		return wrong(e, "role", "reader, contributor or owner");
	}
	if (*model_str(doc, "scope") &&
	    strncasecmp(model_str(doc, "scope"), "/subscriptions/", 15)) {
		return wrong(e, "scope", "an id that begins with /subscriptions/, or empty");
	}
	json_array_foreach((json_t *)(uintptr_t)uids, i, x)
	{
		if (!json_is_integer(x) || json_integer_value(x) < 1 || i >= 8) {
			return wrong(e, "uids", "at most 8 numbers of users, not 0");
		}
	}
	return 0;
}

static json_t *caller_row(const json_t *doc)
{
	const json_t *uids = json_object_get(doc, "uids");

	return json_pack("{s:s, s:O, s:s, s:s, s:o}", "name", model_str(doc, "name"),
	                 "subscriptions", json_object_get(doc, "subscriptions"), "role",
	                 model_str(doc, "role"), "scope", model_str(doc, "scope"), "uids",
	                 uids ? json_deep_copy(uids) : json_array());
}

static bool is_owner(struct http_request *r, const struct caller *who)
{
	struct err e = ERR_INIT;

	if (who->role == CALLER_OWNER) {
		return true;
	}
	err_set(&e, ERR_FORBIDDEN, 0,
	        "Callers and tokens are managed by an owner; '%s' is not one.", who->name);
	api_error(r, &e);
	return false;
}

static void put_caller(struct http_request *r, const struct caller *who, json_t *doc,
                       const char *name)
{
	struct err e = ERR_INIT;
	char key[80];
	struct caller was = { 0 };

	json_object_set_new(doc, "name", json_string(name));
	const struct caller *old = caller_find(name);
	if (check_caller(doc, &e) < 0 ||
	    (old && !covers(who, old) &&
	     err_set(&e, ERR_FORBIDDEN, 0, "Caller '%s' is not yours to change.", name) < 0) ||
	    (n_callers >= CALLERS_MAX &&
	     err_set(&e, ERR_LIMIT, 0, "At most %d callers can exist.", CALLERS_MAX) < 0)) {
		api_error(r, &e);
		return;
	}
	json_t *row = caller_row(doc);
	AUTO_FREE char *low = table_key(name), *text = json_dumps(row, JSON_COMPACT);
	AUTO_BUF struct buf list = { 0 };
	json_t *x;
	size_t i;
	json_array_foreach(json_object_get(row, "subscriptions"), i, x)
	{
		buf_addf(&list, " %s ", json_string_value(x));
	}
	AUTO_FREE char *want = table_key(buf_str(&list)),
		       *scope = table_key(model_str(row, "scope"));
	was.subscriptions = strcmp(want, " * ") == 0 ? everywhere : want;
	was.scope = scope;
	if (!covers(who, &was)) {
		err_set(&e, ERR_FORBIDDEN, 0,
		        "A caller cannot be given subscriptions or a scope that you do not have.");
		api_error(r, &e);
	} else {
		take_caller(row);
		snprintf(key, sizeof(key), "caller/%.63s", low);
		store_submit(plane.store, &(struct store_op){ .key = key, .value = text }, 1,
		             written, r);
	}
	json_decref(row);
}

/* Tokens first, a batch at a time (etcd takes 128 steps in a transaction), and the caller with the last of them: where it ends
 * half-way, what is left of the tokens goes when it is asked for again. */
static void remove_caller(struct http_request *r, const struct caller *who, const char *name)
{
	struct caller *c = caller_find(name);
	struct err e = ERR_INIT;
	struct store_op ops[BATCH + 1];
	char keys[BATCH + 1][80];
	size_t n = 0, left = 0;

	if (!c || !covers(who, c)) {
		err_set(&e, ERR_NOT_FOUND, 0, "Caller '%.80s' was not found.", name);
		api_error(r, &e);
		return;
	}
	for (size_t i = 0; i < n_tokens; i++) {
		if (strcasecmp(tokens[i].caller, c->name) != 0) {
			tokens[left++] = tokens[i];
			continue;
		}
		if (n == BATCH) {
			store_submit(plane.store, ops, n, control_saved, NULL);
			n = 0;
		}
		snprintf(keys[n], sizeof(keys[n]), "token/%.64s", tokens[i].hash);
		ops[n] = (struct store_op){ .key = keys[n] };
		n++;
	}
	n_tokens = left;
	AUTO_FREE char *low = table_key(c->name);
	snprintf(keys[n], sizeof(keys[n]), "caller/%.63s", low);
	ops[n] = (struct store_op){ .key = keys[n] };
	exec_end(c->name);
	drop_caller(c);
	store_submit(plane.store, ops, n + 1, written, r);
}

struct made {
	struct http_request *r;
	json_t *answer;
};

static void token_made(void *arg, const struct err *e, uint64_t rev)
{
	struct made *m = arg;

	(void)rev;
	control_stored(e);
	if (e) {
		api_error(m->r, e);
		json_decref(m->answer);
	} else {
		api_json(m->r, 201, "", m->answer);
	}
	free(m);
}

/* Who the token will be: a caller named, or made of subscription, role and scope. */
static const struct caller *token_caller(const struct caller *who, json_t *doc, struct err *e)
{
	const char *name = model_str(doc, "caller");
	char made[64];

	if (*name || !*model_str(doc, "subscription")) {
		const struct caller *c = caller_find(name);

		if (!c || !covers(who, c)) {
			wrong(e, "caller", "the name of a caller; or give a subscription");
			return NULL;
		}
		return c;
	}
	snprintf(made, sizeof(made), "%.50s-%.8s",
	         *model_str(doc, "role") ? model_str(doc, "role") : "owner",
	         model_str(doc, "hash"));
	json_t *row = json_pack("{s:s, s:[s], s:s, s:s, s:[]}", "name", made, "subscriptions",
	                        model_str(doc, "subscription"), "role",
	                        *model_str(doc, "role") ? model_str(doc, "role") : "owner", "scope",
	                        model_str(doc, "scope"), "uids");
	struct caller *c = NULL;
	if (check_caller(row, e) == 0) {
		take_caller(row);
		c = caller_find(made);
		if (!covers(who, c)) {
			drop_caller(c);
			c = NULL;
			err_set(e, ERR_FORBIDDEN, 0,
			        "A token cannot be given what you do not have.");
		}
	}
	json_decref(row);
	return c;
}

static void create_token(struct http_request *r, const struct caller *who, json_t *doc)
{
	struct err e = ERR_INIT;
	char hash[65], key[80], caller_key[80], drawn[49] = "";
	const json_t *seconds = json_object_get(doc, "seconds");
	const char *token = model_str(doc, "token");
	unsigned char raw[24];

	if (!json_object_get(doc, "token")) {
		random_system.fill(&random_system, raw, sizeof(raw));
		token = hex_print(raw, sizeof(raw), drawn);
	}
	int64_t s = seconds ? json_integer_value(seconds) : TOKEN_DAYS * 86400LL;
	hash_of(token, hash);
	json_object_set_new(doc, "hash", json_string(hash));
	const struct caller *c = NULL;
	if (strlen(token) < TOKEN_MIN || strlen(token) > 400) {
		wrong(&e, "token", "16 to 400 characters, or left out to get one");
	} else if (token_find(hash) || n_tokens >= CALLERS_MAX) {
		wrong(&e, "token", "new, and fewer than 65536");
	} else if (s < 1 || s > SECONDS_MAX) {
		wrong(&e, "seconds", "a number from 1 to 316224000");
	} else {
		c = token_caller(who, doc, &e);
	}
	if (!c) {
		api_error(r, &e);
		return;
	}
	int64_t until = clock_system.wall_ms(&clock_system) + s * 1000;
	json_t *row = json_pack("{s:s, s:I}", "caller", c->name, "expires", (json_int_t)until);
	json_t *owner = view_caller(c);
	AUTO_FREE char *text = json_dumps(row, JSON_COMPACT),
		       *caller_text = json_dumps(owner, JSON_COMPACT), *low = table_key(c->name);
	take_token(hash, row);
	snprintf(key, sizeof(key), "token/%s", hash);
	snprintf(caller_key, sizeof(caller_key), "caller/%.63s", low);
	struct made *m = malloc(sizeof(*m));
	if (!m) {
		abort();
	}
	*m = (struct made){ r, view_token(token_find(hash)) };
	if (*drawn) {
		json_object_set_new(m->answer, "token", json_string(drawn));
	}
	store_submit(plane.store,
	             (struct store_op[]){ { .key = key, .value = text },
	                                  { .key = caller_key, .value = caller_text } },
	             2, token_made, m);
	json_decref(owner);
	json_decref(row);
}

static void revoke_token(struct http_request *r, const struct caller *who, const char *id)
{
	struct err e = ERR_INIT;
	char key[80];

	for (size_t i = 0; strlen(id) == SHOWN && i < n_tokens; i++) {
		const struct caller *c = caller_find(tokens[i].caller);

		if (strncasecmp(tokens[i].hash, id, SHOWN) == 0 && (!c || covers(who, c))) {
			snprintf(key, sizeof(key), "token/%s", tokens[i].hash);
			exec_end(tokens[i].caller);
			memmove(&tokens[i], &tokens[i + 1], (n_tokens - i - 1) * sizeof(*tokens));
			n_tokens--;
			store_submit(plane.store, &(struct store_op){ .key = key }, 1, written, r);
			return;
		}
	}
	err_set(&e, ERR_NOT_FOUND, 0, "Token '%.40s' was not found.", id);
	api_error(r, &e);
}

static void list(struct http_request *r, const struct caller *who, bool of_tokens)
{
	json_t *value = json_array();

	for (size_t i = 0; of_tokens && i < n_tokens; i++) {
		const struct caller *c = caller_find(tokens[i].caller);

		if (!c || covers(who, c)) {
			json_array_append_new(value, view_token(&tokens[i]));
		}
	}
	for (size_t i = 0; !of_tokens && i < n_callers; i++) {
		if (covers(who, callers[i])) {
			json_array_append_new(value, view_caller(callers[i]));
		}
	}
	api_json(r, 200, "", json_pack("{s:o}", "value", value));
}

void caller_request(struct http_request *r, const struct caller *c)
{
	bool of_tokens = strncmp(r->path, "/netd/tokens", 12) == 0;
	const char *rest = r->path + (of_tokens ? 12 : 13);
	struct err e = ERR_INIT;
	json_t *doc = NULL;
	bool writes = strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0;

	if (!is_owner(r, c)) {
		return;
	}
	if (writes && model_parse((const char *)r->body.data, r->body.len, &doc, &e) < 0) {
		api_error(r, &e);
	} else if (*rest == '\0' && strcmp(r->method, "GET") == 0) {
		list(r, c, of_tokens);
	} else if (of_tokens && *rest == '\0' && strcmp(r->method, "POST") == 0) {
		create_token(r, c, doc);
	} else if (*rest == '/' && strcmp(r->method, "DELETE") == 0) {
		of_tokens ? revoke_token(r, c, rest + 1) : remove_caller(r, c, rest + 1);
	} else if (!of_tokens && *rest == '/' && strcmp(r->method, "PUT") == 0) {
		put_caller(r, c, doc, rest + 1);
	} else {
		err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
		api_error(r, &e);
	}
	json_decref(doc);
}
