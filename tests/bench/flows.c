/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Load for the benches, inside a namespace:
 *   flows serve PORT                 answers, and reads what is sent; until its input ends
 *   flows accept PORT                closes each connection at once; until its input ends
 *   flows connect ADDRESS PORT N     N connections one after the other; prints them a second
 *   flows request ADDRESS PORT N     N requests of 64 bytes on one connection; prints them a second
 *   flows stream ADDRESS PORT MS     sends for so long; prints Gbit/s
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int only_accepts;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *drain(void *arg)
{
	static __thread char room[1 << 17];
	int fd = (int)(intptr_t)arg;
	ssize_t n;

	while ((n = recv(fd, room, sizeof(room), 0)) > 0) {
		if (n == 64 && send(fd, room, 64, MSG_NOSIGNAL) < 0) {
			break;
		}
	}
	close(fd);
	return NULL;
}

static void *serve(void *arg)
{
	int s = (int)(intptr_t)arg;

	for (;;) {
		int fd = accept(s, NULL, NULL);
		pthread_t t;

		if (fd < 0) {
			continue;
		}
		if (!only_accepts && pthread_create(&t, NULL, drain, (void *)(intptr_t)fd) == 0) {
			pthread_detach(t);
		} else {
			close(fd);
		}
	}
	return NULL;
}

static int dial(const char *address, int port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int v6 = strchr(address, ':') != NULL, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

	inet_pton(v6 ? AF_INET6 : AF_INET, address,
	          v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
	if (fd < 0 ||
	    connect(fd, v6 ? (void *)&a6 : (void *)&a4, v6 ? sizeof(a6) : sizeof(a4)) < 0) {
		perror("connect");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static char data[1 << 17];
	const char *what = argc > 1 ? argv[1] : "";
	double begin = now();

	only_accepts = strcmp(what, "accept") == 0;
	if ((only_accepts || strcmp(what, "serve") == 0) && argc == 3) {
		struct sockaddr_in6 a = { .sin6_family = AF_INET6,
			                  .sin6_port = htons((uint16_t)atoi(argv[2])) };
		int s = socket(AF_INET6, SOCK_STREAM, 0), one = 1;
		pthread_t t;

		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(s, (void *)&a, sizeof(a)) < 0 || listen(s, 4096) < 0 ||
		    pthread_create(&t, NULL, serve, (void *)(intptr_t)s) != 0) {
			perror("serve");
			return 1;
		}
		puts("ready");
		fflush(stdout);
		while (read(0, data, sizeof(data)) > 0) {
		}
		return 0;
	}
	if (argc != 5) {
		fputs("usage: flows serve PORT | connect|request|stream ADDRESS PORT N\n", stderr);
		return 2;
	}
	int n = atoi(argv[4]), port = atoi(argv[3]);
	struct linger reset = { 1, 0 };
	if (strcmp(what, "connect") == 0) {
		for (int i = 0; i < n; i++) {
			int fd = dial(argv[2], port);

			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			close(fd);
		}
		printf("%.1f\n", n / (now() - begin));
		return 0;
	}
	int fd = dial(argv[2], port);
	begin = now();
	if (strcmp(what, "request") == 0) {
		for (int i = 0; i < n; i++) {
			if (send(fd, data, 64, 0) != 64 || recv(fd, data, 64, MSG_WAITALL) != 64) {
				perror("request");
				return 1;
			}
		}
		printf("%.1f\n", n / (now() - begin));
		return 0;
	}
	double sent = 0;
	while (now() - begin < n / 1000.0) {
		ssize_t k = send(fd, data, sizeof(data), 0);

		if (k < 0) {
			perror("stream");
			return 1;
		}
		sent += (double)k;
	}
	printf("%.3f\n", sent * 8 / 1e9 / (now() - begin));
	return 0;
}
