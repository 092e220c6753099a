/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Health of backends, control's side: which ones the probe role asks, and what it said last. One that came
 * back gets the whole list, with what is known, so that its restart puts nobody out. See balancer_live.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/balancer_live.h"
#include "netd/home.h"
#include "netd/where.h"

struct lb_target {
	uint64_t id;
	struct balancer *b;
	char *probe; /* name */
	struct ip ip;
	enum lb_health state;
	char why[64];
	uint64_t etag; /* of the document that it was sent by */
	bool used, sent;
	/* One of a frontend, asked from outside; `probe` is then its rule's name after OUTSIDE. */
	uint16_t port;
	int64_t turned_ms, up_ms, asked_ms; /* of the last turn; how long it was up, of how long */
};

/* No probe's name has it. */
#define OUTSIDE          "/rule/"
#define OUTSIDE_INTERVAL 15      /* s */
#define OUTSIDE_WINDOW   3600000 /* ms that availability is of, more or less */

static struct where by_address;  /* targets by load balancer's number and address */
static struct lb_target **by_id; /* sorted: numbers only grow */
static size_t n_ids, cap_ids;
static uint64_t last_id;

static uint32_t number_of(const struct balancer *b)
{
	return (uint32_t)json_integer_value(json_object_get(b->r->status, "serial"));
}

static struct lb_target *find(const struct balancer *b, const char *probe, const struct ip *ip)
{
	const struct where_entry *x = NULL;

	while ((x = where_next(&by_address, number_of(b), ip, x))) {
		struct lb_target *t = (struct lb_target *)x->value;

		if (strcasecmp(t->probe, probe) == 0) {
			return t;
		}
	}
	return NULL;
}

static size_t id_at(uint64_t id)
{
	size_t lo = 0, hi = n_ids;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (by_id[mid]->id < id) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static void send_target(const struct lb_target *t, const json_t *probe)
{
	const char *path = model_str(probe, "properties.requestPath");
	bool tcp = model_is(probe, "properties.protocol", "Tcp");
	json_int_t threshold = json_integer_value(model_at(probe, "properties.probeThreshold")),
		   fails = json_integer_value(model_at(probe, "properties.numberOfProbes"));
	struct buf b = { 0 };

	put_u64(&b, t->id);
	put_u32(&b, t->b->vnet);
	put_u8(&b, t->ip.family);
	buf_add(&b, t->ip.b, 16);
	put_u16(&b, (uint16_t)json_integer_value(model_at(probe, "properties.port")));
	put_u8(&b, tcp ? 0 : model_is(probe, "properties.protocol", "Http") ? 1 : 2);
	put_u32(&b, (uint32_t)json_integer_value(model_at(probe, "properties.intervalInSeconds")));
	put_u16(&b, (uint16_t)threshold);
	put_u16(&b, (uint16_t)(threshold > 1 ? threshold : fails ? fails : 1));
	put_u8(&b, t->state == LB_UP);
	put_str(&b, path);
	channel_send(home_channel(t->b->vnet, ROLE_PROBE), MSG_PROBE_SET, &b, -1);
	buf_fini(&b);
}

static void send_outside(const struct lb_target *t)
{
	struct buf b = { 0 };

	put_u64(&b, t->id);
	put_u32(&b, KOBJ_NS_GATEWAY);
	put_u8(&b, t->ip.family);
	buf_add(&b, t->ip.b, 16);
	put_u16(&b, t->port);
	put_u8(&b, 0);
	put_u32(&b, OUTSIDE_INTERVAL);
	put_u16(&b, 1);
	put_u16(&b, 1);
	put_u8(&b, t->state == LB_UP);
	put_str(&b, "");
	channel_send(home_channel(t->b->vnet, ROLE_PROBE), MSG_PROBE_SET, &b, -1);
	buf_fini(&b);
}

static struct lb_target *add(struct balancer *b, const char *probe, const struct ip *ip)
{
	struct lb_target *t = calloc(1, sizeof(*t));

	b->targets = realloc(b->targets, (b->n_targets + 1) * sizeof(struct lb_target *));
	if (n_ids == cap_ids) {
		cap_ids = cap_ids ? cap_ids * 2 : 64;
		by_id = realloc(by_id, cap_ids * sizeof(struct lb_target *));
	}
	if (!t || !b->targets || !by_id) {
		abort();
	}
	*t = (struct lb_target){ .id = ++last_id, .b = b, .probe = strdup(probe), .ip = *ip };
	snprintf(t->why, sizeof(t->why), "not asked yet");
	b->targets[b->n_targets++] = t;
	by_id[n_ids++] = t;
	where_add(&by_address, number_of(b), ip, (uintptr_t)t);
	return t;
}

void lb_targets_begin(struct balancer *b)
{
	for (size_t i = 0; i < b->n_targets; i++) {
		b->targets[i]->used = false;
	}
}

enum lb_health lb_target(struct balancer *b, const json_t *probe, const struct ip *ip, bool was_in)
{
	const char *name = model_str(probe, "name");
	struct lb_target *t = find(b, name, ip);

	(void)table_number(b->r);
	if (!t) {
		t = add(b, name, ip);
		if (was_in) {
			t->state = LB_UP;
			snprintf(t->why, sizeof(t->why), "took flows before");
		}
	}
	t->used = true;
	if (!t->sent || t->etag != b->r->etag) {
		t->sent = true;
		t->etag = b->r->etag;
		send_target(t, probe);
	}
	return t->state;
}

/* ---- frontends, from outside ---- */

/* Counts the time since the last look to what it was. */
static void count_time(struct lb_target *t)
{
	int64_t now = clock_system.now_ms(&clock_system), since = now - t->turned_ms;

	t->up_ms += t->state == LB_UP ? since : 0;
	t->asked_ms += t->state == LB_UNKNOWN ? 0 : since;
	t->turned_ms = now;
	if (t->asked_ms > OUTSIDE_WINDOW) { /* what was long ago counts half */
		t->up_ms /= 2;
		t->asked_ms /= 2;
	}
}

static struct lb_target *outside_of(const struct balancer *b, const json_t *rule,
                                    const struct ip *ip, char name[static 100])
{
	snprintf(name, 100, OUTSIDE "%.80s", model_str(rule, "name"));
	return find(b, name, ip);
}

void lb_outside(struct balancer *b, const json_t *rule, const struct ip *ip, uint16_t port)
{
	char name[100];

	(void)table_number(b->r);
	struct lb_target *t = outside_of(b, rule, ip, name);
	if (!t) {
		t = add(b, name, ip);
		t->turned_ms = clock_system.now_ms(&clock_system);
	}
	t->used = true;
	if (!t->sent || t->port != port) {
		t->sent = true;
		t->port = port;
		send_outside(t);
	}
}

json_t *lb_available(const struct balancer *b, const json_t *rule, const struct ip *ip)
{
	char name[100];
	struct lb_target *t = b ? outside_of(b, rule, ip, name) : NULL;

	if (!t) {
		return json_null();
	}
	if (t->state == LB_UNKNOWN) { /* silence is told by nobody: it never answered */
		int64_t since = clock_system.now_ms(&clock_system) - t->turned_ms;

		return since < 2000 * OUTSIDE_INTERVAL
		               ? json_null()
		               : json_pack("{s:b, s:f}", "now", 0, "percent", 0.0);
	}
	count_time(t);
	return json_pack("{s:b, s:f}", "now", t->state == LB_UP, "percent",
	                 t->asked_ms         ? 100.0 * (double)t->up_ms / (double)t->asked_ms
	                 : t->state == LB_UP ? 100.0
	                                     : 0.0);
}

static void send_end(const struct lb_target *t)
{
	struct buf m = { 0 };

	put_u64(&m, t->id);
	channel_send(home_channel(t->b->vnet, ROLE_PROBE), MSG_PROBE_DEL, &m, -1);
	buf_fini(&m);
}

static void drop(struct lb_target *t)
{
	size_t i = id_at(t->id);

	send_end(t);
	memmove(&by_id[i], &by_id[i + 1], (n_ids - i - 1) * sizeof(struct lb_target *));
	n_ids--;
	where_drop(&by_address, number_of(t->b), &t->ip, (uintptr_t)t);
	free(t->probe);
	free(t);
}

void lb_targets_end(struct balancer *b)
{
	for (size_t i = b->n_targets; i-- > 0;) {
		if (!b->targets[i]->used) {
			drop(b->targets[i]);
			b->targets[i] = b->targets[--b->n_targets];
		}
	}
	if (b->n_targets == 0) {
		free(b->targets);
		b->targets = NULL;
	}
}

enum lb_health lb_health_of(const struct resource *r, const char *probe, const struct ip *ip,
                            char why[static 64])
{
	const struct lb_target *t = r->balancer ? find(r->balancer, probe, ip) : NULL;

	snprintf(why, 64, "%s", t ? t->why : "");
	return t ? t->state : LB_UNKNOWN;
}

static void send_any(const struct lb_target *t)
{
	const json_t *probe = lb_named(t->b->r->doc, LB_PROBES, t->probe, NULL);

	if (t->port) {
		send_outside(t);
	} else if (probe) {
		send_target(t, probe);
	}
}

void balancer_probes(uint32_t vnet, bool asked)
{
	for (size_t i = 0; i < n_ids; i++) {
		if (by_id[i]->b->vnet == vnet) {
			(asked ? send_any : send_end)(by_id[i]);
		}
	}
}

void balancer_probe_up(const struct node *n)
{
	struct channel *c = node_channel(n, ROLE_PROBE);

	channel_send(c, MSG_PROBE_BEGIN, NULL, -1);
	for (size_t i = 0; i < n_ids; i++) {
		if (home_of(by_id[i]->b->vnet) == n) {
			send_any(by_id[i]);
		}
	}
	channel_send(c, MSG_PROBE_END, NULL, -1);
}

void balancer_probe_said(const struct node *n, uint64_t id, bool up, const char *why)
{
	size_t i = id_at(id);
	struct lb_target *t = i < n_ids && by_id[i]->id == id ? by_id[i] : NULL;
	char text[IP_TEXT];

	if (!t || home_of(t->b->vnet) != n) {
		return; /* forgotten, or elsewhere meanwhile */
	}
	bool was = t->state == LB_UP;
	if (t->port) {
		count_time(t);
	}
	t->state = up ? LB_UP : LB_DOWN;
	snprintf(t->why, sizeof(t->why), "%.63s", why);
	if (was != up) {
		log_info("lb.health", LOG_STR("id", t->b->r->id), LOG_STR("probe", t->probe),
		         LOG_STR("backend", ip_format(&t->ip, text)), LOG_NUM("up", up),
		         LOG_STR("reason", t->why));
		if (!t->port) {
			lb_touch(t->b);
		}
	}
}
