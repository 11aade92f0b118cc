"""Fragments in any order become the packet they were; anything odd is dropped; nothing is kept for ever."""

import random

import pytest

from slirp_net.loop import NEVER, Loop
from slirp_net.reassembly import LIFETIME, Reassembly
from slirp_net.wire import ipv4

A, B = bytes((10, 0, 2, 100)), bytes((192, 0, 2, 1))
KEY = (A, B, ipv4.UDP, 7)
HEADER = ipv4.header(ipv4.UDP, A, B, 0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def loop(clock: Clock) -> Loop:
    return Loop(clock)


@pytest.fixture
def reassembly(loop: Loop) -> Reassembly:
    return Reassembly(loop, lambda _beginning: None)


def pieces_of(payload: bytes, size: int) -> list[tuple[int, bytes]]:
    """Return (flags and offset, payload) of each fragment."""
    return [
        (start >> 3 | (ipv4.MORE_FRAGMENTS if start + size < len(payload) else 0), payload[start : start + size])
        for start in range(0, len(payload), size)
    ]


def add(reassembly: Reassembly, fragment: int, piece: bytes, key: tuple[bytes, bytes, int, int] = KEY) -> bytes | None:
    return reassembly.add(memoryview(HEADER + piece), len(HEADER), key, fragment)


@pytest.mark.parametrize("size", [8, 1480, 65512])
@pytest.mark.parametrize("seed", range(3))
def test_fragments_in_any_order_become_the_packet(reassembly: Reassembly, size: int, seed: int) -> None:
    payload = random.Random(seed).randbytes(size * 5 // 2 if size < 60000 else 65512)
    pieces = pieces_of(payload, size)
    random.Random(seed).shuffle(pieces)
    pieces[0:0] = pieces[:1]  # a duplicate
    wholes = [add(reassembly, *piece) for piece in pieces]
    if len(pieces) > 2:
        assert wholes[:-1] == [None] * (len(wholes) - 1)
    assert wholes[-1] == HEADER + payload


@pytest.mark.parametrize(
    "fragments",
    [
        [(ipv4.MORE_FRAGMENTS, bytes(16)), (1, bytes(16))],  # overlap
        [(ipv4.MORE_FRAGMENTS, bytes(7))],  # not a multiple of eight
        [(0x1FFF, bytes(64))],  # beyond 64 KiB
        [(2, bytes(8)), (1, bytes(8))],  # two ends
        [(1, bytes(8)), (ipv4.MORE_FRAGMENTS | 4, bytes(8))],  # data after the end
        [(ipv4.MORE_FRAGMENTS, b"")],
    ],
    ids=["overlap", "odd length", "too long", "two ends", "after the end", "empty"],
)
def test_odd_fragments_drop_the_datagram(
    clock: Clock, loop: Loop, reassembly: Reassembly, fragments: list[tuple[int, bytes]]
) -> None:
    assert [add(reassembly, *fragment) for fragment in fragments] == [None] * len(fragments)
    assert [add(reassembly, *piece) for piece in pieces_of(bytes(64), 32)] == [None, None]  # nor what comes later of it
    clock.now = LIFETIME
    loop.round(0)
    assert reassembly.deadline == NEVER  # nothing is kept


@pytest.mark.parametrize(("seconds", "expected"), [(LIFETIME - 1, HEADER + bytes(16)), (LIFETIME, None)])
def test_what_stays_incomplete_is_dropped_after_a_while(
    clock: Clock, loop: Loop, reassembly: Reassembly, seconds: float, expected: bytes | None
) -> None:
    add(reassembly, ipv4.MORE_FRAGMENTS, bytes(8))
    clock.now = seconds
    loop.round(0)
    assert (reassembly.deadline == NEVER) == (expected is None)
    assert add(reassembly, 1, bytes(8)) == expected


def test_fragments_of_two_datagrams_are_kept_apart(reassembly: Reassembly) -> None:
    other = (A, B, ipv4.UDP, 8)
    add(reassembly, ipv4.MORE_FRAGMENTS, b"a" * 8)
    add(reassembly, ipv4.MORE_FRAGMENTS, b"b" * 8, other)
    assert add(reassembly, 1, b"A", KEY) == HEADER + b"aaaaaaaaA"
    assert add(reassembly, 1, b"B", other) == HEADER + b"bbbbbbbbB"


def test_a_flood_of_fragments_drops_the_oldest(reassembly: Reassembly) -> None:
    keys = [(A, B, ipv4.UDP, identification) for identification in range(20000)]
    for key in keys:
        add(reassembly, ipv4.MORE_FRAGMENTS, bytes(8), key)
    kept = [add(reassembly, 1, b"end", key) is not None for key in reversed(keys)]
    assert 1000 < sum(kept) < 5000
    assert all(kept[:1000])
