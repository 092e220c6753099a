#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security groups against an evaluator of the tests' own, written from the rules' text: random
rule sets, all pairs of groups, TCP, UDP and ICMP, IPv4 and IPv6, by real packets. And what
rules mean for flows that run."""
import ipaddress, random, socket, sys
from plane import *

inside()
t = Tap()
ok = t.ok
LONG = os.environ.get("LONG") == "1"
SEED = int(os.environ.get("SEED") or 1)
rng = random.Random(SEED)
PORTS = [53, 80, 443, 8080, 8081, 9000]
N = RG + "/providers/Microsoft.Network/"
NSG, ASG = N + "networkSecurityGroups/", N + "applicationSecurityGroups/"
ACI = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]
SPACE = ["10.9.0.0/16", "fd00:9::/48"]
SUBNETS = {"one": ["10.9.1.0/24", "fd00:9:0:1::/64"], "two": ["10.9.2.0/24", "fd00:9:0:2::/64"]}


# ---- the evaluator: learn.microsoft.com, "Network security groups" ----
DEFAULTS = [("Inbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"), ("Inbound", 65001, "Allow", "AzureLoadBalancer", "*"), ("Inbound", 65500, "Deny", "*", "*"),
            ("Outbound", 65000, "Allow", "VirtualNetwork", "VirtualNetwork"), ("Outbound", 65001, "Allow", "*", "Internet"), ("Outbound", 65500, "Deny", "*", "*")]


def address_in(text, ip, vnet):
    if text == "*":
        return True
    if text in ("VirtualNetwork", "Internet"):
        inside = any(ip in ipaddress.ip_network(p) for p in vnet if ipaddress.ip_network(p).version == ip.version) or str(ip) == "168.63.129.16"
        return inside == (text == "VirtualNetwork")
    if text == "AzureLoadBalancer":
        return str(ip) in ("168.63.129.16", "fd53:a83f:8110::10")
    n = ipaddress.ip_network(text)
    return n.version == ip.version and ip in n


def side(p, which, ip, members):
    one, many = p.get(which + "AddressPrefix"), p.get(which + "AddressPrefixes", [])
    groups = p.get(which + "ApplicationSecurityGroups", [])
    return any(address_in(a, ip, SPACE) for a in ([one] if one else []) + many) or any(str(ip) in members[g["id"]] for g in groups)


def port_in(p, which, port):
    for r in ([p[which + "PortRange"]] if which + "PortRange" in p else []) + p.get(which + "PortRanges", []):
        low, _, high = ("0-65535" if r == "*" else r).partition("-")
        if port is None:
            if r == "*":
                return True
        elif int(low) <= port <= int(high or low):
            return True
    return False


def verdict(nsg, direction, proto, src, sport, dst, dport, members):
    if nsg is None:
        return "none", True
    rules = [(r["properties"]["priority"], r["name"], r["properties"]) for r in nsg if r["properties"]["direction"] == direction]
    rules += [(prio, "default", {"protocol": "*", "access": access, "sourceAddressPrefix": s, "destinationAddressPrefix": d, "sourcePortRange": "*", "destinationPortRange": "*"})
              for d_, prio, access, s, d in DEFAULTS if d_ == direction]
    for prio, name, p in sorted(rules, key=lambda r: r[0]):
        if p["protocol"] != "*" and p["protocol"].lower() != proto:
            continue
        if not (port_in(p, "source", sport if proto != "icmp" else None) and port_in(p, "destination", dport if proto != "icmp" else None)):
            continue
        if side(p, "source", src, members) and side(p, "destination", dst, members):
            return name, p["access"] == "Allow"
    raise AssertionError("no rule")


# ---- random rules, near what is there ----
def some_addresses(addresses):
    a = rng.choice(addresses)
    n = ipaddress.ip_network(a)
    length = rng.choice([n.max_prefixlen, n.max_prefixlen, n.max_prefixlen - 1, n.max_prefixlen - 6, n.max_prefixlen - 8, 0])
    return a if length == n.max_prefixlen and rng.random() < 0.5 else str(ipaddress.ip_network((a, length), strict=False))


def random_side(p, which, addresses, asgs):
    kind = rng.random()
    if kind < 0.25:
        p[which + "AddressPrefix"] = "*"
    elif kind < 0.35:
        p[which + "AddressPrefix"] = rng.choice(["VirtualNetwork", "Internet", "AzureLoadBalancer"])
    elif kind < 0.45:
        p[which + "ApplicationSecurityGroups"] = [{"id": a} for a in rng.sample(asgs, rng.randint(1, len(asgs)))]
    elif kind < 0.7:
        p[which + "AddressPrefix"] = some_addresses(addresses)
    else:
        p[which + "AddressPrefixes"] = [some_addresses(addresses) for _ in range(rng.randint(1, rng.choice([3, 40])))]


def random_ports(p, which, likely):
    if rng.random() < (0.4 if which == "destination" else 0.85):
        p[which + "PortRange"] = "*"
    elif rng.random() < 0.5:
        low = rng.choice(likely)
        p[which + "PortRange"] = rng.choice([str(low), f"{low}-{min(65535, low + rng.choice([0, 1, 500, 9000]))}"])
    else:
        p[which + "PortRanges"] = [str(x) for x in rng.sample(likely, rng.randint(1, 3))] + [f"{rng.randint(0, 100)}-{rng.randint(100, 9000)}"]


def random_rules(n, addresses, asgs):
    rules = []
    for i, prio in enumerate(rng.sample(range(100, 4097), n)):
        p = {"priority": prio, "direction": rng.choice(["Inbound", "Outbound"]), "access": rng.choice(["Allow", "Deny"]), "protocol": rng.choice(["*", "Tcp", "Tcp", "Udp", "Icmp", "Esp", "Ah"])}
        random_side(p, "source", addresses, asgs)
        random_side(p, "destination", addresses, asgs)
        random_ports(p, "source", [20000, 30000, 45000])
        random_ports(p, "destination", PORTS)
        rules.append({"name": f"r{i}", "properties": p})
    return rules


class Prober:
    def __init__(self, namespace, addresses):
        self.addresses, self.port = addresses, 20000
        self.p = subprocess.Popen(["nsenter", "--net=" + namespace, sys.executable, os.path.dirname(os.path.abspath(__file__)) + "/prober.py", ",".join(map(str, PORTS)), ",".join(addresses)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.p.stdout.readline() == "ready\n"

    def source_port(self):
        self.port = self.port + 1 if self.port < 64000 else 20000
        return self.port

    def start(self, probes, wait):
        self.p.stdin.write(json.dumps({"probes": probes, "wait": wait}) + "\n")
        self.p.stdin.flush()

    def result(self):
        return set(json.loads(self.p.stdout.readline()))


def settled(status):
    return status in (200, 201)


rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
for a in ("web", "db"):
    call("PUT", ASG + a, {"location": "westeurope"})
s, doc, _ = call("PUT", VNET + "net", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": SPACE}, "subnets": [
    {"name": n, "properties": {"addressPrefixes": p, "delegations": ACI}} for n, p in SUBNETS.items()]}})
ok(s == 201, "a VNet with two dual-stack subnets", doc)
members = {ASG + "web": set(), ASG + "db": set()}
probers = {}
for i, (subnet, asgs) in enumerate([("one", ["web"]), ("one", []), ("two", ["db"]), ("two", ["web", "db"])]):
    g = group(f"g{i}", ports=(80,))
    g["properties"]["ipAddress"] = {"type": "Private", "ports": [{"port": 80}]}
    g["properties"]["subnetIds"] = [{"id": VNET + "net/subnets/" + subnet}]
    g["properties"]["applicationSecurityGroups"] = [{"id": ASG + a} for a in asgs]
    s, doc, _ = call("PUT", CG + f"g{i}", g)
    if s != 201:
        ok(False, "a group in a subnet", doc)
for i, (subnet, asgs) in enumerate([("one", ["web"]), ("one", []), ("two", ["db"]), ("two", ["web", "db"])]):
    wait(lambda: call("GET", CG + f"g{i}")[1]["properties"]["provisioningState"] == "Succeeded")
    doc = call("GET", CG + f"g{i}")[1]
    out = subprocess.run(["nsenter", "--net=" + doc["netd"]["namespace"], "ip", "-o", "addr", "show", "dev", "eth0"], capture_output=True, text=True).stdout
    addresses = [l.split()[3].split("/")[0] for l in out.splitlines()]
    for a in asgs:
        members[ASG + a] |= set(addresses)
    probers[f"g{i}"] = (subnet, Prober(doc["netd"]["namespace"], addresses))
outside = Prober("/run/netns/internet", ["192.0.2.1"])
everybody = [a for _, p in probers.values() for a in p.addresses] + ["192.0.2.1"]


def attach(subnet, nsg):
    props = {"addressPrefixes": SUBNETS[subnet], "delegations": ACI}
    if nsg:
        props["networkSecurityGroup"] = {"id": NSG + nsg}
    return call("PUT", VNET + "net/subnets/" + subnet, {"properties": props})


disagree = []


def round_of(rules, traced=False):
    """All pairs; the probes that went otherwise than the evaluator says, and how many there were."""
    expect, n = {}, 0
    for name, (subnet, p) in probers.items():
        mine = []
        for a in everybody:
            if a in p.addresses:
                continue
            dst = ipaddress.ip_address(a)
            src = next(ipaddress.ip_address(x) for x in p.addresses if ipaddress.ip_address(x).version == dst.version)
            far = next((s for s, q in probers.values() if a in q.addresses), None)
            for proto in ("tcp", "udp", "icmp"):
                for port in PORTS if proto != "icmp" else [0]:
                    sport = p.source_port()
                    why = [verdict(rules[subnet], "Outbound", proto, src, sport, dst, port, members)]
                    if far:
                        why.append(verdict(rules[far], "Inbound", proto, src, sport, dst, port, members))
                    expect[n] = (all(w[1] for w in why), (name, proto, str(src), sport, a, port, why))
                    mine.append([n, proto, a, port, sport])
                    n += 1
        p.start(mine, 0.4)
    got = set()
    for _, p in probers.values():
        got |= p.result()
    if traced:  # netctl trace says the same of each
        for i, (good, (name, proto, src, sport, a, port, why)) in expect.items():
            _, doc, _ = call("POST", "/netd/trace", {"source": src, "sourcePort": sport, "destination": a, "protocol": proto, "port": port})
            named = [h["why"] for h in doc["hops"] if "rule " in h["why"]]
            rules_ = [w[0] for w in why if w[0] != "none"]
            decided = next((k for k, w in enumerate(why) if not w[1]), len(why))
            if doc["passes"] != good or any(r != "default" and f"rule {r} " not in h for r, h in zip(rules_, named)):
                disagree.append((doc, expect[i]))
    return [(i in got, *e) for i, e in expect.items() if (i in got) != e[0]], n


none = {"one": None, "two": None}
wrong, n = round_of(none)
ok(not wrong, f"without security groups all reach all ({n} probes)", wrong[:3])
total, bad = n, []
ROUNDS = 40 if LONG else 12
for i in range(ROUNDS):
    rules = {s: random_rules(rng.choice([0, 1, 3, 8, 20, 60]), everybody + ["10.9.1.77", "198.51.100.1"], list(members)) for s in SUBNETS}
    for s in SUBNETS:
        st, doc, _ = call("PUT", NSG + s, {"location": "westeurope", "properties": {"securityRules": rules[s]}})
        if not settled(st):
            bad.append((st, doc))
    if i % 6 == 5:
        rules[rng.choice(list(SUBNETS))] = None
    for s in SUBNETS:
        st, doc, _ = attach(s, s if rules[s] is not None else None)
        if not settled(st):
            bad.append((st, doc))
    wrong, n = round_of(rules, True)
    if wrong:  # a packet lost to a busy machine is asked again; a verdict does not change
        again, _ = round_of(rules)
        wrong = [w for w in wrong if any(w[2][1] == a[2][1] and w[2][2] == a[2][2] and w[2][4:6] == a[2][4:6] for a in again)]
    bad += wrong
    total += n
ok(not bad, f"{ROUNDS} random rule sets, {total} probes: verdicts as the evaluator's", (SEED, bad[:3]))
ok(not disagree, "and trace says the same, and names the rule", disagree[:2])
print(f"# {total} probes")

# the questions Azure has for it
W = N + "networkWatchers/w"
ok(call("PUT", W, {"location": "westeurope"})[0] in (200, 201), "a network watcher")
call("PUT", NSG + "one", {"location": "westeurope", "properties": {"securityRules": [{"name": "no80", "properties": {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "80"}}]}})
for s in SUBNETS:
    attach(s, "one" if s == "one" else None)  # the last random rules decide nothing any more
verify = lambda port: call("POST", W + "/ipFlowVerify", {"targetResourceId": CG + "g0", "direction": "Inbound", "protocol": "TCP", "localPort": port, "remotePort": "5000", "localIPAddress": probers["g0"][1].addresses[0], "remoteIPAddress": "10.9.2.4"})[1]
ok(verify("80") == {"access": "Deny", "ruleName": "securityRules/no80"} and verify("81") == {"access": "Allow", "ruleName": "defaultSecurityRules/AllowVnetInBound"}, "ipFlowVerify names the rule", (verify("80"), verify("81")))
hop = lambda a: call("POST", W + "/nextHop", {"targetResourceId": CG + "g0", "sourceIPAddress": probers["g0"][1].addresses[0], "destinationIPAddress": a})[1]
ok(hop("10.9.2.4")["nextHopType"] == "VnetLocal" and hop("192.0.2.1")["nextHopType"] == "Internet", "nextHop", (hop("10.9.2.4"), hop("192.0.2.1")))
doc = call("POST", CG + "g0/effectiveNetworkSecurityGroups")[1]
ok([r["name"] for r in doc["value"][0]["effectiveSecurityRules"]][:2] == ["securityRules/no80", "defaultSecurityRules/AllowVnetInBound"], "effective rules", doc)
doc = call("POST", CG + "g0/effectiveRouteTable")[1]
ok({(r["addressPrefix"][0], r["nextHopType"]) for r in doc["value"]} == {(SPACE[0], "VnetLocal"), (SPACE[1], "VnetLocal"), ("0.0.0.0/0", "Internet")}, "effective routes", doc)
out = subprocess.run([os.environ["NETD_NETCTL"], "trace", "g2", probers["g0"][1].addresses[0] + ":80", "-g", "demo"], capture_output=True, text=True)
ok("rule no80 (100) of security group one denies" in out.stdout and out.stdout.endswith("dropped\n"), "netctl trace tells it", out)
doc = call("GET", VNET + "net/checkIPAddressAvailability?ipAddress=" + probers["g0"][1].addresses[0])[1]
ok(doc["available"] is False and doc["availableIPAddresses"], "an address that is taken, and some that are not", doc)
ok(call("GET", VNET + "net/checkIPAddressAvailability?ipAddress=10.9.1.77")[1] == {"available": True, "isPlatformReserved": False}, "one that is free")
ok(call("GET", VNET + "net/checkIPAddressAvailability?ipAddress=10.9.1.1")[1]["isPlatformReserved"], "one that is the platform's")
ok([u["currentValue"] for u in call("GET", VNET + "net/usages")[1]["value"]] == [2, 2], "usages", call("GET", VNET + "net/usages")[1])
# protocols that have no ports: each has its own answer, also where the numbers are neighbours
spaces = {n: call("GET", CG + n)[1]["netd"]["namespace"] for n in probers}
HEAR = "import select,socket\ns={socket.socket(socket.AF_INET,socket.SOCK_RAW,p):p for p in (47,50,51)}\nprint('ready',flush=True)\ninput()\nprint(sorted(s[x] for x in select.select(list(s),[],[],0)[0]))"
SAY = "import socket,sys\nfor p in (47,50,51): socket.socket(socket.AF_INET,socket.SOCK_RAW,p).sendto(bytes(40),(sys.argv[1],0))"


def heard(*rules):
    named = [{"name": f"r{i}", "properties": {"priority": 100 + i, "direction": "Inbound", "access": access, "protocol": proto, "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "*"}} for i, (access, proto) in enumerate(rules)]
    if call("PUT", NSG + "one", {"location": "westeurope", "properties": {"securityRules": named}})[0] != 200:
        return None
    p = subprocess.Popen(["nsenter", "--net=" + spaces["g0"], sys.executable, "-c", HEAR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    subprocess.run(["nsenter", "--net=" + spaces["g2"], sys.executable, "-c", SAY, probers["g0"][1].addresses[0]], check=True)
    time.sleep(0.3)
    return json.loads(p.communicate("\n")[0])


said = [heard(("Allow", "Esp"), ("Deny", "*")), heard(("Allow", "Ah"), ("Deny", "Esp"), ("Deny", "*")), heard(("Deny", "Esp"), ("Deny", "Ah")), heard(("Allow", "Esp"), ("Allow", "Ah"), ("Deny", "*"))]
ok(said == [[50], [51], [47], [50, 51]], "Esp and Ah, beside each other and all else", said)
call("PUT", NSG + "one", {"location": "westeurope", "properties": {"securityRules": []}})
# a flow that runs lives on after a new deny, until it is flushed; what stays allowed is not touched
ECHO = "import socket,sys\ns=socket.create_server((sys.argv[1],9999))\nprint('ready',flush=True)\nimport threading\ndef f(c):\n  while 1:\n    d=c.recv(100)\n    if not d: return\n    c.sendall(d)\nwhile 1: threading.Thread(target=f,args=(s.accept()[0],),daemon=True).start()"
TALK = "import socket,sys\ns=socket.create_connection((sys.argv[1],9999),3)\ns.settimeout(1)\nprint('open',flush=True)\nfor l in sys.stdin:\n  try:\n    s.sendall(b'x'); print(s.recv(9).decode() or 'closed',flush=True)\n  except OSError as e: print('dead',flush=True)"
echo = subprocess.Popen(["nsenter", "--net=" + spaces["g0"], sys.executable, "-c", ECHO, probers["g0"][1].addresses[0]], stdout=subprocess.PIPE, text=True)
echo.stdout.readline()
talkers = {n: subprocess.Popen(["nsenter", "--net=" + spaces[n], sys.executable, "-c", TALK, probers["g0"][1].addresses[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for n in ("g2", "g3")}
opened = [p.stdout.readline() for p in talkers.values()]


def talk(n):
    talkers[n].stdin.write("\n")
    talkers[n].stdin.flush()
    return talkers[n].stdout.readline().strip()


attach("two", None)
ok(opened == ["open\n"] * 2 and talk("g2") == "x" and talk("g3") == "x", "two connections")
g2 = probers["g2"][1].addresses[0]
deny = {"properties": {"priority": 110, "direction": "Inbound", "access": "Deny", "protocol": "Tcp", "sourceAddressPrefix": g2, "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "9999"}}
ok(call("PUT", NSG + "one/securityRules/late", deny)[0] == 201 and talk("g2") == "x", "a running flow lives on after a new deny")
out = subprocess.run([os.environ["NETD_NETCTL"], "nsg", "flush", "one", "-g", "demo"], capture_output=True, text=True)
said = [talk("g2"), talk("g3")]
ok(out.returncode == 0 and said == ["dead", "x"], "'netctl nsg flush' ends it, and nothing else", (out, said))
call("DELETE", NSG + "one/securityRules/late")
doc = call("GET", NSG + "one")[1]
doc["properties"]["flushConnection"] = True
call("PUT", NSG + "one", doc)
deny["properties"]["sourceAddressPrefix"] = probers["g3"][1].addresses[0]
call("PUT", NSG + "one/securityRules/late", deny)
ok(wait(lambda: talk("g3") == "dead", 3), "with flushConnection a new deny ends it at once")
call("DELETE", NSG + "one/securityRules/late")
for p in (echo, *talkers.values()):
    p.kill()
rules = {"one": call("GET", NSG + "one")[1]["properties"]["securityRules"], "two": rules["two"]}
attach("two", "two" if rules["two"] is not None else None)

# netd's restart changes no verdict
os.kill(wait(lambda: role_pid("control")), 9)
os.kill(wait(lambda: role_pid("engine")), 9)
ok(wait(lambda: call("GET", "/readyz")[0] == 200), "control and engine come back")
wrong, n = round_of(rules)
ok(not wrong, "with the same verdicts", wrong[:3])
subprocess.run(["nsenter", "--net=" + NS + "/" + [x for x in namespaces() if x[0] == "v"][0], "nft", "flush", "ruleset"], check=True)
ok(wait(lambda: not round_of(rules)[0]), "and after 'nft flush ruleset'")
t.end()
