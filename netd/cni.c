/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runtimes' CNI calls: frames, verbs, and attachments by what runtimes call them. See cni.h. A call that ends while its work goes
 * on (the plugin was killed) is finished all the same: the runtime's DEL finds it.
 */
#include "netd/cni.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/base/words.h"
#include "netd/cni_parts.h"
#include "netd/cni_plugin.h"
#include "netd/guest.h"
#include "netd/node.h"
#include "netd/subnet.h"
#include "netd/where.h"

#define CALLS_MAX 4096u

const char *const cni_versions[] = { "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", NULL };

struct call {
	LIST_ENTRY(call) link;
	struct cni_plugin plugin;
	uint32_t node; /* whose runtime calls, by number */
	uint64_t
		relay; /* its number there, of one that another node relays, which holds its namespace; 0: none, or nobody waits */
	bool has_ns;
	struct buf relayed; /* its frame, of one that another node relays */
	struct cni_env env;
	json_t *conf;
	const char *version;
	char *key;               /* CHECK: of the group that the engine looks at */
	unsigned waits;          /* for groups to go */
	struct cni_error failed; /* what to answer when they are gone; code 0: success */
};

static struct {
	struct loop *loop;
	int listener;
	LIST_HEAD(calls, call) calls;
	unsigned n;
	struct where attachments; /* groups by a digest of network, container, interface */
} self;

/* ---- answers ---- */

static void call_free(struct call *c)
{
	LIST_REMOVE(c, link);
	self.n--;
	cni_plugin_fini(&c->plugin);
	buf_fini(&c->relayed);
	json_decref(c->conf);
	free(c->key);
	free(c);
}

/* Ends the call; text is free()d, NULL: nothing goes to standard output. */
static void answer(struct call *c, uint8_t status, char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (c->relay) {
		const struct node *node = node_numbered(c->node);
		AUTO_BUF struct buf b = { 0 };

		put_u64(&b, c->relay);
		put_u8(&b, status);
		buf_add(&b, text ? text : "", n);
		if (node && node->stream) {
			stream_send(node->stream, FRAME_CNI_ANSWER, &b);
		}
	}
	bool gone = c->plugin.fd < 0;
	cni_plugin_answer(&c->plugin, status, text ? text : "", n);
	free(text);
	if (gone) {
		call_free(c);
	}
}

static void answer_error(struct call *c, const struct cni_error *e)
{
	log_info("cni.failed", LOG_STR("command", c->env.command),
	         LOG_STR("container", c->env.container), LOG_NUM("code", e->code),
	         LOG_STR("error", e->details));
	answer(c, 1, cni_error_text(c->version, e));
}

static void answer_done(struct call *c)
{
	if (c->failed.code) {
		answer_error(c, &c->failed);
	} else {
		answer(c, 0, NULL);
	}
}

/* ---- attachments ---- */

static struct ip place_of(uint32_t node, const char *network, const char *container,
                          const char *ifname)
{
	AUTO_BUF struct buf text = { 0 };

	buf_addf(&text, "%u\n%s\n%s\n%s", node, network, container, ifname);
	return where_named(buf_str(&text), text.len);
}

void cni_place(struct resource *r, bool there)
{
	const json_t *g = guest_of(r);

	if (g) {
		struct ip at = place_of(guest_number(r), model_str(g, "network"),
		                        model_str(g, "container"), model_str(g, "ifname"));

		(there ? where_add : where_drop)(&self.attachments, 0, &at, (uintptr_t)r);
	}
}

static struct resource *attachment(const struct call *c)
{
	const char *network = model_str(c->conf, "name");
	struct ip at = place_of(c->node, network, c->env.container, c->env.ifname);
	const struct where_entry *x = where_next(&self.attachments, 0, &at, NULL);

	return x ? (struct resource *)x->value : NULL;
}

static void nobody(void *arg, const struct err *e)
{
	(void)arg;
	(void)e;
}

/* ---- ADD ---- */

static void failed_add_gone(void *arg, struct resource *r, const struct err *e)
{
	(void)r;
	(void)e;
	answer_done(arg);
}

static void added(void *arg, struct resource *r, const struct err *e)
{
	struct call *c = arg;

	if (e && !r->deleting) {
		bool route = strstr(e->msg, "default route") && strstr(e->msg, "File exists");

		cni_fail_of(&c->failed, e);
		if (route) {
			cni_fail(
				&c->failed, CNI_CONFIG,
				"the namespace has a default route already: \"defaultRoute\": false "
				"leaves it (%.200s)",
				e->msg);
		} else if (strstr(e->msg, "device") && strstr(e->msg, "File exists")) {
			cni_fail(&c->failed, CNI_EXISTS, "%s is in the namespace already (%.200s)",
			         c->env.ifname, e->msg);
		}
		group_delete(r, nobody, NULL);
		group_wait(r, failed_add_gone, c);
	} else if (r->deleting || e) {
		cni_fail(&c->failed, CNI_LATER, "deleted while it was being made");
		answer_done(c);
	} else {
		answer(c, 0, cni_result_text(c->version, c->conf, r));
	}
}

/* The resource group that attachments are in, when it is not there yet. */
static int need_group(const char *id, struct err *e)
{
	char key[600];
	struct model_id parsed;

	table_group_key(id, key, sizeof(key));
	if (table_get(key)) {
		return 0;
	}
	AUTO_FREE char *group = strndup(id, strlen(key));
	json_t *doc = json_pack("{s:s}", "location", plane.config->region);
	struct change ch = { 0 };
	int rc = model_id_parse(group, &parsed);

	rc = rc < 0 ? err_set(e, ERR_INVALID, 0, "%s is no resource group", group)
	            : change_put(&parsed, group, doc, nobody, NULL, &ch, e);
	json_decref(doc);
	return rc;
}

static void add(struct call *c)
{
	struct cni_want want;
	struct model_id id;
	struct err e = ERR_INIT;
	struct change ch = { 0 };

	if (attachment(c)) {
		cni_fail(&c->failed, CNI_EXISTS, "container %s has %s in network %s already",
		         c->env.container, c->env.ifname, model_str(c->conf, "name"));
		answer_done(c);
		return;
	}
	if (!c->has_ns || strtoull(c->env.cookie, NULL, 16) == 0) {
		cni_fail(&c->failed, CNI_ENVIRONMENT, "CNI_NETNS: no namespace came with the call");
		answer_done(c);
		return;
	}
	if (cni_conf_want(c->conf, &c->env, &want, &c->failed) < 0) {
		answer_done(c);
		return;
	}
	json_object_set_new(want.status, "node", json_integer(c->node));
	ch.status = json_pack("{s:O}", "cni", want.status);
	ch.ns_fd = &c->plugin.ns;
	json_t *status = ch.status;
	int rc = need_group(want.id, &e) < 0 || model_id_parse(want.id, &id) < 0
	                 ? -1
	                 : change_put(&id, want.id, want.doc, nobody, NULL, &ch, &e);
	json_decref(status);
	cni_want_fini(&want);
	if (rc < 0) {
		cni_fail_of(&c->failed, &e);
		answer_done(c);
		return;
	}
	c->plugin.ns = -1; /* the group has it */
	cni_place(ch.r, true);
	group_wait(ch.r, added, c);
}

/* ---- DEL, GC ---- */

static void one_gone(void *arg, struct resource *r, const struct err *e)
{
	struct call *c = arg;

	if (e && !c->failed.code) {
		cni_fail_of(&c->failed, e);
		c->failed.code = CNI_LATER;
	}
	(void)r;
	if (--c->waits == 0) {
		answer_done(c);
	}
}

static void let_go(struct call *c, struct resource *r)
{
	c->waits++;
	if (!r->deleting) {
		group_delete(r, nobody, NULL);
	}
	group_wait(r, one_gone, c);
}

static void del(struct call *c)
{
	struct resource *r = attachment(c);

	if (!r) {
		answer(c, 0, NULL); /* repeated, or never made */
		return;
	}
	let_go(c, r);
}

static bool listed(const json_t *list, const json_t *g)
{
	const json_t *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		if (strcmp(model_str(x, "containerID"), model_str(g, "container")) == 0 &&
		    strcmp(model_str(x, "ifname"), model_str(g, "ifname")) == 0) {
			return true;
		}
	}
	return false;
}

/* The network's attachments of this runtime that it does not know of. */
static void gc(struct call *c)
{
	const json_t *list = json_object_get(c->conf, "cni.dev/valid-attachments");
	const char *network = model_str(c->conf, "name"),
		   *runtime = cni_conf_text(c->conf, "runtime", "");
	unsigned n = 0;

	list = list ? list : json_object_get(c->conf, "cni.dev/attachments");
	if (!json_is_array(list)) {
		cni_fail(&c->failed, CNI_CONFIG,
		         "cni.dev/valid-attachments: missing, or no list; nothing was removed");
		answer_done(c);
		return;
	}
	c->waits = 1; /* until all are found */
	for (size_t i = 0; i < plane.n; i++) {
		struct resource *r = plane.v[i];
		const json_t *g = r->group ? guest_of(r) : NULL;

		if (g && guest_number(r) == c->node &&
		    strcmp(model_str(g, "network"), network) == 0 &&
		    strcmp(model_str(g, "runtime"), runtime) == 0 && !listed(list, g)) {
			let_go(c, r);
			n++;
		}
	}
	if (n > 0) {
		log_info("cni.gc", LOG_STR("network", network), LOG_NUM("removed", n));
	}
	if (--c->waits == 0) {
		answer_done(c);
	}
}

void cni_gone(const struct node *n, uint32_t number)
{
	for (size_t i = 0; i < plane.n; i++) {
		struct resource *r = plane.v[i];

		if (r->group && guest_of(r) && !r->deleting && guest_node(r) == n &&
		    json_integer_value(json_object_get(r->status, "serial")) == number) {
			log_info("cni.gone", LOG_STR("id", r->id),
			         LOG_STR("netns", model_str(guest_of(r), "netns")));
			group_delete(r, nobody, NULL);
			return;
		}
	}
}

/* ---- CHECK, STATUS ---- */

static void check(struct call *c)
{
	struct resource *r = attachment(c);

	if (!r || r->deleting) {
		cni_fail(&c->failed, CNI_UNKNOWN, "container %s has no %s in network %s",
		         c->env.container, c->env.ifname, model_str(c->conf, "name"));
	} else if (!c->has_ns || strcmp(model_str(guest_of(r), "cookie"), c->env.cookie) != 0) {
		cni_fail(&c->failed, CNI_DIFFERS,
		         "CNI_NETNS %s is another namespace than %s was made in", c->env.netns,
		         c->env.ifname);
	} else if (!node_synced(guest_node(r))) {
		cni_fail(&c->failed, CNI_LATER, "the node's engine is not ready");
	} else if (cni_result_check(json_object_get(c->conf, "prevResult"), r, &c->failed) == 0) {
		c->key = strdup(r->key);
		int fd = c->plugin.ns;
		c->plugin.ns = -1;
		group_check_network(r, fd);
		return;
	}
	answer_done(c);
}

void cni_checked(const struct resource *r, bool ok, const char *text)
{
	for (struct call *c = LIST_FIRST(&self.calls), *next; c; c = next) {
		next = LIST_NEXT(c, link);
		if (!c->key || strcmp(c->key, r->key) != 0) {
			continue;
		}
		free(c->key);
		c->key = NULL;
		if (!ok) {
			cni_fail(&c->failed, CNI_DIFFERS, "%s", text);
		}
		answer_done(c);
	}
}

void cni_engine_gone(const struct node *n)
{
	for (struct call *c = LIST_FIRST(&self.calls), *next; c; c = next) {
		next = LIST_NEXT(c, link);
		if (c->key && c->node == n->number) {
			free(c->key);
			c->key = NULL;
			cni_fail(&c->failed, CNI_LATER, "the node's engine began anew");
			answer_done(c);
		}
	}
}

/* Could an ADD succeed now? As far as can be told without one. */
static void status(struct call *c)
{
	AUTO_FREE char *key = table_key(model_str(c->conf, "subnet"));
	char *part = strstr(key, "/subnets/");
	struct err e = ERR_INIT;

	if (plane.stopped) {
		cni_fail(&c->failed, CNI_UNAVAILABLE, "changes are refused: %s", plane.stopped);
	} else if (!node_synced(node_numbered(c->node))) {
		cni_fail(&c->failed, CNI_UNAVAILABLE, "the engine is not ready");
	} else if (tenant_room(model_str(c->conf, "subscription"), NULL, NULL, &e) < 0) {
		cni_fail(&c->failed, CNI_UNAVAILABLE, "%s", e.msg);
	} else if (part) {
		*part = '\0';
		const struct resource *vnet = table_get(key);
		const char *name = part + strlen("/subnets/");

		if (!vnet || !vnet_subnet(vnet, name)) {
			cni_fail(&c->failed, CNI_UNAVAILABLE, "subnet %s is not there",
			         model_str(c->conf, "subnet"));
		} else if (!network_subnet_room(vnet, name)) {
			cni_fail(&c->failed, CNI_UNAVAILABLE, "subnet %s has no address left",
			         model_str(c->conf, "subnet"));
		}
	}
	answer_done(c);
}

/* ---- a call ---- */

static bool good_name(const char *s)
{
	bool ok = isalnum((unsigned char)*s);

	for (; ok && *s; s++) {
		ok = isalnum((unsigned char)*s) || *s == '_' || *s == '.' || *s == '-';
	}
	return ok;
}

static bool good_interface(const char *s)
{
	size_t n = strlen(s);

	for (const char *p = s; *p; p++) {
		if (*p <= ' ' || *p >= 0x7f || *p == '/' || *p == ':' || *p == '%') {
			return false;
		}
	}
	return n > 0 && n < KOBJ_NAME && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 &&
	       strcmp(s, "lo") != 0 && strcmp(s, "all") != 0 && strcmp(s, "default") != 0;
}

static const struct verb {
	const char *name;
	bool container, netns; /* needed in the environment */
	void (*fn)(struct call *c);
} verbs[] = {
	{ "ADD", true, true, add },         { "DEL", true, false, del },
	{ "CHECK", true, true, check },     { "GC", false, false, gc },
	{ "STATUS", false, false, status },
};

static int check_environment(const struct call *c, const struct verb *v, struct cni_error *e)
{
	const struct cni_env *x = &c->env;

	if (v->container && (!good_name(x->container) || strlen(x->container) > 200)) {
		return cni_fail(
			e, CNI_ENVIRONMENT,
			"CNI_CONTAINERID '%.200s': accepted are 1 to 200 letters, digits and "
			"_.-, a letter or digit first",
			x->container);
	}
	if (v->container && !good_interface(x->ifname)) {
		return cni_fail(
			e, CNI_ENVIRONMENT,
			"CNI_IFNAME '%.60s': accepted are 1 to 15 bytes without blanks, '/', "
			"':' and '%%', and not lo",
			x->ifname);
	}
	if (v->netns && (x->netns[0] != '/' || strlen(x->netns) > 250)) {
		return cni_fail(
			e, CNI_ENVIRONMENT,
			"CNI_NETNS '%.200s': accepted is an absolute path of at most 250 bytes",
			x->netns);
	}
	return 0;
}

static int check_document(struct call *c, const char *text, size_t len, struct cni_error *e)
{
	json_error_t je;

	c->conf = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(c->conf)) {
		return cni_fail(e, CNI_DECODE, "standard input, line %d, column %d: %.200s",
		                je.line, je.column, c->conf ? "no object" : je.text);
	}
	const char *asked = model_str(c->conf, "cniVersion");
	for (size_t i = 0; cni_versions[i]; i++) {
		if (strcmp(cni_versions[i], asked) == 0) {
			c->version = cni_versions[i];
			return 0;
		}
	}
	return cni_fail(e, CNI_VERSION,
	                "cniVersion '%.40s': supported are 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
	                asked);
}

/* A node is believed no further than this: who takes one gets into no VNet that is not there already, but those of these subscriptions. */
static bool may_use(const struct call *c, struct cni_error *e)
{
	const char *id = model_str(c->conf, "subscription"),
		   *list = plane.config->cni_subscriptions;
	char word[sizeof(plane.config->cni_subscriptions)];

	if (node_own() && c->node == node_own()->number) {
		return true;
	}
	for (size_t i = 0; words_listed(list, i, word, sizeof(word)); i++) {
		if (strcmp(word, "*") == 0 || (word[0] && strcasecmp(word, id) == 0)) {
			return true;
		}
	}
	cni_fail(
		e, CNI_CONFIG,
		"subscription '%.60s': runtimes of this node may not use it (cni-subscriptions of the node that has control)",
		id);
	return false;
}

static void begin(struct call *c, const char *text, size_t len)
{
	const struct verb *v = NULL;

	for (size_t i = 0; i < ARRAY_N(verbs); i++) {
		v = strcmp(verbs[i].name, c->env.command) == 0 ? &verbs[i] : v;
	}
	if (!v) {
		cni_fail(&c->failed, CNI_ENVIRONMENT,
		         "CNI_COMMAND '%.60s': accepted are ADD, DEL, CHECK, GC, STATUS, VERSION",
		         c->env.command);
	} else if (check_environment(c, v, &c->failed) == 0 &&
	           check_document(c, text, len, &c->failed) == 0) {
		if (!good_name(model_str(c->conf, "name"))) {
			cni_fail(&c->failed, CNI_CONFIG,
			         "name '%.100s': accepted are letters, digits "
			         "and _.-, a letter or digit first",
			         model_str(c->conf, "name"));
		} else if (plane.blind || (plane.stopped && v->fn != status && v->fn != check)) {
			cni_fail(&c->failed, v->fn == status ? CNI_UNAVAILABLE : CNI_LATER,
			         "changes are refused: %s", plane.stopped);
		} else if (v->fn == del || v->fn == gc ||
		           (cni_conf_check(c->conf, &c->failed) == 0 && may_use(c, &c->failed))) {
			v->fn(c);
			return;
		}
	}
	answer_done(c);
}

/* ---- frames ---- */

static void take_frame(struct call *c, const uint8_t *frame, size_t len)
{
	const char *from = (const char *)frame, *end = from + len;

	c->env = (struct cni_env){ "", "", "", "", "", "0" };
	const char *text = cni_environment(from, end, &c->env);
	if (text) {
		begin(c, text, (size_t)(end - text));
	} else if (c->relay) {
		cni_fail(&c->failed, CNI_DECODE, "a call that is none");
		answer_done(c);
	} else {
		call_free(c);
	}
}

static void on_frame(void *arg, const uint8_t *frame, size_t len)
{
	struct call *c = arg;

	c->has_ns = c->plugin.ns >= 0;
	c->node = node_own() ? node_own()->number : 0;
	take_frame(c, frame, len);
}

/* Of one that is gone the work goes on. */
static void on_ended(void *arg)
{
	struct call *c = arg;

	if (!c->plugin.whole || c->plugin.answered) {
		call_free(c);
	}
}

static struct call *call_new(void)
{
	struct call *c = self.n < CALLS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (c) {
		cni_plugin_none(&c->plugin);
		c->version = "1.0.0";
		LIST_INSERT_HEAD(&self.calls, c, link);
		self.n++;
	}
	return c;
}

void cni_relayed(struct node *n, uint64_t id, bool has_ns, const uint8_t *frame, size_t len)
{
	struct call *c = call_new();

	if (!c) {
		AUTO_BUF struct buf b = { 0 };

		put_u64(&b, id);
		put_u8(&b, 1);
		buf_addf(&b, "{\"cniVersion\":\"1.0.0\",\"code\":%d,\"msg\":\"too many calls\"}",
		         CNI_LATER);
		stream_send(n->stream, FRAME_CNI_ANSWER, &b);
		return;
	}
	c->node = n->number;
	c->relay = id;
	c->has_ns = has_ns;
	buf_add(&c->relayed, frame, len);
	take_frame(c, c->relayed.data, c->relayed.len);
}

void cni_node_gone(const struct node *n)
{
	struct call *c;

	LIST_FOREACH(c, &self.calls, link)
	{
		c->relay = c->node == n->number ? 0 : c->relay;
	}
}

static void on_accept(void *arg)
{
	int fd = accept4(self.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct call *c = fd >= 0 ? call_new() : NULL;

	(void)arg;
	if (!c) {
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	cni_plugin_init(&c->plugin, self.loop, fd, on_frame, on_ended, c);
}

void cni_serve(struct loop *l, int fd)
{
	self.loop = l;
	self.listener = fd;
	LIST_INIT(&self.calls);
	loop_watch_read(l, fd, on_accept, NULL);
}
