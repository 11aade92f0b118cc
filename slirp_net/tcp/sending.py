"""The sending half of a connection (RFC 9293, sections 3.8.1 to 3.8.3 and 3.10.7.4, fifth step; RFC 5681; RFC 6582; RFC 6675).

Theory of operation. Data is read from the outside only when it can be sent at once, so everything in `_chunks` is under way: sent
and not yet acknowledged. A chunk keeps the buffer it was read into (`slot`) until the acknowledgement covers it; then the slot
goes to `released`, from where the caller takes it back.

The way to the container is a queue in memory, so there is no congestion window: the flight is limited by the container's window
and by FLIGHT. A loss means that the container's kernel had no memory. Then nothing new is sent before all that was under way
is acknowledged (`_recover`). A loss shows in the third duplicate acknowledgement, in as much selectively acknowledged, or in the
time-out. What is sent again:

    with SACK blocks (`_sacked`)      every hole below the highest block, once (`_resent`); after a time-out the container may
                                      have given up what it had, so the blocks are forgotten (RFC 2018, section 8)
    without                           the first chunk, and with each acknowledgement that moves forward the next one (NewReno)
"""

from __future__ import annotations

from slirp_net.tcp.round_trip import RoundTrip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from slirp_net.buffers import Slot

FLIGHT: Final = 1 << 20  # bytes under way, at most
_WORTH: Final = 16384  # bytes worth a segment while others are under way
_DUPLICATES: Final = 3  # RFC 5681, 3.2; RFC 6675's DupThresh
_MOST_BLOCKS: Final = 64  # what is told beyond them is sent again


class Sender:
    """What has been sent; sequence numbers are unwrapped.

    `unacknowledged` and `next` are SND.UNA and SND.NXT; `window` is SND.WND in bytes; `mss` the largest payload of one segment;
    `urgent` is SND.UP: the byte after the urgent one, while it is under way.
    """

    __slots__ = (
        "_acknowledged_at_update", "_chunks", "_duplicates", "_recover", "_resent", "_sacked", "_updated_by", "_widest", "fin",
        "mss", "next", "released", "resend", "round_trip", "shift", "unacknowledged", "urgent", "window",
    )  # fmt: skip

    def __init__(self, initial: int) -> None:
        """Start with `initial`, the sequence number of the SYN (ISS)."""
        self.unacknowledged = initial
        self.next = initial
        self.window = 0
        self.shift = 0
        self.mss = 0
        self.fin: int | None = None
        self.urgent: int | None = None
        self.resend = False
        self.released: list[Slot] = []
        self.round_trip = RoundTrip()
        self._chunks: list[tuple[int, int, memoryview, Slot | None]] = []  # first and last + 1 sequence number, payload, its slot
        self._recover = initial
        self._resent = initial
        self._sacked: list[tuple[int, int]] = []  # in order, without overlaps
        self._duplicates = 0
        self._widest = 0
        self._updated_by = 0  # SND.WL1
        self._acknowledged_at_update = 0  # SND.WL2

    @property
    def flight(self) -> int:
        """How many sequence numbers are under way."""
        return self.next - self.unacknowledged

    @property
    def has_data(self) -> bool:
        """Whether data is under way, not only a SYN or FIN."""
        return bool(self._chunks)

    def sendable(self) -> int:
        """Return how many bytes may be sent now: 0 while that is too few to be worth a segment (RFC 9293, 3.8.6.2.1)."""
        if self._recover > self.unacknowledged:
            return 0
        flight = self.next - self.unacknowledged
        usable = (self.window if self.window < FLIGHT else FLIGHT) - flight
        if usable >= _WORTH or not flight or usable >= min(self.mss, self._widest >> 1):
            return max(usable, 0)
        return 0

    def push(self, payload: memoryview, slot: Slot | None, now: float) -> int:
        """Note that `payload`, kept in `slot`, is being sent; returns its sequence number."""
        start = self.next
        self.next = end = start + len(payload)
        self._chunks.append((start, end, payload, slot))
        self.round_trip.sent(end, now)
        return start

    def is_blind(self, acknowledgement: int) -> bool:
        """Tell whether an acknowledgement is older than any that could still be under way: a guess (RFC 5961, 5.2)."""
        return acknowledgement < self.unacknowledged - self._widest

    def end(self) -> int:
        """Note that a FIN is being sent; returns its sequence number."""
        self.fin = self.next
        self.next += 1
        return self.fin

    def acknowledge(self, up_to: int, now: float) -> None:
        """Take an acknowledgement that moves forward (SND.UNA < SEG.ACK =< SND.NXT)."""
        self.unacknowledged = up_to
        self._duplicates = 0
        self.round_trip.acknowledged(up_to, now)
        chunks = self._chunks
        count = 0
        for _start, end, _payload, slot in chunks:
            if end > up_to:
                break
            count += 1
            if slot is not None:
                self.released.append(slot)
        if count:
            del chunks[:count]
        if self.urgent is not None and self.urgent <= up_to:
            self.urgent = None
        if self._sacked:
            self._sacked = [block for block in self._sacked if block[0] > up_to]
        if self._recover > up_to:
            self.resend = self._has_holes() if self._sacked else self._resent <= up_to

    def acknowledge_selectively(self, blocks: list[tuple[int, int]]) -> None:
        """Take SACK blocks; what makes no sense, or is acknowledged already (RFC 2883), is left out."""
        for left, right in blocks:
            if self.unacknowledged < left < right <= self.next:
                self._merge(left, right)
        if not self._sacked:
            return
        if self._recover > self.unacknowledged:
            self.resend = self.resend or self._has_holes()
        elif len(self._sacked) >= _DUPLICATES or sum(right - left for left, right in self._sacked) > (_DUPLICATES - 1) * self.mss:
            self.lost()

    def acknowledged_again(self) -> None:
        """Take a duplicate acknowledgement; the third one asks for the first segment again (RFC 5681, 3.2)."""
        self._duplicates += 1
        if self._duplicates == _DUPLICATES and self._recover <= self.unacknowledged:
            self.lost()

    def lost(self) -> None:
        """Send again from the first unacknowledged byte, and nothing new until what is under way has arrived."""
        self._recover = self.next
        self._resent = self.unacknowledged
        self.resend = True
        self.round_trip.sent_again()

    def timed_out(self) -> None:
        """Take the time-out: all that is under way counts as lost."""
        self._sacked = []
        self.lost()

    def update_window(self, sequence: int, acknowledgement: int, window: int) -> bool:
        """Take the window of a segment unless an older one (RFC 9293, 3.10.7.4, SND.WL1 and SND.WL2); tells whether it changed."""
        if sequence < self._updated_by or (sequence == self._updated_by and acknowledgement < self._acknowledged_at_update):
            return False
        self._updated_by = sequence
        self._acknowledged_at_update = acknowledgement
        if window == self.window:
            return False
        self.window = window
        self._widest = max(self._widest, window)
        return True

    def to_send_again(self, most: int) -> list[tuple[int, memoryview]]:
        """Return sequence number and payload of what is to be sent again, none larger than `most` bytes.

        Nothing is returned when only a SYN or FIN is under way.
        """
        if not self._chunks:
            return []
        if not self._sacked:
            start, _end, payload, _slot = self._chunks[0]
            first = max(start, self.unacknowledged)
            self._resent = first
            return [(first, payload[first - start :][:most])]
        pieces = []
        at = max(self.unacknowledged, self._resent)
        for left, right in self._sacked:
            pieces += self._between(at, left, most)
            at = max(at, right)
        self._resent = at
        return pieces

    def discard(self) -> None:
        """Give up everything under way."""
        self.released += [slot for _start, _end, _payload, slot in self._chunks if slot is not None]
        self._chunks.clear()

    def _has_holes(self) -> bool:
        return max(self.unacknowledged, self._resent) < self._sacked[-1][0]

    def _between(self, first: int, last: int, most: int) -> list[tuple[int, memoryview]]:
        pieces = []
        for start, end, payload, _slot in self._chunks:
            begin, stop = max(start, first), min(end, last)
            pieces += [(at, payload[at - start : min(at + most, stop) - start]) for at in range(begin, stop, most)]
        return pieces

    def _merge(self, left: int, right: int) -> None:
        apart = []
        for block in self._sacked:
            if block[1] < left or block[0] > right:
                apart.append(block)
            else:
                left, right = min(left, block[0]), max(right, block[1])
        self._sacked = sorted([*apart, (left, right)])[:_MOST_BLOCKS]
