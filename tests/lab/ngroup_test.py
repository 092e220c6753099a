#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""NGroups and their profiles: the count is kept, members join when ready, updates that fail stop, Spot groups
make room; by HTTPS and netctl. NETD_ARM_EXAMPLES names a folder whose scenarios/*.json are run as they are."""
import glob, ssl, urllib.request
from balancers import *

inside("limit-requests=0", "node-cpu=200")
rt = Servers()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.0.0/22"])
ip = public("p")
call("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(drainPeriodInSeconds=2)], [rule("lb", "http")], [probe()]))
NG = CI + "NGroups/n"
netctl = lambda *a: subprocess.run([os.environ["NETD_NETCTL"], "-g", "demo", *a], capture_output=True, text=True)
settled = lambda n, seconds=30: wait(lambda: state(NG) == "Succeeded" and len(members()) == n, seconds)
images = lambda: sorted(m["properties"]["containers"][0]["properties"]["image"] for m in members())

# ---- profiles ----
ok([profile(), profile(), profile(image="two")] == [1, 1, 2], "a revision for each template, none for the same one again")
s, doc, _ = call("GET", CI + "containerGroupProfiles/p/revisions")
ok([r["properties"]["revision"] for r in doc["value"]] == [1, 2] and doc["value"][0]["properties"]["containers"][0]["properties"]["image"] == "one", "all are there", doc)
ok(call("GET", CI + "containerGroupProfiles/p/revisions/1")[1]["properties"]["revision"] == 1 and call("GET", CI + "containerGroupProfiles/p/revisions/9")[0] == 404, "each by its number")
s, doc, _ = call("PUT", CI + "containerGroupProfiles/bad", {"location": "w", "properties": {"osType": "Linux", "containers": []}})
ok(s == 400 and "containers" in doc["error"]["target"], "one without containers is refused", doc)
secret = {"location": "w", "properties": {"osType": "Linux", "shutdownGracePeriod": "PT3S", "containers": [{"name": "web", "properties": {"image": "s", "resources": {"requests": {"cpu": 1, "memoryInGB": 1}},
          "environmentVariables": [{"name": "K", "secureValue": "hush-1234"}]}}]}}
call("PUT", CI + "containerGroupProfiles/secret", secret)
ok("hush" not in json.dumps(call("GET", CI + "containerGroupProfiles/secret")[1]), "a profile's secrets are not told")

# ---- members ----
s, doc, _ = call("PUT", NG, ngroup(6, 1))
ok(s == 201 and doc["properties"]["provisioningState"] in ("Creating", "Updating"), "an NGroup", doc)
ok(settled(6), "six members", (state(NG), len(members())))
ok(wait(lambda: up("lb", "http") == 6, 10), "all of them in the pool")
shown = call("GET", LB + "lb")[1]["properties"]["backendAddressPools"][0]["properties"]["loadBalancerBackendAddresses"]
ok({a["name"] for a in shown} == {m["name"] for m in members()}, "the pool shows them")
call("PUT", LB + "lb", call("GET", LB + "lb")[1])
ok(wait(lambda: up("lb", "http") == 6, 10), "PUT of what GET returned changes nothing")
gone = members()[0]["name"]
call("DELETE", CI + "containerGroups/" + gone)
ok(wait(lambda: call("GET", CI + "containerGroups/" + gone)[0] == 404, 15) and settled(6), "one that is deleted is made anew (maintainDesiredCount)")
call("PUT", NG, ngroup(6, 1, maintainDesiredCount=False))
call("DELETE", CI + "containerGroups/" + members()[0]["name"])
ok(settled(5) and call("GET", NG)[1]["properties"]["elasticProfile"]["desiredCount"] == 5, "without, the count goes down", call("GET", NG)[1]["properties"]["elasticProfile"])
r = netctl("scale", "n", "8")
ok(r.returncode == 0 and settled(8), "netctl scale", r)
r = netctl("watch", "n")
ok(r.returncode == 0 and "Succeeded: 8 wanted" in r.stdout, "netctl watch", r)
wait(lambda: up("lb", "http") == 8, 10)
wait(lambda: netctl("describe", "lb", "lb").stdout.count("12.50%") == 8, 3)  # who is up has its share a moment later
r = netctl("describe", "lb", "lb")
ok(r.returncode == 0 and r.stdout.count(" Up ") == 8 and r.stdout.count("12.50%") == 8, "netctl describe lb shows members and shares", r.stdout[-1500:])
for a, n in (("stop", 0), ("start", 8)):
    s, _, _ = call("POST", NG + "/" + a)
    ok(s == (204 if a == "stop" else 202) and wait(lambda: up("lb", "http") == n, 15), f"{a}: {n} in the pool", (s, up("lb", "http")))

# ---- updates ----
call("PUT", NG, ngroup(8, 2))
time.sleep(0.5)
ok(images() == ["one"] * 8, "Manual: what is there stays")
call("PUT", NG, ngroup(9, 2))
ok(settled(9) and images() == ["one"] * 8 + ["two"], "new ones have the new template", images())
call("PUT", NG, ngroup(9, 1, rolling={}))
wait(lambda: call("GET", NG + "/latestRollingUpdate")[1]["progress"]["state"] == "Completed", 30)
ok(settled(9) and images() == ["one"] * 9, "Rolling back", images())
rt.broken = ("sick",)
profile(image="sick")
serving = {m["name"] for m in members()}
call("PUT", NG, ngroup(9, 3, rolling={"maxBatchPercent": 40}))
ok(wait(lambda: call("GET", NG + "/latestRollingUpdate")[1]["progress"]["state"] == "Failed", 30), "an update whose members do not start fails", call("GET", NG + "/latestRollingUpdate")[1])
ok(wait(lambda: {m["name"] for m in members() if m["properties"]["provisioningState"] == "Succeeded"} == serving and len(members()) == 9, 20), "the old ones serve on, the new ones are gone", images())
ok(state(NG) == "Failed" and page(ip) is not None, "it says so, and answers")
r = netctl("rollout", "status", "n")
ok(r.returncode == 0 and r.stdout.startswith("Failed"), "netctl rollout status", r)
ok(call("POST", NG + "/cancelRollingUpdate")[0] == 409, "there is nothing to cancel")
rt.broken = ()
profile(image="four")
call("PUT", NG, ngroup(9, 4, rolling={"maxBatchPercent": 12, "pauseTimeBetweenBatches": "PT1H"}))
ok(wait(lambda: images().count("four") == 1 and len(members()) == 9, 20), "a batch of one, then the pause", images())
ok(call("POST", NG + "/cancelRollingUpdate")[1]["progress"]["state"] == "Canceled", "cancelled")
time.sleep(1)
ok(images().count("four") == 1 and wait(lambda: state(NG) == "Succeeded", 5), "it stays as it is", (images(), state(NG)))

# ---- what is refused ----
def refuse(doc, code, what):
    s, d, _ = call("PUT", CI + "NGroups/bad", doc)
    ok(s == 400 and d["error"]["code"] == code and d["error"]["target"], f"{what} ({code})", (s, d))


refuse(ngroup(1, prof="none"), "InvalidResourceReference", "no such profile")
refuse(ngroup(1, 99), "ContainerGroupProfileRevisionNotFound", "no such revision")
refuse(ngroup(1, pool="none"), "InvalidResourceReference", "no such pool")
refuse(ngroup(1, sub="none"), "InvalidResourceReference", "no such subnet")
refuse(ngroup(1, containerGroupNamingPolicy={"guidNamingPolicy": {"prefix": "Upper-"}}), "InvalidNamingPolicyPrefix", "a prefix that no group can have")
refuse(ngroup(1, rolling={"pauseTimeBetweenBatches": "soon"}), "InvalidDuration", "a pause that is no duration")
s, d, _ = call("DELETE", CI + "containerGroupProfiles/p")
ok(s == 409, "a profile in use stays", d)
s, d, _ = call("DELETE", LB + "lb")
ok(s == 409, "a load balancer in use stays", d)

# ---- others beside it ----
call("PUT", CI + "NGroups/m", {**ngroup(3, 1), "zones": ["1", "2"], "tags": {"metadata.container.environmentVariable.containerGroupName": True}})
ok(wait(lambda: up("lb", "http") == 12, 20), "two NGroups in one pool")
ms = members("m")
ok(sorted(m["zones"][0] for m in ms) in (["1", "1", "2"], ["1", "2", "2"]), "spread over zones", [m.get("zones") for m in ms])
env = [e for m in ms for e in m["properties"]["containers"][0]["properties"].get("environmentVariables", [])]
ok({e["value"] for e in env if e["name"] == "ContainerGroupName"} == {m["name"] for m in ms}, "they are told their names", env)
call("DELETE", CI + "NGroups/m")
ok(wait(lambda: call("GET", CI + "NGroups/m")[0] == 404 and not members("m"), 20), "one goes with its members")

# ---- Spot ----
notices = []
frame = rt.frame
rt.frame = lambda m: notices.append(m) if m["type"] == "preempt" else frame(m)
call("PUT", CI + "containerGroupProfiles/spot", {"location": "w", "properties": {"osType": "Linux", "priority": "Spot", "ipAddress": {"type": "Private", "ports": [{"port": 80}]}, "containers": [
    {"name": "web", "properties": {"image": "spot", "ports": [{"port": 80}], "resources": {"requests": {"cpu": 20, "memoryInGB": 1}}}}]}})
SP = CI + "NGroups/spot"
call("PUT", SP, ngroup(9, 1, prof="spot"))  # 9 x 20 cpu and 9 others: 189 of 200
ok(wait(lambda: state(SP) == "Succeeded", 20), "nine Spot groups")
r = subprocess.run([os.environ["NETD_NETCTL"], "node", "reclaim", "2", "--seconds", "5"], capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "NETD_API"})
ok(r.returncode == 0 and len(r.stdout.split()) == 2 and wait(lambda: len(notices) == 2, 3) and notices[0]["noticeSeconds"] == 5, "netctl node reclaim: two are told", (r, notices))
ok(wait(lambda: state(SP) == "Succeeded" and len(members("spot")) == 9, 25), "and made anew where there is room")
g = group("big", ports=(80,))
g["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = 50
notices.clear()
s, d, _ = call("PUT", CG + "big", g)
ok(s == 201 and wait(lambda: state(CG + "big") == "Succeeded", 40) and len(notices) >= 2, "a Regular group that finds no room gets it from Spot ones", (s, d, len(notices)))
ok(len([m for m in members("spot") if m["properties"]["provisioningState"] != "Deleting"]) == 7, "as many as are needed", len(members("spot")))
g["properties"]["containers"][0]["properties"]["resources"]["requests"]["cpu"] = 500
ok(call("PUT", CG + "huge", g)[1]["error"]["code"] == "ServiceUnavailable", "what fits nowhere is refused, and evicts nobody")
retry("DELETE", CG + "big")
ok(wait(lambda: len(members("spot")) == 9, 25), "when there is room again, the NGroup fills up")
s = call("POST", "/netd/node/reclaim", {"groups": 999})
ok(s[0] == 409, "more than there are", s)
call("DELETE", SP)

# ---- as published, by HTTPS and netctl ----
def scenario(doc, label):
    sub, rg = re.match(r"/subscriptions/([^/]+)/resourceGroups/([^/\"]+)", json.dumps(doc)[json.dumps(doc).index("/subscriptions/"):]).groups()
    path = f"{os.environ['NETD_LAB']}/scenario.json"
    json.dump(doc, open(path, "w"))
    env = {**os.environ, "NETD_API": os.environ["NETD_API"], "NETD_SUBSCRIPTION": sub}
    env.pop("NETD_SOCKET")
    t0 = time.time()
    r = subprocess.run([os.environ["NETD_NETCTL"], "apply", "-f", path, "-g", rg], capture_output=True, text=True, env=env)
    ok(r.returncode == 0, f"{label}: netctl apply by HTTPS, {time.time() - t0:.1f} s", r.stderr[-800:])
    base = f"/subscriptions/{sub}/resourceGroups/{rg}/providers/"
    ng = next(x for x in doc["resources"] if x["type"].endswith("NGroups"))
    path = base + "Microsoft.ContainerInstance/NGroups/" + ng["name"]
    n = ng["properties"]["elasticProfile"]["desiredCount"]
    lbs = base + "Microsoft.Network/loadBalancers/" + next(x["name"] for x in doc["resources"] if x["type"].endswith("loadBalancers"))
    lb = call("GET", lbs)[1]["properties"]
    r0 = lb["loadBalancingRules"][0]["name"]
    health = lambda: (call("POST", f"{lbs}/loadBalancingRules/{r0}/health")[1] or {}).get("up")
    ok(wait(lambda: health() == n, 90), f"{label}: {n} members serve, {time.time() - t0:.1f} s", health())
    name = next(x["properties"]["dnsSettings"]["domainNameLabel"] for x in doc["resources"] if x["type"].endswith("publicIPAddresses") and "dnsSettings" in x["properties"])
    a = dig(f"{name}.westeurope.cloudapp.azure.com")[1]
    got = {page(a[0]).strip() for _ in range(300)}
    ok(len(got) > n * 0.8, f"{label}: by its name, {len(got)} of them answered 300 requests")
    nat = lb["inboundNatRules"][0]["properties"]
    first = nat["frontendPortRangeStart"]
    each = [page(a[0], first + i) for i in range(n)]
    ok(len(set(each)) == n and None not in each and page(a[0], first + n) is None, f"{label}: each by a port of its own from {first} on")
    out = [p for p in (call("GET", base + "Microsoft.Network/publicIPAddresses/" + x["name"])[1] for x in doc["resources"] if x["type"].endswith("publicIPAddresses")) if "natGateway" in p["properties"]]
    srv = socket.create_server(("192.0.2.1", 7777))
    some = next(iter(g for g in rt.groups.values() if g["name"].startswith(ng["properties"]["elasticProfile"]["containerGroupNamingPolicy"]["guidNamingPolicy"]["prefix"])))
    c = subprocess.Popen(["nsenter", "--net=" + some["namespace"], "nc", "-w2", "192.0.2.1", "7777"], stdin=subprocess.DEVNULL)
    srv.settimeout(3)
    ok(srv.accept()[1][0] == out[0]["properties"]["ipAddress"], f"{label}: members leave by the NAT gateway")
    c.kill()
    srv.close()
    for m in (n + n // 2, n // 5):
        call("PATCH", path, {"properties": {"elasticProfile": {"desiredCount": m}}})
        ok(wait(lambda: health() == m and state(path) == "Succeeded", 90), f"{label}: {m} members", (health(), state(path)))
    call("DELETE", base.partition("/providers/")[0])
    ok(wait(lambda: call("GET", base.partition("/providers/")[0])[0] == 404, 90), f"{label}: deleted")
    ok(not any(g["name"].startswith("cg-") for g in rt.groups.values()), f"{label}: nothing left at the runtime")


import re
count = 30 if os.environ.get("LONG") != "1" else 100
S2 = f"/subscriptions/{SUB}/resourceGroups/own/providers/"
pip = lambda name, **p: {"type": "Microsoft.Network/publicIPAddresses", "name": name, "location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", **p}}
own = {"resources": [pip("in", dnsSettings={"domainNameLabel": "ngroupsown"}), pip("out"),
    {"type": "Microsoft.Network/natGateways", "name": "nat", "location": "w", "properties": {"publicIpAddresses": [{"id": S2 + "Microsoft.Network/publicIPAddresses/out"}]}},
    {"type": "Microsoft.Network/virtualNetworks", "name": "v", "location": "w", "properties": {"addressSpace": {"addressPrefixes": ["172.20.0.0/16"]}, "subnets": [
        {"name": "s", "properties": {"addressPrefix": "172.20.1.0/24", "delegations": ACI, "natGateway": {"id": S2 + "Microsoft.Network/natGateways/nat"}}}]}},
    {"type": "Microsoft.Network/loadBalancers", "name": "lb", "location": "w", **{k: v for k, v in json.loads(json.dumps(balancer("lb", {"f": "in"}, [{"name": "b", "properties": {}}], [rule("lb", "http")], [probe()],
        inboundNatRules=[{"name": "n", "properties": {"frontendIPConfiguration": ref("lb", "frontendIPConfigurations", "f"), "backendAddressPool": ref("lb", "backendAddressPools", "b"), "protocol": "Tcp",
                          "frontendPortRangeStart": 81, "frontendPortRangeEnd": 331, "backendPort": 80}}])).replace("/resourceGroups/demo/", "/resourceGroups/own/")).items() if k != "location"}},
    {"type": "Microsoft.ContainerInstance/containerGroupProfiles", "name": "p", "location": "w", "properties": call("GET", CI + "containerGroupProfiles/p/revisions/1")[1]["properties"]},
    {"type": "Microsoft.ContainerInstance/NGroups", "name": "n", "location": "w", "properties": json.loads(json.dumps(ngroup(count, containerGroupNamingPolicy={"guidNamingPolicy": {"prefix": "cg-own-"}})["properties"]).replace("/resourceGroups/demo/", "/resourceGroups/own/"))}]}
call("DELETE", NG)
ok(wait(lambda: not members() and call("GET", NG)[0] == 404, 30), "the NGroup goes")
scenario(own, "own")
folder = os.environ.get("NETD_ARM_EXAMPLES")
for f in sorted(glob.glob(folder + "/scenarios/*.json")) if folder else []:
    doc = json.load(open(f))
    if any(x["type"].endswith("NGroups") for x in doc["resources"]):
        scenario(doc, os.path.basename(f)[:-5])
t.end()
