/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Certificates of an authority of one's own. The judge is openssl(1).
 */
#include "lib/base/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/test.h"

static char key[CERT_TEXT], authority[CERT_TEXT], node_key[CERT_TEXT], request[CERT_TEXT],
	node[CERT_TEXT];
static char folder[] = "/tmp/netd-cert.XXXXXX";

static void put(const char *name, const char *text)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int openssl(const char *words)
{
	char command[800];

	snprintf(command, sizeof(command), "cd %s && openssl %s >out 2>&1", folder, words);
	return system(command);
}

static int begin(void **state)
{
	struct err e = ERR_INIT;
	int64_t now = time(NULL);

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(cert_key(key, &e), 0);
	assert_int_equal(cert_authority(key, "a plane", now, 86400, authority, &e), 0);
	assert_int_equal(cert_key(node_key, &e), 0);
	assert_int_equal(cert_request(node_key, request, &e), 0);
	assert_int_equal(
		cert_issue(authority, key, request, "node2", CERT_CLIENT, now, 3600, node, &e), 0);
	put("ca.pem", authority);
	put("ca.key", key);
	put("node.pem", node);
	put("node.key", node_key);
	put("node.csr", request);
	return 0;
}

static int end(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void test_openssl_believes_it(void **state)
{
	(void)state;
	assert_int_equal(openssl("verify -x509_strict -purpose sslclient -CAfile ca.pem node.pem"),
	                 0);
	assert_int_not_equal(
		openssl("verify -x509_strict -purpose sslserver -CAfile ca.pem node.pem"), 0);
	assert_int_equal(
		openssl("x509 -in node.pem -noout -checkhost node2 | grep -q 'does match'"), 0);
	assert_int_equal(openssl("req -in node.csr -noout -verify"), 0);
	assert_int_equal(openssl("x509 -in ca.pem -noout -text | grep -q 'CA:TRUE, pathlen:0'"), 0);
}

static void test_no_authority_below(void **state)
{
	struct err e = ERR_INIT;
	char third[CERT_TEXT];

	(void)state;
	assert_int_equal(cert_issue(node, node_key, request, "node3", CERT_CLIENT, time(NULL), 3600,
	                            third, &e),
	                 0);
	put("third.pem", third);
	assert_int_not_equal(openssl("verify -CAfile ca.pem -untrusted node.pem third.pem"), 0);
}

static void test_what_it_says(void **state)
{
	struct cert_says says;
	struct err e = ERR_INIT;
	char print[CERT_PRINT], command[200];

	(void)state;
	assert_int_equal(cert_read(node, &says, &e), 0);
	assert_string_equal(says.name, "node2");
	assert_int_equal(cert_request_key(request, print, &e), 0);
	assert_string_equal(says.key, print);
	assert_true(says.until_s > time(NULL) + 3500 && says.until_s <= time(NULL) + 3600);
	assert_true(says.from_s < time(NULL) - 3500);
	snprintf(command, sizeof(command),
	         "x509 -in node.pem -outform DER | sha256sum | grep -q %s", says.print);
	assert_int_equal(openssl(command), 0);
	snprintf(command, sizeof(command),
	         "pkey -in node.key -pubout -outform DER | sha256sum | grep -q %s", says.key);
	assert_int_equal(openssl(command), 0);
}

static void test_what_is_refused(void **state)
{
	struct err e = ERR_INIT;
	struct cert_says says;
	char text[CERT_TEXT], other[CERT_TEXT];

	(void)state;
	assert_int_equal(cert_read("", &says, &e), -1);
	assert_int_equal(cert_read("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	                           &says, &e),
	                 -1);
	assert_int_equal(cert_issue(authority, key, node, "x", CERT_CLIENT, 0, 1, text, &e), -1);
	assert_int_equal(openssl("genrsa -out rsa.key 2048"), 0);
	assert_int_equal(openssl("req -new -key rsa.key -subj /CN=x -out rsa.csr"), 0);
	char path[100];
	snprintf(path, sizeof(path), "%s/rsa.csr", folder);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_int_equal(cert_issue(authority, key, text, "x", CERT_CLIENT, 0, 1, other, &e), -1);
	assert_non_null(strstr(e.msg, "P-256"));
	memcpy(text, request, sizeof(text)); /* one whose signature does not hold */
	char *middle = text + strlen(text) - 60;
	*middle = *middle == 'A' ? 'B' : 'A';
	assert_int_equal(cert_issue(authority, key, text, "x", CERT_CLIENT, 0, 1, other, &e), -1);
	/* A name longer than a subject's may be. */
	memset(text, 'n', 65);
	text[65] = '\0';
	assert_int_equal(cert_issue(authority, key, request, text, CERT_CLIENT, 0, 1, other, &e),
	                 -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openssl_believes_it),
		cmocka_unit_test(test_no_authority_below),
		cmocka_unit_test(test_what_it_says),
		cmocka_unit_test(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
