/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The program that answers hot names, run by the kernel on frames of ours, and held against the answer path: whatever it
 * answers, the sockets would have answered with the same bytes. Needs root; binds nothing.
 */
#include "dns/hot.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <time.h>

#include "lib/base/own.h"
#include "lib/kernel/names.h"
#include "tests/test.h"
#include "tests/unit/dns/world.h"

#define PORT   53
#define ZONE   "westeurope.azurecontainer.io"
#define BEFORE 1000000000u /* ns: of a clock that runs */

static const struct ip here[] = { { 4, { 192, 0, 2, 2 } },
	                          { 6, { 0x20, 1, 0xd, 0xb8, [15] = 2 } } };
static const struct ip there[] = { { 4, { 198, 51, 100, 7 } },
	                           { 6, { 0x20, 1, 0xd, 0xb8, 7, [15] = 9 } } };

static struct world {
	struct dns_zones *z;
	struct knames *k;
	struct dns_hot hot;
	struct dns_server server;
} w;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool put(const char *name, const char *address, bool signs)
{
	uint8_t wire[DNS_NAME_MAX];
	struct err e = ERR_INIT;
	struct ip ip;
	int n = dns_name_parse(name, wire);

	assert_true(n > 0 && ip_parse(address, &ip, &e) == 0);
	return dns_hot_put(&w.hot, wire, (size_t)n, ip.b, ip.family == 4 ? 4 : 16, 60, signs,
	                   now_ns());
}

static void drop(const char *name)
{
	uint8_t wire[DNS_NAME_MAX], zone[DNS_NAME_MAX];
	int n = dns_name_parse(name, wire), m = dns_name_parse(ZONE, zone);

	dns_hot_drop(&w.hot, wire, (size_t)n, zone, (size_t)m);
}

static void begin(uint32_t rate)
{
	static const uint64_t key[2] = { 11, 12 };

	dns_hot_begin(&w.hot, w.hot.state, w.hot.buckets, knames_buckets(w.k), key, rate);
	dns_hot_until(&w.hot, now_ns() + 600 * (uint64_t)BEFORE);
}

static int setup(void **state)
{
	struct err e = ERR_INIT;
	bool adopted;

	(void)state;
	w.z = dns_zones_new(-1, &adopted, &e);
	world_zone(w.z, 1, 0, 0, ZONE);
	world_put(w.z, 1, "web.hash", "A 198.18.0.4;AAAA 2001::4");
	world_put(w.z, 1, "two", "A 198.18.0.5;A 198.18.0.6");
	w.k = knames_new(4096, PORT, &e);
	if (!w.k) {
		print_message("%s\n", e.msg);
		return -1;
	}
	knames_addresses(w.k, here, 2);
	w.hot.state = mmap(NULL, sizeof(*w.hot.state), PROT_READ | PROT_WRITE, MAP_SHARED,
	                   knames_fd(w.k, KNAMES_STATE), 0);
	w.hot.buckets = mmap(NULL, knames_buckets(w.k) * sizeof(*w.hot.buckets),
	                     PROT_READ | PROT_WRITE, MAP_SHARED, knames_fd(w.k, KNAMES_NAMES), 0);
	assert_true(w.hot.state != MAP_FAILED && w.hot.buckets != MAP_FAILED);
	begin(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	munmap(w.hot.state, sizeof(*w.hot.state));
	munmap(w.hot.buckets, knames_buckets(w.k) * sizeof(*w.hot.buckets));
	knames_free(w.k);
	dns_zones_free(w.z);
	return 0;
}

/* ---- frames ---- */

struct frame {
	uint8_t b[1514];
	uint32_t len, dns; /* of all; where DNS begins */
};

static uint16_t sum(const uint8_t *p, size_t n, uint32_t x)
{
	for (size_t i = 0; i < n; i++) {
		x += (uint32_t)(p[i] << (i % 2 ? 0 : 8));
	}
	while (x >> 16) {
		x = (x & 0xffff) + (x >> 16);
	}
	return (uint16_t)x;
}

static struct frame frame_of(int family, const uint8_t *dns, size_t n)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	struct frame f = { .dns = family == 4 ? 42 : 62 };
	uint8_t *ip = f.b + 14, *udp = f.b + f.dns - 8;

	memcpy(f.b, macs, 12);
	dns_put16(f.b + 12, family == 4 ? 0x800 : 0x86dd);
	if (family == 4) {
		ip[0] = 0x45;
		dns_put16(ip + 2, (unsigned)(28 + n));
		ip[8] = 61;
		ip[9] = 17;
		memcpy(ip + 12, there[0].b, 4);
		memcpy(ip + 16, here[0].b, 4);
		dns_put16(ip + 10, (uint16_t)~sum(ip, 20, 0));
	} else {
		ip[0] = 0x60;
		dns_put16(ip + 4, (unsigned)(8 + n));
		ip[6] = 17;
		ip[7] = 61;
		memcpy(ip + 8, there[1].b, 16);
		memcpy(ip + 24, here[1].b, 16);
	}
	dns_put16(udp, 40000);
	dns_put16(udp + 2, PORT);
	dns_put16(udp + 4, (unsigned)(8 + n));
	memcpy(f.b + f.dns, dns, n);
	f.len = f.dns + (uint32_t)n;
	return f;
}

/* XDP_TX, XDP_PASS; what it became is in `to`. */
static int run(const struct frame *f, struct frame *to)
{
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f->b, .data_size_in = f->len,
	                    .data_out = to->b, .data_size_out = sizeof(to->b), .repeat = 1);

	assert_int_equal(bpf_prog_test_run_opts(knames_program(w.k), &o), 0);
	to->len = o.data_size_out;
	to->dns = f->dns;
	return (int)o.retval;
}

/* Headers of an answer: back to who asked, whole and with right sums. */
static void check_headers(const struct frame *f, const struct frame *a)
{
	bool v4 = f->dns == 42;
	size_t at = v4 ? 26 : 22, n = v4 ? 4 : 16, udp = f->dns - 8;

	assert_memory_equal(a->b, f->b + 6, 6);
	assert_memory_equal(a->b + 6, f->b, 6);
	assert_memory_equal(a->b + at, f->b + at + n, n);
	assert_memory_equal(a->b + at + n, f->b + at, n);
	assert_memory_equal(a->b + udp, f->b + udp + 2, 2);
	assert_memory_equal(a->b + udp + 2, f->b + udp, 2);
	assert_int_equal(dns_get16(a->b + udp + 4), a->len - udp);
	assert_int_equal(sum(a->b + at, a->len - at, 17 + (uint32_t)(a->len - udp)), 0xffff);
	if (v4) {
		assert_int_equal(dns_get16(a->b + 16), a->len - 14);
		assert_int_equal(sum(a->b + 14, 20, 0), 0xffff);
		assert_int_equal(a->b[14], 0x45);
	} else {
		assert_int_equal(dns_get16(a->b + 18), a->len - 54);
		assert_int_equal(a->b[14] >> 4, 6);
	}
}

/* What the sockets say to that. */
static size_t by_sockets(const uint8_t *query, size_t n, uint8_t *out)
{
	struct dns_ask a = {
		.zones = w.z, .view = dns_view_of(w.z, 0), .server = &w.server, .client_len = 4
	};

	return dns_answer(&a, query, n, out, 1232);
}

static int ask_raw(int family, const uint8_t *query, size_t n)
{
	struct frame f = frame_of(family, query, n), a;
	uint8_t out[1232];
	int rc = run(&f, &a);

	if (rc == XDP_TX) {
		check_headers(&f, &a);
		size_t want = by_sockets(query, n, out);
		assert_int_equal(a.len - a.dns, want);
		assert_memory_equal(a.b + a.dns, out, want);
	} else {
		assert_int_equal(rc, XDP_PASS);
		assert_int_equal(a.len, f.len);
		assert_memory_equal(a.b, f.b, f.len);
	}
	return rc;
}

static int ask(int family, const char *name, uint16_t type, bool edns)
{
	uint8_t query[600];

	return ask_raw(family, query, world_query(query, name, type, edns));
}

/* ---- tests ---- */

/* OpenSSL's SipHash says what the key of a question is. */
static void hash_is_siphash(void **state)
{
	static const uint8_t key[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
	uint8_t text[24] = "\3web\4hash\7example", want[16];
	__u64 k[2], words[2], got[2];
	struct names_hash h;
	size_t size = 16, n;
	EVP_MAC *m = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *c = EVP_MAC_CTX_new(m);
	OSSL_PARAM p[] = { OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
		           OSSL_PARAM_construct_end() };

	(void)state;
	memcpy(k, key, 16);
	memcpy(words, text, 16);
	names_hash_begin(&h, k);
	names_hash_word(&h, words[0]);
	names_hash_word(&h, words[1]);
	names_hash_end(&h, 17, 1, got); /* 16 bytes of name, the 17th is the type's */
	text[16] = 1;
	assert_true(EVP_MAC_init(c, key, 16, p) == 1 && EVP_MAC_update(c, text, 17) == 1 &&
	            EVP_MAC_final(c, want, &n, sizeof(want)) == 1);
	assert_memory_equal(got, want, 16);
	EVP_MAC_CTX_free(c);
	EVP_MAC_free(m);
}

static void answers(void **state)
{
	(void)state;
	begin(0);
	assert_int_equal(ask(4, "web.hash." ZONE, DNS_A, false), XDP_PASS);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	assert_true(put("web.hash." ZONE, "2001::4", false));
	for (int family = 4; family <= 6; family += 2) {
		for (int edns = 0; edns < 2; edns++) {
			assert_int_equal(ask(family, "web.hash." ZONE, DNS_A, edns), XDP_TX);
			assert_int_equal(ask(family, "web.hash." ZONE, DNS_AAAA, edns), XDP_TX);
			assert_int_equal(ask(family, "WEB.haSH." ZONE, DNS_A, edns), XDP_TX);
			assert_int_equal(ask(family, "web.hash." ZONE, DNS_TXT, edns), XDP_PASS);
			assert_int_equal(ask(family, "wev.hash." ZONE, DNS_A, edns), XDP_PASS);
			assert_int_equal(ask(family, "hash." ZONE, DNS_A, edns), XDP_PASS);
			assert_int_equal(ask(family, "two." ZONE, DNS_A, edns), XDP_PASS);
		}
	}
	drop("web.hash");
	assert_int_equal(ask(4, "web.hash." ZONE, DNS_A, false), XDP_PASS);
	assert_int_equal(ask(6, "web.hash." ZONE, DNS_AAAA, true), XDP_PASS);
	assert_int_equal(w.hot.names, 0);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	dns_hot_forget(&w.hot);
	assert_int_equal(ask(4, "web.hash." ZONE, DNS_A, false), XDP_PASS);
}

/* What is changed is never half there: old or new. */
static void changes(void **state)
{
	struct names_entry e, x;

	(void)state;
	begin(0);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	for (size_t i = 0; i < knames_buckets(w.k) * NAMES_WAYS; i++) {
		struct names_entry *at = &w.hot.buckets[i / NAMES_WAYS].way[i % NAMES_WAYS];

		if (at->key[0] == 0 || at->epoch != w.hot.state->epoch) {
			continue;
		}
		e = *at;
		for (size_t bit = 0; bit < 352; bit++) { /* up to `used`, which says nothing */
			x = e;
			((uint8_t *)&x)[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (bit / 8 == 38 || bit / 8 == 39) {
				continue; /* zeros that mean nothing */
			}
			*at = x;
			assert_int_equal(ask(4, "web.hash." ZONE, DNS_A, false), XDP_PASS);
		}
		*at = e;
		assert_int_equal(ask(4, "web.hash." ZONE, DNS_A, false), XDP_TX);
		return;
	}
	fail_msg("the entry is not there");
}

/* Who wants signatures of a signed zone asks the sockets; so does everybody when the role is gone, or there is too much. */
static void passes(void **state)
{
	uint8_t query[600];
	uint64_t answered, limited, before;
	struct frame a;

	(void)state;
	begin(0);
	assert_true(put("web.hash." ZONE, "198.18.0.4", true));
	size_t n = world_query(query, "web.hash." ZONE, DNS_A, true);
	assert_int_equal(ask_raw(4, query, n), XDP_TX);
	query[n - 4] = 0x80;
	assert_int_equal(ask_raw(4, query, n), XDP_PASS);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	assert_int_equal(ask_raw(4, query, n), XDP_TX);
	struct frame f = frame_of(4, query, n);
	f.b[20] = 0x20; /* a fragment */
	assert_int_equal(run(&f, &a), XDP_PASS);
	f = frame_of(4, query, n);
	f.b[33] = 9; /* not our address */
	assert_int_equal(run(&f, &a), XDP_PASS);
	f = frame_of(6, query, n);
	f.b[53] = 9;
	assert_int_equal(run(&f, &a), XDP_PASS);
	f = frame_of(4, query, n);
	f.b[0] = 0xff; /* broadcast */
	assert_int_equal(run(&f, &a), XDP_PASS);
	f = frame_of(4, query, n);
	f.len += 6; /* something behind the packet */
	assert_int_equal(run(&f, &a), XDP_PASS);
	dns_hot_until(&w.hot, now_ns() - 20000000);
	assert_int_equal(ask_raw(4, query, n), XDP_PASS);
	begin(50);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	dns_hot_counts(&w.hot, &before, &limited);
	int sent = 0;
	for (int i = 0; i < 200; i++) {
		sent += ask_raw(4, query, n) == XDP_TX;
	}
	assert_in_range(sent, 50, 60); /* a burst, and what time gives */
	dns_hot_counts(&w.hot, &answered, &limited);
	assert_int_equal(answered - before, sent);
	assert_int_equal(limited, 200 - sent);
	assert_int_equal(ask_raw(6, query, n), XDP_TX); /* another network */
}

/* Whatever comes: an answer is the sockets' answer, and what is none stays as it was. */
static void garbage(void **state)
{
	static const char *const names[] = { "web.hash." ZONE, "two." ZONE, "x." ZONE };
	long rounds = getenv("LONG") && *getenv("LONG") == '1' ? 2000000 : 60000, hits = 0;
	uint8_t query[600];

	(void)state;
	srand(getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1);
	begin(0);
	assert_true(put("web.hash." ZONE, "198.18.0.4", false));
	assert_true(put("web.hash." ZONE, "2001::4", false));
	for (long i = 0; i < rounds; i++) {
		size_t n = world_query(query, names[rand() % 4 % 3], rand() % 2 ? DNS_A : DNS_AAAA,
		                       rand() % 2);

		for (int k = rand() % 4; k > 0; k--) {
			size_t at = (size_t)rand() % n;

			query[at] = rand() % 2 ? (uint8_t)rand()
			                       : (uint8_t)(query[at] ^ 1u << rand() % 8);
		}
		n = rand() % 20 ? n : (size_t)rand() % n;
		hits += ask_raw(rand() % 2 ? 4 : 6, query, n + (n == 0)) == XDP_TX;
	}
	assert_in_range(hits, rounds / 20, rounds);
}

/* Headers that are garbage: nothing is answered that is not the size it says it is. */
static void garbage_below(void **state)
{
	uint8_t query[600];
	struct frame a;

	(void)state;
	size_t n = world_query(query, "web.hash." ZONE, DNS_A, false);
	for (int i = 0; i < 60000; i++) {
		struct frame f = frame_of(rand() % 2 ? 4 : 6, query, n);

		for (int k = 1 + rand() % 2; k > 0; k--) {
			f.b[(size_t)rand() % f.dns] = (uint8_t)rand();
		}
		f.len -= rand() % 10 ? 0 : (uint32_t)rand() % (f.len - 14);
		int rc = run(&f, &a);
		if (rc == XDP_TX) {
			check_headers(&f, &a);
			assert_int_equal(a.len, f.len + 16);
		} else {
			assert_int_equal(rc, XDP_PASS);
		}
	}
}

/* More names than there is room: those that are asked stay, and none is answered as another. */
static void full(void **state)
{
	char name[64], address[32];
	size_t kept = 0;

	(void)state;
	begin(0);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "n%u." ZONE, i);
		snprintf(address, sizeof(address), "198.18.%u.%u", i >> 8, i & 255);
		kept += put(name, address, false);
	}
	assert_in_range(kept, 3500, 4096);
	assert_int_equal(w.hot.names, kept);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t query[600];
		struct frame a;

		snprintf(name, sizeof(name), "n%u." ZONE, i);
		struct frame f = frame_of(4, query, world_query(query, name, DNS_A, false));
		if (run(&f, &a) == XDP_TX) {
			kept--;
			assert_int_equal(a.b[a.len - 2], i >> 8);
			assert_int_equal(a.b[a.len - 1], i & 255);
		}
	}
	assert_int_equal(kept, 0);
	assert_false(put("a-name-that-is-longer-than-the-kernel-looks-at.and-has-many-labels."
	                 "each-of-them-a-long-one.and-so-on.example",
	                 "198.18.0.1", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_is_siphash),
		cmocka_unit_test(answers),
		cmocka_unit_test(changes),
		cmocka_unit_test(passes),
		cmocka_unit_test(garbage),
		cmocka_unit_test(garbage_below),
		cmocka_unit_test(full),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
