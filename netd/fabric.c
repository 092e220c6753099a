/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See fabric.h.
 */
#include "netd/fabric.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/base/own.h"
#include "netd/fabric_parts.h"

/* ---- what the engine has ---- */

struct sent {
	uint64_t owner;
	uint64_t sign; /* of what it was planned from; 0: plan again */
	struct kset set;
	bool used; /* while a VNet is planned */
};
static struct sent *sent;
static size_t n_sent, cap_sent;

static size_t sent_at(uint64_t owner)
{
	size_t lo = 0, hi = n_sent;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sent[mid].owner < owner) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return lo;
}

static struct sent *sent_get(uint64_t owner)
{
	size_t i = sent_at(owner);

	return i < n_sent && sent[i].owner == owner ? &sent[i] : NULL;
}

static struct sent *sent_make(uint64_t owner)
{
	struct sent *s = sent_get(owner);
	size_t i = sent_at(owner);

	if (s) {
		return s;
	}
	if (n_sent == cap_sent) {
		cap_sent = cap_sent ? cap_sent * 2 : 64;
		sent = realloc(sent, cap_sent * sizeof(*sent));
		if (!sent) {
			abort();
		}
	}
	memmove(&sent[i + 1], &sent[i], (n_sent - i) * sizeof(*sent));
	sent[i] = (struct sent){ .owner = owner };
	n_sent++;
	return &sent[i];
}

/* ---- sending ---- */

static void part_begin(struct buf *b, uint64_t owner, uint8_t flags, size_t n)
{
	put_u64(b, 0);
	put_u64(b, owner);
	put_u8(b, flags);
	put_u32(b, (uint32_t)n);
}

static void send_steps(uint64_t owner, const struct kop *v, size_t n, bool whole)
{
	size_t i = 0;

	do {
		size_t some = n - i < PART_MAX ? n - i : PART_MAX;
		struct buf b = { 0 };
		unsigned flags = (i == 0 ? PART_FIRST : 0) | (i + some == n ? PART_LAST : 0) |
		                 (whole ? PART_WHOLE : 0);

		part_begin(&b, owner, (uint8_t)flags, some);
		for (size_t k = i; k < i + some; k++) {
			put_u8(&b, (uint8_t)v[k].verb);
			put_kobj(&b, v[k].o);
		}
		channel_send(plane.engine, MSG_OWNER_PART, &b, -1);
		buf_fini(&b);
		i += some;
	} while (i < n);
}

static void send_whole(const struct sent *s)
{
	struct kops ops = { 0 };

	for (size_t i = 0; i < s->set.n; i++) {
		kops_add(&ops, KOP_ADD, &s->set.v[i]);
	}
	send_steps(s->owner, ops.v, ops.n, true);
	kops_fini(&ops);
}

static void send_difference(uint64_t owner, const struct kset *was, const struct kset *now)
{
	struct kops ops = { 0 };
	size_t i = 0, j = 0;

	while (i < was->n || j < now->n) {
		int c = i == was->n ? 1 : j == now->n ? -1 : kobj_compare(&was->v[i], &now->v[j]);

		if (c < 0) {
			kops_add(&ops, KOP_DEL, &was->v[i++]);
		} else if (c > 0) {
			kops_add(&ops, KOP_ADD, &now->v[j++]);
		} else {
			if (memcmp(&was->v[i], &now->v[j], sizeof(struct kobj)) != 0) {
				kops_add(&ops, KOP_SET, &now->v[j]);
			}
			i++;
			j++;
		}
	}
	if (ops.failed || now->failed) {
		abort();
	}
	if (ops.n > 0) {
		send_steps(owner, ops.v, ops.n, false);
	}
	kops_fini(&ops);
}

void fabric_put(uint64_t owner, struct kset *objects)
{
	struct sent *s = sent_get(owner);
	bool fresh = s == NULL;

	kset_sort(objects);
	if (fresh) {
		s = sent_make(owner);
	}
	struct kset was = s->set;
	s->set = *objects;
	s->used = true;
	*objects = (struct kset){ 0 };
	if (fresh) {
		send_whole(s);
	} else {
		send_difference(owner, &was, &s->set);
	}
	kset_fini(&was);
}

void fabric_drop(uint64_t owner)
{
	struct sent *s = sent_get(owner);
	struct buf b = { 0 };

	if (!s) {
		return;
	}
	kset_fini(&s->set);
	memmove(s, s + 1, (size_t)(sent + n_sent - s - 1) * sizeof(*s));
	n_sent--;
	put_u64(&b, 0);
	put_u64(&b, owner);
	channel_send(plane.engine, MSG_OWNER_DEL, &b, -1);
	buf_fini(&b);
}

void fabric_resend(void)
{
	for (size_t i = 0; i < n_sent; i++) {
		send_whole(&sent[i]);
	}
}

/* ---- what planning asks ---- */

bool fabric_sent(uint64_t owner)
{
	return sent_get(owner) != NULL;
}

bool fabric_stays(uint64_t owner, uint64_t sign)
{
	struct sent *s = sent_get(owner);
	bool stays = s && s->sign == sign;

	if (stays) {
		s->used = true;
	}
	return stays;
}

void fabric_sign(uint64_t owner, uint64_t sign)
{
	sent_get(owner)->sign = sign;
}

static bool in_vnet(const struct sent *s, uint32_t vnet)
{
	return s->owner >> 32 && (uint32_t)s->owner == vnet;
}

void fabric_begin(uint32_t vnet)
{
	for (size_t i = 0; i < n_sent; i++) {
		sent[i].used = sent[i].used && !in_vnet(&sent[i], vnet);
	}
}

void fabric_end(uint32_t vnet)
{
	for (size_t i = n_sent; i-- > 0;) {
		if (in_vnet(&sent[i], vnet) && !sent[i].used) {
			fabric_drop(sent[i].owner);
		}
	}
}

/* ---- waiting for the engine ---- */

struct waiter {
	STAILQ_ENTRY(waiter) link;
	uint64_t request;
	void (*done)(void *arg);
	void *arg;
};
static STAILQ_HEAD(waiters, waiter) waiters = STAILQ_HEAD_INITIALIZER(waiters);

void fabric_wait(void (*done)(void *arg), void *arg)
{
	static uint64_t last;
	struct waiter *w = calloc(1, sizeof(*w));
	struct buf b = { 0 };

	if (!w) {
		abort();
	}
	if (!plane.engine) {
		free(w);
		done(arg);
		return;
	}
	*w = (struct waiter){ .request = ++last, .done = done, .arg = arg };
	STAILQ_INSERT_TAIL(&waiters, w, link);
	put_u64(&b, w->request);
	channel_send(plane.engine, MSG_PING, &b, -1); /* answered after what came before */
	buf_fini(&b);
}

void fabric_answered(uint64_t request)
{
	struct waiter *w;

	while ((w = STAILQ_FIRST(&waiters)) && w->request <= request) {
		STAILQ_REMOVE_HEAD(&waiters, link);
		w->done(w->arg);
		free(w);
	}
}

void fabric_engine_gone(void)
{
	fabric_answered(UINT64_MAX);
}
