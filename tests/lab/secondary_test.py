#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stock NSD, Knot and BIND follow the public zones as secondaries: AXFR, IXFR, NOTIFY, TSIG; and who may not."""
import base64, os, shutil, sys, tempfile, time
if "NETD_LAB" not in os.environ:
    os.environ["NETD_KEYS"] = tempfile.mkdtemp(prefix="netd-lab-keys.")
    for name, n in (("a", 32), ("b", 64)):
        open(f"{os.environ['NETD_KEYS']}/{name}", "w").write(base64.b64encode(os.urandom(n)).decode())
from plane import *

at, env = peers("nsd", "knot", "bind9")  # before there is no network
KEYS = os.environ["NETD_KEYS"]
inside(f"dns-key=transfer hmac-sha256 {KEYS}/a", f"dns-key=strong hmac-sha512 {KEYS}/b", "dns-secondary=192.0.2.1:5301 transfer", "dns-secondary=192.0.2.1:5302 strong",
       "dns-secondary=192.0.2.1:5303 transfer", "dns-secondary=192.0.2.1:5399", "dns-rate=0", "dns-catalog=catalog.netd.example")
import dns.exception, dns.message, dns.name, dns.query, dns.rcode, dns.tsig, dns.tsigkeyring, dns.zone

t = Tap()
ok = t.ok
LONG = os.environ.get("LONG") == "1"
ZONE = "westeurope.cloudapp.azure.com"
PIP = RG + "/providers/Microsoft.Network/publicIPAddresses/"
A, B = (open(f"{KEYS}/{k}").read() for k in "ab")
RING = dns.tsigkeyring.from_text({"transfer": ("hmac-sha256", A), "strong": ("hmac-sha512", B)})
dir = os.environ["NETD_LAB"] + "/secondaries"
os.makedirs(dir)
os.mkdir(dir + "/knot")
os.chmod(dir, 0o777)


def label(i, name, want=(200, 201)):
    s, doc, _ = call("PUT", PIP + f"p{i}", {"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static", "dnsSettings": {"domainNameLabel": name}}})
    if s not in want:
        ok(False, f"label {name}", (s, doc))
    return doc["properties"].get("ipAddress")


def content(port, where="192.0.2.1", **key):
    """The zone as that server has it: serial, and the set of its records."""
    try:
        z = dns.zone.from_xfr(dns.query.xfr(where, ZONE, port=port, timeout=5, lifetime=20, relativize=False, **key), relativize=False)
    except Exception as e:
        return type(e).__name__, None
    soa = z.find_rdataset(z.origin, "SOA")[0]
    return soa.serial, {(n.to_text(), d.rdtype, d.ttl, r.to_text()) for n, d in z.iterate_rdatasets() for r in d if d.rdtype != 6}


call("PUT", RG, {"location": "westeurope"})
for i in range(60):
    label(i, f"first-{i}")
open(dir + "/nsd.conf", "w").write(f"""server:
 ip-address: 192.0.2.1@5301
 username: ""
 zonesdir: "{dir}"
 database: ""
 pidfile: ""
 xfrdfile: "{dir}/nsd.xfrd"
 zonelistfile: "{dir}/nsd.list"
 xfrdir: "{dir}"
 logfile: "{dir}/nsd.log"
 xfrd-reload-timeout: 0
remote-control:
 control-enable: no
key:
 name: transfer
 algorithm: hmac-sha256
 secret: "{A}"
zone:
 name: {ZONE}
 zonefile: nsd.zone
 request-xfr: 192.0.2.2@53 transfer
 allow-notify: 192.0.2.2 transfer
 provide-xfr: 192.0.2.0/24 NOKEY
""")
open(dir + "/knot.conf", "w").write(f"""server:
 rundir: "{dir}"
 listen: 192.0.2.1@5302
database:
 storage: "{dir}"
log:
 - target: "{dir}/knot.log"
   any: info
key:
 - id: strong
   algorithm: hmac-sha512
   secret: {B}
remote:
 - id: netd
   address: 192.0.2.2@53
   key: strong
acl:
 - id: notify
   address: 192.0.2.2
   key: strong
   action: notify
 - id: xfr
   address: 192.0.2.0/24
   action: transfer
template:
 - id: default
   storage: "{dir}/knot"
 - id: member
   storage: "{dir}/knot"
   master: netd
   acl: [notify, xfr]
zone:
 - domain: {ZONE}
   master: netd
   acl: [notify, xfr]
 - domain: catalog.netd.example
   master: netd
   acl: [notify, xfr]
   catalog-role: interpret
   catalog-template: member
""")
open(dir + "/named.conf", "w").write(f"""options {{ directory "{dir}"; listen-on port 5303 {{ 192.0.2.1; }}; listen-on-v6 {{ none; }}; pid-file "{dir}/named.pid"; session-keyfile "{dir}/session.key"; recursion no; dnssec-validation no; allow-transfer {{ any; }}; notify no; catalog-zones {{ zone "catalog.netd.example" default-primaries {{ 192.0.2.2 key transfer; }} in-memory yes min-update-interval 1; }}; }};
zone "catalog.netd.example" {{ type secondary; file "{dir}/bind.catalog"; primaries {{ 192.0.2.2 key transfer; }}; min-refresh-time 1; }};
controls {{ }};
logging {{ channel c {{ file "{dir}/named.log"; severity info; }}; category default {{ c; }}; }};
key transfer {{ algorithm hmac-sha256; secret "{A}"; }};
server 192.0.2.2 {{ keys {{ transfer; }}; }};
zone "{ZONE}" {{ type secondary; file "{dir}/bind.zone"; masterfile-format text; primaries {{ 192.0.2.2 key transfer; }}; min-refresh-time 1; }};
""")
started = [subprocess.Popen(c, env=env, stdout=open(dir + "/out", "a"), stderr=subprocess.STDOUT) for c in ([at + "/usr/sbin/nsd", "-d", "-c", dir + "/nsd.conf"], [at + "/usr/sbin/knotd", "-c", dir + "/knot.conf"], [at + "/usr/sbin/named", "-f", "-n", "1", "-c", dir + "/named.conf"])]
PORTS = {"NSD": 5301, "Knot": 5302, "BIND": 5303}


def same():
    want = content(53, "192.0.2.2", keyring=RING, keyname="transfer", keyalgorithm="hmac-sha256")
    return want[1] is not None and all(content(p) == want for p in PORTS.values())


ok(wait(same, 30), "NSD, Knot and BIND have the zone", {n: (content(p)[0], len(content(p)[1] or ())) for n, p in PORTS.items()})
serial, records = content(53, "192.0.2.2", keyring=RING, keyname="strong", keyalgorithm="hmac-sha512")
ok(records and len(records) == 62 and all(any(r[0].startswith(f"first-{i}.") for r in records) for i in range(60)), "all of it", (serial, len(records or ())))


def transfers():
    log = open(os.environ["NETD_LAB"] + "/netd.log").read()
    return {k: log.count(f'"type":"{k}"') for k in ("AXFR", "IXFR")}


# ---- thousands of changes ----
before = transfers()
n = 3000 if LONG else 600
began = time.monotonic()
for i in range(n):
    label(i % 60, f"turn-{i}")
took = time.monotonic() - began
ok(wait(same, 30), f"{n} changes ({n / took:.0f} a second) reach all three", {k: (content(p)[0], len(content(p)[1] or ())) for k, p in PORTS.items()})
after = transfers()
ok(after["IXFR"] - before["IXFR"] >= 3, "by what changed", (before, after))
serial, records = content(53, "192.0.2.2", keyring=RING, keyname="strong", keyalgorithm="hmac-sha512")
ok(len(records) == 62 and not any("first-" in r[0] for r in records), "nothing of before is left", len(records))
began = time.monotonic()
address = label(0, "the-last-one")
for name, port in PORTS.items():
    def there():
        try:
            a = dns.query.udp(dns.message.make_query("the-last-one." + ZONE, "A"), "192.0.2.1", port=port, timeout=0.3)
            return bool(a.answer) and a.answer[0][0].to_text() == address
        except Exception:
            return False
    ok(wait(there, 10), f"{name} has a change within seconds: {time.monotonic() - began:.2f}")

# ---- roles that end: the serial goes on, and so do they ----
for role in ("dns", "control"):
    os.kill(role_pid(role), 9)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200), f"{role} is back")
    label(1, f"after-{role}-was-killed")
    ok(wait(same, 30), f"after {role} was killed all is followed", {n: content(p)[0] for n, p in PORTS.items()})
now = content(53, "192.0.2.2", keyring=RING, keyname="transfer", keyalgorithm="hmac-sha256")[0]
ok(now > serial, "no serial is used twice", (serial, now))

# ---- the catalog: zones that were named to no secondary ----
zones = [z["name"] for z in call("GET", "/netd/dns/zones")[1]["value"]]
others = [z for z in zones if z not in ("catalog.netd.example", ZONE)]
ok(len(others) >= 3, "there are zones that no secondary was told of", zones)


def serials(port, where="192.0.2.1"):
    got = {}
    for z in others:
        try:
            a = dns.query.udp(dns.message.make_query(z, "SOA"), where, port=port, timeout=0.5)
            got[z] = a.answer[0][0].serial if a.answer else dns.rcode.to_text(a.rcode())
        except Exception as e:
            got[z] = type(e).__name__
    return got


for name in ("Knot", "BIND"):
    ok(wait(lambda: serials(PORTS[name]) == serials(53, "192.0.2.2"), 20), f"{name} serves them by the catalog", (serials(PORTS[name]), serials(53, "192.0.2.2")))
s, doc, _ = call("PUT", "/netd/dns/zones/catalog.netd.example/A/x", {"properties": {"ttl": 1, "aRecords": [{"ipv4Address": "192.0.2.1"}]}})
ok(s == 400 and "catalog" in doc["error"]["message"], "nobody writes into it by hand", (s, doc))

# ---- who may not ----
ok(content(53, "192.0.2.2")[1] is not None, "a secondary without a key is known by its address")
q = dns.message.make_query(ZONE, "AXFR")
for what, ring, name, rcode in (("an unknown key", {"nobody": ("hmac-sha256", A)}, "nobody", "NOTAUTH"), ("a wrong secret", {"transfer": ("hmac-sha256", base64.b64encode(b"x" * 32).decode())}, "transfer", "NOTAUTH"),
                                ("another algorithm", {"transfer": ("hmac-sha512", A)}, "transfer", "NOTAUTH")):
    m = dns.message.make_query(ZONE, "AXFR")
    m.use_tsig(dns.tsigkeyring.from_text(ring), name, algorithm=ring[name][0])
    wire = m.to_wire()
    import socket
    s = socket.create_connection(("192.0.2.2", 53), 3)
    s.sendall(len(wire).to_bytes(2, "big") + wire)
    b = s.recv(4096)
    s.close()
    ok(len(b) > 14 and b[5] & 15 == 9 and b[9] == 0, f"{what}: {rcode}", b[:16])
m = dns.message.make_query(ZONE, "SOA")
m.use_tsig(RING, "transfer", algorithm="hmac-sha256")
real = time.time
try:
    time.time = lambda: real() - 1000  # as dnspython signs it
    wire = m.to_wire()
finally:
    time.time = real
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(2)
s.sendto(wire, ("192.0.2.2", 53))
b = s.recv(4096)
ok(b[3] & 15 == 9 and b[-8:-6] == b"\x00\x12" or b[-10:-8] == b"\x00\x12", "an old signature: NOTAUTH, BADTIME", b[-20:])
m = dns.message.make_query(ZONE, "SOA")
m.use_tsig(RING, "transfer", algorithm="hmac-sha256")
a = dns.query.udp(m, "192.0.2.2", timeout=2)
ok(a.had_tsig and a.answer[0][0].serial == now, "a signed question is answered signed")
s, doc, _ = call("GET", "/readyz")
ok(s == 200, "ready at the end")
for p in started:
    p.terminate()
for p in started:
    p.wait()
shutil.rmtree(KEYS)
t.end()
