#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runtimes as they come from Debian, on netd's networks: podman 4.3 with its CNI backend and with a namespace made ready, containerd
1.6 (ctr), runc. Containers are a busybox each."""
import sys, threading
from plane import *

peers("podman", "containerd")
inside()
from runtimes import *

LONG = os.environ.get("LONG") == "1"
r = podman("network", "ls")
ok(r.returncode == 0 and "pods" in r.stdout and "netd-cni" in r.stdout, "podman lists the network", r.stdout + r.stderr)
r = podman("run", "--rm", "--rootfs", WORK + "/rootfs", "/bin/ip", "-4", "addr", "show", "dev", "eth0")
ok(r.returncode == 0 and "10.0.0." in r.stdout, "podman run: a container with an address", r.stdout + r.stderr)
ok(wait(lambda: not attached(), 5), "and nothing left when it has ended")
r = podman("run", "--rm", "--network", "pods:ip=10.0.1.9,mac=06:00:00:00:01:09", "--rootfs", WORK + "/rootfs", "/bin/ip", "addr", "show", "dev", "eth0")
ok("10.0.1.9/20" in r.stdout and "06:00:00:00:01:09" in r.stdout, "with an address and a MAC of its choice", r.stdout + r.stderr)
r = podman("run", "--rm", "--rootfs", WORK + "/rootfs", "/bin/cat", "/etc/resolv.conf")
ok("nameserver 168.63.129.16" in r.stdout and "internal.cloudapp.net" in r.stdout, "resolv.conf leads to the VNet's resolver", r.stdout + r.stderr)
r = podman("run", "-d", "--name", "web", "-p", "8080:80/tcp", "--rootfs", WORK + "/rootfs", "/bin/httpd", "-f", "-p", "80", "-h", "/")
ok(r.returncode == 0, "a server in the background", r.stderr)
name = (attached() or [{"name": ""}])[0]["name"]
r = podman("run", "--rm", "--rootfs", WORK + "/rootfs", "/bin/wget", "-qO-", f"http://{name}.internal.cloudapp.net/index.html")
ok(r.stdout == "from a container\n", "another container reaches it by its name", r.stdout + r.stderr)
srv = socket.create_server(("192.0.2.1", 7070))
threading.Thread(target=lambda: (lambda c, a: (c.sendall(a[0].encode()), c.close()))(*srv.accept()), daemon=True).start()
r = podman("run", "--rm", "--rootfs", WORK + "/rootfs", "/bin/nc", "192.0.2.1", "7070")
egress = r.stdout.strip()
ok(page(egress, 8080) == "from a container\n", "the published port answers from outside", (egress, r.stderr))
r = podman("run", "--rm", "-p", "127.0.0.1:9090:90", "--rootfs", WORK + "/rootfs", "/bin/true")
ok(r.returncode != 0 and "hostIP" in r.stderr, "one at the host's loopback is refused, and podman's user reads why", r.stderr)
r = podman("run", "--rm", "--network", "pods:ip=10.200.0.1", "--rootfs", WORK + "/rootfs", "/bin/true")
ok(r.returncode != 0 and "10.200.0.1" in r.stderr, "so is an address outside the subnet", r.stderr)
r = podman("rm", "-f", "-t", "0", "web")
ok(wait(lambda: not attached(), 5), "podman rm leaves nothing", [g["name"] for g in attached()])
ns = Namespace("ready")
doc = plugin("ADD", json.load(open("/etc/cni/net.d/10-pods.conflist"))["plugins"][0] | {"cniVersion": "1.0.0", "name": "pods"}, container="ready", netns=ns.path)[1]
r = podman("run", "--rm", "--network", "ns:" + ns.path, "--rootfs", WORK + "/rootfs", "/bin/ip", "addr", "show", "dev", "eth0")
ok(doc["ips"][0]["address"] in r.stdout, "podman in a namespace made ready", r.stdout + r.stderr)
bundle = WORK + "/bundle"
os.makedirs(bundle)
subprocess.run(["runc", "spec"], cwd=bundle, check=True)
spec = json.load(open(bundle + "/config.json"))
spec["root"]["path"], spec["process"]["args"], spec["process"]["terminal"] = WORK + "/rootfs", ["/bin/ip", "addr", "show", "dev", "eth0"], False
spec["linux"]["namespaces"] = [n | ({"path": ns.path} if n["type"] == "network" else {}) for n in spec["linux"]["namespaces"] if n["type"] != "cgroup"]
spec["linux"].pop("resources", None)
spec["linux"]["cgroupsPath"] = f"/{OWN}/runc"
spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "cgroup"]
json.dump(spec, open(bundle + "/config.json", "w"))
r = run("runc", "--root", WORK + "/runc", "run", "-b", bundle, "c1")
ok(doc["ips"][0]["address"] in r.stdout, "runc with the namespace's path", r.stdout + r.stderr)
ns.drop()
ok(wait(lambda: not attached(), 5), "and nothing left")

# ---- many, 16 at a time ----
def many(start, n):
    """start(i) for n containers, 16 at a time; what failed."""
    failed, queue, lock = [], list(range(n)), threading.Lock()

    def worker():
        while True:
            with lock:
                if not queue:
                    return
                i = queue.pop()
            r = start(i)
            if r.returncode or "10.0." not in r.stdout:
                failed.append((r.stdout + r.stderr)[-300:])

    threads = [threading.Thread(target=worker) for _ in range(16)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    return failed


N_PODMAN, N_CTR = (100, 200) if LONG else (8, 16)
SHOW = ("/bin/ip", "-4", "addr", "show", "dev", "eth0")
failed = many(lambda i: podman("run", "--rm", "--rootfs", WORK + "/rootfs", *SHOW, seconds=300), N_PODMAN)
ok(not failed and wait(lambda: not attached(), 10), f"{N_PODMAN} podman containers, 16 at a time: no failure, nothing left", failed[:2])

# ---- containerd ----
os.remove("/etc/cni/net.d/10-pods.conflist")
network("ctr", "containerd")
open(WORK + "/containerd.toml", "w").write(f'''version=2
root="{WORK}/home/root"
state="{WORK}/home/state"
disabled_plugins=["io.containerd.grpc.v1.cri"]
[grpc]
address="{WORK}/containerd.sock"
''')
daemon = subprocess.Popen(["nsenter", "--net=/run/netns/node1", "containerd", "-c", WORK + "/containerd.toml"], env=env, stdout=open(WORK + "/containerd.log", "w"), stderr=subprocess.STDOUT)
wait(lambda: os.path.exists(WORK + "/containerd.sock"), 20)
CTR = ["nsenter", "--net=/run/netns/node1", "ctr", "-a", WORK + "/containerd.sock", "-n", OWN]
wait(lambda: run(*CTR, "version").returncode == 0, 20)


def ctr(*args, **kw):
    return run(*CTR, *args, **kw)


r = ctr("run", "--rm", "--cni", "--rootfs", WORK + "/rootfs", "c1", "/bin/ip", "addr", "show", "dev", "eth0")
ok(r.returncode == 0 and "10.0." in r.stdout and "fd00:1:" in r.stdout, "ctr run --cni: a container with its addresses", r.stdout + r.stderr)
ok(wait(lambda: not attached(), 5), "its DEL has neither namespace nor more than the name, and leaves nothing")
failed = many(lambda i: ctr("run", "--rm", "--cni", "--rootfs", WORK + "/rootfs", f"m{i}", *SHOW, seconds=300), N_CTR)
ok(not failed and wait(lambda: not attached(), 10), f"{N_CTR} containers by ctr, 16 at a time: no failure, nothing left", failed[:2])
r = ctr("run", "-d", "--cni", "--rootfs", WORK + "/rootfs", "c2", "/bin/sleep", "600")
ok(r.returncode == 0 and wait(lambda: len(attached()) == 1, 5), "ctr run -d", r.stderr)
r = ctr("task", "kill", "-s", "KILL", "c2")
ok(wait(lambda: not attached(), 10), "whose DEL never comes: gone with its process", (r.stderr, [g["name"] for g in attached()]))
ctr("task", "rm", "-f", "c2"), ctr("c", "rm", "c2")
for i in range(3):
    ctr("run", "-d", "--cni", "--rootfs", WORK + "/rootfs", f"k{i}", "/bin/sleep", "600")
held = len(attached())
pids = [int(p) for p in os.listdir("/proc") if p.isdigit() and (b"containerd-shim" in cmdline(p) or b"/bin/sleep\x00600" in cmdline(p))]
daemon.kill()
for p in pids:
    try:
        os.kill(p, 9)
    except ProcessLookupError:
        pass
ok(held == 3 and wait(lambda: not attached(), 15), "the runtime and all it ran are killed: nothing is left", (held, [g["name"] for g in attached()]))
daemon.wait()
t.end()
