# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of CNI share: calls of the plugin as a runtime makes them, and namespaces as runtimes make them."""
import ctypes, itertools, json, os, subprocess

PLUGIN = os.environ["NETD_BUILD"] + "/netd-cni"
SOCKET = os.environ["NETD_LAB"] + "/node1/run/cni.sock"
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
count = itertools.count(1)


def conf(name="tenants", version="1.0.0", **more):
    return {"cniVersion": version, "name": name, "type": "netd-cni", "socket": SOCKET, "subscription": os.environ["NETD_SUBSCRIPTION"],
            "resourceGroup": "demo", **more}


def plugin(command, document, container="c1", netns="", ifname="eth0", args=None, env={}, raw=None):
    """(exit status, what it printed: JSON, or text when it is none, or None)."""
    e = {"CNI_COMMAND": command, "CNI_CONTAINERID": container, "CNI_NETNS": netns, "CNI_IFNAME": ifname, "CNI_PATH": "/usr/lib/cni"}
    if args is not None:
        e["CNI_ARGS"] = args
    e.update(env)
    r = subprocess.run([PLUGIN], input=raw if raw is not None else json.dumps(document).encode(), env={k: v for k, v in e.items() if v is not None},
                       capture_output=True, timeout=90)
    try:
        return r.returncode, json.loads(r.stdout) if r.stdout else None
    except ValueError:
        return r.returncode, r.stdout.decode(errors="replace")


class Namespace:
    """One as a runtime makes it: pinned below /run/netns, the loopback up."""

    def __init__(self, name=None):
        self.name = name or f"cni-{next(count)}"
        self.path = "/run/netns/" + self.name
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)

    def run(self, *command, seconds=20, **kw):
        return subprocess.run(["nsenter", "--net=" + self.path, *command], capture_output=True, text=True, timeout=seconds, **kw)

    def addresses(self, dev="eth0"):
        r = self.run("ip", "-j", "addr", "show", "dev", dev)
        links = json.loads(r.stdout or "[]") if r.returncode == 0 else []  # none: it went while ip looked
        return sorted(f"{a['local']}/{a['prefixlen']}" for a in links[0]["addr_info"]) if links and links[0] else None

    def drop(self):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)
