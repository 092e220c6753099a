#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies as Azure publishes them: taken and returned as sent plus what the service adds, or refused
with a code that names the property. Ours are in tests/replay; NETD_ARM_EXAMPLES names a folder of
more, in the form of the REST specifications' examples ({parameters, responses})."""
import glob
from plane import *

inside()
t, rt = Tap(), Runtime()
ok = t.ok
HERE = os.path.dirname(os.path.abspath(__file__))
P = "/providers/"
KINDS = {"containerGroups": "Microsoft.ContainerInstance/containerGroups/", "virtualNetworks": "Microsoft.Network/virtualNetworks/",
         "publicIPAddresses": "Microsoft.Network/publicIPAddresses/", "networkProfiles": "Microsoft.Network/networkProfiles/",
         "publicIPPrefixes": "Microsoft.Network/publicIPPrefixes/", "natGateways": "Microsoft.Network/natGateways/",
         "networkSecurityGroups": "Microsoft.Network/networkSecurityGroups/", "routeTables": "Microsoft.Network/routeTables/",
         "applicationSecurityGroups": "Microsoft.Network/applicationSecurityGroups/", "loadBalancers": "Microsoft.Network/loadBalancers/",
         "backendAddressPools": None, "inboundNatRules": None,
         "subnets": None, "securityRules": None, "routes": None, "virtualNetworkPeerings": None}
# parts of a resource, and where they are put
PARTS = {"subnets": "virtualNetworks/around/subnets/", "virtualNetworkPeerings": "virtualNetworks/around/virtualNetworkPeerings/",
         "securityRules": "networkSecurityGroups/around/securityRules/", "routes": "routeTables/around/routes/",
         "backendAddressPools": "loadBalancers/lb/backendAddressPools/", "inboundNatRules": "loadBalancers/lb1/inboundNatRules/"}
SERVICE = {"id", "name", "type", "etag", "provisioningState", "instanceView", "resourceGuid", "ip", "fqdn", "ipAddress", "systemData",
           "actions", "purpose", "ipConfigurations", "peeringState", "peeringSyncLevel",
           "remoteAddressSpace", "remoteVirtualNetworkAddressSpace", "localAddressSpace", "localVirtualNetworkAddressSpace", "defaultSecurityRules", "networkInterfaces", "hasBgpOverride",
           "remoteBgpCommunities", "loadBalancingRules", "inboundNatRules", "outboundRules", "outboundRule", "backendIPConfigurations", "backendIPConfiguration", "privateIPAddress", "serviceAssociationLinks", "privateEndpoints", "ipPrefix", "publicIPAddresses", "containerNetworkInterfaces"}
SECRET = {"secureValue", "password", "storageAccountKey", "workspaceKey"}


def missing(sent, got, path=""):
    """What was sent and did not come back, as paths."""
    if isinstance(sent, dict):
        if path.endswith(".secret"):
            return [] if isinstance(got, dict) and set(got) == set(sent) else [path]
        out = []
        for k, v in sent.items():
            if k in SECRET:
                out += [path + "." + k + " (secret)"] if isinstance(got, dict) and k in got else []
            elif k not in SERVICE or path.endswith("tags"):
                out += missing(v, got.get(k) if isinstance(got, dict) else None, path + "." + k)
            elif k == "name" and path:
                out += missing(v, got.get(k) if isinstance(got, dict) else None, path + "." + k)
        return out
    if isinstance(sent, list):
        if not isinstance(got, list) or len(got) != len(sent):
            return [path]
        return [m for i, (a, b) in enumerate(zip(sent, got)) for m in missing(a, b, f"{path}[{i}]")]
    return [] if sent == got or sent is None else [f"{path}: {sent!r} became {got!r}"]


def localized(body):
    """An example's own subscription and group become ours."""
    import re
    text = json.dumps(body)
    text = re.sub(r"/subscriptions/[^/\"]+/resourceGroups/[^/\"]+", RG, text, flags=re.I)
    return json.loads(text)


def kind_of(kind, label, parameter, body):
    """An example's folder says what it is about; its parts and prefixes by their names."""
    where = body.get("id", "") + "/" + parameter
    if kind == "loadBalancers":
        return "inboundNatRules" if "InboundNatRule" in label else "backendAddressPools" if "BackendAddressPool" in label else kind
    for part, marks in {"virtualNetworkPeerings": ("Peering",), "securityRules": ("/securityRules/", "securityRuleParameters"), "routes": ("/routes/", "routeParameters"),
                        "subnets": ("/subnets/", "subnetParameters")}.items():
        if any(m in where for m in marks) or (part == "subnets" and "ubnet" in parameter):
            return part
    return "publicIPPrefixes" if "Prefix" in label else kind


def replay(kind, label, body, refused=None, name="replayed"):
    body = localized({k: v for k, v in body.items() if k not in ("id", "name", "type", "etag", "systemData")})
    if kind in ("natGateways", "routeTables", "networkSecurityGroups"):
        body.get("properties", {}).pop("subnets", None)  # who uses it is the service's to say
    if kind in PARTS:
        retry("PUT", VNET + "around", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16" if kind == "virtualNetworkPeerings" else "10.0.0.0/8"]}}})
        if kind in ("backendAddressPools", "inboundNatRules"):
            lb = PARTS[kind].split("/")[1]
            retry("PUT", RG + P + "Microsoft.Network/loadBalancers/" + lb, {"location": "w", "properties": {"frontendIPConfigurations": [
                {"name": "ip1", "properties": {"subnet": {"id": VNET + "vnetlb/subnets/subnetlb"}}}], "backendAddressPools": [{"name": "be"}]}})
        for n in ("networkSecurityGroups", "routeTables"):
            retry("PUT", RG + P + f"Microsoft.Network/{n}/around", {"location": "w"})
        path = RG + P + "Microsoft.Network/" + PARTS[kind] + name
    else:
        path = RG + P + KINDS[kind] + name
        if kind == "loadBalancers":
            retry("DELETE", path)  # what parts were put into before
    s, doc, _ = call("PUT", path, body)
    if refused or s >= 400:
        error = doc["error"] if doc and "error" in doc else {}
        good = s in (400, 409) and error.get("target") and (error["code"], error["target"]) == (refused or (None, None))
        ok(good if refused else s == 400 and error.get("code") in ("FeatureNotSupported", "PublicIPNotSupportedInVirtualNetwork", "InvalidServiceNameOnDelegation") and error.get("target"),
           f"{label}: refused, naming {error.get('target')}", (s, doc))
        ok(call("GET", path)[0] == 404, f"{label}: nothing was stored")
        return
    if kind == "containerGroups":
        wait(lambda: state(path) == "Succeeded")
    s2, back, _ = call("GET", path)
    lost = missing(body, back)
    ok(s == 201 and s2 == 200 and not lost, f"{label}: returned as sent", (s, lost))
    s3, _, _ = call("PUT", path, back)
    if kind == "containerGroups":
        wait(lambda: state(path) == "Succeeded")
    again = call("GET", path)[1]
    for d in (back, again):
        d.get("properties", {}).pop("instanceView", None)
        for c in d.get("properties", {}).get("containers", []):
            c["properties"].pop("instanceView", None)
    ok(s3 == 200 and back == again, f"{label}: PUT of what GET returned changes nothing", (s3, missing(back, again)))
    retry("DELETE", path)
    ok(wait(lambda: call("GET", path)[0] == 404), f"{label}: deleted")


retry("PUT", RG, {"location": "westeurope", "tags": {"n": 1, "b": True, "s": "x"}})
ok(call("GET", RG)[1]["tags"] == {"n": 1, "b": True, "s": "x"}, "tags with numbers and booleans come back as sent")
NETWORK = {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
    {"name": n, "properties": {"addressPrefix": f"10.0.{i}.0/24", "delegations": [
        {"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}
    for i, n in enumerate(("default", "aci", "subnet1", "[subnetName]"[1:-1]))]}}
for n in ("vnet1", "[vnetName]"[1:-1], "vnet"):
    retry("PUT", VNET + n, NETWORK)
# what examples refer to
retry("PUT", VNET + "vnet2", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
retry("PUT", VNET + "vnetlb", {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "subnetlb", "properties": {"addressPrefix": "10.0.3.0/24"}}]}})
retry("PUT", RG + P + "Microsoft.Network/publicIPAddresses/pip", {"location": "w", "sku": {"name": "Standard"}})
for n in ("nsg1", "testnsg"):
    retry("PUT", RG + P + "Microsoft.Network/networkSecurityGroups/" + n, {"location": "w"})
retry("PUT", RG + P + "Microsoft.Network/publicIPAddresses/PublicIpAddress1", {"location": "w", "sku": {"name": "Standard"}})
retry("PUT", RG + P + "Microsoft.Network/publicIPPrefixes/PublicIpPrefix1", {"location": "w", "properties": {"prefixLength": 31}})
retry("PUT", RG + P + "Microsoft.Network/natGateways/nat1", {"location": "w"})
for f in sorted(glob.glob(HERE + "/../replay/*.json")):
    case = json.load(open(f))
    replay(case["type"], os.path.basename(f)[:-5], case["body"], tuple(case["refused"]) if "refused" in case else None)
folder = os.environ.get("NETD_ARM_EXAMPLES")
for f in sorted(glob.glob(folder + "/*/*.json")) if folder else []:
    kind = f.split("/")[-2]
    if kind not in KINDS:
        continue
    try:
        doc = json.load(open(f))
    except ValueError:
        continue
    label = os.path.basename(f)[:-5]
    for k, v in doc.get("parameters", {}).items():
        if isinstance(v, dict) and ("properties" in v or "location" in v) and "Tags" not in label and k != "resource":
            replay(kind_of(kind, label, k, v), label, v, name="lb" if kind_of(kind, label, k, v) == "loadBalancers" else "replayed")
    for code, r in doc.get("responses", {}).items():
        v = r.get("body") if isinstance(r, dict) else None
        for i, b in enumerate(v.get("value", [v]) if isinstance(v, dict) else []):
            if kind == "loadBalancers" and not (isinstance(b, dict) and b.get("id", "").split("/")[-2:-1] == ["loadBalancers"]):
                continue  # parts that only the whole changes, and lists of them
            if isinstance(b, dict) and "properties" in b and "defaultSecurityRules/" not in b.get("id", "") and not label.startswith(("Check", "Operations", "Delete")):
                replay(kind_of(kind, label, "", b), f"{label} answer {code}.{i}", b, name=b["name"] if kind == "loadBalancers" else "replayed")

# addresses of a prefix; a group by a legacy profile
NET = RG + P + "Microsoft.Network/"
s, prefix, _ = call("PUT", NET + "publicIPPrefixes/block", {"location": "w", "properties": {"prefixLength": 31}})
ok(s == 201 and prefix["properties"]["ipPrefix"].endswith("/31"), "a prefix of two", prefix)
import ipaddress
block = ipaddress.ip_network(prefix["properties"]["ipPrefix"])
pip = {"location": "w", "properties": {"publicIPPrefix": {"id": NET + "publicIPPrefixes/block"}}}
got = [call("PUT", NET + f"publicIPAddresses/of{i}", pip)[:2] for i in range(3)]
addresses = [d["properties"]["ipAddress"] for s, d in got[:2]]
ok([s for s, _ in got] == [201, 201, 400] and got[2][1]["error"]["code"] == "PublicIpPrefixOutOfIpAddresses"
   and sorted(addresses) == [str(a) for a in block], "two addresses of it, no third", got)
os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
time.sleep(0.3)
wait(lambda: call("GET", "/readyz")[0] == 200)
ok(len(call("GET", NET + "publicIPPrefixes/block")[1]["properties"]["publicIPAddresses"]) == 2
   and call("PUT", NET + "publicIPAddresses/of2", pip)[0] == 400, "also after a restart")
s, doc, _ = call("DELETE", NET + "publicIPPrefixes/block")
ok(s == 400 and doc["error"]["code"] == "InUsePublicIpPrefixCannotBeDeleted", "in use, it stays", doc)
retry("DELETE", NET + "publicIPAddresses/of0")
ok(call("PUT", NET + "publicIPAddresses/of2", pip)[1]["properties"]["ipAddress"] in addresses, "an address comes back to its prefix")
for i in (1, 2):
    retry("DELETE", NET + f"publicIPAddresses/of{i}")
ok(retry("DELETE", NET + "publicIPPrefixes/block")[0] == 202 and call("GET", NET + "publicIPPrefixes/block")[0] == 404, "unused, it goes")
profile = json.load(open(HERE + "/../replay/profile.json"))["body"]
s, doc, _ = call("PUT", NET + "networkProfiles/old", localized(profile))
legacy = group("legacy", ipAddress={"type": "Private", "ports": [{"port": 80}]}, networkProfile={"id": NET + "networkProfiles/old"})
s2, _, _ = call("PUT", CG + "legacy", legacy)
wait(lambda: state(CG + "legacy") == "Succeeded")
ok(s == 201 and s2 == 201 and call("GET", CG + "legacy")[1]["properties"]["ipAddress"]["ip"] == "10.0.1.4", "a group by a network profile", (s, s2))
s, doc, _ = call("DELETE", NET + "networkProfiles/old")
ok(s == 400 and doc["error"]["code"] == "NetworkProfileAlreadyInUseWithContainerNics", "a profile in use stays", doc)
retry("DELETE", CG + "legacy")
wait(lambda: call("GET", CG + "legacy")[0] == 404)
ok(call("DELETE", NET + "networkProfiles/old")[0] == 202, "unused, it goes")
t.end()
