/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See document.h.
 */
#include "clients/netctl/document.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "lib/model/model.h"

/* "[resourceId(...)]" anywhere: its path, or NULL */
bool document_expression(const json_t *v, char *path, size_t size, size_t at)
{
	const char *key, *s = json_string_value(v);
	json_t *x;
	size_t i;

	if (s && s[0] == '[' && s[strlen(s) - 1] == ']') {
		path[at] = '\0';
		return true;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, x)
	{
		int n = snprintf(path + at, size - at, "%s%s", at ? "." : "", key);
		if (n > 0 && at + (size_t)n < size &&
		    document_expression(x, path, size, at + (size_t)n)) {
			return true;
		}
	}
	json_array_foreach(v, i, x)
	{
		int n = snprintf(path + at, size - at, "[%zu]", i);
		if (n > 0 && at + (size_t)n < size &&
		    document_expression(x, path, size, at + (size_t)n)) {
			return true;
		}
	}
	return false;
}

/* What others refer to comes first; else the order of the document. */
static const char *const order[] = {
	"Microsoft.Network/networkSecurityGroups",
	"Microsoft.Network/applicationSecurityGroups",
	"Microsoft.Network/routeTables",
	"Microsoft.Network/publicIPPrefixes",
	"Microsoft.Network/publicIPAddresses",
	"Microsoft.Network/natGateways",
	"Microsoft.Network/virtualNetworks",
	"Microsoft.Network/virtualNetworks/subnets",
	"Microsoft.Network/networkProfiles",
	"Microsoft.Network/loadBalancers",
	"Microsoft.ContainerInstance/containerGroupProfiles",
	"Microsoft.StandbyPool/standbyContainerGroupPools",
};

int document_ranks(void)
{
	return (int)ARRAY_N(order) + 1;
}

int document_rank(const json_t *r)
{
	int i = 0;

	while (i < (int)ARRAY_N(order) && strcasecmp(model_str(r, "type"), order[i]) != 0) {
		i++;
	}
	return i;
}

/* The resource groups that ids inside the document name: how many, and the first. */
void document_groups(const json_t *v, char first[100], int *n)
{
	const char *key, *s = json_string_value(v);
	struct model_id id;
	json_t *x;
	size_t i;

	if (s && strncasecmp(s, "/subscriptions/", 15) == 0 && model_id_parse(s, &id) == 0 &&
	    id.group && (*n == 0 || strcasecmp(first, id.group) != 0)) {
		snprintf(first, 100, "%s", id.group);
		++*n;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, x)
	{
		document_groups(x, first, n);
	}
	json_array_foreach((json_t *)(uintptr_t)v, i, x)
	{
		document_groups(x, first, n);
	}
}
