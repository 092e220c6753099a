#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Standby pools: groups in reserve, real processes; a new group takes one as it runs."""
from balancers import *

inside("limit-requests=0", "node-cpu=200")
SP = RG + "/providers/Microsoft.StandbyPool/standbyContainerGroupPools/"
rt = Servers()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
profile()


def pool_doc(n, revision=None, sub="s"):
    p = {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p", **({"revision": revision} if revision else {})}}
    if sub:
        p["subnetIds"] = [{"id": f"{VNET}v/subnets/{sub}"}]
    return {"location": "w", "properties": {"elasticityProfile": {"maxReadyCapacity": n, "refillPolicy": "always"}, "containerGroupProperties": p}}


def count(name="reserve"):
    s, doc, _ = call("GET", SP + name + "/runtimeViews/latest")
    return {x["state"]: x["count"] for x in doc["properties"]["instanceCountSummary"][0]["instanceCountsByState"]} if s == 200 else s


def group(name, more=None, **props):
    doc = {"location": "w", "properties": {"standbyPoolProfile": {"id": SP + "reserve", **(more or {})}, "containerGroupProfile": {"id": CI + "containerGroupProfiles/p", "revision": 1}, **props}}
    return call("PUT", CI + "containerGroups/" + name, doc)


def get(name):
    s, doc, _ = call("GET", CI + "containerGroups/" + name)
    return doc if s == 200 else s


def reserve():
    return [g for g in everything(CI + "containerGroups") if g["name"].startswith("standby-")]


def serves(name):
    """Who answers from the group's namespace: the name that it began with. A process that has just begun may not listen yet."""
    m = next((m for i, m in rt.groups.items() if i.endswith("/" + name)), None)
    return m and wait(lambda: subprocess.run(["nsenter", "--net=" + m["namespace"], "curl", "-s", "-m", "2", "http://127.0.0.1/"], capture_output=True, text=True).stdout.strip(), 3)


s, doc, _ = call("PUT", SP + "reserve", pool_doc(3))
ok(s == 201 and doc["properties"]["provisioningState"] == "Succeeded", "a standby pool is made", (s, doc))
wait(lambda: count() == {"Running": 3, "Creating": 0, "Deleting": 0}, 20)
ok(count() == {"Running": 3, "Creating": 0, "Deleting": 0}, "three groups are in reserve, and the runtime view says so", count())
s, doc, _ = call("GET", SP + "reserve")
ok(s == 200 and doc["properties"]["elasticityProfile"] == {"maxReadyCapacity": 3, "refillPolicy": "always"}, "GET returns what was put", doc)
s, doc, _ = call("GET", SP.rstrip("/"))
ok(s == 200 and len(doc["value"]) == 1, "pools are listed", doc)

# ---- one is taken ----
before = {g["name"]: g["properties"]["ipAddress"]["ip"] for g in reserve()}
begun = sum(rt.starts.values())
began = time.time()
s, doc, _ = group("web", containers=[{"name": "web", "properties": {"configMap": {"keyValuePairs": {"mode": "fast"}}}}])
wait(lambda: get("web")["properties"]["provisioningState"] == "Succeeded", 10)
took = time.time() - began
g = get("web")
ok(s == 201 and g["properties"]["provisioningState"] == "Succeeded", f"a group takes one, in {took * 1000:.0f} ms", (s, doc))
ip = g["properties"]["ipAddress"]["ip"]
old = next((n for n, a in before.items() if a == ip), None)
ok(old is not None, "it has the address of one of the three", (ip, before))
ok(serves("web") == old and rt.starts.get(next(i for i in rt.groups if i.endswith("/web"))) == 1, "its process is the one that ran before", (serves("web"), old, rt.starts))
ok(get(old) == 404, "the old name is gone", get(old))
lookup = lambda n: call("GET", VNET + f"v/dnsLookup?name={n}.internal.cloudapp.net")[1]
ok(wait(lambda: any(ip in a for a in lookup("web")["answers"]), 5) and lookup(old)["rcode"] == "NXDOMAIN", "in its VNet, too", (lookup("web"), lookup(old)))
ok(g["properties"]["containers"][0]["properties"]["configMap"]["keyValuePairs"] == {"mode": "fast"} and "orchestratorId" not in g["properties"], "the document is the group's own", g)
frame = next(m for i, m in rt.groups.items() if i.endswith("/web"))
ok(frame["group"]["properties"]["containers"][0]["properties"]["configMap"]["keyValuePairs"] == {"mode": "fast"}, "the runtime was told the configMap", frame)
wait(lambda: count()["Running"] == 3, 20)
ok(count()["Running"] == 3 and sum(rt.starts.values()) == begun + 1, "the pool is filled up: one process more", (count(), rt.starts))

# ---- what cannot be taken ----
s, doc, _ = group("big", more={"failContainerGroupCreateOnReuseFailure": True}, containers=[{"name": "web", "properties": {"resources": {"requests": {"cpu": 2, "memoryInGB": 1}}}}])
ok(s == 409 and doc["error"]["code"] == "StandbyPoolReuseFailed" and get("big") == 404, "another size, and failure asked for: refused, nothing made", (s, doc))
s, doc, _ = group("big", containers=[{"name": "web", "properties": {"resources": {"requests": {"cpu": 2, "memoryInGB": 1}}}}])
wait(lambda: get("big")["properties"]["provisioningState"] == "Succeeded", 10)
ok(s == 201 and count()["Running"] == 3 and serves("big") == "big", "another size: made anew, the pool keeps its own", (s, doc, serves("big")))
for what, doc, code, at in (
        ("an absent profile", {"containerGroupProfile": {"id": CI + "containerGroupProfiles/none"}}, "InvalidResourceReference", "properties.containerGroupProfile.id"),
        ("an absent pool", {"standbyPoolProfile": {"id": SP + "none"}}, "InvalidResourceReference", "properties.standbyPoolProfile.id"),
        ("an absent revision", {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p", "revision": 9}}, "ContainerGroupProfileRevisionNotFound", "properties.containerGroupProfile.revision")):
    s, doc, _ = call("PUT", CI + "containerGroups/x", {"location": "w", "properties": doc})
    ok(s == 400 and doc["error"]["code"] == code and doc["error"].get("target") == at and get("x") == 404, f"{what} is refused", (s, doc))
s, doc, _ = call("PUT", SP + "s!", pool_doc(1))
ok(s == 400, "a pool's name is held to its rule", (s, doc))
s, doc, _ = call("PUT", SP + "other", pool_doc(2001))
ok(s == 400 and doc["error"].get("target") == "properties.elasticityProfile.maxReadyCapacity", "a capacity beyond 2,000 is refused", (s, doc))
s, doc, _ = call("DELETE", CI + "containerGroupProfiles/p")
ok(s == 409, "a profile that a pool uses stays", (s, doc))
s, doc, _ = call("PUT", CI + "containerGroups/plain", {"location": "w", "properties": {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p"}, "subnetIds": [{"id": VNET + "v/subnets/s"}], "ipAddress": {"type": "Private"}}})
wait(lambda: get("plain")["properties"]["provisioningState"] == "Succeeded", 10)
ok(s == 201 and serves("plain") == "plain" and count()["Running"] == 3, "a group is made from a profile alone", (s, doc))

# ---- secrets, names ----
secret = lambda v: [{"name": "web", "properties": {"environmentVariables": [{"name": "K", "secureValue": v}]}}]
s, doc, _ = call("PUT", CI + "containerGroupProfiles/q", {"location": "w", "properties": {"osType": "Linux", "sku": "Standard", "ipAddress": {"type": "Public", "ports": [{"port": 80}]}, "containers": [
    {"name": "web", "properties": {"image": "one", "ports": [{"port": 80}], "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}, "environmentVariables": [{"name": "K", "secureValue": "one"}]}}]}})
call("PUT", SP + "public", {"location": "w", "properties": {"elasticityProfile": {"maxReadyCapacity": 1}, "containerGroupProperties": {"containerGroupProfile": {"id": CI + "containerGroupProfiles/q"}}}})
ok(wait(lambda: count("public")["Running"] == 1, 20), "a pool of groups with public addresses and a secret", count("public"))
own = {"standbyPoolProfile": {"id": SP + "public", "failContainerGroupCreateOnReuseFailure": True}}
s, doc, _ = call("PUT", CI + "containerGroups/other", {"location": "w", "properties": {**own, "containers": secret("two")}})
ok(s == 409 and doc["error"]["code"] == "StandbyPoolReuseFailed" and get("other") == 404, "another secret is another group", (s, doc))
s, doc, _ = call("PUT", CI + "containerGroups/named", {"location": "w", "properties": {**own, "containers": secret("one"), "ipAddress": {"dnsNameLabel": "standby-one"}}})
ok(s == 201 and wait(lambda: dig("standby-one.westeurope.azurecontainer.io")[1], 10) == [get("named")["properties"]["ipAddress"]["ip"]], "the same secret is taken; the name leads to it", (s, doc, dig("standby-one.westeurope.azurecontainer.io")))
ok(str(serves("named")).startswith("standby-") and "secureValue" not in json.dumps(get("named")), "as it ran", serves("named"))
wait(lambda: count("public")["Running"] == 1, 20)
before = count("public")
s, doc, _ = call("PUT", CI + "containerGroups/second", {"location": "w", "properties": {**own, "ipAddress": {"dnsNameLabel": "standby-one"}}})
ok(s in (400, 409) and get("second") == 404 and count("public") == before and len([g for g in reserve()]) == 4, "a name that is taken: refused, the reserve is whole", (s, doc, count("public")))
call("DELETE", SP + "public")
call("DELETE", CI + "containerGroups/named")
ok(wait(lambda: get("named") == 404 and dig("standby-one.westeurope.azurecontainer.io")[0] == "NXDOMAIN", 20), "deleted with its name", dig("standby-one.westeurope.azurecontainer.io"))

# ---- faults ----
kept = serves("web")
rt.away = True
rt.sock.shutdown(socket.SHUT_RDWR)
time.sleep(0.3)
s, doc, _ = group("late")
ok(s == 201, "one is taken while no runtime is there", (s, doc))
rt.away = False
wait(lambda: serves("late"), 10)
ok(str(serves("late")).startswith("standby-"), "the runtime that comes back calls it by its new id, and starts nothing", serves("late"))
ok(serves("web") == kept, "and the first one still runs", serves("web"))
wait(lambda: count()["Running"] == 3, 20)
call("POST", CI + "containerGroups/web/restart")
wait(lambda: get("web")["properties"]["provisioningState"] == "Succeeded" and serves("web") == "web", 10)
ok(serves("web") == "web", "an action reaches it by its new id", serves("web"))

# ---- the pool changes ----
rev = profile(image="two")
ok(rev == 2, "a second revision", rev)
call("PUT", SP + "reserve", pool_doc(2, 2))
wait(lambda: count() == {"Running": 2, "Creating": 0, "Deleting": 0} and all("two" in json.dumps(g["properties"]["containers"]) for g in reserve()), 30)
ok(len(reserve()) == 2 and all("two" in json.dumps(g["properties"]["containers"]) for g in reserve()), "a smaller pool of the new revision", [g["properties"]["containers"] for g in reserve()])
s, doc, _ = group("old", more={"failContainerGroupCreateOnReuseFailure": True})
ok(s == 409, "a group of the old revision does not take a new one", (s, doc))
g, web = get("web"), next(i for i in rt.groups if i.endswith("/web"))
was = rt.starts[web]
s, doc, _ = call("PUT", CI + "containerGroups/web", g)
time.sleep(0.3)
ok(s == 200 and get("web")["properties"]["ipAddress"]["ip"] == ip and rt.starts.get(web) == was, "PUT of what GET returned changes nothing", (s, doc))
call("DELETE", CI + "containerGroups/web")
wait(lambda: get("web") == 404, 20)
ok(get("web") == 404 and not any(i.endswith("/web") for i in rt.servers), "deleted, and its process has ended", list(rt.servers))
s, _, _ = call("DELETE", SP + "reserve")
wait(lambda: count() == 404 and not reserve(), 30)
ok(s in (200, 202, 204) and not reserve() and get("late") != 404, "the pool goes with its reserve; who was taken stays", (s, [g["name"] for g in reserve()]))
late = get("late")
s, doc, _ = call("PUT", CI + "containerGroups/late", late)
ok(s == 200 and str(serves("late")).startswith("standby-"), "and PUT of what GET returned of it is accepted without the pool", (s, doc))
for junk in ({"containerGroupProfile": 5}, {"containerGroupProfile": {"id": 5}}, {"standbyPoolProfile": []}, {"standbyPoolProfile": {"id": {}}}, {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p"}, "containers": [5, {"name": "web", "properties": 7}]},
             {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p", "revision": -1}}, {"containerGroupProfile": {"id": CI + "containerGroupProfiles/p"}, "containers": {"a": 1}}):
    s, doc, _ = call("PUT", CI + "containerGroups/junk", {"location": "w", "properties": junk})
    ok(s == 400 and get("junk") == 404, f"refused: {json.dumps(junk)[-60:]}", (s, doc))
s, doc, _ = call("PUT", CI + "containerGroups/junk", {"location": "w", "properties": []})
ok(s == 400, "properties that are a list", (s, doc))
everything_at_once = {"resources": [
    {"type": "Microsoft.ContainerInstance/containerGroups", "name": "cli", "location": "w", "properties": {"standbyPoolProfile": {"id": SP + "cli"}, "containerGroupProfile": {"id": CI + "containerGroupProfiles/cli"}}},
    {"type": "Microsoft.StandbyPool/standbyContainerGroupPools", "name": "cli", **{k: v for k, v in pool_doc(1).items()}},
    {"type": "Microsoft.ContainerInstance/containerGroupProfiles", "name": "cli", "location": "w", "properties": {"osType": "Linux", "containers": [{"name": "web", "properties": {"image": "one", "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}]}}]}
everything_at_once["resources"][1]["properties"]["containerGroupProperties"]["containerGroupProfile"] = {"id": CI + "containerGroupProfiles/cli"}
netctl = lambda *a, text="": subprocess.run([os.environ["NETD_NETCTL"], "-g", "demo", *a], input=text, capture_output=True, text=True)
out = netctl("apply", "-f", "-", text=json.dumps(everything_at_once))
ok(out.returncode == 0 and serves("cli"), "netctl applies profile, pool and group in the order that they need", (out.stdout, out.stderr))
out = netctl("get", "sp")
ok(out.returncode == 0 and "cli" in out.stdout and "Succeeded" in out.stdout, "netctl get sp", (out.stdout, out.stderr))
call("DELETE", RG)
wait(lambda: call("GET", RG)[0] == 404, 30)
ok(call("GET", RG)[0] == 404 and not rt.servers, "nothing is left", list(rt.servers))
t.end()
