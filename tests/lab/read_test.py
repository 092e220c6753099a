#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What control knows is ahead of the store while changes are under way: nothing of that is told before it is stored. Transactions are
held one by one on their way to etcd, control is killed, and what was told is held against what is there afterwards."""
import re, signal
from plane import *
from members import *

inside(store="etcd")
t = Tap()
ok = t.ok
gate = Gate(2393)
X = RG + "/providers/Microsoft.Network/routeTables/"
made = lambda n: {"location": "westeurope", "tags": {"n": str(n)}}
tag = lambda answer: (answer[1] or {}).get("tags", {}).get("n")


class Ask(threading.Thread):
    """A call that goes on beside the test's."""
    def __init__(self, *args):
        super().__init__(daemon=True)
        self.args, self.answer = args, None
        self.start()
        time.sleep(0.15)  # it has reached control

    def run(self):
        self.answer = call(*self.args)

    def end(self):
        self.join(10)
        return self.answer


def held(n=1):
    if not wait(lambda: len(gate.held) == n, 3):
        raise SystemExit(f"not ok: {len(gate.held)} transactions are held, not {n}")


def fall():
    """Control is killed; what was held never was."""
    was = role_pid("control")
    os.kill(was, signal.SIGKILL)
    gate.drop()
    if not wait(lambda: role_pid("control") not in (None, was) and call("GET", "/readyz")[0] == 200, 20):
        raise SystemExit("not ok: control is not back")


def begin(**resources):
    for name, n in resources.items():
        retry("PUT", X + name, made(n))
    time.sleep(0.3)  # what netd itself writes is done
    gate.close()
    first = Ask("PUT", X + "first", made(0))
    held()
    return first


# ---- control asks etcd through the gate ----
conf = open(LAB + "/netd.conf").read()
conf = re.sub(r"etcd-endpoints *=.*\n", "etcd-endpoints = http://127.0.0.1:2393\n", conf)
conf = re.sub(r"etcd-(ca|cert|key) *=.*\n", "", conf)
open(LAB + "/netd.conf", "w").write(conf)
was = open(LAB + "/netd.pid").read()
os.kill(int(was), signal.SIGTERM)
ok(wait(lambda: open(LAB + "/netd.pid").read() != was and call("GET", "/readyz")[0] == 200, 20), "control asks through the gate", open(LAB + "/netd.log").read()[-500:])
retry("PUT", RG, {"location": "westeurope"})

# ---- a deletion and a read that waited for the same ----
first = begin(x=1)
gone, read = Ask("DELETE", X + "x"), Ask("GET", X + "x")
gate.let()
held()
told = read.end() if wait(lambda: read.answer, 1) else None
fall()
after = call("GET", X + "x")
ok(after[0] == 200 and told and told[0] == 200 and tag(told) == "1" and gone.end()[0] == 0, "a deletion and a read wait for the same: what was not stored was not told, and the read did not wait for it", (told, after, gone.end()))
ok(first.end()[0] == 201, "the change before them was answered", first.end())

# ---- a change that comes while a read waits ----
begin(x=1)
read, second = Ask("GET", X + "x"), Ask("PUT", X + "second", made(0))
gate.let()
held()
change = Ask("PUT", X + "x", made(2))
gate.let()
held()
told = read.end() if wait(lambda: read.answer, 1) else None
fall()
after = call("GET", X + "x")
ok(tag(after) == "1" and told and tag(told) == "1", "a change that came while a read waited was not told to it", (told, after))

# ---- a read after a change ----
begin(x=1)
change, read, listed = Ask("PUT", X + "x", made(3)), Ask("GET", X + "x"), Ask("GET", X.rstrip("/"))
gate.let()
held()
time.sleep(0.3)
ok(not read.answer and not listed.answer, "a read after a change that is under way waits for it", (read.answer, listed.answer))
gate.let()
told = read.end()
ok(tag(told) == "3" and any(v["name"] == "x" and v["tags"]["n"] == "3" for v in listed.end()[1]["value"]) and tag(change.end()) == "3", "and tells it then", (told, listed.answer, change.answer))
fall()
ok(tag(call("GET", X + "x")) == "3", "it is there", call("GET", X + "x"))

# ---- an answer to a change that has been overtaken ----
begin(x=1)
change = Ask("PUT", X + "x", made(4))
gate.let()
held()
over = Ask("PUT", X + "x", made(5))
gate.let()
held()
time.sleep(0.3)
told = change.answer
fall()
after = call("GET", X + "x")
ok(tag(after) == "4" and tag(told or (0, None, {})) in (None, "4"), "who made a change is not told of the next, which is not stored", (told, after))

# ---- a refusal for what is not stored ----
begin()
new, again = Ask("PUT", X + "new", made(6)), Ask("PUT", X + "new", made(7), {"If-None-Match": "*"})
ok(not again.answer, "a refusal waits for what it was refused for", again.answer)
fall()
ok(call("GET", X + "new")[0] == 404 and again.end()[0] == 0, "which never was", (again.answer, call("GET", X + "new")))
begin()
new, again = Ask("PUT", X + "new", made(6)), Ask("PUT", X + "new", made(7), {"If-None-Match": "*"})
gate.let()
held()
gate.let()
ok(again.end()[0] == 412 and new.end()[0] == 201, "or is there", (again.answer, new.answer))
fall()

# ---- who waits when nobody knows ----
first = begin(x=1)
gone, read = Ask("DELETE", X + "x"), Ask("GET", X + "x")
s, d, _ = read.end()
ok(s == 503 and "not known" in d["error"]["message"], "etcd says nothing for 6 s: a read that waited is told that", (s, d))
s, d, _ = call("GET", X + "x")
ok(s == 503, "and the next", (s, d))
gate.drop()
ok(wait(lambda: call("GET", X + "x")[0] in (200, 404), 15) and first.end() is not None, "etcd answers again: so do reads", call("GET", X + "x"))
t.end()
