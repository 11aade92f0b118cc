"""Behind a host made up, a router and a far host, each a network namespace; and what is in the way between them.

host 203.0.113.1 -- 203.0.113.2 router 203.0.113.5 -- 203.0.113.6 far
                    MTU 1500                  MTU 1300
"""

import subprocess
from typing import Self

from tests.integration.slirp_net.outside import Host

ROUTER = "203.0.113.2"
FAR = "203.0.113.6"
NARROW = 1300  # the MTU behind the router
NOWHERE = "198.51.100.9"  # the router has no route to it
CLOSED = "198.51.100.77"  # the router refuses to carry packets to it

# Runs as root of the host's namespaces; its children are the router and the far host, and end with it.
_SCRIPT = f"""
set -e
namespace() {{ setpriv --pdeathsig KILL unshare --net sleep 1000 >&2 & }}
wait_for() {{ while [ "$(readlink /proc/$1/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done; }}
namespace; router=$!
namespace; far=$!
wait_for $router
wait_for $far
ip link add out type veth peer name in netns $router
ip addr add 203.0.113.1/30 dev out
ip link set out up
ip route add default via {ROUTER}
nsenter --target $router --net bash -e -c '
    echo 1 > /proc/sys/net/ipv4/ip_forward
    echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
    ip link set lo up
    ip addr add {ROUTER}/30 dev in
    ip link set in up
    ip link add out mtu {NARROW} type veth peer name in netns '$far'
    ip addr add 203.0.113.5/30 dev out
    ip link set out up
    ip route add prohibit {CLOSED}'
nsenter --target $far --net bash -e -c '
    echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
    ip link set lo up
    ip addr add {FAR}/30 dev in
    ip link set in mtu {NARROW} up
    ip route add default via 203.0.113.5'
echo $far
read -r _
"""


class Routers:
    """The two; they end with this object."""

    def __init__(self, host: Host) -> None:
        command = ["nsenter", "--target", str(host.init), "--user", "--mount", "--net", "bash", "-c", _SCRIPT]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "no routers: see what the script said"
        self._far = int(line)
        self._host = host

    def on_far(self, *command: str) -> subprocess.Popen[str]:
        """Start a command on the far host."""
        on_far = ["nsenter", "--target", str(self._far), "--user", "--net"]
        return subprocess.Popen([*on_far, *command], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("\n")
