"""DNS messages (RFC 1035), as far as a forwarder has to understand them: the question of a query, and short answers."""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_HEADER = Struct(">HHHHHH")  # identifier, flags, counts of questions, answers, authorities, additional records
LENGTH: Final = _HEADER.size
_QUESTION_END = Struct(">HH")  # type, class
_ANSWER = Struct(">HHHLH4s")  # pointer to the name, type, class, time to live, length, address

A: Final = 1
INTERNET: Final = 1
NO_ERROR: Final = 0
SERVER_FAILURE: Final = 2

_RESPONSE: Final = 0x8000
_OPCODE_MASK: Final = 0x7800
_KEPT_FLAGS: Final = 0x7910  # of the query in its answer: the opcode, recursion desired, checking disabled
_RECURSION_AVAILABLE: Final = 0x0080
_NAME_POINTER: Final = 0xC000 | LENGTH
_LONGEST_LABEL: Final = 63
_LONGEST_NAME: Final = 255  # with the lengths of its labels and the end


class Question:
    """The one question of a query: `name` in lower case without the last dot, `kind` its type; `length` of header and question."""

    __slots__ = ("flags", "identifier", "kind", "length", "name")

    def __init__(self, identifier: int, flags: int, name: str, kind: int, length: int) -> None:
        self.identifier = identifier
        self.flags = flags
        self.name = name
        self.kind = kind
        self.length = length


def parse_query(message: memoryview) -> Question | None:
    """Return the question of a standard query of class IN with exactly one, or None."""
    if len(message) < LENGTH:
        return None
    identifier, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE_MASK) or questions != 1:
        return None
    labels = []
    at = LENGTH
    while at < len(message) and message[at]:
        length = message[at]
        labels.append(bytes(message[at + 1 : at + 1 + length]))
        at += 1 + length
        if length > _LONGEST_LABEL or at + 1 - LENGTH > _LONGEST_NAME:
            return None
    if len(message) < at + 1 + _QUESTION_END.size:
        return None
    kind, kind_class = _QUESTION_END.unpack_from(message, at + 1)
    if kind_class != INTERNET:
        return None
    return Question(identifier, flags, b".".join(labels).decode("latin-1").lower(), kind, at + 1 + _QUESTION_END.size)


def answer(message: memoryview, question: Question, addresses: list[bytes], code: int = NO_ERROR, ttl: int = 0) -> bytes:
    """Return the answer to a query: its IPv4 `addresses`, each for `ttl` seconds, or none (a name without such records)."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | question.flags & _KEPT_FLAGS | code
    header = _HEADER.pack(question.identifier, flags, 1, len(addresses), 0, 0)
    records = [_ANSWER.pack(_NAME_POINTER, A, INTERNET, ttl, 4, address) for address in addresses]
    return b"".join((header, message[LENGTH : question.length], *records))
