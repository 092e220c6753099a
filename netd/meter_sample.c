/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What goes over groups' ports: into their periods, and into samples of a minute; with the cpu and memory that
 * a runtime reports. See meter.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/group_parts.h"
#include "netd/home.h"
#include "netd/meter.h"
#include "netd/meter_parts.h"
#include "netd/subnet.h"

#define TOKEN     0x80000000u /* what the engine is asked from here; counters.c counts from 1 */
#define MINUTE_MS 60000

struct group_samples {
	struct meter_sample v[METER_MINUTES];
	int64_t at_ms; /* of the numbers that the next ones are compared with; 0: none */
	int64_t in, out;
	double cpu, memory; /* sums of what was reported since */
	int reports;
};

static int64_t minute; /* that was asked for */

/* NULL: all nodes that the VNet is on. */
static void ask(struct node *n, uint32_t vnet, uint32_t what)
{
	struct buf b = { 0 };

	put_u32(&b, TOKEN);
	put_u32(&b, vnet);
	put_u32(&b, what);
	if (n) {
		node_tell(n, MSG_COUNTERS, &b, -1);
	} else {
		home_tell_all(vnet, MSG_COUNTERS, &b);
	}
	buf_fini(&b);
}

static uint32_t number(const struct resource *r, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(r->status, key));
}

void meter_ask_group(const struct resource *r)
{
	if (number(r, "vnet") && r->group->attached) {
		ask(group_node(r->group), number(r, "vnet"), number(r, "serial"));
	}
}

void meter_ask_all(const char *subscription)
{
	char prefix[200];
	uint32_t *asked = NULL, last = 0;
	size_t n = 0;

	snprintf(prefix, sizeof(prefix), "/subscriptions/%.160s%s",
	         subscription ? subscription : "", subscription ? "/" : "");
	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0; i++) {
		const struct resource *r = table_at(i);
		uint32_t vnet = r->group ? number(r, "vnet") : 0;
		bool known = vnet == 0 || vnet == last || !subnet_any(vnet);

		for (size_t k = 0; k < n && !known; k++) {
			known = asked[k] == vnet;
		}
		if (known) {
			continue;
		}
		last = vnet;
		uint32_t *v = realloc(asked, (n + 1) * sizeof(*v));
		if (!v) {
			abort();
		}
		asked = v;
		asked[n++] = vnet;
		ask(NULL, vnet, COUNTERS_PORTS);
	}
	free(asked);
}

/* ---- numbers ---- */

/* A link that was made anew counts from nothing. */
static int64_t since(const json_t *list, size_t i, int64_t now)
{
	int64_t was = json_integer_value(json_array_get(list, i));

	return now >= was ? now - was : now;
}

static void add(json_t *period, const char *key, int64_t n)
{
	json_object_set_new(
		period, key,
		json_integer(json_integer_value(json_object_get(period, key)) + (json_int_t)n));
}

static struct group_samples *samples_of(struct group *g)
{
	if (!g->samples) {
		g->samples = calloc(1, sizeof(*g->samples));
		if (!g->samples) {
			abort();
		}
	}
	return g->samples;
}

static void sample(struct group *g, int64_t in, int64_t out)
{
	struct group_samples *s = samples_of(g);
	int64_t now = clock_system.now_ms(&clock_system), took = now - s->at_ms;
	int64_t last = meter_now() / MINUTE_MS - 1; /* the one that is over */

	s->in += in;
	s->out += out;
	if (s->at_ms == 0) {
		s->at_ms = now;
		s->in = s->out = 0;
		return;
	}
	if (took < 1000 || s->v[last % METER_MINUTES].minute == last) {
		return; /* asked for something else: it counts for the minute under way */
	}
	s->v[last % METER_MINUTES] = (struct meter_sample){
		.minute = last,
		.in = (float)((double)s->in * 1000 / (double)took),
		.out = (float)((double)s->out * 1000 / (double)took),
		.cpu = s->reports ? (float)(s->cpu / s->reports) : -1,
		.memory = s->reports ? (float)(s->memory / s->reports) : -1,
	};
	s->at_ms = now;
	s->in = s->out = 0;
	s->cpu = s->memory = 0;
	s->reports = 0;
}

/* Of groups on that node alone: no node tells of others'. */
static void counted(const struct node *n, const struct kcount *c)
{
	struct group *g = c->kind == KCOUNT_PORT && c->name[0] == 'p'
	                          ? group_by_serial((uint32_t)strtoul(c->name + 1, NULL, 10))
	                          : NULL;
	/* The port gets what the group sends. */
	int64_t in = (int64_t)c->back_bytes, out = (int64_t)c->bytes;

	if (!g || group_node(g) != n) {
		return;
	}
	json_t *m = json_object_get(g->r->status, "meter");
	json_t *closed = json_object_get(m, "closed"), *open = json_object_get(m, "open"),
	       *link = json_object_get(m, "link");
	int64_t more_in = since(link, 0, in), more_out = since(link, 1, out);
	/* The last packets of one that stops come after its end. */
	json_t *period = open ? open : json_array_get(closed, json_array_size(closed) - 1);
	if (period && (more_in || more_out)) {
		add(period, "in", more_in);
		add(period, "out", more_out);
	}
	json_object_set_new(m, "link", json_pack("[I, I]", (json_int_t)in, (json_int_t)out));
	sample(g, more_in, more_out);
}

bool meter_counted(const struct node *n, uint32_t token, struct reader *r)
{
	struct kcount c;

	if (token != TOKEN) {
		return false;
	}
	bool last = get_u8(r);
	while (!last && r->left && !r->failed) {
		get_count(r, &c);
		if (!r->failed) {
			counted(n, &c);
		}
	}
	return true;
}

void meter_reported(const json_t *m)
{
	const struct resource *x = table_get(model_str(m, "id"));
	double cpu = 0, memory = 0;
	const char *name;
	json_t *c;

	if (!x || !x->group) {
		return;
	}
	json_object_foreach(json_object_get(m, "containers"), name, c)
	{
		cpu += json_number_value(json_object_get(c, "cpu"));
		memory += json_number_value(json_object_get(c, "memory"));
	}
	struct group_samples *s = samples_of(x->group);
	s->cpu += cpu;
	s->memory += memory;
	s->reports++;
}

void meter_sample_sweep(void)
{
	int64_t now = meter_now() / MINUTE_MS;

	if (now != minute && node_own() && node_synced(node_own())) {
		minute = now;
		if (plane.groups > 0) {
			meter_ask_all(NULL);
		}
	}
}

const struct meter_sample *meter_samples(const struct resource *r)
{
	return r->group && r->group->samples ? r->group->samples->v : NULL;
}

void meter_forget(struct group *g)
{
	free(g->samples);
	g->samples = NULL;
}
