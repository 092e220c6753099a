/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See config.h. Reads one file and the user database; no state.
 */
#include "netd/config.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/cert.h"
#include "lib/base/own.h"
#include "lib/base/words.h"
#include "lib/model/model.h"

enum kind {
	KIND_TEXT,
	KIND_NUMBER,
	KIND_USER,
	KIND_IP,
	KIND_POOL,
	KIND_RETURN,
	KIND_TAG,
	KIND_GATEWAY,
	KIND_TARGET,
	KIND_KEY,
	KIND_SECONDARY,
	KIND_ZONE_FILE,
	KIND_XDP,
	KIND_ENDPOINT
};

static const struct key {
	const char *name;
	enum kind kind;
	size_t offset, size;
	int64_t min, max;
	const char *preset, *help;
} keys[] = {
#define T(n, k, f, p, h)                                                                      \
	{                                                                                     \
		n, k, offsetof(struct config, f), sizeof(((struct config *)0)->f), 0, 0, p, h \
	}
#define N(n, f, lo, hi, p, h)                                               \
	{                                                                   \
		n, KIND_NUMBER, offsetof(struct config, f), 8, lo, hi, p, h \
	}
#define U(n, f, p, h)                                                           \
	{                                                                       \
		n, KIND_USER, offsetof(struct config, f), 8, 1, INT32_MAX, p, h \
	}
	T("state-dir", KIND_TEXT, state_dir, "/var/lib/netd", "folder of the store"),
	T("store", KIND_TEXT, store, "sqlite",
	  "where the plane's state is kept: sqlite, in state-dir, or etcd (docs/etcd.md)"),
	T("etcd-endpoints", KIND_TEXT, etcd_endpoints, "",
	  "URLs of etcd's members, separated by commas"),
	T("etcd-ca", KIND_TEXT, etcd_ca, "", "PEM file with who signs the members' certificates"),
	T("etcd-cert", KIND_TEXT, etcd_cert, "", "PEM file with the certificate for etcd"),
	T("etcd-key", KIND_TEXT, etcd_key, "", "PEM file with its key, which user-control reads"),
	T("etcd-user", KIND_TEXT, etcd_user, "", "user of etcd's authentication; empty: none"),
	T("etcd-password-file", KIND_TEXT, etcd_password, "",
	  "file with its password, which user-control reads"),
	T("etcd-prefix", KIND_TEXT, etcd_prefix, "/netd/",
	  "of all keys; planes that share an etcd have different ones"),
	T("node-name", KIND_TEXT, node, "", "of this node, no other's; empty: the host's name"),
	T("node-address", KIND_IP, node_address, "",
	  "that other nodes reach this one by; empty: the one it reaches its plane by"),
	T("listen-nodes", KIND_ENDPOINT, listen_nodes, "",
	  "address:port that other nodes of this plane connect to (docs/nodes.md); empty: none can join"),
	T("placement", KIND_TEXT, placement, "near",
	  "where groups go that ask for no zone. near: to their VNet's home while that has room; even: to the node with most left"),
	N("withdraw-after", withdraw_s, 0, 86400, "0",
	  "seconds without the plane until a node that joined has no routes to pools any more; 0: it keeps them"),
	N("node-cert-life", node_cert_s, 10, 31536000, "2592000",
	  "seconds that a node's certificate is valid; it is renewed when a third is left"),
	T("run-dir", KIND_TEXT, run_dir, "/run/netd", "folder of sockets and namespaces"),
	T("region", KIND_TEXT, region, "westeurope",
	  "the region's name, part of every public name"),
	T("dns-suffix", KIND_TEXT, dns_suffix, "azurecontainer.io",
	  "behind LABEL.REGION of groups"),
	T("ip-suffix", KIND_TEXT, ip_suffix, "cloudapp.azure.com",
	  "behind LABEL.REGION of addresses"),
	T("vnet-suffix", KIND_TEXT, vnet_suffix, "internal.cloudapp.net",
	  "behind a group's name inside its virtual network"),
	T("dns-id", KIND_TEXT, dns_id, "",
	  "what the name server calls itself (NSID); empty: nothing"),
	{ "dns-key", KIND_KEY, 0, 0, 0, 0, "",
	  "NAME ALGORITHM PATH, a TSIG key, its secret as base64 in a file; may be repeated" },
	{ "dns-secondary", KIND_SECONDARY, 0, 0, 0, 0, "",
	  "ADDRESS[:PORT] [KEY], a server that follows the public zones; may be repeated" },
	{ "dns-zone", KIND_ZONE_FILE, 0, 0, 0, 0, "",
	  "ORIGIN PATH, a master file of a public zone, or of records in one; may be repeated" },
	T("dns-catalog", KIND_TEXT, dns_catalog, "",
	  "name of a catalog zone (RFC 9432) that lists the public zones for secondaries; empty: none"),
	{ "dns-xdp", KIND_XDP, 0, 0, 0, 0, "",
	  "DEVICE [native|generic], where hot names are answered in the kernel (docs/names.md); may be repeated" },
	N("dns-xdp-names", xdp_names, 1024, 16777216, "65536",
	  "names that the kernel may answer, 64 bytes each"),
	T("dns-query-log", KIND_TEXT, query_log, "",
	  "file that every query is written to, with who asked; empty: none (docs/data.md)"),
	T("listen-dns", KIND_ENDPOINT, listen_dns, "127.0.0.1:53530",
	  "address:port of the name server"),
	T("listen-api", KIND_ENDPOINT, listen_api, "",
	  "address:port of the HTTPS API; empty: Unix socket only"),
	T("listen-session", KIND_ENDPOINT, listen_session, "",
	  "address:port of exec and attach (WebSocket over TLS); empty: Unix socket only"),
	N("session-idle", session_idle_s, 1, 604800, "1200",
	  "seconds without a byte before an interactive session ends"),
	N("session-life", session_life_s, 1, 31536000, "86400",
	  "seconds before an interactive session ends in any case"),
	T("tls-cert", KIND_TEXT, tls_cert, "", "PEM file with the API's certificate chain"),
	T("tls-key", KIND_TEXT, tls_key, "", "PEM file with its key"),
	N("nat-by-node", nat_by_node, 0, 1, "1",
	  "1: groups leave by NAT gateways and default outbound addresses at their own node, each with ports of its own"),
	T("cni-subscriptions", KIND_TEXT, cni_subscriptions, "",
	  "subscriptions that runtimes on other nodes may make containers in by CNI, with commas between; *: all"),
	T("uplink", KIND_TEXT, uplink, "",
	  "the host's device that public traffic comes by; empty: the host alone"),
	T("next-hop4", KIND_IP, hop4, "", "IPv4 router behind the uplink"),
	T("next-hop6", KIND_IP, hop6, "", "IPv6 router behind the uplink"),
	T("host-address4", KIND_IP, host4, "", "the host's own address on netd0"),
	T("host-address6", KIND_IP, host6, "", "the host's own address on netd0"),
	T("tenant-id", KIND_TEXT, tenant_id, "00000000-0000-0000-0000-000000000000",
	  "tenant of all subscriptions"),
	{ "pool", KIND_POOL, 0, 0, 0, 0, "",
	  "onlink PREFIX or routed PREFIX [at NODE,NODE...]; may be repeated" },
	{ "return", KIND_RETURN, 0, 0, 0, 0, "direct",
	  "mux: what groups send from a pool leaves by the node that the pool is at; direct: by their own" },
	{ "service-tag", KIND_TAG, 0, 0, 0, 0, "",
	  "NAME PREFIX..., a service tag of security rules; may be repeated" },
	{ "gateway", KIND_GATEWAY, 0, 0, 0, 0, "",
	  "NAME SUBSCRIPTION PATH, a network namespace that connections lead to; may be repeated" },
	{ "link-local", KIND_TARGET, 0, 0, 0, 0, "",
	  "ADDRESS:PORT ADDRESS:PORT, where TCP to a link-local address leads; may be repeated" },
	N("mtu", mtu, 1330, 9000, "1500",
	  "bytes, of the uplink; groups get 50 less, IPv6 wants 1280"),
	N("bpf", bpf, 0, 1, "1",
	  "1: programs in the kernel make the gateway quicker, and floating IP; 0: rules alone"),
	N("dns-workers", dns_workers, 0, 8, "0",
	  "threads that answer public names by UDP; 0: one a core, at most 8"),
	N("dns-rate", dns_rate, 0, 1000000, "200",
	  "equal public answers a second to a network (/24, /56); over it, half are short, half none; 0: no limit"),
	N("dns-group-rate", dns_group_rate, 0, 1000000, "1000",
	  "queries a second of a group to its virtual network's resolver; 0: no limit"),
	N("dnssec", dnssec, 0, 1, "0", "1: public zones are signed; the parent wants DS records"),
	N("dnssec-zsk-life", zsk_life_s, 0, 315360000, "2592000",
	  "seconds before a zone-signing key is replaced; 0: never"),
	N("dnssec-spread", dnssec_spread_s, 1, 31536000, "172800",
	  "seconds until nobody remembers what was said of keys before"),
	N("resolver-idle", resolver_idle_s, 1, 86400, "60",
	  "seconds without a question before a virtual network's resolver process ends"),
	N("flows", flows, 1000, 10000000, "65536",
	  "connections that a VNet may track before new ones are slowed down"),
	N("ttl", ttl_s, 0, 86400, "10", "seconds, of public names"),
	N("rest", rest_s, 0, 604800, "300",
	  "seconds before another tenant gets a released address or label"),
	N("max-groups", max_groups, 0, 10000000, "0", "groups on this node; 0: no limit"),
	N("node-cpu", node_cpu, 0, 1000000, "0", "cores that groups may ask for; 0: no limit"),
	N("node-memory", node_memory, 0, 100000000, "0", "GB that groups may ask for; 0: no limit"),
	N("limit-groups", limit_groups, 0, 10000000, "100000",
	  "container groups of a subscription (Azure: 100); 0: no limit"),
	N("limit-addresses", limit_addresses, 0, 10000000, "100000",
	  "public addresses of a subscription (Azure: 1000); 0: no limit"),
	N("limit-labels", limit_labels, 0, 10000000, "100000",
	  "DNS name labels of a subscription; 0: no limit"),
	N("limit-records", limit_records, 0, 10000000, "250000",
	  "record sets in private DNS zones of a subscription; 0: no limit"),
	N("limit-requests", limit_requests, 0, 1000000, "100000",
	  "requests a second of a subscription; 0: no limit"),
	N("pool-links", pool_links, 0, 256, "16",
	  "namespaces with links made ahead of groups, in a subnet that needs many; 0: none"),
	N("usage-days", usage_days, 1, 36500, "93", "days that accounting is kept"),
	N("log-level", log_level, 0, 3, "2", "0 errors, 1 warnings, 2 information, 3 all"),
	U("user-control", user_control, "64100",
	  "unprivileged user of the API role, a name or number"),
	U("user-dns", user_dns, "64101", "unprivileged user of the name server, a name or number"),
	U("user-probe", user_probe, "64102",
	  "unprivileged user of the health probes, a name or number"),
	U("user-resolver", user_resolver, "64103",
	  "unprivileged user of virtual networks' resolvers, a name or number"),
	U("user-session", user_session, "64104",
	  "unprivileged user of interactive sessions, a name or number"),
};

static const char *accepted(const struct key *k, char *to, size_t size)
{
	static const char *const words[] = {
		[KIND_TEXT] = "text without spaces",
		[KIND_USER] = "a user's name or a number from 1 (not root)",
		[KIND_IP] = "an IP address, like 192.0.2.1",
		[KIND_POOL] = "'onlink PREFIX' or 'routed PREFIX [at NODE,NODE...]', like 'routed "
			      "203.0.113.0/24' or 'routed 203.0.113.0/24 at node1,node2'",
		[KIND_RETURN] = "'direct' or 'mux'",
		[KIND_TAG] = "'NAME PREFIX PREFIX...', like 'Storage 203.0.113.0/26'",
		[KIND_GATEWAY] =
			"'NAME SUBSCRIPTION PATH', like 'dc1 * /run/netns/dc1', at most 64",
		[KIND_TARGET] = "'ADDRESS:PORT ADDRESS:PORT', like '169.254.169.254:80 "
				"203.0.113.9:8080', at most 8",
		[KIND_KEY] =
			"'NAME ALGORITHM PATH', like 'transfer hmac-sha256 /etc/netd/transfer.key': "
			"hmac-sha256, -384 or -512, a file with 16 to 128 bytes as base64, at most 8",
		[KIND_SECONDARY] =
			"'ADDRESS[:PORT] [KEY]', like '192.0.2.9 transfer', the key's line above, "
			"at most 16",
		[KIND_ZONE_FILE] =
			"'ORIGIN PATH', like 'example.com /etc/netd/example.zone', at most 64",
		[KIND_XDP] = "'DEVICE [native|generic]', like 'eth0', each once, at most 16",
		[KIND_ENDPOINT] = "ADDRESS:PORT, like 127.0.0.1:53 or [::1]:53",
	};

	if (k->kind == KIND_NUMBER) {
		snprintf(to, size, "a number from %lld to %lld", (long long)k->min,
		         (long long)k->max);
		return to;
	}
	return words[k->kind];
}

static bool set_number(const struct key *k, const char *v, int64_t *to)
{
	char *end;

	errno = 0;
	long long n = strtoll(v, &end, 10);
	if (errno || end == v || *end || n < k->min || n > k->max) {
		return false;
	}
	*to = n;
	return true;
}

/* Names of nodes with commas between, each one that a node could have. */
static bool are_names(const char *v)
{
	char name[CERT_NAME + 1]; /* one that is too long stays so */

	for (size_t i = 0; words_listed(v, i, name, sizeof(name)); i++) {
		if (!model_name_ok(name) || strlen(name) >= CERT_NAME) {
			return false;
		}
	}
	return true;
}

static bool set_pool(struct config *c, const char *v)
{
	struct err e = ERR_INIT;
	bool onlink = strncmp(v, "onlink ", 7) == 0;
	const char *at = strstr(v, " at ");
	char prefix[IP_TEXT] = "";

	if (c->n_pools == CONFIG_POOLS_MAX || (!onlink && strncmp(v, "routed ", 7) != 0)) {
		return false;
	}
	v += 7;
	if (at &&
	    (onlink || at < v || !are_names(at + 4) || strlen(at + 4) >= sizeof(c->pool_at[0]))) {
		return false;
	}
	size_t n = at ? (size_t)(at - v) : strlen(v);
	if (n >= sizeof(prefix)) {
		return false;
	}
	memcpy(prefix, v, n);
	if (ip_prefix_parse(prefix, &c->pools[c->n_pools], &e) < 0) {
		return false;
	}
	snprintf(c->pool_at[c->n_pools], sizeof(c->pool_at[0]), "%s", at ? at + 4 : "");
	c->pool_onlink[c->n_pools++] = onlink;
	return true;
}

const struct config_tag *config_tag(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->n_tags; i++) {
		if (strcasecmp(c->tags[i].name, name) == 0) {
			return &c->tags[i];
		}
	}
	return NULL;
}

static bool tag_name_ok(const char *name)
{
	static const char *const taken[] = { "VirtualNetwork", "Internet", "Any",
		                             "AzureLoadBalancer" };
	bool ok = isalpha((unsigned char)name[0]) &&
	          strlen(name) < sizeof(((struct config_tag *)0)->name);

	for (size_t i = 0; i < ARRAY_N(taken); i++) {
		ok = ok && strcasecmp(taken[i], name) != 0;
	}
	for (const char *p = name; *p; p++) {
		ok = ok && (isalnum((unsigned char)*p) || *p == '.' || *p == '_' || *p == '-');
	}
	return ok;
}

static bool add_tag(struct config *c, const char *name, const struct ip_prefix *p)
{
	struct config_tag *t = (struct config_tag *)(uintptr_t)config_tag(c, name);

	if (!t) {
		struct config_tag *grown = realloc(c->tags, (c->n_tags + 1) * sizeof(*grown));

		if (!grown) {
			return false;
		}
		c->tags = grown;
		t = &grown[c->n_tags++];
		*t = (struct config_tag){ 0 };
		snprintf(t->name, sizeof(t->name), "%s", name);
	}
	struct ip_prefix *v = realloc(t->prefixes, (t->n + 1) * sizeof(*v));
	if (!v) {
		return false;
	}
	t->prefixes = v;
	v[t->n++] = *p;
	return true;
}

/* "NAME PREFIX PREFIX..." */
static bool set_tag(struct config *c, const char *v)
{
	AUTO_FREE char *text = strdup(v);
	char *save = NULL, *name = text ? strtok_r(text, " \t", &save) : NULL, *word;
	struct err e = ERR_INIT;
	struct ip_prefix p;
	size_t n = 0;

	if (!name || !tag_name_ok(name)) {
		return false;
	}
	while ((word = strtok_r(NULL, " \t", &save))) {
		if (ip_prefix_parse(word, &p, &e) < 0 || !add_tag(c, name, &p)) {
			return false;
		}
		n++;
	}
	return n > 0;
}

/* "NAME SUBSCRIPTION PATH" */
static bool set_gateway(struct config *c, const char *v)
{
	struct config_gateway g = { 0 };
	int end = 0;

	if (c->n_gateways == CONFIG_GATEWAYS_MAX ||
	    sscanf(v, "%31s %63s %159s%n", g.name, g.subscription, g.path, &end) != 3 || v[end] ||
	    g.path[0] != '/') {
		return false;
	}
	for (size_t i = 0; i < c->n_gateways; i++) {
		if (strcasecmp(c->gateways[i].name, g.name) == 0 ||
		    strcmp(c->gateways[i].path, g.path) == 0) {
			return false;
		}
	}
	c->gateways[c->n_gateways++] = g;
	return true;
}

/* "ADDRESS:PORT ADDRESS:PORT" */
static bool set_target(struct config *c, const char *v)
{
	const struct ip_prefix link_local = { { 4, { 169, 254 } }, 16 };
	struct plan_target t = { 0 };
	struct err e = ERR_INIT;
	char from[64], to[64];
	int end = 0;

	if (c->n_targets == CONFIG_TARGETS_MAX || sscanf(v, "%63s %63s%n", from, to, &end) != 2 ||
	    v[end] || ip_endpoint_parse(from, 0, &t.from, &t.port, &e) < 0 ||
	    ip_endpoint_parse(to, 0, &t.to, &t.to_port, &e) < 0 || t.from.family != 4 ||
	    t.to.family != 4 || !ip_prefix_contains(&link_local, &t.from) ||
	    ip_prefix_contains(&link_local, &t.to)) {
		return false;
	}
	c->targets[c->n_targets++] = t;
	return true;
}

/* learn.microsoft.com, "Virtual network service tags" and "What is IP address 168.63.129.16?". */
static void builtin_tags(struct config *c)
{
	static const struct {
		const char *name, *prefix;
	} tags[] = {
		{ "AzureLoadBalancer", "168.63.129.16/32" },
		{ "AzureLoadBalancer", "fd53:a83f:8110::10/128" },
		{ "AzurePlatformDNS", "168.63.129.16/32" },
		{ "AzurePlatformDNS", "fd53:a83f:8110::10/128" },
		{ "AzurePlatformIMDS", "169.254.169.254/32" },
		{ "AzurePlatformLKM", "168.63.129.16/32" },
	};
	struct err e = ERR_INIT;
	struct ip_prefix p;

	for (size_t i = 0; i < ARRAY_N(tags); i++) {
		if (ip_prefix_parse(tags[i].prefix, &p, &e) == 0) {
			(void)add_tag(c, tags[i].name, &p);
		}
	}
}

static bool set_value(struct config *c, const struct key *k, const char *v)
{
	char *to = (char *)c + k->offset;
	struct err e = ERR_INIT;
	struct ip ip;
	uint16_t port;

	switch (k->kind) {
	case KIND_NUMBER:
		return set_number(k, v, (int64_t *)(void *)to);
	case KIND_USER: {
		const struct passwd *pw = isdigit((unsigned char)*v) ? NULL : getpwnam(v);

		if (pw && pw->pw_uid > 0) {
			*(int64_t *)(void *)to = pw->pw_uid;
			return true;
		}
		return set_number(k, v, (int64_t *)(void *)to);
	}
	case KIND_POOL:
		return !*v || set_pool(c, v);
	case KIND_RETURN:
		c->return_mux = strcmp(v, "mux") == 0;
		return c->return_mux || strcmp(v, "direct") == 0;
	case KIND_TAG:
		return !*v || set_tag(c, v);
	case KIND_GATEWAY:
		return !*v || set_gateway(c, v);
	case KIND_TARGET:
		return !*v || set_target(c, v);
	case KIND_KEY:
		return !*v || config_dns_key(c, v);
	case KIND_ZONE_FILE:
		return !*v || config_dns_zone(c, v);
	case KIND_XDP:
		return !*v || config_dns_xdp(c, v);
	case KIND_SECONDARY:
		return !*v || config_dns_secondary(c, v);
	case KIND_IP:
		if (*v && ip_parse(v, &ip, &e) < 0) {
			return false;
		}
		break;
	case KIND_ENDPOINT:
		if (*v && ip_endpoint_parse(v, 0, &ip, &port, &e) < 0) {
			return false;
		}
		break;
	case KIND_TEXT:
		break;
	}
	return (size_t)snprintf(to, k->size, "%s", v) < k->size && !strchr(v, ' ');
}

static char *trim(char *s)
{
	while (isspace((unsigned char)*s)) {
		s++;
	}
	for (size_t n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--) {
		s[n - 1] = '\0';
	}
	return s;
}

static int set_line(struct config *c, char *line, const char *path, int number, struct err *e)
{
	char *eq = strchr(line, '='), words[100];

	if (!eq) {
		return err_set(e, ERR_INVALID, 0, "%s:%d: '%.60s' is not 'key = value'", path,
		               number, line);
	}
	*eq = '\0';
	const char *name = trim(line), *value = trim(eq + 1);
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		if (strcmp(keys[i].name, name) != 0) {
			continue;
		}
		if (!set_value(c, &keys[i], value)) {
			return err_set(e, ERR_INVALID, 0, "%s:%d: %s = '%.60s': accepted is %s",
			               path, number, name, value,
			               accepted(&keys[i], words, sizeof(words)));
		}
		return 0;
	}
	return err_set(e, ERR_INVALID, 0,
	               "%s:%d: unknown key '%.60s'; netd --help-config lists them", path, number,
	               name);
}

static int check(struct config *c, const char *path, struct err *e)
{
	if (c->n_pools == 0) { /* the host alone reaches it */
		(void)set_pool(c, "onlink 198.18.0.0/24");
		snprintf(c->host4, sizeof(c->host4), "198.18.0.1");
		c->pool_default = true;
	}
	for (int64_t i = 0; i < c->n_pools; i++) {
		for (int64_t j = 0; j < i; j++) {
			if (ip_prefix_overlaps(&c->pools[i], &c->pools[j])) {
				return err_set(e, ERR_INVALID, 0, "%s: pools %d and %d overlap",
				               path, (int)j + 1, (int)i + 1);
			}
		}
	}
	size_t n = strlen(c->run_dir);
	for (size_t i = 0; i < c->n_gateways; i++) {
		if (strncmp(c->gateways[i].path, c->run_dir, n) == 0 &&
		    c->gateways[i].path[n] == '/') {
			return err_set(e, ERR_INVALID, 0,
			               "%s: gateway %s: %.80s is in run-dir, where the plane's own "
			               "namespaces are",
			               path, c->gateways[i].name, c->gateways[i].path);
		}
	}
	bool etcd = strcmp(c->store, "etcd") == 0;
	if (strcmp(c->placement, "near") != 0 && strcmp(c->placement, "even") != 0) {
		return err_set(e, ERR_INVALID, 0,
		               "%s: placement = '%.15s': accepted is near or even", path,
		               c->placement);
	}
	if (!etcd && strcmp(c->store, "sqlite") != 0) {
		return err_set(e, ERR_INVALID, 0, "%s: store = '%.15s': accepted is sqlite or etcd",
		               path, c->store);
	}
	if (etcd && !c->etcd_endpoints[0]) {
		return err_set(e, ERR_INVALID, 0, "%s: store = etcd needs etcd-endpoints", path);
	}
	if (!c->etcd_cert[0] != !c->etcd_key[0] || !c->etcd_user[0] != !c->etcd_password[0]) {
		return err_set(e, ERR_INVALID, 0,
		               "%s: etcd-cert and etcd-key go together, and etcd-user and "
		               "etcd-password-file",
		               path);
	}
	if (!c->node[0] && gethostname(c->node, sizeof(c->node) - 1) < 0) {
		return err_set(e, ERR_INVALID, errno, "%s: node-name", path);
	}
	if (c->listen_api[0] && (!c->tls_cert[0] || !c->tls_key[0])) {
		return err_set(e, ERR_INVALID, 0, "%s: listen-api needs tls-cert and tls-key",
		               path);
	}
	if (c->listen_session[0] && (!c->tls_cert[0] || !c->tls_key[0])) {
		return err_set(e, ERR_INVALID, 0, "%s: listen-session needs tls-cert and tls-key",
		               path);
	}
	if (!config_dns_catalog(c)) {
		return err_set(e, ERR_INVALID, 0,
		               "%s: dns-catalog = '%.60s': accepted is a name of its own, like "
		               "catalog.example, which no dns-zone has",
		               path, c->dns_catalog);
	}
	if (c->n_xdp > 0 && c->query_log[0]) {
		return err_set(e, ERR_INVALID, 0,
		               "%s: dns-xdp answers in the kernel, which writes no dns-query-log: "
		               "leave out one of them",
		               path);
	}
	if (c->n_xdp > 0 && !c->bpf) {
		return err_set(e, ERR_INVALID, 0, "%s: dns-xdp needs bpf = 1", path);
	}
	return 0;
}

int config_read(const char *path, struct config *to, struct err *e)
{
	char line[512];
	int number = 0, rc = 0;

	memset(to, 0, sizeof(*to));
	to->path = path;
	builtin_tags(to);
	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		(void)set_value(to, &keys[i], keys[i].preset);
	}
	FILE *f = path ? fopen(path, "re") : NULL;
	if (path && !f) {
		return err_set(e, ERR_INVALID, errno, "open %s", path);
	}
	while (rc == 0 && f && fgets(line, sizeof(line), f)) {
		char *text = trim(line);

		number++;
		if (*text && *text != '#') {
			rc = set_line(to, text, path, number, e);
		}
	}
	if (f) {
		fclose(f);
	}
	return rc < 0 ? -1 : check(to, path ? path : "defaults", e);
}

void config_help(void)
{
	char words[100];

	for (size_t i = 0; i < ARRAY_N(keys); i++) {
		printf("# %s; %s\n%s = %s\n", keys[i].help,
		       accepted(&keys[i], words, sizeof(words)), keys[i].name, keys[i].preset);
	}
}
