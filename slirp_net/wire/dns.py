"""DNS messages (RFC 1035), as far as a forwarder has to understand them: questions, what to keep of answers, short answers.

EDNS (RFC 6891) is between neighbours: the OPT record of a question says what the one who sent it can take, so it is not handed on
but made anew (`relayed`), with the same size and the same wish for DNSSEC's records, and without options.
"""

from __future__ import annotations

from struct import Struct

from slirp_net.wire import dns_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

_HEADER = Struct(">HHHHHH")  # identifier, flags, counts of questions, answers, authorities, additional records
LENGTH: Final = _HEADER.size
_QUESTION_END = Struct(">HH")  # type, class
_RECORD = Struct(">HHLH")  # type, class, time to live, length; the name before it, the data after it
_TIME_AT: Final = 4  # in a record's fixed part
_TIME = Struct(">L")

A: Final = 1
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
TSIG: Final = 250
IXFR: Final = 251
AXFR: Final = 252
ANY: Final = 255
INTERNET: Final = 1

NO_ERROR: Final = 0
FORMAT_ERROR: Final = 1
SERVER_FAILURE: Final = 2
NO_SUCH_NAME: Final = 3
NOT_IMPLEMENTED: Final = 4
REFUSED: Final = 5
CODE_MASK: Final = 0x000F

_RESPONSE: Final = 0x8000
_OPCODE_MASK: Final = 0x7800
TRUNCATED: Final = 0x0200
_KEPT_FLAGS: Final = 0x7910  # of the query in its answer: the opcode, recursion desired, checking disabled
_RECURSION_AVAILABLE: Final = 0x0080
_RELAYED_FLAGS: Final = 0x0130  # recursion desired, authentic data, checking disabled
_NAME_POINTER: Final = bytes((0xC0, LENGTH))

LEAST_SIZE: Final = 512  # bytes that every asker takes by UDP (RFC 1035, 4.2.1)
_OWN_SIZE: Final = 1232
_DNSSEC_OK: Final = 0x8000
_LARGEST_TIME: Final = 0x7FFFFFFF  # RFC 2181, 8: larger ones count as 0


class Question:
    """The one question of a query.

    `name` is in lower case without the last dot, `kind` its type, `kind_class` its class, `length` that of header and question in
    bytes. `size` is the largest answer that may come by UDP; `edns` are the fields of the OPT record (size, version and flags), or
    None. `plain` tells that nothing else is in the message, which is needed to ask it in other words.
    """

    __slots__ = ("edns", "flags", "identifier", "kind", "kind_class", "length", "name", "plain")

    def __init__(self, identifier: int, flags: int, name: str, kind: int, kind_class: int, length: int) -> None:
        self.identifier = identifier
        self.flags = flags
        self.name = name
        self.kind = kind
        self.kind_class = kind_class
        self.length = length
        self.edns: tuple[int, int] | None = None
        self.plain = False

    @property
    def size(self) -> int:
        """The largest answer that may come by UDP, in bytes."""
        return LEAST_SIZE if self.edns is None else max(self.edns[0], LEAST_SIZE)


def parse_query(message: bytes | memoryview) -> Question | None:
    """Return the question of a standard query with exactly one, or None."""
    if len(message) < LENGTH:
        return None
    identifier, flags, questions, answers, authorities, additional = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE_MASK) or questions != 1:
        return None
    question = _parse_question(message, identifier, flags)
    if question is None or answers or authorities or additional > 1:
        return question
    records = list(_records(message, question.length, additional))
    if len(records) == additional:
        question.plain = not additional or records[0][0] == OPT
        if additional and question.plain:
            _kind, size, flags, _data, _length = records[0]
            question.edns = size, flags
    return question


def _parse_question(message: bytes | memoryview, identifier: int, flags: int) -> Question | None:
    labels = []
    at = LENGTH
    while at < len(message) and message[at]:
        length = message[at]
        labels.append(bytes(message[at + 1 : at + 1 + length]))
        at += 1 + length
        if length > dns_names.LONGEST_LABEL or at + 1 - LENGTH > dns_names.LONGEST_NAME:
            return None
    if len(message) < at + 1 + _QUESTION_END.size:
        return None
    kind, kind_class = _QUESTION_END.unpack_from(message, at + 1)
    name = b".".join(labels).decode("latin-1").lower()
    return Question(identifier, flags, name, kind, kind_class, at + 1 + _QUESTION_END.size)


def _records(message: bytes | memoryview, at: int, count: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (type, class, time to live, where the data begins, its length) of up to `count` records; fewer if they are broken."""
    for _ in range(count):
        at = dns_names.end_of(message, at)
        if not at or at + _RECORD.size > len(message):
            return
        kind, kind_class, time, length = _RECORD.unpack_from(message, at)
        at += _RECORD.size
        if at + length > len(message):
            return
        yield kind, kind_class, time, at, length
        at += length


def refusal(message: bytes | memoryview) -> bytes | None:
    """Return the answer to a message in which `parse_query` finds no question, or None when it is not a query at all."""
    if len(message) < LENGTH:
        return None
    identifier, flags, *_counts = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    code = NOT_IMPLEMENTED if flags & _OPCODE_MASK else FORMAT_ERROR
    return _HEADER.pack(identifier, _RESPONSE | flags & _KEPT_FLAGS | code, 0, 0, 0, 0)


def relayed(message: bytes | memoryview, question: Question, identifier: int) -> bytes:
    """Return the query as it is asked on, with another identifier; a message that is not plain (signed, say) is not changed."""
    if not question.plain:
        return identifier.to_bytes(2, "big") + message[2:]
    header = _HEADER.pack(identifier, question.flags & _RELAYED_FLAGS, 1, 0, 0, question.edns is not None)
    return b"".join((header, message[LENGTH : question.length], _option_record(question.edns)))


def _option_record(edns: tuple[int, int] | None) -> bytes:
    """Return an OPT record without options (RFC 6891, 6.1.2) that takes answers as large as the asker does, or nothing."""
    return b"" if edns is None else b"\0" + _RECORD.pack(OPT, max(edns[0], LEAST_SIZE), edns[1] & (0xFF0000 | _DNSSEC_OK), 0)


def answers(message: bytes, question: Question, asked: bytes) -> bool:
    """Tell whether `message` is an answer to `asked`, whose question is `question` (RFC 5452, 9.1).

    The case of the name may differ. An error may come without the question.
    """
    if len(message) < LENGTH or message[:2] != asked[:2]:
        return False
    _, flags, questions, *_others = _HEADER.unpack_from(message)
    if not flags & _RESPONSE or flags & _OPCODE_MASK:
        return False
    if not questions:
        return flags & CODE_MASK not in (NO_ERROR, NO_SUCH_NAME)
    end = question.length - _QUESTION_END.size
    same_end = message[end : question.length] == asked[end : question.length]
    return questions == 1 and same_end and message[LENGTH:end].lower() == asked[LENGTH:end].lower()


def code_of(message: bytes) -> int:
    """Return the response code, without EDNS's part of it."""
    return message[3] & CODE_MASK


def is_truncated(message: bytes) -> bool:
    """Tell whether an answer says that it is not all."""
    return bool(message[2] << 8 & TRUNCATED)


def adapted(message: bytes, asked: bytes | memoryview, length: int) -> bytes:
    """Return an answer with the identifier and the question, `length` bytes with the header, as `asked` writes them."""
    if message[4:6] == b"\0\0":
        return b"".join((asked[:2], message[2:]))
    return b"".join((asked[:2], message[2:LENGTH], asked[LENGTH:length], message[length:]))


def truncated(message: bytes, question: Question) -> bytes:
    """Return an answer that has no records, and says so (RFC 2181, 9)."""
    flags = int.from_bytes(message[2:4], "big") | TRUNCATED
    header = _HEADER.pack(question.identifier, flags, 1, 0, 0, question.edns is not None)
    return b"".join((header, message[LENGTH : question.length], _own_option(question)))


def lifetime(message: bytes, question: Question) -> tuple[int, tuple[int, ...]] | None:
    """Return for how many seconds an answer may be kept, and where its times to live are; None for one that is not to be kept.

    What counts is the least time to live; that a name does not exist, or has no such records, counts as long as the SOA record says
    that comes with it (RFC 2308, 5).
    """
    _, flags, _, *counts = _HEADER.unpack_from(message)
    if flags & TRUNCATED or flags & CODE_MASK not in (NO_ERROR, NO_SUCH_NAME):
        return None
    records = list(_records(message, question.length, sum(counts)))
    if len(records) != sum(counts):
        return None
    places, least, start = [], _LARGEST_TIME, None
    for kind, _kind_class, time, data, length in records:
        if (kind == OPT and time >> 24) or kind == TSIG:
            return None  # an extended error, or a signature that holds for one asker
        if kind == OPT:
            continue
        places.append(data - _RECORD.size + _TIME_AT)
        least = min(least, time if time <= _LARGEST_TIME else 0)
        if kind == SOA and length >= _TIME.size:
            (start,) = _TIME.unpack_from(message, data + length - _TIME.size)
    if flags & CODE_MASK == NO_ERROR and any(question.kind in (kind, ANY) for kind, *_ in records[: counts[0]]):
        return least, tuple(places)
    return None if start is None else (min(least, start), tuple(places))


def aged(message: bytes, places: tuple[int, ...], age: int) -> bytes:
    """Return an answer that is `age` seconds old, with its times to live at `places` that much less."""
    changed = bytearray(message)
    for place in places:
        (time,) = _TIME.unpack_from(message, place)
        _TIME.pack_into(changed, place, max(time - age, 0))
    return bytes(changed)


def answer(message: bytes | memoryview, question: Question, data: Sequence[bytes], code: int = NO_ERROR, ttl: int = 0) -> bytes:
    """Return an answer of our own: a record of the type asked for with each of `data`, for `ttl` seconds; or none."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | question.flags & _KEPT_FLAGS | code
    header = _HEADER.pack(question.identifier, flags, 1, len(data), 0, question.edns is not None)
    records = [_NAME_POINTER + _RECORD.pack(question.kind, question.kind_class, ttl, len(one)) + one for one in data]
    return b"".join((header, message[LENGTH : question.length], *records, _own_option(question)))


def _own_option(question: Question) -> bytes:
    return b"" if question.edns is None else _option_record((_OWN_SIZE, question.edns[1] & _DNSSEC_OK))
