/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a VNet's zones do not know is asked by the VNet's resolver process: begun on the first question, let go when
 * it has been idle. Bounded in questions under way, of one group and in all, and in time. See dns_vnet.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/log.h"
#include "netd/dns_vnet.h"
#include "netd/resolver.h"

#define WAITING_MAX                8192 /* a power of two */
#define GROUP_MAX                  200  /* Azure: queued queries of a machine */
#define GROUPS                     4096
#define ANSWER_MS                  4500 /* stubs wait five seconds */
#define FAILED_MS                  1000
#define SWEEP_MS                   250
#define EDE_NO_REACHABLE_AUTHORITY 22

/* A question under way. */
struct forwarded {
	TAILQ_ENTRY(forwarded) link; /* in the order they came, and end */
	struct vnet *vnet;
	struct asker who;
	uint64_t id;
	int64_t since_ms;
	bool sent, again;
	unsigned group;
	struct dns_ask ask; /* for an answer of our own */
	struct buf message; /* as the resolver is asked */
	size_t len;
	uint8_t packet[512];
};

static TAILQ_HEAD(all, forwarded) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static struct forwarded *by_id[WAITING_MAX];
static uint16_t groups[GROUPS]; /* how many of each under way, by a hash */
static uint64_t next_id;
static struct loop_timer *sweeper;

static unsigned group_of(const struct vnet *v, const struct dns_ask *a)
{
	uint64_t h = v->number * UINT64_C(0x9e3779b97f4a7c15);

	for (int i = 0; i < 16; i++) {
		h = (h ^ a->client[i]) * UINT64_C(0x100000001b3);
	}
	return (unsigned)(h ^ h >> 32) % GROUPS;
}

/* ---- answers ---- */

static void send_to(const struct asker *who, const uint8_t *p, size_t len)
{
	if (!who->socket) {
		dns_tcp_answer(who->conn, p, len);
	} else if (who->socket->fd >= 0) {
		(void)!sendto(who->socket->fd, p, len, MSG_DONTWAIT,
		              (const struct sockaddr *)&who->from, who->from_len);
	}
}

static void forwarded_free(struct forwarded *f)
{
	TAILQ_REMOVE(&waiting, f, link);
	by_id[f->id % WAITING_MAX] = NULL;
	groups[f->group]--;
	f->vnet->n_out--;
	f->vnet->used_ms = dns_now_ms();
	buf_fini(&f->message);
	free(f);
}

/* Nobody answered. */
static void give_up(struct forwarded *f)
{
	uint8_t out[DNS_UDP_PLAIN];
	size_t n =
		dns_answer_error(&f->ask, f->packet, DNS_SERVFAIL, EDE_NO_REACHABLE_AUTHORITY, out);

	dns_counted(&dns_role.counts, COUNT_LOST);
	dns_count_answer(&dns_role.counts, &f->ask, n);
	send_to(&f->who, out, n);
	forwarded_free(f);
}

static void give_up_all(const struct vnet *v)
{
	struct forwarded *f = TAILQ_FIRST(&waiting), *next;

	for (; f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->vnet == v) {
			give_up(f);
		}
	}
}

static void on_resolved(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	const struct vnet *v = arg;
	uint64_t id = get_u64(r);
	struct forwarded *f = by_id[id % WAITING_MAX];

	(void)from;
	(void)fd;
	if (type != MSG_RESOLVED || r->failed) {
		r->failed = true;
		return;
	}
	size_t limit = f && f->ask.tcp ? 65535 : DNS_UDP_MAX;
	if (f && f->id == id && f->vnet == v && r->left >= DNS_HEADER && r->left <= limit) {
		f->ask.rcode = r->p[3] & 15;
		dns_count_answer(&dns_role.counts, &f->ask, r->left);
		send_to(&f->who, r->p, r->left);
		forwarded_free(f);
	}
	r->p += r->left;
	r->left = 0;
}

/* ---- the resolver ---- */

static void ask_for_resolver(struct vnet *v)
{
	struct buf b = { 0 };

	if (v->resolver || v->starting) {
		return;
	}
	v->starting = true;
	put_u32(&b, v->number);
	channel_send(dns_role.engine, MSG_RESOLVER_ASK, &b, -1);
	buf_fini(&b);
}

static void send_waiting(struct vnet *v)
{
	struct forwarded *f;

	TAILQ_FOREACH(f, &waiting, link)
	{
		if (f->vnet == v && !f->sent) {
			f->sent = true;
			channel_send(v->resolver, MSG_RESOLVE, &f->message, -1);
		}
	}
}

/* It ended: what it was asked is asked once more. */
static void on_resolver_closed(void *arg, enum role peer)
{
	struct vnet *v = arg;
	struct forwarded *f = TAILQ_FIRST(&waiting), *next;

	(void)peer;
	channel_free(v->resolver);
	v->resolver = NULL;
	for (; f; f = next) {
		next = TAILQ_NEXT(f, link);
		if (f->vnet == v && f->again) {
			give_up(f);
		} else if (f->vnet == v) {
			f->again = true;
			f->sent = false;
		}
	}
	if (v->n_out > 0) {
		ask_for_resolver(v);
	}
}

void dns_forward_resolver(struct vnet *v, int fd)
{
	v->starting = false;
	if (fd < 0) {
		log_warn("resolver.start", LOG_NUM("vnet", v->number));
		v->failed_ms = dns_now_ms();
		give_up_all(v);
		return;
	}
	channel_free(v->resolver);
	v->resolver = channel_new(dns_role.loop, fd, ROLE_DNS, ROLE_RESOLVER, on_resolved,
	                          on_resolver_closed, v);
	channel_send(v->resolver, MSG_RESOLVER_CONFIG, &v->config, -1);
	send_waiting(v);
}

void dns_forward_forget(struct vnet *v)
{
	channel_free(v->resolver);
	v->resolver = NULL;
	v->starting = false;
	give_up_all(v);
}

void dns_forward_engine_up(struct vnet *v)
{
	if (v->starting) { /* who was to begin it ended */
		v->starting = false;
		ask_for_resolver(v);
	}
}

/* ---- questions ---- */

static void on_sweep(void *arg)
{
	int64_t now = dns_now_ms();
	struct forwarded *f;
	struct vnet *v;

	(void)arg;
	while ((f = TAILQ_FIRST(&waiting)) && now - f->since_ms >= ANSWER_MS) {
		give_up(f);
	}
	for (size_t i = 0; i < DNS_VNETS; i++) {
		LIST_FOREACH(v, &dns_vnets[i], link)
		{
			if (v->resolver && v->n_out == 0 &&
			    now - v->used_ms >= dns_role.config->resolver_idle_s * 1000) {
				channel_free(v->resolver);
				v->resolver = NULL;
			}
		}
	}
	loop_timer_start(sweeper, SWEEP_MS);
}

static void build_message(struct forwarded *f, const uint8_t *begun, size_t begun_len)
{
	const struct dns_ask *a = &f->ask;
	size_t offered =
		a->q.edns && a->q.edns_size > DNS_UDP_PLAIN ? a->q.edns_size : DNS_UDP_PLAIN;
	struct buf *b = &f->message;

	offered = a->tcp ? 65535 : offered < DNS_UDP_MAX ? offered : DNS_UDP_MAX;
	put_u64(b, f->id);
	put_u16(b, a->q.type);
	put_u8(b, (uint8_t)((a->q.edns ? RESOLVE_EDNS : 0) | (a->q.dnssec ? RESOLVE_DNSSEC : 0)));
	put_u16(b, (uint16_t)offered);
	put_u8(b, (uint8_t)a->target_len);
	buf_add(b, a->target, a->target_len);
	buf_add(b, begun, begun_len);
}

bool dns_forward(struct vnet *v, const struct dns_ask *a, const struct asker *who,
                 const uint8_t *packet, const uint8_t *begun, size_t begun_len)
{
	unsigned group = group_of(v, a);
	int64_t now = dns_now_ms();

	if (!v->forwards || now - v->failed_ms < FAILED_MS) {
		return false;
	}
	if (!sweeper) {
		sweeper = loop_timer_new(dns_role.loop, on_sweep, NULL);
		loop_timer_start(sweeper, SWEEP_MS);
	}
	if (by_id[next_id % WAITING_MAX] || groups[group] >= GROUP_MAX) {
		dns_counted(&dns_role.counts, COUNT_LIMITED);
		return true; /* over what may be under way: dropped, as Azure does */
	}
	struct forwarded *f = calloc(1, sizeof(*f));
	if (!f) {
		return false;
	}
	f->vnet = v;
	f->who = *who;
	f->id = next_id++;
	f->since_ms = now;
	f->group = group;
	f->ask = *a;
	memcpy(f->packet, packet, a->q.question_end);
	build_message(f, begun, begun_len);
	by_id[f->id % WAITING_MAX] = f;
	TAILQ_INSERT_TAIL(&waiting, f, link);
	groups[group]++;
	v->n_out++;
	v->used_ms = now;
	dns_counted(&dns_role.counts, COUNT_FORWARDED);
	if (v->resolver) {
		f->sent = true;
		channel_send(v->resolver, MSG_RESOLVE, &f->message, -1);
	} else {
		ask_for_resolver(v);
	}
	return true;
}
