/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The supervisor: reads the configuration, opens what needs privilege (listeners, folders),
 * starts the roles by re-executing itself, wires them pairwise, restarts what dies with a growing
 * delay, and tells systemd. It handles no tenant's bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/model/model.h"
#include "lib/store/move.h"
#include "lib/store/seal.h"
#include "netd/agent.h"
#include "netd/resolver.h"
#include "netd/role.h"
#include "netd/seat.h"
#include "netd/storage.h"

#define EX_CONFIG      78
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define CALM_MS        30000
#define SHORT_MS       500
#define STOP_MS        3000

struct child {
	enum role role;
	pid_t pid; /* 0: not running */
	struct channel *chan;
	struct loop_timer *restart;
	int64_t started_ms, backoff_ms;
	bool ready;
	unsigned starts;
};

static struct {
	struct config config;
	const char *config_path;
	struct loop *loop;
	int fds[FD_N];
	struct child children[ROLE_N];
	bool announced, stopping;
} self;

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = path ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

	if (fd < 0 || strlen(path) >= sizeof(sa.sun_path)) {
		return;
	}
	memcpy(sa.sun_path, path, strlen(path));
	if (sa.sun_path[0] == '@') {
		sa.sun_path[0] = '\0';
	}
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sa, len) < 0) {
		log_warn("notify.failed", LOG_STR("error", strerror(errno)));
	}
}

/* ---- listeners ---- */

static int listen_unix(const char *name, int type, mode_t mode, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	AUTO_CLOSE int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", self.config.run_dir, name);
	unlink(sa.sun_path);
	mode_t was = umask((mode_t)~mode & 0777);
	int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(was);
	if (rc < 0 || listen(fd, 512) < 0) {
		return err_set(e, ERR_INVALID, errno, "socket %s", sa.sun_path);
	}
	return take_fd(&fd);
}

static int listen_ip(const char *key, const char *at, int type, struct err *e)
{
	struct sockaddr_storage sa = { 0 };
	struct ip ip;
	uint16_t port;
	int one = 1;

	if (ip_endpoint_parse(at, 0, &ip, &port, e) < 0) {
		return -1;
	}
	socklen_t len = ip_sockaddr(&ip, port, &sa);
	AUTO_CLOSE int fd = socket(sa.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, type == SOCK_DGRAM ? SO_REUSEPORT : SO_REUSEADDR, &one,
		           sizeof(one));
	}
	int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sa, len);
	if (rc < 0 || (type == SOCK_STREAM && listen(fd, 512) < 0)) {
		return err_set(e, ERR_INVALID, errno,
		               "%s = %s: the address cannot be used (`ss -lntup` names its owner)",
		               key, at);
	}
	return take_fd(&fd);
}

/* A socket for each worker: the kernel spreads clients over them. */
static int listen_dns(struct err *e)
{
	long n = self.config.dns_workers ? (long)self.config.dns_workers
	                                 : sysconf(_SC_NPROCESSORS_ONLN);

	for (long i = 0; i < n && FD_DNS_UDP + i <= FD_DNS_UDP_LAST; i++) {
		int fd = listen_ip("listen-dns", self.config.listen_dns, SOCK_DGRAM, e);

		if (fd < 0) {
			return -1;
		}
		int big = 4 << 20, off = IP_PMTUDISC_OMIT; /* RFC 9715: no fragments */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &big, sizeof(big));
		(void)!setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &off, sizeof(off));
		off = IPV6_PMTUDISC_OMIT;
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &off, sizeof(off));
		self.fds[FD_DNS_UDP + i] = fd;
	}
	return 0;
}

/* The dns role's table of names: memory that stays when the role ends, so that it goes on with it. */
static int fresh_names(struct err *e)
{
	if (self.fds[FD_DNS_NAMES] >= 0) {
		close(self.fds[FD_DNS_NAMES]);
	}
	self.fds[FD_DNS_NAMES] = memfd_create("netd-names", MFD_CLOEXEC);
	return self.fds[FD_DNS_NAMES] < 0 ? err_set(e, ERR_NO_MEMORY, errno, "memory of names") : 0;
}

/* The role gets certificate and key open: it may read neither. */
static int open_session(struct err *e)
{
	const struct config *c = &self.config;

	self.fds[FD_SESSION_TLS] = listen_ip("listen-session", c->listen_session, SOCK_STREAM, e);
	if (self.fds[FD_SESSION_TLS] < 0) {
		return -1;
	}
	self.fds[FD_TLS_CERT] = open(c->tls_cert, O_RDONLY | O_CLOEXEC);
	self.fds[FD_TLS_KEY] = open(c->tls_key, O_RDONLY | O_CLOEXEC);
	if (self.fds[FD_TLS_CERT] < 0 || self.fds[FD_TLS_KEY] < 0) {
		return err_set(e, ERR_INVALID, errno, "tls-cert %s, tls-key %s", c->tls_cert,
		               c->tls_key);
	}
	return 0;
}

static int open_plane(struct err *e)
{
	const struct config *c = &self.config;
	bool serves = c->listen_nodes[0] && (!joined_there(c) || seat_stands_by(c));

	self.fds[FD_CNI] = listen_unix("cni.sock", SOCK_STREAM, 0600, e);
	self.fds[FD_NODES] =
		serves ? listen_ip("listen-nodes", c->listen_nodes, SOCK_STREAM, e) : -1;
	return self.fds[FD_CNI] < 0 || (serves && self.fds[FD_NODES] < 0) ? -1 : 0;
}

static int open_listeners(struct err *e)
{
	const struct config *c = &self.config;

	for (int i = 0; i < FD_N; i++) {
		self.fds[i] = -1;
	}
	self.fds[FD_API_UNIX] = listen_unix("api.sock", SOCK_STREAM, 0666, e);
	self.fds[FD_RUNTIME] = listen_unix("runtime.sock", SOCK_STREAM, 0600, e);
	if (self.fds[FD_API_UNIX] < 0 || self.fds[FD_RUNTIME] < 0 || open_plane(e) < 0) {
		return -1;
	}
	if (c->listen_api[0]) {
		self.fds[FD_API_TLS] = listen_ip("listen-api", c->listen_api, SOCK_STREAM, e);
		if (self.fds[FD_API_TLS] < 0) {
			return -1;
		}
	}
	self.fds[FD_SESSION_UNIX] = listen_unix("session.sock", SOCK_STREAM, 0666, e);
	if (self.fds[FD_SESSION_UNIX] < 0 || (c->listen_session[0] && open_session(e) < 0)) {
		return -1;
	}
	if (c->listen_dns[0]) {
		self.fds[FD_DNS_TCP] = listen_ip("listen-dns", c->listen_dns, SOCK_STREAM, e);
		if (self.fds[FD_DNS_TCP] < 0 || listen_dns(e) < 0) {
			return -1;
		}
	}
	if (c->query_log[0]) {
		self.fds[FD_DNS_LOG] = open(
			c->query_log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (self.fds[FD_DNS_LOG] < 0) {
			return err_set(e, ERR_INVALID, errno, "dns-query-log = %s", c->query_log);
		}
	}
	return fresh_names(e);
}

static int make_folders(struct err *e)
{
	const struct config *c = &self.config;
	uid_t user = (uid_t)c->user_control;

	if ((mkdir(c->run_dir, 0755) < 0 && errno != EEXIST) ||
	    (mkdir(c->state_dir, 0700) < 0 && errno != EEXIST) ||
	    chown(c->state_dir, user, user) < 0) {
		return err_set(e, ERR_INVALID, errno, "folders %s, %s", c->run_dir, c->state_dir);
	}
	return 0;
}

/* The pool that nobody chose must not hide what the host reaches already (/proc/net/route: device,
 * destination and mask in network order, as hexadecimal numbers). */
static int check_default_pool(struct err *e)
{
	char line[256], device[32], text[2][IP_TEXT];
	FILE *f = self.config.pool_default ? fopen("/proc/net/route", "re") : NULL;
	int rc = 0;

	while (f && rc == 0 && fgets(line, sizeof(line), f)) {
		struct ip_prefix there = { .ip = { .family = 4 } };
		uint32_t to, mask;

		if (sscanf(line, "%31s %x %*x %*x %*d %*d %*d %x", device, &to, &mask) != 3 ||
		    mask == 0 || strcmp(device, "netd0") == 0) {
			continue;
		}
		memcpy(there.ip.b, &to, 4);
		there.len = (uint8_t)__builtin_popcount(mask);
		if (ip_prefix_overlaps(&self.config.pools[0], &there)) {
			rc = err_set(e, ERR_INVALID, 0,
			             "the default pool %s overlaps the host's route %s dev %s: set "
			             "'pool = routed PREFIX' or 'pool = onlink PREFIX'",
			             ip_prefix_format(&self.config.pools[0], text[0]),
			             ip_prefix_format(&there, text[1]), device);
		}
	}
	if (f) {
		fclose(f);
	}
	return rc;
}

/* The key of sealed secrets lies beside the store's folder, not in it, and root's alone; made when
 * absent. Control gets it open. */
static int open_seal_key(struct err *e)
{
	uint8_t key[SEAL_KEY];
	char path[120];
	struct stat st;

	snprintf(path, sizeof(path), "%s.key", self.config.state_dir);
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0) {
		return err_set(e, ERR_INVALID, errno, "key of sealed secrets %s", path);
	}
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0 ||
	    (st.st_size != 0 && st.st_size != SEAL_KEY)) {
		return err_set(e, ERR_INVALID, 0,
		               "key of sealed secrets %s: must be root's alone (0600) and have %d "
		               "bytes",
		               path, SEAL_KEY);
	}
	if (st.st_size == 0) {
		random_system.fill(&random_system, key, sizeof(key));
		ssize_t n = write(fd, key, sizeof(key));

		explicit_bzero(key, sizeof(key));
		if (n != SEAL_KEY || fsync(fd) < 0) {
			return err_set(e, ERR_INVALID, errno, "key of sealed secrets %s", path);
		}
	}
	self.fds[FD_SEAL_KEY] = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return self.fds[FD_SEAL_KEY] < 0 ? err_set(e, ERR_INVALID, errno, "%s", path) : 0;
}

/* ---- roles ---- */

static void start(struct child *c);

static void on_restart(void *arg)
{
	start(arg);
}

static void link_peers(struct child *a, struct child *b)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct buf body = { 0 };

		put_u32(&body, i == 0 ? b->role : a->role);
		channel_send(i == 0 ? a->chan : b->chan, MSG_PEER, &body, pair[i]);
		buf_fini(&body);
		close(pair[i]);
	}
}

static void on_message(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	bool all = true;

	(void)arg;
	if (fd >= 0) {
		close(fd);
	}
	if (type == MSG_RELINK) {
		uint32_t peer = get_u32(r);

		if (peer >= ROLE_ENGINE && peer < ROLE_N && self.children[peer].pid > 0) {
			log_warn("role.relink", LOG_STR("name", roles[peer].name));
			link_peers(&self.children[from], &self.children[peer]);
		}
		return;
	}
	if (type != MSG_READY) {
		return;
	}
	self.children[from].ready = true;
	for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
		all = all && self.children[i].ready;
	}
	if (all && !self.announced) {
		self.announced = true;
		notify("READY=1");
		log_info("netd.ready", LOG_NUM("roles", ROLE_N - 1));
	}
}

static void on_closed(void *arg, enum role peer)
{
	(void)arg;
	channel_free(self.children[peer].chan);
	self.children[peer].chan = NULL;
}

/* Tests name crash points, "engine.links:3,control.named:7,...": each start of a role takes the next
 * of its own. */
static void arm_crash(const char *role, unsigned start)
{
	const char *all = getenv("NETD_CRASH_AT");
	AUTO_FREE char *list = strdup(all ? all : "");
	char *save = NULL;
	size_t len = strlen(role);

	unsetenv("NETD_CRASH_AT");
	for (char *p = strtok_r(list, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (strncmp(p, role, len) == 0 && p[len] == '.' && --start == 0) {
			setenv("NETD_CRASH_AT", p, 1);
		}
	}
}

static void exec_role(enum role role, int main_fd)
{
	const char *name = roles[role].name;
	int next = ROLE_FD_MAIN + 1;
	int high[FD_N + 1];

	/* Out of the way first, so that no target number is still in use. */
	high[FD_N] = fcntl(main_fd, F_DUPFD_CLOEXEC, 64);
	for (int i = 0; i < FD_N; i++) {
		high[i] = roles[role].fds & 1u << i && self.fds[i] >= 0
		                  ? fcntl(self.fds[i], F_DUPFD_CLOEXEC, 64)
		                  : -1;
	}
	dup2(high[FD_N], ROLE_FD_MAIN);
	for (int i = 0; i < FD_N; i++, next++) {
		close(next);
		if (high[i] >= 0) {
			dup2(high[i], next);
		}
	}
	arm_crash(name, self.children[role].starts);
	execl("/proc/self/exe", "netd", "--role", name, self.config_path ? "--config" : NULL,
	      self.config_path, NULL);
	_exit(71);
}

static void start(struct child *c)
{
	int pair[2];

	if (self.stopping ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		return;
	}
	c->starts++;
	c->started_ms = clock_system.now_ms(&clock_system);
	c->pid = fork();
	if (c->pid == 0) {
		exec_role(c->role, pair[1]);
	}
	close(pair[1]);
	c->chan = channel_new(self.loop, pair[0], ROLE_MAIN, c->role, on_message, on_closed, NULL);
	log_info("role.start", LOG_STR("name", roles[c->role].name), LOG_NUM("pid", c->pid));
	for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
		struct child *other = &self.children[i];

		if (other != c && other->pid > 0 && roles[c->role].peers & 1u << i) {
			link_peers(c, other);
		}
	}
}

static void ended(struct child *c, int status)
{
	int64_t now = clock_system.now_ms(&clock_system);
	struct err e = ERR_INIT;

	c->pid = 0;
	c->ready = false;
	channel_free(c->chan);
	c->chan = NULL;
	log_warn("role.ended", LOG_STR("name", roles[c->role].name), LOG_NUM("status", status));
	if (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG) {
		loop_stop(self.loop);
		return;
	}
	if (c->role == ROLE_DNS && now - c->started_ms < SHORT_MS) { /* by what it took over? */
		(void)!fresh_names(&e);
	}
	c->backoff_ms = now - c->started_ms > CALM_MS || !c->backoff_ms ? BACKOFF_MIN_MS
	                                                                : c->backoff_ms * 2;
	if (c->backoff_ms > BACKOFF_MAX_MS) {
		c->backoff_ms = BACKOFF_MAX_MS;
	}
	if (!self.stopping) {
		loop_timer_start(c->restart, c->backoff_ms);
	}
}

static void on_child(void *arg)
{
	int status;
	pid_t pid;

	(void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
			if (self.children[i].pid == pid) {
				ended(&self.children[i], status);
			}
		}
	}
}

static void on_stop(void *arg)
{
	(void)arg;
	loop_stop(self.loop);
}

static struct loop_timer *watchdog;
static void on_watchdog(void *arg)
{
	(void)arg;
	notify("WATCHDOG=1");
	loop_timer_start(watchdog, 2000);
}

static void stop_roles(void)
{
	self.stopping = true;
	notify("STOPPING=1");
	for (int i = ROLE_N - 1; i >= ROLE_ENGINE; i--) {
		if (self.children[i].pid > 0) {
			kill(self.children[i].pid, SIGTERM);
		}
	}
	for (int waited = 0; waited < STOP_MS; waited += 10) {
		bool any = false;

		for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
			if (self.children[i].pid > 0 &&
			    waitpid(self.children[i].pid, NULL, WNOHANG) != 0) {
				self.children[i].pid = 0;
			}
			any = any || self.children[i].pid > 0;
		}
		if (!any) {
			return;
		}
		usleep(10000);
	}
}

static int supervise(void)
{
	struct err e = ERR_INIT;

	if (geteuid() != 0) {
		fprintf(stderr, "netd: must be started as root\n");
		return EX_CONFIG;
	}
	if (joined_check(&self.config, &e) < 0 || check_default_pool(&e) < 0 ||
	    make_folders(&e) < 0 || open_listeners(&e) < 0 || open_seal_key(&e) < 0) {
		fprintf(stderr, "netd: %s\n", e.msg);
		return EX_CONFIG;
	}
	(void)!prctl(PR_SET_CHILD_SUBREAPER, 1); /* resolvers, when their engine ended */
	self.loop = loop_new();
	loop_signal(self.loop, SIGCHLD, on_child, NULL);
	loop_signal(self.loop, SIGTERM, on_stop, NULL);
	loop_signal(self.loop, SIGINT, on_stop, NULL);
	for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
		struct child *c = &self.children[i];

		c->role = (enum role)i;
		c->restart = loop_timer_new(self.loop, on_restart, c);
		start(c);
	}
	watchdog = loop_timer_new(self.loop, on_watchdog, NULL);
	loop_timer_start(watchdog, 2000);
	loop_run(self.loop);
	stop_roles();
	return 0;
}

static int run_role(const char *name)
{
	int fds[FD_N];

	for (int i = ROLE_ENGINE; i < ROLE_N; i++) {
		if (strcmp(roles[i].name, name) != 0) {
			continue;
		}
		log_setup(roles[i].name, (enum log_level)self.config.log_level);
		for (int k = 0; k < FD_N; k++) {
			fds[k] = fcntl(ROLE_FD_MAIN + 1 + k, F_GETFD) >= 0 ? ROLE_FD_MAIN + 1 + k
			                                                   : -1;
			if (fds[k] >= 0) {
				fcntl(fds[k], F_SETFD, FD_CLOEXEC);
			}
		}
		fcntl(ROLE_FD_MAIN, F_SETFD, FD_CLOEXEC);
		role_enter((enum role)i, &self.config);
		crash_setup();
		roles[i].run(&self.config, loop_new(), fds, ROLE_FD_MAIN);
		return 0;
	}
	return 64;
}

/* From state-dir to the etcd that the configuration names; docs/etcd.md. */
static int move_store(void)
{
	const struct config *c = &self.config;
	struct store_etcd etcd;
	struct err e = ERR_INIT;
	char password[256];
	size_t n;

	if (strcmp(c->store, "etcd") != 0) {
		err_set(&e, ERR_INVALID, 0, "--move-store needs store = etcd in the configuration");
	} else if (storage_etcd(c, &etcd, password, &e) == 0 &&
	           store_move(c->state_dir, &etcd, &n, &e) == 0) {
		printf("%zu pairs of %s/netd.db are in etcd now; restart netd\n", n, c->state_dir);
		return 0;
	}
	fprintf(stderr, "netd: %s; nothing was changed\n", e.msg);
	return EX_CONFIG;
}

/* With what another version has to have the same numbers of, for its nodes to be told, and heard: docs/nodes.md. */
static void version_print(void)
{
	puts("netd " NETD_VERSION);
	for (size_t i = 0; i < CONTROL_PEERS; i++) {
		printf("%s %08x\n", roles[control_peers[i]].name,
		       message_dialect(control_peers[i]));
	}
}

int main(int argc, char **argv)
{
	const char *role = NULL, *token = NULL;
	bool resolver = false, moves = false, leaves = false;
	struct err e = ERR_INIT;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
			self.config_path = argv[++i];
		} else if (strcmp(argv[i], "--role") == 0 && i + 1 < argc) {
			role = argv[++i];
		} else if (strcmp(argv[i], "--resolver") == 0) {
			resolver = true;
		} else if (strcmp(argv[i], "--move-store") == 0) {
			moves = true;
		} else if (strcmp(argv[i], "join") == 0 && i + 1 < argc) {
			token = argv[++i];
		} else if (strcmp(argv[i], "leave") == 0) {
			leaves = true;
		} else if (strcmp(argv[i], "--crash-points") == 0) {
			crash_print();
			return 0;
		} else if (strcmp(argv[i], "--help-config") == 0) {
			config_help();
			return 0;
		} else if (strcmp(argv[i], "--compatibility") == 0) {
			model_document();
			return 0;
		} else if (strcmp(argv[i], "--version") == 0) {
			version_print();
			return 0;
		} else {
			fprintf(stderr,
			        "usage: netd [--config FILE] [--move-store | join TOKEN | leave] | --help-config | "
			        "--crash-points | --compatibility | --version\n");
			return 64;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	if (config_read(self.config_path, &self.config, &e) < 0) {
		fprintf(stderr, "netd: %s\n", e.msg);
		return EX_CONFIG;
	}
	if (moves) {
		return move_store();
	}
	if (token || leaves) {
		return token ? join_run(&self.config, token) : leave_run(&self.config);
	}
	if (resolver) {
		log_setup("resolver", (enum log_level)self.config.log_level);
		fcntl(ROLE_FD_MAIN, F_SETFD, FD_CLOEXEC);
		role_enter(ROLE_RESOLVER, &self.config);
		return resolver_run(&self.config, ROLE_FD_MAIN);
	}
	log_setup("main", (enum log_level)self.config.log_level);
	return role ? run_role(role) : supervise();
}
