"""The loop's timers and descriptors under a clock of our own, and the arena's accounts."""

import os
import weakref
from collections.abc import Callable

import pytest

from slirp_net import buffers
from slirp_net.buffers import COPIES, SLOT_SIZE, Arena
from slirp_net.loop import NEVER, READABLE, Loop


class Clock:
    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        return self.now


class Alarm:
    """Something with a deadline that counts how often it rang."""

    def __init__(self, loop: Loop, on_ring: Callable[["Alarm"], None] = lambda _alarm: None) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self.rung: list[float] = []
        self._loop = loop
        self._on_ring = on_ring

    def on_timer(self) -> None:
        self.rung.append(self._loop.now)
        self.deadline = NEVER
        self._on_ring(self)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_timer_rings_once_at_its_deadline(clock: Clock) -> None:
    loop = Loop(clock)
    alarm = Alarm(loop)
    alarm.deadline = 11.0
    loop.schedule(alarm)
    loop.round(0)
    assert alarm.rung == []
    clock.now = 11.0
    loop.round(0)
    clock.now = 99.0
    loop.round(0)
    assert alarm.rung == [11.0]


def test_useless_entries_do_not_pile_up(clock: Clock) -> None:
    """A connection that talks now and then: between its retransmission time-outs there is only keep-alive, hours ahead."""
    loop = Loop(clock)

    def keep_alive(alarm: Alarm) -> None:
        alarm.deadline = clock.now + 7200

    alarm = Alarm(loop, keep_alive)
    for _ in range(5000):
        alarm.deadline = clock.now + 0.2
        loop.schedule(alarm)
        clock.now += 1
        loop.round(0)
    assert len(alarm.rung) == 5000
    assert len(loop._heap) <= 1024
    alarm.deadline = clock.now + 5
    loop.schedule(alarm)
    loop.tidy()
    clock.now += 6
    loop.round(0)
    assert len(alarm.rung) == 5001


def test_what_has_ended_is_let_go(clock: Clock) -> None:
    loop = Loop(clock)
    ended = Alarm(loop)
    ended.deadline = clock.now + 7200
    loop.schedule(ended)
    ended.deadline = NEVER
    seen = weakref.ref(ended)
    del ended
    loop.tidy()
    assert seen() is None
    again = Alarm(loop)
    for deadline in (7200.0, NEVER, 20.0):
        again.deadline = deadline
        loop.schedule(again)
        loop.tidy()
    clock.now = 21.0
    loop.round(0)
    assert again.rung == [21.0]


def test_a_deadline_that_moves_later_rings_later(clock: Clock) -> None:
    loop = Loop(clock)
    alarm = Alarm(loop)
    for deadline in (11.0, 12.0, 13.0):
        alarm.deadline = deadline
        loop.schedule(alarm)
    clock.now = 12.5
    loop.round(0)
    assert alarm.rung == []
    clock.now = 13.0
    loop.round(0)
    assert alarm.rung == [13.0]


def test_a_deadline_that_moves_earlier_rings_earlier_and_only_then(clock: Clock) -> None:
    loop = Loop(clock)
    alarm = Alarm(loop)
    for deadline in (20.0, 15.0, 11.0):
        alarm.deadline = deadline
        loop.schedule(alarm)
    for now in (11.0, 15.0, 20.0, 30.0):
        clock.now = now
        loop.round(0)
    assert alarm.rung == [11.0]


def test_a_timer_that_was_called_off_does_not_ring(clock: Clock) -> None:
    loop = Loop(clock)
    alarm = Alarm(loop)
    alarm.deadline = 11.0
    loop.schedule(alarm)
    alarm.deadline = NEVER
    clock.now = 12.0
    loop.round(0)
    assert alarm.rung == []


def test_a_timer_may_set_itself_again(clock: Clock) -> None:
    loop = Loop(clock)

    def again(alarm: Alarm) -> None:
        alarm.deadline = loop.now + 1

    alarm = Alarm(loop, again)
    alarm.deadline = 11.0
    loop.schedule(alarm)
    for now in (11.0, 12.0, 13.0):
        clock.now = now
        loop.round(0)
    assert alarm.rung == [11.0, 12.0, 13.0]


def test_a_forgotten_descriptor_is_not_served_even_in_the_same_round(clock: Clock) -> None:
    loop = Loop(clock)
    pipes = [os.pipe(), os.pipe()]
    served: list[int] = []

    def serve(index: int) -> None:
        served.append(index)
        loop.forget(pipes[1 - index][0])

    for index, (reading, writing) in enumerate(pipes):
        os.write(writing, b"x")
        loop.watch(reading, READABLE, lambda _events, index=index: serve(index))
    loop.round(0)
    assert len(served) == 1
    for reading, writing in pipes:
        os.close(reading)
        os.close(writing)


def test_more_to_do_is_done_without_waiting() -> None:
    loop = Loop()
    reading, writing = os.pipe()
    os.write(writing, b"x")
    loop.watch(reading, READABLE, lambda _events: loop.forget(reading))
    rounds: list[int] = []

    def work() -> bool:
        rounds.append(1)
        if len(rounds) == 3:
            loop.stop()
        return len(rounds) < 3

    loop.after_each_round(work)
    waited = Alarm(loop, lambda _alarm: loop.stop())
    waited.deadline = loop.now + 5
    loop.schedule(waited)
    loop.run()
    os.close(reading)
    os.close(writing)
    assert (len(rounds), waited.rung) == (3, [])


def test_slots_are_lent_and_given_back() -> None:
    arena = Arena(3)
    slots = [arena.take() for _ in range(3)]
    assert None not in slots
    assert arena.take() is None
    assert not arena.has_spare
    first = slots[0]
    assert first is not None
    assert len(first.view) == SLOT_SIZE
    arena.give(first)
    assert arena.take() is first  # the one in the cache
    assert arena.used == 3


def test_a_trimmed_slot_is_empty_and_may_be_used() -> None:
    arena = Arena(2)
    slots = [arena.take() for _ in range(2)]
    for slot in slots:
        assert slot is not None
        slot.view[:4] = b"data"
        arena.give(slot)
    arena.trim(keep=1)
    assert sorted(bytes(slot.view[:4]) for slot in slots if slot is not None) == [b"\0\0\0\0", b"data"]


def test_copies_are_counted_with_what_they_cost() -> None:
    arena = Arena(2)
    copies = []
    while arena.has_room:
        copies.append(arena.copy(memoryview(b"x")))
    assert len(copies) < COPIES / 500
    assert arena.is_short
    assert arena.has_reserve
    for copy in copies:
        arena.give(copy)
    assert (arena.copied, arena.used) == (0, 0)


def test_the_largest_frame_fits_a_slot() -> None:
    assert SLOT_SIZE >= 10 + 14 + 65535
    assert SLOT_SIZE % buffers.PAGESIZE == 0
