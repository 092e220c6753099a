#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The official Azure SDKs from npm, with a Node of their own, as the lock file of tests/sdk pins them."""
import filecmp, shutil
from plane import *

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SDK = TOP + "/build/sdk"
LOCK = "/package-lock.json"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"


def install():
    """npm ci, once for each lock file."""
    if os.path.exists(SDK + "/done") and filecmp.cmp(SDK + LOCK, TOP + "/tests/sdk" + LOCK, shallow=False):
        return
    if not shutil.which("npm"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "npm", "ca-certificates"], check=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, stdout=subprocess.DEVNULL)
    os.makedirs(SDK, exist_ok=True)
    for f in ("/package.json", LOCK):
        shutil.copy(TOP + "/tests/sdk" + f, SDK + f)
    env = dict(os.environ)
    if os.path.exists(SYSTEM_CA):  # Debian's Node trusts its own list only
        env.setdefault("NODE_EXTRA_CA_CERTS", SYSTEM_CA)
    r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=SDK, env=env, capture_output=True, text=True)
    if r.returncode and os.environ.get("LONG") != "1":
        print("ok 1 - # SKIP npm cannot install the SDKs here; make check-long fails on it\n1..1\n# " + r.stderr.strip().replace("\n", "\n# "))
        sys.exit(0)
    if r.returncode:
        sys.exit(r.stderr)
    open(SDK + "/done", "w").close()


if "NETD_LAB" not in os.environ:
    install()
inside("gateway=dc1 * /run/netns/dc1")
Runtime()
shutil.copy(TOP + "/tests/sdk/sdk_test.mjs", SDK)
sys.exit(subprocess.run([SDK + "/node_modules/.bin/node", SDK + "/sdk_test.mjs"]).returncode)
