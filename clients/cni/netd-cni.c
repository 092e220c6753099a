/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The CNI plugin: a runtime starts it for each call. It hands the call's environment, its standard input and the namespace's
 * descriptor to netd (RUN-DIR/cni.sock), and prints what comes back; all of the rules are there (netd/cni.h). Only VERSION, and
 * STATUS when netd does not answer, are answered here. Static, without libraries: most of a call's time is the start of a process.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "clients/cni/scan.h"

#define INPUT_MAX     (8u << 20)
#define ANSWER_MAX    (8u << 20)
#define WAIT_S        60
#define SOCKET_PRESET "/run/netd/cni.sock"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* Error codes of the specification, and its "try again later". */
enum {
	CODE_ENVIRONMENT = 4,
	CODE_IO = 5,
	CODE_CONFIG = 7,
	CODE_LATER = 11,
	CODE_UNAVAILABLE = 50
};

static char *input; /* NUL-terminated */
static size_t input_len;

/* A JSON error on standard output; the exit status. */
static int fail(int code, const char *msg, const char *details)
{
	char version[16] = "1.0.0", text[600];
	size_t n = 0;

	(void)scan_string(input, "cniVersion", version, sizeof(version));
	for (const char *c = details; *c && n + 2 < sizeof(text); c++) {
		if (*c == '"' || *c == '\\') {
			text[n++] = '\\';
		}
		text[n++] = (unsigned char)*c < ' ' ? ' ' : *c;
	}
	text[n] = '\0';
	printf("{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"%s\",\"details\":\"%s\"}\n", version,
	       code, msg, text);
	return 1;
}

static int read_input(void)
{
	size_t cap = 65536;

	input = calloc(1, cap + 1);
	while (input) {
		ssize_t n = read(STDIN_FILENO, input + input_len, cap - input_len);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			input[input_len] = '\0';
			return (int)n;
		}
		input_len += (size_t)n;
		if (input_len == cap) {
			if (cap >= INPUT_MAX) {
				errno = EFBIG;
				return -1;
			}
			cap *= 2;
			char *more = realloc(input, cap + 1);
			if (!more) {
				return -1;
			}
			input = more;
		}
	}
	return -1;
}

/* The namespace and what tells it from all others, ever (Linux 5.14); -1 with errno. */
static int open_namespace(const char *path, uint64_t *cookie)
{
	socklen_t len = sizeof(*cookie);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
		return -1;
	}
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len) < 0) {
		return -1;
	}
	close(s);
	return fd;
}

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval wait = { .tv_sec = WAIT_S };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path));
	if (s < 0 || connect(s, (const struct sockaddr *)&sa, sizeof(sa)) < 0) {
		return -1;
	}
	(void)!setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)!setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return s;
}

/* All of it, the descriptor with the first byte (-1: none). */
static int send_all(int s, const char *data, size_t len, int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { 0 };

	while (len > 0) {
		struct iovec iov = { (void *)(uintptr_t)data, len };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

		if (fd >= 0) {
			m.msg_control = u.room;
			m.msg_controllen = sizeof(u.room);
			struct cmsghdr *h = CMSG_FIRSTHDR(&m);
			h->cmsg_level = SOL_SOCKET;
			h->cmsg_type = SCM_RIGHTS;
			h->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(h), &fd, sizeof(int));
		}
		ssize_t n = sendmsg(s, &m, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -1;
		}
		fd = -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive(int s, char *to, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(s, to, len, 0);

		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			errno = n == 0 ? ECONNRESET : errno == EAGAIN ? ETIMEDOUT : errno;
			return -1;
		}
		to += n;
		len -= (size_t)n;
	}
	return 0;
}

static char *put(char *to, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);

	memcpy(to, name, n);
	to[n] = '=';
	memcpy(to + n + 1, value, m + 1);
	return to + n + m + 2;
}

/* A frame: its length in network order, NAME=VALUE each with a zero byte behind, one more, the input. */
static char *compose(uint64_t cookie, size_t *len)
{
	static const char *const names[] = { "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
		                             "CNI_IFNAME",  "CNI_ARGS",        "CNI_PATH" };
	size_t room = 4 + 64 + input_len;
	char number[24];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		room += strlen(names[i]) + 2 + (getenv(names[i]) ? strlen(getenv(names[i])) : 0);
	}
	char *frame = malloc(room), *p;
	if (!frame) {
		return NULL;
	}
	p = frame + 4;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (getenv(names[i])) {
			p = put(p, names[i], getenv(names[i]));
		}
	}
	snprintf(number, sizeof(number), "%llx", (unsigned long long)cookie);
	p = put(p, "COOKIE", number);
	*p++ = '\0';
	memcpy(p, input, input_len);
	*len = (size_t)(p - frame) + input_len;
	uint32_t n = (uint32_t)*len - 4;
	for (int i = 0; i < 4; i++) {
		frame[i] = (char)(n >> (24 - 8 * i));
	}
	return frame;
}

/* netd's answer: its length, a byte for the exit status, what goes to standard output. */
static int call(const char *path, uint64_t cookie, int ns)
{
	unsigned char head[5];
	size_t len;
	char *frame = compose(cookie, &len);
	int s = frame ? dial(path) : -1;

	if (s < 0 || send_all(s, frame, len, ns) < 0 || receive(s, (char *)head, 5) < 0) {
		return -1;
	}
	size_t n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	char *answer = n >= 1 && n <= ANSWER_MAX ? malloc(n) : NULL;
	if (!answer || receive(s, answer, n - 1) < 0) {
		return -1;
	}
	if (fwrite(answer, 1, n - 1, stdout) != n - 1 || fflush(stdout) != 0) {
		return fail(CODE_IO, "the result cannot be written", strerror(errno));
	}
	return head[4];
}

static int version(void)
{
	char asked[16] = "1.1.0";

	(void)scan_string(input, "cniVersion", asked, sizeof(asked));
	printf("{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\","
	       "\"1.1.0\"]}\n",
	       asked);
	return 0;
}

int main(void)
{
	const char *command = getenv("CNI_COMMAND"), *netns = getenv("CNI_NETNS");
	char path[256] = SOCKET_PRESET, text[500];
	uint64_t cookie = 0;
	int ns = -1;

	if (!command) {
		fprintf(stderr, "netd-cni: a CNI plugin; runtimes start it (docs/cni.md)\n");
		return fail(CODE_ENVIRONMENT, "invalid environment variable",
		            "CNI_COMMAND is not set");
	}
	if (read_input() < 0) {
		return fail(CODE_IO, "standard input cannot be read", strerror(errno));
	}
	if (strcmp(command, "VERSION") == 0) {
		return version();
	}
	(void)scan_string(input, "socket", path, sizeof(path));
	if (netns && *netns && (strcmp(command, "ADD") == 0 || strcmp(command, "CHECK") == 0)) {
		ns = open_namespace(netns, &cookie);
		if (ns < 0) {
			snprintf(text, sizeof(text), "CNI_NETNS %s: %s", netns, strerror(errno));
			return fail(CODE_ENVIRONMENT, "invalid environment variable", text);
		}
	}
	int rc = call(path, cookie, ns);
	if (rc >= 0) {
		return rc;
	}
	snprintf(text, sizeof(text), "%s: %s", path, strerror(errno));
	return strcmp(command, "STATUS") == 0
	               ? fail(CODE_UNAVAILABLE, "the plugin is not available: netd does not answer",
	                      text)
	               : fail(CODE_LATER, "try again later: netd does not answer", text);
}
