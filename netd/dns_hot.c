/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Hot names: what the workers answer by the sockets, and could be answered in the kernel, they say to the main thread,
 * which asks itself and puts the answer there (dns/hot.h). The main thread alone puts and drops, and it is the table's
 * writer: what is there is what the table says. A name gets there by being asked for, and gives its place to others
 * when it is not any more. See dns_parts.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "dns/hot.h"
#include "lib/base/log.h"
#include "lib/kernel/names.h"
#include "netd/dns_parts.h"

#define TICK_MS  20
#define ALIVE_NS 2000000000u
#define RING     4096u
#define SEEN     8192u
#define BUCKETS  (1u << 26)

struct candidate {
	uint8_t len, type, name[NAMES_NAME_MAX];
};

/* One thread puts, the main thread takes. */
struct dns_heat {
	_Atomic uint32_t put, taken;
	uint32_t seen[SEEN]; /* what was put lately */
	struct candidate v[RING];
};

static struct {
	struct dns_hot hot;
	struct names_state *state; /* NULL: nothing is answered in the kernel */
	struct names_bucket *buckets;
	size_t bytes;
	uint64_t shape;
	uint64_t answered, limited;             /* by maps that this role has let go of */
	uint64_t answered_first, limited_first; /* what the maps had counted when it got them */
	struct loop_timer *tick;
	struct dns_heat *heats[8];
	size_t n_heats;
	int fd[KNAMES_MAPS];
} self = { .fd = { -1, -1 } };

/* ---- workers ---- */

struct dns_heat *dns_heat_new(void)
{
	if (dns_role.config->n_xdp == 0 || self.n_heats == sizeof(self.heats) / sizeof(void *)) {
		return NULL;
	}
	struct dns_heat *h = calloc(1, sizeof(*h));
	if (h) {
		self.heats[self.n_heats++] = h;
	}
	return h;
}

void dns_heat_note(struct dns_heat *h, const struct dns_ask *a)
{
	const struct dns_query *q = &a->q;

	if (!a->zone || a->rcode != DNS_NOERROR || a->wild || a->truncated ||
	    (q->type != DNS_A && q->type != DNS_AAAA) || q->class != 1 ||
	    q->name_len >= NAMES_NAME_MAX || a->read != DNS_NOERROR) {
		return;
	}
	uint32_t tag = a->hash ^ (uint32_t)q->type << 31 ^ a->now_s << 1; /* once a second */
	uint32_t *seen = &h->seen[a->hash % SEEN];
	uint32_t put = atomic_load_explicit(&h->put, memory_order_relaxed);
	if (*seen == tag || put - atomic_load_explicit(&h->taken, memory_order_acquire) == RING) {
		return;
	}
	struct candidate *c = &h->v[put % RING];
	*seen = tag;
	c->len = (uint8_t)q->name_len;
	c->type = (uint8_t)q->type;
	memcpy(c->name, q->name, q->name_len);
	atomic_store_explicit(&h->put, put + 1, memory_order_release);
}

/* ---- the main thread ---- */

/* Asks as a stranger would, plainly; what comes is put when it is one address and nothing else. */
static void put(const struct candidate *c, uint64_t now)
{
	uint8_t query[DNS_HEADER + NAMES_NAME_MAX + 4] = { [5] = 1 }, out[DNS_UDP_PLAIN];
	size_t n = DNS_HEADER + c->len + 1u, end = n + 4;
	struct dns_ask a = { .zones = dns_role.zones,
		             .view = dns_view_of(dns_role.zones, DNS_VIEW_PUBLIC),
		             .server = &dns_role.server,
		             .client_len = 4 };

	memcpy(query + DNS_HEADER, c->name, c->len);
	dns_put16(query + n, c->type);
	dns_put16(query + n + 2, 1);
	size_t len = dns_answer(&a, query, end, out, sizeof(out));
	size_t bytes = c->type == DNS_A ? 4 : 16;
	const uint8_t *r = out + end;
	if (len != end + 12 + bytes || a.wild || !a.zone || out[2] != 0x84 || out[3] != 0 ||
	    dns_get16(out + 6) != 1 || dns_get16(r) != (0xc000 | DNS_HEADER) ||
	    dns_get16(r + 2) != c->type || dns_get16(r + 10) != bytes) {
		return;
	}
	uint32_t ttl = (uint32_t)dns_get16(r + 6) << 16 | dns_get16(r + 8);
	(void)dns_hot_put(&self.hot, c->name, c->len, r + 12, bytes, ttl,
	                  a.zone->dnskey || a.zone->keys, now);
}

static void take(struct dns_heat *h, uint64_t now)
{
	uint32_t taken = atomic_load_explicit(&h->taken, memory_order_relaxed);
	uint32_t end = atomic_load_explicit(&h->put, memory_order_acquire);

	for (; taken != end; taken++) {
		if (self.state) {
			put(&h->v[taken % RING], now);
		}
	}
	atomic_store_explicit(&h->taken, taken, memory_order_release);
}

static void on_tick(void *arg)
{
	uint64_t now = (uint64_t)dns_now_ms() * 1000000;

	(void)arg;
	for (size_t i = 0; i < self.n_heats; i++) {
		take(self.heats[i], now);
	}
	if (self.state) {
		dns_hot_until(&self.hot, now + ALIVE_NS);
	}
	loop_timer_start(self.tick, TICK_MS);
}

void dns_hot_changed(uint64_t zone, const uint8_t *name, size_t len)
{
	const struct dns_zone *c = self.state ? dns_zone_numbered(dns_role.zones, zone) : NULL;

	if (c) {
		dns_hot_drop(&self.hot, name, len, c->origin, c->len);
	}
}

void dns_hot_check(void)
{
	uint64_t shape = dns_zones_shape(dns_role.zones);

	if (self.state && shape != self.shape) {
		dns_hot_forget(&self.hot);
	}
	self.shape = shape;
}

/* ---- the engine ---- */

/* The maps of an engine that is gone: nothing is answered by them any more. */
static void let_go(void)
{
	if (self.state) {
		uint64_t answered, limited;

		dns_hot_counts(&self.hot, &answered, &limited);
		self.answered += answered - self.answered_first;
		self.limited += limited - self.limited_first;
		dns_hot_until(&self.hot, 0);
		munmap(self.state, sizeof(*self.state));
		munmap(self.buckets, self.bytes);
		self.state = NULL;
	}
	for (int i = 0; i < KNAMES_MAPS; i++) {
		if (self.fd[i] >= 0) {
			close(self.fd[i]);
			self.fd[i] = -1;
		}
	}
}

void dns_hot_begin_role(void)
{
	if (dns_role.config->n_xdp > 0) {
		self.tick = loop_timer_new(dns_role.loop, on_tick, NULL);
		on_tick(NULL);
	}
}

void dns_hot_engine_up(void)
{
	if (dns_role.config->n_xdp > 0) {
		channel_send(dns_role.engine, MSG_NAMES_HOT_ASK, NULL, -1);
	}
}

/* Both are there: begins with nothing. */
static void begin(uint32_t buckets)
{
	uint64_t key[2];
	int access = PROT_READ | PROT_WRITE;

	self.bytes = (size_t)buckets * sizeof(struct names_bucket);
	void *state = mmap(NULL, sizeof(*self.state), access, MAP_SHARED, self.fd[KNAMES_STATE], 0);
	void *names = mmap(NULL, self.bytes, access, MAP_SHARED, self.fd[KNAMES_NAMES], 0);
	if (state == MAP_FAILED || names == MAP_FAILED ||
	    getrandom(key, sizeof(key), 0) != sizeof(key)) {
		if (state != MAP_FAILED) {
			munmap(state, sizeof(*self.state));
		}
		if (names != MAP_FAILED) {
			munmap(names, self.bytes);
		}
		log_warn("dns.hot", LOG_STR("error", "the kernel's maps cannot be mapped"));
		return;
	}
	self.state = state;
	self.buckets = names;
	dns_hot_begin(&self.hot, self.state, self.buckets, buckets, key,
	              (uint32_t)dns_role.config->dns_rate);
	dns_hot_counts(&self.hot, &self.answered_first, &self.limited_first);
	self.shape = dns_zones_shape(dns_role.zones);
	log_info("dns.hot", LOG_NUM("names", (int64_t)buckets * NAMES_WAYS));
}

void dns_hot_map(struct reader *r, int fd)
{
	unsigned which = get_u8(r);
	uint32_t buckets = get_u32(r);

	if (!reader_done(r) || which >= KNAMES_MAPS || fd < 0 || buckets == 0 ||
	    buckets > BUCKETS || (buckets & (buckets - 1)) != 0) {
		r->failed = true;
		if (fd >= 0) {
			close(fd);
		}
		return;
	}
	if (which == KNAMES_STATE) { /* the first of them: of a new engine */
		let_go();
	}
	self.fd[which] = fd;
	if (which == KNAMES_NAMES && self.fd[KNAMES_STATE] >= 0) {
		begin(buckets);
	}
}

void dns_hot_print(struct buf *b, uint64_t *answered)
{
	uint64_t limited = 0;

	*answered = 0;
	if (dns_role.config->n_xdp == 0) {
		return;
	}
	if (self.state) {
		dns_hot_counts(&self.hot, answered, &limited);
		*answered -= self.answered_first;
		limited -= self.limited_first;
	}
	*answered += self.answered;
	buf_addf(b,
	         "netd_dns_kernel_answers_total %llu\nnetd_dns_kernel_limited_total %llu\n"
	         "netd_dns_kernel_names %zu\n",
	         (unsigned long long)*answered, (unsigned long long)(limited + self.limited),
	         self.state ? self.hot.names : 0);
}
