"""What is the same for both versions of IP: the version shows in a packet's first byte, and in an address's length."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from slirp_net.wire import ipv4, ipv6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LENGTH6: Final = 16  # of an address
_DESTINATION4: Final = slice(16, 20)
_DESTINATION6: Final = slice(24, 40)


def is_version6(packet: bytes | memoryview) -> bool:
    """Tell whether a packet with a valid header is of IPv6."""
    return packet[0] >> 4 == 6


def destination_of(packet: bytes | memoryview) -> bytes:
    """Return the destination of a packet with a valid header."""
    return bytes(packet[_DESTINATION6 if is_version6(packet) else _DESTINATION4])


def time_of(packet: bytes | memoryview) -> int:
    """Return the time to live, or the hop limit, of a packet with a valid header."""
    return packet[ipv6.HOP_LIMIT_AT if is_version6(packet) else ipv4.TTL_AT]


def header(protocol: int, source: bytes, destination: bytes, payload_length: int) -> bytes:
    """Return the header of a whole packet; both addresses are of one length."""
    if len(source) == LENGTH6:
        return ipv6.header(protocol, source, destination, payload_length)
    return ipv4.header(protocol, source, destination, payload_length)


def parse_beginning(packet: bytes | memoryview) -> tuple[int, int, bytes, bytes] | None:
    """Return (header length, protocol, source, destination) of a packet of which only the beginning is there, or None."""
    if packet and is_version6(packet):
        return ipv6.parse_beginning(packet)
    return ipv4.parse_beginning(packet)


def parse_address(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address. Raises `OSError`."""
    return inet_pton(AF_INET6 if ":" in text else AF_INET, text)


def address_text(address: bytes) -> str:
    """Return "192.0.2.1" or "2001:db8::1" for 4 or 16 bytes."""
    return inet_ntop(AF_INET6 if len(address) == LENGTH6 else AF_INET, address)
