"""What is kept of answers, and for how long."""

import struct

from slirp_net.host import dns_cache
from slirp_net.host.dns_cache import Cache
from slirp_net.wire import dns


def question(name: bytes = b"a", flags: int = 0x0100) -> dns.Question:
    found = dns.parse_query(struct.pack(">6H", 7, flags, 1, 0, 0, 0) + b"\1" + name + b"\0\0\1\0\1")
    assert found is not None
    return found


def answer(ttl: int, name: bytes = b"a") -> bytes:
    record = b"\xc0\x0c" + struct.pack(">HHLH", 1, 1, ttl, 4) + b"\1\2\3\4"
    return struct.pack(">6H", 7, 0x8180, 1, 1, 0, 0) + b"\1" + name + b"\0\0\1\0\1" + record


def no_such_name(ttl: int) -> bytes:
    data = b"\0\0" + struct.pack(">5L", 1, 2, 3, 4, ttl)
    record = b"\0" + struct.pack(">HHLH", 6, 1, ttl, len(data)) + data
    return struct.pack(">6H", 7, 0x8183, 1, 0, 1, 0) + b"\1a\0\0\1\0\1" + record


def test_an_answer_ages_and_ends() -> None:
    cache = Cache()
    cache.put(question(), answer(10), 100.0)
    assert cache.get(question(), 100.5) == answer(10)
    assert cache.get(question(), 103.9) == answer(7)
    assert cache.get(question(), 110.0) is None
    assert len(cache) == 0


def test_nothing_is_kept_for_long() -> None:
    cache = Cache()
    cache.put(question(), answer(3600), 0.0)
    assert cache.get(question(), dns_cache.LONGEST - 0.1) == answer(3600 - 29)
    assert cache.get(question(), dns_cache.LONGEST) is None
    cache.put(question(), no_such_name(3600), 0.0)
    assert cache.get(question(), dns_cache.LONGEST_NEGATIVE - 0.1) is not None
    assert cache.get(question(), dns_cache.LONGEST_NEGATIVE) is None


def test_what_may_not_be_kept_is_not() -> None:
    cache = Cache()
    cache.put(question(), answer(0), 0.0)
    cache.put(question(), answer(10)[:-1], 0.0)
    cache.put(question(), answer(10) + bytes(5000), 0.0)
    assert len(cache) == 0


def test_other_flags_are_another_question() -> None:
    cache = Cache()
    cache.put(question(), answer(10), 0.0)
    assert cache.get(question(flags=0x0110), 0.0) is None
    assert cache.get(question(b"A"), 0.0) == answer(10)


def test_the_oldest_make_room() -> None:
    cache = Cache()
    for number in range(dns_cache.MOST + 1):
        asked = question()
        asked.name = str(number)
        cache.put(asked, answer(10), 0.0)
    assert len(cache) == dns_cache.MOST
    asked.name = "0"
    assert cache.get(asked, 0.0) is None
    asked.name = "1"
    assert cache.get(asked, 0.0) is not None
    cache.clear()
    assert len(cache) == 0
