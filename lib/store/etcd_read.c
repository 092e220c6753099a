/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is read from the store in etcd, page by page at one revision, and what is followed: a watch of etcd's that is never
 * trusted alone, since it may go silent, lag, or miss what was compacted.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/etcd_own.h"

#define PAGE     1000 /* pairs a call */
#define AGAIN_MS 500
#define TRIES    5

/* ---- pages ---- */

/* Pairs from `from` (without the prefix) to `to` ("": the end of the data) at a revision (0: now). */
static void put_range(struct buf *b, const char *prefix, const char *from, const char *to,
                      size_t limit, uint64_t rev)
{
	buf_addf(b, "{\"limit\":\"%zu\",\"revision\":\"%llu\",\"key\":", limit,
	         (unsigned long long)rev);
	etcd_key(b, prefix, "data/", from);
	buf_addf(b, ",\"range_end\":");
	if (*to) {
		etcd_key(b, prefix, "data/", to);
	} else {
		etcd_key(b, prefix, "data0", ""); /* '0' follows '/' */
	}
	buf_addf(b, "}");
}

struct page {
	const char *prefix;
	store_pair_fn fn;
	void *arg;
	char *last; /* key, malloc'ed */
	size_t n;
	bool stopped, more;
};

/* The key of a pair without the prefix; NULL: it is no text, or somebody else's. malloc'ed. */
static char *key_of(const json_t *pair, const char *prefix)
{
	char *full = etcd_text(pair, "key");
	size_t n = strlen(prefix);

	if (!full || strncmp(full, prefix, n) != 0 || strncmp(full + n, "data/", 5) != 0) {
		free(full);
		return NULL;
	}
	memmove(full, full + n + 5, strlen(full + n + 5) + 1);
	return full;
}

static void take_page(struct page *p, const json_t *doc)
{
	const json_t *pair;
	size_t i;

	p->more = json_is_true(json_object_get(doc, "more"));
	json_array_foreach(json_object_get(doc, "kvs"), i, pair)
	{
		char *key = key_of(pair, p->prefix);
		AUTO_FREE char *value = etcd_text(pair, "value");

		if (!key) {
			continue;
		}
		free(p->last);
		p->last = key;
		p->n++;
		if (value && p->fn(p->arg, key, etcd_number(pair, "mod_revision"), value) < 0) {
			p->stopped = true;
			return;
		}
	}
	if (!p->last) {
		p->more = false;
	}
}

/* Where the next page begins: right behind the last key. A zero byte cannot be written here, but \x01 can, and no key has it. */
static void next_page(struct buf *b, const char *prefix, const struct page *p, const char *to,
                      size_t limit, uint64_t rev)
{
	AUTO_BUF struct buf from = { 0 };

	buf_addf(&from, "%s\x01", p->last);
	put_range(b, prefix, buf_str(&from), to, limit, rev);
}

/* ---- all of it ---- */

static int load_range(struct etcd_store *s, const char *from, const char *to, struct page *p,
                      uint64_t *rev, struct err *e)
{
	AUTO_BUF struct buf b = { 0 };

	free(p->last);
	p->last = NULL;
	put_range(&b, s->prefix, from, to, PAGE, *rev);
	for (;;) {
		json_t *doc = NULL;

		if (etcd_call_wait(s->http, "/v3/kv/range", &b, &doc, e) != ETCD_OK) {
			return -1;
		}
		*rev = *rev ? *rev : etcd_answer_rev(doc);
		take_page(p, doc);
		json_decref(doc);
		if (p->stopped) {
			return err_set(e, ERR_UNAVAILABLE, 0,
			               "store: a pair could not be taken in");
		}
		if (!p->more) {
			return 0;
		}
		next_page(&b, s->prefix, p, to, PAGE, *rev); /* the call took what it had */
	}
}

int etcd_load(struct store *store, store_pair_fn fn, void *arg, struct err *e)
{
	struct etcd_store *s = (struct etcd_store *)store;
	struct page p = { .prefix = s->prefix, .fn = fn, .arg = arg };
	uint64_t rev = 0;
	int rc = load_range(s, "", "usage/", &p, &rev, e);

	rc = rc == 0 ? load_range(s, "usage0", "", &p, &rev, e) : rc;
	free(p.last);
	return rc;
}

/* ---- a part of it ---- */

struct range {
	struct etcd_store *s;
	struct page page;
	char *from, *to;
	size_t limit;
	uint64_t rev;
	int tries; /* that had no answer, of this page */
	store_done_fn done;
};

static size_t page_size(const struct range *r)
{
	size_t left = r->limit - r->page.n;

	return left < PAGE ? left : PAGE;
}

static void on_page(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e);

static void ask_range(struct range *r)
{
	AUTO_BUF struct buf b = { 0 };

	if (r->page.last) {
		next_page(&b, r->s->prefix, &r->page, r->to, page_size(r), r->rev);
	} else {
		put_range(&b, r->s->prefix, r->from, r->to, page_size(r), 0);
	}
	etcd_call(r->s->http, "/v3/kv/range", &b, on_page, r);
}

static void on_page(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct range *r = arg;

	if (outcome == ETCD_UNKNOWN && r->s->state != STORE_LOST && ++r->tries < TRIES) {
		ask_range(r); /* the next member */
		return;
	}
	if (outcome == ETCD_OK) {
		r->rev = r->rev ? r->rev : etcd_answer_rev(doc);
		r->tries = 0;
		take_page(&r->page, doc);
		if (r->page.more && !r->page.stopped && r->page.n < r->limit) {
			ask_range(r);
			return;
		}
	}
	r->done(r->page.arg, outcome == ETCD_OK ? NULL : e, r->rev);
	free(r->page.last);
	free(r->from);
	free(r->to);
	free(r);
}

void etcd_range(struct store *store, const char *from, const char *to, size_t limit,
                store_pair_fn fn, store_done_fn done, void *arg)
{
	struct etcd_store *s = (struct etcd_store *)store;
	struct range *r = malloc(sizeof(*r));

	if (!r) {
		abort();
	}
	*r = (struct range){ .s = s,
		             .page = { .prefix = s->prefix, .fn = fn, .arg = arg },
		             .from = strdup(from),
		             .to = strdup(to),
		             .limit = limit ? limit : 1,
		             .done = done };
	ask_range(r);
}

/* ---- following ---- */

/* A pair as it was told last. */
struct known {
	char *key;
	uint64_t rev;
	bool seen; /* by the comparison under way */
};

struct follow {
	struct store_watch watch;
	struct etcd_store *s;
	char *prefix; /* of what is followed, without the store's */
	store_change_fn fn;
	void *arg;
	struct known *v; /* sorted by key */
	size_t n, cap;
	uint64_t rev; /* all up to here was told */
	struct page page;
	uint64_t page_rev;
	struct etcd_stream *stream;
	struct loop_timer *compare;
	bool comparing, freed;
};

static size_t known_place(const struct follow *f, const char *key, bool *there)
{
	size_t lo = 0, hi = f->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(f->v[mid].key, key);

		if (c == 0) {
			*there = true;
			return mid;
		}
		*(c < 0 ? &lo : &hi) = c < 0 ? mid + 1 : mid;
	}
	*there = false;
	return lo;
}

static void forget(struct follow *f, size_t i)
{
	free(f->v[i].key);
	memmove(&f->v[i], &f->v[i + 1], (--f->n - i) * sizeof(*f->v));
}

/* Tells what is news. An older one than what was told is of a member that lags. */
static void take_change(struct follow *f, const char *key, uint64_t rev, const char *value)
{
	bool there;
	size_t i = known_place(f, key, &there);

	if (strncmp(key, "usage/", 6) == 0) {
		return;
	}
	if (there) {
		f->v[i].seen = true;
	}
	if ((there && f->v[i].rev >= rev) || (!there && !value)) {
		return;
	}
	if (!value) {
		forget(f, i);
	} else if (there) {
		f->v[i].rev = rev;
	} else {
		if (f->n == f->cap) {
			f->cap = f->cap ? f->cap * 2 : 64;
			f->v = realloc(f->v, f->cap * sizeof(*f->v));
		}
		char *copy = strdup(key);
		if (!f->v || !copy) {
			abort();
		}
		memmove(&f->v[i + 1], &f->v[i], (f->n++ - i) * sizeof(*f->v));
		f->v[i] = (struct known){ .key = copy, .rev = rev, .seen = true };
	}
	f->fn(f->arg, key, rev, value);
}

static int on_part(void *arg, json_t *doc)
{
	struct follow *f = arg;
	const json_t *result = json_object_get(doc, "result"), *event;
	size_t i;

	if (json_is_true(json_object_get(result, "canceled"))) {
		return -1; /* compacted, mostly: all is compared */
	}
	json_array_foreach(json_object_get(result, "events"), i, event)
	{
		const json_t *pair = json_object_get(event, "kv");
		const char *type = json_string_value(json_object_get(event, "type"));
		bool gone = type && strcmp(type, "DELETE") == 0;
		AUTO_FREE char *key = key_of(pair, f->s->prefix);
		AUTO_FREE char *value = gone ? NULL : etcd_text(pair, "value");
		uint64_t rev = etcd_number(pair, "mod_revision");

		if (key && (gone || value)) {
			take_change(f, key, rev, value);
		}
		f->rev = rev > f->rev ? rev : f->rev;
	}
	return 0;
}

static void on_stream_end(void *arg, const struct err *e)
{
	struct follow *f = arg;

	(void)e;
	etcd_stream_free(f->stream);
	f->stream = NULL;
	loop_timer_start(f->compare, AGAIN_MS);
}

/* Behind all that begins with the prefix: its last byte, one more ("": the end of the data). */
static void put_end(struct buf *end, const struct follow *f)
{
	buf_addf(end, "%s", f->prefix);
	if (end->len > 0) {
		end->data[end->len - 1]++;
	}
}

static void begin_stream(struct follow *f)
{
	AUTO_BUF struct buf b = { 0 }, end = { 0 };

	buf_addf(&b, "{\"create_request\":{\"start_revision\":\"%llu\",\"key\":",
	         (unsigned long long)f->rev + 1);
	etcd_key(&b, f->s->prefix, "data/", f->prefix);
	put_end(&end, f);
	buf_addf(&b, ",\"range_end\":");
	if (end.len > 0) {
		etcd_key(&b, f->s->prefix, "data/", buf_str(&end));
	} else {
		etcd_key(&b, f->s->prefix, "data0", "");
	}
	buf_addf(&b, "}}");
	f->stream = etcd_stream(f->s->http, "/v3/watch", &b, on_part, on_stream_end, f);
}

/* All pages were seen: what was not seen is gone. */
static void compared(struct follow *f)
{
	for (size_t i = f->n; i-- > 0;) {
		if (!f->v[i].seen) {
			AUTO_FREE char *key = f->v[i].key;

			f->v[i].key = NULL;
			forget(f, i);
			f->fn(f->arg, key, f->page_rev, NULL);
		}
	}
	f->rev = f->page_rev;
	f->comparing = false;
	f->fn(f->arg, NULL, f->rev, NULL);
	begin_stream(f);
	loop_timer_start(f->compare, STORE_COMPARE_S * 1000);
}

static int on_pair(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct follow *f = arg;

	take_change(f, key, rev, value);
	return 0;
}

static void follow_free(struct follow *f)
{
	while (f->n > 0) {
		forget(f, f->n - 1);
	}
	free(f->v);
	free(f->page.last);
	free(f->prefix);
	free(f);
}

static void ask_page(struct follow *f);

static void on_compare_page(void *arg, enum etcd_outcome outcome, json_t *doc, const struct err *e)
{
	struct follow *f = arg;

	(void)e;
	if (f->freed) {
		follow_free(f);
	} else if (outcome != ETCD_OK) {
		f->comparing = false;
		loop_timer_start(f->compare, AGAIN_MS);
	} else {
		f->page_rev = f->page_rev ? f->page_rev : etcd_answer_rev(doc);
		take_page(&f->page, doc);
		if (f->page.more) {
			ask_page(f);
		} else {
			compared(f);
		}
	}
}

static void ask_page(struct follow *f)
{
	AUTO_BUF struct buf b = { 0 }, end = { 0 };

	put_end(&end, f);
	if (f->page.last) {
		next_page(&b, f->s->prefix, &f->page, buf_str(&end), PAGE, f->page_rev);
	} else {
		put_range(&b, f->s->prefix, f->prefix, buf_str(&end), PAGE, 0);
	}
	etcd_call(f->s->http, "/v3/kv/range", &b, on_compare_page, f);
}

/* All that there is, at one revision; the stream goes on from there. A stream beside it could tell of what is younger before
 * a page tells of what is older. */
static void begin_compare(void *arg)
{
	struct follow *f = arg;

	etcd_stream_free(f->stream);
	f->stream = NULL;
	for (size_t i = 0; i < f->n; i++) {
		f->v[i].seen = false;
	}
	free(f->page.last);
	f->page = (struct page){ .prefix = f->s->prefix, .fn = on_pair, .arg = f };
	f->page_rev = 0;
	f->comparing = true;
	ask_page(f);
}

struct store_watch *etcd_watch(struct store *store, const char *prefix, store_change_fn fn,
                               void *arg)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (!f || !(f->prefix = strdup(prefix))) {
		abort();
	}
	f->watch.store = store;
	f->s = (struct etcd_store *)store;
	f->fn = fn;
	f->arg = arg;
	f->compare = loop_timer_new(f->s->loop, begin_compare, f);
	loop_timer_start(f->compare, 0);
	return &f->watch;
}

void etcd_watch_free(struct store_watch *w)
{
	struct follow *f = (struct follow *)w;

	etcd_stream_free(f->stream);
	f->stream = NULL;
	loop_timer_free(f->compare);
	if (f->comparing) {
		f->freed = true; /* a page is under way */
	} else {
		follow_free(f);
	}
}
