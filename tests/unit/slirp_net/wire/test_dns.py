"""Questions are understood or refused, and answers are what RFC 1035 says."""

import struct

import pytest

from slirp_net.wire import dns


def query(
    *labels: bytes, kind: int = 1, flags: int = 0x0100, questions: int = 1, kind_class: int = 1, more: bytes = b""
) -> memoryview:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return memoryview(struct.pack(">6H", 0x1234, flags, questions, 0, 0, 0) + name + struct.pack(">HH", kind, kind_class) + more)


def test_a_question_is_understood() -> None:
    question = dns.parse_query(query(b"Host", b"Containers", b"internal"))
    assert question is not None
    assert (question.identifier, question.name, question.kind) == (0x1234, "host.containers.internal", 1)


def test_the_longest_name_is_understood() -> None:
    question = dns.parse_query(query(*[b"x" * 63] * 3, b"x" * 61))  # 255 octets with lengths and end: RFC 1035, 2.3.4
    assert question is not None
    assert len(question.name) == 253


@pytest.mark.parametrize(
    "message",
    [
        query(b"a", flags=0x8100),
        query(b"a", flags=0x2900),
        query(b"a", questions=0),
        query(b"a", questions=2),
        query(b"a", kind_class=3),
        memoryview(bytes(query(b"a"))[:12] + b"\xc0\x0c\0\1\0\1"),  # a pointer in a question
        query(*[b"x" * 63] * 3, b"x" * 62),
        query(*[b"x" * 63] * 5),
    ],
    ids=["answer", "opcode", "none", "two", "class", "pointer", "256 octets", "long"],
)
def test_other_messages_are_not_for_us(message: memoryview) -> None:
    assert dns.parse_query(message) is None


def test_a_truncated_question_is_refused_at_any_length() -> None:
    message = query(b"host", b"test")
    assert all(dns.parse_query(message[:length]) is None for length in range(len(message)))


def test_an_answer_repeats_the_question_and_has_the_addresses() -> None:
    message = query(b"host", b"test", more=b"\0\0\x29\x10\0\0\0\0\0\0\0")  # EDNS is not repeated
    question = dns.parse_query(message)
    assert question is not None
    answer = dns.answer(message, question, [bytes((10, 0, 2, 2))], ttl=5)
    assert struct.unpack(">6H", answer[:12]) == (0x1234, 0x8180, 1, 1, 0, 0)
    assert answer[12 : question.length] == message[12 : question.length]
    assert answer[question.length :] == b"\xc0\x0c" + struct.pack(">HHLH", 1, 1, 5, 4) + bytes((10, 0, 2, 2))


def test_a_failure_has_its_code() -> None:
    message = query(b"host")
    question = dns.parse_query(message)
    assert question is not None
    answer = dns.answer(message, question, [], dns.SERVER_FAILURE)
    assert answer[2:4] == b"\x81\x82"
    assert answer[12:] == message[12:]
