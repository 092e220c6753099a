#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house: what the lab promises, how netd starts, tells and refuses to; what is installed; the
host's own firewall beside tenants' traffic."""
import signal, tempfile
from plane import *

here = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(here))
BUILD = os.environ.get("NETD_BUILD", TOP + "/build")
t = Tap()
ok = t.ok
labs = lambda: {d for d in os.listdir("/tmp") if d.startswith("netd-lab.")}


def lab(*args, **k):
    return subprocess.run([here + "/run", *args], capture_output=True, text=True, **k)


if len(sys.argv) > 1 and sys.argv[1] == "alone":  # no configuration of addresses: the host alone reaches the groups
    work = sys.argv[2]
    os.environ.update(NETD_LAB=work, NETD_SOCKET=work + "/node1/run/api.sock")
    netd = subprocess.Popen([BUILD + "/netd", "--config", work + "/conf"], stderr=subprocess.DEVNULL)
    rt = Runtime(serve=True)
    retry("PUT", RG, {"location": "w"})
    retry("PUT", CG + "web", group())
    wait(lambda: state(CG + "web") == "Succeeded")
    ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]

    print(json.dumps([ip, wait(lambda: page(ip))]))
    for x in rt.servers.values():
        x.kill()
    netd.terminate()
    netd.wait()
    sys.exit(0)

if "NETD_LAB" in os.environ:  # inside: the host drops all it forwards, tenants are served all the same
    inner = sys.argv[1]
    rt = Runtime(serve=True)
    retry("PUT", RG, {"location": "w"})
    retry("PUT", CG + "web", group())
    wait(lambda: state(CG + "web") == "Succeeded")
    ip = call("GET", CG + "web")[1]["properties"]["ipAddress"]["ip"]

    up = bool(wait(lambda: page(ip)))
    rules = "table inet strict { chain f { type filter hook forward priority 0; policy drop; }; chain i { type filter hook input priority 0; policy drop; ct state established accept; }; chain p { type filter hook prerouting priority -300; policy accept; tcp dport 80 counter drop comment \"must see nothing\"; }; }"
    subprocess.run(["nsenter", "--net=/run/netns/node1", "nft", rules], check=True)
    through = bool(page(ip))
    counter = subprocess.run(["nsenter", "--net=/run/netns/node1", "nft", "list", "table", "inet", "strict"], capture_output=True, text=True).stdout
    subprocess.run(["nsenter", "--net=/run/netns/node1", "nft", "flush", "ruleset"], check=True)
    again = bool(wait(lambda: page(ip), 3))
    print(json.dumps([up, through, "packets 0 bytes 0" in counter, again]))
    sys.exit(0)

before = labs()
r = lab("--", "sh", "-c", "echo out; echo err >&2; exit 7")
ok(r.returncode == 7 and r.stdout == "out\n" and "err" in r.stderr, "exit status and output are the command's", r)
kept = labs() - before
ok(len(kept) == 1, "a command that fails leaves its logs", kept)
for d in kept:
    subprocess.run(["rm", "-rf", "/tmp/" + d])
names = ("NETD_API", "NETD_CA", "NETD_TOKEN", "NETD_SUBSCRIPTION", "NETD_DNS", "NETD_SOCKET", "NETD_NETCTL", "NETD_NODE_NETNS", "NETD_LAB")
r = lab("--", "sh", "-c", "for n in " + " ".join(names) + "; do eval echo $n=\\$$n; done; curl -s --cacert $NETD_CA -H \"Authorization: Bearer $NETD_TOKEN\" $NETD_API/subscriptions/$NETD_SUBSCRIPTION?api-version=1; $NETD_NETCTL get rg")
env = dict(l.split("=", 1) for l in r.stdout.splitlines() if l.startswith("NETD_"))
ok(all(env.get(n) for n in names) and env["NETD_API"].startswith("https://") and '"subscriptionId"' in r.stdout and "NAME" in r.stdout, "the command sees what it was promised", r.stdout)
ok(labs() == before, "and nothing is left of it", labs() - before)

# two at once
script = "$NETD_NETCTL apply -f %s/examples/demo.yaml -g g >/dev/null 2>&1; $NETD_NETCTL get cg -o name; dig +short @$NETD_DNS aci-demo.westeurope.azurecontainer.io A | head -1; sleep 1; $NETD_NETCTL delete rg g >/dev/null" % TOP
two = [subprocess.Popen([here + "/run", "--", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
outs = [p.communicate()[0].split() for p in two]
ok([p.returncode for p in two] == [0, 0] and outs[0] == outs[1] and len(outs[0]) == 2 and outs[0][1].startswith("192.0.2."), "two labs side by side know nothing of each other", outs)
p = subprocess.Popen([here + "/run", "--", "sleep", "100"], stderr=subprocess.PIPE)
wait(lambda: labs() - before)
time.sleep(1)
p.send_signal(signal.SIGINT)
ok(wait(lambda: p.poll() is not None, 15), "an interrupt ends it")
mine = [x for x in os.listdir("/proc") if x.isdigit() and any(d.encode() in cmdline(x) for d in labs() - before)]
ok(not mine, "with all it started", mine)
for d in labs() - before:
    subprocess.run(["rm", "-rf", "/tmp/" + d])

# starting
work = tempfile.mkdtemp(prefix="netd-start.")
os.chmod(work, 0o755)


def start(config, setup="", seconds=0.0, notify=None):
    """netd in a network and mount namespace of its own, for so long; its output and status."""
    open(work + "/conf", "w").write(f"state-dir = {work}/state\nrun-dir = {work}/run\nuser-control = 70001\nuser-dns = 70002\nlisten-dns = \n" + config)
    cmd = f"ip link set lo up; {setup} {BUILD}/netd --config {work}/conf & p=$!; sleep {seconds}; kill $p 2>/dev/null; wait $p; exit $?" if seconds else f"ip link set lo up; {setup} exec {BUILD}/netd --config {work}/conf"
    return subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", cmd], capture_output=True, text=True, timeout=30,
                          env={**os.environ, **({"NOTIFY_SOCKET": notify} if notify else {})})


r = start("", "ip link add name x0 type veth peer name x1; ip addr add 198.18.0.5/16 dev x0; ip link set x0 up;")
ok(r.returncode == 78 and "198.18.0.0/24 overlaps" in r.stderr and "x0" in r.stderr, "the default pool is refused where the host has a route there", r)
for line, says in (("nonsense = 1\n", "conf:6"), ("mtu = x\n", "accepted is"), ("pool = routed 10.0.0.1/8\n", "conf:6"), ("pool = routed 10.0.0.0/8\npool = routed 10.1.0.0/16\n", "overlap"),
                   ("gateway = dc1 /run/netns/dc1\n", "NAME SUBSCRIPTION PATH"), ("gateway = dc1 * run/netns/dc1\n", "conf:6"), ("gateway = a * /run/netns/x\ngateway = b * /run/netns/x\n", "conf:7"),
                   ("run-dir = /run/elsewhere\ngateway = a * /run/elsewhere/ns/gw\n", "run-dir"), ("link-local = 10.0.0.1:80 192.0.2.1:80\n", "accepted is"), ("link-local = 169.254.169.254:80\n", "accepted is"),
                   ("link-local = 169.254.169.254:99999 192.0.2.1:80\n", "conf:6")):
    r = start(line)
    ok(r.returncode == 78 and says in r.stderr, f"refused with line and reason: {line.split(chr(10))[0]}", r)
r = start("listen-dns = 127.0.0.1:5300\n", "python3 -c 'import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind((\"127.0.0.1\",5300)); time.sleep(20)' & sleep 0.5;")
ok(r.returncode == 78 and "127.0.0.1:5300" in r.stderr and "ss -lntup" in r.stderr, "a port that is taken is a configuration error", r)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(work + "/notify")
notify.settimeout(0.2)
r = start("", seconds=4.5, notify=work + "/notify")
said = []
try:
    while True:
        said.append(notify.recv(1000).decode())
except OSError:
    pass
ok(r.returncode == 0 and said[:1] == ["READY=1"] and "WATCHDOG=1" in said and said[-1] == "STOPPING=1", "systemd is told: ready, alive, stopping", (r.returncode, said, r.stderr[-300:]))
key = work + "/state.key"
ok(os.stat(key).st_size == 32 and os.stat(key).st_mode & 0o777 == 0o600, "the key of sealed secrets was made, root's alone, beside the store")
import sqlite3
row = sqlite3.connect(work + "/state/netd.db").execute("SELECT value FROM pairs WHERE key='meta/operations'").fetchone()[0]
ok(list(json.loads(row)) == ["sealed"], "and what the store keeps secret is sealed", row)
os.chmod(key, 0o644)
r = start("")
ok(r.returncode == 78 and "state.key" in r.stderr and "0600" in r.stderr, "a key that others can read is refused", r)
os.makedirs(work + "/node1/run")
open(work + "/conf", "w").write(f"state-dir = {work}/state2\nrun-dir = {work}/node1/run\nuser-control = 70001\nuser-dns = 70002\nlisten-dns = \n")
r = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c", f"ip link set lo up; exec {sys.executable} {__file__} alone {work}"],
                   capture_output=True, text=True, timeout=60)
ok(r.stdout and json.loads(r.stdout)[0].startswith("198.18.0.") and json.loads(r.stdout)[1] == "198.18.0.1", "without configuration the host reaches its groups", r)
subprocess.run(["rm", "-rf", work])

# the host's firewall
r = lab("--no-runtime", "--", sys.executable, __file__, "inside")
got = json.loads(r.stdout.splitlines()[-1]) if r.stdout else []
ok(got == [True, True, True, True], "a host that drops all it forwards neither drops nor sees tenants' packets, nor does a flush of its rules", (got, r.stderr[-300:]))

# what is generated is current
r = subprocess.run([BUILD + "/netd", "--compatibility"], capture_output=True, text=True)
ok(r.stdout == open(TOP + "/docs/azure-compatibility.md").read(), "docs/azure-compatibility.md is what `make docs` writes")

# installation
dest = tempfile.mkdtemp(prefix="netd-install.")
r = subprocess.run(["make", "-s", "-C", TOP, "install", "DESTDIR=" + dest, "PREFIX=/usr"], capture_output=True, text=True)
files = {os.path.relpath(os.path.join(d, f), dest) for d, _, fs in os.walk(dest) for f in fs}
ok(r.returncode == 0 and files == {"usr/sbin/netd", "usr/bin/netctl", "etc/netd/netd.conf", "usr/share/bash-completion/completions/netctl", "lib/systemd/system/netd.service"}, "make install DESTDIR", (r, files))
unit = open(dest + "/lib/systemd/system/netd.service").read()
ok("ExecStart=/usr/sbin/netd --config /etc/netd/netd.conf" in unit and "Type=notify" in unit, "the unit starts what was installed", unit)
caps = ",".join("+" + c[4:].lower() for c in unit.partition("CapabilityBoundingSet=")[2].split("\n")[0].split())
work = tempfile.mkdtemp(prefix="netd-unit.")
os.chmod(work, 0o755)
open(work + "/conf", "w").write(f"state-dir = {work}/state\nrun-dir = {work}/run\nlisten-dns =\n")
p = subprocess.Popen(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "sh", "-c",
                      f"ip link set lo up; exec setpriv --bounding-set=-all,{caps} {dest}/usr/sbin/netd --config {work}/conf"], stderr=open(work + "/log", "w"))
ready = False
for _ in range(200):
    ready = subprocess.run(["curl", "-sf", "--unix-socket", work + "/run/api.sock", "http://x/readyz"], capture_output=True).returncode == 0
    if ready or p.poll() is not None:
        break
    time.sleep(0.05)
ok(ready, "what the unit leaves it is enough to become ready", open(work + "/log").read()[-1500:])
p.kill()
p.wait()
time.sleep(0.2)
subprocess.run(["rm", "-rf", work])
r = subprocess.run([dest + "/usr/sbin/netd", "--version"], capture_output=True, text=True)
ok(r.stdout.startswith("netd "), "and it runs", r)
subprocess.run(["rm", "-rf", dest])
t.end()
