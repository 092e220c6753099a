#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record sets that know health: addresses of groups and load balancers that are down are left out, as long as one is left;
in private zones and in public ones."""
import os, sys, tempfile
if "NETD_LAB" not in os.environ:
    os.environ["NETD_FILES"] = tempfile.mkdtemp(prefix="netd-health.")
    os.chmod(os.environ["NETD_FILES"], 0o755)
    open(os.environ["NETD_FILES"] + "/example", "w").write("$TTL 5\n@ SOA ns admin 7 1800 900 604800 5\n@ NS ns\nns A 192.0.2.2\n")
from plane import *

inside(f"dns-zone=example.com {os.environ['NETD_FILES']}/example", "dns-rate=0")
from vnets import *
import dns.message, dns.query, dns.rcode, shutil

rt = Runtime()
ZONES = N + "privateDnsZones/"
V4 = "168.63.129.16"
ASK = "import sys, dns.message, dns.query\na = dns.query.udp(dns.message.make_query(sys.argv[1], sys.argv[2]), '168.63.129.16', timeout=3)\nprint(*sorted(i.to_text() for rr in a.answer for i in rr))"


def private(name, kind="A"):
    r = subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", ASK, name, kind], capture_output=True, text=True)
    return r.stdout.split()


def says(group, state):
    rt.send({"type": "state", "id": next(i for i in rt.groups if i.lower().endswith("/" + group)), "state": state})


def soon(what, want, text, seconds=4):
    began = time.monotonic()
    good = wait(lambda: what() == want, seconds)
    ok(good, f"{text} ({(time.monotonic() - began) * 1000:.0f} ms)", (what(), want))


put(RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
subnet("v", "s", ["10.1.1.0/24"])
ip = {}
for n in "abc":
    ns, ip[n] = member(n, "v", "s")
put(ZONES + "corp.example", {"location": "global"}, want=(200, 201, 202))
put(ZONES + "corp.example/virtualNetworkLinks/l", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "v"}, "registrationEnabled": False}}, want=(200, 201, 202))
AWARE = {"netd-health": "aware"}


def record(name, addresses, metadata=AWARE):
    return call("PUT", ZONES + f"corp.example/A/{name}", {"properties": {"ttl": 5, "metadata": metadata, "aRecords": [{"ipv4Address": a} for a in addresses]}})


both = sorted([ip["a"], ip["b"]])
ok(record("svc", both)[0] == 201 and record("plain", both, {})[0] == 201, "a set that knows health, and one that does not")
soon(lambda: private("svc.corp.example"), both, "both are up: both are answered")
says("a", "notReady")
soon(lambda: private("svc.corp.example"), [ip["b"]], "one is not ready: it is left out")
ok(private("plain.corp.example") == both, "not where nobody asked for it")
s, doc, _ = call("GET", ZONES + "corp.example/A/svc")
ok(sorted(r["ipv4Address"] for r in doc["properties"]["aRecords"]) == both and doc["properties"]["metadata"] == AWARE, "the document stays as it was put", doc)
says("b", "notReady")
soon(lambda: private("svc.corp.example"), both, "none is ready: all are answered")
says("b", "ready")
soon(lambda: private("svc.corp.example"), [ip["b"]], "one is back")
os.kill(role_pid("dns"), 9)
soon(lambda: private("svc.corp.example"), [ip["b"]], "dns was killed: as before", 8)
pid = role_pid("control")
os.kill(pid, 9)
ok(wait(lambda: role_pid("control") not in (None, pid) and call("GET", "/readyz")[0] == 200), "control was killed")
soon(lambda: state(CG + "a"), "Succeeded", "it is back", 8)
says("a", "notReady")
soon(lambda: private("svc.corp.example"), [ip["b"]], "control was killed: as before", 8)
says("a", "ready")
soon(lambda: private("svc.corp.example"), both, "both are up")
ok(call("DELETE", CG + "a")[0] in (200, 202, 204), "a group is deleted")
soon(lambda: private("svc.corp.example"), [ip["b"]], "nobody has its address: it is left out")
ok(record("svc", [ip["b"], "10.9.9.9", ip["a"]])[0] == 200, "an address that is not of this plane")
soon(lambda: private("svc.corp.example"), sorted([ip["b"], "10.9.9.9"]), "is answered: nothing is known of it")
ok(record("svc", [ip["b"], ip["a"]], {})[0] == 200, "it may be taken back")
soon(lambda: private("svc.corp.example"), both, "then all are answered")
for metadata, kind in (({"netd-health": "yes"}, "A"), (AWARE, "TXT")):
    s, doc, _ = call("PUT", ZONES + f"corp.example/{kind}/bad", {"properties": {"ttl": 5, "metadata": metadata}})
    ok(s == 400 and "netd-health" in doc["error"]["message"], f"{metadata} of {kind} is refused", (s, doc))

many = [record(f"many-{i}", [ip["b"], ip["a"]])[0] for i in range(500)]
ok(many == [201] * 500, "500 sets of a subscription know health", {x: many.count(x) for x in many})
s, doc, _ = record("one-more", [ip["b"]])
ok(s == 409 and doc["error"]["code"] == "RecordSetQuotaReached" and record("one-more", [ip["b"]], {})[0] == 201 and record("many-3", [ip["b"]])[0] == 200, "no more than that do", (s, doc))
call("DELETE", ZONES + "corp.example/A/many-7")
ok(record("one-more", [ip["b"]])[0] == 200, "one that is deleted gives its place")
says("b", "notReady")
soon(lambda: private("many-499.corp.example"), sorted([ip["b"], ip["a"]]), "all of them follow: both are down")
says("b", "ready")
soon(lambda: private("many-499.corp.example"), [ip["b"]], "and one is up")

# ---- public ----
for n in "de":
    put(CG + n, group(n))
ok(wait(lambda: all(state(CG + n) == "Succeeded" for n in "de")), "two public groups")
pub = {n: call("GET", CG + n)[1]["properties"]["ipAddress"]["ip"] for n in "de"}


def public(name="www.example.com"):
    a = dns.query.udp(dns.message.make_query(name, "A"), os.environ["NETD_DNS"], timeout=2)
    return sorted(i.to_text() for rr in a.answer for i in rr)


s, doc, _ = call("PUT", "/netd/dns/zones/example.com/A/www", {"properties": {"ttl": 5, "metadata": AWARE, "aRecords": [{"ipv4Address": pub[n]} for n in "de"]}})
ok(s in (200, 201), "a public set", doc)
soon(public, sorted(pub.values()), "both are answered")
says("d", "notReady")
soon(public, [pub["e"]], "one is not ready: it is left out")
says("d", "ready")
soon(public, sorted(pub.values()), "and comes back")

# ---- a load balancer's frontend ----
call("PUT", N + "publicIPAddresses/p", {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}})
L = N + "loadBalancers/lb"
put(L, {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {
    "frontendIPConfigurations": [{"name": "f", "properties": {"publicIPAddress": {"id": N + "publicIPAddresses/p"}}}],
    "backendAddressPools": [{"name": "b", "properties": {"virtualNetwork": {"id": VNET + "v"}, "loadBalancerBackendAddresses": [{"name": "m", "properties": {"ipAddress": ip["b"]}}]}}],
    "loadBalancingRules": [{"name": "r", "properties": {"frontendIPConfiguration": {"id": L + "/frontendIPConfigurations/f"}, "backendAddressPool": {"id": L + "/backendAddressPools/b"}, "protocol": "Tcp", "frontendPort": 80, "backendPort": 80}}]}})
front = wait(lambda: call("GET", N + "publicIPAddresses/p")[1]["properties"].get("ipAddress"))
call("PUT", "/netd/dns/zones/example.com/A/lb", {"properties": {"ttl": 5, "metadata": AWARE, "aRecords": [{"ipv4Address": front}, {"ipv4Address": pub["e"]}]}})
soon(lambda: public("lb.example.com"), sorted([front, pub["e"]]), "a frontend with a backend is answered")
says("b", "notReady")
soon(lambda: public("lb.example.com"), [pub["e"]], "one without is left out")
says("b", "ready")
soon(lambda: public("lb.example.com"), sorted([front, pub["e"]]), "until it has one")
call("DELETE", "/netd/dns/zones/example.com/A/lb")
says("b", "notReady")
time.sleep(0.6)
try:
    got = public("lb.example.com")
except Exception as e:
    got = e
ok(got == [], "a set that was deleted does not come back", got)
shutil.rmtree(os.environ["NETD_FILES"])
t.end()
