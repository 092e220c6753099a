/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Master files of public zones (RFC 1035 section 5). See zone_parts.h. ldns reads them, one record at a time: its reader of
 * whole zones frees what it still uses (two SOA records).
 */
#include <errno.h>
#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dns/zone.h"
#include "netd/zone_parts.h"

#define FILE_MAX 1000000 /* records of a file */

int zone_file_order(const void *a, const void *b)
{
	const struct zone_file_record *x = a, *y = b;
	int d = memcmp(x->name, y->name, x->len < y->len ? x->len : y->len);

	return d ? d : x->len - y->len;
}

void zone_file_free(struct zone_file_record *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].data);
	}
	free(v);
}

/* A record of ldns as ours; false: not of the zone, or nothing that a zone file may say. */
static bool take_record(const uint8_t *zone, size_t zone_len, const ldns_rr *rr,
                        struct zone_file_record *to)
{
	const ldns_rdf *owner = ldns_rr_owner(rr);
	size_t len = ldns_rdf_size(owner), n = 0;
	uint8_t name[DNS_NAME_MAX + 1], data[65536];
	unsigned type = ldns_rr_get_type(rr);

	if (len < 1 || len > sizeof(name) || ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN ||
	    type == DNS_OPT || (type >= 128 && type <= 255)) {
		return false;
	}
	dns_lower(name, ldns_rdf_data(owner), len);
	len--;
	if (!dns_name_under(name, len, zone, zone_len)) {
		return false;
	}
	for (size_t i = 0; i < ldns_rr_rd_count(rr); i++) {
		const ldns_rdf *d = ldns_rr_rdf(rr, i);

		if (n + ldns_rdf_size(d) > sizeof(data)) {
			return false;
		}
		memcpy(data + n, ldns_rdf_data(d), ldns_rdf_size(d));
		n += ldns_rdf_size(d);
	}
	dns_data_lower((uint16_t)type, data, n);
	*to = (struct zone_file_record){ .len = (uint8_t)(len - zone_len),
		                         .type = (uint16_t)type,
		                         .n = (uint16_t)n,
		                         .ttl_s = ldns_rr_ttl(rr),
		                         .data = malloc(n + 1) };
	if (!to->data) {
		abort();
	}
	memcpy(to->name, name, to->len);
	memcpy(to->data, data, n);
	return true;
}

int zone_file_read(const char *path, const uint8_t *zone, size_t zone_len,
                   struct zone_file_record **ret, size_t *n_ret, struct err *e)
{
	char text[DNS_NAME_TEXT];
	FILE *f = fopen(path, "re");
	ldns_rdf *origin = NULL, *before = NULL;
	struct zone_file_record *v = NULL;
	uint32_t ttl = (uint32_t)plane.config->ttl_s;
	size_t n = 0;
	int line = 0, rc = 0;

	if (!f) {
		return err_set(e, ERR_INVALID, errno, "%s", path);
	}
	snprintf(text, sizeof(text) - 1, "%s",
	         dns_name_print(zone, zone_len, (char[DNS_NAME_TEXT]){ 0 }));
	strcat(text, ".");
	(void)ldns_str2rdf_dname(&origin, text);
	while (rc == 0 && !feof(f)) {
		ldns_rr *rr = NULL;
		ldns_status s = ldns_rr_new_frm_fp_l(&rr, f, &ttl, &origin, &before, &line);

		if (s == LDNS_STATUS_OK && n < FILE_MAX) {
			struct zone_file_record *more =
				n % 256 ? v : realloc(v, (n + 256) * sizeof(*v));

			if (!more) {
				abort();
			}
			v = more;
			if (take_record(zone, zone_len, rr, &v[n])) {
				n++;
			} else {
				rc = err_set(
					e, ERR_INVALID, 0,
					"%s, line %d: not a record of class IN inside the zone",
					path, line);
			}
		} else if (s != LDNS_STATUS_SYNTAX_EMPTY && s != LDNS_STATUS_SYNTAX_TTL &&
		           s != LDNS_STATUS_SYNTAX_ORIGIN) {
			rc = err_set(e, ERR_INVALID, 0, "%s, line %d: %s", path, line,
			             n < FILE_MAX ? ldns_get_errorstr_by_id(s)
			                          : "too many records");
		}
		ldns_rr_free(rr);
	}
	ldns_rdf_deep_free(origin);
	ldns_rdf_deep_free(before);
	fclose(f);
	if (rc < 0) {
		zone_file_free(v, n);
		return -1;
	}
	if (n > 1) {
		qsort(v, n, sizeof(*v), zone_file_order);
	}
	*ret = v;
	*n_ret = n;
	return 0;
}
