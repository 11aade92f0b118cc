"""Questions are understood or refused, and answers are what RFC 1035 says."""

import struct

import pytest

from slirp_net.wire import dns


def query(
    *labels: bytes, identifier: int = 0x1234, flags: int = 0x0100, questions: int = 1, additional: int = 0, more: bytes = b""
) -> memoryview:
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    header = struct.pack(">6H", identifier, flags, questions, 0, 0, additional)
    return memoryview(header + name + struct.pack(">HH", 1, 1) + more)


def option_record(size: int, flags: int, *, cookie: bool = False) -> bytes:
    """Return the record of EDNS (RFC 6891, 6.1.2)."""
    options = struct.pack(">HH8s", 10, 8, b"cookie!!") if cookie else b""
    return b"\0" + struct.pack(">HHLH", 41, size, flags, len(options)) + options


def parsed(message: memoryview) -> dns.Question:
    question = dns.parse_query(message)
    assert question is not None
    return question


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
        memoryview(bytes(query(b"a"))[:12] + b"\xc0\x0c\0\1\0\1"),  # a pointer in a question
        query(*[b"x" * 63] * 3, b"x" * 62),
        query(*[b"x" * 63] * 5),
    ],
    ids=["answer", "opcode", "none", "two", "pointer", "256 octets", "long"],
)
def test_other_messages_are_not_for_us(message: memoryview) -> None:
    assert dns.parse_query(message) is None


def test_a_truncated_question_is_refused_at_any_length() -> None:
    message = query(b"host", b"test")
    assert all(dns.parse_query(message[:length]) is None for length in range(len(message)))


def test_an_answer_repeats_the_question_and_has_the_addresses() -> None:
    message = query(b"host", b"test")
    question = parsed(message)
    answer = dns.answer(message, question, [bytes((10, 0, 2, 2))], ttl=5)
    assert struct.unpack(">6H", answer[:12]) == (0x1234, 0x8180, 1, 1, 0, 0)
    assert answer[12 : question.length] == message[12 : question.length]
    assert answer[question.length :] == b"\xc0\x0c" + struct.pack(">HHLH", 1, 1, 5, 4) + bytes((10, 0, 2, 2))


def test_who_asks_with_edns_is_answered_with_edns() -> None:
    message = query(b"host", b"test", additional=1, more=option_record(4096, 0x8000, cookie=True))
    question = parsed(message)
    assert (question.size, question.plain) == (4096, True)
    assert dns.answer(message, question, []).endswith(option_record(1232, 0x8000))
    assert struct.unpack(">6H", dns.answer(message, question, [])[:12]) == (0x1234, 0x8180, 1, 0, 0, 1)


def test_a_failure_has_its_code() -> None:
    message = query(b"host")
    answer = dns.answer(message, parsed(message), [], dns.SERVER_FAILURE)
    assert answer[2:4] == b"\x81\x82"
    assert answer[12:] == message[12:]


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        (query(b"a", flags=0x2900), 0xA904),  # UPDATE: not implemented
        (query(b"a", questions=2), 0x8101),
        (query(*[b"x" * 63] * 5), 0x8101),
        (query(b"a", flags=0x8100), None),
        (memoryview(b"short"), None),
    ],
)
def test_what_is_no_question_is_refused_unless_it_is_no_query(message: memoryview, flags: int | None) -> None:
    refusal = dns.refusal(message)
    assert refusal == (None if flags is None else struct.pack(">6H", 0x1234, flags, 0, 0, 0, 0))


def test_a_question_is_asked_on_without_the_options_of_its_neighbour() -> None:
    message = query(b"Host", flags=0x0130, additional=1, more=option_record(4096, 0x8000, cookie=True))
    assert dns.relayed(message, parsed(message), 7) == bytes(
        query(b"Host", identifier=7, flags=0x0130, additional=1, more=option_record(4096, 0x8000))
    )


def test_a_signed_message_is_asked_on_as_it_is() -> None:
    message = query(b"host", additional=1, more=b"\0" + struct.pack(">HHLH", 250, 255, 0, 3) + b"sig")
    assert dns.relayed(message, parsed(message), 7) == b"\0\7" + message[2:]


def response(*records: bytes, counts: tuple[int, int, int] | None = None, flags: int = 0x8180, kind: int = 1) -> bytes:
    """Return an answer about host.test, with all records as answers unless `counts` says otherwise."""
    name = b"\4host\4test\0" + struct.pack(">HH", kind, 1)
    return struct.pack(">6H", 0x1234, flags, 1, *(counts or (len(records), 0, 0))) + name + b"".join(records)


def record(kind: int, ttl: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack(">HHLH", kind, 1, ttl, len(data)) + data


def start(ttl: int, least: int) -> bytes:
    return record(dns.SOA, ttl, b"\0\0" + struct.pack(">5L", 1, 2, 3, 4, least))


ADDRESS = record(dns.A, 60, b"\1\2\3\4")
HOST = query(b"host", b"test")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (response(ADDRESS), 60),
        (response(record(dns.CNAME, 7, b"\xc0\x0c"), ADDRESS), 7),
        (response(record(dns.A, 0x80000000, b"\1\2\3\4")), 0),
        (response(ADDRESS, option_record(1232, 0), counts=(1, 0, 1)), 60),
        (response(flags=0x8183), None),  # no such name, but nothing says for how long
        (response(start(100, 20), counts=(0, 1, 0), flags=0x8183), 20),
        (response(start(10, 20), counts=(0, 1, 0)), 10),
        (response(record(dns.CNAME, 7, b"\xc0\x0c"), start(100, 20), counts=(1, 1, 0)), 7),  # an alias of a name without addresses
        (response(record(dns.CNAME, 7, b"\xc0\x0c")), None),
        (response(record(2, 9, b"\xc0\x0c"), counts=(0, 1, 0)), None),  # a referral
        (response(ADDRESS, flags=0x8380), None),  # truncated
        (response(flags=0x8182), None),
        (response(ADDRESS, counts=(2, 0, 0)), None),
        (response(ADDRESS[:-1]), None),
        (response(ADDRESS, b"\0" + struct.pack(">HHLH", 41, 1232, 0x01000000, 0), counts=(1, 0, 1)), None),  # an extended error
        (response(ADDRESS, b"\0" + struct.pack(">HHLH", 250, 255, 0, 0), counts=(1, 0, 1)), None),  # signed
    ],
)
def test_an_answer_is_kept_as_long_as_it_says(message: bytes, expected: int | None) -> None:
    found = dns.lifetime(message, parsed(HOST))
    assert (None if found is None else found[0]) == expected


def test_times_to_live_go_down() -> None:
    message = response(ADDRESS, record(dns.A, 90, b"\1\2\3\5"), option_record(1232, 0x8000), counts=(2, 0, 1))
    found = dns.lifetime(message, parsed(HOST))
    assert found is not None
    expected = response(
        record(dns.A, 50, b"\1\2\3\4"), record(dns.A, 80, b"\1\2\3\5"), option_record(1232, 0x8000), counts=(2, 0, 1)
    )
    assert dns.aged(message, found[1], 10) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (response(ADDRESS), True),
        (response(ADDRESS).replace(b"host", b"HOST"), True),
        (response(ADDRESS).replace(b"host", b"hose"), False),
        (response(ADDRESS, kind=28), False),
        (b"\x12\x35" + response(ADDRESS)[2:], False),
        (bytes(HOST), False),
        (struct.pack(">6H", 0x1234, 0x8185, 0, 0, 0, 0), True),  # refused, without saying what
        (struct.pack(">6H", 0x1234, 0x8180, 0, 0, 0, 0), False),
        (b"\x12\x34", False),
    ],
)
def test_only_an_answer_to_the_question_counts(message: bytes, expected: bool) -> None:
    assert dns.answers(message, parsed(HOST), bytes(HOST)) is expected


def test_an_answer_is_adapted_to_who_asked() -> None:
    asked = query(b"HoSt", b"TeSt", identifier=9)
    adapted = dns.adapted(response(ADDRESS), asked, parsed(asked).length)
    assert adapted == b"\0\x09" + response(ADDRESS)[2:].replace(b"host", b"HoSt").replace(b"test", b"TeSt")


def test_a_truncated_answer_has_nothing_but_the_question() -> None:
    answer = dns.truncated(response(ADDRESS), parsed(HOST))
    assert answer == response(flags=0x8380, counts=(0, 0, 0))
    assert dns.is_truncated(answer)
