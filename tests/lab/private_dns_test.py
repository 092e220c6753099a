#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Private DNS: zones, record sets, links and registration over the API, and what groups of linked VNets, and of others,
are answered at 168.63.129.16 and fd53:a83f:8110::10; by dnspython inside the groups' namespaces."""
import json, sys
from plane import *

inside("dnssec=1")  # of public zones: private ones are never signed
from vnets import *

runtime = Runtime()
ZONES = N + "privateDnsZones/"
ASK_DNS = """
import sys, json, dns.message, dns.query, dns.rcode, dns.flags
out = []
for name, kind, how, server in json.loads(sys.argv[1]):
    try:
        m = dns.message.make_query(name, kind, use_edns=0 if how != 'plain' else -1)
        a = (dns.query.tcp if how == 'tcp' else dns.query.udp)(m, server, timeout=6)
        out.append([dns.rcode.to_text(a.rcode()), sorted(i.to_text() for rr in a.answer for i in rr), [dns.flags.to_text(a.flags)]])
    except Exception as e:
        out.append([type(e).__name__, [], []])
print(json.dumps(out))
"""
V4, V6 = "168.63.129.16", "fd53:a83f:8110::10"


def asks(ns, *questions):
    q = [[x[0], x[1] if len(x) > 1 else "A", x[2] if len(x) > 2 else "udp", x[3] if len(x) > 3 else V4] for x in questions]
    r = subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", ASK_DNS, json.dumps(q)], capture_output=True, text=True)
    return json.loads(r.stdout or "[]") or [["?", [r.stderr[-200:]], []]]


def answered(ns, want, name, kind="A", how="udp", server=V4):
    """`want`: an rcode, or a list of records."""
    rcode, records, flags = asks(ns, (name, kind, how, server))[0]
    good = records == sorted(want) and rcode == "NOERROR" if isinstance(want, list) else rcode == want and not records
    return good, (name, kind, rcode, records)


def record(zone, kind, name, props, want=(200, 201), headers={}):
    s, doc, h = call("PUT", ZONES + f"{zone}/{kind}/{name}", {"properties": {"ttl": 60, **props}}, headers)
    ok(s in want, f"PUT {kind} {name}: {s}", doc)
    return doc


# ---- documents ----
put(RG, {})
s, doc, _ = call("PUT", ZONES + "corp.example", {"location": "Global", "tags": {"k": "v"}})
ok(s == 201 and doc["location"] == "global" and doc["name"] == "corp.example" and doc["properties"]["numberOfRecordSets"] == 1
   and doc["properties"]["maxNumberOfRecordSets"] >= 25000 and doc["properties"]["maxNumberOfVirtualNetworkLinks"] >= 1000, "a zone", doc)
for bad in ("single", "a..b", "-_" * 40 + ".x"):
    s, doc, _ = call("PUT", ZONES + bad, {"location": "global"})
    ok(s in (400, 404), f"no zone name: {bad[:20]}", (s, doc))
s, doc, _ = call("PUT", ZONES + "x.example", {"location": "westeurope"})
ok(s == 400 and doc["error"]["target"] == "location", "zones are global", doc)
doc = record("corp.example", "A", "DB", {"aRecords": [{"ipv4Address": "10.0.0.4"}, {"ipv4Address": "10.0.0.5"}], "metadata": {"a": "b"}})
ok(doc["name"] == "db" and doc["id"].endswith("/privateDnsZones/corp.example/A/db") and doc["type"] == "Microsoft.Network/privateDnsZones/A"
   and doc["properties"]["fqdn"] == "db.corp.example." and doc["properties"]["isAutoRegistered"] is False, "a record set as Azure shows it", doc)
etag = doc["etag"]
s, got, h = call("GET", ZONES + "corp.example/a/Db")
ok(s == 200 and got == doc, "GET in any case", got)
s, _, _ = call("PUT", ZONES + "corp.example/A/db", {"properties": {"ttl": 1}}, {"If-None-Match": "*"})
ok(s == 412, "If-None-Match on one that is there", s)
s, _, _ = call("PUT", ZONES + "corp.example/A/db", {"properties": {"ttl": 1}}, {"If-Match": 'W/"99"'})
ok(s == 412, "If-Match with another etag", s)
s, got, _ = call("PATCH", ZONES + "corp.example/A/db", {"properties": {"ttl": 61}}, {"If-Match": etag})
ok(s == 200 and got["properties"]["ttl"] == 61 and len(got["properties"]["aRecords"]) == 2 and got["etag"] != etag, "PATCH with its etag", got)
for kind, name, props in (("AAAA", "db", {"aaaaRecords": [{"ipv6Address": "fd00::4"}]}),
                          ("CNAME", "alias", {"cnameRecord": {"cname": "db.corp.example"}}),
                          ("CNAME", "away", {"cnameRecord": {"cname": "www.example.org"}}),
                          ("MX", "@", {"mxRecords": [{"preference": 10, "exchange": "mail.corp.example"}]}),
                          ("TXT", "@", {"txtRecords": [{"value": ["v=1", "two"]}, {"value": ["x" * 300]}]}),
                          ("SRV", "_sip._tcp", {"srvRecords": [{"priority": 1, "weight": 2, "port": 5060, "target": "db.corp.example"}]}),
                          ("PTR", "4", {"ptrRecords": [{"ptrdname": "db.corp.example"}]}),
                          ("A", "*.any", {"aRecords": [{"ipv4Address": "10.0.0.9"}]}),
                          ("A", "@", {"aRecords": [{"ipv4Address": "10.0.0.1"}]})):
    record("corp.example", kind, name, props)
for kind, name, props, what in (("A", "x", {"aRecords": [{"ipv4Address": "fd00::1"}]}, "an IPv6 address in A"),
                                ("A", "x", {"aaaaRecords": [{"ipv6Address": "fd00::1"}]}, "AAAA records in A"),
                                ("CNAME", "@", {"cnameRecord": {"cname": "x.example"}}, "CNAME at the zone itself"),
                                ("CNAME", "x", {}, "CNAME of nothing"),
                                ("A", "a..b", {"aRecords": []}, "no name"),
                                ("A", "x.*", {"aRecords": []}, "a star inside"),
                                ("SOA", "x", {"soaRecord": {"email": "a.b", "refreshTime": 1, "retryTime": 1, "expireTime": 1, "minimumTtl": 1}}, "SOA elsewhere"),
                                ("MX", "x", {"mxRecords": [{"preference": 70000, "exchange": "a.b"}]}, "a preference of 70,000"),
                                ("A", "x", {"ttl": -1}, "a negative TTL")):
    s, doc, _ = call("PUT", ZONES + f"corp.example/{kind}/{name}", {"properties": {"ttl": 60, **props}})
    ok(s == 400 and doc["error"]["message"], f"refused: {what}", (s, doc))
for kind, name, props in (("CNAME", "db", {"cnameRecord": {"cname": "x.example"}}), ("A", "alias", {"aRecords": [{"ipv4Address": "10.0.0.1"}]})):
    s, doc, _ = call("PUT", ZONES + f"corp.example/{kind}/{name}", {"properties": {"ttl": 60, **props}})
    ok(s == 409, f"an alias beside others: {kind} {name}", (s, doc))
s, doc, _ = call("GET", ZONES + "corp.example/aLL")
ok(s == 200 and len(doc["value"]) == 11 and {r["type"].rsplit("/", 1)[1] for r in doc["value"]} == {"A", "AAAA", "CNAME", "MX", "TXT", "SRV", "PTR", "SOA"},
   "all record sets, SOA too", [r["name"] for r in doc["value"]])
s, doc, _ = call("GET", ZONES + "corp.example/A?$top=2")
names = [r["name"] for r in doc["value"]]
while "nextLink" in doc:
    s, doc, _ = call("GET", "/" + doc["nextLink"].split("/", 3)[3])
    names += [r["name"] for r in doc["value"]]
ok(names == ["*.any", "@", "db"], "by type, page by page", names)
s, doc, _ = call("GET", ZONES + "corp.example/ALL?$recordsetnamesuffix=any")
ok([r["name"] for r in doc["value"]] == ["*.any"], "by suffix", doc)
s, doc, _ = call("GET", ZONES + "corp.example/SOA/@")
ok(s == 200 and doc["properties"]["soaRecord"]["host"] == "azureprivatedns.net", "every zone has an SOA", doc)
s, doc, _ = call("DELETE", ZONES + "corp.example/TXT/@")
ok(s == 200, "DELETE of a record set", s)
s, doc, _ = call("DELETE", ZONES + "corp.example/TXT/@")
ok(s == 204, "DELETE of none", s)

# ---- two VNets with the same prefix; one linked ----
for v in ("a", "b"):
    put(VNET + v, {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00:a::/56"]}}})
    subnet(v, "s", ["10.0.0.0/24", "fd00:a::/64"])
LINK = ZONES + "corp.example/virtualNetworkLinks/"
s, doc, _ = call("PUT", LINK + "l", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "nope"}}})
ok(s == 400 and doc["error"]["target"] == "properties.virtualNetwork.id", "a link to no VNet", doc)
s, doc, _ = call("PUT", LINK + "l", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "a"}, "registrationEnabled": True}})
ok(s == 201 and doc["properties"]["virtualNetworkLinkState"] == "Completed" and doc["properties"]["provisioningState"] == "Succeeded", "a link", doc)
s, doc, _ = call("PUT", LINK + "again", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "a"}}})
ok(s == 409, "one link of a zone and VNet", doc)
call("PUT", ZONES + "second.example", {"location": "global"})
s, doc, _ = call("PUT", ZONES + "second.example/virtualNetworkLinks/l", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "a"}, "registrationEnabled": True}})
ok(s == 409, "a VNet registers in one zone", doc)
s, doc, _ = call("DELETE", ZONES + "corp.example")
ok(s == 409 and doc["error"]["code"] == "CannotDeleteResource", "a zone with links stays", doc)
one, one_ip = member("one", "a", "s")
two, two_ip = member("two", "b", "s")
one6 = next(x["aaaaRecords"][0]["ipv6Address"] for x in [call("GET", ZONES + "corp.example/AAAA/one")[1]["properties"]])

for how, server in (("udp", V4), ("tcp", V4), ("udp", V6), ("tcp", V6), ("plain", V4)):
    good, seen = answered(one, ["10.0.0.4", "10.0.0.5"], "DB.corp.Example", "A", how, server)
    ok(good, f"a record by {how} at {server}", seen)
for want, name, kind in ((["fd00::4"], "db.corp.example", "AAAA"),
                         (["db.corp.example.", "10.0.0.4", "10.0.0.5"], "alias.corp.example", "A"),
                         (["db.corp.example."], "alias.corp.example", "CNAME"),
                         (["10 mail.corp.example."], "corp.example", "MX"),
                         (["1 2 5060 db.corp.example."], "_sip._tcp.corp.example", "SRV"),
                         (["10.0.0.9"], "x.y.any.corp.example", "A"),
                         (["10.0.0.1"], "corp.example", "A"),
                         ("NXDOMAIN", "nope.corp.example", "A"),
                         ([], "db.corp.example", "TXT"),
                         ([], "_tcp.corp.example", "A"),
                         ([one_ip], "one.corp.example", "A"),
                         ([one6], "one.corp.example", "AAAA"),
                         ([one_ip], "one.internal.cloudapp.net", "A"),
                         ("NXDOMAIN", "two.internal.cloudapp.net", "A"),
                         (["one.corp.example.", "one.internal.cloudapp.net."], ".".join(reversed(one_ip.split("."))) + ".in-addr.arpa", "PTR"),
                         ("NXDOMAIN", "77.0.0.10.in-addr.arpa", "PTR")):
    good, seen = answered(one, want, name, kind)
    ok(good, f"{kind} {name}", seen)
import ipaddress
for name, kind in (("db.corp.example", "A"), ("nope.corp.example", "A"), ("corp.example", "DNSKEY"), ("corp.example", "RRSIG")):
    r = subprocess.run(["nsenter", "--net=" + one, sys.executable, "-c", "import sys, dns.message, dns.query\nprint(dns.query.udp(dns.message.make_query(sys.argv[1], sys.argv[2], want_dnssec=True), '168.63.129.16', timeout=3))", name, kind], capture_output=True, text=True)
    ok(any("rcode " + x in r.stdout for x in ("NOERROR", "NXDOMAIN")) and not any(x in r.stdout.split("ANSWER", 1)[-1] for x in (" RRSIG ", " DNSKEY ", " NSEC ")), f"{kind} {name}: nothing is signed, whoever asks for signatures", r.stdout + r.stderr[-300:])
good, seen = answered(one, ["one.corp.example.", "one.internal.cloudapp.net."], ipaddress.ip_address(one6).reverse_pointer, "PTR")
ok(good, "PTR of the IPv6 address", seen)
# The other VNet has the same addresses and sees nothing of it.
good, seen = answered(two, [two_ip], "two.internal.cloudapp.net")
ok(good, "the other VNet's own name", seen)
for name in ("one.internal.cloudapp.net", "one.corp.example", "db.corp.example"):
    rcode, records, _ = asks(two, (name,))[0]
    ok(rcode != "NOERROR" and not records, f"the other VNet does not see {name}", (rcode, records))
good, seen = answered(two, ["two.internal.cloudapp.net."], ".".join(reversed(two_ip.split("."))) + ".in-addr.arpa", "PTR")
ok(good, "nor whose address it is there", seen)

# ---- manual records win; what is registered goes with its group ----
record("corp.example", "A", "one", {"aRecords": [{"ipv4Address": "10.9.9.9"}]})
good, seen = answered(one, ["10.9.9.9"], "one.corp.example")
ok(good, "a manual record wins", seen)
good, seen = answered(one, [one6], "one.corp.example", "AAAA")
ok(good, "its AAAA stays registered", seen)
call("DELETE", ZONES + "corp.example/A/one")
good, seen = answered(one, [one_ip], "one.corp.example")
ok(good, "and is registered again", seen)
s, doc, _ = call("GET", ZONES + "corp.example/A/one")
ok(s == 200 and doc["properties"]["isAutoRegistered"] is True, "shown as registered", doc)
s, doc, _ = call("GET", ZONES + "corp.example/ALL")
ok([(r["type"][-4:], r["name"]) for r in doc["value"] if r["properties"]["isAutoRegistered"]] == [("es/A", "one"), ("AAAA", "one")], "and listed", doc)
s, doc, _ = call("GET", ZONES + "corp.example")
ok(doc["properties"]["numberOfRecordSets"] == 12 and doc["properties"]["numberOfVirtualNetworkLinksWithRegistration"] == 1, "and counted", doc)

# ---- longest suffix, fallback, unlinking ----
call("PUT", ZONES + "dev.corp.example", {"location": "global"})
record("dev.corp.example", "A", "b", {"aRecords": [{"ipv4Address": "10.0.0.6"}]})
record("corp.example", "A", "a.dev", {"aRecords": [{"ipv4Address": "10.0.0.7"}]})
good, seen = answered(one, ["10.0.0.7"], "a.dev.corp.example")
ok(good, "a longer zone that is not linked does not matter", seen)
call("PUT", ZONES + "dev.corp.example/virtualNetworkLinks/l", {"location": "global", "properties": {"virtualNetwork": {"id": VNET + "a"}}})
for want, name in ((["10.0.0.6"], "b.dev.corp.example"), ("NXDOMAIN", "a.dev.corp.example")):
    good, seen = answered(one, want, name)
    ok(good, f"the longest suffix answers {name}", seen)
s, doc, _ = call("PATCH", LINK + "l", {"properties": {"registrationEnabled": False}})
ok(s in (200, 202), "registration is switched off", doc)
good, seen = answered(one, "NXDOMAIN", "one.corp.example")
ok(good, "what was registered is gone", seen)
good, seen = answered(one, ["one.internal.cloudapp.net."], ".".join(reversed(one_ip.split("."))) + ".in-addr.arpa", "PTR")
ok(good, "in reverse, too", seen)
s, _, _ = call("DELETE", ZONES + "dev.corp.example/virtualNetworkLinks/l")
ok(s == 202, "DELETE of a link", s)
good, seen = answered(one, ["10.0.0.7"], "a.dev.corp.example")
ok(good, "a zone that was unlinked is out of sight", seen)
s, _, _ = call("DELETE", ZONES + "dev.corp.example")
ok(s == 202 and call("GET", ZONES + "dev.corp.example/A/b")[0] == 404, "DELETE of a zone takes its records along", s)
call("PATCH", LINK + "l", {"properties": {"registrationEnabled": True}})

# ---- roles that end ----
for role in ("dns", "control", "engine"):
    os.kill(role_pid(role), 9)
    ok(wait(lambda: answered(one, ["10.0.0.4", "10.0.0.5"], "db.corp.example")[0] and answered(one, [one_ip], "one.corp.example")[0]), f"the same after {role} was killed",
       asks(one, ("db.corp.example",), ("one.corp.example",)))
    ok(wait(lambda: call("GET", "/readyz")[0] == 200), "ready")
good, seen = answered(one, "NXDOMAIN", "nope.corp.example")
ok(good, "and no more than that", seen)

# ---- what goes with what ----
call("DELETE", CG + "one")
ok(wait(lambda: call("GET", CG + "one")[0] == 404), "a group is deleted")
three, three_ip = member("three", "a", "s")
good, seen = answered(three, "NXDOMAIN", "one.corp.example")
ok(good, "with the names it had", seen)
call("DELETE", CG + "three")
ok(wait(lambda: call("GET", CG + "three")[0] == 404), "the VNet is empty")
s, doc, _ = call("DELETE", VNET + "a")
ok(s == 202 and call("GET", LINK + "l")[0] == 404, "a VNet takes its links along", (s, doc))
s, doc, _ = call("DELETE", ZONES + "corp.example")
ok(s == 202, "so that the zone can go", doc)
t.end()
