"""ICMP for IPv4 (RFC 792): echo, and the messages that tell why a packet did not arrive."""

from __future__ import annotations

from struct import Struct

from slirp_net.wire import ipv4
from slirp_net.wire.checksum import checksum, is_valid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">BBHHH")  # type, code, checksum, then identifier and sequence number of an echo
LENGTH: Final = _HEADER.size

ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
ECHO: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12

NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4
REASSEMBLY_TIME: Final = 1  # of TIME_EXCEEDED
PROHIBITED: Final = 13  # RFC 1812, 5.2.7.1: communication administratively prohibited

_QUOTED: Final = 576 - ipv4.LENGTH - LENGTH  # RFC 1812, 4.3.2.3: as much as fits 576 bytes


def parse(packet: memoryview) -> tuple[int, int, int, int] | None:
    """Return (type, code, identifier, sequence number) of a message with a valid checksum, or None."""
    return parse_header(packet) if is_valid(packet) else None


def parse_header(packet: bytes | memoryview) -> tuple[int, int, int, int] | None:
    """Return (type, code, identifier, sequence number) of a message of which only the beginning may be there, or None."""
    if len(packet) < LENGTH:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(packet)
    return kind, code, identifier, sequence


def is_query(packet: bytes | memoryview) -> bool:
    """Tell whether a message is not itself an error, about which no error may be sent (RFC 1122, 3.2.2)."""
    return bool(packet) and packet[0] in (ECHO_REPLY, ECHO)


def echo(kind: int, identifier: int, sequence: int, data: bytes | memoryview) -> bytes:
    """Return an echo request or its reply."""
    return _with_checksum(kind, 0, identifier, sequence, data)


def error(kind: int, code: int, packet: bytes | memoryview, info: int = 0) -> bytes:
    """Return an error about the IPv4 `packet`, of which it quotes the beginning.

    `info` is the MTU for FRAGMENTATION_NEEDED (RFC 1191), else the four bytes that others have there.
    """
    return _with_checksum(kind, code, info >> 16, info & 0xFFFF, packet[:_QUOTED])


def _with_checksum(kind: int, code: int, first: int, second: int, data: bytes | memoryview) -> bytes:
    bare = b"".join((_HEADER.pack(kind, code, 0, first, second), data))
    return b"".join((_HEADER.pack(kind, code, checksum(bare), first, second), data))
