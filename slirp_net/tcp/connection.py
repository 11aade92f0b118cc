"""One TCP connection as the container sees it (RFC 9293): what arrives, what is sent, and when.

Theory of operation. The caller gives every segment that belongs to the connection to `on_segment` and does what the returned events
(`states`) say: takes data from `inbox`, confirms with `consumed` what the outside has taken, sends what the outside sent as far as
`sendable` allows, says when the outside has ended (`close`) or failed (`abort`). After each round of calls it sends
what `poll` returns, and at `deadline` it calls `on_timer`. Acknowledgements are not delayed by a timer: one is owed when data
arrived, and `poll`, called once for all that arrived together, pays it, with data if there is some.

    container            stack                          container            stack
       |---- SYN ---------->| HELD: connect outside        |<--- SYN -----------| active()
       |<--- SYN ACK -------| accept()                     |---- SYN ACK ------>|
       |---- ACK ---------->| OPENED                       |<--- ACK -----------| OPENED

A segment is the tuple (sequence, acknowledgement, flags, window field, options, payload), all in wire form.
"""

from __future__ import annotations

from slirp_net.tcp.receiving import CAPACITY, SHIFT, Receiver
from slirp_net.tcp.sending import Sender
from slirp_net.tcp.sequence import MASK, unwrap
from slirp_net.tcp.states import (
    ACKNOWLEDGED,
    CLOSED,
    DATA,
    ENDED,
    ESTABLISHED,
    GONE,
    HELD,
    MAY_RECEIVE,
    MAY_SEND,
    ON_OUR_CLOSE,
    ON_OUR_FIN_ACKNOWLEDGED,
    ON_THEIR_FIN,
    OPENED,
    RESET,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMED_OUT,
)
from slirp_net.wire.tcp import ACK, FIN, PSH, RST, SYN, Options, sack_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias

    from slirp_net.buffers import Slot

    Segment: TypeAlias = tuple[int, int, int, int, bytes, bytes | memoryview]

NEVER: Final = float("inf")
# Seconds. No segment lives long in the queue between two processes, so twice its lifetime is short.
TIME_WAIT_LENGTH: Final = 10.0
_RETRIES: Final = 12  # of a segment before the container counts as dead (RFC 9293, 3.8.3, R2): some minutes
_SYN_RETRIES: Final = 5
_DEFAULT_MSS: Final = 536  # RFC 9293, 3.7.1
_LEAST_MSS: Final = 64


class Connection:
    """A connection; `deadline` is when `on_timer` is to be called, in the seconds of the caller's clock."""

    __slots__ = (
        "_largest", "_offered", "_outbox", "_retries", "_waiting",
        "acknowledge", "deadline", "inbox", "receiver", "sender", "state",
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
        self._waiting = False  # the outside has data and the container's window is closed

    @classmethod
    def passive(cls, initial: int, largest: int, sequence: int, window: int, options: Options) -> Connection:
        """Return the connection that a container's SYN asks for: HELD until `accept`."""
        connection = cls(HELD, initial, largest)
        connection._take_syn(sequence, window, options)
        return connection

    @classmethod
    def active(cls, initial: int, largest: int, now: float) -> Connection:
        """Return a connection that we open towards the container; `poll` has its SYN."""
        connection = cls(SYN_SENT, initial, largest)
        connection.sender.next += 1
        connection._send_syn(SYN, now)
        return connection

    def accept(self, now: float) -> None:
        """Complete the handshake of a HELD connection: the outside has accepted."""
        self.state = SYN_RECEIVED
        self.sender.next += 1
        self._send_syn(SYN | ACK, now)

    def may_be_replaced(self, sequence: int) -> bool:
        """Tell whether a SYN may open a new connection in this one's place: it is in TIME_WAIT (RFC 9293, 3.10.7.4)."""
        return self.state == TIME_WAIT and unwrap(sequence, self.receiver.next) >= self.receiver.next

    def sendable(self) -> int:
        """Return how many bytes `send` may take now."""
        return self.sender.sendable() if self.state in MAY_SEND else 0

    def send(self, payload: memoryview, slot: Slot | None, now: float) -> Segment:
        """Return the segment that carries `payload`, which is kept, in its `slot`, until it is acknowledged."""
        if self.deadline == NEVER or self._waiting:
            self._waiting = False
            self.deadline = now + self.sender.round_trip.time_out
        return self._segment(self.sender.push(payload, slot, now), ACK | PSH, payload)

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
        self._outbox.append(self._segment(self.sender.end(), FIN | ACK))
        self._waiting = False
        self.deadline = now + self.sender.round_trip.time_out

    def abort(self) -> Segment | None:
        """Give the connection up; returns the reset to send (RFC 9293, 3.10.5), None when none is due."""
        state, self.state = self.state, CLOSED
        self.deadline = NEVER
        self.sender.discard()
        if state in (CLOSED, TIME_WAIT):
            return None
        return self.sender.next & MASK, self.receiver.next & MASK, RST | ACK, 0, b"", b""

    def poll(self) -> list[Segment]:
        """Return the segments that are due: handshakes, retransmissions, probes, FIN, or else an acknowledgement that is owed."""
        segments = self._outbox
        if segments:
            self._outbox = []
        sender = self.sender
        if sender.resend:
            sender.resend = False
            segments = [self._first_again(), *segments]
        if self.acknowledge:  # nothing above has carried the latest
            segments = [*segments, self._segment(sender.next, ACK)]
        return segments

    def on_segment(self, sequence: int, acknowledgement: int, flags: int, window: int, payload: memoryview, now: float) -> int:
        """Take a segment without options that matter; return events (RFC 9293, 3.10.7.4). HELD or closed: only its flags."""
        receiver = self.receiver
        start = unwrap(sequence, receiver.next)
        if flags & (SYN | RST):
            return self._on_syn_or_reset(start, acknowledgement, flags, window, now)
        if start > receiver.edge or start + len(payload) + (flags & FIN) < receiver.next:
            self.acknowledge = self.state > SYN_SENT
            return 0
        if not flags & ACK or self.state <= SYN_SENT:
            return 0
        events = self._on_acknowledgement(start, acknowledgement, window, bool(payload) or bool(flags & FIN), now)
        if events < 0:
            return 0
        if payload:
            self.acknowledge = True
            if self.state in MAY_RECEIVE:
                receiver.accept(start, payload, self.inbox)
                if self.inbox:
                    events |= DATA
        if flags & FIN or receiver.end is not None:
            events |= self._on_end(start + len(payload), flags, now)
        return events

    def on_syn_acknowledged(self, sequence: int, acknowledgement: int, window: int, options: Options, now: float) -> int:
        """Take a SYN, with or without an ACK, that answers our SYN (RFC 9293, 3.10.7.3); `acknowledgement` is -1 without one."""
        sender = self.sender
        if acknowledgement >= 0 and unwrap(acknowledgement, sender.next) != sender.next:
            self._outbox.append((acknowledgement, 0, RST, 0, b"", b""))
            return 0
        self._take_syn(sequence, window, options)
        if acknowledgement < 0:
            self.state = SYN_RECEIVED  # both opened at once (3.5, figure 7)
            self._send_syn(SYN | ACK, now)
            return 0
        sender.acknowledge(sender.next, now)
        self._opened()
        self.acknowledge = True
        return OPENED

    def on_timer(self, now: float) -> int:
        """Do what is due at `deadline`, and return events; what is to be sent comes from `poll`."""
        self.deadline = NEVER
        if self.state == TIME_WAIT:
            self.state = CLOSED
            return GONE
        sender = self.sender
        if not sender.flight and not self._waiting:
            return 0
        self._retries += 1
        if self._retries > (_SYN_RETRIES if self.state in (SYN_SENT, SYN_RECEIVED) else _RETRIES):
            return TIMED_OUT
        sender.round_trip.back_off()
        self.deadline = now + sender.round_trip.time_out
        if self._waiting:
            # As Linux probes: a byte the container has already acknowledged, of which it has to say so again.
            self._outbox.append(self._segment(sender.unacknowledged - 1, ACK))
        elif self.state == SYN_SENT:
            self._send_syn(SYN, now)
        elif self.state == SYN_RECEIVED:
            self._send_syn(SYN | ACK, now)
        else:
            sender.lost()
        return 0

    def _segment(self, sequence: int, flags: int, payload: bytes | memoryview = b"") -> Segment:
        self.acknowledge = False
        receiver = self.receiver
        options = b""
        if receiver.has_early and not payload and self._offered is None:
            options = sack_option([(left & MASK, right & MASK) for left, right in receiver.sack_blocks()])
        return sequence & MASK, receiver.next & MASK, flags, receiver.window_field(), options, payload

    def _first_again(self) -> Segment:
        """Return the first segment under way again, no more of it than the window takes, and only an MSS if that does not help."""
        sender = self.sender
        first = sender.first_under_way()
        if first is None:
            return self._segment(sender.unacknowledged, (FIN | ACK) if sender.fin is not None else ACK)
        sequence, payload = first
        most = sender.mss if self._retries > 1 else max(sender.window, sender.mss)
        return self._segment(sequence, ACK | PSH, payload[:most])

    def _send_syn(self, flags: int, now: float) -> None:
        assert self._offered is not None
        acknowledgement = self.receiver.next & MASK if flags & ACK else 0
        window = min(self.receiver.window(), 0xFFFF)  # never scaled in a SYN (RFC 7323, 2.2)
        self._outbox.append((self.sender.unacknowledged & MASK, acknowledgement, flags, window, self._offered.emit(), b""))
        self.deadline = now + self.sender.round_trip.time_out

    def _take_syn(self, sequence: int, window: int, options: Options) -> None:
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
        sender.update_window(sequence, sender.unacknowledged, window)

    def _on_syn_or_reset(self, start: int, acknowledgement: int, flags: int, window: int, now: float) -> int:
        """Take a SYN or RST where the sequence numbers are known (RFC 9293, 3.10.7.4, second and fourth step; RFC 5961)."""
        receiver = self.receiver
        if self.state == SYN_SENT:
            if flags & RST and flags & ACK and unwrap(acknowledgement, self.sender.next) == self.sender.next:
                return self._reset()
            return 0
        if flags & RST:
            if start == receiver.next:
                return self._reset()
            self.acknowledge = self.state != HELD and receiver.next < start <= receiver.edge
        elif self.state == SYN_RECEIVED and start == receiver.next - 1:
            if flags & ACK:
                self.acknowledge = True
                return max(self._on_acknowledgement(start + 1, acknowledgement, window, True, now), 0)
            self._send_syn(SYN | ACK, now)
        else:
            self.acknowledge = self.state != HELD
        return 0

    def _reset(self) -> int:
        self.abort()
        return RESET | GONE

    def _on_acknowledgement(self, start: int, acknowledgement: int, window: int, carries: bool, now: float) -> int:
        """Take the acknowledgement and window of a segment; returns events, or -1 when the segment is to be dropped.

        `carries` tells that the segment takes up sequence numbers, so that it is no duplicate acknowledgement (RFC 5681, 2).
        """
        sender = self.sender
        up_to = unwrap(acknowledgement, sender.unacknowledged)
        events = 0
        if self.state == SYN_RECEIVED:
            if up_to != sender.next:
                self._outbox.append((acknowledgement, 0, RST, 0, b"", b""))
                return -1
            events = OPENED
            self._opened()
        if up_to > sender.next:
            self.acknowledge = True
            return -1
        if up_to < sender.unacknowledged:
            return events
        if up_to > sender.unacknowledged:
            events |= self._on_progress(up_to, now)
            carries = True
        window <<= sender.shift
        if not window:
            self._retries = 0  # the container is alive and has no room: it may stay so (RFC 9293, 3.8.6.1)
        if sender.update_window(start, up_to, window):
            events |= ACKNOWLEDGED
            if self._waiting and window:
                self._waiting = False
                self.deadline = NEVER
        elif not carries and sender.flight:
            sender.acknowledged_again()
        return events

    def _on_progress(self, up_to: int, now: float) -> int:
        sender = self.sender
        sender.acknowledge(up_to, now)
        self._retries = 0
        self.deadline = now + sender.round_trip.time_out if sender.flight else NEVER
        if sender.fin is None or up_to <= sender.fin or self.state not in ON_OUR_FIN_ACKNOWLEDGED:
            return ACKNOWLEDGED
        self._become(ON_OUR_FIN_ACKNOWLEDGED[self.state], now)
        return ACKNOWLEDGED | (GONE if self.state == CLOSED else 0)

    def _on_end(self, end: int, flags: int, now: float) -> int:
        """Take a FIN, or data that completes what is before one (RFC 9293, 3.10.7.4, eighth step)."""
        if flags & FIN:
            self.acknowledge = True
            if self.state == TIME_WAIT:
                self._become(TIME_WAIT, now)
        if self.state not in MAY_RECEIVE:
            return 0
        if flags & FIN:
            self.receiver.accept_end(end)
        if not self.receiver.take_end():
            return 0
        self._become(ON_THEIR_FIN[self.state], now)
        return ENDED

    def _opened(self) -> None:
        self.state = ESTABLISHED
        self._offered = None
        self._retries = 0

    def _become(self, state: int, now: float) -> None:
        self.state = state
        if state == TIME_WAIT:
            self.deadline = now + TIME_WAIT_LENGTH
        elif state == CLOSED:
            self.deadline = NEVER


def reset_for(sequence: int, acknowledgement: int, flags: int, length: int) -> Segment | None:
    """Return the reset for a segment of no connection (RFC 9293, 3.10.7.1), None for a RST; `length` counts SYN and FIN."""
    if flags & RST:
        return None
    if flags & ACK:
        return acknowledgement, 0, RST, 0, b"", b""
    return 0, (sequence + length) & MASK, RST | ACK, 0, b"", b""
