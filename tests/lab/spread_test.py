#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups on every node of a plane: placing, public addresses, names, runtimes, drain, and a node that is lost."""
import signal
from vnets import *

inside(nodes=3, runtime=False)
LAB = os.environ["NETD_LAB"]


def nodes():
    return {n["name"]: n for n in call("GET", "/netd/nodes")[1]["value"]}


def fetch(ns, a):
    """Who a server there says called it; "" when nobody answers."""
    return inns(ns, f"curl -s -m 1 http://{a}/")


def node_of(name):
    return ((call("GET", CG + name)[1] or {}).get("netd") or {}).get("node")


def address(name):
    return call("GET", CG + name)[1]["properties"]["ipAddress"]["ip"]


def runs(name):
    return state(CG + name) == "Succeeded" and call("GET", CG + name)[1]["properties"]["instanceView"]["state"] == "Running"


def post(what, body=None, node="node2"):
    return call("POST", f"/netd/nodes/{node}/{what}", body)


def private(name, vnet, sub="a", **props):
    g = group(name)
    g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + vnet + "/subnets/" + sub}], **props)
    return call("PUT", CG + name, g)


def placed(what, node, **more):
    """Makes it while no other node takes groups."""
    others = [n for n in nodes() if n != node]
    for n in others:
        post("cordon", node=n)
    r = what()
    for n in others:
        post("uncordon", node=n)
    return r


def gather(node):
    """All groups are on that node."""
    others = [n for n in nodes() if n != node]
    for n in others:
        post("cordon", node=n)
    for n in others:
        post("drain", node=n)
    for n in others:
        post("uncordon", node=n)


def netd_pids(node):
    conf = b"/netd.conf" if node == 1 else f"/node{node}.conf".encode()
    main = open(f"{LAB}/netd{node if node > 1 else ''}.pid").read().strip()
    return [int(main)] + [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role" in cmdline(p) and conf in cmdline(p)]


call("PUT", RG, {"location": "westeurope"})
rts = {k: Runtime(serve=True, node=k) for k in (1, 2, 3)}
ok(wait(lambda: all(n["state"] == "Ready" for n in nodes().values()) and len(nodes()) == 3), "three nodes", nodes())

# ---- a public group on another node
ok(placed(lambda: call("PUT", CG + "web", group("web", label="hello"))[0], "node2") == 201 and wait(lambda: runs("web")), "a group begins on node2", call("GET", CG + "web"))
ok(node_of("web") == "node2" and not rts[1].groups and [i.rsplit("/", 1)[1] for i in rts[2].groups] == ["web"], "whose runtime has it, and no other", node_of("web"))
ok(wait(lambda: page(address("web")) == "192.0.2.1", 3), "its public address is reached by node1's uplink, and sees the client's own address", page(address("web")))
ok(dig("hello.westeurope.azurecontainer.io") == ("NOERROR", [address("web")]), "its name is answered")
v6 = [x for x in subprocess.run(["ip", "-n", "internet", "-6", "route"], capture_output=True, text=True).stdout.split("\n") if "2001:db8:1::" in x]
inner = call("GET", CG + "web")[1]["netd"]["namespace"]
ok(inner.startswith(f"{LAB}/node2/run/ns/"), "GET says where its namespace is", inner)
srv = serve("/run/netns/internet", "192.0.2.1", "8000")
ok(ask(inner, "192.0.2.1", 8000) == address("web"), "it leaves by its own public address", ask(inner, "192.0.2.1", 8000))
call("PUT", CG + "near", group("near"))
ok(node_of("near") == "node2", "the subscription's groups without a VNet are on one node", node_of("near"))

# ---- VNets on different nodes
for v, n in (("one", 1), ("two", 2)):
    put(VNET + v, {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
    subnet(v, "a", ["10.1.0.0/24"])
    ok(placed(lambda: private(v + "-x", v)[0], f"node{n}") == 201 and private(v + "-y", v)[0] == 201, f"groups in VNet {v}")
ok(wait(lambda: all(runs(g) for g in ("one-x", "one-y", "two-x", "two-y"))), "run")
ok([node_of(g) for g in ("one-x", "one-y", "two-x", "two-y")] == ["node1"] * 2 + ["node2"] * 2, "a VNet is on one node, whatever others have room", [node_of(g) for g in ("one-x", "one-y", "two-x", "two-y")])
ns = {g: call("GET", CG + g)[1]["netd"]["namespace"] for g in ("one-x", "one-y", "two-x", "two-y")}
ok(wait(lambda: fetch(ns["two-x"], address("two-y")) and fetch(ns["one-x"], address("one-y"))), "groups of a VNet reach each other", fetch(ns["two-x"], address("two-y")))
egress = ask(ns["two-x"], "192.0.2.1", 8000)
ok(egress.startswith(("192.0.2.", "203.0.113.")) and egress != address("web"), "and the internet, by the platform's address", egress)
look = lambda g, name: inns(ns[g], f"dig +short +time=1 +tries=2 @168.63.129.16 {name}").split()
suffix = look("two-x", "two-y.internal.azurecontainer.io") or None
call("PUT", N + "privateDnsZones/corp.example", {"location": "global"})
call("PUT", N + "privateDnsZones/corp.example/A/db", {"properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.1.0.77"}]}})
ok("10.1.0.77" not in look("two-x", "db.corp.example"), "a zone that is not linked is not seen")
call("PUT", N + "privateDnsZones/corp.example/virtualNetworkLinks/l", {"location": "global", "properties": {"registrationEnabled": True, "virtualNetwork": {"id": VNET + "two"}}})
ok(wait(lambda: look("two-x", "db.corp.example") == ["10.1.0.77"], 5), "one that is linked is answered on the VNet's node", look("two-x", "db.corp.example"))
ok(look("two-x", "two-y.corp.example") == [address("two-y")], "with the names of its groups", look("two-x", "two-y.corp.example"))
ok("10.1.0.77" not in look("one-x", "db.corp.example"), "and nowhere else")
call("PUT", N + "privateDnsZones/corp.example/A/db", {"properties": {"ttl": 10, "aRecords": [{"ipv4Address": "10.1.0.78"}]}})
ok(wait(lambda: look("two-x", "db.corp.example") == ["10.1.0.78"], 2), "a change of it too")
ok(look("two-x", "hello.westeurope.azurecontainer.io") == [address("web")], "public names are answered there", look("two-x", "hello.westeurope.azurecontainer.io"))
s, doc, _ = call("GET", f"{CG}two-x/containers/two-x/logs")
ok(s in (200, 503), "logs are asked of that node's runtime", (s, doc))

# ---- a security group there
put(N + "networkSecurityGroups/closed", {"properties": {"securityRules": [{"name": "no", "properties": {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*"}}]}})
subnet("two", "a", ["10.1.0.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/closed"})
ok(not fetch(ns["two-x"], address("two-y")), "a security group holds there at once")
subnet("two", "a", ["10.1.0.0/24"])

# ---- peering
s, doc, _ = call("PUT", VNET + "one", {"location": "westeurope", "properties": {**call("GET", VNET + "one")[1]["properties"], "virtualNetworkPeerings": [{"name": "p", "properties": {"remoteVirtualNetwork": {"id": VNET + "two"}}}]}})
ok(s == 400, "VNets of one space are not peered", (s, doc))
put(VNET + "three", {"properties": {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}}})
subnet("three", "a", ["10.3.0.0/24"])
placed(lambda: private("three-x", "three"), "node3")
ok(wait(lambda: runs("three-x")) and node_of("three-x") == "node3", "a third VNet on node3")


def peer(a, b):
    doc = call("GET", VNET + a)[1]["properties"]
    doc["virtualNetworkPeerings"] = [{"name": "to-" + b, "properties": {"remoteVirtualNetwork": {"id": VNET + b}, "allowVirtualNetworkAccess": True}}]
    return call("PUT", VNET + a, {"location": "westeurope", "properties": doc})


ok(peer("three", "two")[0] in (200, 201) and peer("two", "three")[0] in (200, 201), "VNets with groups on different nodes are peered")
ns["three-x"] = call("GET", CG + "three-x")[1]["netd"]["namespace"]
ok(wait(lambda: fetch(ns["three-x"], address("two-x")) == address("three-x") and fetch(ns["two-x"], address("three-x")) == address("two-x"), 5), "and reach each other", fetch(ns["three-x"], address("two-x")))
ok(node_of("three-x") == "node3" and "Moved" not in [e["name"] for e in call("GET", CG + "three-x")[1]["properties"]["instanceView"].get("events") or []], "their groups went on where they were")
s, doc, _ = post("take", {"virtualNetwork": VNET + "three"}, "node1")
ok(s == 204 and wait(lambda: fetch(ns["three-x"], address("two-x")) == address("three-x"), 5) and node_of("three-x") == "node3", "an administrator gives them another home: the same", (s, doc))
ok(wait(lambda: ask(ns["three-x"], "192.0.2.1", 8000).startswith(("203.0.113.", "192.0.2.")), 5), "and the way out is by that", ask(ns["three-x"], "192.0.2.1", 8000))
post("take", {"virtualNetwork": VNET + "three"}, "node2")
for what, body, want in (("no VNet", {"virtualNetwork": VNET + "nix"}, 400), ("no id", {}, 400)):
    s, doc, _ = post("take", body)
    ok(s == want and "virtualNetwork" in doc["error"]["message"], f"take: {what}", (s, doc))

# ---- control dies: nothing changes on the other nodes
there = lambda: {k: sorted(os.listdir(f"{LAB}/node{k}/run/ns")) for k in (1, 2, 3)}
ok(wait(lambda: not {"v24", "v30"} & set(there()[1]), 3), "the home that they left has nothing of them", there())
before = there()
misses = []
stop = threading.Event()


def watch():
    while not stop.is_set():
        if page(address_web) is None:
            misses.append(time.time())
        time.sleep(0.02)


address_web = address("web")
w = threading.Thread(target=watch, daemon=True)
w.start()
for victim in ("control", "engine", "dns"):
    os.kill(next(p for p in netd_pids(1)[1:] if f"--role\0{victim}".encode() in cmdline(p)), signal.SIGKILL)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200 and all(n["state"] == "Ready" for n in nodes().values()), 20), f"node1's {victim} dies and comes back")
for victim in ("engine", "control", "dns"):
    os.kill(next(p for p in netd_pids(2)[1:] if f"--role\0{victim}".encode() in cmdline(p)), signal.SIGKILL)
    time.sleep(1)
    ok(wait(lambda: nodes()["node2"]["state"] == "Ready" and fetch(ns["two-x"], address("two-y")) and look("two-x", "db.corp.example") == ["10.1.0.78"], 20), f"node2's {victim} dies and comes back")
stop.set()
w.join()
ok(not misses, "no request to a group on node2 failed meanwhile", len(misses))
ok(wait(lambda: there() == before, 5), "and each node has what it had", (before, there()))

def counters():
    text = subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
    return {m: v for m, v in (l.rsplit(" ", 1) for l in text.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l)}


time.sleep(1)
was = counters()
time.sleep(3)
ok(len(was) == 6 and counters() == was, "no engine finds anything to repair", (was, counters()))

# ---- drain
s, doc, _ = post("drain", node="node2")
ok(s == 204 and nodes()["node2"]["cordoned"], "node2 is drained", (s, doc))
ok(wait(lambda: all(node_of(g) in ("node1", "node3") and runs(g) for g in ("web", "near", "two-x", "two-y", "three-x")), 15), "its groups run on other nodes", [(g, node_of(g), state(CG + g)) for g in ("web", "near", "two-x", "two-y", "three-x")])
ok(wait(lambda: page(address("web")) is not None, 3) and address("web") == address_web, "the public address is what it was, and is reached")
ok(wait(lambda: os.listdir(f"{LAB}/node2/run/ns") == ["gw"]), "node2 has nothing left", os.listdir(f"{LAB}/node2/run/ns"))
ns.update({g: call("GET", CG + g)[1]["netd"]["namespace"] for g in ns})
ok(wait(lambda: look("two-x", "db.corp.example") == ["10.1.0.78"], 5), "zones came along", look("two-x", "db.corp.example"))
post("uncordon", node="node2")

# ---- a node is lost
gather("node3")
web_vnet = node_of("web")
ok(placed(lambda: call("PUT", CG + "late", {**group("late"), "properties": {**group("late")["properties"]}})[0], web_vnet) == 201, "one more group") if web_vnet else None
ok(wait(lambda: node_of("two-x") == "node3" and runs("two-x") and runs("two-y") and runs("three-x")), "VNet two is on node3")
ns.update({g: call("GET", CG + g)[1]["netd"]["namespace"] for g in ns})
ok(ask(ns["two-x"], "192.0.2.1", 8000).startswith(("192.0.2.", "203.0.113.")), "from there it reaches the internet")
pids = netd_pids(3)
for p in pids:
    os.kill(p, signal.SIGSTOP)
lost, control = time.time(), role_pid("control")
rts[3].away = True
ok(placed(lambda: private("stuck", "two"), "node1")[0] == 201, "a group elsewhere begins in its VNet, and waits for it to know the way")
ok(wait(lambda: nodes()["node3"]["state"] == "NotReady", 10), "node3 is silent: NotReady")
ok(wait(lambda: all(node_of(g) in ("node1", "node2") and runs(g) for g in ("two-x", "two-y", "three-x")), 10), "its groups begin anew on other nodes", [(g, node_of(g), state(CG + g)) for g in ("two-x", "two-y", "three-x")])
ok(time.time() - lost < 15, f"within 15 s", time.time() - lost)
ok(wait(lambda: runs("stuck"), 5) and node_of("stuck") == "node1", "what waited for it begins", (state(CG + "stuck"), node_of("stuck")))
ok(role_pid("control") == control, "control has not died of it", [l for l in open(LAB + "/netd.log") if "role.ended" in l])
print(f"# lost to running elsewhere: {time.time() - lost:.1f} s")
old = ns["two-x"]
ns.update({g: call("GET", CG + g)[1]["netd"]["namespace"] for g in ns})
ok(wait(lambda: fetch(ns["three-x"], address("two-y")), 5), "and reach each other there")
ok(ask(old, "192.0.2.1", 8000) == "timeout", "what still runs on node3 reaches nobody", ask(old, "192.0.2.1", 8000))
for p in pids:
    os.kill(p, signal.SIGCONT)
rts[3].away = False
ok(wait(lambda: nodes()["node3"]["state"] == "Ready", 15), "node3 wakes")
ok(wait(lambda: os.listdir(f"{LAB}/node3/run/ns") == ["gw"] or not [x for x in os.listdir(f"{LAB}/node3/run/ns") if x != "gw"], 10), "and has nothing of what it lost", os.listdir(f"{LAB}/node3/run/ns"))
ok(wait(lambda: not [i for i in rts[3].groups if "two" in i], 5), "nor has its runtime", list(rts[3].groups))
ok(all(runs(g) for g in ("two-x", "two-y", "three-x")), "the groups run where they are")

# ---- a node is removed with what is on it
ok(wait(lambda: gather("node3") or node_of("two-x") == "node3" and runs("two-x")), "VNet two is on node3 again", node_of("two-x"))
ok(call("DELETE", "/netd/nodes/node3")[0] == 204, "node3 is removed")
ok(wait(lambda: node_of("two-x") in ("node1", "node2") and runs("two-x") and runs("three-x"), 10), "its groups begin elsewhere", [(g, node_of(g), state(CG + g)) for g in ("two-x", "three-x")])

# ---- and all of it goes
for g in ("web", "near", "late", "stuck", "one-x", "one-y", "two-x", "two-y", "three-x"):
    call("DELETE", CG + g)
ok(wait(lambda: not everything(RG + "/providers/Microsoft.ContainerInstance/containerGroups"), 15), "all groups go")
ok(wait(lambda: all(os.listdir(f"{LAB}/node{k}/run/ns") == ["gw"] for k in (1, 2)), 10), "and leave nothing", [os.listdir(f"{LAB}/node{k}/run/ns") for k in (1, 2)])
srv.kill()
t.end()
