/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See locations.h (Azure REST: Location - List Capabilities, List Usage, List Cached Images).
 */
#include "netd/api/locations.h"

#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/plane.h"

/* What a container group may ask for at most, where the administrator sets no limit: lib/model's own. */
#define CPU_MAX    1024
#define MEMORY_MAX 65536

static json_t *capabilities(void)
{
	static const char *const systems[] = { "Linux", "Windows" }, *const types[] = { "Public",
		                                                                        "Private" };
	const struct config *c = plane.config;
	json_t *value = json_array();

	for (size_t s = 0; s < ARRAY_N(systems); s++) {
		for (size_t t = 0; t < ARRAY_N(types); t++) {
			json_array_append_new(
				value,
				json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:f, s:f, s:f}}",
			                  "resourceType", "containerGroups", "osType", systems[s],
			                  "location", c->region, "ipAddressType", types[t], "gpu",
			                  "None", "capabilities", "maxMemoryInGB",
			                  (double)(c->node_memory ? c->node_memory : MEMORY_MAX),
			                  "maxCpu", (double)(c->node_cpu ? c->node_cpu : CPU_MAX),
			                  "maxGpuCount", 0.0));
		}
	}
	return value;
}

static json_t *usage(const struct model_id *id, const char *name, const char *words, int64_t now,
                     int64_t limit)
{
	char text[300];

	snprintf(text, sizeof(text),
	         "/subscriptions/%.100s/providers/Microsoft.ContainerInstance/locations/%.60s/"
	         "usages/%s",
	         id->subscription, plane.config->region, name);
	return json_pack("{s:s, s:s, s:I, s:I, s:{s:s, s:s}}", "id", text, "unit", "Count",
	                 "currentValue", (json_int_t)now, "limit",
	                 (json_int_t)(limit ? limit : INT32_MAX), "name", "value", name,
	                 "localizedValue", words);
}

static json_t *usages(const struct model_id *id)
{
	const struct tenant *t = tenant_of(id->subscription);
	const struct config *c = plane.config;
	double amounts[2] = { 0, 0 };
	char prefix[200];

	AUTO_FREE char *low = table_key(id->subscription);
	snprintf(prefix, sizeof(prefix), "/subscriptions/%.150s/", low);
	for (size_t i = table_from(prefix);
	     table_at(i) && strncmp(table_at(i)->key, prefix, strlen(prefix)) == 0; i++) {
		if (table_at(i)->group) {
			tenant_amounts(table_at(i)->doc, 1, amounts);
		}
	}
	return json_pack(
		"[o, o]",
		usage(id, "ContainerGroups", "Container Groups", t->groups, c->limit_groups),
		usage(id, "StandardCores", "Standard Cores", (int64_t)(amounts[0] + 0.999),
	              c->node_cpu));
}

bool locations_request(struct http_request *r, const struct model_id *id)
{
	bool reads = strcmp(r->method, "GET") == 0;
	json_t *value;

	if (strcasecmp(id->type, "Microsoft.ContainerInstance/locations") != 0 || id->child ||
	    !reads || strcasecmp(id->name, plane.config->region) != 0) {
		return false;
	}
	if (strcasecmp(id->child_type, "capabilities") == 0) {
		value = capabilities();
	} else if (strcasecmp(id->child_type, "usages") == 0) {
		value = usages(id);
	} else if (strcasecmp(id->child_type, "cachedImages") == 0) {
		value = json_array(); /* images are the runtime's */
	} else {
		return false;
	}
	api_json(r, 200, "", json_pack("{s:o}", "value", value));
	return true;
}
