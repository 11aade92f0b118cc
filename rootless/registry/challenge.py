"""The WWW-Authenticate header (RFC 9110, section 11.6.1): which ways to log in a server offers."""

import re
from typing import Final, NamedTuple

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110's word for a word
_PARAMETER: Final = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))\s*', re.ASCII)
_SCHEME: Final = re.compile(rf"({_TOKEN})(?:\s+|$|(?=,))", re.ASCII)
_SEPARATOR: Final = re.compile(r"[\s,]*")
_ESCAPE: Final = re.compile(r"\\(.)")
_MAX_LENGTH: Final = 16 << 10


class Challenge(NamedTuple):
    """One offer: its scheme in lower case (`bearer`, `basic`) and its parameters, names in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse(header: str) -> list[Challenge]:
    """Read a header's challenges; what cannot be read, and all after it, is left out."""
    challenges: list[Challenge] = []
    header = header[:_MAX_LENGTH]
    position = 0
    while (position := _after(_SEPARATOR, header, position)) < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter and challenges:
            name, quoted, plain = parameter.groups()
            challenges[-1].parameters[name.lower()] = _ESCAPE.sub(r"\1", quoted) if quoted is not None else plain
            position = parameter.end()
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        challenges.append(Challenge(scheme[1].lower(), {}))
        position = scheme.end()
    return challenges


def _after(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position
