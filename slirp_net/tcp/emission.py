"""What a connection sends (RFC 9293, sections 3.8 and 3.10): data, what is due, and what is sent again.

`Emission` has the fields of a connection and everything that makes segments; `connection.Connection` adds what arrives, and when.
A segment is the tuple (sequence, acknowledgement, flags, window field, options, payload), all in wire form. With URG the
last byte of its payload is the urgent one.
"""

from __future__ import annotations

from slirp_net.tcp.receiving import CAPACITY, SHIFT, Receiver
from slirp_net.tcp.sending import Sender
from slirp_net.tcp.sequence import MASK
from slirp_net.tcp.states import CLOSED, MAY_SEND, ON_OUR_CLOSE, SYN_SENT, TIME_WAIT
from slirp_net.tcp.timestamps import Timestamps
from slirp_net.wire.tcp import ACK, FIN, PSH, RST, TIMESTAMPS_LENGTH, URG, Options, sack_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

    from slirp_net.buffers import Slot

    Segment: TypeAlias = tuple[int, int, int, int, bytes, bytes | memoryview]

NEVER: Final = float("inf")
_DEFAULT_MSS: Final = 536  # RFC 9293, 3.7.1
_LEAST_MSS: Final = 64


class Emission:
    """A connection; `deadline` is when `on_timer` is to be called, in the seconds of the caller's clock."""

    __slots__ = (
        "_heard", "_largest", "_offered", "_outbox", "_retries", "_waiting",
        "acknowledge", "deadline", "inbox", "keep_alive", "receiver", "sender", "state", "timestamps",
    )  # fmt: skip

    def __init__(self, state: int, initial: int, largest: int) -> None:
        """Use `passive` or `active`; `initial` is our first sequence number, `largest` our own MSS in bytes."""
        self.state = state
        self.sender = Sender(initial)
        self.receiver = Receiver(0, CAPACITY)
        self.inbox: list[memoryview] = []
        self.acknowledge = False  # an acknowledgement is owed
        self.deadline = NEVER
        self._largest = largest
        self._offered: Options | None = Options(largest, SHIFT, sack_permitted=True)
        self._outbox: list[Segment] = []
        self._retries = 0
        self.keep_alive = 0.0  # seconds of silence after which to ask whether the container is still there; 0: never
        self._heard = 0.0
        self.timestamps: Timestamps | None = None
        self._waiting = False  # the outside has data and the container's window is closed

    def sendable(self) -> int:
        """Return how many bytes `send` may take now."""
        return self.sender.sendable() if self.state in MAY_SEND else 0

    def send(self, payload: memoryview, slot: Slot | None, now: float) -> Segment:
        """Return the segment that carries `payload`, which is kept, in its `slot`, until it is acknowledged."""
        if self.deadline == NEVER or self._waiting:
            self._waiting = False
            self.deadline = now + self.sender.round_trip.time_out
        return self._segment(self.sender.push(payload, slot, now), ACK | PSH, now, payload)

    def send_urgent(self, payload: memoryview, slot: Slot | None, now: float) -> Segment:
        """Like `send`, for a payload whose last byte is urgent (RFC 9293, 3.8.5; RFC 6093)."""
        sequence, acknowledgement, flags, window, options, _ = self.send(payload, slot, now)
        self.sender.urgent = self.sender.next
        return sequence, acknowledgement, flags | URG, window, options, payload

    def wait_for_window(self, now: float) -> None:
        """Say that there is data for which the window has no room: probes find out when it opens (RFC 9293, 3.8.6.1)."""
        if self.state in MAY_SEND and not self._waiting and not self.sender.flight and not self.sender.window:
            self._waiting = True
            self._retries = 0
            self.deadline = now + self.sender.round_trip.time_out

    def consumed(self, count: int) -> None:
        """Say that the outside has taken `count` bytes of those that came by `inbox`."""
        if self.receiver.taken(count):
            self.acknowledge = True

    def close(self, now: float) -> None:
        """Say that the outside has ended: a FIN follows the data (RFC 9293, 3.10.4). Only in a state that may send."""
        self.state = ON_OUR_CLOSE[self.state]
        self._outbox.append(self._segment(self.sender.end(), FIN | ACK, now))
        self._waiting = False
        self.deadline = now + self.sender.round_trip.time_out

    def abort(self) -> Segment | None:
        """Give the connection up; returns the reset to send (RFC 9293, 3.10.5), None when none is due."""
        state, self.state = self.state, CLOSED
        self.deadline = NEVER
        self.sender.discard()
        if state in (CLOSED, SYN_SENT, TIME_WAIT):
            return None
        return self.sender.next & MASK, self.receiver.next & MASK, RST | ACK, 0, b"", b""

    def poll(self, now: float) -> list[Segment]:
        """Return the segments that are due: handshakes, retransmissions, probes, FIN, or else an acknowledgement that is owed."""
        segments = self._outbox
        if segments:
            self._outbox = []
        sender = self.sender
        if sender.resend:
            sender.resend = False
            segments = [*self._again(now), *segments]
        if self.acknowledge:  # nothing above has carried the latest
            segments = [*segments, self._segment(sender.next, ACK, now)]
        return segments

    def _segment(self, sequence: int, flags: int, now: float, payload: bytes | memoryview = b"") -> Segment:
        receiver = self.receiver
        # What came early is told by an acknowledgement of its own: beside data it would be none (RFC 5681, 2).
        self.acknowledge = bool(payload) and self.acknowledge and receiver.early > 0
        options = self.timestamps.option(now) if self.timestamps is not None else b""
        if receiver.has_early and not payload and self._offered is None:
            options += sack_option([(left & MASK, right & MASK) for left, right in receiver.sack_blocks()], len(options))
        return sequence & MASK, receiver.next & MASK, flags, receiver.window_field(), options, payload

    def _again(self, now: float) -> list[Segment]:
        """Return what is to be sent again, no more than the window takes, and only segments of an MSS if that does not help."""
        sender = self.sender
        most = sender.mss if self._retries > 1 else max(sender.window, sender.mss)
        pieces = sender.to_send_again(most)
        if not pieces and not sender.has_data:
            return [self._segment(sender.unacknowledged, (FIN | ACK) if sender.fin is not None else ACK, now)]
        urgent = sender.urgent
        return [
            self._segment(sequence, ACK | PSH | (URG if sequence + len(payload) == urgent else 0), now, payload)
            for sequence, payload in pieces
        ]

    def _send_syn(self, flags: int, now: float) -> None:
        assert self._offered is not None
        acknowledgement = self.receiver.next & MASK if flags & ACK else 0
        window = min(self.receiver.window(), 0xFFFF)  # never scaled in a SYN (RFC 7323, 2.2)
        if self.timestamps is not None:
            self._offered.times = (self.timestamps.value(now), self.timestamps.recent)
        self._outbox.append((self.sender.unacknowledged & MASK, acknowledgement, flags, window, self._offered.emit(), b""))
        self.deadline = now + self.sender.round_trip.time_out

    def _take_syn(self, sequence: int, window: int, options: Options, now: float) -> None:
        """Take the container's SYN: where its data begins and what it can do."""
        sender, receiver = self.sender, Receiver(sequence + 1, CAPACITY)
        assert self._offered is not None
        scaled = options.shift is not None
        receiver.shift = SHIFT if scaled else 0
        receiver.capacity = CAPACITY if scaled else 0xFFFF
        receiver.sack_permitted = options.sack_permitted
        self._offered = Options(self._largest, SHIFT if scaled else None, sack_permitted=options.sack_permitted)
        self.receiver = receiver
        sender.shift = options.shift or 0
        sender.mss = max(min(options.mss if options.mss is not None else _DEFAULT_MSS, self._largest), _LEAST_MSS)
        self.timestamps = None
        if options.times is not None:
            self.timestamps = Timestamps(sender.unacknowledged, options.times[0], now)
            sender.mss -= TIMESTAMPS_LENGTH  # in every segment (RFC 6691)
        self._heard = now
        sender.update_window(sequence, sender.unacknowledged, window)

    def _idle_deadline(self, now: float) -> float:
        """Return the deadline of a connection with nothing under way."""
        return now + self.keep_alive if self.keep_alive else NEVER
