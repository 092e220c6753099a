/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Record sets: from documents to the data of records. See zone.h. Sources: the REST specification of
 * Microsoft.Network/privateDnsZones (2024-06-01); learn.microsoft.com, "DNS zones and records".
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "dns/query.h"
#include "dns/zone.h"
#include "lib/base/own.h"
#include "netd/zone.h"

#define RECORDS_MAX 100 /* of a set (Azure: 20) */
#define TXT_MAX     4096

const char *const zone_record_types[] = { "A",   "AAAA", "CNAME", "MX", "PTR",
	                                  "SOA", "SRV",  "TXT",   NULL };

const char *zone_record_type(const char *name)
{
	for (size_t i = 0; zone_record_types[i]; i++) {
		if (strcasecmp(zone_record_types[i], name) == 0) {
			return zone_record_types[i];
		}
	}
	return NULL;
}

/* Where a type's documents keep their records. */
static const struct kind {
	const char *type, *property;
	bool single; /* an object, not a list */
	uint16_t number;
} kinds[] = {
	{ "A", "aRecords", false, DNS_A },           { "AAAA", "aaaaRecords", false, DNS_AAAA },
	{ "CNAME", "cnameRecord", true, DNS_CNAME }, { "MX", "mxRecords", false, DNS_MX },
	{ "PTR", "ptrRecords", false, DNS_PTR },     { "SOA", "soaRecord", true, DNS_SOA },
	{ "SRV", "srvRecords", false, DNS_SRV },     { "TXT", "txtRecords", false, DNS_TXT },
};

/* Of one of zone_record_types. */
static const struct kind *kind_of(const char *type)
{
	size_t i = 0;

	while (i + 1 < ARRAY_N(kinds) && strcmp(kinds[i].type, type) != 0) {
		i++;
	}
	return &kinds[i];
}

int zone_record_name(const char *name, uint8_t to[DNS_NAME_MAX])
{
	if (strcmp(name, "@") == 0) {
		return 0;
	}
	return *name ? dns_name_parse(name, to) : -1;
}

/* ---- one record ---- */

static int number_of(const json_t *x, const char *name)
{
	return (int)json_integer_value(json_object_get(x, name));
}

/* Text of a TXT record: its strings, each at most 255 bytes. */
static int txt_data(const json_t *x, uint8_t *to, size_t room)
{
	const json_t *strings = json_object_get(x, "value"), *s;
	size_t i, n = 0;

	json_array_foreach((json_t *)(uintptr_t)strings, i, s)
	{
		int m = dns_data_txt(json_string_value(s), to + n, room - n);

		if (m < 0) {
			return -1;
		}
		n += (size_t)m;
	}
	return n > 0 ? (int)n : -1;
}

static int soa_data(const json_t *x, uint8_t to[600])
{
	const uint32_t times[4] = { (uint32_t)number_of(x, "refreshTime"),
		                    (uint32_t)number_of(x, "retryTime"),
		                    (uint32_t)number_of(x, "expireTime"),
		                    (uint32_t)number_of(x, "minimumTtl") };

	return dns_data_soa(model_str(x, "host"), model_str(x, "email"), times, to);
}

/* The data of a record's document; -1 with the property that is wrong in *at. */
static int record_data(uint16_t type, const json_t *x, uint8_t *to, size_t room, const char **at)
{
	struct err e = ERR_INIT;
	struct ip ip;
	int n;

	switch (type) {
	case DNS_A:
	case DNS_AAAA:
		*at = type == DNS_A ? "ipv4Address" : "ipv6Address";
		if (ip_parse(model_str(x, *at), &ip, &e) < 0 ||
		    ip.family != (type == DNS_A ? 4 : 6)) {
			return -1;
		}
		n = type == DNS_A ? 4 : 16;
		memcpy(to, ip.b, (size_t)n);
		return n;
	case DNS_CNAME:
		*at = "cname";
		return dns_data_name(model_str(x, *at), to);
	case DNS_PTR:
		*at = "ptrdname";
		return dns_data_name(model_str(x, *at), to);
	case DNS_MX:
		*at = "exchange";
		dns_put16(to, (unsigned)number_of(x, "preference"));
		n = dns_data_name(model_str(x, *at), to + 2);
		return n < 0 ? -1 : n + 2;
	case DNS_SRV:
		*at = "target";
		dns_put16(to, (unsigned)number_of(x, "priority"));
		dns_put16(to + 2, (unsigned)number_of(x, "weight"));
		dns_put16(to + 4, (unsigned)number_of(x, "port"));
		n = dns_data_name(model_str(x, *at), to + 6);
		return n < 0 ? -1 : n + 6;
	case DNS_SOA:
		*at = "email";
		return soa_data(x, to);
	default:
		*at = "value";
		return txt_data(x, to, room);
	}
}

/* ---- documents ---- */

static int wrong(struct err *e, const char *at, const char *why)
{
	return err_set_at(e, ERR_INVALID, "BadRequest", at, "'%s' %s.", at, why);
}

static int check_name(const char *type, const char *name, struct err *e)
{
	uint8_t wire[DNS_NAME_MAX];
	const char *star = strchr(name, '*');

	if (zone_record_name(name, wire) < 0 ||
	    (star && (star != name || (star[1] && star[1] != '.')))) {
		return err_set_at(e, ERR_INVALID, "BadRequest", "name",
		                  "The record set name '%.100s' is invalid: labels of 1 to 63 "
		                  "characters with dots between, '@' for the zone itself, '*' as "
		                  "the first label only.",
		                  name);
	}
	if (strcmp(type, "CNAME") == 0 && strcmp(name, "@") == 0) {
		return wrong(e, "name", "is the zone itself, which cannot be a CNAME");
	}
	if (strcmp(type, "SOA") == 0 && strcmp(name, "@") != 0) {
		return wrong(e, "name", "must be '@': a zone has one SOA record");
	}
	return 0;
}

int zone_record_check(const char *type, const char *name, const json_t *doc, struct err *e)
{
	const struct kind *k = kind_of(type);
	const json_t *props = json_object_get(doc, "properties");
	uint8_t data[TXT_MAX + 64];
	char path[120];
	const char *at;
	json_t *x;
	size_t i;

	if (check_name(type, name, e) < 0 || zone_health_check(type, doc, e) < 0) {
		return -1;
	}
	for (i = 0; i < ARRAY_N(kinds); i++) {
		x = json_object_get(props, kinds[i].property);
		if (&kinds[i] != k && x && (json_is_object(x) || json_array_size(x) > 0)) {
			snprintf(path, sizeof(path), "properties.%s", kinds[i].property);
			return wrong(e, path, "does not belong to a record set of this type");
		}
	}
	x = json_object_get(props, k->property);
	snprintf(path, sizeof(path), "properties.%s", k->property);
	if (!x) {
		return k->single ? wrong(e, path, "is missing") : 0;
	}
	if (k->single) {
		if (record_data(k->number, x, data, TXT_MAX, &at) < 0) {
			snprintf(path, sizeof(path), "properties.%s.%s", k->property, at);
			return wrong(e, path, "is no name");
		}
		return 0;
	}
	if (json_array_size(x) > RECORDS_MAX) {
		return wrong(e, path, "has more than 100 records");
	}
	for (i = 0; i < json_array_size(x); i++) {
		if (record_data(k->number, json_array_get(x, i), data, TXT_MAX, &at) < 0) {
			snprintf(path, sizeof(path), "properties.%s[%zu].%s", k->property, i, at);
			return wrong(e, path,
			             k->number == DNS_A      ? "is no IPv4 address"
			             : k->number == DNS_AAAA ? "is no IPv6 address"
			             : k->number == DNS_TXT  ? "must be 1 to 4,000 bytes of text"
			                                     : "is no name");
		}
	}
	return 0;
}

void zone_record_data(const char *type, const json_t *doc, struct dns_sets *to)
{
	const struct kind *k = kind_of(type);
	const json_t *props = json_object_get(doc, "properties");
	json_t *list = json_object_get(props, k->property), *x;
	uint32_t ttl = (uint32_t)json_integer_value(json_object_get(props, "ttl"));
	uint8_t data[TXT_MAX + 64];
	const char *at;
	size_t i;

	if (k->single && list) {
		int n = record_data(k->number, list, data, TXT_MAX, &at);

		if (n > 0) {
			dns_sets_add(to, k->number, ttl, data, (size_t)n);
		}
		return;
	}
	json_array_foreach(list, i, x)
	{
		int n = record_data(k->number, x, data, TXT_MAX, &at);

		if (n > 0) {
			dns_sets_add(to, k->number, ttl, data, (size_t)n);
		}
	}
}

json_t *zone_record_soa_doc(void)
{
	return json_pack("{s:i, s:{s:s, s:s, s:i, s:i, s:i, s:i, s:i}}", "ttl", 3600, "soaRecord",
	                 "host", "azureprivatedns.net", "email",
	                 "azureprivatedns-host.microsoft.com", "serialNumber", 1, "refreshTime",
	                 3600, "retryTime", 300, "expireTime", 2419200, "minimumTtl", 10);
}

void zone_record_soa(const json_t *doc, struct dns_sets *to)
{
	json_auto_t *preset = doc ? NULL : json_pack("{s:o}", "properties", zone_record_soa_doc());

	zone_record_data("SOA", doc ? doc : preset, to);
}
