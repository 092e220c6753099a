#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store in an etcd of three members, with TLS and authentication: the contract that SQLite keeps too, also when answers are
lost and members die, hang and are cut off; a plane moved from SQLite; a plane whose etcd goes away, changes hands, and comes back."""
import random, re, signal
from plane import *
from members import *

inside("store=sqlite", store="etcd")
t, rt = Tap(), Runtime(serve=True)
ok = t.ok
LONG, SEED = os.environ.get("LONG") == "1", int(os.environ.get("SEED") or 1)
CONTRACT, NETD = os.environ["NETD_BUILD"] + "/unit/lib/store/contract_test", os.environ["NETD_BUILD"] + "/netd"
rng = random.Random(SEED)
NODE = ["nsenter", "--net=/run/netns/node1"]
NAME = "aci-store.westeurope.azurecontainer.io"


e = os.environ


def contract(**env):
    r = subprocess.run(NODE + [CONTRACT], env={**os.environ, "SEED": str(SEED), **env}, capture_output=True, text=True)
    return r.returncode == 0, (r.stdout + r.stderr)[-1500:]


# ---- the contract ----
good, out = contract()
ok(good, "the contract, by TLS and a password", out)
good, out = contract(NETD_ETCD_PASSWORD="wrong")
ok(not good and "authentication failed" in out, "a wrong password is told as such", out)
good, out = contract(NETD_ETCD_CA="/etc/hostname")
ok(not good and "https://10.99.0.1" in out, "certificates of others are refused", out)


class Cutter(threading.Thread):
    """A proxy that now and then closes a connection instead of handing on what comes back: the question was heard."""
    def __init__(self, port, to, share):
        super().__init__(daemon=True)
        self.to, self.share, self.n = to, share, 0
        ns = os.open("/run/netns/node1", os.O_RDONLY)
        self.ns, self.port = ns, port
        self.start()

    def run(self):
        import ctypes
        ctypes.CDLL(None).setns(self.ns, 0)
        self.listener = socket.create_server(("127.0.0.1", self.port))
        while True:
            a, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(a,), daemon=True).start()

    def serve(self, a):
        import ctypes
        ctypes.CDLL(None).setns(self.ns, 0)
        try:
            with a, socket.create_connection(self.to, 2) as b:
                while True:
                    for s in select.select([a, b], [], [])[0]:
                        data = s.recv(65536)
                        if not data:
                            return
                        if s is b and rng.random() < self.share:
                            self.n += 1
                            return
                        (b if s is a else a).sendall(data)
        except OSError:
            pass


cutters = [Cutter(2379 + i, (f"10.99.0.1{i}", 2379), 0.04) for i in (1, 2, 3)]
# The certificates are the members': their addresses lead to the proxies.
for i in (1, 2, 3):
    subprocess.run(NODE + ["nft", f"add table ip cut; add chain ip cut out {{ type nat hook output priority -100; }}; add rule ip cut out meta skuid 65534 ip daddr 10.99.0.1{i} tcp dport 2379 dnat to 127.0.0.1:{2379 + i}"], check=True)
subprocess.run(["install", "-o", "65534", "-m", "600", e["NETD_ETCD_KEY"], LAB + "/proxied.key"], check=True)
r = subprocess.run(NODE + ["setpriv", "--reuid=65534", "--clear-groups", CONTRACT], env={**os.environ, "SEED": str(SEED), "ONLY": "test_model", "ROUNDS": "400" if LONG else "60", "NETD_ETCD_KEY": LAB + "/proxied.key"}, capture_output=True, text=True)
ok(r.returncode == 0, f"{sum(c.n for c in cutters)} answers lost: each transaction was executed once, and its outcome told", (r.stdout + r.stderr)[-1500:])
ok(sum(c.n for c in cutters) >= 5, "answers were lost", [c.n for c in cutters])
subprocess.run(NODE + ["nft", "delete table ip cut"], check=True)

# ---- what is refused when it is sent again may have been executed before ----
b = Between(2391, "answer", 0.1)
good, out = contract(ONLY="test_model", ROUNDS="200" if LONG else "40", NETD_ETCD="http://127.0.0.1:2391")
ok(good and b.n > 5 and b.refused > 5, f"{b.n} answers lost, {b.refused} of them refused when sent again: each outcome is the first's", (b.n, b.refused, out))
b = Between(2392, "question", 1)
good, out = contract(ONLY="test_large", NETD_ETCD="http://127.0.0.1:2392")
ok(good and b.n >= 5, f"{b.n} questions lost: one that is too large is told so, the others are executed", (b.n, out))

# ---- members die, hang, are cut off ----
hammer = subprocess.Popen(NODE + [CONTRACT], env={**os.environ, "SEED": str(SEED), "ONLY": "test_model", "ROUNDS": "3000" if LONG else "700"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
faults, compacted, began = [], 0, time.time()
while hammer.poll() is None and time.time() - began < (180 if LONG else 18):
    i, kind = rng.randint(1, 3), rng.choice(["kill", "pause", "cut"])
    two = rng.random() < 0.25  # no majority for a while
    victims = [i, i % 3 + 1] if two else [i]
    faults.append((kind, victims))
    for v in victims:
        if kind == "kill":
            os.kill(member_pid(v), signal.SIGKILL)
        elif kind == "pause":
            os.kill(member_pid(v), signal.SIGSTOP)
        else:
            member_cut(v)
    time.sleep(rng.uniform(0.2, 2.5))
    for v in victims:
        if kind == "kill":
            member_start(v)
        elif kind == "pause":
            os.kill(member_pid(v), signal.SIGCONT)
        else:
            member_cut(v, False)
    time.sleep(rng.uniform(0.1, 1))
    if rng.random() < 0.4:  # who was cut off finds nothing to go on from
        rev = member_ask("maintenance/status", {}, rng.randint(1, 3)).get("header", {}).get("revision")
        compacted += rev is not None and "header" in as_user("root", "kv/compaction", {"revision": rev})
out = hammer.communicate()[0]
ok(hammer.returncode == 0 and len(faults) >= 2, f"{len(faults)} faults of members, {compacted} compactions: the model holds, and is followed", (faults, out[-1500:]))

# ---- moved from SQLite ----
retry("PUT", RG, {"location": "westeurope"})
retry("PUT", CG + "web", group(label="aci-store"))
wait(lambda: state(CG + "web") == "Succeeded")
doc = call("GET", CG + "web")[1]
ip = doc["properties"]["ipAddress"]["ip"]


def goes_on(what):
    ok(page(ip) == "192.0.2.1" and dig(NAME)[0] == "NOERROR", f"{what}: traffic and names go on", (page(ip), dig(NAME)))


def ready(want=200, seconds=15):
    return wait(lambda: call("GET", "/readyz")[0] == want, seconds)


ok(wait(lambda: page(ip) == "192.0.2.1") and wait(lambda: dig(NAME)[0] == "NOERROR"), "a group serves, of a plane in SQLite")
move = lambda conf: subprocess.run(NODE + [NETD, "--config", conf, "--move-store"], capture_output=True, text=True)
conf = open(LAB + "/netd.conf").read()
on_etcd = re.sub(r"store *= *sqlite\n", "", conf)
r = move(LAB + "/netd.conf")
ok(r.returncode == 78 and "needs store = etcd" in r.stderr, "a move to nowhere is refused", r)
open(LAB + "/netd.conf", "w").write(on_etcd)
open(LAB + "/other.conf", "w").write(on_etcd.replace("/netd-etcd.pem", "/ca.pem"))
r = move(LAB + "/other.conf")
ok(r.returncode == 78 and "nothing was changed" in r.stderr, "one to an etcd that is not ours too", r)
ok(ready() and call("PUT", CG + "more", group(ports=(81,)))[0] in (200, 201), "the plane takes changes as before")
retry("DELETE", CG + "more")
wait(lambda: call("GET", CG + "more")[0] == 404)
r = move(LAB + "/netd.conf")
ok(r.returncode == 0 and "are in etcd now" in r.stdout, "moved while netd runs", r)
goes_on("moved")
ok(wait(lambda: call("PUT", RG + "2", {"location": "westeurope"})[0] in (200, 201)) and "demo2" in stored(RG + "2"), "the next change finds the file closed, and is made in etcd", call("PUT", RG + "2", {"location": "westeurope"}))
goes_on("and then")
r = move(LAB + "/netd.conf")
ok(r.returncode == 78 and "moved already" in r.stderr, "once", r)
open(LAB + "/netd.conf", "w").write(conf)
os.kill(role_pid("control"), 9)
moved = lambda: call("PUT", RG + "3", {"location": "westeurope"})
ok(wait(lambda: moved()[0] == 503 and "is in etcd now" in moved()[1]["error"]["message"]), "who opens the file is told where its pairs are", moved())
goes_on("the old configuration")
open(LAB + "/netd.conf", "w").write(on_etcd)
was = open(LAB + "/netd.pid").read()
os.kill(int(was), signal.SIGTERM)
ok(wait(lambda: open(LAB + "/netd.pid").read() != was) and ready(), "restarted, on etcd", open(LAB + "/netd.log").read()[-500:])
goes_on("on etcd")
ok(call("GET", CG + "web")[1] == doc, "the group is what it was", call("GET", CG + "web")[1])


# ---- a plane in etcd ----
label = lambda n: {"location": "westeurope", "tags": {"n": str(n)}}
ok(call("PUT", RG, label(1))[0] in (200, 201) and '"n":"1"' in stored(RG), "a change is there when it is answered", stored(RG))
control = role_pid("control")
leader = next((i for i in (1, 2, 3) if member_ask("maintenance/status", {}, i, None).get("leader") and member_ask("maintenance/status", {}, i)["leader"] == member_ask("maintenance/status", {}, i)["header"]["member_id"]), 1)
os.kill(member_pid(leader), signal.SIGKILL)
began = time.time()
s, d, _ = call("PUT", RG, label(2))
ok(s in (200, 201) and time.time() - began < 10, f"the leader killed: the change of that moment is made, in {time.time() - began:.1f} s", (s, d))
member_start(leader)

others = [i for i in (1, 2, 3) if i != leader]
for i in others:
    os.kill(member_pid(i), signal.SIGSTOP)
began = time.time()
s, d, _ = call("PUT", RG, label(3))
ok(s == 503 and "not known" in d["error"]["message"], f"no majority: who waits is told after {time.time() - began:.1f} s that the outcome is not known", (s, d))
s, d, _ = call("PUT", RG, label(4))
ok(s == 503 and "Changes are refused" in d["error"]["message"], "and the next is refused with the reason", (s, d))
ok(call("GET", "/readyz")[0] == 503, "readyz tells")
goes_on("without etcd")
ok(wait(lambda: call("GET", RG)[0] == 503, 10), "when the lease is over, what is read could be old: that is refused too", call("GET", RG))
for i in others:
    os.kill(member_pid(i), signal.SIGCONT)
ok(ready(200, 20) and role_pid("control") == control, "a majority again: nothing had to restart", call("GET", "/readyz"))
ok(wait(lambda: call("GET", RG)[1].get("tags") == {"n": "3"}) and '"n":"3"' in stored(RG), "and what was under way was executed", (call("GET", RG)[1], stored(RG)))

# more steps than etcd takes in a transaction
wait(lambda: call("GET", RG)[0] == 200)
name = "many"
made = [201 if call("PUT", "/netd/callers/many", {"subscriptions": [SUB], "role": "reader"})[0] == 204 else 0]
made += [call("POST", "/netd/tokens", {"caller": name})[0] for _ in range(150)]
s, d, _ = retry("DELETE", "/netd/callers/" + name, want=(204,))
wait(lambda: call("GET", "/netd/tokens")[0] == 200)
left = [x for x in call("GET", "/netd/tokens")[1]["value"] if x["caller"] == name]
ok(set(made) == {201} and s == 204 and not left and name not in json.dumps(call("GET", "/netd/callers")[1]), "a caller with 151 tokens goes with all of them", (set(made), s, d, len(left)))
os.kill(role_pid("control"), 9)
ok(ready(200, 20) and not [x for x in call("GET", "/netd/tokens")[1]["value"] if x["caller"] == name], "in the store too")
control = role_pid("control")

# no space left
wait(lambda: call("GET", RG)[0] == 200)
alarm = lambda action: as_user("root", "maintenance/alarm", {"action": action, "memberID": member, "alarm": "NOSPACE"})
member = member_ask("maintenance/status", {})["header"]["member_id"]
alarm("ACTIVATE")
s, d, _ = call("PUT", RG, label(31))
ok(s == 507 and "space exceeded" in d["error"]["message"], "no space left in etcd: told as such", (s, d))
got = call("GET", RG)
ok(got[0] == 507 and "not known" in got[1]["error"]["message"], "what is read could be ahead of the store: that is refused", got)
goes_on("no space left")
alarm("DEACTIVATE")
ok(ready(200, 20) and role_pid("control") == control and '"n":"31"' in stored(RG), "room again: nothing had to restart, and what waited was executed", (call("GET", RG), stored(RG)))

alarm("ACTIVATE")
os.kill(control, 9)
ok(wait(lambda: role_pid("control") not in (None, control)) and wait(lambda: "space exceeded" in json.dumps(call("PUT", RG, label(32))[1])), "no space when control begins: told as such", call("PUT", RG, label(32)))
control = role_pid("control")
time.sleep(3)
ok(role_pid("control") == control, "and it waits, without beginning again and again")
goes_on("no space at its start")
alarm("DEACTIVATE")
ok(ready(200, 20) and call("PUT", RG, label(33))[0] in (200, 201), "room again: it takes changes", call("GET", "/readyz"))
control = role_pid("control")

# cut off from etcd
member_cut(0)
ok(wait(lambda: call("GET", RG)[0] == 503, 10), "cut off: so is reading after the lease")
time.sleep(2)
goes_on("cut off")
member_cut(0, False)
ok(ready(200, 20) and role_pid("control") == control and call("PUT", RG, label(5))[0] in (200, 201), "cut off for longer than the lease, and nobody came: it goes on", call("GET", "/readyz"))

# killed
os.kill(control, 9)
ok(wait(lambda: role_pid("control") not in (None, control)) and ready() and call("GET", RG)[1]["tags"] == {"n": "5"}, "control killed: at once again, the same", call("GET", RG))

# another takes it while this one sleeps
control = role_pid("control")
os.kill(control, signal.SIGSTOP)
time.sleep(7)
as_user("netd", "kv/put", {"key": b64("/netd/holder"), "value": b64("node9")})
as_user("netd", "kv/put", {"key": b64("/netd/fence"), "value": b64("11111111-2222-3333-4444-555555555555 1")})
os.kill(control, signal.SIGCONT)
ok(call("GET", RG)[0] == 503, "awake after its lease: it says nothing of what it knew")
held = lambda: call("PUT", RG, label(6))
ok(wait(lambda: "held by node 'node9'" in json.dumps(held()[1]), 20), "another has it: changes are refused, and it is told who", held())
goes_on("held by another")
ok('"n":"5"' in stored(RG), "nothing was written")
as_user("netd", "kv/deleterange", {"key": b64("/netd/holder")})
ok(ready(200, 20) and retry("PUT", RG, label(7))[0] in (200, 201), "given back: taken again", call("GET", "/readyz"))
goes_on("at the end")
held = stored("meta/node")
as_user("netd", "kv/put", {"key": b64("/netd/data/meta/node"), "value": b64('{"name":"node8"}')})
os.kill(role_pid("control"), 9)
ok(wait(lambda: "run on node 'node8'" in json.dumps(call("PUT", RG, label(8))[1]), 10), "groups of another node are not made a second time", call("PUT", RG, label(8)))
goes_on("of another node")
as_user("netd", "kv/put", {"key": b64("/netd/data/meta/node"), "value": b64(held)})
os.kill(role_pid("control"), 9)
ok(ready(200, 20), "its own again", call("GET", "/readyz"))
t.end()
