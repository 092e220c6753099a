# SPDX-License-Identifier: GPL-3.0-or-later
# Nodes beside the first for tests/lab/run: a namespace each (node2, ...), joined by an underlay of their own, 10.98.0.0/24 and
# fd98::/64, on which node K has .K and whose MTU is 1600. Each has joined the plane of node1 and runs netd. Sourced.

nodes_link() { # NODES: namespaces and underlay
	local k
	ip netns add underlay && ip -n underlay link add name bridge0 type bridge && ip -n underlay link set bridge0 mtu 1600 up || return 1
	for k in $(seq "$1"); do
		[ "$k" = 1 ] || { ip netns add node$k && ip -n node$k link set lo up && no_waiting node$k; } || return 1
		ip link add name under0 mtu 1600 netns node$k type veth peer name node$k mtu 1600 netns underlay &&
		ip -n underlay link set dev node$k master bridge0 up && ip -n node$k link set under0 up &&
		ip -n node$k addr add 10.98.0.$k/24 dev under0 && ip -n node$k addr add fd98::$k/64 dev under0 nodad || return 1
	done
}

# Its own way to the internet: 192.88.K.0/24 and 2001:db8:88K::/64, where the internet has .1 and ::1.
node_uplink() { # K
	ip link add name net$1 netns internet type veth peer name wan netns node$1 && ip -n internet link set net$1 up && ip -n node$1 link set wan up &&
	ip -n internet addr add 192.88.$1.1/24 dev net$1 && ip -n node$1 addr add 192.88.$1.2/24 dev wan &&
	ip -n internet addr add 2001:db8:88$1::1/64 dev net$1 nodad && ip -n node$1 addr add 2001:db8:88$1::2/64 dev wan nodad
}

# What the node runs when it is started the next time: a test may put another version's path into the file.
program() { # K
	cat "$lab/node$1/program" 2>/dev/null || echo "$build/netd"
}

nodes_config() { # K: what all nodes have
	echo "node-address = 10.98.0.$1"
	[ "$1" != 1 ] || echo "listen-nodes = 10.98.0.1:8446"
}

node_file() { # K: the configuration of one that joins
	mkdir -p "$lab/node$1/run" "$lab/node$1/state"
	{
		cat <<EOT
node-name = node$1
state-dir = $lab/node$1/state
run-dir = $lab/node$1/run
region = westeurope
listen-dns = 10.98.0.$1:53
user-control = 70001
user-dns = 70002
user-probe = 70003
user-resolver = 70004
user-session = 70005
EOT
		nodes_config "$1"
		[ "$uplinks" = 0 ] || printf '%s\n' "uplink = wan" "next-hop4 = 192.88.$1.1" "next-hop6 = 2001:db8:88$1::1"
		local k
		for k in node-cpu node-memory; do # the machine's own are too few for a lab
			case " ${config[*]} " in *"$k "*) ;; *) echo "$k = 10000" ;; esac
		done
		printf '%s\n' "${config[@]}" | grep -v "^pool "
	} >"$lab/node$1.conf"
}

# The milliseconds in the file are added to the wall clock of the node's netd: a test may set that clock.
node_clock() { # K
	mkdir -p "$lab/node$1" && echo 0 >"$lab/node$1/clock" && chmod 644 "$lab/node$1/clock"
}

node_run() { # K: netd there, until the lab ends; restarted when it dies
	(
		trap 'kill -TERM $p 2>/dev/null; wait $p; exit 0' TERM
		while :; do
			NETD_CLOCK=$lab/node$1/clock nsenter --net=/run/netns/node$1 "$(program "$1")" --config "$lab/node$1.conf" 2>>"$lab/netd$1.log" & p=$!
			echo $p >"$lab/netd$1.pid.new"; mv "$lab/netd$1.pid.new" "$lab/netd$1.pid" # nobody reads half a one
			wait $p; [ $? = 78 ] && exit 1
			sleep 0.05
		done
	) & pids+=($!)
}

node_start() { # K
	local token
	[ "$uplinks" = 0 ] || node_uplink "$1" || return 1
	node_file "$1"
	token=$(env -u NETD_API NETD_SOCKET=$lab/node1/run/api.sock "$build/netctl" node join-token --zone "$(( ($1 - 1) % 3 + 1 ))") || return 1
	nsenter --net=/run/netns/node$1 "$build/netd" --config "$lab/node$1.conf" join "$token" >>"$lab/netd$1.log" 2>&1 || return 1
	node_clock "$1"
	node_run "$1"
	for _ in $(seq 200); do
		curl -sf -m 1 --unix-socket "$lab/node$1/run/api.sock" http://lab/readyz >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	return 1
}
