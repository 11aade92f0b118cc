"""TCP headers and options (RFC 9293, section 3.1; RFC 7323; RFC 2018)."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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

_END, _NO_OPERATION, _MSS, _WINDOW_SCALE, _SACK_PERMITTED, _SACK, _TIMESTAMPS = 0, 1, 2, 3, 4, 5, 8
_MAX_SHIFT: Final = 14  # RFC 7323, 2.3
_TIMESTAMPS_ALIGNED: Final = 0x0101080A  # two NOPs, kind, length: as everybody sends them (RFC 7323, appendix A)
_TIMES = Struct(">LLL")
TIMESTAMPS_LENGTH: Final = _TIMES.size
_BLOCK = Struct(">LL")
_MOST_OPTIONS: Final = 40  # bytes


def parse(packet: memoryview) -> tuple[int, int, int, int, int, int, int, int] | None:
    """Return a segment's source and destination port, sequence, acknowledgement, flags, window, header length and urgent pointer.

    The window is unscaled; options lie between byte 20 and the header length. None for what is no segment.
    """
    if len(packet) < LENGTH:
        return None
    source, destination, sequence, acknowledgement, offset, flags, window, _, urgent = _HEADER.unpack_from(packet)
    length = (offset & 0xF0) >> 2
    if not LENGTH <= length <= len(packet):
        return None
    return source, destination, sequence, acknowledgement, flags, window, length, urgent


class Options:
    """The options of a SYN: `mss` in bytes (None when absent), `shift` of the window (None), `sack_permitted`, `times`.

    `times` are the two timestamps (RFC 7323): the sender's clock, and the one it echoes.
    """

    __slots__ = ("mss", "sack_permitted", "shift", "times")

    def __init__(
        self,
        mss: int | None = None,
        shift: int | None = None,
        *,
        sack_permitted: bool = False,
        times: tuple[int, int] | None = None,
    ) -> None:
        self.mss = mss
        self.shift = shift
        self.sack_permitted = sack_permitted
        self.times = times

    def emit(self) -> bytes:
        """Return the options' bytes, a multiple of four."""
        text = b""
        if self.mss is not None:
            text += bytes((_MSS, 4)) + self.mss.to_bytes(2, "big")
        if self.shift is not None:
            text += bytes((_NO_OPERATION, _WINDOW_SCALE, 3, self.shift))
        if self.sack_permitted:
            text += bytes((_NO_OPERATION, _NO_OPERATION, _SACK_PERMITTED, 2))
        if self.times is not None:
            text += timestamps_option(*self.times)
        return text


def parse_options(options: memoryview) -> Options:
    """Return what a SYN offers. Unknown options are skipped; a malformed one ends the list, what came before it counts."""
    found = Options()
    for kind, value in _each(options):
        if kind == _MSS and len(value) == 2:
            found.mss = int.from_bytes(value, "big")
        elif kind == _WINDOW_SCALE and len(value) == 1:
            found.shift = min(value[0], _MAX_SHIFT)
        elif kind == _SACK_PERMITTED and not value:
            found.sack_permitted = True
        elif kind == _TIMESTAMPS and len(value) == _BLOCK.size:
            found.times = _BLOCK.unpack(value)
    return found


def parse_later_options(options: memoryview) -> tuple[tuple[int, int] | None, list[tuple[int, int]]]:
    """Return the timestamps, or None, and the SACK blocks of a segment after the SYN: (left edge, right edge)."""
    if len(options) == TIMESTAMPS_LENGTH:
        aligned, value, echo = _TIMES.unpack(options)
        if aligned == _TIMESTAMPS_ALIGNED:
            return (value, echo), []
    times, blocks = None, []
    for kind, value in _each(options):
        if kind == _TIMESTAMPS and len(value) == _BLOCK.size:
            times = _BLOCK.unpack(value)
        elif kind == _SACK and not len(value) % _BLOCK.size:
            blocks += list(_BLOCK.iter_unpack(value))
    return times, blocks


def _each(options: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield kind and value of each option, up to the end of the list or to the first malformed one."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            return
        yield options[at], options[at + 2 : at + length]
        at += length


def timestamps_option(value: int, echo: int) -> bytes:
    """Return a timestamps option of 12 bytes (RFC 7323, section 3.2 and appendix A)."""
    return _TIMES.pack(_TIMESTAMPS_ALIGNED, value, echo)


def sack_option(blocks: Sequence[tuple[int, int]], before: int = 0) -> bytes:
    """Return a SACK option (RFC 2018, section 3) with as many of `blocks` as fit after `before` bytes of other options."""
    most = (_MOST_OPTIONS - before - 4) // _BLOCK.size
    edges = b"".join([_BLOCK.pack(*block) for block in blocks[:most]])
    return bytes((_NO_OPERATION, _NO_OPERATION, _SACK, 2 + len(edges))) + edges
