/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a CNI network's configuration says, what a container may choose within it, and the container group that follows. See
 * cni_parts.h. Pure.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/own.h"
#include "netd/cni_parts.h"
#include "netd/guest.h"
#include "netd/where.h"

#define RESOURCE_GROUP "cni"

enum kind {
	KIND_STANDARD, /* of CNI: looked at elsewhere, or by runtimes only */
	KIND_PASSED,   /* of the bridge plugin's configurations, without a meaning here */
	KIND_TEXT,
	KIND_ID, /* of a resource */
	KIND_IDS,
	KIND_BOOL,
	KIND_PORTS,
	KIND_BANDWIDTH,
	KIND_WORDS,
};

static const struct key {
	const char *name;
	enum kind kind;
	bool choice; /* `allow` may list it */
} keys[] = {
	{ "cniVersion", KIND_STANDARD, false },
	{ "name", KIND_STANDARD, false },
	{ "type", KIND_STANDARD, false },
	{ "capabilities", KIND_STANDARD, false }, /* not always stripped (containerd 1.6, podman) */
	{ "runtimeConfig", KIND_STANDARD, false },
	{ "prevResult", KIND_STANDARD, false },
	{ "args", KIND_STANDARD, false },
	{ "cni.dev/valid-attachments", KIND_STANDARD, false },
	{ "cni.dev/attachments", KIND_STANDARD, false }, /* as libcni 1.2 said it */
	{ "dns", KIND_STANDARD, true },
	{ "bridge", KIND_PASSED, false },
	{ "isGateway", KIND_PASSED, false },
	{ "isDefaultGateway", KIND_PASSED, false },
	{ "forceAddress", KIND_PASSED, false },
	{ "ipMasq", KIND_PASSED, false },
	{ "hairpinMode", KIND_PASSED, false },
	{ "ipam", KIND_PASSED, false },
	{ "socket", KIND_TEXT, false },
	{ "subscription", KIND_TEXT, false },
	{ "resourceGroup", KIND_TEXT, false },
	{ "runtime", KIND_TEXT, false },
	{ "networkSecurityGroup", KIND_ID, false },
	{ "allow", KIND_WORDS, false },
	{ "defaultRoute", KIND_BOOL, false },
	{ "subnet", KIND_ID, true },
	{ "applicationSecurityGroups", KIND_IDS, true },
	{ "publicIP", KIND_BOOL, true },
	{ "pool", KIND_ID, true },
	{ "label", KIND_TEXT, true },
	{ "ports", KIND_PORTS, true },
	{ "bandwidth", KIND_BANDWIDTH, true },
};
/* What a runtime can hand on, beside those. */
static const char *const capabilities[] = { "ips", "mac", "portMappings" };

static const struct key *key_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		if (strcmp(keys[i].name, name) == 0) {
			return &keys[i];
		}
	}
	return NULL;
}

static bool is_choice(const char *word)
{
	const struct key *k = key_of(word);

	for (size_t i = 0; i < ARRAY_N(capabilities); i++) {
		if (strcmp(capabilities[i], word) == 0) {
			return true;
		}
	}
	return k && k->choice;
}

static void list_words(bool choices, char *to, size_t size)
{
	size_t n = 0;

	to[0] = '\0';
	for (size_t i = 0; i < ARRAY_N(keys) && n < size; i++) {
		if (choices ? keys[i].choice : keys[i].kind > KIND_PASSED) {
			n += (size_t)snprintf(to + n, size - n, "%s%s", n ? ", " : "",
			                      keys[i].name);
		}
	}
	for (size_t i = 0; choices && i < ARRAY_N(capabilities) && n < size; i++) {
		n += (size_t)snprintf(to + n, size - n, ", %s", capabilities[i]);
	}
}

/* ---- is it as it may be? ---- */

static bool is_port(const json_t *x)
{
	json_int_t n = json_integer_value(x);

	return json_is_integer(x) && n >= 1 && n <= 65535;
}

static bool is_protocol(const char *s)
{
	return !*s || strcasecmp(s, "tcp") == 0 || strcasecmp(s, "udp") == 0;
}

static bool is_id(const json_t *x)
{
	const char *s = json_string_value(x);

	return s && strncasecmp(s, "/subscriptions/", 15) == 0 && strlen(s) < 600;
}

static bool all_ports(const json_t *v)
{
	const json_t *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)v, i, x)
	{
		if (!json_is_object(x) || !is_port(json_object_get(x, "port")) ||
		    !is_protocol(model_str(x, "protocol"))) {
			return false;
		}
	}
	return json_array_size(v) <= GUEST_PORTS_MAX;
}

static bool is_bandwidth(const json_t *v)
{
	static const char *const known[] = { "ingressRate", "ingressBurst", "egressRate",
		                             "egressBurst" };
	const char *name;
	json_t *x;

	json_object_foreach((json_t *)(uintptr_t)v, name, x)
	{
		bool ok = false;

		for (size_t i = 0; i < ARRAY_N(known); i++) {
			ok = ok || strcmp(known[i], name) == 0;
		}
		json_int_t n = json_integer_value(x),
			   most = strstr(name, "Rate") ? 100000000000 : 34359738360;
		if (!ok || !json_is_integer(x) || (n != 0 && (n < 8000 || n > most))) {
			return false;
		}
	}
	return json_is_object(v);
}

static bool all_ids(const json_t *v)
{
	const json_t *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)v, i, x)
	{
		if (!is_id(x)) {
			return false;
		}
	}
	return json_array_size(v) <= 10;
}

static int check_value(const struct key *k, const char *where, const json_t *v, struct cni_error *e)
{
	char text[500];
	const json_t *x;
	size_t i;

	switch (k->kind) {
	case KIND_STANDARD:
	case KIND_PASSED:
		return 0;
	case KIND_TEXT:
		return json_is_string(v) && *json_string_value(v) && json_string_length(v) < 200
		               ? 0
		               : cni_fail(e, CNI_CONFIG,
		                          "%s%s: accepted is a text of 1 to 199 bytes", where,
		                          k->name);
	case KIND_ID:
		return is_id(v) ? 0
		                : cni_fail(e, CNI_CONFIG,
		                           "%s%s: accepted is a resource's id, /subscriptions/...",
		                           where, k->name);
	case KIND_IDS:
		return json_is_array(v) && all_ids(v)
		               ? 0
		               : cni_fail(e, CNI_CONFIG,
		                          "%s%s: accepted is a list of at most 10 resource ids",
		                          where, k->name);
	case KIND_BOOL:
		return json_is_boolean(v)
		               ? 0
		               : cni_fail(e, CNI_CONFIG, "%s%s: accepted is true or false", where,
		                          k->name);
	case KIND_PORTS:
		return json_is_array(v) && all_ports(v)
		               ? 0
		               : cni_fail(e, CNI_CONFIG,
		                          "%s%s: accepted is a list like [{\"port\": 80, "
		                          "\"protocol\": \"tcp\"}], at most %d",
		                          where, k->name, GUEST_PORTS_MAX);
	case KIND_BANDWIDTH:
		return is_bandwidth(v)
		               ? 0
		               : cni_fail(
					 e, CNI_CONFIG,
					 "%s%s: accepted are ingressRate, egressRate (8000 to 100000000000 "
					 "bits a second), ingressBurst, egressBurst (bits), 0 for none",
					 where, k->name);
	case KIND_WORDS:
		break;
	}
	list_words(true, text, sizeof(text));
	if (!json_is_array(v)) {
		return cni_fail(e, CNI_CONFIG, "%s: accepted is a list of: %s", k->name, text);
	}
	json_array_foreach((json_t *)(uintptr_t)v, i, x)
	{
		if (!json_is_string(x) || !is_choice(json_string_value(x))) {
			return cni_fail(e, CNI_CONFIG, "%s: '%.40s' is none of: %s", k->name,
			                json_is_string(x) ? json_string_value(x) : "?", text);
		}
	}
	return 0;
}

int cni_conf_check(const json_t *conf, struct cni_error *e)
{
	const char *name;
	char text[500];
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)conf, name, v)
	{
		const struct key *k = key_of(name);

		if (!k) {
			list_words(false, text, sizeof(text));
			return cni_fail(e, CNI_CONFIG,
			                "'%.60s' is no key of this plugin; its own are: %s", name,
			                text);
		}
		if (check_value(k, "", v, e) < 0) {
			return -1;
		}
	}
	if (!json_object_get(conf, "subscription")) {
		return cni_fail(e, CNI_CONFIG, "subscription: missing; whose containers these are");
	}
	if (!model_name_ok(model_str(conf, "subscription")) ||
	    !model_name_ok(cni_conf_text(conf, "resourceGroup", RESOURCE_GROUP))) {
		return cni_fail(e, CNI_CONFIG,
		                "subscription, resourceGroup: accepted are 1 to 80 "
		                "letters, digits and -_.()");
	}
	return 0;
}

const char *cni_conf_text(const json_t *conf, const char *key, const char *preset)
{
	const char *s = json_string_value(json_object_get(conf, key));

	return s ? s : preset;
}

/* ---- what the container chooses ---- */

struct wish {
	const json_t *conf;
	const struct cni_env *env;
	json_t *by; /* key: value, of what was chosen */
	struct cni_error *e;
};

static int choose(struct wish *w, const char *what, json_t *value)
{
	const json_t *x;
	size_t i;

	json_array_foreach(json_object_get(w->conf, "allow"), i, x)
	{
		if (strcmp(json_string_value(x), what) == 0) {
			json_object_set(w->by, what, value);
			return 0;
		}
	}
	return cni_fail(
		w->e, CNI_CONFIG,
		"%s: a container of network %.100s may not choose it (the network's 'allow' "
		"does not list it)",
		what, model_str(w->conf, "name"));
}

/* "10.0.0.9" or "10.0.0.9/24" */
static int choose_address(struct wish *w, const char *text)
{
	json_auto_t *list = json_copy(json_object_get(w->by, "ips"));
	size_t n = strcspn(text, "/");
	struct err e = ERR_INIT;
	char host[IP_TEXT];
	struct ip ip;

	snprintf(host, sizeof(host), "%.*s", (int)(n < IP_TEXT ? n : 0), text);
	if (ip_parse(host, &ip, &e) < 0) {
		return cni_fail(w->e, CNI_CONFIG, "ips: '%.60s' is no IP address", text);
	}
	list = list ? list : json_array();
	json_array_append_new(list, json_string(host));
	return choose(w, "ips", list);
}

static int choose_addresses(struct wish *w, const json_t *list)
{
	const json_t *x;
	size_t i;

	if (list && !json_is_array(list)) {
		return cni_fail(w->e, CNI_CONFIG, "ips: accepted is a list of addresses");
	}
	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		if (choose_address(w, json_is_string(x) ? json_string_value(x) : "?") < 0) {
			return -1;
		}
	}
	return 0;
}

static int choose_mac(struct wish *w, const char *text)
{
	unsigned b[6];
	int end = 0;
	char mac[18];

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
	           &end) != 6 ||
	    text[end] || strlen(text) != 17) {
		return cni_fail(w->e, CNI_CONFIG,
		                "mac: '%.40s' is no MAC address like "
		                "06:00:00:00:00:01",
		                text);
	}
	/* 02:00 are those that the plane gives, 02:fe and 12:34:56 its routers'. */
	if ((b[0] & 1) || (b[0] == 2 && (b[1] == 0 || b[1] == 0xfe)) ||
	    (b[0] == 0x12 && b[1] == 0x34 && b[2] == 0x56) ||
	    (b[0] | b[1] | b[2] | b[3] | b[4] | b[5]) == 0) {
		return cni_fail(w->e, CNI_CONFIG,
		                "mac: %s cannot be a container's: groups', and those "
		                "that begin with 02:00, 02:fe or 12:34:56, are taken",
		                text);
	}
	for (int i = 0; i < 18; i++) {
		mac[i] = (char)tolower((unsigned char)text[i]);
	}
	json_auto_t *v = json_string(mac);
	return choose(w, "mac", v);
}

static bool is_true(const char *s)
{
	return strcasecmp(s, "true") == 0 || strcmp(s, "1") == 0;
}

/* The value of a name in "A=1;B=2", into `to`; false: it is not there. */
static bool argument(const char *args, const char *name, char *to, size_t size)
{
	size_t len = strlen(name);

	for (const char *p = args; *p; p += strcspn(p, ";"), p += *p == ';') {
		size_t n = strcspn(p, ";");

		if (n > len && strncmp(p, name, len) == 0 && p[len] == '=') {
			snprintf(to, size, "%.*s", (int)(n - len - 1), p + len + 1);
			return true;
		}
	}
	return false;
}

static int choose_by_args(struct wish *w)
{
	static const char *const known[] = { "IP", "MAC", "IgnoreUnknown" };
	const char *args = w->env->args;
	char value[300] = "";
	bool ignore = argument(args, "IgnoreUnknown", value, sizeof(value)) && is_true(value);

	for (const char *p = args; *p; p += strcspn(p, ";"), p += *p == ';') {
		size_t n = strcspn(p, ";"), k = strcspn(p, "=");
		bool ok = n == 0 || ignore || strncmp(p, "K8S_", 4) == 0;

		if (n > 0 && k >= n) {
			return cni_fail(w->e, CNI_ENVIRONMENT, "CNI_ARGS: '%.*s' is not NAME=VALUE",
			                (int)(n < 60 ? n : 60), p);
		}
		for (size_t i = 0; i < ARRAY_N(known); i++) {
			ok = ok || (strlen(known[i]) == k && strncmp(p, known[i], k) == 0);
		}
		if (!ok) {
			return cni_fail(w->e, CNI_ENVIRONMENT,
			                "CNI_ARGS: '%.*s' is unknown, and IgnoreUnknown is not set",
			                (int)(k < 60 ? k : 60), p);
		}
	}
	if (argument(args, "IP", value, sizeof(value))) {
		char *save = NULL;

		for (char *one = strtok_r(value, ",", &save); one;
		     one = strtok_r(NULL, ",", &save)) {
			if (choose_address(w, one) < 0) {
				return -1;
			}
		}
	}
	return argument(args, "MAC", value, sizeof(value)) ? choose_mac(w, value) : 0;
}

static int choose_by_runtime(struct wish *w)
{
	static const char *const unable[] = { "ipRanges", "infinibandGUID", "deviceID" };
	const json_t *rc = json_object_get(w->conf, "runtimeConfig"), *x;

	if (rc && !json_is_object(rc)) {
		return cni_fail(w->e, CNI_CONFIG, "runtimeConfig: accepted is an object");
	}
	for (size_t i = 0; i < ARRAY_N(unable); i++) {
		if (json_object_get(rc, unable[i])) {
			return cni_fail(w->e, CNI_FIELD,
			                "runtimeConfig.%s is not supported: the "
			                "network's subnet decides",
			                unable[i]);
		}
	}
	if (choose_addresses(w, json_object_get(rc, "ips")) < 0 ||
	    (*model_str(rc, "mac") && choose_mac(w, model_str(rc, "mac")) < 0)) {
		return -1;
	}
	x = json_object_get(rc, "portMappings");
	if (x && !json_is_array(x)) {
		return cni_fail(w->e, CNI_CONFIG, "portMappings: accepted is a list");
	}
	if (json_array_size(x) > 0 && choose(w, "portMappings", (json_t *)(uintptr_t)x) < 0) {
		return -1;
	}
	x = json_object_get(rc, "dns");
	if (json_object_size(x) > 0 && choose(w, "dns", (json_t *)(uintptr_t)x) < 0) {
		return -1;
	}
	x = json_object_get(rc, "bandwidth");
	return json_object_size(x) == 0 ||
	                       (check_value(key_of("bandwidth"), "runtimeConfig.", x, w->e) == 0 &&
	                        choose(w, "bandwidth", (json_t *)(uintptr_t)x) == 0)
	               ? 0
	               : -1;
}

static int choose_all(struct wish *w)
{
	const json_t *args = json_object_get(w->conf, "args"), *own = json_object_get(args, "netd");
	const char *name;
	json_t *v;

	if (choose_by_args(w) < 0 || choose_by_runtime(w) < 0 ||
	    choose_addresses(w, model_at(args, "cni.ips")) < 0) {
		return -1;
	}
	json_object_foreach((json_t *)(uintptr_t)own, name, v)
	{
		const struct key *k = key_of(name);

		if (!k || !k->choice) {
			return cni_fail(w->e, CNI_CONFIG,
			                "args.netd.%.60s: no container can choose that", name);
		}
		if (check_value(k, "args.netd.", v, w->e) < 0 || choose(w, name, v) < 0) {
			return -1;
		}
	}
	return 0;
}

/* ---- the group ---- */

/* What the container chose, else what the network says. */
static json_t *settled(const struct wish *w, const char *key)
{
	json_t *v = json_object_get(w->by, key);

	return v ? v : json_object_get(w->conf, key);
}

static int publish(json_t *ports, const char *protocol, json_int_t port, json_int_t to,
                   struct cni_error *e)
{
	const char *word = strcasecmp(protocol, "udp") == 0 ? "udp" : "tcp";
	json_t *x;
	size_t i;

	json_array_foreach(ports, i, x)
	{
		if (json_integer_value(json_object_get(x, "port")) == port &&
		    model_is(x, "protocol", word)) {
			return cni_fail(e, CNI_CONFIG, "port %d/%s is published twice", (int)port,
			                word);
		}
	}
	if (json_array_size(ports) >= GUEST_PORTS_MAX / 2) {
		return cni_fail(e, CNI_CONFIG, "more than %d published ports", GUEST_PORTS_MAX / 2);
	}
	json_array_append_new(
		ports, json_pack("{s:s, s:I, s:I}", "protocol", word, "port", port, "to", to));
	return 0;
}

static int publish_all(const struct wish *w, json_t *ports)
{
	const json_t *maps = json_object_get(w->by, "portMappings"), *x;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)maps, i, x)
	{
		const char *host = model_str(x, "hostIP"), *protocol = model_str(x, "protocol");
		const json_t *port = json_object_get(x, "hostPort");

		if (json_is_integer(port) && json_integer_value(port) == 0) {
			continue; /* it is exposed, not published */
		}
		if (!is_port(port) || !is_port(json_object_get(x, "containerPort")) ||
		    !is_protocol(protocol)) {
			return cni_fail(
				w->e, CNI_CONFIG,
				"portMappings[%zu]: accepted are hostPort and containerPort from "
				"1 to 65535, protocol tcp or udp",
				i);
		}
		if (*host && strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0) {
			return cni_fail(
				w->e, CNI_CONFIG,
				"portMappings[%zu].hostIP %.60s: ports are published at the "
				"network's public address, not at one of the host's; leave "
				"hostIP out",
				i, host);
		}
		if (publish(ports, protocol, json_integer_value(port),
		            json_integer_value(json_object_get(x, "containerPort")), w->e) < 0) {
			return -1;
		}
	}
	json_array_foreach(settled(w, "ports"), i, x)
	{
		json_int_t n = json_integer_value(json_object_get(x, "port"));

		if (publish(ports, model_str(x, "protocol"), n, n, w->e) < 0) {
			return -1;
		}
	}
	return 0;
}

/* The pod's name, or the container's, and what tells attachments apart. */
static void group_name(const struct cni_env *env, const json_t *conf, char to[static 64])
{
	AUTO_BUF struct buf text = { 0 };
	char base[200];
	size_t n = 0;

	if (!argument(env->args, "K8S_POD_NAME", base, sizeof(base)) || !base[0]) {
		snprintf(base, sizeof(base), "%s", env->container);
	}
	for (const char *c = base; *c && n < 40; c++) {
		bool ok = isalnum((unsigned char)*c);

		if (ok || (n > 0 && to[n - 1] != '-')) {
			to[n++] = ok ? (char)tolower((unsigned char)*c) : '-';
		}
	}
	while (n > 0 && to[n - 1] == '-') {
		n--;
	}
	/* Whole, however long the network's name is: a digest of a cut text would give two
	 * containers one name. */
	buf_addf(&text, "%s\n%s\n%s", model_str(conf, "name"), env->container, env->ifname);
	struct ip digest = where_named(buf_str(&text), text.len);
	snprintf(to + n, 64 - n, "%s%02x%02x%02x%02x", n ? "-" : "", digest.b[0], digest.b[1],
	         digest.b[2], digest.b[3]);
}

static json_t *document(const struct wish *w, const json_t *ports)
{
	const char *label = json_string_value(settled(w, "label"));
	json_t *subnet = settled(w, "subnet"), *asgs = settled(w, "applicationSecurityGroups"), *x;
	json_t *list = json_array();
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)ports, i, x)
	{
		if (i < 100) {
			json_array_append_new(
				list, json_pack("{s:O, s:s}", "port", json_object_get(x, "port"),
			                        "protocol",
			                        model_is(x, "protocol", "udp") ? "UDP" : "TCP"));
		}
	}
	json_t *props =
		json_pack("{s:s, s:[{s:s, s:{s:s, s:O, s:{s:{s:f, s:f}}}}]}", "osType", "Linux",
	                  "containers", "name", "runtime", "properties", "image", "cni", "ports",
	                  list, "resources", "requests", "cpu", 0.01, "memoryInGB", 0.01);
	if (subnet) {
		json_object_set_new(props, "subnetIds", json_pack("[{s:O}]", "id", subnet));
	}
	if ((json_is_true(settled(w, "publicIP")) || settled(w, "pool")) &&
	    json_array_size(list) > 0) {
		json_object_set_new(props, "ipAddress",
		                    json_pack("{s:s, s:O, s:s*}", "type", "Public", "ports", list,
		                              "dnsNameLabel", label));
	}
	json_t *limits = json_copy(settled(w, "bandwidth")), *limit;
	const char *name;
	void *next;
	json_object_foreach_safe(limits, next, name, limit)
	{
		if (json_integer_value(limit) == 0) {
			json_object_del(limits, name);
		}
	}
	if (json_object_size(limits) > 0) {
		json_object_set(props, "bandwidth", limits);
	}
	json_decref(limits);
	if (asgs) {
		json_t *refs = json_array();

		json_array_foreach(asgs, i, x)
		{
			json_array_append_new(refs, json_pack("{s:O}", "id", x));
		}
		json_object_set_new(props, "applicationSecurityGroups", refs);
	}
	json_decref(list);
	return json_pack("{s:s, s:o, s:{s:s, s:s, s:s}}", "location", plane.config->region,
	                 "properties", props, "tags", "cni.network", model_str(w->conf, "name"),
	                 "cni.container", w->env->container, "cni.interface", w->env->ifname);
}

static json_t *status(const struct wish *w, json_t *ports)
{
	json_t *s = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:O}", "network",
	                      model_str(w->conf, "name"), "runtime",
	                      cni_conf_text(w->conf, "runtime", ""), "container", w->env->container,
	                      "ifname", w->env->ifname, "netns", w->env->netns, "cookie",
	                      w->env->cookie, "ports", ports);
	static const struct {
		const char *from, *to;
	} more[] = { { "ips", "ip" },    { "mac", "mac" }, { "publicIP", "publicIP" },
		     { "pool", "pool" }, { "dns", "dns" }, { "defaultRoute", "defaultRoute" } };

	for (size_t i = 0; s && i < ARRAY_N(more); i++) {
		json_t *v = settled(w, more[i].from);

		if (v) {
			json_object_set(s, more[i].to, v);
		}
	}
	return s;
}

/* A network may say which security group governs its subnet: that is an assurance, not a wish. */
static int check_security(const struct wish *w)
{
	const char *asked = json_string_value(json_object_get(w->conf, "networkSecurityGroup"));
	const char *subnet = json_string_value(settled(w, "subnet"));
	AUTO_FREE char *key = subnet ? table_key(subnet) : NULL;
	char *part = key ? strstr(key, "/subnets/") : NULL;

	if (!asked) {
		return 0;
	}
	if (part) {
		*part = '\0';
		const struct resource *vnet = table_get(key);
		const json_t *doc = vnet ? vnet_subnet(vnet, part + strlen("/subnets/")) : NULL;

		if (doc &&
		    strcasecmp(model_str(doc, "properties.networkSecurityGroup.id"), asked) == 0) {
			return 0;
		}
	}
	return cni_fail(w->e, CNI_CONFIG,
	                "networkSecurityGroup: subnet %.200s is not governed by %.200s",
	                subnet ? subnet : "(none)", asked);
}

int cni_conf_want(const json_t *conf, const struct cni_env *env, struct cni_want *to,
                  struct cni_error *e)
{
	json_auto_t *by = json_object(), *ports = json_array();
	struct wish w = { conf, env, by, e };
	char name[64];

	*to = (struct cni_want){ .id = "" };
	if (choose_all(&w) < 0 || check_security(&w) < 0 || publish_all(&w, ports) < 0) {
		return -1;
	}
	if (json_is_string(settled(&w, "label")) && !json_is_true(settled(&w, "publicIP")) &&
	    !settled(&w, "pool")) {
		return cni_fail(e, CNI_CONFIG, "label: needs a public address (publicIP or pool)");
	}
	if (json_is_string(settled(&w, "label")) && json_array_size(ports) == 0) {
		return cni_fail(e, CNI_CONFIG,
		                "label: needs a published port (ports or portMappings)");
	}
	group_name(env, conf, name);
	snprintf(to->id, sizeof(to->id),
	         "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ContainerInstance/"
	         "containerGroups/%s",
	         model_str(conf, "subscription"),
	         cni_conf_text(conf, "resourceGroup", RESOURCE_GROUP), name);
	to->doc = document(&w, ports);
	to->status = status(&w, ports);
	if (!to->doc || !to->status) {
		cni_want_fini(to);
		return cni_fail(e, CNI_DECODE, "a text is not UTF-8");
	}
	return 0;
}

void cni_want_fini(struct cni_want *w)
{
	json_decref(w->doc);
	json_decref(w->status);
	w->doc = w->status = NULL;
}
