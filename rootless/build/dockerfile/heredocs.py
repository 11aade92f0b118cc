"""Here-documents: which of them an instruction's line announces, and where each ends."""

import re
from typing import Final

from rootless.build.dockerfile.errors import ExpansionError
from rootless.build.dockerfile.expansion import Lexer
from rootless.build.dockerfile.parts import Heredoc

_ANNOUNCED: Final = re.compile(r"(\d*)<<(-?)\s*([^<]*)", re.ASCII)


def _unset(_name: str) -> None:
    return None


def heredoc_of_word(word: str) -> Heredoc | None:
    """Return the here-document (without content) that a word announces, or None. Raises `ExpansionError` for open quotes."""
    match = _ANNOUNCED.fullmatch(word)
    if match is None or not match[3]:
        return None
    plain = Lexer(_unset, skip_unset=True).words(match[3])
    if len(plain) != 1:
        return None
    # Where any part of the word is quoted, the lexer that keeps quotes has more of them, and the content is not expanded.
    raw = Lexer(_unset, skip_unset=True, raw_quotes=True).words(match[3])
    expand = _quotes(plain[0]) == _quotes("".join(raw))
    return Heredoc(plain[0], "", expand, match[2] == "-", int(match[1][:9] or "0"))


def heredocs_of_line(line: str) -> list[Heredoc]:
    """Return the here-documents that an instruction's line announces, in order. Raises `ExpansionError`."""
    try:
        found = Lexer(_unset, skip_unset=True, raw_quotes=True, raw_escapes=True).words(line)
    except ExpansionError:
        return []  # a shell's line may have quotes that only the shell understands
    return [heredoc for heredoc in map(heredoc_of_word, found) if heredoc is not None]


def is_terminator(line: str, heredoc: Heredoc) -> bool:
    """Tell whether `line` ends the document."""
    line = line.rstrip("\r\n")
    return (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')
