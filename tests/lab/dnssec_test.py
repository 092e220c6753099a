#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed public zones: Unbound as validating resolver, delv and dnspython judge answers, denials (RFC 9824), keys rolled
over, roles that end."""
import base64, os, shutil, sqlite3, sys, tempfile, time
if "NETD_LAB" not in os.environ:
    os.environ["NETD_FILES"] = tempfile.mkdtemp(prefix="netd-dnssec.")
    os.chmod(os.environ["NETD_FILES"], 0o755)
    open(os.environ["NETD_FILES"] + "/zone", "w").write("""$TTL 300
www A 192.0.2.77
www AAAA 2001:db8::77
mail MX 10 WWW.example.com.
txt TXT "one" "two"
*.wild A 192.0.2.78
alias CNAME www
far CNAME www.westeurope.cloudapp.azure.com.
a.b.c A 192.0.2.79
plain NS ns.plain
ns.plain A 192.0.2.80
safe NS ns.safe
safe DS 12345 13 2 0102030405060708091011121314151617181920212223242526272829303132
ns.safe A 192.0.2.81
multi A 192.0.2.82
multi A 192.0.2.9
""")
from plane import *

at, env = peers("unbound", "nsd", "bind9-utils")
FILES = os.environ["NETD_FILES"]
inside(f"dns-zone=example.com {FILES}/zone", "dnssec=1", "dns-rate=0", "dnssec-zsk-life=6", "dnssec-spread=4", "dns-secondary=192.0.2.1:5301", "dns-secondary=192.0.2.1:5399", store="sqlite")
import dns.dnssec, dns.exception, dns.flags, dns.message, dns.name, dns.query, dns.rcode, dns.rdatatype, dns.resolver, dns.zone

t = Tap()
ok = t.ok
# dns-zone's data may be in any case; answers and signatures have it lower.
AT, ZONES = os.environ["NETD_DNS"], ("example.com", "westeurope.cloudapp.azure.com")
ds = {}
for z in ZONES:
    s, doc, _ = call("GET", f"/netd/dns/zones/{z}/keys")
    ds[z] = [k["ds"] for k in doc["value"] if k["kind"] == "KSK"]
    ok(s == 200 and len(ds[z]) == 1 and len(doc["value"]) == 2, f"{z} has a key of each kind", doc)


def direct(name, kind="A", flags=0x8000, **kw):
    m = dns.message.make_query(name, kind)
    m.use_edns(0, flags, 1232)
    return dns.query.udp(m, AT, timeout=2, **kw)


def unbound(upstream=None):
    """A fresh validating resolver that trusts the zones' DS."""
    upstream = upstream or AT
    open(FILES + "/unbound.conf", "w").write(f"""server:
 interface: 192.0.2.1@5310
 access-control: 0.0.0.0/0 allow
 username: ""
 chroot: ""
 directory: "{FILES}"
 pidfile: ""
 use-syslog: no
 logfile: "{FILES}/unbound.log"
 val-log-level: 2
 do-not-query-localhost: no
 module-config: "validator iterator"
 target-fetch-policy: "0 0 0 0 0"
""" + "".join(f' trust-anchor: "{z}. DS {d}"\n' for z in ZONES for d in ds[z]) + "remote-control:\n control-enable: no\n" + "".join(f"stub-zone:\n name: {z}\n stub-addr: {upstream}\n" for z in ZONES))
    p = subprocess.Popen([at + "/usr/sbin/unbound", "-d", "-c", FILES + "/unbound.conf"], env=env, stdout=open(FILES + "/out", "a"), stderr=subprocess.STDOUT)
    wait(lambda: ask("example.com", "SOA") is not None, 10)
    return p


def ask(name, kind="A"):
    try:
        return dns.query.udp(dns.message.make_query(name, kind, want_dnssec=True), "192.0.2.1", port=5310, timeout=3)
    except Exception:
        return None


def verdict(name, kind="A"):
    """rcode, whether it is proven, and how many records answer."""
    a = ask(name, kind)
    return a and (dns.rcode.to_text(a.rcode()), bool(a.flags & dns.flags.AD), sum(len(rr) for rr in a.answer if rr.rdtype != 46))


call("PUT", RG, {"location": "westeurope"})
call("PUT", RG + "/providers/Microsoft.Network/publicIPAddresses/p", {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": "www"}}})
call("PUT", RG + "/providers/Microsoft.Network/publicIPAddresses/q", {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": "label-one"}}})
judge = unbound()
CASES = (("www.example.com", "A", ("NOERROR", True, 1)), ("www.example.com", "AAAA", ("NOERROR", True, 1)), ("mail.example.com", "MX", ("NOERROR", True, 1)), ("txt.example.com", "TXT", ("NOERROR", True, 1)),
         ("x.wild.example.com", "A", ("NOERROR", True, 1)), ("alias.example.com", "A", ("NOERROR", True, 2)), ("multi.example.com", "A", ("NOERROR", True, 2)), ("example.com", "SOA", ("NOERROR", True, 1)),
         ("example.com", "NS", ("NOERROR", True, 1)), ("example.com", "DNSKEY", ("NOERROR", True, 2)), ("example.com", "CDS", ("NOERROR", True, 1)), ("example.com", "CDNSKEY", ("NOERROR", True, 1)),
         ("www.example.com", "TXT", ("NOERROR", True, 0)), ("x.wild.example.com", "TXT", ("NOERROR", True, 0)), ("c.example.com", "A", ("NOERROR", True, 0)), ("nope.example.com", "A", ("NOERROR", True, 0)),
         ("plain.example.com", "DS", ("NOERROR", True, 0)), ("safe.example.com", "DS", ("NOERROR", True, 1)), ("label-one.westeurope.cloudapp.azure.com", "A", ("NOERROR", True, 1)),
         ("gone.westeurope.cloudapp.azure.com", "A", ("NOERROR", True, 0)))
for name, kind, want in CASES:
    got = verdict(name, kind)
    ok(got == want, f"Unbound: {kind} {name}: {got}", open(FILES + "/unbound.log").read()[-400:] if got != want else "")
# ---- the shape of what is said ----
a = direct("nope.example.com")
nsec = next((rr[0] for rr in a.authority if rr.rdtype == 47), None)
ok(a.rcode() == 0 and nsec and nsec.next.to_text().startswith("\\000.nope.example.com") and nsec.to_text().endswith("RRSIG NSEC TYPE128"), "a missing name: NSEC with NXNAME (RFC 9824)", a)
a = direct("nope.example.com", flags=0xC000)
ok(a.rcode() == 3, "NXDOMAIN for who understands it (CO)", a)
ok(direct("nope.example.com", flags=0).rcode() == 3 and not any(rr.rdtype in (46, 47) for rr in direct("nope.example.com", flags=0).authority), "and for who asks without DO, unsigned")
a = direct("c.example.com")
ok(next(rr[0] for rr in a.authority if rr.rdtype == 47).to_text().endswith(" RRSIG NSEC"), "an empty non-terminal has neither")
a = direct("plain.example.com")
ok(not a.flags & dns.flags.AA and any(rr.rdtype == 47 for rr in a.authority) and any(rr.rdtype == 2 for rr in a.authority), "a delegation without DS is proven to have none", a)
a = direct("safe.example.com")
ok(any(rr.rdtype == 43 for rr in a.authority) and any(rr.rdtype == 46 for rr in a.authority), "one with DS has it, signed", a)
keys = dns.dnssec
zone = dns.name.from_text("example.com")
dnskey = dns.query.tcp(dns.message.make_query(zone, "DNSKEY", want_dnssec=True), AT, timeout=3)
rrset = next(rr for rr in dnskey.answer if rr.rdtype == 48)
try:
    dns.dnssec.validate(rrset, next(rr for rr in dnskey.answer if rr.rdtype == 46), {zone: rrset})
    a = direct("multi.example.com")
    dns.dnssec.validate(next(rr for rr in a.answer if rr.rdtype == 1), next(rr for rr in a.answer if rr.rdtype == 46), {zone: rrset})
    good, why = True, ""
except Exception as e:
    good, why = False, repr(e)
ok(good, "dnspython validates keys and a set", why)
sig = next(rr[0] for rr in direct("www.example.com").answer if rr.rdtype == 46)
ok(sig.inception < time.time() - 3000 and sig.expiration > time.time() + 86400 and sig.labels == 3 and sig.algorithm == 13, "signatures begin an hour ago and last for days", sig)
open(FILES + "/anchors", "w").write('trust-anchors { "example.com." static-ds %s "%s"; };\n' % (" ".join(ds["example.com"][0].split()[:3]), ds["example.com"][0].split()[3]))
for name, want in (("www.example.com", "fully validated"), ("nope.example.com", "fully validated")):
    r = subprocess.run(["delv", "@" + AT, "-a", FILES + "/anchors", "+root=example.com", name, "A"], capture_output=True, text=True, timeout=15)
    ok(want in r.stdout + r.stderr, f"delv: {name}", (r.stdout + r.stderr)[:400])
reverse = [z["name"] for z in call("GET", "/netd/dns/zones")[1]["value"] if z["name"].endswith(".in-addr.arpa")]
bare = [z for z in reverse if not any(rr.rdtype == 46 for rr in direct(z, "SOA").answer)]
ok(reverse and not bare, "reverse zones are signed, too", (reverse, bare))
# ---- a secondary has it signed ----
open(FILES + "/nsd.conf", "w").write(f"""server:
 ip-address: 192.0.2.1@5301
 username: ""
 zonesdir: "{FILES}"
 database: ""
 pidfile: ""
 xfrdfile: "{FILES}/nsd.xfrd"
 zonelistfile: "{FILES}/nsd.list"
 xfrdir: "{FILES}"
 logfile: "{FILES}/nsd.log"
 xfrd-reload-timeout: 0
remote-control:
 control-enable: no
""" + "".join(f"""zone:
 name: {z}
 zonefile: {z}.nsd
 request-xfr: {AT}@53 NOKEY
 allow-notify: {AT} NOKEY
""" for z in ZONES))
nsd = subprocess.Popen([at + "/usr/sbin/nsd", "-d", "-c", FILES + "/nsd.conf"], env=env, stdout=open(FILES + "/out", "a"), stderr=subprocess.STDOUT)


def second(name, kind="SOA"):
    try:
        return dns.query.udp(dns.message.make_query(name, kind, want_dnssec=True), "192.0.2.1", port=5301, timeout=1)
    except Exception:
        return None


def serials():
    return [next((rr[0].serial for rr in a.answer if rr.rdtype == 6), None) if a else None for a in (second("example.com"), direct("example.com", "SOA"))]


def zone_text(z):
    got = dns.zone.from_xfr(dns.query.xfr(AT, z, timeout=5, lifetime=20, relativize=False), relativize=False)
    path = f"{FILES}/{z}.xfr"
    got.to_file(path, relativize=False)
    return got, path


ok(wait(lambda: None not in serials() and len(set(serials())) == 1, 20), "NSD has the signed zone", (serials(), open(FILES + "/nsd.log").read()[-400:]))
for z in ZONES:
    got, path = zone_text(z)
    r = subprocess.run([at + "/usr/bin/dnssec-verify", "-o", z, path], env=env, capture_output=True, text=True)
    ok(r.returncode == 0 and "fully signed" in r.stdout + r.stderr, f"BIND's dnssec-verify: {z} is whole", (r.stdout + r.stderr)[-600:])
got, _ = zone_text("example.com")
ok(got.find_rdataset("safe.example.com.", "NSEC")[0].to_text().endswith(" NS DS RRSIG NSEC") and got.get_rdataset("ns.plain.example.com.", "NSEC") is None and got.get_rdataset("b.c.example.com.", "NSEC") is None, "NSEC where it belongs: not at glue, nor where nothing is")
judge.terminate()
judge.wait()
judge = unbound("192.0.2.1@5301")
BY_NSD = {"nope.example.com": ("NXDOMAIN", True, 0), "gone.westeurope.cloudapp.azure.com": ("NXDOMAIN", True, 0)}
for name, kind, want in CASES:
    want = BY_NSD.get(name, want)
    got = verdict(name, kind)
    want = (*want[:2], got[2]) if got and kind == "DNSKEY" and got[2] in (2, 3) else want  # one is published now and then
    ok(got == want, f"Unbound by NSD: {kind} {name}: {got}", open(FILES + "/unbound.log").read()[-400:] if got != want else "")
judge.terminate()
judge.wait()
before = serials()
call("PUT", RG + "/providers/Microsoft.Network/publicIPAddresses/r", {"location": "westeurope", "properties": {"dnsSettings": {"domainNameLabel": "label-two"}}})
ok(wait(lambda: (a := second("label-two.westeurope.cloudapp.azure.com", "A")) and {rr.rdtype for rr in a.answer} == {1, 46}, 10), "a new name is there soon, signed")
judge = unbound()
# ---- keys roll over by themselves ----
first = {k.key_tag if hasattr(k, "key_tag") else dns.dnssec.key_id(k) for k in rrset}


def tags():
    r = dns.query.tcp(dns.message.make_query(zone, "DNSKEY"), AT, timeout=3)
    return {dns.dnssec.key_id(k) for rr in r.answer if rr.rdtype == 48 for k in rr}


def signer():
    return next(rr[0].key_tag for rr in direct("www.example.com").answer if rr.rdtype == 46)


was = signer()
ok(wait(lambda: len(tags()) == 3, 12), "a new zone-signing key is published", tags())
ok(signer() == was, "before it signs")
ok(wait(lambda: signer() != was, 12), "then it signs")
ok(was in tags(), "while the old one is still known")
ok(wait(lambda: was not in tags(), 12), "and is gone at last", tags())
ok(wait(lambda: (a := second("www.example.com", "A")) and next(rr[0].key_tag for rr in a.answer if rr.rdtype == 46) in tags() and len(set(serials())) == 1, 10), "the secondary follows", (serials(), tags()))
judge.terminate()
judge.wait()
judge = unbound()
ok(verdict("www.example.com") == ("NOERROR", True, 1), "a resolver that comes new validates", verdict("www.example.com"))
old = ds["example.com"][0]
s, _, _ = call("POST", "/netd/dns/zones/example.com/rollover")
ok(s == 204, "the administrator begins a key-signing key's")
read_cds = lambda: [r.to_text().lower() for rr in direct("example.com", "CDS").answer if rr.rdtype == 59 for r in rr]
s, doc, _ = call("POST", "/netd/dns/zones/example.com/dsSeen")
ok(s == 409 and "not known everywhere" in str(doc) and read_cds()[0].split()[0] == old.split()[0], "the parent hears of it once everybody can know it", (s, doc, read_cds()))
ok(wait(lambda: read_cds()[0].split()[0] != old.split()[0], 12), "which is soon")
cds = read_cds()
ok(len(cds) == 1 and cds[0].split()[0] != old.split()[0], "CDS names the new one", cds)
got = verdict("txt.example.com", "TXT")
ok(got == ("NOERROR", True, 1), "the old DS is still good", (got, open(FILES + "/unbound.log").read()[-700:]))
s, doc, _ = call("POST", "/netd/dns/zones/example.com/rollover")
ok(s == 409, "one at a time", doc)
ds["example.com"] = [" ".join(cds[0].split())]
judge.terminate()
judge.wait()
judge = unbound()
ok(verdict("www.example.com") == ("NOERROR", True, 1), "the new DS is good", verdict("www.example.com"))
s, _, _ = call("POST", "/netd/dns/zones/example.com/dsSeen")
ok(s == 204 and wait(lambda: int(old.split()[0]) not in tags(), 12), "once the parent has it, the old key goes", tags())
# ---- roles that end ----
unsigned = []


def settled(name):
    """Is it signed? SERVFAIL and silence are for a moment, an answer without signatures never is."""
    try:
        a = direct(name)
    except dns.exception.Timeout:
        return False
    signed = any(rr.rdtype == 46 for rr in a.answer + a.authority)
    if a.rcode() != 2 and not signed:
        unsigned.append(a.to_text())
    return signed


for role in ("dns", "control"):
    os.kill(role_pid(role), 9)
    ok(wait(lambda: call("GET", "/readyz")[0] == 200), f"{role} is back")
    missing = [n for n in ("www", "txt", "mail") if not wait(lambda: settled(n + ".example.com"))]
    ok(not missing and not unsigned, f"after {role} was killed answers are signed", (missing, unsigned[:1]))
    judge.terminate()
    judge.wait()
    judge = unbound()
    ok(verdict("mail.example.com", "MX") == ("NOERROR", True, 1), "and validate", verdict("mail.example.com", "MX"))
db = next(os.path.join(d, f) for d, _, names in os.walk(os.environ["NETD_LAB"]) for f in names if f.endswith(".db"))
rows = list(sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute("select * from sqlite_master where type = 'table'"))
found = [str(r) for table in {r[1] for r in rows} for r in sqlite3.connect(f"file:{db}?mode=ro", uri=True).execute(f"select * from \"{table}\"") if "dnssec/" in str(r)]
ok(len(found) >= 2 and all("sealed" in r and "private" not in r for r in found), "private keys are sealed in the store", str(found)[:300])
for p in (judge, nsd):
    p.terminate()
    p.wait()
shutil.rmtree(FILES)
t.end()
