/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See probe.h.
 */
#include "examples/runtime/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/model/model.h"

/* Azure's defaults. */
static int64_t setting(const struct probe *p, const char *name, int64_t fallback)
{
	const json_t *x = json_object_get(p->spec, name);

	return json_is_integer(x) && json_integer_value(x) > 0 ? json_integer_value(x) : fallback;
}

void probe_begin(struct probe *p, const json_t *container, int64_t now_ms)
{
	*p = (struct probe){ .spec = model_at(container, "properties.readinessProbe") };
	p->ready = !p->spec;
	p->due_ms = now_ms + setting(p, "initialDelaySeconds", 0) * 1000;
}

static int dial(const char *address, int port)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		                  .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char service[8];

	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(address, service, &hints, &ai) != 0) {
		return -1;
	}
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(ai);
	return fd;
}

/* In the child, with an alarm set. 200 to 399 is good. */
static int ask_http(const json_t *get, const struct probe_at *at)
{
	const char *path = model_str(get, "path");
	int port = (int)json_integer_value(json_object_get(get, "port")), status = 0;
	int ns = open(at->netns, O_RDONLY | O_CLOEXEC);
	char answer[64] = "";
	struct buf b = { 0 };
	json_t *x;
	size_t i;

	if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
		return 1;
	}
	int fd = dial(at->address, port);
	buf_addf(&b, "GET %s%s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n",
	         *path == '/' ? "" : "/", path, at->address, port);
	json_array_foreach(json_object_get(get, "httpHeaders"), i, x)
	{
		buf_addf(&b, "%s: %s\r\n", model_str(x, "name"), model_str(x, "value"));
	}
	buf_addf(&b, "\r\n");
	if (fd < 0 || send(fd, b.data, b.len, MSG_NOSIGNAL) != (ssize_t)b.len) {
		return 1;
	}
	for (size_t n = 0; n < 16;) {
		ssize_t got = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);

		if (got <= 0) {
			break;
		}
		n += (size_t)got;
	}
	return sscanf(answer, "HTTP/1.%*d %d", &status) == 1 && status >= 200 && status < 400 ? 0
	                                                                                      : 1;
}

static void ask_command(const json_t *command, const struct probe_at *at)
{
	const char *argv[64] = { "runc", "--root", at->runc_root, "exec", at->id };
	size_t n = 5, i;
	json_t *x;

	json_array_foreach((json_t *)(uintptr_t)command, i, x)
	{
		if (n < 63) {
			argv[n++] = json_string_value(x);
		}
	}
	execvp("runc", (char *const *)(uintptr_t)argv);
}

void probe_step(struct probe *p, const struct probe_at *at, int64_t now_ms)
{
	const json_t *get = json_object_get(p->spec, "httpGet");
	const json_t *command = model_at(p->spec, "exec.command");

	if (!p->spec || p->pid || now_ms < p->due_ms) {
		return;
	}
	p->pid = fork();
	if (p->pid == 0) {
		alarm((unsigned)setting(p, "timeoutSeconds", 1));
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) {
			_exit(126);
		}
		if (get) {
			_exit(ask_http(get, at));
		}
		ask_command(command, at);
		_exit(127);
	}
	if (p->pid < 0) {
		p->pid = 0;
		p->due_ms = now_ms + 1000;
	}
}

void probe_ended(struct probe *p, int status, int64_t now_ms)
{
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;

	p->pid = 0;
	p->good = good ? p->good + 1 : 0;
	p->bad = good ? 0 : p->bad + 1;
	if (p->good >= setting(p, "successThreshold", 1)) {
		p->ready = true;
	} else if (p->bad >= setting(p, "failureThreshold", 3)) {
		p->ready = false;
	}
	p->due_ms = now_ms + setting(p, "periodSeconds", 10) * 1000;
}
