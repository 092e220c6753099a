#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""netd is upgraded, node by node, to a version that tells its engines other things: nothing that runs notices, whichever node is the first, and no node is told
what it does not understand."""
import signal
from balancers import *

LONG = os.environ.get("LONG") == "1"
RATE, KEPT, DOWNLOADS = (2000, 200, 200) if LONG else (300, 30, 20)
inside("limit-requests=0", "flows=1000000", "pool=routed 203.0.113.0/24", nodes=3, uplinks=True)
LAB, NODES = os.environ["NETD_LAB"], (1, 2, 3)
NEXT = os.environ["NETD_BUILD"] + "/lab/netd-next"
pid_of = lambda k: int(open(f"{LAB}/netd{'' if k == 1 else k}.pid").read())
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in NODES}


def by(node, ip):
    subprocess.run(["ip", "-n", "internet", "route", "replace", ip, "via", "192.0.2.2" if node == 1 else f"192.88.{node}.2"], check=True)


def nodes(what):
    s, d, _ = call("GET", "/netd/nodes")
    return {n["name"]: n.get(what) for n in d["value"]} if s == 200 else {}


def upgrade(k, program=NEXT):
    """Installs it on the node, and restarts netd there as systemd would."""
    os.makedirs(f"{LAB}/node{k}", exist_ok=True)
    open(f"{LAB}/node{k}/program", "w").write(program)
    was = pid_of(k)
    os.kill(was, signal.SIGTERM)
    began = time.time()
    wait(lambda: pid_of(k) != was)
    if k == 1:
        wait(lambda: call("GET", "/netd/nodes")[0] == 200, 20)
        print(f"# control is there again after {time.time() - began:.2f} s")
    version = "0.1.0+next" if program == NEXT else "0.1.0"
    return wait(lambda: nodes("version").get(f"node{k}") == version and set(nodes("state").values()) == {"Ready"}, 15)


def unlike():
    return {k: v for k, v in nodes("unlike").items() if v}


put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
ns, ip = {}, {}
for name, node in (("b", 2), ("a", 1), ("c", 3)):  # node2 is the home
    ns[name], ip[name] = placed(lambda: member(name, "v", "s"), f"node{node}")
pub = public("p")
doc = lambda members="bac": balancer("lb", {"f": "p"}, [pool(members=[ip[m] for m in members])], [rule("lb", "http")], [probe()])
ok(call("PUT", LB + "lb", doc())[0] in (200, 201) and wait(lambda: up("lb", "http") == 3, 15), "a frontend with a backend on each node")
own = {}
for k in NODES:
    placed(lambda: call("PUT", CG + f"own{k}", group(f"own{k}")), f"node{k}")
    wait(lambda: state(CG + f"own{k}") == "Succeeded")
    own[k] = call("GET", CG + f"own{k}")[1]["properties"]["ipAddress"]["ip"]
web = serve("/run/netns/internet", "192.0.2.1", "8000")


def under(what, do):
    """What passes meanwhile: a frontend's new connections, kept ones and downloads, and those of groups' own addresses."""
    run = [load(pub, 80, 14, RATE, KEPT, DOWNLOADS, 0)] + [load(own[k], 80, 14, 20, 4, 4, 0) for k in NODES]
    time.sleep(1)
    do()
    for who, r in zip(("the frontend", *(f"the group on node{k}" for k in NODES)), [r.result() for r in run]):
        for k, v in r.items():
            if isinstance(v, dict) and v["done"] + v["failed"]:
                ok(v["done"] > 0 and v["failed"] == 0, f"{what}: {who}: {v['done']} {k}, {v['failed']} failed", v["why"])


def well(when):
    """All that stands goes on, from and to each node."""
    got = {inns("/run/netns/internet", f"curl -s -m 1 http://{pub}/").strip() for _ in range(30)}
    ok(got == {"a", "b", "c"}, f"{when}: all backends answer", got)
    for x in "abc":
        for y in "abc":
            x == y or ok(inns(ns[x], f"curl -s -m 2 http://{ip[y]}/").strip() == y, f"{when}: {x} reaches {y}")
        ok(ask(ns[x], "192.0.2.1", 8000) != "", f"{when}: {x} reaches the world")


by(3, pub)


def second():
    ok(upgrade(2), "node2, the home, has the next version, control has not", (nodes("version"), nodes("state")))
    ok(unlike() == {"node2": ["engine"]}, "and the API says that its engine is not told of changes", unlike())
    r = subprocess.run([os.environ["NETD_NETCTL"], "node", "list"], env={k: v for k, v in os.environ.items() if k != "NETD_API"}, capture_output=True, text=True).stdout
    ok("Ready,unlike" in next(l for l in r.splitlines() if l.startswith("node2 ")), "so does netctl", r)
    for what, body in (("drain", None), ("uncordon", None)):
        s, d, _ = call("POST", f"/netd/nodes/node2/{what}", body)
        ok(s == (409 if what == "drain" else 204) and (s == 204 or "another version" in json.dumps(d)), f"{what}: nothing begins elsewhere that goes on there", (s, d))
    s, d, _ = call("POST", "/netd/nodes/node3/take", {"virtualNetwork": VNET + "v"})
    ok(s == 409 and "another version" in json.dumps(d), "nor does its VNet move", (s, d))


under("node2 is another than control", second)
well("node2 is another")
time.sleep(3)
well("still")
for i in range(3):
    call("PUT", CG + f"new{i}", group(f"new{i}"))
    ok(wait(lambda: state(CG + f"new{i}") == "Succeeded") and call("GET", CG + f"new{i}")[1]["netd"]["node"] != "node2", "new groups go to other nodes", call("GET", CG + f"new{i}")[1])


def first():
    ok(upgrade(1), "control's node has it too", (nodes("version"), nodes("state")))
    ok(unlike() == {"node3": ["engine"]}, "node3 is the one that is behind", unlike())
    ok(wait(lambda: call("PUT", LB + "lb", doc("ba"))[0] == 200 and up("lb", "http") == 2), "changes are made where they are understood")


under("control is upgraded", first)


def third():
    ok(upgrade(3), "node3 has it too", (nodes("version"), nodes("state")))
    ok(wait(lambda: unlike() == {}), "all are alike", unlike())


by(2, pub)
under("node3 is upgraded", third)
ok(wait(lambda: call("PUT", LB + "lb", doc())[0] == 200 and up("lb", "http") == 3, 10), "the frontend has all three again")
well("all are upgraded")
for k in NODES:
    ok(placed(lambda: call("PUT", CG + f"late{k}", group(f"late{k}"))[0] == 201 and wait(lambda: state(CG + f"late{k}") == "Succeeded"), f"node{k}"), f"groups are made on node{k}")
engine = lambda: [l for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l]
was = engine()
time.sleep(3)
ok(len(was) == 6 and engine() == was, "no engine finds anything to repair", (was, engine()))
web.kill()
t.end()
