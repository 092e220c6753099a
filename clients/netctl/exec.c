/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * netctl exec, netctl attach: asks for a session and speaks WebSocket (libwslay) over a connection that
 * libcurl makes, by TLS or the Unix socket. The terminal is raw while it lasts. See lib/base/session.h.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "clients/netctl/netctl.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/own.h"
#include "lib/base/session.h"
#include "lib/model/model.h"

#define HEAD_MAX 4096
#define WAIT_MS  15000
#define HELD_MAX 65536 /* bytes of input that wait for the network */

struct session {
	CURL *curl;
	int socket;
	wslay_event_context_ptr ws;
	bool input, open; /* input is read; the other side still talks */
	int status;       /* -1: none was told */
};

static volatile sig_atomic_t resized;
static struct termios usual;
static bool raw;

static void on_resize(int signo)
{
	(void)signo;
	resized = 1;
}

static void restore(void)
{
	if (raw) {
		tcsetattr(0, TCSANOW, &usual);
		raw = false;
	}
}

static void make_raw(void)
{
	struct termios t;

	if (tcgetattr(0, &usual) == 0) {
		t = usual;
		cfmakeraw(&t);
		raw = tcsetattr(0, TCSANOW, &t) == 0;
		atexit(restore);
	}
}

/* ---- WebSocket ---- */

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *to, size_t n, int flags, void *arg)
{
	struct session *s = arg;
	size_t got = 0;
	CURLcode rc = curl_easy_recv(s->curl, to, n, &got);

	(void)flags;
	if (rc == CURLE_AGAIN) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (rc != CURLE_OK || got == 0) {
		s->open = false;
		wslay_event_set_error(ws, WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)got;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *data, size_t n, int flags,
                       void *arg)
{
	struct session *s = arg;
	size_t sent = 0;
	CURLcode rc = curl_easy_send(s->curl, data, n, &sent);

	(void)flags;
	if (rc != CURLE_OK) {
		s->open = s->open && rc == CURLE_AGAIN;
		wslay_event_set_error(ws, rc == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK
		                                            : WSLAY_ERR_CALLBACK_FAILURE);
		return -1;
	}
	return (ssize_t)sent;
}

static int on_mask(wslay_event_context_ptr ws, uint8_t *to, size_t n, void *arg)
{
	(void)ws;
	(void)arg;
	random_system.fill(&random_system, to, n);
	return 0;
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno != EINTR) {
			return;
		}
		p += done > 0 ? done : 0;
		n -= done > 0 ? (size_t)done : 0;
	}
}

static void on_message(wslay_event_context_ptr ws, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
	struct session *s = arg;
	uint32_t status;

	(void)ws;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		s->open = false;
		if (s->status < 0) {
			restore();
			fprintf(stderr, "netctl: the session ended: %.*s\n",
			        m->msg_length > 2 ? (int)m->msg_length - 2 : 0,
			        m->msg_length > 2 ? (const char *)m->msg + 2 : "");
		}
	} else if (m->opcode == WSLAY_BINARY_FRAME && m->msg_length > 0) {
		if (m->msg[0] == SESSION_DATA || m->msg[0] == SESSION_ERROR) {
			write_all(m->msg[0] == SESSION_DATA ? 1 : 2, m->msg + 1, m->msg_length - 1);
		} else if (m->msg[0] == SESSION_EXIT && m->msg_length == 5) {
			memcpy(&status, m->msg + 1, 4);
			s->status = (int)ntohl(status);
		}
	}
}

static void queue(struct session *s, uint8_t kind, const uint8_t *data, size_t n)
{
	uint8_t packet[SESSION_PACKET + 1];
	const struct wslay_event_msg m = { WSLAY_BINARY_FRAME, packet, n + 1 };

	packet[0] = kind;
	if (n > 0) {
		memcpy(packet + 1, data, n);
	}
	(void)wslay_event_queue_msg(s->ws, &m);
}

static void tell_size(struct session *s)
{
	struct winsize w;

	resized = 0;
	if (ioctl(0, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col) {
		const uint8_t b[4] = { (uint8_t)(w.ws_row >> 8), (uint8_t)w.ws_row,
			               (uint8_t)(w.ws_col >> 8), (uint8_t)w.ws_col };

		queue(s, SESSION_RESIZE, b, sizeof(b));
	}
}

static void read_input(struct session *s)
{
	uint8_t b[SESSION_PACKET];
	ssize_t n = read(0, b, sizeof(b));

	if (n > 0) {
		queue(s, SESSION_DATA, b, (size_t)n);
	} else if (n == 0 || errno != EINTR) {
		queue(s, SESSION_EOF, NULL, 0);
		s->input = false;
	}
}

static int talk(struct session *s)
{
	while (s->open) {
		bool room = wslay_event_get_queued_msg_length(s->ws) < HELD_MAX;
		struct pollfd p[2] = { { s->socket, POLLIN, 0 },
			               { s->input && room ? 0 : -1, POLLIN, 0 } };

		if (resized) {
			tell_size(s);
		}
		if (wslay_event_want_write(s->ws)) {
			(void)wslay_event_send(s->ws);
			p[0].events =
				(short)(POLLIN | (wslay_event_want_write(s->ws) ? POLLOUT : 0));
		}
		/* libcurl may hold bytes that poll(2) does not see: first reading, then waiting. */
		if (wslay_event_recv(s->ws) != 0 || !s->open) {
			break;
		}
		if (wslay_event_want_write(s->ws)) {
			p[0].events |= POLLOUT;
		}
		if (poll(p, 2, -1) > 0 && p[1].revents) {
			read_input(s);
		}
	}
	if (wslay_event_want_write(s->ws)) {
		(void)wslay_event_send(s->ws); /* the answer to the end */
	}
	return s->status < 0 ? 1 : s->status;
}

/* ---- the connection ---- */

static bool wait_socket(const struct session *s, short what)
{
	struct pollfd p = { s->socket, what, 0 };

	return poll(&p, 1, WAIT_MS) > 0;
}

static bool send_all(const struct session *s, const char *data, size_t n)
{
	size_t sent;

	while (n > 0) {
		CURLcode rc = curl_easy_send(s->curl, data, n, &sent);

		if (rc == CURLE_AGAIN ? !wait_socket(s, POLLOUT) : rc != CURLE_OK) {
			return false;
		}
		data += rc == CURLE_OK ? sent : 0;
		n -= rc == CURLE_OK ? sent : 0;
	}
	return true;
}

/* The head of the answer alone, byte by byte: what follows is WebSocket's. */
static bool read_head(const struct session *s, char *to, size_t size)
{
	size_t n = 0, got;

	while (n + 1 < size && (n < 4 || memcmp(to + n - 4, "\r\n\r\n", 4) != 0)) {
		CURLcode rc = curl_easy_recv(s->curl, to + n, 1, &got);

		if (rc == CURLE_AGAIN ? !wait_socket(s, POLLIN) : rc != CURLE_OK || got == 0) {
			return false;
		}
		n += rc == CURLE_OK ? got : 0;
	}
	to[n] = '\0';
	return true;
}

/* "wss://HOST/exec/ID" or "ws+unix://SOCKET:/exec/ID" */
static bool dial(struct session *s, const char *uri, char *path, size_t size)
{
	char url[600], error[CURL_ERROR_SIZE] = "";
	const char *at = strstr(uri, "/exec/");
	curl_socket_t fd;

	s->curl = curl_easy_init();
	if (!s->curl || !at) {
		return false;
	}
	snprintf(path, size, "%s", at);
	curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L);
	if (strncmp(uri, "ws+unix://", 10) == 0 && at > uri + 11) {
		snprintf(url, sizeof(url), "%.*s", (int)(at - uri - 11), uri + 10);
		curl_easy_setopt(s->curl, CURLOPT_UNIX_SOCKET_PATH, url);
		curl_easy_setopt(s->curl, CURLOPT_URL, "http://netd/");
	} else {
		snprintf(url, sizeof(url), "https://%.*s/", (int)(at - uri - 6), uri + 6);
		curl_easy_setopt(s->curl, CURLOPT_URL, url);
		if (netctl_ca()) {
			curl_easy_setopt(s->curl, CURLOPT_CAINFO, netctl_ca());
		}
	}
	if (curl_easy_perform(s->curl) != CURLE_OK ||
	    curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK) {
		fprintf(stderr, "netctl: %s: %s\n", uri, error);
		return false;
	}
	s->socket = fd;
	return true;
}

static bool shake_hands(const struct session *s, const char *path)
{
	char head[HEAD_MAX], key[25];
	uint8_t nonce[16];
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	random_system.fill(&random_system, nonce, sizeof(nonce));
	for (int i = 0; i < 21; i++) { /* any 16 bytes as base64 */
		key[i] = digits[nonce[i % 16] & 63];
	}
	memcpy(key + 21, "A==", 4);
	int n = snprintf(head, sizeof(head),
	                 "GET %s HTTP/1.1\r\nHost: netd\r\nUpgrade: websocket\r\n"
	                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                 "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: " SESSION_PROTOCOL
	                 "\r\n\r\n",
	                 path, key);
	if (!send_all(s, head, (size_t)n) || !read_head(s, head, sizeof(head)) ||
	    strncmp(head, "HTTP/1.1 101 ", 13) != 0) {
		fprintf(stderr, "netctl: the session was refused: %.*s\n",
		        (int)strcspn(head, "\r\n"), head);
		return false;
	}
	return true;
}

static int run(const json_t *answer, bool input, bool terminal)
{
	static const struct wslay_event_callbacks callbacks = { on_recv, on_send, on_mask,   NULL,
		                                                NULL,    NULL,    on_message };
	struct session s = { .status = -1, .open = true, .input = input };
	const char *password = model_str(answer, "password");
	char path[100];
	int rc = 1;

	if (!dial(&s, model_str(answer, "webSocketUri"), path, sizeof(path)) ||
	    !shake_hands(&s, path) || wslay_event_context_client_init(&s.ws, &callbacks, &s) != 0) {
		curl_easy_cleanup(s.curl);
		return 1;
	}
	const struct wslay_event_msg m = { WSLAY_TEXT_FRAME, (const uint8_t *)password,
		                           strlen(password) };
	(void)wslay_event_queue_msg(s.ws, &m);
	signal(SIGPIPE, SIG_IGN);
	if (terminal) {
		const struct sigaction sa = { .sa_handler = on_resize }; /* ends poll(2) */

		sigaction(SIGWINCH, &sa, NULL);
		make_raw();
	}
	rc = talk(&s);
	restore();
	wslay_event_context_free(s.ws);
	curl_easy_cleanup(s.curl);
	return rc;
}

/* ---- commands ---- */

/* The words as one command line, each in quotes. */
static void join(struct buf *to, char *const *words)
{
	for (; *words; words++) {
		buf_addf(to, to->len ? " '" : "'");
		for (const char *p = *words; *p; p++) {
			if (*p == '\'') {
				buf_addf(to, "'\\''");
			} else {
				buf_add(to, p, 1);
			}
		}
		buf_addf(to, "'");
	}
}

int exec_run(const char *group, const char *container, char *const *command, bool input,
             bool terminal)
{
	AUTO_BUF struct buf line = { 0 };
	char path[1800];
	json_t *answer = NULL, *body = NULL;
	struct winsize w = { .ws_row = 24, .ws_col = 80 };
	int rc = netctl_container_path(group, container, command ? "exec" : "attach", path,
	                               sizeof(path));

	if (rc != 0) {
		return rc;
	}
	if (command) {
		join(&line, command);
		if (terminal && (ioctl(0, TIOCGWINSZ, &w) < 0 || !w.ws_row || !w.ws_col)) {
			w = (struct winsize){ .ws_row = 24, .ws_col = 80 };
		}
		body = json_pack("{s:s, s:b, s:{s:i, s:i}}", "command", buf_str(&line), "terminal",
		                 terminal, "terminalSize", "rows", (int)w.ws_row, "cols",
		                 (int)w.ws_col);
		if (!body) {
			fprintf(stderr, "netctl: the command is not UTF-8\n");
			return 64;
		}
	}
	long status = netctl_request("POST", path, body, &answer, NULL);
	rc = status == 200 ? run(answer, input, terminal) : netctl_failed(status, answer);
	json_decref(body);
	json_decref(answer);
	return rc;
}
