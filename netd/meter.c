/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See meter.h: periods and the clock. meter_sample.c has the numbers.
 */
#include "netd/meter.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/own.h"
#include "netd/group_parts.h"
#include "netd/meter_parts.h"

#define BEAT_MS    10000
#define OLD_MS     3600000 /* between looks for old rows */
#define DAY_MS     86400000
#define CLOSED_MAX 16  /* periods in a status before they get a row */
#define SPLIT_STEP 200 /* groups a sweep */
#define ROWS_STEP  100 /* as many as etcd takes at once */

static struct {
	struct meter_clock clock;
	char boot[METER_BOOT];
	int64_t beat_ms, old_ms, day;
	size_t split; /* groups whose day is not over yet are from here on; plane.n: none */
	bool many;    /* some group has CLOSED_MAX periods in its status */
} self;

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

int64_t meter_now(void)
{
	return meter_clock_time(&self.clock, self.boot, now_ms());
}

/* ---- clock ---- */

static void store_clock(void)
{
	json_t *marks = json_array();

	for (size_t i = 0; i < self.clock.n; i++) {
		const struct meter_mark *m = &self.clock.v[i];

		json_array_append_new(marks,
		                      json_pack("[s, I, I, I]", m->boot, (json_int_t)m->at_ms,
		                                (json_int_t)m->time_ms, (json_int_t)m->seen_ms));
	}
	json_t *row = json_pack("{s:o}", "marks", marks);
	AUTO_FREE char *text = json_dumps(row, JSON_COMPACT);

	json_decref(row);
	store_submit(plane.store, &(struct store_op){ .key = "meter/clock", .value = text }, 1,
	             control_saved, NULL);
}

void meter_load(const json_t *row)
{
	json_t *m;
	size_t i;

	json_array_foreach(json_object_get(row, "marks"), i, m)
	{
		meter_clock_add(&self.clock, json_string_value(json_array_get(m, 0)),
		                json_integer_value(json_array_get(m, 1)),
		                json_integer_value(json_array_get(m, 2)),
		                json_integer_value(json_array_get(m, 3)));
	}
}

static bool tell(void)
{
	return meter_clock_tell(&self.clock, self.boot, now_ms(),
	                        clock_system.wall_ms(&clock_system));
}

void meter_start(void)
{
	AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, self.boot, METER_BOOT - 1) : -1;

	self.boot[n > 0 ? n : 0] = '\0';
	if (tell()) {
		store_clock();
	}
	self.day = meter_now() / DAY_MS;
	self.split = SIZE_MAX;
}

/* ---- periods ---- */

static json_t *meter_of(const struct resource *r)
{
	json_t *m = json_object_get(r->status, "meter");

	if (!m) {
		m = json_object();
		json_object_set_new(r->status, "meter", m);
	}
	return m;
}

static void end_at(struct resource *r, int64_t at_ms)
{
	json_t *m = meter_of(r), *open = json_object_get(m, "open");
	json_t *closed = json_object_get(m, "closed");

	if (!open) {
		return;
	}
	if (!closed) {
		closed = json_array();
		json_object_set_new(m, "closed", closed);
	}
	json_object_set_new(open, "to", json_integer((json_int_t)at_ms));
	json_array_append(closed, open);
	json_object_del(m, "open");
	self.many = self.many || json_array_size(closed) >= CLOSED_MAX;
}

void meter_end(struct resource *r)
{
	end_at(r, now_ms());
}

void meter_begin(struct resource *r)
{
	json_t *m = meter_of(r);
	double amounts[2] = { 0, 0 };

	if (json_object_get(m, "open") || json_is_true(json_object_get(r->status, "rests"))) {
		return;
	}
	tenant_amounts(r->doc, 1, amounts);
	json_object_set_new(m, "open",
	                    json_pack("{s:s, s:s, s:I, s:f, s:f, s:i, s:i}", "id", r->id, "boot",
	                              self.boot, "from", (json_int_t)now_ms(), "cpu", amounts[0],
	                              "memory", amounts[1], "in", 0, "out", 0));
}

void meter_change(struct resource *r)
{
	const json_t *open = json_object_get(meter_of(r), "open");
	double amounts[2] = { 0, 0 };

	tenant_amounts(r->doc, 1, amounts);
	/* Both are what the same sum gave. */
	if (open && (json_number_value(json_object_get(open, "cpu")) < amounts[0] ||
	             json_number_value(json_object_get(open, "cpu")) > amounts[0] ||
	             json_number_value(json_object_get(open, "memory")) < amounts[1] ||
	             json_number_value(json_object_get(open, "memory")) > amounts[1])) {
		meter_end(r);
	}
	meter_begin(r);
}

bool meter_restore(struct resource *r)
{
	const json_t *open = json_object_get(meter_of(r), "open");
	bool runs = !r->deleting && !json_is_true(json_object_get(r->status, "stopped")) &&
	            !json_is_true(json_object_get(r->status, "rests"));

	if (open && strcmp(model_str(open, "boot"), self.boot) != 0) {
		int64_t at = json_integer_value(json_object_get(open, "from")),
			seen = meter_clock_seen(&self.clock, model_str(open, "boot"));

		end_at(r, seen > at ? seen : at);
		json_object_del(meter_of(r), "link"); /* it counts from nothing again */
	} else if (open || !runs) {
		return false;
	}
	if (runs) {
		meter_begin(r);
	}
	return true;
}

/* ---- rows ---- */

static const char *subscription_of(const struct resource *r, char to[160])
{
	const char *s = r->key + strlen("/subscriptions/");

	snprintf(to, 160, "%.*s", (int)strcspn(s, "/"), s);
	return to;
}

char *meter_take_row(struct resource *r, char **key)
{
	static unsigned counter;
	json_t *m = meter_of(r), *closed = json_object_get(m, "closed"), *p;
	int64_t end = 0;
	char sub[160];
	size_t i;

	*key = NULL;
	json_array_foreach(closed, i, p)
	{
		int64_t t = meter_clock_time(&self.clock, model_str(p, "boot"),
		                             json_integer_value(json_object_get(p, "to")));

		end = t > end ? t : end;
	}
	if (json_array_size(closed) == 0) {
		return NULL;
	}
	json_t *row = json_pack("{s:O}", "periods", closed);
	char *text = json_dumps(row, JSON_COMPACT);

	json_decref(row);
	json_object_del(m, "closed");
	/* The number of a group is never given again, but a group may have several rows of one moment. */
	if (asprintf(key, "usage/%s/%013lld/%lld-%u-%d", subscription_of(r, sub), (long long)end,
	             (long long)json_integer_value(json_object_get(r->status, "serial")), ++counter,
	             (int)getpid()) < 0) {
		abort();
	}
	return text;
}

/* What has many periods gets them out of its own row. */
static void spill(struct resource *r)
{
	AUTO_FREE char *key = NULL;
	AUTO_FREE char *text = meter_take_row(r, &key);
	AUTO_FREE char *own = table_row(r);

	store_submit(plane.store,
	             (struct store_op[]){ { .key = key, .value = text },
	                                  { .key = r->key, .value = own } },
	             2, control_saved, NULL);
}

/* Days end for all that runs: what is spread over a period is spread over no more than one. */
static void split_days(void)
{
	int64_t day = meter_now() / DAY_MS;

	if (day != self.day) {
		self.day = day;
		self.split = 0;
	}
	for (int i = 0; i < SPLIT_STEP && self.split < plane.n; i++, self.split++) {
		struct resource *r = plane.v[self.split];

		if (!r->group || r->group->deleting || !json_object_get(meter_of(r), "open")) {
			continue;
		}
		meter_end(r);
		meter_begin(r);
		group_save(r->group);
	}
}

/* Rows that go: of one subscription after the other. */
static struct old {
	char sub[160], keys[ROWS_STEP][300];
	size_t n;
	int64_t until;
	bool under_way;
} old;

static bool old_key(const char *key, char sub[160], int64_t *end)
{
	int at = 0;
	long long t;

	if (sscanf(key, "usage/%159[^/]/%13lld%n", sub, &t, &at) != 2) {
		return false;
	}
	*end = t;
	return true;
}

static int on_first(void *arg, const char *key, uint64_t rev, const char *value)
{
	int64_t end;

	(void)arg;
	(void)rev;
	(void)value;
	(void)old_key(key, old.sub, &end);
	return -1;
}

static int on_old(void *arg, const char *key, uint64_t rev, const char *value)
{
	(void)arg;
	(void)rev;
	(void)value;
	snprintf(old.keys[old.n++], sizeof(old.keys[0]), "%.299s", key);
	return 0;
}

static void on_subscription(void *arg, const struct err *e, uint64_t rev);

static void next_subscription(const char *from)
{
	old.sub[0] = '\0';
	store_range(plane.store, from, "usage0", 1, on_first, on_subscription, NULL);
}

static void on_dropped(void *arg, const struct err *e, uint64_t rev)
{
	char from[400];

	(void)arg;
	(void)rev;
	control_stored(e);
	if (e) {
		old.under_way = false; /* again in an hour */
		return;
	}
	snprintf(from, sizeof(from),
	         old.n == ROWS_STEP ? "usage/%s/" : "usage/%s0", /* '0' follows '/' */
	         old.sub);
	next_subscription(from);
}

static void on_rows(void *arg, const struct err *e, uint64_t rev)
{
	struct store_op ops[ROWS_STEP] = { 0 };

	(void)arg;
	(void)rev;
	if (e) {
		old.under_way = false;
		return;
	}
	for (size_t i = 0; i < old.n; i++) {
		ops[i].key = old.keys[i];
	}
	store_submit(plane.store, ops, old.n, on_dropped, NULL);
}

static void on_subscription(void *arg, const struct err *e, uint64_t rev)
{
	char from[400], to[400];

	(void)arg;
	(void)rev;
	if (e || !old.sub[0]) {
		old.under_way = false;
		if (!e) {
			meter_clock_prune(&self.clock, old.until);
		}
		return;
	}
	old.n = 0;
	snprintf(from, sizeof(from), "usage/%s/", old.sub);
	snprintf(to, sizeof(to), "usage/%s/%013lld", old.sub,
	         (long long)(old.until > 0 ? old.until : 0));
	store_range(plane.store, from, to, ROWS_STEP, on_old, on_rows, NULL);
}

/* Rows that ended longer ago than they are kept. */
static void drop_old(void)
{
	if (!old.under_way) {
		old.under_way = true;
		old.until = meter_now() - plane.config->usage_days * DAY_MS;
		next_subscription("usage/");
	}
}

void meter_sweep(int64_t now)
{
	bool more = tell();

	if (plane.stopped) {
		return;
	}
	if (more || (now - self.beat_ms >= BEAT_MS && plane.groups > 0)) {
		self.beat_ms = now;
		store_clock();
	}
	split_days();
	meter_sample_sweep();
	if (now - self.old_ms >= OLD_MS) {
		self.old_ms = now;
		drop_old();
	}
	for (size_t i = 0; self.many && i < plane.n; i++) {
		struct resource *r = plane.v[i];

		if (r->group && !r->group->deleting &&
		    json_array_size(json_object_get(json_object_get(r->status, "meter"),
		                                    "closed")) >= CLOSED_MAX) {
			spill(r);
		}
	}
	self.many = false;
}

/* ---- what is told ---- */

struct telling {
	int64_t from, to;
	int64_t now; /* when it was asked for: periods that run end then; clock_system's milliseconds */
	bool (*fn)(void *arg, const struct meter_period *p, const char *place);
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

/* Bytes of a period are spread evenly over it, so that windows that follow each other add up. */
static int64_t part(int64_t bytes, int64_t ms, int64_t whole)
{
	return whole > 0 ? (int64_t)((__int128)bytes * ms / whole) : 0;
}

static bool tell_period(struct telling *t, const json_t *p, const char *place)
{
	const json_t *ended = json_object_get(p, "to");
	const char *boot = model_str(p, "boot");
	int64_t begin = json_integer_value(json_object_get(p, "from")),
		end = ended ? json_integer_value(ended) : t->now;
	int64_t in = json_integer_value(json_object_get(p, "in")),
		out = json_integer_value(json_object_get(p, "out"));
	int64_t all = meter_clock_overlap(&self.clock, boot, begin, end, INT64_MIN, INT64_MAX);
	int64_t before = meter_clock_overlap(&self.clock, boot, begin, end, INT64_MIN, t->from);
	int64_t until = meter_clock_overlap(&self.clock, boot, begin, end, INT64_MIN, t->to);
	struct meter_period told = {
		.id = model_str(p,
		                "id"), /* a group that was another's, of a standby pool, has both */
		.start = meter_clock_time(&self.clock, boot, begin),
		.end = meter_clock_time(&self.clock, boot, end),
		.ms = until - before,
		.runs = !ended,
		.cpu = json_number_value(json_object_get(p, "cpu")),
		.memory = json_number_value(json_object_get(p, "memory")),
		.bytes_in = part(in, until, all) - part(in, before, all),
		.bytes_out = part(out, until, all) - part(out, before, all),
	};

	told.start = told.start < t->from ? t->from : told.start;
	told.end = told.end > t->to ? t->to : told.end;
	return told.ms <= 0 || t->fn(t->arg, &told, place);
}

static int on_row(void *arg, const char *key, uint64_t rev, const char *value)
{
	json_t *row = json_loads(value, 0, NULL), *p;
	struct telling *t = arg;
	size_t i;

	(void)rev;
	json_array_foreach(json_object_get(row, "periods"), i, p)
	{
		if (!tell_period(t, p, key)) {
			json_decref(row);
			return -1;
		}
	}
	json_decref(row);
	return 0;
}

static bool tell_group(struct telling *t, const struct resource *r)
{
	json_t *m = json_object_get(r->status, "meter"), *open = json_object_get(m, "open"), *p;
	size_t i;

	json_array_foreach(json_object_get(m, "closed"), i, p)
	{
		if (!tell_period(t, p, r->key)) {
			return false;
		}
	}
	return !open || tell_period(t, open, r->key);
}

static void on_told(void *arg, const struct err *e, uint64_t rev)
{
	struct telling *t = arg;

	(void)rev;
	t->done(t->arg, e);
	free(t);
}

void meter_periods(const char *subscription, int64_t from, int64_t *to, const char *after,
                   bool (*fn)(void *arg, const struct meter_period *p, const char *place),
                   void (*done)(void *arg, const struct err *e), void *arg)
{
	struct telling *t = malloc(sizeof(*t));
	char first[300], last[300], prefix[200];
	bool rows = strncmp(after, "usage/", 6) == 0, more = true;

	if (!t) {
		abort();
	}
	*t = (struct telling){ .from = from, .now = now_ms(), .fn = fn, .done = done, .arg = arg };
	if (*to == INT64_MAX) {
		*to = meter_clock_time(&self.clock, self.boot, t->now);
	}
	t->to = *to;
	snprintf(first, sizeof(first), "usage/%.160s/%013lld", subscription,
	         (long long)(from > 0 ? from : 0));
	snprintf(last, sizeof(last), "usage/%.160s0", subscription);
	snprintf(prefix, sizeof(prefix), "/subscriptions/%.160s/", subscription);
	for (size_t i = table_from(after[0] ? after : prefix);
	     more && !rows && table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0;
	     i++) {
		more = !table_at(i)->group || tell_group(t, table_at(i));
	}
	if (!more) {
		on_told(t, NULL, 0);
		return;
	}
	/* What is removed meanwhile is told twice rather than not at all: its id and start are the same. */
	store_range(plane.store, rows && strcmp(after, first) > 0 ? after : first, last, SIZE_MAX,
	            on_row, on_told, t);
}
