#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runtimes as they come from Debian, on netd's networks: podman 4.3 with its CNI backend and with a namespace made ready, containerd
1.6 (ctr), runc. Containers are a busybox each."""
import atexit, glob, shutil, sys, threading
from plane import *

at, env = peers("podman", "containerd")
inside()
from vnets import *
from cni import *

LONG = os.environ.get("LONG") == "1"
WORK = os.environ["NETD_LAB"] + "/runtimes"
env["PATH"] = f"{at}/usr/bin:{at}/usr/sbin:" + env["PATH"]
for d in ("rootfs/bin", "rootfs/etc", "rootfs/proc", "rootfs/dev", "rootfs/sys", "rootfs/tmp", "net.d", "bin", "home"):
    os.makedirs(f"{WORK}/{d}", exist_ok=True)
shutil.copy(shutil.which("busybox"), WORK + "/rootfs/bin/busybox")
for tool in ("sh", "ip", "ping", "nslookup", "sleep", "httpd", "wget", "cat", "true", "nc"):
    os.symlink("busybox", f"{WORK}/rootfs/bin/{tool}")
open(WORK + "/rootfs/index.html", "w").write("from a container\n")
os.symlink(PLUGIN, WORK + "/bin/netd-cni")
# Debian's ctr looks in /opt/cni/bin and /etc/cni/net.d: the lab's mounts are its own, folders that were not there go afterwards, and
# so do cgroups.
OWN, made = f"netd-lab-{os.getpid()}", []


def tidy():
    for c in glob.glob(f"/sys/fs/cgroup/*/{OWN}"):
        for at, _, _ in os.walk(c, topdown=False):
            try:
                os.rmdir(at)
            except OSError:
                pass
    for place in made:
        subprocess.run(["umount", "-l", place])
        try:
            os.rmdir(place)
        except OSError:
            pass


atexit.register(tidy)
for place in ("/opt", "/etc/cni", "/etc/containers", "/var/lib/cni", "/var/lib/containers", "/run/containerd", "/run/containers", "/run/libpod"):
    if not os.path.isdir(place):
        os.makedirs(place)
        made.append(place)
    subprocess.run(["mount", "-t", "tmpfs", "own", place], check=True)
os.makedirs("/opt/cni", exist_ok=True)
os.symlink(WORK + "/bin", "/opt/cni/bin")

put(RG, {})
put(VNET + "net", {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00:1::/48"]}}})
subnet("net", "pods", ["10.0.0.0/20", "fd00:1::/64"])
ALLOW = ["ips", "mac", "portMappings", "dns"]
os.makedirs("/etc/cni/net.d")


def network(name, runtime, version="1.0.0", **more):
    """The configuration that docs/cni.md shows."""
    c = conf(name, subnet=VNET + "net/subnets/pods", allow=ALLOW, runtime=runtime, capabilities={"portMappings": True, "ips": True, "mac": True, "dns": True}, **more)
    c.pop("cniVersion"), c.pop("name")
    json.dump({"cniVersion": version, "name": name, "plugins": [c]}, open(f"/etc/cni/net.d/10-{name}.conflist", "w"))


def attached():
    return [g for g in everything(RG + "/providers/Microsoft.ContainerInstance/containerGroups") if "cni.container" in g.get("tags", {})]


def run(*command, seconds=60, **kw):
    try:
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=seconds, stdin=subprocess.DEVNULL, **kw)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(command, 124, str(e.stdout), str(e.stderr))


# ---- podman ----
network("pods", "podman")
open("/etc/containers/containers.conf", "w").write(f'''[network]
network_backend="cni"
cni_plugin_dirs=["{WORK}/bin"]
network_config_dir="/etc/cni/net.d"
default_network="pods"
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
conmon_path=["{at}/usr/bin/conmon"]
[engine.runtimes]
runc=["{shutil.which("runc")}"]
''')
open("/etc/containers/policy.json", "w").write('{"default":[{"type":"insecureAcceptAnything"}]}')
# conmon starts `podman container cleanup` without an environment; unless that finds its libraries, podman waits 20 s for it.
open(WORK + "/ld.conf", "w").write(f"include /etc/ld.so.conf.d/*.conf\n{at}/usr/lib/x86_64-linux-gnu\n")
subprocess.run(["ldconfig", "-X", "-C", WORK + "/ld.cache", "-f", WORK + "/ld.conf"], check=True, stderr=subprocess.DEVNULL)
subprocess.run(["mount", "--bind", WORK + "/ld.cache", "/etc/ld.so.cache"], check=True)  # the lab's mounts are its own
# In the node's network namespace, as a runtime is; the lab has its own of mounts and processes.
PODMAN = ["nsenter", "--net=/run/netns/node1", "podman", "--storage-driver", "vfs", "--log-level", "error"]


# podman waits 20 s for its conmon to be gone, and the lab's first process does not reap what it did not start.
def reap():
    while True:
        for p in os.listdir("/proc"):
            try:
                if p.isdigit() and open(f"/proc/{p}/stat").read().partition(" (conmon) Z ")[2].split(" ")[0] == str(os.getpid()):
                    os.waitpid(int(p), os.WNOHANG)
            except (OSError, IndexError):
                pass
        time.sleep(0.05)


libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
threading.Thread(target=reap, daemon=True).start()


def podman(command, *args, **kw):
    parent = ("--cgroup-parent", "/" + OWN) if command == "run" else ()
    return run(*PODMAN, command, *parent, *args, **kw)


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
