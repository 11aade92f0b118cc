"""ARP for IPv4 on Ethernet (RFC 826): who has an address asks everybody, who has it answers the one who asked."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PACKET = Struct(">HHBBH6s4s6s4s")  # hardware, protocol, lengths, operation, sender's MAC and address, target's
LENGTH: Final = _PACKET.size

_ETHERNET: Final = 1
_IPV4: Final = 0x0800
_REQUEST: Final = 1
_REPLY: Final = 2


def parse_request(packet: memoryview) -> tuple[bytes, bytes, bytes] | None:
    """Return (sender's MAC, sender's address, wanted address) of a request, or None for anything else."""
    if len(packet) < LENGTH:
        return None
    hardware, protocol, mac_length, length, operation, mac, sender, _, target = _PACKET.unpack_from(packet)
    if (hardware, protocol, mac_length, length, operation) != (_ETHERNET, _IPV4, 6, 4, _REQUEST):
        return None
    return mac, sender, target


def reply(mac: bytes, address: bytes, target_mac: bytes, target: bytes) -> bytes:
    """Return the reply that says that `address` is at `mac`."""
    return _PACKET.pack(_ETHERNET, _IPV4, 6, 4, _REPLY, mac, address, target_mac, target)
