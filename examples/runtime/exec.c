/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See exec.h. What one side does not take is held, one packet, and not waited for: so Ctrl-C reaches a
 * program whose output nobody reads.
 */
#include "examples/runtime/exec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/base/session.h"
#include "lib/model/model.h"

#define FOLLOW_MS 50

struct packet {
	uint8_t b[SESSION_PACKET + 1];
	size_t n, at;
};

struct session {
	int stream, in, out, err; /* in, out: one descriptor with a terminal; -1: closed */
	bool terminal;
	pid_t pid; /* `runc exec` */
	struct packet from, to;
};

static void send_exit(int stream, uint32_t status)
{
	uint8_t b[5] = { SESSION_EXIT };

	status = htonl(status);
	memcpy(b + 1, &status, 4);
	(void)!send(stream, b, sizeof(b), MSG_NOSIGNAL);
}

/* ---- exec ---- */

static void close_on_exec(int a, int b)
{
	fcntl(a, F_SETFD, FD_CLOEXEC);
	fcntl(b, F_SETFD, FD_CLOEXEC);
}

/* In the child. */
static void become(const struct exec_at *at, const json_t *command, bool terminal, int in, int out,
                   int err)
{
	char *v[300], pid_file[400];
	int n = 0;
	size_t i;
	json_t *x;

	setsid();
	if (terminal) {
		ioctl(in, TIOCSCTTY, 0);
	}
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) {
		_exit(126);
	}
	snprintf(pid_file, sizeof(pid_file), "%s/exec-%d.pid", at->dir, (int)getpid());
	const char *const head[] = { "runc",
		                     "--root",
		                     at->runc_root,
		                     "exec",
		                     "--pid-file",
		                     pid_file,
		                     terminal ? "--tty" : NULL };
	for (i = 0; i < ARRAY_N(head); i++) {
		if (head[i]) {
			v[n++] = (char *)(uintptr_t)head[i];
		}
	}
	v[n++] = (char *)(uintptr_t)at->id;
	json_array_foreach((json_t *)(uintptr_t)command, i, x)
	{
		if (n < 299) {
			v[n++] = (char *)(uintptr_t)json_string_value(x);
		}
	}
	v[n] = NULL;
	signal(SIGPIPE, SIG_DFL);
	execvp("runc", v);
	_exit(127);
}

static int start(struct session *s, const struct exec_at *at, const json_t *frame)
{
	struct winsize size = { (unsigned short)json_integer_value(json_object_get(frame, "rows")),
		                (unsigned short)json_integer_value(json_object_get(frame, "cols")),
		                0, 0 };
	int in[2], out[2], err[2];

	s->terminal = json_is_true(json_object_get(frame, "terminal"));
	if (s->terminal) {
		if (openpty(&s->in, &in[0], NULL, NULL, &size) < 0) {
			return -1;
		}
		close_on_exec(s->in, in[0]);
		s->out = s->in;
		s->err = -1;
		out[1] = err[1] = in[0];
	} else {
		if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 ||
		    pipe2(err, O_CLOEXEC) < 0) {
			return -1;
		}
		s->in = in[1];
		s->out = out[0];
		s->err = err[0];
	}
	s->pid = fork();
	if (s->pid == 0) {
		become(at, json_object_get(frame, "command"), s->terminal, in[0], out[1], err[1]);
	}
	close(in[0]);
	if (!s->terminal) {
		close(out[1]);
		close(err[1]);
	}
	fcntl(s->in, F_SETFL, O_NONBLOCK);
	return s->pid < 0 ? -1 : 0;
}

/* The program itself, whose number runc wrote: ending `runc exec` would leave it. */
static void end_program(const struct session *s, const struct exec_at *at)
{
	char path[400];
	int pid = 0;

	snprintf(path, sizeof(path), "%s/exec-%d.pid", at->dir, (int)s->pid);
	for (int i = 0; i < 100 && pid == 0; i++) { /* it may be just about to start */
		FILE *f = fopen(path, "re");

		if (f) {
			(void)!fscanf(f, "%d", &pid);
			fclose(f);
		} else if (waitpid(s->pid, NULL, WNOHANG) != 0) {
			return;
		}
		usleep(pid ? 0 : 10000);
	}
	if (pid > 1) {
		kill(pid, SIGHUP);
		usleep(200000);
		kill(pid, SIGKILL);
	}
	kill(s->pid, SIGKILL);
	unlink(path);
}

static void close_input(struct session *s)
{
	static const char end_of_file = 4; /* what a terminal takes for it */

	if (s->terminal) {
		(void)!write(s->in, &end_of_file, 1);
	} else if (s->in >= 0) {
		close(s->in);
		s->in = -1;
	}
}

/* False: netd's end of the stream is closed. */
static bool take_packet(struct session *s)
{
	struct packet *p = &s->from;
	ssize_t n = recv(s->stream, p->b, sizeof(p->b), MSG_DONTWAIT);

	if (n <= 0) {
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	p->n = p->at = 0;
	if (p->b[0] == SESSION_DATA && s->in >= 0) {
		p->n = (size_t)n;
		p->at = 1;
	} else if (p->b[0] == SESSION_RESIZE && n == 5 && s->terminal) {
		struct winsize size = { (unsigned short)(p->b[1] << 8 | p->b[2]),
			                (unsigned short)(p->b[3] << 8 | p->b[4]), 0, 0 };

		ioctl(s->in, TIOCSWINSZ, &size);
	} else if (p->b[0] == SESSION_EOF) {
		close_input(s);
	}
	return true;
}

static void give_input(struct session *s)
{
	ssize_t n = write(s->in, s->from.b + s->from.at, s->from.n - s->from.at);

	if (n > 0) {
		s->from.at += (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) { /* it takes no more */
		s->from.n = s->from.at = 0;
		close_input(s);
	}
}

/* Output of the program; at its end the descriptor closes. */
static void take_output(struct session *s, int *fd, uint8_t kind)
{
	ssize_t n = read(*fd, s->to.b + 1, SESSION_PACKET);

	if (n > 0) {
		s->to.b[0] = kind;
		s->to.n = (size_t)n + 1;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) { /* EIO: of a terminal */
		if (*fd == s->in) {
			s->in = -1;
		}
		close(*fd);
		*fd = -1;
	}
}

static int serve(struct session *s)
{
	int status = 0;

	while (s->out >= 0 || s->err >= 0 || s->to.n) {
		bool input = s->from.at < s->from.n;
		struct pollfd p[4] = {
			{ s->stream, (short)((input ? 0 : POLLIN) | (s->to.n ? POLLOUT : 0)), 0 },
			{ s->to.n ? -1 : s->out, POLLIN, 0 },
			{ s->to.n ? -1 : s->err, POLLIN, 0 },
			{ input ? s->in : -1, POLLOUT, 0 },
		};

		if (poll(p, 4, -1) < 0) {
			continue;
		}
		if (s->to.n && p[0].revents & (POLLOUT | POLLERR) &&
		    (send(s->stream, s->to.b, s->to.n, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		     errno != EAGAIN)) {
			s->to.n = 0;
		}
		if (p[0].revents & (POLLIN | POLLHUP) && !input && !take_packet(s)) {
			return -1;
		}
		if (p[0].revents & POLLHUP && input) {
			return -1;
		}
		if (p[1].revents && s->out >= 0) {
			take_output(s, &s->out, SESSION_DATA);
		} else if (p[2].revents && s->err >= 0) {
			take_output(s, &s->err, SESSION_ERROR);
		}
		if (p[3].revents && s->in >= 0) {
			give_input(s);
		}
	}
	waitpid(s->pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_exec(const struct exec_at *at, const json_t *frame, int stream)
{
	static struct session s;
	static const char failed[] = "runtime: no process for this\r\n";
	char path[400];

	s.stream = stream;
	if (start(&s, at, frame) < 0) {
		s.to.b[0] = SESSION_ERROR;
		memcpy(s.to.b + 1, failed, sizeof(failed) - 1);
		(void)!send(stream, s.to.b, sizeof(failed), MSG_NOSIGNAL);
		send_exit(stream, 126);
		return;
	}
	int status = serve(&s);
	if (status < 0) {
		end_program(&s, at);
	} else {
		send_exit(stream, (uint32_t)status);
	}
	snprintf(path, sizeof(path), "%s/exec-%d.pid", at->dir, (int)s.pid);
	unlink(path);
}

/* ---- attach ---- */

/* What the container says from now on. */
static void run_attach(const struct exec_at *at, int stream)
{
	static uint8_t packet[SESSION_PACKET + 1];
	AUTO_CLOSE int fd = open(at->log, O_RDONLY | O_CLOEXEC);
	struct pollfd p = { .fd = stream, .events = POLLIN };

	(void)!lseek(fd, 0, SEEK_END);
	for (;;) {
		bool ended = kill(at->pid, 0) < 0; /* before the last look */
		ssize_t n = read(fd, packet + 1, SESSION_PACKET);

		packet[0] = SESSION_DATA;
		if (n > 0) {
			if (send(stream, packet, (size_t)n + 1, MSG_NOSIGNAL) < 0) {
				return;
			}
			continue;
		}
		if (ended || n < 0) {
			send_exit(stream, 0);
			return;
		}
		if (poll(&p, 1, FOLLOW_MS) > 0 && recv(stream, packet, sizeof(packet), 0) <= 0) {
			return;
		}
	}
}

int exec_start(const struct exec_at *at, const json_t *frame, int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		if (strcmp(model_str(frame, "verb"), "attach") == 0) {
			run_attach(at, fd);
		} else {
			run_exec(at, frame, fd);
		}
		_exit(0);
	}
	return pid < 0 ? -1 : 0;
}
