"""UDP headers (RFC 768)."""

from __future__ import annotations

from struct import Struct

from slirp_net.wire import checksum, ipv4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">HHHH")  # ports, length with this header, checksum
LENGTH: Final = _HEADER.size
CHECKSUM_OFFSET: Final = 6
MAX_PAYLOAD4: Final = ipv4.MAX_TOTAL - ipv4.LENGTH - LENGTH


def parse(packet: memoryview) -> tuple[int, int, int, int] | None:
    """Return (source port, destination port, length with the header, checksum) of a datagram, or None; 0 is no checksum."""
    if len(packet) < LENGTH:
        return None
    source, destination, length, check = _HEADER.unpack_from(packet)
    if not LENGTH <= length <= len(packet):
        return None
    return source, destination, length, check


def header4(source: bytes, destination: bytes, source_port: int, destination_port: int, payload: bytes | memoryview) -> bytes:
    """Return the header of a datagram over IPv4, with its checksum computed."""
    length = LENGTH + len(payload)
    bare = _HEADER.pack(source_port, destination_port, length, 0)
    pseudo = ipv4.pseudo_sum(ipv4.UDP, source, destination) + length
    check = checksum.checksum(payload, pseudo + checksum.word_sum(bare))
    return _HEADER.pack(source_port, destination_port, length, check)


def partial_header4(source: bytes, destination: bytes, source_port: int, destination_port: int, payload_length: int) -> bytes:
    """Return the header of a datagram over IPv4 with only the pseudo-header's sum, for a frame with NEEDS_CSUM."""
    length = LENGTH + payload_length
    pseudo = (ipv4.pseudo_sum(ipv4.UDP, source, destination) + length) % checksum.MODULUS
    return _HEADER.pack(source_port, destination_port, length, pseudo)
