#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VNet's zones do not know: asked by the VNet's own resolver process, of the VNet's own servers, along its routes
and under its security rules; in nobody else's cache; and nothing at all where there is no way out."""
import json, sys
from plane import *

inside("dns-group-rate=100", "resolver-idle=2")
from vnets import *

rt = Runtime()
ZONES = N + "privateDnsZones/"
# A name server that answers every A question with its own address, tells who asked it what, and knows some oddities.
SERVER = """
import socket, sys, threading, dns.message, dns.rrset, dns.rcode
me, tag = sys.argv[1], sys.argv[2]
def answer(m):
    q = m.question[0]; r = dns.message.make_response(m); r.flags |= 0x80; n = q.name.to_text().lower(); k = q.rdtype.name if hasattr(q.rdtype, 'name') else q.rdtype
    if n.startswith('missing.'): r.set_rcode(3)
    elif n.startswith('silent.'): return None
    elif n.startswith('alias.'): r.answer += [dns.rrset.from_text(n, 60, 'IN', 'CNAME', 'target.' + n), dns.rrset.from_text('target.' + n, 60, 'IN', 'A', tag)]
    elif n.startswith('big.'): r.answer.append(dns.rrset.from_text(n, 60, 'IN', 'TXT', *['"%03d %s"' % (i, 'x' * 200) for i in range(20)]))
    elif q.rdtype == 1: r.answer.append(dns.rrset.from_text(n, 60, 'IN', 'A', tag))
    return r
def log(who, m): print(who[0], m.question[0].name, flush=True)
def tcp():
    s = socket.create_server((me, 53))
    while 1:
        c, who = s.accept(); b = c.recv(2); m = dns.message.from_wire(c.recv(b[0] << 8 | b[1])); log(who, m); a = answer(m); w = a.to_wire(max_size=65535) if a else b''; c.sendall(len(w).to_bytes(2, 'big') + w); c.close()
threading.Thread(target=tcp, daemon=True).start()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((me, 53)); print('ready', flush=True)
while 1:
    d, who = s.recvfrom(4096)
    m = dns.message.from_wire(d); log(who, m); a = answer(m)
    if a:
        w = a.to_wire(max_size=65535)
        if len(w) > 1232: a.answer = []; a.flags |= 0x200; w = a.to_wire()
        s.sendto(w, who)
"""
ASK_DNS = """
import sys, json, dns.message, dns.query, dns.rcode, dns.flags
out = []
for name, kind, how, n in json.loads(sys.argv[1]):
    try:
        m = dns.message.make_query(name, kind, use_edns=0)
        a = (dns.query.tcp if how == 'tcp' else dns.query.udp)(m, '168.63.129.16', timeout=6)
        out.append([dns.rcode.to_text(a.rcode()), sorted(i.to_text() for rr in a.answer for i in rr), dns.flags.to_text(a.flags), a.question[0].name.to_text()])
    except Exception as e:
        out.append([type(e).__name__, [], '', ''])
print(json.dumps(out))
"""


def asks(ns, name, kind="A", how="udp"):
    r = subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", ASK_DNS, json.dumps([[name, kind, how, 1]])], capture_output=True, text=True)
    return (json.loads(r.stdout or "[]") or [["?", [r.stderr[-300:]], "", ""]])[0]


def server(ns, address, tag):
    """A process and the list of what it was asked, [who, name]."""
    p = subprocess.Popen(([] if ns is None else ["nsenter", "--net=" + ns]) + [sys.executable, "-c", SERVER, address, tag], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    seen = []
    threading.Thread(target=lambda: [seen.append(l.split()) for l in p.stdout], daemon=True).start()
    return p, seen


def resolvers():
    """Resolver processes: pid to network namespace."""
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if b"--resolver" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0"):
                out[int(pid)] = os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            pass
    return out


def vnet(name, prefix, servers=(), **subnet_props):
    put(VNET + name, {"properties": {"addressSpace": {"addressPrefixes": [prefix + ".0.0/16"]}, **({"dhcpOptions": {"dnsServers": list(servers)}} if servers else {})}})
    subnet(name, "s", [prefix + ".0.0/24"], **subnet_props)


def host(name, v, ip):
    g = group(name, ports=(80,))
    g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}], "ip": ip}, subnetIds=[{"id": VNET + v + "/subnets/s"}])
    put(CG + name, g)
    ok(wait(lambda: call("GET", CG + name)[1]["properties"]["provisioningState"] == "Succeeded"), f"{name} is in {v} at {ip}")
    return call("GET", CG + name)[1]["netd"]["namespace"]


put(RG, {})
# ---- two VNets with the same prefix, each with its own 10.0.0.53 ----
servers = []
clients = {}
for v in "ab":
    vnet(v, "10.0", ["10.0.0.53"])
    ns = host("dns" + v, v, "10.0.0.53")
    servers.append(server(ns, "10.0.0.53", f"10.10.10.{ord(v)}"))
    clients[v] = host("client" + v, v, "10.0.0.10")
ok(resolvers() == {}, "no resolver before the first question", resolvers())
for v in "ab":
    r = asks(clients[v], "WWW.Example.org")
    ok(r[0] == "NOERROR" and r[1] == [f"10.10.10.{ord(v)}"] and "RA" in r[2] and r[3] == "WWW.Example.org.", f"VNet {v} asks its own server", r)
for (p, seen), v in zip(servers, "ab"):
    ok(wait(lambda: seen) and {w for w, _ in seen} == {"10.0.0.1"}, f"which was asked from inside {v}", seen)
rs = resolvers()
ok(len(rs) == 2 and len(set(rs.values())) == 2, "a resolver each, in a namespace each", rs)
for pid in rs:
    st = open(f"/proc/{pid}/status").read()
    ok(all(not os.readlink(f"/proc/{pid}/fd/{f}").startswith("net:[") for f in os.listdir(f"/proc/{pid}/fd")) and len(os.listdir(f"/proc/{pid}/fd")) < 20, "with few descriptors of its own", [os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")])
    ok("Uid:\t70004\t70004" in st and "CapEff:\t0000000000000000" in st and "CapBnd:\t0000000000000000" in st and "NoNewPrivs:\t1" in st, "without rights")
n = len(servers[0][1])
asks(clients["a"], "www.example.org")
ok(len(servers[0][1]) == n, "it remembers")
r = asks(clients["a"], "missing.example.org")
ok(r[0] == "NXDOMAIN", "a name that is missing there", r)
r = asks(clients["a"], "alias.example.org")
ok(r[0] == "NOERROR" and r[1] == ["10.10.10.97", "target.alias.example.org."], "an alias there", r)
r = asks(clients["a"], "big.example.org", "TXT")
ok("TC" in r[2] and not r[1], "what does not fit is truncated", r)
r = asks(clients["a"], "big.example.org", "TXT", "tcp")
ok(r[0] == "NOERROR" and len(r[1]) == 20, "and whole by TCP", r[0])
r = asks(clients["a"], "www.example.org", "A", "tcp")
ok(r[1] == ["10.10.10.97"], "by TCP", r)

# ---- private zones lead out ----
call("PUT", ZONES + "corp.example", {"location": "global"})
for name, kind, props in (("away", "CNAME", {"cnameRecord": {"cname": "far.example.net"}}), ("twice", "CNAME", {"cnameRecord": {"cname": "away.corp.example"}}), ("here", "A", {"aRecords": [{"ipv4Address": "10.0.0.7"}]})):
    call("PUT", ZONES + f"corp.example/{kind}/{name}", {"properties": {"ttl": 60, **props}})
call("PUT", ZONES + "corp.example/virtualNetworkLinks/a", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "a"}}})
r = asks(clients["a"], "away.corp.example")
ok(r[0] == "NOERROR" and r[1] == ["10.10.10.97", "far.example.net."], "an alias that leaves the zone", r)
r = asks(clients["a"], "TWICE.corp.example")
ok(r[0] == "NOERROR" and r[1] == ["10.10.10.97", "away.corp.example.", "far.example.net."] and r[3] == "TWICE.corp.example.", "two of them", r)
r = asks(clients["a"], "missing.corp.example")
ok(r[0] == "NXDOMAIN" and not any("corp.example" in q for _, q in servers[0][1]), "names of the zone are asked of nobody", r)
call("PATCH", ZONES + "corp.example/virtualNetworkLinks/a", {"properties": {"resolutionPolicy": "NxDomainRedirect"}})
r = asks(clients["a"], "other.corp.example")
ok(r[0] == "NOERROR" and r[1] == ["10.10.10.97"], "but for a link that falls back", r)
r = asks(clients["a"], "here.corp.example", "AAAA")
ok(r[0] == "NOERROR" and not r[1], "where no data is no absence", r)

# ---- a server that says nothing; a resolver that is killed; one that is idle ----
began = time.monotonic()
r = asks(clients["a"], "silent.example.org")
ok(r[0] == "SERVFAIL" and time.monotonic() - began < 5, "a silent server: SERVFAIL before the client gives up", (r, time.monotonic() - began))
pid = next(p for p, ns in resolvers().items() if ns == rs[next(iter(rs))])
os.kill(pid, 9)
r = asks(clients["a"], "after.example.org")
ok(r[1] == ["10.10.10.97"], "the next question has a new one", r)
ok(wait(lambda: resolvers() == {}, 8), "idle ones end", resolvers())
for role in ("dns", "engine"):
    os.kill(role_pid(role), 9)
    r = asks(clients["b"], f"after-{role}.example.org")
    ok(r[1] == ["10.10.10.98"], f"a question that comes as {role} was killed is answered", r)

# ---- security rules, routes, no way out ----
put(N + "networkSecurityGroups/g", {"properties": {"securityRules": [{"name": "no53", "properties": {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "53"}}]}})
subnet("b", "s", ["10.0.0.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/g"})
n = len(servers[1][1])
r = asks(clients["b"], "denied.example.org")
ok(r[0] == "SERVFAIL" and len(servers[1][1]) == n, "a security rule keeps the question from the server", r)
subnet("b", "s", ["10.0.0.0/24"])
ok(wait(lambda: asks(clients["b"], "allowed.example.org")[1] == ["10.10.10.98"], 15), "and lets it in again")
vnet("hub", "10.1")
vnet("spoke", "10.2", ["10.1.0.53"])
hub = host("dnshub", "hub", "10.1.0.53")
spoke = host("clients", "spoke", "10.2.0.10")
servers.append(server(hub, "10.1.0.53", "10.10.10.1"))
r = asks(spoke, "early.example.org")
ok(r[0] == "SERVFAIL", "a server in another VNet is out of reach", r)
for a, b in (("hub", "spoke"), ("spoke", "hub")):
    put(VNET + f"{a}/virtualNetworkPeerings/p", {"properties": {"remoteVirtualNetwork": {"id": VNET + b}, "allowVirtualNetworkAccess": True}})
ok(wait(lambda: asks(spoke, "peered.example.org")[1] == ["10.10.10.1"], 15), "until they are peered", asks(spoke, "peered.example.org"))
ok({w for w, _ in servers[-1][1]} == {"10.2.0.1"}, "it is asked from the VNet", servers[-1][1])
vnet("open", "10.3", ["192.0.2.1"])
servers.append(server(None, "192.0.2.1", "10.10.10.2"))
out = host("clientopen", "open", "10.3.0.10")
r = asks(out, "internet.example.org")
ok(r[1] == ["10.10.10.2"], "a server on the internet", r)
ok(all(w.startswith(("192.0.2.", "203.0.113.")) and w != "192.0.2.1" for w, _ in servers[-1][1]), "is asked from the VNet's public address", servers[-1][1])
vnet("shut", "10.4", defaultOutboundAccess=False)
shut = host("clientshut", "shut", "10.4.0.10")
before = resolvers()
r = asks(shut, "www.example.org")
ok(r[0] == "REFUSED" and resolvers().keys() <= before.keys(), "an isolated VNet forwards nothing", r)
r = asks(shut, "clientshut.internal.cloudapp.net")
ok(r[1] == ["10.4.0.10"], "but knows its own", r)
put(VNET + "shut", {"properties": {"addressSpace": {"addressPrefixes": ["10.4.0.0/16"]}, "dhcpOptions": {"dnsServers": ["10.4.0.53"]}, "subnets": call("GET", VNET + "shut")[1]["properties"]["subnets"]}})
own = host("dnsshut", "shut", "10.4.0.53")
servers.append(server(own, "10.4.0.53", "10.10.10.3"))
r = asks(shut, "www.example.org")
ok(r[1] == ["10.10.10.3"], "and may ask a server of its own", r)

# ---- forwarding by suffix ----
R = N + "dnsForwardingRulesets/r"
put(R, {"properties": {"dnsResolverOutboundEndpoints": []}})
for bad, why in (({"domainName": "single.", "targetDnsServers": [{"ipAddress": "10.0.0.1"}]}, "one label"), ({"domainName": "a.b.", "targetDnsServers": []}, "no server"), ({"domainName": "a.b.", "targetDnsServers": [{"ipAddress": "x"}]}, "no address")):
    s, doc, _ = call("PUT", R + "/forwardingRules/bad", {"properties": bad})
    ok(s == 400 and doc["error"]["target"].startswith("properties"), f"refused: {why}", (s, doc))
put(R + "/forwardingRules/corp", {"properties": {"domainName": "on.prem.", "targetDnsServers": [{"ipAddress": "10.1.0.53", "port": 53}]}})
put(R + "/virtualNetworkLinks/spoke", {"properties": {"virtualNetwork": {"id": VNET + "open"}}})
put(VNET + "open/virtualNetworkPeerings/p", {"properties": {"remoteVirtualNetwork": {"id": VNET + "hub"}, "allowVirtualNetworkAccess": True}})
put(VNET + "hub/virtualNetworkPeerings/q", {"properties": {"remoteVirtualNetwork": {"id": VNET + "open"}, "allowVirtualNetworkAccess": True}})
ok(wait(lambda: asks(out, "db.on.prem")[1] == ["10.10.10.1"], 15), "a name under the suffix goes to its server", asks(out, "db.on.prem"))
r = asks(out, "other.example.org")
ok(r[1] == ["10.10.10.2"], "others go where they went", r)
put(R + "/forwardingRules/corp", {"properties": {"domainName": "on.prem.", "targetDnsServers": [{"ipAddress": "10.1.0.53"}], "forwardingRuleState": "Disabled"}})
r = asks(out, "db2.on.prem")
ok(r[1] == ["10.10.10.2"], "a rule that is disabled does nothing", r)
s, _, _ = call("DELETE", R)
ok(s == 202, "DELETE of the ruleset", s)

# ---- what groups may not reach ----
put(VNET + "open", {"properties": {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}, "dhcpOptions": {"dnsServers": ["169.254.0.1", "192.0.2.1"]}, "subnets": call("GET", VNET + "open")[1]["properties"]["subnets"]}})
r = asks(out, "link-local.example.org")
ok(r[1] == ["10.10.10.2"], "a link-local server is not asked, the next one is", r)

# ---- a group has its share ----
FLOOD = """
import socket, sys, time, dns.message
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('168.63.129.16', 53)); s.settimeout(0.3)
n, every = int(sys.argv[1]), float(sys.argv[2]); q = dns.message.make_query(sys.argv[3], 'A').to_wire()[2:]; got = 0
for i in range(n):
    s.send(i.to_bytes(2, 'big') + q); time.sleep(every)
try:
    while 1: s.recv(4096); got += 1
except TimeoutError: pass
print(got)
"""


def flood(ns, n, every, name):
    return subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", FLOOD, str(n), str(every), name], stdout=subprocess.PIPE, text=True)


time.sleep(1)
loud = flood(clients["a"], 2000, 0.0001, "clienta.internal.cloudapp.net")
calm = flood(clients["b"], 80, 0.02, "clientb.internal.cloudapp.net")
got = int(loud.communicate()[0])
ok(90 <= got <= 260, "over its share a group is not answered", got)
got = int(calm.communicate()[0])
ok(got == 80, "below it nothing is lost, whatever others do", got)
for p, _ in servers:
    p.kill()
    p.wait()
t.end()
