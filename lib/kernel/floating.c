/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See floating.h.
 */
#include "lib/kernel/floating.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/kernel/floating_map.h"
#include "lib/kernel/rtnl.h"
#include "lib/kernel/tc.h"

TC_ELF(floating, BPF_DIR "/floating.o");

struct floating {
	struct bpf_object *object; /* NULL: not loaded */
	struct tc_program deliver, answer;
	int fronts, backends;
	struct kset set; /* in no order */
};

struct floating *floating_new(void)
{
	return calloc(1, sizeof(struct floating));
}

void floating_free(struct floating *f)
{
	if (f) {
		bpf_object__close(f->object);
		kset_fini(&f->set);
		free(f);
	}
}

int floating_load(struct floating *f, struct err *e)
{
	struct bpf_object *o = tc_load(floating_elf, floating_elf_size, "floating IP", e);

	if (!o) {
		return -1;
	}
	if (tc_program(o, "deliver", &f->deliver, e) < 0 ||
	    tc_program(o, "answer", &f->answer, e) < 0) {
		bpf_object__close(o);
		return -1;
	}
	f->fronts = bpf_object__find_map_fd_by_name(o, "fronts");
	f->backends = bpf_object__find_map_fd_by_name(o, "backends");
	f->object = o;
	return 0;
}

/* ---- what the programs look up ---- */

static struct floating_addr mapped(uint8_t family, const uint8_t addr[16])
{
	struct floating_addr to = { 0 };
	bool v4 = family == 4;

	if (v4) {
		to.b[10] = to.b[11] = 0xff;
	}
	memcpy(to.b + (v4 ? 12 : 0), addr, v4 ? 4 : 16);
	return to;
}

static int enter(const struct floating *f, const struct kobj *o, bool there)
{
	uint32_t port = rtnl_device_index(o->dev);
	struct floating_addr front = mapped(o->family, o->addr), own = mapped(o->family, o->via);
	struct floating_in in = { port, o->table };
	struct floating_out out = { port, front };

	if (!f->object) {
		return 0;
	}
	if (!there) { /* absent is success */
		(void)!bpf_map_delete_elem(f->fronts, &in);
		(void)!bpf_map_delete_elem(f->backends, &out);
		return 0;
	}
	return bpf_map_update_elem(f->fronts, &in, &front, BPF_ANY) < 0
	               ? -1
	               : bpf_map_update_elem(f->backends, &out, &own, BPF_ANY);
}

static struct kobj *find(struct floating *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->set.n; i++) {
		if (kobj_compare(&f->set.v[i], o) == 0) {
			return &f->set.v[i];
		}
	}
	return NULL;
}

static void drop(struct floating *f, struct kobj *at)
{
	(void)!enter(f, at, false);
	*at = f->set.v[--f->set.n];
}

/* ---- ports ---- */

static bool port_is_used(const struct floating *f, const struct kobj *o)
{
	for (size_t i = 0; i < f->set.n; i++) {
		if (f->set.v[i].ns == o->ns && strcmp(f->set.v[i].dev, o->dev) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_on(const struct floating *f, struct nl_sock *rt, const struct kobj *o)
{
	uint32_t index = rtnl_device_index(o->dev);

	return !f->object || (tc_is_bound(rt, index, TC_OUT, &f->deliver, true) &&
	                      tc_is_bound(rt, index, TC_IN, &f->answer, true));
}

static int send(struct nl_sock *rt, struct nl_batch *b, const struct kobj *o, struct err *e)
{
	int rc = nl_batch_send(rt, b, NULL, NULL, e);

	nl_batch_fini(b);
	if (rc < 0 && (e->sys == ENODEV || e->sys == ENOENT)) {
		return 0;
	}
	return rc < 0 ? err_wrap(e, "floating IP at %s", o->dev) : 0;
}

/* Without programs: an engine of before may have had some, or the kernel has no tc at all. */
static int release_port(const struct floating *f, struct nl_sock *rt, const struct kobj *o,
                        struct err *e)
{
	uint32_t index = rtnl_device_index(o->dev);
	struct nl_batch b = { 0 };

	tc_drop_filter(&b, index, TC_OUT, TC_PREFERENCE);
	tc_drop_filter(&b, index, TC_IN, TC_PREFERENCE);
	int rc = send(rt, &b, o, e) < 0 && f->object ? -1 : 0;
	tc_tidy(rt, index);
	return rc;
}

static int bind_port(const struct floating *f, struct nl_sock *rt, const struct kobj *o,
                     struct err *e)
{
	uint32_t index = rtnl_device_index(o->dev);
	struct nl_batch b = { 0 };

	if (!f->object) {
		return release_port(f, rt, o, e);
	}
	if (is_on(f, rt, o)) {
		return 0;
	}
	tc_put_qdisc(&b, index, 0);
	tc_put_filter(&b, index, TC_OUT, &f->deliver);
	tc_put_filter(&b, index, TC_IN, &f->answer);
	return send(rt, &b, o, e);
}

static int note(struct floating *f, const struct kop *op, struct err *e)
{
	const struct kobj *o = op->o;
	struct kobj *was = find(f, o);

	if (op->verb == KOP_DEL) {
		if (was) {
			drop(f, was);
		}
		return 0;
	}
	if (enter(f, o, true) < 0) {
		return err_set(e, ERR_SYSTEM, errno, "floating IP at %s", o->dev);
	}
	if (was) {
		*was = *o;
	} else {
		kset_add(&f->set, o);
	}
	return f->set.failed ? err_set(e, ERR_NO_MEMORY, 0, "floating IP: out of memory") : 0;
}

/* All is known before the first port turns to it: after a restart the programs of before are bound, with
 * what those know. */
int floating_apply(struct floating *f, struct nl_sock *rt, const struct kop *ops, size_t n,
                   struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		rc = ops[i].o->kind == KOBJ_FLOAT ? note(f, &ops[i], e) : 0;
	}
	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct kobj *o = ops[i].o;

		if (o->kind == KOBJ_FLOAT) {
			rc = port_is_used(f, o) ? bind_port(f, rt, o, e)
			                        : release_port(f, rt, o, e);
		}
	}
	return rc;
}

void floating_dump(struct floating *f, struct nl_sock *rt, uint32_t ns, struct kset *to)
{
	for (size_t i = 0; i < f->set.n;) {
		struct kobj *o = &f->set.v[i];

		if (o->ns != ns) {
			i++;
		} else if (is_on(f, rt, o)) {
			kset_add(to, o);
			i++;
		} else {
			drop(f, o);
		}
	}
}

void floating_forget(struct floating *f, uint32_t ns)
{
	for (size_t i = 0; i < f->set.n;) {
		if (f->set.v[i].ns == ns) {
			drop(f, &f->set.v[i]);
		} else {
			i++;
		}
	}
}
