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

#define SCHEMA    2
#define GROUP_MAX 256

struct txn {
	STAILQ_ENTRY(txn) link;
	struct store_op *ops;
	size_t n;
	void (*done)(void *arg, const struct err *e, uint64_t rev);
	void *arg;
	bool failed;
	struct err err;
	uint64_t rev;
};
STAILQ_HEAD(txns, txn);

struct store {
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

static int fail(struct store *s, struct err *e, const char *what)
{
	int code = sqlite3_errcode(s->db);
	enum err_kind kind = code == SQLITE_FULL ? ERR_NO_SPACE : ERR_UNAVAILABLE;

	return err_set(e, kind, 0, "store: %s: %s", what, sqlite3_errmsg(s->db));
}

static int exec(struct store *s, const char *sql, struct err *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(s, e, sql);
}

static int one_number(struct store *s, const char *sql, int64_t *to, struct err *e)
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
static const char *const migrations[SCHEMA] = {
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

static int migrate(struct store *s, const char *path, int64_t version, struct err *e)
{
	char sql[400];

	if (version > 0 && version < SCHEMA) {
		snprintf(sql, sizeof(sql), "%s.schema-%lld", path, (long long)version);
		unlink(sql); /* of a migration that was cut off */
		snprintf(sql, sizeof(sql), "VACUUM INTO '%s.schema-%lld'", path,
		         (long long)version);
		if (exec(s, sql, e) < 0) {
			return err_wrap(e, "copy before a migration");
		}
	}
	for (; version < SCHEMA; version++) {
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%lld", (long long)version + 1);
		if (exec(s, "BEGIN IMMEDIATE", e) < 0 || exec(s, migrations[version], e) < 0 ||
		    exec(s, sql, e) < 0 || exec(s, "COMMIT", e) < 0) {
			sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return -1;
		}
	}
	return 0;
}

static int quick_check(struct store *s, struct err *e)
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

static int open_schema(struct store *s, const char *path, struct err *e)
{
	int64_t version, rev;

	if (one_number(s, "PRAGMA user_version", &version, e) < 0 || quick_check(s, e) < 0) {
		return -1;
	}
	if (version > SCHEMA) {
		return err_set(
			e, ERR_UNAVAILABLE, 0,
			"store: schema %lld is newer than this program's %d; nothing was changed",
			(long long)version, SCHEMA);
	}
	if (s->readonly && version < SCHEMA) {
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

static int compare(struct store *s, const struct store_op *op, struct err *e)
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

static int write_op(struct store *s, const struct store_op *op, uint64_t rev, struct err *e)
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

static int run_txn(struct store *s, struct txn *t, struct err *e)
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
	t->rev = ++s->rev;
	return 0;
}

/* One durable commit for all that waits; a transaction that fails leaves no trace in it. */
static void commit_group(struct store *s, struct txns *group)
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
	struct store *s = arg;
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
		pthread_mutex_lock(&s->use);
		commit_group(s, &group);
		pthread_mutex_unlock(&s->use);
		pthread_mutex_lock(&s->lock);
		STAILQ_CONCAT(&s->out, &group);
		if (write(s->wake, &one, sizeof(one)) < 0) {
			continue; /* the counter is full: the loop is awake already */
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void txn_free(struct txn *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free((char *)(uintptr_t)t->ops[i].key);
		free((char *)(uintptr_t)t->ops[i].value);
	}
	free(t->ops);
	free(t);
}

static void on_done(void *arg)
{
	struct store *s = arg;
	struct txns done = STAILQ_HEAD_INITIALIZER(done);
	uint64_t n;

	if (read(s->wake, &n, sizeof(n)) < 0) {
		return;
	}
	pthread_mutex_lock(&s->lock);
	STAILQ_CONCAT(&done, &s->out);
	pthread_mutex_unlock(&s->lock);
	while (!STAILQ_EMPTY(&done)) {
		struct txn *t = STAILQ_FIRST(&done);

		STAILQ_REMOVE_HEAD(&done, link);
		if (t->done) {
			t->done(t->arg, t->failed ? &t->err : NULL, t->rev);
		}
		txn_free(t);
	}
}

/* A file that cannot be written is read: with its log when that is there, else as it lies. */
static int open_readonly(struct store *s, const char *path, struct err *e)
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

static int open_file(struct store *s, const char *path, struct err *e)
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

struct store *store_open(const char *dir, struct loop *l, struct err *e)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s) {
		err_set(e, ERR_NO_MEMORY, 0, "store: out of memory");
		return NULL;
	}
	snprintf(s->path, sizeof(s->path), "%s/netd.db", dir);
	if (open_file(s, s->path, e) < 0) {
		sqlite3_finalize(s->put);
		sqlite3_finalize(s->del);
		sqlite3_finalize(s->look);
		sqlite3_close(s->db);
		free(s);
		return NULL;
	}
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
	return s;
}

bool store_readonly(const struct store *s)
{
	return s->readonly;
}

void store_close(struct store *s)
{
	if (!s) {
		return;
	}
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

static int load(struct store *s,
                int (*fn)(void *arg, const char *key, uint64_t rev, const char *value), void *arg,
                struct err *e)
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

int store_load(struct store *s,
               int (*fn)(void *arg, const char *key, uint64_t rev, const char *value), void *arg,
               struct err *e)
{
	pthread_mutex_lock(&s->use);
	int rc = load(s, fn, arg, e);
	pthread_mutex_unlock(&s->use);
	return rc;
}

static int range_failed(struct store *s, struct err *e)
{
	return err_set(e, ERR_UNAVAILABLE, 0, "store: range: %s", sqlite3_errmsg(s->reader));
}

int store_range(struct store *s, const char *from, const char *to, size_t limit,
                int (*fn)(void *arg, const char *key, uint64_t rev, const char *value), void *arg,
                struct err *e)
{
	sqlite3_stmt *q = NULL;
	int rc;

	if (!s->reader &&
	    sqlite3_open_v2(s->path, &s->reader, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
		rc = range_failed(s, e);
		sqlite3_close(s->reader);
		s->reader = NULL;
		return rc;
	}
	if (sqlite3_prepare_v2(s->reader,
	                       "SELECT key, rev, value FROM pairs WHERE key >= ? AND key < ? "
	                       "ORDER BY key LIMIT ?",
	                       -1, &q, NULL) != SQLITE_OK) {
		return range_failed(s, e);
	}
	sqlite3_bind_text(q, 1, from, -1, SQLITE_STATIC);
	sqlite3_bind_text(q, 2, to, -1, SQLITE_STATIC);
	sqlite3_bind_int64(q, 3, (sqlite3_int64)limit);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (fn(arg, (const char *)sqlite3_column_text(q, 0),
		       (uint64_t)sqlite3_column_int64(q, 1),
		       (const char *)sqlite3_column_text(q, 2)) < 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	sqlite3_finalize(q);
	return rc == SQLITE_DONE ? 0 : range_failed(s, e);
}

void store_submit(struct store *s, const struct store_op *ops, size_t n,
                  void (*done)(void *arg, const struct err *e, uint64_t rev), void *arg)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (!t || !(t->ops = calloc(n ? n : 1, sizeof(*ops)))) {
		abort();
	}
	t->n = n;
	t->done = done;
	t->arg = arg;
	for (size_t i = 0; i < n; i++) {
		t->ops[i] = ops[i];
		t->ops[i].key = strdup(ops[i].key);
		t->ops[i].value = ops[i].value ? strdup(ops[i].value) : NULL;
	}
	pthread_mutex_lock(&s->lock);
	STAILQ_INSERT_TAIL(&s->in, t, link);
	pthread_cond_signal(&s->more);
	pthread_mutex_unlock(&s->lock);
}
