/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The answer path, byte by byte, and under garbage. The rows of `probes` are what two independent servers
 * were measured to answer.
 */
#include "dns/limit.h"
#include "tests/test.h"
#include "tests/unit/dns/world.h"

static struct dns_server server = { .nsid = "node1",
	                            .version = "netd",
	                            .secrets = { .key = { { 1 }, { 2 } }, .n = 2 },
	                            .idle_ds = 100 };

static struct dns_zones *zones(void)
{
	struct err e = ERR_INIT;
	bool adopted;
	struct dns_zones *z = dns_zones_new(-1, &adopted, &e);

	assert_non_null(z);
	world_zone(z, 1, 0, 0, "westeurope.azurecontainer.io");
	world_put(z, 1, "web.hash", "A 198.18.0.4;AAAA 2001::4");
	world_put(z, 1, "alias", "CNAME web.hash.westeurope.azurecontainer.io");
	world_put(z, 1, "out", "CNAME www.example.com");
	world_put(z, 1, "loop", "CNAME loop.westeurope.azurecontainer.io");
	world_put(z, 1, "*.w", "A 198.18.0.5");
	world_put(z, 1, "b.w", "TXT hello");
	world_put(z, 1, "cut", "NS ns.cut.westeurope.azurecontainer.io");
	world_put(z, 1, "ns.cut", "A 198.18.0.6");
	world_put(z, 1, "old", "DNAME new.westeurope.azurecontainer.io");
	world_put(z, 1, "x.new", "A 198.18.0.7");
	/* A VNet's: a private zone, a longer one inside it, one that falls back. */
	world_zone(z, 2, 9, 0, "corp.example");
	world_put(z, 2, "db", "A 10.0.0.4");
	world_put(z, 2, "ext", "CNAME www.example.com");
	world_put(z, 2, "a.dev", "A 10.0.0.5");
	world_zone(z, 3, 9, 0, "dev.corp.example");
	world_put(z, 3, "b", "A 10.0.0.6");
	world_zone(z, 4, 9, DNS_LINK_FALLBACK, "privatelink.example");
	world_put(z, 4, "here", "A 10.0.0.7");
	return z;
}

static struct dns_ask ask_of(struct dns_zones *z, uint32_t view, bool tcp)
{
	return (struct dns_ask){ .zones = z,
		                 .view = dns_view_of(z, view),
		                 .server = &server,
		                 .tcp = tcp,
		                 .stub = view != 0,
		                 .client = { 192, 0, 2, 1 },
		                 .client_len = 4,
		                 .now_s = 1000000 };
}

/* rcode, answers, authority; -1: asked elsewhere, for `target` */
static void expect(struct dns_zones *z, uint32_t view, const char *name, uint16_t type, int rcode,
                   int answers, int authority, const char *target)
{
	uint8_t q[512], out[65535];
	struct dns_ask a = ask_of(z, view, false);
	size_t len = world_query(q, name, type, false), n = dns_answer(&a, q, len, out, 1232);
	char text[DNS_NAME_TEXT];

	assert_true(n >= 12);
	assert_memory_equal(out, q, 2);
	assert_true(out[2] & 0x80);
	assert_memory_equal(out + 12, q + 12, len - 12); /* the question as asked, case too */
	assert_int_equal(a.elsewhere, target != NULL);
	assert_int_equal(out[7], answers);
	if (target) {
		assert_string_equal(dns_name_print(a.target, a.target_len, text), target);
		return;
	}
	assert_int_equal(out[3] & 15, rcode);
	assert_int_equal(out[9], authority);
}

#define R ".westeurope.azurecontainer.io"

static void answers(void **state)
{
	struct dns_zones *z = zones();

	(void)state;
	expect(z, 0, "web.hash" R, 1, 0, 1, 0, NULL);
	expect(z, 0, "WEB.Hash.westEurope.azurecontainer.io", 28, 0, 1, 0, NULL);
	expect(z, 0, "web.hash" R, 16, 0, 0, 1, NULL); /* NODATA */
	expect(z, 0, "hash" R, 1, 0, 0, 1, NULL);      /* exists, empty */
	expect(z, 0, "nope.hash" R, 1, 3, 0, 1, NULL); /* NXDOMAIN */
	expect(z, 0, "westeurope.azurecontainer.io", 6, 0, 1, 0, NULL);
	expect(z, 0, "westeurope.azurecontainer.io", 2, 0, 1, 0, NULL);
	expect(z, 0, "web.hash" R, 255, 0, 1, 0, NULL);
	expect(z, 0, "westeurope.azurecontainer.io", 251, 0, 1, 0, NULL); /* IXFR by UDP: the SOA */
	expect(z, 0, "web.hash" R, 251, 9, 0, 0, NULL);                   /* NOTAUTH: no zone */
	expect(z, 0, "nope.hash" R, 251, 9, 0, 0, NULL);
	expect(z, 0, "example.com", 1, 5, 0, 0, NULL);
	expect(z, 0, "xwesteurope.azurecontainer.io", 1, 5, 0, 0, NULL);
	expect(z, 0, "alias" R, 1, 0, 2, 0, NULL);
	expect(z, 0, "alias" R, 5, 0, 1, 0, NULL);
	expect(z, 0, "out" R, 1, 0, 1, 0, NULL);  /* leaves the zone: what is known */
	expect(z, 0, "loop" R, 1, 0, 1, 0, NULL); /* one turn */
	expect(z, 0, "a.w" R, 1, 0, 1, 0, NULL);
	expect(z, 0, "x.y.w" R, 1, 0, 1, 0, NULL);
	expect(z, 0, "a.w" R, 28, 0, 0, 1, NULL);
	expect(z, 0, "b.w" R, 1, 0, 0, 1, NULL);      /* exists: no wildcard */
	expect(z, 0, "x.b.w" R, 1, 3, 0, 1, NULL);    /* b.w is the closest encloser */
	expect(z, 0, "host.cut" R, 1, 0, 0, 1, NULL); /* a referral */
	expect(z, 0, "cut" R, 1, 0, 0, 1, NULL);
	expect(z, 0, "cut" R, 43, 0, 0, 1, NULL);  /* DS: the parent's, NODATA */
	expect(z, 0, "x.old" R, 1, 0, 3, 0, NULL); /* DNAME, CNAME, A */
	expect(z, 0, "old" R, 1, 0, 0, 1, NULL);
	expect(z, 0, "db.corp.example", 1, 5, 0, 0, NULL);
	dns_zones_free(z);
}

static void views(void **state)
{
	struct dns_zones *z = zones();

	(void)state;
	expect(z, 9, "db.corp.example", 1, 0, 1, 0, NULL);
	expect(z, 9, "nope.corp.example", 1, 3, 0, 1, NULL);
	expect(z, 9, "b.dev.corp.example", 1, 0, 1, 0, NULL);
	expect(z, 9, "a.dev.corp.example", 1, 3, 0, 1, NULL); /* the longest origin answers */
	expect(z, 9, "ext.corp.example", 1, 0, 1, 0, "www.example.com");
	expect(z, 9, "www.example.com", 1, 0, 0, 0, "www.example.com");
	expect(z, 9, "here.privatelink.example", 1, 0, 1, 0, NULL);
	expect(z, 9, "here.privatelink.example", 28, 0, 0, 1, NULL); /* no data is no absence */
	expect(z, 9, "gone.privatelink.example", 1, 0, 0, 0, "gone.privatelink.example");
	expect(z, 9, "web.hash" R, 1, 0, 0, 0, "web.hash" R);
	expect(z, 8, "db.corp.example", 1, 0, 0, 0, "db.corp.example"); /* another VNet */
	dns_link_drop(z, 9, 3);
	expect(z, 9, "a.dev.corp.example", 1, 0, 1, 0, NULL);
	dns_zone_drop(z, 2);
	expect(z, 9, "db.corp.example", 1, 0, 0, 0, "db.corp.example");
	dns_zones_free(z);
}

/* What a row's bytes do to a query for web.hash with EDNS, and what comes back. */
struct probe {
	const char *what;
	int at, value; /* from the front; negative: from the end */
	int rcode;     /* extended; -1 dropped */
	int answers, extra;
};

static const struct probe probes[] = {
	{ "plain", 2, 1, 0, 1, 1 },
	{ "an answer", 2, 0x81, -1, 0, 0 },
	{ "opcode 1", 2, 0x09, 4, 0, 0 },
	{ "opcode 2", 2, 0x11, 4, 0, 0 },
	{ "opcode 15", 2, 0x79, 4, 0, 0 },
	{ "notify", 2, 0x21, 5, 0, 0 },
	{ "update", 2, 0x29, 5, 0, 0 },
	{ "TC, as if truncated", 2, 0x03, 0, 1, 1 },
	{ "Z, AD, CD", 3, 0x70, 0, 1, 1 },
	{ "no question", 5, 0, 1, 0, 0 },
	{ "two questions", 5, 2, 1, 0, 0 },
	{ "an answer claimed", 7, 1, 1, 0, 0 },
	{ "an authority claimed", 9, 1, 1, 0, 0 },
	{ "two additional claimed", 11, 2, 1, 0, 0 },
	{ "none claimed: bytes left over", 11, 0, 1, 0, 0 },
	{ "a pointer in the name", 12, 0xc0, 1, 0, 0 },
	{ "a label of type 01", 12, 0x41, 1, 0, 0 },
	{ "class 254", -12, 254, 5, 0, 1 },
	{ "type 232", -14, 232, 0, 0, 1 },
	{ "EDNS version 100", -5, 100, 16, 0, 1 },
	{ "a flag of EDNS", -3, 0x80, 0, 1, 1 },
	{ "size 0", -8, 0, 0, 1, 1 },
	{ "an OPT at a name", -11, 1, 1, 0, 0 },
	{ "an OPT longer than the packet", -1, 4, 1, 0, 0 },
	{ "type OPT", -14, 41, 0, 0, 1 },
	{ "type TSIG", -14, 250, 0, 0, 1 },
	{ "type MAILB", -14, 253, 0, 0, 1 },
	{ "type NXNAME", -14, 128, 1, 0, 1 },
	{ "AXFR", -14, 252, 4, 0, 1 },
};

static void probed(void **state)
{
	struct dns_zones *z = zones();

	(void)state;
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		const struct probe *p = &probes[i];
		uint8_t q[512], out[1232];
		struct dns_ask a = ask_of(z, 0, false);
		size_t len = world_query(q, "web.hash" R, 1, true);

		/* The OPT's 11 bytes end the query; before it type and class. */
		q[p->at < 0 ? (int)len + p->at : p->at] = (uint8_t)p->value;
		size_t n = dns_answer(&a, q, len, out, sizeof(out));
		if (p->rcode < 0) {
			assert_int_equal(n, 0);
			continue;
		}
		if (n < 12 || a.rcode != p->rcode || out[7] != p->answers || out[11] != p->extra) {
			fail_msg("%s: rcode %d, %d answers, %d additional", p->what, a.rcode,
			         out[7], out[11]);
		}
		assert_int_equal(out[3] & 0xf0, 0); /* RA, Z, AD, CD */
		assert_int_equal(out[2] & 1, q[2] & 1);
		if (p->extra) { /* OPT version 0, size 1232, no flags but DO */
			size_t opt = a.q.question_end;

			while (opt + 11 <= n &&
			       !(out[opt] == 0 && out[opt + 1] == 0 && out[opt + 2] == 41)) {
				opt++;
			}
			assert_true(opt + 11 <= n);
			assert_int_equal(out[opt + 3] << 8 | out[opt + 4], 1232);
			assert_int_equal(out[opt + 5], p->rcode >> 4);
			assert_int_equal(out[opt + 6], 0);
			assert_int_equal(out[opt + 7] & 0x7f, 0);
			assert_int_equal(out[opt + 8], 0);
		}
	}
	dns_zones_free(z);
}

static void truncated(void **state)
{
	struct dns_zones *z = zones();
	uint8_t q[512], out[65535];
	struct dns_sets sets = { 0 };
	struct err e = ERR_INIT;
	uint8_t name[] = { 3, 'b', 'i', 'g' };

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		assert_true(dns_sets_add(&sets, DNS_A, 60, &i, 4));
	}
	assert_int_equal(dns_name_put(z, 1, name, 4, dns_sets_close(&sets), sets.n, &e), 0);
	dns_sets_fini(&sets);
	size_t len = world_query(q, "big" R, 1, true);
	struct dns_ask a = ask_of(z, 0, false);
	size_t n = dns_answer(&a, q, len, out, sizeof(out));
	assert_true(n <= 1232 && out[2] & 2);
	assert_int_equal(out[7], 0);
	a = ask_of(z, 0, true);
	n = dns_answer(&a, q, len, out, sizeof(out));
	assert_true(n > 200 * 16 && !(out[2] & 2));
	assert_int_equal(out[6] << 8 | out[7], 200);
	dns_zones_free(z);
}

/* RFC 9018, appendix A: the same bytes as other servers make. */
static void cookies(void **state)
{
	static const uint8_t client[8] = { 0x24, 0x64, 0xc4, 0xab, 0xcf, 0x10, 0xc9, 0x57 };
	static const uint8_t addr[4] = { 198, 51, 100, 100 };
	static const uint8_t want[16] = { 0x01, 0x00, 0x00, 0x00, 0x5c, 0xf7, 0x9f, 0x11,
		                          0x1f, 0x81, 0x30, 0xc3, 0xee, 0xe2, 0x94, 0x80 };
	struct dns_secrets s = { .key = { { 0xe5, 0xe9, 0x73, 0xe5, 0xa6, 0xb2, 0xa4, 0x3f, 0x48,
		                            0xe7, 0xdc, 0x84, 0x9e, 0x37, 0xbf, 0xcf } },
		                 .n = 1 };
	uint8_t got[16], whole[24];

	(void)state;
	dns_cookie_make(&s, client, addr, 4, 1559731985, got);
	assert_memory_equal(got, want, 16);
	memcpy(whole, client, 8);
	memcpy(whole + 8, got, 16);
	assert_true(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985 + 3600));
	assert_false(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985 + 3601));
	assert_true(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985 - 300));
	assert_false(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985 - 301));
	assert_false(dns_cookie_good(&s, whole, 23, addr, 4, 1559731985));
	memmove(s.key[1], s.key[0], 16); /* a newer secret: the older one is still good */
	memset(s.key[0], 7, 16);
	s.n = 2;
	assert_true(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985));
	whole[23] ^= 1;
	assert_false(dns_cookie_good(&s, whole, 24, addr, 4, 1559731985));
}

/* Through the answer path: half a cookie gets a whole one, a whole one is good, a wrong length is malformed. */
static void cookie_option(void **state)
{
	struct dns_zones *z = zones();
	uint8_t q[512], out[1232];
	struct dns_ask a = ask_of(z, 0, false);
	size_t len = world_query(q, "web.hash" R, 1, true);

	(void)state;
	q[len - 1] = 12;
	memcpy(q + len, "\0\12\0\10abcdefgh", 12);
	size_t n = dns_answer(&a, q, len + 12, out, sizeof(out));
	assert_false(a.cookie_good);
	assert_memory_equal(out + n - 28, "\0\12\0\30abcdefgh", 12);
	q[len - 1] = 28;
	memcpy(q + len, out + n - 28, 28);
	n = dns_answer(&a, q, len + 28, out, sizeof(out));
	assert_true(a.cookie_good);
	a.client[0]++;
	dns_answer(&a, q, len + 28, out, sizeof(out));
	assert_false(a.cookie_good);
	n = dns_answer_short(&a, q, out);
	assert_int_equal(a.rcode, DNS_BADCOOKIE);
	q[len - 1] = 13;
	q[len + 3] = 9;
	dns_answer(&a, q, len + 13, out, sizeof(out));
	assert_int_equal(a.rcode, DNS_FORMERR);
	/* Only a cookie, no question: RFC 7873 5.4. */
	uint8_t bare[12 + 11 + 12] = { 1, 2, [11] = 1, [14] = 41, [15] = 4, [22] = 12 };
	memcpy(bare + 23, "\0\12\0\10abcdefgh", 12);
	n = dns_answer(&a, bare, sizeof(bare), out, sizeof(out));
	assert_int_equal(n, 12 + 11 + 28);
	assert_int_equal(a.rcode, 0);
	assert_int_equal(out[5], 0);
	dns_zones_free(z);
}

static void options(void **state)
{
	struct dns_zones *z = zones();
	uint8_t q[512], out[1232];
	struct dns_ask a = ask_of(z, 0, true);
	size_t len = world_query(q, "example.com", 1, true);

	(void)state;
	q[len - 1] = 8;
	memcpy(q + len, "\0\3\0\0\0\13\0\0", 8); /* NSID, keepalive */
	size_t n = dns_answer(&a, q, len + 8, out, sizeof(out));
	assert_memory_equal(out + n - 6 - 6 - 9, "\0\3\0\5node1\0\13\0\2\0\144\0\17\0\2\0\24", 21);
	len = world_query(q, "version.bind", 16, false);
	q[len - 1] = 3;
	n = dns_answer(&a, q, len, out, sizeof(out));
	assert_int_equal(a.rcode, 0);
	assert_memory_equal(out + n - 5, "\4netd", 5);
	len = world_query(q, "other.bind", 16, false);
	q[len - 1] = 3;
	dns_answer(&a, q, len, out, sizeof(out));
	assert_int_equal(a.rcode, DNS_REFUSED);
	dns_zones_free(z);
}

static void limits(void **state)
{
	struct dns_limit *l = dns_limit_new(10, 64);
	int sent = 0, shorts = 0, dropped = 0;

	(void)state;
	for (int ms = 0; ms < 2000; ms++) { /* 1,000 a second for two seconds */
		enum dns_limit_verdict v = dns_limit_take(l, 77, 5000 + ms);

		sent += v == DNS_LIMIT_SEND;
		shorts += v == DNS_LIMIT_SHORT;
		dropped += v == DNS_LIMIT_DROP;
	}
	assert_in_range(sent, 28, 31); /* a burst of ten, ten a second */
	assert_in_range(shorts - dropped, 0, 40);
	assert_int_equal(dns_limit_take(l, 78, 7000), DNS_LIMIT_SEND);
	dns_limit_free(l);
	l = dns_limit_new(0, 64);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(dns_limit_take(l, 77, 5000), DNS_LIMIT_SEND);
	}
	dns_limit_free(l);
}

static void garbage(void **state)
{
	struct dns_zones *z = zones();
	unsigned seed = (unsigned)atoi(getenv("SEED") ? getenv("SEED") : "1");
	uint8_t good[600];
	size_t len = world_query(good, "x.old" R, 1, true);

	(void)state;
	good[len - 1] = 12;
	memcpy(good + len, "\0\12\0\10abcdefgh", 12);
	len += 12;
	for (int i = 0; i < 200000; i++) {
		size_t n = (size_t)(rand_r(&seed) % (int)(len + 1));
		uint8_t *q = malloc(n + 1),
			*out = malloc(512); /* exact sizes: ASan watches the ends */
		struct dns_ask a = ask_of(z, i % 2 ? 9 : 0, i % 3 == 0);

		n = i % 4 ? len : n;
		q = realloc(q, n + 1);
		memcpy(q, good, n);
		for (int k = rand_r(&seed) % 4; k > 0 && n; k--) {
			q[(size_t)rand_r(&seed) % n] = (uint8_t)rand_r(&seed);
		}
		size_t m = dns_answer(&a, q, n, out, 512);
		assert_true(m <= 512);
		if (m) {
			assert_true(dns_answer_short(&a, q, out) <= 512);
		}
		free(q);
		free(out);
	}
	dns_zones_free(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers), cmocka_unit_test(views),
		cmocka_unit_test(probed),  cmocka_unit_test(truncated),
		cmocka_unit_test(cookies), cmocka_unit_test(cookie_option),
		cmocka_unit_test(options), cmocka_unit_test(limits),
		cmocka_unit_test(garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
