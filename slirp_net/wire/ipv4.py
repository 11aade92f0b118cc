"""IPv4 headers (RFC 791)."""

from __future__ import annotations

from struct import Struct

from slirp_net.wire.checksum import MODULUS, checksum, word_sum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">BBHHHBBH4s4s")  # version and length, TOS, total, identification, flags and offset, TTL, protocol, sum, addresses
LENGTH: Final = _HEADER.size
MAX_TOTAL: Final = 0xFFFF

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17

DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
FRAGMENT_MASK: Final = 0x3FFF  # MORE_FRAGMENTS and the offset, in units of 8 bytes
OFFSET_MASK: Final = 0x1FFF
TTL: Final = 64
TTL_AT: Final = 8  # in a header

_VERSION_4: Final = 0x40
_FRAGMENT_AT: Final = slice(6, 8)


def parse(packet: memoryview) -> tuple[int, int, int, bytes, bytes, int, int, int] | None:
    """Return (header length, total length, protocol, source, destination, TTL, flags and offset, identification).

    `packet` may be longer than the total length (Ethernet pads). None for a packet that RFC 1122, 3.2.1 says to drop silently:
    another version, lengths that do not fit, a wrong checksum.
    """
    if len(packet) < LENGTH:
        return None
    first, _, total, identification, fragment, ttl, protocol, _, source, destination = _HEADER.unpack_from(packet)
    length = (first & 0x0F) << 2
    if first & 0xF0 != _VERSION_4 or not LENGTH <= length <= total <= len(packet):
        return None
    if int.from_bytes(packet[:length], "big") % MODULUS:
        return None
    return length, total, protocol, source, destination, ttl, fragment, identification


def parse_beginning(packet: bytes | memoryview) -> tuple[int, int, bytes, bytes] | None:
    """Return (header length, protocol, source, destination) of a packet of which only the beginning is there, or None."""
    if len(packet) < LENGTH:
        return None
    first, _, _, _, _, _, protocol, _, source, destination = _HEADER.unpack_from(packet)
    length = (first & 0x0F) << 2
    return (length, protocol, source, destination) if first & 0xF0 == _VERSION_4 and length >= LENGTH else None


def offset_of(packet: bytes | memoryview) -> int:
    """Return where a fragment belongs, in units of 8 bytes; 0 for the first one and for what is whole."""
    return int.from_bytes(packet[_FRAGMENT_AT], "big") & OFFSET_MASK


def header(
    protocol: int, source: bytes, destination: bytes, payload_length: int, fragment: int = DONT_FRAGMENT, identification: int = 0
) -> bytes:
    """Return a header without options; `fragment` is the field of flags and offset.

    The identification may be 0 for what is never fragmented (RFC 6864, section 4.1).
    """
    total = LENGTH + payload_length
    fields = (0x45, 0, total, identification, fragment, TTL, protocol)
    bare = _HEADER.pack(*fields, 0, source, destination)
    return _HEADER.pack(*fields, checksum(bare), source, destination)


def pseudo_sum(protocol: int, source: bytes, destination: bytes) -> int:
    """Return the sum of the pseudo-header of TCP and UDP (RFC 9293, 3.1) but for the length, which the caller adds."""
    return word_sum(source) + word_sum(destination) + protocol
