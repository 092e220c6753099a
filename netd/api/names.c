/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See names.h. What the dns role says is printed by ldns: those bytes are our own.
 */
#include "netd/api/names.h"

#include <ldns/ldns.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "dns/query.h"
#include "dns/zone.h"
#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/home.h"
#include "netd/zone.h"

struct job {
	LIST_ENTRY(job) link;
	struct http_request *request;
	const struct node *node; /* that was asked */
	uint64_t token;
	struct buf text;
};
static LIST_HEAD(jobs, job) jobs = LIST_HEAD_INITIALIZER(jobs);
static uint64_t next_token = 1;

static struct job *job_new(struct http_request *r, const struct node *n)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		abort();
	}
	j->request = r;
	j->node = n;
	j->token = next_token++;
	LIST_INSERT_HEAD(&jobs, j, link);
	return j;
}

static struct job *job_find(uint64_t token, const struct node *n)
{
	struct job *j;

	LIST_FOREACH(j, &jobs, link)
	{
		if (j->token == token && j->node == n) {
			return j;
		}
	}
	return NULL;
}

static void job_free(struct job *j)
{
	LIST_REMOVE(j, link);
	buf_fini(&j->text);
	free(j);
}

static void fail(struct http_request *r, enum err_kind kind, const char *at, const char *text)
{
	struct err e = ERR_INIT;

	err_set_at(&e, kind, NULL, at, "%s", text);
	api_error(r, &e);
}

void names_dns_gone(const struct node *n)
{
	struct job *j, *next;

	for (j = LIST_FIRST(&jobs); j; j = next) {
		next = LIST_NEXT(j, link);
		if (j->node == n) {
			fail(j->request, ERR_UNAVAILABLE, NULL,
			     "The name server has just ended; try again.");
			job_free(j);
		}
	}
}

/* ---- a question ---- */

static void look_up(struct http_request *r, uint32_t view)
{
	char name[1100] = "", type[32] = "A";
	uint8_t wire[DNS_NAME_MAX], packet[DNS_HEADER + DNS_NAME_MAX + 5] = { [2] = 1, [5] = 1 };
	struct buf b = { 0 };

	(void)http_query(r, "name", name, sizeof(name));
	(void)http_query(r, "type", type, sizeof(type));
	int n = dns_name_parse(name, wire);
	unsigned number = ldns_get_rr_type_by_name(type);
	if (n < 0) {
		fail(r, ERR_INVALID, "name", "'name' must be a domain name, like db.corp.example.");
	} else if (number == 0) {
		fail(r, ERR_INVALID, "type",
		     "'type' must be a type of records, like A, PTR or TYPE65.");
	} else if (!home_channel(view, ROLE_DNS)) {
		fail(r, ERR_UNAVAILABLE, NULL, "The name server is away; try again.");
	} else {
		size_t len = DNS_HEADER + (size_t)n + 5;

		memcpy(packet + DNS_HEADER, wire, (size_t)n);
		dns_put16(packet + len - 4, number);
		dns_put16(packet + len - 2, 1);
		put_u64(&b, job_new(r, home_of(view))->token);
		put_u32(&b, view);
		buf_add(&b, packet, len);
		channel_send(home_channel(view, ROLE_DNS), MSG_NAMES_ASK, &b, -1);
		buf_fini(&b);
	}
}

static json_t *section(const ldns_rr_list *list)
{
	json_t *v = json_array();

	for (size_t i = 0; i < ldns_rr_list_rr_count(list); i++) {
		char *text = ldns_rr2str(ldns_rr_list_rr(list, i));

		for (char *p = text; p && *p; p++) {
			*p = *p == '\t' ? ' ' : *p == '\n' ? '\0' : *p;
		}
		json_array_append_new(v, json_string(text ? text : ""));
		LDNS_FREE(text);
	}
	return v;
}

void names_answer(const struct node *n, uint64_t token, struct reader *r)
{
	struct job *j = job_find(token, n);
	bool elsewhere = get_u8(r);
	char target[DNS_NAME_TEXT];
	ldns_pkt *p = NULL;

	get_str(r, target, sizeof(target));
	if (!j || r->failed) {
		return;
	}
	if (ldns_wire2pkt(&p, r->p, r->left) != LDNS_STATUS_OK) {
		fail(j->request, ERR_SYSTEM, NULL, "The answer cannot be read.");
	} else {
		char *rcode = ldns_pkt_rcode2str(ldns_pkt_get_rcode(p));
		json_t *v = json_pack("{s:s, s:b, s:o, s:o}", "rcode",
		                      elsewhere ? "FORWARDED" : rcode, "authoritative",
		                      ldns_pkt_aa(p), "answers", section(ldns_pkt_answer(p)),
		                      "authority", section(ldns_pkt_authority(p)));
		if (elsewhere) {
			json_object_set_new(v, "forwarded", json_string(target));
		}
		api_json(j->request, 200, "", v);
		LDNS_FREE(rcode);
		ldns_pkt_free(p);
	}
	r->p += r->left;
	r->left = 0;
	job_free(j);
}

/* ---- a zone as a file ---- */

static void export_zone(struct http_request *r, uint64_t zone)
{
	struct buf b = { 0 };

	if (!plane.dns) {
		fail(r, ERR_UNAVAILABLE, NULL, "The name server is away; try again.");
		return;
	}
	put_u64(&b, job_new(r, node_own())->token);
	put_u64(&b, zone);
	channel_send(plane.dns, MSG_NAMES_EXPORT, &b, -1);
	buf_fini(&b);
}

/* One message of a transfer; the last record of all is the SOA once more, and left out. */
void names_part(const struct node *n, uint64_t token, struct reader *r)
{
	struct job *j = job_find(token, n);
	bool last = get_u8(r);
	ldns_pkt *p = NULL;

	if (!j || r->failed) {
		return;
	}
	if (r->left > 0 && ldns_wire2pkt(&p, r->p, r->left) == LDNS_STATUS_OK) {
		const ldns_rr_list *list = ldns_pkt_answer(p);
		size_t count = ldns_rr_list_rr_count(list);

		for (size_t i = 0; i + last < count; i++) {
			char *text = ldns_rr2str(ldns_rr_list_rr(list, i));

			buf_add(&j->text, text ? text : "", text ? strlen(text) : 0);
			LDNS_FREE(text);
		}
		ldns_pkt_free(p);
	}
	r->p += r->left;
	r->left = 0;
	if (last) {
		if (j->text.failed || j->text.len == 0) {
			fail(j->request, ERR_NOT_FOUND, NULL, "The zone is not served.");
		} else {
			api_json(j->request, 200, "",
			         json_pack("{s:s%}", "content", (const char *)j->text.data,
			                   j->text.len));
		}
		job_free(j);
	}
}

bool names_of(struct http_request *r, const struct resource *x, const char *what)
{
	bool vnet = strcmp(x->type->name, "Microsoft.Network/virtualNetworks") == 0;

	if (strcmp(r->method, "GET") != 0 || !((vnet && strcasecmp(what, "dnsLookup") == 0) ||
	                                       (zone_is(x) && strcasecmp(what, "zoneFile") == 0))) {
		return false;
	}
	uint32_t number = table_number((struct resource *)(uintptr_t)x);
	if (vnet) {
		look_up(r, number);
	} else {
		export_zone(r, number);
	}
	return true;
}

/* ---- the administrator's ---- */

/* An answer that waits until the change is durable, and is what the name server says. */
struct pending {
	struct http_request *request;
	int status;
	json_t *doc; /* NULL: nothing is said */
};

static void pending_free(struct pending *p)
{
	json_decref(p->doc);
	free(p);
}

static void told(void *arg)
{
	struct pending *p = arg;

	if (p->status == 204) {
		http_reply(p->request, 204, "", NULL, 0);
	} else {
		api_json(p->request, p->status, "", json_incref(p->doc));
	}
	pending_free(p);
}

static void written(void *arg, const struct err *e, uint64_t rev)
{
	struct pending *p = arg;

	(void)rev;
	control_stored(e);
	if (e) {
		api_error(p->request, e);
		pending_free(p);
	} else {
		zone_wait(told, p);
	}
}

static struct pending *pending_new(struct http_request *r, int status, json_t *doc)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		abort();
	}
	p->request = r;
	p->status = status;
	p->doc = json_incref(doc);
	return p;
}

/* keys: GET; rollover, dsSeen: POST. */
static bool keys_request(struct http_request *r, const char *zone, const char *what)
{
	bool roll = strcasecmp(what, "rollover") == 0, seen = strcasecmp(what, "dsSeen") == 0;
	uint8_t wire[DNS_NAME_MAX];
	struct err e = ERR_INIT;
	int n = dns_name_parse(zone, wire);

	if (strcasecmp(what, "keys") == 0 && n > 0 && strcmp(r->method, "GET") == 0) {
		api_json(r, 200, "",
		         json_pack("{s:o}", "value", zone_keys_view(zone, wire, (size_t)n)));
		return true;
	}
	if ((!roll && !seen) || strcmp(r->method, "POST") != 0) {
		return false;
	}
	struct pending *p = pending_new(r, 204, NULL);
	if ((roll ? zone_keys_roll(zone, written, p, &e) : zone_keys_seen(zone, written, p, &e)) <
	    0) {
		api_error(r, &e);
		pending_free(p);
	}
	return true;
}

/* /netd/dns/zones/ZONE[/zoneFile | /TYPE/NAME] */
static void public_zone(struct http_request *r, char *rest)
{
	size_t own = zone_public_starts(rest); /* names of zones below /24 have a slash */
	char *type = own ? (rest[own] ? rest + own : NULL) : strchr(rest, '/'), *name;
	uint64_t number;
	struct err e = ERR_INIT;

	if (type) {
		*type++ = '\0';
	}
	name = type ? strchr(type, '/') : NULL;
	if (name) {
		*name++ = '\0';
	}
	if (type && !name && strcasecmp(type, "zoneFile") == 0 && strcmp(r->method, "GET") == 0) {
		if (zone_public_number(rest, &number)) {
			export_zone(r, number);
		} else {
			fail(r, ERR_NOT_FOUND, NULL, "That is no public zone of this server.");
		}
		return;
	}
	if (type && !name && keys_request(r, rest, type)) {
		return;
	}
	const char *kind = name ? zone_record_type(type) : NULL;
	bool put = strcmp(r->method, "PUT") == 0;
	if (!kind || (!put && strcmp(r->method, "DELETE") != 0)) {
		fail(r, kind ? ERR_METHOD : ERR_NOT_FOUND, NULL,
		     kind ? "The method is not allowed here."
		          : "A record set of a public zone is /netd/dns/zones/ZONE/TYPE/NAME.");
		return;
	}
	char full[100];
	snprintf(full, sizeof(full), ZONE_TYPE "/%s", kind);
	json_auto_t *doc = put ? api_body(r) : NULL;
	if (put && !doc) {
		return;
	}
	struct pending *p = pending_new(r, 200, doc);
	int rc = put && model_check(model_type_find(full), doc, &e) < 0
	                 ? -1
	                 : zone_public_put(rest, kind, name, doc, written, p, &e);
	if (rc > 0) {
		return;
	}
	if (rc < 0) {
		api_error(r, &e);
	} else {
		http_reply(r, 204, "", NULL, 0);
	}
	pending_free(p);
}

/* The counters of the role as it told them last, without their prefix. */
static void stats(struct http_request *r)
{
	int64_t age;
	AUTO_FREE char *text = strdup(control_metrics(1, &age));
	json_t *v = json_object();
	char *save = NULL, name[80];
	long long n;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "netd_dns_%79s %lld", name, &n) == 2) {
			size_t len = strlen(name);

			if (len > 6 && strcmp(name + len - 6, "_total") == 0) {
				name[len - 6] = '\0';
			}
			json_object_set_new(v, name, json_integer(n));
		}
	}
	api_json(r, 200, "", v);
}

void names_request(struct http_request *r, const struct caller *who)
{
	AUTO_FREE char *path = strdup(r->path);

	if (who->role != CALLER_OWNER || strcmp(who->subscriptions, "*") != 0) {
		fail(r, ERR_FORBIDDEN, NULL, "Public zones are the administrator's.");
	} else if (strcmp(path, "/netd/dns/lookup") == 0 && strcmp(r->method, "GET") == 0) {
		look_up(r, DNS_VIEW_PUBLIC);
	} else if (strcmp(path, "/netd/dns/stats") == 0 && strcmp(r->method, "GET") == 0) {
		stats(r);
	} else if (strcmp(path, "/netd/dns/zones") == 0 && strcmp(r->method, "GET") == 0) {
		api_json(r, 200, "", json_pack("{s:o}", "value", zone_public_view()));
	} else if (strncmp(path, "/netd/dns/zones/", 16) == 0 && path[16]) {
		public_zone(r, path + 16);
	} else {
		fail(r, ERR_NOT_FOUND, NULL, "There is lookup, stats, zones and zones/ZONE here.");
	}
}
