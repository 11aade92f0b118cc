"""The receiving half of a connection (RFC 9293, sections 3.8.6 and 3.10.7.4, fifth to eighth step).

Theory of operation. `next` is the first byte not yet received. The container may send up to `edge`, which never moves back; it
moves forward as the outside takes the data, so a host socket that takes nothing closes the window (`pending` counts what was
received and not yet taken). Small steps of the edge are not announced (silly window avoidance, 3.8.6.2.2).

Urgent data is a mark in the stream (3.8.5; RFC 6093): `urgent` is the sequence number of its last byte until the outside has
taken it, `unread` that of the first byte that the outside has not taken.

Segments that arrive early wait in `_early`, sorted and without overlaps, and are reported as SACK blocks (RFC 2018) with the
latest first. They are copied there, because they are rare and their buffer is needed.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Bytes. Enough that the container's kernel always has a few super-segments of 64 KiB under way, little enough to stay in the cache.
CAPACITY: Final = 1 << 20
SHIFT: Final = 7  # of our window field: 1 MiB is 8192 units of 128 bytes
_STEP: Final = CAPACITY // 4
_MAX_EARLY: Final = 64  # segments
_MAX_FIELD: Final = 0xFFFF


class Receiver:
    """What has been received; sequence numbers are unwrapped."""

    __slots__ = (
        "_early", "_latest", "announced", "capacity", "early", "edge", "end", "may_keep", "next", "pending", "sack_permitted",
        "shift", "unread", "urgent",
    )  # fmt: skip

    def __init__(self, first: int, capacity: int) -> None:
        """`first` is the sequence number of the first byte, `capacity` the largest window in bytes."""
        self.next = first
        self.edge = first
        self.announced = first  # what the last acknowledgement said was received
        self.end: int | None = None  # the sequence number of the FIN, once it is known
        self.capacity = capacity
        self.pending = 0
        self.unread = first
        self.urgent: int | None = None
        self.shift = 0
        self.sack_permitted = False
        self.may_keep = True  # whether there is memory for segments that arrive early
        self.early = 0  # bytes of them
        self._early: list[tuple[int, bytes]] | None = None
        self._latest = first

    @property
    def has_early(self) -> bool:
        """Whether data has arrived early of which the container is to be told."""
        return self._early is not None and self.sack_permitted

    def window(self) -> int:
        """Move the edge forward as far as there is room and return the window in bytes."""
        limit = self.next + self.capacity - self.pending
        if limit - self.edge >= self._step() or (limit > self.edge and not self.pending):
            self.edge = limit
        return self.edge - self.next

    def window_field(self) -> int:
        """Return the window field of an acknowledgement that is being sent now."""
        self.announced = self.next
        return min(self.window() >> self.shift, _MAX_FIELD)

    def taken(self, count: int) -> bool:
        """Note that the outside took `count` bytes; tells whether that opened the window enough to be announced unasked."""
        self.pending -= count
        self.unread += count
        if self.urgent is not None and self.urgent < self.unread:
            self.urgent = None
        return self.next + self.capacity - self.pending - self.edge >= self._step()

    def _step(self) -> int:
        """Return by how much the edge moves at least (RFC 9293, 3.8.6.2.2)."""
        return min(_STEP, self.capacity >> 1)

    def accept(self, start: int, payload: memoryview, inbox: list[memoryview]) -> None:
        """Take the part of a payload that is new and within the window; what is now in order goes to `inbox`."""
        if start == self.next and self._early is None and len(payload) <= self.edge - start:
            self._deliver(payload, inbox)
            return
        skipped = self.next - start
        if skipped > 0:
            payload = payload[skipped:]
            start = self.next
        payload = payload[: max(self.edge - start, 0)]
        if not payload:
            return
        if start > self.next:
            if self.may_keep:
                self._keep(start, payload)
            return
        self._deliver(payload, inbox)
        self._deliver_early(inbox)

    def accept_mark(self, sequence: int) -> None:
        """Note an urgent byte; only the latest counts, and only if the outside has not had it yet."""
        if sequence >= self.unread and (self.urgent is None or sequence > self.urgent):
            self.urgent = sequence

    def accept_end(self, sequence: int) -> None:
        """Note where the FIN is."""
        if self.end is None and sequence <= self.edge:
            self.end = sequence

    def take_end(self) -> bool:
        """Tell whether everything up to the FIN has arrived, and count the FIN as received."""
        if self.end is None or self.next != self.end:
            return False
        self.next += 1
        self.edge = max(self.edge, self.next)
        self.end = None
        return True

    def sack_blocks(self) -> list[tuple[int, int]]:
        """Return the ranges received early, that of the latest segment first (RFC 2018, section 4)."""
        blocks: list[tuple[int, int]] = []
        for start, data in self._early or ():
            if blocks and blocks[-1][1] == start:
                blocks[-1] = (blocks[-1][0], start + len(data))
            else:
                blocks.append((start, start + len(data)))
        blocks.sort(key=lambda block: not block[0] <= self._latest < block[1])
        return blocks

    def _deliver(self, payload: memoryview, inbox: list[memoryview]) -> None:
        self.next += len(payload)
        self.pending += len(payload)
        inbox.append(payload)

    def _deliver_early(self, inbox: list[memoryview]) -> None:
        early = self._early
        while early and early[0][0] <= self.next:
            start, data = early.pop(0)
            rest = memoryview(data)[self.next - start :]
            if rest:
                self._deliver(rest, inbox)
        self._count_early()

    def _keep(self, start: int, payload: memoryview) -> None:
        """Insert an early payload between those that are there, without what they already cover."""
        early = self._early = self._early if self._early is not None else []
        self._latest = start
        at = 0
        while at < len(early) and early[at][0] <= start:
            covered = early[at][0] + len(early[at][1]) - start
            if covered > 0:
                payload = payload[covered:]
                start += covered
            at += 1
        while payload and at < len(early):
            gap = early[at][0] - start
            if gap >= len(payload):
                break
            if gap > 0:
                early.insert(at, (start, bytes(payload[:gap])))
                at += 1
            covered = early[at][0] + len(early[at][1]) - start
            payload = payload[covered:]
            start += covered
            at += 1
        if payload:
            early.insert(at, (start, bytes(payload)))
        del early[_MAX_EARLY:]
        self._count_early()

    def _count_early(self) -> None:
        self.early = sum(len(data) for _start, data in self._early or ())
        if not self.early:
            self._early = None
