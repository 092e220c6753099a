/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a stranger can send to the plane's listener for nodes: heads of frames, what a node says of itself, requests for a
 * certificate; and what a plane that is none can answer.
 */
#include <string.h>

#include "lib/base/cert.h"
#include "netd/node_stream.h"
#include "tests/fuzz/fuzz.h"

static void facts(const uint8_t *data, size_t len)
{
	struct reader r = { data, len, false };
	struct node_facts f, again;
	struct buf b = { 0 };
	struct err e = ERR_INIT;
	struct ip ip;

	get_facts(&r, &f);
	if (r.failed) {
		return;
	}
	MUST(memchr(f.version, '\0', sizeof(f.version)));
	MUST(!f.address[0] || ip_parse(f.address, &ip, &e) == 0);
	put_facts(&b, &f);
	struct reader back = { b.data, b.len, false };
	get_facts(&back, &again);
	MUST(reader_done(&back) && f.cpu == again.cpu && strcmp(f.address, again.address) == 0);
	buf_fini(&b);
}

static void texts(const uint8_t *data, size_t len)
{
	char text[CERT_TEXT] = "", print[CERT_PRINT], out[CERT_TEXT];
	static char key[CERT_TEXT], authority[CERT_TEXT];
	struct cert_says says;
	struct err e = ERR_INIT;

	if (!key[0]) {
		MUST(cert_key(key, &e) == 0 &&
		     cert_authority(key, "fuzz", 0, 4000000000, authority, &e) == 0);
	}
	memcpy(text, data, len < sizeof(text) - 1 ? len : sizeof(text) - 1);
	if (cert_read(text, &says, &e) == 0) {
		MUST(strlen(says.print) == 64 && strlen(says.key) == 64 && says.name[0]);
	} else {
		MUST(e.msg[0]);
	}
	if (cert_request_key(text, print, &e) == 0 &&
	    cert_issue(authority, key, text, "a", CERT_CLIENT, 0, 100, out, &e) == 0) {
		MUST(cert_read(out, &says, &e) == 0 && strcmp(says.name, "a") == 0 &&
		     strcmp(says.key, print) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum frame_type type;
	uint32_t body;

	for (unsigned way = 0; len >= FRAME_HEAD && way < 2; way++) {
		if (frame_head(data, (enum frame_way)way, &type, &body) == 0) {
			MUST(type < FRAME_N && body <= 9 + CNI_FRAME_MAX); /* the largest */
		}
	}
	facts(data, len);
	texts(data, len);
	return 0;
}
