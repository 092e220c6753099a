/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Nodes of the plane. See netctl.h.
 */
#include <stdio.h>
#include <string.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

int node_join_token(const char *name, const char *zone, const char *domain, const char *seconds)
{
	return token_draw(
		"/netd/join-tokens",
		json_pack("{s:s*, s:s*, s:s*}", "name", name, "zone", zone, "faultDomain", domain),
		seconds);
}

static long long number(const json_t *x, const char *key)
{
	return (long long)json_integer_value(json_object_get(x, key));
}

static void print_node(const json_t *x)
{
	char state[60];

	snprintf(state, sizeof(state), "%s%s%s%s", model_str(x, "state"),
	         json_is_true(json_object_get(x, "cordoned")) ? ",cordoned" : "",
	         json_array_size(json_object_get(x, "unlike")) > 0 ? ",unlike" : "",
	         json_array_size(json_object_get(x, "refused")) > 0 ? ",refused" : "");
	printf("%-20s %-6lld %-24s %-10s %-10s %-6lld %-7lld %-24s %s\n", model_str(x, "name"),
	       number(x, "number"), state, model_str(x, "zone"), model_str(x, "faultDomain"),
	       number(x, "cpu"), number(x, "memoryInGB"), model_str(x, "address"),
	       model_str(x, "version"));
}

int node_list(bool json)
{
	return token_rows(
		"/netd/nodes", json,
		"NAME                 NUMBER STATE                    ZONE       DOMAIN     "
		"CPU    GB      ADDRESS                  VERSION",
		print_node);
}

int node_change(const char *what, const char *name)
{
	bool removes = strcmp(what, "remove") == 0;
	char path[200];
	json_t *answer = NULL;

	if (!removes && strcmp(what, "cordon") != 0 && strcmp(what, "uncordon") != 0 &&
	    strcmp(what, "drain") != 0) {
		fprintf(stderr,
		        "netctl: node %s: accepted are list, join-token, cordon, uncordon, drain, take, "
		        "remove and reclaim\n",
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

int node_take(const char *name, const char *vnet)
{
	char path[200];
	json_t *answer = NULL, *body = json_pack("{s:s}", "virtualNetwork", vnet);

	snprintf(path, sizeof(path), "/netd/nodes/%.63s/take", name);
	long status = netctl_request("POST", path, body, &answer, NULL);
	int rc = status == 204 ? 0 : netctl_failed(status, answer);
	json_decref(answer);
	json_decref(body);
	return rc;
}
