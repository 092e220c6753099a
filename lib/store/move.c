/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See move.h.
 */
#include "lib/store/move.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/store_own.h"

#define STEP    50    /* pairs a transaction */
#define BUSY_MS 10000 /* for a transaction of the netd that runs */

struct pair {
	char *key, *value;
};

struct move {
	sqlite3 *db;
	struct loop *loop;
	struct store *etcd;
	struct pair *v; /* sorted by key */
	size_t n, cap;
	size_t at; /* compared so far */
	bool differs, failed;
	size_t left; /* transactions under way */
	struct err err;
};

static int sql(struct move *m, const char *text, struct err *e)
{
	return sqlite3_exec(m->db, text, NULL, NULL, NULL) == SQLITE_OK
	               ? 0
	               : err_set(e, ERR_UNAVAILABLE, 0, "store: %s: %s", text,
	                         sqlite3_errmsg(m->db));
}

/* Opens the file and keeps others from writing; the schema is this program's. */
static int open_file(struct move *m, const char *path, struct err *e)
{
	sqlite3_stmt *q = NULL;
	struct stat st;
	int version = -1;

	if (stat(path, &st) < 0) {
		return err_set(e, ERR_INVALID, 0, "store: there is no %s", path);
	}
	if (sqlite3_open_v2(path, &m->db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		return err_set(e, ERR_UNAVAILABLE, 0, "store: %s: %s", path, sqlite3_errmsg(m->db));
	}
	sqlite3_busy_timeout(m->db, BUSY_MS);
	if (sql(m, "BEGIN IMMEDIATE", e) < 0) {
		return -1;
	}
	if (sqlite3_prepare_v2(m->db, "PRAGMA user_version", -1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW) {
		version = sqlite3_column_int(q, 0);
	}
	sqlite3_finalize(q);
	if (version == STORE_MOVED) {
		return err_set(e, ERR_INVALID, 0, "store: %s was moved already", path);
	}
	return version == STORE_SCHEMA
	               ? 0
	               : err_set(e, ERR_UNAVAILABLE, 0,
	                         "store: %s has schema %d, not %d: start this netd with it once",
	                         path, version, STORE_SCHEMA);
}

static int read_pairs(struct move *m, struct err *e)
{
	sqlite3_stmt *q = NULL;
	int rc;

	if (sqlite3_prepare_v2(m->db, "SELECT key, value FROM pairs ORDER BY key", -1, &q, NULL) !=
	    SQLITE_OK) {
		return err_set(e, ERR_UNAVAILABLE, 0, "store: %s", sqlite3_errmsg(m->db));
	}
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (m->n == m->cap) {
			m->cap = m->cap ? m->cap * 2 : 1024;
			m->v = realloc(m->v, m->cap * sizeof(*m->v));
		}
		if (!m->v) {
			abort();
		}
		m->v[m->n++] = (struct pair){ strdup((const char *)sqlite3_column_text(q, 0)),
			                      strdup((const char *)sqlite3_column_text(q, 1)) };
	}
	sqlite3_finalize(q);
	return rc == SQLITE_DONE
	               ? 0
	               : err_set(e, ERR_UNAVAILABLE, 0, "store: %s", sqlite3_errmsg(m->db));
}

static void on_written(void *arg, const struct err *e, uint64_t rev)
{
	struct move *m = arg;

	(void)rev;
	if (e && !m->failed) {
		m->failed = true;
		m->err = *e;
	}
	if (--m->left == 0) {
		loop_stop(m->loop);
	}
}

/* Writes all, or takes all away again. */
static int write_pairs(struct move *m, bool away, struct err *e)
{
	m->failed = false;
	for (size_t i = 0; i < m->n; i += STEP) {
		struct store_op ops[STEP];
		size_t n = 0;

		for (; n < STEP && i + n < m->n; n++) {
			const struct pair *p = &m->v[i + n];

			ops[n] =
				(struct store_op){ .key = p->key, .value = away ? NULL : p->value };
		}
		m->left++;
		store_submit(m->etcd, ops, n, on_written, m);
	}
	if (m->left > 0) {
		loop_run(m->loop);
	}
	if (m->failed) {
		*e = m->err;
	}
	return m->failed ? -1 : 0;
}

static int compare(void *arg, const char *key, uint64_t rev, const char *value)
{
	struct move *m = arg;

	(void)rev;
	m->differs = m->at == m->n || strcmp(m->v[m->at].key, key) != 0 ||
	             strcmp(m->v[m->at].value, value) != 0;
	m->at++;
	return m->differs ? -1 : 0;
}

static void on_compared(void *arg, const struct err *e, uint64_t rev)
{
	struct move *m = arg;

	(void)rev;
	m->failed = e != NULL;
	if (e) {
		m->err = *e;
	}
	loop_stop(m->loop);
}

/* Holds what etcd has against the first `n` pairs; any difference is one. */
static int hold_against(struct move *m, size_t n, struct err *e)
{
	size_t all = m->n;

	m->n = n;
	m->at = 0;
	m->differs = false;
	store_range(m->etcd, "", "" /* the end, in etcd */, SIZE_MAX, compare, on_compared, m);
	loop_run(m->loop);
	m->n = all;
	if (m->failed) {
		*e = m->err;
		return -1;
	}
	if (m->differs || m->at != n) {
		return n == 0 ? err_set(e, ERR_INVALID, 0,
		                        "store: the prefix in etcd has pairs already")
		              : err_set(e, ERR_UNAVAILABLE, 0, "store: pair %zu is another in etcd",
		                        m->at);
	}
	return 0;
}

/* A netd that has it open finds the table gone at its next transaction; who opens it finds the schema. */
static int close_file(struct move *m, struct err *e)
{
	char text[60];

	snprintf(text, sizeof(text), "PRAGMA user_version=%d", STORE_MOVED);
	return sql(m, "ALTER TABLE pairs RENAME TO pairs_moved", e) < 0 || sql(m, text, e) < 0 ||
	                       sql(m, "COMMIT", e) < 0
	               ? -1
	               : 0;
}

static int move(struct move *m, const char *path, const struct store_etcd *to, struct err *e)
{
	struct err ignored = ERR_INIT;

	if (open_file(m, path, e) < 0 || read_pairs(m, e) < 0) {
		return -1;
	}
	m->etcd = store_open_etcd(to, m->loop, e);
	if (!m->etcd || hold_against(m, 0, e) < 0) {
		return -1;
	}
	if (write_pairs(m, false, e) < 0 || hold_against(m, m->n, e) < 0 || close_file(m, e) < 0) {
		(void)!write_pairs(m, true, &ignored);
		return -1;
	}
	return 0;
}

int store_move(const char *dir, const struct store_etcd *to, size_t *n, struct err *e)
{
	struct move m = { .loop = loop_new() };
	char path[200];

	snprintf(path, sizeof(path), "%s/netd.db", dir);
	int rc = move(&m, path, to, e);

	*n = m.n;
	store_close(m.etcd);
	sqlite3_close(m.db); /* what was not committed is as it was */
	for (size_t i = 0; i < m.n; i++) {
		free(m.v[i].key);
		free(m.v[i].value);
	}
	free(m.v);
	loop_free(m.loop);
	return rc;
}
