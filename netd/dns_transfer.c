/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Secondaries: transfers of the public zones (AXFR, IXFR), and word that a zone has changed (NOTIFY, RFC 1996). Who may
 * have them is configured; without secondaries, nothing of this costs anything. See dns_parts.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "dns/transfer.h"
#include "lib/base/log.h"
#include "netd/dns_vnet.h"

#define COMMIT_MS     50          /* changes that come together are one step of the serial */
#define JOURNAL_BYTES (64u << 20) /* of a zone */
#define TRIES_MAX     6
#define TRY_MS        1000 /* then 2, 4, ... seconds */
#define FRESH_MS      600000 /* so often one looks whether secondaries' signatures are of this period */

/* A zone that secondaries follow. */
struct followed {
	struct followed *next;
	uint64_t zone;
	struct dns_journal *journal;
	bool changed;
	struct word { /* to each secondary: it has changed */
		uint16_t id;
		int tries; /* 0: nothing to say */
		int64_t next_ms;
	} words[CONFIG_SECONDARIES_MAX];
};

static struct followed *zones;
static struct loop_timer *commit_timer, *word_timer, *fresh_timer;
static int64_t period;
static int sockets[2] = { -1, -1 }; /* IPv4, IPv6 */

static struct followed *followed_find(uint64_t zone)
{
	struct followed *f = zones;

	while (f && f->zone != zone) {
		f = f->next;
	}
	return f;
}

/* ---- NOTIFY ---- */

static const struct tsig_key *key_of(const struct config_secondary *s)
{
	uint8_t name[DNS_NAME_MAX];
	int n = s->key[0] ? dns_name_parse(s->key, name) : -1;

	for (size_t i = 0; n > 0 && i < dns_role.server.n_keys; i++) {
		const struct tsig_key *k = &dns_role.server.keys[i];

		if (k->name_len == (size_t)n && memcmp(k->name, name, (size_t)n) == 0) {
			return k;
		}
	}
	return NULL;
}

static void on_word_answer(void *arg)
{
	uint8_t p[1232];
	int fd = *(int *)arg;
	ssize_t n;

	while ((n = recv(fd, p, sizeof(p), MSG_DONTWAIT)) >= (ssize_t)DNS_HEADER) {
		for (struct followed *f = zones; f && p[2] & 0x80; f = f->next) {
			for (size_t i = 0; i < dns_role.config->n_secondaries; i++) {
				if (f->words[i].tries && f->words[i].id == dns_get16(p)) {
					f->words[i].tries = 0;
				}
			}
		}
	}
}

static int socket_for(uint8_t family)
{
	int *fd = &sockets[family == 6];

	if (*fd < 0) {
		*fd = socket(family == 4 ? AF_INET : AF_INET6,
		             SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (*fd >= 0) {
			loop_watch_read(dns_role.loop, *fd, on_word_answer, fd);
		}
	}
	return *fd;
}

/* The SOA as it is now (RFC 1996 3.7): who is busy with an older one knows that there is more. */
static size_t put_hint(const struct dns_zone *c, uint8_t *p, size_t n)
{
	struct dns_found f;
	struct dns_set s;
	const uint8_t *soa = NULL;
	uint16_t len = 0;

	if (dns_table_find(dns_zones_table(dns_role.zones), c->space, c->origin, 0, &f) &&
	    dns_found_set(&f, DNS_SOA, &s)) {
		soa = dns_set_next(&s, &len);
	}
	if (!soa || n + 12 + len > DNS_UDP_MAX) {
		return n;
	}
	dns_put16(p + 6, 1);
	dns_put16(p + n, 0xc000u | DNS_HEADER);
	dns_put16(p + n + 2, DNS_SOA);
	dns_put16(p + n + 4, 1);
	dns_put32(p + n + 6, s.ttl_s);
	dns_put16(p + n + 10, len);
	memcpy(p + n + 12, soa, len);
	n += 12u + len;
	dns_put32(p + n - 20, c->serial);
	return n;
}

static void send_word(const struct dns_zone *c, const struct config_secondary *s, uint16_t id)
{
	uint8_t p[DNS_UDP_MAX + TSIG_ROOM] = { [2] = 0x24, [5] = 1 };
	const struct tsig_key *key = key_of(s);
	struct sockaddr_storage to;
	socklen_t len = ip_sockaddr(&s->ip, s->port, &to);
	size_t n = DNS_HEADER + c->len + 5;
	struct tsig t;

	dns_put16(p, id);
	memcpy(p + DNS_HEADER, c->origin, c->len);
	dns_put16(p + n - 4, DNS_SOA);
	dns_put16(p + n - 2, 1);
	n = put_hint(c, p, n);
	if (key) {
		tsig_begin(&t, key);
		n = tsig_sign(&t, p, n, (uint64_t)time(NULL));
	}
	(void)!sendto(socket_for(s->ip.family), p, n, MSG_DONTWAIT, (const struct sockaddr *)&to,
	              len);
}

/* Says what is due; each again with more patience until it is answered. */
static void on_words(void *arg)
{
	int64_t now = dns_now_ms(), soonest = INT64_MAX;

	(void)arg;
	for (struct followed *f = zones; f; f = f->next) {
		const struct dns_zone *c = dns_zone_numbered(dns_role.zones, f->zone);

		for (size_t i = 0; c && i < dns_role.config->n_secondaries; i++) {
			struct word *w = &f->words[i];

			if (w->tries && w->next_ms <= now) {
				send_word(c, &dns_role.config->secondaries[i], w->id);
				w->next_ms = now + ((int64_t)TRY_MS << (w->tries - 1));
				w->tries = w->tries < TRIES_MAX ? w->tries + 1 : 0;
			}
			soonest = w->tries && w->next_ms < soonest ? w->next_ms : soonest;
		}
	}
	if (soonest != INT64_MAX) {
		loop_timer_start(word_timer, soonest > now ? soonest - now : 0);
	}
}

static void tell(struct followed *f)
{
	for (size_t i = 0; i < dns_role.config->n_secondaries; i++) {
		uint16_t id;

		if (getrandom(&id, sizeof(id), 0) == sizeof(id)) {
			f->words[i] = (struct word){ id, 1, 0 };
		}
	}
	on_words(NULL);
}

/* ---- changes ---- */

static bool commit(struct followed *f)
{
	uint32_t from, to;

	f->changed = false;
	if (!dns_zone_commit(dns_role.zones, f->zone, &from, &to)) {
		return false;
	}
	dns_journal_commit(f->journal, dns_role.zones, dns_zone_numbered(dns_role.zones, f->zone),
	                   from, to);
	return true;
}

static void on_commit(void *arg)
{
	uint32_t highest = 0;

	(void)arg;
	for (struct followed *f = zones; f; f = f->next) {
		if (f->changed && commit(f)) {
			const struct dns_zone *c = dns_zone_numbered(dns_role.zones, f->zone);

			highest = c && c->serial > highest ? c->serial : highest;
			tell(f);
		}
	}
	if (highest) { /* no serial of before is used again after a restart of all */
		struct buf b = { 0 };

		put_u64(&b, highest);
		channel_send(dns_role.control, MSG_SERIAL, &b, -1);
		buf_fini(&b);
	}
}

static void change(struct followed *f)
{
	if (!f->changed) {
		f->changed = true;
		loop_timer_start(commit_timer, COMMIT_MS);
	}
}

void dns_transfer_resign(uint64_t zone)
{
	struct followed *f = followed_find(zone);

	if (f) {
		dns_zone_touch(dns_role.zones, zone);
		change(f);
	}
}

/* Signatures that secondaries hold end in two days: each period they have others to fetch. */
static void on_fresh(void *arg)
{
	int64_t now = time(NULL) / DNS_SIGN_PERIOD_S;

	(void)arg;
	for (struct followed *f = now != period ? zones : NULL; f; f = f->next) {
		const struct dns_zone *c = dns_zone_numbered(dns_role.zones, f->zone);

		if (c && c->keys) {
			dns_transfer_resign(f->zone);
		}
	}
	period = now;
	loop_timer_start(fresh_timer, FRESH_MS);
}

static struct dns_journal *journal_new(uint64_t zone)
{
	uint8_t key[16];
	struct dns_journal *j = getrandom(key, sizeof(key), 0) == sizeof(key)
	                                ? dns_journal_new(zone, JOURNAL_BYTES, key)
	                                : NULL;

	if (!j) {
		abort();
	}
	return j;
}

void dns_transfer_follow(uint64_t zone)
{
	struct followed *f = followed_find(zone);

	if (f || dns_role.config->n_secondaries == 0 || !dns_zone_numbered(dns_role.zones, zone)) {
		return;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		abort();
	}
	f->journal = journal_new(zone);
	f->zone = zone;
	f->next = zones;
	zones = f;
	if (!commit_timer) {
		commit_timer = loop_timer_new(dns_role.loop, on_commit, NULL);
		word_timer = loop_timer_new(dns_role.loop, on_words, NULL);
		fresh_timer = loop_timer_new(dns_role.loop, on_fresh, NULL);
		period = time(NULL) / DNS_SIGN_PERIOD_S;
		loop_timer_start(fresh_timer, FRESH_MS);
	}
	dns_zone_hold(dns_role.zones, zone);
	tell(f); /* it may have changed while nobody was here */
}

void dns_transfer_note(uint64_t zone, const uint8_t *name, size_t len)
{
	struct followed *f = zones ? followed_find(zone) : NULL;
	const struct dns_zone *c = f ? dns_zone_numbered(dns_role.zones, zone) : NULL;
	struct dns_found was;

	if (c) {
		bool had =
			dns_table_find(dns_zones_table(dns_role.zones), c->space, name, len, &was);

		dns_journal_note(f->journal, name, len, had && !was.empty ? &was : NULL);
		change(f);
	}
}

void dns_transfer_forget(void)
{
	for (struct followed *f = zones; f; f = f->next) {
		dns_journal_free(f->journal);
		f->journal = journal_new(f->zone);
		f->changed = true;
		loop_timer_start(commit_timer, COMMIT_MS);
	}
}

/* ---- transfers ---- */

/* By key; or by address, where a secondary has none. */
static bool may_have(const struct dns_ask *a)
{
	if (a->q.tsig_at) {
		return a->tsig.key && !a->tsig.error;
	}
	for (size_t i = 0; i < dns_role.config->n_secondaries; i++) {
		const struct config_secondary *s = &dns_role.config->secondaries[i];

		if (!s->key[0] && s->ip.family == (a->client_len == 4 ? 4 : 6) &&
		    memcmp(s->ip.b, a->client, a->client_len) == 0) {
			return true;
		}
	}
	return false;
}

bool dns_transfer(struct dns_ask *a, const uint8_t *packet, size_t len, struct buf *to)
{
	const struct dns_query *q = &a->q;
	const struct dns_zone *c = a->first;
	struct followed *f = c && c->len == q->name_len ? followed_find(c->number) : NULL;

	if (q->tsig_at && tsig_check(&a->tsig, dns_role.server.keys, dns_role.server.n_keys, packet,
	                             len, q->tsig_at, a->now_s) < 0) {
		return false;
	}
	if (!f || !may_have(a)) {
		return false;
	}
	if (c->dnskey && !c->keys) { /* not here yet: unsigned would be bogus */
		return false;
	}
	if (f->changed && commit(f)) { /* what is sent is a step of the serial */
		tell(f);
	}
	struct dns_transfer t = { .id = dns_get16(packet),
		                  .type = q->type,
		                  .question = packet + DNS_HEADER,
		                  .question_len = q->question_end - DNS_HEADER,
		                  .serial = q->serial,
		                  .tsig = q->tsig_at ? &a->tsig : NULL,
		                  .signer = dns_role.signer,
		                  .now_s = a->now_s };
	size_t before = to->len;
	bool ok = dns_transfer_build(dns_role.zones, c, f->journal, &t, to);
	log_info("dns.transfer", LOG_STR("type", q->type == DNS_AXFR ? "AXFR" : "IXFR"),
	         LOG_NUM("serial", c->serial), LOG_NUM("bytes", to->len - before));
	return ok;
}
