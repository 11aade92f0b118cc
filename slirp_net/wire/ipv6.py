"""IPv6 headers, extension headers and fragments (RFC 8200)."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">LHBB16s16s")  # version, class and flow; payload length, next header, hop limit, addresses
_FRAGMENT = Struct(">BxHL")  # next header, offset and flags, identification
LENGTH: Final = _HEADER.size
FRAGMENT_LENGTH: Final = _FRAGMENT.size
MAX_PAYLOAD: Final = 0xFFFF
LEAST_MTU: Final = 1280
HOP_LIMIT: Final = 64
HOP_LIMIT_AT: Final = 7  # in a header
NEIGHBOUR_HOP_LIMIT: Final = 255  # RFC 4861, 6.1 and 7.1: who has more than one hop to go is no neighbour

ICMP: Final = 58
MORE_FRAGMENTS: Final = 1
ANYBODY: Final = bytes(16)

_VERSION_6: Final = 6 << 28
FRAGMENT: Final = 44  # an extension header
_HOP_BY_HOP, _ROUTING, _DESTINATION_OPTIONS = 0, 43, 60
_EXTENSIONS: Final = frozenset({_HOP_BY_HOP, _ROUTING, FRAGMENT, _DESTINATION_OPTIONS})
_MOST_EXTENSIONS: Final = 8
_PAD1: Final = 0
_SKIPPED: Final = 0xC0  # RFC 8200, 4.2: with these bits of its type clear an unknown option is skipped


def parse(packet: memoryview) -> tuple[int, int, int, bytes, bytes, int, tuple[int, int] | None] | None:
    """Return (offset of the payload, total length, protocol, source, destination, hop limit, fragment).

    `fragment` is None for what is whole, else the field of offset and flags and the identification; what follows the header of
    a fragment is not looked at. `packet` may be longer than the total length. None for what is to be dropped silently:
    another version, a
    length that does not fit, malformed extensions, an option that nobody may skip, a route that does not end here.
    """
    if len(packet) < LENGTH:
        return None
    first, length, protocol, hops, source, destination = _HEADER.unpack_from(packet)
    total = LENGTH + length
    if first >> 28 != 6 or total > len(packet):
        return None
    at = LENGTH
    count = 0
    while protocol in _EXTENSIONS:
        count += 1
        if count > _MOST_EXTENSIONS or at + 8 > total or (protocol == _HOP_BY_HOP and count > 1):
            return None
        if protocol == FRAGMENT:
            protocol, field, identification = _FRAGMENT.unpack_from(packet, at)
            return at + FRAGMENT_LENGTH, total, protocol, source, destination, hops, (field, identification)
        end = at + 8 + (packet[at + 1] << 3)
        if end > total or not _may_pass(protocol, packet[at:end]):
            return None
        protocol, at = packet[at], end
    return at, total, protocol, source, destination, hops, None


def _may_pass(kind: int, header: memoryview) -> bool:
    """Tell whether an extension header says nothing that would have to be done."""
    if kind == _ROUTING:
        return header[3] == 0  # segments left
    at = 2
    while at < len(header):
        if header[at] == _PAD1:
            at += 1
            continue
        if header[at] & _SKIPPED or at + 1 >= len(header):
            return False
        at += 2 + header[at + 1]
    return at == len(header)


def parse_beginning(packet: bytes | memoryview) -> tuple[int, int, bytes, bytes] | None:
    """Return (header length, protocol, source, destination) of a packet without extensions that may be cut off, or None."""
    if len(packet) < LENGTH:
        return None
    first, _length, protocol, _hops, source, destination = _HEADER.unpack_from(packet)
    return (LENGTH, protocol, source, destination) if first >> 28 == 6 else None


def header(protocol: int, source: bytes, destination: bytes, payload_length: int, hop_limit: int = HOP_LIMIT) -> bytes:
    """Return a header."""
    return _HEADER.pack(_VERSION_6, payload_length, protocol, hop_limit, source, destination)


def fragment_header(protocol: int, offset: int, identification: int, *, more: bool) -> bytes:
    """Return the extension header of a fragment; `offset` in bytes, a multiple of eight."""
    return _FRAGMENT.pack(protocol, offset | more, identification)
