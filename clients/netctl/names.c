/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about names. See netctl.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

static void print_section(const json_t *list)
{
	const json_t *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		printf("%s\n", json_string_value(x));
	}
}

int names_lookup(const char *name, const char *type, const char *vnet)
{
	char path[2600], at[1500];
	json_t *answer = NULL;

	if (vnet) {
		netctl_path("vnet", vnet, at, sizeof(at));
		at[strcspn(at, "?")] = '\0';
	}
	snprintf(path, sizeof(path), "%s?name=%s&type=%s",
	         vnet ? strcat(at, "/dnsLookup") : "/netd/dns/lookup", name, type);
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		printf("; %s%s\n", model_str(answer, "rcode"),
		       json_is_true(json_object_get(answer, "authoritative")) ? ", authoritative"
		                                                              : "");
		if (*model_str(answer, "forwarded")) {
			printf("; asked for outside: %s\n", model_str(answer, "forwarded"));
		}
		print_section(json_object_get(answer, "answers"));
		print_section(json_object_get(answer, "authority"));
	}
	json_decref(answer);
	return rc;
}

/* Private zones of the subscription; public ones, for who may see them. */
int names_zones(void)
{
	char path[1500];
	json_t *answer = NULL, *x;
	size_t i;

	netctl_path("zone", NULL, path, sizeof(path));
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	printf("%-48s %-8s %10s %8s\n", "NAME", "KIND", "RECORDS", "LINKS");
	json_array_foreach(json_object_get(answer, "value"), i, x)
	{
		printf("%-48s %-8s %10lld %8lld\n", model_str(x, "name"), "private",
		       (long long)json_integer_value(model_at(x, "properties.numberOfRecordSets")),
		       (long long)json_integer_value(
			       model_at(x, "properties.numberOfVirtualNetworkLinks")));
	}
	json_decref(answer);
	answer = NULL;
	status = netctl_request("GET", "/netd/dns/zones", NULL, &answer, NULL);
	json_array_foreach(status == 200 ? json_object_get(answer, "value") : NULL, i, x)
	{
		printf("%-48s %-8s %10s %8s\n", model_str(x, "name"), "public", "", "");
	}
	json_decref(answer);
	return rc;
}

int names_export(const char *zone)
{
	char path[1600];
	json_t *answer = NULL;

	netctl_path("zone", zone, path, sizeof(path));
	path[strcspn(path, "?")] = '\0';
	strcat(path, "/zoneFile");
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	if (status == 404 || strchr(zone, '/')) { /* a public one? */
		json_decref(answer);
		answer = NULL;
		snprintf(path, sizeof(path), "/netd/dns/zones/%s/zoneFile", zone);
		status = netctl_request("GET", path, NULL, &answer, NULL);
	}
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		fputs(model_str(answer, "content"), stdout);
	}
	json_decref(answer);
	return rc;
}

int names_stats(void)
{
	json_t *answer = NULL;
	const char *key;
	json_t *x;
	long status = netctl_request("GET", "/netd/dns/stats", NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);

	json_object_foreach(rc == 0 ? answer : NULL, key, x)
	{
		printf("%-24s %lld\n", key, (long long)json_integer_value(x));
	}
	json_decref(answer);
	return rc;
}
