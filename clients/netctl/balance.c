/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Load balancers and NGroups: shares, scaling, updates, eviction. See netctl.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

#define API_VERSION "?api-version=2023-05-01"

/* The path of something below a resource. */
static void below(const char *type, const char *name, const char *what, char *to, size_t size)
{
	char path[1500];

	netctl_path(type, name, path, sizeof(path));
	path[strcspn(path, "?")] = '\0';
	snprintf(to, size, "%s/%s" API_VERSION, path, what);
}

static int ask(const char *method, const char *path, const json_t *body, json_t **answer,
               char *operation)
{
	long status = netctl_request(method, path, body, answer, operation);

	return status >= 200 && status < 300 ? 0 : netctl_failed(status, *answer);
}

int balance_shares(const char *lb)
{
	char path[1600];
	json_t *answer = NULL, *rule, *m;
	size_t i, k;

	below("lb", lb, "shares", path, sizeof(path));
	int rc = ask("GET", path, NULL, &answer, NULL);
	json_array_foreach(json_object_get(answer, "value"), i, rule)
	{
		const json_t *a = json_object_get(rule, "availability");

		printf("%s%-20s %-24s %-40s %-6s %7s  %s\n", i ? "" : "\n", "RULE", "MEMBER",
		       "ADDRESS", "STATE", "SHARE", "WHY");
		json_array_foreach(json_object_get(rule, "members"), k, m)
		{
			printf("%-20s %-24.24s %-40s %-6s %6.2f%%  %s\n", model_str(rule, "name"),
			       model_str(m, "name"), model_str(m, "ipAddress"),
			       model_str(m, "state"),
			       100 * json_number_value(json_object_get(m, "share")),
			       model_str(m, "reason"));
		}
		if (json_is_object(a)) {
			printf("%-20s from outside: %s, %.1f%% of the last hour\n",
			       model_str(rule, "name"),
			       json_is_true(json_object_get(a, "now")) ? "answers"
			                                               : "does not answer",
			       json_number_value(json_object_get(a, "percent")));
		}
	}
	json_decref(answer);
	return rc;
}

int balance_scale(const char *ngroup, const char *count, bool no_wait)
{
	char path[1500], operation[1200] = "", *end;
	long n = strtol(count, &end, 10);
	json_t *answer = NULL, *body;

	if (*end || n < 0) {
		fprintf(stderr, "netctl: '%s' is no count\n", count);
		return 2;
	}
	body = json_pack("{s:{s:{s:i}}}", "properties", "elasticProfile", "desiredCount", (int)n);
	netctl_path("ng", ngroup, path, sizeof(path));
	int rc = ask("PATCH", path, body, &answer, operation);
	json_decref(body);
	json_decref(answer);
	return rc == 0 && !no_wait && *operation ? netctl_wait(operation) : rc;
}

int balance_rollout(const char *ngroup, bool cancel)
{
	char path[1600];
	json_t *answer = NULL;

	below("ng", ngroup, cancel ? "cancelRollingUpdate" : "latestRollingUpdate", path,
	      sizeof(path));
	int rc = ask(cancel ? "POST" : "GET", path, NULL, &answer, NULL);
	if (rc == 0) {
		const json_t *p = json_object_get(answer, "progress"),
			     *s = json_object_get(p, "containerGroupsUpdateSummary");

		printf("%s since %s: %lld updated, %lld failed, %lld to come\n",
		       model_str(p, "state"), model_str(p, "startTime"),
		       (long long)json_integer_value(json_object_get(s, "succeededCount")),
		       (long long)json_integer_value(json_object_get(s, "failedCount")),
		       (long long)json_integer_value(json_object_get(s, "pendingCount")));
		if (*model_str(p, "error.message")) {
			printf("%s\n", model_str(p, "error.message"));
		}
	}
	json_decref(answer);
	return rc;
}

int balance_watch(const char *ngroup)
{
	char path[1500], last[200] = "", now[200];
	int rc = 0;

	netctl_path("ng", ngroup, path, sizeof(path));
	for (;;) {
		json_t *answer = NULL;

		rc = ask("GET", path, NULL, &answer, NULL);
		const char *state = model_str(answer, "properties.provisioningState");
		bool good = strcmp(state, "Succeeded") == 0, bad = strcmp(state, "Failed") == 0;
		snprintf(now, sizeof(now), "%s: %lld wanted", state,
		         (long long)json_integer_value(
				 model_at(answer, "properties.elasticProfile.desiredCount")));
		if (rc == 0 && strcmp(now, last) != 0) {
			printf("%s\n", now);
			fflush(stdout);
			memcpy(last, now, sizeof(last));
		}
		json_decref(answer);
		if (rc != 0 || good || bad) {
			return rc ? rc : bad;
		}
		usleep(300000);
	}
}

int balance_reclaim(const char *count, const char *seconds)
{
	json_t *answer = NULL, *x,
	       *body = json_pack("{s:i, s:i}", "groups", atoi(count), "noticeSeconds",
	                         seconds ? atoi(seconds) : 30);
	size_t i;
	int rc = ask("POST", "/netd/node/reclaim", body, &answer, NULL);

	json_array_foreach(json_object_get(answer, "evicted"), i, x)
	{
		printf("%s\n", json_string_value(x));
	}
	json_decref(body);
	json_decref(answer);
	return rc;
}
