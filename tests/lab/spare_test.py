#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spares: namespaces with links made ahead, as many as a subnet needed lately; killed roles; nothing of a spare passes
or is left, and what a group had is never a spare again."""
import re, signal
from plane import *

inside("pool-links=8")
t = Tap()
ok = t.ok
runtime = Runtime(serve=True)
NET = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": [
    {"name": s, "properties": {"addressPrefix": f"10.1.{i}.0/24", "delegations": [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}} for i, s in enumerate(("a", "b"))]}}


def private(name, subnet):
    doc = group(name)
    doc["properties"]["ipAddress"] = {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]}
    doc["properties"]["subnetIds"] = [{"id": VNET + "net/subnets/" + subnet}]
    return doc


def own():
    """Numbers of the groups there are."""
    return {call("GET", i)[1]["netd"]["namespace"].rsplit("/", 1)[1] for i in runtime.groups}


def spares():
    return [n for n in namespaces() if n.startswith("g") and n not in own()]


def ready(names):
    return wait(lambda: all(state(CG + n) == "Succeeded" for n in names), 20)


call("PUT", RG, {"location": "westeurope"})
call("PUT", VNET + "net", NET)
call("PUT", CG + "one", private("one", "a"))
ready(["one"])
time.sleep(0.3)
ok(spares() == [], "one group: no spare", spares())
names = [f"a{i}" for i in range(6)]
for n in names:
    call("PUT", CG + n, private(n, "a"))
ready(names)
ok(wait(lambda: len(spares()) == 7), "several: as many spares as came lately", spares())
had = set(spares())
call("PUT", CG + "next", private("next", "a"))
ready(["next"])
mine = call("GET", CG + "next")[1]["netd"]["namespace"].rsplit("/", 1)[1]
ok(mine in had, "the next one takes a spare", (mine, had))
ip = call("GET", CG + "next")[1]["properties"]["ipAddress"]["ip"]
other = call("GET", CG + "one")[1]["netd"]["namespace"]
ok(wait(lambda: subprocess.run(["nsenter", "--net=" + other, "curl", "-s", "-m", "1", f"http://{ip}/"], capture_output=True).returncode == 0), "and is reached")
ok(wait(lambda: len(spares()) == 8), "another spare is made, eight at most", spares())
inside_spare = NS + "/" + spares()[0]
subprocess.run(["nsenter", "--net=" + inside_spare, "sh", "-c", "ip addr add 10.1.0.200/24 dev eth0; ip route add default via 10.1.0.1; ip neigh add 10.1.0.1 lladdr 12:34:56:78:9a:bc dev eth0"], capture_output=True)
ok(subprocess.run(["nsenter", "--net=" + inside_spare, "curl", "-s", "-m", "1", f"http://{ip}/"], capture_output=True).returncode != 0, "nothing that is sent from a spare passes")

# ---- another subnet has none of them; killed roles
call("PUT", CG + "b", private("b", "b"))
ready(["b"])
mine = call("GET", CG + "b")[1]["netd"]["namespace"].rsplit("/", 1)[1]
ok(mine not in had and len(spares()) == 8, "another subnet's first group does not take one", (mine, spares()))
for role in ("engine", "control", "engine", "control"):
    os.kill(role_pid(role), signal.SIGKILL)
    time.sleep(0.2)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200, 20), f"{role} dies and comes back")
    ok(wait(lambda: len(spares()) <= 8), "not more spares than may be", spares())
names2 = [f"k{i}" for i in range(5)]
for n in names2:
    call("PUT", CG + n, private(n, "a"))
ok(ready(names2), "groups come after that")
ips = [call("GET", CG + n)[1]["properties"]["ipAddress"]["ip"] for n in names + names2 + ["one", "next"]]
ok(len(set(ips)) == len(ips), "no address twice", ips)
numbers = own()
ok(len(numbers) == len(runtime.groups), "no namespace twice", numbers)

# ---- what a group had does not come back
gone = [call("GET", CG + n)[1]["netd"]["namespace"].rsplit("/", 1)[1] for n in names2]
for n in names2:
    retry("DELETE", CG + n)
ok(wait(lambda: not set(gone) & set(namespaces())), "a removed group's namespace goes", (gone, namespaces()))
ok(wait(lambda: spares() == [], 20), "spares that nobody wants any more go", spares())
for n in names:
    call("PUT", CG + n + "x", private(n + "x", "a"))
ready([n + "x" for n in names])
ok(wait(lambda: len(spares()) > 0), "and come again with demand")
ok(not set(gone) & set(namespaces()), "none is one that a group had")

# ---- many at once
start = time.time()
threads = [threading.Thread(target=call, args=("PUT", CG + f"m{i}", private(f"m{i}", "a"))) for i in range(40)]
for x in threads:
    x.start()
for x in threads:
    x.join()
ok(ready([f"m{i}" for i in range(40)]), "forty at once")
numbers = [call("GET", CG + f"m{i}")[1]["netd"]["namespace"] for i in range(40)]
ok(len(set(numbers)) == 40, "each has its own")
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 45), "all goes")
ok(wait(lambda: namespaces() == []), "and with the last group the spares", namespaces())
t.end()
