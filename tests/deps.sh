#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Installs what building, the demo and the tests need from Debian; quick when all is there.
set -eu
want="gcc make pkg-config libmnl-dev libnftnl-dev libevent-dev libsqlite3-dev libjansson-dev
libssl-dev libcap-ng-dev libcurl4-openssl-dev libyaml-dev libcmocka-dev libc6-dev binutils
runc nftables iproute2 bind9-dnsutils curl python3 python3-dnspython python3-yaml python3-scapy openssl procps
util-linux busybox-static sqlite3 netcat-openbsd iputils-ping strace"
missing=
for p in $want; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "missing packages:$missing" >&2
	echo "as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "  APT  $missing" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
