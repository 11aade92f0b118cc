"""Timestamps (RFC 7323, sections 3 to 5) of a connection whose both ends offered them in their SYNs.

Every segment carries our clock and the container's latest one. A segment with an older clock than the latest is a stray duplicate
(PAWS), and the echo of our own clock measures a round trip even of what was sent twice. The clock counts milliseconds from a
random start, so that it does not tell the host's uptime (section 5.4).
"""

from __future__ import annotations

from slirp_net.tcp.sequence import MASK
from slirp_net.wire.tcp import timestamps_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HALF: Final = 0x80000000
_TICKS: Final = 1000  # a second
OUTDATED: Final = 24 * 86400.0  # seconds after which the container's clock may have wrapped (section 5.5)


class Timestamps:
    """`recent` is the container's clock that is echoed (TS.Recent)."""

    __slots__ = ("_offset", "_taken_at", "recent")

    def __init__(self, offset: int, recent: int, now: float) -> None:
        self._offset = offset
        self._taken_at = now
        self.recent = recent

    def value(self, now: float) -> int:
        """Return our clock (TSval)."""
        return (int(now * _TICKS) + self._offset) & MASK

    def option(self, now: float) -> bytes:
        """Return the option of a segment sent now."""
        return timestamps_option(self.value(now), self.recent)

    def is_old(self, value: int, now: float) -> bool:
        """Tell whether a segment with the container's clock `value` is a stray from the past (section 5.3, R1)."""
        return (value - self.recent) & MASK >= _HALF and now - self._taken_at < OUTDATED

    def take(self, value: int, now: float) -> None:
        """Echo `value` from now on: that of a segment which covers what was acknowledged last (section 4.3)."""
        self.recent = value
        self._taken_at = now

    def elapsed(self, echo: int, now: float) -> float:
        """Return the seconds since our clock was `echo`; negative for what it never was."""
        ticks = (self.value(now) - echo) & MASK
        return (ticks if ticks < _HALF else ticks - MASK - 1) / _TICKS
