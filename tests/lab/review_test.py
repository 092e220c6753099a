#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Symptoms found by reading: each stood as a failing case before its fix."""
import concurrent.futures, os, threading, time, urllib.request, urllib.error, ssl
from plane import *

inside(store="sqlite")
t = Tap()
rt = Runtime()
ok = t.ok


def role(name):
    return wait(lambda: role_pid(name))


def kill(name):
    os.kill(role(name), 9)


retry("PUT", RG, {"location": "westeurope"})
PIP = RG + "/providers/Microsoft.Network/publicIPAddresses/"

# a public address is not given again after control was restarted
s, doc, _ = call("PUT", PIP + "one", {"location": "w", "properties": {}})
held = doc["properties"]["ipAddress"]
kill("control")
wait(lambda: call("GET", "/readyz")[0] == 200)
retry("PUT", CG + "web", group(label="aci-review"))
wait(lambda: state(CG + "web") == "Succeeded")
web = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
ok(web != held, "an address stays its resource's over a restart of control", (web, held))

# nor the egress address that an empty VNet keeps
NET = {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}, "subnets": [{"name": "aci", "properties": {
    "addressPrefix": "10.9.0.0/24", "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}}
call("PUT", VNET + "net", NET)
inner = group("in", ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "net/subnets/aci"}])
call("PUT", CG + "in", inner)
wait(lambda: state(CG + "in") == "Succeeded")
retry("DELETE", CG + "in")
wait(lambda: call("GET", CG + "in")[0] == 404)
kill("control")
wait(lambda: call("GET", "/readyz")[0] == 200)
for i in range(3):
    retry("PUT", CG + f"p{i}", group(f"p{i}"))
retry("PUT", CG + "in", inner)
wait(lambda: state(CG + "in") == state(CG + "p2") == "Succeeded")
import sqlite3
db = sqlite3.connect("file:" + os.environ["NETD_LAB"] + "/node1/state/netd.db?mode=ro", uri=True)
given = [a for (v,) in db.execute("SELECT value FROM pairs WHERE key LIKE '/%'") for s in [json.loads(v)["status"]]
         for a in (s.get("pub4"), s.get("address"), s.get("shared")) if a]
ok(len(given) == len(set(given)) and len(given) >= 6, "no public address has two owners", given)

# PUT of what GET returned changes nothing, also on the node's own socket
def stored():
    return json.loads(db.execute("SELECT value FROM pairs WHERE key=?", ((CG + "web").lower(),)).fetchone()[0])["doc"]
before = stored()
call("PUT", CG + "web", call("GET", CG + "web")[1])
wait(lambda: state(CG + "web") == "Succeeded")
ok(stored() == before, "PUT of what GET returned changes nothing", (before, stored()))

# every one of many requests for one group is answered
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    codes = list(pool.map(lambda i: call("PUT", CG + "web", group(label="aci-review"))[0], range(48)))
ok(codes == [200] * 48, "48 PUTs of one group at once are all answered", codes)
wait(lambda: state(CG + "web") == "Succeeded")

# while dns is restarted no name is denied
name, seen, stop = "aci-review.westeurope.azurecontainer.io", [], False
ok(wait(lambda: dig(name)[1]), "the name is there")


def ask():
    while not stop:
        seen.append(dig(name)[0])


asker = threading.Thread(target=ask)
asker.start()
for i in range(5):
    kill("dns")
    wait(lambda: call("GET", "/readyz")[0] == 200)
    time.sleep(0.3)
stop = True
asker.join()
ok("NXDOMAIN" not in seen and "NOERROR" in seen, "a restart of dns denies no name", {s: seen.count(s) for s in seen})

# a role that hangs is not ready
pid = role("engine")
os.kill(pid, 19)
ok(wait(lambda: call("GET", "/readyz")[0] == 503, 12), "/readyz tells of an engine that hangs")
os.kill(pid, 18)
ok(wait(lambda: call("GET", "/readyz")[0] == 200, 12), "and that it is back")

# a token for one subscription lists no other's, though its name begins alike
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])


def https(path):
    q = urllib.request.Request(os.environ["NETD_API"] + path, headers={"Authorization": "Bearer " + os.environ["NETD_TOKEN"]})
    try:
        return urllib.request.urlopen(q, context=ctx, timeout=5).status
    except urllib.error.HTTPError as e:
        return e.code


other = f"/subscriptions/{SUB}2/resourceGroups"
retry("PUT", other + "/theirs", {"location": "w"})
ok(https(other) == 404 and https(f"/subscriptions/{SUB}/resourceGroups") == 200, "a subscription whose name begins alike is foreign", https(other))
ok(https(f"/subscriptions/{SUB}/x/resourceGroups") == 404, "no list below a path that does not exist")
s, doc, _ = call("PUT", VNET + "net/subnets/more", {"properties": {"addressPrefix": "10.9.7.0/24"}})
ok(s == 201 and doc["name"] == "more", "a new subnet answers 201", s)
# tags do not restart containers, not even when the runtime is told the list again
told = lambda: [g for i, g in rt.told if i == (CG + "web").lower()]
before = told()
ok(call("PATCH", CG + "web", {"tags": {"a": "b"}})[0] == 200, "tags are set")
kill("control")
wait(lambda: call("GET", "/readyz")[0] == 200)
ok(wait(lambda: len(told()) > len(before)) and told()[-1] == before[-1], "and the generation stays", (before, told()))
# deleted before the runtime is back: it is asked to end the containers all the same
rt.away = True
kill("control")
wait(lambda: call("GET", "/readyz")[0] == 200)
call("DELETE", CG + "web")
time.sleep(0.3)
rt.away = False
ok(wait(lambda: (CG + "web").lower() not in rt.groups) and (CG + "web").lower() in rt.stops, "a group deleted while the runtime is away is ended by it", (list(rt.groups), rt.stops))
t.end()
