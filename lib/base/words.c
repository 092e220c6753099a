/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See words.h.
 */
#include "lib/base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One word from *at on, to *to, both moved behind it; false: its quote does not end. */
static bool take_word(const char **at, char **to)
{
	const char *p = *at;
	char quote = '\0', *out = *to;

	for (; *p && (quote || !strchr(" \t\n", *p)); p++) {
		if (quote ? *p == quote : (*p == '\'' || *p == '"')) {
			quote = quote ? '\0' : *p;
		} else if (*p == '\\' && quote != '\'' && p[1] &&
		           (!quote || strchr("\"\\$`", p[1]))) {
			*out++ = *++p;
		} else {
			*out++ = *p;
		}
	}
	*out++ = '\0';
	*at = p;
	*to = out;
	return quote == '\0';
}

int words_split(const char *text, char ***ret, size_t *n, struct err *e)
{
	size_t room = (WORDS_MAX + 1) * sizeof(char *);
	char **v = malloc(room + strlen(text) + WORDS_MAX + 1), *to;

	if (!v) {
		return err_set(e, ERR_NO_MEMORY, 0, "no memory");
	}
	to = (char *)v + room;
	*n = 0;
	for (text += strspn(text, " \t\n"); *text; text += strspn(text, " \t\n")) {
		if (*n == WORDS_MAX) {
			free(v);
			return err_set(e, ERR_INVALID, 0, "more than %d words", WORDS_MAX);
		}
		v[(*n)++] = to;
		if (!take_word(&text, &to)) {
			free(v);
			return err_set(e, ERR_INVALID, 0, "a quote does not end");
		}
	}
	if (*n == 0) {
		free(v);
		return err_set(e, ERR_INVALID, 0, "no word");
	}
	v[*n] = NULL;
	*ret = v;
	return 0;
}

bool words_listed(const char *list, size_t i, char *to, size_t size)
{
	size_t n;

	for (; i > 0 && list; i--) {
		list = strchr(list, ',');
		list = list ? list + 1 : NULL;
	}
	if (!list) {
		return false;
	}
	list += strspn(list, " \t");
	n = strcspn(list, ",");
	while (n > 0 && strchr(" \t", list[n - 1])) {
		n--;
	}
	snprintf(to, size, "%.*s", (int)n, list);
	return true;
}
