/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A kernel in memory behind kernel.h, for tests and simulation: it keeps sets of objects and the
 * few laws that matter (a link takes what hangs on it along, both ends of a pair live and die
 * together, an element needs its ruleset). A lab test holds it against the real one.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/own.h"
#include "lib/kernel/kernel.h"
#include "lib/kernel/rtnl.h"

struct fake {
	struct kernel ops;
	struct kset objects; /* all namespaces; NETNS objects say which exist */
	unsigned fail_in;
	bool linger; /* links into a namespace that went stay */
	void (*on_event)(void *arg, uint32_t ns, uint32_t index);
	void *arg;
};

static struct fake *self(struct kernel *k)
{
	return (struct fake *)k;
}

static struct kobj *find(struct fake *f, const struct kobj *key)
{
	for (size_t i = 0; i < f->objects.n; i++) {
		if (kobj_compare(&f->objects.v[i], key) == 0) {
			return &f->objects.v[i];
		}
	}
	return NULL;
}

static void drop(struct fake *f, const struct kobj *o)
{
	size_t i = (size_t)(o - f->objects.v);

	memmove(&f->objects.v[i], &f->objects.v[i + 1], (f->objects.n - i - 1) * sizeof(*o));
	f->objects.n--;
}

static bool ns_there(struct fake *f, uint32_t ns)
{
	for (size_t i = 0; i < f->objects.n; i++) {
		if (f->objects.v[i].kind == KOBJ_NETNS && f->objects.v[i].ns == ns) {
			return true;
		}
	}
	return kobj_ns_foreign(ns);
}

/* A device is gone: its addresses, neighbours, entries, routes, and the other end of a pair. */
static void lose_link(struct fake *f, struct kobj link)
{
	for (size_t i = 0; i < f->objects.n;) {
		const struct kobj *o = &f->objects.v[i];
		bool on = o->ns == link.ns && o->kind < KOBJ_RULESET && o->dev[0] &&
		          strcmp(o->dev, link.dev) == 0;
		bool other = link.sub == KOBJ_LINK_VETH && o->ns == link.peer_ns &&
		             o->kind == KOBJ_LINK && strcmp(o->dev, link.peer) == 0;
		bool outer = link.sub == KOBJ_LINK_PEER && o->kind == KOBJ_LINK &&
		             o->sub == KOBJ_LINK_VETH && o->peer_ns == link.ns &&
		             strcmp(o->peer, link.dev) == 0;

		if (on) {
			drop(f, o);
		} else if (other || outer) {
			struct kobj next = *o;

			drop(f, o);
			lose_link(f, next);
			i = 0;
		} else {
			i++;
		}
	}
}

static void lose(struct fake *f, const struct kobj *o)
{
	struct kobj copy = *o;
	struct kobj *have = find(f, o);

	if (!have) {
		return;
	}
	copy = *have;
	drop(f, have);
	if (copy.kind == KOBJ_LINK) {
		lose_link(f, copy);
	} else if (copy.kind == KOBJ_RULESET) {
		for (size_t i = 0; i < f->objects.n;) {
			const struct kobj *x = &f->objects.v[i];

			if (x->ns == copy.ns && x->kind > KOBJ_RULESET) {
				drop(f, x);
			} else {
				i++;
			}
		}
	}
}

static int fake_ns_add(struct kernel *k, uint32_t ns, uint8_t type, struct err *e)
{
	struct kobj o = { .ns = ns, .kind = KOBJ_NETNS, .sub = type };

	(void)e;
	if (!find(self(k), &o)) {
		kset_add(&self(k)->objects, &o);
	}
	return 0;
}

static int fake_ns_adopt(struct kernel *k, uint32_t ns, uint8_t type, struct err *e)
{
	struct kobj o = { .ns = ns, .kind = KOBJ_NETNS, .sub = type };

	return find(self(k), &o) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static int fake_ns_del(struct kernel *k, uint32_t ns, uint8_t type, struct err *e)
{
	struct fake *f = self(k);

	(void)type;
	(void)e;
	for (size_t i = 0; i < f->objects.n;) {
		const struct kobj *o = &f->objects.v[i];

		if (o->ns == ns && o->kind == KOBJ_LINK && !f->linger) {
			struct kobj link = *o;
			lose(f, &link);
			i = 0;
		} else if (o->ns == ns) {
			drop(f, o);
			i = 0;
		} else {
			i++;
		}
	}
	return 0;
}

static int fake_ns_list(struct kernel *k, struct kernel_ns **ret, struct err *e)
{
	struct fake *f = self(k);
	struct kernel_ns *v = calloc(f->objects.n + 1, sizeof(*v));
	int n = 0;

	if (!v) {
		return err_set(e, ERR_NO_MEMORY, 0, "namespaces: out of memory");
	}
	for (size_t i = 0; i < f->objects.n; i++) {
		if (f->objects.v[i].kind == KOBJ_NETNS) {
			v[n++] = (struct kernel_ns){ f->objects.v[i].ns, f->objects.v[i].sub };
		}
	}
	*ret = v;
	return n;
}

static bool fake_ns_there(struct kernel *k, uint32_t ns)
{
	return ns_there(self(k), ns);
}

static int fake_ns_fd(struct kernel *k, uint32_t ns, struct err *e)
{
	if (!ns_there(self(k), ns)) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
	}
	return dup(STDERR_FILENO);
}

static int fake_ns_socket(struct kernel *k, uint32_t ns, uint8_t family, enum kernel_socket kind,
                          struct err *e)
{
	(void)family;
	(void)kind;
	return fake_ns_fd(k, ns, e);
}

static int fake_dump(struct kernel *k, uint32_t ns, struct kset *to, struct err *e)
{
	struct fake *f = self(k);

	if (!ns_there(f, ns)) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
	}
	for (size_t i = 0; i < f->objects.n; i++) {
		if (f->objects.v[i].ns == ns && f->objects.v[i].kind != KOBJ_NETNS) {
			kset_add(to, &f->objects.v[i]);
		}
	}
	kset_sort(to);
	return to->failed ? err_set(e, ERR_NO_MEMORY, 0, "dump: out of memory") : 0;
}

static bool device_there(struct fake *f, const struct kobj *o)
{
	if (!o->dev[0] || o->kind >= KOBJ_RULESET || strcmp(o->dev, "lo") == 0) {
		return true;
	}
	for (size_t i = 0; i < f->objects.n; i++) {
		const struct kobj *x = &f->objects.v[i];

		if (x->ns == o->ns && x->kind == KOBJ_LINK && strcmp(x->dev, o->dev) == 0) {
			return true;
		}
	}
	return false;
}

static bool ruleset_there(struct fake *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->objects.n; i++) {
		if (f->objects.v[i].ns == o->ns && f->objects.v[i].kind == KOBJ_RULESET) {
			return true;
		}
	}
	return false;
}

/* nftables takes no interval that overlaps another in a set (EEXIST). */
static bool overlaps(const struct fake *f, const struct kobj *o)
{
	struct ip_prefix p = { { .family = o->family }, o->plen };

	memcpy(p.ip.b, o->addr, 16);
	for (size_t i = 0; i < f->objects.n; i++) {
		const struct kobj *x = &f->objects.v[i];
		struct ip_prefix other = { { .family = x->family }, x->plen };

		if (x->ns != o->ns || x->kind != o->kind || x->sub != o->sub) {
			continue;
		}
		memcpy(other.ip.b, x->addr, 16);
		if (kobj_compare(x, o) != 0 && ip_prefix_overlaps(&p, &other)) {
			return true;
		}
	}
	return false;
}

static int add(struct fake *f, const struct kobj *o, struct err *e)
{
	struct kobj *have = find(f, o);

	if (o->kind == KOBJ_ELEM && (o->sub == KOBJ_SET_HELD4 || o->sub == KOBJ_SET_HELD6) &&
	    overlaps(f, o)) {
		return err_set(e, ERR_SYSTEM, 0, "element overlaps another");
	}

	if (o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_VETH && !have) {
		struct kobj peer = { .ns = o->peer_ns,
			             .kind = KOBJ_LINK,
			             .sub = KOBJ_LINK_PEER,
			             .index = rtnl_device_index(o->peer),
			             .mtu = o->mtu };

		if (!ns_there(f, o->peer_ns)) {
			return err_set(e, ERR_NOT_FOUND, 0, "namespace %u", o->peer_ns);
		}
		memcpy(peer.dev, o->peer, KOBJ_NAME);
		memcpy(peer.mac, o->via, 6);
		peer.flags = 1u << 31; /* down */
		kset_add(&f->objects, &peer);
	} else if (o->kind == KOBJ_LINK && o->sub == KOBJ_LINK_PEER && !have) {
		return err_set(e, ERR_SYSTEM, 0, "set link %s: No such device", o->dev);
	}
	bool needs_dev = o->kind != KOBJ_LINK;
	if (needs_dev && !device_there(f, o)) {
		return err_set(e, ERR_SYSTEM, 0, "no device %s", o->dev);
	}
	if (o->kind > KOBJ_RULESET && !ruleset_there(f, o)) {
		return err_set(e, ERR_SYSTEM, 0, "no ruleset for %s", o->dev);
	}
	if (have) {
		*have = *o;
	} else {
		kset_add(&f->objects, o);
	}
	return 0;
}

static int fake_apply(struct kernel *k, uint32_t ns, const struct kop *ops, size_t n, struct err *e)
{
	struct fake *f = self(k);

	if (!ns_there(f, ns)) {
		return err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
	}
	bool fail = f->fail_in && --f->fail_in == 0;
	if (fail) {
		n /= 2; /* half of it happens */
	}
	for (size_t i = 0; i < n; i++) {
		if (ops[i].verb == KOP_DEL) {
			lose(f, ops[i].o);
		} else {
			if (ops[i].o->kind == KOBJ_RULESET) {
				lose(f, ops[i].o); /* replaced whole, with all in it */
			}
			if (add(f, ops[i].o, e) < 0) {
				return -1;
			}
		}
	}
	return fail ? err_set(e, ERR_SYSTEM, 0, "injected failure") : 0;
}

static void fake_watch(struct kernel *k, struct loop *l,
                       void (*fn)(void *arg, uint32_t ns, uint32_t index), void *arg)
{
	(void)l;
	self(k)->on_event = fn;
	self(k)->arg = arg;
}

static void fake_mute(struct kernel *k, uint32_t ns, bool muted)
{
	(void)k;
	(void)ns;
	(void)muted;
}

static int fake_flows(struct kernel *k, uint32_t ns, int (*fn)(void *arg, const struct kflow *f),
                      void *arg, struct err *e)
{
	(void)fn;
	(void)arg;
	return ns_there(self(k), ns) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static int fake_flows_del(struct kernel *k, uint32_t ns, const struct kflow *v, size_t n,
                          struct err *e)
{
	(void)v;
	(void)n;
	return ns_there(self(k), ns) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static int fake_flows_watch(struct kernel *k, uint32_t ns,
                            void (*fn)(void *arg, uint32_t ns, const struct kflow *f), void *arg,
                            struct err *e)
{
	(void)fn;
	(void)arg;
	return ns_there(self(k), ns) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static long fake_flows_count(struct kernel *k, uint32_t ns)
{
	(void)k;
	(void)ns;
	return -1;
}

static int fake_tighten(struct kernel *k, uint32_t ns, unsigned level, struct err *e)
{
	(void)level;
	return ns_there(self(k), ns) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static int fake_learned(struct kernel *k, uint32_t ns, struct kset *to, struct err *e)
{
	(void)k;
	(void)to;
	return err_set(e, ERR_NOT_FOUND, 0, "namespace %u was not given", ns);
}

static int fake_counters(struct kernel *k, uint32_t ns, uint32_t what,
                         int (*fn)(void *arg, const struct kcount *c), void *arg, struct err *e)
{
	(void)what;
	(void)fn;
	(void)arg;
	return ns_there(self(k), ns) ? 0 : err_set(e, ERR_NOT_FOUND, 0, "namespace %u", ns);
}

static void fake_free(struct kernel *k)
{
	kset_fini(&self(k)->objects);
	free(k);
}

struct kernel *kernel_fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (!f) {
		return NULL;
	}
	f->ops =
		(struct kernel){ fake_ns_add,    fake_ns_adopt,  fake_ns_del,      fake_ns_list,
		                 fake_ns_there,  fake_ns_fd,     fake_ns_socket,   fake_dump,
		                 fake_apply,     fake_watch,     fake_mute,        fake_flows,
		                 fake_flows_del, fake_flows_del, fake_flows_watch, fake_flows_count,
		                 fake_tighten,   fake_learned,   fake_counters,    fake_free };
	return &f->ops;
}

void kernel_fake_fail(struct kernel *k, unsigned nth)
{
	self(k)->fail_in = nth;
}

void kernel_fake_linger(struct kernel *k, bool on)
{
	struct fake *f = self(k);

	f->linger = on;
	for (size_t i = 0; !on && i < f->objects.n;) {
		struct kobj link = f->objects.v[i];

		if (link.kind == KOBJ_LINK && link.sub == KOBJ_LINK_VETH &&
		    !ns_there(f, link.peer_ns)) {
			lose(f, &link);
			i = 0;
		} else {
			i++;
		}
	}
}

void kernel_fake_lose(struct kernel *k, const struct kobj *o)
{
	uint32_t ns = o->ns;

	lose(self(k), o);
	if (self(k)->on_event) {
		self(k)->on_event(self(k)->arg, ns, 0);
	}
}
