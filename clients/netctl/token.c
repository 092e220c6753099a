/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Tokens of callers. See netctl.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

int token_draw(const char *path, json_t *body, const char *seconds)
{
	json_t *answer = NULL;

	if (seconds) {
		json_object_set_new(body, "seconds", json_integer(strtoll(seconds, NULL, 10)));
	}
	long status = netctl_request("POST", path, body, &answer, NULL);
	json_decref(body);
	int rc = status == 201 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		puts(model_str(answer, "token"));
	}
	json_decref(answer);
	return rc;
}

int token_rows(const char *path, bool json, const char *head, void (*row)(const json_t *x))
{
	json_t *answer = NULL, *x;
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	size_t i;

	if (rc == 0 && json) {
		json_dumpf(json_object_get(answer, "value"), stdout, JSON_INDENT(2));
		puts("");
	} else if (rc == 0) {
		puts(head);
		json_array_foreach(json_object_get(answer, "value"), i, x)
		{
			row(x);
		}
	}
	json_decref(answer);
	return rc;
}

int token_create(const char *caller, const char *subscription, const char *role, const char *scope,
                 const char *seconds)
{
	return token_draw("/netd/tokens",
	                  caller ? json_pack("{s:s}", "caller", caller)
	                         : json_pack("{s:s, s:s*, s:s*}", "subscription", subscription,
	                                     "role", role, "scope", scope),
	                  seconds);
}

static void print_token(const json_t *x)
{
	printf("%-14s %-30s %s\n", model_str(x, "id"), model_str(x, "caller"),
	       model_str(x, "expires"));
}

int token_list(bool json)
{
	return token_rows("/netd/tokens", json,
	                  "ID             CALLER                         EXPIRES", print_token);
}

int token_revoke(const char *id)
{
	char path[100];
	json_t *answer = NULL;

	snprintf(path, sizeof(path), "/netd/tokens/%.60s", id);
	long status = netctl_request("DELETE", path, NULL, &answer, NULL);
	int rc = status == 204 ? 0 : netctl_failed(status, answer);
	json_decref(answer);
	return rc;
}
