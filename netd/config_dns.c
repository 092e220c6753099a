/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keys of the configuration that take several words about names: zones, secondaries and the keys that they sign with, devices
 * that answer in the kernel. See config.h.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dns/tsig.h"
#include "lib/kernel/names.h"
#include "netd/config.h"

/* Base64 to bytes; 0: it is none, or too long. */
static size_t decode(const char *text, uint8_t *to, size_t room)
{
	uint8_t raw[256];
	size_t n = strlen(text), pad = n > 1 && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;
	int len = n > 0 && n <= 240 && n % 4 == 0
	                  ? EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n)
	                  : -1;

	if (len < 0 || (size_t)len - pad > room || (size_t)len <= pad) {
		return 0;
	}
	memcpy(to, raw, (size_t)len - pad);
	return (size_t)len - pad;
}

/* "NAME ALGORITHM PATH": the file has the secret in base64, and nobody else reads it. */
bool config_dns_key(struct config *c, const char *v)
{
	struct config_key k = { 0 };
	char path[160], text[256] = "";
	enum tsig_algorithm a;
	uint8_t wire[DNS_NAME_MAX];
	int end = 0;

	if (c->n_keys == CONFIG_KEYS_MAX ||
	    sscanf(v, "%199s %15s %159s%n", k.name, k.algorithm, path, &end) != 3 || v[end] ||
	    path[0] != '/' || dns_name_parse(k.name, wire) <= 0 ||
	    tsig_algorithm(k.algorithm, &a) < 0) {
		return false;
	}
	FILE *f = fopen(path, "re");
	bool got = f && fscanf(f, "%255s", text) == 1;
	if (f) {
		fclose(f);
	}
	k.secret_len = got ? decode(text, k.secret, sizeof(k.secret)) : 0;
	explicit_bzero(text, sizeof(text));
	if (k.secret_len < 16) {
		return false;
	}
	c->keys[c->n_keys++] = k;
	return true;
}

/* "ADDRESS[:PORT] [KEY]" */
bool config_dns_secondary(struct config *c, const char *v)
{
	struct config_secondary s = { 0 };
	struct err e = ERR_INIT;
	char address[64];
	int end = 0;

	if (c->n_secondaries == CONFIG_SECONDARIES_MAX ||
	    sscanf(v, "%63s%n %199s%n", address, &end, s.key, &end) < 1 || v[end] ||
	    ip_endpoint_parse(address, 53, &s.ip, &s.port, &e) < 0) {
		return false;
	}
	bool known = !s.key[0];
	for (size_t i = 0; i < c->n_keys; i++) {
		known = known || strcasecmp(c->keys[i].name, s.key) == 0;
	}
	if (known) {
		c->secondaries[c->n_secondaries++] = s;
	}
	return known;
}

/* "ORIGIN PATH" */
bool config_dns_zone(struct config *c, const char *v)
{
	struct config_zone_file f = { 0 };
	uint8_t wire[DNS_NAME_MAX];
	int end = 0;

	if (c->n_zone_files == CONFIG_ZONE_FILES_MAX ||
	    sscanf(v, "%255s %159s%n", f.origin, f.path, &end) != 2 || v[end] || f.path[0] != '/' ||
	    dns_name_parse(f.origin, wire) <= 0) {
		return false;
	}
	c->zone_files[c->n_zone_files++] = f;
	return true;
}

/* "DEVICE [native|generic]" */
bool config_dns_xdp(struct config *c, const char *v)
{
	struct config_xdp x = { .mode = KNAMES_AUTO };
	char mode[16] = "";
	int end = 0;

	if (c->n_xdp == CONFIG_XDP_MAX || sscanf(v, "%15s%n %15s%n", x.dev, &end, mode, &end) < 1 ||
	    v[end]) {
		return false;
	}
	if (strcmp(mode, "native") == 0) {
		x.mode = KNAMES_NATIVE;
	} else if (strcmp(mode, "generic") == 0) {
		x.mode = KNAMES_GENERIC;
	} else if (mode[0]) {
		return false;
	}
	for (size_t i = 0; i < c->n_xdp; i++) {
		if (strcmp(c->xdp[i].dev, x.dev) == 0) {
			return false;
		}
	}
	c->xdp[c->n_xdp++] = x;
	return true;
}

/* The i-th zone's origin: of files, then of groups' labels, then of addresses'. */
static const char *zone_text(const struct config *c, size_t i, char text[300])
{
	if (i < c->n_zone_files) {
		return c->zone_files[i].origin;
	}
	snprintf(text, 300, "%s.%s", c->region,
	         i == c->n_zone_files ? c->dns_suffix : c->ip_suffix);
	return text;
}

bool config_dns_catalog(const struct config *c)
{
	uint8_t catalog[DNS_NAME_MAX], zone[DNS_NAME_MAX];
	int n = dns_name_parse(c->dns_catalog, catalog);

	if (!c->dns_catalog[0]) {
		return true;
	}
	for (size_t i = 0; n > 0 && i < c->n_zone_files + 2; i++) {
		char text[300];
		int m = dns_name_parse(zone_text(c, i, text), zone);

		if (m == n && memcmp(zone, catalog, (size_t)n) == 0) {
			return false;
		}
	}
	return n > 0;
}
