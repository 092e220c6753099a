/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * /healthz, /readyz, /metrics.
 */
#include "netd/api/health.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/own.h"
#include "netd/api/api.h"
#include "netd/balancer.h"
#include "netd/drain.h"
#include "netd/node.h"
#include "netd/plane.h"
#include "netd/runtime.h"

#define ANSWER_MS 5000 /* a role that has not answered this long is not ready */

static bool sees(const void *who, const char *id)
{
	AUTO_FREE char *low = table_key(id);

	return who && caller_sees(who, low);
}

static void add_control(struct buf *to, const struct caller *who)
{
	uint64_t drained, outlived;

	drain_counts(&drained, &outlived);
	buf_addf(to, "netd_resources %zu\nnetd_requests_total %llu\nnetd_runtime_connected %d\n",
	         plane.n, (unsigned long long)plane.requests, runtime_connected());
	buf_addf(to, "netd_lb_drained_total %llu\nnetd_lb_outlived_drain_total %llu\n",
	         (unsigned long long)drained, (unsigned long long)outlived);
	balancer_metrics(to, sees, who);
	if (caller_admin(who)) {
		hub_metrics(to);
	}
}

void health_request(struct http_request *r, const struct caller *who)
{
	AUTO_BUF struct buf b = { 0 };
	int64_t age;
	bool store = !plane.stopped && store_current(plane.store);
	bool ready = plane.engine_synced && plane.dns && plane.probe && plane.session && store;

	for (int i = 0; i < 4; i++) {
		buf_addf(&b, "%s", control_metrics(i, &age));
		ready = ready && age >= 0 && age < ANSWER_MS;
	}

	if (strcmp(r->path, "/metrics") == 0) {
		add_control(&b, who);
		http_reply(r, 200, "", buf_str(&b), b.len);
		return;
	}
	api_json(r, strcmp(r->path, "/healthz") == 0 || ready ? 200 : 503, "",
	         json_pack("{s:b, s:b, s:b, s:b, s:b, s:b, s:s*}", "engine", plane.engine_synced,
	                   "dns", plane.dns != NULL, "probe", plane.probe != NULL, "session",
	                   plane.session != NULL, "store", store, "runtime", runtime_connected(),
	                   "refused", plane.stopped));
}
