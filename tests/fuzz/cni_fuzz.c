/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * CNI calls: CNI_ARGS and container before the first two zero bytes, then the network's configuration. What is refused is so with
 * a code and with what was wrong; what is accepted makes a document that the API's own checks accept. And the plugin's reading of
 * one string.
 */
#include <stdlib.h>
#include <string.h>

#include "clients/cni/scan.c"
#include "netd/cni_parts.h"
#include "tests/fuzz/fuzz.h"

static struct config config = { .region = "westeurope",
	                        .vnet_suffix = "internal.cloudapp.net",
	                        .bpf = 1 };

static void accepted(const struct cni_want *w)
{
	const struct model_type *type =
		model_type_find("Microsoft.ContainerInstance/containerGroups");
	struct err e = ERR_INIT;
	struct model_id id;

	MUST(model_id_parse(w->id, &id) == 0 && strlen(id.name) <= 63);
	MUST(json_is_object(w->status));
	/* Texts that only the model knows as bad, labels say, are refused there. */
	MUST(model_check(type, w->doc, &e) == 0 || e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), socket[64] = "";
	struct cni_error e = { CNI_OK, "" };
	struct cni_want want;

	memcpy(text, data, len);
	text[len] = '\0';
	const char *args = text, *zero = memchr(text, 0, len);
	const char *container = zero ? zero + 1 : text + len,
		   *end = zero ? memchr(container, 0, (size_t)(text + len - container)) : NULL;
	const char *doc = end ? end + 1 : text + len;
	(void)scan_string(doc, "socket", socket, sizeof(socket));
	MUST(strlen(socket) < sizeof(socket));
	json_t *conf = json_loadb(doc, (size_t)(text + len - doc), JSON_REJECT_DUPLICATES, NULL);
	struct cni_env env = { .command = "ADD",
		               .container = *container ? container : "c",
		               .netns = "/run/netns/x",
		               .ifname = "eth0",
		               .args = args,
		               .cookie = "1" };

	plane.config = &config;
	if (json_is_object(conf)) {
		if (cni_conf_check(conf, &e) < 0 || cni_conf_want(conf, &env, &want, &e) < 0) {
			MUST(e.code != CNI_OK && e.details[0]);
			free(cni_error_text("1.0.0", &e));
		} else {
			accepted(&want);
			cni_want_fini(&want);
		}
	}
	json_decref(conf);
	free(text);
	return 0;
}
