# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of VNets share: documents, members, servers that tell who called, questions to them."""
import socket
from plane import *

t = Tap()
ok = t.ok
N = RG + "/providers/Microsoft.Network/"
ACI = [{"name": "aci", "properties": {"serviceName": "Microsoft.ContainerInstance/containerGroups"}}]


def put(path, body, want=(200, 201)):
    s, doc, _ = call("PUT", path, {"location": "westeurope", **body})
    if s not in want:
        ok(False, f"PUT {path.rsplit('/', 2)[-2]}/{path.rsplit('/', 1)[-1]}", (s, doc))
    return doc


def refused(path, body, code, what):
    s, doc, _ = call("PUT", path, {"location": "westeurope", **body})
    ok(s == 400 and doc["error"]["code"] == code, what + f" ({code})", (s, doc))


def subnet(vnet, name, prefixes, **refs):
    return put(VNET + vnet + "/subnets/" + name, {"properties": {"addressPrefixes": prefixes, "delegations": ACI, **refs}})


def member(name, vnet, sub, **props):
    g = group(name, ports=(80,))
    g["properties"].update(ipAddress={"type": "Private", "ports": [{"port": 80}]}, subnetIds=[{"id": VNET + vnet + "/subnets/" + sub}], **props)
    put(CG + name, g)
    ok(wait(lambda: call("GET", CG + name)[1]["properties"]["provisioningState"] == "Succeeded"), f"{name} is in {vnet}/{sub}")
    doc = call("GET", CG + name)[1]
    return doc["netd"]["namespace"], doc["properties"]["ipAddress"]["ip"]


SERVE = """
import socket, sys, threading
def tcp(a, p):
    s = socket.create_server((a, p), family=socket.AF_INET6 if ':' in a else socket.AF_INET)
    while 1:
        try:
            c, who = s.accept(); c.sendall(who[0].encode()); c.close()
        except OSError: pass
def udp(a, p):
    s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_DGRAM); s.bind((a, p))
    while 1:
        d, who = s.recvfrom(65000); s.sendto(who[0].encode(), who)
for a in sys.argv[1].split(','):
    for p in map(int, sys.argv[2].split(',')):
        threading.Thread(target=tcp, args=(a, p), daemon=True).start(); threading.Thread(target=udp, args=(a, p), daemon=True).start()
print('ready', flush=True); sys.stdin.read()
"""
ASK = """
import socket, sys
proto, a, p = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET, socket.SOCK_STREAM if proto == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[4])); 
try:
    s.connect((a, p)); proto == 'udp' and s.send(b'x'); print(s.recv(100).decode())
except ConnectionRefusedError: print('refused')
except TimeoutError: print('timeout')
except OSError as e: print(e.strerror)
"""


def serve(ns, addresses, ports="80"):
    p = subprocess.Popen(["nsenter", "--net=" + ns, sys.executable, "-c", SERVE, addresses, ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    return p


def ask(ns, a, port=80, proto="tcp", timeout=1):
    """Who the far end says called it, or what went wrong."""
    return subprocess.run(["nsenter", "--net=" + ns, sys.executable, "-c", ASK, proto, a, str(port), str(timeout)], capture_output=True, text=True).stdout.strip()


def inns(ns, cmd):
    return subprocess.run(["nsenter", "--net=" + ns, "sh", "-c", cmd], capture_output=True, text=True).stdout
