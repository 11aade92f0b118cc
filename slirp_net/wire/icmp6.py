"""ICMPv6 (RFC 4443): echo, and the messages that tell why a packet did not arrive. The checksum covers a pseudo-header."""

from __future__ import annotations

from struct import Struct

from slirp_net.wire import icmp, ipv4, ipv6
from slirp_net.wire.checksum import checksum, is_valid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">BBHL")  # type, code, checksum, and what depends on them
LENGTH: Final = _HEADER.size

UNREACHABLE: Final = 1
TOO_BIG: Final = 2
TIME_EXCEEDED: Final = 3
PARAMETER_PROBLEM: Final = 4
ECHO: Final = 128
ECHO_REPLY: Final = 129

NO_ROUTE: Final = 0
PROHIBITED: Final = 1
ADDRESS_UNREACHABLE: Final = 3
PORT_UNREACHABLE: Final = 4
UNKNOWN_NEXT_HEADER: Final = 1  # of PARAMETER_PROBLEM

_FIRST_QUERY: Final = 128
_QUOTED: Final = ipv6.LEAST_MTU - ipv6.LENGTH - LENGTH  # RFC 4443, 2.4 (c)
# What ICMP calls the same: its type and code, ours.
_SAME: Final = {
    (icmp.UNREACHABLE, icmp.NET_UNREACHABLE): (UNREACHABLE, NO_ROUTE),
    (icmp.UNREACHABLE, icmp.HOST_UNREACHABLE): (UNREACHABLE, ADDRESS_UNREACHABLE),
    (icmp.UNREACHABLE, icmp.PORT_UNREACHABLE): (UNREACHABLE, PORT_UNREACHABLE),
    (icmp.UNREACHABLE, icmp.PROHIBITED): (UNREACHABLE, PROHIBITED),
    (icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE): (PARAMETER_PROBLEM, UNKNOWN_NEXT_HEADER),
    (icmp.TIME_EXCEEDED, 0): (TIME_EXCEEDED, 0),
    (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME): (TIME_EXCEEDED, 1),
}


def from_icmp(kind: int, code: int) -> tuple[int, int]:
    """Return the type and code that mean what an error of ICMP means."""
    return _SAME[kind, code]


def parse(message: memoryview, source: bytes, destination: bytes) -> tuple[int, int, int] | None:
    """Return (type, code, the four bytes after the checksum) of a message with a valid checksum, or None."""
    if len(message) < LENGTH or not is_valid(message, ipv4.pseudo_sum(ipv6.ICMP, source, destination) + len(message)):
        return None
    kind, code, _, rest = _HEADER.unpack_from(message)
    return kind, code, rest


def is_query(message: bytes | memoryview) -> bool:
    """Tell whether a message is not itself an error, about which no error may be sent (RFC 4443, 2.4 (e))."""
    return bool(message) and message[0] >= _FIRST_QUERY


def emit(kind: int, code: int, rest: int, data: bytes | memoryview, source: bytes, destination: bytes) -> bytes:
    """Return a message with its checksum; `rest` is what the four bytes after that say."""
    pseudo = ipv4.pseudo_sum(ipv6.ICMP, source, destination) + LENGTH + len(data)
    bare = b"".join((_HEADER.pack(kind, code, 0, rest), data))
    return b"".join((_HEADER.pack(kind, code, checksum(bare, pseudo), rest), data))


def quoted(packet: bytes | memoryview) -> bytes | memoryview:
    """Return as much of a packet as an error about it quotes."""
    return packet[:_QUOTED]
