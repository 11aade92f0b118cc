"""Two connections talk over a wire that loses, duplicates, reorders and splits: both byte streams arrive, and both ends close."""

from collections import Counter
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slirp_net.tcp import states
from slirp_net.tcp.connection import NEVER, Connection, reset_for
from slirp_net.tcp.sequence import MASK, unwrap
from slirp_net.wire.tcp import ACK, FIN, SYN, Options, parse_options
from tests.support.fuzzing import fuzz

MSS = 1000
DELAY = 0.01
LONG_AFTER = 0.5
OPTIONS = frozenset({"shift", "sack_permitted", "times"})
LOSSES = 3  # of the same segment: a wire that never delivers one ends a connection, and rightly


class Segment(NamedTuple):
    sequence: int
    acknowledgement: int
    flags: int
    window: int
    options: bytes
    payload: bytes


class End:
    """One connection with an application that sends `data` and takes what arrives in its own time."""

    def __init__(self, connection: Connection, data: bytes) -> None:
        self.connection = connection
        self.unsent = data
        self.received = b""
        self.queue = b""
        self.ended = False
        self.closed = False
        self.gone = False

    def take(self, segment: Segment, now: float) -> Segment | None:
        """Take a segment; returns the reset for one that comes when all is over."""
        connection = self.connection
        if connection.state == states.CLOSED:
            reset = reset_for(segment.sequence, segment.acknowledgement, segment.flags, len(segment.payload))
            return Segment(*reset) if reset else None
        if segment.flags & SYN and connection.state == states.SYN_SENT:
            options = parse_options(memoryview(segment.options))
            number = segment.acknowledgement if segment.flags & ACK else -1
            events = connection.on_syn_acknowledged(segment.sequence, number, segment.window, options, now)
        else:
            payload = memoryview(segment.payload)
            events = connection.on_segment(
                segment.sequence, segment.acknowledgement, segment.flags, segment.window, payload, now,
                options=memoryview(segment.options) if segment.options else None,
            )  # fmt: skip
        self.queue += b"".join(map(bytes, connection.inbox))
        connection.inbox.clear()
        # The last acknowledgement was lost so often that the other end is out of TIME_WAIT.
        assert not events & states.RESET or (self.ended and self.closed)
        assert not events & states.TIMED_OUT
        self.ended |= bool(events & states.ENDED)
        self.gone |= bool(events & states.GONE)
        return None

    def work(self, appetite: int, now: float) -> list[Segment]:
        """Take up to `appetite` bytes, send what may be sent, and return the segments."""
        connection = self.connection
        taken, self.queue = self.queue[:appetite], self.queue[appetite:]
        self.received += taken
        connection.consumed(len(taken))
        segments = []
        while self.unsent and (room := connection.sendable()):
            count = min(room, 3 * MSS)
            segments.append(Segment(*connection.send(memoryview(self.unsent[:count]), None, now)))
            self.unsent = self.unsent[count:]
        if self.unsent:
            connection.wait_for_window(now)
        elif not self.closed and connection.state in states.MAY_SEND:
            connection.close(now)
            self.closed = True
        segments += [Segment(*segment) for segment in connection.poll(now)]
        return segments


class Wire:
    """What is under way; `fates` decides what becomes of each segment, `kept` which options of a SYN get through."""

    def __init__(self, fates: list[int], kept: frozenset[str] = OPTIONS) -> None:
        self.fates = fates
        self.kept = kept
        self.at = 0
        self.losses: Counter[tuple[int, int, int]] = Counter()
        self.under_way: list[tuple[float, int, End, Segment]] = []
        self.count = 0

    def fate(self) -> int:
        self.at += 1
        return self.fates[self.at % len(self.fates)] if self.at < 400 else 0  # the wire gets better in the end

    def carry(self, segment: Segment, to: End, now: float) -> None:
        fate = self.fate()
        same = (id(to), segment.sequence, segment.flags)
        if fate == 1 and self.losses[same] < LOSSES:
            self.losses[same] += 1
            return
        if segment.flags & SYN:
            segment = self._without_options(segment)
        elif fate == 5:
            segment = self._joined(segment, to)
        pieces = [segment]
        if fate == 3 and len(segment.payload) > 1 and not segment.flags & SYN:
            pieces = self._split(segment)
        copies = 2 if fate in (2, 6) else 1
        for number, piece in enumerate(pieces * copies):
            delay = DELAY * (1 + 3 * (self.fate() == 4))  # some are late
            if fate == 6 and number >= len(pieces):
                delay = LONG_AFTER  # a stray from the past
            self.count += 1
            self.under_way.append((now + delay, self.count, to, piece))

    def _without_options(self, segment: Segment) -> Segment:
        options = parse_options(memoryview(segment.options))
        for name in OPTIONS - self.kept:
            setattr(options, name, False if name == "sack_permitted" else None)
        return segment._replace(options=options.emit())

    def _joined(self, segment: Segment, to: End) -> Segment:
        """Return the segment together with the one that is under way before it, as networks with offloads join them."""
        for at, (_, _, end, before) in enumerate(self.under_way):
            end_of_it = (before.sequence + len(before.payload)) & MASK
            if end is to and before.payload and end_of_it == segment.sequence and not before.flags & SYN:
                del self.under_way[at]
                return segment._replace(sequence=before.sequence, payload=bytes(before.payload) + bytes(segment.payload))
        return segment

    @staticmethod
    def _split(segment: Segment) -> list[Segment]:
        half = len(segment.payload) // 2
        first = segment._replace(payload=segment.payload[:half], flags=segment.flags & ~FIN)
        return [first, segment._replace(payload=segment.payload[half:], sequence=(segment.sequence + half) & MASK)]

    def arrivals(self, now: float) -> list[tuple[float, int, End, Segment]]:
        due = sorted(one for one in self.under_way if one[0] <= now)
        self.under_way = [one for one in self.under_way if one[0] > now]
        return due


def converse(container: End, stack: End, wire: Wire, appetites: list[int]) -> None:
    """Run both ends until nothing is left to do."""
    now = 0.0
    for step in range(20000):
        for end, other in ((container, stack), (stack, container)):
            appetite = appetites[step % len(appetites)]
            for segment in end.work(appetite, now):
                wire.carry(segment, other, now)
            if end.connection.deadline <= now:
                assert not end.connection.on_timer(now) & states.TIMED_OUT
                for segment in end.work(appetite, now):
                    wire.carry(segment, other, now)
        for _at, _count, end, segment in wire.arrivals(now):
            reset = end.take(segment, now)
            if reset is not None:
                wire.carry(reset, stack if end is container else container, now)
        quiet = not (wire.under_way or container.queue or stack.queue)
        deadline = min(container.connection.deadline, stack.connection.deadline)
        owed = container.unsent or stack.unsent or container.connection.acknowledge or stack.connection.acknowledge
        if quiet and deadline == NEVER and not owed:
            return
        now += DELAY if not quiet or deadline == NEVER else max(deadline - now, DELAY)
    raise AssertionError(f"still talking: {container.connection.state} {stack.connection.state}")


class Accepting(End):
    """The passive end, made by the first SYN that arrives."""

    def take(self, segment: Segment, now: float) -> Segment | None:
        if self.connection.state == states.CLOSED and segment.flags & SYN and not self.gone:
            options = parse_options(memoryview(segment.options))
            self.connection = Connection.passive(self.initial, MSS, segment.sequence, segment.window, options, now)
            self.connection.accept(now)
            return None
        return super().take(segment, now)

    initial = 0


numbers = st.sampled_from([0, 1, 1000, 0x7FFFFFF0, 0xFFFFFFF0, 0xFFFFFFFF])
fates = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6]), min_size=5, max_size=60).filter(
    lambda all_: all_.count(1) * 2 < len(all_)
)
sizes = st.sampled_from([0, 1, 999, 1000, 12345, 200000])


def test_both_streams_arrive_whatever_the_wire_does() -> None:
    """The container opens, or we do, or both at once; each end closes when it has sent all, while the other may go on."""

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
    @given(
        numbers, numbers, sizes, sizes, fates, st.lists(st.sampled_from([0, 1, 5000, 1 << 20]), min_size=1, max_size=5),
        st.sets(st.sampled_from(sorted(OPTIONS))), st.sampled_from(["container", "stack", "both"]),
    )  # fmt: skip
    def run(
        ours: int, theirs: int, out: int, back: int, drawn: list[int], appetites: list[int], kept: set[str], opener: str
    ) -> None:
        there = bytes(index * 7 & 0xFF for index in range(out))
        back_again = bytes(index * 13 & 0xFF for index in range(back))
        container, stack = make_ends(opener, ours, theirs, there, back_again)
        converse(container, stack, Wire(drawn, frozenset(kept)), [*appetites, 1 << 20])
        assert stack.received == there
        assert container.received == back_again
        assert container.ended
        assert stack.ended
        assert container.connection.state == states.CLOSED
        assert stack.connection.state == states.CLOSED

    fuzz(run)


def make_ends(opener: str, ours: int, theirs: int, there: bytes, back_again: bytes) -> tuple[End, End]:
    ends = []
    for name, initial, data in (("container", theirs, there), ("stack", ours, back_again)):
        if opener in (name, "both"):
            ends.append(End(Connection.active(initial, MSS, 0.0), data))
        else:
            ends.append(Accepting(Connection(states.CLOSED, initial, MSS), data))
            ends[-1].initial = initial
    return ends[0], ends[1]


@given(st.integers(0, 1 << 40), st.integers(-(1 << 31) + 1, (1 << 31) - 1))
def test_sequence_numbers_unwrap(near: int, distance: int) -> None:
    assert unwrap((near + distance) & MASK, near) == near + distance


segments = st.tuples(
    st.one_of(st.integers(0, MASK), st.integers(4990, 5100)),
    st.one_of(st.integers(0, MASK), st.integers(990, 1100)),
    st.integers(0, 63),
    st.integers(0, 0xFFFF),
    st.binary(max_size=40),
)


def test_nothing_that_arrives_breaks_a_connection() -> None:
    actions = st.sampled_from(["close", "send", "timer", "consume", "abort"])
    fuzz(given(st.lists(st.one_of(segments, actions), max_size=40))(settings(database=None)(take_whatever)))


def take_whatever(script: list[tuple[int, int, int, int, bytes] | str]) -> None:
    """Whatever comes: no exception, no window taken back, never more under way than allowed."""
    connection = Connection.passive(1000, MSS, 5000, 0xFFFF, Options(MSS, 7, sack_permitted=True), 0.0)
    connection.accept(0.0)
    now = 0.0
    edge = connection.receiver.edge
    for step in script:
        now += 0.1
        if isinstance(step, tuple):
            sequence, acknowledgement, flags, window, payload = step
            connection.on_segment(sequence, acknowledgement, flags, window, memoryview(payload), now)
        elif step == "close" and connection.state in states.MAY_SEND:
            connection.close(now)
        elif step == "send" and connection.sendable() >= 10:
            connection.send(memoryview(b"0123456789"), None, now)
        elif step == "timer" and connection.deadline < NEVER:
            now = connection.deadline
            connection.on_timer(now)
        elif step == "consume":
            connection.consumed(sum(map(len, connection.inbox)))
            connection.inbox.clear()
        elif step == "abort":
            connection.abort()
        for segment in connection.poll(now):
            assert all(0 <= number <= MASK for number in segment[:2])
            assert segment[2] & (ACK | 4)
        assert connection.receiver.edge >= edge
        edge = connection.receiver.edge
        assert connection.sender.unacknowledged <= connection.sender.next
        assert 0 <= connection.receiver.pending <= connection.receiver.capacity
