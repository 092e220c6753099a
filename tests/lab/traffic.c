/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Clients of a service, to a schedule, that count what went wrong; for tests, inside a namespace:
 *   traffic load ADDRESS PORT SECONDS NEW KEPT DOWNLOADS FLOWS
 *     NEW requests a second on connections of their own, KEPT a second on kept ones (which the server may
 *     end with an answer), DOWNLOADS of /slow at a time, FLOWS of UDP at a time, five seconds each;
 *     prints JSON with how many of each, how many failed, how long the slowest took to connect, and
 *     how late this process itself came to look, in ms
 *   traffic echo PORT      answers UDP; until its input ends
 *   traffic hold ADDRESS PORT N     N connections that say nothing; a line when they stand, and for
 *     each that ends why; until its input ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 8192
#define WAIT_MS   900 /* a SYN that had to be sent again has failed */
#define ANSWER_MS 20000
#define FLOW_MS   5000
#define EVENTS    256

enum kind {
	NEW,
	KEPT,
	DOWNLOAD,
	FLOW,
	KINDS
};
static const char *const names[KINDS] = { "new", "kept", "downloads", "flows" };

struct conn {
	int fd; /* -1: free */
	enum kind kind;
	bool connected, asked, closing;
	bool whole; /* the answer is; the server's end is waited for: it remembers the connection then, and the port here is free */
	int64_t begun, due; /* due: of the next request, of a flow's end */
	size_t got, want;   /* bytes of the answer; want 0: its head is not whole */
	char head[512];
	size_t len;
};

static struct conn conns[CONNS_MAX];
static int epoll;
static struct sockaddr_in6 to6;
static struct sockaddr_in to4;
static bool v6;
static uint64_t done[KINDS], failed[KINDS];
static char why[KINDS][300], first_why[KINDS][100];
static int64_t origin, first_bad[KINDS]; /* when those that failed had begun */
static int64_t late;                     /* ms between two turns of this process */
static int64_t slowest[KINDS];           /* ms until connected */
static int64_t per_kept_ms;

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void set_address(const char *text, int port)
{
	v6 = strchr(text, ':') != NULL;
	to4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	to6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	inet_pton(v6 ? AF_INET6 : AF_INET, text,
	          v6 ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr);
}

static int go(int fd)
{
	return connect(fd, v6 ? (void *)&to6 : (void *)&to4, v6 ? sizeof(to6) : sizeof(to4));
}

static void drop(struct conn *c)
{
	if (c->fd >= 0) {
		close(c->fd);
	}
	c->fd = -1;
}

static void fail(struct conn *c, const char *what)
{
	int64_t at = c->begun - origin;

	char text[100];

	snprintf(text, sizeof(text), "%s (%s)", what, errno ? strerror(errno) : "");
	if (failed[c->kind]++ == 0) {
		first_bad[c->kind] = at;
		memcpy(first_why[c->kind], text, sizeof(text));
	}
	snprintf(why[c->kind], sizeof(why[0]), "%s to %s, begun after %lld to %lld ms",
	         first_why[c->kind], text, (long long)first_bad[c->kind], (long long)at);
	drop(c);
}

static struct conn *begin(enum kind kind)
{
	struct conn *c = conns;

	while (c < conns + CONNS_MAX && c->fd >= 0) {
		c++;
	}
	if (c == conns + CONNS_MAX) {
		failed[kind]++;
		snprintf(why[kind], sizeof(why[0]), "too many at once");
		return NULL;
	}
	*c = (struct conn){ .kind = kind, .begun = now() };
	c->fd = socket(v6 ? AF_INET6 : AF_INET,
	               (kind == FLOW ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
	c->due = kind == FLOW ? c->begun : 0;
	if (go(c->fd) < 0 && errno != EINPROGRESS) {
		fail(c, "connect");
		return NULL;
	}
	struct epoll_event e = { .events = kind == FLOW ? EPOLLIN : EPOLLIN | EPOLLOUT,
		                 .data.ptr = c };
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
	return c;
}

static void ask(struct conn *c)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n",
	                 c->kind == DOWNLOAD ? "/slow" : "/",
	                 c->kind == NEW ? "Connection: close\r\n" : "");

	c->got = c->want = c->len = 0;
	c->asked = true;
	c->begun = now();
	if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
		fail(c, "send");
	}
}

static void answered(struct conn *c)
{
	if (c->kind == NEW && !c->whole) {
		c->whole = true;
		return;
	}
	done[c->kind]++;
	c->asked = false;
	if (c->kind == KEPT && !c->closing) {
		c->due = c->begun + per_kept_ms;
		return;
	}
	bool again = c->kind == KEPT;
	drop(c);
	if (again) {
		begin(KEPT);
	}
}

static void read_head(struct conn *c, const char *data, size_t n)
{
	size_t some = sizeof(c->head) - 1 - c->len < n ? sizeof(c->head) - 1 - c->len : n;

	memcpy(c->head + c->len, data, some);
	c->len += some;
	c->head[c->len] = '\0';
	char *end = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "content-length:");
	if (!end || !length) {
		return;
	}
	c->closing = strcasestr(c->head, "connection: close") != NULL;
	c->want = (size_t)(end + 4 - c->head) + strtoul(length + 15, NULL, 10);
}

static void on_data(struct conn *c)
{
	static char room[65536];
	ssize_t n = recv(c->fd, room, sizeof(room), 0);

	if (n < 0 && errno == EAGAIN) {
		return;
	}
	if (c->kind == FLOW) {
		if (n > 0) {
			c->asked = false;
		} else {
			fail(c, "recv");
		}
		return;
	}
	if (n == 0 && c->whole) {
		answered(c);
		return;
	}
	if (n <= 0) {
		errno = n == 0 ? 0 : errno;
		if (c->kind == KEPT && !c->asked) { /* the server ended it between two requests */
			drop(c);
			begin(KEPT);
		} else {
			fail(c, n == 0 ? "the answer ended early" : "recv");
		}
		return;
	}
	c->got += (size_t)n;
	if (!c->want) {
		read_head(c, room, (size_t)n);
	}
	if (c->want && c->got >= c->want) {
		answered(c);
	}
}

/* Was the first SYN, or its answer, lost? The kernel sends it again after a second; sooner where the server still remembers an earlier
 * connection from the port (RFC 6191). */
static bool sent_again(const struct conn *c, int64_t took)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	return took >= WAIT_MS && getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	       info.tcpi_total_retrans > 0;
}

static void on_event(const struct epoll_event *e)
{
	struct conn *c = e->data.ptr;

	if (c->fd < 0) {
		return;
	}
	if (!c->connected && c->kind != FLOW && e->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		int error = 0;
		socklen_t len = sizeof(error);
		struct epoll_event in = { .events = EPOLLIN, .data.ptr = c };

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			errno = error;
			fail(c, "connect");
			return;
		}
		int64_t took = now() - c->begun;
		if (sent_again(c, took)) {
			errno = 0;
			fail(c, "a SYN was lost");
			return;
		}
		c->connected = true;
		slowest[c->kind] = took > slowest[c->kind] ? took : slowest[c->kind];
		epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &in);
		ask(c);
	} else if (e->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		on_data(c);
	}
}

/* What time brings: requests that are due, answers that did not come. */
static void tick(struct conn *c, int64_t t)
{
	errno = 0;
	if (c->kind == FLOW) {
		if (c->asked && t - c->begun > WAIT_MS) {
			fail(c, "no answer");
		} else if (t - c->due > FLOW_MS) {
			done[FLOW]++;
			drop(c);
			begin(FLOW);
		} else if (!c->asked && t - c->begun > 50) {
			c->asked = send(c->fd, "x", 1, 0) == 1;
			c->begun = t;
		}
	} else if (!c->connected) {
		if (t - c->begun > WAIT_MS) {
			fail(c, "no connection");
		}
	} else if (c->asked) {
		if (t - c->begun > ANSWER_MS) {
			fail(c, "no answer");
		}
	} else if (c->kind == KEPT && c->due <= t) {
		ask(c);
	}
}

static int load(char **a)
{
	int64_t start = origin = now(), end = start + atoi(a[2]) * 1000;
	unsigned per_s[KINDS] = { (unsigned)atoi(a[3]), (unsigned)atoi(a[4]) };
	size_t want[KINDS] = { 0, 0, (size_t)atoi(a[5]), (size_t)atoi(a[6]) };
	uint64_t begun = 0;

	set_address(a[0], atoi(a[1]));
	epoll = epoll_create1(0);
	for (size_t i = 0; i < CONNS_MAX; i++) {
		conns[i].fd = -1;
	}
	want[KEPT] = per_s[KEPT] / 20; /* 20 requests a second each */
	per_kept_ms = 50;
	for (int64_t t = start, last = 0, turn = start; t < end + 8000; turn = t, t = now()) {
		struct epoll_event e[EVENTS];
		int n = epoll_wait(epoll, e, EVENTS, 2);
		size_t have[KINDS] = { 0 };
		int64_t gap = t - turn;
		uint64_t due = (uint64_t)(t - start) * per_s[NEW] / 1000;

		late = gap > late ? gap : late;
		for (int i = 0; i < n; i++) {
			on_event(&e[i]);
		}
		for (size_t i = 0; t < end && begun < due && i < EVENTS; begun++, i++) {
			begin(NEW);
		}
		if (t - last < 10 || n == EVENTS) { /* an answer may be among the rest */
			continue;
		}
		last = t;
		for (size_t i = 0; i < CONNS_MAX; i++) {
			if (conns[i].fd >= 0) {
				tick(&conns[i], t);
			}
			if (conns[i].fd >= 0) {
				have[conns[i].kind]++;
				if (t >= end && !conns[i].asked && conns[i].connected) {
					drop(&conns[i]);
				}
			}
		}
		for (int k = KEPT; t < end && k < KINDS; k++) {
			for (size_t i = have[k]; i < want[k] && i < have[k] + 20; i++) {
				begin((enum kind)k); /* not all at one instant */
			}
		}
		if (t >= end && have[NEW] + have[KEPT] + have[DOWNLOAD] == 0) {
			break;
		}
	}
	printf("{");
	for (int k = 0; k < KINDS; k++) {
		printf("%s\"%s\": {\"done\": %llu, \"failed\": %llu, \"slowest\": %lld, \"late\": %lld, \"why\": \"%s\"}",
		       k ? ", " : "", names[k], (unsigned long long)done[k],
		       (unsigned long long)failed[k], (long long)slowest[k], (long long)late,
		       why[k]);
	}
	puts("}");
	return 0;
}

static int echo(int port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) },
			    from;
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	char room[9000];

	if (bind(fd, (void *)&any, sizeof(any)) < 0) {
		return 1;
	}
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, room, sizeof(room), 0, (void *)&from, &len);

		if (n >= 0) {
			(void)!sendto(fd, room, (size_t)n, 0, (void *)&from, len);
		}
	}
}

static int hold(char **a)
{
	int n = atoi(a[2]), left = n;

	set_address(a[0], atoi(a[1]));
	epoll = epoll_create1(0);
	for (int i = 0; i < n; i++) {
		int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };

		if (go(fd) < 0) {
			printf("connect: %s\n", strerror(errno));
			return 1;
		}
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	}
	puts("ready");
	fflush(stdout);
	struct epoll_event in = { .events = EPOLLIN, .data.fd = 0 };
	epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &in);
	while (left >= 0) {
		struct epoll_event e;
		char c;

		if (epoll_wait(epoll, &e, 1, -1) < 1) {
			continue;
		}
		if (e.data.fd == 0) {
			return 0;
		}
		ssize_t got = recv(e.data.fd, &c, 1, 0);
		if (got <= 0) {
			puts(got == 0 ? "end" : errno == ECONNRESET ? "reset" : strerror(errno));
			fflush(stdout);
			close(e.data.fd);
			left--;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 9 && strcmp(argv[1], "load") == 0) {
		return load(argv + 2);
	}
	if (argc == 3 && strcmp(argv[1], "echo") == 0) {
		return echo(atoi(argv[2]));
	}
	if (argc == 5 && strcmp(argv[1], "hold") == 0) {
		return hold(argv + 2);
	}
	fprintf(stderr,
	        "usage: traffic load ADDRESS PORT SECONDS NEW KEPT DOWNLOADS FLOWS | echo PORT | "
	        "hold ADDRESS PORT N\n");
	return 64;
}
