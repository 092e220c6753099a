/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The dns role: no capabilities, sockets handed in. Reads DNS packets from anyone and control's messages; answers
 * from dns/zone.h. Keeps answering while control is away, and goes on with the table of names that a role before it
 * left. See dns_parts.h for its files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "netd/dns_vnet.h"

#define TCP_IDLE_DS 100 /* ten seconds */

struct dns_role dns_role;

int64_t dns_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void dns_client(struct dns_ask *a, const struct sockaddr_storage *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memset(a->client, 0, sizeof(a->client));
	if (from->ss_family == AF_INET6) {
		const uint8_t *p =
			((const struct sockaddr_in6 *)(const void *)from)->sin6_addr.s6_addr;
		bool v4 = memcmp(p, mapped, 12) == 0;

		a->client_len = v4 ? 4 : 16;
		memcpy(a->client, v4 ? p + 12 : p, a->client_len);
	} else {
		a->client_len = 4;
		memcpy(a->client, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
	}
}

void dns_count_answer(struct dns_counts *c, const struct dns_ask *a, size_t len)
{
	dns_counted(c, COUNT_QUERIES);
	if (len == 0) {
		return;
	}
	dns_counted(c, COUNT_ANSWERS);
	if (a->rcode == DNS_NXDOMAIN) {
		dns_counted(c, COUNT_NXDOMAIN);
	} else if (a->rcode == DNS_REFUSED) {
		dns_counted(c, COUNT_REFUSED);
	} else if (a->rcode == DNS_FORMERR) {
		dns_counted(c, COUNT_MALFORMED);
	}
	if (a->truncated) {
		dns_counted(c, COUNT_TRUNCATED);
	}
	if (a->cookie_good) {
		dns_counted(c, COUNT_COOKIES);
	}
}

void dns_log(struct buf *b, const struct dns_ask *a, uint32_t vnet, size_t len)
{
	char name[DNS_NAME_TEXT], who[IP_TEXT];
	struct ip ip = { .family = a->client_len == 4 ? 4 : 6 };

	if (dns_role.log < 0 || a->read == DNS_DROP) {
		return;
	}
	memcpy(ip.b, a->client, a->client_len);
	buf_addf(b, "%u %u %s %s %u %s %d%s\n", a->now_s, vnet, ip_format(&ip, who),
	         dns_name_print(a->q.name, a->q.name_len, name), a->q.type, a->tcp ? "tcp" : "udp",
	         a->elsewhere ? -1 : a->rcode, len || a->elsewhere ? "" : " dropped");
}

void dns_log_flush(struct buf *b)
{
	if (b->len > 0) { /* a disk that is full loses lines, not answers */
		(void)!write(dns_role.log, b->data, b->len);
	}
	buf_clear(b);
}

/* Not before the first full list, or what was left by a role before: until then packets wait in the sockets, and no
 * name that exists is denied. */
void dns_serve(void)
{
	if (dns_role.serving) {
		return;
	}
	dns_role.serving = true;
	dns_workers_start();
	if (dns_role.tcp >= 0) {
		(void)dns_tcp_serve(dns_role.tcp, DNS_VIEW_PUBLIC);
	}
	dns_vnet_engine_up();
}

static void fresh_secret(void)
{
	struct dns_secrets *s = &dns_role.server.secrets;

	memmove(s->key[1], s->key[0], sizeof(s->key[0]) * 2);
	if (getrandom(s->key[0], sizeof(s->key[0]), 0) != sizeof(s->key[0])) {
		abort();
	}
	s->n = s->n < 3 ? s->n + 1 : 3;
}

#define SECRET_MS (8 * 3600 * 1000) /* cookies are good for an hour: two older secrets are plenty */

static struct loop_timer *rollover;
static void on_rollover(void *arg)
{
	(void)arg;
	fresh_secret();
	loop_timer_start(rollover, SECRET_MS);
}

static void on_engine(void *arg, enum role from, enum msg_type type, struct reader *r, int fd)
{
	if (type == MSG_NAMES_HOT) {
		dns_hot_map(r, fd);
		return;
	}
	dns_vnet_engine(arg, from, type, r, fd);
}

static void on_peer(enum role peer)
{
	if (peer == ROLE_ENGINE) {
		dns_hot_engine_up();
	}
	if (peer == ROLE_ENGINE && dns_role.serving) {
		dns_vnet_engine_up();
	}
}

void dns_run(const struct config *c, struct loop *l, const int fds[FD_N], int main_fd)
{
	struct err e = ERR_INIT;
	bool adopted = false;

	dns_role.config = c;
	dns_role.loop = l;
	dns_role.zones = dns_zones_new(fds[FD_DNS_NAMES], &adopted, &e);
	if (!dns_role.zones) {
		log_error("dns.start", LOG_STR("error", e.msg));
		exit(71);
	}
	snprintf(dns_role.server.nsid, sizeof(dns_role.server.nsid), "%s", c->dns_id);
	snprintf(dns_role.server.version, sizeof(dns_role.server.version), "netd");
	dns_role.server.idle_ds = TCP_IDLE_DS;
	for (size_t i = 0; i < c->n_keys; i++) {
		struct tsig_key *k = &dns_role.server.keys[dns_role.server.n_keys++];

		k->name_len = (size_t)dns_name_parse(c->keys[i].name, k->name);
		(void)tsig_algorithm(c->keys[i].algorithm, &k->algorithm);
		memcpy(k->secret, c->keys[i].secret, sizeof(k->secret));
		k->secret_len = c->keys[i].secret_len;
	}
	rollover = loop_timer_new(l, on_rollover, NULL);
	on_rollover(NULL);
	for (int i = FD_DNS_UDP; i <= FD_DNS_UDP_LAST; i++) {
		if (fds[i] >= 0) {
			dns_role.udp[dns_role.n_udp++] = fds[i];
		}
	}
	dns_hot_begin_role();
	dns_role.signer = c->dnssec ? dns_signer_new(DNS_SIGNATURES) : NULL;
	dns_role.log = fds[FD_DNS_LOG];
	dns_role.tcp = fds[FD_DNS_TCP];
	if (adopted) {
		log_info("dns.adopted", LOG_NUM("names", dns_names(dns_role.zones)));
		dns_serve();
	}
	const struct role_peer peers[] = { { ROLE_CONTROL, &dns_role.control, dns_control, NULL },
		                           { ROLE_ENGINE, &dns_role.engine, on_engine, on_peer } };
	role_serve(ROLE_DNS, l, main_fd, peers, 2);
}
