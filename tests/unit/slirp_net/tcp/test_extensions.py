"""Packet scripts of timestamps (RFC 7323), SACK (RFC 6675), urgent data (RFC 6093) and keep-alive (RFC 9293, 3.8.4)."""

import pytest

from slirp_net.tcp import states
from slirp_net.tcp.connection import KEEP_ALIVE
from slirp_net.tcp.timestamps import OUTDATED
from slirp_net.wire.tcp import URG, Options, parse_later_options, sack_option, timestamps_option
from tests.unit.slirp_net.tcp.script import ACK, MSS, PSH, Script, Sent


def timed(clock: int = 500) -> Script:
    return Script(options=Options(MSS, 7, sack_permitted=True, times=(clock, 0)))


def take(
    script: Script, sequence: int, acknowledgement: int, options: bytes, payload: bytes = b"", flags: int = ACK, urgent: int = 0
) -> int:
    return script.connection.on_segment(
        script.theirs + sequence, script.ours + acknowledgement, flags, 0xFFFF, memoryview(payload), script.now,
        options=memoryview(options) if options else None, urgent=urgent,
    )  # fmt: skip


def times_of(sent: Sent) -> tuple[int, int] | None:
    return parse_later_options(memoryview(sent.options))[0]


def sacked(*blocks: tuple[int, int], ours: int = 1000) -> bytes:
    return sack_option([(left + ours, right + ours) for left, right in blocks])


def test_timestamps_are_answered_and_make_segments_smaller() -> None:
    script = timed(500)
    assert script.syn_options.times is not None
    assert script.syn_options.times[1] == 500
    assert script.connection.sender.mss == MSS - 12
    assert times_of(script.send(b"abc")) == (script.syn_options.times[0], 500)


def test_timestamps_are_not_sent_to_who_did_not_offer_them() -> None:
    assert Script().send(b"abc").options == b""


def test_the_latest_clock_is_echoed() -> None:
    script = timed(500)
    take(script, 1, 1, timestamps_option(777, 0), b"abc")
    (acknowledgement,) = script.sent()
    times = times_of(acknowledgement)
    assert times is not None
    assert times[1] == 777


def test_the_clock_of_data_that_came_early_is_not_echoed() -> None:
    script = timed(500)
    take(script, 4, 1, timestamps_option(777, 0), b"def")
    (acknowledgement,) = script.sent()
    times = times_of(acknowledgement)
    assert times is not None
    assert times[1] == 500


@pytest.mark.parametrize(("idle", "is_taken"), [(0.0, False), (OUTDATED + 1, True)])
def test_a_stray_from_the_past_is_dropped_unless_the_clock_may_have_wrapped(idle: float, is_taken: bool) -> None:
    script = timed(500)
    script.now += idle
    assert bool(take(script, 1, 1, timestamps_option(499, 0), b"old") & states.DATA) is is_taken
    assert [one.acknowledgement for one in script.sent()] == [4 if is_taken else 1]


def test_an_echo_measures_what_was_sent_twice() -> None:
    script = timed()
    script.send(b"abc")
    script.wait()
    (again,) = script.sent()
    backed_off = script.connection.sender.round_trip.time_out
    times = times_of(again)
    assert times is not None
    script.now += 0.05
    take(script, 1, 4, timestamps_option(501, times[0]))
    assert script.connection.sender.round_trip.time_out < backed_off


def test_only_the_holes_are_sent_again_and_once() -> None:
    script = Script()
    for _ in range(5):
        script.send(bytes(2000))
    take(script, 1, 1, sacked((2001, 4001), (6001, 10001)))
    assert [(one.sequence, len(one.payload)) for one in script.sent()] == [(1, 2000), (4001, 2000)]
    take(script, 1, 1, sacked((2001, 4001), (6001, 10001)))
    assert script.sent() == []
    take(script, 1, 4001, sacked((6001, 10001)))
    assert script.sent() == []
    assert script.connection.sendable() == 0
    take(script, 1, 10001, b"")
    assert script.connection.sendable() > 0


def test_a_little_that_came_early_is_no_loss_yet() -> None:
    script = Script()
    script.send(b"abc")
    script.send(b"def")
    take(script, 1, 1, sacked((4, 7)))
    assert script.sent() == []


@pytest.mark.parametrize("block", [(0, 1), (5000, 6000), (3, 2), (1, 5)])
def test_blocks_that_make_no_sense_change_nothing(block: tuple[int, int]) -> None:
    script = Script()
    script.send(bytes(100))
    take(script, 1, 1, sacked(block))
    assert script.sent() == []


def test_a_time_out_forgets_what_was_acknowledged_selectively() -> None:
    script = Script()
    script.send(bytes(2000))
    script.send(bytes(2000))
    take(script, 1, 1, sacked((2001, 4001)))
    script.sent()
    script.wait()
    assert [one.sequence for one in script.sent()] == [1]
    take(script, 1, 2001, b"")
    assert [one.sequence for one in script.sent()] == [2001]


def test_an_urgent_byte_is_marked_until_the_outside_has_it() -> None:
    script = Script()
    take(script, 1, 1, b"", b"abc!", ACK | URG, urgent=4)
    receiver = script.connection.receiver
    assert receiver.urgent is not None
    assert receiver.urgent - receiver.unread == 3
    assert script.drain() == b"abc!"
    assert receiver.urgent is None


def test_an_urgent_pointer_to_what_is_read_already_counts_no_more() -> None:
    script = Script()
    take(script, 1, 1, b"", b"abc")
    script.drain()
    take(script, 1, 1, b"", b"abc", ACK | URG, urgent=3)
    assert script.connection.receiver.urgent is None


def test_an_urgent_byte_is_urgent_when_it_is_sent_again() -> None:
    script = Script()
    sent = Sent(script.connection.send_urgent(memoryview(b"!"), None, script.now), script.ours, script.theirs)
    assert sent.flags == ACK | PSH | URG
    script.wait()
    assert [one.flags for one in script.sent()] == [ACK | PSH | URG]
    script.take(1, 2)
    assert script.send(b"x").flags == ACK | PSH


def kept_alive() -> Script:
    script = Script(opened=False)
    script.connection.keep_alive = KEEP_ALIVE
    script.connection.accept(script.now)
    script.sent()
    script.take(1, 1)
    return script


def test_a_silent_container_is_asked_and_then_given_up() -> None:
    script = kept_alive()
    began = script.now
    probes = 0
    while not (events := script.wait()):
        probes += len(sent := script.sent())
        assert all((one.sequence, one.payload) == (0, b"") for one in sent)
    assert (events, probes) == (states.TIMED_OUT, 9)
    assert script.now - began >= KEEP_ALIVE


def test_a_container_that_answers_is_left_alone() -> None:
    script = kept_alive()
    script.wait()
    assert len(script.sent()) == 1
    heard = script.now
    script.take(1, 1)
    while not script.sent():
        assert script.wait() == 0
    assert script.now == heard + KEEP_ALIVE
