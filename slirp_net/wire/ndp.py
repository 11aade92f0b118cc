"""Neighbour discovery (RFC 4861): who has an address, and which router there is; name servers (RFC 8106).

The messages are those of ICMPv6 after the first eight bytes of its header, of which the last four are their own.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
NEIGHBOUR_SOLICITATION: Final = 135
NEIGHBOUR_ADVERTISEMENT: Final = 136

ALL_NODES: Final = bytes.fromhex("ff020000000000000000000000000001")

_ROUTER: Final = 1 << 31
_SOLICITED: Final = 1 << 30
_OVERRIDE: Final = 1 << 29

_SOURCE_LINK, _TARGET_LINK, _PREFIX, _MTU, _NAME_SERVERS = 1, 2, 3, 5, 25
_PREFIX_OPTION = Struct(">BBBBLL4x16s")  # type, length in units of 8 bytes, prefix's length, flags, lifetimes, prefix
_MTU_OPTION = Struct(">BBxxL")
_NAME_SERVER_OPTION = Struct(">BBxxL16s")
_TIMERS = Struct(">LL")  # reachable time and time between solicitations: unspecified
_ON_LINK: Final = 0x80
_FOR_EVER: Final = 0xFFFFFFFF
_HOP_LIMIT: Final = 64
_ROUTER_LIFETIME: Final = 9000  # seconds, the longest there is (RFC 4861, 6.2.1)


def parse_solicitation(message: memoryview) -> bytes | None:
    """Return the address that a neighbour solicitation (with its ICMPv6 header of 8 bytes) asks for, or None if it is malformed."""
    if len(message) < 24 or message[1] or message[8] == 0xFF or not options_are_valid(message[24:]):
        return None
    return bytes(message[8:24])


def options_are_valid(options: memoryview) -> bool:
    """Tell whether options are well formed (RFC 4861, 4.6 and 6.1): none has no length, the last one ends with the message."""
    at = 0
    while at + 2 <= len(options) and options[at + 1]:
        at += options[at + 1] << 3
    return at == len(options)


def advertisement(target: bytes, mac: bytes, *, solicited: bool) -> tuple[int, bytes]:
    """Return the four bytes of flags (as a number) and the rest of a router's answer that `target` is at `mac`."""
    return _ROUTER | _OVERRIDE | (_SOLICITED if solicited else 0), target + bytes((_TARGET_LINK, 1)) + mac


def router_advertisement(mac: bytes, mtu: int, prefix: bytes, prefix_length: int, dns: bytes) -> tuple[int, bytes]:
    """Return the four bytes (as a number) and the rest of an advertisement.

    The prefix is on the link, but no address is to be made from it: the container's is given.
    """
    options = (
        bytes((_SOURCE_LINK, 1)) + mac,
        _MTU_OPTION.pack(_MTU, 1, mtu),
        _PREFIX_OPTION.pack(_PREFIX, 4, prefix_length, _ON_LINK, _FOR_EVER, _FOR_EVER, prefix),
        _NAME_SERVER_OPTION.pack(_NAME_SERVERS, 3, _ROUTER_LIFETIME, dns),
    )
    return _HOP_LIMIT << 24 | _ROUTER_LIFETIME, _TIMERS.pack(0, 0) + b"".join(options)
