/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The example runtime: connects to netd's push socket, runs each group's containers with runc in
 * the namespace it is given, reports states. A reader of docs/runtime.md finds each step here.
 * When netd goes away the containers run on, and the connection is made anew.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "examples/runtime/bundle.h"
#include "examples/runtime/exec.h"
#include "examples/runtime/probe.h"
#include "examples/runtime/stats.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "lib/model/model.h"

#define CONTAINERS_MAX 60
#define TICK_MS        20
#define LOG_MAX        1000000
#define USAGE_MS       10000
#define FDS_MAX        8 /* descriptors whose frames are not whole yet */

enum phase {
	PHASE_START,
	PHASE_RUN,
	PHASE_EXITED
};

struct container {
	char name[64], id[160];
	pid_t pid; /* of `runc run`, 0 none */
	enum phase phase;
	int restarts, exit_code;
	bool init;
	int64_t due_ms;
	const json_t *spec; /* in the group's message */
	struct probe probe;
	uint64_t cpu_ns; /* when it was last told */
};

struct group {
	struct group *next;
	char *key, name[80], dir[256];
	json_t *spec; /* with secrets */
	json_t *message;
	struct container c[CONTAINERS_MAX];
	int n;
	bool started, ready, stopping, removing, held;
	int64_t kill_ms, usage_ms;
};

static struct {
	const char *socket, *dir, *images, *helloworld;
	int fd;
	struct buf in;
	size_t dropped; /* bytes that were before those in `in` */
	struct {
		int fd;
		size_t at; /* where its frame begins */
	} fds[FDS_MAX];
	int n_fds;
	unsigned tag; /* of its containers' ids: control groups are the whole machine's */
	struct group *groups;
	volatile sig_atomic_t stop;
} self = { .fd = -1 };

static int64_t now_ms(void)
{
	return clock_system.now_ms(&clock_system);
}

static void send_json(json_t *m)
{
	AUTO_FREE char *text = json_dumps(m, JSON_COMPACT);
	uint32_t be = htonl((uint32_t)strlen(text));
	AUTO_BUF struct buf b = { 0 };

	buf_add(&b, &be, 4);
	buf_add(&b, text, strlen(text));
	for (size_t at = 0; self.fd >= 0 && at < b.len;) {
		ssize_t n = send(self.fd, b.data + at, b.len - at, MSG_NOSIGNAL);

		if (n <= 0) {
			close(self.fd);
			self.fd = -1;
		} else {
			at += (size_t)n;
		}
	}
	json_decref(m);
}

static void report(const struct group *g, const char *state, const char *event, const char *message)
{
	json_t *containers = json_object();

	for (int i = 0; i < g->n; i++) {
		const struct container *c = &g->c[i];
		static const char *const names[] = { "Waiting", "Running", "Terminated" };

		json_object_set_new(containers, c->name,
		                    json_pack("{s:i, s:{s:s, s:i}}", "restartCount", c->restarts,
		                              "currentState", "state", names[c->phase], "exitCode",
		                              c->exit_code));
	}
	send_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "type", "state", "id", g->key,
	                    "state", state, "event", event, "message", message, "containers",
	                    containers));
}

/* ---- containers ---- */

static void spawn(struct group *g, struct container *c)
{
	char log[400], bundle[400];

	snprintf(bundle, sizeof(bundle), "%s/%s", g->dir, c->name);
	snprintf(log, sizeof(log), "%s/%s.log", g->dir, c->name);
	c->pid = fork();
	if (c->pid == 0) {
		char root[300];
		FILE *out = freopen(log, "a", stdout);

		snprintf(root, sizeof(root), "%s/runc", self.dir);
		if (!out || dup2(fileno(stdout), STDERR_FILENO) < 0 ||
		    !freopen("/dev/null", "r", stdin)) {
			_exit(126);
		}
		setsid();
		execlp("runc", "runc", "--root", root, "run", "--bundle", bundle, c->id, NULL);
		_exit(127);
	}
	c->phase = PHASE_START;
	c->due_ms = now_ms() + 100;
}

static int runc(const char *verb, const char *a, const char *b)
{
	char root[300];
	pid_t pid;
	int status = 0;

	snprintf(root, sizeof(root), "%s/runc", self.dir);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) {
			_exit(126);
		}
		execlp("runc", "runc", "--root", root, verb, a, b, NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void signal_all(struct group *g, const char *signal)
{
	for (int i = 0; i < g->n; i++) {
		if (g->c[i].pid > 0) {
			runc("kill", g->c[i].id, signal);
		}
	}
}

static void begin_stop(struct group *g, bool remove, int64_t grace_ms)
{
	g->stopping = true;
	g->removing = g->removing || remove;
	g->kill_ms = now_ms() + grace_ms;
	signal_all(g, "TERM");
}

static void forget(struct group *g)
{
	struct group **at = &self.groups;

	while (*at != g) {
		at = &(*at)->next;
	}
	*at = g->next;
	bundle_remove(g->dir);
	json_decref(g->message);
	free(g->key);
	free(g);
}

static bool all_gone(const struct group *g)
{
	for (int i = 0; i < g->n; i++) {
		if (g->c[i].pid > 0) {
			return false;
		}
	}
	return true;
}

/* Init containers run one after the other, then the others all at once. */
static void step_start(struct group *g)
{
	bool init_left = false, all = true;

	for (int i = 0; i < g->n; i++) {
		struct container *c = &g->c[i];

		if (c->init && c->phase != PHASE_EXITED) {
			if (!c->pid && !init_left) {
				spawn(g, c);
			}
			init_left = true;
		}
	}
	for (int i = 0; i < g->n && !init_left; i++) {
		struct container *c = &g->c[i];

		if (!c->init && !c->pid && c->phase == PHASE_START && now_ms() >= c->due_ms) {
			spawn(g, c);
		}
		if (!c->init && c->pid && c->phase == PHASE_START && now_ms() >= c->due_ms) {
			if (runc("state", c->id, NULL) == 0) {
				c->phase = PHASE_RUN;
				probe_begin(&c->probe, c->spec, now_ms());
				if (g->started) { /* it was started again */
					report(g, "update", "", "");
				}
			}
			c->due_ms = now_ms() + 30;
		}
		/* One that ended and is started again has been started. */
		all = all && (c->init || c->phase != PHASE_START || c->restarts > 0);
	}
	if (!init_left && all && !g->started) {
		g->started = true;
		report(g, "started", "Started", "Started containers");
	}
}

/* Ready is a group whose containers are; told when it changes. */
static void step_ready(struct group *g)
{
	char root[300];
	bool ready = true;

	snprintf(root, sizeof(root), "%s/runc", self.dir);
	for (int i = 0; i < g->n; i++) {
		struct container *c = &g->c[i];

		if (c->init) {
			continue;
		}
		probe_step(
			&c->probe,
			&(struct probe_at){ model_str(g->message, "namespace"),
		                            json_string_value(json_array_get(
						    json_object_get(g->message, "addresses"), 0)),
		                            root, c->id },
			now_ms());
		ready = ready && c->probe.ready;
	}
	if (ready != g->ready) {
		g->ready = ready;
		report(g, ready ? "ready" : "notReady", ready ? "Ready" : "Unhealthy",
		       ready ? "All containers are ready" : "A readiness probe failed");
	}
}

/* What its containers use, told from time to time. */
static void step_usage(struct group *g)
{
	int64_t now = now_ms(), took = now - g->usage_ms;
	json_t *containers;
	uint64_t cpu, bytes;

	if (took < USAGE_MS) {
		return;
	}
	containers = json_object();
	for (int i = 0; i < g->n; i++) {
		struct container *c = &g->c[i];

		if (c->phase != PHASE_RUN || !stats_read(c->id, &cpu, &bytes)) {
			continue;
		}
		if (g->usage_ms && cpu >= c->cpu_ns) { /* nanoseconds in milliseconds: millionths */
			json_object_set_new(
				containers, c->name,
				json_pack("{s:f, s:I}", "cpu",
			                  (double)(cpu - c->cpu_ns) / 1000 / (double)took, "memory",
			                  (json_int_t)bytes));
		}
		c->cpu_ns = cpu;
	}
	if (json_object_size(containers)) {
		send_json(json_pack("{s:s, s:s, s:O}", "type", "usage", "id", g->key, "containers",
		                    containers));
	}
	json_decref(containers);
	g->usage_ms = now;
}

static void step(struct group *g)
{
	if (g->stopping) {
		if (g->kill_ms && now_ms() >= g->kill_ms) {
			signal_all(g, "KILL");
			g->kill_ms = now_ms() + 1000;
		}
		if (all_gone(g)) {
			g->stopping = false;
			g->held = true;
			report(g, "stopped", "Killing", "Stopped containers");
			if (g->removing) {
				forget(g);
			}
		}
	} else if (!g->held) {
		step_start(g);
		if (g->started) {
			step_ready(g);
			step_usage(g);
		}
	}
}

static void on_exit_of(struct group *g, struct container *c, int status)
{
	const char *policy = model_str(g->spec, "properties.restartPolicy");

	c->pid = 0;
	c->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	runc("delete", "--force", c->id);
	bool again = !g->stopping &&
	             (c->init ? c->exit_code != 0
	                      : strcasecmp(policy, "Never") != 0 &&
	                                (strcasecmp(policy, "OnFailure") != 0 || c->exit_code));
	c->phase = again ? PHASE_START : PHASE_EXITED;
	c->probe.ready = c->probe.ready && !c->probe.spec;
	if (again) {
		c->restarts++;
		c->due_ms = now_ms() + (c->restarts < 8 ? 100 << c->restarts : 30000);
	}
	report(g, "update", "", "");
	fprintf(stderr, "runtime: container %s exited with %d\n", c->id, c->exit_code);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct group *g = self.groups; g; g = g->next) {
			for (int i = 0; i < g->n; i++) {
				if (g->c[i].pid == pid) {
					on_exit_of(g, &g->c[i], status);
				} else if (g->c[i].probe.pid == pid) {
					probe_ended(&g->c[i].probe, status, now_ms());
				}
			}
		}
	}
}

/* ---- frames ---- */

static struct group *find(const char *key)
{
	for (struct group *g = self.groups; g; g = g->next) {
		if (strcmp(g->key, key) == 0) {
			return g;
		}
	}
	return NULL;
}

static void add_containers(struct group *g, const char *list, bool init)
{
	json_t *x;
	size_t i;

	json_array_foreach(model_at(g->spec, list), i, x)
	{
		if (g->n == CONTAINERS_MAX) {
			return;
		}
		struct container *c = &g->c[g->n++];
		struct bundle b = { .dir = g->dir,
			            .images = self.images,
			            .helloworld = self.helloworld,
			            .group = g->name,
			            .name = c->name,
			            .message = g->message,
			            .container = x,
			            .id = c->id };

		*c = (struct container){ .init = init, .spec = x };
		snprintf(c->name, sizeof(c->name), "%s", model_str(x, "name"));
		snprintf(c->id, sizeof(c->id), "netd%08x-%.60s-%.60s", self.tag,
		         model_str(g->message, "name"), model_str(x, "name"));
		if (bundle_make(&b) < 0) {
			report(g, "failed", "Failed", "the container's bundle could not be made");
			g->held = true;
		}
		if (b.substituted) {
			report(g, "starting", "Pulled",
			       "no such image here; helloworld runs instead");
		}
	}
}

static void start_group(struct group *g, json_t *m)
{
	json_decref(g->message);
	g->message = json_incref(m);
	g->spec = json_object_get(m, "group");
	g->n = 0;
	g->started = g->ready = false;
	g->held = json_is_true(json_object_get(m, "stopped"));
	add_containers(g, "properties.initContainers", true);
	add_containers(g, "properties.containers", false);
}

/* A group that runs here under another id: that is all that changes. */
static struct group *known(const json_t *m)
{
	struct group *g = find(model_str(m, "id")), *old = g ? NULL : find(model_str(m, "from"));

	if (old) {
		free(old->key);
		old->key = strdup(model_str(m, "id"));
	}
	return g ? g : old;
}

static void on_group(json_t *m)
{
	struct group *g = known(m);
	json_int_t generation = json_integer_value(json_object_get(m, "generation"));

	if (g) {
		if (json_integer_value(json_object_get(g->message, "generation")) == generation) {
			if (g->started) { /* told again after a reconnection */
				report(g, "started", "", "");
				report(g, g->ready ? "ready" : "notReady", "", "");
			}
			return;
		}
		signal_all(g, "KILL"); /* an update restarts the containers in place */
		while (!all_gone(g)) {
			usleep(5000);
			reap();
		}
		bundle_remove(g->dir);
		start_group(g, m);
		return;
	}
	g = calloc(1, sizeof(*g));
	if (!g) {
		return;
	}
	g->key = strdup(model_str(m, "id"));
	snprintf(g->name, sizeof(g->name), "%s", model_str(m, "name"));
	static unsigned counter;
	snprintf(g->dir, sizeof(g->dir), "%.150s/%s-%u", self.dir, model_str(m, "name"), ++counter);
	g->next = self.groups;
	self.groups = g;
	start_group(g, m);
}

static void on_stop(const json_t *m)
{
	struct group *g = known(m);
	bool remove = json_is_true(json_object_get(m, "remove"));

	if (!g) { /* nothing of it here: it is stopped */
		send_json(json_pack("{s:s, s:s, s:s}", "type", "state", "id", model_str(m, "id"),
		                    "state", "stopped"));
		return;
	}
	begin_stop(g, remove, json_integer_value(json_object_get(m, "graceSeconds")) * 100);
}

/* Groups that netd has no more, after a time without it. */
static void end_unlisted(json_t *ids)
{
	for (struct group *g = self.groups; g; g = g->next) {
		const json_t *x;
		bool listed = false;
		size_t i;

		json_array_foreach(ids, i, x)
		{
			listed = listed ||
			         (json_is_string(x) && strcmp(json_string_value(x), g->key) == 0);
		}
		if (!listed && !g->stopping) {
			begin_stop(g, true, 1000);
		}
	}
}

/* The end of a container's log: `tail` lines, or as much as fits in a frame. */
static void on_logs(const struct group *g, const json_t *m)
{
	long tail = (long)json_integer_value(json_object_get(m, "tail"));
	char path[400], *text = calloc(1, LOG_MAX + 1);
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/%s.log", g ? g->dir : "", model_str(m, "container"));
	FILE *f = g && text && !strchr(model_str(m, "container"), '/') ? fopen(path, "r") : NULL;
	if (f) {
		fseek(f, 0, SEEK_END);
		long size = ftell(f);
		fseek(f, size > LOG_MAX ? size - LOG_MAX : 0, SEEK_SET);
		n = fread(text, 1, LOG_MAX, f);
		fclose(f);
	}
	size_t from = n;
	for (long lines = 0; tail > 0 && from > 0; from--) {
		lines += text[from - 1] == '\n' && from < n;
		if (lines == tail) {
			break;
		}
	}
	from = tail > 0 ? from : 0;
	for (size_t i = from; i < n; i++) { /* a container may write any bytes */
		text[i] = text[i] == '\0' || (unsigned char)text[i] > 126 ? '?' : text[i];
	}
	send_json(json_pack("{s:s, s:O, s:o}", "type", "logs", "request",
	                    json_object_get(m, "request"), "content",
	                    f ? json_string(text + from) : json_null()));
	free(text);
}

/* Someone wants a program in a container, or its output. */
static void on_exec(const struct group *g, const json_t *m, int fd)
{
	char root[300], log[400];
	const struct container *c = NULL;

	for (int i = 0; g && i < g->n; i++) {
		c = strcmp(g->c[i].name, model_str(m, "container")) == 0 ? &g->c[i] : c;
	}
	if (fd < 0 || !c || c->pid <= 0 || c->phase != PHASE_RUN) {
		send_json(json_pack("{s:s, s:O, s:s}", "type", "exec", "request",
		                    json_object_get(m, "request"), "error",
		                    "the container does not run now"));
		return;
	}
	snprintf(root, sizeof(root), "%s/runc", self.dir);
	snprintf(log, sizeof(log), "%s/%s.log", g->dir, c->name);
	if (exec_start(&(struct exec_at){ root, c->id, g->dir, log, c->pid }, m, fd) < 0) {
		send_json(json_pack("{s:s, s:O, s:s}", "type", "exec", "request",
		                    json_object_get(m, "request"), "error", "no process for it"));
	}
}

static void on_frame(json_t *m, int fd)
{
	const char *type = model_str(m, "type");
	struct group *g = find(model_str(m, "id"));

	if (strcmp(type, "hello") == 0) {
		return;
	}
	if (strcmp(type, "group") == 0) {
		on_group(m);
	} else if (strcmp(type, "listEnd") == 0) {
		end_unlisted(json_object_get(m, "ids"));
	} else if (strcmp(type, "stop") == 0) {
		on_stop(m);
	} else if (strcmp(type, "logs") == 0) {
		on_logs(g, m);
	} else if (strcmp(type, "exec") == 0) {
		on_exec(g, m, fd);
	} else if (g && (strcmp(type, "start") == 0 || strcmp(type, "restart") == 0)) {
		signal_all(g, "KILL");
		while (!all_gone(g)) {
			usleep(5000);
			reap();
		}
		for (int i = 0; i < g->n; i++) {
			g->c[i].phase = PHASE_START;
			g->c[i].due_ms = 0;
			g->c[i].restarts = 0; /* started is told when all run again */
		}
		g->held = g->started = g->ready = false;
	}
}

/* Where the last frame that begins in self.in does: what came with its first byte is its own. */
static size_t last_frame(void)
{
	size_t at = 0, next = 0;
	uint32_t len;

	while (next < self.in.len) {
		at = next;
		if (self.in.len - at < 4) {
			break;
		}
		memcpy(&len, self.in.data + at, 4);
		next = at + 4 + ntohl(len);
	}
	return self.dropped + at;
}

static void keep_fd(int fd)
{
	if (self.n_fds == FDS_MAX) {
		close(fd);
		return;
	}
	self.fds[self.n_fds].at = last_frame();
	self.fds[self.n_fds++].fd = fd;
}

/* The descriptor of the frame that begins self.in; -1 none. */
static int fd_of_frame(void)
{
	if (self.n_fds == 0 || self.fds[0].at != self.dropped) {
		return -1;
	}
	int fd = self.fds[0].fd;
	memmove(&self.fds[0], &self.fds[1], (size_t)--self.n_fds * sizeof(self.fds[0]));
	return fd;
}

static void hang_up(void)
{
	close(self.fd);
	self.fd = -1;
	buf_clear(&self.in);
	while (self.n_fds > 0) {
		close(self.fds[--self.n_fds].fd);
	}
}

static bool take_frame(void)
{
	uint32_t len;

	if (self.in.len < 4) {
		return false;
	}
	memcpy(&len, self.in.data, 4);
	len = ntohl(len);
	if (self.in.len < len + 4) {
		return false;
	}
	/* runc opens the namespace by its path; a runtime that needs the descriptor keeps it. */
	AUTO_CLOSE int fd = fd_of_frame();
	json_t *m = json_loadb((const char *)self.in.data + 4, len, 0, NULL);
	buf_drop(&self.in, len + 4);
	self.dropped += len + 4;
	if (m) {
		on_frame(m, fd);
	}
	json_decref(m);
	return true;
}

static void receive(void)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * 4)];
	} u;
	struct iovec iov = { buf_room(&self.in, 65536), 65536 };
	struct msghdr mh = { .msg_iov = &iov,
		             .msg_iovlen = 1,
		             .msg_control = u.room,
		             .msg_controllen = sizeof(u.room) };
	ssize_t n = recvmsg(self.fd, &mh, MSG_CMSG_CLOEXEC);

	if (n <= 0) {
		hang_up();
		return;
	}
	self.in.len += (size_t)n;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&mh); h; h = CMSG_NXTHDR(&mh, h)) {
		int fd;

		if (h->cmsg_type == SCM_RIGHTS) {
			memcpy(&fd, CMSG_DATA(h), sizeof(fd));
			keep_fd(fd);
		}
	}
	while (take_frame()) {
	}
}

static void connect_netd(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", self.socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return;
	}
	self.fd = fd;
	buf_clear(&self.in);
	send_json(json_pack("{s:s, s:i}", "type", "hello", "version", 1));
}

static void on_signal(int signo)
{
	(void)signo;
	self.stop = 1;
}

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		const char **to = strcmp(argv[i], "--socket") == 0       ? &self.socket
		                  : strcmp(argv[i], "--dir") == 0        ? &self.dir
		                  : strcmp(argv[i], "--images") == 0     ? &self.images
		                  : strcmp(argv[i], "--helloworld") == 0 ? &self.helloworld
		                                                         : NULL;
		if (to) {
			*to = argv[i + 1];
		}
	}
	if (!self.socket || !self.dir || !self.images || !self.helloworld) {
		fprintf(stderr,
		        "usage: netd-runtime --socket PATH --dir DIR --images DIR --helloworld PROGRAM\n");
		return 64;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	bundle_setup(self.dir);
	random_system.fill(&random_system, &self.tag, sizeof(self.tag));
	while (!self.stop) {
		struct pollfd p = { .fd = self.fd, .events = POLLIN };

		if (self.fd < 0) {
			connect_netd();
		}
		p.fd = self.fd;
		if (poll(&p, 1, TICK_MS) > 0 && self.fd >= 0) {
			receive();
		}
		reap();
		for (struct group *g = self.groups, *next; g; g = next) {
			next = g->next;
			step(g);
		}
	}
	for (struct group *g = self.groups; g; g = g->next) {
		signal_all(g, "KILL");
		for (int i = 0; i < g->n; i++) {
			runc("delete", "--force", g->c[i].id);
		}
	}
	return 0;
}
