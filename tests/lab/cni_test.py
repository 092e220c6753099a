#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""CNI by the rules of its specification (1.1.0), each named: the plugin is called as a runtime calls it, in namespaces as runtimes
make them. What containerd and podman really send is in runtimes_test.py."""
import sys, threading
from plane import *

inside("node-cpu=0", "limit-groups=400")
from vnets import *
from cni import *

put(RG, {})
put(N + "networkSecurityGroups/nsg", {"properties": {"securityRules": [
    {"name": "web", "properties": {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*",
     "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ["80", "9000"]}}]}})
put(VNET + "net", {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00:1::/48"]}}})
subnet("net", "pods", ["10.0.1.0/24", "fd00:1::/64"])
subnet("net", "guarded", ["10.0.2.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/nsg"})
subnet("net", "small", ["10.0.3.0/29"])
PODS, GUARDED, SMALL = (VNET + "net/subnets/" + s for s in ("pods", "guarded", "small"))
base = conf(subnet=PODS)


def add(container, ns, c=base, **kw):
    rc, doc = plugin("ADD", c, container=container, netns=ns.path, **kw)
    return doc if rc == 0 else (ok(False, f"ADD {container}", doc) and None)


def delete(container, c=base, **kw):
    return plugin("DEL", c, container=container, **kw)


def code(r):
    return r[1]["code"] if r[0] and isinstance(r[1], dict) else (r[0], r[1])


def asked(ns, address, port, proto="tcp", seconds="1"):
    """The address that a server in SERVE saw; "" when none answered."""
    r = ns.run(sys.executable, "-c", ASK, proto, address, str(port), seconds) if ns else subprocess.run([sys.executable, "-c", ASK, proto, address, str(port), seconds], capture_output=True, text=True)
    return r.stdout.strip() if r.stdout.strip()[:1].isdigit() else ""


def groups():
    return {g["tags"]["cni.container"]: g for g in everything(RG + "/providers/Microsoft.ContainerInstance/containerGroups") if "cni.container" in g.get("tags", {})}


# ---- VERSION ----
r = plugin("VERSION", {"cniVersion": "1.0.0"}, container="", netns="dummy", ifname="dummy", env={"CNI_PATH": "dummy"})
ok(r[0] == 0 and r[1]["cniVersion"] == "1.0.0" and r[1]["supportedVersions"] == ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"],
   "VERSION as podman asks: no name, no container, dummies elsewhere", r)
ok(plugin("VERSION", None, raw=b"", container=None, ifname=None)[0] == 0, "VERSION without standard input")

# ---- ADD ----
n1 = Namespace()
doc = add("c1", n1)
ok(doc["cniVersion"] == "1.0.0" and doc["interfaces"] == [{"name": "eth0", "mac": doc["interfaces"][0]["mac"], "sandbox": n1.path}]
   and doc["ips"] == [{"address": "10.0.1.4/24", "gateway": "10.0.1.1", "interface": 0}, {"address": "fd00:1::4/64", "gateway": "fd00:1::1", "interface": 0}]
   and doc["routes"] == [{"dst": "0.0.0.0/0", "gw": "10.0.1.1"}, {"dst": "::/0", "gw": "fd00:1::1"}]
   and doc["dns"] == {"nameservers": ["168.63.129.16"], "search": ["internal.cloudapp.net"]}, "ADD: the result of a dual-stack subnet", doc)
ok(n1.addresses() == ["10.0.1.4/24", "fd00:1::4/64"], "the addresses are there, and no link-local one", n1.addresses())
ok(n1.run("ip", "-br", "link").stdout.count("eth0") == 1 and doc["interfaces"][0]["mac"] in n1.run("ip", "link").stdout, "so is the interface, with its MAC")
g = groups()["c1"]
ok(g["properties"]["provisioningState"] == "Succeeded" and g["name"].startswith("c1-") and g["tags"]["cni.network"] == "tenants", "the API shows it as a container group", g)
r = plugin("ADD", base, container="c1", netns=n1.path)
ok(code(r) == 101, "ADD of an attachment that is there is refused", r)
r = plugin("ADD", {**base, "name": "other"}, container="c1", netns=n1.path)
ok(code(r) == 101 and "c1" not in [g["tags"]["cni.container"] for g in groups().values() if g["tags"]["cni.network"] == "other"],
   "ADD must fail when the interface exists in the namespace; nothing is left of it", r)
r = plugin("ADD", {**base, "name": "other"}, container="c1", netns=n1.path, ifname="net1")
ok(code(r) == 7 and "defaultRoute" in r[1]["details"], "a second default route is refused, and how to do without it is said", r)
doc2 = add("c1", n1, {**conf("other", subnet=GUARDED), "defaultRoute": False}, ifname="net1")
ok(doc2["routes"] == [] and n1.addresses("net1") == [i["address"] for i in doc2["ips"]], "a second interface without one", doc2)
ok(n1.run("ip", "route").stdout.count("default") == 1 and "dev eth0" in n1.run("ip", "route", "get", "192.0.2.1").stdout, "the first one's stays")

# ---- it is ready when ADD returns ----
n2 = Namespace()
doc = add("c2", n2)
r = n2.run("ping", "-c1", "-W1", "10.0.1.4")
ok(r.returncode == 0, "the first packet after ADD gets there and back", r.stdout)
r = n1.run("ping", "-6", "-c1", "-W1", doc["ips"][1]["address"].split("/")[0])
ok(r.returncode == 0, "by IPv6 too", r.stdout)
name = groups()["c2"]["name"]
r = n1.run(sys.executable, "-c", f"import dns.message,dns.query; print([i.to_text() for a in dns.query.udp(dns.message.make_query('{name}.internal.cloudapp.net','A'),'168.63.129.16',timeout=2).answer for i in a])")
ok(doc["ips"][0]["address"].split("/")[0] in r.stdout, "its name resolves", (name, r.stdout, r.stderr[-200:]))
n3 = Namespace()
web = add("c3", n3, conf("guarded", subnet=GUARDED))["ips"][0]["address"].split("/")[0]
listener = subprocess.Popen(["nsenter", "--net=" + n3.path, sys.executable, "-c", SERVE, web, "80,81"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
listener.stdout.readline()
ok(asked(n2, web, 80) == doc["ips"][0]["address"].split("/")[0], "what the security group allows passes, from the caller's own address")
put(N + "networkSecurityGroups/nsg", {"properties": {"securityRules": [
    {"name": "none", "properties": {"priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
     "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "81"}}]}})
ok(asked(n2, web, 81) == "", "what it denies does not")

# ---- results by version ----
for v, has, mtu in (("0.3.0", True, False), ("0.3.1", True, False), ("0.4.0", True, False), ("1.0.0", False, False), ("1.1.0", False, True)):
    n = Namespace()
    c = conf("tenants", v, subnet=PODS)
    doc = add("v" + v.replace(".", ""), n, c)
    ok(doc["cniVersion"] == v and all(("version" in i) == has for i in doc["ips"]) and ("mtu" in doc["interfaces"][0]) == mtu, f"a result of version {v}", doc)
    if v in ("0.3.1", "0.4.0"):
        ok([i["version"] for i in doc["ips"]] == ["4", "6"], f"{v} tells the families")
    ok(delete("v" + v.replace(".", ""), c) == (0, None), f"and DEL of {v}")
    n.drop()
for v in ("0.1.0", "0.2.0", "2.0.0", "", None, 1):
    r = plugin("ADD", {**base, "cniVersion": v}, container="cx", netns=n2.path)
    ok(code(r) == 1 and "1.1.0" in r[1]["details"], f"cniVersion {v!r} is refused, and which are spoken is said", r)

# ---- prevResult of a chain ----
n = Namespace()
prev = {"cniVersion": "1.0.0", "interfaces": [{"name": "dummy0", "mac": "06:00:00:00:00:01", "sandbox": n.path}], "ips": [{"address": "192.168.7.2/24", "interface": 0}],
        "routes": [{"dst": "192.168.0.0/16"}], "dns": {"nameservers": ["192.168.7.1"], "search": ["corp"]}}
doc = add("chained", n, {**base, "prevResult": prev})
ok(doc["interfaces"][0] == prev["interfaces"][0] and doc["interfaces"][1]["name"] == "eth0" and doc["ips"][0] == prev["ips"][0] and doc["ips"][1]["interface"] == 1
   and doc["routes"][0] == prev["routes"][0] and doc["dns"]["nameservers"] == ["192.168.7.1"], "ADD passes the previous result on, its own after it", doc)
ok(plugin("CHECK", {**base, "prevResult": doc}, container="chained", netns=n.path) == (0, None), "CHECK of a chain")
delete("chained")
n.drop()

# ---- CHECK ----
now = add("check", n := Namespace())
checked = {**base, "prevResult": now}
ok(plugin("CHECK", checked, container="check", netns=n.path) == (0, None), "CHECK of what is as it was made")
r = plugin("CHECK", base, container="check", netns=n.path)
ok(code(r) == 7 and "prevResult" in r[1]["details"], "CHECK wants prevResult", r)
r = plugin("CHECK", checked, container="unknown", netns=n.path)
ok(code(r) == 3, "CHECK of what is unknown", r)
r = plugin("CHECK", {**base, "prevResult": {**now, "ips": []}}, container="check", netns=n.path)
ok(code(r) == 104 and "10.0.1." in r[1]["details"], "CHECK finds an address that prevResult lacks", r)
r = plugin("CHECK", checked, container="check", netns=n1.path)
ok(code(r) == 104, "CHECK in another namespace", r)
n.run("ip", "addr", "add", "192.168.9.9/32", "dev", "eth0")
n.run("ip", "route", "add", "192.168.10.0/24", "dev", "eth0")
ok(plugin("CHECK", checked, container="check", netns=n.path) == (0, None), "CHECK tolerates what later plugins add")
for what, command in (("address", "ip addr del %s dev eth0" % now["ips"][0]["address"]), ("route", "ip route del default"), ("link", "ip link set eth0 down")):
    m = Namespace()
    doc = add("lost-" + what, m)
    for _ in range(2):  # a round of the engine's may have put it right before it is asked for; the next is seconds later
        m.run(*command.replace(now["ips"][0]["address"], doc["ips"][0]["address"]).split())
        r = plugin("CHECK", {**base, "prevResult": doc}, container="lost-" + what, netns=m.path)
        if code(r) == 104:
            break
    ok(code(r) == 104 and ("missing" in r[1]["details"] or "changed" in r[1]["details"]), f"CHECK finds a lost {what}, and names it", r)
    delete("lost-" + what)
    m.drop()

# ---- DEL ----
ok(delete("check") == (0, None), "DEL")
ok(n.addresses() is None or wait(lambda: n.addresses() is None, 2), "and the interface is gone")
ok(delete("check") == (0, None) and delete("never") == (0, None), "DEL again, and of what never was, is success")
doc = add("again", n)
ok(delete("again") == (0, None) and add("again", n) is not None, "an interface may be made anew at once where it was just removed")
n.drop()
r = plugin("DEL", base, container="again", netns="/run/netns/gone")
ok(r == (0, None), "DEL when the namespace is gone", r)
n = Namespace()
add("bare", n)
r = plugin("DEL", base, container="bare", netns=None)
ok(r == (0, None) and "bare" not in groups(), "DEL without CNI_NETNS and without prevResult (containerd)", r)
add("changed", n)
r = plugin("DEL", {"cniVersion": "1.0.0", "name": "tenants", "type": "netd-cni", "socket": SOCKET, "prevResult": {"cniVersion": "1.0.0"}}, container="changed")
ok(r == (0, None) and "changed" not in groups(), "DEL by a configuration that has changed since, and an odd prevResult", r)
ok(plugin("DEL", {**base, "name": "nowhere"}, container="c1") == (0, None) and "c1" in groups(), "DEL in another network touches nothing")
n.drop()

# ---- DEL that never comes ----
n = Namespace()
doc = add("killed", n)
n.drop()
ok(wait(lambda: "killed" not in groups(), 5), "when a namespace ends, so does its attachment, without a DEL")
holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
wait(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
r = plugin("ADD", base, container="by-pid", netns=f"/proc/{holder.pid}/ns/net")
ok(r[0] == 0 and r[1]["interfaces"][0]["sandbox"] == f"/proc/{holder.pid}/ns/net", "a namespace that only a process has (ctr)", r)
holder.kill()
holder.wait()
ok(wait(lambda: "by-pid" not in groups(), 5), "and nothing of ours keeps it when the process ends")

# ---- environment, documents: a code, and what was wrong ----
n = Namespace()
for want, what, kw in (
        (4, "CNI_CONTAINERID", dict(container="")), (4, "CNI_CONTAINERID", dict(container="-x")), (4, "CNI_CONTAINERID", dict(container="a/b")),
        (4, "CNI_CONTAINERID", dict(container="a" * 201)), (4, "CNI_IFNAME", dict(ifname="")), (4, "CNI_IFNAME", dict(ifname="a" * 16)),
        (4, "CNI_IFNAME", dict(ifname="a/b")), (4, "CNI_IFNAME", dict(ifname="lo")), (4, "CNI_IFNAME", dict(ifname="a b")), (4, "CNI_NETNS", dict(netns="")),
        (4, "CNI_NETNS", dict(netns="/nowhere")), (4, "CNI_NETNS", dict(netns="/etc/passwd")), (4, "CNI_COMMAND", dict(command="FLY")),
        (4, "CNI_COMMAND", dict(command=None)), (4, "CNI_ARGS", dict(args="FOO=1")), (4, "CNI_ARGS", dict(args="FOO")),
        (6, "line 1", dict(raw=f'{{"socket": "{SOCKET}", nonsense'.encode())), (6, "", dict(raw=f'{{"socket": "{SOCKET}",'.encode())),
        (6, "duplicate", dict(raw=f'{{"socket": "{SOCKET}", "a": 1, "a": 2}}'.encode())),
        (7, "name", dict(document={**base, "name": ""})), (7, "name", dict(document={**base, "name": "a b"})),
        (7, "subscription", dict(document={k: v for k, v in base.items() if k != "subscription"})), (7, "alow", dict(document={**base, "alow": ["ips"]})),
        (7, "allow", dict(document={**base, "allow": ["everything"]})), (7, "allow", dict(document={**base, "allow": "ips"})), (7, "subnet", dict(document={**base, "subnet": "pods"})),
        (7, "not", dict(document={**base, "subnet": VNET + "net/subnets/nowhere"})), (7, "publicIP", dict(document={**base, "publicIP": "yes"})),
        (7, "ports", dict(document={**base, "ports": [{"port": 70000}]})), (7, "networkSecurityGroup", dict(document={**base, "networkSecurityGroup": N + "networkSecurityGroups/nsg"})),
        (7, "label", dict(document={**base, "label": "x"})), (2, "ipRanges", dict(document={**base, "runtimeConfig": {"ipRanges": [[{"subnet": "10.0.0.0/8"}]]}}))):
    kw = {"command": "ADD", "document": base, "container": "bad", "netns": n.path, **kw}
    r = plugin(**kw)
    ok(code(r) == want and what in r[1]["details"], f"code {want} names {what or 'the fault'}: { {k: v for k, v in kw.items() if k not in ('document', 'command')} if kw['document'] is base else 'document' }"[:110], r)
ok("bad" not in groups() and n.addresses() is None, "and nothing came of any")
r = plugin("ADD", base, container="host", netns="/run/netns/node1")
ok(code(r) != 0 and "host's network namespace" in r[1]["details"], "the host's own namespace is refused", r)
inner = NS + "/"
for own in ["gw"] + namespaces()[:1]:
    r = plugin("ADD", base, container="own", netns=inner + own)
    ok(code(r) != 0 and "netd's own" in r[1]["details"], f"so is one of the plane's ({own[0]})", r)
ok(add("args", n, args="IgnoreUnknown=1;K8S_POD_NAME=Web_Server;K8S_POD_NAMESPACE=default;X=1") and groups()["args"]["name"].startswith("web-server-"),
   "unknown arguments are passed over when asked to; a pod's name is its group's")
delete("args")
long = conf("n" * 2000, subnet=PODS)
for c, ns in (("long1", n), ("long2", n2)):
    add(c, ns, {**long, "defaultRoute": False}, ifname="net9", args="IgnoreUnknown=1;K8S_POD_NAME=web")
names = {groups()[c]["name"] for c in ("long1", "long2")}
ok(len(names) == 2 and all(x.startswith("web-") and len(x) <= 63 for x in names), "however long a network's name is, each container has its own group", names)
for c in ("long1", "long2"):
    delete(c, long, ifname="net9")
left = "".join(x.run("ip", *v, "route").stdout for x in (n, n2) for v in ((), ("-6",)))
ok("net9" not in left, "nothing is sent by a link that DEL left for a moment", left)
ok(wait(lambda: not any("net9" in x.run("ip", "link").stdout for x in (n, n2)), 2), "links of a namespace that lives on go soon")

# ---- what a container may choose ----
choices = {"bandwidth": dict(rc={"bandwidth": {"ingressRate": 8000000, "ingressBurst": 8000000}}), "ips": dict(args="IP=10.0.1.77"), "mac": dict(args="MAC=06:00:00:00:00:77"), "portMappings": dict(rc={"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}),
         "dns": dict(rc={"dns": {"servers": ["10.0.0.1"], "nameservers": ["10.0.0.1"]}}), "publicIP": dict(own={"publicIP": True}), "label": dict(own={"label": "x"}),
         "subnet": dict(own={"subnet": GUARDED}), "applicationSecurityGroups": dict(own={"applicationSecurityGroups": []}), "pool": dict(own={"pool": N + "publicIPPrefixes/x"}),
         "ports": dict(own={"ports": [{"port": 80}]})}
for what, how in choices.items():
    c = {**base, "runtimeConfig": how.get("rc", {}), "args": {"netd": how.get("own", {})}}
    r = plugin("ADD", c, container="chooser", netns=n.path, args=how.get("args"))
    ok(code(r) == 7 and r[1]["details"].startswith(what + ":") and "allow" in r[1]["details"], f"{what}: not without the network's leave", r)
for what in ("subscription", "resourceGroup", "runtime", "networkSecurityGroup", "allow"):
    r = plugin("ADD", {**base, "allow": list(choices), "args": {"netd": {what: "x"}}}, container="chooser", netns=n.path)
    ok(code(r) == 7 and what in r[1]["details"], f"{what} is never a container's to choose", r)
free = {**base, "allow": list(choices)}
doc = add("chooser", n, {**free, "args": {"cni": {"ips": ["fd00:1::77/64"]}}}, args="IgnoreUnknown=1;IP=10.0.1.77;MAC=06:00:00:00:00:77")
ok([i["address"] for i in doc["ips"]] == ["10.0.1.77/24", "fd00:1::77/64"] and doc["interfaces"][0]["mac"] == "06:00:00:00:00:77" and n.addresses() == ["10.0.1.77/24", "fd00:1::77/64"],
   "with it: addresses and MAC by CNI_ARGS (podman) and args.cni", doc)
ok(n.run("ping", "-c1", "-W1", "10.0.1.4").returncode == 0, "and they work")
m = Namespace()
r = plugin("ADD", free, container="twin", netns=m.path, args="IP=10.0.1.77")
ok(code(r) == 103 and "10.0.1.77" in r[1]["details"], "an address is nobody else's", r)
r = plugin("ADD", free, container="twin", netns=m.path, args="MAC=06:00:00:00:00:77")
ok(code(r) == 103, "nor is a MAC, in a virtual network", r)
for mac in ("02:00:00:00:00:12", "12:34:56:78:9a:bc", "01:00:5e:00:00:01", "00:00:00:00:00:00", "6:0:0:0:0:1"):
    ok(code(plugin("ADD", free, container="twin", netns=m.path, args="MAC=" + mac)) == 7, f"MAC {mac} is refused")
r = plugin("ADD", {**free, "runtimeConfig": {"ips": ["10.9.9.9/24"]}}, container="twin", netns=m.path)
ok(code(r) in (7, 103) and "10.9.9.9" in r[1]["details"], "an address outside the subnet", r)
delete("chooser")

# ---- public addresses, published ports ----
def serve(ns, address, port):
    p = subprocess.Popen(["nsenter", "--net=" + ns.path, sys.executable, "-c", SERVE, address, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    return p


def fetch(address, port, proto="tcp"):
    return asked(None, address, port, proto)


def public(container):
    return call("GET", CG + groups()[container]["name"])[1]["netd"].get("publicAddress")


maps = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}, {"hostPort": 9053, "containerPort": 53, "protocol": "udp", "hostIP": "0.0.0.0"},
                         {"hostPort": 0, "containerPort": 99, "protocol": "tcp"}]}
doc = add("pub", n, {**free, "publicIP": True, "runtimeConfig": maps})
p1, p2 = serve(n, "0.0.0.0", 80), serve(n, "0.0.0.0", 53)
at = public("pub")
ok(at and fetch(at, 8080) == "192.0.2.1", "a published port of a public address leads to the container's, which sees the client", at)
ok(fetch(at, 9053, "udp") == "192.0.2.1", "so does one of UDP")
ok(fetch(at, 80) == "" and fetch(at, 99) == "", "no other is open")
r = plugin("ADD", {**free, "publicIP": True, "label": "webshop", "ports": [{"port": 80}]}, container="named", netns=m.path)
ok(r[0] == 0 and dig("webshop.westeurope.azurecontainer.io") == ("NOERROR", [public("named")]), "a label is a public name when ADD returns", r)
delete("named", free)
ok(dig("webshop.westeurope.azurecontainer.io")[0] == "NXDOMAIN", "and gone when DEL does")
for p in (p1, p2):
    p.kill()
delete("pub")
doc = add("shared-1", n, {**free, "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "tcp"}]}})
p1 = serve(n, "0.0.0.0", 80)
srv = socket.create_server(("192.0.2.1", 7070))
threading.Thread(target=lambda: [(lambda c, a: (c.sendall(a[0].encode()), c.close()))(*srv.accept()) for _ in range(2)], daemon=True).start()
egress = n.run(sys.executable, "-c", "import socket; s=socket.create_connection(('192.0.2.1', 7070), 2); print(s.recv(100).decode())").stdout.strip()
ok(egress and fetch(egress, 8081) == "192.0.2.1", "without a public address, ports are published at the one that the VNet's groups share", egress)
r = plugin("ADD", {**free, "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 81, "protocol": "tcp"}]}}, container="shared-2", netns=m.path)
ok(code(r) == 103 and "8081" in r[1]["details"], "where each port is one container's", r)
r = plugin("ADD", {**free, "runtimeConfig": {"portMappings": [{"hostPort": 8081, "containerPort": 80, "protocol": "udp"}, {"hostPort": 8082, "containerPort": 80, "protocol": "tcp"}]}}, container="shared-2", netns=m.path)
ok(r[0] == 0, "another protocol, another port", r)
delete("shared-1")
p1.kill()
ok(fetch(egress, 8081) == "", "a port is closed when its container is gone")
delete("shared-2")
for bad in ({"hostPort": 70000, "containerPort": 80}, {"hostPort": 80, "containerPort": 0}, {"hostPort": 80, "containerPort": 80, "protocol": "sctp"},
            {"hostPort": 80, "containerPort": 80, "hostIP": "127.0.0.1"}):
    r = plugin("ADD", {**free, "runtimeConfig": {"portMappings": [bad]}}, container="bad", netns=m.path)
    ok(code(r) == 7 and "portMappings[0]" in r[1]["details"], f"a mapping that cannot be: {bad}", r)
put(N + "publicIPPrefixes/pool", {"sku": {"name": "Standard"}, "properties": {"prefixLength": 31}})
block = call("GET", N + "publicIPPrefixes/pool")[1]["properties"]["ipPrefix"]
for c, ns in (("pool-1", n), ("pool-2", m)):
    add(c, ns, {**base, "pool": N + "publicIPPrefixes/pool"})
import ipaddress
ok(sorted(public(c) for c in ("pool-1", "pool-2")) == [str(i) for i in ipaddress.ip_network(block)], "addresses of a pool", (block, public("pool-1")))
k = Namespace()
r = plugin("ADD", {**base, "pool": N + "publicIPPrefixes/pool"}, container="pool-3", netns=k.path)
ok(code(r) == 102, "which has an end", r)
s, doc, _ = call("DELETE", N + "publicIPPrefixes/pool")
ok(s == 400, "and is not deleted while it is used", (s, doc))
for c in ("pool-1", "pool-2"):
    delete(c)
ok(call("DELETE", N + "publicIPPrefixes/pool")[0] in (200, 202, 204), "but afterwards")

# ---- bandwidth ----
def speed(ns, to, *more):
    """Bit/s to a server of its own: one that has served before may go on being busy with a test that ended."""
    server = subprocess.Popen(["nsenter", "--net=" + m.path, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    wait(lambda: m.run("sh", "-c", "ss -ltn | grep -q :5201").returncode == 0)
    r = ns.run("iperf3", "-c", to, "-t", "3", "-O", "1", "-J", *more, seconds=30)
    server.kill()
    server.wait()
    try:
        return float(json.loads(r.stdout)["end"]["sum_received"]["bits_per_second"])
    except (ValueError, KeyError):
        return r.stdout[-300:] + r.stderr


def near(got, want):
    return isinstance(got, float) and 0.7 * want <= got <= 1.15 * want


add("peer", m)
peer = groups()["peer"]
there = call("GET", CG + peer["name"])[1]["netd"]["address"]
add("limited", n, {**free, "runtimeConfig": {"bandwidth": {"ingressRate": 40000000, "ingressBurst": 2000000, "egressRate": 20000000, "egressBurst": 2000000}}})
ok(call("GET", CG + groups()["limited"]["name"])[1]["properties"]["bandwidth"]["egressRate"] == 20000000, "limits are seen in the group")
for what, want, more in (("sends", 20e6, ()), ("gets", 40e6, ("-R",)), ("sends by UDP", 20e6, ("-u", "-b", "100M")), ("gets by UDP", 40e6, ("-u", "-b", "200M", "-R"))):
    got = speed(n, there, *more)
    ok(near(got, want), f"what a container {what} is held to {want / 1e6:.0f} Mbit/s", got)
was = role_pid("engine")
os.kill(was, 9)
ok(near(speed(n, there), 20e6), "also while the engine is killed and comes back")
wait(lambda: plugin("STATUS", base) == (0, None))
router = NS + "/" + [x for x in os.listdir(NS) if x[0] == "v"][0]
port = json.loads(n.run("ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["link_index"]
inside_router = lambda c: subprocess.run(["nsenter", "--net=" + router, "sh", "-c", c], capture_output=True, text=True).stdout
held = lambda: (inside_router(f"tc qdisc show dev p{port}; tc qdisc show dev i{port}").count("tbf"), inside_router(f"tc filter show dev p{port} ingress").count("mirred"))
ok(wait(lambda: held() == (2, 1)), "a bucket each way, and a filter", (port, held()))
for what, command in (("filter", f"tc qdisc del dev p{port} clsact"), ("bucket of what it gets", f"tc qdisc del dev p{port} root"), ("device", f"ip link del i{port}"),
                      ("rate", f"tc qdisc replace dev i{port} root tbf rate 900mbit burst 1mb limit 2mb")):
    inside_router(command)
    ok(wait(lambda: held() == (2, 1) and "900Mbit" not in inside_router(f"tc qdisc show dev i{port}"), 5), f"a stranger spoils the {what}: it is put right", held())
ok(near(speed(n, there), 20e6), "and holds")
delete("limited")
ok(wait(lambda: inside_router(f"ip -br link show dev i{port}") == "", 5), "nothing is left of it")
add("free", n)
got = speed(n, there)
ok(isinstance(got, float) and got > 200e6, "a container without limits has none", got)
for c in ("free", "peer"):
    delete(c)
for bad in ({"ingressRate": 1}, {"egressRate": -1}, {"ingressRate": 10**12}, {"speed": 1}, {"egressRate": "fast"}):
    r = plugin("ADD", {**base, "bandwidth": bad}, container="bad", netns=n.path)
    ok(code(r) == 7 and "bandwidth" in r[1]["details"], f"a limit that cannot be: {bad}", r)

# ---- GC ----
spaces = [Namespace() for _ in range(4)]
for i, ns in enumerate(spaces[:3]):
    add(f"gc-{i}", ns)
add("gc-3", spaces[3], conf("elsewhere", subnet=PODS))
add("gc-r", k, conf(subnet=PODS, runtime="podman"))
keep = [{"containerID": c, "ifname": "eth0"} for c in groups() if c not in ("gc-1", "gc-3", "gc-r")]
r = plugin("GC", {**base}, container=None, ifname=None)
ok(code(r) == 7 and "gc-1" in groups(), "GC without a list removes nothing", r)
r = plugin("GC", {**base, "cni.dev/valid-attachments": keep}, container=None, ifname=None)
left = groups()
ok(r == (0, None) and "gc-1" not in left and "gc-0" in left and "gc-2" in left, "GC removes what the runtime does not know of", (r, sorted(left)))
ok("gc-3" in left and "gc-r" in left, "but nothing of another network or runtime")
ok(plugin("GC", {**base, "cni.dev/valid-attachments": keep}, container=None, ifname=None) == (0, None), "GC again")
keep = [{"containerID": c, "ifname": "eth1"} for c in groups()]
plugin("GC", {**conf("elsewhere"), "cni.dev/valid-attachments": keep}, container=None, ifname=None)
ok("gc-3" not in groups(), "an attachment is a container and an interface")
for c in ("gc-0", "gc-2"):
    delete(c)
delete("gc-r", conf(runtime="podman"))

# ---- STATUS ----
ok(plugin("STATUS", base, container=None, netns=None, ifname=None) == (0, None), "STATUS")
small = conf("small", subnet=SMALL)
three = [Namespace() for _ in range(3)]
for i, ns in enumerate(three):
    add(f"s{i}", ns, small)
r = plugin("STATUS", small)
ok(code(r) == 50 and "no address left" in r[1]["details"], "STATUS 50 when a subnet is full", r)
r = plugin("ADD", small, container="s3", netns=m.path)
ok(code(r) == 102, "and ADD says so", r)
for i in range(3):
    delete(f"s{i}", small)
ok(plugin("STATUS", small) == (0, None), "STATUS again when there is room")
r = plugin("STATUS", {**base, "socket": "/nowhere/cni.sock"})
ok(code(r) == 50 and "/nowhere/cni.sock" in r[1]["details"], "STATUS 50 when netd does not answer", r)
r = plugin("ADD", {**base, "socket": "/nowhere/cni.sock"}, netns=m.path)
ok(code(r) == 11, "other calls are to be tried again then", r)

# ---- the API's side ----
path = CG + groups()["c2"]["name"]
s, doc, _ = call("PUT", path, group("x"))
ok(s == 409 and doc["error"]["code"] == "ContainerGroupOfRuntime", "its group cannot be put", doc)
for a in ("start", "stop", "restart"):
    ok(call("POST", path + "/" + a)[0] == 409, f"nor {a}ed")
ok(call("PATCH", path, {"tags": {"cni.container": "c2", "k": "v"}})[0] == 200 and "k" in groups()["c2"]["tags"], "its tags can")
ok(call("DELETE", path)[0] in (200, 202, 204) and wait(lambda: n2.addresses() is None, 5), "an administrator may take it off the network")
ok(delete("c2") == (0, None), "the runtime's DEL is success all the same")

# ---- roles that end ----
for role in ("control", "engine", "dns"):
    ns = Namespace()
    doc = add("over-" + role, ns)
    was = role_pid(role)
    os.kill(was, 9)
    wait(lambda: role_pid(role) not in (None, was))
    ok(wait(lambda: plugin("STATUS", base) == (0, None), 10), f"{role} is killed and back")
    ok(ns.run("ping", "-c1", "-W1", "10.0.1.4").returncode == 0, "its attachments are as they were")
    r = plugin("CHECK", {**base, "prevResult": doc}, container="over-" + role, netns=ns.path)
    ok(r == (0, None), "CHECK agrees", r)
    ok(code(plugin("ADD", base, container="over-" + role, netns=ns.path)) == 101, "they are remembered")
    ok(delete("over-" + role) == (0, None) and wait(lambda: ns.addresses() is None, 2), "and DEL takes them away")
    ns.drop()
ns = Namespace()
add("while", ns)
was = role_pid("control")
os.kill(was, 19)
ns.drop()
time.sleep(0.3)
os.kill(was, 9)
wait(lambda: role_pid("control") not in (None, was))
ok(wait(lambda: "while" not in groups(), 10), "a namespace that ended while control was away is noticed")
ns = Namespace()
add("both", ns)
pids = [role_pid(r) for r in ("engine", "control")]
for p in pids:
    os.kill(p, 19)
ns.drop()
time.sleep(0.3)
for p in pids:
    os.kill(p, 9)
ok(wait(lambda: "both" not in groups(), 10), "also when the engine was away too")

# ---- many at once ----
rounds, failures, addresses = (20 if os.environ.get("LONG") == "1" else 4), [], []


def worker(w):
    try:
        ns = Namespace(f"many-{w}")
        for i in range(rounds):
            r = plugin("ADD", base, container=f"many-{w}-{i}", netns=ns.path)
            if r[0]:
                failures.append(r)
                continue
            addresses.append(r[1]["ips"][0]["address"])
            r = plugin("DEL", base, container=f"many-{w}-{i}", netns=ns.path)
            if r[0]:
                failures.append(r)
        ns.drop()
    except Exception as e:
        failures.append(repr(e))


threads = [threading.Thread(target=worker, args=(w,)) for w in range(16)]
for th in threads:
    th.start()
for th in threads:
    th.join()
ok(not failures and len(addresses) == 16 * rounds, f"{16 * rounds} containers, 16 at a time: no failure", failures[:2])
alive, held = [Namespace(f"held-{i}") for i in range(32)], []
threads = [threading.Thread(target=lambda i=i: held.append(plugin("ADD", base, container=f"held-{i}", netns=alive[i].path))) for i in range(32)]
for th in threads:
    th.start()
for th in threads:
    th.join()
got = [r[1]["ips"][0]["address"] for r in held if r[0] == 0]
ok(len(got) == 32 and len(set(got)) == 32, "no address is given twice", held[:2])
for ns in alive:
    ns.drop()
ok(wait(lambda: not any(c.startswith("held-") for c in groups()), 15), "all are gone with their namespaces")
listener.kill()
listener.wait()
attached = lambda: everything(RG + "/providers/Microsoft.ContainerInstance/containerGroups")
for g in attached():
    call("DELETE", g["id"])
ok(wait(lambda: not attached(), 15), "all are deleted")
call("DELETE", VNET + "net")
links = lambda: subprocess.run(["nsenter", "--net=" + inner + "gw", "ip", "-br", "link"], capture_output=True, text=True).stdout
ok("up0" in links() and wait(lambda: "\nv" not in "\n" + links(), 20), "and no router outlives its VNet", links())
t.end()
