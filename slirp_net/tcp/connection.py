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
"""

from __future__ import annotations

from slirp_net.tcp.emission import NEVER, Emission
from slirp_net.tcp.sequence import MASK, unwrap
from slirp_net.tcp.states import (
    ACKNOWLEDGED,
    CLOSED,
    DATA,
    ENDED,
    ESTABLISHED,
    GONE,
    HELD,
    MAY_KEEP_ALIVE,
    MAY_RECEIVE,
    ON_OUR_FIN_ACKNOWLEDGED,
    ON_THEIR_FIN,
    OPENED,
    RESET,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMED_OUT,
)
from slirp_net.tcp.timestamps import Timestamps
from slirp_net.wire.tcp import ACK, FIN, RST, SYN, URG, Options, parse_later_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from slirp_net.tcp.emission import Segment

# Seconds. No segment lives long in the queue between two processes, so twice its lifetime is short.
TIME_WAIT_LENGTH: Final = 10.0
_RETRIES: Final = 12  # of a segment before the container counts as dead (RFC 9293, 3.8.3, R2): some minutes
_SYN_RETRIES: Final = 5
KEEP_ALIVE: Final = 7200.0  # seconds of silence (RFC 9293, 3.8.4) after which a connection is probed,
_PROBE_EVERY: Final = 75.0  # that often
_PROBES: Final = 9


class Connection(Emission):
    """A connection; `deadline` is when `on_timer` is to be called, in the seconds of the caller's clock."""

    __slots__ = ()

    @classmethod
    def passive(cls, initial: int, largest: int, sequence: int, window: int, options: Options, now: float) -> Connection:
        """Return the connection that a container's SYN asks for: HELD until `accept`."""
        connection = cls(HELD, initial, largest)
        connection._take_syn(sequence, window, options, now)
        return connection

    @classmethod
    def active(cls, initial: int, largest: int, now: float) -> Connection:
        """Return a connection that we open towards the container; `poll` has its SYN."""
        connection = cls(SYN_SENT, initial, largest)
        connection.sender.next += 1
        connection.timestamps = Timestamps(initial, 0, now)
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

    def on_segment(
        self,
        sequence: int,
        acknowledgement: int,
        flags: int,
        window: int,
        payload: memoryview,
        now: float,
        *,
        options: memoryview | None = None,
        urgent: int = 0,
    ) -> int:
        """Take a segment; returns events (RFC 9293, 3.10.7.4). HELD or closed: only its flags.

        `options` are those of a segment without SYN, `urgent` its urgent pointer.
        """
        receiver = self.receiver
        start = unwrap(sequence, receiver.next)
        self._heard = now
        if flags & (SYN | RST):
            return self._on_syn_or_reset(start, acknowledgement, flags, window, now)
        if start > receiver.edge or start + len(payload) + (flags & FIN) < receiver.next:
            self.acknowledge = self.state > SYN_SENT
            return 0
        if not flags & ACK or self.state <= SYN_SENT:
            return 0
        if options is not None and not self._on_options(start, acknowledgement, options, now):
            self.acknowledge = True
            return 0
        events = self._on_acknowledgement(start, acknowledgement, window, bool(payload) or bool(flags & FIN), now)
        if events < 0:
            return 0
        if flags & URG and urgent and self.state in MAY_RECEIVE:
            receiver.accept_mark(start + urgent - 1)  # the pointer is to the byte after the urgent one (RFC 6093, 3.1)
        if payload:
            self.acknowledge = True
            if receiver.end is not None:
                payload = payload[: max(receiver.end - start, 0)]  # there is nothing behind a FIN
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
        self._take_syn(sequence, window, options, now)
        if acknowledgement < 0:
            self.state = SYN_RECEIVED  # both opened at once (3.5, figure 7)
            self._send_syn(SYN | ACK, now)
            return 0
        sender.acknowledge(sender.next, now)
        self._opened(now)
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
            return self._keep_alive_due(now)
        self._retries += 1
        if self._retries > (_SYN_RETRIES if self.state in (SYN_SENT, SYN_RECEIVED) else _RETRIES):
            return TIMED_OUT
        sender.round_trip.back_off()
        self.deadline = now + sender.round_trip.time_out
        if self._waiting:
            # As Linux probes: a byte the container has already acknowledged, of which it has to say so again.
            self._outbox.append(self._segment(sender.unacknowledged - 1, ACK, now))
        elif self.state == SYN_SENT:
            self._send_syn(SYN, now)
        elif self.state == SYN_RECEIVED:
            self._send_syn(SYN | ACK, now)
        else:
            sender.timed_out()
        return 0

    def _keep_alive_due(self, now: float) -> int:
        """Ask whether the container is still there, if nothing was heard for long; returns events."""
        if not self.keep_alive or self.state not in MAY_KEEP_ALIVE:
            return 0
        silence = now - self._heard - self.keep_alive
        if silence < 0:
            self.deadline = self._heard + self.keep_alive
            return 0
        if silence >= _PROBES * _PROBE_EVERY:
            return TIMED_OUT
        self.deadline = now + _PROBE_EVERY
        self._outbox.append(self._segment(self.sender.next - 1, ACK, now))
        return 0

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

    def _on_options(self, start: int, acknowledgement: int, options: memoryview, now: float) -> bool:
        """Take the options of a segment; False when it is to be dropped: a stray from the past (RFC 7323, 5.3)."""
        times, blocks = parse_later_options(options)
        sender, timestamps = self.sender, self.timestamps
        if blocks and self.receiver.sack_permitted:
            near = sender.unacknowledged
            sender.acknowledge_selectively([(unwrap(left, near), unwrap(right, near)) for left, right in blocks])
        if timestamps is None or times is None:
            return True
        value, echo = times
        if timestamps.is_old(value, now):
            return False
        if start <= self.receiver.announced:
            timestamps.take(value, now)
        newly = unwrap(acknowledgement, sender.unacknowledged) - sender.unacknowledged
        if not sender.round_trip.is_timing and 0 < newly <= sender.flight:
            sender.round_trip.measured(max(timestamps.elapsed(echo, now), 0.0))
        return True

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
            self._opened(now)
        if up_to > sender.next:
            self.acknowledge = True
            return -1
        if up_to < sender.unacknowledged:
            if sender.is_blind(up_to):
                self.acknowledge = True
                return -1
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
                self.deadline = self._idle_deadline(now)
        elif not carries and sender.flight:
            sender.acknowledged_again()
        return events

    def _on_progress(self, up_to: int, now: float) -> int:
        sender = self.sender
        sender.acknowledge(up_to, now)
        self._retries = 0
        self.deadline = now + sender.round_trip.time_out if sender.flight else self._idle_deadline(now)
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

    def _opened(self, now: float) -> None:
        self.state = ESTABLISHED
        if self._retries:
            self.sender.round_trip.syn_was_lost()
        self.deadline = self._idle_deadline(now)
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
