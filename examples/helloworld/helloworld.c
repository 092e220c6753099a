/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What runs when the example runtime has no image of that name: a small HTTP server on every port
 * of the container (PORTS="80 443"), telling group, container, host name and the caller's
 * address. Static, no libraries; one request a connection.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS_MAX 64

static int listen_on(int port)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
		                   .sin6_port = htons((unsigned short)port) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 128) < 0) {
		perror("listen");
		return -1;
	}
	return fd;
}

static void serve(int listener)
{
	struct sockaddr_in6 from;
	socklen_t len = sizeof(from);
	char who[INET6_ADDRSTRLEN] = "?", in[2048], body[512], out[1024];
	struct timeval tv = { .tv_sec = 2 };
	const char *group = getenv("GROUP"), *container = getenv("CONTAINER");
	int fd = accept(listener, (struct sockaddr *)&from, &len);

	if (fd < 0) {
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	inet_ntop(AF_INET6, &from.sin6_addr, who, sizeof(who));
	const char *shown = strncmp(who, "::ffff:", 7) == 0 ? who + 7 : who;
	ssize_t n = recv(fd, in, sizeof(in) - 1, 0);
	in[n > 0 ? n : 0] = '\0';
	in[strcspn(in, "\r\n")] = '\0';
	char host[65] = "?";
	gethostname(host, sizeof(host) - 1);
	int m = snprintf(body, sizeof(body),
	                 "Hello from group %s, container %s, host %s; you are %s\n",
	                 group ? group : "?", container ? container : "?", host, shown);
	int k = snprintf(out, sizeof(out),
	                 "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
	                 "Connection: close\r\n\r\n%s",
	                 m, body);
	if (send(fd, out, (size_t)k, MSG_NOSIGNAL) < 0) {
		perror("send");
	}
	printf("%s %.200s\n", shown, in);
	fflush(stdout);
	shutdown(fd, SHUT_WR);
	close(fd);
}

int main(void)
{
	struct pollfd p[PORTS_MAX];
	const char *ports = getenv("PORTS");
	int n = 0;

	signal(SIGTERM, SIG_DFL);
	for (char *at = strdup(ports ? ports : ""); *at && n < PORTS_MAX;) {
		long port = strtol(at, &at, 10);
		int fd = port > 0 ? listen_on((int)port) : -1;

		if (fd >= 0) {
			p[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		}
		while (*at == ' ') {
			at++;
		}
	}
	while (poll(p, (nfds_t)n, -1) >= 0) {
		for (int i = 0; i < n; i++) {
			if (p[i].revents & POLLIN) {
				serve(p[i].fd);
			}
		}
	}
	return 1;
}
