# SPDX-License-Identifier: GPL-3.0-or-later
# An etcd of three members for tests/lab/run, each in a namespace of its own (etcd1 to etcd3, 10.99.0.11 to .13), with TLS,
# certificates of clients, and authentication: the user netd reaches what begins with /netd/ and with /test/. Sourced.
etcd_endpoints=https://10.99.0.11:2379,https://10.99.0.12:2379,https://10.99.0.13:2379

etcd_sign() { # NAME ORGANISATION EXTENSIONS...: the gateway takes no certificate with a common name
	local name=$1 subject=$2; shift 2
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=$subject" \
		-keyout "$lab/$name.key" -out "$lab/$name.csr" >/dev/null 2>&1 &&
	printf '%s\n' "$@" >"$lab/$name.ext" &&
	openssl x509 -req -in "$lab/$name.csr" -CA "$lab/etcd-ca.pem" -CAkey "$lab/etcd-ca.key" -CAcreateserial -days 2 \
		-extfile "$lab/$name.ext" -out "$lab/$name.pem" >/dev/null 2>&1
}

etcd_ask() { # MEMBER PATH BODY
	ip netns exec store curl -sf --cacert "$lab/etcd-ca.pem" --cert "$lab/netd-etcd.pem" --key "$lab/netd-etcd.key" \
		"https://10.99.0.1$1:2379/v3/$2" -d "$3"
}

etcd_member() { # NUMBER: starts it; its pid goes to etcdN.pid
	nsenter --net=/run/netns/etcd$1 "$build/peers/usr/bin/etcd" --name e$1 --data-dir "$lab/etcd$1" \
		--listen-client-urls https://10.99.0.1$1:2379 --advertise-client-urls https://10.99.0.1$1:2379 \
		--listen-peer-urls https://10.99.0.1$1:2380 --initial-advertise-peer-urls https://10.99.0.1$1:2380 \
		--initial-cluster e1=https://10.99.0.11:2380,e2=https://10.99.0.12:2380,e3=https://10.99.0.13:2380 \
		--initial-cluster-token lab --cert-file "$lab/member.pem" --key-file "$lab/member.key" --client-cert-auth \
		--trusted-ca-file "$lab/etcd-ca.pem" --peer-cert-file "$lab/member.pem" --peer-key-file "$lab/member.key" \
		--peer-client-cert-auth --peer-trusted-ca-file "$lab/etcd-ca.pem" --logger zap --log-level error \
		>>"$lab/etcd$1.log" 2>&1 &
	echo $! >"$lab/etcd$1.pid"; disown
}

etcd_start() {
	local i password key range
	/usr/bin/python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); from plane import peers; peers("etcd-server")' "$top/tests/lab" || return 1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=etcd-lab \
		-keyout "$lab/etcd-ca.key" -out "$lab/etcd-ca.pem" >/dev/null 2>&1 || return 1
	etcd_sign member member subjectAltName=IP:10.99.0.11,IP:10.99.0.12,IP:10.99.0.13 extendedKeyUsage=serverAuth,clientAuth &&
	etcd_sign netd-etcd netd extendedKeyUsage=clientAuth || return 1
	chown 70001 "$lab/netd-etcd.key"
	ip netns add store && ip -n store link set lo up && ip -n store link add name bridge0 type bridge && ip -n store link set bridge0 up &&
	ip -n store addr add 10.99.0.2/24 dev bridge0 || return 1
	for i in etcd1 etcd2 etcd3 node1; do
		[ $i = node1 ] || ip netns add $i
		ip link add name store0 netns $i type veth peer name $i netns store && ip -n store link set dev $i master bridge0 up &&
		ip -n $i link set lo up && ip -n $i link set store0 up || return 1
	done
	ip -n node1 addr add 10.99.0.1/24 dev store0
	for i in 1 2 3; do ip -n etcd$i addr add 10.99.0.1$i/24 dev store0; etcd_member $i; done
	for i in $(seq 100); do etcd_ask 1 kv/range '{"key":"YQ=="}' >/dev/null && break; sleep 0.1; done
	password=$(openssl rand -hex 16)
	echo "$password" >"$lab/etcd-password"; chown 70001 "$lab/etcd-password"; chmod 600 "$lab/etcd-password"
	etcd_ask 1 auth/user/add "{\"name\":\"root\",\"password\":\"$password\"}" && etcd_ask 1 auth/role/add '{"name":"root"}' &&
	etcd_ask 1 auth/user/grant '{"user":"root","role":"root"}' &&
	etcd_ask 1 auth/user/add "{\"name\":\"netd\",\"password\":\"$password\"}" && etcd_ask 1 auth/role/add '{"name":"netd"}' &&
	etcd_ask 1 auth/user/grant '{"user":"netd","role":"netd"}' || return 1
	for key in netd test; do
		range=$(printf '/%s0' $key | base64); key=$(printf '/%s/' $key | base64)
		etcd_ask 1 auth/role/grant "{\"name\":\"netd\",\"perm\":{\"permType\":\"READWRITE\",\"key\":\"$key\",\"range_end\":\"$range\"}}" || return 1
	done
	etcd_ask 1 auth/enable '{}' || return 1
	export NETD_ETCD=$etcd_endpoints NETD_ETCD_CA=$lab/etcd-ca.pem NETD_ETCD_CERT=$lab/netd-etcd.pem
	export NETD_ETCD_KEY=$lab/netd-etcd.key NETD_ETCD_USER=netd NETD_ETCD_PASSWORD=$password
}

etcd_config() {
	cat <<EOT
store = etcd
etcd-endpoints = $etcd_endpoints
etcd-ca = $lab/etcd-ca.pem
etcd-cert = $lab/netd-etcd.pem
etcd-key = $lab/netd-etcd.key
etcd-user = netd
etcd-password-file = $lab/etcd-password
EOT
}
