/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See usage.h: metrics of a container group, as Azure Monitor's REST API tells them (2018-01-01: Metrics - List).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/api/usage.h"
#include "netd/meter.h"

#define MINUTE_MS 60000
#define HOUR_MS   3600000

enum metric {
	METRIC_CPU,
	METRIC_MEMORY,
	METRIC_IN,
	METRIC_OUT
};
static const struct {
	const char *name, *words, *unit, *about;
} metrics[] = {
	[METRIC_CPU] = { "CpuUsage", "CPU Usage", "Count",
	                 "CPU usage on all cores, in millicores." },
	[METRIC_MEMORY] = { "MemoryUsage", "Memory Usage", "Bytes", "Total memory usage." },
	[METRIC_IN] = { "NetworkBytesReceivedPerSecond", "Network Bytes Received Per Second",
	                "Bytes", "The network bytes received per second." },
	[METRIC_OUT] = { "NetworkBytesTransmittedPerSecond", "Network Bytes Transmitted Per Second",
	                 "Bytes", "The network bytes transmitted per second." },
};
static const char *const aggregations[] = { "Average", "Minimum", "Maximum", "Total", "Count" };

struct question {
	bool metric[ARRAY_N(metrics)], aggregation[ARRAY_N(aggregations)];
	int64_t from, to, step_ms;
};

/* Names in a comma-separated list, all of `names`; 0 and none set: the list was absent. -1: one is none of them. */
static int read_names(const struct http_request *r, const char *key, const char *const *names,
                      size_t n, bool *set, struct err *e)
{
	char text[400] = "", *save = NULL;

	(void)http_query(r, key, text, sizeof(text));
	for (char *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		p += strspn(p, " ");
		while (i < n && strcasecmp(names[i], p) != 0) {
			i++;
		}
		if (i == n) {
			return err_set_at(e, ERR_INVALID, "BadRequest", key,
			                  "'%.60s' is none of those that '%s' accepts; "
			                  "metricDefinitions lists the metrics.",
			                  p, key);
		}
		set[i] = true;
	}
	return 0;
}

/* "FROM/TO"; without it the last hour. */
static int timespan(const struct http_request *r, struct question *q, struct err *e)
{
	char text[100] = "", twice[100], *slash;

	q->to = meter_now();
	q->from = q->to - HOUR_MS;
	if (!http_query(r, "timespan", text, sizeof(text))) {
		return 0;
	}
	if (strchr(text, '%') && http_decode(text, strlen(text), twice, sizeof(twice))) {
		memcpy(text, twice, sizeof(text)); /* az 2.45 encodes it twice */
	}
	slash = strchr(text, '/');
	if (slash) {
		*slash++ = '\0';
	}
	int64_t s;
	bool good = slash && clock_parse(text, &q->from);
	if (good && slash[0] == 'P') {
		good = clock_duration(slash, &s);
		q->to = q->from + s * 1000;
	} else if (good) {
		good = clock_parse(slash, &q->to);
	}
	return good && q->from < q->to
	               ? 0
	               : err_set_at(e, ERR_INVALID, "BadRequest", "timespan",
	                            "'timespan' must be two times with '/' between, like "
	                            "2026-11-24T00:00:00Z/2026-11-24T01:00:00Z.");
}

static int read_question(const struct http_request *r, struct question *q, struct err *e)
{
	char text[40] = "";
	int64_t s = 60;
	const char *names[ARRAY_N(metrics)];
	bool any = false;

	for (size_t i = 0; i < ARRAY_N(metrics); i++) {
		names[i] = metrics[i].name;
	}
	if (read_names(r, "metricnames", names, ARRAY_N(metrics), q->metric, e) < 0 ||
	    read_names(r, "aggregation", aggregations, ARRAY_N(aggregations), q->aggregation, e) <
	            0 ||
	    timespan(r, q, e) < 0) {
		return -1;
	}
	if (http_query(r, "interval", text, sizeof(text)) &&
	    (!clock_duration(text, &s) || s < 60 || s % 60 != 0)) {
		return err_set_at(e, ERR_INVALID, "BadRequest", "interval",
		                  "'interval' must be whole minutes, like PT1M or PT1H.");
	}
	q->step_ms = s * 1000;
	for (size_t i = 0; i < ARRAY_N(metrics); i++) {
		any = any || q->metric[i];
	}
	q->metric[METRIC_CPU] = q->metric[METRIC_CPU] || !any; /* Azure's: the first */
	any = false;
	for (size_t i = 0; i < ARRAY_N(aggregations); i++) {
		any = any || q->aggregation[i];
	}
	q->aggregation[0] = q->aggregation[0] || !any;
	return 0;
}

static float value_of(const struct meter_sample *s, enum metric m)
{
	return m == METRIC_CPU      ? s->cpu
	       : m == METRIC_MEMORY ? s->memory
	       : m == METRIC_IN     ? s->in
	                            : s->out;
}

/* One step of a series: what is known of its minutes. */
static json_t *datum(const struct meter_sample *v, enum metric m, const struct question *q,
                     int64_t at)
{
	static const char *const keys[] = { "average", "minimum", "maximum", "total", "count" };
	double sum = 0, least = 0, most = 0;
	int64_t first = at / MINUTE_MS, end = (at + q->step_ms) / MINUTE_MS;
	char stamp[40];
	int n = 0;

	/* No more than there are samples: a step may be years. */
	for (size_t i = 0; v && i < METER_MINUTES; i++) {
		double x = (double)value_of(&v[i], m);

		if (v[i].minute < first || v[i].minute >= end || v[i].minute == 0 || x < 0) {
			continue;
		}
		least = n == 0 || x < least ? x : least;
		most = n == 0 || x > most ? x : most;
		sum += x;
		n++;
	}
	clock_format(at, stamp, sizeof(stamp));
	json_t *d = json_pack("{s:s}", "timeStamp", stamp);
	const double values[] = { n ? sum / n : 0, least, most, sum, n };
	for (size_t i = 0; i < ARRAY_N(keys) && n > 0; i++) {
		if (q->aggregation[i]) {
			json_object_set_new(d, keys[i], json_real(values[i]));
		}
	}
	return d;
}

static json_t *series(const struct resource *x, enum metric m, const struct question *q)
{
	const struct meter_sample *v = meter_samples(x);
	json_t *data = json_array();
	char id[1400];
	/* Samples are of the last METER_MINUTES: nothing before is told, step by step. */
	int64_t oldest = meter_now() - METER_MINUTES * (int64_t)MINUTE_MS;
	int64_t from = q->from > oldest ? q->from : oldest;

	for (int64_t at = from / MINUTE_MS * MINUTE_MS; at < q->to && at <= meter_now();
	     at += q->step_ms) {
		json_array_append_new(data, datum(v, m, q, at));
	}
	snprintf(id, sizeof(id), "%s/providers/Microsoft.Insights/metrics/%s", x->id,
	         metrics[m].name);
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:[{s:[], s:o}], s:s}", "id", id,
	                 "type", "Microsoft.Insights/metrics", "name", "value", metrics[m].name,
	                 "localizedValue", metrics[m].words, "displayDescription", metrics[m].about,
	                 "unit", metrics[m].unit, "timeseries", "metadatavalues", "data", data,
	                 "errorCode", "Success");
}

void metrics_request(struct http_request *r, const struct resource *x)
{
	struct question q = { 0 };
	struct err e = ERR_INIT;
	char from[40], to[40], span[100], interval[40];

	if (read_question(r, &q, &e) < 0) {
		api_error(r, &e);
		return;
	}
	json_t *value = json_array();
	for (size_t i = 0; i < ARRAY_N(metrics); i++) {
		if (q.metric[i]) {
			json_array_append_new(value, series(x, (enum metric)i, &q));
		}
	}
	clock_format(q.from, from, sizeof(from));
	clock_format(q.to, to, sizeof(to));
	snprintf(span, sizeof(span), "%s/%s", from, to);
	snprintf(interval, sizeof(interval), "PT%lldM", (long long)(q.step_ms / MINUTE_MS));
	api_json(r, 200, "",
	         json_pack("{s:i, s:s, s:s, s:s, s:s, s:o}", "cost", 0, "timespan", span,
	                   "interval", interval, "namespace",
	                   "Microsoft.ContainerInstance/containerGroups", "resourceregion",
	                   plane.config->region, "value", value));
}

void metrics_definitions(struct http_request *r, const struct resource *x)
{
	json_t *value = json_array();

	for (size_t i = 0; i < ARRAY_N(metrics); i++) {
		json_array_append_new(
			value,
			json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:[s,s,s,s,s], "
		                  "s:[{s:s, s:s}]}",
		                  "resourceId", x->id, "namespace",
		                  "Microsoft.ContainerInstance/containerGroups", "name", "value",
		                  metrics[i].name, "localizedValue", metrics[i].words, "unit",
		                  metrics[i].unit, "displayDescription", metrics[i].about,
		                  "primaryAggregationType", "Average", "supportedAggregationTypes",
		                  "Average", "Minimum", "Maximum", "Total", "Count",
		                  "metricAvailabilities", "timeGrain", "PT1M", "retention",
		                  "PT3H"));
	}
	api_json(r, 200, "", json_pack("{s:o}", "value", value));
}
