#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every crash point: the role dies there by SIGKILL; what was answered holds, all converges."""
import concurrent.futures, os, subprocess, sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
from plane import *

if "NETD_LAB" in os.environ:  # one cycle, with a point armed
    rt = Runtime()
    name = "aci-crash.westeurope.azurecontainer.io"
    bad = []
    retry("PUT", RG, {"location": "westeurope"})
    s, doc, _ = retry("PUT", CG + "web", group(label="aci-crash"))
    if s not in (200, 201):
        bad.append(("PUT", s, doc))
    if not wait(lambda: state(CG + "web") == "Succeeded", 15):
        bad.append(("state", state(CG + "web")))
    if not wait(lambda: dig(name)[1], 10):
        bad.append(("name", dig(name)))
    for o in ("web2",):
        retry("PUT", CG + o, group(o))
    wait(lambda: state(CG + "web2") == "Succeeded", 10)
    ips = [(call("GET", CG + n)[1] or {"properties": {"ipAddress": {}}})["properties"]["ipAddress"].get("ip") for n in ("web", "web2")]
    if None in ips or ips[0] == ips[1]:
        bad.append(("addresses", ips))
    retry("DELETE", CG + "web")
    if not wait(lambda: call("GET", CG + "web")[0] == 404, 15):
        bad.append(("still there", call("GET", CG + "web")))
    if dig(name)[0] != "NXDOMAIN":
        bad.append(("name stays", dig(name)))
    retry("DELETE", RG)
    if not wait(lambda: call("GET", RG)[0] == 404 and namespaces() == [], 15):
        bad.append(("left", call("GET", RG)[0], namespaces()))
    died = subprocess.run(["grep", "-c", "role.ended", os.environ["NETD_LAB"] + "/netd.log"], capture_output=True, text=True).stdout.strip()
    print(json.dumps({"bad": bad, "died": int(died or 0)}))
    sys.exit(0)

RULES = """
from vnets import *
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
rule = lambda port, src="*": {"properties": {"securityRules": [{"name": "a", "properties": {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": port}},
    {"name": "i", "properties": {"priority": 110, "direction": "Inbound", "access": "Allow", "protocol": "Icmp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}},
    {"name": "d", "properties": {"priority": 200, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": src, "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}}]}}
put(N + "networkSecurityGroups/n", rule("80"))
subnet("v", "s", ["10.1.1.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/n"})
a, aip = member("a", "v", "s")
b, bip = member("b", "v", "s")
servers = [serve(b, bip, "80,81")]
ok(ask(a, bip, 80) == aip and ask(a, bip, 81, timeout=0.3) == "timeout", "before")
router = next(NS + "/" + n for n in namespaces() if n[0] == "v")
stands = lambda: sorted(l for l in inns(router, "nft list chains; nft list sets; nft list maps").splitlines() if " L" in l or " N" in l)
first = stands()
ping = subprocess.Popen(["nsenter", "--net=" + a, "ping", "-i", "0.005", "-c", "300", bip], stdout=subprocess.PIPE, text=True)
time.sleep(0.2)
retry("PUT", N + "networkSecurityGroups/n", {"location": "westeurope", **rule("81", "10.0.0.0/8")})
ok(wait(lambda: call("GET", "/readyz")[0] == 200 and ask(a, bip, 81, timeout=0.3) == aip, 15) and ask(a, bip, 80, timeout=0.3) == "timeout", "the new rules decide", (ask(a, bip, 81), ask(a, bip, 80, timeout=0.3)))
lost = [l for l in ping.communicate()[0].splitlines() if "packet loss" in l]
ok(" 0% packet loss" in lost[0], "a running flow lost nothing", lost)
put(N + "networkSecurityGroups/n", rule("80"))
ok(stands() == first, "and what was left half done is gone", (first, stands()))
died = open(os.environ["NETD_LAB"] + "/netd.log").read().count("role.ended")
for s in servers: s.kill()
call("DELETE", RG)
ok(wait(lambda: namespaces() == [], 20), "all goes")
print(json.dumps({"bad": t.failed, "died": died}))
"""

NGROUPS = """
from balancers import *
rt = Runtime()
retry("PUT", RG, {"location": "westeurope"})
retry("PUT", VNET + "v", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
retry("PUT", VNET + "v/subnets/s", {"properties": {"addressPrefixes": ["10.1.1.0/24"], "delegations": ACI}})
retry("PUT", N + "publicIPAddresses/p", {"location": "w", "sku": {"name": "Standard"}})
retry("PUT", LB + "lb", balancer("lb", {"f": "p"}, [pool(drainPeriodInSeconds=2)], [rule("lb", "r", probe=None)]))
profile()
NG = CI + "NGroups/n"
most = 0
def settled(image, n):
    global most
    got = [m for m in members() if m["properties"]["provisioningState"] != "Deleting"]
    most = max(most, len(got))
    return len(got) == n and all(m["properties"]["containers"][0]["properties"]["image"] == image for m in got) and state(NG) == "Succeeded"
retry("PUT", NG, ngroup(4, 1))
ok(wait(lambda: settled("one", 4), 20), "four members", state(NG))
profile(image="two")
retry("PUT", NG, ngroup(4, 2, rolling={"maxBatchPercent": 50}))
ok(wait(lambda: settled("two", 4), 40), "all replaced", (state(NG), call("GET", NG + "/latestRollingUpdate")[1]))
names = {m["name"] for m in members()}
profile(image="three")
retry("PUT", NG, ngroup(4, 3, rolling={"maxBatchPercent": 50, "inPlaceUpdate": True}))
ok(wait(lambda: settled("three", 4), 40), "all updated in place", (state(NG), call("GET", NG + "/latestRollingUpdate")[1]))
ok({m["name"] for m in members()} == names, "the same ones")
retry("PUT", NG, ngroup(2, 3))
ok(wait(lambda: settled("three", 2), 20), "scaled in", state(NG))
ok(most <= 6, "never a batch more", most)
died = open(os.environ["NETD_LAB"] + "/netd.log").read().count("role.ended")
retry("DELETE", RG)
ok(wait(lambda: namespaces() == [] and call("GET", RG)[0] == 404, 20), "all goes", namespaces())
print(json.dumps({"bad": t.failed, "died": died}))
"""

STANDBY = """
from balancers import *
rt = Servers()
retry("PUT", RG, {"location": "westeurope"})
retry("PUT", VNET + "v", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
retry("PUT", VNET + "v/subnets/s", {"properties": {"addressPrefixes": ["10.1.1.0/24"], "delegations": ACI}})
profile()
SP = RG + "/providers/Microsoft.StandbyPool/standbyContainerGroupPools/reserve"
what = {"id": CI + "containerGroupProfiles/p", "revision": 1}
retry("PUT", SP, {"location": "w", "properties": {"elasticityProfile": {"maxReadyCapacity": 2}, "containerGroupProperties": {"containerGroupProfile": what, "subnetIds": [{"id": VNET + "v/subnets/s"}]}}})
ready = lambda: [g["name"] for g in everything(CI + "containerGroups") if g["name"].startswith("standby-") and g["properties"]["provisioningState"] == "Succeeded"]
ok(wait(lambda: len(ready()) == 2 and len(rt.servers) == 2, 20), "two in reserve", ready())
retry("PUT", CI + "containerGroups/web", {"location": "w", "properties": {"containerGroupProfile": what, "standbyPoolProfile": {"id": SP}}})
ok(wait(lambda: state(CI + "containerGroups/web") == "Succeeded" and len(ready()) == 2 and len(rt.servers) == 3, 20), "one is taken, two again in reserve", (ready(), list(rt.servers)))
ok(set(rt.starts.values()) == {1} and len(rt.starts) == 3, "three processes, each begun once", rt.starts)
ok(sorted(rt.servers) == sorted(g["id"].lower() for g in everything(CI + "containerGroups")), "the runtime has what there is", list(rt.servers))
died = open(os.environ["NETD_LAB"] + "/netd.log").read().count("role.ended")
retry("DELETE", RG)
ok(wait(lambda: namespaces() == [] and call("GET", RG)[0] == 404 and not rt.servers, 30), "all goes", namespaces())
print(json.dumps({"bad": t.failed, "died": died}))
"""

build = os.environ.get("NETD_BUILD", here + "/../../build")
points = [l.split()[0] for l in subprocess.run([build + "/netd", "--crash-points"], capture_output=True, text=True).stdout.splitlines()]


def one(point):
    # the engine passes its points for gateway, VNet and subnet first: the fourth is the group's
    count = 4 if point in ("engine.received", "engine.namespace", "engine.links", "engine.applied") else 1
    env = dict(os.environ, NETD_CRASH_AT=f"{point}:{count}")
    scenario = RULES if point.startswith("engine.rules-") else NGROUPS if point.startswith(("control.batch", "control.member-")) else STANDBY if point.startswith("control.standby-") else None
    what = ["-c", f"import sys; sys.path.insert(0, {here!r})\n" + scenario] if scenario else [__file__]
    r = subprocess.run([here + "/run", "--no-runtime", "--", sys.executable, *what], env=env, capture_output=True, text=True, timeout=120)
    try:
        return point, json.loads(r.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return point, {"bad": [r.stdout[-500:], r.stderr[-800:]], "died": 0}


t = Tap()
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    for point, got in pool.map(one, points):
        t.ok(got["died"] >= 1 and not got["bad"], f"killed at {point}, converges", got)
t.ok(len(points) >= 24, "all points were visited")
t.end()
