/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See storage.h.
 */
#include "netd/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "netd/plane.h"
#include "netd/seat.h"

#define PROBE_MS    1000
#define FAREWELL_MS 200 /* for the answers that say why */
#define PATIENCE_MS 4000
#define PROBE_SIZE  65536 /* bytes that a change may need */
#define EX_TEMPFAIL 75

static struct {
	struct loop_timer *farewell, *patience;
	struct err why;       /* it is away */
	struct stat broken;   /* the file as it could not be read */
	bool away;            /* etcd cannot be reached: it tells when it can */
	struct store_wait *w; /* until it can be opened */
	char *node;           /* whose groups the store has */
} self;

static bool is_etcd(void)
{
	return strcmp(plane.config->store, "etcd") == 0;
}

/* ---- refusing ---- */

static void refuse(const struct err *e)
{
	free(plane.stopped);
	plane.stopped = strdup(e->msg);
	plane.stopped_kind = e->kind;
	log_error("store.failed", LOG_STR("error", e->msg));
}

static void on_farewell(void *arg)
{
	(void)arg;
	_exit(EX_TEMPFAIL); /* after an fsync that failed nothing may be tried again */
}

static void say_farewell(int64_t ms)
{
	self.farewell =
		self.farewell ? self.farewell : loop_timer_new(plane.loop, on_farewell, NULL);
	loop_timer_start(self.farewell, ms);
}

void control_stored(const struct err *e)
{
	if (e && e->kind != ERR_CONFLICT && !plane.stopped) {
		refuse(e);
		say_farewell(FAREWELL_MS);
	}
}

void control_saved(void *arg, const struct err *e, uint64_t rev)
{
	(void)arg;
	(void)rev;
	control_stored(e);
}

int control_refuse(struct err *e)
{
	if (!plane.stopped) {
		return err_set(e, ERR_UNAVAILABLE, 0,
		               "The lease of the plane's store ran out; it is being renewed.");
	}
	return err_set(e, plane.stopped_kind, 0, "Changes are refused: %s", plane.stopped);
}

/* ---- opening ---- */

/* Transactions that wait are executed when it is back; those who wait for them are told that nobody knows. */
static void on_away(void *arg)
{
	(void)arg;
	self.away = true;
	refuse(&self.why);
	callers_unknown(&self.why);
}

/* An election takes a second or two, which callers need not hear of. */
static void on_state(void *arg, enum store_state state, const struct err *e)
{
	(void)arg;
	self.patience = self.patience ? self.patience : loop_timer_new(plane.loop, on_away, NULL);
	loop_timer_stop(self.patience);
	if (state == STORE_LOST) {
		refuse(e);
		say_farewell(FAREWELL_MS);
	} else if (state == STORE_DOWN) {
		self.why = *e;
		log_warn("store.away", LOG_STR("error", e->msg));
		loop_timer_start(self.patience, e->kind == ERR_NO_SPACE ? 0 : PATIENCE_MS);
	} else if (self.away) {
		self.away = false;
		log_info("store.reached", LOG_STR("was", plane.stopped));
		free(plane.stopped);
		plane.stopped = NULL;
	}
}

int storage_etcd(const struct config *c, struct store_etcd *to, char password[static 256],
                 struct err *e)
{
	password[0] = '\0';
	*to = (struct store_etcd){ .endpoints = c->etcd_endpoints,
		                   .ca = c->etcd_ca,
		                   .cert = c->etcd_cert,
		                   .key = c->etcd_key,
		                   .user = c->etcd_user,
		                   .password = password,
		                   .prefix = c->etcd_prefix,
		                   .name = c->node };
	if (!c->etcd_password[0]) {
		return 0;
	}
	AUTO_CLOSE int fd = open(c->etcd_password, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, password, 255);
	if (n < 0) {
		return err_set(e, ERR_UNAVAILABLE, errno, "store: etcd-password-file %s",
		               c->etcd_password);
	}
	password[n] = '\0';
	password[strcspn(password, "\r\n")] = '\0';
	return 0;
}

static void path_of(char *to, size_t size)
{
	snprintf(to, size, "%s/netd.db", plane.config->state_dir);
}

bool storage_open(struct err *e)
{
	char path[160], password[256];
	struct store_etcd etcd;

	if (!is_etcd()) {
		path_of(path, sizeof(path));
		(void)!stat(path, &self.broken);
		plane.store = store_open(plane.config->state_dir, plane.loop, e);
	} else if (storage_etcd(plane.config, &etcd, password, e) == 0) {
		etcd.state = on_state;
		plane.store = store_open_etcd(&etcd, plane.loop, e);
		explicit_bzero(password, sizeof(password));
	}
	return plane.store != NULL;
}

const char *storage_first(void)
{
	return self.node;
}

void storage_loaded(const json_t *row)
{
	free(self.node);
	self.node = strdup(model_str(row, "name"));
}

int storage_ours(struct err *e)
{
	if (!is_etcd()) {
		return 0;
	}
	if (joined_there(plane.config)) {
		return seat_fits(plane.config, e);
	}
	if (self.node && strcmp(self.node, plane.config->node) != 0) {
		return err_set(e, ERR_FORBIDDEN, 0,
		               "store: its groups run on node '%.60s', this is '%.60s' (node-name)",
		               self.node, plane.config->node);
	}
	if (!self.node) {
		json_t *row = json_pack("{s:s}", "name", plane.config->node);
		AUTO_FREE char *text = json_dumps(row, JSON_COMPACT);

		json_decref(row);
		store_submit(plane.store, &(struct store_op){ .key = "meta/node", .value = text },
		             1, control_saved, NULL);
	}
	return 0;
}

void storage_blind(const struct err *e)
{
	char password[256];
	struct store_etcd etcd;
	struct err ignored = ERR_INIT;

	plane.blind = true;
	refuse(e);
	if (is_etcd()) { /* given up, and looked for again, unless it is another's */
		store_close(plane.store);
		plane.store = NULL;
		if (e->kind != ERR_FORBIDDEN &&
		    storage_etcd(plane.config, &etcd, password, &ignored) == 0) {
			self.w = store_wait_etcd(&etcd, plane.loop, on_farewell, NULL);
			explicit_bzero(password, sizeof(password));
		}
	}
}

/* ---- is it mended? ---- */

static void probed(void *arg, const struct err *e, uint64_t rev)
{
	(void)rev;
	if (!e && arg == NULL && plane.stopped && !self.away) {
		log_info("store.writable", LOG_STR("was", plane.stopped));
		say_farewell(0); /* from what is stored */
	} else if (e && !plane.stopped) {
		refuse(e);
	}
}

/* A store that was opened for reading is opened anew once a file can be written beside it. */
static void probe_disk(const char *text)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/probe", plane.config->state_dir);
	AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool room = fd >= 0 && write(fd, text, PROBE_SIZE) == PROBE_SIZE;
	unlink(path);
	if (room) {
		on_farewell(NULL);
	}
}

void storage_probe(void)
{
	AUTO_FREE char *text = malloc(PROBE_SIZE);

	if (!text) {
		return;
	}
	memset(text, 'x', PROBE_SIZE - 1);
	text[PROBE_SIZE - 1] = '\0';
	if (plane.stopped && store_readonly(plane.store)) {
		probe_disk(text);
		return;
	}
	store_submit(plane.store, &(struct store_op){ .key = "probe", .value = text }, 1, probed,
	             &plane);
	store_submit(plane.store, &(struct store_op){ .key = "probe" }, 1, probed, NULL);
}

void storage_look(int64_t now)
{
	static int64_t last;
	char path[160];
	struct stat st;

	if (!plane.stopped || self.away || now - last < PROBE_MS) {
		return;
	}
	last = now;
	path_of(path, sizeof(path));
	if (!plane.blind) {
		storage_probe();
	} else if (!is_etcd() && stat(path, &st) == 0 &&
	           (st.st_ino != self.broken.st_ino || st.st_size != self.broken.st_size ||
	            st.st_mtim.tv_sec != self.broken.st_mtim.tv_sec)) {
		on_farewell(NULL);
	}
}
