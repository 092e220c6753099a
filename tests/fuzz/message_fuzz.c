/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Bodies of messages between roles: kernel objects as the engine reads them from a control role
 * that may be broken. What passes the engine's check is printed, sorted and written back the same.
 */
#include <string.h>

#include "netd/message.h"
#include "tests/fuzz/fuzz.h"

static void object(struct reader *r)
{
	struct err e = ERR_INIT;
	struct buf b = { 0 }, text = { 0 };
	struct kobj o, again;

	get_kobj(r, &o);
	if (r->failed || kobj_check(&o, &e) < 0) {
		MUST(r->failed || e.msg[0]);
		return;
	}
	MUST(memchr(o.dev, '\0', sizeof(o.dev)) && memchr(o.peer, '\0', sizeof(o.peer)));
	kobj_format(&o, &text);
	MUST(!text.failed && text.len);
	put_kobj(&b, &o);
	struct reader back = { b.data, b.len, false };
	get_kobj(&back, &again);
	MUST(reader_done(&back) && kobj_compare(&o, &again) == 0 && kobj_same(&o, &again));
	buf_fini(&b);
	buf_fini(&text);
}

/* Counters, which control reads from the engine. */
static void count(const uint8_t *data, size_t len)
{
	struct reader r = { data, len, false };
	struct kcount c, again;
	struct buf b = { 0 };

	get_count(&r, &c);
	MUST(r.failed || memchr(c.name, '\0', sizeof(c.name)));
	if (!r.failed) {
		put_count(&b, &c);
		struct reader back = { b.data, b.len, false };
		get_count(&back, &again);
		MUST(reader_done(&back) && memcmp(&c, &again, sizeof(c)) == 0);
	}
	buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct reader r = { data, len, false };
	char text[64];

	(void)get_u64(&r);
	(void)get_u64(&r);
	(void)get_u8(&r);
	uint32_t n = get_u32(&r);
	for (uint32_t i = 0; i < n && !r.failed; i++) {
		object(&r);
	}
	struct reader s = { data, len, false };
	get_str(&s, text, sizeof(text));
	MUST(memchr(text, '\0', sizeof(text)) || s.failed);
	count(data, len);
	return 0;
}
