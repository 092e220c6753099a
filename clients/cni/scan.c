/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See scan.h.
 */
#include "clients/cni/scan.h"

#include <string.h>

static const char *blank(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Behind the string that begins at p; NULL: it does not end. */
static const char *string_end(const char *p)
{
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && *++p == '\0') {
			return NULL;
		}
	}
	return *p ? p + 1 : NULL;
}

/* Behind the value that begins at p; NULL: it does not end. */
static const char *value_end(const char *p)
{
	unsigned depth = 0;

	while (*p) {
		if (*p == '"') {
			if (!(p = string_end(p))) {
				return NULL;
			}
			continue;
		}
		if (*p == '{' || *p == '[') {
			depth++;
		} else if ((*p == '}' || *p == ']' || *p == ',') && depth == 0) {
			return p;
		} else if (*p == '}' || *p == ']') {
			depth--;
		}
		p++;
	}
	return NULL;
}

static bool take(const char *from, const char *end, char *to, size_t size)
{
	size_t n = (size_t)(end - from) - 2;

	if (n >= size) {
		return false;
	}
	for (size_t i = 1; i <= n; i++) {
		if (from[i] < ' ' || from[i] > '~' || from[i] == '\\') {
			return false;
		}
	}
	memcpy(to, from + 1, n);
	to[n] = '\0';
	return true;
}

bool scan_string(const char *json, const char *name, char *to, size_t size)
{
	const char *p = json ? blank(json) : "";
	size_t len = strlen(name);

	if (*p++ != '{') {
		return false;
	}
	for (p = blank(p); *p == '"'; p = blank(p)) {
		const char *key = p, *end = string_end(p);

		if (!end || *(p = blank(end)) != ':') {
			return false;
		}
		p = blank(p + 1);
		bool is = (size_t)(end - key) == len + 2 && memcmp(key + 1, name, len) == 0;
		if (is) {
			end = *p == '"' ? string_end(p) : NULL;
			return end && take(p, end, to, size);
		}
		p = value_end(p);
		if (!p || *p != ',') {
			return false;
		}
		p++;
	}
	return false;
}
