# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of the lab's etcd (etcd.sh): killed, started again, cut off; asked past netd."""
import base64, json, os, subprocess

LAB = os.environ.get("NETD_LAB")
TOP = os.path.dirname(os.path.abspath(__file__)) + "/../.."
b64 = lambda text: base64.b64encode(text.encode()).decode()


def member_pid(i):
    return int(open(f"{LAB}/etcd{i}.pid").read())


def member_start(i):
    subprocess.run(["bash", "-c", f'top={TOP} lab={LAB} build={os.environ["NETD_BUILD"]}; . $top/tests/lab/etcd.sh; etcd_member {i}'], check=True)


def member_cut(i, off=True):
    """Takes the wire of a member, of the node (0), away, or gives it back."""
    subprocess.run(["ip", "-n", "store", "link", "set", "dev", f"etcd{i}" if i else "node1", "down" if off else "up"], check=True)


def member_ask(path, body, member=1, token=None):
    """The answer of a member's gateway; {} when there was none."""
    e = os.environ
    r = subprocess.run(["ip", "netns", "exec", "store", "curl", "-s", "-m", "5", "--cacert", e["NETD_ETCD_CA"], "--cert", e["NETD_ETCD_CERT"], "--key", e["NETD_ETCD_KEY"],
                        *(["-H", "Authorization: " + token] if token else []), f"https://10.99.0.1{member}:2379/v3/{path}", "-d", json.dumps(body)], capture_output=True, text=True)
    try:
        return json.loads(r.stdout)
    except ValueError:
        return {}


def as_user(user, path, body):
    for member in (1, 2, 3):
        token = member_ask("auth/authenticate", {"name": user, "password": os.environ["NETD_ETCD_PASSWORD"]}, member).get("token")
        if token:
            return member_ask(path, body, member, token)
    return {}


def stored(key):
    """What etcd has of a pair of the plane; "" when nothing."""
    pairs = as_user("netd", "kv/range", {"key": b64("/netd/data/" + key.lower())}).get("kvs", [])
    return base64.b64decode(pairs[0]["value"]).decode() if pairs else ""
