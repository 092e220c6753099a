#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Security rules change as fast as the API takes them, under probes from several groups at once: no
packet that both the old rules and the new deny arrives, none that both allow is lost."""
from vnets import *

inside("limit-requests=0")
rt = Runtime()
LONG = os.environ.get("LONG") == "1"
SECONDS, SENDERS = (60, 6) if LONG else (8, 5)  # so long at least
call("PUT", RG, {"location": "westeurope"})
put(VNET + "v", {"properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}})
put(N + "networkSecurityGroups/n", {"properties": {"securityRules": []}})
subnet("v", "far", ["10.1.2.0/24"])
subnet("v", "near", ["10.1.1.0/24"], networkSecurityGroup={"id": N + "networkSecurityGroups/n"})
V, v = member("victim", "v", "near")
senders, sender_ips = zip(*(member(f"s{i}", "v", "far") for i in range(SENDERS)))


def rules(i):
    """TCP 80 is allowed and UDP 53 denied, each time by other rules, ports, prefixes and priorities."""
    r = lambda name, prio, access, proto, ports, src: {"name": name, "properties": {"priority": prio, "direction": "Inbound", "access": access, "protocol": proto, "sourceAddressPrefixes": src,
                                                                                    "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRanges": ports}}
    some = [r(f"r{k}", 100 + k, "Allow", "Tcp", ["80" if k == i % 5 else str(1000 + k + i % 50)], ["10.0.0.0/8", f"192.0.{i % 200}.0/24"]) for k in range(5)]
    if i % 3:  # so many that lists are split by address, and not
        some += [r(f"o{k}", 200 + k, "Allow", "*", [f"{2000 + k}-{3000 + k}", "80"], [f"172.16.{(k + i) % 250}.0/24"]) for k in range(20)]
    return {"location": "westeurope", "properties": {"securityRules": some + [r("all", 4000 - i % 7, "Deny", "*", ["0-65535"], ["10.0.0.0/8", f"198.18.{i % 200}.0/24"])]}}


ok(call("PUT", N + "networkSecurityGroups/n", rules(0))[0] == 200, "the first rules")
# each sends new flows as fast as its share allows, until it is told to end; one connection in a hundred is awaited
SEND = """
import select, socket, sys, time
v, n, lost = sys.argv[1], 0, 0
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(20):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', (v, 53)); s.close(); n += 1
    begin = time.time()
    try: socket.create_connection((v, 80), 3).close()
    except OSError: lost += 1
    lost += time.time() - begin > 0.9  # a SYN that had to be sent again
    time.sleep(0.013)  # below a share
print(n, lost)
"""
LISTEN = """
import socket, sys, threading
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 53)); got = [0]
def f():
    while 1: u.recv(9); got[0] += 1
s = socket.create_server(('0.0.0.0', 80), backlog=4000)
def g():
    while 1: s.accept()[0].close()
for x in (f, g): threading.Thread(target=x, daemon=True).start()
print('ready', flush=True); sys.stdin.readline(); print(got[0], flush=True)
"""


def probed(meddle, enough):
    """Runs meddle(i) under probes for SECONDS, and on until that was often enough, however busy the machine is; how
    often, probes sent, allowed lost, denied delivered."""
    listen = subprocess.Popen(["nsenter", "--net=" + V, sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    listen.stdout.readline()
    probes = [subprocess.Popen(["nsenter", "--net=" + g, sys.executable, "-c", SEND, v], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for g in senders]
    n = sent = lost = 0
    began = time.monotonic()
    while time.monotonic() < began + SECONDS or n < enough and time.monotonic() < began + SECONDS + 60:
        n += 1
        if not meddle(n):
            break
    for p in probes:
        a, b = map(int, p.communicate("\n")[0].split())
        sent, lost = sent + a, lost + b
    listen.stdin.write("\n")
    listen.stdin.flush()
    through = int(listen.stdout.readline())
    listen.kill()
    return n, sent, lost, through


def update(i):
    s, doc, _ = call("PUT", N + "networkSecurityGroups/n", rules(i))
    return s == 200 or ok(False, "an update is taken", doc)


updates, sent, lost, through = probed(update, 101)
ok(updates > 100 and sent > 5000, "enough of both", (updates, sent))
ok(through == 0, f"{updates} updates under {sent} probes: no denied packet passed", through)
ok(lost == 0, "and no allowed one was lost", lost)
# a stranger takes the rules away: closed until they are back, and when they come
router = next(NS + "/" + n for n in namespaces() if n[0] == "v")


def take_away(i):
    inns(router, ("nft flush ruleset", "nft delete table inet netd", "nft delete table bridge netd", "nft flush chain inet netd nsg", "ip rule flush")[i % 5])
    time.sleep(0.4)
    return True


times, sent, lost, through = probed(take_away, 11)
ok(times > 10 and through == 0, f"rules taken away {times} times under {sent} probes: no denied packet passed", (times, through))
serving = serve(V, v)
ok(wait(lambda: ask(senders[0], v) == sender_ips[0], 8), "and what is allowed passes when they are back", ask(senders[0], v))
serving.kill()
call("DELETE", RG)
t.end()
