/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * netctl: the command line. Speaks ARM REST over the Unix socket or HTTPS by libcurl; decides
 * nothing that the API does not. Exit status: 0 done, 1 refused or failed, 64 wrong use.
 */
#include "clients/netctl/netctl.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clients/netctl/document.h"
#include "clients/netctl/yaml.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/ip.h"
#include "lib/base/own.h"
#include "lib/model/model.h"

#define API_VERSION "2023-05-01"

static struct {
	const char *api, *ca, *token, *subscription, *socket, *group, *output, *file;
	const char *role, *scope, *caller, *seconds; /* of a token */
	const char *name, *zone, *domain;            /* of a node that joins */
	const char *vnet;
	const char *from, *to;        /* of usage */
	const char *tail, *container; /* of logs */
	bool no_wait, input, terminal;
	char **command; /* of exec, behind "--" */
	CURL *curl;
} self;

static const struct type {
	const char *name, *plural, *type;
} types[] = {
	{ "cg", "containergroups", "Microsoft.ContainerInstance/containerGroups" },
	{ "vnet", "virtualnetworks", "Microsoft.Network/virtualNetworks" },
	{ "pip", "publicipaddresses", "Microsoft.Network/publicIPAddresses" },
	{ "prefix", "publicipprefixes", "Microsoft.Network/publicIPPrefixes" },
	{ "profile", "networkprofiles", "Microsoft.Network/networkProfiles" },
	{ "nsg", "networksecuritygroups", "Microsoft.Network/networkSecurityGroups" },
	{ "asg", "applicationsecuritygroups", "Microsoft.Network/applicationSecurityGroups" },
	{ "rt", "routetables", "Microsoft.Network/routeTables" },
	{ "nat", "natgateways", "Microsoft.Network/natGateways" },
	{ "vgw", "virtualnetworkgateways", "Microsoft.Network/virtualNetworkGateways" },
	{ "connection", "connections", "Microsoft.Network/connections" },
	{ "zone", "zones", "Microsoft.Network/privateDnsZones" },
	{ "ruleset", "rulesets", "Microsoft.Network/dnsForwardingRulesets" },
	{ "lb", "loadbalancers", "Microsoft.Network/loadBalancers" },
	{ "cgp", "containergroupprofiles", "Microsoft.ContainerInstance/containerGroupProfiles" },
	{ "ng", "ngroups", "Microsoft.ContainerInstance/NGroups" },
	{ "sp", "standbypools", "Microsoft.StandbyPool/standbyContainerGroupPools" },
	{ "rg", "resourcegroups", NULL },
};

static const char usage_text[] =
	"netctl: container groups and their networks\n"
	"  netctl apply -f FILE [-g GROUP] [--no-wait]   ACI YAML, an ARM resource, or {\"resources\": [...]}\n"
	"  netctl get TYPE [NAME] [-g GROUP]             cg, vnet, nsg, asg, rt, nat, pip, prefix,\n"
	"                                                profile, vgw, connection, lb, cgp, ng, sp, rg;\n"
	"                                                -o table|json|yaml|name\n"
	"  netctl describe TYPE NAME [-g GROUP]          all of it, events too; of a load balancer its\n"
	"                                                members as they are, and their shares\n"
	"  netctl scale NGROUP COUNT [-g GROUP] [--no-wait]\n"
	"  netctl rollout status|cancel NGROUP [-g GROUP]\n"
	"  netctl watch NGROUP [-g GROUP]                until it is as wanted; 1 when it cannot be\n"
	"  netctl node reclaim COUNT [--seconds NOTICE]  evicts that many Spot groups\n"
	"  netctl events NAME [-g GROUP]                 what happened to a container group\n"
	"  netctl logs NAME [--container C] [--tail N] [-g GROUP]\n"
	"  netctl exec [-i] [-t] NAME [--container C] [-g GROUP] -- COMMAND...\n"
	"                                                runs it in a container; -i: with input, -t: in\n"
	"                                                a terminal; its exit status\n"
	"  netctl attach NAME [--container C] [-g GROUP] what a container says from now on\n"
	"  netctl usage [--from TIME] [--to TIME]        what groups used: a period a line; -o json\n"
	"  netctl delete TYPE NAME [-g GROUP] [--no-wait]\n"
	"  netctl trace FROM TO:PORT[/tcp|udp|icmp] [-g GROUP]\n"
	"         what happens to a packet, hop by hop; FROM is a group or an address, TO an address\n"
	"         ([ADDRESS]:PORT for IPv6) or a group\n"
	"  netctl nsg flush NAME [-g GROUP]              ends flows that its rules deny now\n"
	"  netctl counters nsg|cg|vnet NAME [-g GROUP]   flows of each rule; bytes and drops of a\n"
	"                                                group; what a VNet's router dropped, and why\n"
	"  netctl dns lookup NAME [TYPE] [--vnet VNET] [-g GROUP]   what a virtual network is answered, or\n"
	"                                                the public (without --vnet; the administrator)\n"
	"  netctl dns zones | dns export ZONE [-g GROUP] | dns stats\n"
	"  netctl token create [--subscription ID] [--role reader|contributor|owner]\n"
	"         [--scope ID] [--caller NAME] [--seconds N]   prints a new token, once\n"
	"  netctl token list | token revoke ID\n"
	"  netctl node list | node cordon|uncordon|drain|remove NAME\n"
	"  netctl node take NAME VNET-ID        moves a VNet's home there; its groups stay\n"
	"  netctl node join-token [--name NODE] [--zone Z] [--fault-domain D] [--seconds N]\n"
	"                                                prints what `netd join` takes, once\n"
	"  netctl completion                             bash completion\n"
	"Environment: NETD_API, NETD_CA, NETD_TOKEN (HTTPS), else NETD_SOCKET; NETD_SUBSCRIPTION.\n";

/* Words by position; names are asked of the API. */
static const char completion_text[] =
	"_netctl()\n"
	"{\n"
	"	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	"	local types='cg vnet nsg asg rt nat pip prefix profile vgw connection zone ruleset rg' list='' i words=() group=()\n"
	"	for ((i = 1; i < COMP_CWORD; i++)); do\n"
	"		case ${COMP_WORDS[i]} in\n"
	"		--no-wait) ;;\n"
	"		-g) group=(-g \"${COMP_WORDS[++i]}\") ;;\n"
	"		-*) ((++i)) ;;\n"
	"		*) words+=(\"${COMP_WORDS[i]}\") ;;\n"
	"		esac\n"
	"	done\n"
	"	case $before in\n"
	"	-f) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
	"	-g) list=$(netctl get rg -o name 2>/dev/null) ;;\n"
	"	-o) list='table json yaml name' ;;\n"
	"	--role) list='reader contributor owner' ;;\n"
	"	*)\n"
	"		if [ ${#words[@]} = 0 ]; then\n"
	"			list='apply get describe events logs exec attach usage delete trace counters nsg dns token node completion help'\n"
	"		elif [[ $word = -* ]]; then\n"
	"			list='-f -g -o --no-wait --subscription --role --scope --caller --seconds --container --tail --name --zone --fault-domain'\n"
	"		else\n"
	"			case ${words[0]}:${#words[@]} in\n"
	"			counters:1) list='nsg cg vnet' ;;\n"
	"			nsg:1) list=flush ;;\n"
	"			dns:1) list='lookup zones export stats' ;;\n"
	"			get:1 | describe:1 | delete:1) list=$types ;;\n"
	"			nsg:2) list=$(netctl get nsg \"${group[@]}\" -o name 2>/dev/null) ;;\n"
	"			get:2 | describe:2 | delete:2 | counters:2) list=$(netctl get \"${words[1]}\" \"${group[@]}\" -o name 2>/dev/null) ;;\n"
	"			events:1 | logs:1 | exec:1 | attach:1) list=$(netctl get cg \"${group[@]}\" -o name 2>/dev/null) ;;\n"
	"			token:1) list='create list revoke' ;;\n"
	"			node:1) list='list join-token cordon uncordon drain take remove reclaim' ;;\n"
	"			node:2) list=$(netctl node list 2>/dev/null | awk 'NR > 1 { print $1 }') ;;\n"
	"			esac\n"
	"		fi ;;\n"
	"	esac\n"
	"	COMPREPLY=($(compgen -W \"$list\" -- \"$word\"))\n"
	"}\n"
	"complete -F _netctl netctl\n";

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	buf_add(arg, data, size * n);
	return size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	static const char name[] = "azure-asyncoperation:";
	char *to = arg;

	if (size * n > sizeof(name) && strncasecmp(data, name, sizeof(name) - 1) == 0) {
		snprintf(to, 1200, "%.*s", (int)(size * n - sizeof(name)), data + sizeof(name));
		to[strcspn(to, "\r\n")] = '\0';
	}
	return size * n;
}

/* One request. Returns the status, -1 when nobody answered (said on standard error). *ret gets
 * the answer (new reference or NULL), `operation` (1200 bytes, may be NULL) the URL to poll. */
long netctl_request(const char *method, const char *path, const json_t *body, json_t **ret,
                    char *operation)
{
	struct curl_slist *headers = NULL;
	AUTO_BUF struct buf got = { 0 };
	char url[2000], auth[600], ignored[1200] = "", error[CURL_ERROR_SIZE] = "";
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	long status = -1;
	bool https = self.api && self.api[0];

	snprintf(url, sizeof(url), "%s%s", https ? self.api : "http://netd", path);
	curl_easy_reset(self.curl);
	if (https) {
		curl_easy_setopt(self.curl, CURLOPT_CAINFO, self.ca);
	} else {
		curl_easy_setopt(self.curl, CURLOPT_UNIX_SOCKET_PATH, self.socket);
	}
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Expect:");
	if (self.token && https) {
		snprintf(auth, sizeof(auth), "Authorization: Bearer %s", self.token);
		headers = curl_slist_append(headers, auth);
	}
	curl_easy_setopt(self.curl, CURLOPT_URL, url);
	curl_easy_setopt(self.curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(self.curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(self.curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(self.curl, CURLOPT_WRITEDATA, &got);
	curl_easy_setopt(self.curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(self.curl, CURLOPT_HEADERDATA, operation ? operation : ignored);
	curl_easy_setopt(self.curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(self.curl, CURLOPT_TIMEOUT, 60L);
	if (text) {
		curl_easy_setopt(self.curl, CURLOPT_POSTFIELDS, text);
	}
	if (curl_easy_perform(self.curl) == CURLE_OK) {
		curl_easy_getinfo(self.curl, CURLINFO_RESPONSE_CODE, &status);
	} else {
		fprintf(stderr, "netctl: %s: %s\n", https ? self.api : self.socket, error);
	}
	curl_slist_free_all(headers);
	free(text);
	*ret = got.len ? json_loadb((const char *)got.data, got.len, 0, NULL) : NULL;
	return status;
}

const char *netctl_ca(void)
{
	return self.ca;
}

int netctl_failed(long status, const json_t *answer)
{
	const json_t *x = json_object_get(answer, "error");

	if (status > 0) {
		fprintf(stderr, "netctl: %s: %s%s%s%s\n", x ? model_str(x, "code") : "HTTP error",
		        x ? model_str(x, "message") : "", *model_str(x, "target") ? " (" : "",
		        model_str(x, "target"), *model_str(x, "target") ? ")" : "");
	}
	return 1;
}

/* ---- paths ---- */

static const struct type *type_of(const char *word)
{
	for (size_t i = 0; i < ARRAY_N(types); i++) {
		if (strcasecmp(word, types[i].name) == 0 ||
		    strcasecmp(word, types[i].plural) == 0) {
			return &types[i];
		}
	}
	fprintf(stderr, "netctl: type '%s' is not one of cg, vnet, pip, rg\n", word);
	return NULL;
}

static void path_of(const struct type *t, const char *name, char *to, size_t size)
{
	const char *group = self.group ? self.group : "default";

	if (!t->type) {
		snprintf(to, size, "/subscriptions/%s/resourceGroups%s%s?api-version=" API_VERSION,
		         self.subscription, name ? "/" : "", name ? name : "");
	} else if (!name && !self.group) {
		snprintf(to, size, "/subscriptions/%s/providers/%s?api-version=" API_VERSION,
		         self.subscription, t->type);
	} else {
		snprintf(
			to, size,
			"/subscriptions/%s/resourceGroups/%s/providers/%s%s%s?api-version=" API_VERSION,
			self.subscription, group, t->type, name ? "/" : "", name ? name : "");
	}
}

/* Polls until the operation ended; 0 when it succeeded. */
static int wait_for(const char *url)
{
	const char *path = strstr(url, "/subscriptions/");
	json_t *answer = NULL;

	for (int i = 0; path && *path && i < 3000; i++) {
		long status = netctl_request("GET", path, NULL, &answer, NULL);
		const char *state = model_str(answer, "status");

		if (status ==
		    404) { /* the plane was restarted meanwhile: the resource itself tells */
			json_decref(answer);
			return 0;
		}
		if (status != 200 || strcasecmp(state, "Failed") == 0) {
			int rc = netctl_failed(status, answer);

			json_decref(answer);
			return rc;
		}
		bool done = strcasecmp(state, "Succeeded") == 0;
		json_decref(answer);
		if (done) {
			return 0;
		}
		usleep(i < 50 ? 10000 : 100000);
	}
	if (path && *path) {
		fprintf(stderr, "netctl: still under way; `netctl events NAME` tells more\n");
		return 1;
	}
	return 0;
}

/* ---- output ---- */

static void table_row(const json_t *r)
{
	const json_t *p = json_object_get(r, "properties");
	const char *ip = model_str(p, "ipAddress.ip");

	if (!*ip) {
		ip = json_is_string(json_object_get(p, "ipAddress")) ? model_str(p, "ipAddress")
		                                                     : "-";
	}
	struct model_id id;
	const char *group =
		model_id_parse(model_str(r, "id"), &id) == 0 && id.group ? id.group : "-";
	const char *fqdn = model_str(p, "ipAddress.fqdn");
	printf("%-24s %-16s %-12s %-18s %s\n", model_str(r, "name"), group,
	       model_str(p, "provisioningState"), ip, *fqdn ? fqdn : "-");
}

static void print(const json_t *answer)
{
	const json_t *list = json_object_get(answer, "value");

	if (strcmp(self.output, "json") == 0) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (strcmp(self.output, "yaml") == 0) {
		yaml_print(answer, 0);
	} else if (strcmp(self.output, "name") == 0) {
		for (size_t i = 0; i < json_array_size(list); i++) {
			puts(model_str(json_array_get(list, i), "name"));
		}
		if (!list) {
			puts(model_str(answer, "name"));
		}
	} else {
		printf("%-24s %-16s %-12s %-18s %s\n", "NAME", "GROUP", "STATE", "ADDRESS", "FQDN");
		for (size_t i = 0; i < json_array_size(list); i++) {
			table_row(json_array_get(list, i));
		}
		if (!list) {
			table_row(answer);
		}
	}
}

/* ---- commands ---- */

/* Puts the next page behind what is there. */
static int next_page(json_t *answer)
{
	const char *path = strstr(model_str(answer, "nextLink"), "/subscriptions");
	json_t *page = NULL;

	if (!path) {
		fprintf(stderr, "netctl: a list's nextLink is no path of this API\n");
		return 1;
	}
	long status = netctl_request("GET", path, NULL, &page, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, page);
	if (rc == 0) {
		json_t *next = json_object_get(page, "nextLink");

		json_array_extend(json_object_get(answer, "value"), json_object_get(page, "value"));
		next ? json_object_set(answer, "nextLink", next)
		     : json_object_del(answer, "nextLink");
	}
	json_decref(page);
	return rc;
}

static int get(const char *word, const char *name)
{
	const struct type *t = type_of(word);
	json_t *answer = NULL;
	char path[1500];

	if (!t) {
		return 64;
	}
	path_of(t, name, path, sizeof(path));
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	while (rc == 0 && *model_str(answer, "nextLink")) {
		rc = next_page(answer);
	}
	if (rc == 0) {
		print(answer);
	}
	json_decref(answer);
	return rc;
}

int netctl_container_path(const char *group, const char *container, const char *what, char *to,
                          size_t size)
{
	json_t *answer = NULL;
	char path[1500];

	path_of(&types[0], group, path, sizeof(path));
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	if (status != 200) {
		int rc = netctl_failed(status, answer);

		json_decref(answer);
		return rc;
	}
	const char *first =
		model_str(json_array_get(model_at(answer, "properties.containers"), 0), "name");
	path[strcspn(path, "?")] = '\0';
	snprintf(to, size, "%s/containers/%.63s/%s?api-version=" API_VERSION, path,
	         container ? container : first, what);
	json_decref(answer);
	return 0;
}

static int logs(const char *name)
{
	json_t *answer = NULL;
	char path[1800], more[1900];
	int rc = netctl_container_path(name, self.container, "logs", path, sizeof(path));

	if (rc != 0) {
		return rc;
	}
	snprintf(more, sizeof(more), "%s%s%.10s", path, self.tail ? "&tail=" : "",
	         self.tail ? self.tail : "");
	long status = netctl_request("GET", more, NULL, &answer, NULL);
	rc = status == 200 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		fputs(model_str(answer, "content"), stdout);
	}
	json_decref(answer);
	return rc;
}

static int events(const char *name)
{
	json_t *answer = NULL, *x;
	char path[1500];
	size_t i;

	path_of(&types[0], name, path, sizeof(path));
	long status = netctl_request("GET", path, NULL, &answer, NULL);
	int rc = status == 200 ? 0 : netctl_failed(status, answer);
	json_array_foreach(model_at(answer, "properties.instanceView.events"), i, x)
	{
		printf("%s  %-12s %s\n", model_str(x, "lastTimestamp"), model_str(x, "name"),
		       model_str(x, "message"));
	}
	json_decref(answer);
	return rc;
}

static int delete_one(const char *word, const char *name)
{
	const struct type *t = type_of(word);
	json_t *answer = NULL;
	char path[1500], operation[1200] = "";

	if (!t) {
		return 64;
	}
	path_of(t, name, path, sizeof(path));
	long status = netctl_request("DELETE", path, NULL, &answer, operation);
	int rc =
		status == 200 || status == 202 || status == 204 ? 0 : netctl_failed(status, answer);
	json_decref(answer);
	return rc == 0 && !self.no_wait ? wait_for(operation) : rc;
}

static int put_one(json_t *doc)
{
	const char *name = model_str(doc, "name"), *type = model_str(doc, "type");
	char path[1500], operation[1200] = "";
	json_t *answer = NULL;

	if (!*name) {
		fprintf(stderr, "netctl: the document has no name\n");
		return 1;
	}
	/* "vnet/subnet" of type ".../virtualNetworks/subnets" */
	const char *slash = strchr(name, '/'), *sub = slash ? strrchr(type, '/') : NULL;
	snprintf(
		path, sizeof(path),
		"/subscriptions/%s/resourceGroups/%s/providers/%.*s/%.*s%s%s?api-version=" API_VERSION,
		self.subscription, self.group ? self.group : "default",
		sub ? (int)(sub - type) : 200, *type ? type : types[0].type,
		slash ? (int)(slash - name) : 200, name, sub ? sub : "", slash ? slash : "");
	json_object_del(doc, "name");
	json_object_del(doc, "type");
	json_object_del(doc, "apiVersion");
	json_object_del(doc, "dependsOn");
	long status = netctl_request("PUT", path, doc, &answer, operation);
	int rc = status == 200 || status == 201 ? 0 : netctl_failed(status, answer);
	if (rc == 0) {
		fprintf(stderr, "%s %s\n", model_str(answer, "id"),
		        status == 201 ? "created" : "updated");
	}
	if (rc == 0 && strncmp(model_str(answer, "type"), "Microsoft.Network/", 18) == 0 &&
	    strcmp(model_str(answer, "properties.provisioningState"), "Failed") == 0) {
		fprintf(stderr,
		        "netctl: it is stored, but a node's kernel refuses it: see the nodes' "
		        "'refused' by netctl node list -o json\n");
		rc = 1;
	}
	json_decref(answer);
	return rc == 0 && !self.no_wait ? wait_for(operation) : rc;
}

static int ensure_group(void)
{
	json_t *answer = NULL, *body = json_pack("{s:s}", "location", "westeurope");
	char path[1500];
	long status;

	path_of(type_of("rg"), self.group ? self.group : "default", path, sizeof(path));
	status = netctl_request("GET", path, NULL, &answer, NULL);
	json_decref(answer);
	answer = NULL;
	if (status == 404) {
		status = netctl_request("PUT", path, body, &answer, NULL);
	}
	int rc = status == 200 || status == 201 ? 0 : netctl_failed(status, answer);
	json_decref(answer);
	json_decref(body);
	return rc;
}

static int apply(void)
{
	AUTO_BUF struct buf text = { 0 };
	struct err e = ERR_INIT;
	FILE *f = !self.file ? NULL : strcmp(self.file, "-") == 0 ? stdin : fopen(self.file, "re");
	size_t n;

	if (!f) {
		fprintf(stderr, "netctl: apply needs -f FILE that can be read\n");
		return 64;
	}
	do {
		void *room = buf_room(&text, 65536);
		n = room ? fread(room, 1, 65536, f) : 0;
		text.len += n;
	} while (n > 0 && text.len < (8u << 20));
	if (f != stdin) {
		fclose(f);
	}
	json_t *doc = yaml_to_json((const char *)text.data, text.len, &e);
	if (!doc || !json_is_object(doc)) {
		fprintf(stderr, "netctl: %s: %s\n", self.file, doc ? "not an object" : e.msg);
		json_decref(doc);
		return 1;
	}
	static char named[100];
	char where[300];
	int groups = 0;
	if (document_expression(doc, where, sizeof(where), 0)) {
		fprintf(stderr, "netctl: InvalidTemplate: expressions are not evaluated yet (%s)\n",
		        where);
		json_decref(doc);
		return 1;
	}
	document_groups(doc, named, &groups);
	self.group = self.group ? self.group : groups == 1 ? named : NULL;
	int rc = ensure_group();
	json_t *list = json_object_get(doc, "resources"), *x;
	size_t i;
	if (rc == 0 && !list) {
		rc = put_one(doc);
	}
	for (int step = 0; rc == 0 && list && step < document_ranks(); step++) {
		json_array_foreach(list, i, x)
		{
			if (rc == 0 && document_rank(x) == step) {
				json_t *copy = json_deep_copy(x);
				rc = put_one(copy);
				json_decref(copy);
			}
		}
	}
	json_decref(doc);
	return rc;
}

static const char *env(const char *name, const char *otherwise)
{
	const char *v = getenv(name);

	return v && *v ? v : otherwise;
}

/* Where an option's value goes; NULL: no such option. */
static const char **option(const char *name)
{
	static const struct {
		const char *name, **to;
	} options[] = { { "-f", &self.file },         { "-g", &self.group },
		        { "-o", &self.output },       { "--subscription", &self.subscription },
		        { "--role", &self.role },     { "--scope", &self.scope },
		        { "--caller", &self.caller }, { "--seconds", &self.seconds },
		        { "--tail", &self.tail },     { "--container", &self.container },
		        { "--vnet", &self.vnet },     { "--from", &self.from },
		        { "--to", &self.to },         { "--name", &self.name },
		        { "--zone", &self.zone },     { "--fault-domain", &self.domain } };

	for (size_t i = 0; i < ARRAY_N(options); i++) {
		if (strcmp(name, options[i].name) == 0) {
			return options[i].to;
		}
	}
	return NULL;
}

int netctl_wait(const char *operation)
{
	return wait_for(operation);
}

void netctl_path(const char *type, const char *name, char *to, size_t size)
{
	path_of(type_of(type), name, to, size);
}

/* What begins with one word; false: no such words. */
static bool run_node(int n, char **words, int *rc)
{
	if (n == 3 && strcmp(words[1], "reclaim") == 0) {
		*rc = balance_reclaim(words[2], self.seconds);
	} else if (n == 2 && strcmp(words[1], "join-token") == 0) {
		*rc = node_join_token(self.name, self.zone, self.domain, self.seconds);
	} else if (n == 2 && strcmp(words[1], "list") == 0) {
		*rc = node_list(strcmp(self.output, "table") != 0);
	} else if (n == 4 && strcmp(words[1], "take") == 0) {
		*rc = node_take(words[2], words[3]);
	} else if (n == 3) {
		*rc = node_change(words[1], words[2]);
	} else {
		return false;
	}
	return true;
}

static bool run_dns(int n, char **words, int *rc)
{
	if ((n == 3 || n == 4) && strcmp(words[1], "lookup") == 0) {
		*rc = names_lookup(words[2], n == 4 ? words[3] : "A", self.vnet);
	} else if (n == 2 && strcmp(words[1], "zones") == 0) {
		*rc = names_zones();
	} else if (n == 2 && strcmp(words[1], "stats") == 0) {
		*rc = names_stats();
	} else if (n == 3 && strcmp(words[1], "export") == 0) {
		*rc = names_export(words[2]);
	} else {
		return false;
	}
	return true;
}

static bool run_token(int n, char **words, int *rc)
{
	if (n == 2 && strcmp(words[1], "create") == 0) {
		*rc = token_create(self.caller, self.subscription, self.role, self.scope,
		                   self.seconds);
	} else if (n == 2 && strcmp(words[1], "list") == 0) {
		*rc = token_list(strcmp(self.output, "table") != 0);
	} else if (n == 3 && strcmp(words[1], "revoke") == 0) {
		*rc = token_revoke(words[2]);
	} else {
		return false;
	}
	return true;
}

static int run(int n, char **words)
{
	const char *verb = n > 0 ? words[0] : "help";
	int rc;

	if (strcmp(verb, "apply") == 0 && n == 1) {
		return apply();
	}
	if (strcmp(verb, "usage") == 0 && n == 1) {
		return usage_print(self.subscription, self.from, self.to,
		                   strcmp(self.output, "json") == 0);
	}
	if (strcmp(verb, "get") == 0 && (n == 2 || n == 3)) {
		return get(words[1], n == 3 ? words[2] : NULL);
	}
	if (strcmp(verb, "describe") == 0 && n == 3) {
		self.output = "yaml";
		rc = get(words[1], words[2]);
		return rc == 0 && type_of(words[1]) == type_of("lb") ? balance_shares(words[2])
		                                                     : rc;
	}
	if (strcmp(verb, "scale") == 0 && n == 3) {
		return balance_scale(words[1], words[2], self.no_wait);
	}
	if (strcmp(verb, "rollout") == 0 && n == 3 &&
	    (strcmp(words[1], "status") == 0 || strcmp(words[1], "cancel") == 0)) {
		return balance_rollout(words[2], words[1][0] == 'c');
	}
	if (strcmp(verb, "watch") == 0 && n == 2) {
		return balance_watch(words[1]);
	}
	if (strcmp(verb, "node") == 0 && n >= 2 && run_node(n, words, &rc)) {
		return rc;
	}
	if (strcmp(verb, "events") == 0 && n == 2) {
		return events(words[1]);
	}
	if (strcmp(verb, "exec") == 0 && n == 2 && self.command) {
		return exec_run(words[1], self.container, self.command, self.input, self.terminal);
	}
	if (strcmp(verb, "attach") == 0 && n == 2) {
		return exec_run(words[1], self.container, NULL, false, false);
	}
	if (strcmp(verb, "logs") == 0 && n == 2) {
		return logs(words[1]);
	}
	if (strcmp(verb, "nsg") == 0 && n == 3 && strcmp(words[1], "flush") == 0) {
		return trace_nsg_flush(words[2]);
	}
	if (strcmp(verb, "counters") == 0 && n == 3 &&
	    (strcmp(words[1], "nsg") == 0 || strcmp(words[1], "cg") == 0 ||
	     strcmp(words[1], "vnet") == 0)) {
		return trace_counters(words[1], words[2], strcmp(self.output, "json") == 0);
	}
	if (strcmp(verb, "trace") == 0 && n == 3) {
		return trace_packet(words[1], words[2]);
	}
	if (strcmp(verb, "dns") == 0 && n >= 2 && run_dns(n, words, &rc)) {
		return rc;
	}
	if (strcmp(verb, "delete") == 0 && n == 3) {
		return delete_one(words[1], words[2]);
	}
	if (strcmp(verb, "token") == 0 && n >= 2 && run_token(n, words, &rc)) {
		return rc;
	}
	if (strcmp(verb, "completion") == 0) {
		fputs(completion_text, stdout);
		return 0;
	}
	fputs(usage_text,
	      strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 ? stdout : stderr);
	return strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0 ? 0 : 64;
}

int main(int argc, char **argv)
{
	char *words[8];
	int n = 0;

	self.api = getenv("NETD_API");
	self.ca = env("NETD_CA", NULL);
	self.token = env("NETD_TOKEN", NULL);
	self.subscription = env("NETD_SUBSCRIPTION", "00000000-0000-0000-0000-000000000001");
	self.socket = env("NETD_SOCKET", "/run/netd/api.sock");
	self.output = "table";
	for (int i = 1; i < argc; i++) {
		const char **to = option(argv[i]);

		if (strcmp(argv[i], "--") == 0) {
			self.command = i + 1 < argc ? argv + i + 1 : NULL;
			break;
		}
		if (strcmp(argv[i], "-i") == 0 || strcmp(argv[i], "-t") == 0 ||
		    strcmp(argv[i], "-it") == 0 || strcmp(argv[i], "-ti") == 0) {
			self.input = self.input || strchr(argv[i], 'i');
			self.terminal = self.terminal || strchr(argv[i], 't');
		} else if (to && i + 1 < argc) {
			*to = argv[++i];
		} else if (strcmp(argv[i], "--no-wait") == 0) {
			self.no_wait = true;
		} else if (to || (argv[i][0] == '-' && strcmp(argv[i], "--help") != 0)) {
			fprintf(stderr, "netctl: %s %s\n", argv[i],
			        to ? "needs a value" : "is no option; `netctl help` lists them");
			return 2;
		} else if (n < 8) {
			words[n++] = argv[i];
		}
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	self.curl = curl_easy_init();
	int rc = self.curl ? run(n, words) : 1;
	curl_easy_cleanup(self.curl);
	return rc;
}
