/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Questions about packets and flows. See netctl.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clients/netctl/netctl.h"
#include "lib/base/ip.h"
#include "lib/model/model.h"

/* The address of a group, or the text itself when it is one already. */
static int address_of(const char *name, char to[static IP_TEXT], json_t *group)
{
	struct err e = ERR_INIT;
	json_t *answer = NULL;
	char path[1500];
	struct ip ip;

	if (ip_parse(name, &ip, &e) == 0) {
		snprintf(to, IP_TEXT, "%s", name);
		return 0;
	}
	netctl_path("cg", name, path, sizeof(path));
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	if (rc == 0 && group) { /* a source: by its id, and its private address */
		json_object_set(group, "group", json_object_get(answer, "id"));
	}
	const char *own = model_str(answer, group ? "netd.address" : "properties.ipAddress.ip");
	snprintf(to, IP_TEXT, "%s", *own ? own : model_str(answer, "properties.ipAddress.ip"));
	if (rc == 0 && !*to) {
		fprintf(stderr, "netctl: %s has no address\n", name);
		rc = 1;
	}
	json_decref(answer);
	return rc;
}

/* netctl trace FROM TO:PORT[/PROTOCOL] */
int trace_packet(const char *from, const char *target)
{
	char src[IP_TEXT], dst[IP_TEXT], room[200];
	json_t *body = json_object(), *answer = NULL, *x;
	size_t i;

	snprintf(room, sizeof(room), "%s", target);
	char *proto = strchr(room, '/'), *port, *host = room;
	if (proto) {
		*proto++ = '\0';
	}
	if (room[0] == '[' && strchr(room, ']')) {
		host = room + 1;
		port = strchr(room, ']');
		*port++ = '\0';
		port = *port == ':' ? port + 1 : NULL;
	} else if ((port = strchr(room, ':')) && !strchr(port + 1, ':')) {
		*port++ = '\0';
	} else {
		port = NULL; /* an IPv6 address alone */
	}
	bool icmp = proto && strcasecmp(proto, "icmp") == 0;
	if (!port && !icmp) {
		fprintf(stderr, "netctl: trace needs TO:PORT, or TO/icmp\n");
		json_decref(body);
		return 64;
	}
	if (address_of(from, src, body) != 0 || address_of(host, dst, NULL) != 0) {
		json_decref(body);
		return 1;
	}
	json_object_set_new(body, "source", json_string(src));
	json_object_set_new(body, "destination", json_string(dst));
	json_object_set_new(body, "protocol", json_string(proto ? proto : "tcp"));
	json_object_set_new(body, "port", json_string(port ? port : "0"));
	long status = netctl_request("POST",
	                             "/netd/trace?api-version="
	                             "2023-05-01",
	                             body, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	json_array_foreach(json_object_get(answer, "hops"), i, x)
	{
		printf("%-10s %-11s %s\n", model_str(x, "at"), model_str(x, "does"),
		       model_str(x, "why"));
	}
	if (rc == 0) {
		printf("%s\n",
		       json_is_true(json_object_get(answer, "passes")) ? "passes" : "dropped");
	}
	json_decref(body);
	json_decref(answer);
	return rc;
}

/* A question about the resource itself; `what` is the last part of its path. */
static long ask(const char *method, const char *type, const char *name, const char *what,
                json_t **answer)
{
	char path[1500], more[1600];

	netctl_path(type, name, path, sizeof(path));
	path[strcspn(path, "?")] = '\0';
	snprintf(more, sizeof(more), "%s/%s?api-version=2023-05-01", path, what);
	return netctl_request(method, more, NULL, answer, NULL);
}

int trace_nsg_flush(const char *name)
{
	json_t *answer = NULL;
	long status = ask("POST", "nsg", name, "flush", &answer);
	int rc = status == 204 ? 0 : netctl_failed(status, answer);

	json_decref(answer);
	return rc;
}

static void print_counters(const char *type, const json_t *answer)
{
	const char *key;
	json_t *x;
	size_t i;

	if (strcmp(type, "cg") == 0) {
		json_object_foreach((json_t *)(uintptr_t)answer, key, x)
		{
			printf("%-16s %lld\n", key, (long long)json_integer_value(x));
		}
		return;
	}
	bool rules = strcmp(type, "nsg") == 0;
	printf("%-40s %-10s %-6s %12s %14s\n", "NAME", rules ? "DIRECTION" : "",
	       rules ? "ACCESS" : "", "PACKETS", "BYTES");
	json_array_foreach(json_object_get(answer, "value"), i, x)
	{
		printf("%-40s %-10s %-6s %12lld %14lld\n", model_str(x, "name"),
		       model_str(x, "direction"), model_str(x, "access"),
		       (long long)json_integer_value(json_object_get(x, "packets")),
		       (long long)json_integer_value(json_object_get(x, "bytes")));
	}
}

int trace_counters(const char *type, const char *name, bool json)
{
	json_t *answer = NULL;
	long status = ask("GET", type, name, "counters", &answer);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);

	if (rc == 0 && json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		printf("\n");
	} else if (rc == 0) {
		print_counters(type, answer);
	}
	json_decref(answer);
	return rc;
}
