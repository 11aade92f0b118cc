"""The retransmission time-out (RFC 6298).

One segment at a time is timed, from its sending to the acknowledgement that covers it, and never one that was sent twice (Karn's
algorithm); where there are timestamps, their echo measures those too (RFC 7323, 4.1).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

INITIAL: Final = 1.0  # seconds (RFC 6298, 2.1)
# The RFC asks for a second for the sake of clocks and of delayed acknowledgements elsewhere; Linux, which is the other end here,
# delays them by 200 ms at most.
MINIMUM: Final = 0.3
MAXIMUM: Final = 60.0
_AFTER_LOST_SYN: Final = 3.0  # RFC 6298, 5.7

_ALPHA = 1 / 8
_BETA = 1 / 4
_K = 4


class RoundTrip:
    """The estimator of one connection; all times in seconds."""

    __slots__ = ("_deviation", "_smoothed", "_timed", "_timed_at", "time_out")

    def __init__(self) -> None:
        self._smoothed = 0.0
        self._deviation = 0.0
        self._timed = 0  # the sequence number whose acknowledgement ends the measurement; 0 when there is none
        self._timed_at = 0.0
        self.time_out = INITIAL

    def sent(self, end: int, now: float) -> None:
        """Begin a measurement with a segment sent for the first time, which ends at sequence number `end`, unless one runs."""
        if not self._timed:
            self._timed = end
            self._timed_at = now

    def sent_again(self) -> None:
        """Forget the measurement: what was sent again cannot be timed (RFC 6298, 3)."""
        self._timed = 0

    def acknowledged(self, up_to: int, now: float) -> None:
        """Complete the measurement if `up_to` covers it (RFC 6298, 2.2 and 2.3); a new acknowledgement also ends any back-off."""
        if not self._timed or up_to < self._timed:
            return
        self._timed = 0
        self.measured(max(now - self._timed_at, 0.0))

    @property
    def is_timing(self) -> bool:
        """Whether a segment is being timed."""
        return bool(self._timed)

    def measured(self, sample: float) -> None:
        """Take a measurement, in seconds (RFC 6298, 2.2 and 2.3)."""
        if self._smoothed:
            self._deviation += _BETA * (abs(self._smoothed - sample) - self._deviation)
            self._smoothed += _ALPHA * (sample - self._smoothed)
        else:
            self._smoothed = sample or 1e-6
            self._deviation = sample / 2
        self.time_out = min(max(self._smoothed + _K * self._deviation, MINIMUM), MAXIMUM)

    def syn_was_lost(self) -> None:
        """Begin with a longer time-out, unless something has been measured: the SYN had to be sent again (RFC 6298, 5.7)."""
        if not self._smoothed:
            self.time_out = _AFTER_LOST_SYN

    def back_off(self) -> None:
        """Double the time-out (RFC 6298, 5.5)."""
        self.time_out = min(self.time_out * 2, MAXIMUM)
