/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The push path as it is, with as little around it as can be: one process is the client of the API and the
 * runtime. push_run API-SOCKET RUNTIME-SOCKET COUNT GAP-MS [FIRST]. Prints microseconds a line: from PUT sent to the runtime
 * holding the namespace, which netd hands over when the group is stored and attached.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SUB "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo"

static int api, runtime;
static char got[1 << 20];
static size_t n_got;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int dial(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		die(path);
	}
	return fd;
}

static void say(const char *text)
{
	char frame[4096];
	uint32_t be = htonl((uint32_t)strlen(text));

	memcpy(frame, &be, 4);
	memcpy(frame + 4, text, strlen(text));
	if (send(runtime, frame, strlen(text) + 4, 0) < 0) {
		die("runtime");
	}
}

/* A frame, whole; its descriptor is closed. False: none yet. */
static int take_frame(char *to, size_t size)
{
	uint32_t len;

	if (n_got < 4) {
		return 0;
	}
	memcpy(&len, got, 4);
	len = ntohl(len);
	if (n_got < len + 4 || len >= size) {
		return 0;
	}
	memcpy(to, got + 4, len);
	to[len] = '\0';
	n_got -= len + 4;
	memmove(got, got + len + 4, n_got);
	return 1;
}

static void read_runtime(void)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u;
	struct iovec iov = { got + n_got, sizeof(got) - n_got };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof(u)
	};
	ssize_t n = recvmsg(runtime, &m, MSG_CMSG_CLOEXEC);

	if (n <= 0) {
		die("runtime");
	}
	n_got += (size_t)n;
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_type == SCM_RIGHTS) {
		int fd;

		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
		close(fd);
	}
}

static void answer(const char *frame)
{
	char id[400] = "", text[600];
	const char *at = strstr(frame, "\"id\":\"");

	if (!strstr(frame, "\"type\":\"group\"") || !at || sscanf(at + 6, "%399[^\"]", id) != 1) {
		return;
	}
	snprintf(text, sizeof(text), "{\"type\":\"state\",\"id\":\"%s\",\"state\":\"started\"}",
	         id);
	say(text);
	snprintf(text, sizeof(text), "{\"type\":\"state\",\"id\":\"%s\",\"state\":\"ready\"}", id);
	say(text);
}

static double put(long i)
{
	static char frame[1 << 18];
	char body[1024], request[2048], reply[65536], tail[32];
	int len = snprintf(
		body, sizeof(body),
		"{\"location\":\"westeurope\",\"properties\":{\"osType\":\"Linux\",\"ipAddress\":{"
		"\"type\":\"Public\",\"ports\":[{\"port\":80,\"protocol\":\"TCP\"}]},\"containers\":[{"
		"\"name\":\"c\",\"properties\":{\"image\":\"x\",\"ports\":[{\"port\":80}],"
		"\"resources\":{\"requests\":{\"cpu\":1,\"memoryInGB\":1}}}}]}}");
	int n = snprintf(request, sizeof(request),
	                 "PUT " SUB "/providers/Microsoft.ContainerInstance/containerGroups/"
	                 "b%ld?api-version=2023-05-01 HTTP/1.1\r\nHost: bench\r\nContent-Length: "
	                 "%d\r\n\r\n%s",
	                 i, len, body);
	int answered = 0, handed = 0;
	double start = now_us(), took = 0;

	snprintf(tail, sizeof(tail), "/b%ld\"", i);
	if (send(api, request, (size_t)n, 0) != n) {
		die("api");
	}
	while (!answered || !handed) {
		struct pollfd p[2] = { { api, POLLIN, 0 }, { runtime, POLLIN, 0 } };

		if (poll(p, 2, 10000) <= 0) {
			die("poll");
		}
		if (p[1].revents) {
			read_runtime();
			while (take_frame(frame, sizeof(frame))) {
				if (strstr(frame, "\"type\":\"group\"") && strstr(frame, tail)) {
					took = now_us() - start;
					handed = 1;
				}
				answer(frame);
			}
		}
		if (p[0].revents) {
			ssize_t r = recv(api, reply, sizeof(reply) - 1, 0);

			if (r <= 0 || memcmp(reply, "HTTP/1.1 20", 11) != 0) {
				fprintf(stderr, "%.300s\n", reply);
				exit(1);
			}
			answered = 1; /* an answer fits into one read */
		}
	}
	return took;
}

int main(int argc, char **argv)
{
	char request[512], reply[65536];

	if (argc < 5) {
		fprintf(stderr, "push_run API-SOCKET RUNTIME-SOCKET COUNT GAP-MS [FIRST]\n");
		return 2;
	}
	api = dial(argv[1]);
	runtime = dial(argv[2]);
	say("{\"type\":\"hello\",\"version\":1}");
	int n = snprintf(request, sizeof(request),
	                 "PUT " SUB "?api-version=2023-05-01 HTTP/1.1\r\nHost: bench\r\n"
	                 "Content-Length: 16\r\n\r\n{\"location\":\"w\"}");
	if (send(api, request, (size_t)n, 0) != n || recv(api, reply, sizeof(reply), 0) <= 0) {
		die("resource group");
	}
	long first = argc > 5 ? atol(argv[5]) : 0;
	for (long i = first; i < first + atol(argv[3]); i++) {
		printf("%.1f\n", put(i));
		usleep((useconds_t)(atol(argv[4]) * 1000));
	}
	return 0;
}
