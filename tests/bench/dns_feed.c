/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The dns role alone, fed as control feeds it: dns_feed ADDRESS PORT NAMES. Its configuration is in NETD_CONFIG, names are
 * webN.HASH.westeurope.azurecontainer.io, as tests/bench/dns makes them for the others. Reads commands and answers each
 * with a line:
 *   change K  median and 99th percentile, microseconds, from a change until an answer has it, of K
 *   rate K    K changes in batches: how many a second until the role says that it has them
 *   restart   the role is killed and begun again: milliseconds until it answers
 *   kernel D  hot names are answered at the device D from now on (NETD_CONFIG has dns-xdp)
 *   sign      the zone is signed from now on (NETD_CONFIG has dnssec)
 *   pid       the role's process
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dns/query.h"
#include "dns/record.h"
#include "dns/sign.h"
#include "dns/zone.h"
#include "lib/kernel/names.h"
#include "netd/message.h"
#include "netd/role.h"

#define ZONE  1
#define BATCH 1000

static int udp = -1, tcp = -1, names = -1, channel = -1, to_main = -1;
static pid_t role;
static struct sockaddr_in at = { .sin_family = AF_INET };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

/* Messages as netd/message.c frames them; blocking, since nothing else is to be done. */
static void send_message(int fd, enum msg_type type, unsigned version, const struct buf *b,
                         int give)
{
	struct {
		uint16_t type, version;
		uint32_t length;
	} h = { (uint16_t)type, (uint16_t)version, (uint32_t)(b ? b->len : 0) };
	struct iovec iov[2] = { { &h, sizeof(h) }, { b ? b->data : NULL, b ? b->len : 0 } };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = b ? 2 : 1 };

	if (give >= 0) {
		m.msg_control = u.room;
		m.msg_controllen = sizeof(u.room);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &give, sizeof(int));
	}
	must(sendmsg(fd, &m, MSG_NOSIGNAL) > 0, "send");
}

/* Waits for the role's answer to the request. */
static void await(uint64_t request)
{
	static uint8_t data[8192];
	uint64_t got = ~request;

	while (got != request) {
		ssize_t n = recv(channel, data, sizeof(data), 0);

		must(n >= 16, "answer");
		memcpy(&got, data + 8, 8);
	}
}

static void begin_role(void)
{
	int a[2], b[2];
	const char *config = getenv("NETD_CONFIG"), *netd = getenv("NETD_BUILD");
	char path[300];

	snprintf(path, sizeof(path), "%s/netd", netd ? netd : "build");
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a) == 0 &&
	             socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b) == 0,
	     "socketpair");
	role = fork();
	if (role == 0) {
		const int from[3][2] = { { tcp, FD_DNS_TCP },
			                 { names, FD_DNS_NAMES },
			                 { udp, FD_DNS_UDP } };
		int high[3], main_fd = fcntl(a[1], F_DUPFD_CLOEXEC, 100);

		for (int i = 0; i < 3; i++) {
			high[i] = fcntl(from[i][0], F_DUPFD_CLOEXEC, 100);
		}
		for (int i = ROLE_FD_MAIN; i < 64; i++) {
			close(i);
		}
		for (int i = 0; i < 3; i++) {
			dup2(high[i], ROLE_FD_MAIN + 1 + from[i][1]);
		}
		dup2(main_fd, ROLE_FD_MAIN);
		execl(path, "netd", "--role", "dns", "--config", config, NULL);
		_exit(71);
	}
	close(a[1]);
	close(to_main);
	close(channel);
	to_main = a[0];
	channel = b[0];
	int big = 4 << 20;
	setsockopt(channel, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	struct buf body = { 0 };
	put_u32(&body, ROLE_CONTROL);
	send_message(to_main, MSG_PEER, 1, &body, b[1]);
	buf_fini(&body);
	close(b[1]);
}

/* ---- names ---- */

static size_t name_of(unsigned i, uint8_t to[DNS_NAME_MAX])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint64_t h = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
	char text[64];

	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	int n = snprintf(text, sizeof(text), "web%u.", i);
	for (int k = 0; k < 12; k++) {
		text[n++] = digits[h >> (59 - 5 * k) & 31];
	}
	text[n] = '\0';
	return (size_t)dns_name_parse(text, to);
}

static void put_one(struct buf *b, unsigned i, uint32_t address)
{
	uint8_t name[DNS_NAME_MAX];
	size_t len = name_of(i, name);

	put_u64(b, ZONE);
	put_u8(b, (uint8_t)len);
	buf_add(b, name, len);
	put_u8(b, 1);
	put_u16(b, DNS_A);
	put_u32(b, 10);
	put_u8(b, 1);
	put_u16(b, 4);
	put_u32(b, address);
}

static void send_names(unsigned from, unsigned to, uint32_t address, uint64_t request)
{
	for (unsigned i = from; i < to; i += BATCH) {
		unsigned n = to - i < BATCH ? to - i : BATCH;
		struct buf b = { 0 };

		put_u64(&b, i + n == to ? request : 0);
		put_u16(&b, (uint16_t)n);
		for (unsigned k = 0; k < n; k++) {
			put_one(&b, i + k, address + k);
		}
		send_message(channel, MSG_NAME_SET, 2, &b, -1);
		buf_fini(&b);
	}
}

static const uint32_t times[4] = { 3600, 600, 1209600, 5 };

static void send_zone(void)
{
	uint8_t origin[DNS_NAME_MAX], data[600];
	struct buf b = { 0 };
	int len = dns_name_parse("westeurope.azurecontainer.io", origin);

	put_u64(&b, ZONE);
	put_u32(&b, 1);
	put_u8(&b, (uint8_t)len);
	buf_add(&b, origin, (size_t)len);
	send_message(channel, MSG_ZONE_SET, 1, &b, -1);
	buf_clear(&b);
	int n = dns_data_soa("ns1.westeurope.azurecontainer.io",
	                     "hostmaster.westeurope.azurecontainer.io", times, data);
	put_u64(&b, 0);
	put_u16(&b, 1);
	put_u64(&b, ZONE);
	put_u8(&b, 0);
	put_u8(&b, 1);
	put_u16(&b, DNS_SOA);
	put_u32(&b, 60);
	put_u8(&b, 1);
	put_u16(&b, (uint16_t)(n + 2));
	put_u16(&b, (uint16_t)n);
	buf_add(&b, data, (size_t)n);
	send_message(channel, MSG_NAME_SET, 2, &b, -1);
	buf_clear(&b);
	put_u32(&b, 0);
	put_u8(&b, 0);
	put_u16(&b, 1);
	put_u64(&b, ZONE);
	put_u8(&b, 0);
	send_message(channel, MSG_VIEW_SET, 1, &b, -1);
	buf_fini(&b);
}

static void put_set(struct buf *b, uint16_t type, const uint8_t *data, size_t n)
{
	put_u16(b, type);
	put_u32(b, 60);
	put_u8(b, 1);
	put_u16(b, (uint16_t)(n + 2));
	put_u16(b, (uint16_t)n);
	buf_add(b, data, n);
}

/* A key for the keys and one for the rest, as control makes them. */
static void sign_zone(void)
{
	uint8_t private[2][32], data[600];
	struct dns_key k[2] = { 0 };
	struct buf b = { 0 }, apex = { 0 };

	put_u64(&b, ZONE);
	put_u8(&b, 2);
	for (int i = 0; i < 2; i++) {
		uint16_t flags = i ? DNS_KEY_ZSK : DNS_KEY_KSK;

		must(dns_key_draw(private[i]) && dns_key_load(&k[i], flags, true, private[i]),
		     "key");
		put_u16(&b, flags);
		put_u8(&b, 1);
		buf_add(&b, private[i], 32);
	}
	int n = dns_data_soa("ns1.westeurope.azurecontainer.io",
	                     "hostmaster.westeurope.azurecontainer.io", times, data);
	put_u64(&apex, 79);
	put_u16(&apex, 1);
	put_u64(&apex, ZONE);
	put_u8(&apex, 0);
	put_u8(&apex, 2);
	put_set(&apex, DNS_SOA, data, (size_t)n);
	put_u16(&apex, DNS_DNSKEY);
	put_u32(&apex, 60);
	put_u8(&apex, 2);
	put_u16(&apex, 2 * (2 + DNS_KEY_DATA));
	for (int i = 0; i < 2; i++) {
		dns_key_data(&k[i], data);
		put_u16(&apex, DNS_KEY_DATA);
		buf_add(&apex, data, DNS_KEY_DATA);
		dns_key_fini(&k[i]);
	}
	send_message(channel, MSG_ZONE_KEYS, 1, &b, -1);
	send_message(channel, MSG_NAME_SET, 2, &apex, -1);
	await(79);
	buf_fini(&b);
	buf_fini(&apex);
}

/* The engine's part: loads, holds the device by the driver, hands the maps over. */
static struct knames *hold_device(const char *dev)
{
	struct err e = ERR_INIT;
	struct ip ip = { .family = 4 };
	struct knames *k = knames_new(1u << 18, ntohs(at.sin_port), &e);
	struct buf b = { 0 };
	int pair[2];

	if (!k || knames_hold(k, dev, KNAMES_NATIVE, &e) < 0) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	memcpy(ip.b, &at.sin_addr, 4);
	knames_addresses(k, &ip, 1);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	put_u32(&b, ROLE_ENGINE);
	send_message(to_main, MSG_PEER, 1, &b, pair[1]);
	for (int i = 0; i < KNAMES_MAPS; i++) {
		buf_clear(&b);
		put_u8(&b, (uint8_t)i);
		put_u32(&b, knames_buckets(k));
		send_message(pair[0], MSG_NAMES_HOT, 1, &b, knames_fd(k, (enum knames_map)i));
	}
	buf_fini(&b);
	close(pair[1]); /* the other end stays open: it is the engine */
	return k;
}

/* ---- measuring ---- */

/* The address that the name has now, host order as it lies; 0: no answer yet. */
static uint32_t ask(int fd, unsigned i)
{
	uint8_t q[300] = { 1, 2, 0, 0, 0, 1 }, answer[1300], name[DNS_NAME_MAX];
	size_t len = name_of(i, name), n = 12 + len;
	static const uint8_t suffix[] = "\12westeurope\16azurecontainer\2io\0\0\1\0\1";
	uint32_t v = 0;

	memcpy(q + 12, name, len);
	memcpy(q + n, suffix, sizeof(suffix) - 1);
	n += sizeof(suffix) - 1;
	send(fd, q, n, 0);
	ssize_t m = recv(fd, answer, sizeof(answer), 0);
	if (m > 16 && answer[7] == 1) {
		memcpy(&v, answer + m - 4, 4);
	}
	return v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void change(int fd, unsigned k, unsigned total)
{
	double *took = calloc(k, sizeof(double));

	for (unsigned i = 0; took && i < k; i++) {
		unsigned name = (i * 7919u) % total;
		uint32_t address = 0x01000000u + i;
		double began = now();

		send_names(name, name + 1, address, 0);
		while (ask(fd, name) != address) {
		}
		took[i] = (now() - began) * 1e6;
	}
	qsort(took, k, sizeof(double), by_value);
	printf("%.1f %.1f\n", took[k / 2], took[k * 99 / 100]);
	free(took);
}

static void restart(int fd)
{
	struct timeval short_time = { 0, 2000 };

	kill(role, SIGKILL);
	double began = now();
	waitpid(role, NULL, 0);
	begin_role();
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &short_time, sizeof(short_time));
	while (ask(fd, 5) == 0) {
	}
	printf("%.1f\n", (now() - began) * 1e3);
}

int main(int argc, char **argv)
{
	unsigned total = argc > 3 ? (unsigned)atoi(argv[3]) : 0, k;
	char line[100], dev[16];
	struct knames *kernel = NULL;
	int one = 1, big = 4 << 20;

	must(total > 0, "usage: dns_feed ADDRESS PORT NAMES, or: dns_feed names - COUNT");
	if (strcmp(argv[1], "names") == 0) { /* one a line, for the others' zone */
		for (unsigned i = 0; i < total; i++) {
			uint8_t name[DNS_NAME_MAX];
			char text[DNS_NAME_TEXT];
			size_t len = name_of(i, name);

			puts(dns_name_print(name, len, text));
		}
		return 0;
	}
	at.sin_port = htons((uint16_t)atoi(argv[2]));
	inet_pton(AF_INET, argv[1], &at.sin_addr);
	udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	names = memfd_create("names", MFD_CLOEXEC);
	must(bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	             bind(tcp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(tcp, 512) == 0,
	     "bind");
	begin_role();
	double began = now();
	send_message(channel, MSG_NAMES_BEGIN, 1, NULL, -1);
	send_zone();
	send_names(0, total, 0x02000000, 0);
	struct buf b = { 0 };
	put_u64(&b, 77);
	send_message(channel, MSG_NAMES_END, 1, &b, -1);
	await(77);
	printf("loaded %.3f %d\n", now() - began, (int)role);
	fflush(stdout);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0, "connect");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "change %u", &k) == 1) {
			change(fd, k, total);
		} else if (sscanf(line, "rate %u", &k) == 1) {
			began = now();
			send_names(0, k < total ? k : total, (uint32_t)(now() * 1000), 78);
			await(78);
			printf("%.0f\n", (k < total ? k : total) / (now() - began));
		} else if (sscanf(line, "kernel %15s", dev) == 1) {
			kernel = hold_device(dev);
			puts("held");
		} else if (strncmp(line, "sign", 4) == 0) {
			sign_zone();
			puts("signed");
		} else if (strncmp(line, "restart", 7) == 0) {
			restart(fd);
		} else {
			printf("%d\n", (int)role);
		}
		fflush(stdout);
	}
	knames_free(kernel);
	kill(role, SIGTERM);
	waitpid(role, NULL, 0);
	return 0;
}
