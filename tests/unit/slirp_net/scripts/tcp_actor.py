"""Plays TCP scripts on a connection, as `host.flow` and `host.tcp` drive one, with a container and an outside that are made up.

    < SEGMENT               the container sends (<+: and the next one in the same round)
    open [<options>]        the container connects, the outside accepts; mss 1460, wscale 7 and sackOK unless others are given
    connect                 the outside connects; accept: the outside takes the container's connection
    write N, close, abort   the outside sends N bytes, ends, fails; urgent: sends one byte that is urgent
    reading off|on, read N  whether the outside takes what arrives, and that it takes N bytes
    memory full|free        whether there is room for what arrives early
    keepalive N             ask after N seconds of silence
    state NAME              check the state; event NAME...: what was told since the last such line; idle: no timer is set
    received N              check how much the outside has got; mark N: which of the bytes to come next is the urgent one
    rto SECONDS             check the retransmission time-out; usable N: how much may be sent

Both streams have bytes that tell where they belong, and every byte is checked.
"""

import math
from collections import deque

from slirp_net.tcp import states
from slirp_net.tcp.connection import NEVER, Connection, reset_for
from slirp_net.tcp.sequence import MASK
from slirp_net.wire import ipv4, tcp
from slirp_net.wire.tcp import ACK, FIN, RST, SYN, URG, parse_options
from tests.unit.slirp_net.scripts import segments
from tests.unit.slirp_net.scripts.segments import Segment

_MSS = 1460
_START = 100.0
_LARGEST = ipv4.MAX_TOTAL - ipv4.LENGTH - tcp.LENGTH
_OFFER = "<mss 1460,sackOK,wscale 7>"
_EVENTS = ("OPENED", "ENDED", "RESET", "GONE", "TIMED_OUT")


def _bytes_at(start: int, length: int, factor: int) -> bytes:
    return bytes((start + at) * factor >> 3 & 0xFF for at in range(length))


class TcpActor:
    """A container, a connection, and an outside; `ours` and `theirs` are the initial sequence numbers."""

    def __init__(self, ours: int, theirs: int) -> None:
        self._ours, self._theirs = ours, theirs
        self._now = _START
        self._connection = Connection(states.CLOSED, ours, _MSS)
        self._clock = (ours + int(_START * 1000)) & MASK
        self._sent: deque[tuple[float, Segment]] = deque()
        self._events = 0
        self._unsent = self._written = self._received = 0
        self._closing = False
        self._takes = True
        self._window = 0  # what the container said last

    def advance(self, seconds: float) -> None:
        end = self._now + seconds
        while self._connection.deadline <= end + 1e-9:
            self._now = max(self._connection.deadline, self._now)
            self._take_events(self._connection.on_timer(self._now))
            self._settle()
        self._now = end

    def next_sent(self) -> tuple[float, str] | None:
        if not self._sent:
            return None
        return self._now - self._sent[0][0], str(self._sent[0][1])

    def expect(self, text: str) -> None:
        expected, (_, sent) = segments.parse(text), self._sent.popleft()
        assert not expected.differs(sent), f"sent was {sent}"

    def perform(self, verb: str, rest: str) -> None:
        if verb in ("<", "<+"):
            self._arrive(segments.parse(rest))
        else:
            getattr(self, f"_do_{verb}")(*rest.split(maxsplit=-1 if verb == "event" else 0))
        if verb != "<+":
            self._settle()

    # What the outside does.

    def _do_open(self, offer: str = _OFFER) -> None:
        self._arrive(segments.parse(f"S 0:0(0) win 65535 {offer}"))
        self._do_accept()
        self._settle()
        self._sent.popleft()
        clock = f" <TS val {offer.partition('TS val ')[2].split()[0]} ecr 0>" if "TS val" in offer else ""
        self._arrive(segments.parse(f". 1:1(0) ack 1 win {512 if 'wscale' in offer else 65535}{clock}"))
        self._do_event("OPENED")

    def _do_connect(self) -> None:
        self._connection = Connection.active(self._ours, _MSS, self._now)

    def _do_accept(self) -> None:
        self._connection.accept(self._now)

    def _do_write(self, count: str) -> None:
        self._unsent += int(count)

    def _do_close(self) -> None:
        self._closing = True

    def _do_abort(self) -> None:
        self._emit(self._connection.abort())

    def _do_urgent(self) -> None:
        payload = _bytes_at(self._written, 1, 13)
        self._written += 1
        self._emit(self._connection.send_urgent(memoryview(payload), None, self._now))

    def _do_reading(self, word: str) -> None:
        self._takes = {"on": True, "off": False}[word]

    def _do_read(self, count: str) -> None:
        self._take(int(count))

    def _do_memory(self, word: str) -> None:
        self._connection.receiver.may_keep = {"free": True, "full": False}[word]

    def _do_keepalive(self, seconds: str) -> None:
        self._connection.keep_alive = float(seconds)

    # What is looked at.

    def _do_state(self, name: str) -> None:
        assert self._connection.state == getattr(states, name), f"state {self._connection.state}, see tcp.states"

    def _do_event(self, *names: str) -> None:
        found = [name for name in _EVENTS if self._events & getattr(states, name)]
        assert set(found) == set(names), found
        self._events = 0

    def _do_idle(self) -> None:
        assert self._connection.deadline == NEVER, self._connection.deadline - self._now

    def _do_received(self, count: str) -> None:
        assert self._received == int(count), self._received

    def _do_mark(self, at: str) -> None:
        receiver = self._connection.receiver
        mark = None if receiver.urgent is None else receiver.urgent - receiver.unread
        assert str(mark).lower() == at, mark

    def _do_rto(self, seconds: str) -> None:
        assert math.isclose(self._connection.sender.round_trip.time_out, float(seconds), rel_tol=1e-3), (
            self._connection.sender.round_trip.time_out
        )

    def _do_usable(self, count: str) -> None:
        assert self._connection.sendable() == int(count), self._connection.sendable()

    # What the stack does with it.

    def _arrive(self, segment: Segment) -> None:
        sequence = (segment.sequence + self._theirs) & MASK
        acknowledgement = ((segment.acknowledgement or 0) + self._ours) & MASK if segment.flags & ACK else 0
        window = self._window if segment.window is None else segment.window
        self._window = window
        is_syn = bool(segment.flags & SYN)
        options = memoryview(segments.emit_options(segment.options or (), self._ours, self._clock, is_syn=is_syn))
        connection = self._connection
        if is_syn and not segment.flags & (ACK | RST) and connection.may_be_replaced(sequence):
            connection.abort()
        if connection.state == states.CLOSED:
            if segment.flags & (SYN | ACK | RST | FIN) == SYN:
                offer = parse_options(options)
                self._connection = Connection.passive(self._ours, _MSS, sequence, window, offer, self._now)
            else:
                taken = segment.length + is_syn + bool(segment.flags & FIN)
                self._emit(reset_for(sequence, acknowledgement, segment.flags, taken), of_nobody=True)
            return
        if is_syn and not segment.flags & RST and connection.state == states.SYN_SENT:
            number = acknowledgement if segment.flags & ACK else -1
            self._take_events(connection.on_syn_acknowledged(sequence, number, window, parse_options(options), self._now))
            return
        payload = memoryview(_bytes_at(segment.sequence - 1, segment.length, 7))
        events = connection.on_segment(
            sequence, acknowledgement, segment.flags, window, payload, self._now,
            options=options if options else None, urgent=segment.urgent or 0,
        )  # fmt: skip
        self._take_events(events)

    def _take_events(self, events: int) -> None:
        self._events |= events
        if events & states.TIMED_OUT:
            self._emit(self._connection.abort())

    def _settle(self) -> None:
        """Do what a flow does at the end of a round."""
        connection = self._connection
        if self._takes:
            self._take(sum(map(len, connection.inbox)))
        chunk = _LARGEST // connection.sender.mss * connection.sender.mss if connection.sender.mss else 0
        while self._unsent and (room := connection.sendable()):
            count = min(room, chunk, self._unsent)
            payload = _bytes_at(self._written, count, 13)
            self._written += count
            self._unsent -= count
            self._emit(connection.send(memoryview(payload), None, self._now))
        if self._unsent:
            connection.wait_for_window(self._now)
        elif self._closing and connection.state in states.MAY_SEND:
            self._closing = False
            connection.close(self._now)
        for segment in connection.poll(self._now):
            self._emit(segment)

    def _take(self, count: int) -> None:
        inbox = self._connection.inbox
        data = b"".join(map(bytes, inbox))
        assert data == _bytes_at(self._received, len(data), 7), "the outside got other bytes than the container sent"
        inbox[:] = [memoryview(data)[count:]] if count < len(data) else []
        taken = min(count, len(data))
        if taken:
            self._received += taken
            self._connection.consumed(taken)

    def _emit(self, segment: tuple[int, int, int, int, bytes, bytes | memoryview] | None, *, of_nobody: bool = False) -> None:
        if segment is None:
            return
        sequence, acknowledgement, flags, window, options, payload = segment
        relative = (sequence - self._ours + 0x40000000 & MASK) - 0x40000000
        if of_nobody and flags & ACK:
            relative = sequence  # 0, of no stream
        assert bytes(payload) == _bytes_at(relative - 1, len(payload), 13), f"other bytes than the outside's at {relative}"
        self._sent.append((
            self._now,
            Segment(
                flags, relative, len(payload),
                (acknowledgement - self._theirs) & MASK if flags & ACK else None, window, len(payload) if flags & URG else None,
                segments.describe_options(options, self._theirs, self._clock, is_syn=bool(flags & SYN)),
            ),
        ))  # fmt: skip
