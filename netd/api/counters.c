/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See counters.h. A question is sent to the engine for each VNet concerned; what comes back is added
 * up until the engine has answered a ping that was sent behind them.
 */
#include "netd/api/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/fabric.h"
#include "netd/home.h"
#include "netd/security.h"
#include "netd/subnet.h"

struct sum {
	char name[KCOUNT_NAME];
	uint64_t packets, bytes, back_packets, back_bytes;
};

struct job {
	LIST_ENTRY(job) link;
	struct http_request *request;
	char *key; /* of the resource: it may go meanwhile */
	uint32_t token;
	unsigned asked, whole; /* VNets: asked about, and read to their end */
	struct sum *v;
	size_t n;
};
static LIST_HEAD(jobs, job) jobs = LIST_HEAD_INITIALIZER(jobs);

static struct sum *sum_of(struct job *j, const char *name)
{
	for (size_t i = 0; i < j->n; i++) {
		if (strcmp(j->v[i].name, name) == 0) {
			return &j->v[i];
		}
	}
	j->v = realloc(j->v, (j->n + 1) * sizeof(*j->v));
	if (!j->v) {
		abort();
	}
	j->v[j->n] = (struct sum){ 0 };
	snprintf(j->v[j->n].name, KCOUNT_NAME, "%s", name);
	return &j->v[j->n++];
}

static void add(struct job *j, const char *name, const struct kcount *c)
{
	struct sum *s = sum_of(j, name);

	s->packets += c->packets;
	s->bytes += c->bytes;
	s->back_packets += c->back_packets;
	s->back_bytes += c->back_bytes;
}

static uint32_t number(const struct resource *r, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, key));
}

static bool is(const struct resource *r, const char *type)
{
	return strcmp(strchr(r->type->name, '/') + 1, type) == 0;
}

/* What one counter says about the resource. */
static void take(struct job *j, const struct resource *x, const struct kcount *c)
{
	char name[KCOUNT_NAME];

	if (is(x, "networkSecurityGroups")) {
		int n = snprintf(name, sizeof(name), "c%x", number(x, "serial"));

		/* "c2ai64": another group's number may begin alike */
		if (c->kind == KCOUNT_RULE && strncmp(c->name, name, (size_t)n) == 0 &&
		    (c->name[n] == 'i' || c->name[n] == 'o')) {
			add(j, c->name, c);
		}
	} else if (is(x, "virtualNetworks")) {
		if (c->kind == KCOUNT_GUARD) {
			add(j, c->name, c);
		}
	} else if (c->kind == KCOUNT_PORT) {
		snprintf(name, sizeof(name), "p%u", number(x, "serial"));
		if (strcmp(c->name, name) == 0) {
			add(j, "port", c);
		}
	} else if (c->kind == KCOUNT_DROPS) {
		struct ip own = table_ip(x->status, c->ip.family == 6 ? "ip6" : "ip4");

		if (own.family && ip_compare(&own, &c->ip) == 0) {
			add(j, "drops", c);
		}
	}
}

void counters_list(uint32_t token, uint32_t vnet, struct reader *r)
{
	bool last = get_u8(r);
	struct job *j;
	struct kcount c;

	(void)vnet;
	LIST_FOREACH(j, &jobs, link)
	{
		if (j->token == token) {
			break;
		}
	}
	const struct resource *x = j ? table_get(j->key) : NULL;
	while (!last && r->left && !r->failed) {
		get_count(r, &c);
		if (x && !r->failed) {
			take(j, x, &c);
		}
	}
	if (j && last) {
		j->whole++;
	}
}

/* ---- answers ---- */

static json_t *rules(struct job *j, struct resource *x)
{
	json_t *list = json_array();
	struct nsg g;

	security_read(x, &g);
	for (size_t i = 0; i < g.n; i++) {
		const struct nsg_rule *r = &g.v[i];
		char name[KOBJ_NAME];

		kobj_counter_name(g.id, r->inbound, r->priority, name);
		const struct sum *s = sum_of(j, name);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:i, s:s, s:I, s:I}", "name", r->name, "direction",
		                  r->inbound ? "Inbound" : "Outbound", "priority", (int)r->priority,
		                  "access", r->allow ? "Allow" : "Deny", "packets",
		                  (json_int_t)s->packets, "bytes", (json_int_t)s->bytes));
	}
	nsg_fini(&g);
	return json_pack("{s:o}", "value", list);
}

static json_t *drops(const struct job *j)
{
	json_t *list = json_array();

	for (size_t i = 0; i < j->n; i++) {
		json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", j->v[i].name,
		                                      "packets", (json_int_t)j->v[i].packets,
		                                      "bytes", (json_int_t)j->v[i].bytes));
	}
	return json_pack("{s:o}", "value", list);
}

static json_t *port(struct job *j)
{
	struct sum p = *sum_of(j, "port"), d = *sum_of(j, "drops");

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "packetsOut", (json_int_t)p.packets,
	                 "bytesOut", (json_int_t)p.bytes, "packetsIn", (json_int_t)p.back_packets,
	                 "bytesIn", (json_int_t)p.back_bytes, "packetsDropped",
	                 (json_int_t)d.packets, "bytesDropped", (json_int_t)d.bytes);
}

static void finish(void *arg)
{
	struct job *j = arg;
	struct resource *x = table_get(j->key);
	struct err e = ERR_INIT;

	LIST_REMOVE(j, link);
	if (!x) {
		err_set(&e, ERR_NOT_FOUND, 0, "The resource was deleted.");
		api_error(j->request, &e);
	} else if (j->whole < j->asked) {
		err_set(&e, ERR_UNAVAILABLE, 0, "The counters cannot be read now.");
		api_error(j->request, &e);
	} else {
		api_json(j->request, 200, "",
		         is(x, "networkSecurityGroups") ? rules(j, x)
		         : is(x, "virtualNetworks")     ? drops(j)
		                                        : port(j));
	}
	free(j->v);
	free(j->key);
	free(j);
}

static void ask(struct job *j, uint32_t vnet)
{
	struct buf b = { 0 };

	put_u32(&b, j->token);
	put_u32(&b, vnet);
	put_u32(&b, COUNTERS_ALL);
	j->asked += home_tell_all(vnet, MSG_COUNTERS, &b);
	buf_fini(&b);
}

void counters_request(struct http_request *r, const struct resource *x)
{
	static uint32_t tokens;
	struct job *j = calloc(1, sizeof(*j));
	const struct subnet *s;
	uint32_t last = 0;

	if (!j) {
		abort();
	}
	*j = (struct job){ .request = r, .key = table_key(x->key), .token = ++tokens };
	LIST_INSERT_HEAD(&jobs, j, link);
	if (x->group) {
		if (number(x, "vnet")) {
			ask(j, number(x, "vnet"));
		}
	} else if (is(x, "virtualNetworks")) {
		if (subnet_any(number(x, "serial"))) {
			ask(j, number(x, "serial"));
		}
	}
	for (size_t i = 0; is(x, "networkSecurityGroups") && (s = subnet_at(i)); i++) {
		const struct resource *v = s->vnet != last ? table_numbered(s->vnet) : NULL;

		if (v && vnet_subnet_ref(v, s->id, "networkSecurityGroup") == x) {
			last = s->vnet;
			ask(j, last);
		}
	}
	fabric_wait(finish, j);
}
