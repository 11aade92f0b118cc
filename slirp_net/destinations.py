"""Where a container may send to, and what of the host stands behind it.

    the container sends to               reaches
    the gateway                          the host's 127.0.0.1 if that is allowed, else the host's own address, as others reach it
    the DNS address                      nothing; its port 53 is a service of the stack's own
    its own address, its subnet          no such host; the subnet's broadcast address is nobody
    0/8, 127/8, 169.254/16, 224/3        nothing: they mean something else on the host than in the container
    anything else                        that address, by the host's routes

The same holds for IPv6, where the host's ::1 and own IPv6 address stand behind the gateway, and what reaches nothing is ::, ::1,
addresses that stand for IPv4 ones (::ffff:0:0/96, ::/96), link-local, site-local and multicast ones.

The container has raw sockets and writes any address it likes, so this table, not the container's routes, is what keeps it away from
the host's loopback.
"""

from __future__ import annotations

from slirp_net.host import own_address
from slirp_net.wire import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from slirp_net.configuration import Configuration

# What becomes of a packet that reaches nothing.
REFUSED: Final = "refused"  # nothing listens: RST, or ICMP port unreachable
NO_HOST: Final = "no host"  # ICMP host unreachable
SILENCE: Final = "silence"  # dropped

LOOPBACK: Final = "127.0.0.1"
LOOPBACK6: Final = "::1"
_EMBEDDED: Final = (bytes(12), bytes(10) + b"\xff\xff")  # ::/96 and ::ffff:0:0/96


def resolve(configuration: Configuration, destination: bytes) -> str:
    """Return the host's address ("192.0.2.1", "2001:db8::1") that a destination stands for, or one of the constants above."""
    if len(destination) == ip.LENGTH6:
        return _resolve6(configuration, destination)
    if destination == configuration.gateway:
        return LOOPBACK if configuration.allow_host_loopback else own_address.find() or REFUSED
    if destination == configuration.dns:
        return REFUSED
    first = destination[0]
    if first in (0, 127) or first >= 224 or (first == 169 and destination[1] == 254):
        return SILENCE
    if configuration.in_subnet(destination):
        return SILENCE if configuration.is_broadcast(destination) else NO_HOST
    return ip.address_text(destination)


def _resolve6(configuration: Configuration, destination: bytes) -> str:
    network = configuration.network6
    if network is None:
        return SILENCE
    if destination in (network.gateway, network.link_local):
        return LOOPBACK6 if configuration.allow_host_loopback else own_address.find6() or REFUSED
    if destination == network.dns:
        return REFUSED
    if destination[0] == 0xFF or destination[:12] in _EMBEDDED or (destination[0] == 0xFE and destination[1] >= 0x80):
        return SILENCE
    return NO_HOST if network.in_subnet(destination) else ip.address_text(destination)


REACHES_NOTHING: Final = frozenset({REFUSED, NO_HOST, SILENCE})
