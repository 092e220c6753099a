# SPDX-License-Identifier: GPL-3.0-or-later
"""podman and containerd as they come from Debian, in a lab: their files are the lab's own, and gone with it. To be imported inside one, after
peers("podman", "containerd") outside."""
import atexit, glob, shutil
from plane import *
from vnets import *
from cni import *

at, env = peers("podman", "containerd")
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
# /etc is a copy: a file mounted over one there would come off when that is replaced outside, as ldconfig does when another test
# installs a package.
subprocess.run(["cp", "-a", "/etc", WORK + "/etc"], check=True)
subprocess.run(["mount", "--bind", WORK + "/etc", "/etc"], check=True)
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
subprocess.run(["ldconfig", "-X", "-f", WORK + "/ld.conf"], check=True, stderr=subprocess.DEVNULL)
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
