/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See etcd_http.h. libcurl's multi interface on the loop: it says which sockets it waits for, and until when.
 */
#include "lib/store/etcd_http.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "lib/base/loop.h"
#include "lib/base/own.h"
#include "lib/store/store.h"

#define ENDPOINTS_MAX 16
#define ANSWER_MAX    (64 << 20)

struct call {
	LIST_ENTRY(call) link;
	struct etcd_http *http;
	CURL *curl;
	struct curl_slist *headers;
	char *path;
	struct buf body, login, answer;
	size_t endpoint;
	bool authenticating, again; /* again: with a new token, once */
	bool fresh;                 /* a stream's answer goes on */
	char error[CURL_ERROR_SIZE];
	etcd_done_fn done;
	void *arg;
	struct etcd_stream *stream;
};

struct etcd_stream {
	struct call *call;
	int (*part)(void *arg, json_t *doc);
	void (*end)(void *arg, const struct err *e);
	void *arg;
	bool refused, over;
	struct err err;
};

struct etcd_http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer *timer;
	char *endpoints[ENDPOINTS_MAX];
	size_t n, at;
	char *ca, *cert, *key, *user, *password, *token;
	LIST_HEAD(calls, call) calls;
};

struct socket {
	struct etcd_http *http;
	curl_socket_t fd;
	struct loop_watch *in, *out;
};

/* ---- documents ---- */

void etcd_put(struct buf *to, const char *prefix, const char *text)
{
	size_t n = strlen(prefix), m = strlen(text), size = (n + m + 2) / 3 * 4 + 3;
	AUTO_FREE unsigned char *plain = malloc(n + m + 1);
	unsigned char *room = buf_room(to, size);

	if (!plain || !room) {
		to->failed = true;
		return;
	}
	memcpy(plain, prefix, n);
	memcpy(plain + n, text, m + 1);
	room[0] = '"';
	int len = EVP_EncodeBlock(room + 1, plain, (int)(n + m));
	room[len + 1] = '"';
	to->len += (size_t)len + 2;
}

char *etcd_text(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);
	const char *text = json_string_value(v);
	size_t n = json_string_length(v);
	char *to = text ? malloc(n / 4 * 3 + 4) : NULL;

	if (!to) {
		return v ? NULL : strdup(""); /* an empty one is left out */
	}
	int len = EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)text, (int)n);
	while (len > 0 && n > 0 && text[n - 1] == '=') {
		len--;
		n--;
	}
	if (len < 0 || memchr(to, 0, (size_t)len)) {
		free(to);
		return NULL;
	}
	to[len] = '\0';
	return to;
}

uint64_t etcd_number(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return json_is_integer(v)  ? (uint64_t)json_integer_value(v)
	       : json_is_string(v) ? strtoull(json_string_value(v), NULL, 10)
	                           : 0;
}

/* ---- one call ---- */

static size_t on_answer(char *data, size_t one, size_t n, void *arg);

/* All that a request has, as it goes to the endpoint that is asked now. */
static bool prepare(struct call *c)
{
	struct etcd_http *h = c->http;
	AUTO_BUF struct buf url = { 0 }, header = { 0 };
	struct buf *body = &c->body;

	c->endpoint = h->at;
	c->authenticating = h->user && !h->token;
	buf_clear(&c->answer);
	c->error[0] = '\0';
	curl_slist_free_all(c->headers);
	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	c->headers = curl_slist_append(c->headers, "Expect:");
	if (c->authenticating) {
		json_t *login = json_pack("{s:s, s:s}", "name", h->user, "password",
		                          h->password ? h->password : "");
		AUTO_FREE char *text = json_dumps(login, JSON_COMPACT);

		json_decref(login);
		buf_clear(&c->login);
		buf_addf(&c->login, "%s", text ? text : "");
		body = &c->login;
	} else if (h->token) {
		buf_addf(&header, "Authorization: %s", h->token);
		c->headers = curl_slist_append(c->headers, buf_str(&header));
	}
	buf_addf(&url, "%s%s", h->endpoints[h->at],
	         c->authenticating ? "/v3/auth/authenticate" : c->path);
	if (!c->headers || !buf_str(&url) || !buf_str(body)) {
		return false;
	}
	curl_easy_setopt(c->curl, CURLOPT_URL, buf_str(&url));
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body->data);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS,
	                 c->stream && !c->authenticating ? 0L : (long)ETCD_CALL_MS);
	return true;
}

static void call_free(struct call *c)
{
	curl_easy_cleanup(c->curl);
	curl_slist_free_all(c->headers);
	buf_fini(&c->body);
	buf_fini(&c->login);
	buf_fini(&c->answer);
	free(c->path);
	free(c);
}

static struct call *call_new(struct etcd_http *h, const char *path, struct buf *body)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c || !(c->curl = curl_easy_init()) || !(c->path = strdup(path))) {
		abort();
	}
	c->http = h;
	c->body = *body;
	*body = (struct buf){ 0 };
	curl_easy_setopt(c->curl, CURLOPT_PRIVATE, c);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)ETCD_CONNECT_MS);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPIDLE, 2L);
	curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPINTVL, 1L);
	if (h->ca) {
		curl_easy_setopt(c->curl, CURLOPT_CAINFO, h->ca);
	}
	if (h->cert) {
		curl_easy_setopt(c->curl, CURLOPT_SSLCERT, h->cert);
		curl_easy_setopt(c->curl, CURLOPT_SSLKEY, h->key);
	}
	return c;
}

/* ---- answers ---- */

/* What etcd means by its codes (gRPC's): is a refusal final, and of what kind? */
static enum etcd_outcome refusal(int64_t code, const char *text, struct err *e)
{
	enum err_kind kind = ERR_UNAVAILABLE;
	enum etcd_outcome outcome = ETCD_REFUSED;

	switch (code) {
	case 8: /* resource exhausted */
		if (strstr(text, "too many requests") || strstr(text, "space exceeded")) {
			outcome = ETCD_UNKNOWN; /* it can be sent again: somebody makes room */
			kind = ERR_NO_SPACE;
		} else {
			kind = ERR_TOO_LARGE;
		}
		break;
	case 3: /* invalid argument: too large, too many steps */
		kind = ERR_TOO_LARGE;
		break;
	case 7: /* permission denied */
		kind = ERR_FORBIDDEN;
		break;
	case 5:
	case 9:
	case 11: /* compacted, or from the future */
	case 12:
		break;
	default: /* 16: no token of this member's, which may be behind the one that gave it */
		outcome = ETCD_UNKNOWN;
	}
	err_set(e, kind, 0, "store: etcd: %s", text);
	return outcome;
}

static enum etcd_outcome judge(struct call *c, CURLcode rc, json_t **doc, struct err *e)
{
	const char *endpoint = c->http->endpoints[c->endpoint];
	json_error_t bad;
	long status = 0;

	*doc = NULL;
	if (rc != CURLE_OK) {
		err_set(e, ERR_UNAVAILABLE, 0, "store: %s: %s", endpoint,
		        c->error[0] ? c->error : curl_easy_strerror(rc));
		return ETCD_UNKNOWN;
	}
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	*doc = json_loadb((const char *)c->answer.data, c->answer.len, 0, &bad);
	if (status == 200 && json_is_object(*doc)) {
		return ETCD_OK;
	}
	enum etcd_outcome outcome = ETCD_UNKNOWN;
	const char *text = json_string_value(json_object_get(*doc, "error"));

	if (text) {
		outcome = refusal(json_integer_value(json_object_get(*doc, "code")), text, e);
		e->kind = c->authenticating && outcome == ETCD_REFUSED ? ERR_FORBIDDEN : e->kind;
	} else {
		size_t n = c->answer.len < 200 ? c->answer.len : 200;

		err_set(e, ERR_UNAVAILABLE, 0, "store: %s answered %ld: %.*s", endpoint, status,
		        (int)n, n ? (const char *)c->answer.data : "");
	}
	json_decref(*doc);
	*doc = NULL;
	return outcome;
}

void etcd_next(struct etcd_http *h)
{
	h->at = (h->at + 1) % h->n;
}

/* Is there something to send once more? A token that came, or one that is no longer good. */
static bool goes_on(struct call *c, CURLcode rc, enum etcd_outcome outcome, const json_t *doc)
{
	struct etcd_http *h = c->http;

	if (c->authenticating && outcome == ETCD_OK) {
		const char *token = json_string_value(json_object_get(doc, "token"));

		free(h->token);
		h->token = token ? strdup(token) : NULL;
		return h->token != NULL;
	}
	if (!c->authenticating && h->token && !c->again && rc == CURLE_OK && outcome != ETCD_OK &&
	    c->answer.len > 0 && memmem(c->answer.data, c->answer.len, "invalid auth token", 18)) {
		free(h->token);
		h->token = NULL;
		c->again = true;
		return true;
	}
	return false;
}

static void drop_stream(struct call *c, const struct err *e)
{
	struct etcd_stream *s = c->stream;

	s->call = NULL;
	if (!s->over) {
		s->over = true;
		s->end(s->arg, e);
	}
}

static void ended(struct call *c, CURLcode rc)
{
	struct etcd_http *h = c->http;
	struct err e = ERR_INIT;
	json_t *doc;
	enum etcd_outcome outcome = judge(c, rc, &doc, &e);

	if (goes_on(c, rc, outcome, doc) && prepare(c)) {
		json_decref(doc);
		curl_multi_add_handle(h->multi, c->curl);
		return;
	}
	if (outcome == ETCD_UNKNOWN && c->endpoint == h->at) {
		etcd_next(h);
	}
	LIST_REMOVE(c, link);
	if (c->stream) {
		drop_stream(c, &e);
	} else {
		c->done(c->arg, outcome, doc, outcome == ETCD_OK ? NULL : &e);
	}
	json_decref(doc);
	call_free(c);
}

/* Documents of a stream: one a line. */
static bool take_parts(struct call *c)
{
	struct etcd_stream *s = c->stream;

	for (;;) {
		char *end = c->answer.len ? memchr(c->answer.data, '\n', c->answer.len) : NULL;

		if (!end) {
			return true;
		}
		size_t n = (size_t)(end - (char *)c->answer.data) + 1;
		json_t *doc = json_loadb((const char *)c->answer.data, n, 0, NULL);
		const json_t *error = json_object_get(doc, "error");

		buf_drop(&c->answer, n);
		if (!doc || error) {
			const char *text = json_string_value(json_object_get(error, "message"));

			s->refused = true;
			err_set(&s->err, ERR_UNAVAILABLE, 0, "store: etcd: %s",
			        text ? text : "a watch's answer cannot be read");
		}
		bool more = doc && !error && s->part(s->arg, doc) == 0;
		json_decref(doc);
		if (!more) {
			return false;
		}
	}
}

static size_t on_answer(char *data, size_t one, size_t n, void *arg)
{
	struct call *c = arg;

	if (c->answer.len + n > ANSWER_MAX) {
		return 0;
	}
	buf_add(&c->answer, data, one * n);
	c->fresh = c->stream && !c->authenticating;
	return c->answer.failed ? 0 : one * n;
}

static struct call *with_parts(struct etcd_http *h)
{
	struct call *c;

	LIST_FOREACH(c, &h->calls, link)
	{
		if (c->fresh) {
			break;
		}
	}
	return c;
}

/* Tells the documents that came: not inside libcurl's callback, where nothing else may be asked for. */
static void tell_parts(struct etcd_http *h)
{
	struct call *c;

	while ((c = with_parts(h))) {
		struct err e = ERR_INIT;
		long status = 0;

		c->fresh = false;
		curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status != 200 || take_parts(c)) {
			continue; /* another answer is read whole when it has ended */
		}
		e = c->stream->refused ? c->stream->err : e;
		LIST_REMOVE(c, link);
		curl_multi_remove_handle(h->multi, c->curl);
		drop_stream(c, &e);
		call_free(c);
	}
}

/* ---- libcurl on the loop ---- */

static void collect(struct etcd_http *h)
{
	CURLMsg *m;
	int left;

	tell_parts(h);
	while ((m = curl_multi_info_read(h->multi, &left))) {
		struct call *c = NULL;
		CURLcode rc = m->data.result;

		if (m->msg == CURLMSG_DONE) {
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
			curl_multi_remove_handle(h->multi, c->curl);
			ended(c, rc);
		}
	}
}

static void act(struct etcd_http *h, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(h->multi, fd, what, &running);
	collect(h);
}

static void on_in(void *arg)
{
	struct socket *s = arg;

	act(s->http, s->fd, CURL_CSELECT_IN);
}

static void on_out(void *arg)
{
	struct socket *s = arg;

	act(s->http, s->fd, CURL_CSELECT_OUT);
}

static void on_timer(void *arg)
{
	act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket(CURL *curl, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct etcd_http *h = arg;
	struct socket *s = of_socket;

	(void)curl;
	if (what == CURL_POLL_REMOVE) {
		if (s) {
			loop_watch_free(s->in);
			loop_watch_free(s->out);
			free(s);
			curl_multi_assign(h->multi, fd, NULL);
		}
		return 0;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s) {
			return -1;
		}
		s->http = h;
		s->fd = fd;
		s->in = loop_watch_read(h->loop, fd, on_in, s);
		s->out = loop_watch_write(h->loop, fd, on_out, s);
		curl_multi_assign(h->multi, fd, s);
	}
	loop_watch_enable(s->in, what & CURL_POLL_IN);
	loop_watch_enable(s->out, what & CURL_POLL_OUT);
	return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
	struct etcd_http *h = arg;

	(void)multi;
	if (ms < 0) {
		loop_timer_stop(h->timer);
	} else {
		loop_timer_start(h->timer, ms);
	}
	return 0;
}

/* ---- calls ---- */

static void begin(struct call *c)
{
	struct etcd_http *h = c->http;

	LIST_INSERT_HEAD(&h->calls, c, link);
	if (!prepare(c) || curl_multi_add_handle(h->multi, c->curl) != CURLM_OK) {
		abort(); /* out of memory */
	}
}

void etcd_call(struct etcd_http *h, const char *path, struct buf *body, etcd_done_fn done,
               void *arg)
{
	struct call *c = call_new(h, path, body);

	c->done = done;
	c->arg = arg;
	begin(c);
}

enum etcd_outcome etcd_call_wait(struct etcd_http *h, const char *path, struct buf *body,
                                 json_t **doc, struct err *e)
{
	struct call *c = call_new(h, path, body);
	enum etcd_outcome outcome = ETCD_UNKNOWN;

	*doc = NULL;
	for (size_t i = 0; i < h->n && outcome == ETCD_UNKNOWN; i++) {
		for (;;) {
			if (!prepare(c)) {
				abort();
			}
			CURLcode rc = curl_easy_perform(c->curl);
			outcome = judge(c, rc, doc, e);
			if (!goes_on(c, rc, outcome, *doc)) {
				break;
			}
			json_decref(*doc);
		}
		if (outcome == ETCD_UNKNOWN) {
			etcd_next(h);
		}
	}
	call_free(c);
	return outcome;
}

struct etcd_stream *etcd_stream(struct etcd_http *h, const char *path, struct buf *body,
                                int (*part)(void *arg, json_t *doc),
                                void (*end)(void *arg, const struct err *e), void *arg)
{
	struct etcd_stream *s = calloc(1, sizeof(*s));

	if (!s) {
		abort();
	}
	*s = (struct etcd_stream){ .part = part, .end = end, .arg = arg, .err = ERR_INIT };
	s->call = call_new(h, path, body);
	s->call->stream = s;
	begin(s->call);
	return s;
}

void etcd_stream_free(struct etcd_stream *s)
{
	if (s && s->call) {
		LIST_REMOVE(s->call, link);
		curl_multi_remove_handle(s->call->http->multi, s->call->curl);
		call_free(s->call);
	}
	free(s);
}

/* ---- life ---- */

static bool take_endpoints(struct etcd_http *h, const char *list, struct err *e)
{
	AUTO_FREE char *copy = strdup(list ? list : "");
	char *save = NULL;

	for (char *p = copy ? strtok_r(copy, ", ", &save) : NULL; p;
	     p = strtok_r(NULL, ", ", &save)) {
		size_t n = strlen(p);

		if ((strncmp(p, "http://", 7) != 0 && strncmp(p, "https://", 8) != 0) ||
		    h->n == ENDPOINTS_MAX) {
			err_set(e, ERR_INVALID, 0,
			        "store: '%.200s' is no endpoint of etcd: at most %d URLs that begin "
			        "with http:// or https:// are accepted",
			        p, ENDPOINTS_MAX);
			return false;
		}
		while (n > 0 && p[n - 1] == '/') {
			p[--n] = '\0';
		}
		h->endpoints[h->n++] = strdup(p);
	}
	if (h->n == 0) {
		err_set(e, ERR_INVALID, 0, "store: no endpoint of etcd");
	}
	return h->n > 0;
}

static char *copy(const char *text)
{
	return text && *text ? strdup(text) : NULL;
}

struct etcd_http *etcd_http_new(const struct store_etcd *c, struct loop *l, struct err *e)
{
	struct etcd_http *h = calloc(1, sizeof(*h));

	if (!h || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		abort();
	}
	h->loop = l;
	LIST_INIT(&h->calls);
	h->ca = copy(c->ca);
	h->cert = copy(c->cert);
	h->key = copy(c->key);
	h->user = copy(c->user);
	h->password = copy(c->password);
	h->multi = curl_multi_init();
	h->timer = loop_timer_new(l, on_timer, h);
	if (!h->multi) {
		abort();
	}
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	if (!take_endpoints(h, c->endpoints, e)) {
		etcd_http_free(h);
		return NULL;
	}
	return h;
}

void etcd_http_free(struct etcd_http *h)
{
	if (!h) {
		return;
	}
	while (!LIST_EMPTY(&h->calls)) {
		struct call *c = LIST_FIRST(&h->calls);
		struct err e = ERR_INIT;

		LIST_REMOVE(c, link);
		curl_multi_remove_handle(h->multi, c->curl);
		err_set(&e, ERR_UNAVAILABLE, 0, "store: closed");
		if (c->stream) {
			drop_stream(c, &e);
		} else {
			c->done(c->arg, ETCD_UNKNOWN, NULL, &e);
		}
		call_free(c);
	}
	curl_multi_cleanup(h->multi);
	loop_timer_free(h->timer);
	for (size_t i = 0; i < h->n; i++) {
		free(h->endpoints[i]);
	}
	free(h->ca);
	free(h->cert);
	free(h->key);
	free(h->user);
	if (h->password) {
		explicit_bzero(h->password, strlen(h->password));
	}
	free(h->password);
	free(h->token);
	free(h);
}
