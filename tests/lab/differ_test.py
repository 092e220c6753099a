#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same zone and the same questions of every oddity through NSD, Knot and the name server: answers agree with one of
them at least, or the difference is named below and defended."""
import collections, os, random, shutil, socket, sys, tempfile
ZONE = """$TTL 300
@ IN SOA ns admin 1 1800 900 604800 30
@ NS ns
@ NS ns.other.example.
@ MX 10 mail
@ TXT "apex"
ns A 192.0.2.2
mail A 192.0.2.3
mail AAAA 2001:db8::3
a.b.c.d A 192.0.2.4
*.wild A 192.0.2.5
*.wild TXT "wild"
sub.wild A 192.0.2.6
x.y.wild A 192.0.2.7
*.cwild CNAME mail
*.lwild CNAME x.lwild
c1 CNAME c2
c2 CNAME c3
c3 CNAME mail
cx CNAME nowhere
cout CNAME www.example.net.
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
cut NS ns.cut
cut NS ns.other.example.
ns.cut A 192.0.2.8
ns.cut AAAA 2001:db8::8
below.cut A 192.0.2.9
cut2 NS ns.cut
dn DNAME target
target A 192.0.2.10
one.target A 192.0.2.11
c.target CNAME mail
dn2 DNAME other.example.
dn3 DNAME dn
srv SRV 1 2 3 mail
ptr PTR mail
multi A 192.0.2.20
multi A 192.0.2.21
multi AAAA 2001:db8::20
big TXT "%s"
""" % '" "'.join("t%03d" % i + "x" * 90 for i in range(40)) + "".join(f"many A 198.18.{i // 250}.{i % 250}\n" for i in range(120)) + "*.b.c.e A 192.0.2.30\n\\*.lit A 192.0.2.31\nUPPER A 192.0.2.32\n"
if "NETD_LAB" not in os.environ:
    os.environ["NETD_FILES"] = tempfile.mkdtemp(prefix="netd-differ.")
    os.chmod(os.environ["NETD_FILES"], 0o755)
    open(os.environ["NETD_FILES"] + "/zone", "w").write(ZONE)
from plane import *

at, env = peers("nsd", "knot")
FILES = os.environ["NETD_FILES"]
inside(f"dns-zone=diff.example {FILES}/zone", "dns-rate=0")
import dns.edns, dns.flags, dns.message, dns.name, dns.query, dns.rcode, dns.rdatatype

t = Tap()
ok = t.ok
SEED, N = int(os.environ.get("SEED") or 1), 100000 if os.environ.get("LONG") == "1" else 8000
rng = random.Random(SEED)
open(FILES + "/nsd.conf", "w").write(f"""server:
 ip-address: 192.0.2.1@5301
 username: ""
 zonesdir: "{FILES}"
 database: ""
 pidfile: ""
 xfrdfile: "{FILES}/x"
 zonelistfile: "{FILES}/l"
 xfrdir: "{FILES}"
 logfile: "{FILES}/nsd.log"
 rrl-ratelimit: 0
 rrl-whitelist-ratelimit: 0
 minimal-responses: yes
remote-control:
 control-enable: no
zone:
 name: diff.example
 zonefile: zone
""")
open(FILES + "/knot.conf", "w").write(f"""server:
 rundir: "{FILES}"
 listen: 192.0.2.1@5302
database:
 storage: "{FILES}"
log:
 - target: "{FILES}/knot.log"
   any: info
template:
 - id: default
   semantic-checks: off
zone:
 - domain: diff.example
   file: "{FILES}/zone"
   zonefile-sync: -1
   zonefile-load: whole
""")
started = [subprocess.Popen(c, env=env, stdout=open(FILES + "/out", "a"), stderr=subprocess.STDOUT) for c in ([at + "/usr/sbin/nsd", "-d", "-c", FILES + "/nsd.conf"], [at + "/usr/sbin/knotd", "-c", FILES + "/knot.conf"])]
SERVERS = {"netd": (os.environ["NETD_DNS"], 53), "NSD": ("192.0.2.1", 5301), "Knot": ("192.0.2.1", 5302)}


def up(where):
    try:
        return bool(dns.query.udp(dns.message.make_query("ns.diff.example", "A"), where[0], port=where[1], timeout=0.2).answer)
    except Exception:
        return False


for name, where in SERVERS.items():
    ok(wait(lambda: up(where), 10), f"{name} has the zone", open(FILES + "/out").read()[-300:])
names = sorted({l.split()[0] for l in ZONE.splitlines() if l and l[0] not in "$@ "})
parts = ["a", "b", "c", "d", "wild", "cut", "dn", "*", "x", "mail", "target", "one", "zz", "dn3", "lit"]
TYPES = ["A", "AAAA", "NS", "CNAME", "SOA", "MX", "TXT", "PTR", "SRV", "DNAME", "DS", "CAA", "TYPE1000", "HTTPS", "NSEC", "DNSKEY", "RRSIG", "NAPTR"]


def question():
    n = rng.choice(names)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 5))):
        n = rng.choice(parts) + "." + n
    if rng.random() < 0.1 and "." in n:
        n = n.split(".", 1)[1]
    n = {0: "diff.example", 1: "other.example", 2: "example", 3: "."}.get(rng.randrange(60), n + ".diff.example")
    n = "".join(c.upper() if rng.random() < 0.3 else c for c in n)
    m = dns.message.make_query(n, rng.choice(TYPES), use_edns=-1)
    m.flags = (m.flags & ~dns.flags.RD) | rng.choice((0, dns.flags.RD)) | rng.choice((0, 0, 0, dns.flags.AD, dns.flags.CD, 0x40))
    if rng.random() < 0.6:
        m.use_edns(rng.choice((0, 0, 0, 0, 1)), rng.choice((0, 0x8000, 0x0001)), rng.choice((0, 400, 512, 1232, 4096)), options=rng.choice(([], [dns.edns.GenericOption(100, b"x")], [dns.edns.GenericOption(8, b"\0\1\x18\0\xc0\0\2")])))
    w = bytearray(m.to_wire())
    odd = rng.randrange(60)
    if odd == 0:
        w[2] = (w[2] & 0x87) | rng.choice((1, 2, 6, 15)) << 3
    elif odd == 1:
        w[4:6] = rng.choice((b"\0\0", b"\0\2"))
    elif odd == 2:
        w[rng.choice((7, 9))] = 1
    elif odd == 3:
        w[12] = rng.choice((0xc0, 0x41, 0x80))
    elif odd == 4:
        w = w[:rng.randrange(len(w))]
    elif odd == 5:
        w += b"\0" * rng.randrange(1, 9)
    elif odd == 6 and len(w) > 30:
        w[rng.randrange(12, len(w))] = rng.randrange(256)
    elif odd == 7:
        w[2] |= 0x80
    return bytes(w), odd


def ask(where, questions, patience=0.25):
    """Answers by id, all at once; it waits for patience seconds without an answer."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.connect(where)
    s.settimeout(patience)
    out = {}
    for i, w in enumerate(questions):
        if len(w) >= 2:
            s.send(i.to_bytes(2, "big") + w[2:])
        if i % 16 == 15:
            s.setblocking(False)
            try:
                while 1:
                    b = s.recv(8192)
                    out[int.from_bytes(b[:2], "big")] = b
            except BlockingIOError:
                pass
            s.settimeout(patience)
    try:
        while len(out) < len(questions):
            b = s.recv(8192)
            out[int.from_bytes(b[:2], "big")] = b
    except TimeoutError:
        pass
    return out


def meaning(b):
    """What an answer says: its rcode, flags, and records; "none" for silence."""
    if b is None:
        return "none"
    try:
        m = dns.message.from_wire(b, ignore_trailing=False)
    except Exception as e:
        return (b[3] & 15, "header") if b[2] & 0x78 else "unreadable " + type(e).__name__
    sections = tuple(frozenset((str(rr.name).lower(), rr.rdtype, rr.ttl if rr.rdtype != 5 else 0, "SOA" if rr.rdtype == 6 else r.to_text().lower()) for rr in s for r in rr) for s in (m.answer, m.authority))
    if m.flags & dns.flags.TC:
        sections = ("truncated", "")
    return m.rcode(), bool(m.flags & dns.flags.AA), bool(m.flags & dns.flags.RD), bool(m.flags & (dns.flags.AD | dns.flags.CD | dns.flags.RA)), m.edns, *sections


def additional(w):
    """The type of what follows a question, when nothing else does; None: it has none such."""
    at = 12
    try:
        while w[at]:
            at += w[at] + 1
        return int.from_bytes(w[at + 6:at + 8], "big") if w[4:12] == b"\0\1\0\0\0\0\0\1" and w[at + 5] == 0 else None
    except IndexError:
        return None


# What differs from both, and why that is right.
def defended(w, odd, ours, others):
    q = None
    try:
        q = dns.message.from_wire(w, ignore_trailing=True)
    except Exception:
        pass
    silent = [o for o in others if o == "none"]
    rcodes = {o[0] for o in others if o != "none"}
    if ours == "none":
        return None
    if odd in (1, 2, 3, 4, 5, 6) and ours[0] in (1, 4, 5, 16):
        return "malformed: FORMERR without the question, where others are silent, repeat it, or pass over it (RFC 8906, 9619)"
    if odd == 6 and additional(w) not in (None, 41, 250) and all(o == "none" or o[0] == 1 for o in others):
        return "an additional record that is neither OPT nor TSIG is passed over, whatever it holds; others judge its data"
    if odd == 0 and ours[0] in (4, 5):
        return "an opcode that is not spoken: NOTIMP or REFUSED (RFC 8906 3.1.4)"
    if ours[0] == 16 and 16 in rcodes:
        return "EDNS version 1: BADVERS with the question"
    if q is None or not q.question:
        return None
    name, kind = q.question[0].name.to_text().lower(), q.question[0].rdtype
    if ours[0] == 5:
        return "outside our zones: REFUSED without AA" if 5 in rcodes else None
    chain = [r for r in (ours[5] if isinstance(ours[5], frozenset) else ()) if r[1] in (5, 39)]
    if len(chain) >= 1 and any(r[1] == 39 for r in chain):
        return "DNAME: followed as often as it leads on, its aliases too (RFC 6672 3.2; Ferret: NSD and Knot stop early)"
    if "truncated" in (ours[5],) and any(o != "none" and o[5] != "truncated" for o in others):
        return "what is over 1,232 bytes is truncated, whatever is offered (RFC 9715)"
    if ours[0] == 0 and not ours[1] and any(r[1] == 2 for r in ours[6]):
        return "a referral: whole, without AA"
    return None


agree, differences, undefended = 0, collections.Counter(), []
for begin in range(0, N, 2000):
    batch = [question() for _ in range(min(2000, N - begin))]
    got = {name: ask(where, [w for w, _ in batch]) for name, where in SERVERS.items()}
    for _ in range(2):  # silence may be a loss on a busy machine: those are asked again
        for name, where in SERVERS.items():
            again = [i for i in range(len(batch)) if i not in got[name]]
            got[name].update({again[k]: b for k, b in ask(where, [batch[i][0] for i in again]).items() if k < len(again)})
    for i, (w, odd) in enumerate(batch):
        ours, *others = (meaning(got[s].get(i)) for s in SERVERS)
        if ours in others:
            agree += 1
            continue
        why = defended(w, odd, ours, others)
        for _ in range(8):  # a busy machine loses datagrams: what nothing defends is asked again, alone
            if why or ours in others:
                break
            ours, *others = (meaning(ask(where, [w], 1).get(0)) for where in SERVERS.values())
            why = defended(w, odd, ours, others)
        if ours in others:
            agree += 1
        elif why:
            differences[why] += 1
        else:
            undefended.append((w.hex(), odd, ours, others))
print(f"# {agree} of {N} agree with NSD or Knot")
for why, n in differences.most_common():
    print(f"# {n}: {why}")
ok(agree > N * 0.85, f"{agree} of {N} answers agree", len(undefended))
ok(not undefended, "every difference is named", "")
for w, odd, ours, others in undefended[:12]:
    try:
        q = dns.message.from_wire(bytes.fromhex(w), ignore_trailing=True).question
    except Exception:
        q = w
    print(f"# {q} odd {odd}\n#   ours {ours}\n#   NSD  {others[0]}\n#   Knot {others[1]}"[:1800])
for p in started:
    p.terminate()
    p.wait()
shutil.rmtree(FILES)
t.end()
