#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tenant's root can do on the wire, and what comes of it: the data plane's part of the attack
catalogue. Each attack asserts the counter that dropped it, and that the victim saw nothing."""
import re, sys
from plane import *

inside()
t = Tap()
ok = t.ok
N = RG + "/providers/Microsoft.Network/"
ACI = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]
rt = Runtime()
call("PUT", RG, {"location": "westeurope"})
for v in ("mine", "other"):  # the same prefixes twice
    call("PUT", VNET + v, {"location": "w", "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16", "fd00:1::/48"]}, "subnets": [
        {"name": "s", "properties": {"addressPrefixes": ["10.1.1.0/24", "fd00:1:0:1::/64"], "delegations": ACI}}]}})
places = {}
for name, v in (("a", "mine"), ("v", "mine"), ("w", "other"), ("x", "other")):
    g = group(name)
    g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + v + "/subnets/s"}])
    call("PUT", CG + name, g)
for name in "avwx":
    wait(lambda: call("GET", CG + name)[1]["properties"]["provisioningState"] == "Succeeded")
    doc = call("GET", CG + name)[1]
    places[name] = (doc["netd"]["namespace"], doc["properties"]["ipAddress"]["ip"])
A, a = places["a"]
V, v = places["v"]
W, w = places["w"]
X, x = places["x"]
ns = lambda n, c: subprocess.run(["nsenter", "--net=" + n, "sh", "-c", c], capture_output=True, text=True).stdout
six = lambda n: re.search(r"inet6 (fd00\S+)/", ns(n, "ip -6 addr show eth0")).group(1)
a6, v6 = six(A), six(V)
run = NS + "/"
router = next(run + n for n in namespaces() if n[0] == "v" and "10.1.1.4" in ns(run + n, "ip route") and A.rsplit("/g", 1)[1] in ns(run + n, "ip link"))
# and the VNet's on other nodes, where what comes to groups there is decided
routers = [at for n in range(1, SPREAD + 1) for at in [f"{os.environ['NETD_LAB']}/node{n}/run/ns/{os.path.basename(router)}"] if os.path.exists(at)] if SPREAD > 1 else [router]
mac = lambda n: re.search(r"link/ether (\S+)", ns(n, "ip link show eth0")).group(1)
am, vm, gm = mac(A), mac(V), "12:34:56:78:9a:bc"


def kernel(*names):
    """Counters of the router's own stack, by nstat's names."""
    text = ns(router, "cat /proc/net/snmp6") + "".join(f"{a.split(':')[0]}{k} {n}\n" for a, b in zip(*[iter(ns(router, "cat /proc/net/snmp /proc/net/netstat").splitlines())] * 2) for k, n in zip(a.split()[1:], b.split()[1:]))
    return sum(int(l.split()[1]) for l in text.splitlines() if l.split()[0] in names)


def counted(what):
    """Packets of the router's rules whose comment has these words, and of the kernel's counters after '|'."""
    what, _, more = what.partition("|")
    return sum(map(ruled, what.split(" + "))) + (kernel(*more.split()) if more else 0)


def ruled(what):
    text = "".join(ns(r, "nft list ruleset") for r in routers)
    return sum(int(m.group(1)) for l in text.splitlines() if what in l for m in [re.search(r"packets (\d+) ", l)] if m)


def scapy(code, where=A):
    r = subprocess.run(["nsenter", "--net=" + where, sys.executable, "-W", "ignore", "-c", "import logging\nlogging.disable(50)\nfrom scapy.all import *\nfrom scapy.contrib.igmp import IGMP\nconf.verb=0\nconf.iface='eth0'\n"
                        + f"A,V,A6,V6,AM,VM,GM={a!r},{v!r},{a6!r},{v6!r},{am!r},{vm!r},{gm!r}\n" + code], capture_output=True, text=True)
    return r.stdout.strip() or r.stderr[-300:]


SNIFF = "import socket,sys,time\ns=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3))\ns.bind(('eth0',0))\ns.settimeout(0.2)\nprint('ready',flush=True)\nn=0\nend=time.time()+float(sys.argv[1])\nwhile time.time()<end:\n  try:\n    d,f=s.recvfrom(2000)\n    n+=f[2]!=4\n  except OSError: pass\nprint(n)"


def attack(what, code, rule, least=1, seconds=1.5, quiet=True):
    """Runs it; the victim receives no frame, and the rule's counter rises by that many at least."""
    before = counted(rule)
    p = subprocess.Popen(["nsenter", "--net=" + V, sys.executable, "-c", SNIFF, str(seconds)], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    said = scapy(code)
    seen = int(p.communicate()[0])
    rose = counted(rule) - before
    ok(rose >= least and (seen == 0 or not quiet), f"{what}: dropped by '{rule}', {rose} packets", (rose, seen, said))


time.sleep(2)  # what new links have to say of themselves
GUARD = "not its own source, or no IP"
neigh = lambda: ns(V, "ip neigh; ip -6 neigh; ip route; ip -6 route")
before = neigh()
attack("18 ARP: claims the gateway's and the victim's address", "sendp([Ether(src=AM,dst='ff:ff:ff:ff:ff:ff')/ARP(op=2,hwsrc=AM,psrc=p,pdst=V) for p in ('10.1.1.1',V) for _ in range(100)])", GUARD, 200)
attack("18 ARP with a foreign MAC", "sendp([Ether(src='02:00:00:00:99:99')/ARP(op=1,hwsrc='02:00:00:00:99:99',psrc=A,pdst=V)]*10)", GUARD, 10)
attack("19 ND: advertisements for the gateway and the victim", "sendp([Ether(src=AM,dst='33:33:00:00:00:01')/IPv6(src=s,dst='ff02::1')/ICMPv6ND_NA(tgt=s,R=1,O=1)/ICMPv6NDOptDstLLAddr(lladdr=AM) for s in ('fd00:1:0:1::1',V6) for _ in range(50)])", GUARD, 100)
attack("3 router advertisement", "sendp([Ether(src=AM,dst='33:33:00:00:00:01')/IPv6(src='fe80::bad',dst='ff02::1')/ICMPv6ND_RA()/ICMPv6NDOptPrefixInfo(prefix='fd00:bad::',prefixlen=64)]*20)", GUARD, 20)
attack("20 foreign IPv4 sources, loopback, multicast and broadcast among them", "sendp([Ether(src=AM,dst=GM)/IP(src=s,dst=V)/UDP(dport=9) for s in ['10.1.1.1',V,'127.0.0.1','224.0.0.1','255.255.255.255','0.0.0.0','168.63.129.16']+['10.9.%d.%d'%(i//250,i%250) for i in range(500)]])", GUARD, 507)
attack("20 foreign IPv6 sources", "sendp([Ether(src=AM,dst=GM)/IPv6(src=s,dst=V6)/UDP(dport=9) for s in ['::1','ff02::1',V6,'fe80::1','fd53:a83f:8110::10']*20])", GUARD, 100)
attack("21 DHCP server", "sendp([Ether(src=AM,dst='ff:ff:ff:ff:ff:ff')/IP(src='10.1.1.1',dst='255.255.255.255')/UDP(sport=67,dport=68)/BOOTP(op=2)]*10)", GUARD, 10)
fdb = ns(router, "bridge fdb | wc -l")
attack("22 5,000 source MACs", "s=conf.L2socket(iface='eth0')\nfor i in range(5000): s.send(Ether(src='02:aa:00:00:%02x:%02x'%(i>>8,i&255),dst=VM)/IP(src=A,dst=V)/UDP())", GUARD, 4900, 4)
ok(ns(router, "bridge fdb | wc -l") == fdb, "and the table of addresses is as it was")
attack("23 every other ethertype, VLANs, STP, LLDP", "s=conf.L2socket(iface='eth0')\nfor e in list(range(0x600,0x10000,97))+[0x8100,0x88a8,0x88cc,0x8808]:\n  if e not in (0x800,0x806,0x86dd): s.send(Ether(src=AM,dst=VM,type=e)/(b'x'*46))\nfor m in ('01:80:c2:00:00:00','01:80:c2:00:00:0e'): s.send(Ether(src=AM,dst=m)/LLC()/STP())", GUARD, 300)
ok(neigh() == before, "the victim's neighbours and routes are as they were", (before, neigh()))
attack("1 loopback destinations", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst='127.0.0.%d'%i)/TCP(dport=80) for i in range(1,50)])", "router is no host|IpInAddrErrors IpExtInNoRoutes", 49)
ok("1" not in ns(router, "cat /proc/sys/net/ipv4/conf/*/route_localnet") + ns(run + "gw", "cat /proc/sys/net/ipv4/conf/*/route_localnet"), "route_localnet is off everywhere")
attack("24 VXLAN to the router's addresses", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=d)/UDP(dport=4789)/VXLAN(vni=16)/Ether()/IP() for d in ('10.1.1.1','169.254.0.2')])", "router is no host", 2)
attack("25 metadata and link-local addresses", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=d)/TCP(dport=80,flags='S') for d in ('169.254.169.254','169.254.0.1','169.254.0.3')])", "closed to groups", 3)
attack("25 other ports of the platform's address", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst='168.63.129.16')/TCP(dport=p,flags='S') for p in (80,32526,22)])", "router is no host", 3)
attack("24 VXLAN to the node", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst='169.254.0.3')/UDP(dport=4789)/VXLAN()]*3)", "closed to groups", 3)

# a security group that denies; the odd ways round it
call("PUT", N + "networkSecurityGroups/deny", {"location": "w", "properties": {"securityRules": [
    {"name": "open", "properties": {"priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "80"}},
    {"name": "all", "properties": {"priority": 200, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "*"}}]}})
SUB_ = {"properties": {"addressPrefixes": ["10.1.1.0/24", "fd00:1:0:1::/64"], "delegations": ACI, "networkSecurityGroup": {"id": N + "networkSecurityGroups/deny"}}}
s, doc, _ = call("PUT", VNET + "mine/subnets/s", SUB_)
ok(s == 200, "a security group that lets TCP 80 in, nothing else", doc)
DENIED = "denied by a security rule"
attack("27 fragments of a denied datagram, tiny, overlapping, in reverse", "p=IP(src=A,dst=V,id=7)/UDP(sport=5,dport=53)/(b'x'*1200)\nf=fragment(p,fragsize=8)+list(reversed(fragment(IP(src=A,dst=V,id=8)/UDP(dport=53)/(b'y'*1200),fragsize=400)))+[IP(src=A,dst=V,id=9,flags='MF',frag=0)/UDP(dport=80)/(b'z'*24),IP(src=A,dst=V,id=9,frag=1)/(b'o'*64)]\nsendp([Ether(src=AM,dst=GM)/x for x in f])", DENIED, 2)
attack("27 non-first fragments alone", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=V,id=i,frag=8,proto=6)/(b'q'*64) for i in range(20)])", DENIED + "|IpReasmReqds", 20)
attack("28 IP options: source routes and others", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=V,options=[IPOption(bytes([o,7,4,10,1,1,1,0]))])/TCP(dport=81,flags='S') for o in (7,131,137,148,68,130)])", DENIED + ' + "invalid', 6 if SPREAD == 1 else 5)  # a strict source route does not go by another router
attack("31 every protocol but TCP to 80", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=V,proto=p)/(b'x'*40) for p in range(256) if p not in (1,2,6,17,58)])\nsendp([Ether(src=AM,dst=GM)/IPv6(src=A6,dst=V6,nh=p)/(b'x'*40) for p in (4,41,47,50,51,132,136)])", DENIED, 200)
attack("26 the same by IPv6", "sendp([Ether(src=AM,dst=GM)/IPv6(src=A6,dst=V6)/TCP(dport=p,flags='S',seq=p) for p in (22,443,81)]+[Ether(src=AM,dst=GM)/IPv6(src=A6,dst=V6)/UDP(dport=53)]*3)", DENIED, 6)
attack("28 IPv6 routing and hop-by-hop headers", "sendp([Ether(src=AM,dst=GM)/IPv6(src=A6,dst=V6)/h/TCP(dport=443,flags='S',seq=9) for h in (IPv6ExtHdrHopByHop(),IPv6ExtHdrDestOpt(),IPv6ExtHdrRouting(addresses=['fd00:1:0:1::1']))])", DENIED + ' + "invalid', 3)
attack("30 segments that belong to no connection", "sendp([Ether(src=AM,dst=GM)/IP(src=A,dst=V)/TCP(sport=999,dport=80,flags=f) for f in ('A','FA','R','SA','','FPU')]*10)", '"invalid', 40)
ok("helper" not in ns(router, "nft list ruleset") and "0" in (ns(router, "cat /proc/sys/net/netfilter/nf_conntrack_helper 2>/dev/null") or "0"), "30 no connection helpers")

# 32: a denied packet never passes and an allowed one is never lost while rules change
PROBE = "import select,socket,sys,time\nn=lost=0\nwhile not select.select([sys.stdin],[],[],0)[0]:\n  n+=1\n  try: socket.create_connection((sys.argv[1],80),1).close()\n  except OSError: lost+=1\n  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.sendto(b'x',(sys.argv[1],53)); s.close(); time.sleep(0.002)  # below a group's share of new flows\nprint(n,lost)"
listen = subprocess.Popen(["nsenter", "--net=" + V, sys.executable, "-c", "import socket,threading,sys\nu=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.bind(('0.0.0.0',53)); got=[0]\ndef f():\n  while 1: u.recv(9); got[0]+=1\nthreading.Thread(target=f,daemon=True).start()\ns=socket.create_server(('0.0.0.0',80),backlog=200)\ndef g():\n  while 1: s.accept()[0].close()\nthreading.Thread(target=g,daemon=True).start()\nprint('ready',flush=True); sys.stdin.readline(); print(got[0],flush=True)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
listen.stdout.readline()
probe = subprocess.Popen(["nsenter", "--net=" + A, sys.executable, "-c", PROBE, v], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
updates, began = 0, time.monotonic()
while time.monotonic() < began + 6 or updates < 51 and time.monotonic() < began + 60:
    doc = {"location": "w", "properties": {"securityRules": [
        {"name": f"r{i}", "properties": {"priority": 100 + i, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "*", "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "80" if i == updates % 5 else str(1000 + i + updates % 50)}} for i in range(5)] +
        [{"name": "all", "properties": {"priority": 4000 - updates % 7, "direction": "Inbound", "access": "Deny", "protocol": "*", "sourceAddressPrefixes": ["10.0.0.0/8", f"192.0.{updates % 200}.0/24", "::/0"], "destinationAddressPrefix": "*", "sourcePortRange": "*", "destinationPortRange": "*"}}]}}
    if call("PUT", N + "networkSecurityGroups/deny", doc)[0] != 200:
        break
    updates += 1
n, lost = probe.communicate("\n")[0].split()
listen.stdin.write("\n")
listen.stdin.flush()
through = listen.stdout.readline().strip()
ok(updates > 50 and int(n) > 500 and lost == "0" and through == "0", f"32 {updates} updates under {n} probes: none lost, none let through", (updates, n, lost, through))
listen.kill()

# 33: two VNets with the same addresses
other = subprocess.Popen(["nsenter", "--net=" + X, sys.executable, "-c", SNIFF, "2"], stdout=subprocess.PIPE, text=True)
other.stdout.readline()
ns(A, f"ping -c3 -i0.2 -W1 {v}; ping -c3 -i0.2 -W1 {x}")
ok(a == w and v == x and other.communicate()[0].strip() == "0", "33 nothing crosses between VNets with the same prefixes")
t.end()
