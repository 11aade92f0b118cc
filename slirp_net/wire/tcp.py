"""TCP headers and options (RFC 9293, section 3.1; RFC 7323; RFC 2018)."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_HEADER = Struct(">HHLLBBHHH")  # ports, sequence, acknowledgement, data offset, flags, window, checksum, urgent pointer
LENGTH: Final = _HEADER.size
CHECKSUM_OFFSET: Final = 16

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20

_END, _NO_OPERATION, _MSS, _WINDOW_SCALE, _SACK_PERMITTED, _SACK = 0, 1, 2, 3, 4, 5
_MAX_SHIFT: Final = 14  # RFC 7323, 2.3
_MAX_SACK_BLOCKS: Final = 4


def parse(packet: memoryview) -> tuple[int, int, int, int, int, int, int] | None:
    """Return (source port, destination port, sequence, acknowledgement, flags, window, header length) of a segment, or None.

    The window is unscaled; options lie between byte 20 and the header length.
    """
    if len(packet) < LENGTH:
        return None
    source, destination, sequence, acknowledgement, offset, flags, window, _, _ = _HEADER.unpack_from(packet)
    length = (offset & 0xF0) >> 2
    if not LENGTH <= length <= len(packet):
        return None
    return source, destination, sequence, acknowledgement, flags, window, length


class Options:
    """The options of a SYN: `mss` in bytes (None when absent), `shift` of the window (None), `sack_permitted`."""

    __slots__ = ("mss", "sack_permitted", "shift")

    def __init__(self, mss: int | None = None, shift: int | None = None, *, sack_permitted: bool = False) -> None:
        self.mss = mss
        self.shift = shift
        self.sack_permitted = sack_permitted

    def emit(self) -> bytes:
        """Return the options' bytes, a multiple of four."""
        text = b""
        if self.mss is not None:
            text += bytes((_MSS, 4)) + self.mss.to_bytes(2, "big")
        if self.shift is not None:
            text += bytes((_NO_OPERATION, _WINDOW_SCALE, 3, self.shift))
        if self.sack_permitted:
            text += bytes((_NO_OPERATION, _NO_OPERATION, _SACK_PERMITTED, 2))
        return text


def parse_options(options: memoryview) -> Options:
    """Return what a SYN offers. Unknown options are skipped; a malformed one ends the list, what came before it counts."""
    found = Options()
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        _take_option(found, options[at], options[at + 2 : at + length])
        at += length
    return found


def _take_option(found: Options, kind: int, value: memoryview) -> None:
    if kind == _MSS and len(value) == 2:
        found.mss = int.from_bytes(value, "big")
    elif kind == _WINDOW_SCALE and len(value) == 1:
        found.shift = min(value[0], _MAX_SHIFT)
    elif kind == _SACK_PERMITTED and not value:
        found.sack_permitted = True


def sack_option(blocks: Sequence[tuple[int, int]]) -> bytes:
    """Return a SACK option (RFC 2018, section 3) with the first four of `blocks`: (left edge, right edge)."""
    edges = [edge.to_bytes(4, "big") for block in blocks[:_MAX_SACK_BLOCKS] for edge in block]
    return bytes((_NO_OPERATION, _NO_OPERATION, _SACK, 2 + 4 * len(edges))) + b"".join(edges)
