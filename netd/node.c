/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See node.h: rows, tokens, and the plane's authority.
 */
#include "netd/node.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/hex.h"
#include "lib/base/log.h"
#include "lib/base/own.h"
#include "lib/store/seal.h"
#include "netd/agent.h"
#include "netd/fabric.h"
#include "netd/home.h"
#include "netd/plane.h"
#include "netd/refused.h"
#include "netd/storage.h"
#include "netd/zone.h"
#include "vnet/plan.h"

#define AUTHORITY_S (10 * 365 * 86400LL)
#define SERVER_S    (10 * 365 * 86400LL) /* made anew at each start */
#define TOKENS_MAX  1000
#define SECRET      24 /* bytes */

struct token {
	char hash[CERT_PRINT];
	struct node_token is;
	char used_by[CERT_NAME], used_key[CERT_PRINT]; /* "": nobody yet */
};

static struct {
	struct node **v;  /* sorted by name */
	struct node *own; /* of them; it stays */
	size_t n;
	struct node *numbered[PLAN_NODE_MAX + 1]; /* NULL: it is no node's now */
	struct token *tokens;
	size_t n_tokens;
	uint32_t last; /* number that was given */
	char key[CERT_TEXT], authority[CERT_TEXT];
	int64_t started_ms;
} self;

/* ---- rows ---- */

static size_t place(const char *name)
{
	size_t i = 0;

	while (i < self.n && strcasecmp(self.v[i]->name, name) < 0) {
		i++;
	}
	return i;
}

struct node *node_find(const char *name)
{
	size_t i = place(name);

	return i < self.n && strcasecmp(self.v[i]->name, name) == 0 ? self.v[i] : NULL;
}

struct node *node_at(size_t i)
{
	return i < self.n ? self.v[i] : NULL;
}

static struct node *add(const char *name)
{
	size_t i = place(name);
	struct node *n = calloc(1, sizeof(*n));
	struct node **v = realloc(self.v, (self.n + 1) * sizeof(struct node *));

	if (!n || !v) {
		abort();
	}
	self.v = v;
	memmove(&v[i + 1], &v[i], (self.n - i) * sizeof(struct node *));
	self.n++;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->runtime_left_ms = -1;
	v[i] = n;
	return n;
}

static void set_number(struct node *n, uint32_t number)
{
	n->number = number;
	if (number <= PLAN_NODE_MAX) {
		self.numbered[number] = n;
	}
}

static void drop(struct node *n)
{
	size_t i = place(n->name);

	memmove(&self.v[i], &self.v[i + 1], (self.n - i - 1) * sizeof(struct node *));
	self.n--;
	if (node_numbered(n->number) == n) {
		self.numbered[n->number] = NULL;
	}
	refused_gone(n);
	free(n);
}

static char *row_of(const struct node *n)
{
	json_t *row = json_pack("{s:s, s:i, s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:s, s:s, s:s}",
	                        "name", n->name, "number", (int)n->number, "zone", n->zone,
	                        "domain", n->domain, "key", n->key, "joined",
	                        (json_int_t)n->joined_ms, "cordoned", n->cordoned, "drained",
	                        n->drained, "fenced", n->fenced, "address", n->facts.address,
	                        "underlay", n->facts.underlay, "uplink", n->facts.uplink);
	if (n->facts.listen[0]) {
		json_object_set_new(row, "listen", json_string(n->facts.listen));
	}
	char *text = json_dumps(row, JSON_COMPACT);

	json_decref(row);
	return text;
}

static void key_of(const char *kind, const char *name, char to[static 100])
{
	AUTO_FREE char *low = table_key(name);

	snprintf(to, 100, "%s/%.80s", kind, low);
}

static void copy(const json_t *row, const char *key, char *to, size_t size)
{
	snprintf(to, size, "%s", model_str(row, key));
}

static int64_t integer(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

static void load_node(const json_t *row)
{
	struct node *n = add(model_str(row, "name"));

	copy(row, "zone", n->zone, sizeof(n->zone));
	copy(row, "domain", n->domain, sizeof(n->domain));
	copy(row, "key", n->key, sizeof(n->key));
	set_number(n, (uint32_t)integer(row, "number"));
	n->joined_ms = integer(row, "joined");
	n->cordoned = json_is_true(json_object_get(row, "cordoned"));
	n->drained = n->drains_on = json_is_true(json_object_get(row, "drained"));
	n->fenced = json_is_true(json_object_get(row, "fenced"));
	copy(row, "address", n->facts.address, sizeof(n->facts.address));
	copy(row, "underlay", n->facts.underlay, sizeof(n->facts.underlay));
	copy(row, "uplink", n->facts.uplink, sizeof(n->facts.uplink));
	copy(row, "listen", n->facts.listen, sizeof(n->facts.listen));
	self.last = n->number > self.last ? n->number : self.last;
}

static struct token *token_add(void)
{
	struct token *v = realloc(self.tokens, (self.n_tokens + 1) * sizeof(*v));

	if (!v) {
		abort();
	}
	self.tokens = v;
	v[self.n_tokens] = (struct token){ 0 };
	return &v[self.n_tokens++];
}

static void load_token(const char *hash, const json_t *row)
{
	struct token *t = token_add();

	snprintf(t->hash, sizeof(t->hash), "%s", hash);
	copy(row, "name", t->is.name, sizeof(t->is.name));
	copy(row, "zone", t->is.zone, sizeof(t->is.zone));
	copy(row, "domain", t->is.domain, sizeof(t->is.domain));
	copy(row, "usedBy", t->used_by, sizeof(t->used_by));
	copy(row, "usedKey", t->used_key, sizeof(t->used_key));
	t->is.until_ms = integer(row, "until");
}

static char *token_row(const struct token *t)
{
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I}", "name", t->is.name, "zone",
	                        t->is.zone, "domain", t->is.domain, "usedBy", t->used_by, "usedKey",
	                        t->used_key, "until", (json_int_t)t->is.until_ms);
	char *text = json_dumps(row, JSON_COMPACT);

	json_decref(row);
	return text;
}

/* One whose key does not open (the sealing key was lost) cannot be replaced silently: nodes believe no other. */
static void load_authority(const json_t *row)
{
	struct err e = ERR_INIT;
	size_t len;
	char *key = unseal(model_str(row, "sealed"), "meta/authority", &len, &e);

	copy(row, "certificate", self.authority, sizeof(self.authority));
	if (!key || len >= sizeof(self.key)) {
		log_error("seal.unopened", LOG_STR("error", e.msg),
		          LOG_STR("key", "meta/authority"));
	} else {
		memcpy(self.key, key, len + 1);
		explicit_bzero(key, len);
	}
	free(key);
}

void node_load(const char *key, const json_t *row)
{
	if (strncmp(key, "node/", 5) == 0) {
		load_node(row);
	} else if (strncmp(key, "join/", 5) == 0) {
		load_token(key + 5, row);
	} else if (strcmp(key, "meta/authority") == 0) {
		load_authority(row);
	} else if (strcmp(key, "meta/nodes") == 0) {
		uint32_t last = (uint32_t)integer(row, "last");

		self.last = last > self.last ? last : self.last;
	}
}

/* ---- beginning ---- */

static int64_t wall_s(void)
{
	return clock_system.wall_ms(&clock_system) / 1000;
}

static uint32_t take_number(char row[static 40])
{
	self.last++;
	snprintf(row, 40, "{\"last\":%u}", self.last);
	return self.last;
}

static void make_own(void)
{
	struct node *n = add(plane.config->node);
	char key[100], last[40];

	set_number(n, take_number(last));
	n->joined_ms = clock_system.wall_ms(&clock_system);
	key_of("node", n->name, key);
	AUTO_FREE char *row = row_of(n);
	store_submit(plane.store,
	             (struct store_op[]){ { .key = key, .value = row },
	                                  { .key = "meta/nodes", .value = last } },
	             2, control_saved, NULL);
}

static int make_authority(struct err *e)
{
	char name[CERT_NAME];

	snprintf(name, sizeof(name), "netd plane %.40s", plane.config->region);
	if (cert_key(self.key, e) < 0 ||
	    cert_authority(self.key, name, wall_s(), AUTHORITY_S, self.authority, e) < 0) {
		return -1;
	}
	AUTO_FREE char *sealed = seal(self.key, strlen(self.key), "meta/authority", e);
	if (!sealed) {
		return -1;
	}
	json_t *row = json_pack("{s:s, s:s}", "sealed", sealed, "certificate", self.authority);
	AUTO_FREE char *text = json_dumps(row, JSON_COMPACT);
	json_decref(row);
	store_submit(plane.store, &(struct store_op){ .key = "meta/authority", .value = text }, 1,
	             control_saved, NULL);
	return 0;
}

void node_start(void)
{
	struct err e = ERR_INIT;

	self.started_ms = clock_system.now_ms(&clock_system);
	if (!node_own()) {
		make_own();
	}
	if (plane.config->listen_nodes[0] && !self.authority[0] && make_authority(&e) < 0) {
		log_error("nodes.authority", LOG_STR("error", e.msg));
	}
}

/* ---- asking ---- */

struct node *node_own(void)
{
	if (!self.own) {
		struct node *n = node_find(plane.config->node);

		self.own = n;
	}
	return self.own;
}

struct node *node_first(void)
{
	struct node *n = storage_first() ? node_find(storage_first()) : NULL;

	return n ? n : node_own();
}

struct node *node_numbered(uint32_t number)
{
	return number && number <= PLAN_NODE_MAX ? self.numbered[number] : NULL;
}

const char *node_authority(void)
{
	return self.authority;
}

const char *node_state(const struct node *n)
{
	int64_t now = clock_system.now_ms(&clock_system);

	if (n == node_own()) {
		return plane.engine_synced ? "Ready" : "NotReady";
	}
	return n->seen_ms && now - n->seen_ms < NODE_LEASE_MS         ? "Ready"
	       : !n->seen_ms && now - self.started_ms < NODE_LEASE_MS ? "Unknown"
	                                                              : "NotReady";
}

static void set_time(json_t *doc, const char *key, int64_t wall_ms)
{
	char text[40];

	if (wall_ms > 0) {
		clock_format(wall_ms, text, sizeof(text));
		json_object_set_new(doc, key, json_string(text));
	}
}

json_t *node_view(const struct node *n)
{
	int64_t ago = clock_system.now_ms(&clock_system) - n->seen_ms;
	bool own = n == node_own();
	struct node_facts facts = n->facts;
	json_t *pools = json_array(), *unlike = json_array();

	if (own) {
		facts_of(plane.config, &facts);
	}
	json_t *doc =
		json_pack("{s:s, s:i, s:s, s:b, s:b, s:b, s:s, s:s, s:s, s:s, s:i, s:i}", "name",
	                  n->name, "number", (int)n->number, "state", node_state(n), "control", own,
	                  "cordoned", n->cordoned, "drained", n->drained, "zone", n->zone,
	                  "faultDomain", n->domain, "version", facts.version, "address",
	                  facts.address, "cpu", (int)facts.cpu, "memoryInGB", (int)facts.memory);

	if (!own) {
		json_object_set_new(doc, "linked", json_boolean(fabric_linked(n)));
	}
	for (size_t i = 0; i < (size_t)plane.config->n_pools; i++) {
		char text[IP_TEXT];

		if (pool_node(i) == n) {
			ip_prefix_format(&plane.config->pools[i], text);
			json_array_append_new(pools, json_string(text));
		}
	}
	json_object_set_new(doc, "pools", pools);
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		if (n->roles[i].unlike) {
			json_array_append_new(unlike, json_string(roles[control_peers[i]].name));
		}
	}
	json_object_set_new(doc, "unlike", unlike);
	json_object_set_new(doc, "refused", refused_view(n));
	set_time(doc, "joined", n->joined_ms);
	set_time(doc, "lastSeen", n->seen_ms ? clock_system.wall_ms(&clock_system) - ago : 0);
	set_time(doc, "certificateExpires", n->cert_until_s * 1000);
	return doc;
}

int node_takes_groups(struct err *e)
{
	bool any = self.n == 0;

	for (size_t i = 0; i < self.n; i++) {
		any = any || node_usable(self.v[i]);
	}
	return any ? 0
	           : err_set_at(
			     e, ERR_CONFLICT, "ServiceUnavailable", "",
			     "The requested resource is not available in the location '%s' at "
			     "this moment: no node takes new groups (all are cordoned, or away).",
			     plane.config->region);
}

/* ---- changing ---- */

struct waits {
	node_reply_fn reply;
	void *arg;
};

static void stored(void *arg, const struct err *e, uint64_t rev)
{
	struct waits w = *(struct waits *)arg;

	(void)rev;
	free(arg);
	control_stored(e);
	w.reply(w.arg, e);
}

static void submit(const struct store_op *ops, size_t n, node_reply_fn reply, void *arg)
{
	struct waits *w = malloc(sizeof(*w));

	if (!w) {
		abort();
	}
	*w = (struct waits){ reply, arg };
	store_submit(plane.store, ops, n, stored, w);
}

void node_save(const struct node *n)
{
	char key[100];

	key_of("node", n->name, key);
	AUTO_FREE char *row = row_of(n);
	store_submit(plane.store, &(struct store_op){ .key = key, .value = row }, 1, control_saved,
	             NULL);
}

void node_cordon(struct node *n, bool cordoned, bool drained, node_reply_fn reply, void *arg)
{
	char key[100];

	n->cordoned = cordoned;
	n->drained = drained || (cordoned && n->drained);
	fabric_follow(n);
	key_of("node", n->name, key);
	AUTO_FREE char *row = row_of(n);
	submit(&(struct store_op){ .key = key, .value = row }, 1, reply, arg);
}

int node_remove(struct node *n, node_reply_fn reply, void *arg, struct err *e)
{
	char key[100];

	if (n == node_own()) {
		return err_set(e, ERR_CONFLICT, 0,
		               "Node '%s' has the plane's control; it cannot be removed.", n->name);
	}
	log_info("node.removed", LOG_STR("name", n->name), LOG_NUM("number", n->number));
	key_of("node", n->name, key);
	hub_drop(n);
	fabric_forget(n);
	home_removed(n);
	zone_node_gone(n);
	drop(n);
	fabric_gateways();
	submit(&(struct store_op){ .key = key }, 1, reply, arg);
	return 0;
}

/* ---- tokens ---- */

static void hash_of(const char *secret, char to[static CERT_PRINT])
{
	unsigned char digest[32];

	EVP_Digest(secret, strlen(secret), digest, NULL, EVP_sha256(), NULL);
	hex_print(digest, sizeof(digest), to);
}

static void sweep_tokens(void)
{
	int64_t now = clock_system.wall_ms(&clock_system);

	for (size_t i = self.n_tokens; i-- > 0;) {
		char key[100];

		if (self.tokens[i].is.until_ms > now) {
			continue;
		}
		key_of("join", self.tokens[i].hash, key);
		self.tokens[i] = self.tokens[--self.n_tokens];
		store_submit(plane.store, &(struct store_op){ .key = key }, 1, control_saved, NULL);
	}
}

int node_token(const struct node_token *t, char to[static NODE_TOKEN_TEXT], node_reply_fn reply,
               void *arg, struct err *e)
{
	unsigned char raw[SECRET];
	char secret[2 * SECRET + 1], key[100];
	struct cert_says says;
	char at[64];

	if (!plane.config->listen_nodes[0]) {
		return err_set(e, ERR_UNSUPPORTED, 0,
		               "The plane takes no nodes: set 'listen-nodes = ADDRESS:PORT' in %s.",
		               plane.config->path ? plane.config->path : "its configuration");
	}
	if (nodes_address(plane.config, at, e) < 0) {
		return -1;
	}
	if (!self.key[0] || cert_read(self.authority, &says, e) < 0) {
		return err_set(
			e, ERR_UNAVAILABLE, 0,
			"The key of the plane's authority cannot be opened (docs/nodes.md).");
	}
	sweep_tokens();
	if (self.n_tokens >= TOKENS_MAX) {
		return err_set(e, ERR_LIMIT, 0, "At most %d tokens to join can wait.", TOKENS_MAX);
	}
	random_system.fill(&random_system, raw, sizeof(raw));
	hex_print(raw, sizeof(raw), secret);
	struct token *made = token_add();
	made->is = *t;
	hash_of(secret, made->hash);
	snprintf(to, NODE_TOKEN_TEXT, "netd1/%s/%s/%s", at, says.print, secret);
	explicit_bzero(secret, sizeof(secret));
	key_of("join", made->hash, key);
	AUTO_FREE char *row = token_row(made);
	submit(&(struct store_op){ .key = key, .value = row }, 1, reply, arg);
	return 0;
}

static struct token *token_find(const char *secret)
{
	char hash[CERT_PRINT];

	hash_of(secret, hash);
	for (size_t i = 0; i < self.n_tokens; i++) {
		if (strcmp(self.tokens[i].hash, hash) == 0 &&
		    self.tokens[i].is.until_ms > clock_system.wall_ms(&clock_system)) {
			return &self.tokens[i];
		}
	}
	return NULL;
}

static int issue(const char *request, const char *name, char cert[static CERT_TEXT], struct err *e)
{
	return cert_issue(self.authority, self.key, request, name, CERT_CLIENT, wall_s(),
	                  plane.config->node_cert_s, cert, e);
}

/* May the token's holder be the node of that name, with that key? */
static int check_join(const struct token *t, const char *name, const char *print, struct err *e)
{
	const struct node *n = node_find(name);

	if (!model_name_ok(name) || strlen(name) >= CERT_NAME ||
	    strcasecmp(name, NODE_SERVER) == 0) {
		return err_set(e, ERR_INVALID, 0,
		               "node-name '%.63s': accepted are 1 to 63 letters, digits and -_.()",
		               name);
	}
	if (t->is.name[0] && strcasecmp(t->is.name, name) != 0) {
		return err_set(e, ERR_FORBIDDEN, 0, "The token is for a node of the name '%s'.",
		               t->is.name);
	}
	/* Said again for an answer that was lost: the node is there, and has this key. One that was removed does not come back so. */
	if (t->used_by[0] &&
	    (!n || strcasecmp(t->used_by, name) != 0 || strcmp(t->used_key, print) != 0)) {
		return err_set(e, ERR_FORBIDDEN, 0, "The token was used by node '%s'.", t->used_by);
	}
	if (n && strcmp(n->key, print) != 0) {
		return err_set(e, ERR_CONFLICT, 0,
		               "The plane has a node '%s' already; 'netctl node remove %s', or "
		               "another node-name.",
		               n->name, n->name);
	}
	if (!n && self.last >= PLAN_NODE_MAX) {
		return err_set(e, ERR_LIMIT, 0, "A plane has given its %u numbers of nodes.",
		               PLAN_NODE_MAX);
	}
	return self.n < NODES_MAX
	               ? 0
	               : err_set(e, ERR_LIMIT, 0, "A plane has at most %d nodes.", NODES_MAX);
}

int node_join(const char *secret, const char *name, const char *request, uint32_t *number,
              char cert[static CERT_TEXT], node_reply_fn reply, void *arg, struct err *e)
{
	struct token *t = token_find(secret);
	char print[CERT_PRINT], keys[2][100], last[40];

	if (plane.stopped) {
		return control_refuse(e);
	}
	if (!t) {
		return err_set(
			e, ERR_FORBIDDEN, 0,
			"The token is unknown, or its time is over ('netctl node join-token' "
			"makes another).");
	}
	if (cert_request_key(request, print, e) < 0 || check_join(t, name, print, e) < 0 ||
	    issue(request, name, cert, e) < 0) {
		return -1;
	}
	struct node *n = node_find(name);
	if (!n) {
		n = add(name);
		set_number(n, take_number(last));
		n->joined_ms = clock_system.wall_ms(&clock_system);
		memcpy(n->zone, t->is.zone, sizeof(n->zone));
		memcpy(n->domain, t->is.domain, sizeof(n->domain));
		memcpy(n->key, print, sizeof(n->key));
		log_info("node.joined", LOG_STR("name", n->name), LOG_NUM("number", n->number));
	} else {
		snprintf(last, sizeof(last), "{\"last\":%u}", self.last);
	}
	*number = n->number;
	snprintf(t->used_by, sizeof(t->used_by), "%s", n->name);
	memcpy(t->used_key, print, sizeof(t->used_key));
	key_of("node", n->name, keys[0]);
	key_of("join", t->hash, keys[1]);
	AUTO_FREE char *row = row_of(n), *used = token_row(t);
	submit((struct store_op[]){ { .key = keys[0], .value = row },
	                            { .key = keys[1], .value = used },
	                            { .key = "meta/nodes", .value = last } },
	       3, reply, arg);
	return 0;
}

int node_renew(const struct node *n, const char *request, char cert[static CERT_TEXT],
               struct err *e)
{
	char print[CERT_PRINT];

	if (cert_request_key(request, print, e) < 0) {
		return -1;
	}
	return strcmp(print, n->key) == 0
	               ? issue(request, n->name, cert, e)
	               : err_set(e, ERR_FORBIDDEN, 0, "The key is not that of node '%s'.", n->name);
}

int node_own_cert(const char *request, char cert[static CERT_TEXT], struct err *e)
{
	return issue(request, node_own()->name, cert, e);
}

bool node_opens(void)
{
	return self.key[0] || !self.authority[0];
}

int node_server(char key[static CERT_TEXT], char cert[static CERT_TEXT], struct err *e)
{
	char request[CERT_TEXT];

	return cert_key(key, e) < 0 || cert_request(key, request, e) < 0
	               ? -1
	               : cert_issue(self.authority, self.key, request, NODE_SERVER, CERT_SERVER,
	                            wall_s(), SERVER_S, cert, e);
}
