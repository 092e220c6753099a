/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What the control role knows: resources (a sorted table, mirrored in the store), VNets and
 * subnets in use, groups on their way through life, operations. Shared by the files of control:
 * table.c (resources), network.c (addresses, plans), vnet.c (VNets), group.c (life of a group),
 * change.c (PUT and DELETE), view.c (GET), control.c (wiring). One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/clock.h"
#include "lib/kernel/kobj.h"
#include "lib/model/model.h"
#include "lib/store/store.h"
#include "netd/role.h"
#include "vnet/ipam.h"

struct group;
struct subnet;

struct resource {
	char *key, *id, *name; /* key: the id in lower case */
	const struct model_type *type;
	json_t *doc;    /* the user's document, without secrets */
	json_t *status; /* what the service adds; numbers and addresses it was given */
	uint64_t etag;  /* counts changes of the document */
	bool deleting;
	size_t typed;              /* its place among those of its type */
	struct group *group;       /* container groups only */
	struct balancer *balancer; /* load balancers only */
	struct ngroup *ngroup;     /* NGroups only */
	struct zone *zone;         /* private DNS zones only */
};

struct plane {
	const struct config *config;
	struct loop *loop;
	struct store *store;
	struct channel *to_main, *engine, *dns, *probe, *session;
	bool engine_synced, signs; /* signs: the store holds the key of operation ids */
	struct resource **v;       /* sorted by key */
	size_t n, cap;
	uint64_t changes; /* resources that came or went */
	uint32_t next_serial, serial_ceiling;
	struct ipam pools[CONFIG_POOLS_MAX];
	char *stopped; /* why changes are refused, NULL when they are not */
	enum err_kind stopped_kind;
	bool blind; /* the store cannot be read: engine and dns keep what they have */
	uint64_t requests;
	int64_t groups; /* container groups, and the cpu and memory (GB) they ask for */
	double used[2];
};
extern struct plane plane;

/* ---- tenant.c ---- */
struct tenant {
	char *id;        /* of the subscription */
	uint32_t number; /* from 1, while control runs */
	unsigned groups, addresses, labels, records;
	uint32_t platform[2]; /* VNet and subnet of groups that name none; 0 before the first */
	int64_t asked_ms;     /* token bucket of its requests */
	double left;
};
/* The subscription of a resource id or key, or one by its bare id; made when new. */
struct tenant *tenant_of(const char *id);
struct tenant *tenant_at(uint32_t number);
/* One request more; false: over the limit. */
bool tenant_may_ask(struct tenant *t, int64_t now_ms);
/* Is there room for the group `doc` in place of `was` (NULL: a new one)? Limits of the
 * subscription and of the node. */
int tenant_room(const char *id, const json_t *was, const json_t *doc, struct err *e);
/* Adds sign times the cpu and memory (GB) that a group's document asks for. */
void tenant_amounts(const json_t *doc, int sign, double to[2]);
/* The group's document `was` became `doc`; NULL: there was, or is, none. */
void tenant_count(const char *id, const json_t *was, const json_t *doc);

/* ---- table.c ---- */
struct resource *table_get(const char *key);
/* First resource at or after a key; walk with table_at(i). */
size_t table_from(const char *key);
struct resource *table_at(size_t i); /* NULL at the end */
/* The i-th of a type, by its whole name, in no order; NULL: no more. */
struct resource *table_typed(const char *name, size_t i);
/* Makes a resource with an empty status; takes doc. */
struct resource *table_add(const char *id, const struct model_type *type, json_t *doc);
void table_remove(struct resource *r);
/* It has another id from now on; rows are the caller's. */
void table_rename(struct resource *r, const char *id);
/* Row for the store, malloc'ed; and back (store_load's callback). */
char *table_row(const struct resource *r);
int table_load(void *arg, const char *key, uint64_t rev, const char *value);
/* Next number, never given before; *ops gets the row that reserves it when one is needed. */
uint32_t table_serial(void);
/* The number that the resource's kernel objects are named by; it gets one, and its row is stored,
 * when it has none. Not for container groups. */
uint32_t table_number(struct resource *r);
struct resource *table_numbered(uint32_t n); /* NULL: nobody has it */
/* Stores the resources' rows (status and document) as one transaction. */
void table_save(struct resource *const *rs, size_t n,
                void (*done)(void *arg, const struct err *e, uint64_t rev), void *arg);
char *table_key(const char *id); /* lower case copy */
/* The address at a key of a status or document; family 0 when there is none. */
struct ip table_ip(const json_t *doc, const char *path);
/* "/subscriptions/S/resourceGroups/G" of any id below it; "" when it has none. */
void table_group_key(const char *id, char *to, size_t size);

/* ---- network.c, vnet.c, names.c, pools.c ---- */
void network_start(void);
/* Gives the group its numbers and addresses and writes them into its status; `vnet` gets the VNet's
 * resource when that has to be stored too. */
int network_attach(struct resource *group, struct resource **vnet, struct err *e);
/* Marks what a loaded group has as taken. */
void network_restore(struct resource *group);
void network_release(struct resource *group);
/* The same for a public address, and for the egress address that a VNet keeps. */
void network_restore_public(const struct resource *r);
/* May this be the document of the VNet `r` (NULL: a new one, with that id)? */
int network_vnet_check(const struct resource *r, const char *id, const json_t *doc, struct err *e);
/* May one more group be in it, as far as addresses go? */
bool network_subnet_room(const struct resource *vnet, const char *subnet);
bool network_subnet_used(const struct resource *vnet, const char *subnet);
unsigned network_subnet_groups(const struct resource *vnet, const char *subnet); /* how many */
/* The document of the VNet's subnet of that name, in any case; NULL: none. */
json_t *vnet_subnet(const struct resource *vnet, const char *name);
/* Is the id that of a subnet that container groups of the subscription may be in? */
int vnet_subnet_check(const char *from, const char *id, const char *at, struct err *e);
/* An address in the VNet's subnet of that name, which is held (vnet_hold()): `want`, or (family 0, its
 * family in `family`) any free one; and back. */
int vnet_address_take(struct resource *vnet, const char *subnet, const struct ip *want,
                      uint8_t family, struct ip *ret, struct err *e);
void vnet_address_give(struct resource *vnet, const char *subnet, const struct ip *ip);
/* Prefixes of a subnet's document, at most `max`. */
size_t vnet_subnet_prefixes(const json_t *subnet, struct ip_prefix *to, size_t max);
/* A group in the VNet whose key does not begin with `except` (NULL: any); NULL none. */
const struct resource *network_vnet_user(const struct resource *vnet, const char *except);
/* The subnet that a group's document names by its id, and its VNet, which has numbers then. */
int network_vnet_subnet(const struct resource *group, const char *id, struct resource **vnet,
                        struct subnet **ret, struct err *e);
/* The resource that the VNet's subnet of that number names as its `what` (a property with an id). */
struct resource *vnet_subnet_ref(const struct resource *vnet, uint32_t subnet, const char *what);
/* The property by which subnets refer to such a resource; NULL: they do not. */
const char *vnet_property(const struct resource *r);
/* The next live VNet, from the *i-th subnet on (0 at first), one of whose live subnets refers to r by that property: its number. 0: no more. */
uint32_t vnet_using(const struct resource *r, const char *property, size_t *i);
/* [{"id": ...}] of all subnets that name `r` at the path; new reference. */
json_t *vnet_subnets_with(const struct resource *r, const char *path);
/* The VNet's subnet of that name is live without a group, or not any more; absent does nothing. */
void vnet_hold(struct resource *vnet, const char *subnet, bool held);
/* Idle subnets (subnet.h) end: all of that VNet, which changes; 0: those whose time is over. */
void network_idle(uint32_t vnet, int64_t now_ms);
/* A subnet that nobody needs: it goes, the VNet's last takes the router along. */
void network_subnet_gone(struct subnet *s);
/* Live subnets get the prefixes of their document. */
void vnet_ranges(struct resource *vnet);
/* The VNet's address space, at most `max` prefixes. */
size_t vnet_space(const struct resource *vnet, struct ip_prefix *to, size_t max);
/* May groups in the subnet leave by the platform's address? Not with a NAT gateway, and not where
 * defaultOutboundAccess is false. `vnet` NULL: the platform's own. */
bool vnet_default_outbound(const struct resource *vnet, uint32_t subnet);
/* The group that has the private address in the VNet, and keeps it; NULL: nobody. And the bridge of its port. */
const struct resource *network_group_at(uint32_t vnet, const struct ip *ip);
/* Has a group the address, also one that is being deleted? */
bool network_used(uint32_t vnet, const struct ip *ip);
/* The node that the address is on, also of a group that is being deleted: what it has begun ends there. NULL: nobody has it. */
struct node *network_node_at(uint32_t vnet, const struct ip *ip);
uint32_t network_bridge_of(const struct resource *group);
/* Sends what a group's network needs to the engine: gateway, VNet, subnet (when they are not
 * there yet), then the group itself. `request` comes back with the group's answer. */
void network_send_group(const struct resource *group, uint64_t request);
/* What other nodes than its own have of it: ways there, or the part of the home and of branches. */
void network_send_ways(const struct resource *group);
/* The same of all groups of a VNet; 0: of all VNets; group_move.c. */
void group_ways(uint32_t vnet);
/* It is on its node (status "node"), or not any more, for all that counts groups. True: it is the VNet's first there, or was the last. */
bool network_place(const struct resource *group, bool there);
/* Its node; NULL: it was removed. */
struct node *network_node(const struct resource *group);
void network_drop_group(const struct resource *group, uint64_t request);
/* A spare (spare.h): sends its plan; takes a number's owner away; one port less in a bridge, which goes with its
 * last unless it is the subnet's own. */
void network_send_spare(const struct subnet *s, uint32_t spare, uint32_t bridge, uint64_t request);
void network_drop_number(uint32_t vnet, uint32_t n);
void network_port_give(struct subnet *s, uint32_t bridge);
/* Public address for a publicIPAddresses resource. */
int network_public(uint8_t family, uint32_t tenant, struct ip *ret, struct err *e);
void network_public_free(const struct ip *ip, uint32_t tenant);
void network_public_mark(const struct ip *ip, uint32_t tenant); /* taken, by a loaded resource */
void network_public_rest(const struct ip *ip, uint32_t tenant, int64_t until_ms);
/* The label's full name by its scope, into status.fqdn; ERR_INVALID DnsNameLabelUnavailable. */
int network_name(struct resource *r, const char *label, const char *scope, const char *suffix,
                 struct err *e);
/* First 12 characters of a label's scope hash; "" for Unsecure. `unique`: in the tenant's place for
 * Noreuse. */
void network_scope_hash(const char *label, const char *scope, const char *tenant_id,
                        const char *unique, const struct model_id *id, char to[static 13]);
void network_fqdn(const char *label, const char *hash, const char *suffix, char to[static 400]);
/* Gives the resource's name up: it rests. */
void network_unname(struct resource *r);
void network_name_restore(struct resource *r);
/* Addresses and labels at rest, in the store as rest/WHAT. */
void network_rest(const char *what, uint32_t tenant);
void network_rest_load(const char *what, const json_t *row);
void network_rest_sweep(void); /* forgets those whose time is over */
/* Publishes the name and address that a public address has. */
void network_publish_public(const struct resource *r, bool there);

/* The node that the i-th pool of the configuration comes in by, and with `return` mux leaves by: control's for what is on its link, of
 * those that it is said to be at the first that has an uplink and is neither lost nor drained. NULL: any. As of pools_place(), which
 * is called when nodes come, go, or are drained. True: one is at another than before, so gateways are to be planned again. */
const struct node *pool_node(size_t i);
bool pools_place(void);
/* A block of a public pool; and marking one that a loaded resource has. */
int network_public_block(uint8_t family, uint8_t len, uint32_t tenant, struct ip_prefix *ret,
                         struct err *e);
void network_public_mark_block(const struct ip_prefix *block, uint32_t tenant);

/* ---- prefix.c ---- */
/* The resource of that type that an id in `from`'s document names; NULL when it is absent or
 * another subscription's (InvalidResourceReference at `at`). */
struct resource *reference(const struct resource *from, const char *id, const char *type,
                           const char *at, struct err *e);
int reference_absent(const char *id, const struct resource *from, const char *at, struct err *e);
/* A publicIPPrefixes resource gets its block, has it again after a start, gives it back. */
int prefix_take(struct resource *r, struct err *e);
void prefix_restore(struct resource *r);
void prefix_give(const struct resource *r);
/* An address of the prefix that a publicIPAddresses document names. */
int prefix_address(struct resource *pip, struct ip *ret, struct err *e);
/* The same of the prefix with that id, for another user, which has it at pub4 or pub6. */
int prefix_address_for(struct resource *user, const char *prefix, const char *at, struct ip *ret,
                       struct err *e);
void prefix_restore_user(const struct resource *pip);
bool prefix_address_free(const struct resource *pip); /* false: it came from a pool */
/* Who uses this prefix or profile, leaving out keys that begin with `except` (NULL: none). */
const struct resource *prefix_user(const struct resource *r, const char *except);
/* May it go? */
int prefix_unused(const struct resource *r, struct err *e);
/* The same for what subnets and rules name. */
int reference_unused(const struct resource *r, struct err *e);
/* The subnet's id that a group's legacy networkProfile names; NULL with *e set. */
const char *profile_subnet(const struct resource *group, struct err *e);

/* ---- group.c ---- */
/* A group's document was accepted (already in the table): store it, attach it, hand it over.
 * `full` is the document with its secrets (taken). reply is called once it is durable. */
void group_apply(struct resource *r, json_t *full, struct resource *vnet,
                 void (*reply)(void *arg, const struct err *e), void *arg);
/* A group that runs was given another id (`was`: its key until now) and document: stored, and the runtime
 * is told; nothing is made, nothing starts. */
void group_adopt(struct resource *r, const char *was, void (*reply)(void *arg, const struct err *e),
                 void *arg);
void group_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg);
/* fn(arg, r, e) is called once when the group's present operation has ended: it runs, has failed (e), or is gone (r->deleting; r
 * is valid until fn returns). */
void group_wait(struct resource *r, void (*fn)(void *arg, struct resource *r, const struct err *e),
                void *arg);
/* The next attach of a group in a runtime's namespace (guest.h) is by this descriptor; taken. */
void group_give_namespace(struct resource *r, int fd);
/* Asks the engine whether all of the group's network is there; cni_checked() is told. `fd`, taken: its namespace. */
void group_check_network(struct resource *r, int fd);
void group_load(struct resource *r);
/* The name it had is another's to have. */
void group_renamed(struct resource *r, const char *was);
/* Start, restart or stop; reply is called once it is durable. */
void group_action(struct resource *r, const char *action,
                  void (*reply)(void *arg, const struct err *e), void *arg);
struct node;
void group_engine_done(struct node *n, uint64_t request, bool ok, const char *text, int fd);
void group_retry(int64_t now_ms);       /* attaches that failed, when their time has come */
void group_engine_up(struct node *n);   /* its engine is there: a list begins, */
void group_engine_list(struct node *n); /* and is said whole */
void group_dns_done(uint64_t request);
void group_runtime_up(struct node *n);
void group_runtime_message(struct node *n, const json_t *m);
void group_runtime_gone(struct node *n);
const char *group_state(const struct resource *r); /* provisioningState */
void group_event(struct resource *r, const char *name, const char *message);
/* Is it ready, and to stay? */
bool group_takes_flows(const struct resource *r);
/* Takes it out of its load balancers until its document is put anew; done(r) once its flows have ended or
 * their time is over. */
void group_withdraw(struct resource *r, void (*done)(struct resource *r));
/* It stays as it is after all. */
void group_restore_flows(struct resource *r);

/* ---- operation.c ---- */
bool operation_secret(const char *hex); /* 64 digits, from the store; false: is none */
/* Begins one on the resource, its id into `to`. */
void operation_begin(const char *key, char to[static 37]);
void operation_end(const char *key, const struct err *e); /* e NULL: succeeded */
/* Its state as JSON, or NULL when that subscription was never given it. New reference. */
json_t *operation_get(const char *id, const char *subscription);

/* ---- change.c ---- */
struct change {
	struct resource *r;    /* made or changed */
	bool created, pending; /* pending: the reply comes later */
	/* Given: goes into a container group's status as it is stored (NULL: nothing; null members go). */
	json_t *status;
	const int *
		ns_fd; /* given: descriptor of the namespace that a runtime made (guest.h); taken */
};
/* What check_group and the like say of a container group's document that nobody has put yet. */
int change_try_group(const char *name, json_t *doc, struct err *e);
/* PUT of a document (taken). */
int change_put(const struct model_id *id, const char *full_id, json_t *doc,
               void (*reply)(void *arg, const struct err *e), void *arg, struct change *ret,
               struct err *e);
/* PATCH, of tags alone: containers run on. */
int change_tags(struct resource *r, const json_t *tags,
                void (*reply)(void *arg, const struct err *e), void *arg, struct err *e);
/* A part of the resource that has a path of its own, by its type ("subnets") and name. */
int change_delete_child(struct resource *r, const char *type, const char *name,
                        void (*reply)(void *arg, const struct err *e), void *arg, struct err *e);
int change_delete(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg,
                  struct err *e);
/* It goes with what it belongs to; nobody waits. */
void change_forget(struct resource *r);
/* A resource that waited for what it holds goes; its operation ends. */
void change_remove(struct resource *r);
/* Waits for what is stored as it is. */
void change_save(struct resource *r, void (*reply)(void *arg, const struct err *e), void *arg);
/* Who waits for a transaction: is answered when it has ended, or when nobody knows whether it will be executed. */
struct caller_waits {
	LIST_ENTRY(caller_waits) link;
	void (*reply)(void *arg, const struct err *e);
	void *arg;
	bool told;
};
void caller_waits_add(struct caller_waits *w, void (*reply)(void *arg, const struct err *e),
                      void *arg);
void caller_waits_end(struct caller_waits *w, const struct err *e); /* its memory is the caller's */
/* The store cannot be reached, as the error says: what one who waits is told. */
void caller_unknown(struct err *e);
/* All are told so. */
void callers_unknown(const struct err *e);

/* ---- view.c ---- */
/* What GET returns; new reference. */
json_t *view_resource(const struct resource *r);
json_t *view_subscription(const char *id);
/* A part of the resource that has a path of its own (subnets, securityRules); NULL: absent. */
json_t *view_child(const struct resource *r, const char *type, const char *name);

/* ---- control.c ---- */
/* Every transaction ends here. One that failed stops all changes: memory is ahead of the disk, so
 * control answers who waits and starts again from what is stored. */
void control_stored(const struct err *e);
/* The same for a transaction that nobody waits for. */
void control_saved(void *arg, const struct err *e, uint64_t rev);
int control_refuse(struct err *e); /* why changes are refused; -1 */
/* Counters as engine (0), dns (1) or probe (2) told them last, and how long ago that was; -1 never. */
const char *control_metrics(int i, int64_t *age_ms);

void api_start(const int fds[FD_N]);
