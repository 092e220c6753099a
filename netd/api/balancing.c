/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * See balancing.h.
 */
#include "netd/api/balancing.h"

#include <string.h>
#include <strings.h>

#include "netd/api/api.h"
#include "netd/balancer.h"

void balancing_request(struct http_request *r, const struct resource *x, const struct model_id *id)
{
	bool rules = strcasecmp(id->child_type, "loadBalancingRules") == 0;
	bool known =
		strcasecmp(id->action, rules ? "health" : "queryInboundNatRulePortMapping") == 0;
	struct err e = ERR_INIT;
	json_t *answer = NULL, *body = NULL;

	if (known && strcmp(r->method, "POST") != 0) {
		err_set(&e, ERR_METHOD, 0, "The method is not allowed here.");
		api_error(r, &e);
		return;
	}
	if (known && !rules && !(body = api_body(r))) {
		return;
	}
	if (body && !table_ip(body, "ipAddress").family) {
		err_set_at(
			&e, ERR_INVALID, "InvalidRequestFormat", "ipAddress",
			"The body names the address of a member: {\"ipAddress\": \"10.0.0.4\"}.");
		api_error(r, &e);
		json_decref(body);
		return;
	}
	if (known) {
		answer = rules ? balancer_health(x, id->child) : balancer_ports(x, id->child, body);
	}
	json_decref(body);
	if (answer) {
		api_json(r, 200, "", answer);
		return;
	}
	err_set_at(&e, ERR_NOT_FOUND, NULL, NULL, "The Resource '%.300s' was not found.", r->path);
	api_error(r, &e);
}
