#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Histories of a plane of simulated nodes (sim_nodes.c: protocol and reconciliation as on any node, a fake kernel) while callers create, move
and delete what spreads over them, control is killed, its clock is set, and nodes are cut off, lost and come back. After each: documents were linearizable,
nothing is held twice, and every kernel has what the plane says, and nothing else. SEEDS=N histories: 5, in check-long 100."""
import collections, ipaddress, random, signal
from vnets import *
from history import linearizable

inside("limit-requests=0", "node-address=192.0.2.2", "listen-nodes=127.0.0.1:8446", "node-cpu=1000", "node-memory=1000", "pool-links=0")
LONG, SEED = os.environ.get("LONG") == "1", int(os.environ.get("SEED") or 1)
SEEDS, NODES = int(os.environ.get("SEEDS") or (100 if LONG else 5)), 6
LAB = os.environ["NETD_LAB"]
BUILD = os.environ.get("NETD_BUILD") or os.path.dirname(os.path.abspath(__file__)) + "/../../build"
NSG, LB = N + "networkSecurityGroups/", N + "loadBalancers/"
P, D, G = "put", "delete", "get"

call("PUT", RG, {"location": "westeurope"})
own = call("GET", "/netd/nodes")[1]["value"][0]["name"]
call("POST", f"/netd/nodes/{own}/cordon")
tokens = [call("POST", "/netd/join-tokens", {"name": f"sim{i}", "zone": str(i % 3 + 1)})[1]["token"] for i in range(NODES)]
sim = subprocess.Popen(["nsenter", "--net=/run/netns/node1", BUILD + "/lab/sim_nodes", str(NODES), "4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
sim.stdin.write("".join(t + "\n" for t in tokens))
sim.stdin.flush()
told = threading.Lock()


def tell(line, answers=True):
    with told:
        sim.stdin.write(line + "\n")
        sim.stdin.flush()
        return json.loads(sim.stdout.readline()) if answers else None


def ask_api(method, path, body=None):
    try:
        return call(method, path, body)[:2]
    except (OSError, http.client.HTTPException, ValueError) as err:
        return 599, {"error": str(err)}


def outcome(status, doc):
    if 200 <= status < 300:
        return "ok"
    text = json.dumps(doc)
    return "fail" if status in (400, 404, 409, 412) or (status == 503 and "Changes are refused" in text and "not known" not in text) else "unknown"


def vnet_doc(i, peers=()):
    return {"location": "w", "properties": {"addressSpace": {"addressPrefixes": [f"10.{i}.0.0/16"]}, "subnets": [{"name": "s", "properties": {"addressPrefix": f"10.{i}.0.0/24", "delegations": ACI}}],
            "virtualNetworkPeerings": [{"name": f"to{p}", "properties": {"remoteVirtualNetwork": {"id": VNET + f"v{p}"}, "allowVirtualNetworkAccess": True}} for p in peers]}}


class Caller(threading.Thread):
    """Documents whose history is judged (tags of security groups), and groups, peerings and balancers that come and go."""

    def __init__(self, rng, names, until, counter):
        super().__init__(daemon=True)
        self.rng, self.names, self.until, self.counter, self.history, self.did = rng, names, until, counter, [], collections.Counter()
        self.start()

    def judged(self):
        name, kind = self.rng.choice(self.names), self.rng.choice([P, P, G, G, D])
        value = next(self.counter) if kind == P else None
        begin = time.monotonic()
        s, doc = ask_api("PUT", NSG + name, {"location": "w", "tags": {"v": str(value)}}) if kind == P else ask_api(kind.upper(), NSG + name)
        end = time.monotonic()
        if kind == G and s == 200:
            value, what = int(doc["tags"]["v"]), "ok"
        elif kind == G:
            what = "ok" if s == 404 else "fail"
        else:
            what = "ok" if kind == D and s == 404 else outcome(s, doc)
        self.history.append((name, (begin, end, kind, value, what)))

    def others(self):
        v, i = self.rng.randint(1, 3), self.rng.randint(0, 11)
        what = self.rng.choice(["group"] * 6 + ["delete"] * 3 + ["peer", "part", "balancer", "no balancer", "rule"])
        if what == "group":
            g = group(f"g{v}-{i}")
            g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + f"v{v}/subnets/s"}])
            if self.rng.random() < 0.5:
                g["zones"] = [str(self.rng.randint(1, 3))]
            if self.rng.random() < 0.2:  # one without a VNet
                g = group(f"g{v}-{i}")
            s = ask_api("PUT", CG + f"g{v}-{i}", g)
        elif what == "delete":
            s = ask_api("DELETE", CG + f"g{v}-{i}")
        elif what in ("peer", "part"):
            s = ask_api("PUT", VNET + f"v{v}", vnet_doc(v, [v % 3 + 1] if what == "peer" else []))
        elif what == "balancer":
            ips = [x["properties"]["ipAddress"]["ip"] for x in (ask_api("GET", CG[:-1])[1] or {}).get("value", []) if "subnetIds" in x["properties"] and f"/v{v}/" in json.dumps(x["properties"]["subnetIds"])][:4]
            p = f"{LB}lb{v}"
            s = ask_api("PUT", p, {"location": "w", "sku": {"name": "Standard"}, "properties": {
                "frontendIPConfigurations": [{"name": "f", "properties": {"subnet": {"id": VNET + f"v{v}/subnets/s"}}}],
                "backendAddressPools": [{"name": "b", "properties": {"loadBalancerBackendAddresses": [{"name": f"a{k}", "properties": {"virtualNetwork": {"id": VNET + f"v{v}"}, "ipAddress": m}} for k, m in enumerate(ips)]}}],
                "loadBalancingRules": [{"name": "r", "properties": {"frontendIPConfiguration": {"id": p + "/frontendIPConfigurations/f"}, "backendAddressPool": {"id": p + "/backendAddressPools/b"}, "protocol": "Tcp", "frontendPort": 80, "backendPort": 80}}]}})
        elif what == "no balancer":
            s = ask_api("DELETE", LB + f"lb{v}")
        else:
            s = ask_api("PUT", NSG + "n", {"location": "w", "properties": {"securityRules": [{"name": "r", "properties": {"priority": 100, "direction": "Inbound", "access": self.rng.choice(["Allow", "Deny"]), "protocol": "Tcp", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80"}}]}})
        self.did[what, outcome(*s[:2])] += 1

    def run(self):
        while time.time() < self.until:
            self.judged() if self.rng.random() < 0.4 else self.others()
            time.sleep(self.rng.uniform(0, 0.01))


def strike(rng):
    kind = rng.choice(["control", "cut", "hang", "several", "away", "drain", "take", "clock"])
    i = rng.randint(0, NODES - 1)
    if kind == "control":
        pid = role_pid("control")
        pid and os.kill(pid, signal.SIGKILL)
    elif kind == "cut":
        tell(f"c {i} {rng.randint(0, 600)}", False)
    elif kind == "hang":
        tell(f"d {i} {rng.randint(50, 800)}", False)
    elif kind == "several":
        for k in range(NODES):
            rng.random() < 0.6 and tell(f"c {k} {rng.randint(0, 400)}", False)
    elif kind == "away" and rng.random() < 0.25:  # longer than its lease: what was there begins elsewhere
        tell(f"c {i} 7500", False)
    elif kind == "drain":
        ask_api("POST", f"/netd/nodes/sim{i}/drain")
        ask_api("POST", f"/netd/nodes/sim{i}/uncordon")
    elif kind == "take":
        ask_api("POST", f"/netd/nodes/sim{i}/take", {"virtualNetwork": VNET + f"v{rng.randint(1, 3)}"})
    elif kind == "clock":
        jump(rng.randint(-80_000_000, 80_000_000))
    return kind


def settled():
    """Nothing is under way any more: all nodes have their lists, and all groups have ended as they will."""
    s, n = ask_api("GET", "/netd/nodes")
    s2, g = ask_api("GET", CG[:-1])
    if s != 200 or s2 != 200:
        return False
    c = tell("?")
    return (c["synced"] == NODES and c["now_ms"] - c["last_ms"] > 150 and all(x["state"] == "Ready" for x in n["value"])
            and all(x["properties"]["provisioningState"] in ("Succeeded", "Failed") for x in g["value"]))


apart = collections.Counter()


def judge_kernels():
    """What is wrong between the documents and the kernels of all nodes; [] nothing."""
    wrong, at, held = [], {}, collections.Counter()
    for x in (call("GET", y["id"])[1] for y in everything(CG[:-1])):
        if "netd" not in x:  # it never got there
            continue
        serial = int(x["netd"]["namespace"].rsplit("/g", 1)[1])
        at[serial] = (x["name"], x["netd"]["node"], x["netd"]["address"], "subnetIds" in x["properties"])
        held[json.dumps(x["properties"].get("subnetIds")), x["netd"]["address"]] += 1
        if x["netd"].get("publicAddress"):
            held["public", x["netd"]["publicAddress"]] += 1
    wrong += [f"held twice: {k}" for k, n in held.items() if n > 1]
    kernels = tell("l")
    seen = collections.Counter(g for k in kernels for g in k["groups"])
    for k in kernels:
        wrong += [f"{k['node']} has g{g}, which is {at.get(g, 'nobody')}" for g in k["groups"] if g not in at or at[g][1] != k["node"]]
    wrong += [f"{at[g]} is nowhere, or on {seen[g]} nodes" for g in at if seen[g] != 1 and at[g][1].startswith("sim")]
    # Every router of a VNet knows the way to each group of it, by the longest prefix, and which are on other nodes; and has no way of its own for one that is nowhere.
    number = {n["name"]: n["number"] for n in call("GET", "/netd/nodes")[1]["value"]}
    vnet_of, ways, remote = {}, {}, {}
    for k in kernels:
        for ns, p, dev, to in k["routes"]:
            ways.setdefault((ns, k["node"]), {})[ipaddress.ip_network(p)] = (dev, to)
        for ns, p in k["remote"]:
            remote.setdefault((ns, k["node"]), []).append(ipaddress.ip_network(p))
    for (ns, node), known in ways.items():
        vnet_of.setdefault(ns, {}).update({p.network_address: node for p, (dev, _) in known.items() if p.prefixlen == 32 and dev.startswith("br")})
    for (ns, node), known in ways.items():
        groups = vnet_of.get(ns, {})
        for p, (dev, _) in known.items():  # but for what is left of a block without a frontend's address
            near = [b for b in known if b != p and b.supernet(new_prefix=28) == p.supernet(new_prefix=28)]
            if p.prefixlen == 32 and dev and p.network_address not in groups and (not near or any(p.subnet_of(b) for b in near)):
                wrong.append(f"v{ns} on {node} has a way to {p}, which is nobody's")
        for ip, its in groups.items():
            way = max((p for p in known if ip in p), key=lambda p: p.prefixlen, default=None)
            told = any(ip in p for p in remote.get((ns, node), []))
            right = way and (known[way][0].startswith("br") if its == node else known[way] == (f"vx{ns}", number.get(its)))
            if not right or told != (its != node):
                wrong.append(f"v{ns} on {node}: {ip} is on {its}, its way {way} {known.get(way)}, remote {told}")
    apart["blocks"] += sum(p.prefixlen < 32 and dev.startswith("vx") for known in ways.values() for p, (dev, _) in known.items())
    # Ports of an address that several nodes share are one node's each.
    shared = {}
    for k in kernels:
        for ns, address, first, last in k["ports"]:
            shared.setdefault((ns, address), {})[k["node"]] = (first, last)
    for (ns, address), have in shared.items():
        order = sorted(have.values())
        wrong += [f"ports of {address} in v{ns} twice: {have}" for a, b in zip(order, order[1:]) if b[0] <= a[1]]
    apart["shared"] += sum(len(have) > 1 for have in shared.values())
    return wrong


def run(seed):
    rng = random.Random(seed)
    names = [f"h{seed}-{i}" for i in range(3)]
    for v in (1, 2, 3):
        retry("PUT", VNET + f"v{v}", vnet_doc(v), seconds=30)
    retry("PUT", NSG + "n", {"location": "w"}, seconds=30)
    until, counter = time.time() + 1.5, iter(range(1, 10 ** 9))
    callers = [Caller(random.Random(seed * 100 + i), names, until, counter) for i in range(4)]
    faults = []
    while time.time() < until - 0.2:
        time.sleep(rng.uniform(0.05, 0.4))
        faults.append(strike(rng))
    for c in callers:
        c.join()
    back = wait(settled, 40)
    final = Caller(random.Random(seed), names, 0, counter)
    final.join()
    for name in names:
        begin = time.monotonic()
        s, d = ask_api("GET", NSG + name)
        final.history.append((name, (begin, time.monotonic(), G, int(d["tags"]["v"]) if s == 200 else None, "ok")))
    ops = [op for c in [*callers, final] for op in c.history]
    bad = {name: w for name in names if (w := linearizable([op for n, op in ops if n == name]))}
    wrong = judge_kernels() if back else ["it does not settle"]
    if wrong and back:  # a change that was under way
        time.sleep(1)
        wrong = judge_kernels()
    did = sum((c.did for c in callers), collections.Counter())
    for name in names:
        ask_api("DELETE", NSG + name)
    return bad, wrong, faults, did, len(ops)


# Before any clock is set: a token's time would be over.
ok(wait(lambda: sum(n["state"] == "Ready" for n in call("GET", "/netd/nodes")[1]["value"]) == NODES + 1, 30), "all nodes have joined", call("GET", "/netd/nodes")[1])
total, calls, felt = 0, collections.Counter(), collections.Counter()
for seed in range(SEED * 1000, SEED * 1000 + SEEDS):
    bad, wrong, faults, did, n = run(seed)
    total += n + sum(did.values())
    calls.update(k[1] for k in did.elements())
    felt.update(faults)
    if bad or wrong or SEEDS <= 20:
        ok(not bad and not wrong, f"seed {seed}: linearizable, nothing held twice, kernels as the plane says", (faults, bad, wrong[:6]))
    if bad or wrong:
        break
else:
    ok(True, f"{SEEDS} histories, {total} calls, {sum(felt.values())} faults")
print(f"# calls {dict(calls)}, faults {dict(felt)}")
ok(calls["ok"] > 20 * SEEDS, "calls succeeded", calls)
ok(apart["blocks"] > 0, "nodes lead blocks of addresses to others", apart)
ok(apart["shared"] > 0, "nodes shared addresses to leave by", apart)
c = tell("?")
ok(c["failed"] == 0, "no kernel refused a change", c)
sim.kill()
t.end()
