#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has control of a plane of three nodes with an etcd: the others stand by; when the node that has it is lost, stopped, hangs or is cut off from
etcd, one of them takes over, without a flow of other nodes noticing, and never two at a time."""
import re, signal
from balancers import *
from members import *

inside("limit-requests=0", "pool=routed 203.0.113.0/24", nodes=3, uplinks=True, store="etcd")
LAB = os.environ["NETD_LAB"]
NODES = (1, 2, 3)
sock = lambda k: f"{LAB}/node{k}/run/api.sock"
conf = lambda k: LAB + ("/netd.conf" if k == 1 else f"/node{k}.conf")
pid_of = lambda k: int(open(f"{LAB}/netd{'' if k == 1 else k}.pid").read())
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}


def sh(*words):
    return subprocess.run(words, check=True)


def at(k, method, path, body=None):
    """What the API of that node says."""
    os.environ["NETD_SOCKET"] = sock(k)
    return call(method, path, body)


def seat():
    """The node whose API is the plane's; call() asks it from now on. None: no node's."""
    for k in NODES:
        s, d, _ = at(k, "GET", "/netd/nodes")
        if s == 200:
            return k
    return None


def states():
    s, d, _ = call("GET", "/netd/nodes")
    return {n["name"]: n["state"] for n in d["value"]} if s == 200 else {"nobody": s}


def processes(k):
    return [pid_of(k)] + [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role" in cmdline(p) and conf(k).encode() in cmdline(p)]


def where(name):
    return ((call("GET", CG + name)[1] or {}).get("netd") or {}).get("node")


def runs(name):
    s, d, _ = call("GET", CG + name)
    return s == 200 and d["properties"]["provisioningState"] == "Succeeded" and d["properties"]["instanceView"]["state"] == "Running"


def log(k):
    return open(f"{LAB}/netd{'' if k == 1 else k}.log").read()


def by(node, ip):
    sh("ip", "-n", "internet", "route", "replace", ip, "via", "192.0.2.2" if node == 1 else f"192.88.{node}.2")


# ---- node2 and node3 stand by: the same store, key and pools, an address for nodes
text = open(LAB + "/netd.conf").read()
for k in (2, 3):
    sh("ip", "link", "add", "name", "store0", "netns", f"node{k}", "type", "veth", "peer", "name", f"node{k}", "netns", "store")
    sh("ip", "-n", "store", "link", "set", "dev", f"node{k}", "master", "bridge0", "up")
    sh("ip", "-n", f"node{k}", "link", "set", "store0", "up")
    sh("ip", "-n", f"node{k}", "addr", "add", f"10.99.0.{20 + k}/24", "dev", "store0")
    shared = [l for l in text.split("\n") if l.startswith(("store", "etcd-", "pool", "limit-", "region"))]
    own = [l for l in open(conf(k)).read().split("\n") if not l.startswith(("region", "limit-"))]
    open(conf(k), "w").write("\n".join(own + shared + [f"listen-nodes = 10.98.0.{k}:8446"]) + "\n")
    key = LAB + "/node1/state.key"
    sh("cp", "-p", key, f"{LAB}/node{k}/state.key") if os.path.exists(key) else None
    os.kill(pid_of(k), signal.SIGTERM)
ok(wait(lambda: all(s == "Ready" for s in states().values()) and len(states()) == 3, 20), "three nodes", states())
places = lambda k: json.load(open(f"{LAB}/node{k}/state/joined.json"))["plane"] if os.path.exists(f"{LAB}/node{k}/state/joined.json") else ""
ok(wait(lambda: all(places(k).count(",") == 2 for k in NODES), 10), "each knows where control may be, the first too", {k: places(k) for k in NODES})
ok(seat() == 1 and at(2, "GET", "/netd/nodes")[0] == 503, "node1 has it", at(2, "GET", "/netd/nodes"))
at(1, "GET", "/netd/nodes")
code, out = at(2, "GET", "/readyz")[:2]
ok(code == 200 and out["at"] == "10.98.0.1:8446", "who stands by says where it is", out)
at(1, "GET", "/netd/nodes")

# ---- groups on each, and a frontend
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
ip = {}
for name, k in (("a", 1), ("b", 2), ("c", 3), ("d", 3)):
    ip[name] = placed(lambda: member(name, "v", "s"), f"node{k}")[1]
front = public("front")
by(3, front)
call("PUT", LB + "lb", balancer("lb", {"f": "front"}, [pool(members=[ip["c"], ip["d"]])], [rule("lb", "http")], [probe()]))
ok(wait(lambda: page(front), 10), "a frontend serves")
ok(call("PUT", LB + "lb2", balancer("lb2", {}, [pool(members=[ip["a"]])], [], []))[0] in (200, 201), "changes are made")


def lose(k, how, again=False):
    """Takes control from the node; how long until another answers (`again`: or the same), under a load on a frontend of others."""
    run = load(front, 80, 20, 60, 0, 4, 0)
    time.sleep(1)
    begun = time.time()
    how()
    new = wait(lambda: [x for x in NODES if (again or x != k) and at(x, "GET", "/netd/nodes")[0] == 200], 30)
    return (new or [None])[0], time.time() - begun, run


def judge(run, what):
    r = run.result()
    bad = {x: v for x, v in r.items() if isinstance(v, dict) and v.get("failed")}
    ok(not bad and r["new"]["done"] > 100, f"{what}: no flow of others noticed", (bad, {x: v.get("done") for x, v in r.items() if isinstance(v, dict)}))


# ---- its node is lost
def lost(k):
    for dev in ("under0", "store0", "wan"):
        sh("ip", "-n", f"node{k}", "link", "set", dev, "down")
    for p in processes(k):
        os.kill(p, signal.SIGSTOP)
    rts[k].away = True


def wakes(k):
    for p in processes(k):
        os.kill(p, signal.SIGCONT)
    for dev in ("under0", "store0", "wan"):
        sh("ip", "-n", f"node{k}", "link", "set", dev, "up")
    rts[k].away = False


new, took, run = lose(1, lambda: lost(1))
ok(new in (2, 3) and took < 12, f"node1 is lost: node{new} has control after {took:.1f} s", (new, took))
print(f"# control's node lost to the API answering: {took:.1f} s")
at(new, "GET", "/netd/nodes")
ok(wait(lambda: states()[f"node{5 - new}"] == "Ready", 10), "the third node found it", states())
ok(wait(lambda: states()["node1"] == "NotReady", 12) and wait(lambda: where("a") != "node1" and runs("a"), 15), "what was on node1 begins anew elsewhere", (states(), where("a")))
ok(wait(lambda: call("PUT", LB + "lb2", balancer("lb2", {}, [pool(members=[ip["b"]])], [], []))[0] in (200, 201), 5), "changes are made")
judge(run, "while control was lost")
before = ip["a"]
ok(call("GET", CG + "a")[1]["netd"]["address"] == before, "with the same address")
wakes(1)
ok(wait(lambda: states()["node1"] == "Ready", 20) and at(1, "GET", "/netd/nodes")[0] == 503, "node1 wakes as a node like others", log(1)[-600:])
at(new, "GET", "/netd/nodes")
ok(wait(lambda: [f for f in os.listdir(f"{LAB}/node1/run/ns") if f[0] == "g" and f != "gw"] == [], 10), "without what it lost", os.listdir(f"{LAB}/node1/run/ns"))
body = group("e")
body["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "v/subnets/s"}])
ok(placed(lambda: wait(lambda: call("PUT", CG + "e", body)[0] in (200, 201), 10), "node1"), "it takes groups", [(n["name"], n["state"], n.get("linked"), n["cordoned"]) for n in call("GET", "/netd/nodes")[1]["value"]])
ok(where("e") == "node1" and wait(lambda: runs("e"), 10), "and gets groups again")

# ---- it is stopped
old = new
at(old, "GET", "/netd/nodes")
were = {x: where(x) for x in "abcde"}
new, took, run = lose(old, lambda: (os.kill(pid_of(old), signal.SIGTERM), time.sleep(0.3)), True)
ok(new and took < 8, f"netd of node{old} is restarted: control is there after {took:.1f} s", (new, took))
ok(wait(lambda: seat() and all(s == "Ready" for s in states().values()), 10), "all are there", states())
judge(run, "while netd was restarted")
ok(wait(lambda: all(runs(x) for x in "abcde"), 5) and {x: where(x) for x in "abcde"} == were, "groups are where they were", ({x: where(x) for x in "abcde"}, were))

# ---- it is cut off from etcd, and from nothing else
old = seat()
new, took, run = lose(old, lambda: sh("ip", "-n", f"node{old}", "link", "set", "store0", "down"))
at(new or old, "GET", "/netd/nodes")
ok(new and took < 15, f"node{old} does not reach etcd: node{new} has control after {took:.1f} s", (new, took, log(old)[-400:]))
ok(wait(lambda: at(old, "GET", "/netd/nodes")[0] == 503 and "API is that of" in json.dumps(at(old, "GET", "/netd/nodes")[1]), 12), f"node{old} gives way, though etcd does not tell it", at(old, "GET", "/netd/nodes"))
at(new, "GET", "/netd/nodes")
ok(wait(lambda: all(s == "Ready" for s in states().values()), 15), "and is a node like others", states())
judge(run, "while it was cut off")
ok(all(runs(x) for x in "abcde") and {x: where(x) for x in "abcde"} == were, "nothing was moved", ({x: where(x) for x in "abcde"}, were))
sh("ip", "-n", f"node{old}", "link", "set", "store0", "up")

# ---- nobody reaches etcd: who has control keeps it
old = seat()
run = load(front, 80, 14, 60, 0, 4, 0)
for k in (1, 2):
    os.kill(member_pid(k), signal.SIGSTOP)
time.sleep(10)
s, d, _ = call("PUT", LB + "lb2", balancer("lb2", {}, [pool()], [], []))
for k in (1, 2):
    os.kill(member_pid(k), signal.SIGCONT)
ok(s == 503, "without a majority of etcd changes are refused", (s, d))
ok(wait(lambda: call("PUT", LB + "lb2", balancer("lb2", {}, [pool()], [], []))[0] in (200, 201), 20) and seat() == old, f"with one again they are made, by node{old} as before", seat())
judge(run, "while etcd was away")

# ---- one that has another key does not take what it could not open
others = [k for k in NODES if k != old]
for k in others:
    open(f"{LAB}/node{k}/state.key", "r+b").write(os.urandom(32))
    os.kill(pid_of(k), signal.SIGTERM)
ok(wait(lambda: all(s == "Ready" for s in states().values()), 15), "nodes with another key are there")
os.kill(pid_of(old), signal.SIGSTOP)
for p in processes(old):
    os.kill(p, signal.SIGSTOP)
ok(wait(lambda: any("is not the one that its secrets are sealed under" in log(k) for k in others), 20), "take nothing, and say why", [log(k)[-300:] for k in others])
for p in processes(old):
    os.kill(p, signal.SIGCONT)
ok(wait(lambda: at(old, "GET", "/netd/nodes")[0] == 200, 20), f"node{old} has it again", log(old)[-400:])
t.end()
