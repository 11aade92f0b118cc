"""The ICMP errors that came for a socket, with who sent them: the kernel's queue of errors (ip(7), IP_RECVERR).

Theory of operation. Without being asked, the kernel makes a number of an ICMP error and tells nobody who sent it. With IP_RECVERR
it keeps each one with its type, its code, the sender's address, and the beginning of what we had sent; the container is told all of
that by a message of the same type from the same sender, so traceroute in it sees the routers of the outside. Until the queue is
read the number of an error also fails the next call on the socket.

For that, the time to live of what the container sends goes on to the outside, one less, as through a router.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPV6_UNICAST_HOPS, MSG_ERRQUEUE
from struct import Struct

from slirp_net.wire import icmp, icmp6, ip, ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable, Iterator
    from typing import Final, TypeAlias

    from slirp_net.configuration import Configuration
    from slirp_net.stack import Stack

    Error: TypeAlias = tuple[int, int, int, bytes, bytes]

_RECVERR: Final = {AF_INET: (IPPROTO_IP, 11), AF_INET6: (IPPROTO_IPV6, 25)}
_TTL: Final = {AF_INET: (IPPROTO_IP, IP_TTL), AF_INET6: (IPPROTO_IPV6, IPV6_UNICAST_HOPS)}
_EXTENDED: Final = Struct("=LBBBxLL")  # struct sock_extended_err (linux/errqueue.h): errno, origin, type, code, info, data
_OFFENDER4: Final = Struct("=H2x4s")  # struct sockaddr_in
_OFFENDER6: Final = Struct("=H2x4x16s")
_ORIGINS: Final = frozenset({2, 3})  # ICMP and ICMPv6; others are of this host
_ANCILLARY: Final = 512
_QUOTED: Final = 1500  # bytes of what we had sent
_MOST: Final = 64  # errors at a time; as each one was sent for
# What a host tells its programs of (RFC 1122, 3.2.2); source quench is no more (RFC 6633).
_CARRIED: Final = frozenset({icmp.UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM})
_CARRIED6: Final = frozenset({icmp6.UNREACHABLE, icmp6.TOO_BIG, icmp6.TIME_EXCEEDED, icmp6.PARAMETER_PROBLEM})


def ask_for(outside: socket, *, wanted: bool = True) -> None:
    """Have the kernel keep the errors of a socket from now on, or not any more."""
    outside.setsockopt(*_RECVERR[outside.family], wanted)


def take(outside: socket) -> Iterator[Error]:
    """Yield (type, code, info, sender, beginning of what was sent) of each ICMP error; sender is an address of 4 or 16 bytes.

    `info` is the MTU when fragmentation was needed. What was sent begins with its UDP payload, or with its ICMP or TCP header.
    """
    for _ in range(_MOST):
        try:
            sent, ancillary, _flags, _address = outside.recvmsg(_QUOTED, _ANCILLARY, MSG_ERRQUEUE)
        except OSError:  # none is left; no other error is possible
            return
        for level, kind, content in ancillary:
            if (level, kind) == _RECVERR[outside.family]:
                _number, origin, error, code, info, _data = _EXTENDED.unpack_from(content)
                sender = _sender(content[_EXTENDED.size :])
                if origin in _ORIGINS and sender:
                    yield error, code, info, sender, sent


def _sender(address: bytes) -> bytes:
    """Return the address of the struct sockaddr that follows an error, or b""."""
    for family, layout in ((AF_INET, _OFFENDER4), (AF_INET6, _OFFENDER6)):
        if len(address) >= layout.size and layout.unpack_from(address)[0] == family:
            return bytes(layout.unpack_from(address)[1])
    return b""


def pass_on_time(outside: socket, packet: bytes | memoryview, last: int) -> int:
    """Give what is sent next by a socket the time to live of the container's `packet`, one less.

    `last` is what the previous call for this socket returned, 0 at first. A packet with the usual time to live has the host's own.
    """
    time = ip.time_of(packet)
    if time != (last or ipv4.TTL):
        outside.setsockopt(*_TTL[outside.family], max(time - 1, 1) if time != ipv4.TTL else -1)
    return time


def tell(stack: Stack, outside: socket, peer: bytes, destination: bytes, quote: Callable[[bytes], bytes]) -> bool:
    """Tell the container of the errors that came for a socket, and tell whether there were any.

    `peer` is whom the socket talks to, and `destination` whom the container talks to, which may stand for it; `quote` makes the
    beginning of the container's packet from the beginning of what was sent.
    """
    told = False
    for error, code, info, sender, sent in take(outside):
        shown = destination if sender == peer else _shown(stack.configuration, sender)
        if len(destination) == ip.LENGTH6:
            if error in _CARRIED6:
                stack.send_error6(error, code, quote(sent), info, shown)
                told = True
        elif error in _CARRIED:
            stack.send_error(code, quote(sent), error, shown, info)
            told = True
    return told


def _shown(configuration: Configuration, sender: bytes) -> bytes | None:
    """Return who is the sender of an error for the container: the gateway (None) for addresses that mean something else inside."""
    if len(sender) == ip.LENGTH6:
        network = configuration.network6
        return sender if network and sender[0] & 0xE0 == 0x20 and not network.in_subnet(sender) else None  # RFC 4291, 2.4
    if sender[0] in (0, 127) or sender[0] >= 224 or configuration.in_subnet(sender):
        return None
    return sender
