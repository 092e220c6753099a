/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See log.h. Writes to standard error; state: the role's name and the level.
 */
#include "lib/base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/own.h"

static const char *role_name = "netd";
static enum log_level max_level = LOG_INFO;
static const char *const level_names[] = { "error", "warn", "info", "debug" };
static_assert(ARRAY_N(level_names) == LOG_LEVEL_N, "a name for every level");

void log_setup(const char *role, enum log_level level)
{
	role_name = role;
	max_level = level;
}

void log_escape(char *to, size_t size, const char *from)
{
	size_t n = 0;

	for (; *from && n + 7 < size; from++) {
		unsigned char c = (unsigned char)*from;

		if (c == '"' || c == '\\') {
			to[n++] = '\\';
			to[n++] = (char)c;
		} else if (c < 0x20 || c > 0x7e) {
			n += (size_t)snprintf(to + n, size - n, "\\u%04x", c);
		} else {
			to[n++] = (char)c;
		}
	}
	to[n] = '\0';
}

static size_t add_field(char *line, size_t size, size_t n, const struct log_field *f)
{
	char text[1024];
	int m;

	if (f->str) {
		log_escape(text, sizeof(text), f->str);
		m = snprintf(line + n, size - n, ",\"%s\":\"%s\"", f->name, text);
	} else {
		m = snprintf(line + n, size - n, ",\"%s\":%lld", f->name, (long long)f->num);
	}
	return m > 0 && n + (size_t)m + 3 < size ? n + (size_t)m : n;
}

void log_write(enum log_level level, const char *event, const struct log_field *fields)
{
	char line[4096], time[40];
	size_t n;

	if (level > max_level) {
		return;
	}
	clock_format(clock_system.wall_ms(&clock_system), time, sizeof(time));
	n = (size_t)snprintf(line, sizeof(line),
	                     "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%s\",\"event\":\"%s\"",
	                     time, level_names[level], role_name, event);
	for (; fields->name; fields++) {
		n = add_field(line, sizeof(line), n, fields);
	}
	line[n++] = '}';
	line[n++] = '\n';
	ssize_t done;
	do {
		done = write(STDERR_FILENO, line, n);
	} while (done < 0 && errno == EINTR);
}
