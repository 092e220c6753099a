#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""One VNet over three nodes: groups of it on each reach each other, the internet and frontends as if they were on one, by the same security
rules, routes, names and health; and go on when the others, or the VNet's home, are lost."""
import collections, re, signal
from balancers import *

at, env = peers("nsd")  # before there is no network
inside("limit-requests=0", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", nodes=3)
LAB = os.environ["NETD_LAB"]
call("PUT", RG, {"location": "westeurope"})
rts = {k: Servers(node=k) for k in (1, 2, 3)}
NODES = ("node1", "node2", "node3")
NSG = N + "networkSecurityGroups/"


def nodes():
    return {n["name"]: n for n in call("GET", "/netd/nodes")[1]["value"]}


def post(what, node, body=None):
    return call("POST", f"/netd/nodes/{node}/{what}", body)


def node_of(name):
    return ((call("GET", CG + name)[1] or {}).get("netd") or {}).get("node")


def runs(name):
    return state(CG + name) == "Succeeded" and call("GET", CG + name)[1]["properties"]["instanceView"]["state"] == "Running"


def page_of(ns, a, port=80):
    """What the server at that address answers to somebody in the namespace; "" when it does not."""
    a = f"[{a}]" if ":" in a else a
    return inns(ns, f"curl -s -m 1 http://{a}:{port}/").strip()


def who(a, port=80):
    return page_of("/run/netns/internet", a, port)


def routes():
    """What every namespace of the plane has as its default: where a packet that did not get out may have ended."""
    return {f"node{k}/{f}": inns(f"{LAB}/node{k}/run/ns/{f}", "ip route show table all | grep -E 'default|unreach'") for k in (1, 2, 3) for f in os.listdir(f"{LAB}/node{k}/run/ns")}


def events(name):
    return [e["name"] for e in (call("GET", CG + name)[1]["properties"]["instanceView"].get("events") or [])]


def netd_pids(node):
    conf = b"/netd.conf" if node == 1 else f"/node{node}.conf".encode()
    main = open(f"{LAB}/netd{node if node > 1 else ''}.pid").read().strip()
    return [int(main)] + [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role" in cmdline(p) and conf in cmdline(p)]


ok(wait(lambda: len(nodes()) == 3 and all(n["state"] == "Ready" for n in nodes().values())), "three nodes", nodes())
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16", "fd00:9::/48"]}}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
subnet("v", "r", ["10.9.2.0/24", "fd00:9:0:2::/64"])

# ---- groups of one VNet on each node
ns, ip, ip6 = {}, {}, {}


def make(name, node, sub="s", **props):
    ns[name], ip[name] = placed(lambda: member(name, "v", sub, **props), f"node{node}")
    found(name)
    ok(node_of(name) == f"node{node}", f"{name} is on node{node}", node_of(name))


def found(name):
    rt = rts[int(node_of(name)[-1])]
    ns[name] = call("GET", CG + name)[1]["netd"]["namespace"]
    wait(lambda: (CG + name).lower() in rt.groups)
    ip6[name] = next(a for a in rt.groups[(CG + name).lower()]["addresses"] if ":" in a)


make("b", 2)  # the first: node2 is the VNet's home
make("a", 1)
make("c", 3)
make("d", 3)
wait(lambda: all(page_of(ns[x], ip[y]) == y for x in "abcd" for y in "abcd" if x != y), 5)
for x in "abcd":
    for y in "abcd":
        if x != y:
            ok(page_of(ns[x], ip[y]) == y and page_of(ns[x], ip6[y]) == y, f"{x} reaches {y}, by IPv4 and IPv6", (page_of(ns[x], ip[y]), page_of(ns[x], ip6[y])))
seen = serve(ns["c"], f"{ip['c']},{ip6['c']}", "99")
ok([ask(ns[x], ip["c"], 99) for x in "abd"] == [ip[x] for x in "abd"] and ask(ns["a"], ip6["c"], 99) == ip6["a"], "and is seen by its own address")
outside = serve("/run/netns/internet", "192.0.2.1", "8000")
egress = {x: ask(ns[x], "192.0.2.1", 8000) for x in "abcd"}
ok(len(set(egress.values())) == 1 and egress["b"].startswith("203.0.113."), "all leave by the VNet's address", egress)
ok(ask(ns["a"], "10.9.1.250") == "No route to host" or ask(ns["a"], "10.9.1.250").startswith("Dest"), "an address of nobody is unreachable at once", ask(ns["a"], "10.9.1.250"))
out = inns(ns["a"], f"ping -c1 -W1 -M do -s 1422 {ip['c']}; ping -c1 -W1 -M do -s 1423 {ip['c']}")
ok("1 received" in out.split("statistics")[1] and "0 received" in out, "packets of the group's MTU cross", out)
big = inns(ns["a"], f"ping -c1 -W1 -s 4000 {ip['c']}") + inns(ns["a"], f"ping -c1 -W1 -s 4000 {ip6['c']}")
ok(big.count("1 received") == 2, "and fragments", big)

# ---- names
look = lambda g, name, kind="A": inns(ns[g], f"dig +short +time=1 +tries=2 @168.63.129.16 {name} {kind}").split()
put(N + "privateDnsZones/corp.example", {"location": "global"})
call("PUT", N + "privateDnsZones/corp.example/virtualNetworkLinks/l", {"location": "global", "properties": {"registrationEnabled": True, "virtualNetwork": {"id": VNET + "v"}}})
ok(wait(lambda: all(look(x, f"{y}.corp.example") == [ip[y]] for x in "abc" for y in "abc"), 5), "names of the VNet's zone are answered on every node", look("a", "c.corp.example"))
ok(inns(ns["c"], "dig +short +tcp +time=1 @168.63.129.16 a.corp.example").split() == [ip["a"]] and inns(ns["c"], "dig +short +time=1 @fd53:a83f:8110::10 a.corp.example").split() == [ip["a"]], "by TCP and IPv6 too")

# ---- security rules
sec = lambda name, prio, access, direction="Inbound", **more: {"name": name, "properties": {"priority": prio, "direction": direction, "access": access, "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "*", **more}}
put(N + "applicationSecurityGroups/web", {})
asg = {"id": N + "applicationSecurityGroups/web"}


def without(d, key):
    d["properties"].pop(key)
    return d


put(NSG + "n", {"properties": {"securityRules": [without(sec("web", 100, "Allow", sourceApplicationSecurityGroups=[asg]), "sourceAddressPrefix"), sec("no", 200, "Deny", sourceAddressPrefix="VirtualNetwork")]}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"], networkSecurityGroup={"id": NSG + "n"})
ok(wait(lambda: not any(page_of(ns[x], ip[y]) for x in "ab" for y in "cd"), 3) and not page_of(ns["a"], ip["b"]) and not page_of(ns["c"], ip["d"]), "a rule that denies holds on every node")
g = call("GET", CG + "a")[1]
call("PUT", CG + "a", {**group("a"), "properties": {**group("a")["properties"], "ipAddress": {"type": "Private", "ports": [{"port": 80}]}, "subnetIds": [{"id": VNET + "v/subnets/s"}], "applicationSecurityGroups": [asg]}})
ok(wait(lambda: all(page_of(ns["a"], ip[y]) == y for y in "bcd"), 5), "the application security group of a group on node1 is known on the others", [page_of(ns["a"], ip[y]) for y in "bcd"])
ok(not page_of(ns["b"], ip["c"]) and not page_of(ns["d"], ip["a"]), "and others are not in it")
slow = subprocess.Popen(["nsenter", "--net=" + ns["a"], "curl", "-s", "-m", "20", f"http://{ip['c']}/slow"], stdout=subprocess.DEVNULL)
time.sleep(0.5)
put(NSG + "n", {"properties": {"flushConnection": True, "securityRules": [sec("no", 200, "Deny", sourceAddressPrefix="VirtualNetwork")]}})
ok(slow.wait() != 0, "a flow between nodes that is denied from now on ends")
put(NSG + "n", {"properties": {"securityRules": [sec("no", 200, "Deny", direction="Outbound", destinationAddressPrefix="Internet")]}})
ok(wait(lambda: ask(ns["a"], "192.0.2.1", 8000, timeout=0.5) == "timeout", 3) and ask(ns["b"], "192.0.2.1", 8000, timeout=0.5) == "timeout" and page_of(ns["a"], ip["d"]) == "d", "rules on the way out too")
put(NSG + "n", {"properties": {"securityRules": [sec("web", 100, "Allow", destinationPortRange="99", sourceAddressPrefix="VirtualNetwork"), sec("no", 200, "Deny", destinationPortRange="98", sourceAddressPrefix="VirtualNetwork")]}})
hits = lambda name: next(r["packets"] for r in call("GET", NSG + "n/counters")[1]["value"] if r["name"] == name)
wait(lambda: ask(ns["a"], ip["c"], 98, timeout=0.3) == "timeout", 3)
was = hits("web")
for x in "abd":
    for _ in range(4):
        ask(ns[x], ip["c"], 99)
ok(hits("web") - was == 12, "a flow between nodes is counted once, where it is decided", hits("web") - was)
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
ok(wait(lambda: ask(ns["a"], "192.0.2.1", 8000) == egress["a"], 3), "and go again")

# ---- a name server of the VNet's own, in a group of a branch
open(f"{LAB}/zone", "w").write("$ORIGIN own.example.\n@ 60 SOA . . 1 60 60 60 60\n@ NS ns\nns A 10.0.0.1\nwww 60 A 10.10.10.7\n" + "".join(f'big 60 TXT "{i:03} {200 * "x"}"\n' for i in range(20)))
open(f"{LAB}/nsd.conf", "w").write(f'server:\n ip-address: {ip["c"]}\n ip-address: {ip6["c"]}\n username: ""\n pidfile: ""\n zonesdir: "{LAB}"\n database: ""\n xfrdfile: "{LAB}/xfrd"\n zonelistfile: "{LAB}/zones"\nremote-control:\n control-enable: no\nzone:\n name: own.example\n zonefile: zone\n')
namer = subprocess.Popen(["nsenter", "--net=" + ns["c"], at + "/usr/sbin/nsd", "-d", "-c", f"{LAB}/nsd.conf"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
ok(wait(lambda: inns(ns["c"], f"dig +short +time=1 +tries=1 @{ip['c']} www.own.example").split() == ["10.10.10.7"], 5), "a name server runs on node3")
vnet_with = lambda servers: put(VNET + "v", {"properties": {**call("GET", VNET + "v")[1]["properties"], "dhcpOptions": {"dnsServers": servers}}})
for family, address in (("IPv4", ip["c"]), ("IPv6", ip6["c"])):
    vnet_with([address])
    ok(wait(lambda: all(look(x, "www.own.example") == ["10.10.10.7"] for x in "abcd"), 8), f"groups of all nodes are answered by it, asked by {family}", {x: look(x, "www.own.example") for x in "abcd"})
    big = [inns(ns[x], "dig +tcp +time=6 +tries=1 @168.63.129.16 big.own.example TXT").count("xxxx\"") for x in "abcd"]
    ok(big == [20] * 4, "also what it says by TCP alone", big)
vnet_with([ip["c"]])
put(NSG + "n", {"properties": {"securityRules": [sec("names", 100, "Deny", destinationPortRange="53")]}})
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"], networkSecurityGroup={"id": NSG + "n"})
ok(wait(lambda: look("a", f"x{time.time()}.own.example") == [] and "SERVFAIL" in inns(ns["a"], f"dig +time=6 +tries=1 @168.63.129.16 x{time.time()}.own.example"), 8), "a security rule keeps questions from it there too")
subnet("v", "s", ["10.9.1.0/24", "fd00:9:0:1::/64"])
vnet_with([])
namer.terminate()
namer.wait()

# ---- balancers: public and internal, members on all nodes
pub = public("p")
call("PUT", N + "publicIPAddresses/p6", {"location": "w", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv6"}})
pub6 = call("GET", N + "publicIPAddresses/p6")[1]["properties"]["ipAddress"]
subnet("v", "fe", ["10.9.9.0/24"])
RULES = [rule("lb", "http", enableTcpReset=True), rule("lb", "udp", proto="Udp", probe=None), rule("lb", "in", front="in", port=8080), rule("lb", "six", front="f6", pool="b6"), rule("lb", "who", port=99, to=99, pool="c", probe=None)]


def doc(members="abcd", **more):
    d = balancer("lb", {"f": "p", "in": ("v", "fe"), "f6": "p6"}, [pool(members=[ip[m] for m in members], drainPeriodInSeconds=10), pool("b6", members=[ip6[m] for m in members]), pool("c", members=[ip["c"]])], RULES, [probe(), probe("web", "Http", requestPath="/")], **more)
    for f in d["properties"]["frontendIPConfigurations"]:
        if f["name"] == "f6":
            f["properties"]["privateIPAddressVersion"] = "IPv6"
    return d


s, d, _ = call("PUT", LB + "lb", doc())
ok(s in (200, 201) and wait(lambda: up("lb", "http") == 4 and up("lb", "six") == 4 and up("lb", "in") == 4, 15), "members on three nodes are healthy", (s, d, up("lb", "http")))
c = collections.Counter(who(pub) for _ in range(200))
ok(set(c) == set("abcd") and min(c.values()) > 20, "a public frontend leads to all of them", c)
c = collections.Counter(who(pub6) for _ in range(100))
ok(set(c) == set("abcd"), "by IPv6 too", c)
fin = next(f for f in call("GET", LB + "lb")[1]["properties"]["frontendIPConfigurations"] if f["name"] == "in")["properties"]["privateIPAddress"]
for x in "abc":
    c = collections.Counter(page_of(ns[x], fin, 8080) for _ in range(60))
    ok(set(c) == set("abcd"), f"an internal frontend does, asked by {x}, also to itself", c)
    c = collections.Counter(page_of(ns[x], pub) for _ in range(60))
    ok(len(c) > 1 and "" not in c, f"{x} reaches the public frontend", c)
ok(ask("/run/netns/internet", pub, 99) == "192.0.2.1", "a backend on another node sees the client's address", ask("/run/netns/internet", pub, 99))
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
sock.connect((pub, 80))
for size in (1400, 4000):
    sock.send(b"y" * size)
    try:
        got = len(sock.recv(9000))
    except OSError as e:
        got = str(e)
    ok(got == size, f"a datagram of {size} bytes comes back", got)
r = subprocess.run(["ping", "-c1", "-W1", "-M", "do", "-s", "1472", "-I", "192.0.2.1", pub], capture_output=True, text=True).stdout
df = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
df.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: do
df.connect((pub, 80))
df.settimeout(1)
outcome = ""
for _ in range(3):
    try:
        df.send(b"z" * 1472)
        outcome = len(df.recv(9000))
    except OSError as e:
        outcome = e.errno or "timeout"
        if outcome == 90:
            break
ok(outcome in (90, 1472), "1,472 bytes that may not be fragmented arrive, or draw \"too big\"", outcome)
rts[3].end((CG + "c").lower())
ok(wait(lambda: up("lb", "http") == 3, 15), "a member on another node that does not answer is out", up("lb", "http"))
ok("c" not in {who(pub) for _ in range(60)} and "c" not in {page_of(ns["a"], fin, 8080) for _ in range(40)} | {page_of(ns["d"], fin, 8080) for _ in range(40)}, "for public and internal frontends, asked anywhere")
rts[3].begin(rts[3].docs[(CG + "c").lower()])
ok(wait(lambda: up("lb", "http") == 4, 15), "and in again")
run = load(pub, 80, 6, 200, 20, 20, 0)
inner = subprocess.Popen(["nsenter", "--net=" + ns["a"], TRAFFIC, "load", fin, "8080", "6", "100", "10", "5", "0"], stdout=subprocess.PIPE, text=True)
time.sleep(1)
call("PUT", LB + "lb", doc("abd"))
time.sleep(1)
call("PUT", LB + "lb", doc("abcd"))
res, res_in = run.result(), json.loads(inner.communicate()[0])
for what, r in (("from outside", res), ("from inside", res_in)):
    for k, v in r.items():
        v["done"] + v["failed"] and ok(v["done"] > 0 and v["failed"] == 0, f"slots move between nodes under load {what}: {v['done']} {k}, {v['failed']} failed", v["why"])

fl = doc()
fl["properties"]["loadBalancingRules"][0]["properties"]["enableFloatingIP"] = True
s, d, _ = call("PUT", LB + "lb", fl)
ok(s == 409 and d["error"]["code"] == "VirtualNetworkApart" and "enableFloatingIP" not in json.dumps(call("GET", LB + "lb")[1]["properties"]["loadBalancingRules"][0]["properties"]).replace('"enableFloatingIP": false', ""), "floating frontends are refused where groups are on several nodes, and nothing is changed", (s, d))

# ---- NAT gateway, routes
put(N + "publicIPAddresses/nat", {"sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
nat_ip = call("GET", N + "publicIPAddresses/nat")[1]["properties"]["ipAddress"]
put(N + "natGateways/g", {"sku": {"name": "Standard"}, "properties": {"publicIpAddresses": [{"id": N + "publicIPAddresses/nat"}]}})
subnet("v", "r", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": N + "natGateways/g"})
make("r1", 1, "r")
make("r3", 3, "r")
ok(wait(lambda: [ask(ns[x], "192.0.2.1", 8000) for x in ("r1", "r3")] == [nat_ip] * 2, 5), "a NAT gateway is used from every node", [ask(ns[x], "192.0.2.1", 8000) for x in ("r1", "r3")])
make("nva", 2, enableIPForwarding=True)
inns(ns["nva"], "sysctl -qw net.ipv4.ip_forward=1")
route = lambda prefix, kind, hop=None: {"name": prefix.replace("/", "_").replace(".", "-"), "properties": {"addressPrefix": prefix, "nextHopType": kind, **({"nextHopIpAddress": hop} if hop else {})}}
put(N + "routeTables/t", {"properties": {"routes": [route("192.0.2.0/24", "None"), route("10.9.1.0/24", "VirtualAppliance", ip["nva"])]}})
subnet("v", "r", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": N + "natGateways/g"}, routeTable={"id": N + "routeTables/t"})
ok(wait(lambda: ask(ns["r1"], "192.0.2.1", 8000, timeout=0.5) != nat_ip and ask(ns["r3"], "192.0.2.1", 8000, timeout=0.5) != nat_ip, 3), "a route to nowhere holds on every node")
inns(ns["nva"], "nft add table ip w; nft 'add chain ip w f { type filter hook forward priority 0; }'; nft add rule ip w f counter")
trip = lambda: int((re.findall(r"packets (\d+)", inns(ns["nva"], "nft list chain ip w f")) or [-1])[0])
was = trip()
ok(wait(lambda: page_of(ns["r3"], ip["a"]) == "a", 3) and trip() > was, "a route by an appliance leads from node3 by the VNet's home to node1", (page_of(ns["r3"], ip["a"]), was, trip()))
ok(page_of(ns["r3"], ip["r1"]) == "r1", "what it does not cover goes straight")
s, d, _ = placed(lambda: call("PUT", CG + "nva2", {**group("nva2"), "properties": {**group("nva2")["properties"], "ipAddress": {"type": "Private", "ports": [{"port": 80}]}, "subnetIds": [{"id": VNET + "v/subnets/s"}], "enableIPForwarding": True}}), "node3")
ok(s == 409, "an appliance is at the VNet's home, or nowhere", (s, d))
s, d, _ = call("PUT", CG + "c", {**group("c"), "properties": {**group("c")["properties"], "ipAddress": {"type": "Private", "ports": [{"port": 80}]}, "subnetIds": [{"id": VNET + "v/subnets/s"}], "enableIPForwarding": True}})
ok(s == 409 and "enableIPForwarding" in d["error"]["message"], "one that is elsewhere does not become one", (s, d))
subnet("v", "r", ["10.9.2.0/24", "fd00:9:0:2::/64"], natGateway={"id": N + "natGateways/g"})

# ---- peering
put(VNET + "w", {"properties": {"addressSpace": {"addressPrefixes": ["10.7.0.0/16"]}}})
subnet("w", "s", ["10.7.1.0/24"])
for a, b in (("v", "w"), ("w", "v")):
    props = call("GET", VNET + a)[1]["properties"]
    props["virtualNetworkPeerings"] = [{"name": "p", "properties": {"remoteVirtualNetwork": {"id": VNET + b}, "allowVirtualNetworkAccess": True}}]
    put(VNET + a, {"properties": props})
ns["w3"], ip["w3"] = placed(lambda: member("w3", "w", "s"), "node3")
ns["w1"], ip["w1"] = placed(lambda: member("w1", "w", "s"), "node1")
ok(wait(lambda: all(page_of(ns[x], ip[y]) == y for x in ("w1", "w3") for y in "abc"), 5), "groups of a peered VNet reach it, from any node to any", [(x, y, page_of(ns[x], ip[y])) for x in ("w1", "w3") for y in "abc"])
ok(page_of(ns["c"], ip["w1"]) == "w1" and page_of(ns["b"], ip["w3"]) == "w3" and page_of(ns["w1"], fin, 8080) in "abcd", "and the other way, and frontends")

# ---- groups without a VNet, which reach each other by public addresses alone
for k in (3, 1, 2):
    placed(lambda: call("PUT", CG + f"pub{k}", group(f"pub{k}")), f"node{k}")
ok(wait(lambda: all(runs(f"pub{k}") and node_of(f"pub{k}") == f"node{k}" for k in (1, 2, 3))), "a subscription's groups are on three nodes")
for k in (1, 2, 3):
    d = call("GET", CG + f"pub{k}")[1]
    ns[f"pub{k}"], ip[f"pub{k}"], inner = d["netd"]["namespace"], d["properties"]["ipAddress"]["ip"], d["netd"]["address"]
    ok(wait(lambda: who(ip[f"pub{k}"]) == f"pub{k}", 5), f"the one on node{k} is reached", who(ip[f"pub{k}"]))
    ok(ask(ns[f"pub{k}"], "192.0.2.1", 8000) == ip[f"pub{k}"], "and leaves by its own address")
    ip[f"inner{k}"] = inner
ok(all(page_of(ns[f"pub{j}"], ip[f"pub{k}"]) == f"pub{k}" for j in (1, 2, 3) for k in (1, 2, 3)), "they reach each other by these")
ok(not any(page_of(ns[f"pub{j}"], ip[f"inner{k}"]) for j in (1, 2, 3) for k in (1, 2, 3) if j != k), "and not by private ones")

# ---- who counts, what is repaired, when roles die
s, d, _ = call("POST", CG + "c/counters")
engine = lambda: {m: v for m, v in (l.rsplit(" ", 1) for l in subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout.split("\n") if "netd_engine_repairs_total" in l or "netd_engine_failures_total" in l)}
was = engine()
time.sleep(3)
ok(len(was) == 6 and engine() == was, "no engine finds anything to repair", (was, engine()))
misses, stop = [], threading.Event()


def watch():
    while not stop.is_set():
        for x, y in (("a", "c"), ("c", "b"), ("b", "a")):
            if page_of(ns[x], ip[y]) != y:
                misses.append((x, y, time.time()))


w = threading.Thread(target=watch, daemon=True)
w.start()
for k, hours in ((1, 20), (2, -20), (3, 5)):
    jump(hours * 3_600_000, node=k)
    for victim in ("engine", "control"):
        os.kill(next(p for p in netd_pids(k)[1:] if f"--role\0{victim}".encode() in cmdline(p)), signal.SIGKILL)
        time.sleep(1)
        ok(wait(lambda: call("GET", "/readyz")[0] == 200 and all(n["state"] == "Ready" for n in nodes().values()), 20), f"node{k}'s {victim} dies and comes back, its clock {hours} hours wrong")
for k in (1, 2, 3):
    jump(0, node=k)
stop.set()
w.join()
ok(not misses, "packets between nodes went on meanwhile", misses[:5])

# ---- a branch is drained: the others go on
rates = {x: sum(rts[k].starts.get((CG + x).lower(), 0) for k in rts) for x in ("a", "b")}
s, d, _ = post("drain", "node3")
ok(s == 204 and wait(lambda: all(node_of(x) in ("node1", "node2") and runs(x) for x in ("c", "d", "r3", "w3")), 15), "node3 is drained: its groups run on the others", (s, d, [(x, node_of(x), state(CG + x)) for x in ("c", "d", "r3", "w3")]))
for x in ("c", "d", "r3", "w3"):
    ns[x] = call("GET", CG + x)[1]["netd"]["namespace"]
ok({x: sum(rts[k].starts.get((CG + x).lower(), 0) for k in rts) for x in ("a", "b")} == rates and "Moved" not in events("a") + events("b"), "groups on other nodes were not touched")
ok(wait(lambda: os.listdir(f"{LAB}/node3/run/ns") == ["gw"], 5), "node3 has nothing of the VNet", os.listdir(f"{LAB}/node3/run/ns"))
ok(wait(lambda: all(page_of(ns[x], ip[y]) == y for x in "abcd" for y in "abcd" if x != y), 5) and wait(lambda: {who(pub) for _ in range(60)} == set("abcd"), 10), "and all reach each other")
post("uncordon", "node3")
make("e", 3)

# ---- the home is lost: a branch becomes it
rates = {x: sum(rts[k].starts.get((CG + x).lower(), 0) for k in rts) for x in ("a", "e")}
moving = [x for x in ("a", "b", "c", "d", "r1", "r3", "nva", "w1", "w3") if node_of(x) == "node2"]
pids = netd_pids(2)
old = ns["b"]
for p in pids:
    os.kill(p, signal.SIGSTOP)
rts[2].away = True
lost = time.time()
ok(wait(lambda: nodes()["node2"]["state"] == "NotReady", 10), "node2, the home, is silent")
ok(wait(lambda: who(pub) in tuple("abcde") and who(pub), 10) and time.time() - lost < 8, "the frontend is reached again within 8 s", time.time() - lost)
print(f"# home lost to frontend reached: {time.time() - lost:.1f} s")
ok(wait(lambda: all(node_of(x) != "node2" and runs(x) for x in moving), 15), "groups that were on it begin anew elsewhere", [(x, node_of(x), state(CG + x)) for x in moving])
for x in moving:
    ns[x] = call("GET", CG + x)[1]["netd"]["namespace"]
ok({x: sum(rts[k].starts.get((CG + x).lower(), 0) for k in rts) for x in ("a", "e")} == rates and "Moved" not in events("a"), "those that were not go on as they were")
ok(wait(lambda: all(page_of(ns[x], ip[y]) == y for x in "abcde" for y in "abcde" if x != y), 5), "all reach each other", [(x, y, page_of(ns[x], ip[y])) for x in "abcde" for y in "abcde" if x != y])
ok(wait(lambda: ask(ns["e"], "192.0.2.1", 8000) == egress["a"] and ask(ns["r1"], "192.0.2.1", 8000) == nat_ip, 5), "and the internet, by the same addresses", (ask(ns["e"], "192.0.2.1", 8000), ask(ns["r1"], "192.0.2.1", 8000), {k: n["state"] for k, n in nodes().items()}, node_of("e"), node_of("r1"), routes()))
ok(wait(lambda: look("e", "a.corp.example") == [ip["a"]], 5), "names are answered")
ok(wait(lambda: page_of(ns["w1"], ip["e"]) == "e", 5), "the peered VNet came along")
ok(ask(old, ip["e"]) in ("timeout", "No route to host"), "what still runs on node2 reaches nobody", ask(old, ip["e"]))
for p in pids:
    os.kill(p, signal.SIGCONT)
rts[2].away = False
ok(wait(lambda: nodes()["node2"]["state"] == "Ready", 15) and wait(lambda: os.listdir(f"{LAB}/node2/run/ns") == ["gw"], 10), "node2 wakes, and has nothing of what it lost", os.listdir(f"{LAB}/node2/run/ns"))
ok(wait(lambda: up("lb", "http") == 4, 15) and {who(pub) for _ in range(60)} == set("abcd"), "all members serve", up("lb", "http"))
s, d, _ = post("take", "node2", {"virtualNetwork": VNET + "v"})
ok(s == 204 and wait(lambda: page_of(call("GET", CG + "e")[1]["netd"]["namespace"], ip["a"]) == "a" and {who(pub) for _ in range(20)} <= set("abcd"), 10), "an administrator gives the VNet to node2 again", (s, d))

# ---- all of it goes
call("DELETE", LB + "lb")
for x in ("a", "b", "c", "d", "e", "r1", "r3", "nva", "w1", "w3", "pub1", "pub2", "pub3"):
    call("DELETE", CG + x)
ok(wait(lambda: not everything(CI + "containerGroups"), 15), "all groups go")
ok(wait(lambda: all(os.listdir(f"{LAB}/node{k}/run/ns") == ["gw"] for k in (1, 2, 3)), 10), "and leave nothing on any node", [os.listdir(f"{LAB}/node{k}/run/ns") for k in (1, 2, 3)])
outside.kill()
seen.kill()
t.end()
