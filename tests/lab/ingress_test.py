#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public addresses by every node's uplink: whoever of them a packet reaches, it comes to the group; answers leave from where the group is."""
import signal
from balancers import *

at, env = peers_all("bird2")  # before the lab, which has no network
peers_all("frr")
inside("withdraw-after=6", "pool=routed 203.0.113.0/24", "pool=routed 2001:db8:1::/64", "pool=onlink 192.0.2.64/26", nodes=3, uplinks=True)
LAB = os.environ["NETD_LAB"]


def net(*words):
    return subprocess.run(["ip", "-n", "internet", *words], check=True)


def by(node, ip):
    """The internet sends the address to that node."""
    six = ["-6"] if ":" in ip else []
    if node == 1:
        net(*six, "route", "replace", ip, "via", "2001:db8::2" if six else "192.0.2.2")
    else:
        net(*six, "route", "replace", ip, "via", f"2001:db8:88{node}::2" if six else f"192.88.{node}.2")


def counted(dev, way):
    out = subprocess.run(["ip", "netns", "exec", "internet", "cat", f"/sys/class/net/{dev}/statistics/{way}_packets"], capture_output=True, text=True).stdout
    return int(out or 0)



call("PUT", RG, {"location": "westeurope"})
rts = [Runtime(serve=True, node=k) for k in (1, 2, 3)]
where = {}
for k in (1, 2, 3):  # a subscription's groups are on one node: take it along
    sub = f"00000000-0000-0000-0000-00000000000{k + 3}"
    rg = f"/subscriptions/{sub}/resourceGroups/demo"
    call("PUT", rg, {"location": "westeurope"})
    for j in (1, 2, 3):
        if j != k:
            call("POST", f"/netd/nodes/node{j}/cordon")
    path = rg + "/providers/Microsoft.ContainerInstance/containerGroups/web"
    ok(call("PUT", path, group(f"web{k}"))[0] == 201, f"a group for node{k}")
    for j in (1, 2, 3):
        call("POST", f"/netd/nodes/node{j}/uncordon")
    ok(wait(lambda: state(path) == "Succeeded"), "runs")
    doc = call("GET", path)[1]
    ok(doc["netd"]["node"] == f"node{k}", "there", doc["netd"])
    where[k] = (path, doc["properties"]["ipAddress"]["ip"], doc["netd"]["namespace"])

for home in (1, 2, 3):
    path, ip, ns = where[home]
    for entry in (1, 2, 3):
        by(entry, ip)
        ok(wait(lambda: page(ip), 3) == ("192.0.2.1" if entry == 1 else f"192.88.{entry}.1"), f"a group on node{home} is reached by node{entry}, and sees the client's address", page(ip))
    by(1 if home != 1 else 2, ip)
    was = {k: counted("net1" if k == 1 else f"net{k}", "rx") for k in (1, 2, 3)}
    for _ in range(20):
        page(ip)
    came = {k: counted("net1" if k == 1 else f"net{k}", "rx") - was[k] for k in (1, 2, 3)}
    ok(came[home] > 60 and all(came[k] < 30 for k in came if k != home), "answers leave by its own node's uplink, not by the one that it came in by", came)
    by(home, ip)

# ---- groups of different nodes by their public addresses
for a in (1, 2, 3):
    for b in (1, 2, 3):
        ok(inns(where[a][2], f"curl -s -m 2 http://{where[b][1]}/") == where[a][1], f"from node{a} to node{b} by public addresses")

# ---- who is asked for an address on the link
out = subprocess.run(["ip", "netns", "exec", "internet", "arping", "-c", "1", "-w", "2", "-I", "net2", where[2][1]], capture_output=True, text=True).stdout if where[2][1].startswith("192.0.2.") else "0 response(s)"
ok("Received 1" not in out, "node2 answers nobody for an address of the first node's link")

# ---- sources that are not its own do not leave
text = inns(f"{LAB}/node2/run/ns/gw", "nft list chain inet netd guard")
ok("to a VNet here" in text and "from a node that has an uplink" not in text, "a gateway with an uplink takes from other nodes what is for VNets here, and what their VNets may send", text)
text = inns(f"{LAB}/node2/run/ns/gw", "nft list set inet netd source4")
ok(f'"vx3" . {where[1][1]}' in text and f'"vx3" . {where[3][1]}' in text and f'"vx3" . {where[2][1]}' not in text, "by address", text)

# ---- a node that gets its uplink later: what is there already comes in by it too, balancers as well as groups
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.9.0.0/16"]}}})
subnet("v", "s", ["10.9.1.0/24"])
for j in (2, 3):
    call("POST", f"/netd/nodes/node{j}/cordon")
m = member("m", "v", "s")
for j in (2, 3):
    call("POST", f"/netd/nodes/node{j}/uncordon")
front = public("front")
call("PUT", LB + "lb", balancer("lb", {"f": "front"}, [pool(members=[m[1]])], [rule("lb", "http")], [probe()]))
ok(wait(lambda: page(front), 10), "a load balancer serves")
file = f"{LAB}/node3.conf"
text = open(file).read()
ways = lambda: inns(f"{LAB}/node3/run/ns/gw", "ip route")
for what, conf in (("without", "".join(l + "\n" for l in text.split("\n") if not l.startswith(("uplink", "next-hop")))), ("with", text)):
    open(file, "w").write(conf)
    os.kill(int(open(f"{LAB}/netd3.pid").read()), signal.SIGTERM)
    ok(wait(lambda: [x in ways() for x in (front, where[1][1])] == [what == "with"] * 2 and call("GET", "/netd/nodes/node3")[1]["state"] == "Ready", 20), f"node3 {what} an uplink: it has a way to each address, or to none", ways())
by(3, front)
ok(wait(lambda: page(front), 5), "the load balancer is reached by it")
for x in (LB + "lb", CG + "m"):
    call("DELETE", x)

# ---- announced by BGP, by BIRD of Debian on node2, FRR on node3: the internet shares flows between those that announce
birds = {}


def frr(k):
    """zebra and bgpd there; they want users and folders that the machine does not have."""
    home = f"{LAB}/frr{k}"
    os.makedirs(home, exist_ok=True)
    for file in ("passwd", "group"):
        more = "frr:x:70100:70100::/:/bin/false\n" if file == "passwd" else "frr:x:70100:\nfrrvty:x:70101:frr,root\n"
        open(f"{home}/{file}", "w").write(open("/etc/" + file).read() + more)
    open(home + "/zebra.conf", "w").write("hostname zebra\n")
    open(home + "/bgpd.conf", "w").write(f"""hostname bgpd
route-map pools permit 10
 match interface netd0
 set origin igp
exit
router bgp 6500{k}
 bgp router-id 192.88.{k}.2
 no bgp ebgp-requires-policy
 timers bgp 1 3
 neighbor 192.88.{k}.1 remote-as 65000
 neighbor 192.88.{k}.1 timers connect 1
 neighbor 192.88.{k}.1 advertisement-interval 0
 address-family ipv4 unicast
  redistribute kernel route-map pools
 exit-address-family
""")
    for name in ("zebra", "bgpd"):
        run = (f"mount -t tmpfs frr /var/tmp && mount --bind {home}/passwd /etc/passwd && mount --bind {home}/group /etc/group && exec nsenter --net=/run/netns/node{k} {at}/usr/lib/frr/{name} "
               f"-f {home}/{name}.conf -i {home}/{name}.pid -z {home}/zserv.api --vty_socket {home} -A 127.0.0.1 -P 0 --log file:{home}/{name}.log -u root -g root")
        birds[f"{name}{k}"] = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", run], env={**env, "LD_LIBRARY_PATH": env["LD_LIBRARY_PATH"] + f":{at}/usr/lib/x86_64-linux-gnu/frr"}, stderr=open(f"{home}/{name}.err", "w"))
        wait(lambda: os.path.exists(f"{home}/{name}.vty"), 10)


def bird(where, name, text):
    open(f"{LAB}/bird-{name}.conf", "w").write("log stderr all;\nprotocol device { scan time 1; }\n" + text)
    return subprocess.Popen(["nsenter", "--net=/run/netns/" + where, at + "/usr/sbin/bird", "-f", "-c", f"{LAB}/bird-{name}.conf", "-s", f"{LAB}/bird-{name}.ctl"],
                            env=env, stderr=open(f"{LAB}/bird-{name}.log", "w"))


def next_hops():
    out = subprocess.run(["ip", "-n", "internet", "-j", "route", "show", "203.0.113.0/24"], capture_output=True, text=True).stdout
    r = json.loads(out or "[]")
    return {h["gateway"] for x in r for h in x.get("nexthops", [x])}


for k in where:
    for ip in (where[k][1],):
        net("route", "flush", ip)
net("route", "flush", "203.0.113.0/24")
subprocess.run(["ip", "netns", "exec", "internet", "sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1"])
k = 2
birds[k] = bird(f"node{k}", f"node{k}", f"""router id 192.88.{k}.2;
protocol kernel {{ learn; scan time 1; ipv4 {{ import where ifname = "netd0"; export none; }}; }}
protocol bgp {{ local 192.88.{k}.2 as 6500{k}; neighbor 192.88.{k}.1 as 65000; hold time 3; connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 {{ import none; export where ifname = "netd0"; }}; }}
""")
frr(3)
bird("internet", "internet", "router id 192.0.2.1;\nprotocol kernel { merge paths on; ipv4 { import none; export all; }; }\n" + "".join(
    f"protocol bgp n{k} {{ local 192.88.{k}.1 as 65000; neighbor 192.88.{k}.2 as 6500{k}; hold time 3; connect delay time 1; connect retry time 1; error wait time 1, 2; ipv4 {{ import all; export none; }}; }}\n" for k in (2, 3)))
both = {"192.88.2.2", "192.88.3.2"}
ok(wait(lambda: next_hops() == both, 20), "both nodes announce the pool", (next_hops(), open(f"{LAB}/bird-internet.log").read()[-600:]))
pub = next((where[k][1] for k in where if where[k][1].startswith("203.0.113.")), None)
target = where[1]
if not pub:  # the pool on the link is what groups got: one more of the routed one
    path, pub, _ = target
    net("route", "replace", pub, "nexthop", "via", "192.88.2.2", "nexthop", "via", "192.88.3.2")
bad, stop, total = [], threading.Event(), [0]


def load():
    while not stop.is_set():
        total[0] += 1
        if page(pub) is None:
            bad.append(time.time())
        time.sleep(0.005)


w = threading.Thread(target=load, daemon=True)
w.start()
time.sleep(1)
ok(total[0] > 50 and not bad, f"flows over both ({total[0]})", len(bad))
s, doc, _ = call("POST", "/netd/nodes/node3/drain")
ok(s == 204 and wait(lambda: next_hops() == {"192.88.2.2"}, 10), "a node that is drained announces nothing any more", (s, doc, next_hops()))
time.sleep(0.5)
before = len(bad)
ok(not bad, "and no request failed", len(bad))
call("POST", "/netd/nodes/node3/uncordon")
ok(wait(lambda: next_hops() == both, 15), "until it is uncordoned", next_hops())
control = [int(p) for p in os.listdir("/proc") if p.isdigit() and b"--role\0control" in cmdline(p) and b"/node3.conf" in cmdline(p)][0]
subprocess.run(["nsenter", "--net=/run/netns/node3", "nft", "add table inet cut; add chain inet cut o { type filter hook output priority 0; }; add rule inet cut o tcp dport 8446 drop"], check=True)
began = time.time()
ok(wait(lambda: next_hops() == {"192.88.2.2"}, 15), "one that does not reach the plane withdraws by itself, where that is wanted", next_hops())
print(f"# withdrawn after {time.time() - began:.1f} s")
subprocess.run(["nsenter", "--net=/run/netns/node3", "nft", "delete table inet cut"], check=True)
ok(wait(lambda: next_hops() == both, 20), "and is back with it", next_hops())
stop.set()
w.join()
ok(not bad, f"0 of {total[0]} requests failed: what came in by a node that was cut off reached its group", len(bad))
birds[2].kill()
ok(wait(lambda: next_hops() == {"192.88.3.2"}, 10), "a node that is gone is left out by BGP itself", next_hops())

# ---- all goes
for k in where:
    call("DELETE", where[k][0])
ok(wait(lambda: all(os.listdir(f"{LAB}/node{k}/run/ns") == ["gw"] for k in where), 10), "all of it goes", [os.listdir(f"{LAB}/node{k}/run/ns") for k in where])
ok(wait(lambda: "elements" not in inns(f"{LAB}/node2/run/ns/gw", "nft list set inet netd source4")), "ways too")
t.end()
