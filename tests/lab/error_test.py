#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every code of an error, provoked; pools that run out; an attach that fails until the kernel lets it
succeed. No test elsewhere has these."""
from plane import *

inside("pool=routed 203.0.113.0/29", "rest=0", "limit-requests=400", "pool-links=0")  # none made ahead: what cannot be made is missing
t, rt = Tap(), Runtime()
ok = t.ok
NETWORK = RG + "/providers/Microsoft.Network/"
ACI = {"delegations": [{"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}


def refused(status, code, method, path, body=None, headers={}, target=None):
    s, doc, _ = call(method, path, body, headers)
    e = (doc or {}).get("error", {})
    ok(s == status and e.get("code") == code and e.get("message") and (target is None or target in e.get("target", "")), f"{status} {code}", (s, doc))


def vnet(*subnets, space=("10.0.0.0/16",)):
    return {"location": "w", "properties": {"addressSpace": {"addressPrefixes": list(space)}, "subnets": [{"name": n, "properties": {"addressPrefix": p, **ACI}} for n, p in subnets]}}


retry("PUT", RG, {"location": "w"})
# documents
refused(400, "DuplicateContainerName", "PUT", CG + "x", group(containers=[group()["properties"]["containers"][0]] * 2), target="containers")
refused(400, "DnsNameLabelRequiresPublicIP", "PUT", CG + "x", group(ipAddress={"type": "Private", "ports": [{"port": 80}], "dnsNameLabel": "label-x"}, subnetIds=[{"id": VNET + "v/subnets/s"}]), target="dnsNameLabel")
refused(400, "PrivateIPRequiresSubnet", "PUT", CG + "x", group(ipAddress={"type": "Private", "ports": [{"port": 80}]}), target="ipAddress.type")
refused(400, "InvalidResourceName", "PUT", VNET + "a%20b", vnet(("s", "10.0.1.0/24")), target="name")
refused(400, "InvalidResourceType", "PUT", NETWORK + "bastionHosts/b", {"location": "w"}, target="type")
refused(404, "ParentResourceNotFound", "PUT", VNET + "none/subnets/s", {"properties": {"addressPrefix": "10.0.0.0/24"}})
refused(400, "NetcfgSubnetRangesOverlap", "PUT", VNET + "v", vnet(("a", "10.0.1.0/24"), ("b", "10.0.1.128/25")), target="subnets[1]")
refused(400, "InvalidRequestFormat", "PUT", VNET + "v", vnet(("a", "10.0.1.0/24"), ("A", "10.0.2.0/24")), target="subnets[1]")
refused(404, "ResourceGroupNotFound", "PUT", RG + "x/providers/Microsoft.Network/virtualNetworks/v", vnet())
refused(405, "MethodNotAllowed", "POST", RG)
refused(405, "MethodNotAllowed", "DELETE", f"/subscriptions/{SUB}/resourceGroups")
refused(412, "PreconditionFailed", "PUT", RG, {"location": "w"}, {"If-Match": 'W/"77"'})
refused(404, "ResourceNotFound", "GET", CG + "none")
refused(401, "AuthenticationFailed", "GET", RG, None, {"Authorization": "Bearer nobody-has-this-token"})
refused(413, "RequestContentTooLarge", "PUT", CG + "x", b"x" * (5 << 20))
s, doc, _ = call("GET", "/%zz")
ok(s == 400 and doc["error"]["code"] == "BadRequest", "400 BadRequest", (s, doc))
retry("PUT", "/subscriptions/other/resourceGroups/g", {"location": "w"})
refused(409, "SubscriptionNotEmpty", "DELETE", "/subscriptions/other")
refused(404, "SubscriptionNotFound", "GET", "/subscriptions/nobody")

for what, path in (({"containers": group()["properties"]["containers"] + group("b", ports=(81,))["properties"]["containers"]}, "containers"), ({"initContainers": [{"name": "i", "properties": {"image": "x"}}]}, "initContainers"),
                   ({"sku": "Confidential"}, "sku")):
    refused(400, "UnsupportedFeatureForOsType", "PUT", CG + "x", group(osType="Windows", **what), target=path)

# what lives
call("PUT", VNET + "v", vnet(("s", "10.0.1.0/24")))
private = lambda name, **ip: group(name, ipAddress={"type": "Private", "ports": [{"port": 80}], **ip}, subnetIds=[{"id": VNET + "v/subnets/s"}])
refused(400, "PrivateIPAddressNotInSubnet", "PUT", CG + "x", private("x", ip="fd00::9"), target="ipAddress.ip")
refused(400, "PrivateIPAddressNotAvailable", "PUT", CG + "x", private("x", ip="10.0.2.9"), target="ipAddress.ip")
refused(400, "PrivateIPAddressNotAvailable", "PUT", CG + "x", private("x", ip="10.0.1.3"), target="ipAddress.ip")
call("PUT", CG + "web", group("web"))
wait(lambda: state(CG + "web") == "Succeeded")
refused(400, "InvalidContainerGroupUpdate", "PUT", CG + "web", group("web", osType="Windows"), target="osType")
refused(400, "InvalidContainerGroupUpdate", "PUT", CG + "web", private("web"), target="ipAddress.type")
refused(400, "InvalidQueryParameter", "GET", CG + "web/containers/web/logs?tail=0", target="tail")
s, doc, _ = call("GET", CG + "web/containers/web/logs")
ok(s == 503 and doc["error"]["code"] == "ContainerLogsUnavailable", "503 ContainerLogsUnavailable: this runtime answers no logs", (s, doc))

# a runtime that cannot start it
rt.fail = {(CG + "bad").lower()}
frame = rt.frame
rt.frame = lambda m: rt.send({"type": "state", "id": m["id"], "state": "failed", "message": "no such image"}) if m["type"] == "group" and m["id"] in rt.fail else frame(m)
s, doc, h = call("PUT", CG + "bad", group("bad"))
op = h["Azure-AsyncOperation"].split("lab", 1)[1].split("?")[0]
ok(wait(lambda: call("GET", op)[1]["status"] == "Failed") and call("GET", op)[1]["error"] == {"code": "ContainerGroupStartFailed", "message": "no such image"}, "ContainerGroupStartFailed", call("GET", op))
ok(state(CG + "bad") == "Failed", "and the group says so", state(CG + "bad"))
retry("DELETE", CG + "bad")
wait(lambda: call("GET", CG + "bad")[0] == 404)

# the group goes slowly: what is asked of it meanwhile
rt.hold = True
call("DELETE", CG + "web")
refused(409, "ContainerGroupTransitioning", "PUT", CG + "web", group("web"))
refused(409, "ContainerGroupTransitioning", "POST", CG + "web/stop")
rt.release()
wait(lambda: call("GET", CG + "web")[0] == 404)

# pools run out, say so, and are whole again afterwards: 203.0.113.0/29 routed has eight addresses
refused(409, "PublicIPPoolNotConfigured", "PUT", NETWORK + "publicIPAddresses/six", {"location": "w", "properties": {"publicIPAddressVersion": "IPv6"}})
made = []
while call("PUT", NETWORK + f"publicIPAddresses/p{len(made)}", {"location": "w", "properties": {}})[0] == 201:
    made.append(call("GET", NETWORK + f"publicIPAddresses/p{len(made)}")[1]["properties"]["ipAddress"])
ok(sorted(made) == [f"203.0.113.{i}" for i in range(8)], "all of a routed pool is given, each once", made)
refused(409, "PublicIPCountLimitReached", "PUT", CG + "web", group("web"))
refused(409, "PublicIpPrefixOutOfAddresses", "PUT", NETWORK + "publicIPPrefixes/x", {"location": "w", "properties": {"prefixLength": 30}})
call("PUT", CG + "in", private("in"))
ok(wait(lambda: state(CG + "in") == "Succeeded"), "a private group starts without an egress address", state(CG + "in"))
retry("DELETE", NETWORK + "publicIPAddresses/p3")
s, doc, _ = call("PUT", CG + "web", group("web"))
ok(s == 201 and doc["properties"]["ipAddress"]["ip"] == made[3], "the one given back is given again", doc)
for i in range(len(made)):
    retry("DELETE", NETWORK + f"publicIPAddresses/p{i}")
call("PUT", VNET + "tiny", vnet(("s", "10.7.0.0/29"), space=("10.7.0.0/24",)))
tiny = lambda n: group(n, ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + "tiny/subnets/s"}])
for i in range(3):
    call("PUT", CG + f"t{i}", tiny(f"t{i}"))
refused(400, "SubnetIsFull", "PUT", CG + "t3", tiny("t3"))
retry("DELETE", CG + "t1")
wait(lambda: call("GET", CG + "t1")[0] == 404)
s, doc, _ = call("PUT", CG + "t3", tiny("t3"))
ok(s == 201 and doc["properties"]["ipAddress"]["ip"] == "10.7.0.5", "and its addresses come back", doc)

# an attach that fails is repaired, told, and handed over only then
ns = NS
mounted = lambda *how: subprocess.run(["mount", *how], capture_output=True).returncode == 0


def read_only():
    """With what is mounted in it: the namespaces that stand are to be found."""
    return mounted("--rbind", ns, ns) and wait(lambda: mounted("-o", "remount,ro,bind", ns))  # busy while the engine writes there


ok(read_only(), "the folder of namespaces cannot be written")
call("PUT", CG + "late", group("late"))
events = lambda: [e["name"] for e in (call("GET", CG + "late")[1] or {"properties": {"instanceView": {"events": []}}})["properties"]["instanceView"]["events"]]
ok(wait(lambda: "AttachFailed" in events()), "AttachFailed is an event", events())
time.sleep(0.5)
ok(state(CG + "late") == "Creating" and not [k for k in rt.groups if k.endswith("/late")], "and the runtime is not told of a network that does not stand", state(CG + "late"))
ok(wait(lambda: subprocess.run(["umount", "--lazy", ns], capture_output=True).returncode == 0), "the folder can be written again")
ok(wait(lambda: state(CG + "late") == "Succeeded", 15), "it is made as soon as it can be", state(CG + "late"))

# secrets that control had when it died, and the runtime had not
secret = lambda v: group("sec", containers=[{"name": "sec", "properties": {"image": "x", "ports": [{"port": 80}], "environmentVariables": [{"name": "K", "secureValue": v}], "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}])
call("PUT", CG + "sec", secret("one"))
ok(wait(lambda: state(CG + "sec") == "Succeeded"), "a group with a secret", state(CG + "sec"))
ok(read_only(), "and once more")
call("PUT", CG + "sec2", {**secret("two"), "properties": {**secret("two")["properties"]}})  # cannot be attached, so not handed over
pid = wait(lambda: role_pid("control"))
os.kill(int(pid), 9)
wait(lambda: subprocess.run(["umount", "--lazy", ns], capture_output=True).returncode == 0)
ok(wait(lambda: state(CG + "sec2") == "Failed"), "one whose secrets were lost says so", state(CG + "sec2"))
ok("SecretsLost" in [e["name"] for e in call("GET", CG + "sec2")[1]["properties"]["instanceView"]["events"]] and not [k for k in rt.groups if k.endswith("/sec2")], "and is not run without them")
ok(wait(lambda: state(CG + "sec") == "Succeeded"), "the other one is as it was", state(CG + "sec"))
retry("PUT", CG + "sec2", secret("two"))
ok(wait(lambda: state(CG + "sec2") == "Succeeded") and "two" in json.dumps([m for k, m in rt.groups.items() if k.endswith("/sec2")]), "sent again, it runs", state(CG + "sec2"))

# too fast: all at once on one connection, so that the pace is control's and not that of a client beside other labs
kept, codes, began = Unix("lab"), [], time.time()
kept.connect()
kept.sock.settimeout(20)
kept.sock.sendall(b"GET /subscriptions/other/resourceGroups/g?api-version=2023-05-01 HTTP/1.1\r\nHost: lab\r\n\r\n" * 1500)
with kept.sock.makefile("rb") as answers:
    for _ in range(1500):
        status = int(answers.readline().split()[1])
        headers = dict(line.split(": ", 1) for line in iter(lambda: answers.readline().decode().strip(), ""))
        codes.append((status, json.loads(answers.read(int(headers["Content-Length"]))), headers))
slow = [c for c in codes if c[0] == 429]
ok(slow and slow[0][1]["error"]["code"] == "TooManyRequests" and "Retry-After" in slow[0][2] and codes[0][0] == 200, "429 TooManyRequests, with Retry-After", (len(slow), slow[:1], sorted({(c[0], sum(x[0] == c[0] for x in codes)) for c in codes[:3] + codes[-3:]}), time.time() - began))
retry("DELETE", RG)
ok(wait(lambda: call("GET", RG)[0] == 404, 15), "all goes")
t.end()
