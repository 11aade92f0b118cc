"""Reading a Dockerfile: its logical lines, and the words and variables in them (docs.docker.com/reference/dockerfile)."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from rootless.errors import InvalidInput

_DIRECTIVE: Final = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_HEREDOC: Final = re.compile(r"<<-?\s*[\"']?\w")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}]*))?\})")


class Instruction(NamedTuple):
    """One instruction: its name in upper case, its `--flags`, the rest, and the number of its first line."""

    name: str
    flags: dict[str, str]
    text: str
    line: int

    @property
    def shown(self) -> str:
        """The instruction as progress and the image's history show it."""
        flags = "".join(f"--{key}={value} " if value else f"--{key} " for key, value in self.flags.items())
        return f"{self.name} {flags}{self.text}"


def read(content: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile. Raises `InvalidInput` that names the line."""
    lines = content.removeprefix("\ufeff").splitlines()
    escape = _escape_of(lines)
    found: list[Instruction] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if stripped.startswith("#") or (not stripped and not parts):
            continue
        first = first if parts else number
        if line.rstrip().endswith(escape):
            parts.append(line.rstrip()[:-1])
            continue
        found.append(_instruction("".join([*parts, line]), first))
        parts = []
    if parts:
        found.append(_instruction("".join(parts), first))
    if not found:
        raise InvalidInput("the Dockerfile cannot be empty", "begin it with FROM")
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return one word without its quotes and with its variables replaced. Raises `InvalidInput` for a quote that does not end."""
    found = []
    rest, quote = text, ""
    while rest:
        match = None if quote == "'" else _VARIABLE.match(rest)
        if match is not None:
            found.append(_value(match, variables))
            rest = rest[match.end() :]
            continue
        one, rest = rest[0], rest[1:]
        if one == quote or (not quote and one in "\"'"):
            quote = "" if quote else one
        elif one == "\\" and quote != "'" and rest and (not quote or rest[0] in '"$\\'):
            found.append(rest[0])
            rest = rest[1:]
        else:
            found.append(one)
    if quote:
        raise InvalidInput(f"unexpected end of statement while looking for matching {quote}: {text!r:.200}")
    return "".join(found)


def words(text: str) -> list[str]:
    """Return the words of a text, split at blanks outside of quotes; quotes and escapes are kept for `expand`."""
    return re.findall(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'|["'\\])+""", text)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    plain, name, operator, word = match.groups()
    value = variables.get(plain or name)
    if operator is None:
        return value or ""
    is_set = value is not None and (value != "" or ":" not in operator)
    if operator.endswith("+"):
        return expand(word, variables) if is_set else ""
    return (value or "") if is_set else expand(word, variables)


def _escape_of(lines: list[str]) -> str:
    """Return the character that the directive `escape` sets; directives come before everything else."""
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise InvalidInput(f"invalid ESCAPE '{match[2]}'", "it must be ` or \\")
            return match[2]
    return "\\"


def _instruction(line: str, number: int) -> Instruction:
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    flags: dict[str, str] = {}
    while match := re.match(r"--([a-z]\S*)(?:\s+|$)", rest):
        key, _, value = match[1].partition("=")
        flags[key] = value
        rest = rest[match.end() :]
    if name.upper() in ("RUN", "COPY", "ADD") and _HEREDOC.search(rest):
        raise InvalidInput(f"dockerfile line {number}: here-documents are not supported yet", "put the text into a file")
    return Instruction(name.upper(), flags, rest, number)
