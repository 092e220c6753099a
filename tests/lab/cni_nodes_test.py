#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""CNI on every node of a plane: a runtime calls the plugin on its own node, control answers, the namespace stays there; nodes know nothing of each
other's attachments; what happens when the plane, an engine or the node goes."""
import signal
from balancers import *

inside("limit-groups=400", f"cni-subscriptions=11111111-0000-0000-0000-000000000001,{SUB}", "pool=routed 203.0.113.0/24", nodes=3, uplinks=True)
from cni import *

LAB = os.environ["NETD_LAB"]
call("PUT", RG, {"location": "westeurope"})
put(VNET + "net", {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00:1::/48"]}}})
subnet("net", "pods", ["10.0.1.0/24", "fd00:1::/64"])
confs = {k: {**conf(subnet=VNET + "net/subnets/pods"), "socket": f"{LAB}/node{k}/run/cni.sock"} for k in (1, 2, 3)}
spaces = {}


def add(container, k, **more):
    spaces[container] = Namespace()
    return plugin("ADD", {**confs[k], **more}, container=container, netns=spaces[container].path)


def delete(container, k):
    return plugin("DEL", confs[k], container=container, netns=spaces[container].path if container in spaces else "")


def ip_of(result):
    return [i["address"].split("/")[0] for i in result[1]["ips"]]


def found(container):
    g = [g for g in everything(CG[:-1]) if g.get("tags", {}).get("cni.container") == container]
    return call("GET", CG + g[0]["name"])[1] if g else None


def reach(a, address, what="ping"):
    return spaces[a].run("ping", "-6" if ":" in address else "-4", "-c1", "-W1", address).returncode == 0


# ---- one network over three nodes
r = {x: add(x, k) for x, k in (("p2", 2), ("p1", 1), ("p3", 3), ("q3", 3))}
ok(all(x[0] == 0 for x in r.values()), "ADD on each node", {k: v for k, v in r.items() if v[0]})
ok([found(x)["netd"]["node"] for x in r] == ["node2", "node1", "node3", "node3"], "the group is on the node whose runtime asked", [found(x)["netd"] for x in r])
ips = {x: ip_of(v) for x, v in r.items()}
ok(len({i for v in ips.values() for i in v}) == 8, "addresses are each once", ips)
ok(all(spaces[x].addresses() and any(a.startswith(ips[x][0] + "/") for a in spaces[x].addresses()) for x in r), "in the namespace that came with the call", {x: spaces[x].addresses() for x in r})
ok(wait(lambda: all(reach(a, i) for a in r for b in r if a != b for i in ips[b]), 5), "all reach each other, by IPv4 and IPv6")
ok(reach("p3", "192.0.2.1"), "and the internet")

# ---- verbs, by node
ok(plugin("CHECK", {**confs[3], "prevResult": r["p3"][1]}, container="p3", netns=spaces["p3"].path)[0] == 0, "CHECK on its node", plugin("CHECK", {**confs[3], "prevResult": r["p3"][1]}, container="p3", netns=spaces["p3"].path))
ok(plugin("CHECK", {**confs[2], "prevResult": r["p3"][1]}, container="p3", netns=spaces["p3"].path)[1]["code"] == 3, "on another it is unknown")
ok(plugin("CHECK", {**confs[3], "prevResult": r["p3"][1]}, container="p3", netns=spaces["q3"].path)[1]["code"] not in (0, 3), "with another namespace it differs")
ok(all(plugin("STATUS", {**confs[k], "cniVersion": "1.1.0"}, container=None, ifname=None)[0] == 0 for k in confs), "STATUS on each")
again = plugin("ADD", confs[3], container="p3", netns=spaces["p3"].path)
ok(again[0] and "already" in json.dumps(again[1]), "ADD again is refused", again)
bad = plugin("ADD", {**confs[2], "subnet": VNET + "net/subnets/none"}, container="bad", netns=spaces["p2"].path)
ok(bad[0] and found("bad") is None, "a subnet that is not there: refused, nothing is left", bad)
bad = plugin("ADD", {**confs[2], "subscription": SUB[:-1] + "7"}, container="bad", netns=spaces["p2"].path)
ok(bad[0] and bad[1]["code"] == 7 and "cni-subscriptions" in json.dumps(bad[1]), "a subscription that other nodes' runtimes may not use", bad)
ok(delete("p3", 2)[0] == 0 and found("p3"), "DEL on another node takes nothing away")
plugin("GC", {**confs[3], "cniVersion": "1.1.0", "cni.dev/valid-attachments": [{"containerID": "p3", "ifname": "eth0"}]}, container=None, ifname=None)
ok(wait(lambda: not found("q3"), 5) and found("p3") and found("p1") and found("p2"), "GC takes what its node's runtime does not know, and nothing of others'")
spaces["q3"].drop()
ok(delete("p3", 3)[0] == 0 and not found("p3") and not spaces["p3"].addresses(), "DEL on its node", spaces["p3"].addresses())
ok(delete("p3", 3)[0] == 0, "twice is success")
r["p3"] = plugin("ADD", confs[3], container="p3", netns=spaces["p3"].path)
ok(r["p3"][0] == 0, "ADD again", r["p3"])

# ---- many at once
names = [f"m{i}" for i in range(12)]
for n in names:
    spaces[n] = Namespace()
with __import__("concurrent.futures").futures.ThreadPoolExecutor(6) as pool:
    got = list(pool.map(lambda x: plugin("ADD", confs[int(x[1:]) % 3 + 1], container=x, netns=spaces[x].path), names))
ok(all(g[0] == 0 for g in got) and len({ip_of(g)[0] for g in got}) == 12, "twelve at once, over the nodes", [g for g in got if g[0]][:2])
with __import__("concurrent.futures").futures.ThreadPoolExecutor(6) as pool:
    got = list(pool.map(lambda x: delete(x, int(x[1:]) % 3 + 1), names))
ok(all(g[0] == 0 for g in got) and not any(found(x) for x in names), "and go", [g for g in got if g[0]][:2])

# ---- a namespace that goes without a DEL
x = add("gone", 2)
ok(x[0] == 0 and found("gone"), "one more on node2")
spaces["gone"].drop()
ok(wait(lambda: not found("gone"), 20), "its namespace goes: so does the group")

# ---- the engine of its node begins anew
pid = next(int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role\0engine" in cmdline(p) and b"/node3.conf" in cmdline(p))
os.kill(pid, signal.SIGKILL)
ok(wait(lambda: reach("p3", ips["p1"][0]), 10) and wait(lambda: plugin("CHECK", {**confs[3], "prevResult": r["p3"][1]}, container="p3", netns=spaces["p3"].path)[0] == 0, 10), "an engine that begins anew finds the namespace again")

# ---- the plane is away
os.kill(role_pid("control"), signal.SIGSTOP)
begun = time.time()
spaces["late"] = Namespace()
x = plugin("ADD", confs[3], container="late", netns=spaces["late"].path)
os.kill(role_pid("control"), signal.SIGCONT)
ok(x[0] and x[1]["code"] == 11 and time.time() - begun < 20, f"while the plane is away: try again later, after {time.time() - begun:.1f} s", x)
ok(wait(lambda: {n["name"]: n["state"] for n in call("GET", "/netd/nodes")[1]["value"]}["node3"] == "Ready", 15), "it is back")
wait(lambda: delete("late", 3)[0] == 0, 10)
x = wait(lambda: (lambda y: y if y[0] == 0 else None)(plugin("ADD", confs[3], container="late", netns=spaces["late"].path)), 10)
ok(x and reach("late", ips["p1"][0]), "then it is made", x)

# ---- the node is lost, and comes back
conf3 = lambda line: b"/node3.conf" in line and (b"--role" in line or b"--config" in line)
pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and conf3(cmdline(p))]
for p in pids:
    os.kill(p, signal.SIGSTOP)
ok(wait(lambda: {n["name"]: n["state"] for n in call("GET", "/netd/nodes")[1]["value"]}["node3"] == "NotReady", 12), "node3 is lost")
time.sleep(1)
ok(found("p3")["netd"]["node"] == "node3" and not reach("p1", ip_of(r["p3"])[0]), "what its runtime made stays its own, and is out of reach")
for p in pids:
    os.kill(p, signal.SIGCONT)
ok(wait(lambda: reach("p1", ip_of(r["p3"])[0]) and reach("p3", "192.0.2.1"), 20), "it comes back with it", found("p3")["netd"])

# ---- drained, removed
s, d, _ = call("POST", "/netd/nodes/node3/drain")
ok(found("p3")["netd"]["node"] == "node3" and reach("p3", ips["p1"][0]), "a drained node keeps what its runtime made", (s, d))
x = add("no", 3)
ok(x[0] and found("no") is None, "and gets nothing new", x)
call("POST", "/netd/nodes/node3/uncordon")
call("DELETE", "/netd/nodes/node3")
ok(wait(lambda: not found("p3") and not found("late"), 15), "a node that is removed takes its runtime's groups along", (found("p3") or {}).get("netd"))
ok(found("p1") and found("p2") and reach("p2", ips["p1"][0]), "others' stay")
for x, k in (("p1", 1), ("p2", 2)):
    delete(x, k)
for n in spaces.values():
    n.drop()
t.end()
