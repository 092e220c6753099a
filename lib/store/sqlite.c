/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See store.h. Owns the database file and one writer thread; the two sides share a queue under a
 * mutex, and an eventfd wakes the loop.
 */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/store.h"
#include "lib/store/store_own.h"

#define GROUP_MAX 256
#define AGAIN_MS  1000

struct watch {
	struct store_watch watch;
	LIST_ENTRY(watch) link;
	char *prefix;
	store_change_fn fn;
	void *arg;
	struct loop_timer *begin;
	uint64_t from; /* what was told at first */
	bool listed;
};

struct sqlite_store {
	struct store store;
	struct loop *loop;
	LIST_HEAD(watches, watch) watches;
	sqlite3 *db;
	sqlite3_stmt *put, *del, *look;
	char path[160];
	sqlite3 *reader; /* of ranges: a snapshot of its own; NULL: not needed yet */
	uint64_t rev;    /* writer thread only, after the start */
	pthread_t thread;
	pthread_mutex_t use; /* of the connection: a reader sees no half of a transaction */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct txns in, out;
	bool stopping, readonly;
	int wake;
	struct loop_watch *watch;
};

static int fail(struct sqlite_store *s, struct err *e, const char *what)
{
	int code = sqlite3_errcode(s->db);
	enum err_kind kind = code == SQLITE_FULL ? ERR_NO_SPACE : ERR_UNAVAILABLE;

	return err_set(e, kind, 0, "store: %s: %s", what, sqlite3_errmsg(s->db));
}

static int exec(struct sqlite_store *s, const char *sql, struct err *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, e, sql);
}

static int one_number(struct sqlite_store *s, const char *sql, int64_t *to, struct err *e)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_finalize(q);
		return fail(s, e, sql);
	}
	*to = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return 0;
}

/* From schema N to N + 1: one transaction each, after a copy. */
static const char *const migrations[STORE_SCHEMA] = {
	[0] = "CREATE TABLE pairs (key TEXT PRIMARY KEY, rev INTEGER NOT NULL, value TEXT NOT "
	      "NULL) WITHOUT ROWID;"
	      "CREATE TABLE meta (rev INTEGER NOT NULL);"
	      "INSERT INTO meta VALUES (0);",
	/* A token was one subscription's; now it names a caller. */
	[1] = "INSERT INTO pairs SELECT 'caller/token-' || substr(key, 7, 12), rev, json_object("
	      "'name', 'token-' || substr(key, 7, 12), 'subscriptions', "
	      "json_array(json_extract(value, '$.subscription')), 'role', 'owner', 'scope', '') "
	      "FROM pairs WHERE key LIKE 'token/%';"
	      "UPDATE pairs SET value = json_object('caller', 'token-' || substr(key, 7, 12), "
	      "'expires', json_extract(value, '$.expires')) WHERE key LIKE 'token/%';",
};

static int migrate(struct sqlite_store *s, const char *path, int64_t version, struct err *e)
{
	char sql[400];

	if (version > 0 && version < STORE_SCHEMA) {
		snprintf(sql, sizeof(sql), "%s.schema-%lld", path, (long long)version);
		unlink(sql); /* of a migration that was cut off */
		snprintf(sql, sizeof(sql), "VACUUM INTO '%s.schema-%lld'", path,
		         (long long)version);
		if (exec(s, sql, e) < 0) {
			return err_wrap(e, "copy before a migration");
		}
	}
	for (; version < STORE_SCHEMA; version++) {
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%lld", (long long)version + 1);
		if (exec(s, "BEGIN IMMEDIATE", e) < 0 || exec(s, migrations[version], e) < 0 ||
		    exec(s, sql, e) < 0 || exec(s, "COMMIT", e) < 0) {
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
	}
	return 0;
}

static int quick_check(struct sqlite_store *s, struct err *e)
{
	sqlite3_stmt *q = NULL;
	int rc = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW) {
		rc = fail(s, e, "check");
	} else if (strcmp((const char *)sqlite3_column_text(q, 0), "ok") != 0) {
		rc = err_set(e, ERR_UNAVAILABLE, 0, "store: the file is damaged: %s",
		             (const char *)sqlite3_column_text(q, 0));
	}
	sqlite3_finalize(q);
	return rc;
}

static int open_schema(struct sqlite_store *s, const char *path, struct err *e)
{
	int64_t version, rev;

	if (one_number(s, "PRAGMA user_version", &version, e) < 0 || quick_check(s, e) < 0) {
		return -1;
	}
	if (version == STORE_MOVED) {
		return err_set(e, ERR_UNAVAILABLE, 0,
		               "store: what was in this file is in etcd now: set store = etcd "
		               "(docs/etcd.md)");
	}
	if (version > STORE_SCHEMA) {
		return err_set(
			e, ERR_UNAVAILABLE, 0,
			"store: schema %lld is newer than this program's %d; nothing was changed",
			(long long)version, STORE_SCHEMA);
	}
	if (s->readonly && version < STORE_SCHEMA) {
		return err_set(e, ERR_UNAVAILABLE, 0,
		               "store: schema %lld cannot be migrated: read-only",
		               (long long)version);
	}
	if (!s->readonly &&
	    (exec(s, "PRAGMA journal_mode=WAL", e) < 0 ||
	     exec(s, "PRAGMA synchronous=FULL", e) < 0 || migrate(s, path, version, e) < 0)) {
		return -1;
	}
	if (one_number(s, "SELECT rev FROM meta", &rev, e) < 0) {
		return -1;
	}
	s->rev = (uint64_t)rev;
	if (sqlite3_prepare_v2(s->db, "INSERT OR REPLACE INTO pairs VALUES (?,?,?)", -1, &s->put,
	                       NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(s->db, "DELETE FROM pairs WHERE key=?", -1, &s->del, NULL) !=
	            SQLITE_OK ||
	    sqlite3_prepare_v2(s->db, "SELECT rev FROM pairs WHERE key=?", -1, &s->look, NULL) !=
	            SQLITE_OK) {
		return fail(s, e, "prepare");
	}
	return 0;
}

static int compare(struct sqlite_store *s, const struct store_op *op, struct err *e)
{
	uint64_t rev = 0;

	sqlite3_reset(s->look);
	sqlite3_bind_text(s->look, 1, op->key, -1, SQLITE_STATIC);
	int rc = sqlite3_step(s->look);
	if (rc == SQLITE_ROW) {
		rev = (uint64_t)sqlite3_column_int64(s->look, 0);
	} else if (rc != SQLITE_DONE) {
		return fail(s, e, "read");
	}
	sqlite3_reset(s->look);
	if (rev != op->expect_rev) {
		return err_set(e, ERR_CONFLICT, 0, "store: %s is at revision %llu, not %llu",
		               op->key, (unsigned long long)rev,
		               (unsigned long long)op->expect_rev);
	}
	return 0;
}

static int write_op(struct sqlite_store *s, const struct store_op *op, uint64_t rev, struct err *e)
{
	sqlite3_stmt *q = op->value ? s->put : s->del;

	sqlite3_reset(q);
	sqlite3_bind_text(q, 1, op->key, -1, SQLITE_STATIC);
	if (op->value) {
		sqlite3_bind_int64(q, 2, (sqlite3_int64)rev);
		sqlite3_bind_text(q, 3, op->value, -1, SQLITE_STATIC);
	}
	int rc = sqlite3_step(q);
	sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : fail(s, e, "write");
}

static int run_txn(struct sqlite_store *s, struct txn *t, struct err *e)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->ops[i].expect && compare(s, &t->ops[i], e) < 0) {
			return -1;
		}
	}
	for (size_t i = 0; i < t->n; i++) {
		if (write_op(s, &t->ops[i], s->rev + 1, e) < 0) {
			return -1;
		}
	}
	s->rev += t->n > 0;
	t->rev = s->rev;
	return 0;
}

/* Are there steps? Who only waits for those before costs no commit. */
static bool has_steps(const struct txns *group)
{
	const struct txn *t;

	STAILQ_FOREACH(t, group, link)
	{
		if (t->n > 0) {
			return true;
		}
	}
	return false;
}

/* One durable commit for all that waits; a transaction that fails leaves no trace in it. */
static void commit_group(struct sqlite_store *s, struct txns *group)
{
	struct err e = ERR_INIT;
	uint64_t before = s->rev;
	char sql[64];
	struct txn *t;
	int rc = exec(s, "BEGIN IMMEDIATE", &e);

	STAILQ_FOREACH(t, group, link)
	{
		if (rc < 0) {
			break;
		}
		if (exec(s, "SAVEPOINT t", &e) < 0) {
			rc = -1;
		} else if (run_txn(s, t, &t->err) < 0) {
			t->failed = true;
			rc = exec(s, "ROLLBACK TO t", &e) < 0 || exec(s, "RELEASE t", &e) < 0 ? -1
			                                                                      : 0;
		} else {
			rc = exec(s, "RELEASE t", &e);
		}
	}
	snprintf(sql, sizeof(sql), "UPDATE meta SET rev=%llu", (unsigned long long)s->rev);
	if (rc == 0) {
		rc = exec(s, sql, &e);
	}
	if (rc == 0) {
		rc = exec(s, "COMMIT", &e);
	}
	if (rc < 0) {
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		s->rev = before;
		STAILQ_FOREACH(t, group, link)
		{
			if (!t->failed) {
				t->failed = true;
				t->err = e;
			}
		}
	}
}

static void *writer(void *arg)
{
	struct sqlite_store *s = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct txns group = STAILQ_HEAD_INITIALIZER(group);

		while (STAILQ_EMPTY(&s->in) && !s->stopping) {
			pthread_cond_wait(&s->more, &s->lock);
		}
		if (STAILQ_EMPTY(&s->in)) {
			break;
		}
		for (int i = 0; i < GROUP_MAX && !STAILQ_EMPTY(&s->in); i++) {
			struct txn *t = STAILQ_FIRST(&s->in);

			STAILQ_REMOVE_HEAD(&s->in, link);
			STAILQ_INSERT_TAIL(&group, t, link);
		}
		pthread_mutex_unlock(&s->lock);
		if (has_steps(&group)) {
			pthread_mutex_lock(&s->use);
			commit_group(s, &group);
			pthread_mutex_unlock(&s->use);
		}
		pthread_mutex_lock(&s->lock);
		STAILQ_CONCAT(&s->out, &group);
		if (write(s->wake, &one, sizeof(one)) < 0) {
			continue; /* the counter is full: the loop is awake already */
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* ---- following ---- */

static bool is_under(const struct watch *w, const char *key)
{
	return strncmp(key, w->prefix, strlen(w->prefix)) == 0;
}

static void tell(struct sqlite_store *s, const struct txn *t)
{
	struct watch *w, *next;

	for (w = LIST_FIRST(&s->watches); w; w = next) {
		next = LIST_NEXT(w, link);
		for (size_t i = 0; i < t->n && t->rev > w->from; i++) {
			if (is_under(w, t->ops[i].key)) {
				w->fn(w->arg, t->ops[i].key, t->rev, t->ops[i].value);
			}
		}
	}
}

static void on_done(void *arg)
{
	struct sqlite_store *s = arg;
	struct txns done = STAILQ_HEAD_INITIALIZER(done);
	struct txn *t;
	uint64_t n;

	if (read(s->wake, &n, sizeof(n)) < 0) {
		return;
	}
	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&done, &s->out);
	pthread_mutex_unlock(&s->lock);
	STAILQ_FOREACH(t, &done, link)
	{
		if (!t->failed) {
			tell(s, t);
		}
	}
	txns_done(&s->store, &done);
}

/* A file that cannot be written is read: with its log when that is there, else as it lies. */
static int open_readonly(struct sqlite_store *s, const char *path, struct err *e)
{
	char uri[300];
	struct stat st;

	snprintf(uri, sizeof(uri), "%s-wal", path);
	bool logged = stat(uri, &st) == 0 && st.st_size > 0;
	snprintf(uri, sizeof(uri), "file:%s?%s", path, logged ? "mode=ro" : "mode=ro&immutable=1");
	sqlite3_close(s->db);
	s->db = NULL;
	s->readonly = true;
	if (sqlite3_open_v2(uri, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) !=
	    SQLITE_OK) {
		return fail(s, e, path);
	}
	return open_schema(s, path, e);
}

static int open_file(struct sqlite_store *s, const char *path, struct err *e)
{
	if (sqlite3_open(path, &s->db) != SQLITE_OK) {
		fail(s, e, path);
	} else {
		s->readonly = sqlite3_db_readonly(s->db, "main") == 1; /* its own way out */
		if (open_schema(s, path, e) == 0) {
			return 0;
		}
	}
	int code = sqlite3_errcode(s->db);
	if (code != SQLITE_READONLY && code != SQLITE_CANTOPEN && code != SQLITE_FULL &&
	    code != SQLITE_IOERR) {
		return -1;
	}
	return open_readonly(s, path, e);
}

static struct sqlite_store *of(struct store *s)
{
	return (struct sqlite_store *)s; /* `store` is the first member */
}

static bool sqlite_readonly(const struct store *store)
{
	return ((const struct sqlite_store *)store)->readonly;
}

static bool sqlite_current(const struct store *store)
{
	(void)store;
	return true; /* one process has the file */
}

static void sqlite_close(struct store *store)
{
	struct sqlite_store *s = of(store);

	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	on_done(s);
	loop_watch_free(s->watch);
	close(s->wake);
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->del);
	sqlite3_finalize(s->look);
	sqlite3_close(s->db);
	sqlite3_close(s->reader);
	free(s);
}

static int load(struct sqlite_store *s, store_pair_fn fn, void *arg, struct err *e)
{
	sqlite3_stmt *q = NULL;
	int rc;

	if (sqlite3_prepare_v2(s->db,
	                       "SELECT key, rev, value FROM pairs WHERE key < 'usage/' "
	                       "OR key >= 'usage0' ORDER BY key",
	                       -1, &q, NULL) != SQLITE_OK) {
		return fail(s, e, "read");
	}
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (fn(arg, (const char *)sqlite3_column_text(q, 0),
		       (uint64_t)sqlite3_column_int64(q, 1),
		       (const char *)sqlite3_column_text(q, 2)) < 0) {
			sqlite3_finalize(q);
			return err_set(e, ERR_UNAVAILABLE, 0,
			               "store: a pair could not be taken in");
		}
	}
	sqlite3_finalize(q);
	return rc == SQLITE_DONE ? 0 : fail(s, e, "read");
}

static int sqlite_load(struct store *store, store_pair_fn fn, void *arg, struct err *e)
{
	struct sqlite_store *s = of(store);

	pthread_mutex_lock(&s->use);
	int rc = load(s, fn, arg, e);
	pthread_mutex_unlock(&s->use);
	return rc;
}

/* A snapshot of its own, beside the writer's transactions. */
static int open_reader(struct sqlite_store *s)
{
	return s->reader ? SQLITE_OK
	                 : sqlite3_open_v2(s->path, &s->reader, SQLITE_OPEN_READONLY, NULL);
}

static int range(struct sqlite_store *s, const char *from, const char *to, size_t limit,
                 store_pair_fn fn, void *arg)
{
	sqlite3_stmt *q = NULL;
	int rc = open_reader(s);

	if (rc == SQLITE_OK) {
		rc = sqlite3_prepare_v2(
			s->reader,
			"SELECT key, rev, value FROM pairs WHERE key >= ? AND key < ? "
			"ORDER BY key LIMIT ?",
			-1, &q, NULL);
	}
	if (rc != SQLITE_OK) {
		return rc;
	}
	sqlite3_bind_text(q, 1, from, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, to, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 3, limit > INT64_MAX ? INT64_MAX : (sqlite3_int64)limit);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (fn(arg, (const char *)sqlite3_column_text(q, 0),
		       (uint64_t)sqlite3_column_int64(q, 1),
		       (const char *)sqlite3_column_text(q, 2)) < 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	sqlite3_finalize(q);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void sqlite_range(struct store *store, const char *from, const char *to, size_t limit,
                         store_pair_fn fn, store_done_fn done, void *arg)
{
	struct sqlite_store *s = of(store);
	struct err e = ERR_INIT;

	if (range(s, from, to, limit, fn, arg) == SQLITE_OK) {
		done(arg, NULL, 0);
		return;
	}
	err_set(&e, ERR_UNAVAILABLE, 0, "store: range: %s", sqlite3_errmsg(s->reader));
	if (sqlite3_errcode(s->reader) == SQLITE_CANTOPEN) {
		sqlite3_close(s->reader);
		s->reader = NULL;
	}
	done(arg, &e, 0);
}

static void sqlite_submit(struct store *store, const struct store_op *ops, size_t n,
                          store_done_fn done, void *arg)
{
	struct sqlite_store *s = of(store);
	struct txn *t = txn_new(ops, n, done, arg);

	pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->in, t, link);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}

static int tell_pair(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct watch *w = arg;

	if (is_under(w, key)) {
		w->fn(w->arg, key, rev, value);
	}
	return 0;
}

/* What there is; transactions that are in it already, and not told yet, are passed over later. */
static void on_begin(void *arg)
{
	struct watch *w = arg;
	struct sqlite_store *s = of(w->watch.store);
	struct err e = ERR_INIT;
	int rc;

	pthread_mutex_lock(&s->use);
	rc = load(s, tell_pair, w, &e);
	w->from = s->rev;
	pthread_mutex_unlock(&s->use);
	if (rc < 0) {
		loop_timer_start(w->begin, AGAIN_MS);
		return;
	}
	LIST_INSERT_HEAD(&s->watches, w, link);
	w->listed = true;
	w->fn(w->arg, NULL, w->from, NULL);
}

static struct store_watch *sqlite_watch(struct store *store, const char *prefix, store_change_fn fn,
                                        void *arg)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w || !(w->prefix = strdup(prefix))) {
		abort();
	}
	w->watch.store = store;
	w->fn = fn;
	w->arg = arg;
	w->begin = loop_timer_new(of(store)->loop, on_begin, w);
	loop_timer_start(w->begin, 0);
	return &w->watch;
}

static void sqlite_watch_free(struct store_watch *watch)
{
	struct watch *w = (struct watch *)watch;

	if (w->listed) {
		LIST_REMOVE(w, link);
	}
	loop_timer_free(w->begin);
	free(w->prefix);
	free(w);
}

struct store *store_open(const char *dir, struct loop *l, struct err *e)
{
	static const struct store_ops ops = { sqlite_close, sqlite_readonly,  sqlite_current,
		                              sqlite_load,  sqlite_range,     sqlite_submit,
		                              sqlite_watch, sqlite_watch_free };
	struct sqlite_store *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_NO_MEMORY, 0, "store: out of memory");
		return NULL;
	}
	s->store.ops = &ops;
	s->loop = l;
	snprintf(s->path, sizeof(s->path), "%s/netd.db", dir);
	if (open_file(s, s->path, e) < 0) {
		sqlite3_finalize(s->put);
		sqlite3_finalize(s->del);
		sqlite3_finalize(s->look);
		sqlite3_close(s->db);
		free(s);
		return NULL;
	}
	LIST_INIT(&s->watches);
	STAILQ_INIT(&s->in);
	STAILQ_INIT(&s->out);
	pthread_mutex_init(&s->use, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->watch = loop_watch_read(l, s->wake, on_done, s);
	if (pthread_create(&s->thread, NULL, writer, s) != 0) {
		abort();
	}
	return &s->store;
}
