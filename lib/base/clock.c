/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See clock.h. Reads the system's clocks and its random generator; no state.
 */
#include "lib/base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int64_t read_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_now(const struct clock *c)
{
	(void)c;
	return read_ms(CLOCK_BOOTTIME);
}

/* Tests set the clock that way: NETD_CLOCK names a file with milliseconds that are added. */
static int64_t offset(void)
{
	static int fd = -2;
	char text[32] = "";

	if (fd == -2) {
		const char *path = getenv("NETD_CLOCK");

		fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	}
	return fd >= 0 && pread(fd, text, sizeof(text) - 1, 0) > 0 ? strtoll(text, NULL, 10) : 0;
}

static int64_t system_wall(const struct clock *c)
{
	(void)c;
	return read_ms(CLOCK_REALTIME) + offset();
}

static void system_fill(const struct random *r, void *to, size_t len)
{
	(void)r;
	while (len > 0) {
		ssize_t n = getrandom(to, len, 0);
		if (n < 0) {
			abort();
		}
		to = (char *)to + n;
		len -= (size_t)n;
	}
}

const struct clock clock_system = { system_now, system_wall, NULL };
const struct random random_system = { system_fill, NULL };

void clock_format(int64_t wall_ms, char *to, size_t size)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char date[32];

	gmtime_r(&s, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(to, size, "%s.%03dZ", date, (int)(wall_ms % 1000));
}

void random_uuid(const struct random *r, char to[static 37])
{
	uint8_t b[16];

	r->fill(r, b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(to, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	         b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
	         b[13], b[14], b[15]);
}

bool clock_parse(const char *text, int64_t *wall_ms)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms = 0, offset = 0;
	int digits = 0, hours, minutes, end = 0;

	if (!p || strlen(text) < 19) {
		return false;
	}
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
			ms = digits < 3 ? ms * 10 + (*p - '0') : ms;
		}
		for (int i = digits; i < 3; i++) {
			ms *= 10;
		}
		if (digits == 0) {
			return false;
		}
	}
	if ((*p == '+' || *p == '-') && sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &end) == 2 &&
	    p[1 + end] == '\0' && hours < 15 && minutes < 60) {
		offset = (hours * 60 + minutes) * (*p == '+' ? 60000 : -60000);
	} else if (*p && strcmp(p, "Z") != 0) {
		return false;
	}
	*wall_ms = (int64_t)timegm(&tm) * 1000 + ms - offset;
	return true;
}

bool clock_duration(const char *text, int64_t *seconds)
{
	static const struct {
		char unit;
		bool time;
		int64_t seconds;
	} units[] = { { 'W', false, 604800 },
		      { 'D', false, 86400 },
		      { 'H', true, 3600 },
		      { 'M', true, 60 },
		      { 'S', true, 1 } };
	bool time = false, any = false;
	size_t next = 0;

	*seconds = 0;
	if (*text++ != 'P') {
		return false;
	}
	while (*text) {
		char *end;

		if (*text == 'T' && !time) {
			time = true;
			any = false;
			text++;
			continue;
		}
		if (*text < '0' || *text > '9') {
			return false;
		}
		long n = strtol(text, &end, 10);
		while (next < sizeof(units) / sizeof(units[0]) &&
		       (units[next].unit != *end || units[next].time != time)) {
			next++;
		}
		if (next == sizeof(units) / sizeof(units[0]) || n > 1000000) {
			return false;
		}
		*seconds += n * units[next++].seconds;
		text = end + 1;
		any = true;
	}
	return any;
}
