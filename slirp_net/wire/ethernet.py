"""Ethernet II frames (IEEE 802.3, RFC 894)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LENGTH: Final = 14
BROADCAST: Final = b"\xff" * 6

IPV4: Final = b"\x08\x00"
ARP: Final = b"\x08\x06"
IPV6: Final = b"\x86\xdd"


def header(destination: bytes, source: bytes, ethertype: bytes) -> bytes:
    """Return a frame's header; addresses of 6 bytes, `ethertype` one of the constants above."""
    return destination + source + ethertype


def parse_address(text: str) -> bytes:
    """Return the 6 bytes of "02:00:0a:00:02:02". Raises `ValueError`."""
    address = bytes.fromhex(text.replace(":", ""))
    if len(address) != 6:
        raise ValueError(f"not an Ethernet address: {text}")
    return address
