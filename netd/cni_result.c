/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CNI's results and errors as JSON, by version. See cni_parts.h. Pure but for what it reads of resources.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/own.h"
#include "netd/cni_parts.h"
#include "netd/guest.h"

int cni_fail(struct cni_error *e, enum cni_code code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->details, sizeof(e->details), fmt, ap);
	va_end(ap);
	return -1;
}

int cni_fail_of(struct cni_error *to, const struct err *e)
{
	static const enum cni_code codes[ERR_N] = {
		[ERR_INVALID] = CNI_CONFIG,    [ERR_NOT_FOUND] = CNI_CONFIG,
		[ERR_FORBIDDEN] = CNI_CONFIG,  [ERR_UNSUPPORTED] = CNI_CONFIG,
		[ERR_CONFLICT] = CNI_NO_ROOM,  [ERR_LIMIT] = CNI_NO_ROOM,
		[ERR_BUSY] = CNI_LATER,        [ERR_NO_SPACE] = CNI_LATER,
		[ERR_UNAVAILABLE] = CNI_LATER, [ERR_NO_MEMORY] = CNI_LATER,
	};
	static const struct {
		const char *word;
		enum cni_code code;
	} known[] = {
		{ "SubnetIsFull", CNI_NO_ROOM },
		{ "PublicIpPrefixOutOfIpAddresses", CNI_NO_ROOM },
		{ "PrivateIPAddressNotAvailable", CNI_TAKEN },
		{ "HostPortInUse", CNI_TAKEN },
		{ "MacAddressInUse", CNI_TAKEN },
		{ "DnsNameLabelUnavailable", CNI_TAKEN },
	};
	const char *word = e->code ? e->code : err_kind_code(e->kind);
	enum cni_code code = codes[e->kind] ? codes[e->kind] : CNI_FAILED;

	for (size_t i = 0; i < ARRAY_N(known); i++) {
		code = strcmp(known[i].word, word) == 0 ? known[i].code : code;
	}
	return cni_fail(to, code, "%s%s%s: %s", word, e->target[0] ? " at " : "", e->target,
	                e->msg);
}

static const char *message(enum cni_code code)
{
	switch (code) {
	case CNI_VERSION:
		return "incompatible CNI version";
	case CNI_FIELD:
		return "unsupported field in network configuration";
	case CNI_UNKNOWN:
		return "container unknown or does not exist";
	case CNI_ENVIRONMENT:
		return "invalid necessary environment variables";
	case CNI_IO:
		return "I/O failure";
	case CNI_DECODE:
		return "failed to decode content";
	case CNI_CONFIG:
		return "invalid network config";
	case CNI_LATER:
		return "try again later";
	case CNI_UNAVAILABLE:
	case CNI_LIMITED:
		return "plugin not available";
	case CNI_EXISTS:
		return "the container has that interface already";
	case CNI_NO_ROOM:
		return "no room";
	case CNI_TAKEN:
		return "taken by another";
	case CNI_DIFFERS:
		return "the interface is not as it was made";
	default:
		return "failed";
	}
}

char *cni_error_text(const char *version, const struct cni_error *e)
{
	json_auto_t *j = json_pack("{s:s, s:i, s:s, s:s}", "cniVersion", version, "code",
	                           (int)e->code, "msg", message(e->code), "details", e->details);

	if (!j) { /* bytes that are no UTF-8 */
		j = json_pack("{s:s, s:i, s:s}", "cniVersion", version, "code", (int)e->code, "msg",
		              message(e->code));
	}
	return json_dumps(j, JSON_COMPACT);
}

/* ---- results ---- */

/* 0: it is not one that is spoken. */
static size_t rank(const char *version)
{
	for (size_t i = 0; cni_versions[i]; i++) {
		if (strcmp(cni_versions[i], version) == 0) {
			return i + 1;
		}
	}
	return 0;
}

static void mac_text(const struct resource *r, char to[static 18])
{
	uint32_t n = (uint32_t)json_integer_value(json_object_get(r->status, "serial"));
	uint8_t m[6] = {
		2, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n
	};

	(void)guest_mac(r, m);
	snprintf(to, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* The address with its subnet's length, and the subnet's gateway; false: none of that family. */
static bool address(const struct resource *r, uint8_t family, char with[static 64],
                    char gw[static IP_TEXT])
{
	const char *ip = model_str(r->status, family == 6 ? "ip6" : "ip4"),
		   *prefix = model_str(r->status, family == 6 ? "prefix6" : "prefix4");
	struct ip_prefix p;
	struct err e = ERR_INIT;

	if (!*ip || ip_prefix_parse(prefix, &p, &e) < 0) {
		return false;
	}
	snprintf(with, 64, "%s/%u", ip, p.len);
	(void)ip_add(&p.ip, 1);
	ip_format(&p.ip, gw);
	return true;
}

static json_t *list_of(json_t *result, const char *name)
{
	json_t *list = json_object_get(result, name);

	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(result, name, list);
	}
	return list;
}

static void put_dns(json_t *result, const json_t *conf, const struct resource *r)
{
	static const char *const keys[] = { "nameservers", "search", "domain", "options" };
	const json_t *own = json_object_get(guest_of(r), "dns");
	json_t *dns = json_object_get(result, "dns");

	own = own ? own : json_object_get(conf, "dns");
	if (!json_is_object(dns)) {
		dns = json_object();
		json_object_set_new(result, "dns", dns);
	}
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		if (json_object_get(own, keys[i])) {
			json_object_set(dns, keys[i], json_object_get(own, keys[i]));
		}
	}
	if (!json_object_get(dns, "nameservers")) {
		json_object_set_new(dns, "nameservers",
		                    json_pack("[s]", *model_str(r->status, "ip4")
		                                             ? "168.63.129.16"
		                                             : "fd53:a83f:8110::10"));
	}
	if (!json_object_get(dns, "search")) {
		json_object_set_new(dns, "search", json_pack("[s]", plane.config->vnet_suffix));
	}
}

char *cni_result_text(const char *version, const json_t *conf, const struct resource *r)
{
	const json_t *prev = json_object_get(conf, "prevResult"), *cni = guest_of(r);
	json_auto_t *result = prev ? json_deep_copy(prev) : json_object();
	json_t *interfaces = list_of(result, "interfaces"), *ips = list_of(result, "ips"),
	       *routes = list_of(result, "routes");
	bool routed = !json_is_false(json_object_get(cni, "defaultRoute"));
	size_t place = json_array_size(interfaces);
	char with[64], gw[IP_TEXT], mac[18];

	mac_text(r, mac);
	json_t *own = json_pack("{s:s, s:s, s:s}", "name", model_str(cni, "ifname"), "mac", mac,
	                        "sandbox", model_str(cni, "netns"));
	if (rank(version) >= rank("1.1.0")) {
		json_object_set_new(own, "mtu", json_integer(plane.config->mtu - 50));
	}
	json_array_append_new(interfaces, own);
	for (uint8_t family = 4; family <= 6; family += 2) {
		if (!address(r, family, with, gw)) {
			continue;
		}
		json_t *ip = json_pack("{s:s, s:s, s:i}", "address", with, "gateway", gw,
		                       "interface", (int)place);
		if (rank(version) < rank("1.0.0")) {
			json_object_set_new(ip, "version", json_string(family == 6 ? "6" : "4"));
		}
		json_array_append_new(ips, ip);
		if (routed) {
			json_array_append_new(routes, json_pack("{s:s, s:s}", "dst",
			                                        family == 6 ? "::/0" : "0.0.0.0/0",
			                                        "gw", gw));
		}
	}
	put_dns(result, conf, r);
	json_object_set_new(result, "cniVersion", json_string(version));
	return json_dumps(result, JSON_COMPACT);
}

/* ---- CHECK ---- */

static const json_t *interface_of(const json_t *prev, const struct resource *r)
{
	json_t *x;
	size_t i;

	json_array_foreach(json_object_get(prev, "interfaces"), i, x)
	{
		if (strcmp(model_str(x, "name"), model_str(guest_of(r), "ifname")) == 0 &&
		    *model_str(x, "sandbox")) {
			return x;
		}
	}
	return NULL;
}

int cni_result_check(const json_t *prev, const struct resource *r, struct cni_error *e)
{
	char with[64], gw[IP_TEXT], mac[18];
	json_t *ip;
	size_t i;

	if (!json_is_object(prev)) {
		return cni_fail(e, CNI_CONFIG, "prevResult: missing; CHECK compares with it");
	}
	const json_t *x = interface_of(prev, r);
	if (!x) {
		return cni_fail(e, CNI_CONFIG, "prevResult.interfaces: %s is not among them",
		                model_str(guest_of(r), "ifname"));
	}
	mac_text(r, mac);
	if (*model_str(x, "mac") && strcasecmp(model_str(x, "mac"), mac) != 0) {
		return cni_fail(e, CNI_DIFFERS, "prevResult.interfaces: %s has the MAC %s, not %s",
		                model_str(x, "name"), mac, model_str(x, "mac"));
	}
	for (uint8_t family = 4; family <= 6; family += 2) {
		bool found = false;

		if (!address(r, family, with, gw)) {
			continue;
		}
		json_array_foreach(json_object_get(prev, "ips"), i, ip)
		{
			found = found || strcmp(model_str(ip, "address"), with) == 0;
		}
		if (!found) {
			return cni_fail(e, CNI_DIFFERS, "prevResult.ips: %s is missing", with);
		}
	}
	return 0;
}
