#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group's life over the API, its packets, its name; VNets; bad input; strangers' callers."""
import json, os, subprocess, time, urllib.request
from plane import *

AT, _ = peers("python3-websocket")
sys.path.append(AT + "/usr/lib/python3/dist-packages")
import websocket

inside()
t = Tap()
rt = Runtime(serve=True)
ok = t.ok


def page(ip, timeout=2):
    try:
        return urllib.request.urlopen(f"http://{ip}/", timeout=timeout).read().decode()
    except Exception as e:
        return f"{type(e).__name__} {e}"


ok(call("PUT", RG, {"location": "westeurope"})[0] == 201, "resource group is made")
s, doc, h = call("PUT", CG + "web", group(label="aci-demo"))
ok(s == 201 and "Azure-AsyncOperation" in h, "PUT answers 201 with an operation", (s, doc))
ok(wait(lambda: state(CG + "web") == "Succeeded"), "the group succeeds", state(CG + "web"))
s, doc, h = call("GET", CG + "web")
ip = doc["properties"]["ipAddress"]["ip"]
fqdn = doc["properties"]["ipAddress"]["fqdn"]
ok(fqdn == "aci-demo.westeurope.azurecontainer.io", "the name has Azure's form", fqdn)
ok(wait(lambda: dig(fqdn) == ("NOERROR", [ip])), "the name is answered", dig(fqdn))
ok(dig(fqdn, "AAAA")[1] and dig(fqdn, "TXT") == ("NOERROR", []), "AAAA is answered, TXT is NODATA")
ok(wait(lambda: page(ip) == "192.0.2.1"), "the client keeps its own address", page(ip))
r = subprocess.run(["curl", "-s", "-m", "1", f"http://{ip}:81/"]).returncode
ok(r == 28, "a port that is not listed stays closed", r)
s, again, h = call("PUT", CG + "web", doc)
ok(s == 200 and again["properties"]["ipAddress"]["ip"] == ip, "PUT of what GET returned keeps the address", (s, again))
ok(wait(lambda: state(CG + "web") == "Succeeded"), "and succeeds")
op = h["Azure-AsyncOperation"].split("lab", 1)[1].split("?")[0]
ok(wait(lambda: call("GET", op)[1]["status"] == "Succeeded"), "the operation ends", call("GET", op))

# connections live on while netd is killed and comes back
import socket
c = socket.create_connection((ip, 80), timeout=5)
req = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
for victim in ("engine", "dns", "control"):
    os.kill(wait(lambda: role_pid(victim)), 9)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200), f"{victim} comes back after kill -9")
    ok(wait(lambda: page(ip) == "192.0.2.1", 3), f"the group is served after {victim} was killed")
    ok(wait(lambda: dig(fqdn) == ("NOERROR", [ip])), f"its name is answered after {victim} was killed", dig(fqdn))
os.kill(int(open(os.environ["NETD_LAB"] + "/netd.pid").read()), 9)
ok(wait(lambda: page(ip) == "192.0.2.1", 2), "packets flow while all of netd is away")
ok(wait(lambda: call("GET", "/readyz")[0] == 200), "netd comes back")
c.sendall(req)
ok(b"200" in c.recv(1000), "a connection from before is alive")

# repair of what strangers take
ns = NS + "/"
g, v = [n for n in namespaces() if n[0] == "g"][0], [n for n in namespaces() if n[0] == "v"][0]
for who, cmd in ((v, "nft flush ruleset"), (g, "ip link del eth0"), ("gw", "ip route flush table main"),
                 (v, "ip link set gw0 down")):
    subprocess.run(["nsenter", "--net=" + ns + who, *cmd.split()], check=True)
    start = time.time()
    good = wait(lambda: page(ip, 0.3) == "192.0.2.1", 8)
    ok(good and time.time() - start < 5, f"'{cmd}' in {who[0]} is repaired at once", time.time() - start)

# VNets
space = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:1::/48"]},
         "subnets": [{"name": "plain", "properties": {"addressPrefix": "10.1.1.0/24"}},
                     {"name": "aci", "properties": {"addressPrefixes": ["10.1.2.0/24", "fd00:1:0:2::/64"], "delegations": [
                         {"name": "d", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]}}]}}
s, doc, h = call("PUT", VNET + "net", space)
ok(s == 201 and doc["properties"]["subnets"][1]["id"].endswith("/subnets/aci"), "a VNet is made", doc)
private = {"type": "Private", "ports": [{"port": 80, "protocol": "TCP"}]}
inner = lambda name, subnet: group(name, ipAddress=private, subnetIds=[{"id": VNET + "net/subnets/" + subnet}])
s, doc, h = call("PUT", CG + "bad", inner("bad", "plain"))
ok(s == 400 and doc["error"]["code"] == "SubnetMissingRequiredDelegation", "delegation is demanded", doc)
for name in ("a", "b"):
    call("PUT", CG + name, inner(name, "aci"))
ok(wait(lambda: state(CG + "a") == state(CG + "b") == "Succeeded"), "two groups in a subnet succeed")
ips = [call("GET", CG + n)[1]["properties"]["ipAddress"]["ip"] for n in "ab"]
ok(ips == ["10.1.2.4", "10.1.2.5"], "addresses begin at network + 4", ips)
ga = [m["namespace"] for i, m in rt.groups.items() if i.endswith("/a")][0]
enter = lambda *cmd: subprocess.run(["nsenter", "--net=" + ga, *cmd], capture_output=True, text=True)
r = wait(lambda: enter("curl", "-s", "-m", "2", f"http://{ips[1]}/").stdout == ips[0])
ok(r, "one group reaches the other by private address")
r = enter("curl", "-s", "-m", "2", f"http://{ip}/")
ok(r.stdout.startswith("192.0.2.") or r.stdout.startswith("203."), "a public group sees a shared egress address", r)
ok(enter("ping", "-c1", "-W1", "10.1.2.1").returncode != 0, "the router is no host")
enter("ip", "addr", "add", "10.1.2.77/32", "dev", "eth0")
ok(enter("ping", "-c1", "-W1", "-I", "10.1.2.77", ips[1]).returncode != 0, "a source that is not its own stays in")
s, doc, h = call("DELETE", VNET + "net/subnets/aci")
ok(s == 400 and doc["error"]["code"] == "InUseSubnetCannotBeDeleted", "a subnet in use is kept", doc)

# bad input: a code, a target, nothing changed
before = call("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/containerGroups")[1]
deep = "[" * 100000
bad = [
    ("x", "{", "InvalidRequestContent"), ("x", "[]", "InvalidRequestContent"), ("x", deep, "InvalidRequestContent"),
    ("x", '{"a":1,"a":2}', "InvalidRequestContent"), ("x", {"location": "w"}, "MissingRequiredProperty"),
    ("x", group(osType="Mac"), "InvalidRequestContent"), ("x", group(ports=(0,)), "InvalidRequestContent"),
    ("X_y", group(), "InvalidContainerGroupName"), ("x", group(label="a"), "InvalidRequestContent"),
    ("x", group(label="aci-demo"), "DnsNameLabelUnavailable"), ("x", group(ports=(80, 80)), "DuplicatePort"),
    ("x", group(containers=[]), "InvalidRequestContent"),
    ("x", group(subnetIds=[{"id": "/subscriptions/other/x"}], ipAddress=private), "LinkedInvalidPropertyId"),
    ("x", group(networkProfile={"id": "x"}), "InvalidResourceReference"),
]
for name, body, code in bad:
    s, doc, _ = call("PUT", CG + name, body)
    ok(s == 400 and doc["error"]["code"] == code, f"refused: {code} {str(body)[:40]}", doc)
nets = [(["10.0.0.1/16"], "InvalidAddressPrefixFormat"), (["10.0.0.0/33"], "InvalidAddressPrefixFormat"),
        (["010.0.0.0/8"], "InvalidAddressPrefixFormat"), (["0.0.0.0/0"], "AddressPrefixNotAllowed"),
        (["169.254.0.0/16"], "AddressPrefixNotAllowed"), (["10.0.0.0/8", "10.1.0.0/16"], "AddressSpacePrefixesOverlap")]
for prefixes, code in nets:
    s, doc, _ = call("PUT", VNET + "x", {"properties": {"addressSpace": {"addressPrefixes": prefixes}}})
    ok(s == 400 and doc["error"]["code"] == code and doc["error"]["target"], f"refused: {prefixes}", doc)
ok(call("PUT", CG + "x", b"x" * (5 << 20))[0] in (413, 0), "a body of 5 MB is refused")
after = call("GET", f"/subscriptions/{SUB}/providers/Microsoft.ContainerInstance/containerGroups")[1]
ok(before["value"] and [g["id"] for g in before["value"]] == [g["id"] for g in after["value"]], "nothing was changed")

# callers
import ssl
ctx = ssl.create_default_context(cafile=os.environ["NETD_CA"])


def https(path, token):
    q = urllib.request.Request(os.environ["NETD_API"] + path, headers={"Authorization": "Bearer " + token})
    try:
        return urllib.request.urlopen(q, context=ctx, timeout=5).status
    except urllib.error.HTTPError as e:
        return e.code


token = os.environ["NETD_TOKEN"]
ok(https(CG + "web", token) == 200, "a token reads its own subscription")
ok(https(CG + "web", token + "x") == 401, "a wrong token is refused")
ok(https(CG.replace(SUB, "11111111-1111-1111-1111-111111111111") + "web", token) == 404, "a foreign one is not found")

# secrets
canary = "canary-7f3a"
call("PUT", CG + "s", group("s", containers=[{"name": "s", "properties": {"image": "x", "ports": [{"port": 80}],
     "environmentVariables": [{"name": "K", "secureValue": canary}], "resources": {"requests": {"cpu": 1, "memoryInGB": 1}}}}]))
ok(wait(lambda: state(CG + "s") == "Succeeded"), "a group with a secret succeeds")
ok(canary in json.dumps(rt.groups[(CG + "s").lower()]), "the runtime gets the secret")
ok(canary not in json.dumps(call("GET", CG + "s")[1]), "nobody reads it back")
stored = subprocess.run(["grep", "-rl", canary, os.environ["NETD_LAB"]], capture_output=True, text=True).stdout
ok(stored == "", "neither store nor log holds it", stored)



# ---- a runtime whose packets are too long
def answered(data, protocol):
    """What a caller of exec gets to see when the runtime sends that: bytes, and code and reason of the end."""
    def send(fd):
        with socket.socket(fileno=fd) as stream:
            stream.send(data)
            wait(lambda: stream.recv(1) == b"")
    rt.stream = lambda fd: threading.Thread(target=send, args=(fd,), daemon=True).start()
    doc = call("POST", CG + f"s/containers/{main}/exec", {"command": "sh"})[1]
    unix = socket.socket(socket.AF_UNIX)
    unix.settimeout(10)
    unix.connect(os.environ["NETD_LAB"] + "/node1/run/session.sock")
    w = websocket.create_connection("ws://localhost" + doc["webSocketUri"].split(":")[2], socket=unix, timeout=10,
                                    header=["Sec-WebSocket-Protocol: " + protocol] if protocol else [])
    w.send(doc["password"])
    got = w.recv_data()
    w.close()
    return w.handshake_response.headers.get("sec-websocket-protocol"), got


main = call("GET", CG + "s")[1]["properties"]["containers"][0]["name"]
r = answered(b"\0" + b"x" * 32768, None)
ok(r == (None, (websocket.ABNF.OPCODE_BINARY, b"x" * 32768)), "a packet of the longest there is", r)
r = answered(b"\0" + b"x" * 32769, None)
ok(r == (None, (websocket.ABNF.OPCODE_CLOSE, struct.pack(">H", 1011) + b"the runtime sent a packet that is too long")), "one more byte: the session ends and says why", r)
r = answered(b"\3\0\0\0\0", "other, exec.netd.v1")
ok(r == ("exec.netd.v1", (websocket.ABNF.OPCODE_BINARY, b"\3\0\0\0\0")), "the subprotocol, one of a list", r)
r = answered(b"\0y", "exec.netd.v10")
ok(r == (None, (websocket.ABNF.OPCODE_BINARY, b"y")), "none that only begins like it", r)

ok(call("DELETE", RG)[0] == 202, "the resource group is deleted")
ok(wait(lambda: call("GET", RG)[0] == 404), "and goes", call("GET", RG))
ok(dig(fqdn)[0] == "NXDOMAIN", "its name is gone", dig(fqdn))
ok(wait(lambda: namespaces() == []), "no namespace is left", namespaces())
links = subprocess.run(["ip", "-n", "node1", "-br", "link"], capture_output=True, text=True).stdout.split("\n")
ok(len([l for l in links if l]) == 3, "the host has lo, wan and netd0", links)
t.end()
