#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that is full, read-only or spoilt: changes are refused, what runs goes on, nothing is lost."""
import ctypes, os, shutil, sqlite3, sys
from plane import *

STATE = "/run/netd-store-test"
if "NETD_LAB" not in os.environ:  # a small disk, in a mount namespace of the test's own
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None) or libc.mount(b"t", b"/run", b"tmpfs", 0, None):
        sys.exit("no mount namespace: " + os.strerror(ctypes.get_errno()))
    os.makedirs("/run/netns")
    os.mkdir(STATE)
    if libc.mount(b"state", STATE.encode(), b"tmpfs", 0, b"size=8m,mode=755"):
        sys.exit("no small disk: " + os.strerror(ctypes.get_errno()))
inside("state-dir=" + STATE)
t, rt = Tap(), Runtime(serve=True)
ok = t.ok
DB = STATE + "/netd.db"
NAME = "aci-store.westeurope.azurecontainer.io"


def ready(want=200, seconds=15):
    return wait(lambda: call("GET", "/readyz")[0] == want, seconds)


def control():
    return role_pid("control")


def goes_on(what):
    ok(page(ip) == "192.0.2.1" and dig(NAME)[0] == "NOERROR", f"{what}: traffic and names go on", (page(ip), dig(NAME)))


def restart():
    was = control()
    os.kill(was, 9)
    wait(lambda: control() not in (None, was))


retry("PUT", RG, {"location": "westeurope"})
retry("PUT", CG + "web", group(label="aci-store"))
wait(lambda: state(CG + "web") == "Succeeded")
ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]
ok(wait(lambda: page(ip) == "192.0.2.1") and wait(lambda: dig(NAME)[0] == "NOERROR"), "a group serves")

# full
with open(STATE + "/filler", "wb", buffering=0) as f:
    try:
        while f.write(b"x" * 4096):
            pass
    except OSError:
        pass
codes, docs = [], []
for i in range(40):
    s, doc, _ = call("PUT", CG + f"full{i}", group(f"full{i}"))
    codes.append(s)
    docs.append(doc)
    if s == 507:
        break
ok(codes[-1] == 507 and docs[-1]["error"]["code"] == "InsufficientStorage" and "full" in docs[-1]["error"]["message"],
   "a full disk: 507 says why", (codes, docs[-1]))
refused = CG + f"full{len(codes) - 1}"
goes_on("full disk")
ok(wait(lambda: call("GET", refused)[0] == 404) and wait(lambda: call("GET", CG + "web")[0] == 200), "what was refused is not there; the rest is")
ok(call("DELETE", CG + "web")[0] in (503, 507), "a deletion is refused too")
restart()
ok(wait(lambda: call("GET", CG + "web")[0] == 200), "control starts with a full disk and reads")
ok(call("GET", "/readyz")[1].get("refused", "").startswith("store") and call("GET", "/readyz")[0] == 503, "/readyz tells", call("GET", "/readyz"))
goes_on("restart on a full disk")
os.remove(STATE + "/filler")
ok(ready() and retry("PUT", refused, group("x"))[0] == 201, "with room again, changes are accepted without a hand")
kept = {k for i in range(len(codes) - 1) for k in [CG + f"full{i}"]}
ok(all(call("GET", k)[0] == 200 for k in kept), "everything that was answered 201 is there", kept)
for k in kept | {refused}:
    retry("DELETE", k)
ok(wait(lambda: all(call("GET", k)[0] == 404 for k in kept | {refused})), "and can be deleted")

# read-only
def remount_readonly():
    """The mount is busy while control has the file: in the moment between two controls."""
    if control():
        os.kill(wait(control), 9)
    return subprocess.run(["mount", "-o", "remount,ro", STATE], capture_output=True).returncode == 0


ok(wait(remount_readonly), "the disk turns read-only")
ok(wait(lambda: call("GET", CG + "web")[0] == 200) and call("GET", CG + "ro")[0] == 404, "control starts on it and reads")
s, doc, _ = call("PUT", CG + "ro", group("ro"))
ok(s == 503 and "readonly" in doc["error"]["message"], "a read-only disk: 503 says why", (s, doc))
goes_on("restart on a read-only disk")
subprocess.run(["mount", "-o", "remount,rw", STATE], check=True)
ok(ready() and retry("PUT", CG + "ro", group("ro"))[0] == 201, "writable again")
retry("DELETE", CG + "ro")
wait(lambda: call("GET", CG + "ro")[0] == 404)

# spoilt: the file is damaged while control is away
os.kill(wait(control), 19)
good = {f: open(STATE + "/" + f, "rb").read() for f in os.listdir(STATE) if f.startswith("netd.db")}
for f in good:
    if f != "netd.db":
        os.remove(STATE + "/" + f)
db = sqlite3.connect(DB + ".copy")
db.close()
with open(DB, "r+b") as f:
    f.seek(0)
    f.write(b"\0" * 8192)
os.kill(control(), 9)
ok(wait(lambda: call("GET", CG + "web")[0] == 503), "a spoilt store: 503", call("GET", CG + "web"))
s, doc, _ = call("PUT", CG + "x", group("x"))
ok(s == 503 and "store" in doc["error"]["message"], "changes are refused with the reason", doc)
goes_on("spoilt store")
time.sleep(1.2)
for f, data in good.items():
    with open(STATE + "/" + f, "wb") as to:
        to.write(data)
    os.chown(STATE + "/" + f, 70001, 70001)
ok(ready() and call("GET", CG + "web")[0] == 200, "put back, all is as it was")
goes_on("store put back")

# a schema of the future, and one of the past
def with_schema(n, *sql):
    os.kill(wait(control), 19)
    d = sqlite3.connect(DB)
    for q in sql:
        d.execute(q)
    d.execute(f"PRAGMA user_version={n}")
    d.commit()
    d.close()
    for f in os.listdir(STATE):
        os.chown(STATE + "/" + f, 70001, 70001)
    os.kill(wait(control), 9)


with_schema(99)
ok(wait(lambda: call("GET", CG + "web")[0] == 503) and "newer" in call("GET", CG + "web")[1]["error"]["message"], "a newer schema is refused", call("GET", CG + "web"))
goes_on("newer schema")
time.sleep(1.2)
with_schema(1, "DELETE FROM pairs WHERE key LIKE 'caller/%'", "DELETE FROM pairs WHERE key LIKE 'token/%'",
            "INSERT INTO pairs VALUES ('token/" + "ab" * 32 + "', 1, '{\"subscription\":\"s1\",\"expires\":4102444800000}')")
ok(ready() and call("GET", CG + "web")[0] == 200, "an older schema is migrated")
d = sqlite3.connect(f"file:{DB}?mode=ro", uri=True)
caller = json.loads(d.execute("SELECT value FROM pairs WHERE key='caller/token-abababababab'").fetchone()[0])
token = json.loads(d.execute("SELECT value FROM pairs WHERE key LIKE 'token/%'").fetchone()[0])
ok(caller["subscriptions"] == ["s1"] and caller["role"] == "owner" and token == {"caller": "token-abababababab", "expires": 4102444800000},
   "its tokens are callers' now", (caller, token))
old = sqlite3.connect(f"file:{DB}.schema-1?mode=ro", uri=True)
ok(old.execute("PRAGMA user_version").fetchone()[0] == 1 and old.execute("SELECT count(*) FROM pairs WHERE key LIKE 'caller/%'").fetchone()[0] == 0,
   "a copy of the older one is kept")
goes_on("migration")
retry("DELETE", CG + "web")
wait(lambda: call("GET", CG + "web")[0] == 404)
ok(wait(lambda: namespaces() == []), "nothing is left", namespaces())
t.end()
