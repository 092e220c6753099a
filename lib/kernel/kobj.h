/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Kernel objects as plain data: what plans produce, messages carry, diffs compare and the kernel
 * is asked for. One flat struct, zero where a kind does not use a field, so that the key part and
 * the value part can each be compared byte by byte. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"

#define KOBJ_NAME 16 /* IFNAMSIZ */

/* Namespaces by number. Groups and VNets take theirs from the store's counter, never twice. */
#define KOBJ_NS_HOST    0u
#define KOBJ_NS_GATEWAY 1u
#define KOBJ_NS_FIRST   16u
#define KOBJ_NS_GIVEN   0x7f000000u /* and up: namespaces that an administrator provides */
#define KOBJ_GIVEN_MAX  64u

/* In the order in which they are added; removal goes backwards. */
enum kobj_kind {
	KOBJ_NETNS,
	KOBJ_LINK,
	KOBJ_ADDR,
	KOBJ_NEIGH,
	KOBJ_FDB,
	KOBJ_ROUTE,
	KOBJ_RULE,
	KOBJ_FLOAT, /* a frontend's address at a group's port: floating.h */
	KOBJ_RATE,  /* limits of a group's port: rate.h */
	KOBJ_TAP,   /* in a group's namespace, for virtual machines: tap.h */
	KOBJ_RULESET,
	KOBJ_SET, /* what follows lives in a VNet's ruleset, and is made by plans: sets and maps */
	KOBJ_COUNTER, /* of a security rule */
	KOBJ_TIMEOUT, /* of idle TCP connections; kobj_timeout_name() */
	KOBJ_CHAIN,
	KOBJ_FILTER, /* rule of such a chain */
	KOBJ_ELEM,   /* element of one of the ruleset's own sets (enum kobj_set) */
	KOBJ_ITEM,   /* element of a KOBJ_SET */
	/* No kernel's, and no engine is told: of which parts for other nodes are planned. `sub` is KOBJ_SET_SLOT4 or 6: a backend that
	 * a slot led to before, on the node of `kmac`; else as an element of that. */
	KOBJ_NOTE,
	KOBJ_KIND_N,
};

/* Not the plane's own: there it has one device, netd0, and what is on it; the rest is others'. */
static inline bool kobj_ns_foreign(uint32_t ns)
{
	return ns == KOBJ_NS_HOST || ns >= KOBJ_NS_GIVEN;
}

enum kobj_netns {
	KOBJ_NETNS_GATEWAY = 1,
	KOBJ_NETNS_VNET,
	KOBJ_NETNS_GROUP,
	KOBJ_NETNS_GIVEN, /* never made, never removed, no object */
	KOBJ_NETNS_GUEST, /* of a runtime's making: in it only the end of a group's link is ours, "n" and the group's number */
};

enum kobj_link {
	KOBJ_LINK_LO = 1,
	KOBJ_LINK_BRIDGE,
	KOBJ_LINK_VETH, /* the outer end; making it makes both ends */
	KOBJ_LINK_PEER, /* the inner end: repaired, but made only with its outer end */
	/* Of a VNet, to its routers on other nodes: `table` is the VNI, `addr` this node's address in the host's namespace, where its
	 * packets go out and come in (UDP, port 4789; RFC 7348). Nothing is learned; KOBJ_FDB says where a MAC is. */
	KOBJ_LINK_VXLAN,
};
#define KOBJ_VXLAN_PORT 4789u
#define KOBJ_NODES_VNI \
	1u /* of the gateways' link; those of VNets are their numbers, which begin at KOBJ_NS_FIRST */

enum kobj_route {
	KOBJ_ROUTE_UNICAST = 1,
	KOBJ_ROUTE_LINK,
	KOBJ_ROUTE_UNREACHABLE,
	KOBJ_ROUTE_BLACKHOLE,
	KOBJ_ROUTE_THROW, /* go on with the next routing rule */
};

/* Routing rules of the router and gateway namespaces: what no chain has marked is dropped. */
enum kobj_rule {
	KOBJ_RULE_LOCAL = 1, /* iif lo lookup main */
	KOBJ_RULE_MARKED,    /* fwmark 0x3/0x3 goto KOBJ_PREF_START */
	KOBJ_RULE_BLACKHOLE, /* everything else */
	KOBJ_RULE_START,     /* nop */
	KOBJ_RULE_TABLE, /* iif `dev` [from `addr`/`plen`] lookup `table`: of a subnet or peering */
	KOBJ_RULE_SOURCE, /* iif lo from `addr` lookup `table`: what the router itself asks */
	KOBJ_RULE_MAIN,   /* lookup main */
	/* Of a VNet on several nodes: what a mark (kobj_node_mark()) sends to another node, and what answers by this node's own gateway. */
	KOBJ_RULE_PLAIN,  /* no such mark: goto KOBJ_PREF_PLAIN */
	KOBJ_RULE_NODE,   /* the mark of the node of `table` (KOBJ_TABLE_NODES): lookup `table` */
	KOBJ_RULE_ON,     /* nop */
	KOBJ_RULE_SAID,   /* iif lo, KOBJ_MARK_DIRECT: lookup `table` */
	KOBJ_RULE_DIRECT, /* the same of what is forwarded, after the tables of subnets */
	/* Of the gateway: public sources that leave by another node's uplink. */
	KOBJ_RULE_LINKED, /* iif vx3 lookup main: what another node sent is not sent on */
	KOBJ_RULE_RETURN, /* from `addr`/`plen` lookup `table` (KOBJ_TABLE_NODES) */
	KOBJ_RULE_FOREIGN, /* a stranger's, found: protocol and action in `addr`, preference in `table` */
};
#define KOBJ_PREF_SOURCE 5u
#define KOBJ_PREF_START  40u
#define KOBJ_PREF_TABLE  50u
#define KOBJ_PREF_MAIN   100u
#define KOBJ_PREF_PLAIN  49u
#define KOBJ_TABLE_BASE  1000u /* routing tables are numbered from here: that of subnet 17 is 1017 */
#define KOBJ_TABLE_NODES \
	0x7f100000u /* and from here: by a node's router, its number added; 0: by this one's gateway */

/* Marks of packets in a VNet on several nodes, as routing rules have them. */
#define KOBJ_MARK_NODE   0x7fff0000u /* number of the node that it goes to as it is */
#define KOBJ_MARK_DIRECT 0x20u       /* answers what came in by a public address */
#define KOBJ_MARK_PASSES 0x3u        /* guard and security rules were asked */
/* Of what goes to that node; 0: none, it stays. */
static inline uint32_t kobj_node_mark(uint32_t node)
{
	return node ? node << 16 | KOBJ_MARK_PASSES : 0;
}

enum kobj_ruleset {
	KOBJ_RULESET_VNET = 1,
	KOBJ_RULESET_GATEWAY,
	KOBJ_RULESET_UPLINK
};

enum kobj_set {
	KOBJ_SET_PORT4, /* bridge guard: port . MAC . source */
	KOBJ_SET_PORT6,
	KOBJ_SET_FORWARD, /* bridge guard: port . MAC that may send what others sent */
	KOBJ_SET_PUB4,    /* public . protocol . port : private . port */
	KOBJ_SET_PUB6,
	KOBJ_SET_TARGET4, /* inside address . protocol . port : where it leads, a group or a target */
	KOBJ_SET_TARGET6,
	KOBJ_SET_FRONT4, /* public frontend . protocol . port : class (kobj_class()) */
	KOBJ_SET_FRONT6,
	KOBJ_SET_INNER4, /* the same of internal frontends */
	KOBJ_SET_INNER6,
	KOBJ_SET_ANY4, /* internal frontend, all protocols and ports : class */
	KOBJ_SET_ANY6,
	KOBJ_SET_SLOT4, /* frontend . protocol . port . slot : backend . port */
	KOBJ_SET_SLOT6,
	KOBJ_SET_ANYSLOT4, /* frontend . slot : backend */
	KOBJ_SET_ANYSLOT6,
	KOBJ_SET_FLOAT4, /* frontend . protocol . port : its number, when it is a floating one */
	KOBJ_SET_FLOAT6,
	KOBJ_SET_ANYFLOAT4, /* frontend, all protocols and ports : the same */
	KOBJ_SET_ANYFLOAT6,
	KOBJ_SET_IDLE,   /* minutes, as a class has them : chain that sets the timeout */
	KOBJ_SET_EMPTY4, /* frontend . protocol . port that has no backend */
	KOBJ_SET_EMPTY6,
	KOBJ_SET_RESET4, /* frontend or backend . protocol . port: unknown flows are reset */
	KOBJ_SET_RESET6,
	KOBJ_SET_SELF4, /* backends, each twice: what reaches itself by a frontend */
	KOBJ_SET_SELF6,
	KOBJ_SET_OUTTCP4, /* backend : frontend that it leaves by, by which ports */
	KOBJ_SET_OUTTCP6,
	KOBJ_SET_OUTUDP4,
	KOBJ_SET_OUTUDP6,
	KOBJ_SET_OUTANY4, /* the same of protocols without ports */
	KOBJ_SET_OUTANY6,
	KOBJ_SET_EGRESS4, /* private : its own public address */
	KOBJ_SET_EGRESS6,
	KOBJ_SET_SUBOUT4, /* prefix : address that those without another leave by */
	KOBJ_SET_SUBOUT6,
	KOBJ_SET_NATOUT4, /* prefix : chain of its NAT gateway */
	KOBJ_SET_NATOUT6,
	KOBJ_SET_NATSRC4, /* prefixes behind a NAT gateway */
	KOBJ_SET_NATSRC6,
	KOBJ_SET_NATPUB4, /* addresses of NAT gateways */
	KOBJ_SET_NATPUB6,
	KOBJ_SET_OWN4, /* public sources that may leave the VNet */
	KOBJ_SET_OWN6,
	KOBJ_SET_CLOSED4, /* prefixes that groups may not reach */
	KOBJ_SET_CLOSED6,
	KOBJ_SET_OUT, /* device : chain of the rules that what enters there is held against */
	KOBJ_SET_IN4, /* prefix : chain of the rules that what goes there is held against */
	KOBJ_SET_IN6,
	KOBJ_SET_FROM,  /* device of a peering : chain that guards what enters there */
	KOBJ_SET_VTAG4, /* what the tag VirtualNetwork stands for here */
	KOBJ_SET_VTAG6,
	KOBJ_SET_REMOTE4, /* addresses of groups on other nodes */
	KOBJ_SET_REMOTE6,
	KOBJ_SET_HELD4, /* and blocks of addresses that other nodes hold, without what of them is here */
	KOBJ_SET_HELD6,
	KOBJ_SET_APART, /* protocol (`proto`: 4 or 6) that such a VNet asks the following of; else no packet pays for them */
	KOBJ_SET_STRAIGHT4, /* on a branch: groups that have a public address of their own */
	KOBJ_SET_STRAIGHT6,
	KOBJ_SET_SPACE4, /* of a VNet on several nodes: its prefixes */
	KOBJ_SET_SPACE6,
	KOBJ_SET_SPREAD4, /* public frontend . protocol . port of a VNet on several nodes : class */
	KOBJ_SET_SPREAD6,
	KOBJ_SET_MUX4, /* address of public frontends : mark of the node that knows what else it is for, 0: this one */
	KOBJ_SET_MUX6,
	KOBJ_SET_AWAY4, /* such a frontend . protocol . port . slot : mark of its backend's node, 0: this one */
	KOBJ_SET_AWAY6,
	/* ... : mark of another node that the slot led to before; all such are in the value (kobj_former_add()). */
	KOBJ_SET_FORMER4,
	KOBJ_SET_FORMER6,
	/* Address that groups on several nodes leave by . protocol . first port of a block (KOBJ_PORT_BLOCK) : mark of the node that has it, 0:
	 * this one. */
	KOBJ_SET_BLOCK4,
	KOBJ_SET_BLOCK6,
	KOBJ_SET_HERE4, /* on a branch that has ports of such addresses: prefixes of those who leave by them */
	KOBJ_SET_HERE6,
	KOBJ_SET_DROPS4, /* addresses of groups: what was dropped is counted at each */
	KOBJ_SET_DROPS6,
	KOBJ_SET_SOURCE4, /* gateway guard: link . source */
	KOBJ_SET_SOURCE6,
	KOBJ_SET_POOL4, /* uplink: prefixes that cross to the gateway */
	KOBJ_SET_POOL6,
	KOBJ_SET_MEMBER4, /* underlay: nodes whose encapsulated packets of VNets come in */
	KOBJ_SET_MEMBER6,
	KOBJ_SET_LINKED4, /* ... and of gateways (KOBJ_NODES_VNI) */
	KOBJ_SET_LINKED6,
	KOBJ_SET_N,
};

/* How a frontend shares its flows: over how many slots, by what of a packet, and after how many idle
 * minutes a TCP connection is forgotten. In a conntrack mark until the flow has its slot. */
enum kobj_hash {
	KOBJ_HASH_FLOW, /* source and its port */
	KOBJ_HASH_SOURCE,
	KOBJ_HASH_SOURCE_PROTO,
	KOBJ_HASH_N
};
#define KOBJ_SIZES 5u
extern const uint32_t kobj_sizes[KOBJ_SIZES]; /* 64 to 65536 slots */
static inline uint32_t kobj_class(unsigned size, enum kobj_hash hash, uint32_t idle_min)
{
	return (size + KOBJ_SIZES * hash + 1) | idle_min << 8;
}
/* Number of a floating frontend, as marks have it: of connections, and of packets to a group's port. */
#define KOBJ_FLOAT_SHIFT 16u
#define KOBJ_FLOAT_MASK  0xffff0000u
#define KOBJ_CLASS_SHAPE 0xffu
#define KOBJ_CLASS_IDLE  0x7f00u

/* Ports of addresses that several nodes share are theirs by so many at a time, a power of two: who has one follows from its upper bits. */
#define KOBJ_PORT_BLOCK 512u

/* Kinds of KOBJ_SET and KOBJ_ITEM. All of intervals, so that an item is `addr` to `via`, in network
 * order: an address, a port in two bytes, a protocol in one. A map's item has the chain's name in
 * `peer`. */
enum kobj_pset {
	KOBJ_PSET_ADDR4 = 1,
	KOBJ_PSET_ADDR6,
	KOBJ_PMAP_ADDR4,
	KOBJ_PMAP_ADDR6,
	KOBJ_PMAP_PORT,
	KOBJ_PMAP_PROTO,
	KOBJ_PSET_N,
};

/* LINK flags */
#define KOBJ_ISOLATED 0x1u /* bridge port: isolated, no learning, no flooding */
#define KOBJ_SHORTCUT 0x2u /* gateway: what is only routed passes its stack by (shortcut.h) */
#define KOBJ_LEAF     0x4u /* RULESET_GATEWAY: it has no uplink, and leaves by another node's */
/* NEIGH sub */
#define KOBJ_NEIGH_PROXY 1

struct kobj {
	/* key */
	uint32_t ns;
	uint8_t kind;   /* enum kobj_kind */
	uint8_t family; /* 4, 6 or 0 */
	uint8_t plen;   /* ADDR, ROUTE, RULE_TABLE, prefix ELEM */
	uint8_t sub;    /* enum kobj_netns, _link, _route, _rule, _ruleset, _set, _pset */
	char dev[KOBJ_NAME];
	uint8_t addr[16];
	uint8_t kmac[6]; /* FDB, guard ELEM */
	uint16_t port;   /* ELEM, host order */
	uint8_t proto;   /* ELEM: 6 or 17 */
	uint8_t pad[3];
	/* ROUTE, RULE_TABLE, RULE_SOURCE: routing table; 0 main. ELEM: slot, minutes. FLOAT: number. LINK_VXLAN: VNI. */
	uint32_t table;
	/* value */
	/* ROUTE: gateway. ELEM: data. FDB with a family: of a VXLAN, the node's address. FLOAT: the group's own address. LINK: peer's MAC in the first six. RATE: bytes a second to
	 * the group and from it, 0 no limit, as two uint64_t. */
	uint8_t via[16];
	uint8_t mac[6];    /* LINK, NEIGH */
	uint16_t via_port; /* ELEM data, host order */
	uint32_t flags;    /* LINK; TAP: number of the user who may attach to it, and 1 (0: root) */
	/* LINK: interface index in its namespace; RULESET_GATEWAY: of its link to other nodes, 0 none; ELEM: class, last port, mark; RATE: bytes at once to the group;
	 * TAP: 1, or 2 when it has several queues */
	uint32_t index;
	uint32_t mtu;           /* LINK, bytes; RATE: bytes at once from the group */
	uint32_t peer_ns;       /* LINK_VETH */
	char master[KOBJ_NAME]; /* LINK */
	/* LINK_VETH: name of the inner end, index 2 there. RULESET_UPLINK: the underlay's device. */
	char peer[KOBJ_NAME];
};

/* Nodes of a slot, in a KOBJ_SET_SLOT or _AWAY element: its backend's. In a _FORMER one: that, and those that it led to before, each
 * once, in order of their numbers, as many as there is room for. 0 is none and left out. */
#define KOBJ_FORMERS 7u
void kobj_former_add(struct kobj *o, uint32_t node);
bool kobj_former_has(const struct kobj *o, uint32_t node);
/* Where that node sends what it knows nothing of, whether it is one of them or not: to the next one, round and round, so that it does
 * not matter who hears of a new one first. 0: there is no other. */
uint32_t kobj_former_next(const struct kobj *o, uint32_t node);
/* Of a KOBJ_NOTE: it is of that node. */
void kobj_note_node(struct kobj *o, uint32_t node);
bool kobj_note_is(const struct kobj *o, uint32_t node);
/* The mark by which that node sends on what is for the present one; 0: it is that. */
uint32_t kobj_away_mark(const struct kobj *o, uint32_t node);

#define KOBJ_PEER_INDEX  2u
#define KOBJ_NODES_INDEX 3u /* of the gateway's link to other nodes */

/* A KOBJ_FILTER spelt out. Its chain is `dev`, its place in it the key; the rest is packed into the
 * value, with a hash that a dump gives back. */
enum kobj_filter_op {
	KOBJ_FILTER_PROTO = 1, /* go on by the map `target`: IP protocol */
	KOBJ_FILTER_PORT,      /* ... destination port */
	KOBJ_FILTER_SADDR,
	KOBJ_FILTER_DADDR,
	KOBJ_FILTER_GOTO,  /* go on in the chain `target` */
	KOBJ_FILTER_JUMP,  /* ... and come back when a rule allows, or none decides */
	KOBJ_FILTER_CLOSE, /* what no rule allowed is denied */
	KOBJ_FILTER_ALLOW,
	KOBJ_FILTER_DENY,
	KOBJ_FILTER_GUARD, /* the source may come from here */
	KOBJ_FILTER_IDLE, /* TCP connections that begin here end when idle for the timeout `target` */
	/* To value[0], for one of sport[0] parts of the flows, the sport[1]th; by ports of kobj_filter_ports(), 0: any. */
	KOBJ_FILTER_SNAT,
};
enum kobj_side {
	KOBJ_SIDE_ANY,
	KOBJ_SIDE_PREFIX,
	KOBJ_SIDE_SET,
	KOBJ_SIDE_NOT_SET
};
struct kobj_filter {
	uint32_t position;    /* in its chain, from 0 */
	uint8_t op;           /* enum kobj_filter_op */
	uint8_t family;       /* 0: any */
	uint8_t side[2];      /* source, destination: enum kobj_side */
	uint8_t plen[2];      /* KOBJ_SIDE_PREFIX */
	uint8_t value[2][16]; /* address, or name of a set */
	uint16_t sport[2];    /* source ports, both 0: any */
	uint32_t group;       /* security group's number, and */
	uint16_t priority;    /* its rule's, for ALLOW and DENY: they name the counter */
	bool inbound;
	char target[KOBJ_NAME];
};
void kobj_filter_pack(const struct kobj_filter *f, uint32_t ns, const char *chain, struct kobj *to);
void kobj_filter_unpack(const struct kobj *o, struct kobj_filter *to);
/* Of a KOBJ_FILTER_SNAT: the first and the last port. */
void kobj_filter_set_ports(struct kobj_filter *f, uint16_t first, uint16_t last);
void kobj_filter_ports(const struct kobj_filter *f, uint16_t to[2]);
/* Name of a timeout, which says how long and for what: "t240v4". */
void kobj_timeout_name(uint32_t seconds, uint8_t family, char to[static KOBJ_NAME]);
/* Name of the chain that sets an idle time: "I240". */
void kobj_idle_name(uint32_t seconds, char to[static KOBJ_NAME]);
/* And back; false: it is none. */
bool kobj_timeout_read(const char *name, uint32_t *seconds, uint8_t *family);
/* Writes a number as "%x" does, without an end; where it ended. By hand: a thousand rules have some
 * thousand names. */
char *kobj_hex(char *to, uint32_t n);
/* Name of a rule's counter: "c2ai64". */
void kobj_counter_name(uint32_t group, bool inbound, uint16_t priority, char to[static KOBJ_NAME]);

/* A growing list of objects. kset_sort() orders it by key. */
struct kset {
	struct kobj *v;
	size_t n;
	size_t cap;
	bool failed; /* out of memory on the way; the list is not whole */
};

void kset_fini(struct kset *s);
void kset_add(struct kset *s, const struct kobj *o);
void kset_sort(struct kset *s);
/* Of a sorted list: of those that have one key the first stays. Several owners' parts of one thing say it twice; a difference of such
 * lists would take away what is still wanted. */
void kset_unique(struct kset *s);

/* Order by key: namespace, kind, then the rest. */
int kobj_compare(const struct kobj *a, const struct kobj *b);
/* Same key given: is the kernel's object what is wanted? (What a dump cannot show is left out.) */
bool kobj_same(const struct kobj *want, const struct kobj *have);
/* One line of text a person can read, no line end; for golden files and logs. */
void kobj_format(const struct kobj *o, struct buf *to);
/* Is every field in range for its kind, names within the plane's own? ERR_FORBIDDEN says what. */
int kobj_check(const struct kobj *o, struct err *e) __attribute__((warn_unused_result));
/* Name of a namespace's file: "gw", "v16", "g17"; type is an enum kobj_netns. */
void kobj_ns_name(uint32_t ns, uint8_t type, char to[static 24]);
const char *kobj_set_name(uint8_t set);

/* One step of a change. */
enum kop_verb {
	KOP_DEL,
	KOP_ADD,
	KOP_SET,
	KOP_BIND, /* LINK: it is right, but for what runs at it */
};
struct kop {
	enum kop_verb verb;
	const struct kobj *o; /* borrowed */
};
struct kops {
	struct kop *v;
	size_t n;
	size_t cap;
	bool failed;
};
void kops_fini(struct kops *s);
void kops_add(struct kops *s, enum kop_verb verb, const struct kobj *o);
/* Steps from one value of an object to another. */
void kops_change(struct kops *s, const struct kobj *was, const struct kobj *now);
/* Puts steps into the order of execution: removals (last kind first), then additions. */
void kops_sort(struct kops *s);

/* Steps from `have` to `want`; both sorted by key. `want` is an array of pointers. With
 * `remove_extra` what is not wanted goes. NETNS objects are left out: the engine makes those. */
void kobj_diff(struct kobj *const *want, size_t n_want, const struct kobj *have, size_t n_have,
               bool remove_extra, struct kops *to);
