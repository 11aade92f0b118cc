"""Any bytes as a DNS message: nothing breaks, and what is made of a question can be read back."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from slirp_net.host.dns_cache import Cache
from slirp_net.wire import dns, dns_names

labels = st.lists(st.binary(min_size=1, max_size=63).filter(lambda label: b"." not in label), max_size=3)
_OPTION = b"\0" + struct.pack(">HHLH", dns.OPT, 1400, 0x8000, 0)


@st.composite
def queries(draw: st.DrawFn) -> bytes:
    """Return a query, perhaps with EDNS, that has perhaps been damaged."""
    name = b"".join(bytes((len(label),)) + label for label in draw(labels)) + b"\0"
    edns = draw(st.booleans())
    head = struct.pack(">6H", draw(st.integers(0, 0xFFFF)), draw(st.sampled_from([0x0100, 0x0130, 0])), 1, 0, 0, edns)
    return head + name + struct.pack(">HH", draw(st.sampled_from([1, 5, 6, 12, 28, 255])), 1) + (_OPTION if edns else b"")


damage = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)
records = st.binary(max_size=120)


def damaged(message: bytes, changes: list[tuple[int, int]], length: int) -> bytes:
    changed = bytearray(message)
    for at, value in changes:
        changed[at % len(changed)] = value
    return bytes(changed[: max(len(changed) - length, 0)])


@given(st.one_of(st.binary(max_size=100), st.builds(damaged, queries(), damage, st.integers(0, 8))))
def test_any_question(message: bytes) -> None:
    question = dns.parse_query(memoryview(message))
    refusal = dns.refusal(message)
    if question is None:
        assert refusal is None or (len(refusal) == dns.LENGTH and refusal[:2] == message[:2])
        return
    asked_on = dns.relayed(message, question, 7)
    again = dns.parse_query(asked_on)
    assert again is not None
    assert (again.name, again.kind, again.kind_class, again.identifier) == (question.name, question.kind, question.kind_class, 7)
    answer = dns.answer(message, question, [b"1234"])
    assert dns.answers(answer, question, message)
    assert dns.answers(dns.truncated(answer, question), question, message)


@given(queries(), records, st.tuples(*[st.integers(0, 3)] * 3), damage, st.integers(0, 40))
def test_any_answer(asked: bytes, rest: bytes, counts: tuple[int, int, int], changes: list[tuple[int, int]], age: int) -> None:
    question = dns.parse_query(asked)
    assert question is not None
    answer = struct.pack(">6H", question.identifier, 0x8180, 1, *counts) + asked[dns.LENGTH : question.length] + rest
    answer = damaged(answer, changes, 0)
    dns.answers(answer, question, asked)
    found = dns.lifetime(answer, question)
    if found is not None:
        seconds, places = found
        assert 0 <= seconds < 1 << 31
        assert len(dns.aged(answer, places, age)) == len(answer)
    cache = Cache()
    cache.put(question, answer, 0.0)
    kept = cache.get(question, age)
    assert kept is None or len(kept) == len(answer)
    assert len(dns.adapted(answer, asked, question.length)) == len(answer)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_name(message: bytes, at: int) -> None:
    end = dns_names.end_of(message, at)
    assert end == 0 or end > at


@given(st.text(max_size=80))
def test_any_text_as_the_name_of_an_address(name: str) -> None:
    for text in (name, f"{name}.in-addr.arpa", f"{name}.ip6.arpa"):
        address = dns_names.address_of(text.lower())
        assert address is None or len(address) in (4, 16)
