/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The request head, strictly (RFC 9112): CRLF line ends, tokens, one Host, one all-digit
 * Content-Length, Transfer-Encoding exactly "chunked" and never both. Pure: no I/O.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "netd/api/http.h"

static bool token_char(unsigned char c)
{
	return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int hex(int c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

bool http_decode(const char *from, size_t len, char *to, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)from[i];

		if (c == '%') {
			if (i + 2 >= len || hex(from[i + 1]) < 0 || hex(from[i + 2]) < 0) {
				return false;
			}
			c = hex(from[i + 1]) << 4 | hex(from[i + 2]);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || n + 1 >= size) {
			return false;
		}
		to[n++] = (char)c;
	}
	to[n] = '\0';
	return true;
}

static int request_line(const char *line, size_t len, struct http_request *r)
{
	const char *end = line + len, *sp = memchr(line, ' ', len);
	const char *sp2 = sp ? memchr(sp + 1, ' ', (size_t)(end - sp - 1)) : NULL;

	if (!sp || !sp2 || sp == line || (size_t)(sp - line) >= sizeof(r->method) ||
	    end - sp2 != 9 || memcmp(sp2 + 1, "HTTP/1.1", 8) != 0) {
		return 400;
	}
	for (const char *p = line; p < sp; p++) {
		if (!token_char((unsigned char)*p)) {
			return 400;
		}
		r->method[p - line] = *p;
	}
	const char *target = sp + 1, *q = memchr(target, '?', (size_t)(sp2 - target));
	const char *path_end = q ? q : sp2;
	for (const char *p = target; p < sp2; p++) {
		if ((unsigned char)*p < 0x21 || (unsigned char)*p > 0x7e) {
			return 400;
		}
	}
	while (path_end - target > 1 && target[0] == '/' && target[1] == '/') {
		target++;
	}
	if (*target != '/' ||
	    !http_decode(target, (size_t)(path_end - target), r->path, sizeof(r->path))) {
		return 400;
	}
	if (q) {
		size_t n = (size_t)(sp2 - q - 1);

		if (n >= sizeof(r->query)) {
			return 414;
		}
		memcpy(r->query, q + 1, n);
	}
	return 0;
}

struct fields {
	int hosts, lengths, encodings;
	bool expect;
};

static int copy(char *to, size_t size, const char *v, size_t n)
{
	if (n >= size) {
		return 431;
	}
	memcpy(to, v, n);
	to[n] = '\0';
	return 0;
}

static bool is(const char *name, size_t n, const char *want)
{
	return strlen(want) == n && strncasecmp(name, want, n) == 0;
}

bool http_has_token(const char *v, size_t n, const char *want)
{
	while (n > 0) {
		const char *comma = memchr(v, ',', n);
		size_t len = comma ? (size_t)(comma - v) : n, step = comma ? len + 1 : n;

		for (; len > 0 && (*v == ' ' || *v == '\t'); len--, step--, n--) {
			v++;
		}
		while (len > 0 && (v[len - 1] == ' ' || v[len - 1] == '\t')) {
			len--;
		}
		if (is(v, len, want)) {
			return true;
		}
		v += step;
		n -= step;
	}
	return false;
}

static int field(const char *name, size_t n, const char *v, size_t len, struct http_request *r,
                 struct fields *f, int64_t *length, bool *close)
{
	if (is(name, n, "host")) {
		f->hosts++;
		return copy(r->host, sizeof(r->host), v, len);
	}
	if (is(name, n, "content-length")) {
		f->lengths++;
		if (len == 0 || len > 15) {
			return 400;
		}
		*length = 0;
		for (size_t i = 0; i < len; i++) {
			if (!isdigit((unsigned char)v[i])) {
				return 400;
			}
			*length = *length * 10 + (v[i] - '0');
		}
	} else if (is(name, n, "transfer-encoding")) {
		f->encodings++;
		if (!is(v, len, "chunked")) {
			return 501;
		}
		*length = -1;
	} else if (is(name, n, "connection")) {
		*close = is(v, len, "close");
		r->upgrades = http_has_token(v, len, "upgrade");
	} else if (is(name, n, "upgrade")) {
		return copy(r->upgrade, sizeof(r->upgrade), v, len);
	} else if (is(name, n, "sec-websocket-key")) {
		return copy(r->ws_key, sizeof(r->ws_key), v, len);
	} else if (is(name, n, "sec-websocket-version")) {
		return copy(r->ws_version, sizeof(r->ws_version), v, len);
	} else if (is(name, n, "sec-websocket-protocol")) {
		return copy(r->ws_protocol, sizeof(r->ws_protocol), v, len);
	} else if (is(name, n, "authorization")) {
		return copy(r->authorization, sizeof(r->authorization), v, len);
	} else if (is(name, n, "if-match")) {
		return copy(r->if_match, sizeof(r->if_match), v, len);
	} else if (is(name, n, "if-none-match")) {
		return copy(r->if_none_match, sizeof(r->if_none_match), v, len);
	}
	return 0;
}

static int field_line(const char *line, size_t len, struct http_request *r, struct fields *f,
                      int64_t *length, bool *close)
{
	const char *colon = memchr(line, ':', len);

	if (!colon || colon == line) {
		return 400;
	}
	for (const char *p = line; p < colon; p++) {
		if (!token_char((unsigned char)*p)) {
			return 400; /* also a folded line, and a space before the colon */
		}
	}
	const char *v = colon + 1, *end = line + len;
	while (v < end && (*v == ' ' || *v == '\t')) {
		v++;
	}
	while (end > v && (end[-1] == ' ' || end[-1] == '\t')) {
		end--;
	}
	for (const char *p = v; p < end; p++) {
		if ((unsigned char)*p < 0x20 && *p != '\t') {
			return 400;
		}
	}
	return field(line, (size_t)(colon - line), v, (size_t)(end - v), r, f, length, close);
}

int http_parse_head(const char *text, size_t len, struct http_request *r, int64_t *length,
                    bool *close)
{
	struct fields f = { 0 };
	bool first = true;
	int rc = 0;

	*length = 0;
	*close = false;
	while (rc == 0 && len > 0) {
		const char *lf = memchr(text, '\n', len);
		size_t n = lf ? (size_t)(lf - text) : 0;

		if (!lf || n == 0 || text[n - 1] != '\r' || memchr(text, '\r', n - 1) ||
		    memchr(text, '\0', n)) {
			return 400;
		}
		if (n == 1) { /* the empty line */
			return first || f.hosts != 1 || f.lengths > 1 || f.encodings > 1 ||
			                       (f.lengths && f.encodings)
			               ? 400
			               : 0;
		}
		rc = first ? request_line(text, n - 1, r)
		           : field_line(text, n - 1, r, &f, length, close);
		first = false;
		text += n + 1;
		len -= n + 1;
	}
	return rc ? rc : 400;
}

bool http_query(const struct http_request *r, const char *name, char *to, size_t size)
{
	size_t n = strlen(name);

	for (const char *p = r->query; *p;) {
		size_t len = strcspn(p, "&");

		if (len > n && p[n] == '=' && strncasecmp(p, name, n) == 0) {
			return http_decode(p + n + 1, len - n - 1, to, size);
		}
		p += len + (p[len] == '&');
	}
	return false;
}
