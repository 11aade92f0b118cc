"""Packet scripts: what a container sends, and what RFC 9293 says comes back."""

import pytest

from slirp_net.tcp import states
from slirp_net.tcp.connection import NEVER, TIME_WAIT_LENGTH, Connection, reset_for
from slirp_net.tcp.receiving import CAPACITY
from slirp_net.wire.tcp import Options
from tests.unit.slirp_net.tcp.script import ACK, FIN, MSS, PSH, RST, SYN, Script

WRAPPING = [
    {"ours": 1000, "theirs": 5000},
    {"ours": 0xFFFFFFFF, "theirs": 0xFFFFFFFF},
    {"ours": 0, "theirs": 0},
    {"ours": 0xFFFFFFF0, "theirs": 0xFFFFFFF5},
    {"ours": 0x7FFFFFFF, "theirs": 0x80000000},
]
wrapping = pytest.mark.parametrize("initial", WRAPPING, ids=str)


@wrapping
def test_a_handshake_is_held_until_the_outside_has_accepted(initial: dict[str, int]) -> None:
    script = Script(**initial, opened=False)
    assert script.sent() == []
    assert script.take(0, 0, SYN) == 0  # sent again meanwhile
    assert script.sent() == []
    script.connection.accept(script.now)
    (syn,) = script.sent()
    assert (syn.sequence, syn.acknowledgement, syn.flags, syn.payload) == (0, 1, SYN | ACK, b"")
    assert script.take(1, 1) == states.OPENED | states.ACKNOWLEDGED
    assert script.connection.state == states.ESTABLISHED
    assert script.sent() == []


def test_options_are_only_offered_if_the_container_offers_them() -> None:
    script = Script()
    assert (script.syn_options.mss, script.syn_options.shift, script.syn_options.sack_permitted) == (MSS, 7, True)
    plain = Script(options=Options())
    assert (plain.syn_options.mss, plain.syn_options.shift, plain.syn_options.sack_permitted) == (MSS, None, False)
    assert plain.connection.sender.mss == 536


def test_a_syn_acknowledgement_is_sent_again_and_then_given_up() -> None:
    script = Script(opened=False)
    script.connection.accept(script.now)
    script.sent()
    assert script.take(0, 0, SYN) == 0
    assert [one.flags for one in script.sent()] == [SYN | ACK]
    waits = []
    while not (events := script.wait()):
        waits.append(script.now)
        assert [one.flags for one in script.sent()] == [SYN | ACK]
    assert events == states.TIMED_OUT
    assert len(waits) == 5
    assert waits == sorted(waits)


def test_a_wrong_acknowledgement_of_the_handshake_is_reset() -> None:
    script = Script(opened=False)
    script.connection.accept(script.now)
    script.sent()
    assert script.take(1, 77) == 0
    (reset,) = script.sent()
    assert (reset.flags, reset.sequence) == (RST, 77)
    assert script.connection.state == states.SYN_RECEIVED


def test_a_reset_while_held_ends_the_connection() -> None:
    script = Script(opened=False)
    assert script.take(1, 0, RST) & states.GONE
    assert script.connection.abort() is None


def test_giving_up_a_held_connection_refuses_it() -> None:
    script = Script(opened=False)
    reset = script.connection.abort()
    assert reset is not None
    assert reset[1:3] == (5001, RST | ACK)


@wrapping
def test_data_in_order_is_acknowledged_once_for_all_that_came_together(initial: dict[str, int]) -> None:
    script = Script(**initial)
    assert script.take(1, 1, ACK | PSH, b"abc") & states.DATA
    assert script.take(4, 1, ACK | PSH, b"def") & states.DATA
    assert script.drain() == b"abcdef"
    (acknowledgement,) = script.sent()
    assert (acknowledgement.sequence, acknowledgement.acknowledgement, acknowledgement.flags) == (1, 7, ACK)
    assert script.sent() == []


@wrapping
def test_data_out_of_order_waits_and_is_told_by_sack(initial: dict[str, int]) -> None:
    script = Script(**initial)
    assert not script.take(7, 1, ACK, b"ghi") & states.DATA
    (first,) = script.sent()
    assert first.acknowledgement == 1
    assert len(first.options) == 12
    assert script.take(4, 1, ACK, b"defg") == 0  # overlaps
    assert script.take(13, 1, ACK, b"mno") == 0
    (second,) = script.sent()
    assert len(second.options) == 20
    assert script.take(1, 1, ACK, b"abcd") & states.DATA
    assert script.drain() == b"abcdefghi"
    assert script.take(1, 1, ACK, b"abcdefghijklm") & states.DATA  # sent again in other pieces
    assert script.drain() == b"jklmno"
    (last,) = script.sent()
    assert (last.acknowledgement, last.options) == (16, b"")


def test_what_was_received_already_is_only_acknowledged_again() -> None:
    script = Script()
    script.take(1, 1, ACK, b"abc")
    script.drain()
    script.sent()
    assert not script.take(1, 1, ACK, b"abc") & states.DATA
    assert [one.acknowledgement for one in script.sent()] == [4]
    assert not script.take(3, 1) & states.DATA  # as a keep-alive does it (RFC 1122, 4.2.3.6)
    assert [one.acknowledgement for one in script.sent()] == [4]


def test_the_window_is_what_the_outside_has_not_yet_taken() -> None:
    script = Script()
    block = bytes(CAPACITY // 4)
    at = 1
    for _ in range(4):
        script.take(at, 1, ACK, block)
        at += len(block)
    windows = [one.window << 7 for one in script.sent()]
    assert windows == [0]
    script.take(at, 1, ACK, b"x")  # a zero-window probe
    (answer,) = script.sent()
    assert (answer.acknowledgement, answer.window) == (at, 0)
    script.connection.consumed(100)
    assert script.sent() == []  # too little to be worth saying (RFC 9293, 3.8.6.2.2)
    script.connection.consumed(CAPACITY - 100)
    (opened,) = script.sent()
    assert opened.window << 7 == CAPACITY


def test_data_beyond_the_window_is_not_taken() -> None:
    script = Script()
    script.take(1, 1, ACK, bytes(CAPACITY + 10))
    assert len(script.drain()) == CAPACITY
    assert script.take(CAPACITY * 3, 1, ACK, b"far") == 0
    assert [one.acknowledgement for one in script.sent()] == [CAPACITY + 1]


@wrapping
def test_data_is_sent_and_kept_until_it_is_acknowledged(initial: dict[str, int]) -> None:
    script = Script(**initial)
    first = script.send(b"abc")
    assert (first.sequence, first.acknowledgement, first.flags, first.payload) == (1, 1, ACK | PSH, b"abc")
    assert script.send(b"def").sequence == 4
    assert script.take(1, 4) & states.ACKNOWLEDGED
    assert script.connection.deadline < NEVER
    script.wait()
    (again,) = script.sent()
    assert (again.sequence, again.payload) == (4, b"def")
    script.take(1, 7)
    assert script.connection.deadline == NEVER
    assert script.connection.sender.flight == 0


def test_time_outs_double_and_end_the_connection() -> None:
    script = Script()
    script.send(b"abc")
    pauses = []
    before = script.now
    while not (events := script.wait()):
        pauses.append(script.now - before)
        before = script.now
        assert [one.payload for one in script.sent()] == [b"abc"]
    assert events == states.TIMED_OUT
    assert pauses[1] == pytest.approx(2 * pauses[0])
    assert max(pauses) <= 60
    assert len(pauses) == 12
    reset = script.connection.abort()
    assert reset is not None
    assert reset[2] & RST


def test_three_duplicates_send_the_first_segment_again_and_nothing_new() -> None:
    script = Script()
    for _ in range(4):
        script.send(bytes(1000))
    script.take(1, 1)
    script.take(1, 1)
    assert script.sent() == []
    script.take(1, 1)
    assert [(one.sequence, len(one.payload)) for one in script.sent()] == [(1, 1000)]
    assert script.connection.sendable() == 0
    script.take(1, 2001)  # another one is missing
    assert [one.sequence for one in script.sent()] == [2001]
    script.take(1, 4001)
    assert script.sent() == []
    assert script.connection.sendable() > 0


def test_part_of_a_segment_is_acknowledged_and_the_rest_sent_again() -> None:
    script = Script()
    script.send(b"abcdef")
    script.take(1, 4)
    script.wait()
    assert [(one.sequence, one.payload) for one in script.sent()] == [(4, b"def")]


def test_no_more_is_sent_than_the_window_takes() -> None:
    script = Script(options=Options(MSS))  # no scaling
    script.take(1, 1, window=1000)
    assert script.connection.sendable() == 1000
    script.send(bytes(1000))
    assert script.connection.sendable() == 0
    script.take(1, 1001, window=0)
    assert script.connection.sendable() == 0


def test_a_closed_window_is_probed_until_it_opens() -> None:
    script = Script()
    script.take(1, 1, window=0)
    script.connection.wait_for_window(script.now)
    for _ in range(30):  # more than any number of retries: the container answers, so it is alive
        assert script.wait() == 0
        (probe,) = script.sent()
        assert (probe.sequence, probe.payload) == (0, b"")
        assert script.take(1, 1, window=0) == 0
    assert script.take(1, 1, window=512) & states.ACKNOWLEDGED
    assert script.connection.sendable() > 0
    assert script.connection.deadline == NEVER


def test_an_old_segment_does_not_move_the_window() -> None:
    script = Script()
    script.take(4, 1, ACK, b"late", window=100)
    before = script.connection.sender.window
    script.take(1, 1, ACK, b"abc", window=7)
    assert script.connection.sender.window == before


@wrapping
def test_the_outside_closes_first(initial: dict[str, int]) -> None:
    script = Script(**initial)
    script.connection.close(script.now)
    (end,) = script.sent()
    assert (end.sequence, end.flags) == (1, FIN | ACK)
    script.take(1, 2)
    assert script.connection.state == states.FIN_WAIT_2
    assert script.take(1, 2, ACK, b"still here") & states.DATA
    assert script.drain() == b"still here"
    assert script.take(11, 2, FIN | ACK) & states.ENDED
    assert script.connection.state == states.TIME_WAIT
    assert [one.acknowledgement for one in script.sent()] == [12]
    began = script.now
    script.take(11, 2, FIN | ACK)  # our acknowledgement was lost
    assert [one.acknowledgement for one in script.sent()] == [12]
    assert script.wait() == states.GONE
    assert script.now == began + TIME_WAIT_LENGTH


@wrapping
def test_the_container_closes_first(initial: dict[str, int]) -> None:
    script = Script(**initial)
    assert script.take(1, 1, FIN | ACK, b"bye") & (states.DATA | states.ENDED) == states.DATA | states.ENDED
    assert script.drain() == b"bye"
    assert [one.acknowledgement for one in script.sent()] == [5]
    assert script.connection.state == states.CLOSE_WAIT
    assert script.send(b"good-bye").payload == b"good-bye"
    script.take(5, 9)
    script.connection.close(script.now)
    assert [(one.sequence, one.flags) for one in script.sent()] == [(9, FIN | ACK)]
    assert script.take(5, 10) & states.GONE
    assert script.connection.state == states.CLOSED
    assert script.connection.deadline == NEVER


def test_both_close_at_once() -> None:
    script = Script()
    script.connection.close(script.now)
    script.sent()
    assert script.take(1, 1, FIN | ACK) & states.ENDED
    assert script.connection.state == states.CLOSING
    script.take(2, 2)
    assert script.connection.state == states.TIME_WAIT


def test_a_lost_end_is_sent_again() -> None:
    script = Script()
    script.send(b"abc")
    script.connection.close(script.now)
    assert [one.flags for one in script.sent()] == [FIN | ACK]
    script.take(1, 4)  # the data, not the end
    script.wait()
    assert [(one.sequence, one.flags) for one in script.sent()] == [(4, FIN | ACK)]
    script.take(1, 5)
    assert script.connection.state == states.FIN_WAIT_2


def test_an_end_that_comes_before_its_data_waits_for_it() -> None:
    script = Script()
    assert not script.take(4, 1, FIN | ACK, b"def") & states.ENDED
    assert script.take(1, 1, ACK, b"abc") & states.ENDED
    assert script.drain() == b"abcdef"
    assert [one.acknowledgement for one in script.sent()] == [8]


def test_time_wait_gives_way_to_a_new_connection() -> None:
    script = Script()
    script.connection.close(script.now)
    script.take(1, 2, FIN | ACK)
    assert script.connection.state == states.TIME_WAIT
    assert script.connection.may_be_replaced(5000 + 99)
    assert not script.connection.may_be_replaced(5000 - 99)
    assert not Script().connection.may_be_replaced(5000 + 99)


def test_only_an_exact_reset_ends_a_connection() -> None:
    script = Script()
    assert script.take(100, 1, RST) == 0
    assert [one.flags for one in script.sent()] == [ACK]  # a challenge (RFC 5961, 3.2)
    assert script.take(-100, 1, RST) == 0
    assert script.sent() == []
    assert script.take(1, 1, RST) == states.RESET | states.GONE
    assert script.connection.abort() is None


def test_a_syn_in_the_middle_is_challenged() -> None:
    script = Script()
    assert script.take(50, 0, SYN) == 0
    assert [(one.flags, one.acknowledgement) for one in script.sent()] == [(ACK, 1)]
    assert script.connection.state == states.ESTABLISHED


def test_an_acknowledgement_of_what_was_never_sent_is_answered() -> None:
    script = Script()
    assert script.take(1, 500, ACK, b"abc") == 0
    assert script.connection.inbox == []
    assert [one.acknowledgement for one in script.sent()] == [1]


def test_giving_up_resets_the_container() -> None:
    script = Script()
    script.send(b"abc")
    reset = script.connection.abort()
    assert reset == (1004, 5001, RST | ACK, 0, b"", b"")
    assert script.connection.deadline == NEVER


def test_we_can_open_a_connection() -> None:
    connection = Connection.active(1000, MSS, 0.0)
    ((sequence, _, flags, *_),) = connection.poll(0.0)
    assert (sequence, flags) == (1000, SYN)
    assert connection.on_syn_acknowledged(7000, 1001, 0xFFFF, Options(MSS, 7), 0.1) == states.OPENED
    assert [segment[:3] for segment in connection.poll(0.0)] == [(1001, 7001, ACK)]
    assert connection.sendable() > 0


def test_a_refusal_of_our_own_connection_is_a_reset() -> None:
    connection = Connection.active(1000, MSS, 0.0)
    assert connection.on_segment(0, 1001, RST | ACK, 0, memoryview(b""), 0.1) == states.RESET | states.GONE


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ((7, 9, ACK, 0), (9, 0, RST, 0, b"", b"")),
        ((7, 0, SYN, 1), (0, 8, RST | ACK, 0, b"", b"")),
        ((0xFFFFFFFF, 0, FIN, 5), (0, 4, RST | ACK, 0, b"", b"")),
        ((7, 9, RST | ACK, 0), None),
    ],
)
def test_segments_of_no_connection_are_reset(segment: tuple[int, int, int, int], expected: object) -> None:
    assert reset_for(*segment) == expected
