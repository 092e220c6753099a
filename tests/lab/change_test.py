#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may change while something else stands on it: subnets, groups of resources, names, PATCH,
conditions, scopes, subscriptions. Each case stood failing before its fix."""
from plane import *

inside("limit-requests=0")
t, rt = Tap(), Runtime()
ok = t.ok
NET = lambda prefix, v6=None: {"location": "westeurope", "properties": {
    "addressSpace": {"addressPrefixes": ["10.9.0.0/16"] + (["fd00:9::/48"] if v6 else [])}, "subnets": [{"name": "aci", "properties": {
        **({"addressPrefixes": [prefix, v6]} if v6 else {"addressPrefix": prefix}),
        "delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}}
PIP = RG + "/providers/Microsoft.Network/publicIPAddresses/"
PREFIX = RG + "/providers/Microsoft.Network/publicIPPrefixes/"
RG2 = f"/subscriptions/{SUB}/resourceGroups/second"
inner = lambda name, vnet=VNET + "net", **ip: group(name, ipAddress={"type": "Private", "ports": [{"port": 80}], **ip}, subnetIds=[{"id": vnet + "/subnets/aci"}])


def code(a):
    return (a[0], a[1]["error"]["code"] if a[1] and "error" in a[1] else None)


def gone(path):
    retry("DELETE", path)
    return wait(lambda: call("GET", path)[0] == 404)


def address(name):
    wait(lambda: state(CG + name) == "Succeeded")
    return call("GET", CG + name)[1]["properties"]["ipAddress"].get("ip")


for g in (RG, RG2):
    retry("PUT", g, {"location": "westeurope"})

# a subnet's prefix
call("PUT", VNET + "net", NET("10.9.1.0/24"))
call("PUT", CG + "a", inner("a"))
ok(address("a") == "10.9.1.4", "a group in the subnet", address("a"))
a = call("PUT", VNET + "net", NET("10.9.2.0/24"))
ok(code(a) == (400, "InUseSubnetCannotBeUpdated"), "the prefix of a subnet in use stays", a)
a = call("PUT", VNET + "net/subnets/aci", {"properties": {"addressPrefix": "10.9.2.0/24"}})
ok(code(a) == (400, "InUseSubnetCannotBeUpdated"), "also by the subnet's own PUT", a)
gone(CG + "a")
ok(call("PUT", VNET + "net", NET("10.9.2.0/24"))[0] == 200, "an empty one's may change")
call("PUT", CG + "a", inner("a"))
ok(address("a") == "10.9.2.4", "and the next group gets an address of the new one", address("a"))

# conditions reach subnets
a = call("PUT", VNET + "net/subnets/aci", NET("10.9.2.0/24")["properties"]["subnets"][0], {"If-None-Match": "*"})
ok(a[0] == 412, "If-None-Match: * on a subnet that exists", a)
a = call("PUT", VNET + "net/subnets/more", {"properties": {"addressPrefix": "10.9.3.0/24"}}, {"If-None-Match": "*"})
ok(a[0] == 201, "and on one that does not", a)
a = call("DELETE", VNET + "net/subnets/more", None, {"If-Match": 'W/"12345"'})
ok(a[0] == 412 and call("GET", VNET + "net/subnets/more")[0] == 200, "If-Match of a DELETE that does not match", a)

# an address taken in one family is not lost in the other
call("PUT", VNET + "dual", {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.8.0.0/16", "fd00:8::/48"]}, "subnets": [
    {"name": "aci", "properties": {"addressPrefixes": ["10.8.0.0/29", "fd00:8::/64"], "delegations": [{"name": "d", "properties": {
        "serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}})
call("PUT", CG + "d1", inner("d1", VNET + "dual", ip="fd00:8::4"))
codes = [code(call("PUT", CG + f"d{i}", inner(f"d{i}", VNET + "dual", ip="fd00:8::4"))) for i in range(2, 6)]
ok(codes == [(400, "PrivateIPAddressNotAvailable")] * 4, "an address in use is refused", codes)
codes = [call("PUT", CG + f"d{i}", inner(f"d{i}", VNET + "dual"))[0] for i in (2, 3)]
ok(codes == [201, 201], "what was refused took nothing", codes)
a = call("PUT", CG + "d4", inner("d4", VNET + "dual"))
ok(code(a) == (400, "SubnetIsFull"), "a /29 holds three", a)
a = call("PUT", CG + "d4", inner("d4", VNET + "dual", ip="10.8.0.7"))
ok(a[0] == 400, "the last address is nobody's", a)

# resource groups: what others stand on stays, what goes takes nothing new
call("PUT", CG.replace("/demo/", "/second/") + "b", inner("b"))
wait(lambda: state(CG.replace("/demo/", "/second/") + "b") == "Succeeded")
a = call("DELETE", RG)
ok(code(a) == (409, "ResourceGroupDeletionBlocked") and a[1]["error"].get("target", "").endswith("/net"), "a VNet that another group's containers use holds its resource group", a)
ok(call("GET", VNET + "net")[0] == 200 and state(CG + "a") == "Succeeded", "and nothing of it went")
gone(CG.replace("/demo/", "/second/") + "b")
call("PUT", PREFIX + "p", {"location": "westeurope", "properties": {"prefixLength": 30}})
call("PUT", PIP.replace("/demo/", "/second/") + "x", {"location": "westeurope", "properties": {"publicIPPrefix": {"id": PREFIX + "p"}}})
a = call("DELETE", RG)
ok(code(a) == (409, "ResourceGroupDeletionBlocked"), "so does a prefix that another group's address came from", a)
a = call("PUT", PIP.replace("/demo/", "/second/") + "x", {"location": "westeurope", "properties": {}})
ok(code(a) == (400, "PropertyChangeNotAllowed"), "the prefix of an address is fixed", a)
a = call("PUT", PIP.replace("/demo/", "/second/") + "x", {"location": "westeurope", "properties": {"publicIPAddressVersion": "IPv6", "publicIPPrefix": {"id": PREFIX + "p"}}})
ok(code(a) == (400, "PropertyChangeNotAllowed"), "and its version", a)
gone(PIP.replace("/demo/", "/second/") + "x")
rt.hold = True  # the runtime stops nothing for now
a = call("DELETE", RG)
ok(a[0] == 202, "then it goes", a)
for path, body in ((CG + "new", group("new")), (VNET + "new", NET("10.9.1.0/24")), (RG, {"location": "westeurope"})):
    a = call("PUT", path, body)
    ok(code(a) == (409, "ResourceGroupBeingDeleted"), "nothing new in a resource group that goes: " + path.split("/")[-1], a)
a = call("PATCH", CG + "a", {"tags": {"k": "v"}})
ok(a[0] == 409, "nor a tag", a)
a = call("POST", CG + "a/stop")
ok(a[0] == 409, "nor a stop", a)
rt.release()
ok(wait(lambda: call("GET", RG)[0] == 404, 15), "and is gone")
retry("PUT", RG, {"location": "westeurope"})

# PATCH is held to the same rules as PUT
call("PUT", CG + "a", group("a"))
wait(lambda: state(CG + "a") == "Succeeded")
a = call("PATCH", CG + "a", {"tags": "x"})
ok(a[0] == 400 and a[1]["error"]["target"] == "tags", "tags that are none", a)
a = call("PATCH", CG + "a", {"tags": {"k": "v"}}, {"If-Match": 'W/"99999"'})
ok(a[0] == 412, "a PATCH whose If-Match does not match", a)
a = call("PATCH", CG + "a", {"tags": {"k": "v"}})
ok(a[0] == 200 and a[1]["tags"] == {"k": "v"}, "and one that is right", a)
odd = {"n": 7, "b": True, "f": 1.5, "s": ""}
a = call("PATCH", CG + "a", {"tags": odd})
ok(a[0] == 200 and a[1]["tags"] == odd, "tags of other kinds are returned as sent", a)
a = call("PUT", RG, {"location": "eastus"})
ok(code(a) == (409, "InvalidResourceGroupLocation"), "a resource group stays where it is", a)
a = call("PUT", CG + "a", {**group("a"), "location": "eastus"})
ok(code(a) == (409, "InvalidResourceLocation"), "and what is in it", a)

# the name of a public address follows its document
pip = lambda label: {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": label}} if label else {}}
zone = ".westeurope.cloudapp.azure.com"
s, doc, _ = call("PUT", PIP + "n", pip("first"))
ip = doc["properties"]["ipAddress"]
ok(wait(lambda: dig("first" + zone) == ("NOERROR", [ip])), "a public address has its name", dig("first" + zone))
s, doc, _ = call("PUT", PIP + "n", pip("second"))
ok(s == 200 and doc["properties"]["dnsSettings"]["fqdn"] == "second" + zone, "a new label, a new name", doc)
ok(wait(lambda: dig("second" + zone)[1] == [ip] and dig("first" + zone)[0] == "NXDOMAIN"), "the old one is gone", (dig("second" + zone), dig("first" + zone)))
a = call("PUT", PIP + "m", pip("second"))
ok(code(a) == (400, "DnsRecordInUse"), "one name, one address", a)
s, doc, _ = call("PUT", PIP + "n", pip(None))
ok(wait(lambda: dig("second" + zone)[0] == "NXDOMAIN"), "no label, no name", dig("second" + zone))
call("PUT", PIP + "n", pip("second"))
wait(lambda: dig("second" + zone)[1] == [ip])
retry("DELETE", PIP + "n")
ok(wait(lambda: dig("second" + zone)[0] == "NXDOMAIN"), "and none after its end", dig("second" + zone))

# subscriptions are a type too
a = call("PUT", "/subscriptions/team-a", {"displayName": "Team A", "tags": {"cost": "7"}})
ok(a[0] == 201, "a subscription is made", a)
a = call("GET", "/subscriptions/team-a")
ok(a[1]["displayName"] == "Team A" and a[1]["tags"] == {"cost": "7"} and a[1]["state"] == "Enabled", "and read", a)
retry("PUT", "/subscriptions/team-a/resourceGroups/g", {"location": "w"})
a = call("DELETE", "/subscriptions/team-a")
ok(a[0] == 409, "one that holds something stays", a)
gone("/subscriptions/team-a/resourceGroups/g")
ok(call("DELETE", "/subscriptions/team-a")[0] in (200, 202, 204) and call("GET", "/subscriptions/team-a")[0] == 404, "an empty one goes")

for bad in ("%ff", "a%20b", "%C3%A9", "a%2fb%0a"):
    a = call("PUT", f"/subscriptions/{bad}/resourceGroups/g", {"location": "w"})
    ok(a[0] in (400, 404), f"a subscription named {bad} is refused", a)

# nobody gives away what lies beside his scope
s, doc, _ = call("POST", "/netd/tokens", {"subscription": SUB, "role": "owner", "scope": RG})
import ssl, urllib.request, urllib.error
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])
q = urllib.request.Request(os.environ["NETD_API"] + "/netd/tokens", method="POST", data=json.dumps({"subscription": SUB, "role": "owner", "scope": RG + "2"}).encode(),
                           headers={"Authorization": "Bearer " + doc["token"]})
try:
    s = urllib.request.urlopen(q, context=ctx, timeout=5).status
except urllib.error.HTTPError as e:
    s = e.code
ok(s == 403, "a scope whose name begins alike is another", s)
s, doc, h = call("GET", RG)
ok(len(h.get("x-ms-request-id", "")) == 36, "every answer has its id", h)
t.end()
