/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See usage.h: accounting.
 */
#include "netd/api/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/fabric.h"
#include "netd/meter.h"

#define PAGE_SIZE 1000
#define DAY_MS    86400000

struct job {
	struct http_request *r;
	char subscription[160], scope[700], after[300];
	int64_t from, to;
	json_t *value;
	size_t n;
	char place[300], next[300];
};

static bool on_period(void *arg, const struct meter_period *p, const char *place)
{
	struct job *j = arg;
	AUTO_FREE char *low = table_key(p->id);
	size_t n = strlen(j->scope);
	char start[40], end[40];

	if (strncmp(low, j->scope, n) != 0 || (n && low[n] != '\0' && low[n] != '/')) {
		return true; /* not what the caller sees */
	}
	if (j->n >= PAGE_SIZE && strcmp(place, j->place) != 0) {
		snprintf(j->next, sizeof(j->next), "%s", place);
		return false;
	}
	snprintf(j->place, sizeof(j->place), "%s", place);
	j->n++;
	clock_format(p->start, start, sizeof(start));
	clock_format(p->end, end, sizeof(end));
	double s = (double)p->ms / 1000;
	json_array_append_new(
		j->value,
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "id",
	                  p->id, "name", strrchr(p->id, '/') + 1, "start", start, "end", end,
	                  "running", p->runs, "seconds", s, "cpu", p->cpu, "memoryInGB", p->memory,
	                  "cpuSeconds", p->cpu * s, "memoryInGBSeconds", p->memory * s, "bytesIn",
	                  (json_int_t)p->bytes_in, "bytesOut", (json_int_t)p->bytes_out));
	return true;
}

static void job_free(struct job *j)
{
	json_decref(j->value);
	free(j);
}

static void on_told(void *arg, const struct err *e)
{
	struct job *j = arg;
	char from[40], to[40], now[40], link[1200];

	if (e) {
		api_error(j->r, e);
		job_free(j);
		return;
	}
	clock_format(j->from, from, sizeof(from));
	clock_format(j->to, to, sizeof(to));
	clock_format(meter_now(), now, sizeof(now));
	json_t *answer = json_pack("{s:s, s:s, s:s, s:O}", "from", from, "to", to, "now", now,
	                           "value", j->value);
	if (j->next[0]) {
		snprintf(link, sizeof(link),
		         "%s://%s/subscriptions/%s/providers/Microsoft.ContainerInstance/usage"
		         "?api-version=2023-05-01&from=%s&to=%s&$skiptoken=%s",
		         j->r->tls ? "https" : "http", j->r->host, j->subscription, from, to,
		         j->next);
		json_object_set_new(answer, "nextLink", json_string(link));
	}
	api_json(j->r, 200, "", answer);
	job_free(j);
}

/* All that is told is stored by now, the clock's marks too. */
static void on_stored(void *arg, const struct err *e, uint64_t rev)
{
	struct job *j = arg;

	(void)rev;
	control_stored(e);
	if (e) {
		on_told(j, e);
		return;
	}
	meter_periods(j->subscription, j->from, &j->to, j->after, on_period, on_told, j);
}

static void on_counted(void *arg)
{
	store_submit(plane.store, NULL, 0, on_stored, arg);
}

/* A time of the query; false: answered. */
static bool time_of(struct http_request *r, const char *name, int64_t *to)
{
	char text[64] = "";
	struct err e = ERR_INIT;

	if (!http_query(r, name, text, sizeof(text)) || clock_parse(text, to)) {
		return true;
	}
	err_set_at(&e, ERR_INVALID, "InvalidQueryParameter", name,
	           "'%s' must be a time like 2026-11-24T00:00:00Z.", name);
	api_error(r, &e);
	return false;
}

void usage_request(struct http_request *r, const struct caller *who, const char *subscription)
{
	int64_t to = INT64_MAX, from = INT64_MIN;
	struct err e = ERR_INIT;

	if (strcmp(r->method, "GET") != 0) {
		err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
		api_error(r, &e);
		return;
	}
	if (!time_of(r, "to", &to) || !time_of(r, "from", &from)) {
		return;
	}
	from = from == INT64_MIN ? (to == INT64_MAX ? meter_now() : to) - DAY_MS : from;
	if (from >= to) {
		err_set_at(&e, ERR_INVALID, "InvalidQueryParameter", "from",
		           "'from' must be before 'to'.");
		api_error(r, &e);
		return;
	}
	struct job *j = calloc(1, sizeof(*j));
	if (!j) {
		abort();
	}
	j->r = r;
	j->from = from;
	j->to = to;
	j->value = json_array();
	AUTO_FREE char *low = table_key(subscription);
	snprintf(j->subscription, sizeof(j->subscription), "%s", low);
	snprintf(j->scope, sizeof(j->scope), "%s", who->scope);
	(void)http_query(r, "$skiptoken", j->after, sizeof(j->after));
	meter_ask_all(j->subscription);
	fabric_wait(on_counted, j);
}
