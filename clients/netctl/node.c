/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Nodes of the plane. See netctl.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

int node_join_token(const char *name, const char *zone, const char *domain, const char *seconds)
{
	json_t *answer = NULL,
	       *body = json_pack("{s:s*, s:s*, s:s*}", "name", name, "zone", zone, "faultDomain",
	                         domain);

	if (seconds) {
		json_object_set_new(body, "seconds", json_integer(strtoll(seconds, NULL, 10)));
	}
	long status = netctl_request("POST", "/netd/join-tokens", body, &answer, NULL);
	json_decref(body);
	int rc = status == 201 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		puts(model_str(answer, "token"));
	}
	json_decref(answer);
	return rc;
}

int node_list(bool json)
{
	json_t *answer = NULL, *x;
	long status = netctl_request("GET", "/netd/nodes", NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	size_t i;

	if (rc == 0 && json) {
		json_dumpf(json_object_get(answer, "value"), stdout, JSON_INDENT(2));
		puts("");
	} else if (rc == 0) {
		printf("%-20s %-6s %-18s %-10s %-10s %-6s %-7s %-24s %s\n", "NAME", "NUMBER",
		       "STATE", "ZONE", "DOMAIN", "CPU", "GB", "ADDRESS", "VERSION");
		json_array_foreach(json_object_get(answer, "value"), i, x)
		{
			char state[40];

			snprintf(state, sizeof(state), "%s%s", model_str(x, "state"),
			         json_is_true(json_object_get(x, "cordoned")) ? ",cordoned" : "");
			printf("%-20s %-6lld %-18s %-10s %-10s %-6lld %-7lld %-24s %s\n",
			       model_str(x, "name"),
			       (long long)json_integer_value(json_object_get(x, "number")), state,
			       model_str(x, "zone"), model_str(x, "faultDomain"),
			       (long long)json_integer_value(json_object_get(x, "cpu")),
			       (long long)json_integer_value(json_object_get(x, "memoryInGB")),
			       model_str(x, "address"), model_str(x, "version"));
		}
	}
	json_decref(answer);
	return rc;
}

int node_change(const char *what, const char *name)
{
	bool removes = strcmp(what, "remove") == 0;
	char path[200];
	json_t *answer = NULL;

	if (!removes && strcmp(what, "cordon") != 0 && strcmp(what, "uncordon") != 0) {
		fprintf(stderr,
		        "netctl: node %s: accepted are list, join-token, cordon, uncordon, remove and "
		        "reclaim\n",
		        what);
		return 64;
	}
	snprintf(path, sizeof(path), "/netd/nodes/%.63s%s%s", name, removes ? "" : "/",
	         removes ? "" : what);
	long status = netctl_request(removes ? "DELETE" : "POST", path, NULL, &answer, NULL);
	int rc = status == 204 ? 0 : netctl_failed(status, answer);
	json_decref(answer);
	return rc;
}
