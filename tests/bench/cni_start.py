# SPDX-License-Identifier: GPL-3.0-or-later
"""In a lab: how long `podman run --rm` of /bin/true takes with a published port, by network; one after the other, in turns. Prints "NAME
SECONDS" lines. cni_start.py ROUNDS."""
import sys
sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/lab")
from runtimes import *

network("netd", "podman")
json.dump({"cniVersion": "0.4.0", "name": "peer", "plugins": [
    {"type": "bridge", "bridge": "cni-peer", "isGateway": True, "ipMasq": True, "ipam": {"type": "host-local", "dataDir": WORK + "/ipam", "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
    {"type": "portmap", "capabilities": {"portMappings": True}}]}, open("/etc/cni/net.d/20-peer.conflist", "w"))
for plugin_name in ("bridge", "portmap", "host-local"):
    os.symlink("/usr/lib/cni/" + plugin_name, f"{WORK}/bin/{plugin_name}")
subprocess.run(["nsenter", "--net=/run/netns/node1", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"])
# The other backend: a configuration and a state of its own.
text = open("/etc/containers/containers.conf").read().replace('network_backend="cni"', 'network_backend="netavark"').replace('default_network="pods"', 'default_network="podman"').replace('network_config_dir="/etc/cni/net.d"', f'network_config_dir="{WORK}/netavark"')
os.makedirs(WORK + "/netavark")
open(WORK + "/netavark.conf", "w").write(text + 'helper_binaries_dir=["/usr/lib/podman"]\n')
NETAVARK = ("--root", WORK + "/other", "--runroot", WORK + "/other-run", "--tmpdir", WORK + "/other-tmp")


def once(name, i):
    ports = ("-p", f"{20000 + i}:80/tcp")
    more = {"none": ("--network", "none"), "netd": ("--network", "netd", *ports), "bridge + portmap": ("--network", "peer", *ports), "netavark": ports}[name]
    conf = {**env, "CONTAINERS_CONF": WORK + "/netavark.conf"} if name == "netavark" else env
    where = NETAVARK if name == "netavark" else ()
    began = time.perf_counter()
    r = subprocess.run([*PODMAN, *where, "run", "--cgroup-parent", "/" + OWN, "--rm", *more, "--rootfs", WORK + "/rootfs", "/bin/true"], capture_output=True, text=True, env=conf, timeout=60)
    took = time.perf_counter() - began
    if r.returncode:
        print(f"# {name}: {r.stderr[-300:]}".replace("\n", " "), flush=True)
    else:
        print(f"{name}\t{took:.4f}", flush=True)


names, n = ["none", "netd", "bridge + portmap", "netavark"], int(sys.argv[1])
for i in range(n + 1):
    if i == 1:
        print("# warm", flush=True)  # what was before is not counted
    for k, name in enumerate(names[i % 4:] + names[:i % 4]):
        once(name, 4 * i + k)
