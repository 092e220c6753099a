#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public names: labels, reverse zones (RFC 2317 below /24), the administrator's records by file and API, the server's
manners on the wire; netctl dns, counters, the query log."""
import os, sys, tempfile
if "NETD_LAB" not in os.environ:
    os.environ["NETD_FILES"] = tempfile.mkdtemp(prefix="netd-names.")
    os.chmod(os.environ["NETD_FILES"], 0o755)
    open(os.environ["NETD_FILES"] + "/example", "w").write("""$TTL 300
@ 600 IN SOA ns.example.com. admin.example.com. 7 1800 900 604800 30
@ 600 NS ns.example.com.
ns A 192.0.2.2
www A 192.0.2.77
    AAAA 2001:db8::77
txt TXT "one" "two; three"
mail MX 10 mx.example.net.
*.wild A 192.0.2.78
key TYPE1000 \\# 4 00010000
caa CAA 0 issue "ca.example"
alias CNAME www
""")
    open(os.environ["NETD_FILES"] + "/region", "w").write("status 120 A 192.0.2.79\nfixed-label 120 TXT \"taken\"\n")
from plane import *

FILES = os.environ["NETD_FILES"]
inside(f"dns-zone=example.com {FILES}/example", f"dns-zone=westeurope.azurecontainer.io {FILES}/region", f"dns-query-log={FILES}/log", "dns-id=node1", "dns-rate=50", runtime=False)
import dns.edns, dns.flags, dns.message, dns.query, dns.rcode, dns.rdatatype, dns.reversename, socket

t, rt = Tap(), Runtime()
ok = t.ok
AT = os.environ["NETD_DNS"]
PIP = RG + "/providers/Microsoft.Network/publicIPAddresses/"


def ask(name, kind="A", tcp=False, **kw):
    return (dns.query.tcp if tcp else dns.query.udp)(dns.message.make_query(name, kind, **kw), AT, timeout=2)


def records(name, kind="A"):
    a = ask(name, kind)
    return dns.rcode.to_text(a.rcode()), sorted(i.to_text() for rr in a.answer for i in rr)


# ---- by file ----
for name, kind, want in (("www.example.com", "A", ["192.0.2.77"]), ("www.example.com", "AAAA", ["2001:db8::77"]), ("txt.example.com", "TXT", ['"one" "two; three"']), ("mail.example.com", "MX", ["10 mx.example.net."]),
                         ("x.wild.example.com", "A", ["192.0.2.78"]), ("key.example.com", "TYPE1000", ["\\# 4 00010000"]), ("caa.example.com", "CAA", ['0 issue "ca.example"']), ("alias.example.com", "A", ["192.0.2.77", "www.example.com."]),
                         ("example.com", "NS", ["ns.example.com."]), ("status.westeurope.azurecontainer.io", "A", ["192.0.2.79"]), ("westeurope.azurecontainer.io", "NS", ["ns1.westeurope.azurecontainer.io."]),
                         ("ns1.westeurope.azurecontainer.io", "A", ["192.0.2.2"])):
    got = records(name, kind)
    ok(got == ("NOERROR", sorted(want)), f"{kind} {name}", got)
a = ask("example.com", "SOA")
ok(a.answer[0][0].mname.to_text() == "ns.example.com." and a.answer[0][0].refresh == 1800 and a.answer[0].ttl == 600, "a zone's own SOA", a)
a = ask("nope.example.com")
ok(a.rcode() == 3 and a.authority[0].ttl == 30 and a.flags & dns.flags.AA, "negative answers live as long as it says", a)
open(FILES + "/example", "a").write("later A 192.0.2.80\n")
ok(wait(lambda: records("later.example.com") == ("NOERROR", ["192.0.2.80"])), "a file that changed is read again")
text = open(FILES + "/example").read()
open(FILES + "/example", "w").write(text + "bad A 192.0.2.300\n")
time.sleep(2.5)
ok(records("later.example.com")[1] == ["192.0.2.80"] and records("www.example.com")[1] == ["192.0.2.77"], "one that is wrong changes nothing")
ok("dns.file" in open(os.environ["NETD_LAB"] + "/netd.log").read().split("later")[-1] and "line 14" in open(os.environ["NETD_LAB"] + "/netd.log").read(), "and the log says which line")
open(FILES + "/example", "w").write(text.replace("later A 192.0.2.80\n", ""))
ok(wait(lambda: records("later.example.com")[0] == "NXDOMAIN"), "a line that is gone is gone")

# ---- by API ----
s, doc, _ = call("PUT", "/netd/dns/zones/example.com/A/api", {"properties": {"ttl": 33, "aRecords": [{"ipv4Address": "192.0.2.81"}]}})
ok(s == 200 and records("api.example.com") == ("NOERROR", ["192.0.2.81"]) and ask("api.example.com").answer[0].ttl == 33, "a record by API", doc)
for path, body, want in (("example.com/A/api", {"properties": {"ttl": 33, "aRecords": [{"ipv4Address": "x"}]}}, 400), ("nowhere.example/A/api", {"properties": {"ttl": 33}}, 404), ("example.com/NAPTR/api", {"properties": {"ttl": 33}}, 404)):
    s, doc, _ = call("PUT", "/netd/dns/zones/" + path, body)
    ok(s == want, f"refused: {path}", (s, doc))
os.kill(role_pid("control"), 9)
ok(wait(lambda: call("GET", "/readyz")[0] == 200) and records("api.example.com")[1] == ["192.0.2.81"], "it is stored")
s, _, _ = call("DELETE", "/netd/dns/zones/example.com/A/api")
ok(s == 200 and records("api.example.com")[0] == "NXDOMAIN", "and removed")

# ---- labels, and reverse ----
call("PUT", RG, {"location": "westeurope"})
for i, name in enumerate(("alpha", "bravo")):
    call("PUT", PIP + name, {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": name + "-label"}}})
ip = call("GET", PIP + "alpha")[1]["properties"]["ipAddress"]
fqdn = "alpha-label.westeurope.cloudapp.azure.com"
ok(records(fqdn) == ("NOERROR", [ip]), "a label", records(fqdn))
label, rest = str(dns.reversename.from_address(ip)).split(".", 1)
reverse = f"{label}.64/26.2.0.192.in-addr.arpa." if ip.startswith("192.0.2.") else str(dns.reversename.from_address(ip))
ok(records(reverse, "PTR") == ("NOERROR", [fqdn + "."]), f"and back: {reverse}", records(reverse, "PTR"))
ok(records("64/26.2.0.192.in-addr.arpa", "SOA")[0] == "NOERROR" and records("113.0.203.in-addr.arpa", "SOA")[0] == "NOERROR", "zones for the pools")
call("DELETE", PIP + "alpha")
ok(wait(lambda: records(fqdn)[0] == "NXDOMAIN" and records(reverse, "PTR")[0] == "NXDOMAIN"), "both go with the address")
s, doc, _ = call("PUT", CG + "g", group("g", label="fixed-label"))
ok(s == 400 and doc["error"]["code"] == "DnsNameLabelUnavailable", "a name that the administrator gave records is no label to have", doc)

# ---- manners on the wire (RFC 8906 and others; dns/answer_test.c has the rest) ----
a = ask("bravo-label.westeurope.cloudapp.azure.com", use_edns=0, options=[dns.edns.GenericOption(3, b"")])
ok(any(o.otype == 3 and o.data == b"node1" for o in a.options), "NSID", a.options)
a = ask("example.org", use_edns=0)
ok(a.rcode() == 5 and any(o.otype == 15 and o.code == 20 for o in a.options), "refused outside our zones, with a reason", a)
a = ask("WwW.eXaMpLe.CoM")
ok(a.question[0].name.to_text() == "WwW.eXaMpLe.CoM.", "the case of the question is kept")
client = os.urandom(8)
a = ask("www.example.com", use_edns=0, options=[dns.edns.GenericOption(10, client)])
cookie = next(o.data for o in a.options if o.otype == 10)
ok(len(cookie) == 24 and cookie[:8] == client and cookie[8] == 1, "a cookie")
s = socket.create_connection((AT, 53), 3)
q = [dns.message.make_query(f"{n}.example.com", "A") for n in ("www", "ns", "alias")]
wire = b"".join(len(m.to_wire()).to_bytes(2, "big") + m.to_wire() for m in q)
for i in range(len(wire)):  # a byte at a time
    s.sendall(wire[i:i + 1])
got = b""
while got.count(b"\xc0\x00\x02") < 3:
    got += s.recv(4096)
ok(all(m.to_wire()[:2] in got for m in q), "TCP: three questions, byte by byte, three answers")
s.close()
idle = [socket.create_connection((AT, 53), 3) for _ in range(150)]
ok(ask("www.example.com", tcp=True).answer and ask("www.example.com").answer, "150 connections that say nothing keep nobody out")
for c in idle:
    c.close()
m = dns.message.make_query("www.example.com", "A").to_wire()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((AT, 53))
s.settimeout(0.3)
time.sleep(1.2)
for i in range(1000):
    s.send(m)
full = short = 0
try:
    while 1:
        b = s.recv(4096)
        full, short = (full + 1, short) if b[7] else (full, short + bool(b[2] & 2))
except TimeoutError:
    pass
ok(40 <= full <= 250 and short > 100 and full + short < 900, f"equal answers to one network are limited: {full} full, {short} short", (full, short))
a = ask("www.example.com", use_edns=0, options=[dns.edns.GenericOption(10, cookie)])
ok(a.rcode() == 0 and a.answer, "but not for who has a cookie", a)

# ---- tools ----
netctl = os.environ["NETD_NETCTL"]


def ctl(*args):
    r = subprocess.run([netctl, *args], capture_output=True, text=True, env={k: v for k, v in os.environ.items() if k != "NETD_API"})
    return r.stdout + r.stderr


call("PUT", VNET + "v", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24", "delegations": [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
call("PUT", RG + "/providers/Microsoft.Network/privateDnsZones/corp.example", {"location": "global"})
call("PUT", RG + "/providers/Microsoft.Network/privateDnsZones/corp.example/A/db", {"properties": {"ttl": 5, "aRecords": [{"ipv4Address": "10.0.0.9"}]}})
call("PUT", RG + "/providers/Microsoft.Network/privateDnsZones/corp.example/virtualNetworkLinks/v", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "v"}}})
g = group("one")
g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "v/subnets/s"}])
call("PUT", CG + "one", g)
wait(lambda: state(CG + "one") == "Succeeded")
G = RG.rsplit("/", 1)[1]
out = ctl("dns", "lookup", "db.corp.example", "--vnet", "v", "-g", G)
ok("; NOERROR, authoritative" in out and "10.0.0.9" in out, "netctl dns lookup, as a VNet is answered", out)
out = ctl("dns", "lookup", "www.example.net", "--vnet", "v", "-g", G)
ok("asked for outside: www.example.net" in out, "or where it is asked", out)
out = ctl("dns", "lookup", "www.example.com", "AAAA")
ok("2001:db8::77" in out, "as the public is", out)
out = ctl("dns", "zones", "-g", G)
ok("corp.example" in out and "example.com" in out and "private" in out and "public" in out, "netctl dns zones", out)
out = ctl("dns", "export", "corp.example", "-g", G)
ok("db.corp.example.\t5\tIN\tA\t10.0.0.9" in out and out.count("SOA") == 1, "netctl dns export, as a zone file", out)
below = next(z["name"] for z in call("GET", "/netd/dns/zones")[1]["value"] if "/" in z["name"])
out = ctl("dns", "export", below)
ok(out.startswith(below) and "SOA" in out and "PTR" in out, "a reverse zone below /24, which has a slash", (below, out[:300]))
s, doc, _ = call("PUT", f"/netd/dns/zones/{below}/TXT/@", {"properties": {"ttl": 5, "txtRecords": [{"value": ["below"]}]}})
ok(s == 200 and records(below, "TXT") == ("NOERROR", ['"below"']), "it takes records by the API, too", (s, doc, records(below, "TXT")))
out = ctl("dns", "export", "example.com")
ok("x.wild" not in out and "*.wild.example.com." in out and "TYPE1000" in out, "of a public one", out)
out = ctl("dns", "stats")
ok(all(k in out for k in ("queries", "limited", "cookies", "names")), "netctl dns stats", out)
metrics = subprocess.run(["curl", "-s", "--unix-socket", os.environ["NETD_SOCKET"], "http://lab/metrics"], capture_output=True, text=True).stdout
ok(all(f"netd_dns_{k}_total " in metrics for k in ("queries", "answers", "nxdomain", "refused", "limited", "truncated")), "counters in /metrics", metrics[:300])
log = open(FILES + "/log").read().splitlines()
line = next((l for l in log if " www.example.com " in l), "")
ok(len(line.split()) == 7 and line.split()[1] == "0" and line.split()[2] == "192.0.2.1" and line.split()[4:7] == ["1", "udp", "0"], "the query log", line)
ok(oct(os.stat(FILES + "/log").st_mode)[-3:] == "600", "which is nobody else's to read")
import shutil
shutil.rmtree(FILES)
t.end()
