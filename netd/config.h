/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The configuration file: "key = value" lines, # comments. One table (config.c) gives every
 * key's kind, range, default and help; parser, error texts and `netd --help-config` read it.
 */
#pragma once

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "vnet/plan.h"

#define CONFIG_POOLS_MAX 16

/* A service tag of security rules, as the administrator's table has it. */
struct config_tag {
	char name[64];
	struct ip_prefix *prefixes;
	size_t n;
};

/* A namespace that an administrator provides: what a connection of a virtual network gateway leads to. */
struct config_gateway {
	char name[32], subscription[64]; /* whose connections may name it; "*": anybody's */
	char path[160];
};
#define CONFIG_GATEWAYS_MAX 64

#define CONFIG_TARGETS_MAX 8

#define CONFIG_KEYS_MAX        8
#define CONFIG_SECONDARIES_MAX 16
/* A key that transfers of zones are signed with (TSIG). */
struct config_key {
	char name[200], algorithm[16];
	uint8_t secret[128];
	size_t secret_len;
};
/* Who may have the public zones; without a key, by the address. */
struct config_secondary {
	struct ip ip;
	uint16_t port;
	char key[200];
};

#define CONFIG_ZONE_FILES_MAX 64
/* Records of a public zone that the administrator gives. */
struct config_zone_file {
	char origin[256], path[160];
};

#define CONFIG_XDP_MAX 16
/* A device at which hot names are answered in the kernel. */
struct config_xdp {
	char dev[16];
	int mode; /* enum knames_mode */
};

struct config {
	const char *path; /* of the file; NULL: none */
	char state_dir[96], run_dir[80], region[64], dns_suffix[128], ip_suffix[128];
	char vnet_suffix[128], dns_id[64], dns_catalog[256], query_log[160];
	char cni_subscriptions[400];
	uint64_t nat_by_node;
	char listen_dns[64], listen_api[64], listen_session[64], listen_nodes[64], tls_cert[160],
		tls_key[160];
	struct config_xdp xdp[CONFIG_XDP_MAX];
	size_t n_xdp;
	int64_t bpf, xdp_names, dns_workers, dns_rate, dns_group_rate, resolver_idle_s, dnssec,
		zsk_life_s, dnssec_spread_s;
	char store[16], placement[16], etcd_endpoints[512], etcd_ca[160], etcd_cert[160],
		etcd_key[160], etcd_user[64], etcd_password[160], etcd_prefix[96], node[64],
		node_address[IP_TEXT];
	char uplink[16], hop4[IP_TEXT], hop6[IP_TEXT], host4[IP_TEXT], host6[IP_TEXT];
	char tenant_id[64];
	struct ip_prefix pools[CONFIG_POOLS_MAX];
	bool pool_onlink[CONFIG_POOLS_MAX], pool_default; /* pool_default: none was configured */
	char pool_at[CONFIG_POOLS_MAX]
		    [256]; /* of routed ones: nodes, the first that is there has it; "": any */
	bool return_mux;
	int64_t n_pools, mtu, ttl_s, rest_s, user_control, user_dns, user_probe, user_resolver,
		user_session, session_idle_s, session_life_s, max_groups, log_level, flows;
	struct config_tag *tags; /* the built-in ones first */
	size_t n_tags;
	struct config_gateway gateways[CONFIG_GATEWAYS_MAX];
	size_t n_gateways;
	struct config_key keys[CONFIG_KEYS_MAX];
	size_t n_keys;
	struct config_secondary secondaries[CONFIG_SECONDARIES_MAX];
	size_t n_secondaries;
	struct config_zone_file zone_files[CONFIG_ZONE_FILES_MAX];
	size_t n_zone_files;
	struct plan_target targets[CONFIG_TARGETS_MAX];
	size_t n_targets;
	int64_t node_cpu, node_memory, node_cert_s, withdraw_s, limit_groups, limit_addresses,
		limit_labels, limit_records, limit_requests, usage_days, pool_links;
};

/* Reads the file (NULL: defaults only). ERR_INVALID names file, line, key and what is accepted. */
int config_read(const char *path, struct config *to, struct err *e)
	__attribute__((warn_unused_result));
/* The service tag of that name in any case; NULL: none. */
const struct config_tag *config_tag(const struct config *c, const char *name);
/* ---- config_dns.c ---- */
bool config_dns_key(struct config *c, const char *v);
bool config_dns_zone(struct config *c, const char *v);
bool config_dns_catalog(const struct config *c); /* is it as it may be? */
bool config_dns_xdp(struct config *c, const char *v);
bool config_dns_secondary(struct config *c, const char *v);
/* Prints every key with default, range and help to standard output. */
void config_help(void);
