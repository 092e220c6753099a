/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * netctl usage: what a subscription's container groups used (docs/accounting.md).
 */
#include <stdio.h>
#include <string.h>

#include "clients/netctl/netctl.h"
#include "lib/model/model.h"

static void print_period(const json_t *p)
{
	printf("%-24s %-24s %-24s %12.3f %10.1f %10.1f %14lld %14lld%s\n", model_str(p, "name"),
	       model_str(p, "start"), model_str(p, "end"),
	       json_number_value(json_object_get(p, "seconds")),
	       json_number_value(json_object_get(p, "cpuSeconds")),
	       json_number_value(json_object_get(p, "memoryInGBSeconds")),
	       (long long)json_integer_value(json_object_get(p, "bytesIn")),
	       (long long)json_integer_value(json_object_get(p, "bytesOut")),
	       json_is_true(json_object_get(p, "running")) ? " running" : "");
}

int usage_print(const char *subscription, const char *from, const char *to, bool json)
{
	char path[1500];
	json_t *all = json_array(), *answer = NULL, *p;
	int rc = 0;
	size_t i;

	snprintf(path, sizeof(path),
	         "/subscriptions/%.100s/providers/Microsoft.ContainerInstance/usage"
	         "?api-version=2023-05-01%s%.40s%s%.40s",
	         subscription, from ? "&from=" : "", from ? from : "", to ? "&to=" : "",
	         to ? to : "");
	for (bool more = true; more && rc == 0;) {
		long status = netctl_request("GET", path, NULL, &answer, NULL);
		const char *next = strstr(model_str(answer, "nextLink"), "/subscriptions");

		rc = status == 200 ? 0 : netctl_failed(status, answer);
		json_array_extend(all, json_object_get(answer, "value"));
		more = next != NULL;
		snprintf(path, sizeof(path), "%s", next ? next : "");
		json_decref(answer);
		answer = NULL;
	}
	if (rc == 0 && json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (rc == 0) {
		printf("%-24s %-24s %-24s %12s %10s %10s %14s %14s\n", "NAME", "START", "END",
		       "SECONDS", "CPU s", "GB s", "BYTES IN", "BYTES OUT");
		json_array_foreach(all, i, p)
		{
			print_period(p);
		}
	}
	json_decref(all);
	return rc;
}
