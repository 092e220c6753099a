#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what building, the demo and the tests need from Debian; quick when all is there.
set -eu
want="gcc clang make pkg-config libmnl-dev libnftnl-dev libevent-dev libsqlite3-dev libjansson-dev
libssl-dev libcap-ng-dev libcurl4-openssl-dev libyaml-dev libunbound-dev libldns-dev libwslay-dev libcmocka-dev libbpf-dev libc6-dev binutils
runc nftables iproute2 bind9-dnsutils curl python3 python3-dnspython python3-cryptography python3-yaml python3-scapy openssl procps
util-linux busybox-static sqlite3 netcat-openbsd iputils-ping strace libssh-gcrypt-4
musl-tools libsocket-msghdr-perl libio-pty-perl wrk nghttp2-client iperf3 conntrack tcpdump"
# Daemons that tests start by hand are unpacked, not installed: nothing of theirs starts by itself.
unpack="bird2 nginx"
peers=$(dirname "$0")/../build/peers
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
absent=
for p in $unpack; do
	[ -e "$peers/$p" ] || absent="$absent $p"
done
[ -z "$missing$absent" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	[ -z "$missing" ] && exit 0 # only the lab wants what is unpacked, and it needs root
	echo "missing packages:$missing" >&2
	echo "as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "  APT  $missing$absent" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null
# shellcheck disable=SC2086
[ -z "$missing" ] || apt-get install -y -qq --no-install-recommends $missing >/dev/null
for p in $absent; do
	new=$(mktemp -d)
	chmod 755 "$new" # apt's own user writes here
	(cd "$new" && apt-get download -qq "$p" >/dev/null)
	mkdir -p "$peers"
	dpkg -x "$new"/*.deb "$peers"
	rm -rf "$new"
	touch "$peers/$p"
done
